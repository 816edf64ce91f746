"""What commands may write over: nothing that they did not make, whatever a person points them at."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from tests.kills import killed_at_rename

from idbench.errors import StorageError
from idbench.outputs import MARKER, check_file, check_folder, made_folder


def make(out: Path, content: str = "x", **given: object) -> None:
    with made_folder(out, "board", **given) as folder:  # type: ignore[arg-type]
        (folder / "data").mkdir()
        (folder / "data" / "file").write_text(content)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_made_before_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "board"
    make(out)
    make(out, "y")
    assert contents(out)["data/file"] == b"y"
    assert names(out.parent) == ["board"]


def foreign_file(out: Path) -> None:
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")


def foreign_file_in_a_made_folder(out: Path) -> None:
    make(out)
    (out / "data" / "notes.txt").write_text("mine")


def folder_of_another_kind(out: Path) -> None:
    with made_folder(out, "site") as folder:
        (folder / "index.html").write_text("site")


def forged_marker_that_is_not_json(out: Path) -> None:
    foreign_file(out)
    (out / MARKER).write_text("{")


def deeply_nested_marker(out: Path) -> None:
    foreign_file(out)
    (out / MARKER).write_text("[" * 100_000)


def marker_that_is_a_pipe(out: Path) -> None:
    foreign_file(out)
    os.mkfifo(out / MARKER)


def empty_folder_inside(out: Path) -> None:
    (out / "kept-for-later").mkdir(parents=True)


def link_inside(out: Path) -> None:
    out.mkdir()
    (out / "elsewhere").symlink_to(out.parent)


@pytest.mark.parametrize(
    "there",
    [
        foreign_file,
        foreign_file_in_a_made_folder,
        folder_of_another_kind,
        forged_marker_that_is_not_json,
        deeply_nested_marker,
        marker_that_is_a_pipe,
        empty_folder_inside,
        link_inside,
    ],
)
def test_what_was_not_made_here_stays(tmp_path: Path, there: Callable[[Path], None]) -> None:
    out = tmp_path / "board"
    there(out)
    before = sorted(path.name for path in out.rglob("*"))
    with pytest.raises(StorageError, match="not a board written by idbench") as caught:
        make(out)
    assert "--force" in caught.value.hint
    assert sorted(path.name for path in out.rglob("*")) == before
    assert names(tmp_path) == ["board"]
    notes: list[str] = []
    check_folder(out, "board", force=True, note=notes.append)
    assert [sentence.startswith(f"--force replaces {out}, and with it ") for sentence in notes] == [True]
    make(out, force=True)
    assert contents(out).keys() == {"data/file", MARKER}


@pytest.mark.parametrize("force", [False, True])
def test_inputs_are_never_written_over(tmp_path: Path, force: bool) -> None:
    results = tmp_path / "results"
    (results / "run").mkdir(parents=True)
    for out in (results, tmp_path, results / "run", results / "new" / "board", tmp_path / "x" / ".." / "results"):
        with pytest.raises(StorageError, match="which this command reads"):
            make(out, inputs=[results], force=force)
    link = tmp_path / "link"
    link.symlink_to(results)
    with pytest.raises(StorageError, match="which this command reads"):
        make(link, inputs=[results], force=force)
    assert names(tmp_path) == ["link", "results"]
    assert names(results) == ["run"]


MOUNTED = """
import sys
from pathlib import Path
from idbench.errors import StorageError
from idbench.outputs import check_file, check_folder

place = Path(sys.argv[1])
for out, given in (("other/in", "in"), ("other", "in"), ("other/in/new", "in"), ("deep", "in/records")):
    for force in (False, True):
        try:
            check_folder(place / out, "board", [place / given], force=force)
        except StorageError as error:
            assert "which this command reads" in str(error), error
        else:
            raise AssertionError(out)
try:
    check_file(place / "other/in/run.json", "plan", lambda path: True, [place / "in/run.json"], force=True)
except StorageError as error:
    assert "is read by this command" in str(error)
    print("refused")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mounts of folders")
def test_a_folder_that_is_mounted_twice_is_one_folder(tmp_path: Path) -> None:
    """In namespaces of its own a folder is shown at two places: neither name may be written over the other."""
    place = tmp_path / "place"
    (place / "in" / "records").mkdir(parents=True)
    (place / "in" / "run.json").write_text("{}")
    for name in ("other", "deep/within"):
        (place / name).mkdir(parents=True)
    mounts = 'mount --bind "$1" "$1/other" && mount --bind "$1/in/records" "$1/deep/within" && exec "$2" -c "$3" "$1"'
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounts, "sh"]
    command = [*inside, str(place), sys.executable, MOUNTED]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.stderr.startswith(("unshare:", "mount:")):
        pytest.skip("this system lets nobody mount")
    assert done.stdout == "refused\n", done.stderr


@pytest.mark.parametrize("force", [False, True])
def test_home_and_the_present_folder_are_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    home, work = tmp_path / "home", tmp_path / "work" / "inner"
    for folder in (home, work):
        folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    for out in (Path("~"), home, Path(), Path(".."), work, work.parent, tmp_path, Path("/")):
        with pytest.raises(StorageError, match=r"home folder|current folder|mounted"):
            make(out, force=force)
    assert names(tmp_path) == ["home", "work"]


def test_a_file_or_an_impossible_name_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for out in ("file", "file/board", "loop", "n" * 300, "~nouser-of-this-machine"):
        with pytest.raises(StorageError):
            make(tmp_path / out if out[0] != "~" else Path(out))
    assert (tmp_path / "file").read_text() == "x"


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "board"
    link.symlink_to(tmp_path / "disk" / "board")
    for content in ("x", "y"):
        make(link, content)
        assert link.is_symlink()
        assert contents(tmp_path / "disk" / "board")["data/file"] == content.encode()
    assert names(tmp_path / "disk") == ["board"]
    other = tmp_path / "labels.json"
    other.symlink_to(tmp_path / "disk" / "labels.json")
    assert check_file(other, "label file", is_label_file) == tmp_path / "disk" / "labels.json"


def test_a_kill_between_two_renames_is_made_good_by_the_next_writing(tmp_path: Path) -> None:
    out = tmp_path / "board"
    make(out)
    again = f"""
from pathlib import Path
from idbench.outputs import made_folder
with made_folder(Path({str(out)!r}), "board") as folder:
    (folder / "file").write_text("y")
"""
    killed_at_rename(2, again)
    assert names(tmp_path) != ["board"]
    assert not out.exists()
    with pytest.raises(StorageError, match="not a site written by idbench"):  # what was hidden is there, and is judged
        check_folder(out, "site")
    assert names(tmp_path) == ["board"]
    assert contents(out)["data/file"] == b"x"
    killed_at_rename(1, again)
    assert len(names(tmp_path)) == 3  # the old board, the new one half made, an empty folder to move the old one to
    make(out, "z")
    assert names(tmp_path) == ["board"]
    assert contents(out)["data/file"] == b"z"


def test_a_file_that_was_half_written_at_a_kill_goes_with_the_next_writing(tmp_path: Path) -> None:
    out = tmp_path / "labels.json"
    out.write_text("labels of the last version")
    code = f"from pathlib import Path; from idbench.storage import write_text; write_text(Path({str(out)!r}), 'new')"
    killed_at_rename(1, code)
    assert len(names(tmp_path)) == 2
    check_file(out, "label file", is_label_file)
    assert names(tmp_path) == ["labels.json"]
    assert out.read_text() == "labels of the last version"


def is_label_file(path: Path) -> bool:
    return path.read_text().startswith("labels")


@pytest.mark.parametrize("name", ["new", "new/deeper/new"])
@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT])
def test_a_place_where_nothing_can_be_created_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    def refuse(**options: object) -> NoReturn:
        raise OSError(number, os.strerror(number), str(options["dir"]))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    out = tmp_path / name
    for check in (lambda: check_file(out, "label file", is_label_file), lambda: check_folder(out, "board")):
        with pytest.raises(StorageError, match=f"^{out} cannot be written. .*{tmp_path}") as caught:
            check()
        assert caught.value.hint == "Name another place."


def test_a_file_on_the_way_is_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    out = tmp_path / "file" / "deeper" / "new"
    for check in (lambda: check_file(out, "label file", is_label_file), lambda: check_folder(out, "board")):
        with pytest.raises(StorageError, match="in the way: it is not a folder"):
            check()


def test_looking_whether_a_place_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    check_file(tmp_path / "a" / "b" / "labels.json", "label file", is_label_file)
    check_folder(tmp_path / "a" / "b" / "board", "board")
    assert not list(tmp_path.iterdir())


def test_a_file_is_replaced_only_where_it_is_of_its_kind(tmp_path: Path) -> None:
    out = tmp_path / "labels.json"
    check_file(out, "label file", is_label_file)
    out.write_text("labels of the last version")
    check_file(out, "label file", is_label_file)
    out.write_bytes(b"\xff\xfe not text")
    with pytest.raises(StorageError, match="not a label file written by idbench"):
        check_file(out, "label file", is_label_file)
    notes: list[str] = []
    check_file(out, "label file", is_label_file, force=True, note=notes.append)
    assert notes == [f"--force replaces {out}, which is not a label file written by idbench"]
    for place in (tmp_path, Path("/dev/null")):
        with pytest.raises(StorageError, match="not a regular file"):
            check_file(place, "label file", is_label_file, force=True)
    with pytest.raises(StorageError, match="is read by this command"):
        check_file(out, "label file", is_label_file, [out], force=True)
