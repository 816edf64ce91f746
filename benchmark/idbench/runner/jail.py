"""A locked process for third-party code: nothing to read but what it needs, no network, and limits that end it.

Started as `python -P -m idbench.runner.jail LOCK`, where LOCK is a file with a `Lock`. This process makes namespaces of
its own (user, mount, process, network, communication), starts the command in them, held by Landlock to some folders,
and watches over it from outside. Linux has what this needs without any installation: Landlock from 5.13 on, and user
namespaces where the administrator has not switched them off. Where either is missing, nothing is started, and the exit
status says so.

Numbers are those of linux/sched.h, sys/mount.h, linux/prctl.h and linux/capability.h.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from idbench.runner.confinement import can_confine, lock
from idbench.workplace import workplace

NO_LOCK: Final = 97
"""Exit status: the system cannot lock a process in."""
ENDED: Final = 98
"""Exit status: a limit was exceeded; the file `Lock.ended` says which."""

_NEW_NS, _NEW_UTS, _NEW_IPC, _NEW_USER, _NEW_PID, _NEW_NET = 0x20000, 0x4000000, 0x8000000, 1 << 28, 1 << 29, 1 << 30
_PRIVATE, _RECURSIVE, _NO_SUID, _NO_DEV, _NO_EXEC = 1 << 18, 1 << 14, 2, 4, 8
_DROP_CAPABILITY, _CAPABILITIES = 24, 41
_LOOK: Final = 0.05  # seconds between looks at what it uses
_LOOK_AT_DISK: Final = 1.0
_SYSTEM: Final = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/proc", "/sys/devices/system", "/sys/fs/cgroup")
_SETTINGS: Final = ("/etc/ld.so.cache", "/etc/localtime", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group")


class LockLimits(BaseModel):
    """What a locked process may use, with all that it starts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory: int = Field(default=8 << 30, ge=1 << 28, description="bytes")
    disk: int = Field(default=2 << 30, ge=1 << 20, description="bytes below the folders that it may write")
    processes: int = Field(default=32, ge=1)


class Lock(BaseModel):
    """How a command is locked in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: tuple[str, ...] = Field(min_length=1)
    folder: Path = Field(description="current folder of the command; it may write there and nowhere else")
    readable: tuple[Path, ...] = Field(description="what it may read besides; the system's and Python's own are added")
    environment: dict[str, str] = Field(description="all of it")
    ended: Path = Field(description="file for why it was ended; outside of what it may write")
    limits: LockLimits = LockLimits()


@lru_cache(maxsize=1)
def can_lock() -> bool:
    """Whether this system can lock a process in: it is tried."""
    if sys.platform != "linux" or not can_confine():
        return False
    with workplace() as place:
        folder = place / "folder"
        folder.mkdir()
        process = start(Lock(
            command=(sys.executable, "-I", "-S", "-c", "pass"), folder=folder, readable=(),
            environment=locked_environment(folder), ended=place / "ended",
        ), place)  # fmt: skip
        try:
            return process.wait(60) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            process.kill()
            process.communicate()


def start(locked: Lock, place: Path) -> subprocess.Popen[bytes]:
    """Start a command in a lock; it ends when the standard input of the process that is returned is closed.

    Args:
        locked: what, and how.
        place: a folder for the lock's own file; the command cannot read it.
    """
    file = place / "lock.json"
    file.write_text(locked.model_dump_json(), encoding="utf-8")
    return subprocess.Popen(  # noqa: S603  our own interpreter and module
        [sys.executable, "-P", "-m", "idbench.runner.jail", str(file)],
        cwd=place,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def locked_environment(folder: Path) -> dict[str, str]:
    """The environment of a locked process: no token, no home, no cache but its folder."""
    kept = (
        "PATH",
        "PYTHONPATH",
        "LD_LIBRARY_PATH",
        "LANG",
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "CUDA_VISIBLE_DEVICES",
    )
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    own = {name: str(folder) for name in ("HOME", "TMPDIR", "BENCH_CACHE", "HF_HOME", "XDG_CACHE_HOME", "TORCH_HOME")}
    return environment | own | {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def system_paths() -> list[Path]:
    """What every Python process has to read: the system, the interpreter, what is installed."""
    # What Python puts first, the folder of the script or the current one, locked processes do not get (-P).
    imported = sys.path if sys.flags.safe_path else sys.path[1:]
    python = [sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values(), *filter(None, imported)]
    found = dict.fromkeys(Path(place) for place in (*_SYSTEM, *_SETTINGS, *python))
    # What links lead to is looked up by the path that it has.
    return [each for place in found for each in {place, _resolved(place)} if each.exists() and each != Path("/")]


def _resolved(path: Path) -> Path:
    with suppress(OSError, RuntimeError):
        return path.resolve()
    return path


def exposed(secret: Iterable[Path], readable: Sequence[Path] = ()) -> Path | None:
    """A folder of the system's or Python's own in which something lies that must not be read; None if none does."""
    places = [*system_paths(), *readable]
    for path in secret:
        place = _resolved(path)
        if found := next((each for each in places if place.is_relative_to(each)), None):
            return found
    return None


def main() -> int:
    """Lock the command of a file in; the status is its own, or one of those above."""
    spec = Lock.model_validate_json(Path(sys.argv[1]).read_bytes())
    if not isolated():
        return NO_LOCK
    child = os.fork()
    if child == 0:
        os._exit(_inside(spec))
    return _watch(child, spec)


def isolated() -> bool:
    """Put this process's future children into namespaces of their own; False, and nothing else, if that cannot be."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(_NEW_USER | _NEW_PID | _NEW_NET | _NEW_IPC | _NEW_UTS) != 0:
        return False
    try:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    except OSError:
        return False
    return True


def _inside(spec: Lock) -> int:
    """The first process of the new namespaces: when it ends, the kernel ends all others."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NS) != 0 or libc.mount(b"none", b"/", None, _PRIVATE | _RECURSIVE, None) != 0:
        return NO_LOCK
    # Its own processes are all that it can see, and sockets of the system's services lie below /run.
    size = f"size={min(spec.limits.memory, spec.limits.disk)}".encode()
    for kind, place, options in ((b"proc", "/proc", None), (b"tmpfs", "/dev/shm", size), (b"tmpfs", "/run", None)):  # noqa: S108
        if not Path(place).is_dir() or any(each.is_relative_to(place) for each in (spec.folder, *spec.readable)):
            continue
        if libc.mount(kind, place.encode(), kind, _NO_SUID | _NO_DEV | _NO_EXEC, options) != 0:
            return NO_LOCK
    _limit(spec.limits)
    places = [*system_paths(), *spec.readable]

    def give_up() -> None:
        for capability in range(_CAPABILITIES):
            libc.prctl(_DROP_CAPABILITY, capability, 0, 0, 0)
        if not lock([spec.folder], places):
            os._exit(NO_LOCK)

    process = subprocess.Popen(  # noqa: S603  the caller's own command
        spec.command,
        cwd=spec.folder,
        env=spec.environment,
        stdin=subprocess.PIPE,  # never written to; workers end when it is closed
        preexec_fn=give_up,  # noqa: PLW1509  no thread runs yet
    )
    while True:  # as the first process, it is the parent of every orphan
        with suppress(ChildProcessError):
            pid, status = os.waitpid(-1, 0)
            if pid == process.pid:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code


def _limit(limits: LockLimits) -> None:
    for what, value in (
        (resource.RLIMIT_DATA, limits.memory),
        (resource.RLIMIT_FSIZE, limits.disk),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 512),  # threads count, too, and those of this user elsewhere; the watch is stricter
    ):
        hard = resource.getrlimit(what)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(what, (bound, bound))


def _watch(child: int, spec: Lock) -> int:
    """Wait for the first process; end it when a limit is exceeded, or when the parent is gone."""
    import psutil

    inner, next_look = psutil.Process(child), 0.0
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        reason = _too_much(inner, spec.limits)
        if not reason and time.monotonic() > next_look:
            reason = _too_large(spec)
            next_look = time.monotonic() + _LOOK_AT_DISK
        if reason or _abandoned():
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            if reason:
                spec.ended.write_text(reason, encoding="utf-8")
            return ENDED
        time.sleep(_LOOK)


def _too_much(inner: object, limits: LockLimits) -> str:
    import psutil

    assert isinstance(inner, psutil.Process)
    try:
        family = [inner, *inner.children(recursive=True)]
    except psutil.Error:
        return ""
    if len(family) > limits.processes + 2:  # the first process, and the one that was asked for
        return f"it started more than {limits.processes} processes"
    memory = 0
    for process in family:
        with suppress(psutil.Error):
            memory += process.memory_info().rss
    return f"it used more than {limits.memory / 2**30:.1f} GiB of memory" if memory > limits.memory else ""


def _too_large(spec: Lock) -> str:
    total = 0
    for place, _, names in os.walk(spec.folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_blocks * 512  # noqa: PTH118  fast: looked at often
    if total > spec.limits.disk:
        return f"it wrote more than {spec.limits.disk / 2**30:.1f} GiB"
    if shutil.disk_usage(spec.folder).free < 16 << 20:
        return "the disk is full"
    return ""


def _abandoned() -> bool:
    """Whether the other end of standard input, which the parent holds, is closed."""
    ready, _, _ = select.select([0], [], [], 0)
    return bool(ready) and not os.read(0, 1024)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)
