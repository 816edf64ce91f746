"""Cards and parameters of every shipped defense: loaded without heavy packages, complete, and what they claim."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from idbench.api import AnswerCard, Defense, Knowledge

NAMED = Knowledge.NAME | Knowledge.TRAINING_SET
KNOWS = {
    "blur-faces": NAMED,
    "cap-pictures": NAMED,
    "dp-clip": NAMED | Knowledge.PUBLIC_PAIRS,
    "drop-names": NAMED,
    "drop-people": NAMED,
    "fine-tune": Knowledge.PUBLIC_PAIRS,
    "gradient-ascent": Knowledge.NAME | Knowledge.PHOTOS,
    "identity-projection": Knowledge.PHOTOS,
    "image-backdoor": Knowledge.PHOTOS | Knowledge.PUBLIC_PAIRS,
    "label-smoothing": Knowledge.TRAINING_SET,
    "labels-only": Knowledge.NONE,
    "noise": Knowledge.NONE,
    "null-space": Knowledge.NAME,
    "query-budget": Knowledge.NONE,
    "refuse-names": Knowledge.NAME,
    "replace-names": NAMED,
    "round": Knowledge.NONE,
    "shuffle-captions": NAMED,
    "slug": Knowledge.NAME | Knowledge.PHOTOS | Knowledge.PUBLIC_PAIRS,
    "text-backdoor": Knowledge.NAME | Knowledge.PUBLIC_PAIRS,
    "top-k": Knowledge.PUBLIC_PAIRS,
}


def load(name: str) -> type[Defense]:  # type: ignore[type-arg]
    (entry,) = entry_points(group="idbench.defenses", name=name)
    loaded: type[Defense] = entry.load()  # type: ignore[type-arg]
    return loaded


def test_all_cards_load_without_heavy_packages() -> None:
    program = """
import json, sys
from importlib.metadata import entry_points
cards = [entry.load().card.name for entry in entry_points(group="idbench.defenses")
         if entry.value.startswith("idbench_methods.")]
heavy = {"torch", "torchvision", "sklearn", "scipy", "pyod", "pandas", "open_clip", "PIL", "datasets"}
print(json.dumps([sorted(cards), sorted(heavy & set(sys.modules))]))
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    cards, heavy = json.loads(done.stdout)
    assert cards == sorted(KNOWS)
    assert heavy == []


@pytest.mark.parametrize("name", sorted(KNOWS))
def test_cards_and_parameters_are_complete(name: str) -> None:
    kind = load(name)
    card = kind.card
    assert card.name == name
    assert card.knowledge == KNOWS[name]
    assert card.summary
    assert card.choices
    assert all(choice.what and choice.chosen and choice.why for choice in card.choices)
    assert all(field.description for field in kind.Params.model_fields.values())
    assert kind.Params.model_validate_json(kind.Params().model_dump_json()) == kind.Params()
    if isinstance(card, AnswerCard):
        assert card.answers
