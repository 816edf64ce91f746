"""No command that writes where a person points it destroys what idbench did not make: every such option, one by one."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
from tests.campaign.campaign import preload
from tests.campaign.damage import TINY, Whole
from tests.campaign.trial import Ended, bench
from typer.core import TyperGroup

from idbench.cli.app import command_line
from idbench.splits import load_split
from idbench.splits.split import Identity

MINE = b"years of work"
MINE_AS_PDF = b"%PDF-1.4\n1 0 obj\n<</Title (Thesis)\n/Producer (Skia/PDF m156)>>\nendobj\n"

PLACES: dict[tuple[str, str], tuple[tuple[str, ...], str]] = {
    ("run", "write_plan"): (("run", "-m", "random", *TINY, "--write-plan", "mine.json"), "mine.json"),
    ("show", "plot"): (("show", "RUN", "--plot", "mine.png"), "mine.png"),
    ("compare", "plot"): (("compare", "RUN", "random", *TINY, "--plot", "mine.png"), "mine.png"),
    ("audit person", "out"): (
        ("audit", "person", "--target", "avatars-a", "--name", "Ada Quill", "--out", "mine.html"),
        "mine.html",
    ),
    ("audit person", "pdf"): (
        ("audit", "person", "--target", "avatars-a", "--name", "Ada Quill", "--pdf", "mine.pdf"),
        "mine.pdf",
    ),
    ("perf", "out"): (("perf", "labels", "--out", "mine.md"), "mine.md"),
    ("study", "out"): (
        (
            "study",
            "idia-by-photos",
            "--split",
            "avatars-tiny",
            "--targets",
            "avatars-a,avatars-b,avatars-0",
            "--out",
            "mine",
        ),
        "mine/idia-by-photos.svg",
    ),
    ("defend", "out"): (
        (
            "defend",
            "avatars-a",
            "--defense",
            "null-space",
            "--split",
            "avatars-tiny",
            "--protect",
            "protect.csv",
            "--out",
            "mine",
        ),
        "mine/open_clip_config.json",
    ),
    ("method new", "out"): (("method", "new", "my-attack", "--out", "mine"), "mine/pyproject.toml"),
    ("data build", "out"): (("data", "build", "avatars-tiny", "--out", "mine"), "mine/manifest.json"),
    ("data build", "labels"): (
        (
            "data",
            "build",
            "lfw-injected",
            "--faces",
            "faces",
            "--secret-seed",
            "names.txt",
            "--out",
            "new",
            "--labels",
            "mine",
        ),
        "mine/manifest.json",
    ),
    ("data fetch", "out"): (("data", "fetch", "split", "--out", "split"), "split/manifest.json"),
    ("data search", "labels"): (
        (
            "data",
            "search",
            "captions.tsv",
            "--column",
            "1",
            "--no-header",
            "--names",
            "people.tsv",
            "--labels",
            "mine.parquet",
            "--corpus-name",
            "captions",
        ),
        "mine.parquet",
    ),
    ("data assemble", "out"): (
        ("data", "assemble", "--identities", "people.csv", "--labels", "labels.csv", "--out", "mine"),
        "mine/manifest.json",
    ),
    ("data new", "out"): (
        ("data", "new", "my-split", "--faces", "faces", "--labels", "labels.csv", "--out", "mine"),
        "mine/manifest.json",
    ),
    ("data subset", "out"): (("data", "subset", "split", "matched", "--out", "mine"), "mine/manifest.json"),
    ("data face-classifier train", "out"): (
        ("data", "face-classifier", "train", "faces", "--crop", "none", "--out", "mine.safetensors"),
        "mine.safetensors",
    ),
    ("target train", "out"): (("target", "train", "avatars-a", "--out", "mine.safetensors"), "mine.safetensors"),
    ("challenge make", "out"): (
        ("challenge", "make", "--secret-seed", "names.txt", "--labels", "new", "--out", "mine"),
        "mine/manifest.json",
    ),
    ("challenge make", "labels"): (
        ("challenge", "make", "--secret-seed", "names.txt", "--labels", "mine", "--out", "new"),
        "mine/manifest.json",
    ),
    ("challenge answer", "log"): (
        ("challenge", "answer", "results", "--split", "split", "--log", "mine.jsonl"),
        "mine.jsonl",
    ),
    ("leaderboard build", "out"): (("leaderboard", "build", "results", "--out", "mine"), "mine/manifest.json"),
    ("leaderboard labels", "out"): (("leaderboard", "labels", "split", "--out", "mine.json"), "mine.json"),
    ("leaderboard export", "out"): (("leaderboard", "export", "--out", "mine"), "mine/index.html"),
}
"""For each command and option that says where to write: what is typed, and the file of the person's that is there."""

NEVER_OVER = {("attest", "to"), ("invalidate", "to"), ("verify", "to")}
"""Each statement is a new file, called by its own digest."""


def writing_options() -> set[tuple[str, str]]:
    """Every option by which a person says where to write."""
    found = set()

    def look(command: object, words: tuple[str, ...]) -> None:
        if isinstance(command, TyperGroup):
            for name, each in command.commands.items():
                look(each, (*words, name))
            return
        for option in command.params:  # type: ignore[attr-defined]
            writes = option.name in ("out", "pdf", "plot", "write_plan", "to")
            labels = (words[0] == "data" and words[-1] in ("search", "build")) or words[-1] == "make"
            if writes or (option.name == "labels" and labels) or (words[0] == "challenge" and option.name == "log"):
                found.add((" ".join(words), str(option.name)))

    look(typer.main.get_command(command_line()), ())
    return found


def test_every_option_that_writes_is_tried_here() -> None:
    assert writing_options() == PLACES.keys() | NEVER_OVER


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    preload()
    return Whole.make(tmp_path_factory.mktemp("writing") / "whole")


def _identities(folder: Path) -> Sequence[Identity]:
    return load_split(folder / "split").identities


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


@pytest.fixture
def folder(whole: Whole, tmp_path: Path) -> Path:
    """Records, a split, and a little of everything that the commands read."""
    copy = whole.copy(tmp_path / "work")
    for person in ("Ada Quill", "Bo Fenwick"):
        (copy / "faces" / person).mkdir(parents=True)
    (copy / "names.txt").write_text("Ada Quill\nBo Fenwick\n")
    (copy / "protect.csv").write_text(f"name\n{_identities(copy)[0].name}\n")
    (copy / "people.csv").write_text("name\nAda Quill\nBo Fenwick\n")
    (copy / "people.tsv").write_text("p1\tAda Quill\np2\tBo Fenwick\n")
    (copy / "labels.csv").write_text("name,member\nAda Quill,true\nBo Fenwick,false\n")
    (copy / "captions.tsv").write_text("a picture of Ada Quill\thttps://example.org/1.jpg\n")
    return copy


@pytest.mark.parametrize("place", PLACES, ids=" ".join)
def test_what_is_there_stays(place: tuple[str, str], folder: Path) -> None:
    words, victim = PLACES[place]
    run = next(folder.glob("results/*/*/random-*")).relative_to(folder).as_posix()
    file = folder / victim
    if place != ("data fetch", "out"):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(MINE_AS_PDF if file.suffix == ".pdf" else MINE)
    before = tree(folder)
    ended = bench([run if word == "RUN" else word for word in words], folder)
    assert_refused(ended)
    assert file.name in ended.err or "lies within" in ended.err, ended.err
    assert tree(folder) == before


def assert_refused(ended: Ended) -> None:
    assert ended.complaint() == "", ended
    assert ended.status == 1, ended
    assert ended.err.count("error:") == 1, ended.err


def test_files_of_their_own_kind_are_written_again(folder: Path) -> None:
    run = next(folder.glob("results/*/*/random-*")).relative_to(folder).as_posix()
    for words in (
        ("run", "-m", "random", *TINY, "--write-plan", "again.json"),
        ("show", run, "--plot", "again"),
        ("leaderboard", "labels", "split", "--out", "labels.json"),
        (*PLACES["data search", "labels"][0][:-3], "found.parquet", "--corpus-name", "captions"),
    ):
        for _ in range(2):
            ended = bench(words, folder)
            assert ended.status == 0, ended
    assert {"again.json", "again.png", "again.svg", "labels.json", "found.parquet"} <= tree(folder).keys()


def test_a_list_of_retractions_is_not_written_over_another_file(folder: Path) -> None:
    mine = folder / "thesis.tex"
    mine.write_bytes(MINE + b" \xff on two hundred pages\n")
    before = tree(folder)
    ended = bench(
        ("data", "retract", _identities(folder)[0].id, "--split", "split"), folder, {"BENCH_RETRACTIONS": str(mine)}
    )
    assert_refused(ended)
    assert tree(folder) == before


def test_the_doctor_leaves_no_trace(folder: Path) -> None:
    (folder / "results" / ".doctor").write_bytes(MINE)
    before = tree(folder)
    bench(("doctor", "--json"), folder)
    assert tree(folder) == before


def _moved_aside(path: Path) -> None:
    """What a kill between two renames leaves: the old folder aside, and none in its place."""
    aside = path.with_name(f".{path.name}.idbench-k1lled00.old")
    aside.mkdir()
    path.rename(aside / "old")


def test_readers_find_what_a_kill_left_moved_aside(folder: Path) -> None:
    run = next(folder.glob("results/*/*/random-*")).relative_to(folder)
    built = bench(("leaderboard", "build", "results", "--out", "board"), folder)
    assert built.status == 0, built
    for moved, words in (
        (run, ("list", "runs", "--json")),
        (run, ("show", run.as_posix(), "--json")),
        (run, ("show", run.name.rpartition("-")[2], "--json")),
        (run, ("leaderboard", "check", "results")),
        (Path("split"), ("data", "lint", "split", "--json")),
        (Path("board"), ("leaderboard", "export", "board", "--out", "site")),
    ):
        before = bench(words, folder)
        for place in ("site",):
            shutil.rmtree(folder / place, ignore_errors=True)
        _moved_aside(folder / moved)
        ended = bench(words, folder)
        assert (ended.status, ended.out) == (before.status, before.out), (words, ended)
        assert not list((folder / moved).parent.glob(".*.old"))
