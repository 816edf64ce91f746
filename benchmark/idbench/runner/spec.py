"""A run as plain data: JSON that any process or machine can read, resolve and carry out under the same run id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, Literal, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from idbench.api import Attack, Defense, Method, Progress, names_of
from idbench.errors import DataError, IdbenchError, MethodError
from idbench.results import ENGINE_VERSION, PassedParameters, SplitRef, TargetRef, run_id
from idbench.results.record import MAX_SEED, Closed
from idbench.runner.defend import Applying, check_kind
from idbench.runner.protection import given_sha256, protected_people
from idbench.runner.registry import (
    Registered,
    RegisteredAdaptation,
    RegisteredAttack,
    RegisteredDefense,
    find_attack,
    load_adaptation,
    load_defense,
    make_method,
    params_dict,
    with_parameters,
)
from idbench.splits import Split, load_split, split_names
from idbench.storage import cache_dir, read_bounded, sha256_bytes, write_text
from idbench.targets import Defended, TargetSpec


class SplitSpec(Closed):
    """Which split, and where a process finds it."""

    source: str = Field(
        description="what `load_split` understands: a registered name, a folder, or hub:ORG/NAME@COMMIT"
    )
    name: str
    version: int
    digest: str = Field(description="of the content that the run was planned with; other content is rejected")
    commit: str | None = Field(default=None, description="of the data set repository; None for an embedded split")


class MethodSpec(Closed):
    """Which method with which parameters."""

    name: str
    version: str
    plugin: str = Field(description="where the class is, `package.module:Class`")
    distribution: str = Field(description="installed distribution and version that brings it")
    code_sha256: str = Field(description="see `idbench.runner.closure.code_hash`")
    knowledge: tuple[str, ...] = Field(description="with these parameters")
    passed: PassedParameters
    parameters: dict[str, Any] = Field(description="all of them, defaults included; plain JSON")


class DefenseSpec(MethodSpec):
    """Which defense the target is put behind, and what the defense is given beside the target."""

    seed: int = Field(ge=0, le=MAX_SEED, description="the run's: it draws the protected, and is the defense's own")
    given_sha256: str = Field(description="see `idbench.runner.protection.given_sha256`")


class RunSpec(Closed):
    """One run to be: everything that its scores depend on, and whose labels they are judged with.

    JSON round trip: `RunSpec.model_validate_json(spec.model_dump_json()) == spec`.
    """

    schema_version: Literal[1] = 1
    engine: int = Field(default=ENGINE_VERSION, ge=1, description="version of the engine that the run was planned with")
    split: SplitSpec
    target: TargetSpec = Field(description="before the defense; pinned: with the SHA-256 of its weights")
    attack: MethodSpec
    defense: DefenseSpec | None = Field(default=None, description="what the target is put behind; None for nothing")
    adaptation: MethodSpec | None = Field(
        default=None, description="what an attacker changes who knows of the defense; None for nothing"
    )
    seed: int = Field(ge=0, le=MAX_SEED)
    corpus: str = Field(description="whose labels the scores are judged with")

    @model_validator(mode="after")
    def _check_defense(self) -> Self:
        """What a target is put behind is said in one place, so that one run has one id."""
        if isinstance(self.target.weights, Defended):
            raise ValueError(
                f"{self.target.name} is defended already: a run names the target before the defense, and the defense"
            )
        if self.defense is not None and self.defense.seed != self.seed:
            raise ValueError("a run's defense has the run's seed")
        return self

    @property
    def run_id(self) -> str:
        """16 hexadecimal digits, see `idbench.results.run_id`."""
        return run_id(
            split=self.split_ref,
            target=self.target_ref,
            attack=self.attack,
            parameters=self.attack.parameters,
            seed=self.seed,
            calibration_corpus=self.calibration_corpus,
            defense=self.defense,
            adaptation=self.adaptation,
            engine=self.engine,
        )

    @property
    def calibration_corpus(self) -> str | None:
        """Whose calibration labels the attack or its adaptation is given; None if they are given none."""
        knows = {*self.attack.knowledge, *(self.adaptation.knowledge if self.adaptation else ())}
        return self.corpus if "CALIBRATION_LABELS" in knows else None

    @property
    def control(self) -> bool:
        """Whether nobody under test is in the target's training data."""
        return self.target.corpus != self.corpus and self.corpus in self.target.control_for

    @property
    def split_ref(self) -> SplitRef:
        """How a record refers to the split."""
        return SplitRef(**self.split.model_dump(exclude={"source"}))

    @property
    def target_ref(self) -> TargetRef:
        """How a record refers to the target."""
        return target_ref(self.target)

    def __str__(self) -> str:
        behind = "" if self.defense is None else f" behind {self.defense.name}"
        adapted = "" if self.adaptation is None else f" adapted by {self.adaptation.name}"
        return f"{self.attack.name}{adapted} on {self.target.name}{behind}, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class ResolvedRun:
    """What a spec means in this process."""

    spec: RunSpec
    split: Split
    registered: RegisteredAttack
    attack: Attack[Any]
    applying: Applying | None = None
    adapting: Applying | None = None


@dataclass(frozen=True, slots=True)
class Resolver:
    """Finds what specs stand for in this process; a split is opened once, however many specs name it.

    Args:
        progress: receives reports while a split is built first.
        opened: splits that are open already, by source.
    """

    progress: Progress
    opened: dict[str, Split] = field(default_factory=dict)

    def split(self, spec: SplitSpec) -> Split:
        """The split that a spec names.

        Raises:
            DataError: there is none here, or what is here has other content.
        """
        if spec.source not in self.opened:
            self.opened[spec.source] = load_split(spec.source, self.progress)
        split = self.opened[spec.source]
        if split.digest != spec.digest:
            raise DataError(
                f"{spec.source} has other content here than when the run was planned: "
                f"digest {split.digest[:12]}, not {spec.digest[:12]}.",
                hint="Plan the run again, or bring the split that it was planned with.",
            )
        return split

    def resolve(self, spec: RunSpec) -> ResolvedRun:
        """What a spec means here.

        Raises:
            DataError: the split is not here, or has other content.
            MethodError: the method is not installed here, or its code or its parameters differ from the plan's, so that
                the run would not be the one that the spec's id promises.
        """
        if spec.engine != ENGINE_VERSION:
            raise MethodError(
                f"The run was planned with version {spec.engine} of the engine; this idbench has {ENGINE_VERSION}.",
                hint="Plan it again with this version.",
            )
        registered = find_attack(spec.attack.name, spec.attack.plugin)
        attack = with_parameters(registered, spec.attack.parameters)
        _check_same(method_spec(registered, attack, spec.attack.passed), spec.attack)
        split = self.split(spec.split)
        check_photos(split, spec.attack)
        applying = None if spec.defense is None else self._applying(spec.defense, split)
        adapting = None if spec.adaptation is None else self._adapting(spec.adaptation, split, spec.seed)
        return ResolvedRun(spec, split, registered, attack, applying, adapting)

    def _adapting(self, spec: MethodSpec, split: Split, seed: int) -> Applying:
        planned = PlannedAdaptation(load_adaptation(spec.name), spec.passed, spec.parameters)
        _check_same(planned.spec, spec)
        check_photos(split, spec)
        return planned.applying(split, seed, self.progress)

    def _applying(self, spec: DefenseSpec, split: Split) -> Applying:
        planned = PlannedDefense(load_defense(spec.name), spec.passed, spec.parameters)
        people = protected_people(split, spec.seed)
        _check_same(planned.spec(split, people, spec.seed, self.progress), spec)
        return planned.applying(split, people, spec.seed, spec.given_sha256)


def _check_same(here: MethodSpec, planned: MethodSpec) -> None:
    """Refuse a method that is not the one of the plan, or is given something else here."""
    for what in ("version", "plugin", "code_sha256", "parameters", "given_sha256"):
        if getattr(here, what, None) != getattr(planned, what, None):
            raise MethodError(
                f"{planned.name} here is not the one that the run was planned with: its {what} differs.",
                hint="Install the same version on every machine, or plan the run again.",
            )


_R = TypeVar("_R", bound=Registered[Any])


@dataclass(frozen=True, slots=True)
class _Planned(Generic[_R]):
    """A method with its parameters.

    Args:
        registered: where it comes from.
        passed: the parameters as a person passed them.
        parameters: all of them.
    """

    registered: _R
    passed: PassedParameters
    parameters: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the method."""
        return str(self.registered.kind.card.name)


class PlannedDefense(_Planned[RegisteredDefense]):
    """A defense, before it is known whom it protects."""

    __slots__ = ()

    @property
    def defense(self) -> Defense[Any]:
        """The defense itself."""
        made = with_parameters(self.registered, self.parameters)
        check_kind(made)
        return made

    def spec(self, split: Split, people: tuple[int, ...], seed: int, progress: Progress) -> DefenseSpec:
        """The defense of one run as plain data."""
        defense = self.defense
        applied = self.registered.applied(defense, seed, given_sha256(split, people, defense.knowledge, progress))
        return DefenseSpec(
            **applied.model_dump(exclude={"given_sha256"}),
            plugin=self.registered.plugin.value,
            knowledge=tuple(names_of(defense.knowledge)),
            passed=self.passed,
            given_sha256=applied.given_sha256,
        )

    def applying(self, split: Split, people: tuple[int, ...], seed: int, given: str) -> Applying:
        """The defense, ready to be applied."""
        defense = self.defense
        return Applying(self.registered, defense, self.registered.applied(defense, seed, given), split, people)


def plan_defense(name: str, preset: str | None = None, overrides: Mapping[str, object] | None = None) -> PlannedDefense:
    """A defense with what a person passed.

    Raises:
        UnknownNameError: no such defense, preset or parameter.
        MethodError: a value does not fit, or the defense is of a kind that cannot be applied.
    """
    registered = load_defense(name)
    made = make_method(registered, preset, overrides)
    check_kind(made)
    return PlannedDefense(registered, _passed(made, preset, overrides), params_dict(made.params))


class PlannedAdaptation(_Planned[RegisteredAdaptation]):
    """An adaptation, before it is known of which split it is given people."""

    __slots__ = ()

    @property
    def spec(self) -> MethodSpec:
        """The adaptation as plain data."""
        made = with_parameters(self.registered, self.parameters)
        applied = self.registered.applied(made, 0, sha256_bytes(b""))
        return MethodSpec(
            name=applied.name,
            version=applied.version,
            plugin=self.registered.plugin.value,
            distribution=applied.distribution,
            code_sha256=applied.code_sha256,
            knowledge=tuple(names_of(made.knowledge)),
            passed=self.passed,
            parameters=applied.parameters,
        )

    def applying(self, split: Split, seed: int, progress: Progress) -> Applying:
        """The adaptation, ready to be applied."""
        made = with_parameters(self.registered, self.parameters)
        given = given_sha256(split, (), made.knowledge, progress)
        return Applying(self.registered, made, self.registered.applied(made, seed, given), split, ())


def plan_adaptation(
    name: str, preset: str | None = None, overrides: Mapping[str, object] | None = None
) -> PlannedAdaptation:
    """An adaptation with what a person passed.

    Raises:
        UnknownNameError: no such adaptation, preset or parameter.
        MethodError: a value does not fit.
    """
    registered = load_adaptation(name)
    made = make_method(registered, preset, overrides)
    return PlannedAdaptation(registered, _passed(made, preset, overrides), params_dict(made.params))


def people_unseen(split: Split) -> int:
    """How many identities have no photo, as in a split of addresses that nobody fetched yet."""
    return sum(not identity.photos for identity in split.identities)


def check_photos(split: Split, attack: MethodSpec) -> None:
    """Refuse an attack that needs photos where somebody has none.

    Raises:
        DataError: the attack needs photos, and somebody has none.
    """
    unseen = people_unseen(split)
    if unseen and "PHOTOS" in attack.knowledge:
        raise DataError(
            f"{attack.name} needs photos, and {unseen} of {len(split.identities)} identities of "
            f"{split.manifest.name} have none.",
            hint="Build the split with photos (--faces DIR), or take people who have some: bench data subset.",
        )


def method_spec(registered: RegisteredAttack, attack: Attack[Any], passed: PassedParameters) -> MethodSpec:
    """An attack with its parameters as plain data."""
    ref = registered.reference(attack)
    return MethodSpec(
        name=ref.name,
        version=ref.version,
        plugin=registered.plugin.value,
        distribution=ref.distribution,
        code_sha256=ref.code_sha256,
        knowledge=ref.knowledge,
        passed=passed,
        parameters=params_dict(attack.params),
    )


def plan_method(
    registered: RegisteredAttack, preset: str | None = None, overrides: Mapping[str, object] | None = None
) -> MethodSpec:
    """An attack with what a person passed, as plain data.

    Raises:
        UnknownNameError: no such preset or parameter.
        MethodError: a value does not fit.
    """
    attack = make_method(registered, preset, overrides)
    return method_spec(registered, attack, _passed(attack, preset, overrides))


def _passed(method: Method[Any], preset: str | None, overrides: Mapping[str, object] | None) -> PassedParameters:
    """What a person passed, as the method understood it."""
    every = params_dict(method.params)
    return PassedParameters(preset=preset, overrides={name: every[name] for name in overrides or ()})


def split_spec(split: Split) -> SplitSpec:
    """An open split as plain data. Another machine finds a registered one by its name, others by their folder."""
    manifest, folder = split.manifest, split.folder.resolve()
    if split.origin is not None:
        return SplitSpec(
            source=str(split.origin),
            name=manifest.name,
            version=manifest.version,
            digest=split.digest,
            commit=split.origin.revision,
        )
    registered = manifest.name in split_names() and folder.is_relative_to(cache_dir("splits").resolve())
    return SplitSpec(
        source=manifest.name if registered else str(folder),
        name=manifest.name,
        version=manifest.version,
        digest=split.digest,
    )


def target_ref(target: TargetSpec) -> TargetRef:
    """How a record refers to a pinned target."""
    if target.sha256 is None:
        raise ValueError(f"{target.name} is not pinned: use pin_target first")
    return TargetRef(
        name=target.name,
        version=target.version,
        architecture=target.architecture_name,
        sha256=target.sha256,
        corpus=target.corpus,
        control_for=target.control_for,
        design=target.design,
    )


class PlanFile(Closed):
    """Runs written down, to be executed elsewhere: `bench run --plan FILE --only ID`."""

    schema_version: Literal[1] = 1
    runs: tuple[RunSpec, ...]


_PLAN_BYTES: Final = 1 << 30


def write_plan(path: Path, specs: Iterable[RunSpec]) -> int:
    """Write runs down, each once; returns how many.

    Raises:
        StorageError: the file cannot be written.
    """
    unique = {spec.run_id: spec for spec in specs}
    write_text(path, PlanFile(runs=tuple(unique.values())).model_dump_json(indent=1) + "\n")
    return len(unique)


def read_plan(path: Path, only: Iterable[str] = ()) -> list[RunSpec]:
    """The runs of a written plan.

    Args:
        path: of the file.
        only: beginnings of run ids; empty for all runs.

    Raises:
        StorageError: the file cannot be read.
        IdbenchError: it is not a plan, or an id means no run or several.
    """
    raw = read_bounded(path, _PLAN_BYTES)
    try:
        runs = PlanFile.model_validate_json(raw).runs
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise IdbenchError(
            f"{path} is not a plan: {where + ': ' if where else ''}{first['msg']}.",
            hint="Write one: bench run ... --write-plan FILE.",
        ) from error
    known = {spec.run_id: spec for spec in runs}
    wanted = list(only)
    if not wanted:
        return list(known.values())
    return [known[_the_one(known, beginning, path)] for beginning in wanted]


def _the_one(known: Iterable[str], beginning: str, path: Path) -> str:
    matches = [each for each in known if each.startswith(beginning)] if beginning else []
    if len(matches) != 1:
        what = "none" if not matches else f"{len(matches)}"
        raise IdbenchError(
            f"{beginning!r} means {what} of the runs in {path}.",
            hint=f"`bench run --plan {path} --dry-run` lists them.",
        )
    return matches[0]
