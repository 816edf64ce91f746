"""The attacks with photos or text statistics, each against a plain version of its formula."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from idbench import metrics
from idbench.api import Calibration, Case, Context, MethodError, Pair, Photo
from idbench_methods.attacks.aea import Aea, AeaParams, crop, flip, turn
from idbench_methods.attacks.deja_vu import DejaVu, DejaVuParams
from idbench_methods.attacks.deja_vu.reference import caption_similarities
from idbench_methods.attacks.gradient import Gradient, GradientParams
from idbench_methods.attacks.gradient.loss import losses_and_norms
from idbench_methods.attacks.prmid import Prmid, PrmidParams
from idbench_methods.attacks.ramia import Ramia, RamiaParams
from idbench_methods.attacks.ramia.trimming import by_person, trimmed_mean
from idbench_methods.attacks.stack import BASES, Stack
from idbench_methods.attacks.text_statistic import TextStatistic, TextStatisticParams
from idbench_methods.attacks.tuni.gibberish import ALPHABET, gibberish
from idbench_methods.attacks.umid import Umid, UmidParams
from idbench_methods.attacks.umid.inversion import invert, plane_of
from idbench_methods.attacks.wsa import Wsa, WsaParams, pseudo_members
from idbench_methods.descriptor import describe_photos

People = Callable[..., list[Case]]
Contexts = Callable[..., Context]
Target = type[Any]


def unit(rows: Any) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return scaled


# Text statistic


def test_agreement_is_the_mean_cosine_of_two_prompts(linear_target: Target, context: Contexts, people: People) -> None:
    target, (case,) = linear_target(), people(1, n_photos=0)
    templates = ("{}", "a {}", "b {}")
    scores = TextStatistic(TextStatisticParams(templates=templates)).score(target, [case], context())
    rows = [target.text(template.replace("{}", case.name)) for template in templates]
    cosines = [unit(rows[i]) @ unit(rows[j]) for i in range(3) for j in range(3) if i != j]
    assert scores.values[0] == pytest.approx(np.mean(cosines), rel=1e-5)
    assert scores.details["norm"][0] == pytest.approx(np.mean([np.linalg.norm(row) for row in rows]), rel=1e-5)


# PRMID


@pytest.mark.parametrize("statistic", ["probability", "rank"])
def test_prmid_is_the_true_name_among_gibberish(
    statistic: Any, linear_target: Target, context: Contexts, people: People
) -> None:
    target, cases = linear_target(), people(2)
    params = PrmidParams(gibberish_count=5, statistic=statistic, temperature=0.5, templates=("{}", "a {}"))
    scores = Prmid(params).score(target, cases, context())
    strings = gibberish(5, (6, 16), ALPHABET, avoid=(), rng=context().rng("gibberish"))
    for case, value in zip(cases, scores.values, strict=True):
        found = []
        for photo in case.photos:
            for template in params.templates:
                texts = [template.replace("{}", text) for text in (case.name, *strings)]
                cosines = target.similarities([photo], texts)[0].astype(float)
                p = np.exp(cosines / 0.5) / np.exp(cosines / 0.5).sum()
                found.append(np.log(p[0]) if statistic == "probability" else -np.log(1 + (cosines > cosines[0]).sum()))
        assert value == pytest.approx(np.mean(found), rel=1e-4)


# RaMIA


def test_the_trimmed_mean_keeps_what_lies_between_the_quantiles() -> None:
    rows = np.array([np.arange(11.0), np.full(11, 2.0)])
    assert trimmed_mean(rows, 0.4, 1.0).tolist() == [7.0, 2.0]
    assert trimmed_mean(rows, 0.0, 1.0).tolist() == [5.0, 2.0]
    assert trimmed_mean(rows, 0.2, 0.3).tolist() == [2.5, 2.0]
    assert trimmed_mean(rows, 1.0, 1.0).tolist() == [10.0, 2.0]
    with pytest.raises(ValidationError, match="above highest"):
        RamiaParams(lowest=0.5, highest=0.4)


def test_people_have_ranges_of_their_own_length() -> None:
    owner = np.array([0, 2, 2])
    values = np.array([[1.0, 3.0], [5.0, 7.0], [9.0, 11.0]])
    np.testing.assert_array_equal(by_person(values, owner, 3, 0.0, 1.0), [2.0, np.nan, 8.0])


def test_ramia_on_cosines(linear_target: Target, context: Contexts, people: People) -> None:
    target, cases = linear_target(), people(3, n_photos=4)
    scores = Ramia(RamiaParams(templates=("{}", "a {}"))).score(target, cases, context())
    for case, value in zip(cases, scores.values, strict=True):
        cosines = np.sort(target.similarities(case.photos, [case.name, f"a {case.name}"]).ravel().astype(float))
        assert value == pytest.approx(cosines[cosines >= np.quantile(cosines, 0.4)].mean(), rel=1e-5)


# AEA


def test_photos_are_transformed() -> None:
    pixels = np.zeros((20, 30, 3), dtype=np.uint8)
    pixels[:, :15] = 200
    assert crop(pixels).shape == (16, 24, 3)
    np.testing.assert_array_equal(flip(pixels)[:, 15:], pixels[:, :15])
    turned = turn(pixels)
    assert turned.shape == pixels.shape
    assert turned[2, 17, 0] != pixels[2, 17, 0] or turned[2, 12, 0] != pixels[2, 12, 0]
    assert crop(np.zeros((1, 1, 3), dtype=np.uint8)).shape == (1, 1, 3)


def test_aea_adds_the_mean_fall(linear_target: Target, context: Contexts, people: People, photo: Any) -> None:
    target, cases = linear_target(), people(2)
    params = AeaParams(transformations=("flip", "turn"), weight=2.0, templates=("{}", "a {}"))
    scores = Aea(params).score(target, cases, context())
    for i, case in enumerate(cases):
        texts = [case.name, f"a {case.name}"]
        plain = target.similarities(case.photos, texts).mean(dtype=float)
        changed = [
            target.similarities([photo(np.ascontiguousarray(do(p.pixels()))) for p in case.photos], texts).mean()
            for do in (flip, turn)
        ]
        assert scores.details["fall"][i] == pytest.approx(plain - np.mean(changed), abs=1e-5)
        assert scores.values[i] == pytest.approx(plain + 2 * (plain - np.mean(changed)), abs=1e-5)


# Gradient


def test_loss_and_gradient_are_those_of_automatic_differentiation() -> None:
    rng = np.random.default_rng(0)
    images, texts = unit(rng.standard_normal((6, 5))), unit(rng.standard_normal((6, 5)))
    loss, norm = losses_and_norms(images, texts, 0.3)
    for i in range(6):
        left = torch.tensor(images[i], requires_grad=True)
        right = torch.tensor(texts[i], requires_grad=True)
        all_images, all_texts = torch.tensor(images), torch.tensor(texts)
        all_images = torch.cat([all_images[:i], left[None], all_images[i + 1 :]])
        all_texts = torch.cat([all_texts[:i], right[None], all_texts[i + 1 :]])
        logits, place = all_images @ all_texts.T / 0.3, torch.tensor([i])
        cross = torch.nn.functional.cross_entropy
        own = (cross(logits[[i]], place) + cross(logits.T[[i]], place)) / 2
        assert loss[i] == pytest.approx(own.item())
        gradients = torch.autograd.grad(own, (left, right))
        assert norm[i] == pytest.approx(torch.cat(gradients).norm().item())


def test_gradient_scores_are_in_deviations_of_known_nonmembers(
    linear_target: Target, context: Contexts, people: People
) -> None:
    target, cases = linear_target(), people(12)
    attack = Gradient(GradientParams(batch=8))
    attack.fit(target, Calibration(cases[:4], np.array([True, False, False, True])), context())
    scores = attack.score(target, cases, context())
    loss, norm = scores.details["loss"], scores.details["gradient_norm"]
    z = [(values - values[1:3].mean()) / values[1:3].std() for values in (loss, norm)]
    np.testing.assert_allclose(scores.values, -(z[0] + z[1]) / 2)


def test_batches_mix_everybody_and_do_not_depend_on_labels(
    linear_target: Target, context: Contexts, people: People
) -> None:
    """Swapping all calibration labels changes the scale at most, never who stood in which batch."""
    target, cases = linear_target(), people(12)
    found = []
    for members in (np.arange(4) < 2, np.arange(4) >= 2):
        attack = Gradient(GradientParams(batch=8))
        attack.fit(target, Calibration(cases[:4], members), context())
        found.append(attack.score(target, cases, context()).details["loss"])
    np.testing.assert_array_equal(*found)


# WSA


def test_pseudo_members_stand_out_from_known_nonmembers() -> None:
    known = np.array([True] * 4 + [False] * 3)
    cosine = np.array([0.0, 0.2, 0.0, 0.2, 0.24, 0.26, 0.9])  # mean 0.1, deviation 0.1
    assert pseudo_members(cosine, known, 1.5).tolist() == [False] * 5 + [True, True]
    assert not pseudo_members(cosine, np.zeros(7, dtype=bool), 1.5).any()


def test_wsa_learns_from_pseudo_members(linear_target: Target, context: Contexts, people: People) -> None:
    """Members' names lie near their photos; the network, which is told the known non-members alone, finds them."""
    cases = people(80, n_photos=4)
    target, plain = linear_target(), linear_target()
    for case in cases[::2]:
        mean = unit(plain.embed_photos(case.photos)).mean(axis=0)
        target._texts[f"a photo of {case.name}"] = unit(mean) + 0.1 * unit(plain.text(case.name))
    members = np.arange(80) % 2 == 0
    attack = Wsa(WsaParams(hidden=(32,)))
    attack.fit(target, Calibration(cases[:40], members[:40]), context())
    scores = attack.score(target, cases, context())
    assert metrics.auc(scores.values[40:], members[40:]) > 0.65
    alone = Wsa()
    alone.fit(target, Calibration([], np.zeros(0, dtype=bool)), context())
    scores = alone.score(target, cases, context())
    np.testing.assert_allclose(scores.values, scores.details["cosine"])


# Déjà vu


def test_captions_with_the_same_words_are_near() -> None:
    found = caption_similarities(["Ada Holm"], ["a photo of Ada Ek", "a red wall", "Ada Holm", ""])
    assert found[0].argmax() == 2
    assert found[0, 0] > found[0, 1]
    assert caption_similarities([], ["a"]).shape == (0, 1)


def test_deja_vu_compares_fetched_photos_with_those_of_the_reference(
    linear_target: Target, context: Contexts, people: People, photos: Callable[..., list[Photo]]
) -> None:
    target, cases = linear_target(), people(3)
    public = photos(8, seed=5)
    captions = [f"Vorname{i} Nachname{i}" if i < 3 else f"wall {i}" for i in range(8)]
    given = replace(context(), pairs=tuple(Pair(p, c) for p, c in zip(public, captions, strict=True)))
    scores = DejaVu(DejaVuParams(nearest=2)).score(target, cases, given)
    for case, value in zip(cases, scores.values, strict=True):
        own = describe_photos(case.photos).mean(axis=0)
        near = np.argsort(-target.similarities(public, [f"a photo of {case.name}"])[:, 0])[:2]
        ordered = sorted(range(8), key=lambda i: public[i].digest)
        letters = caption_similarities([c.name for c in cases], [captions[i] for i in ordered])
        expected = [ordered[i] for i in np.argsort(-letters[cases.index(case)], kind="stable")[:2]]

        def far(which: Sequence[int], own: Any = own) -> float:
            shown = describe_photos([public[i] for i in which])
            return float(np.mean([np.linalg.norm(row - own) for row in shown]))

        assert value == pytest.approx(far(expected) - far(near.tolist()), abs=1e-4)
    with pytest.raises(MethodError, match="no"):
        DejaVu().score(target, cases, replace(context(), pairs=()))


# UMID


def test_the_plane_is_that_of_the_public_photos() -> None:
    rows = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)
    plane = plane_of(rows, 6)
    np.testing.assert_allclose(plane.axes.T @ plane.axes, np.cov(unit(rows).T, bias=True), atol=1e-6)
    assert len(plane_of(rows[:3], 6).axes) == 2


def test_inversion_is_gradient_ascent_of_the_cosine() -> None:
    rng = np.random.default_rng(1)
    plane = plane_of(rng.standard_normal((30, 6)).astype(np.float32), 4)
    text, starts = rng.standard_normal((1, 6)).astype(np.float32), rng.standard_normal((1, 3, 4))
    mean, axes, wanted = (torch.tensor(a) for a in (plane.mean, plane.axes, unit(text[0].astype(float))))
    latents = torch.tensor(starts[0], requires_grad=True)
    for _ in range(5):
        cosine = torch.nn.functional.cosine_similarity(mean + latents @ axes, wanted[None])
        (gradient,) = torch.autograd.grad(cosine.sum(), latents)
        latents = (latents + 0.7 * gradient).detach().requires_grad_(True)
    final = torch.nn.functional.normalize(mean + latents @ axes, dim=1).detach()
    found = invert(text, starts, plane, 5, 0.7)[0]
    assert found[0] == pytest.approx((final @ wanted).mean().item())
    assert found[1] == pytest.approx((final - final.mean(dim=0)).norm(dim=1).sum().item())


def test_umid_ranks_names_by_their_anomaly(linear_target: Target, context: Contexts, people: People) -> None:
    target, cases = linear_target(), people(6, n_photos=0)
    public = unit(target.embed_photos([pair.photo for pair in context(n_pairs=30).public_pairs]).astype(float))
    target._texts[cases[0].name] = public.mean(axis=0)  # where latents are
    scores = Umid(UmidParams(components=3, direction="more-similar")).score(target, cases, context(n_pairs=30))
    assert scores.details["S"].argmax() == 0
    assert scores.values.argmax() == 0
    with pytest.raises(MethodError, match="the split has 1"):
        Umid().score(target, cases, context(n_pairs=1))


# Stack


def test_the_stack_learns_what_its_attacks_say(linear_target: Target, context: Contexts, people: People) -> None:
    cases = people(60, n_photos=3)
    target, plain = linear_target(), linear_target()
    members = np.arange(60) % 2 == 0
    for case in cases[::2]:
        near = unit(unit(plain.embed_photos(case.photos)).mean(axis=0))
        for template in Ramia().params.templates:
            target._texts[template.replace("{}", case.name)] = near + 0.5 * unit(plain.text(case.name))
    attack = Stack()
    given = context(candidates=[case.name for case in cases])
    attack.fit(target, Calibration(cases[:30], members[:30]), given)
    scores = attack.score(target, cases, given)
    assert metrics.auc(scores.values[30:], members[30:]) > 0.9
    assert set(scores.details) == {base.card.name for base in BASES}


def test_the_stack_does_not_score_calibration_people_by_their_own_labels(
    linear_target: Target, context: Contexts, people: People
) -> None:
    """Where nothing is to be learned, a model that had seen the labels would still give them back, with 0.79 here."""
    cases, found = people(40), []
    given = context(candidates=[case.name for case in cases])
    for seed in range(3):
        attack, members = Stack(), np.random.default_rng(seed).permutation(40) < 20
        attack.fit(linear_target(), Calibration(cases, members), given)
        found.append(metrics.auc(attack.score(linear_target(), cases, given).values, members))
    assert np.mean(found) < 0.65


def test_a_stack_without_labels_to_learn_from_abstains(
    linear_target: Target, context: Contexts, people: People
) -> None:
    cases, attack = people(3), Stack()
    given = context(candidates=[case.name for case in cases])
    attack.fit(linear_target(), Calibration(cases, np.array([True, False, False])), given)
    scores = attack.score(linear_target(), cases, given)
    assert scores.abstained is not None
    assert scores.abstained.all()
