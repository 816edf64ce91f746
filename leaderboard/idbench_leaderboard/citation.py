"""Who wrote a method's source, and when: from its citation, where its card has no fields for it, and in short."""

import re
from typing import Final

_NAME: Final = r"[^\W\d_][\w'’-]*"
_AUTHORS: Final = re.compile(rf"({_NAME} et al\.|{_NAME}(?:, {_NAME})*), ")
"""Family names up to the title, as in `Doe, Roe, A Title` and `Doe et al., A Title`; a title has two words or more."""
_YEAR: Final = re.compile(r"(?<![\w.-])(?:19|20)\d\d(?![\w.-])")
"""Four digits that are no part of an arXiv number and no range of pages."""


def authors_and_year(citation: str | None) -> tuple[str, int | None]:
    """The authors with whom a citation begins, and its first year; `("", None)` if it begins otherwise."""
    if citation is None or not (authors := _AUTHORS.match(citation)):
        return "", None
    year = _YEAR.search(citation)
    return authors[1], int(year[0]) if year else None


def in_short(authors: str, year: int | None) -> str:
    """As a text cites it: of three authors and more the first, and the year where it is known."""
    first, *others = authors.split(", ")
    named = f"{first} et al." if len(others) > 1 else authors
    return f"{named} {year}" if year else named
