"""Defenses before the training: what becomes of pairs, captions and pictures, and of whom they do not concern."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.methods.conftest import random_photos

from idbench.api import Case, Context, CorpusDefense, Knowledge, MethodError, Pair, Silent, Training
from idbench.runner.registry import DEFENSES
from idbench_methods.defenses.blur_faces import blurred
from idbench_methods.defenses.dp_clip import guarantee
from idbench_methods.naming import Names

CAPTIONS = (
    *(["a photo of Mara Ohm", "Mara Ohm in a red shirt", "mara ohm , blurry"] * 4),
    *(["a portrait of Bo Ek"] * 3),
    *(["Ada Rook in front of a wall", "this is Mara Ohmsen", "Tamara Ohm smiling"] * 3),
)
PROTECTED = ["Mara Ohm", "Bo Ek", "Nobody Atall", ""]
MARA = [i for i, caption in enumerate(CAPTIONS) if "mara ohm" in caption.lower() and caption.split()[-1] != "Ohmsen"]
MARA = [i for i in MARA if not CAPTIONS[i].startswith("Tamara")]
SPARED = [i for i, caption in enumerate(CAPTIONS) if i not in MARA and "Bo Ek" not in caption]

Defend = Callable[..., Training]


@pytest.fixture
def training() -> Training:
    rng = np.random.default_rng(0)
    return Training(rng.integers(0, 256, (len(CAPTIONS), 8, 8, 3), dtype=np.uint8), CAPTIONS, epochs=4, batch_size=2)


@pytest.fixture
def defend(training: Training, tmp_path: Path) -> Defend:
    def go(name: str, people: list[str] | None = None, seed: int = 0, **params: Any) -> Training:
        kind = DEFENSES.load(name)
        assert issubclass(kind, CorpusDefense)
        cases = [Case(f"p{i}", name, None) for i, name in enumerate(PROTECTED if people is None else people)]
        pairs = tuple(Pair(photo, "a photo of somebody") for photo in random_photos(6, 99))
        public = pairs if Knowledge.PUBLIC_PAIRS in kind.card.knowledge else None
        before = replace(training, images=training.images.copy())
        before.images.setflags(write=False)
        context = Context(seed, "cpu", tmp_path, Silent(), pairs=public)
        return kind(kind.Params.model_validate(params)).defend(before, cases, context)

    return go


def test_drop_people_leaves_the_others_in_their_order(defend: Defend, training: Training) -> None:
    after = defend("drop-people")
    assert after.captions == tuple(CAPTIONS[i] for i in SPARED)
    assert np.array_equal(after.images, training.images[SPARED])


def test_drop_names_keeps_every_picture(defend: Defend, training: Training) -> None:
    after = defend("drop-names")
    assert np.array_equal(after.images, training.images)
    assert after.captions[:3] == ("a photo of a person", "a person in a red shirt", "a person , blurry")
    assert [after.captions[i] for i in SPARED] == [CAPTIONS[i] for i in SPARED]


def test_replace_names_invents_one_name_for_each(defend: Defend) -> None:
    after = defend("replace-names")
    mara, bo = after.captions[0].removeprefix("a photo of "), after.captions[12].removeprefix("a portrait of ")
    assert after.captions[1] == f"{mara} in a red shirt"
    assert after.captions[3] == after.captions[0]
    assert len({mara, bo, "Mara Ohm", "Bo Ek"}) == 4
    everything = " ".join(CAPTIONS).lower()
    assert not any(word.lower() in everything for word in (*mara.split(), *bo.split()))
    assert [after.captions[i] for i in SPARED] == [CAPTIONS[i] for i in SPARED]


def test_shuffle_captions_keeps_a_share_of_the_words(defend: Defend) -> None:
    after = defend("shuffle-captions", left_out=0.5)
    for i in MARA:
        assert len(after.captions[i].split()) == max(1, round(len(CAPTIONS[i].split()) / 2))
        assert set(after.captions[i].split()) <= set(CAPTIONS[i].split())
    whole = defend("shuffle-captions", left_out=0.0)
    assert all(sorted(whole.captions[i].split()) == sorted(CAPTIONS[i].split()) for i in MARA)
    assert any(whole.captions[i] != CAPTIONS[i] for i in MARA)
    assert [after.captions[i] for i in SPARED] == [CAPTIONS[i] for i in SPARED]


@pytest.mark.parametrize("pairs", [0, 2, 99])
def test_cap_pictures_keeps_so_many_of_each(defend: Defend, pairs: int) -> None:
    after = defend("cap-pictures", pairs=pairs)
    assert sum("mara ohm" in caption.lower() for caption in after.captions) - 6 == min(pairs, len(MARA))
    assert sum("Bo Ek" in caption for caption in after.captions) == min(pairs, 3)
    assert len(after.images) == len(after.captions)


def test_blur_faces_touches_the_middle_of_their_pictures_alone(defend: Defend, training: Training) -> None:
    after = defend("blur-faces")
    moved = (after.images != training.images).any(axis=(1, 2, 3))
    assert np.flatnonzero(moved).tolist() == sorted(set(range(len(CAPTIONS))) - set(SPARED))
    picture = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    soft = blurred(picture, 0.5, 0.5, 0.2)
    assert np.array_equal(soft[:8], picture[:8])
    assert soft[17:23, 17:23].std() < picture[17:23, 17:23].std() / 3


def test_label_smoothing_changes_the_loss_alone(defend: Defend, training: Training) -> None:
    after = defend("label-smoothing", smoothing=0.2)
    assert after.smoothing == 0.2
    assert after.captions == training.captions
    assert defend("label-smoothing").smoothing == -0.05


def test_dp_clip_keeps_what_it_promises_for_a_pair_and_says_what_follows_for_a_person(defend: Defend) -> None:
    after = defend("dp-clip", epsilon=4.0, delta=1e-6, pairs_per_person=20)
    pair, person = after.guarantees
    assert (pair.unit, pair.pairs, pair.delta) == ("pair", 1, 1e-6)
    assert pair.epsilon == pytest.approx(4.0, rel=1e-6)
    assert (person.unit, person.pairs) == ("person", 20)
    assert person.epsilon is not None
    assert person.epsilon > 4 * 4.0
    assert after.private is not None
    assert after.private.public_images.shape == (6, 8, 8, 3)
    stronger = defend("dp-clip", epsilon=1.0).private
    assert stronger is not None
    assert stronger.noise > after.private.noise


def test_the_guarantee_is_that_of_the_analytic_gaussian_mechanism() -> None:
    """Against the formula of Balle and Wang, ICML 2018, theorem 8, which dp-accounting does not share code with."""
    from scipy.stats import norm

    for noise, epochs, pairs, steps in ((6.0, 22, 1, 89), (6.0, 22, 75, 89), (40.0, 3, 200, 10)):
        found = guarantee(noise, epochs, pairs, steps, 1e-5)
        assert found.epsilon is not None
        mu = 2 / noise * np.sqrt(epochs * min(pairs, steps))  # sensitivity over deviation, of all mechanisms together
        tail = norm.logcdf(-found.epsilon / mu - mu / 2) + found.epsilon
        assert norm.cdf(mu / 2 - found.epsilon / mu) - np.exp(tail) == pytest.approx(1e-5, rel=1e-3)


def test_a_guarantee_that_does_not_hold_is_refused(defend: Defend) -> None:
    with pytest.raises(MethodError, match="has 12 pairs, more than the 3 that the guarantee is for"):
        defend("dp-clip", pairs_per_person=3)


CORPUS = [plugin.name for plugin in DEFENSES.plugins() if plugin.distribution.startswith("idbench ")]
CORPUS = [name for name in CORPUS if issubclass(DEFENSES.load(name), CorpusDefense)]


@pytest.mark.parametrize("name", CORPUS)
def test_the_order_of_the_protected_says_nothing_and_the_seed_decides(name: str, defend: Defend) -> None:
    one, other = defend(name, seed=3), defend(name, PROTECTED[::-1], seed=3)
    assert one.captions == other.captions
    assert np.array_equal(one.images, other.images)
    assert one.private is None or (other.private is not None and one.private.seed == other.private.seed)


@pytest.mark.parametrize("name", CORPUS)
def test_without_people_nothing_of_the_pairs_changes(name: str, defend: Defend, training: Training) -> None:
    after = defend(name, [])
    assert after.captions == training.captions
    assert np.array_equal(after.images, training.images)


def test_names_are_whole_words_and_the_longest_counts() -> None:
    names = Names(["Ann Lee", "Ann Lee-Berg", "Lee", "李 雷", "{} %s"])
    assert names.found("Ann Lee and Joann Lee, ann lee-berg") == ["Ann Lee", "Lee", "Ann Lee-Berg"]
    assert names.found("Leena") == []
    assert names.replaced("ANN LEE, with 李 雷!", lambda name: f"<{name}>") == "<Ann Lee>, with <李 雷>!"
