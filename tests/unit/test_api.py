"""What a method author meets: cards, tracks, scores, cases."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import pytest
from pydantic import Field, ValidationError

from idbench.api import (
    Access,
    AccessViolation,
    Attack,
    Calibration,
    Case,
    Context,
    Defense,
    DefenseCard,
    EditableTarget,
    InvalidScores,
    Knowledge,
    Method,
    MethodCard,
    MethodError,
    MethodParams,
    Scores,
    Silent,
    TargetDefense,
    TargetView,
    Track,
    names_of,
    track_of,
)

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).parents[2]


def card(**changes: object) -> MethodCard:
    values = {"name": "x", "version": "1", "title": "X", "access": Access.LABEL, "knowledge": Knowledge.NAME}
    return MethodCard.model_validate(values | changes)


@pytest.mark.parametrize(
    ("access", "knowledge", "track"),
    [
        (Access.NONE, Knowledge.NAME | Knowledge.PHOTOS, Track.BLIND),
        (Access.SIMILARITY | Access.GRADIENT, Knowledge.NAME, Track.TEXT_ONLY),
        (Access.LABEL, Knowledge.NAME | Knowledge.PHOTOS, Track.BLACK_BOX),
        (Access.SIMILARITY | Access.GRADIENT, Knowledge.NAME | Knowledge.PHOTOS, Track.WHITE_BOX),
        (Access.WEIGHTS, Knowledge.NAME, Track.WHITE_BOX),
        (Access.WEIGHTS | Access.TRAIN_SHADOWS, Knowledge.NAME, Track.SHADOW),
    ],
)
def test_track_follows_from_access_and_knowledge(access: Access, knowledge: Knowledge, track: Track) -> None:
    assert track_of(access, knowledge) is track
    assert card(access=access, knowledge=knowledge).track is track


@pytest.mark.parametrize("name", ["Tuni", "my_attack", "-x", "x-", "a--b", "", "ä", "1x", "x\n"])
def test_names_of_methods_are_plain(name: str) -> None:
    with pytest.raises(ValidationError, match="is not a method name"):
        card(name=name)


def test_cards_are_closed() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        card(tack="text-only")
    assert names_of(Access.GRADIENT | Access.LABEL) == ["LABEL", "GRADIENT"]
    assert names_of(Knowledge.NONE) == []


class Params(MethodParams):
    """One number."""

    number: int = Field(default=3, ge=1, description="a number")


class Mine(Attack[Params]):
    """Says how many cases there are."""

    card = card(name="mine")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        return Scores(np.full(len(cases), float(self.params.number)))


def test_parameters_belong_to_the_class() -> None:
    assert Mine.Params is Params
    assert Mine().params.number == 3
    assert Mine(Params(number=5)).params.number == 5
    with pytest.raises(ValidationError):
        Params(number=0)


def test_an_attack_without_a_card_is_refused() -> None:
    with pytest.raises(MethodError, match="Nameless has no card"):

        class Nameless(Attack[Params]):
            def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
                return Scores(np.zeros(len(cases)))


class Protects(TargetDefense[Params]):
    """Changes nothing."""

    card = DefenseCard(name="protects", version="1", title="Protects", knowledge=Knowledge.NAME)

    def defend(self, target: EditableTarget, protected: Sequence[Case], context: Context) -> Mapping[str, torch.Tensor]:
        return target.model.state_dict()


def test_attacks_and_defenses_have_one_base() -> None:
    assert issubclass(Attack, Method)
    assert issubclass(TargetDefense, Defense)
    assert issubclass(Defense, Method)
    assert not issubclass(Defense, Attack)
    assert Protects.Params is Params
    assert Protects(Params(number=5)).params.number == 5
    assert Protects().knowledge == Knowledge.NAME
    assert Mine().knowledge == Knowledge.NAME


def test_a_defense_never_knows_who_is_a_member() -> None:
    for field in ("knowledge", "optional_knowledge"):
        values = {"name": "x", "version": "1", "title": "X", "knowledge": Knowledge.NAME}
        with pytest.raises(ValidationError, match="never learns who is a member"):
            DefenseCard.model_validate(values | {field: Knowledge.NAME | Knowledge.CALIBRATION_LABELS})


def test_a_defense_has_no_access_and_no_track_to_declare() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        DefenseCard(name="x", version="1", title="X", knowledge=Knowledge.NAME, access=Access.WEIGHTS)  # type: ignore[call-arg]
    assert not hasattr(DefenseCard, "track")


def test_an_attack_says_what_it_asks_for() -> None:
    with pytest.raises(ValidationError, match="access"):
        MethodCard(name="x", version="1", title="X", knowledge=Knowledge.NAME)  # type: ignore[call-arg]


def score(self: Any, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
    return Scores(np.zeros(len(cases)))


@pytest.mark.parametrize(
    ("base", "members", "says"),
    [
        (Attack[Params], {"score": score}, r"Wrong has no card\. Set `card = MethodCard"),
        (TargetDefense[Params], {"defend": score}, r"Wrong has no card\. Set `card = DefenseCard"),
        (Defense[Params], {}, r"Wrong has no card\. Set `card = DefenseCard"),
        (Attack[Params], {"score": score, "card": "x"}, "card of Wrong is a str, not a MethodCard"),
        (Attack[Params], {"score": score, "card": Protects.card}, "is a DefenseCard, not a MethodCard"),
        (TargetDefense[Params], {"defend": score, "card": Mine.card}, "is a MethodCard, not a DefenseCard"),
        (Attack, {"score": score, "card": Mine.card}, "Wrong does not name its parameters"),
        (Attack[int], {"score": score, "card": Mine.card}, "Wrong does not name its parameters"),  # type: ignore[type-var]
        (
            Attack[Params],
            {"score": score, "card": card(presets={"paper": {"number": 0}})},
            "preset 'paper' of Wrong does not fit its parameters: number: Input should be greater",
        ),
        (
            TargetDefense[Params],
            {"defend": score, "card": Protects.card.model_copy(update={"presets": {"loud": {"colour": "red"}}})},
            "preset 'loud' of Wrong does not fit its parameters: colour: Extra inputs",
        ),
    ],
)
def test_a_class_that_says_too_little_is_refused_when_it_is_written(base: Any, members: Any, says: str) -> None:
    import types

    with pytest.raises(MethodError, match=says):
        types.new_class("Wrong", (base,), {}, lambda body: body.update(members))


def test_a_base_class_of_one_s_own_needs_no_card() -> None:
    own = TypeVar("own", bound=MethodParams)

    class Family(Attack[own], Generic[own]):
        def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
            return Scores(np.zeros(len(cases)))

    class Child(Family[Params]):
        card = card(name="child")

    class Grandchild(Child):
        card = card(name="grandchild")

    assert Child.Params is Grandchild.Params is Params
    assert Grandchild().params.number == 3


def test_parameters_are_typed_for_whoever_writes_a_method(tmp_path: Path) -> None:
    """The types of a stranger's code are checked as strictly as ours."""
    plugin = ROOT / "tests" / "plugin_package" / "src" / "idbench_sample"
    probe = tmp_path / "probe.py"
    probe.write_text(
        "from typing import assert_type\n"
        "from idbench.api import Attack, MethodParams, TargetDefense\n"
        "class Own(MethodParams):\n"
        "    number: int = 3\n"
        "def look(one: Attack[Own], other: TargetDefense[Own]) -> None:\n"
        "    assert_type(one.params, Own)\n"
        "    assert_type(other.params, Own)\n"
        "    assert_type(one.params.number, str)  # wrong\n"
        "    other.params.colour  # wrong\n"
        "class Odd(Attack[int]):  # wrong\n"
        "    pass\n"
    )
    files = [str(probe), str(plugin / "good.py"), str(plugin / "defenses.py")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "--no-error-summary", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    wrong = [place for place, line in enumerate(probe.read_text().splitlines(), 1) if line.endswith("# wrong")]
    found = re.findall(r"(\w+)\.py:(\d+): error", done.stdout)
    assert found == [("probe", str(place)) for place in wrong], done.stdout + done.stderr
    for words in ('Expression is of type "int", not "str"', 'has no attribute "colour"', '"int"'):
        assert words in done.stdout


LAST = np.array([False, False, True])


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        (Scores(np.zeros(2)), r"shape \(2,\); 3 cases"),
        (Scores(np.zeros((3, 1))), r"shape \(3, 1\)"),
        (Scores(np.array([0.0, np.nan, np.inf])), "2 of 3 scores are NaN or infinite"),
        (Scores(np.array(["a", "b", "c"])), "not an array of float64"),  # type: ignore[arg-type]
        (Scores(np.array([1, None, 2], dtype=object)), "not an array of float64"),  # type: ignore[arg-type]
        (Scores(np.zeros(3), abstained=np.array([0.0, 1.0, 0.0])), "not an array of bool"),  # type: ignore[arg-type]
        (Scores(np.zeros(3), details={"s": np.zeros(4)}), r"details\['s'\] has shape"),
        (Scores(np.zeros(3), reasons={"short": LAST}), "for a case that is not abstained from"),
        (Scores(np.zeros(3), LAST, reasons={"short": LAST, "odd": LAST}), "'odd' is given for a case that .* another"),
        (Scores(np.zeros(3), LAST, reasons={"short": np.array([True])}), r"reasons\['short'\] has shape"),
        (Scores(np.zeros(3), LAST, reasons={"": LAST}), "A reason is given as ''"),
        (Scores(np.zeros(3), LAST, reasons={"two\nlines": LAST}), "A reason is given as"),
        (Scores(np.zeros(3), LAST, reasons={"x" * 101: LAST}), "A reason is given as"),
        (Scores(np.zeros(3), LAST, reasons={str(i): ~LAST & LAST for i in range(21)}), "21 reasons; 20 are allowed"),
    ],
)
def test_unusable_scores_are_refused(scores: Scores, sentence: str) -> None:
    with pytest.raises(InvalidScores, match=sentence):
        scores.checked(3)


def test_scores_get_their_types() -> None:
    checked = Scores(np.array([1, 2, 3]), abstained=np.array([False, True, False])).checked(3)  # type: ignore[arg-type]
    assert checked.values.dtype == np.float64
    assert np.isnan(checked.values[1])
    assert np.isfinite(checked.values[[0, 2]]).all()


def test_what_is_not_declared_cannot_be_read() -> None:
    case = Case("case-1", None, None)
    context = Context(0, "cpu", Path(), Silent())
    for read in (
        lambda: case.name,
        lambda: case.photos,
        lambda: Calibration([case], None).members,
        lambda: context.candidate_names,
        lambda: context.public_pairs,
    ):
        with pytest.raises(AccessViolation, match="does not declare"):
            read()


def test_generators_depend_on_seed_and_labels_only() -> None:
    context = Context(7, "cpu", Path(), Silent())
    first = context.rng("text", "a name").random(3)
    assert np.array_equal(first, context.rng("text", "a name").random(3))
    assert not np.array_equal(first, context.rng("text", "another").random(3))
    assert not np.array_equal(context.rng("a", "b").random(3), context.rng("ab").random(3))
    assert not np.array_equal(first, Context(8, "cpu", Path(), Silent()).rng("text", "a name").random(3))
