"""Where a run takes place: versions, commit, processors. Never a host name, a user name or a path."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from idbench.results import Environment

_PACKAGES = ("idbench", "torch", "open_clip_torch", "numpy", "scipy", "scikit-learn", "pandas", "pyod", "datasets")


def environment(device: str, device_model: str | None = None, threads: int | None = None) -> Environment:
    """The environment of this process, with the device and the number of threads that the worker used."""
    commit, dirty = _checkout()
    return Environment(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        device=device,
        processors=os.cpu_count() or 1,
        packages={name: found for name in _PACKAGES if (found := _version(name))},
        commit=commit,
        dirty=dirty,
        device_model=device_model,
        threads=threads,
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def _checkout() -> tuple[str | None, bool | None]:
    """Commit and state of the checkout that idbench is imported from; (None, None) if it is not one."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None, None
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    return commit or None, None if changes is None else bool(changes)


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603  fixed arguments
            ["git", *arguments],  # noqa: S607  whichever git the user has
            cwd=root,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
