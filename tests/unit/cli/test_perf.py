"""`bench perf`: each claim against the straightforward way, in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conftest import Bench

from idbench.performance import CLAIMS, Conditions, MeasuredClaim, half_texts, labels, table, usual_claims


def test_ratios_are_of_equal_work() -> None:
    row = MeasuredClaim("texts", plain=50.0, fast=2.0, difference=3e-6, scaled=0.05, peak_mb=2048.0)
    alone = MeasuredClaim("people", plain=None, fast=0.3, difference=None, scaled=1.0, peak_mb=100.0)
    assert table([row, alone]) == [
        ("texts", "50.00 s (from 5.0%)", "2.00 s", "25x", "3.0e-06", "2,048 MiB"),
        ("people", "", "0.30 s", "", "", "100 MiB"),
    ]


def test_a_claim_compares_results_besides_times(monkeypatch: pytest.MonkeyPatch) -> None:
    from idbench.targets.view import View

    assert labels(Conditions(full=False)).difference == 0
    honest = View.labels
    monkeypatch.setattr(View, "labels", lambda self, photos, texts: honest(self, photos, texts) + 1)
    assert labels(Conditions(full=False)).difference == 1


def test_what_is_measured_depends_on_what_computes() -> None:
    here, there = (set(usual_claims(Conditions(full=False, device=device))) for device in ("cpu", "cuda"))
    assert {"texts", "photos"} <= here & there
    assert here - there == {"bootstrap"}
    assert there - here == {"half-texts", "half-photos", "half-gradients"}
    assert set(usual_claims(Conditions(full=True))) - here == {"people-100000"}


def test_a_change_of_precision_is_measured_by_cosines() -> None:
    found = half_texts(Conditions(full=False))
    assert found.difference is not None
    assert 1e-4 < found.difference < 0.05


def test_the_command_measures_and_writes_a_table(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    done = bench("perf", "labels", "--out", "table.md", "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row["difference"] == 0
    assert row["plain"] > 0
    assert row["fast"] > 0
    assert row["peak_mb"] > 10
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert lines[0].startswith("| what | straightforward |")
    assert lines[2].startswith("| labels of 5,000 photos")
    (tmp_path / "other.md").write_text("somebody's notes")
    refused = bench("perf", "labels", "--out", "other.md")
    assert refused.returncode == 1
    assert (tmp_path / "other.md").read_text() == "somebody's notes"
    elsewhere = bench("perf", "labels", "--device", "mps")
    assert elsewhere.returncode == 1
    assert "not on mps" in elsewhere.stderr
    unknown = bench("perf", "lables")
    assert unknown.returncode == 1
    assert "Did you mean 'labels'?" in unknown.stderr
    assert set(CLAIMS) >= {"texts", "photos", "kept", "labels", "bootstrap"}
