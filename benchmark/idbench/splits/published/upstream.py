"""Gets the authors' lists: from a folder that the user gives, or from the pinned commits, with their hashes checked."""

from __future__ import annotations

import hashlib
import http.client
import tarfile
import unicodedata
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Final

from idbench.api import Progress
from idbench.errors import DataError
from idbench.locking import locked
from idbench.storage import atomic_dir, cache_dir, make_dir, sha256_file, storage_errors

HOST: Final = "https://codeload.github.com"
REPOSITORY: Final = "D0miH/does-clip-know-my-face"
COUNTS: Final = "laion_membership_occurence_count.csv"
LAST_NAMES: Final = "common_last_names_US_2010.csv"
FIRST_NAMES: Final = ("common_first_names.csv", "baby-names.csv")
EUROPEANS: Final = "laion_european_celebs"
FIRST_GENERATION: Final = "laion_german_non_members"
MEMBER_INFO: Final = "conceptual_captions_facescrub_member_info"

SHA256: Final = {
    COUNTS: "9945b17e96bf2d10316dc0dc24d6dc16d5ddacba0d81d1a8df32d24da0da9942",
    LAST_NAMES: "85706d2c54aef773f84591d2403d83d48da667846d127c072d331697b6a5e7e0",
    "actors_members.csv": "52b6ce017d821aa8d18046c1e87fb605a531288f349f1a2d07f90b85347fd509",
    "actors_non_members.csv": "d7ef9f1bbce4af1d555a83e917294c3f95e234dca5af66806ce22a1a0452a5dc",
    "actresses_members.csv": "e41dfde0c3b31ec286a4263561c7740ad8818332ca6953d08fa503f360c9f810",
    "actresses_non_members.csv": "18cae098f64276723301880437d0e2d843a30ae269bbb642abd3830fbd44143e",
    EUROPEANS: "49a9c474e9c2d79458f9c3f58c3f3f2cf9f96dcd17787fcfbec9cbb567dfdfab",
}
"""Of files, and over the files of a folder (`digest_of`), as they stand in the pinned commit."""

_TIMEOUT = 60
_LARGEST = 64 << 20  # of one list, bytes
_MOST = 512 << 20  # of an archive, bytes


@dataclass(frozen=True, slots=True)
class Archive:
    """One commit of a repository, of which some files are wanted.

    Args:
        repository: `owner/name`.
        commit: 40 hexadecimal digits.
        wanted: names of files and folders, wherever they lie.
        pinned: SHA-256 of each, where it is known.
    """

    repository: str
    commit: str
    wanted: tuple[str, ...]
    pinned: dict[str, str] = field(default_factory=dict)


LISTS: Final = Archive(
    REPOSITORY,
    "f4a117b41aece7fa7255f8659daf34f726c126fd",
    (COUNTS, LAST_NAMES, EUROPEANS, MEMBER_INFO),
    SHA256,
)
"""The lists of the second version of the paper."""

OLD_LISTS: Final = Archive(REPOSITORY, "4f33670b7156e8102f7ca01a3b4f235b6832cf8e", (FIRST_GENERATION,))
"""The German list of the first version of the paper, whose bytes nobody has pinned."""

US_FIRST_NAMES: Final = Archive("hadley/data-baby-names", "29dae6137e042f12ad91493ca68fad8da3efd587", FIRST_NAMES)
"""First names of the Social Security Administration, from which IDIA draws its candidates."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """The lists on this disk.

    Args:
        folders: where they lie, searched in this order.
        notes: what differs from the pinned lists, or is missing, a sentence each.
    """

    folders: tuple[Path, ...]
    notes: tuple[str, ...]

    def find(self, name: str) -> Path | None:
        """A file or folder of that name, wherever it lies; None where there is none."""
        return next((place for folder in self.folders for place in _places(folder, name)), None)

    def need(self, name: str) -> Path:
        """Like `find`.

        Raises:
            DataError: there is none.
        """
        found = self.find(name)
        if found is None:
            raise DataError(
                f"There is no {name} in {', '.join(map(str, self.folders))}.",
                hint=f"Give with --source a copy of {REPOSITORY} at commit {LISTS.commit[:7]}, or of its lists.",
            )
        return found


def open_upstream(source: Path | None, progress: Progress) -> Upstream:
    """The lists in the user's folder, or those of the pinned commits, fetched once into the cache.

    Args:
        source: a folder that holds the lists, anywhere in it; None: fetch them.
        progress: receives reports while lists are fetched.

    Raises:
        DataError: no such folder; the lists cannot be fetched or are not the pinned ones.
    """
    if source is not None:
        if not source.is_dir():
            raise DataError(f"There is no folder {source}.", hint="Give the folder that holds the authors' lists.")
        return Upstream((source,), tuple(_differences(source)))
    folders, notes = [fetch(LISTS, progress)], []
    for archive, what in ((OLD_LISTS, "the first German list"), (US_FIRST_NAMES, "the list of US first names")):
        try:
            folders.append(fetch(archive, progress))
        except DataError as error:
            notes.append(f"Without {what}: {error.message}")
    return Upstream(tuple(folders), tuple(notes))


def fetch(archive: Archive, progress: Progress) -> Path:
    """The wanted files of a commit, in the cache; fetched the first time.

    Raises:
        DataError: the network fails, the archive is damaged, or a file is not the pinned one.
        StorageError: no space or no permission.
    """
    place = cache_dir("upstream", archive.repository.replace("/", "-"), archive.commit)
    make_dir(place.parent)
    with storage_errors(place), locked(place.parent / f".{archive.commit}.lock", progress, archive.repository):
        if not place.is_dir():
            progress.update(0, 1, f"Fetching {archive.repository}")
            with atomic_dir(place) as folder:
                _download(archive, folder)
                _check_pinned(archive, folder)
    return place


def digest_of(folder: Path) -> str:
    """SHA-256 over the files of a folder: a line with path and SHA-256 for each, sorted; names in Unicode's form C."""
    lines = sorted(
        f"{unicodedata.normalize('NFC', str(PurePosixPath(file.relative_to(folder))))}\t{sha256_file(file)}\n"
        for file in folder.rglob("*.txt")
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _places(folder: Path, name: str) -> Iterable[Path]:
    direct = folder / name
    return [direct] if direct.exists() else sorted(folder.rglob(name))[:1]


def _digest(place: Path) -> str:
    return digest_of(place) if place.is_dir() else sha256_file(place)


def _differences(source: Path) -> Iterable[str]:
    for name, expected in SHA256.items():
        for place in _places(source, name):
            if _digest(place) != expected:
                yield f"{name} in {source} is not the pinned list (SHA-256 {_digest(place)[:12]}...)."


def _check_pinned(archive: Archive, folder: Path) -> None:
    for name in archive.wanted:
        if not list(_places(folder, name)) and name not in FIRST_NAMES:
            raise DataError(f"{archive.repository} at {archive.commit[:7]} holds no {name}.", hint=_elsewhere(archive))
    if not any(folder.iterdir()):
        raise DataError(f"{archive.repository} at {archive.commit[:7]} holds no list.", hint=_elsewhere(archive))
    for name, expected in archive.pinned.items():
        for place in _places(folder, name):
            if _digest(place) != expected:
                raise DataError(
                    f"{name} of {archive.repository} at {archive.commit[:7]} has SHA-256 {_digest(place)[:12]}..., "
                    f"not {expected[:12]}....",
                    hint="What was fetched is not what was published; nothing of it is used. " + _elsewhere(archive),
                )


def _elsewhere(archive: Archive) -> str:
    return f"Fetch {archive.repository} at commit {archive.commit[:7]} elsewhere and give its folder with --source DIR."


def _download(archive: Archive, folder: Path) -> None:
    url = f"{HOST}/{archive.repository}/tar.gz/{archive.commit}"
    try:
        # The address is built from constants; only its host can be another one, in tests.
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, tarfile.open(fileobj=answer, mode="r|gz") as tar:  # noqa: S310
            _extract(archive, tar, folder)
    except urllib.error.HTTPError as error:
        raise DataError(f"{url} answers {error.code} {error.reason}.", hint=_elsewhere(archive)) from error
    except (tarfile.TarError, EOFError, zlib.error, http.client.HTTPException, ConnectionError) as error:
        raise DataError(
            f"What {url} sends is not a complete archive.", hint="Repeat. " + _elsewhere(archive)
        ) from error
    except urllib.error.URLError as error:
        raise DataError(f"{url} cannot be reached ({error.reason}).", hint=_elsewhere(archive)) from error
    except TimeoutError as error:
        raise DataError(f"{url} does not answer.", hint=_elsewhere(archive)) from error


def _extract(archive: Archive, tar: tarfile.TarFile, folder: Path) -> None:
    """Write wanted files below `folder`, by the parts of their path from the wanted name on; links are passed over."""
    total = 0
    for member in tar:
        parts = PurePosixPath(unicodedata.normalize("NFC", member.name)).parts
        start = next((i for i, part in enumerate(parts) if part in archive.wanted), None)
        if start is None or not member.isfile() or ".." in parts or member.size > _LARGEST:
            continue
        total += member.size
        if total > _MOST:
            raise DataError(f"The archive of {archive.repository} is too large.", hint=_elsewhere(archive))
        content: IO[bytes] | None = tar.extractfile(member)
        target = folder.joinpath(*parts[start:])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.read() if content is not None else b"")
