"""Standard streams that are closed, full or read by nobody: every command ends in order, and says so where it can."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from tests.campaign.campaign import preload
from tests.campaign.damage import Whole
from typer.core import TyperGroup

from idbench.cli.app import command_line

pytestmark = [
    pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full"),
    pytest.mark.timeout(600),
]


def commands() -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Every command there is, and words that fill what it requires with something that is nowhere."""

    def look(command: object, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
        if isinstance(command, TyperGroup):
            for name, each in command.commands.items():
                yield from look(each, (*words, name))
            return
        needed: list[str] = []
        for option in command.params:  # type: ignore[attr-defined]
            if option.required:
                needed += [max(option.opts, key=len)] if option.param_type_name == "option" else []
                needed.append("no-such-thing")
        yield words, tuple(needed)

    yield from look(typer.main.get_command(command_line()), ())


COMMANDS = dict(commands())

PRINTS: tuple[tuple[str, ...], ...] = (
    ("list", "splits"),
    ("list", "targets", "--json"),
    ("list", "runs", "--format", "csv"),
    ("list", "runs", "--format", "latex"),
    ("show", "RUN"),
    ("show", "RUN", "--json"),
    ("score", "RUN"),
    ("leaderboard", "check", "results"),
    ("data", "lint", "split"),
    (
        "run",
        "-m",
        "random",
        "--split",
        "avatars-tiny",
        "--target",
        "avatars-a",
        "--corpus",
        "avatars-tiny-a",
        "--dry-run",
    ),
)
"""Commands that print what they found, in each of the ways in which commands print."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Where a standard stream leads: `read`, `gone` (a pipe that nobody reads), `full`, `closed`."""

    kind: str

    def become(self, number: int, file: Path) -> None:
        """Make it stream `number` of this process."""
        if self.kind == "closed":
            os.close(number)
            setattr(sys, {1: "stdout", 2: "stderr"}[number], None)  # as Python starts with a closed one
            return
        if self.kind == "gone":
            reading, handle = os.pipe()
            os.close(reading)
        else:
            place = "/dev/full" if self.kind == "full" else str(file)
            handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(handle, number)
        stream = os.fdopen(number, "w", encoding="utf-8", closefd=False)
        setattr(sys, {1: "stdout", 2: "stderr"}[number], stream)


@dataclass(frozen=True, slots=True)
class Ended:
    """Exit status as a shell sees it, and what came out of the streams that are read."""

    status: int
    out: str
    err: str


def forked(words: tuple[str, ...], cwd: Path, out: str, err: str) -> Ended:
    """A command in a fork of this process, which ends as a Python process does: by flushing its streams."""
    files = (cwd / ".out", cwd / ".err")
    for file in files:
        file.write_text("")
    child = os.fork()
    if child == 0:
        _become(words, cwd, (Stream(out), Stream(err)), files)
    _, status = os.waitpid(child, 0)
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files]
    return Ended(os.waitstatus_to_exitcode(status), *texts)


def _become(words: tuple[str, ...], cwd: Path, streams: tuple[Stream, Stream], files: tuple[Path, Path]) -> None:
    status = 71  # an exception reached the interpreter
    try:
        os.setpgid(0, 0)
        os.chdir(cwd)
        for number, (stream, file) in enumerate(zip(streams, files, strict=True), start=1):
            stream.become(number, file)
        sys.argv = ["bench", *words]
        # Not `idbench.cli.main`: at its end it would clean up what is this process's, such as folders of other tests.
        from idbench.cli.app import run

        status = run()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001  any traceback is what the test looks for
        traceback.print_exc(file=files[1].open("a"))
    try:
        for each in (sys.stdout, sys.stderr):
            each.flush()
    except (OSError, ValueError):
        status = 120  # what Python itself exits with then
    finally:
        os._exit(status)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with records and a split."""
    preload()
    return Whole.make(tmp_path_factory.mktemp("streams") / "whole").folder


def assert_orderly(ended: Ended, allowed: tuple[int, ...], what: object) -> None:
    assert ended.status in allowed, (what, ended)
    assert "Traceback" not in ended.out + ended.err, (what, ended)
    assert "Exception ignored" not in ended.err, (what, ended)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_ends_in_order(command: tuple[str, ...], whole: Path) -> None:
    """Its help, which every command prints, and an error, which every command can be brought to."""
    assert_orderly(forked((*command, "--help"), whole, "gone", "read"), (0,), "nobody reads the help")
    for out in ("closed", "full"):
        ended = forked((*command, "--help"), whole, out, "read")
        assert_orderly(ended, (1,), f"help with output {out}")
        assert ended.err.count("error:") == 1, ended
    wrong = (*command, *COMMANDS[command], "--no-such-option")
    for err in ("closed", "full", "gone"):
        assert_orderly(forked(wrong, whole, "read", err), (2,), f"misuse with errors {err}")
    for kind in ("closed", "full", "gone"):
        assert_orderly(forked(wrong, whole, kind, kind), (2,), f"misuse with everything {kind}")


@pytest.mark.parametrize("words", PRINTS, ids=" ".join)
def test_what_was_found_and_cannot_be_printed_is_said(words: tuple[str, ...], whole: Path) -> None:
    run = next(whole.glob("results/*/*/random-*")).relative_to(whole).as_posix()
    words = tuple(run if word == "RUN" else word for word in words)
    good = forked(words, whole, "read", "read")
    assert good.out, good
    assert_orderly(forked(words, whole, "gone", "read"), (0,), "gone")
    for kind in ("closed", "full"):
        ended = forked(words, whole, kind, "read")
        assert_orderly(ended, (1,), kind)
        assert ("closed" if kind == "closed" else "No space left") in ended.err
        assert_orderly(forked(words, whole, kind, kind), (1,), f"everything {kind}")
    for kind in ("closed", "full", "gone"):
        # Nothing needs to be said on standard error, or only how far it is: that decides nothing.
        ended = forked(words, whole, "read", kind)
        assert_orderly(ended, (good.status,), f"errors {kind}")
        assert ended.out == good.out


@pytest.mark.parametrize("words", [("show", "no-such-run"), ("list", "runs", "--results", "missing")], ids=" ".join)
@pytest.mark.parametrize("kind", ["closed", "full", "gone"])
def test_an_error_that_nobody_reads_is_still_an_error(words: tuple[str, ...], kind: str, whole: Path) -> None:
    for out in ("read", kind):
        assert_orderly(forked(words, whole, out, kind), (1,), (out, kind))


@pytest.mark.parametrize("redirected", ["| head -1", ">&-", "> /dev/full", "2>&-", "2> /dev/full", "> /dev/full 2>&1"])
def test_a_shell_sees_the_same(redirected: str, whole: Path) -> None:
    """What forks cannot show: how the interpreter itself starts and ends."""
    line = f"{sys.executable} -m idbench.cli.main list splits {redirected}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], cwd=whole, capture_output=True, text=True, check=False
    )
    assert done.returncode == (1 if redirected.startswith(">") else 0), done
    assert "Traceback" not in done.stdout + done.stderr
    assert "Exception ignored" not in done.stderr
