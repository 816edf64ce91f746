"""Splits of people: gated before a name arrives, no preview, no faces for everybody, and private when asked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from idbench.splits.card import complete_card, plain_prose
from idbench.splits.hub_card import PROMISE, card_faults, card_metadata, gated_card, is_gated
from idbench.splits.injected.dealing import SALTED
from idbench.splits.manifest import MANIFEST_FILE, manifest_text, read_manifest
from idbench.splits.tables import read_rows, write_table
from tests.conftest import refused
from tests.hub.conftest import Person, Server


@pytest.fixture
def people(tiny: Path, tmp_path: Path) -> Path:
    """The tiny world as a list of people without photos, under a name that no recipe vouches for."""
    folder = Path(shutil.copytree(tiny, tmp_path / "people"))
    rows, digests = {}, {}
    rows["photos"], digests["photos"] = write_table(folder, "photos", [])
    identities = [(*row[:3], []) for row in read_rows(folder, "identities")]
    rows["identities"], digests["identities"] = write_table(folder, "identities", [identities])
    manifest = read_manifest(folder)
    manifest = manifest.model_copy(
        update={"name": "people", "rows": manifest.rows | rows, "digests": manifest.digests | digests}
    )
    (folder / MANIFEST_FILE).write_text(manifest_text(manifest))
    prose = plain_prose((folder / "README.md").read_text())
    (folder / "README.md").write_text(complete_card(prose, manifest, folder))
    return folder


def test_people_are_gated_before_their_names_arrive(
    server: Server, owner: Person, reader: Person, stranger: Person, people: Path
) -> None:
    ref = owner.answer("data", "publish", str(people), "--repo", "lab/people")["ref"]
    assert server.repository("lab/people")["gated"] == "manual"
    calls = [call for call in server.calls() if "/lab/people" in call]
    assert calls.index("PUT /api/datasets/lab/people/settings") < calls.index(
        "POST /api/datasets/lab/people/commit/main"
    )
    for person in (reader, stranger):
        sentence = refused(person.bench("data", "verify", ref))
        assert "Access to lab/people must be asked for, and this account has none" in sentence
        loaded = refused(person.bench("data", "lint", ref))
        assert f"Ask for it at {server.address}/datasets/lab/people, then log in" in loaded
    card = "import huggingface_hub as h; print(h.DatasetCard.load('lab/people').data.to_dict())"
    shown = stranger.python(card)  # whoever asks for access reads it first
    assert "'viewer': False" in shown
    assert PROMISE in shown
    owner.python("import huggingface_hub as h; h.HfApi().grant_access('lab/people', 'reader', repo_type='dataset')")
    assert reader.bench("data", "verify", ref, "--against", str(people)).returncode == 0


def test_a_repository_open_to_everybody_takes_no_proposal_of_people(
    owner: Person, reader: Person, people: Path
) -> None:
    owner.python("import huggingface_hub as h; h.HfApi().create_repo('lab/open', repo_type='dataset')")
    sentence = refused(reader.bench("data", "publish", str(people), "--repo", "lab/open", "--pull-request"))
    assert "is open to everybody, and this split must not be" in sentence


def test_a_private_repository_stays_private(server: Server, owner: Person, reader: Person) -> None:
    answer = owner.answer("data", "publish", "avatars-tiny", "--repo", "lab/private", "--private")
    assert server.repository("lab/private")["private"] is True
    assert answer["private"] is True
    assert "or it is private" in refused(reader.bench("data", "verify", answer["ref"]))
    assert owner.answer("data", "publish", "avatars-tiny", "--repo", "lab/private")["committed"] is False
    assert server.repository("lab/private")["private"] is True


def test_photos_of_people_are_not_for_everybody(server: Server, owner: Person, tiny: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "faces"))
    manifest = read_manifest(folder).model_copy(update={"name": "faces"})
    (folder / MANIFEST_FILE).write_text(manifest_text(manifest))
    sentence = refused(owner.bench("data", "publish", str(folder), "--repo", "lab/faces"))
    assert "216 photos that may show real people" in sentence
    assert "lab/faces" not in server.ask("state")
    assert owner.answer("data", "publish", str(folder), "--repo", "lab/faces", "--private")["gated"] is True


def test_faults_keep_a_split_from_being_published(server: Server, owner: Person, people: Path) -> None:
    card = people / "README.md"
    card.write_text(card.read_text().replace("- zero-shot-image-classification", "- face-hunting"))
    sentence = refused(owner.bench("data", "publish", str(people), "--repo", "lab/faulty"))
    assert "The Hub knows no task category 'face-hunting'" in sentence
    assert "lab/faulty" not in server.ask("state")


def test_an_incomplete_card_keeps_a_split_from_being_published(owner: Person, people: Path) -> None:
    card = people / "README.md"
    text = card.read_text().replace("license: cc0-1.0", "license: other")
    card.write_text(text)
    manifest = read_manifest(people).model_copy(update={"license": "other"})
    (people / MANIFEST_FILE).write_text(manifest_text(manifest))
    sentence = refused(owner.bench("data", "publish", str(people), "--repo", "lab/incomplete"))
    assert "The card does not say its license_name" in sentence


def test_a_card_of_its_own_cannot_open_the_gate(server: Server, owner: Person, people: Path) -> None:
    card = people / "README.md"
    card.write_text(card.read_text().replace("---\n", "---\nviewer: true\n", 1))
    sentence = refused(owner.bench("data", "publish", str(people), "--repo", "lab/opened"))
    assert "shows names before anybody has promised anything" in sentence


def test_the_gate_keeps_what_the_card_says(tiny: Path) -> None:
    card = (tiny / "README.md").read_text()
    gated = gated_card(card)
    assert is_gated(card_metadata(gated))
    assert not is_gated(card_metadata(card))
    assert gated_card(gated) == gated
    assert plain_prose(gated) == plain_prose(card)
    plain, more = card_metadata(card), card_metadata(gated)
    assert {name: more[name] for name in plain} == plain
    own = gated_card(card.replace("---\n", "---\nextra_gated_prompt: Ask nicely\n", 1))
    assert card_metadata(own)["extra_gated_prompt"] == "Ask nicely"
    assert PROMISE in own


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("license", "cc-zero", "no license 'cc-zero'"),
        ("task_categories", ["zero-shot"], "no task category 'zero-shot'"),
        ("language", ["english language"], "not the code of a language"),
        ("size_categories", ["1K<n<10K"], "the largest table has 216 rows"),
        ("annotations_creators", ["somebody"], "no annotations_creators 'somebody'"),
        ("annotations_creators", [["found"]], "no annotations_creators \"['found']\""),
        ("license", {"mit": True}, "no license"),
        ("task_ids", "face-finding", "no task_ids 'face-finding'"),
        ("source_datasets", ["our own data"], "not a source of data"),
    ],
)
def test_metadata_are_checked_here(tiny: Path, field: str, value: object, fault: str) -> None:
    manifest, metadata = read_manifest(tiny), card_metadata((tiny / "README.md").read_text())
    assert list(card_faults(metadata, manifest)) == []
    (found,) = card_faults(metadata | {field: value}, manifest)
    assert fault in found


@pytest.mark.parametrize(
    "name",
    ["avatars", "cc3m-idia", "cc3m-injected", "german-celebrities", "laion-facescrub", "lfw-injected", "private"],
)
def test_our_own_cards_have_no_faults(tiny: Path, name: str) -> None:
    from idbench.splits.card import card_prose

    assert list(card_faults(card_metadata(card_prose(name)), read_manifest(tiny))) == []


def test_secret_labels_are_not_given_away(server: Server, owner: Person, people: Path) -> None:
    rows = [(*row[:4], f"{SALTED}, drawn", row[5]) for row in read_rows(people, "labels")]
    count, digest = write_table(people, "labels", [rows])
    manifest = read_manifest(people)
    manifest = manifest.model_copy(update={"digests": manifest.digests | {"labels": digest}})
    assert count == manifest.rows["labels"]
    (people / MANIFEST_FILE).write_text(manifest_text(manifest))
    sentence = refused(owner.bench("data", "publish", str(people), "--repo", "lab/secret"))
    assert "follow from a secret seed, and this folder has all of them" in sentence
    assert "lab/secret" not in server.ask("state")
