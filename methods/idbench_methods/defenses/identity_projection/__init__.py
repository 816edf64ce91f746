"""Identity projection (ISP): takes the directions in which protected faces differ out of the image tower's last map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from idbench.api import Case, Choice, Context, DefenseCard, EditableTarget, Knowledge, TargetDefense
from idbench_methods.defenses.null_space import ProjectionParams

if TYPE_CHECKING:
    import torch

CARD = DefenseCard(
    name="identity-projection",
    version="1",
    title="Identity subspace projection (ISP)",
    summary="One linear projector removes the subspace in which the protected people's mean image embeddings differ.",
    paper="ISP, arXiv 2604.05296 (2026)",
    year=2026,
    url="https://arxiv.org/abs/2604.05296",
    knowledge=Knowledge.PHOTOS,
    choices=(
        Choice(
            what="what the identity subspace is",
            chosen="the strongest principal directions of the people's mean embeddings around their common mean",
            why="what differs between people and not within one is who they are",
        ),
        Choice(
            what="its size",
            chosen="half of the embedding's dimensions",
            why="hundreds of people span all of them; `share` is the dial between privacy and use",
        ),
    ),
)


class IdentityProjection(TargetDefense[ProjectionParams]):
    """Multiplies the image projection by I - strength V'V, V the strongest directions between people."""

    card = CARD

    def defend(self, target: EditableTarget, protected: Sequence[Case], context: Context) -> Mapping[str, torch.Tensor]:
        """The weights with another image projection; unchanged with fewer than two people who have photos."""
        import torch

        from idbench_methods import editing

        projection = editing.image_projection(target.model, target.info.name)
        people = editing.photos_of_people(protected)
        if len(people) < 2:
            return target.model.state_dict()
        embeddings = editing.embed_photos(target, target.model, [photo for photos in people for photo in photos])
        parts = torch.split(embeddings, [len(photos) for photos in people])
        # In double precision: what rounding leaves of the common mean would count as one more direction.
        means = torch.stack([own.double().mean(dim=0) for own in parts])
        directions = editing.top_directions(means - means.mean(dim=0), self.params.share)
        projection.follow_with(editing.removal(directions, self.params.strength))
        return target.model.state_dict()
