"""TUNI's detectors and gibberish: what counts as unlike the reference, and in which direction."""

from __future__ import annotations

import os
import random
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from idbench_methods.attacks.tuni.detectors import DetectorName, judge
from idbench_methods.attacks.tuni.gibberish import ALPHABET, gibberish

ALL: tuple[DetectorName, ...] = get_args(DetectorName)
MORE, LESS = [0.9, 1.0], [0.1, 9.0]  # similarity, spread


def reference(n: int = 128) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    return np.stack([rng.normal(0.5, 0.03, n), rng.normal(5, 0.4, n)], axis=1)


def asked(**given: Any) -> Any:
    usual: dict[str, Any] = {
        "reference": reference(),
        "names": np.array([MORE, LESS, *reference(130)[-20:].tolist()]),
        "detectors": ALL,
        "contamination": 0.1,
        "direction": "two-sided",
        "seed": 3,
    }
    return judge(**{**usual, **given})


@pytest.mark.parametrize("detector", ALL)
def test_outliers_on_either_side_stand_out(detector: DetectorName) -> None:
    verdict = asked(detectors=(detector,))
    assert verdict.anomaly[:2].min() > verdict.anomaly[2:].max()
    assert verdict.votes[:2].tolist() == [1, 1]
    assert verdict.votes[2:].sum() <= 8


def test_direction_turns_the_far_side_around() -> None:
    verdict = asked(direction="more-similar")
    assert verdict.anomaly[0] == verdict.anomaly.max() > 0.9
    assert verdict.anomaly[1] == verdict.anomaly.min() < -0.9
    assert verdict.votes[:2].tolist() == [4, 0]


def test_scores_are_ranks() -> None:
    verdict = asked()
    assert (verdict.anomaly > 0).all()
    assert (verdict.anomaly <= 1).all()


def test_order_and_units_do_not_matter() -> None:
    names = np.array([MORE, LESS, *reference(130)[-20:].tolist()])
    order = np.random.default_rng(1).permutation(len(names))
    plain = asked(names=names)
    shuffled = asked(names=names[order])
    np.testing.assert_array_equal(shuffled.anomaly, plain.anomaly[order])
    np.testing.assert_array_equal(shuffled.votes, plain.votes[order])
    units = np.array([8.0, 1024.0])  # powers of two: no rounding
    scaled = asked(names=names * units, reference=reference() * units)
    np.testing.assert_array_equal(scaled.anomaly, plain.anomaly)


def test_a_single_name_and_a_constant_feature_are_no_problem() -> None:
    flat = reference()
    flat[:, 1] = 2.0
    verdict = asked(names=np.array([[0.9, 2.0]]), reference=flat)
    assert np.isfinite(verdict.anomaly).all()
    assert verdict.votes[0] >= 2


def test_the_chance_of_others_is_left_alone() -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    expected = (random.random(), np.random.random(), float(torch.rand(1)))  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    hashing = os.environ.get("PYTHONHASHSEED")
    asked()
    assert (random.random(), np.random.random(), float(torch.rand(1))) == expected  # noqa: NPY002
    assert os.environ.get("PYTHONHASHSEED") == hashing


def test_gibberish_is_what_was_asked_for() -> None:
    texts = gibberish(200, (3, 9), ALPHABET, avoid=set(), rng=np.random.default_rng(0))
    assert len(texts) == len(set(texts)) == 200
    assert {len(text) for text in texts} == set(range(3, 10))
    assert set("".join(texts)) <= set(ALPHABET)
    assert texts == gibberish(200, (3, 9), ALPHABET, avoid=set(), rng=np.random.default_rng(0))


def test_gibberish_avoids_names_and_gives_up_when_there_is_no_more() -> None:
    texts = gibberish(10, (1, 1), "abc", avoid={"b"}, rng=np.random.default_rng(0))
    assert sorted(texts) == ["a", "c"]
