"""Defenses: what the strongest attack finds behind each, and what each costs bystanders."""

from __future__ import annotations

import streamlit as st

from idbench_leaderboard import charts, defenses
from idbench_leaderboard.app import common
from idbench_leaderboard.board import Board, View


def page(board: Board, view: View | None) -> None:
    """The page; it follows the split and the target of the view."""
    st.title("Defenses")
    st.markdown(defenses.OPENING)
    own = None if view is None else board.defense_table(view)
    if own is None:
        common.nothing(
            "No defended target has been attacked yet.",
            "Run attacks behind defenses, as they are and adapted, and build a board:",
            "bench run --method cosine --defense all --defense none --adapt relearn --adapt none\n"
            "bench leaderboard build results --out board",
        )
        return
    show(own)
    frame = defenses.heat_frame(own)
    text = "AUC of each attack (rows) among the people protected by each defense (columns)."
    st.subheader("Every attack on every defense", anchor="attacks")
    common.show_chart(charts.heat(frame, "defense"), "AUC among the protected", text, frame, "defense-attacks")
    points = defenses.privacy_frame(own)
    if len(points):
        st.subheader("Privacy against utility", anchor="utility")
        text = "AUC of the strongest attack against recognition after the defense. The best corner is below, right."
        common.show_chart(defenses.privacy_chart(points), "Privacy against utility", text, points, "privacy")


def show(table: defenses.DefenseTable) -> None:
    """The worst case of each defense of a target."""
    st.subheader("The strongest attack on each defense", anchor="worst")
    common.show_table(defenses.shown(table), f"The strongest attack on each defense of {table.target}")
    st.caption(defenses.READING)
