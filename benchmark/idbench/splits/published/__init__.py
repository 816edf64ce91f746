"""The published splits of the field, made from the lists of their authors: recipes, lists, candidate names."""

from __future__ import annotations

from idbench.splits.published import cc3m_idia, laion
from idbench.splits.recipe import SourcedRecipe

CC3M_IDIA = SourcedRecipe(
    cc3m_idia.NAME, cc3m_idia.VERSION, cc3m_idia.TITLE, (), (), cc3m_idia.build, plan=cc3m_idia.plan,
    takes=("source", "faces"),
)  # fmt: skip
LAION_FACESCRUB = SourcedRecipe(
    laion.FACESCRUB.name, laion.FACESCRUB.version, laion.FACESCRUB.title, (), (), laion.build_facescrub,
    plan=laion.plan, takes=("source", "faces"),
)  # fmt: skip
GERMAN_CELEBRITIES = SourcedRecipe(
    laion.GERMAN.name, laion.GERMAN.version, laion.GERMAN.title, (), (), laion.build_german,
    plan=laion.plan, takes=("source", "faces"),
)  # fmt: skip

__all__ = ["CC3M_IDIA", "GERMAN_CELEBRITIES", "LAION_FACESCRUB"]
