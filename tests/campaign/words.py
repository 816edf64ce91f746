"""Random command lines: every verb with words, numbers and places that cannot be right."""

from __future__ import annotations

import os
import random
from pathlib import Path

from tests.campaign.trial import Report, bench

_VERBS: tuple[tuple[str, ...], ...] = (
    ("list",),
    ("show",),
    ("score",),
    ("compare",),
    ("run", "--dry-run"),
    ("run", "--plan"),
    ("study", "--dry-run"),
    ("method", "new"),
    ("method", "check"),
    ("data", "lint"),
    ("data", "build", "--dry-run"),
    ("data", "audit", "--dry-run"),
    ("data", "search"),
    ("target", "train", "--dry-run"),
    ("target", "verify"),
    ("leaderboard", "build"),
    ("leaderboard", "labels"),
    ("leaderboard", "export"),
)
_OPTIONS = (
    "--method", "--split", "--target", "--corpus", "--seed", "--seeds", "--preset", "--param", "--results", "--device",
    "--time-limit", "--out", "--json", "--plan", "--only", "--names", "--labels", "--public", "--margin", "--faces",
    "--pairs", "--lists", "--secret-seed", "--targets", "--threads", "--arch", "--help", "--force", "--unknown",
)  # fmt: skip
_WORDS = (
    "", " ", "-", "--", "---", "0", "-1", "1e400", "nan", "inf", "9" * 40, "true", "None", "null", "[]", "{}",
    "[" * 3000,
    "a" * 300, "a" * 5000, "../..", "/", "~", "~no-such-user", "~no-such-user/x", "/dev/null", "/dev/full",
    "/proc/self",
    "con", "a/b", "a=b", "=", "x=", "=x", "x=nan", "é", "e\u0301", "\u202eabc", "\x1b[2J\x1b]0;x\x07", "a\nb", "a\tb",
    "\ufeff", "\U0001f600", "'; rm -rf x", "$(touch x)", "*", "?", "[", "all", "avatars", "avatars-tiny", "avatars-a",
    "avatars-*", "avatars-[", "random", "tuni", "cosine", "file:", "file:?", "file:x?arch=", "hub:", "hub:a/b@c",
    "hub:a/b@" + "0" * 40, "open_clip:", "open_clip:/", "open_clip:ViT-B-32/none", "idia:", "idia:RN50/75", "idia:*",
    ":",
    "::", "+", "a+b", "a,b", ",", "%00", "pipe", "folder", "file", "missing", "link", "loop", "empty", "--json=1",
)  # fmt: skip
# These would do long honest work or wait for a server, where they are right.
_NEVER = (
    {"method", "check", "random"},
    {"method", "check", "cosine"},
    {"method", "check", "tuni"},
    {"target", "verify"},
)


def places(folder: Path) -> None:
    """Things for words to point at."""
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    (folder / "file").write_text("words\n")
    (folder / "empty").write_bytes(b"")
    (folder / "link").symlink_to("/dev/zero")
    (folder / "loop").symlink_to(folder / "loop")


def line(rng: random.Random) -> list[str]:
    """A command line."""
    words = list(rng.choice(_VERBS))
    for _ in range(rng.randrange(5)):
        words.append(rng.choice(_OPTIONS) if rng.random() < 0.5 else rng.choice(_WORDS))
    return words


def try_words(rng: random.Random, cwd: Path, report: Report) -> None:
    """One random command line; nothing that was there may change."""
    words = line(rng)
    if any(each <= set(words) for each in _NEVER):
        return
    inside = cwd / "words"
    if not inside.exists():
        inside.mkdir()
        places(inside)
    before = (inside / "file").read_bytes()
    ended = bench([word for word in words if "\0" not in word], inside)
    changed = "" if (inside / "file").read_bytes() == before else "a file that it did not make was changed"
    report.tried("words", "bench " + " ".join(map(repr, words)), ended, changed)
