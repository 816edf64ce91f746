"""Names of published data sets, and the sums that come with them: no network."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from idbench.errors import DataError, HubError
from idbench.hub import HubRef, parse_ref, write_sums
from idbench.hub.sums import SUMS_FILE, read_sums, wrong_files

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_reference_reads_as_it_is_written() -> None:
    ref = parse_ref(f"hub:lab/tiny@{COMMIT}")
    assert ref == HubRef("lab/tiny", COMMIT) == parse_ref(str(ref)) == parse_ref(f"lab/tiny@{COMMIT}")
    assert ref.is_pinned
    assert not parse_ref("hub:lab/tiny@v1").is_pinned
    assert not parse_ref(f"hub:lab/tiny@{COMMIT[:8]}").is_pinned
    assert parse_ref("hub:lab/tiny@refs/pr/3").revision == "refs/pr/3"


@pytest.mark.parametrize(
    "text",
    [
        "hub:", "hub:lab", "hub:lab/tiny", "hub:lab/tiny@", "hub:/tiny@v1", "hub:lab/@v1", "hub:a/b/c@v1",
        "hub:lab/t y@v1", "hub:../tiny@v1", "hub:lab/ti--ny@v1", "hub:lab/tiny.git@v1", "hub:lab/tiny@v1 ",
        "hub:lab/tiny@../v1", "hub:-a/b@v1", f"hub:{'x' * 97}/tiny@v1", "hub:lab/tiny@v1\n", "hub:lab/tiny@\x1b[31m",
    ],
)  # fmt: skip
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(HubError):
        parse_ref(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "data" / "a b.bin").write_bytes(bytes(range(256)))
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "left.txt").write_text("not published")
    write_sums(tmp_path)
    return tmp_path


def test_sums_are_those_of_the_common_tool(folder: Path) -> None:
    assert set(read_sums(folder)) == {"README.md", "data/a b.bin"}
    assert wrong_files(folder) == []
    if (tool := shutil.which("sha256sum")) is not None:
        subprocess.run([tool, "--check", "--strict", SUMS_FILE], cwd=folder, check=True, capture_output=True)


def test_damage_is_named(folder: Path) -> None:
    (folder / "README.md").write_text("About")
    (folder / "data" / "a b.bin").unlink()
    assert wrong_files(folder) == ["README.md", "data/a b.bin"]


@pytest.mark.parametrize("text", ["", "nonsense\n", f"{'0' * 64}  ../up\n", f"{'0' * 64}  /etc/hosts\n", "\0" * 70])
def test_what_is_no_list_of_sums_is_refused(folder: Path, text: str) -> None:
    (folder / SUMS_FILE).write_text(text)
    with pytest.raises(DataError, match="is not a list of SHA-256 sums"):
        read_sums(folder)
