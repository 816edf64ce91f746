"""Blind attacks find what is in names and photos, and nothing that is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.stats import kstest, rankdata

from idbench.api import Calibration, Case, Context, Photo, Scores
from idbench_methods.attacks.blind_names import BlindNames, BlindNamesParams
from idbench_methods.attacks.blind_photos import BlindPhotos
from idbench_methods.attacks.random import Random
from idbench_methods.descriptor import LENGTH, describe, describe_photos
from idbench_methods.learning import UNTAUGHT

Contexts = Callable[..., Context]
Photos = Callable[..., list[Photo]]
MakePhoto = Callable[[NDArray[np.uint8]], Photo]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def auc(values: NDArray[np.float64], members: NDArray[np.bool_]) -> float:
    ranks, m = rankdata(values), int(members.sum())
    return float((ranks[members].sum() - m * (m + 1) / 2) / (m * (len(values) - m)))


def strangers(n: int, seed: int, suffix: Callable[[int], str] = lambda _: "") -> list[Case]:
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list(LETTERS), 7)).title() for _ in range(n)]
    return [Case(f"{seed}-{i}", word + suffix(i), []) for i, word in enumerate(words)]


def shaded(make: MakePhoto, n: int, members: NDArray[np.bool_], seed: int, shift: int) -> list[Case]:
    """People whose photos are noise, brighter by `shift` for members."""
    rng = np.random.default_rng(seed)
    return [
        Case(
            f"{seed}-{i}",
            None,
            [
                make((rng.integers(0, 200, (20, 14, 3)) + (shift if members[i] else 0)).astype(np.uint8))
                for _ in range(2)
            ],
        )
        for i in range(n)
    ]


def run(attack: Any, calibration: list[Case], labels: NDArray[np.bool_], cases: list[Case], context: Context) -> Scores:
    attack.fit(None, Calibration(calibration, labels), context)
    scores: Scores = attack.score(None, cases, context).checked(len(cases))
    return scores


HALF = np.arange(120) % 2 == 0


def test_letters_that_give_members_away_are_found(context: Contexts) -> None:
    def ending(i: int) -> str:
        return "sson" if i % 2 == 0 else "ski"

    scores = run(BlindNames(), strangers(120, 0, ending), HALF, strangers(120, 1, ending), context())
    assert auc(scores.values, HALF) > 0.95


def test_names_that_say_nothing_stay_near_chance_for_learned_people_too(context: Contexts) -> None:
    known, others = strangers(120, 0), strangers(120, 1)
    scores = run(BlindNames(), known, HALF, [*known, *others], context())
    # Seen in training, all of these would be told apart: they are scored by models that did not see them.
    assert 0.3 < auc(scores.values[:120], HALF) < 0.7
    assert 0.3 < auc(scores.values[120:], HALF) < 0.7


def test_brightness_that_gives_members_away_is_found(photo: MakePhoto, context: Contexts) -> None:
    scores = run(
        BlindPhotos(), shaded(photo, 120, HALF, 0, shift=40), HALF, shaded(photo, 120, HALF, 1, shift=40), context()
    )
    assert auc(scores.values, HALF) > 0.95


def test_photos_that_say_nothing_stay_near_chance_for_learned_people_too(photo: MakePhoto, context: Contexts) -> None:
    known = shaded(photo, 120, HALF, 0, shift=0)
    renamed = [Case(f"again-{i}", None, case.photos[::-1]) for i, case in enumerate(known)]
    scores = run(BlindPhotos(), known, HALF, renamed, context())
    assert 0.3 < auc(scores.values, HALF) < 0.7


@pytest.mark.parametrize("attack", [BlindNames, BlindPhotos])
@pytest.mark.parametrize("labels", [[], [True], [False] * 6, [True, False, False, False]])
def test_too_little_to_learn_from_means_abstaining(
    attack: Callable[[], Any], labels: list[bool], photos: Photos, context: Contexts
) -> None:
    known = [Case(f"k{i}", f"Name {i}", photos(1, seed=i)) for i in range(len(labels))]
    scores = run(attack(), known, np.array(labels, dtype=np.bool_), [Case("a", "Some One", photos(1))], context())
    assert scores.abstained is not None
    assert scores.abstained.all()
    assert list(scores.reasons) == [UNTAUGHT]


def test_strange_names_are_no_problem(context: Contexts) -> None:
    odd = [Case("a", "", []), Case("b", " ", []), Case("c", "李雷 \u0301é", []), Case("d", "\U0001f600", [])]
    scores = run(BlindNames(), strangers(120, 0), HALF, odd, context())
    assert np.isfinite(scores.values).all()
    nothing = [Case(str(i), "", []) for i in range(6)]
    scores = run(BlindNames(), nothing, np.arange(6) < 3, odd, context())
    assert np.isfinite(scores.values).all()


def test_shortest_above_longest_is_refused() -> None:
    with pytest.raises(ValidationError, match="above longest"):
        BlindNamesParams(shortest=4, longest=2)


def test_random_is_uniform_and_depends_on_the_seed(context: Contexts) -> None:
    cases = strangers(2000, 0)
    scores = [Random().score(None, cases, context(seed=seed)).values for seed in (0, 1)]  # type: ignore[arg-type]
    assert kstest(scores[0], "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(scores[0], scores[1])[0, 1]) < 0.1


def test_the_descriptor_sees_colour_and_direction(photo: MakePhoto) -> None:
    def stripes(axis: int) -> Photo:
        wave = np.where(np.arange(32) // 4 % 2, 220, 30).astype(np.uint8)
        plane = np.broadcast_to(wave[:, None] if axis == 0 else wave[None, :], (32, 32))
        return photo(np.repeat(plane[..., None], 3, axis=2).copy())

    red = photo(np.broadcast_to(np.array([200, 0, 0], dtype=np.uint8), (9, 50, 3)).copy())
    rows = describe_photos([red, stripes(0), stripes(1)])
    assert rows.shape == (3, LENGTH)
    np.testing.assert_allclose(rows[0, :3], [200 / 255, 0, 0], atol=1e-4)
    assert not rows[0, -128:].any()  # a flat photo has no edges
    np.testing.assert_allclose(rows[1, :6], rows[2, :6], atol=1e-5)  # same colours
    directions = rows[1:, -128:].reshape(2, 16, 8).sum(axis=1)
    assert directions[0].argmax() != directions[1].argmax()


def test_the_descriptor_follows_rounding_by_rounding_alone() -> None:
    """Processors round differently: an edge on the border of two bins was counted here or there."""
    rng = np.random.default_rng(0)
    pixels = np.repeat(rng.integers(0, 256, size=(20, 8, 8, 3)), 4, axis=1).repeat(4, axis=2)  # level, upright edges
    images = (pixels / 255).astype(np.float32)
    rounded = images * (1 + 1e-7 * rng.normal(size=images.shape)).astype(np.float32)
    np.testing.assert_allclose(describe(rounded), describe(images), atol=1e-5)


def test_the_descriptor_takes_any_size_and_no_photo_at_all(photo: MakePhoto) -> None:
    tiny = photo(np.full((1, 1, 3), 7, dtype=np.uint8))
    wide = photo(np.full((3, 700, 3), 7, dtype=np.uint8))
    rows = describe_photos([tiny, wide])
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)
    assert describe_photos([]).shape == (0, LENGTH)


def test_random_belongs_to_the_name_not_to_the_run(context: Contexts) -> None:
    """Ids and order of cases are new in each run: figures that are published must come back all the same."""
    cases = strangers(50, 0)
    others = [Case(f"another-{i}", case.name, []) for i, case in enumerate(cases)][::-1]
    first, again = (Random().score(None, some, context()).values for some in (cases, others))  # type: ignore[arg-type]
    assert np.array_equal(first, again[::-1])
