"""How texts are made comparable: what counts as the same name, from equal code points to every way of writing it."""

from __future__ import annotations

import html
import re
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import numpy as np

from idbench.captions.batches import utf8

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

# Diacritical marks of the Latin, Greek and Cyrillic scripts, Hebrew points and Arabic vowel signs: what people leave
# out. Marks of other scripts are vowels that are never left out, not accents: they stay.
_MARKS = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u065f\u0670"
    "\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)

# The iota below a Greek letter, alone or within one character: what must be decomposed before case is folded, and the
# only thing that must (Unicode Standard, 3.13, D145).
_IOTA_BELOW = re.compile(
    "[\u0345\u1f80-\u1faf\u1fb2-\u1fb4\u1fb7\u1fbc\u1fc2-\u1fc4\u1fc7\u1fcc\u1ff2-\u1ff4\u1ff7\u1ffc]"
)

# Letters without a decomposition that are written as plain ones where the keyboard lacks them.
_PLAIN = {
    "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ð": "d", "Ð": "D", "þ": "th", "Þ": "TH",
    "ı": "i", "ȷ": "j", "ĸ": "k", "ŋ": "n", "Ŋ": "N",
}  # fmt: skip

_WITH_STROKE = re.compile(r"((?:LATIN|CYRILLIC|GREEK) (?:SMALL|CAPITAL) LETTER \w+) WITH ")
_SMALL_CAPITAL = re.compile(r"LATIN LETTER SMALL CAPITAL ([A-Z])$")
_ALPHABETS = (*range(0xA0, 0x530), *range(0x1D00, 0x2000), *range(0x2C60, 0x2C80), *range(0xA640, 0xA800))

# Letters by category that are apostrophes by use: the ʻokina, the modifier apostrophe, the saltillo and their like.
_APOSTROPHES = (("\u02b9", "\u02bf"), ("\u02c8", "\u02c8"), ("\u02ca", "\u02cb"), ("\ua78b", "\ua78c"))

# What takes no room: soft hyphens, zero-width spaces and joiners, marks of direction, selectors of variants, fillers.
_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\U000e0000-\U000e0fff"
)
_INVISIBLES = re.compile(f"[{_INVISIBLE}]+")
_INVISIBLE_WITHIN = re.compile(rf"(?<=\S)[{_INVISIBLE}]+(?=\S)")

_ENTITY = re.compile(r"&#?\w")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|[nrtbf])")
_SHOUTED = re.compile(r"&[A-Z]{2,};")
_MISREAD = re.compile("\u00c2(?=[\u0080-\u00bf])|\u00e2[\u20ac\u0080].")
"""Signs in UTF-8 that were taken for Windows-1252 or Latin-1: what stands before a no-break space, an apostrophe."""
_MARKUP = re.compile(rf"&#?\w|%[0-9A-Fa-f]{{2}}|<[/A-Za-z]|\\|[{_INVISIBLE}]|{_MISREAD.pattern}")
"""What needs a text to be looked at on its own: references to characters, tags, what takes no room or was misread."""
_ROUNDS = 3
"""How often references are resolved: `&amp;nbsp;` and `%2520` are met, deeper nesting is not."""
_OR = "\x1f"
"""Parts readings of one text, where it may be read in two ways; no name holds it."""
_LINE_ENDS = re.compile(f"[\n{_OR}]")
"""What parts texts that are folded in one call, and their readings."""

_BEYOND_ASCII = 0x80
"""Least byte of a character beyond ASCII in UTF-8."""
_COMPOSABLE = 0xCC
"""Least first byte of U+0300 and beyond in UTF-8: text below is in NFC as it stands (Unicode Annex 15, section 9)."""
_SPACE = 0x20


@dataclass(frozen=True, slots=True)
class Folding:
    """What counts as the same text.

    Args:
        case: upper and lower case are the same (Unicode's full case folding, so that "ß" is "ss").
        accents: letters are the same with and without diacritical marks; "ø", "ł", "ß" and their like become plain
            letters too. "ö" becomes "o", never "oe": give the other spelling as a second name.
        writing: it does not matter how words are parted (spaces of any kind and number, line ends, underscores,
            hyphens, apostrophes, dots: one blank), nor how their letters are encoded (full width, ligatures, HTML
            entities, percent signs of addresses, `\\u` escapes), nor what takes no room (soft hyphens, zero-width
            characters). Where these may be read in two ways, both readings count.
        canonical: composed and decomposed spellings of one letter are the same (NFC, Unicode Annex 15). Off: code
            points are compared as they stand; not to be combined with the others.
    """

    case: bool = False
    accents: bool = False
    writing: bool = False
    canonical: bool = True

    def __call__(self, text: str) -> str:
        """The folded text; texts that count as the same have equal folded texts."""
        if self.writing:
            return _OR.join(self.readings(text))
        if text.isascii():
            return text.lower() if self.case else text
        if not (self.case or self.accents):
            return unicodedata.normalize("NFC", text) if self.canonical else text
        if self.accents or _IOTA_BELOW.search(text):
            text = unicodedata.normalize("NFD", text)
        return unicodedata.normalize("NFC", self._letters(text))  # last: case folding may undo the normal form

    def readings(self, text: str) -> tuple[str, ...]:
        """The folded text, once for each way in which it may be read; one way unless `writing` is folded."""
        if not self.writing:
            return (self(text),)
        text = unicodedata.normalize("NFC", text)  # else an accent of its own would leave its letter to the markup
        texts = _decoded(text) if _MARKUP.search(text) else (text,)
        return tuple(dict.fromkeys(self._words(_LINE_ENDS.sub(" ", one)).strip() for one in texts))

    def column(self, captions: pa.Array) -> pa.Array:
        """Folded captions; those in plain ASCII, nearly all on most corpora, are folded without leaving Arrow.

        Args:
            captions: strings without nulls, not large ones.

        Returns:
            strings; a blank may be left at either end where `writing` is folded.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        bounds, content = utf8(captions)
        if self.writing:
            folded, special = _plain_words(bounds, content, self.case), _special_bytes(content)
        else:
            folded = pc.ascii_lower(captions) if self.case else captions
            if not (self.case or self.accents or self.canonical):
                return folded
            special = _may_change(content) if not (self.case or self.accents) else content >= _BEYOND_ASCII
        places = np.flatnonzero(special)
        if not len(places):
            return folded
        rows = np.zeros(len(captions), np.bool_)
        rows[np.searchsorted(bounds, places, side="right") - 1] = True
        others = pa.array(rows)
        texts = captions.filter(others).to_pylist()
        values = self._apart(texts) if self.writing else self._together(texts)
        return folded if values is texts else pc.replace_with_mask(folded, others, pa.array(values, captions.type))

    def _letters(self, text: str) -> str:
        """Decomposed text without accents and case, as far as these are folded."""
        if self.accents:
            text = _MARKS.sub("", text).translate(_plain_letters())
        return text.casefold() if self.case else text

    def _words(self, text: str) -> str:
        """Words of a text that holds no markup, each parted from the next by one blank; line ends stay."""
        text = unicodedata.normalize("NFKD", text)
        if self.accents:
            for letter, plain in _PLAIN.items():
                if len(plain) > 1 and letter in text:
                    text = text.replace(letter, plain)
        codes = _words_table(self.accents)[np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")]
        codes = codes[codes > 0]
        blank = codes == _SPACE
        if len(codes):
            codes = codes[np.concatenate([[True], ~(blank[1:] & blank[:-1])])]
        text = codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
        return unicodedata.normalize("NFKC", text.casefold() if self.case else text)

    def _apart(self, texts: list[str]) -> list[str]:
        """The texts folded; those with markup one by one, the others in one call, parted by line ends."""
        joined = unicodedata.normalize("NFC", "\n".join(texts))
        if joined.count("\n") >= len(texts) or _OR in joined:
            joined = unicodedata.normalize("NFC", "\n".join(_LINE_ENDS.sub(" ", text) for text in texts))
        texts = joined.split("\n")
        ends = np.cumsum([len(text) + 1 for text in texts])
        marked = [found.start() for found in _MARKUP.finditer(joined)]
        folded = self._words(joined).split("\n")
        for row in np.unique(np.searchsorted(ends, marked, side="right")).tolist():
            folded[row] = self(texts[row])
        return folded

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
        parts = [word for word in ("case", "accents", "writing") if getattr(self, word)]
        return (
            f"{' and '.join([', '.join(parts[:-1]), parts[-1]] if parts[1:] else parts)} folded" if parts else "exact"
        )


EXACT = Folding()
"""The same letters, however they are composed: what the field's published counts and `grep` find."""
FOLDED = Folding(case=True, accents=True, writing=True)
"""Everything folded: what decides whether a caption of the background names somebody, and the default of a search."""


def is_word(char: str) -> bool:
    """Whether a character continues a word: letters, digits, the underscore, and marks that sit on letters."""
    return char.isalnum() or char == "_" or unicodedata.category(char)[0] == "M"


_UNSPACED = frozenset(
    ("CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN", "YI")
)
"""Scripts that put no blanks between words, and Korean, which glues particles to names."""


@cache
def word_class(char: str) -> int:
    """What kind of word a character continues where `writing` is folded: 1 letters, 2 digits, 0 none.

    A number behind a name, as in `ann_lee01.jpg`, is not a part of it; scripts without blanks have no ends of words.
    """
    if char.isdigit():
        return 2
    if not is_word(char) or char == "_":
        return 0
    return int(re.split("[ -]", unicodedata.name(char, ""))[0] not in _UNSPACED)


def _decoded(text: str) -> tuple[str, ...]:
    """A text with its references resolved, without tags and what takes no room, in every way it may be read."""
    for _ in range(_ROUNDS):
        before = text
        if _ENTITY.search(text):
            text = html.unescape(_SHOUTED.sub(lambda found: found[0].lower(), text))
        text = _PERCENT.sub(_characters, text)
        if text == before:
            break
    text = _MISREAD.sub(" ", text)
    readings = [text]
    if "%" in text:  # in Latin-1, as old sites name their files; or "100%Added"
        readings.append(_PERCENT.sub(lambda found: unquote_to_bytes(found[0]).decode("latin-1"), text))
    if "\\" in text:  # `ann\tom.jpg` is a path, `Ann\nLee` a line's end that somebody wrote out
        readings.append(_ESCAPE.sub(_escaped, text))
    readings = [_TAG.sub(" ", one) for one in readings]
    # A zero-width space may stand between words or within one.
    readings += [_INVISIBLE_WITHIN.sub(" ", one) for one in readings]
    return tuple(dict.fromkeys(_INVISIBLES.sub("", one) for one in readings))


def _characters(escaped: re.Match[str]) -> str:
    """What percent signs stand for; themselves where that is not UTF-8, as in "100%Added"."""
    try:
        return unquote_to_bytes(escaped[0]).decode()
    except UnicodeDecodeError:
        return escaped[0]


def _escaped(found: re.Match[str]) -> str:
    code = found[1] or found[2]
    char = chr(int(code, 16)) if code else " "
    return " " if unicodedata.category(char) == "Cs" else char


@cache
def _plain_letters() -> dict[int, str]:
    """Letters with a stroke, a hook or the like, and small capitals, to the plain letters: for `str.translate`."""
    table = {ord(char): plain for char, plain in _PLAIN.items()}
    for code in _ALPHABETS:
        name = unicodedata.name(chr(code), "")
        if unicodedata.decomposition(chr(code)):
            continue
        if found := _WITH_STROKE.match(name):
            try:
                plain = unicodedata.lookup(found[1])
            except KeyError:
                continue
            table[code] = _PLAIN.get(plain, plain)
        elif found := _SMALL_CAPITAL.match(name):
            table[code] = found[1].lower()
    return table


@cache
def _words_table(accents: bool) -> NDArray[np.uint32]:
    """What becomes of each code point, (0x110000,): 0 is left out, a blank parts words.

    Letters, digits and the marks that sit on them stay, and so do line ends and `_OR`.
    """
    table = np.arange(sys.maxunicode + 1, dtype=np.uint32)
    for char in map(chr, range(_LAST_LETTERS)):
        if not is_word(char) or char == "_":
            table[ord(char)] = _SPACE
    table[_LAST_IDEOGRAPHS:] = _SPACE
    table[[ord("\n"), ord(_OR)]] = ord("\n"), ord(_OR)
    for first, last in _APOSTROPHES:
        table[ord(first) : ord(last) + 1] = _SPACE
    if accents:
        for char in map(chr, range(_LAST_LETTERS)):
            if _MARKS.match(char):
                table[ord(char)] = 0
        for code, plain in _plain_letters().items():
            if len(plain) == 1:
                table[code] = ord(plain)
    return table


_LAST_LETTERS, _LAST_IDEOGRAPHS = 0x20000, 0x40000
"""From the first on there are ideographs alone, from the second on nothing that is a letter."""


def _plain_words(bounds: NDArray[np.int32], content: NDArray[np.uint8], case: bool) -> pa.Array:
    """Captions in ASCII with one blank between words; the bytes of others are left for the caller to replace."""
    import pyarrow as pa

    mapped = np.frombuffer(content.tobytes().translate(_ascii_words(case)), np.uint8)
    blank = mapped == _SPACE
    again = np.flatnonzero(blank[1:] & blank[:-1]) + 1
    starts = (bounds - np.searchsorted(again, bounds)).astype(np.int32)
    mapped = np.delete(mapped, again) if len(again) else mapped
    return pa.Array.from_buffers(pa.string(), len(bounds) - 1, [None, pa.py_buffer(starts), pa.py_buffer(mapped)])


@cache
def _ascii_words(case: bool) -> bytes:
    """What becomes of each of 256 bytes: letters and digits stay, whatever else is in ASCII is a blank."""
    fold: Callable[[str], str] = str.lower if case else str
    plain = [ord(fold(chr(code))) if chr(code).isalnum() else _SPACE for code in range(_BEYOND_ASCII)]
    return bytes([*plain, *range(_BEYOND_ASCII, 256)])


def _special_bytes(content: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Bytes beyond ASCII and those that may begin markup: rows that hold one are folded in Python, (n,)."""
    special = content >= _BEYOND_ASCII
    for sign, after in _markup_bytes():
        places = np.flatnonzero(content[:-1] == sign)
        special[places[after[content[places + 1]]]] = True
    return special


@cache
def _markup_bytes() -> tuple[tuple[int, NDArray[np.bool_]], ...]:
    """Bytes that begin markup, and which bytes must follow, (256,)."""
    word = np.array([chr(code).isalnum() or chr(code) in "#_" for code in range(256)])
    hexadecimal = np.array([chr(code) in "0123456789abcdefABCDEF" for code in range(256)])
    letter = np.array([chr(code).isascii() and (chr(code).isalpha() or chr(code) == "/") for code in range(256)])
    return (ord("&"), word), (ord("%"), hexadecimal), (ord("<"), letter), (ord("\\"), np.ones(256, np.bool_))


def _may_change(content: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Bytes at which a character begins that composing (NFC) may change or join with the one before, (n,).

    Few texts hold one: curly quotes, dashes, Cyrillic and Chinese are in NFC as they stand.
    """
    special = np.zeros(len(content), np.bool_)
    places = np.flatnonzero(content >= _COMPOSABLE)
    if len(places):
        codes = _code_points(content, places)
        special[places[_changeable()[codes]]] = True
    return special


def _code_points(content: NDArray[np.uint8], places: NDArray[np.intp]) -> NDArray[np.int32]:
    """Code points of the characters that begin at some bytes, (n,), of valid UTF-8 of two to four bytes each."""
    first = content[places].astype(np.int32)
    following = [content[np.minimum(places + step, len(content) - 1)].astype(np.int32) & 0x3F for step in (1, 2, 3)]
    two = (first & 0x1F) << 6 | following[0]
    three = (first & 0x0F) << 12 | following[0] << 6 | following[1]
    four = (first & 0x07) << 18 | following[0] << 12 | following[1] << 6 | following[2]
    return np.where(first < 0xE0, two, np.where(first < 0xF0, three, four))


@cache
def _changeable() -> NDArray[np.bool_]:
    """Whether NFC may change a text in which a code point stands, (0x110000,): Quick_Check of Annex 15, No or Maybe."""
    table = np.zeros(sys.maxunicode + 1, np.bool_)
    table[0x1161:0x1176] = table[0x11A8:0x11C3] = True  # Hangul vowels and finals join the syllable before
    steady = (*range(0x3400, 0xA000), *range(0xAC00, 0xD7A4), *range(0xD800, 0xF900))
    for code in sorted({*range(0x300, 0x20000), *range(0x2F800, 0x2FA20)}.difference(steady)):
        char = chr(code)
        if unicodedata.combining(char) or not unicodedata.is_normalized("NFC", char):
            table[code] = True
        parts = unicodedata.decomposition(char).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            table[int(parts[1], 16)] = True
    return table
