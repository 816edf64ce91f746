"""Candidate names: those of the identities, and names that nobody bears, recombined from those of the background."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from idbench.splits.injected.chance import shuffled
from idbench.splits.injected.people import fold


def candidate_names(seed: str, identities: Sequence[str], background: Iterable[str], n: int) -> tuple[str, ...]:
    """Names that an attacker considers possible, in random order.

    Args:
        seed: what all chance comes from.
        identities: names of the people under test; all are among the candidates.
        background: names of the other people; first and last names are recombined at random, and what happens to be
            somebody's name is not used.
        n: how many candidates there shall be; fewer where the background does not give so many combinations.
    """
    others = list(background)
    taken = {fold(name) for name in (*identities, *others)}
    parts = [name.split() for name in others if len(name.split()) > 1]
    first, last = [words[0] for words in parts], [words[-1] for words in parts]
    pool = list(identities)
    for turn in range(len(parts)):  # each turn pairs every first name with one last name
        if len(pool) >= n:
            break
        for f, la in zip(first, shuffled(f"{seed}/nobody/{turn}", len(last)), strict=True):
            name = f"{f} {last[int(la)]}"
            if len(pool) < n and fold(name) not in taken:
                taken.add(fold(name))
                pool.append(name)
    return tuple(pool[int(i)] for i in shuffled(f"{seed}/candidates", len(pool)))
