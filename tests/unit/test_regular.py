"""Files that are not files: every reader that a person can point at something refuses pipes, devices and folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.irregular import fifo, folder, link_to_device

from idbench.captions.files import ReadOptions
from idbench.captions.rows import read_rows
from idbench.captions.tables import read_parquet
from idbench.captions.text import read_csv, read_json_lines, read_tsv
from idbench.captions.webdataset import read_webdataset
from idbench.errors import IdbenchError
from idbench.search.faces.model import load_classifier
from idbench.splits.manifest import MANIFEST_FILE, read_manifest
from idbench.splits.tables import open_table, table_path
from idbench.splits.withholding import read_secret
from idbench.storage import require_regular, sha256_file
from idbench.targets.checkpoints import read_state_dict
from idbench.targets.public_models import read_config

READERS: dict[str, Callable[[Path], object]] = {
    "weights.safetensors": read_state_dict,
    "weights.pt": read_state_dict,
    "config.json": read_config,
    "secret": read_secret,
    "faces.safetensors": load_classifier,
    "hashed": sha256_file,
    MANIFEST_FILE: lambda path: read_manifest(path.parent),
    "captions.tsv": lambda path: list(read_tsv(path, ReadOptions())),
    "captions.csv": lambda path: list(read_csv(path, ReadOptions())),
    "captions.jsonl": lambda path: list(read_json_lines(path, ReadOptions())),
    "captions.parquet": lambda path: list(read_parquet(path, ReadOptions())),
    "captions.tar": lambda path: list(read_webdataset(path, ReadOptions())),
}


@pytest.mark.timeout(30)  # a reader that waits for a pipe would wait for ever
@pytest.mark.parametrize("make", [fifo, link_to_device, folder])
@pytest.mark.parametrize("name", READERS)
def test_what_is_not_a_regular_file_is_refused_at_once(tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    make(tmp_path / name)
    with pytest.raises((IdbenchError, OSError)) as caught:
        READERS[name](tmp_path / name)
    assert "not a regular file" in str(caught.value) or make is folder


@pytest.mark.timeout(30)
def test_tables_of_splits_and_lists_of_pairs_refuse_pipes(tmp_path: Path) -> None:
    table = table_path(tmp_path, "photos")
    table.parent.mkdir(parents=True, exist_ok=True)
    fifo(table)
    with pytest.raises(IdbenchError, match="not a regular file"):
        open_table(tmp_path, "photos")
    fifo(tmp_path / "pairs.tsv")
    with pytest.raises(OSError, match="not a regular file"):
        list(read_rows(tmp_path / "pairs.tsv", lambda start: pytest.fail("it was opened"), {}))  # type: ignore[arg-type]


def test_links_to_regular_files_are_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    require_regular(tmp_path / "link")
