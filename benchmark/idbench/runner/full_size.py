"""Which shards a reference stands for, and how each becomes a training: where splits and full-size targets meet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from idbench.errors import DataError, TargetError, UnknownNameError
from idbench.programs import machine_memory
from idbench.splits import SourcedRecipe, find_recipe, load_split, recipes_making, split_names
from idbench.splits.building import corpus_place, how_to_build
from idbench.splits.cc3m.shards import read_shards
from idbench.storage import cache_dir, expanded
from idbench.targets.full_size.command import ARCHITECTURES, FullSizeTraining, Machines, ShardSet, parse
from idbench.targets.full_size.outcome import outcome_of


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of a full-size training.

    Args:
        architecture: a name that open_clip knows, or the path of a model configuration (JSON).
        gpus: on each node; None: all that are here.
        nodes: how many.
        rendezvous: HOST:PORT where nodes meet.
        logs: folder for checkpoints and logs; None: in the cache.
        extra: arguments for the trainer.
    """

    architecture: str | None
    gpus: int | None = None
    nodes: int = 1
    rendezvous: str | None = None
    logs: Path | None = None
    extra: tuple[str, ...] = ()


def full_size_recipe(word: str) -> SourcedRecipe | None:
    """The split of shards that a word names, or one of whose training sets it names; None where it names neither.

    Raises:
        PluginError: the word is the name of a split that cannot be used.
    """
    recipes = [find_recipe(word)] if word in split_names() else recipes_making(word)
    return next((recipe for recipe in recipes if isinstance(recipe, SourcedRecipe) and recipe.shards), None)


def full_size_trainings(recipe: SourcedRecipe, word: str, wanted: Wanted) -> list[FullSizeTraining]:
    """The trainings that a reference stands for: of one training set, or of all of a split, the control last.

    Raises:
        UnknownNameError: open_clip knows no such architecture.
        TargetError: no architecture is named, or no model can be built of it with these arguments.
        DataError: the split is not built yet, or a training set is damaged.
    """
    if wanted.architecture is None:
        raise TargetError(
            "No architecture to train.",
            hint=f"Add --arch {', '.join(ARCHITECTURES[:-1])} or {ARCHITECTURES[-1]}, or another one of open_clip's, "
            "or the path of a model configuration (JSON).",
        )
    architecture = _checked_architecture(wanted.architecture, wanted.extra)
    sets = _training_sets(recipe)
    chosen = list(sets.values()) if word == recipe.name else [sets[word]] if word in sets else []
    if not chosen:
        raise UnknownNameError("training set", word, sets)
    gpus = _gpus_here() if wanted.gpus is None else wanted.gpus
    machines = Machines(gpus, wanted.nodes, wanted.rendezvous, _memory(gpus))
    logs = expanded(wanted.logs or cache_dir("full-size", "trainings")).absolute()
    return [FullSizeTraining(data, architecture, machines, logs, wanted.extra) for data in chosen]


def _checked_architecture(architecture: str, extra: tuple[str, ...]) -> str:
    """The architecture, a path made absolute, after a model of it took its first step without numbers."""
    from idbench.targets.full_size.sizing import check_first_step

    own = architecture.endswith(".json")
    chosen = str(expanded(Path(architecture)).absolute()) if own else architecture
    options = parse(extra)
    check_first_step(outcome_of(chosen, options).config, options)
    return chosen


def _memory(gpus: int) -> int | None:
    """Bytes that each training process may take on this machine; None where the training is for another one."""
    if gpus == 0:
        return machine_memory()
    if gpus > _gpus_here():
        return None
    import torch

    return min(int(torch.cuda.get_device_properties(i).total_memory) for i in range(gpus))


def _training_sets(recipe: SourcedRecipe) -> dict[str, ShardSet]:
    manifest = load_split(recipe.name).manifest
    controls = {corpus.name for corpus in manifest.corpora if corpus.control}
    sets = {}
    for corpus in recipe.corpora:
        place = corpus_place(recipe, corpus)
        shards = read_shards(place)
        if manifest.training.get(corpus) not in (None, shards.digest):
            raise DataError(
                f"The shards of {corpus} do not belong to the split {recipe.name} in the cache.",
                hint=f"Build it again: {how_to_build(recipe)}",
            )
        control_for = tuple(name for name in recipe.corpora if name not in controls) if corpus in controls else ()
        sets[corpus] = ShardSet(corpus, place, shards.pairs, shards.shards, shards.digest, control_for)
    return sets


def _gpus_here() -> int:
    import torch

    return torch.cuda.device_count()
