"""WSA, the weakly supervised attack: pseudo-members by the cosine teach a network, which judges all pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from idbench.api import (
    Access,
    Attack,
    Calibration,
    Case,
    Choice,
    Context,
    Knowledge,
    MethodCard,
    MethodParams,
    Scores,
    TargetView,
)
from idbench_methods.photographed import person_key, photographed, unit_rows
from idbench_methods.prompts import fill

CARD = MethodCard(
    name="wsa",
    version="1",
    title="WSA: a network taught by pseudo-members",
    summary=(
        "Pairs whose cosine is more than 1.5 standard deviations above that of known non-members become "
        "pseudo-members. A perceptron learns to tell them from the known non-members by both embeddings, and "
        "judges everybody."
    ),
    paper="Ko et al., Practical Membership Inference Attacks Against Large-Scale Multi-Modal Models, ICCV 2023",
    url="https://arxiv.org/abs/2310.00108",
    access=Access.IMAGE_EMBEDDING | Access.TEXT_EMBEDDING,
    knowledge=Knowledge.NAME | Knowledge.PHOTOS | Knowledge.CALIBRATION_LABELS,
    choices=(
        Choice(
            what="known non-members",
            chosen="those of the calibration part",
            why="the source takes data made after the model; here there are none but these",
        ),
        Choice(
            what="scores of the known non-members themselves",
            chosen="they are dealt into two halves, each of which teaches one network; the other one judges them, and "
            "the mean of both everybody else",
            why="they choose the operating threshold; a network scores what it was taught too low",
        ),
        Choice(
            what="embeddings", chosen="normalized to length one, side by side", why="the cosine is made of these alone"
        ),
        Choice(
            what="from pairs to people",
            chosen="mean log-odds over photos with the name in one prompt",
            why="it treats all pairs of a person alike",
        ),
        Choice(
            what="no pseudo-members",
            chosen="the mean cosine is the score",
            why="there is nothing to learn from, and that is what the source starts from",
        ),
    ),
    presets={"paper": {"deviations": 1.5, "hidden": [512, 256, 128], "epochs": 15, "patience": 3}},
)


class WsaParams(MethodParams):
    """Parameters of WSA."""

    deviations: float = Field(
        default=1.5, description="a pseudo-member's cosine is so many standard deviations above non-members' mean"
    )
    hidden: tuple[int, ...] = Field(default=(512, 256, 128), min_length=1, description="units of the hidden layers")
    epochs: int = Field(default=15, ge=1, description="most passes over the pairs")
    patience: int = Field(default=3, ge=1, description="passes without a gain on a tenth held out after which it stops")
    template: str = Field(default="a photo of {}", pattern=r"\{\}", description="caption of every pair; {} is the name")


class Wsa(Attack[WsaParams]):
    """Mean log-odds of a person's pairs by the network; abstains from people without photos."""

    card = CARD

    def __init__(self, params: WsaParams | None = None) -> None:
        super().__init__(params)
        self._half: dict[object, int] = {}

    def fit(self, target: TargetView, calibration: Calibration, context: Context) -> None:
        """Deal the known non-members into two halves; they are asked about among the others."""
        pairs = zip(calibration.cases, calibration.members, strict=True)
        known = sorted({person_key(case) for case, member in pairs if not member}, key=str)
        dealt = context.rng("halves").permutation(len(known)) % 2
        self._half = dict(zip(known, dealt.tolist(), strict=True))

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Mean log-odds over photos; the detail `cosine` is what the pseudo-labels are made from."""
        seen = photographed(cases)
        able = seen.count > 0
        if not able.any():
            return Scores(values=np.full(len(cases), np.nan), abstained=~able, photos_used=seen.count)
        texts = [fill(self.params.template, cases[i].name) for i in seen.owner]
        rows = np.hstack([unit_rows(target.embed_photos(seen.photos)), unit_rows(target.embed_texts(texts))])
        half = np.array([self._half.get(person_key(case), -1) for case in cases], dtype=np.int64)[seen.owner]
        # Rows in an order that depends on who the people are, not on the order of the cases.
        order = np.array(sorted(range(len(texts)), key=lambda i: (texts[i], seen.photos[i].digest)))
        odds = np.empty(len(rows))
        odds[order] = self._judge(rows[order], half[order], context)
        details = {"cosine": np.where(able, seen.mean(_cosines(rows)), 0.0)}
        return Scores(values=seen.mean(odds), abstained=~able, photos_used=seen.count, details=details)

    def _judge(self, rows: NDArray[np.float64], half: NDArray[np.int64], context: Context) -> NDArray[np.float64]:
        """Log-odds of each pair, (n,).

        Args:
            rows: both embeddings, (n, 2 d).
            half: of the known non-members, 0 or 1; -1 for all others.
        """
        from idbench_methods.attacks.wsa.model import pair_model

        cosine = _cosines(rows)
        pseudo = pseudo_members(cosine, half >= 0, self.params.deviations)
        seed = int(context.rng("network").integers(2**31))
        odds = []
        for taught in (0, 1):
            used = pseudo | (half == taught)
            if pseudo.sum() < 2 or (half == taught).sum() < 2:
                return cosine
            model = pair_model(self.params, seed, int(used.sum()))
            model.fit(rows[used], pseudo[used])
            odds.append(model.decision_function(rows))
        judged: NDArray[np.float64] = np.where(half == 0, odds[1], np.where(half == 1, odds[0], np.mean(odds, axis=0)))
        return judged


def pseudo_members(cosine: NDArray[np.float64], known: NDArray[np.bool_], deviations: float) -> NDArray[np.bool_]:
    """Pairs, the known non-members' aside, whose cosine stands so far above these, (n,)."""
    if not known.any():
        return np.zeros(len(cosine), dtype=np.bool_)
    limit = cosine[known].mean() + deviations * cosine[known].std()
    above: NDArray[np.bool_] = ~known & (cosine > limit)
    return above


def _cosines(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the two halves of each row, (n, 2 d) -> (n,)."""
    d = rows.shape[1] // 2
    cosines: NDArray[np.float64] = (rows[:, :d] * rows[:, d:]).sum(axis=1)
    return cosines
