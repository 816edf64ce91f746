"""Replace names: each protected person has one invented name in all captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from idbench.api import (
    Case,
    Choice,
    Context,
    CorpusCard,
    CorpusDefense,
    Knowledge,
    MethodError,
    MethodParams,
    Training,
)

_SYLLABLES = tuple(first + second for first in "bdfgklmnprstvz" for second in "aeiou")
_TRIALS = 100

CARD = CorpusCard(
    name="replace-names",
    version="1",
    title="One invented name for each protected person",
    summary="Captions keep telling the protected apart, by a name that nobody bears: the target can learn a face as "
    "before, and not what the person is called.",
    knowledge=Knowledge.NAME | Knowledge.TRAINING_SET,
    choices=(
        Choice(
            what="the invented names",
            chosen="two words of three syllables, drawn at random for each name, which no caption holds",
            why="names that are put together from real ones would teach these to the target",
        ),
    ),
)


class ReplaceNames(CorpusDefense[MethodParams]):
    """Changes captions alone."""

    card = CARD

    def defend(self, training: Training, protected: Sequence[Case], context: Context) -> Training:
        """The same pictures with captions that name nobody protected.

        Raises:
            MethodError: every name that was drawn is taken.
        """
        from idbench_methods.naming import names_of, recaptioned

        taken = {word.casefold() for caption in set(training.captions) for word in caption.split()}
        invented: dict[str, str] = {}
        for name in names_of(protected):
            invented[name] = _free(context.rng("invented", name), taken)
            taken.update(invented[name].casefold().split())
        return replace(training, captions=recaptioned(training, list(invented), invented.__getitem__))


def _free(rng: np.random.Generator, taken: set[str]) -> str:
    """A name of two words that are both not taken."""
    for _ in range(_TRIALS):
        first, last = ("".join(rng.choice(_SYLLABLES, 3)).capitalize() for _ in range(2))
        if not {first.casefold(), last.casefold()} & taken:
            return f"{first} {last}"
    raise MethodError("All invented names occur in the captions.", hint="Use another seed, or another defense.")
