"""Loads publications: one commit and no other, from the cache where it is there, every byte checked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from idbench.errors import DataError, HubError
from idbench.hub.reference import KIND, HubRef, client, hub_errors
from idbench.hub.remote import RemoteFile, remote_files
from idbench.hub.sums import SUMS_FILE, files_in, read_sums, wrong_files
from idbench.storage import is_there, storage_errors
from idbench.workplace import workplace


def pinned(ref: HubRef) -> HubRef:
    """The same with the whole commit id that a tag, branch or short id means now.

    Raises:
        HubError: the Hub cannot be asked, or has no such revision. What a tag meant the last time is not used.
    """
    if ref.is_pinned:
        return ref
    from huggingface_hub.errors import OfflineModeIsEnabled

    with hub_errors(ref.repo):
        try:
            info = client().repo_info(ref.repo, repo_type=KIND, revision=ref.revision)
        except OfflineModeIsEnabled as error:
            raise HubError(
                f"What {ref} means must be looked up, and HF_HUB_OFFLINE is set.",
                hint=f"Give the whole commit: hub:{ref.repo}@COMMIT works offline once it was loaded.",
            ) from error
    return HubRef(ref.repo, str(info.sha))


def snapshot(ref: HubRef) -> Path:
    """The folder of a pinned publication in the Hub's cache, every file equal to its SHA-256.

    A complete copy in the cache needs no network; damaged files of it are fetched again.

    Raises:
        HubError: it is not in the cache and cannot be fetched.
        DataError: what was fetched is not a publication, or is damaged.
    """
    if not ref.is_pinned:
        raise ValueError(f"{ref} is not pinned")
    folder = _cached(ref)
    if folder is not None and is_there(folder / SUMS_FILE):
        damaged = wrong_files(folder)
        if not damaged:
            return folder
        for path in damaged:  # the client takes what is in its cache for good
            (folder / path).resolve().unlink(missing_ok=True)
            (folder / path).unlink(missing_ok=True)
    with hub_errors(str(ref)):
        folder = Path(client().snapshot_download(ref.repo, repo_type=KIND, revision=ref.revision))
    if damaged := wrong_files(folder):
        raise DataError(
            f"{ref} is incomplete or damaged: {damaged[0]} is missing or differs from its SHA-256.",
            hint="Check the network (and HF_HUB_OFFLINE), and repeat; `bench data verify` says more.",
        )
    return folder


def copy_of(ref: HubRef, out: Path) -> None:
    """The files of a pinned repository, whatever they are, as regular files in a new folder.

    Files that are in the Hub's cache are not fetched again.

    Raises:
        HubError: it cannot be fetched.
    """
    with hub_errors(str(ref)):
        folder = Path(client().snapshot_download(ref.repo, repo_type=KIND, revision=ref.revision))
    with storage_errors(out):
        shutil.copytree(folder, out)  # the cache holds links, which nobody follows in what strangers send


def history(repo: str, revision: str) -> list[str]:
    """The commits of a branch or pull request, newest first.

    Raises:
        HubError: there is none.
    """
    with hub_errors(repo):
        found = client().list_repo_commits(repo, repo_type=KIND, revision=revision)
    return [str(each.commit_id) for each in found]


def _cached(ref: HubRef) -> Path | None:
    try:
        return Path(client().snapshot_download(ref.repo, repo_type=KIND, revision=ref.revision, local_files_only=True))
    except FileNotFoundError:  # whatever the client calls what it lacks
        return None


def snapshot_file(ref: HubRef, name: str) -> Path:
    """One file of a pinned publication, in the Hub's cache.

    Raises:
        HubError: it cannot be fetched.
    """
    with hub_errors(str(ref)):
        return Path(client().hf_hub_download(ref.repo, name, repo_type=KIND, revision=ref.revision))


def latest_file(repo: str, name: str) -> Path | None:
    """A small file as it is on the main branch now, or was when the Hub was last reached; None where neither is known.

    A repository that is gone, that may no longer be read, or that does not answer says nothing.
    """
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, OfflineModeIsEnabled

    with hub_errors(repo):
        try:
            return Path(client().hf_hub_download(repo, name, repo_type=KIND, revision="main"))
        except (EntryNotFoundError, HfHubHTTPError, OfflineModeIsEnabled):
            return None


@dataclass(frozen=True, slots=True)
class Fresh:
    """A publication that was just fetched into an empty cache.

    Args:
        ref: pinned.
        folder: its files; gone after the block.
        files: as the Hub lists them.
    """

    ref: HubRef
    folder: Path
    files: dict[str, RemoteFile]


@contextmanager
def fetched_afresh(ref: HubRef) -> Iterator[Fresh]:
    """A publication, fetched into an empty cache, each byte compared with what the Hub lists and with its own sums.

    Raises:
        HubError: it cannot be fetched.
        DataError: a file is missing, too many, or differs.
    """
    exact = pinned(ref)
    listed = remote_files(exact.repo, exact.revision)
    with workplace() as empty:
        with hub_errors(str(exact)):
            place = client().snapshot_download(exact.repo, repo_type=KIND, revision=exact.revision, cache_dir=empty)
        folder = Path(place)
        _compare(exact, folder, listed)
        yield Fresh(exact, folder, listed)


def _compare(ref: HubRef, folder: Path, listed: dict[str, RemoteFile]) -> None:
    hint = "Publish it again, as a new version."
    here = files_in(folder)
    for path, file in listed.items():
        if path not in here or not file.holds(here[path]):
            raise DataError(
                f"{ref}: {path} arrived with other content than the Hub lists.", hint="Repeat; then report it."
            )
    sums = read_sums(folder)
    if unlisted := sorted(set(sums) ^ (set(here) - {SUMS_FILE})):
        raise DataError(f"{ref}: {unlisted[0]} is either missing or not in {SUMS_FILE}.", hint=hint)
    if damaged := wrong_files(folder):
        raise DataError(f"{ref}: {damaged[0]} differs from its SHA-256 in {SUMS_FILE}.", hint=hint)
