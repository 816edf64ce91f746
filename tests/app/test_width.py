"""Every command in a terminal of eighty columns: no line is longer, no name that people copy is broken."""

from __future__ import annotations

import ast
import io
import re
import string
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from tests.app.fictional import World, with_id
from typer.testing import CliRunner

import idbench.cli
from idbench.api import Silent
from idbench.cli import console
from idbench.cli.app import command_line
from idbench.results import ScoreTable, SplitRef, TargetRef, write_run
from idbench.splits import load_split

WIDTH = 80
METHOD = "likelihood-of-neighbours"
OTHER = "random-projections-of-faces"
TARGET = "avatars-a-drawn-once-more"


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.setenv("TERMINAL_WIDTH", str(WIDTH))
    monkeypatch.setattr(console, "out", Console(highlight=False, width=WIDTH))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of two methods with long names, captions and names to search for; a record that does not count."""
    root = tmp_path_factory.mktemp("width")
    split = load_split("avatars-tiny", Silent())
    ids = tuple(identity.id for identity in split.identities)
    member = split.labels(split.corpora[0]).member
    ref = SplitRef(name=split.manifest.name, version=split.manifest.version, digest=split.digest, commit=None)
    target = TargetRef(
        name=TARGET,
        version="1",
        architecture="none",
        sha256="0" * 64,
        corpus=split.corpora[0],
        control_for=(),
        design="d" * 64,
    )
    for name, drawn, strength in ((METHOD, "keen", 2.0), (OTHER, "random", 0.0)):
        for seed in (0, 1):
            record = World().record(drawn, seed=seed, n_cases=len(ids), split=ref)
            attack = record.attack.model_copy(update={"name": name})
            record = with_id(record.model_copy(update={"target": target, "attack": attack}))
            scores = np.random.default_rng([seed, len(name)]).normal(size=len(ids)) + strength * member
            table = ScoreTable(ids, scores, np.zeros(len(ids), dtype=np.bool_), np.full(len(ids), 5))
            write_run(root / "results", record, table)
    World().write(root / "results", "mild")
    (root / "corpus").mkdir()
    (root / "corpus" / "0.tsv").write_text("Annalise Leandersson-Quist at a gala\thttp://x/0\n" * 3)
    (root / "names.txt").write_text("p1\tAnnalise Leandersson-Quist\np2\tTom Ek\n")
    return root


TYPED: dict[str, Sequence[tuple[str, ...]]] = {
    "run": (
        ("--dry-run", "-m", "cosine", "--defense", "identity-projection", "--defense", "none", "--adapt", "all"),
        ("--dry-run", "-m", "shadow-classifier", "--target", "all", "--seeds", "3"),
        ("--dry-run", "-m", "idia", "--sweep", "tau=1,5"),
        ("-m", "blind-names", "-m", "random", "--results", "own", "--seeds", "2"),
    ),
    "list": tuple(
        (kind,) for kind in ("", "methods", "defenses", "splits", "targets", "adaptations", "runs", "studies")
    ),
    "show": (
        *((name,) for name in ("tuni", "shadow-classifier", "identity-projection", "relearn", "avatars-tiny")),
        ("avatars-a-vit-b-32",),
        ("{run}",),
    ),
    "compare": ((METHOD, OTHER, "--split", "avatars-tiny"),),
    "score": (("{run}",),),
    "study": ((), ("idia-by-photos", "--dry-run")),
    "doctor": ((),),
    "data lint": (("avatars-tiny",),),
    "data search": (("corpus", "--names", "names.txt"),),
    "target verify": ((),),
    "leaderboard build": (("results", "--out", "board"),),
    "cache info": ((),),
    "cache clear": (("--dry-run",),),
}
ONLY_SENTENCES = frozenset(
    {
        *("defend", "attest", "invalidate", "audit person", "method new", "target train", "challenge make"),
        *("data build", "data publish", "data verify", "data retract", "data assemble", "data new", "data subset"),
        *("data face-classifier train", "leaderboard tables", "leaderboard host", "leaderboard labels"),
        *("leaderboard serve", "leaderboard export"),
    }
)
"""They print no table."""
BY_THE_SAME_TABLE = frozenset(
    {"submit", "verify", "perf", "method check", "data fetch", "data audit", "leaderboard check", "challenge answer"}
)
"""Their tables need minutes, a server or an opponent; `test_any_table_fits` holds for them as for all others."""


def commands(group: typer.Typer, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """All commands of a group, and of the groups within."""
    for command in group.registered_commands:
        assert command.name or command.callback
        yield (*before, command.name or str(getattr(command.callback, "__name__", "")))
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            yield from commands(inner.typer_instance, (*before, str(inner.name)))


ALL = [" ".join(command) for command in commands(command_line())]


def test_every_command_is_here() -> None:
    assert {*TYPED, *ONLY_SENTENCES, *BY_THE_SAME_TABLE} == set(ALL)


def too_long(printed: str) -> list[str]:
    """Lines that a terminal would break; paths and commands may be longer, so that they can be copied."""
    lines = [line for line in printed.splitlines() if cell_len(line.rstrip()) > WIDTH]
    return [line for line in lines if len(line.split()) > 1 and not line.strip().startswith(("Next:", "bench "))]


@pytest.mark.parametrize("command", sorted(TYPED))
def test_output_fits(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    runs = {path.name.rpartition("-")[0]: path.name.rpartition("-")[2] for path in folder.glob("results/*/*/*")}
    for arguments in TYPED[command]:
        filled = [word.format(run=runs[METHOD]) for word in arguments if word]
        done = CliRunner().invoke(command_line(), [*command.split(), *filled], catch_exceptions=False)
        assert done.exit_code == 0, (filled, done.output)
        assert done.stdout.strip(), filled
        assert not too_long(done.stdout), (filled, too_long(done.stdout))
        assert "…" not in done.stdout, f"{filled}: something was cut"


@pytest.mark.parametrize("command", ["", *ALL])
def test_help_is_whole(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In sixty columns: no line is longer, nothing is cut."""
    monkeypatch.setenv("COLUMNS", "60")
    command_line()([*command.split(), "--help"], prog_name="bench", standalone_mode=False)
    narrow = capsys.readouterr().out
    assert "Usage: bench" in narrow
    wrong = re.compile(r"…|[a-z]\.\.\.$")
    assert not [line for line in narrow.splitlines() if cell_len(line) > 60 or wrong.search(line)]
    monkeypatch.setenv("COLUMNS", "80")
    command_line()([*command.split(), "--help"], prog_name="bench", standalone_mode=False)
    assert "".join(narrow.split()) == "".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", ["run", "data search", "verify"])
def test_variables_of_the_help_are_those_that_count(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    command_line()([*command.split(), "--help"], prog_name="bench", standalone_mode=False)
    found = re.search(r"environment instead: (--[\w-]+) as (BENCH_\w+),", " ".join(capsys.readouterr().out.split()))
    assert found is not None
    option, variable = found.groups()
    assert variable == f"BENCH_{command} {option.strip('-')}".replace(" ", "_").replace("-", "_").upper()


def test_names_stay_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for arguments in (
        ["list", "runs"],
        ["compare", METHOD, OTHER, "--split", "avatars-tiny"],
        ["run", "--dry-run", "-m", "shadow-classifier", "--target", "all"],
    ):
        shown = CliRunner().invoke(command_line(), arguments, catch_exceptions=False).stdout
        wanted = ("shadow-classifier", "avatars-a-vit-b-16") if "run" in arguments else (METHOD, OTHER)
        for name in wanted:
            assert name in shown, (arguments, shown)


name = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=40).map(lambda text: f"m{text}")
sentence = st.lists(st.text(string.ascii_letters + "[],.0123456789é李", min_size=1, max_size=18), max_size=12).map(
    " ".join
)
KINDS: dict[str, st.SearchStrategy[str]] = {
    **dict.fromkeys(("method", "target", "run", "split", "defense", "adaptation"), name),
    **dict.fromkeys(("seed", "time"), st.integers(0, 10**7).map(str)),
    **dict.fromkeys(("AUC [95 %]", "TPR at 10 % FPR", "contrast"), st.just("0.936 [0.919, 0.949]")),
    **dict.fromkeys(("title", "why", "found", "parameters"), sentence),
}
COPIED = ("method", "target", "run", "split", "defense", "adaptation", "seed", "time")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data())
def test_any_table_fits(data: st.DataObject) -> None:
    """Any number of columns, each with cells of any length: what is shown is whole, what is not is named."""
    columns = data.draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, unique=True))
    spare = data.draw(st.lists(st.sampled_from(columns), unique=True, max_size=len(columns) - 1))
    rows = data.draw(st.lists(st.tuples(*(KINDS[column] for column in columns)), min_size=1, max_size=4))
    with pytest.MonkeyPatch.context() as patch:
        file = io.StringIO()
        patch.setenv("COLUMNS", str(WIDTH))
        patch.setattr(console, "out", Console(file=file, highlight=False, width=WIDTH))
        missing = console.table("", columns, rows, ("seed", "time"), spare)
    shown = file.getvalue()
    assert all(cell_len(line) <= WIDTH for line in shown.splitlines()), shown
    assert set(missing) <= set(spare)
    assert all(column in " ".join(shown.split()) for column in missing), "a column that is not shown is named"
    for i, column in enumerate(columns):
        if column in COPIED and column not in missing:
            assert all(row[i] in shown for row in rows), (column, shown)


def test_empty_columns_and_spare_ones_go(capsys: pytest.CaptureFixture[str]) -> None:
    row = ("likelihood-of-neighbours", "avatars-a-drawn-once-more", "-", "3", "0.936 [0.919, 0.949]")
    columns = ("method", "target", "defense", "seed", "AUC [95 %]")
    assert console.table("", columns, [row], ("seed",), ("defense", "seed")) == ("seed",)
    shown = capsys.readouterr().out
    assert "defense" not in shown
    assert "0.936 [0.919, 0.949]" in shown
    assert "A wider terminal shows seed too, and so does --json." in shown


def test_what_fits_nowhere_becomes_blocks(capsys: pytest.CaptureFixture[str]) -> None:
    console.table("title", ("method", "target"), [("m" * 50, "t" * 50), ("n", "-")])
    assert capsys.readouterr().out.split() == [
        "title",
        *("method", "m" * 50, "target", "t" * 50),
        *("method", "n", "target", "-"),
    ]


def test_steps_are_not_broken(capsys: pytest.CaptureFixture[str]) -> None:
    console.next_steps("bench show 0123456789abcdef", "bench compare " + "a" * 30, "bench data audit x")
    assert capsys.readouterr().out.splitlines() == [
        "Next: bench show 0123456789abcdef · bench compare " + "a" * 30,
        "      bench data audit x",
    ]


def test_paths_in_sentences_are_not_broken(capsys: pytest.CaptureFixture[str]) -> None:
    path = "results/" + "a-folder-" * 12
    console.say(f"the record of this run is in {path} and nowhere else")
    assert path in capsys.readouterr().out.splitlines()


def test_tables_are_printed_in_one_place() -> None:
    """What holds for `console.table` holds for every table, for there is no other."""
    users: list[str] = []
    for module in Path(str(idbench.cli.__file__)).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "rich.table":
                users.append(module.name)
    assert users == ["console.py"]
