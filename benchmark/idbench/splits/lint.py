"""Checks a split's folder before anybody relies on it: everything that is wrong, each in one sentence."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from idbench.api import Progress, Silent
from idbench.captions import FOLDED
from idbench.errors import DataError, IdbenchError
from idbench.splits.card import HUB_SPLIT, read_card
from idbench.splits.corpora import Corpus
from idbench.splits.duplicates import near_pairs, signature, signatures
from idbench.splits.hub_card import card_faults, card_metadata
from idbench.splits.manifest import Manifest, read_manifest
from idbench.splits.photos import decode_photo
from idbench.splits.retractions import retracted_here
from idbench.splits.tables import (
    COLUMNS,
    OF_IDENTITIES,
    REQUIRED,
    Row,
    digest_rows,
    open_table,
    read_groups,
    read_rows,
    table_path,
)
from idbench.wording import counted

_SHOWN = 5  # examples that one finding names
_LOPSIDED = 4  # times as many of one kind as of the other


@dataclass(frozen=True, slots=True)
class LintFinding:
    """One thing that is wrong, or may be wrong.

    Args:
        severity: "error" makes the split unusable or unfair; "warning" wants a look.
        where: the table or file.
        message: one sentence.
    """

    severity: Literal["error", "warning"]
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class _Opened:
    folder: Path
    manifest: Manifest
    rows: dict[str, list[Row]]

    @property
    def identities(self) -> list[Row]:
        return self.rows.get("identities", [])

    @property
    def without_retracted(self) -> _Opened:
        """The people who count: nothing is said about those who were taken out."""
        gone = retracted_here(self.manifest.name) | set(self.manifest.retracted)
        names = {row[2] for row in self.identities if row[0] in gone}
        left = {
            "identities": [row for row in self.identities if row[0] not in gone],
            "names": [row for row in self.rows.get("names", []) if row[0] not in names],
        }
        return replace(self, rows=self.rows | left)


def lint(folder: Path, corpora: Sequence[Corpus] = (), progress: Progress | None = None) -> list[LintFinding]:
    """Everything that is wrong with a split's folder; an empty list means that it may be published.

    Args:
        folder: the split's folder.
        corpora: training sets to compare the photos with; a near-duplicate there is an error.
        progress: shows how far the photos are.
    """
    try:
        manifest = read_manifest(folder)
    except DataError as error:
        return [LintFinding("error", "manifest.json", error.message)]
    rows: dict[str, list[Row]] = {}
    findings = list(_read_tables(folder, manifest, rows))
    opened = _Opened(folder, manifest, rows)
    whole: tuple[Callable[[_Opened], Iterator[LintFinding]], ...] = (
        _check_ids, _check_identities, _check_labels, _check_owners, _check_optional, _check_card,
    )  # fmt: skip
    counting = (_check_seen, _check_balance, _check_names, _check_collisions)
    for check in whole:
        findings += check(opened)
    for check in counting:
        findings += check(opened.without_retracted)
    findings += _check_photos(opened, corpora, progress or Silent())
    return findings


def _read_tables(folder: Path, manifest: Manifest, rows: dict[str, list[Row]]) -> Iterator[LintFinding]:
    for table in dict.fromkeys((*REQUIRED, *manifest.rows)):
        if table not in COLUMNS:
            yield LintFinding("error", "manifest.json", f"The manifest lists an unknown table {table!r}.")
            continue
        try:
            rows[table] = read_rows(folder, table)
        except DataError as error:
            yield LintFinding("error", table, error.message)
            continue
        if len(rows[table]) != manifest.rows_here.get(table):
            yield LintFinding(
                "error",
                table,
                f"The table has {counted(len(rows[table]), 'row', 'rows')}; "
                f"the manifest says {manifest.rows_here.get(table)}.",
            )
        if digest_rows(rows[table]) != manifest.digests_here.get(table):
            yield LintFinding("error", table, "The content differs from the manifest's digest.")


def _check_ids(split: _Opened) -> Iterator[LintFinding]:
    for table, column in (("identities", 0), ("photos", 0), ("names", 0), ("public_pairs", 0)):
        values = [str(row[column]) for row in split.rows.get(table, [])]
        yield from _repeated(table, values, "Rows that appear more than once")
    labelled = [f"{row[1]} in {row[0]}" for row in split.rows.get("labels", [])]
    yield from _repeated("labels", labelled, "Identities with more than one label")
    yield from _repeated("identities", [str(row[2]) for row in split.identities], "Names that several identities bear")
    for table, rows in split.rows.items():
        if any(value is None for row in rows for value in row):
            yield LintFinding("error", table, "The table has empty cells.")


def _check_identities(split: _Opened) -> Iterator[LintFinding]:
    counts = Counter(row[1] for row in split.identities)
    if unknown := sorted(str(part) for part in counts if part not in ("calibration", "test")):
        yield LintFinding("error", "identities", f"Unknown parts: {_some(unknown)}.")
    for part, size in split.manifest.parts.items():
        if counts[part] != size:
            yield LintFinding(
                "error",
                "identities",
                f"{counted(counts[part], 'identity is', 'identities are')} in part {part}; the manifest says {size}.",
            )
    if nameless := [str(row[0]) for row in split.identities if not str(row[2] or "").strip()]:
        yield LintFinding("error", "identities", f"Identities without a name: {_some(nameless)}.")


def _check_seen(split: _Opened) -> Iterator[LintFinding]:
    if unseen := [str(row[0]) for row in split.identities if not row[3]]:
        yield LintFinding("warning", "identities", f"Identities without photos: {_some(unseen)}.")


def _check_labels(split: _Opened) -> Iterator[LintFinding]:
    rows = split.rows.get("labels", [])
    known = {str(row[0]) for row in split.identities}
    controls = {corpus.name for corpus in split.manifest.corpora if corpus.control}
    labelled: dict[str, set[str]] = defaultdict(set)
    wrong: dict[str, list[str]] = defaultdict(list)
    for corpus, identity, member, occurrences, how, confidence in rows:
        labelled[corpus].add(identity)
        what = f"{identity} in {corpus}"
        if identity not in known:
            wrong["Labels of unknown identities"].append(what)
        if occurrences is not None and occurrences >= 0 and bool(member) != (occurrences > 0):
            wrong["Labels that contradict their number of occurrences"].append(what)
        if member and corpus in controls:
            wrong["Members of a control corpus"].append(what)
        if confidence is None or math.isnan(confidence) or not 0 <= confidence <= 1:
            wrong["Confidences that are not in 0..1"].append(what)
        if not how:
            wrong["Labels that do not say how they are known"].append(what)
    for message, examples in wrong.items():
        yield LintFinding("error", "labels", f"{message}: {_some(examples)}.")
    listed = {corpus.name for corpus in split.manifest.corpora}
    hidden = split.manifest.withheld.part if split.manifest.withheld else None
    wanted = {str(row[0]) for row in split.identities if row[1] != hidden}
    if shown := sorted(set().union(*labelled.values()) & known - wanted):
        yield LintFinding("error", "labels", f"Labels that the manifest calls withheld: {_some(shown)}.")
    if unknown := sorted(set(labelled) - listed):
        yield LintFinding("error", "labels", f"Labels for corpora that the manifest does not list: {_some(unknown)}.")
    for corpus in sorted(listed):
        if missing := sorted(wanted - labelled[corpus]):
            yield LintFinding("error", "labels", f"Identities without a label in {corpus}: {_some(missing)}.")


def _check_balance(split: _Opened) -> Iterator[LintFinding]:
    """Far more of one kind than of the other: accuracy and thresholds then follow the larger one."""
    tested = {str(row[0]) for row in split.identities if row[1] == "test"}
    controls = {corpus.name for corpus in split.manifest.corpora if corpus.control}
    sides: dict[str, Counter[bool]] = defaultdict(Counter)
    for corpus, identity, member, *_ in split.rows.get("labels", []):
        if identity in tested and corpus not in controls:
            sides[corpus][bool(member)] += 1
    for corpus, side in sides.items():
        few, many = sorted((side[True], side[False]))
        if many > _LOPSIDED * few:
            yield LintFinding(
                "warning",
                "labels",
                f"{counted(side[True], 'member', 'members')} against "
                f"{counted(side[False], 'non-member', 'non-members')} of {corpus} under test.",
            )


def _check_collisions(split: _Opened) -> Iterator[LintFinding]:
    """Names that differ only in case, accents and the like: two spellings of one candidate."""
    spellings: dict[str, set[str]] = defaultdict(set)
    for name in (*(str(row[0]) for row in split.rows.get("names", [])), *(str(row[2]) for row in split.identities)):
        spellings[FOLDED(name)].add(name)
    own = {str(row[2]) for row in split.identities}
    twice = sorted(" and ".join(sorted(same)) for same in spellings.values() if len(same) > 1 and same & own)
    if twice:
        yield LintFinding("warning", "names", f"Candidates that spell an identity's name otherwise: {_some(twice)}.")


def _check_optional(split: _Opened) -> Iterator[LintFinding]:
    known = {str(row[0]) for row in split.identities}
    for table in OF_IDENTITIES:
        if table == "label_sources":  # also lists people whom a later source dropped
            continue
        place = list(COLUMNS[table]).index("identity")
        if unknown := sorted({str(row[place]) for row in split.rows.get(table, [])} - known):
            yield LintFinding("error", table, f"Rows about unknown identities: {_some(unknown)}.")
    web = ("http://", "https://")
    if bad := sorted({str(row[0]) for row in split.rows.get("urls", []) if not str(row[1]).lower().startswith(web)}):
        yield LintFinding("warning", "urls", f"Addresses that are not web addresses, of identities {_some(bad)}.")


def _check_names(split: _Opened) -> Iterator[LintFinding]:
    candidates = {str(row[0]) for row in split.rows.get("names", [])}
    if missing := sorted({str(row[2]) for row in split.identities} - candidates):
        yield LintFinding("error", "names", f"Names of identities that are not among the candidates: {_some(missing)}.")
    bearers = Counter(token for name in candidates for token in set(name.split()))
    shown = {token for row in split.rows.get("public_pairs", []) for token in str(row[1]).split()}
    alone = sorted(
        {
            token
            for row in split.identities
            if row[1] == "test"
            for token in str(row[2]).split()
            if bearers[token] < 2 and token not in shown
        }
    )
    if alone:
        yield LintFinding("warning", "names", f"Parts of test names that occur in no other name: {_some(alone)}.")


def _check_owners(split: _Opened) -> Iterator[LintFinding]:
    owners = {str(row[0]): str(row[1]) for row in split.rows.get("photos", [])}
    listed: dict[str, str] = {}
    missing, shared, foreign = [], [], []
    for identity, _, _, photos in split.identities:
        for photo in photos or ():
            if photo not in owners:
                missing.append(photo)
            elif owners[photo] != identity:
                foreign.append(photo)
            if listed.setdefault(photo, identity) != identity:
                shared.append(photo)
    if missing:
        yield LintFinding("error", "photos", f"Photos that identities list and the table lacks: {_some(missing)}.")
    if foreign:
        yield LintFinding(
            "error", "photos", f"Photos that belong to another identity than the one that lists them: {_some(foreign)}."
        )
    if shared:
        yield LintFinding("error", "identities", f"Photos that several identities list: {_some(shared)}.")
    if orphans := sorted(set(owners) - set(listed)):
        yield LintFinding("warning", "photos", f"Photos that no identity lists: {_some(orphans)}.")


def _check_card(split: _Opened) -> Iterator[LintFinding]:
    # huggingface_hub accepts any license, configuration or count: what matters is compared here.
    try:
        data = card_metadata(read_card(split.folder))
    except IdbenchError as error:
        yield LintFinding("error", "README.md", error.message)
        return
    named = ("license_name",) if split.manifest.license == "other" else ()
    for field in ("license", *named, "language", "task_categories", "size_categories", "pretty_name"):
        if not data.get(field):
            yield LintFinding("warning", "README.md", f"The card does not say its {field}.")
    if data.get("license") not in (None, split.manifest.license, [split.manifest.license]):
        yield LintFinding(
            "error", "README.md", f"License {data['license']!r}, but the manifest says {split.manifest.license!r}."
        )
    for fault in card_faults(data, split.manifest):
        yield LintFinding("error", "README.md", fault)
    counts = _card_counts(data.get("dataset_info"))
    configs = {str(entry.get("config_name")) for entry in _mappings(data.get("configs"))}
    for table, rows in split.manifest.rows_here.items():
        if rows == 0:
            continue  # `datasets` cannot open it, so the card does not offer it
        if table not in configs:
            yield LintFinding("error", "README.md", f"The card has no config for the table {table!r}.")
        if table not in counts:
            yield LintFinding("error", "README.md", f"The card does not say how many rows the table {table!r} has.")
        elif counts[table] != rows:
            yield LintFinding(
                "error", "README.md", f"The card promises {counts[table]} rows of {table!r}; there are {rows}."
            )


def _card_counts(info: object) -> dict[str, object]:
    """Rows by table, as `dataset_info` of a card says them; what is not written as the Hub reads it says nothing."""
    counts: dict[str, object] = {}
    for entry in _mappings(info):
        for division in _mappings(entry.get("splits")):
            if division.get("name") == HUB_SPLIT and "num_examples" in division:
                counts[str(entry.get("config_name"))] = division["num_examples"]
    return counts


def _mappings(value: object) -> list[Mapping[str, object]]:
    """The entries of a YAML list that are mappings; the Hub takes one mapping for a list of one."""
    return [entry for entry in (value if isinstance(value, list) else [value]) if isinstance(entry, dict)]


def _check_photos(split: _Opened, corpora: Sequence[Corpus], progress: Progress) -> Iterator[LintFinding]:
    ids, owners, prints, bad = [], [], [], []
    for table in ("photos", "public_pairs"):
        if table not in split.rows:
            continue
        file, path = open_table(split.folder, table), table_path(split.folder, table)
        columns = ["photo", "sha256", "image"] + (["identity"] if table == "photos" else [])
        groups = read_groups(file, columns, path)
        try:
            for group in progress.track(groups, f"Checking {table}", file.num_row_groups):
                for photo, sha256, image, *owner in group:
                    try:
                        pixels = _good_photo(str(photo), str(sha256), (image or {}).get("bytes") or b"", split.manifest)
                    except DataError as error:
                        bad.append(error.message)
                        continue
                    if owner:
                        ids.append(str(photo))
                        owners.append(str(owner[0]))
                        prints.append(signature(pixels))
        except DataError as error:
            yield LintFinding("error", table, error.message)
    for message in bad[:_SHOWN]:
        yield LintFinding("error", "photos", message)
    if len(bad) > _SHOWN:
        yield LintFinding("error", "photos", f"{len(bad) - _SHOWN} more photos are damaged.")
    if prints:
        parts = {str(row[0]): str(row[1]) for row in split.identities}
        yield from _check_near(_Seen(ids, owners, parts), np.array(prints, dtype=np.float32), corpora)
        yield from _check_hashes(split, parts)


def _good_photo(
    photo: str, sha256: str, data: bytes, manifest: Manifest
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    pixels = decode_photo(data, photo)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(f"Photo {photo} differs from its recorded hash.")
    wanted = (manifest.photo_format.height, manifest.photo_format.width)
    if None not in wanted and pixels.shape[:2] != wanted:
        raise DataError(f"Photo {photo} is {pixels.shape[0]} x {pixels.shape[1]}, not {wanted[0]} x {wanted[1]}.")
    return pixels


@dataclass(frozen=True, slots=True)
class _Seen:
    """Photos that could be opened, with their owners; parts by identity."""

    ids: list[str]
    owners: list[str]
    parts: dict[str, str]


def _check_near(
    seen: _Seen, prints: np.ndarray[tuple[int, ...], np.dtype[np.float32]], corpora: Sequence[Corpus]
) -> Iterator[LintFinding]:
    ids, owners, parts = seen.ids, seen.owners, seen.parts
    same: list[str] = []
    others: list[str] = []
    across: list[str] = []
    for i, j, _ in near_pairs(prints, prints):
        pair = f"{ids[i]} and {ids[j]}"
        if owners[i] == owners[j]:
            same.append(pair)
        elif parts.get(owners[i]) == parts.get(owners[j]):
            others.append(pair)
        else:
            across.append(pair)
    if others:
        yield LintFinding("error", "photos", f"The same picture shows two identities: {_some(others)}.")
    if across:
        yield LintFinding(
            "error", "photos", f"The same picture shows two identities, one in each part: {_some(across)}."
        )
    if same:
        yield LintFinding("warning", "photos", f"The same picture twice for one identity: {_some(same)}.")
    for corpus in corpora:
        found = sorted({ids[i] for i, _, _ in near_pairs(prints, signatures(corpus.images))})
        if found:
            yield LintFinding("error", "photos", f"Photos that are in the training set {corpus.name}: {_some(found)}.")


def _check_hashes(split: _Opened, parts: dict[str, str]) -> Iterator[LintFinding]:
    """One file under several ids, byte by byte."""
    holders: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for photo, identity, sha256 in split.rows.get("photos", []):
        holders[str(sha256)].append((str(photo), str(identity)))
    within: list[str] = []
    across: list[str] = []
    for held in holders.values():
        if len(held) > 1:
            sides = {parts.get(identity) for _, identity in held}
            (within if len(sides) == 1 else across).append(" and ".join(photo for photo, _ in held))
    if across:
        yield LintFinding("error", "photos", f"The same file in both parts: {_some(across)}.")
    if within:
        yield LintFinding("warning", "photos", f"The same file more than once: {_some(within)}.")


def _repeated(table: str, values: Sequence[str], what: str) -> Iterator[LintFinding]:
    repeated = [value for value, count in Counter(values).items() if count > 1]
    if repeated:
        yield LintFinding("error", table, f"{what}: {_some(repeated)}.")


def _some(examples: Sequence[str]) -> str:
    """The first few examples, and how many there are."""
    shown = ", ".join(examples[:_SHOWN])
    return shown if len(examples) <= _SHOWN else f"{shown} and {len(examples) - _SHOWN} more"
