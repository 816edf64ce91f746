"""Trains shadow models on processors: one after the other here, or side by side in processes with one thread each.

A process is started as `python -P -m idbench.targets.shadow_process FOLDER NUMBER`. FOLDER holds the pictures
(`pictures.npy`), the trainings (`trainings.json`) and what the processes report: `NUMBER.progress`, `NUMBER.failure`.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from idbench import errors
from idbench.errors import IdbenchError, TargetError
from idbench.progress import Progress, Reporter
from idbench.storage import explain, storage_errors
from idbench.targets.shadow_store import Shadow, ShadowData, ShadowStore
from idbench.targets.spec import TargetSpec
from idbench.targets.train import train_target
from idbench.workplace import workplace

_POLL = 0.2  # seconds between looks at the processes
NOTE_EVERY = 0.5  # seconds between two notes of a process about its progress
_PICTURES, _TRAININGS = "pictures.npy", "trainings.json"
_FOUND, _SPEECHLESS = 64, 74
"""Exit statuses of a process: the shadow was there already; it failed, and could not write why."""


class _Steps(Reporter):
    """Passes on how many steps are done, and how long they took in this process and in those killed before it."""

    def __init__(self, clock: Path, tell: Callable[[float], None]) -> None:
        self._clock = clock
        self._tell = tell
        self._before = _number(clock)
        self._begin = self._reported = time.monotonic()

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of training, those of interrupted attempts included."""
        return self._before + time.monotonic() - self._begin

    def update(self, done: float, total: float, description: str) -> None:
        """Report the share that is done, no more often than the parent reads it."""
        now = time.monotonic()
        if done < total and now - self._reported < NOTE_EVERY:
            return
        self._reported = now
        with suppress(OSError):  # a note that cannot be written costs nothing but the note
            self._clock.write_text(f"{self.seconds:.1f}", encoding="utf-8")
            self._tell(done / total)


def train_one(shadow: Shadow, store: ShadowStore, tell: Callable[[float], None]) -> bool:
    """Train a shadow with one thread, unless another process does: then wait for it.

    After a kill, the next call continues after the last finished epoch.

    Args:
        shadow: what to train.
        store: where it goes.
        tell: given the share that is done, 0 to 1.

    Returns:
        whether it was trained now; false if another process had done that.
    """
    with store.lock(shadow.key):
        if store.find(shadow.key) is not None:
            return False
        clock = store.folder / f".{shadow.key}.seconds"
        steps = _Steps(clock, tell)
        with _one_thread():  # as many threads as anywhere else: rounding, and so the weights, would differ
            trained = train_target(shadow.spec, shadow.data, store.weights(shadow.key), steps)
        store.keep(shadow.key, trained, steps.seconds)
        clock.unlink(missing_ok=True)
    return True


def train_here(shadows: Sequence[Shadow], store: ShadowStore, progress: Progress) -> set[str]:
    """Train shadows one after the other in this process; the keys of those that no other process trained meanwhile."""
    fresh = set()
    for number, shadow in enumerate(shadows):

        def report(share: float, before: int = number) -> None:
            _report(progress, before + share, len(shadows))

        if train_one(shadow, store, report):
            fresh.add(shadow.key)
    return fresh


def train_side_by_side(shadows: Sequence[Shadow], store: ShadowStore, at_once: int, progress: Progress) -> set[str]:
    """Train shadows in processes of their own, `at_once` at a time; they end with this one.

    Returns:
        the keys of those that no other process trained meanwhile.

    Raises:
        IdbenchError: whatever a process met.
    """
    with workplace() as folder:
        with storage_errors(folder):  # which may lie on another disk than the store
            _write(folder, shadows, store)
        waiting = list(range(len(shadows)))[::-1]
        running: dict[int, subprocess.Popen[bytes]] = {}
        done = 0
        fresh = set()
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    number = waiting.pop()
                    running[number] = _start(folder, number)
                time.sleep(_POLL)
                for number in [n for n, process in running.items() if process.poll() is not None]:
                    if check_outcome(folder, number, running.pop(number)):
                        fresh.add(shadows[number].key)
                    done += 1
                _report(progress, done + sum(_number(folder / f"{n}.progress") for n in running), len(shadows))
        finally:
            for process in running.values():
                process.kill()
                process.wait()
        return fresh


def _report(progress: Progress, done: float, total: int) -> None:
    progress.update(done, total, f"training {total} shadow models")


def _write(folder: Path, shadows: Sequence[Shadow], store: ShadowStore) -> None:
    """What the processes need. All shadows of one call share their pictures."""
    np.save(folder / _PICTURES, shadows[0].data.pictures)
    trainings: list[dict[str, Any]] = []
    for number, shadow in enumerate(shadows):
        np.save(folder / f"{number}.npy", np.stack([shadow.data.places, shadow.data.caption_ids]))
        trainings.append(
            {
                "spec": shadow.spec.model_dump(mode="json"),
                "key": shadow.key,
                "captions": shadow.data.captions,
                "digest": shadow.data.digest,
                "store": str(store.folder),
            }
        )
    (folder / _TRAININGS).write_text(json.dumps(trainings), encoding="utf-8")


def read_training(folder: Path, number: int) -> tuple[Shadow, ShadowStore]:
    training = json.loads((folder / _TRAININGS).read_text(encoding="utf-8"))[number]
    places, caption_ids = np.load(folder / f"{number}.npy", allow_pickle=False)
    pictures = np.load(folder / _PICTURES, mmap_mode="r", allow_pickle=False)
    data = ShadowData(pictures, places, caption_ids, training["captions"], training["digest"])
    return Shadow(TargetSpec.model_validate(training["spec"]), data, training["key"]), ShadowStore(
        Path(training["store"])
    )


def _start(folder: Path, number: int) -> subprocess.Popen[bytes]:
    environment = dict(os.environ, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    with (folder / f"{number}.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603  our own interpreter and module
            [sys.executable, "-P", "-m", "idbench.targets.shadow_process", str(folder), str(number)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )


def check_outcome(folder: Path, number: int, process: subprocess.Popen[bytes]) -> bool:
    """Whether the process trained its shadow, and did not find it; raises what it met, if it failed."""
    if process.stdin is not None:
        process.stdin.close()
    if process.returncode in (0, _FOUND):
        return process.returncode == 0
    if process.returncode == _SPEECHLESS:
        raise explain(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), folder)
    failure = folder / f"{number}.failure"
    if failure.exists():
        failed = json.loads(failure.read_text(encoding="utf-8"))
        kind = getattr(errors, failed["kind"], TargetError)
        raise kind(failed["message"], hint=failed["hint"])
    log = (folder / f"{number}.log").read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line for line in reversed(log) if line.strip()), f"exit status {process.returncode}")
    raise TargetError(
        f"Training a shadow model failed: {last[:300]}.", hint="Repeat the command: finished epochs are kept."
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _number(path: Path) -> float:
    """The number in a file; 0 without one."""
    try:
        return float(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0.0


def die_with_parent() -> None:
    """End when standard input does: the parent holds the other end for as long as it lives."""
    while os.read(0, 1024):
        pass
    os._exit(75)


def main() -> int:
    """Train one shadow of a folder; the exit status is 0 if it was trained, and `_FOUND` if another process had."""
    folder, number = Path(sys.argv[1]), int(sys.argv[2])
    threading.Thread(target=die_with_parent, daemon=True).start()
    try:
        shadow, store = read_training(folder, number)
        with storage_errors(store.folder):
            trained = train_one(shadow, store, lambda share: _note(folder / f"{number}.progress", share))
    except IdbenchError as error:
        failed = {"kind": type(error).__name__, "message": error.message, "hint": error.hint}
        try:
            (folder / f"{number}.failure").write_text(json.dumps(failed), encoding="utf-8")
            traceback.print_exc()
        except OSError:  # the disk that is full may be the one for these words
            return _SPEECHLESS
        return 1
    return 0 if trained else _FOUND


def _note(path: Path, share: float) -> None:
    path.write_text(f"{share:.4f}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
