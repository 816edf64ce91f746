"""Other prompts: the attack's texts stand in sentences that no defender thought of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import Field

from idbench.api import AnswerAdaptation, AskingCard, Calibration, Case, Context, Knowledge, MethodParams, TargetView
from idbench_methods.asking import ANSWERS, SeveralWays
from idbench_methods.prompts import Templates, fill

CARD = AskingCard(
    name="other-prompts",
    version="1",
    title="Other sentences around the attack's texts",
    summary="Every text of the attack stands in several other sentences. Cosines and embeddings are averaged, labels "
    "voted on.",
    knowledge=Knowledge.NONE,
    answers=ANSWERS,
)


class OtherPromptsParams(MethodParams):
    """Parameters of the sentences."""

    sentences: Templates = Field(
        default=("here we see {}", "look at {}", "{} , as always", "{} once more", "guess who : {}"),
        description="each holds {} where the attack's text goes",
    )


class OtherPrompts(AnswerAdaptation[OtherPromptsParams]):
    """Asks with other sentences."""

    card = CARD

    def adapt(
        self, target: TargetView, people: Sequence[Case], calibration: Calibration, context: Context
    ) -> TargetView:
        """The target, asked with every sentence."""
        return SeveralWays(target, CARD.name, [_around(sentence) for sentence in self.params.sentences])


def _around(sentence: str) -> Callable[[str], str]:
    return lambda text: fill(sentence, text)
