"""Measures boards: the statistics of every row of one target, and of several targets pooled."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from idbench.metrics import AucCovariance, NotEstimable, batch, spread
from idbench.metrics.batch import Averages, Decisions, KnownLabels
from idbench.results import Rejected, RunRecord
from idbench.results.aligning import Reader, Scored
from idbench.results.attestation import Level
from idbench.results.labels import CorpusLabels, CountedPeople
from idbench.results.repetition import Candidate
from idbench.results.rows import BoardKey, EntryKey
from idbench.results.store import unexpected
from idbench_leaderboard import measure
from idbench_leaderboard.measure import FPRS, LEVEL, PLAN, Floats
from idbench_leaderboard.rows import (
    BinRow,
    CurveRow,
    EntryRow,
    HistogramRow,
    JointRow,
    PoolRow,
    RankRow,
    RateRow,
    RunRow,
)

_BATCH: Final = 1 << 18
"""Scores that are looked at together: few enough to stay in a processor's cache, many enough to be worth the call."""

Usable = Sequence[tuple[Candidate, Scored]]
EntryBatch = Sequence[tuple[EntryKey, Usable]]


@dataclass(frozen=True, slots=True)
class Area:
    """A number with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Work:
    """One board to be measured: its labels and the records of its rows.

    Args:
        board: which.
        people: of its split, without the retracted.
        test: labels of the test part.
        calibration: labels of the calibration part.
        public: whether single people may be shown.
        entries: the rows, each with its records in order of seed.
        pooled: rows that are pooled with those of other targets, and the board where they are.
    """

    board: BoardKey
    people: CountedPeople
    test: CorpusLabels
    calibration: CorpusLabels
    public: bool
    entries: tuple[tuple[EntryKey, tuple[Candidate, ...]], ...]
    pooled: Mapping[EntryKey, BoardKey] = field(default_factory=dict)

    @property
    def known(self) -> KnownLabels:
        """Labels of the test part."""
        return KnownLabels(self.test.member, self.test.occurrences)


@dataclass(frozen=True, slots=True)
class Part:
    """What one target contributes to a pooled row."""

    key: EntryKey
    row: EntryRow
    averages: Averages


@dataclass(slots=True)
class MeasuredRows:
    """The rows of one board."""

    entries: list[EntryRow] = field(default_factory=list)
    rates: list[RateRow] = field(default_factory=list)
    bins: list[BinRow] = field(default_factory=list)
    curves: list[CurveRow] = field(default_factory=list)
    histograms: list[HistogramRow] = field(default_factory=list)
    joint: list[JointRow] = field(default_factory=list)
    ranks: list[RankRow] = field(default_factory=list)
    runs: list[RunRow] = field(default_factory=list)
    pools: list[PoolRow] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)


def measure_board(work: Work) -> MeasuredRows:
    """Everything about one board; a record with unusable scores is set aside."""
    result = MeasuredRows()
    members = work.test.member
    if members.sum() < 2 or (~members).sum() < 2:
        reason = f"split {work.board.split} has no two members and two non-members of {work.board.corpus}"
        result.rejected = [each.rejected(reason) for _, group in work.entries for each in group]
        return result
    ids: list[str] = []
    ranked = batch.RankedRows(len(work.entries), work.known)
    for entries in _batches(work, result.rejected):
        for ready, found in _measured(result, work, entries):
            ids += [key.id for key, _ in ready]
            ranked.add(found)
    if ids:
        # Of the whole board at once: drawing and unpacking the labellings costs the same for one row as for all.
        chances = ranked.chance_p().tolist()
        result.entries = [replace(row, p_chance=p) for row, p in zip(result.entries, chances, strict=True)]
        _add_joint(result, work.board.id, ids, ranked.joint_auc())
    return result


def _batches(work: Work, rejected: list[Rejected]) -> Iterator[EntryBatch]:
    """Rows with their usable scores, as many at a time as are quick to look at together."""
    reader = Reader(work.people)
    entries: list[tuple[EntryKey, Usable]] = []
    size = 0
    for key, group in work.entries:
        usable = _usable(group, reader, rejected)
        if usable:
            entries.append((key, usable))
            size += len(usable) * len(work.people.test)
        if size >= _BATCH:
            yield entries
            entries, size = [], 0
    if entries:
        yield entries


def _usable(group: Sequence[Candidate], reader: Reader, rejected: list[Rejected]) -> Usable:
    usable = []
    for candidate in group:
        scored = reader.read(candidate.run, candidate.where)
        if isinstance(scored, Rejected):
            rejected.append(scored)
        else:
            usable.append((candidate, scored))
    return usable


def _measured(result: MeasuredRows, work: Work, entries: EntryBatch) -> Iterator[tuple[EntryBatch, Averages]]:
    """Measure some rows together; if that fails, row by row, without the records that fail by themselves.

    Yields:
        rows that were measured, with what is averaged over their seeds.
    """
    found, _ = _tried(work, entries)
    if found is not None:
        yield _kept(result, entries, found)
        return
    for key, usable in entries:
        sound: list[tuple[Candidate, Scored]] = []
        for one in usable:
            alone, reason = _tried(work, [(key, [one])])
            if alone is None:
                result.rejected.append(one[0].rejected(reason))
            else:
                sound.append(one)
        row: EntryBatch = [(key, sound)]
        found, reason = _tried(work, row) if sound else (None, "")
        if found is not None:
            yield _kept(result, row, found)
        else:
            result.rejected += [candidate.rejected(reason) for candidate, _ in sound]


def _tried(work: Work, entries: EntryBatch) -> tuple[tuple[MeasuredRows, Averages] | None, str]:
    """Rows by themselves, or why they cannot be measured."""
    own = MeasuredRows()
    try:
        return (own, _measure_batch(own, work, entries)), ""
    except Exception as error:  # noqa: BLE001  one record must not cost the others their place
        return None, unexpected(error)


def _kept(
    result: MeasuredRows, entries: EntryBatch, found: tuple[MeasuredRows, Averages]
) -> tuple[EntryBatch, Averages]:
    own, averages = found
    for each in fields(MeasuredRows):
        getattr(result, each.name).extend(getattr(own, each.name))
    return entries, averages


def _measure_batch(result: MeasuredRows, work: Work, entries: EntryBatch) -> Averages:
    known, board = work.known, work.board.id
    groups = [np.stack([scored.test for _, scored in usable]) for _, usable in entries]
    judged = batch.judge(groups, known, PLAN)
    found = judged.averages
    areas = _areas(found)
    ids = [key.id for key, _ in entries]
    runs = iter(zip(judged.aucs, judged.places, strict=True))
    for place, ((key, usable), rows) in enumerate(zip(entries, groups, strict=True)):
        row = _entry_row(work, key, ids[place], usable, rows, areas[place])
        result.entries.append(row)
        bars = measure.histogram(rows, known.members)
        result.histograms.append(HistogramRow(row.entry, *map(rounded, (bars.edges, bars.members, bars.nonmembers))))
        for candidate, _ in usable:
            value, places = next(runs)
            result.runs.append(_run_row(row.entry, candidate, float(value)))
            if work.public:
                result.ranks.append(RankRow(board, row.entry, candidate.run.record.seed, places))
        if key in work.pooled:
            result.parts.append(Part(replace(key, design="", board=work.pooled[key]), row, found.take([place])))
    _add_statistics(result, ids, found, known)
    return found


def _areas(found: Averages) -> list[Area]:
    ends = batch.auc_ends(found.inside, found.outside, LEVEL)
    return [Area(*map(float, each)) for each in zip(ends.value, ends.low, ends.high, strict=True)]


def _add_statistics(result: MeasuredRows, ids: Sequence[str], found: Averages, known: KnownLabels) -> None:
    resolution = 1 / known.sizes[1]
    for fpr, rate in zip(FPRS, batch.rate_ends(found, PLAN), strict=True):
        if isinstance(rate, NotEstimable):
            result.rates += [RateRow(entry, fpr, None, None, None, resolution, rate.reason) for entry in ids]
            continue
        columns = zip(ids, rate.value.tolist(), rate.low.tolist(), rate.high.tolist(), strict=True)
        result.rates += [RateRow(entry, fpr, value, low, high, resolution, "") for entry, value, low, high in columns]
    for count, size, ends in batch.stratum_ends(found, known, LEVEL):
        columns = zip(ids, ends.value.tolist(), ends.low.tolist(), ends.high.tolist(), strict=True)
        result.bins += [BinRow(entry, count, size, value, low, high) for entry, value, low, high in columns]
    grid = rounded(PLAN.grid(known.sizes[1]))
    for entry, curve in zip(ids, found.curves, strict=True):
        result.curves.append(CurveRow(entry, grid, *map(rounded, curve)))


def _add_joint(result: MeasuredRows, board: str, ids: Sequence[str], found: AucCovariance) -> None:
    for place, entry in enumerate(ids):
        inside, outside = (whole[place, : place + 1] for whole in (found.of_members, found.of_nonmembers))
        result.joint.append(JointRow(board, entry, place, inside, outside))


def _entry_row(
    work: Work,
    key: EntryKey,
    entry: str,
    usable: Usable,
    rows: Floats,
    area: Area,
) -> EntryRow:
    records = [candidate.run.record for candidate, _ in usable]
    first, newest = records[0], max(records, key=lambda record: record.created)
    decision = _decisions(work, usable, rows)
    return EntryRow(
        entry=entry,
        split=work.board.split,
        split_version=work.board.split_version,
        split_digest=work.board.split_digest,
        target=work.board.target,
        target_version=work.board.target_version,
        target_sha256=work.board.target_sha256,
        architecture=first.target.architecture,
        corpus=work.board.corpus,
        control=bool(first.target.control_for),
        pooled=0,
        method=key.method,
        method_version=key.method_version,
        method_title=newest.attack.title,
        code_sha256=key.code_sha256,
        distribution=newest.attack.distribution,
        has_card=any(record.attack.card is not None for record in records),
        track=first.attack.track,
        access=", ".join(first.attack.access),
        knowledge=", ".join(first.attack.knowledge),
        defense=key.defense,
        parameters=key.parameters,
        variant="",
        usual=True,
        label=key.method,
        verification=min((candidate.level for candidate, _ in usable), key=lambda level: level.rank).value,
        verified=key.verified,
        engine=key.engine,
        seeds=", ".join(str(record.seed) for record in records),
        n_seeds=len(records),
        **_repeated(candidate for candidate, _ in usable),
        n_members=int(work.test.member.sum()),
        n_nonmembers=int((~work.test.member).sum()),
        n_abstained=_mean(float(scored.abstained.sum()) for _, scored in usable),
        photos_per_case=_mean(record.photos_per_case for record in records),
        auc=area.value,
        auc_low=area.low,
        auc_high=area.high,
        auc_spread=None,
        p_chance=math.nan,  # known once all rows of the board are
        decision_threshold=decision.threshold,
        decision_tpr=decision.tpr,
        decision_fpr=decision.fpr,
        decision_accuracy=decision.accuracy,
        texts=_mean(record.queries.texts for record in records),
        images=_mean(record.queries.images for record in records),
        pairs=_mean(record.queries.pairs for record in records),
        gradients=_mean(record.queries.gradients for record in records),
        training_steps=_mean(_steps(record) for record in records),
        queries=_mean(record.queries.total - record.queries.training_steps + _steps(record) for record in records),
        seconds=_mean(_seconds(record) for record in records),
        training_seconds=_mean(record.shadows.seconds if record.shadows else 0.0 for record in records),
        seconds_total=_mean(record.timings.total for record in records),
        peak_memory_mb=max(record.peak_memory_mb for record in records),
        device=_most_common(record.environment.hardware for record in records),
        code_commit=newest.environment.commit or "",
        created=newest.created.isoformat(),
        command="",
    )


def _steps(record: RunRecord) -> int:
    """Optimizer steps behind a run, those of shadow models that were found trained included."""
    return max(record.queries.training_steps, record.shadows.steps if record.shadows else 0)


def _seconds(record: RunRecord) -> float:
    """Fitting and scoring as if every shadow model had been trained by this run."""
    spent = record.timings.fit + record.timings.score
    return spent if record.shadows is None else max(0.0, spent - record.shadows.waited) + record.shadows.seconds


def _decisions(work: Work, usable: Usable, rows: Floats) -> Decisions:
    """What the calibrated threshold decides; nothing unless the whole calibration part was scored for every seed."""
    known = work.calibration.member
    calibration = [scored.calibration for _, scored in usable if scored.calibration is not None]
    if len(calibration) < len(usable) or known.all() or not known.any():
        return Decisions(None, None, None, None)
    return batch.decisions(np.stack(calibration), known, rows, work.test.member)


def _repeated(candidates: Iterable[Candidate]) -> dict[str, Any]:
    """How often the runs of a row were repeated elsewhere, and how far their scores moved at most."""
    found = [repetition.agreement for candidate in candidates for repetition in candidate.repetitions]
    return {
        "repetitions": len(found),
        "repeat_difference": max((each.difference for each in found), default=None),
        "repeat_move": max((each.move for each in found), default=None),
        "repeat_correlation": min((each.correlation for each in found), default=None),
    }


def _run_row(entry: str, candidate: Candidate, value: float) -> RunRow:
    record = candidate.run.record
    return RunRow(
        entry=entry,
        run_id=record.run_id,
        seed=record.seed,
        where=candidate.where,
        created=record.created.isoformat(),
        verification=candidate.level.value,
        auc=value,
        idbench=record.environment.packages.get("idbench", ""),
        commit=record.environment.commit or "",
        device=record.environment.hardware,
        scores_sha256=record.scores_sha256,
        **_repeated([candidate]),
    )


class PooledRows:
    """Sums what the targets of one corpus contribute to each row; a row counts once every target has contributed."""

    def __init__(self, board: BoardKey, targets: int, known: KnownLabels) -> None:
        """Pool several targets as one board."""
        self.board, self._targets, self._known = board, targets, known
        self._sums: dict[EntryKey, Averages] = {}
        self._rows: dict[EntryKey, list[EntryRow]] = {}

    def add(self, part: Part) -> None:
        """Take what a target contributes to one row."""
        known = self._sums.get(part.key)
        self._sums[part.key] = part.averages if known is None else known.plus(part.averages)
        self._rows.setdefault(part.key, []).append(part.row)

    def measured(self) -> MeasuredRows:
        """The pooled board: means over targets, each counting the same, with identities as clusters."""
        result = MeasuredRows()
        keys = sorted(key for key, rows in self._rows.items() if len(rows) == self._targets)
        if not keys:
            return result
        found = batch.joined([self._sums[key].over(self._targets) for key in keys])
        chances = batch.chance_p(found, self._known).tolist()
        for key, area, p_chance in zip(keys, _areas(found), chances, strict=True):
            rows = self._rows[key]
            result.entries.append(_pooled_row(key, rows, area, p_chance))
            result.pools += [PoolRow(key.id, row.entry) for row in rows]
        ids = [key.id for key in keys]
        _add_statistics(result, ids, found, self._known)
        _add_joint(result, self.board.id, ids, batch.joint_auc(found))
        return result


def _pooled_row(key: EntryKey, rows: Sequence[EntryRow], area: Area, p_chance: float) -> EntryRow:
    means: dict[str, Any] = {name: _mean(getattr(row, name) for row in rows) for name in _POOLED_MEANS}
    return replace(
        max(rows, key=lambda row: row.created),
        **means,
        entry=key.id,
        target=key.board.target,
        target_version=key.board.target_version,
        target_sha256=key.board.target_sha256,
        architecture=", ".join(sorted({row.architecture for row in rows})),
        pooled=len(rows),
        verification=min((row.verification for row in rows), key=lambda level: Level(level).rank),
        seeds=min((row.seeds for row in rows), key=len),
        n_seeds=min(row.n_seeds for row in rows),
        repetitions=sum(row.repetitions for row in rows),
        repeat_difference=max((each for row in rows if (each := row.repeat_difference) is not None), default=None),
        repeat_move=max((each for row in rows if (each := row.repeat_move) is not None), default=None),
        repeat_correlation=min((each for row in rows if (each := row.repeat_correlation) is not None), default=None),
        auc=area.value,
        auc_low=area.low,
        auc_high=area.high,
        auc_spread=spread([row.auc for row in rows]),
        p_chance=p_chance,
        decision_threshold=None,  # scores of different models have no threshold in common
        decision_tpr=_mean_known(row.decision_tpr for row in rows),
        decision_fpr=_mean_known(row.decision_fpr for row in rows),
        decision_accuracy=_mean_known(row.decision_accuracy for row in rows),
        peak_memory_mb=max(row.peak_memory_mb for row in rows),
        device=_most_common(row.device for row in rows),
    )


_POOLED_MEANS: Final = (
    "n_abstained",
    "photos_per_case",
    "texts",
    "images",
    "pairs",
    "gradients",
    "training_steps",
    "queries",
    "seconds",
    "training_seconds",
    "seconds_total",
)


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return float(sum(found) / len(found))


def _mean_known(values: Iterable[float | None]) -> float | None:
    found = list(values)
    known = [value for value in found if value is not None]
    return _mean(known) if len(known) == len(found) else None


def _most_common(values: Iterable[str]) -> str:
    counts = Counter(values)
    return max(sorted(counts), key=lambda value: counts[value])


def rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Six significant digits: a chart shows three."""
    digits = 5 - np.floor(np.log10(np.abs(values), where=values != 0, out=np.zeros_like(values)))
    scale = 10.0**digits
    return np.asarray(np.round(values * scale) / scale, dtype=np.float64)
