"""A built board as pages read it: opened lazily, filtered by a selection, ranked for exactly the rows shown."""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from idbench.errors import DataError
from idbench.metrics import AucCovariance, AucDifference, holm, rank_intervals
from idbench.metrics.delong import difference_of
from idbench.results.attestation import Level
from idbench.storage import restored, sha256_file
from idbench.wording import counted
from idbench_leaderboard import measure
from idbench_leaderboard.changes import FILE as CHANGES
from idbench_leaderboard.changes import Changes
from idbench_leaderboard.defenses import FILE as DEFENSES
from idbench_leaderboard.defenses import DefenseTable, DefenseTables
from idbench_leaderboard.inputs import (
    AuditCheck,
    CardChoice,
    CardParameter,
    MethodInfo,
    Preset,
    SamplePhoto,
    SplitCard,
    TargetDescription,
)
from idbench_leaderboard.manifest import ABOUT, REBUILD, SAMPLES, read_manifest

ALL: Final = "all"
BLIND: Final = "blind"
NONE: Final = "none"

_LARGEST: Final = 1 << 32  # bytes of a board's file


@dataclass(frozen=True, slots=True)
class Selection:
    """What a reader looks at; the address bar holds the same words.

    Args:
        split: name.
        version: of the split; two versions are never shown together.
        target: label of the target.
        corpus: whose labels count.
        track: one track, or `all`; blind attacks are always shown.
        checked: the least level that a row must have been checked at (`Level`); self-reported leaves out nothing.
        settings: `usual` for one row per method, `all` for every setting of the parameters.
        defense: name of a defense, empty for none.
    """

    split: str
    version: int
    target: str
    corpus: str
    track: str = ALL
    checked: str = Level.SELF_REPORTED
    settings: str = "usual"
    defense: str = ""


@dataclass(frozen=True, slots=True)
class RowComparison:
    """Two rows compared on the same people."""

    a: str
    b: str
    found: AucDifference
    p_holm: float


class Board:
    """The folder that `build` wrote."""

    def __init__(self, path: Path) -> None:
        """Open a board; tables are read when first looked at.

        Raises:
            DataError: it is not a board, is of another version, or incomplete.
        """
        self.path = restored(path)
        self.manifest = read_manifest(self.path)
        self._checked: set[str] = set()
        self._ids: dict[str, frozenset[str]] = {}

    def check_retractions(self) -> None:
        """Reject a board that shows people who were taken out of a split since it was built.

        Their scores are in its numbers too, so that leaving out single rows would not do.

        Raises:
            DataError: there are such people.
        """
        from idbench.splits.retractions import retracted_here  # the rest of the board does without reading splits

        for split in {str(each["name"]) for each in self.manifest["splits"]}:
            gone = retracted_here(split)
            if shown := gone & self._shown(split) if gone else None:
                people = counted(len(shown), "person", "people")
                raise DataError(f"The board {self.path} holds {people} taken out of {split} since.", hint=REBUILD)

    def _shown(self, split: str) -> frozenset[str]:
        """Ids of a split in the board's tables."""
        if split not in self._ids:
            self._ids[split] = frozenset(self._read("people", [("split", "==", split)])["identity"])
        return self._ids[split]

    def _table(self, name: str) -> pd.DataFrame:
        return self._read(name, None)

    def _read(self, name: str, filters: list[tuple[str, str, Any]] | None) -> pd.DataFrame:
        """A table, or the rows of it that filters leave; whole row groups without such rows are not read."""
        file = f"{name}.parquet"
        self._check(file)
        try:
            return pd.DataFrame(pq.read_table(self.path / file, filters=filters).to_pandas())
        except (OSError, ValueError) as error:
            raise self._damaged(file, error) from error

    def _check(self, file: str) -> None:
        """Reject a file that is not the one in the manifest; checked once, when it is first read."""
        if file in self._checked:
            return
        if not self._is_file(file) or sha256_file(self.path / file) != self.manifest["files"].get(file):
            raise DataError(
                f"{file} of the board {self.path} is not what the build wrote: its SHA-256 is not the manifest's.",
                hint=REBUILD,
            )
        self._checked.add(file)

    def _is_file(self, name: str) -> bool:
        """Whether it is a file that a build may have written; hashing a larger one would take for ever."""
        path = self.path / name
        return path.is_file() and path.stat().st_size <= _LARGEST

    def _damaged(self, file: str, error: Exception) -> DataError:
        return DataError(f"{file} of the board {self.path} cannot be read: {error}.", hint=REBUILD)

    @cached_property
    def entries(self) -> pd.DataFrame:
        """All rows of all boards (`rows.EntryRow`), with `target_label` that is unique within a split."""
        return with_target_labels(self._table("entries"))

    @cached_property
    def rates(self) -> pd.DataFrame:
        """TPR at low false-positive rates (`rows.RateRow`)."""
        return self._table("rates")

    @cached_property
    def bins(self) -> pd.DataFrame:
        """AUC by training pictures (`rows.BinRow`)."""
        return self._table("bins")

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The records behind the rows (`rows.RunRow`)."""
        return self._table("runs")

    @cached_property
    def _joint(self) -> pd.DataFrame:
        return self._table("joint")

    @cached_property
    def _pools(self) -> pd.DataFrame:
        return self._table("pools")

    @cached_property
    def about(self) -> dict[str, Any]:
        """What cards say, as JSON."""
        self._check(ABOUT)
        try:
            return cast(dict[str, Any], json.loads((self.path / ABOUT).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise self._damaged(ABOUT, error) from error

    @cached_property
    def _defenses(self) -> tuple[DefenseTable, ...]:
        if DEFENSES not in self.manifest["files"]:
            return ()
        self._check(DEFENSES)
        try:
            return DefenseTables.model_validate_json((self.path / DEFENSES).read_bytes()).tables
        except (OSError, ValueError) as error:
            raise self._damaged(DEFENSES, error) from error

    def changes(self) -> Changes | None:
        """What changed since the board that this one replaced; None if it replaced none."""
        if CHANGES not in self.manifest["files"]:
            return None
        self._check(CHANGES)
        try:
            return Changes.model_validate_json((self.path / CHANGES).read_bytes())
        except (OSError, ValueError) as error:
            raise self._damaged(CHANGES, error) from error

    def defense_tables(self) -> tuple[DefenseTable, ...]:
        """The worst cases of all defenses, target by target."""
        return self._defenses

    def defense_table(self, selection: Selection) -> DefenseTable | None:
        """The worst cases of the defenses of a selection's target; None where none was attacked."""
        names = set(
            self.select(replace(selection, settings=ALL, track=ALL, checked=Level.SELF_REPORTED, defense=""))["target"]
        )
        found = [
            table
            for table in self._defenses
            if (table.split, table.split_version, table.corpus)
            == (selection.split, selection.version, selection.corpus)
            and table.target in {selection.target, *names}
        ]
        return found[0] if found else None

    def splits(self) -> list[str]:
        """Names of the splits."""
        return sorted(self.entries["split"].unique())

    def versions(self, split: str) -> list[int]:
        """Versions of a split, newest first."""
        found = self.entries.loc[self.entries["split"] == split, "split_version"].unique()
        return sorted((int(v) for v in found), reverse=True)

    def targets(self, split: str, version: int) -> list[str]:
        """Labels of the targets: those pooled first, then single ones, controls last."""
        rows = self._of(split, version)
        order = rows.groupby("target_label")[["control", "pooled"]].max().astype("int64").reset_index()
        order = order.assign(single=order["pooled"] == 0).sort_values(["control", "single", "target_label"])
        return [str(label) for label in order["target_label"]]

    def singles(self, split: str, version: int) -> list[str]:
        """Labels of the targets that are one model each, controls last."""
        rows = self._of(split, version)
        pooled = set(rows.loc[rows["pooled"] > 0, "target_label"])
        return [label for label in self.targets(split, version) if label not in pooled]

    def members_of(self, selection: Selection) -> pd.DataFrame:
        """The targets behind a pooled selection, one row of `entries` each; empty for a selection of one target."""
        rows = self.entries[
            self.entries["entry"].isin(self._parts(self.select(replace(selection, settings=ALL))["entry"]))
        ]
        return rows.drop_duplicates("target_label").sort_values("target_label", ignore_index=True)

    def not_pooled(self, selection: Selection) -> list[str]:
        """Rows of the targets behind a pooled selection that are not in the pool, for not all its targets have them."""
        behind = self.members_of(selection)["target_label"]
        rows = self._of(selection.split, selection.version)
        single = rows[rows["target_label"].isin(behind) & (rows["corpus"] == selection.corpus) & _kept(rows, selection)]
        return sorted({*single["label"]} - {*self.select(selection)["label"]})

    def _parts(self, entries: Iterable[str]) -> pd.Series[Any]:
        return self._pools.loc[self._pools["entry"].isin(list(entries)), "part"]

    def asked(self, selection: Selection) -> str:
        """The options of `bench run` for the same people and the same models: `--split ... --target ...`."""
        rows = self._of(selection.split, selection.version)
        own = rows[rows["target_label"] == selection.target]
        behind = rows[rows["entry"].isin(self._parts(own["entry"]))]
        names = (own if behind.empty else behind)["target"].unique()
        options = ["--split", selection.split, "--target", ",".join(sorted(names))]
        return shlex.join([*options, *(["--corpus", selection.corpus] if own["control"].any() else [])])

    def architectures(self, selection: Selection) -> list[str]:
        """The architecture of each model behind a selection."""
        members = self.members_of(selection)
        return list((self.select(selection).head(1) if members.empty else members)["architecture"])

    def runs_of(self, entry: str) -> pd.DataFrame:
        """The records behind a row (`rows.RunRow`), of all its targets."""
        return self.runs[self.runs["entry"].isin([entry, *self._parts([entry])])].reset_index(drop=True)

    def corpora(self, split: str, version: int, target: str) -> list[str]:
        """Corpora that a target's rows were scored against."""
        return sorted(corpus for *place, corpus in self._places if place == [split, version, target])

    def defenses(self, split: str, version: int, target: str) -> list[str]:
        """`none`, then the defenses that stood before a target in some run."""
        rows = self._of(split, version)
        names = rows.loc[(rows["target_label"] == target) & (rows["defense"] != ""), "defense"].unique()
        return [NONE, *sorted(str(name) for name in names)]

    def _of(self, split: str, version: int) -> pd.DataFrame:
        entries = self.entries
        return entries[(entries["split"] == split) & (entries["split_version"] == version)]

    def select(self, selection: Selection) -> pd.DataFrame:
        """Rows of `entries` that a selection shows."""
        place = selection.split, selection.version, selection.target, selection.corpus
        rows = self.entries.iloc[self._places.get(place, [])]
        return rows[_kept(rows, selection)]

    def on_single_targets(self, selection: Selection) -> pd.DataFrame:
        """Rows of `entries` on each target that is one model, after a selection's other filters; controls come last."""
        rows = self._of(selection.split, selection.version)
        turns = {label: turn for turn, label in enumerate(self.singles(selection.split, selection.version))}
        rows = rows[rows["target_label"].isin(turns) & _kept(rows, selection)]
        ordered = rows.assign(turn=rows["target_label"].map(turns)).sort_values(["turn", "corpus"], kind="stable")
        return ordered.drop(columns="turn")

    @cached_property
    def _places(self) -> Mapping[tuple[str, int, str, str], list[int]]:
        """Where the rows of each split, version, target and corpus are."""
        columns = (self.entries[name] for name in ("split", "split_version", "target_label", "corpus"))
        found: dict[tuple[str, int, str, str], list[int]] = defaultdict(list)
        for place, (split, version, target, corpus) in enumerate(zip(*columns, strict=True)):
            found[str(split), int(version), str(target), str(corpus)].append(place)
        return dict(found)

    def rows(self, selection: Selection) -> pd.DataFrame:
        """The rows of a selection, best AUC first, with ranks, rates, the blind comparison and the control's result.

        Adds `rank`, `rank_low`, `rank_high`; `tpr_10`, `tpr_1`, `tpr_01` each with `_low`, `_high`, `_reason`;
        `blind`, `blind_difference`, `blind_low`, `blind_high`, `blind_p`; `control_auc`, `control_low`, `control_high`.
        """
        rows = self.select(selection).sort_values(["auc", "label"], ascending=[False, True], ignore_index=True)
        if rows.empty:
            return rows
        found = self.joint(rows["entry"].tolist())
        placed = rank_intervals(found, measure.LEVEL)
        rows = rows.assign(rank=placed.rank, rank_low=placed.low, rank_high=placed.high)
        rows = self._with_rates(rows)
        rows = _with_blind(rows, found)
        return self._with_control(rows, selection)

    def joint(self, entries: Sequence[str]) -> AucCovariance:
        """AUCs of rows of one board with their covariance, in the order given."""
        joint = self._joint.set_index("entry").loc[list(entries)]
        rows = self.entries.set_index("entry").loc[list(entries)]
        inside, outside = (_square(joint, column) for column in ("of_members", "of_nonmembers"))
        members, nonmembers = _sizes(rows)
        return AucCovariance(rows["auc"].to_numpy(np.float64), inside + outside, inside, outside, members, nonmembers)

    def _with_rates(self, rows: pd.DataFrame) -> pd.DataFrame:
        rates = self.rates[self.rates["entry"].isin(rows["entry"])]
        for fpr, name in RATE_COLUMNS.items():
            part = rates[rates["fpr"] == fpr].set_index("entry").reindex(rows["entry"])
            for column, suffix in (("value", ""), ("low", "_low"), ("high", "_high"), ("reason", "_reason")):
                rows[name + suffix] = part[column].to_numpy()
        return rows

    def _with_control(self, rows: pd.DataFrame, selection: Selection) -> pd.DataFrame:
        key = ["method", "method_version", "code_sha256", "parameters", "defense"]
        columns = {"auc": "control_auc", "auc_low": "control_low", "auc_high": "control_high"}
        controls = self.controls(selection)
        # Of several controls the one that is built like the target, then the most trusted, then the most repeated.
        alike = controls["architecture"].isin(rows["architecture"])
        best = (
            controls.assign(alike=alike).sort_values(["alike", "verified", "n_seeds"]).drop_duplicates(key, keep="last")
        )
        return rows.merge(best[[*key, *columns]].rename(columns=columns), on=key, how="left")

    def controls(self, selection: Selection) -> pd.DataFrame:
        """Rows of controls that stand in for the selection's corpus: of all tracks, after the other filters."""
        entries = self._of(selection.split, selection.version)
        keep = entries["control"] & (entries["corpus"] == selection.corpus)
        return entries[keep & _kept(entries, replace(selection, track=ALL))].sort_values("label", ignore_index=True)

    def pairs(self, entries: Sequence[str]) -> list[RowComparison]:
        """Every pair of the rows: paired DeLong on the means over seeds, p-values Holm-corrected over the pairs."""
        rows = self.entries.set_index("entry").loc[list(entries)].reset_index()
        found = self.joint(entries)
        index = [(i, j) for i in range(len(rows)) for j in range(i + 1, len(rows))]
        results = [difference_of(found, pair, measure.LEVEL) for pair in index]
        corrected = holm([result.p for result in results]) if results else np.zeros(0)
        labels = rows["label"].tolist()
        return [
            RowComparison(labels[i], labels[j], result, float(p))
            for (i, j), result, p in zip(index, results, corrected, strict=True)
        ]

    def curve(self, entry: str) -> measure.Curve | None:
        """The ROC curve of a row."""
        row = self._one("curves", entry)
        return None if row is None else measure.Curve(*(np.asarray(row[c]) for c in ("fpr", "tpr", "low", "high")))

    def histogram(self, entry: str) -> measure.Histogram | None:
        """The score histogram of a row."""
        row = self._one("histograms", entry)
        return (
            None
            if row is None
            else measure.Histogram(*(np.asarray(row[c]) for c in ("edges", "members", "nonmembers")))
        )

    def _one(self, name: str, entry: str) -> pd.Series[Any] | None:
        table = self._read(name, [("entry", "==", entry)])
        return None if table.empty else table.iloc[0]

    def ranks(self, entry: str) -> list[NDArray[np.float64]]:
        """Ranks of the scores, ties sharing one: (seeds, n) for each target; nothing where labels are not public."""
        rows = self._read("ranks", [("entry", "in", [entry, *self._parts([entry])])])
        return [
            np.stack([np.asarray(each, dtype=np.float64) for each in group["ranks"]])
            for _, group in rows.groupby("entry", sort=True)
        ]

    def people(self, split: str, version: int, corpus: str) -> pd.DataFrame:
        """Members and non-members in the order of `ranks`; empty where labels are not public."""
        table = self._read(
            "people", [("split", "==", split), ("split_version", "==", version), ("corpus", "==", corpus)]
        )
        return table.sort_values("place", ignore_index=True)

    def method_info(self, row: Mapping[str, Any] | pd.Series[Any]) -> MethodInfo | None:
        """The card of the method that ran for a row; None if its records carry none, as those of schema 1 do."""
        key = [str(row[name]) for name in ("method", "method_version", "code_sha256")]
        for card in self.about["methods"]:
            if [card["name"], card["version"], card["code_sha256"]] == key:
                choices = tuple(CardChoice(**choice) for choice in card["choices"])
                parameters = tuple(CardParameter(**parameter) for parameter in card["parameters"])
                presets = tuple(Preset(**preset) for preset in card["presets"])
                return MethodInfo(**{**card, "choices": choices, "parameters": parameters, "presets": presets})
        return None

    def target_info(self, name: str) -> TargetDescription | None:
        """What the target's specification says."""
        return next((TargetDescription(**card) for card in self.about["targets"] if card["name"] == name), None)

    def split_card(self, name: str, version: int) -> SplitCard | None:
        """The split's card, with its sample photos."""
        for card in self.about["splits"]:
            if (card["name"], card["version"]) == (name, version):
                checks = tuple(AuditCheck(**check) for check in card["checks"])
                return SplitCard(**{**card, "checks": checks, "samples": self._samples(name, version)})
        return None

    def _samples(self, name: str, version: int) -> tuple[SamplePhoto, ...]:
        table = self._table(SAMPLES.removesuffix(".parquet"))
        table = table[(table["split"] == name) & (table["split_version"] == version)]
        return tuple(SamplePhoto(data, caption) for data, caption in zip(table["data"], table["caption"], strict=True))

    def default_selection(self) -> Selection | None:
        """The first split's newest version, all its targets together if they are pooled; None if the board is empty."""
        if self.entries.empty:
            return None
        counts = self.entries["split"].value_counts()
        split = "avatars" if "avatars" in counts else str(counts.index[0])
        version = self.versions(split)[0]
        target = self.targets(split, version)[0]
        return Selection(split, version, target, self.corpora(split, version, target)[0])


def with_target_labels(entries: pd.DataFrame) -> pd.DataFrame:
    """Rows of `rows.EntryRow` with `target_label`: the target's name, made unique within a split by its weights."""
    if entries.empty:
        return entries.assign(target_label="")
    hashes = entries.groupby(["split", "split_version", "target"])["target_sha256"].transform("nunique")
    plain = entries["target"]
    return entries.assign(target_label=plain.where(hashes == 1, plain + " (" + entries["target_sha256"].str[:8] + ")"))


RATE_COLUMNS: Final = {0.1: "tpr_10", 0.01: "tpr_1", 0.001: "tpr_01"}


def complete(board: Board, wanted: Selection) -> Selection:
    """The nearest selection that exists: what is unknown falls back to the first choice."""
    splits = board.splits()
    default = board.default_selection()
    split = wanted.split if wanted.split in splits else (default.split if default else "")
    versions = board.versions(split)
    version = wanted.version if wanted.version in versions else versions[0]
    targets = board.targets(split, version)
    target = wanted.target if wanted.target in targets else targets[0]
    corpora = board.corpora(split, version, target)
    corpus = wanted.corpus if wanted.corpus in corpora else corpora[0]
    return replace(wanted, split=split, version=version, target=target, corpus=corpus)


def _kept(rows: pd.DataFrame, selection: Selection) -> pd.Series[bool]:
    """Which rows pass the filters of a selection other than its place: track, trust, settings, defense."""
    keep = rows["defense"] == selection.defense
    if selection.track != ALL:
        keep &= rows["track"].isin([selection.track, BLIND])
    keep &= rows["verification"].map(lambda level: Level(level).rank) >= Level(selection.checked).rank
    if selection.settings == "usual":
        keep &= rows["usual"]
    return keep


def _square(joint: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """The rows and columns of a covariance that belong to some entries; it is stored up to its diagonal."""
    places = joint["place"].to_numpy()
    found = np.zeros((len(places), len(places)))
    for index, (place, row) in enumerate(zip(places, joint[column], strict=True)):
        stored = places <= place
        found[index, stored] = found[stored, index] = np.asarray(row, dtype=np.float64)[places[stored]]
    return found


def _sizes(rows: pd.DataFrame) -> tuple[int, int]:
    return int(rows["n_members"].iloc[0]), int(rows["n_nonmembers"].iloc[0])


def _with_blind(rows: pd.DataFrame, found: AucCovariance) -> pd.DataFrame:
    """Each attack against the best blind one: picking the best makes the comparison harder to win, never easier."""
    columns = {"blind_difference": np.nan, "blind_low": np.nan, "blind_high": np.nan, "blind_p": np.nan}
    rows = rows.assign(blind="", **columns)
    blind = np.flatnonzero((rows["track"] == BLIND).to_numpy())
    others = np.flatnonzero((rows["track"] != BLIND).to_numpy())
    if not blind.size or not others.size:
        return rows
    best = int(blind[0])  # rows come best AUC first
    results = [difference_of(found, (int(row), best), measure.LEVEL) for row in others]
    corrected = holm([result.p for result in results])
    labels = rows.index[others]
    rows.loc[labels, "blind"] = rows["label"].iloc[best]
    rows.loc[labels, "blind_difference"] = [result.difference for result in results]
    rows.loc[labels, "blind_low"] = [result.interval.low for result in results]
    rows.loc[labels, "blind_high"] = [result.interval.high for result in results]
    rows.loc[labels, "blind_p"] = corrected
    return rows
