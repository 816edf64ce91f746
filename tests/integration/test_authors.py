"""What authors type: grids that tune on no test person, comparisons over everything, tables for a paper."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.conftest import Bench, refused

from idbench import load_results
from idbench.errors import IdbenchError, RecordError
from idbench.progress import Reporter
from idbench.runner.closure import depends_on_seed
from idbench.runner.comparing import side_of
from idbench.runner.execute import Options
from idbench.runner.grid import Grid, make_grid, run_grid
from idbench.runner.registry import ATTACKS, load_attack
from idbench.runner.spec import plan_method
from idbench.runner.sweeping import plan_sweep, usual_setting
from idbench.splits import load_split

TINY = ("--split", "avatars-tiny", "--target", "avatars-a", "--corpus", "avatars-tiny-a")
BOTH = ("--split", "avatars-tiny", "--target", "avatars-a,avatars-b", "--corpus", "avatars-tiny-a")


class Heard(Reporter):
    def __init__(self) -> None:
        self.words: list[str] = []

    def update(self, done: float, total: float, description: str) -> None:
        self.words.append(description)


def narrow(bench: Bench) -> Bench:
    bench.environment["COLUMNS"] = "80"
    return bench


def test_lists_fit_eighty_columns_and_names_stay_whole(bench: Bench) -> None:
    done = narrow(bench)("list")
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    for name in (*ATTACKS.names(), "avatars-a-vit-b-32", "lfw-injected-112-vit-a"):
        assert re.search(rf"│ {re.escape(name)} +│", done.stdout), name


def test_runs_and_comparisons_over_seeds_and_targets(bench: Bench, tmp_path: Path) -> None:
    done = narrow(bench)("run", "-m", "cosine", "-m", "random", *BOTH, "--seeds", "2")
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "cosine does not depend on the seed: one run for all seeds." in done.stdout
    assert len(list(tmp_path.glob("results/*/*/cosine-*"))) == 2
    assert len(list(tmp_path.glob("results/*/*/random-*"))) == 4
    listed = narrow(bench)("list", "runs").stdout
    assert "parameters" in listed
    assert "defaults" in listed
    compared = narrow(bench)("compare", "cosine", "random", *BOTH, "--plot", "roc.svg")
    assert compared.returncode == 0, compared.stderr
    shown = " ".join(compared.stdout.split())
    assert "cosine: defaults;" in shown
    assert shown.count("seed 1)") == 2  # of random, on both targets
    assert "means over targets and seeds" in shown
    picture = (tmp_path / "roc.svg").read_text()
    assert ">cosine<" in picture
    assert ">random<" in picture
    assert "avatars" not in picture  # a paper has its own captions
    assert float(re.search(r'width="([\d.]+)"', picture).group(1)) < 3.5 * 72  # type: ignore[union-attr]
    found = json.loads(bench("compare", "cosine", "random", *BOTH, "--json").stdout)
    assert len(found["readings"]) == 4
    assert {one["seed_b"] for one in found["readings"]} == {0, 1}
    alone = found["comparison"]["auc"]
    assert alone["difference"] == pytest.approx(alone["auc_a"] - alone["auc_b"])
    table = bench("compare", "cosine", "random", *BOTH, "--format", "latex").stdout
    assert table.count("\\\\") == 5
    assert "\\begin{tabular}{lllll}" in table
    rows = bench("compare", "cosine", "random", *BOTH, "--format", "csv").stdout.splitlines()
    assert rows[0] == "metric,cosine,random,difference [95 %],p"
    assert "cannot be compared with itself" in refused(bench("compare", "cosine", "cosine", *BOTH))


def test_runs_with_different_parameters_are_not_mixed(bench: Bench) -> None:
    assert bench("run", "-m", "idia", "-p", "draws=1", *TINY).returncode == 0
    assert bench("run", "-m", "idia", "-p", "draws=2", "-m", "random", *TINY).returncode != 0  # random has no draws
    assert bench("run", "-m", "idia", "-p", "draws=2", *TINY).returncode == 0
    assert bench("run", "-m", "random", *TINY).returncode == 0
    error = refused(bench("compare", "idia", "random", *TINY))
    assert "idia was run with different draws" in error
    one = re.search(r"([0-9a-f]{8}) \(1 run\)", error)
    assert one is not None
    assert bench("compare", one.group(1), "random", *TINY).returncode == 0
    assert bench("compare", one.group(1), "random", *TINY[2:]).returncode == 0  # the split is that of the runs


def test_what_was_only_tried_in_a_sweep_does_not_count_in_a_comparison(bench: Bench, tmp_path: Path) -> None:
    assert bench("run", "-m", "idia", "--sweep", "draws=1,2", *TINY).returncode == 0
    assert "idia was run with different draws" in refused(bench("compare", "idia", "random", *TINY))
    assert bench("run", "-m", "idia", "-m", "random", "-p", "draws=2", *TINY).returncode != 0  # random has no draws
    assert bench("run", "-m", "idia", "-p", "draws=2", *TINY).returncode == 0
    assert bench("run", "-m", "random", *TINY).returncode == 0
    compared = bench("compare", "idia", "random", *TINY, "--json")
    assert compared.returncode == 0, compared.stderr
    assert json.loads(compared.stdout)["parameters"]["a"]["draws"] == 2
    assert "idia: 1 run of a sweep is left out" in compared.stderr
    (tmp_path / "cosine").mkdir()  # the folder of a package, say
    assert "There is no run of 'cosine'" in refused(bench("compare", "cosine", "random", *TINY))


def test_a_run_is_proposed_of_installed_attacks_alone(tmp_path: Path) -> None:
    for word, hint in (
        ("tuni", "Make one: bench run --method tuni --split avatars-tiny"),
        ("tunni", "bench list runs"),
    ):
        with pytest.raises(RecordError, match="no run of") as caught:
            side_of(word, load_split("avatars-tiny"), None, tmp_path)
        assert hint in str(caught.value.hint)
        assert (word == "tunni") == ("Make one" not in str(caught.value.hint))


def test_what_comes_next_finds_the_runs_again(bench: Bench, tmp_path: Path) -> None:
    done = bench("run", "-m", "blind-names", "-m", "random", *TINY, "--results", "my runs")
    assert done.returncode == 0, done.stderr
    proposed = done.stdout.replace("Next: ", "").split("\n\n")[-1].replace("\n", " · ").split(" · ")
    shown, compared = (
        shlex.split(line)[1:] for line in map(str.strip, proposed) if "show" in line or "compare" in line
    )
    assert shown[-2:] == compared[-2:] == ["--results", "my runs"]
    for command in (shown, compared):
        again = bench(*command)
        assert again.returncode == 0, again.stderr


def test_a_sweep_asks_the_calibration_people_alone(bench: Bench, tmp_path: Path) -> None:
    done = bench("run", "-m", "idia", "-p", "pool_size=5,40", "--sweep", "draws=1", *TINY, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [row["values"] for row in found["settings"]] == [
        {"draws": "1", "pool_size": "5"},
        {"draws": "1", "pool_size": "40"},
    ]
    assert found["people"] == 24
    aucs = [row["auc"]["value"] for row in found["settings"]]
    assert found["best"] == aucs.index(max(aucs))
    assert found["settings"][found["best"]]["p"] is None
    assert not list(tmp_path.glob("results/*/*/*/metrics.json"))  # nothing was judged on the test part
    assert len(list(tmp_path.glob("results/*/*/*/run.json"))) == 2  # and no blind attack was needed
    assert "cannot judge its settings" in refused(bench("run", "-m", "wsa", "--sweep", "seed=1,2", *TINY))


def test_a_sweep_leaves_controls_out_and_knows_the_usual_setting() -> None:
    split = load_split("avatars-tiny")

    def planned(
        target: str, preset: str | None = None, **varied: Sequence[object]
    ) -> list[tuple[dict[str, object], Grid]]:
        corpus = "avatars-tiny-a"
        return plan_sweep(split, "idia", varied, {}, target=target, seeds=[0], corpus=corpus, preset=preset)

    grids = planned("avatars-a,avatars-0", photos_per_person=[1, 2])
    assert [[spec.name for spec, _ in grid.targets] for _, grid in grids] == [["avatars-a"]] * 2
    assert usual_setting(grids, None, {}) is None  # all photos: none of the two
    assert usual_setting(planned("avatars-a", tau=["2", "1"]), None, {}) == 1
    assert usual_setting(planned("avatars-a", "paper", photos_per_person=[2, 30]), "paper", {}) == 1
    with pytest.raises(IdbenchError, match="avatars-0 is a control"):
        planned("avatars-0", tau=[1, 2])


def test_a_sweep_that_does_not_tell_the_usual_setting_from_the_best_says_to_keep_it(
    bench: Bench, tmp_path: Path
) -> None:
    done = bench("run", "-m", "idia", "-p", "draws=2", "--sweep", "tau=2,1", *TINY)
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert "prefer -p tau=2, but do not tell it from -p tau=1, which runs have without --sweep: keep that." in shown
    again = done.stdout.split("Next: ")[1].strip()
    assert again == f"bench run -m idia {' '.join(TINY)} -p draws=2 -p tau=2"
    assert "not computed yet" in bench("list", "runs").stdout
    assert load_results(tmp_path / "results").to_frame()["seconds"].min() > 0


def test_a_dry_run_of_a_sweep_shows_its_settings_and_doubts_times_of_others(bench: Bench) -> None:
    done = narrow(bench)("run", "-m", "tuni", "--preset", "paper", "--sweep", "runs=2,3", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert re.search(r"│ runs=2 +│", done.stdout)
    assert re.search(r"│ runs=3 +│", done.stdout)
    assert "with other parameters: these may take many times as long" in " ".join(done.stdout.split())
    plain = bench("run", "-m", "tuni", "--dry-run")
    assert "other parameters" not in plain.stdout
    assert "parameters" not in plain.stdout.split("\n")[2]


def test_an_option_given_twice_is_refused(bench: Bench) -> None:
    error = refused(bench("run", "-m", "random", "--target", "avatars-a", "--target", "avatars-b"))
    assert "--target is given 2 times" in error
    assert "separated by commas" in error
    assert "--seed is given 2 times" in refused(bench("run", "-m", "random", "--seed", "1", "--seed", "2"))
    error = refused(bench("run", "-m", "idia", "-p", "draws=1", "-p", "draws=2"))
    assert "--sweep draws=1,2" in error
    assert "A value of draws is given twice" in refused(bench("run", "-m", "idia", "--sweep", "draws=1,1", *TINY))
    many = ",".join(map(str, range(1, 20_000)))
    for option in ("--sweep", "--param"):
        both = (option, f"draws={many}", "--sweep", f"pool_size={many}")
        assert "more than the 1,000" in refused(bench("run", "-m", "idia", *both, *TINY)), option


def test_a_grid_says_which_run_it_is_at(cache: Path, tmp_path: Path) -> None:
    heard = Heard()
    grid = make_grid(load_split("avatars-tiny"), ["random"], "avatars-a,avatars-b", [0, 1], "avatars-tiny-a")
    list(run_grid(grid, Options(tmp_path), heard))
    starts = [words for words in heard.words if words.startswith("run ") and words.count(" · ") <= 4]
    assert any(re.match(r"run 1 of \d+ · random · avatars-a · seed 0$", words) for words in starts)
    assert any(re.match(r"run 2 of \d+ · random · avatars-a · seed 1 · \d+ (s|min) left", words) for words in starts)


def test_which_attacks_depend_on_the_seed() -> None:
    found = {
        name: depends_on_seed(plan_method(load_attack(name))) for name in ("cosine", "aea", "idia", "tuni", "random")
    }
    assert found == {"cosine": False, "aea": False, "idia": True, "tuni": True, "random": True}


def test_a_dry_run_says_how_long(bench: Bench) -> None:
    done = bench("run", "-m", "lira", "-m", "cosine", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "takes about" in done.stdout
    assert re.search(r"lira .* \d+ (s|min) \+ \d+ (s|min) training", done.stdout)
    assert re.search(r"about \d+ min in all; as measured in the reference board", done.stdout)


def test_a_method_is_checked_with_other_parameters(bench: Bench) -> None:
    done = bench("method", "check", "idia", "-p", "draws=1", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no parameter of idia" in refused(bench("method", "check", "idia", "-p", "drawz=1"))


def test_a_new_package_mentions_its_source(bench: Bench, tmp_path: Path) -> None:
    for name, options in (("my-attack", ()), ("my-defense", ("--defense",))):
        assert bench("method", "new", name, *options).returncode == 0
        (source,) = (tmp_path / name).glob("src/*/__init__.py")
        for field in ("paper=", "url=", "authors=", "year="):
            assert field in source.read_text(), field
    assert "already" in refused(bench("method", "new", "tuni"))


def test_what_show_prints_is_for_people(bench: Bench) -> None:
    shown = bench("show", "tuni")
    assert shown.returncode == 0, shown.stderr
    assert not re.search(r"\d\.\.(?!\d)|(?<!\d)\.\.\d", shown.stdout)  # a range without its other end
    assert "--plot draws a run" in refused(bench("show", "tuni", "--plot", "x.png"))
    for other in ("avatars-a", "int4", "null-space", "avatars-tiny"):
        assert "--plot draws a run" in refused(bench("show", other, "--plot", "x.png"))
    assert bench("run", "-m", "idia", *TINY, "--adapt", "other-prompts").returncode == 0
    runs = json.loads(bench("list", "runs", "--json").stdout)
    (run,) = {row["run"] for row in runs if row["method"].startswith("idia")}
    record = bench("show", run).stdout
    assert "adapted by" in record
    assert "{'" not in record
    assert "TPR at 10 % FPR" in record
    assert "0.1 FPR" not in record


@pytest.mark.parametrize("target", ["avatars-a", "avatars-0", "lfw-injected-a", "open_clip:ViT-B-32/openai"])
def test_a_target_is_shown_without_python_spelling(bench: Bench, target: str) -> None:
    shown = bench("show", target).stdout
    assert "weights: kind" in shown
    for raw in ("{", "}", "[", "]", "'", "None", "True", "False"):
        assert raw not in shown, raw


def test_a_device_that_is_not_there_is_refused_before_anything_runs(bench: Bench, tmp_path: Path) -> None:
    if os.environ.get("CUDA_VISIBLE_DEVICES"):
        pytest.skip("there may be one here")
    assert "cannot be used" in refused(bench("run", "-m", "cosine", *TINY, "--device", "cuda:7"))
    assert not (tmp_path / "results").exists()


def test_ctrl_c_ends_the_board_without_a_word_on_repeating(bench: Bench) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = bench.start("leaderboard", "serve", "--port", str(port), "--no-browser")
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert "repeat" not in out + err
    assert "stopped" in out
    assert process.returncode == 0
