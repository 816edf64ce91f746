"""Pictures of runs: ROC on a logarithmic axis, the histogram of the scores, and several methods for a paper."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import altair as alt
import numpy as np
import pandas as pd

from idbench import figures, metrics
from idbench.errors import IdbenchError
from idbench.outputs import check_file
from idbench.results import Run
from idbench.results.summarizing import LabelledScores
from idbench.runner.evaluate import with_labels
from idbench.runner.scoring import check_split, own_corpus
from idbench.splits import load_split
from idbench.storage import write_bytes

_INK: Final = "#444444"
_WIDTH, _HEIGHT = 400, 300
_COLOURS: Final = (
    figures.BLUE,
    figures.ORANGE,
    figures.GREEN,
    figures.PURPLE,
    "#000000",
    "#7f5539",
    "#6a4c93",
    "#1b998b",
)
_DASHES: Final = ([1, 0], [5, 2], [2, 2], [6, 2, 2, 2])
_MOST_STEPS: Final = 2000
"""Steps of a drawn curve; with more, several would share a pixel."""


def plot_run(run: Run, path: Path) -> list[Path]:
    """Draw a run into `path`: its ending says the format; without one, PNG and SVG are written.

    Args:
        run: a finished run of a registered split.
        path: `FILE.png`, `FILE.svg`, `FILE.pdf`, or a name without one of these endings.

    Returns:
        the files.

    Raises:
        IdbenchError: another format.
        RecordError: the split has no labels for the run.
        StorageError: a file cannot be written, or would replace one that idbench did not draw.
    """
    files = [(kind, _checked(file, run)) for kind, file in _files(path)]
    split = load_split(run.record.split.name)
    check_split(run, split)
    spec = _figure(run, with_labels(run.scores(), split, own_corpus(run, split), "test")).to_dict()
    for kind, file in files:
        write_bytes(file, figures.draw(spec, kind))
    return [file for _, file in files]


@dataclass(frozen=True, slots=True)
class MethodCurve:
    """A method's curve: the mean over its readings.

    Args:
        name: in the legend.
        readings: scores with labels, one for each target and seed.
    """

    name: str
    readings: tuple[LabelledScores, ...]


def plot_methods(curves: Sequence[MethodCurve], path: Path, inputs: Iterable[Path]) -> list[Path]:
    """Draw the ROC curves of several methods, both axes logarithmic, as wide as a column of a paper, without title.

    Args:
        curves: at most eight.
        path: as of `plot_run`.
        inputs: what was read; none may be replaced.

    Raises:
        IdbenchError: another format, or more curves than can be told apart.
        StorageError: a file cannot be written, or would replace one that idbench did not draw.
    """
    if len(curves) > len(_COLOURS):
        raise IdbenchError(f"{len(curves)} curves cannot be told apart.", hint=f"Draw at most {len(_COLOURS)}.")
    read = list(inputs)
    files = [(kind, check_file(file, "picture", figures.is_drawn, read)) for kind, file in _files(path)]
    spec = _column(curves).to_dict()
    for kind, file in files:
        write_bytes(file, figures.draw(spec, kind))
    return [file for _, file in files]


def check_destination(path: Path) -> None:
    """Refuse a place where no picture can be written, before anything is computed for it.

    Raises:
        IdbenchError: another format.
        StorageError: what is there is not a picture that idbench drew.
    """
    for _, file in _files(path):
        check_file(file, "picture", figures.is_drawn)


def _column(curves: Sequence[MethodCurve]) -> Any:
    """One panel, 3.3 inches wide at 72 points an inch, in the order of the curves' AUC."""
    least = 1 / max(int((~one.readings[0].members).sum()) for one in curves)
    grid = np.geomspace(least, 1, 200)
    names = [one.name for one in curves]
    frame = pd.concat(
        [pd.DataFrame({"fpr": grid, "tpr": _mean_curve(one, grid), "method": one.name}) for one in curves]
    )
    frame = frame[frame["tpr"] >= least]  # zero has no place on a logarithmic axis
    axis = {"grid": True, "format": "~%", "values": [10.0**k for k in range(int(np.ceil(np.log10(least))), 1)]}
    x = alt.X("fpr:Q", title="False-positive rate", scale=alt.Scale(type="log", domain=[least, 1]), axis=axis)
    y = alt.Y("tpr:Q", title="True-positive rate", scale=alt.Scale(type="log", domain=[least, 1]), axis=axis)
    colour = alt.Scale(domain=names, range=list(_COLOURS[: len(names)]))
    dash = alt.Scale(domain=names, range=[_DASHES[i % len(_DASHES)] for i in range(len(names))])
    legend = alt.Legend(title=None, orient="bottom", columns=2, symbolStrokeWidth=1.6, labelLimit=110)
    line = (
        alt.Chart(frame)
        .mark_line(interpolate="step-after", strokeWidth=1.4)
        .encode(
            x=x,
            y=y,
            color=alt.Color("method:N", scale=colour, legend=legend),
            strokeDash=alt.StrokeDash("method:N", scale=dash, legend=legend),
        )
    )
    chance = alt.Chart(pd.DataFrame({"fpr": [least, 1.0], "tpr": [least, 1.0]}))
    return (
        alt.layer(chance.mark_line(color=figures.GREY, strokeWidth=0.8, strokeDash=[3, 3]).encode(x=x, y=y), line)
        .properties(width=188, height=150)
        .configure(background="#ffffff", padding=2, font="serif")
        .configure_axis(labelFontSize=8, titleFontSize=9, titleFontWeight="normal", gridColor="#e6e6e6")
        .configure_legend(labelFontSize=8)
        .configure_view(strokeOpacity=0)
    )


def _mean_curve(one: MethodCurve, grid: Any) -> Any:
    """Mean TPR at each false-positive rate; every reading keeps to the rate, without interpolation."""
    found = []
    for reading in one.readings:
        curve = metrics.roc(reading.scores, reading.members)
        place = np.searchsorted(curve.fpr, grid + 1e-12, side="right") - 1
        found.append(curve.tpr[place])
    return np.mean(found, axis=0)


def _files(path: Path) -> list[tuple[figures.Kind, Path]]:
    ending = path.suffix.removeprefix(".").lower()
    if not ending:
        return [(kind, path.with_name(f"{path.name}.{kind}")) for kind in ("png", "svg")]
    for kind in figures.KINDS:
        if ending == kind:
            return [(kind, path)]
    raise IdbenchError(f"--plot cannot write .{ending} files.", hint="Give FILE.png, FILE.svg or FILE.pdf.")


def _checked(file: Path, run: Run) -> Path:
    return check_file(file, "picture", figures.is_drawn, [run.path])


def _figure(run: Run, labelled: LabelledScores) -> Any:
    record = run.record
    title = (
        f"{record.attack.name} on {record.target.name}, {record.split.name} v{record.split.version}, seed {record.seed}"
    )
    return (
        alt.hconcat(_roc(labelled), _histogram(labelled), spacing=34)
        .resolve_scale(color="independent", strokeDash="independent")
        .properties(title=alt.TitleParams(title, anchor="middle", fontSize=15, offset=14))
        .configure(background="#ffffff", padding=14)
        .configure_view(strokeOpacity=0)
        .configure_axis(gridColor="#e6e6e6", domainColor="#999999", tickColor="#999999", titleFontWeight="normal")
    )


def _roc(labelled: LabelledScores) -> Any:
    band = metrics.roc_band(labelled.scores, labelled.members)
    found = metrics.auc_estimate(labelled.scores, labelled.members)
    keep = np.unique(np.linspace(0, len(band.fpr) - 1, min(len(band.fpr), _MOST_STEPS)).round().astype(np.int64))
    curve = pd.DataFrame({"fpr": band.fpr, "tpr": band.tpr, "low": band.low, "high": band.high}).iloc[keep]
    left = float(band.fpr[0])
    label = f"AUC {found.value:.3f} [{found.interval.low:.3f}, {found.interval.high:.3f}]"
    rest = ("95 % band", "chance", "resolution of the non-members")
    colour = alt.Scale(domain=[label, *rest], range=[figures.BLUE, "#cfe3f6", figures.GREY, _INK])
    dash = alt.Scale(domain=[label, *rest], range=[[1, 0], [1, 0], [5, 4], [2, 3]])
    legend = alt.Legend(orient="top", title=None, columns=2, symbolType="stroke", symbolStrokeWidth=2, labelLimit=260)
    decades = [10.0**k for k in range(int(np.ceil(np.log10(left))), 1)]
    x_axis = alt.Axis(values=decades, format="~%")
    x = alt.X("fpr:Q", title="False-positive rate", scale=alt.Scale(type="log", domain=[left, 1]), axis=x_axis)
    y = alt.Y("tpr:Q", title="True-positive rate", scale=alt.Scale(domain=[0, 1.01], nice=False), axis=_percent())
    low = alt.Y("low:Q", title="True-positive rate", scale=alt.Scale(domain=[0, 1.01], nice=False), axis=_percent())
    line = {
        "color": alt.Color("line:N", scale=colour, legend=legend),
        "strokeDash": alt.StrokeDash("line:N", scale=dash),
    }
    diagonal = pd.DataFrame({"fpr": np.geomspace(left, 1, 200)}).assign(tpr=lambda f: f["fpr"], line="chance")
    base = alt.Chart(curve.assign(line=label)).encode(x=x)
    return alt.layer(
        base.mark_area(interpolate="step-after", color=figures.BLUE, opacity=0.18).encode(y=low, y2="high:Q"),
        alt.Chart(pd.DataFrame({"fpr": [band.resolution], "line": [rest[2]]})).mark_rule().encode(x=x, **line),
        alt.Chart(diagonal).mark_line(strokeWidth=1.5).encode(x=x, y=y, **line),
        base.mark_line(interpolate="step-after", strokeWidth=2).encode(y=y, **line),
    ).properties(width=_WIDTH, height=_HEIGHT)


def _percent() -> alt.Axis:
    return alt.Axis(format="%", tickCount=6)


def _histogram(labelled: LabelledScores) -> Any:
    edges = np.histogram_bin_edges(labelled.scores, bins=40)
    classes = {
        f"members ({int(labelled.members.sum())})": (labelled.members, figures.MEMBER),
        f"non-members ({int((~labelled.members).sum())})": (~labelled.members, figures.NONMEMBER),
    }
    frame = pd.concat(
        [
            pd.DataFrame(
                {"from": edges[:-1], "to": edges[1:], "people": np.histogram(labelled.scores[who], edges)[0]}
            ).assign(who=label)
            for label, (who, _) in classes.items()
        ]
    )
    scale = alt.Scale(domain=list(classes), range=[colour for _, colour in classes.values()])
    return (
        alt.Chart(frame)
        .mark_bar(opacity=0.6, binSpacing=0)
        .encode(
            x=alt.X("from:Q", bin="binned", title="Score (higher = more likely a member)"),
            x2="to:Q",
            y=alt.Y("people:Q", stack=None, title="People"),
            color=alt.Color("who:N", scale=scale, title=None, legend=alt.Legend(orient="top")),
        )
        .properties(width=_WIDTH, height=_HEIGHT)
    )
