"""References to targets: what they mean, and what is said when they mean nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from idbench.errors import IdbenchError, TargetError, UnknownNameError
from idbench.targets import (
    HubFile,
    LocalFile,
    Preprocessing,
    PretrainedTag,
    Stated,
    TargetSpec,
    list_targets,
    resolve_target,
    split_words,
    target_meant,
    targets_meant,
)
from idbench.targets.full_size.idia import checkpoint_file

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIG = {"embed_dim": 8, "vision_cfg": {}, "text_cfg": {}}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where the command is typed, with a checkpoint of any content."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pt").write_bytes(b"weights")
    return tmp_path


@pytest.mark.parametrize(
    "ref",
    [
        "avatars-a",
        "open_clip:ViT-B-32/laion400m_e32?corpus=laion400m",
        "file:x.pt?arch=RN50&quick_gelu=false&mean=0.5,0.4,0.3&std=0.5&resize_mode=squash",
        f"hub:org/repo@{COMMIT}?file=model.safetensors&arch=ViT-B-32&tag=openai",
        f"hub:org/repo@{COMMIT}",
    ],
)
def test_every_kind_survives_json(here: Path, ref: str) -> None:
    spec = resolve_target(ref)
    assert TargetSpec.model_validate_json(spec.model_dump_json()) == spec


def test_a_precision_makes_another_target_of_the_same_weights(here: Path) -> None:
    for ref in ("avatars-a", "open_clip:ViT-B-32/laion400m_e32", "file:x.pt?arch=RN50", f"hub:org/repo@{COMMIT}"):
        exact = resolve_target(ref)
        short = resolve_target(f"{ref}{'&' if '?' in ref else '?'}precision=bfloat16")
        assert (exact.precision, short.precision) == ("float32", "bfloat16")
        assert short.name == f"{exact.name}-bfloat16"
        assert (short.weights, short.corpus, short.sha256) == (exact.weights, exact.corpus, exact.sha256)
        assert short.design != exact.design
        assert resolve_target(f"{ref}{'&' if '?' in ref else '?'}precision=float32") == exact
    assert resolve_target("file:x.pt?arch=RN50&name=mine&precision=float16").name == "mine"
    assert [spec.name for spec in targets_meant("avatars-a,avatars-a?precision=bfloat16")][1] == "avatars-a-bfloat16"


def test_forms(here: Path) -> None:
    tag = resolve_target("open_clip:ViT-B-32/laion400m_e32?corpus=laion400m")
    assert (tag.architecture, tag.weights, tag.corpus) == ("ViT-B-32", PretrainedTag(tag="laion400m_e32"), "laion400m")
    file = resolve_target("file:x.pt?arch=RN50&quick_gelu=false&sha256=" + "a" * 64)
    assert (file.architecture, file.weights, file.quick_gelu) == ("RN50", LocalFile(path=str(here / "x.pt")), False)
    assert file.sha256 == "a" * 64
    hub = resolve_target(f"hub:org/repo@{COMMIT}?file=w.safetensors")
    assert hub.weights == HubFile(repo="org/repo", commit=COMMIT, file="w.safetensors")
    assert hub.architecture is None
    like = resolve_target("file:x.pt?like=avatars-a")
    model = resolve_target("avatars-a")
    assert (like.architecture, like.tokenizer, like.quick_gelu) == (model.architecture, model.tokenizer, False)
    assert like.preprocessing == Preprocessing()


def test_what_is_said_of_the_pixels(here: Path) -> None:
    target = resolve_target("file:x.pt?arch=RN50&mean=0.5,0.4,0.3&std=.25&interpolation=bilinear&resize_mode=squash")
    assert target.stated == Stated(
        mean=(0.5, 0.4, 0.3), std=(0.25, 0.25, 0.25), interpolation="bilinear", resize_mode="squash"
    )
    assert resolve_target("file:x.pt?arch=RN50").stated is None
    assert resolve_target("file:x.pt?arch=RN50&mean=0.5%2C0.4%2C0.3").stated == Stated(mean=(0.5, 0.4, 0.3))


def test_an_architecture_may_be_a_configuration_file(here: Path) -> None:
    (here / "model.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {"mean": [0.5], "size": 9}}))
    spec = resolve_target("file:x.pt?arch=model.json")
    assert spec.architecture == CONFIG
    assert spec.preprocessing == Preprocessing(mean=(0.5, 0.5, 0.5))
    (here / "model.json").write_text(json.dumps(CONFIG))
    assert resolve_target(f"file:x.pt?arch={here}/model.json").preprocessing is None
    for content, message in (
        ("{", "not valid JSON"),
        ('{"embed_dim": 8}', "lacks text_cfg, vision_cfg"),
        (json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {"resize_mode": "odd"}}), "wrong resize_mode"),
        (json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {"mean": [1, 2]}}), "wrong mean"),
        (json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {"std": [0, 0, 0]}}), "wrong std"),
    ):
        (here / "model.json").write_text(content)
        with pytest.raises(TargetError, match=message):
            resolve_target("file:x.pt?arch=model.json")
    with pytest.raises(IdbenchError, match="does not exist"):
        resolve_target("file:x.pt?arch=none.json")


def test_paths_are_made_absolute_before_anything_starts(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "deep").mkdir()
    spec = resolve_target("file:./x.pt?arch=RN50")
    monkeypatch.chdir(here / "deep")
    assert resolve_target("file:../x.pt?arch=RN50").sha256 == spec.sha256
    assert spec.weights == LocalFile(path=str(here / "x.pt"))
    monkeypatch.setenv("HOME", str(here))
    assert resolve_target("file:~/x.pt?arch=RN50").weights == spec.weights


def test_signs_in_paths_and_values(here: Path) -> None:
    for name, written in (
        ("a+b c.pt", "a+b c.pt"),
        ("a,b.pt", "a%2Cb.pt"),
        ("50%.pt", "50%25.pt"),
        ("w?.pt", "w%3F.pt"),
    ):
        (here / name).write_bytes(b"weights")
        (spec,) = targets_meant(f"file:{written}?arch=RN50&corpus=cc3m+75")
        assert spec.weights == LocalFile(path=str(here / name))
        assert spec.corpus == "cc3m+75"


def test_commas_end_a_reference_but_not_its_numbers(here: Path) -> None:
    words = "avatars-a,file:x.pt?arch=RN50&mean=0.5,0.4,0.3&std=1,1,1,avatars-b"
    assert split_words(words) == ["avatars-a", "file:x.pt?arch=RN50&mean=0.5,0.4,0.3&std=1,1,1", "avatars-b"]
    control = "file:x.pt?arch=RN50&control_for=c-a,c-b"
    assert split_words(f"{control},open_clip:RN50/openai") == [control, "open_clip:RN50/openai"]
    assert resolve_target(control).control_for == ("c-a", "c-b")
    assert resolve_target("file:x.pt?arch=RN50&control_for=c-a%2Cc-b").control_for == ("c-a", "c-b")
    for empty in ("", "avatars-a,,avatars-b", "avatars-a,"):
        with pytest.raises(TargetError, match=r"no target between|is empty"):
            split_words(empty)


def test_all_and_patterns_choose_among_what_fits() -> None:
    every = list_targets()

    def some() -> list[TargetSpec]:
        return [spec for spec in every if spec.name in ("avatars-a", "avatars-b", "avatars-0")]

    assert targets_meant("all") == every
    assert targets_meant("all", some) == some()
    assert [spec.name for spec in targets_meant("avatars-[ab]", some)] == ["avatars-a", "avatars-b"]
    assert [spec.name for spec in targets_meant("avatars-b,avatars-*", some)] == [
        "avatars-b",
        "avatars-0",
        "avatars-a",
    ]
    assert [spec.name for spec in targets_meant("lfw-injected-a", some)] == ["lfw-injected-a"]  # a name means its own
    with pytest.raises(UnknownNameError, match="lfw"):
        targets_meant("lfw-*", some)
    with pytest.raises(TargetError, match="means none"):
        targets_meant("all", list)


def test_one_target_where_several_make_no_sense() -> None:
    assert target_meant("avatars-b").name == "avatars-b"
    with pytest.raises(TargetError, match="means 2 targets"):
        target_meant("avatars-[ab]")


def test_patterns_of_the_checkpoints_of_idias_authors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_IDIA_CHECKPOINTS", str(tmp_path))
    for level in (75, 50):
        (tmp_path / checkpoint_file("RN50", level)).write_bytes(b"")
    assert [spec.name for spec in targets_meant("idia:RN50/[75][50]")] == ["idia-RN50-75", "idia-RN50-50"]
    with pytest.raises(TargetError, match=r"Of the 18 checkpoints that idia:.* means, 16 are not") as caught:
        targets_meant("idia:*")
    assert caught.value.hint.endswith("idia:RN50/75,idia:RN50/50")
    with pytest.raises(UnknownNameError, match="RN50/7"):
        targets_meant("idia:RN50/7[!0-9]")
    monkeypatch.delenv("BENCH_IDIA_CHECKPOINTS")
    with pytest.raises(TargetError, match="not on this machine"):
        targets_meant("idia:*")


def test_two_checkpoints_of_one_file_name_are_two_targets(here: Path) -> None:
    for folder, content in (("a", b"one"), ("b", b"two"), ("c", b"one")):
        (here / folder).mkdir()
        (here / folder / "model.safetensors").write_bytes(content)
    ref = "file:{}/model.safetensors?arch=RN50"
    first, second, same = (resolve_target(ref.format(folder)) for folder in "abc")
    assert first.name != second.name
    assert first.name == same.name  # a copy is the same target
    assert first.name.startswith("file-model-")
    other = resolve_target(ref.format("a") + "&mean=0.5")
    assert other.name != first.name  # other pixels, other answers
    with pytest.raises(TargetError, match="Two different targets would be called mine") as caught:
        targets_meant(f"{ref.format('a')}&name=mine,{ref.format('b')}&name=mine")
    assert "name=NAME" in caught.value.hint


def test_files_of_one_repository_are_different_targets() -> None:
    ref = f"hub:org/repo@{COMMIT}"
    names = {resolve_target(f"{ref}{more}").name for more in ("", "?file=a.pt&arch=RN50", "?file=b.pt&arch=RN50")}
    assert len(names) == 3


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="avatars-a"):
        resolve_target("avatar-a")
    with pytest.raises(UnknownNameError, match="Type open_clip:ViT-B-32/openai"):
        resolve_target("ViT-B-32/openai")
    with pytest.raises(UnknownNameError, match="open_clip:ARCH/TAG"):
        resolve_target("org/repo")
    with pytest.raises(TargetError, match="open_clip:ViT-B-32/openai"):
        resolve_target("openclip:ViT-B-32/openai")


@pytest.mark.parametrize(
    ("word", "typed"),
    [
        ("vitb32.pt", "file:vitb32.pt?arch=ViT-B-32"),
        ("runs/rn50x4_best.pth", "file:runs/rn50x4_best.pth?arch=RN50x4"),
        ("model.safetensors", "file:model.safetensors?arch=ARCH"),
    ],
)
def test_a_checkpoint_without_its_scheme(here: Path, word: str, typed: str) -> None:
    with pytest.raises(TargetError, match="looks like a checkpoint") as caught:
        targets_meant(word)
    assert f"Type --target '{typed}'" in caught.value.hint
    assert "no such file" in caught.value.message
    place = here / word
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(b"")
    with pytest.raises(TargetError, match="looks like a checkpoint") as again:
        targets_meant(word)
    assert "no such file" not in again.value.message


@pytest.mark.parametrize(
    "word",
    [
        "hf-hub:org/CLIP-b.1",
        "open_clip:hf-hub:org/CLIP-b.1",
        "https://huggingface.co/org/CLIP-b.1/tree/main",
        "file:x.pt?arch=hf-hub:org/CLIP-b.1",
    ],
)
def test_a_repository_as_others_write_it(here: Path, word: str) -> None:
    with pytest.raises(IdbenchError) as caught:
        targets_meant(word)
    assert "hub:org/CLIP-b.1@COMMIT" in caught.value.hint
    assert "Known" not in caught.value.hint


@pytest.mark.parametrize("revision", ["main", "v1.0", "0123456", COMMIT.upper(), COMMIT + "0"])
def test_moving_revisions_are_refused(revision: str) -> None:
    with pytest.raises(TargetError, match="40 hexadecimal digits"):
        resolve_target(f"hub:org/repo@{revision}")


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("hub:org/repo", "no commit"),
        (f"hub:repo@{COMMIT}", "organisation/repository"),
        ("open_clip:ViT-B-32", "both an architecture and a tag"),
        ("open_clip:/openai", "both an architecture and a tag"),
        ("open_clip:ViT-B32/openai", "Did you mean 'ViT-B-32'"),
        ("file:x.pt?arch=RN51", "no open_clip architecture called 'RN51'"),
        ("file:x.pt", "which architecture"),
        ("file:none.pt?arch=RN50", "no checkpoint at /"),
        ("file:y.pt?arch=RN50", "Did you mean x.pt"),
        ("file:.?arch=RN50", r"is a folder.* It holds x\.pt"),
        ("file:*.pt?arch=RN50", "Patterns are for registered names"),
        ("file:x.pt?arch=RN50&colour=red", "unknown option: colour"),
        ("file:x.pt?arch=RN50&interpolatoin=bicubic", "Did you mean interpolation"),
        ("file:x.pt?arch=RN50&interpolation=nearest", "wrong"),
        ("file:x.pt?arch=RN50&arch=RN101", "stands twice"),
        ("file:x.pt?arch=", "has no value"),
        ("file:x.pt?arch=RN50&quick_gelu=maybe", "neither true nor false"),
        ("file:x.pt?arch=RN50&sha256=12", "wrong"),
        ("file:x.pt?arch=RN50&mean=0.5,0.5", "not three numbers"),
        ("file:x.pt?arch=RN50&mean=nan", "not three numbers"),
        ("file:x.pt?arch=RN50&std=0", "wrong"),
        ("file:x.pt?like=nothing-like-it", "no target called"),
        ("file:x.pt?like=avatars-a&arch=RN50", "like= together with arch="),
        ("open_clip:RN50/openai?arch=RN50", "cannot have arch="),
        ("idia:RN50/75?arch=RN50", "cannot have arch="),
    ],
)
def test_wrong_references_say_what_is_wrong(here: Path, ref: str, message: str) -> None:
    with pytest.raises(IdbenchError, match=message) as caught:
        targets_meant(ref)
    assert caught.value.hint


def test_a_file_too_large_for_weights_is_not_hashed(here: Path) -> None:
    with (here / "x.pt").open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(TargetError, match="larger than 64 GiB"):
        targets_meant("file:x.pt?arch=RN50")


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("file:/dev/zero?arch=RN50", "it is not a regular file"),
        ("open_clip:ViT-B-32/openai?mean=0.5,0.5,0.5,0.5", "mean in .* is not three numbers"),
        ("open_clip:ViT-B-32/openai?mean=123.7,116.3,103.5", "mean: input should be less than or equal to 1"),
        ("open_clip:ViT-B-32/openai?std=0", "std: input should be greater than 0.*numbers for colours from 0 to 1"),
        ("avatars-a?precision=int8", "none of float32, bfloat16, float16"),
        ("avatars-a?precision=", "has no value"),
        ("avatars-a?corpus=x", "cannot have corpus=.*A registered name takes precision"),
        ("avatars-a?presicion=bfloat16", "unknown option: presicion"),
        ("avatarsa?precision=bfloat16", "no target called"),
        ("open_clip:vit-b-32/openai", "no open_clip architecture called 'vit-b-32'.*Did you mean 'ViT-B-32'"),
    ],
)
def test_a_wrong_reference_is_told_by_its_option(reference: str, reason: str) -> None:
    with pytest.raises(IdbenchError, match=reason):
        targets_meant(reference)
