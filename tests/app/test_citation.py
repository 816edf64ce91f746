"""Authors and year of a source whose card has no fields for them."""

import pytest

from idbench_leaderboard.citation import authors_and_year, in_short


@pytest.mark.parametrize(
    ("citation", "authors", "year"),
    [
        ("Doe et al., Does It Know?, JAIR 80 (2024) 1033-1062", "Doe et al.", 2024),
        ("Doe, Roe, O'Nil, Déjà Vu Again, 2023", "Doe, Roe, O'Nil", 2023),
        ("Doe, A Title, arXiv 2001.01234", "Doe", None),
        ("Doe, A Title, Pages 1999-2004", "Doe", None),
        ("Own. What it stands on: Doe et al., A Title, 2023", "", None),
        ("Erasing of Null Spaces, arXiv 2512.14137 (2025)", "", None),
        ("", "", None),
        (None, "", None),
    ],
)
def test_authors_stand_before_a_title(citation: str | None, authors: str, year: int | None) -> None:
    assert authors_and_year(citation) == (authors, year)


@pytest.mark.parametrize(
    ("authors", "year", "shown"),
    [
        ("Doe", 2023, "Doe 2023"),
        ("Doe, Roe", None, "Doe, Roe"),
        ("Doe, Roe, O'Nil", 2023, "Doe et al. 2023"),
        ("Doe et al.", 2023, "Doe et al. 2023"),
    ],
)
def test_three_authors_are_named_by_the_first(authors: str, year: int | None, shown: str) -> None:
    assert in_short(authors, year) == shown
