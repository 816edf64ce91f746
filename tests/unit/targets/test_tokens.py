"""The word cache gives the ids of open_clip's tokenizer, whatever the text."""

from __future__ import annotations

import string

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip import SimpleTokenizer

from idbench.targets.tokenizing import WordCache

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
