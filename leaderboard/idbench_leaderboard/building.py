"""Builds a board: a pure function from records, labels and the board replaced to a few parquet files and a manifest."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from idbench.api import Progress
from idbench.errors import DataError
from idbench.outputs import made_folder
from idbench.results import Collected, MethodRef, Rejected
from idbench.results.admission import Admission, SplitKey, admit
from idbench.results.attestation import Ignored, Statements
from idbench.results.labels import CorpusLabels, CountedPeople, KnownTarget, SplitLabels, people_of
from idbench.results.repetition import Agreement, Candidate
from idbench.results.rows import BoardKey, EntryKey, board_keys, entry_key
from idbench.results.store import no_search_for_cycles
from idbench.storage import sha256_file
from idbench.version import __version__
from idbench_leaderboard.board import Board, with_target_labels
from idbench_leaderboard.changes import FILE as CHANGES
from idbench_leaderboard.changes import Changes, changes_of
from idbench_leaderboard.citation import authors_and_year
from idbench_leaderboard.defenses import FILE as DEFENSES
from idbench_leaderboard.defenses import defense_tables
from idbench_leaderboard.inputs import About, CardChoice, CardParameter, MethodInfo, Preset
from idbench_leaderboard.labelling import labelled
from idbench_leaderboard.manifest import ABOUT, BOARD_VERSION, MANIFEST, RANKS, SAMPLES
from idbench_leaderboard.pools import plan
from idbench_leaderboard.rating import MeasuredRows, PooledRows, Work, measure_board
from idbench_leaderboard.rows import PersonRow
from idbench_leaderboard.table_files import KINDS, RankFile, frame_of, write_table


@dataclass(frozen=True, slots=True)
class Built:
    """What a build made of the records: how many count, and what was set aside."""

    path: Path
    runs: int
    entries: int
    boards: int
    rejected: tuple[Rejected, ...]
    ignored: tuple[Ignored, ...]


def build(
    found: Collected,
    labels: Sequence[SplitLabels],
    out: Path,
    progress: Progress,
    *,
    targets: Sequence[KnownTarget] = (),
    statements: Statements | None = None,
    about: About | None = None,
    commit: str | None = None,
    threads: int | None = None,
    force: bool = False,
) -> Built:
    """Build a board folder; the same input gives the same bytes, over no board or over its own.

    Args:
        found: records to consider, from `collect`.
        labels: one per split and version; a record of any other version is rejected.
        out: the folder, replaced atomically when everything is done.
        progress: receives progress reports.
        targets: registered targets; a record that contradicts one is rejected.
        statements: attestations and invalidations, from folders where no submitter writes.
        about: cards of splits and targets; the cards of methods come from the records.
        commit: of the checkout that builds; None when installed.
        threads: that measure boards at the same time; None: as many as processors. The result is the same.
        force: replace whatever lies in `out`, and write a board even if no record counts.

    Raises:
        StorageError: the folder cannot be written, or holds what is not a board; an older board is left as it was.
        DataError: no record counts, and there is an older board to lose.
    """
    by_split = {(each.name, each.version): each for each in labels}
    # Boards are measured side by side; products of small matrices would only wait for threads of their own.
    one_each = threadpool_limits(limits=1, user_api="blas")
    with no_search_for_cycles(), one_each, made_folder(out, "board", force=force) as folder:
        candidates = [Candidate(run, name) for run, name in zip(found.runs, found.names, strict=True)]
        admitted = admit(candidates, by_split, targets, statements)
        with RankFile(folder / RANKS) as ranks:
            measured = _measure_all(_work(admitted.kept, by_split), progress, threads or os.cpu_count() or 1, ranks)
        defended, unusable = defense_tables(admitted.kept, by_split)
        misread = _distinct([*(part.rejected for part in measured), unusable])
        rejected = [*found.rejected, *admitted.rejected, *misread]
        cards = replace(about or About(), methods=cards_of(admitted.kept))
        tables = _tables(measured, labels, cards)
        changes = _changes(out, tables, _inputs_hash(found, admitted, labels))
        if not len(tables["entries"]) and (out / MANIFEST).exists() and not force:
            raise DataError(
                f"No record counts, so the board in {out} is left as it is.",
                hint="Look at what was rejected with another --out, or write an empty board with --force.",
            )
        _write(folder, tables, cards)
        if defended.tables:
            (folder / DEFENSES).write_text(defended.model_dump_json(indent=1) + "\n", encoding="utf-8")
        if changes is not None:
            (folder / CHANGES).write_text(changes.model_dump_json(indent=1) + "\n", encoding="utf-8")
        manifest = _manifest(folder, found, labels, admitted, rejected, commit, tables)
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    counted = int(tables["runs"]["run_id"].nunique())
    boards = int(tables["joint"]["board"].nunique())
    return Built(out, counted, len(tables["entries"]), boards, tuple(rejected), admitted.ignored)


def _changes(out: Path, tables: Mapping[str, pd.DataFrame], inputs: str) -> Changes | None:
    """What changed since the board in `out`; a board built from the same that looks the same hands on what it said."""
    try:
        old = Board(out)
        found = changes_of(old.manifest, old.entries, with_target_labels(tables["entries"]))
        return old.changes() if not found.rows and found.before.inputs_sha256 == inputs else found
    except (DataError, OSError, KeyError, TypeError, ValueError):
        return None  # nothing there, or a board of another version, or damaged: there is nothing to compare with


def _work(candidates: Iterable[Candidate], labels: Mapping[SplitKey, SplitLabels]) -> list[Work]:
    boards: dict[BoardKey, dict[EntryKey, list[Candidate]]] = defaultdict(lambda: defaultdict(list))
    for candidate in candidates:
        record = candidate.record
        if record.adaptation is not None:
            continue  # an attack that was made for a defense counts against this alone: see `defense_tables`
        split = labels[record.split.name, record.split.version]
        for board in board_keys(record, split):
            boards[board][entry_key(board, record, candidate.level)].append(candidate)
    people = {key: people_of(each) for key, each in labels.items()}
    return [
        _work_of(
            board, boards[board], labels[board.split, board.split_version], people[board.split, board.split_version]
        )
        for board in sorted(boards)
    ]


def _work_of(
    board: BoardKey, entries: Mapping[EntryKey, Sequence[Candidate]], labels: SplitLabels, people: CountedPeople
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
            (key, tuple(sorted(entries[key], key=lambda c: (c.record.seed, c.record.run_id))))
            for key in sorted(entries)
        ),
    )


def _take(labels: CorpusLabels, places: Sequence[int]) -> CorpusLabels:
    index = np.asarray(places, dtype=np.int64)
    return CorpusLabels(np.asarray(labels.member, dtype=np.bool_)[index], np.asarray(labels.occurrences)[index])


def _measure_all(work: Sequence[Work], progress: Progress, threads: int, ranks: RankFile) -> list[MeasuredRows]:
    """Every board, those of single targets first; ranks, and what is only needed for pooling, are let go at once."""
    planned = plan(work)
    pools = {pool.board: pool for pool in planned.pools}
    total, done = sum(len(each.entries) for each in work), 0
    measured = []
    with ThreadPoolExecutor(threads) as pool:
        for each, result in zip(planned.work, pool.map(measure_board, planned.work), strict=True):
            _contribute(result, pools)
            ranks.add(result.ranks)
            result.ranks.clear()
            measured.append(result)
            done += len(each.entries)
            progress.update(done, total, "measuring")
    return measured + [each.measured() for each in planned.pools]


def _contribute(result: MeasuredRows, pools: Mapping[BoardKey, PooledRows]) -> None:
    for part in result.parts:
        pools[part.key.board].add(part)
    result.parts.clear()


def _tables(measured: Sequence[MeasuredRows], labels: Sequence[SplitLabels], about: About) -> dict[str, pd.DataFrame]:
    tables = {
        name: frame_of([row for part in measured for row in getattr(part, name)], kind)
        for name, kind in KINDS.items()
        if name != "people"
    }
    tables["people"] = _people(sorted(labels, key=lambda s: (s.name, s.version)))
    tables["entries"] = labelled(tables["entries"], tables["pools"], about.methods)
    return tables


def _people(labels: Sequence[SplitLabels]) -> pd.DataFrame:
    """`PersonRow` of everybody under test in the splits whose labels anybody may see."""
    parts = [part for each in labels if each.public for part in _people_of_each_corpus(each)]
    return pd.concat(parts, ignore_index=True) if parts else frame_of([], PersonRow)


def _people_of_each_corpus(labels: SplitLabels) -> Iterator[pd.DataFrame]:
    place = {identity: index for index, identity in enumerate(labels.identities)}
    people = people_of(labels).test
    places = [place[identity] for identity in people]
    for corpus, known in sorted(labels.corpora.items()):
        taken = _take(known, places)
        yield pd.DataFrame(
            {
                "split": labels.name,
                "split_version": labels.version,
                "corpus": corpus,
                "place": range(len(people)),
                "identity": people,
                "member": taken.member,
                "occurrences": taken.occurrences,
            }
        )


def _write(folder: Path, tables: Mapping[str, pd.DataFrame], about: About) -> None:
    for name, frame in tables.items():
        write_table(folder / f"{name}.parquet", name, frame)
    content = asdict(about)
    samples = [
        {"split": card["name"], "split_version": card["version"], **sample}
        for card in content["splits"]
        for sample in card.pop("samples")
    ]
    columns = ["split", "split_version", "data", "caption"]
    write_table(folder / SAMPLES, "samples", pd.DataFrame(samples, columns=columns))
    (folder / ABOUT).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _manifest(
    folder: Path,
    found: Collected,
    labels: Sequence[SplitLabels],
    admitted: Admission,
    rejected: Sequence[Rejected],
    commit: str | None,
    tables: Mapping[str, pd.DataFrame],
) -> dict[str, Any]:
    given = len(found.runs) + len(found.rejected)
    return {
        "board_version": BOARD_VERSION,
        "idbench": __version__,
        "commit": commit,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in ("numpy", "scipy", "pandas", "pyarrow")},
        "inputs_sha256": _inputs_hash(found, admitted, labels),
        "records": {"given": given, "counted": int(tables["runs"]["run_id"].nunique())},
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
        "repetitions": [
            {"where": again.where, "of": each.where, "device": again.device, **_moved(again.agreement)}
            for each in admitted.kept
            for again in each.repetitions
        ],
        "ignored_attestations": [asdict(each) for each in admitted.ignored],
        "files": {path.name: sha256_file(path) for path in sorted(folder.iterdir())},
    }


def _moved(agreement: Agreement) -> dict[str, float]:
    """How far a repetition is from what it repeats, as `rows.RunRow` names it."""
    return {
        "repeat_difference": agreement.difference,
        "repeat_move": agreement.move,
        "repeat_correlation": agreement.correlation,
    }


def _inputs_hash(found: Collected, admitted: Admission, labels: Sequence[SplitLabels]) -> str:
    """Over the records, how far each may be trusted, and the labels."""
    digest = hashlib.sha256()
    for line in sorted(run.sha256 for run in found.runs):
        digest.update(line.encode())
    for line in sorted(f"{each.run.sha256} {each.level.value}" for each in admitted.kept):
        digest.update(line.encode())
    for split in sorted(labels, key=lambda s: (s.name, s.version)):
        digest.update(f"{split.name} {split.version} {split.digest} {sorted(split.retracted)}".encode())
        for corpus, known in sorted(split.corpora.items()):
            digest.update(corpus.encode() + known.member.tobytes() + known.occurrences.tobytes())
    return digest.hexdigest()


def _distinct(parts: Iterable[Sequence[Rejected]]) -> list[Rejected]:
    """Rejections once each: a control's record is looked at on several boards."""
    return list(dict.fromkeys(each for part in parts for each in part))


def cards_of(candidates: Iterable[Candidate]) -> tuple[MethodInfo, ...]:
    """The cards of the methods that ran, one for each name, version and code.

    Records with the same code may differ in an edited card: the most trusted record's is shown, the first
    of several.
    """
    found: dict[tuple[str, str, str], tuple[int, MethodInfo]] = {}
    for candidate in candidates:
        attack, level = candidate.record.attack, candidate.level.rank
        info = _info(attack)
        key = attack.name, attack.version, attack.code_sha256
        if info is not None and (key not in found or level > found[key][0]):
            found[key] = level, info
    return tuple(info for _, (_, info) in sorted(found.items()))


def _info(attack: MethodRef) -> MethodInfo | None:
    card = attack.card
    if card is None:
        return None
    authors, year = authors_and_year(card.paper)
    return MethodInfo(
        name=card.name,
        version=card.version,
        code_sha256=attack.code_sha256,
        title=card.title,
        summary=card.summary,
        paper=card.paper,
        authors=card.authors or authors,
        year=card.year or year,
        url=card.url,
        choices=tuple(CardChoice(each.what, each.chosen, each.why) for each in card.choices),
        parameters=tuple(
            CardParameter(each.name, each.type, json.dumps(each.default), each.description) for each in card.parameters
        ),
        presets=tuple(Preset(name, json.dumps(values)) for name, values in sorted(card.presets.items())),
    )
