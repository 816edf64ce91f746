"""Digests of a split from which people were taken out; beneath splits and results, which both compare them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from functools import lru_cache
from itertools import combinations
from typing import Final

_SUBSETS: Final = 12
"""Up to this many retractions of one version, every order is recognised; beyond that, publish a new version."""


def digest_after(digest: str, retracted: Collection[str]) -> str:
    """SHA-256 of all that results on a version of a split depend on, once people are taken out of it."""
    if not retracted:
        return digest
    return hashlib.sha256("\n".join([digest, *sorted(retracted)]).encode()).hexdigest()


@lru_cache(maxsize=16)
def digests_until(digest: str, retracted: frozenset[str]) -> frozenset[str]:
    """Every digest that a version has had, in whatever order its people were taken out, today's among them."""
    fewest = 0 if len(retracted) <= _SUBSETS else len(retracted)
    kept = (some for size in range(fewest, len(retracted) + 1) for some in combinations(sorted(retracted), size))
    return frozenset((digest, *(digest_after(digest, some) for some in kept)))
