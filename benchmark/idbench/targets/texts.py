"""Encodes texts at the cost of their distinct beginnings: each distinct text once, cut to its length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

from idbench.progress import Progress
from idbench.targets.load import LoadedTarget
from idbench.targets.memory import Batches, Table, halved
from idbench.targets.prefixes import Trie, encode_trie, most_nodes, shares_beginnings, tries

_ROUNDING = 1e-4
"""Largest difference of a text's two embeddings, as a share of the longer one, for the trie to be believed."""

_PROBES = 3
"""Texts that are computed both ways before the trie is used for a target."""

_TOKENS_PER_BATCH = {"cpu": 8192, "cuda": 262_144}
_TOKENIZE_AT_ONCE = 8192


class TextEncoder:
    """The text tower of a target, with what it was asked before kept in memory.

    The tower is causal: what follows the end token changes nothing, and texts with a common beginning have the same
    states there. So each distinct beginning is computed once, with the numbers of the full context (to float rounding);
    whether they are is checked on the first texts of each target. Causal towers with blocks of another kind get texts
    cut to their length, in groups of equal length. Towers that are not causal, or that take the embedding from
    elsewhere than the end token, are given the full context.
    """

    def __init__(self, target: LoadedTarget, progress: Progress) -> None:
        self._target = target
        self._progress = progress
        self._rows: dict[str, int] = {}
        self._table = Table(target.info.embedding_dim, target.device)
        self._cuttable = is_cuttable(target.model)
        self._by_beginnings = self._cuttable and shares_beginnings(_tower(target.model))
        self._probed = False

    def __len__(self) -> int:
        """How many distinct texts were encoded."""
        return len(self._rows)

    @property
    def computes_beginnings_once(self) -> bool:
        """Whether texts with a common beginning share its cost; known for sure once a text was encoded."""
        return self._by_beginnings

    def embed(self, texts: Sequence[str]) -> torch.Tensor:
        """Embeddings, not normalized, (n_texts, dim), on the device; encodes what is new."""
        # In an order of their own: batches, and so the last bits, do not depend on the order of the cases.
        new = sorted(text for text in set(texts) if text not in self._rows)
        if new:
            first = len(self._rows)
            self._table.append(self._encode(new))
            self._rows.update({text: first + i for i, text in enumerate(new)})
        known = self._rows
        return self._table[[known[text] for text in texts]]

    @torch.no_grad()
    def _encode(self, texts: list[str]) -> torch.Tensor:
        result = torch.empty((len(texts), self._target.info.embedding_dim), device=self._target.device)
        done = 0
        for start in range(0, len(texts), _TOKENIZE_AT_ONCE):
            tokens = self._target.tokenize(texts[start : start + _TOKENIZE_AT_ONCE])
            self._probe(tokens)
            with self._target.computing():
                for places, part in self._in_tries(tokens) if self._by_beginnings else self._in_groups(tokens):
                    result[(places + start).to(result.device)] = part
                    done += len(places)
                    self._progress.update(done, len(texts), "encoding texts")
        return result

    def _probe(self, tokens: torch.Tensor) -> None:
        """Use the trie only where it gives what the model itself gives, on texts of all lengths, in float32."""
        if self._probed or not self._by_beginnings:
            return
        self._probed = True
        by_length = text_lengths(self._target.model, tokens).argsort(stable=True)
        few = tokens[by_length[torch.linspace(0, len(tokens) - 1, min(_PROBES, len(tokens))).long()]]
        whole = _encode_full(self._target.model, few.to(self._target.device))
        shared = torch.empty_like(whole)
        for places, part in self._in_tries(few):
            shared[places] = part
        self._by_beginnings = bool(((shared - whole).norm(dim=1) <= _ROUNDING * whole.norm(dim=1)).all())

    def _in_tries(self, tokens: torch.Tensor, most: int | None = None) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Places and embeddings of texts; tries become smaller where the device runs out of memory."""
        tower = _tower(self._target.model)
        nodes = most_nodes(tower, self._target.device) if most is None else most
        for places, trie in tries(tokens, text_lengths(self._target.model, tokens), nodes):
            part = halved(partial(_embeddings_of, tower, trie), len(places))
            if part is not None:
                yield places, part
                continue
            for smaller, embeddings in self._in_tries(tokens[places], max(1, len(trie) // 2)):
                yield places[smaller], embeddings

    def _in_groups(self, tokens: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Places and embeddings of texts, in batches of equal length."""
        lengths = text_lengths(self._target.model, tokens) if self._cuttable else None
        for members, length in buckets(tokens, lengths):
            batches = Batches(max(1, _TOKENS_PER_BATCH.get(self._target.device.type, 8192) // length))
            for low, high, part in batches.run(len(members), self._encoder(tokens[members, :length])):
                yield members[low:high], part

    def _encoder(self, tokens: torch.Tensor) -> Callable[[int, int], torch.Tensor]:
        model, device = self._target.model, self._target.device
        encode = encode_cut if self._cuttable else _encode_full
        return lambda low, high: encode(model, tokens[low:high].to(device)).float()


def is_cuttable(model: Any) -> bool:
    """Whether the model's text tower is causal and takes the embedding at the end token."""
    tower = _tower(model)
    return (
        tower is not None
        and getattr(tower, "attn_mask", None) is not None
        and getattr(tower, "cls_emb", None) is None
        and _pool_type(tower) in ("argmax", "eos")
    )


def text_lengths(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Tokens of each text up to and with the one whose state becomes the embedding, int64 (n,)."""
    tower = _tower(model)
    if _pool_type(tower) == "eos":
        return (tokens == _eos(tower)).int().argmax(dim=-1) + 1
    return tokens.argmax(dim=-1) + 1


def buckets(tokens: torch.Tensor, lengths: torch.Tensor | None) -> list[tuple[torch.Tensor, int]]:
    """Groups of texts of equal length: (places int64, length). Without lengths: one group of the full context."""
    if lengths is None:
        return [(torch.arange(len(tokens)), tokens.shape[1])]
    return [(torch.nonzero(lengths == length)[:, 0], length) for length in sorted(set(lengths.tolist()))]


def encode_cut(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Embeddings of texts of any length up to the context, (n, length) -> (n, dim), not normalized.

    open_clip's `CLIP.encode_text` insists on the full context; this computes the same from the same modules, for
    towers that are cuttable. Gradients flow, so that training uses it too.
    """
    tower = _tower(model)
    length = tokens.shape[1]
    dtype = tower.transformer.get_cast_dtype()
    x = tower.token_embedding(tokens).to(dtype) + tower.positional_embedding[:length].to(dtype)
    x = tower.transformer(x, attn_mask=tower.attn_mask[:length, :length])
    ends = text_lengths(model, tokens) - 1
    return _projected(tower, tower.ln_final(x[torch.arange(len(x), device=x.device), ends]))


def _embeddings_of(tower: Any, trie: Trie) -> torch.Tensor:
    return _projected(tower, tower.ln_final(encode_trie(tower, trie))).float()


def _projected(tower: Any, pooled: torch.Tensor) -> torch.Tensor:
    projection = tower.text_projection
    if projection is None:
        return pooled
    if isinstance(projection, torch.nn.Linear):
        projected: torch.Tensor = projection(pooled)
        return projected
    return torch.mm(pooled, projection)


def _encode_full(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    embedding: torch.Tensor = model.encode_text(tokens)
    return embedding


def _tower(model: Any) -> Any:
    """The part of the model that holds the text tower: the model itself in open_clip's `CLIP`."""
    from open_clip import CLIP
    from open_clip.transformer import TextTransformer

    if isinstance(model, CLIP):
        return model
    text = getattr(model, "text", None)
    return text if isinstance(text, TextTransformer) else None


def _pool_type(tower: Any) -> str:
    return str(getattr(tower, "text_pool_type", None) or getattr(tower, "pool_type", ""))


def _eos(tower: Any) -> int:
    value = getattr(tower, "text_eos_id", None)
    return int(value if value is not None else tower.eos_id)
