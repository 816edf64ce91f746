"""The small tokenizer: the avatar world's words as CLIP cuts them, everything else in pieces, nothing lost."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st
from open_clip import SimpleTokenizer

from idbench.splits.avatars import captions, names, people
from idbench.targets import resolve_target
from idbench.targets.fetch import packaged_file
from idbench.targets.load import merges_tokenizer
from idbench.targets.tokenizing import needed_merges, vocabulary_size, write_merges

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
