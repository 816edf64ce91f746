"""`bench challenge`: people whose labels only the maintainers hold, and metrics for those who score them."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from idbench.cli import console, options, text
from idbench.errors import DataError, IdbenchError
from idbench.escaping import line
from idbench.progress import Progress, Silent
from idbench.storage import is_there
from idbench.wording import at_fpr

if TYPE_CHECKING:
    from idbench.results.plausibility import MeasuredRecord
    from idbench.splits.avatars.redrawn import Redrawn
    from idbench.targets import TargetSpec

app = typer.Typer(help="Make a challenge with withheld labels, and answer its participants.", no_args_is_help=True)

_LOG_BYTES = 1 << 26
DIGITS = 3
"""Decimals of an answer: enough to compare, few enough that nobody reads labels out of many answers."""


@app.command()
def make(
    out: Annotated[Path, typer.Option(help="What is published: people without the test part's labels, and targets.")],
    labels: Annotated[Path, typer.Option(help="What stays with you: the same people with all labels.")],
    secret_seed: Annotated[
        Path, typer.Option("--secret-seed", help="A file with the secret from which everything is drawn.")
    ],
    like: Annotated[
        str, typer.Option(help="The target to imitate: its kind of people, architecture and recipe.")
    ] = "avatars-a",
    json: options.Json = False,
    dry_run: options.DryRun = False,
) -> None:
    """Draw new people from a secret, train a target on each half and a control, and withhold the test part's labels.

    Training takes minutes for each target of avatars. Repeat an interrupted command to continue.
    """
    import shutil

    from idbench.outputs import check_folder, made_folder, resolved
    from idbench.splits.withholding import read_secret, write_withheld
    from idbench.storage import copy_files, make_dir

    world, target = _world(like, read_secret(secret_seed))
    place, private = resolved(out), resolved(labels)
    if place.is_relative_to(private) or private.is_relative_to(place):
        raise IdbenchError(f"{out} and {labels} lie within each other.", hint="Choose two separate folders.")
    for folder in (out, labels):
        check_folder(folder, "challenge", [secret_seed])
    if dry_run:
        console.say(f"would draw {world.spec.n_test + world.spec.n_calibration} people and train 3 targets like {like}")
        return
    with console.bars() as progress:
        split = world.split(progress)
        trained = _train(world, target, progress)
        with made_folder(labels, "challenge") as folder:
            copy_files(split.folder, folder)
        with made_folder(out, "challenge") as folder:
            write_withheld(split, folder / "split")
            for name, each in trained.items():
                shutil.copyfile(each.weights, make_dir(folder / "targets") / f"{name}.safetensors")
    references = [each.reference(out / "targets" / f"{name}.safetensors") for name, each in trained.items()]
    outcome = {"world": world.id, "digest": split.digest, "split": str(out / "split"), "targets": references}
    if json:
        console.write_json(outcome)
        return
    console.say(f"world {world.id}, digest {split.digest}; keep {labels} and the secret, publish {out}")
    for reference in references:
        console.command(
            text.typed("bench", "run", "--method", "METHOD", "--split", out / "split", "--target", reference)
        )


def _world(like: str, secret: str) -> tuple[Redrawn, TargetSpec]:
    from idbench.splits.avatars import SPEC, TINY_SPEC
    from idbench.splits.avatars.redrawn import redrawn
    from idbench.targets import target_meant

    target = target_meant(like)
    for spec in (TINY_SPEC, SPEC):
        if (target.corpus or "").removesuffix("-a") == spec.name:
            return redrawn(spec, secret), target
    raise DataError(f"{like} was not trained on the people of avatars.", hint="Name avatars-a or one of its relatives.")


@dataclass(frozen=True, slots=True)
class Ready:
    """A target of a challenge.

    Args:
        weights: the file in the cache.
        options: of its reference.
    """

    weights: Path
    options: str

    def reference(self, file: Path) -> str:
        """The reference by which participants name it, once its file lies in that folder."""
        return f"file:{file}?{self.options}"


def _train(world: Redrawn, target: TargetSpec, progress: Progress) -> dict[str, Ready]:
    """A target on each training set, by the set's name."""
    from idbench.runner.verifying import trained_like, weights_like

    members = [name for name in world.corpora if not name.endswith("-0")]
    found = {}
    for corpus in world.corpora:
        # One target for each training set: the name keeps their weights apart in the cache.
        base = target.model_copy(update={"name": f"{target.name}-on-{corpus}"})
        trained = trained_like(base, world, corpus, progress)
        control = "" if corpus in members else f"&control_for={','.join(members)}"
        options = f"like={target.name}&name={corpus}&corpus={corpus}&sha256={trained.sha256}{control}"
        found[corpus] = Ready(weights_like(base, world), options)
    return found


@dataclass(frozen=True, slots=True)
class ChallengeResult:
    """What participants are told.

    Args:
        run: its id.
        method: its name.
        corpus: whose labels.
        auc: rounded.
        tpr: by false-positive rate, rounded; None where the people do not resolve it.
    """

    run: str
    method: str
    corpus: str
    auc: float
    tpr: dict[str, float | None]


@app.command()
def answer(
    records: Annotated[Path, typer.Argument(help="A folder of records that somebody sent.")],
    split: Annotated[Path, typer.Option("--split", help="The folder with all labels.")],
    log: Annotated[Path, typer.Option(help="A file that remembers every answer; made if missing.")],
    most: Annotated[int, typer.Option(min=1, help="Most answers that one distribution gets.")] = 10,
    json: options.Json = False,
) -> None:
    """Answer scores with metrics: for records that pass the checks, rounded, and not too often.

    Anyone who may ask without limit can work out the labels. So answers are counted for each distribution that a method
    comes from, and a record that was answered before gets the same answer without being counted.
    """
    from idbench.cli.checking import known_for, show_report
    from idbench.results.checks import check, gather_records
    from idbench.results.plausibility import Measurer
    from idbench.results.proposal import Proposal
    from idbench.results.store import Rejected

    if not records.is_dir():
        raise DataError(f"{records} is not a folder.", hint="Give the folder of the records that were sent.")
    _past(log)
    with console.bars() as progress:
        proposal = Proposal(records)
        gathered = gather_records(proposal)
        known = known_for(proposal, gathered, [split], [], [], progress)
        report = check(proposal, gathered, known)
        if not report.passed:
            show_report(report, json=json)
            raise typer.Exit(1)
        measurer = Measurer(known.labels, known.targets)
        found: list[MeasuredRecord] = []
        for candidate in gathered.proposed:
            scored = measurer.scored(candidate)
            if not isinstance(scored, Rejected):
                found += measurer.measured(candidate, scored)
    _count(found, log, most)
    answers = [_answered(each) for each in found]
    if json:
        console.write_json([asdict(each) for each in answers])
        return
    rates = list(answers[0].tpr) if answers else []
    rows = [
        (each.run[:8], each.method, each.corpus, f"{each.auc:.{DIGITS}f}", *(_shown(each.tpr[rate]) for rate in rates))
        for each in answers
    ]
    of_rates = [at_fpr(float(rate)) for rate in rates]
    console.table("", ("run", "method", "labels of", "AUC", *of_rates), rows, of_rates)


def _answered(found: MeasuredRecord) -> ChallengeResult:
    from idbench import metrics

    rates: dict[str, float | None] = {}
    for fpr in (0.1, 0.01):
        rate = metrics.tpr_at_fpr(found.scores, found.inside, fpr)
        rates[f"{fpr:g}"] = None if isinstance(rate, metrics.NotEstimable) else round(rate.value, DIGITS)
    record = found.record
    return ChallengeResult(record.run_id, record.attack.name, found.corpus, round(found.auc, DIGITS), rates)


def _shown(rate: float | None) -> str:
    return "not resolved" if rate is None else f"{rate:.{DIGITS}f}"


def _past(log: Path) -> list[dict[str, str]]:
    """The answers that a log remembers; none where there is no log yet.

    Raises:
        DataError: it is something else.
    """
    from idbench.storage import read_bounded

    if not is_there(log):
        return []
    try:
        past = [jsonlib.loads(each) for each in read_bounded(log, _LOG_BYTES).decode().splitlines()]
        return [{name: str(each[name]) for name in ("at", "distribution", "run", "scores")} for each in past]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{log} is not a log of answers.", hint="Name another file.") from error


def _count(found: list[MeasuredRecord], log: Path, most: int) -> None:
    """Log who is given an answer, before it is given.

    Raises:
        IdbenchError: a distribution has had as many as it gets.
    """
    from idbench.locking import locked
    from idbench.storage import storage_errors, write_text

    with storage_errors(log), locked(log.with_name(f".{log.name}.lock"), Silent(), "the log of answers"):
        past = _past(log)
        given = {(each["distribution"], each["scores"]) for each in past}
        fresh = []
        for each in found:
            who = each.record.attack.distribution.rpartition(" ")[0] or each.record.attack.distribution
            key = (who, each.record.scores_sha256)
            if key in given:
                continue
            given.add(key)
            if sum(distribution == who for distribution, _ in given) > most:
                raise IdbenchError(
                    f"{line(who)} has had {most} answers, the most that it may have.", hint="Raise --most for it."
                )
            at = datetime.now(UTC).replace(microsecond=0).isoformat()
            fresh.append({"at": at, "distribution": who, "run": each.record.run_id, "scores": key[1]})
        write_text(log, "".join(f"{jsonlib.dumps(each)}\n" for each in (*past, *fresh)))
