"""Decoded photos lie in one store that all runs share: whole, rebuilt when damaged, and silent about who is who."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from idbench.api import Access, Knowledge, Silent
from idbench.errors import DataError
from idbench.runner.bundle import Folders, Request, plan_cases, read_given, read_request, write_bundle
from idbench.runner.pixels import digest_of, pair_store, photo_store
from idbench.splits import Split, decode_photo, load_split

Write = Callable[[Knowledge], tuple[Path, Request]]


@pytest.fixture
def split() -> Split:
    return load_split("avatars-tiny")


@pytest.fixture(autouse=True)
def own_cache(split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores of this test alone; the split is opened before."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def write(split: Split, tmp_path: Path) -> Write:
    def go(knowledge: Knowledge) -> tuple[Path, Request]:
        folder = tmp_path / f"bundle-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        request = write_bundle(
            folder,
            split,
            plan_cases(split),
            knowledge,
            None,
            attack="x:X",
            access=Access.NONE,
            params={},
            seed=0,
            device="cpu",
            folders=Folders(*["x"] * 5),
            target=None,
        )
        return folder, request

    return go


def test_every_photo_is_what_the_split_holds(split: Split) -> None:
    store = photo_store(split, Silent())
    blob = np.fromfile(store.path, dtype=np.uint8)
    for identity in split.identities:
        for photo in identity.photos:
            place = store.places[photo]
            offset, height, width = store.sizes[place]
            pixels = blob[offset : offset + height * width * 3].reshape(height, width, 3)
            np.testing.assert_array_equal(pixels, decode_photo(split.read_photo(photo), photo))
            assert digest_of(pixels) == store.digests[place]
    assert blob.size == int((store.sizes[:, 1] * store.sizes[:, 2] * 3).sum()), "nothing else is in the file"


def test_the_order_says_nothing_but_what_the_pixels_say(split: Split) -> None:
    store = photo_store(split, Silent())
    assert list(store.digests) == sorted(set(store.digests))
    assert (np.diff(store.sizes[:, 0]) > 0).all()
    texts = str(store.path).lower()
    names = [word.lower() for identity in split.identities[:20] for word in (identity.id, *identity.photos)]
    assert not [name for name in (*names, "avatars", split.digest[:12]) if name in texts]


def test_runs_share_the_store_and_bundles_hold_no_pixels(split: Split, write: Write) -> None:
    first, _ = write(Knowledge.PHOTOS)
    path = photo_store(split, Silent()).path
    made = path.stat()
    second, request = write(Knowledge.PHOTOS)
    assert request.pixels == [str(path)]
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    assert sum(file.stat().st_size for file in (*first.iterdir(), *second.iterdir())) < path.stat().st_size
    assert not path.stat().st_mode & 0o222


def test_a_worker_is_told_of_no_store_that_its_method_may_not_know(split: Split, write: Write) -> None:
    assert write(Knowledge.NAME)[1].pixels == []
    people, pairs = str(photo_store(split, Silent()).path), str(pair_store(split, Silent()).path)
    assert write(Knowledge.PHOTOS)[1].pixels == [people]
    assert write(Knowledge.PUBLIC_PAIRS)[1].pixels == [pairs]
    folder, request = write(Knowledge.PUBLIC_PAIRS)
    given = read_given(folder, read_request(folder))
    assert given.pairs is not None
    assert len(given.pairs) == len(split.public_pairs) == len(request.pairs or ())
    for pair, (photo, caption) in zip(given.pairs, split.public_pairs, strict=True):
        assert pair.caption == caption
        np.testing.assert_array_equal(pair.photo.pixels(), decode_photo(split.read_photo(photo), photo))
    index = np.load(folder / "photos.npz")
    assert len(index["digests"]) == len({photo for photo, _ in split.public_pairs})


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "index", "no index", "link"])
def test_a_damaged_store_is_made_anew(split: Split, damage: str, tmp_path: Path) -> None:
    store = photo_store(split, Silent())
    data = store.path.read_bytes()
    (index,) = (tmp_path / "cache" / "pixel-places").rglob("*.npz")
    store.path.chmod(0o644)
    if damage == "flip":
        store.path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    elif damage == "cut":
        store.path.write_bytes(data[:-7])
    elif damage == "gone":
        store.path.unlink()
    elif damage == "index":
        index.write_bytes(index.read_bytes()[:200])
    elif damage == "no index":
        index.unlink()
    else:
        (tmp_path / "elsewhere").write_bytes(data)
        store.path.unlink()
        store.path.symlink_to(tmp_path / "elsewhere")
    again = photo_store(split, Silent())
    assert again.path.read_bytes() == data
    assert not again.path.is_symlink()
    assert again.places == store.places


def test_pixels_that_change_during_a_run_are_refused(split: Split, write: Write) -> None:
    folder, _ = write(Knowledge.PHOTOS)
    given = read_given(folder, read_request(folder))
    path = photo_store(split, Silent()).path
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    with pytest.raises(DataError, match="were changed"):
        given.cases[0].photos[0].pixels()


def test_who_was_taken_out_stays_in_no_store(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    before = photo_store(split, Silent())
    gone = split.identities[3]
    monkeypatch.setattr(split, "identities", tuple(one for one in split.identities if one is not gone))
    monkeypatch.setattr(split, "retracted", frozenset({gone.id}))
    after = photo_store(split, Silent())
    assert after.path != before.path
    assert not before.path.exists()
    assert not {before.digests[before.places[photo]] for photo in gone.photos} & set(after.digests)


def test_what_a_killed_process_left_is_cleared_away(split: Split) -> None:
    store = photo_store(split, Silent())
    left = store.path.with_name(f".{store.path.name}.idbench-abc.tmp")
    left.write_bytes(b"half")
    store.path.unlink()
    photo_store(split, Silent())
    assert not left.exists()
    assert [path.name for path in store.path.parent.iterdir()] == [store.path.name]
