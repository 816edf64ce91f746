"""Random strings that are surely in no training set: the reference that TUNI compares names with."""

from __future__ import annotations

import string
from collections.abc import Collection

import numpy as np

ALPHABET = string.ascii_letters + string.digits + string.punctuation
"""Letters, digits and symbols, as in the paper."""


def gibberish(
    count: int, lengths: tuple[int, int], alphabet: str, *, avoid: Collection[str], rng: np.random.Generator
) -> list[str]:
    """Distinct random strings, each character and length drawn evenly.

    Args:
        count: how many.
        lengths: characters of the shortest and of the longest.
        alphabet: characters to draw from.
        avoid: strings that must not come out (names under test).
        rng: of the draw.

    Returns:
        `count` strings, or fewer when so few different ones exist that a thousand draws per string found no more.
    """
    shortest, longest = lengths
    letters = np.array(sorted(set(alphabet)))
    found: dict[str, None] = {}
    for _ in range(1000 * count):
        if len(found) == count:
            break
        text = "".join(rng.choice(letters, size=int(rng.integers(shortest, longest + 1))))
        if text not in avoid:
            found[text] = None
    return list(found)
