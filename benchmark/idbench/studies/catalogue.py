"""The studies there are, and how one is run: split, runs, estimates, table and figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

from idbench.api import Progress
from idbench.api.studies import BudgetStudy, PhotoStudy
from idbench.errors import DataError
from idbench.plugins import ObjectRegistry
from idbench.runner.registry import find_attack, params_dict
from idbench.splits import Split
from idbench.storage import check_writable, write_bytes
from idbench.studies import budget, photos
from idbench.studies.budget import budget_jobs
from idbench.studies.derived import Derived, fewer_people, more_photos
from idbench.studies.execution import Job, LabelledRun, run_jobs
from idbench.studies.photos import photo_jobs
from idbench.studies.setting import Setting
from idbench.studies.table import Point, StudyResult, TargetUsed, write_tables

Study: TypeAlias = PhotoStudy | BudgetStudy


STUDIES: Final = ObjectRegistry[Study]("idbench.studies", "study", PhotoStudy, BudgetStudy)
"""Every study that an installed package declares."""


def derive(study: Study, split: Split) -> Derived:
    """The split that a study runs on, made from the one that was asked for."""
    if isinstance(study, PhotoStudy):
        return more_photos(split, study.most_photos)
    return fewer_people(split, study.people)


def plan(study: Study, setting: Setting, split: Split) -> list[Job]:
    """The runs of a study on a split.

    Raises:
        DataError: the split does not have what is to be varied.
        MethodError: a parameter does not fit the attack.
    """
    return photo_jobs(study, setting, split) if isinstance(study, PhotoStudy) else budget_jobs(study, setting, split)


def _measure(study: Study, split: Split, finished: Sequence[LabelledRun], progress: Progress) -> list[Point]:
    if isinstance(study, PhotoStudy):
        return photos.measure(study, split, finished, progress)
    return budget.measure(study, split, finished, progress)


def run_study(study: Study, setting: Setting, out: Path, progress: Progress) -> tuple[StudyResult, list[Path]]:
    """Run a study and write its table and figure; runs that have a record are read, so that it can be resumed.

    Args:
        study: from `STUDIES`.
        setting: split, targets, seeds, where records are.
        out: folder for `NAME.csv`, `.json`, `.svg` and `.png`.
        progress: receives progress reports.

    Returns:
        what was measured, and the files.

    Raises:
        IdbenchError: whatever is wrong, in one sentence. Finished runs are kept.
    """
    check_writable(out, "--out")
    split = derive(study, setting.split).open(progress)
    jobs = plan(study, setting, split)
    finished = list(run_jobs(jobs, setting, progress))
    points = _measure(study, split, finished, progress)
    if not points:
        raise DataError(
            f"{study.name} has nothing to estimate on {split.manifest.name}: too few people in every group.",
            hint="Use a split with more people under test.",
        )
    result = StudyResult(
        study=study.name,
        title=study.title,
        note=_note(setting, split, points),
        split=split.manifest.name,
        split_version=split.manifest.version,
        split_digest=split.digest,
        made_from=setting.split.manifest.name,
        targets=tuple(TargetUsed(a.series, a.target.name, a.target.sha256, a.corpus) for a in setting.audited),
        attack=jobs[0].spec.attack.name,
        parameters=_parameters(jobs),
        seeds=setting.seeds,
        runs=tuple(run.run.record.run_id for run in finished),
        points=tuple(points),
    )
    return result, [*write_tables(result, out), *_draw(study, result, out)]


def _note(setting: Setting, split: Split, points: Sequence[Point]) -> str:
    """Who was audited in which targets, in a few sentences."""
    whole, used = _under_test(setting.split), _under_test(split)
    people = f"{used} people under test" if used == whole else f"{used} of {whole} people under test, to save time"
    a, b, control = (audited.target.name for audited in setting.audited)
    left_out = max((point.left_out for point in points), default=0)
    missing = f" Up to {left_out} of them are left out for want of photos." if left_out else ""
    return (
        f"{split.manifest.name} v{split.manifest.version}: {people}; mean of the targets {a} and {b}; control "
        f"{control}, judged with A's labels.{missing}"
    )


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


def _draw(study: Study, result: StudyResult, out: Path) -> list[Path]:
    from idbench.studies.charts import draw

    pictures = draw(study, result)
    files = [(out / f"{result.study}.svg", pictures.svg.encode()), (out / f"{result.study}.png", pictures.png)]
    for path, content in files:
        write_bytes(path, content)
    return [path for path, _ in files]
