"""Times the leaderboard on 10,000 synthetic runs: build, first page, memory. The scores are drawn and mean nothing.

python benchmark/perf/leaderboard.py [--runs 10000] [--people 1000] [--keep FOLDER] [--browser]
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from idbench.api import Silent
from idbench.results import (
    Collected,
    Environment,
    MethodRef,
    Queries,
    RunRecord,
    ScoreTable,
    SplitRef,
    TargetRef,
    Timings,
    collect,
    expected_run_id,
    write_run,
)
from idbench.results.attestation import Attestation, Level, Statements, subject_of
from idbench.results.labels import CorpusLabels, SplitLabels
from idbench_leaderboard.building import build

SEEDS, METHODS = 3, 40
TRACKS = {
    "blind": (),
    "text-only": ("SIMILARITY", "GRADIENT"),
    "black-box": ("SIMILARITY",),
    "white-box": ("SIMILARITY", "WEIGHTS"),
    "shadow": ("IMAGE_EMBEDDING", "TRAIN_SHADOWS"),
}
START = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    """Generate, build, open; print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--keep", type=Path, default=None, help="work here and keep everything")
    parser.add_argument("--open", type=Path, default=None, help="only open this board")
    parser.add_argument("--browser", action="store_true", help="look at the board in Chromium, too")
    wanted = parser.parse_args()
    if wanted.open:
        open_pages(wanted.open)
        if wanted.browser:
            browse(wanted.open)
        return
    with tempfile.TemporaryDirectory() as temporary:
        built = measure(wanted.runs, wanted.people, wanted.keep or Path(temporary))
        looked = ["--browser"] if wanted.browser else []
        subprocess.run([sys.executable, __file__, "--open", str(built), *looked], check=True)


def measure(runs: int, people: int, folder: Path) -> Path:
    """Print what building a board of `runs` synthetic runs over `people` costs; returns where it is."""
    labels = split_labels(people)
    results = folder / "results"
    if not results.exists():
        begin = time.perf_counter()
        for index, (record, table) in enumerate(synthetic(runs, labels)):
            write_run(results / f"{index % 100:02d}", record, table)
        print(f"wrote {runs} runs in {time.perf_counter() - begin:.1f} s", flush=True)
    begin, before = time.perf_counter(), processor_seconds()
    found = collect([results])
    print(f"read {len(found.runs)} records in {time.perf_counter() - begin:.1f} s", flush=True)
    built = build(found, [labels], folder / "board", Silent(), statements=attested(found))
    seconds, used = time.perf_counter() - begin, processor_seconds() - before
    size = sum(path.stat().st_size for path in built.path.iterdir()) / 2**20
    print(
        f"built {built.entries} rows on {built.boards} boards from {built.runs} runs in {seconds:.1f} s altogether, "
        f"{used:.1f} s of processor time, {size:.1f} MiB, "
        f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors; "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB at most",
        flush=True,
    )
    return built.path


def attested(found: Collected) -> Statements:
    """Half of the methods were replayed."""
    chosen = (run for run in found.runs if run.record.parameters["strength"] % 2 == 0)
    attestations = (Attestation(subject=subject_of(run), level=Level.REPLAYED, at=START, by="nobody") for run in chosen)
    return Statements(tuple(("", each) for each in attestations))


def open_pages(board: Path) -> None:
    """Print what looking costs: a process that serves the pages, each drawn once as a browser would ask for it."""
    with timed("imports"):
        from streamlit.testing.v1 import AppTest

        from idbench_leaderboard import app
        from idbench_leaderboard.app import common

    with timed("opened the board and ranked its rows"):
        opened = common.board_at(board)
        selection = opened.default_selection()
        assert selection is not None
        opened.rows(selection)
    page = AppTest.from_file(str(Path(app.__file__).with_name("main.py")), default_timeout=120)
    page.session_state["board"] = str(board)
    for name in ("first look", "second look"):
        with timed(f"{name} at the board page"):
            page.run()
    print(f"resident memory {psutil.Process().memory_info().rss / 2**20:.0f} MiB")


def browse(board: Path) -> None:
    """Print how long a person waits for the board until it is drawn: the first who opens it, and the next ones."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    from idbench_leaderboard.server import command

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    address = "http://127.0.0.1:8599"
    server = subprocess.Popen(command(board, 8599), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        wait(lambda: urllib.request.urlopen(f"{address}/_stcore/health", timeout=2).status == 200)
        for name in ("first", "second", "third"):
            begin, before = time.perf_counter(), seconds_of(server.pid)
            driver.get(address)
            wait(lambda: driver.execute_script(TABLE))
            table = time.perf_counter() - begin
            wait(lambda: driver.execute_script(DRAWN))
            used = seconds_of(server.pid) - before
            print(
                f"{name} look in a browser: the table after {table:.1f} s, all charts below it after "
                f"{time.perf_counter() - begin:.1f} s, {used:.1f} s of the server's processor"
            )
    finally:
        driver.quit()
        server.terminate()
        server.wait()


TABLE = "return document.querySelector('[data-testid=stDataFrame] canvas') !== null;"
DRAWN = """
    return document.querySelector('[data-testid=stVegaLiteChart] .marks') !== null
        && document.body.innerText.includes('Provenance')
        && document.querySelector('[data-testid=stStatusWidget]') === null;
"""


def seconds_of(pid: int) -> float:
    """Processor seconds of a process."""
    used = psutil.Process(pid).cpu_times()
    return used.user + used.system


def wait(check: Callable[[], Any]) -> None:
    """Until something is true, for a minute at most."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(OSError):
            if check():
                return
        time.sleep(0.02)
    raise TimeoutError("the page never came")


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print what a step took."""
    begin, before = time.perf_counter(), processor_seconds()
    yield
    seconds, used = time.perf_counter() - begin, processor_seconds() - before
    print(f"{what}: {seconds:.2f} s, {used:.2f} s of processor time", flush=True)


def processor_seconds() -> float:
    """User and system time of this process and of those that it waited for: what a busy machine does not stretch."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def split_labels(people: int) -> SplitLabels:
    """People, half of them in the corpus of each target."""
    member = np.arange(people) % 2 == 0
    levels = np.array([1, 5, 10, 25, 50, 75])[np.arange(people) // 2 % 6]
    pictures, other = np.where(member, levels, 0), np.where(~member, levels, 0)
    return SplitLabels(
        name="synthetic",
        version=1,
        digest="0" * 64,
        identities=tuple(f"p{index:06d}" for index in range(people)),
        test=np.ones(people, dtype=np.bool_),
        corpora={
            "corpus-a": CorpusLabels(member, pictures.astype(np.int64)),
            "corpus-b": CorpusLabels(~member, other.astype(np.int64)),
        },
    )


def synthetic(runs: int, labels: SplitLabels) -> Iterator[tuple[RunRecord, ScoreTable]]:
    """Records with drawn scores: `METHODS` methods with `SEEDS` seeds on as many targets as it takes."""
    rng = np.random.default_rng(0)
    people = len(labels.identities)
    for index in range(runs):
        rest, seed = divmod(index, SEEDS)
        target, method = divmod(rest, METHODS)
        corpus = "corpus-a" if target % 2 == 0 else "corpus-b"
        known = labels.corpora[corpus]
        strength = 0.0 if method < 3 else method / METHODS
        scores = rng.normal(size=people) + strength * known.member * np.log1p(known.occurrences)
        table = ScoreTable(
            identities=labels.identities,
            scores=scores,
            abstained=np.zeros(people, dtype=np.bool_),
            photos_used=np.full(people, 5),
        )
        yield _record(index, people, seed, method, target, corpus), table


def _record(index: int, people: int, seed: int, method: int, target: int, corpus: str) -> RunRecord:
    track = list(TRACKS)[0 if method < 3 else 1 + method % 4]
    asked = 0 if track == "blind" else 1000
    record = RunRecord(
        schema_version=1,
        run_id="0" * 16,
        created=START + timedelta(minutes=index),
        split=SplitRef(name="synthetic", version=1, digest="0" * 64, commit=None),
        target=TargetRef(
            name=f"target-{target:02d}",
            version="1",
            architecture="tiny",
            sha256=f"{target:064x}",
            corpus=corpus,
            control_for=(),
        ),
        attack=MethodRef(
            name=f"attack-{method:02d}",
            version="1",
            title=f"Synthetic attack {method}",
            distribution="synthetic 1",
            code_sha256=f"{method:064x}",
            access=TRACKS[track],
            knowledge=("NAME",) if track in ("blind", "text-only") else ("NAME", "PHOTOS"),
            track=track,
        ),
        defense=None,
        parameters={"photos": 5, "strength": method},
        seed=seed,
        n_cases=people,
        n_abstained=0,
        photos_per_case=5.0,
        queries=Queries(texts=asked * (method + 1), images=5 * asked, pairs=0, gradients=0, training_steps=0),
        timings=Timings(load=1.0, fit=0.0, score=1.0 + method, total=3.0 + method),
        peak_memory_mb=500.0,
        environment=Environment(
            python="3.11",
            system="Linux",
            device="cpu",
            processors=2,
            packages={"idbench": "0"},
            commit=None,
            dirty=None,
        ),
        scores_sha256="",
    )
    return record.model_copy(update={"run_id": expected_run_id(record)})


if __name__ == "__main__":
    main()
