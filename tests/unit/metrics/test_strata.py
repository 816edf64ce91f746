"""Metrics per occurrence bin: each against all non-members, with trend and macro average."""

import numpy as np
import pytest
from scipy import stats

from idbench import metrics

SEEN = np.repeat([0, 1, 5, 75], [300, 50, 80, 20])
MEMBERS = SEEN > 0
SCORES = np.random.default_rng(0).normal(size=450) + 0.5 * np.log1p(SEEN)


def found(**options: object) -> metrics.Strata:
    return metrics.by_stratum(SCORES, MEMBERS, SEEN, draws=300, **options)  # type: ignore[arg-type]


def test_each_stratum_faces_all_non_members() -> None:
    result = found()
    assert [(s.label, s.n_members) for s in result.strata] == [(1.0, 50), (5.0, 80), (75.0, 20)]
    for stratum in result.strata:
        kept = (stratum.label == SEEN) | ~MEMBERS
        assert stratum.auc == metrics.auc(SCORES[kept], MEMBERS[kept])
        assert stratum.interval == metrics.auc_interval(SCORES[kept], MEMBERS[kept])
        assert stratum.rates[0] == metrics.tpr_at_fpr(SCORES[kept], MEMBERS[kept], 0.1)
        assert isinstance(stratum.rates[2], metrics.NotEstimable)
        assert stratum.best == metrics.best_balanced_accuracy(SCORES[kept], MEMBERS[kept])
    assert result.n_nonmembers == 300


def test_macro_average_weighs_strata_equally() -> None:
    result = found()
    assert result.macro_auc == pytest.approx(np.mean([s.auc for s in result.strata]))
    rate = result.macro_rates[0]
    assert isinstance(rate, metrics.strata.MacroRate)
    assert rate.value == pytest.approx(np.mean([s.rates[0].value for s in result.strata]))  # type: ignore[union-attr]
    assert rate.value in rate.interval
    assert isinstance(result.macro_rates[2], metrics.NotEstimable)


def test_macro_interval_against_resampling_within_strata() -> None:
    rng = np.random.default_rng(1)
    groups = [np.flatnonzero(label == SEEN) for label in (0, 1, 5, 75)]
    drawn = []
    for _ in range(1500):
        picks = [rng.choice(g, g.size) for g in groups]
        outside = SCORES[picks[0]]
        drawn.append(
            np.mean([metrics.auc(np.append(SCORES[p], outside), np.arange(p.size + 300) < p.size) for p in picks[1:]])
        )
    interval = found().macro_interval
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert interval.low == pytest.approx(low, abs=0.012)
    assert interval.high == pytest.approx(high, abs=0.012)


def test_one_stratum_is_the_whole_and_has_no_trend() -> None:
    result = metrics.by_stratum(SCORES, MEMBERS, np.ones(450), draws=50)
    assert result.macro_auc == pytest.approx(metrics.auc(SCORES, MEMBERS))
    assert result.macro_interval.low == pytest.approx(metrics.auc_interval(SCORES, MEMBERS).low, abs=1e-9)
    assert result.trend is None


def test_text_labels_have_no_trend_and_what_stands_at_non_members_is_ignored() -> None:
    labels = np.where(SEEN > 4, "often", "once")
    result = metrics.by_stratum(SCORES, MEMBERS, labels, draws=20)
    assert [s.label for s in result.strata] == ["often", "once"]
    assert result.trend is None
    holes = np.where(MEMBERS, SEEN.astype(float), np.nan)
    assert metrics.by_stratum(SCORES, MEMBERS, holes, draws=20).macro_auc == found().macro_auc


def test_a_stratum_of_one_member_keeps_an_interval() -> None:
    seen = np.array([0, 0, 0, 0, 1, 5, 5])
    result = metrics.by_stratum([1, 2, 3, 4, 5, 6, 2.5], seen > 0, seen, draws=20)
    assert result.strata[0].interval.width > 0.2
    assert result.macro_interval.width > 0.2


def test_trend_against_scipy() -> None:
    result = found().trend
    assert result is not None
    theirs = stats.spearmanr(SCORES[MEMBERS], SEEN[MEMBERS])
    assert result.rho == pytest.approx(theirs.statistic)
    assert result.p_rising == result.p_two_sided == pytest.approx(1 / 301)
    falling = metrics.trend_test(-SCORES[MEMBERS], SEEN[MEMBERS], draws=300)
    assert falling.rho == pytest.approx(-result.rho)
    assert falling.p_rising > 0.9


def test_trend_p_against_scipy_where_nothing_rises() -> None:
    rng = np.random.default_rng(8)
    scores, bins = rng.normal(size=150), rng.choice([1, 5, 10, 25, 50, 75], 150)
    mine = metrics.trend_test(scores, bins, draws=3000)
    theirs = stats.spearmanr(scores, bins).pvalue
    assert mine.p_two_sided == pytest.approx(theirs, abs=0.04)
    assert metrics.trend_test(np.ones(5), [1, 2, 3, 4, 5]).p_two_sided == 1.0
