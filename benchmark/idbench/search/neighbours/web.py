"""HTTP as far as a search needs it: an answer of bounded size, a few attempts, and one sentence when nothing helps."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request

from idbench.errors import IdbenchError

_PAUSE = 0.5  # seconds before the second attempt; doubled before each further one
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
        WebError: no answer, a refusal, or a longer answer.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise WebError(f"{url} is no web address.", hint="Give one that begins with http:// or https://.")
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
        time.sleep(_PAUSE * 2 ** (attempt - 1))
    raise AssertionError("unreachable")
