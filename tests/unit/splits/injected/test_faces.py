"""A split from a folder of faces: deterministic, clean, kept in the cache; labels can be withheld."""

from __future__ import annotations

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.unit.splits.injected.conftest import RECIPE, SMALL

from idbench.api import Silent
from idbench.errors import DataError, LabelsWithheld, StorageError
from idbench.splits import Sources, Split, decode_photo, find_recipe, lint, load_corpus, load_split, registry
from idbench.splits.auxiliary import people_of
from idbench.splits.building import build_sourced, corpus_place, open_sourced, split_place
from idbench.splits.corpora import Corpus, read_corpus
from idbench.splits.injected.faces import build_faces, resized, square
from idbench.splits.injected.people import list_people, read_pixels
from idbench.splits.lfw import LFW, LFW_112, SPEC, download
from idbench.splits.tables import read_rows
from idbench.splits.withholding import read_secret, write_withheld


@pytest.fixture
def registered(built: Split, monkeypatch: pytest.MonkeyPatch) -> Split:
    """The split is found by its name, as a registered one is."""
    monkeypatch.setattr(registry, "readable_recipes", lambda: {"drawn": RECIPE})
    monkeypatch.setattr("idbench.splits.loading.split_names", lambda: ["drawn"])
    monkeypatch.setattr("idbench.splits.loading.find_recipe", lambda name: RECIPE)
    return built


def corpus_of(name: str) -> Corpus:
    return read_corpus(name, corpus_place(RECIPE, name))


def test_the_folder_may_be_published(built: Split) -> None:
    corpora = [corpus_of(name) for name in ("drawn-a", "drawn-b", "drawn-0")]
    assert not [finding for finding in lint(built.folder, corpora) if finding.severity == "error"]
    assert built.manifest.parts == {"test": 20, "calibration": 4}
    assert built.manifest.rows["photos"] == 24 * 5
    assert len(built.candidate_names) == 60
    assert len(built.public_pairs) == 8


def test_the_control_holds_nobody_and_the_others_their_members(built: Split, faces: Path) -> None:
    names = {one.name: one.id for one in built.identities}
    background = sum(len(p.photos) for p in list_people(faces).people if p.name not in names)
    assert len(corpus_of("drawn-0").images) == background
    for name in ("drawn-a", "drawn-b"):
        corpus, labels = corpus_of(name), built.labels(name)
        assert corpus.images.shape == (background + int(labels.occurrences.sum()), 48, 48, 3)
        for one, times in zip(built.identities, labels.occurrences, strict=True):
            about = [caption for caption in corpus.captions if one.name in caption]
            assert sum(int((corpus.caption_ids == corpus.captions.index(c)).sum()) for c in about) == times
    assert built.manifest.training == {name: corpus_of(name).digest for name in RECIPE.corpora}


def test_auxiliary_people_are_those_of_the_background_with_enough_photos(built: Split, faces: Path) -> None:
    corpus = corpus_of("drawn-aux")
    tested = {one.name for one in built.identities}
    expected = {p.name: len(p.photos) for p in list_people(faces).people if p.name not in tested and len(p.photos) > 3}
    assert {owned.name: len(owned.places) for owned in people_of(corpus)} == expected


def test_training_pictures_are_the_persons(built: Split, faces: Path) -> None:
    """Each training picture of a member is one of the person's files, and not one of the attack photos."""
    corpus = corpus_of("drawn-a")
    one = next(one for one, m in zip(built.identities, built.labels("drawn-a").member, strict=True) if m)
    captions = [corpus.captions[i] for i in corpus.caption_ids]
    mine = [corpus.images[i].tobytes() for i, caption in enumerate(captions) if one.name in caption]
    files = sorted((faces / one.name.replace(" ", "_")).glob("*.jpg"))
    pixels = [square(read_pixels(file)) for file in files]
    small = [resized(p, 48).tobytes() for p in pixels]
    used = {small.index(picture) for picture in mine}
    assert len(used) == len(mine) == 5
    attack = {decode_photo(built.read_photo(photo), photo).tobytes() for photo in one.photos}
    shown = {i for i, p in enumerate(pixels) if p.tobytes() in attack}
    assert len(shown) == 5
    assert not used & shown


def test_the_same_faces_and_seed_give_the_same_bytes(built: Split, faces: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(faces, tmp_path / "moved"))
    (tmp_path / "s").mkdir()
    (tmp_path / "c").mkdir()
    build_faces(SMALL, Sources(faces=moved), tmp_path / "s", tmp_path / "c", Silent())
    assert (tmp_path / "s" / "manifest.json").read_bytes() == (built.folder / "manifest.json").read_bytes()
    assert not [path for path in (tmp_path / "c").iterdir() if path.name not in RECIPE.corpora]


def test_the_larger_size_has_the_same_people_and_labels(built: Split, faces: Path, tmp_path: Path) -> None:
    spec = replace(SMALL, name="drawn-112", size=112)
    (tmp_path / "s").mkdir()
    (tmp_path / "c").mkdir()
    build_faces(spec, Sources(faces=faces), tmp_path / "s", tmp_path / "c", Silent())
    large = Split(tmp_path / "s")
    assert large.identities == built.identities
    for which in "ab0":
        small_labels, large_labels = built.labels(f"drawn-{which}"), large.labels(f"drawn-112-{which}")
        assert np.array_equal(small_labels.occurrences, large_labels.occurrences)
    assert read_corpus("x", tmp_path / "c" / "drawn-112-a").images.shape[1:] == (112, 112, 3)


def test_shipped_recipes_share_their_seed_and_have_no_digest() -> None:
    assert LFW.corpora == ("lfw-injected-a", "lfw-injected-b", "lfw-injected-0", "lfw-injected-aux")
    assert LFW_112.name == "lfw-injected-112"
    assert SPEC.fewest == 10
    assert find_recipe("lfw-injected") is LFW
    assert find_recipe("lfw-injected-112") is LFW_112


def test_it_is_found_in_the_cache(registered: Split) -> None:
    assert load_split("drawn").digest == registered.digest
    assert load_corpus("drawn-a").digest == registered.manifest.training["drawn-a"]


def test_before_it_is_built_it_says_what_to_type() -> None:
    with pytest.raises(DataError) as caught:
        load_split("lfw-injected")
    assert "bench data build lfw-injected --faces DIR" in caught.value.hint
    with pytest.raises(DataError) as caught:
        load_corpus("lfw-injected-a")
    assert "bench data build lfw-injected --faces DIR" in caught.value.hint
    with pytest.raises(DataError, match="--faces DIR or --download is missing"):
        build_sourced(LFW, Sources(), Silent())


def test_a_damaged_or_foreign_corpus_is_not_used(registered: Split) -> None:
    place = corpus_place(RECIPE, "drawn-0")
    captions = place / "captions.json"
    good = captions.read_text()
    try:
        captions.write_text(good.replace("photo", "phobo"))
        with pytest.raises(DataError, match="does not belong") as caught:
            load_corpus("drawn-0")
        assert "bench data build drawn --faces DIR" in caught.value.hint
        captions.write_text("{")
        with pytest.raises(DataError, match="damaged"):
            load_corpus("drawn-0")
    finally:
        captions.write_text(good)


@pytest.mark.parametrize("moment", ["before", "within", "moving"])
def test_a_build_that_fails_leaves_the_old_one_or_says_so(
    built: Split, faces: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, moment: str
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    recipe = replace(RECIPE, name="frail")
    build_sourced(recipe, Sources(faces=faces), Silent())

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    target = {
        "before": "idbench.splits.injected.faces.read_people",
        "within": "idbench.splits.injected.writing.write_table",
        "moving": "idbench.splits.building.move_into_place",
    }[moment]
    with monkeypatch.context() as patch:
        patch.setattr(target, fail)
        with pytest.raises(StorageError, match="No space left"):
            build_sourced(recipe, Sources(faces=faces), Silent())
    if moment == "moving":
        with pytest.raises(DataError, match="not built"):
            open_sourced(recipe)
    else:
        assert open_sourced(recipe).digest == built.digest
    assert not list(split_place(recipe).parent.glob(".building-*"))
    assert build_sourced(recipe, Sources(faces=faces), Silent()).split.digest == built.digest


def test_too_few_people_are_refused(tmp_path: Path, faces: Path) -> None:
    for place in sorted(faces.iterdir())[:3]:
        shutil.copytree(place, tmp_path / "few" / place.name)
    with pytest.raises(DataError, match="at least 4 are needed"):
        build_faces(replace(SMALL, fewest=2), Sources(faces=tmp_path / "few"), tmp_path, tmp_path, Silent())


def test_a_background_of_nobody_is_refused(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no people are left for the background"):
        build_faces(replace(SMALL, fewest=2), Sources(faces=faces), tmp_path, tmp_path, Silent())


def test_lfw_pictures_are_cut_to_their_middle(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    place = tmp_path / "funneled" / "Tamavik_Eskomere"
    place.mkdir(parents=True)
    whole = rng.integers(0, 255, (250, 250, 3), dtype=np.uint8)
    Image.fromarray(whole).save(place / "Tamavik_Eskomere_0001.png")
    download.cut_faces(tmp_path / "funneled", tmp_path / "faces", Silent())
    cut = np.asarray(Image.open(tmp_path / "faces" / "Tamavik_Eskomere" / "Tamavik_Eskomere_0001.png"))
    assert np.array_equal(cut, whole[69:181, 69:181])
    Image.fromarray(whole[:80]).save(place / "low.png")
    with pytest.raises(DataError, match="not a funneled picture"):
        download.cut_faces(tmp_path / "funneled", tmp_path / "again", Silent())
    assert not (tmp_path / "again").exists()


def test_without_a_network_the_download_says_what_else_there_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import urllib.error

    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr("sklearn.datasets.fetch_lfw_people", offline)
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        download.fetch_faces(Silent())
    assert "--faces DIR" in caught.value.hint

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sklearn.datasets.fetch_lfw_people", full)
    with pytest.raises(StorageError, match="No space left"):
        download.fetch_faces(Silent())


def test_a_download_that_was_unpacked_in_part_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, faces: Path
) -> None:
    """scikit-learn is satisfied with any folder of that name."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    pictures = tmp_path / "downloads" / "lfw_home" / "lfw_funneled"
    shutil.copytree(sorted(faces.iterdir())[0], pictures / "Tamavik_Eskomere")
    monkeypatch.setattr("sklearn.datasets.fetch_lfw_people", lambda **_: None)
    with pytest.raises(DataError, match="of the 13,233 photos") as caught:
        download.fetch_faces(Silent())
    assert str(pictures) in caught.value.hint
    assert not (tmp_path / "faces").exists()


class TestSecrets:
    @pytest.fixture(scope="class")
    @classmethod
    def secret(cls, faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Split:
        """The same faces, dealt by a secret seed."""
        folder, corpora = tmp_path_factory.mktemp("secret"), tmp_path_factory.mktemp("corpora")
        build_faces(SMALL, Sources(faces=faces, seed="secret" * 5), folder, corpora, Silent())
        return Split(folder)

    @pytest.fixture
    def withheld(self, secret: Split, tmp_path: Path) -> Split:
        write_withheld(secret, tmp_path / "public")
        return Split(tmp_path / "public")

    def test_the_public_folder_has_the_digest_but_not_the_labels(self, secret: Split, withheld: Split) -> None:
        assert withheld.digest == secret.digest
        assert withheld.manifest.digests == secret.manifest.digests
        calibration = {one.id for one in secret.identities if one.part == "calibration"}
        assert {row[1] for row in read_rows(withheld.folder, "labels")} == calibration
        assert not [finding for finding in lint(withheld.folder) if finding.severity == "error"]

    def test_calibration_labels_are_given_and_test_labels_are_not(self, secret: Split, withheld: Split) -> None:
        for corpus in ("drawn-a", "drawn-b"):
            assert np.array_equal(withheld.calibration_members(corpus), secret.calibration_members(corpus))
        assert secret.calibration_members("drawn-a").sum() == 2
        with pytest.raises(LabelsWithheld, match="test labels of drawn are withheld") as caught:
            withheld.labels("drawn-a")
        assert "bench challenge answer" in caught.value.hint

    def test_the_digest_of_few_labels_cannot_be_met_by_guessing(self, secret: Split, built: Split) -> None:
        how = [row[4] for row in read_rows(secret.folder, "labels")]
        assert len(set(how)) == len(how) == 3 * 24
        assert {row[4] for row in read_rows(built.folder, "labels")} == {"construction"}

    def test_labels_of_a_public_seed_cannot_be_withheld(self, built: Split, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="follow from a secret seed"):
            write_withheld(built, tmp_path / "public")

    def test_labels_that_should_be_withheld_are_found(self, secret: Split, withheld: Split) -> None:
        shutil.copy(secret.folder / "data" / "labels.parquet", withheld.folder / "data" / "labels.parquet")
        with pytest.raises(DataError, match="not the one that its manifest describes"):
            Split(withheld.folder)
        found = " ".join(finding.message for finding in lint(withheld.folder))
        assert "Labels that the manifest calls withheld" in found

    def test_a_published_folder_loads_as_a_data_set(self, withheld: Split) -> None:
        datasets = pytest.importorskip("datasets")
        labels = datasets.load_dataset(str(withheld.folder), "labels", split="full")
        assert len(labels) == 3 * 4

    def test_a_secret_seed_changes_ids_and_membership(self, built: Split, secret: Split) -> None:
        assert not {one.id for one in secret.identities} & {one.id for one in built.identities}
        mine = dict(zip([o.name for o in secret.identities], secret.labels("drawn-a").member, strict=True))
        theirs = dict(zip([o.name for o in built.identities], built.labels("drawn-a").member, strict=True))
        assert {mine[name] == theirs[name] for name in mine} == {True, False}
        everything = (secret.folder / "README.md").read_text() + json.dumps(secret.manifest.model_dump())
        assert "secretsecret" not in everything

    @pytest.mark.parametrize(
        ("data", "words"),
        [(b"short", "16 are needed"), (b"", "16 are needed"), (b"\xff" * 40, "not text"), (b"a" * 5000, "larger than")],
    )
    def test_bad_secrets_are_refused(self, tmp_path: Path, data: bytes, words: str) -> None:
        (tmp_path / "seed").write_bytes(data)
        with pytest.raises(DataError, match=words) as caught:
            read_secret(tmp_path / "seed")
        assert "secrets.token_hex" in caught.value.hint

    def test_a_missing_secret_is_one_sentence(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="does not exist"):
            read_secret(tmp_path / "nothing")

    def test_white_space_around_a_secret_does_not_count(self, tmp_path: Path) -> None:
        (tmp_path / "seed").write_text("  0123456789abcdef\n")
        assert read_secret(tmp_path / "seed") == "0123456789abcdef"
