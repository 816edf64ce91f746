"""Where files go and how they get there: cache folders, atomic writes, hashes, and what the system's errors mean."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from platformdirs import user_cache_path

from idbench.errors import StorageError

if sys.platform != "win32":
    import fcntl

_CHUNK = 1 << 20
_OURS = ".idbench-"
"""Part of the name of whatever is written next to its destination, so that nothing of anybody else is taken for it."""
_SETTINGS = "(BENCH_RESULTS, BENCH_CACHE)"
_SELDOM = {
    errno.EROFS: ("This disk can only be read", f"Choose another place {_SETTINGS}."),
    errno.ENAMETOOLONG: ("File name too long for the disk", "Choose a shorter name."),
    errno.ELOOP: ("The links on this path lead back to themselves", "Check the path."),
}
"""What else keeps a file from being used, and what to do."""
_TEMPORARY = re.compile(rf"\..+{re.escape(_OURS)}[a-z0-9_]{{8}}\.tmp")
_ASIDE = re.compile(rf"\.(.+){re.escape(_OURS)}[a-z0-9_]+\.old")


def cache_dir(*parts: str) -> Path:
    """Folder below the cache root (`BENCH_CACHE`, else the system's place for caches); not created."""
    root = os.environ.get("BENCH_CACHE")
    # Absolute: worker processes have working folders of their own.
    base = expanded(Path(root)).absolute() if root else user_cache_path("idbench")
    return base.joinpath(*parts)


def expanded(path: Path) -> Path:
    """A path with `~` and `~user` replaced.

    Raises:
        StorageError: there is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise StorageError(
            f"{path} names the home folder of a user who does not exist.", hint="Check the path."
        ) from error


def is_there(path: Path) -> bool:
    """Whether something exists under a path that a user gave; a name that cannot exist does not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's errors about `path` into a `StorageError` that says what to do."""
    try:
        yield
    except OSError as error:
        raise explain(error, path) from error


def explain(error: OSError, path: Path) -> StorageError:
    """The `StorageError` that tells a person what `error` about `path` means."""
    # numpy reports a partly written array without the system's error number.
    partly = error.errno is None and " requested and " in str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or partly:
        return StorageError(
            f"No space left on the disk that holds {path}.",
            hint="Free some space and repeat the command: finished work is kept.",
        )
    if error.errno in _SELDOM:
        sentence, hint = _SELDOM[error.errno]
        return StorageError(f"{sentence}: {path}.", hint=hint)
    if isinstance(error, PermissionError):
        return StorageError(
            f"No permission to use {path}.",
            hint=f"Change its permissions; results and cache can go to another folder {_SETTINGS}.",
        )
    if isinstance(error, FileNotFoundError):
        return StorageError(f"{path} does not exist.", hint="Check the path.")
    if isinstance(error, (NotADirectoryError, FileExistsError, IsADirectoryError)):
        return _in_the_way(error, path)
    return StorageError(f"Cannot use {path}: {error.strerror or error}.", hint="Check the disk and the path.")


def _in_the_way(error: OSError, path: Path) -> StorageError:
    """What is a file where a folder is needed, or the reverse: often not `path` but something on the way to it."""
    if isinstance(error, IsADirectoryError):
        return StorageError(f"{path} is in the way: it is a folder, and a file is needed there.", hint="Move it.")
    for place in (*reversed(path.parents), path):
        if place.is_symlink() and not is_there(place):
            return StorageError(f"{place} is in the way: it is a link to nothing.", hint="Remove it.")
        if is_there(place) and not place.is_dir():
            return StorageError(
                f"{place} is in the way: it is not a folder, and one is needed there.",
                hint=f"Choose another place {_SETTINGS}, or move it.",
            )
    return StorageError(f"{path} is in the way: a file where a folder is needed, or the reverse.", hint="Move it.")


@contextmanager
def _creation_errors(path: Path) -> Iterator[None]:
    """The same while something is created: what does not exist then is a place that could hold it."""
    try:
        with storage_errors(path):
            yield
    except StorageError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        place = next((place for place in (path, *path.parents) if is_there(place)), path)
        raise StorageError(
            f"Nothing can be created in {place}: it was removed, or is not an ordinary folder.",
            hint=f"Choose another place {_SETTINGS}.",
        ) from error


def make_dir(path: Path) -> Path:
    """Create a folder with its parents; it may exist already."""
    with _creation_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def check_writable(folder: Path, option: str) -> None:
    """Find out before hours of work, not after them, whether files can be written into a folder; made if missing.

    Args:
        folder: the folder.
        option: names it on the command line, for the error's text.

    Raises:
        StorageError: no space or no permission.
    """
    try:
        make_dir(folder)
        with _creation_errors(folder), tempfile.TemporaryFile(dir=folder):
            pass
    except StorageError as error:
        raise StorageError(error.message, hint=f"Choose another place with {option}.") from error


def check_creatable(path: Path) -> None:
    """Find out before hours of work, not after them, whether a file or folder can be created; nothing is left behind.

    Args:
        path: what will be created, with those of its parents that are missing.

    Raises:
        StorageError: no permission, or no place for files.
    """
    there = next((place for place in path.parents if is_there(place)), path.parent)
    with _creation_errors(there), tempfile.TemporaryFile(dir=there):
        pass


def check_space(folder: Path, size: int, option: str) -> None:
    """Find out before hours of work, not after them, whether that many bytes can be written into a folder.

    The bytes are really claimed for a moment: the free space that a disk reports ignores quotas.

    Args:
        folder: made if missing.
        size: bytes that will be written.
        option: names the folder on the command line, for the error's text.

    Raises:
        StorageError: no space or no permission.
    """
    check_writable(folder, option)
    try:
        with storage_errors(folder), tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, max(1, size))
            elif shutil.disk_usage(folder).free < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except StorageError as error:
        needed = f"{size / 2**20:.0f} MiB are needed: free some space, or choose another place with {option}."
        raise StorageError(error.message, hint=needed) from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary neighbour of `path` that replaces it when the block ends well and vanishes when it does not.

    Readers see the old file or the complete new one, whatever happens in between, a kill included.
    """
    make_dir(path.parent)
    with storage_errors(path):
        _sweep(path.parent)
        with _creation_errors(path.parent):
            temporary, lock = _claimed(lambda: _empty_file(path))
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            # mkstemp makes files private to the user; results are meant to be shared.
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
            _release(lock)


def _empty_file(path: Path) -> str:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}{_OURS}", suffix=".tmp", dir=path.parent)
    os.close(handle)
    return name


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file atomically."""
    write_bytes(path, text.encode())


@contextmanager
def atomic_dir(path: Path) -> Iterator[Path]:
    """A temporary folder that becomes `path` when the block ends well; an older `path` is replaced only then."""
    make_dir(path.parent)
    with storage_errors(path):
        _sweep(path.parent)
        with _creation_errors(path.parent):
            temporary, lock = _claimed(
                lambda: tempfile.mkdtemp(prefix=f".{path.name}{_OURS}", suffix=".tmp", dir=path.parent)
            )
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            if path.exists():
                _replace_folder(path, temporary)
            else:
                temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            _release(lock)


def _replace_folder(path: Path, new: Path) -> None:
    """Two renames, since no system replaces a folder in one; a kill between them is what `recover` is for."""
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}{_OURS}", suffix=".old", dir=path.parent))
    with _in_use(old):
        path.replace(old / "old")
        new.replace(path)
        shutil.rmtree(old, ignore_errors=True)


def require_regular(path: Path) -> None:
    """Refuse what is not a regular file before something opens it by its path: opening a pipe waits forever.

    Raises:
        OSError: it is a pipe, a device or a folder, or is missing.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def read_bounded(path: Path, limit: int) -> bytes:
    """A whole regular file of at most `limit` bytes.

    Raises:
        StorageError: it cannot be read, is larger, or is not a regular file (opening a pipe would wait forever).
    """
    with storage_errors(path):
        # Without O_NONBLOCK, opening a pipe without a writer never returns.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise StorageError(f"{path} is not a regular file.", hint="Give the path of a file.")
            data = _read_up_to(file, limit)
    if data is None:
        raise StorageError(f"{path} cannot be read to its end.", hint="Give the path of a file.")
    if len(data) > limit:
        raise StorageError(f"{path} is larger than {limit:,} bytes.", hint="Check that it is the file you mean.")
    return data


def _read_up_to(file: BinaryIO, limit: int) -> bytes | None:
    """What a file holds, at most a byte more than `limit`; None for a file of the kernel's that has nothing to say now.

    Room is made for what is there and not for the limit: making room for 64 MiB takes longer than reading a few kB.
    """
    size = os.fstat(file.fileno()).st_size
    data = file.read(min(size, limit) + 1)
    if data is None or len(data) <= size:
        return data
    more = file.read(max(0, limit + 1 - len(data)))  # it grew, or is one of the kernel's, which state no size
    return data + (more or b"")


def recover(path: Path) -> None:
    """Clear up after processes that were killed while they wrote `path`; those that still write it are left alone.

    A folder that had been moved aside and whose replacement never came is put back; temporary neighbours go. Only
    names that `atomic_path` and `atomic_dir` give are looked at.
    """
    if not path.parent.is_dir():
        return
    with storage_errors(path):
        for old in sorted(path.parent.glob(f".{glob.escape(path.name)}{_OURS}*.old")):
            if _abandoned(old):
                if (old / "old").exists() and not os.path.lexists(path):
                    (old / "old").replace(path)
                shutil.rmtree(old, ignore_errors=True)
        for temporary in path.parent.glob(f".{glob.escape(path.name)}{_OURS}*.tmp"):
            if not _abandoned(temporary):
                continue
            if temporary.is_dir() and not temporary.is_symlink():
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                temporary.unlink(missing_ok=True)


def restored(path: Path) -> Path:
    """Where a folder is read: its own place; one that a kill left moved aside, its replacement missing, is put back.

    Where nothing may be written the folder is read where it lies. A folder that somebody replaces now is left alone.
    """
    with suppress(OSError, ValueError):
        if os.path.lexists(path):
            return path
        asides = sorted(path.parent.glob(f".{glob.escape(path.name)}{_OURS}*.old"))
        if asides:
            with suppress(StorageError):
                recover(path)
            if not os.path.lexists(path):
                return next((old / "old" for old in asides if (old / "old").exists() and _abandoned(old)), path)
    return path


def aside_for(name: str) -> str:
    """The name of the folder that `name` holds aside while it is replaced, see `restored`; empty if it is none such."""
    found = _ASIDE.fullmatch(name)
    return found[1] if found else ""


def _claimed(make: Callable[[], str]) -> tuple[Path, int | None]:
    """A new temporary file or folder, and the lock on it, by which others know that somebody writes there.

    Another process may sweep between creation and locking: then it is made again.
    """
    while True:
        temporary = Path(make())
        if sys.platform == "win32":
            return temporary, None
        try:
            handle = os.open(temporary, os.O_RDONLY)
        except FileNotFoundError:
            continue
        with suppress(OSError):  # a file system without such locks: there nobody sweeps
            fcntl.flock(handle, fcntl.LOCK_EX)
        if temporary.exists():
            return temporary, handle
        os.close(handle)


def _release(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


def _sweep(folder: Path) -> None:
    """Remove the temporary files and folders that killed processes left in a folder, whatever they were to become."""
    if sys.platform == "win32":
        return
    with suppress(OSError):
        for entry in os.scandir(folder):
            if _TEMPORARY.fullmatch(entry.name) and not entry.is_symlink():
                _remove_if_left(Path(entry.path))


def _remove_if_left(temporary: Path) -> None:
    """Remove what nobody holds a lock on, holding it meanwhile; without locks nobody can know, and it stays."""
    with suppress(OSError):
        handle = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if os.fstat(handle).st_uid != os.getuid():
                return
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if temporary.is_dir():
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                temporary.unlink(missing_ok=True)
        finally:
            os.close(handle)


@contextmanager
def _in_use(path: Path) -> Iterator[None]:
    """Hold a lock on a file or folder for as long as the block lasts; the system drops it when the process ends."""
    if sys.platform == "win32":
        yield
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without such locks: then others must wait by a lock file
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _abandoned(path: Path) -> bool:
    """Whether the process that wrote a temporary file or folder has ended."""
    if sys.platform == "win32":
        return True
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False  # finished in this moment
    except OSError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        os.close(handle)
    return True


def read_regular(path: Path, limit: int) -> bytes:
    """The bytes of a file that somebody else wrote: never waits, never reads more than `limit` bytes.

    Raises:
        ValueError: not a regular file (a link, a pipe, a device, a folder), or larger than `limit`.
        OSError: missing, or the disk cannot be read.
    """
    # A pipe would block at opening; a link may lead anywhere.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise ValueError(f"{path.name} is not a regular file") from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{path.name} is not a regular file")
        data = _read_up_to(file, limit)
    if data is None:
        raise ValueError(f"{path.name} cannot be read to its end")
    if len(data) > limit:
        raise ValueError(f"{path.name} has more than {limit} bytes")
    return data


def copy_files(source: Path, target: Path) -> None:
    """Copy whatever is in a folder into another one that exists. `shutil.copytree` hides the underlying error."""
    for place in sorted(source.rglob("*")):
        copy = target / place.relative_to(source)
        with storage_errors(copy):
            if place.is_dir():
                copy.mkdir(exist_ok=True)
            else:
                shutil.copyfile(place, copy)


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with storage_errors(path):
        require_regular(path)
    with storage_errors(path), path.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


def sha256_bytes(data: bytes | memoryview) -> str:
    """Hexadecimal SHA-256 of bytes in memory."""
    return hashlib.sha256(data).hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
