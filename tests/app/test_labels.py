"""Boards of splits that cannot be opened here: labels come from a small file, the numbers are the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.app.fictional import with_id, write_about
from tests.app.reading import opened, text
from typer.testing import CliRunner

from idbench.api import Silent
from idbench.cli import board_inputs
from idbench.cli.leaderboard import app
from idbench.errors import DataError, StorageError, UnknownNameError
from idbench.results import SplitRef, collect, write_run
from idbench.splits import LintFinding, Split, load_split
from idbench_leaderboard.board import Board
from idbench_leaderboard.label_file import find_label_files, read_label_file


@pytest.fixture(scope="module")
def village(tmp_path_factory: pytest.TempPathFactory) -> Split:
    """A split in a folder that nobody registered; its photos count as photographs of real people."""
    folder = tmp_path_factory.mktemp("splits") / "village"
    shutil.copytree(load_split("avatars-tiny", Silent()).folder, folder)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest.update(name="village", source="photographs of people who do not exist", title="A village")
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return load_split(str(folder), Silent())


@pytest.fixture(scope="module")
def results(village: Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records about the village, with drawn scores that follow its labels."""
    folder = tmp_path_factory.mktemp("records")
    write_about(village, folder)
    return folder


def typed(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def labels(village: Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "village-v1" / "labels.json"
    assert "--labels" in typed("labels", village.folder, "--out", path)
    return path


def test_the_file_holds_no_name_and_no_photo(village: Split, labels: Path) -> None:
    printed = labels.read_text(encoding="utf-8")
    people = village.identities
    assert all(identity.id in printed for identity in people)
    assert not any(identity.name in printed or name in printed for identity in people for name in identity.name.split())
    assert not any(photo in printed for identity in people for photo in identity.photos)
    assert labels.stat().st_size < 200 * len(people) + 20_000


def test_the_numbers_are_those_of_the_opened_split(village: Split, results: Path, labels: Path, tmp_path: Path) -> None:
    typed("build", results, "--split", village.folder, "--out", tmp_path / "split")
    typed("build", results, "--labels", labels.parent.parent, "--out", tmp_path / "file")
    one, two = Board(tmp_path / "split"), Board(tmp_path / "file")
    assert len(one.entries) == 2
    for name in ("entries.parquet", "rates.parquet", "bins.parquet", "joint.parquet", "people.parquet"):
        assert (one.path / name).read_bytes() == (two.path / name).read_bytes(), name
    assert one.manifest["splits"] == two.manifest["splits"]
    assert not one.manifest["splits"][0]["public"]


def test_splits_of_both_kinds_share_a_board(village: Split, results: Path, labels: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "records")
    shutil.copy(labels, tmp_path / "records" / "village-v1" / "labels.json")
    drawn = load_split("avatars-tiny", Silent())
    for run in collect([results]).runs:
        split = SplitRef(name="avatars-tiny", version=1, digest=drawn.digest, commit=None)
        write_run(tmp_path / "records", with_id(run.record.model_copy(update={"split": split})), run.scores())
    printed = typed(
        "build", tmp_path / "records", "--labels", tmp_path / "records", "--out", tmp_path / "board", "--json"
    )
    assert json.loads(printed)["rejected"] == []
    board = Board(tmp_path / "board")
    assert board.splits() == ["avatars-tiny", "village"]
    aucs = board.entries.pivot_table(index="method", columns="split", values="auc")
    assert aucs["village"].tolist() == aucs["avatars-tiny"].tolist()
    cards = [board.split_card(name, 1) for name in board.splits()]
    assert [bool(card and card.samples) for card in cards] == [True, False]


def test_single_people_are_shown_only_where_that_was_allowed(
    village: Split, results: Path, labels: Path, tmp_path: Path
) -> None:
    typed("build", results, "--labels", labels, "--out", tmp_path / "board")
    held = b"".join(path.read_bytes() for path in (tmp_path / "board").iterdir())
    assert not any(identity.id.encode() in held for identity in village.identities)
    typed("labels", village.folder, "--public", "--out", tmp_path / "open.json")
    typed("build", results, "--labels", tmp_path / "open.json", "--out", tmp_path / "open")
    assert len(Board(tmp_path / "open").people("village", 1, village.corpora[0])) > 0
    typed("build", results, "--labels", labels, "--public", "village", "--out", tmp_path / "open")
    assert len(Board(tmp_path / "open").people("village", 1, village.corpora[0])) > 0


def test_the_page_says_why_it_shows_no_face(results: Path, labels: Path, tmp_path: Path) -> None:
    typed("build", results, "--labels", labels, "--out", tmp_path / "board")
    card = Board(tmp_path / "board").split_card("village", 1)
    assert card is not None
    assert not card.samples
    printed = text(opened("split", tmp_path / "board"))
    assert "A village" in printed
    assert "No face is shown, for these are real people." in printed


def test_what_the_audit_found_quotes_nobody(
    village: Split, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = village.identities[0].name
    finding = LintFinding("warning", "identities", f"{name} looks like somebody else")
    monkeypatch.setattr("idbench.splits.lint", lambda *_, **__: [finding])
    typed("labels", village.folder, "--out", tmp_path / "labels.json")
    typed("build", results, "--split", village.folder, "--out", tmp_path / "board")
    written = (tmp_path / "labels.json").read_text(encoding="utf-8")
    shown = (tmp_path / "board" / "about.json").read_text(encoding="utf-8")
    for sentence in (written, shown):
        assert "1 finding; `bench data lint village` lists them" in sentence
        assert name not in sentence


def test_without_split_and_file_records_are_set_aside_with_a_way_out(results: Path, tmp_path: Path) -> None:
    printed = " ".join(typed("build", results, "--out", tmp_path / "board", "--json").split())
    assert "no labels for split village v1" in printed
    assert "--labels" in printed


def test_registered_splits_that_were_not_built_here_stop_nothing(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str, _: object) -> Split:
        raise DataError(f"{name} was not built.", hint="Build it.")

    monkeypatch.setattr("idbench.splits.split_names", lambda: ["village"])
    monkeypatch.setattr("idbench.splits.load_split", absent)
    assert "no labels for split village v1" in typed("build", results, "--out", tmp_path / "board", "--json")


def test_people_who_left_after_the_file_was_written_leave_the_board(
    village: Split, results: Path, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = next(identity.id for identity in village.identities if identity.part == "test")
    monkeypatch.setattr("idbench.splits.retractions.retracted_here", lambda name: frozenset({gone, "stranger"}))
    typed("build", results, "--labels", labels, "--public", "village", "--out", tmp_path / "board")
    board = Board(tmp_path / "board")
    before = sum(identity.part == "test" for identity in village.identities)
    assert set(board.entries["n_members"] + board.entries["n_nonmembers"]) == {before - 1}
    assert gone not in set(board.people("village", 1, village.corpora[0])["identity"])
    assert board.manifest["splits"][0]["retracted"] == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("digest"), "digest: Field required"),
        (lambda d: d.update(names=["Somebody"]), "names: Extra inputs"),
        (lambda d: d.update(labels_version=2), "labels_version"),
        (lambda d: d["test"].append(d["test"][0]), "an id occurs twice"),
        (lambda d: d["retracted"].append(d["test"][0]), "a retracted id has labels"),
        (lambda d: next(iter(d["corpora"].values()))["members"].update(stranger=1), "'stranger' is a member"),
        (lambda d: next(iter(d["corpora"].values()))["members"].update({d["test"][0]: -2}), "is negative"),
    ],
)
def test_files_that_contradict_themselves_are_refused(
    labels: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    data = json.loads(labels.read_text(encoding="utf-8"))
    change(data)
    (tmp_path / "labels.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(DataError, match="is not a label file") as caught:
        read_label_file(tmp_path / "labels.json")
    assert words in caught.value.message
    assert "bench leaderboard labels" in caught.value.hint


def test_missing_empty_and_contradicting_files_are_refused(labels: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        read_label_file(tmp_path / "nowhere.json")
    (tmp_path / "labels.json").write_bytes(b"")
    with pytest.raises(DataError, match="is not a label file"):
        read_label_file(tmp_path / "labels.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no labels\.json below"):
        list(find_label_files(tmp_path / "empty"))
    data = json.loads(labels.read_text(encoding="utf-8"))
    (tmp_path / "labels.json").write_text(json.dumps({**data, "digest": "0" * 64}), encoding="utf-8")
    with pytest.raises(DataError, match="Two label files for village v1 differ"):
        board_inputs.gather((), (), (labels, tmp_path / "labels.json"), (), Silent())


def test_a_label_file_that_contradicts_the_registered_split_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    typed("labels", "avatars-tiny", "--out", path)
    typed("build", _nothing(tmp_path), "--labels", path, "--out", tmp_path / "board")
    data = json.loads(path.read_text(encoding="utf-8"))
    members = next(iter(data["corpora"].values()))["members"]
    members.pop(next(iter(members)))
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(DataError, match="contradicts the registered split avatars-tiny v1: 1 people have another"):
        typed("build", _nothing(tmp_path), "--labels", path, "--out", tmp_path / "board")


def test_two_label_files_with_one_digest_and_other_members_are_refused(labels: Path, tmp_path: Path) -> None:
    data = json.loads(labels.read_text(encoding="utf-8"))
    members = next(iter(data["corpora"].values()))["members"]
    members.pop(next(iter(members)))
    (tmp_path / "labels.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(DataError, match="Two label files for village v1 differ"):
        board_inputs.gather((), (), (labels, tmp_path / "labels.json"), (), Silent())


def test_a_split_that_is_called_public_must_be_on_the_board(results: Path, labels: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no split among the records called 'vilage'") as caught:
        typed("build", results, "--labels", labels, "--public", "vilage", "--out", tmp_path / "board")
    assert "Did you mean 'village'" in caught.value.hint


def _nothing(folder: Path) -> Path:
    (folder / "results").mkdir(exist_ok=True)
    return folder / "results"
