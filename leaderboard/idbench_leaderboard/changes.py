"""What changed since the build before: the rows of a board next to those of the board that it replaced."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict

from idbench.escaping import Prose
from idbench_leaderboard import words

FILE: Final = "changes.json"
OPENING: Final = (
    "Every build compares itself with the board it replaces and lists the rows of all splits and targets that a "
    "reader sees differently."
)
FIRST: Final = (
    "This board did not replace an older one, so there is nothing to compare it with. The next build into the same "
    "folder fills this page."
)

Kind = Literal["new", "changed", "removed"]


class ShownRow(BaseModel):
    """What a reader sees of a row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    auc: str
    """With its interval, as printed on the board: digits that nobody sees do not count as a change."""
    seeds: int
    checked: str


class RowChange(BaseModel):
    """A row that is new, looks different, or is no longer there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    split: str
    split_version: int
    target: str
    corpus: str
    defense: str
    method: str
    before: ShownRow | None
    after: ShownRow | None


class BuildRef(BaseModel):
    """The board that was replaced."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    idbench: str
    commit: str | None
    inputs_sha256: str
    records: int


class Changes(BaseModel):
    """Content of `changes.json` in a board's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: BuildRef
    rows: tuple[RowChange, ...]


def changes_of(manifest: Mapping[str, Any], before: pd.DataFrame, after: pd.DataFrame) -> Changes:
    """Compare two boards row by row.

    Args:
        manifest: of the older board.
        before: its entries, with `target_label`.
        after: those of the newer one.
    """
    old, new = _rows(before), _rows(after)
    rows = []
    for place in sorted(old.keys() | new.keys()):
        one, other = old.get(place), new.get(place)
        if one != other:
            split, version, target, corpus, defense, method = place
            rows.append(
                RowChange(
                    kind="new" if one is None else "removed" if other is None else "changed",
                    split=split,
                    split_version=version,
                    target=target,
                    corpus=corpus,
                    defense=defense,
                    method=method,
                    before=one,
                    after=other,
                )
            )
    ref = BuildRef(
        idbench=manifest["idbench"],
        commit=manifest["commit"],
        inputs_sha256=manifest["inputs_sha256"],
        records=manifest["records"]["counted"],
    )
    return Changes(before=ref, rows=tuple(rows))


def _rows(entries: pd.DataFrame) -> dict[tuple[str, int, str, str, str, str], ShownRow]:
    names = ("split", "split_version", "target_label", "corpus", "defense", "label")
    shown = ("auc", "auc_low", "auc_high", "n_seeds", "verification")
    places, values = (zip(*(entries[name].tolist() for name in columns), strict=True) for columns in (names, shown))
    return {
        place: ShownRow(auc=words.span(auc, low, high), seeds=seeds, checked=checked)
        for place, (auc, low, high, seeds, checked) in zip(places, values, strict=True)
    }


def summary(changes: Changes, counted: int) -> Prose:
    """How much changed, in two sentences.

    Args:
        changes: since the older board.
        counted: records that count now.
    """
    kinds = [row.kind for row in changes.rows]
    new = kinds.count("new")
    numbers = (
        f"{new} new {'row' if new == 1 else 'rows'}, {kinds.count('changed')} changed, {kinds.count('removed')} removed"
    )
    commit = f", commit {changes.before.commit[:12]}" if changes.before.commit else ""
    return (
        f"Since the previous build (idbench {changes.before.idbench}{commit}): {numbers}. "
        f"{changes.before.records:,} records counted then, {counted:,} count now.",
    )


def table(changes: Changes) -> pd.DataFrame:
    """One line per row that is new, looks different, or is no longer there, without what all lines have in common."""
    frame = _table(changes)
    return _named(frame.drop(columns=list(_same(frame))))


def shared(changes: Changes) -> Prose:
    """What all lines of the table have in common; empty if nothing is."""
    common = [f"{name.lower()} {value}" for name, value in _same(_table(changes)).items()]
    lines = "All of these" if len(changes.rows) > 1 else "This row"
    return (f"{lines}: {', '.join(common)}.",) if common else ()


def _same(frame: pd.DataFrame) -> dict[str, str]:
    """The columns of little interest in which all lines say the same, with what they say."""
    minor = ("Split", "Corpus", "Seeds", "Checked")
    return {name: str(frame[name].iloc[0]) for name in minor if len(set(frame[name])) == 1}


def _table(changes: Changes) -> pd.DataFrame:
    """What changed comes first, where it changed after it: a telephone shows three columns at once.

    A method's name says which defense stands before the target.
    """
    columns = ["Method", "Change", "AUC now", "AUC before", "Target", "Corpus", "Seeds", "Split", "Checked"]
    return pd.DataFrame(
        [
            (
                row.method,
                row.kind,
                _one(row.after, "auc"),
                _one(row.before, "auc"),
                row.target,
                row.corpus,
                _step(row, "seeds"),
                f"{row.split} v{row.split_version}",
                _step(row, "checked"),
            )
            for row in changes.rows
        ],
        columns=columns,
    )


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """Targets with their corpus, if their name does not say it, and with their split, if they have several.

    One column instead of three; what all lines have in common has none and is not named.
    """
    where = [str(target) for target in frame["Target"]]
    if "Corpus" in frame:
        corpora = [str(corpus) for corpus in frame["Corpus"]]
        where = [one if _says(one, corpus) else f"{one}, {corpus}" for one, corpus in zip(where, corpora, strict=True)]
    if "Split" in frame:
        several = frame.groupby("Target")["Split"].transform("nunique") > 1
        where = [
            f"{one}, {split}" if more else one for one, split, more in zip(where, frame["Split"], several, strict=True)
        ]
    return frame.assign(Target=where).drop(columns=["Corpus", "Split"], errors="ignore")


def _says(target: str, corpus: str) -> bool:
    """Whether a corpus stands in a target's name as a word of its own."""
    return re.search(rf"(?<!\w){re.escape(corpus)}(?!\w)", target) is not None


def _one(shown: ShownRow | None, name: str) -> str:
    return "–" if shown is None else str(getattr(shown, name))


def _step(row: RowChange, name: str) -> str:
    """`1 → 3`, or one value where both are the same or only one is there."""
    values = list(dict.fromkeys(_one(shown, name) for shown in (row.before, row.after) if shown is not None))
    return " → ".join(values)
