"""The authors' lists: read with their columns, never trusted further than they go. All names here are invented."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.web import write_faces

from idbench.api import Silent
from idbench.errors import DataError
from idbench.splits import Split, find_recipe, lint
from idbench.splits.cc3m.published import FILES, build_published, read_lists
from idbench.splits.recipe import SourcedRecipe, Sources

NEEDED = ("num_samples_with_name_in_cap", "openclip_percentage_correct_preds", "resnet50_percentage_correct_preds")


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    """Twenty people with four photos each; members are those whom CC3M shows more of."""
    monkeypatch.setenv("BENCH_ATTACK_PHOTOS", "3")
    monkeypatch.setenv("BENCH_PICTURE_SIDE", "48")
    faces = write_faces(tmp_path / "faces", 24, 4)
    names = sorted(place.name for place in faces.iterdir())[:20]
    lists = tmp_path / "lists"
    lists.mkdir()
    for i, file in enumerate(FILES):
        mine = names[i * 5 : i * 5 + 5]
        rates = [0.1 + 0.01 * k if "non" not in file else 0.02 + 0.02 * k for k in range(5)]
        table = pd.DataFrame({"name": mine, "num_samples_with_name_in_cap": range(100, 105), "gender": "m"})
        table["openclip_percentage_correct_preds"] = rates
        table["resnet50_percentage_correct_preds"] = [0.05] * 5
        table.to_csv(lists / file)
    return Sources(faces=faces, lists=lists)


def rewrite(folder: Path, file: str, **columns: object) -> None:
    pd.read_csv(folder / file, index_col=0).assign(**columns).to_csv(folder / file)


def folder(sources: Sources) -> Path:
    assert sources.lists is not None
    return sources.lists


def test_lists_are_read_with_their_own_evidence(sources: Sources) -> None:
    lists = read_lists(folder(sources))
    assert [one.member for one in lists.people].count(True) == 10
    assert all("_" not in one.name for one in lists.people)
    assert {one.confidence for one in lists.people if one.member} == {1.0}
    # 1 minus the larger of the two rates
    assert sorted({one.confidence for one in lists.people if not one.member}) == [0.9, 0.92, 0.94, 0.95]
    assert lists.confounding["num_samples_with_name_in_cap"] == 0.5
    assert lists.confounding["openclip_percentage_correct_preds"] == 0.98  # 96 pairs in order and 4 ties of 100
    assert "openclip_percentage_correct_preds alone" in lists.warning
    assert "AUC 0.98" in lists.warning


def test_the_split_says_that_membership_was_not_random(sources: Sources, tmp_path: Path) -> None:
    out = tmp_path / "split"
    out.mkdir()
    notes = build_published(sources, out, tmp_path / "corpora", Silent())
    assert "not assigned at random" in notes[0]
    assert [finding for finding in lint(out) if finding.severity == "error"] == []
    split = Split(out)
    assert split.corpora == ("cc3m+1", "cc3m+5", "cc3m+10", "cc3m+25", "cc3m+50", "cc3m+75")
    assert split.manifest.parts == {"test": 16, "calibration": 4}
    labels = split.labels("cc3m+25")
    assert set(labels.how) == {"author's list"}
    assert set(labels.occurrences[labels.member]) == {25}
    assert labels.member.sum() == 10
    assert all(len(one.photos) == 3 for one in split.identities)
    calibration = np.array([one.part == "calibration" for one in split.identities])
    assert labels.member[calibration].sum() == 2  # drawn among members and non-members apart
    assert not any(corpus.control for corpus in split.manifest.corpora)
    assert "not random" in (out / "README.md").read_text(encoding="utf-8")


def test_people_without_enough_photos_are_left_out_and_counted(sources: Sources, tmp_path: Path) -> None:
    assert sources.faces is not None
    for photo in sorted((sources.faces / read_lists(folder(sources)).people[0].name.replace(" ", "_")).iterdir())[:2]:
        photo.unlink()
    out = tmp_path / "split"
    out.mkdir()
    notes = build_published(sources, out, tmp_path / "corpora", Silent())
    assert "1 of 20 people have fewer than 3 photos, left out." in notes


def test_too_few_people_are_refused(sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_ATTACK_PHOTOS", "5")
    with pytest.raises(DataError, match="Only 0 members of the lists have 5 photos"):
        build_published(sources, tmp_path / "split", tmp_path / "corpora", Silent())


@pytest.mark.parametrize("column", ["name", *NEEDED])
def test_a_missing_column_is_named(sources: Sources, column: str) -> None:
    path = folder(sources) / FILES[0]
    pd.read_csv(path, index_col=0).drop(columns=column).to_csv(path)
    with pytest.raises(DataError, match=f"actors_members.csv lacks the column {column}"):
        read_lists(folder(sources))


def test_bad_lists_are_refused_in_one_sentence(sources: Sources) -> None:
    lists = folder(sources)
    rewrite(lists, FILES[1], openclip_percentage_correct_preds=["a lot"] * 5)
    with pytest.raises(DataError, match="something else than numbers"):
        read_lists(lists)
    rewrite(lists, FILES[1], openclip_percentage_correct_preds=[float("nan")] * 5)
    with pytest.raises(DataError, match="something else than numbers"):
        read_lists(lists)
    rewrite(lists, FILES[1], openclip_percentage_correct_preds=[12.0] * 5)
    with pytest.raises(DataError, match="something else than numbers"):
        read_lists(lists)
    (lists / FILES[1]).write_text("")
    with pytest.raises(DataError, match="not a list of people"):
        read_lists(lists)
    (lists / FILES[1]).write_text(f"name,{','.join(NEEDED)}\n")
    with pytest.raises(DataError, match="lists no people"):
        read_lists(lists)
    (lists / FILES[1]).unlink()
    with pytest.raises(DataError, match="There is no list"):
        read_lists(lists)


def test_nobody_may_be_a_member_and_a_non_member(sources: Sources) -> None:
    lists = folder(sources)
    twin = pd.read_csv(lists / FILES[0])["name"][0]
    rewrite(lists, FILES[3], name=[twin.upper(), "b", "c", "d", "e"])
    with pytest.raises(DataError, match="more than once"):
        read_lists(lists)


def test_it_is_registered_and_trains_nothing() -> None:
    recipe = find_recipe("cc3m-idia")
    assert isinstance(recipe, SourcedRecipe)
    assert (recipe.needs, recipe.corpora) == (("lists", "faces"), ())


@pytest.mark.skipif("IDBENCH_IDIA_LISTS" not in os.environ, reason="IDBENCH_IDIA_LISTS names no folder of real lists")
def test_the_real_lists_are_as_confounded_as_the_card_says() -> None:
    lists = read_lists(Path(os.environ["IDBENCH_IDIA_LISTS"]))
    assert [one.member for one in lists.people].count(True) == 100
    assert len(lists.people) == 200
    said = dict(zip(NEEDED, (0.64, 0.93, 0.75), strict=True))
    assert lists.confounding == pytest.approx(said, abs=0.006)
