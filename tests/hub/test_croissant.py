"""Croissant metadata: the reference reader takes them without a complaint and reads the tables through them."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import mlcroissant
import pytest

from idbench.splits import load_split
from idbench.splits.croissant import CROISSANT_FILE, write_croissant
from idbench.splits.manifest import read_manifest
from idbench.storage import sha256_file


@pytest.fixture(scope="module")
def folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = Path(shutil.copytree(tiny, tmp_path_factory.mktemp("croissant") / "split"))
    write_croissant(copy, read_manifest(copy))
    return copy


def test_the_reference_reader_accepts_it(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        dataset = mlcroissant.Dataset(jsonld=str(folder / CROISSANT_FILE))
    # Without a date the same split is the same publication, whenever it is made.
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warning.count("recommended") == 1
    assert "datePublished" in warning
    assert dataset.metadata.name == "avatars-tiny"
    assert {record_set.name for record_set in dataset.metadata.record_sets} == set(read_manifest(folder).rows)


def test_the_reference_reader_reads_the_tables(folder: Path) -> None:
    dataset, split = mlcroissant.Dataset(jsonld=str(folder / CROISSANT_FILE)), load_split(str(folder))
    labels = list(dataset.records("labels"))
    assert len(labels) == split.manifest.rows["labels"]
    members = {row["labels/identity"].decode() for row in labels if row["labels/member"]}
    assert members <= {identity.id for identity in split.identities}
    people = {row["identities/identity"].decode(): row for row in dataset.records("identities")}
    first = split.identities[0]
    assert people[first.id]["identities/name"].decode() == first.name
    assert tuple(photo.decode() for photo in people[first.id]["identities/photos"]) == first.photos


def test_the_license_is_one_that_can_be_looked_up(folder: Path) -> None:
    card = folder / "README.md"
    text = card.read_text()
    own = "https://example.org/terms"
    for license_id, more, sentence in (
        ("cc0-1.0", "", "https://creativecommons.org/publicdomain/zero/1.0/"),
        ("other", f"license_name: terms\nlicense_link: {own}\n", own),
        ("other", "license_name: terms\n", "terms"),
    ):
        card.write_text(text.replace("license: cc0-1.0\n", f"license: {license_id}\n{more}"))
        write_croissant(folder, read_manifest(folder).model_copy(update={"license": license_id}))
        assert mlcroissant.Dataset(jsonld=str(folder / CROISSANT_FILE)).metadata.license == [sentence]
    card.write_text(text)
    write_croissant(folder, read_manifest(folder))


def test_hashes_are_those_of_the_files(folder: Path) -> None:
    described = json.loads((folder / CROISSANT_FILE).read_text())
    assert len(described["distribution"]) == len(read_manifest(folder).rows)
    for file in described["distribution"]:
        assert file["sha256"] == sha256_file(folder / file["contentUrl"])
    table = folder / "data" / "names.parquet"
    table.write_bytes(table.read_bytes() + b"x")
    with pytest.raises(mlcroissant.GenerationError) as caught:
        list(mlcroissant.Dataset(jsonld=str(folder / CROISSANT_FILE)).records("names"))
    assert "is not identical with the reference" in str(caught.value.__cause__)
