"""Which folders outlive a run of a method, and in which of them its process may write.

What idbench's own methods leave (embeddings of photos, shadow models) is read by all. What others leave is read by the
same code of the same distribution alone: a method cannot change what another one is given.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from idbench.errors import StorageError
from idbench.plugins import is_own
from idbench.runner.bundle import Folders
from idbench.storage import cache_dir, make_dir, sha256_bytes


class Code(Protocol):
    """Which code a method runs, as `idbench.runner.spec.MethodSpec` says it."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def plugin(self) -> str: ...
    @property
    def distribution(self) -> str: ...
    @property
    def code_sha256(self) -> str: ...


def folders_of(method: Code) -> Folders:
    """Where the process of a method may keep what outlives a run; the folders are made.

    Raises:
        StorageError: no space or no permission.
    """
    embeddings, shadows = cache_dir("embeddings"), cache_dir("shadows")
    kept = Folders(str(_cache(method)), str(embeddings), str(embeddings), str(shadows), str(shadows))
    if not is_own(method.plugin):
        identifying = "\0".join((method.distribution, method.plugin, method.code_sha256))
        own = cache_dir("strangers", sha256_bytes(identifying.encode())[:32])
        kept = Folders(kept.cache, str(own / "embeddings"), str(embeddings), str(own / "shadows"), str(shadows))
    for place in (kept.cache, kept.embeddings, kept.shadows):
        make_dir(Path(place))
    for folder in _libraries():
        with suppress(StorageError):  # needed by few targets, which say so
            make_dir(folder)
    return kept


def writable(folders: Folders) -> list[Path]:
    """The folders in which a method's process may write, besides its bundle.

    Those of the libraries that fetch targets and tokenizers are among them.
    """
    return [Path(folders.cache), Path(folders.embeddings), Path(folders.shadows), *_libraries()]


def _libraries() -> list[Path]:
    hub = os.environ.get("HF_HOME")
    return [Path(hub) if hub else Path.home() / ".cache" / "huggingface", cache_dir("open_clip")]


def _cache(method: Code) -> Path:
    """A folder for what a method itself keeps, not to be found by another version of its code."""
    version = re.sub(r"[^A-Za-z0-9._+-]", "_", method.version).lstrip(".")[:64]  # third-party text, and not a path
    return cache_dir("methods", method.name, f"{version}-{method.code_sha256[:16]}")
