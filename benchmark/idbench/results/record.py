"""The record of a run: what was run on what, with what, at what cost; and the summary derived from it."""

from __future__ import annotations

from typing import Any, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from idbench.privacy import Guarantee

SCHEMA_VERSION: Final = 2
SUMMARY_VERSION: Final = 2
"""Of `Summary`: raised whenever a formula behind one of its numbers changes."""
MAX_SEED: Final = 2**63 - 1


class Closed(BaseModel):
    """A frozen model that rejects unknown keys; unknown values are None and never left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SplitRef(Closed):
    """Which identities were asked about."""

    name: str
    version: int
    digest: str = Field(description="SHA-256 over the split's logical content")
    commit: str | None = Field(description="commit of the data set repository; None for an embedded split")


class TargetRef(Closed):
    """Which model was audited."""

    name: str
    version: str
    architecture: str
    sha256: str = Field(description="of the weights")
    corpus: str | None = Field(description="what it was trained on; None if unknown")
    control_for: tuple[str, ...] = Field(description="corpora that a control target stands in for; else empty")
    design: str | None = Field(
        default=None,
        description="SHA-256 over what decides its answers besides the weights; None before schema 2",
    )


class ChoiceCopy(Closed):
    """Something that the method's source leaves open, as stated on the card that ran."""

    what: str
    chosen: str
    why: str


class ParameterCopy(Closed):
    """One parameter of the method that ran."""

    name: str
    type: str
    default: Any = Field(description="plain JSON")
    description: str


class CardCopy(Closed):
    """The card of the method that ran, as plain data: what a board shows long after the method has changed."""

    name: str
    version: str
    title: str
    summary: str
    paper: str | None
    authors: str = ""
    year: int | None = None
    url: str | None
    access: tuple[str, ...]
    knowledge: tuple[str, ...]
    optional_knowledge: tuple[str, ...]
    choices: tuple[ChoiceCopy, ...]
    presets: dict[str, dict[str, Any]]
    parameters: tuple[ParameterCopy, ...]

    def settled(self) -> CardCopy:
        """The card without how Python writes the types of its parameters, which versions of it do differently."""
        return self.model_copy(update={"parameters": tuple(p.model_copy(update={"type": ""}) for p in self.parameters)})


class MethodRef(Closed):
    """Which method ran, down to its code."""

    name: str
    version: str
    title: str
    distribution: str = Field(description="installed distribution and version that brought it")
    code_sha256: str = Field(
        description="over the method's import closure inside its distribution; before schema 2: over its own package"
    )
    access: tuple[str, ...]
    knowledge: tuple[str, ...] = Field(description="with the parameters of this run")
    track: str
    card: CardCopy | None = Field(default=None, description="None before schema 2")


class DefenseCost(Closed):
    """What a defense of weights cost when its outcome was computed, maybe by an earlier run."""

    seconds: float = Field(ge=0, description="wall time of the defense, without loading the target")
    steps: int = Field(ge=0, description="optimizer steps, counted")
    device: str


class UtilityMeasure(Closed):
    """One thing that a target is good for, before and after a defense, on people whom the defense should spare."""

    name: str
    people: int = Field(ge=1, description="over whom the intervals are taken")
    before: Estimate
    after: Estimate
    difference: Estimate = Field(description="after minus before, paired by person")


class DefenseRef(MethodRef):
    """Which defense the target was put behind. The record's target is the one before the defense."""

    parameters: dict[str, Any] = Field(description="all of them")
    seed: int = Field(ge=0)
    given_sha256: str = Field(description="over whom it protects and whatever else it was given")
    protected: tuple[str, ...] = Field(description="identities that it protects, by opaque id, sorted")
    lineage: str | None = Field(description="of the defended weights; None where no weights were changed")
    weights_sha256: str | None = Field(description="of the defended weights; None where no weights were changed")
    cost: DefenseCost | None = Field(description="None where no weights were changed: then the run itself pays")
    guarantees: tuple[Guarantee, ...] = Field(default=(), description="about privacy, as the defense states them")
    utility: tuple[UtilityMeasure, ...] = Field(
        default=(), description="before and after; empty where the split has no held-out pictures to measure it on"
    )


class AdaptationRef(MethodRef):
    """What an attacker who knows of the defense changed: the weights before the attack, or its questions."""

    parameters: dict[str, Any] = Field(description="all of them")
    lineage: str | None = Field(description="of the adapted weights; None where no weights were changed")
    weights_sha256: str | None = Field(description="of the adapted weights; None where no weights were changed")
    cost: DefenseCost | None = Field(description="of the weights; None where no weights were changed")


class PassedParameters(Closed):
    """The parameters as they were passed, before defaults filled in the rest."""

    preset: str | None
    overrides: dict[str, Any] = Field(description="over the preset; plain JSON")


class Queries(Closed):
    """What the target was asked, by kind."""

    texts: int = Field(ge=0, description="distinct texts encoded")
    images: int = Field(ge=0, description="distinct images encoded")
    pairs: int = Field(ge=0, description="similarities computed, for labels too")
    gradients: int = Field(ge=0, description="gradients with respect to one image")
    training_steps: int = Field(ge=0, description="optimizer steps of shadow models")

    @property
    def total(self) -> int:
        """Everything added up: forward passes, gradients and training steps; comparisons cost nothing of the kind."""
        return self.texts + self.images + self.gradients + self.training_steps


class Timings(Closed):
    """Wall-clock seconds."""

    load: float = Field(ge=0, description="start of the worker, cases and target")
    fit: float = Field(ge=0)
    score: float = Field(ge=0)
    total: float = Field(ge=0, description="from the start of the command to the record")


class ShadowCosts(Closed):
    """What a run's shadow models cost: from nothing, and this time, when some may have been trained before."""

    count: int = Field(ge=0, description="shadow models that the run used")
    steps: int = Field(ge=0, description="optimizer steps behind them")
    seconds: float = Field(ge=0, description="training time behind them, summed over the models, wherever it was spent")
    trained: int = Field(ge=0, description="of the models: trained by this run, not found in its cache")
    trained_steps: int = Field(ge=0, description="optimizer steps of those")
    waited: float = Field(ge=0, description="wall-clock seconds of this run until all were there")


class Environment(Closed):
    """Where the run took place; no host or user name."""

    python: str
    system: str
    device: str
    processors: int
    packages: dict[str, str]
    commit: str | None = Field(description="of the checkout that idbench ran from; None when installed")
    dirty: bool | None
    device_model: str | None = Field(default=None, description="of an accelerator; None on processors")
    threads: int | None = Field(
        default=None, description="that torch computed with; None: a blind attack, or not recorded (before 2026-11-22)"
    )

    @property
    def hardware(self) -> str:
        """What computed: an accelerator's own name where it is known, else the device."""
        return self.device_model or self.device


class RunRecord(Closed):
    """One run. `run.json` in the run's folder."""

    schema_version: Literal[1, 2]
    run_id: str = Field(pattern=r"^[0-9a-f]{16}$", description="see `idbench.results.identity.run_id`")
    engine: int | None = Field(default=None, ge=1, description="version of the engine; None before schema 2")
    created: AwareDatetime
    split: SplitRef
    target: TargetRef
    attack: MethodRef
    defense: DefenseRef | None
    parameters: dict[str, Any] = Field(description="all of them, defaults included")
    parameters_passed: PassedParameters | None = Field(default=None, description="None before schema 2")
    seed: int = Field(ge=0, le=MAX_SEED)
    calibration_corpus: str | None = Field(
        default=None, description="whose calibration labels the method was given; None: it was given none"
    )
    photos_sha256: str | None = Field(
        default=None,
        description="over the split's table of photos, as they were when the run asked; None: not recorded",
    )
    n_cases: int = Field(ge=1)
    n_abstained: int = Field(ge=0)
    photos_per_case: float = Field(ge=0, description="mean over the cases that were scored")
    queries: Queries
    timings: Timings
    peak_memory_mb: float = Field(ge=0, description="of the worker process, MiB")
    environment: Environment
    scores_sha256: str
    shadows: ShadowCosts | None = Field(default=None, description="None: the run used no shadow models")
    adaptation: AdaptationRef | None = Field(default=None, description="what the attack was combined with")

    @property
    def attack_label(self) -> str:
        """What to call the attack in a table, e.g. `cosine`, or `cosine + relearn (steps 5)` where it was adapted.

        Parameters of the adaptation are named where they are not its defaults.
        """
        own = self.adaptation
        if own is None:
            return self.attack.name
        usual = {} if own.card is None else {one.name: one.default for one in own.card.parameters}
        other = [f"{name} {value}" for name, value in own.parameters.items() if usual.get(name) != value]
        return f"{self.attack.name} + {own.name}" + (f" ({', '.join(other)})" if other else "")

    @model_validator(mode="after")
    def _check_complete(self) -> Self:
        """What schema 1 did not have yet is never missing in schema 2."""
        if self.schema_version == 2:
            since = {
                "engine": self.engine,
                "parameters_passed": self.parameters_passed,
                "target.design": self.target.design,
                "attack.card": self.attack.card,
            }
            missing = [name for name, value in since.items() if value is None]
            if missing:
                raise ValueError(f"a record of schema 2 has {', '.join(missing)}")
        return self


def current(data: Any) -> Any:
    """The content of `run.json`, without the claim of schema-1 records about how far they may be trusted.

    Only maintainers state that, in files of their own (`idbench.results.attestation`).
    """
    former = ("verification", "invalidated")
    if not isinstance(data, dict) or data.get("schema_version", 1) != 1 or not any(name in data for name in former):
        return data
    return {name: value for name, value in data.items() if name not in former}


class Estimate(Closed):
    """A number with its interval."""

    value: float
    low: float
    high: float
    level: float
    method: str


class RateSummary(Closed):
    """TPR at one false-positive rate; None with a reason where the non-members cannot resolve it."""

    fpr: float
    value: float | None
    low: float | None
    high: float | None
    threshold: float | None
    resolution: float = Field(description="smallest false-positive rate above zero: 1 / non-members")
    reason: str | None


class BinSummary(Closed):
    """One occurrence bin: its members against all non-members."""

    occurrences: int
    n_members: int
    auc: Estimate
    tpr: tuple[float | None, ...] = Field(description="at the rates of the summary; None where not estimable")


class BlindComparison(Closed):
    """The attack against the best of the blind attacks, paired by identity."""

    attack: str
    auc: float
    difference: float
    p: float


class Decision(Closed):
    """What the attack decides at the threshold that the calibration part chose."""

    threshold: float
    tpr: float
    fpr: float
    accuracy: float


class GroupSummary(Closed):
    """The protected people of a defended run, or the others: members of the group against its non-members."""

    group: Literal["protected", "unprotected"]
    n_members: int
    n_nonmembers: int
    auc: Estimate
    tpr: tuple[RateSummary, ...]


class Summary(Closed):
    """What the scores are worth against the labels of one corpus, on the test part. Derived: `metrics.json`."""

    summary_version: Literal[2] = SUMMARY_VERSION
    run_id: str
    scores_sha256: str = Field(description="of the scores that it was derived from")
    split_digest: str = Field(description="of the split whose labels it was derived from")
    corpus: str
    control: bool = Field(description="nobody under test is in the target's corpus: chance is expected")
    n_members: int
    n_nonmembers: int
    auc: Estimate
    tpr: tuple[RateSummary, ...]
    p_chance: float = Field(description="against chance, two-sided, by permuting the labels")
    blind: BlindComparison | None
    bins: tuple[BinSummary, ...]
    trend_p: float | None = Field(description="one-sided: more training pictures, higher scores; None with one bin")
    macro_auc: Estimate | None = Field(description="mean AUC over the bins, each with equal weight")
    decision: Decision | None
    groups: tuple[GroupSummary, ...] = Field(
        default=(), description="protected and unprotected people apart; empty for an undefended target"
    )
    marks: Estimate | None = Field(
        default=None,
        description="AUC of the scores as a test of who was protected, regardless of membership; 0.5: no evidence, and "
        "both sides count, for an attacker may turn the scores around. None for an undefended target",
    )
