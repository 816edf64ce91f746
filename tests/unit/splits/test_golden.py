"""The embedded splits, built whole: equal to the golden digests, fair to both corpora, and small in memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from idbench.splits import Split, decode_photo, load_corpus, load_split
from idbench.splits.avatars import CORPORA, SPLITS
from idbench.splits.duplicates import signature

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "splits.json").read_text())


@pytest.fixture(scope="module")
def avatars() -> Split:
    return load_split("avatars")


def test_shipped_digests_are_the_golden_ones() -> None:
    """Versions are immutable: whoever changes a digest must add a version instead."""
    assert {name: entry["digest"] for name, entry in GOLDEN["splits"].items()} == SPLITS
    assert GOLDEN["corpora"] == CORPORA


@pytest.mark.parametrize("name", ["avatars", "avatars-tiny"])
def test_splits_equal_the_golden_digests(name: str) -> None:
    manifest = load_split(name).manifest
    assert dict(sorted(manifest.digests.items())) == GOLDEN["splits"][name]["tables"]
    assert manifest.digest == GOLDEN["splits"][name]["digest"]


@pytest.mark.parametrize(
    "name", ["avatars-tiny-a", "avatars-tiny-b", "avatars-tiny-0", "avatars-tiny-held-out", "avatars-held-out"]
)
def test_tiny_corpora_equal_the_golden_digests(name: str) -> None:
    assert load_corpus(name).digest == GOLDEN["corpora"][name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["avatars-a", "avatars-b", "avatars-0"])
def test_corpora_equal_the_golden_digests(name: str) -> None:
    assert load_corpus(name).digest == GOLDEN["corpora"][name]


def test_photos_of_both_corpora_are_drawn_alike_and_reading_them_takes_little_memory(avatars: Split) -> None:
    """Two samples: mean signature per identity; a shift that a person would not see must be found."""
    means, peak, before = [], 0, pa.total_allocated_bytes()
    for identity in avatars.identities:
        prints = [signature(decode_photo(data, "photo")) for data in avatars.read_photos(identity.photos[:5])]
        means.append(np.mean(prints, axis=0))
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert 0 < peak < 6 << 20  # the table holds 39 MB
    member = avatars.labels("avatars-a").member
    values = np.array(means, dtype=np.float64)
    assert _p(values, member) > 0.01
    shifted = values + 4.0 * member[:, None]
    assert _p(shifted, member) < 0.01


def _p(values: NDArray[np.float64], member: NDArray[np.bool_]) -> float:
    """Permutation p value of the squared distance between the groups' scaled means (2000 draws, fixed seed)."""
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    rng = np.random.default_rng(0)
    groups = np.array([member] + [rng.permutation(member) for _ in range(2000)], dtype=np.float64)
    weights = groups / groups.sum(axis=1, keepdims=True) - (1 - groups) / (1 - groups).sum(axis=1, keepdims=True)
    distances = ((weights @ scaled) ** 2).sum(axis=1)
    return float((distances >= distances[0]).mean())
