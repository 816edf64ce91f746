"""TUNI as a whole, on a target in which members' names are planted within reach of an image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import rankdata
from tests.planted_names import PlantedTarget

from idbench.api import Access, Calibration, Case, Context, Knowledge, MethodError, Photo, Scores, Track, track_of
from idbench_methods.attacks.tuni import CARD, Tuni, TuniParams
from idbench_methods.attacks.tuni.photos import DescriptorLooks, TargetLooks, closeness

if TYPE_CHECKING:
    from tests.unit.methods.conftest import LinearTarget

Contexts = Callable[..., Context]
People = Callable[..., list[Case]]
DIM = 12
QUICK: dict[str, Any] = {"runs": 3, "steps": 12, "gibberish_count": 40, "learning_rate": 0.1}


def auc(values: np.ndarray[Any, Any], members: np.ndarray[Any, Any]) -> float:
    ranks, m = rankdata(values), int(members.sum())
    return float((ranks[members].sum() - m * (m + 1) / 2) / (m * (len(values) - m)))


def score(target: Any, cases: list[Case], context: Context, **params: Any) -> Scores:
    attack = Tuni(TuniParams(**{**QUICK, **params}))
    attack.fit(target, Calibration([], None), context)
    return attack.score(target, cases, context).checked(len(cases))


def test_names_within_reach_are_found(people: People, context: Contexts) -> None:
    cases = people(60, n_photos=0)
    members = np.arange(60) % 2 == 0
    shares = np.where(members, 0.85, 0.6) + 0.03 * np.random.default_rng(1).standard_normal(60)
    for direction in ("two-sided", "more-similar"):
        scores = score(PlantedTarget(cases, shares), cases, context(), direction=direction)
        assert auc(scores.values, members) > 0.95
        assert scores.decisions is not None
        assert scores.decisions[members].mean() > 0.9
        assert scores.decisions[~members].mean() < 0.4
    assert auc(scores.details["S"], members) > 0.95


def test_only_the_two_sided_score_finds_members_that_are_harder_to_reach(people: People, context: Contexts) -> None:
    cases = people(60, n_photos=0)
    members = np.arange(60) % 2 == 0
    shares = np.where(members, 0.35, 0.6) + 0.03 * np.random.default_rng(1).standard_normal(60)
    two_sided = score(PlantedTarget(cases, shares), cases, context())
    signed = score(PlantedTarget(cases, shares), cases, context(), direction="more-similar")
    assert auc(two_sided.values, members) > 0.95
    assert auc(signed.values, members) < 0.1
    assert signed.decisions is not None
    assert not signed.decisions[members].any()


@pytest.mark.parametrize("start", ["photo", "one-photo", "noise"])
@pytest.mark.parametrize("crop_of", ["view", "start"])
def test_starts_and_crops(
    start: str, crop_of: str, linear_target: type[LinearTarget], people: People, context: Contexts
) -> None:
    scores = score(linear_target(), people(4, 0), context(), start=start, crop_of=crop_of, steps=3)
    assert (scores.details["D"] > 0).all()  # the crop makes runs differ
    assert (scores.details["steps"] == 3).all()
    assert len(set(scores.details["S"].tolist())) == 4


def test_without_a_crop_all_runs_are_one(linear_target: type[LinearTarget], people: People, context: Contexts) -> None:
    scores = score(linear_target(), people(3, 0), context(), crop_low=1.0, crop_ratio=1.0, steps=3)
    np.testing.assert_allclose(scores.details["D"], 0, atol=1e-5)


def test_slots_change_memory_and_not_results(
    linear_target: type[LinearTarget], people: People, context: Contexts
) -> None:
    cases = people(6, 0)
    many = score(linear_target(), cases, context(), slots=256)
    few = score(linear_target(), cases, context(), slots=1)
    np.testing.assert_allclose(few.details["S"], many.details["S"], rtol=1e-5)
    np.testing.assert_allclose(few.details["D"], many.details["D"], rtol=1e-4)


def test_no_public_photo_to_start_from_is_an_error(
    linear_target: type[LinearTarget], people: People, context: Contexts
) -> None:
    with pytest.raises(MethodError, match="no public pairs") as caught:
        score(linear_target(), people(2, 0), context(n_pairs=0))
    assert "noise" in caught.value.hint
    score(linear_target(), people(2, 0), replace(context(n_pairs=0), pairs=None), start="noise")


def test_what_went_to_infinity_is_abstained_from(
    linear_target: type[LinearTarget], people: People, context: Contexts
) -> None:
    cases = people(5, 0)
    target = linear_target({cases[2].name: np.full(DIM, np.nan)})
    scores = score(target, cases, context())
    assert scores.abstained is not None
    assert scores.abstained.tolist() == [False, False, True, False, False]
    assert scores.decisions is not None
    assert not scores.decisions[2]


def test_a_reference_that_went_to_infinity_is_an_error(
    linear_target: type[LinearTarget], people: People, context: Contexts
) -> None:
    with pytest.raises(MethodError, match="went to infinity for 40 of 40"):
        score(linear_target(matrix=torch.full((DIM, 192), torch.nan, dtype=torch.float64)), people(2, 0), context())


def test_too_few_strings_is_an_error(linear_target: type[LinearTarget], people: People, context: Contexts) -> None:
    with pytest.raises(MethodError, match="Only 4 different"):
        score(
            linear_target(),
            people(2, 0),
            context(),
            gibberish_alphabet="ab",
            gibberish_shortest=2,
            gibberish_longest=2,
        )


def test_photos_help_when_the_target_draws_the_person(
    linear_target: type[LinearTarget], people: People, context: Contexts
) -> None:
    cases = people(40, n_photos=4)
    members = np.arange(40) % 2 == 0
    plain = linear_target()
    own = {
        case.name: plain.embed_photos(case.photos).mean(axis=0).astype(np.float64)
        for case, member in zip(cases, members, strict=True)
        if member
    }
    scores = score(linear_target(own), cases, context(), use_photos=True, steps=40)
    assert auc(scores.details["closeness"], members) > 0.9
    assert scores.photos_used is not None
    assert (scores.photos_used == 4).all()


def test_people_without_photos_count_as_typical(
    linear_target: type[LinearTarget], people: People, context: Contexts
) -> None:
    cases = [*people(3, n_photos=2), Case("bare", "Ohne Bild", [])]
    for features in ("target", "descriptor"):
        scores = score(linear_target(), cases, context(), use_photos=True, photo_features=features)
        assert scores.details["closeness"][3] == 0
        assert np.isfinite(scores.values).all()
        assert (scores.details["closeness"][:3] != 0).all()


def test_closeness_is_in_deviations_of_gibberish() -> None:
    photos = np.zeros((2, 1), dtype=np.float32)
    others = [np.full((2, 1), far, dtype=np.float32) for far in (9.0, 11.0)]
    assert closeness(photos, np.full((3, 1), 7.0, dtype=np.float32), others) == pytest.approx(3.0)
    assert closeness(photos, np.full((3, 1), 10.0, dtype=np.float32), others) == pytest.approx(0.0)
    assert closeness(photos, photos, others[:1]) == 0.0  # nothing to compare with


def test_both_feature_spaces_recognize_an_image(
    linear_target: type[LinearTarget], photos: Callable[..., list[Photo]]
) -> None:
    from idbench_methods.attacks.tuni.features import Features

    target, shown = linear_target(), photos(3)
    images = target.preprocess(shown)
    features = Features("x", 0.0, 0.0, 0.0, target.embed_images(images).numpy(), images)
    for looks in (TargetLooks(target), DescriptorLooks(target)):
        np.testing.assert_allclose(looks.of_images(features), looks.of_photos(shown), atol=2e-3)


def test_knowledge_follows_the_parameters() -> None:
    assert Tuni().knowledge == Knowledge.NAME | Knowledge.PUBLIC_PAIRS
    assert Tuni(TuniParams(start="noise")).knowledge == Knowledge.NAME
    with_photos = Tuni(TuniParams(use_photos=True)).knowledge
    assert Knowledge.PHOTOS in with_photos
    assert CARD.track is Track.TEXT_ONLY
    assert track_of(CARD.access, with_photos) is Track.WHITE_BOX
    assert Access.TEXT_EMBEDDING not in CARD.access


def test_the_rate_belongs_to_the_optimizer() -> None:
    assert TuniParams(optimizer="sgd").learning_rate == 0.02
    assert TuniParams(optimizer="sgd", learning_rate=0.5).learning_rate == 0.5
    paper = TuniParams.model_validate(CARD.presets["paper"])
    assert (paper.runs, paper.steps, paper.optimizer, paper.learning_rate) == (100, 2000, "sgd", 0.02)
    assert len(paper.detectors) == 4
    assert paper.crop_of == "start"  # released: the crop cuts the first image, and the optimizer sees all of it
    again = TuniParams.model_validate_json(paper.model_dump_json())
    assert again == paper


@pytest.mark.parametrize(
    "given",
    [
        {"gibberish_shortest": 9, "gibberish_longest": 8},
        {"crop_low": 0.9, "crop_high": 0.8},
        {"detectors": ["lof", "lof"]},
        {"detectors": []},
        {"votes_needed": 4},
        {"runs": 1},
        {"steps": 0},
        {"optimizer": "lbfgs"},
        {"learning_rate": float("nan")},
    ],
)
def test_impossible_parameters_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TuniParams.model_validate(given)
