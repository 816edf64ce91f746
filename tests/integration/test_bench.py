"""`bench` as a person types it: results, resume, kills, bad input."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.conftest import Bench, refused
from tests.kills import until_signals_are_handled

TINY = ("--split", "avatars-tiny", "--target", "avatars-a", "--corpus", "avatars-tiny-a")


def test_starts_without_torch() -> None:
    code = (
        "import sys, contextlib, io\n"
        "from idbench.cli import main\n"
        "for arguments in (['--help'], ['list'], ['show', 'tuni'], ['method', '--help']):\n"
        "    sys.argv = ['bench', *arguments]\n"
        "    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "        main.main()\n"
        "heavy = {'torch', 'open_clip', 'torchvision', 'sklearn', 'streamlit', 'pyod', 'datasets'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_starts_without_numbers_and_schemas() -> None:
    code = (
        "import sys, contextlib, io\n"
        "from idbench.cli import main\n"
        "sys.argv = ['bench', '--help']\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main.main()\n"
        "slow = {'numpy', 'pydantic', 'pandas', 'pyarrow', 'scipy', 'idbench.api'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_run_prints_a_result_and_where_it_is(bench: Bench, tmp_path: Path) -> None:
    done = bench("run", "--method", "idia", *TINY)
    assert done.returncode == 0, done.stderr
    for words in ("AUC [95 %]", "TPR at 10 % FPR", "not estimable: one non-member is 4.2%", "Next: bench show"):
        assert words in done.stdout
    (record,) = tmp_path.glob("results/avatars-tiny-v1/avatars-a/idia-*/run.json")
    assert str(record.parent.relative_to(tmp_path)) in done.stdout
    shown = bench("show", json.loads(record.read_text())["run_id"][:8])
    assert shown.returncode == 0, shown.stderr
    assert "IDIA" in shown.stdout or "idia" in shown.stdout


def test_json_is_json(bench: Bench) -> None:
    done = bench("run", "--method", "random", *TINY, "--seeds", "2", "--json")
    found = json.loads(done.stdout)["runs"]
    assert len(found) == 2
    assert found[0]["n_members"] == found[0]["n_nonmembers"] == 24
    assert 0 <= found[0]["auc"]["low"] <= found[0]["auc"]["value"] <= found[0]["auc"]["high"] <= 1
    for arguments in (["list"], ["list", "runs"], ["show", "tuni"], ["show", "avatars-tiny"], ["show", "avatars-a"]):
        assert json.loads(bench(*arguments, "--json").stdout)


def test_several_targets_are_pooled_by_identity(bench: Bench) -> None:
    several = ("--split", "avatars-tiny", "--target", "avatars-a,avatars-b", "--corpus", "avatars-tiny-a")
    found = json.loads(bench("run", "-m", "cosine", "-m", "random", *several, "--seeds", "2", "--json").stdout)
    by_method = {pooled["method"]: pooled for pooled in found["pooled"]}
    assert set(by_method) == {"cosine", "random"}
    for method, pooled in by_method.items():
        aucs = [run["auc"]["value"] for run in found["runs"] if f"/{method}-" in run["record"]]
        assert len(aucs) == {"cosine": 2, "random": 4}[method]  # no seed changes a cosine: it runs once
        assert pooled["targets"] == ["avatars-a", "avatars-b"]
        assert pooled["auc"]["value"] == pytest.approx(sum(aucs) / len(aucs))
        assert pooled["auc"]["low"] < pooled["auc"]["value"] < pooled["auc"]["high"]
        assert pooled["tpr"][2]["value"] is None
        assert "non-members" in pooled["tpr"][2]["reason"]
    # Two targets are two readings of the same people, and must not count as twice as many.
    single = found["runs"][0]["auc"]
    width = by_method["cosine"]["auc"]["high"] - by_method["cosine"]["auc"]["low"]
    assert width > 0.6 * (single["high"] - single["low"])
    shown = bench("run", "-m", "cosine", *several)
    assert "pooled over avatars-a, avatars-b" in shown.stdout


def test_dry_run_does_nothing(bench: Bench, tmp_path: Path) -> None:
    done = bench("run", "--method", "random", *TINY, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "to run" in done.stdout
    assert not (tmp_path / "results").exists()


def test_compare_and_score(bench: Bench, tmp_path: Path) -> None:
    assert bench("run", "-m", "idia", "-m", "cosine", *TINY).returncode == 0
    done = bench("compare", "idia", "cosine", "--split", "avatars-tiny", "--target", "avatars-a",
                 "--corpus", "avatars-tiny-a")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "idia" in done.stdout
    assert "cosine" in done.stdout
    runs = json.loads(bench("list", "runs", "--json").stdout)
    (run,) = [row["run"] for row in runs if row["method"] == "cosine"]
    a = json.loads(bench("score", run, "--corpus", "avatars-tiny-a", "--json").stdout)
    b = json.loads(bench("score", run, "--corpus", "avatars-tiny-b", "--json").stdout)
    assert a["auc"]["value"] == pytest.approx(1 - b["auc"]["value"])
    (record,) = tmp_path.glob("results/avatars-tiny-v1/avatars-a/cosine-*/run.json")
    metrics = json.loads((record.parent / "metrics.json").read_text())
    assert metrics["blind"] is not None
    for folder, named in ((tmp_path / "elsewhere", str(record.parent)), (record.parent, ".")):
        folder.mkdir(exist_ok=True)
        scored = Bench(folder)("score", named)  # the blind runs lie beside it, and not in a folder `results`
        assert scored.returncode == 0, scored.stderr
        assert json.loads((record.parent / "metrics.json").read_text()) == metrics


def test_plot(bench: Bench, tmp_path: Path) -> None:
    assert bench("run", "-m", "random").returncode == 0
    (run,) = tmp_path.glob("results/avatars-v1/avatars-a/random-*")
    heads = {"png": b"\x89PNG", "svg": b"<svg", "pdf": b"%PDF"}
    for ending, head in heads.items():
        done = bench("show", str(run), "--plot", f"roc.{ending}")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / f"roc.{ending}").read_bytes().startswith(head)
    drawn = (tmp_path / "roc.svg").read_text()
    assert "non-members (504)" in drawn
    assert "AUC 0." in drawn
    first = (tmp_path / "roc.png").read_bytes()
    done = bench("show", str(run), "--plot", "roc.docx")
    assert done.returncode != 0
    assert "cannot write .docx" in done.stderr
    assert bench("show", str(run), "--plot", "again").returncode == 0
    assert (tmp_path / "again.png").read_bytes() == first


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "--method", "tunni"), "no attack called 'tunni'. Did you mean 'tuni'?"),
        (("run", "--method", "tuni", "--split", "avatar"), "no split called 'avatar'"),
        (("run", "--method", "tuni", "--target", "avatars-c"), "no target called 'avatars-c'"),
        (("run", "--method", "tuni", "--target", "nothing-*"), "no target called 'nothing-*'"),
        (("run", "--method", "tuni", "--preset", "papre"), "Did you mean 'paper'?"),
        (("run", "--method", "tuni", "--param", "stepz=3"), "no parameter of tuni called 'stepz'"),
        (("run", "--method", "tuni", "--param", "steps=-1"), "steps of tuni"),
        (("run", "--method", "tuni", "--param", "steps"), "Write --param NAME=VALUE"),
        (("run", "--method", "random", "--seed", "-1"), "--seed"),
        (("run", "--method", "random", "--corpus", "avatars-x"), "no corpus called 'avatars-x'"),
        (("run", "--method", "random", "--target", "file:missing.pt?arch=ViT-B-32"), "missing.pt"),
        (("run", "--method", "cosine", *TINY, "--device", "cuda:9"), "The device 'cuda:9' cannot be used"),
        (("show", "tunni"), "Did you mean 'tuni'?"),
        (("show", "./nothing"), "no method, defense, split, target or run called"),
        (("score", "0123"), "There is no run '0123'"),
        (("compare", "idia", "tuni"), "There is no run of 'idia'"),
        (("list", "method"), "Did you mean 'methods'?"),
        (("data", "lint", "nowhere"), "nowhere is neither a folder nor a registered split"),
        (("data", "build", "avatras", "--out", "x"), "Did you mean 'avatars'?"),
        (("method", "check", "tunni"), "Did you mean 'tuni'?"),
        (("method", "new", "Bad Name"), "is not a method name"),
        (("target", "train", "avatars-q"), "no target called"),
        (("target", "verify", "nothing"), ""),
        (("frobnicate",), "No such command 'frobnicate'"),
    ],
)
def test_bad_arguments_give_one_sentence(bench: Bench, arguments: tuple[str, ...], sentence: str) -> None:
    done = bench(*arguments)
    if not sentence:
        assert done.returncode == 1
        assert "no target called 'nothing'" in " ".join(done.stdout.split())
        return
    assert sentence in refused(done)


def test_no_permission(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "is a file, not a folder" in refused(bench("run", "-m", "random", *TINY, "--results", "file"))
    if Path("/sys").exists():
        assert "No permission to use" in refused(bench("run", "-m", "random", *TINY, "--results", "/sys/idbench"))


def test_full_disk(bench: Bench, tmp_path: Path) -> None:
    """A disk of 64 KiB, really full; then with space again, the same command finishes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system; test_storage.py covers the error itself")
    try:
        (disk / "filler").write_bytes(b"x" * 60_000)
        error = refused(bench("run", "-m", "random", *TINY, "--results", str(disk / "results")))
        assert "No space left" in error
        assert not list(disk.rglob("run.json"))
        (disk / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        assert bench("run", "-m", "random", *TINY, "--results", str(disk / "results")).returncode == 0
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_run_leaves_nothing_wrong_and_is_resumed(bench: Bench, tmp_path: Path, cache: Path, how: int) -> None:
    assert bench("run", "-m", "random", *TINY).returncode == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("run.json")}
    kept = cache / "methods" / "sample-hangs"  # in a folder of its own for each version of the code
    shutil.rmtree(kept, ignore_errors=True)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    bench.environment["TMPDIR"] = str(temporary)
    process = bench.start("run", "-m", "sample-hangs", *TINY)
    deadline = time.monotonic() + 120
    while not (found := list(kept.glob("*/pids"))) or len(found[0].read_text().split()) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (pids,) = found
    process.send_signal(how)
    _, printed = process.communicate(timeout=200)  # a busy machine takes long, a hang forever
    for pid in map(int, pids.read_text().split()):
        while _alive(pid):
            assert time.monotonic() < deadline, "the worker, or what it started, outlived its parent"
            time.sleep(0.05)
    if how != signal.SIGKILL:
        assert process.returncode == 128 + how
        assert "repeat the command" in printed
        assert "Traceback" not in printed
    assert {path: path.read_bytes() for path in tmp_path.rglob("run.json")} == before
    done = bench("run", "-m", "random", *TINY, "--json")
    assert done.returncode == 0, done.stderr
    assert bench("run", "-m", "random", *TINY, "--seed", "1").returncode == 0
    assert not list(temporary.iterdir()), "the next run clears up after a killed one"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_imports_gives_one_line(bench: Bench, how: int) -> None:
    """Whatever is being imported when it comes: the moments are spread over the whole start."""
    for moment in (0.0, 0.1, 0.2, 0.4, 0.7):
        process = bench.start("run", "-m", "cosine", "--split", "avatars-tiny", "--target", "avatars-a", "--dry-run")
        until_signals_are_handled(process)
        time.sleep(moment)
        process.send_signal(how)
        _, printed = process.communicate(timeout=100)
        if process.returncode != 0:  # it may have been through already
            assert process.returncode == 128 + how, printed
            assert printed.startswith("interrupted: ")
            assert printed.count("\n") == 1


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_python_ends_changes_nothing(how: int) -> None:
    """The last object of the program sends it, when all is done and Python obeys no handler any more."""
    code = (
        "import os, sys\n"
        "class Last:\n"
        f"    def __del__(self): os.kill(os.getpid(), {int(how)})\n"
        "last, sys.argv = Last(), ['bench', '--version']\n"
        "from idbench.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("idbench ")


def test_a_signal_that_meets_an_object_being_destroyed_is_not_lost() -> None:
    code = (
        "import os, signal, time\n"
        "from idbench.cli import app\n"
        "came = app._end_orderly_when_told_to()\n"
        "class Bar:\n"
        "    def __del__(self): os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.1)\n"
        "bar = Bar()\n"
        "try:\n"
        "    del bar\n"
        "    time.sleep(20)\n"
        "except KeyboardInterrupt: print('left', came)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("left [15, 15]\n", "")


def _alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_damaged_record_is_named(bench: Bench, tmp_path: Path) -> None:
    assert bench("run", "-m", "random", *TINY).returncode == 0
    (record,) = tmp_path.glob("results/*/*/random-*/run.json")
    record.write_text("{")
    listed = bench("list", "runs")
    assert listed.returncode == 0  # the others are listed, and this one with its problem
    assert "is not JSON" in listed.stdout
    assert bench("run", "-m", "random", *TINY).returncode == 0, "a damaged record is made again"
    assert bench("list", "runs").returncode == 0
    scores = record.parent / "scores.parquet"
    scores.write_bytes(scores.read_bytes()[:-20])
    assert "differs from the record's" in refused(bench("score", str(record.parent), "--corpus", "avatars-tiny-a"))


def test_new_method_works_as_written(bench: Bench, tmp_path: Path) -> None:
    assert bench("method", "new", "my-attack").returncode == 0
    assert "holds what is not a method written by idbench" in refused(bench("method", "new", "my-attack"))
    place = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(place), str(tmp_path / "my-attack")], check=True, capture_output=True)
    own = Bench(tmp_path, place)
    done = own("method", "check", "my-attack", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {row["state"] for row in json.loads(done.stdout)} == {"ok"}


@pytest.mark.parametrize(
    ("method", "failed", "ok"),
    [
        ("sample-order", "order of the cases", "same seed, same scores"),
        ("sample-hashes", "same seed, same scores", "run"),
    ],
)
def test_check_catches_what_scores_must_not_depend_on(bench: Bench, method: str, failed: str, ok: str) -> None:
    done = bench("method", "check", method, "--json")
    assert done.returncode == 1
    states = {row["what"]: row["state"] for row in json.loads(done.stdout)}
    assert (states[failed], states[ok]) == ("failed", "ok")


def test_broken_plugin_breaks_nothing_else(bench: Bench) -> None:
    rows = {row["name"]: row for row in json.loads(bench("list", "methods", "--json").stdout)}
    assert rows["sample-broken-import"]["track"] == "unavailable"
    assert "a_package_that_nobody_has" in rows["sample-broken-import"]["title"]
    assert rows["sample-good"]["track"] == "black-box"
    assert rows["tuni"]["track"] == "text-only"
    listed = json.loads(bench("list", "--json").stdout)
    assert list(listed) == ["methods", "defenses", "splits", "targets"]
    versions = {row["name"]: row["version"] for row in (*listed["defenses"], *listed["splits"])}
    assert (versions["sample-noise"], versions["sample-attack"], versions["avatars"]) == ("1", "unavailable", "1")
    assert versions["sample-no-split"] == "unavailable"
    found = json.loads(bench("doctor", "--json").stdout)
    problems = [row["found"] for row in found if row["check"] == "plug-ins" and not row["ok"]]
    for words in ("attack sample-broken-import", "defense sample-attack", "split sample-no-split", "target sample-no-"):
        assert any(words in problem and "is unavailable: " in problem for problem in problems), problems


def test_a_defense_is_shown_as_an_attack_is(bench: Bench) -> None:
    shown = bench("show", "sample-noise").stdout
    for words in ("Sample: noise", "PHOTOS", "loud", "idbench-sample 0.3", "standard deviation of what is added"):
        assert words in shown
    answer = json.loads(bench("show", "sample-noise", "--json").stdout)
    assert answer["knowledge"] == ["NAME"]
    assert answer["parameters"]["scale"]["default"] == 0.01
    assert "sample-noise" in refused(bench("show", "sample-noize"))
    assert "is not a defense" in refused(bench("show", "sample-attack"))


def test_damaged_splits_are_named(bench: Bench, tmp_path: Path) -> None:
    assert bench("data", "build", "avatars-tiny", "--out", "split").returncode == 0
    assert bench("data", "lint", "split").returncode == 0
    where = ("--target", "avatars-a", "--corpus", "avatars-tiny-a")
    assert bench("run", "-m", "cosine", "--split", "split", *where).returncode == 0
    assert "holds what is not a split written" in refused(bench("data", "build", "avatars-tiny", "--out", "split"))
    photos = next((tmp_path / "split").rglob("photos*/*.parquet"), None) or next(
        path for path in (tmp_path / "split").rglob("*.parquet") if "photos" in path.as_posix()
    )
    whole = photos.read_bytes()
    for content in (b"", whole[: len(whole) // 2], bytes(len(whole))):
        photos.write_bytes(content)
        error = refused(bench("run", "-m", "blind-photos", "--split", "split", *where, "--seed", "1"))
        assert "photos" in error
        assert "split" in error
    photos.unlink()
    assert "photos" in refused(bench("run", "-m", "blind-photos", "--split", "split", *where, "--seed", "1"))
    lint = bench("data", "lint", "split", "--json")
    assert lint.returncode == 1
    assert any("photos" in row["where"] + row["message"] for row in json.loads(lint.stdout)["findings"])
    assert json.loads(lint.stdout)["verdict"] == "not usable"
