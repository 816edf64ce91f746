"""Many rows at once are each row alone, and means over rows are means over people."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from idbench import metrics
from idbench.metrics import batch
from idbench.metrics.batch import Averages, BatchSettings, Ends, KnownLabels

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

MEMBERS = np.arange(200) % 2 == 0
PLAN = BatchSettings((0.1, 0.01, 0.001), 0.95, 60)


def drawn(strength: float, seeds: int = 1) -> Floats:
    rng = np.random.default_rng(int(10 * strength))
    return np.asarray(rng.normal(size=(seeds, MEMBERS.size)) + strength * MEMBERS, dtype=np.float64)


def known(members: Flags = MEMBERS, strata: npt.NDArray[np.int64] | None = None) -> KnownLabels:
    return KnownLabels(members, np.where(members, 1, 0) if strata is None else strata)


def averages(*groups: Floats, who: KnownLabels | None = None) -> Averages:
    return batch.judge(groups, who or known(), PLAN).averages


def areas(found: Averages) -> Ends:
    return batch.auc_ends(found.inside, found.outside, 0.95)


def rates(found: Averages) -> list[Ends | metrics.NotEstimable]:
    return batch.rate_ends(found, PLAN)


def awkward(people: int, seed: int) -> tuple[Floats, Flags]:
    """Rows with everything that goes wrong: ties, perfect order, wrong order, constants, few of one class."""
    rng = np.random.default_rng(seed)
    members = rng.permutation(np.arange(people) < max(2, people // int(rng.integers(2, 9))))
    rows = [
        rng.normal(size=people) + members,
        rng.integers(0, 3, people).astype(float),
        members.astype(float),
        -members.astype(float),
        np.zeros(people),
        rng.standard_cauchy(size=people),
        np.where(members, rng.integers(0, 2, people), 1.0),
        rng.normal(size=people) + 4.0 * members,
    ]
    return np.stack(rows), members


@pytest.mark.parametrize(("people", "seed"), [(20, 0), (61, 1), (150, 2), (400, 3), (1500, 4)])
def test_many_rows_at_once_are_each_row_alone(people: int, seed: int) -> None:
    rows, members = awkward(people, seed)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        judged = batch.judge([row[None] for row in rows], known(members), PLAN)
        found = judged.averages
        values, rated, chances = areas(found), rates(found), batch.chance_p(found, known(members))
    for place, row in enumerate(rows):
        one = metrics.auc_estimate(row, members)
        assert judged.aucs[place] == one.value
        ends = (one.interval.low, one.interval.high)
        assert (values.value[place], values.low[place], values.high[place]) == pytest.approx(
            (one.value, *ends), abs=1e-12
        )
        assert chances[place] == pytest.approx(metrics.permutation_test(row, members).p_two_sided, abs=1e-12)
        for fpr, rate in zip(PLAN.fprs, rated, strict=True):
            _same_rate(fpr, rate, place, row, members)
        band = metrics.roc_band(row, members, 0.95, points=60)
        assert band.fpr == pytest.approx(PLAN.grid(int((~members).sum())), abs=1e-14)
        assert found.curves[place] == pytest.approx(np.stack([band.tpr, band.low, band.high]), abs=1e-14)
        order = np.unique(row, return_inverse=True)[1]
        assert (np.unique(judged.places[place], return_inverse=True)[1] == order).all()


def _same_rate(fpr: float, rate: Ends | metrics.NotEstimable, place: int, row: Floats, members: Flags) -> None:
    one, ends = metrics.tpr_at_fpr(row, members, fpr), metrics.tpr_at_fpr_interval(row, members, fpr)
    if isinstance(one, metrics.NotEstimable):
        assert rate == one
        return
    assert isinstance(rate, Ends)
    assert isinstance(ends, metrics.Interval)
    assert rate.value[place] == one.value
    assert (rate.low[place], rate.high[place]) == pytest.approx((ends.low, ends.high), abs=1e-9)


def test_the_covariance_of_rows_is_delongs() -> None:
    rows, members = awkward(300, 5)
    found = batch.joint_auc(averages(*(row[None] for row in rows), who=known(members)))
    one = metrics.delong_covariance(rows, members)
    for name in ("auc", "covariance", "of_members", "of_nonmembers", "n_members", "n_nonmembers"):
        assert getattr(found, name) == pytest.approx(getattr(one, name), abs=1e-14), name


def test_calibrated_decisions_are_those_of_the_metrics() -> None:
    calibration, who = awkward(60, 6)
    test, members = awkward(200, 7)
    for row, judged in zip(calibration, test, strict=True):
        threshold = metrics.best_balanced_accuracy(row, who).threshold
        one = metrics.decision_metrics(judged, members, threshold)
        found = batch.decisions(row[None], who, judged[None], members)
        assert found.threshold == (threshold if np.isfinite(threshold) else None)
        expected = (one.tpr.value, one.fpr.value, one.accuracy.value)
        assert (found.tpr, found.fpr, found.accuracy) == pytest.approx(expected, abs=1e-15)


def test_repeating_a_seed_teaches_nothing() -> None:
    row = drawn(0.5)
    found = averages(row, np.repeat(row, 3, axis=0))
    for ends in (areas(found), *(rate for rate in rates(found) if isinstance(rate, Ends))):
        for values in (ends.value, ends.low, ends.high):
            assert values[0] == pytest.approx(values[1], abs=1e-9)
    chances = batch.chance_p(found, known())
    assert chances[0] == chances[1]


def test_a_pool_is_a_mean_over_targets_with_people_as_clusters() -> None:
    rng = np.random.default_rng(1)
    person = rng.normal(size=200)  # what two models make of one person has much in common
    targets = [(person + 0.5 * rng.normal(size=200) + 0.8 * MEMBERS)[None] for _ in range(3)]
    found = averages(targets[0]).plus(averages(targets[1])).plus(averages(targets[2])).over(3)
    value, rows = areas(found), np.concatenate(targets)
    people = metrics.bootstrap(rows, MEMBERS, draws=4000).interval("auc")
    assert isinstance(people, metrics.Interval)
    assert value.value[0] == pytest.approx(np.mean([metrics.auc(row, MEMBERS) for row in rows]), abs=1e-14)
    assert (value.low[0], value.high[0]) == pytest.approx((people.low, people.high), abs=0.01)
    # Three times as many people would know far more than three looks at each.
    several = areas(averages(rows.reshape(1, -1), who=known(np.tile(MEMBERS, 3))))
    assert several.high[0] - several.low[0] < 0.7 * (value.high[0] - value.low[0])


def test_bins_set_members_against_all_nonmembers() -> None:
    strata = np.where(MEMBERS, np.where(np.arange(200) < 100, 1, 75), 0)
    rows = drawn(0.0) + 2.0 * (strata == 75)
    who = known(strata=strata)
    few, many = batch.stratum_ends(averages(rows, who=who), who, 0.95)
    kept = ~MEMBERS | (strata == 75)
    one = metrics.auc_estimate(rows[0][kept], MEMBERS[kept])
    assert (many[2].value[0], many[2].low[0]) == pytest.approx((one.value, one.interval.low), abs=1e-9)
    assert (few[:2], many[:2]) == ((1, 50), (75, 50))
    assert few[2].low[0] < 0.5 < few[2].high[0]


def test_curves_rise_and_lie_in_their_band() -> None:
    tpr, low, high = averages(drawn(1.0, seeds=2)).curves[0]
    assert (np.diff(tpr) >= 0).all()
    assert (low <= tpr).all()
    assert (tpr <= high).all()


def test_rows_gathered_batch_by_batch_are_all_rows_at_once() -> None:
    groups = [drawn(strength, seeds) for strength, seeds in ((0.0, 1), (0.3, 3), (0.8, 2), (1.5, 1), (0.1, 5))]
    whole = averages(*groups)
    gathered = batch.RankedRows(9, known())  # more room than rows
    for begin, end in ((0, 2), (2, 3), (3, 5)):
        gathered.add(averages(*groups[begin:end]))
    assert np.array_equal(gathered.chance_p(), batch.chance_p(whole, known()))
    one, other = gathered.joint_auc(), batch.joint_auc(whole)
    assert np.array_equal(one.auc, other.auc)
    np.testing.assert_allclose(one.covariance, other.covariance, rtol=1e-12)
