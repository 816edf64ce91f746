"""The pictures behind neighbours: from a folder, from the service's answer, or fetched from their addresses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from idbench.search.neighbours.source import Neighbour
from idbench.search.neighbours.web import WebError, request
from idbench.storage import storage_errors

_LIMIT = 32 << 20


@dataclass(frozen=True, slots=True)
class Pictures:
    """Where neighbours' pictures are looked for.

    Args:
        folder: to which neighbours' paths are relative; None: there is none.
        fetch: whether pictures may be fetched from their web addresses.
        timeout: seconds for one picture.
    """

    folder: Path | None = None
    fetch: bool = False
    timeout: float = 10.0

    def read(self, neighbour: Neighbour) -> bytes | None:
        """The encoded picture; None if it cannot be had: dead addresses are a fact of life with these corpora."""
        if neighbour.picture is not None:
            return neighbour.picture
        if self.folder is not None and neighbour.path is not None:
            path = (self.folder / neighbour.path).resolve()
            # A path in somebody else's metadata must not lead out of the folder.
            if path.is_relative_to(self.folder.resolve()) and path.is_file() and path.stat().st_size <= _LIMIT:
                with storage_errors(path):
                    return path.read_bytes()
        if self.fetch and neighbour.url is not None:
            try:
                return request(neighbour.url, limit=_LIMIT, timeout=self.timeout, attempts=1)
            except WebError:
                return None
        return None
