"""`bench run`: run a method and print what its scores are worth."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from idbench.cli import console, options, text
from idbench.errors import IdbenchError
from idbench.wording import counted

if TYPE_CHECKING:
    from idbench.api import Progress
    from idbench.cli.durations import Expected
    from idbench.plugins import Registry
    from idbench.results import RunRecord
    from idbench.runner.execute import Executed, Options
    from idbench.runner.executor import Executor
    from idbench.runner.grid import Grid, Outcome
    from idbench.runner.spec import PlannedAdaptation, PlannedDefense, RunSpec
    from idbench.runner.sweeping import Sweep
    from idbench.splits import Split


T = TypeVar("T")


def run(
    method: Annotated[
        list[str] | None,
        typer.Option("--method", "-m", help="A registered attack; may be repeated; `all` for every one."),
    ] = None,
    split: options.Split = "avatars",
    target: Annotated[
        str | None,
        typer.Option(
            help="A target, several separated by commas, a pattern such as 'avatars-*', or `all`; default: the first."
        ),
    ] = None,
    corpus: Annotated[str | None, typer.Option(help="Whose labels count; default: the target's own.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=options.MAX_SEED, help="The first seed.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, max=10_000, help="How many seeds, counted from --seed.")] = 1,
    preset: Annotated[str | None, typer.Option(help="Named parameters from the method's card, e.g. paper.")] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE", help="A parameter; may be repeated.")
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=V1,V2",
            help="Try several values, judged on the calibration people alone; may be repeated: every combination.",
        ),
    ] = None,
    defense: Annotated[
        list[str] | None,
        typer.Option(
            help="A defense that the target is put behind; may be repeated; `all` for every one, `none` for the target "
            "as it is."
        ),
    ] = None,
    adapt: Annotated[
        list[str] | None,
        typer.Option(
            help="What an attacker who knows of the defense changes; may be repeated; `all` for every one, `none` for "
            "the attack as it is."
        ),
    ] = None,
    adapt_param: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A parameter of the adaptation; may be repeated.")
    ] = None,
    defense_preset: Annotated[str | None, typer.Option(help="Named parameters from the defense's card.")] = None,
    defense_param: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A parameter of the defense; may be repeated.")
    ] = None,
    results: options.Results = options.RESULTS,
    device: options.Device = "auto",
    time_limit: options.TimeLimit = options.TIME_LIMIT,
    force: options.Force = False,
    write_plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the runs to a plan instead, for --plan here or on other machines."),
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Carry out the runs of a written plan, instead of --method.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="ID", help="One run of the plan, by the beginning of its id; may be repeated."),
    ] = None,
    jobs: options.Jobs = 1,
    executor: options.ExecutorName = "local",
    cpus_per_run: options.CpusPerRun = 1.0,
    gpus_per_run: options.GpusPerRun = 0.0,
    how: options.Format = "text",
    json: options.Json = False,
    dry_run: options.DryRun = False,
) -> None:
    """Run an attack and print AUC, TPR at low FPR, tests, cost, and where the record is."""
    from idbench.runner.execute import Options

    wanted = Options(results, device, time_limit, force)
    machines = _machines(executor, jobs, cpus_per_run, gpus_per_run)
    if executor == "local":
        _check_device(device)
    if plan is not None:
        if method or defense or adapt or write_plan is not None:
            raise IdbenchError(
                "--plan has its methods, defenses and adaptations and is written already.",
                hint="Leave --method, --defense, --adapt and --write-plan out.",
            )
        _run_plan(plan, only or [], wanted, machines, json, dry_run)
        return
    if only:
        raise IdbenchError("--only chooses among the runs of a plan.", hint="Add --plan FILE.")
    if not method:
        raise IdbenchError("No method to run.", hint="Add --method NAME; `bench list` shows the methods.")
    params = parse_parameters(param)
    wanted_seeds = range(seed, _last(seed, seeds))
    if varied := _varied(method, preset, params, parse_parameters(sweep)):
        if defense or adapt or write_plan is not None:
            raise IdbenchError("A sweep runs here and on the target as it is.", hint="Leave the other option out.")
        _sweep(method[0], varied, params, split, target, wanted_seeds, corpus, preset, wanted, json, dry_run)
        return
    defenses = _defenses(defense or [], defense_preset, parse_parameters(defense_param))
    adaptations = _adaptations(adapt or [], parse_parameters(adapt_param))
    with console.bars() as progress:
        grid, left_out = _grid(
            method, split, target, wanted_seeds, corpus, preset, params, defenses, adaptations, progress
        )
        planned_only = dry_run or write_plan is not None
        if not json:
            _say_before(grid, left_out, None if planned_only else wanted.results)
        outcomes, unscored, failure = ([], [], None) if planned_only else _carry_out(grid, wanted, machines, progress)
    if write_plan is not None:
        _write_plan(grid, write_plan, json, dry_run)
    elif dry_run:
        _announce(grid, wanted.results, json)
    else:
        _show(grid.split, outcomes, unscored, failure, json, how)


def _check_device(device: str) -> None:
    """Refuse a device that is not there before anything is prepared for it; torch is loaded for accelerators alone."""
    if device not in ("auto", "cpu"):
        from idbench.runner.opening import choose_device

        choose_device(device)


def _say_before(grid: Grid, left_out: Sequence[tuple[str, str]], results: Path | None) -> None:
    """What a person should know before a grid is carried out in a results folder, or only planned."""
    for name, reason in left_out:
        console.say(f"{name} is left out: {reason}.")
    _say_seedless(grid)
    if results is not None:
        _warn_of_training(grid, results)


def _say_seedless(grid: Grid) -> None:
    """Name the methods that run once although several seeds were asked for."""
    if names := grid.seedless:
        verb = "does" if len(names) == 1 else "do"
        console.say(f"{', '.join(names)} {verb} not depend on the seed: one run for all seeds.")


def _warn_of_training(grid: Grid, results: Path) -> None:
    """Before shadow models are trained, say how long that takes."""
    from idbench.api import Access
    from idbench.cli.durations import Durations
    from idbench.runner.grid import is_done, specs
    from idbench.runner.registry import load_attack

    shadowy = {m.name for m in grid.methods if Access.TRAIN_SHADOWS in load_attack(m.name).card.access}
    waiting = [spec for spec in specs(grid) if spec.attack.name in shadowy and not is_done(spec, results)]
    if not waiting:
        return
    durations = Durations(results)
    known = [durations.expected(spec) for spec in waiting]
    training = max((one.training for one in known), default=0.0)
    sources = ", ".join(dict.fromkeys(one.measured for one in known if one.measured))
    how_long = f"up to {text.seconds(training)} for each target and seed ({sources})" if training else "perhaps hours"
    names = ", ".join(dict.fromkeys(spec.attack.name for spec in waiting))
    console.say(f"{names}: shadow models are trained first, {how_long}, and kept for later runs.")


def _varied(
    method: list[str], preset: str | None, params: dict[str, object], swept: dict[str, object]
) -> dict[str, list[object]]:
    """Parameters with several values, from --sweep and from --param; these leave `params`."""
    from idbench.runner.sweeping import as_sweep

    if (swept and len(method) != 1) or ("all" in method and swept):
        raise IdbenchError("A sweep tries settings of one method.", hint="Give one --method.")
    if len(method) != 1 or method == ["all"]:
        return {}
    if twice := [name for name in swept if name in params]:
        raise IdbenchError(f"{twice[0]} is given by --param and by --sweep.", hint="Give it once.")
    found: dict[str, list[object]] = {name: [*str(value).split(",")] for name, value in swept.items()}
    found |= as_sweep(method[0], preset, params)
    for name, values in found.items():
        params.pop(name, None)
        if len(set(map(str, values))) < len(values):
            raise IdbenchError(f"A value of {name} is given twice.", hint="Give each value once.")
    return found


def _sweep(
    method: str,
    varied: dict[str, list[object]],
    fixed: dict[str, object],
    split: str,
    target: str | None,
    seeds: range,
    corpus: str | None,
    preset: str | None,
    wanted: Options,
    json: bool,
    dry_run: bool,
) -> None:
    """Try settings on the calibration people, and say which they prefer."""
    from idbench.runner.grid import specs
    from idbench.runner.sweeping import plan_sweep, run_sweep, usual_setting
    from idbench.splits import load_split

    with console.bars() as progress:
        opened = load_split(split, progress)
        grids = plan_sweep(opened, method, varied, fixed, target=target, seeds=seeds, corpus=corpus, preset=preset)
        if dry_run:
            runs = [spec for _, grid in grids for spec in specs(grid)]
            settings = [text.parameters(values) for values, grid in grids for _ in specs(grid)]
            _list_runs(
                f"{len(grids)} settings, {counted(len(runs), 'run', 'runs')}", runs, wanted.results, json, settings
            )
            return
        found = run_sweep(opened, grids, wanted, progress)
    best = found.settings[found.best]
    if json:
        rows = [
            {"values": dict(s.values), "auc": s.auc.model_dump(mode="json"), "p": s.difference_p, "runs": s.run_ids}
            for s in found.settings
        ]
        console.write_json({"part": "calibration", "people": found.people, "best": found.best, "settings": rows})
        return
    console.table(
        f"{method} on {found.people} calibration people of {opened.manifest.name}",
        (*varied, "AUC [95 %]", "worse than the best?", "runs"),
        [
            (
                *(str(s.values[name]) for name in varied),
                text.estimate(s.auc),
                "the best" if s.difference_p is None else f"p {text.compared(s.difference_p)}",
                ", ".join(run[:8] for run in s.run_ids),
            )
            for s in found.settings
        ],
    )
    targets = [spec.name for spec, _ in grids[0][1].targets]
    if len(best.run_ids) > 1:
        console.say(f"AUC: mean over {', '.join(targets)}{f' and {len(seeds)} seeds' if len(seeds) > 1 else ''}")
    console.say(_preference(found, usual_setting(grids, preset, fixed)))
    console.say("The people under test were not looked at.")
    usual = {"--split": "avatars", "--target": None, "--corpus": None, "--preset": None, "--seed": 0, "--seeds": 1}
    asked = (split, target, corpus, preset, seeds[0], len(seeds))
    other = [(name, value) for (name, without), value in zip(usual.items(), asked, strict=True) if value != without]
    again = (*chain.from_iterable(other), *_as_options({**fixed, **best.values}))
    command = text.typed("bench", "run", "-m", method, *again)
    console.next_steps(f"{command}{options.results_again(wanted.results)}")


def _preference(found: Sweep, usual: int | None) -> str:
    """Which setting the calibration people prefer, and what they do not tell from it."""
    named = [text.typed(*_as_options(one.values)) for one in found.settings]
    sentence = f"The calibration people prefer {named[found.best]}"
    if usual == found.best:
        return f"{sentence}, which is what runs have without --sweep."
    if usual in found.close:
        return f"{sentence}, but do not tell it from {named[usual]}, which runs have without --sweep: keep that."
    if not found.close:
        return f"{sentence}."
    others = named[found.close[0]] if len(found.close) == 1 else f"{len(found.close)} others"
    return f"{sentence}, but do not tell it from {others}."


def _as_options(values: Mapping[str, object]) -> list[str]:
    """Parameters as they are typed."""
    return [word for name, value in values.items() for word in ("-p", f"{name}={value}")]


def _defenses(names: list[str], preset: str | None, params: dict[str, object]) -> list[PlannedDefense | None]:
    """The defenses that a person typed, each once; None for the undefended target."""
    from idbench.runner.registry import DEFENSES
    from idbench.runner.spec import plan_defense

    if not names:
        if preset is not None or params:
            raise IdbenchError("There are parameters of a defense, but no defense.", hint="Add --defense NAME.")
        return [None]
    planned = [None if name == "none" else plan_defense(name, preset, params) for name in _expanded(names, DEFENSES)]
    if planned == [None] and (preset is not None or params):
        raise IdbenchError("`none` has no parameters.", hint="Leave --defense-param and --defense-preset out.")
    if not planned:
        raise IdbenchError("No defense is installed.", hint="`bench list defenses` shows what there is.")
    return planned


def _adaptations(names: list[str], params: dict[str, object]) -> list[PlannedAdaptation | None]:
    """The adaptations that a person typed, each once; None for the attack as it is."""
    from idbench.runner.registry import ADAPTATIONS
    from idbench.runner.spec import plan_adaptation

    if not names:
        if params:
            raise IdbenchError("There are parameters of an adaptation, but no adaptation.", hint="Add --adapt NAME.")
        return [None]
    wanted = _expanded(names, ADAPTATIONS)
    if params and wanted == ["none"]:
        raise IdbenchError("`none` has no parameters.", hint="Leave --adapt-param out.")
    return [None if name == "none" else plan_adaptation(name, None, params) for name in wanted]


def _expanded(names: list[str], registry: Registry[Any]) -> list[str]:
    """The names that a person typed, each once; `all` stands for everything that can be used, and says what cannot."""
    entries = registry.entries() if "all" in names else []
    for entry in entries:
        if entry.value is None:
            console.note(f"{entry.name} is left out: {entry.reason}")
    usable = [entry.name for entry in entries if entry.value is not None]
    return list(dict.fromkeys(name for given in names for name in (usable if given == "all" else [given])))


def _last(seed: int, seeds: int) -> int:
    if seed + seeds - 1 > options.MAX_SEED:
        raise IdbenchError(f"The last of {seeds} seeds from {seed} is too large.", hint="Use seeds below 2**63.")
    return seed + seeds


def _grid(
    method: list[str],
    split: str,
    target: str | None,
    seeds: range,
    corpus: str | None,
    preset: str | None,
    params: dict[str, object],
    defenses: list[PlannedDefense | None],
    adaptations: list[PlannedAdaptation | None],
    progress: Progress,
) -> tuple[Grid, list[tuple[str, str]]]:
    """The grid that the options ask for, and the methods that `all` leaves out, each with the reason."""
    from idbench.runner.grid import make_grid, named_refusals, unable
    from idbench.runner.registry import ATTACKS, load_attack, make_method
    from idbench.splits import load_split

    methods = _expanded(method, ATTACKS)
    for name in methods:  # a typo is reported at once, not after a split was built
        make_method(load_attack(name), preset, params)
    loaded = load_split(split, progress)
    # `all` means all that can run here; for a method that was named, an error says why it cannot.
    left_out = unable(loaded, target, [name for name in methods if name not in method])
    methods = [name for name in methods if name not in left_out]
    grid = make_grid(loaded, methods, target, seeds, corpus, preset, params, defenses, progress, adaptations)
    refusals = named_refusals(grid)
    if not grid.size:
        name, reason = refusals[0]
        raise IdbenchError(f"{name} cannot be carried out {reason}.", hint="Choose another attack.")
    return grid, [*left_out.items(), *refusals]


def _machines(executor: str, jobs: int, processors: float, gpus: float) -> Executor | None:
    """What carries the runs out; None for one after the other, in this process's own workers."""
    if executor == "ray":
        from idbench.runner.on_ray import OnRay

        if jobs != 1:
            raise IdbenchError(
                "--jobs is for --executor local.", hint="Ray runs as many at once as its processors allow."
            )
        return OnRay(processors, gpus)
    if jobs == 1:
        return None
    from idbench.runner.crew import Crew

    return Crew(jobs)


def _carry_out(
    grid: Grid, wanted: Options, machines: Executor | None, progress: Progress
) -> tuple[list[Outcome], list[Executed], IdbenchError | None]:
    from idbench.runner.grid import run_grid, run_unscored

    if grid.split.manifest.withheld is None:
        outcomes, failure = _collect(run_grid(grid, wanted, progress, machines))
        return outcomes, [], failure
    unscored, failure = _collect(run_unscored(grid, wanted, progress, machines))
    return [], unscored, failure


def _run_plan(
    plan: Path, only: list[str], wanted: Options, machines: Executor | None, json: bool, dry_run: bool
) -> None:
    """Carry out runs of a written plan; each is compared with the blind attacks that have records."""
    from idbench.runner.executor import LocalExecutor
    from idbench.runner.grid import judged, run_specs
    from idbench.runner.scoring import blind_runs
    from idbench.runner.spec import Resolver, read_plan

    specs = read_plan(plan, only)
    if dry_run:
        _list_runs(f"{plan}: {counted(len(specs), 'run', 'runs')}", specs, wanted.results, json)
        return
    with console.bars() as progress:
        resolver = Resolver(progress)
        done, failure = _collect(run_specs(specs, wanted, progress, machines or LocalExecutor(resolver)))
        open_splits = {each.spec.split.source: resolver.split(each.spec.split) for each in done}
        scored = [each for each in done if open_splits[each.spec.split.source].manifest.withheld is None]
        outcomes = [
            judged(each, open_splits[each.spec.split.source], blind_runs(each.run, wanted.results)) for each in scored
        ]
    unscored = [each for each in done if each not in scored]
    if failure is not None and not done:
        raise failure
    for source, split in open_splits.items():
        own = [o for o, each in zip(outcomes, scored, strict=True) if each.spec.split.source == source]
        rest = [each for each in unscored if each.spec.split.source == source]
        _show(split, own, rest, None, json)
    if failure is not None:
        raise failure


def _show(
    split: Split,
    outcomes: list[Outcome],
    unscored: list[Executed],
    failure: IdbenchError | None,
    json: bool,
    how: console.Format = "text",
) -> None:
    """Print what was finished, even if other runs failed."""
    if failure is not None and not (unscored or outcomes):
        raise failure
    if split.manifest.withheld is not None:
        _print_unscored(split, unscored, json)
    elif json:
        _write_json(split, outcomes)
    elif how != "text":
        _tabulate(split, outcomes, how)
    else:
        _print(split, outcomes)
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


def _print_unscored(split: Split, runs: list[Executed], json: bool) -> None:
    """Say where the scores are; only the holder of the labels can compute metrics."""
    paths = [done.run.path.as_posix() for done in runs]
    if json:
        console.write_json([{"record": path, "withheld": True} for path in paths])
        return
    console.say(f"The test labels of {split.manifest.name} are withheld: scores were written, no metrics.")
    for path in paths:
        console.say(f"record in {path}")
    console.say("Send the folder of the records to the holder of the labels, who answers with metrics:")
    console.command("bench challenge answer FOLDER --split PRIVATE --log FILE")


def parse_parameters(given: list[str] | None) -> dict[str, object]:
    """Parameters as typed, NAME=VALUE each."""
    values: dict[str, object] = {}
    for item in given or ():
        name, sign, value = item.partition("=")
        if not sign or not name:
            raise IdbenchError(f"{item!r} is not a parameter.", hint="Write --param NAME=VALUE.")
        if name in values:
            raise IdbenchError(
                f"The parameter {name} is given twice.",
                hint=f"Give it once; to try several values: --sweep {name}={values[name]},{value}.",
            )
        values[name] = value
    return values


def _write_plan(grid: Grid, path: Path, json: bool, dry_run: bool) -> None:
    from idbench.outputs import check_file
    from idbench.runner.grid import blind_specs, specs
    from idbench.runner.spec import read_plan, write_plan

    place = check_file(path, "plan", lambda file: bool(read_plan(file)))
    runs = {spec.run_id: spec for spec in (*blind_specs(grid), *specs(grid))}
    if not dry_run:
        write_plan(place, runs.values())
    if json:
        console.write_json({"plan": path.as_posix(), "runs": list(runs), "written": not dry_run})
        return
    console.say(
        f"{'would write' if dry_run else 'wrote'} {counted(len(runs), 'run', 'runs')} to {path}, blind attacks included"
    )
    console.next_steps(text.typed("bench", "run", "--plan", path, "--only", "ID"))
    console.say("It runs on any machine that has the same split, targets and methods.")


def _announce(grid: Grid, results: Path, json: bool) -> None:
    from idbench.runner.grid import blind_specs, specs

    runs = list({spec.run_id: spec for spec in (*blind_specs(grid), *specs(grid))}.values())
    _list_runs(f"{grid.split.manifest.name}: {counted(len(runs), 'run', 'runs')}", runs, results, json)


def _list_runs(
    title: str, runs: Sequence[RunSpec], results: Path, json: bool, settings: Sequence[str] | None = None
) -> None:
    """Print runs, what is done of them, and how long the others take; with settings, what each run tries."""
    from idbench.cli.durations import Durations, Expected, in_all
    from idbench.runner.grid import is_done

    durations = Durations(results)
    done = [is_done(spec, results) for spec in runs]
    expected = [
        Expected(0.0) if finished else durations.expected(spec) for spec, finished in zip(runs, done, strict=True)
    ]
    rows = [
        (
            spec.attack.name,
            setting,
            spec.target.name,
            spec.defense.name if spec.defense else "-",
            spec.adaptation.name if spec.adaptation else "-",
            str(spec.seed),
            spec.run_id,
            "done" if finished else "to run",
            "-" if finished else _about(one),
        )
        for spec, setting, finished, one in zip(runs, settings or ["-"] * len(runs), done, expected, strict=True)
    ]
    names = ("method", "parameters", "target", "defense", "adaptation", "seed", "run", "state", "takes about")
    if json:
        console.write_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        short = [(*row[:6], row[6][:8], *row[7:]) for row in rows]
        spare = ("parameters", "adaptation", "defense", "seed", "state", "run")
        console.table(title, names, short, right=("seed",), spare=spare)
        if sentence := in_all(expected):
            console.say(sentence)


def _about(one: Expected) -> str:
    """E.g. `20 s`, `90 s + 24 min training`, `not known`."""
    if one.seconds is None:
        return "not known"
    more = f" + {text.seconds(one.training)} training" if one.training else ""
    return f"{text.seconds(one.seconds)}{more}"


def _write_json(split: Split, outcomes: list[Outcome]) -> None:
    from dataclasses import asdict

    from idbench.runner.pooling import pool

    pooled = [
        asdict(p) | {"auc": p.auc.model_dump(mode="json"), "tpr": [rate.model_dump(mode="json") for rate in p.tpr]}
        for p in pool(split, outcomes)
    ]
    runs = [{"record": o.run.path.as_posix(), **o.summary.model_dump(mode="json")} for o in outcomes]
    console.write_json({"runs": runs, "pooled": pooled})


def _print_pooled(split: Split, outcomes: list[Outcome]) -> None:
    from idbench.runner.pooling import pool, unpooled

    for name in unpooled(split, outcomes):
        console.say(f"{name} is not pooled: its targets have different numbers of members in the test part")
    pooled = pool(split, outcomes)
    if not pooled:
        return
    names = ", ".join(dict.fromkeys(name for p in pooled for name in p.targets))
    columns = ("method", "defense", "targets", "seeds", "AUC [95 %]", "sd over targets", "TPR at 10 % FPR")
    console.table(
        f"pooled over {names}",
        (*columns, "TPR at 1 % FPR"),
        [
            (
                p.method,
                p.defense or "-",
                str(len(p.targets)),
                str(p.seeds),
                text.estimate(p.auc),
                f"{p.spread:.3f}",
                text.rate(p.tpr[0]),
                text.rate(p.tpr[1]),
            )
            for p in pooled
        ],
        ("targets", "seeds", "sd over targets"),
        [name for name in _SPARE if name in (*columns, "TPR at 1 % FPR")],
    )
    console.say("pooled: mean over targets and seeds, without controls; intervals over people, for these targets")


def _tabulate(split: Split, outcomes: list[Outcome], how: console.Format) -> None:
    """The results as one table for a paper."""
    columns, rows = _table_of(outcomes)
    title = f"{split.manifest.name} v{split.manifest.version}, test part"
    console.tabulate(how, title, columns, rows, right=("seed", "time"))


def _table_of(outcomes: list[Outcome]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """All columns of a table of runs, and its rows; without defenses or adaptations, no columns for them."""
    defended = any(o.run.record.defense for o in outcomes)
    adapted = any(o.run.record.adaptation for o in outcomes)
    columns = (
        *("method", *(("adaptation",) if adapted else ()), "target"),
        *(("defense", "AUC of the protected", "of the others") if defended else ()),
        *("seed", "AUC [95 %]", "TPR at 10 % FPR", "TPR at 1 % FPR", "p", "over blind", "time"),
    )
    return columns, [_row(o, _by(o) if adapted else (), _behind(o) if defended else ()) for o in outcomes]


_SPARE = (
    *("adaptation", "defense", "seeds", "TPR at 10 % FPR", "seed", "AUC of the protected", "TPR at 1 % FPR"),
    *("sd over targets", "p", "over blind", "of the others", "time"),
)
"""Columns of results that a narrow terminal does without, the least important last."""


def _print(split: Split, outcomes: list[Outcome]) -> None:
    manifest, first = split.manifest, outcomes[0].summary
    people = (
        f"{manifest.name} v{manifest.version}, test part: {first.n_members} members, {first.n_nonmembers} non-members"
    )
    if len(outcomes) == 1:
        record = outcomes[0].run.record
        console.table(f"{_title(record)}\n{people}", ("", ""), _facts(outcomes[0]))
    else:
        columns, rows = _table_of(outcomes)
        spare = [name for name in _SPARE if name in columns]
        missing = console.table(people, columns, rows, ("seed", "time"), spare)
        if "p" not in missing and "over blind" not in missing:
            console.say("p: against chance, two-sided; over blind: AUC minus the best blind attack's, and its p")
        _print_pooled(split, outcomes)
    for outcome in outcomes:
        for line in _remarks(outcome):
            console.say(line)
    console.say("")
    for outcome in outcomes:
        record = outcome.run.record
        which = "" if len(outcomes) == 1 else f"{_title(record)}, seed {record.seed}, "
        console.say(f"{which}{'read from' if outcome.reused else 'record in'} {outcome.run.path}")
    console.next_steps(*_next(split, outcomes))


def _title(record: RunRecord) -> str:
    behind = "" if record.defense is None else f" behind {record.defense.name}"
    adapted = "" if record.adaptation is None else f" adapted by {record.adaptation.name}"
    return f"{record.attack.name}{adapted} on {record.target.name}{behind}"


def _by(outcome: Outcome) -> tuple[str]:
    """The adaptation."""
    adaptation = outcome.run.record.adaptation
    return ("-" if adaptation is None else adaptation.name,)


def _behind(outcome: Outcome) -> tuple[str, ...]:
    """The defense, and the AUC of the people that it protects and of the others."""
    defense = outcome.run.record.defense
    groups = {group.group: text.estimate(group.auc) for group in outcome.summary.groups}
    return ("-" if defense is None else defense.name, groups.get("protected", "-"), groups.get("unprotected", "-"))


def _facts(outcome: Outcome) -> list[tuple[str, str]]:
    record, summary = outcome.run.record, outcome.summary
    asked = {name: count for name, count in record.queries.model_dump().items() if count}
    decision = []
    if summary.decision is not None:
        d = summary.decision
        rates = f"TPR {d.tpr:.1%}, FPR {d.fpr:.1%}, accuracy {d.accuracy:.1%}"
        decision.append(("at the calibrated threshold", rates))
    return [
        ("AUC [95 %]", text.estimate(summary.auc)),
        *text.defended(record.defense, summary),
        ("TPR at 10 % FPR", text.rate(summary.tpr[0])),
        ("TPR at 1 % FPR", text.rate(summary.tpr[1])),
        ("p against chance", text.p_value(summary.p_chance)),
        *decision,
        ("against the best blind attack", text.blind(summary.blind)),
        ("AUC by training pictures", text.bins(summary.bins)),
        ("rises with them?", "-" if summary.trend_p is None else f"p {text.compared(summary.trend_p)}"),
        ("queries", ", ".join(f"{text.amount(count)} {name}" for name, count in asked.items()) or "none"),
        ("time, memory", f"{text.seconds(record.timings.total)}, {record.peak_memory_mb:.0f} MiB at most"),
    ]


def _row(outcome: Outcome, by: tuple[str, ...], behind: tuple[str, ...]) -> tuple[str, ...]:
    record, summary = outcome.run.record, outcome.summary
    blind = summary.blind
    return (
        record.attack.name,
        *by,
        record.target.name,
        *behind,
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
        why = text.reasons(outcome.run.scores().abstentions())
        lines.append(f"{name} abstained on {record.n_abstained} of {record.n_cases} cases ({why}); these rank lowest.")
    return lines


def _next(split: Split, outcomes: list[Outcome]) -> tuple[str, ...]:
    run = outcomes[-1].run
    record = run.record
    others = [o.run.record.attack.name for o in outcomes if o.run.record.target == record.target]
    other = next((name for name in others if name != record.attack.name), None)
    own = "cosine" if record.attack.name != "cosine" else "idia"
    proposed = f"compare {record.attack.name} {other}" if other else f"run -m {own} -m {record.attack.name}"
    again, where = _again(split), options.results_again(run.path.parents[2])
    if again != "avatars":
        proposed += f" --split {again}" if other else f" --split {again} --target {shlex.quote(record.target.name)}"
    if outcomes[-1].summary.corpus != record.target.corpus:
        proposed += f" --corpus {shlex.quote(outcomes[-1].summary.corpus)}"
    return f"bench show {record.run_id[:8]}{where}", f"bench {proposed}{where}", f"bench data audit {again}"


def _again(split: Split) -> str:
    """How a split that is open is named in another command."""
    from idbench.splits import split_names

    name = split.manifest.name
    if split.origin is not None:
        return shlex.quote(str(split.origin))
    return name if name in split_names() else shlex.quote(str(split.folder))
