"""Hostile texts, put wherever a text of somebody else's comes from, and looked for wherever it comes out."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.campaign.damage import Whole
from tests.campaign.trial import Ended, Report, bench

TEXTS = (
    "\x1b]0;owned\x07\x1b[2J\x1b[31mred",
    "\x9b31m\x90q\x9c",
    "a\u202eb\u2066c\u200fd",
    "<!--<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "![x](https://example.org/x.png)",
    "[x](javascript:alert(1)) <https://example.org>",
    '=HYPERLINK("https://example.org";"x")',
    "@SUM(1+1)*cmd|'/c calc'!A0",
    "-2+3+cmd|'/c calc'!A0",
    "[/red][bold]x[link=file:///etc/passwd]y[/link]",
    "\\input{/etc/passwd} \\end{tabular} %&#^~_",
    "line\nbreak\r\n# heading\r\n\n    code",
    "| a | b |\n| --- | --- |",
    "\ud800 \udfff",
    "x" * 100_000,
    "\u200b\u2060\ufeff",
    "`$(touch owned)`; touch owned",
    "{{7*7}} ${7*7} %s %n {0}",
)
_FORMATS = ("text", "md", "csv", "latex")
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MARKUP = re.compile(r"(?<!\\)!?\[[^\]\\]*\]\((?!<https?:)", re.IGNORECASE)
_SCRIPT = re.compile(r"<!--<script|<script>alert|<img src=x", re.IGNORECASE)
_CARD = """
from idbench.api import Access, Attack, Knowledge, MethodCard, MethodParams
from pydantic import Field

class Params(MethodParams):
    words: str = Field(default={text!r}, description={text!r})

class Strange(Attack[Params]):
    card = MethodCard(name="strange", version="1", access=Access.NONE, knowledge=Knowledge.NAME, **{facts!r})

    def score(self, target, cases, context):
        raise ValueError({text!r})
"""


def try_text(rng: random.Random, whole: Whole, cwd: Path, report: Report) -> None:
    """Put one text in one place, and type one command that shows it."""
    text = rng.choice(TEXTS)
    place = rng.choice((_in_a_record, _in_a_split, _as_a_word, _on_a_card))
    copy = whole.copy(cwd / "texts")
    where, words, how, environment = place(rng, text, copy)
    if environment:
        done = subprocess.run(
            [sys.executable, "-m", "idbench.cli.main", *words],
            cwd=copy, env=os.environ | environment, capture_output=True, check=False, timeout=240,
        )  # fmt: skip
        out, err = (stream.decode(errors="surrogateescape") for stream in (done.stdout, done.stderr))
        ended = Ended(done.returncode, out, err)
    else:
        ended = bench(words, copy)
    what = f"{text[:40]!r} {where}; bench {' '.join(map(repr, (word[:60] for word in words)))}"
    wrong = next(_wrong(ended, how, copy), "")
    report.tried("texts", what, ended, wrong)


def _in_a_record(rng: random.Random, text: str, copy: Path) -> tuple[str, Sequence[str], str, dict[str, str]]:
    path = rng.choice(sorted(copy.glob("results/*/*/*/run.json")))
    record = json.loads(path.read_text())
    key = rng.choice(("title", "version", "distribution", "name"))
    section = rng.choice(("attack", "target", "split", "environment", "parameters"))
    if section in ("environment", "parameters"):
        key = rng.choice([*sorted(record[section]), "new"])
    record[section][key] = text
    path.write_text(json.dumps(record))
    how = rng.choice(_FORMATS)
    words = rng.choice((
        ("list", "runs", "--results", "results", "--format", how),
        ("show", str(path.parent)),
        ("compare", str(path.parent), "random", "--results", "results", "--format", how),
        ("leaderboard", "build", "results", "--out", "board"),
        ("leaderboard", "check", "results"),
        ("leaderboard", "export", "results", "--out", "site"),
        ("score", str(path.parent)),
    ))  # fmt: skip
    return f"as {section}.{key} of a record", words, how if "--format" in words else "text", {}


def _in_a_split(rng: random.Random, text: str, copy: Path) -> tuple[str, Sequence[str], str, dict[str, str]]:
    path = copy / "split" / "manifest.json"
    manifest = json.loads(path.read_text())
    key = rng.choice(("title", "description", "source", "license", "name"))
    manifest[key] = text
    path.write_text(json.dumps(manifest))
    words = rng.choice((
        ("show", "split"),
        ("data", "lint", "split"),
        ("data", "audit", "split", "--dry-run"),
        ("run", "-m", "random", "--split", "split", "--target", "avatars-a", "--dry-run"),
        ("data", "publish", "split", "--repo", "lab/x", "--dry-run"),
    ))  # fmt: skip
    return f"as {key} of a split", words, "text", {"HF_HUB_OFFLINE": "1"} if "publish" in words else {}


def _as_a_word(rng: random.Random, text: str, copy: Path) -> tuple[str, Sequence[str], str, dict[str, str]]:
    safe = text.replace("\ud800", "\udcff").replace("\udfff", "")[:50_000]  # what a command line can hold
    words = rng.choice((
        ("run", "-m", "idia", "-p", f"prompt={safe}", "--split", "split", "--dry-run"),
        ("run", "-m", "idia", "--sweep", f"draws=1,{safe}", "--split", "split", "--dry-run"),
        ("run", "-m", "idia", "--sweep", f"{safe}=1,2", "--split", "split", "--dry-run"),
        ("run", "-m", safe, "--dry-run"),
        ("run", "-m", "random", "--target", safe, "--dry-run"),
        ("run", "-m", "random", "--corpus", safe, "--split", "split", "--dry-run"),
        ("show", safe), ("list", safe), ("compare", safe, safe), ("method", "new", safe), ("method", "check", safe),
        ("study", safe), ("data", "build", safe), ("data", "lint", safe), ("data", "publish", "split", "--repo", safe),
        ("attest", "0", "--level", "replayed", "--by", safe, "--to", "statements"),
        ("leaderboard", "build", "results", "--public", safe, "--out", "board"),
        ("leaderboard", "build", "results", "--out", safe[:100]),
        ("submit", "0", "--repo", safe), ("target", "train", safe), ("defend", safe, "--defense", safe),
    ))  # fmt: skip
    return "on the command line", [word.replace("\0", "") for word in words], "text", {}


def _on_a_card(rng: random.Random, text: str, copy: Path) -> tuple[str, Sequence[str], str, dict[str, str]]:
    place = copy / "installed"
    shutil.rmtree(place, ignore_errors=True)
    about = place / "strange_methods-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Name: strange-methods\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[idbench.attacks]\nstrange = strange_code:Strange\n")
    key = rng.choice(("title", "summary", "authors", "paper", "url"))
    facts = {"title": "Strange"} | {key: text}
    (place / "strange_code.py").write_text(_CARD.format(text=text, facts=facts), errors="surrogatepass")
    how = rng.choice(_FORMATS)
    words = rng.choice((
        ("list", "methods", "--format", how), ("list", "methods", "--json"), ("show", "strange"),
        ("show", "strange", "--json"), ("method", "check", "strange"),
        ("run", "-m", "strange", "--split", "split", "--target", "avatars-a"),
    ))  # fmt: skip
    shown = how if "--format" in words else "json" if "--json" in words else "text"
    return f"as {key} of a stranger's card", words, shown, {"PYTHONPATH": f"{place}:{os.environ.get('PYTHONPATH', '')}"}


def _wrong(ended: Ended, how: str, copy: Path) -> Iterator[str]:
    for name, shown in (("output", ended.out), ("errors", ended.err)):
        if found := _UNSEEN.search(shown):
            yield f"{name} hold the control character {found.group()!r}"
        if len(shown) > 5_000_000:
            yield f"{name} have {len(shown)} characters"
    if how == "csv" and ended.status == 0:
        for cell in (cell for row in csv.reader(io.StringIO(ended.out)) for cell in row):
            if cell.startswith(("=", "@", "\t")):
                yield f"a cell is a formula: {cell[:60]!r}"
    if how == "md" and ended.status == 0 and (found := _MARKUP.search(ended.out)):
        yield f"Markdown that is obeyed: {found.group()!r}"
    if how == "latex" and ended.status == 0 and "\\input{" in ended.out:
        yield "a command of LaTeX is obeyed"
    if (copy / "owned").exists():
        yield "a command in a text was carried out"
    for page in (copy / "site").rglob("*.html"):
        if _SCRIPT.search(page.read_text(errors="replace")):
            yield f"a script is in {page.name}"
