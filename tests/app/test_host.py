"""The board of a repository of results as a container serves it: without torch, and rebuilt when results come."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml
from tests.app.fictional import write_about
from tests.conftest import ROOT, Bench

from idbench.api import Silent
from idbench.cli.hosting import host
from idbench.results import Run, collect
from idbench.results.proposal import record_place
from idbench.splits import load_split

LEADERBOARD = ROOT.parent / "leaderboard"
REQUIREMENTS = LEADERBOARD / "results_repository" / "requirements.txt"
HEAVY = ("torch", "torchvision", "open_clip", "pyod", "sklearn", "datasets", "safetensors", "ahocorasick_rs")
"""What idbench needs and the board does not."""

BLOCK = f"""
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Block())
"""


@pytest.fixture
def light(bench: Bench, tmp_path: Path) -> Bench:
    """`bench` where nothing is installed that the requirements of the board do not name."""
    (tmp_path / "light").mkdir()
    (tmp_path / "light" / "sitecustomize.py").write_text(BLOCK)
    bench.environment["PYTHONPATH"] = str(tmp_path / "light")
    return bench


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, Run]:
    write_about(load_split("avatars-tiny", Silent()), tmp_path / "results")
    return {run.record.attack.name: run for run in collect([tmp_path / "results"]).runs}


def test_the_requirements_are_those_of_idbench_without_the_heavy_ones() -> None:
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {line.split("#")[0].strip() for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines()} - {""}
    everything = set(project["dependencies"])
    left = {re.split(r"[<>=]", line)[0].replace("-", "_").replace("_python", "") for line in everything - wanted}
    assert wanted <= everything, "the same bounds as in pyproject.toml"
    assert left == {"torch", "open_clip_torch", "pyod", "scikit_learn", "datasets", "safetensors", "ahocorasick_rs"}


def test_nothing_of_the_board_needs_torch(light: Bench, runs: dict[str, Run], tmp_path: Path) -> None:
    for arguments in (
        ("leaderboard", "build", "results", "--out", "board"),
        ("leaderboard", "export", "board", "--out", "site"),
        ("leaderboard", "labels", "avatars-tiny", "--out", "labels.json"),
        ("attest", str(runs["keen"].path), "--level", "replayed", "--by", "x", "--to", "attestations"),
        ("leaderboard", "serve", "--help"),
        ("list", "splits"),
    ):
        done = light(*arguments)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    shutil.rmtree(runs["random"].path)
    done = light("leaderboard", "check", "results")
    assert done.returncode == 0, done.stdout + done.stderr
    heavy = light("target", "verify", "avatars-a")
    assert "torch" in heavy.stdout + heavy.stderr, "the block works"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    yield from process.stdout


def test_results_that_come_are_shown(light: Bench, runs: dict[str, Run], tmp_path: Path) -> None:
    repository, port = tmp_path / "repository", free_port()
    shutil.copytree(LEADERBOARD / "results_repository", repository)
    light.environment |= {"BENCH_SOURCE": str(repository), "BENCH_PORT": str(port), "BENCH_EVERY": "1"}
    light.environment |= {"BENCH_ADDRESS": "127.0.0.1", "PYTHONUNBUFFERED": "1"}
    process = light.start(*command_of_the_container())
    try:
        printed = lines(process)
        assert next(printed).startswith("0 records count at ")
        assert f"http://127.0.0.1:{port}" in next(printed)
        wait_until_healthy(port)
        shutil.copytree(runs["keen"].path, repository / record_place(runs["keen"]))
        assert next(line for line in printed if "records count" in line).startswith("1 records count at ")
        wait_until_healthy(port)
        shutil.rmtree(repository / "runs")
        (repository / "runs").write_text("no folder any more")
        assert process.poll() is None, "what cannot be built leaves the board as it is"
        wait_until_healthy(port)
    finally:
        process.terminate()
        assert process.wait(30) == 143


@pytest.mark.parametrize("whole", [False, True])
def test_ctrl_c_ends_the_host_without_an_error(bench: Bench, runs: dict[str, Run], tmp_path: Path, whole: bool) -> None:
    """A terminal sends the signal to the server as well, which may end first."""
    port = free_port()
    process = subprocess.Popen(
        [*bench.command, "leaderboard", "host", "results", "--port", str(port)],
        cwd=bench.cwd,
        env=bench.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until_healthy(port)
        if whole:
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert "stopped" in out
    assert "repeat" not in out + err
    assert "error" not in err
    assert process.returncode == 0


def test_only_the_container_listens_to_others() -> None:
    """Typed on one's own machine, the command serves this machine."""
    assert inspect.signature(host).parameters["address"].default == "127.0.0.1"
    text = (LEADERBOARD / "space" / "Containerfile").read_text(encoding="utf-8")
    assert re.search(r"^ENV .*\bBENCH_ADDRESS=0\.0\.0\.0\b", text, re.MULTILINE)


def command_of_the_container() -> list[str]:
    text = (LEADERBOARD / "space" / "Containerfile").read_text(encoding="utf-8")
    (found,) = re.findall(r'^CMD \["bench", (.*)\]$', text, re.MULTILINE)
    return [word.strip('" ') for word in found.split(",")]


def wait_until_healthy(port: int) -> None:
    """Ask as the container's health check does."""
    text = (LEADERBOARD / "space" / "Containerfile").read_text(encoding="utf-8")
    assert "/_stcore/health" in text
    for _ in range(400):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=4) as answer:
                assert answer.read() == b"ok"
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the server never answered")


def test_the_container_and_the_space_fit_what_is_here() -> None:
    text = (LEADERBOARD / "space" / "Containerfile").read_text(encoding="utf-8")
    assert all((ROOT.parent / source).exists() for source, _ in copied_into_the_container())
    assert "USER board" in text
    head = yaml.safe_load((LEADERBOARD / "space" / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert head["sdk"] == "docker"
    assert f"BENCH_PORT={head['app_port']}" in text


def test_what_the_container_is_built_of_is_all_of_the_package(tmp_path: Path) -> None:
    """And no more: neither the history nor what tests and tools leave in a checkout."""
    names = []
    for source, place in copied_into_the_container():
        if place.startswith("/app/idbench"):
            names.append(source)
            there = tmp_path / place.removeprefix("/app/")
            if (ROOT.parent / source).is_dir():
                shutil.copytree(ROOT.parent / source, there)
            else:
                there.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT.parent / source, there)
    assert "." not in names
    wheels = [tmp_path / "copied", tmp_path / "whole"]
    for place, wheel in zip((tmp_path / "idbench", ROOT.parent), wheels, strict=True):
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
        subprocess.run([*command, "--wheel-dir", str(wheel), str(place)], check=True, capture_output=True)
    copied, whole = (
        {name for name in ZipFile(next(wheel.glob("*.whl"))).namelist() if "__pycache__" not in name}
        for wheel in wheels
    )
    assert copied == whole


def copied_into_the_container() -> list[tuple[str, str]]:
    """Each source, as a path of the checkout, with the place where the container has it."""
    text = (LEADERBOARD / "space" / "Containerfile").read_text(encoding="utf-8")
    found = [line.split()[1:] for line in text.splitlines() if line.startswith("COPY ")]
    return [(source, words[-1]) for words in found for source in words[:-1]]


def test_what_cannot_be_served_is_said(bench: Bench) -> None:
    sentence = bench("leaderboard", "host", "no/such/place")
    assert sentence.returncode == 1
    assert "no/such/place" in sentence.stderr
    assert "Traceback" not in sentence.stderr
