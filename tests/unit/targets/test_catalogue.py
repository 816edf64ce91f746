"""Which targets are registered, and what is said of those that cannot be used."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from idbench import plugins
from idbench.errors import PluginError
from idbench.targets import TARGETS, TargetSpec, list_targets, resolve_target


def test_the_three_shipped_targets_are_listed() -> None:
    assert {"avatars-0", "avatars-a", "avatars-b"} <= {spec.name for spec in list_targets()}
    control = resolve_target("avatars-0")
    assert control.is_control
    assert control.control_for == ("avatars-a", "avatars-b")
    assert not resolve_target("avatars-a").is_control


def test_listing_and_resolving_do_not_import_torch() -> None:
    code = (
        "import sys; from idbench.targets import list_targets, resolve_target; list_targets();"
        f"resolve_target('open_clip:ViT-B-32/openai'); resolve_target('file:{sys.executable}?arch=RN50');"
        "assert not {'torch', 'open_clip', 'numpy'} & set(sys.modules), 'heavy import'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_broken_plugin_breaks_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("avatars-a", "idbench.targets.avatars:A", "idbench.targets"),
        EntryPoint("ghost", "no_such_package:SPEC", "idbench.targets"),
        EntryPoint("odd", "json:dumps", "idbench.targets"),
        EntryPoint("renamed", "idbench.targets.avatars:B", "idbench.targets"),
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    assert [spec.name for spec in list_targets()] == ["avatars-a"]
    broken = {entry.name: entry.reason for entry in TARGETS.entries() if entry.value is None}
    assert broken.keys() == {"ghost", "odd", "renamed"}
    assert "no_such_package" in broken["ghost"]
    with pytest.raises(PluginError, match="no_such_package"):
        resolve_target("ghost")


def test_a_spec_is_closed() -> None:
    data = resolve_target("avatars-a").model_dump()
    with pytest.raises(ValueError, match="Extra inputs"):
        TargetSpec.model_validate(data | {"colour": "red"})
    with pytest.raises(ValueError, match="not a target name"):
        TargetSpec.model_validate(data | {"name": "../up"})
