"""`bench compare`: two methods on the same people, and one sentence on what follows."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from idbench.cli import console, options, text


def compare(
    a: Annotated[str, typer.Argument(help="A method (its latest run counts), or a run's path or id.")],
    b: Annotated[str, typer.Argument(help="Another.")],
    split: options.Split = "avatars",
    target: Annotated[str | None, typer.Option(help="For method names; default: the split's first target.")] = None,
    corpus: Annotated[str | None, typer.Option(help="Whose labels count; default: the target's own.")] = None,
    margin: Annotated[float, typer.Option(min=0.0001, max=0.5, help="AUC difference that does not matter.")] = 0.02,
    results: options.Results = options.RESULTS,
    json: options.Json = False,
) -> None:
    """Compare two methods: difference, interval, p, and what follows."""
    from idbench.metrics import NotEstimable
    from idbench.runner.comparing import compare_runs
    from idbench.runner.evaluate import RATES
    from idbench.splits import load_split

    options.check_results(results)
    with console.bars() as progress:
        pairing = compare_runs(a, b, load_split(split, progress), target, results, corpus, margin)
    found = pairing.found
    if json:
        runs = {"a": pairing.a.record.run_id, "b": pairing.b.record.run_id, "corpus": pairing.corpus}
        console.write_json(runs | {"sentence": found.sentence(), "comparison": asdict(found)})
        return
    rows = [
        (
            "AUC",
            f"{found.auc.auc_a:.3f}",
            f"{found.auc.auc_b:.3f}",
            f"{found.auc.difference:+.3f} [{found.auc.interval.low:+.3f}, {found.auc.interval.high:+.3f}]",
            text.p_value(found.auc.p),
        )
    ]
    for fpr, rate in zip(RATES, found.tpr, strict=True):
        if isinstance(rate, NotEstimable):
            lacking = f"not estimable: one non-member is {rate.resolution:.1%}"
            rows.append((f"TPR at {fpr:g} FPR", "-", "-", lacking, "-"))
            continue
        rows.append(
            (
                f"TPR at {rate.fpr:g} FPR",
                f"{rate.tpr_a:.3f}",
                f"{rate.tpr_b:.3f}",
                f"{rate.difference:+.3f} [{rate.interval.low:+.3f}, {rate.interval.high:+.3f}]",
                text.p_value(rate.p),
            )
        )
    title = (
        f"{pairing.a.record.target.name}, labels of {pairing.corpus}: "
        f"{found.n_members} members, {found.n_nonmembers} non-members"
    )
    console.table(title, ("metric", found.name_a, found.name_b, "difference [95 %]", "p"), rows)
    console.say(found.sentence())
