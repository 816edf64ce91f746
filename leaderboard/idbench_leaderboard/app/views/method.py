"""Method: everything about one attack on one target."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import streamlit as st

from idbench.escaping import Strong, markdown, markdown_link
from idbench_leaderboard import charts, tables, words
from idbench_leaderboard.app import common
from idbench_leaderboard.board import Board, Selection
from idbench_leaderboard.inputs import MethodInfo


def page(board: Board, selection: Selection | None) -> None:
    """The page."""
    st.title("Method")
    if selection is None:
        common.nothing("There is no result yet.", "Run a method and build a board:", common.FIRST)
        return
    rows = common.rows_of(board, selection)
    if rows.empty:
        st.info("No record passes these filters.")
        return
    common.say(words.place(rows, selection))
    label = common.choose(st.container(), "Method", rows["label"].tolist(), "method", "Any row of the board.")
    row = rows[rows["label"] == label].iloc[0]
    info = board.method_info(row)
    _card(row, info)
    _numbers(row)
    common.download_rows(board, rows[rows["label"] == label], selection, f"-{label}")
    _roc(board, row)
    _pictures(board, row)
    _photos(board, selection, row)
    _histogram(board, row)
    _cost(board, selection, row)
    _repeat(board, row, info)


def _card(row: pd.Series[Any], info: MethodInfo | None) -> None:
    st.header(markdown(info.title if info else row["method_title"]), anchor="card")
    if info and info.summary:
        st.markdown(markdown(info.summary))
    if info and info.paper:
        link = f" · {markdown_link(info.url, info.url)}" if info.url else ""
        st.markdown(f"**Paper:** {markdown(info.paper)}{link}")
    if info is None:
        st.caption(f"Method card: {words.NO_CARD}.")
    st.markdown(f"**Track:** {markdown(words.TRACKS.get(row['track'], row['track']))}")


def _numbers(row: pd.Series[Any]) -> None:
    with st.container(horizontal=True):
        st.metric("AUC", words.span(row["auc"], row["auc_low"], row["auc_high"]), border=True)
        for name in ("tpr_10", "tpr_1"):
            shown = words.percent_span(row[name], row[f"{name}_low"], row[f"{name}_high"])
            st.metric(words.STATISTICS[name], shown, border=True, help=markdown(row[f"{name}_reason"] or "") or None)
        st.metric("Rank", words.rank(row), border=True, help="In brackets, the ranks that the data allow.")
    st.markdown(markdown(_sentence(row)))


def _sentence(row: pd.Series[Any]) -> str:
    text = f"Against chance: {words.p_value(row['p_chance'])}."
    for name in ("tpr_10", "tpr_1"):
        if row[f"{name}_reason"]:
            text += f" {words.STATISTICS[name]} is not estimable: {row[f'{name}_reason']}"
    if row["blind"]:
        gap, low, high = (words.signed(row[f"blind_{name}"]) for name in ("difference", "low", "high"))
        text += f" Over the best blind attack ({row['blind']}): {gap} [{low}, {high}], {words.p_value(row['blind_p'])}."
    if not words.missing(row["control_auc"]):
        text += f" On the control: {words.span(row['control_auc'], row['control_low'], row['control_high'])}."
    if not words.missing(row["decision_tpr"]):
        text += (
            f" At the threshold chosen on the calibration part: TPR {words.percent(row['decision_tpr'])}, "
            f"FPR {words.percent(row['decision_fpr'])}."
        )
    return text


def _roc(board: Board, row: pd.Series[Any]) -> None:
    st.subheader("ROC curve", anchor="roc")
    curve = board.curve(row["entry"])
    if curve is None:
        st.info("The board has no curve of this row.")
        return
    frame = charts.roc_frame({str(row["label"]): curve}, int(row["n_members"]))
    text = (
        f"ROC curve of {row['label']} on log axes with a 95 % band. TPR at 10 % FPR: {words.percent(row['tpr_10'])}; "
        f"at 1 % FPR: {words.percent(row['tpr_1'])}."
    )
    common.show_chart(charts.roc(frame), f"ROC of {row['label']}", text, frame, "roc")
    st.caption("The band is simultaneous: it holds the whole curve with 95 % confidence. The dashed line is guessing.")


def _pictures(board: Board, row: pd.Series[Any]) -> None:
    st.subheader("By number of training pictures", anchor="pictures")
    frame = tables.by_pictures(board, {str(row["entry"]): str(row["label"])})
    if frame.empty:
        st.info("The labels of this split do not record how often each person occurs in the corpus.")
        return
    text = "; ".join(f"{n} pictures: AUC {auc:.2f}" for n, auc in zip(frame["count"], frame["auc"], strict=True))
    chart = charts.by_count(frame, "Training pictures of the person")
    common.show_chart(
        chart, "AUC by training pictures", f"AUC by number of training pictures. {text}.", frame, "pictures"
    )


def _photos(board: Board, selection: Selection, row: pd.Series[Any]) -> None:
    st.subheader("By number of attack photos", anchor="photos")
    frame = tables.by_photos(board, selection, row)
    if len(frame) < 2:
        name = tables.photo_count(str(row["parameters"]))
        if name is None and not row["photos_per_case"]:
            st.info("This row used no photos, so there is no number of photos to vary.")
            return
        if name is None:
            st.info("This method has no parameter for the number of photos: it takes all that there are.")
            return
        command = f"bench run --method {row['method']} {board.asked(selection)} --param {name}=1"
        common.nothing("Only one number of attack photos was run.", "Runs with other numbers fill this chart:", command)
        return
    text = "; ".join(f"{n} photos: AUC {auc:.2f}" for n, auc in zip(frame["count"], frame["auc"], strict=True))
    chart = charts.by_count(frame, "Photos of the person that the attack was given")
    common.show_chart(chart, "AUC by attack photos", f"AUC by number of attack photos. {text}.", frame, "photos")


def _histogram(board: Board, row: pd.Series[Any]) -> None:
    st.subheader("Scores", anchor="scores")
    bars = board.histogram(row["entry"])
    if bars is None:
        st.info("Scores of different models have no scale in common: choose a single target to see them.")
        return
    frame = charts.histogram_frame(bars)
    text = f"Histogram of the scores of {row['label']}: members and non-members. The less they overlap, the better."
    common.show_chart(charts.histogram(frame), f"Scores of {row['label']}", text, frame, "scores")


def _cost(board: Board, selection: Selection, row: pd.Series[Any]) -> None:
    st.subheader("Cost against quality", anchor="cost")
    frame = tables.settings(board, selection, str(row["method"]))
    if len(frame) < 2:
        st.info("Only one parameter setting was run, so there is no choice between cost and quality to show.")
        return
    text = f"AUC against queries for {len(frame)} parameter settings of {row['method']}."
    common.show_chart(
        charts.cost(frame, "queries", "Queries to the model"), "AUC against queries", text, frame, "settings"
    )


def _repeat(board: Board, row: pd.Series[Any], info: MethodInfo | None) -> None:
    st.subheader("Reproduce", anchor="repeat")
    common.show_command(row["command"])
    with st.expander("Parameters", expanded=False):
        common.show_table(_parameters(json.loads(row["parameters"]), info), "Parameters of this row")
    if info and info.choices:
        with st.expander("What the source leaves open, and what was chosen"):
            for choice in info.choices:
                common.say((Strong(choice.what), f": {choice.chosen}, because {choice.why}"))
    with st.expander("Access, knowledge and cost"):
        common.show_facts(tables.facts(row))
    with st.expander("Records behind this row"):
        runs = board.runs_of(str(row["entry"])).drop(columns="entry")
        common.show_table(runs, "Records behind this row")


def _parameters(values: dict[str, Any], info: MethodInfo | None) -> pd.DataFrame:
    known = {parameter.name: parameter for parameter in info.parameters} if info else {}
    return pd.DataFrame(
        [
            {
                "Parameter": name,
                "Value": json.dumps(value),
                "Default": known[name].default if name in known else "",
                "What it is": known[name].description if name in known else "",
            }
            for name, value in sorted(values.items())
        ]
    )
