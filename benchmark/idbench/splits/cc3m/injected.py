"""`cc3m-injected`: the user's Conceptual Captions with people from the user's folder; every step can be repeated."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path

from idbench.api import Progress
from idbench.errors import DataError
from idbench.splits.card import card_prose
from idbench.splits.cc3m.background import Background, open_background
from idbench.splits.cc3m.fetch import fetch_pictures, forget
from idbench.splits.cc3m.filtering import filter_shards, index_file
from idbench.splits.cc3m.pairs import read_pairs
from idbench.splits.cc3m.people import CAPTIONS, captions_of, cast_people, encode_jpeg
from idbench.splits.cc3m.shards import EncodedPair, write_shards
from idbench.splits.cc3m.steps import Settings, StepReport, from_environment, once, save
from idbench.splits.injected.casting import Cast
from idbench.splits.injected.chance import hex_id, shuffled
from idbench.splits.injected.dealing import corpora_of, label_rows
from idbench.splits.injected.people import PeopleFolder, candidate_names, list_people, read_people
from idbench.splits.injected.writing import SplitDescription, photo_batches, write_split
from idbench.splits.manifest import PhotoFormat
from idbench.splits.recipe import Sources
from idbench.splits.tables import ROWS_PER_GROUP, Row
from idbench.storage import cache_dir, make_dir, sha256_bytes, sha256_file, storage_errors
from idbench.wording import counted

_FETCHES = 2  # a shard that is truncated again after a second fetch points to a failing disk


@dataclass(frozen=True, slots=True)
class InjectedSpec:
    """Everything about a full-size split but its sources.

    Args:
        name: of the split; its corpora are called NAME-a, NAME-b and NAME-0.
        version: counts from 1.
        title: one line for people.
        seed: the published label that seeds all random draws, unless a secret one is given.
        levels: training pictures of a member.
        n_candidates: names that an attacker considers possible.
        n_public: public pairs.
    """

    name: str
    version: int
    title: str
    seed: str
    levels: tuple[int, ...]
    n_candidates: int
    n_public: int

    @property
    def corpora(self) -> tuple[str, ...]:
        """Names of the training sets."""
        return tuple(corpus.name for corpus in corpora_of(self.name))


@dataclass(frozen=True, slots=True)
class WorkFolder:
    """Where a build keeps what it has done so far; everything below `root` can be made again."""

    root: Path

    @property
    def pairs(self) -> Path:
        """The usable rows of the list."""
        return self.root / "pairs.parquet"

    @property
    def fetched(self) -> Path:
        """Shards as img2dataset wrote them."""
        return self.root / "fetched"

    @property
    def index(self) -> Path:
        """What is usable in them."""
        return self.root / "index"

    def report(self, step: str) -> Path:
        """The report of a step."""
        return self.root / "reports" / f"{step}.json"


def work_folder_of(spec: InjectedSpec, pairs: Path, settings: Settings) -> WorkFolder:
    """The working folder for a list and the settings that decide what is fetched: one folder for each combination."""
    digest = sha256_file(pairs)
    made_from = f"{digest} {settings.picture_side} px, {settings.shard_pairs} pairs"
    return WorkFolder(cache_dir("full-size", spec.name, sha256_bytes(made_from.encode())[:16]))


def plan_injected(spec: InjectedSpec, sources: Sources) -> tuple[str, ...]:
    """What `build_injected` would do, a sentence for each step; nothing is fetched or written.

    Raises:
        DataError: a source is missing.
    """
    faces, pairs = _sources(spec, sources)
    settings = from_environment()
    places = work_folder_of(spec, pairs, settings)
    able = sum(len(person.photos) > settings.attack_photos for person in list_people(faces).people)
    done = {step: " (done before)" for step in ("pairs", "filter") if places.report(step).is_file()}
    return (
        f"1. check {pairs} and drop unusable and repeated rows: {places.pairs}{done.get('pairs', '')}",
        f"2. fetch the pictures with img2dataset ({settings.processes} processes, {settings.fetch_threads} threads "
        f"each, shorter side at most {settings.picture_side} px), going on where it stopped: {places.fetched}",
        f"3. drop empty and broken pictures and captions, fetch shards that were cut short again: {places.index}"
        f"{done.get('filter', '')}",
        f"4. deal {able} people with more than {settings.attack_photos} photos, of {faces}, to {spec.name}-a and "
        f"{spec.name}-b at random, with {', '.join(map(str, spec.levels))} training pictures",
        f"5. leave out background captions that name one of them, and write {', '.join(spec.corpora)} as shards of at "
        f"most {settings.shard_pairs:,} pairs (each as large as the background)",
        f"6. write the split with {settings.attack_photos} attack photos of each person, which no training set holds",
    )


def build_injected(
    spec: InjectedSpec, sources: Sources, split: Path, corpora: Path, progress: Progress
) -> tuple[str, ...]:
    """Build the split and its training sets (`SourcedRecipe.build`); a repeated call continues where the last stopped.

    Raises:
        DataError: a source is missing or cannot be used.
        IdbenchError: img2dataset is missing or failed.
        StorageError: no space or no permission; what was finished is kept.
    """
    faces, pairs = _sources(spec, sources)
    settings, seed = from_environment(), sources.seed or spec.seed
    people = read_people(faces, progress)  # before hours of fetching: what is wrong with the folder shows at once
    cast = cast_people(seed, spec.name, people.people, levels=spec.levels, attack_photos=settings.attack_photos)
    places = work_folder_of(spec, pairs, settings)
    reports = prepare_background(pairs, places, settings, progress)
    numbers = range(ceil(reports[0].counts["kept"] / settings.shard_pairs))
    background, named = open_background(places.fetched, places.index, numbers, [one.name for one in cast.identities])
    build = _Build(spec, seed, settings, cast, background, progress)
    training = build.write_corpora(places, corpora)
    build.write_folder(split, people, training)
    return (*people.notes, *_left_out(cast, settings), *map(str, (*reports, named)))


def prepare_background(
    pairs: Path, places: WorkFolder, settings: Settings, progress: Progress
) -> tuple[StepReport, ...]:
    """Check the list, fetch its pictures and look at each: steps 1 to 3, without whatever was done before.

    Raises:
        DataError: the list cannot be used, or shards are cut short every time.
        IdbenchError: img2dataset is missing or failed.
        StorageError: no space or no permission.
    """
    make_dir(places.root)
    listed = once(places.report("pairs"), sha256_file(pairs), lambda: read_pairs(pairs, places.pairs, progress))
    n = listed.counts["kept"]
    numbers = range(ceil(n / settings.shard_pairs))
    broken: list[int] = []
    for _ in range(_FETCHES):
        forget(places.fetched, broken)
        for number in broken:
            index_file(places.index, number).unlink(missing_ok=True)
        fetched = fetch_pictures(places.pairs, n, places.fetched, settings, progress)
        looked, broken = filter_shards(places.fetched, numbers, make_dir(places.index), settings, progress)
        if not broken:
            for report in (fetched, looked):  # for readers: both steps find out by themselves what is done
                save(places.report(report.step), "shards", report)
            return listed, fetched, looked
    raise DataError(
        f"{len(broken)} shards in {places.fetched} are cut short although they were fetched again (first "
        f"{broken[0]:05d}.tar).",
        hint="Check the disk, then repeat the command.",
    )


def _sources(spec: InjectedSpec, sources: Sources) -> tuple[Path, Path]:
    if sources.pairs is None:
        raise DataError(f"{spec.name} needs a list of captions and URLs.", hint="Name it with --pairs TSV.")
    if sources.faces is None:
        raise DataError(f"{spec.name} needs a folder of people, NAME/*.jpg.", hint="Name it with --faces DIR.")
    if not sources.pairs.is_file():
        raise DataError(f"There is no file {sources.pairs}.", hint="Name the list of pairs with --pairs TSV.")
    return sources.faces, sources.pairs


def _left_out(cast: Cast, settings: Settings) -> tuple[str, ...]:
    if not cast.background:
        return ()
    names = ", ".join(person.name for person in cast.background[:3])
    return (
        f"{counted(len(cast.background), 'person has', 'people have')} {settings.attack_photos} photos or fewer and "
        f"{'was' if len(cast.background) == 1 else 'were'} left out ({names}"
        f"{', ...' if len(cast.background) > 3 else ''}).",
    )


@dataclass(frozen=True, slots=True)
class _Build:
    spec: InjectedSpec
    seed: str
    settings: Settings
    cast: Cast
    background: Background
    progress: Progress

    def write_corpora(self, places: WorkFolder, corpora: Path) -> dict[str, str]:
        """Write the shards of all training sets; their digests by name.

        They are written into the working folder, where an interruption leaves them, and linked into the other.
        """
        digests = {}
        for name in self.spec.corpora:
            injected = self._injected(name)
            made_from = self._made_from(name, injected)
            folder = places.root / "corpora" / f"{name}-{made_from[:12]}"
            shards = write_shards(
                folder,
                name,
                len(self.background) + len(injected),
                partial(self._read, injected),
                seed=self.seed,
                shard_pairs=self.settings.shard_pairs,
                progress=self.progress,
            )
            digests[name] = shards.digest
            _link_files(folder, corpora / name)
            for other in folder.parent.glob(f"{name}-*"):  # of other people or another seed
                if other != folder:
                    shutil.rmtree(other, ignore_errors=True)
        return digests

    def _injected(self, corpus: str) -> list[tuple[Path, str]]:
        members = self.cast.members(corpus)
        return [pair for one in members for pair in zip(one.training, captions_of(one), strict=True)]

    def _made_from(self, corpus: str, injected: Sequence[tuple[Path, str]]) -> str:
        files = [f"{sha256_file(file)} {caption}" for file, caption in injected]
        sizes = sha256_bytes(self.background.sizes.tobytes() + self.background.offsets.tobytes())
        parts = [corpus, self.seed, sizes, str(len(self.background)), str(self.settings.shard_pairs), *files]
        return sha256_bytes("\n".join(parts).encode())

    def _read(self, injected: Sequence[tuple[Path, str]], numbers: Sequence[int]) -> list[EncodedPair]:
        """Pairs by number: the background's first, the injected ones after them."""
        n = len(self.background)
        common = iter(self.background.read([number for number in numbers if number < n]))
        side = self.settings.picture_side
        return [
            next(common) if number < n else (encode_jpeg(injected[number - n][0], side), injected[number - n][1])
            for number in numbers
        ]

    def write_folder(self, out: Path, people: PeopleFolder, training: dict[str, str]) -> None:
        """Write the split."""
        spec, identities = self.spec, self.cast.identities
        everybody = [person.name for person in people.people]
        names = candidate_names(self.seed, [one.name for one in identities], everybody, spec.n_candidates)
        tables: dict[str, Iterable[Sequence[Row]]] = {
            "identities": [[one.row for one in identities]],
            "labels": [label_rows(corpora_of(spec.name), identities, None if self.seed == spec.seed else self.seed)],
            "photos": photo_batches(
                self.progress.track(identities, f"writing {spec.name}", len(identities)),
                partial(encode_jpeg, side=self.settings.picture_side),
            ),
            "names": [[(name,) for name in names]],
            "prompts": [[(template,) for template in CAPTIONS]],
            "public_pairs": self._public_batches(),
        }
        about = SplitDescription(
            name=spec.name,
            version=spec.version,
            title=spec.title,
            license="other",
            description="People injected into Conceptual Captions; membership assigned at random.",
            source="a list of pairs and a folder of people of the user's own",
            corpora=corpora_of(spec.name),
            parts=self.cast.parts,
            photo_format=PhotoFormat(encoding="jpeg"),
            prose=card_prose("cc3m-injected").replace("# cc3m-injected\n", f"# {spec.name}\n", 1),
            training=training,
        )
        write_split(out, about, tables)

    def _public_batches(self) -> Iterator[list[Row]]:
        chosen = shuffled(f"{self.seed}/public", len(self.background))[: self.spec.n_public].tolist()
        for start in range(0, len(chosen), ROWS_PER_GROUP):
            places = chosen[start : start + ROWS_PER_GROUP]
            yield [
                (hex_id(f"{self.seed}/public/{place}", 16), caption, sha256_bytes(data), data)
                for place, (data, caption) in zip(places, self.background.read(places), strict=True)
            ]


def _link_files(source: Path, target: Path) -> None:
    """Link the files of one folder into another; copy them where the file system has no links."""
    make_dir(target)
    with storage_errors(target):
        for file in sorted(source.iterdir()):
            if file.name.startswith("."):
                continue  # what a kill left half-written
            try:
                os.link(file, target / file.name)
            except OSError:  # another disk, or one without links
                shutil.copyfile(file, target / file.name)
