"""Cards of strangers' methods: read in a process of their own, kept by their code, plain data ever after."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from idbench.errors import MethodError, PluginError, StorageError, UnknownNameError
from idbench.plugins import Plugin, locate
from idbench.runner.cards import describe, settle
from idbench.runner.registry import ATTACKS, load_attack, make_method, params_dict

SOURCE = """
from pydantic import Field
from idbench.api import Access, Attack, Knowledge, MethodCard, MethodParams, Scores

class StrangeParams(MethodParams):
    steps: int = Field(default=3, ge=1, le=9, description="how many")
    words: tuple[str, ...] = ("a", "b")
    greedy: bool = False

class Strange(Attack[StrangeParams]):
    card = MethodCard(name="strange", version="1", title="Strange", access=Access.LABEL, knowledge=Knowledge.NAME,
                      optional_knowledge=Knowledge.PHOTOS, presets={"few": {"steps": 1}})

    @property
    def knowledge(self):
        more = Knowledge.CALIBRATION_LABELS if self.params.greedy else Knowledge.PHOTOS
        return Knowledge.NAME | (more if self.params.steps > 3 else Knowledge.NONE)

    def score(self, target, cases, context):
        raise AssertionError
"""


@pytest.fixture
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The source file of a method that another distribution brings."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "installed"
    (place / "strange_methods-1.dist-info").mkdir(parents=True)
    (place / "strange_methods-1.dist-info" / "METADATA").write_text("Name: strange-methods\nVersion: 1\n")
    (place / "strange_methods-1.dist-info" / "entry_points.txt").write_text(
        "[idbench.attacks]\nstrange = odd.impl:Strange\n"
    )
    (place / "odd").mkdir()
    (place / "odd" / "__init__.py").touch()
    file = place / "odd" / "impl.py"
    file.write_text(SOURCE)
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setenv("PYTHONPATH", str(place))
    return file


FORKS = """
for _ in range(60):
    if not os.fork():
        time.sleep(30)
        os._exit(0)
"""
GROUP = "idbench.attacks"
PLUGIN = Plugin("strange", "odd.impl:Strange", "strange-methods 1")


def test_a_stand_in_has_the_card_and_the_parameters_and_none_of_the_code(strange: Path) -> None:
    found = load_attack("strange")
    assert found.card.title == "Strange"
    assert found.card.track == "text-only"
    assert found.kind.Params.model_json_schema()["properties"]["steps"]["maximum"] == 9
    attack = make_method(found, "few")
    assert params_dict(attack.params) == {"steps": 1, "words": ["a", "b"], "greedy": False}
    assert params_dict(make_method(found, "few", {"steps": "2", "words": ["c"]}).params)["words"] == ["c"]
    reference = found.reference(make_method(found, None, {"steps": 5}))
    assert reference.knowledge == ("NAME", "PHOTOS")
    assert reference.distribution == "strange-methods 1"
    assert not [name for name in sys.modules if name.partition(".")[0] == "odd"]


def test_wrong_parameters_are_refused_as_for_any_method(strange: Path) -> None:
    found = load_attack("strange")
    with pytest.raises(MethodError, match="steps of strange: Input should be less than or equal to 9"):
        make_method(found, None, {"steps": 10})
    with pytest.raises(UnknownNameError, match="no parameter of strange called 'stpes'"):
        make_method(found, None, {"stpes": 1})
    with pytest.raises(UnknownNameError, match="no preset of strange called 'many'"):
        make_method(found, "many")
    with pytest.raises(MethodError, match="CALIBRATION_LABELS, which its card does not declare"):
        make_method(found, None, {"steps": 5, "greedy": True})


def test_an_answer_is_kept_until_the_code_changes(strange: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, setting = describe(GROUP, PLUGIN), settle(GROUP, PLUGIN, {"steps": 2})
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nowhere/python")  # nothing can be started
        assert describe(GROUP, PLUGIN) == first
        assert settle(GROUP, PLUGIN, {"steps": 2}) == setting
        with pytest.raises(StorageError):
            settle(GROUP, PLUGIN, {"steps": 4})
    before = load_attack("strange").reference(make_method(load_attack("strange")))
    strange.write_text(SOURCE.replace('version="1"', 'version="2"'))
    assert describe(GROUP, PLUGIN).card.version == "2"
    code = Path(locate("odd.impl") or "")
    assert code == strange
    assert before.version == "1"


def test_a_damaged_kept_answer_is_asked_for_again(strange: Path, tmp_path: Path) -> None:
    first = describe(GROUP, PLUGIN)
    (kept,) = (tmp_path / "cache" / "cards").glob("*.json")
    for content in ("", "{", "[" * 100_000, kept.read_text()[:-5]):
        kept.write_text(content)
        assert describe(GROUP, PLUGIN) == first


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("import os; os._exit(0)", "ended the process that imported it"),
        ("raise SystemExit(3)", "cannot be imported: SystemExit"),
        ("taken = bytearray(9 << 30)", "MemoryError"),
        ("open('large', 'wb').truncate(65 << 20)", "File too large"),
        ("import os; opened = [os.open('/dev/null', 0) for _ in range(5000)]", "Too many open files"),
        (f"import os, time\n{FORKS}time.sleep(30)", "was stopped: it had more than 32 processes at once"),
        ("print('x' * (1 << 20) * 50)\nraise SystemExit(4)", "cannot be imported: SystemExit"),
        ("class Strange: pass", "is not an attack"),
        ("from idbench.errors import StorageError; raise StorageError('No space.')", "cannot be used: No space"),
    ],
)
def test_a_plugin_that_cannot_be_read_is_named_and_stops_nothing(strange: Path, line: str, sentence: str) -> None:
    strange.write_text(f"{line}\n")
    (found,) = [entry for entry in ATTACKS.entries() if entry.name == "strange"]
    assert found.value is None
    assert sentence in found.reason
    assert load_attack("cosine").card.name == "cosine"


def test_a_plugin_that_hangs_is_named_in_a_list_and_waited_for_by_its_name(
    strange: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = tmp_path / "ready"
    strange.write_text(f"import os, time\nwhile not os.path.exists({str(ready)!r}): time.sleep(0.05)\n{SOURCE}")
    sentence = "took more than 0.5 seconds to be imported; a command that names strange waits 180."
    with pytest.raises(PluginError, match=sentence):
        ATTACKS.checked(PLUGIN, patience=0.5)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nowhere/python")  # it is remembered: nothing is started
        with pytest.raises(PluginError, match=sentence):
            ATTACKS.checked(PLUGIN, patience=0.5)
    ready.touch()
    assert load_attack("strange").card.version == "1"
    assert ATTACKS.checked(PLUGIN, patience=0.5).card.version == "1"


def test_a_plugin_that_was_too_slow_is_tried_again_after_an_hour_or_a_change_of_its_code(
    strange: Path, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    source = f"import os, time\nwhile not os.path.exists({str(ready)!r}): time.sleep(0.05)\n{SOURCE}"

    def too_slow() -> bool:
        with suppress(PluginError):
            ATTACKS.checked(PLUGIN, patience=0.5)
            return False
        return True

    strange.write_text(source)
    assert too_slow()
    ready.touch()
    assert too_slow()
    (late,) = (tmp_path / "cache" / "cards").glob("*.late")
    os.utime(late, (1e9, 1e9))
    assert not too_slow()
    ready.unlink()
    strange.write_text(f"{source}\n# another state of the code\n")
    assert too_slow()
    strange.write_text(SOURCE)
    assert not too_slow()
