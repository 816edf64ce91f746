"""Decides whether a command may write to a given path: nothing is destroyed that it did not make itself."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeAlias

from idbench.errors import StorageError
from idbench.storage import atomic_dir, check_creatable, expanded, is_there, read_bounded, recover, storage_errors

MARKER: Final = ".made-by-idbench.json"
"""Lies in every folder that a command wrote as a whole, and lists what it wrote."""

Note: TypeAlias = Callable[[str], None]
_MARKER_BYTES: Final = 1 << 26
_SHOWN: Final = 4


def _unheard(sentence: str) -> None:
    """Tell nobody."""


def resolved(path: Path) -> Path:
    """Where a path leads; a link that a person put there stays, and what it leads to is written.

    Raises:
        StorageError: the links lead nowhere.
    """
    with storage_errors(path):
        try:
            return expanded(path).resolve()
        except RuntimeError as error:  # a loop of links
            raise StorageError(f"{path} cannot be resolved: {error}.", hint="Check the path.") from error


def check_outside(out: Path, inputs: Iterable[Path]) -> None:
    """Refuse to write into what a command reads.

    Raises:
        StorageError: `out` is one of the inputs or lies within one.
    """
    place = resolved(out)
    for path in inputs:
        if _is_within(place, resolved(path)):
            raise StorageError(
                f"{out} lies within {path}, which this command reads.",
                hint="Name a folder that is separate from the input.",
            )


def check_folder(
    out: Path, kind: str, inputs: Iterable[Path] = (), *, force: bool | None = None, note: Note = _unheard
) -> None:
    """Refuse a folder that cannot be written without destroying what this program did not make.

    A folder may be written where nothing is, where an empty folder is, or where the marker says that the same kind of
    output lies there and nothing else was put next to it. What a kill left of an earlier writing is cleared up first.

    Args:
        out: the folder to write; what is in it would be replaced as a whole.
        kind: what will be written, e.g. `board`; part of the marker.
        inputs: what the command reads. Neither may lie within the other, with or without `force`.
        force: write even over what carries no marker, or more than the marker lists; None: there is no such option.
        note: receives a sentence on what `force` removes beyond this program's own files, before anything is removed.

    Raises:
        StorageError: the folder must not or cannot be written; the message says why, the hint what to do.
    """
    place = resolved(out)
    _refuse_overlap(out, place, inputs)
    _refuse_surroundings(out, place)
    _refuse_unwritable(out, place)
    recover(place)
    with storage_errors(out):
        if not place.exists():
            return
        if not place.is_dir():
            raise StorageError(f"{out} is a file.", hint="Name a folder that does not exist yet.")
        there = _files(place)
    foreign = sorted(there - _made(place, kind))
    if not foreign:
        return
    more = f" and {len(foreign) - _SHOWN} more" if len(foreign) > _SHOWN else ""
    shown = f"{', '.join(foreign[:_SHOWN])}{more}"
    if not force:
        raise StorageError(
            f"{out} holds what is not a {kind} written by idbench: {shown}.",
            hint="Name another folder, or remove that one first"
            + ("." if force is None else "; --force replaces it with all that is in it."),
        )
    note(f"--force replaces {out}, and with it {shown}")


def check_file(
    out: Path,
    kind: str,
    is_own: Callable[[Path], bool],
    inputs: Iterable[Path] = (),
    *,
    force: bool | None = None,
    note: Note = _unheard,
) -> Path:
    """Refuse a file that cannot be written without destroying what this program did not make.

    Args:
        out: the file to write.
        kind: what will be written, for the message.
        is_own: whether a file that is there is of this kind; any exception means no.
        inputs: files or folders that the command reads; none may be `out` or lie below it.
        force: replace whatever file is there; None: there is no such option.
        note: receives a sentence if `force` replaces what is not of this kind.

    Returns:
        where to write: a link is followed, since it is not ours to replace.

    Raises:
        StorageError: the file must not or cannot be written.
    """
    place = resolved(out)
    for path in inputs:
        if resolved(path) == place or _same(resolved(path), place):
            raise StorageError(f"{out} is read by this command.", hint="Name another file to write.")
    recover(place)
    with storage_errors(out):
        there, regular = os.path.lexists(place), place.is_file()
    if there and not regular:
        raise StorageError(f"{out} is not a regular file.", hint="Name a file to write.")
    _refuse_unwritable(out, place)
    if not there or _recognized(place, is_own):
        return place
    if not force:
        raise StorageError(
            f"{out} exists and is not a {kind} written by idbench.",
            hint="Name another file" + (", or remove that one first." if force is None else "; --force replaces it."),
        )
    note(f"--force replaces {out}, which is not a {kind} written by idbench")
    return place


@contextmanager
def made_folder(out: Path, kind: str, inputs: Iterable[Path] = (), *, force: bool = False) -> Iterator[Path]:
    """A temporary folder that becomes `out` when the block ends well, with the marker in it.

    Arguments and errors are those of `check_folder`. An older `out` is replaced only when everything is written; where
    `out` is a link, what it leads to.
    """
    check_folder(out, kind, inputs, force=force)
    with atomic_dir(resolved(out)) as folder:
        yield folder
        listed = {"made_by": "idbench", "kind": kind, "files": sorted(_files(folder))}
        (folder / MARKER).write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")


def _refuse_overlap(out: Path, place: Path, inputs: Iterable[Path]) -> None:
    given = list(inputs)
    for path in given:
        if _is_within(resolved(path), place) or _holds(place, resolved(path)):
            raise StorageError(
                f"{out} would be replaced, and {path}, which this command reads, with it.",
                hint="Name a folder that is separate from the input.",
            )
    check_outside(out, given)


def _is_within(place: Path, folder: Path) -> bool:
    """Whether a place is a folder or lies in it, under whatever name: a bind mount shows one folder at two places."""
    return place.is_relative_to(folder) or any(_same(each, folder) for each in (place, *place.parents))


def _holds(place: Path, path: Path) -> bool:
    """Whether a folder somewhere below a place is the one that holds `path`, mounted there."""
    try:
        wanted = (path if path.is_dir() else path.parent).stat()
    except OSError:
        return False
    for folder, names, _ in os.walk(place):
        for name in names:
            with suppress(OSError):
                if os.path.samestat(Path(folder, name).stat(), wanted):
                    return True
    return False


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False


def _refuse_surroundings(out: Path, place: Path) -> None:
    """Home, the current folder and whatever holds them are never replaced, not even when empty."""
    for what, path in (("your home folder", Path.home()), ("the current folder", Path.cwd())):
        if path.resolve().is_relative_to(place):
            raise StorageError(f"{out} is or holds {what}.", hint="Name a new folder, e.g. board.")
    if is_there(place) and place.is_mount():
        raise StorageError(f"{out} is a mounted file system.", hint="Name a new folder in it.")


def _refuse_unwritable(out: Path, place: Path) -> None:
    """What takes minutes is not lost for want of a place."""
    try:
        check_creatable(place)
    except StorageError as error:
        raise StorageError(f"{out} cannot be written. {error.message}", hint="Name another place.") from error


def _files(folder: Path) -> set[str]:
    """Everything below a folder but folders and the marker, as paths relative to it; empty folders count too."""
    found: set[str] = set()
    for place, folders, files in os.walk(folder):
        here = Path(place)
        found.update((here / name).relative_to(folder).as_posix() for name in files)
        found.update((here / name).relative_to(folder).as_posix() for name in folders if (here / name).is_symlink())
        if not folders and not files and here != folder:
            found.add(here.relative_to(folder).as_posix())
    return found - {MARKER}


def _made(folder: Path, kind: str) -> set[str]:
    """What the marker lists; nothing if there is none of this kind."""
    try:
        listed = json.loads(read_bounded(folder / MARKER, _MARKER_BYTES))
        if listed["made_by"] == "idbench" and listed["kind"] == kind:
            return set(map(str, listed["files"]))
    except (StorageError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return set()


def _recognized(path: Path, is_own: Callable[[Path], bool]) -> bool:
    try:
        return is_own(path)
    except Exception:  # noqa: BLE001  whatever a reader stumbles over, the file is not of its kind
        return False
