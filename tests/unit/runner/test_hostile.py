"""Plug-ins that mean harm end their own run at most: they neither hang, nor fill, nor fool the parent or other runs."""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest
from tests.small_runs import CORPUS, FORKS

from idbench import metrics
from idbench.api import Reporter, Silent
from idbench.errors import AccessViolation, IdbenchError, InvalidScores, MethodError, StorageError
from idbench.results import Run
from idbench.runner.confinement import can_confine
from idbench.runner.execute import Options, execute
from idbench.runner.grid import make_grid, run_grid, specs
from idbench.runner.registry import load_attack
from idbench.runner.spec import Resolver
from idbench.splits import load_split
from idbench.storage import cache_dir

pytestmark = pytest.mark.usefixtures("plugins")


@dataclass
class Seen(Reporter):
    """Remembers what was reported."""

    words: list[str] = field(default_factory=list)

    def update(self, done: float, total: float, description: str) -> None:
        self.words.append(description)


def run(method: str, results: Path, time_limit: float = 120.0, progress: Reporter | None = None) -> Run:
    (spec,) = specs(make_grid(load_split("avatars-tiny"), [method], "avatars-a", corpus=CORPUS))
    options = Options(results, time_limit=time_limit, force=True, forks=FORKS)
    return execute(Resolver(Silent()).resolve(spec), options, progress or Silent()).run


def auc(done: Run) -> float:
    split = load_split("avatars-tiny")
    table = done.scores()
    members = dict(zip((i.id for i in split.identities), split.labels(CORPUS).member, strict=True))
    return metrics.auc(table.ranked(), np.array([members[i] for i in table.identities]))


@pytest.mark.parametrize(
    ("method", "kind", "sentence"),
    [
        ("sample-pipes", MethodError, r"result.json that cannot be used: result.json is not a regular file"),
        ("sample-piped-scores", MethodError, r"scores that cannot be used: scores.safetensors is not a regular file"),
        ("sample-linked", MethodError, r"result.json is not a regular file"),
        ("sample-forged-result", MethodError, r"result.json that cannot be used: (queries.texts|verification)"),
        ("sample-forged-scores", InvalidScores, r"NaN or infinite"),
        ("sample-many-photos", InvalidScores, r"more photos than there are"),
    ],
)
def test_forged_files_of_a_worker_are_refused(
    method: str, kind: type[IdbenchError], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=sentence):
        run(method, tmp_path)
    assert not list(tmp_path.rglob("run.json"))


def test_floods_of_a_worker_cost_neither_memory_nor_disk(tmp_path: Path) -> None:
    before = psutil.Process().memory_info().rss
    seen = Seen()
    done = run("sample-loud", tmp_path, progress=seen)
    assert psutil.Process().memory_info().rss - before < 100 * 2**20  # of 400 MB that were written
    log = (done.path / "worker.log").read_bytes()
    assert len(log) < 8 * 2**20
    assert log.startswith(b"the beginning of the log")
    assert log.rstrip().endswith(b"the end of the log")
    assert b"bytes are left out" in log
    assert all(len(words) <= 200 for words in seen.words)


def test_a_process_that_a_run_leaves_behind_ends_with_it(tmp_path: Path, cache: Path) -> None:
    run("sample-leaves", tmp_path)
    (found,) = (cache / "methods" / "sample-leaves").glob("1-*/left")
    pid = int(found.read_text())
    for _ in range(100):
        if not psutil.pid_exists(pid):
            break
        time.sleep(0.05)
    assert not psutil.pid_exists(pid)


def test_a_plugin_cannot_stop_the_runs_of_others(tmp_path: Path) -> None:
    split = load_split("avatars-tiny")
    grid = make_grid(split, ["sample-stops-the-grid", "random"], "avatars-a", corpus=CORPUS)
    found = []
    with pytest.raises(IdbenchError, match="1 of 2 runs failed") as caught:
        found += [outcome.run.record.attack.name for outcome in run_grid(grid, Options(tmp_path), Silent())]
    assert not isinstance(caught.value, StorageError)
    assert [path.parent.name.partition("-")[0] for path in tmp_path.rglob("random-*/run.json")] == ["random"]


def test_who_is_behind_a_case_cannot_be_computed_from_the_public_code(tmp_path: Path) -> None:
    assert auc(run("sample-recomputes", tmp_path)) == 0.5


def test_scores_do_not_depend_on_the_secret(tmp_path: Path) -> None:
    for method in ("cosine", "idia", "random", "blind-names"):
        first, second = run(method, tmp_path / "1").scores(), run(method, tmp_path / "2").scores()
        by_id = dict(zip(second.identities, second.scores, strict=True))
        assert [by_id[identity] for identity in first.identities] == first.scores.tolist(), method


def test_a_method_cannot_poison_what_another_is_given(tmp_path: Path, cache: Path) -> None:
    """A forged table of embeddings would give the cosine an AUC of one."""
    honest = run("cosine", tmp_path / "1")
    log = (run("sample-poisons", tmp_path / "2").path / "worker.log").read_text()
    assert "forged: []" in log or not can_confine(), log
    again = run("cosine", tmp_path / "3")
    assert auc(again) == pytest.approx(auc(honest), abs=1e-6)
    assert auc(again) < 0.99
    # Where the system does not keep it from writing elsewhere, a sample of what is read gives it away.
    forged = list((cache / "strangers").rglob("embeddings/*/*.safetensors"))
    assert forged, "what it left is its own"
    for path in forged:
        place = cache / "embeddings" / path.parent.name
        for old in place.glob("*.safetensors"):
            old.unlink()
        shutil.copy(path, place)
    assert auc(run("cosine", tmp_path / "4")) == pytest.approx(auc(honest), abs=1e-6)


@pytest.mark.skipif(not can_confine(), reason="this system cannot hold a process to some folders")
def test_a_worker_writes_nowhere_but_in_its_own_folders(tmp_path: Path) -> None:
    run("cosine", tmp_path)
    log = (run("sample-scribbles", tmp_path).path / "worker.log").read_text()
    (line,) = [line for line in log.splitlines() if line.startswith("wrote: ")]
    assert set(json.loads(line.removeprefix("wrote: "))) <= {"strangers", "hf", "open_clip"}
    assert list(cache_dir("pixels").rglob("*.bin")), "there must have been something to write into"


def test_words_of_a_worker_are_text(tmp_path: Path) -> None:
    seen = Seen()
    run("sample-brackets", tmp_path, progress=seen)
    assert any(words.startswith("[/red][bold") for words in seen.words)


def test_a_plugins_import_changes_nothing_in_the_process_that_writes_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample patches, at its import, what writes scores."""
    table = run("sample-patches", tmp_path).scores()
    assert len(set(table.scores.tolist())) > 1
    assert "idbench_sample.patches" not in sys.modules


def test_a_card_is_what_it_was_when_it_was_first_read(tmp_path: Path) -> None:
    with pytest.raises(AccessViolation):
        run("sample-two-faces", tmp_path)
    first, second = load_attack("sample-two-faces").card, load_attack("sample-two-faces").card
    assert first == second
    assert first.version == second.version
    assert first.blind


GREEDY = {
    "sample-memory": r"sample-memory was stopped: it held more than 1 GiB of memory\. .*BENCH_MEMORY",
    "sample-forks": r"sample-forks was stopped: it had more than 20 processes at once\. .*BENCH_PROCESSES",
    "sample-fork-bomb": r"sample-fork-bomb was stopped: it had more than 20 processes at once\. .*BENCH_PROCESSES",
    "sample-threads": r"sample-threads was stopped: it had more than 320 threads at once\. .*BENCH_PROCESSES",
    "sample-open-files": r"sample-open-files failed during score: OSError: \[Errno 24\].*BENCH_OPEN_FILES",
    "sample-fills": r"sample-fills was stopped: it wrote more than 0\.1 GiB\. .*BENCH_DISK",
    "sample-fills-hidden": r"sample-fills-hidden was stopped: it wrote more than 0\.1 GiB\. .*BENCH_DISK",
    "sample-empty-files": r"sample-empty-files was stopped: it wrote more than 0\.1 GiB\. .*BENCH_DISK",
    "sample-memory-files": r"sample-memory-files was stopped: it held more than 1 GiB of memory\. .*BENCH_MEMORY",
    "sample-one-file": r"sample-one-file failed during score: OSError: \[Errno 27\].*BENCH_DISK",
}


@pytest.mark.skipif(sys.platform != "linux", reason="not all of it is measured elsewhere")
@pytest.mark.parametrize("method", GREEDY)
def test_what_takes_too_much_of_the_machine_is_stopped_with_a_sentence(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory and the fork bomb in a worker that was forked; the others, which are blind, in one that was not."""
    for name, value in (("MEMORY", "1"), ("PROCESSES", "20"), ("OPEN_FILES", "2000"), ("DISK", "0.1")):
        monkeypatch.setenv(f"BENCH_{name}", value)
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with pytest.raises(MethodError, match=GREEDY[method]):
        run(method, tmp_path)
    left = [one for one in psutil.Process().children(recursive=True) if one.pid not in before]
    assert not [one for one in left if "idbench.runner.forking" not in " ".join(one.cmdline())], "it left processes"


def test_no_method_can_say_that_it_was_stopped(tmp_path: Path) -> None:
    with pytest.raises(MethodError, match=r"ended without a result: exit status 1\."):
        run("sample-says-so", tmp_path)


@pytest.mark.parametrize("value", ["much", "-1", "0", "nan", "1e400", "\u0665x"])
def test_a_limit_that_is_none_is_refused(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_MEMORY", value)
    with pytest.raises(IdbenchError, match=r"BENCH_MEMORY is .* not a limit"):
        run("random", tmp_path)
