"""Real-faces commands as a person types them, on drawn people: build, train, run, audit, withhold, score."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conftest import Bench, refused
from tests.fictional_faces import draw_faces

pytestmark = pytest.mark.timeout(280)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_faces(tmp_path_factory.mktemp("faces"))


@pytest.fixture
def own_cache(bench: Bench, tmp_path: Path) -> Path:
    """A cache of this test's own: other tests must not see a split that was built here."""
    bench.environment["BENCH_CACHE"] = str(tmp_path / "cache")
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("data", "build", "lfw-injected"), "Type: bench data build lfw-injected --faces DIR"),
        (("data", "build", "lfw-injected", "--faces", "nowhere"), "There is no folder nowhere"),
        (("data", "build", "lfw-injected", "--faces", ".", "--secret-seed", "nothing"), "nothing does not exist"),
        (("data", "build", "lfw-injected", "--faces", ".", "--labels", "x"), "--labels needs --secret-seed and --out"),
        (("data", "build", "avatars", "--faces", "."), "avatars does not take --faces"),
        (("data", "build", "avatars", "--download", "--out", "x"), "avatars does not take --download"),
        (("data", "build", "lfw-injected", "--faces", ".", "--pairs", "x"), "lfw-injected does not take --pairs"),
        (("data", "build", "lfw-injected", "--faces", ".", "--download"), "--faces and --download exclude each other"),
        (
            ("data", "build", "cc3m-idia", "--secret-seed", "s", "--out", "x", "--labels", "y"),
            "labels of cc3m-idia follow from no seed",
        ),
        (
            ("data", "build", "lfw-injected", "--faces", ".", "--secret-seed", "s", "--out", "x", "--labels", "x/y"),
            "lie within each other",
        ),
        (("run", "--method", "cosine", "--split", "lfw-injected"), "bench data build lfw-injected --faces DIR"),
        (("target", "train", "lfw-injected-a"), "bench data build lfw-injected --faces DIR"),
        (("target", "train", "lfw-injected", "--out", "x"), "means 3 targets, but --out is one file"),
        (("target", "verify", "lfw-injected-a"), ""),
    ],
)
def test_before_anything_is_built(bench: Bench, own_cache: Path, arguments: tuple[str, ...], sentence: str) -> None:
    done = bench(*arguments)
    if not sentence:
        assert done.returncode == 1
        assert "FAILED" in done.stdout
        assert "bench target train lfw-injected" in done.stdout
        return
    assert sentence in refused(done)


def test_untrained_targets_are_listed_and_break_nothing(bench: Bench, own_cache: Path) -> None:
    rows = {row["name"]: row for row in json.loads(bench("list", "targets", "--json").stdout)}
    assert "not trained yet" in rows["lfw-injected-a"]["title"]
    assert "not trained yet" not in rows["avatars-a"]["title"]
    problems = [row["found"] for row in json.loads(bench("doctor", "--json").stdout) if not row["ok"]]
    assert not [found for found in problems if "lfw" in found]  # the sample plug-ins have problems of their own
    printed = bench("target", "train", "lfw-injected", "--dry-run").stdout
    assert [line.split()[2] for line in printed.splitlines()] == ["lfw-injected-a", "lfw-injected-b", "lfw-injected-0"]


def test_the_doctor_says_what_the_cache_holds(bench: Bench, own_cache: Path) -> None:
    (own_cache / "shadows").mkdir(parents=True)
    with (own_cache / "shadows" / "x.safetensors").open("wb") as file:
        file.truncate(3 << 30)
    (own_cache / "shadows" / "y.resume").write_bytes(b"")
    (row,) = (row for row in json.loads(bench("doctor", "--json").stdout) if row["check"] == "cache")
    assert row["found"] == "3.0 GiB (shadows 3.0); trainings that stopped and can go on (*.resume): 1"


def test_build_run_and_score_with_withheld_labels(bench: Bench, own_cache: Path, faces: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("d3b07384d113edec49eaa6238ad5ff00")
    given = ("--faces", str(faces), "--secret-seed", "secret", "--out", "public", "--labels", "private")
    dry = bench("data", "build", "lfw-injected", *given, "--dry-run")
    assert dry.returncode == 0
    assert not own_cache.exists()
    done = bench("data", "build", "lfw-injected", *given)
    assert done.returncode == 0, done.stderr
    assert "20 identities for test, 4 identities for calibration" in done.stdout
    assert "bench target train lfw-injected" in done.stdout
    digests = [json.loads((tmp_path / name / "manifest.json").read_text())["digests"] for name in ("public", "private")]
    assert digests[0] == digests[1]

    untrained = refused(bench("run", "--method", "cosine", "--split", "lfw-injected"))
    assert "lfw-injected-a is not trained on this machine yet" in untrained
    assert "bench target train lfw-injected" in untrained

    # Any model can be put under audit; a shipped one knows nobody here.
    target = ("--target", "avatars-a", "--corpus", "lfw-injected-a")
    ran = bench("run", "--method", "blind-names", "--split", "public", *target)
    assert ran.returncode == 0, ran.stderr
    assert "test labels of lfw-injected are withheld" in " ".join(ran.stdout.split())
    (record,) = tmp_path.glob("results/*/*/blind-names-*/run.json")
    run = json.loads(record.read_text())["run_id"][:8]
    assert "withheld" in refused(bench("score", run, "--corpus", "lfw-injected-a", "--split", "public"))
    scored = json.loads(bench("score", run, "--corpus", "lfw-injected-a", "--split", "private", "--json").stdout)
    assert scored["n_members"] == scored["n_nonmembers"] == 10
