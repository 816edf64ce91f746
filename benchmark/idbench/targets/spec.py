"""What a target is on paper: architecture, weights with their hash, tokenizer, recipe, lineage. No torch."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from idbench.storage import sha256_bytes

_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_REPO = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Rgb = tuple[float, float, float]
_Share = Annotated[float, Field(ge=0, le=1)]
_PositiveShare = Annotated[float, Field(gt=0, le=1)]
MeanRgb = tuple[_Share, _Share, _Share]
PositiveRgb = tuple[_PositiveShare, _PositiveShare, _PositiveShare]
"""Of colours from 0 to 1, as open_clip has them; numbers for 0 to 255 would silently give wrong embeddings."""
Interpolation = Literal["bicubic", "bilinear"]
ResizeMode = Literal["shortest", "longest", "squash"]
Precision = Literal["float32", "bfloat16", "float16"]

CLIP_MEAN: Rgb = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Rgb = (0.26862954, 0.26130258, 0.27577711)
"""Of the pictures that CLIP was trained on; open_clip's default."""


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Packaged(_Closed):
    """Weights that come with idbench."""

    kind: Literal["packaged"] = "packaged"
    file: str = Field(description="file name inside `idbench/targets/weights`", pattern=r"^[\w.-]+$")


class LocalFile(_Closed):
    """A checkpoint on this machine: safetensors, a state dict, open_clip's `epoch_N.pt`, or OpenAI's archive."""

    kind: Literal["file"] = "file"
    path: str = Field(min_length=1)


class PretrainedTag(_Closed):
    """Weights that open_clip knows by a tag, e.g. `laion400m_e32`."""

    kind: Literal["tag"] = "tag"
    tag: str = Field(min_length=1)


class HubFile(_Closed):
    """A file of a Hugging Face Hub repository at one commit."""

    kind: Literal["hub"] = "hub"
    repo: str = Field(description="`organisation/repository`")
    commit: str = Field(description="40 hexadecimal digits; branches and tags move and are rejected")
    file: str = Field(default="open_clip_model.safetensors", min_length=1)

    @field_validator("repo")
    @classmethod
    def _check_repo(cls, repo: str) -> str:
        if not _REPO.match(repo):
            raise ValueError(f"{repo!r} is not a repository: write `organisation/repository`")
        return repo

    @field_validator("commit")
    @classmethod
    def _check_commit(cls, commit: str) -> str:
        if not _COMMIT.match(commit):
            raise ValueError(
                f"{commit!r} is not a commit: branches and tags move, so write all 40 hexadecimal digits of the commit"
            )
        return commit


class TrainedHere(_Closed):
    """Weights that `bench target train` makes on this machine, for their training data may not be passed on."""

    kind: Literal["trained"] = "trained"
    group: str = Field(
        description="the name that trains it along with the rest of its group: `bench target train GROUP`", min_length=1
    )


class AppliedDefense(_Closed):
    """A defense as it was applied to a target: everything that the outcome depends on, besides the target."""

    name: str = Field(description="as registered")
    version: str = Field(min_length=1, description="from its card")
    distribution: str = Field(description="installed distribution and version that brought it; does not count")
    code_sha256: Sha256 = Field(description="of its source")
    parameters: dict[str, Any] = Field(description="all of them, defaults included; plain JSON")
    seed: int = Field(ge=0)
    given_sha256: Sha256 = Field(
        description="over what it was given besides the target: whom to protect, and all else that its card declares"
    )


class Defended(_Closed):
    """Weights of another target after a defense. They lie in the cache under their lineage, or are made there."""

    kind: Literal["defended"] = "defended"
    base: TargetSpec = Field(description="the target before the defense, with the SHA-256 of its weights")
    defense: AppliedDefense

    @model_validator(mode="after")
    def _check_base(self) -> Self:
        if self.base.sha256 is None:
            raise ValueError(
                f"{self.base.name} is not pinned: a lineage needs the SHA-256 of the weights it starts from"
            )
        return self

    @property
    def lineage(self) -> str:
        """SHA-256, 64 hexadecimal digits, over all that the weights follow from: the base target and the defense.

        Names, titles and places do not count, so that the same weights defended in the same way are the same.
        """
        fixed = self.base.weights.kind in ("packaged", "file", "trained")  # the hash of such weights says everything
        base = self.base.model_dump(mode="json", exclude=_NOT_IN_LINEAGE)
        parts = {
            "base": base | {"weights": None if fixed else self._origin},
            "defense": self.defense.model_dump(mode="json", exclude={"distribution"}),
        }
        return sha256_bytes(json.dumps(parts, sort_keys=True, allow_nan=False).encode())

    @property
    def _origin(self) -> str:
        """Where configuration and preprocessing of the base come from, besides its own fields."""
        weights = self.base.weights
        return weights.lineage if isinstance(weights, Defended) else weights.model_dump_json()


_NOT_IN_LINEAGE = {"name", "version", "title", "license", "control_for", "golden_sha256", "weights", "precision"}

Weights = Annotated[
    Packaged | LocalFile | PretrainedTag | HubFile | TrainedHere | Defended, Field(discriminator="kind")
]


class Merges(_Closed):
    """The merges file of a byte-pair tokenizer that comes with idbench."""

    file: str = Field(description="file name inside `idbench/targets/weights`", pattern=r"^[\w.-]+$")
    sha256: Sha256


class Preprocessing(_Closed):
    """How a photo becomes the model's input. The defaults are CLIP's own."""

    mean: MeanRgb = CLIP_MEAN
    std: PositiveRgb = CLIP_STD
    interpolation: Interpolation = "bicubic"
    resize_mode: ResizeMode = "shortest"
    fill_color: int = Field(default=0, ge=0, le=255)


class Stated(_Closed):
    """What is stated about the preprocessing that weights were trained with; the rest follows from public models."""

    tag: str | None = Field(
        default=None, description="of open_clip: weights with the same preprocessing and activation"
    )
    mean: MeanRgb | None = None
    std: PositiveRgb | None = None
    interpolation: Interpolation | None = None
    resize_mode: ResizeMode | None = None


class TrainingRecipe(_Closed):
    """Everything that decides a trained target, besides the corpus and the architecture."""

    epochs: int = Field(ge=1, description="passes over the corpus")
    batch_size: int = Field(ge=2, description="pairs per step")
    learning_rate: float = Field(gt=0, description="peak of AdamW's learning rate")
    weight_decay: float = Field(ge=0)
    warmup_steps: int = Field(ge=0, description="steps of linear rise before the cosine fall to zero")
    restarts: tuple[int, ...] = Field(
        default=(), description="epochs at whose beginning optimizer and learning-rate schedule restart"
    )
    max_logit_scale: float = Field(default=100.0, gt=1, description="bound of the inverse temperature")
    seed: int = Field(ge=0)


class TargetSpec(_Closed):
    """One model under audit. JSON round trip: `TargetSpec.model_validate_json(spec.model_dump_json())`."""

    name: str = Field(description="how it is called on the command line and in records")
    version: str = Field(min_length=1, description="changes whenever the weights change")
    title: str = Field(min_length=1, description="one line for people")
    corpus: str | None = Field(default=None, description="what it was trained on; None: unknown")
    control_for: tuple[str, ...] = Field(
        default=(), description="corpora whose labels a control target, trained on none of their people, is scored with"
    )
    architecture: str | dict[str, Any] | None = Field(
        description="open_clip model name, or an open_clip model configuration (`embed_dim`, `vision_cfg`, "
        "`text_cfg`, ...); None: the Hub repository's own `open_clip_config.json`"
    )
    weights: Weights
    sha256: Sha256 | None = Field(default=None, description="of the weights file; None: computed when first loaded")
    tokenizer: Merges | None = Field(default=None, description="None: the one that open_clip gives the architecture")
    preprocessing: Preprocessing | None = Field(
        default=None, description="None: what comes with the tag or the repository, else CLIP's own"
    )
    stated: Stated | None = Field(
        default=None, description="what was said of the preprocessing on the command line; None once it is settled"
    )
    quick_gelu: bool | None = Field(
        default=None,
        description="whether the weights were trained with QuickGELU, so that the model is built with it; None: what "
        "the architecture or the tag says",
    )
    precision: Precision = Field(
        default="float32",
        description="that answers are computed in: the shorter ones by autocast, where answers differ in the second "
        "or third digit, so that such a target bears a name of its own",
    )
    license: str | None = Field(default=None, description="of the weights; None: unknown")
    recipe: TrainingRecipe | None = Field(default=None, description="None: cannot be trained again here")
    corpus_digest: str | None = Field(default=None, description="of the corpus that the weights were trained on")
    golden_sha256: Sha256 | None = Field(
        default=None, description="of the shipped golden embeddings that `verify_target` compares with"
    )

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not _NAME.match(name):
            raise ValueError(f"{name!r} is not a target name: use letters, digits, dots, hyphens and underscores")
        return name

    @field_validator("architecture")
    @classmethod
    def _check_architecture(cls, value: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
        if isinstance(value, dict):
            missing = sorted({"embed_dim", "vision_cfg", "text_cfg"} - value.keys())
            if missing:
                raise ValueError(f"the model configuration lacks {', '.join(missing)}")
        return value

    @model_validator(mode="after")
    def _check_inherited(self) -> Self:
        """A defense changes weights; any other field of a defended target would be made up."""
        if isinstance(self.weights, Defended):
            base = self.weights.base
            other = [name for name in _INHERITED if getattr(self, name) != getattr(base, name)]
            if other:
                raise ValueError(
                    f"{self.name} differs from {base.name} in {', '.join(other)}, which no defense changes"
                )
            if self.name == base.name:
                raise ValueError(f"a defended target needs a name of its own, other than {base.name}")
        return self

    @property
    def lineage(self) -> str | None:
        """What a defended target's weights follow from, see `Defended.lineage`; None: it is not defended."""
        return self.weights.lineage if isinstance(self.weights, Defended) else None

    @property
    def undefended(self) -> TargetSpec:
        """The target before all defenses; itself if there were none."""
        return self.weights.base.undefended if isinstance(self.weights, Defended) else self

    @property
    def design(self) -> str:
        """SHA-256 over what decides the target's answers, and those of its shadow models, besides its weights.

        The lineage of a defended target is part of it, so that it is part of every run's id.
        """
        parts = {"architecture", "tokenizer", "preprocessing", "quick_gelu", "recipe"}
        described = self.model_dump(mode="json", include=parts)
        if isinstance(self.weights, PretrainedTag | HubFile):  # what the tag or the repository says fills the gaps
            described["weights"] = self.weights.model_dump(mode="json")
        if self.lineage is not None:
            described["lineage"] = self.lineage
        if self.precision != "float32":
            described["precision"] = self.precision
        return sha256_bytes(json.dumps(described, sort_keys=True).encode())

    @property
    def architecture_name(self) -> str:
        """What to call the architecture in a table."""
        if isinstance(self.architecture, str):
            return self.architecture
        if self.architecture is None:
            return "from the repository"
        vision = self.architecture["vision_cfg"]
        layers = vision.get("layers", 12)
        size = f"{vision.get('width', 768)} wide, {vision.get('image_size', 224)} px"
        if isinstance(layers, list | tuple):
            return f"RN {'-'.join(map(str, layers))}, {size}"
        return f"ViT {layers} layers, {size} in patches of {vision.get('patch_size', 16)}"

    @property
    def is_control(self) -> bool:
        """Whether nobody under test was in its training data."""
        return bool(self.control_for)


_INHERITED = (
    *("corpus", "control_for", "corpus_digest", "recipe"),
    *("architecture", "tokenizer", "preprocessing", "quick_gelu", "precision"),
)
"""What a defended target has from its base. `corpus` and its digest are those before the defense: they say who is a
member, also where the defense trains the target again on something else."""

Defended.model_rebuild()
