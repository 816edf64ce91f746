"""`bench data`: build splits, check their folders, audit their honesty."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from idbench.cli import console, options, text
from idbench.errors import IdbenchError
from idbench.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from idbench.api import Progress
    from idbench.runner.audit import AuditRow, AuditTargets, Trio
    from idbench.runner.grid import Grid
    from idbench.splits import SourcedRecipe, Sources, Split, SplitRecipe
    from idbench.splits.honesty import Honesty

app = typer.Typer(help="Build, check and audit splits.", no_args_is_help=True)
_HOST_REQUESTS = 2  # requests a second: few enough that no host takes them for an attack


@app.command()
def build(
    name: Annotated[str, typer.Argument(help="A registered split, e.g. avatars or lfw-injected.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The folder to write; must not exist yet, or be empty. What is made from your data needs none."
        ),
    ] = None,
    faces: Annotated[Path | None, typer.Option(help="A folder with one folder per person, NAME/*.jpg.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch the faces from the network instead.")] = False,
    pairs: Annotated[
        Path | None, typer.Option(help="The background: captions and URLs, as TSV, CSV, JSON lines or parquet.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(help="A folder with the authors' lists (published splits); default: fetch the pinned ones."),
    ] = None,
    secret_seed: Annotated[
        Path | None, typer.Option(help="A file with a secret; membership then follows from it and cannot be guessed.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="With --secret-seed: the complete folder goes here, and --out has no test labels."),
    ] = None,
    dry_run: options.DryRun = False,
) -> None:
    """Write a split's folder, laid out as a Hugging Face data set: datasets.load_dataset(FOLDER, CONFIG) loads it.

    What is made from your own data (lfw-injected, cc3m-injected) goes into the cache, where every command finds it.
    """
    from idbench.outputs import check_folder
    from idbench.splits import SourcedRecipe, Sources, find_recipe
    from idbench.splits.withholding import read_secret

    recipe = find_recipe(name)
    if secret_seed is not None and not isinstance(recipe, SourcedRecipe):
        raise IdbenchError(
            f"The labels of {recipe.name} are public: its targets were trained on them, so no secret can change them.",
            hint="Draw a secret split from your own data: bench data build lfw-injected --secret-seed FILE ...",
        )
    given = {"faces": faces, "pairs": pairs, "source": source, "secret-seed": secret_seed, "labels": labels}
    known = (*recipe.needs, *recipe.takes, "secret-seed", "labels") if isinstance(recipe, SourcedRecipe) else ()
    _refuse(recipe.name, [option for option, value in given.items() if value and option not in known])
    if labels is not None and isinstance(recipe, SourcedRecipe):
        _check_withheld(recipe, secret_seed, out, labels)
    for folder in filter(None, (out, labels)):
        check_folder(folder, "split", filter(None, (faces, pairs, source)))
    if not isinstance(recipe, SourcedRecipe):
        _refuse(recipe.name, ["download"] * download)
        _build_known(recipe, out, dry_run)
        return
    if download and faces is not None:
        raise IdbenchError("--faces and --download exclude each other.", hint="Give one of them.")
    seed = None if secret_seed is None else read_secret(secret_seed)
    _build_sourced(recipe, Sources(faces, pairs, seed, source), download, PublicationFolders(out, labels), dry_run)


@dataclass(frozen=True, slots=True)
class PublicationFolders:
    """Where copies of a split go: one to publish, and the complete one of a split whose labels are withheld."""

    out: Path | None
    labels: Path | None


def _check_withheld(recipe: SourcedRecipe, secret_seed: Path | None, out: Path | None, labels: Path) -> None:
    """Refuse what would leave no labels to withhold, or write one folder over the other."""
    from idbench.outputs import resolved

    if secret_seed is None or out is None:
        raise IdbenchError(
            "--labels needs --secret-seed and --out: labels are withheld from the folder that is published.",
            hint=f"Type: bench data build {recipe.name} ... --secret-seed FILE --out PUBLIC --labels PRIVATE",
        )
    if not recipe.corpora:
        raise IdbenchError(
            f"The labels of {recipe.name} follow from no seed: they cannot be withheld.", hint="Leave --labels out."
        )
    public, private = resolved(out), resolved(labels)
    if public.is_relative_to(private) or private.is_relative_to(public):
        raise IdbenchError(
            f"{out} and {labels} lie within each other: what is published would hold or replace the labels.",
            hint="Choose two separate folders.",
        )


def _refuse(name: str, given: list[str]) -> None:
    if given:
        raise IdbenchError(f"{name} does not take --{given[0]}.", hint="Leave it out.")


def _build_known(recipe: SplitRecipe, out: Path | None, dry_run: bool) -> None:
    from idbench.outputs import resolved
    from idbench.splits import load_split
    from idbench.storage import atomic_dir

    if out is None:
        raise IdbenchError(f"There is no folder to write {recipe.name} to.", hint="Name a new folder with --out DIR.")
    if dry_run:
        console.say(f"would build {recipe.name} version {recipe.version} ({recipe.title}) in {out}")
        return
    with console.bars() as progress, atomic_dir(resolved(out)) as folder:
        recipe.build(folder, progress)
        split = load_split(str(folder), progress)
    if recipe.digest not in (None, split.manifest.digest):
        raise IdbenchError(f"{out} differs from the published {recipe.name} version {recipe.version}.")
    console.say(f"{recipe.name} version {recipe.version} in {out}, digest {split.manifest.digest}")
    console.next_steps(text.typed("bench", "data", "lint", out))


def _build_sourced(
    recipe: SourcedRecipe, sources: Sources, download: bool, folders: PublicationFolders, dry_run: bool
) -> None:
    from idbench.outputs import resolved
    from idbench.splits.building import build_sourced, check_sources, copy_split
    from idbench.splits.withholding import write_withheld

    if download and recipe.fetch is None:
        raise IdbenchError(f"{recipe.name} has nothing to download.", hint="Give your own data; see --help.")
    if not download:
        check_sources(recipe, sources)
    if dry_run and recipe.plan is not None:
        for step in recipe.plan(sources):
            console.say(step)
        return
    if dry_run:
        console.say(
            f"would build {recipe.name} version {recipe.version} ({recipe.title}) and {', '.join(recipe.corpora)} "
            f"from {'a download' if download else sources.faces or sources.pairs} into the cache"
        )
        return
    with console.bars() as progress:
        if download and recipe.fetch is not None:
            sources = replace(sources, faces=recipe.fetch(progress))
        built = build_sourced(recipe, sources, progress)
        if folders.labels is not None and folders.out is not None:
            copy_split(built.split, resolved(folders.labels))
            write_withheld(built.split, resolved(folders.out))
        elif folders.out is not None:
            copy_split(built.split, resolved(folders.out))
    for note in built.notes:
        console.say(note)
    manifest = built.split.manifest
    people = ", ".join(f"{counted(size, 'identity', 'identities')} for {part}" for part, size in manifest.parts.items())
    console.say(f"{recipe.name} version {recipe.version}: {people}; digest {manifest.digest}")
    if folders.labels is not None:
        console.say(
            f"all labels in {folders.labels}: keep it. {folders.out} holds no test labels, but names and photos of "
            "real people: share it only with those who may hold these"
        )
    if not recipe.corpora:
        console.next_steps(text.typed("bench", "data", "audit", recipe.name))
    else:
        console.next_steps(f"bench target train {recipe.name}{' --arch RN50' if recipe.shards else ''}")


@app.command()
def fetch(
    split: Annotated[str, typer.Argument(help="A registered split with addresses of photos, or its folder.")],
    out: Annotated[
        Path, typer.Option(help="Folder for the photos, NAME/*.jpg; what an earlier fetch left out is added.")
    ],
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try what failed before, too.")] = False,
    faces: Annotated[
        bool, typer.Option("--faces", help="Leave out pictures without a face: logos, toys, covers (needs OpenCV).")
    ] = False,
    json: options.Json = False,
    dry_run: options.DryRun = False,
) -> None:
    """Fetch a split's photos from their addresses, with img2dataset; availability.csv says what came of each."""
    from idbench.outputs import check_outside
    from idbench.splits import load_split
    from idbench.splits.cc3m.steps import Settings, from_environment
    from idbench.splits.faces import check_detector, has_face
    from idbench.splits.published.photos import fetch_photos, forget_failures, outcomes

    settings = from_environment(Settings(fetch_host_requests=_HOST_REQUESTS))
    if faces:
        check_detector("leave --faces out")
    with console.bars() as progress:
        loaded = load_split(split, progress)
        check_outside(out, [loaded.folder])
        if dry_run:
            console.say(f"would fetch up to {counted(len(loaded.rows('urls')), 'photo', 'photos')} into {out}")
            return
        if retry_failed:
            forget_failures(loaded, out)
        rows = fetch_photos(loaded, out, settings, progress, has_face if faces else None)
    found = outcomes(rows)
    if json:
        console.write_json({"addresses": len(rows), "outcomes": dict(found)})
        return
    console.table(str(out), ("outcome", "addresses"), [(what, str(n)) for what, n in found.most_common()])
    console.next_steps(text.typed("bench", "data", "build", loaded.manifest.name, "--faces", out))


@app.command()
def lint(
    split: Annotated[str, typer.Argument(help="A registered split, its folder, or hub:ORG/NAME@COMMIT.")],
    corpus: Annotated[
        list[str] | None, typer.Option(help="A training set in which no photo of the split may be; may be repeated.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Check a split: schema, ids, labels, photos, names, digests, training pictures among photos; with a verdict."""
    from idbench.splits import lint as check
    from idbench.splits import load_corpus

    with console.bars() as progress:
        folder = _folder_of(split, progress)
        corpora = [load_corpus(name, progress) for name in corpus or ()]
        findings = check(folder, corpora=corpora, progress=progress)
        broken = any(f.severity == "error" for f in findings)
        honesty = None if broken else _examine(split, progress)
    if json:
        console.write_json({"findings": [asdict(f) for f in findings], **_verdict_json(honesty)})
    else:
        if findings:
            names = list(asdict(findings[0]))
            console.table(split, names, [[str(v) for v in asdict(f).values()] for f in findings])
        else:
            console.say(f"{split}: no findings")
        _say_verdict(honesty)
    if broken:
        raise typer.Exit(1)


def _folder_of(split: str, progress: Progress) -> Path:
    """The folder that a name, a path or a commit on the Hub means; a damaged one is still found, to be checked."""
    from idbench.hub import is_hub_ref
    from idbench.splits import load_split, split_names
    from idbench.storage import expanded, restored

    if split in split_names() or is_hub_ref(split):
        return load_split(split, progress).folder
    folder = restored(expanded(Path(split)))
    if not folder.is_dir():
        raise IdbenchError(
            f"{split} is neither a folder nor a registered split.",
            hint="Give a folder that `bench data build` wrote, a name that `bench list splits` shows, or "
            "hub:ORG/NAME@COMMIT.",
        )
    return folder


def _examine(split: str, progress: Progress) -> Honesty:
    from idbench.splits import load_split
    from idbench.splits.honesty import examine

    return examine(load_split(split, progress), progress)


def _verdict_json(honesty: Honesty | None) -> dict[str, object]:
    if honesty is None:
        return {"verdict": "not usable", "sentences": [], "corpora": []}
    corpora = [asdict(one) for one in honesty.corpora]
    return {"verdict": honesty.verdict, "sentences": list(honesty.sentences), "corpora": corpora}


def _say_verdict(honesty: Honesty | None) -> None:
    if honesty is None:
        console.say("verdict: not usable until the errors are corrected")
        return
    console.say(f"verdict: {honesty.verdict}")
    for sentence in honesty.sentences:
        console.say(f"- {sentence}")


def _show_covariates(honesty: Honesty) -> None:
    for one in honesty.corpora:
        console.table(
            f"what separates {', '.join(one.corpora)}'s members from non-members without any target",
            ("covariate", "from", "AUC", "p, Holm"),
            [(c.name, c.kind, f"{c.auc:.3f} [{c.low:.3f}, {c.high:.3f}]", text.p_value(c.p)) for c in one.covariates],
        )


@app.command()
def audit(
    split: Annotated[str, typer.Argument(help="A registered split, its folder, or hub:ORG/NAME@COMMIT.")] = "avatars",
    method: Annotated[
        list[str] | None, typer.Option("--method", "-m", help="Attacks; default: all that train no shadow models.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=options.MAX_SEED, help="Random seed.")] = 0,
    results: options.Results = options.RESULTS,
    device: options.Device = "auto",
    time_limit: options.TimeLimit = options.TIME_LIMIT,
    json: options.Json = False,
    dry_run: options.DryRun = False,
) -> None:
    """Show what tells members from non-members without a target; and each attack on both targets and the control."""
    from idbench.runner.audit import audit as run_audit
    from idbench.runner.audit import find_trio, grid_of
    from idbench.runner.execute import Options
    from idbench.runner.registry import load_attack
    from idbench.splits import load_split
    from idbench.splits.honesty import examine

    for name in method or ():
        load_attack(name)
    methods = method or _quick_attacks()
    with console.bars() as progress:
        loaded = load_split(split, progress)
        found = find_trio(loaded)
        if dry_run:
            console.say("would look at names, photos and selection of the split's people")
            if found.trio is not None:
                trio = found.trio
                console.say(f"would run {', '.join(methods)} on {trio.a.name}, {trio.b.name} and {trio.control.name}")
                console.say(_how_long(grid_of(loaded, trio, methods, seed), results))
            _say_missing(split, found, method or [])
            return
        honesty = examine(loaded, progress)
        limits = Options(results, device, time_limit)
        rows = [] if found.trio is None else run_audit(loaded, methods, limits, progress, seed)
    if json:
        console.write_json({**_verdict_json(honesty), "missing": found.missing, "methods": _rows_json(rows)})
    else:
        _show_covariates(honesty)
        if found.trio is not None:
            _show_rows(loaded, found.trio, rows)
        _say_verdict(honesty)
        _say_missing(split, found, method or [])
    if not honesty.usable or not all(row.honest for row in rows):
        raise typer.Exit(1)


def _say_missing(split: str, found: AuditTargets, asked: list[str]) -> None:
    """What an audit without the three targets does not show, and that the attacks asked for were not run."""
    if not found.missing:
        return
    console.say(f"- {found.missing}")
    if asked:
        were = "was" if len(asked) == 1 else "were"
        chosen = [word for name in asked for word in ("-m", name)]
        run = text.typed("bench", "run", "--split", split, *chosen, "--target", "REF")
        console.say(f"- {', '.join(asked)} {were} not run, for that takes two targets and a control; on one: {run}")


def _how_long(grid: Grid, results: Path) -> str:
    """How long the runs of a grid take that are not there yet."""
    from idbench.cli.durations import Durations, in_all
    from idbench.runner.grid import blind_specs, is_done, specs

    runs = {spec.run_id: spec for spec in (*blind_specs(grid), *specs(grid))}
    to_run = [spec for spec in runs.values() if not is_done(spec, results)]
    durations = Durations(results)
    return in_all([durations.expected(spec) for spec in to_run]) or f"{len(to_run)} runs; how long is not known"


def _quick_attacks() -> list[str]:
    from idbench.api import Access
    from idbench.runner.registry import ATTACKS

    return [
        entry.name
        for entry in ATTACKS.entries()
        if entry.value is not None and Access.TRAIN_SHADOWS not in entry.value.card.access
    ]


def _rows_json(rows: Sequence[AuditRow]) -> list[dict[str, object]]:
    return [
        {
            name: value.model_dump(mode="json") if hasattr(value, "model_dump") else value
            for name in row.__slots__
            if (value := getattr(row, name)) is not None
        }
        for row in rows
    ]


def _show_rows(split: Split, trio: Trio, rows: Sequence[AuditRow]) -> None:
    a, b, control = trio.a.name, trio.b.name, trio.control.name
    columns = ("method", f"AUC on {a}", f"AUC on {b}", f"{b} with {a}'s labels", f"control {control}")
    console.table(
        f"{split.manifest.name} v{split.manifest.version}: an honest attack is at 0.5 on the control; one that "
        "works turns around; a blind one is at 0.5 everywhere",
        (*columns, "paired contrast A-B", "p", "verdict"),
        [
            (
                row.method + (" (blind)" if row.blind else ""),
                text.estimate(row.on_a.auc),
                text.estimate(row.on_b.auc),
                text.estimate(row.turned),
                text.estimate(row.control.auc),
                text.estimate(row.contrast),
                text.p_value(row.contrast_p),
                row.verdict,
            )
            for row in rows
        ],
    )
    for row in rows:
        if row.abstentions:
            console.say(
                f"- {row.method} abstains from {sum(row.abstentions.values())}: {text.reasons(row.abstentions)}"
            )
