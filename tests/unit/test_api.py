"""What a method author meets: cards, tracks, scores, cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydantic import Field, ValidationError

from idbench.api import (
    Access,
    AccessViolation,
    Attack,
    Calibration,
    Case,
    Context,
    InvalidScores,
    Knowledge,
    MethodCard,
    MethodError,
    MethodParams,
    Scores,
    Silent,
    TargetView,
    Track,
    names_of,
    track_of,
)


def card(**changes: object) -> MethodCard:
    values = {"name": "x", "version": "1", "title": "X", "access": Access.LABEL, "knowledge": Knowledge.NAME}
    return MethodCard.model_validate(values | changes)


@pytest.mark.parametrize(
    ("access", "knowledge", "track"),
    [
        (Access.NONE, Knowledge.NAME | Knowledge.PHOTOS, Track.BLIND),
        (Access.SIMILARITY | Access.GRADIENT, Knowledge.NAME, Track.TEXT_ONLY),
        (Access.LABEL, Knowledge.NAME | Knowledge.PHOTOS, Track.BLACK_BOX),
        (Access.SIMILARITY | Access.GRADIENT, Knowledge.NAME | Knowledge.PHOTOS, Track.WHITE_BOX),
        (Access.WEIGHTS, Knowledge.NAME, Track.WHITE_BOX),
        (Access.WEIGHTS | Access.TRAIN_SHADOWS, Knowledge.NAME, Track.SHADOW),
    ],
)
def test_track_follows_from_access_and_knowledge(access: Access, knowledge: Knowledge, track: Track) -> None:
    assert track_of(access, knowledge) is track
    assert card(access=access, knowledge=knowledge).track is track


@pytest.mark.parametrize("name", ["Tuni", "my_attack", "-x", "x-", "a--b", "", "ä", "1x"])
def test_names_of_methods_are_plain(name: str) -> None:
    with pytest.raises(ValidationError, match="is no method name"):
        card(name=name)


def test_cards_are_closed() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        card(tack="text-only")
    assert names_of(Access.GRADIENT | Access.LABEL) == ["LABEL", "GRADIENT"]
    assert names_of(Knowledge.NONE) == []


class Params(MethodParams):
    """One number."""

    number: int = Field(default=3, ge=1, description="a number")


class Mine(Attack[Params]):
    """Says how many cases there are."""

    card = card(name="mine")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        return Scores(np.full(len(cases), float(self.params.number)))


def test_parameters_belong_to_the_class() -> None:
    assert Mine.Params is Params
    assert Mine().params.number == 3
    assert Mine(Params(number=5)).params.number == 5
    with pytest.raises(ValidationError):
        Params(number=0)


def test_an_attack_without_a_card_is_refused() -> None:
    with pytest.raises(MethodError, match="Nameless has no card"):

        class Nameless(Attack[Params]):
            def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
                return Scores(np.zeros(len(cases)))


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        (Scores(np.zeros(2)), r"shape \(2,\); 3 cases"),
        (Scores(np.zeros((3, 1))), r"shape \(3, 1\)"),
        (Scores(np.array([0.0, np.nan, np.inf])), "2 of 3 scores are NaN or infinite"),
        (Scores(np.array(["a", "b", "c"])), "not an array of float64"),  # type: ignore[arg-type]
        (Scores(np.array([1, None, 2], dtype=object)), "not an array of float64"),  # type: ignore[arg-type]
        (Scores(np.zeros(3), abstained=np.array([0.0, 1.0, 0.0])), "not an array of bool"),  # type: ignore[arg-type]
        (Scores(np.zeros(3), details={"s": np.zeros(4)}), r"details\['s'\] has shape"),
    ],
)
def test_unusable_scores_are_refused(scores: Scores, sentence: str) -> None:
    with pytest.raises(InvalidScores, match=sentence):
        scores.checked(3)


def test_scores_get_their_types() -> None:
    checked = Scores(np.array([1, 2, 3]), abstained=np.array([False, True, False])).checked(3)  # type: ignore[arg-type]
    assert checked.values.dtype == np.float64
    assert np.isnan(checked.values[1])
    assert np.isfinite(checked.values[[0, 2]]).all()


def test_what_is_not_declared_cannot_be_read() -> None:
    case = Case("case-1", None, None)
    context = Context(0, "cpu", Path(), Silent())
    for read in (
        lambda: case.name,
        lambda: case.photos,
        lambda: Calibration([case], None).members,
        lambda: context.candidate_names,
        lambda: context.public_pairs,
    ):
        with pytest.raises(AccessViolation, match="does not declare"):
            read()


def test_generators_depend_on_seed_and_labels_only() -> None:
    context = Context(7, "cpu", Path(), Silent())
    first = context.rng("text", "a name").random(3)
    assert np.array_equal(first, context.rng("text", "a name").random(3))
    assert not np.array_equal(first, context.rng("text", "another").random(3))
    assert not np.array_equal(context.rng("a", "b").random(3), context.rng("ab").random(3))
    assert not np.array_equal(first, Context(8, "cpu", Path(), Silent()).rng("text", "a name").random(3))
