"""What records are checked against and scored with: the labels of splits, and the targets that are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idbench.digests import digest_after


@dataclass(frozen=True, slots=True)
class CorpusLabels:
    """Who was in one corpus, aligned with `SplitLabels.identities`.

    Args:
        member: bool (n,).
        occurrences: how often each identity occurs in the corpus, int (n,); 0 for non-members.
    """

    member: NDArray[np.bool_]
    occurrences: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SplitLabels:
    """The labels of one version of one split.

    Args:
        name: of the split.
        version: of the split; labels of another version are never used.
        digest: SHA-256 of this version's content, retractions apart.
        identities: opaque ids, (n,).
        test: whether the identity is in the test part, bool (n,); the rest is the calibration part.
        corpora: labels by corpus.
        retracted: ids on the retraction list; their scores are dropped before anything is computed.
        accepts: digests that records of this version may carry besides `digest`: the same content with some of the
            retractions already in force.
        public: whether anybody may see who is a member. If not, the board holds sums only, no row per identity.
    """

    name: str
    version: int
    digest: str
    identities: tuple[str, ...]
    test: NDArray[np.bool_]
    corpora: Mapping[str, CorpusLabels]
    retracted: frozenset[str] = frozenset()
    accepts: frozenset[str] = frozenset()
    public: bool = True

    @property
    def newest(self) -> str:
        """The digest of records made after all retractions."""
        return digest_after(self.digest, self.retracted)

    def difference(self, other: SplitLabels) -> str:
        """How two sets of labels of one version differ about people who are not retracted; empty if they agree."""
        if self.digest != other.digest:
            return f"the digest is {other.digest[:12]}, not {self.digest[:12]}"
        gone = self.retracted | other.retracted
        mine, others = self._rows(gone), other._rows(gone)
        if mine.keys() != others.keys():
            return f"{len(mine.keys() ^ others.keys())} people are in one of them only"
        if self.corpora.keys() != other.corpora.keys():
            return f"the corpora are {', '.join(sorted(other.corpora))}, not {', '.join(sorted(self.corpora))}"
        count = sum(row != others[name] for name, row in mine.items())
        return f"{count} people have another part or another membership" if count else ""

    def _rows(self, gone: frozenset[str]) -> dict[str, tuple[object, ...]]:
        corpora = [self.corpora[name] for name in sorted(self.corpora)]
        return {
            name: (bool(self.test[i]), *((bool(c.member[i]), int(c.occurrences[i])) for c in corpora))
            for i, name in enumerate(self.identities)
            if name not in gone
        }


@dataclass(frozen=True, slots=True)
class CountedPeople:
    """The identities of a split that count: not retracted, in order of id.

    Args:
        test: ids of the test part, (n,).
        calibration: ids of the calibration part, (c,).
        others: ids that scores may name and that do not count: the retracted.
    """

    test: tuple[str, ...]
    calibration: tuple[str, ...]
    others: frozenset[str] = frozenset()


def people_of(labels: SplitLabels) -> CountedPeople:
    """Test and calibration people of a split, without the retracted."""
    kept = [(name, bool(test)) for name, test in zip(labels.identities, labels.test, strict=True)]
    kept = sorted(pair for pair in kept if pair[0] not in labels.retracted)
    return CountedPeople(
        tuple(n for n, test in kept if test), tuple(n for n, test in kept if not test), labels.retracted
    )


@dataclass(frozen=True, slots=True)
class KnownTarget:
    """A registered target, as far as records describe it.

    Args:
        name: as registered.
        version: of the target.
        sha256: of the pinned weights; None where everybody trains the target themselves.
        corpus: what it was trained on; None if unknown.
        control_for: corpora that it stands in for.
        design: SHA-256 over what decides its answers besides the weights.
    """

    name: str
    version: str
    sha256: str | None
    corpus: str | None
    control_for: tuple[str, ...]
    design: str
