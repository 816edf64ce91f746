"""What comes over the web: answers of bounded size, and the pictures behind neighbours, from a folder too."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from idbench.errors import IdbenchError
from idbench.search.neighbours.source import Neighbour
from idbench.storage import storage_errors

PAUSE = 0.5  # seconds before the second attempt; doubled before each further one
_BUSY = (429, 500, 502, 503, 504)


class WebError(IdbenchError):
    """A service or a picture on the web cannot be had."""


def request(url: str, data: bytes | None = None, *, limit: int, timeout: float = 60.0, attempts: int = 3) -> bytes:
    """The body of an answer to GET, or to POST where there is JSON to send.

    Args:
        url: http or https.
        data: JSON to post.
        limit: bytes that the answer may have.
        timeout: seconds without a sign of life.
        attempts: before giving up.

    Raises:
        WebError: no answer, an error status, or a longer answer.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise WebError(f"{url} is not a web address.", hint="Give one that begins with http:// or https://.")
    headers = {"Content-Type": "application/json"} if data is not None else {}
    asked = urllib.request.Request(url, data=data, headers=headers)  # noqa: S310  the scheme is checked above
    for attempt in range(1, attempts + 1):
        try:
            with urllib.request.urlopen(asked, timeout=timeout) as answer:  # noqa: S310  the same
                body: bytes = answer.read(limit + 1)
        except urllib.error.HTTPError as error:
            if error.code not in _BUSY or attempt == attempts:
                raise WebError(f"{url} answered {error.code} {error.reason}.", hint="Check the address.") from error
        except (OSError, http.client.HTTPException) as error:
            if attempt == attempts:
                reason = getattr(error, "reason", None) or error
                raise WebError(f"{url} does not answer: {reason}.", hint="Check that the service runs.") from error
        else:
            if len(body) > limit:
                raise WebError(f"{url} answered with more than {limit >> 20} MiB.", hint="Check the address.")
            return body
        time.sleep(PAUSE * 2 ** (attempt - 1))
    raise AssertionError("unreachable")


_LIMIT = 32 << 20


@dataclass(frozen=True, slots=True)
class PictureSource:
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
