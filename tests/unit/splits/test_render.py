"""The renderer: exact, independent of the batch, and drawing people who resemble themselves."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from idbench.splits.avatars import people, render
from idbench.splits.avatars.people import looks_of, scenes_of
from idbench.splits.injected import chance

GOLDEN = Path(__file__).parents[2] / "golden" / "pictures.json"


def labels(n: int, per_person: int = 1) -> tuple[list[str], list[str]]:
    return [f"test/person/{i // per_person}" for i in range(n)], [f"test/picture/{i}" for i in range(n)]


def test_pictures_have_the_promised_form() -> None:
    pictures = render.render(*labels(5))
    assert pictures.shape == (5, render.SIZE, render.SIZE, 3)
    assert pictures.dtype == np.uint8
    assert render.render([], []).shape == (0, render.SIZE, render.SIZE, 3)


def test_pictures_are_equal_to_the_golden_ones() -> None:
    golden = json.loads(GOLDEN.read_text())
    drawn = render.render(*labels(golden["pictures"], golden["per_person"]))
    assert hashlib.sha256(drawn.tobytes()).hexdigest() == golden["sha256"]


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_a_picture_does_not_depend_on_its_batch(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    who, what = labels(90)
    expected = render.render(who, what)
    monkeypatch.setattr(render, "BATCH", batch)
    assert np.array_equal(render.render(who, what), expected)
    assert np.array_equal(render.render(who[40:41], what[40:41])[0], expected[40])


@pytest.mark.parametrize("module", [chance, people, render], ids=lambda module: module.__name__)
def test_nothing_but_integers(module: object) -> None:
    """Exactness by construction: no float literal, no true division, no library of random numbers or mathematics."""
    tree = ast.parse(Path(str(getattr(module, "__file__", ""))).read_text())
    for node in ast.walk(tree):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), ast.dump(node)
        assert not (isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, (ast.Div, ast.Pow)))
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"random", "sqrt", "exp", "sin", "cos", "mean", "float32", "float64", "divide"}
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= {"numpy", "hashlib"}


def test_traits_and_scenes_are_integers_in_range() -> None:
    who, what = labels(300)
    for record in (looks_of(who), scenes_of(what)):
        for field in fields(record):
            values = getattr(record, field.name)
            assert values.dtype.kind == "i", field.name
            assert len(values) == 300
            if values.ndim == 2:
                assert values.shape[1] == 3
                assert values.min() >= 0
                assert values.max() <= 255


def test_every_kind_of_trait_and_scene_occurs() -> None:
    looks, scenes = looks_of([f"p{i}" for i in range(2000)]), scenes_of([f"q{i}" for i in range(2000)])
    for values in (looks.bald, looks.glasses, looks.beard, looks.bun > 0, looks.hair_length > 0, looks.mole > 0):
        assert len(np.unique(values)) >= 2
    kinds = ((scenes.backdrop, 10), (scenes.light, 5), (scenes.expression, 5), (scenes.hat, 3), (scenes.cover, 4))
    for values, kind in kinds:
        assert len(np.unique(values)) == kind


def test_no_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the digits change nothing: 32 bits are enough everywhere."""
    who, what = labels(256)
    narrow = render.render(who, what)

    def widened(values: object) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        return np.asarray(values, dtype=np.int64).reshape(-1, 1, 1)

    def wide(function: Callable[[list[str]], object]) -> Callable[[list[str]], object]:
        def call(names: list[str]) -> object:
            record = function(names)
            return type(record)(**{f.name: getattr(record, f.name).astype(np.int64) for f in fields(record)})  # type: ignore[arg-type]

        return call

    monkeypatch.setattr(render, "column", widened)
    monkeypatch.setattr(render, "AXIS", render.AXIS.astype(np.int64))
    monkeypatch.setattr(render, "looks_of", wide(looks_of))
    monkeypatch.setattr(render, "scenes_of", wide(scenes_of))
    assert np.array_equal(render.render(who, what), narrow)


def test_people_resemble_themselves_but_not_too_much() -> None:
    """Nearest neighbours in pixels find the same person more often than chance and far from always."""
    n, per_person = 60, 6
    pixels = render.render(*labels(n * per_person, per_person)).astype(np.float32)
    flat = (pixels - pixels.mean(axis=(1, 2), keepdims=True)).reshape(len(pixels), -1)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    close = flat @ flat.T
    np.fill_diagonal(close, -1)
    person = np.arange(len(flat)) // per_person
    hits = float((person[close.argmax(axis=1)] == person).mean())
    assert 3 * (per_person - 1) / len(flat) < hits < 0.9


def test_unequal_labels_give_unequal_pictures() -> None:
    pictures = render.render(*labels(400))
    assert len({picture.tobytes() for picture in pictures}) == 400
