"""Tokenizes many texts that share their words: open_clip's own tokenizer with each word looked up once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch


class WordCache:
    """The token ids of an open_clip `SimpleTokenizer`, without its cost per text.

    Texts of plain characters need no repair (ftfy leaves them as they are), and a word's pieces do not depend on its
    neighbours. Everything else goes through the tokenizer itself.

    Args:
        tokenizer: an `open_clip.SimpleTokenizer` that lower-cases and truncates (its defaults).
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._words: dict[str, list[int]] = {}

    @staticmethod
    def fits(tokenizer: Any) -> bool:
        """Whether a tokenizer is one whose words can be looked up."""
        from open_clip import SimpleTokenizer
        from open_clip.tokenizer import _clean_lower

        return (
            type(tokenizer) is SimpleTokenizer and tokenizer.clean_fn is _clean_lower and tokenizer.reduction_fn is None
        )

    @property
    def vocab_size(self) -> int:
        """How many different tokens there are."""
        return int(self._tokenizer.vocab_size)

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """Token ids, int64 (n, context length): start, text, end, zeros; cut texts end with the end token."""
        length = int(self._tokenizer.context_length)
        first, last = int(self._tokenizer.sot_token_id), int(self._tokenizer.eot_token_id)
        result = np.zeros((len(texts), length), dtype=np.int64)
        for row, text in zip(result, texts, strict=True):
            tokens = [first, *self._encode(text), last]
            if len(tokens) > length:
                tokens = [*tokens[: length - 1], last]
            row[: len(tokens)] = tokens
        return torch.from_numpy(result)

    def _encode(self, text: str) -> list[int]:
        if not _plain(text):
            encoded: list[int] = self._tokenizer.encode(text)
            return encoded
        tokens: list[int] = []
        for word in self._tokenizer.pat.findall(" ".join(text.split()).lower()):
            tokens += self._word(word)
        return tokens

    def _word(self, word: str) -> list[int]:
        known = self._words.get(word)
        if known is None:
            pieces = self._tokenizer.bpe("".join(self._tokenizer.byte_encoder[byte] for byte in word.encode()))
            known = self._words[word] = [self._tokenizer.encoder[piece] for piece in pieces.split(" ")]
        return known


def _plain(text: str) -> bool:
    """Whether cleaning can only change the text's spaces and capitals: no entities, no control characters."""
    return text.isascii() and text.isprintable() and "&" not in text
