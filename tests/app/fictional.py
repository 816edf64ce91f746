"""Makes small fictional boards for the tests: drawn scores that stand for no method's result."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from idbench.api import Silent
from idbench.results import (
    DefenseRef,
    Environment,
    Invalidation,
    MethodRef,
    Queries,
    RunRecord,
    ScoreTable,
    SplitRef,
    TargetRef,
    Timings,
    write_run,
)
from idbench_leaderboard.building import Built, build
from idbench_leaderboard.collect import collect
from idbench_leaderboard.inputs import (
    About,
    Check,
    Choice,
    CorpusLabels,
    MethodInfo,
    Parameter,
    SamplePhoto,
    SplitCard,
    SplitLabels,
    TargetInfo,
)

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
)
"""A defense that nobody wrote, for records of defended targets."""

DIGEST = "d" * 64
PICTURES = np.array([1, 5, 10, 25, 50, 75])
METHODS: dict[str, tuple[float, tuple[str, ...], tuple[str, ...], str]] = {
    "keen": (1.0, ("SIMILARITY",), ("NAME", "PHOTOS"), "black-box"),
    "mild": (0.4, ("SIMILARITY", "GRADIENT"), ("NAME",), "text-only"),
    "deep": (0.9, ("WEIGHTS",), ("NAME", "PHOTOS"), "white-box"),
    "blind-look": (0.0, (), ("PHOTOS",), "blind"),
    "random": (0.0, (), (), "blind"),
}
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class World:
    """Makes records and labels of fictional people; `people` in each part's class."""

    people: int = 120
    calibration: int = 20
    made: int = 0
    folder: Path = field(default_factory=Path)

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
        """A record of a run that never took place; `fiction-a-wide` is another model of the corpus `fiction-a`."""
        self.made += 1
        _, access, knowledge, track = METHODS[method]
        control = target == "fiction-0"
        values: dict[str, Any] = {
            "schema_version": 1,
            "run_id": f"{self.made:016x}",
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
            ),
            "defense": None,
            "parameters": {"photos": 5, "prompts": 21},
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
            "verification": "verified" if method in ("keen", "random") else "self-reported",
        }
        return RunRecord(**{**values, **changes})

    def write(self, root: Path, method: str, target: str = "fiction-a", seed: int = 0, **changes: Any) -> RunRecord:
        """Write one record with its scores."""
        record = self.record(method, target, seed, **changes)
        corpus = record.target.corpus
        strength = METHODS[method][0] * (0.5 if record.parameters["photos"] == 1 else 1.0)
        strength *= 0.3 if record.defense else 1.0
        return write_run(root, record, self.table(strength, corpus, seed, method)).record

    def fill(self, root: Path) -> None:
        """Everything that the pages show: seeds, settings, both targets, the control, a rejected record."""
        for target in ("fiction-a", "fiction-b", "fiction-0"):
            for method in METHODS:
                for seed in range(2):
                    self.write(root, method, target, seed)
        few = {"photos": 1, "prompts": 21}
        self.write(root, "keen", parameters=few, photos_per_case=1.0)
        note = Invalidation(at=START, by="the tests", reason="drawn with the wrong seed")
        self.write(root, "mild", seed=9, invalidated=(note,))


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
                checks=(Check("Duplicate ids", passed=True, detail="none"), Check("Names", passed=False, detail="one")),
                samples=tuple(SamplePhoto(_square(shade), f"person {shade}") for shade in (40, 120, 200)),
            ),
        ),
        methods=(
            MethodInfo(
                name="keen",
                version="1",
                title="The keen attack of the tests",
                summary="Guesses well.",
                paper="Nobody, A Paper That Does Not Exist",
                url="https://example.org/keen",
                choices=(Choice("The prompts", "21 of them", "the source does not say"),),
                parameters=(
                    Parameter("photos", "int", "5", "Photos per person."),
                    Parameter("prompts", "int", "21", "Prompts per person."),
                ),
            ),
        ),
        targets=(TargetInfo("fiction-a", "1", "A model of the tests", "mit", "12 epochs"),),
    )


def _square(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (shade, shade, 90)).save(buffer, "PNG")
    return buffer.getvalue()


def build_board(world: World, root: Path, out: Path) -> Built:
    """Collect and build, as the command line does."""
    found = collect([root])
    return build(found.runs, [world.labels()], out, Silent(), names=found.names, rejected=found.rejected, about=about())
