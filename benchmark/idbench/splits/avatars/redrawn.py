"""The world of `avatars` drawn once more, from a secret: people whom no method can have seen, and training sets.

Names come from the same pools and pictures from the same renderer, so that whatever works on the public world works
here. Who is called what, who looks how, and who is a member of what follow from the secret alone.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from idbench.api import Progress
from idbench.errors import DataError, IdbenchError
from idbench.splits.avatars.world import WorldSpec, build_auxiliary, build_corpus, build_world, world_of
from idbench.splits.building import get_or_build
from idbench.splits.corpora import Corpus, read_corpus
from idbench.splits.split import Split
from idbench.storage import atomic_dir, cache_dir, is_there, read_bounded, sha256_bytes, write_text

REDRAWN = "redrawn"
"""Folder below the cache for what must not be read by methods: worlds, training sets, targets, the secret."""


@dataclass(frozen=True, slots=True)
class Redrawn:
    """A world drawn from a secret, in the cache or made there when it is first asked for.

    Args:
        spec: of the world; its seed is secret.
        public: the name of the world that it is drawn like.
    """

    spec: WorldSpec
    public: str

    @property
    def id(self) -> str:
        """Its id for maintainers: derived from the secret, which cannot be recovered from it."""
        return sha256_bytes(f"id of {self.spec.seed}".encode())[:16]

    @property
    def folder(self) -> Path:
        """Where all of it lies."""
        return cache_dir(REDRAWN, self.id)

    @property
    def corpora(self) -> tuple[str, ...]:
        """Names of its training sets, the control's last."""
        return tuple(info.name for info in world_of(self.spec).corpora)

    def corpus_like(self, corpus: str) -> str:
        """The counterpart in this world of a training set of the public one.

        Raises:
            DataError: the public world has no such training set.
        """
        suffix = corpus.removeprefix(self.public)
        known = [name.removeprefix(self.spec.name) for name in self.corpora]
        if not corpus.startswith(self.public) or suffix not in known:
            raise DataError(
                f"{corpus} is not a training set of {self.public}.", hint="Only targets of its people can be redrawn."
            )
        return self.spec.name + suffix

    def split(self, progress: Progress) -> Split:
        """The people, with photos and labels."""

        def build(path: Path) -> None:
            with atomic_dir(path) as folder:
                build_world(self.spec, folder, progress, secret=self.spec.seed)

        return get_or_build(self.folder / "split", _opened, build, "redrawn people", progress)

    def corpus(self, name: str, progress: Progress) -> Corpus:
        """One of the training sets."""
        build = partial(build_corpus, self.spec, name, progress=progress)
        return get_or_build(
            self.folder / "corpora" / name, partial(_corpus, name), build, f"training set {name}", progress
        )

    def auxiliary(self, progress: Progress) -> Corpus:
        """People like those of the background, in no training set and under no test."""
        name = f"{self.spec.name}-aux"
        build = partial(build_auxiliary, self.spec, progress=progress)
        return get_or_build(
            self.folder / "corpora" / name, partial(_corpus, name), build, "redrawn auxiliary people", progress
        )


def redrawn(like: WorldSpec, secret: str) -> Redrawn:
    """The world of a specification, drawn from a secret.

    Args:
        like: sizes.
        secret: at least 16 characters; the same one gives the same people.
    """
    seed = f"idbench/{REDRAWN}/{sha256_bytes(f'{secret}/{like.name}'.encode())}"
    name = f"{like.name}-{REDRAWN}"
    title = f"People like those of {like.name}, drawn anew"
    return Redrawn(replace(like, name=name, seed=seed, title=title, note="Drawn from a secret."), like.name)


def kept_secret() -> str:
    """The secret of this machine: drawn once, and kept where locked processes cannot read.

    Raises:
        StorageError: it cannot be read or written.
    """
    path = cache_dir(REDRAWN, "secret")
    if not is_there(path):
        write_text(path, secrets.token_hex(32))
        path.chmod(0o600)
    return read_bounded(path, 4096).decode(errors="replace").strip()


def _opened(path: Path) -> Split | None:
    try:
        return Split(path)
    except IdbenchError:
        return None


def _corpus(name: str, path: Path) -> Corpus | None:
    try:
        return read_corpus(name, path)
    except IdbenchError:
        return None
