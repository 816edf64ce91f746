"""Words and environments that cannot be right: one sentence, the right status, no traceback, nothing written."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.conftest import Bench, refused

LONG = "n" * 300


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", ""), "No run was named"),
        (("show", " "), "No run was named"),
        (("score", ""), "No run was named"),
        (("show", LONG), "no method, defense, split, target or run"),
        (("compare", "a", "b", "--split", LONG), "no split"),
        (("data", "lint", LONG), "File name too long"),
        (("run", "-m", "random", "--split", ""), "no split"),
        (("run", "-m", "random", "--split", "~no-such-user/x"), "names the home folder of a user who does not exist"),
        (("run", "-m", "random", "--results", "~no-such-user/x"), "names the home folder of a user who does not exist"),
        (("study", "defenses", "--results", "~no-such-user/x"), "names the home folder of a user who does not exist"),
        (("study", "defenses", "--results", "/dev/null/x"), "null is a file, not a folder"),
        (("run", "-m", "random", "--results", "/dev/null"), "null is a file, not a folder"),
        (("data", "search", "~no-such-user/x.csv", "--split", "avatars-tiny"), "a user who does not exist"),
        (("list", "runs", "--results", "mistyped"), "mistyped does not exist"),
        (("show", "0123", "--results", "mistyped"), "mistyped does not exist"),
        (("score", "0123", "--results", "~no-such-user"), "does not exist"),
        (("compare", "a", "b", "--results", "mistyped"), "mistyped does not exist"),
        (("show", "/dev/null"), "/dev/null is not the folder of a run"),
        (("score", "/etc/passwd"), "is not the folder of a run"),
        (("run", "-m", "random", "--seed", "99999999999999999999999999"), "--seed"),
        (("run", "-m", "random", "--seed", "9223372036854775807", "--seeds", "2"), "seeds below 2**63"),
        (("run", "-m", "random", "--seeds", "1000000"), "--seeds"),
        (("method", "new", "numpy"), "is an installed Python package"),
        (("method", "new", "json"), "is an installed Python package"),
        (("method", "new", "class"), "is a Python keyword"),
        (("method", "new", "match"), "is a Python keyword"),
        (("method", "new", "tuni"), "There is a method"),
        (("method", "new", "../up"), "is not a method name"),
        (("method", "new", "mine", "--out", "."), "current folder"),
        (("data", "build", "avatars", "--out", "."), "current folder"),
        (("data", "build", "avatars", "--secret-seed", "s", "--out", "x"), "labels of avatars are public"),
        (("run", "-m", "random", "--target", "file:~no-such-user/x.pt?arch=RN50"), "a user who does not exist"),
        (("run", "-m", "random", "--target", "~no-such-user/x.pt"), "a user who does not exist"),
        (("target", "train", "avatars-a", "--out", "weights", "--dry-run"), "must end in .safetensors"),
        (("target", "train", "avatars-a", "--out", "/dev/full", "--dry-run"), "must end in .safetensors"),
        (("leaderboard", "host", ""), "No repository was named"),
        (("leaderboard", "serve", "--address", "not an address", "--no-browser"), "is not an address"),
    ],
)
def test_what_cannot_be_right_is_refused_in_one_sentence(
    bench: Bench, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    assert words in refused(bench(*arguments))
    assert list(tmp_path.iterdir()) == []


def test_no_arguments_show_the_help_and_no_error(bench: Bench) -> None:
    done = bench()
    assert "Usage" in done.stdout + done.stderr
    assert "error:" not in done.stderr


def test_the_version_is_an_option_and_not_a_variable(bench: Bench) -> None:
    bench.environment["BENCH_VERSION"] = "1"
    done = bench("list", "runs")
    assert done.stdout == "runs: none\n"


def test_a_loop_of_links_is_nowhere(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for place, results in (("att", "loop"), ("loop", "results")):
        done = bench("invalidate", "0123", "--reason", "x", "--by", "x", "--to", place, "--results", results)
        assert "loop" in refused(done)


def test_checkpoints_of_a_user_who_does_not_exist(bench: Bench) -> None:
    bench.environment["BENCH_IDIA_CHECKPOINTS"] = "~no-such-user/x"
    done = bench("run", "-m", "random", "--target", "idia:RN50/75", "--dry-run")
    assert "a user who does not exist" in refused(done)


@pytest.mark.parametrize("json", [(), ("--json",)])
def test_output_that_cannot_be_written_is_reported(bench: Bench, json: tuple[str, ...]) -> None:
    command = [*bench.command, "list", "splits", *json]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, env=bench.environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_closed_output_is_reported(bench: Bench) -> None:
    command = [*bench.command, "list", "splits"]
    done = subprocess.run(
        command,
        env=bench.environment,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        preexec_fn=lambda: os.close(1),
    )
    assert done.returncode == 1
    assert "Standard output is closed" in done.stderr
