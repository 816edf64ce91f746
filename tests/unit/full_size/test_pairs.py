"""The list of pairs: what is understood, what is dropped and counted, and one sentence for what is no list."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.unit.full_size.web import write_tsv

from idbench.api import Silent
from idbench.errors import DataError, StorageError
from idbench.splits.cc3m.pairs import read_pairs

GOOD = [("a red hat", "http://example.org/1.jpg"), ("a blue hat", "https://example.org/2.jpg")]


def read(path: Path) -> tuple[list[tuple[str, str]], dict[str, int], dict[str, int]]:
    out = path.with_suffix(".parquet")
    report = read_pairs(path, out, Silent())
    table = pq.read_table(out).to_pydict()
    return list(zip(table["caption"], table["url"], strict=True)), dict(report.counts), dict(report.dropped)


def test_the_public_file_has_no_header(tmp_path: Path) -> None:
    assert read(write_tsv(tmp_path / "p.tsv", GOOD)) == (GOOD, {"rows": 2, "kept": 2}, {})


def test_a_header_decides_which_column_is_which(tmp_path: Path) -> None:
    path = tmp_path / "p.tsv"
    path.write_text("id\tURL\tTitle\n" + "".join(f"{i}\t{url}\t{text}\n" for i, (text, url) in enumerate(GOOD)))
    assert read(path)[0] == GOOD


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "p.tsv"
    path.write_bytes("\ufeffcaption\turl\r\n".encode() + b"".join(f"{c}\t{u}\r\n".encode() for c, u in GOOD))
    assert read(path)[0] == GOOD


def test_unusable_rows_are_dropped_and_counted_by_reason(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "p.tsv", [*GOOD, *((f"hat {i}", f"http://example.org/h{i}") for i in range(8))])
    with path.open("ab") as file:
        file.write(b"a caption alone\n")
        file.write(b"  \thttp://example.org/3.jpg\n")
        file.write(b"a secret\tfile:///etc/hosts\n")
        file.write(b"\xff\xfe\thttp://example.org/4.jpg\n")
        file.write(b"a  red hat\thttp://example.org/1.jpg\n")  # the first row with another space
    rows, counts, dropped = read(path)
    assert len(rows) == 10
    assert counts == {"rows": 15, "kept": 10}
    assert dropped == {
        "with too few columns": 1,
        "without a caption": 1,
        "without a web address": 1,
        "not UTF-8": 1,
        "repeated": 1,
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n\n", "begins with an empty line"),
        (b"only captions\nand more\n", "lacks caption and url: its first line has one column"),
        (b"title\tpicture\nx\ty\n", "lacks url: its first line has a header with title, picture"),
        (b"\xff\xfe\x00\n", "not UTF-8"),
        (b"caption\turl\n", "Only 0 of the 0 rows"),
        (b"caption\turl\n" + b"x\tno address\n" * 3 + b"x\thttp://example.org/1\n", "Only 1 of the 4 rows"),
    ],
)
def test_what_is_no_list_of_pairs_is_refused_in_one_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "p.tsv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        read(path)
    assert "caption, tab, URL" in caught.value.hint
    assert not path.with_suffix(".parquet").exists()


def test_a_missing_list_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        read(tmp_path / "none.tsv")
