"""What a process with third-party code may use of the machine, with all that it starts, and how that is watched.

Memory, processes, threads and disk space are measured from outside, by a supervisor: a bound on address space, which
the system would hold by itself, is met by CUDA's reservations long before any memory is used. The size of one file and
the number of open ones are held by the system. docs/trust.md says what may be exceeded, and for how long.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from idbench.errors import IdbenchError

if TYPE_CHECKING:
    import psutil

_GIB: Final = 1 << 30
_SHARE: Final = 0.8  # of the machine's memory, and of what is free on its disks
_PROCESSES: Final = 256
_THREADS_EACH: Final = 16
_OPEN_FILES: Final = 16_384
_MOST: Final = 1 << 60

LOOK: Final = 0.1  # seconds between looks at what is used
_SEARCH_APART, _APART = 200, 20  # looks for processes, and at shares and the disk, are as many times apart as they take
_LOOK_AT_DISK: Final = 1.0
_SLACK: Final = 1 / 64
_FILE: Final = 1 << 12  # bytes that a file counts beside what it holds: a disk has room for so many files, empty or not
_IN_MEMORY: Final = ("/memfd:", "/dev/shm/")  # noqa: S108  names of files that lie in memory
_CGROUPS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")

_TASKS: Final = Path("/proc/self/task").is_dir()
"""Whether the system counts threads as entries of a folder (Linux), which is faster than to ask for them."""

_CHILDREN: Final = Path(f"/proc/self/task/{os.getpid()}/children").is_file()
"""Whether the system lists the children of a thread (most Linux), which is faster than to ask every process for its
parent and does not take longer where other people's processes are many.
"""

EXCEEDED: Final = {121: "memory", 122: "processes", 123: "threads", 124: "disk"}
"""Exit statuses of a supervisor that ended what exceeded a limit, and which one it was."""

_SETTINGS: Final = {
    "memory": ("BENCH_MEMORY", "GiB"),
    "processes": ("BENCH_PROCESSES", "processes"),
    "threads": ("BENCH_PROCESSES", "processes"),
    "disk": ("BENCH_DISK", "GiB"),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a process and all that it starts may use.

    Args:
        memory: bytes that are in memory at once; what several processes share counts once (Linux).
        disk: bytes that may be written, and the largest file.
        processes: at once; there may be 16 times as many threads.
        open_files: of one process, at once.
    """

    memory: int
    disk: int
    processes: int
    open_files: int

    @property
    def threads(self) -> int:
        """Threads at once, of all its processes together."""
        return _THREADS_EACH * self.processes

    def word(self) -> str:
        """All of it as one word of a command line."""
        return ",".join(map(str, astuple(self)))

    @classmethod
    def of_word(cls, word: str) -> Limits:
        """What `word` wrote."""
        return cls(*map(int, word.split(",")))

    def sentence(self, what: str) -> str:
        """How a process exceeded a limit of `EXCEEDED`."""
        return {
            "memory": f"it held more than {self.memory / _GIB:.3g} GiB of memory",
            "processes": f"it had more than {self.processes} processes at once",
            "threads": f"it had more than {self.threads} threads at once",
            "disk": f"it wrote more than {self.disk / _GIB:.3g} GiB",
        }[what]


def advice(what: str) -> str:
    """What to do if a method needs more than a limit of `EXCEEDED` lets it have."""
    name, unit = _SETTINGS[what]
    return f"If that is what it needs, set {name} to more {unit} and repeat the command."


def limits_here(places: Sequence[Path]) -> Limits:
    """The limits of a run on this machine: from BENCH_MEMORY, BENCH_DISK, BENCH_PROCESSES and BENCH_OPEN_FILES.

    Without them, four fifths of the memory and of what is free on the disk; 256 processes, or four for each processor
    where that is more; as many open files as the system allows, up to 16,384.

    Args:
        places: where the run may write; the disk with the least space counts.

    Raises:
        IdbenchError: a setting is not a positive number.
    """
    memory, disk = _setting("BENCH_MEMORY", _GIB), _setting("BENCH_DISK", _GIB)
    if disk is None:
        free = [shutil.disk_usage(place).free for place in places if place.is_dir()]
        disk = int(_SHARE * min(free, default=_MOST))
    return Limits(
        memory=int(_SHARE * _memory_here()) if memory is None else memory,
        disk=disk,
        processes=_setting("BENCH_PROCESSES") or max(_PROCESSES, 4 * (os.cpu_count() or 1)),
        open_files=_setting("BENCH_OPEN_FILES") or _OPEN_FILES,
    )


def _setting(name: str, unit: int = 1) -> int | None:
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    try:
        value = float(text) * unit
    except ValueError:
        value = 0.0
    if not 1 <= value <= _MOST:
        raise IdbenchError(
            f"{name} is {text[:40]!r}, which is not a limit.",
            hint=f"Set it to a {'number of GiB' if unit > 1 else 'whole number'} above 0, or not at all.",
        )
    return int(value)


def _memory_here() -> int:
    """Bytes of memory of this machine, or of the container that this process is in."""
    import psutil

    found = [int(psutil.virtual_memory().total)]
    for path in map(Path, _CGROUPS):
        with suppress(OSError, ValueError):
            found.append(int(path.read_text(encoding="ascii")))
    return min(found)


def hold(limits: Limits) -> None:
    """Bound, for this process and all that it starts, what the system itself can bound: files, and no core dump."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for what, most in (
        (resource.RLIMIT_FSIZE, limits.disk),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        soft, hard = (_MOST if each == resource.RLIM_INFINITY else each for each in resource.getrlimit(what))
        with suppress(ValueError, OSError):
            resource.setrlimit(what, (min(soft, most), min(hard, most)))


class Usage:
    """What this process's children use, looked at again and again, and seldom enough to cost them nothing.

    Args:
        limits: what they may use.
        places: folders in which they may write.
    """

    def __init__(self, limits: Limits, places: Sequence[Path]) -> None:
        self._limits = limits
        self._places = [place for place in places if place.is_dir()]
        self._free = _free(self._places)
        self._since = time.time()
        self._family: dict[int, psutil.Process] = {}
        self._next_search = self._next_shares = self._next_disk = 0.0

    @property
    def looks(self) -> tuple[Callable[[], int | None], ...]:
        """What to ask every `LOOK` seconds, each in a thread of its own: the system may keep one waiting for long.

        Each gives the status of `EXCEEDED` that says what is exceeded; None while nothing is.
        """
        return self._at_numbers, self._at_memory, self._at_disk

    def _at_numbers(self) -> int | None:
        begin = time.thread_time()  # of the processor: on a busy machine, looks must not become seldom
        if time.monotonic() >= self._next_search:
            if self._search() > self._limits.processes:
                return 122
            self._next_search = _next(begin, _SEARCH_APART)
        return 123 if _threads(self._family.values()) > self._limits.threads else None

    def _at_memory(self) -> int | None:
        import psutil

        family, total = list(self._family.values()), 0
        for process in family:
            with suppress(psutil.Error):
                total += process.memory_info().rss
        if total > self._limits.memory and len(family) > 1:
            if time.monotonic() < self._next_shares:
                return None
            begin = time.thread_time()
            total = sum(map(_own_memory, family))  # takes longer: what they share is taken apart
            self._next_shares = _next(begin, _APART)
        return 121 if total > self._limits.memory else None

    def _at_disk(self) -> int | None:
        begin = time.thread_time()
        if time.monotonic() < self._next_disk:
            return None
        on_disk, in_memory = _hidden(self._family.values())
        if in_memory > self._limits.memory:
            return 121
        if self._wrote_too_much(on_disk):
            return 124
        self._next_disk = max(time.monotonic() + _LOOK_AT_DISK, _next(begin, _APART))
        return None

    def _search(self) -> int:
        """Look for processes; how many there are. Too many are counted and not looked at."""
        import psutil

        found = _descendants()
        if len(found) <= self._limits.processes:
            family = {}
            for pid in found:
                with suppress(psutil.Error):
                    family[pid] = self._family.get(pid) or psutil.Process(pid)
            self._family = family  # at once: other threads read it
        return len(found)

    def _wrote_too_much(self, hidden: int) -> bool:
        """Whether what they wrote since they began is more than the limit; files are counted only where disks fill.

        Args:
            hidden: bytes of files that they removed and hold open.
        """
        now = _free(self._places)
        if all(self._free[place] - now.get(place, 0) < self._limits.disk // 2 for place in self._free):
            return False
        # A file that the system stopped at the limit is not above it: blocks and small files beside it are let pass.
        return _written(self._places, self._since) + hidden > self._limits.disk * (1 + _SLACK)


def _free(places: Iterable[Path]) -> dict[Path, int]:
    """Bytes that are free on the disk of each place; each file that it can still hold counts as `_FILE` more."""
    found = {}
    for place in places:
        with suppress(OSError):
            files = os.statvfs(place).f_favail if hasattr(os, "statvfs") else 0
            found[place] = shutil.disk_usage(place).free + files * _FILE
    return found


def _next(begin: float, apart: int) -> float:
    """When to look again after a look that began at a `time.thread_time()`."""
    return time.monotonic() + apart * (time.thread_time() - begin)


def _descendants() -> set[int]:
    """The numbers of all processes that this one has started, and those have started."""
    import psutil

    if not _CHILDREN:
        with suppress(psutil.Error):
            return {process.pid for process in psutil.Process().children(recursive=True)}
        return set()
    found: set[int] = set()
    waiting = [os.getpid()]
    while waiting:
        with suppress(OSError):
            for task in Path(f"/proc/{waiting.pop()}/task").iterdir():
                with suppress(OSError):
                    new = set(map(int, (task / "children").read_bytes().split())) - found
                    found |= new
                    waiting += new
    return found


def _threads(family: Iterable[psutil.Process]) -> int:
    import psutil

    total = 0
    for process in family:
        with suppress(psutil.Error, OSError):
            if _TASKS:
                total += Path(f"/proc/{process.pid}/task").stat().st_nlink - 2
            else:
                total += process.num_threads()
    return total


def _own_memory(process: psutil.Process) -> int:
    """Bytes, with its share of what others use too."""
    import psutil

    with suppress(OSError, ValueError, StopIteration):
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) << 10
    with suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def _written(places: Iterable[Path], since: float) -> int:
    """Bytes on disk of the files and folders below some folders changed after a time, `_FILE` more for each."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for place in places:
        for folder, folders, names in os.walk(place):
            for name in (*folders, *names):
                with suppress(OSError):
                    about = Path(folder, name).lstat()
                    key = (about.st_dev, about.st_ino)
                    if about.st_ctime >= since - 1 and key not in seen:
                        seen.add(key)
                        total += about.st_blocks * 512 + _FILE
    return total


def _hidden(family: Iterable[psutil.Process]) -> tuple[int, int]:
    """Bytes of files that no folder names and some processes hold open: on disks, and in memory (Linux)."""
    seen: set[tuple[int, int]] = set()
    on_disk = in_memory = 0
    for process in family:
        with suppress(OSError):
            for handle in os.scandir(f"/proc/{process.pid}/fd"):
                with suppress(OSError):
                    about = handle.stat()
                    key = (about.st_dev, about.st_ino)
                    if not stat.S_ISREG(about.st_mode) or about.st_nlink or key in seen:
                        continue
                    seen.add(key)
                    if str(Path(handle.path).readlink()).startswith(_IN_MEMORY):
                        in_memory += about.st_blocks * 512
                    else:
                        on_disk += about.st_blocks * 512
    return on_disk, in_memory
