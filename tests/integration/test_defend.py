"""`bench defend` and defenses of answers through the whole way: commands, workers, records, checkpoints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.conftest import Bench, refused

from idbench.results import Run, find_runs
from idbench.splits import load_split
from idbench.targets import resolve_target
from idbench.targets.fetch import fetch_target, pin_target

TINY = ("--split", "avatars-tiny", "--corpus", "avatars-tiny-a", "--target", "avatars-a")


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names.csv"
    path.write_text("name\n" + "".join(f"{one.name}\n" for one in load_split("avatars-tiny").identities[:5]))
    return path


def defend(bench: Bench, *more: str, target: str = "avatars-a", defense: str = "null-space") -> Any:
    return bench("defend", target, "--defense", defense, "--split", "avatars-tiny", *more)


def test_a_checkpoint_is_written_that_open_clip_loads(bench: Bench, tmp_path: Path, names: Path) -> None:
    import open_clip

    asked = ("--protect", str(names), "--out", "safe")
    planned = defend(bench, *asked, "--dry-run")
    assert "5 people" in planned.stdout, planned.stderr
    assert not (tmp_path / "safe").exists()
    done = defend(bench, *asked)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "safe"
    model = open_clip.create_model(f"local-dir:{folder}")
    weights = load_file(folder / "open_clip_model.safetensors")
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    lineage = json.loads((folder / "lineage.json").read_text())
    assert lineage["target"]["weights"]["base"]["name"] == "avatars-a"
    assert lineage["defense"]["name"] == "null-space"
    assert lineage["protected_people"] == 5
    assert lineage["defense"]["lineage"] in (folder / "README.md").read_text()
    everything = "".join(path.read_text() for path in folder.iterdir() if path.suffix in (".json", ".md"))
    assert not any(one.name in everything for one in load_split("avatars-tiny").identities)
    again = defend(bench, *asked)
    assert again.returncode == 0, again.stderr
    attacked = bench(
        "run", "-m", "cosine", *TINY[:4], "--target", f"file:{folder}/open_clip_model.safetensors?like=avatars-a"
    )
    assert attacked.returncode == 0, attacked.stderr


def test_what_cannot_be_defended_is_refused_in_one_sentence(bench: Bench, tmp_path: Path, names: Path) -> None:
    nobody = tmp_path / "nobody.csv"
    nobody.write_text("name\n")
    ghost = tmp_path / "ghost.csv"
    ghost.write_text("name\nNobody Atall\n")
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.txt").write_text("mine")
    out = ("--out", "safe")
    listed = ("--protect", str(names))
    for arguments, says in (
        (("--protect", str(nobody), *out), "holds no names"),
        (("--protect", str(ghost), *out), "nobody in avatars-tiny bears that name"),
        (("--protect", "missing.csv", *out), "does not exist"),
        ((*listed, "--out", "taken"), "holds what is not a defended checkpoint"),
        ((*listed, "--out", "names.csv"), "which this command reads"),
        ((*listed, "--out", "ghost.csv"), "is a file"),
        ((*listed, *out, "-p", "share=2"), "share of null-space"),
    ):
        assert says in refused(defend(bench, *arguments))
    assert (taken / "thesis.txt").read_text() == "mine"
    assert "no checkpoint to write" in refused(defend(bench, *listed, *out, defense="labels-only"))
    assert "no defense called" in refused(defend(bench, *listed, *out, defense="null-spce"))
    assert "no target called" in refused(defend(bench, *listed, *out, target="avatars-z"))
    wrong = tmp_path / "weights.safetensors"
    wrong.write_bytes(b"nothing")
    assert "damaged" in refused(defend(bench, *listed, *out, target=f"file:{wrong}?like=avatars-a"))
    assert not (tmp_path / "safe").exists()


@pytest.mark.parametrize(
    ("kept", "lacking", "defense"), [("visual.", "text", "null-space"), ("", "image", "identity-projection")]
)
def test_a_checkpoint_without_a_tower_is_refused_and_nothing_is_left(
    bench: Bench, tmp_path: Path, names: Path, kept: str, lacking: str, defense: str
) -> None:
    path = tmp_path / "half.safetensors"
    whole = fetch_target(pin_target(resolve_target("avatars-a"))).weights
    save_file({n: t for n, t in load_file(whole).items() if n.startswith("visual.") == bool(kept)}, path)
    done = defend(
        bench, "--protect", str(names), "--out", "safe", target=f"file:{path}?like=avatars-a", defense=defense
    )
    assert f"half.safetensors lacks the {lacking} tower" in refused(done)
    assert not (tmp_path / "safe").exists()


def test_a_defended_checkpoint_whose_tower_was_taken_out_is_refused(bench: Bench, tmp_path: Path, names: Path) -> None:
    assert defend(bench, "--protect", str(names), "--out", "safe").returncode == 0
    path = tmp_path / "safe" / "open_clip_model.safetensors"
    save_file({n: t for n, t in load_file(path).items() if not n.startswith("visual.")}, path)
    half = f"file:{path}?like=avatars-a"
    again = defend(bench, "--protect", str(names), "--out", "safer", target=half, defense="identity-projection")
    assert "lacks the image tower" in refused(again)
    assert not (tmp_path / "safer").exists()


def run_of(folder: Path, attack: str) -> Run:
    return next(run for run in find_runs(folder) if run.record.attack.name == attack and run.record.defense)


def behind(bench: Bench, folder: Path, defense: str, *more: str) -> Run:
    done = bench("run", "-m", "cosine", *TINY, "--defense", defense, "--results", str(folder), *more)
    assert done.returncode == 0, done.stderr
    return run_of(folder, "cosine")


def test_records_of_defended_answers_name_what_is_answered(bench: Bench, tmp_path: Path) -> None:
    defense = behind(bench, tmp_path / "results", "round").record.defense
    assert defense is not None
    assert defense.track == "answers"
    assert defense.access == ("LABEL", "SIMILARITY")
    assert defense.lineage is None
    assert defense.weights_sha256 is None


def test_no_more_is_asked_than_a_budget_allows(bench: Bench, tmp_path: Path) -> None:
    run = behind(bench, tmp_path / "results", "query-budget", "--defense-param", "budget=50")
    assert 0 < run.record.queries.pairs <= 50


def test_refused_names_move_the_protected_and_nobody_else(bench: Bench, tmp_path: Path) -> None:
    refusing = behind(bench, tmp_path / "results", "refuse-names")
    scores, defense = refusing.scores(), refusing.record.defense
    assert defense is not None
    plain = bench("run", "-m", "cosine", *TINY)
    assert plain.returncode == 0, plain.stderr
    runs = [run for run in find_runs(tmp_path / "results") if run.record.attack.name == "cosine"]
    before = next(run for run in runs if run.record.defense is None).scores()
    old = dict(zip(before.identities, before.scores, strict=True))
    # Other texts in a batch change the last bits of a float32.
    moved = {n for n, score in zip(scores.identities, scores.scores, strict=True) if abs(old[n] - score) > 1e-6}
    assert moved == set(defense.protected)


def test_an_attack_that_is_not_answered_is_left_out_or_refused(bench: Bench, tmp_path: Path) -> None:
    alone = bench("run", "-m", "cosine", *TINY, "--defense", "labels-only")
    assert "cosine cannot be carried out behind labels-only, which answers no SIMILARITY" in refused(alone)
    both = bench("run", "-m", "cosine", "-m", "idia", *TINY, "--defense", "labels-only", "--defense", "none")
    assert both.returncode == 0, both.stderr
    found = {
        (run.record.attack.name, run.record.defense.name if run.record.defense else None)
        for run in find_runs(tmp_path / "results")
        if run.record.attack.name in ("cosine", "idia")
    }
    assert found == {("cosine", None), ("idia", None), ("idia", "labels-only")}
    assert "cosine is left out: behind labels-only, which answers no SIMILARITY" in both.stdout


def install(bench: Bench, package: Path) -> None:
    """Install what `bench method new` wrote, for later commands."""
    folder = package.with_name("installed")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*command, "--target", str(folder), str(package)], check=True, capture_output=True)
    bench.environment["PYTHONPATH"] = os.pathsep.join((bench.environment["PYTHONPATH"], str(folder)))


def test_a_new_adaptation_is_written_installed_and_checked(bench: Bench, tmp_path: Path) -> None:
    made = bench("method", "new", "my-adaptation", "--adaptation")
    assert "bench run --method cosine --adapt my-adaptation" in made.stdout, made.stderr
    install(bench, tmp_path / "my-adaptation")
    checked = bench("method", "check", "my-adaptation", "--param", "share=0.3", "--json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    states = {one["what"]: one["state"] for one in json.loads(checked.stdout)}
    assert states == dict.fromkeys(("import", "parameters", "run", "scores", "same seed, same scores"), "ok")
    wrong = refused(bench("method", "check", "my-adaptation", "--param", "share=3"))
    assert "share of my-adaptation: Input should be less than or equal to 1" in wrong
    ran = bench("run", "-m", "cosine", *TINY, "--adapt", "my-adaptation", "--adapt-param", "share=0.3")
    assert ran.returncode == 0, ran.stderr
    assert "There is a method 'int8' already" in refused(bench("method", "new", "int8", "--adaptation"))
    assert "one of --defense and --adaptation" in refused(bench("method", "new", "x", "--adaptation", "--defense"))


def test_a_new_defense_is_written_installed_and_checked(bench: Bench, tmp_path: Path) -> None:
    made = bench("method", "new", "my-defense", "--defense")
    assert "bench run --method cosine --defense my-defense" in made.stdout, made.stderr
    install(bench, tmp_path / "my-defense")
    checked = bench("method", "check", "my-defense", "--json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    states = {one["what"]: one["state"] for one in json.loads(checked.stdout)}
    assert states == dict.fromkeys(("import", "parameters", "run", "bystanders", "same seed, same scores"), "ok")
    idle = bench("method", "check", "sample-identity", "--json")
    assert {one["what"]: one["state"] for one in json.loads(idle.stdout)}["weights"] == "warning"
    assert "no parameter of round called 'x'" in refused(bench("method", "check", "round", "-p", "x=1"))
    bad = bench("method", "check", "sample-nan-weights", "--json")
    assert bad.returncode == 1
    assert "holds NaN" in json.loads(bad.stdout)[-1]["found"]
