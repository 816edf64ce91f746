"""Worlds for the tests of splits: the tiny one in a folder of its own, and copies that may be damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from idbench.api import Silent
from idbench.splits.avatars import TINY
from idbench.splits.card import complete_card
from idbench.splits.manifest import MANIFEST_FILE, Manifest, read_manifest
from idbench.splits.tables import COLUMNS, Row, open_table, read_groups, table_path, write_table

Rewrite = Callable[[str, Callable[[list[Row]], Sequence[Row]]], None]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny world's folder; tests must not change it."""
    folder = tmp_path_factory.mktemp("tiny")
    TINY.build(folder, Silent())
    return folder


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the tiny world that a test may damage."""
    return Path(shutil.copytree(tiny, tmp_path / "split"))


@pytest.fixture
def rewrite(copy: Path) -> Rewrite:
    """Changes the rows of a table of the copy and makes manifest and card agree: only the content is wrong then."""

    def apply(table: str, change: Callable[[list[Row]], Sequence[Row]]) -> None:
        file, path = open_table(copy, table), table_path(copy, table)
        rows = [row for group in read_groups(file, list(COLUMNS[table]), path) for row in group]
        rows = [tuple(value["bytes"] if isinstance(value, dict) else value for value in row) for row in rows]
        count, digest = write_table(copy, table, [list(change(rows))])
        manifest = read_manifest(copy)
        manifest = manifest.model_copy(
            update={"rows": manifest.rows | {table: count}, "digests": manifest.digests | {table: digest}}
        )
        save(copy, manifest)

    return apply


def save(folder: Path, manifest: Manifest) -> None:
    """Write a manifest and the card that fits it."""
    (folder / MANIFEST_FILE).write_text(manifest.model_dump_json())
    prose = "---\npretty_name: Damaged\nlicense: cc0-1.0\nlanguage:\n- en\ntask_categories:\n- other\n---\n# Damaged\n"
    (folder / "README.md").write_text(complete_card(prose, manifest, folder))
