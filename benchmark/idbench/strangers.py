"""What third-party plug-ins say and do, in a process of their own: their code never runs in the process that asks.

Importing a plug-in runs its code, and code that runs in the process which writes records can change what they hold. So
that process asks a short-lived one, `idbench.reader`, which may write only in the folders that it is given.
Answers are closed schemas of bounded size. Those that depend on nothing but the code are kept below the cache by its
hash, so that each is given once and is the same for everybody.

idbench's own plug-ins are imported where they are needed: anybody who can change them can change everything else too.
A plug-in is idbench's own if the distribution `idbench` that is installed here registers it *and* its file lies next to
this one; what a distribution calls itself does not count.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from idbench.errors import IdbenchError, PluginError
from idbench.limits import EXCEEDED, Limits, advice, limits_here
from idbench.plugins import PATIENCE, Plugin, locate
from idbench.processes import Supervised, start_supervised, watched
from idbench.progress import Progress, Reporter, Silent
from idbench.storage import cache_dir, make_dir, read_regular, sha256_bytes, write_text
from idbench.version import __version__
from idbench.workplace import workplace

QUESTION, ANSWER = "question.json", "answer.json"

_READER = "idbench.reader"
_LIMIT = 1 << 20  # bytes of an answer
_LARGEST_SOURCE = 1 << 26  # bytes
_BETWEEN = 0.5  # seconds between looks at the clock
SLOWER = 10  # times as long as the reader needs to start may an import take: on a busy machine both take longer
_REMEMBERED = 3600.0  # seconds for which a plug-in that was too slow is not listed again

_READS = Limits(memory=8 << 30, disk=64 << 20, processes=32, open_files=1024)
"""What a process may use that only reads what a plug-in says of itself; torch takes less than two of the eight GiB."""

A = TypeVar("A", bound=BaseModel)


class Answer(BaseModel):
    """What a reader answers: closed and immutable."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Refusal(Answer):
    """Why a plug-in cannot be used: an error's message and hint."""

    message: Annotated[str, Field(max_length=2000)]
    hint: Annotated[str, Field(max_length=2000)]


class _Late(PluginError):
    """A plug-in was still being imported when its time was over."""


class _Start(Reporter):
    """Notes when a process first reports, which a reader does as it begins to import."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._after: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the process was started."""
        return time.monotonic() - self._begin

    @property
    def after(self) -> float:
        """Seconds until its first report, or until now if there was none."""
        return self.elapsed if self._after is None else self._after

    def update(self, done: float, total: float, description: str) -> None:
        """Note the time of the first report."""
        self._after = self.after


def ask(group: str, plugin: Plugin, question: object, kind: type[A], patience: float = PATIENCE) -> A:
    """What a plug-in says: an answer that was kept, or that a process gives now.

    Args:
        group: the entry-point group, which decides what can be asked.
        plugin: of another distribution.
        question: plain JSON.
        kind: the answer's schema.
        patience: seconds for its import, on a machine that is not busy. With less than `PATIENCE` one that was too slow
            within the last hour is not tried again, unless its code has changed.

    Raises:
        PluginError: it cannot be imported, is not what the group is for, or refuses; the message says why.
    """
    text = json.dumps([group, question], sort_keys=True, default=str)
    key = _key(plugin, text)
    path = None if key is None else cache_dir("cards", f"{key}.json")
    kept = None if path is None else _kept(path, kind)
    if kept is not None:
        return kept
    late = None if path is None else path.with_suffix(".late")
    if late is not None and patience < PATIENCE and _is_recent(late):
        raise _too_slow(plugin, patience)
    try:
        answer = _answer(plugin, text, kind, patience=patience)
    except _Late:
        if late is not None:
            with suppress(IdbenchError):
                write_text(late, "")
        raise
    if path is not None:
        with suppress(IdbenchError):  # a cache that cannot be written costs the next reader a second
            write_text(path, answer.model_dump_json())
    return answer


def let_work(
    group: str, plugin: Plugin, question: object, kind: type[A], writable: Sequence[Path], progress: Progress
) -> A:
    """Let a plug-in do something, for as long as it takes; nothing of the answer is kept.

    Args:
        group: the entry-point group.
        plugin: of another distribution.
        question: plain JSON.
        kind: the answer's schema.
        writable: folders in which it may write, besides one of its own (`own_folder`).
        progress: receives its reports.

    Raises:
        PluginError: it failed.
    """
    own = make_dir(own_folder(plugin))
    return _answer(plugin, json.dumps([group, question], default=str), kind, [*writable, own], progress)


def own_folder(plugin: Plugin) -> Path:
    """Where a stranger's plug-in may keep what outlives its process; the same code alone finds it again."""
    key = _key(plugin, "") or sha256_bytes(f"{plugin.distribution}\0{plugin.value}".encode())[:32]
    return cache_dir("strangers", key)


def _is_recent(path: Path) -> bool:
    with suppress(OSError):
        return 0 <= time.time() - path.stat().st_mtime < _REMEMBERED
    return False


def _too_slow(plugin: Plugin, patience: float) -> _Late:
    waits = f"; a command that names {plugin.name} waits {PATIENCE:g}" if patience < PATIENCE else ""
    return _Late(f"{plugin.value} took more than {patience:g} seconds to be imported{waits}.", hint=_try(plugin))


def _try(plugin: Plugin) -> str:
    return f"Try `python -c 'import {plugin.value.partition(':')[0]}'` to see what it does."


def _answer(
    plugin: Plugin,
    text: str,
    kind: type[A],
    writable: Sequence[Path] | None = None,
    progress: Progress | None = None,
    patience: float = PATIENCE,
) -> A:
    answer = _read(_ask(plugin, text, writable, progress, patience), kind, plugin)
    if isinstance(answer, Refusal):
        raise PluginError(answer.message, hint=answer.hint)
    return answer


def _kept(path: Path, kind: type[A]) -> A | None:
    try:
        return kind.model_validate_json(read_regular(path, _LIMIT))
    except (OSError, ValueError):
        return None


def _key(plugin: Plugin, question: str) -> str | None:
    """What an answer depends on: the code of the plug-in's top package, idbench, Python, the question."""
    module = plugin.value.partition(":")[0]
    top = locate(module.partition(".")[0])
    if top is None or locate(module) is None:
        return None
    files = sorted(top.parent.rglob("*.py")) if top.name == "__init__.py" else [top]
    digest = hashlib.sha256()
    for path in files:
        try:
            data = read_regular(path.resolve(), _LARGEST_SOURCE)
        except (OSError, ValueError):
            return None
        digest.update(f"{path.relative_to(top.parent).as_posix()}\0{len(data)}\0".encode() + data)
    parts = [digest.hexdigest(), plugin.name, plugin.value, plugin.distribution, question]
    parts += [__version__, platform.python_version(), str(_own_code())]
    return sha256_bytes(json.dumps(parts).encode())[:32]


def _own_code() -> int:
    """Changes with what reads plug-ins and with the interface: answers of another version must not be read."""
    here = Path(__file__).parent
    return max(path.stat().st_mtime_ns for folder in ("", "api", "runner") for path in (here / folder).glob("*.py"))


def _ask(
    plugin: Plugin, text: str, writable: Sequence[Path] | None, progress: Progress | None, patience: float
) -> bytes:
    """Start a process, give it the question, and read no more of its answer than an answer may have."""
    with workplace() as place:
        folder = place / "folder"
        folder.mkdir()
        (folder / QUESTION).write_text(text, encoding="utf-8")
        arguments = (plugin.name, plugin.value, plugin.distribution)
        log = place / "log"
        limits = _READS if writable is None else limits_here([folder, *writable])
        with watched(lambda: start_supervised(_READER, folder, limits, writable or (), arguments), log) as process:
            if writable is None:
                status = _read_within(process, plugin, patience)
            else:
                status = process.wait(progress or Silent(), None)
        if (what := EXCEEDED.get(status)) is not None:
            more = _try(plugin) if writable is None else advice(what)
            raise PluginError(f"{plugin.value} was stopped: {limits.sentence(what)}.", hint=more)
        try:
            return read_regular(folder / ANSWER, _LIMIT)
        except (OSError, ValueError) as error:
            raise PluginError(f"{plugin.value} ended the process that imported it.", hint=_try(plugin)) from error


def _read_within(process: Supervised, plugin: Plugin, patience: float) -> int:
    """Wait for a reader's status, but no longer than its plug-in may take.

    Raises:
        _Late: its time is over.
    """
    start = _Start()
    while True:
        with suppress(TimeoutError):
            return process.wait(start, _BETWEEN)
        if start.elapsed > min(PATIENCE, max(patience, SLOWER * start.after)):
            raise _too_slow(plugin, patience)


def _read(data: bytes, kind: type[A], plugin: Plugin) -> A | Refusal:
    for wanted in (kind, Refusal):
        try:
            return wanted.model_validate_json(data)
        except ValueError:
            continue
    raise PluginError(f"{plugin.value} gave an answer that cannot be read.", hint="Use the classes of idbench.api.")
