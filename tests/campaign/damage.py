"""Damaged files: records, scores, plans, boards and splits, cut, bent and replaced; what is whole must still count."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors.numpy import load_file, save_file

from idbench.targets.fetch import packaged_file
from tests.campaign.trial import Ended, Report, bench

TINY = ("--split", "avatars-tiny", "--target", "avatars-a", "--corpus", "avatars-tiny-a")
DRAWN = (
    "--split",
    "avatars-tiny",
    "--target",
    "file:weights.safetensors?like=avatars-a&name=drawn&corpus=avatars-tiny-a",
)
"""A target that a board has rows for: weights that nobody registered, with the tiny split's corpus."""

_SEEDS = 3


@dataclass(frozen=True, slots=True)
class Whole:
    """Files in good order, made once: records of `random`, a plan, a board and a split."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Whole:
        """Make them with the program itself."""
        folder.mkdir(parents=True)
        # The same numbers in another file: registered weights under another name would not count.
        weights = load_file(packaged_file("avatars-a.safetensors"))
        save_file(weights, folder / "weights.safetensors", {"made": "by the campaign"})
        for words in (
            ("run", "-m", "random", *DRAWN, "--seeds", str(_SEEDS)),
            ("run", "-m", "random", *DRAWN, "--write-plan", "plan.json"),
            ("data", "build", "avatars-tiny", "--out", "split"),
        ):
            ended = bench(words, folder)
            assert ended.status == 0, ended
        return cls(folder)

    def copy(self, to: Path) -> Path:
        """A fresh copy to damage."""
        shutil.rmtree(to, ignore_errors=True)
        return Path(shutil.copytree(self.folder, to))


def _cut(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data) + 1)])


def _bend(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(rng.randrange(1, 9)):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(data))


def _empty(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


def _nested(path: Path, rng: random.Random) -> None:
    path.write_text(rng.choice(("[", '{"a":')) * 30_000)


def _pipe(path: Path, rng: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def _device(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.symlink_to(rng.choice(("/dev/zero", "/dev/full", "/proc/kmsg", "/dev/stdin")))


def _folder(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()


def _huge(path: Path, rng: random.Random) -> None:
    with path.open("r+b") as file:
        file.truncate(1 << 40)


def _gone(path: Path, rng: random.Random) -> None:
    path.unlink()


def _value(path: Path, rng: random.Random) -> None:
    """Another value somewhere in a JSON file; elsewhere, bytes."""
    if path.suffix != ".json":
        _bend(path, rng)
        return
    values: list[object] = [None, -1, 10**400, "", "\ud800", "x" * 100_000, [], {}, True, "nan", "<!--<script>", 1e308]
    content = json.loads(path.read_text(encoding="utf-8"))
    place = content
    while isinstance(place, dict) and place:
        key = rng.choice(sorted(place))
        if isinstance(place[key], dict) and place[key] and rng.random() < 0.7:
            place = place[key]
        else:
            place[key] = rng.choice(values)
            break
    path.write_text(json.dumps(content), encoding="utf-8")


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (
    _cut, _bend, _empty, _nested, _pipe, _device, _folder, _huge, _gone, _value,
)  # fmt: skip


def try_damage(rng: random.Random, whole: Whole, cwd: Path, report: Report) -> None:
    """Damage one file of a copy, and read it by every command that does."""
    copy = whole.copy(cwd / "damaged")
    files = sorted(
        path
        for path in copy.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(copy).parts)
    )
    victim, damage = rng.choice(files), rng.choice(DAMAGES)
    name = victim.relative_to(copy)
    damage(victim, rng)
    what = f"{damage.__name__.strip('_')} {name}"
    for words in _readers(name, rng):
        ended = bench(words, copy)
        report.tried("damage", f"{what}; bench {' '.join(words)}", ended, _lost(words, ended, name))


def _readers(name: Path, rng: random.Random) -> list[tuple[str, ...]]:
    if name.parts[0] == "plan.json":
        return [("run", "--plan", "plan.json", "--dry-run")]
    if name.name == "weights.safetensors":
        return [("run", "-m", "random", *DRAWN, "--seed", "9")]
    if name.parts[0] == "split":
        return [("data", "lint", "split"), ("leaderboard", "labels", "split", "--out", "labels.json")]
    return [
        ("leaderboard", "build", "results", "--out", "board"),
        ("list", "runs"),
        rng.choice((("show", str(name.parent)), ("score", str(name.parent)), ("run", "-m", "random", *DRAWN))),
    ]


def _lost(words: tuple[str, ...], ended: Ended, name: Path) -> str:
    """A board is built from the records that are whole."""
    if words[:2] != ("leaderboard", "build"):
        return ""
    least = _SEEDS if name.name not in ("run.json", "scores.parquet") else _SEEDS - 1
    counted = re.search(r"^(\d+) records? makes? ", ended.out, re.MULTILINE)
    if ended.status != 0 or counted is None or int(counted[1]) < least:
        return f"fewer than {least} records count, though only one was damaged"
    return ""
