"""The four groups of plug-ins: found and checked, listed with the reason if broken, refused if they clash."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from idbench.api import Attack, DefenseCard, Knowledge, MethodCard
from idbench.errors import MethodError, PluginError, UnknownNameError
from idbench.plugins import Plugin, Registry
from idbench.runner.registry import ATTACKS, DEFENSES, Registered, blind_attacks, load_defense, make_method
from idbench.splits import SPLITS
from idbench.targets import TARGETS

GROUPS: dict[str, Registry[Any]] = {group.kind: group for group in (ATTACKS, DEFENSES, SPLITS, TARGETS)}
GOOD = {
    "attack": ("sample-good", "idbench_sample.good:Good"),
    "defense": ("sample-identity", "idbench_sample.defenses:Identity"),
    "split": ("avatars-tiny", "idbench.splits.avatars:TINY"),
    "target": ("avatars-a", "idbench.targets.avatars:A"),
}

pytestmark = pytest.mark.usefixtures("plugins")


class From:
    """Stands for an installed distribution."""

    def __init__(self, name: str) -> None:
        self.name, self.version = name, "1"


def point(group: Registry[Any], name: str, value: str, dist: str) -> EntryPoint:
    made = EntryPoint(name, value, group.group)
    vars(made)["dist"] = From(dist)
    return made


@pytest.fixture(params=list(GROUPS))
def group(request: pytest.FixtureRequest) -> Registry[Any]:
    return GROUPS[request.param]


@pytest.fixture
def installed(group: Registry[Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets (name, value, distribution) be what is registered in the group."""

    def install(*given: tuple[str, str, str]) -> None:
        points = [point(group, *one) for one in given]
        monkeypatch.setattr("idbench.plugins.entry_points", lambda group: points)

    return install


def reasons(group: Registry[Any]) -> dict[str, str]:
    return {entry.name: entry.reason for entry in group.entries() if entry.value is None}


def test_what_is_good_loads_under_its_name(group: Registry[Any]) -> None:
    name, value = GOOD[group.kind]
    assert name in group.names()
    assert group.plugin(name).value == value
    loaded = group.load(name)
    (entry,) = [entry for entry in group.entries() if entry.name == name]
    assert entry.value is loaded
    assert entry.reason == ""
    assert entry.distribution == group.plugin(name).distribution


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("no_such_package:thing", "No module named 'no_such_package'"),
        ("idbench_sample.broken:Broken", "No module named 'a_package_that_nobody_has'"),
        ("json:nothing_there", "AttributeError"),
        ("json", "cannot be imported"),
        ("", "cannot be imported"),
        ("json:dumps", "json:dumps is not a"),
        ("pathlib:Path", "pathlib:Path is not a"),
    ],
)
def test_a_broken_one_is_listed_with_its_reason_and_breaks_nothing_else(
    group: Registry[Any], installed: Callable[..., None], value: str, says: str
) -> None:
    good = GOOD[group.kind]
    installed(("broken", value, "stranger"), (*good, "idbench"))
    assert [entry.name for entry in group.entries()] == sorted(["broken", good[0]])
    assert reasons(group).keys() == {"broken"}
    assert says in reasons(group)["broken"]
    assert reasons(group)["broken"].endswith(".")
    assert group.load(good[0]) is not None
    with pytest.raises(PluginError) as caught:
        group.load("broken")
    assert caught.value.hint


def test_a_wrong_type_says_what_is_wanted_and_who_brought_it(
    group: Registry[Any], installed: Callable[..., None]
) -> None:
    installed(("odd", "json:dumps", "stranger"))
    with pytest.raises(PluginError, match=f"json:dumps is not an? {group.kind}") as caught:
        group.load("odd")
    wanted = {"attack": "api.Attack", "defense": "api.Defense", "split": "a SplitRecipe or", "target": "a TargetSpec"}
    assert wanted[group.kind] in caught.value.hint
    assert "stranger 1" in caught.value.hint


def test_the_name_must_be_the_registered_one(group: Registry[Any], installed: Callable[..., None]) -> None:
    name, value = GOOD[group.kind]
    installed(("renamed", value, "stranger"))
    assert f"is registered as 'renamed', but calls itself '{name}'" in reasons(group)["renamed"]


def test_a_collision_is_refused_whoever_comes_first(group: Registry[Any], installed: Callable[..., None]) -> None:
    name, value = GOOD[group.kind]
    installed((name, value, "idbench"), (name, "json:dumps", "stranger"))
    with pytest.raises(PluginError, match="is registered more than once: by ") as caught:
        group.load(name)
    assert "Uninstall" in caught.value.hint
    assert reasons(group).keys() == {name}


def test_the_same_thing_registered_twice_is_one_thing(group: Registry[Any], installed: Callable[..., None]) -> None:
    name, value = GOOD[group.kind]
    installed((name, value, "idbench"), (name, value, "idbench-again"))
    assert group.load(name) is not None


def test_an_unknown_name_is_answered_with_the_nearest(group: Registry[Any]) -> None:
    name, _ = GOOD[group.kind]
    with pytest.raises(UnknownNameError, match=f"no {group.kind} called '{name}x'. Did you mean '{name}'") as caught:
        group.load(f"{name}x")
    assert f"every {group.kind}" in caught.value.hint


def test_nothing_registered_is_an_empty_list(group: Registry[Any], installed: Callable[..., None]) -> None:
    installed()
    assert group.names() == []
    assert group.entries() == []
    with pytest.raises(UnknownNameError, match="Known: none"):
        group.load("anything")


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        ("defense", "sample-attack", "idbench_sample.good:Good is not a defense"),
        ("defense", "sample-base", "idbench.api:Defense has no card"),
        ("defense", "sample-gone", "has no attribute 'Gone'"),
        ("attack", "sample-no-attack", "is not an attack"),
        ("split", "sample-no-split", "is not a split"),
        ("split", "sample-other-split", "but calls itself 'avatars-tiny'"),
        ("target", "sample-no-target", "is not a target"),
        ("target", "sample-other-target", "but calls itself 'avatars-a'"),
    ],
)
def test_what_strangers_really_installed(kind: str, name: str, says: str) -> None:
    assert says in reasons(GROUPS[kind])[name]


def test_what_is_left_abstract_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        point(ATTACKS, "bare", "idbench.api:Attack", "stranger"),
        point(DEFENSES, "bare", "idbench.api:TargetDefense", "stranger"),
    ]
    monkeypatch.setattr("idbench.plugins.entry_points", lambda group: [p for p in points if p.group == group])
    assert reasons(ATTACKS)["bare"] == "idbench.api:Attack does not define `score`."
    assert reasons(DEFENSES)["bare"] == "idbench.api:TargetDefense does not define `defend`."


def test_a_plugin_that_leaves_the_process_is_contained(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("leaves")
    (folder / "leaves_at_import.py").write_text("raise SystemExit('two\\nlines.')\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))  # it is imported by another process
    with pytest.raises(PluginError) as caught:
        ATTACKS.checked(Plugin("leaves", "leaves_at_import:x", "stranger 1"))
    assert caught.value.message == "leaves_at_import:x cannot be imported: SystemExit: two lines."


def test_only_idbench_s_own_blind_attacks_are_baselines() -> None:
    assert blind_attacks() == ["blind-names", "blind-photos", "random"]


def test_a_defense_gets_preset_and_parameters_as_an_attack_does() -> None:
    registered = load_defense("sample-noise")
    assert isinstance(registered.kind.card, DefenseCard)
    assert make_method(registered).params.model_dump() == {"scale": 0.01}
    assert make_method(registered, "loud").params.model_dump() == {"scale": 0.5}
    assert make_method(registered, "loud", {"scale": "0.25"}).params.model_dump() == {"scale": 0.25}
    with pytest.raises(UnknownNameError, match=r"preset of sample-noise called 'lout'. Did you mean 'loud'"):
        make_method(registered, "lout")
    with pytest.raises(UnknownNameError, match="parameter of sample-noise called 'scales'"):
        make_method(registered, None, {"scales": 1})
    with pytest.raises(MethodError, match="scale of sample-noise"):
        make_method(registered, None, {"scale": -1})


def test_a_method_cannot_ask_for_more_than_its_card_declares() -> None:
    good = ATTACKS.load("sample-good")

    class Greedy(good):  # type: ignore[valid-type,misc]
        @property
        def knowledge(self) -> Knowledge:
            return Knowledge.NAME | Knowledge.CALIBRATION_LABELS

    assert issubclass(Greedy, Attack)
    assert isinstance(Greedy.card, MethodCard)
    with pytest.raises(MethodError, match="sample-good asks for CALIBRATION_LABELS, which its card does not declare"):
        make_method(Registered(ATTACKS.plugin("sample-good"), Greedy))
