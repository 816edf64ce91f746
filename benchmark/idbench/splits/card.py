"""The card of a split: prose from `data_cards/`, completed by the metadata that the Hugging Face Hub reads."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from idbench.errors import DataError
from idbench.splits.manifest import Manifest
from idbench.splits.tables import COLUMNS, table_path
from idbench.storage import read_bounded

HUB_SPLIT = "full"
"""The Hub's word for a table's only division; parts are a column, because cases of both are scored together."""

_LARGEST = 1 << 22  # bytes of a card

_FIELD = re.compile(r"^(?=[\w-]+:)", re.MULTILINE)  # where a field of the YAML block begins
_COMPLETED = ("size_categories:", "configs:", "dataset_info:")
_GATE = ("viewer:", "extra_gated_")  # a card's own ones stand before what completes it

_SIZES = (
    (1000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
)


def card_prose(name: str) -> str:
    """The text of `data_cards/NAME.md`, from the installed package or from the source tree.

    Raises:
        DataError: there is no such card.
    """
    package = files("idbench")
    for place in (package.joinpath("_data_cards"), Path(str(package)).parent.parent / "data_cards"):
        card = place.joinpath(f"{name}.md")
        if card.is_file():
            return card.read_text(encoding="utf-8")
    raise DataError(f"The card data_cards/{name}.md is missing.", hint="Install the package again.")


def read_card(folder: Path) -> str:
    """The README.md of a split's folder.

    Raises:
        DataError: it is not text in UTF-8.
        StorageError: it is missing, too large, or not a regular file.
    """
    try:
        return read_bounded(folder / "README.md", _LARGEST).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"The card {folder / 'README.md'} is not UTF-8.", hint="Save it as UTF-8.") from error


def complete_card(prose: str, manifest: Manifest, folder: Path) -> str:
    """The README.md of a split's folder: the prose's own metadata plus configs, features, sizes and row counts.

    Args:
        prose: Markdown that begins with a YAML block between two lines `---`.
        manifest: gives tables and rows.
        folder: holds the tables; their sizes on disk go into the card.
    """
    metadata, text = divided(prose)
    lines = [f"size_categories:\n- {size_category(manifest)}", "configs:"]
    full = {table: rows for table, rows in manifest.rows_here.items() if rows}  # `datasets` cannot open an empty table
    for table in full:
        lines += [f"- config_name: {table}", "  data_files:"]
        lines += [f"  - split: {HUB_SPLIT}", f"    path: data/{table}.parquet"]
        lines += ["  default: true"] if table == "identities" else []
    lines.append("dataset_info:")
    for table, rows in full.items():
        n_bytes = table_path(folder, table).stat().st_size
        lines += [f"- config_name: {table}", "  features:"]
        for column, kind in COLUMNS[table].items():
            lines += [f"  - name: {column}", "    list: string" if kind == "list" else f"    dtype: {kind}"]
        lines += ["  splits:", f"  - name: {HUB_SPLIT}", f"    num_bytes: {n_bytes}", f"    num_examples: {rows}"]
        lines += [f"  download_size: {n_bytes}", f"  dataset_size: {n_bytes}"]
    return "---\n" + metadata + "\n".join(lines) + "\n---\n" + text


def plain_prose(card: str) -> str:
    """What `complete_card` was given to make this card, with whatever somebody has added to its metadata since.

    Raises:
        DataError: the card does not begin with a YAML block.
    """
    metadata, text = divided(card)
    fields = _FIELD.split(metadata)
    first = next((i for i, field in enumerate(fields) if field.startswith(_COMPLETED)), len(fields))
    added = [field for field in fields[first:] if not field.startswith((*_COMPLETED, *_GATE))]
    return "---\n" + "".join(fields[:first] + added) + "---\n" + text


def divided(card: str) -> tuple[str, str]:
    """The YAML block of a card, and the text after it.

    Raises:
        DataError: the card does not begin with such a block.
    """
    parts = card.removeprefix("\ufeff").replace("\r\n", "\n").split("---\n", 2)
    if len(parts) != 3 or parts[0]:
        raise DataError("A card must begin with a YAML block between two lines '---'.", hint="Repair the card.")
    return parts[1], parts[2]


def size_category(manifest: Manifest) -> str:
    """The Hub's bucket for the number of rows, that of the largest table."""
    rows = max(manifest.rows_here.values())
    return next((name for limit, name in _SIZES if rows < limit), "1B<n<10B")
