"""Builds a board: a pure function from records and labels to a few parquet files and a manifest."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

import idbench
from idbench.api import Progress
from idbench.metrics import auc, best_balanced_accuracy, decision_metrics
from idbench.results import Run, RunRecord
from idbench.storage import atomic_dir, sha256_file
from idbench_leaderboard import measure
from idbench_leaderboard.admit import (
    BoardKey,
    Candidate,
    EntryKey,
    People,
    Scored,
    SplitKey,
    board_keys,
    entry_key,
    people_of,
    read_scored,
    screen,
)
from idbench_leaderboard.inputs import About, CorpusLabels, MethodInfo, Rejected, SplitLabels
from idbench_leaderboard.manifest import ABOUT, BOARD_VERSION, MANIFEST, SAMPLES
from idbench_leaderboard.rows import (
    BinRow,
    CurveRow,
    EntryRow,
    HistogramRow,
    JointRow,
    PersonRow,
    RankRow,
    RateRow,
    RunRow,
)

_POOL_FROM: Final = 400
"""Number of records from which several processes are quicker than one."""

_KINDS: Final[Mapping[str, type[Any]]] = {
    "entries": EntryRow,
    "rates": RateRow,
    "bins": BinRow,
    "curves": CurveRow,
    "histograms": HistogramRow,
    "joint": JointRow,
    "ranks": RankRow,
    "runs": RunRow,
    "people": PersonRow,
}


@dataclass(frozen=True, slots=True)
class Work:
    """One board to be measured: its labels and the records of its rows. Crosses process borders."""

    board: BoardKey
    people: People
    test: CorpusLabels
    calibration: CorpusLabels
    public: bool
    entries: tuple[tuple[EntryKey, tuple[Candidate, ...]], ...]


@dataclass(slots=True)
class Measured:
    """The rows of one board."""

    entries: list[EntryRow] = field(default_factory=list)
    rates: list[RateRow] = field(default_factory=list)
    bins: list[BinRow] = field(default_factory=list)
    curves: list[CurveRow] = field(default_factory=list)
    histograms: list[HistogramRow] = field(default_factory=list)
    joint: list[JointRow] = field(default_factory=list)
    ranks: list[RankRow] = field(default_factory=list)
    runs: list[RunRow] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Built:
    """What a build made of the records: how many count, and what was set aside."""

    path: Path
    runs: int
    entries: int
    boards: int
    rejected: tuple[Rejected, ...]


def build(
    runs: Sequence[Run],
    labels: Sequence[SplitLabels],
    out: Path,
    progress: Progress,
    *,
    names: Sequence[str] = (),
    rejected: Sequence[Rejected] = (),
    about: About | None = None,
    commit: str | None = None,
    processes: int | None = None,
) -> Built:
    """Build a board folder; the same input gives the same bytes.

    Args:
        runs: records to consider, from `collect`.
        labels: one per split and version; a record of any other version is rejected.
        out: the folder, replaced atomically when everything is done.
        progress: tells a person how far it is.
        names: for each run, the name shown for its folder; its own folder's name if missing.
        rejected: what `collect` could not read.
        about: what splits, methods and targets say of themselves.
        commit: of the checkout that builds; None when installed.
        processes: worker processes; None: as many as processors from a few hundred records up.

    Raises:
        StorageError: the disk refused; an older board is left as it was.
    """
    told = about or About()
    shown = list(names) or [run.path.name for run in runs]
    candidates = [Candidate(run, name) for run, name in zip(runs, shown, strict=True)]
    by_split = {(each.name, each.version): each for each in labels}
    kept, refused = screen(candidates, by_split)
    measured = list(_measure_all(_work(kept, by_split), progress, processes or _processes(len(kept))))
    everything = [*rejected, *refused, *_distinct(part.rejected for part in measured)]
    tables = _tables(measured, labels, told)
    with atomic_dir(out) as folder:
        _write(folder, tables, told)
        manifest = _manifest(folder, candidates, labels, everything, commit, tables)
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    counted = int(tables["runs"]["run_id"].nunique())
    boards = int(tables["joint"]["board"].nunique())
    return Built(out, counted, len(tables["entries"]), boards, tuple(everything))


def _processes(records: int) -> int:
    return (os.cpu_count() or 1) if records >= _POOL_FROM else 1


def _work(candidates: Iterable[Candidate], labels: Mapping[SplitKey, SplitLabels]) -> list[Work]:
    boards: dict[BoardKey, dict[EntryKey, list[Candidate]]] = defaultdict(lambda: defaultdict(list))
    for candidate in candidates:
        record = candidate.run.record
        split = labels[record.split.name, record.split.version]
        for board in board_keys(record, split):
            boards[board][entry_key(board, record)].append(candidate)
    people = {key: people_of(each) for key, each in labels.items()}
    return [
        _work_of(
            board, boards[board], labels[board.split, board.split_version], people[board.split, board.split_version]
        )
        for board in sorted(boards)
    ]


def _work_of(
    board: BoardKey, entries: Mapping[EntryKey, Sequence[Candidate]], labels: SplitLabels, people: People
) -> Work:
    corpus = labels.corpora[board.corpus]
    place = {identity: index for index, identity in enumerate(labels.identities)}
    return Work(
        board=board,
        people=people,
        test=_take(corpus, [place[identity] for identity in people.test]),
        calibration=_take(corpus, [place[identity] for identity in people.calibration]),
        public=labels.public,
        entries=tuple(
            (key, tuple(sorted(entries[key], key=lambda c: (c.run.record.seed, c.run.record.run_id))))
            for key in sorted(entries)
        ),
    )


def _take(labels: CorpusLabels, places: Sequence[int]) -> CorpusLabels:
    index = np.asarray(places, dtype=np.int64)
    return CorpusLabels(np.asarray(labels.member, dtype=np.bool_)[index], np.asarray(labels.occurrences)[index])


def _measure_all(work: Sequence[Work], progress: Progress, processes: int) -> Iterator[Measured]:
    total = sum(len(each.entries) for each in work)
    if processes <= 1 or len(work) <= 1:
        results: Iterator[Measured] = map(measure_board, work)
        yield from _counted(results, work, total, progress)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from _counted(pool.map(measure_board, work), work, total, progress)


def _counted(results: Iterator[Measured], work: Sequence[Work], total: int, progress: Progress) -> Iterator[Measured]:
    done = 0
    for each, result in zip(work, results, strict=True):
        yield result
        done += len(each.entries)
        progress.update(done, total, "measuring")


def measure_board(work: Work) -> Measured:
    """Everything about one board; a record with unusable scores is set aside."""
    result = Measured()
    members = work.test.member
    if members.sum() < 2 or (~members).sum() < 2:
        reason = f"split {work.board.split} has no two members and two non-members of {work.board.corpus}"
        result.rejected = [each.rejected(reason) for _, group in work.entries for each in group]
        return result
    matrices: list[measure.Floats] = []
    keys: list[EntryKey] = []
    for key, group in work.entries:
        usable = _usable(group, work.people, result.rejected)
        if usable:
            keys.append(key)
            matrices.append(np.stack([scored.test for _, scored in usable]))
            _add_entry(result, work, key, usable, matrices[-1])
    if keys:
        _add_joint(result, work, keys, matrices)
    return result


def _usable(group: Sequence[Candidate], people: People, rejected: list[Rejected]) -> list[tuple[Candidate, Scored]]:
    usable = []
    for candidate in group:
        scored = read_scored(candidate, people)
        if isinstance(scored, Rejected):
            rejected.append(scored)
        else:
            usable.append((candidate, scored))
    return usable


def _add_entry(
    result: Measured, work: Work, key: EntryKey, usable: Sequence[tuple[Candidate, Scored]], rows: measure.Floats
) -> None:
    members, entry = work.test.member, key.id
    result.entries.append(_entry_row(work, key, usable, rows))
    for rate in measure.rates(rows, members):
        found = rate.found
        value, low, high = (found.value, found.low, found.high) if found else (None, None, None)
        result.rates.append(RateRow(entry, rate.fpr, value, low, high, rate.resolution, rate.reason))
    for each in measure.bins(rows, members, work.test.occurrences):
        ends = (each.auc.value, each.auc.low, each.auc.high)
        result.bins.append(BinRow(entry, each.occurrences, each.n_members, *ends))
    curve = measure.curve(rows, members)
    result.curves.append(CurveRow(entry, *(_rounded(x) for x in (curve.fpr, curve.tpr, curve.low, curve.high))))
    bars = measure.histogram(rows, members)
    result.histograms.append(HistogramRow(entry, *(_rounded(x) for x in (bars.edges, bars.members, bars.nonmembers))))
    for (candidate, _), row in zip(usable, rows, strict=True):
        result.runs.append(_run_row(entry, candidate, auc(row, members)))
        if work.public:
            ranks = np.unique(row, return_inverse=True)[1]
            result.ranks.append(RankRow(work.board.id, entry, candidate.run.record.seed, ranks.tolist()))


def _add_joint(result: Measured, work: Work, keys: Sequence[EntryKey], matrices: Sequence[measure.Floats]) -> None:
    found = measure.joint_auc(matrices, work.test.member)
    for place, key in enumerate(keys):
        parts = (found.of_members[place].tolist(), found.of_nonmembers[place].tolist())
        result.joint.append(JointRow(work.board.id, key.id, place, *parts))


def _entry_row(work: Work, key: EntryKey, usable: Sequence[tuple[Candidate, Scored]], rows: measure.Floats) -> EntryRow:
    records = [candidate.run.record for candidate, _ in usable]
    first, newest = records[0], max(records, key=lambda record: record.created)
    members = work.test.member
    area = measure.auc_value(rows, members)
    decision = _decision(work, usable)
    return EntryRow(
        entry=key.id,
        split=work.board.split,
        split_version=work.board.split_version,
        split_digest=work.board.split_digest,
        target=work.board.target,
        target_version=work.board.target_version,
        target_sha256=work.board.target_sha256,
        architecture=first.target.architecture,
        corpus=work.board.corpus,
        control=bool(first.target.control_for),
        method=key.method,
        method_version=key.method_version,
        method_title=newest.attack.title,
        code_sha256=key.code_sha256,
        distribution=newest.attack.distribution,
        track=first.attack.track,
        access=", ".join(first.attack.access),
        knowledge=", ".join(first.attack.knowledge),
        defense=key.defense,
        parameters=key.parameters,
        variant="",
        usual=True,
        label=key.method,
        verification=min((record.verification for record in records), key=_TRUST_ORDER.index),
        verified=key.verified,
        seeds=", ".join(str(record.seed) for record in records),
        n_seeds=len(records),
        n_members=int(members.sum()),
        n_nonmembers=int((~members).sum()),
        n_abstained=float(np.mean([scored.abstained.sum() for _, scored in usable])),
        photos_per_case=_mean(record.photos_per_case for record in records),
        auc=area.value,
        auc_low=area.low,
        auc_high=area.high,
        p_chance=measure.chance_p(rows, members),
        decision_threshold=decision[0],
        decision_tpr=decision[1],
        decision_fpr=decision[2],
        decision_accuracy=decision[3],
        texts=_mean(record.queries.texts for record in records),
        images=_mean(record.queries.images for record in records),
        pairs=_mean(record.queries.pairs for record in records),
        gradients=_mean(record.queries.gradients for record in records),
        training_steps=_mean(record.queries.training_steps for record in records),
        queries=_mean(record.queries.total for record in records),
        seconds=_mean(record.timings.fit + record.timings.score for record in records),
        seconds_total=_mean(record.timings.total for record in records),
        peak_memory_mb=max(record.peak_memory_mb for record in records),
        device=_most_common(record.environment.device for record in records),
        code_commit=newest.environment.commit or "",
        created=newest.created.isoformat(),
        command="",
    )


_PRESET: Final = "preset "
_TRUST_ORDER: Final = ("self-reported", "verified", "reproduced")


def _decision(work: Work, usable: Sequence[tuple[Candidate, Scored]]) -> tuple[float | None, ...]:
    """Threshold, TPR, FPR and accuracy, mean over seeds; None unless the whole calibration part was scored."""
    known, members = work.calibration.member, work.test.member
    found = []
    for _, scored in usable:
        if scored.calibration is None or known.all() or not known.any():
            return (None, None, None, None)
        threshold = best_balanced_accuracy(scored.calibration, known).threshold
        made = decision_metrics(scored.test, members, threshold)
        found.append((threshold, made.tpr.value, made.fpr.value, made.accuracy.value))
    return tuple(float(value) if np.isfinite(value) else None for value in np.mean(found, axis=0))


def _run_row(entry: str, candidate: Candidate, value: float) -> RunRow:
    record = candidate.run.record
    return RunRow(
        entry=entry,
        run_id=record.run_id,
        seed=record.seed,
        where=candidate.where,
        created=record.created.isoformat(),
        verification=record.verification,
        auc=value,
        idbench=record.environment.packages.get("idbench", ""),
        commit=record.environment.commit or "",
        device=record.environment.device,
        scores_sha256=record.scores_sha256,
    )


def _tables(measured: Sequence[Measured], labels: Sequence[SplitLabels], about: About) -> dict[str, pd.DataFrame]:
    tables = {
        name: _frame([row for part in measured for row in getattr(part, name)], kind)
        for name, kind in _KINDS.items()
        if name != "people"
    }
    people = [row for each in sorted(labels, key=lambda s: (s.name, s.version)) for row in _people_rows(each)]
    tables["people"] = _frame(people, PersonRow)
    tables["entries"] = _labelled(tables["entries"], about.methods)
    return tables


def _people_rows(labels: SplitLabels) -> Iterator[PersonRow]:
    if not labels.public:
        return
    place = {identity: index for index, identity in enumerate(labels.identities)}
    people = people_of(labels).test
    for corpus, known in sorted(labels.corpora.items()):
        for index, identity in enumerate(people):
            at = place[identity]
            yield PersonRow(
                labels.name, labels.version, corpus, index, identity, bool(known.member[at]), int(known.occurrences[at])
            )


def _frame(rows: Sequence[Any], kind: type[Any]) -> pd.DataFrame:
    names = [each.name for each in fields(kind)]
    return pd.DataFrame({name: [getattr(row, name) for row in rows] for name in names}, columns=names)


def _labelled(entries: pd.DataFrame, methods: Sequence[MethodInfo]) -> pd.DataFrame:
    """Names of the rows: the method, what differs from its usual parameters, and what else tells it from others."""
    if entries.empty:
        return entries
    told = {method.name: method for method in methods}
    parts = []
    for (method, _), group in entries.groupby(["method", "method_version"], sort=True):
        settings = [json.loads(text) for text in group["parameters"]]
        known = told.get(str(method), MethodInfo(str(method), "", ""))
        base = {each.name: json.loads(each.default) for each in known.parameters} or _commonest(settings)
        named = {preset.name: {**base, **json.loads(preset.values)} for preset in known.presets}
        variants = [_variant(setting, base, named) for setting in settings]
        parts.append(group.assign(variant=variants, usual=[not variant for variant in variants]))
    entries = pd.concat(parts).sort_index()
    entries["label"] = _labels_of(entries)
    entries["command"] = [_command(row) for row in entries.itertuples(index=False)]
    return entries


def _commonest(settings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = sorted({name for setting in settings for name in setting})
    base = {}
    for name in names:
        counts = Counter(json.dumps(setting.get(name), sort_keys=True) for setting in settings)
        base[name] = json.loads(max(sorted(counts), key=lambda value: counts[value]))
    return base


def _variant(parameters: Mapping[str, Any], base: Mapping[str, Any], presets: Mapping[str, Mapping[str, Any]]) -> str:
    changed = [name for name in sorted(parameters) if name not in base or base[name] != parameters[name]]
    for name, values in sorted(presets.items()):
        if changed and dict(parameters) == dict(values):
            return f"{_PRESET}{name}"
    return ", ".join(f"{name}={_short_value(parameters[name])}" for name in changed)


def _short_value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 24 else text[:23] + "…"


def _labels_of(entries: pd.DataFrame) -> list[str]:
    board = entries[["split", "split_version", "target", "target_sha256", "corpus"]].astype(str).agg("|".join, axis=1)
    labels = [
        f"{method} ({variant})" if variant else method
        for method, variant in zip(entries["method"], entries["variant"], strict=True)
    ]
    found = entries.assign(board=board, label=labels)
    found["label"] += [f" + {defense}" if defense else "" for defense in found["defense"]]
    for column, name in _TELLING.items():
        group = found.groupby(["board", "label"], sort=False)
        differs = group[column].transform("nunique") > 1
        found.loc[differs, "label"] = [
            label + name(value)
            for label, value in zip(found.loc[differs, "label"], found.loc[differs, column], strict=True)
        ]
    doubled = found.duplicated(["board", "label"], keep=False)
    found.loc[doubled, "label"] = found.loc[doubled, "label"] + " " + found.loc[doubled, "entry"].str[:6]
    return [str(label) for label in found["label"]]


_TELLING: Final[Mapping[str, Callable[[Any], str]]] = {
    "method_version": lambda value: f" v{value}",
    "verified": lambda value: "" if value else " (self-reported)",
    "code_sha256": lambda value: f" code {value[:6]}",
}
"""What tells rows of one name apart, in this order, where it differs."""


def _command(row: Any) -> str:
    """The command that repeats the row."""
    seeds = sorted({int(seed) for seed in row.seeds.split(", ")})
    parts = ["bench", "run", "--method", row.method, "--split", row.split, "--target", row.target]
    parts += ["--corpus", row.corpus] if row.control else []
    parts += ["--defense", row.defense] if row.defense else []
    parts += ["--seed", str(seeds[0])] if seeds[0] else []
    parts += ["--seeds", str(seeds[-1] - seeds[0] + 1)] if len(seeds) > 1 else []
    if row.variant.startswith(_PRESET):
        return shlex.join([*parts, "--preset", row.variant.removeprefix(_PRESET)])
    parameters = json.loads(row.parameters)
    names = [part.split("=")[0] for part in row.variant.split(", ")] if row.variant else []
    for name in (name for name in names if name in parameters):
        value = parameters[name]
        parts += ["--param", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join(parts)


def _write(folder: Path, tables: Mapping[str, pd.DataFrame], about: About) -> None:
    for name, frame in tables.items():
        _write_table(folder / f"{name}.parquet", name, frame)
    told = asdict(about)
    samples = [
        {"split": card["name"], "split_version": card["version"], **sample}
        for card in told["splits"]
        for sample in card.pop("samples")
    ]
    columns = ["split", "split_version", "data", "caption"]
    _write_table(folder / SAMPLES, "samples", pd.DataFrame(samples, columns=columns))
    (folder / ABOUT).write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_table(path: Path, name: str, frame: pd.DataFrame) -> None:
    schema = _schema(name)
    arrays = [pa.array(frame[column.name].tolist(), column.type, from_pandas=True) for column in schema]
    table = pa.Table.from_arrays(arrays, schema=schema)
    # Rows of one board lie together, so that a page reads the row groups that it needs.
    pq.write_table(table, path, compression="zstd", row_group_size=256 if name == "ranks" else 100_000)


_TYPES: Final = {
    "str": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "float | None": pa.float64(),
    "list[float]": pa.list_(pa.float64()),
    "list[int]": pa.list_(pa.int32()),
}


def _schema(name: str) -> pa.Schema:
    if name == "samples":
        return pa.schema(
            [("split", pa.string()), ("split_version", pa.int64()), ("data", pa.binary()), ("caption", pa.string())]
        )
    return pa.schema([(each.name, _TYPES[str(each.type)]) for each in fields(_KINDS[name])])


def _manifest(
    folder: Path,
    candidates: Sequence[Candidate],
    labels: Sequence[SplitLabels],
    rejected: Sequence[Rejected],
    commit: str | None,
    tables: Mapping[str, pd.DataFrame],
) -> dict[str, Any]:
    return {
        "board_version": BOARD_VERSION,
        "idbench": idbench.__version__,
        "commit": commit,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in ("numpy", "scipy", "pandas", "pyarrow")},
        "inputs_sha256": _inputs_hash([each.run.record for each in candidates], labels),
        "records": {"given": len(candidates) + _unread(rejected), "counted": int(tables["runs"]["run_id"].nunique())},
        "splits": [
            {
                "name": s.name,
                "version": s.version,
                "digest": s.digest,
                "retracted": len(s.retracted),
                "public": s.public,
            }
            for s in sorted(labels, key=lambda s: (s.name, s.version))
        ],
        "rejected": [asdict(each) for each in rejected],
        "files": {path.name: sha256_file(path) for path in sorted(folder.iterdir())},
    }


def _unread(rejected: Sequence[Rejected]) -> int:
    return sum(not each.run_id for each in rejected)


def _inputs_hash(records: Sequence[RunRecord], labels: Sequence[SplitLabels]) -> str:
    digest = hashlib.sha256()
    for line in sorted(hashlib.sha256(record.model_dump_json().encode()).hexdigest() for record in records):
        digest.update(line.encode())
    for split in sorted(labels, key=lambda s: (s.name, s.version)):
        digest.update(f"{split.name} {split.version} {split.digest} {sorted(split.retracted)}".encode())
        for corpus, known in sorted(split.corpora.items()):
            digest.update(corpus.encode() + known.member.tobytes() + known.occurrences.tobytes())
    return digest.hexdigest()


def _distinct(parts: Iterable[Sequence[Rejected]]) -> list[Rejected]:
    """Rejections once each: a control's record is looked at on several boards."""
    return list(dict.fromkeys(each for part in parts for each in part))


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _most_common(values: Iterable[str]) -> str:
    counts = Counter(values)
    return max(sorted(counts), key=lambda value: counts[value])


def _rounded(values: NDArray[np.float64]) -> list[float]:
    """Six significant digits: a chart shows three."""
    return [float(f"{value:.6g}") for value in values]
