"""Gathers what a board needs beside the records: labels, and the cards of splits, methods and targets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from idbench.api import Progress
from idbench.errors import IdbenchError

if TYPE_CHECKING:
    from idbench.results import Run
    from idbench.splits import Manifest, Split
    from idbench_leaderboard.inputs import (
        About,
        Check,
        MethodInfo,
        SamplePhoto,
        SplitCard,
        SplitLabels,
        TargetInfo,
    )

_SAMPLES = 12
_SUBSETS = 12
"""Up to so many retractions of one version every order of taking out is recognised; beyond, a new version is due."""


def open_splits(runs: Sequence[Run], folders: Iterable[Path], progress: Progress) -> list[Split]:
    """The splits that records speak of: registered ones, and those in the folders given; one per name and version.

    A split that is neither registered nor given is left out: the build rejects its records and says why.
    """
    from idbench.splits import load_split, split_names

    given = [load_split(str(folder), progress) for folder in folders]
    known = {split.manifest.name for split in given}
    wanted = sorted({run.record.split.name for run in runs} - known)
    return given + [load_split(name, progress) for name in wanted if name in split_names()]


def labels_of(split: Split, public: bool) -> SplitLabels:  # noqa: FBT001, RUF100
    """The labels of a split, retracted identities already left out."""
    import numpy as np

    from idbench_leaderboard.inputs import CorpusLabels, SplitLabels

    found = {corpus: split.labels(corpus) for corpus in split.corpora}
    return SplitLabels(
        name=split.manifest.name,
        version=split.manifest.version,
        digest=split.manifest.digest,
        identities=tuple(identity.id for identity in split.identities),
        test=np.array([identity.part == "test" for identity in split.identities], dtype=np.bool_),
        corpora={name: CorpusLabels(each.member, each.occurrences) for name, each in found.items()},
        retracted=split.retracted,
        accepts=_digests(split.manifest, sorted(split.retracted)) | {split.digest},
        public=public,
    )


def _digests(manifest: Manifest, retracted: Sequence[str]) -> frozenset[str]:
    """Digests that records may carry which were made when fewer identities were retracted, in whatever order."""
    sizes = range(1, len(retracted) + 1) if len(retracted) <= _SUBSETS else (len(retracted),)
    lists = [kept for size in sizes for kept in combinations(retracted, size)]
    return frozenset(hashlib.sha256("\n".join([manifest.digest, *kept]).encode()).hexdigest() for kept in lists)


def fictional(split: Split) -> bool:
    """Whether a program drew every photo of the split, so that they show nobody."""
    return split.manifest.source.startswith("rendered by ")


def about(splits: Sequence[Split], runs: Sequence[Run], progress: Progress) -> About:
    """The cards of everything that the records mention and that is installed here."""
    from idbench_leaderboard.inputs import About

    methods = sorted({run.record.attack.name for run in runs})
    targets = sorted({run.record.target.name for run in runs})
    return About(
        splits=tuple(_split_card(split, progress) for split in splits),
        methods=tuple(info for name in methods if (info := _method_info(name))),
        targets=tuple(told for name in targets if (told := _target_info(name))),
    )


def _split_card(split: Split, progress: Progress) -> SplitCard:
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
    )


def _checks(split: Split, progress: Progress) -> tuple[Check, ...]:
    from idbench.splits import lint
    from idbench_leaderboard.inputs import Check

    findings = lint(split.folder, progress=progress)
    if not findings:
        detail = "ids, labels, names, photos and hashes are in order"
        return (Check("The split's files", passed=True, detail=detail),)
    return tuple(Check(f.where, passed=f.severity == "warning", detail=f"{f.severity}: {f.message}") for f in findings)


def _samples(split: Split) -> tuple[SamplePhoto, ...]:
    """One photo each of some people of the test part, spread over it."""
    from idbench_leaderboard.inputs import SamplePhoto

    people = [identity for identity in split.identities if identity.part == "test" and identity.photos]
    chosen = people[:: max(1, len(people) // _SAMPLES)][:_SAMPLES]
    return tuple(SamplePhoto(split.read_photo(person.photos[0]), person.name) for person in chosen)


def _method_info(name: str) -> MethodInfo | None:
    from idbench.runner.registry import load_attack
    from idbench_leaderboard.inputs import Choice, MethodInfo, Preset

    try:
        registered = load_attack(name)
    except IdbenchError:
        return None  # its results count all the same; the page shows them without a card
    card = registered.card
    return MethodInfo(
        name=card.name,
        version=card.version,
        title=card.title,
        summary=card.summary,
        paper=card.paper,
        url=card.url,
        choices=tuple(Choice(choice.what, choice.chosen, choice.why) for choice in card.choices),
        parameters=_parameters(registered.kind.Params),
        presets=tuple(Preset(preset, json.dumps(values)) for preset, values in sorted(card.presets.items())),
    )


def _parameters(kind: type[Any]) -> tuple[Any, ...]:
    from idbench_leaderboard.inputs import Parameter

    defaults = json.loads(kind().model_dump_json())
    return tuple(
        Parameter(
            name, str(field.annotation).replace("typing.", ""), json.dumps(defaults[name]), field.description or ""
        )
        for name, field in kind.model_fields.items()
    )


def _target_info(name: str) -> TargetInfo | None:
    from idbench.targets import list_targets
    from idbench_leaderboard.inputs import TargetInfo

    spec = next((spec for spec in list_targets() if spec.name == name), None)
    if spec is None:
        return None
    told = spec.recipe.model_dump() if spec.recipe else {}
    recipe = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in told.items())
    return TargetInfo(spec.name, spec.version, spec.title, spec.license, recipe)
