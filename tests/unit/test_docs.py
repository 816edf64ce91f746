"""The documentation is a site that one command builds, without a broken link, and says what really prints."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.conftest import Bench
from tests.scripts import load
from typer.exceptions import TyperException

from idbench.cli.app import command_line

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("data_cards/*.md")])


def test_the_site_is_built_without_a_broken_link(tmp_path: Path) -> None:
    out = tmp_path / "site"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mkdocs",
            "build",
            "--strict",
            "--quiet",
            "-f",
            str(ROOT / "mkdocs.yml"),
            "-d",
            str(out),
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for page in ("index", "write-attack", "write-defense", "targets", "splits", "statistics", "cite", "removal"):
        assert (out / f"{page}.html").is_file(), page
    api = (out / "api.html").read_text(encoding="utf-8")
    for name in ("Attack", "TargetView", "Scores", "MethodCard", "AccessViolation"):
        assert f'id="idbench.api.{name}"' in api, name
    assert 'id="idbench.metrics.tpr_at_fpr"' in (out / "api-metrics.html").read_text(encoding="utf-8")
    assert 'id="idbench.notebook.run"' in (out / "api-idbench.html").read_text(encoding="utf-8")
    pages = "".join(page.read_text(encoding="utf-8") for page in out.glob("*.html"))
    fetched = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://[^"]+"', pages)
    assert not [tag for tag in fetched if 'rel="canonical"' not in tag]  # it works without network


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_in_the_docs_exist(page: Path) -> None:
    """Every `bench ...` that a page shows is a command, with options and as many arguments as it takes."""
    for line in commands_of(page.read_text(encoding="utf-8")):
        for typed in line.split("&&"):
            words = shlex.split(typed, comments=True)
            if words[:1] == ["bench"]:
                assert_parses(words[1:])


def test_commands_are_found_in_pages() -> None:
    text = (
        "see `bench show RUN` and `bench`\n\n    bench list        all of them\n    pip install x && bench perf  it\n"
    )
    assert commands_of(text) == ["bench show RUN", "bench", "bench list", "pip install x && bench perf"]
    with pytest.raises(TyperException):
        assert_parses(["show", "RUN", "--plott", "x"])
    with pytest.raises(AssertionError):
        assert_parses(["shoe", "RUN"])


def commands_of(page: str) -> list[str]:
    """Commands between backticks, and those of indented or fenced blocks without the words that explain them."""
    inline = [span for span in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", page) if re.match(r"bench\b", span)]
    lines = [line.strip() for line in page.splitlines() if re.match(r"(    )?(bench |pip install .*&& bench )", line)]
    blocks = [re.split(r"\s{2,}", line)[0] for line in lines]
    return inline + blocks


def assert_parses(words: list[str]) -> None:
    """Typer's own parser takes these words; `...` stands for options that are not spelled out."""
    command: Any = typer.main.get_command(command_line())
    context = None
    while hasattr(command, "commands"):
        context = command.context_class(command, parent=context, info_name=command.name)
        if not words or words[0].startswith("-"):
            return
        assert words[0] in command.commands, f"{words[0]} is not a command"
        command, words = command.commands[words[0]], words[1:]
    context = command.context_class(command, parent=context, info_name=command.name)
    command.make_parser(context).parse_args(args=[word for word in words if word != "..."])


def test_the_first_block_of_the_readme_is_what_a_run_prints(bench: Bench) -> None:
    """Row by row and sentence by sentence; the figures are those of a run of minutes, which is not repeated here."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```\n(tuni on avatars-a\n.*?)```", readme, re.DOTALL)
    done = bench(
        "run", "-m", "random", "--split", "avatars-tiny", "--target", "avatars-a", "--corpus", "avatars-tiny-a"
    )
    assert done.returncode == 0, done.stderr
    assert _rows(block) == _rows(done.stdout)
    printed, shown = (re.search(r"^Next: .*$", text, re.MULTILINE) for text in (done.stdout, block))
    assert printed is not None
    assert shown is not None
    # The README's run is on the default split, which needs no options.
    proposed = re.sub(r" --(split|target|corpus) \S+", "", printed.group())
    assert _without_names(proposed) == _without_names(shown.group())


def _rows(text: str) -> list[str]:
    return [found.strip() for found in re.findall(r"^│ ([^│]+) │", text, re.MULTILINE)]


def _without_names(line: str) -> str:
    return re.sub(r"[0-9a-f]{8}|random|tuni|avatars-tiny|avatars", "*", line)


def test_blocks_of_output_are_made_by_their_commands() -> None:
    """The script puts what a command prints under its comment, and touches nothing else."""
    script = load("docs/make_outputs.py")
    assert ROOT / "README.md" in script.pages()
    for page in script.pages():
        for _, command, shown, _ in script.BLOCK.findall(page.read_text(encoding="utf-8")):
            assert_parses(shlex.split(command)[1:])
            assert all(len(line) <= script.WIDTH for line in shown.splitlines()), (page, command)
    page = "before\n<!-- printed: bench list splits -->\n```\nstale words\n```\nafter\n```\nanother\n```\n"
    made = script.written(page)
    assert made.startswith("before\n<!-- printed: bench list splits -->\n```\nsplits\n┏")
    assert "avatars-tiny" in made
    assert "stale words" not in made
    assert made.endswith("┘\n```\nafter\n```\nanother\n```\n")
