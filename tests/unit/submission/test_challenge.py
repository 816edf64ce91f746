"""A challenge from end to end: people without labels, records without metrics, answers that are counted."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import Result
from tests.conftest import ROOT, Bench
from typer.testing import CliRunner

from idbench.cli.challenge import app


@pytest.fixture(scope="module")
def cheats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package that brings a target which trains in seconds."""
    folder = tmp_path_factory.mktemp("cheats")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    package = str(ROOT / "cheating_package")
    subprocess.run([*command, "--target", str(folder), package], check=True, capture_output=True)
    return folder


def typed(*arguments: str) -> Result:
    """A command in this process: a new one takes seconds to import everything."""
    return CliRunner().invoke(app, list(arguments))


def test_a_challenge(bench: Bench, cheats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.environment["PYTHONPATH"] = str(cheats)
    monkeypatch.syspath_prepend(str(cheats))
    monkeypatch.setenv("PYTHONPATH", str(cheats))  # for the processes that read what strangers registered
    monkeypatch.chdir(tmp_path)
    Path("secret").write_text("a secret that nobody else has")
    make = ("make", "--secret-seed", "secret", "--like", "cheat-target")
    made = typed(*make, "--out", "public", "--labels", "private", "--json")
    assert made.exit_code == 0, made.exception
    outcome = json.loads(made.stdout)
    Path("private").rename("elsewhere")  # those who take part do not have it

    people = pq.read_table("public/split/data/identities.parquet").to_pylist()
    labels = pq.read_table("public/split/data/labels.parquet").to_pylist()
    test = {next(iter(row.values())) for row in people if "test" in row.values()}
    assert len(test) == 48
    assert not test & {str(value) for row in labels for value in row.values()}
    assert len(list(Path("public/targets").glob("*.safetensors"))) == 3

    run = ("run", "--method", "random", "--split", "public/split", "--target", outcome["targets"][0])
    sent = bench(*run, "--results", "sent")
    assert sent.returncode == 0, sent.stderr
    assert "withheld" in sent.stdout
    assert "bench challenge answer FOLDER" in sent.stdout
    assert not list(Path("sent").rglob("metrics.json"))

    answer = ("answer", "sent", "--split", "elsewhere", "--log", "answers.jsonl", "--json")
    first = typed(*answer)
    assert first.exit_code == 0, first.stdout
    answers = json.loads(first.stdout)
    assert "random" in {each["method"] for each in answers}
    assert all(each["auc"] == round(each["auc"], 3) for each in answers)
    lines = Path("answers.jsonl").read_text().splitlines()
    assert json.loads(typed(*answer, "--most", "1").stdout) == answers, "the same record is not counted twice"
    shutil.copy("answers.jsonl", "full.jsonl")
    (Path("full.jsonl")).write_text(lines[0].replace(json.loads(lines[0])["scores"], "0" * 64) + "\n")
    refused = typed(*answer[:5], "full.jsonl", "--most", "1")
    assert "the most that it may have" in str(refused.exception)
    assert len(Path("full.jsonl").read_text().splitlines()) == 1, "what was not answered is not remembered"
    assert "within each other" in str(typed(*make, "--out", "here", "--labels", "here/labels").exception)
