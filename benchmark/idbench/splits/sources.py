"""Where the sources of a split's labels disagree: who changed sides, who was dropped, who stayed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from idbench.splits.assembling import UNIDENTIFIED
from idbench.splits.split import Split

Outcome = Literal["changed sides", "the same", "dropped", "not identified", "added"]


@dataclass(frozen=True, slots=True)
class SourceLabel:
    """What one source says about one person.

    Args:
        source: who says so.
        member: whether the person is in the corpus.
        occurrences: how often; -1 where nobody counted.
        how: how it is known.
        confidence: how sure it is, 0..1.
    """

    source: str
    member: bool
    occurrences: int
    how: str
    confidence: float

    def __str__(self) -> str:
        return ("member" if self.member else "non-member") + (f", {self.occurrences}" if self.occurrences > 0 else "")


@dataclass(frozen=True, slots=True)
class Contested:
    """What the sources say about one person and one corpus.

    Args:
        identity: opaque id.
        corpus: name of the training set.
        labels: in the order of the sources, the earliest first.
        outcome: `dropped`: only an earlier source speaks of the person; `added`: only the last one does;
            `not identified`: an earlier source speaks of somebody, nobody knows of whom.
    """

    identity: str
    corpus: str
    labels: tuple[SourceLabel, ...]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Disagreements:
    """All people of whom more than one source, or not the last one, speaks.

    Args:
        sources: in the order of the table, the earliest first.
        people: sorted by outcome.
    """

    sources: tuple[str, ...]
    people: tuple[Contested, ...]

    @property
    def sentence(self) -> str:
        """How many changed sides, of how many that the first source lists."""
        times = Counter(one.outcome for one in self.people)
        listed = sum(times[outcome] for outcome in _ORDER if outcome != "added")
        return (
            f"{times['changed sides']} of {listed} in the first source changed sides, {times['the same']} stayed, "
            f"{times['dropped']} were dropped"
            + (f", {times['not identified']} is not identified" if times["not identified"] else "")
            + f"; {times['added']} were added"
        )

    @property
    def table(self) -> list[tuple[str, ...]]:
        """Rows for a table: identity, corpus, a cell for each source, outcome."""
        return [
            (
                one.identity,
                one.corpus,
                *(next((str(label) for label in one.labels if label.source == source), "-") for source in self.sources),
                one.outcome,
            )
            for one in self.people
        ]

    @property
    def rows(self) -> list[dict[str, object]]:
        """As plain data."""
        return [
            {
                "identity": one.identity,
                "corpus": one.corpus,
                "outcome": one.outcome,
                "sources": {
                    label.source: {"member": label.member, "occurrences": label.occurrences, "how": label.how}
                    for label in one.labels
                },
            }
            for one in self.people
        ]


_ORDER: tuple[Outcome, ...] = ("changed sides", "the same", "dropped", "not identified", "added")


def disagreements(split: Split) -> Disagreements:
    """Compare the sources in a split's table `label_sources`; nobody where it has none."""
    rows = split.rows("label_sources")
    sources = tuple(dict.fromkeys(str(row[2]) for row in rows))
    labels: dict[tuple[str, str], list[SourceLabel]] = {}
    for identity, corpus, source, member, occurrences, how, confidence in rows:
        labels.setdefault((identity, corpus), []).append(
            SourceLabel(source, bool(member), occurrences, how, confidence)
        )
    people = [
        Contested(identity, corpus, tuple(who), _outcome(identity, who, sources))
        for (identity, corpus), who in labels.items()
    ]
    return Disagreements(sources, tuple(sorted(people, key=lambda one: (_ORDER.index(one.outcome), one.identity))))


def _outcome(identity: str, labels: list[SourceLabel], sources: tuple[str, ...]) -> Outcome:
    if identity == UNIDENTIFIED:
        return "not identified"
    if labels[-1].source != sources[-1]:
        return "dropped"
    if len(labels) == 1:
        return "added"
    return "changed sides" if labels[0].member != labels[-1].member else "the same"
