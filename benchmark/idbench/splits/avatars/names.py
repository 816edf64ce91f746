"""Fictional names: first and last names made of syllables, and people named by recombining both pools."""

from __future__ import annotations

from dataclasses import dataclass

from idbench.errors import DataError
from idbench.splits.injected.chance import shuffled

_FIRST_HEADS = [
    "Ba",
    "Ced",
    "Dor",
    "El",
    "Fen",
    "Gal",
    "Hes",
    "Ili",
    "Jor",
    "Kel",
    "Lum",
    "Mer",
    "Nol",
    "Ori",
    "Pel",
    "Quin",
    "Ros",
    "Syl",
    "Tam",
    "Ved",
]
_FIRST_TAILS = ("avik", "imund", "osha")
_LAST_HEADS = [
    "Ard",
    "Bel",
    "Crim",
    "Dun",
    "Esk",
    "Fal",
    "Grav",
    "Holm",
    "Ister",
    "Jask",
    "Kor",
    "Lin",
    "Marb",
    "Nev",
    "Ost",
]
_LAST_TAILS = ("wicket", "omere", "enthal", "uvary", "ibrook", "ostrand")

FIRST_NAMES = tuple(head + tail for head in _FIRST_HEADS for tail in _FIRST_TAILS)
LAST_NAMES = tuple(head + tail for head in _LAST_HEADS for tail in _LAST_TAILS)


@dataclass(frozen=True, slots=True)
class Naming:
    """Full names, all different: of the background people, of the identities, of no person; the rest is spare."""

    background: tuple[str, ...]
    identities: tuple[str, ...]
    nobody: tuple[str, ...]
    spare: tuple[str, ...]


def name_everybody(
    seed: str, *, n_background: int, n_identities: int, n_nobody: int, n_first: int, n_last: int
) -> Naming:
    """Deal full names at random so that each first and each last name is about equally often in the background.

    Args:
        seed: label of the world.
        n_background: background people.
        n_identities: people under test and for calibration.
        n_nobody: names that no person bears.
        n_first: how many first names of the pool are in use.
        n_last: how many last names of the pool are in use.

    Raises:
        DataError: the pools have fewer combinations than names are needed.
    """
    first, last = FIRST_NAMES[:n_first], LAST_NAMES[:n_last]
    deck = [(int(k) // len(last), int(k) % len(last)) for k in shuffled(f"{seed}/names", len(first) * len(last))]
    needed = n_background + n_identities + n_nobody
    if needed > len(deck):
        raise DataError(f"{needed} names are needed; the pools give {len(deck)}.", hint="Use more first or last names.")
    uses_first, uses_last = [0] * len(first), [0] * len(last)
    limit_first, limit_last = -(-n_background // len(first)), -(-n_background // len(last))
    background: list[tuple[int, int]] = []
    rest: list[tuple[int, int]] = []
    for f, la in deck:
        if len(background) < n_background and uses_first[f] <= limit_first and uses_last[la] <= limit_last:
            uses_first[f] += 1
            uses_last[la] += 1
            background.append((f, la))
        else:
            rest.append((f, la))
    full = [f"{first[f]} {last[la]}" for f, la in background + rest]
    end = n_background + n_identities
    return Naming(
        tuple(full[:n_background]), tuple(full[n_background:end]), tuple(full[end:needed]), tuple(full[needed:])
    )
