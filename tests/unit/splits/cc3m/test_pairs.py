"""The list of pairs: what is understood, what is dropped and counted, and one sentence for what is no list."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.web import write_tsv

from idbench.api import Silent
from idbench.errors import DataError, StorageError
from idbench.splits.cc3m.pairs import read_pairs, web_address

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
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"\n\n", "begins with an empty line"),
        (b"\nx\ty\n", "begins with an empty line and holds no addresses"),
        (
            b"a hat,http://example.org/1\nb,http://example.org/2\n",
            "lacks caption and url: its first line has a hat, http",
        ),
        (b"title;picture\nx;y\n", "lacks url: its first line has title, picture"),
        (b'{"caption": "x", "picture": "y"}\n', "lacks url: its first line has caption, picture"),
        (b'[{"caption": "x",\n "url": "http://example.org/1"}]\n', "is one JSON document"),
        (b'{\n  "caption": "x",\n  "url": "http://example.org/1"\n}\n', "is one JSON document"),
        (b"only captions\nand more\n", "lacks caption and url: its first line has one column"),
        (b"title\tpicture\nx\ty\n", "lacks url: its first line has title, picture"),
        (b"\xff\xfe\x00\n", "not UTF-8"),
        (b"caption\turl\n", "Only 0 of the 0 rows"),
        (b"caption\turl\n" + b"x\tno address\n" * 3 + b"x\thttp://example.org/1\n", "Only 1 of the 4 rows"),
    ],
)
def test_what_is_no_list_of_pairs_is_refused_in_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "p.tsv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=sentence) as caught:
        read(path)
    assert "a caption, a tab and a URL" in (caught.value.hint or "")
    assert not path.with_suffix(".parquet").exists()


def test_a_missing_list_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        read(tmp_path / "none.tsv")


def test_gzipped_lists_whatever_they_are_called(tmp_path: Path) -> None:
    plain = write_tsv(tmp_path / "p.tsv", GOOD).read_bytes()
    for name in ("p.tsv.gz", "list"):
        (tmp_path / name).write_bytes(gzip.compress(plain))
        assert read(tmp_path / name)[0] == GOOD
    (tmp_path / "cut.gz").write_bytes(gzip.compress(plain * 9)[:-12])
    with pytest.raises(DataError, match=r"cut\.gz is damaged"):
        read(tmp_path / "cut.gz")


def test_parquet_lists(tmp_path: Path) -> None:
    captions = [text for text, _ in GOOD]
    table = pa.table({"id": [1, 2], "URL": [url for _, url in GOOD], "TEXT": captions})
    pq.write_table(table, tmp_path / "list.pq")
    assert read(tmp_path / "list.pq")[0] == GOOD
    columns = {"caption": pa.array(["a\nred  hat", None, b"\xff", "a blue hat"], pa.binary()).dictionary_encode()}
    columns["url"] = pa.array([GOOD[0][1], "http://x/1", "http://x/2", GOOD[1][1]], pa.large_string())
    pq.write_table(pa.table(columns), tmp_path / "odd.pq")
    assert read(tmp_path / "odd.pq") == (
        GOOD, {"rows": 4, "kept": 2}, {"without a caption": 1, "not UTF-8": 1},
    )  # fmt: skip
    pq.write_table(pa.table({"caption": ["x"], "picture": ["y"]}), tmp_path / "no.pq")
    with pytest.raises(DataError, match="lacks url: its first line has caption, picture"):
        read(tmp_path / "no.pq")
    (tmp_path / "cut.pq").write_bytes((tmp_path / "list.pq").read_bytes()[:-9])
    with pytest.raises(DataError, match=r"cut\.pq is damaged"):
        read(tmp_path / "cut.pq")


@pytest.mark.parametrize(
    "content",
    [
        "url,caption\nhttp://example.org/1.jpg,a red hat\nhttps://example.org/2.jpg,a blue hat\n",
        'id;Title;URL\r\n1;"a red\r\nhat";http://example.org/1.jpg\r\n2;a blue hat;"https://example.org/2.jpg"\r\n',
        '{"url": "http://example.org/1.jpg", "TEXT": "a red hat", "x": [1]}\n'
        '\n{"text": "a blue\\nhat", "url": "https://example.org/2.jpg"}\n',
    ],
)
def test_lists_in_csv_and_json_lines_packed_or_not(tmp_path: Path, content: str) -> None:
    for name, written in (("p.tsv", content.encode()), ("p.gz", gzip.compress(("\ufeff" + content).encode()))):
        (tmp_path / name).write_bytes(written)
        assert read(tmp_path / name)[0] == GOOD


def test_rows_of_csv_that_cannot_be_parted_are_dropped_for_their_captions_may_be_cut(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    rows = [f"{url},{text}" for text, url in GOOD]
    bad = ["http://x/1,hat, red", "http://x/2", "", 'http://x/3,"never closed', 'http://x/4,"' + "x" * 200_000 + '"']
    more = [f"http://example.org/h{i},hat {i}" for i in range(3)]
    path.write_text("\n".join(["url,caption", *more, rows[0], *bad, rows[1], 'http://x/5,"a ""big"", green hat"', ""]))
    kept, counts, dropped = read(path)
    assert kept[3:] == [*GOOD, ('a "big", green hat', "http://x/5")]
    assert counts == {"rows": 11, "kept": 6}
    assert dropped == {
        "with more or fewer columns than the first line": 2,
        "without any text": 1,
        "with a quote that is never closed": 1,
        "with a cell longer than 128 KiB": 1,
    }


def test_lines_of_json_that_are_no_pairs_are_dropped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    rows = [json.dumps({"caption": text, "url": url}) for text, url in GOOD]
    bad = [b"[1, 2]", b'{"caption": "cut', b'{"url": "http://x/1"}', b'{"caption": "\xff", "url": "http://x/2"}']
    odd = b'{"caption": ["a", "\\ud800 hat"], "url": "http://x/3"}'
    path.write_bytes(b"\n".join([b"", bad[0], rows[0].encode(), *bad[1:], rows[1].encode(), odd, odd[:-2] + b'4"}']))
    kept, counts, dropped = read(path)
    assert kept == [*GOOD, ("a \ufffd\ufffd\ufffd hat", "http://x/3"), ("a \ufffd\ufffd\ufffd hat", "http://x/34")]
    assert counts == {"rows": 8, "kept": 4}
    assert dropped == {"not a JSON object": 2, "without a caption": 1, "not UTF-8": 1}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"Conceptual Captions, all of them\n", "with too few columns"),
        (b"\xff\xfe\thttp://example.org/0\n", "not UTF-8"),
        (b"\n", "without any text"),
        (b"a hat\tno address\n", "without a web address"),
        (b"x" * (3 << 20) + b"\thttp://example.org/0\n", "in a line longer than 1 MiB"),
    ],
)
def test_one_bad_row_is_one_bad_row_wherever_it_stands(tmp_path: Path, line: bytes, reason: str) -> None:
    rows = [f"{text}\t{url}\n".encode() for text, url in GOOD]
    for place in (0, 2):
        path = tmp_path / f"{place}.tsv"
        path.write_bytes(b"".join([*rows[:place], line, *rows[place:]]))
        assert read(path) == (GOOD, {"rows": 3, "kept": 2}, {reason: 1})


def test_quoted_captions_may_hold_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "p.tsv"
    path.write_text(
        '"a ""red""\nhat"\thttp://example.org/1.jpg\n"never closed\thttp://example.org/2.jpg\n'
        '"a\r\n\r\nblue hat"\t"http://example.org/3.jpg"\n" "" said\nhat"\tx\thttp://example.org/4.jpg\n',
        newline="",
    )
    rows, _, dropped = read(path)
    assert rows == [
        ('a "red" hat', "http://example.org/1.jpg"),
        ('"never closed', "http://example.org/2.jpg"),
        ("a blue hat", "http://example.org/3.jpg"),
    ]
    assert dropped == {"with too few columns": 1, "whose caption may begin on the line before": 1}


def test_what_stands_before_a_line_end_that_is_not_quoted_may_be_a_name(tmp_path: Path) -> None:
    path = tmp_path / "p.tsv"
    first, last = ("\t".join(row) for row in GOOD)
    path.write_text(f"{first}\nAnn Lee\nin a hat\thttp://x/2\n{last}\n")
    assert read(path)[0] == GOOD
    assert read(path)[2] == {"with too few columns": 1, "whose caption may begin on the line before": 1}


def test_what_stands_after_a_line_end_that_is_not_quoted_may_be_a_name(tmp_path: Path) -> None:
    """Where the caption comes last, the rest of it is a line of its own, in TSV as in CSV."""
    for separator, header in (("\t", ""), (",", "url,caption\n")):
        path = tmp_path / "p"
        first, last = (f"{url}{separator}{text}" for text, url in GOOD)
        path.write_text(
            f"{header}http://x/1{separator}a hat\nof Ann Lee\n{first}\n{last}\nhttp://x/2{separator}a cat\n"
        )
        rows, _, dropped = read(path)
        assert rows == [*GOOD, ("a cat", "http://x/2")]
        assert dropped.pop("whose caption may continue on the next line") == 1
        assert sum(dropped.values()) == 1


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
@pytest.mark.parametrize("first", ["url", "caption"])
@pytest.mark.parametrize(
    "stray", ['"a hat', '"a hat, 12" wide', '"a ""hat', 'a 12" hat', '"a" hat', 'a hat "'], ids=range(6)
)
def test_one_stray_quote_neither_swallows_nor_joins_rows(
    tmp_path: Path, separator: str, first: str, stray: str
) -> None:
    """However the rows after it are quoted, they are read as if it were not there."""
    plain = [f"hat {i} of Ann" for i in range(60)]
    plain[40] = 'a nail of 12"'
    header = [("url", "caption")] if first == "url" else [("caption", "url")]
    for some, written in ((1, plain), (2, [text if i % 3 or i == 40 else f'"{text}"' for i, text in enumerate(plain)])):
        rows = [(f"http://x/{i}", text) for i, text in enumerate(written)]
        rows.insert(20, ("http://y/0", stray))
        cells = header + [row if first == "url" else row[::-1] for row in rows]
        path = tmp_path / f"{some}"
        path.write_text("".join(f"{separator.join(row)}\n" for row in cells))
        kept = [row for row in read(path)[0] if row[1] != "http://y/0"]
        assert kept == [(text, f"http://x/{i}") for i, text in enumerate(plain)]


@pytest.mark.parametrize("separator", ["\t", ","])
@pytest.mark.parametrize("first", ["url", "caption"])
def test_a_quoted_caption_over_lines_is_one_caption_in_either_order(tmp_path: Path, separator: str, first: str) -> None:
    text = '"a hat\nof Ann, seen at\n\nthe ""gala"" of http://z"'
    header = [("url", "caption")] if first == "url" else [("caption", "url")]
    cells = header + [row if first == "url" else row[::-1] for row in [("http://x/1", text), ("http://x/2", "a cat")]]
    (tmp_path / "p").write_text("".join(f"{separator.join(row)}\n" for row in cells))
    rows, _, dropped = read(tmp_path / "p")
    assert rows == [('a hat of Ann, seen at the "gala" of http://z', "http://x/1"), ("a cat", "http://x/2")]
    assert not dropped


def test_the_other_order_and_lines_before_the_header(tmp_path: Path) -> None:
    path = tmp_path / "p.tsv"
    path.write_text("".join(f"{url}\t{text}\n" for text, url in GOOD))
    assert read(path)[0] == GOOD
    path.write_text("# a list\n\ncaption\turl\n" + "".join(f"{text}\t{url}\n" for text, url in GOOD))
    assert read(path)[0] == GOOD


@pytest.mark.parametrize(
    ("written", "needed"),
    [
        ("http://example.org/a.jpg?x=1&y=2", "http://example.org/a.jpg?x=1&y=2"),
        ("HTTP://example.org/A.jpg", "http://example.org/A.jpg"),
        ("  hTTps://Example.org/a.jpg#top ", "https://example.org/a.jpg"),
        ("http://example.org/ü b/ä.jpg?ö=ß ü", "http://example.org/%C3%BC%20b/%C3%A4.jpg?%C3%B6=%C3%9F%20%C3%BC"),
        ("http://example.org/%C3%BC%20100%.jpg", "http://example.org/%C3%BC%20100%25.jpg"),
        ("http://bücher.example:8080/x", "http://xn--bcher-kva.example:8080/x"),
        ("http://example.org\\a\\b.jpg", "http://example.org/a/b.jpg"),
        ("http://example.org/a\n.jpg", "http://example.org/a.jpg"),
        ("http://example.org/<a>|{b}.jpg", "http://example.org/%3Ca%3E%7C%7Bb%7D.jpg"),
        ("http://[::1]:80/x y", "http://[::1]:80/x%20y"),
        ("http:/example.org/a.jpg", "http://example.org/a.jpg"),
        ("HTTPS:\\example.org/a b", "https://example.org/a%20b"),
        ("file:///etc/hosts", None),
        ("ftp://example.org/x", None),
        ("example.org/x.jpg", None),
        ("", None),
    ],
)
def test_addresses_are_written_as_servers_need_them(written: str, needed: str | None) -> None:
    assert web_address(written) == needed
    if needed:
        assert web_address(needed) == needed


@pytest.mark.parametrize(
    "written",
    ["http://", "http:///x", "http://[::1/x", "http://a:b/x", "http://a:99999/x", "http://a b/x", "http://\u2100/x"],
)
def test_what_only_begins_like_an_address(tmp_path: Path, written: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        web_address(written)
    assert read(write_tsv(tmp_path / "p.tsv", [*GOOD, ("x", written)]))[2] == {"with an address that cannot be one": 1}
