"""References to targets: what they mean, and what is said when they mean nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from idbench import plugins
from idbench.errors import PluginError, TargetError, UnknownNameError
from idbench.targets import (
    HubFile,
    LocalFile,
    PretrainedTag,
    TargetSpec,
    broken_targets,
    list_targets,
    resolve_target,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_the_three_shipped_targets_are_listed() -> None:
    assert {"avatars-0", "avatars-a", "avatars-b"} <= {spec.name for spec in list_targets()}
    control = resolve_target("avatars-0")
    assert control.is_control
    assert control.control_for == ("avatars-a", "avatars-b")
    assert not resolve_target("avatars-a").is_control


def test_listing_and_resolving_do_not_import_torch() -> None:
    code = (
        "import sys; from idbench.targets import list_targets, resolve_target; list_targets();"
        "resolve_target('open_clip:ViT-B-32/openai'); resolve_target('file:x.pt?arch=RN50');"
        "assert not {'torch', 'open_clip', 'numpy'} & set(sys.modules), 'heavy import'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "ref",
    [
        "avatars-a",
        "open_clip:ViT-B-32/laion400m_e32?corpus=laion400m",
        "file:/tmp/epoch_3.pt?arch=RN50&quick_gelu=false",
        f"hub:org/repo@{COMMIT}?file=model.safetensors&arch=ViT-B-32",
        f"hub:org/repo@{COMMIT}",
    ],
)
def test_every_kind_survives_json(ref: str) -> None:
    spec = resolve_target(ref)
    assert TargetSpec.model_validate_json(spec.model_dump_json()) == spec


def test_forms() -> None:
    tag = resolve_target("open_clip:ViT-B-32/laion400m_e32?corpus=laion400m")
    assert (tag.architecture, tag.weights, tag.corpus) == ("ViT-B-32", PretrainedTag(tag="laion400m_e32"), "laion400m")
    file = resolve_target("file:runs/epoch_3.pt?arch=RN50&quick_gelu=false&sha256=" + "a" * 64)
    assert (file.architecture, file.weights, file.quick_gelu) == ("RN50", LocalFile(path="runs/epoch_3.pt"), False)
    assert file.sha256 == "a" * 64
    hub = resolve_target(f"hub:org/repo@{COMMIT}?file=w.safetensors")
    assert hub.weights == HubFile(repo="org/repo", commit=COMMIT, file="w.safetensors")
    assert hub.architecture is None
    like = resolve_target("file:mine.safetensors?like=avatars-a")
    assert like.architecture == resolve_target("avatars-a").architecture
    assert like.tokenizer == resolve_target("avatars-a").tokenizer
    assert like.sha256 is None


def test_an_architecture_may_be_a_configuration_file(tmp_path: Path) -> None:
    inner = {"embed_dim": 8, "vision_cfg": {}, "text_cfg": {}}
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"model_cfg": inner}))
    assert resolve_target(f"file:x.pt?arch={path}").architecture == inner
    path.write_text("{")
    with pytest.raises(TargetError, match="not valid JSON"):
        resolve_target(f"file:x.pt?arch={path}")
    path.write_text('{"embed_dim": 8}')
    with pytest.raises(TargetError, match="lacks text_cfg, vision_cfg"):
        resolve_target(f"file:x.pt?arch={path}")


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="avatars-a"):
        resolve_target("avatar-a")
    with pytest.raises(UnknownNameError, match="open_clip:ARCH/TAG"):
        resolve_target("ViT-B-32/openai")


@pytest.mark.parametrize("revision", ["main", "v1.0", "0123456", COMMIT.upper(), COMMIT + "0"])
def test_moving_revisions_are_refused(revision: str) -> None:
    with pytest.raises(TargetError, match="40 hexadecimal digits"):
        resolve_target(f"hub:org/repo@{revision}")


@pytest.mark.parametrize(
    ("ref", "says"),
    [
        ("hub:org/repo", "no commit"),
        (f"hub:repo@{COMMIT}", "organisation/repository"),
        ("open_clip:ViT-B-32", "architecture and tag"),
        ("open_clip:/openai", "architecture and tag"),
        ("file:x.pt", "which architecture"),
        ("file:x.pt?arch=RN50&colour=red", "unknown option: colour"),
        ("file:x.pt?arch=RN50&quick_gelu=maybe", "neither true nor false"),
        ("file:x.pt?arch=RN50&sha256=12", "wrong"),
        ("file:x.pt?like=nothing-like-it", "no target called"),
    ],
)
def test_wrong_references_say_what_is_wrong(ref: str, says: str) -> None:
    with pytest.raises((TargetError, UnknownNameError), match=says):
        resolve_target(ref)


def test_one_broken_plugin_breaks_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("avatars-a", "idbench.targets.avatars:A", "idbench.targets"),
        EntryPoint("ghost", "no_such_package:SPEC", "idbench.targets"),
        EntryPoint("odd", "json:dumps", "idbench.targets"),
        EntryPoint("renamed", "idbench.targets.avatars:B", "idbench.targets"),
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    assert [spec.name for spec in list_targets()] == ["avatars-a"]
    assert broken_targets().keys() == {"ghost", "odd", "renamed"}
    assert "no_such_package" in broken_targets()["ghost"]
    with pytest.raises(PluginError, match="no_such_package"):
        resolve_target("ghost")


def test_a_spec_is_closed() -> None:
    data = resolve_target("avatars-a").model_dump()
    with pytest.raises(ValueError, match="Extra inputs"):
        TargetSpec.model_validate(data | {"colour": "red"})
    with pytest.raises(ValueError, match="not a target name"):
        TargetSpec.model_validate(data | {"name": "../up"})
