"""Fetches files of targets from the Hugging Face Hub: cached ones without asking, others after one quick look.

Without a network the Hub's client repeats each request for a minute and prints what failed. Here a file that is not at
hand costs one request of a few seconds, and one sentence says why it cannot be had.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from idbench.errors import TargetError
from idbench.storage import explain

_PATIENCE = 8.0  # seconds for one look at whether the Hub answers at all
_CLIENT = "huggingface_hub"


def hub_file(
    repo: str, files: Sequence[str], *, revision: str | None = None, cache: Path | None = None, instead: str = ""
) -> Path:
    """The first file of a repository that there is.

    Args:
        repo: `organisation/repository`.
        files: names that the file may have, the most wanted first.
        revision: commit; None: what the Hub's main branch is.
        cache: folder; None: the Hub client's own.
        instead: what a person may do without the Hub, for the hint.

    Raises:
        TargetError: it is not on this machine, with the reason why it cannot be fetched.
        StorageError: the disk is full, or may not be written.
    """
    found = cached_hub_file(repo, files, revision=revision, cache=cache)
    if found is not None:
        return found
    what = f"{files[-1]} of {repo}{f' at {revision[:12]}' if revision else ''}"
    check_reachable(what, instead)
    return _download(repo, files, revision, cache, what)


def cached_hub_file(
    repo: str, files: Sequence[str], *, revision: str | None = None, cache: Path | None = None
) -> Path | None:
    """The first file of a repository that lies on this machine already, or None; see `hub_file`."""
    from huggingface_hub import try_to_load_from_cache

    for file in files:
        found = try_to_load_from_cache(repo, file, cache_dir=cache, revision=revision)
        if isinstance(found, str):
            return Path(found)
    return None


def check_reachable(what: str, instead: str = "") -> None:
    """Ask the Hub once whether it is there.

    Args:
        what: is wanted of it, for the error's text.
        instead: what a person may do without it, for the hint.

    Raises:
        TargetError: it does not answer, or the environment forbids asking.
    """
    from huggingface_hub import constants, get_session

    hint = f"Connect to the network once{f', or {instead}' if instead else ''}."
    if constants.HF_HUB_OFFLINE:
        raise TargetError(
            f"{what} is not on this machine and could not be fetched: HF_HUB_OFFLINE forbids it.", hint=hint
        )
    try:
        with _silent():
            get_session().head(constants.ENDPOINT, timeout=_PATIENCE)
    except Exception as error:
        raise TargetError(
            f"{what} is not on this machine and could not be fetched: {constants.ENDPOINT} does not answer "
            f"({type(error).__name__}).",
            hint=hint,
        ) from error


def _download(repo: str, files: Sequence[str], revision: str | None, cache: Path | None, what: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    cause, hint = "", ""
    for file in files:
        try:
            with _silent():
                return Path(hf_hub_download(repo, file, revision=revision, cache_dir=cache))
        except GatedRepoError as error:
            cause, hint = f"access to {repo} must be granted first", f"Ask for it at https://huggingface.co/{repo}."
            raise _failed(what, cause, f"{hint} Then log in: hf auth login") from error
        except RepositoryNotFoundError as error:
            cause = f"there is no repository {repo}, or it is private"
            raise _failed(what, cause, "Check its name; log in if it is private: hf auth login") from error
        except RevisionNotFoundError as error:
            raise _failed(what, "the repository has no such commit", "Check the commit.") from error
        except LocalEntryNotFoundError as error:
            raise _failed(what, "the connection was lost", "Repeat the command.") from error
        except EntryNotFoundError:
            continue
        except OSError as error:
            if error.errno is not None:
                raise explain(error, cache or Path.home()) from error
            raise _failed(what, _reason(error), "Repeat the command.") from error
        except Exception as error:
            raise _failed(what, _reason(error), "Repeat the command.") from error
    raise _failed(what, f"{repo} has no file {' or '.join(files)}", "Name another with file=FILE.")


def _failed(what: str, cause: str, hint: str) -> TargetError:
    return TargetError(f"{what} is not on this machine and could not be fetched: {cause}.", hint=hint)


def _reason(error: Exception) -> str:
    """The first line of an error, or its kind."""
    first = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


@contextmanager
def _silent() -> Iterator[None]:
    """Keep the Hub client's warnings about repeated requests from a person who gets one sentence about them."""
    log = logging.getLogger(_CLIENT)
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)
