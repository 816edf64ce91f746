"""The static export: one page per board, a glossary, and the data, in a folder that opens without a server."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pandas as pd
import vl_convert

from idbench.api import Progress
from idbench.outputs import made_folder
from idbench_leaderboard import charts, downloads, glossary, tables, words
from idbench_leaderboard.board import ALL, NONE, Board, View

_LEFT: Final = {"Method", "Track", "Checked", "Places"}
_FORMATS: Final[Mapping[str, str]] = {
    "AUC": "{:.3f}",
    "TPR at 10 % FPR": "{:.1f} %",
    "TPR at 1 % FPR": "{:.1f} %",
    "TPR at 0.1 % FPR": "{:.1f} %",
    "Over blind": "{:+.3f}",
    "On control": "{:.3f}",
    "Queries": "{:,.0f}",
    "Seconds": "{:,.1f}",
    "Steps": "{:,.0f}",
    "Training s": "{:,.1f}",
}


@dataclass(frozen=True, slots=True)
class Page:
    """One page to write: where, what it shows, and its name in the list of boards."""

    file: str
    view: View
    name: str


def export(board: Board, out: Path, progress: Progress, *, force: bool = False) -> int:
    """Write the site; the number of pages.

    Raises:
        StorageError: the folder cannot be written, or holds what is not a site; an older site is left as it was.
    """
    pages = pages_of(board)
    with made_folder(out, "site", [board.path], force=force) as folder:
        _assets(folder)
        for page in progress.track(pages, "writing pages"):
            _write_data(folder, board, page)
            (folder / page.file).write_text(_board_page(board, page, pages), encoding="utf-8")
        if not pages:
            (folder / "index.html").write_text(_empty_page(), encoding="utf-8")
        (folder / "glossary.html").write_text(_glossary_page(), encoding="utf-8")
    return max(1, len(pages)) + 1


def pages_of(board: Board) -> list[Page]:
    """Every board, the default one as `index.html`."""
    default = board.default_view()
    pages: list[Page] = []
    for split in board.splits():
        for version in board.versions(split):
            for target in board.targets(split, version):
                for corpus in board.corpora(split, version, target):
                    for defense in board.defenses(split, version, target):
                        view = View(split, version, target, corpus, defense="" if defense == NONE else defense)
                        pages += _pages(board, view, default)
    if pages and all(page.file != "index.html" for page in pages):
        pages[0] = replace(pages[0], file="index.html")
    return pages


def _pages(board: Board, view: View, default: View | None) -> Iterable[Page]:
    """The page of a view: of the usual settings, or of all of them where nothing was run with the usual ones."""
    name = f"{view.split} v{view.version}, target {view.target}"
    name += "" if view.corpus == view.target else f", corpus {view.corpus}"
    name += f", defense {view.defense}" if view.defense else ""
    for shown, told in ((view, name), (replace(view, settings=ALL), f"{name}, every parameter setting")):
        if len(board.select(shown)):
            yield Page("index.html" if view == default else f"{_slug(view)}.html", shown, told)
            return


def _assets(folder: Path) -> None:
    assets = folder / "assets"
    assets.mkdir()
    source = files("idbench_leaderboard").joinpath("assets")
    for name in ("site.css", "site.js"):
        (assets / name).write_text(source.joinpath(name).read_text(encoding="utf-8"), encoding="utf-8")
    # Browsers load no modules from disk: the bundle becomes a plain script.
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    (assets / "vega.js").write_text(f"(() => {{\n{bundle}\n}})();\n", encoding="utf-8")


def _slug(view: View) -> str:
    words_ = f"{view.split}-v{view.version}-{view.target}-{view.corpus}" + (f"-{view.defense}" if view.defense else "")
    return re.sub(r"[^a-z0-9]+", "-", words_.lower()).strip("-")


def _write_data(folder: Path, board: Board, page: Page) -> None:
    data = folder / "data"
    data.mkdir(exist_ok=True)
    rows = board.rows(page.view)
    caption = f"Identity inference on {page.name}."
    (data / f"{_slug(page.view)}.csv").write_text(downloads.csv(rows), encoding="utf-8")
    (data / f"{_slug(page.view)}.json").write_text(downloads.as_json(rows), encoding="utf-8")
    (data / f"{_slug(page.view)}.tex").write_text(downloads.latex(rows, caption), encoding="utf-8")
    bib = downloads.bibtex(caption, board.manifest, tables.papers(board, rows))
    (data / f"{_slug(page.view)}.bib").write_text(bib, encoding="utf-8")


def _board_page(board: Board, page: Page, pages: list[Page]) -> str:
    rows, view = board.rows(page.view), page.view
    _, verdict = words.control_verdict(board.controls(view))
    parts = [
        f"<h1>{_escape(words.QUESTION)}</h1>",
        _choice(page, pages),
        f"<p>{_bold(words.opening(rows, view))}</p>",
        f"<p>{_bold(words.finding(rows))} {_escape(verdict)}</p>",
        "<h2 id='how-well'>How well, and how surely</h2>",
        *_statistics(rows),
        "<h2 id='the-board'>The board</h2>",
        _filters(rows),
        _table(rows),
        _downloads(page),
        _columns(),
        *_details(board, rows, view),
        _traces(board),
    ]
    return _document(page.name, "\n".join(parts))


def _choice(page: Page, pages: list[Page]) -> str:
    options = "".join(
        f"<option value='{_escape(other.file)}'{' selected' if other is page else ''}>{_escape(other.name)}</option>"
        for other in pages
    )
    return f"<p><label>Board: <select id='boards'>{options}</select></label></p>"


def _statistics(rows: pd.DataFrame) -> Iterable[str]:
    for name, title in words.STATISTICS.items():
        if rows[name].isna().all():
            reasons = rows[f"{name}_reason"].dropna()
            reason = reasons.iloc[0] if len(reasons) else "no value in the records"
            yield f"<p><b>{_escape(title)}</b> is not estimable here: {_escape(reason)}</p>"
            continue
        best = words.top(rows, name)
        text = f"{title} of {len(rows)} methods with 95 % intervals. Best: {best['label']} with {best[name]:.3f}."
        chart = _chart(charts.whiskers(rows, name), f"{title} by method", text)
        yield f"<details{' open' if name == 'auc' else ''}><summary>{_escape(title)}</summary>{chart}</details>"
    yield "<p class='note'>Whiskers are 95 % intervals. The dashed line is guessing.</p>"


def _details(board: Board, rows: pd.DataFrame, view: View) -> Iterable[str]:
    top = rows.head(8)
    curves = {str(row["label"]): curve for _, row in top.iterrows() if (curve := board.curve(row["entry"]))}
    if curves:
        yield "<h2 id='roc'>Found members against wrongly accused</h2>"
        frame = charts.roc_frame(curves, int(rows["n_members"].iloc[0]))
        yield _chart(charts.roc(frame), "ROC curves", "ROC curves on log axes with 95 % bands of " + ", ".join(curves))
        yield "<p class='note'>A click in the legend singles a method out. The bands hold the whole curves.</p>"
    pictures = tables.by_pictures(board, dict(zip(top["entry"], top["label"], strict=True)))
    if not pictures.empty:
        yield "<h2 id='pictures'>By number of training pictures</h2>"
        chart = charts.by_count(pictures, "Training pictures of the person")
        yield _chart(chart, "AUC by training pictures", "AUC by number of training pictures of each person")
        yield _numbers(pictures)
    if len(board.singles(view.split, view.version)) > 1:
        yield "<h2 id='targets'>Target by target</h2>"
        frame = tables.by_target(board, view)
        text = "AUC of each attack (rows) on each target (columns), against the labels of the target's own corpus; "
        text += "where a cell is empty there is no record"
        yield _chart(charts.heat(frame, "target"), "AUC by attack and target", text)
        yield _numbers(frame)
    control = tables.beside_control(rows, view)
    if not control.empty:
        yield "<h2 id='control'>The same attacks on a model that saw none of these people</h2>"
        yield _chart(charts.controls(control), "Target and control", "AUC on the target beside AUC on the control")
        design = words.control_design(board.architectures(view), board.controls(view)["architecture"])
        yield f"<p class='note'>{_escape(design)}</p>" if design else ""
        yield _numbers(control)
    yield "<h2 id='cost'>What it costs</h2>"
    text = "AUC against queries to the model, on a log axis. Cheap and good is top left."
    yield _chart(charts.cost(rows, "queries", "Queries to the model"), "AUC against queries", text)
    yield "<h2 id='methods'>The methods</h2>"
    for _, row in rows.iterrows():
        yield _method(board, row)


def _method(board: Board, row: pd.Series[Any]) -> str:
    info = board.method_info(row)
    told = [f"<p>{_escape(info.summary)}</p>"] if info and info.summary else []
    if info and info.paper:
        link = f" <a href='{_escape(info.url)}'>{_escape(info.url)}</a>" if info.url else ""
        told.append(f"<p><b>Paper:</b> {_escape(info.paper)}{link}</p>")
    facts = "".join(
        f"<tr><th scope='row'>{_escape(k)}</th><td>{_escape(v)}</td></tr>" for k, v in tables.facts(row).items()
    )
    return (
        f"<details id='method-{_escape(row['entry'])}'><summary><b>{_escape(row['label'])}</b>: "
        f"{_escape(info.title if info else row['method_title'])}</summary>{''.join(told)}"
        f"<p>Run it yourself:</p><pre><code>{_escape(row['command'])}</code></pre>"
        f"<div class='scroll'><table class='facts'><tbody>{facts}</tbody></table></div></details>"
    )


def _filters(rows: pd.DataFrame) -> str:
    tracks = [track for track in words.TRACKS if track in set(rows["track"])]
    boxes = "".join(
        f"<label><input type='checkbox' class='track' value='{_escape(t)}' checked> {_escape(t)}</label>"
        for t in tracks
    )
    return (
        f"<fieldset><legend>Show</legend>{boxes}"
        "<label><input type='checkbox' id='verified'> checked records only</label>"
        "<label>Find <input type='search' id='find'></label></fieldset>"
        "<p class='note' id='shown' role='status'></p>"
    )


def _table(rows: pd.DataFrame) -> str:
    shown = tables.board(rows)
    heads = "".join(
        f"<th scope='col' aria-sort='none' title='{_escape(words.COLUMNS.get(name, ''))}'>"
        f"<button type='button'>{_escape(name)}</button></th>"
        for name in shown.columns
    )
    body = "".join(
        f"<tr data-track='{_escape(row['track'])}' data-verified='{int(row['verified'])}'>"
        + "".join(_cell(name, value, str(row["entry"])) for name, value in cells.items())
        + "</tr>"
        for (_, cells), (_, row) in zip(shown.iterrows(), rows.iterrows(), strict=True)
    )
    return (
        "<div class='scroll' tabindex='0' role='region' aria-label='The board'><table id='board'>"
        "<caption>Best AUC first. A click on a column's name sorts by it.</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(name: object, value: object, entry: str) -> str:
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    key = "" if number is None or words.missing(float(number)) else repr(float(number))
    text = _shown(str(name), value)
    if name == "Method":
        return f"<th scope='row' data-key='{_escape(str(value))}'><a href='#method-{entry}'>{_escape(text)}</a></th>"
    style = "" if name in _LEFT or number is None else " class='number'"
    return f"<td{style} data-key='{_escape(key or (text if number is None else ''))}'>{_escape(text)}</td>"


def _shown(name: str, value: object) -> str:
    if isinstance(value, float) and words.missing(value):
        return "–"
    return _FORMATS[name].format(value) if name in _FORMATS and isinstance(value, (int, float)) else str(value)


def _downloads(page: Page) -> str:
    links = " ".join(
        f"<a class='button' href='data/{_slug(page.view)}.{ending}' download>{name}</a>"
        for name, ending in (("CSV", "csv"), ("JSON", "json"), ("LaTeX", "tex"), ("BibTeX", "bib"))
    )
    return f"<p>{links}</p>"


def _columns() -> str:
    items = "".join(f"<dt>{_escape(name)}</dt><dd>{_escape(text)}</dd>" for name, text in words.COLUMNS.items())
    return f"<details><summary>What the columns mean</summary><dl>{items}</dl></details>"


def _traces(board: Board) -> str:
    manifest = board.manifest
    rejected = "".join(
        f"<tr><td>{_escape(each['where'])}</td><td>{_escape(each['reason'])}</td></tr>" for each in manifest["rejected"]
    )
    table = (
        "<div class='scroll'><table><thead><tr><th scope='col'>Record</th>"
        f"<th scope='col'>Why it does not count</th></tr></thead><tbody>{rejected}</tbody></table></div>"
        if rejected
        else "<p>No record was rejected.</p>"
    )
    records = manifest["records"]
    return (
        f"<h2 id='source'>Where this comes from</h2><p>{records['counted']} of {records['given']} records count. "
        f"Built by idbench {_escape(manifest['idbench'])}; hash of all inputs "
        f"<code>{manifest['inputs_sha256'][:16]}</code>. Every number is computed from scores and labels.</p>{table}"
    )


def _chart(chart: Any, title: str, text: str) -> str:
    spec = json.dumps(chart.to_dict(validate=False)).replace("</", "<\\/")
    return (
        f"<figure aria-label='{_escape(title)}'>"
        f"<div class='chart' role='img' aria-label='{_escape(text)}'></div>"
        f"<script type='application/json'>{spec}</script><figcaption>{_escape(text)}</figcaption></figure>"
    )


def _numbers(frame: pd.DataFrame) -> str:
    """A chart's numbers, for those who cannot see it."""
    heads = "".join(f"<th scope='col'>{_escape(name)}</th>" for name in frame.columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{_escape(f'{v:.3f}' if isinstance(v, float) else v)}</td>" for v in row) + "</tr>"
        for row in frame.itertuples(index=False)
    )
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    return f"<details><summary>The numbers</summary><div class='scroll'>{table}</div></details>"


def _glossary_page() -> str:
    named = "".join(f"<dt>{_escape(word)}</dt><dd>{_escape(text)}</dd>" for word, text in glossary.WORDS.items())
    terms = "".join(
        f"<dt><code>{_escape(term.name)}</code></dt><dd>{_escape(term.meaning)}"
        + (f"<br><small>Source: {_escape(term.source)}</small>" if term.source else "")
        + "</dd>"
        for term in glossary.terms()
    )
    return _document("Glossary", f"<h1>Glossary</h1><h2>Words</h2><dl>{named}</dl><h2>Metrics</h2><dl>{terms}</dl>")


def _empty_page() -> str:
    command = _escape("bench run --method tuni\nbench leaderboard build results --out board")
    return _document(
        "Leaderboard",
        f"<h1>{words.QUESTION}</h1><p>There is no result yet. These fill the page:</p><pre>{command}</pre>",
    )


def _document(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{_escape(title)} – idbench</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="assets/site.css">
</head>
<body>
<a class="skip" href="#main">To the content</a>
<nav aria-label="Pages"><a href="index.html">Board</a> <a href="glossary.html">Glossary</a></nav>
<main id="main">
{body}
</main>
<script src="assets/vega.js"></script>
<script src="assets/site.js"></script>
</body>
</html>
"""


def _escape(text: object) -> str:
    return html.escape(str(text), quote=True)


def _bold(text: str) -> str:
    """Plain text in which `**word**` is bold."""
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", _escape(text))
