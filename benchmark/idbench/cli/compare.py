"""`bench compare`: methods on the same people over all seeds and targets, and one sentence on what follows."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from idbench.cli import console, options, text
from idbench.errors import IdbenchError
from idbench.wording import at_fpr, counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from idbench import metrics
    from idbench.results import Run
    from idbench.runner.comparing import Pairing


def compare(
    what: Annotated[
        list[str], typer.Argument(help="Two or more methods (all their runs count), or paths or ids of single runs.")
    ],
    split: options.RunsSplit = None,
    target: Annotated[str | None, typer.Option(help="For method names; default: all that both ran on.")] = None,
    corpus: Annotated[str | None, typer.Option(help="Whose labels count; default: each target's own.")] = None,
    margin: Annotated[float, typer.Option(min=0.0001, max=0.5, help="AUC difference that does not matter.")] = 0.02,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the ROC curves for a column of a paper into FILE.pdf, .svg or .png.")
    ] = None,
    results: options.Results = options.RESULTS,
    how: options.Format = "text",
    json: options.Json = False,
) -> None:
    """Compare methods over all seeds and targets: difference, interval, p, and what follows."""
    from idbench.runner.comparing import compare_runs
    from idbench.splits import load_split

    if len(what) < 2:
        raise IdbenchError(
            f"{what[0]} alone cannot be compared.", hint=f"Name another: bench compare {what[0]} cosine."
        )
    if repeated := next((word for word in what if what.count(word) > 1), None):
        raise IdbenchError(f"{repeated} cannot be compared with itself.", hint="Name another method or run.")
    options.check_results(results)
    if plot is not None:
        from idbench.cli.plots import check_destination

        check_destination(plot)
    with console.bars() as progress:
        opened = load_split(split or _split_of(what, results), progress)
        pairings = [compare_runs(what[0], other, opened, target, results, corpus, margin) for other in what[1:]]
        drawn = None if plot is None else _draw(pairings, plot)
    for side in {side.name: side for one in pairings for side in (one.a, one.b)}.values():
        if side.left_out:
            runs = counted(side.left_out, "run of a sweep is", "runs of a sweep are")
            console.note(f"{side.name}: {runs} left out")
    if json:
        found = [_as_json(one) for one in pairings]
        console.write_json(found[0] if len(found) == 1 else found)
    else:
        for one in pairings:
            _show(one, how)
        if len(pairings) > 1:
            _correct(pairings)
    for written in drawn or ():
        console.note(f"wrote {written}")


def _split_of(what: Sequence[str], results: Path) -> str:
    """The one split that the named runs are on."""
    from idbench.results import find_run, find_runs

    runs = list(find_runs(results))
    names = set()
    for word in what:
        found = [run for run in runs if run.record.attack.name == word]
        with suppress(IdbenchError):  # the comparison itself says what is missing
            names |= {run.record.split.name for run in found or [find_run(results, word)]}
    if len(names) > 1:
        raise IdbenchError(
            f"These runs are on several splits: {', '.join(sorted(names))}.", hint="Name one of them with --split."
        )
    return next(iter(names), "avatars")


def _draw(pairings: Sequence[Pairing], plot: Path) -> list[Path]:
    from idbench.cli.plots import MethodCurve, plot_methods

    first = pairings[0]
    curves = [MethodCurve(first.found.name_a, tuple(one.scores_a for one in first.readings))]
    curves += [MethodCurve(one.found.name_b, tuple(r.scores_b for r in one.readings)) for one in pairings]
    inputs = [run.path for one in pairings for reading in one.readings for run in (reading.a, reading.b)]
    return plot_methods(curves, plot, inputs)


def _as_json(one: Pairing) -> dict[str, object]:
    from dataclasses import asdict

    runs = [
        {
            "target": reading.a.record.target.name,
            "corpus": reading.corpus,
            "a": reading.a.record.run_id,
            "seed_a": reading.a.record.seed,
            "b": reading.b.record.run_id,
            "seed_b": reading.b.record.seed,
        }
        for reading in one.readings
    ]
    parameters = {"a": one.a.runs[0].record.parameters, "b": one.b.runs[0].record.parameters}
    sentence = {"sentence": one.found.sentence(), "comparison": asdict(one.found)}
    return {"readings": runs, "parameters": parameters, "corpora": list(one.corpora), **sentence}


def _show(one: Pairing, how: console.Format) -> None:
    from idbench.metrics import NotEstimable
    from idbench.results.summarizing import RATES

    found = one.found
    rows = [
        (
            "AUC",
            f"{found.auc.auc_a:.3f}",
            f"{found.auc.auc_b:.3f}",
            f"{found.auc.difference:+.3f} [{found.auc.interval.low:+.3f}, {found.auc.interval.high:+.3f}]",
            text.p_value(found.auc.p),
        )
    ]
    tested = dict(zip(RATES, found.tpr, strict=True)) if found.tpr else {}
    for fpr, a, b in zip(RATES, one.tpr_a, one.tpr_b, strict=True):
        if isinstance(a, NotEstimable):
            rows.append(_not_estimable(fpr, a))
        elif isinstance(b, NotEstimable):
            rows.append(_not_estimable(fpr, b))
        else:
            rows.append((at_fpr(fpr), f"{a.value:.1%}", f"{b.value:.1%}", *_rate_difference(tested.get(fpr))))
    columns = ("metric", found.name_a, found.name_b, "difference [95 %]", "p")
    console.tabulate(how, _title(one), columns, rows)
    if how != "text":
        return
    for side, runs in ((one.a, [r.a for r in one.readings]), (one.b, [r.b for r in one.readings])):
        unique = list({run.record.run_id: run for run in runs}.values())
        parameters = text.passed(unique[0].record.parameters_passed)
        console.say(f"{side.name}: {parameters}; {', '.join(_run(run) for run in unique)}")
    if len(one.readings) > 1:
        console.say("means over targets and seeds; the interval is for other people and these very targets")
    console.say(found.sentence())


def _run(run: Run) -> str:
    record = run.record
    return f"{record.run_id[:8]} ({record.target.name}, seed {record.seed})"


def _not_estimable(fpr: float, lacking: metrics.NotEstimable) -> tuple[str, str, str, str, str]:
    return at_fpr(fpr), "-", "-", f"not estimable: one non-member is {lacking.resolution:.1%}", "-"


def _rate_difference(rate: metrics.TprDifference | metrics.NotEstimable | None) -> tuple[str, str]:
    from idbench.metrics import TprDifference

    if not isinstance(rate, TprDifference):
        return "-", "-"
    low, high = 100 * rate.interval.low, 100 * rate.interval.high
    return f"{100 * rate.difference:+.1f} points [{low:+.1f}, {high:+.1f}]", text.p_value(rate.p)


def _title(one: Pairing) -> str:
    targets = dict.fromkeys(reading.a.record.target.name for reading in one.readings)
    counted = f"{one.found.n_members} members, {one.found.n_nonmembers} non-members"
    return f"{', '.join(targets)}, labels of {', '.join(one.corpora)}: {counted}"


def _correct(pairings: Sequence[Pairing]) -> None:
    """Several comparisons at once: the p-values of the AUC differences, corrected."""
    from idbench.metrics import holm

    corrected = holm([one.found.auc.p for one in pairings])
    tested_pairs = [f"{one.found.name_b} {text.compared(float(p))}" for one, p in zip(pairings, corrected, strict=True)]
    console.say(f"p of the AUC differences from {pairings[0].found.name_a}, Holm-corrected: {', '.join(tested_pairs)}")
