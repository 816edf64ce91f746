"""The few git commands that are needed, with their errors as sentences."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Final

from idbench.errors import IdbenchError

_PATIENCE: Final = 300.0
# Neither a person's settings nor those that somebody put into a repository may run programs here.
_SAFE: Final = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.allow=never")


def git(folder: Path, *arguments: str) -> bytes:
    """What git prints.

    Raises:
        IdbenchError: git is not there or refuses; the message has its words.
    """
    if shutil.which("git") is None:
        raise IdbenchError("git is not installed.", hint="Install it, or name a folder instead.")
    try:
        done = subprocess.run(  # noqa: S603  our own arguments
            ["git", "-C", str(folder), *_SAFE, *arguments],  # noqa: S607  whichever git the person uses
            capture_output=True,
            env=dict(os.environ, GIT_TERMINAL_PROMPT="0", LC_ALL="C"),
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise IdbenchError(f"git {arguments[0]} took more than {_PATIENCE:g} seconds.", hint="Try again.") from error
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        words = lines[-1].removeprefix("fatal: ").rstrip(".") if lines else f"status {done.returncode}"
        hint = "Check the checkout."
        if b"user.email" in done.stderr:
            hint = "Say who you are: git config --global user.name NAME, and user.email ADDRESS."
        raise IdbenchError(f"git {arguments[0]} refuses in {folder}: {words[:300]}.", hint=hint)
    return done.stdout


def git_text(folder: Path, *arguments: str) -> str:
    """What git prints, as one text without white space around it; errors as of `git`."""
    return git(folder, *arguments).decode(errors="replace").strip()


def commit_of(folder: Path, revision: str) -> str:
    """The commit that a revision names.

    Raises:
        IdbenchError: there is none.
    """
    try:
        return git_text(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    except IdbenchError as error:
        raise IdbenchError(
            f"{revision!r} is neither a folder nor a revision of the git repository at {folder}.",
            hint="Name a branch, a tag or a commit that was fetched, e.g. --base origin/main.",
        ) from error


def extract(folder: Path, commit: str, out: Path) -> None:
    """Write the files of a commit, as far as they belong to `folder`, into an empty folder."""
    prefix = git_text(folder, "rev-parse", "--show-prefix")
    top = Path(git_text(folder, "rev-parse", "--show-toplevel"))
    data = git(top, "archive", "--format=tar", f"{commit}:{prefix}")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        # Links that lead out of the folder and the like raise: such a commit was never accepted by these checks.
        archive.extractall(out, filter="data")
