"""`bench run`: run a method and print what its scores are worth."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from idbench.cli import console, options, text
from idbench.errors import IdbenchError

if TYPE_CHECKING:
    from idbench.runner.execute import Executed
    from idbench.runner.grid import Grid, Outcome


T = TypeVar("T")


def run(
    method: Annotated[
        list[str], typer.Option("--method", "-m", help="A registered attack; may be repeated; `all` for every one.")
    ],
    split: options.Split = "avatars",
    target: Annotated[
        str | None,
        typer.Option(help="A target, several by commas, a pattern such as 'avatars-*', or `all`; default: the first."),
    ] = None,
    corpus: Annotated[str | None, typer.Option(help="Whose labels count; default: the target's own.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, counted from --seed.")] = 1,
    preset: Annotated[str | None, typer.Option(help="Named parameters from the method's card, e.g. paper.")] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE", help="A parameter; may be repeated.")
    ] = None,
    results: options.Results = options.RESULTS,
    device: options.Device = "auto",
    time_limit: options.TimeLimit = options.TIME_LIMIT,
    force: options.Force = False,
    json: options.Json = False,
    dry_run: options.DryRun = False,
) -> None:
    """Run an attack and print AUC, TPR at low FPR, tests, cost, and where the record is."""
    from idbench.runner.execute import Options
    from idbench.runner.grid import make_grid, run_grid, run_unscored, unable
    from idbench.runner.registry import list_attacks, load_attack, make_attack
    from idbench.splits import load_split

    usable = [entry.name for entry in list_attacks() if entry.card is not None] if "all" in method else []
    methods = list(dict.fromkeys(name for given in method for name in (usable if given == "all" else [given])))
    params = _parse(param)
    for name in methods:  # a mistyped word is told at once, not after a split was built
        make_attack(load_attack(name), preset, params)
    with console.bars() as progress:
        loaded = load_split(split, progress)
        # Who says `all` means all that can run here; who names a method is told why it cannot.
        left_out = unable(loaded, target, [name for name in usable if name not in method])
        methods = [name for name in methods if name not in left_out]
        grid = make_grid(loaded, methods, target, range(seed, seed + seeds), corpus, preset, params)
        wanted = Options(results, device, time_limit, force)
        withheld = grid.split.manifest.withheld is not None
        unscored, problem = _collect(run_unscored(grid, wanted, progress)) if withheld and not dry_run else ([], None)
        scored = not (dry_run or withheld)
        outcomes, trouble = _collect(run_grid(grid, wanted, progress)) if scored else ([], None)
    failure = problem or trouble
    if failure is not None and not (unscored or outcomes):
        raise failure
    if not json:
        for name, reason in left_out.items():
            console.say(f"{name} is left out: {reason}.")
    if dry_run:
        _announce(grid, wanted.results.as_posix(), json)
    elif withheld:
        _print_unscored(grid, unscored, json)
    elif json:
        _write_json(grid, outcomes)
    else:
        _print(grid, outcomes)
    if failure is not None:
        raise failure


def _collect(found: Iterable[T]) -> tuple[list[T], IdbenchError | None]:
    """What came before the first error, and the error: what is finished is shown all the same."""
    kept: list[T] = []
    try:
        for one in found:
            kept.append(one)
    except IdbenchError as error:
        return kept, error
    return kept, None


def _print_unscored(grid: Grid, runs: list[Executed], json: bool) -> None:
    """Say where the scores are; what they are worth is for the holder of the labels to say."""
    paths = [done.run.path.as_posix() for done in runs]
    if json:
        console.write_json([{"record": path, "withheld": True} for path in paths])
        return
    console.say(f"The test labels of {grid.split.manifest.name} are withheld: scores were written, no metrics.")
    for path in paths:
        console.say(f"record in {path}")
    console.say("Next: send the records to whoever holds the labels; they type bench score RUN --split FOLDER")


def _parse(given: list[str] | None) -> dict[str, object]:
    values: dict[str, object] = {}
    for item in given or ():
        name, sign, value = item.partition("=")
        if not sign or not name:
            raise IdbenchError(f"{item!r} is no parameter.", hint="Write --param NAME=VALUE.")
        values[name] = value
    return values


def _announce(grid: Grid, results: str, json: bool) -> None:
    from pathlib import Path

    from idbench.runner.grid import blind_plans, finished, plans

    rows = [
        (p.method.name, p.target.name, str(p.seed), p.run_id, "done" if finished(p, Path(results)) else "to run")
        for p in (*blind_plans(grid), *plans(grid))
    ]
    unique = list(dict.fromkeys(rows))
    names = ("method", "target", "seed", "run", "state")
    if json:
        console.write_json([dict(zip(names, row, strict=True)) for row in unique])
    else:
        console.table(f"{grid.split.manifest.name}: {len(unique)} runs", names, unique, right=("seed",))


def _write_json(grid: Grid, outcomes: list[Outcome]) -> None:
    from dataclasses import asdict

    from idbench.runner.pooling import pool

    pooled = [
        asdict(p) | {"auc": p.auc.model_dump(mode="json"), "tpr": [rate.model_dump(mode="json") for rate in p.tpr]}
        for p in pool(grid.split, outcomes)
    ]
    runs = [{"record": o.run.path.as_posix(), **o.summary.model_dump(mode="json")} for o in outcomes]
    console.write_json({"runs": runs, "pooled": pooled})


def _print_pooled(grid: Grid, outcomes: list[Outcome]) -> None:
    from idbench.runner.pooling import FEWEST, pool, unpooled

    for name in unpooled(grid.split, outcomes):
        console.say(f"{name} is not pooled: its targets have different numbers of members in the test part")
    pooled = pool(grid.split, outcomes)
    if not pooled:
        return
    names = ", ".join(dict.fromkeys(name for p in pooled for name in p.targets))
    console.table(
        f"pooled over {names}",
        ("method", "targets", "seeds", "AUC [95 %]", "sd over targets", "TPR at 10 % FPR", "TPR at 1 % FPR"),
        [
            (
                p.method,
                str(len(p.targets)),
                str(p.seeds),
                text.estimate(p.auc),
                f"{p.spread:.3f}",
                text.rate(p.tpr[0]),
                text.rate(p.tpr[1]),
            )
            for p in pooled
        ],
        right=("targets", "seeds", "sd over targets"),
    )
    console.say("pooled: mean over targets and seeds; intervals by drawing people, each with all scores; no controls")
    narrow = [f"{r.fpr:.0%}" for r in pooled[0].tpr[:2] if r.value is not None and r.fpr < FEWEST * r.resolution]
    if narrow:
        console.say(
            f"pooled TPR at {' and '.join(narrow)} FPR rests on fewer than {FEWEST} false positives: "
            "its interval is too narrow"
        )


def _print(grid: Grid, outcomes: list[Outcome]) -> None:
    manifest, first = grid.split.manifest, outcomes[0].summary
    people = (
        f"{manifest.name} v{manifest.version}, test part: {first.n_members} members, {first.n_nonmembers} non-members"
    )
    if len(outcomes) == 1:
        record = outcomes[0].run.record
        console.table(f"{record.attack.name} on {record.target.name}\n{people}", ("", ""), _facts(outcomes[0]))
    else:
        columns = (
            "method",
            "target",
            "seed",
            "AUC [95 %]",
            "TPR at 10 % FPR",
            "TPR at 1 % FPR",
            "p",
            "over blind",
            "time",
        )
        console.table(people, columns, [_row(o) for o in outcomes], right=("seed", "time"))
        console.say("p: against chance, by permutation; over blind: AUC minus the best blind attack's, and its p")
        _print_pooled(grid, outcomes)
    for outcome in outcomes:
        for line in _remarks(outcome):
            console.say(line)
    console.say("")
    for outcome in outcomes:
        record = outcome.run.record
        which = "" if len(outcomes) == 1 else f"{record.attack.name} on {record.target.name}, seed {record.seed}, "
        console.say(f"{which}{'read from' if outcome.reused else 'record in'} {outcome.run.path}")
    console.say(_next(outcomes))


def _facts(outcome: Outcome) -> list[tuple[str, str]]:
    record, summary = outcome.run.record, outcome.summary
    asked = {name: count for name, count in record.queries.model_dump().items() if count}
    rows = [
        ("AUC [95 %]", text.estimate(summary.auc)),
        ("TPR at 10 % FPR", text.rate(summary.tpr[0])),
        ("TPR at 1 % FPR", text.rate(summary.tpr[1])),
        ("p against chance", text.p_value(summary.p_chance)),
        ("against the best blind attack", text.blind(summary.blind)),
        ("AUC by training pictures", text.bins(summary.bins)),
        ("rises with them?", "-" if summary.trend_p is None else f"p {text.compared(summary.trend_p)}"),
        ("queries", ", ".join(f"{text.amount(count)} {name}" for name, count in asked.items()) or "none"),
        ("time, memory", f"{text.seconds(record.timings.total)}, {record.peak_memory_mb:.0f} MiB at most"),
    ]
    if summary.decision is not None:
        d = summary.decision
        rows.insert(5, ("at the calibrated threshold", f"TPR {d.tpr:.1%}, FPR {d.fpr:.1%}, accuracy {d.accuracy:.1%}"))
    return rows


def _row(outcome: Outcome) -> tuple[str, ...]:
    record, summary = outcome.run.record, outcome.summary
    blind = summary.blind
    return (
        record.attack.name,
        record.target.name,
        str(record.seed),
        text.estimate(summary.auc),
        text.rate(summary.tpr[0]),
        text.rate(summary.tpr[1]),
        text.p_value(summary.p_chance),
        "-" if blind is None else f"{blind.difference:+.3f} ({text.p_value(blind.p)})",
        text.seconds(record.timings.total),
    )


def _remarks(outcome: Outcome) -> list[str]:
    record, summary = outcome.run.record, outcome.summary
    name = record.attack.name
    lines = []
    if summary.control:
        lines.append(
            f"{record.target.name} is a control: nobody under test is in its training data, labels are those of "
            f"{summary.corpus}, and an honest attack scores chance."
        )
    if record.n_abstained:
        lines.append(f"{name} abstained on {record.n_abstained} of {record.n_cases} cases; these rank lowest.")
    return lines


def _next(outcomes: list[Outcome]) -> str:
    record = outcomes[-1].run.record
    short = record.run_id[:8]
    return (
        f"Next: bench show {short} · bench compare {record.attack.name} cosine · bench data audit {record.split.name}"
    )
