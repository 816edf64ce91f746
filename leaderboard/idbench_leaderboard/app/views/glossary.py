"""Glossary: what the words mean."""

from __future__ import annotations

import streamlit as st

from idbench.escaping import markdown
from idbench_leaderboard import glossary
from idbench_leaderboard.board import Board, Selection


def page(board: Board, selection: Selection | None) -> None:
    """The page; it is the same for every board."""
    del board, selection
    st.title("Glossary")
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
        st.markdown(f"**`{term.name}`**  \n{markdown(term.meaning)}")
        if term.source:
            st.caption(markdown(f"Source: {term.source}"))
