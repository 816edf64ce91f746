"""The figure of a study of defenses: a heat map of attacks, and privacy against utility."""

from __future__ import annotations

import textwrap
from typing import Any, TypeAlias

import altair as alt
import pandas as pd

from idbench import figures
from idbench.figures import BLUE, GREY
from idbench.results.worst_case import recognized
from idbench.studies.charts import FigureFiles
from idbench.studies.defenses import DefenseResult

Chart: TypeAlias = Any  # altair's charts have no common type that it documents

_CELL = 34
_LABEL = 70  # pixels for a name beside the outermost point


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


_NOTE = "AUC among the protected; 0.5: guessing. Empty: not run, or it cannot be carried out behind the defense."


def _heat(result: DefenseResult) -> Chart:
    order = [row.defense for row in sorted(result.worst, key=lambda row: -row.protected.value)]
    attacks = list(dict.fromkeys(row.attack for row in result.attacked))
    frame = pd.DataFrame(
        [{"defense": row.defense, "attack": row.attack, "auc": row.protected.value} for row in result.attacked]
    )
    base = alt.Chart(frame).encode(
        x=alt.X("attack:N", sort=attacks, title=None, axis=alt.Axis(labelAngle=-50, labelLimit=220, orient="top")),
        y=alt.Y("defense:N", sort=order, title=None),
    )
    scale = alt.Scale(domain=[0.5, 1.0], scheme="oranges", clamp=True)
    cells = base.mark_rect().encode(color=alt.Color("auc:Q", scale=scale, title="AUC"))
    dark = alt.condition("datum.auc > 0.85", alt.value("white"), alt.value("black"))
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
    right = "Recognition of what captions name beside people, share correct"
    strongest = "AUC of the strongest attack on the protected"
    x = alt.X("kept:Q", title=right, scale=alt.Scale(zero=False, nice=False, padding=_LABEL))
    y, low = (alt.Y(f"{name}:Q", title=strongest, scale=alt.Scale(zero=False)) for name in ("auc", "low"))
    base = alt.Chart(frame).encode(x=x)
    layers = [
        base.mark_rule(color=GREY).encode(y=low, y2="high:Q"),
        base.mark_point(filled=True, size=50, color=BLUE, opacity=1).encode(y=y),
        base.mark_text(align="left", dx=6, dy=-5, fontSize=10).encode(y=y, text="defense:N"),
    ]
    undefended = [row.protected.value for row in result.worst if row.defense == "none"]
    if rows and undefended:
        point = pd.DataFrame([{"kept": rows[0][1][0], "auc": undefended[0], "defense": "no defense"}])
        own = alt.Chart(point).encode(x=x, y=y)
        layers += [
            own.mark_point(shape="cross", size=70, color="black"),
            own.mark_text(dx=34, dy=9).encode(text="defense:N"),
        ]
    title = _title("Privacy against utility: bottom right is best")
    return alt.layer(*layers).properties(width=560, height=340, title=title)


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
