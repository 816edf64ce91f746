"""`bench study`: what the papers show by curves, rerun here; a table and a figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from idbench.cli import console, options, text
from idbench.wording import counted

if TYPE_CHECKING:
    from idbench.studies.catalogue import Study
    from idbench.studies.defenses import DefenseResult
    from idbench.studies.setting import Setting
    from idbench.studies.table import Point, StudyResult


def study(
    name: Annotated[str, typer.Argument(help="A study; default: list them.")] = "",
    split: options.Split = "avatars",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for table and figure; default: studies/NAME-SPLIT.")
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option(
            help="Three separated by commas: trained on A, trained on B, the control; default: the registered ones."
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="Runs of each target, with seeds counted from 0; default: the study's own."),
    ] = None,
    results: options.Results = options.RESULTS,
    device: options.Device = "auto",
    time_limit: options.TimeLimit = options.TIME_LIMIT,
    jobs: options.Jobs = 1,
    force: options.Overwrite = False,
    so_far: Annotated[
        bool, typer.Option("--so-far", help="Table and figure of what is finished; runs nothing.")
    ] = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
) -> None:
    """Rerun a study on two targets and their control; finished runs are reused. Writes CSV, JSON, SVG and PNG."""
    from idbench.api.studies import DefenseStudy
    from idbench.outputs import check_file
    from idbench.splits import load_split
    from idbench.studies.catalogue import STUDIES, run_defense_study, run_study
    from idbench.studies.defenses import is_defense_result
    from idbench.studies.setting import Setting, choose_audited
    from idbench.studies.table import is_result_of

    if not name:
        show_studies(json)
        return
    wanted = STUDIES.load(name)  # a typo is reported at once, not after a split was built
    with console.bars() as progress:
        loaded = load_split(split, progress)
        counted = tuple(range(wanted.seeds if seeds is None else seeds))
        setting = Setting(loaded, choose_audited(loaded, targets), counted, results, device, time_limit, jobs)
        folder = out or Path("studies") / f"{name}-{loaded.manifest.name}"
        for kind in ("csv", "json", "svg", "png"):
            check_file(
                folder / f"{name}.{kind}",
                f"result of {name}",
                lambda _: is_result_of(name, folder) or is_defense_result(name, folder),
                force=force,
                note=console.note,
            )
        if dry_run:
            _announce(wanted, setting, folder, json)
            return
        if isinstance(wanted, DefenseStudy):
            worst, files = run_defense_study(wanted, setting, folder, progress, so_far=so_far)
        else:
            result, files = run_study(wanted, setting, folder, progress, so_far=so_far)
    if isinstance(wanted, DefenseStudy):
        if json:
            console.write_json(worst.model_dump(mode="json"))
            return
        _print_defenses(worst)
        console.say(f"written: {', '.join(file.as_posix() for file in files)}")
        return
    if json:
        import dataclasses

        console.write_json(dataclasses.asdict(result))
    else:
        _print(result)
        console.say(f"written: {', '.join(file.as_posix() for file in files)}")


def study_rows() -> list[dict[str, str]]:
    """The registered studies, as rows of a table."""
    from idbench.studies.catalogue import STUDIES

    return [{"name": s.name, "title": s.title, "after": s.source} for entry in STUDIES.entries() if (s := entry.value)]


def show_studies(json: bool) -> None:
    """Print the registered studies."""
    rows = study_rows()
    if json:
        console.write_json(rows)
    else:
        console.table("studies", list(rows[0]), [list(row.values()) for row in rows])
        console.next_steps("bench study NAME --dry-run", "bench study NAME")


def _announce(wanted: Study, setting: Setting, folder: Path, json: bool) -> None:
    from idbench.api import Silent
    from idbench.studies.catalogue import derive, plan
    from idbench.studies.execution import job_done

    derived = derive(wanted, setting.split)
    # Run ids depend on the content of the split: before it is made, no run of it can have a record.
    jobs = plan(wanted, setting, derived.open(Silent()) if derived.ready else setting.split)
    rows = []
    for job in jobs:
        known = derived.ready and job.spec.target.sha256 is not None
        state = "done" if known and job_done(job, setting) else "to run"
        with_ = job.spec.adaptation.name if job.spec.adaptation else "-"
        behind = job.spec.defense.name if job.spec.defense else "-"
        name, target = job.spec.attack.name, job.audited.target.name
        where = (job.audited.series, target, str(job.spec.seed), job.spec.run_id if known else "-", state)
        rows.append((name, with_, behind, *where))
    names = ("method", "adaptation", "defense", "series", "target", "seed", "run", "state")
    if json:
        runs = [dict(zip(names, row, strict=True)) for row in rows]
        console.write_json(
            {"split": derived.name, "split_ready": derived.ready, "out": folder.as_posix(), "runs": runs}
        )
        return
    short = [(*row[:6], row[6][:8], row[7]) for row in rows]
    spare = ("adaptation", "defense", "series", "seed", "state", "run")
    console.table(
        f"{wanted.name} on {derived.name}: {counted(len(rows), 'run', 'runs')}", names, short, ("seed",), spare
    )
    if not derived.ready:
        console.say(f"would make {derived.name} from {setting.split.manifest.name}, once, in the cache")
    untrained = sorted({job.audited.target.name for job in jobs if job.spec.target.sha256 is None})
    if untrained:
        console.say(f"would train {', '.join(untrained)}, once, in the cache")
    console.say(f"would write {wanted.name}.csv, .json, .svg and .png to {folder.as_posix()}")


def _print(result: StudyResult) -> None:
    from idbench.studies.execution import CONTROL, TARGETS
    from idbench.studies.table import STATISTICS

    shown = [s for s in STATISTICS if any(p.statistic == s for p in result.points)]
    varied = list(dict.fromkeys(name for point in result.points for name in point.settings or {}))
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    targets = TARGETS if any(point.series == TARGETS for point in result.points) else "A"
    several = any(point.variant is not None for point in result.points)
    for point in result.points:
        if point.series in (targets, CONTROL):
            cells.setdefault(_condition(point, varied, several), {})[point.statistic] = _estimate(point)
    console.table(
        f"{result.title}\n{result.note}",
        (
            "targets",
            *(["variant"] if several else []),
            "photos",
            "training pictures",
            *varied,
            *(STATISTICS[s] for s in shown),
        ),
        [(*condition, *(found.get(s, "-") for s in shown)) for condition, found in cells.items()],
        ("photos", "training pictures", *varied),
        ("photos", "training pictures"),
    )
    console.say("95 % intervals over people; control: judged with the labels of A, an attack should be at chance")


def _print_defenses(result: DefenseResult) -> None:
    """The worst case of each defense."""
    from idbench.results.worst_case import GUESSED_TENTH

    rows = [
        (
            *(
                row.defense,
                f"{row.how}, of {row.attempts}",
                text.estimate(row.protected),
                text.estimate(row.others),
            ),
            f"{row.tenth.value:.3f}",
            "-" if row.beyond_reference is None else f"{row.beyond_reference.value:+.3f}",
            f"{row.marks.value:.3f} ({row.marked_by})",
            "-" if row.trace is None else f"{row.trace.value:.3f}",
            "-" if row.cost is None else text.seconds(row.cost.seconds),
        )
        for row in sorted(result.worst, key=lambda row: row.protected.value)
    ]
    names = ("defense", "strongest attack", "AUC of the protected", "of the others", "highest tenth")
    console.table(f"{result.title}\n{result.note}", (*names, "over drop-people", "marks", "non-members", "cost"), rows)
    console.say(f"highest tenth: guessing gives {GUESSED_TENTH}; marks: who was protected, either way, 0.5 is guessing")
    console.say("non-members: the same among them alone, where there was no membership to hide")
    for failed in result.failed:
        console.say(f"left out: {failed}")


def _condition(point: Point, varied: list[str], several: bool) -> tuple[str, ...]:
    settings = point.settings or {}
    values = (
        point.series,
        *([point.variant] if several else []),
        point.photos,
        point.pictures,
        *(settings.get(name) for name in varied),
    )
    return tuple("-" if value is None else str(value) for value in values)


def _estimate(point: Point) -> str:
    if point.value is None or point.low is None or point.high is None:
        return point.interval
    if point.statistic == "auc":
        return f"{point.value:.3f} [{point.low:.3f}, {point.high:.3f}]"
    return f"{point.value:.1%} [{point.low * 100:.1f}, {point.high * 100:.1f}]"
