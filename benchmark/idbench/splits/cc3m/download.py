"""The process in which img2dataset runs: `python -m idbench.splits.cc3m.download ARGUMENTS.json`.

It has a process of its own because img2dataset takes over signals, prints, and starts processes that import the main
module, which is this one: so they fetch with the limits set here too. img2dataset itself limits only how long a server
may be silent, so that one which sends a byte now and then holds a connection for days.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import socket
import sys
import threading
import time
import urllib.parse
import urllib.request
import zlib
from pathlib import Path
from typing import Any

from idbench.splits.manifest import PHOTO_LIMIT
from idbench.splits.photos import readable

DEADLINE = "IDBENCH_FETCH_DEADLINE"
"""Environment variable: seconds that an answer may take, from the request to the last byte, redirections included."""

HOST_PAUSE = "IDBENCH_FETCH_HOST_PAUSE"
"""Environment variable: seconds from one request of this process to a host to the next."""

TOO_SLOW, TOO_LARGE = "took too long in all", "has more bytes than a picture may have"
"""What img2dataset counts such addresses under."""


_PACKED = ("gzip", "x-gzip", "deflate")
_GZIP_OR_ZLIB = 47
"""For zlib: the header says which."""


class _Limits(threading.local):
    """Until when the answer that a thread waits for must be complete, in `time.monotonic` seconds."""

    until: float = float("inf")


_limits = _Limits()


class HostTurns:
    """Lets each host be asked once in so many seconds, by whichever thread.

    Args:
        pause: seconds from one request to a host to the next.
    """

    def __init__(self, pause: float) -> None:
        self._pause, self._lock, self._next = pause, threading.Lock(), dict[str, float]()

    def wait(self, address: str) -> None:
        """Sleep until the address's host may be asked."""
        now = time.monotonic()
        time.sleep(self.turn(address, now) - now)

    def turn(self, address: str, now: float) -> float:
        """Take the next turn at an address's host: when that is, in seconds of the clock that `now` is read from."""
        host = urllib.parse.urlsplit(address).netloc.lower()
        with self._lock:
            turn = max(now, self._next.get(host, now))
            self._next[host] = turn + self._pause
        return turn


class _Reader(io.RawIOBase):
    """Reads from a socket until the deadline and no longer."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket, self._silence = connected, connected.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = _limits.until - time.monotonic()
        if left <= 0:
            raise TimeoutError(TOO_SLOW)
        ends_first = self._silence is None or left < self._silence
        self._socket.settimeout(left if ends_first else self._silence)
        try:
            return self._socket.recv_into(buffer)
        except TimeoutError as error:
            raise TimeoutError(TOO_SLOW if ends_first else "timed out") from error


class _Answer(http.client.HTTPResponse):
    """An answer whose head and body must both arrive before the deadline, and whose body has a limit."""

    def __init__(self, sock: socket.socket, *rest: Any, **named: Any) -> None:
        super().__init__(sock, *rest, **named)
        # Closing the first file of a connection that is to be closed would close the socket under the second one.
        self._first, self.fp = self.fp, io.BufferedReader(_Reader(sock))

    def begin(self) -> None:
        try:
            super().begin()
        except http.client.RemoteDisconnected:
            raise
        except http.client.BadStatusLine as error:  # says nothing but the line, which is the server's
            raise http.client.BadStatusLine("bad status line") from error

    def close(self) -> None:
        super().close()
        self._first.close()

    def read(self, amt: int | None = None) -> bytes:
        if amt is not None:
            return super().read(amt)
        content = super().read(PHOTO_LIMIT + 1)
        if len(content) > PHOTO_LIMIT:
            raise ValueError(TOO_LARGE)
        if self.length:
            raise http.client.IncompleteRead(content, self.length)  # as `read` without a limit does
        if self.headers.get("Content-Encoding", "").lower() in _PACKED:  # nobody asked for it, and some do it anyway
            content = zlib.decompressobj(_GZIP_OR_ZLIB).decompress(content, PHOTO_LIMIT + 1)
            if len(content) > PHOTO_LIMIT:
                raise ValueError(TOO_LARGE)
        return readable(content)  # OpenCV, which decodes it next, drops orientations and turns 16 bits white


class _Connection(http.client.HTTPConnection):
    response_class = _Answer


class _SecureConnection(http.client.HTTPSConnection):
    response_class = _Answer


class _Web(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)


class _SecureWeb(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, req)


def _opener() -> urllib.request.OpenerDirector:
    """What fetches from the web alone: `build_opener` adds handlers for local files, FTP and `data:` addresses."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Web(),
        _SecureWeb(),
    ):
        opener.add_handler(handler)
    return opener


def limit_answers(seconds: float, pause: float) -> None:
    """Have `urllib.request.urlopen`, with which img2dataset fetches, give up on slow answers and spare each host.

    Args:
        seconds: that one answer may take in all.
        pause: seconds from one request to a host to the next.
    """
    opener = _opener()
    turns = HostTurns(pause)

    def urlopen(request: urllib.request.Request, timeout: float | None = None) -> Any:
        turns.wait(request.full_url)
        _limits.until = time.monotonic() + seconds
        return opener.open(request, timeout=timeout)

    urllib.request.urlopen = urlopen  # type: ignore[assignment]


def main() -> None:
    """Call img2dataset with the arguments in a JSON file."""
    from img2dataset import download

    download(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))


# In img2dataset's own processes this module is called `__mp_main__`, and only what stands here is run.
if DEADLINE in os.environ and __name__ in ("__main__", "__mp_main__"):
    limit_answers(float(os.environ[DEADLINE]), float(os.environ.get(HOST_PAUSE, "0")))

if __name__ == "__main__":
    main()
