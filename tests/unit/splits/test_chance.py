"""Chance must be the same everywhere and fair."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idbench.splits.injected.chance import BatchDraws, hex_id, shuffled, stream


def test_stream_is_shake128_of_the_label() -> None:
    # FIPS 202: SHAKE-128 of the empty message begins 7f9c2ba4e88f827d.
    assert stream("", 8).hex() == "7f9c2ba4e88f827d"
    assert stream("a", 64) == hashlib.shake_128(b"a").digest(64)


def test_ids_have_the_length_asked_and_differ() -> None:
    ids = {hex_id(f"person/{i}", 12) for i in range(2000)}
    assert len(ids) == 2000
    assert all(len(i) == 12 and int(i, 16) >= 0 for i in ids)


def test_shuffled_is_a_permutation_that_is_fixed_by_its_label() -> None:
    order = shuffled("x", 1000)
    assert sorted(order.tolist()) == list(range(1000))
    assert order.tolist() == shuffled("x", 1000).tolist()
    assert order.tolist() != shuffled("y", 1000).tolist()
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.1


@given(low=st.integers(-5000, 5000), width=st.integers(0, 8000), label=st.text(max_size=8))
def test_draws_stay_in_range(low: int, width: int, label: str) -> None:
    draws = BatchDraws([label, "other"], 8)
    for values in (draws.between(low, low + width), draws.bell(low, low + width)):
        assert values.dtype == np.int32
        assert (values >= low).all()
        assert (values <= low + width).all()


def test_rows_depend_on_their_own_label_alone() -> None:
    together = BatchDraws(["a", "b", "c"], 4)
    alone = BatchDraws(["b"], 4)
    for _ in range(4):
        assert together.between(0, 999)[1] == alone.between(0, 999)[0]


def test_draws_are_fair() -> None:
    draws = BatchDraws([f"row/{i}" for i in range(6000)], 5)
    uniform = np.bincount(draws.between(0, 5), minlength=6)
    assert (abs(uniform - 1000) < 150).all()
    picked = np.bincount(draws.pick((1, 0, 3)), minlength=3)
    assert picked[1] == 0
    assert picked[2] / picked[0] == pytest.approx(3, abs=0.4)
    bell = draws.bell(-100, 100)
    assert bell.mean() == pytest.approx(0, abs=3)
    assert (abs(bell) < 50).mean() > 0.7  # a uniform draw would give one half


def test_more_draws_than_columns_is_an_error() -> None:
    draws = BatchDraws(["a"], 1)
    draws.between(0, 1)
    with pytest.raises(IndexError):
        draws.between(0, 1)
