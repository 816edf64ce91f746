"""Defended targets: lineage, what they have from their base, and the weights that a defense may leave."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import Field, ValidationError
from tests.unit.targets.conftest import SMALL, spec_of

from idbench.api import (
    Access,
    AccessViolation,
    Case,
    Context,
    DefenseCard,
    EditableTarget,
    Knowledge,
    MethodParams,
    Pair,
    Photo,
    Silent,
    TargetDefense,
)
from idbench.errors import MethodError, TargetError
from idbench.runner.training import targets_to_train
from idbench.storage import sha256_bytes
from idbench.targets import AppliedDefense, Defended, LocalFile, TargetSpec, TrainingRecipe, is_ready, resolve_target
from idbench.targets.defended import defended_place, defended_target, read_defense_note
from idbench.targets.defending import defend_target
from idbench.targets.fetch import fetch_target, pin_target
from idbench.targets.load import load_target
from idbench.targets.view import View

PEOPLE = sha256_bytes(b"Mara Ohm")
RECIPE = TrainingRecipe(epochs=1, batch_size=4, learning_rate=1e-3, weight_decay=0.1, warmup_steps=1, seed=0)


class ShiftParams(MethodParams):
    by: float = Field(default=0.0, description="added to every weight matrix")


class Shift(TargetDefense[ShiftParams]):
    """Adds a number to every weight matrix; counts how often it was called."""

    card = DefenseCard(name="shift", version="1", title="Shift", knowledge=Knowledge.NAME)
    calls = 0

    def defend(self, target: EditableTarget, protected: Sequence[Case], context: Context) -> Mapping[str, torch.Tensor]:
        type(self).calls += 1
        with torch.no_grad():
            for parameter in target.model.parameters():
                if parameter.ndim > 1:
                    parameter.add_(self.params.by)
        return target.model.state_dict()


@pytest.fixture
def base(small_file: Path) -> TargetSpec:
    return pin_target(spec_of(small_file, SMALL, corpus="people", recipe=RECIPE))


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(0, "cpu", tmp_path / "own", Silent())


def applied(by: float = 0.0, **changes: Any) -> AppliedDefense:
    values = {
        "name": "shift",
        "version": "1",
        "distribution": "tests 1",
        "code_sha256": "c" * 64,
        "parameters": {"by": by},
        "seed": 0,
        "given_sha256": PEOPLE,
    }
    return AppliedDefense.model_validate(values | changes)


def state_of(spec: TargetSpec) -> dict[str, torch.Tensor]:
    return load_target(spec).model.state_dict()


def test_a_spec_survives_json(base: TargetSpec) -> None:
    once = defended_target(base, applied(0.5))
    twice = defended_target(once.model_copy(update={"sha256": "a" * 64}), applied(0.25))
    for spec in (once, twice):
        again = TargetSpec.model_validate_json(spec.model_dump_json())
        assert again == spec
        assert again.lineage == spec.lineage
    assert twice.undefended == once.undefended == base
    assert base.undefended is base
    assert base.lineage is None


def test_everything_but_name_title_and_weights_is_the_base_s(base: TargetSpec) -> None:
    spec = defended_target(base, applied())
    assert spec.lineage is not None
    assert spec.name == f"probe.shift-{spec.lineage[:8]}"
    assert spec.sha256 is None
    outside = {"name", "title", "weights", "sha256", "golden_sha256"}
    assert spec.model_dump(exclude=outside) == base.model_dump(exclude=outside)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "shift-2"},
        {"version": "2"},
        {"code_sha256": "d" * 64},
        {"parameters": {"by": 0.1}},
        {"seed": 1},
        {"given_sha256": "e" * 64},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_whatever_decides_the_weights_is_in_the_lineage(base: TargetSpec, changes: dict[str, Any]) -> None:
    one, other = defended_target(base, applied()), defended_target(base, applied(**changes))
    assert one.lineage != other.lineage
    assert one.name != other.name
    assert isinstance(one.weights, Defended)
    assert isinstance(other.weights, Defended)
    assert defended_place(one.weights) != defended_place(other.weights)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"sha256": "f" * 64}, False),
        ({"quick_gelu": True}, False),
        ({"recipe": None}, False),
        ({"corpus_digest": "1" * 64}, False),
        ({"name": "other", "title": "Other", "license": "CC0"}, True),
        ({"weights": LocalFile(path="elsewhere/small.safetensors")}, True),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_of_the_base_only_what_decides_the_weights_counts(
    base: TargetSpec, changes: dict[str, Any], same: bool
) -> None:
    other = base.model_copy(update=changes)
    assert (defended_target(base, applied()).lineage == defended_target(other, applied()).lineage) is same


def test_who_brings_the_defense_does_not_count_but_its_code_does(base: TargetSpec) -> None:
    assert defended_target(base, applied()).lineage == defended_target(base, applied(distribution="x 2")).lineage


def test_defending_twice_is_another_lineage_than_once(base: TargetSpec) -> None:
    once = defended_target(base, applied()).model_copy(update={"sha256": base.sha256})
    twice = defended_target(once, applied())
    assert len({base.lineage, once.lineage, twice.lineage}) == 3


def test_an_unpinned_base_is_refused(small_file: Path) -> None:
    unpinned = spec_of(small_file, SMALL)
    with pytest.raises(TargetError, match="probe is not pinned"):
        defended_target(unpinned, applied())
    with pytest.raises(ValidationError, match="probe is not pinned"):
        Defended(base=unpinned, defense=applied())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"corpus": "other-people"}, "differs from probe in corpus"),
        ({"control_for": ["people"]}, "differs from probe in control_for"),
        ({"recipe": None}, "differs from probe in recipe"),
        ({"corpus_digest": "1" * 64, "quick_gelu": True}, "differs from probe in corpus_digest, quick_gelu"),
        ({"name": "probe"}, "needs a name of its own"),
    ],
    ids=str,
)
def test_a_defended_target_cannot_say_of_itself_what_its_base_does_not(
    base: TargetSpec, changes: dict[str, Any], says: str
) -> None:
    answer = json.loads(defended_target(base, applied()).model_dump_json())
    with pytest.raises(ValidationError, match=says):
        TargetSpec.model_validate(answer | changes)


def test_before_the_defense_was_applied_one_sentence_says_so(base: TargetSpec) -> None:
    spec = defended_target(base, applied())
    assert not is_ready(spec)
    for ask in (pin_target, fetch_target, load_target):
        with pytest.raises(TargetError, match="shift was not applied to probe here"):
            ask(spec)
    with pytest.raises(TargetError, match="shift was not applied to probe here"):
        load_target(spec.model_copy(update={"sha256": "a" * 64}))


def test_weights_are_made_once_and_kept_by_lineage(base: TargetSpec, context: Context) -> None:
    Shift.calls = 0
    spec = defended_target(base, applied(0.5))
    pinned = defend_target(spec, Shift(ShiftParams(by=0.5)), [], context)
    assert pinned.sha256 is not None
    assert pinned.sha256 != base.sha256
    assert pin_target(spec) == pinned
    assert is_ready(spec)
    assert isinstance(spec.weights, Defended)
    note = read_defense_note(spec.weights)
    assert note is not None
    assert (note.lineage, note.sha256, note.device) == (spec.lineage, pinned.sha256, "cpu")
    renamed = defended_target(base.model_copy(update={"name": "renamed"}), applied(0.5))
    assert defend_target(renamed, Shift(ShiftParams(by=0.5)), [], context).sha256 == pinned.sha256
    assert Shift.calls == 1
    before, after = state_of(base), state_of(pinned)
    for name, tensor in before.items():
        np.testing.assert_array_equal(after[name], tensor + 0.5 if tensor.ndim > 1 else tensor)


def test_a_defense_that_changes_nothing_changes_no_bit(base: TargetSpec, context: Context) -> None:
    pinned = defend_target(defended_target(base, applied()), Shift(), [], context)
    before, after = state_of(base), state_of(pinned)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_defense_on_top_of_a_defense(base: TargetSpec, context: Context) -> None:
    once = defend_target(defended_target(base, applied(0.5)), Shift(ShiftParams(by=0.5)), [], context)
    twice = defend_target(defended_target(once, applied(-0.5)), Shift(ShiftParams(by=-0.5)), [], context)
    before, after = state_of(base), state_of(twice)
    np.testing.assert_allclose(after["text_projection"], before["text_projection"], atol=1e-6)
    assert twice.undefended == base


@pytest.mark.parametrize("damage", ["weights", "note", "other lineage", "cut"])
def test_damaged_leftovers_are_made_again(base: TargetSpec, context: Context, damage: str) -> None:
    spec = defended_target(base, applied(0.5))
    defense = Shift(ShiftParams(by=0.5))
    good = defend_target(spec, defense, [], context)
    assert isinstance(spec.weights, Defended)
    place = defended_place(spec.weights)
    note = place.with_name("defended.json")
    if damage == "weights":
        place.write_bytes(place.read_bytes()[:-4] + b"oops")
        with pytest.raises(TargetError, match="have SHA-256") as caught:
            load_target(good)
        assert "apply the defense again" in caught.value.hint
    elif damage == "note":
        note.write_text("{")
    elif damage == "other lineage":
        note.write_text(note.read_text().replace(str(spec.lineage), "0" * 64))
    else:
        place.unlink()
    assert defend_target(spec, defense, [], context) == good
    assert torch.equal(state_of(good)["text_projection"], state_of(base)["text_projection"] + 0.5)


class Bad(Shift):
    """Returns what it was made with."""

    def __init__(self, returns: Callable[[EditableTarget], object]) -> None:
        super().__init__()
        self._returns = returns

    def defend(self, target: EditableTarget, protected: Sequence[Case], context: Context) -> Any:
        return self._returns(target)


def changed(target: EditableTarget, name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> object:
    state = dict(target.model.state_dict())
    return state | {name: change(state[name])}


@pytest.mark.parametrize(
    ("returns", "says"),
    [
        (lambda target: None, "a NoneType is not a mapping"),
        (lambda target: target.model, "is not a mapping"),
        (lambda target: {"logit_scale": 3.0}, "is not a mapping of names to tensors"),
        (lambda target: {}, r"\d+ tensors are missing \(first positional_embedding\)"),
        (lambda target: target.model.visual.state_dict(), r"\d+ tensors are missing"),
        (lambda target: changed(target, "logit_scale", lambda t: t) | {"more": torch.zeros(1)}, r"1 tensors are unk"),
        (
            lambda target: changed(target, "text_projection", lambda t: t[:1]),
            r"text_projection .* \(1, 16\) instead",
        ),
        (lambda target: changed(target, "text_projection", lambda t: t.half()), "torch.float16"),
        (lambda target: changed(target, "text_projection", lambda t: t / 0), "text_projection holds NaN or infinite"),
    ],
)
def test_weights_that_cannot_be_used_are_refused_and_nothing_is_kept(
    base: TargetSpec, context: Context, returns: Callable[[EditableTarget], object], says: str
) -> None:
    spec = defended_target(base, applied())
    with pytest.raises(MethodError, match=f"shift returned weights for probe that cannot be used: .*{says}") as caught:
        defend_target(spec, Bad(returns), [], context)
    assert "state dict" in caught.value.hint
    assert not is_ready(spec)
    assert isinstance(spec.weights, Defended)
    assert not defended_place(spec.weights).exists()


def test_tensors_that_share_memory_are_kept(base: TargetSpec, context: Context) -> None:
    def shared(target: EditableTarget) -> object:
        state = dict(target.model.state_dict())
        flat = torch.cat([tensor.flatten() for tensor in state.values()])
        parts = flat.split([tensor.numel() for tensor in state.values()])
        return {name: part.view(state[name].shape) for name, part in zip(state, parts, strict=True)}

    pinned = defend_target(defended_target(base, applied()), Bad(shared), [], context)
    assert torch.equal(state_of(pinned)["text_projection"], state_of(base)["text_projection"])


@pytest.mark.parametrize(
    ("named", "seed"),
    [(applied(0.25), 0), (applied(0.5), 1), (applied(0.5, version="2"), 0), (applied(0.5, name="x"), 0)],
)
def test_the_work_of_one_defense_is_not_filed_as_another_s(
    base: TargetSpec, tmp_path: Path, named: AppliedDefense, seed: int
) -> None:
    with pytest.raises(MethodError, match="but the installed defense is shift 1"):
        defend_target(
            defended_target(base, named), Shift(ShiftParams(by=0.5)), [], Context(seed, "cpu", tmp_path, Silent())
        )
    with pytest.raises(TargetError, match="probe is not a defended target"):
        defend_target(base, Shift(), [], Context(0, "cpu", tmp_path, Silent()))


def test_a_defense_meets_the_target_as_the_interface_says(
    base: TargetSpec, context: Context, photos: Callable[..., list[Photo]]
) -> None:
    seen: dict[str, Any] = {}

    class Looks(Shift):
        def defend(
            self, target: EditableTarget, protected: Sequence[Case], context: Context
        ) -> Mapping[str, torch.Tensor]:
            (person,) = protected
            seen["tokens"] = target.tokenize([person.name, "a photo"])
            seen["pixels"] = target.preprocess(photos(3, 20))
            seen["info"] = target.info
            loss = target.model.encode_image(seen["pixels"]).sum()  # type: ignore[operator]
            loss.backward()
            seen["gradient"] = target.model.visual.proj.grad.abs().sum()
            seen["training"] = target.model.training
            with pytest.raises(AccessViolation, match="photos that its card does not declare"):
                person.photos  # noqa: B018
            with pytest.raises(AccessViolation, match="public pairs that its card does not declare"):
                context.public_pairs  # noqa: B018
            return target.model.state_dict()

    defend_target(defended_target(base, applied()), Looks(), [Case("p-1", "Mara Ohm", None)], context)
    assert seen["tokens"].shape == (2, 77)
    assert seen["tokens"].dtype == torch.int64
    assert seen["pixels"].shape == (3, 3, 16, 16)
    assert seen["info"].embedding_dim == 16
    assert seen["gradient"] > 0
    assert not seen["training"]


def test_shadows_of_a_defended_target_are_those_of_its_base(
    context: Context, photos: Callable[..., list[Photo]], small_file: Path, tmp_path: Path
) -> None:
    base = pin_target(spec_of(small_file, SMALL, recipe=RECIPE))
    pinned = defend_target(defended_target(base, applied(0.5)), Shift(ShiftParams(by=0.5)), [], context)
    pairs = [Pair(photo, f"person {i}") for i, photo in enumerate(photos(4))]
    found = []
    for spec in (base, pinned):
        view = View(load_target(spec), Access.TRAIN_SHADOWS, cache=tmp_path / "e", shadows=tmp_path / "s")
        (shadow,) = view.train_shadows([pairs], seed=0)
        assert view.shadow_costs is not None
        found.append((shadow.embed_texts(["Mara Ohm"]), view.shadow_costs.trained))
    (first, trained), (second, again) = found
    np.testing.assert_array_equal(first, second)
    assert (trained, again) == (1, 0)  # the attacker has the recipe, not the defense


def test_a_defended_target_is_not_trained_over(base: TargetSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = defended_target(base, applied())
    monkeypatch.setattr("idbench.runner.training.list_targets", lambda: [spec])
    with pytest.raises(TargetError, match="is defended, not trained") as caught:
        targets_to_train(spec.name)
    assert "Train probe" in caught.value.hint


def test_an_applied_defense_is_closed_and_plain() -> None:
    for wrong in ({"code_sha256": "12"}, {"seed": -1}, {"given_sha256": ""}, {"colour": "red"}, {"parameters": 3}):
        with pytest.raises(ValidationError):
            applied(**wrong)


def test_shipped_targets_keep_their_place_in_the_catalogue() -> None:
    spec = defended_target(resolve_target("avatars-a"), applied())
    assert spec.corpus == "avatars-a"
    assert spec.recipe == resolve_target("avatars-a").recipe
