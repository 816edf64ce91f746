"""Average answers: each question is asked many times, a little changed, so that noise and rounding average out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pydantic import Field

from idbench.api import (
    AnswerAdaptation,
    AskingCard,
    Calibration,
    Case,
    Choice,
    Context,
    Knowledge,
    MethodParams,
    Photo,
    TargetView,
)
from idbench_methods.asking import ANSWERS, SeveralWays, nudged

CARD = AskingCard(
    name="average-answers",
    version="1",
    title="The mean of many answers",
    summary="Each question is asked several times: with spaces behind the text, and with the last bits of the photo's "
    "pixels flipped. Cosines and embeddings are averaged, labels voted on.",
    knowledge=Knowledge.NONE,
    answers=ANSWERS,
    choices=(
        Choice(
            what="how a question is repeated",
            chosen="with changes that mean nothing",
            why="a careful defense gives the same noise to the same question",
        ),
    ),
)


class AverageAnswersParams(MethodParams):
    """Parameters of the repetition."""

    times: int = Field(default=8, ge=1, le=10_000, description="how often each question is asked")


class AverageAnswers(AnswerAdaptation[AverageAnswersParams]):
    """Asks again and again."""

    card = CARD

    def adapt(
        self, target: TargetView, people: Sequence[Case], calibration: Calibration, context: Context
    ) -> TargetView:
        """The target, asked many times."""
        ways = range(self.params.times)
        texts, photos = [partial(_spaced, way) for way in ways], [partial(_nudged, way) for way in ways]
        return SeveralWays(target, CARD.name, texts, photos)


def _spaced(way: int, text: str) -> str:
    return text + " " * way


def _nudged(way: int, photo: Photo) -> Photo:
    return nudged(photo, way)
