"""Applies a defense of weights in a worker process of its own, and keeps what it leaves in the cache by its lineage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from idbench.api import (
    Access,
    Adaptation,
    AnswerCard,
    AnswerDefense,
    CorpusDefense,
    Defense,
    Knowledge,
    Progress,
    TargetDefense,
    WeightAdaptation,
)
from idbench.errors import IdbenchError, MethodError, TargetError
from idbench.locking import locked
from idbench.results import AdaptationRef, DefenseCost, DefenseRef, UtilityMeasure
from idbench.runner.bundle import Folders, write_bundle
from idbench.runner.folders import folders_of, writable
from idbench.runner.messages import WEIGHTS
from idbench.runner.process import LOG, WorkerOptions, keep_log, run_worker
from idbench.runner.protection import cases_of
from idbench.runner.registry import RegisteredAdaptation, RegisteredDefense
from idbench.splits import Split, load_corpus
from idbench.splits.auxiliary import load_auxiliary
from idbench.splits.registry import corpus_folder
from idbench.storage import make_dir, sha256_file, storage_errors
from idbench.targets import AppliedDefense, Defended, TargetSpec
from idbench.targets.defended import (
    DefenseNote,
    check_retrainable,
    defended_place,
    defended_target,
    keep_weights,
    read_defense_note,
    write_defense_note,
)
from idbench.workplace import workplace


@dataclass(frozen=True, slots=True)
class Applying:
    """A defense or an adaptation in this process, ready to be applied to targets.

    Args:
        registered: where it comes from.
        defense: with its parameters.
        applied: how lineages speak of it.
        split: has the people, and whatever else it is given.
        people: places of the protected in `split.identities`; none for an adaptation.
    """

    registered: RegisteredDefense | RegisteredAdaptation
    defense: Defense[Any] | Adaptation[Any]
    applied: AppliedDefense
    split: Split
    people: tuple[int, ...]

    @property
    def changes_weights(self) -> bool:
        """Whether it makes another target, not other answers of the same one."""
        return isinstance(self.defense, TargetDefense | CorpusDefense | WeightAdaptation)

    @property
    def trains_again(self) -> bool:
        """Whether it acts before the training, so that the target is trained again."""
        return isinstance(self.defense, CorpusDefense)

    @property
    def folders(self) -> Folders:
        """Where the process of the defense may keep what outlives it; the folders are made."""
        return folders_of(self)

    @property
    def name(self) -> str:
        """Name of the defense."""
        return self.applied.name

    @property
    def version(self) -> str:
        """Version of the defense."""
        return self.applied.version

    @property
    def plugin(self) -> str:
        """Where its class is."""
        return self.registered.plugin.value

    @property
    def distribution(self) -> str:
        """Who brings it."""
        return self.applied.distribution

    @property
    def code_sha256(self) -> str:
        """Of its code."""
        return self.applied.code_sha256

    def target(self, base: TargetSpec) -> TargetSpec:
        """The target that is attacked, on paper: `base` itself where only answers change."""
        return defended_target(base, self.applied) if self.changes_weights else base

    def write_request(self, folder: Path, device: str, target: TargetSpec | None, progress: Progress) -> None:
        """Write what the defense is given, and nothing else, into an empty folder."""
        knowledge, card = self.defense.knowledge, self.defense.card
        write_bundle(
            folder,
            self.split,
            cases_of(self.people),
            knowledge,
            None,
            attack=self.registered.plugin.value,
            access=Access.NONE,
            answers=card.answers if isinstance(card, AnswerCard) else Access.NONE,
            params=self.applied.parameters,
            seed=self.applied.seed,
            device=device,
            folders=self.folders,
            target=None if target is None else target.model_dump_json(),
            auxiliary=load_auxiliary(self.split.manifest.name, progress)
            if Knowledge.AUXILIARY_PEOPLE in knowledge
            else None,
            defense=self.name,
            training=_training(self.name, target, progress) if target is not None and self.trains_again else None,
            progress=progress,
        )


def _training(defense: str, target: TargetSpec, progress: Progress) -> Path:
    """The folder of a target's training set, built if need be.

    Raises:
        TargetError: the target was trained on another build of it.
    """
    assert target.corpus is not None
    corpus = load_corpus(target.corpus, progress)
    if corpus.digest != target.corpus_digest:
        raise TargetError(
            f"{target.name} was trained on another build of {target.corpus} than the one here, so that {defense} would "
            "not change its training set.",
            hint=f"Build {target.corpus} as it was, or train the target again on this build.",
        )
    return corpus_folder(target.corpus)


def check_kind(defense: Defense[Any]) -> None:
    """Refuse a defense of a kind that nothing here can apply.

    Raises:
        MethodError: it is neither a CorpusDefense nor a TargetDefense nor an AnswerDefense.
    """
    if not isinstance(defense, CorpusDefense | TargetDefense | AnswerDefense):
        raise MethodError(
            f"{defense.card.name} is not a CorpusDefense, TargetDefense or AnswerDefense, so it cannot be applied.",
            hint="Derive it from one of them.",
        )


def defend(base: TargetSpec, applying: Applying, options: WorkerOptions) -> TargetSpec:
    """The target after a defense of weights, computed unless it lies in the cache.

    Two processes that want the same target wait for each other; the second finds the weights.

    Args:
        base: pinned.
        applying: a defense of weights, or one before the training.
        options: how the defense is carried out.

    Returns:
        the target with the SHA-256 of its weights.

    Raises:
        TimeLimitExceeded: it took longer; nothing is kept.
        MethodError: it raised, ended without a result, or returned weights that cannot be used; nothing is kept.
        TargetError: the base cannot be loaded.
        StorageError: no space or no permission.
    """
    spec = applying.target(base)
    weights = spec.weights
    if not isinstance(weights, Defended):
        raise TargetError(f"{applying.applied.name} changes no weights.", hint="Use a defense of weights.")
    if applying.trains_again:
        check_retrainable(base)
    path = defended_place(weights)
    make_dir(path.parent)
    with storage_errors(path), locked(path.with_name(f".{path.name}.lock"), options.progress, spec.name):
        note = read_defense_note(weights)
        if note is None or note.sha256 != sha256_file(path):
            note = _compute(weights, applying, options)
        return spec.model_copy(update={"sha256": note.sha256})


def _compute(weights: Defended, applying: Applying, options: WorkerOptions) -> DefenseNote:
    progress, limit = options.progress, options.time_limit
    with workplace() as place:
        folder, written = place / "bundle", place / LOG
        folder.mkdir()
        applying.write_request(folder, options.device, weights.base, progress)
        places = writable(applying.folders)
        try:
            result = run_worker(folder, written, applying.name, progress, limit, places, options.forks)
        except IdbenchError as error:
            raise keep_log(error, written, options.failed_log) from error
        keep_weights(folder / WEIGHTS, weights)
    note = DefenseNote(
        lineage=weights.lineage,
        sha256=sha256_file(defended_place(weights)),
        seconds=result.score,
        steps=result.steps,
        device=result.device,
        guarantees=result.guarantees,
    )
    write_defense_note(weights, note)
    return note


def defense_ref(applying: Applying, base: TargetSpec, utility: tuple[UtilityMeasure, ...] = ()) -> DefenseRef:
    """How a record refers to a defense that was applied to a target.

    Args:
        applying: the defense.
        base: the target before it, pinned.
        utility: before and after, where it was measured.
    """
    spec = applying.target(base)
    note = read_defense_note(spec.weights) if isinstance(spec.weights, Defended) else None
    assert isinstance(applying.registered, RegisteredDefense)
    assert isinstance(applying.defense, Defense)
    return applying.registered.reference(
        applying.defense,
        applying.applied,
        protected=sorted(applying.split.identities[i].id for i in applying.people),
        lineage=spec.lineage,
        weights_sha256=None if note is None else note.sha256,
        cost=_cost(note),
    ).model_copy(update={"utility": utility, "guarantees": () if note is None else note.guarantees})


def adaptation_ref(applying: Applying, defended: TargetSpec) -> AdaptationRef:
    """How a record refers to an adaptation that was applied.

    Args:
        applying: the adaptation.
        defended: the target that it was applied to, pinned.
    """
    spec = applying.target(defended)
    note = read_defense_note(spec.weights) if isinstance(spec.weights, Defended) else None
    assert isinstance(applying.registered, RegisteredAdaptation)
    assert isinstance(applying.defense, Adaptation)
    return applying.registered.reference(
        applying.defense,
        applying.applied,
        lineage=spec.lineage,
        weights_sha256=None if note is None else note.sha256,
        cost=_cost(note),
    )


def _cost(note: DefenseNote | None) -> DefenseCost | None:
    return None if note is None else DefenseCost(seconds=note.seconds, steps=note.steps, device=note.device)
