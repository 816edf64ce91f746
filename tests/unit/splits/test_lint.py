"""The linter finds what was damaged on purpose, and nothing in a good folder."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from idbench.splits import Corpus, LintFinding, decode_photo, encode_png, lint, load_corpus, load_split
from idbench.splits.duplicates import NEAR, near_pairs, signature, signatures
from idbench.splits.manifest import MANIFEST_FILE, PHOTO_LIMIT
from idbench.splits.retractions import retract_in_folder
from idbench.splits.tables import Row, table_path

Rewrite = Callable[[str, Callable[[list[Row]], Sequence[Row]]], None]


def found(folder: Path) -> str:
    return "\n".join(f"{finding.severity} {finding.where}: {finding.message}" for finding in lint(folder))


def test_nothing_is_wrong_with_the_built_split(tiny: Path) -> None:
    corpora = [load_corpus(name) for name in ("avatars-tiny-a", "avatars-tiny-b", "avatars-tiny-0")]
    assert lint(tiny, corpora) == []


def changed(index: int, **columns: object) -> Callable[[list[Row]], list[Row]]:
    """Row `index` with some columns, given as `c0=value`, replaced."""

    def change(rows: list[Row]) -> list[Row]:
        row = list(rows[index])
        for column, value in columns.items():
            row[int(column[1:])] = value
        return [*rows[:index], tuple(row), *rows[index + 1 :]]

    return change


def photo_row(data: bytes) -> Callable[[list[Row]], list[Row]]:
    return changed(5, c2=hashlib.sha256(data).hexdigest(), c3=data)


GOOD = encode_png(np.full((32, 32, 3), 99, dtype=np.uint8))

DAMAGE: dict[str, tuple[str, Callable[[list[Row]], Sequence[Row]], str]] = {
    "identity twice": ("identities", lambda rows: [*rows, rows[0]], "identities: Rows that appear more than once"),
    "photo twice": ("photos", lambda rows: [*rows, rows[7]], "error photos: Rows that appear more than once"),
    "label twice": ("labels", lambda rows: [*rows, rows[7]], "error labels: Identities with more than one label"),
    "name twice": ("names", lambda rows: [*rows, rows[7]], "error names: Rows that appear more than once"),
    "two of one name": ("identities", lambda rows: changed(1, c2=rows[0][2])(rows), "Names that several identities"),
    "no name": ("identities", changed(1, c2="  "), "Identities without a name"),
    "unknown part": ("identities", changed(1, c1="train"), "Unknown parts: train"),
    "part sizes": ("identities", lambda rows: rows[1:], "the manifest says"),
    "no photos": ("identities", changed(1, c3=[]), "warning identities: Identities without photos"),
    "empty cell": ("identities", changed(1, c1=None), "error identities: The table has empty cells"),
    "photo missing": ("photos", lambda rows: rows[1:], "error photos: Photos that identities list and the table lacks"),
    "photo of another": ("photos", changed(1, c1="ffffffffffff"), "belong to another identity"),
    "shared photo": ("identities", lambda rows: changed(1, c3=rows[0][3])(rows), "Photos that several identities list"),
    "member without pictures": ("labels", changed(0, c2=True, c3=0), "contradict their number of occurrences"),
    "picture of a non-member": ("labels", changed(0, c2=False, c3=5), "contradict their number of occurrences"),
    "member of the control": ("labels", changed(-1, c2=True, c3=5), "Members of a control corpus"),
    "NaN": ("labels", changed(0, c5=float("nan")), "Confidences that are not in 0..1"),
    "confidence": ("labels", changed(0, c5=1.5), "Confidences that are not in 0..1"),
    "no source of a label": ("labels", changed(0, c4=""), "do not say how they are known"),
    "label of nobody": ("labels", changed(0, c1="ffffffffffff"), "Labels of unknown identities"),
    "label missing": ("labels", lambda rows: rows[1:], "Identities without a label in avatars-tiny-a"),
    "unknown corpus": ("labels", changed(0, c0="other"), "corpora that the manifest does not list: other"),
    "name not a candidate": ("names", lambda rows: rows[10:], "not among the candidates"),
    "empty photo": ("photos", photo_row(b""), "is empty"),
    "text for a photo": ("photos", photo_row(b"some text"), "not a picture"),
    "truncated photo": ("photos", photo_row(GOOD[:900]), "is damaged"),
    "huge photo": ("photos", photo_row(b"\0" * (PHOTO_LIMIT + 1)), "MiB are allowed"),
    "size of a photo": ("photos", photo_row(encode_png(np.zeros((16, 16, 3), dtype=np.uint8))), "not 32 x 32"),
    "hash of a photo": ("photos", changed(5, c3=GOOD), "differs from its recorded hash"),
    "picture of two": ("photos", lambda rows: photo_row(rows[40][3])(rows), "The same picture shows two identities"),
    "picture twice": ("photos", lambda rows: photo_row(rows[4][3])(rows), "The same picture twice for one identity"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_content_that_is_wrong_is_found(name: str, copy: Path, rewrite: Rewrite) -> None:
    table, change, message = DAMAGE[name]
    rewrite(table, change)
    assert message in found(copy)


def test_a_rewritten_table_is_itself_no_finding(copy: Path, rewrite: Rewrite) -> None:
    rewrite("photos", lambda rows: rows)
    assert found(copy) == ""


def test_a_name_that_occurs_nowhere_else_is_found(copy: Path, rewrite: Rewrite) -> None:
    place = next(i for i, identity in enumerate(load_split(copy).identities) if identity.part == "test")
    rewrite("identities", changed(place, c2="Unheard Ofborn"))
    rewrite("names", lambda rows: [*rows, ("Unheard Ofborn",)])
    assert "occur in no other name: Ofborn, Unheard" in found(copy)


def test_nothing_is_said_about_people_who_were_taken_out(copy: Path, rewrite: Rewrite) -> None:
    identity = load_split(str(copy)).identities[0]
    rewrite(
        "identities", lambda rows: [(*row[:2], *(("Zq Xy", []) if row[0] == identity.id else row[2:])) for row in rows]
    )
    rewrite("names", lambda rows: [("Zq Xy",) if row[0] == identity.name else row for row in rows])
    assert identity.id in found(copy)
    assert "Zq" in found(copy)
    retract_in_folder(copy, [identity.id])
    assert identity.id not in found(copy)
    assert "Zq" not in found(copy)


def test_a_changed_table_is_found_by_its_digest(copy: Path, rewrite: Rewrite) -> None:
    manifest = (copy / MANIFEST_FILE).read_text()
    rewrite("names", lambda rows: rows[::-1])
    (copy / MANIFEST_FILE).write_text(manifest)
    assert "error names: The content differs from the manifest's digest" in found(copy)


@pytest.mark.parametrize("table", ["identities", "labels", "photos", "names", "prompts", "public_pairs"])
@pytest.mark.parametrize("damage", ["gone", "truncated", "other"])
def test_files_that_are_wrong_are_found(table: str, damage: str, copy: Path) -> None:
    path = table_path(copy, table)
    if damage == "gone":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-30])
    else:
        shutil.copy(table_path(copy, "prompts" if table == "names" else "names"), path)
    findings = [finding for finding in lint(copy) if finding.where == table]
    assert findings
    assert findings[0].severity == "error"


def test_no_manifest_no_more_findings(copy: Path) -> None:
    (copy / MANIFEST_FILE).write_text("{}")
    assert [finding.where for finding in lint(copy)] == ["manifest.json"]
    (copy / MANIFEST_FILE).unlink()
    assert [finding.severity for finding in lint(copy)] == ["error"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("license: cc0-1.0", "license: mit", "License 'mit', but the manifest says 'cc0-1.0'"),
        ("num_examples: 216", "num_examples: 215", "promises 215 rows of 'labels'; there are 216"),
        ("config_name: labels\n  data", "config_name: lables\n  data", "no config for the table 'labels'"),
        ("pretty_name: Avatars\n", "", "does not say its pretty_name"),
        ("---\n", "---\n\t: [\n", "metadata cannot be read"),
        ("num_examples: 216", "num_examples: many", "promises many rows of 'labels'; there are 216"),
        ("num_examples: 216", "number: 216", "does not say how many rows the table 'labels' has"),
        ("dataset_info:\n", "dataset_info:\n- labels\nother:\n", "not say how many rows the table 'labels' has"),
        ("license: cc0-1.0", "license: {cc0-1.0: true}", "the manifest says 'cc0-1.0'"),
    ],
    ids=["license", "rows", "config", "field", "syntax", "no number", "no rows", "no list", "no word"],
)  # fmt: skip
def test_a_wrong_card_is_found(old: str, new: str, message: str, copy: Path) -> None:
    card = copy / "README.md"
    text = card.read_text()
    assert old in text
    card.write_text(text.replace(old, new, 1))
    assert message in found(copy)
    card.unlink()
    assert "error README.md" in found(copy)


def test_training_pictures_among_the_photos_are_found_even_compressed_again(tiny: Path) -> None:
    split = load_split(tiny)
    photo = split.identities[2].photos[1]
    file = BytesIO()
    Image.fromarray(decode_photo(split.read_photo(photo), photo)).save(file, "JPEG", quality=85)
    again = decode_photo(file.getvalue(), "again")
    good = load_corpus("avatars-tiny-a")
    spoilt = Corpus("spoilt", np.concatenate([good.images, again[None]]), good.caption_ids, good.captions, "")
    assert lint(tiny, [spoilt]) == [
        LintFinding("error", "photos", f"Photos that are in the training set spoilt: {photo}.")
    ]


@given(seed=st.integers(0, 10_000), n=st.integers(1, 40), m=st.integers(1, 40))
def test_near_pairs_are_those_of_all_comparisons(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    right = rng.uniform(0, 255, (m, 12)).astype(np.float32)
    left = right[rng.integers(0, m, n)] + rng.normal(0, NEAR, (n, 12)).astype(np.float32)
    distance = np.sqrt(((left[:, None].astype(np.float64) - right[None]) ** 2).mean(axis=2))
    expected = {(int(i), int(j)) for i, j in np.argwhere(distance < NEAR)}
    assert {(i, j) for i, j, _ in near_pairs(left, right)} == expected
    own = np.sqrt(((left[:, None].astype(np.float64) - left[None]) ** 2).mean(axis=2))
    assert {(i, j) for i, j, _ in near_pairs(left, left)} == {
        (int(i), int(j)) for i, j in np.argwhere(own < NEAR) if i < j
    }


def test_signatures_of_many_are_those_of_each() -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 48, 3), dtype=np.uint8)
    assert np.abs(signatures(images) - np.array([signature(image) for image in images])).max() <= 1
    odd = images[:, :31]
    assert np.array_equal(signatures(odd), np.array([signature(image) for image in odd]))
