"""What readers take away: CSV, JSON, LaTeX, BibTeX, and charts made ready for print."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import pandas as pd

from idbench import escaping
from idbench_leaderboard import words
from idbench_leaderboard.inputs import MethodInfo

PICTURE_WIDTH: Final = 720


def csv(frame: pd.DataFrame) -> str:
    """Comma-separated values with a header line; no text is a formula to a spreadsheet."""
    texts = frame.select_dtypes(["object", "string"]).columns
    safe = frame.assign(**{str(name): frame[name].map(_cell) for name in texts})
    return safe.rename(columns=escaping.csv_cell).to_csv(index=False)


def _cell(value: object) -> object:
    return escaping.csv_cell(value) if isinstance(value, str) else value


def as_json(frame: pd.DataFrame) -> str:
    """A list of objects; what is missing is null."""
    return json.dumps(json.loads(frame.to_json(orient="records")), indent=2, ensure_ascii=False) + "\n"


def latex(rows: pd.DataFrame, caption: str) -> str:
    r"""The board as a `booktabs` table, ready for `\input`."""
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "  \\centering",
        f"  \\caption{{{escaping.latex(caption)}}}",
        "  \\begin{tabular}{rlllll}",
        "    \\toprule",
        "    Rank & Method & Track & AUC [95\\,\\%] & TPR at 1\\,\\% FPR & Over blind \\\\",
        "    \\midrule",
    ]
    lines += [f"    {_latex_row(row)} \\\\" for _, row in rows.iterrows()]
    lines += ["    \\bottomrule", "  \\end{tabular}", "\\end{table}"]
    return "\n".join(lines) + "\n"


def _latex_row(row: pd.Series[Any]) -> str:
    ranked = words.rank(row).replace("–", "--")
    found = (
        "n.e." if words.missing(row["tpr_1"]) else words.percent_span(row["tpr_1"], row["tpr_1_low"], row["tpr_1_high"])
    )
    over = words.signed(row["blind_difference"]).replace("−", "-")
    cells = [row["label"], row["track"], words.span(row["auc"], row["auc_low"], row["auc_high"]), found]
    over = "--" if over == "–" else f"${over}$"
    return " & ".join([ranked, *(escaping.latex(cell).replace("–", "--") for cell in cells), over])


def bibtex(title: str, manifest: dict[str, Any], methods: Sequence[MethodInfo]) -> str:
    """An entry for the board, pinned by the hash of its inputs, and one for each method that has a paper.

    Args:
        title: what the board shows.
        manifest: of the built board.
        methods: their cards.
    """
    version, board = escaping.latex(manifest["idbench"]), escaping.latex(manifest["inputs_sha256"][:16])
    entries = [
        _entry(
            "idbench-board",
            {
                "author": "{The idbench authors}",
                "title": escaping.latex(title),
                "note": f"idbench {version}, board {board}",
            },
        )
    ]
    entries += [method_entry(method) for method in methods]
    return "\n\n".join(entries) + "\n"


class Cited(Protocol):
    """What a method's card says of its source."""

    @property
    def name(self) -> str: ...
    @property
    def authors(self) -> str: ...
    @property
    def year(self) -> int | None: ...
    @property
    def paper(self) -> str | None: ...
    @property
    def url(self) -> str | None: ...


def method_entry(method: Cited) -> str:
    """The BibTeX entry of a method's source."""
    address = escaping.web_address(method.url)
    fields = {
        "author": f"{{{escaping.latex(method.authors)}}}" if method.authors else "",
        "year": str(method.year or ""),
        "note": escaping.latex(method.paper or ""),
        "howpublished": f"\\url{{{address}}}" if address else "",
    }
    return _entry(escaping.bibtex_key(method.name), fields)


def _entry(key: str, fields: Mapping[str, str]) -> str:
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@misc{{{key},", *lines, "}"])


def for_print(spec: dict[str, Any]) -> dict[str, Any]:
    """A chart's specification with a fixed width and a white ground, for pictures."""
    return {**spec, "width": PICTURE_WIDTH, "background": "white", "padding": 12}
