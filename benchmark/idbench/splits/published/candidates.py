"""Candidate names and prompts as IDIA has them: real names among first and last names of the United States."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from idbench.captions import FOLDED
from idbench.errors import DataError
from idbench.splits.injected.chance import shuffled
from idbench.splits.published.upstream import FIRST_NAMES, LAST_NAMES, Upstream
from idbench.storage import storage_errors

if TYPE_CHECKING:
    import pandas as pd

POOL: Final = 1000
SEED: Final = 42
_FIRST_PER_GENDER = 1000

PROMPTS: Final = (
    "{name}",
    "an image of {name}",
    "a photo of {name}",
    "{name} on a photo",
    "a photo of a person named {name}",
    "a person named {name}",
    "a man named {name}",
    "a woman named {name}",
    "the name of the person is {name}",
    "a photo of a person with the name {name}",
    "{name} at a gala",
    "a photo of the celebrity {name}",
    "actor {name}",
    "actress {name}",
    "a colored photo of {name}",
    "a black and white photo of {name}",
    "a cool photo of {name}",
    "a cropped photo of {name}",
    "a cropped image of {name}",
    "{name} in a suit",
    "{name} in a dress",
)
"""The 21 templates of Hintersdorf et al., JAIR 80 (2024)."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """A pool of candidate names.

    Args:
        names: in random order; the real ones are among them.
        note: how they were drawn, a sentence.
    """

    names: tuple[str, ...]
    note: str


def draw_candidates(upstream: Upstream, real: Sequence[str], seed: str) -> Candidates:
    """The people's names, filled up to `POOL` by IDIA's rule, and shuffled.

    The rule: the 1000 most frequent first names of each gender (each at its earliest year on the list), crossed with
    the 1000 most frequent surnames; from each gender half of what is missing, drawn by pandas with seed 42. Where there
    is no list of first names, those of the people themselves take its place, without gender.

    Args:
        upstream: where the lists of first and last names are.
        real: names of the people under test; all become candidates.
        seed: decides the order; the authors' own shuffle had no seed.

    Raises:
        DataError: a list of names cannot be used.
    """
    lasts = _last_names(upstream.need(LAST_NAMES))
    found = next((place for name in FIRST_NAMES if (place := upstream.find(name)) is not None), None)
    firsts = _first_names(found) if found is not None else _own_first_names(real)
    drawn = _drawn(firsts, lasts, max(0, POOL - len(real)))
    taken = {FOLDED(name) for name in real}
    pool = list(real)
    for name in drawn:
        if FOLDED(name) not in taken:
            taken.add(FOLDED(name))
            pool.append(name)
    rule = f"first names {'of the US' if found else 'of the listed people'} x US surnames, pandas seed {SEED}"
    missing = "" if found else f" There is no {FIRST_NAMES[0]}: the pool differs from the paper's."
    names = tuple(pool[int(i)] for i in shuffled(f"{seed}/candidates", len(pool)))
    return Candidates(names, f"{len(names)} candidate names: {len(real)} real ones, the others {rule}.{missing}")


def _drawn(firsts: pd.DataFrame, lasts: Sequence[str], missing: int) -> list[str]:
    import pandas as pd

    crossed = firsts[["name", "sex"]].merge(pd.DataFrame({"last": list(lasts)}), how="cross")
    groups = crossed.groupby("sex")
    share = min(missing // max(1, groups.ngroups), int(groups.size().min()))
    sampled = groups.sample(share, random_state=SEED)
    return [f"{first} {last}" for first, last in zip(sampled["name"], sampled["last"], strict=True)]


def _first_names(path: Path) -> pd.DataFrame:
    """Columns `name` and `sex` of the most frequent first names."""
    frame = _read(path, ("name", "sex", "percent"))
    once = frame.drop_duplicates(["name", "sex"])
    return once.sort_values("percent", ascending=False).groupby("sex").head(_FIRST_PER_GENDER).reset_index(drop=True)


def _own_first_names(real: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    firsts = sorted({name.split()[0] for name in real if len(name.split()) > 1})
    return pd.DataFrame({"name": firsts, "sex": "unknown"})


def _last_names(path: Path) -> list[str]:
    frame = _read(path, ("SURNAME",)).dropna(subset=["SURNAME"])
    if "FREQUENCY (COUNT)" in frame.columns:
        frame = frame.dropna(subset=["FREQUENCY (COUNT)"])  # the census's notes below the list
    return [str(name).title() for name in frame["SURNAME"]]


def _read(path: Path, needed: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    try:
        with storage_errors(path):
            frame = pd.read_csv(path, encoding="utf-8-sig")
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a list of names: {str(error).splitlines()[0]}.") from error
    for column in needed:
        if column not in frame.columns:
            raise DataError(f"{path} lacks the column {column}.", hint="Fetch the list again.")
    if frame.empty:
        raise DataError(f"{path} is empty.", hint="Fetch the list again.")
    return frame
