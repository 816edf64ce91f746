"""The studies there are, and how one is run: split, runs, estimates, table and figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from idbench.api import Progress
from idbench.errors import DataError, UnknownNameError
from idbench.runner.registry import find_attack, params_dict
from idbench.splits import Split
from idbench.storage import check_writable, write_bytes
from idbench.studies import idia_by_photos, idia_by_training_pictures, tuni_at_length, tuni_by_budget
from idbench.studies.derived import Derived, fewer_people, more_photos, most_seen_people
from idbench.studies.execution import Finished, Job, run_jobs
from idbench.studies.idia import MOST_PHOTOS, idia_jobs
from idbench.studies.setting import Setting
from idbench.studies.table import Point, Result, TargetUsed, write_tables
from idbench.studies.tuni_by_budget import PEOPLE, tuni_jobs


@dataclass(frozen=True, slots=True)
class Study:
    """One study.

    Args:
        name: as on the command line.
        title: one line for people.
        source: what it repeats.
        derive: the split that it runs on, from the one that was asked for.
        plan: its runs on that split.
        measure: its estimates.
    """

    name: str
    title: str
    source: str
    derive: Callable[[Split], Derived]
    plan: Callable[[Setting, Split], list[Job]]
    measure: Callable[[Split, Sequence[Finished], Progress], list[Point]]


def _thirty_photos(split: Split) -> Derived:
    return more_photos(split, MOST_PHOTOS)


def _some_people(split: Split) -> Derived:
    return fewer_people(split, PEOPLE)


def _most_seen(split: Split) -> Derived:
    return most_seen_people(split, tuni_at_length.EACH)


STUDIES: Mapping[str, Study] = MappingProxyType(
    {
        study.name: study
        for study in (
            Study(
                "idia-by-photos",
                "IDIA by number of attack photos",
                "Hintersdorf et al., JAIR 80 (2024), figure 4",
                _thirty_photos,
                idia_jobs,
                idia_by_photos.measure,
            ),
            Study(
                "idia-by-training-pictures",
                "IDIA by number of training pictures of a member",
                "Hintersdorf et al., JAIR 80 (2024), figure 5",
                _thirty_photos,
                idia_jobs,
                idia_by_training_pictures.measure,
            ),
            Study(
                "tuni-at-length",
                "TUNI at length, on the people with the most training pictures",
                "Li, Cheng, Jia, arXiv 2405.14517, sections 3 and 4",
                _most_seen,
                tuni_at_length.tuni_jobs,
                tuni_at_length.measure,
            ),
            Study(
                "tuni-by-budget",
                "TUNI by number of optimizations and of steps",
                "Li, Cheng, Jia, arXiv 2405.14517, sections 3 and 4",
                _some_people,
                tuni_jobs,
                tuni_by_budget.measure,
            ),
        )
    }
)


def find_study(name: str) -> Study:
    """The study of that name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in STUDIES:
        raise UnknownNameError("study", name, STUDIES, hint="`bench study` lists them.")
    return STUDIES[name]


def run_study(study: Study, setting: Setting, out: Path, progress: Progress) -> tuple[Result, list[Path]]:
    """Run a study and write its table and figure; runs that have a record are read, so that it can be resumed.

    Args:
        study: from `find_study`.
        setting: split, targets, seeds, where records are.
        out: folder for `NAME.csv`, `.json`, `.svg` and `.png`.
        progress: told how far the work is.

    Returns:
        what was measured, and the files.

    Raises:
        IdbenchError: whatever is wrong, in one sentence. Finished runs are kept.
    """
    check_writable(out, "--out")
    split = study.derive(setting.split).open(progress)
    jobs = study.plan(setting, split)
    finished = list(run_jobs(jobs, setting, progress))
    points = study.measure(split, finished, progress)
    if not points:
        raise DataError(
            f"{study.name} has nothing to estimate on {split.manifest.name}: too few people in every group.",
            hint="Use a split with more people under test.",
        )
    result = Result(
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
    return result, [*write_tables(result, out), *_draw(result, out)]


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


def _draw(result: Result, out: Path) -> list[Path]:
    from idbench.studies.charts import draw

    pictures = draw(result)
    files = [(out / f"{result.study}.svg", pictures.svg.encode()), (out / f"{result.study}.png", pictures.png)]
    for path, content in files:
        write_bytes(path, content)
    return [path for path, _ in files]
