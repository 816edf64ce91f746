"""The folder is a Hugging Face data set: `datasets` loads every table, offline, and checks the card."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from idbench.errors import DataError
from idbench.splits import load_split
from idbench.splits.card import card_prose, complete_card, plain_prose
from idbench.splits.hub_card import card_metadata
from idbench.splits.manifest import read_manifest

LOAD = """
import sys
from datasets import load_dataset
folder = sys.argv[1]
from datasets import get_dataset_config_names
assert set(sys.argv[2:]) == set(get_dataset_config_names(folder)), get_dataset_config_names(folder)
for config in sys.argv[2:]:
    table = load_dataset(folder, config, split="full")
    print(config, len(table), ",".join(table.column_names))
photo = load_dataset(folder, "photos", split="full")[0]
print("picture", photo["image"].size, photo["image"].mode)
streamed = next(iter(load_dataset(folder, "photos", split="full", streaming=True)))
print("streamed", streamed["photo"] == photo["photo"])
print("first", len(load_dataset(folder, split="full")))
"""


def load(folder: Path, tables: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    # A process and a cache of its own: what `datasets` reads at import and keeps must not help.
    environment = dict(os.environ, HF_HOME=str(home), HF_HUB_OFFLINE="1")
    command = [sys.executable, "-c", LOAD, str(folder), *tables]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_every_table_loads(tiny: Path, tmp_path: Path) -> None:
    split = load_split(tiny)
    done = load(tiny, list(split.manifest.rows), tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "identities 72 identity,part,name,photos"
    assert "photos 216 photo,identity,sha256,image" in lines
    assert "picture (32, 32) RGB" in lines
    assert "streamed True" in lines
    assert lines[-1] == "first 72"  # the default table is that of the identities


def test_a_wrong_number_of_rows_is_an_error(copy: Path, tmp_path: Path) -> None:
    card = copy / "README.md"
    text = card.read_text()
    assert "num_examples: 100" in text
    card.write_text(text.replace("num_examples: 100", "num_examples: 99"))
    done = load(copy, list(read_manifest(copy).rows), tmp_path)
    assert done.returncode != 0
    assert "NonMatchingSplitsSizesError" in done.stderr


def test_the_card_says_what_people_need_to_know(tiny: Path) -> None:
    from huggingface_hub import DatasetCard

    card = DatasetCard.load(tiny / "README.md")
    assert card.data.license == "cc0-1.0"
    assert card.data.language == ["en"]
    assert card.data.size_categories == ["n<1K"]
    assert [config["config_name"] for config in card.data.to_dict()["configs"]] == list(read_manifest(tiny).rows)
    for heading in ("What is in it", "How the labels are known", "Who may use it", "Being taken out", "Limits"):
        assert f"## {heading}" in card.text
    assert "# avatars-tiny" in card.text


def test_the_card_agrees_with_the_world() -> None:
    from idbench.splits.avatars import SPEC
    from idbench.splits.avatars.captions import TEMPLATES

    prose = card_prose("avatars")
    for number in (SPEC.n_test, SPEC.n_candidates, SPEC.n_background, SPEC.n_background * SPEC.background_pictures):
        assert f"{number:,}" in prose
    assert f"{SPEC.n_calibration} calibration identities, {SPEC.n_photos} attack photos each" in prose
    assert f"{len(TEMPLATES)} templates" in prose
    assert f"pool of {SPEC.n_first} and {SPEC.n_last} invented tokens" in prose
    assert "1, 5, 10, 25, 50 or 75 training pictures" in prose


CARDS = ("avatars", "lfw-injected", "cc3m-injected", "cc3m-idia", "laion-facescrub", "german-celebrities")


@pytest.mark.parametrize("name", CARDS)
def test_a_card_answers_what_a_stranger_asks(name: str) -> None:
    """In the folder of a split, and on the Hub, where no other page of this repository lies beside it."""
    prose = card_prose(name)
    for heading in (
        "What is in it",
        "How the labels are known",
        "How it was made",
        "Who may use it",
        "Being taken out",
    ):
        assert f"\n## {heading}" in prose, heading
    assert "\n## Limits\n" in prose
    links = re.findall(r"\]\(([^)]+)\)", prose)
    assert [link for link in links if not link.startswith("https://")] == []
    assert "license: other" not in prose or "license_name: " in prose


def test_what_somebody_adds_to_a_card_stays(tiny: Path) -> None:
    manifest = read_manifest(tiny)
    card = (tiny / "README.md").read_text()
    _, metadata, text = card.split("---\n", 2)
    edited = f"---\n{metadata}paperswithcode_id: avatars\n---\n{text}"
    again = complete_card(plain_prose(edited), manifest, tiny)
    assert card_metadata(again) == card_metadata(card) | {"paperswithcode_id": "avatars"}
    by_hand = edited.replace("size_categories:\n- n<1K\n", "size_categories: [n<1K]\n").replace("\n", "\r\n")
    assert complete_card(plain_prose(by_hand), manifest, tiny) == again


def test_a_card_without_metadata_is_one_sentence() -> None:
    for card in ("", "# A title\n", "---\nlicense: mit\n"):
        with pytest.raises(DataError, match="must begin with a YAML block"):
            plain_prose(card)


@pytest.mark.parametrize("name", ["nothing", "../pyproject"])
def test_a_missing_card_is_one_sentence(name: str) -> None:
    with pytest.raises(DataError, match="missing"):
        card_prose(name)
