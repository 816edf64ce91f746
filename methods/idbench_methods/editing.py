"""What defenses of weights share: towers, projections, embeddings without gradients, batches, the contrastive loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from idbench.api import Case, EditableTarget, MethodError, Photo, Progress

_AT_ONCE = 256
NEUTRAL = "a person"
"""What stands in place of a name."""

TEMPLATES = (
    "{}",
    "a photo of {}",
    "a portrait of {}",
    "this is {}",
    "a picture showing {}",
    "{} in a photo",
    "{} smiling",
    "{} in front of a wall",
)
"""Plain sentences around a name, for defenders who know the name alone."""


def names_of_people(protected: Sequence[Case]) -> list[str]:
    """Distinct names in an order of their own, so that the order of the people says nothing."""
    return sorted({case.name for case in protected})


def photos_of_people(protected: Sequence[Case]) -> list[list[Photo]]:
    """Photos of everybody who has some, person by person, in an order of their own."""
    own = [sorted(set(case.photos), key=lambda photo: photo.digest) for case in protected]
    return sorted((photos for photos in own if photos), key=lambda photos: [photo.digest for photo in photos])


def named_photos(protected: Sequence[Case]) -> list[tuple[str, Photo]]:
    """Each photo with its person's name, in an order of their own."""
    return sorted(
        {(case.name, photo) for case in protected for photo in case.photos}, key=lambda p: (p[0], p[1].digest)
    )


def embed_texts(target: EditableTarget, model: torch.nn.Module, texts: Sequence[str]) -> torch.Tensor:
    """Unit embeddings of texts, (n, dim), without gradients."""
    device = next(model.parameters()).device
    with torch.no_grad():
        parts = [
            model.encode_text(target.tokenize(texts[i : i + _AT_ONCE]).to(device), normalize=True)  # type: ignore[operator]
            for i in range(0, len(texts), _AT_ONCE)
        ]
    return torch.cat(parts) if parts else torch.empty(0, target.info.embedding_dim, device=device)


def embed_photos(target: EditableTarget, model: torch.nn.Module, photos: Sequence[Photo]) -> torch.Tensor:
    """Unit embeddings of photos, (n, dim), without gradients."""
    with torch.no_grad():
        parts = [
            model.encode_image(target.preprocess(photos[i : i + _AT_ONCE]), normalize=True)  # type: ignore[operator]
            for i in range(0, len(photos), _AT_ONCE)
        ]
    return torch.cat(parts) if parts else torch.empty(0, target.info.embedding_dim)


def contrastive_loss(model: torch.nn.Module, images: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """CLIP's symmetric cross-entropy over a batch of n pairs, with the model's own temperature; a scalar.

    Pairs with equal tokens are each other's equals, not each other's opposites.
    """
    left = model.encode_image(images, normalize=True)  # type: ignore[operator]
    right = model.encode_text(tokens, normalize=True)  # type: ignore[operator]
    logits = model.logit_scale.exp() * left @ right.T  # type: ignore[operator]
    same = (tokens[:, None] == tokens[None]).all(dim=-1).to(logits.dtype)
    wanted = same / same.sum(dim=1, keepdim=True)
    loss: torch.Tensor = functional.cross_entropy(logits, wanted) + functional.cross_entropy(logits.T, wanted)
    return loss / 2


def descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    """One step of an optimizer down a loss."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def draw(rng: np.random.Generator, n: int, size: int) -> NDArray[np.int64]:
    """Places of a batch among n, none twice: all of them, in random order, where there are no more than `size`."""
    return rng.choice(n, size=min(n, size), replace=False)


def top_directions(rows: torch.Tensor, share: float) -> torch.Tensor:
    """Orthonormal directions that hold most of the rows, strongest first.

    Args:
        rows: (n, dim).
        share: of the dim directions, above 0 and at most 1; never more than the rows span.

    Returns:
        (k, dim) in double precision, k = min(rank, max(1, round(share x dim))); none for no rows.
    """
    if not len(rows):
        return rows.new_empty((0, rows.shape[1]), dtype=torch.float64)
    _, strengths, directions = torch.linalg.svd(rows.double(), full_matrices=False)
    rank = int((strengths > strengths[0] * 1e-9).sum()) if strengths[0] > 0 else 0
    kept: torch.Tensor = directions[: min(rank, max(1, round(share * rows.shape[1])))]
    return kept


def removal(directions: torch.Tensor, strength: float) -> torch.Tensor:
    """The symmetric matrix that takes orthonormal directions (k, dim) out of what it multiplies: I - strength V'V."""
    eye = torch.eye(directions.shape[1], dtype=directions.dtype, device=directions.device)
    matrix: torch.Tensor = eye - strength * directions.T @ directions
    return matrix


@dataclass(frozen=True, slots=True)
class Projection:
    """The last linear map of a tower.

    Args:
        weight: its weights.
        rows_are_outputs: whether `weight` is (dim, width), as in a linear layer; else (width, dim).
        bias: (dim,); None: it has none.
    """

    weight: torch.Tensor
    rows_are_outputs: bool
    bias: torch.Tensor | None = None

    def follow_with(self, matrix: torch.Tensor) -> None:
        """Let the outputs of the map be multiplied by a symmetric matrix, (dim, dim), in place."""
        with torch.no_grad():
            wide = self.weight.double()
            changed = matrix @ wide if self.rows_are_outputs else wide @ matrix
            self.weight.copy_(changed)
            if self.bias is not None:
                self.bias.copy_(matrix @ self.bias.double())


def text_projection(model: torch.nn.Module, target: str) -> Projection:
    """The last map of the text tower.

    Raises:
        MethodError: it has none that is linear.
    """
    tower = getattr(model, "text", model)
    return _projection([getattr(tower, name, None) for name in ("text_projection", "proj")], "text", target)


def image_projection(model: torch.nn.Module, target: str) -> Projection:
    """The last map of the image tower; errors as of `text_projection`."""
    visual = getattr(model, "visual", None)
    pool = getattr(visual, "attnpool", None)
    return _projection([getattr(pool, "c_proj", None), getattr(visual, "proj", None)], "image", target)


def _projection(candidates: Sequence[object], tower: str, target: str) -> Projection:
    for found in candidates:
        if isinstance(found, torch.nn.Linear):
            return Projection(found.weight, rows_are_outputs=True, bias=found.bias)
        if isinstance(found, torch.nn.Parameter) and found.ndim == 2:
            return Projection(found, rows_are_outputs=False)
    raise MethodError(
        f"The {tower} tower of {target} does not end in a linear map that could be changed.",
        hint="Use a target whose towers are open_clip's own, or another defense.",
    )


def tower_parameters(model: torch.nn.Module, tower: str, *, norms: bool) -> dict[str, torch.nn.Parameter]:
    """The parameters of one tower, by name; the temperature belongs to none.

    Args:
        model: open_clip's.
        tower: `text` or `image`.
        norms: whether those of normalization layers are among them.
    """
    kinds = (torch.nn.LayerNorm, torch.nn.GroupNorm, torch.nn.modules.batchnorm._BatchNorm)
    fixed = {
        f"{name}.{own}" if name else own
        for name, module in model.named_modules()
        if isinstance(module, kinds)
        for own, _ in module.named_parameters(recurse=False)
    }
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if name.startswith("visual.") == (tower == "image")
        and not name.startswith("logit_")
        and (norms or name not in fixed)
    }


def distance(
    parameters: dict[str, torch.nn.Parameter] | dict[str, torch.Tensor], before: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Sum over tensors of the L2 distance to what they were; a scalar. Its gradient is zero where nothing moved."""
    return torch.stack([torch.linalg.vector_norm(parameters[name] - before[name]) for name in before]).sum()


@dataclass(frozen=True, slots=True)
class BackdoorTraining:
    """How a backdoor is taught to a tower: AdamW without decay, its rate lowered twice.

    Args:
        tower: `text` or `image`; its normalization layers stay as they are.
        steps: optimizer steps.
        learning_rate: at the start.
        milestones: steps at which the rate is multiplied by `gamma`.
        gamma: above 0, below 1.
        backdoor_weight: of the inputs that hold a trigger.
        distance_weight: of the sum over tensors of the L2 distance to the weights before.
    """

    tower: str
    steps: int
    learning_rate: float
    milestones: tuple[int, int]
    gamma: float
    backdoor_weight: float
    distance_weight: float


def teach_backdoor(
    model: torch.nn.Module,
    training: BackdoorTraining,
    cosines: Callable[[], tuple[torch.Tensor, torch.Tensor]],
    progress: Progress,
) -> None:
    """Train a tower, in place, to leave some inputs where they are and to take others where they shall go.

    Args:
        model: open_clip's.
        training: how long, how fast, and what counts how much.
        cosines: draws a batch and embeds it; see `backdoor_loss` for what it returns.
        progress: told how far the training is.
    """
    learned = tower_parameters(model, training.tower, norms=False)
    before = {name: parameter.detach().clone() for name, parameter in learned.items()}
    optimizer = torch.optim.AdamW(learned.values(), lr=training.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(training.milestones), gamma=training.gamma)
    for _ in progress.track(range(training.steps), "teaching"):
        loss = backdoor_loss(*cosines(), training.backdoor_weight)
        loss = loss + training.distance_weight * distance(learned, before)
        descend(optimizer, loss)
        schedule.step()


def backdoor_loss(clean: torch.Tensor, triggered: torch.Tensor, weight: float) -> torch.Tensor:
    """Negative mean cosine of what stays, plus `weight` times that of what the backdoor moves; a scalar.

    Args:
        clean: cosines with the embeddings of the same inputs before the training.
        triggered: cosines with where inputs that hold a trigger shall go.
        weight: of the second.
    """
    return -clean.mean() - weight * triggered.mean()
