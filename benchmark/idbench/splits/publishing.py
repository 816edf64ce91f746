"""From a split to what is published of it: without those who were taken out, gated where people are real, complete."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from idbench.api import Progress
from idbench.errors import DataError, HubError, IdbenchError
from idbench.hub import (
    Difference,
    Head,
    HubRef,
    Publication,
    compare,
    fetched_afresh,
    read_head,
    sets_with,
    snapshot_file,
    write_sums,
)  # fmt: skip
from idbench.splits.card import HUB_SPLIT, complete_card, plain_prose, read_card
from idbench.splits.croissant import write_croissant
from idbench.splits.hub_card import card_faults, card_metadata, gated_card, is_gated
from idbench.splits.injected.dealing import SALTED
from idbench.splits.lint import lint
from idbench.splits.loading import load_split
from idbench.splits.manifest import LARGEST_MANIFEST, MANIFEST_FILE, Manifest, manifest_text, read_manifest
from idbench.splits.recipe import SplitRecipe
from idbench.splits.registry import find_recipe, split_names
from idbench.splits.retractions import mentioned, retracted_here
from idbench.splits.split import Split
from idbench.splits.tables import COLUMNS, Row, open_table, read_groups, read_rows, table_path, write_table
from idbench.storage import copy_files, make_dir, read_bounded, write_text
from idbench.wording import counted
from idbench.workplace import workplace

_TAKEN_OUT = "\n## Taken out of this version\n"


@dataclass(frozen=True, slots=True)
class PublicationPlan:
    """What publishing a split would do.

    Args:
        publication: staged; its folder is gone after the block that made the plan.
        manifest: of what is published.
        head: of the repository as it is; None where there is none.
        difference: between the newest commit and what is published.
        published: the commit that holds this version already; None where nothing does.
        erased: identities whose rows the published tables lack.
    """

    publication: Publication
    manifest: Manifest
    head: Head | None
    difference: Difference
    published: HubRef | None
    erased: tuple[str, ...]


def reopened(ref: str, retracted: Collection[str], progress: Progress) -> Split:
    """A split without some people who may not be on any list of retractions yet."""
    split = load_split(ref, progress)
    return Split(split.folder, origin=split.origin, also_retracted={*split.retracted, *retracted})


@contextmanager
def planned(split: Split, repo: str, progress: Progress, *, private: bool) -> Iterator[PublicationPlan]:
    """Stage a split for a repository and check everything that can be checked before anything is sent.

    Args:
        split: to publish. Those who were taken out of what is published already are taken out of it as well, whichever
            repository of the same owner says so.
        repo: `ORG/NAME`.
        progress: receives progress reports.
        private: whether a repository that is made stays private.

    Raises:
        DataError: the split has faults, or holds what must not be published.
        HubError: the repository holds another split or a newer version, or cannot be asked.
    """
    head = read_head(repo)
    remote = _published_manifest(repo, head)
    if remote is not None and remote.name != split.manifest.name:
        raise HubError(
            f"{repo} holds the split {remote.name}, not {split.manifest.name}.", hint="Give each split its own."
        )
    gated = not is_fictional(split.manifest)
    _refuse_secrets(split, repo, gated, head.private if head else private)
    gone = {*split.retracted, *split.manifest.retracted, *(remote.retracted if remote else ())}
    gone |= _taken_out_beside(repo, split.manifest.name)
    gone |= retracted_here(split.manifest.name) & mentioned(split.folder, split.manifest)
    with workplace() as folder:
        manifest, erased = _stage(split, gone, remote, folder, gated)
        if remote is not None and manifest.version < remote.version:
            raise HubError(
                f"{repo} holds version {remote.version} of {manifest.name}; this is version {manifest.version}.",
                hint="Publish a newer version, or fetch what is there.",
            )
        _refuse_faults(folder, manifest, gated, progress)
        publication = Publication(folder, f"{manifest.name} version {manifest.version}", f"v{manifest.version}", gated)
        difference = compare(folder, head.files if head else {})
        yield PublicationPlan(
            publication, manifest, head, difference, _already(repo, head, publication, manifest), erased
        )


def is_fictional(manifest: Manifest) -> bool:
    """Whether a split is one that a registered recipe made of people who do not exist; all others are gated."""
    if manifest.name not in split_names():
        return False
    recipe = find_recipe(manifest.name)
    return isinstance(recipe, SplitRecipe) and recipe.fictional and recipe.digest in (None, manifest.digest)


def _already(repo: str, head: Head | None, publication: Publication, manifest: Manifest) -> HubRef | None:
    """The tagged commit that says the same: equal manifests mean equal data, whatever version of parquet wrote it."""
    tagged = head.tags.get(publication.tag) if head else None
    if tagged is None:
        return None
    there = HubRef(repo, tagged)
    return there if _manifest_at(there) == manifest else None


def _published_manifest(repo: str, head: Head | None) -> Manifest | None:
    if head is None or not head.files:
        return None
    if MANIFEST_FILE not in head.files:
        raise HubError(
            f"{repo} holds something that is not a split: {sorted(head.files)[0]}.", hint="Name a new repository."
        )
    return _manifest_at(HubRef(repo, head.commit))


def _taken_out_beside(repo: str, name: str) -> set[str]:
    """Who was taken out of a split that the owner of a repository published in another one.

    A machine that kept an old copy may never have heard of it. Other owners are not asked: anybody could claim there
    that everybody was taken out.
    """
    beside = sets_with(repo.partition("/")[0], MANIFEST_FILE)
    gone: set[str] = set()
    for other, commit in beside.items():
        if other == repo:
            continue
        found = _plain(snapshot_file(HubRef(other, commit), MANIFEST_FILE))
        if found.get("name") == name and isinstance(listed := found.get("retracted"), list):
            gone |= {str(identity) for identity in listed}
    return gone


def _plain(manifest: Path) -> Mapping[str, Any]:
    """A manifest as plain JSON, so that one of a version to come says who was taken out, too; empty for other files."""
    try:
        found = json.loads(read_bounded(manifest, LARGEST_MANIFEST))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _manifest_at(ref: HubRef) -> Manifest:
    return read_manifest(snapshot_file(ref, MANIFEST_FILE).parent)


def _refuse_secrets(split: Split, repo: str, gated: bool, private: bool) -> None:
    """Refuse test labels that follow from a secret, and faces of real people that everybody could fetch."""
    manifest = split.manifest
    how = {str(row[4]) for row in read_rows(split.folder, "labels")}
    if manifest.withheld is None and any(each.startswith(SALTED) for each in how):
        raise DataError(
            f"The labels of {manifest.name} follow from a secret seed, and this folder has all of them.",
            hint="Publish the folder without the test labels (bench data build --labels).",
        )
    if gated and manifest.rows["photos"] and not private:
        raise DataError(
            f"{manifest.name} holds {counted(manifest.rows['photos'], 'photo', 'photos')} that may show real people; "
            f"{repo} would pass them on.",
            hint="Publish addresses and hashes of photos instead, or keep the repository --private.",
        )


def _refuse_faults(folder: Path, manifest: Manifest, gated: bool, progress: Progress) -> None:
    # What a card leaves out is a warning while one works on it; what is published is complete.
    findings = lint(folder, progress=progress)
    errors = [each for each in findings if each.severity == "error" or each.where == "README.md"]
    if errors:
        more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
        raise DataError(
            f"The split cannot be published as it is: {errors[0].where}: {errors[0].message}{more}",
            hint="`bench data lint FOLDER` lists everything.",
        )
    if gated and not is_gated(_metadata(folder)):
        raise DataError(
            "The card shows names before anybody has promised anything.",
            hint="Leave viewer and extra_gated_* out of the card: publishing writes them.",
        )
    _load_with_datasets(folder, manifest)


def _metadata(folder: Path) -> dict[str, Any]:
    return card_metadata(read_card(folder))


def _stage(
    split: Split, gone: Collection[str], remote: Manifest | None, folder: Path, gated: bool
) -> tuple[Manifest, tuple[str, ...]]:
    """Write everything that is published into an empty folder; returns its manifest and who is missing from it."""
    held = [row for row in read_rows(split.folder, "identities") if row[0] in gone]
    erased = tuple(sorted(mentioned(split.folder, split.manifest) & set(gone)))
    retracted = tuple(sorted(gone))
    manifest = split.manifest.model_copy(update={"retracted": retracted})
    prose = plain_prose(read_card(split.folder))
    if erased:
        manifest = _without(split.folder, folder, manifest, set(erased), {str(row[2]) for row in held})
        manifest = manifest.model_copy(update={"version": _next_version(manifest, remote)})
        prose = _taken_out(prose, split.manifest, manifest)
    else:
        copy_files(split.folder / "data", make_dir(folder / "data"))
    card = complete_card(prose, manifest, folder)
    write_text(folder / "README.md", gated_card(card) if gated else card)
    write_text(folder / MANIFEST_FILE, manifest_text(manifest))
    write_croissant(folder, manifest)
    write_sums(folder)
    return manifest, erased


def _without(source: Path, folder: Path, manifest: Manifest, gone: set[str], names: set[str]) -> Manifest:
    """Write the tables without some people: no row that bears their id or names them."""
    if manifest.withheld is not None:
        raise DataError(
            f"{manifest.name} lacks labels that its digest stands for: nobody can be taken out of this folder.",
            hint="Take the person out of the complete folder, and write the one to publish from it.",
        )
    rows, digests, parts = dict(manifest.rows), dict(manifest.digests), dict(manifest.parts)
    for table in manifest.rows:
        file, path = open_table(source, table), table_path(source, table)
        groups = read_groups(file, list(COLUMNS[table]), path)
        kept = ([_stored(row) for row in group if not _concerns(table, row, gone, names)] for group in groups)
        rows[table], digests[table] = write_table(folder, table, kept)
    left = [row[1] for row in read_rows(folder, "identities")]
    parts.update({part: left.count(part) for part in parts})
    return manifest.model_copy(update={"rows": rows, "digests": digests, "parts": parts})


def _concerns(table: str, row: Row, gone: set[str], names: set[str]) -> bool:
    values = dict(zip(COLUMNS[table], row, strict=True))
    caption = str(values.get("caption", ""))
    return values.get("identity") in gone or values.get("name") in names or any(name in caption for name in names)


def _stored(row: Row) -> Row:
    return tuple(value["bytes"] if isinstance(value, dict) else value for value in row)


def _next_version(manifest: Manifest, remote: Manifest | None) -> int:
    """That of what is published, where it is the same; else the next one."""
    if remote is None:
        return manifest.version + 1
    if (remote.digests, remote.retracted) == (manifest.digests, manifest.retracted):
        return remote.version
    return max(manifest.version, remote.version) + 1


def _taken_out(prose: str, before: Manifest, after: Manifest) -> str:
    number = sum(before.parts.values()) - sum(after.parts.values())
    return (
        f"{prose.split(_TAKEN_OUT, 1)[0]}{_TAKEN_OUT}\n"
        f"This is version {after.version}. {counted(number, 'person', 'people')} of version {before.version} "
        f"{'was' if number == 1 else 'were'} taken out of it: no table has a row about them, and "
        f"numbers above are those of version {before.version}. `retracted` in "
        f"`{MANIFEST_FILE}` lists their ids, so that older copies leave them out too.\n"
    )


@dataclass(frozen=True, slots=True)
class VerifiedCopy:
    """A published split that was read back from an empty cache.

    Args:
        ref: pinned.
        manifest: of the split.
        files: how many.
        size: of all of them, bytes.
        photos: how many were decoded from their bytes and equal their hashes.
    """

    ref: HubRef
    manifest: Manifest
    files: int
    size: int
    photos: int


def verify_published(ref: HubRef, progress: Progress, against: Split | None = None) -> VerifiedCopy:
    """Fetch a published split into an empty cache and check every byte, every table and every photo.

    Args:
        ref: where; a tag or branch is looked up first.
        progress: receives progress reports.
        against: a split that it must have the content of.

    Raises:
        HubError: it cannot be fetched.
        DataError: something differs; the message says what.
    """
    with fetched_afresh(ref) as fresh:
        split = Split(fresh.folder, origin=fresh.ref)
        photos = [photo for identity in split.identities for photo in identity.photos]
        for photo in progress.track(photos, "Reading photos"):
            split.read_photo(photo)
        _load_with_datasets(fresh.folder, split.manifest)
        if faults := list(card_faults(_metadata(fresh.folder), split.manifest)):
            raise DataError(f"{fresh.ref}: README.md: {faults[0]}", hint="Publish a new version.")
        if against is not None and against.manifest.digest != split.manifest.digest:
            raise DataError(
                f"{fresh.ref} has other content than {against.folder}: digest {split.manifest.digest[:12]}, not "
                f"{against.manifest.digest[:12]}.",
                hint="Compare their versions.",
            )
        size = sum(file.size for file in fresh.files.values())
        return VerifiedCopy(fresh.ref, split.manifest, len(fresh.files), size, len(photos))


def _load_with_datasets(folder: Path, manifest: Manifest) -> None:
    """Load every table as any user would; the library itself compares features and counts with the card."""
    import datasets

    datasets.disable_progress_bars()
    with workplace() as empty:
        for table, rows in manifest.rows_here.items():
            if rows == 0:
                continue
            try:
                loaded = datasets.load_dataset(str(folder), table, split=HUB_SPLIT, cache_dir=str(empty))
            except IdbenchError:
                raise
            except Exception as error:
                text = " ".join(str(error).split())[:200]
                raise DataError(
                    f"datasets.load_dataset cannot load the table {table!r}: {type(error).__name__}: {text}.",
                    hint="The card must fit the tables.",
                ) from error
            if len(loaded) != rows:
                raise DataError(f"The table {table!r} loads with {len(loaded)} rows; the manifest says {rows}.")
