"""Trains several models of one architecture at once: parameters stacked, one forward and backward pass for all.

A tiny model leaves a GPU idle most of the time; K of them, stacked along a new first axis and mapped over it, take
little longer than one. Each model sees its own pairs in its own order and ends with the weights that `train_target`
would give it, up to rounding; where the architecture drops patches at random, which ones is drawn for all together.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.func import functional_call, stack_module_state
from torch.nn.attention import SDPBackend, sdpa_kernel

from idbench.errors import TargetError
from idbench.progress import Progress, Silent
from idbench.storage import sha256_bytes, sha256_file, storage_errors
from idbench.targets.checkpoints import check_finite, read_checkpoint, write_checkpoint, write_weights
from idbench.targets.load import build_model
from idbench.targets.spec import TargetSpec
from idbench.targets.texts import encode_cut, text_lengths
from idbench.targets.train import (
    Trained,
    TrainingData,
    adamw,
    batches_of,
    check_corpus,
    corpus_tokens,
    cycle_of,
    learning_rate_at,
    mean_and_std,
    trainable,
)


def train_stacked(
    specs: Sequence[TargetSpec],
    corpora: Sequence[TrainingData],
    outs: Sequence[Path],
    device: str = "cpu",
    progress: Progress | None = None,
) -> list[Trained]:
    """Train models of one architecture together; resumable after each epoch like `train_target`.

    Args:
        specs: alike in everything but name, weights and the recipe's seed.
        corpora: as many, each with as many steps an epoch as the others.
        outs: where the weights go, `.safetensors` files; written when all have finished.
        device: where to train.
        progress: receives a report after every step.

    Returns:
        of each model its share of the time: `seconds` with those of interrupted calls, up to their last full epoch.

    Raises:
        TargetError: the targets cannot be trained, or not together, or one of the trainings diverged.
        DataError: a corpus does not fit the model.
        StorageError: an `out` cannot be written.
    """
    begin, begin_cpu = time.perf_counter(), time.process_time()
    trainer = _Stack(specs, corpora, device, progress or Silent())
    checkpoint = outs[0].with_name(f".{trainer.id[:32]}.stack.resume")
    first = trainer.resume(checkpoint)
    before = trainer.seconds
    for epoch in range(first, trainer.recipe.epochs):
        trainer.run_epoch(epoch)
        trainer.seconds = before + time.perf_counter() - begin
        trainer.save_checkpoint(checkpoint, epoch + 1)
    for k, out in enumerate(outs):
        write_weights(out, trainer.state_of(k))
    with storage_errors(checkpoint):
        checkpoint.unlink(missing_ok=True)
    seconds, cpu_seconds = before + time.perf_counter() - begin, time.process_time() - begin_cpu
    return [
        Trained(
            path=out,
            sha256=sha256_file(out),
            corpus_digest=corpus.digest,
            steps=trainer.recipe.epochs * trainer.steps_per_epoch,
            loss=trainer.losses[k],
            seconds=seconds / len(outs),
            cpu_seconds=cpu_seconds / len(outs),
            resumed=first,
        )
        for k, (out, corpus) in enumerate(zip(outs, corpora, strict=True))
    ]


class _Both(torch.nn.Module):
    """Both towers in one call, which is what `functional_call` can map."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalized embeddings of pictures and of captions, (batch, dim) each."""
        texts = torch.nn.functional.normalize(encode_cut(self.model, tokens), dim=-1)
        return self.model.encode_image(images, normalize=True), texts


class _Stack:
    def __init__(
        self, specs: Sequence[TargetSpec], corpora: Sequence[TrainingData], device: str, progress: Progress
    ) -> None:
        self.recipe, config = trainable(specs[0])
        self._seeds = [trainable(spec)[0].seed for spec in specs]
        self._progress = progress
        self._device = torch.device(device)
        self.losses = [math.nan] * len(specs)
        self.seconds = 0.0
        for corpus in corpora:
            check_corpus(corpus, config, self.recipe)
        _check_alike(specs, [len(corpus.images) // self.recipe.batch_size for corpus in corpora])
        self.steps_per_epoch = len(corpora[0].images) // self.recipe.batch_size
        models = [_fresh(config, spec.name, seed) for spec, seed in zip(specs, self._seeds, strict=True)]
        self._names = list(models[0].model.state_dict())
        parameters, buffers = stack_module_state(models)
        self._parameters = {name: _leaf(tensor, self._device) for name, tensor in parameters.items()}
        self._buffers = {name: tensor.to(self._device) for name, tensor in buffers.items()}
        self._skeleton = copy.deepcopy(models[0]).to("meta").train()
        self._optimizer = self._new_optimizer()
        self._images = [_on_device(corpus, self._device) for corpus in corpora]
        self._caption_ids = [torch.from_numpy(corpus.caption_ids).to(self._device) for corpus in corpora]
        tokens = [corpus_tokens(spec, corpus, config) for spec, corpus in zip(specs, corpora, strict=True)]
        self._lengths = [text_lengths(models[0].model, own).to(self._device) for own in tokens]
        self._tokens = [own.to(self._device) for own in tokens]
        self._mean, self._std = (moment.to(self._device) for moment in mean_and_std(specs[0].preprocessing))
        described = [spec.model_dump_json(exclude={"sha256", "golden_sha256", "stated"}) for spec in specs]
        data = " ".join(corpus.digest for corpus in corpora)
        self.id = sha256_bytes(f"{described} {data} {torch.__version__} {self._device.type}".encode())

    def run_epoch(self, epoch: int) -> None:
        """One pass of every model over its corpus, each in the order that it would have alone."""
        with torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else []):
            torch.manual_seed(self.recipe.seed + epoch)  # of dropout, so that a resumed training draws the same
            self._run_epoch(epoch)

    def _run_epoch(self, epoch: int) -> None:
        if epoch in self.recipe.restarts:
            self._optimizer = self._new_optimizer()
        total = self.recipe.epochs * self.steps_per_epoch
        first, last = (bound * self.steps_per_epoch for bound in cycle_of(self.recipe, epoch))
        orders = [
            torch.from_numpy(batches_of(self.recipe.model_copy(update={"seed": seed}), epoch, len(images)))
            for seed, images in zip(self._seeds, self._images, strict=True)
        ]
        sums = torch.zeros(len(orders), device=self._device)
        for step in range(self.steps_per_epoch):
            done = epoch * self.steps_per_epoch + step
            for group in self._optimizer.param_groups:
                group["lr"] = learning_rate_at(self.recipe, done - first, last - first)
            sums += self._step([order[step].sort().values.to(self._device) for order in orders])
            # Reading the losses waits for the device, so it is done now and then only.
            if done % 16 == 15 or step == self.steps_per_epoch - 1:
                _check_finite(sums, done)
            self._progress.update(done + 1, total, f"training {len(orders)} models together")
        stacked = self._parameters | self._buffers
        check_finite({name: stacked[f"model.{name}"] for name in self._names}, "the models")
        self.losses = [float(x) for x in sums / self.steps_per_epoch]

    def _step(self, places: list[torch.Tensor]) -> torch.Tensor:
        """One optimizer step of every model on its batch; the losses, (K,)."""
        captions = [ids[at] for ids, at in zip(self._caption_ids, places, strict=True)]
        longest = max(int(lengths[ids].max()) for lengths, ids in zip(self._lengths, captions, strict=True))
        tokens = torch.stack([own[ids, :longest] for own, ids in zip(self._tokens, captions, strict=True)])
        pixels = torch.stack([own[at] for own, at in zip(self._images, places, strict=True)])
        images = (pixels.float() / 255 - self._mean) / self._std

        def towers(
            parameters: Mapping[str, torch.Tensor],
            buffers: Mapping[str, torch.Tensor],
            pictures: torch.Tensor,
            words: torch.Tensor,
        ) -> Any:
            return functional_call(self._skeleton, (dict(parameters), dict(buffers)), (pictures, words))

        # Attention as plain products: the fused kernels cannot be mapped, and would run model by model.
        with sdpa_kernel(SDPBackend.MATH):
            left, right = torch.vmap(towers, randomness="different")(self._parameters, self._buffers, images, tokens)
        scale = self._parameters["model.logit_scale"]
        losses = _clip_losses(left, right, scale.exp())
        self._optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        with torch.no_grad():
            scale.clamp_(0, math.log(self.recipe.max_logit_scale))
        return losses.detach()

    def _new_optimizer(self) -> torch.optim.AdamW:
        # A stacked tensor has one axis more than the model's own.
        decayed = [p for p in self._parameters.values() if p.ndim > 2]
        return adamw(decayed, [p for p in self._parameters.values() if p.ndim <= 2], self.recipe)

    def state_of(self, k: int) -> dict[str, torch.Tensor]:
        """The state dict of model `k`, on the CPU."""
        stacked = self._parameters | self._buffers
        return {name: stacked[f"model.{name}"][k].detach().cpu().contiguous() for name in self._names}

    def save_checkpoint(self, path: Path, epochs_done: int) -> None:
        """Everything that the next epoch needs, written atomically."""
        write_checkpoint(
            path,
            {
                "id": self.id,
                "epochs_done": epochs_done,
                "losses": self.losses,
                "seconds": self.seconds,
                "parameters": {name: tensor.detach() for name, tensor in self._parameters.items()},
                "buffers": self._buffers,
                "optimizer": self._optimizer.state_dict(),
            },
        )

    def resume(self, path: Path) -> int:
        """Epochs that a checkpoint of the same training holds; 0 without one, or if it is damaged or another's."""
        saved = read_checkpoint(path, self.id)
        if saved is None:
            return 0
        with torch.no_grad():
            for name, tensor in saved["parameters"].items():
                self._parameters[name].copy_(tensor)
            for name, tensor in saved["buffers"].items():
                self._buffers[name].copy_(tensor)
        self._optimizer.load_state_dict(saved["optimizer"])
        self.losses = list(saved["losses"])
        self.seconds = float(saved.get("seconds", 0.0))
        return int(saved["epochs_done"])


def _fresh(config: dict[str, Any], name: str, seed: int) -> _Both:
    """A model with the first weights that `train_target` gives it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _Both(build_model(config, name)).train()


def _leaf(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    return tensor.detach().to(device).requires_grad_(True)


def _on_device(corpus: TrainingData, device: torch.device) -> torch.Tensor:
    """Pictures as uint8 (n, 3, h, w): a quarter of the size of floats."""
    return torch.from_numpy(corpus.images.transpose(0, 3, 1, 2).copy()).to(device)


def _check_alike(specs: Sequence[TargetSpec], steps: Sequence[int]) -> None:
    def rest(spec: TargetSpec) -> object:
        recipe = trainable(spec)[0].model_copy(update={"seed": 0})
        return recipe, spec.architecture, spec.tokenizer, spec.preprocessing

    if len(set(steps)) != 1 or any(rest(spec) != rest(specs[0]) for spec in specs):
        raise TargetError(
            "These models cannot be trained together: they differ in recipe, architecture or steps an epoch.",
            hint="Train them one after the other.",
        )


def _check_finite(sums: torch.Tensor, step: int) -> None:
    if not bool(torch.isfinite(sums).all()):
        raise TargetError(
            f"The training of the models diverged before step {step + 1}.", hint="Lower the learning rate."
        )


def _clip_losses(left: torch.Tensor, right: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """CLIP's symmetric cross entropy of each model, (K,); embeddings (K, batch, dim), inverse temperatures (K,)."""
    logits = scale.view(-1, 1, 1) * torch.einsum("kid,kjd->kij", left, right)
    right_log = torch.log_softmax(logits, dim=2).diagonal(dim1=1, dim2=2)
    left_log = torch.log_softmax(logits, dim=1).diagonal(dim1=1, dim2=2)
    return -(right_log.mean(dim=1) + left_log.mean(dim=1)) / 2
