"""`bench data search` and `bench data face-classifier`: is a person already in a corpus?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from idbench.cli import console, options, text
from idbench.errors import IdbenchError
from idbench.escaping import line
from idbench.progress import Progress
from idbench.search.faces import Architecture, Crop
from idbench.wording import counted

if TYPE_CHECKING:
    from idbench.captions import CorpusFiles, Rules, Sought
    from idbench.search.clip import Clip
    from idbench.search.counting import CaptionSearch
    from idbench.search.neighbours import NeighbourSource
    from idbench.search.neighbours.recognition import Near, Portraits
    from idbench.search.report import PersonReport
    from idbench.splits import Split

faces = typer.Typer(help="Train the classifier that looks for people among neighbours.", no_args_is_help=True)

_QUOTE = 60  # characters of a caption in the table
_NAMED = 5  # files that one sentence names


@dataclass(frozen=True, slots=True)
class _People:
    """The people to search for, with their photos by identity."""

    sought: list[Sought]
    split: Split | None
    folder: Path | None


@dataclass(frozen=True, slots=True)
class _Nearness:
    """How neighbours are searched; every field as on the command line."""

    index: Path | None
    service: str | None
    index_name: str
    model: str | None
    k: int
    face_classifier: Path | None
    clip_hits: bool
    pictures: Path | None
    fetch: bool
    device: str


def search(
    corpus: Annotated[
        list[str] | None, typer.Argument(help="Files, folders or patterns: parquet, TSV or WebDataset tar files.")
    ] = None,
    names: Annotated[
        Path | None, typer.Option(help="One name per line, identity<TAB>name, or CSV with a column `name`.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Search the identities of this split instead.")] = None,
    column: Annotated[
        str | None, typer.Option(help="Caption column, its number from 1 without header, or member of a sample.")
    ] = None,
    header: Annotated[
        bool | None, typer.Option("--header/--no-header", help="TSV files have a header; guessed by default.")
    ] = None,
    fold_case: Annotated[
        bool, typer.Option("--fold-case", help="Fold case and writing only (default: accents too).")
    ] = False,
    fold_accents: Annotated[
        bool, typer.Option("--fold-accents", help="Fold accents and writing only (default: case too).")
    ] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="Fold nothing: the same letters, however they are composed (NFC).")
    ] = False,
    code_points: Annotated[bool, typer.Option("--code-points", help="Not even NFC: the same code points.")] = False,
    substring: Annotated[
        bool,
        typer.Option(
            "--substring", help="Names match within words too. Alone: --exact, as in the field's published counts."
        ),
    ] = False,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Files read at the same time; by default one for each processor.")
    ] = None,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Leave out damaged files, and list them.")
    ] = False,
    replace_invalid: Annotated[
        bool, typer.Option("--replace-invalid", help="Read bytes that are not UTF-8 as U+FFFD.")
    ] = False,
    quotes: Annotated[int, typer.Option(min=0, help="Captions shown as evidence for each person.")] = 3,
    photos: Annotated[
        Path | None, typer.Option(help="Photos of the people, FOLDER/PERSON/*.jpg; a split has its own.")
    ] = None,
    index: Annotated[
        Path | None, typer.Option(help="Folder of clip-retrieval: image.index or img_emb/, and metadata/.")
    ] = None,
    service: Annotated[str | None, typer.Option(help="Address of a clip-retrieval service instead.")] = None,
    index_name: Annotated[str, typer.Option(help="Name of the index on the service.")] = "laion_400m",
    model: Annotated[
        str | None, typer.Option(help="The target that made the index, e.g. open_clip:ViT-L-14/openai.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Neighbours of each photo.")] = 50,
    face_classifier: Annotated[
        Path | None, typer.Option(help="Look for the people's faces with this classifier.")
    ] = None,
    clip_hits: Annotated[
        bool, typer.Option("--clip-hits", help="Let --model choose among all names for each neighbour.")
    ] = False,
    pictures: Annotated[Path | None, typer.Option(help="Folder of the corpus's pictures.")] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch neighbours' pictures from their addresses.")] = False,
    assume_namesake: Annotated[
        float, typer.Option(min=0, max=1, help="Chance that all captions mean somebody else of that name.")
    ] = 0.05,
    assume_caption: Annotated[
        float, typer.Option(min=0, max=1, help="Otherwise, that one caption comes with their picture.")
    ] = 0.7,
    assume_named: Annotated[float, typer.Option(min=0, max=1, help="Chance that members are named at all.")] = 0.5,
    assume_seen: Annotated[float, typer.Option(min=0, max=1, help="Chance that members show as neighbours.")] = 0.5,
    labels: Annotated[Path | None, typer.Option(help="Write the labels table to this parquet file.")] = None,
    corpus_name: Annotated[str | None, typer.Option(help="Name of the corpus in the labels table.")] = None,
    device: options.Device = "auto",
    json: options.Json = False,
    dry_run: options.DryRun = False,
) -> None:
    """Look for people in a corpus: their names in its captions, their faces among the neighbours of their photos."""
    from idbench.captions import ReadOptions, find_shards
    from idbench.search.counting import CountOptions, count_names, fitting_processes
    from idbench.search.report import Assumptions, report, write_labels

    nearness = _Nearness(index, service, index_name, model, k, face_classifier, clip_hits, pictures, fetch, device)
    _check(corpus, nearness, photos, labels, corpus_name, (exact or code_points) and (fold_case or fold_accents))
    rules = _rules(fold_case, fold_accents, exact, code_points, substring)
    reading = ReadOptions(column, header, replace_invalid)
    assumptions = Assumptions(assume_namesake, assume_caption, assume_named, assume_seen)
    with console.bars() as progress:
        people = _people(names, split, photos, progress)
        found = find_shards(corpus) if corpus else None
        if dry_run:
            files = counted(len(found.shards) if found else 0, "file", "files")
            console.say(f"would search {counted(len(people.sought), 'person', 'people')} in {files}")
            return
        place = _check_labels(labels, people) if labels else None
        # First what can fail early: a dead service or a damaged classifier must not cost a walk through the corpus.
        near = _near(people, nearness, rules, progress) if index or service else {}
        captions = None
        if found is not None:
            counting = CountOptions(reading, quotes, processes or fitting_processes(found.shards), skip_damaged)
            captions = count_names(people.sought, found.shards, rules, counting, progress)
    reports = report(tuple(people.sought), captions, near, assumptions)
    if json:
        console.write_json(_as_json(reports, captions, assumptions, found))
    else:
        _show(reports, captions)
        _show_not_read(found)
    if place:  # last, so that a full disk does not take the report away
        written = write_labels(place, corpus_name or "", reports, captions, assumptions)
        if not json:
            undecided = counted(len(reports) - written, "person is undecided and has", "people are undecided and have")
            console.say(f"{counted(written, 'label', 'labels')} in {labels}; {undecided} none")


@faces.command()
def train(
    folder: Annotated[Path, typer.Argument(help="Photos of the people: FOLDER/PERSON/*.jpg.")],
    out: Annotated[Path, typer.Option(help="The file to write, .safetensors.")],
    arch: Annotated[Architecture, typer.Option(help="The network, as torchvision calls it.")] = "resnet50",
    image_size: Annotated[int, typer.Option(min=16, max=1024, help="Pixels of a side.")] = 224,
    crop: Annotated[Crop, typer.Option(help="haar: find the face with OpenCV. none: pictures are faces.")] = "haar",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the photos.")] = 30,
    batch_size: Annotated[int, typer.Option(min=2, help="Photos for one step.")] = 64,
    learning_rate: Annotated[float, typer.Option(min=0, help="Of AdamW at its highest.")] = 1e-3,
    held_out: Annotated[float, typer.Option(min=0, max=0.9, help="Share of photos kept for measuring.")] = 0.2,
    seed: Annotated[int, typer.Option(min=0, max=options.MAX_SEED, help="Random seed.")] = 0,
    weights: Annotated[Path | None, typer.Option(help="Begin from these weights (.safetensors, .pth).")] = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Train a face classifier on a folder of people; an interrupted training continues where it stopped."""
    from idbench.outputs import check_file
    from idbench.runner.opening import choose_device
    from idbench.search.faces.model import load_classifier
    from idbench.search.faces.training import FaceRecipe, train_classifier
    from idbench.splits.injected.people import list_people

    recipe = FaceRecipe(
        arch=arch,
        image_size=image_size,
        crop=crop,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        held_out=held_out,
        seed=seed,
        weights=weights,
        device=choose_device(device),
    )
    place = check_file(out, "face classifier", lambda path: bool(load_classifier(path)), [weights] if weights else [])
    found = list_people(folder)
    with console.bars() as progress:
        trained = train_classifier(found.people, place, recipe, progress)
    spec = trained.spec
    if json:
        console.write_json(
            spec.model_dump(mode="json")
            | {"photos": trained.photos, "left_out": [str(path) for path in trained.left_out]}
        )
        return
    for note in found.notes:
        console.say(note)
    console.say(
        f"{counted(len(spec.people), 'person', 'people')}, {counted(trained.photos, 'photo', 'photos')}, "
        f"{text.seconds(trained.seconds)}, in {out}"
    )
    if trained.left_out:
        console.say(f"{len(trained.left_out)} pictures are damaged or show no face, e.g. {trained.left_out[0]}")
    console.say(f"named correctly: {spec.accuracy:.1%} of {spec.held_out} held-out photos")


def _check(
    corpus: list[str] | None,
    near: _Nearness,
    photos: Path | None,
    labels: Path | None,
    corpus_name: str | None,
    contradiction: bool,
) -> None:
    """Reject contradictory options before any work is done."""
    problems = (
        (not corpus and not near.index and not near.service, "There is nothing to search.",
         "Give files with captions, --index FOLDER, or --service URL."),
        (near.index and near.service, "--index and --service exclude each other.", "Give one of them."),
        (near.index and not near.model, "--index needs --model: photos must be embedded as the index was.",
         "E.g. --model open_clip:ViT-L-14/openai."),
        ((near.face_classifier or near.clip_hits or near.pictures or near.fetch or photos)
         and not (near.index or near.service),
         "There are no neighbours to look at.", "Give --index FOLDER or --service URL."),
        (near.pictures and not near.pictures.is_dir(), f"{near.pictures} is not a folder.",
         "Give with --pictures the folder to which the index's image_path is relative."),
        (near.clip_hits and not near.model, "--clip-hits needs --model.", "E.g. --model open_clip:ViT-L-14/openai."),
        (labels and not corpus_name, "--labels needs --corpus-name.", "The labels table names the corpus."),
        (contradiction, "--exact and --code-points exclude --fold-case and --fold-accents.", "Give one of them."),
    )  # fmt: skip
    for wrong, message, hint in problems:
        if wrong:
            raise IdbenchError(message, hint=hint)


def _rules(fold_case: bool, fold_accents: bool, exact: bool, code_points: bool, substring: bool) -> Rules:
    """What the options mean: everything is folded, unless less is asked for."""
    from idbench.captions import EXACT, FOLDED, Folding, Rules

    if code_points:
        folding = Folding(canonical=False)
    elif fold_case or fold_accents:
        folding = Folding(fold_case, fold_accents, writing=True)
    else:
        folding = EXACT if exact or substring else FOLDED
    return Rules(folding, not substring)


def _check_labels(labels: Path, people: _People) -> Path:
    """Where the labels table goes.

    Raises:
        IdbenchError: somebody has no id, or the file must not or cannot be written.
    """
    from idbench.outputs import check_file
    from idbench.search.report import is_labels_table

    nameless = next((one for one in people.sought if people.split is None and one.identity in one.spellings), None)
    if nameless is not None:
        raise IdbenchError(
            f"{nameless.name!r} has no id, and the labels table lists people by id, not by name.",
            hint="Write an opaque id and a tab before each name of the list.",
        )
    return check_file(labels, "labels table", is_labels_table)


def _people(names: Path | None, split: str | None, photos: Path | None, progress: Progress) -> _People:
    from idbench.captions import gather, read_names

    if (names is None) == (split is None):
        raise IdbenchError("There are no people to search for.", hint="Give either --names FILE or --split NAME.")
    if names is not None:
        return _People(read_names(names), None, photos)
    from idbench.splits import load_split

    assert split is not None
    loaded = load_split(split, progress)
    return _People(gather((one.id, one.name) for one in loaded.identities), loaded, photos)


def _near(people: _People, how: _Nearness, rules: Any, progress: Progress) -> dict[str, Near]:
    """What neighbours show, by identity; people without photos are skipped."""
    from idbench.captions import Matcher
    from idbench.runner.opening import choose_device
    from idbench.search.clip import Clip, ClipNamer
    from idbench.search.faces.model import load_classifier
    from idbench.search.neighbours.recognition import Look, look_at_neighbours
    from idbench.search.neighbours.web import PictureSource

    source = _source(how)
    clip = Clip(how.model, choose_device(how.device), progress) if how.model else None
    names = [one.name for one in people.sought]
    if people.split is not None:
        names += people.split.candidate_names
    look = Look(
        k=how.k,
        pictures=PictureSource(how.pictures, how.fetch),
        clip=ClipNamer(clip, names) if clip is not None and how.clip_hits else None,
        face=load_classifier(how.face_classifier) if how.face_classifier else None,
    )
    known = {answer for one in people.sought for answer in _answers(one)}
    if look.face is not None and not known & look.face.people:
        raise IdbenchError(
            f"{how.face_classifier} knows none of the people searched for.", hint="Train it on their photos."
        )
    matcher = Matcher(people.sought, rules)
    place = {one.identity: index for index, one in enumerate(people.sought)}

    def names_in(portrait: Portraits, caption: str) -> bool:
        return place[portrait.identity] in matcher.people_in(caption)

    portraits = _portraits(people, clip)
    found = look_at_neighbours(portraits, len(people.sought), source, look, names_in, progress)
    if clip is not None:
        clip.close()
    if not found:
        raise IdbenchError("There are no photos to search with.", hint="Give --photos FOLDER or a split with photos.")
    return found


def _source(how: _Nearness) -> NeighbourSource:
    from idbench.search.neighbours import Service, open_index

    if how.service is not None:
        return Service(how.service, how.index_name)
    assert how.index is not None
    return open_index(how.index)


def _portraits(people: _People, clip: Clip | None) -> Iterator[Portraits]:
    """Photos as queries, person by person; people without photos are left out."""
    from idbench.search.neighbours import Query
    from idbench.search.neighbours.recognition import Portraits

    for one, photos in zip(people.sought, _photos(people), strict=True):
        if photos:
            embeddings = [None] * len(photos) if clip is None else list(clip.embed(photos))
            queries = tuple(Query(photo, row) for photo, row in zip(photos, embeddings, strict=True))
            yield Portraits(one.identity, _answers(one), queries)


def _answers(one: Sought) -> frozenset[str]:
    """Labels that a judge may give a person: the identity or a name, as written or as folder names write them."""
    from idbench.splits.injected.people import name_of

    words = (one.identity, *one.spellings)
    return frozenset({*words, *map(name_of, words)})


def _photos(people: _People) -> Iterator[list[bytes]]:
    """Encoded photos of everybody, in order; empty lists for people without."""
    from idbench.splits.injected.people import list_people, name_of
    from idbench.storage import storage_errors

    folders = {one.name: one for one in list_people(people.folder).people} if people.folder is not None else {}
    for index, one in enumerate(people.sought):
        if people.folder is None:
            yield list(people.split.read_photos(people.split.identities[index].photos)) if people.split else []
            continue
        wanted = map(name_of, (one.identity, *one.spellings))
        person = next((folders[name] for name in wanted if name in folders), None)
        with storage_errors(people.folder):
            yield [path.read_bytes() for path in person.photos] if person else []


def _show(reports: Sequence[PersonReport], captions: CaptionSearch | None) -> None:
    """The table, most captions first, and a sentence on what was searched."""
    with_near = any(one.near is not None for one in reports)
    columns = ["name", "captions", "in longer names"]
    columns += ["neighbours", "CLIP hits", "face hits"] if with_near else []
    rows = []
    for one in sorted(reports, key=lambda one: -(one.occurrences or 0)):
        near = one.near
        shown = [one.name, "-" if one.occurrences is None else text.amount(one.occurrences), str(one.longer or "")]
        if with_near:
            rates = (None, None) if near is None else (near.clip_rate, near.face_rate)
            shown += ["-" if near is None else text.amount(near.neighbours), *map(_share, rates)]
        quote = f"{one.quotes[0].place} {line(one.quotes[0].caption[:_QUOTE])}" if one.quotes else ""
        belief = "" if one.confidence is None else f"{one.confidence:.2f}"
        rows.append([*shown, one.verdict, belief, quote])
    right = {"captions", "in longer names", "neighbours", "CLIP hits", "face hits", "confidence"}
    console.table("", [*columns, "verdict", "confidence", "evidence"], rows, right)
    if captions is None:
        return
    console.say(
        f"{counted(captions.captions, 'caption', 'captions')} in {counted(captions.shards, 'file', 'files')} "
        f"({captions.rules}; {text.amount(captions.empty)} empty), SHA-256 {captions.sha256}"
    )
    if any(one.verdict == "non-member" for one in reports):
        console.say(f"non-member: not found as searched; not looked for: {', '.join(captions.rules.not_looked_for)}")
    if captions.repaired:
        console.say(f"{counted(captions.repaired, 'caption', 'captions')} held bytes that are not UTF-8")
    for damage in captions.damaged:
        console.say(f"left out: {damage.reason}")
    for group in captions.shared:
        ids = ", ".join(captions.sought[i].identity for i in group)
        console.say(f"cannot be told apart by name, counted for each: {ids} (spellings of one name share an identity)")


def _show_not_read(found: CorpusFiles | None) -> None:
    """Say which files of the corpus nobody looked into: what they hold was not searched."""
    if found is not None and found.next_to_tar:
        beside = counted(len(found.next_to_tar), "parquet file", "parquet files")
        verb = "was" if len(found.next_to_tar) == 1 else "were"
        console.say(f"{beside} next to a tar file of the same name {verb} not read")
    if found is not None and found.not_read:
        shown = ", ".join(path.name for path in found.not_read[:_NAMED])
        one = "file is of another kind, or a link that leads nowhere, and was"
        several = "files are of other kinds, or links that lead nowhere, and were"
        console.say(
            f"{counted(len(found.not_read), one, several)} not read ({shown}"
            f"{', ...' if len(found.not_read) > _NAMED else ''})"
        )


def _share(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.1%}"


def _as_json(
    reports: Sequence[PersonReport], captions: CaptionSearch | None, assumptions: Any, found: CorpusFiles | None
) -> dict[str, Any]:
    searched = None
    if captions is not None and found is not None:
        searched = {
            "rules": str(captions.rules),
            "not_looked_for": list(captions.rules.not_looked_for),
            "captions": captions.captions,
            "empty": captions.empty,
            "repaired": captions.repaired,
            "files": captions.shards,
            "sha256": captions.sha256,
            "coverage": captions.coverage,
            "not_read": [str(path) for path in found.not_read],
            "damaged": [{"file": str(one.shard), "reason": one.reason} for one in captions.damaged],
        }
    return {"captions": searched, "assumptions": asdict(assumptions), "people": [_person_json(one) for one in reports]}


def _person_json(one: PersonReport) -> dict[str, Any]:
    near = one.near
    looked = None
    if near is not None:
        looked = {
            "photos": near.photos,
            "neighbours": near.neighbours,
            "captioned": near.captioned,
            "pictures": near.pictures,
            "clip_rate": near.clip_rate,
            "face_rate": near.face_rate,
            "eligible": near.eligible,
            "nearest": [
                {"id": n.id, "similarity": n.similarity, "caption": n.caption, "url": n.url} for n in near.nearest
            ],
        }
    return {
        "identity": one.identity,
        "name": one.name,
        "occurrences": one.occurrences,
        "in_longer_names": one.longer,
        "evidence": [asdict(quote) for quote in one.quotes],
        "shares_name_with": list(one.shares_name_with),
        "neighbours": looked,
        "verdict": one.verdict,
        "confidence": one.confidence,
    }
