"""Photos of a split from a small web: what arrives, what is dead, what is tried again, what everybody has in common."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.web import Web, serving

from idbench.api import Silent
from idbench.errors import DataError
from idbench.splits import Split
from idbench.splits.assembling import Address, Assembly, Claim, ListedPerson, write_assembly
from idbench.splits.card import card_prose
from idbench.splits.cc3m.steps import Settings
from idbench.splits.injected.people import list_people
from idbench.splits.injected.writing import SplitDescription
from idbench.splits.manifest import CorpusInfo
from idbench.splits.published.photos import PLACEHOLDER, TABLE, fetch_photos, outcomes, read_table

QUICK = Settings(fetch_processes=1, fetch_threads=4, fetch_timeout=5, fetch_retries=0, picture_side=48)


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as served:
        yield served


def split_of(web: Web, folder: Path, paths: dict[str, list[str]]) -> Split:
    """Two or more people with addresses and without photos."""
    people = tuple(
        ListedPerson(f"id{i}", name, "test", name, (), tuple(Address(web.url(path)) for path in own))
        for i, (name, own) in enumerate(paths.items())
    )
    labels = tuple(Claim(person.id, "c", i == 0, int(i == 0), "a test", 1.0) for i, person in enumerate(people))
    assembly = Assembly(people, labels, tuple(paths), ("{name}",))
    about = SplitDescription(
        name="webbed", version=1, title="t", license="other", description="d", source="s",
        corpora=(CorpusInfo(name="c", title="c", control=False),), parts=assembly.parts,
        photo_format=assembly.photo_format, prose=card_prose("private"),
    )  # fmt: skip
    folder.mkdir()
    write_assembly(folder, about, assembly, Silent())
    return Split(folder)


def test_photos_arrive_and_failures_are_tried_again_when_asked(web: Web, tmp_path: Path) -> None:
    paths = {"Ann Bee": ["good/1", "gone/2", "page/3"], "Cay Dee": ["good/4", "good/5", "good/1"]}
    split, out = split_of(web, tmp_path / "split", paths), tmp_path / "photos"
    rows = fetch_photos(split, out, QUICK, Silent())
    found = outcomes(rows)
    assert found["fetched"] == 2
    assert found[PLACEHOLDER] == 2  # both have the picture good/1
    assert sum(found.values()) == 6
    assert {row.url for row in rows if row.outcome == "fetched"} == {web.url("good/4"), web.url("good/5")}
    assert all(len(row.sha256) == 64 and len(row.phash) == 16 for row in rows if row.outcome == "fetched")
    assert read_table(out / TABLE) == list(rows)
    (person,) = list_people(out).people
    assert (person.name, len(person.photos)) == ("Cay Dee", 2)

    asked = dict(web.asked)
    assert fetch_photos(split, out, QUICK, Silent()) == rows
    assert web.asked == asked  # nothing was asked for again
    fetch_photos(split, out, QUICK, Silent(), again=True)
    assert web.asked["gone/2"] == asked["gone/2"] + 1
    assert web.asked["good/4"] == asked["good/4"]


def test_what_cannot_be_fetched_is_refused(web: Web, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no addresses"):
        fetch_photos(split_of(web, tmp_path / "none", {"A B": [], "C D": []}), tmp_path / "x", QUICK, Silent())
    split = split_of(web, tmp_path / "split", {"A B": ["good/1"], "C D": ["good/2"]})
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / TABLE).write_text("identity,url,outcome,sha256,phash\nz,http://x.invalid,fetched,,\n")
    with pytest.raises(DataError, match="of another split"):
        fetch_photos(split, tmp_path / "y", QUICK, Silent())
    (tmp_path / "y" / TABLE).write_text("other\n")
    with pytest.raises(DataError, match="is not a table"):
        fetch_photos(split, tmp_path / "y", QUICK, Silent())
