"""Tokenizers of targets: open_clip's own for an architecture, its words looked up once, and the small ones shipped."""

from __future__ import annotations

import gzip
import io
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from idbench.errors import TargetError
from idbench.storage import write_bytes
from idbench.targets.download import check_reachable
from idbench.targets.spec import TargetSpec

Tokenizer = Callable[[Sequence[str]], torch.Tensor]

_HEADER = "#version: 0.2, the merges of CLIP's tokenizer that take part in the words of the avatar world"


def build_tokenizer(spec: TargetSpec, text: Mapping[str, Any], merges: Path | None, places: int | None) -> Tokenizer:
    """The tokenizer that belongs to a model: texts -> int64 (n, context length).

    Args:
        spec: of the target.
        text: `text_cfg` of its model configuration.
        merges: file of the target's own merges; None: open_clip's tokenizer for the architecture.
        places: tokens that the model has room for; None: it does not say.

    Raises:
        TargetError: it cannot be had, or its vocabulary is larger than the model's.
    """
    length = int(text.get("context_length", 77))
    tokenizer = merges_tokenizer(merges, length) if merges is not None else open_clip_tokenizer(spec, text, length)
    if WordCache.fits(tokenizer):
        tokenizer = WordCache(tokenizer)
    ids = getattr(tokenizer, "vocab_size", None)
    if isinstance(ids, int) and isinstance(places, int) and ids > places:
        raise TargetError(
            f"The tokenizer of {spec.name} has {ids} tokens, its model only {places}.",
            hint="Tokenizer and model do not belong together: check the architecture.",
        )
    return lambda texts: torch.as_tensor(tokenizer(list(texts)), dtype=torch.int64)


def merges_tokenizer(path: Path, context_length: int) -> Any:
    """open_clip's byte-pair tokenizer with the merges of a file."""
    from open_clip import SimpleTokenizer

    return SimpleTokenizer(bpe_path=str(path), context_length=context_length)


def open_clip_tokenizer(spec: TargetSpec, text: Mapping[str, Any], length: int) -> Any:
    """The tokenizer that open_clip gives an architecture.

    Args:
        spec: of the target.
        text: `text_cfg` of its model configuration.
        length: context length, in tokens, where a configuration decides.

    Raises:
        TargetError: it has to be fetched and cannot be, or a package is missing.
    """
    from open_clip import SimpleTokenizer, get_tokenizer
    from open_clip.tokenizer import HFTokenizer

    name = text.get("hf_tokenizer_name")
    what = f"The tokenizer {name} of {spec.name}" if name else f"The tokenizer of {spec.name}"
    if name and not _at_hand(str(name)):
        check_reachable(what)
    try:
        if isinstance(spec.architecture, str):
            return get_tokenizer(spec.architecture)
        more = text.get("tokenizer_kwargs") or {}
        if not name:
            return SimpleTokenizer(context_length=length, **more)
        return HFTokenizer(name, context_length=length, tokenizer_mode=text.get("tokenizer_mode"), **more)
    except ImportError as error:
        missing = error.name or (str(error).splitlines() or ["a package"])[0]
        raise TargetError(
            f"{what} needs {missing}, which is not installed.", hint="Run: pip install 'idbench[transformers]'"
        ) from error
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise TargetError(
            f"{what} cannot be opened: {reason}.",
            hint="Fetch it again, or check text_cfg of the model configuration.",
        ) from error


def _at_hand(name: str) -> bool:
    """Whether a tokenizer of the Hub is on this machine: in its client's cache, or as a folder."""
    from huggingface_hub import try_to_load_from_cache

    if Path(name).is_dir():
        return True
    return isinstance(try_to_load_from_cache(name, "tokenizer_config.json"), str)


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


def needed_merges(texts: Iterable[str]) -> list[tuple[str, str]]:
    """CLIP's merges that take part in tokenizing the texts, in CLIP's order.

    A text of these words is cut into the same pieces as by the full tokenizer: at each step the full tokenizer
    applies the first merge of its list that fits, that merge is kept, and nothing is added before it.
    """
    from open_clip import SimpleTokenizer
    from open_clip.tokenizer import whitespace_clean

    full = SimpleTokenizer()
    words = {
        word
        for text in texts
        for word in full.pat.findall(whitespace_clean(text).lower())
        if word not in ("<start_of_text>", "<end_of_text>")
    }
    used: set[tuple[str, str]] = set()
    for word in words:
        used |= _merges_of("".join(full.byte_encoder[byte] for byte in word.encode()), full.bpe_ranks)
    return sorted(used, key=lambda pair: int(full.bpe_ranks[pair]))


def _merges_of(word: str, ranks: dict[tuple[str, str], int]) -> set[tuple[str, str]]:
    pieces = [*word[:-1], word[-1] + "</w>"]
    used: set[tuple[str, str]] = set()
    while len(pieces) > 1:
        pair = min(itertools.pairwise(pieces), key=lambda two: ranks.get(two, len(ranks)))
        if pair not in ranks:
            break
        used.add(pair)
        pieces = _merge(pieces, pair)
    return used


def _merge(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


def write_merges(path: Path, merges: list[tuple[str, str]]) -> int:
    """Write a merges file as open_clip's `SimpleTokenizer(bpe_path=...)` reads it; the same bytes everywhere.

    Returns:
        How many tokens the tokenizer has; the end token is the last, so that it stays the largest id.
    """
    lines = "\n".join([_HEADER, *(" ".join(pair) for pair in merges)])
    buffer = io.BytesIO()
    # Stored, not compressed: compressed bytes depend on the version of zlib.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=0, fileobj=buffer, mtime=0) as file:
        file.write(lines.encode())
    write_bytes(path, buffer.getvalue())
    return vocabulary_size(path)


def vocabulary_size(path: Path) -> int:
    """Tokens of the tokenizer that a merges file makes."""
    from open_clip import SimpleTokenizer

    tokenizer: Any = SimpleTokenizer(bpe_path=str(path))
    return int(tokenizer.vocab_size)
