"""Around img2dataset: what is asked of it, what its silence about failures hides, and what is said without it."""

from __future__ import annotations

import inspect
import json
import sys
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.web import Web, write_tsv

from idbench.api import Silent
from idbench.errors import IdbenchError, StorageError
from idbench.splits.cc3m import fetch
from idbench.splits.cc3m.fetch import arguments, fetch_pictures
from idbench.splits.cc3m.pairs import read_pairs
from idbench.splits.cc3m.steps import Settings, from_environment
from idbench.splits.photos import decode_photo

img2dataset = pytest.importorskip("img2dataset")


def test_img2dataset_knows_every_argument(tmp_path: Path, settings: Settings) -> None:
    given = arguments(tmp_path / "pairs.parquet", tmp_path / "fetched", settings)
    assert given.keys() <= inspect.signature(img2dataset.download).parameters.keys()
    assert given["enable_wandb"] is False
    assert json.loads(json.dumps(given)) == given


def test_without_img2dataset_it_says_what_to_install(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "img2dataset", None)  # as Python itself marks what cannot be imported
    with pytest.raises(IdbenchError, match="img2dataset, which is not installed") as caught:
        fetch_pictures(tmp_path / "pairs.parquet", 20, tmp_path / "fetched", settings, Silent())
    assert caught.value.hint == "Run: pip install 'idbench[full-size]'"


def test_complete_shards_start_no_process(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "run_program", pytest.fail)
    why = {"success": 12, "HTTP Error 404": 2, "decoding error": 1, "in 'imdecode_'": 1}
    stats = {"count": 16, "successes": 12, "status_dict": why}
    for number in range(2):
        (tmp_path / f"{number:05d}_stats.json").write_text(json.dumps(stats))
    report = fetch_pictures(tmp_path / "pairs.parquet", 32, tmp_path, settings, Silent())
    assert dict(report.counts) == {"addresses": 32, "fetched": 24}
    assert dict(report.dropped) == {"answered with HTTP 404": 4, "not a picture": 4}


@pytest.mark.parametrize(
    ("output", "kind", "sentence"),
    [
        (b"shard 1 failed with error [Errno 28] No space left on device\n", StorageError, "No space left on the disk"),
        (b"Retried 1 times, but 2 shards still failed\n", IdbenchError, "2 of 2 shards could not be fetched"),
    ],
)
def test_shards_that_failed_behind_a_status_of_zero_are_noticed(
    tmp_path: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    output: bytes,
    kind: type[IdbenchError],
    sentence: str,
) -> None:
    def run(command: object, log: Path, *rest: object) -> int:
        with log.open("ab") as file:
            file.write(output)
        return 0

    (tmp_path / "fetch.log").write_bytes(b"[Errno 28] No space left on device, but long ago\n")
    monkeypatch.setattr(fetch, "run_program", run)
    with pytest.raises(kind, match=sentence):
        fetch_pictures(tmp_path / "pairs.parquet", 32, tmp_path / "fetched", settings, Silent())


def test_what_servers_do_is_counted_by_kind_and_none_of_them_holds_the_build(
    tmp_path: Path, web: Web, settings: Settings
) -> None:
    """A real server and the real img2dataset: letters beyond ASCII, blanks, capitals, and answers that never end."""
    address = web.address.replace("http://", "HTTP://")
    wanted = {
        "good/ü 1": "fetched",
        "good/%C3%A4 100%": "fetched",
        "good/plain?x=ö y": "fetched",
        "packed/1": "fetched",
        "gone/1": "answered with HTTP 404",
        "forbidden/1": "answered with HTTP 403",
        "broken/1": "answered with HTTP 500",
        "page/1": "not a picture",
        "empty/1": "not a picture",
        "cut/1": "not a picture",
        "loop/1": "redirected in circles",
        "to-file/1": "redirected to what is not on the web",
        "nowhere/1": "answered with HTTP 302",
        "garbage/1": "answered with what is not HTTP",
        "silence/1": "broken off by the server",
        "drip/1": "took longer than the deadline",
        "drip-head/1": "took longer than the deadline",
    }
    rows = [(f"a hat, {i}", f"{address}/{path}") for i, path in enumerate(wanted)]
    rows += [("a hat nowhere", "http://nowhere.invalid/x"), ("a hat behind a wall", "http://127.0.0.1:1/x")]
    pairs = tmp_path / "work" / "pairs.parquet"
    listed = read_pairs(write_tsv(tmp_path / "list.tsv", rows), pairs, Silent())
    assert listed.counts["kept"] == len(rows)
    limited = replace(settings, fetch_deadline=2, fetch_retries=0, fetch_threads=16)
    report = fetch_pictures(pairs, len(rows), tmp_path / "work" / "fetched", limited, Silent())
    expected = Counter(wanted.values())
    assert dict(report.counts) == {"addresses": len(rows), "fetched": expected.pop("fetched")}
    assert {"good/ü 1", "good/ä 100%", "good/plain?x=ö y"} <= web.asked.keys()
    lost = dict(report.dropped)
    assert lost.pop("with a host that nobody knows") == 1
    assert lost.pop("refused by the host") == 1
    assert lost == expected


def test_a_picture_that_lies_on_its_side_is_stored_upright(tmp_path: Path, web: Web, settings: Settings) -> None:
    pairs, out = tmp_path / "work" / "pairs.parquet", tmp_path / "work" / "fetched"
    read_pairs(write_tsv(tmp_path / "list.tsv", [("a flag", web.url("sideways/1"))]), pairs, Silent())
    fetch_pictures(pairs, 1, out, settings, Silent())
    with tarfile.open(fetch.shard_file(out, 0)) as tar:
        content = next(tar.extractfile(m).read() for m in tar if m.name.endswith(".jpg"))  # type: ignore[union-attr]
    pixels = decode_photo(content, "stored")
    assert pixels.shape[0] > pixels.shape[1]
    red, _, blue = pixels[5, 20]
    assert (red > 200, blue < 50) == (True, True)


def stored(shard: Path) -> dict[str, np.ndarray]:
    """Pixels of a fetched shard by caption."""
    with tarfile.open(shard) as tar:
        content = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    return {
        content[name.replace(".jpg", ".txt")].decode(): decode_photo(data, name)
        for name, data in content.items()
        if name.endswith(".jpg")
    }


def test_what_telephones_and_scanners_write_is_stored_as_it_looks(tmp_path: Path, web: Web, settings: Settings) -> None:
    pytest.importorskip("pillow_heif")
    kinds = ("heic", "deep", "deep-gray")
    pairs, out = tmp_path / "work" / "pairs.parquet", tmp_path / "work" / "fetched"
    read_pairs(write_tsv(tmp_path / "list.tsv", [(f"a {k}", web.url(f"{k}/1")) for k in kinds]), pairs, Silent())
    assert fetch_pictures(pairs, len(kinds), out, settings, Silent()).counts["fetched"] == len(kinds)
    found = stored(fetch.shard_file(out, 0))
    for kind in ("heic", "deep"):
        np.testing.assert_allclose(found[f"a {kind}"][10, 20], (200, 0, 0), atol=12)
        np.testing.assert_allclose(found[f"a {kind}"][40, 20], (0, 0, 120), atol=12)
    np.testing.assert_allclose(found["a deep-gray"][[10, 40], 20], [[200] * 3, [120] * 3], atol=4)


def test_a_heic_that_cannot_be_read_here_is_counted_with_what_it_needs(
    tmp_path: Path, web: Web, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pillow_heif")
    hidden = tmp_path / "hidden" / "pillow_heif"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('not installed')\n")
    monkeypatch.setenv("PYTHONPATH", str(hidden.parent))
    pairs, out = tmp_path / "work" / "pairs.parquet", tmp_path / "work" / "fetched"
    read_pairs(write_tsv(tmp_path / "list.tsv", [("a flag", web.url("heic/1"))]), pairs, Silent())
    report = fetch_pictures(pairs, 1, out, settings, Silent())
    assert dict(report.dropped) == {"HEIC, which needs pillow-heif: pip install 'idbench[heic]'": 1}


def test_every_reason_has_a_kind(tmp_path: Path, settings: Settings) -> None:
    why = {
        "HTTP Error 404: Not Found": 3,
        "HTTP Error 404: no such page": 1,
        "<urlopen error [Errno -2] Name or service not known>": 1,
        "<urlopen error [Errno -3] Temporary failure in name resolution>": 1,
        "<urlopen error [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed (_ssl.c:1006)>": 1,
        "<urlopen error timed out>": 1,
        "The read operation timed out": 1,
        "<urlopen error [Errno 104] Connection reset by peer>": 1,
        "<urlopen error [Errno 113] No route to host>": 1,
        "IncompleteRead(10 bytes read, 90 more expected)": 1,
        "Remote end closed connection without response": 1,
        "Use of image disallowed by X-Robots-Tag directive": 1,
        "image decoding error": 2,
        "something odd about 'x17' of 12 things": 1,
        "something odd about 'y' of 9 things": 1,
    }
    stats = {"count": 18, "successes": 0, "status_dict": why}
    (tmp_path / "00000_stats.json").write_text(json.dumps(stats))
    report = fetch_pictures(tmp_path / "pairs.parquet", 16, tmp_path, settings, Silent())
    assert dict(report.dropped) == {
        "answered with HTTP 404": 4,
        "with a host that nobody knows": 2,
        "with a certificate or encryption that fails": 1,
        "silent until the timeout": 2,
        "broken off by the server": 3,
        "with a host out of reach": 1,
        "not allowed by the server (X-Robots-Tag)": 1,
        "not a picture": 2,
        "something odd about … of … things": 2,
    }


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_SHARD_PAIRS", "500")
    monkeypatch.setenv("BENCH_FETCH_RETRIES", "0")
    assert from_environment() == Settings(shard_pairs=500, fetch_retries=0)


@pytest.mark.parametrize("text", ["0", "-3", "many", "2.5", "", "9" * 5000])
def test_a_setting_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("BENCH_SHARD_PAIRS", text)
    with pytest.raises(IdbenchError, match="BENCH_SHARD_PAIRS"):
        from_environment()
