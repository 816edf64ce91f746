"""What a defense costs bystanders: questions from captions, answers of known targets, intervals over people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.small_runs import FORKS

from idbench.api import Access, Silent
from idbench.results import find_runs
from idbench.runner.execute import Options, execute
from idbench.runner.grid import make_grid, specs
from idbench.runner.spec import Resolver, plan_defense
from idbench.runner.utility import Answers, ask, compared
from idbench.splits import load_corpus, load_split
from idbench.splits.held_out import alike, load_held_out, question_of
from idbench.targets import resolve_target
from idbench.targets.load import load_target
from idbench.targets.view import View

ALL = Access.LABEL | Access.SIMILARITY | Access.TEXT_EMBEDDING | Access.IMAGE_EMBEDDING


@pytest.mark.parametrize(
    ("caption", "concept", "right", "n"),
    [
        ("a person in front of a green wall", "walls", "a person in front of a green wall", 10),
        ("a photo of a person , grey background", "walls", "a photo of a person , grey background", 10),
        ("a person dressed in brown", "clothes", "a person dressed in brown", 8),
        ("a person wearing a cap and a red shirt", "clothes", "a person wearing a cap and a red shirt", 8),
        ("a dim photo of a person", "light", "a dim photo of a person", 4),
        ("a person is laughing", "faces", "a person is laughing", 4),
        ("a person with a hat", "hats", "a person with a hat", 2),
        ("a person behind a scarf", "covers", "a person behind a scarf", 3),
        ("a person looking left", "gaze", "a person looking left", 2),
    ],
)
def test_captions_become_questions(caption: str, concept: str, right: str, n: int) -> None:
    question = question_of(7, caption)
    assert question is not None
    assert (question.concept, question.picture, len(question.texts)) == (concept, 7, n)
    assert question.texts[question.right] == right
    assert len(set(question.texts)) == n
    assert question_of(0, "a photo of a person") is None


def test_held_out_pictures_are_new_and_name_nobody_in_questions() -> None:
    held = load_held_out("avatars-tiny", Silent())
    assert held is not None
    assert held.images.shape[0] == len(held.captions) == len(held.owners) == 120
    shown = {image.tobytes() for image in held.images}
    trained = load_corpus("avatars-tiny-a").images
    assert not shown & {image.tobytes() for image in trained}
    assert all(held.names[owner] in caption for owner, caption in zip(held.owners, held.captions, strict=True))
    under_test = {identity.name for identity in load_split("avatars-tiny").identities}
    assert not under_test & set(held.names)
    words = {word for name in held.names for word in name.split()}
    assert held.questions
    assert not any(words & set(text.split()) for question in held.questions for text in question.texts)
    assert load_held_out("cc3m-idia", Silent()) is None


def test_look_alikes_share_a_first_or_a_last_name() -> None:
    assert alike(["Mara Ek", "Bo Ohm", "Ada Rook", ""], ["Mara Ohm", "Ivo"]).tolist() == [True, True, False, False]


def test_a_target_answers_as_its_embeddings_say(tmp_path: Path) -> None:
    held = load_held_out("avatars-tiny", Silent())
    assert held is not None
    loaded = load_target(resolve_target("avatars-a"))
    answers = ask(View(loaded, ~Access.WEIGHTS, cache=tmp_path), ALL, held, Silent())
    assert answers.photos is not None
    assert answers.texts is not None
    cosines = answers.photos @ answers.texts.T
    captions = np.array(held.captions)
    expected = captions[cosines.argmax(axis=1)] == captions
    assert answers.right["photo to caption"].astype(bool).tolist() == expected.tolist()
    back = captions[cosines.argmax(axis=0)] == captions
    assert answers.right["caption to photo"].astype(bool).tolist() == back.tolist()
    assert {name for name in answers.right if name.startswith("recognition")} >= {"recognition of walls"}


def answers(right: list[float], owners: list[int], turn: float = 0.0) -> Answers:
    photos = np.tile(np.array([[np.cos(turn), np.sin(turn)]], dtype=np.float32), (len(right), 1))
    named = {"photo to caption": np.array(right), "naming of faces": np.array(right)}
    people = np.array(owners, dtype=np.int64)
    return Answers(named, dict.fromkeys(named, people), photos, None)


def test_before_after_and_difference_are_means_with_intervals_over_people() -> None:
    owners = [0, 0, 1, 1, 2, 2, 3, 3]
    found = {
        one.name: one
        for one in compared(
            answers([1, 1, 1, 1, 1, 0, 0, 0], owners),
            answers([1, 1, 1, 0, 0, 0, 0, 0], owners, turn=np.pi / 3),
            np.array([True, False, True, False]),
        )
    }
    naming = found["naming of faces"]
    assert (naming.people, naming.before.value, naming.after.value) == (4, 0.625, 0.375)
    assert naming.difference.value == pytest.approx(-0.25)
    assert naming.difference.low <= -0.25 <= naming.difference.high <= 0
    alike_only = found["naming of faces with a look-alike name"]
    assert (alike_only.people, alike_only.before.value, alike_only.after.value) == (2, 0.75, 0.5)
    drift = found["photos stay where they were (cosine)"]
    assert drift.before.value == 1.0
    assert drift.after.value == pytest.approx(0.5, abs=1e-6)
    assert "captions stay where they were (cosine)" not in found


def test_intervals_cover_what_other_people_would_have_given() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        skill = rng.beta(2, 2, size=60)
        right = (rng.random((60, 2)) < skill[:, None]).astype(float).ravel().tolist()
        owners = np.repeat(np.arange(60), 2).tolist()
        estimate = compared(answers(right, owners), answers(right, owners), np.zeros(60, dtype=bool))[0].before
        inside += estimate.low <= 0.5 <= estimate.high
    assert 180 <= inside <= 198


def planned(defense: str, **params: object) -> list:  # type: ignore[type-arg]
    split = load_split("avatars-tiny")
    made = [plan_defense(defense, None, params)]
    return list(specs(make_grid(split, ["cosine"], "avatars-a", [0], "avatars-tiny-a", defenses=made)))


def test_records_of_defended_runs_hold_it(tmp_path: Path, plugins: Path) -> None:
    for defense, params in (("sample-identity", {}), ("null-space", {"share": 1.0}), ("refuse-names", {})):
        (spec,) = planned(defense, **params)
        execute(Resolver(Silent()).resolve(spec), Options(tmp_path, forks=FORKS), Silent())
    found = {r.record.defense.name: r.record.defense.utility for r in find_runs(tmp_path) if r.record.defense}
    for one in found["sample-identity"]:
        assert one.after.value == pytest.approx(one.before.value, abs=1e-6)
        assert one.difference.high - one.difference.low < 1e-6
    harm = {one.name: one for one in found["null-space"]}
    assert harm["captions stay where they were (cosine)"].after.value < 0.9
    assert harm["photos stay where they were (cosine)"].after.value == pytest.approx(1.0, abs=1e-5)
    # A filter of protected names touches nobody else.
    assert all(abs(one.difference.value) < 1e-6 for one in found["refuse-names"])
