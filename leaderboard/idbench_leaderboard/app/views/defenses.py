"""Defenses: what the strongest attack on each finds, and what each costs everybody else."""

from __future__ import annotations

import streamlit as st

from idbench.escaping import markdown
from idbench_leaderboard import charts, defenses
from idbench_leaderboard.app import common
from idbench_leaderboard.board import Board, Selection


def page(board: Board, selection: Selection | None) -> None:
    """The page; it follows the split of the selection, and its target where that was defended."""
    st.title("Defenses")
    st.markdown(defenses.OPENING)
    st.caption("This page follows the split, its version and the target; the other filters do not apply here.")
    found = [] if selection is None else _found(board, selection)
    if not found:
        common.nothing(
            "No defended target has been attacked yet.",
            "Run attacks on defended targets, as they are and adapted, and build a board:",
            "bench run --method cosine --defense all --defense none --adapt relearn --adapt none\n"
            "bench leaderboard build results --out board",
        )
        return
    for number, own in enumerate(found):
        st.header(markdown(f"{own.split} v{own.split_version}, target {own.target}"), anchor=f"defended-{number}")
        show(own)
        _charts(own, number)


def _found(board: Board, selection: Selection) -> list[defenses.DefenseTable]:
    """The table of the chosen target; where it has none, as a mean over several targets has, those of its split."""
    own = board.defense_table(selection)
    if own is not None:
        return [own]
    return [
        each
        for each in board.defense_tables()
        if (each.split, each.split_version) == (selection.split, selection.version)
    ]


def _charts(own: defenses.DefenseTable, number: int) -> None:
    frame = defenses.heat_frame(own)
    text = "AUC of each attack (rows) among the people protected by each defense (columns)."
    st.subheader("Every attack on every defense", anchor=f"attacks-{number}")
    common.show_chart(
        charts.heat(frame, "defense"), "AUC among the protected", text, frame, f"defense-attacks-{number}"
    )
    st.caption(defenses.EMPTY_CELLS)
    points = defenses.privacy_frame(own)
    if len(points):
        st.subheader("Privacy against utility", anchor=f"utility-{number}")
        text = "AUC of the strongest attack against recognition after the defense. Best is at the bottom right."
        common.show_chart(charts.privacy(points), "Privacy against utility", text, points, f"privacy-{number}")
        common.note(defenses.not_in_chart(own))


def show(table: defenses.DefenseTable) -> None:
    """The worst case of each defense of a target."""
    st.subheader("The strongest attack on each defense")
    shown = defenses.shown(table)
    key = f"{table.split} {table.split_version} {table.target} {table.corpus}"
    others = [name for name in shown.columns if name not in defenses.FIRST_COLUMNS]
    more = st.multiselect("More columns", others, key=f"more of {key}", help="What else is known of each defense.")
    common.show_table(
        shown,
        f"The strongest attack on each defense of {table.target}",
        column_order=[name for name in shown.columns if name in defenses.FIRST_COLUMNS or name in more],
        column_config={
            name: st.column_config.Column(name, width=common.width_of(shown[name])) for name in map(str, shown)
        },
    )
    st.caption(defenses.READING)
