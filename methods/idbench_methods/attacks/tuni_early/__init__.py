"""TUNI that decides early: no more images are drawn for a name of which all detectors are sure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from idbench.api import (
    Attack,
    Calibration,
    Case,
    Choice,
    Context,
    Knowledge,
    MethodCard,
    MethodError,
    Scores,
    TargetView,
)
from idbench_methods.attacks.tuni import CARD as TUNI
from idbench_methods.attacks.tuni import TuniParams
from idbench_methods.attacks.tuni.gibberish import gibberish

if TYPE_CHECKING:
    from idbench_methods.attacks.tuni_early.deciding import Panel
    from idbench_methods.attacks.tuni_early.drawing import Drawn

CARD = MethodCard(
    name="tuni-early",
    version="1",
    title="TUNI, which stops where all detectors are sure",
    summary=(
        "TUNI draws some images for each name first. Where all detectors agree that a name is more unusual than nearly "
        "all gibberish, or as usual as the calmer half of it, nothing more is drawn; the other names get the rest of "
        "their images and are judged by all of them, as in TUNI."
    ),
    paper=TUNI.paper,
    authors=TUNI.authors,
    year=TUNI.year,
    url=TUNI.url,
    access=TUNI.access,
    knowledge=TUNI.knowledge,
    choices=(
        *TUNI.choices,
        Choice(
            what="when detectors are sure",
            chosen="of a member: all find the name more unusual than 99 % of the gibberish (`unusual`); of a "
            "non-member: none finds it among the more unusual half; by the first runs of names and gibberish",
            why="not in the source, which draws everything; agreement of all is the plainest reading of sure",
        ),
        Choice(
            what="score where it was decided early",
            chosen="above, or below, all names that were drawn to the end; among themselves by the first runs",
            why="ranks of other runs cannot be compared",
        ),
    ),
    presets={"paper": {**TUNI.presets["paper"], "early_runs": 10}},
)


class TuniEarlyParams(TuniParams):
    """Parameters of TUNI, and when it decides."""

    early_runs: int = Field(default=2, ge=2, description="runs of each name after which the detectors are asked")
    unusual: float = Field(
        default=0.01, gt=0, lt=0.5, description="share of the gibberish beyond which all detectors must see a member"
    )

    @model_validator(mode="after")
    def _early(self) -> Self:
        if self.early_runs >= self.runs:
            raise ValueError(f"early_runs is {self.early_runs}, and there are {self.runs} runs")
        if self.unusual > self.contamination:
            raise ValueError("unusual is above contamination")
        if self.use_photos:
            raise ValueError("use_photos is not possible: it compares all images with photos; take tuni")
        return self


class TuniEarly(Attack[TuniEarlyParams]):
    """TUNI (Li, Cheng, Jia, 2024) with an early decision."""

    card = CARD

    def __init__(self, params: TuniEarlyParams | None = None) -> None:
        super().__init__(params)
        self._reference: list[Drawn] = []

    @property
    def knowledge(self) -> Knowledge:
        """The name; public pairs for the first image."""
        return Knowledge.NAME if self.params.start == "noise" else Knowledge.NAME | Knowledge.PUBLIC_PAIRS

    def fit(self, target: TargetView, calibration: Calibration, context: Context) -> None:
        """Draw all images of the gibberish reference.

        Raises:
            MethodError: the alphabet and lengths allow too few strings, or the target returns no numbers for them.
        """
        from idbench_methods.attacks.tuni_early.drawing import draw

        p = self.params
        lengths, avoid = (p.gibberish_shortest, p.gibberish_longest), {case.name for case in calibration.cases}
        texts = gibberish(p.gibberish_count, lengths, p.gibberish_alphabet, avoid=avoid, rng=context.rng("gibberish"))
        if len(texts) < p.gibberish_count:
            raise MethodError(
                f"Only {len(texts)} of {p.gibberish_count} different random strings were found.",
                hint="Allow longer strings (gibberish_longest) or more characters (gibberish_alphabet).",
            )
        drawn = draw(target, sorted(texts), p, context, slice(None), "optimizing for gibberish")
        self._reference = [one for _, one in sorted(drawn.items()) if np.isfinite(one.features).all()]
        if len(self._reference) < len(texts) / 2:
            raise MethodError(
                f"TUNI's optimization went to infinity for {len(texts) - len(self._reference)} of {len(texts)} "
                "random strings.",
                hint="Set a smaller learning_rate.",
            )

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """-3/2 to 3/2: below -1/2 surely usual, above 1/2 surely unusual, between them TUNI's rank among the rest.

        Details: `S`, `D` and `steps` of the `runs` that were drawn, `votes` and `sure` (1, 0, -1). Abstains where the
        optimization went to infinity.
        """
        from idbench_methods.attacks.tuni_early.drawing import draw

        p, panel = self.params, self._panel(context)
        names = sorted({case.name for case in cases})
        seen = draw(target, names, p, context, slice(p.early_runs), "optimizing for names")
        sure, values, votes = (np.zeros(len(names)) for _ in range(3))
        able = _finite(seen[name] for name in names)
        begun = panel.judge(
            _features(one.first(p.early_runs) for one in self._reference),
            _features(seen[name] for name, one in zip(names, able, strict=True) if one),
        )
        sure[able], values[able], votes[able] = begun.sure, begun.sure + begun.anomaly, begun.votes
        rest = [name for name, one, known in zip(names, able, sure, strict=True) if one and not known]
        for name, more in draw(
            target, rest, p, context, slice(p.early_runs, None), "optimizing for unclear names"
        ).items():
            seen[name] = seen[name].and_then(more)
        able &= _finite(seen[name] for name in names)
        unclear = able & (sure == 0)
        ended = panel.judge(
            _features(self._reference),
            _features(seen[name] for name, one in zip(names, unclear, strict=True) if one),
        )
        values[unclear], votes[unclear] = ended.anomaly, ended.votes
        values[~able] = np.nan
        place = {name: i for i, name in enumerate(names)}
        own = np.array([place[case.name] for case in cases], dtype=np.int64)
        drawn = [seen[name] for name in names]
        measured = _features(drawn)
        details = {
            "S": measured[:, 0],
            "D": measured[:, 1],
            "steps": np.array([one.steps.mean() for one in drawn]),
            "runs": np.array([float(len(one.steps)) for one in drawn]),
            "votes": votes,
            "sure": sure,
        }
        return Scores(
            values=values[own],
            abstained=~able[own],
            decisions=able[own] & (votes[own] >= (p.votes_needed or len(p.detectors) // 2 + 1)),
            photos_used=np.zeros(len(cases), dtype=np.int64),
            details={name: column[own] for name, column in details.items()},
        )

    def _panel(self, context: Context) -> Panel:
        from idbench_methods.attacks.tuni_early.deciding import Panel

        p = self.params
        seed = int(context.rng("detectors").integers(2**31))
        return Panel(p.detectors, p.contamination, p.unusual, p.direction, seed)


def _features(drawn: Iterable[Drawn]) -> NDArray[np.float64]:
    """S and D of each, (n, 2)."""
    return np.array([one.features for one in drawn], dtype=np.float64).reshape(-1, 2)


def _finite(drawn: Iterable[Drawn]) -> NDArray[np.bool_]:
    """Whether the optimization of each stayed finite, (n,)."""
    return np.array([np.isfinite(one.features).all() for one in drawn], dtype=np.bool_)
