"""The cards of splits, methods and targets, as pages show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """One line of a split's audit: what was checked, whether it passed, and what was found."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class SamplePhoto:
    """An encoded photo that the Split page may show; of a fictional person, or of no person at all."""

    data: bytes
    caption: str


@dataclass(frozen=True, slots=True)
class SplitCard:
    """The card of a split; `card` is its data card in Markdown."""

    name: str
    version: int
    title: str
    description: str = ""
    license: str = ""
    corpora: Mapping[str, str] = field(default_factory=dict)
    fictional: bool = False
    checks: tuple[AuditCheck, ...] = ()
    samples: tuple[SamplePhoto, ...] = ()
    card: str = ""


@dataclass(frozen=True, slots=True)
class CardParameter:
    """One parameter of a method; `default` as JSON."""

    name: str
    kind: str
    default: str
    description: str


@dataclass(frozen=True, slots=True)
class CardChoice:
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
    """The card of the method that ran; records carry it, so that it describes the code behind the scores."""

    name: str
    version: str
    code_sha256: str
    title: str
    summary: str = ""
    paper: str | None = None
    authors: str = ""
    year: int | None = None
    url: str | None = None
    choices: tuple[CardChoice, ...] = ()
    parameters: tuple[CardParameter, ...] = ()
    presets: tuple[Preset, ...] = ()


@dataclass(frozen=True, slots=True)
class TargetDescription:
    """What a target's specification says."""

    name: str
    version: str
    title: str
    license: str | None = None
    recipe: str = ""


@dataclass(frozen=True, slots=True)
class About:
    """All cards; any may be missing, the board is complete without them."""

    splits: tuple[SplitCard, ...] = ()
    methods: tuple[MethodInfo, ...] = ()
    targets: tuple[TargetDescription, ...] = ()
