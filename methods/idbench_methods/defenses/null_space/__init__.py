"""Null-space erasing: takes the directions of the protected names out of the text tower's last map. Closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from idbench.api import Case, Choice, Context, DefenseCard, EditableTarget, Knowledge, MethodParams, TargetDefense

if TYPE_CHECKING:
    import torch

CARD = DefenseCard(
    name="null-space",
    version="1",
    title="Null-space erasing of names",
    summary="An orthonormal basis of the protected names' text embeddings is projected out of the text tower's output.",
    paper="Null-space erasing, arXiv 2512.14137 (2025)",
    year=2025,
    url="https://arxiv.org/abs/2512.14137",
    knowledge=Knowledge.NAME,
    choices=(
        Choice(
            what="more names than dimensions",
            chosen="the strongest directions alone, a share of the embedding's dimensions",
            why="the source erases few concepts; the basis of hundreds of names is the whole space, and taking all of "
            "it out would leave no text tower",
        ),
        Choice(
            what="texts that stand for a name",
            chosen="the bare name",
            why="every sentence about a person shares the rest of it with sentences about others",
        ),
    ),
)


class ProjectionParams(MethodParams):
    """How much a projection takes out of a tower's output; the identity projection has the same."""

    share: float = Field(default=0.5, gt=0, le=1, description="most directions taken out, as a share of the dimensions")
    strength: float = Field(default=1.0, ge=0, le=1, description="how much of each direction is taken out; 1: all")


class NullSpace(TargetDefense[ProjectionParams]):
    """Multiplies the text projection by I - strength V'V, V the names' strongest directions."""

    card = CARD

    def defend(self, target: EditableTarget, protected: Sequence[Case], context: Context) -> Mapping[str, torch.Tensor]:
        """The weights with another text projection; all others as they were."""
        from idbench_methods import editing

        projection = editing.text_projection(target.model, target.info.name)
        embeddings = editing.embed_texts(target, target.model, editing.names_of_people(protected))
        directions = editing.top_directions(embeddings, self.params.share)
        projection.follow_with(editing.removal(directions, self.params.strength))
        return target.model.state_dict()
