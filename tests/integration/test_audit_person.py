"""`bench audit person` as an auditor types it: one report per question, and nothing that stays behind."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import Bench, refused

from idbench.people.inputs import Portfolio, read_portfolio, remarks_on
from idbench.splits import Split, load_split
from idbench.targets import resolve_target
from idbench.targets.fetch import fetch_target
from idbench.targets.tokenizing import Tokenizer, build_tokenizer

PROMPTS = ("{name}", "a photo of {name}", "a very long way of saying that this is a picture in which we see {name}")


@pytest.fixture(scope="module")
def avatars(cache: Path) -> Split:
    return load_split("avatars")


def known(split: Split, member: bool) -> int:
    """Somebody of the test part who is in many training pictures of avatars-a, or in none."""
    labels = split.labels("avatars-a")
    wanted = (labels.occurrences == 75) if member else ~labels.member
    return next(i for i in np.flatnonzero(wanted) if split.identities[int(i)].part == "test")


def photos_of(split: Split, who: int, folder: Path, count: int = 5) -> Path:
    folder.mkdir()
    for number, photo in enumerate(split.identities[who].photos[:count]):
        (folder / f"{number}.png").write_bytes(split.read_photo(photo))
    return folder


def test_a_member_and_a_stranger_are_judged_among_reference_people(
    bench: Bench, avatars: Split, cache: Path, tmp_path: Path
) -> None:
    inside, outside = known(avatars, True), known(avatars, False)
    photos = photos_of(avatars, inside, tmp_path / "in")
    (photos / "notes.txt").write_text("not a photo")
    (photos / "broken.jpg").write_bytes(b"\xff\xd8 cut off")
    shutil.copy(photos / "0.png", photos / "again.png")
    photos_of(avatars, outside, tmp_path / "out")
    name, other = avatars.identities[inside].name, avatars.identities[outside].name
    (tmp_path / "people.csv").write_text(f"name,photos\n{name},in\n{other},out\n", encoding="utf-8")
    quote = {"place": "0.tsv:1", "caption": "<script>alert(1)</script>"}
    found = {"name": name, "verdict": "mentioned", "occurrences": 2, "evidence": [quote]}
    (tmp_path / "search.json").write_text(json.dumps({"people": [found]}), encoding="utf-8")
    before = {path for path in cache.rglob("*") if path.is_file()}
    arguments = ("--people", "people.csv", "--target", "avatars-a", "-m", "cosine", "--most", "40")
    done = bench("audit", "person", *arguments, "--search", "search.json", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    member, stranger = answer["people"]
    assert member["verdict"] == "stands out"
    assert stranger["verdict"] == "does not stand out"
    assert "not a sign of absence" in stranger["summary"]
    for one in (member, stranger):
        assert "photographs, they may stand out among drawings" in one["summary"]
    assert "attacks tried" not in stranger["summary"]  # there was one
    assert member["search"] == "mentioned"
    assert stranger["search"] is None
    assert (member["references"], member["members"]) == (40, 40)
    rows = {row["person"]: row for row in answer["attacks"]}
    assert rows[name]["p"] == pytest.approx((1 + round(rows[name]["fpr"] * 40)) / 41)
    assert rows[name]["p"] >= rows[name]["smallest_p"] == pytest.approx(1 / 41)
    assert rows[name]["fpr_low"] <= rows[name]["fpr"] < rows[name]["fpr_high"]
    assert rows[name]["ratio_low"] > 1  # members score like this more often, whatever the interval
    assert rows[name]["control_p"] > 0.05  # not on a model that saw nobody
    assert rows[other]["control_p"] is None
    assert sorted(line.partition(":")[0] for line in member["unusable"]) == ["again.png", "broken.jpg", "notes.txt"]
    page = (tmp_path / "audit.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert not re.search(r'(src|href)="', page)  # it opens from disk
    for words in (
        "Absence is never proved",
        "A look-alike",
        "A namesake",
        "A famous face",
        "below 2.4 % can be claimed",
    ):
        assert words in page, words
    new = {path for path in cache.rglob("*") if path.is_file()} - before
    text = [path for path in new if name.encode() in path.read_bytes()]
    assert not text
    assert not [path for path in new if "pixel" in str(path) or "embeddings" in str(path)]


def test_given_reference_people_get_invented_names(bench: Bench, avatars: Split, tmp_path: Path) -> None:
    reference = tmp_path / "reference"
    reference.mkdir()
    for number in range(12):
        photos_of(avatars, number, reference / f"Nobody_{number}", 2)
    photos_of(avatars, 30, tmp_path / "one", 1)
    arguments = ("--name", "Mira Quellstein", "--photos", "one", "--target", "avatars-a", "-m", "cosine")
    done = bench("audit", "person", *arguments, "--reference", "reference", "--out", "r.html", "--most", "30")
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert "among 12 people" in shown or "of 12 reference people" in shown
    assert "no false-positive rate below 7.7 % can be claimed" in shown
    assert "There is one photo." in shown
    assert "among drawings" not in shown  # whoever gives reference people knows what they are
    assert "invented names and the photos in the folder reference" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_people_of_whom_nothing_is_certain_are_not_called_strangers(
    bench: Bench, avatars: Split, tmp_path: Path
) -> None:
    """A split whose labels somebody stated, and one that says nothing of the target's corpus."""
    people = tmp_path / "people"
    people.mkdir()
    rows = [f"{avatars.identities[i].name},{i % 2}" for i in range(12)]
    for number in range(12):
        photos_of(avatars, number, people / avatars.identities[number].name, 2)
    (tmp_path / "labels.csv").write_text("\n".join(["name,member", *rows]) + "\n", encoding="utf-8")
    done = bench("data", "new", "stated", "--faces", "people", "--labels", "labels.csv")
    assert done.returncode == 0, done.stderr
    photos_of(avatars, 30, tmp_path / "one", 1)
    arguments = ("--name", "Mira Quellstein", "--photos", "one", "-m", "cosine", "--split", "stated")
    for target in ("avatars-a", "avatars-b"):
        ended = bench("audit", "person", *arguments, "--target", target)
        assert "certainly not in the training data" in refused(ended)


def test_what_cannot_be_audited_is_said_before_anything_runs(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine.html").write_text("<p>my own page</p>")
    one = ("audit", "person", "--name", "Mira Quellstein", "--target", "avatars-a")
    assert "Nobody to audit" in refused(bench("audit", "person", "--target", "avatars-a"))
    assert "does not exist" in refused(bench(*one, "--photos", "nowhere"))
    assert "not clear whose photos" in refused(bench(*one, "--photos", "empty", "--photos", "empty"))
    assert "not a report written by idbench" in refused(bench(*one, "--out", "mine.html"))
    assert "no target called" in refused(bench("audit", "person", "--name", "A B", "--target", "avatars-x"))
    (tmp_path / "twice.csv").write_text("name\nMira Quellstein\nmira quellstein\n")
    assert "named twice" in refused(bench("audit", "person", "--people", "twice.csv", "--target", "avatars-a"))
    (tmp_path / "search.json").write_text("[]")
    assert "not the output of a search" in refused(bench(*one, "--search", "search.json"))
    assert not (tmp_path / "audit.html").exists()


def test_a_person_who_is_refused_is_named_in_the_report(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    arguments = ("--name", "Mira <end_of_text>", "--name", "Jon Ek", "--photos", "empty", "--photos", "empty")
    done = bench("audit", "person", *arguments, "--target", "avatars-a", "-m", "cosine")
    assert "None of the 2 people could be scored." in refused(done)
    shown = " ".join(done.stdout.split())
    assert "Mira <end_of_text>: not scored The name holds <end_of_text>" in shown
    assert "Jon Ek: not scored No photo in empty can be used." in shown
    assert "Jon Ek" in (tmp_path / "audit.html").read_text(encoding="utf-8")


def test_one_person_who_cannot_be_scored_fails_with_the_reason(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.jpg").write_bytes(b"no")
    one = ("audit", "person", "--name", "Jon Ek", "--target", "avatars-a", "-m", "cosine")
    done = bench(*one, "--photos", "bad", "--json")
    assert "Jon Ek could not be scored. No photo in bad can be used." in refused(done)
    (person,) = json.loads(done.stdout)["people"]
    assert person["verdict"] == "not scored"
    assert person["notes"] == []
    alone = refused(bench(*one))
    assert "No photos of Jon Ek were given, and cosine cannot do without." in alone
    blind = refused(bench(*one[:-1], "blind-names"))
    assert "blind-names never asks the model" in blind


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium prints here")
def test_the_report_is_printed(bench: Bench, tmp_path: Path) -> None:
    arguments = ("--name", "Mira", "--target", "avatars-a", "-m", "text-statistic", "--most", "20")
    for _ in range(2):  # a report of its own is replaced
        done = bench("audit", "person", *arguments, "--pdf", "audit.pdf")
        assert done.returncode == 0, done.stderr
    assert "The name has one part" in " ".join(done.stdout.split())
    assert (tmp_path / "audit.pdf").read_bytes()[:5] == b"%PDF-"


def test_a_sideways_photo_is_read_upright(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    upright = Image.fromarray(rng.integers(0, 255, size=(40, 60, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to see it upright
    upright.rotate(90, expand=True).save(tmp_path / "phone.png", exif=exif)
    (found,) = read_portfolio(tmp_path).pixels
    np.testing.assert_array_equal(found, np.asarray(upright))


def test_a_telephones_heic_is_read(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    shades = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3)
    picture = Image.fromarray(shades.astype(np.uint8))
    heif.from_pillow(picture).save(tmp_path / "phone.heic")
    found = read_portfolio(tmp_path)
    assert found.unusable == ()
    assert found.pixels[0].shape == (64, 64, 3)


def test_pictures_on_which_nobody_can_be_seen_are_not_used(tmp_path: Path) -> None:
    Image.new("RGB", (400, 300), "black").save(tmp_path / "pocket.png")
    dark = np.random.default_rng(1).integers(0, 4, size=(300, 400, 3), dtype=np.uint8)
    Image.fromarray(dark).save(tmp_path / "lens-cap.jpg")
    speckled = np.random.default_rng(0).integers(0, 255, size=(40, 9, 3), dtype=np.uint8)
    Image.fromarray(speckled).save(tmp_path / "icon.png")
    found = read_portfolio(tmp_path)
    assert found.files == ()
    assert found.unusable == (
        "icon.png: is 9 x 40 pixels, too small to show a face",
        "lens-cap.jpg: is of one colour throughout",
        "pocket.png: is of one colour throughout",
    )


@pytest.fixture(scope="module")
def tokenize(cache: Path) -> Tokenizer:
    files = fetch_target(resolve_target("avatars-a"))
    return build_tokenizer(files.spec, files.config["text_cfg"], files.merges, None)


def test_names_that_the_model_does_not_read_whole(tokenize: Tokenizer) -> None:
    def refusal(name: str) -> str:
        return remarks_on(name, None, Portfolio(), PROMPTS, tokenize).refusal

    assert refusal("Cedimund Dunuvary") == ""
    assert "longer than the model reads" in refusal("Maximiliana Theodora " * 20)
    for control in ("<end_of_text>", "<|endoftext|>", "<start_of_text>", "</s>", "[SEP]", "<pad>"):
        assert "tokenizer may take for the end" in refusal(f"Mira {control}"), control
    notes = remarks_on("Cedimund Dunuvary", None, Portfolio(), ("see " * 74 + "{name}",), tokenize).notes
    assert any("cut in 1 of 1 prompts" in note for note in notes)
    assert not any("cut" in note for note in remarks_on("Ed Li", None, Portfolio(), PROMPTS[:2], tokenize).notes)
