"""`bench target`: train, verify and describe targets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from idbench.cli import console, options, text
from idbench.errors import IdbenchError, TargetError

app = typer.Typer(help="Train and verify the models under audit.", no_args_is_help=True)


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="A registered target with a recipe, e.g. avatars-a.")],
    out: Annotated[Path | None, typer.Option(help="File for the weights; default: NAME.safetensors.")] = None,
    threads: Annotated[
        int, typer.Option(min=1, help="More than one is faster, but rounds otherwise than the shipped weights did.")
    ] = 1,
    dry_run: options.DryRun = False,
) -> None:
    """Train a target from its corpus; an interrupted training goes on where it stopped."""
    import torch

    from idbench.splits import load_corpus
    from idbench.targets import resolve_target
    from idbench.targets.train import train_target

    spec = resolve_target(name)
    if spec.recipe is None or spec.corpus is None:
        raise TargetError(
            f"{name} has no recipe: it cannot be trained here.", hint="`bench list targets` shows others."
        )
    file = out or Path(f"{spec.name}.safetensors")
    if dry_run:
        console.say(f"would train {spec.name} on {spec.corpus} for {spec.recipe.epochs} epochs, to {file}")
        return
    torch.set_num_threads(threads)
    with console.bars() as progress:
        trained = train_target(spec, load_corpus(spec.corpus, progress), file, progress)
    console.say(f"weights in {trained.path}, SHA-256 {trained.sha256}, {text.seconds(trained.seconds)}")
    same = trained.sha256 == spec.sha256
    console.say(
        "identical to the shipped weights"
        if same
        else "not the shipped bits: other processors and numbers of threads round otherwise"
    )


@app.command()
def verify(
    name: Annotated[list[str] | None, typer.Argument(help="Targets; default: every registered one.")] = None,
    json: options.Json = False,
) -> None:
    """Check hashes, load strictly, and compare embeddings with the shipped ones."""
    from idbench.targets import list_targets, resolve_target
    from idbench.targets.verify import verify_target

    rows = []
    for target in name or [spec.name for spec in list_targets()]:
        try:
            report = verify_target(resolve_target(target))
            rows.append({"target": target, "ok": True, "found": str(report)})
        except IdbenchError as error:
            rows.append({"target": target, "ok": False, "found": str(error)})
    if json:
        console.write_json(rows)
    else:
        console.table(
            "",
            ("target", "", "found"),
            [(str(r["target"]), "ok" if r["ok"] else "FAILED", str(r["found"])) for r in rows],
        )
    if not all(row["ok"] for row in rows):
        raise typer.Exit(1)
