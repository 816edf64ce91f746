"""What every page shares: the board, the filters in the address bar, charts with their numbers, downloads."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import altair as alt
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from idbench_leaderboard import charts, downloads, tables
from idbench_leaderboard.board import ALL, NONE, Board, View
from idbench_leaderboard.words import TRACKS

_TTL: Final = 600.0
FIRST: Final = (
    "bench run --method tuni --method idia --split avatars\n"
    "bench leaderboard build results --out board\n"
    "bench leaderboard serve board"
)
STYLE: Final = """<style>
[data-testid="stMetricValue"] {font-variant-numeric: tabular-nums; font-size: 1.6rem;}
[data-testid="stMainBlockContainer"] {padding-top: 3.5rem; max-width: 76rem;}
h1 {font-size: 2.3rem !important;}
h2 {font-size: 1.6rem !important;}
h3 {font-size: 1.3rem !important;}
[data-testid="stTable"] td {overflow-wrap: anywhere;}
@media (max-width: 640px) {
  [data-testid="stMainBlockContainer"] {padding: 3.5rem 0.9rem 2rem;}
  h1 {font-size: 1.6rem !important;}
  h2 {font-size: 1.3rem !important;}
  h3 {font-size: 1.15rem !important;}
}
</style>"""


@st.cache_resource(show_spinner="Opening the board …")
def open_board(path: str, changed: float) -> Board:
    """The board in a folder; opened again when its manifest changes."""
    del changed
    return Board(Path(path))


@st.cache_data(ttl=_TTL, max_entries=64, show_spinner=False)
def _rows(path: str, inputs: str, view: View) -> pd.DataFrame:
    del inputs
    return open_board(path, _changed(Path(path))).rows(view)


def rows_of(board: Board, view: View) -> pd.DataFrame:
    """The ranked rows of a view, computed once."""
    return _rows(str(board.path), board.manifest["inputs_sha256"], view)


def _changed(path: Path) -> float:
    manifest = path / "manifest.json"
    return manifest.stat().st_mtime if manifest.exists() else 0.0


def board_at(path: Path) -> Board:
    """The board in a folder."""
    return open_board(str(path), _changed(path))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page finds things: the board, what is looked at, and links to the other pages."""

    board: Board
    view: View


def address(view: View) -> dict[str, str]:
    """What the address of a page says to show a view."""
    told = {"split": view.split, "version": str(view.version), "target": view.target, "corpus": view.corpus}
    told |= {"track": view.track} if view.track != ALL else {}
    told |= {"defense": view.defense} if view.defense else {}
    told |= {"verified": "true"} if view.verified else {}
    return told | ({"settings": "true"} if view.settings == ALL else {})


def filters(board: Board) -> View:
    """The filters, in the sidebar and in the address bar: a link shows the same to whoever opens it."""
    side = st.sidebar
    side.markdown("### What to look at")
    split = choose(side, "Split", board.splits(), "split", "Which people were asked about.")
    version = choose(side, "Version", [str(v) for v in board.versions(split)], "version", "Versions are never mixed.")
    targets = board.targets(split, int(version))
    target = choose(side, "Target", targets, "target", "Which model was audited; `all of` averages over several.")
    corpora = board.corpora(split, int(version), target)
    corpus = choose(side, "Corpus", corpora, "corpus", "Whose members are to be found.")
    tracks = [ALL, *(t for t in TRACKS if t != "blind")]
    track = choose(side, "Track", tracks, "track", "Blind attacks are always shown.", _track_name)
    defenses = board.defenses(split, int(version), target)
    defense = choose(side, "Defense", defenses, "defense", "What stands before the target.")
    verified = side.toggle("Checked records only", key="verified", bind="query-params", help="Leave out self-reported.")
    every = side.toggle(
        "Every parameter setting", key="settings", bind="query-params", help="Not only each method's usual ones."
    )
    settings = "all" if every else "usual"
    return View(split, int(version), target, corpus, track, verified, settings, "" if defense == NONE else defense)


def _track_name(track: str) -> str:
    return "all tracks" if track == ALL else track


def choose(
    place: DeltaGenerator,
    label: str,
    options: Sequence[str],
    key: str,
    help_text: str,
    format_func: Callable[[Any], str] = str,
) -> str:
    """A choice that lives in the address bar; a value that is not there gives way to the first, and the page says so.

    Args:
        place: where to draw it. What is missing is said in the page itself: on a phone the sidebar is folded away.
        label: its name.
        options: at least one.
        key: its name in the address.
        help_text: one sentence for the reader.
        format_func: how an option is shown, in the address too.
    """
    shown = [format_func(option) for option in options]
    say_what_is_missing(label, st.query_params.get_all(key), [*options, *shown], key)
    if key in st.session_state and st.session_state[key] not in options:
        del st.session_state[key]
    chosen = place.selectbox(label, options, key=key, bind="query-params", help=help_text, format_func=format_func)
    return str(chosen if chosen is not None else options[0])


def say_what_is_missing(label: str, asked: Sequence[str], shown: Sequence[str], key: str) -> None:
    """Say that a link asks for what is not here: a reader would take what is shown instead for what was meant."""
    missed = [value for value in asked if value not in shown]
    if missed and key not in st.session_state:
        names = ", ".join(f"`{value}`" for value in missed)
        st.warning(f"{label}: the link asks for {names}, which is not here or does not pass the other filters.")


def show_chart(chart: Any, title: str, alt_text: str, numbers: pd.DataFrame, name: str) -> None:
    """A chart with a description for screen readers, its numbers as a table, and downloads of both."""
    st.altair_chart(chart, width="stretch", key=f"chart-{name}", alt=alt_text)
    with st.expander(f"Numbers and downloads: {title}"):
        st.dataframe(numbers, hide_index=True, width="stretch", key=f"numbers-{name}", alt=f"Numbers of: {title}")
        with st.container(horizontal=True):
            _download("CSV", lambda: downloads.csv(numbers), f"{name}.csv", "text/csv")
            _download("JSON", lambda: downloads.as_json(numbers), f"{name}.json", "application/json")
            _download(
                "SVG", lambda: downloads.picture(specification(chart, title), "svg"), f"{name}.svg", "image/svg+xml"
            )
            _download("PNG", lambda: downloads.picture(specification(chart, title), "png"), f"{name}.png", "image/png")


def show_targets(board: Board, view: View) -> None:
    """Every attack on every target of the split, as a heat map with its numbers."""
    frame = tables.by_target(board, view)
    if frame.empty:
        st.info("No record passes these filters on a single target.")
        return
    text = (
        f"AUC of {frame['attack'].nunique()} attacks (rows) on {frame['target'].nunique()} targets (columns), "
        "each against the labels of the target's own corpus."
    )
    numbers = tables.across_targets(board, view)
    show_chart(charts.heat(frame, "target"), "AUC by attack and target", text, numbers, "targets")
    st.caption(
        "Each against the labels of the target's own corpus. 0.5 is guessing; on a control it is what to hope for. "
        "Where a cell is empty, no record of that attack on that target passes the filters."
    )


def specification(chart: Any, title: str) -> dict[str, Any]:
    """The chart as Vega-Lite, for a picture."""
    with alt.data_transformers.disable_max_rows():
        spec: dict[str, Any] = chart.to_dict(validate=False)
    return downloads.for_print({**spec, "title": title})


def _download(label: str, make: Callable[[], str | bytes], name: str, mime: str) -> None:
    st.download_button(label, make, name, mime, key=f"get-{name}", on_click="ignore", help=f"Save {name}")


def download_rows(board: Board, rows: pd.DataFrame, view: View, what: str) -> None:
    """Rows of the board to take away: as data, as a table for a paper, and as what to cite.

    Args:
        board: that they belong to.
        rows: of `Board.rows`.
        view: in which they were seen.
        what: tells their files from those of the whole board, e.g. `-tuni`; empty for the board itself.
    """
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", f"idbench-{view.split}-v{view.version}-{view.target}{what}")
    caption = f"Identity inference on {view.split} v{view.version}, target {view.target}, corpus {view.corpus}."
    papers = tables.papers(board, rows)
    with st.container(horizontal=True):
        _download("CSV", lambda: downloads.csv(rows), f"{name}.csv", "text/csv")
        _download("JSON", lambda: downloads.as_json(rows), f"{name}.json", "application/json")
        _download("LaTeX", lambda: downloads.latex(rows, caption), f"{name}.tex", "text/x-tex")
        _download("BibTeX", lambda: downloads.bibtex(caption, board.manifest, papers), f"{name}.bib", "text/x-bibtex")


def nothing(what: str, fill: str, command: str) -> None:
    """Say that there is nothing to show yet, what would fill the place, and the command that does it."""
    st.info(f"{what} {fill}")
    st.code(command, language="bash")


def show_facts(facts: Mapping[str, str]) -> None:
    """Names and values, as a plain table that wraps long values."""
    shown = pd.DataFrame({"Value": [f"`{v}`" if _is_hash(v) else v for v in facts.values()]}, index=list(facts))
    st.table(shown, hide_header=True, alt="Facts")


def _is_hash(value: str) -> bool:
    return len(value) == 64 and set(value) <= set("0123456789abcdef")
