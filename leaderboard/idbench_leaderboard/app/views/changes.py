"""Changes: what a reader who was here before sees differently."""

from __future__ import annotations

import streamlit as st

from idbench_leaderboard import changes
from idbench_leaderboard.app import common
from idbench_leaderboard.board import Board, Selection

_ROOM = 900
"""Pixels that a table has beside the filters in a window of 1,280."""
_WIDEST = 148
"""Pixels of a column, in which an AUC with its interval is read whole; longer names are cut, so that the table fits."""


def page(board: Board, selection: Selection | None) -> None:
    """The page; it is about all splits and targets, whatever the filters say."""
    st.title("What changed since the last build")
    st.markdown(f"{changes.OPENING} The filters do not apply here.")
    found = board.changes()
    if selection is None and found is None:
        common.nothing("There is no result yet.", "Run a method and build a board:", common.FIRST)
        return
    if found is None:
        st.info(changes.FIRST)
        common.show_command("bench leaderboard build results --out board")
        return
    common.say(changes.summary(found, board.manifest["records"]["counted"]))
    if not found.rows:
        st.info("No row of the board looks different.")
        return
    rows = changes.table(found)
    widths = {name: common.width_of(rows[name], _WIDEST) for name in map(str, rows)}
    left = _ROOM - sum(widths.values()) + widths["Method"]
    widths["Method"] = common.width_of(rows["Method"], max(_WIDEST, left))  # it names the defense as well
    columns = {name: st.column_config.Column(name, width=width) for name, width in widths.items()}
    common.show_table(rows, "Rows that are new, changed or removed", height="content", column_config=columns)
    common.note(changes.shared(found))
