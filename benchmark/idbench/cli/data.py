"""`bench data`: build splits, check their folders, audit their honesty."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from idbench.cli import console, options, text
from idbench.errors import IdbenchError

app = typer.Typer(help="Build, check and audit splits.", no_args_is_help=True)


@app.command()
def build(
    name: Annotated[str, typer.Argument(help="A registered split, e.g. avatars.")],
    out: Annotated[Path, typer.Option(help="The folder to write; must not exist yet, or be empty.")],
    dry_run: options.DryRun = False,
) -> None:
    """Write a split's folder, laid out as a Hugging Face data set: datasets.load_dataset(FOLDER, CONFIG) loads it."""
    from idbench.splits import find_recipe, load_split
    from idbench.storage import atomic_dir

    recipe = find_recipe(name)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise IdbenchError(f"{out} exists already.", hint="Choose a new folder, or remove that one first.")
    if dry_run:
        console.say(f"would build {recipe.name} version {recipe.version} ({recipe.title}) in {out}")
        return
    with console.bars() as progress, atomic_dir(out) as folder:
        recipe.build(folder, progress)
        split = load_split(str(folder), progress)
    if recipe.digest not in (None, split.manifest.digest):
        raise IdbenchError(f"{out} differs from the published {recipe.name} version {recipe.version}.")
    console.say(f"{recipe.name} version {recipe.version} in {out}, digest {split.manifest.digest}")
    console.say(f"Next: bench data lint {out}")


@app.command()
def lint(
    folder: Annotated[Path, typer.Argument(help="A split's folder.")],
    corpus: Annotated[
        list[str] | None, typer.Option(help="A training set in which no photo of the split may be; may be repeated.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Check a split's folder: schema, ids, labels, photos, names, digests, and training pictures among the photos."""
    from idbench.splits import lint as check
    from idbench.splits import load_corpus

    if not folder.is_dir():
        raise IdbenchError(f"{folder} is not a folder.", hint="Give one that `bench data build` wrote.")
    with console.bars() as progress:
        corpora = [load_corpus(name, progress) for name in corpus or ()]
        findings = check(folder, corpora=corpora, progress=progress)
    if json:
        console.write_json([asdict(f) for f in findings])
    elif findings:
        names = list(asdict(findings[0]))
        console.table(str(folder), names, [[str(v) for v in asdict(f).values()] for f in findings])
    else:
        console.say(f"{folder}: no findings")
    if any(f.severity == "error" for f in findings):
        raise typer.Exit(1)


@app.command()
def audit(
    split: Annotated[str, typer.Argument(help="A registered split, or the folder of one.")] = "avatars",
    method: Annotated[list[str] | None, typer.Option("--method", "-m", help="Attacks; default: all.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    results: options.Results = options.RESULTS,
    device: options.Device = "auto",
    time_limit: options.TimeLimit = options.TIME_LIMIT,
    json: options.Json = False,
    dry_run: options.DryRun = False,
) -> None:
    """Show each attack on both targets, on B with A's labels, on the control, and paired, all in one table."""
    from idbench.runner.audit import audit as run_audit
    from idbench.runner.audit import trio_of
    from idbench.runner.execute import Options
    from idbench.runner.registry import list_attacks
    from idbench.splits import load_split

    methods = method or [entry.name for entry in list_attacks() if entry.card is not None]
    with console.bars() as progress:
        loaded = load_split(split, progress)
        trio = trio_of(loaded)
        if dry_run:
            console.say(f"would run {', '.join(methods)} on {trio.a.name}, {trio.b.name} and {trio.control.name}")
            return
        rows = run_audit(loaded, methods, Options(results, device, time_limit), progress, seed)
    if json:
        console.write_json(
            [
                {
                    name: value.model_dump(mode="json") if hasattr(value, "model_dump") else value
                    for name in row.__slots__
                    if (value := getattr(row, name)) is not None
                }
                for row in rows
            ]
        )
    else:
        a, b, control = trio.a.name, trio.b.name, trio.control.name
        columns = ("method", f"AUC on {a}", f"AUC on {b}", f"{b} with {a}'s labels", f"control {control}")
        console.table(
            f"{loaded.manifest.name} v{loaded.manifest.version}: an honest attack is at 0.5 on the control; one that "
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
    if any(row.verdict != "honest" for row in rows):
        raise typer.Exit(1)
