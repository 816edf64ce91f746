"""`bench study` as a person types it, on the smallest split: runs, reuse, files, bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from tests.conftest import Bench, refused
from tests.kills import bench_killed_at_rename

TINY = ("--split", "avatars-tiny", "--targets", "avatars-a,avatars-b,avatars-0")


def test_studies_run_once_and_write_table_and_figure(bench: Bench, tmp_path: Path) -> None:
    planned = bench("study", "idia-by-photos", *TINY, "--dry-run", "--json")
    assert planned.returncode == 0, planned.stderr
    assert [run["state"] for run in json.loads(planned.stdout)["runs"]] == ["to run"] * 3
    assert not (tmp_path / "studies").exists()
    done = bench("study", "idia-by-photos", *TINY)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "studies" / "idia-by-photos-avatars-tiny"
    assert {path.suffix for path in folder.iterdir()} == {".csv", ".json", ".svg", ".png"}
    records = {path: path.read_bytes() for path in tmp_path.glob("results/avatars-tiny-30-v1/*/*/run.json")}
    assert len(records) == 3
    _numbers_are_those_of_the_records(tmp_path)
    planned = bench("study", "idia-by-photos", *TINY, "--dry-run", "--json")
    assert [run["state"] for run in json.loads(planned.stdout)["runs"]] == ["done"] * 3
    _files_survive_a_kill(bench, folder)
    # The second study of IDIA needs the same runs: it reads them.
    done = bench("study", "idia-by-training-pictures", *TINY, "--out", "here", "--json")
    assert done.returncode == 0, done.stderr
    assert {path: path.read_bytes() for path in tmp_path.glob("results/avatars-tiny-30-v1/*/*/run.json")} == records
    found = json.loads(done.stdout)
    assert found["points"] == json.loads((tmp_path / "here" / "idia-by-training-pictures.json").read_text())["points"]
    assert {p["pictures"] for p in found["points"]} == {"1", "2", "4", "8", "12", "16"}
    _no_names(tmp_path)


def _files_survive_a_kill(bench: Bench, folder: Path) -> None:
    """The kill comes when the second file of the study is about to take its place; runs are read from their records."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    places = ("--out", str(folder), "--results", str(bench.cwd / "results"))
    bench_killed_at_rename(2, "study", "idia-by-photos", *TINY, *places, of=str(folder))
    assert len(list(folder.iterdir())) == len(before) + 1
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert bench("study", "idia-by-photos", *TINY, "--dry-run").returncode == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def _no_names(folder: Path) -> None:
    from idbench.splits import load_split

    written = "".join(path.read_text() for path in folder.rglob("*") if path.suffix in (".csv", ".json", ".svg"))
    split = load_split("avatars-tiny")
    assert not [identity.name for identity in split.identities if identity.name in written]


def _numbers_are_those_of_the_records(tmp_path: Path) -> None:
    """TPR and FPR of the rule with all photos, recomputed from the scores and the labels alone."""
    table = tmp_path / "studies" / "idia-by-photos-avatars-tiny" / "idia-by-photos.csv"
    rows = [row for row in csv.DictReader(table.open()) if row["photos"] == "30"]
    from idbench.results import find_runs
    from idbench.splits import load_split

    split = load_split("avatars-tiny")
    for run in find_runs(tmp_path / "results"):
        series = {"avatars-a": "A", "avatars-b": "B", "avatars-0": "control"}[run.record.target.name]
        labels = split.labels("avatars-tiny-b" if series == "B" else "avatars-tiny-a")
        right = dict(zip(run.scores().identities, run.scores().scores, strict=True))
        for statistic, wanted in (("tpr_rule", True), ("fpr_rule", False)):
            people = [
                right[identity.id] >= 1
                for identity, member in zip(split.identities, labels.member, strict=True)
                if identity.part == "test" and bool(member) is wanted
            ]
            (row,) = [row for row in rows if (row["series"], row["statistic"]) == (series, statistic)]
            assert float(row["value"]) == pytest.approx(sum(people) / len(people), abs=1e-5)


def test_what_is_finished_is_measured_without_running_anything(bench: Bench, tmp_path: Path) -> None:
    assert "Nothing of tuni-at-length is finished" in refused(bench("study", "tuni-at-length", *TINY, "--so-far"))
    assert not list(tmp_path.glob("results/*/*/*/run.json"))


def test_by_epochs_says_what_it_would_train(bench: Bench) -> None:
    planned = bench("study", "by-epochs", *TINY, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    words = " ".join(planned.stdout.split())
    assert "would train avatars-0-11-epochs, avatars-0-22-epochs, avatars-0-5-epochs, avatars-0-50-epochs" in words


def test_list(bench: Bench) -> None:
    names = {"by-epochs", "defenses", "idia-by-photos", "idia-by-training-pictures", "tuni-at-length", "tuni-by-budget"}
    for arguments in (("study", "--json"), ("list", "studies", "--json")):
        assert {row["name"] for row in json.loads(bench(*arguments).stdout)} == names
    assert all(name in bench("study").stdout for name in names)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("study", "idia-by-foto"), "There is no study called 'idia-by-foto'. Did you mean 'idia-by-photos'?"),
        (("study", "idia-by-photos", "--split", "avatar"), "no split called 'avatar'"),
        (("study", "idia-by-photos", "--split", "avatars-tiny"), "needs two targets trained on its corpora"),
        (("study", "idia-by-photos", *TINY[:3], "avatars-a"), "needs three targets"),
        (("study", "tuni-by-budget", *TINY[:3], "avatars-a,avatars-b,nothing"), "no target called 'nothing'"),
        (("study", "tuni-by-budget", *TINY, "--seeds", "0"), "--seeds"),
    ],
)
def test_bad_arguments_give_one_sentence(bench: Bench, arguments: tuple[str, ...], sentence: str) -> None:
    assert sentence in refused(bench(*arguments))


def test_a_folder_that_cannot_be_written(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    error = refused(bench("study", "tuni-by-budget", *TINY, "--out", "file/out"))
    assert "in the way" in error
    assert "Name another place" in error
    assert not (tmp_path / "results").exists()
