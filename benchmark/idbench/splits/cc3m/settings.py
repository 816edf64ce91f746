"""Sizes and speeds of a full-size build, each also an environment variable."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace

from idbench.errors import IdbenchError

LEVELS = (1, 5, 10, 25, 50, 75)
"""Training pictures of a member: the levels of the papers on identity inference."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a full-size build can be told; `from_environment` reads `BENCH_PICTURE_SIDE` and so on.

    Args:
        picture_side: longest that a stored picture's shorter side may be, pixels; 288 is what RN50x4 needs.
        smallest_side: a picture with a shorter side is dropped, pixels.
        shard_pairs: pairs in one shard.
        fetch_processes: processes that fetch and resize; 0: one per processor.
        fetch_threads: connections of each of them.
        fetch_timeout: seconds that a server may take.
        fetch_retries: how often a failed address is tried again at once.
        attack_photos: photos of each identity that no training set holds; a person with fewer is left out.
    """

    picture_side: int = 288
    smallest_side: int = 16
    shard_pairs: int = 10_000
    fetch_processes: int = 0
    fetch_threads: int = 64
    fetch_timeout: int = 10
    fetch_retries: int = 1
    attack_photos: int = 30

    @property
    def processes(self) -> int:
        """Processes, or threads where these do as well, that work at once."""
        return self.fetch_processes or os.cpu_count() or 1


_MAY_BE_ZERO = ("fetch_processes", "fetch_retries")


def from_environment(settings: Settings | None = None) -> Settings:
    """Settings with what the environment says instead, e.g. `BENCH_SHARD_PAIRS=5000`.

    Raises:
        IdbenchError: a variable is no number in range.
    """
    settings = settings or Settings()
    said = {}
    for field in fields(Settings):
        variable = f"BENCH_{field.name.upper()}"
        text = os.environ.get(variable)
        if text is None:
            continue
        least = 0 if field.name in _MAY_BE_ZERO else 1
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise IdbenchError(f"{variable} is {text!r}.", hint=f"Give a whole number from {least} on.")
        said[field.name] = int(text)
    return replace(settings, **said)
