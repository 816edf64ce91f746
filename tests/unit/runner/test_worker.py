"""Attacks run apart from the labels, are held to their declarations, and fail with one sentence."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.small_runs import CORPUS, FORKS

import idbench
from idbench import metrics
from idbench.api import Silent
from idbench.errors import (
    AccessViolation,
    IdbenchError,
    InvalidScores,
    MethodError,
    PluginError,
    TimeLimitExceeded,
    UnknownNameError,
)
from idbench.results import Run
from idbench.runner.bundle import CasePlan, plan_cases
from idbench.runner.execute import Options, execute
from idbench.runner.grid import make_grid, specs
from idbench.runner.spec import Resolver
from idbench.splits import Split, load_split

pytestmark = pytest.mark.usefixtures("plugins")


def run(method: str, results: Path, time_limit: float = 120.0, secret: int | None = None) -> Run:
    """Run one attack, without the blind ones that `idbench.run` adds."""
    (spec,) = specs(make_grid(load_split("avatars-tiny"), [method], "avatars-a", corpus=CORPUS))
    options = Options(results, time_limit=time_limit, secret=secret, forks=FORKS)
    return execute(Resolver(Silent()).resolve(spec), options, Silent()).run


@pytest.mark.parametrize(
    ("method", "kind", "sentence"),
    [
        ("sample-raises", MethodError, r"sample-raises failed during score: ZeroDivisionError: the stranger divided"),
        ("sample-dies", MethodError, r"ended without a result: killed by SIGKILL"),
        ("sample-exits", MethodError, r"failed during score: SystemExit"),
        ("sample-nan", InvalidScores, r"1 of \d+ scores are NaN or infinite \(first at case 3\)"),
        ("sample-short", InvalidScores, r"shape \(\d+,\); \d+ cases need"),
        ("sample-none", MethodError, r"score\(\) returned NoneType"),
        ("sample-undeclared", AccessViolation, r"photos that its card does not declare"),
        ("sample-full-disk", MethodError, r"No space left"),  # its word alone stops nobody
        ("sample-broken-import", PluginError, r"No module named 'a_package_that_nobody_has'"),
        ("sample-no-attack", PluginError, r"is not an attack"),
        ("sample-other-name", PluginError, r"registered as 'sample-other-name', but calls itself 'sample-good'"),
        ("sample-godo", UnknownNameError, r"no attack called 'sample-godo'. Did you mean 'sample-good'"),
    ],
)
def test_bad_plugin_gives_one_sentence(method: str, kind: type[IdbenchError], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(IdbenchError, match=sentence) as caught:
        run(method, tmp_path)
    assert type(caught.value) is kind or isinstance(caught.value, kind)
    assert not list(tmp_path.rglob(f"{method}-*/run.json"))


def test_a_record_says_with_how_many_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # a number other than the processors', which would be the default
    asked = run("cosine", tmp_path).record.environment
    assert (asked.device, asked.threads, asked.device_model) == ("cpu", 1, None)
    assert run("blind-names", tmp_path).record.environment.threads is None


def test_failed_run_keeps_the_log(tmp_path: Path) -> None:
    with pytest.raises(MethodError, match=r"worker's log: ") as caught:
        run("sample-raises", tmp_path)
    log = Path(caught.value.hint.rpartition(": ")[2])
    assert "ZeroDivisionError: the stranger divided by zero" in log.read_text()


def test_hanging_plugin_and_its_children_are_ended(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(TimeLimitExceeded, match="did not finish within 4 seconds"):
        run("sample-hangs", tmp_path, time_limit=4.0)
    pids = (next((cache / "methods" / "sample-hangs").iterdir()) / "pids").read_text().split()
    assert len(pids) == 2
    for pid in pids:
        status = Path(f"/proc/{pid}/status")
        assert not status.exists() or "State:\tZ" in status.read_text()


def test_good_plugin_from_outside(tmp_path: Path) -> None:
    outcome = idbench.run("sample-good", results=tmp_path, split="avatars-tiny", target="avatars-a", corpus=CORPUS)
    record = outcome.run.record
    assert not outcome.reused
    assert record.attack.distribution == "idbench-sample 0.3"
    assert record.attack.access == ("SIMILARITY",)
    assert record.attack.track == "black-box"
    assert record.queries.images > 0
    assert record.queries.texts == record.n_cases
    assert record.queries.gradients == 0
    assert "what a plug-in prints" in (outcome.run.path / "worker.log").read_text()
    again = idbench.run("sample-good", results=tmp_path, split="avatars-tiny", target="avatars-a", corpus=CORPUS)
    assert again.reused
    assert again.summary == outcome.summary


def test_abstentions_rank_lowest(tmp_path: Path) -> None:
    done = run("sample-abstains", tmp_path)
    table = done.scores()
    assert 0 < done.record.n_abstained < done.record.n_cases
    assert table.ranked()[table.abstained].max() < table.scores[~table.abstained].min()
    assert sum(table.abstentions().values()) == done.record.n_abstained
    assert set(table.abstentions()) == {"a long even name", "no reason given"}


def test_snooping_plugin_learns_nothing(tmp_path: Path) -> None:
    # One order out of many: in another, chance alone could look like a leak once in some hundred times.
    table = run("sample-snoops", tmp_path, secret=0).scores()
    assert len(table.details) >= 4, "the snooper must have found something to look at"
    split = load_split("avatars-tiny")
    by_id = {identity.id: i for i, identity in enumerate(split.identities)}
    rows = np.array([by_id[identity] for identity in table.identities])
    for corpus in ("avatars-tiny-a", "avatars-tiny-b"):
        members = np.asarray(split.labels(corpus).member)[rows]
        for name, values in table.details.items():
            # 72 people: chance alone stays within 0.5 +- 0.2 (three standard deviations), a label would be 0 or 1.
            assert abs(metrics.auc(values, members) - 0.5) < 0.25, f"{name} tells members of {corpus}"


def test_snooping_plugin_would_find_a_leak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check above can fail: let the order of the cases tell members, and the snooper brings it home."""

    def leaking(split: Split, secret: int | None = None) -> CasePlan:
        plan = plan_cases(split, secret)
        return CasePlan(np.argsort(np.asarray(split.labels(CORPUS).member), kind="stable"), plan.ids)

    monkeypatch.setattr("idbench.runner.execute.plan_cases", leaking)
    table = run("sample-snoops", tmp_path).scores()
    split = load_split("avatars-tiny")
    members = {identity.id: bool(m) for identity, m in zip(split.identities, split.labels(CORPUS).member, strict=True)}
    truth = np.array([members[identity] for identity in table.identities])
    assert max(metrics.auc(values, truth) for values in table.details.values()) == 1.0


def test_snooping_plugin_meets_no_label_no_id_and_no_split(tmp_path: Path) -> None:
    log = (run("sample-snoops", tmp_path).path / "worker.log").read_text()
    split = load_split("avatars-tiny")
    assert re.search(r"case-[0-9a-f]{6}", log), "the snooper must have seen its cases"
    assert not [identity.id for identity in split.identities if identity.id in log]
    assert not [photo for identity in split.identities for photo in identity.photos if photo in log]
    assert str(split.folder) not in log
    assert "avatars-tiny-a" not in log


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
def test_a_snooping_plugin_meets_nothing_of_the_run_before_its_own(tmp_path: Path) -> None:
    first, second = (
        (run("sample-snoops", tmp_path / name).path / "worker.log").read_text() for name in ("first", "second")
    )
    seen, cases = (set(re.findall(r"case-[0-9a-f]{6}", log)) for log in (first, second))
    assert seen
    assert cases
    assert seen.isdisjoint(cases)
    folders, own = (set(re.findall(r"idbench-[\w-]+/files/bundle", log)) for log in (first, second))
    assert folders
    assert folders.isdisjoint(own)
    assert "socket:[" not in first + second, "a worker holds an end of what its fork server listens to"


def test_order_and_ids_of_cases_come_from_a_secret_alone() -> None:
    split = load_split("avatars-tiny")
    first, again, other = (plan_cases(split, secret) for secret in (5, 5, 6))
    assert first.ids == again.ids
    assert np.array_equal(first.order, again.order)
    assert not np.array_equal(first.order, other.order)
    assert set(first.ids).isdisjoint(other.ids)
    assert sorted(first.order) == list(range(len(split.identities)))
    drawn, anew = plan_cases(split), plan_cases(split)
    assert set(drawn.ids).isdisjoint(anew.ids)
    assert not np.array_equal(drawn.order, anew.order)
