"""Who is searched for: identities with the spellings of their names, read from a list or taken from a split."""

from __future__ import annotations

import csv
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from idbench.errors import DataError
from idbench.storage import storage_errors

_LARGEST = 64 << 20
"""Bytes that a list of names may have: a million people with room to spare."""
_LONGEST = 120
"""Longest text, in characters, that is accepted as a name."""
_MOST_WORDS = 12
_FIRST_IDEOGRAPH = 0x2E80
"""Lowest code point at which a single character may be a name."""

_NAME = "name"
_IDENTITIES = ("identity", "id")
_DELIMITERS = (",", ";", "\t")
_MISSING = frozenset(("nan", "null", "none", "n/a", "#n/a", "<na>", "undefined"))
_NEVER_IN_NAMES = re.compile(r"[<>{}\[\]|\\=#%^*~@;:/]")
_SUFFIXES = re.compile(r", ?(?:jr|sr|i{1,3}|iv|v|md|phd|esq)\.?$", re.IGNORECASE)
_LIST_SIGNS = re.compile(r"\(?\d+[.):]\s|[-\u2013\u2022\u00b7+]\s")
_FORM = "Write one name per line, or identity<TAB>name, or a CSV file with a column `name`."


@dataclass(frozen=True, slots=True)
class Sought:
    """One identity that is searched for.

    Args:
        identity: opaque id; the name itself where a list gives no ids.
        name: how the person is called in reports.
        spellings: every text that counts as the name, the name first.
    """

    identity: str
    name: str
    spellings: tuple[str, ...]


def read_names(path: Path) -> list[Sought]:
    """Identities from a UTF-8 list: a name per line, `identity<TAB>name`, or CSV.

    A CSV file has a header with a column `name`, and may have one called `identity` or `id`; its other columns are not
    read. Commas, semicolons or tabs part its columns. Rows with the same identity are further spellings of its name.

    Raises:
        DataError: not a regular file of at most 64 MiB, not UTF-8, empty, or a row that repeats another one or holds
            what cannot be a name.
        StorageError: missing or unreadable.
    """
    text = _read(path)
    columns = _columns(path, text)
    rows = _csv_rows(path, text, columns) if columns else _lines(path, text)
    seen: dict[tuple[str, str], int] = {}
    for number, identity, name in rows:
        _check(path, number, identity, name)
        if (identity, name) in seen:
            raise DataError(
                f"{path}, row {number} repeats row {seen[identity, name]}: {name!r}.",
                hint="Remove one; two people with one name need identities: identity<TAB>name.",
            )
        seen[identity, name] = number
    if not seen:
        raise DataError(f"{path} holds no names.", hint=_FORM)
    return gather(seen)


def gather(entries: Iterable[tuple[str, str]]) -> list[Sought]:
    """Identities in the order of their first entry, each with all its spellings.

    Args:
        entries: pairs of identity and name.

    Raises:
        DataError: there are none.
    """
    spellings: dict[str, list[str]] = {}
    for identity, name in entries:
        spellings.setdefault(identity, []).append(name)
    if not spellings:
        raise DataError("There are no people to search for.", hint="Give a list of names or a split with identities.")
    return [Sought(identity, names[0], tuple(dict.fromkeys(names))) for identity, names in spellings.items()]


def _read(path: Path) -> str:
    """The text of a regular file of bounded size: anything else may never end."""
    with storage_errors(path):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise DataError(f"{path} is {what}, so it cannot be a list of names.", hint=_FORM)
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise DataError(f"{path} is larger than {_LARGEST >> 20} MiB, too large for a list of names.", hint=_FORM)
    try:
        return re.sub("\r\n?", "\n", content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        wrong = content[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, row {wrong}: this is not UTF-8.", hint="Save the list as UTF-8.") from error


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where a CSV file has what."""

    delimiter: str
    name: int
    identity: int | None
    count: int


def _columns(path: Path, text: str) -> _Columns | None:
    """The columns that a CSV file's header names; None for a plain list.

    Raises:
        DataError: the file calls itself CSV and has no column `name`.
    """
    header = text.lstrip("\n\r").partition("\n")[0]
    for delimiter in _DELIMITERS:
        cells = [cell.strip().casefold() for cell in next(csv.reader([header], delimiter=delimiter), [])]
        if _NAME in cells:
            identity = next((cells.index(column) for column in _IDENTITIES if column in cells), None)
            return _Columns(delimiter, cells.index(_NAME), identity, len(cells))
    if path.suffix.lower() == ".csv" and header.strip():
        raise DataError(
            f"{path} has no column `name`: its first row is {header.strip()[:80]!r}.",
            hint="Name the column of the names `name`, and the one of ids, if there is one, `identity`.",
        )
    return None


def _csv_rows(path: Path, text: str, columns: _Columns) -> Iterator[tuple[int, str, str]]:
    rows = csv.reader(text.splitlines(keepends=True), delimiter=columns.delimiter, strict=True)
    header, number = False, 0
    try:
        for number, cells in enumerate(rows, start=1):
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = True
                continue
            if len(cells) != columns.count:
                raise DataError(
                    f"{path}, row {number} has {len(cells)} columns; the header has {columns.count}.",
                    hint="Repair the row; put quotes around cells that hold the delimiter.",
                )
            name = cells[columns.name].strip()
            yield number, name if columns.identity is None else cells[columns.identity].strip(), name
    except csv.Error as error:
        raise DataError(f"{path}, row {number + 1} is not CSV: {error}.", hint="Repair the row.") from error


def _lines(path: Path, text: str) -> Iterator[tuple[int, str, str]]:
    lines = text.split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    for number, line in enumerate(lines, start=1):
        identity, tab, name = line.partition("\t")
        yield number, identity.strip(), name.strip() if tab else identity.strip()


def _check(path: Path, number: int, identity: str, name: str) -> None:
    """Refuse what cannot be a name: the search would not find it and would report the person absent."""
    if not (identity and name):
        what = "name" if not name else "identity"
        raise DataError(f"{path}, row {number} holds no {what}.", hint=f"Remove the row, or write the {what}.")
    wrong = unlike_a_name(name)
    if wrong:
        shown = name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..."
        raise DataError(f"{path}, row {number}: {shown!r} cannot be a name: {wrong}.", hint=_FORM)
    if not identity.isprintable():
        raise DataError(f"{path}, row {number}: the identity {identity!r} holds a control character.", hint=_FORM)


def unlike_a_name(name: str) -> str:
    """Why a text cannot be the name of a person; empty if it can."""
    unusable = next((char for char in name if unicodedata.category(char) in ("Cc", "Cs", "Co", "Zl", "Zp")), "")
    sign = _NEVER_IN_NAMES.search(name)
    letters = sum(map(str.isalpha, name)) > 1 or any(ord(char) >= _FIRST_IDEOGRAPH for char in name)
    reasons = (
        (bool(unusable), f"it holds the control character {unusable!r}"),
        (len(name) > _LONGEST, f"it is longer than {_LONGEST} characters"),
        (not letters, "it has fewer than two letters"),
        (name.casefold() in _MISSING, "it stands for a missing value"),
        (sign is not None, f"names hold no {sign[0]!r}" if sign else ""),
        (re.search(r",\S", name) or name.count(",") > 1, "it looks like a row of a table without a header"),
        (_LIST_SIGNS.match(name), "it begins with the number or the sign of a list"),
        (
            "," in name and not _SUFFIXES.search(name),
            "write the family name last, titles without a comma, and nothing that is no part of the name",
        ),
        (len(name.split()) > _MOST_WORDS, f"it has more than {_MOST_WORDS} words"),
    )
    return next((reason for wrong, reason in reasons if wrong), "")
