"""Fetches the pictures of a list of pairs with img2dataset, and reads back what it says about success and failure."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any, Final

from idbench.api import Progress
from idbench.errors import IdbenchError
from idbench.programs import disk_full, failure, log_size, run_program
from idbench.splits.cc3m.download import DEADLINE, HOST_PAUSE, TOO_LARGE, TOO_SLOW
from idbench.splits.cc3m.steps import Settings, StepReport
from idbench.splits.photos import NEEDS_HEIF
from idbench.storage import make_dir, storage_errors, write_text

_DIGITS = 5  # of a shard's number in its file name

UNASKABLE: Final = "with an address that cannot be asked"
"""The kind of failure of what is not an address on the web."""

_HTTP = re.compile(r"HTTP Error (\d+)")
_REDIRECTED = {
    "would lead to an infinite loop": "redirected in circles",
    "Redirection to url": "redirected to what is not on the web",
}
"""What urllib says beside the number where it does not follow a redirection."""
_KINDS = (
    ("took longer than the deadline", (TOO_SLOW,)),
    ("too large for a picture", (TOO_LARGE,)),
    (NEEDS_HEIF, ("pillow-heif",)),
    ("not a picture", ("decod", "broken data stream", "image size", "unidentified image")),
    ("not allowed by the server (X-Robots-Tag)", ("disallowed",)),
    ("silent until the timeout", ("timed out", "timeout")),
    ("with a host that nobody knows", ("name or service not known", "name resolution", "getaddrinfo", "no address",
                                       "nodename", "label empty or too long", "idna")),
    ("with a certificate or encryption that fails", ("ssl", "certificate", "tls")),
    ("refused by the host", ("connection refused",)),
    ("with a host out of reach", ("unreachable", "no route")),
    ("broken off by the server", ("reset by peer", "without response", "aborted", "broken pipe", "incompleteread",
                                  "eof occurred", "closed connection")),
    ("answered with what is not HTTP", ("badstatusline", "http/", "got more than", "chunk", "bad status", "header")),
    (UNASKABLE, ("unknown url type", "no host given", "invalid", "nonnumeric port",
                                              "can't contain", "ascii")),
)  # fmt: skip
"""Kinds of failures and what img2dataset's, urllib's and OpenCV's words for them hold, in small letters."""


def fetch_pictures(pairs: Path, n_pairs: int, out: Path, settings: Settings, progress: Progress) -> StepReport:
    """Fetch what has not been fetched yet; shards that are complete are left alone.

    A dead address is a failure that is counted, not an error, and is not tried again by a later call.

    Args:
        pairs: what `read_pairs` wrote.
        n_pairs: its number of rows.
        out: folder for WebDataset shards; holds nothing else.
        settings: picture size, shard size, processes and so on.
        progress: receives the number of complete shards.

    Raises:
        IdbenchError: img2dataset is not installed, or failed.
        StorageError: the disk is full.
    """
    numbers = range(ceil(n_pairs / settings.shard_pairs))
    missing = [number for number in numbers if _stats(out, number) is None]
    if missing:
        if find_spec("img2dataset") is None:
            raise IdbenchError(
                "Fetching pictures needs img2dataset, which is not installed.",
                hint="Run: pip install 'idbench[full-size]'",
            )
        _run(pairs, numbers, make_dir(out), settings, progress)
    return _report(out, numbers)


def shard_file(out: Path, number: int) -> Path:
    """Where a fetched shard lies."""
    return out / f"{number:0{_DIGITS}d}.tar"


def successes(out: Path, number: int) -> int | None:
    """How many pairs img2dataset says are in a shard; None where it has not finished it."""
    stats = _stats(out, number)
    return None if stats is None else int(stats["successes"])


def forget(out: Path, numbers: Iterable[int]) -> None:
    """Remove shards, so that the next call of `fetch_pictures` fetches them again."""
    with storage_errors(out):
        for number in numbers:
            # The statistics first: without them a shard counts as unfinished, whatever else is left.
            for path in (_stats_file(out, number), shard_file(out, number)):
                path.unlink(missing_ok=True)


def arguments(pairs: Path, out: Path, settings: Settings) -> dict[str, Any]:
    """What img2dataset is called with."""
    return {
        "url_list": str(pairs),
        "input_format": "parquet",
        "url_col": "url",
        "caption_col": "caption",
        "output_folder": str(out),
        "output_format": "webdataset",
        "image_size": settings.picture_side,
        "resize_mode": "keep_ratio",
        "resize_only_if_bigger": True,
        "extract_exif": False,
        "compute_hash": None,
        "number_sample_per_shard": settings.shard_pairs,
        "processes_count": settings.processes,
        "thread_count": settings.fetch_threads,
        "timeout": settings.fetch_timeout,
        "retries": settings.fetch_retries,
        "oom_shard_count": _DIGITS,
        "enable_wandb": False,
        "user_agent_token": "idbench",
        "incremental_mode": "incremental",
    }


def _run(pairs: Path, numbers: Sequence[int], out: Path, settings: Settings, progress: Progress) -> None:
    log, file = out.with_name("fetch.log"), out.with_name("fetch.json")
    write_text(file, json.dumps(arguments(pairs, out, settings), indent=2))
    _drop_damaged(out, numbers)

    def watch() -> None:
        done = sum(1 for number in numbers if _stats_file(out, number).exists())
        progress.update(done, len(numbers), "fetching pictures")

    start = log_size(log)
    command = [sys.executable, "-m", "idbench.splits.cc3m.download", str(file)]
    environment = {DEADLINE: str(settings.fetch_deadline)}
    if settings.fetch_host_requests:  # each process keeps its own watch
        environment[HOST_PAUSE] = str(settings.processes / settings.fetch_host_requests)
    status = run_program(command, log, out.with_name("fetch.lock"), watch, environment)
    unfinished = sum(1 for number in numbers if _stats(out, number) is None)
    if status != 0:
        raise failure("Fetching the pictures", status, log, start, "Repeat the command to continue.")
    if unfinished:  # img2dataset leaves with status 0 even when the disk was full
        raise disk_full(log, start) or IdbenchError(
            f"{unfinished} of {len(numbers)} shards could not be fetched.",
            hint=f"Repeat the command to continue. The reasons are in {log}.",
        )


def _drop_damaged(out: Path, numbers: Iterable[int]) -> None:
    """Statistics cut short by a kill would make img2dataset take a shard for complete."""
    with storage_errors(out):
        for number in numbers:
            if _stats(out, number) is None:
                _stats_file(out, number).unlink(missing_ok=True)


def _stats_file(out: Path, number: int) -> Path:
    return out / f"{number:0{_DIGITS}d}_stats.json"


def _stats(out: Path, number: int) -> dict[str, Any] | None:
    try:
        stats: dict[str, Any] = json.loads(_stats_file(out, number).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stats if isinstance(stats, dict) and {"count", "successes", "status_dict"} <= stats.keys() else None


def _report(out: Path, numbers: Iterable[int]) -> StepReport:
    tried, fetched, reasons = 0, 0, Counter[str]()
    for number in numbers:
        stats = _stats(out, number) or {"count": 0, "successes": 0, "status_dict": {}}
        tried += int(stats["count"])
        fetched += int(stats["successes"])
        for why, count in stats["status_dict"].items():
            if why != "success":
                reasons[kind_of(why)] += int(count)  # many of img2dataset's reasons are one of ours
    return StepReport("fetch", {"addresses": tried, "fetched": fetched}, dict(reasons.most_common()))


def kind_of(reason: str) -> str:
    """The kind of a failure, as a report names it; img2dataset's statistics keep its own words.

    A reason of no known kind is its own kind, without what differs from address to address: numbers and quotations.
    """
    if found := _HTTP.search(reason):
        return next((kind for words, kind in _REDIRECTED.items() if words in reason), f"answered with HTTP {found[1]}")
    small = reason.lower()
    for kind, words in _KINDS:
        if any(word in small for word in words):
            return kind
    return " ".join(re.sub(r"""(['"]).*?\1|\S*\d\S*|https?://\S+""", "…", reason).split())[:80] or "no reason given"
