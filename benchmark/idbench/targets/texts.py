"""Encodes texts at the cost of the tokens they have: each distinct text once, cut to its length, in equal lengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from idbench.api.method import Progress
from idbench.targets.load import LoadedTarget
from idbench.targets.memory import Batches, Table

_TOKENS_PER_BATCH = {"cpu": 8192, "cuda": 262_144}
_TOKENIZE_AT_ONCE = 8192


class TextEncoder:
    """The text tower of a target, with what it was asked before kept in memory.

    The tower is causal: what follows the end token changes nothing. So texts of equal length are cut to that length
    and encoded together, with the numbers of the full context (to float rounding). Towers that are not causal, or
    that take the embedding from elsewhere than the end token, are given the full context.
    """

    def __init__(self, target: LoadedTarget, progress: Progress) -> None:
        self._target = target
        self._progress = progress
        self._rows: dict[str, int] = {}
        self._table = Table(target.info.embedding_dim, target.device)
        self._cuttable = is_cuttable(target.model)

    def __len__(self) -> int:
        """How many distinct texts were encoded."""
        return len(self._rows)

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
        device = self._target.device
        result = torch.empty((len(texts), self._target.info.embedding_dim), device=device)
        done = 0
        for start in range(0, len(texts), _TOKENIZE_AT_ONCE):
            tokens = self._target.tokenize(texts[start : start + _TOKENIZE_AT_ONCE])
            lengths = text_lengths(self._target.model, tokens) if self._cuttable else None
            for members, length in buckets(tokens, lengths):
                batches = Batches(max(1, _TOKENS_PER_BATCH.get(device.type, 8192) // length))
                cut = tokens[members, :length]
                for low, high, part in batches.run(len(members), self._encoder(cut)):
                    result[(members[low:high] + start).to(device)] = part
                    done += high - low
                    self._progress.update(done, len(texts), "encoding texts")
        return result

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
    pooled: torch.Tensor = tower.ln_final(x[torch.arange(len(x), device=x.device), ends])
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
