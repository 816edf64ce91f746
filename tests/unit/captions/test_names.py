"""Who is searched: lists of names as people have them, and one sentence that names row and reason for the others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from idbench.captions import read_names
from idbench.errors import DataError


def test_names_are_read(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes("\ufeffAnn Lee\np7\tJörn Påske\np7\tJoern Paaske\n\n".encode())
    assert [(one.identity, one.spellings) for one in read_names(path)] == [
        ("Ann Lee", ("Ann Lee",)),
        ("p7", ("Jörn Påske", "Joern Paaske")),
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no names"),
        (b"\n \n", "holds no names"),
        (b"Ann Lee\n\nTom Ek\n", "row 2 holds no name"),
        (b"Ann Lee\nTom Ek\nAnn Lee\n", "row 3 repeats row 1"),
        (b"p1\t\n", "row 1 holds no name"),
        (b"p1\tAnn\tLee\n", "control character"),
        (b"Ann Lee\nJ\xf6rn\n", "row 2: this is not UTF-8"),
    ],
)
def test_bad_lists_of_names(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_names(path)


PLAIN = ("Ann Lee", "Sam Davin, Jr.", "D'Oro-Ek (Nan)", "王")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("name,gender\nAnn Lee,f\nTom Ek,m\n", [("Ann Lee", "Ann Lee"), ("Tom Ek", "Tom Ek")]),
        ("id,Name\np1,Ann Lee\np1,Anne Lee\n", [("p1", "Ann Lee"), ("p1", "Anne Lee")]),
        ('gender;name;identity\r\nf;"Lee; Ann";p1\r\n', None),
        ('gender;name;identity\r\nf;"Ann Lee";p1\r\n\r\n', [("p1", "Ann Lee")]),
        ("identity\tname\tnote\np1\tAnn Lee\tx\n", [("p1", "Ann Lee")]),
        ("name\nAnn Lee\nTom Ek\n", [("Ann Lee", "Ann Lee"), ("Tom Ek", "Tom Ek")]),
        ('name,note\n"Sam Davin, Jr.","a, ""b"",\nc"\nTom Ek,\n', [("Sam Davin, Jr.",) * 2, ("Tom Ek",) * 2]),
        ("Ann Lee\nSam Davin, Jr.\nD'Oro-Ek (Nan)\n王\n", [(n, n) for n in PLAIN]),
    ],
)
def test_tables_with_a_column_of_names(tmp_path: Path, content: str, expected: list[tuple[str, str]] | None) -> None:
    path = tmp_path / "names.csv"
    path.write_text(f"\ufeff{content}", encoding="utf-8", newline="")
    if not content.lower().partition("\n")[0].count("name"):
        path = path.rename(tmp_path / "names.txt")
    if expected is None:
        with pytest.raises(DataError, match="row 2: 'Lee; Ann' cannot be a name: names hold no ';'"):
            read_names(path)
        return
    assert [(one.identity, name) for one in read_names(path) for name in one.spellings] == expected


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("person,gender\nAnn Lee,f\n", "has no column `name`: its first row is 'person,gender'"),
        ("name,gender\nAnn Lee\n", "row 2 has 1 columns; the header has 2"),
        ("name,gender\nAnn Lee,f\n,m\n", "row 3 holds no name"),
        ("name,id\nAnn Lee,\n", "row 2 holds no identity"),
        ("name,gender\n", "holds no names"),
        ('name,gender\nAnn Lee,f\n"Tom" Ek,m\n', "row 3 is not CSV"),
        ("name\nhttps://example.org/ann\n", "row 2: 'https://example.org/ann' cannot be a name: names hold no ':'"),
        ("name\nann@example.org\n", "names hold no '@'"),
        ("name\n12\n", "row 2: '12' cannot be a name: it has fewer than two letters"),
        ("name\nNaN\n", "it stands for a missing value"),
        ("name\n<b>Ann Lee</b>\n", "names hold no '<'"),
        ("name\n" + "Ann " * 40 + "\n", "it is longer than 120 characters"),
        ("name\n" + "a b " * 10 + "\n", "more than 12 words"),
        ("name\nAnn\x1b[31m Lee\n", "control character"),
    ],
)
def test_what_cannot_be_a_name_is_refused_with_row_and_reason(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "names.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=says):
        read_names(path)


def test_a_table_without_header_is_not_a_list_of_people(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("p1,Ann Lee,f\np2,Tom Ek,m\n")
    with pytest.raises(DataError, match=r"row 1: 'p1,Ann Lee,f' cannot be a name: it looks like a row of a table"):
        read_names(path)


def test_only_regular_files_of_bounded_size_are_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        read_names(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(DataError, match="is not a regular file"):
            read_names(place)
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DataError, match="larger than 64 MiB"):
        read_names(tmp_path / "huge")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("Lee, Ann", "write the family name last"),
        ("Ann Lee, actress", "nothing that is no part of the name"),
        ("1. Ann Lee", "the number or the sign of a list"),
        ("- Ann Lee", "the number or the sign of a list"),
        ("faces/Ann_Lee", "names hold no '/'"),
    ],
)
def test_what_would_be_searched_for_in_vain_is_no_name(tmp_path: Path, row: str, reason: str) -> None:
    path = tmp_path / "names.txt"
    path.write_text(f"Bea Moe\n{row}\n")
    with pytest.raises(DataError, match=f"row 2: .* cannot be a name: .*{reason}"):
        read_names(path)


def test_lines_may_end_as_on_old_machines_and_names_may_have_suffixes(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes(b"Ann Lee\rBea Moe, Jr.\rCy Roe, III\r")
    assert [one.name for one in read_names(path)] == ["Ann Lee", "Bea Moe, Jr.", "Cy Roe, III"]
    path.write_bytes(b'name,id\r"Ann Lee",1\r\rBea Moe,2\r')
    assert [one.name for one in read_names(path)] == ["Ann Lee", "Bea Moe"]
