"""Names that look alike: letters of other scripts, digits for letters, hyphens left out.

The letters are those of the Unicode Consortium's confusables.txt (Unicode Technical Standard 39, version 16.0) that are
confused with a small Latin letter or a digit in common typefaces, for Cyrillic, Greek, Armenian, Latin and Cherokee.
Full-width, mathematical and other styled letters need no row: compatibility decomposition (NFKD) removes the style.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

_CONFUSED: Final = {
    "a": "аαɑ",
    "b": "ЬƄ\u13cf",
    "c": "сϲᴄⲥ",
    "d": "ԁɗꓒ",
    "e": "еҽ℮ꬲ",
    "f": "ꞙꬵſẝ",
    "g": "ɡƍցᶃ",
    "h": "һհᏂ",
    "i": "іɩıιӏɪ\u02db",
    "j": "јϳյ",
    "k": "кκᴋ",
    "l": "ӏǀ∣\u05c0ⅼן",
    "m": "мᴍⅿ",
    "n": "ոռη",
    "o": "оοσօᴏჿ೦",
    "p": "рρϱⲣ",
    "q": "ԛգզ",
    "r": "гᴦⲅꭇ",
    "s": "ѕƽꜱ",
    "t": "тτᴛ",
    "u": "υսʋᴜ",
    "v": "νѵᴠט",
    "w": "ѡԝաᴡ",
    "x": "хχ×᙮",
    "y": "уүʏγყ",
    "z": "ᴢʐ",
    "-": "\u2010\u2011\u2012\u2013\u2014\u2212\u30fc",
}
_LETTERS: Final = str.maketrans({other: plain for plain, others in _CONFUSED.items() for other in others})
# Pairs within ASCII; the second table of the same standard lists rn and m, 1 and l, 0 and o.
_DIGITS: Final = str.maketrans({"0": "o", "1": "l", "i": "l", "|": "l", "5": "s", "8": "b"})
_PAIRS: Final = (("rn", "m"), ("vv", "w"), ("cl", "d"), ("nn", "m"))


def skeleton(name: str) -> str:
    """What a quick glance sees of a name: names with equal skeletons are easily confused."""
    plain = unicodedata.normalize("NFKD", name).translate(_LETTERS).casefold().translate(_LETTERS)
    plain = "".join(c for c in plain if unicodedata.category(c)[0] not in "MC")
    plain = re.sub(r"[\s_.-]+", "", plain)
    for pair, single in _PAIRS:
        plain = plain.replace(pair, single)
    return plain.translate(_DIGITS)


def distribution_of(text: str) -> str:
    """A distribution without its version, as package indexes compare names: a newer version may still use a name."""
    return re.sub(r"[-_.]+", "-", text.rpartition(" ")[0] or text).lower()


def looks_like(name: str, others: Iterable[str]) -> str | None:
    """Another name among some that this one could be taken for; None if there is none."""
    own = skeleton(name)
    return next((other for other in others if other != name and skeleton(other) == own), None)


def close_to(name: str, others: Iterable[str]) -> str | None:
    """Another name that is a letter away from this one, or of which this one is made; None if there is none.

    Names that are built on another's are mostly honest (`idia-fast`), and sometimes meant to be taken for it.
    """
    for other in others:
        if other == name or len(other) < _SHORTEST:
            continue
        if other in name.split("-") or other == re.sub(r"-?v?\d+$", "", name) or _one_apart(name, other):
            return other
    return None


_SHORTEST: Final = 4
"""Letters of names that are compared: of three letters, too many words are one apart."""


def _one_apart(first: str, second: str) -> bool:
    """Whether a letter was changed, left out or put in, or two neighbours were swapped."""
    short, long = sorted((first, second), key=len)
    if len(long) - len(short) > 1:
        return False
    begin = next((i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(short) < len(long):
        return short[begin:] == long[begin + 1 :]
    swapped = short[:begin] + short[begin : begin + 2][::-1] + short[begin + 2 :]
    return short[begin + 1 :] == long[begin + 1 :] or swapped == long
