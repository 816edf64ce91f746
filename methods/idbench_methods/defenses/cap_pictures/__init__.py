"""Cap pictures: at most k pairs of each protected person stay in the training set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import Field

from idbench.api import Case, Choice, Context, CorpusCard, CorpusDefense, Knowledge, MethodParams, Training

CARD = CorpusCard(
    name="cap-pictures",
    version="1",
    title="At most k pairs of each protected person",
    summary="The more often a person was trained on, the more an attack finds. Of each protected person k pairs stay, "
    "drawn at random.",
    knowledge=Knowledge.NAME | Knowledge.TRAINING_SET,
    choices=(
        Choice(
            what="which pairs show a protected person",
            chosen="those whose caption holds the full name, whatever its case",
            why="training sets do not say who is on a picture",
        ),
    ),
)


class CapPicturesParams(MethodParams):
    """Parameters of the cap."""

    pairs: int = Field(default=5, ge=0, description="most pairs of a person that stay")


class CapPictures(CorpusDefense[CapPicturesParams]):
    """Leaves out pairs of people who have many."""

    card = CARD

    def defend(self, training: Training, protected: Sequence[Case], context: Context) -> Training:
        """The pairs that stay, in their order."""
        from idbench_methods.naming import names_of, pairs_by_name

        kept = np.ones(len(training.captions), dtype=np.bool_)
        for name, places in pairs_by_name(training, names_of(protected)).items():
            order = context.rng("kept", name).permutation(len(places))
            kept[places[order[self.params.pairs :]]] = False
        captions = tuple(caption for caption, keep in zip(training.captions, kept, strict=True) if keep)
        return replace(training, images=training.images[kept], captions=captions)
