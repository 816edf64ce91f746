"""Drop people: the target is trained again without the pairs that name a protected person. The reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from idbench.api import Case, Choice, Context, CorpusCard, CorpusDefense, Knowledge, MethodParams, Training

CARD = CorpusCard(
    name="drop-people",
    version="1",
    title="Trained again without the protected (exact unlearning)",
    summary="Every pair whose caption holds a protected name is left out of the training set. What an attack still "
    "finds of these people is not in the target: the reference that other defenses are measured against.",
    knowledge=Knowledge.NAME | Knowledge.TRAINING_SET,
    choices=(
        Choice(
            what="which pairs show a protected person",
            chosen="those whose caption holds the full name, whatever its case",
            why="training sets do not say who is on a picture; pictures without the name stay, which somebody who "
            "leaves people out of a real training set cannot avoid either",
        ),
    ),
)


class DropPeople(CorpusDefense[MethodParams]):
    """Leaves out pairs."""

    card = CARD

    def defend(self, training: Training, protected: Sequence[Case], context: Context) -> Training:
        """The other pairs, in their order."""
        from idbench_methods.naming import names_of, pairs_of_anybody

        kept = ~pairs_of_anybody(training, names_of(protected))
        captions = tuple(caption for caption, keep in zip(training.captions, kept, strict=True) if keep)
        return replace(training, images=training.images[kept], captions=captions)
