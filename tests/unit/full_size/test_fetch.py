"""Around img2dataset: what is asked of it, what its silence about failures hides, and what is said without it."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from idbench.api import Silent
from idbench.errors import IdbenchError, StorageError
from idbench.splits.cc3m import fetch
from idbench.splits.cc3m.fetch import arguments, fetch_pictures
from idbench.splits.cc3m.settings import Settings, from_environment

img2dataset = pytest.importorskip("img2dataset")


def test_img2dataset_knows_every_argument(tmp_path: Path, settings: Settings) -> None:
    said = arguments(tmp_path / "pairs.parquet", tmp_path / "fetched", settings)
    assert said.keys() <= inspect.signature(img2dataset.download).parameters.keys()
    assert said["enable_wandb"] is False
    assert json.loads(json.dumps(said)) == said


def test_without_img2dataset_it_says_what_to_install(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "find_spec", lambda name: None)
    with pytest.raises(IdbenchError, match="img2dataset, which is not installed") as caught:
        fetch_pictures(tmp_path / "pairs.parquet", 20, tmp_path / "fetched", settings, Silent())
    assert caught.value.hint == "Run: pip install 'idbench[full-size]'"


def test_complete_shards_start_no_process(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "run_program", pytest.fail)
    why = {"success": 12, "HTTP Error 404": 2, "decoding error": 1, "in 'imdecode_'": 1}
    stats = {"count": 16, "successes": 12, "status_dict": why}
    for number in range(2):
        (tmp_path / f"{number:05d}_stats.json").write_text(json.dumps(stats))
    report = fetch_pictures(tmp_path / "pairs.parquet", 32, tmp_path, settings, Silent())
    assert dict(report.counts) == {"addresses": 32, "fetched": 24}
    assert dict(report.dropped) == {"HTTP Error 404": 4, "not a picture": 4}


@pytest.mark.parametrize(
    ("output", "kind", "said"),
    [
        (b"shard 1 failed with error [Errno 28] No space left on device\n", StorageError, "No space left on the disk"),
        (b"Retried 1 times, but 2 shards still failed\n", IdbenchError, "2 of 2 shards could not be fetched"),
    ],
)
def test_shards_that_failed_behind_a_status_of_zero_are_noticed(
    tmp_path: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    output: bytes,
    kind: type[IdbenchError],
    said: str,
) -> None:
    def run(command: object, log: Path, *rest: object) -> int:
        with log.open("ab") as file:
            file.write(output)
        return 0

    (tmp_path / "fetch.log").write_bytes(b"[Errno 28] No space left on device, but long ago\n")
    monkeypatch.setattr(fetch, "run_program", run)
    with pytest.raises(kind, match=said):
        fetch_pictures(tmp_path / "pairs.parquet", 32, tmp_path / "fetched", settings, Silent())


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_SHARD_PAIRS", "500")
    monkeypatch.setenv("BENCH_FETCH_RETRIES", "0")
    assert from_environment() == Settings(shard_pairs=500, fetch_retries=0)


@pytest.mark.parametrize("text", ["0", "-3", "many", "2.5", ""])
def test_a_setting_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("BENCH_SHARD_PAIRS", text)
    with pytest.raises(IdbenchError, match="BENCH_SHARD_PAIRS"):
        from_environment()
