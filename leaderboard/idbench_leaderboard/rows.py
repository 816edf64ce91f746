"""The columns of a built board: one data class per table, one object per row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One row of a board: runs of one method on one target that differ by their seed alone."""

    entry: str
    """Identifies the row in addresses; hash of everything but seeds."""
    split: str
    split_version: int
    split_digest: str
    target: str
    target_version: str
    target_sha256: str
    architecture: str
    corpus: str
    control: bool
    pooled: int
    """Number of targets that the row is a mean over; 0 for a row of one target."""
    method: str
    method_version: str
    method_title: str
    code_sha256: str
    distribution: str
    has_card: bool
    """Whether the records carry the card of the method that ran."""
    track: str
    access: str
    knowledge: str
    defense: str
    """Name of the defense, empty for none."""
    parameters: str
    """JSON, keys sorted."""
    variant: str
    """What of the parameters differs from the usual ones, as `name=value`; empty for the usual ones."""
    usual: bool
    label: str
    verification: str
    """The least trusted record's: self-reported, replayed or reproduced; stated by maintainers, never by a record."""
    verified: bool
    """Whether somebody checked all of the records."""
    engine: int
    """Version of the engine that ran them."""
    seeds: str
    n_seeds: int
    repetitions: int
    """Records of the same runs from elsewhere that agree with those that count."""
    repeat_difference: float | None
    """The largest difference of a score to its repetition, in standard deviations; None where nothing was repeated."""
    repeat_move: float | None
    """The largest difference of a rank, as a share of all."""
    repeat_correlation: float | None
    """The least correlation of the ranks."""
    n_members: int
    n_nonmembers: int
    n_abstained: float
    photos_per_case: float
    auc: float
    auc_low: float
    auc_high: float
    auc_spread: float | None
    """Standard deviation over the targets of a pooled row of their mean AUCs over seeds; None for a single target."""
    p_chance: float
    """Against chance, two-sided, by permuting the labels."""
    decision_threshold: float | None
    decision_tpr: float | None
    decision_fpr: float | None
    decision_accuracy: float | None
    texts: float
    images: float
    pairs: float
    gradients: float
    training_steps: float
    queries: float
    seconds: float
    """Fitting and scoring, mean over seeds; shadow models count as if trained from nothing."""
    training_seconds: float
    """Of these, training shadow models."""
    seconds_total: float
    peak_memory_mb: float
    device: str
    code_commit: str
    created: str
    """Of the newest run."""
    command: str


@dataclass(frozen=True, slots=True)
class RateRow:
    """TPR at one false-positive rate."""

    entry: str
    fpr: float
    value: float | None
    low: float | None
    high: float | None
    resolution: float
    reason: str


@dataclass(frozen=True, slots=True)
class BinRow:
    """AUC of the members with one number of training pictures."""

    entry: str
    occurrences: int
    n_members: int
    auc: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CurveRow:
    """A ROC curve with its band."""

    entry: str
    fpr: NDArray[np.float64]
    tpr: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class HistogramRow:
    """Shares of members and non-members per bin of the score."""

    entry: str
    edges: NDArray[np.float64]
    members: NDArray[np.float64]
    nonmembers: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class JointRow:
    """One row of the covariance of a board's AUCs, the part of the members and that of the non-members.

    Columns are the board's entries in the order of `place`, up to this one: a covariance is symmetric.
    """

    board: str
    entry: str
    place: int
    of_members: NDArray[np.float64]
    of_nonmembers: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RankRow:
    """The ranks of the scores of one run (ties share one), in the order of the people of the split."""

    board: str
    entry: str
    seed: int
    ranks: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class PoolRow:
    """One row of one target that a pooled row is a mean over."""

    entry: str
    part: str


@dataclass(frozen=True, slots=True)
class RunRow:
    """One record behind a row of the board."""

    entry: str
    run_id: str
    seed: int
    where: str
    created: str
    verification: str
    auc: float
    idbench: str
    commit: str
    device: str
    scores_sha256: str
    repetitions: int
    repeat_difference: float | None
    repeat_move: float | None
    repeat_correlation: float | None


@dataclass(frozen=True, slots=True)
class PersonRow:
    """One identity of a split whose labels are public."""

    split: str
    split_version: int
    corpus: str
    place: int
    identity: str
    member: bool
    occurrences: int
