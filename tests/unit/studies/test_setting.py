"""Which targets a study takes, and what it says where it cannot be run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from idbench.api import Silent
from idbench.errors import DataError, IdbenchError, StorageError, UnknownNameError
from idbench.splits import Split, load_split
from idbench.studies.catalogue import STUDIES, run_study
from idbench.studies.photos import most_photos
from idbench.studies.setting import Setting, choose_audited

THREE = "avatars-a,avatars-b,avatars-0"


@pytest.fixture(scope="module")
def tiny() -> Split:
    return load_split("avatars-tiny")


def test_three_given_targets_are_judged_by_their_place(tiny: Split) -> None:
    audited = choose_audited(tiny, THREE)
    assert [(a.series, a.target.name, a.corpus) for a in audited] == [
        ("A", "avatars-a", "avatars-tiny-a"),
        ("B", "avatars-b", "avatars-tiny-b"),
        ("control", "avatars-0", "avatars-tiny-a"),
    ]
    assert all(a.target.sha256 for a in audited)


def test_a_split_without_targets_is_named(tiny: Split) -> None:
    with pytest.raises(DataError, match="two targets trained on its corpora and a control"):
        choose_audited(tiny, None)


@pytest.mark.parametrize("given", ["avatars-a,avatars-b", f"{THREE},avatars-a-rn101"])
def test_not_three_targets(tiny: Split, given: str) -> None:
    with pytest.raises(IdbenchError, match="needs three targets"):
        choose_audited(tiny, given)


def test_an_unknown_target(tiny: Split) -> None:
    with pytest.raises(UnknownNameError, match="avatars-x"):
        choose_audited(tiny, "avatars-a,avatars-x,avatars-0")


def test_an_unknown_study() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'idia-by-photos'"):
        STUDIES.load("idia-by-photo")


def with_photos(split: Split, few: int, every: int) -> Split:
    """The split in which each `every`-th person has only `few` photos."""
    changed = Split(split.folder)
    changed.identities = tuple(
        replace(identity, photos=identity.photos[:few]) if i % every == 0 else identity
        for i, identity in enumerate(changed.identities)
    )
    return changed


def test_as_many_photos_as_half_of_the_people_have(tiny: Split) -> None:
    assert most_photos(tiny, 30) == 3
    assert most_photos(with_photos(tiny, few=1, every=3), 30) == 3


@pytest.mark.parametrize("few", [0, 1])
def test_too_few_photos(tiny: Split, few: int) -> None:
    with pytest.raises(DataError, match="fewer than two photos"):
        most_photos(with_photos(tiny, few, every=1), 30)


def test_the_folder_is_tried_before_anything_runs(tiny: Split, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    setting = Setting(tiny, choose_audited(tiny, THREE), (0,), tmp_path / "results")
    with pytest.raises(StorageError, match="in the way") as caught:
        run_study(STUDIES.load("tuni-by-budget"), setting, tmp_path / "file" / "out", Silent())
    assert "--out" in caught.value.hint
    assert not (tmp_path / "results").exists()
