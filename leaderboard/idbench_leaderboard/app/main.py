"""What `streamlit run` is given: finds the board, draws the navigation, and hands over to a page."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Final

import streamlit as st

from idbench.errors import IdbenchError
from idbench.escaping import markdown
from idbench_leaderboard.app import common
from idbench_leaderboard.app.views import board, changes, compare, defenses, glossary, method, split, target
from idbench_leaderboard.board import Board, Selection
from idbench_leaderboard.manifest import REFERENCE

VIEWS: Final = (board, method, compare, target, defenses, split, changes, glossary)


def folder() -> Path:
    """The board's folder: from the command line, else the reference results that come with idbench."""
    given = st.session_state.get("board") or (sys.argv[1] if len(sys.argv) > 1 else "")
    return Path(given) if given else REFERENCE


def run() -> None:
    """One run of the script, as Streamlit does for every click."""
    st.set_page_config(page_title="idbench leaderboard", layout="wide", menu_items={})
    st.html(common.STYLE)
    try:
        opened = common.board_at(folder())
        # Here and not in the pages, so that the selection survives the way from page to page.
        selection = common.filters(opened) if len(opened.entries) else None
        chosen = st.navigation([_page(module, opened, selection) for module in VIEWS], position="top")
        chosen.run()
    except IdbenchError as error:
        st.error(markdown(error.message))
        st.text(error.hint)


def _page(module: ModuleType, opened: Board, selection: Selection | None) -> st.Page:
    name = module.__name__.rpartition(".")[2]
    return st.Page(partial(module.page, opened, selection), title=name.title(), url_path=name, default=module is board)


run()
