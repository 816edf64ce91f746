"""SLUG: one gradient on what shall be forgotten, applied to one layer, as far as use allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from idbench.api import (
    Case,
    Choice,
    Context,
    DefenseCard,
    EditableTarget,
    Knowledge,
    MethodParams,
    Photo,
    TargetDefense,
)

if TYPE_CHECKING:
    import torch

CARD = DefenseCard(
    name="slug",
    version="1",
    title="Single-layer unlearning with one gradient (SLUG)",
    summary="Of each layer it looks at the gradient of the loss on the protected people's photos and names: large "
    "against the layer's weights, and unlike the gradient on public pairs. One such layer takes one step uphill.",
    paper="SLUG: single layer unlearning gradient, arXiv 2407.11867 (2024)",
    year=2024,
    url="https://arxiv.org/abs/2407.11867",
    knowledge=Knowledge.NAME | Knowledge.PHOTOS | Knowledge.PUBLIC_PAIRS,
    choices=(
        Choice(
            what="which layer of the Pareto front",
            chosen="the one with the largest importance x (1 - |cosine|)",
            why="the source tries several and keeps the best; trying costs a search for each",
        ),
        Choice(
            what="how far the step goes",
            chosen="by doubling and bisection, the longest step after which the loss on public pairs has grown by no "
            "more than `allowed`; at most ten trials, as the source has",
            why="the source watches accuracy on ImageNet and on what is forgotten; a defender here has public pairs",
        ),
        Choice(
            what="size of the sets",
            chosen="at most `most` pairs of each, drawn at random",
            why="the gradient is that of one contrastive batch, whose size is bounded by memory",
        ),
    ),
)


class SlugParams(MethodParams):
    """Parameters of SLUG."""

    most: int = Field(default=512, ge=2, description="pairs of each set, at most")
    allowed: float = Field(default=0.05, ge=0, description="growth of the loss on public pairs, as a share of it")
    trials: int = Field(default=10, ge=1, le=100, description="lengths of the step that are tried")


class Slug(TargetDefense[SlugParams]):
    """One step of one weight matrix along its own gradient on what shall be forgotten."""

    card = CARD

    def defend(self, target: EditableTarget, protected: Sequence[Case], context: Context) -> Mapping[str, torch.Tensor]:
        """The weights with one other matrix; unchanged without at least two photos and two public pairs."""
        import torch

        from idbench_methods import editing
        from idbench_methods.prompts import fill

        own = editing.named_photos(protected)
        public = sorted(context.public_pairs, key=lambda pair: (pair.photo.digest, pair.caption))
        if len(own) < 2 or len(public) < 2:
            return target.model.state_dict()
        model, rng = target.model, context.rng("pairs")
        forget = [own[i] for i in editing.draw(rng, len(own), self.params.most)]
        retain = [public[i] for i in editing.draw(rng, len(public), self.params.most)]
        to_forget = _batch(target, [photo for _, photo in forget], [fill(editing.TEMPLATES[1], n) for n, _ in forget])
        to_retain = _batch(target, [pair.photo for pair in retain], [pair.caption for pair in retain])
        matrices = {name: p for name, p in model.named_parameters() if p.ndim > 1}
        uphill = _gradients(editing.contrastive_loss(model, *to_forget), matrices)
        kept = _gradients(editing.contrastive_loss(model, *to_retain), matrices)
        name = chosen_layer({layer: p.detach() for layer, p in matrices.items()}, uphill, kept)
        if name is None:
            return model.state_dict()
        matrix, gradient = matrices[name], uphill[name]
        before = matrix.detach().clone()

        def growth(step: float) -> float:
            with torch.no_grad():
                matrix.copy_(before + step * gradient)
                return float(editing.contrastive_loss(model, *to_retain))

        limit = growth(0.0) * (1 + self.params.allowed)
        # The first trial moves the matrix by a hundredth of its own length.
        first = 0.01 * float(before.norm() / gradient.norm())
        step = longest_step(lambda length: growth(length) <= limit, first, self.params.trials)
        growth(step)
        return model.state_dict()


def chosen_layer(
    weights: Mapping[str, torch.Tensor], forget: Mapping[str, torch.Tensor], retain: Mapping[str, torch.Tensor]
) -> str | None:
    """The layer to change: of those on the Pareto front, the one with the largest importance x (1 - |cosine|).

    Args:
        weights: of each layer.
        forget: gradients of the same shapes on what shall be forgotten; their length against the weights' is the
            importance, and more is better.
        retain: gradients on what shall be kept; the cosine with them, less is better.

    Returns:
        its name; None if no layer has a finite gradient other than zero.
    """
    found: dict[str, tuple[float, float]] = {}
    for name, weight in weights.items():
        length, size = float(forget[name].norm()), float(weight.norm())
        if not (0 < length < math.inf and size > 0):
            continue
        other = float(retain[name].norm())
        alike = abs(float((forget[name] * retain[name]).sum())) / (length * other) if other > 0 else 0.0
        found[name] = (length / size, min(1.0, alike))
    front = [n for n, mine in found.items() if not any(_better(other, mine) for other in found.values())]
    return max(front, key=lambda n: (found[n][0] * (1 - found[n][1]), n), default=None)


def longest_step(allowed: Callable[[float], bool], first: float, trials: int) -> float:
    """The longest step that is allowed, found by doubling and then bisection; 0 if none of those tried is.

    Args:
        allowed: whether a length is; taken to hold for all shorter ones.
        first: length tried first, positive.
        trials: how many lengths are tried.
    """
    good, bad, length = 0.0, math.inf, first
    for _ in range(trials):
        if allowed(length):
            good = length
        else:
            bad = length
        length = 2 * length if bad == math.inf else (good + bad) / 2
    return good


def _better(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether the first is at least as important and at most as alike, and not equal in both."""
    return one[0] >= other[0] and one[1] <= other[1] and one != other


def _batch(target: EditableTarget, photos: Sequence[Photo], texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    images = target.preprocess(photos)
    return images, target.tokenize(texts).to(images.device)


def _gradients(loss: torch.Tensor, of: Mapping[str, torch.nn.Parameter]) -> dict[str, torch.Tensor]:
    import torch

    found = torch.autograd.grad(loss, list(of.values()), allow_unused=True)
    return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(of.items(), found, strict=True)}
