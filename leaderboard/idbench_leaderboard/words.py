"""The sentences and number formats that the app and the static pages share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from idbench.escaping import Prose, Strong
from idbench.metrics import Interval
from idbench.results.attestation import Level

if TYPE_CHECKING:
    from idbench_leaderboard.board import Selection

PERCENT: Final = "\u00a0%"  # a sign that does not go to the next line alone
QUESTION: Final = "Can these methods tell who was in the training data?"
WHAT: Final = (
    "idbench compares methods of identity inference: given a person's name or photos, each decides whether that person "
    "was in the training data of a CLIP model. The models that come with it are tiny, and the people of the split "
    "avatars are drawn by a program; results on real faces come from splits that their owners build."
)
SUBMIT: Final[tuple[tuple[str, str], ...]] = (
    ("Write a method as a plug-in, and check it.", "bench method new my-attack && bench method check my-attack"),
    ("Run it on every target, with three seeds.", "bench run --method my-attack --target all --seeds 3"),
    ("See it on a board of your own.", "bench leaderboard build results --out board && bench leaderboard serve board"),
    (
        "Send the runs to a repository of results, as a pull request with the checks that whoever merges will run. A "
        "record holds opaque ids and scores; the board computes every number from them.",
        "bench submit RUN --repo ORG/results",
    ),
    ("docs/submitting.md says what is sent, what must pass, and how maintainers check a result.", ""),
)
TRACKS: Final[Mapping[str, str]] = {
    "text-only": "Text-only: never sees a photo of the person",
    "black-box": "Black-box: photos and similarities",
    "white-box": "White-box: gradients or weights, with photos",
    "shadow": "Shadow: trains shadow models",
    "blind": "Blind: never queries the model",
}
CHECKED: Final[Mapping[str, str]] = {
    Level.SELF_REPORTED: "all, self-reported too",
    Level.REPLAYED: "replayed or reproduced",
    Level.REPRODUCED: "reproduced only",
}
"""The choices of the filter by level, the least level first."""
STATISTICS: Final[Mapping[str, str]] = {
    "auc": "AUC",
    "tpr_10": "TPR at 10 % FPR",
    "tpr_1": "TPR at 1 % FPR",
    "tpr_01": "TPR at 0.1 % FPR",
}
COLUMNS: Final[Mapping[str, str]] = {
    "Rank": "By AUC. Methods that the data cannot tell apart share a rank.",
    "Rank interval": "The ranks that the data allow, all methods taken together.",
    "Method": "The attack; in brackets, parameters that differ from its defaults. Opens its page.",
    "AUC [95 % CI]": "Chance that a random member scores above a random non-member: 0.5 is guessing, 1 is perfect. In "
    "brackets, the 95 % confidence interval over people.",
    "TPR at 10 % FPR [95 % CI]": "True-positive rate: share of members identified, at a false-positive rate of 10 %.",
    "TPR at 1 % FPR [95 % CI]": "True-positive rate: share of members identified, at a false-positive rate of 1 %.",
    "TPR at 0.1 % FPR [95 % CI]": "True-positive rate: share of members identified, at a false-positive rate of 0.1 %.",
    "Track": "Set by the access that the attack needs and what it knows about the person.",
    "Date": "Day of the newest run behind the row.",
    "Authors": "Who published the method; for a baseline, who wrote it.",
    "Over blind": "AUC minus that of the best attack that never queries the model, on the same people.",
    "p, Holm": "p-value of that difference, corrected for the number of methods (Holm).",
    "AUC on control [95 % CI]": "AUC of the same attack on a model trained without any of these people, not always of "
    "the target's architecture. It should not differ from 0.5.",
    "Queries": "Texts and photos encoded, gradients and training steps, for all people together, per seed.",
    "Seconds": "Fitting and scoring, per seed, on the machine of the record; cached shadow models count in full.",
    "Steps": "Optimizer steps of shadow models.",
    "Training s": "The part of the seconds that went into training shadow models.",
    "Targets": "Models that the row is a mean over.",
    "Spread": "Standard deviation over the models of the AUC, each the mean over its seeds.",
    "Seeds": "Independent repetitions that the numbers average over.",
    "Checked": "self-reported: checked only by the person who ran it; replayed: maintainers ran it again and got the "
    "same scores; reproduced: it did as well on newly drawn people. A record cannot claim this itself.",
}
RATE_COLUMNS: Final = tuple(name for name in COLUMNS if name.startswith("TPR at"))
IN_BRACKETS: Final = "In brackets, the 95 % confidence interval."
FIRST_COLUMNS: Final = (
    "Rank",
    "Method",
    "AUC [95 % CI]",
    "TPR at 10 % FPR [95 % CI]",
    "TPR at 1 % FPR [95 % CI]",
    "Track",
    "Date",
    "Authors",
)
"""Those that fit on a screen; the others are a choice away."""


def number(value: float | None, digits: int = 3) -> str:
    """A number with fixed digits; a dash where there is none."""
    return "–" if missing(value) else f"{value:.{digits}f}"


def span(value: float | None, low: float | None, high: float | None, digits: int = 3) -> str:
    """`0.812 [0.780, 0.844]`."""
    if missing(value):
        return "–"
    return f"{number(value, digits)} [{number(low, digits)}, {number(high, digits)}]"


def percent(value: float | None, digits: int = 1) -> str:
    """`12.3 %`."""
    return "–" if value is None or missing(value) else f"{100 * value:.{digits}f}{PERCENT}"


def percent_span(value: float | None, low: float | None, high: float | None) -> str:
    """`12.3 % [10.0, 15.1]`."""
    if value is None or low is None or high is None or missing(value):
        return "–"
    return f"{percent(value)} [{100 * low:.1f}, {100 * high:.1f}]"


def p_value(p: float | None) -> str:
    """`p = 0.012` or `p < 0.001`."""
    if p is None or missing(p):
        return "–"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def signed(value: float | None, digits: int = 3) -> str:
    """`+0.123`."""
    return "–" if value is None or missing(value) else f"{value:+.{digits}f}".replace("-", "−")


def count(value: float | None) -> str:
    """`12,345`."""
    return "–" if value is None or missing(value) else f"{value:,.0f}"


def places(low: int, high: int) -> str:
    """`1–3`, or `3` where the data allow one rank only."""
    return f"{low}" if low == high else f"{low}–{high}"


def intervals(low: Iterable[float], high: Iterable[float], digits: int = 3) -> list[str]:
    """`0.780 – 0.844` for each; a dash where there is none."""
    pairs = zip(low, high, strict=True)
    return ["–" if missing(a) else f"{number(a, digits)} – {number(b, digits)}" for a, b in pairs]


def rank(row: Mapping[str, Any] | pd.Series[Any]) -> str:
    """`1 (1–3)`; the bracket is left out where the data allow one rank only."""
    low, high = int(row["rank_low"]), int(row["rank_high"])
    return f"{int(row['rank'])}" if low == high else f"{int(row['rank'])} ({low}–{high})"


NO_CARD: Final = "none, because these records predate method cards; the page shows what they hold"


def repeated(row: Mapping[str, Any] | pd.Series[Any]) -> str:
    """How often the runs of a row were repeated elsewhere, and how far scores moved."""
    times = int(row["repetitions"])
    if not times:
        return "no other record of these runs"
    often = "once" if times == 1 else f"{times} times"
    return (
        f"{often}; scores moved by at most {row['repeat_difference']:.2g} standard deviations, ranks by "
        f"{percent(row['repeat_move'])}, and correlate at {row['repeat_correlation']:.4f} or better"
    )


def missing(value: float | None) -> bool:
    """None or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def opening(rows: pd.DataFrame, selection: Selection) -> Prose:
    """What the rows of a board are."""
    sizes = "people"
    if len(rows):
        members, others = int(rows["n_members"].iloc[0]), int(rows["n_nonmembers"].iloc[0])
        sizes = f"{members:,} members and {others:,} non-members"
    text: list[str | Strong] = [
        "Each row is one attack on ",
        *_attacked(rows, selection),
        f". It scored {sizes} of the split ",
        Strong(selection.split),
        f", version {selection.version}, without their labels; members are the people whose pictures "
        "are in the corpus ",
        Strong(selection.corpus),
        ".",
    ]
    if len(rows) and rows["pooled"].any():
        text.append(" Intervals are over people, with these models fixed.")
    if len(rows) and rows["control"].all():
        text.append(" This model is a control, trained on none of these people: every attack should be at chance here.")
    return text


def place(rows: pd.DataFrame, selection: Selection) -> Prose:
    """What the numbers of a page other than the board are about."""
    return (
        "Attacks on ",
        *_attacked(rows, selection),
        "; split ",
        Strong(selection.split),
        f", version {selection.version}; members are the people in the corpus ",
        Strong(selection.corpus),
        ". In brackets, 95 % confidence intervals over people.",
    )


def _attacked(rows: pd.DataFrame, selection: Selection) -> Prose:
    pooled = int(rows["pooled"].max()) if len(rows) else 0
    models: Prose = (
        (Strong(f"{pooled} models"), " (mean over the models)") if pooled else ("the model ", Strong(selection.target))
    )
    return (*models, ", with the defense ", Strong(selection.defense)) if selection.defense else models


def not_pooled(labels: Sequence[str], targets: int) -> Prose:
    """Which rows a mean over several targets leaves out; empty if it has all.

    Args:
        labels: of rows that single targets have and the mean does not.
        targets: that the mean is over.
    """
    if not labels:
        return ()
    were, them = ("was", "it") if len(labels) == 1 else ("were", "them")
    return (
        f"Not in the table: {', '.join(labels)}, which {were} not run on all {targets} models. Choose a single target "
        f"to see {them}.",
    )


def top(rows: pd.DataFrame, column: str) -> pd.Series[Any]:
    """The row with the largest value; the first of several."""
    return rows.iloc[int(rows[column].fillna(-math.inf).to_numpy().argmax())]


def finding(rows: pd.DataFrame) -> Prose:
    """The result of a board, in two or three sentences."""
    if rows.empty:
        return ("Nothing to show with these filters.",)
    asking = rows[rows["track"] != "blind"]
    if asking.empty:
        return ("Only blind attacks were run here: nothing has queried the model yet.",)
    best = asking.iloc[0]
    text: list[str | Strong] = [
        "The best attack here, ",
        Strong(best["label"]),
        f", ranks a random member above a random non-member {percent(best['auc'], 0)} of the time (95{PERCENT} CI "
        f"{100 * best['auc_low']:.0f}–{percent(best['auc_high'], 0)}; guessing is 50{PERCENT}).",
    ]
    if best["auc_low"] <= 0.5 <= best["auc_high"]:
        text.append(" That does not differ significantly from guessing.")
    text += _low_rate(asking)
    if best["blind"]:
        blind = rows[rows["label"] == best["blind"]].iloc[0]
        text += [
            " The best attack that never queries the model, ",
            Strong(blind["label"]),
            f", has an AUC of {span(blind['auc'], blind['auc_low'], blind['auc_high'])}.",
        ]
    return text


def _low_rate(rows: pd.DataFrame) -> Prose:
    known = rows.dropna(subset=["tpr_1"])
    if known.empty:
        return ()
    best = top(known, "tpr_1")
    found = percent_span(best["tpr_1"], best["tpr_1_low"], best["tpr_1_high"])
    return (f" At a false-positive rate of 1{PERCENT}, ", Strong(best["label"]), f" identifies {found} of the members.")


def control_verdict(rows: pd.DataFrame) -> tuple[bool | None, Prose]:
    """Whether attacks fall to chance on the control: (passed, sentence); None where there is no control."""
    if rows.empty:
        return None, ("No control result yet.",)
    outside = rows[(rows["auc_low"] > 0.5) | (rows["auc_high"] < 0.5)]
    tested = len(rows)
    if outside.empty:
        return True, (
            f"None of {tested} attacks differs significantly from chance on the control; their intervals reach as "
            f"far as an AUC of {reach(rows):.3f}. What an attack finds on a target beyond that comes from the model.",
        )
    names: list[str | Strong] = []
    for label in outside["label"]:
        names += [", ", Strong(label)]
    expected = "; one interval in twenty excludes 0.5 by chance alone" if len(outside) <= max(1, tested // 10) else ""
    verb = "excludes" if len(outside) == 1 else "exclude"
    return False, [f"{len(outside)} of {tested} intervals on the control {verb} 0.5 (", *names[1:], f"){expected}."]


def reach(rows: pd.DataFrame) -> float:
    """How far from chance the intervals of some attacks allow them to be, in either direction, as an AUC above 0.5."""
    return float(max(rows["auc_high"].max(), 1 - rows["auc_low"].min()))


def control_design(targets: Iterable[str], controls: Iterable[str]) -> str:
    """A note that targets and their controls differ in architecture; empty if they do not.

    Args:
        targets: architecture of each model that is attacked.
        controls: architectures of the controls.
    """
    known, own = sorted(set(controls)), list(targets)
    others = [architecture for architecture in own if architecture not in known]
    if not known or not others:
        return ""
    who = f"{len(others)} of these {len(own)} models" if len(own) > 1 else f"this target ({others[0]})"
    return (
        f"The control's architecture ({'; '.join(known)}) is not that of {who}: it shows that these people give "
        "nothing away by themselves, not how a model of that architecture would answer without them."
    )


def left_out(drawn: Iterable[str], rows: pd.DataFrame, why: str) -> Prose:
    """Which methods of the board a chart does not show, and why; empty if it shows all.

    Args:
        drawn: labels in the chart.
        rows: of the board.
        why: e.g. `there is no control result`.
    """
    shown = set(drawn)
    missed = [label for label in rows["label"] if label not in shown]
    return (f"Not in the chart: {', '.join(missed)}, because {why}.",) if missed else ()


def difference(a: str, b: str, value: float, interval: Interval, p: float) -> Prose:
    """What follows from a paired comparison, in one sentence."""
    if value < 0:
        a, b, value, ends = b, a, -value, (-interval.high, -interval.low)
    else:
        ends = (interval.low, interval.high)
    shown = f"{signed(value)} [{signed(ends[0])}, {signed(ends[1])}], {p_value(p)}"
    if p >= 0.05:
        return ("The AUCs of ", Strong(a), " and ", Strong(b), f" do not differ significantly: {shown}.")
    return (Strong(a), " has a higher AUC than ", Strong(b), f": {shown}.")
