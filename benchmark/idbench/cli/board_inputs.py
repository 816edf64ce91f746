"""Gathers what a board needs besides the records: labels, registered targets, and the cards of splits and targets."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from idbench.digests import digests_until
from idbench.errors import DataError, IdbenchError, UnknownNameError
from idbench.progress import Progress

if TYPE_CHECKING:
    from idbench.results import Run
    from idbench.results.labels import KnownTarget, SplitLabels
    from idbench.splits import Split
    from idbench_leaderboard.inputs import About, AuditCheck, SamplePhoto, SplitCard, TargetDescription
    from idbench_leaderboard.label_file import LabelFile

_SAMPLES = 12


@dataclass(frozen=True, slots=True)
class KnownSplits:
    """What a board is built from besides the records: one of each per version of a split."""

    labels: tuple[SplitLabels, ...]
    cards: tuple[SplitCard, ...]


def gather(
    runs: Sequence[Run],
    folders: Iterable[Path],
    files: Iterable[Path],
    public: Container[str],
    progress: Progress,
) -> KnownSplits:
    """Labels and cards of the splits that the records refer to.

    For one version of a split, a given folder takes precedence over a label file, and a label file over a registered
    split. A split that cannot be found is left out: the build rejects its records and says why.

    Args:
        runs: the records.
        folders: of splits that were given.
        files: label files that were given, or folders that hold some.
        public: names of splits whose labels anybody may see; those of drawn people always are public.
        progress: receives progress reports.

    Raises:
        DataError: a folder is not a split, a file is not a label file, or a file contradicts the registered split.
    """
    sources = _sources(runs, folders, files, progress)
    return KnownSplits(
        tuple(_labels(source, public) for source in sources),
        tuple(_card(source, progress) for source in sources),
    )


def gather_labels(
    runs: Sequence[Run], folders: Iterable[Path], files: Iterable[Path], progress: Progress
) -> tuple[SplitLabels, ...]:
    """The labels alone: cards say what an audit of every photo finds, which takes seconds."""
    return tuple(_labels(source, ()) for source in _sources(runs, folders, files, progress))


def _sources(
    runs: Sequence[Run], folders: Iterable[Path], files: Iterable[Path], progress: Progress
) -> list[Split | LabelFile]:
    """What tells of each version of a split that the records refer to, or that was given; see `gather`."""
    from idbench.splits import load_split

    opened = [load_split(str(folder), progress) for folder in folders]
    found: dict[tuple[str, int], Split | LabelFile] = {(s.manifest.name, s.manifest.version): s for s in opened}
    for path, file in _label_files(files):
        _compare_with_registered(path, _labels(file, ()), progress)
        found.setdefault((file.name, file.version), file)
    missing = {(run.record.split.name, run.record.split.version) for run in runs} - set(found)
    for split in _registered(sorted({name for name, _ in missing}), progress):
        found.setdefault((split.manifest.name, split.manifest.version), split)
    return list(found.values())


def check_public(public: Iterable[str], runs: Sequence[Run]) -> None:
    """Reject `--public` with a name that no record refers to: a typo would leave people hidden or exposed.

    Raises:
        UnknownNameError: no record is of such a split.
    """
    known = sorted({run.record.split.name for run in runs})
    for name in public:
        if name not in known:
            raise UnknownNameError("split among the records", name, known)


def _compare_with_registered(path: Path, labels: SplitLabels, progress: Progress) -> None:
    """Refuse a label file that contradicts the split of that name and version, where this one can be opened here.

    Raises:
        DataError: they differ.
    """
    for split in _registered([labels.name], progress):
        own = labels_of(split, public=True)
        if own.version == labels.version and (difference := own.difference(labels)):
            raise DataError(
                f"{path} contradicts the registered split {labels.name} v{labels.version}: {difference}.",
                hint="Write it again: `bench leaderboard labels SPLIT --out FILE`, or leave it out.",
            )


def _registered(names: Sequence[str], progress: Progress) -> Iterator[Split]:
    """Those of the splits that are registered and can be opened here."""
    from idbench.splits import load_split, split_names

    for name in names:
        if name in split_names():
            try:
                yield load_split(name, progress)
            except IdbenchError:
                continue  # made from the user's own data, elsewhere: its records are rejected with a reason


def _label_files(paths: Iterable[Path]) -> list[tuple[Path, LabelFile]]:
    from idbench_leaderboard.label_file import find_label_files, labels_in, read_label_file

    files = [(file, read_label_file(file)) for path in paths for file in find_label_files(path)]
    seen: dict[tuple[str, int], SplitLabels] = {}
    for _, file in files:
        labels = labels_in(file, frozenset(file.retracted), frozenset())
        if seen.setdefault((file.name, file.version), labels).difference(labels):
            raise DataError(
                f"Two label files for {file.name} v{file.version} differ.",
                hint="A version of a split never changes: keep the file that belongs to it.",
            )
    return files


def _labels(source: Split | LabelFile, public: Container[str]) -> SplitLabels:
    from idbench.splits import Split
    from idbench.splits.retractions import retracted_here

    if isinstance(source, Split):
        return labels_of(source, public=fictional(source) or source.manifest.name in public)
    from idbench_leaderboard.label_file import labels_in

    ids = {*source.test, *source.calibration, *source.retracted}
    retracted = frozenset(source.retracted) | (retracted_here(source.name) & ids)
    labels = labels_in(source, retracted, digests_until(source.digest, retracted))
    return replace(labels, public=labels.public or source.name in public)


def _card(source: Split | LabelFile, progress: Progress) -> SplitCard:
    from idbench.splits import Split

    if isinstance(source, Split):
        return split_card(source, progress)
    from idbench_leaderboard.label_file import card_in

    return replace(card_in(source), card=_data_card(source.name))


def labels_of(split: Split, *, public: bool) -> SplitLabels:
    """The labels of a split, retracted identities already left out."""
    import numpy as np

    from idbench.results.labels import CorpusLabels, SplitLabels

    found = {corpus: split.labels(corpus) for corpus in split.corpora}
    return SplitLabels(
        name=split.manifest.name,
        version=split.manifest.version,
        digest=split.manifest.digest,
        identities=tuple(identity.id for identity in split.identities),
        test=np.array([identity.part == "test" for identity in split.identities], dtype=np.bool_),
        corpora={name: CorpusLabels(each.member, each.occurrences) for name, each in found.items()},
        retracted=split.retracted,
        accepts=digests_until(split.manifest.digest, split.retracted),
        public=public,
    )


def fictional(split: Split) -> bool:
    """Whether a program drew every photo of the split, so that they show no real person."""
    return split.manifest.source.startswith("rendered by ")


def about(cards: Sequence[SplitCard], runs: Sequence[Run]) -> About:
    """The cards of the splits and targets that the records mention and that are known here."""
    from idbench_leaderboard.inputs import About

    targets = sorted({run.record.target.name for run in runs})
    return About(
        splits=tuple(cards),
        targets=tuple(described for name in targets if (described := _target_info(name))),
    )


def split_card(split: Split, progress: Progress) -> SplitCard:
    """The card of an open split, with the audit of its files."""
    from idbench_leaderboard.inputs import SplitCard

    manifest = split.manifest
    return SplitCard(
        name=manifest.name,
        version=manifest.version,
        title=manifest.title,
        description=manifest.description,
        license=manifest.license,
        corpora={corpus.name: corpus.title for corpus in manifest.corpora},
        fictional=fictional(split),
        checks=_checks(split, progress),
        samples=_samples(split) if fictional(split) else (),
        card=_card_of(split),
    )


def _card_of(split: Split) -> str:
    """The data card in the split's folder, without the metadata at its head; else the one that comes with idbench."""
    from idbench.splits.card import read_card

    try:
        return read_card(split.folder)
    except IdbenchError:  # damaged or missing
        return _data_card(split.manifest.name)


def _data_card(name: str) -> str:
    from idbench.splits.card import card_prose

    try:
        return card_prose(name)
    except DataError:
        return ""  # of somebody else's split, or one that shares its card with another


def _checks(split: Split, progress: Progress) -> tuple[AuditCheck, ...]:
    from idbench.splits import lint
    from idbench_leaderboard.inputs import AuditCheck

    findings = lint(split.folder, progress=progress)
    if not findings:
        detail = "ids, labels, names, photos and hashes are in order"
        return (AuditCheck("The split's files", passed=True, detail=detail),)
    if not fictional(split):  # what was found may quote a person's name, which has no place on a board
        passed = all(finding.severity == "warning" for finding in findings)
        detail = (
            f"{len(findings)} finding{'s' * (len(findings) > 1)}; `bench data lint {split.manifest.name}` lists them"
        )
        return (AuditCheck("The split's files", passed=passed, detail=detail),)
    return tuple(
        AuditCheck(f.where, passed=f.severity == "warning", detail=f"{f.severity}: {f.message}") for f in findings
    )


def _samples(split: Split) -> tuple[SamplePhoto, ...]:
    """One photo each of some people of the test part, spread over it."""
    from idbench_leaderboard.inputs import SamplePhoto

    people = [identity for identity in split.identities if identity.part == "test" and identity.photos]
    chosen = people[:: max(1, len(people) // _SAMPLES)][:_SAMPLES]
    return tuple(SamplePhoto(split.read_photo(person.photos[0]), person.name) for person in chosen)


def known_targets() -> tuple[KnownTarget, ...]:
    """The registered targets, which records are compared with."""
    from idbench.results.labels import KnownTarget
    from idbench.targets import list_targets

    return tuple(
        KnownTarget(spec.name, spec.version, spec.sha256, spec.corpus, spec.control_for, spec.design)
        for spec in list_targets()
    )


def _target_info(name: str) -> TargetDescription | None:
    from idbench.targets import list_targets
    from idbench_leaderboard.inputs import TargetDescription

    spec = next((spec for spec in list_targets() if spec.name == name), None)
    if spec is None:
        return None
    described = spec.recipe.model_dump() if spec.recipe else {}
    recipe = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in described.items())
    return TargetDescription(spec.name, spec.version, spec.title, spec.license, recipe)
