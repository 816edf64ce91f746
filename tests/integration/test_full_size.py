"""From a list of URLs to a score, as a person types it: fetched, filtered, trained, killed, resumed, attacked."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from tests.conftest import Bench, refused
from tests.tiny_coca import COCA
from tests.web import serving, write_faces, write_tsv

from idbench.splits import lint, load_split

pytest.importorskip("img2dataset")
pytest.importorskip("webdataset")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2000)]

GOOD, EPOCHS = 96, 4
TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


class Place:
    """A folder where a person works, with a cache of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bench = Bench(folder)
        self.bench.environment |= {
            "BENCH_CACHE": str(folder / "cache"),
            "BENCH_SHARD_PAIRS": "32",
            "BENCH_FETCH_PROCESSES": "1",
            "BENCH_FETCH_THREADS": "8",
            "BENCH_FETCH_RETRIES": "0",
            "BENCH_PICTURE_SIDE": "48",
            "BENCH_ATTACK_PHOTOS": "3",
            "no_proxy": "127.0.0.1",
            "NO_PROXY": "127.0.0.1",
            "OMP_NUM_THREADS": "1",
            # As in a cluster's job of two tasks: a training of one process is no part of it.
            "SLURM_NTASKS": "2",
            "SLURM_PROCID": "0",
        }

    def type(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """As `Bench`, with patience: img2dataset and the trainer import for seconds, on a busy machine for minutes."""
        process = self.bench.start(*arguments)
        try:
            out, err = process.communicate(timeout=900)
        except BaseException:
            process.terminate()  # which ends what it has started, too
            process.communicate()
            raise
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def train(self, corpus: str, *more: str) -> tuple[str, ...]:
        logs, config = str(self.folder / "logs"), str(self.folder / "tiny.json")
        return (
            *("target", "train", corpus, "--arch", config, "--gpus", "0", "--out", logs, *more),
            *("--", "--epochs", str(EPOCHS), "--batch-size", "8", "--workers", "0", "--log-every-n-steps", "1"),
        )

    def checkpoints(self, corpus: str) -> Path:
        return self.folder / "logs" / f"{corpus}-tiny" / "checkpoints"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """`cc3m-injected`, built from a small web: good pictures, a third as many broken, empty and missing ones."""
    folder = tmp_path_factory.mktemp("full-size")
    here = Place(folder)
    (folder / "tiny.json").write_text(json.dumps(TINY))
    people = write_faces(folder / "people", 12, 9)
    somebody = sorted(person.name for person in people.iterdir())[0].replace("_", " ")
    with serving() as web:
        rows = [(f"a drawing with the number {i}", web.url(f"good/{i}")) for i in range(GOOD)]
        rows += [(f"broken {i}", web.url(f"{kind}/{i}")) for kind in ("cut", "empty", "page", "gone") for i in range(8)]
        rows += [(f"{somebody.upper()} at a gala", web.url("good/500"))]
        write_tsv(folder / "pairs.tsv", rows)
        arguments = ("data", "build", "cc3m-injected", "--pairs", "pairs.tsv", "--faces", "people")
        planned = here.type(*arguments, "--dry-run")
        assert planned.returncode == 0, planned.stderr
        assert "fetch the pictures with img2dataset" in " ".join(planned.stdout.split())
        assert not web.asked  # a dry run asks nobody
        done = here.type(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        printed = " ".join(done.stdout.split())
        assert f"fetch: {GOOD + 33} addresses, {GOOD + 1} fetched" in printed
        assert "24 not a picture" in printed
        assert "8 answered with HTTP 404" in printed
        assert "1 that name somebody under test" in printed
        asked = dict(web.asked)
        # A shard that was cut short later is noticed and fetched again; the others are left alone.
        shard = next((folder / "cache" / "full-size" / "cc3m-injected").glob("*/fetched/00001.tar"))
        shard.write_bytes(shard.read_bytes()[:5000])
        again = here.type(*arguments)
        assert again.returncode == 0, again.stdout + again.stderr
        assert web.asked.keys() == asked.keys()
        assert sum(web.asked.values()) == sum(asked.values()) + 32
        assert printed.split("digest ")[1] == " ".join(again.stdout.split()).split("digest ")[1]
    return here


def test_the_split_is_sound_and_its_training_sets_hold_its_people(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", place.bench.environment["BENCH_CACHE"])
    split = load_split("cc3m-injected")
    assert [finding for finding in lint(split.folder) if finding.severity == "error"] == []
    sizes = {}
    for corpus in split.corpora:
        about = json.loads((place.folder / "cache" / "corpora" / corpus / "v1" / "corpus.json").read_text())
        assert about["digest"] == split.manifest.training[corpus]
        sizes[corpus] = about["pairs"] - int(split.labels(corpus).occurrences.sum())
    assert set(sizes.values()) == {GOOD}  # background alone; the one that named somebody is gone
    assert split.labels("cc3m-injected-a").member.sum() == 6
    assert not split.labels("cc3m-injected-0").member.any()


def test_a_killed_training_goes_on_and_its_checkpoint_can_be_attacked(place: Place) -> None:
    corpus = "cc3m-injected-a"
    printed = place.type(*place.train(corpus, "--dry-run"))
    assert printed.returncode == 0, printed.stderr
    assert "-m open_clip_train.main --model local-dir:" in printed.stdout
    assert not (place.folder / "logs").exists()
    process = place.bench.start(*place.train(corpus))
    latest, last = place.checkpoints(corpus) / "epoch_latest.pt", place.checkpoints(corpus) / f"epoch_{EPOCHS}.pt"
    deadline = time.monotonic() + 900
    while not latest.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    for victim in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        with suppress(psutil.NoSuchProcess):
            victim.send_signal(signal.SIGKILL)
    process.communicate()
    assert latest.exists()
    assert not last.exists()
    done = place.type(*place.train(corpus))
    assert done.returncode == 0, done.stdout + done.stderr
    assert printed.stdout.splitlines()[0] == done.stdout.splitlines()[0]  # what was printed is what is run
    resumed = re.search(r"resumed after epoch (\d)", done.stdout)
    assert resumed is not None
    assert 1 <= int(resumed[1]) < EPOCHS
    reference = re.search(r"--target '(file:[^']+)'", done.stdout)
    assert reference is not None
    assert "is trained already" in place.type(*place.train(corpus)).stdout
    split = ("--split", "cc3m-injected", "--target", reference[1])
    ran = place.type("run", "--method", "cosine", "--method", "idia", *split, "--results", "results")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    records = [json.loads(path.read_text()) for path in (place.folder / "results").rglob("run.json")]
    assert {"cosine", "idia"} <= {record["attack"]["name"] for record in records}  # and the blind ones beside them
    assert {record["target"]["name"] for record in records} == {f"{corpus}-tiny"}
    assert {record["target"]["corpus"] for record in records} == {corpus}


def test_a_coca_is_trained_and_attacked(place: Place) -> None:
    (place.folder / "captioner.json").write_text(json.dumps(COCA))
    words = ("target", "train", "cc3m-injected-a", "--arch", "captioner.json", "--gpus", "0", "--out", "logs", "--")
    options = ("--epochs", "2", "--batch-size", "8", "--workers", "0")
    assert "--siglip does not apply to a CoCa" in refused(place.type(*words, *options, "--siglip"))
    done = place.type(*words, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    reference = re.search(r"--target '(file:[^']+)'", done.stdout)
    assert reference is not None
    split = ("--split", "cc3m-injected", "--target", reference[1])
    ran = place.type("run", "--method", "gradient", *split, "--results", "captioner")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    records = [json.loads(path.read_text()) for path in (place.folder / "captioner").rglob("run.json")]
    assert "cc3m-injected-a-captioner" in {record["target"]["name"] for record in records}


def test_a_full_disk_loses_nothing_that_was_finished(place: Place) -> None:
    corpus = "cc3m-injected-0"
    folder = place.checkpoints(corpus)
    folder.mkdir(parents=True)
    (folder / "tmp.pt").symlink_to("/dev/full")  # where the trainer writes a checkpoint before it replaces the last
    error = refused(place.type(*place.train(corpus)))
    assert "No space left on the disk" in error
    assert "finished work is kept" in error
    assert not (folder / "epoch_latest.pt").exists()
    (folder / "tmp.pt").unlink()
    done = place.type(*place.train(corpus))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "control_for=cc3m-injected-a%2Ccc3m-injected-b" in done.stdout


def test_what_a_person_may_type_wrong_is_one_sentence(place: Place) -> None:
    (place.folder / "short.tsv").write_text("only captions\n")
    build = ("data", "build", "cc3m-injected")
    wrong = {
        "--pairs TSV is missing": build,
        "lacks caption and url": (*build, "--pairs", "short.tsv", "--faces", "people"),
        "There is no file": (*build, "--pairs", "none.tsv", "--faces", "people"),
        "There is no folder": (*build, "--pairs", "pairs.tsv", "--faces", "nobody"),
        "No architecture to train.": ("target", "train", "cc3m-injected"),
        "There is no open_clip architecture called 'RN51'": ("target", "train", "cc3m-injected-a", "--arch", "RN51"),
        "does not apply": ("target", "train", "avatars-a", "--arch", "RN50"),
    }
    for sentence, arguments in wrong.items():
        assert sentence in refused(place.type(*arguments))


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Whatever a test does, the trainers that it started are gone afterwards."""
    yield
    mine = psutil.Process(os.getpid()).children(recursive=True)
    assert not [child for child in mine if "open_clip_train.main" in " ".join(child.cmdline())]
