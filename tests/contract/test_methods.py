"""The contract that every shipped method keeps, on a real (tiny, random) CLIP behind a real view."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from idbench.api import (
    Attack,
    AuxiliaryPerson,
    Calibration,
    Case,
    Context,
    Knowledge,
    Pair,
    Photo,
    Scores,
    Silent,
)
from idbench.targets import LocalFile, TargetSpec, TrainingRecipe
from idbench.targets.avatars import MERGES
from idbench.targets.load import LoadedTarget, build_model, load_target
from idbench.targets.view import View

METHODS = sorted(
    entry.name for entry in entry_points(group="idbench.attacks") if entry.value.startswith("idbench_methods.")
)
QUICK: dict[str, dict[str, Any]] = {
    "tuni": {"runs": 2, "steps": 2, "gibberish_count": 20},
    "tuni-early": {"runs": 3, "steps": 2, "gibberish_count": 20},
    "lira": {"shadows": 4},
    "rmia": {"shadows": 4},
    "shadow-classifier": {"shadows": 4},
    "ramia-shadow": {"shadows": 4},
}
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, QUICK.get(name, {})) for name in METHODS),
    ("idia", {"photos_per_person": 1, "draws": 5, "pool_size": 8}),
    ("tuni", QUICK["tuni"] | {"use_photos": True, "start": "noise", "optimizer": "sgd", "crop_of": "start"}),
    ("tuni", QUICK["tuni"] | {"use_photos": True, "photo_features": "descriptor", "direction": "more-similar"}),
    ("tuni-early", QUICK["tuni-early"] | {"start": "noise", "optimizer": "sgd", "direction": "more-similar"}),
    ("lira", QUICK["lira"] | {"mode": "offline"}),
    ("lira", QUICK["lira"] | {"variance": "per-identity"}),
    ("ramia-shadow", QUICK["ramia-shadow"] | {"base": "lira"}),
    ("binding", {"partners": 3, "cut": "after-first", "regress_tokens": True}),
    ("binding", {"pool": "captions", "partners": None}),
    ("prmid", {"statistic": "rank"}),
    ("text-statistic", {"statistic": "norm"}),
    ("umid", {"direction": "more-similar", "templates": ["a photo of {}", "{}"]}),
    ("rmia", QUICK["rmia"] | {"mode": "online", "gamma": 2.0, "a": 0.3}),
]
NAMES = ["Mara Ohm", "José Ñandú", "李 雷", "Bo", "Ünal Œuvre", "X" * 400, "{} {0} %s", "", "Mara Ohm-Veld", "ß 🙂"]
CAPTIONS = ["a photo of somebody", "Ida Berg outside", "Tor van Holm in a hat", "Ida Holm and Una Berg"]
CONFIG: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 849, "width": 16, "heads": 2, "layers": 1},
}
RESNET: dict[str, Any] = CONFIG | {
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16}
}
NEEDS_RESNET = ("batchnorm",)
RECIPE = TrainingRecipe(epochs=1, batch_size=32, learning_rate=1e-3, weight_decay=0.1, warmup_steps=1, seed=0)


@dataclass(frozen=True)
class Person:
    """Everything about a person under test; a method gets the part that it declares."""

    name: str
    photos: tuple[Photo, ...]


def random_target(path: Path, config: dict[str, Any]) -> LoadedTarget:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(config, "random")
    save_file({name: tensor.clone().contiguous() for name, tensor in model.state_dict().items()}, path)
    spec = TargetSpec(
        name="random",
        version="1",
        title="random weights",
        architecture=config,
        tokenizer=MERGES,
        weights=LocalFile(path=str(path)),
        recipe=RECIPE,
    )
    return load_target(spec)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> LoadedTarget:
    return random_target(tmp_path_factory.mktemp("target") / "random.safetensors", CONFIG)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> LoadedTarget:
    return random_target(tmp_path_factory.mktemp("resnet") / "random.safetensors", RESNET)


def photo_of(pixels: NDArray[np.uint8]) -> Photo:
    return Photo(hashlib.sha256(pixels.tobytes()).hexdigest(), lambda: pixels)


def photos(n: int, seed: int) -> tuple[Photo, ...]:
    rng = np.random.default_rng(seed)
    return tuple(photo_of(rng.integers(0, 256, (20, 18, 3), dtype=np.uint8)) for _ in range(n))


def persons(names: Sequence[str] = NAMES, n_photos: int = 3) -> list[Person]:
    return [Person(name, photos(n_photos, seed)) for seed, name in enumerate(names)]


def auxiliary_people() -> tuple[AuxiliaryPerson, ...]:
    return tuple(
        AuxiliaryPerson(f"Aux Person{i}", tuple(Pair(photo, f"Aux Person{i} outside") for photo in photos(2, 800 + i)))
        for i in range(6)
    )


@pytest.fixture(params=VARIANTS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(VARIANTS)])
def run(request: pytest.FixtureRequest, target: LoadedTarget, resnet: LoadedTarget, tmp_path: Path) -> Any:
    name, given = request.param
    asked = resnet if name in NEEDS_RESNET else target
    (entry,) = entry_points(group="idbench.attacks", name=name)
    method: type[Attack[Any]] = entry.load()

    def go(people: Sequence[Person], *, seed: int = 0, ids: Sequence[str] | None = None) -> Scores:
        attack = method(method.Params.model_validate(given))
        knows = attack.knowledge

        def case(number: int, person: Person, prefix: str) -> Case:
            return Case(
                ids[number] if ids and prefix == "t" else f"{prefix}{number}",
                person.name if Knowledge.NAME in knows else None,
                person.photos if Knowledge.PHOTOS in knows else None,
            )

        known = [Person(f"Known Person{i}", photos(2, 500 + i)) for i in range(12)]
        calibration = Calibration(
            [case(i, person, "k") for i, person in enumerate(known)],
            np.arange(12) % 2 == 0 if Knowledge.CALIBRATION_LABELS in knows else None,
        )
        context = Context(
            seed=seed,
            device="cpu",
            cache=tmp_path,
            progress=Silent(),
            candidates=(*sorted({person.name for person in people}), *(f"Other Name{i}" for i in range(6)))
            if Knowledge.CANDIDATE_NAMES in knows
            else None,
            pairs=tuple(Pair(photo, caption) for photo, caption in zip(photos(4, 900), CAPTIONS, strict=True))
            if Knowledge.PUBLIC_PAIRS in knows
            else None,
            auxiliary=auxiliary_people() if Knowledge.AUXILIARY_PEOPLE in knows else None,
        )
        view = View(asked, method.card.access, cache=tmp_path / "embeddings", shadows=tmp_path / "shadows")
        attack.fit(view, calibration, context)
        scores: Scores = attack.score(view, [case(i, person, "t") for i, person in enumerate(people)], context)
        return scores.checked(len(people))

    go.needs_two_words = name.startswith("binding")  # type: ignore[attr-defined]
    go.name = name  # type: ignore[attr-defined]
    go.needs_photos = Knowledge.PHOTOS in method.card.knowledge  # type: ignore[attr-defined]
    return go


def same(one: Scores, other: Scores, order: NDArray[np.int64] | None = None) -> None:
    """Equal up to the rounding of a network that met the photos in another order."""
    where = slice(None) if order is None else order
    np.testing.assert_allclose(other.values, one.values[where], rtol=1e-3, atol=1e-4)
    for field in ("abstained", "decisions", "photos_used"):
        left, right = getattr(one, field), getattr(other, field)
        assert (left is None) == (right is None)
        if left is not None:
            np.testing.assert_array_equal(right, left[where])
    assert one.details.keys() == other.details.keys()


def test_deterministic_for_a_seed(run: Any) -> None:
    one, other = run(persons(), seed=3), run(persons(), seed=3)
    np.testing.assert_array_equal(one.values, other.values)
    same(one, other)


def test_permuting_the_cases_permutes_the_scores(run: Any) -> None:
    people = persons()
    order = np.random.default_rng(0).permutation(len(people))
    ids = [f"t{i}" for i in order]
    same(run(people), run([people[i] for i in order], ids=ids), order)


def test_ids_say_nothing(run: Any) -> None:
    same(run(persons()), run(persons(), ids=[f"another-{i}" for i in range(len(NAMES))]))


def test_strange_names_get_finite_scores(run: Any) -> None:
    scores = run(persons())
    assert scores.abstained is not None
    assert scores.abstained.tolist() == [run.needs_two_words and len(name.split()) < 2 for name in NAMES]
    assert np.isfinite(scores.values[~scores.abstained]).all()
    assert all(np.isfinite(detail).all() for detail in scores.details.values())


def test_one_case_alone(run: Any) -> None:
    scores = run(persons(["Mara Ohm"]))
    assert np.isfinite(scores.values).all()


def test_one_photo(run: Any) -> None:
    scores = run(persons(n_photos=1))
    assert np.isfinite(scores.values[~scores.abstained]).all()


def test_no_photos_means_abstaining_where_photos_are_needed(run: Any) -> None:
    scores = run([Person("Mara Ohm", ()), Person("Bo Ek", ())])
    assert scores.abstained is not None
    assert scores.abstained.tolist() == [run.needs_photos] * 2
    assert scores.photos_used is None or not scores.photos_used.any()


def test_some_without_photos_leave_the_others_alone(run: Any) -> None:
    people = persons()
    people[2] = Person(people[2].name, ())
    scores = run(people)
    assert scores.abstained is not None
    assert scores.abstained.tolist() == [
        (run.needs_photos and i == 2) or (run.needs_two_words and len(person.name.split()) < 2)
        for i, person in enumerate(people)
    ]


def test_identical_names(run: Any) -> None:
    people = persons(["Mara Ohm", "Bo Ek", "Mara Ohm"])
    scores = run(people)
    assert np.isfinite(scores.values).all()
    if run.name in ("blind-names", "tuni-early") or (run.name == "tuni" and "closeness" not in scores.details):
        assert scores.values[0] == scores.values[2]


def test_identical_people(run: Any) -> None:
    person = persons()[0]
    scores = run([person, person, persons()[1]])
    assert scores.values[0] == pytest.approx(scores.values[1], abs=1e-6)


def test_the_same_photo_twice(run: Any) -> None:
    (photo,) = photos(1, 7)
    scores = run([Person("Mara Ohm", (photo, photo)), Person("Bo Ek", (photo,))])
    assert np.isfinite(scores.values).all()


def test_nobody(run: Any) -> None:
    assert run([]).values.shape == (0,)
