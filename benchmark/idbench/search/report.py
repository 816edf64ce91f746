"""What the search finds about each person: evidence, a verdict, its confidence, and the `labels` table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from idbench.captions.names import Sought
from idbench.errors import DataError
from idbench.search.counting import CaptionSearch, Quote, Tally
from idbench.search.neighbours.recognition import CLIP_LIMIT, FACE_LIMIT, Near
from idbench.splits.tables import COLUMNS, arrow_schema
from idbench.storage import atomic_path

VERSION = 2
"""Of the search and its verdicts; stands in every label's provenance. A change of either is a new version."""

Verdict = Literal["member", "mentioned", "non-member", "undecided"]


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What the confidence rests on: probabilities from 0 to 1 that the user has to judge. None was measured here.

    Args:
        namesake: that all captions with the name mean somebody else of that name.
        caption: otherwise, that one such caption belongs to a picture on which the person is seen.
        named: that a person on pictures of the corpus is named, as searched, in at least one of their captions.
        seen: that a person on pictures of the corpus is recognized among the neighbours above the limits.
    """

    namesake: float = 0.05
    caption: float = 0.7
    named: float = 0.5
    seen: float = 0.5


@dataclass(frozen=True, slots=True)
class PersonReport:
    """What was found of one identity.

    Args:
        identity: opaque id.
        name: of the person.
        occurrences: captions that hold the name; None if captions were not searched.
        longer: those of them in which it is part of a longer name that was searched too.
        quotes: some of the captions, with their places.
        shares_name_with: other identities whose names cannot be told apart from this one.
        near: what the neighbours of the person's photos show; None if neighbours were not searched.
        verdict: member (named in captions and recognized among the neighbours), mentioned (named in captions alone),
            non-member or undecided.
        confidence: that the verdict is right, 0 to 1; None if undecided. A degree of belief under `Assumptions`.
    """

    identity: str
    name: str
    occurrences: int | None
    longer: int
    quotes: tuple[Quote, ...]
    shares_name_with: tuple[str, ...]
    near: Near | None
    verdict: Verdict
    confidence: float | None


def report(
    sought: tuple[Sought, ...],
    captions: CaptionSearch | None,
    near: Mapping[str, Near],
    assumptions: Assumptions,
) -> list[PersonReport]:
    """One report for each identity, in their order.

    Mentioned: the name stands in n > 0 captions outside of longer names (in captions of neighbours, if captions were
    not searched). The confidence that the person is a member is c = (1 - namesake)(1 - (1 - caption)^n).
    Member: mentioned, and neighbours exceed a limit; the confidence is 1 - (1 - c)(1 - seen).
    Non-member: no caption at all, and no hit rate above its limit. The confidence is coverage x named; where hit rates
    are known, 1 - (1 - coverage x named)(1 - seen). Undecided: everybody else, that is, names within longer names
    only, names that another person under search has too, hit rates above a limit without any caption, or nothing to
    go by.

    Args:
        sought: the identities.
        captions: the search through captions of the same identities, in the same order.
        near: what neighbours show, by identity.
        assumptions: what the confidence rests on.
    """
    return [_person(index, one, captions, near.get(one.identity), assumptions) for index, one in enumerate(sought)]


def _person(
    index: int, one: Sought, captions: CaptionSearch | None, near: Near | None, assumptions: Assumptions
) -> PersonReport:
    others = _namesakes(index, captions)
    tally = captions.tallies[index] if captions is not None else None
    verdict, confidence = _verdict(tally, captions.coverage if captions is not None else 0.0, near, others, assumptions)
    return PersonReport(
        identity=one.identity,
        name=one.name,
        occurrences=None if tally is None else tally.occurrences,
        longer=0 if tally is None else tally.longer,
        quotes=() if tally is None else tuple(tally.quotes),
        shares_name_with=others,
        near=near,
        verdict=verdict,
        confidence=confidence,
    )


def _verdict(
    tally: Tally | None, coverage: float, near: Near | None, others: tuple[str, ...], assumptions: Assumptions
) -> tuple[Verdict, float | None]:
    suspicious = near.suspicious if near is not None else None
    seen = (1 - assumptions.seen) if suspicious is not None else 1.0
    if tally is not None:
        all_captions, own = tally.occurrences, tally.occurrences - tally.longer
    else:
        all_captions = own = near.captioned if near is not None else 0
    if own and not others:
        belief = (1 - assumptions.namesake) * (1 - (1 - assumptions.caption) ** own)
        return ("member", 1 - (1 - belief) * seen) if suspicious else ("mentioned", belief)
    if all_captions or suspicious or (tally is None and suspicious is None):
        return "undecided", None
    return "non-member", 1 - (1 - coverage * assumptions.named) * seen


def _namesakes(index: int, captions: CaptionSearch | None) -> tuple[str, ...]:
    """Identities under search whose names cannot be told apart from this one's."""
    if captions is None:
        return ()
    same = {other for group in captions.shared if index in group for other in group} - {index}
    return tuple(captions.sought[other].identity for other in sorted(same))


def provenance(person: PersonReport, corpus: str, captions: CaptionSearch | None, assumptions: Assumptions) -> str:
    """How a label came about, for the column `how` of the `labels` table."""
    parts = []
    if captions is not None:
        missing = f", {len(captions.damaged)} damaged files left out" if captions.damaged else ""
        within = f" ({person.longer} within longer names)" if person.longer else ""
        absent = f"; not looked for: {', '.join(captions.rules.not_looked_for)}"
        parts.append(
            f"caption search v{VERSION}: {person.verdict}; {captions.rules}; {person.occurrences} of "
            f"{captions.captions} captions of {corpus} hold the name{within}; sha256 {captions.sha256}{missing}"
            f"{absent if person.verdict == 'non-member' else ''}"
        )
    if person.near is not None:
        near = person.near
        rates = [
            f"{what} hit rate {rate:.3f} (limit {limit})"
            for what, rate, limit in (("CLIP", near.clip_rate, CLIP_LIMIT), ("face", near.face_rate, FACE_LIMIT))
            if rate is not None
        ]
        looked = ", ".join(rates) or "not looked at"
        parts.append(f"neighbour search v{VERSION}: {near.neighbours} neighbours of {near.photos} photos, {looked}")
    parts.append(
        f"confidence assumes namesake {assumptions.namesake}, caption {assumptions.caption}, "
        f"named {assumptions.named}, seen {assumptions.seen}"
    )
    return "; ".join(parts)


def write_labels(
    path: Path,
    corpus: str,
    people: Sequence[PersonReport],
    captions: CaptionSearch | None,
    assumptions: Assumptions,
) -> int:
    """Write a parquet file with one row for each identity that is decided; returns their number.

    Args:
        path: the file; replaced as a whole.
        corpus: name of the corpus in the table.
        people: the reports.
        captions, assumptions: what they rest on; both go into the column `how`.

    Raises:
        DataError: there is no decided person.
        StorageError: the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        (
            corpus,
            person.identity,
            person.verdict in ("member", "mentioned"),
            person.occurrences,
            provenance(person, corpus, captions, assumptions),
            person.confidence,
        )
        for person in people
        if person.verdict != "undecided"
    ]
    if not rows:
        raise DataError(
            "The search decided about nobody, so there are no labels to write.", hint="Search the corpus's captions."
        )
    columns = {name: [row[i] for row in rows] for i, name in enumerate(COLUMNS["labels"])}
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pydict(columns, schema=arrow_schema("labels")), temporary, compression="zstd")
    return len(rows)


def is_labels_table(path: Path) -> bool:
    """Whether a file is a table like those of `write_labels`."""
    import pyarrow.parquet as pq

    return bool(pq.read_schema(path).equals(arrow_schema("labels")))
