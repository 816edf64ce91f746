"""Shadow models: trained once, found again, resumed, shared by processes, given to nobody who did not declare them."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.small_shadows import make_target, sets, train
from tests.squares import Recorder

from idbench.api import Access, Pair, Photo
from idbench.errors import AccessViolation, MethodError, StorageError, TargetError
from idbench.targets import shadow_process
from idbench.targets import shadows as module
from idbench.targets.load import LoadedTarget
from idbench.targets.shadow_store import ShadowStore
from idbench.targets.shadows import plan_shadows
from idbench.targets.stacked import train_stacked
from idbench.targets.view import View


@pytest.fixture
def target(tmp_path: Path) -> LoadedTarget:
    return make_target(tmp_path / "target.safetensors")


def test_shadows_are_trained_once_and_found_again(target: LoadedTarget, tmp_path: Path) -> None:
    first, costs = train(target, tmp_path / "s")
    assert (costs.count, costs.trained, costs.steps, costs.trained_steps) == (2, 2, 2 * 3 * 2, 2 * 3 * 2)
    assert costs.seconds > 0
    again, free = train(target, tmp_path / "s")
    assert (free.count, free.trained, free.steps, free.trained_steps) == (2, 0, costs.steps, 0)
    assert free.seconds == costs.seconds
    assert [one.sha256 for one in again] == [one.sha256 for one in first]
    assert first[0].sha256 != first[1].sha256


def test_a_shadow_depends_on_its_pairs_not_on_their_order(target: LoadedTarget, tmp_path: Path) -> None:
    given = sets()
    train(target, tmp_path / "s", given)
    _, costs = train(target, tmp_path / "s", [list(reversed(own)) for own in given])
    assert costs.trained == 0


@pytest.mark.parametrize("what", ["seed", "epochs", "pair", "caption", "recipe"])
def test_whatever_decides_a_shadow_is_in_its_key(target: LoadedTarget, tmp_path: Path, what: str) -> None:
    given = sets()
    keys = [shadow.key for shadow in plan_shadows(target, given, 0, 1.0)]
    if what == "recipe":
        target = make_target(tmp_path / "other.safetensors", weight_decay=0.2)
    if what == "pair":
        given = [own[1:] for own in given]
    if what == "caption":
        given = [[Pair(own[0].photo, "a photo"), *own[1:]] for own in given]
    others = [
        shadow.key for shadow in plan_shadows(target, given, int(what == "seed"), 2.0 if what == "epochs" else 1.0)
    ]
    assert len({*keys, *others}) == 4


def test_the_recipe_is_the_targets_but_for_batch_and_epochs(tmp_path: Path) -> None:
    target = make_target(tmp_path / "t.safetensors", epochs=6, restarts=(4,))
    (small,) = plan_shadows(target, [sets()[0][:5]], 0, 0.5)
    assert target.spec.recipe is not None
    changed = {"epochs": 3, "restarts": (2,), "batch_size": 5, "seed": small.recipe.seed}
    assert small.recipe == target.spec.recipe.model_copy(update=changed)
    (full,) = plan_shadows(target, sets(1), 0, 1.0)
    assert full.recipe.batch_size == target.spec.recipe.batch_size


@pytest.mark.parametrize("damage", ["weights", "json", "gone"])
def test_a_damaged_shadow_is_trained_again(target: LoadedTarget, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "s"
    first, _ = train(target, folder)
    weights = sorted(folder.glob("*.safetensors"))[0]
    if damage == "gone":
        weights.unlink()
    elif damage == "weights":
        weights.write_bytes(weights.read_bytes()[:-10])
    else:
        weights.with_suffix(".json").write_text("{")
    again, costs = train(target, folder)
    assert costs.trained == 1
    assert [one.sha256 for one in again] == [one.sha256 for one in first]


def test_an_interrupted_training_goes_on_after_the_last_epoch(target: LoadedTarget, tmp_path: Path) -> None:
    whole, _ = train(target, tmp_path / "whole")

    class Interrupt(Recorder):
        def update(self, done: float, total: float, description: str) -> None:
            super().update(done, total, description)
            if done > 1.5:
                raise KeyboardInterrupt

    # Every step is told, so that the interruption comes in the middle of the second training.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("idbench.targets.shadow_process.NOTE_EVERY", 0.0)
        with pytest.raises(KeyboardInterrupt):
            train(target, tmp_path / "cut", progress=Interrupt())
        assert len(list((tmp_path / "cut").glob("*.json"))) == 1
        assert len(list((tmp_path / "cut").glob("*.resume"))) == 1
        second = Recorder()
        again, costs = train(target, tmp_path / "cut", progress=second)
    assert costs.trained == 1
    assert second.updates[0][0] > 0.3  # of the one that was missing: not from its beginning
    assert [one.sha256 for one in again] == [one.sha256 for one in whole]


def test_processes_side_by_side_give_the_same_shadows(
    target: LoadedTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, _ = train(target, tmp_path / "here")
    monkeypatch.setattr(module, "HERE_UP_TO", 0)
    monkeypatch.setattr(module, "processors", lambda: 2)
    recorder = Recorder()
    apart, costs = train(target, tmp_path / "apart", progress=recorder)
    assert [one.sha256 for one in apart] == [one.sha256 for one in here]
    assert costs.trained == 2
    assert recorder.updates[-1] == (2, 2)


def test_what_a_process_meets_becomes_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wild = make_target(tmp_path / "wild.safetensors", learning_rate=1e30, warmup_steps=0)
    monkeypatch.setattr(module, "HERE_UP_TO", 0)
    monkeypatch.setattr(module, "processors", lambda: 2)
    with pytest.raises(TargetError, match="diverged at step"):
        train(wild, tmp_path / "s")


def test_a_process_that_cannot_even_write_why_it_failed_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk takes no note of itself: neither the failure nor a part of it may become a riddle."""

    def refused(*rest: object) -> bool:
        raise StorageError("No space left on the disk that holds the store.")

    monkeypatch.setattr(shadow_process, "train_one", refused)
    monkeypatch.setattr(shadow_process, "die_with_parent", lambda: None)
    monkeypatch.setattr(shadow_process, "read_training", lambda folder, number: (None, ShadowStore(tmp_path)))
    monkeypatch.setattr(sys, "argv", ["shadow_process", str(tmp_path), "0"])
    (tmp_path / "0.failure").mkdir()  # nothing can be written there
    status = shadow_process.main()
    process = subprocess.Popen([sys.executable, "-S", "-c", f"raise SystemExit({status})"])
    process.wait()
    with pytest.raises(StorageError, match="No space left"):
        shadow_process.check_outcome(tmp_path, 0, process)


def test_a_device_too_small_for_all_trains_them_in_smaller_stacks(
    target: LoadedTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    fits = 2

    def stacked(specs: Sequence[Any], *rest: Any) -> Any:
        tried.append(len(specs))
        if len(specs) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return train_stacked(specs, *rest)

    monkeypatch.setattr(module, "train_stacked", stacked)
    monkeypatch.setattr(module, "train_missing", lambda t, s, store, p: module.train_together(s, store, "cpu", p))
    loaded, costs = train(target, tmp_path / "s", sets(3))
    assert tried == [3, 1, 2]
    assert (len(loaded), costs.trained) == (3, 3)
    fits = 0
    with pytest.raises(TargetError, match="not enough memory to train a single shadow model"):
        train(target, tmp_path / "other", sets(2))


def test_stacked_on_another_device_gives_the_same_behaviour(
    target: LoadedTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of GPUs, on the CPU: three trainings of two sizes, so that two are stacked and one is alone."""
    given = [*sets(2), sets(1, size=60)[0]]
    here, _ = train(target, tmp_path / "here", given)

    def together(target: LoadedTarget, shadows: Any, store: ShadowStore, progress: Any) -> set[str]:
        return module.train_together(shadows, store, "cpu", progress)

    monkeypatch.setattr(module, "train_missing", together)
    stacked, costs = train(target, tmp_path / "stacked", given)
    assert costs.trained == 3
    photos = [pair.photo for pair in given[0][:8]]
    for one, other in zip(here, stacked, strict=True):
        left, right = (View(m, Access.IMAGE_EMBEDDING, cache=tmp_path / "e").embed_photos(photos) for m in (one, other))
        np.testing.assert_allclose(left, right, rtol=1e-2, atol=1e-3)


def test_two_processes_that_want_the_same_shadow_train_it_once(target: LoadedTarget, tmp_path: Path) -> None:
    """The second waits at the lock and finds what the first has made."""
    import threading

    shadow = plan_shadows(target, sets(1), 0, 1.0)[0]
    store = ShadowStore(tmp_path / "s")
    found: list[Any] = []
    with store.lock(shadow.key):
        waiting = threading.Thread(target=lambda: found.append(train(target, tmp_path / "s", sets(1))))
        waiting.start()
        time.sleep(0.5)
        assert not found
        from idbench.targets.train import train_target

        store.keep(shadow.key, train_target(shadow.spec, shadow.data, store.weights(shadow.key)), 1.0)
        first = store.weights(shadow.key).stat().st_mtime_ns
    waiting.join(60)
    ((_, costs),) = found
    assert (costs.count, costs.trained, costs.trained_steps) == (1, 0, 0)  # it cost the other, not this one
    assert costs.steps == 6
    assert store.weights(shadow.key).stat().st_mtime_ns == first


def test_the_processes_end_with_whoever_started_them(tmp_path: Path) -> None:
    """Killed without a chance to clean up, the parent leaves nobody behind, and epochs are not lost."""
    program = textwrap.dedent(f"""
        from pathlib import Path
        from idbench.targets import shadows as module
        from tests.small_shadows import make_target, sets, train
        module.HERE_UP_TO, module.processors = 0, lambda: 2
        target = make_target(Path({str(tmp_path / "t.safetensors")!r}), epochs=4000)
        train(target, Path({str(tmp_path / "s")!r}))
    """)
    root = Path(__file__).parents[3]
    environment = dict(os.environ, PYTHONPATH=str(root), OMP_NUM_THREADS="1", TMPDIR=str(tmp_path))
    parent = subprocess.Popen([sys.executable, "-c", program], env=environment, cwd=root)
    try:
        deadline = time.monotonic() + 120
        while len(list((tmp_path / "s").glob("*.resume"))) < 2:
            assert time.monotonic() < deadline, "no training got as far as its first epoch"
            assert parent.poll() is None
            time.sleep(0.1)
        children = [int(pid) for pid in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()]
        assert len(children) == 2
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    while any(_alive(pid) for pid in children):
        assert time.monotonic() < deadline, "a training outlived its parent"
        time.sleep(0.1)


def _alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_a_view_needs_the_access_and_counts_the_steps(target: LoadedTarget, tmp_path: Path) -> None:
    closed = View(target, Access.SIMILARITY, cache=tmp_path / "e", shadows=tmp_path / "s")
    with pytest.raises(AccessViolation, match="asked the target for shadow models"):
        closed.train_shadows(sets(), seed=0)
    assert closed.queries.training_steps == 0
    assert closed.shadow_costs is None
    view = View(target, Access.TRAIN_SHADOWS, cache=tmp_path / "e", shadows=tmp_path / "s")
    shadows = view.train_shadows(sets(), seed=0)
    assert view.queries.training_steps == 12
    photos = [pair.photo for pair in sets()[0][:3]]
    assert shadows[0].similarities(photos, ["a photo with red"]).shape == (3, 1)
    assert not np.array_equal(shadows[0].embed_photos(photos), shadows[1].embed_photos(photos))
    assert view.queries.images == view.queries.pairs == 0  # what the attacker asks of models of his own is his affair
    with pytest.raises(AccessViolation, match="asked the target for similarities"):
        view.similarities(photos, ["x"])
    with pytest.raises(AccessViolation):
        shadows[0].train_shadows(sets(), seed=0)
    # Training behind shadows counts also when it was spent before.
    other = View(target, Access.TRAIN_SHADOWS, cache=tmp_path / "e", shadows=tmp_path / "s")
    other.train_shadows(sets(), seed=0)
    assert other.queries.training_steps == 12
    assert other.shadow_costs is not None
    assert other.shadow_costs.trained == 0


def test_a_shadow_that_is_asked_for_again_costs_nothing_more(target: LoadedTarget, tmp_path: Path) -> None:
    view = View(target, Access.TRAIN_SHADOWS, cache=tmp_path / "e", shadows=tmp_path / "s")
    first = view.train_shadows(sets(), seed=0)
    once = view.shadow_costs
    assert once is not None
    assert (once.count, once.steps, once.trained, once.trained_steps) == (2, 12, 2, 12)
    others = view.train_shadows(sets()[::-1], seed=1)
    again = view.train_shadows(sets(), seed=0)
    assert all(one is another for one, another in zip(again, first, strict=True))  # with all that they have encoded
    assert not {*map(id, others)} & {*map(id, first)}
    both = view.shadow_costs
    assert both is not None
    assert (both.count, both.steps, both.trained, both.trained_steps) == (4, 24, 4, 24)
    assert both.seconds > once.seconds
    assert both.waited > once.waited
    assert view.queries.training_steps == 24


def test_targets_without_recipe_and_sets_without_pairs_are_refused(target: LoadedTarget, tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="at least two pairs"):
        train(target, tmp_path / "s", [sets()[0][:1]])
    unknown = LoadedTarget(
        target.spec.model_copy(update={"recipe": None}),
        target.model,
        target.tokenize,
        target.preprocessing,
        target.device,
        target.info,
    )
    with pytest.raises(TargetError, match="without the recipe"):
        train(unknown, tmp_path / "s")


def test_photos_of_another_size_are_resized_as_the_target_sees_them(target: LoadedTarget) -> None:
    rng = np.random.default_rng(0)
    large = [rng.integers(0, 256, (50, 40, 3), dtype=np.uint8) for _ in range(4)]
    given = [
        [
            Pair(Photo(hashlib.sha256(p.tobytes()).hexdigest(), lambda p=p: p), f"number {i}")
            for i, p in enumerate(large)
        ]  # type: ignore[misc]
    ]
    (shadow,) = plan_shadows(target, given, 0, 1.0)
    assert shadow.data.images.shape == (4, 32, 32, 3)
    view = View(target, Access.NONE)
    seen = view.preprocess([pair.photo for pair in given[0]]).numpy()
    mean, std = (np.array(m).reshape(1, 3, 1, 1) for m in (target.info.mean, target.info.std))
    captions = [shadow.data.captions[i] for i in shadow.data.caption_ids]
    expected = ((seen * std + mean) * 255).transpose(0, 2, 3, 1)[[int(c.split()[1]) for c in captions]]
    np.testing.assert_allclose(shadow.data.images, expected, atol=1e-2)


def test_what_is_kept_says_what_it_cost(target: LoadedTarget, tmp_path: Path) -> None:
    train(target, tmp_path / "s", sets(1))
    (about,) = (tmp_path / "s").glob("*.json")
    answer = json.loads(about.read_text())
    assert answer["steps"] == 6
    assert answer["seconds"] > 0
    assert not [path for path in (tmp_path / "s").iterdir() if path.name.endswith((".resume", ".tmp", ".seconds"))]
