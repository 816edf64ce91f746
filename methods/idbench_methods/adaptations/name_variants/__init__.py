"""Name variants: the attack's texts name people in other ways, which no list of names holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

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
    TargetView,
)
from idbench_methods.asking import ANSWERS, SeveralWays
from idbench_methods.naming import Names

Variant = Literal["upper", "misspelt", "initial", "middle-name", "zero-width", "word-order"]

_ZERO_WIDTH = "\u200b"

CARD = AskingCard(
    name="name-variants",
    version="1",
    title="Other ways to write the name",
    summary="Names in the attack's texts are written in several other ways: in capitals, misspelt, with an initial, "
    "with a middle name, with a zero-width space, last name first. Cosines and embeddings are averaged, labels voted "
    "on.",
    knowledge=Knowledge.NAME | Knowledge.CANDIDATE_NAMES,
    answers=ANSWERS,
    choices=(
        Choice(
            what="whose names",
            chosen="those of the people under test, and all candidates'",
            why="names that are written in one way must not compete with names that are written in another",
        ),
    ),
)


class NameVariantsParams(MethodParams):
    """Parameters of the variants."""

    variants: tuple[Variant, ...] = Field(
        default=("upper", "misspelt", "initial", "middle-name", "zero-width", "word-order"),
        min_length=1,
        description="ways to write a name; each is asked for",
    )


class NameVariants(AnswerAdaptation[NameVariantsParams]):
    """Asks with names that are written in other ways."""

    card = CARD

    def adapt(
        self, target: TargetView, people: Sequence[Case], calibration: Calibration, context: Context
    ) -> TargetView:
        """The target, asked with every variant."""
        names = Names([case.name for case in people] + list(context.candidate_names))
        return SeveralWays(target, CARD.name, [_rewriter(names, variant) for variant in self.params.variants])


def _rewriter(names: Names, variant: Variant) -> Callable[[str], str]:
    known: dict[str, str] = {}

    def rewritten(text: str) -> str:
        if text not in known:
            known[text] = names.replaced(text, lambda name: written(name, variant))
        return known[text]

    return rewritten


def written(name: str, variant: Variant) -> str:
    """A name in another way; one of a single word stays where the way needs two."""
    words = name.split()
    first, rest = words[0], words[1:]
    match variant:
        case "upper":
            return name.upper()
        case "misspelt":
            return " ".join(_swapped(word) for word in words)
        case "initial":
            return " ".join([f"{first[0]} .", *rest]) if rest else name
        case "middle-name":
            return " ".join([first, "J .", *rest]) if rest else name
        case "zero-width":
            return " ".join(word[:1] + _ZERO_WIDTH + word[1:] for word in words)
        case "word-order":
            return " ".join([rest[-1], ",", first, *rest[:-1]]) if rest else name


def _swapped(word: str) -> str:
    """A word with two inner letters in each other's place."""
    middle = len(word) // 2
    if len(word) < 3:
        return word
    return word[: middle - 1] + word[middle] + word[middle - 1] + word[middle + 1 :]
