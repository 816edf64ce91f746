"""Captions out of every kind of file, and one clear sentence for every way in which a file can be wrong."""

from __future__ import annotations

import contextlib
import gzip
import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.corpora import (
    WRITERS,
    Writer,
    add,
    packed,
    write_csv,
    write_json_lines,
    write_json_tar,
    write_parquet,
    write_tar,
    write_tsv,
    write_tsv_gz,
)

from idbench.captions import DamagedShard, ReadOptions, batches, find_shards, read_shard, text, webdataset
from idbench.captions.tar import BrokenTar, TarWalker
from idbench.errors import DataError

CAPTIONS = [
    "Ann Lee at a gala",
    "",
    "Jörn Påske, \"quoted\" 'and' \\ more",
    "ünï 猫 🐈",
    " spaces  stay ",
    "NA",
    "null",
]


def captions(path: Path, **options: object) -> list[str]:
    return [
        caption
        for part in read_shard(path, ReadOptions(**options))  # type: ignore[arg-type]
        for caption in part.captions.to_pylist()
    ]


@pytest.mark.parametrize("write", WRITERS)
def test_every_kind_of_file_gives_the_same_captions(tmp_path: Path, write: Writer) -> None:
    assert captions(write(tmp_path, CAPTIONS)) == CAPTIONS


@pytest.mark.parametrize("write", WRITERS)
def test_batches_follow_each_other(tmp_path: Path, write: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (batches, text, webdataset):
        monkeypatch.setattr(module, "ROWS", 10)
    monkeypatch.setattr("idbench.captions.tables.ROWS", 10)
    monkeypatch.setattr("idbench.captions.text.BLOCK", 200)
    path = write(tmp_path, [f"caption {i}" for i in range(25)])
    parts = list(read_shard(path, ReadOptions()))
    assert len(parts) > 1
    seen = [caption for part in parts for caption in part.captions.to_pylist()]
    assert seen == [f"caption {i}" for i in range(25)]
    assert [part.captions[0].as_py() for part in parts if len(part.captions)] == [
        f"caption {part.first - 1}" for part in parts if len(part.captions)
    ]
    assert all(0 <= part.done <= 1 for part in parts)


def test_columns(tmp_path: Path) -> None:
    table = {"alt": ["wrong"], "Caption": ["right"], "other": ["named"], "n": [1]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    assert captions(tmp_path / "a.parquet") == ["right"]
    assert captions(tmp_path / "a.parquet", column="other") == ["named"]
    with pytest.raises(DataError, match="no text column 'n'"):
        captions(tmp_path / "a.parquet", column="n")
    (tmp_path / "a.tsv").write_text("id\tother\ttitle\n1\tnamed\tright\n")
    assert captions(tmp_path / "a.tsv") == ["right"]
    assert captions(tmp_path / "a.tsv", column="other") == ["named"]
    (tmp_path / "b.tsv").write_text("http://x/1\tfirst\n\tsecond\n")
    assert captions(tmp_path / "b.tsv") == ["first", "second"]
    assert captions(tmp_path / "b.tsv", column="1") == ["http://x/1", ""]
    (tmp_path / "c.tsv").write_text("caption\tx\n")
    assert captions(tmp_path / "c.tsv", header=False, column="1") == ["caption"]
    path = write_tar(tmp_path, ["txt goes first"])
    assert captions(path, column="caption") == ["wrong: txt goes first"]
    assert captions(path, column="key") == ["0"]


def test_each_sample_of_a_tar_has_its_caption_where_it_is(tmp_path: Path) -> None:
    def packed(members: dict[str, bytes]) -> Path:
        with tarfile.open(tmp_path / "a.tar", "w") as tar:
            for name, content in members.items():
                add(tar, name, content)
        return tmp_path / "a.tar"

    sizes, broken = b'{"width": 3}', b"{ broken, and not needed"
    path = packed(
        {"0.json": b'{"caption": "not this one"}', "0.txt": b"in text", "1.jpg": b"picture"}
        | {"1.json": b'{"caption": "in json", "width": 3}', "2.jpg": b"picture", "3.json": sizes}
        | {"4.json": broken, "4.txt": b"text again"}
    )
    assert captions(path) == ["in text", "in json", "text again"]
    assert captions(path, column="txt") == ["in text", "text again"]
    path = packed(
        {"0.json": b'{"caption": "in json"}', "1.json": sizes, "1.txt": b"in text", "2.txt": b"alone", "3.json": sizes}
    )
    assert captions(path) == ["in json", "in text", "alone", ""]
    assert captions(path, column="caption") == ["in json", "", ""]


def test_dictionary_and_large_columns(tmp_path: Path) -> None:
    for kind in (pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())):
        values = pa.array(["a", None, "b"], pa.string()).cast(kind)
        pq.write_table(pa.table({"caption": values}), tmp_path / "a.parquet")
        assert captions(tmp_path / "a.parquet") == ["a", "", "b"], kind


def test_windows_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(b"\xef\xbb\xbfcaption\turl\r\nAnn Lee\thttp://x\r\n")
    assert captions(tmp_path / "a.tsv") == ["Ann Lee"]


BROKEN: list[tuple[str, Callable[[Path], Path], str]] = []


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_carriage_return_within_a_caption_does_not_end_it(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    eighth = text.BLOCK // 8
    # The first block ends between a return and the line feed that belongs to it.
    long = [b"x" * (eighth - 2)] * 7 + [b"y" * (eighth - len(b"caption..one.line..") - 1)]
    lines = [b"caption", b"one\rline", *long, b"two\rs", b"end\r"]
    assert b"\r\n".join(lines)[text.BLOCK - 1 : text.BLOCK + 1] == b"\r\n"
    path = tmp_path / "a.tsv"
    path.write_bytes(pack(b"\r\n".join(lines)))
    expected = [line.decode().replace("\r", " ") for line in lines[1:]]
    assert captions(path) == expected


def broken(says: str) -> Callable[[Callable[[Path], Path]], Callable[[Path], Path]]:
    def keep(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
        BROKEN.append((make.__name__, make, says))
        return make

    return keep


def cut(path: Path, keep: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path


MANY = [f"caption number {i} of many {i * 7919 % 1000}" for i in range(500)]


@broken("is damaged")
def truncated_parquet(folder: Path) -> Path:
    return cut(write_parquet(folder, MANY), 0.5)


@broken("is damaged")
def parquet_that_is_none(folder: Path) -> Path:
    (folder / "a.parquet").write_text("hello")
    return folder / "a.parquet"


@broken("is damaged")
def empty_parquet_file(folder: Path) -> Path:
    (folder / "a.parquet").touch()
    return folder / "a.parquet"


@broken("is damaged")
def parquet_with_a_flipped_page(folder: Path) -> Path:
    path = write_parquet(folder, MANY)
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : len(content) // 3 + 200] = bytes(200)
    path.write_bytes(content)
    return path


@broken("is damaged: Compressed file ended")
def truncated_gzip(folder: Path) -> Path:
    return cut(write_tsv_gz(folder, MANY), 0.5)


@broken("is damaged: .*compression method")
def gzip_that_is_none(folder: Path) -> Path:
    (folder / "a.tsv.gz").write_bytes(b"\x1f\x8bcaption\n")
    return folder / "a.tsv.gz"


@broken("is damaged: .*xpected 2 columns, got 1")
def missing_columns(folder: Path) -> Path:
    path = write_tsv(folder, MANY)
    path.write_text(path.read_text() + "a caption without address\n")
    return path


@broken("is damaged: it is empty")
def empty_tsv(folder: Path) -> Path:
    (folder / "a.tsv").touch()
    return folder / "a.tsv"


@broken("no column that is known to hold captions.*columns: id, url")
def tsv_without_captions(folder: Path) -> Path:
    (folder / "a.tsv").write_text("id\turl\n1\thttp://x\n")
    return folder / "a.tsv"


@broken("no column that is known to hold captions")
def parquet_without_captions(folder: Path) -> Path:
    pq.write_table(pa.table({"url": ["http://x"]}), folder / "a.parquet")
    return folder / "a.parquet"


@broken("is damaged: Truncated compressed stream")
def truncated_zstd(folder: Path) -> Path:
    path = write_tsv(folder, MANY)
    path.write_bytes(packed(path.read_bytes()))
    return cut(path, 0.4)


@broken("is damaged: .*ZSTD|is damaged: .*frame")
def zstd_that_is_none(folder: Path) -> Path:
    (folder / "a.jsonl.zst").write_bytes(b"\x28\xb5\x2f\xfdcaption" * 9)
    return folder / "a.jsonl.zst"


@broken("is damaged: Truncated compressed stream")
def truncated_zstd_tar(folder: Path) -> Path:
    path = write_tar(folder, MANY)
    path.write_bytes(packed(path.read_bytes()))
    return cut(path, 0.4)


@broken("is damaged: .*xpected 2 columns, got 3")
def csv_with_a_comma_outside_quotes(folder: Path) -> Path:
    path = write_csv(folder, MANY)
    path.write_text(path.read_text() + "http://x/9,Ann Lee, singing\n")
    return path


@broken("line 502: a quote that opens a cell is never closed")
def csv_with_an_open_quote(folder: Path) -> Path:
    path = write_csv(folder, MANY)
    path.write_text(path.read_text() + 'http://x/9,"Ann Lee\n')
    return path


@broken("line 503: something follows the closing quote")
def csv_with_a_quote_that_swallows_rows(folder: Path) -> Path:
    path = write_csv(folder, MANY)
    path.write_text(path.read_text() + 'http://x/9,"Ann Lee\nhttp://x/9,"Siv Ek"\n')
    return path


@broken("row 501: the caption is not UTF-8")
def invalid_utf8_in_csv(folder: Path) -> Path:
    path = write_csv(folder, MANY)
    path.write_bytes(path.read_bytes() + b"http://x/9,J\xf6rn P\xe5ske\n")
    return path


@broken("no column that is known to hold captions.*columns: id, url")
def csv_without_captions(folder: Path) -> Path:
    (folder / "a.csv").write_text('"id";"url"\n1;http://x\n')
    return folder / "a.csv"


@broken("is damaged: it is empty")
def empty_csv(folder: Path) -> Path:
    (folder / "a.csv").touch()
    return folder / "a.csv"


@broken("is damaged: it is empty")
def empty_json_lines(folder: Path) -> Path:
    (folder / "a.jsonl").touch()
    return folder / "a.jsonl"


@broken("is damaged: its line 500 is not JSON")
def json_lines_cut(folder: Path) -> Path:
    path = write_json_lines(folder, MANY)
    path.write_bytes(path.read_bytes()[:-9])
    return path


@broken("line 501 is not UTF-8")
def invalid_utf8_in_json_lines(folder: Path) -> Path:
    path = write_json_lines(folder, MANY)
    path.write_bytes(path.read_bytes() + b'{"TEXT": "J\xf6rn"}\n')
    return path


@broken("no key that is known to hold captions.*keys: id, url")
def json_lines_without_captions(folder: Path) -> Path:
    (folder / "a.jsonl").write_text('{"id": 1, "url": "http://x"}\n' * 3)
    return folder / "a.jsonl"


@broken("is not JSON lines.*jq")
def json_over_several_lines(folder: Path) -> Path:
    (folder / "a.json").write_text('[\n {"caption": "Ann Lee"}\n]\n')
    return folder / "a.json"


@broken("line 1 is a list.*jq")
def json_list_on_one_line(folder: Path) -> Path:
    (folder / "a.json").write_text('[{"caption": "Ann Lee"}]')
    return folder / "a.json"


@broken("its line 2 is not a JSON object")
def json_lines_of_texts(folder: Path) -> Path:
    (folder / "a.jsonl").write_text('{"caption": "Ann Lee"}\n"Siv Ek"\n')
    return folder / "a.jsonl"


@broken("the caption on its line 1 is an object")
def json_lines_with_an_object_as_caption(folder: Path) -> Path:
    (folder / "a.jsonl").write_text('{"caption": {"en": "Ann Lee"}}\n')
    return folder / "a.jsonl"


def noise(path: Path, pack: Callable[[bytes], bytes] = bytes) -> Path:
    path.write_bytes(pack(random.Random(path.name).randbytes(20_000)))
    return path


@broken("is not text")
def csv_of_random_bytes(folder: Path) -> Path:
    return noise(folder / "a.csv")


@broken("is not text")
def tsv_of_random_bytes(folder: Path) -> Path:
    return noise(folder / "a.tsv")


@broken("is not text")
def json_lines_of_random_bytes(folder: Path) -> Path:
    return noise(folder / "a.jsonl")


@broken("is not text")
def packed_random_bytes(folder: Path) -> Path:
    return noise(folder / "a.csv.zst", packed)


@broken("is not text")
def random_bytes_called_gzip(folder: Path) -> Path:
    return noise(folder / "a.tsv.gz")


@broken("is damaged: its ending says that it is packed")
def page_called_gzip(folder: Path) -> Path:
    (folder / "a.tsv.gz").write_text("<html><body>404 Not Found</body></html>\n")
    return folder / "a.tsv.gz"


@broken("is damaged: its ending says that it is packed")
def sentence_called_zstd(folder: Path) -> Path:
    (folder / "a.csv.zst").write_text("This is not packed at all.\n")
    return folder / "a.csv.zst"


@broken("is damaged: its line 2 is not JSON")
def page_called_packed_json_lines(folder: Path) -> Path:
    (folder / "a.jsonl.gz").write_text("\nNot Found\n")
    return folder / "a.jsonl.gz"


@broken("is not JSON lines.*jq")
def json_over_several_lines_after_a_blank_one(folder: Path) -> Path:
    (folder / "a.json").write_text('\n{\n "caption": "Ann Lee"\n}\n')
    return folder / "a.json"


@broken("is damaged: it is empty")
def json_lines_that_are_all_blank(folder: Path) -> Path:
    (folder / "a.jsonl").write_text("\n  \n\r\n")
    return folder / "a.jsonl"


@broken("row 501: the caption is not UTF-8")
def invalid_utf8_in_tsv(folder: Path) -> Path:
    path = write_tsv(folder, MANY)
    path.write_bytes(path.read_bytes() + b"J\xf6rn P\xe5ske\thttp://x\n")
    return path


@broken("row 2: the caption is not UTF-8")
def invalid_utf8_in_tar(folder: Path) -> Path:
    with tarfile.open(folder / "a.tar", "w") as tar:
        add(tar, "0.txt", b"fine")
        add(tar, "1.txt", b"J\xf6rn")
    return folder / "a.tar"


@broken("is damaged")
def tar_cut_within_a_member(folder: Path) -> Path:
    return cut(write_tar(folder, MANY), 0.5)


@broken("without the end mark")
def tar_cut_between_members(folder: Path) -> Path:
    path = write_tar(folder, MANY)
    with tarfile.open(path) as tar:
        end = tar.getmembers()[30].offset
    path.write_bytes(path.read_bytes()[:end])
    return path


@broken("neither a member nor the end")
def tar_with_a_broken_header(folder: Path) -> Path:
    path = write_tar(folder, MANY)
    with tarfile.open(path) as tar:
        place = tar.getmembers()[30].offset
    content = bytearray(path.read_bytes())
    content[place : place + 512] = b"x" * 512
    path.write_bytes(content)
    return path


@broken("is damaged")
def tar_that_is_none(folder: Path) -> Path:
    (folder / "a.tar").write_text("hello" * 1000)
    return folder / "a.tar"


@broken("is damaged")
def empty_tar(folder: Path) -> Path:
    (folder / "a.tar").touch()
    return folder / "a.tar"


@broken("is damaged")
def truncated_gzipped_tar(folder: Path) -> Path:
    return cut(write_json_tar(folder, MANY), 0.6)


@broken("'0.json' is not JSON")
def tar_with_broken_json(folder: Path) -> Path:
    with tarfile.open(folder / "a.tar", "w") as tar:
        add(tar, "0.json", b"{")
    return folder / "a.tar"


@broken("'0.json' is not JSON")
def tar_with_endless_json(folder: Path) -> Path:
    with tarfile.open(folder / "a.tar", "w") as tar:
        add(tar, "0.json", b"[" * 500_000)
    return folder / "a.tar"


@broken("holds no captions.*keys: width")
def tar_without_captions(folder: Path) -> Path:
    with tarfile.open(folder / "a.tar", "w") as tar:
        add(tar, "0.jpg", b"picture")
        add(tar, "0.json", b'{"width": 3}')
    return folder / "a.tar"


@broken("has 2 MiB, too many for a caption")
def tar_with_a_huge_text(folder: Path) -> Path:
    with tarfile.open(folder / "a.tar", "w") as tar:
        add(tar, "0.txt", bytes(2 << 20))
    return folder / "a.tar"


@pytest.mark.parametrize(("make", "says"), [entry[1:] for entry in BROKEN], ids=[entry[0] for entry in BROKEN])
def test_damage_is_named_in_one_sentence(tmp_path: Path, make: Callable[[Path], Path], says: str) -> None:
    path = make(tmp_path)
    with pytest.raises(DataError, match=says) as caught:
        captions(path)
    assert path.name in caught.value.message
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_invalid_bytes_can_be_replaced(tmp_path: Path) -> None:
    parts = list(read_shard(invalid_utf8_in_tsv(tmp_path), ReadOptions(replace_invalid=True)))
    assert sum(part.repaired for part in parts) == 1
    assert parts[-1].captions[-1].as_py() == "J\ufffdrn P\ufffdske"


def test_a_healthy_gzip_with_a_long_tail_is_no_damage(tmp_path: Path) -> None:
    path = write_json_tar(tmp_path, MANY)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + bytes(50_000)))
    assert captions(path) == MANY


def test_folders_patterns_and_what_lies_beside(tmp_path: Path) -> None:
    folder = tmp_path / "shards" / "deep"
    folder.mkdir(parents=True)
    for name in ("00001.tar", "00000.tar"):
        write_tar(folder, ["a"], name)
    write_parquet(folder, ["a"], "00000.parquet")
    write_parquet(folder, ["a"], "extra.parquet")
    (folder / "00000_stats.json").write_text("{}")
    found = find_shards([str(tmp_path / "shards")])
    assert [path.name for path in found.shards] == ["00000.tar", "00001.tar", "extra.parquet"]
    assert [path.name for path in found.next_to_tar] == ["00000.parquet"]
    assert len(find_shards([str(folder / "0*.tar")]).shards) == 2
    assert len(find_shards([str(tmp_path / "**" / "*.tar")]).shards) == 2
    assert find_shards([str(folder / "00000.parquet")]).shards == (folder / "00000.parquet",)


@pytest.mark.parametrize(
    ("places", "says"),
    [(["nowhere"], "does not exist"), (["empty"], "holds no captions"), (["a.xls"], "an unknown format"),
     (["a.tsv", "./a.tsv"], "given twice")],
)  # fmt: skip
def test_wrong_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, places: list[str], says: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.xls").touch()
    write_tsv(tmp_path, ["x"], "a.tsv")
    with pytest.raises(DataError, match=says):
        find_shards(places)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_members_are_those_that_tarfile_sees(tmp_path: Path, form: int) -> None:
    path, long = tmp_path / "a.tar", "/".join(["folder"] * 20)
    names = ["a.txt", f"{long}/b.jpg", f"{long}/b.txt", "c.txt"]
    if form != tarfile.USTAR_FORMAT:
        names += ["ünï/ö.txt", f"{'n' * 150}.txt"]
    with tarfile.open(path, "w", format=form) as tar:
        for number, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.mtime = 1700000000.25 if form == tarfile.PAX_FORMAT else 1700000000  # as WebDataset's writer has it
            content = name.encode() * (number * 300)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
            folder = tarfile.TarInfo(f"folder{number}")
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
            link = tarfile.TarInfo(f"link{number}.txt")
            link.type, link.linkname = tarfile.SYMTYPE, "a.txt"
            tar.addfile(link)
    with tarfile.open(path) as tar:
        expected = [(m.name, tar.extractfile(m).read()) for m in tar if m.isfile()]  # type: ignore[union-attr]
    with path.open("rb") as file:
        walker = TarWalker(file)
        assert [(member.name, walker.read(member)) for member in walker] == expected
    with path.open("rb") as file:
        assert [member.name for member in TarWalker(file)] == names, "contents may be jumped over"


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 3000), value=st.integers(0, 255))
def test_no_damage_to_a_tar_file_escapes_as_another_error(place: int, value: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        add(tar, "ü" * 80 + ".txt", b"caption")
        add(tar, "b.txt", b"caption")
    content = bytearray(buffer.getvalue())
    content[place] = value
    walker = TarWalker(io.BytesIO(content))
    with contextlib.suppress(BrokenTar):
        for member in walker:
            walker.read(member)


def test_damaged_is_its_own_kind_of_error() -> None:
    assert issubclass(DamagedShard, DataError)


def test_a_column_that_a_tar_file_lacks_is_told(tmp_path: Path) -> None:
    """Each caption would be empty, and everybody absent."""
    path = write_json_tar(tmp_path, CAPTIONS)
    for wrong in ("captoin", "jpg"):
        with pytest.raises(DataError, match=f"no key '{wrong}'") as caught:
            captions(path, column=wrong)
        assert "keys: caption" in caught.value.hint
    assert captions(write_tar(tmp_path, CAPTIONS), column="txt") == CAPTIONS


def test_ids_before_captions_are_not_taken_for_captions(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("id7\tAnn Lee\thttp://x/1\nid8\ta cat\thttp://x/2\n")
    with pytest.raises(DataError, match="several columns") as caught:
        captions(path)
    assert "--column" in caught.value.hint
    assert captions(path, column="2") == ["Ann Lee", "a cat"]
    path.write_text("7\tAnn Lee\thttp://x/1\t640\t0.31\n")
    assert captions(path) == ["Ann Lee"]


def test_endings_may_be_written_in_capitals(tmp_path: Path) -> None:
    for write, name in ((write_tsv_gz, "A.TSV.GZ"), (write_tar, "B.TAR"), (write_json_tar, "C.TAR.GZ")):
        made = write(tmp_path, CAPTIONS)
        assert captions(made.rename(tmp_path / name)) == CAPTIONS


def test_patterns_may_match_folders_and_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "part.parquet").mkdir()  # as Spark and Dask name their folders
    write_parquet(tmp_path / "part.parquet", ["a"], "0.parquet")
    (tmp_path / "gone.tsv").symlink_to(tmp_path / "nowhere")
    assert [path.name for path in find_shards([str(tmp_path / "*")]).shards] == ["0.parquet"]
    with pytest.raises(DataError, match="does not exist"):
        find_shards([str(tmp_path / "gone.tsv")])


@pytest.mark.parametrize("kind", ["large_string", "string_view", "binary", "large_binary", "binary_view"])
def test_every_kind_of_text_column(tmp_path: Path, kind: str) -> None:
    texts = pa.array(["Ann Lee", None, "ünï"], pa.string())
    column = texts.cast(pa.binary() if "binary" in kind else pa.string()).cast(getattr(pa, kind)())
    pq.write_table(pa.table({"url": ["a", "b", "c"], "caption": column}), tmp_path / "a.parquet")
    assert captions(tmp_path / "a.parquet") == ["Ann Lee", "", "ünï"]


def test_what_a_file_is_shows_its_content_not_its_name(tmp_path: Path) -> None:
    parquet = write_parquet(tmp_path, ["Ann Lee"], "x.parquet").rename(tmp_path / "x.tsv")
    assert captions(parquet) == ["Ann Lee"]
    plain = tmp_path / "y.tsv.gz"
    plain.write_text("Ann Lee\thttp://example.org/1.jpg\n")
    assert captions(plain) == ["Ann Lee"]
    unpacked = tmp_path / "y.csv.zst"
    unpacked.write_text("caption\nAnn Lee\n")
    assert captions(unpacked) == ["Ann Lee"]
    tar = write_tar(tmp_path, ["Ann Lee"], "z.tar")
    tar.write_bytes(gzip.compress(tar.read_bytes()))
    assert captions(tar) == ["Ann Lee"]


@pytest.mark.parametrize("code", ["utf-16", "utf-16-be"])
def test_another_encoding_is_named(tmp_path: Path, code: str) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(("\ufeff" if code == "utf-16-be" else "").encode(code) + "caption\turl\nAnn\tx\n".encode(code))
    with pytest.raises(DamagedShard, match="is UTF-16"):
        captions(path)


def test_a_first_line_without_end(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(b"x" * (5 << 20) + b"\thttp://example.org/1.jpg\n")
    with pytest.raises(DamagedShard, match="first line is longer than 4 MiB"):
        captions(path)
    long = b"x" * (2 << 20) + b" Ann Lee"
    path.write_bytes(long + b"\thttp://example.org/1.jpg\n")
    assert captions(path) == [long.decode()]


def test_linked_folders_are_read_once_and_all_else_is_named(tmp_path: Path) -> None:
    corpus, far = tmp_path / "corpus", tmp_path / "far"
    corpus.mkdir()
    far.mkdir()
    write_parquet(corpus, ["a"], "0.parquet")
    write_parquet(far, ["b"], "1.parquet")
    (corpus / "linked").symlink_to(far)
    (corpus / "again").symlink_to(far)
    (corpus / "up").symlink_to(corpus)
    (corpus / "gone.tar").symlink_to(tmp_path / "nowhere")
    (corpus / "more.xls").write_text("caption\nAnn Lee\n")
    (corpus / "00000_stats.json").write_text("{}")
    found = find_shards([str(corpus)])
    assert sorted(path.name for path in found.shards) == ["0.parquet", "1.parquet"]
    assert [path.name for path in found.not_read] == ["more.xls", "gone.tar"]


def test_csv_as_programs_write_it(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'"id";"Caption"\r\n1;"Ann Lee; at ""home"""\r\n2;\r\n3;"over\r\ntwo lines"\r\n4;4\r\n')
    assert captions(path) == ['Ann Lee; at "home"', "", "over\ntwo lines", "4"]
    path.write_text("caption\tn\nAnn, Lee\t1\n")
    assert captions(path) == ["Ann, Lee"]
    path.write_text("\ufeffhttp://x/1,Ann Lee\nhttp://x/2,a cat\n", encoding="utf-8")
    assert captions(path) == captions(path, column="2") == ["Ann Lee", "a cat"]
    with pytest.raises(DataError, match="no column 'text'") as caught:
        captions(path, column="text")
    assert "--column" in caught.value.hint or "Columns" in caught.value.hint


def test_json_lines_as_programs_write_them(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(
        '\ufeff{"url": "x"}\r\n\r\n{"Caption": null, "text": "Ann Lee"}\r\n'
        '{"caption": ["Siv", "J\\u00f6rn\\u0000"]}\n{"caption": 7, "text": "b"}',
        encoding="utf-8",
    )
    assert captions(path) == ["", "Ann Lee", "Siv\nJörn\0", "7"]
    assert captions(path, column="text") == ["", "Ann Lee", "", "b"]
    with pytest.raises(DataError, match="no key 'title'"):
        captions(path, column="title")
    path.write_bytes(b'{"caption": "J\xf6rn"}\n')
    assert captions(path, replace_invalid=True) == ["J\ufffdrn"]


@pytest.mark.parametrize("start", ["\n", "\r\n \n", "\ufeff\n", "\ufeff"])
def test_json_lines_may_begin_with_blank_lines(tmp_path: Path, start: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(start + '{"caption": "Ann Lee"}\n\n{"caption": "b"}\n', encoding="utf-8")
    assert captions(path) == ["Ann Lee", "b"]
    assert find_shards([str(tmp_path)]).shards == (path,)
    path.write_text(start + '{"legende": "Ann Lee"}\n\n{"legende": "b"}\n', encoding="utf-8")
    assert captions(path, column="legende") == ["Ann Lee", "b"]
    assert find_shards([str(tmp_path)]).shards == (path,)


@pytest.mark.parametrize("code", ["cp1251", "koi8-r", "shift_jis", "latin-1"])
def test_text_in_an_old_encoding_is_called_text(tmp_path: Path, code: str) -> None:
    words = {"cp1251": "Сив Эк поёт", "koi8-r": "Сив Эк поёт", "latin-1": "Jörn Påske är här"}
    path = tmp_path / "a.csv"
    path.write_bytes(f"caption\n{words.get(code, '猫がいる')}\n".encode(code))
    with pytest.raises(DamagedShard, match="row 1: the caption is not UTF-8"):
        captions(path)


def test_single_control_characters_are_part_of_captions(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(b"Ann\0Lee\x1b[1m\thttp://x/1\n")
    assert captions(path) == ["Ann\0Lee\x1b[1m"]


def test_a_configuration_among_captions_is_named_and_not_read(tmp_path: Path) -> None:
    write_json_lines(tmp_path, ["a"], "captions.json")
    (tmp_path / "config.json").write_text('{\n "caption": "none"\n}\n')
    (tmp_path / "index.json").write_text('{"total": 1}')
    (tmp_path / "lines.json").write_text('{"legende": "Ann Lee"}\n' * 2)
    found = find_shards([str(tmp_path)])
    assert [path.name for path in found.shards] == ["captions.json", "lines.json"]
    assert [path.name for path in found.not_read] == ["config.json", "index.json"]


def test_a_tar_whose_first_samples_have_no_caption(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        add(tar, "0.jpg", b"picture")
        add(tar, "1.json", b'{"width": 3}')
        add(tar, "2.json", b'{"caption": "Ann Lee"}')
        add(tar, "3.txt", b"Siv Ek")
    assert captions(path) == ["", "Ann Lee", "Siv Ek"]
