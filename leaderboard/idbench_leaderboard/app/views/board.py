"""Board: how well attacks identify members, with what certainty, and at what cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from idbench.escaping import markdown, markdown_link, markdown_prose
from idbench_leaderboard import charts, pages, tables, words
from idbench_leaderboard.app import common
from idbench_leaderboard.board import ALL, Board, Selection

_FORMATS = {"Over blind": "%+.3f", "Queries": "localized", "Seconds": "%.1f", "Training s": "%.1f"}
_SMALL = {"Seeds", "Targets"}
_RANK, _TRACK = 46, 78  # pixels: with these, the first columns fit beside the filters on a screen of 1280


def page(board: Board, selection: Selection | None) -> None:
    """The page."""
    st.title(words.QUESTION)
    st.markdown(words.WHAT)
    if selection is None:
        common.nothing("There is no result yet.", "Run a method and build a board:", common.FIRST)
        return
    rows = common.rows_of(board, selection)
    _links(board, rows)
    common.say(words.opening(rows, selection))
    if rows.empty:
        st.info(f"No record passes these filters. {_way_out(board, selection)}")
        return
    _table(board, rows, selection)
    common.let_draw()
    common.note(words.not_pooled(board.not_pooled(selection), int(rows["pooled"].max())))
    common.download_rows(board, rows, selection, "")
    _tiles(board, selection, rows)
    common.say(words.finding(rows))
    _chart(rows)
    if (rows["pooled"] > 0).any():
        st.subheader("Target by target", anchor="targets")
        common.show_targets(board, selection)
    _cost(rows)
    _submit()
    _traces(board)


def _way_out(board: Board, selection: Selection) -> str:
    """What would show something: every attack was run with other parameters than its usual ones, or a filter is on."""
    if len(board.select(replace(selection, settings=ALL))):
        return "All were run with parameters that differ from the defaults: switch on *Every parameter setting*."
    return "Change one: *Checked*, the track, or the defense."


def _table(board: Board, rows: pd.DataFrame, selection: Selection) -> None:
    shown = tables.board(rows, tables.authors_of(board, rows))
    link = common.address(selection)
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    wanted = left.text_input("Find", key="find", bind="query-params", help="Part of a method, track or author.")
    others = [name for name in shown.columns if name not in words.FIRST_COLUMNS]
    more = right.multiselect(
        "More columns", others, key="columns", bind="query-params", help="What else is known of each row."
    )
    found = shown.map(str).agg(" ".join, axis=1).str.casefold().str.contains(wanted.casefold(), regex=False)
    if not found.any():
        st.info("No row holds that text. Empty the field to see all.")
        return
    shown = shown[found]
    width = common.width_of(shown["Method"])
    shown["Method"] = [f"/method?{urlencode({**link, 'method': label})}" for label in shown["Method"]]
    config = {
        name: st.column_config.Column(name, help=text, width="small" if name in _SMALL else None)
        for name, text in words.COLUMNS.items()
        if name in shown
    }
    config["Authors"] = st.column_config.Column(
        "Authors", help=words.COLUMNS["Authors"], width=common.width_of(shown["Authors"])
    )
    config["Rank"] = st.column_config.Column("Rank", help=words.COLUMNS["Rank"], width=_RANK)
    config["Track"] = st.column_config.Column("Track", help=words.COLUMNS["Track"], width=_TRACK)
    for name in words.RATE_COLUMNS:  # its cells have the brackets that the other half of the name explains
        config[name] = st.column_config.Column(
            name.partition(" [")[0], help=f"{words.COLUMNS[name]} {words.IN_BRACKETS}"
        )
    for name, style in _FORMATS.items():
        config[name] = st.column_config.NumberColumn(name, help=words.COLUMNS[name], format=style)
    config["Method"] = st.column_config.LinkColumn(
        "Method",
        help=words.COLUMNS["Method"],
        display_text=r"[?&]method=([^&]*)$",
        pinned=True,
        width=width,
    )
    common.show_table(
        shown,
        "The board: one row per method, highest AUC first",
        column_order=[name for name in shown.columns if name in words.FIRST_COLUMNS or name in more],
        column_config=config,
        placeholder="–",
        key="board-table",
        height="content",
    )
    with st.expander("What the columns mean"):
        st.markdown("\n".join(f"- **{markdown(name)}**: {markdown(text)}" for name, text in words.COLUMNS.items()))


def _links(board: Board, rows: pd.DataFrame) -> None:
    """The papers of the methods shown, the code, and how to take part."""
    papers = [markdown_link(info.name, info.url) for info in tables.papers(board, rows) if info.url]
    code = pages.code_address()
    parts = ["[How to submit](#submit)", *([markdown_link("Code", code)] if code else [])]
    parts += [f"Papers: {', '.join(papers)}"] if papers else []
    st.markdown(" · ".join(parts))


def _submit() -> None:
    st.subheader("How to submit", anchor="submit")
    for number, (step, command) in enumerate(words.SUBMIT, 1):
        st.markdown(f"{number}. {step}")
        if command:
            common.show_command(command)


def _tiles(board: Board, selection: Selection, rows: pd.DataFrame) -> None:
    asking, blind = rows[rows["track"] != "blind"], rows[rows["track"] == "blind"]
    passed, verdict = words.control_verdict(board.controls(selection))
    low = asking.dropna(subset=["tpr_1"])
    with st.container(horizontal=True):
        if len(asking):
            _tile("Highest AUC", asking.iloc[0], "auc")
        if len(low):
            _tile("Highest TPR at 1 % FPR", words.top(low, "tpr_1"), "tpr_1")
        if len(blind):
            _tile("Highest blind AUC", blind.iloc[0], "auc")
        if passed is not None:
            st.metric(
                "Control", "at chance" if passed else "not all at chance", border=True, help=markdown_prose(verdict)
            )


def _tile(title: str, row: pd.Series[Any], name: str) -> None:
    shown = words.span if name == "auc" else words.percent_span
    value = shown(row[name], row[f"{name}_low"], row[f"{name}_high"])
    st.metric(f"{title}: {markdown(row['label'])}", value, border=True, help=words.IN_BRACKETS)


def _chart(rows: pd.DataFrame) -> None:
    st.subheader("By method", anchor="by-method")
    names = list(words.STATISTICS)
    chosen = st.segmented_control(
        "Statistic",
        names,
        default="auc",
        key="statistic",
        bind="query-params",
        required=True,
        format_func=lambda name: words.STATISTICS[name],
        help="; ".join(words.COLUMNS[f"{words.STATISTICS[n]} [95 % CI]"] for n in names),
    )
    statistic = str(chosen or "auc")
    title = words.STATISTICS[statistic]
    if rows[statistic].isna().all():
        st.info(markdown(f"Not estimable here: {tables.reason(rows, statistic)}"))
        return
    best = words.top(rows, statistic)
    text = (
        f"{title} of {len(rows)} methods with 95 % confidence intervals as whiskers, highest first. "
        f"Highest: {best['label']}, {best[statistic]:.3f}."
    )
    common.show_chart(
        charts.whiskers(rows, statistic), f"{title} by method", text, tables.statistic(rows, statistic), "auc"
    )
    st.caption("Whiskers are 95 % confidence intervals. The dashed line is guessing.")
    common.note(words.left_out(rows.loc[rows[statistic].notna(), "label"], rows, tables.reason(rows, statistic)))


def _cost(rows: pd.DataFrame) -> None:
    st.subheader("Cost", anchor="cost")
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
    text = f"AUC of {len(rows)} methods against {axes[x].lower()}, on a log axis. Cheap and accurate is top left."
    numbers = rows[["label", "track", x, "auc", "auc_low", "auc_high"]]
    common.show_chart(charts.cost(rows, x, axes[x]), f"AUC against {axes[x].lower()}", text, numbers, "cost")
    st.caption("Cheap and accurate is top left. For all people together, mean over seeds.")


def _traces(board: Board) -> None:
    manifest = board.manifest
    records, rejected = manifest["records"], manifest["rejected"]
    with st.expander(f"Provenance: {records['counted']} of {records['given']} records count"):
        st.markdown(
            f"Built by idbench {markdown(manifest['idbench'])}"
            + (f", commit {markdown(manifest['commit'][:12])}" if manifest["commit"] else "")
            + f". Hash of all inputs: `{manifest['inputs_sha256'][:16]}`. "
            "Every number is computed from scores and labels."
        )
        if manifest["repetitions"]:
            st.markdown("Repetitions: the same runs from elsewhere, and how far their scores moved:")
            frame = pd.DataFrame(manifest["repetitions"])
            st.dataframe(frame, hide_index=True, width="stretch", alt="Repetitions with their spread")
        if rejected:
            st.markdown("Records that do not count, and why:")
            common.show_table(pd.DataFrame(rejected), "Rejected records with reasons")
        else:
            st.markdown("No record was rejected.")
