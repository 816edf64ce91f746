"""A run as plain data: JSON that any process or machine can read, resolve and carry out under the same run id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, ValidationError

from idbench.api import Attack, Progress
from idbench.errors import DataError, IdbenchError, MethodError
from idbench.results import ENGINE_VERSION, PassedParameters, SplitRef, TargetRef, run_id
from idbench.results.record import MAX_SEED, Closed
from idbench.runner.registry import RegisteredAttack, find_attack, make_method, params_dict, with_parameters
from idbench.splits import Split, load_split, split_names
from idbench.storage import cache_dir, read_bounded, write_text
from idbench.targets import TargetSpec


class SplitSpec(Closed):
    """Which split, and where a process finds it."""

    source: str = Field(description="what `load_split` understands: a registered name or the path of a folder")
    name: str
    version: int
    digest: str = Field(description="of the content that the run was planned with; another content is refused")
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


class RunSpec(Closed):
    """One run to be: everything that its scores depend on, and whose labels they are judged with.

    JSON round trip: `RunSpec.model_validate_json(spec.model_dump_json()) == spec`.
    """

    schema_version: Literal[1] = 1
    engine: int = Field(default=ENGINE_VERSION, ge=1, description="version of the engine that the run was planned with")
    split: SplitSpec
    target: TargetSpec = Field(description="pinned: with the SHA-256 of its weights")
    attack: MethodSpec
    defense: MethodSpec | None = Field(default=None, description="what the target is put behind; None for nothing")
    seed: int = Field(ge=0, le=MAX_SEED)
    corpus: str = Field(description="whose labels the scores are judged with")

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
            engine=self.engine,
        )

    @property
    def calibration_corpus(self) -> str | None:
        """Whose calibration labels the attack is given; None if it is given none."""
        return self.corpus if "CALIBRATION_LABELS" in self.attack.knowledge else None

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
        return f"{self.attack.name} on {self.target.name}, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class ResolvedRun:
    """What a spec means in this process."""

    spec: RunSpec
    split: Split
    registered: RegisteredAttack
    attack: Attack[Any]


@dataclass(frozen=True, slots=True)
class Resolver:
    """Finds what specs mean in this process; a split is opened once, however many specs speak of it.

    Args:
        progress: told how far a split is that must be built first.
        opened: splits that are open already, by source.
    """

    progress: Progress
    opened: dict[str, Split] = field(default_factory=dict)

    def split(self, spec: SplitSpec) -> Split:
        """The split that a spec speaks of.

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
        if spec.defense is not None:
            raise MethodError(
                f"The run asks for the defense {spec.defense.name}; this idbench attacks undefended targets only.",
                hint="Use the idbench version that planned it.",
            )
        registered = find_attack(spec.attack.name, spec.attack.plugin)
        attack = with_parameters(registered, spec.attack.parameters)
        here = method_spec(registered, attack, spec.attack.passed)
        for what in ("version", "code_sha256", "parameters"):
            if getattr(here, what) != getattr(spec.attack, what):
                raise MethodError(
                    f"{spec.attack.name} is another one here than the run was planned with: its {what} differs.",
                    hint="Install the same version on every machine, or plan the run again.",
                )
        return ResolvedRun(spec, self.split(spec.split), registered, attack)


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
    every = params_dict(attack.params)
    passed = PassedParameters(preset=preset, overrides={name: every[name] for name in overrides or ()})
    return method_spec(registered, attack, passed)


def split_spec(split: Split) -> SplitSpec:
    """An open split as plain data. Another machine finds a registered one by its name, others by their folder."""
    manifest, folder = split.manifest, split.folder.resolve()
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
