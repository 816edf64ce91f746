"""The charts, as Vega-Lite through altair: the same for the app, the static pages and the downloads."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import altair as alt
import numpy as np
import pandas as pd

from idbench.chart_names import NAME_HEIGHT, heights_of_names, names_beside, range_beside
from idbench.figures import BLUE, GREEN, GREY, MEMBER, NONMEMBER, ORANGE, PURPLE
from idbench_leaderboard import measure
from idbench_leaderboard.words import STATISTICS, TRACKS

Chart: TypeAlias = alt.Chart | alt.LayerChart | alt.FacetChart

COLOURS: Final = {"text-only": BLUE, "black-box": ORANGE, "white-box": GREEN, "shadow": PURPLE, "blind": GREY}
SHAPES: Final = {
    "text-only": "circle",
    "black-box": "square",
    "white-box": "diamond",
    "shadow": "triangle-up",
    "blind": "cross",
}
SERIES: Final = (BLUE, ORANGE, GREEN, PURPLE, "#8E5BC0", "#B0A800", "#9A6332", "#17A2A2", "#7A7F87", "#C23B8B")
"""Colours of methods; none is a colour of members or non-members."""
MOST_SERIES: Final = len(SERIES)
"""Methods that one chart can show apart from each other."""
_LEGEND: Final = alt.Legend(orient="top", columns=2, labelLimit=220, symbolOpacity=1)
_ROW: Final = 26
# Heights are those of the plot itself; the width is the page's.
_FIT: Final = alt.AutoSizeParams(type="fit-x", contains="padding")
# Vega would write 0k, 0k, 1k for 1, 100, 1000.
_SHORT: Final = (
    "datum.value >= 1e9 ? datum.value / 1e9 + 'G' : datum.value >= 1e6 ? datum.value / 1e6 + 'M' : "
    "datum.value >= 1e3 ? datum.value / 1e3 + 'k' : '' + datum.value"
)


def _track_channels(rows: pd.DataFrame) -> dict[str, Any]:
    tracks = [track for track in TRACKS if track in set(rows["track"])]
    colour = alt.Scale(domain=tracks, range=[COLOURS[track] for track in tracks])
    shape = alt.Scale(domain=tracks, range=[SHAPES[track] for track in tracks])
    legend = alt.Legend(orient="top", title=None, columns=2, symbolOpacity=1)
    return {
        "color": alt.Color("track:N", scale=colour, legend=legend),
        "shape": alt.Shape("track:N", scale=shape, legend=legend),
    }


def _series_scale(names: list[str]) -> alt.Scale:
    return alt.Scale(domain=names, range=[SERIES[i % len(SERIES)] for i in range(len(names))])


def _auc_domain(low: pd.Series) -> list[float]:
    """From a little below the lowest whisker, at most 0.4, to 1."""
    return [min(0.4, round(float(low.min()) - 0.02, 2)), 1.0] if len(low) else [0.4, 1.0]


def _names() -> alt.Axis:
    """An axis of names, each at its row: Streamlit's theme would push the first one off it."""
    return alt.Axis(labelLimit=150, labelOverlap=False, labelFlush=False)


def whiskers(rows: pd.DataFrame, statistic: str) -> Chart:
    """One statistic of every row with its interval, best first."""
    low, high = ("auc_low", "auc_high") if statistic == "auc" else (f"{statistic}_low", f"{statistic}_high")
    data = rows[["label", "track", statistic, low, high]].dropna()
    order = rows.sort_values(statistic, ascending=False, na_position="last")["label"].tolist()
    axis = alt.Axis(format=".1f" if statistic == "auc" else "%", tickCount=6)
    domain = _auc_domain(data[low]) if statistic == "auc" else [0.0, min(1.0, 1.05 * float(data[high].max()))]
    y = alt.Y("label:N", sort=order, title=None, axis=_names())
    tooltip = [alt.Tooltip("label:N", title="Method"), alt.Tooltip("track:N", title="Track")]
    tooltip += [
        alt.Tooltip(f"{name}:Q", title=title, format=".3f")
        for name, title in ((statistic, STATISTICS[statistic]), (low, "95 % from"), (high, "95 % to"))
    ]
    scale = alt.Scale(domain=domain, nice=False, zero=False)
    x = alt.X(f"{statistic}:Q", title=STATISTICS[statistic], axis=axis, scale=scale)
    ends = alt.X(f"{low}:Q", title=STATISTICS[statistic], axis=axis, scale=scale)
    base = alt.Chart(data).encode(y=y)
    channels = _track_channels(rows)
    chance = 0.5 if statistic == "auc" else {"tpr_10": 0.1, "tpr_1": 0.01, "tpr_01": 0.001}[statistic]
    guessing = alt.X("x:Q", title=STATISTICS[statistic], axis=axis, scale=scale)
    return alt.layer(
        alt.Chart(pd.DataFrame({"x": [chance]})).mark_rule(strokeDash=[4, 4], color=GREY).encode(x=guessing),
        base.mark_rule(strokeWidth=2).encode(x=ends, x2=f"{high}:Q", color=channels["color"], tooltip=tooltip),
        base.mark_point(filled=True, size=90, opacity=1).encode(x=x, **channels, tooltip=tooltip),
    ).properties(height=max(90, _ROW * len(order)), width="container", autosize=_FIT)


def cost(rows: pd.DataFrame, x: str, title: str) -> Chart:
    """AUC with its interval against a cost, on a log axis that has room for zero; lines lead to the names."""
    data = rows[["label", "track", "auc", "auc_low", "auc_high", x]].dropna().reset_index(drop=True)
    ticks = _powers(float(data[x].max()) if len(data) else 1.0)
    low, high = _cost_domain(data)
    height = max(_COST_HEIGHT, NAME_HEIGHT * len(data))
    data = data.assign(name_at=heights_of_names(data["auc"], low, high, (high - low) / height))
    scale = alt.Scale(type="symlog", constant=1, domain=[0, ticks[-1]], nice=False, range=range_beside())
    axis = alt.Axis(values=ticks, labelExpr=_SHORT, labelOverlap=True, grid=False)
    xx = alt.X(f"{x}:Q", title=title, scale=scale, axis=axis)
    tooltip = [
        alt.Tooltip("label:N", title="Method"),
        alt.Tooltip("auc:Q", title="AUC", format=".3f"),
        alt.Tooltip(f"{x}:Q", title=title, format=",.4~g"),
    ]
    base = alt.Chart(data).encode(x=xx, tooltip=tooltip)
    channels = _track_channels(rows)
    yy = alt.Scale(domain=[low, high], nice=False, zero=False)
    y, ends = (alt.Y(f"{name}:Q", title="AUC", scale=yy) for name in ("auc", "auc_low"))
    return alt.layer(
        alt.Chart(pd.DataFrame({"y": [0.5]}))
        .mark_rule(strokeDash=[4, 4], color=GREY)
        .encode(y=alt.Y("y:Q", scale=yy), x=alt.value(0), x2=alt.value(range_beside()[1])),
        *names_beside(base, y, alt.Y("name_at:Q", title="AUC", scale=yy), "label"),
        base.mark_rule().encode(y=ends, y2="auc_high:Q", color=channels["color"]),
        base.mark_point(filled=True, size=90, opacity=1).encode(y=y, **channels),
    ).properties(height=height, width="container", autosize=_FIT)


_COST_HEIGHT: Final = 340


def _cost_domain(data: pd.DataFrame) -> tuple[float, float]:
    """Room for every interval and for guessing."""
    low, high = (float(data["auc_low"].min()), float(data["auc_high"].max())) if len(data) else (0.5, 1.0)
    return min(low, 0.5) - 0.04, max(high, 0.5) + 0.04


def _powers(top: float) -> list[float]:
    last = int(np.ceil(np.log10(max(top, 10))))
    return [0.0, *(10.0**k for k in range(1 if last > 2 else 0, last + 1))]  # 1 would stand on the 0 on a phone


def roc_frame(curves: dict[str, measure.Curve], n_members: int) -> pd.DataFrame:
    """Long table of curves for `roc`; zero rates are drawn at half a person, as a log axis has no zero."""
    floor = 0.5 / n_members
    parts = [
        pd.DataFrame(
            {
                "method": name,
                "fpr": curve.fpr,
                "tpr": np.maximum(curve.tpr, floor),
                "low": np.maximum(curve.low, floor),
                "high": np.maximum(curve.high, floor),
            }
        )
        for name, curve in curves.items()
    ]
    return pd.concat(parts, ignore_index=True)


def roc(frame: pd.DataFrame) -> Chart:
    """ROC curves on log axes with simultaneous 95 % bands; the dashed line is guessing."""
    names = list(dict.fromkeys(frame["method"]))
    scale = _series_scale(names)
    left, floor = float(frame["fpr"].min()), float(frame["low"].min())
    # Fewer ticks than vega would draw: a log axis with every digit labelled is unreadable on a phone.
    x_axis, y_axis = (alt.Axis(values=_decades(start), format="~%", grid=True) for start in (left, floor))
    x = alt.X("fpr:Q", title="False-positive rate", scale=alt.Scale(type="log", domain=[left, 1]), axis=x_axis)
    y_scale = alt.Scale(type="log", domain=[floor, 1])
    colour = alt.Color("method:N", scale=scale, title=None, legend=_LEGEND)
    diagonal = pd.DataFrame({"fpr": [max(left, floor), 1.0], "tpr": [max(left, floor), 1.0]})
    one = alt.selection_point(fields=["method"], bind="legend")
    base = alt.Chart(frame).encode(x=x, color=colour)
    tooltip = [
        alt.Tooltip("method:N", title="Method"),
        alt.Tooltip("fpr:Q", title="FPR", format=".3%"),
        alt.Tooltip("tpr:Q", title="TPR", format=".1%"),
        alt.Tooltip("low:Q", title="95 % from", format=".1%"),
        alt.Tooltip("high:Q", title="95 % to", format=".1%"),
    ]
    y = alt.Y("tpr:Q", title="True-positive rate", scale=y_scale, axis=y_axis)
    line = alt.Chart(diagonal).mark_line(strokeDash=[4, 4], color=GREY)
    return alt.layer(
        line.encode(x=x, y=y),
        base.mark_area(interpolate="step-after").encode(
            y=alt.Y("low:Q", title="True-positive rate", scale=y_scale, axis=y_axis),
            y2="high:Q",
            opacity=alt.condition(one, alt.value(0.18), alt.value(0.02)),
        ),
        base.mark_line(interpolate="step-after", strokeWidth=2)
        .encode(y=y, opacity=alt.condition(one, alt.value(1.0), alt.value(0.15)))
        .add_params(one),
        base.mark_point(opacity=0, size=60).encode(y=y, tooltip=tooltip),
    ).properties(height=380, width="container", autosize=_FIT)


def _decades(start: float) -> list[float]:
    return [10.0**k for k in range(int(np.floor(np.log10(start))), 1)]


def by_count(frame: pd.DataFrame, title: str) -> Chart:
    """AUC with whiskers against a count; columns `method`, `count`, `auc`, `low`, `high`."""
    names = list(dict.fromkeys(frame["method"]))
    colour = alt.Color(
        "method:N",
        scale=_series_scale(names),
        title=None,
        legend=_LEGEND if len(names) > 1 else None,
    )
    x = alt.X("count:O", title=title, axis=alt.Axis(labelAngle=0))
    offset = alt.XOffset("method:N", sort=names)
    scale = alt.Scale(domain=_auc_domain(frame["low"]), nice=False, zero=False)
    tooltip = [
        alt.Tooltip("method:N", title="Method"),
        alt.Tooltip("count:O", title=title),
        alt.Tooltip("auc:Q", title="AUC", format=".3f"),
        alt.Tooltip("low:Q", title="95 % from", format=".3f"),
        alt.Tooltip("high:Q", title="95 % to", format=".3f"),
    ]
    base = alt.Chart(frame).encode(x=x, xOffset=offset, color=colour, tooltip=tooltip)
    return alt.layer(
        alt.Chart(pd.DataFrame({"y": [0.5]}))
        .mark_rule(strokeDash=[4, 4], color=GREY)
        .encode(y=alt.Y("y:Q", title="AUC", scale=scale)),
        base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", title="AUC", scale=scale), y2="high:Q"),
        base.mark_point(filled=True, size=80, opacity=1).encode(y=alt.Y("auc:Q", title="AUC", scale=scale)),
    ).properties(height=300, width="container", autosize=_FIT)


def histogram_frame(bars: measure.Histogram) -> pd.DataFrame:
    """Long table for `histogram`."""
    parts = [
        pd.DataFrame({"from": bars.edges[:-1], "to": bars.edges[1:], "share": share, "who": who})
        for who, share in (("members", bars.members), ("non-members", bars.nonmembers))
    ]
    return pd.concat(parts, ignore_index=True)


def histogram(frame: pd.DataFrame) -> Chart:
    """Scores of members and non-members."""
    colour = alt.Color(
        "who:N",
        scale=alt.Scale(domain=["members", "non-members"], range=[MEMBER, NONMEMBER]),
        title=None,
        legend=alt.Legend(orient="top"),
    )
    drawn: Chart = (
        alt.Chart(frame)
        .mark_bar(opacity=0.6, binSpacing=0)
        .encode(
            x=alt.X("from:Q", bin="binned", title="Score: higher means more likely a member"),
            x2="to:Q",
            y=alt.Y("share:Q", stack=None, title="Share of people", axis=alt.Axis(format="%")),
            color=colour,
            tooltip=[
                alt.Tooltip("who:N", title="Class"),
                alt.Tooltip("from:Q", title="Score from", format=".4~g"),
                alt.Tooltip("to:Q", title="Score to", format=".4~g"),
                alt.Tooltip("share:Q", title="Share", format=".1%"),
            ],
        )
        .properties(height=260, width="container", autosize=_FIT)
    )
    return drawn


_NUMBERED: Final = 64
"""Columns of a heat map with room for a number in each on a page of full width."""


def heat(frame: pd.DataFrame, column: str) -> Chart:
    """AUC of attacks (rows) against defenses or targets (columns); `attack`, the column, `auc`, `low`, `high`."""
    names = list(dict.fromkeys(frame[column]))
    # Many names, or long ones, stand upright: side by side they would cover each other, slanted the last would be cut.
    upright = len(names) > 4 or max(map(len, names)) > 14
    axis = alt.Axis(labelAngle=-90 if upright else 0, orient="top", labelLimit=260, labelOverlap=False)
    x = alt.X(f"{column}:N", title=column.title(), sort=names, axis=axis)
    y = alt.Y("attack:N", title=None, sort=list(dict.fromkeys(frame["attack"])), axis=_names())
    tooltip = [
        alt.Tooltip("attack:N", title="Attack"),
        alt.Tooltip(f"{column}:N", title=column.title()),
        alt.Tooltip("auc:Q", title="AUC", format=".3f"),
        alt.Tooltip("low:Q", title="95 % from", format=".3f"),
        alt.Tooltip("high:Q", title="95 % to", format=".3f"),
    ]
    base = alt.Chart(frame).encode(x=x, y=y, tooltip=tooltip)
    colour = alt.Color(
        "auc:Q",
        title="AUC",
        scale=alt.Scale(domain=[0.5, 1.0], scheme="viridis", clamp=True),
        legend=alt.Legend(orient="bottom", gradientLength=200),
    )
    cells = base.mark_rect().encode(color=colour)
    height = max(120, 34 * frame["attack"].nunique())
    if len(names) > _NUMBERED:
        drawn: Chart = cells.properties(height=height, width="container", autosize=_FIT)
        return drawn
    # On a phone, too, the cells may be narrower than a number: only colour shows, and the table below has the numbers.
    size = alt.ExprRef("clamp(bandwidth('x') / 2.6, 7, 12)")
    shown = alt.ExprRef("bandwidth('x') < 19 ? 0 : 1")
    return alt.layer(
        cells,
        base.mark_text(fontWeight="bold", fontSize=size, opacity=shown).encode(
            text=alt.Text("auc:Q", format=".2f"),
            # Where black begins to stand out more from viridis than white: both have at least 4.5 to 1 there.
            color=alt.condition("datum.auc > 0.71", alt.value("black"), alt.value("white")),
        ),
    ).properties(height=height, width="container", autosize=_FIT)


def controls(frame: pd.DataFrame) -> Chart:
    """AUC on the target next to AUC on the control; columns `label`, `where`, `auc`, `auc_low`, `auc_high`."""
    order = list(dict.fromkeys(frame["label"]))
    where = list(dict.fromkeys(frame["where"]))
    colour = alt.Color(
        "where:N",
        scale=alt.Scale(domain=where, range=[BLUE, GREY]),
        title=None,
        legend=alt.Legend(orient="top"),
    )
    y = alt.Y("label:N", sort=order, title=None, axis=_names())
    tooltip = [
        alt.Tooltip("label:N", title="Method"),
        alt.Tooltip("where:N", title="Target"),
        alt.Tooltip("auc:Q", title="AUC", format=".3f"),
        alt.Tooltip("auc_low:Q", title="95 % from", format=".3f"),
        alt.Tooltip("auc_high:Q", title="95 % to", format=".3f"),
    ]
    scale = alt.Scale(domain=_auc_domain(frame["auc_low"]), nice=False, zero=False)
    axis = alt.Axis(format=".1f", tickCount=6)
    base = alt.Chart(frame).encode(y=y, yOffset=alt.YOffset("where:N", sort=where), color=colour, tooltip=tooltip)
    return alt.layer(
        alt.Chart(pd.DataFrame({"x": [0.5]}))
        .mark_rule(strokeDash=[4, 4], color=GREY)
        .encode(x=alt.X("x:Q", title="AUC", scale=scale, axis=axis)),
        base.mark_rule(strokeWidth=2).encode(
            x=alt.X("auc_low:Q", title="AUC", scale=scale, axis=axis), x2="auc_high:Q"
        ),
        base.mark_point(filled=True, size=80, opacity=1).encode(x=alt.X("auc:Q", title="AUC", scale=scale, axis=axis)),
    ).properties(height=max(110, 34 * len(order)), width="container", autosize=_FIT)


def scatter(frame: pd.DataFrame, a: str, b: str) -> Chart:
    """Every person by the percentile that two methods give them; columns `a`, `b`, `who`."""
    colour = alt.Color(
        "who:N",
        scale=alt.Scale(domain=["members", "non-members"], range=[MEMBER, NONMEMBER]),
        title=None,
        legend=alt.Legend(orient="top"),
    )
    axis = alt.Axis(values=[0, 25, 50, 75, 100])
    scale = alt.Scale(domain=[0, 100])
    x = alt.X("a:Q", title=f"Percentile given by {a}", scale=scale, axis=axis)
    y = alt.Y("b:Q", title=f"Percentile given by {b}", scale=scale, axis=axis)
    line = alt.Chart(pd.DataFrame({"a": [0, 100], "b": [0, 100]})).mark_line(strokeDash=[4, 4], color=GREY)
    tooltip = [
        alt.Tooltip("who:N", title="Class"),
        alt.Tooltip("occurrences:Q", title="Training pictures"),
        # Not the bare name: a tooltip takes the title `image` for the address of a picture.
        alt.Tooltip("a:Q", title=f"Percentile: {a}", format=".0f"),
        alt.Tooltip("b:Q", title=f"Percentile: {b}", format=".0f"),
    ]
    points = alt.Chart(frame).mark_point(filled=True, size=28, opacity=0.6)
    return alt.layer(line.encode(x=x, y=y), points.encode(x=x, y=y, color=colour, tooltip=tooltip)).properties(
        height=380, width="container", autosize=_FIT
    )


def privacy(frame: pd.DataFrame) -> Chart:
    """Privacy against utility of defenses, from `defenses.privacy_frame`; best is at the bottom right."""
    low, high = (float(frame["low"].min()), float(frame["high"].max())) if len(frame) else (0.5, 1.0)
    low, high = low - 0.03, high + 0.03
    height = max(_COST_HEIGHT, NAME_HEIGHT * len(frame))
    data = frame.assign(name_at=heights_of_names(frame["auc"], low, high, (high - low) / height))
    kept = alt.Scale(zero=False, nice=False, padding=16, range=range_beside())
    title = "Recognition after the defense"
    axis = alt.Axis(format=".2f", tickCount=4, grid=False)
    base = alt.Chart(data).encode(x=alt.X("recognition:Q", title=title, scale=kept, axis=axis))
    scale = alt.Scale(domain=[low, high], nice=False, zero=False)
    y, ends, at = (
        alt.Y(f"{name}:Q", title="AUC of the strongest attack", scale=scale) for name in ("auc", "low", "name_at")
    )
    tooltip = [
        alt.Tooltip("defense:N", title="Defense"),
        alt.Tooltip("auc:Q", title="AUC", format=".3f"),
        alt.Tooltip("recognition:Q", title="Recognition", format=".2f"),
    ]
    return alt.layer(
        *names_beside(base, y, at, "defense"),
        base.mark_rule(color=GREY).encode(y=ends, y2="high:Q"),
        base.mark_point(filled=True, size=70, color=BLUE, opacity=1).encode(y=y, tooltip=tooltip),
    ).properties(height=height, width="container", autosize=_FIT)
