"""Names of published data sets, `hub:ORG/NAME@COMMIT`, and the Hub's errors in plain words."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from idbench.errors import HubError, IdbenchError, NoSuchRepository
from idbench.wording import counted

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PREFIX: Final = "hub:"
KIND: Final = "dataset"

_COMMIT = re.compile(r"[0-9a-f]{40}")
_PART = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_LOG_IN = "Type `hf auth login`, or set HF_TOKEN."


@dataclass(frozen=True, slots=True)
class HubRef:
    """A data set repository at one revision.

    Args:
        repo: `ORG/NAME`.
        revision: a commit, or a tag or branch that still has to be looked up.
    """

    repo: str
    revision: str

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a whole commit id, which always means the same bytes."""
        return _COMMIT.fullmatch(self.revision) is not None

    def __str__(self) -> str:
        return f"{PREFIX}{self.repo}@{self.revision}"


def is_hub_ref(text: str) -> bool:
    """Whether a text is meant to name a published data set."""
    return text.startswith(PREFIX)


def parse_ref(text: str) -> HubRef:
    """What `hub:ORG/NAME@REVISION` names; the prefix may be missing.

    Raises:
        HubError: not of this form.
    """
    repo, at, revision = text.removeprefix(PREFIX).partition("@")
    check_repo(repo)
    if not at:
        raise HubError(
            f"{text} does not say which commit of {repo} is meant: results would change when the repository does.",
            hint=f"Write hub:{repo}@COMMIT, or @v1 for the tag of version 1; {page(repo)}/commits/main lists commits.",
        )
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise HubError(f"{revision!r} is not a commit, tag or branch.", hint=f"Write hub:{repo}@COMMIT.")
    return HubRef(repo, revision)


def check_repo(repo: str) -> str:
    """A repository's name, if it can be one.

    Raises:
        HubError: not of the form `ORG/NAME`.
    """
    parts = repo.split("/")
    if len(parts) != 2 or not all(map(_PART.fullmatch, parts)) or "--" in repo or ".." in repo or repo.endswith(".git"):
        raise HubError(f"{repo!r} is not the name of a data set on the Hub.", hint="Write ORG/NAME, e.g. my-lab/faces.")
    return repo


def page(repo: str) -> str:
    """The address of a data set's page, by its name or by a reference to a commit of it."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/datasets/{repo.removeprefix(PREFIX).partition('@')[0]}"


def client() -> HfApi:
    """The Hub's client, silent: progress and errors are shown in one place only."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    return HfApi(library_name="idbench")


@contextmanager
def hub_errors(repo: str) -> Iterator[None]:
    """Turn what the client raises about `repo` into a `HubError` that says what to do.

    Full disks and the like stay what they are.
    """
    try:
        yield
    except IdbenchError:
        raise
    except Exception as error:
        explained = _explain(error, repo)
        if explained is None:
            raise
        raise explained from error


def _explain(error: Exception, repo: str) -> HubError | None:
    from huggingface_hub import errors

    if isinstance(error, errors.HfHubHTTPError):
        return _refusal(error, repo)
    if isinstance(error, errors.LocalTokenNotFoundError):
        return HubError("You are not logged in to the Hub on this machine.", hint=_LOG_IN)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return HubError(f"{repo} needs the network, and HF_HUB_OFFLINE is set.", hint="Unset it, and repeat.")
    if isinstance(error, (errors.LocalEntryNotFoundError, errors.EntryNotFoundError)):
        return HubError(
            f"{repo} cannot be reached, and what is needed of it is not in the cache.",
            hint="Check the network (and HF_HUB_OFFLINE), and repeat: what was loaded is kept.",
        )
    return _never_sent(error) or _unanswered(error, repo)


def _never_sent(error: Exception) -> HubError | None:
    if isinstance(error, UnicodeEncodeError) or type(error).__name__ == "LocalProtocolError":
        # What is sent to the Hub besides is made of letters that every header may have.
        return HubError("The token for the Hub holds a character that no token has.", hint=f"Copy it anew. {_LOG_IN}")
    return None


def _unanswered(error: Exception, repo: str) -> HubError | None:
    if _is_transport(error):
        return HubError(
            f"{repo} cannot be reached: {type(error).__name__}.",
            hint="Check the network, and repeat the command: what was finished is kept.",
        )
    return None


def _is_transport(error: Exception) -> bool:
    """Whether the network failed. The client's transport is httpx or httpx2, and neither is imported for this."""
    families = {kind.__module__.split(".")[0] for kind in type(error).__mro__}
    return bool(families & {"httpx", "httpx2"}) or isinstance(error, (ConnectionError, TimeoutError))


def _refusal(error: Exception, repo: str) -> HubError:
    """What a status of the Hub means."""
    from huggingface_hub import errors

    kinds = {
        errors.GatedRepoError: HubError(
            f"Access to {repo} must be asked for, and this account has none.",
            hint=f"Ask for it at {page(repo)}, then log in: {_LOG_IN}",
        ),
        errors.RepositoryNotFoundError: NoSuchRepository(
            f"There is no data set {repo}, or it is private and this account may not see it.",
            hint=f"Check the name; for a private one: {_LOG_IN}",
        ),
        errors.RevisionNotFoundError: HubError(
            f"{repo} has no such commit, tag or branch: it never had, or people were taken out and its history erased.",
            hint=f"{page(repo)}/commits/main lists what there is.",
        ),
        errors.RemoteEntryNotFoundError: HubError(
            f"{repo} lacks a file of a split.", hint="Check that it is a data set of idbench."
        ),
    }
    found = next((meaning for kind, meaning in kinds.items() if isinstance(error, kind)), None)
    return found or _status(error, repo)


def _status(error: Exception, repo: str) -> HubError:
    response = getattr(error, "response", None)
    status = int(getattr(response, "status_code", 0))
    text = str(getattr(error, "server_message", "") or "").strip().splitlines()[:1]
    detail = text[0].rstrip(".") if text else f"status {status}"
    known = {
        401: HubError("The Hub does not know this token.", hint=f"Make a new one. {_LOG_IN}"),
        403: HubError(
            f"This account may not write to {repo}.",
            hint="Use a token with write access, or propose the change with --pull-request.",
        ),
        409: HubError(
            f"{repo} is in the way: {detail}.",
            hint="If somebody made it just now, repeat the command; else check the name and what is there.",
        ),
        412: HubError(
            f"Somebody else committed to {repo} meanwhile; nothing was changed.",
            hint="Repeat the command: it compares with what is there now.",
        ),
        429: HubError(f"The Hub asks to slow down{_wait(response)}.", hint="Repeat the command then: it goes on."),
    }
    if status >= 500:
        return HubError(f"The Hub has a problem of its own: {detail}.", hint="Repeat the command later: it goes on.")
    other = HubError(f"The Hub rejects this for {repo}: {detail}.", hint="Check the name, the token and the card.")
    return known.get(status, other)


def _wait(response: object) -> str:
    headers = getattr(response, "headers", {})
    seconds = str(headers.get("retry-after", ""))
    found = re.search(r"t=(\d+)", str(headers.get("ratelimit", "")))
    wanted = seconds if seconds.isdigit() else found[1] if found else ""
    return f" for {counted(int(wanted), 'second', 'seconds')}" if wanted else ""
