"""What plug-ins and records say is shown as text: no markup, no control of the terminal."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from idbench.cli import console
from idbench.cli.text import typed
from idbench.errors import IdbenchError
from idbench.escaping import terminal

HOSTILE = "[/red][bold]\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp"


@pytest.fixture(params=[True, False], ids=["terminal", "file"])
def err(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    file = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=file, force_terminal=request.param, width=200, color_system=None))
    monkeypatch.setattr(console, "LINE_EVERY", 0.0)
    return file


def test_progress_is_text(err: io.StringIO) -> None:
    with console.bars() as bars:
        for i in range(60):
            bars.update(i, 60, HOSTILE)
            bars.update(i, 60, f"{HOSTILE} {i}")
    shown = err.getvalue()
    assert "[/red][bold]\\x1b]0;owned" in shown
    for sign in ("\x07", "\x1b]", "\x1b[2J\x9b", "\x9b", "\u202e"):
        assert sign not in shown


def test_progress_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole description and the share done; times stand beside it where there is room for them."""
    doing = "run 13 of 48 · patch-vote · avatars-b · seed 1 · 6 min left"
    for width, times in ((80, False), (120, True)):
        file = io.StringIO()
        monkeypatch.setattr(console, "err", Console(file=file, force_terminal=True, width=width, color_system=None))
        with console.bars() as bars:
            bars.update(12, 48, doing)
        shown = file.getvalue()
        assert doing in shown
        assert " 25 %" in shown
        assert "…" not in shown
        assert ("0:00:0" in shown) is times


def test_errors_are_text(err: io.StringIO) -> None:
    console.complain(IdbenchError(HOSTILE, hint=HOSTILE))
    assert err.getvalue().count("[/red][bold]\\x1b]0;owned") == 2
    assert "\x07" not in err.getvalue()


def test_errors_fit_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=file, width=40, color_system=None))
    path = "results/" + "a-folder-" * 12
    console.complain(IdbenchError(f"The device cannot be used, for {path} is full.\nSay why.", hint="Words " * 20))
    lines = file.getvalue().splitlines()
    assert lines[0].startswith("error: The device")
    assert "Say why." in lines
    assert path in lines
    assert [line for line in lines if len(line) > 40] == [path]


def test_the_names_of_columns_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(console, "out", Console(file=file, width=80, color_system=None))
    names = ("tau", "photos_per_person", "AUC [95 %]", "worse than the best?", "runs")
    console.table("", names, [("1", "1", "0.636 [0.600, 0.670]", "the best", "3d04b0a8, c4709e75")])
    assert "photos_per_person" in file.getvalue()
    assert max(map(len, file.getvalue().splitlines())) <= 80


def test_tables_and_json_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(HOSTILE, [HOSTILE], [[HOSTILE]])
    console.write_json({HOSTILE: HOSTILE})
    shown = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\x9b"} & set(shown)
    assert json.loads(shown[shown.index("{") :]) == {HOSTILE: HOSTILE}


def test_a_table_in_a_file_is_as_wide_as_its_cells(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    long = "0.440 [0.148, 0.784] " + "templates " * 120
    console.table("a run", ("fact", "value"), [("parameters", long), ("AUC", "0.440 [0.148, 0.784]")])
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert [(row[1].strip(), row[2].strip()) for row in rows] == [
        ("parameters", long.strip()),
        ("AUC", "0.440 [0.148, 0.784]"),
    ]


def test_what_people_write_stays() -> None:
    for text in ("José Ñandú", "李 雷", "ß 🙂", "a\tb\nc", "می\u200cخواهم", "[brackets]"):
        assert terminal(text) == text


def test_a_command_to_copy_is_one_command_whatever_a_path_is_called() -> None:
    path = "my board; touch x\n$(touch y) 'z' \x1b[2J\u202e"
    shown = typed("bench", "leaderboard", "serve", Path(path), "--port", 8)
    assert "\n" not in shown
    assert not set(shown) & {"\x1b", "\u202e"}
    assert len(shlex.split(shown)) == 6
    assert typed("bench", "show", "RUN") == "bench show RUN"
