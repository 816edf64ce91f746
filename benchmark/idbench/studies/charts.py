"""The figure of each study, as Vega-Lite through altair, drawn without a browser."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import altair as alt
import pandas as pd

from idbench import figures
from idbench.api.studies import BudgetStudy, EpochStudy, PhotoStudy
from idbench.figures import BLUE, GREEN, GREY, MEMBER, NONMEMBER, PURPLE
from idbench.studies.execution import CONTROL, TARGETS
from idbench.studies.table import STATISTICS, Point, StudyResult

Chart: TypeAlias = Any  # altair's charts have no common type that it documents

_WIDTH, _HEIGHT = 250, 230
_NOBODY = "0"
_CHANCE = {"auc": 0.5, "tpr_10": 0.1}


@dataclass(frozen=True, slots=True)
class FigureFiles:
    """One figure in both formats."""

    svg: str
    png: bytes


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a panel: the points that it joins, its label and colour, and whether it is dashed."""

    label: str
    colour: str
    points: Sequence[Point]
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class _Axis:
    """What stands on the horizontal axis: field of the points, title, and its places in order (None: a number)."""

    field: str
    title: str
    places: tuple[str, ...] | None = None


def draw(study: PhotoStudy | BudgetStudy | EpochStudy, result: StudyResult) -> FigureFiles:
    """The figure of a study.

    Args:
        study: what was varied.
        result: of `run_study`.

    Raises:
        DataError: it cannot be drawn.
    """
    if isinstance(study, EpochStudy):
        chart = _by_epochs(study, result)
    elif isinstance(study, BudgetStudy):
        chart = _by_variant(study, result) if study.variants else _by_budget(study, result)
    else:
        chart = (_by_photos if study.over == "photos" else _by_training_pictures)(study, result)
    spec = chart.to_dict()
    return FigureFiles(figures.draw(spec, "svg").decode(), figures.draw(spec, "png"))


def _select(result: StudyResult, **wanted: object) -> list[Point]:
    return [p for p in result.points if all(getattr(p, name) == value for name, value in wanted.items())]


def _by_photos(study: PhotoStudy, result: StudyResult) -> Chart:
    axis = _Axis("photos", "Attack photos of each person")
    names = _Names(result)
    rule = [
        _Line(names.targets, MEMBER, _select(result, series=TARGETS, statistic="tpr_rule")),
        _Line(names.others, NONMEMBER, _select(result, series=TARGETS, statistic="fpr_rule")),
        _Line(names.control, GREY, _select(result, series=CONTROL, statistic="tpr_rule"), dashed=True),
    ]
    graded = {
        statistic: [
            _Line(names.targets, MEMBER, _select(result, series=TARGETS, statistic=statistic)),
            _Line(names.control, GREY, _select(result, series=CONTROL, statistic=statistic), dashed=True),
        ]
        for statistic in ("tpr_10", "auc")
    }
    panels = [
        _panel(rule, axis, "tpr_rule", _rule(study)),
        *(_panel(lines, axis, name) for name, lines in graded.items()),
    ]
    return _figure(result, panels, rule)


def _by_training_pictures(study: PhotoStudy, result: StudyResult) -> Chart:
    numbers = sorted({p.photos for p in result.points if p.photos is not None})
    bins = tuple(dict.fromkeys(p.pictures for p in result.points if p.pictures is not None))
    legend = [
        *(_Line(_photos(n), colour, ()) for n, colour in zip(numbers, (PURPLE, GREEN, BLUE), strict=False)),
        _Line(f"{_Names(result).control}, {_photos(numbers[-1])}", GREY, (), dashed=True),
    ]
    panels = []
    for statistic in ("tpr_rule", "tpr_10", "auc"):
        lines = [
            replace(line, points=_by_bin(result, CONTROL if line.dashed else TARGETS, statistic, number))
            for line, number in zip(legend, [*numbers, numbers[-1]], strict=True)
        ]
        if statistic == "tpr_rule":
            axis = _Axis("pictures", f"Training pictures ({_NOBODY}: non-members)", (_NOBODY, *bins))
        else:
            axis = _Axis("pictures", "Training pictures of the members", bins)
        panels.append(_panel(lines, axis, statistic, _rule(study) if statistic == "tpr_rule" else ""))
    return _figure(result, panels, legend)


def _rule(study: PhotoStudy) -> str:
    return f"Called a member: {study.rule}"


def _by_bin(result: StudyResult, series: str, statistic: str, photos: int) -> list[Point]:
    """A line over the bins; for the rule it begins with the non-members, who have no training picture."""
    members = _select(result, series=series, statistic=statistic, photos=photos)
    if statistic != "tpr_rule":
        return members
    others = _select(result, series=series, statistic="fpr_rule", photos=photos)[:1]
    return [*(replace(point, pictures=_NOBODY) for point in others), *members]


def _by_budget(study: BudgetStudy, result: StudyResult) -> Chart:
    names = _Names(result)
    usual = {axis.parameter: axis.usual for axis in study.axes}
    legend = _two_lines(names.targets, names.control)
    panels = []
    for statistic in ("auc", "tpr_10"):
        for axis in study.axes:
            lines = [replace(line, points=_varied(result, line, statistic, axis.parameter, usual)) for line in legend]
            places = tuple(map(str, sorted(axis.values)))
            panels.append(_panel(lines, _Axis(axis.parameter, axis.title.format(**usual), places), statistic))
    return _figure(result, panels, legend, columns=2)


def _by_variant(study: BudgetStudy, result: StudyResult) -> Chart:
    """As `_by_budget`, a row of panels for each variant."""
    usual = {axis.parameter: axis.usual for axis in study.axes}
    legend = _two_lines(_Names(result).targets, _Names(result).control)
    panels = []
    for variant in study.variants:
        own = replace(result, points=tuple(_select(result, variant=variant)))
        for statistic in ("auc", "tpr_10"):
            for axis in study.axes:
                lines = [replace(line, points=_varied(own, line, statistic, axis.parameter, usual)) for line in legend]
                places = tuple(map(str, sorted(axis.values)))
                on = _Axis(axis.parameter, axis.title.format(**usual), places)
                panels.append(_panel(lines, on, statistic, f"{variant}: {STATISTICS[statistic]}"))
    return _figure(result, panels, legend, columns=2 * len(study.axes))


def _by_epochs(study: EpochStudy, result: StudyResult) -> Chart:
    """One small panel for each attack: the AUC on the target and on the control."""
    a, control = (next(t.name for t in result.targets if t.series == series) for series in ("A", CONTROL))
    legend = _two_lines(f"{_stem(a)}: members", f"{_stem(control)}, control: the members of A")
    axis = _Axis("epochs", "Epochs", tuple(map(str, study.epochs)))
    lows = [p.low for p in result.points if p.statistic == "auc" and p.low is not None]
    domain = (min([0.4, *(round(low - 0.02, 2) for low in lows)]), 1.02)
    panels = []
    measured = {point.variant for point in result.points}
    for attack in (attack for attack in study.attacks if attack in measured):
        lines = [
            replace(line, points=_select(result, series=series, statistic="auc", variant=attack))
            for line, series in zip(legend, ("A", CONTROL), strict=True)
        ]
        panels.append(_panel(lines, axis, "auc", attack, size=(135, 105), domain=domain))
    return _figure(result, panels, legend, columns=4)


def _stem(target: str) -> str:
    """What the targets of all trainings are called alike."""
    return re.sub(r"-\d+-epochs$", "", target)


def _two_lines(targets: str, control: str) -> list[_Line]:
    return [_Line(targets, MEMBER, ()), _Line(control, GREY, (), dashed=True)]


def _varied(result: StudyResult, line: _Line, statistic: str, parameter: str, usual: dict[str, int]) -> list[Point]:
    """The points of a line at which all parameters but one are usual."""
    fixed = {name: value for name, value in usual.items() if name != parameter}
    found = _select(result, series=CONTROL if line.dashed else TARGETS, statistic=statistic)
    return [point for point in found if fixed.items() <= (point.settings or {}).items()]


@dataclass(frozen=True, slots=True)
class _Names:
    """How the legend calls the series."""

    result: StudyResult

    def _target(self, series: str) -> str:
        return next(t.name for t in self.result.targets if t.series == series)

    @property
    def targets(self) -> str:
        return f"{self._target('A')} and {self._target('B')}: members"

    @property
    def others(self) -> str:
        return "the same: non-members"

    @property
    def control(self) -> str:
        return f"{self._target(CONTROL)}, control: the members of A"


def _photos(number: int) -> str:
    return "1 attack photo" if number == 1 else f"{number} attack photos"


def _panel(
    lines: Sequence[_Line],
    axis: _Axis,
    statistic: str,
    heading: str = "",
    size: tuple[int, int] = (_WIDTH, _HEIGHT),
    domain: tuple[float, float] | None = None,
) -> Chart:
    """One statistic: lines through the estimates, with their intervals; its own name unless a heading is given."""
    frame = _frame(lines, axis)
    labels = [line.label for line in lines]
    colour = alt.Color("line:N", scale=alt.Scale(domain=labels, range=[line.colour for line in lines]), legend=None)
    dash = alt.StrokeDash(
        "line:N",
        scale=alt.Scale(domain=labels, range=[[5, 3] if line.dashed else [1, 0] for line in lines]),
        legend=None,
    )
    scale = alt.Scale(domain=list(domain or _domain(statistic, frame)), nice=False, zero=False)
    style = alt.Axis(format=".1f" if statistic == "auc" else "%", tickCount=6)
    title = "Share of people" if statistic == "tpr_rule" else STATISTICS[statistic]
    y, low = (alt.Y(f"{field}:Q", title=title, scale=scale, axis=style) for field in ("value", "low"))
    base = alt.Chart(frame).encode(x=_x(axis), color=colour)
    layers = [base.mark_line(strokeWidth=2).encode(y=y, strokeDash=dash)]
    if axis.places is None:
        layers.insert(0, base.mark_area(opacity=0.18).encode(y=low, y2="high:Q"))
    else:
        offset = alt.XOffset("line:N", sort=labels, scale=alt.Scale(paddingOuter=1.0))
        base = base.encode(xOffset=offset)
        layers = [layers[0].encode(xOffset=offset), base.mark_rule(strokeWidth=1.5).encode(y=low, y2="high:Q")]
    layers.append(base.mark_point(filled=True, size=34, opacity=1).encode(y=y))
    if statistic in _CHANCE:
        chance = alt.Chart(pd.DataFrame({"value": [_CHANCE[statistic]]}))
        layers.insert(0, chance.mark_rule(strokeDash=[2, 3], color="#444444").encode(y=y))
    title_ = alt.TitleParams(heading or STATISTICS[statistic], fontSize=12, anchor="start", frame="group", offset=8)
    return alt.layer(*layers).properties(width=size[0], height=size[1], title=title_)


def _x(axis: _Axis) -> Any:
    if axis.places is None:
        scale, ticks = alt.Scale(zero=False, nice=False, padding=6), alt.Axis(grid=False, tickMinStep=1)
        return alt.X(f"{axis.field}:Q", title=axis.title, scale=scale, axis=ticks)
    return alt.X(f"{axis.field}:O", title=axis.title, sort=list(axis.places), axis=alt.Axis(labelAngle=0))


def _frame(lines: Sequence[_Line], axis: _Axis) -> pd.DataFrame:
    """Long table of a panel; what cannot be estimated is left out."""
    rows = [
        asdict(p) | (p.settings or {}) | {"line": line.label}
        for line in lines
        for p in line.points
        if p.value is not None
    ]
    frame = pd.DataFrame(rows, columns=["line", axis.field, "value", "low", "high"])
    return frame if axis.places is None else frame.astype({axis.field: str})


def _domain(statistic: str, frame: pd.DataFrame) -> list[float]:
    """The AUC from at most 0.4 up; rates from 0 to the highest whisker, at least to 30 %."""
    if statistic == "auc":
        return [min([0.4, *(round(float(low) - 0.02, 2) for low in frame["low"])]), 1.02]
    return [0.0, min(1.0, max([0.3, *(1.05 * float(high) for high in frame["high"])]))]


def _legend(lines: Sequence[_Line]) -> Chart:
    """A legend of its own, so that the panels need not share one scale."""
    frame = pd.DataFrame([{"line": line.label, "colour": line.colour, "place": i} for i, line in enumerate(lines)])
    y = alt.Y("place:O", axis=None)
    colour = alt.Color("colour:N", scale=None)
    base = alt.Chart(frame).encode(y=y, color=colour)
    solid = [not line.dashed for line in lines]
    frame["dash"] = ["solid" if plain else "dashed" for plain in solid]
    dash = alt.StrokeDash("dash:N", scale=alt.Scale(domain=["solid", "dashed"], range=[[1, 0], [5, 3]]), legend=None)
    strokes = base.mark_rule(strokeWidth=2).encode(x=alt.value(0), x2=alt.value(26), strokeDash=dash)
    words = alt.Chart(frame).mark_text(align="left", fontSize=11, dx=0).encode(y=y, x=alt.value(34), text="line:N")
    return alt.layer(strokes, words).properties(width=_WIDTH, height=17 * len(lines))


def _figure(result: StudyResult, panels: Sequence[Chart], lines: Sequence[_Line], columns: int = 3) -> Chart:
    rows = [
        # Panels have different lines: shared scales would give them each other's colours and dashes.
        alt.hconcat(*panels[i : i + columns], spacing=26).resolve_scale(
            color="independent", strokeDash="independent", xOffset="independent"
        )
        for i in range(0, len(panels), columns)
    ]
    # The note is no wider than a row of panels, axes included; its letters take about 5.6 px each.
    wide = min(columns, len(panels)) * (panels[0].width + 60)
    subtitle = textwrap.wrap(f"{result.note} {_INTERVALS}", int(wide / 5.6))
    drawn: Chart = (
        alt.vconcat(_legend(lines), *rows, spacing=14)
        .resolve_scale(color="independent", strokeDash="independent", xOffset="independent")
        .properties(title=alt.TitleParams(result.title, subtitle=subtitle, anchor="start", offset=12))
        .configure(background="#ffffff", padding=14)
        .configure_view(strokeOpacity=0)
        .configure_axis(gridColor="#e6e6e6", domainColor="#999999", tickColor="#999999", titleFontWeight="normal")
        .configure_title(fontSize=15, subtitleFontSize=11, subtitleColor="#555555")
        .configure_concat(spacing=14)
    )
    return drawn


_INTERVALS = "95 % intervals over people; dotted: guessing."
