"""A record with every field filled in."""

from __future__ import annotations

from datetime import UTC, datetime

from idbench.results import Environment, MethodRef, Queries, RunRecord, SplitRef, TargetRef, Timings


def record(run_id: str = "0123456789abcdef", target: str = "t") -> RunRecord:
    return RunRecord(
        schema_version=1,
        run_id=run_id,
        created=datetime(2026, 1, 2, tzinfo=UTC),
        split=SplitRef(name="s", version=1, digest="d", commit=None),
        target=TargetRef(name=target, version="1", architecture="a", sha256="h", corpus="c", control_for=()),
        attack=MethodRef(
            name="m",
            version="1",
            title="M",
            distribution="x 1",
            code_sha256="h",
            access=(),
            knowledge=(),
            track="blind",
        ),
        defense=None,
        parameters={},
        seed=0,
        n_cases=3,
        n_abstained=1,
        photos_per_case=0.0,
        queries=Queries(texts=1, images=2, pairs=3, gradients=4, training_steps=5),
        timings=Timings(load=0, fit=0, score=0, total=0),
        peak_memory_mb=1.0,
        environment=Environment(
            python="3", system="L", device="cpu", processors=2, packages={}, commit=None, dirty=None
        ),
        scores_sha256="",
    )
