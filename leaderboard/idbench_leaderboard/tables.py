"""Tables for readers, made from the rows of a board."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from idbench.metrics import NotEstimable, ranks
from idbench_leaderboard import words
from idbench_leaderboard.board import BLIND, Board, Pair, View
from idbench_leaderboard.words import STATISTICS


def board(rows: pd.DataFrame) -> pd.DataFrame:
    """The board, one row per method: numbers to sort by, and beside each its interval or why there is none."""
    shown = {
        "Rank": rows["rank"],
        "Places": [words.places(low, high) for low, high in zip(rows["rank_low"], rows["rank_high"], strict=True)],
        "Method": rows["label"],
        "AUC": rows["auc"],
        "AUC 95 %": words.intervals(rows["auc_low"], rows["auc_high"]),
    }
    for name in ("tpr_10", "tpr_1"):
        shown |= _rate(rows, name)
    shown |= {
        "Over blind": rows["blind_difference"],
        "p, Holm": [words.p_value(p) for p in rows["blind_p"]],
        "On control": rows["control_auc"],
        "Control 95 %": words.intervals(rows["control_low"], rows["control_high"]),
        **_rate(rows, "tpr_01"),
        "Track": rows["track"],
        "Queries": rows["queries"].round().astype("int64"),
        "Seconds": rows["seconds"],
        "Steps": rows["training_steps"].round().astype("int64"),
        "Training s": rows["training_seconds"],
        "Seeds": rows["n_seeds"],
        "Checked": rows["verification"],
    }
    if (rows["pooled"] > 0).any():
        shown["Targets"] = rows["pooled"]
    return pd.DataFrame(shown)


def _rate(rows: pd.DataFrame, name: str) -> dict[str, Any]:
    title = STATISTICS[name]
    ends = zip(rows[f"{name}_low"], rows[f"{name}_high"], rows[f"{name}_reason"], strict=True)
    return {
        title: 100 * rows[name],
        title.replace("TPR at ", "").replace(" FPR", ": 95 %"): [
            f"not estimable: {reason}" if reason else f"{100 * low:.1f} – {100 * high:.1f} %"
            for low, high, reason in ends
        ],
    }


def statistic(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """One statistic with its interval."""
    low, high = f"{name}_low", f"{name}_high"
    return rows[["label", "track", name, low, high]].rename(
        columns={"label": "Method", "track": "Track", name: STATISTICS[name], low: "95 % from", high: "95 % to"}
    )


def pairs(found: list[Pair]) -> pd.DataFrame:
    """Paired differences of the AUC."""
    return pd.DataFrame(
        {
            "A": [pair.a for pair in found],
            "B": [pair.b for pair in found],
            "AUC of A minus B": [words.signed(pair.found.difference) for pair in found],
            "95 % interval": [
                f"[{words.signed(pair.found.interval.low)}, {words.signed(pair.found.interval.high)}]" for pair in found
            ],
            "p": [words.p_value(pair.found.p) for pair in found],
            "p, Holm": [words.p_value(pair.p_holm) for pair in found],
            "Who wins": [winner(pair) for pair in found],
        }
    )


def winner(pair: Pair) -> str:
    """Who is better, or that the data cannot tell."""
    if pair.p_holm >= 0.05:
        return "cannot be told apart"
    return pair.a if pair.found.difference > 0 else pair.b


def papers(board_: Board, rows: pd.DataFrame) -> list[tuple[str, str, str]]:
    """(method, reference, address) of the methods shown that have a paper."""
    infos = [board_.method_info(str(name)) for name in dict.fromkeys(rows["method"])]
    return [(info.name, info.paper, info.url or "") for info in infos if info and info.paper]


def facts(row: pd.Series[Any]) -> dict[str, str]:
    """What a row's records say about how it came about."""
    pairs_ = [
        ("Version", row["method_version"]),
        ("Track", row["track"]),
        ("Asks the model for", row["access"] or "nothing"),
        ("Knows", row["knowledge"] or "nothing"),
        ("Brought by", row["distribution"]),
        ("Seeds", row["seeds"]),
        ("Photos per person", words.number(row["photos_per_case"], 1)),
        ("Abstained", words.number(row["n_abstained"], 1)),
        ("Texts encoded", words.count(row["texts"])),
        ("Photos encoded", words.count(row["images"])),
        ("Similarities", words.count(row["pairs"])),
        ("Gradients", words.count(row["gradients"])),
        ("Training steps", words.count(row["training_steps"])),
        ("Seconds to fit and score", words.number(row["seconds"], 1)),
        ("Of these, training shadow models", words.number(row["training_seconds"], 1)),
        ("Peak memory, MiB", words.count(row["peak_memory_mb"])),
        ("Device", row["device"]),
        ("Records", row["verification"]),
    ]
    return {name: str(value) for name, value in pairs_}


def by_pictures(board_: Board, entries: dict[str, str]) -> pd.DataFrame:
    """AUC by training pictures of some rows (entry: label): `method`, `count`, `n_members`, `auc`, `low`, `high`."""
    bins = board_.bins[board_.bins["entry"].isin(list(entries)) & (board_.bins["occurrences"] > 0)]
    frame = bins.assign(method=bins["entry"].map(entries)).rename(columns={"occurrences": "count"})
    order = {entry: place for place, entry in enumerate(entries)}
    frame = frame.assign(place=frame["entry"].map(order)).sort_values(["place", "count"], ignore_index=True)
    return frame[["method", "count", "n_members", "auc", "low", "high"]]


def settings(board_: Board, view: View, method: str) -> pd.DataFrame:
    """Every parameter setting of a method on the view's target, cheapest first."""
    rows = board_.select(replace(view, settings="all"))
    rows = rows[rows["method"] == method].sort_values(["queries", "label"], ignore_index=True)
    return rows[["label", "track", "queries", "seconds", "auc", "auc_low", "auc_high"]]


def by_photos(board_: Board, view: View, row: pd.Series[Any]) -> pd.DataFrame:
    """Settings of a row's method that differ in nothing but the number of photos; columns as in `by_pictures`."""
    rows = board_.select(replace(view, settings="all"))
    same = ["method", "method_version", "code_sha256", "verified"]
    for column in same:
        rows = rows[rows[column] == row[column]]
    others = _without_photos(str(row["parameters"]))
    rows = rows[[_without_photos(text) == others for text in rows["parameters"]]]
    frame = rows.rename(columns={"method": "name", "auc_low": "low", "auc_high": "high"})
    frame = frame.assign(method=row["method"], count=frame["photos_per_case"].round(1))
    return frame.sort_values("count", ignore_index=True)[["method", "count", "n_members", "auc", "low", "high"]]


def _without_photos(parameters: str) -> str:
    values = json.loads(parameters)
    return json.dumps({name: value for name, value in values.items() if "photo" not in name}, sort_keys=True)


def people(board_: Board, view: View, a: pd.Series[Any], b: pd.Series[Any]) -> pd.DataFrame | None:
    """Percentile among non-members that two rows give each person, `a` and `b`; None where labels are not public."""
    known = board_.people(view.split, view.version, view.corpus)
    found = [board_.ranks(str(row["entry"])) for row in (a, b)]
    if known.empty or found[0] is None or found[1] is None:
        return None
    member = known["member"].to_numpy()
    shares = [np.mean([_percentiles(row, ~member) for row in rows], axis=0) for rows in found if rows is not None]
    return pd.DataFrame(
        {
            "identity": known["identity"],
            "who": np.where(member, "members", "non-members"),
            "occurrences": known["occurrences"],
            "a": shares[0],
            "b": shares[1],
        }
    )


def _percentiles(ranks: NDArray[np.float64], reference: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share in percent of the reference below each value, ties counting one half."""
    ordered = np.sort(ranks[reference])
    twice = ordered.searchsorted(ranks, "left") + ordered.searchsorted(ranks, "right")
    return np.asarray(50 * twice / ordered.size, dtype=np.float64)


def wins(frame: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """Who places people better, by training pictures: members should be high, non-members low."""
    result = []
    for (who, occurrences), group in frame.groupby(["who", "occurrences"], sort=True):
        sign = 1 if who == "members" else -1
        gap = sign * (group["a"] - group["b"])
        result.append(
            {
                "Who": who,
                "Training pictures": occurrences,
                "People": len(group),
                f"{a} better": int((gap > 0).sum()),
                f"{b} better": int((gap < 0).sum()),
                "Level": int((gap == 0).sum()),
            }
        )
    return pd.DataFrame(result)


def beside_control(rows: pd.DataFrame, view: View) -> pd.DataFrame:
    """AUC on the target and on the control, for methods that have both."""
    known = rows.dropna(subset=["control_auc"])
    own = known[["label", "auc", "auc_low", "auc_high"]].assign(where=view.target)
    names = {"control_auc": "auc", "control_low": "auc_low", "control_high": "auc_high"}
    control = known[["label", *names]].rename(columns=names).assign(where="control")
    return pd.concat([own, control], ignore_index=True)[["label", "where", "auc", "auc_low", "auc_high"]]


def defenses(board_: Board, view: View) -> pd.DataFrame:
    """AUC of each attack without and with each defense: `attack`, `defense`, `auc`, `low`, `high`."""
    names = sorted(board_.entries.loc[board_.entries["defense"] != "", "defense"].unique())
    parts = [board_.select(replace(view, defense=name)) for name in ("", *names)]
    rows = pd.concat(parts).sort_values("auc", ascending=False)
    frame = pd.DataFrame(
        {
            "attack": [str(m) + (f" ({v})" if v else "") for m, v in zip(rows["method"], rows["variant"], strict=True)],
            "defense": rows["defense"].replace("", "none"),
            "auc": rows["auc"],
            "low": rows["auc_low"],
            "high": rows["auc_high"],
        }
    )
    return frame.drop_duplicates(["attack", "defense"], ignore_index=True)


def across_targets(board_: Board, view: View) -> pd.DataFrame:
    """AUC of each method on every target of the split, as text."""
    columns = {}
    for target in board_.singles(view.split, view.version):
        for corpus in board_.corpora(view.split, view.version, target):
            rows = board_.select(replace(view, target=target, corpus=corpus))
            if rows.empty:
                continue
            name = f"{target} (labels of {corpus})" if rows["control"].any() else target
            cells = [words.span(*e) for e in zip(rows["auc"], rows["auc_low"], rows["auc_high"], strict=True)]
            columns[name] = pd.Series(cells, index=rows["label"])
    return pd.DataFrame(columns).fillna("–").rename_axis("Method").reset_index()


def by_target(board_: Board, view: View) -> pd.DataFrame:
    """AUC of each attack on each target of the split: `attack`, `target`, `auc`, `low`, `high`; controls come last.

    A control has one column for each corpus that it stands in for. Attacks stand in the order of their mean AUC.
    """
    parts = []
    for target in board_.singles(view.split, view.version):
        for corpus in board_.corpora(view.split, view.version, target):
            rows = board_.select(replace(view, target=target, corpus=corpus))
            name = f"{target} for {corpus}" if rows["control"].any() else target
            parts.append(rows.assign(name=name))
    rows = pd.concat(parts)
    frame = pd.DataFrame(
        {
            "attack": rows["label"],
            "target": rows["name"],
            "auc": rows["auc"],
            "low": rows["auc_low"],
            "high": rows["auc_high"],
            "mean": rows["auc"].where(~rows["control"]).groupby(rows["label"]).transform("mean"),
        }
    )
    return frame.sort_values("mean", ascending=False, kind="stable", ignore_index=True).drop(columns="mean")


def blind(board_: Board, view: View) -> pd.DataFrame:
    """Rows of blind attacks on this split's targets, best first."""
    rows = board_.entries
    keep = (rows["split"] == view.split) & (rows["split_version"] == view.version) & (rows["track"] == BLIND)
    keep &= ~rows["control"] & (rows["pooled"] == 0) & rows["usual"]
    return rows[keep].sort_values("auc", ascending=False, ignore_index=True)


def sizes(board_: Board, view: View) -> pd.DataFrame:
    """Members by number of training pictures, from any row of the view's target."""
    rows = board_.select(replace(view, track="all", verified=False, settings="all"))
    bins = board_.bins[board_.bins["entry"].isin(rows["entry"].head(1)) & (board_.bins["occurrences"] > 0)]
    return bins.sort_values("occurrences")[["occurrences", "n_members"]].rename(
        columns={"occurrences": "Training pictures", "n_members": "Members"}
    )


def rate_places(board_: Board, view: View, picked: pd.DataFrame) -> pd.DataFrame:
    """TPR at low false-positive rates with the places that the joint bootstrap allows; empty if labels are not public.

    Seeds are nested in people; methods with more seeds than the others take part with as many as all have.
    """
    known = board_.people(view.split, view.version, view.corpus)
    found = [board_.ranks(str(entry)) for entry in picked["entry"]]
    rows = [each for each in found if each is not None]
    if known.empty or len(rows) < len(found):
        return pd.DataFrame()
    seeds = min(len(each) for each in rows)
    cube, member = np.stack([each[:seeds] for each in rows]), known["member"].to_numpy()
    result = []
    for fpr in (0.1, 0.01, 0.001):
        ranking = ranks(cube, member, picked["label"].tolist(), fpr=fpr, draws=1000)
        if isinstance(ranking, NotEstimable):
            result.append(
                {"At": f"{100 * fpr:g} % FPR", "Method": "all", "TPR": f"not estimable: {ranking.reason}", "Place": "–"}
            )
            continue
        for each in ranking.methods:
            shown = words.percent_span(each.estimate, each.interval.low, each.interval.high)
            place = words.places(each.rank_low, each.rank_high)
            result.append({"At": f"{100 * fpr:g} % FPR", "Method": each.name, "TPR": shown, "Place": place})
    return pd.DataFrame(result)
