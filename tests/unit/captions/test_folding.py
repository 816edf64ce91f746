"""What counts as the same text: every character, every way of writing a name, alone and in columns."""

from __future__ import annotations

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from idbench.captions import EXACT, FOLDED, Folding


# Letters that together with an accent are no sign of markup, and by themselves are.
@example("\u00c2\u0080", False, False, True)
@example("\u00e2\u20ac\u0160", False, False, True)
@example("%4\u00c1", False, False, True)
@example("<\u00e1>", False, False, True)
@example("a\\\u0144b", False, False, True)
@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30), st.booleans(), st.booleans(), st.booleans())
def test_equivalent_texts_fold_to_the_same(text: str, case: bool, accents: bool, writing: bool) -> None:
    folding = Folding(case, accents, writing)
    forms = {folding(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")} | {folding(text)}
    assert len(forms) == 1
    texts = [text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text), "Plain"]
    column = folding.column(pa.array(texts)).to_pylist()
    assert [one.strip() for one in column] == [folding(text).strip()] * 3 + [folding("Plain")]


@pytest.mark.parametrize("folding", [EXACT, Folding(case=True), Folding(case=True, accents=True), FOLDED], ids=str)
def test_a_column_is_folded_as_its_texts_are(folding: Folding) -> None:
    def column(texts: list[str]) -> list[str]:
        found: list[str] = folding.column(pa.array(texts)).to_pylist()
        return [text.strip(" ") for text in found] if folding.writing else found

    # Every character behind a letter and before a mark: what may be skipped must not be what composing would change.
    characters = [chr(code) for code in range(0x20000) if not 0xD800 <= code < 0xE000]
    texts = [text for char in characters for text in (f"a{char}", "", f"{char}\u0323")]
    assert column(texts) == [folding(text) for text in texts]
    # Nothing of this is looked at without folding.
    plain = [f"{char}{other}" for char in characters[:0x300] for other in ("e", "\u02ff")]
    assert column(plain) == [folding(text) for text in plain]


def test_case_is_folded_as_unicode_says_for_every_character_with_case_or_marks() -> None:
    characters = [
        char for char in map(chr, range(0x110000)) if {char} != {char.casefold(), unicodedata.normalize("NFD", char)}
    ]
    for after in ("", "\u0345", "\u0301\u0323"):
        for char in characters:
            text = f"a{char}{after}"
            # Unicode Standard, 3.13, D145, with every step that may usually be left out.
            full = unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())
            assert Folding(case=True)(text) == unicodedata.normalize("NFC", full), ascii(text)
