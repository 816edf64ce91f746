"""Tables for readers, made from the rows of a board."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from idbench.metrics import NotEstimable, minimum_detectable_auc, minimum_detectable_difference, ranks
from idbench.results.attestation import Level
from idbench_leaderboard import words
from idbench_leaderboard.board import BLIND, Board, RowComparison, Selection
from idbench_leaderboard.citation import in_short
from idbench_leaderboard.inputs import MethodInfo
from idbench_leaderboard.words import STATISTICS


def board(rows: pd.DataFrame, authors: Mapping[str, str]) -> pd.DataFrame:
    """The board, one row per method: `words.FIRST_COLUMNS`, then what else there is.

    Args:
        rows: of `Board.rows`.
        authors: of each method that has a card; `authors_of` makes it.
    """
    shown: dict[str, Any] = {
        "Rank": rows["rank"],
        "Method": rows["label"],
        "AUC [95 % CI]": _spans(rows, "auc", "auc_low", "auc_high"),
        **_rate(rows, "tpr_10"),
        **_rate(rows, "tpr_1"),
        "Track": rows["track"],
        "Date": rows["created"].str[:10],
        "Authors": [
            authors.get(method, distribution)
            for method, distribution in zip(rows["method"], rows["distribution"], strict=True)
        ],
        "Rank interval": [words.places(*ends) for ends in zip(rows["rank_low"], rows["rank_high"], strict=True)],
        "Over blind": rows["blind_difference"],
        "p, Holm": [words.p_value(p) for p in rows["blind_p"]],
        "AUC on control [95 % CI]": _spans(rows, "control_auc", "control_low", "control_high"),
        **_rate(rows, "tpr_01"),
        "Queries": rows["queries"].round().astype("int64"),
        "Seconds": rows["seconds"],
        "Steps": rows["training_steps"].round().astype("int64"),
        "Training s": rows["training_seconds"],
        "Seeds": rows["n_seeds"],
        "Checked": rows["verification"],
    }
    if (rows["pooled"] > 0).any():
        shown["Targets"] = rows["pooled"]
        shown["Spread"] = rows["auc_spread"]
    return pd.DataFrame(shown)


def _spans(rows: pd.DataFrame, *columns: str) -> list[str]:
    return [words.span(*values) for values in zip(*(rows[name] for name in columns), strict=True)]


def _rate(rows: pd.DataFrame, name: str) -> dict[str, Any]:
    """A rate with its interval, or why there is none; the blank before a single digit makes texts sort as numbers."""
    values = zip(rows[name], rows[f"{name}_low"], rows[f"{name}_high"], rows[f"{name}_reason"], strict=True)
    return {
        f"{STATISTICS[name]} [95 % CI]": [
            f"not estimable: {reason}" if reason else " " * _digits_short(value) + words.percent_span(value, low, high)
            for value, low, high, reason in values
        ]
    }


def _digits_short(value: float) -> int:
    """How many digits a percentage has less than 100 %."""
    return 0 if words.missing(value) else 2 - (100 * value >= 9.95) - (100 * value >= 99.95)


def authors_of(board_: Board, rows: pd.DataFrame) -> dict[str, str]:
    """Who published each method of some rows that has a card, with the year.

    Records of schema 1 carry no card. Who published a method does not depend on its code: that of other code will do.
    """
    cards = {(card["name"], card["version"]): card for card in board_.about["methods"]}
    named = {}
    for _, row in rows.iterrows():
        own = board_.method_info(row)
        other = cards.get((row["method"], row["method_version"]), {"authors": "", "year": None})
        authors, year = (own.authors, own.year) if own else (other["authors"], other["year"])
        if authors:
            named[str(row["method"])] = in_short(authors, year)
    return named


def statistic(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """One statistic with its interval."""
    low, high = f"{name}_low", f"{name}_high"
    return rows[["label", "track", name, low, high]].rename(
        columns={"label": "Method", "track": "Track", name: STATISTICS[name], low: "95 % from", high: "95 % to"}
    )


def pairs(found: list[RowComparison]) -> pd.DataFrame:
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
            "Higher AUC": [winner(pair) for pair in found],
        }
    )


def winner(pair: RowComparison) -> str:
    """Which has the higher AUC, or that the difference is not significant."""
    if pair.p_holm >= 0.05:
        return "not significant"
    return pair.a if pair.found.difference > 0 else pair.b


def papers(board_: Board, rows: pd.DataFrame) -> list[MethodInfo]:
    """The cards of the methods shown that have a paper."""
    infos = [board_.method_info(row) for _, row in rows.iterrows()]
    return list({info.name: info for info in infos if info and info.paper}.values())


def facts(row: pd.Series[Any]) -> dict[str, str]:
    """How a row came about, according to its records."""
    pairs_ = [
        ("Version", row["method_version"]),
        ("Track", row["track"]),
        ("Access to the model", row["access"] or "nothing"),
        ("Knowledge of the person", row["knowledge"] or "nothing"),
        ("Distribution", row["distribution"]),
        ("Seeds", row["seeds"]),
        ("Photos per person", words.number(row["photos_per_case"], 1)),
        ("Abstained", words.number(row["n_abstained"], 1)),
        ("Texts encoded", words.count(row["texts"])),
        ("Photos encoded", words.count(row["images"])),
        ("Similarities", words.count(row["pairs"])),
        ("Gradients", words.count(row["gradients"])),
        ("Training steps", words.count(row["training_steps"])),
        ("Seconds to fit and score", words.number(row["seconds"], 1)),
        ("Of which training shadow models", words.number(row["training_seconds"], 1)),
        ("Peak memory, MiB", words.count(row["peak_memory_mb"])),
        ("Device", row["device"]),
        ("Checked", row["verification"]),
        ("Repeated", words.repeated(row)),
        ("Card", "in the record" if row["has_card"] else words.NO_CARD),
    ]
    return {name: str(value) for name, value in pairs_}


def reason(rows: pd.DataFrame, name: str) -> str:
    """Why a rate cannot be estimated for some rows, as their records say."""
    reasons = rows[f"{name}_reason"].dropna() if f"{name}_reason" in rows else rows["label"].iloc[:0]
    given = [text for text in reasons if text]
    return given[0] if given else "there is no value in the records"


def split_facts(board_: Board, name: str, version: int) -> dict[str, str]:
    """The data card of a split in figures: license, content, people, and what differences they can show.

    Args:
        board_: that holds results of it.
        name: of the split.
        version: of the split.
    """
    card = board_.split_card(name, version)
    known: dict[str, object] = next(
        (s for s in board_.manifest["splits"] if (s["name"], s["version"]) == (name, version)), {}
    )
    facts = {
        "Name and version": f"{name} v{version}",
        "License": (card.license if card else "") or "unknown",
        "Content, SHA-256": str(known.get("digest", "unknown")),
        "Labels": "public" if known.get("public") else "not public: the board shows sums only",
        "Retracted people": str(known.get("retracted", 0)),
    }
    facts |= {f"Corpus {corpus}": title for corpus, title in (card.corpora if card else {}).items()}
    return facts | _power(board_, name, version)


def _power(board_: Board, name: str, version: int) -> dict[str, str]:
    rows = board_.entries
    rows = rows[(rows["split"] == name) & (rows["split_version"] == version)]
    members, others = int(rows["n_members"].max()), int(rows["n_nonmembers"].max())
    least = minimum_detectable_auc(members, others)
    between = minimum_detectable_difference(members, others)
    return {
        "People under test": f"{members:,} members and {others:,} non-members",
        "Lowest false-positive rate": f"{100 / others:.2g} %, one non-member",
        "Power: smallest detectable AUC": f"{least:.3f}, with a probability of 80 % at the 5 % level",
        "Power: smallest detectable difference": f"{between:.3f} between methods of AUC 0.8 with a correlation of 0.5",
    }


def by_pictures(board_: Board, entries: dict[str, str]) -> pd.DataFrame:
    """AUC by training pictures of some rows (entry: label): `method`, `count`, `n_members`, `auc`, `low`, `high`."""
    bins = board_.bins[board_.bins["entry"].isin(list(entries)) & (board_.bins["occurrences"] > 0)]
    frame = bins.assign(method=bins["entry"].map(entries)).rename(columns={"occurrences": "count"})
    order = {entry: place for place, entry in enumerate(entries)}
    frame = frame.assign(place=frame["entry"].map(order)).sort_values(["place", "count"], ignore_index=True)
    return frame[["method", "count", "n_members", "auc", "low", "high"]]


def settings(board_: Board, selection: Selection, method: str) -> pd.DataFrame:
    """Every parameter setting of a method on the selection's target, cheapest first."""
    rows = board_.select(replace(selection, settings="all"))
    rows = rows[rows["method"] == method].sort_values(["queries", "label"], ignore_index=True)
    return rows[["label", "track", "queries", "seconds", "auc", "auc_low", "auc_high"]]


def by_photos(board_: Board, selection: Selection, row: pd.Series[Any]) -> pd.DataFrame:
    """Settings of a row's method that differ in nothing but the number of photos; columns as in `by_pictures`."""
    rows = board_.select(replace(selection, settings="all"))
    same = ["method", "method_version", "code_sha256", "verified"]
    for column in same:
        rows = rows[rows[column] == row[column]]
    others = _without_photos(str(row["parameters"]))
    rows = rows[[_without_photos(text) == others for text in rows["parameters"]]]
    rows = rows[rows["photos_per_case"] > 0]
    frame = rows.rename(columns={"method": "name", "auc_low": "low", "auc_high": "high"})
    frame = frame.assign(method=row["method"], count=frame["photos_per_case"].round(1))
    return frame.sort_values("count", ignore_index=True)[["method", "count", "n_members", "auc", "low", "high"]]


def photo_count(parameters: str) -> str | None:
    """The parameter for how many photos of a person an attack is given; None if there is none.

    Args:
        parameters: of a row, JSON. Other parameters may concern photos too, such as which of their features to use.
    """
    values: dict[str, Any] = json.loads(parameters)
    return next((name for name, value in sorted(values.items()) if "photo" in name and _count_or_all(value)), None)


def _count_or_all(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def _without_photos(parameters: str) -> str:
    values, count = json.loads(parameters), photo_count(parameters)
    return json.dumps({name: value for name, value in values.items() if name != count}, sort_keys=True)


def people(board_: Board, selection: Selection, a: pd.Series[Any], b: pd.Series[Any]) -> pd.DataFrame | None:
    """Percentile among non-members that two rows give each person, `a` and `b`; None where labels are not public."""
    known = board_.people(selection.split, selection.version, selection.corpus)
    found = [board_.ranks(str(row["entry"])) for row in (a, b)]
    if known.empty or not all(found):
        return None
    member = known["member"].to_numpy()
    shares = [_mean_percentiles(targets, ~member) for targets in found]
    return pd.DataFrame(
        {
            "identity": known["identity"],
            "who": np.where(member, "members", "non-members"),
            "occurrences": known["occurrences"],
            "a": shares[0],
            "b": shares[1],
        }
    )


def _mean_percentiles(targets: list[NDArray[np.float64]], reference: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Means over the seeds of each target, then over the targets, as in the rows of the board."""
    each = [np.mean([_percentiles(row, reference) for row in rows], axis=0) for rows in targets]
    return np.asarray(np.mean(each, axis=0), dtype=np.float64)


def _percentiles(ranks: NDArray[np.float64], reference: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share in percent of the reference below each value, ties counting one half."""
    ordered = np.sort(ranks[reference])
    twice = ordered.searchsorted(ranks, "left") + ordered.searchsorted(ranks, "right")
    return np.asarray(50 * twice / ordered.size, dtype=np.float64)


def wins(frame: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """Which of two methods ranks people better, by training pictures: members should be high, non-members low."""
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
                "Equal": int((gap == 0).sum()),
            }
        )
    return pd.DataFrame(result)


def beside_control(rows: pd.DataFrame, selection: Selection) -> pd.DataFrame:
    """AUC on the target and on the control, for methods that have both."""
    known = rows.dropna(subset=["control_auc"])
    own = known[["label", "auc", "auc_low", "auc_high"]].assign(where=selection.target)
    names = {"control_auc": "auc", "control_low": "auc_low", "control_high": "auc_high"}
    control = known[["label", *names]].rename(columns=names).assign(where="control")
    return pd.concat([own, control], ignore_index=True)[["label", "where", "auc", "auc_low", "auc_high"]]


def defenses(board_: Board, selection: Selection) -> pd.DataFrame:
    """AUC of each attack without and with each defense: `attack`, `defense`, `auc`, `low`, `high`."""
    names = sorted(board_.entries.loc[board_.entries["defense"] != "", "defense"].unique())
    parts = [board_.select(replace(selection, defense=name)) for name in ("", *names)]
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


def across_targets(board_: Board, selection: Selection) -> pd.DataFrame:
    """AUC of each method on every target of the split, as text."""
    rows = board_.on_single_targets(selection)
    names = _with_corpus(rows, " (labels of ", ")")
    cells = pd.Series(_spans(rows, "auc", "auc_low", "auc_high"), index=rows.index)
    columns = {
        name: pd.Series(part.to_numpy(), index=rows.loc[part.index, "label"])
        for name, part in cells.groupby(names, sort=False)
    }
    return pd.DataFrame(columns).fillna("–").rename_axis("Method").reset_index()


def by_target(board_: Board, selection: Selection) -> pd.DataFrame:
    """AUC of each attack on each target of the split: `attack`, `target`, `auc`, `low`, `high`; controls come last.

    A control has one column for each corpus that it stands in for. Attacks stand in the order of their mean AUC.
    """
    rows = board_.on_single_targets(selection)
    frame = pd.DataFrame(
        {
            "attack": rows["label"],
            "target": _with_corpus(rows, " for ", ""),
            "auc": rows["auc"],
            "low": rows["auc_low"],
            "high": rows["auc_high"],
            "mean": rows["auc"].where(~rows["control"]).groupby(rows["label"]).transform("mean"),
        }
    )
    return frame.sort_values("mean", ascending=False, kind="stable", ignore_index=True).drop(columns="mean")


def _with_corpus(rows: pd.DataFrame, before: str, after: str) -> pd.Series[str]:
    """The target of each row; a control with the corpus whose labels it was scored with."""
    return rows["target_label"].where(~rows["control"], rows["target_label"] + before + rows["corpus"] + after)


def blind(board_: Board, selection: Selection) -> pd.DataFrame:
    """Rows of blind attacks on this split's targets, best first."""
    rows = board_.entries
    keep = (rows["split"] == selection.split) & (rows["split_version"] == selection.version) & (rows["track"] == BLIND)
    keep &= ~rows["control"] & (rows["pooled"] == 0) & rows["usual"]
    return rows[keep].sort_values("auc", ascending=False, ignore_index=True)


def sizes(board_: Board, selection: Selection) -> pd.DataFrame:
    """Members of the test part by number of training pictures; numbers that one member has need public labels."""
    people_ = board_.people(selection.split, selection.version, selection.corpus)
    if not people_.empty:
        members = people_[people_["member"] & (people_["occurrences"] > 0)]
        counts = members.groupby("occurrences").size().rename("n_members").reset_index()
        return counts.rename(columns={"occurrences": "Training pictures", "n_members": "Members"})
    rows = board_.select(replace(selection, track="all", checked=Level.SELF_REPORTED, settings="all"))
    bins = board_.bins[board_.bins["entry"].isin(rows["entry"].head(1)) & (board_.bins["occurrences"] > 0)]
    return bins.sort_values("occurrences")[["occurrences", "n_members"]].rename(
        columns={"occurrences": "Training pictures", "n_members": "Members"}
    )


_MOST_ROWS: Final = 60
"""Rows that a joint bootstrap draws from while a reader waits; beyond, seeds that not all methods have are left out."""


def rate_places(board_: Board, selection: Selection, picked: pd.DataFrame) -> pd.DataFrame:
    """TPR at low false-positive rates as on the board, with rank intervals from a joint bootstrap.

    There are none where labels are not public: the bootstrap needs the ranks of single people.

    Args:
        board_: that the rows belong to.
        selection: in which they were seen.
        picked: two or more rows of `Board.rows`.
    """
    known = board_.people(selection.split, selection.version, selection.corpus)
    found = [board_.ranks(str(entry)) for entry in picked["entry"]]
    if known.empty or not all(found):
        return _rates_shown(picked, None)
    cube, member = _cube(found), known["member"].to_numpy()
    places: dict[tuple[str, str], str] = {}
    for name, fpr in _RATES.items():
        ranking = ranks(cube, member, picked["label"].tolist(), fpr=fpr, draws=1000)
        if not isinstance(ranking, NotEstimable):
            places |= {(name, each.name): words.places(each.rank_low, each.rank_high) for each in ranking.methods}
    return _rates_shown(picked, places)


_RATES: Final = {"tpr_10": 0.1, "tpr_1": 0.01, "tpr_01": 0.001}


def _cube(found: list[list[NDArray[np.float64]]]) -> NDArray[np.float64]:
    """Ranks (methods, rows, n) in which every target of a method has the same number of rows.

    A single seed counts three times against a method with three: a mean over copies is the seed's own
    value, so that every method takes part with the mean over all its seeds, the number that the board shows.
    """
    seeds = [len(rows) for targets in found for rows in targets]
    wanted = math.lcm(*seeds)
    if wanted * sum(map(len, found)) > _MOST_ROWS:
        wanted = min(seeds)
    return np.stack([np.concatenate([_repeated(rows, wanted) for rows in targets]) for targets in found])


def _repeated(rows: NDArray[np.float64], wanted: int) -> NDArray[np.float64]:
    return np.tile(rows, (max(1, wanted // len(rows)), 1))[:wanted]


def _rates_shown(picked: pd.DataFrame, places: dict[tuple[str, str], str] | None) -> pd.DataFrame:
    """The rates of the rows, best first at each false-positive rate; a column of rank intervals if there are any."""
    result = []
    for name, fpr in _RATES.items():
        at = f"{100 * fpr:g} % FPR"
        reasons = picked[f"{name}_reason"]
        if picked[name].isna().all():
            cells = {"At": at, "Method": "all", "TPR": f"not estimable: {reasons.iloc[0]}"}
            result.append(cells if places is None else {**cells, "Rank interval": "–"})
            continue
        for _, row in picked.sort_values(name, ascending=False, kind="stable").iterrows():
            shown = words.percent_span(row[name], row[f"{name}_low"], row[f"{name}_high"])
            cells = {"At": at, "Method": str(row["label"]), "TPR": shown}
            result.append(cells if places is None else {**cells, "Rank interval": places[name, row["label"]]})
    return pd.DataFrame(result)
