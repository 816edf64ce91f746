"""The sentences and number formats that the app and the static pages share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from idbench.metrics import Interval

if TYPE_CHECKING:
    from idbench_leaderboard.board import View

PERCENT: Final = "\u00a0%"  # a sign that does not go to the next line alone
QUESTION: Final = "Can these methods tell who was in the training data?"
TRACKS: Final[Mapping[str, str]] = {
    "text-only": "Text-only: never sees a photo of the person",
    "black-box": "Black-box: photos and similarities",
    "white-box": "White-box: gradients or weights, with photos",
    "shadow": "Shadow: trains look-alike models",
    "blind": "Blind: never asks the model anything",
}
STATISTICS: Final[Mapping[str, str]] = {
    "auc": "AUC",
    "tpr_10": "TPR at 10 % FPR",
    "tpr_1": "TPR at 1 % FPR",
    "tpr_01": "TPR at 0.1 % FPR",
}
COLUMNS: Final[Mapping[str, str]] = {
    "Rank": "Place by AUC. Methods that the data cannot tell apart share it.",
    "Places": "The places that the data allow, all methods taken together.",
    "Method": "The attack; in brackets, parameters that differ from its usual ones.",
    "Track": "Follows from what the attack asks of the model and what it knows of the person.",
    "AUC": "Chance that a random member scores above a random non-member. 0.5 is guessing, 1 is perfect.",
    "AUC 95 %": "Where the AUC would lie for other people of the same kind, with 95 % confidence.",
    "TPR at 10 % FPR": "Share of members found while one non-member in ten is wrongly called a member.",
    "TPR at 1 % FPR": "Share of members found while one non-member in a hundred is wrongly called a member.",
    "TPR at 0.1 % FPR": "Share of members found while one non-member in a thousand is wrongly called a member.",
    "Over blind": "AUC minus that of the best attack that never asks the model anything, on the same people.",
    "p, Holm": "Chance of so large a difference if there were none, corrected for the number of methods.",
    "On control": "AUC of the same attack on a model that saw none of these people, not always of the target's "
    "architecture. An honest attack has 0.5 here.",
    "Queries": "Texts and photos encoded, gradients and training steps, for all people together, per seed.",
    "Seconds": "Fitting and scoring, per seed, on the machine of the record; shadow models count as if trained anew.",
    "Steps": "Optimizer steps of shadow models.",
    "Training s": "Of the seconds, those that trained shadow models.",
    "Targets": "Models that the row is a mean over.",
    "Seeds": "Independent repetitions that the numbers average over.",
    "Checked": "self-reported: nobody but whoever ran it has looked; replayed: maintainers ran it again and got the "
    "same scores; reproduced: it did as well on people drawn anew. A record cannot say this of itself.",
}


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
    """`1–3`, or `3` where there is one possible place."""
    return f"{low}" if low == high else f"{low}–{high}"


def intervals(low: Iterable[float], high: Iterable[float], digits: int = 3) -> list[str]:
    """`0.780 – 0.844` for each; a dash where there is none."""
    pairs = zip(low, high, strict=True)
    return ["–" if missing(a) else f"{number(a, digits)} – {number(b, digits)}" for a, b in pairs]


def rank(row: Mapping[str, Any] | pd.Series[Any]) -> str:
    """`1 (1–3)`; the bracket is left out where there is one possible place."""
    low, high = int(row["rank_low"]), int(row["rank_high"])
    return f"{int(row['rank'])}" if low == high else f"{int(row['rank'])} ({low}–{high})"


NO_CARD: Final = "none: these records are older than the cards in records, and show what they have"


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


def opening(rows: pd.DataFrame, view: View) -> str:
    """What the rows of a board are."""
    sizes = "people"
    if len(rows):
        members, others = int(rows["n_members"].iloc[0]), int(rows["n_nonmembers"].iloc[0])
        sizes = f"{members:,} members and {others:,} non-members"
    defended = f", behind the defense **{view.defense}**" if view.defense else ""
    pooled = int(rows["pooled"].max()) if len(rows) else 0
    if pooled:
        attacked = f"**{pooled} models**, one after the other, and the mean of what it reached{defended}"
    else:
        attacked = f"the model **{view.target}**{defended}"
    text = (
        f"Each row is an attack on {attacked}. It was asked about {sizes} of the split "
        f"**{view.split}**, version {view.version}, and never told who is who; a member's pictures are in the corpus "
        f"**{view.corpus}**."
    )
    if pooled:
        text += " Intervals speak of other people, asked of these same models."
    if len(rows) and rows["control"].all():
        text += " This model is a control: it saw none of these people, so honest attacks are at chance here."
    return text


def top(rows: pd.DataFrame, column: str) -> pd.Series[Any]:
    """The row with the largest value; the first of several."""
    return rows.iloc[int(rows[column].fillna(-math.inf).to_numpy().argmax())]


def finding(rows: pd.DataFrame) -> str:
    """What a board says, in two or three sentences."""
    if rows.empty:
        return "Nothing to show with these filters."
    asking = rows[rows["track"] != "blind"]
    if asking.empty:
        return "Only blind attacks were run here: nothing has asked the model yet."
    best = asking.iloc[0]
    chance = best["auc_low"] <= 0.5 <= best["auc_high"]
    text = (
        f"The best attack here, **{best['label']}**, puts a random member above a random non-member "
        f"{percent(best['auc'], 0)} of the time "
        f"(95{PERCENT} interval {100 * best['auc_low']:.0f}–{percent(best['auc_high'], 0)}; guessing is 50{PERCENT})."
    )
    if chance:
        text += " The data cannot tell that from guessing."
    text += _low_rate(asking)
    if best["blind"]:
        blind = rows[rows["label"] == best["blind"]].iloc[0]
        text += f" The best attack that never asks the model, {blind['label']}, reaches {percent(blind['auc'], 0)}."
    return text


def _low_rate(rows: pd.DataFrame) -> str:
    known = rows.dropna(subset=["tpr_1"])
    if known.empty:
        return ""
    best = top(known, "tpr_1")
    return (
        f" While wrongly accusing one non-member in a hundred, **{best['label']}** finds "
        f"{percent(best['tpr_1'])} of the members."
    )


def control_verdict(rows: pd.DataFrame) -> tuple[bool | None, str]:
    """Whether attacks fall to chance on the control: (passed, sentence); None where there is no control."""
    if rows.empty:
        return None, "No control result yet."
    outside = rows[(rows["auc_low"] > 0.5) | (rows["auc_high"] < 0.5)]
    tested = len(rows)
    if outside.empty:
        return (
            True,
            f"None of {tested} attacks can be told from chance on the control, where their intervals reach an AUC of "
            f"{reach(rows):.3f}: what they find elsewhere beyond that comes from the model.",
        )
    names = ", ".join(outside["label"])
    expected = "; one in twenty intervals misses 0.5 by chance alone" if len(outside) <= max(1, tested // 10) else ""
    return False, f"{len(outside)} of {tested} intervals on the control leave 0.5 out ({names}){expected}."


def reach(rows: pd.DataFrame) -> float:
    """How far from chance the intervals of some attacks allow them to be, in either direction, as an AUC above 0.5."""
    return float(max(rows["auc_high"].max(), 1 - rows["auc_low"].min()))


def control_design(targets: Iterable[str], controls: Iterable[str]) -> str:
    """That targets are built otherwise than the controls beside them; empty if they are alike.

    Args:
        targets: architecture of each model that is attacked.
        controls: architectures of the controls.
    """
    known, own = sorted(set(controls)), list(targets)
    others = [architecture for architecture in own if architecture not in known]
    if not known or not others:
        return ""
    who = f"{len(others)} of these {len(own)} models have" if len(own) > 1 else f"this target has ({others[0]})"
    return (
        f"The control has another architecture ({'; '.join(known)}) than {who}: it shows that these people give "
        "nothing away by themselves, not how a model of that architecture without them would answer."
    )


def difference(a: str, b: str, value: float, interval: Interval, p: float) -> str:
    """What follows from a paired comparison, in one sentence."""
    if value < 0:
        a, b, value, ends = b, a, -value, (-interval.high, -interval.low)
    else:
        ends = (interval.low, interval.high)
    if p >= 0.05:
        shown = f"[{signed(ends[0])}, {signed(ends[1])}]"
        return f"The data cannot tell **{a}** and **{b}** apart: {signed(value)} AUC {shown}."
    return f"**{a}** is better than **{b}** by {value:.3f} AUC [{ends[0]:.3f}, {ends[1]:.3f}], {p_value(p)}."
