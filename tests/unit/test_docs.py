"""The documentation is a site that one command builds, without a broken link, and says what really prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import Bench

ROOT = Path(__file__).parents[2]
_COMMAND = r"(?<!\w)bench ((?:audit|data|target|method|leaderboard) [a-z-]+|[a-z]+)([^\n`]*)"


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


def test_commands_in_the_docs_exist(bench: Bench) -> None:
    """Every `bench VERB ...` that the new pages show is one, with options that it has."""
    helps: dict[str, str] = {}
    for page in ("index", "person", "splits", "write-attack", "write-defense", "cite"):
        text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
        for line in re.findall(
            r"(?<!\w)bench ((?:audit|data|target|method|leaderboard) [a-z-]+|[a-z]+)([^\n`]*)", text
        ):
            verb, rest = line
            if verb not in helps:
                done = bench(*verb.split(), "--help")
                assert done.returncode == 0, verb
                helps[verb] = done.stdout
            for option in re.findall(r"(?<!\S)(--[a-z-]+)", rest):
                assert option in helps[verb], f"{verb} {option} ({page})"


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
    assert _without_names(printed.group()) == _without_names(shown.group())


def _rows(text: str) -> list[str]:
    return [found.strip() for found in re.findall(r"^│ ([^│]+) │", text, re.MULTILINE)]


def _without_names(line: str) -> str:
    return re.sub(r"[0-9a-f]{8}|random|tuni|avatars-tiny|avatars", "*", line)
