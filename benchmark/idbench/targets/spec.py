"""What a target is on paper: architecture, weights with their hash, tokenizer, recipe. No torch."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from idbench.storage import sha256_bytes

_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_REPO = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Rgb = tuple[float, float, float]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Packaged(_Closed):
    """Weights that come with idbench."""

    kind: Literal["packaged"] = "packaged"
    file: str = Field(description="file name inside `idbench/targets/weights`", pattern=r"^[\w.-]+$")


class LocalFile(_Closed):
    """A checkpoint on this machine: safetensors, a plain state dict, or open_clip's `epoch_N.pt`."""

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
    commit: str = Field(description="40 hexadecimal digits; branches and tags move and are refused")
    file: str = Field(default="open_clip_model.safetensors", min_length=1)

    @field_validator("repo")
    @classmethod
    def _check_repo(cls, repo: str) -> str:
        if not _REPO.match(repo):
            raise ValueError(f"{repo!r} is no repository: write `organisation/repository`")
        return repo

    @field_validator("commit")
    @classmethod
    def _check_commit(cls, commit: str) -> str:
        if not _COMMIT.match(commit):
            raise ValueError(
                f"{commit!r} is no commit: branches and tags move, so write all 40 hexadecimal digits of the commit"
            )
        return commit


class TrainedHere(_Closed):
    """Weights that `bench target train` makes on this machine, for their training data may not be passed on."""

    kind: Literal["trained"] = "trained"
    group: str = Field(description="what trains it together with its fellows: `bench target train GROUP`", min_length=1)


Weights = Annotated[Packaged | LocalFile | PretrainedTag | HubFile | TrainedHere, Field(discriminator="kind")]


class Merges(_Closed):
    """The merges file of a byte-pair tokenizer that comes with idbench."""

    file: str = Field(description="file name inside `idbench/targets/weights`", pattern=r"^[\w.-]+$")
    sha256: Sha256


class Preprocessing(_Closed):
    """How a photo becomes the model's input."""

    mean: Rgb
    std: Rgb
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    resize_mode: Literal["shortest", "longest", "squash"] = "shortest"
    fill_color: int = Field(default=0, ge=0, le=255)


class TrainingRecipe(_Closed):
    """Everything that decides a trained target, beside the corpus and the architecture."""

    epochs: int = Field(ge=1, description="passes over the corpus")
    batch_size: int = Field(ge=2, description="pairs per step")
    learning_rate: float = Field(gt=0, description="peak of AdamW's learning rate")
    weight_decay: float = Field(ge=0)
    warmup_steps: int = Field(ge=0, description="steps of linear rise before the cosine fall to zero")
    restarts: tuple[int, ...] = Field(
        default=(), description="epochs at whose beginning optimizer and learning-rate schedule start anew"
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
    quick_gelu: bool | None = Field(
        default=None, description="the activation that the weights were trained with; None: unknown, not checked"
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
            raise ValueError(f"{name!r} is no target name: letters, digits, dots, hyphens and underscores")
        return name

    @field_validator("architecture")
    @classmethod
    def _check_architecture(cls, value: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
        if isinstance(value, dict):
            missing = sorted({"embed_dim", "vision_cfg", "text_cfg"} - value.keys())
            if missing:
                raise ValueError(f"the model configuration lacks {', '.join(missing)}")
        return value

    @property
    def design(self) -> str:
        """SHA-256 over what decides the target's answers, and those of its shadow models, beside its weights."""
        parts = {"architecture", "tokenizer", "preprocessing", "quick_gelu", "recipe"}
        said = self.model_dump(mode="json", include=parts)
        if isinstance(self.weights, PretrainedTag | HubFile):  # what the tag or the repository says fills the gaps
            said["weights"] = self.weights.model_dump(mode="json")
        return sha256_bytes(json.dumps(said, sort_keys=True).encode())

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
