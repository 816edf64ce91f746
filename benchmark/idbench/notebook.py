"""What there is for notebooks: `idbench.run`, `compare`, `audit`, ... with results that show themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from idbench.errors import LabelsWithheld, MethodError, UnknownNameError
from idbench.progress import Progress, Reporter, Silent
from idbench.wording import at_fpr

if TYPE_CHECKING:
    import pandas as pd

    from idbench.api import Attack
    from idbench.people import Audited, PersonAudit
    from idbench.results import Run, Summary
    from idbench.runner.audit import AuditRow
    from idbench.runner.comparing import Pairing
    from idbench.runner.execute import Options

Method: TypeAlias = "str | type[Attack[Any]]"
"""An attack, by its registered name or its class."""


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """A finished run, with its metrics where the labels are known.

    Args:
        run: record and folder.
        summary: metrics against the labels of its corpus; None where they are withheld, or nobody computed them.
        reused: whether the record was there before.
    """

    run: Run
    summary: Summary | None
    reused: bool = True

    def scores(self) -> pd.DataFrame:
        """One row for each person: `identity` (opaque), `score` (higher = more likely a member), `abstained`,
        `photos_used`, and where the split is here, `part` and `member`."""
        import pandas as pd

        from idbench.splits import load_split

        table, record = self.run.scores(), self.run.record
        frame = pd.DataFrame(
            {
                "identity": list(table.identities),
                "score": table.scores,
                "abstained": table.abstained,
                "photos_used": table.photos_used,
            }
        )
        try:
            split = load_split(record.split.name)
            if split.digest != record.split.digest or self.summary is None:
                return frame
            members = split.labels(self.summary.corpus).member
        except (LabelsWithheld, UnknownNameError):
            return frame
        part = {one.id: one.part for one in split.identities}
        member = {one.id: bool(is_in) for one, is_in in zip(split.identities, members, strict=True)}
        return frame.assign(part=frame["identity"].map(part), member=frame["identity"].map(member))

    def to_frame(self) -> pd.DataFrame:
        """One row: method, target, split, defense, seed, run, AUC and TPR with their intervals, p against chance."""
        import pandas as pd

        return pd.DataFrame([self._row()])

    def _row(self) -> dict[str, Any]:
        record, summary = self.run.record, self.summary
        row: dict[str, Any] = {
            "method": record.attack.name,
            "target": record.target.name,
            "split": record.split.name,
            "defense": record.defense.name if record.defense else None,
            "seed": record.seed,
            "run": record.run_id,
            "seconds": record.timings.total,
        }
        if summary is None:
            return row
        row |= {"auc": summary.auc.value, "auc_low": summary.auc.low, "auc_high": summary.auc.high}
        for rate in summary.tpr:
            name = f"tpr_at_{100 * rate.fpr:g}_percent"
            row |= {name: rate.value, f"{name}_low": rate.low, f"{name}_high": rate.high}
        return row | {"p": summary.p_chance}

    def __repr__(self) -> str:
        record, summary = self.run.record, self.summary
        found = "" if summary is None else f", AUC {_span(summary)}"
        return f"{record.attack.name} on {record.target.name}, seed {record.seed}{found}, run {record.run_id[:8]}"

    def _repr_html_(self) -> str:
        return _html([self])


class Results(tuple[Result, ...]):
    """Several results; shows itself as a table."""

    __slots__ = ()

    def to_frame(self) -> pd.DataFrame:
        """One row for each result; see `Result.to_frame`.

        Runs of a sweep, and blind attacks that ran beside another, have no metrics before `bench score RUN`.
        """
        import pandas as pd

        return pd.DataFrame([one._row() for one in self])

    def __repr__(self) -> str:
        return "\n".join(map(repr, self)) or "no results"

    def _repr_html_(self) -> str:
        return _html(self)


@dataclass(frozen=True, slots=True, repr=False)
class Compared:
    """Two methods on the same people.

    Args:
        pairing: which runs were compared, and what was found.
    """

    pairing: Pairing

    @property
    def sentence(self) -> str:
        """What follows, in one sentence."""
        return self.pairing.found.sentence()

    def to_frame(self) -> pd.DataFrame:
        """One row: both AUCs, their difference with its interval, p, and how many pairs of runs it rests on."""
        import pandas as pd

        found = self.pairing.found
        return pd.DataFrame(
            [
                {
                    "a": found.name_a,
                    "b": found.name_b,
                    "auc_a": found.auc.auc_a,
                    "auc_b": found.auc.auc_b,
                    "difference": found.auc.difference,
                    "low": found.auc.interval.low,
                    "high": found.auc.interval.high,
                    "p": found.auc.p,
                    "readings": len(self.pairing.readings),
                }
            ]
        )

    def __repr__(self) -> str:
        return self.sentence

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.sentence)}</p>{_table(self.to_frame())}"


@dataclass(frozen=True, slots=True, repr=False)
class Audit:
    """The audit of a split: one row for each attack; an honest one is at chance where it must be."""

    rows: tuple[AuditRow, ...]

    @property
    def honest(self) -> bool:
        """Whether every attack is."""
        return all(row.verdict.startswith("honest") for row in self.rows)

    def to_frame(self) -> pd.DataFrame:
        """Method, whether it is blind, AUC on both targets, with swapped labels, on the control, and the verdict."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "method": row.method,
                    "blind": row.blind,
                    "auc_a": row.on_a.auc.value,
                    "auc_b": row.on_b.auc.value,
                    "auc_swapped": row.turned.value,
                    "auc_control": row.control.auc.value,
                    "contrast": row.contrast.value,
                    "verdict": row.verdict,
                }
                for row in self.rows
            ]
        )

    def __repr__(self) -> str:
        return self.to_frame().to_string(index=False)

    def _repr_html_(self) -> str:
        return _table(self.to_frame())


@dataclass(frozen=True, slots=True, repr=False)
class People:
    """The audit of people; shows itself as the report."""

    audit: PersonAudit

    def to_frame(self) -> pd.DataFrame:
        """One row for each person and attack."""
        import pandas as pd

        from idbench.people.auditing import every_score

        return pd.DataFrame(list(every_score(self.audit)))

    def save(self, path: str | Path) -> None:
        """Write the report: HTML, or PDF where the name ends so."""
        from idbench.people.page import write_html, write_pdf

        file = Path(path)
        (write_pdf if file.suffix.lower() == ".pdf" else write_html)(self.audit, file)

    def __repr__(self) -> str:
        from idbench.people import words

        return "\n".join(f"{one.name}: {words.verdict(one, self.audit)}" for one in self.audit.people)

    def _repr_html_(self) -> str:
        from idbench.people.page import html

        page = escape(html(self.audit), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:40em;border:1px solid #ccc"></iframe>'


class NotebookProgress(Reporter):
    """One line below the cell, moved on as the work goes on, and gone at its end; needs no widgets."""

    def __init__(self) -> None:
        from importlib import import_module

        shown: Any = import_module("IPython.display")  # there, wherever a notebook is
        self._html: Any = shown.HTML
        self._shown: Any = shown.display(shown.HTML("<progress></progress>"), display_id=True)

    def update(self, done: float, total: float, description: str) -> None:
        """Move the bar."""
        bar = f'<progress value="{done}" max="{total or 1}"></progress> {escape(description)}'
        self._shown.update(self._html(bar))

    def close(self) -> None:
        """Remove the line."""
        self._shown.update(self._html(""))


@contextmanager
def _reporter(progress: Progress | None) -> Iterator[Progress]:
    """The caller's own progress; else a line in a notebook, and nothing elsewhere."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if progress is not None or not hasattr(shell, "kernel"):
        yield progress or Silent()
        return
    line = NotebookProgress()
    try:
        yield line
    finally:
        line.close()


def run(
    method: Method,
    *,
    split: str = "avatars",
    target: str | None = None,
    seed: int = 0,
    corpus: str | None = None,
    preset: str | None = None,
    params: Mapping[str, object] | None = None,
    defense: str | None = None,
    defense_params: Mapping[str, object] | None = None,
    results: str | Path = "results",
    device: str = "auto",
    time_limit: float | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Run one attack on one target and compute its metrics; `bench run` does the same.

    Args:
        method: a registered attack, by name (`tuni`) or by class.
        split: name of a registered split, or the folder of one.
        target: name or reference of one target; None for the split's first.
        seed: non-negative; the only source of randomness.
        corpus: whose labels count; None for the target's own.
        preset: named parameters from the method's card, e.g. `paper`.
        params: parameters by name, over the preset's.
        defense: name of a registered defense that the target is put behind; None for nothing.
        defense_params: its parameters by name.
        results: folder for records.
        device: `auto`, `cpu`, `cuda:0`, ...
        time_limit: seconds for the attack; None for no limit.
        force: run even if there is a record.
        progress: receives progress reports; None: a line in a notebook, nothing elsewhere.

    Returns:
        the run with its metrics; read from the record if the same run was done before.

    Raises:
        IdbenchError: whatever is wrong, in one sentence with what to do next.
        ValueError: `target` means several.
    """
    from idbench.runner.execute import Options
    from idbench.runner.grid import make_grid, run_grid
    from idbench.runner.spec import plan_defense
    from idbench.splits import load_split

    name = name_of(method)
    with _reporter(progress) as reporter:
        defenses = [None if defense is None else plan_defense(defense, None, defense_params)]
        grid = make_grid(
            load_split(split, reporter), [name], target, [_seed(seed)], corpus, preset, params, defenses, reporter
        )
        if len(grid.targets) != 1:
            raise ValueError(f"target={target!r} means {len(grid.targets)} targets; `run` takes one, make_grid several")
        if not grid.size:
            raise MethodError(f"The target behind {defense} does not answer what {name} asks.")
        (outcome,) = run_grid(grid, Options(Path(results), device, time_limit, force), reporter)
    return Result(outcome.run, outcome.summary, outcome.reused)


def compare(
    a: Method | Result,
    b: Method | Result,
    *,
    split: str = "avatars",
    target: str | None = None,
    corpus: str | None = None,
    margin: float = 0.02,
    results: str | Path = "results",
) -> Compared:
    """Compare two methods over all seeds and targets that both ran on, or two single results.

    Args:
        a: a method by name or class, a result, or the beginning of a run id.
        b: the other.
        split: the version that the runs used.
        target: for methods; None for all that both ran on.
        corpus: whose labels count; None for each target's own.
        margin: largest AUC difference that does not matter.
        results: folder of the records.

    Raises:
        IdbenchError: no such run, mixed settings, or nothing to pair.
    """
    from idbench.runner.comparing import compare_runs
    from idbench.splits import load_split

    words = [str(one.run.path) if isinstance(one, Result) else name_of(one) for one in (a, b)]
    return Compared(compare_runs(words[0], words[1], load_split(split), target, Path(results), corpus, margin))


def load_results(results: str | Path = "results") -> Results:
    """Every finished run in a folder, the newest last, with the metrics that were written next to it.

    Raises:
        StorageError: the folder does not exist.
    """
    from idbench.errors import StorageError
    from idbench.results import find_runs

    folder = Path(results)
    if not folder.is_dir():
        raise StorageError(f"{folder} does not exist.", hint="Name the folder that holds the records.")
    runs = sorted(find_runs(folder), key=lambda one: (one.record.created, one.record.run_id))
    return Results(Result(one, one.summary()) for one in runs)


def audit(
    split: str = "avatars",
    methods: Sequence[Method] = ("cosine", "idia", "random"),
    *,
    seed: int = 0,
    results: str | Path = "results",
    device: str = "auto",
    time_limit: float | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Audit a split: each attack on both targets, with swapped labels, and on the control.

    Args:
        split: a split with two targets and a control.
        methods: attacks by name or class.
        seed: of the runs.
        results: folder for records.
        device: `auto`, `cpu`, `cuda:0`, ...
        time_limit: seconds for one run; None for no limit.
        progress: as of `run`.

    Raises:
        IdbenchError: the split has no control, or a run failed.
    """
    from idbench.runner.audit import audit as audit_split
    from idbench.splits import load_split

    names = [name_of(one) for one in methods]
    with _reporter(progress) as reporter:
        rows = audit_split(
            load_split(split, reporter), names, _options(results, device, time_limit), reporter, _seed(seed)
        )
    return Audit(tuple(rows))


def audit_person(
    name: str, photos: str | Path | None, target: str, *, progress: Progress | None = None, **wish: Any
) -> People:
    """Say what a target shows of one person; `bench audit person` does the same.

    Args:
        name: full name.
        photos: folder of the person's photos; None: the name alone.
        target: one target, by name or reference.
        progress: as of `run`.
        wish: `methods`, `reference`, `split`, `search`, `most`, `seed`, `device`, `time_limit`; see
            `idbench.people.Wish`.

    Raises:
        IdbenchError: the target, the photos or the reference people cannot be used.
    """
    from idbench.people import Audited

    return audit_people([Audited(name, None if photos is None else Path(photos))], target, progress=progress, **wish)


def audit_people(people: Sequence[Audited], target: str, *, progress: Progress | None = None, **wish: Any) -> People:
    """The same for several people."""
    from idbench.people import Wish
    from idbench.people import audit_people as audit_all

    given = dict(wish, methods=tuple(name_of(one) for one in wish.get("methods", ())))
    for key in ("reference", "search"):
        if given.get(key) is not None:
            given[key] = Path(given[key])
    with _reporter(progress) as reporter:
        return People(audit_all(people, Wish(target, **given), reporter))


def list_methods() -> pd.DataFrame:
    """The attacks that are installed: `name`, `track`, `title`, `asks`, `knows`; what cannot be used says why."""
    import pandas as pd

    from idbench.api import names_of
    from idbench.runner.registry import ATTACKS

    rows = []
    for entry in ATTACKS.entries():
        card = None if entry.value is None else entry.value.card
        rows.append(
            {
                "name": entry.name,
                "track": card.track.value if card else "unavailable",
                "title": card.title if card else entry.reason,
                "asks": ", ".join(names_of(card.access)) if card else "",
                "knows": ", ".join(names_of(card.knowledge)) if card else "",
            }
        )
    return pd.DataFrame(rows)


def name_of(method: Method) -> str:
    """The registered name of an attack that is given by name or by class.

    Raises:
        MethodError: a class that is not registered, whose runs no other process could repeat.
    """
    if isinstance(method, str):
        return method
    card = getattr(method, "card", None)
    where = f"{getattr(method, '__module__', '?')}:{getattr(method, '__qualname__', '?')}"
    from idbench.runner.registry import ATTACKS

    name = getattr(card, "name", None)
    if name is None:
        raise MethodError(f"{method!r} is not an attack.", hint="Give a registered name or the class of an attack.")
    registered = next((plugin for plugin in ATTACKS.plugins() if plugin.name == name), None)
    if registered is None or registered.value != where:
        raise MethodError(
            f"{where} is not registered as the attack {name!r}, and a run happens in a process of its own, which could "
            "not find it.",
            hint=f"Put it into a package: bench method new {name}, then pip install -e {name}.",
        )
    return str(name)


def _options(results: str | Path, device: str, time_limit: float | None) -> Options:
    from idbench.runner.execute import Options

    return Options(Path(results), device, time_limit)


def _seed(seed: int) -> int:
    """The seed, if it is one."""
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or index(seed) < 0:
        raise MethodError(f"seed={seed!r} is not a whole number from 0 on.", hint="Leave it out for 0.")
    return index(seed)


def _span(summary: Summary) -> str:
    """The AUC with its interval."""
    return f"{summary.auc.value:.3f} [{summary.auc.low:.3f}, {summary.auc.high:.3f}]"


def _html(results: Iterable[Result]) -> str:
    """A table of results with intervals, as a notebook shows it."""
    import pandas as pd

    rows = []
    for one in results:
        record, summary = one.run.record, one.summary
        row = {"method": record.attack.name, "target": record.target.name, "seed": record.seed}
        if record.defense is not None:
            row["defense"] = record.defense.name
        if summary is None:
            row["AUC [95 %]"] = "no metrics"
        else:
            row["AUC [95 %]"] = _span(summary)
            for rate in summary.tpr[:2]:
                found = "not estimable" if rate.value is None else f"{rate.value:.1%}"
                if rate.low is not None and rate.high is not None:
                    found += f" [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"
                row[at_fpr(rate.fpr)] = found
            row["p against chance"] = "<0.001" if summary.p_chance < 0.001 else f"{summary.p_chance:.3f}"
        rows.append(row | {"run": record.run_id[:8]})
    return _table(pd.DataFrame(rows).fillna("-")) if rows else "<p>No results.</p>"


def _table(frame: pd.DataFrame) -> str:
    return str(frame.to_html(index=False, border=0, float_format=lambda value: f"{value:.3f}"))
