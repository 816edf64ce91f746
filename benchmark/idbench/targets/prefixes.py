"""A causal text tower over the trie of its texts: a beginning that several texts share is computed once.

In a causal tower the state of a token follows from the tokens up to it, so texts with a common beginning have the same
states there. One layer at a time is computed for all nodes of the trie: the matrix products see one long list of nodes,
and the attention of a text's own nodes looks back along its path. Keys and values of one layer alone are held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

_BYTES_AT_ONCE = {"cpu": 64 << 20, "cuda": 2 << 30}
"""Working memory of one trie, roughly; measured best with benchmark/perf/text_engine.py on a processor."""

_SIZES_OF_STATE = 16
"""Working memory of a node, in sizes of its state: itself, queries, keys, values, the widest activation twice."""


@dataclass(frozen=True, slots=True)
class Segments:
    """Texts whose own nodes begin and end at the same places, as one batch of the attention.

    Args:
        nodes: the texts' own nodes, int64 (n, stop - start).
        paths: all nodes from the root to the end of each text, int64 (n, stop).
    """

    nodes: torch.Tensor
    paths: torch.Tensor

    @property
    def last(self) -> Segments:
        """The ends of the texts alone."""
        return Segments(self.nodes[:, -1:], self.paths)


@dataclass(frozen=True, slots=True)
class Trie:
    """The distinct beginnings of some texts.

    Args:
        tokens: the token of each node, int64 (n_nodes,).
        depths: how many tokens come before it, int64 (n_nodes,).
        ends: the node at which each text ends, int64 (n_texts,).
        segments: every node once, with its way back to the root.
    """

    tokens: torch.Tensor
    depths: torch.Tensor
    ends: torch.Tensor
    segments: tuple[Segments, ...]

    def __len__(self) -> int:
        return len(self.tokens)


def tries(tokens: torch.Tensor, lengths: torch.Tensor, most: int) -> Iterator[tuple[torch.Tensor, Trie]]:
    """Texts in tries of a limited size; neighbours in the order of their tokens share one.

    Args:
        tokens: int64 (n_texts, context).
        lengths: tokens of each text that count, int64 (n_texts,), at least 1.
        most: nodes of one trie; more only where a single text has more.

    Yields:
        Places of the texts, int64 (n,), and their trie. Neither depends on the order of the texts.
    """
    own, size = _masked(tokens, lengths), lengths.numpy()
    order = np.lexsort(own.T[::-1])
    own, size = own[order], size[order]
    shared = _shared(own, size)
    for low, high in _parts(size, shared, most):
        yield torch.from_numpy(order[low:high]), _trie(own[low:high], size[low:high], shared[low:high])


def _masked(tokens: torch.Tensor, lengths: torch.Tensor) -> NDArray[np.int64]:
    """The tokens that count; -1 for those that do not."""
    own: NDArray[np.int64] = tokens[:, : int(lengths.max())].numpy().copy()
    own[np.arange(own.shape[1]) >= lengths.numpy()[:, None]] = -1
    return own


def _shared(own: NDArray[np.int64], size: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many tokens each text shares with the one before, (n_texts,)."""
    shared = np.zeros(len(own), dtype=np.int64)
    same = np.cumprod(own[1:] == own[:-1], axis=1).sum(axis=1)
    shared[1:] = np.minimum(same, np.minimum(size[1:], size[:-1]))
    return shared


def _parts(size: NDArray[np.int64], shared: NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """Ranges of texts whose tries have `most` nodes each; the first text of a range shares nothing."""
    low, nodes = 0, 0
    for place, (whole, fresh) in enumerate(zip(size.tolist(), (size - shared).tolist(), strict=True)):
        if place > low and nodes + fresh > most:
            yield low, place
            low, nodes = place, 0
        nodes += whole if place == low else fresh
    yield low, len(size)


def _trie(own: NDArray[np.int64], size: NDArray[np.int64], shared: NDArray[np.int64]) -> Trie:
    shared = shared.copy()
    shared[0] = 0
    places = np.arange(own.shape[1])
    fresh = (places >= shared[:, None]) & (places < size[:, None])
    numbers = np.full(own.shape, -1, dtype=np.int64)
    numbers[fresh] = np.arange(fresh.sum())
    # Where a text shares a node, it is the latest that was made at that depth.
    paths = np.maximum.accumulate(numbers, axis=0)
    rows, depths = np.nonzero(fresh)
    return Trie(
        tokens=torch.from_numpy(own[rows, depths]),
        depths=torch.from_numpy(depths),
        ends=torch.from_numpy(paths[np.arange(len(own)), size - 1]),
        segments=tuple(_segments(paths, size, shared)),
    )


def _segments(paths: NDArray[np.int64], size: NDArray[np.int64], shared: NDArray[np.int64]) -> Iterator[Segments]:
    """Texts by where their own nodes begin and end; a text that repeats another has none."""
    spans, own = np.unique(np.column_stack([shared, size]), axis=0, return_inverse=True)
    by_span = np.argsort(own.ravel(), kind="stable")
    counts = np.bincount(own.ravel(), minlength=len(spans))
    for (start, stop), rows in zip(spans.tolist(), np.split(by_span, np.cumsum(counts)[:-1]), strict=True):
        if start < stop:
            yield Segments(torch.from_numpy(paths[rows, start:stop]), torch.from_numpy(paths[rows, :stop]))


def shares_beginnings(tower: Any) -> bool:
    """Whether `encode_trie` computes what a tower does: blocks of the one kind that it knows, a causal mask.

    Args:
        tower: what holds open_clip's text transformer, its embeddings and its mask.
    """
    from open_clip.transformer import ResidualAttentionBlock, Transformer

    transformer, mask = tower.transformer, tower.attn_mask
    if type(transformer) is not Transformer or not _causal(mask):
        return False
    if any(type(block) is not ResidualAttentionBlock or not _plain(block) for block in transformer.resblocks):
        return False
    passed_by = [transformer, *transformer.resblocks, *(block.attn for block in transformer.resblocks)]
    return not any(_watched(module) for module in passed_by)


def _causal(mask: torch.Tensor) -> bool:
    wanted = torch.full_like(mask, float("-inf")).triu_(1)
    return bool(torch.equal(mask, wanted))


def _plain(block: Any) -> bool:
    """Whether a block has self-attention of the usual kind, and all its numbers in float32."""
    attention = block.attn
    return (
        not hasattr(block, "ln_1_kv")
        and type(attention) is torch.nn.MultiheadAttention
        and attention.in_proj_weight is not None
        and attention.in_proj_bias is not None
        and attention.bias_k is None
        and not attention.add_zero_attn
        and all(weight.dtype == torch.float32 for weight in block.parameters())
    )


def _watched(module: torch.nn.Module) -> bool:
    """Whether hooks are registered on a module that is not called as a whole here."""
    hooks = (module._forward_hooks, module._forward_pre_hooks)
    return any(map(bool, hooks)) or "forward" in vars(module)


def most_nodes(tower: Any, device: torch.device) -> int:
    """Nodes of a trie that fit the working memory for one."""
    width = int(tower.ln_final.weight.shape[0])
    budget = _BYTES_AT_ONCE.get(device.type, _BYTES_AT_ONCE["cpu"])
    return max(1, budget // (4 * _SIZES_OF_STATE * width))


def encode_trie(tower: Any, trie: Trie) -> torch.Tensor:
    """The states of the ends of texts after the last block, (n_texts, width); without gradients.

    Args:
        tower: one that `shares_beginnings`.
        trie: its texts, on any device.
    """
    device = tower.positional_embedding.device
    ends = trie.ends.to(device)
    segments = [Segments(part.nodes.to(device), part.paths.to(device)) for part in trie.segments]
    states, own = _first_states(tower, trie, device)
    *blocks, last = tower.transformer.resblocks
    for block in blocks:
        seen = _attention(block.attn, _projected(block, states, own), segments)
        states, own = _after(block, states[own], seen), slice(None)
    # What the last block makes of a node that ends no text is asked by nobody.
    seen = _attention(last.attn, _projected(last, states, own), [part.last for part in segments])
    result: torch.Tensor = _after(last, states[own][ends], seen[ends])
    return result


def _first_states(tower: Any, trie: Trie, device: torch.device) -> tuple[torch.Tensor, torch.Tensor | slice]:
    """States before the first block, which follow from token and depth alone: the distinct ones, and each node's."""
    both = torch.stack([trie.tokens, trie.depths], dim=1).to(device)
    distinct, own = torch.unique(both, dim=0, return_inverse=True)
    states: torch.Tensor = tower.token_embedding(distinct[:, 0]) + tower.positional_embedding[distinct[:, 1]]
    return states, own


def _after(block: Any, states: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    states = states + block.ls_1(block.attn.out_proj(seen))
    result: torch.Tensor = states + block.ls_2(block.mlp(block.ln_2(states)))
    return result


def _projected(block: Any, states: torch.Tensor, own: torch.Tensor | slice) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries, and keys beside values, of each node: (n_nodes, width), (n_nodes, 2 * width)."""
    width, normalized = states.shape[1], block.ln_1(states)
    weight, bias = block.attn.in_proj_weight, block.attn.in_proj_bias
    queries = functional.linear(normalized, weight[:width], bias[:width])
    return queries[own], functional.linear(normalized, weight[width:], bias[width:])[own]


def _attention(attention: Any, projected: tuple[torch.Tensor, torch.Tensor], segments: list[Segments]) -> torch.Tensor:
    """What each node of the segments sees of its path, before the output projection, (n_nodes, width)."""
    heads, width = attention.num_heads, attention.embed_dim
    queries, both = projected
    seen = torch.empty_like(queries)
    for part in segments:
        (n, own), length = part.nodes.shape, part.paths.shape[1]
        keys, values = both[part.paths].view(n, length, 2, heads, width // heads).permute(2, 0, 3, 1, 4)
        asking = queries[part.nodes].view(n, own, heads, width // heads).transpose(1, 2)
        looked = functional.scaled_dot_product_attention(asking, keys, values, _mask(own, length, seen.device))
        seen[part.nodes] = looked.transpose(1, 2).reshape(n, own, width)
    return seen


def _mask(own: int, length: int, device: torch.device) -> torch.Tensor | None:
    """Which of a path's nodes each of the last `own` sees, (own, length); None: all."""
    if own == 1:
        return None
    return torch.ones((own, length), dtype=torch.bool, device=device).tril_(length - own)
