"""Defenses on the board: the worst case of each, made when a board is built, and what tables and charts show of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from idbench.escaping import Prose, line
from idbench.results.admission import SplitKey
from idbench.results.aligning import Reader
from idbench.results.labels import SplitLabels, people_of
from idbench.results.record import DefenseRef, Estimate, RunRecord, UtilityMeasure
from idbench.results.repetition import Candidate
from idbench.results.rows import corpora_of
from idbench.results.store import Rejected
from idbench.results.worst_case import (
    GUESSED_TENTH,
    UNDEFENDED,
    Attacked,
    Attempt,
    WorstCase,
    attacked,
    recognized,
    worst_cases,
)

FILE: Final = "defenses.json"
OPENING: Final = (
    "A defense is only as good as the strongest attack on it, measured among the people it protects. Attacks are run "
    "unchanged, and adapted by an attacker who knows the defense."
)
READING: Final = (
    "Turned around: behind this defense members stand out by low scores, with an interval below 0.5, so that an "
    "attacker reads them the other way. Highest tenth: how the tenth of protected members with the highest scores "
    f"ranks among protected non-members; guessing gives {GUESSED_TENTH}. Over drop-people: the AUC minus that of the "
    "same attack on a target trained without the protected people. Marks: how well scores reveal who was protected, "
    "in either direction; 0.5 is guessing. Among non-members: the same where there was no membership to hide, so that"
    " only the defense itself can show. Recognition: share of questions about walls, clothes, light and the like that"
    " the target answers correctly, before and after the defense. Seeds: how many draws of the protected the strongest "
    "attack was run on; its numbers are means over them."
)


class DefenseTable(BaseModel):
    """The defenses of one target, judged with the labels of one corpus."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: str
    split_version: int
    target: str
    corpus: str
    worst: tuple[WorstCase, ...]
    attacked: tuple[Attacked, ...]


class DefenseTables(BaseModel):
    """Content of `defenses.json` in a board's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tables: tuple[DefenseTable, ...]


@dataclass(frozen=True, slots=True)
class _Usable:
    """A record and its scores of the test part, (n,)."""

    record: RunRecord
    scores: NDArray[np.float64]


def defense_tables(
    candidates: Sequence[Candidate], labels: Mapping[SplitKey, SplitLabels]
) -> tuple[DefenseTables, tuple[Rejected, ...]]:
    """The worst cases of all defenses in records that count; targets without a defended run are left out.

    Returns:
        the tables, and the records whose scores cannot be used, each with its reason.
    """
    groups: dict[tuple[str, int, str, str, str], list[Candidate]] = defaultdict(list)
    for each in candidates:
        record = each.record
        for corpus in corpora_of(record)[:1]:
            key = (record.split.name, record.split.version, record.target.name, record.target.sha256, corpus)
            groups[key].append(each)
    readers = {key: Reader(people_of(each)) for key, each in labels.items()}
    tables, rejected = [], list[Rejected]()
    for (split, version, target, _, corpus), own in sorted(groups.items()):
        # Only a table reads scores a second time, and adapted attacks are on no other part of a board.
        if not any(each.record.defense or each.record.adaptation for each in own):
            continue
        usable = _usable(own, readers[split, version], rejected)
        if any(each.record.defense for each in usable) and corpus in labels[split, version].corpora:
            tables.append(_table(usable, labels[split, version], target, corpus))
    return DefenseTables(tables=tuple(table for table in tables if table.worst)), tuple(rejected)


def _usable(own: Sequence[Candidate], reader: Reader, rejected: list[Rejected]) -> list[_Usable]:
    """The records whose scores can be used; what is wrong with the others is added to `rejected`."""
    usable = []
    for each in own:
        found = reader.read(each.run, each.where)
        if isinstance(found, Rejected):
            rejected.append(found)
        else:
            usable.append(_Usable(each.record, found.test))
    return usable


def _table(own: Sequence[_Usable], labels: SplitLabels, target: str, corpus: str) -> DefenseTable:
    names = people_of(labels).test
    place = {identity: index for index, identity in enumerate(labels.identities)}
    known = np.asarray(labels.corpora[corpus].member, dtype=np.bool_)
    members = known[[place[name] for name in names]]
    ambiguous = _ambiguous(own)
    protected = _by_most(own, ambiguous)
    attempts, refs = [], dict[str, DefenseRef]()
    for each in sorted(own, key=lambda one: (one.record.attack_label, one.record.seed, one.record.run_id)):
        record = each.record
        if record.defense is None and record.seed not in protected:
            continue  # whom a defense would have protected is not known, or the defenses disagree
        name = _name(record.defense, ambiguous)
        if record.defense is not None:
            refs.setdefault(name, record.defense)
        ids = frozenset(record.defense.protected if record.defense else protected[record.seed])
        inside = np.array([one in ids for one in names], dtype=np.bool_)
        if _has_both(members, inside) and _has_both(members, ~inside):
            attempts.append(Attempt(name, record.attack_label, record.seed, each.scores, members, inside))
    rows = attacked(attempts)
    worst = tuple(_with_costs(row, refs.get(row.defense)) for row in worst_cases(attempts, rows))
    return DefenseTable(
        split=labels.name,
        split_version=labels.version,
        target=target,
        corpus=corpus,
        worst=worst,
        attacked=tuple(rows),
    )


def _by_most(own: Sequence[_Usable], ambiguous: Collection[str]) -> dict[int, tuple[str, ...]]:
    """Whom most defenses protect with a seed, by the seed: no single record decides it for the target as it is.

    Records of one defense agree here (`idbench.results.admission`). Seeds about which defenses are evenly divided are
    left out.
    """
    found: dict[int, dict[str, tuple[str, ...]]] = defaultdict(dict)
    for each in own:
        if each.record.defense is not None:
            found[each.record.seed][_name(each.record.defense, ambiguous)] = tuple(
                sorted(each.record.defense.protected)
            )
    counted = {seed: Counter(lists.values()).most_common(2) for seed, lists in found.items()}
    return {seed: top[0][0] for seed, top in counted.items() if len(top) == 1 or top[0][1] > top[1][1]}


def _ambiguous(own: Sequence[_Usable]) -> frozenset[str]:
    """Names of defenses of which the records have several settings or versions of the code."""
    first, found = dict[str, tuple[str, object]](), set[str]()
    for each in own:
        if (defense := each.record.defense) is not None:
            settings = (defense.code_sha256, defense.parameters)
            if first.setdefault(defense.name, settings) != settings:
                found.add(defense.name)
    return frozenset(found)


def _name(defense: DefenseRef | None, ambiguous: Collection[str]) -> str:
    """A defense's name; with a piece of its code's hash and parameters where records have several of that name."""
    if defense is None:
        return UNDEFENDED
    if defense.name not in ambiguous:
        return defense.name
    settings = ", ".join(f"{name} {value}" for name, value in sorted(defense.parameters.items()))
    return f"{defense.name} ({settings}, code {defense.code_sha256[:6]})"


def _has_both(members: NDArray[np.bool_], rows: NDArray[np.bool_]) -> bool:
    return bool(members[rows].sum() > 1 and (~members[rows]).sum() > 1)


def _with_costs(row: WorstCase, defense: DefenseRef | None) -> WorstCase:
    if defense is None:
        return row
    return replace(row, cost=defense.cost, guarantees=defense.guarantees, utility=defense.utility)


FIRST_COLUMNS: Final = (
    "Defense",
    "AUC of the protected",
    "Strongest attack",
    "Over drop-people",
    "Recognition",
    "Cost",
)
"""Those that fit on a screen; the others are a choice away."""
EMPTY_CELLS: Final = "Where a cell is empty, no record of that attack on that defense counts."


def not_in_chart(table: DefenseTable) -> Prose:
    """Which defenses the chart of privacy and utility does not show, and why; empty if it shows all."""
    missed = [row.defense for row in table.worst if recognized(row.utility) is None]
    if not missed:
        return ()
    return (f"Not in the chart: {', '.join(missed)}, because their records say nothing of recognition.",)


def shown(table: DefenseTable) -> pd.DataFrame:
    """The worst cases, best protected first, as a person reads them."""
    seeds = {(row.defense, row.attack): row.seeds for row in table.attacked}
    return pd.DataFrame(
        [
            {
                "Defense": row.defense,
                "AUC of the protected": _estimate(row.protected),
                "Strongest attack": row.how,
                "Over drop-people": "–" if row.beyond_reference is None else _signed(row.beyond_reference),
                "Recognition": _recognition(row.utility),
                "Cost": "–" if row.cost is None else f"{row.cost.seconds:.0f} s, {row.cost.steps} steps",
                "AUC of the others": _estimate(row.others),
                "Highest tenth": f"{row.tenth.value:.3f}",
                "Marks": f"{_estimate(row.marks)} by {row.marked_by}",
                "Among non-members": "–" if row.trace is None else _estimate(row.trace),
                "Attacks tried": row.attempts,
                "Seeds": len(set(seeds[row.defense, row.strongest])),
            }
            for row in sorted(table.worst, key=lambda row: row.protected.value)
        ]
    )


def _estimate(one: Estimate) -> str:
    return f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


def _signed(one: Estimate) -> str:
    return f"{one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"


def _recognition(utility: Sequence[UtilityMeasure]) -> str:
    found = recognized(utility)
    return "–" if found is None else f"{found[0]:.2f} → {found[1]:.2f}"


def heat_frame(table: DefenseTable) -> pd.DataFrame:
    """AUC among the protected, for `charts.heat`: `attack`, `defense`, `auc`, `low`, `high`."""
    order = [row.defense for row in sorted(table.worst, key=lambda row: -row.protected.value)]
    rows = sorted(table.attacked, key=lambda row: (row.attack, order.index(row.defense)))
    return pd.DataFrame(
        [
            {"attack": line(row.attack), "defense": line(row.defense), "auc": row.protected.value}
            | {"low": row.protected.low, "high": row.protected.high}
            for row in rows
        ]
    )


def privacy_frame(table: DefenseTable) -> pd.DataFrame:
    """Privacy and utility of each defense: `defense`, `recognition`, `auc`, `low`, `high`."""
    rows = [(row, found[1]) for row in table.worst if (found := recognized(row.utility)) is not None]
    return pd.DataFrame(
        [
            {"defense": line(row.defense), "recognition": kept, "auc": row.protected.value}
            | {"low": row.protected.low, "high": row.protected.high}
            for row, kept in rows
        ],
        columns=["defense", "recognition", "auc", "low", "high"],
    )
