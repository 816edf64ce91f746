"""The figure of a study of defenses: a heat map of attacks, and privacy against utility."""

from __future__ import annotations

import textwrap
from typing import Any, TypeAlias

import altair as alt
import pandas as pd

from idbench import figures
from idbench.chart_names import NAME_HEIGHT, heights_of_names, names_beside, range_beside
from idbench.figures import BLUE, GREY
from idbench.results.worst_case import UNDEFENDED, recognized
from idbench.studies.charts import FigureFiles
from idbench.studies.defenses import DefenseResult

Chart: TypeAlias = Any  # altair's charts have no common type that it documents

_CELL = 34
_WIDE = 680


def draw(result: DefenseResult) -> FigureFiles:
    """Heat map (attacks against defenses) above the scatter of privacy and utility, and what comes back over steps."""
    panels = [_heat(result), _scatter(result), *_curves(result)]
    wide = 40 + _CELL * len({row.attack for row in result.attacked}) // 6
    chart = (
        alt.vconcat(*panels, spacing=30)
        .resolve_scale(color="independent")
        .properties(
            title=alt.TitleParams(
                result.title,
                subtitle=textwrap.wrap(f"{result.note} {_NOTE}", max(90, wide)),
                anchor="start",
                offset=12,
            )
        )
        .configure(background="#ffffff", padding=14)
        .configure_view(strokeOpacity=0)
        .configure_axis(gridColor="#e6e6e6", domainColor="#999999", tickColor="#999999", titleFontWeight="normal")
        .configure_title(fontSize=15, subtitleFontSize=11, subtitleColor="#555555")
    )
    spec = chart.to_dict()
    return FigureFiles(figures.draw(spec, "svg").decode(), figures.draw(spec, "png"))


_NOTE = (
    "AUC among the protected; 0.5: guessing, and 0.3 is as far from it as 0.7. "
    "Empty: not run, or it cannot be carried out behind the defense."
)


def _heat(result: DefenseResult) -> Chart:
    order = [row.defense for row in sorted(result.worst, key=lambda row: -row.protected.value)]
    attacks = list(dict.fromkeys(row.attack for row in result.attacked))
    frame = pd.DataFrame(
        [{"defense": row.defense, "attack": row.attack, "auc": row.protected.value} for row in result.attacked],
        columns=["defense", "attack", "auc"],
    )
    frame["either"] = frame["auc"].where(frame["auc"] >= 0.5, 1 - frame["auc"])
    base = alt.Chart(frame).encode(
        x=alt.X("attack:N", sort=attacks, title=None, axis=alt.Axis(labelAngle=-50, labelLimit=220, orient="top")),
        y=alt.Y("defense:N", sort=order, title=None),
    )
    # Scores that are turned around tell as much: 0.3 has the colour of 0.7.
    scale = alt.Scale(domain=[0.5, 1.0], scheme="oranges", clamp=True)
    cells = base.mark_rect().encode(color=alt.Color("either:Q", scale=scale, title=["AUC,", "either way"]))
    dark = alt.condition("datum.either > 0.85", alt.value("white"), alt.value("black"))
    numbers = base.mark_text(fontSize=10).encode(text=alt.Text("auc:Q", format=".2f"), color=dark)
    size = {"width": _CELL * len(attacks), "height": 19 * len(order)}
    return alt.layer(cells, numbers).properties(title=_title("Every attack on every defense"), **size)


def _scatter(result: DefenseResult) -> Chart:
    rows = [(row, kept) for row in result.worst if (kept := recognized(row.utility)) is not None]
    frame = pd.DataFrame(
        [
            {"defense": row.defense, "kept": kept[1], "auc": row.protected.value, "low": row.protected.low}
            | {"high": row.protected.high}
            for row, kept in rows
        ],
        columns=["defense", "kept", "auc", "low", "high"],
    )
    undefended = [row.protected.value for row in result.worst if row.defense == UNDEFENDED]
    if rows and undefended:
        value = undefended[0]
        own = {"defense": "no defense", "kept": rows[0][1][0], "auc": value, "low": value, "high": value}
        frame = pd.concat([frame, pd.DataFrame([own])], ignore_index=True)
    low, high = (float(frame["low"].min()), float(frame["high"].max())) if len(frame) else (0.5, 1.0)
    low, high = low - 0.03, high + 0.03
    height = max(340, NAME_HEIGHT * len(frame))
    frame["name_at"] = heights_of_names(frame["auc"], low, high, (high - low) / height)
    right = "Recognition of what captions name beside people, share correct"
    strongest = "AUC of the strongest attack on the protected"
    x = alt.X("kept:Q", title=right, scale=alt.Scale(zero=False, nice=False, padding=16, range=range_beside(_WIDE)))
    scale = alt.Scale(domain=[low, high], nice=False, zero=False)
    y, ends, at = (alt.Y(f"{name}:Q", title=strongest, scale=scale) for name in ("auc", "low", "name_at"))
    base = alt.Chart(frame).encode(x=x)
    black = alt.condition("datum.defense == 'no defense'", alt.value("black"), alt.value(BLUE))
    layers = [
        *names_beside(base, y, at, "defense", _WIDE),
        base.mark_rule(color=GREY).encode(y=ends, y2="high:Q"),
        base.mark_point(filled=True, size=50, opacity=1).encode(y=y, color=black),
    ]
    title = _title("Privacy against utility: bottom right is best")
    return alt.layer(*layers).properties(width=_WIDE, height=height, title=title)


def _curves(result: DefenseResult) -> list[Chart]:
    """For each attack, the AUC among the protected over steps of training: one line for each defense."""
    charts = []
    for attack, adaptation in dict.fromkeys((point.attack, point.adaptation) for point in result.curves):
        own = [point for point in result.curves if (point.attack, point.adaptation) == (attack, adaptation)]
        frame = pd.DataFrame(
            [{"defense": point.defense, "steps": point.steps, "auc": point.protected.value} for point in own]
        )
        base = alt.Chart(frame).encode(
            x=alt.X(
                "steps:Q",
                title=f"Steps of {adaptation}",
                scale=alt.Scale(type="symlog", constant=5),
                axis=alt.Axis(values=sorted({point.steps for point in own})),
            ),
            y=alt.Y("auc:Q", title=f"AUC of {attack} on the protected", scale=alt.Scale(zero=False)),
            color=alt.Color("defense:N", title="defense", scale=alt.Scale(scheme="tableau20")),
        )
        title = _title(f"What {adaptation} brings back for {attack}")
        charts.append(
            alt.layer(base.mark_line(), base.mark_point(filled=True, opacity=1)).properties(
                width=560, height=260, title=title
            )
        )
    return charts


def _title(text: str) -> Any:
    return alt.TitleParams(text, fontSize=12, anchor="start", frame="group", offset=8)
