"""Split: the people that were asked about."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from idbench.escaping import markdown
from idbench_leaderboard import pages, tables, words
from idbench_leaderboard.app import common
from idbench_leaderboard.board import Board, Selection
from idbench_leaderboard.inputs import SplitCard


def page(board: Board, selection: Selection | None) -> None:
    """The page."""
    st.title("Split")
    if selection is None:
        common.nothing("There is no result yet.", "Run a method and build a board:", common.FIRST)
        return
    card = board.split_card(selection.split, selection.version)
    _card(board, selection, card)
    _samples(card)
    _audit(board, selection, card)
    _sizes(board, selection)


def _card(board: Board, selection: Selection, card: SplitCard | None) -> None:
    st.header(markdown(card.title if card else f"{selection.split}, version {selection.version}"), anchor="card")
    if card and card.description:
        st.markdown(markdown(card.description))
    common.show_facts(tables.split_facts(board, selection.split, selection.version))
    if card and card.card:
        with st.expander("Data card"):
            st.html(f'<div class="card">{pages.card_html(card.card)}</div>')


def _samples(card: SplitCard | None) -> None:
    st.subheader("Who is in it", anchor="faces")
    if card is None or not card.samples:
        st.info(_no_faces(card))
        return
    st.markdown("These people do not exist: a program drew them.")
    with st.container(horizontal=True):
        for sample in card.samples:
            st.image(sample.data, width=96, caption=markdown(sample.caption), alt=f"Drawn face of {sample.caption}")


def _no_faces(card: SplitCard | None) -> str:
    if card is None:
        return "This board was built without the split's card: people are opaque ids here."
    if card.fictional:
        return "This board was built from a file of labels, which holds no pictures: people are opaque ids here."
    return (
        "No face is shown, for these are real people. Whoever builds the split fetches their photos from where they "
        "were published; a board holds opaque ids and scores, no name and no photo."
    )


def _audit(board: Board, selection: Selection, card: SplitCard | None) -> None:
    st.subheader("Audit: can members be told apart without querying the model?", anchor="audit")
    blind = tables.blind(board, selection)
    if blind.empty:
        command = f"bench run --method blind-names --method blind-photos {board.asked(selection)}"
        common.nothing("No blind attack was run on this split.", "Blind attacks answer this:", command)
    else:
        shifted = blind[(blind["auc_low"] > 0.5) | (blind["auc_high"] < 0.5)]
        if shifted.empty:
            st.success(
                "No blind attack differs significantly from chance. Their intervals reach as far as an AUC of "
                f"{words.reach(blind):.3f}: what other attacks find beyond that comes from the model."
            )
        else:
            names = markdown(", ".join(dict.fromkeys(shifted["label"])))
            st.warning(f"Not at chance without a query to the model: {names}. The split may give members away.")
        shown = pd.DataFrame(
            {
                "Blind attack": blind["label"],
                "Target": blind["target_label"],
                "AUC": [words.span(*e) for e in zip(blind["auc"], blind["auc_low"], blind["auc_high"], strict=True)],
                "Against chance": [words.p_value(p) for p in blind["p_chance"]],
            }
        )
        common.show_table(shown, "Blind attacks on this split", height="content")
    if card and card.checks:
        verdicts = {True: "passed", False: "failed"}
        common.show_facts({each.name: f"{verdicts[each.passed]}: {each.detail}" for each in card.checks})
    else:
        common.nothing(
            "The split's files were not checked when this board was built.",
            "Check them:",
            f"bench data lint {selection.split}",
        )


def _sizes(board: Board, selection: Selection) -> None:
    st.subheader("People by number of training pictures", anchor="sizes")
    shown = tables.sizes(board, selection)
    all_known = len(board.people(selection.split, selection.version, selection.corpus)) > 0
    if shown.empty:
        st.info("The labels of this split do not record how often each person occurs in the corpus.")
        return
    common.show_table(shown, "Members by number of training pictures")
    st.caption(
        f"Members of the corpus {markdown(selection.corpus)} in the test part"
        + ("." if all_known else "; a number that a single member has is left out, for labels are not public.")
    )
