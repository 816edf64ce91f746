"""The list of identities that asked to be taken out; it ships with the package and outlives every cache."""

from __future__ import annotations

from importlib.resources import files

FILE = "retractions.txt"


def retracted_here(split: str) -> frozenset[str]:
    """Identities of a split that the installed package's list takes out."""
    return parse_retractions(files("idbench.splits").joinpath(FILE).read_text(encoding="utf-8"), split)


def parse_retractions(text: str, split: str) -> frozenset[str]:
    """Identity ids on lines `SPLIT IDENTITY`; `#` begins a comment, lines of other splits are passed over."""
    entries = (line.partition("#")[0].split() for line in text.splitlines())
    return frozenset(entry[1] for entry in entries if len(entry) == 2 and entry[0] == split)
