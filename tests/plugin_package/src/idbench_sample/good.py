"""A plug-in that keeps the contract."""

from collections.abc import Sequence

import numpy as np
from idbench.api import Access, Attack, Case, Context, Knowledge, MethodCard, MethodParams, Scores, TargetView
from pydantic import Field


class GoodParams(MethodParams):
    """One parameter, documented."""

    prompt: str = Field(default="a photo of {}", description="the text; {} is the name")


class Good(Attack[GoodParams]):
    """Mean similarity of photos and name."""

    card = MethodCard(
        name="sample-good",
        version="1",
        title="Sample: mean similarity",
        access=Access.SIMILARITY,
        knowledge=Knowledge.NAME | Knowledge.PHOTOS,
        presets={"short": {"prompt": "{}"}},
    )

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        print("what a plug-in prints goes to the log")
        values = [
            float(target.similarities(case.photos, [self.params.prompt.format(case.name)]).mean()) for case in cases
        ]
        return Scores(np.array(values))


class Abstains(Attack[MethodParams]):
    """Says nothing about half of the people."""

    card = MethodCard(
        name="sample-abstains", version="1", title="Sample: abstains", access=Access.NONE, knowledge=Knowledge.NAME
    )

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        silent = np.array([len(case.name) % 2 == 0 for case in cases])
        long = np.array([len(case.name) > 16 for case in cases])
        return Scores(np.where(silent, np.nan, 1.0), abstained=silent, reasons={"a long even name": silent & long})


class Misnamed(Good):
    """Its entry point is called otherwise."""
