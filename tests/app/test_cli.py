"""`bench leaderboard` as it is typed."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from tests.app.fictional import World, write_about
from tests.app.reading import opened, text
from tests.conftest import Bench, refused
from tests.kills import bench_killed_at_rename
from typer.testing import CliRunner

from idbench.api import Silent
from idbench.cli.leaderboard import app
from idbench.errors import DataError, IdbenchError
from idbench.splits import load_split
from idbench_leaderboard import app as pages
from idbench_leaderboard.board import Board


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records about the people of a real split, with drawn scores that follow the labels of one corpus."""
    folder = tmp_path_factory.mktemp("results")
    write_about(load_split("avatars-tiny", Silent()), folder)
    return folder


@pytest.fixture(scope="module")
def board(results: Path) -> Path:
    out = results.parent / "board"
    done = Bench(results.parent)("leaderboard", "build", str(results), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert f"bench leaderboard serve {out}" in " ".join(done.stdout.split())
    return out


def test_build_takes_labels_and_cards_from_what_is_installed(board: Path) -> None:
    opened = Board(board)
    selection = opened.default_selection()
    assert selection is not None
    rows = opened.rows(selection)
    assert rows["label"].tolist() == ["keen", "random"]
    assert rows["auc"].iloc[0] > 0.8
    card = opened.split_card("avatars-tiny", 1)
    assert card is not None
    assert card.fictional
    assert card.samples[0].data.startswith(b"\x89PNG")
    assert all(check.passed for check in card.checks), card.checks
    info = opened.method_info(rows.iloc[1])
    assert info is not None
    assert info.title == "The random attack of the tests", "the card that ran, not the installed one"


def typed(*arguments: str) -> str:
    """What a command prints, in this process: a new one takes seconds to import pandas."""
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_build_says_what_does_not_count(results: Path, tmp_path: Path) -> None:
    World().write(tmp_path / "more", "mild")
    arguments = ("build", str(results), str(tmp_path / "more"), "--out", str(tmp_path / "board"))
    assert "no labels for split fiction v1" in typed(*arguments)
    answer = json.loads(typed(*arguments, "--json"))
    assert (answer["runs"], answer["entries"]) == (2, 2)
    assert len(answer["rejected"]) == 1


def test_who_is_taken_out_is_in_no_board_that_was_built_before(
    results: Path, board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = str(Board(board).people("avatars-tiny", 1, "avatars-tiny-a")["identity"].iloc[0])
    monkeypatch.setenv("BENCH_RETRACTIONS", str(tmp_path / "retractions.txt"))
    assert "AUC" in text(opened("board", board))
    (tmp_path / "retractions.txt").write_text(f"other {identity}\n")
    assert "pages" in typed("export", str(board), "--out", str(tmp_path / "site"))
    (tmp_path / "retractions.txt").write_text(f"avatars-tiny {identity}\n")
    for command in (("export", str(board), "--out", str(tmp_path / "new")), ("serve", str(board), "--no-browser")):
        with pytest.raises(DataError, match="holds 1 person taken out of avatars-tiny since"):
            typed(*command)
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(sys, "argv", ["main.py", str(board)])
    shown = AppTest.from_file(str(Path(pages.__file__).with_name("main.py")), default_timeout=60).run()
    assert "holds 1 person taken out" in text(shown)
    assert "AUC" not in text(shown)
    typed("build", str(results), "--out", str(tmp_path / "again"))
    typed("export", str(tmp_path / "again"), "--out", str(tmp_path / "new"))
    assert identity not in set(Board(tmp_path / "again").people("avatars-tiny", 1, "avatars-tiny-a")["identity"])


def test_export_writes_a_site(board: Path, tmp_path: Path) -> None:
    assert "5 pages" in typed("export", str(board), "--out", str(tmp_path / "site"))
    page = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "Can these methods tell" in page
    assert not re.findall(r"(?:src|href)=[\"']https?:[^\"']*\.(?:js|css|woff2?)", page)
    with pytest.raises(IdbenchError, match="which this command reads"):
        typed("export", str(board), "--out", str(board))


def listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_nothing_is_destroyed_that_the_commands_did_not_make(results: Path, board: Path, tmp_path: Path) -> None:
    thesis = tmp_path / "thesis" / "chapter.tex"
    thesis.parent.mkdir()
    thesis.write_text("years of work")
    before = {folder: listing(folder) for folder in (results, board, tmp_path)}
    for arguments, words in (
        (("build", str(results), "--out", str(results)), "which this command reads"),
        (("build", str(results), "--out", str(results.parent)), "which this command reads"),
        (("build", str(results), "--out", str(results / "board"), "--force"), "which this command reads"),
        (("build", str(results), "--out", str(thesis.parent)), "not a board written by idbench"),
        (("export", str(board), "--out", str(results)), "not a site written by idbench"),
        (("export", str(board), "--out", str(board.parent), "--force"), "which this command reads"),
        (("labels", "avatars-tiny", "--out", str(thesis)), "not a label file written by idbench"),
        (("labels", "avatars-tiny", "--out", str(tmp_path)), "not a regular file"),
    ):
        with pytest.raises(IdbenchError, match=words):
            typed(*arguments)
    assert thesis.read_text() == "years of work"
    assert {folder: listing(folder) for folder in before} == before
    typed("labels", "avatars-tiny", "--out", str(thesis), "--force")
    typed("labels", "avatars-tiny", "--out", str(thesis))  # what it wrote itself it may replace
    assert json.loads(thesis.read_text())["name"] == "avatars-tiny"


def test_an_empty_build_does_not_replace_a_board(results: Path, tmp_path: Path) -> None:
    out, empty = tmp_path / "board", tmp_path / "empty"
    empty.mkdir()
    typed("build", str(results), "--out", str(out))
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(IdbenchError, match="No record counts"):
        typed("build", str(empty), "--out", str(out))
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    typed("build", str(empty), "--out", str(out), "--force")
    assert Board(out).default_selection() is None


def test_a_board_and_a_site_survive_a_kill_between_two_renames(results: Path, tmp_path: Path) -> None:
    board, site = tmp_path / "board", tmp_path / "site"
    build = ("leaderboard", "build", str(results), "--out", str(board))
    export = ("leaderboard", "export", str(board), "--out", str(site))
    typed(*build[1:])
    typed(*export[1:])
    for out, command in ((board, build), (site, export)):
        before = listing(out)
        bench_killed_at_rename(2, *command, of=f"{tmp_path}/.{out.name}.")
        assert not out.exists()
        if out == board:
            typed(*export[1:])  # whoever reads the board next finds it
        else:
            typed(*command[1:])
        assert sorted(path.name for path in tmp_path.iterdir()) == ["board", "site"]
        assert listing(out) == before


def test_a_mistyped_public_split_is_refused(results: Path, tmp_path: Path) -> None:
    with pytest.raises(IdbenchError, match="avatars-tinny"):
        typed("build", str(results), "--out", str(tmp_path / "board"), "--public", "avatars-tinny")
    assert not (tmp_path / "board").exists()


def test_serve_answers_and_ends(board: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = Bench(tmp_path).start("leaderboard", "serve", str(board), "--port", str(port), "--no-browser")
    try:
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1) as answer:
                    assert answer.status == 200
                    break
            except OSError:
                assert process.poll() is None, process.communicate()
                time.sleep(0.2)
        else:
            raise AssertionError("the server never answered")
        second = Bench(tmp_path)("leaderboard", "serve", str(board), "--port", str(port), "--no-browser")
        assert "Cannot listen" in refused(second)
    finally:
        process.terminate()
        process.communicate(timeout=30)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))  # nobody listens any more


def test_serve_opens_a_window_once_it_answers_and_says_nothing_else(
    board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, script = tmp_path / "opened", tmp_path / "browser"
    script.write_text(
        f"#!{sys.executable}\nimport sys, urllib.request\n"
        f"urllib.request.urlopen(sys.argv[1], timeout=30)\nopen({str(seen)!r}, 'w').write(sys.argv[1])\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(script))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = Bench(tmp_path).start("leaderboard", "serve", str(board), "--port", str(port))
    try:
        for _ in range(300):
            if seen.exists() and seen.read_text():
                break
            assert process.poll() is None, process.communicate()
            time.sleep(0.2)
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert seen.read_text() == f"http://127.0.0.1:{port}"
    printed = (out + err).replace("Stopping...", "")  # which is how Streamlit answers Ctrl-C
    assert printed.split() == f"idbench leaderboard at http://127.0.0.1:{port} stopped".split()


def test_mistakes_get_one_sentence(board: Path, tmp_path: Path) -> None:
    assert "holds no board" in refused(Bench(tmp_path)("leaderboard", "serve", "nowhere", "--no-browser"))
    (tmp_path / "file").write_text("")
    for arguments, words in (
        (("build", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")), "does not exist"),
        (("build", str(tmp_path / "file"), "--out", str(tmp_path / "out")), "not a folder"),
        (("export", str(tmp_path / "nowhere"), "--out", str(tmp_path / "site")), "holds no board"),
        (("export", str(board), "--out", str(tmp_path / "file" / "site")), "in the way"),
    ):
        with pytest.raises(IdbenchError, match=words) as caught:
            typed(*arguments)
        assert caught.value.hint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_nothing_is_imported_that_is_not_needed() -> None:
    code = (
        "import sys, idbench.cli.leaderboard; "
        "print([name for name in ('streamlit', 'altair', 'torch', 'pandas', 'vl_convert') if name in sys.modules]); "
        "import idbench_leaderboard.site, idbench_leaderboard.building; "
        "print([name for name in sys.modules if name.split('.')[0] in ('torch', 'open_clip', 'idbench_methods') "
        "or name.startswith(('idbench.runner', 'idbench.targets', 'idbench.splits'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]"]


def test_the_server_imports_what_pages_draw_with_before_anybody_looks() -> None:
    code = (
        "import sys, streamlit.web.cli as web; "
        "web.main = lambda prog_name: print('altair' in sys.modules, 'idbench_leaderboard.tables' in sys.modules); "
        "from idbench_leaderboard import server; server.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
