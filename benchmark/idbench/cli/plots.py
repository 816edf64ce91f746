"""Pictures of one run: ROC on a logarithmic axis with its band, and the histogram of the scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from idbench import metrics
from idbench.results import Run
from idbench.runner.evaluate import Judged, judge
from idbench.runner.scoring import check_split, own_corpus
from idbench.splits import load_split
from idbench.storage import atomic_path

_MEMBER, _OTHER, _INK = "#0b6e99", "#b5541c", "#444444"  # told apart by people who see no red or green


def plot_run(run: Run, path: Path) -> list[Path]:
    """Write `path` as PNG and SVG.

    Args:
        run: a finished run of a registered split.
        path: a file name; its ending is replaced by .png and .svg.

    Returns:
        the two files.

    Raises:
        RecordError: the split has no labels for the run.
        StorageError: the disk refused.
    """
    split = load_split(run.record.split.name)
    check_split(run, split)
    judged = judge(run.scores(), split, own_corpus(run, split), "test")
    figure = _figure(run, judged)
    written = []
    for kind in ("png", "svg"):
        file = path.with_suffix(f".{kind}")
        with atomic_path(file) as temporary:
            figure.savefig(temporary, format=kind, dpi=160)
        written.append(file)
    return written


def _figure(run: Run, judged: Judged) -> Any:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "idbench"  # the same run gives the same bytes
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    _roc(left, judged)
    _histogram(right, judged)
    record = run.record
    figure.suptitle(
        f"{record.attack.name} on {record.target.name}, {record.split.name} v{record.split.version}, seed {record.seed}"
    )
    return figure


def _roc(axes: Any, judged: Judged) -> None:
    band = metrics.roc_band(judged.scores, judged.members)
    found = metrics.auc_estimate(judged.scores, judged.members)
    axes.fill_between(band.fpr, band.low, band.high, step="post", color=_MEMBER, alpha=0.18, label="95 % band")
    axes.step(
        band.fpr,
        band.tpr,
        where="post",
        color=_MEMBER,
        label=f"AUC {found.value:.3f} [{found.interval.low:.3f}, {found.interval.high:.3f}]",
    )
    axes.plot(band.fpr, band.fpr, linestyle="--", color=_INK, linewidth=1, label="chance")
    axes.axvline(band.resolution, color=_INK, linestyle=":", linewidth=1, label="resolution of the non-members")
    axes.set(
        xscale="log", xlim=(band.fpr[0], 1), ylim=(0, 1.01), xlabel="false-positive rate", ylabel="true-positive rate"
    )
    axes.legend(loc="upper left", frameon=False, fontsize=8)


def _histogram(axes: Any, judged: Judged) -> None:
    edges = np.histogram_bin_edges(judged.scores, bins=40)
    for chosen, color, label in ((judged.members, _MEMBER, "members"), (~judged.members, _OTHER, "non-members")):
        axes.hist(
            judged.scores[chosen], bins=edges, histtype="stepfilled", alpha=0.35, color=color, edgecolor=color,
            label=f"{label} ({int(chosen.sum())})",
        )  # fmt: skip
    axes.set(xlabel="score (higher = more likely a member)", ylabel="people")
    axes.legend(frameon=False, fontsize=8)
