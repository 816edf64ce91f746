"""Who is protected: half, in every stratum, by the seed alone; and the lists of people that are refused."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idbench.errors import IdbenchError
from idbench.runner.protection import draw_half, in_order, listed_people, protected_people
from idbench.splits import Split, load_split
from idbench.splits.injected.dealing import SALTED
from idbench.splits.manifest import MANIFEST_FILE, manifest_text
from idbench.splits.tables import read_rows, table_path, write_table
from idbench.splits.withholding import write_withheld


@given(strata=st.lists(st.sampled_from("abcde"), max_size=60), seed=st.integers(0, 2**63 - 1))
def test_half_of_everybody_and_of_each_stratum(strata: list[str], seed: int) -> None:
    drawn = draw_half(strata, seed)
    assert drawn.shape == (len(strata),)
    assert int(drawn.sum()) == len(strata) // 2
    for stratum, size in Counter(strata).items():
        inside = sum(bool(d) for d, s in zip(drawn, strata, strict=True) if s == stratum)
        assert abs(2 * inside - size) <= 1
    assert np.array_equal(drawn, draw_half(strata, seed))


def test_other_seeds_draw_others_and_each_person_half_of_the_time() -> None:
    strata = [i % 4 for i in range(40)]
    often = np.mean([draw_half(strata, seed) for seed in range(400)], axis=0)
    assert np.abs(often - 0.5).max() < 0.15
    assert not np.array_equal(draw_half(strata, 0), draw_half(strata, 1))


@pytest.fixture
def split() -> Split:
    return load_split("avatars-tiny")


def test_protected_people_are_balanced_over_membership_and_pictures(split: Split) -> None:
    people = protected_people(split, 5)
    assert len(set(people)) == len(people) == sum(i.part == "test" for i in split.identities) // 2
    assert all(split.identities[i].part == "test" for i in people)
    for corpus in split.corpora:
        labels = split.labels(corpus)
        test = [i for i, identity in enumerate(split.identities) if identity.part == "test"]
        everybody = Counter((bool(labels.member[i]), int(labels.occurrences[i])) for i in test)
        protected = Counter((bool(labels.member[i]), int(labels.occurrences[i])) for i in people)
        assert {key: 2 * count for key, count in protected.items()} == everybody


def test_the_order_of_the_protected_says_nothing_of_membership(split: Split) -> None:
    people = protected_people(split, 0)
    assert people == in_order(split, people[::-1])
    names = [split.identities[i].name for i in people]
    assert names != sorted(names)
    assert list(people) != sorted(people)


def test_without_labels_half_is_drawn_at_large(split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(corpus: str) -> None:
        raise AssertionError("labels were read")

    monkeypatch.setattr(split, "labels", refuse)
    monkeypatch.setattr(split, "manifest", split.manifest.model_copy(update={"withheld": object()}))
    assert len(protected_people(split, 0)) == sum(i.part == "test" for i in split.identities) // 2


def salted(split: Split, folder: Path) -> Split:
    """The same split with labels as they follow from a secret seed."""
    shutil.copytree(split.folder, folder)
    rows = [(*row[:4], f"{SALTED}{i:032x}", *row[5:]) for i, row in enumerate(read_rows(folder, "labels"))]
    table_path(folder, "labels").unlink()
    count, digest = write_table(folder, "labels", [rows])
    assert count == len(rows)
    digests = split.manifest.digests | {"labels": digest}
    (folder / MANIFEST_FILE).write_text(manifest_text(split.manifest.model_copy(update={"digests": digests})))
    return Split(folder)


def test_whoever_holds_the_labels_protects_the_same_people_as_who_does_not(split: Split, tmp_path: Path) -> None:
    whole = salted(split, tmp_path / "whole")
    write_withheld(whole, tmp_path / "public")
    public = Split(tmp_path / "public")
    assert public.digest == whole.digest, "so that runs on both have one id"
    for seed in range(5):
        assert protected_people(public, seed) == protected_people(whole, seed)
    assert protected_people(whole, 0) != protected_people(whole, 1)


def test_a_list_names_people_of_the_split_in_whatever_order(split: Split, tmp_path: Path) -> None:
    names = [identity.name for identity in split.identities[:3]]
    path = tmp_path / "names.csv"
    path.write_bytes("\ufeffname,why\r\n".encode() + "".join(f'"{name}",asked\r\n' for name in names).encode())
    found = listed_people(split, path)
    assert sorted(found) == [0, 1, 2]
    path.write_text("name\n" + "".join(f"{name}\n" for name in names[::-1]))
    assert listed_people(split, path) == found
    plain = tmp_path / "names.txt"
    plain.write_text("".join(f"{name}\n" for name in names))
    assert listed_people(split, plain) == found


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no names"),
        (b"name\n", "holds no names"),
        (b"who\nBo\n", "no column `name`"),
        (b"name\nNobody Atall\n", "nobody in avatars-tiny bears that name"),
        (b"name\n{0}\n{0}\n", "row 3 repeats row 2: '{0}'"),
        (b"id,name\n1,{0}\n2,{0}\n", "lists '{0}' more than once"),
        (b"name\n \n", "holds no names"),
        (b"id,name\n1,\n", "row 2 holds no name"),
        (b"name\n\xff\xfe\n", "row 2: this is not UTF-8"),
        (b'name\n"Bo\n', "is not CSV"),
    ],
)
def test_lists_that_cannot_be_used_are_refused(split: Split, tmp_path: Path, content: bytes, says: str) -> None:
    bearer = split.identities[0].name
    path = tmp_path / "names.csv"
    path.write_bytes(content.replace(b"{0}", bearer.encode()))
    with pytest.raises(IdbenchError, match=says.replace("{0}", bearer)):
        listed_people(split, path)
    with pytest.raises(IdbenchError, match="does not exist"):
        listed_people(split, tmp_path / "missing.csv")
