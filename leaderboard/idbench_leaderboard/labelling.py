"""Names of the rows of a board, and the commands that repeat them."""

from __future__ import annotations

import json
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pandas as pd

from idbench.escaping import line
from idbench_leaderboard.inputs import MethodInfo

_PRESET: Final = "preset "


def labelled(entries: pd.DataFrame, pools: pd.DataFrame, methods: Sequence[MethodInfo]) -> pd.DataFrame:
    """Names of the rows: the method, what differs from its usual parameters, and what else tells it from others.

    Args:
        entries: `rows.EntryRow`.
        pools: `rows.PoolRow`.
        methods: cards of those that ran. Where there is none, the commonest parameters count as the usual ones.
    """
    if entries.empty:
        return entries
    cards = {(method.name, method.version, method.code_sha256): method for method in methods}
    parts = []
    for key, group in entries.groupby(["method", "method_version", "code_sha256"], sort=True):
        settings = [json.loads(text) for text in group["parameters"]]
        card = cards.get((str(key[0]), str(key[1]), str(key[2])))
        defaults = {each.name: json.loads(each.default) for each in card.parameters} if card else {}
        base = defaults or _commonest(settings)
        named = {preset.name: {**base, **json.loads(preset.values)} for preset in card.presets} if card else {}
        variants = [_variant(setting, base, named) for setting in settings]
        parts.append(group.assign(variant=variants, usual=[not variant for variant in variants]))
    entries = pd.concat(parts).sort_index()
    entries["label"] = _labels_of(entries)
    entries["command"] = [
        _command(row, target)
        for row, target in zip(entries.itertuples(index=False), _asked(entries, pools), strict=True)
    ]
    return entries


def _asked(entries: pd.DataFrame, pools: pd.DataFrame) -> list[str]:
    """The target of each row; for a pooled one, the targets behind it, by commas."""
    targets: dict[str, str] = dict(zip(entries["entry"], entries["target"], strict=True))
    behind: dict[str, list[str]] = defaultdict(list)
    for entry, part in zip(pools["entry"], pools["part"], strict=True):
        behind[entry].append(targets[part])
    return [",".join(behind.get(entry, [target])) for entry, target in targets.items()]


def _commonest(settings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = sorted({name for setting in settings for name in setting})
    base = {}
    for name in names:
        counts = Counter(json.dumps(setting.get(name), sort_keys=True) for setting in settings)
        base[name] = json.loads(max(sorted(counts), key=lambda value: counts[value]))
    return base


def _variant(parameters: Mapping[str, Any], base: Mapping[str, Any], presets: Mapping[str, Mapping[str, Any]]) -> str:
    changed = [name for name in sorted(parameters) if name not in base or base[name] != parameters[name]]
    for name, values in sorted(presets.items()):
        if changed and dict(parameters) == dict(values):
            return f"{_PRESET}{name}"
    return ", ".join(f"{name}={_short_value(parameters[name])}" for name in changed)


def _short_value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 24 else text[:23] + "…"


def _labels_of(entries: pd.DataFrame) -> list[str]:
    board = entries[["split", "split_version", "target", "target_sha256", "corpus"]].map(str).agg("|".join, axis=1)
    labels = [
        line(f"{method} ({variant})" if variant else method)
        for method, variant in zip(entries["method"], entries["variant"], strict=True)
    ]
    found = entries.assign(board=board, label=labels)
    found["label"] += [f" + {line(defense)}" if defense else "" for defense in found["defense"]]
    for column, name in _TELLING.items():
        group = found.groupby(["board", "label"], sort=False)
        differs = group[column].transform("nunique") > 1
        found.loc[differs, "label"] = [
            label + name(value)
            for label, value in zip(found.loc[differs, "label"], found.loc[differs, column], strict=True)
        ]
    doubled = found.duplicated(["board", "label"], keep=False)
    found.loc[doubled, "label"] = found.loc[doubled, "label"] + " " + found.loc[doubled, "entry"].str[:6]
    return [str(label) for label in found["label"]]


_TELLING: Final[Mapping[str, Callable[[Any], str]]] = {
    "method_version": lambda value: f" v{line(value)}",
    "verified": lambda value: "" if value else " (self-reported)",
    "code_sha256": lambda value: f" code {value[:6]}",
    "engine": lambda value: f" engine {value}",
}
"""What tells rows of one name apart, in this order, where it differs."""


def _command(row: Any, target: str) -> str:
    """The command that repeats the row on a target, or on several by commas."""
    if row.defense:
        # On one line: what follows a line break would be a command.
        note = f"# repeats the attack without the defense {line(row.defense)}: `bench run` has no option for defenses"
        return f"{note}\n{_attack_command(row, target)}"
    return _attack_command(row, target)


def _attack_command(row: Any, target: str) -> str:
    seeds = sorted({int(seed) for seed in row.seeds.split(", ")})
    parts = ["bench", "run", "--method", row.method, "--split", row.split, "--target", target]
    parts += ["--corpus", row.corpus] if row.control else []
    parts += ["--seed", str(seeds[0])] if seeds[0] else []
    parts += ["--seeds", str(seeds[-1] - seeds[0] + 1)] if len(seeds) > 1 else []
    if row.variant.startswith(_PRESET):
        return shlex.join([*parts, "--preset", row.variant.removeprefix(_PRESET)])
    parameters = json.loads(row.parameters)
    names = [part.split("=")[0] for part in row.variant.split(", ")] if row.variant else []
    for name in (name for name in names if name in parameters):
        value = parameters[name]
        parts += ["--param", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join(parts)
