"""What every page shares: the board, the filters in the address bar, charts with their numbers, downloads."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import altair as alt
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from idbench import figures
from idbench.escaping import Prose, line, markdown, markdown_code, markdown_prose, terminal
from idbench.results.attestation import Level
from idbench_leaderboard import charts, downloads, tables
from idbench_leaderboard.board import ALL, NONE, Board, Selection
from idbench_leaderboard.words import CHECKED, TRACKS

_TTL: Final = 600.0
FIRST: Final = (
    "bench run --method tuni --method idia --split avatars\n"
    "bench leaderboard build results --out board\n"
    "bench leaderboard serve board"
)
STYLE: Final = """<style>
[data-testid="stMetricValue"] {font-variant-numeric: tabular-nums; font-size: 1.35rem;}
[data-testid="stMetricValue"] div {white-space: normal;}
[data-testid="stMainBlockContainer"] {padding: 3.5rem 2rem 4rem; max-width: 80rem;}
h1 {font-size: 2.1rem !important;}
h2 {font-size: 1.6rem !important;}
h3 {font-size: 1.3rem !important;}
[data-testid="stTable"] td, [data-testid="stMarkdown"] {overflow-wrap: anywhere;}
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] p {color: inherit; opacity: 0.85;}
[data-testid="stButtonGroup"] button, [data-testid="stButtonGroup"] button * {color: inherit !important;}
[data-testid="stSidebarCollapseButton"], [data-testid="stSidebarCollapseButton"] * {color: inherit !important;}
@media (max-width: 640px) {
  [data-testid="stMainBlockContainer"] {padding: 3.5rem 0.9rem 2rem;}
  [data-testid="stTable"] td, [data-testid="stTable"] td * {white-space: normal; overflow-wrap: anywhere;}
  h1 {font-size: 1.5rem !important;}
  h2 {font-size: 1.3rem !important;}
  h3 {font-size: 1.15rem !important;}
}
</style>"""
HEAD_START: Final = 0.6
"""Seconds in which a browser draws a table; `benchmark/perf/leaderboard.py --browser` measures what a reader waits."""
_LETTER, _MARGINS = 6.4, 20  # pixels of a letter, and beside the words of a cell
_INK: Final = {"light": "#31333f", "dark": "#e6e8ee"}
"""Colour of the words in a chart: Streamlit's own grey is too pale to read."""


@st.cache_resource(show_spinner="Opening the board …")
def open_board(path: str, changed: float) -> Board:
    """The board in a folder; opened again when its manifest changes."""
    del changed
    return Board(Path(path))


@st.cache_data(ttl=_TTL, max_entries=64, show_spinner=False)
def _rows(path: str, inputs: str, selection: Selection) -> pd.DataFrame:
    del inputs
    return open_board(path, _changed(Path(path))).rows(selection)


def rows_of(board: Board, selection: Selection) -> pd.DataFrame:
    """The ranked rows of a selection, computed once."""
    return _rows(str(board.path), board.manifest["inputs_sha256"], selection)


def _changed(path: Path) -> float:
    manifest = path / "manifest.json"
    return manifest.stat().st_mtime if manifest.exists() else 0.0


def board_at(path: Path) -> Board:
    """The board in a folder; who was taken out while it is shown is not shown at the next click."""
    opened = open_board(str(path), _changed(path))
    opened.check_retractions()
    return opened


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page finds things: the board, what is looked at, and links to the other pages."""

    board: Board
    selection: Selection


def address(selection: Selection) -> dict[str, str]:
    """What the address of a page says to show a selection."""
    query = {
        "split": selection.split,
        "version": str(selection.version),
        "target": selection.target,
        "corpus": selection.corpus,
    }
    query |= {"track": selection.track} if selection.track != ALL else {}
    query |= {"defense": selection.defense} if selection.defense else {}
    query |= {"checked": selection.checked} if selection.checked != Level.SELF_REPORTED else {}
    return query | ({"settings": "true"} if selection.settings == ALL else {})


def filters(board: Board) -> Selection:
    """The filters, in the sidebar and in the address bar: a link shows everybody the same."""
    side = st.sidebar
    side.markdown("### Choose a board")
    split = choose(side, "Split", board.splits(), "split", "The people under test.")
    version = choose(side, "Version", [str(v) for v in board.versions(split)], "version", "Versions are never mixed.")
    targets = board.targets(split, int(version))
    target = choose(side, "Target", targets, "target", "The model under attack; *all of* is the mean over several.")
    corpora = board.corpora(split, int(version), target)
    corpus = choose(side, "Corpus", corpora, "corpus", "The training set whose members the attack looks for.")
    tracks = [ALL, *(t for t in TRACKS if t != "blind")]
    track = choose(
        side,
        "Track",
        tracks,
        "track",
        "The access and knowledge that attacks have; blind ones are always shown.",
        _track_name,
    )
    defenses = board.defenses(split, int(version), target)
    defense = choose(side, "Defense", defenses, "defense", "What protects the target.")
    checked = choose(
        side, "Checked", list(CHECKED), "checked", "The least check that a row must have passed.", CHECKED.__getitem__
    )
    every = side.toggle(
        "Every parameter setting", key="settings", bind="query-params", help="Not only each method's usual ones."
    )
    settings = "all" if every else "usual"
    return Selection(split, int(version), target, corpus, track, checked, settings, "" if defense == NONE else defense)


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
        place: where to draw it. Missing values are reported in the page itself: on a phone the sidebar is folded away.
        label: its name.
        options: at least one.
        key: its name in the address.
        help_text: one sentence for the reader.
        format_func: how an option is shown, in the address too.
    """
    shown = {str(format_func(option)): option for option in options}
    asked = st.query_params.get_all(key)
    say_what_is_missing(label, asked, [*options, *shown], key)
    # Set, not left to the widget: only what is set reaches the browser, which would otherwise keep an old value. The
    # address is written here for the same reason: a bound one leaves out whatever was the first choice at some time.
    if key not in st.session_state:
        wanted = asked[-1] if asked else ""
        st.session_state[key] = wanted if wanted in options else shown.get(wanted, options[0])
    elif st.session_state[key] not in options:
        st.session_state[key] = options[0]
    place.selectbox(label, options, key=key, help=help_text, format_func=format_func)
    chosen = str(st.session_state[key])
    if st.query_params.get(key) != chosen:
        st.query_params[key] = chosen
    return chosen


def say_what_is_missing(label: str, asked: Sequence[str], shown: Sequence[str], key: str) -> None:
    """Say that a link asks for what is not here: a reader would take what is shown instead for what was meant."""
    missed = [value for value in asked if value not in shown]
    if missed and key not in st.session_state:
        names = ", ".join(markdown_code(value) for value in missed)
        st.warning(f"{label}: the link asks for {names}, which is not here or does not pass the other filters.")


def say(prose: Prose) -> None:
    """A paragraph in which nothing is markup but what is bold."""
    if prose:
        st.markdown(markdown_prose(prose))


def note(prose: Prose) -> None:
    """A paragraph in small print."""
    if prose:
        st.caption(markdown_prose(prose))


def show_table(frame: pd.DataFrame, about: str, **options: Any) -> None:
    """A table whose texts are shown as they are.

    Args:
        frame: its rows.
        about: what it holds, for screen readers.
        options: of `st.dataframe`.
    """
    safe = frame.rename(columns=lambda name: line(str(name)))
    for name in safe.select_dtypes(["object", "string"]).columns:
        safe[name] = safe[name].map(lambda value: _indent(value) + line(value) if isinstance(value, str) else value)
    st.dataframe(safe, hide_index=True, width="stretch", alt=line(about), **options)


def width_of(column: pd.Series[Any], widest: int = 260) -> int:
    """Pixels in which every cell of a column and its name are read whole; Streamlit itself looks at the first few."""
    return min(round(_LETTER * max(len(str(column.name)), int(column.astype(str).str.len().max()))) + _MARGINS, widest)


def _indent(text: str) -> str:
    """The blanks before a text, by which percentages sort as numbers."""
    return text[: len(text) - len(text.lstrip(" "))]


def let_draw() -> None:
    """Let a reader's browser draw what it was sent before it is sent the rest; once per visit.

    A browser has one thread for the page: if all comes at once, it fetches and compiles what draws charts before it
    draws the table, and the reader waits longer for the first thing to read. All is there hardly later.
    """
    asked_by_browser = bool(st.context.headers)  # nobody waits for a page that is drawn in advance, or by a test
    if asked_by_browser and "seen" not in st.session_state:
        st.session_state["seen"] = True
        time.sleep(HEAD_START)


def show_chart(chart: Any, title: str, alt_text: str, numbers: pd.DataFrame, name: str) -> None:
    """A chart with a description for screen readers, its numbers as a table, and downloads of both."""
    ink = _INK.get(str(st.context.theme.type), _INK["light"])
    axis = {"labelColor": ink, "titleColor": ink}
    readable = chart.configure_axis(**axis).configure_legend(**axis).configure_text(color=ink)
    st.altair_chart(readable, width="stretch", key=f"chart-{name}", alt=line(alt_text))
    with st.expander(markdown(f"Numbers and downloads: {title}")):
        show_table(numbers, f"Numbers of: {title}", key=f"numbers-{name}")
        with st.container(horizontal=True):
            _download("CSV", lambda: downloads.csv(numbers), f"{name}.csv", "text/csv")
            _download("JSON", lambda: downloads.as_json(numbers), f"{name}.json", "application/json")
            _download("SVG", lambda: figures.draw(specification(chart, title), "svg"), f"{name}.svg", "image/svg+xml")
            _download("PNG", lambda: figures.draw(specification(chart, title), "png"), f"{name}.png", "image/png")


def show_targets(board: Board, selection: Selection) -> None:
    """Every attack on every target of the split, as a heat map with its numbers."""
    frame = tables.by_target(board, selection)
    if frame.empty:
        st.info("No record passes these filters on a single target.")
        return
    text = (
        f"AUC of {frame['attack'].nunique()} attacks (rows) on {frame['target'].nunique()} targets (columns), "
        "each with the labels of the target's own corpus."
    )
    numbers = tables.across_targets(board, selection)
    show_chart(charts.heat(frame, "target"), "AUC by attack and target", text, numbers, "targets")
    st.caption(
        "Each cell uses the labels of the target's own corpus. 0.5 is guessing, which is what a control should show. "
        "Where a cell is empty, no record of that attack on that target passes the filters."
    )


def specification(chart: Any, title: str) -> dict[str, Any]:
    """The chart as Vega-Lite, for a picture."""
    with alt.data_transformers.disable_max_rows():
        spec: dict[str, Any] = chart.to_dict(validate=False)
    return downloads.for_print({**spec, "title": title})


def _download(label: str, make: Callable[[], str | bytes], name: str, mime: str) -> None:
    st.download_button(label, make, name, mime, key=f"get-{name}", on_click="ignore", help=f"Save {name}")


def download_rows(board: Board, rows: pd.DataFrame, selection: Selection, what: str) -> None:
    """Rows of the board to take away: as data, as a table for a paper, and as what to cite.

    Args:
        board: that they belong to.
        rows: of `Board.rows`.
        selection: in which they were seen.
        what: tells their files from those of the whole board, e.g. `-tuni`; empty for the board itself.
    """
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", f"idbench-{selection.split}-v{selection.version}-{selection.target}{what}")
    caption = (
        f"Identity inference on {selection.split} v{selection.version}, target {selection.target}, "
        f"corpus {selection.corpus}."
    )
    papers = tables.papers(board, rows)
    with st.container(horizontal=True):
        _download("CSV", lambda: downloads.csv(rows), f"{name}.csv", "text/csv")
        _download("JSON", lambda: downloads.as_json(rows), f"{name}.json", "application/json")
        _download("LaTeX", lambda: downloads.latex(rows, caption), f"{name}.tex", "text/x-tex")
        _download("BibTeX", lambda: downloads.bibtex(caption, board.manifest, papers), f"{name}.bib", "text/x-bibtex")


def nothing(what: str, fill: str, command: str) -> None:
    """Say that there is nothing to show yet, what would fill the place, and the command that does it."""
    st.info(markdown(f"{what} {fill}"))
    show_command(command)


def show_command(command: str) -> None:
    """A command to copy; control characters in the names that it quotes are shown."""
    # Without a language: the colours of a highlighted shell are too pale to read.
    st.code(terminal(command), language=None, wrap_lines=True)


def show_facts(facts: Mapping[str, str]) -> None:
    """Names and values, as a plain table that wraps long values."""
    values = [markdown_code(value) if _is_hash(value) else markdown(value) for value in facts.values()]
    shown = pd.DataFrame({"Value": values}, index=[markdown(name) for name in facts])
    st.table(shown, hide_header=True, alt="Facts")


def _is_hash(value: str) -> bool:
    return len(value) == 64 and set(value) <= set("0123456789abcdef")
