"""What passes through the layers of a target's image tower while it looks at photos. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack

import torch

from idbench.api import Photo, TargetView

_AT_ONCE = 256
"""Photos in one pass; their activations are reduced and dropped before the next."""


def passes(
    target: TargetView,
    model: torch.nn.Module,
    photos: Sequence[Photo],
    layers: Mapping[str, torch.nn.Module],
    reduce: Callable[[torch.nn.Module, torch.Tensor, torch.Tensor], torch.Tensor],
) -> Iterator[dict[str, torch.Tensor]]:
    """Reduced activations of each layer, a block of photos at a time: name -> (n_block, ...).

    Args:
        target: preprocesses.
        model: of `target.weights()`; its image tower runs without gradients.
        photos: in any number.
        layers: modules of the model by a name for each.
        reduce: of a layer, its input and its output, each with the photos first, to (n_block, ...).
    """
    seen: dict[str, torch.Tensor] = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(module: torch.nn.Module, given: tuple[torch.Tensor, ...], result: torch.Tensor) -> None:
            seen[name] = reduce(module, given[0], result).detach()

        return hook

    with ExitStack() as stack, torch.no_grad():
        for name, module in layers.items():
            stack.callback(module.register_forward_hook(watch(name)).remove)
        for start in range(0, len(photos), _AT_ONCE):
            seen.clear()
            model.encode_image(target.preprocess(photos[start : start + _AT_ONCE]))  # type: ignore[operator]
            yield dict(seen)
