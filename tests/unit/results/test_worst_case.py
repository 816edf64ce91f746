"""The worst case of a defense, against plain counting on scores that were made up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from idbench import metrics
from idbench.results import Estimate, UtilityMeasure
from idbench.results.worst_case import (
    GUESSED_TENTH,
    REFERENCE,
    Attempt,
    attacked,
    highest_tenth,
    recognized,
    worst_cases,
)

N = 400
MEMBERS = np.arange(N) % 2 == 0
PROTECTED = np.arange(N) % 4 < 2


def attempt(defense: str, attack: str, inside: float, outside: float, seed: int = 0, shift: float = 0.0) -> Attempt:
    """Normal scores; members stand higher by `inside` among the protected and by `outside` among the others."""
    rng = np.random.default_rng([seed, *f"{defense}/{attack}".encode()])
    scores = rng.normal(size=N) + MEMBERS * np.where(PROTECTED, inside, outside) + shift * PROTECTED
    return Attempt(defense, attack, seed, scores, MEMBERS, PROTECTED)


def test_the_strongest_attack_on_the_protected_counts() -> None:
    tried = [
        attempt("none", "cosine", 2.0, 2.0),
        attempt("hidden", "cosine", 0.0, 2.0),
        attempt("hidden", "cosine + relearn", 1.5, 1.5),
        attempt(REFERENCE, "cosine", 0.0, 2.0),
        attempt(REFERENCE, "cosine + relearn", 0.1, 1.5),
    ]
    rows = {row.defense: row for row in worst_cases(tried)}
    assert list(rows) == ["none", "hidden", REFERENCE]
    hidden = rows["hidden"]
    assert (hidden.strongest, hidden.attempts) == ("cosine + relearn", 2)
    own = tried[2]
    assert hidden.protected.value == pytest.approx(metrics.auc(own.scores[PROTECTED], MEMBERS[PROTECTED]))
    assert hidden.others.value == pytest.approx(metrics.auc(own.scores[~PROTECTED], MEMBERS[~PROTECTED]))
    assert hidden.beyond_reference is not None
    reference = metrics.auc(tried[4].scores[PROTECTED], MEMBERS[PROTECTED])
    assert hidden.beyond_reference.value == pytest.approx(hidden.protected.value - reference)
    assert hidden.beyond_reference.low > 0
    assert rows[REFERENCE].beyond_reference is None


def test_scores_that_a_defense_turns_around_count_as_an_attacker_reads_them() -> None:
    tried = [
        attempt("blur", "cosine", -1.0, 1.0),
        attempt("blur", "idia", 0.3, 1.0),
        attempt(REFERENCE, "cosine", 0.0, 1.0),
    ]
    row = next(row for row in worst_cases(tried) if row.defense == "blur")
    assert (row.strongest, row.turned, row.how) == ("cosine", True, "cosine, turned around")
    own = tried[0]
    assert row.protected.value == pytest.approx(1 - metrics.auc(own.scores[PROTECTED], MEMBERS[PROTECTED]))
    assert 0.5 < row.protected.low < row.protected.value < row.protected.high
    assert row.others.value == pytest.approx(1 - metrics.auc(own.scores[~PROTECTED], MEMBERS[~PROTECTED]))
    assert row.tenth.value == highest_tenth([replace(own, scores=-own.scores)]).value > GUESSED_TENTH
    reference = 1 - metrics.auc(tried[2].scores[PROTECTED], MEMBERS[PROTECTED])
    assert row.beyond_reference is not None
    assert row.beyond_reference.value == pytest.approx(row.protected.value - reference)
    assert attacked(tried)[0].protected.value == pytest.approx(1 - row.protected.value), "tables of attacks keep it"


def test_an_attack_a_little_below_chance_is_not_turned_around() -> None:
    below = [attempt("d", "random", 0.0, 0.0, seed) for seed in range(20)]
    rows = [worst_cases([one])[0] for one in below]
    assert sum(row.turned for row in rows) <= 3  # 1 in 40 by chance
    assert min(row.protected.value for row in rows) < 0.5


def test_a_defense_that_marks_people_is_found_whichever_way_the_scores_turn() -> None:
    for shift in (3.0, -3.0):
        (row,) = worst_cases([attempt("marks", "cosine", 0.0, 0.0, shift=shift), attempt("marks", "idia", 0.1, 0.1)])
        assert row.marked_by == "cosine"
        assert row.marks.value > 0.95
        assert 0.5 < row.marks.low <= row.marks.value <= row.marks.high <= 1
    (fair,) = worst_cases([attempt("fair", "cosine", 0.5, 0.5)])
    assert fair.marks.low < 0.5 < fair.marks.high


def test_members_who_are_hidden_mark_the_protected_and_leave_no_trace_among_non_members() -> None:
    """As where the target is trained again without them: the scores of the spared alone are high."""
    for turn in (1, -1):
        gone = attempt("gone", "cosine", 0.0, 4.0)
        (row,) = worst_cases([Attempt("gone", "cosine", 0, turn * gone.scores, MEMBERS, PROTECTED)])
        assert row.marks.low > 0.6
        assert row.trace is not None
        assert row.trace.low < 0.56
        rest = ~MEMBERS
        area = metrics.auc(turn * gone.scores[rest], PROTECTED[rest])
        assert row.trace.value == pytest.approx(max(area, 1 - area))
    (marked,) = worst_cases([attempt("marks", "cosine", 0.0, 0.0, shift=3.0), attempt("marks", "idia", 0.0, 0.0)])
    assert marked.trace is not None
    assert marked.trace.low > 0.95


def test_seeds_are_averaged() -> None:
    tried = [attempt("d", "cosine", 1.0, 1.0, seed) for seed in range(3)]
    (row,) = attacked(tried)
    assert row.seeds == (0, 1, 2)
    each = [metrics.auc(one.scores[PROTECTED], MEMBERS[PROTECTED]) for one in tried]
    assert row.protected.value == pytest.approx(float(np.mean(each)))


def test_the_highest_tenth_of_guesses_is_where_guessing_puts_it() -> None:
    runs = [attempt("d", "random", 0.0, 0.0, seed) for seed in range(10)]
    found = highest_tenth(runs)
    assert found.value == pytest.approx(GUESSED_TENTH, abs=0.02)
    assert found.low <= found.value <= found.high
    highest = highest_tenth([attempt("d", "cosine", 9.0, 0.0)])
    assert highest.value == 1.0


def test_without_the_reference_nothing_is_said_of_it() -> None:
    (row,) = worst_cases([attempt("d", "cosine", 1.0, 1.0)])
    assert row.beyond_reference is None
    pair = [attempt("d", "cosine", 1.0, 1.0, seed=1), attempt(REFERENCE, "cosine", 0.0, 1.0, seed=0)]
    assert next(row for row in worst_cases(pair) if row.defense == "d").beyond_reference is None  # other people


def test_recognition_counts_questions_by_the_people_that_they_are_about() -> None:
    def measure(name: str, people: int, before: float, after: float) -> UtilityMeasure:
        one, other, moved = (
            Estimate(value=value, low=value, high=value, level=0.95, method="by hand")
            for value in (before, after, after - before)
        )
        return UtilityMeasure(name=name, people=people, before=one, after=other, difference=moved)

    utility = [
        measure("recognition of walls", 90, 0.9, 0.6),
        measure("recognition of hats", 10, 0.4, 0.6),
        measure("naming of faces", 500, 0.1, 0.0),
    ]
    assert recognized(utility) == pytest.approx((0.85, 0.6))
    assert recognized(utility[2:]) is None
