"""Verifying: an honest method is reproduced on redrawn people, and none that knows its answers is."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import ROOT, Bench, refused
from tests.small_runs import CORPUS, FORKS

from idbench.api import Silent
from idbench.errors import DataError, IdbenchError, MethodError, RecordError
from idbench.results import Estimate, Run, RunRecord, ScoreTable, write_run
from idbench.results.attestation import Level, read_statements
from idbench.runner.execute import Options, execute
from idbench.runner.grid import make_grid, specs
from idbench.runner.jail import LockLimits, can_lock
from idbench.runner.spec import Resolver, plan_adaptation
from idbench.runner.training import HowToTrain, train_one
from idbench.runner.verifying import (
    FPRS,
    How,
    Remeasured,
    RepeatableRun,
    Verification,
    not_as_good,
    side_by_side,
    subject_of_run,
    verify,
    weights_like,
    world_like,
)
from idbench.splits import load_split
from idbench.splits.avatars import TINY_SPEC
from idbench.splits.avatars.redrawn import kept_secret, redrawn
from idbench.splits.avatars.world import world_of
from idbench.storage import cache_dir
from idbench.targets import Preprocessing, target_meant
from idbench.targets.fetch import pin_target

SECRET = "the secret of these tests, and of no other"
LIMITS = LockLimits(memory=2 << 30, disk=64 << 20, processes=16)

pytestmark = pytest.mark.timeout(900)  # a dozen workers, one after the other
locked_only = pytest.mark.skipif(not can_lock(), reason="this system cannot lock a process in")


@pytest.fixture(scope="module")
def cheats(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Path]:
    """The cheating package, installed, with what it learned before; and its target, trained."""
    folder = tmp_path_factory.mktemp("cheats")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    package = str(ROOT / "cheating_package")
    subprocess.run([*command, "--target", str(folder), package], check=True, capture_output=True)
    inside = folder / "idbench_cheats"
    learned = {person.name: person.corpus == CORPUS for person in world_of(TINY_SPEC).people}
    (inside / "answers.json").write_text(json.dumps(learned))
    (inside / "places").write_text(f"{cache}\n")
    with pytest.MonkeyPatch.context() as patch, answering() as port:
        (inside / "port").write_text(str(port))
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", str(folder))
        train_one(target_meant("cheat-target"), HowToTrain(), Silent())
        yield folder


class answering:  # noqa: N801  reads like a function where it is used
    """A server on this machine that knows who is a member, of the public world and of the redrawn one."""

    def __enter__(self) -> int:
        worlds = (TINY_SPEC, redrawn(TINY_SPEC, SECRET).spec)
        known = {p.name: p.corpus.endswith("-a") for spec in worlds for p in world_of(spec).people}
        self.listening = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                try:
                    line, _ = self.listening.accept()
                except OSError:
                    return
                with line:
                    names = json.loads(line.makefile().readline())
                    line.sendall(json.dumps([known[name] for name in names]).encode() + b"\n")

        threading.Thread(target=serve, daemon=True).start()
        return int(self.listening.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self.listening.close()


def submitted(method: str, results: Path) -> Run:
    """A record as its author made it, on a machine where nothing holds the method back."""
    (spec,) = specs(make_grid(load_split("avatars-tiny"), [method], "cheat-target"))
    return execute(Resolver(Silent()).resolve(spec), Options(results, forks=FORKS), Silent()).run


def verified(run: Run, logs: Path, *, redraw: bool = True, **how: object) -> Verification:
    subject = subject_of_run(run, load_split("avatars-tiny"), pin_target(target_meant("cheat-target")))
    world = world_like(subject, SECRET) if redraw else None
    settings = {"limits": LIMITS, "logs": logs, "device": "cpu", "time_limit": 120.0} | how
    return verify(subject, world, How(**settings), Silent())  # type: ignore[arg-type]


@locked_only
@pytest.mark.usefixtures("cheats")
def test_an_honest_method_is_replayed_and_reproduced(tmp_path: Path) -> None:
    found = verified(submitted("cosine", tmp_path / "results"), tmp_path)
    assert found.locked
    assert found.replay.people == 48
    assert found.replay.agreement.conflict == ""
    assert found.reproduction is not None
    assert found.reproduction.problem == ""
    assert found.level is Level.REPRODUCED


# What each may reach at most, and what is said of it. Where the author's machine helped, AUC 1 was claimed.
CAUGHT = {
    "cheat-redraws": Level.REPLAYED,
    "cheat-noisy": Level.REPLAYED,
    "cheat-remembers": Level.REPLAYED,
    "cheat-hashes": Level.REPLAYED,
    "cheat-searches": Level.SELF_REPORTED,
    "cheat-forges": Level.REPLAYED,
    "cheat-writes": Level.REPLAYED,
    "cheat-calls": Level.SELF_REPORTED,
    "cheat-snoops": Level.REPLAYED,
    "cheat-guesses": Level.REPLAYED,
    "cheat-disguises": Level.REPLAYED,
    "cheat-honest-when-watched": Level.REPLAYED,
}


@locked_only
@pytest.mark.usefixtures("cheats")
@pytest.mark.parametrize("method", CAUGHT)
def test_none_that_knows_its_answers_is_reproduced(method: str, tmp_path: Path, cache: Path) -> None:
    run = submitted(method, tmp_path / "results")
    found = verified(run, tmp_path)
    assert found.level is CAUGHT[method], found
    if found.reproduction is not None:
        least = 0.8 if method == "cheat-noisy" else 1.0  # on its author's machine it knew all answers
        assert found.reproduction.auc.claimed.value >= least
        assert found.reproduction.auc.found.value < 0.8
        assert "AUC" in found.reproduction.problem
    else:
        assert found.replay.agreement.conflict
    assert not list(cache.glob("redrawn/**/*attestation*"))
    assert not list(tmp_path.rglob("*attestation*"))


@locked_only
@pytest.mark.usefixtures("cheats")
@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("cheat-leaves", "ended without a result: exit status 0"),
        ("cheat-forks", "was ended: it started more than 16 processes"),
        ("cheat-fills-memory", r"MemoryError|memory|was ended"),
        ("cheat-fills-disk", "was ended: it wrote more than 0.1 GiB"),
    ],
)
def test_what_does_not_end_well_says_nothing_for_a_record(method: str, words: str, tmp_path: Path) -> None:
    run = submitted(method, tmp_path / "results")
    with pytest.raises(MethodError, match=words):
        verified(run, tmp_path)


@locked_only
@pytest.mark.usefixtures("cheats")
def test_a_part_is_replayed_by_seed(tmp_path: Path) -> None:
    run = submitted("cheat-redraws", tmp_path / "results")
    found = verified(run, tmp_path, redraw=False, part=0.25, seed=7)
    assert found.replay.people == 12
    assert found.level is Level.REPLAYED


@pytest.mark.usefixtures("cheats")
def test_a_record_of_other_code_is_not_run(tmp_path: Path) -> None:
    run = submitted("cheat-redraws", tmp_path / "results")
    attack = run.record.attack.model_copy(update={"code_sha256": "0" * 64})
    other = run.record.model_copy(update={"attack": attack})
    target = pin_target(target_meant("cheat-target"))
    split = load_split("avatars-tiny")
    with pytest.raises(IdbenchError, match="id does not follow"):
        subject_of_run(Run(run.path, other, run.sha256), split, target)
    from idbench.results import expected_run_id

    named = other.model_copy(update={"run_id": expected_run_id(other)})
    with pytest.raises(MethodError, match="its code_sha256 is not the record's"):
        subject_of_run(Run(run.path, named, run.sha256), split, target)


@pytest.fixture(scope="module")
def plain(cheats: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An honest record."""
    return submitted("cosine", tmp_path_factory.mktemp("plain") / "results")


def on_target(run: Run, **changes: object) -> RepeatableRun:
    target = pin_target(target_meant("cheat-target"))
    return subject_of_run(run, load_split("avatars-tiny"), target.model_copy(update=changes))


def test_a_record_of_an_adapted_attack_is_not_verified_by_the_attack_alone(plain: Run, tmp_path: Path) -> None:
    """Its scores may be near those of the attack itself, which would then attest something that never ran again."""
    adapted = [plan_adaptation("other-prompts", None, {})]
    (spec,) = specs(make_grid(load_split("avatars-tiny"), ["cosine"], "cheat-target", adaptations=adapted))
    run = execute(Resolver(Silent()).resolve(spec), Options(tmp_path / "results", forks=FORKS), Silent()).run
    assert run.record.defense is None
    assert run.record.run_id != plain.record.run_id
    assert on_target(plain).run is plain
    with pytest.raises(RecordError, match="adapted"):
        on_target(run)


def test_a_record_without_a_score_for_somebody_is_refused_before_anything_is_run(plain: Run, tmp_path: Path) -> None:
    """Replaying a part of the people, or those of another world, must not hide that one of them is missing."""
    table = plain.scores()
    somebody = next(i.id for i in load_split("avatars-tiny").identities if i.part == "test")
    kept = [place for place, identity in enumerate(table.identities) if identity != somebody]
    names = tuple(table.identities[k] for k in kept)
    cut = ScoreTable(names, table.scores[kept], table.abstained[kept], table.photos_used[kept])
    record = plain.record.model_copy(update={"n_cases": len(kept)})
    with pytest.raises(RecordError, match="1 of 48 test identities have no score"):
        on_target(write_run(tmp_path / "cut", record, cut))


def card_of(record: RunRecord, **changes: object) -> RunRecord:
    """A record whose method and its card say something else of themselves."""
    card = record.attack.card
    assert card is not None
    named = {name: value for name, value in changes.items() if name in type(card).model_fields}
    own = {name: value for name, value in changes.items() if name in type(record.attack).model_fields}
    attack = record.attack.model_copy(update={**own, "card": card.model_copy(update=named)})
    return record.model_copy(update={"attack": attack})


@pytest.mark.parametrize(
    ("forged", "words"),
    [
        (lambda r: card_of(r, title="The first attack of all"), "its method's title"),
        (lambda r: card_of(r, access=("LABEL",)), "its method's access"),
        (lambda r: card_of(r, knowledge=("NAME",)), "its method's knowledge"),
        (lambda r: card_of(r, authors="Somebody Else"), "its method's card"),
        (lambda r: card_of(r, summary="Asks nothing."), "its method's card"),
        (lambda r: card_of(r, distribution="stranger 1.0"), "the distribution that its method comes from"),
        (lambda r: r.model_copy(update={"photos_sha256": "0" * 64}), "the photos that it asked about"),
    ],
)
def test_a_record_that_says_of_its_method_what_is_not_so_is_not_attested(
    forged: Callable[[RunRecord], RunRecord], words: str, plain: Run, tmp_path: Path
) -> None:
    """The code may be the method's own, and its scores too: what readers see of it must be so as well."""
    run = write_run(tmp_path / "forged", forged(plain.record), plain.scores())
    with pytest.raises(RecordError, match=words):
        on_target(run)


def test_what_a_record_counts_is_counted_again(plain: Run, tmp_path: Path) -> None:
    table, record = plain.scores(), plain.record
    cheap = record.model_copy(update={"queries": record.queries.model_copy(update={"images": 3})})
    run = write_run(tmp_path / "cheap", cheap, table)
    found = verified(run, tmp_path, redraw=False)
    assert "counts 3 queries of the kind images, and this run" in found.replay.agreement.conflict
    assert found.level is Level.SELF_REPORTED
    assert verified(run, tmp_path, redraw=False, part=0.5).level is Level.REPLAYED, "queries grow with the people"
    fewer = replace(table, photos_used=np.ones_like(table.photos_used))
    run = write_run(tmp_path / "fewer", record.model_copy(update={"photos_per_case": 1.0}), fewer)
    assert "other photos" in verified(run, tmp_path, redraw=False).replay.agreement.conflict
    decided = replace(table, decisions=np.ones(len(table.identities), dtype=bool))
    run = write_run(tmp_path / "decided", record, decided)
    assert "own decisions" in verified(run, tmp_path, redraw=False).replay.agreement.conflict


def test_a_target_of_another_design_is_not_the_records(plain: Run) -> None:
    """The same weights answer otherwise with other preprocessing."""
    with pytest.raises(DataError, match="another architecture, preprocessing or recipe"):
        on_target(plain, preprocessing=Preprocessing(interpolation="bilinear"))


def test_weights_of_redrawn_targets_are_kept_apart_by_their_design() -> None:
    """Two targets of one name, of which the second was trained by another recipe, do not share their weights."""
    world, target = redrawn(TINY_SPEC, SECRET), pin_target(target_meant("avatars-a"))
    assert target.recipe is not None
    longer = target.recipe.model_copy(update={"epochs": target.recipe.epochs + 1})
    others = [
        target.model_copy(update={"recipe": longer}),
        target.model_copy(update={"corpus": "avatars-b"}),
        target.model_copy(update={"preprocessing": Preprocessing(interpolation="bilinear")}),
    ]
    assert len({weights_like(each, world) for each in (target, *others)}) == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--by", " ", "--to", "notes"), "--by"),
        (("--by", "x" * 1001, "--to", "notes"), "--by"),
        (("--by", "somebody", "--to", "file/notes"), "in the way"),
        (("--part", "nan"), "'--part': Input should"),
        (("--memory", "nan"), "'--memory': Input should"),
        (("--memory", "1e300"), "--memory"),
        (("--time-limit", "inf"), "--time-limit is inf"),
        (("--secret-seed", "missing"), "missing does not exist"),
        (("--secret-seed", "file"), "The secret in file has"),
    ],
)
def test_what_cannot_be_stated_is_refused_before_anything_is_run(
    arguments: tuple[str, ...], words: str, plain: Run, cheats: Path, bench: Bench, tmp_path: Path
) -> None:
    bench.environment["PYTHONPATH"] = str(cheats)
    (tmp_path / "file").write_text("short")
    results = ("--results", str(plain.path.parents[2]))
    assert words in refused(bench("verify", plain.record.run_id, *results, *arguments))
    assert not list(tmp_path.rglob("*attestation*"))


class BenchWithoutNamespaces(Bench):
    """Types `bench` where the administrator has switched user namespaces off, as many distributions do.

    Where they can be made, one is made in which no other can be; where they cannot, this is such a system already.
    """

    @property
    def command(self) -> list[str]:
        if not can_lock():
            return super().command
        off = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
        return ["unshare", "--user", "--map-root-user", "sh", "-c", off, "sh", *super().command]


@pytest.mark.usefixtures("cheats")
def test_without_namespaces_it_replays_and_claims_no_isolation(cheats: Path, plain: Run, tmp_path: Path) -> None:
    bench = BenchWithoutNamespaces(tmp_path, cheats)
    (tmp_path / "secret").write_text(SECRET)
    arguments = ("verify", str(plain.path), "--secret-seed", "secret", "--device", "cpu")
    done = bench(*arguments, "--by", "the tests", "--to", "attestations")
    assert done.returncode == 0, done.stdout + done.stderr
    words = " ".join(done.stdout.split())
    assert words.index("under the limits given here") < words.index("the method ran"), "said beforehand"
    assert "NOT isolated: this system" in words
    assert "user namespaces" in done.stdout
    assert "Drawing people anew" not in done.stdout, "nobody is drawn"
    statements = read_statements([tmp_path / "attestations"], [plain.path.parents[2]])
    assert statements.level(plain) is Level.REPLAYED
    assert "not locked in" in statements.found[0][1].note  # type: ignore[union-attr]


@pytest.mark.usefixtures("cheats")
def test_without_namespaces_other_scores_are_still_found(cheats: Path, plain: Run, tmp_path: Path) -> None:
    """What is run again is the method: turned scores are not its own, whether it is locked in or not."""
    table = plain.scores()
    turned = ScoreTable(table.identities, -table.scores, table.abstained, table.photos_used)
    forged = write_run(tmp_path / "results", plain.record, turned)
    done = BenchWithoutNamespaces(tmp_path, cheats)("verify", str(forged.path), "--device", "cpu", "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["level"], found["locked"]) == ("self-reported", False)


def compared(claimed: float, found: float, fpr: float | None = None) -> Remeasured:
    def around(value: float) -> Estimate:
        return Estimate(value=value, low=value - 0.02, high=value + 0.02, level=0.95, method="by hand")

    return Remeasured(fpr, around(claimed), around(found))


@pytest.mark.parametrize(
    ("claimed", "found", "good"),
    [
        (0.93, 0.92, True),
        (0.93, 0.97, True),
        (0.93, 0.86, True),  # 0.05 and the sampling error of both
        (0.93, 0.84, False),
        (1.00, 0.92, False),
        (0.55, 0.51, False),  # within the margin, and at chance
        (0.50, 0.49, True),  # nothing was claimed
        (0.40, 0.50, True),
    ],
)
def test_what_counts_as_doing_as_well(claimed: float, found: float, good: bool) -> None:
    assert (not_as_good(compared(claimed, found)) == "") is good


@pytest.mark.parametrize(
    ("tenth", "hundredth", "words"),
    [
        ((0.7, 0.7), (0.5, 0.5), ""),
        ((0.7, 0.64), (0.5, 0.44), ""),
        ((0.7, 0.8), (0.5, 0.6), ""),
        ((0.7, 0.6), (0.5, 0.5), "TPR at 10 % FPR 0.600 on redrawn people, and 0.700 in the record"),
        ((0.7, 0.7), (0.5, 0.3), "TPR at 1 % FPR 0.300 on redrawn people, and 0.500 in the record"),
    ],
)
def test_who_does_worse_at_low_false_positive_rates_alone_does_not_do_as_well(
    tenth: tuple[float, float], hundredth: tuple[float, float], words: str
) -> None:
    problem = not_as_good(compared(0.9, 0.9), [compared(*tenth, FPRS[0]), compared(*hundredth, FPRS[1])])
    assert problem.startswith(words)
    assert bool(problem) is bool(words)


def test_an_honest_method_that_knows_its_false_positives_claims_a_rate_that_it_does_not_have() -> None:
    """Its AUC is within the tolerance: only the few non-members above the members are known to it."""
    rng = np.random.default_rng(0)
    members = np.arange(1008) % 2 == 0
    honest, other = (rng.normal(size=1008) + 1.8 * members for _ in range(2))
    polished = np.where(~members & (honest > np.quantile(honest[~members], 0.95)), -3.0, honest)
    auc, rates = side_by_side((polished, members), (other, members))
    assert not_as_good(auc) == ""
    assert not_as_good(auc, rates).startswith("TPR at ")
    assert not_as_good(*side_by_side((honest, members), (other, members))) == ""


def test_a_rate_that_too_few_people_resolve_is_not_compared() -> None:
    scores, members = np.arange(40.0), np.arange(40) % 2 == 0
    auc, rates = side_by_side((scores, members), (scores, members))
    assert (auc.fpr, [one.fpr for one in rates]) == (None, [0.1])


def test_redrawn_people_follow_from_the_secret_alone() -> None:
    first, again, other = redrawn(TINY_SPEC, SECRET), redrawn(TINY_SPEC, SECRET), redrawn(TINY_SPEC, SECRET + "!")
    assert first == again
    assert first.id != other.id
    people = [{(p.name, p.corpus[-2:]) for p in world_of(world.spec).people} for world in (first, other)]
    assert len(people[0] & people[1]) < len(people[0]) / 2
    public = {person.name: person.corpus[-2:] for person in world_of(TINY_SPEC).people}
    shared = [(public[name], corpus) for name, corpus in people[0] if name in public]
    assert len(shared) > 0, "names are of the same pools, so that a remembered name may come back, with another's fate"
    assert SECRET not in first.spec.seed
    assert kept_secret() == kept_secret()
    assert (cache_dir("redrawn", "secret").stat().st_mode & 0o077) == 0


@locked_only
def test_the_command_writes_an_attestation(cheats: Path, bench: Bench, tmp_path: Path) -> None:
    run = submitted("random", tmp_path / "results")
    bench.environment["PYTHONPATH"] = str(cheats)
    (tmp_path / "secret").write_text(SECRET)
    arguments = ("verify", str(run.path), "--secret-seed", "secret", "--by", "the tests", "--device", "cpu")
    done = bench(*arguments, "--to", "attestations")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "locked in" in done.stdout
    statements = read_statements([tmp_path / "attestations"], [tmp_path / "results"])
    assert statements.level(run) is Level.REPRODUCED
    assert "AUC" in statements.found[0][1].note  # type: ignore[union-attr]
    assert "both --by and --to" in refused(bench("verify", str(run.path), "--by", "somebody"))
    cheat = submitted("cheat-redraws", tmp_path / "results")
    done = bench("verify", str(cheat.path), "--secret-seed", "secret", "--device", "cpu", "--json")
    assert done.returncode == 1
    assert done.stdout, done.stderr
    answer = json.loads(done.stdout)
    assert answer["level"] == "replayed"
    assert "on redrawn people" in answer["reproduction"]["problem"]
