"""The static export: a page per board, the splits, a glossary and the data, in a folder that opens without a server."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pandas as pd
import vl_convert

from idbench.api import Progress
from idbench.escaping import Prose, web_address
from idbench.outputs import made_folder
from idbench.results.attestation import Level
from idbench_leaderboard import changes, charts, defenses, downloads, glossary, tables, words
from idbench_leaderboard.board import ALL, NONE, Board, Selection
from idbench_leaderboard.pages import card_html, render

_TEXT: Final = {"Track", "Checked", "Rank interval", "Date", "Authors", "p, Holm"}
_FORMATS: Final[Mapping[str, str]] = {
    "Over blind": "{:+.3f}",
    "Queries": "{:,.0f}",
    "Seconds": "{:,.1f}",
    "Steps": "{:,.0f}",
    "Training s": "{:,.1f}",
}
_NUMBERS: Final[Mapping[str, str]] = {f"{title} [95 % CI]": name for name, title in words.STATISTICS.items()} | {
    "AUC on control [95 % CI]": "control_auc"
}
"""Columns of text that are sorted by a number of the board."""
_LONGEST: Final = 80
"""Characters of a file's name that are taken from names of splits and targets."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page to write: its file, the name of its data files, what it shows, and its name in the list of boards."""

    file: str
    data: str
    selection: Selection
    name: str


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table of texts."""

    name: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart, what it shows in words, and its numbers for those who cannot see it."""

    title: str
    text: str
    spec: dict[str, Any]
    notes: tuple[Prose, ...] = ()
    numbers: TextTable | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A figure below a heading."""

    anchor: str
    title: str
    figure: Figure


@dataclass(frozen=True, slots=True)
class Statistic:
    """A statistic of every method: its figure, or the reason why there is none."""

    title: str
    figure: Figure | None
    reason: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the board: `first` if it is shown unasked, `fixed` if it always is."""

    name: str
    meaning: str
    first: bool
    fixed: bool


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the board: its text, what it is sorted by, and where it links to."""

    text: str
    key: str
    number: bool
    first: bool
    link: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the board."""

    track: str
    checked: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class MethodPage:
    """What a page shows of a method."""

    anchor: str
    label: str
    title: str
    summary: str
    paper: str
    address: str | None
    command: str
    facts: tuple[tuple[str, str], ...]


def export(board: Board, out: Path, progress: Progress, *, force: bool = False) -> int:
    """Write the site; the number of pages.

    Raises:
        StorageError: the folder cannot be written, or holds what is not a site; an older site is left as it was.
        DataError: the board shows people who were taken out since it was built.
    """
    board.check_retractions()
    pages = pages_of(board)
    with made_folder(out, "site", [board.path], force=force) as folder:
        _assets(folder)
        for page in progress.track(pages, "writing pages"):
            _write_data(folder, board, page)
            (folder / page.file).write_bytes(_board_page(board, page, pages))
        if not pages:
            commands = "bench run --method tuni\nbench leaderboard build results --out board"
            (folder / "index.html").write_bytes(render("empty.html", title="Leaderboard", commands=commands))
        (folder / "splits.html").write_bytes(render("splits.html", title="Splits", splits=list(_splits(board))))
        found = list(_defended(board))
        about = {"opening": defenses.OPENING, "reading": defenses.READING}
        (folder / "defenses.html").write_bytes(render("defenses.html", title="Defenses", sections=found, **about))
        (folder / "changes.html").write_bytes(_changes_page(board))
        terms = render("glossary.html", title="Glossary", named=glossary.WORDS, terms=glossary.terms())
        (folder / "glossary.html").write_bytes(terms)
    return max(1, len(pages)) + 4


def _changes_page(board: Board) -> bytes:
    found = board.changes()
    return render(
        "changes.html",
        title="Changes",
        opening=changes.OPENING,
        first=changes.FIRST,
        summary=None if found is None else changes.summary(found, board.manifest["records"]["counted"]),
        rows=None if found is None else _grid("Rows that are new, changed or removed", changes.table(found)),
        shared=() if found is None else changes.shared(found),
    )


def pages_of(board: Board) -> list[Page]:
    """Every board, the default one as `index.html`."""
    default = board.default_selection()
    pages: list[Page] = []
    for split in board.splits():
        for version in board.versions(split):
            for target in board.targets(split, version):
                for corpus in board.corpora(split, version, target):
                    for defense in board.defenses(split, version, target):
                        selection = Selection(
                            split, version, target, corpus, defense="" if defense == NONE else defense
                        )
                        pages += _pages(board, selection, default)
    if pages and all(page.file != "index.html" for page in pages):
        pages[0] = replace(pages[0], file="index.html")
    return pages


def _pages(board: Board, selection: Selection, default: Selection | None) -> Iterable[Page]:
    """The page of a selection: of the usual settings, or of all of them where nothing was run with the usual ones."""
    name = f"{selection.split} v{selection.version}, target {selection.target}"
    name += "" if selection.corpus == selection.target else f", corpus {selection.corpus}"
    name += f", defense {selection.defense}" if selection.defense else ""
    for shown, title in ((selection, name), (replace(selection, settings=ALL), f"{name}, every parameter setting")):
        if len(board.select(shown)):
            slug = _slug(selection)
            yield Page("index.html" if selection == default else f"{slug}.html", slug, shown, title)
            return


def _slug(selection: Selection) -> str:
    """A file name for a selection; names that do not fit whole are made distinct by a hash."""
    parts = [
        selection.split,
        f"v{selection.version}",
        selection.target,
        selection.corpus,
        *([selection.defense] if selection.defense else []),
    ]
    whole = "-".join(parts)
    slug = re.sub(r"[^a-z0-9]+", "-", whole.lower()).strip("-")[:_LONGEST]
    plain = re.fullmatch(r"[a-z0-9. -]*", whole) and len(slug) < _LONGEST
    return slug if plain else f"{slug}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:8]}".strip("-")


def _assets(folder: Path) -> None:
    assets = folder / "assets"
    assets.mkdir()
    source = files("idbench_leaderboard").joinpath("assets")
    for name in ("site.css", "site.js"):
        (assets / name).write_text(source.joinpath(name).read_text(encoding="utf-8"), encoding="utf-8")
    # Browsers load no modules from disk: the bundle becomes a plain script.
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    (assets / "vega.js").write_text(f"(() => {{\n{bundle}\n}})();\n", encoding="utf-8")


def _write_data(folder: Path, board: Board, page: Page) -> None:
    data = folder / "data"
    data.mkdir(exist_ok=True)
    rows = board.rows(page.selection)
    caption = f"Identity inference on {page.name}."
    written = {
        "csv": downloads.csv(rows),
        "json": downloads.as_json(rows),
        "tex": downloads.latex(rows, caption),
        "bib": downloads.bibtex(caption, board.manifest, tables.papers(board, rows)),
    }
    for ending, text in written.items():
        (data / f"{page.data}.{ending}").write_bytes(text.encode("utf-8", errors="replace"))


def _board_page(board: Board, page: Page, pages: list[Page]) -> bytes:
    rows, selection = board.rows(page.selection), page.selection
    _, verdict = words.control_verdict(board.controls(selection))
    shown = tables.board(rows, tables.authors_of(board, rows))
    columns = _columns(shown)
    rejected = [(each["where"], each["reason"]) for each in board.manifest["rejected"]]
    return render(
        "board.html",
        title=page.name,
        page=page,
        pages=pages,
        opening=words.opening(rows, selection),
        missing=words.not_pooled(board.not_pooled(selection), int(rows["pooled"].max())),
        finding=words.finding(rows),
        verdict=verdict,
        tracks=[track for track in words.TRACKS if track in set(rows["track"])],
        columns=columns,
        rows=list(_rows(rows, shown, columns)),
        statistics=list(_statistics(rows)),
        sections=list(_sections(board, rows, selection)),
        methods=[_method(board, row) for _, row in rows.iterrows()],
        manifest=board.manifest,
        rejected=TextTable("Records that do not count", ("Record", "Why it does not count"), tuple(rejected)),
    )


def _columns(shown: pd.DataFrame) -> list[Column]:
    fixed = ("Rank", "Method")
    return [
        Column(str(name), words.COLUMNS.get(str(name), ""), str(name) in words.FIRST_COLUMNS, str(name) in fixed)
        for name in shown.columns
    ]


def _rows(rows: pd.DataFrame, shown: pd.DataFrame, columns: list[Column]) -> Iterator[Row]:
    for (_, row), (_, cells) in zip(rows.iterrows(), shown.iterrows(), strict=True):
        made = tuple(_cell(column, cells[column.name], row) for column in columns)
        yield Row(str(row["track"]), Level(row["verification"]).rank, made)


def _cell(column: Column, value: object, row: pd.Series[Any]) -> Cell:
    if column.name == "Method":
        return Cell(str(value), str(value), number=False, first=True, link=_anchor(row))
    measured = row[_NUMBERS[column.name]] if column.name in _NUMBERS else value
    number = float(measured) if isinstance(measured, (int, float)) and not isinstance(measured, bool) else None
    missing = number is None or words.missing(number)
    text = _text(column.name, value).strip(" ")
    key = text if column.name in _TEXT else "" if missing else repr(number)
    return Cell(text, key, number=column.name not in _TEXT, first=column.first)


def _anchor(row: pd.Series[Any]) -> str:
    return f"method-{row['entry']}"


def _text(name: str, value: object) -> str:
    if isinstance(value, float) and words.missing(value):
        return "–"
    return _FORMATS[name].format(value) if name in _FORMATS else str(value)


def _statistics(rows: pd.DataFrame) -> Iterator[Statistic]:
    for name, title in words.STATISTICS.items():
        if rows[name].isna().all():
            yield Statistic(title, None, tables.reason(rows, name))
            continue
        best = words.top(rows, name)
        text = (
            f"{title} of {len(rows)} methods with 95 % confidence intervals. Best: {best['label']}, {best[name]:.3f}."
        )
        missed = words.left_out(rows.loc[rows[name].notna(), "label"], rows, tables.reason(rows, name))
        notes = (missed,) if missed else ()
        yield Statistic(title, _figure(charts.whiskers(rows, name), f"{title} by method", text, notes=notes), "")


def _sections(board: Board, rows: pd.DataFrame, selection: Selection) -> Iterator[Section]:
    yield from _curves(board, rows)
    if len(board.singles(selection.split, selection.version)) > 1:
        frame = tables.by_target(board, selection)
        text = "AUC of each attack (rows) on each target (columns), with the labels of the target's own corpus; "
        text += "an empty cell means that there is no record."
        figure = _figure(charts.heat(frame, "target"), "AUC by attack and target", text, frame)
        yield Section("targets", "Target by target", figure)
    control = tables.beside_control(rows, selection)
    if not control.empty:
        design = words.control_design(board.architectures(selection), board.controls(selection)["architecture"])
        missed = words.left_out(control["label"], rows, "they were not run on the control")
        notes: tuple[Prose, ...] = tuple(note for note in ((design,) if design else (), missed) if note)
        text = "AUC on the target next to AUC on a control, which was trained without any of these people."
        figure = _figure(charts.controls(control), "Target and control", text, control, notes)
        yield Section("control", "Target and control", figure)
    text = "AUC against the number of queries to the model, on a log axis. Cheap and accurate is top left."
    figure = _figure(charts.cost(rows, "queries", "Queries to the model"), "AUC against queries", text)
    yield Section("cost", "Cost", figure)


def _curves(board: Board, rows: pd.DataFrame) -> Iterator[Section]:
    top = rows.head(charts.MOST_SERIES)
    curves = {str(row["label"]): curve for _, row in top.iterrows() if (curve := board.curve(row["entry"]))}
    many = f"a chart shows {charts.MOST_SERIES} methods at most"
    if curves:
        frame = charts.roc_frame(curves, int(rows["n_members"].iloc[0]))
        text = f"ROC curves on log axes with simultaneous 95 % bands: {', '.join(curves)}."
        notes: list[Prose] = [("Click the legend to single a method out.",)]
        notes += [missed] if (missed := words.left_out(curves, rows, many)) else []
        yield Section("roc", "ROC curves", _figure(charts.roc(frame), "ROC curves", text, notes=tuple(notes)))
    pictures = tables.by_pictures(board, dict(zip(top["entry"], top["label"], strict=True)))
    if not pictures.empty:
        chart = charts.by_count(pictures, "Training pictures of the person")
        missed = words.left_out(pictures["method"], rows, many)
        text = "AUC by number of training pictures of each person, with 95 % confidence intervals."
        figure = _figure(chart, "AUC by training pictures", text, pictures, (missed,) if missed else ())
        yield Section("pictures", "By number of training pictures", figure)


def _figure(
    chart: Any, title: str, text: str, numbers: pd.DataFrame | None = None, notes: tuple[Prose, ...] = ()
) -> Figure:
    grid = None if numbers is None else _grid(f"Numbers: {title}", numbers)
    return Figure(title, text, chart.to_dict(validate=False), notes, grid)


def _grid(name: str, frame: pd.DataFrame) -> TextTable:
    rows = tuple(
        tuple(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row)
        for row in frame.itertuples(index=False)
    )
    return TextTable(name, tuple(map(str, frame.columns)), rows)


def _method(board: Board, row: pd.Series[Any]) -> MethodPage:
    info = board.method_info(row)
    return MethodPage(
        anchor=_anchor(row),
        label=str(row["label"]),
        title=info.title if info else str(row["method_title"]),
        summary=info.summary if info else "",
        paper=(info.paper or "") if info else "",
        address=web_address(info.url) if info else None,
        command=str(row["command"]),
        facts=tuple(tables.facts(row).items()),
    )


@dataclass(frozen=True, slots=True)
class DefendedTarget:
    """What the page of defenses shows of one target."""

    anchor: str
    title: str
    worst: TextTable
    figures: tuple[Figure, ...]


def _defended(board: Board) -> Iterator[DefendedTarget]:
    for number, table in enumerate(board.defense_tables()):
        title = f"{table.split} v{table.split_version}, target {table.target}"
        frame, points = defenses.heat_frame(table), defenses.privacy_frame(table)
        text = "AUC of each attack (rows) among the people protected by each defense (columns)."
        empty: tuple[Prose, ...] = ((defenses.EMPTY_CELLS,),)
        figures = [_figure(charts.heat(frame, "defense"), "AUC among the protected", text, frame, empty)]
        if len(points):
            text = "AUC of the strongest attack against recognition after the defense: best is at the bottom right."
            missed = defenses.not_in_chart(table)
            notes = (missed,) if missed else ()
            figures.append(_figure(charts.privacy(points), "Privacy against utility", text, points, notes))
        worst = _grid(f"The strongest attack on each defense of {table.target}", defenses.shown(table))
        yield DefendedTarget(f"defended-{number}", title, worst, tuple(figures))


def _splits(board: Board) -> Iterator[dict[str, Any]]:
    for name in board.splits():
        for version in board.versions(name):
            card = board.split_card(name, version)
            yield {
                "anchor": f"split-{hashlib.sha256(f'{name} {version}'.encode()).hexdigest()[:8]}",
                "title": card.title if card else f"{name}, version {version}",
                "description": card.description if card else "",
                "facts": tuple(tables.split_facts(board, name, version).items()),
                "samples": [
                    {"source": f"data:image/png;base64,{base64.b64encode(each.data).decode()}", "caption": each.caption}
                    for each in (card.samples if card else ())
                ],
                "card": card_html(card.card) if card and card.card else None,
            }
