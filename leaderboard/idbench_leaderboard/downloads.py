"""What readers take away: CSV, JSON, LaTeX, BibTeX, and pictures of the charts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Final, Literal

import pandas as pd

from idbench.errors import DataError
from idbench_leaderboard import words

PICTURE_WIDTH: Final = 720
_ESCAPES: Final = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\u00a0": "~",
    }
)


def csv(frame: pd.DataFrame) -> str:
    """Comma-separated values with a header line."""
    return frame.to_csv(index=False)


def as_json(frame: pd.DataFrame) -> str:
    """A list of objects; what is missing is null."""
    return json.dumps(json.loads(frame.to_json(orient="records")), indent=2, ensure_ascii=False) + "\n"


def latex(rows: pd.DataFrame, caption: str) -> str:
    r"""The board as a `booktabs` table, ready for `\input`."""
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "  \\centering",
        f"  \\caption{{{escaped(caption)}}}",
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
    return " & ".join([ranked, *(escaped(str(cell)).replace("–", "--") for cell in cells), over])


def escaped(text: str) -> str:
    """Text with LaTeX's special characters made harmless."""
    return text.translate(_ESCAPES)


def bibtex(title: str, manifest: dict[str, Any], papers: Sequence[tuple[str, str, str]]) -> str:
    """An entry for the board, pinned by the hash of its inputs, and one for each method's paper.

    Args:
        title: what the board shows.
        manifest: of the built board.
        papers: (method, reference, address) of each method that has a paper.
    """
    board = [
        "@misc{idbench-board,",
        "  author = {{The idbench authors}},",
        f"  title = {{{escaped(title)}}},",
        f"  note = {{idbench {manifest['idbench']}, board {manifest['inputs_sha256'][:16]}}},",
        "}",
    ]
    entries = ["\n".join(board)]
    for method, reference, address in papers:
        lines = [f"@misc{{{method},", f"  note = {{{escaped(reference)}}},"]
        lines += [f"  howpublished = {{\\url{{{address}}}}},"] if address else []
        entries.append("\n".join([*lines, "}"]))
    return "\n\n".join(entries) + "\n"


def picture(spec: dict[str, Any], kind: Literal["png", "svg"]) -> bytes:
    """A chart as a picture, drawn on white.

    A process of its own draws it: the drawing engine holds more memory than the whole app, and gives none back.

    Raises:
        DataError: the chart cannot be drawn.
    """
    command = [sys.executable, "-m", "idbench_leaderboard.draw", kind]
    done = subprocess.run(command, input=json.dumps(spec).encode(), capture_output=True, check=False)  # noqa: S603
    if done.returncode or not done.stdout:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no picture came back"]
        raise DataError(f"The chart cannot be drawn: {last[0]}.", hint="Use the other format, or the numbers as CSV.")
    return done.stdout


def for_print(spec: dict[str, Any]) -> dict[str, Any]:
    """A chart's specification with a fixed width and a white ground, for pictures."""
    return {**spec, "width": PICTURE_WIDTH, "background": "white", "padding": 12}
