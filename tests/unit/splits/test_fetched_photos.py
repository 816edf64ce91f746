"""Photos of a split from a small web: what arrives, what is dead, what is tried again, what everybody has in common."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.web import Web, jpeg, picture, serving, split_of

from idbench.api import Silent
from idbench.errors import DataError
from idbench.splits.cc3m.download import HostTurns
from idbench.splits.cc3m.fetch import UNASKABLE
from idbench.splits.cc3m.steps import Settings
from idbench.splits.faces import has_face
from idbench.splits.injected.people import list_people
from idbench.splits.published.photos import (
    AGAIN,
    BLANK,
    NO_FACE,
    PLACEHOLDER,
    TABLE,
    fetch_photos,
    forget_failures,
    outcomes,
    read_table,
)

QUICK = Settings(fetch_processes=1, fetch_threads=4, fetch_timeout=5, fetch_retries=0, picture_side=48)


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as served:
        yield served


def test_photos_arrive_and_failures_are_tried_again_when_asked(web: Web, tmp_path: Path) -> None:
    paths = {"Ann Bee": ["good/1", "gone/2", "page/3"], "Cay Dee": ["good/4", "good/5", "good/1"]}
    split, out = split_of(web, tmp_path / "split", paths), tmp_path / "photos"
    rows = fetch_photos(split, out, QUICK, Silent())
    found = outcomes(rows)
    assert found["fetched"] == 2
    assert found[PLACEHOLDER] == 2  # both have the picture good/1
    assert sum(found.values()) == 6
    assert {row.url for row in rows if row.outcome == "fetched"} == {web.url("good/4"), web.url("good/5")}
    assert all(len(row.sha256) == 64 and len(row.phash) == 16 for row in rows if row.outcome == "fetched")
    assert read_table(out / TABLE) == list(rows)
    (person,) = list_people(out).people
    assert (person.name, len(person.photos)) == ("Cay Dee", 2)

    asked = dict(web.asked)
    assert fetch_photos(split, out, QUICK, Silent()) == rows
    assert web.asked == asked  # nothing was asked for again
    assert forget_failures(split, out) == 4
    assert fetch_photos(split, out, QUICK, Silent()) == rows
    assert web.asked["gone/2"] == asked["gone/2"] + 1
    assert web.asked["good/4"] == asked["good/4"]


def test_pictures_that_show_nothing_and_those_that_came_before_are_left_out(web: Web, tmp_path: Path) -> None:
    """Pixels that count visitors and empty frames are answers like any other, and one photo has several addresses."""
    paths = {"Ann Bee": ["good/1", "frame/2", "pixel/3", "good/1?again", "good/1?more"], "Cay Dee": ["good/4"]}
    split, out = split_of(web, tmp_path / "split", paths), tmp_path / "photos"
    rows = fetch_photos(split, out, QUICK, Silent())
    assert outcomes(rows) == {"fetched": 2, BLANK: 2, AGAIN: 2}
    assert rows[0].outcome == "fetched", "the first of those that are the same stays"
    assert len(list(out.glob("*/*.jpg"))) == 2


def test_pictures_without_a_face_are_left_out_where_faces_are_asked_for(web: Web, tmp_path: Path) -> None:
    split, out = split_of(web, tmp_path / "split", {"Ann Bee": ["good/1", "good/2"], "Cay Dee": ["good/3"]}), tmp_path
    seen: list[bytes] = []

    def shows(data: bytes) -> bool:
        seen.append(data)
        return len(seen) > 1

    rows = fetch_photos(split, out / "photos", QUICK, Silent(), shows)
    assert outcomes(rows) == {"fetched": 2, NO_FACE: 1}
    assert all(row.sha256 for row in rows)
    assert len(list((out / "photos").glob("*/*.jpg"))) == 2
    assert not has_face(jpeg(np.full((80, 80, 3), 200, dtype=np.uint8)))


def test_what_a_killed_call_left_is_finished_and_then_the_rest(web: Web, tmp_path: Path) -> None:
    """The killed call wanted one address; now there are three."""
    split, out = split_of(web, tmp_path / "split", {"Ann Bee": ["good/1", "good/2"], "Cay Dee": ["good/3"]}), tmp_path
    left = out / "photos" / ".idbench-fetch"
    left.mkdir(parents=True)
    pq.write_table(
        pa.table({"url": [web.url("good/1"), web.url("good/9")], "caption": ["id0", "gone"]}), left / "pairs.parquet"
    )
    assert outcomes(fetch_photos(split, out / "photos", QUICK, Silent())) == {"fetched": 3}
    assert not left.exists()
    assert web.asked == {f"good/{n}": 1 for n in (1, 2, 3, 9)}


def test_what_a_call_left_that_was_killed_at_its_very_end_is_cleared_away(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its table was written: nothing that lies there may stand for an answer that a later call asks for."""
    split, out = split_of(web, tmp_path / "split", {"Ann Bee": ["good/1"], "Cay Dee": ["gone/2"]}), tmp_path / "photos"
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)
        rows = fetch_photos(split, out, QUICK, Silent())
    left = out / ".idbench-fetch"
    assert left.exists()
    kept = shutil.copytree(left, tmp_path / "kept")
    assert fetch_photos(split, out, QUICK, Silent()) == rows
    assert not left.exists()
    shutil.copytree(kept, left)
    forget_failures(split, out)
    assert fetch_photos(split, out, QUICK, Silent()) == rows
    assert web.asked == {"good/1": 1, "gone/2": 2}


def test_a_killed_fetch_ends_with_all_that_it_started_and_goes_on_when_it_is_repeated(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {"Ann Bee": ["good/1", "good/2", "drip/3"], "Cay Dee": ["good/4"]}
    split, out = split_of(web, tmp_path / "split", paths), tmp_path / "photos"
    settings = {"PROCESSES": "1", "THREADS": "1", "RETRIES": "0", "DEADLINE": "600", "HOST_REQUESTS": "1000"}
    for name, value in {**settings, "no_proxy": "127.0.0.1"}.items():
        monkeypatch.setenv(name if name == "no_proxy" else f"BENCH_FETCH_{name}", value)
    monkeypatch.setenv("BENCH_SHARD_PAIRS", "2")
    command = [sys.executable, "-m", "idbench.cli.main", "data", "fetch", str(split.folder), "--out", str(out)]
    killed = subprocess.Popen(command)
    while "drip/3" not in web.asked:  # in the second shard, which never ends
        assert killed.poll() is None
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    monkeypatch.setenv("BENCH_FETCH_DEADLINE", "1")
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outcomes"] == {"fetched": 3, "took longer than the deadline": 1}
    again = {path for path, times in web.asked.items() if times > 1}
    assert "drip/3" in again
    assert len(again) <= 2, "the shard that was complete is not asked for again"
    assert [
        one.pid for one in psutil.process_iter(["cmdline"]) if str(out) in " ".join(one.info["cmdline"] or ())
    ] == []


def test_each_host_is_asked_once_in_so_many_seconds() -> None:
    turns, begin = HostTurns(0.05), time.monotonic()
    threads = [threading.Thread(target=turns.wait, args=("http://One.invalid/x",)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - begin >= 0.2  # never less, whatever else the machine does
    assert turns.turn("http://two.invalid/", now=100.0) == 100.0
    assert turns.turn("http://two.invalid/", now=100.01) == pytest.approx(100.05)
    assert turns.turn("http://three.invalid/", now=100.01) == 100.01


def test_addresses_are_mended_as_browsers_do_and_only_the_web_is_asked(web: Web, tmp_path: Path) -> None:
    local = tmp_path / "local.jpg"
    local.write_bytes(picture("somebody", 0))
    host = web.address.removeprefix("http://")
    wanted = {
        "good/1 ü": "fetched",
        "good/%C3%A4 2": "fetched",
        "good/3#part": "fetched",
        f"=HTTP://{host}/good/4": "fetched",
        f"= {web.address}/good/5\n": "fetched",
        f"good/6?{'x' * 9000}": "fetched",
        f"={local.as_uri()}": UNASKABLE,
        f"=FILE://{local}": UNASKABLE,
        "=ftp://127.0.0.1:1/x.jpg": UNASKABLE,
        "=data:image/gif;base64,R0lGODlhAQABAAAAACw=": UNASKABLE,
        f"=//{host}/good/7": UNASKABLE,
        f"={host}/good/8": UNASKABLE,
        f"=http://ann:secret@{host}/good/9": UNASKABLE,
        "=http://[::1/x.jpg": UNASKABLE,
        "=http://[half]/x.jpg": UNASKABLE,
        "=http:///x.jpg": UNASKABLE,
        "=http://127.0.0.1:port/x.jpg": UNASKABLE,
        "=http://[::1]:1/x.jpg": "refused by the host",
    }
    paths = {"Ann Bee": list(wanted), "Cay Dee": ["good/20"]}
    split, out = split_of(web, tmp_path / "split", paths), tmp_path / "photos"
    rows = fetch_photos(split, out, QUICK, Silent())
    addresses = [path[1:] if path.startswith("=") else web.url(path) for path in wanted]
    assert {row.url: row.outcome for row in rows if row.identity == "id0"} == dict(
        zip(addresses, wanted.values(), strict=True)
    )
    assert len(list(out.glob("Ann_Bee/*.jpg"))) == 6
    assert fetch_photos(split, out, QUICK, Silent()) == rows


def test_a_split_without_any_address_on_the_web_asks_nobody(web: Web, tmp_path: Path) -> None:
    split = split_of(web, tmp_path / "split", {"Ann Bee": ["=file:///x.jpg"], "Cay Dee": ["=ftp://y/z.jpg"]})
    rows = fetch_photos(split, tmp_path / "photos", QUICK, Silent())
    assert {row.outcome for row in rows} == {UNASKABLE}


@pytest.mark.parametrize("kind", ["file", "ftp", "data"])
def test_what_fetches_knows_the_web_alone(tmp_path: Path, kind: str) -> None:
    (tmp_path / "local.jpg").write_bytes(picture("somebody", 0))
    address = {
        "file": (tmp_path / "local.jpg").as_uri(),
        "ftp": "ftp://127.0.0.1:1/x.jpg",
        "data": "data:image/gif;base64,R0lGODlhAQABAAAAACw=",
    }[kind]
    code = (
        "import urllib.request\nfrom idbench.splits.cc3m.download import limit_answers\nlimit_answers(5, 0)\n"
        f"urllib.request.urlopen(urllib.request.Request({address!r}), timeout=5)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"unknown url type: {kind}" in done.stderr


def test_what_cannot_be_fetched_is_refused(web: Web, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no addresses"):
        fetch_photos(split_of(web, tmp_path / "none", {"A B": [], "C D": []}), tmp_path / "x", QUICK, Silent())
    split = split_of(web, tmp_path / "split", {"A B": ["good/1"], "C D": ["good/2"]})
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / TABLE).write_text("identity,url,outcome,sha256,phash\nz,http://x.invalid,fetched,,\n")
    with pytest.raises(DataError, match="of another split"):
        fetch_photos(split, tmp_path / "y", QUICK, Silent())
    (tmp_path / "y" / TABLE).write_text("other\n")
    with pytest.raises(DataError, match="is not a table"):
        fetch_photos(split, tmp_path / "y", QUICK, Silent())
