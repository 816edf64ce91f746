"""A run repeated elsewhere is told from other scores that claim to be of the same run."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr
from tests.app.fictional import METHODS, START, World, attestation, invalidation

from idbench.results import Run, collect, write_run
from idbench.results.admission import Admission, admit
from idbench.results.attestation import Level, Statements
from idbench.results.repetition import Agreement, Candidate, agreement

N = 1000
NOBODY = np.zeros(N, dtype=np.bool_)
MEMBERS = np.arange(N) % 2 == 0
Floats = NDArray[np.float64]


def compared(first: Floats, second: Floats, abstained: NDArray[np.bool_] = NOBODY) -> Agreement:
    return agreement(first, second, (NOBODY, abstained), [MEMBERS])


@pytest.fixture
def scores() -> Floats:
    return np.random.default_rng(1).normal(size=N) + 0.8 * MEMBERS


def test_the_numbers_are_those_of_scipy(scores: Floats) -> None:
    other = scores + np.random.default_rng(2).normal(scale=0.1, size=N)
    found = compared(scores, other)
    assert found.correlation == pytest.approx(spearmanr(scores, other).statistic)
    assert found.difference == pytest.approx(np.abs(scores - other).max() / scores.std())
    ranks = [np.argsort(np.argsort(each)) for each in (scores, other)]
    assert found.move == pytest.approx(np.abs(ranks[0] - ranks[1]).max() / N)


def test_equal_scores_agree_whatever_their_spread() -> None:
    for scores in (np.zeros(N), np.arange(N) * 1.0):
        assert compared(scores, scores.copy()) == Agreement(0.0, 1.0, 0.0, "")


@pytest.mark.parametrize("noise", [1e-12, 1e-6, 1e-3, 0.1])
def test_rounding_that_grew_is_a_repetition(noise: float, scores: Floats) -> None:
    for seed in range(20):
        other = scores + np.random.default_rng(seed + 10).normal(scale=noise, size=N)
        assert not compared(scores, other).conflict


def test_a_few_people_may_move_far_as_with_tuni(scores: Floats) -> None:
    """One person in a hundred by a tenth of all ranks and more, the others not at all."""
    other = scores.copy()
    rng = np.random.default_rng(3)
    moved = rng.choice(N, 10, replace=False)
    other[moved] += rng.choice([-0.6, 0.6], 10)
    found = compared(scores, other)
    assert found.move > 0.1
    assert not found.conflict


def test_rounding_among_near_ties_is_a_repetition() -> None:
    """Two levels of scores: within a level, rounding makes any order, so that ranks hardly correlate."""
    rng = np.random.default_rng(4)
    levels = (rng.random(N) < 0.1).astype(np.float64)
    found = compared(levels + rng.normal(scale=1e-9, size=N), levels + rng.normal(scale=1e-9, size=N))
    assert found.correlation < 0.9
    assert not found.conflict


@pytest.mark.parametrize("seed", range(5))
def test_another_seed_of_a_chaotic_attack_is_no_repetition(seed: int, scores: Floats) -> None:
    other = scores + np.random.default_rng(seed + 100).normal(scale=0.5, size=N)
    assert "their ranks correlate at 0." in compared(scores, other).conflict


@pytest.mark.parametrize("lift", [1e-9, 1e-5, 1e-2, 0.1])
def test_scores_that_somebody_improved_are_no_repetition(lift: float) -> None:
    """Members are lifted by so little that ranks correlate; ties are broken in their favour by a billionth."""
    rng = np.random.default_rng(5)
    scores = np.round(rng.normal(size=N), 1)
    found = compared(scores, scores + lift * MEMBERS)
    assert found.correlation > 0.95
    assert "go with membership" in found.conflict


def test_turned_scaled_constant_and_shifted_scores(scores: Floats) -> None:
    assert compared(scores, -scores).conflict
    assert compared(scores, np.zeros(N)).conflict
    assert compared(np.zeros(N), scores).difference == math.inf
    assert compared(np.zeros(N), scores).conflict
    # The same order in another unit is no other result, for what is ranked is the order.
    assert not compared(scores, 3 * scores + 1).conflict


def test_abstentions_may_differ_about_few_people(scores: Floats) -> None:
    for count, conflict in ((5, False), (100, True)):
        other, abstained = scores.copy(), NOBODY.copy()
        abstained[:count] = True
        other[abstained] = scores.min() - 1
        assert bool(compared(scores, other, abstained).conflict) is conflict


# What follows is about records: which one counts.


@pytest.fixture
def world() -> World:
    return World()


def record_run(world: World, folder: Path, scores: Floats | None = None, year: int = 2026) -> Run:
    """A record of one and the same run with these scores."""
    table = world.table(METHODS["keen"][0], "fiction-a", 0, "keen")
    record = world.record("keen", created=START.replace(year=year))
    return write_run(folder, record, table if scores is None else replace(table, scores=scores))


def admitted(world: World, results: Path, *statements: object) -> Admission:
    found = collect([results])
    candidates = [Candidate(run, name) for run, name in zip(found.runs, found.names, strict=True)]
    return admit(candidates, {("fiction", 1): world.labels()}, (), Statements(tuple(statements)))  # type: ignore[arg-type]


def first_folders(found: Admission) -> tuple[list[str], list[str]]:
    """The top folder of each record that counts, and of each that does not."""
    return [c.where.partition("/")[0] for c in found.kept], sorted(r.where.partition("/")[0] for r in found.rejected)


def rounded(world: World, size: float = 1e-7) -> Floats:
    scores = world.table(METHODS["keen"][0], "fiction-a", 0, "keen").scores
    return np.asarray(scores + size * np.random.default_rng(6).normal(size=scores.size))


def other_scores(world: World) -> Floats:
    return world.table(METHODS["keen"][0], "fiction-a", 7, "keen").scores


def test_of_repetitions_the_first_counts_whatever_dates_say(world: World, tmp_path: Path) -> None:
    record_run(world, tmp_path / "a")
    record_run(world, tmp_path / "b", rounded(world), year=1999)
    found = admitted(world, tmp_path)
    assert first_folders(found) == (["a"], [])
    (again,) = found.kept[0].repetitions
    assert again.where.startswith("b/")
    assert 0 < again.agreement.difference < 1e-5
    assert again.agreement.correlation > 0.999


def test_a_copy_is_not_a_repetition(world: World, tmp_path: Path) -> None:
    for name in ("a", "b"):
        record_run(world, tmp_path / name)
    found = admitted(world, tmp_path)
    assert first_folders(found) == (["a"], ["b"])
    assert "the same record counts already: a/" in found.rejected[0].reason
    assert not found.kept[0].repetitions


def test_a_damaged_copy_does_not_displace_the_record(world: World, tmp_path: Path) -> None:
    record_run(world, tmp_path / "b")
    spoiled = record_run(world, tmp_path / "a")
    (spoiled.path / "scores.parquet").write_bytes(b"other")
    assert first_folders(admitted(world, tmp_path)) == (["b"], ["a"])


def test_records_that_contradict_each_other_exclude_both_whatever_dates_say(world: World, tmp_path: Path) -> None:
    record_run(world, tmp_path / "a")
    record_run(world, tmp_path / "b", other_scores(world), year=1999)
    record_run(world, tmp_path / "c", rounded(world))
    found = admitted(world, tmp_path)
    assert first_folders(found) == ([], ["a", "b", "c"])
    assert all("contradict each other, and none counts until one is attested: a/" in r.reason for r in found.rejected)
    assert all("ranks correlate at" in r.reason for r in found.rejected)


def test_an_attested_record_counts_against_others(world: World, tmp_path: Path) -> None:
    record_run(world, tmp_path / "a", other_scores(world))
    honest = record_run(world, tmp_path / "b")
    record_run(world, tmp_path / "c", rounded(world))
    found = admitted(world, tmp_path, attestation(honest))
    assert first_folders(found) == (["b"], ["a"])
    assert "maintainers attested has other scores" in found.rejected[0].reason
    assert found.kept[0].level is Level.REPLAYED
    assert [again.where.partition("/")[0] for again in found.kept[0].repetitions] == ["c"]


def test_attested_records_that_contradict_each_other_exclude_both(world: World, tmp_path: Path) -> None:
    runs = [record_run(world, tmp_path / "a"), record_run(world, tmp_path / "b", other_scores(world))]
    found = admitted(world, tmp_path, *map(attestation, runs))
    assert first_folders(found) == ([], ["a", "b"])
    assert "until one is invalidated" in found.rejected[0].reason
    found = admitted(world, tmp_path, attestation(runs[0]), attestation(runs[1], Level.REPRODUCED))
    assert first_folders(found) == (["b"], ["a"])


def test_what_was_invalidated_does_not_come_back_in_other_bytes(world: World, tmp_path: Path) -> None:
    wrong = record_run(world, tmp_path / "a")
    again = record_run(world, tmp_path / "b", rounded(world), year=2027)
    right = record_run(world, tmp_path / "c", other_scores(world))
    note = invalidation(wrong, "the photos were swapped")
    found = admitted(world, tmp_path, note)
    assert first_folders(found) == (["c"], ["a", "b"])
    reason = next(each.reason for each in found.rejected if each.where.startswith("b/"))
    assert reason.startswith("it repeats a record that was invalidated: a/")
    # A maintainer who looked at the repetition and found it right may say so; it then contradicts nobody but c.
    found = admitted(world, tmp_path, note, attestation(again))
    assert first_folders(found) == (["b"], ["a", "c"])
    assert right.record.run_id == wrong.record.run_id
