"""Cards and parameters of every shipped method: loaded without heavy packages, complete, and what they claim."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from idbench.api import Access, Attack, Knowledge, Track

METHODS = sorted(
    entry.name for entry in entry_points(group="idbench.attacks") if entry.value.startswith("idbench_methods.")
)
TRACKS = {
    "aea": Track.BLACK_BOX,
    "batchnorm": Track.WHITE_BOX,
    "binding": Track.TEXT_ONLY,
    "binding-similarity": Track.TEXT_ONLY,
    "blind-names": Track.BLIND,
    "blind-photos": Track.BLIND,
    "cosine": Track.BLACK_BOX,
    "deja-vu": Track.BLACK_BOX,
    "gradient": Track.BLACK_BOX,
    "idia": Track.BLACK_BOX,
    "lira": Track.SHADOW,
    "mint": Track.WHITE_BOX,
    "prmid": Track.BLACK_BOX,
    "ramia": Track.BLACK_BOX,
    "ramia-shadow": Track.SHADOW,
    "random": Track.BLIND,
    "rmia": Track.SHADOW,
    "shadow-classifier": Track.SHADOW,
    "stack": Track.BLACK_BOX,
    "text-statistic": Track.TEXT_ONLY,
    "tuni": Track.TEXT_ONLY,
    "tuni-early": Track.TEXT_ONLY,
    "umid": Track.TEXT_ONLY,
    "wsa": Track.BLACK_BOX,
}


def load(name: str) -> type[Attack]:  # type: ignore[type-arg]
    (entry,) = entry_points(group="idbench.attacks", name=name)
    loaded: type[Attack] = entry.load()  # type: ignore[type-arg]
    return loaded


def test_all_cards_load_without_heavy_packages() -> None:
    program = """
import json, sys
from importlib.metadata import entry_points
cards = [entry.load().card.name for entry in entry_points(group="idbench.attacks")
         if entry.value.startswith("idbench_methods.")]
heavy = {"torch", "torchvision", "sklearn", "scipy", "pyod", "pandas", "open_clip", "PIL", "datasets"}
print(json.dumps([sorted(cards), sorted(heavy & set(sys.modules))]))
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    cards, heavy = json.loads(done.stdout)
    assert cards == METHODS
    assert heavy == []


@pytest.mark.parametrize("name", METHODS)
def test_cards_are_complete(name: str) -> None:
    card = load(name).card
    assert card.name == name
    assert card.track is TRACKS[name]
    assert card.summary
    assert all(choice.what and choice.chosen and choice.why for choice in card.choices)


@pytest.mark.parametrize("name", METHODS)
def test_parameters_are_documented_and_presets_valid(name: str) -> None:
    method = load(name)
    for field, info in method.Params.model_fields.items():
        assert info.description, f"{name}.{field} has no description"
    for preset in method.card.presets.values():
        method(method.Params.model_validate(preset))
    assert method().params == method.Params()
    assert method.Params.model_validate_json(method.Params().model_dump_json()) == method.Params()


def test_idia_asks_for_labels_only() -> None:
    card = load("idia").card
    assert card.access is Access.LABEL
    assert Knowledge.CALIBRATION_LABELS not in card.knowledge
