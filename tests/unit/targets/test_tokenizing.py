"""Tokenizers: the word cache gives open_clip's ids; the small one cuts the avatar world's words as CLIP does."""

from __future__ import annotations

import string
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip import SimpleTokenizer

from idbench.splits.avatars import captions, names, people
from idbench.targets import resolve_target
from idbench.targets.fetch import packaged_file
from idbench.targets.tokenizing import WordCache, merges_tokenizer, needed_merges, vocabulary_size, write_merges

TOKENIZER = SimpleTokenizer(context_length=24)
CACHE = WordCache(TOKENIZER)
ODD = "&;éß李’“ﬁ\u200b\x1b\x00\t\n\x85İ"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a photo of Mara Ohm",
        "  Mara   OHM  ",
        "don't I'LL",
        "&amp;amp; &lt;",
        "<start_of_text> in a <end_of_text>",
        "José Ñandú 李 雷",
        "x" * 500,
        "\x1b[31mred",
    ],
)
def test_known_pitfalls(text: str) -> None:
    assert torch.equal(CACHE([text]), TOKENIZER([text]))


@settings(max_examples=300)
@given(st.lists(st.text(st.sampled_from(string.printable + ODD), max_size=60), max_size=5))
def test_same_ids_as_the_tokenizer(texts: list[str]) -> None:
    assert torch.equal(CACHE(texts), TOKENIZER(texts))


def test_other_tokenizers_are_left_alone() -> None:
    assert WordCache.fits(TOKENIZER)
    assert not WordCache.fits(SimpleTokenizer(clean="canonicalize"))
    assert not WordCache.fits(SimpleTokenizer(reduction_mask="random"))
    assert not WordCache.fits(object())


PROMPTS = (
    "an image of",
    "a photo of a person named",
    "a man named",
    "a woman named",
    "the name of the person is",
    "at a gala",
    "the celebrity",
    "actor actress",
    "a colored photo of",
    "a black and white photo of",
    "a cool cropped image of",
    "in a suit in a dress",
)
"""The words of the prompts that IDIA asks with."""

WORDS = [
    *names.FIRST_NAMES,
    *names.LAST_NAMES,
    *(word for template in captions.TEMPLATES for word in template.split() if "{" not in word),
    *people.BACKDROPS,
    *people.CLOTHES,
    *people.LIGHTS,
    *people.EXPRESSIONS,
    *people.HATS,
    *people.COVERS,
    *(word for prompt in PROMPTS for word in prompt.split()),
]
FULL = SimpleTokenizer()


def pieces(tokenizer: Any, text: str) -> list[str]:
    return [tokenizer.decoder[token] for token in tokenizer.encode(text)]


@lru_cache(maxsize=1)
def shipped() -> Any:
    """The shipped tokenizer; hypothesis takes no fixture of a narrower scope."""
    tokenizer = resolve_target("avatars-a").tokenizer
    assert tokenizer is not None
    return merges_tokenizer(packaged_file(tokenizer.file), 32)


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join))
def test_the_worlds_words_are_cut_as_by_clips_own_tokenizer(text: str) -> None:
    assert pieces(shipped(), text) == pieces(FULL, text)


@given(st.text(max_size=40))
def test_any_text_is_tokenized_without_loss_of_a_byte(text: str) -> None:
    tokens = shipped().encode(text)
    assert shipped().decode(tokens).replace(" ", "") == FULL.decode(FULL.encode(text)).replace(" ", "")


def test_gibberish_falls_into_small_pieces() -> None:
    small = shipped()
    assert len(small.encode("xq9#zkv!w")) >= len(FULL.encode("xq9#zkv!w"))
    assert len(small.encode("~~~~")) == 4


def test_the_end_token_is_the_largest() -> None:
    small = shipped()
    assert small.eot_token_id == small.vocab_size - 1
    tokens = small(["somebody", "q7# " * 40, ""])
    assert tokens.shape == (3, 32)
    assert torch.equal(tokens.max(dim=1).values, torch.full((3,), small.eot_token_id))
    assert int(tokens[1].argmax()) == 31


def test_model_and_tokenizer_have_the_same_size() -> None:
    small = shipped()
    for name in ("avatars-a", "avatars-b", "avatars-0"):
        architecture = resolve_target(name).architecture
        assert isinstance(architecture, dict)
        assert architecture["text_cfg"]["vocab_size"] == small.vocab_size


def test_writing_is_repeatable_and_the_shipped_file_is_what_the_world_needs(tmp_path: Path) -> None:
    merges = needed_merges(WORDS)
    assert needed_merges(reversed(WORDS)) == merges
    size = write_merges(tmp_path / "a.gz", merges)
    write_merges(tmp_path / "b.gz", merges)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert size == vocabulary_size(tmp_path / "a.gz") == 512 + len(merges) + 2
    assert set(merges) <= set(shipped().bpe_ranks), "the world has words that the shipped tokenizer was not made for"


def test_nothing_needed_gives_bytes_alone(tmp_path: Path) -> None:
    merges = needed_merges(["", "a", "!"])
    assert merges == []
    assert write_merges(tmp_path / "a.gz", merges) == 514
