"""The one formula for run ids: what makes a run that run, for planning runs and for checking records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, Protocol

from idbench.results.record import RunRecord, SplitRef, TargetRef

ENGINE_VERSION: Final = 2
"""Raised whenever code of `idbench` itself, outside of a method's own import closure, may change scores
by more than rounding. Another order of the same sums (texts in a trie instead of one by one, batches of another size)
does not count: it moves scores no more than another processor does, and a repetition allows for that.

1 is the engine of records of schema 1, which do not state it.
"""


class MethodIdentity(Protocol):
    """Which code a method runs."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def code_sha256(self) -> str: ...


class DefenseIdentity(MethodIdentity, Protocol):
    """Which code a defense runs, with what."""

    @property
    def parameters(self) -> Mapping[str, Any]: ...
    @property
    def seed(self) -> int: ...
    @property
    def given_sha256(self) -> str: ...


class AdaptationIdentity(MethodIdentity, Protocol):
    """Which code an adaptation runs, with what."""

    @property
    def parameters(self) -> Mapping[str, Any]: ...


def run_id(
    *,
    split: SplitRef,
    target: TargetRef,
    attack: MethodIdentity,
    parameters: Mapping[str, Any],
    seed: int,
    calibration_corpus: str | None,
    defense: DefenseIdentity | None = None,
    adaptation: AdaptationIdentity | None = None,
    engine: int = ENGINE_VERSION,
) -> str:
    """16 hexadecimal digits that follow from everything that the scores may depend on.

    Args:
        split: name, version and digest count; the commit does not, since the digest stands for the content.
        target: name, SHA-256 of the weights and design count.
        attack: name, version and code hash count.
        parameters: all of them, as plain JSON values.
        seed: non-negative.
        calibration_corpus: whose calibration labels the method is given; None if it is given none.
        defense: what the target was put behind, with the hash over whom it protects and what else it was given; None
            for nothing. The target is then the one before the defense.
        adaptation: what the attack is combined with; None for nothing, which leaves the id as it was before there were
            adaptations. What it is given follows from the split and the calibration corpus.
        engine: see `ENGINE_VERSION`.
    """
    parts: dict[str, object] = {
        "engine": engine,
        "split": [split.name, split.version, split.digest],
        "target": [target.name, target.sha256, target.design],
        "attack": [attack.name, attack.version, attack.code_sha256],
        "calibration": calibration_corpus,
        "parameters": dict(parameters),
        "seed": seed,
        "defense": None
        if defense is None
        else [
            *(defense.name, defense.version, defense.code_sha256, dict(defense.parameters)),
            *(defense.seed, defense.given_sha256),
        ],
    }
    if adaptation is not None:
        own = (adaptation.name, adaptation.version, adaptation.code_sha256, dict(adaptation.parameters))
        parts["adaptation"] = list(own)
    return _hashed(parts)


def expected_run_id(record: RunRecord) -> str:
    """The id that follows from a record's content.

    A record of schema 1 does not say whose calibration labels a method was given. They were those of the target's own
    corpus, or of the first corpus that a control target stands in for.
    """
    if record.schema_version == 1:
        return _first_schema(record)
    return run_id(
        split=record.split,
        target=record.target,
        attack=record.attack,
        parameters=record.parameters,
        seed=record.seed,
        calibration_corpus=record.calibration_corpus,
        defense=record.defense,
        adaptation=record.adaptation,
        engine=record.engine or ENGINE_VERSION,
    )


def _first_schema(record: RunRecord) -> str:
    corpora = (*record.target.control_for, record.target.corpus)
    return _hashed(
        {
            "split": [record.split.name, record.split.version, record.split.digest],
            "target": [record.target.name, record.target.sha256],
            "attack": [record.attack.name, record.attack.version, record.attack.code_sha256],
            "calibration": corpora[0] if "CALIBRATION_LABELS" in record.attack.knowledge else None,
            "parameters": record.parameters,
            "seed": record.seed,
        }
    )


def _hashed(parts: Mapping[str, Any]) -> str:
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
