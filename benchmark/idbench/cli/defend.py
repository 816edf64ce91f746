"""`bench defend`: apply a defense to a target and write a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from idbench.cli import console, options, text
from idbench.wording import counted


def defend(
    target: Annotated[str, typer.Argument(help="A target, or a reference such as file:PATH?like=NAME.")],
    defense: Annotated[str, typer.Option(help="A defense of weights; `bench list defenses` shows what there is.")],
    protect: Annotated[
        Path, typer.Option(metavar="FILE", help="The people to protect: a name per line, or CSV with `name`.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")],
    split: options.Split = "avatars",
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of the defense.")] = 0,
    preset: Annotated[str | None, typer.Option(help="Named parameters from the defense's card.")] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE", help="A parameter; may be repeated.")
    ] = None,
    device: options.Device = "auto",
    time_limit: options.TimeLimit = options.TIME_LIMIT,
    force: options.Overwrite = False,
    json: options.Json = False,
    dry_run: options.DryRun = False,
) -> None:
    """Apply a defense of weights to a target, and write the result as a folder that open_clip loads."""
    from idbench.cli.run import parse_parameters
    from idbench.runner.checkpoint import check_exportable, write_checkpoint
    from idbench.runner.defend import defend as apply
    from idbench.runner.process import WorkerOptions
    from idbench.runner.protection import given_sha256, listed_people
    from idbench.runner.selection import check_undefended
    from idbench.runner.spec import plan_defense
    from idbench.splits import load_split
    from idbench.storage import cache_dir
    from idbench.targets import resolve_target
    from idbench.targets.fetch import pin_target

    planned = plan_defense(defense, preset, parse_parameters(param))
    spec = resolve_target(target)
    check_undefended(spec)
    with console.bars() as progress:
        base = pin_target(spec)
        opened = load_split(split, progress)
        people = listed_people(opened, protect)
        given = given_sha256(opened, people, planned.defense.knowledge, progress)
        applying = planned.applying(opened, people, seed, given)
        check_exportable(applying, out, protect, force, console.note)
        if dry_run:
            console.say(
                f"would apply {defense} to {base.name} for {counted(len(people), 'person', 'people')}, and write {out}"
            )
            return
        log = cache_dir("failed", f"{defense}-{applying.target(base).name[-8:]}.log")
        defended = apply(base, applying, WorkerOptions(device, time_limit, progress, log))
        ref = write_checkpoint(applying, base, defended, out, protect)
    if json:
        shown = {"folder": out.as_posix(), "target": defended.name, "protected_people": len(people)}
        console.write_json(shown | {"defense": ref.model_dump(mode="json")})
        return
    assert ref.cost is not None
    steps = f", {text.amount(ref.cost.steps)} steps" if ref.cost.steps else ""
    took = f"{text.seconds(ref.cost.seconds)}{steps}"
    console.say(f"wrote {out}: {base.name} behind {defense}, {counted(len(people), 'person', 'people')}, {took}")
    console.say(f"lineage {ref.lineage}")
    console.next_steps(f"bench run --method all --defense {defense}")
    console.say("It measures what the defense protects and what it breaks.")
