"""The board's build: what counts, what vanishes and why, and that the numbers are those of `idbench.metrics`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from tests.app.fictional import METHODS, World, attestation, build_board, invalidation, statements_of, with_id

from idbench.api import Silent
from idbench.errors import DataError, StorageError
from idbench.escaping import plain
from idbench.metrics import auc, auc_interval, delong_covariance, ranks, tpr_at_fpr, tpr_at_fpr_interval
from idbench.metrics.curve import RateAtFpr
from idbench.metrics.values import Interval
from idbench.results import MethodRef, ShadowCosts, SplitRef, TargetRef, collect, read_run, write_run
from idbench.results.attestation import Level, Statements
from idbench.results.labels import SplitLabels
from idbench.storage import sha256_file
from idbench_leaderboard import words
from idbench_leaderboard.board import Board, Selection, complete
from idbench_leaderboard.building import Built, build
from idbench_leaderboard.manifest import TABLES

SELECTION = Selection("fiction", 1, "fiction-a", "fiction-a")


def make(world: World, folder: Path, labels: SplitLabels | None = None, **options: Any) -> tuple[Board, Built]:
    found = collect([folder / "results"])
    values = {"statements": statements_of(found), **options}
    built = build(found, [labels or world.labels()], folder / "board", Silent(), **values)
    return Board(built.path), built


def reasons(built: Built) -> list[str]:
    return [each.reason for each in built.rejected]


def test_tables_written_in_pieces_are_those_written_at_once(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        for method in ("keen", "random"):
            world.write(tmp_path / "results", method, seed=seed)
    board, _ = make(world, tmp_path)
    together = {name: pq.read_table(board.path / f"{name}.parquet") for name in TABLES}
    monkeypatch.setattr("idbench_leaderboard.table_files.RANKS_READ_TOGETHER", 2 * 2 * world.people)
    monkeypatch.setattr("idbench_leaderboard.table_files.LISTS_READ_TOGETHER", 1)
    board, _ = make(world, tmp_path)
    pieces = {name: pq.ParquetFile(board.path / f"{name}.parquet").num_row_groups for name in ("ranks", "curves")}
    assert pieces == {"ranks": 3, "curves": 2}
    for name in TABLES:
        assert pq.read_table(board.path / f"{name}.parquet").equals(together[name])
    first = next(run for run in collect([tmp_path / "results"]).runs if run.record.seed == 0)
    scores = first.scores().scores[world.labels().test]
    below = (scores[:, None] > scores).sum(axis=1)
    assert together["ranks"]["ranks"].to_pylist()[0] == below.tolist()


def test_numbers_are_those_of_the_metrics(world: World, tmp_path: Path) -> None:
    record = world.write(tmp_path / "results", "keen")
    board, _ = make(world, tmp_path)
    row = board.rows(SELECTION).iloc[0]
    labels, table = world.labels(), collect([tmp_path / "results"]).runs[0].scores()
    test = labels.test
    scores, member = table.scores[test], labels.corpora["fiction-a"].member[test]
    interval = auc_interval(scores, member)
    assert row["auc"] == pytest.approx(auc(scores, member), abs=1e-12)
    assert (row["auc_low"], row["auc_high"]) == pytest.approx((interval.low, interval.high))
    rate, ends = tpr_at_fpr(scores, member, 0.1), tpr_at_fpr_interval(scores, member, 0.1)
    assert isinstance(rate, RateAtFpr)
    assert isinstance(ends, Interval)
    assert (row["tpr_10"], row["tpr_10_low"], row["tpr_10_high"]) == pytest.approx((rate.value, ends.low, ends.high))
    assert row["n_members"] == row["n_nonmembers"] == world.people
    assert board.runs["run_id"].tolist() == [record.run_id]


def test_seeds_are_pooled_with_people_as_clusters(world: World, tmp_path: Path) -> None:
    for seed in range(3):
        world.write(tmp_path / "results", "keen", seed=seed)
    board, built = make(world, tmp_path)
    row = board.rows(SELECTION).iloc[0]
    labels = world.labels()
    member = labels.corpora["fiction-a"].member[labels.test]
    rows = np.stack([run.scores().scores[labels.test] for run in collect([tmp_path / "results"]).runs])
    found = delong_covariance(rows, member)
    assert built.entries == 1
    assert row["n_seeds"] == 3
    assert row["auc"] == pytest.approx(found.auc.mean())
    joint = board.joint([row["entry"]])
    assert joint.covariance[0, 0] == pytest.approx(found.covariance.mean())
    # Three seeds on the same people know less than three times as many people would.
    assert joint.covariance[0, 0] > found.covariance.diagonal().mean() / 3


def test_every_pair_of_rows_has_its_covariance(world: World, tmp_path: Path) -> None:
    for method in ("keen", "mild", "random"):
        world.write(tmp_path / "results", method)
    board, _ = make(world, tmp_path)
    scores = {run.record.attack.name: run.scores().scores for run in collect([tmp_path / "results"]).runs}
    test, corpus = world.labels().test, world.labels().corpora["fiction-a"]
    entries = board.rows(SELECTION).set_index("method")["entry"]
    for methods in (["random", "keen", "mild"], ["mild", "keen"]):
        rows = np.stack([scores[method][test] for method in methods])
        found = board.joint([entries[method] for method in methods])
        np.testing.assert_allclose(found.covariance, delong_covariance(rows, corpus.member[test]).covariance)
        np.testing.assert_array_equal(found.of_members, found.of_members.T)


def test_a_board_of_the_version_before_is_read(world: World, tmp_path: Path) -> None:
    for method in ("keen", "mild", "random"):
        world.write(tmp_path / "results", method)
    board, built = make(world, tmp_path)
    entries = board.rows(SELECTION)["entry"].tolist()
    by_place = pd.read_parquet(built.path / "joint.parquet").sort_values("place")
    whole = board.joint(by_place["entry"].tolist())
    older = by_place.assign(of_members=list(whole.of_members), of_nonmembers=list(whole.of_nonmembers))
    older.to_parquet(built.path / "joint.parquet")
    manifest = json.loads((built.path / "manifest.json").read_text(encoding="utf-8"))
    manifest["board_version"] = 3
    manifest["files"]["joint.parquet"] = sha256_file(built.path / "joint.parquet")
    (built.path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    np.testing.assert_array_equal(Board(built.path).joint(entries).covariance, board.joint(entries).covariance)


def test_rank_intervals_agree_with_the_joint_bootstrap(tmp_path: Path) -> None:
    world = World(people=300)
    for method in METHODS:
        world.write(tmp_path / "results", method)
    board, _ = make(world, tmp_path)
    shown = board.rows(SELECTION)
    people = board.people("fiction", 1, "fiction-a")
    cube = np.stack([board.ranks(entry)[0][0] for entry in shown["entry"]])
    drawn = ranks(cube, people["member"].to_numpy(), shown["label"].tolist(), draws=2000)
    assert [each.name for each in drawn.methods] == shown["label"].tolist()  # type: ignore[union-attr]
    expected = [(each.rank, each.rank_low, each.rank_high) for each in drawn.methods]  # type: ignore[union-attr]
    assert list(zip(shown["rank"], shown["rank_low"], shown["rank_high"], strict=True)) == expected
    assert len({rank for rank, _, _ in expected}) > 1


def test_a_new_method_never_reorders_the_others(world: World, tmp_path: Path) -> None:
    for method in ("keen", "mild", "random"):
        world.write(tmp_path / "results", method)
    before = make(world, tmp_path)[0].rows(SELECTION)["label"].tolist()
    world.write(tmp_path / "results", "deep")
    after = make(world, tmp_path)[0].rows(SELECTION)["label"].tolist()
    assert [label for label in after if label != "deep"] == before


def test_the_best_blind_attack_is_the_bar(filled: Path) -> None:
    rows = Board(filled).rows(SELECTION)
    blind = rows[rows["track"] == "blind"]
    asking = rows[rows["track"] != "blind"]
    assert set(asking["blind"]) == {blind.iloc[0]["label"]}
    expected = asking["auc"] - blind["auc"].max()
    assert asking["blind_difference"].to_numpy() == pytest.approx(expected.to_numpy())
    assert blind["blind_difference"].isna().all()
    assert (asking["blind_p"] < 0.05).all()


def test_controls_are_scored_against_every_corpus_they_stand_in_for(filled: Path) -> None:
    board = Board(filled)
    assert board.corpora("fiction", 1, "fiction-0") == ["fiction-a", "fiction-b"]
    rows = board.rows(SELECTION)
    control = board.rows(Selection("fiction", 1, "fiction-0", "fiction-a")).set_index("label")
    for _, row in rows.iterrows():
        assert row["control_auc"] == pytest.approx(control.loc[row["label"], "auc"])
        assert row["control_low"] < 0.5 < row["control_high"]


def test_not_estimable_cells_say_why(filled: Path) -> None:
    row = Board(filled).rows(SELECTION).iloc[0]
    assert np.isnan(row["tpr_01"])
    assert "at least 1000 non-members" in row["tpr_01_reason"]


def test_the_same_input_gives_the_same_bytes(world: World, tmp_path: Path) -> None:
    world.fill(tmp_path / "results")
    first = build_board(world, tmp_path / "results", tmp_path / "one")
    second = build_board(world, tmp_path / "results", tmp_path / "two")
    names = sorted(path.name for path in first.path.iterdir())
    assert names == sorted(path.name for path in second.path.iterdir())
    assert all((first.path / name).read_bytes() == (second.path / name).read_bytes() for name in names)


def test_several_threads_give_the_same_board(world: World, tmp_path: Path) -> None:
    for target in ("fiction-a", "fiction-b"):
        world.write(tmp_path / "results", "keen", target)
    one = make(world, tmp_path)[0].manifest
    assert make(world, tmp_path, threads=2)[0].manifest == one


def test_invalidated_records_vanish_with_a_trace(world: World, tmp_path: Path) -> None:
    world.write(tmp_path / "results", "keen")
    world.write(tmp_path / "results", "mild")
    (run,) = (run for run in collect([tmp_path / "results"]).runs if run.record.attack.name == "mild")
    statements = Statements((invalidation(run, "the photos were swapped"),))
    board, built = make(world, tmp_path, statements=statements)
    assert board.rows(SELECTION)["label"].tolist() == ["keen"]
    assert reasons(built) == ["invalidated on 2026-01-01 by the tests: the photos were swapped"]
    assert board.manifest["rejected"][0]["where"].startswith("fiction-v1/fiction-a/mild-")


def test_retracted_people_leave_every_number(world: World, tmp_path: Path) -> None:
    world.write(tmp_path / "results", "keen")
    gone = frozenset(world.ids[:10])
    board, built = make(world, tmp_path, world.labels(retracted=gone))
    row = board.rows(SELECTION).iloc[0]
    assert not built.rejected
    assert row["n_members"] + row["n_nonmembers"] == 2 * world.people - 10
    assert not set(board.people("fiction", 1, "fiction-a")["identity"]) & gone
    assert b"p00000" not in b"".join(path.read_bytes() for path in built.path.iterdir())


def test_versions_of_a_split_never_mix(world: World, tmp_path: Path) -> None:
    world.write(tmp_path / "results", "keen")
    second = SplitRef(name="fiction", version=2, digest="e" * 64, commit=None)
    world.write(tmp_path / "results", "mild", split=second)
    other = replace(world.labels(), version=2, digest="e" * 64)
    found = collect([tmp_path / "results"])
    build(found, [world.labels(), other], tmp_path / "both", Silent())
    board = Board(tmp_path / "both")
    assert board.versions("fiction") == [2, 1]
    assert board.rows(SELECTION)["label"].tolist() == ["keen"]
    assert board.rows(replace(SELECTION, version=2))["label"].tolist() == ["mild"]
    _, built = make(world, tmp_path)
    assert reasons(built) == ["no labels for split fiction v2; there are labels for version 1"]


def test_records_made_with_other_content_are_rejected(world: World, tmp_path: Path) -> None:
    world.write(tmp_path / "results", "keen", split=SplitRef(name="fiction", version=1, digest="f" * 64, commit=None))
    _, built = make(world, tmp_path)
    assert built.runs == 0
    assert "had other content" in reasons(built)[0]
    _, built = make(world, tmp_path, world.labels(accepts=frozenset({"f" * 64})))
    assert built.runs == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"corpus": None}, "names no corpus"),
        ({"corpus": "elsewhere"}, "has no labels for corpus elsewhere"),
    ],
)
def test_targets_without_labels_are_rejected(
    world: World, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    target = TargetRef(
        name="odd",
        version="1",
        architecture="tiny",
        sha256="1" * 64,
        control_for=(),
        design="d" * 64,
        **{"corpus": None, **changes},
    )
    write_run(
        tmp_path / "results",
        with_id(world.record("keen").model_copy(update={"target": target})),
        world.table(1.0, None, 0),
    )
    _, built = make(world, tmp_path)
    assert reason in reasons(built)[0]


def test_damaged_records_stop_nothing(world: World, tmp_path: Path) -> None:
    for seed in range(5):
        world.write(tmp_path / "results", "keen", seed=seed)
    folders = [run.path for run in collect([tmp_path / "results"]).runs]
    (folders[0] / "run.json").write_text("{", encoding="utf-8")
    (folders[1] / "run.json").write_bytes(b"")
    (folders[2] / "scores.parquet").write_bytes(b"not what it was")
    (folders[3] / "scores.parquet").unlink()
    board, built = make(world, tmp_path)
    assert board.rows(SELECTION)["n_seeds"].tolist() == [1]
    assert built.runs == 1
    assert len(built.rejected) == 4
    assert not any(str(tmp_path) in reason for reason in reasons(built))
    assert board.manifest["records"] == {"given": 5, "counted": 1}


def test_people_without_a_score_are_no_choice(world: World, tmp_path: Path) -> None:
    full = world.table(1.0, "fiction-a", 0)
    some = np.arange(30, len(full.identities))
    table = replace(
        full,
        identities=full.identities[30:],
        scores=full.scores[some],
        abstained=full.abstained[some],
        photos_used=full.photos_used[some],
    )
    write_run(tmp_path / "results", world.record("keen", n_cases=len(some)), table)
    _, built = make(world, tmp_path)
    assert reasons(built) == ["30 of 240 people of the test part have no score"]


def test_scores_that_are_no_numbers_are_rejected_and_abstentions_rank_last(world: World, tmp_path: Path) -> None:
    full = world.table(1.0, "fiction-a", 0)
    scores = full.scores.copy()
    scores[4] = np.nan
    write_run(tmp_path / "results", world.record("keen"), replace(full, scores=scores))
    _, built = make(world, tmp_path)
    (reason,) = reasons(built)
    assert reason.endswith("cannot be used: 1 values of its column 'score' are missing.")
    abstained = full.abstained.copy()
    abstained[4] = True
    record = world.record("keen", seed=1, n_abstained=1)
    write_run(tmp_path / "results", record, replace(full, scores=scores, abstained=abstained))
    board, built = make(world, tmp_path)
    row = board.rows(SELECTION).iloc[0]
    assert row["n_abstained"] == 1
    (found,) = board.ranks(row["entry"])
    assert found[0, 4] == found.min()


def test_attested_records_never_share_a_row_with_self_reported_ones(world: World, tmp_path: Path) -> None:
    for seed in range(2):
        world.write(tmp_path / "results", "keen", seed=seed)
    first, second = collect([tmp_path / "results"]).runs
    board, _ = make(world, tmp_path, statements=Statements((attestation(first, Level.REPRODUCED),)))
    assert sorted(board.rows(SELECTION)["label"]) == ["keen", "keen (self-reported)"]
    assert board.rows(replace(SELECTION, checked="replayed"))["label"].tolist() == ["keen"]
    assert board.rows(SELECTION).set_index("label")["verification"].to_dict() == {
        "keen": "reproduced",
        "keen (self-reported)": "self-reported",
    }
    both = Statements((attestation(first, Level.REPRODUCED), attestation(second)))
    board, _ = make(world, tmp_path, statements=both)
    assert board.rows(SELECTION)["verification"].tolist() == ["replayed"]


def test_repetitions_are_counted_once_and_their_spread_is_shown(world: World, tmp_path: Path) -> None:
    record = world.write(tmp_path / "results" / "here", "keen")
    again = world.table(METHODS["keen"][0], "fiction-a", 0, "keen")
    again = replace(again, scores=again.scores * (1 + 1e-7 * np.arange(again.scores.size)))
    write_run(tmp_path / "results" / "elsewhere", record, again)
    board, built = make(world, tmp_path)
    assert not built.rejected
    row = board.rows(SELECTION).iloc[0]
    assert (row["n_seeds"], row["repetitions"]) == (1, 1)
    assert 0 < row["repeat_difference"] < 1e-3
    assert row["repeat_correlation"] > 0.9999
    assert "once; scores moved by at most" in words.repeated(row)
    (repetition,) = board.manifest["repetitions"]
    assert repetition["of"].startswith("elsewhere/")
    assert repetition["where"].startswith("here/")


def test_settings_are_named_by_what_differs(world: World, tmp_path: Path) -> None:
    usual, paper = {"photos": 5, "prompts": 21}, {"photos": 30, "prompts": 100}
    for parameters in (usual, {**usual, "photos": 1}, paper):
        world.write(tmp_path / "results", "keen", parameters=parameters)
    board, _ = make(world, tmp_path)
    assert board.rows(SELECTION)["label"].tolist() == ["keen"]
    every = board.rows(replace(SELECTION, settings="all")).set_index("label")
    assert set(every.index) == {"keen", "keen (photos=1)", "keen (preset paper)"}
    begin = "bench run --method keen --split fiction --target fiction-a"
    assert every.loc["keen", "command"] == begin
    assert every.loc["keen (photos=1)", "command"] == f"{begin} --param photos=1"
    assert every.loc["keen (preset paper)", "command"] == f"{begin} --preset paper"


def test_retrained_targets_and_changed_code_are_told_apart(world: World, tmp_path: Path) -> None:
    record = world.record("keen")
    other = record.target.model_copy(update={"sha256": "9" * 64})
    code: MethodRef = record.attack.model_copy(update={"code_sha256": "8" * 64})
    variants: list[dict[str, Any]] = [{}, {"target": other}, {"attack": code}]
    for index, changes in enumerate(variants):
        changed = with_id(record.model_copy(update=changes))
        write_run(tmp_path / "results" / str(index), changed, world.table(1.0, "fiction-a", 0))
    board, _ = make(world, tmp_path)
    assert board.targets("fiction", 1) == ["fiction-a (99999999)", "fiction-a (aaaaaaaa)"]
    labels = board.rows(Selection("fiction", 1, "fiction-a (aaaaaaaa)", "fiction-a"))["label"]
    assert sorted(labels) == ["keen code 888888", "keen code eeeeee"]


def test_labels_that_are_not_public_leave_sums_only(world: World, tmp_path: Path) -> None:
    world.write(tmp_path / "results", "keen")
    board, built = make(world, tmp_path, world.labels(public=False))
    row = board.rows(SELECTION).iloc[0]
    assert row["auc"] > 0.5
    assert board.curve(row["entry"]) is not None
    assert board.ranks(row["entry"]) == []
    assert board.people("fiction", 1, "fiction-a").empty
    assert b"p00004" not in b"".join(path.read_bytes() for path in built.path.iterdir())


def test_unknown_occurrences_and_empty_boards(world: World, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    board, built = make(world, tmp_path)
    assert (built.runs, built.entries, built.boards) == (0, 0, 0)
    assert board.default_selection() is None
    labels = world.labels()
    unknown = {
        name: replace(each, occurrences=np.full_like(each.occurrences, -1)) for name, each in labels.corpora.items()
    }
    world.write(tmp_path / "results", "keen")
    board, _ = make(world, tmp_path, replace(labels, corpora=unknown))
    assert board.rows(SELECTION)["auc"].iloc[0] > 0.5
    assert (board.bins["occurrences"] <= 0).all()


def test_views_fall_back_to_what_exists(filled: Path) -> None:
    board = Board(filled)
    assert complete(board, Selection("nowhere", 7, "no", "no")) == SELECTION
    assert board.rows(replace(SELECTION, track="shadow"))["track"].unique().tolist() == ["blind"]
    assert set(board.rows(replace(SELECTION, checked="replayed"))["label"]) == {"keen", "random"}
    assert [label for label in board.rows(replace(SELECTION, settings="all"))["label"] if "photos" in label] == [
        "keen (photos=1)"
    ]


def test_pairs_are_corrected_together(filled: Path) -> None:
    board = Board(filled)
    rows = board.rows(SELECTION)
    found = board.pairs(rows["entry"].tolist())
    assert len(found) == len(rows) * (len(rows) - 1) // 2
    assert all(pair.p_holm >= pair.found.p for pair in found)
    best, worst = rows.iloc[0], rows.iloc[-1]
    pair = next(each for each in found if {each.a, each.b} == {best["label"], worst["label"]})
    assert pair.found.difference == pytest.approx(best["auc"] - worst["auc"])
    assert pair.p_holm < 0.001


def test_targets_of_one_corpus_are_pooled(world: World, tmp_path: Path) -> None:
    models = ("fiction-a", "fiction-a-wide", "fiction-a-deep")
    for target in (*models, "fiction-0"):
        for method in ("keen", "mild", "random"):
            for seed in range(2):
                world.write(tmp_path / "results", method, target, seed)
    for target in ("fiction-a", "fiction-a-wide"):
        world.write(tmp_path / "results", "deep", target)
    world.write(tmp_path / "results", "random", "fiction-a-odd")
    board, built = make(world, tmp_path)
    assert not built.rejected
    assert board.targets("fiction", 1) == [
        "all of fiction-a",
        "fiction-a",
        "fiction-a-deep",
        "fiction-a-odd",
        "fiction-a-wide",
        "fiction-0",
    ]
    selection = replace(SELECTION, target="all of fiction-a")
    rows = board.rows(selection)
    # Of the methods, only those that were run on each target; of the targets, none where nearly all are missing.
    assert rows["label"].tolist() == ["keen", "mild", "random"]
    assert sorted(board.members_of(selection)["target"]) == sorted(models)
    assert board.not_pooled(selection) == ["deep"]
    sentence = plain(words.not_pooled(["deep"], 3))
    assert sentence == "Not in the table: deep, which was not run on all 3 models. Choose a single target to see it."
    singles = [board.rows(replace(SELECTION, target=target)).set_index("label") for target in models]
    for _, row in rows.iterrows():
        one = [each.loc[row["label"]] for each in singles]
        assert row["pooled"] == 3
        assert row["auc"] == pytest.approx(np.mean([each["auc"] for each in one]), abs=1e-12)
        assert row["tpr_1"] == pytest.approx(np.mean([each["tpr_1"] for each in one]), abs=1e-12)
        assert row["control_auc"] == pytest.approx(one[0]["control_auc"])
        assert len(board.runs_of(row["entry"])) == 6
        assert [each.shape for each in board.ranks(row["entry"])] == 3 * [(2, 2 * world.people)]
        assert board.histogram(row["entry"]) is None
        assert board.curve(row["entry"]) is not None
    assert rows["blind"].iloc[0] == "random"
    expected = "bench run --method keen --split fiction --target fiction-a,fiction-a-deep,fiction-a-wide --seeds 2"
    assert rows["command"].iloc[0] == expected


def test_pooled_intervals_are_those_of_the_joint_covariance(world: World, tmp_path: Path) -> None:
    for target in ("fiction-a", "fiction-a-wide"):
        world.write(tmp_path / "results", "keen", target)
    board, _ = make(world, tmp_path)
    labels = world.labels()
    member = labels.corpora["fiction-a"].member[labels.test]
    rows = np.stack([run.scores().scores[labels.test] for run in collect([tmp_path / "results"]).runs])
    entry = board.rows(replace(SELECTION, target="all of fiction-a"))["entry"].iloc[0]
    expected = delong_covariance(rows, member).covariance.mean()
    assert board.joint([entry]).covariance[0, 0] == pytest.approx(expected)


def test_a_new_target_changes_no_number_of_another(world: World, tmp_path: Path) -> None:
    world.write(tmp_path / "results", "keen")
    before = make(world, tmp_path)[0].rows(SELECTION)
    assert not before["pooled"].any()
    world.write(tmp_path / "results", "keen", "fiction-a-wide")
    board, _ = make(world, tmp_path)
    assert board.rows(SELECTION).equals(before)
    assert "all of fiction-a" in board.targets("fiction", 1)


def test_shadow_models_cost_what_training_them_cost(world: World, tmp_path: Path) -> None:
    costs = ShadowCosts(count=4, steps=800, seconds=90.0, trained=1, trained_steps=200, waited=25.0)
    record = world.record("deep")
    timings = record.timings.model_copy(update={"fit": 30.0, "score": 2.0})
    world.write(tmp_path / "results", "deep", shadows=costs, timings=timings)
    row = make(world, tmp_path)[0].rows(SELECTION).iloc[0]
    # Three of the four were found in the cache: the board counts them as if this run had trained them.
    assert (row["training_steps"], row["training_seconds"]) == (800, 90.0)
    assert row["seconds"] == 30.0 + 2.0 - 25.0 + 90.0
    assert row["queries"] == record.queries.total + 800


def test_folders_that_are_no_board_are_refused(tmp_path: Path, filled: Path) -> None:
    with pytest.raises(DataError, match="holds no board") as caught:
        Board(tmp_path)
    assert "bench leaderboard build" in caught.value.hint
    (tmp_path / "manifest.json").write_text('{"board_version": 99, "files": {}}', encoding="utf-8")
    with pytest.raises(DataError, match="version 99"):
        Board(tmp_path)
    (tmp_path / "manifest.json").write_text("[1", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read"):
        Board(tmp_path)
    (tmp_path / "manifest.json").write_bytes((filled / "manifest.json").read_bytes())
    with pytest.raises(DataError, match="incomplete"):
        Board(tmp_path)
    for path in filled.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "entries.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r"entries\.parquet .* is not what the build wrote"):
        _ = Board(tmp_path).entries


def test_records_of_several_folders_are_told_apart(world: World, tmp_path: Path) -> None:
    record = world.write(tmp_path / "mine", "keen")
    run = read_run(next((tmp_path / "mine").rglob("run.json")))
    write_run(tmp_path / "yours", record, run.scores())
    found = collect([tmp_path / "mine", tmp_path / "yours"])
    assert [name.partition("/")[0] for name in found.names] == ["mine", "yours"]
    built = build(found, [world.labels()], tmp_path / "board", Silent())
    assert reasons(built) == [f"the same record counts already: {found.names[0]}"]


def test_missing_result_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        collect([tmp_path / "nowhere"])
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="not a folder"):
        collect([tmp_path / "file"])


def test_a_failed_build_leaves_the_old_board(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write(tmp_path / "results", "keen")
    board, _ = make(world, tmp_path)
    before = {path.name: path.read_bytes() for path in board.path.iterdir()}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("idbench_leaderboard.table_files.pq.ParquetWriter", full)
    with pytest.raises(StorageError, match="No space left"):
        make(world, tmp_path)
    assert {path.name: path.read_bytes() for path in board.path.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["board", "results"]


def test_rejected_names_come_from_the_record(world: World, tmp_path: Path) -> None:
    record = world.write(tmp_path / "results", "keen", split=SplitRef(name="other", version=1, digest="0", commit=None))
    _, built = make(world, tmp_path)
    assert built.rejected[0].run_id == record.run_id
    assert read_run(tmp_path / "results" / built.rejected[0].where).record == record
