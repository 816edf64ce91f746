"""`bench target`: train, verify and describe targets."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from idbench.cli import console, options, text
from idbench.errors import IdbenchError, TargetError

if TYPE_CHECKING:
    from idbench.runner.full_size import Wanted
    from idbench.runner.training import TrainedTarget
    from idbench.splits import SourcedRecipe
    from idbench.targets import TargetSpec
    from idbench.targets.verify import Verified

app = typer.Typer(help="Train and verify the models under audit.", no_args_is_help=True)


@app.command(context_settings={"allow_extra_args": True})
def train(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="Registered targets with a recipe, e.g. avatars-a; commas, patterns, or all of a split: lfw-injected."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="File (.safetensors) for one target, trained anew; folder of full-size ones; default: in the cache."
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option(min=1, help="More than one is faster, but rounds differently from the shipped weights.")
    ] = 1,
    device: Annotated[str, typer.Option("--device", envvar="BENCH_DEVICE", help="cpu, cuda, auto, ...")] = "cpu",
    force: options.Force = False,
    arch: Annotated[
        str | None, typer.Option(help="Full size (cc3m-injected): RN50, ViT-B-32, ..., or a model configuration.json.")
    ] = None,
    gpus: Annotated[int | None, typer.Option(help="Full size: GPUs on each node; default: all that are here.")] = None,
    nodes: Annotated[int, typer.Option(min=1, help="Full size: nodes; run the same command on each.")] = 1,
    rendezvous: Annotated[str | None, typer.Option(help="Full size: HOST:PORT of one node.")] = None,
    dry_run: options.DryRun = False,
) -> None:
    """Train targets from their corpora; an interrupted training continues where it stopped, a finished one is kept."""
    from idbench.runner.full_size import Wanted, full_size_recipe
    from idbench.runner.training import HowToTrain, checked_place, targets_to_train, train_one
    from idbench.targets import TrainedHere

    full_size = full_size_recipe(name)
    if full_size is not None:
        if force:
            raise TargetError(
                "--force does not discard a full-size training.", hint="Remove its folder, or name another: --out."
            )
        for option in ("device", "threads"):
            source = context.get_parameter_source(option)
            if source is not None and source.name == "COMMANDLINE":
                raise TargetError(
                    f"--{option} does not apply to open_clip's trainer, which trains {name}.",
                    hint="Use --gpus N; 0 means the CPU.",
                )
        _train_full_size(full_size, name, Wanted(arch, gpus, nodes, rendezvous, out, tuple(context.args)), dry_run)
        return
    given = {"--arch": arch, "--gpus": gpus is not None, "--nodes": nodes > 1, "--rendezvous": rendezvous}
    _refuse_full_size(name, [*context.args, *(option for option, value in given.items() if value)])
    specs = targets_to_train(name)
    if out is not None and len(specs) > 1:
        raise TargetError(f"{name} means {len(specs)} targets, but --out is one file.", hint="Name one target.")
    how = HowToTrain(threads, device, force)
    for spec in specs:
        file = out or _place(spec)
        if dry_run:
            if file is not None:
                checked_place(file, spec, how)
            epochs = spec.recipe.epochs if spec.recipe else 0
            console.say(f"would train {spec.name} on {spec.corpus} for {epochs} epochs, to {file or 'the cache'}")
            continue
        with console.bars() as progress:
            trained = train_one(spec, how, progress, file)
        _report(trained)
    if not dry_run and any(isinstance(spec.weights, TrainedHere) for spec in specs):
        console.next_steps(f"bench run --method all --split {_split_of(specs)} --target all")


def _refuse_full_size(name: str, given: list[str]) -> None:
    if given:
        raise TargetError(
            f"{name} is not trained by open_clip's trainer: {given[0]} does not apply.", hint="Leave it out."
        )


def _place(spec: TargetSpec) -> Path | None:
    """Where a shipped target goes when it is trained again; None for targets that belong in the cache."""
    from idbench.targets import TrainedHere

    return None if isinstance(spec.weights, TrainedHere) else Path(f"{spec.name}.safetensors")


def _split_of(specs: list[TargetSpec]) -> str:
    from idbench.targets import TrainedHere

    return next(spec.weights.group for spec in specs if isinstance(spec.weights, TrainedHere))


def _report(trained: TrainedTarget) -> None:
    spec, note = trained.spec, trained.note
    if trained.reused:
        console.say(f"{spec.name} is trained already: loss {note.loss:.3f}, SHA-256 {note.sha256}")
        return
    if trained.resumed:
        console.say(f"resumed after epoch {trained.resumed}, where an earlier training had stopped")
    console.say(
        f"weights in {trained.path}, SHA-256 {note.sha256}, {text.seconds(note.seconds)} "
        f"({text.seconds(note.cpu_seconds)} of processor), loss {note.loss:.3f}"
    )
    if spec.sha256 is not None:
        console.say(
            "identical to the shipped weights"
            if note.sha256 == spec.sha256
            else "not bit for bit the shipped weights: other processors and numbers of threads round differently"
        )


def _train_full_size(recipe: SourcedRecipe, word: str, wanted: Wanted, dry_run: bool) -> None:
    """Train what a reference stands for, one training after the other; with `dry_run`, only print the commands."""
    from idbench.runner.full_size import full_size_trainings
    from idbench.targets.full_size.command import command_of, shown
    from idbench.targets.full_size.run import run_training

    for training in full_size_trainings(recipe, word, wanted):
        console.command(shown(command_of(training)))
        if dry_run:
            continue
        with console.bars() as progress:
            done = run_training(training, progress)
        if done.resumed == done.epochs:
            console.say(f"{training.name} is trained already: {done.checkpoint}")
        else:
            if done.resumed:
                console.say(f"resumed after epoch {done.resumed}, where an earlier training had stopped")
            console.say(
                f"{done.epochs} epochs in {done.checkpoint}, {text.seconds(done.seconds)} with start-up, "
                f"{done.pairs_per_second:,.0f} pairs a second without"
            )
        console.next_steps(f"bench run --method all --split {recipe.name} --target {shlex.quote(done.reference)}")


@app.command()
def verify(
    name: Annotated[
        list[str] | None,
        typer.Argument(help="Targets, patterns such as 'avatars-*', or references; default: those on this machine."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Check hashes, load strictly, and compare embeddings with the shipped ones."""
    from idbench.targets import list_targets
    from idbench.targets.fetch import is_at_hand

    elsewhere = [] if name else [spec for spec in list_targets() if not is_at_hand(spec)]
    rows = _verified(name or [spec.name for spec in list_targets() if spec not in elsewhere])
    rows += [{"target": spec.name, "ok": None, "found": f"not {_missing(spec)}"} for spec in elsewhere]
    if json:
        console.write_json(rows)
    else:
        words = {True: "ok", False: "FAILED", None: "-"}
        console.table(
            "",
            ("target", "", "found"),
            [(str(r["target"]), words[r["ok"]], str(r["found"])) for r in rows],
        )
    if any(row["ok"] is False for row in rows):
        raise typer.Exit(1)


def _missing(spec: TargetSpec) -> str:
    """What was not done with a target that is not on this machine."""
    from idbench.targets import TrainedHere

    if isinstance(spec.weights, TrainedHere):
        return f"trained on this machine yet: bench target train {spec.name}"
    return f"on this machine yet: bench target verify {spec.name} downloads it"


def _verified(words: list[str]) -> list[dict[str, Any]]:
    """One row for each target that the references stand for; a reference that stands for none gets a row, too."""
    from idbench.targets import targets_meant
    from idbench.targets.verify import verify_target

    rows: list[dict[str, Any]] = []
    for word in words:
        try:
            specs = targets_meant(word)
        except IdbenchError as error:
            rows.append({"target": word, "ok": False, "found": str(error)})
            continue
        for spec in specs:
            try:
                report = verify_target(spec)
            except IdbenchError as error:
                rows.append({"target": spec.name, "ok": False, "found": str(error)})
            else:
                rows.append({"target": spec.name, "ok": True, "found": _in_words(report), **asdict(report)})
    return rows


def _in_words(report: Verified) -> str:
    """What was found about a target that passes."""
    pinned = f"SHA-256 {report.sha256[:16]}...{', as published' if report.pinned else ''}"
    computes = f"{report.preprocessing}; {'QuickGELU' if report.quick_gelu else 'GELU'}"
    if report.largest_difference is None:
        return f"{pinned}; {computes}; there are no published embeddings to compare with"
    return f"{pinned}; {computes}; embeddings differ from the published ones by {report.largest_difference:.0e}"
