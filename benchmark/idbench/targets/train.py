"""Trains a small target on a corpus with open_clip's model and loss: seeded, resumable, nothing half-written."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from idbench.api.training import PrivateGradients
from idbench.errors import DataError, TargetError
from idbench.progress import Progress, Silent
from idbench.storage import sha256_bytes, sha256_file, storage_errors
from idbench.targets.checkpoints import check_finite, read_checkpoint, write_checkpoint, write_weights
from idbench.targets.fetch import packaged_file
from idbench.targets.load import build_model
from idbench.targets.public_models import model_config
from idbench.targets.spec import Preprocessing, TargetSpec, TrainingRecipe
from idbench.targets.texts import encode_cut, text_lengths
from idbench.targets.tokenizing import merges_tokenizer, open_clip_tokenizer

_BETAS, _EPSILON = (0.9, 0.98), 1e-6
"""AdamW's, as CLIP and open_clip train."""
_IMAGE_SIZE, _CONTEXT_LENGTH, _VOCABULARY = 224, 77, 49_408
"""open_clip's own, where a model configuration is silent."""


class TrainingData(Protocol):
    """What a target is trained on; `idbench.splits.Corpus` is one."""

    @property
    def images(self) -> NDArray[np.uint8]:
        """Pictures (n, h, w, 3), possibly mapped from disk."""
        ...

    @property
    def caption_ids(self) -> NDArray[np.int64]:
        """Place of each picture's caption in `captions`, (n,)."""
        ...

    @property
    def captions(self) -> list[str]:
        """The distinct captions."""
        ...

    @property
    def digest(self) -> str:
        """Hash of all that."""
        ...


@dataclass(frozen=True, slots=True)
class Manner:
    """How a training departs from plain contrastive learning; see `idbench.api.Training` for what each means."""

    smoothing: float = 0.0
    private: PrivateGradients | None = None


PLAIN = Manner()


@dataclass(frozen=True, slots=True)
class Trained:
    """What came out of a training.

    Args:
        path: the weights, safetensors.
        sha256: of the weights.
        corpus_digest: of what they were trained on.
        steps: optimizer steps.
        loss: mean over the last epoch.
        seconds: wall time of this call.
        cpu_seconds: processor time of this call.
        resumed: epochs that an earlier call had finished.
    """

    path: Path
    sha256: str
    corpus_digest: str
    steps: int
    loss: float
    seconds: float
    cpu_seconds: float
    resumed: int = 0


def train_target(
    spec: TargetSpec,
    corpus: TrainingData,
    out: Path,
    progress: Progress | None = None,
    device: str = "cpu",
    manner: Manner = PLAIN,
) -> Trained:
    """Train a target by its recipe.

    The same spec and corpus give the same bytes on the same machine. After each epoch a checkpoint is written next to
    `out`; the same call continues from there after an interruption, with the same result.

    Args:
        spec: with a recipe and an architecture given as a model configuration.
        corpus: pictures of the model's image size with captions.
        out: where the weights go, a `.safetensors` file; replaced only when training has finished.
        progress: receives a report after every step.
        device: where to compute, e.g. `cpu`, `cuda:0`; only the CPU gives the same bytes again.
        manner: departs from plain contrastive learning only where a defense wants that.

    Raises:
        TargetError: the target cannot be trained, or training diverged.
        DataError: the corpus does not fit the model.
        StorageError: `out` cannot be written.
    """
    start, start_cpu = time.perf_counter(), time.process_time()
    trainer = _Trainer(spec, corpus, progress or Silent(), torch.device(device), manner)
    checkpoint = out.with_name(f"{out.name}.resume")
    first = trainer.resume(checkpoint)
    for epoch in range(first, trainer.recipe.epochs):
        trainer.run_epoch(epoch)
        trainer.save_checkpoint(checkpoint, epoch + 1)
    trainer.finish()
    write_weights(out, trainer.model.state_dict())
    with storage_errors(checkpoint):
        checkpoint.unlink(missing_ok=True)
    return Trained(
        path=out,
        sha256=sha256_file(out),
        corpus_digest=corpus.digest,
        steps=trainer.recipe.epochs * trainer.steps_per_epoch,
        loss=trainer.loss,
        seconds=time.perf_counter() - start,
        cpu_seconds=time.process_time() - start_cpu,
        resumed=first,
    )


class _Trainer:
    def __init__(
        self, spec: TargetSpec, corpus: TrainingData, progress: Progress, device: torch.device, manner: Manner
    ) -> None:
        self.recipe, config = trainable(spec)
        self._device = device
        self.loss = math.nan
        self._name = spec.name
        self._corpus = corpus
        self._manner = manner
        self._progress = progress
        check_corpus(corpus, config, self.recipe)
        self._images = corpus.images  # once: a corpus may copy all of them whenever it is asked
        self.steps_per_epoch = len(self._images) // self.recipe.batch_size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed)
            self.model: Any = build_model(config, spec.name).to(device)  # drawn on the CPU: the same everywhere
        self.model.train()
        self._optimizer = _optimizer(self.model, self.recipe)
        self._tokens = corpus_tokens(spec, corpus, config)
        self._lengths = text_lengths(self.model, self._tokens)
        self._normalize = Normalize(spec.preprocessing, device)
        described = spec.model_dump_json(exclude={"sha256", "golden_sha256", "stated"})
        self._id = sha256_bytes(f"{described} {corpus.digest} {torch.__version__}".encode())

    def run_epoch(self, epoch: int) -> None:
        """One pass over the corpus; its order and its dropout are decided by the seed and the epoch."""
        # A training that is resumed must draw what the uninterrupted one would have drawn.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed + epoch)
            self._run_epoch(epoch)

    def _run_epoch(self, epoch: int) -> None:
        criterion = contrastive(self._manner.smoothing)
        losses = []
        total = self.recipe.epochs * self.steps_per_epoch
        if epoch in self.recipe.restarts:
            self._optimizer = _optimizer(self.model, self.recipe)
        first, last = (bound * self.steps_per_epoch for bound in cycle_of(self.recipe, epoch))
        for step, places in enumerate(self._batches(epoch), start=epoch * self.steps_per_epoch):
            for group in self._optimizer.param_groups:
                group["lr"] = learning_rate_at(self.recipe, step - first, last - first)
            loss: torch.Tensor = criterion(*self._features(places))
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if self._manner.private is not None:
                make_private(self.model.parameters(), self._manner.private, step)
            self._optimizer.step()
            with torch.no_grad():
                self.model.logit_scale.clamp_(0, math.log(self.recipe.max_logit_scale))
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                raise TargetError(
                    f"The training of {self._name} diverged at step {step + 1}.", hint="Lower the learning rate."
                )
            self._progress.update(step + 1, total, f"training {self._name}, loss {losses[-1]:.2f}")
        check_finite(self.model.state_dict(), self._name)
        self.loss = float(np.mean(losses))

    def finish(self) -> None:
        """What is left to do once the last epoch is over."""
        if self._manner.private is not None:
            self._take_statistics(self._manner.private.public_images)

    def _take_statistics(self, images: NDArray[np.uint8]) -> None:
        """Let batch normalization forget the training set and take its statistics of other pictures."""
        kinds = torch.nn.modules.batchnorm._BatchNorm
        norms = [module for module in self.model.modules() if isinstance(module, kinds)]
        for module in norms:
            module.reset_running_stats()
            module.momentum = None  # the mean over all batches
        size = self.recipe.batch_size
        with torch.no_grad():
            for start in range(0, len(images) if norms else 0, size):
                self.model.encode_image(self._normalize(images[start : start + size]))

    def _batches(self, epoch: int) -> Iterator[NDArray[np.int64]]:
        yield from batches_of(self.recipe, epoch, len(self._images))

    def _features(self, places: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Normalized embeddings of a batch's pictures and captions, and the inverse temperature."""
        images = self._normalize(self._images[np.sort(places)])
        captions = torch.from_numpy(self._corpus.caption_ids[np.sort(places)])
        # Captions come back within a batch; each is encoded once, at the length of the longest.
        distinct, inverse = torch.unique(captions, return_inverse=True)
        tokens = self._tokens[distinct, : int(self._lengths[distinct].max())].to(self._device)
        texts = torch.nn.functional.normalize(encode_cut(self.model, tokens), dim=-1)[inverse.to(self._device)]
        return self.model.encode_image(images, normalize=True), texts, self.model.logit_scale.exp()

    def save_checkpoint(self, path: Path, epochs_done: int) -> None:
        """Everything that the next epoch needs, written atomically."""
        write_checkpoint(
            path,
            {
                "id": self._id,
                "epochs_done": epochs_done,
                "loss": self.loss,
                "model": self.model.state_dict(),
                "optimizer": self._optimizer.state_dict(),
            },
        )

    def resume(self, path: Path) -> int:
        """Epochs that a checkpoint of the same training holds; 0 without one, or if it is damaged or another's."""
        saved = read_checkpoint(path, self._id)
        if saved is None:
            return 0
        self.model.load_state_dict(saved["model"])
        self._optimizer.load_state_dict(saved["optimizer"])
        self.loss = float(saved["loss"])
        return int(saved["epochs_done"])


def contrastive(smoothing: float) -> Any:
    """The loss of unit embeddings of pictures and captions, (n, dim) each, and an inverse temperature; a scalar."""
    from open_clip import ClipLoss

    if smoothing == 0.0:
        return ClipLoss()

    def smoothed(pictures: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        logits = scale * pictures @ texts.T
        n = len(logits)
        wanted = (1 - smoothing) * torch.eye(n, device=logits.device) + smoothing / n
        loss = torch.nn.functional.cross_entropy
        return (loss(logits, wanted) + loss(logits.T, wanted)) / 2

    return smoothed


def make_private(parameters: Iterable[torch.nn.Parameter], private: PrivateGradients, step: int) -> None:
    """Scale the gradient of a batch down to the clipping norm, and add the noise of this step, in place."""
    learned = [parameter for parameter in parameters if parameter.grad is not None]
    torch.nn.utils.clip_grad_norm_(learned, private.clip_norm)
    entropy = np.random.SeedSequence([private.seed, step]).generate_state(2)
    generator = torch.Generator().manual_seed(int(entropy[0]) << 31 ^ int(entropy[1]))
    for parameter in learned:
        assert parameter.grad is not None
        drawn = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        parameter.grad.add_(private.noise * private.clip_norm * drawn.to(parameter.device))


def batches_of(recipe: TrainingRecipe, epoch: int, n: int) -> NDArray[np.int64]:
    """Places of the pairs of each step of an epoch, of `n` pairs in all, (steps, batch size); the rest is left out."""
    steps = n // recipe.batch_size
    order = np.random.default_rng([recipe.seed, epoch]).permutation(n)
    return order[: steps * recipe.batch_size].reshape(steps, recipe.batch_size)


class Normalize:
    """Pixels 0..255 to the normalized space."""

    def __init__(self, preprocessing: Preprocessing | None, device: torch.device) -> None:
        self._mean, self._std = (value.to(device) for value in mean_and_std(preprocessing))

    def __call__(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).to(self._mean.device).float()
        return (images / 255 - self._mean) / self._std


def mean_and_std(preprocessing: Preprocessing | None) -> tuple[torch.Tensor, torch.Tensor]:
    """What the normalized space subtracts from pixels in 0..1 and divides by, (1, 3, 1, 1) each; CLIP's own if None."""
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    mean = preprocessing.mean if preprocessing else OPENAI_DATASET_MEAN
    std = preprocessing.std if preprocessing else OPENAI_DATASET_STD
    return torch.tensor(mean).view(1, 3, 1, 1), torch.tensor(std).view(1, 3, 1, 1)


def trainable(spec: TargetSpec) -> tuple[TrainingRecipe, dict[str, Any]]:
    """The recipe and the model configuration of a target that can be trained here.

    Raises:
        TargetError: it has none.
    """
    if spec.recipe is None or not isinstance(spec.architecture, dict):
        raise TargetError(
            f"{spec.name} has no recipe to train it by.", hint="Shipped targets have one: see `bench list targets`."
        )
    return spec.recipe, model_config(spec)


def check_corpus(corpus: TrainingData, config: dict[str, Any], recipe: TrainingRecipe) -> None:
    """Refuse a corpus that does not fit the model or the recipe.

    Raises:
        DataError: pictures of another size, too few of them, or captions that are not theirs.
    """
    size = config["vision_cfg"].get("image_size", _IMAGE_SIZE)
    n, *shape = corpus.images.shape
    if shape != [size, size, 3]:
        raise DataError(
            f"The corpus has pictures of shape {tuple(shape)}, the model takes ({size}, {size}, 3).",
            hint="Choose the corpus that belongs to the target.",
        )
    if n < recipe.batch_size:
        raise DataError(
            f"The corpus has {n} pairs, fewer than one batch of {recipe.batch_size}.", hint="Use a smaller batch."
        )
    if len(corpus.caption_ids) != n or corpus.caption_ids.min() < 0 or corpus.caption_ids.max() >= len(corpus.captions):
        raise DataError("The corpus's captions do not fit its pictures.", hint="Build the corpus again.")


def corpus_tokens(spec: TargetSpec, corpus: TrainingData, config: dict[str, Any]) -> torch.Tensor:
    """Token ids of the distinct captions, int64 (n, context length).

    Raises:
        TargetError: tokenizer and model do not belong together.
    """
    text = config["text_cfg"]
    length, places = int(text.get("context_length", _CONTEXT_LENGTH)), int(text.get("vocab_size", _VOCABULARY))
    if spec.tokenizer is None:
        tokenizer = open_clip_tokenizer(spec, text, length)
    else:
        tokenizer = merges_tokenizer(packaged_file(spec.tokenizer.file), length)
    if tokenizer.vocab_size != places:
        raise TargetError(
            f"The tokenizer of {spec.name} has {tokenizer.vocab_size} tokens, its model {places}.",
            hint="Use the tokenizer and the architecture of the same version of idbench.",
        )
    return torch.as_tensor(tokenizer(corpus.captions), dtype=torch.int64)


def _optimizer(model: torch.nn.Module, recipe: TrainingRecipe) -> torch.optim.AdamW:
    """AdamW that leaves biases, norms and the temperature without decay, as open_clip does."""
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    return adamw(decayed, [p for p in model.parameters() if p.ndim < 2], recipe)


def adamw(decayed: Sequence[torch.Tensor], others: Sequence[torch.Tensor], recipe: TrainingRecipe) -> torch.optim.AdamW:
    """The recipe's AdamW, with weight decay on the first parameters only."""
    return torch.optim.AdamW(
        [{"params": list(decayed), "weight_decay": recipe.weight_decay}, {"params": list(others), "weight_decay": 0.0}],
        lr=recipe.learning_rate,
        betas=_BETAS,
        eps=_EPSILON,
    )


def cycle_of(recipe: TrainingRecipe, epoch: int) -> tuple[int, int]:
    """First epoch of the schedule's cycle that holds `epoch`, and the epoch after its last."""
    bounds = (0, *sorted(recipe.restarts), recipe.epochs)
    return max(b for b in bounds if b <= epoch), min(b for b in bounds if b > epoch)


def learning_rate_at(recipe: TrainingRecipe, step: int, total: int) -> float:
    """Linear rise over the warm-up, then half a cosine down to zero."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, total - recipe.warmup_steps)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
