"""What a split's card says to the Hub: the gate before people's names, and metadata that are checked here.

The client's own `DatasetCardData` accepts any license, task and size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from idbench.errors import DataError
from idbench.splits.card import divided, size_category
from idbench.splits.manifest import Manifest

PROMISE: Final = "I will not try to find out who anybody in this data set is, to contact them, or to let others do so"

_GATE: Final[Mapping[str, Any]] = {
    "viewer": False,
    "extra_gated_heading": "This data set is about real people",
    "extra_gated_prompt": (
        "It lists names of real people, and whether they were in a model's training data, for research on privacy. "
        "People can be taken out of it at any time: whoever holds a copy uses the newest version, and deletes older "
        "ones within 30 days. Nothing of it may be used to identify, contact, judge or imitate anybody, and it may not "
        "be passed on."
    ),
    "extra_gated_fields": {
        "Name": "text",
        "Affiliation": "text",
        "Country": "country",
        "Purpose": {"type": "select", "options": ["Research", "Audit of a model", "Teaching", "Something else"]},
        "What I want to find out": "text",
        PROMISE: "checkbox",
        "I will use the newest version and delete older copies within 30 days of a new one": "checkbox",
    },
    "extra_gated_button_content": "Ask for access",
}

LICENSES: Final = frozenset(
    [
        "apache-2.0",
        "mit",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
        "cc",
        "cc0-1.0",
        "cc-by-2.0",
        "cc-by-2.5",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc-by-nc-2.0",
        "cc-by-nc-3.0",
        "cc-by-nc-4.0",
        "cc-by-nd-4.0",
        "cc-by-nc-nd-3.0",
        "cc-by-nc-nd-4.0",
        "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0",
        "cc-by-nc-sa-4.0",
        "cdla-sharing-1.0",
        "cdla-permissive-1.0",
        "cdla-permissive-2.0",
        "odbl",
        "odc-by",
        "pddl",
        "etalab-2.0",
        "gfdl",
        "gpl-3.0",
        "lgpl-3.0",
        "agpl-3.0",
        "unlicense",
        "wtfpl",
        "unknown",
        "other",
    ]
)
"""Licenses as the Hub spells them, those that data sets use."""

TASKS: Final = frozenset(
    [
        "zero-shot-image-classification",
        "image-classification",
        "feature-extraction",
        "image-feature-extraction",
        "zero-shot-classification",
        "text-classification",
        "tabular-classification",
        "image-to-text",
        "text-to-image",
        "visual-question-answering",
        "text-retrieval",
        "tabular-to-text",
        "other",
    ]
)
"""Task categories of the Hub that a split of people can have."""

TASK_IDS: Final = frozenset(["multi-class-image-classification", "multi-label-image-classification"])
"""Finer tasks of the Hub that a split of people can have."""

_VOCABULARY: Final[Mapping[str, frozenset[str]]] = {
    "annotations_creators": frozenset(
        ["found", "crowdsourced", "expert-generated", "machine-generated", "no-annotation", "other"]
    ),
    "language_creators": frozenset(["found", "crowdsourced", "expert-generated", "machine-generated", "other"]),
    "multilinguality": frozenset(["monolingual", "multilingual", "translation", "other"]),
    "task_ids": TASK_IDS,
}
_SOURCE = re.compile(r"original|extended(\|.+)?|[\w.-]+(/[\w.-]+)?", re.ASCII)
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]+)*")


def gated_card(card: str) -> str:
    """A card with the gate: a prompt, fields, a promise not to identify anybody, and no preview of the tables.

    What the card says of its own stands; what it lacks is added.

    Raises:
        DataError: it does not begin with YAML.
    """
    from huggingface_hub.utils import yaml_dump

    metadata, text = divided(card)
    own = card_metadata(card)
    missing = {key: value for key, value in _GATE.items() if key not in own}
    written = yaml_dump(missing) if missing else ""
    return f"---\n{metadata}{written}---\n{text}"


def card_metadata(card: str) -> dict[str, Any]:
    """The YAML of a card.

    Raises:
        DataError: it is not YAML.
    """
    from huggingface_hub import DatasetCard

    try:
        return dict(DatasetCard(card, ignore_metadata_errors=False).data.to_dict())  # type: ignore[no-untyped-call]
    except Exception as error:  # the YAML parser's errors are its own
        raise DataError(
            f"The card's metadata cannot be read: {type(error).__name__}.", hint="Repair README.md."
        ) from error


def is_gated(metadata: Mapping[str, Any]) -> bool:
    """Whether a card asks for a promise, and shows no names to those who have not given it."""
    fields = metadata.get("extra_gated_fields")
    boxes = fields.values() if isinstance(fields, dict) else ()
    return "checkbox" in boxes and bool(metadata.get("extra_gated_prompt")) and metadata.get("viewer") is False


def card_faults(metadata: Mapping[str, Any], manifest: Manifest) -> Iterator[str]:
    """Faults that the Hub would accept and readers could not use, a sentence each.

    Args:
        metadata: the card's YAML.
        manifest: of the split that the card belongs to.
    """
    for license_id in _listed(metadata, "license"):
        if license_id not in LICENSES:
            yield f"The Hub knows no license {license_id!r}."
    for task in _listed(metadata, "task_categories"):
        if task not in TASKS:
            yield f"The Hub knows no task category {task!r} for such data."
    for language in _listed(metadata, "language"):
        if not _LANGUAGE.fullmatch(language):
            yield f"{language!r} is not the code of a language."
    for field, words in _VOCABULARY.items():
        for word in _listed(metadata, field):
            if word not in words:
                yield f"The Hub knows no {field} {word!r}."
    for source in _listed(metadata, "source_datasets"):
        if not _SOURCE.fullmatch(source):
            yield f"{source!r} is not a source of data for the Hub: write original, extended or a data set's name."
    sizes, wanted = _listed(metadata, "size_categories"), size_category(manifest)
    if sizes and sizes != [wanted]:
        yield f"Size {', '.join(sizes)}, but the largest table has {max(manifest.rows_here.values()):,} rows."


def _listed(metadata: Mapping[str, Any], field: str) -> list[str]:
    """The words of a field, which may be one word or a list of them; what is no word is shown as it is written."""
    value = metadata.get(field) or []
    values = value if isinstance(value, (list, tuple)) else [value]
    return [each if isinstance(each, str) else repr(each) for each in values]
