"""The leaderboard's pages as a reader meets them, by Streamlit's own test harness."""

from __future__ import annotations

import re
import string
from pathlib import Path

from streamlit.testing.v1 import AppTest


def _one(page: str, folder: str) -> None:
    from importlib import import_module
    from pathlib import Path as Folder

    from idbench_leaderboard.app import common

    board = common.board_at(Folder(folder))
    selection = common.filters(board) if len(board.entries) else None
    import_module(f"idbench_leaderboard.app.views.{page}").page(board, selection)


def opened(page: str, board: Path, **query: str | list[str]) -> AppTest:
    """A page as a reader finds it behind an address."""
    test = AppTest.from_function(_one, args=(page, str(board)), default_timeout=60)
    for name, value in query.items():
        test.query_params[name] = value
    test.run()
    assert not test.exception, test.exception
    return test


def text(test: AppTest) -> str:
    """Everything that a page says, as a reader sees it: without the signs that keep text from being Markdown."""
    parts = [*test.title, *test.header, *test.subheader, *test.markdown, *test.info, *test.success, *test.warning]
    written = "\n".join(str(part.value) for part in [*parts, *test.caption, *test.error, *test.text, *test.code])
    return re.sub(rf"\\([{re.escape(string.punctuation)}])", r"\1", written).replace("\u2060", "")
