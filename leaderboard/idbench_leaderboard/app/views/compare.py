"""Compare: two or more methods on the same people."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from idbench.escaping import Strong, markdown
from idbench_leaderboard import charts, tables, words
from idbench_leaderboard.app import common
from idbench_leaderboard.board import Board, Selection

_MOST = 8


def page(board: Board, selection: Selection | None) -> None:
    """The page."""
    st.title("Compare")
    if selection is None:
        common.nothing("There is no result yet.", "Run two methods and build a board:", common.FIRST)
        return
    rows = common.rows_of(board, selection)
    if len(rows) < 2:
        common.nothing(
            "It takes two methods to compare.", "Run another one on this target:", _another(board, selection)
        )
        return
    common.say(words.place(rows, selection))
    options = rows["label"].tolist()
    chosen = _methods(options)
    if len(chosen) < 2:
        st.info("Choose at least two methods.")
        return
    picked = rows[rows["label"].isin(chosen)]
    _differences(board, selection, picked)
    common.download_rows(board, picked, selection, "-compared")
    _curves(board, picked)
    _pictures(board, picked)
    _people(board, selection, picked)


def _methods(options: list[str]) -> list[str]:
    """The methods chosen, in the address bar too; where filters leave fewer than two of them, the first two rows.

    The address is written here and not bound: a bound one leaves out whatever was the first choice at some time.
    """
    asked = [label for label in st.query_params.get_all("methods") if label]
    common.say_what_is_missing("Methods", asked, options, "methods")
    if "methods" in st.session_state or "methods" in st.query_params:
        wanted = list(st.session_state.get("methods", asked))[:_MOST]
        known = [label for label in wanted if label in options]
        st.session_state["methods"] = known if known == wanted or len(known) > 1 else options[:2]
    else:
        st.session_state["methods"] = options[:2]
    st.multiselect("Methods", options, key="methods", max_selections=_MOST, help="Two to eight rows of the board.")
    chosen = list(st.session_state["methods"])
    if st.query_params.get_all("methods") != (chosen or [""]):
        st.query_params["methods"] = chosen or [""]
    return chosen


def _another(board: Board, selection: Selection) -> str:
    return f"bench run --method all {board.asked(selection)}\nbench leaderboard build results --out board"


def _differences(board: Board, selection: Selection, picked: pd.DataFrame) -> None:
    st.subheader("Differences", anchor="differences")
    found = board.pairs(picked["entry"].tolist())
    first = found[0]
    if len(found) == 1:
        common.say(words.difference(first.a, first.b, first.found.difference, first.found.interval, first.p_holm))
    common.show_table(tables.pairs(found), "Paired differences of the AUC")
    st.caption(
        "Paired on the same people (DeLong), means over seeds; p-values corrected for the number of pairs (Holm). "
        "Not significant does not mean equal."
    )
    low = _rate_places(board, selection, picked)
    short = low.assign(TPR=low["TPR"].str.partition(":")[0])  # why a rate is not estimable stands below, in full
    common.show_table(short, "TPR at low false-positive rates, with rank intervals if known")
    for _, row in low[low["TPR"].str.startswith("not estimable")].iterrows():
        st.caption(markdown(f"TPR at {row['At']} is {row['TPR']}"))
    if "Rank interval" in low:
        st.caption("Rank intervals among the methods chosen, from a joint bootstrap over people.")
    else:
        st.caption("No rank intervals: they need scores of single people, and the labels of this split are not public.")


def _rate_places(board: Board, selection: Selection, picked: pd.DataFrame) -> pd.DataFrame:
    """The bootstrap takes a second; its result is kept for the next look."""
    key = ("places", board.manifest["inputs_sha256"], selection, tuple(picked["entry"]))
    if st.session_state.get("places_key") != key:
        st.session_state["places"] = tables.rate_places(board, selection, picked)
        st.session_state["places_key"] = key
    return pd.DataFrame(st.session_state["places"])


def _curves(board: Board, picked: pd.DataFrame) -> None:
    st.subheader("ROC curves", anchor="roc")
    curves = {str(row["label"]): board.curve(row["entry"]) for _, row in picked.iterrows()}
    if not any(curve is not None for curve in curves.values()):
        st.info("The board has no curve of these methods.")
        return
    frame = charts.roc_frame({name: c for name, c in curves.items() if c is not None}, int(picked["n_members"].iloc[0]))
    text = "ROC curves on log axes with 95 % bands of " + ", ".join(curves) + "."
    common.show_chart(charts.roc(frame), "ROC curves", text, frame, "roc-compare")
    drawn = [name for name, curve in curves.items() if curve is not None]
    common.note(words.left_out(drawn, picked, "the board has no curve of them"))


def _pictures(board: Board, picked: pd.DataFrame) -> None:
    st.subheader("By number of training pictures", anchor="pictures")
    frame = tables.by_pictures(board, dict(zip(picked["entry"], picked["label"], strict=True)))
    if frame.empty:
        st.info("The labels of this split do not record how often each person occurs in the corpus.")
        return
    text = "AUC by number of training pictures of " + ", ".join(picked["label"]) + "."
    chart = charts.by_count(frame, "Training pictures of the person")
    common.show_chart(chart, "AUC by training pictures", text, frame, "pictures-compare")
    common.note(words.left_out(frame["method"], picked, "the labels do not record training pictures"))


def _people(board: Board, selection: Selection, picked: pd.DataFrame) -> None:
    st.subheader("Person by person", anchor="people")
    first, second = picked.iloc[0], picked.iloc[1]
    people = tables.people(board, selection, first, second)
    if people is None:
        st.info("The labels of this split are not public, so single people are not shown.")
        return
    common.say(
        (
            "Each dot is a person, placed by the share of non-members that score lower under ",
            Strong(first["label"]),
            " and ",
            Strong(second["label"]),
            ". Members above the dashed line are ranked higher by the second method.",
        )
    )
    text = f"Every person by the percentile that {first['label']} and {second['label']} give."
    chart = charts.scatter(people, str(first["label"]), str(second["label"]))
    common.show_chart(chart, "Percentiles of each person", text, people, "people")
    wins = tables.wins(people, str(first["label"]), str(second["label"]))
    common.show_table(wins, "Which method ranks more people better, by training pictures")
