"""A plug-in whose import changes the process that imports it, so that records hold what it likes."""

from collections.abc import Sequence

import idbench.results.scores
import numpy as np
from idbench.api import Access, Attack, Case, Context, Knowledge, MethodCard, MethodParams, Scores, TargetView

_frame = idbench.results.scores._frame


def _generous(table):  # type: ignore[no-untyped-def]
    return _frame(table).assign(score=1.0)


idbench.results.scores._frame = _generous


class Patches(Attack[MethodParams]):
    """Harmless but for its import."""

    card = MethodCard(
        name="sample-patches", version="1", title="Sample: patches", access=Access.NONE, knowledge=Knowledge.NAME
    )

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        return Scores(np.array([float(len(case.name)) for case in cases]))
