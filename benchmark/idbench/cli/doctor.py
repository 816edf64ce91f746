"""`bench doctor`: is everything here that a run needs?"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import typer

from idbench.cli import console, options
from idbench.errors import IdbenchError

_LITTLE_SPACE = 2 * 2**30  # bytes; a run on avatars needs a tenth of it


def doctor(results: options.Results = options.RESULTS, json: options.Json = False) -> None:
    """Check packages, disk, device, plug-ins and the hashes of shipped targets."""
    rows: list[dict[str, object]] = []
    for name, check in _CHECKS.items():
        try:
            rows.extend({"check": name, "ok": ok, "found": text} for ok, text in check(results))
        except IdbenchError as error:
            rows.append({"check": name, "ok": False, "found": str(error)})
    if json:
        console.write_json(rows)
    else:
        console.table(
            "",
            ("check", "", "found"),
            [(str(r["check"]), "ok" if r["ok"] else "PROBLEM", str(r["found"])) for r in rows],
        )
    if not all(row["ok"] for row in rows):
        raise typer.Exit(1)


def _python(_: object) -> Iterator[tuple[bool, str]]:
    yield True, f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _packages(_: object) -> Iterator[tuple[bool, str]]:
    import open_clip
    import torch
    import torchvision

    yield True, f"torch {torch.__version__}, torchvision {torchvision.__version__}, open_clip {open_clip.__version__}"


def _device(_: object) -> Iterator[tuple[bool, str]]:
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield True, ", ".join(names) or f"no GPU; {torch.get_num_threads()} processor threads"


def _disk(results: options.Results) -> Iterator[tuple[bool, str]]:
    from idbench.storage import cache_dir, check_space

    for path, option in ((cache_dir(), "BENCH_CACHE"), (results, "--results")):
        check_space(path, 1 << 12, option)
        free = shutil.disk_usage(path).free
        yield free > _LITTLE_SPACE, f"{path}: writable, {free / 2**30:.1f} GiB free"


def _cache(_: object) -> Iterator[tuple[bool, str]]:
    from idbench.storage import cache_dir

    sizes, stopped = dict[str, int](), 0
    for folder in sorted(path for path in cache_dir().iterdir() if path.is_dir()):
        files = [path for path in folder.rglob("*") if path.is_file()]
        sizes[folder.name] = sum(path.stat().st_size for path in files)
        stopped += sum(path.suffix == ".resume" for path in files)
    each = ", ".join(f"{name} {size / 2**30:.1f}" for name, size in sizes.items() if size >= 2**30 / 20)
    unfinished = f"; trainings that stopped and can go on (*.resume): {stopped}" if stopped else ""
    yield True, f"{sum(sizes.values()) / 2**30:.1f} GiB{f' ({each})' if each else ''}{unfinished}"


def _plugins(_: object) -> Iterator[tuple[bool, str]]:
    from idbench.plugins import Registry
    from idbench.runner.registry import ADAPTATIONS, ATTACKS, DEFENSES
    from idbench.splits import SPLITS
    from idbench.targets import TARGETS

    groups: tuple[Registry[Any], ...] = (ATTACKS, DEFENSES, ADAPTATIONS, SPLITS, TARGETS)
    with ThreadPoolExecutor(len(groups)) as pool:
        found = list(pool.map(lambda group: group.entries(), groups))
    for group, entries in zip(groups, found, strict=True):
        for entry in entries:
            if entry.value is None:
                yield False, f"{group.kind} {entry.name} is unavailable: {entry.reason}"
        yield True, f"{sum(entry.value is not None for entry in entries)} {group.kind}s can be used"


def _targets(_: object) -> Iterator[tuple[bool, str]]:
    from idbench.storage import sha256_file
    from idbench.targets import Packaged, TrainedHere, list_targets
    from idbench.targets.fetch import packaged_file
    from idbench.targets.trained import read_note, weights_place

    for spec in list_targets():
        if isinstance(spec.weights, Packaged):
            good = sha256_file(packaged_file(spec.weights.file)) == spec.sha256
            yield good, f"{spec.name}: SHA-256 {'as published' if good else 'DIFFERS: install idbench again'}"
        elif isinstance(spec.weights, TrainedHere) and (note := read_note(spec)) is not None:
            good = sha256_file(weights_place(spec)) == note.sha256
            train = f"DIFFERS: bench target train {spec.name}"
            yield good, f"{spec.name}: SHA-256 {'as it was trained here' if good else train}"


_CHECKS: dict[str, Callable[[options.Results], Iterator[tuple[bool, str]]]] = {
    "python": _python,
    "packages": _packages,
    "device": _device,
    "disk": _disk,
    "cache": _cache,
    "plug-ins": _plugins,
    "targets": _targets,
}
