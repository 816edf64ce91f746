"""Opening splits: what is in them, what retraction takes out, and what damage says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from idbench.api import Silent
from idbench.errors import DataError, StorageError, UnknownNameError
from idbench.splits import Split, decode_photo, load_split
from idbench.splits.manifest import MANIFEST_FILE, read_manifest
from idbench.splits.retractions import parse_retractions
from idbench.splits.tables import table_path
from idbench.storage import cache_dir


class Recorder(Silent):
    """Counts reports of progress."""

    def __init__(self) -> None:
        self.descriptions: list[str] = []

    def track(self, items, description, total=None):  # type: ignore[no-untyped-def]
        self.descriptions.append(description)
        return super().track(items, description, total)


def test_an_open_split_says_what_it_holds(tiny: Path) -> None:
    split = load_split(tiny)
    assert split.manifest.name == "avatars-tiny"
    assert len(split.identities) == 72
    assert {i.part for i in split.identities} == {"test", "calibration"}
    assert sum(i.part == "test" for i in split.identities) == 48
    assert all(len(i.photos) == 3 for i in split.identities)
    assert len(split.candidate_names) == 100
    assert {i.name for i in split.identities} <= set(split.candidate_names)
    assert len(split.public_pairs) == 24
    assert len(split.prompts) >= 24
    assert split.corpora == ("avatars-tiny-a", "avatars-tiny-b", "avatars-tiny-0")


def test_labels_are_aligned_and_complementary(tiny: Path) -> None:
    split = load_split(tiny)
    a, b, control = (split.labels(name) for name in split.corpora)
    assert a.member.dtype == np.bool_
    assert np.array_equal(a.member, ~b.member)
    assert a.member.sum() == 36
    assert not control.member.any()
    for labels in (a, b, control):
        assert np.array_equal(labels.occurrences > 0, labels.member)
        assert set(labels.how) == {"construction"}
        assert (labels.confidence == 1).all()
    with pytest.raises(UnknownNameError, match="avatars-tiny-a"):
        split.labels("avatars-tiny-aa")


def test_photos_come_in_the_order_asked(tiny: Path) -> None:
    split = load_split(tiny)
    ids = [photo for identity in split.identities for photo in identity.photos]
    forward = list(split.read_photos(ids))
    assert list(split.read_photos(reversed(ids))) == forward[::-1]
    assert all(decode_photo(data, "x").shape == (32, 32, 3) for data in forward[:9])
    pair, caption = split.public_pairs[0]
    assert decode_photo(split.read_photo(pair), pair).shape == (32, 32, 3)
    assert caption
    with pytest.raises(DataError, match="nothing"):
        split.read_photo("nothing")


def test_registered_splits_are_built_once() -> None:
    shutil.rmtree(cache_dir("splits", "avatars-tiny"), ignore_errors=True)
    first, again = Recorder(), Recorder()
    digest = load_split("avatars-tiny", first).digest
    assert first.descriptions
    assert load_split("avatars-tiny", again).digest == digest
    assert not again.descriptions


def test_many_at_once_build_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    recorders = [Recorder() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        digests = set(pool.map(lambda recorder: load_split("avatars-tiny", recorder).digest, recorders))
    assert len(digests) == 1
    assert sum(bool(recorder.descriptions) for recorder in recorders) == 1


def test_unknown_names_get_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'avatars'"):
        load_split("avatar")
    with pytest.raises(DataError, match="not a split"):
        load_split(tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "empty", "gone", "text", "other rows"])
@pytest.mark.parametrize("table", ["identities", "photos"])
def test_damaged_cache_is_rebuilt_and_damaged_folder_is_refused(
    damage: str, table: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    place = cache_dir("splits", "avatars-tiny", "v1")
    shutil.copytree(tiny, place)
    path = table_path(place, table)
    content = path.read_bytes()
    match damage:
        case "truncated":
            path.write_bytes(content[: len(content) // 2])
        case "empty":
            path.write_bytes(b"")
        case "gone":
            path.unlink()
        case "text":
            path.write_text("this is no table")
        case _:
            shutil.copy(table_path(place, "labels" if table == "photos" else "photos"), path)
    with pytest.raises(DataError) as caught:
        load_split(place)
    assert caught.value.hint
    assert load_split("avatars-tiny").digest == load_split(tiny).digest


def test_a_damaged_photo_is_found_when_it_is_read_and_the_next_load_repairs_it(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    place = cache_dir("splits", "avatars-tiny", "v1")
    shutil.copytree(tiny, place)
    path = table_path(place, "photos")
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)
    for ref in (place, "avatars-tiny"):
        split = load_split(ref)
        with pytest.raises(DataError, match=r"differs from its recorded hash|cannot be read") as caught:
            list(split.read_photos(photo for identity in split.identities for photo in identity.photos))
        assert caught.value.hint
    split = load_split("avatars-tiny")
    assert len(list(split.read_photos(p for i in split.identities for p in i.photos))) == 216


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "x"}', '{"surprise": 1}', "\0" * 1000])
def test_a_damaged_manifest_is_refused(text: str, copy: Path) -> None:
    (copy / MANIFEST_FILE).write_text(text)
    with pytest.raises(DataError, match="not a manifest"):
        load_split(copy)


def test_manifests_are_closed(copy: Path) -> None:
    content = json.loads((copy / MANIFEST_FILE).read_text())
    for change in ({"extra": 1}, {"schema_version": 2}, {"version": 0}, {"name": "../up"}):
        (copy / MANIFEST_FILE).write_text(json.dumps(content | change))
        with pytest.raises(DataError, match=next(iter(change))):
            read_manifest(copy)


def test_retracted_identities_disappear(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_split(copy)
    listed, shipped = before.identities[3], before.identities[40]
    manifest = before.manifest.model_copy(update={"retracted": (listed.id,)})
    (copy / MANIFEST_FILE).write_text(manifest.model_dump_json())
    monkeypatch.setattr("idbench.splits.split.retracted_here", lambda split: frozenset({shipped.id, "somebody else"}))
    after = load_split(copy)
    assert {i.id for i in before.identities} - {i.id for i in after.identities} == {listed.id, shipped.id}
    assert not {listed.name, shipped.name} & set(after.candidate_names)
    assert len(after.candidate_names) == len(before.candidate_names) - 2
    for corpus in after.corpora:
        kept = [i for i, identity in enumerate(before.identities) if identity not in (listed, shipped)]
        assert np.array_equal(after.labels(corpus).member, before.labels(corpus).member[kept])
    with pytest.raises(DataError, match="no photo"):
        after.read_photo(listed.photos[0])
    assert after.digest != before.digest
    assert after.manifest.digest == before.manifest.digest


def test_the_list_of_retractions_is_read_line_by_line() -> None:
    text = "# nobody\navatars 0123  # at their wish\n\nother 4567\navatars 89ab\nnonsense\n"
    assert parse_retractions(text, "avatars") == {"0123", "89ab"}
    assert parse_retractions(text, "third") == frozenset()


def test_missing_labels_are_refused(copy: Path, rewrite) -> None:  # type: ignore[no-untyped-def]
    rewrite("labels", lambda rows: rows[:-1])
    with pytest.raises(DataError, match="lacks labels of 1 identity"):
        load_split(copy)


def test_no_permission_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "splits").write_text("a file in the way")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    with pytest.raises(StorageError) as caught:
        load_split("avatars-tiny")
    assert caught.value.hint


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("idbench.splits.injected.writing.write_table", full)
    with pytest.raises(StorageError, match="No space left"):
        load_split("avatars-tiny")
    assert [path.name for path in (tmp_path / "splits" / "avatars-tiny").iterdir()] == [".v1.lock"]


KILLED = """
import os, signal
from idbench.api import Silent
from idbench.splits import load_corpus, load_split

class Deadly(Silent):
    def track(self, items, description, total=None):
        for i, item in enumerate(items):
            if i and i * 2 >= (total or 1):
                os.kill(os.getpid(), signal.SIGKILL)
            yield item

{call}
"""


@pytest.mark.parametrize(
    ("call", "folder"),
    [
        ("load_split('avatars-tiny', Deadly())", "splits/avatars-tiny"),
        (
            "import idbench.splits.avatars.world as w\n"
            "w._RENDERED_AT_ONCE = 50\n"
            "load_corpus('avatars-tiny-a', Deadly())",
            "corpora/avatars-tiny-a",
        ),
    ],
    ids=["split", "corpus"],
)
def test_a_kill_half_way_leaves_nothing_wrong(
    call: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    done = subprocess.run([sys.executable, "-c", KILLED.format(call=call)], env=dict(os.environ), check=False)
    assert done.returncode == -9
    left = [path.name for path in (tmp_path / folder).iterdir()]
    assert "v1" not in left
    assert any(name.endswith(".tmp") for name in left)
    from idbench.splits import load_corpus

    if folder.startswith("splits"):
        assert len(load_split("avatars-tiny").identities) == 72
    else:
        assert len(load_corpus("avatars-tiny-a").images) == 438
    assert sorted(path.name for path in (tmp_path / folder).iterdir()) == [".v1.lock", "v1"]


def test_importing_and_listing_need_no_heavy_package() -> None:
    code = (
        "import sys; from idbench.splits import split_names, load_split, lint; assert 'avatars' in split_names();"
        "heavy = {'torch', 'pandas', 'datasets', 'pyarrow', 'PIL', 'huggingface_hub'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_opening_reads_no_photo(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    asked: list[str] = []
    original = pq.ParquetFile.read_row_group

    def spy(self, group, columns=None, **more):  # type: ignore[no-untyped-def]
        asked.extend(columns or ["everything"])
        return original(self, group, columns=columns, **more)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", spy)
    split = Split(tiny)
    assert asked
    assert not {"image", "everything"} & set(asked)
    split.read_photo(split.identities[0].photos[0])
    assert "image" in asked
