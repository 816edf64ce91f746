"""Makes small fictional boards for the tests: drawn scores that stand for no method's result."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from idbench.api import Silent
from idbench.results import (
    ENGINE_VERSION,
    AdaptationRef,
    CardCopy,
    ChoiceCopy,
    Collected,
    DefenseRef,
    Environment,
    MethodRef,
    ParameterCopy,
    PassedParameters,
    Queries,
    Run,
    RunRecord,
    ScoreTable,
    SplitRef,
    TargetRef,
    Timings,
    collect,
    expected_run_id,
    write_run,
)
from idbench.results.attestation import Attestation, Invalidation, Level, Statements, subject_of
from idbench.results.labels import CorpusLabels, SplitLabels
from idbench.splits import Split
from idbench_leaderboard.building import Built, build
from idbench_leaderboard.inputs import About, AuditCheck, SamplePhoto, SplitCard, TargetDescription

DEFENSE = DefenseRef(
    name="blur",
    version="1",
    title="Blur",
    distribution="fiction",
    code_sha256="7" * 64,
    access=(),
    knowledge=(),
    track="blind",
    parameters={},
    seed=0,
    given_sha256="8" * 64,
    protected=(),
    lineage=None,
    weights_sha256=None,
    cost=None,
)
"""A defense that nobody wrote, for records of defended targets."""

ADAPTATION = AdaptationRef(
    name="relearn",
    version="1",
    title="Relearning",
    distribution="fiction",
    code_sha256="6" * 64,
    access=("WEIGHTS",),
    knowledge=(),
    track="weights",
    parameters={"steps": 5},
    lineage=None,
    weights_sha256=None,
    cost=None,
)
"""An adaptation that nobody wrote."""

DIGEST = "d" * 64
PICTURES = np.array([1, 5, 10, 25, 50, 75])
METHODS: dict[str, tuple[float, tuple[str, ...], tuple[str, ...], str]] = {
    "keen": (1.0, ("SIMILARITY",), ("NAME", "PHOTOS"), "black-box"),
    "mild": (0.4, ("SIMILARITY", "GRADIENT"), ("NAME",), "text-only"),
    "deep": (0.9, ("WEIGHTS",), ("NAME", "PHOTOS"), "white-box"),
    "blind-look": (0.0, (), ("PHOTOS",), "blind"),
    "random": (0.0, (), (), "blind"),
}
PAPERS = {
    "keen": "Nobody et al., A Paper That Does Not Exist",
    "mild": "Noone, Nemo, Another That Does Not, Journal of Nowhere 12 (2025) 1999-2004, arXiv 2001.01234",
    "deep": "Own. What it stands on: Nobody et al., 2026",
}
START = datetime(2026, 1, 1, tzinfo=UTC)


CHECKED = ("keen", "random")
"""Methods whose records maintainers replayed."""


@dataclass
class World:
    """Makes records and labels of fictional people; `people` in each part's class."""

    people: int = 120
    calibration: int = 20

    @property
    def ids(self) -> tuple[str, ...]:
        total = 2 * (self.people + self.calibration)
        return tuple(f"p{index:05d}" for index in range(total))

    def labels(self, **changes: Any) -> SplitLabels:
        """Even people belong to corpus A, odd ones to B; the last are the calibration part."""
        index = np.arange(len(self.ids))
        inside = index % 2 == 0
        pictures = PICTURES[index // 2 % PICTURES.size]
        values: dict[str, Any] = {
            "name": "fiction",
            "version": 1,
            "digest": DIGEST,
            "identities": self.ids,
            "test": index < 2 * self.people,
            "corpora": {
                "fiction-a": CorpusLabels(inside, np.where(inside, pictures, 0)),
                "fiction-b": CorpusLabels(~inside, np.where(~inside, pictures, 0)),
            },
        }
        return SplitLabels(**{**values, **changes})

    def table(self, strength: float, corpus: str | None, seed: int, salt: str = "", **changes: Any) -> ScoreTable:
        """Drawn scores; members of the corpus score higher, more so with more pictures."""
        rng = np.random.default_rng([seed, int(100 * strength), *(corpus or "").encode(), *salt.encode()])
        scores = rng.normal(size=len(self.ids))
        if corpus in ("fiction-a", "fiction-b"):
            known = self.labels().corpora[str(corpus)]
            scores += strength * known.member * np.log1p(known.occurrences) / 2
        values: dict[str, Any] = {
            "identities": self.ids,
            "scores": scores,
            "abstained": np.zeros(scores.size, dtype=np.bool_),
            "photos_used": np.full(scores.size, 5),
        }
        return ScoreTable(**{**values, **changes})

    def record(self, method: str, target: str = "fiction-a", seed: int = 0, **changes: Any) -> RunRecord:
        """A record of a run that never took place; `fiction-a-wide` is another model of the corpus `fiction-a`.

        Its run id is that of what it says, unless one is given.
        """
        _, access, knowledge, track = METHODS[method]
        control = target == "fiction-0"
        values: dict[str, Any] = {
            "schema_version": 2,
            "run_id": "0" * 16,
            "engine": ENGINE_VERSION,
            "created": START,
            "split": SplitRef(name="fiction", version=1, digest=DIGEST, commit=None),
            "target": TargetRef(
                name=target,
                version="1",
                architecture="ViT-tiny",
                sha256=("0" if control else target[8]) * 64
                if len(target) == 9
                else hashlib.sha256(target.encode()).hexdigest(),
                corpus="fiction-background" if control else target[:9],
                control_for=("fiction-a", "fiction-b") if control else (),
                design="d" * 64,
            ),
            "attack": MethodRef(
                name=method,
                version="1",
                title=f"The {method} attack of the tests",
                distribution="fiction 1.0",
                code_sha256="e" * 64,
                access=access,
                knowledge=knowledge,
                track=track,
                card=card(method, changes.get("parameters", {})),
            ),
            "defense": None,
            "parameters": {"photos": 5, "prompts": 21},
            "parameters_passed": PassedParameters(preset=None, overrides=changes.get("parameters", {})),
            "seed": seed,
            "n_cases": len(self.ids),
            "n_abstained": 0,
            "photos_per_case": 5.0,
            "queries": Queries(
                texts=0 if track == "blind" else 2100 * (1 + len(method)),
                images=0 if track == "blind" else 1200,
                pairs=0,
                gradients=9000 if "GRADIENT" in access else 0,
                training_steps=0,
            ),
            "timings": Timings(load=1.0, fit=0.0, score=2.5 * len(method), total=4.0 + len(method)),
            "peak_memory_mb": 700.0,
            "environment": Environment(
                python="3.11.0",
                system="Linux x86_64",
                device="cpu",
                processors=2,
                packages={"idbench": "0.1.0"},
                commit=None,
                dirty=None,
            ),
            "scores_sha256": "",
        }
        return with_id(RunRecord(**{**values, **changes}), **changes)

    def write(self, root: Path, method: str, target: str = "fiction-a", seed: int = 0, **changes: Any) -> RunRecord:
        """Write one record with its scores."""
        record = self.record(method, target, seed, **changes)
        corpus = record.target.corpus
        strength = METHODS[method][0] * (0.5 if record.parameters["photos"] == 1 else 1.0)
        strength *= 0.3 if record.defense else 1.0
        photos = np.full(len(self.ids), int(record.photos_per_case))
        return write_run(root, record, self.table(strength, corpus, seed, method, photos_used=photos)).record

    def fill(self, root: Path) -> None:
        """Everything that the pages show: seeds, settings, both targets, the control, a rejected record."""
        for target in ("fiction-a", "fiction-b", "fiction-0"):
            for method in METHODS:
                for seed in range(2):
                    self.write(root, method, target, seed)
        few = {"photos": 1, "prompts": 21}
        self.write(root, "keen", parameters=few, photos_per_case=1.0)
        self.write(root, "mild", seed=9)


def with_id(record: RunRecord, **changes: Any) -> RunRecord:
    """A record with the id of what it says, unless the changes name one."""
    return record if "run_id" in changes else record.model_copy(update={"run_id": expected_run_id(record)})


def card(method: str, parameters: Mapping[str, Any]) -> CardCopy:
    """The card that the records of a method carry; it knows the parameters that a record has beside the usual ones."""
    _, access, knowledge, _ = METHODS[method]
    keen = method == "keen"
    return CardCopy(
        name=method,
        version="1",
        title=f"The {method} attack of the tests",
        summary="Guesses well." if keen else "",
        paper=PAPERS.get(method),
        authors="Nobody et al." if keen else "",
        year=2026 if keen else None,
        url="https://example.org/keen" if keen else None,
        access=access,
        knowledge=knowledge,
        optional_knowledge=(),
        choices=(ChoiceCopy(what="The prompts", chosen="21 of them", why="the source does not say"),) if keen else (),
        presets={"paper": {"photos": 30, "prompts": 100}} if keen else {},
        parameters=(
            ParameterCopy(name="photos", type="int", default=5, description="Photos per person."),
            ParameterCopy(name="prompts", type="int", default=21, description="Prompts per person."),
            *(
                ParameterCopy(name=name, type="str", default=value, description="")
                for name, value in sorted(parameters.items())
                if name not in ("photos", "prompts")
            ),
        ),
    )


def attestation(run: Run, level: Level = Level.REPLAYED) -> tuple[str, Attestation]:
    """A maintainer's word for a record."""
    return run.record.run_id, Attestation(subject=subject_of(run), level=level, at=START, by="the tests")


def invalidation(run: Run, reason: str) -> tuple[str, Invalidation]:
    """A maintainer's word against a record."""
    return run.record.run_id, Invalidation(subject=subject_of(run), at=START, by="the tests", reason=reason)


def statements_of(found: Collected) -> Statements:
    """What maintainers say of the records of `World.fill`: some were replayed, one is wrong."""
    checked = [attestation(run) for run in found.runs if run.record.attack.name in CHECKED]
    wrong = [run for run in found.runs if run.record.seed == 9]
    return Statements((*checked, *(invalidation(run, "drawn with the wrong seed") for run in wrong)))


def write_about(split: Split, folder: Path) -> None:
    """Records about the people of an opened split, with drawn scores that follow the labels of its first corpus."""
    corpus = split.corpora[0]
    member, ids = split.labels(corpus).member, tuple(identity.id for identity in split.identities)
    ref = SplitRef(name=split.manifest.name, version=split.manifest.version, digest=split.digest, commit=None)
    target = TargetRef(
        name="drawn",
        version="1",
        architecture="none",
        sha256="0" * 64,
        corpus=corpus,
        control_for=(),
        design="d" * 64,
    )
    for method, strength in (("keen", 2.0), ("random", 0.0)):
        made = World().record(method, n_cases=len(ids), split=ref)
        record = with_id(made.model_copy(update={"target": target}))
        scores = np.random.default_rng(len(method)).normal(size=len(ids)) + strength * member
        write_run(folder, record, ScoreTable(ids, scores, np.zeros(len(ids), dtype=np.bool_), np.full(len(ids), 5)))


def about() -> About:
    """Cards that the pages show."""
    return About(
        splits=(
            SplitCard(
                name="fiction",
                version=1,
                title="People of the tests",
                description="Nobody here exists.",
                license="cc0-1.0",
                corpora={"fiction-a": "half of the people", "fiction-b": "the other half"},
                fictional=True,
                checks=(
                    AuditCheck("Duplicate ids", passed=True, detail="none"),
                    AuditCheck("Names", passed=False, detail="one"),
                ),
                samples=tuple(SamplePhoto(_square(shade), f"person {shade}") for shade in (40, 120, 200)),
            ),
        ),
        targets=(TargetDescription("fiction-a", "1", "A model of the tests", "mit", "12 epochs"),),
    )


def _square(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (shade, shade, 90)).save(buffer, "PNG")
    return buffer.getvalue()


def build_board(world: World, root: Path, out: Path) -> Built:
    """Collect and build, as the command line does."""
    found = collect([root])
    return build(found, [world.labels()], out, Silent(), statements=statements_of(found), about=about())
