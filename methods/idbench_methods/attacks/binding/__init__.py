"""Binding: has the text encoder learned the full name as a whole, beyond what its parts compose?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from idbench.api import (
    Access,
    Attack,
    Case,
    Choice,
    Context,
    Knowledge,
    MethodCard,
    MethodError,
    MethodParams,
    Scores,
    TargetView,
)
from idbench_methods.attacks.binding.interaction import Answers, able, draw_partners, interactions
from idbench_methods.name_parts import Cut, Parts, names_in, parts_of, pool_of
from idbench_methods.photographed import unit_rows
from idbench_methods.prompts import IDIA_TEMPLATES, Templates, fill

SOURCES = (
    "Own. The decomposition: Trager et al., Linear Spaces of Meanings, ICCV 2023, arXiv 2302.14383 (there the residual "
    "is discarded); reconstruction error as failure of composition: arXiv 2509.19332; comparison with neighbours: "
    "Mattern et al., Findings of ACL 2023"
)

CHOICES = (
    Choice(
        what="where a name is cut",
        chosen="before the family name, which keeps its particles (van, de, bin) and suffixes (Jr.); `cut` changes it",
        why="a family name is borne by others as a whole; a cut within it would call its own particles a bond",
    ),
    Choice(
        what="names of one word",
        chosen="abstained from, with that reason; the detail `parts` is 1 there, and 2 for everybody else",
        why="nothing composes them, so that there is nothing to compare with",
    ),
    Choice(
        what="partners",
        chosen="16 first and 16 last parts, the same for everybody, drawn from the candidate names; `pool=captions` "
        "takes names from public captions and needs no candidates",
        why="the knee on the calibration people of seven targets: mean AUC 0.569, 0.578, 0.620, 0.626, 0.632, 0.637 "
        "with 2, 4, 8, 16, 32 and all partners (docs/binding/make.py)",
    ),
    Choice(
        what="the score",
        chosen="length of the interaction",
        why="on calibration people nothing else was better on average by more than 0.002: whitening, projections, "
        "standardizing by part, a Gaussian process on the table (docs/binding.md)",
    ),
    Choice(
        what="number of tokens",
        chosen="left alone; `regress_tokens` takes out of the score's logarithm what CLIP's own token counts explain",
        why="they explain nothing on calibration people: AUC of the count 0.52; of the score 0.629, without it 0.630",
    ),
    Choice(
        what="names that the target knows from text alone",
        chosen="not distinguished from members",
        why="the text encoder binds a name that captions mention, whoever the pictures show; a photo is needed to tell",
    ),
)


class BindingParams(MethodParams):
    """Parameters of binding."""

    templates: Templates = Field(
        default=IDIA_TEMPLATES, description="prompts averaged over; each holds {} where the name goes; default: IDIA's"
    )
    partners: int | None = Field(
        default=16, ge=1, description="first parts and last parts that stand in for a name's own; none: the whole pool"
    )
    pool: Literal["candidates", "captions"] = Field(
        default="candidates", description="where partners come from: the candidate names, or names in public captions"
    )
    cut: Cut = Field(
        default="before-family", description="names of three and more words: before the family name or after the first"
    )
    regress_tokens: bool = Field(
        default=False, description="take out what the number of tokens of first and last part explains over all names"
    )


def bound(cases: Sequence[Case], params: BindingParams, context: Context, answers: Callable[[str], Answers]) -> Scores:
    """Length of each name's interaction; shared by the variants, which differ in what they ask the target for.

    Args:
        cases: people under test.
        params: of the table.
        context: candidate names or public captions, and chance.
        answers: of the target under one prompt template.

    Raises:
        MethodError: the pool holds no name of two words.
    """
    cut = [parts_of(case.name, params.cut) for case in cases]
    names = sorted({parts for parts in cut if parts is not None}, key=lambda parts: (parts.given, parts.family))
    lengths = dict.fromkeys(names, np.nan)
    if names:
        pool = pool_of(_pool_names(params, context), params.cut)
        partners = draw_partners(pool, params.partners, context.rng("partners"))
        if not partners.given:
            raise MethodError(
                "The pool holds no name of two words, so that names have no partners.",
                hint="Set pool to candidates, or use a split with candidate names.",
            )
        known = [parts for parts, ok in zip(names, able(names, partners), strict=True) if ok]
        if known:
            total = np.zeros(())
            for template in context.progress.track(params.templates, "asking about names and partners"):
                total = total + interactions(known, partners, answers(template))
            values = np.linalg.norm(total / len(params.templates), axis=1)
            lengths |= dict(
                zip(known, _without_tokens(known, values) if params.regress_tokens else values, strict=True)
            )
    values = np.array([np.nan if parts is None else lengths[parts] for parts in cut], dtype=np.float64)
    words = np.array([1.0 if parts is None else 2.0 for parts in cut])
    none = np.zeros(len(cases), dtype=np.int64)
    one_word, abstained = words == 1, np.isnan(values)
    reasons = {"a name of one part": one_word, "no other first or last part to compare with": abstained & ~one_word}
    return Scores(values, abstained, photos_used=none, details={"parts": words}, reasons=reasons)


def _pool_names(params: BindingParams, context: Context) -> Sequence[str]:
    if params.pool == "candidates":
        return context.candidate_names
    return names_in(pair.caption for pair in context.public_pairs)


def _without_tokens(names: Sequence[Parts], lengths: NDArray[np.float64]) -> list[float]:
    """Logarithm of the lengths, less the mean over names with as many tokens in first and last part."""
    from open_clip import SimpleTokenizer

    count = SimpleTokenizer().encode
    kinds = [(len(count(name.given)), len(count(name.family))) for name in names]
    logs = np.log(np.maximum(lengths, 1e-12))
    means = {kind: float(logs[[other == kind for other in kinds]].mean()) for kind in set(kinds)}
    return [float(log - means[kind]) for log, kind in zip(logs, kinds, strict=True)]


class Binding(Attack[BindingParams]):
    """Length of the interaction of first and last name in the text embedding; higher = bound more tightly."""

    card = MethodCard(
        name="binding",
        version="1",
        title="Binding: the full name beyond what its parts compose",
        summary=(
            "From the text embedding of the full name everything is subtracted that its parts predict: the mean over "
            "other last names, the mean over other first names, plus the grand mean. A text encoder that was trained "
            "on the person has bound the parts, and the length of what is left is the score. Only the name is known."
        ),
        paper=SOURCES,
        url="https://arxiv.org/abs/2302.14383",
        access=Access.TEXT_EMBEDDING,
        knowledge=Knowledge.NAME | Knowledge.CANDIDATE_NAMES,
        optional_knowledge=Knowledge.PUBLIC_PAIRS,
        choices=CHOICES,
        presets={"whole-table": {"partners": None}},
    )

    @property
    def knowledge(self) -> Knowledge:
        """The name, and where partners come from."""
        return Knowledge.NAME | (
            Knowledge.CANDIDATE_NAMES if self.params.pool == "candidates" else Knowledge.PUBLIC_PAIRS
        )

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Length of the interaction, 0 to 4; abstains from names of one word and names without partners."""

        def answers(template: str) -> Answers:
            return lambda names: unit_rows(target.embed_texts([fill(template, name) for name in names]))

        return bound(cases, self.params, context, answers)
