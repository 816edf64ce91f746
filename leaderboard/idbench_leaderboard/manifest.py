"""The manifest of a built board: what tells a board from any other folder. Read without pandas."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, cast

from idbench.errors import DataError, RecordError
from idbench.results.reading import parse_json, read_regular

REFERENCE: Final = Path(__file__).parent / "reference"
"""The board that is shown when none is given."""

BOARD_VERSION: Final = 4
_READABLE: Final = (3, BOARD_VERSION)
"""Version 3 kept the columns beyond the diagonal of `joint`, too; nobody reads them."""
MANIFEST: Final = "manifest.json"
ABOUT: Final = "about.json"
RANKS: Final = "ranks.parquet"
SAMPLES: Final = "samples.parquet"
TABLES: Final = ("entries", "rates", "bins", "curves", "histograms", "joint", "ranks", "runs", "pools", "people")
_LARGEST: Final = 64 << 20
REBUILD: Final = "Build it again: `bench leaderboard build results --out FOLDER`."


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of the board in a folder.

    Raises:
        DataError: it is not a board, is of another version, damaged or incomplete.
    """
    file = path / MANIFEST
    if not file.exists():
        raise DataError(f"{path} holds no board: there is no {MANIFEST}.", hint=REBUILD)
    try:
        manifest = parse_json(read_regular(file, _LARGEST))
        found, names = manifest["board_version"], set(manifest["files"])
    except (RecordError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} cannot be read: {error}.", hint=REBUILD) from error
    if found not in _READABLE:
        versions = " and ".join(map(str, _READABLE))
        raise DataError(f"{path} is a board of version {found}; this idbench reads {versions}.", hint=REBUILD)
    names |= {f"{table}.parquet" for table in TABLES}
    missing = sorted(name for name in names if not (path / name).exists())
    if missing:
        raise DataError(f"The board {path} is incomplete: {', '.join(missing)} missing.", hint=REBUILD)
    return cast(dict[str, Any], manifest)
