"""Reads the user's tables of names, labels and photos, and turns them into the content of a split."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from idbench.api import Progress
from idbench.captions import FOLDED, unlike_a_name
from idbench.errors import DataError
from idbench.splits.assembling import UNKNOWN, Assembly, Claim, ListedPerson, parts_of, write_assembly
from idbench.splits.card import card_prose
from idbench.splits.injected.chance import hex_id
from idbench.splits.injected.people import (
    PeopleFolder,
    PhotographedPerson,
    candidate_names,
    name_of,
    read_people,
    usable_photos,
)
from idbench.splits.injected.writing import SplitDescription
from idbench.splits.manifest import CorpusInfo, Manifest, Part
from idbench.splits.published.candidates import POOL, PROMPTS
from idbench.splits.published.facescrub import facescrub_folders
from idbench.storage import read_bounded
from idbench.wording import counted

_BYTES: Final = 256 << 20
_SHOWN: Final = 3
_YES: Final = frozenset({"1", "1.0", "true", "yes", "y", "member"})
_NO: Final = frozenset({"0", "0.0", "false", "no", "n", "non-member", "non_member", "nonmember"})
_WORKBOOKS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How the files of spreadsheet programs begin: .xlsx and .ods, .xls."""
_MEMBER: Final = ("member", "membership", "label")
_LABELS: Final = "Columns: name (or identity), member (yes or no); corpus, occurrences, how, confidence may follow."


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a split is made of.

    Args:
        name: of the split.
        labels: a table of labels.
        identities: a table of names; None: everybody in `photos`.
        photos: a folder `NAME/*.jpg` (or by identity), or a table of paths; None: no photos.
        candidates: a list of names; None: those of the people, recombined.
        corpus: name of the training set for labels that name none.
        seed: a secret from which ids and order come.
    """

    name: str
    labels: Path
    identities: Path | None
    photos: Path | None
    candidates: Path | None
    corpus: str
    seed: str


@dataclass(frozen=True, slots=True)
class _Known:
    """Somebody on the list."""

    id: str
    name: str
    part: Part | None = None


class _Who:
    """Finds the people of a list by what a row of another table says of them."""

    def __init__(self, known: Sequence[_Known]) -> None:
        self.by_id = {one.id: one.id for one in known}
        self.by_name = {FOLDED(one.name): one.id for one in known}

    def identity(self, row: Mapping[str, str], where: str) -> str | None:
        """The id of the person whom a row means; None if nobody on the list.

        Raises:
            DataError: its identity is one person's, its name another's.
        """
        by_id = self.by_id.get(row.get("identity", ""))
        by_name = self.by_name.get(FOLDED(name_of(row.get("name", ""))))
        if by_id is not None and by_name not in (None, by_id):
            raise DataError(
                f"{where}: the identity {by_id!r} and the name {row['name']!r} are those of two people.",
                hint="Correct one of them.",
            )
        return by_id or by_name


@dataclass(slots=True)
class _Notes:
    sentences: list[str] = field(default_factory=list)

    def count(self, examples: Sequence[str], one: str, several: str) -> None:
        if examples:
            more = f" and {len(examples) - _SHOWN} more" if len(examples) > _SHOWN else ""
            what = counted(len(examples), one, several)
            self.sentences.append(f"{what}: {', '.join(examples[:_SHOWN])}{more}.")


def assemble(inputs: Inputs, out: Path, progress: Progress) -> tuple[Manifest, tuple[str, ...]]:
    """Write a private split; returns its manifest and what was left out, a sentence each.

    Args:
        inputs: what it is made of.
        out: an existing empty folder.
        progress: shows how far the photos are.

    Raises:
        DataError: a table or the photos cannot be used, or nobody is a member, or everybody.
        StorageError: a file cannot be read or written.
    """
    notes = _Notes()
    photos = _read_photos(inputs.photos, progress, notes)
    known = _read_identities(inputs, photos)
    if inputs.identities is not None and inputs.photos is not None:
        _compare(known, inputs.photos, photos, notes)
    claims = _read_labels(inputs, known, notes)
    chosen = _choose(known, photos if inputs.photos is not None else None, claims, notes)
    corpora = _corpora(inputs, chosen, claims, notes)
    people = _people(inputs, chosen, photos, claims, corpora[0].name)
    candidates = _candidates(inputs, people)
    assembly = Assembly(
        people=people,
        labels=tuple(claims[corpus.name, person.id] for corpus in corpora for person in people),
        candidates=candidates,
        prompts=PROMPTS,
    )
    return write_assembly(out, _about(inputs, assembly, corpora), assembly, progress), tuple(notes.sentences)


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV, TSV or parquet table by column, in lower case; empty cells are empty texts.

    Raises:
        DataError: not UTF-8, empty, without a heading, or a row that does not fit it.
        StorageError: it cannot be read.
    """
    if path.suffix.lower() == ".parquet":
        return _parquet(path)
    raw = read_bounded(path, _BYTES)
    if raw.startswith(_WORKBOOKS):
        raise DataError(f"{path} is a workbook of a spreadsheet program.", hint="Save its sheet as CSV in UTF-8.")
    try:
        text = re.sub("\r\n?", "\n", raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8.", hint="Save the table as UTF-8.") from error
    if text.lstrip().startswith(("{", "[")):
        raise DataError(f"{path} is JSON, not a table.", hint="Write it as CSV with a heading.")
    heading = text.partition("\n")[0]
    delimiter = max("\t;,", key=heading.count) if any(sign in heading for sign in "\t;,") else ","
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DataError(f"{path} is not a table: {error}.", hint="Write it as CSV with a heading.") from error
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    if len(rows) < 2:
        raise DataError(f"{path} has no rows below its heading.", hint="Write one row for each person.")
    columns = [column.strip().lower() for column in rows[0]]
    if again := [column for column, times in Counter(columns).items() if times > 1 and column]:
        raise DataError(f"{path} has two columns called {again[0]}.", hint="Rename one.")
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(columns):
            raise DataError(f"{path}, row {number}: {len(row)} cells, but the heading has {len(columns)}.")
    return [dict(zip(columns, (cell.strip() for cell in row), strict=True)) for row in rows[1:]]


def _rows_of_people(path: Path) -> list[dict[str, str]]:
    """A table in which identities may be called `id`, as in a list of names for the search."""
    rows = read_table(path)
    if "identity" in rows[0] or "id" not in rows[0]:
        return rows
    return [{"identity" if column == "id" else column: cell for column, cell in row.items()} for row in rows]


def _parquet(path: Path) -> list[dict[str, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a parquet table: {str(error).splitlines()[0]}.") from error
    if not rows:
        raise DataError(f"{path} has no rows.", hint="Write one row for each person.")
    return [{key.lower(): "" if value is None else str(value) for key, value in row.items()} for row in rows]


def _read_identities(inputs: Inputs, photos: Mapping[str, tuple[Path, ...]]) -> list[_Known]:
    if inputs.identities is None:
        names = sorted(photos)
        return [_Known(_new_id(inputs.seed, name), name) for name in names]
    rows = _rows_of_people(inputs.identities)
    if "name" not in rows[0]:
        raise DataError(
            f"{inputs.identities} has no column name.", hint="It needs the column name; identity and part may follow."
        )
    known = []
    for number, row in enumerate(rows, start=1):
        name, where = name_of(row["name"]), f"{inputs.identities}, row {number}"
        if not name:
            raise DataError(f"{where}: no name.", hint="Write the name, or remove the row.")
        known.append(_Known(row.get("identity") or _new_id(inputs.seed, name), name, _part(row.get("part", ""), where)))
    for what, values in (("name", [FOLDED(one.name) for one in known]), ("identity", [one.id for one in known])):
        again = next((value for value, times in Counter(values).items() if times > 1), None)
        if again is not None:
            raise DataError(
                f"{inputs.identities} has the {what} of row {values.index(again) + 1} more than once.",
                hint="Each person stands in one row; tell two people of one name apart by a middle name.",
            )
    for number, one in enumerate(known, start=1):
        _check_name(one.name, f"{inputs.identities}, row {number}")
    return known


def _check_name(name: str, where: str) -> None:
    if wrong := unlike_a_name(name):
        raise DataError(f"{where}: {name[:80]!r} cannot be a name: {wrong}.", hint="Correct it, or remove the row.")


def _part(text: str, where: str) -> Part | None:
    known: dict[str, Part | None] = {"": None, "test": "test", "calibration": "calibration"}
    if text.lower() in known:
        return known[text.lower()]
    raise DataError(f"{where}: the part {text!r} is neither test nor calibration.", hint="Write one of them, or none.")


def _new_id(seed: str, name: str) -> str:
    return hex_id(f"{seed}/person/{FOLDED(name)}/id", 12)


def _read_photos(photos: Path | None, progress: Progress, notes: _Notes) -> dict[str, tuple[Path, ...]]:
    """Files by name, or by identity where folders and tables speak of identities."""
    if photos is None:
        return {}
    if photos.is_dir():
        found: dict[str, tuple[Path, ...]] = {}
        for folder in facescrub_folders(photos):
            people = read_people(folder, progress)
            notes.sentences += people.notes
            found |= {person.name: person.photos for person in people.people}
        return found
    listed: dict[str, list[Path]] = defaultdict(list)
    missing = []
    for number, row in enumerate(read_table(photos), start=1):
        who = row.get("identity") or name_of(row.get("name", "")) or row.get("id", "")
        path = row.get("path", "")
        if not who or not path:
            raise DataError(
                f"{photos}, row {number}: no person or no path.",
                hint="It needs the columns name (or identity) and path, relative to the table's folder.",
            )
        file = photos.parent / path
        if file.is_file():
            listed[who].append(file)
        else:
            missing.append(path)
    notes.count(missing, "photo is not there", "photos are not there")
    usable = usable_photos(PeopleFolder(tuple(PhotographedPerson(*one) for one in _once(listed))), progress)
    notes.sentences += usable.notes
    return {person.name: person.photos for person in usable.people}


def _compare(known: Sequence[_Known], place: Path, photos: Mapping[str, tuple[Path, ...]], notes: _Notes) -> None:
    """Hold photos against the list of people: rows that name two of them, and photos of others."""
    who = _Who(known)
    if not place.is_dir():
        for number, row in enumerate(read_table(place), start=1):
            who.identity(row, f"{place}, row {number}")
    others = [one for one in photos if one not in who.by_id and FOLDED(one) not in who.by_name]
    notes.count(others, "person with photos is not on the list", "people with photos are not on the list")


def _once(listed: Mapping[str, Sequence[Path]]) -> list[tuple[str, tuple[Path, ...]]]:
    """The files of each person, each once."""
    return [(who, tuple(dict.fromkeys(files))) for who, files in listed.items()]


def _read_labels(inputs: Inputs, known: Sequence[_Known], notes: _Notes) -> dict[tuple[str, str], Claim]:
    listed = _Who(known)
    claims: dict[tuple[str, str], Claim] = {}
    strangers = []
    for number, row in enumerate(_rows_of_people(inputs.labels), start=1):
        where = f"{inputs.labels}, row {number}"
        column = next((name for name in _MEMBER if name in row), None)
        if column is None or not ("name" in row or "identity" in row):
            raise DataError(f"{inputs.labels} is not a table of labels.", hint=_LABELS)
        who = listed.identity(row, where)
        if who is None:
            strangers.append(row.get("name") or row.get("identity") or "(empty)")
            continue
        claim = _claim(inputs, where, who, row[column], row)
        if (claim.corpus, who) in claims:
            raise DataError(f"{where}: a second label of one person for {claim.corpus}.", hint="Keep one of them.")
        claims[claim.corpus, who] = claim
    notes.count(
        strangers,
        "label is of somebody who is not on the list or has no photo that can be used",
        "labels are of people who are not on the list or have no photo that can be used",
    )
    return claims


def _claim(inputs: Inputs, where: str, who: str, answer: str, row: Mapping[str, str]) -> Claim:
    member = answer.lower() in _YES
    if not member and answer.lower() not in _NO:
        raise DataError(f"{where}: {answer!r} is neither yes nor no.", hint="Write yes for members and no for others.")
    count = row.get("occurrences", "")
    occurrences = (UNKNOWN if member else 0) if not count else _whole(count, where)
    if occurrences != UNKNOWN and (occurrences > 0) != member:
        raise DataError(f"{where}: {count} occurrences contradict member {answer!r}.", hint="Correct one of them.")
    return Claim(
        who,
        row.get("corpus") or inputs.corpus,
        member,
        occurrences,
        row.get("how") or "given by the maker of the split",
        _share(row.get("confidence", ""), where),
    )


def _whole(text: str, where: str) -> int:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value.is_integer() and -1 <= value < 2**53):
        raise DataError(f"{where}: {text!r} is not a number of occurrences.", hint="Write a whole number, or nothing.")
    return int(value)


def _share(text: str, where: str) -> float:
    try:
        value = float(text.replace(",", ".")) if text else 1.0  # as spreadsheets write it in half of the world
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise DataError(f"{where}: the confidence {text!r} does not lie in 0..1.", hint="Correct it, or leave it out.")
    return value


def _choose(
    known: Sequence[_Known],
    photos: Mapping[str, tuple[Path, ...]] | None,
    claims: Mapping[tuple[str, str], Claim],
    notes: _Notes,
) -> list[_Known]:
    """Everybody with a label for every corpus, and a photo where there are photos."""
    corpora = {corpus for corpus, _ in claims}
    seen = set(_photos_by_id(known, photos)) if photos is not None else {one.id for one in known}
    unlabelled = [one for one in known if not all((corpus, one.id) in claims for corpus in corpora)]
    unseen = [one for one in known if one.id not in seen and one not in unlabelled]
    notes.count(
        [one.name for one in unlabelled], "person has no label and is left out", "people have no label and are left out"
    )
    notes.count(
        [one.name for one in unseen],
        "person has no photo that can be used and is left out",
        "people have no photo that can be used and are left out",
    )
    out = {one.id for one in (*unlabelled, *unseen)}
    return [one for one in known if one.id not in out]


def _photos_by_id(known: Sequence[_Known], photos: Mapping[str, tuple[Path, ...]]) -> dict[str, tuple[Path, ...]]:
    by_fold = {FOLDED(who): files for who, files in photos.items()}
    found = {one.id: photos.get(one.id) or by_fold.get(FOLDED(one.name), ()) for one in known}
    return {identity: files for identity, files in found.items() if files}


def _corpora(
    inputs: Inputs, chosen: Sequence[_Known], claims: Mapping[tuple[str, str], Claim], notes: _Notes
) -> tuple[CorpusInfo, ...]:
    """Corpora with members first; one that has nobody of the split is a control."""
    ids = {one.id for one in chosen}
    sides: dict[str, Counter[bool]] = defaultdict(Counter)
    for (corpus, identity), claim in claims.items():
        if identity in ids:
            sides[corpus][claim.member] += 1
    if not any(side[True] and side[False] for side in sides.values()):
        who = counted(len(chosen), "person", "people")
        what = f"{inputs.labels} has no members, or no non-members, among the {who} who can be used."
        raise DataError(
            " ".join([what, *notes.sentences]),
            hint="A split needs both: add people of the other kind, with photos.",
        )
    ordered = sorted(sides, key=lambda corpus: (not sides[corpus][True], corpus))
    return tuple(
        CorpusInfo(name=corpus, title=f"as labelled by the maker of {inputs.name}", control=not sides[corpus][True])
        for corpus in ordered
    )


def _people(
    inputs: Inputs,
    chosen: Sequence[_Known],
    photos: Mapping[str, tuple[Path, ...]],
    claims: Mapping[tuple[str, str], Claim],
    corpus: str,
) -> tuple[ListedPerson, ...]:
    ordered = sorted(chosen, key=lambda one: one.id)
    drawn = parts_of(inputs.seed, [claims[corpus, one.id].member for one in ordered])
    given = any(one.part for one in ordered)
    files = _photos_by_id(ordered, photos)
    return tuple(
        ListedPerson(
            one.id,
            one.name,
            (one.part or "test") if given else part,
            f"{inputs.seed}/person/{one.id}",
            files.get(one.id, ()),
        )
        for one, part in zip(ordered, drawn, strict=True)
    )


def _candidates(inputs: Inputs, people: Sequence[ListedPerson]) -> tuple[str, ...]:
    real = [person.name for person in people]
    if inputs.candidates is None:
        return candidate_names(inputs.seed, real, real, POOL)
    taken = {FOLDED(name) for name in real}
    more: dict[str, str] = {}
    for name in _names_of(inputs.candidates):
        key = FOLDED(name)
        if key and key not in taken:
            more.setdefault(key, name)
    return (*real, *more.values())


def _names_of(path: Path) -> Iterator[str]:
    try:
        text = read_bounded(path, _BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8.", hint="Save the list as UTF-8.") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{path} holds no names.", hint="Write one name per line.")
    if any(sign in lines[0] for sign in "\t;,") or lines[0].lower() == "name":
        rows = read_table(path)
        if "name" not in rows[0]:
            raise DataError(f"{path} has no column name.", hint="Write one name per line, or a column name.")
        lines = [row["name"] for row in rows]
    for number, line in enumerate(lines, start=1):
        if name := name_of(line):
            _check_name(name, f"{path}, row {number}")
            yield name


def _about(inputs: Inputs, assembly: Assembly, corpora: tuple[CorpusInfo, ...]) -> SplitDescription:
    return SplitDescription(
        name=inputs.name,
        version=1,
        title=f"{inputs.name}: people, labels and photos of its maker's own",
        license="other",
        description="A private split. Labels as given by its maker.",
        source="tables and photos of the maker's own",
        corpora=corpora,
        parts=assembly.parts,
        photo_format=assembly.photo_format,
        prose=card_prose("private").replace("# private\n", f"# {inputs.name}\n", 1),
    )
