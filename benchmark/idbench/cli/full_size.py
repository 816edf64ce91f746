"""`bench target train` for training sets of shards: prints open_clip's command and runs it."""

from __future__ import annotations

import shlex

from idbench.cli import console, text
from idbench.runner.full_size import Wanted, full_size_trainings
from idbench.splits import SourcedRecipe


def train_full_size(recipe: SourcedRecipe, word: str, wanted: Wanted, dry_run: bool) -> None:
    """Train what a reference stands for, one training after the other; with `dry_run`, only print the commands."""
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
