"""Croissant metadata (mlcommons.org/croissant/1.0) of a split: files with their hashes, tables with typed columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from idbench.splits.card import read_card
from idbench.splits.hub_card import card_metadata
from idbench.splits.manifest import Manifest
from idbench.splits.tables import COLUMNS, table_path
from idbench.storage import sha256_file, write_text

CROISSANT_FILE: Final = "croissant.json"

_TYPES: Final = {
    "string": "sc:Text",
    "list": "sc:Text",
    "bool": "sc:Boolean",
    "int64": "sc:Integer",
    "float64": "sc:Float",
    "image": "sc:ImageObject",
}
_CONTEXT: Final[dict[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_LICENSES: Final = {
    "cc0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "cc-by-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "mit": "https://opensource.org/license/mit",
}


def write_croissant(folder: Path, manifest: Manifest) -> None:
    """Write `croissant.json` for the tables and the card that lie in a folder.

    Raises:
        DataError: the card's metadata cannot be read.
    """
    described = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": manifest.name,
        "version": f"{manifest.version}.0.0",
        "description": f"{manifest.title}. {manifest.description}",
        "license": _license(folder, manifest),
        "citeAs": f"{manifest.title}: the split {manifest.name}, version {manifest.version}, of idbench",
        "isLiveDataset": False,
        "distribution": [_file(folder, table) for table, rows in manifest.rows_here.items() if rows],
        "recordSet": [_record_set(table) for table, rows in manifest.rows_here.items() if rows],
    }
    write_text(folder / CROISSANT_FILE, json.dumps(described, indent=1, ensure_ascii=False) + "\n")


def _license(folder: Path, manifest: Manifest) -> str:
    """An address where there is one: of the terms that the card names, where they are nobody's standard ones."""
    if manifest.license != "other":
        return _LICENSES.get(manifest.license, manifest.license)
    card = card_metadata(read_card(folder))
    return str(card.get("license_link") or card.get("license_name") or manifest.license)


def _file(folder: Path, table: str) -> dict[str, Any]:
    path = table_path(folder, table)
    return {
        "@type": "cr:FileObject",
        "@id": f"{table}-file",
        "name": f"{table}-file",
        "contentUrl": path.relative_to(folder).as_posix(),
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": sha256_file(path),
    }


def _record_set(table: str) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": table,
        "name": table,
        "field": [_field(table, column, kind) for column, kind in COLUMNS[table].items()],
    }


def _field(table: str, column: str, kind: str) -> dict[str, Any]:
    source: dict[str, Any] = {"fileObject": {"@id": f"{table}-file"}, "extract": {"column": column}}
    if kind == "image":  # stored as `datasets` stores them: a structure of bytes and path
        source["transform"] = {"jsonPath": "bytes"}
    found: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"{table}/{column}",
        "name": column,
        "dataType": _TYPES[kind],
        "source": source,
    }
    return found | ({"repeated": True} if kind == "list" else {})
