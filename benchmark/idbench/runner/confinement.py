"""Takes from a process the right to write outside the folders given, enforced by the kernel (Linux: Landlock).

A process that runs third-party code gives up, before it imports that code, to write, create, rename or remove files
outside of a few folders, to trace processes outside of its own family, and, with Linux 6.12, to signal them. It cannot
take that back, nor can what it starts. Kernels without Landlock (before 5.13, or other systems) reject the request, and
then nothing is taken: docs/trust.md says what follows. Reading, and TCP with it, are restricted by `lock` alone.

Numbers and structures are those of linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_VERSION, _PATH_BENEATH, _NO_NEW_PRIVS = 1, 1, 38

_WRITE_FILE, _REMOVE_DIR, _REMOVE_FILE = 1 << 1, 1 << 4, 1 << 5
_MAKE_CHAR, _MAKE_DIR, _MAKE_REG, _MAKE_SOCK, _MAKE_FIFO, _MAKE_BLOCK, _MAKE_SYM = (1 << bit for bit in range(6, 13))
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNAL = 1 << 0, 1 << 1
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1

_OWN = ("/dev", "/proc/self/task")
"""Where every process may write: devices, and the names of its own threads, without which CUDA does not start."""

_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/shm")  # noqa: S108
"""What a process that may read nothing else still needs of `/dev`."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def can_confine() -> bool:
    """Whether this system can hold a process to the folders that it was given."""
    return _abi() > 0


def confine(writable: Iterable[Path]) -> bool:
    """Give up, for this process and all that it starts, to write anywhere but below some folders, and to devices.

    This process alone may still name its threads.

    Args:
        writable: folders and files; missing ones are passed over.

    Returns:
        whether the system could do it. If not, nothing has changed.
    """
    abi = _abi()
    rights = _rights(abi)
    ruleset = _Ruleset(rights, 0, _SCOPE_SIGNAL if abi >= 6 else 0)
    return abi > 0 and _enforce(abi, ruleset, [(path, rights) for path in (*map(Path, _OWN), *writable)])


def lock(writable: Iterable[Path], readable: Iterable[Path]) -> bool:
    """Give up, for this process and all that it starts, everything but some folders: reading, writing, running, TCP.

    Args:
        writable: folders and files that may be read and written; missing ones are passed over.
        readable: folders and files that may be read and run.

    Returns:
        whether the system could do it. If not, nothing has changed.
    """
    abi = _abi()
    reading = _EXECUTE | _READ_FILE | _READ_DIR
    rights = _rights(abi) | reading
    net = _BIND_TCP | _CONNECT_TCP if abi >= 4 else 0
    ruleset = _Ruleset(rights, net, _SCOPE_SIGNAL | _SCOPE_ABSTRACT_SOCKETS if abi >= 6 else 0)
    rules = [(path, rights) for path in (*map(Path, _DEVICES), *writable)]
    return abi > 0 and _enforce(abi, ruleset, [*rules, *((path, reading) for path in readable)])


def _enforce(abi: int, ruleset: _Ruleset, rules: Iterable[tuple[Path, int]]) -> bool:
    """Take from this process every right that the ruleset covers and no rule grants."""
    size = {1: 8, 2: 8, 3: 8, 4: 16, 5: 16}.get(abi, 24)
    descriptor = _call(_CREATE_RULESET, ctypes.byref(ruleset), size, 0)
    if descriptor < 0:
        return False
    try:
        for path, rights in rules:
            _allow(descriptor, path, rights)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            return False
        return _call(_RESTRICT_SELF, descriptor, 0) == 0
    finally:
        os.close(descriptor)


def _rights(abi: int) -> int:
    rights = _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE
    rights |= _MAKE_CHAR | _MAKE_DIR | _MAKE_REG | _MAKE_SOCK | _MAKE_FIFO | _MAKE_BLOCK | _MAKE_SYM
    return rights | (_REFER if abi >= 2 else 0) | (_TRUNCATE if abi >= 3 else 0)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        allowed = rights if path.is_dir() else rights & (_WRITE_FILE | _TRUNCATE | _READ_FILE | _EXECUTE)
        rule = _Beneath(allowed, descriptor)
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(descriptor)


def _abi() -> int:
    """Version of Landlock that the kernel supports; 0 or less without it."""
    if sys.platform != "linux" or platform.python_implementation() != "CPython":
        return 0
    try:
        return _call(_CREATE_RULESET, None, 0, _VERSION)
    except (OSError, AttributeError):
        return 0


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    wrapped = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return int(libc.syscall(ctypes.c_long(number), *wrapped))
