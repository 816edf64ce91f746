"""Published and private splits as a person types them: build, show, lint, audit, subset, run, and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from tests.conftest import Bench, refused
from tests.web import picture, write_faces

from idbench.splits.avatars.names import FIRST_NAMES, LAST_NAMES


@pytest.fixture
def lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Invented lists of counts and addresses, in the authors' layout."""
    folder = tmp_path / "upstream"
    (folder / "laion_european_celebs" / "actors").mkdir(parents=True)
    names = [f"{FIRST_NAMES[i]} {LAST_NAMES[i]}" for i in range(30)]
    for name in names[:6]:
        (folder / "laion_european_celebs" / "actors" / f"{name.replace(' ', '_')}.txt").write_text(
            "http://x.invalid/1\n"
        )
    counts = [0] * 3 + list(range(1, 28))
    table = pd.DataFrame({"name": names, "count": counts, "bin": "[0, 25)"})
    table["membership"] = ["member" if count else "non_member" for count in counts]
    table.to_csv(folder / "laion_membership_occurence_count.csv")
    surnames = pd.DataFrame({"SURNAME": [name.upper() for name in LAST_NAMES], "FREQUENCY (COUNT)": "1"})
    surnames.to_csv(folder / "common_last_names_US_2010.csv", index=False)
    old = folder / "laion_german_non_members"
    old.mkdir()
    for name in names[2:4]:
        (old / f"{name.replace(' ', '_')}.txt").write_text("http://x.invalid/2\n")
    return folder


@pytest.fixture
def own_cache(bench: Bench, tmp_path: Path) -> Bench:
    """`bench` with a cache of its own: what is built here stays here."""
    bench.environment["BENCH_CACHE"] = str(tmp_path / "cache")
    return bench


def test_a_published_split_from_lists_to_verdict(own_cache: Bench, lists: Path) -> None:
    bench = own_cache
    assert "is not built on this machine yet" in refused(bench("data", "lint", "laion-facescrub"))
    done = bench("data", "build", "laion-facescrub", "--source", str(lists))
    assert done.returncode == 0, done.stderr
    assert "30 identities for test" in " ".join(done.stdout.split())
    linted = bench("data", "lint", "laion-facescrub", "--json")
    assert linted.returncode == 0, linted.stderr
    found = json.loads(linted.stdout)
    assert "3 non-members resolve no rate below 33.3 %" in found["sentences"][0]
    assert any("27 members against 3 non-members" in row["message"] for row in found["findings"])
    audited = bench("data", "audit", "laion-facescrub")
    assert audited.returncode == 1, audited.stderr
    assert "3 non-members resolve no rate below 33.3 %" in audited.stdout
    assert "no control target" in audited.stdout
    assert "130 members and 130 non-members" in audited.stdout


def test_both_generations_are_shown(own_cache: Bench, lists: Path) -> None:
    assert own_cache("data", "build", "german-celebrities", "--source", str(lists)).returncode == 0
    shown = own_cache("show", "german-celebrities")
    assert "1 of 2 in the first source changed sides, 1 stayed, 0 were dropped; 4 were added" in shown.stdout
    assert shown.stdout.count("changed sides") == 2  # the sentence, and a row of the table
    assert "4 people are in the last source alone" in shown.stdout
    assert shown.stdout.count("│ added") == 0  # hundreds of them would hide who is contested
    rows = json.loads(own_cache("show", "german-celebrities", "--json").stdout)["label_sources"]
    assert sorted(row["outcome"] for row in rows) == ["added"] * 4 + ["changed sides", "the same"]


def test_targets_of_laion_are_meant_by_all_and_missed_in_one_sentence(own_cache: Bench, lists: Path) -> None:
    assert own_cache("data", "build", "laion-facescrub", "--source", str(lists)).returncode == 0
    listed = json.loads(own_cache("list", "targets", "--json").stdout)
    assert {"laion400m-vit-b-16", "laion400m-vit-b-32", "laion400m-vit-l-14"} <= {row["name"] for row in listed}
    error = refused(own_cache("run", "--method", "tuni", "--split", "laion-facescrub", "--target", "all"))
    assert "laion400m_e32" in error
    assert "is not on this machine" in error or "are not on this machine" in error
    error = refused(own_cache("run", "--method", "cosine", "--split", "laion-facescrub", "--target", "avatars-0"))
    assert "cosine needs photos, and 30 of 30 identities of laion-facescrub have none" in error


def test_ten_people_and_a_table_are_a_split(own_cache: Bench, tmp_path: Path) -> None:
    bench = own_cache
    names = sorted(place.name for place in write_faces(tmp_path / "faces", 10, 2).iterdir())
    table = tmp_path / "labels.csv"
    table.write_text("name,member\n" + "".join(f"{name},{'yes' if i % 2 else 'no'}\n" for i, name in enumerate(names)))
    made = bench("data", "new", "my-split", "--faces", "faces", "--labels", "labels.csv")
    assert made.returncode == 0, made.stderr
    linted = bench("data", "lint", "my-split")
    assert linted.returncode == 0, linted.stdout
    assert "verdict: too few" in linted.stdout
    shown = json.loads(bench("show", "my-split", "--json").stdout)
    assert (shown["members of my-split"], shown["photos"]) == (5, 20)
    audited = bench("data", "audit", "my-split", "--json")
    assert audited.returncode == 1, audited.stderr
    assert "cannot show whether an attack turns around" in json.loads(audited.stdout)["missing"]
    asked = bench("data", "audit", "my-split", "-m", "cosine", "-m", "idia").stdout
    assert "cosine, idia were not run" in " ".join(asked.split())
    assert "bench run --split my-split -m cosine -m idia --target REF" in " ".join(asked.split())
    assert "There is no attack called 'cosin'" in refused(bench("data", "audit", "my-split", "-m", "cosin"))
    assert "cannot show whether" in " ".join(bench("data", "audit", "my-split", "--dry-run").stdout.split())
    ran = bench("run", "--method", "cosine", "--split", "my-split", "--target", "avatars-0", "--corpus", "my-split")
    assert ran.returncode == 0, ran.stderr
    assert "5 members, 5 non-members" in ran.stdout
    first = next(iter(sorted((tmp_path / "faces").glob("*/*.jpg"))))
    first.write_bytes(picture("somebody", 1))
    (tmp_path / "again").mkdir()
    remade = bench("data", "new", "my-split", "--faces", "faces", "--labels", "labels.csv", "--out", "again/my-split")
    assert remade.returncode == 0, remade.stderr
    compared = refused(bench("compare", "cosine", "blind-names", "--split", "again/my-split", "--target", "avatars-0"))
    assert "no run of 'cosine'" in compared
    run = json.loads(next((tmp_path / "results").glob("*/avatars-0/cosine-*/run.json")).read_text())
    assert "the same version with other photos" in refused(bench("score", run["run_id"], "--split", "again/my-split"))
    kept = (tmp_path / "my-split" / "manifest.json").read_bytes()
    repeated = refused(bench("data", "new", "my-split", "--faces", "faces", "--labels", "labels.csv"))
    assert "my-split holds a split already, whose records and retractions belong to its people's ids" in repeated
    assert (tmp_path / "my-split" / "manifest.json").read_bytes() == kept
    (tmp_path / "my-split" / "mine.txt").write_text("beside it")
    assert "mine.txt" in refused(bench("data", "new", "my-split", "--faces", "faces", "--labels", "labels.csv"))
    assert "There is a split 'avatars' already" in refused(
        bench("data", "new", "avatars", "--faces", "faces", "--labels", "labels.csv")
    )


def test_subsets_are_splits(own_cache: Bench, lists: Path) -> None:
    bench = own_cache
    assert bench("data", "build", "laion-facescrub", "--source", str(lists)).returncode == 0
    assert bench("data", "subset", "laion-facescrub", "few-captions", "--out", "few").returncode == 0
    assert json.loads(bench("show", "few", "--json").stdout)["test identities"] == 30
    assert "few-captions" in refused(bench("data", "subset", "laion-facescrub", "fewcaptions", "--out", "x"))
