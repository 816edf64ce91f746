"""Drop names: captions say `a person` where they named a protected person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydantic import Field

from idbench.api import Case, Choice, Context, CorpusCard, CorpusDefense, Knowledge, MethodParams, Training
from idbench_methods.naming import NEUTRAL

CARD = CorpusCard(
    name="drop-names",
    version="1",
    title="Captions without the protected names",
    summary="The pictures of the protected stay; their captions say `a person` in place of the name.",
    knowledge=Knowledge.NAME | Knowledge.TRAINING_SET,
    choices=(
        Choice(
            what="what stands in place of a name",
            chosen="`a person`",
            why="it stands wherever a name can stand, and a caption that is a name alone does not become empty",
        ),
    ),
)


class DropNamesParams(MethodParams):
    """Parameters of the change of captions."""

    instead: str = Field(default=NEUTRAL, min_length=1, description="what stands in place of a name")


class DropNames(CorpusDefense[DropNamesParams]):
    """Changes captions alone."""

    card = CARD

    def defend(self, training: Training, protected: Sequence[Case], context: Context) -> Training:
        """The same pictures with captions that name nobody protected."""
        from idbench_methods.naming import names_of, recaptioned

        return replace(training, captions=recaptioned(training, names_of(protected), lambda name: self.params.instead))
