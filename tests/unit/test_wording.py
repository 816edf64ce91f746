"""Words go with their number."""

from __future__ import annotations

import pytest

from idbench.wording import counted


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 people are"), (1, "1 person is"), (2, "2 people are"), (1204, "1,204 people are")]
)
def test_words_go_with_their_number(number: int, words: str) -> None:
    assert counted(number, "person is", "people are") == words
