"""A split of a person's own people: from a folder and a table, from tables alone, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image
from tests.web import write_faces

from idbench.api import Silent
from idbench.errors import DataError
from idbench.splits import Split, lint
from idbench.splits.given import Inputs, assemble, read_table


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Ten fictional people with three photos each."""
    return write_faces(tmp_path / "faces", 10, 3)


def names(faces: Path) -> list[str]:
    return sorted(place.name for place in faces.iterdir())


def write(path: Path, heading: str, rows: list[str]) -> Path:
    path.write_text("\n".join([heading, *rows]) + "\n", encoding="utf-8")
    return path


def inputs(tmp_path: Path, **given: Path | str | None) -> Inputs:
    values: dict[str, Path | str | None] = {
        "name": "mine", "labels": None, "identities": None, "photos": None, "candidates": None, "corpus": "theirs",
        "seed": "s" * 16,
    }  # fmt: skip
    return Inputs(**(values | given))  # type: ignore[arg-type]


def made(tmp_path: Path, given: Inputs, where: str = "split") -> tuple[Split, str]:
    out = tmp_path / where
    out.mkdir()
    _, notes = assemble(given, out, Silent())
    assert [finding for finding in lint(out) if finding.severity == "error"] == []
    return Split(out), " ".join(notes)


def test_a_folder_and_a_table_make_a_split(faces: Path, tmp_path: Path) -> None:
    labels = write(
        tmp_path / "labels.csv",
        "\ufeffName;Member",
        [f"{n};{'yes' if i < 4 else 'No'}" for i, n in enumerate(names(faces))],
    )
    split, notes = made(tmp_path, inputs(tmp_path, photos=faces, labels=labels))
    assert notes == ""
    assert split.manifest.parts == {"test": 10, "calibration": 0}  # too few to be divided
    found = split.labels("theirs")
    assert (int(found.member.sum()), set(found.occurrences[found.member])) == (4, {-1})
    assert all(len(identity.photos) == 3 for identity in split.identities)
    assert {identity.name for identity in split.identities} < set(split.candidate_names)
    assert "Do not publish" in (split.folder / "README.md").read_text(encoding="utf-8")
    same, _ = made(tmp_path, inputs(tmp_path, photos=faces, labels=labels), "same")
    other, _ = made(tmp_path, inputs(tmp_path, photos=faces, labels=labels, seed="t" * 16), "other")
    assert same.digest == split.digest
    assert not {one.id for one in other.identities} & {one.id for one in split.identities}


def test_labels_that_went_through_floats_are_labels(faces: Path, tmp_path: Path) -> None:
    """Tables with a gap come out of pandas, and of spreadsheet programs, with 1.0 for yes."""
    rows = [f"{n},{float(i < 4)}" for i, n in enumerate(names(faces))]
    split, _ = made(tmp_path, inputs(tmp_path, photos=faces, labels=write(tmp_path / "l.csv", "name,member", rows)))
    assert int(split.labels("theirs").member.sum()) == 4


@pytest.mark.parametrize("begin", [b"PK\x03\x04rest", b"\xd0\xcf\x11\xe0rest"])
def test_workbooks_are_called_by_their_name(begin: bytes, tmp_path: Path) -> None:
    (tmp_path / "people.xlsx").write_bytes(begin)
    with pytest.raises(DataError, match="a workbook of a spreadsheet program") as caught:
        read_table(tmp_path / "people.xlsx")
    assert "CSV" in caught.value.hint


def test_tables_alone_make_a_split_with_ids_parts_and_a_control(tmp_path: Path) -> None:
    people = write(
        tmp_path / "people.tsv",
        "identity\tname\tpart",
        [f"id{i}\tFirst{i} Last{i}\t{'calibration' if i > 5 else 'test'}" for i in range(8)],
    )
    rows = [f"id{i},a,{i % 2},{i % 2 * 3},0.5,seen" for i in range(8)] + [f"id{i},zero,0,0,1,built" for i in range(8)]
    labels = write(tmp_path / "labels.csv", "identity,corpus,member,occurrences,confidence,how", rows)
    pool = write(tmp_path / "names.txt", "FIRST1  last1", ["Somebody Else", "Somebody Else"])
    split, _ = made(tmp_path, inputs(tmp_path, identities=people, labels=labels, candidates=pool))
    assert split.corpora == ("a", "zero")
    assert [corpus.control for corpus in split.manifest.corpora] == [False, True]
    assert split.manifest.parts == {"test": 6, "calibration": 2}
    assert sorted(split.labels("a").occurrences) == [0, 0, 0, 0, 3, 3, 3, 3]
    assert set(split.labels("a").confidence) == {0.5}
    assert len(split.candidate_names) == 9  # another spelling of a real name is not a candidate of its own


def test_labels_as_the_search_writes_them_are_read(faces: Path, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from idbench.splits.tables import arrow_schema

    people = write(tmp_path / "people.csv", "identity,name", [f"p{i},{n}" for i, n in enumerate(names(faces))])
    found = [("web", f"p{i}", i % 2 == 0, i % 2 == 0, "caption search v1", 0.7) for i in range(8)]  # two are undecided
    table = pa.table(
        list(zip(*found, strict=True)), schema=arrow_schema("labels").set(3, pa.field("occurrences", pa.bool_()))
    )
    pq.write_table(table.cast(arrow_schema("labels")), tmp_path / "labels.parquet")
    given = inputs(tmp_path, identities=people, photos=faces, labels=tmp_path / "labels.parquet")
    split, notes = made(tmp_path, given)
    assert len(split.identities) == 8
    assert "2 people have no label and are left out" in notes
    assert set(split.labels("web").how) == {"caption search v1"}


def test_photos_in_a_table_and_people_without_any(faces: Path, tmp_path: Path) -> None:
    who = names(faces)
    people = write(tmp_path / "people.csv", "name", who)
    labels = write(tmp_path / "labels.csv", "name,member", [f"{n},{i % 2}" for i, n in enumerate(who)])
    rows = [f"{n},faces/{n}/00.jpg" for n in who[:9]] + [f"{who[0]},faces/nowhere.jpg"]
    photos = write(tmp_path / "photos.csv", "name,path", rows)
    split, notes = made(tmp_path, inputs(tmp_path, identities=people, labels=labels, photos=photos))
    assert len(split.identities) == 9
    assert "1 photo is not there: faces/nowhere.jpg" in notes
    assert "1 person has no photo that can be used and is left out" in notes


def test_photos_of_a_table_are_judged_like_those_of_a_folder(faces: Path, tmp_path: Path) -> None:
    first, *_ = who = names(faces)
    (faces / first / "cut.jpg").write_bytes((faces / first / "00.jpg").read_bytes()[:300])
    Image.new("RGB", (64, 64), (9, 9, 9)).save(faces / first / "pocket.png")
    shutil.copy(faces / first / "00.jpg", faces / first / "again.jpg")
    rows = [f"{n},faces/{n}/{file.name}" for n in who for file in sorted((faces / n).iterdir())]
    photos = write(tmp_path / "photos.csv", "name,path", [*rows, rows[0]])
    people = write(tmp_path / "people.csv", "name", who)
    labels = write(tmp_path / "labels.csv", "name,member", [f"{n},{i % 2}" for i, n in enumerate(who)])
    split, notes = made(tmp_path, inputs(tmp_path, identities=people, labels=labels, photos=photos))
    assert {len(one.photos) for one in split.identities} == {3}
    for words in ("1 photo cannot be opened", "1 photo is of one colour throughout", "1 photo is nearly the same"):
        assert words in notes


def test_tables_as_spreadsheets_and_the_search_write_them(faces: Path, tmp_path: Path) -> None:
    who = names(faces)
    people = tmp_path / "people.csv"  # old line ends, `ID` as in lists of names for the search, capitals in the part
    people.write_bytes(("ID;Name;Part\r" + "".join(f"p{i};{n};Test\r" for i, n in enumerate(who))).encode())
    labels = write(tmp_path / "labels.csv", "id;member;confidence", [f"p{i};{i % 2};0,75" for i in range(len(who))])
    photos = write(tmp_path / "photos.csv", "id,path", [f"p{i},faces/{n}/00.jpg" for i, n in enumerate(who)])
    split, _ = made(tmp_path, inputs(tmp_path, identities=people, labels=labels, photos=photos))
    assert {one.id for one in split.identities} == {f"p{i}" for i in range(10)}
    assert set(split.labels("theirs").confidence) == {0.75}


def test_a_split_of_nobody_says_why_everybody_is_left_out(faces: Path, tmp_path: Path) -> None:
    people = write(tmp_path / "people.csv", "name", [f"Nobody Nr{chr(97 + i)}" for i in range(6)])
    labels = write(tmp_path / "labels.csv", "name,member", [f"Nobody Nr{chr(97 + i)},{i % 2}" for i in range(6)])
    with pytest.raises(DataError, match="6 people have no photo that can be used"):
        made(tmp_path, inputs(tmp_path, identities=people, labels=labels, photos=faces))
    (tmp_path / "labels.jsonl").write_text('{"name": "Nobody", "member": 1}\n')
    with pytest.raises(DataError, match="is JSON, not a table"):
        read_table(tmp_path / "labels.jsonl")


def test_an_identity_and_a_name_of_two_people_are_no_label_and_no_photo(faces: Path, tmp_path: Path) -> None:
    """Joined by either, every label would be somebody else's."""
    a, b, *_ = names(faces)
    people = write(tmp_path / "people.csv", "identity,name", [f"p1,{a}", f"p2,{b}"])
    right = write(tmp_path / "right.csv", "identity,name,member", [f"p1,{a.upper()},yes", "p2,Her Other Name,no"])
    wrong = write(tmp_path / "wrong.csv", "identity,name,member", [f"p1,{b},yes", f"p2,{a},no"])
    made(tmp_path, inputs(tmp_path, identities=people, photos=faces, labels=right))
    with pytest.raises(DataError, match=r"wrong\.csv, row 1: the identity 'p1' and the name .* two people"):
        made(tmp_path, inputs(tmp_path, identities=people, photos=faces, labels=wrong), "wrong")
    photos = write(tmp_path / "ph.csv", "identity,name,path", [f"p1,{a},faces/{a}/0.jpg", f"p2,{a},faces/{a}/1.jpg"])
    for n, file in enumerate(sorted((faces / a).iterdir())[:2]):
        file.rename(faces / a / f"{n}.jpg")
    with pytest.raises(DataError, match=r"ph\.csv, row 2: the identity 'p2' and the name .* two people"):
        made(tmp_path, inputs(tmp_path, identities=people, photos=photos, labels=right), "photos")


def test_photos_of_people_who_are_not_on_the_list_are_counted(faces: Path, tmp_path: Path) -> None:
    a, b, *others = names(faces)
    people = write(tmp_path / "people.csv", "identity,name", [f"p1,{a}", f"p2,{b}"])
    labels = write(tmp_path / "l.csv", "identity,member", ["p1,yes", "p2,no"])
    _, notes = made(tmp_path, inputs(tmp_path, identities=people, photos=faces, labels=labels))
    assert f"{len(others)} people with photos are not on the list: " in notes


@pytest.mark.parametrize("name", ["12345", "http://x.invalid/a", "nan", "Lee, Ann"])
def test_what_cannot_be_a_name_is_neither_a_person_nor_a_candidate(faces: Path, tmp_path: Path, name: str) -> None:
    a, b, *_ = names(faces)
    labels = write(tmp_path / "l.csv", "name,member", [f"{a},yes", f"{b},no"])
    bad = write(tmp_path / "bad.csv", "name", [a, b, f'"{name}"'])
    with pytest.raises(DataError, match=r"bad\.csv, row 3: .* cannot be a name"):
        made(tmp_path, inputs(tmp_path, identities=bad, photos=faces, labels=labels))
    with pytest.raises(DataError, match=r"bad\.csv, row 3: .* cannot be a name"):
        made(tmp_path, inputs(tmp_path, photos=faces, labels=labels, candidates=bad), "candidates")


@pytest.mark.parametrize(
    ("heading", "rows", "message"),
    [
        ("name,member", ["{0},maybe"], "neither yes nor no"),
        ("name,member", ["{0},yes", "{1},yes"], "no members, or no non-members"),
        ("name,member", ["{0},yes", "{0},no"], "a second label"),
        ("name,known", ["{0},yes"], "not a table of labels"),
        ("name,member,occurrences", ["{0},yes,0"], "contradict"),
        ("name,member,occurrences", ["{0},yes,nan"], "not a number of occurrences"),
        ("name,member,confidence", ["{0},yes,nan"], "does not lie in 0..1"),
        ("name,member,member", ["{0},yes,no"], "two columns called member"),
        ("name,member", ["{0},yes,more"], "3 cells, but the heading has 2"),
        ("name,member", [], "no rows below its heading"),
    ],
)
def test_bad_labels_are_refused(faces: Path, tmp_path: Path, heading: str, rows: list[str], message: str) -> None:
    labels = write(tmp_path / "labels.csv", heading, [row.format(*names(faces)) for row in rows])
    with pytest.raises(DataError, match=message):
        made(tmp_path, inputs(tmp_path, photos=faces, labels=labels))


def test_bad_tables_of_people_are_refused(tmp_path: Path) -> None:
    labels = write(tmp_path / "labels.csv", "name,member", ["a,1", "b,0"])
    for rows, message in (
        (["a", "A"], "the name of row 1 more than once"),
        (["___"], "row 1: no name"),
    ):
        people = write(tmp_path / "people.csv", "name", rows)
        with pytest.raises(DataError, match=message):
            assemble(inputs(tmp_path, identities=people, labels=labels), tmp_path, Silent())
    (tmp_path / "people.csv").write_bytes(b"name\n\xff\xfe\n")
    with pytest.raises(DataError, match="is not UTF-8"):
        read_table(tmp_path / "people.csv")
    (tmp_path / "people.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="not a parquet table"):
        read_table(tmp_path / "people.parquet")
