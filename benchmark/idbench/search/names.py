"""Who is searched: identities with the spellings of their names, read from a file or taken from a split."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from idbench.errors import DataError
from idbench.storage import storage_errors


@dataclass(frozen=True, slots=True)
class Sought:
    """One identity that is searched.

    Args:
        identity: opaque id; the name itself where a list gives no ids.
        name: how the person is called in reports.
        spellings: every text that counts as the name, the name first.
    """

    identity: str
    name: str
    spellings: tuple[str, ...]


def read_names(path: Path) -> list[Sought]:
    """Identities from a UTF-8 text file with one name per line, or `identity<TAB>name`.

    Lines with the same identity are further spellings of its name.

    Raises:
        DataError: unreadable, empty, an empty line, the same line twice, or a name with control characters.
    """
    with storage_errors(path):
        content = path.read_bytes()
    try:
        lines = [line.rstrip("\r") for line in content.decode("utf-8-sig").split("\n")]
    except UnicodeDecodeError as error:
        wrong = content[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {wrong}: this is not UTF-8.", hint="Save the list as UTF-8.") from error
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DataError(f"{path} holds no names.", hint="Write one name per line, or identity<TAB>name.")
    seen: dict[tuple[str, str], int] = {}
    for number, line in enumerate(lines, start=1):
        entry = _entry(path, number, line)
        if entry in seen:
            raise DataError(
                f"{path}, line {number} repeats line {seen[entry]}: {entry[1]!r}.",
                hint="Remove one; two people with one name need identities: identity<TAB>name.",
            )
        seen[entry] = number
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
        raise DataError("There is nobody to search for.", hint="Give a list of names or a split with identities.")
    return [Sought(identity, names[0], tuple(dict.fromkeys(names))) for identity, names in spellings.items()]


def _entry(path: Path, number: int, line: str) -> tuple[str, str]:
    identity, tab, name = line.partition("\t")
    identity, name = identity.strip(), name.strip() if tab else identity.strip()
    if not (identity and name):
        raise DataError(f"{path}, line {number} holds no name.", hint="Remove the line, or write the name.")
    if not name.isprintable():
        raise DataError(
            f"{path}, line {number}: the name {name!r} holds a tab or another control character.",
            hint="Write one name per line, or identity<TAB>name.",
        )
    return identity, name
