"""The registered studies, and how one is run: split, runs, estimates, table and figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from idbench.api import Progress, Silent
from idbench.api.studies import BudgetStudy, DefenseStudy, EpochStudy, PhotoStudy
from idbench.errors import DataError, PluginError
from idbench.plugins import ObjectRegistry, Plugin
from idbench.results import ENGINE_VERSION
from idbench.runner.registry import find_attack, params_dict
from idbench.splits import Split
from idbench.storage import check_writable, write_bytes
from idbench.strangers import Answer, ask
from idbench.studies import budget, epochs, photos
from idbench.studies.budget import budget_jobs
from idbench.studies.defenses import DefenseResult, defense_jobs, run_defenses, write_defenses
from idbench.studies.derived import Derived, fewer_people, more_photos, most_seen_people
from idbench.studies.epochs import epoch_jobs, targets_used, train_missing
from idbench.studies.execution import Job, LabelledRun, job_done, run_jobs
from idbench.studies.photos import photo_jobs
from idbench.studies.setting import Setting
from idbench.studies.table import Point, StudyResult, TargetUsed, write_tables

if TYPE_CHECKING:
    from idbench.studies.charts import FigureFiles

Curves: TypeAlias = PhotoStudy | BudgetStudy | EpochStudy
Study: TypeAlias = Curves | DefenseStudy


class Declared(Answer):
    """A study as a stranger's plug-in declares it."""

    study: Study


class StudyRegistry(ObjectRegistry[Study]):
    """All studies. They are plain data; strangers' are read in a process of their own all the same."""

    def stand_in(self, plugin: Plugin, patience: float) -> Study:
        """The study itself, as data."""
        found = ask(self.group, plugin, None, Declared, patience).study
        if found.name != plugin.name:
            raise PluginError(f"The study {plugin.name} calls itself {found.name!r}.", hint="Report it to its author.")
        return found


STUDIES: Final = StudyRegistry("idbench.studies", "study", PhotoStudy, BudgetStudy, EpochStudy, DefenseStudy)
"""Every study that an installed package declares."""


def derive(study: Study, split: Split) -> Derived:
    """The split that a study runs on, made from the one that was asked for."""
    if isinstance(study, DefenseStudy):
        return Derived(split, split.manifest.name)
    if isinstance(study, PhotoStudy):
        return more_photos(split, study.most_photos)
    if isinstance(study, EpochStudy):
        return Derived(split, split.manifest.name)
    if study.chosen == "most seen":
        return most_seen_people(split, study.people // 2)  # of each of two corpora
    return fewer_people(split, study.people)


def plan(study: Study, setting: Setting, split: Split) -> list[Job]:
    """The runs of a study on a split.

    Raises:
        DataError: the split does not have what is to be varied.
        MethodError: a parameter does not fit the attack.
    """
    if isinstance(study, DefenseStudy):
        return defense_jobs(study, setting, split, Silent())
    if isinstance(study, PhotoStudy):
        return photo_jobs(study, setting, split)
    if isinstance(study, EpochStudy):
        return epoch_jobs(study, setting, split)
    return budget_jobs(study, setting, split)


def _measure(study: Curves, split: Split, finished: Sequence[LabelledRun], progress: Progress) -> list[Point]:
    if isinstance(study, PhotoStudy):
        return photos.measure(study, split, finished, progress)
    if isinstance(study, EpochStudy):
        return epochs.measure(study, finished, progress)
    return budget.measure(study, split, finished, progress)


def run_defense_study(
    study: DefenseStudy, setting: Setting, out: Path, progress: Progress, *, so_far: bool = False
) -> tuple[DefenseResult, list[Path]]:
    """Run a study of defenses and write its table and figure; arguments and errors as of `run_study`."""
    from idbench.studies.defense_charts import draw

    check_writable(out, "--out")
    result = run_defenses(study, setting, setting.split, progress, so_far=so_far)
    return result, [*write_defenses(result, out), *_write(draw(result), study.name, out)]


def run_study(
    study: Curves, setting: Setting, out: Path, progress: Progress, *, so_far: bool = False
) -> tuple[StudyResult, list[Path]]:
    """Run a study and write its table and figure; runs that have a record are read, so that it can be resumed.

    Args:
        study: from `STUDIES`.
        setting: split, targets, seeds, where records are.
        out: folder for `NAME.csv`, `.json`, `.svg` and `.png`.
        progress: receives progress reports.
        so_far: measure what is finished, and neither train nor run anything.

    Returns:
        what was measured, and the files.

    Raises:
        IdbenchError: whatever is wrong, in one sentence. Finished runs are kept.
    """
    check_writable(out, "--out")
    split = derive(study, setting.split).open(progress)
    if isinstance(study, EpochStudy) and not so_far:
        _train_and_run(study, setting, split, progress)
    jobs = plan(study, setting, split)
    chosen = finished_conditions(jobs, setting) if so_far else jobs
    if not chosen:
        raise DataError(
            f"Nothing of {study.name} is finished on {split.manifest.name}.", hint="Leave --so-far out to run it."
        )
    finished = run_jobs(chosen, setting, progress)
    points = _measure(study, split, finished, progress)
    if not points:
        raise DataError(
            f"{study.name} has nothing to estimate on {split.manifest.name}: too few people in every group.",
            hint="Use a split with more people under test.",
        )
    result = StudyResult(
        study=study.name,
        title=study.title,
        note=_note(study, setting, split, points, _targets(study, setting, chosen)) + _missing(len(chosen), len(jobs)),
        split=split.manifest.name,
        split_version=split.manifest.version,
        split_digest=split.digest,
        made_from=setting.split.manifest.name,
        targets=_targets(study, setting, chosen),
        attack=", ".join(dict.fromkeys(job.spec.attack.name for job in chosen)),
        parameters=_parameters(chosen),
        seeds=setting.seeds,
        runs=tuple(run.run.record.run_id for run in finished),
        points=tuple(points),
        engine=ENGINE_VERSION,
    )
    return result, [*write_tables(result, out), *_draw(study, result, out)]


def _train_and_run(study: EpochStudy, setting: Setting, split: Split, progress: Progress) -> None:
    """Train for each number of epochs and attack what was trained, so that an interrupted study has whole columns."""
    for number in study.epochs:
        part = study.model_copy(update={"epochs": (number,)})
        train_missing(part, setting, progress)
        run_jobs(epoch_jobs(part, setting, split), setting, progress)


def finished_conditions(jobs: Sequence[Job], setting: Setting) -> list[Job]:
    """The jobs that have a record, of conditions that are finished on every target and with every seed."""
    waiting = {_condition(job) for job in jobs if job.spec.target.sha256 is None or not job_done(job, setting)}
    return [job for job in jobs if _condition(job) not in waiting]


def _condition(job: Job) -> str:
    attack, recipe = job.spec.attack, job.spec.target.recipe
    return f"{attack.name} {sorted(attack.parameters.items())} {recipe and recipe.epochs}"


def _missing(chosen: int, jobs: int) -> str:
    return "" if chosen == jobs else f" {chosen} of the study's {jobs} runs: the others were not run."


def _targets(study: Study, setting: Setting, jobs: Iterable[Job]) -> tuple[TargetUsed, ...]:
    if isinstance(study, EpochStudy):
        return targets_used(job.audited for job in jobs)
    return tuple(TargetUsed(a.series, a.target.name, a.target.sha256, a.corpus) for a in setting.audited)


def _note(study: Study, setting: Setting, split: Split, points: Sequence[Point], targets: Sequence[TargetUsed]) -> str:
    """Who was audited in which targets, in a few sentences."""
    whole, used = _under_test(setting.split), _under_test(split)
    which = "those with the most training pictures" if _by_pictures(study) else "to save time"
    people = f"{used} people under test" if used == whole else f"{used} of {whole} people under test, {which}"
    if isinstance(study, EpochStudy):
        trained = ", ".join(f"{t.name} {t.loss:.2f}" for t in targets if t.loss is not None)
        return (
            f"{split.manifest.name} v{split.manifest.version}: {people}; loss of the last epoch: {trained}. The "
            f"control is judged with A's labels."
        )
    a, b, control = (audited.target.name for audited in setting.audited)
    left_out = max((point.left_out for point in points), default=0)
    missing = f" Up to {left_out} of them are left out for want of photos." if left_out else ""
    return (
        f"{split.manifest.name} v{split.manifest.version}: {people}; mean of the targets {a} and {b}; control "
        f"{control}, judged with A's labels.{missing}"
    )


def _by_pictures(study: Study) -> bool:
    return isinstance(study, BudgetStudy) and study.chosen == "most seen"


def _under_test(split: Split) -> int:
    return sum(identity.part == "test" for identity in split.identities)


def _parameters(jobs: Sequence[Job]) -> tuple[dict[str, object], ...]:
    """Each set of parameters once, without what is the attack's default."""
    found: list[dict[str, object]] = []
    for job in jobs:
        attack = job.spec.attack
        usual = params_dict(find_attack(attack.name, attack.plugin).kind.Params())
        given = {name: value for name, value in attack.parameters.items() if value != usual[name]}
        if given not in found:
            found.append(given)
    return tuple(found)


def _draw(study: Curves, result: StudyResult, out: Path) -> list[Path]:
    from idbench.studies.charts import draw

    return _write(draw(study, result), result.study, out)


def _write(pictures: FigureFiles, name: str, out: Path) -> list[Path]:
    files = [(out / f"{name}.svg", pictures.svg.encode()), (out / f"{name}.png", pictures.png)]
    for path, content in files:
        write_bytes(path, content)
    return [path for path, _ in files]
