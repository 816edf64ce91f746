"""`bench score`: compute the metrics of a run again from its scores and the labels."""

from __future__ import annotations

from typing import Annotated

import typer

from idbench.cli import console, options, text
from idbench.wording import at_fpr


def score(
    run: Annotated[str, typer.Argument(help="A run: its path, or the beginning of its id.")],
    corpus: Annotated[str | None, typer.Option(help="Whose labels count; default: those of the run's target.")] = None,
    split: Annotated[str | None, typer.Option(help="Name or folder of the split; default: the run's.")] = None,
    results: options.Results = options.RESULTS,
    json: options.Json = False,
) -> None:
    """Recompute a run's metrics from scores and labels; metrics in the record are ignored."""
    from idbench.results import find_run
    from idbench.runner.scoring import score_run
    from idbench.splits import load_split

    options.check_results(results)
    found = find_run(results, run)
    with console.bars() as progress:
        summary = score_run(found, load_split(split or found.record.split.name, progress), corpus, results)
    if json:
        console.write_json(summary.model_dump(mode="json"))
        return
    title = f"{found.record.attack.name} on {found.record.target.name}, labels of {summary.corpus}"
    rows = [
        ("members, non-members", f"{summary.n_members}, {summary.n_nonmembers}"),
        ("AUC", text.estimate(summary.auc)),
        *((at_fpr(rate.fpr), text.rate(rate)) for rate in summary.tpr),
        ("p against chance", text.p_value(summary.p_chance)),
        ("against the best blind attack", text.blind(summary.blind)),
        ("AUC by training pictures", text.bins(summary.bins)),
    ]
    console.table(title, ("metric", "value"), rows)
