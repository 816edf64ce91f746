"""Nonlinear probe: a perceptron on both embeddings takes the place of the cosine; it learns from calibration people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from idbench.api import (
    Access,
    AnswerAdaptation,
    AskingCard,
    Calibration,
    Case,
    Choice,
    Context,
    Knowledge,
    MethodError,
    MethodParams,
    Photo,
    TargetFront,
    TargetView,
)
from idbench_methods.prompts import Templates, fill

CARD = AskingCard(
    name="nonlinear-probe",
    version="1",
    title="A perceptron in place of the cosine",
    summary="Projections promise that nothing is left that a linear map could find. A perceptron learns, on "
    "calibration people whose membership is known, to tell members from non-members by the embeddings of a photo and "
    "of a name; what it says of a photo and a text takes the place of their cosine.",
    paper="after the claim of ISP, arXiv 2604.05296, which is for linear access only",
    knowledge=Knowledge.NAME | Knowledge.PHOTOS | Knowledge.CALIBRATION_LABELS,
    access=Access.TEXT_EMBEDDING | Access.IMAGE_EMBEDDING,
    answers=Access.SIMILARITY,
    choices=(
        Choice(
            what="features",
            chosen="product and distance of the two unit embeddings, coordinate by coordinate",
            why="the embeddings themselves tell people apart, and there are few people to learn from",
        ),
        Choice(what="labels", chosen="not answered", why="a perceptron on all pairs of photos and names takes hours"),
    ),
)


class NonlinearProbeParams(MethodParams):
    """Parameters of the probe."""

    hidden: tuple[int, ...] = Field(default=(64,), description="widths of the hidden layers")
    penalty: float = Field(default=1.0, ge=0, description="L2 penalty of the weights")
    passes: int = Field(default=60, ge=1, le=10_000, description="most passes over the calibration pairs")
    templates: Templates = Field(
        default=("{}", "a photo of {}", "the name of the person is {}"),
        description="sentences to learn from; each holds {} where the name goes",
    )


class NonlinearProbe(AnswerAdaptation[NonlinearProbeParams]):
    """Learns in place of the cosine."""

    card = CARD

    def adapt(
        self, target: TargetView, people: Sequence[Case], calibration: Calibration, context: Context
    ) -> TargetView:
        """The target, whose cosines are the probe's log-odds, squeezed into -1 to 1.

        Raises:
            MethodError: the calibration people are all members, or none is, or have no photos.
        """
        from idbench_methods.perceptron import Perceptron

        p = self.params
        rows, labels = [], []
        for case, member in zip(calibration.cases, calibration.members.tolist(), strict=True):
            for template in p.templates if case.photos else ():
                rows.append(_features(target, case.photos, [fill(template, case.name)] * len(case.photos)))
                labels += [member] * len(case.photos)
        if len(set(labels)) < 2:
            raise MethodError(
                "The nonlinear probe has nothing to learn from: calibration people of one kind only have photos.",
                hint="Use a split whose calibration part has members and non-members with photos.",
            )
        probe = Perceptron(
            hidden_layer_sizes=p.hidden,
            alpha=p.penalty,
            max_iter=p.passes,
            random_state=int(context.rng("probe").integers(2**31)),
        )
        return _Probed(target, probe.fit(np.concatenate(rows), np.array(labels)))


class _Probed(TargetFront):
    def __init__(self, target: TargetView, probe: object) -> None:
        super().__init__(target, CARD.name)
        self._probe = probe

    def paired_similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """What the probe says of each pair, -1 to 1."""
        odds = self._probe.decision_function(_features(self._target, photos, texts))  # type: ignore[attr-defined]
        said: NDArray[np.float32] = np.tanh(odds / 2).astype(np.float32)
        return said

    def similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """What the probe says of each photo with each text, -1 to 1."""
        columns = [self.paired_similarities(photos, [text] * len(photos)) for text in texts]
        return np.stack(columns, axis=1) if columns else np.empty((len(photos), 0), dtype=np.float32)


def _features(target: TargetView, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float64]:
    """Product and distance of the unit embeddings, (n, 2 dim)."""
    from idbench_methods.photographed import unit_rows

    left, right = unit_rows(target.embed_photos(photos)), unit_rows(target.embed_texts(texts))
    scale = np.sqrt(left.shape[1])  # so that the penalty is the same for long and short embeddings
    return np.concatenate([left * right * scale**2, np.abs(left - right) * scale], axis=1)
