"""How texts are made comparable: canonical composition, case and accents, each an explicit choice."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from idbench.search.captions.batch import utf8

if TYPE_CHECKING:
    import pyarrow as pa

# Diacritical marks of the Latin, Greek and Cyrillic scripts. Marks of other scripts are vowels, not accents: they stay.
_MARKS = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")

# The iota below a Greek letter, alone or within one character: what must be decomposed before case is folded, and the
# only thing that must (Unicode Standard, 3.13, D145).
_IOTA_BELOW = re.compile(
    "[\u0345\u1f80-\u1faf\u1fb2-\u1fb4\u1fb7\u1fbc\u1fc2-\u1fc4\u1fc7\u1fcc\u1ff2-\u1ff4\u1ff7\u1ffc]"
)

# Letters that carry their accent inside and have no decomposition.
_STROKES = str.maketrans(
    {
        "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L",
        "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "TH", "ħ": "h", "Ħ": "H", "ŧ": "t", "Ŧ": "T", "ı": "i",
    }
)  # fmt: skip

_BEYOND_ASCII = 0x80
"""Least byte of a character beyond ASCII in UTF-8."""
_COMPOSABLE = 0xCC
"""Least first byte of U+0300 and beyond in UTF-8: text below is in NFC as it stands (Unicode Annex 15, section 9)."""


@dataclass(frozen=True, slots=True)
class Folding:
    """What counts as the same text.

    Args:
        case: upper and lower case are the same (Unicode's full case folding, so that "ß" is "ss").
        accents: letters are the same with and without diacritical marks; "ø", "ł", "ß" and their like become plain
            letters too. "ö" becomes "o", never "oe": give the other spelling as a second name.
        canonical: composed and decomposed spellings of one letter are the same (NFC, Unicode Annex 15). Off: code
            points are compared as they stand; not to be combined with the other two.
    """

    case: bool = False
    accents: bool = False
    canonical: bool = True

    def __call__(self, text: str) -> str:
        """The folded text; texts that count as the same have equal folded texts."""
        if text.isascii():
            return text.lower() if self.case else text
        if not (self.case or self.accents):
            return unicodedata.normalize("NFC", text) if self.canonical else text
        if self.accents or _IOTA_BELOW.search(text):
            text = unicodedata.normalize("NFD", text)
        if self.accents:
            text = _MARKS.sub("", text).translate(_STROKES)
        if self.case:
            text = text.casefold()
        return unicodedata.normalize("NFC", text)  # last: case folding may undo the normal form

    def column(self, captions: pa.Array) -> pa.Array:
        """Folded captions; the ones in ASCII, nearly all on most corpora, are folded without leaving Arrow.

        Args:
            captions: strings without nulls, not large ones.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        folded = pc.ascii_lower(captions) if self.case else captions
        if not (self.case or self.accents or self.canonical):
            return folded
        bounds, content = utf8(captions)
        high = np.flatnonzero(content >= (_BEYOND_ASCII if self.case or self.accents else _COMPOSABLE))
        if not len(high):
            return folded
        rows = np.zeros(len(captions), np.bool_)
        rows[np.searchsorted(bounds, high, side="right") - 1] = True
        others = pa.array(rows)
        texts = captions.filter(others).to_pylist()
        values = self._together(texts)
        return folded if values is texts else pc.replace_with_mask(folded, others, pa.array(values, captions.type))

    def _together(self, texts: list[str]) -> list[str]:
        """The texts folded; the same list if that changes nothing. One call for all: a line's end folds to itself."""
        joined = "\n".join(texts)
        if not (self.case or self.accents) and unicodedata.is_normalized("NFC", joined):
            return texts
        folded = self(joined).split("\n")
        return folded if len(folded) == len(texts) else [self(text) for text in texts]

    def __str__(self) -> str:
        if not self.canonical:
            return "exact code points"
        parts = [word for word, on in (("case", self.case), ("accents", self.accents)) if on]
        return f"{' and '.join(parts)} folded" if parts else "exact"


def is_word(char: str) -> bool:
    """Whether a character continues a word: letters, digits, the underscore, and marks that sit on letters."""
    return char.isalnum() or char == "_" or unicodedata.category(char)[0] == "M"
