"""Board: who finds the members, how surely, and at what cost."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from idbench_leaderboard import charts, tables, words
from idbench_leaderboard.app import common
from idbench_leaderboard.board import ALL, Board, View

_FORMATS = {
    "AUC": "%.3f",
    "TPR at 10 % FPR": "%.1f %%",
    "TPR at 1 % FPR": "%.1f %%",
    "TPR at 0.1 % FPR": "%.1f %%",
    "Over blind": "%+.3f",
    "On control": "%.3f",
    "Queries": "localized",
    "Seconds": "%.1f",
    "Training s": "%.1f",
}


def page(board: Board, view: View | None) -> None:
    """The page."""
    st.title(words.QUESTION)
    if view is None:
        common.nothing("There is no result yet.", "Run a method and build a board:", common.FIRST)
        return
    rows = common.rows_of(board, view)
    st.markdown(words.opening(rows, view))
    if rows.empty:
        st.info(f"No record passes these filters. {_way_out(board, view)}")
        return
    st.markdown(words.finding(rows))
    _tiles(board, view, rows)
    _chart(rows)
    _table(rows, view)
    common.download_rows(board, rows, view, "")
    if (rows["pooled"] > 0).any():
        st.subheader("Target by target", anchor="targets")
        common.show_targets(board, view)
    _cost(rows)
    _traces(board)


def _way_out(board: Board, view: View) -> str:
    """What would show something: every attack was run with other parameters than its usual ones, or a filter is on."""
    if len(board.select(replace(view, settings=ALL))):
        return "All were run with parameters that differ from the usual ones: switch on *Every parameter setting*."
    return "Change one: *Checked records only*, the track, or the defense."


def _tiles(board: Board, view: View, rows: pd.DataFrame) -> None:
    asking, blind = rows[rows["track"] != "blind"], rows[rows["track"] == "blind"]
    passed, verdict = words.control_verdict(board.controls(view))
    with st.container(horizontal=True):
        if len(asking):
            best = asking.iloc[0]
            st.metric(
                f"Best AUC: {best['label']}",
                words.number(best["auc"]),
                border=True,
                help=words.span(best["auc"], best["auc_low"], best["auc_high"]),
            )
        low = asking.dropna(subset=["tpr_1"])
        if len(low):
            best = words.top(low, "tpr_1")
            st.metric(
                f"Best TPR at 1 % FPR: {best['label']}",
                words.percent(best["tpr_1"]),
                border=True,
                help=words.percent_span(best["tpr_1"], best["tpr_1_low"], best["tpr_1_high"]),
            )
        if len(blind):
            best = blind.iloc[0]
            st.metric(
                f"Best blind AUC: {best['label']}",
                words.number(best["auc"]),
                border=True,
                help="The best that an attack reaches without asking the model anything.",
            )
        if passed is not None:
            st.metric("Control", "at chance" if passed else "look closer", border=True, help=verdict)


def _chart(rows: pd.DataFrame) -> None:
    st.subheader("How well, and how surely", anchor="how-well")
    names = list(words.STATISTICS)
    chosen = st.segmented_control(
        "Statistic",
        names,
        default="auc",
        key="statistic",
        bind="query-params",
        required=True,
        format_func=lambda name: words.STATISTICS[name],
        help="; ".join(words.COLUMNS[words.STATISTICS[n]] for n in names),
    )
    statistic = str(chosen or "auc")
    title = words.STATISTICS[statistic]
    if rows[statistic].isna().all():
        reasons = rows[f"{statistic}_reason"].dropna()
        st.info(f"Not estimable here: {reasons.iloc[0] if len(reasons) else 'no value in the records'}")
        return
    best = words.top(rows, statistic)
    text = (
        f"{title} of {len(rows)} methods with 95 % intervals as whiskers, best first. "
        f"Best: {best['label']} with {best[statistic]:.3f}."
    )
    common.show_chart(
        charts.whiskers(rows, statistic), f"{title} by method", text, tables.statistic(rows, statistic), "auc"
    )
    st.caption("Whiskers are 95 % intervals. The dashed line is guessing.")


def _table(rows: pd.DataFrame, view: View) -> None:
    st.subheader("The board", anchor="the-board")
    link = common.address(view)
    shown = tables.board(rows)
    shown["Details"] = [f"/method?{urlencode({**link, 'method': label})}" for label in rows["label"]]
    config = {name: st.column_config.Column(name, help=text) for name, text in words.COLUMNS.items() if name in shown}
    for name, style in _FORMATS.items():
        config[name] = st.column_config.NumberColumn(name, help=words.COLUMNS[name], format=style)
    config["Details"] = st.column_config.LinkColumn("Details", display_text="open", help="The method's own page.")
    config["Method"] = st.column_config.Column("Method", help=words.COLUMNS["Method"], pinned=True)
    st.dataframe(
        shown,
        hide_index=True,
        width="stretch",
        column_config=config,
        placeholder="–",
        key="board-table",
        height="content",
        alt="The board: one row per method, best AUC first",
    )
    with st.expander("What the columns mean"):
        st.markdown("\n".join(f"- **{name}**: {text}" for name, text in words.COLUMNS.items()))


def _cost(rows: pd.DataFrame) -> None:
    st.subheader("What it costs", anchor="cost")
    axes = {"queries": "Queries to the model", "seconds": "Seconds", "training_steps": "Training steps"}
    chosen = st.segmented_control(
        "Cost",
        list(axes),
        default="queries",
        key="cost",
        bind="query-params",
        required=True,
        format_func=lambda name: axes[name],
    )
    x = str(chosen or "queries")
    text = f"AUC of {len(rows)} methods against {axes[x].lower()}, on a log axis. Cheap and good is top left."
    numbers = rows[["label", "track", x, "auc", "auc_low", "auc_high"]]
    common.show_chart(charts.cost(rows, x, axes[x]), f"AUC against {axes[x].lower()}", text, numbers, "cost")
    st.caption("Cheap and good is top left. For all people together, mean over seeds.")


def _traces(board: Board) -> None:
    manifest = board.manifest
    records, rejected = manifest["records"], manifest["rejected"]
    with st.expander(f"Where this comes from: {records['counted']} of {records['given']} records count"):
        st.markdown(
            f"Built by idbench {manifest['idbench']}"
            + (f", commit `{manifest['commit'][:12]}`" if manifest["commit"] else "")
            + f". Hash of all inputs: `{manifest['inputs_sha256'][:16]}`. Nothing that a submitter typed is "
            "ranked: every number is computed from scores and labels."
        )
        if manifest["repetitions"]:
            st.markdown("Repetitions: the same runs from elsewhere, and how far their scores moved:")
            frame = pd.DataFrame(manifest["repetitions"])
            st.dataframe(frame, hide_index=True, width="stretch", alt="Repetitions with their spread")
        if rejected:
            st.markdown("Records that do not count, and why:")
            st.dataframe(pd.DataFrame(rejected), hide_index=True, width="stretch", alt="Rejected records with reasons")
        else:
            st.markdown("No record was rejected.")
