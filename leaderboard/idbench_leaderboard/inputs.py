"""What the leaderboard is handed beside the records: labels, and what splits, methods and targets say of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class CorpusLabels:
    """Who was in one corpus, aligned with `SplitLabels.identities`.

    Args:
        member: bool (n,).
        occurrences: how often each identity occurs in the corpus, int (n,); 0 for non-members.
    """

    member: NDArray[np.bool_]
    occurrences: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SplitLabels:
    """The labels of one version of one split.

    Args:
        name: of the split.
        version: of the split; labels of another version are never used.
        digest: SHA-256 of this version's content, retractions apart.
        identities: opaque ids, (n,).
        test: whether the identity is in the test part, bool (n,); the rest is the calibration part.
        corpora: labels by corpus.
        retracted: ids on the retraction list; their scores are dropped before anything is computed.
        accepts: digests that records of this version may carry beside `digest`: the same content with some of the
            retractions already in force.
        public: whether anybody may see who is a member. If not, the board holds sums only, no row per identity.
    """

    name: str
    version: int
    digest: str
    identities: tuple[str, ...]
    test: NDArray[np.bool_]
    corpora: Mapping[str, CorpusLabels]
    retracted: frozenset[str] = frozenset()
    accepts: frozenset[str] = frozenset()
    public: bool = True


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a split's audit: what was checked, whether it passed, and what was found."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class SamplePhoto:
    """An encoded photo that the Split page may show; of a fictional person, or of nobody at all."""

    data: bytes
    caption: str


@dataclass(frozen=True, slots=True)
class SplitCard:
    """What a split says of itself."""

    name: str
    version: int
    title: str
    description: str = ""
    license: str = ""
    corpora: Mapping[str, str] = field(default_factory=dict)
    fictional: bool = False
    checks: tuple[Check, ...] = ()
    samples: tuple[SamplePhoto, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a method; `default` as JSON."""

    name: str
    kind: str
    default: str
    description: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Something that the source leaves open and the implementation had to choose."""

    what: str
    chosen: str
    why: str


@dataclass(frozen=True, slots=True)
class Preset:
    """A named set of parameters; `values` is a JSON object of those that differ from the defaults."""

    name: str
    values: str


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """What a method's card says."""

    name: str
    version: str
    title: str
    summary: str = ""
    paper: str | None = None
    url: str | None = None
    choices: tuple[Choice, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    presets: tuple[Preset, ...] = ()


@dataclass(frozen=True, slots=True)
class TargetInfo:
    """What a target's specification says."""

    name: str
    version: str
    title: str
    license: str | None = None
    recipe: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that is not on the board, and why.

    Args:
        where: the record's folder, relative to the folder that was given.
        run_id: of the record, empty if it cannot be read.
        reason: one sentence for the reader.
    """

    where: str
    run_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class About:
    """All that cards say; everything may be missing, the board is complete without it."""

    splits: tuple[SplitCard, ...] = ()
    methods: tuple[MethodInfo, ...] = ()
    targets: tuple[TargetInfo, ...] = ()
