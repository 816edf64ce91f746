"""Glossary: what the words mean."""

from __future__ import annotations

import streamlit as st

from idbench.escaping import line, markdown, markdown_code, markdown_prose
from idbench_leaderboard import glossary
from idbench_leaderboard.board import Board, Selection


def page(board: Board, selection: Selection | None) -> None:
    """The page; it is the same for every board."""
    del board, selection
    st.title("Glossary")
    st.markdown("The same for every board; the filters do not apply here.")
    st.header("Words", anchor="words")
    st.markdown("\n".join(f"- **{markdown(word)}**: {markdown(meaning)}" for word, meaning in glossary.WORDS.items()))
    st.header("Metrics", anchor="metrics")
    st.markdown(
        "Each is a function of `idbench.metrics`; `pydoc idbench.metrics.NAME` shows ranges, errors and an example."
    )
    wanted = st.text_input("Find", key="find", bind="query-params", help="Part of a name or of its meaning.").casefold()
    found = [term for term in glossary.terms() if wanted in f"{term.name} {term.meaning}".casefold()]
    if not found:
        st.info("Nothing found. Empty the field to see everything.")
    for term in found:
        st.markdown(f"**`{term.name}`**  \n{_with_names(term.meaning)}")
        if term.source:
            st.caption(_with_names(f"Source: {term.source}"))


def _with_names(text: str) -> str:
    """Words for Markdown; what a docstring has between backticks is the name of something, and set as such."""
    pieces = line(text).split("`")
    if len(pieces) % 2 == 0:  # a backtick without its partner
        return markdown(text)
    return "".join(markdown_code(piece) if i % 2 else markdown_prose((piece,)) for i, piece in enumerate(pieces))
