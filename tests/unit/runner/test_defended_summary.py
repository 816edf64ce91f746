"""Protected people and the others are labelled apart, and whether scores tell them from each other."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from idbench.results import DefenseRef, ScoreTable
from idbench.results.summarizing import LabelledScores, group_summaries, marks_estimate
from idbench.runner.evaluate import with_labels
from idbench.splits import Split, load_split


@pytest.fixture
def split() -> Split:
    return load_split("avatars-tiny")


def labelled(split: Split, scores: np.ndarray) -> LabelledScores:  # type: ignore[type-arg]
    ids = tuple(identity.id for identity in split.identities)
    n = len(ids)
    table = ScoreTable(ids, scores, np.zeros(n, dtype=bool), np.ones(n, dtype=np.int64))
    return with_labels(table, split, split.corpora[0], "test")


def behind(split: Split, protected: list[int]) -> DefenseRef:
    """As much of a defense as a summary reads."""
    return DefenseRef.model_construct(protected=tuple(split.identities[i].id for i in protected))


def test_groups_are_judged_by_their_own_members_and_non_members(split: Split) -> None:
    corpus = split.corpora[0]
    member = split.labels(corpus).member
    test = [i for i, identity in enumerate(split.identities) if identity.part == "test"]
    protected = test[::2]
    others = test[1::2]
    rng = np.random.default_rng(0)
    scores = rng.normal(size=len(split.identities)) + member
    scores[protected] -= 2.0 * member[protected]  # protected members are hidden too well
    defense = behind(split, protected)
    found = {group.group: group for group in group_summaries(labelled(split, scores), defense)}
    for name, rows in (("protected", protected), ("unprotected", others)):
        assert found[name].auc.value == pytest.approx(roc_auc_score(member[rows], scores[rows]))
        assert found[name].n_members == int(member[rows].sum())
        assert found[name].n_members + found[name].n_nonmembers == len(rows)
    assert found["protected"].auc.value < 0.5 < found["unprotected"].auc.value
    inside = np.isin(test, protected)
    marks = marks_estimate(labelled(split, scores), defense)
    assert marks is not None
    assert marks.value == pytest.approx(roc_auc_score(inside, scores[test]))


def test_without_a_defense_there_is_nothing_to_tell_apart(split: Split) -> None:
    test = labelled(split, np.arange(len(split.identities), dtype=np.float64))
    assert group_summaries(test, None) == ()
    assert marks_estimate(test, None) is None
    assert marks_estimate(test, behind(split, [])) is None


def test_a_group_without_members_or_non_members_is_left_out(split: Split) -> None:
    member = split.labels(split.corpora[0]).member
    people = [i for i, one in enumerate(split.identities) if one.part == "test" and member[i]]
    test = labelled(split, np.arange(len(split.identities), dtype=np.float64))
    # All members are protected, so that the others have none.
    assert group_summaries(test, behind(split, people)) == ()
    assert marks_estimate(test, behind(split, people)) is not None
