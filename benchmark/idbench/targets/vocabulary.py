"""The small tokenizer of the shipped targets: those of CLIP's own merges that the avatar world's words need."""

from __future__ import annotations

import gzip
import io
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from idbench.storage import write_bytes

_HEADER = "#version: 0.2, the merges of CLIP's tokenizer that take part in the words of the avatar world"


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
