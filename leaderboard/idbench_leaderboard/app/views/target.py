"""Target: one model under attack, with and without defenses, next to its control."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import streamlit as st

from idbench.escaping import markdown, markdown_prose, plain
from idbench.results.attestation import Level
from idbench_leaderboard import charts, tables, words
from idbench_leaderboard.app import common
from idbench_leaderboard.app.views import defenses as worst
from idbench_leaderboard.board import Board, Selection


def page(board: Board, selection: Selection | None) -> None:
    """The page."""
    st.title("Target")
    if selection is None:
        common.nothing("There is no result yet.", "Run a method and build a board:", common.FIRST)
        return
    rows = common.rows_of(board, selection)
    _card(board, selection)
    if rows.empty:
        st.info("No record passes these filters.")
        return
    common.say(words.place(rows, selection))
    _control(board, selection, rows)
    _defenses(board, selection, rows)
    _others(board, selection)
    common.download_rows(board, rows, selection, "-target")


def _card(board: Board, selection: Selection) -> None:
    rows = board.select(replace(selection, track="all", checked=Level.SELF_REPORTED, settings="all"))
    if rows.empty:
        return
    members = board.members_of(selection)
    if len(members):
        _pool(board, selection, members)
        return
    row = rows.iloc[0]
    info = board.target_info(str(row["target"]))
    st.header(markdown(info.title if info else selection.target), anchor="card")
    facts = {
        "Name": selection.target,
        "Version": row["target_version"],
        "Architecture": row["architecture"],
        "Trained on": "a corpus without these people (control)" if row["control"] else row["corpus"],
        "Weights, SHA-256": row["target_sha256"],
        "License": (info.license if info else None) or "unknown",
        "Training": (info.recipe if info else "") or "unknown",
    }
    common.show_facts({name: str(value) for name, value in facts.items()})


def _pool(board: Board, selection: Selection, members: pd.DataFrame) -> None:
    st.header(f"{len(members)} models trained on {markdown(selection.corpus)}", anchor="card")
    st.markdown(
        "Numbers on this page are means over these models with equal weights. Only methods that were run on all of "
        "them are listed."
    )
    infos = [board.target_info(str(name)) for name in members["target"]]
    shown = pd.DataFrame(
        {
            "Target": members["target_label"],
            "Architecture": members["architecture"],
            "What it is": [info.title if info else "" for info in infos],
            "Training": [info.recipe if info else "" for info in infos],
        }
    )
    common.show_table(shown, "The models behind these means")


def _control(board: Board, selection: Selection, rows: pd.DataFrame) -> None:
    st.subheader("Control: the same attacks on a model trained without these people", anchor="control")
    controls = board.controls(selection)
    if controls.empty and len(
        board.controls(replace(selection, checked=Level.SELF_REPORTED, settings="all", defense=""))
    ):
        st.info("No record of a control passes these filters.")
        return
    if controls.empty:
        common.nothing(
            f"No control was run for the corpus {selection.corpus}.",
            "A control target is trained on the background alone; run the methods on it:",
            f"bench run --method all --split {selection.split} --target all --corpus {selection.corpus}",
        )
        return
    passed, verdict = words.control_verdict(controls)
    (st.success if passed else st.warning)(markdown_prose(verdict))
    frame = tables.beside_control(rows, selection)
    if frame.empty:
        st.info("None of the attacks shown here was run on the control.")
        return
    text = "AUC on the target next to AUC on the control, for each method. " + plain(verdict)
    common.show_chart(charts.controls(frame), "Target and control", text, frame, "control")
    st.caption("Whiskers are 95 % confidence intervals. On the control, they should cover the dashed line.")
    common.note(words.left_out(frame["label"], rows, "they were not run on the control"))
    if design := words.control_design(board.architectures(selection), controls["architecture"]):
        common.note((design,))


def _defenses(board: Board, selection: Selection, rows: pd.DataFrame) -> None:
    st.subheader("Attacks against defenses", anchor="defenses")
    frame = tables.defenses(board, selection)
    if frame["defense"].nunique() < 2:
        st.info(
            "No defended target has been attacked yet. A defense turns this target into another one; each gets a "
            "column here as soon as records that name it are among the results that the board is built from."
        )
        common.show_command("bench leaderboard build results --out board")
        return
    text = "AUC of each attack (rows) with each defense (columns)."
    common.show_chart(charts.heat(frame, "defense"), "AUC by attack and defense", text, frame, "defenses")
    own = board.defense_table(selection)
    if own is not None:
        worst.show(own)


def _others(board: Board, selection: Selection) -> None:
    st.subheader("The same attacks on other targets of this split", anchor="others")
    common.show_targets(board, selection)
