"""Split: the people that were asked about."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from idbench_leaderboard import tables, words
from idbench_leaderboard.app import common
from idbench_leaderboard.board import Board, View
from idbench_leaderboard.inputs import SplitCard


def page(board: Board, view: View | None) -> None:
    """The page."""
    st.title("Split")
    if view is None:
        common.nothing("There is no result yet.", "Run a method and build a board:", common.FIRST)
        return
    card = board.split_card(view.split, view.version)
    _card(board, view, card)
    _samples(card)
    _audit(board, view, card)
    _sizes(board, view)


def _card(board: Board, view: View, card: SplitCard | None) -> None:
    st.header(card.title if card else f"{view.split}, version {view.version}", anchor="card")
    if card and card.description:
        st.markdown(card.description)
    told: dict[str, object] = next(
        (s for s in board.manifest["splits"] if (s["name"], s["version"]) == (view.split, view.version)), {}
    )
    facts = {
        "Name and version": f"{view.split} v{view.version}",
        "License": (card.license if card else "") or "unknown",
        "Content, SHA-256": str(told.get("digest", "unknown")),
        "Labels": "public" if told.get("public") else "not public: the board shows sums only",
        "Retracted people": str(told.get("retracted", 0)),
    }
    if card:
        facts |= {f"Corpus {name}": title for name, title in card.corpora.items()}
    common.show_facts({name: str(value) for name, value in facts.items()})


def _samples(card: SplitCard | None) -> None:
    st.subheader("Who is in it", anchor="faces")
    if card is None or not card.samples:
        st.info(_no_faces(card))
        return
    st.markdown("These people do not exist: a program drew them.")
    with st.container(horizontal=True):
        for sample in card.samples:
            st.image(sample.data, width=96, caption=sample.caption, alt=f"Drawn face of {sample.caption}")


def _no_faces(card: SplitCard | None) -> str:
    if card is None:
        return "This board was built without the split's card: people are opaque ids here."
    if card.fictional:
        return "This board was built from a file of labels, which holds no pictures: people are opaque ids here."
    return (
        "No face is shown, for these are real people. Whoever builds the split fetches their photos from where they "
        "were published; a board holds opaque ids and scores, no name and no photo."
    )


def _audit(board: Board, view: View, card: SplitCard | None) -> None:
    st.subheader("Audit: can members be told apart without asking the model?", anchor="audit")
    blind = tables.blind(board, view)
    if blind.empty:
        command = f"bench run --method blind-names --method blind-photos {board.asked(view)}"
        common.nothing("No blind attack was run on this split.", "Blind attacks answer this:", command)
    else:
        shifted = blind[(blind["auc_low"] > 0.5) | (blind["auc_high"] < 0.5)]
        if shifted.empty:
            st.success(
                "No blind attack can be told from chance here. Their intervals reach an AUC of "
                f"{words.reach(blind):.3f}: what other attacks find beyond that comes from the model."
            )
        else:
            st.warning(
                f"Look closer: {', '.join(shifted['label'])} is not at chance without asking the model anything."
            )
        shown = pd.DataFrame(
            {
                "Blind attack": blind["label"],
                "Target": blind["target_label"],
                "AUC": [words.span(*e) for e in zip(blind["auc"], blind["auc_low"], blind["auc_high"], strict=True)],
                "Against chance": [words.p_value(p) for p in blind["p_chance"]],
            }
        )
        st.dataframe(shown, hide_index=True, width="stretch", alt="Blind attacks on this split")
    if card and card.checks:
        checks = pd.DataFrame(
            {
                "Check": [check.name for check in card.checks],
                "Verdict": ["passed" if check.passed else "look closer" for check in card.checks],
                "Found": [check.detail for check in card.checks],
            }
        )
        st.dataframe(checks, hide_index=True, width="stretch", alt="Checks of the split's files")
    else:
        common.nothing(
            "The split's files were not checked when this board was built.",
            "Check them:",
            f"bench data lint {view.split}",
        )


def _sizes(board: Board, view: View) -> None:
    st.subheader("People by number of training pictures", anchor="sizes")
    shown = tables.sizes(board, view)
    told_of_all = len(board.people(view.split, view.version, view.corpus)) > 0
    if shown.empty:
        st.info("The labels of this split do not say how often each person occurs in the corpus.")
        return
    st.dataframe(shown, hide_index=True, width="stretch", alt="Members by number of training pictures")
    st.caption(
        f"Members of the corpus {view.corpus} in the test part"
        + ("." if told_of_all else "; a number that a single member has is left out, for labels are not public.")
    )
