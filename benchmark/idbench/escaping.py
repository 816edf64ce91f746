"""Makes text that others wrote harmless where it leaves the program: one function for each kind of output.

Names, titles, reasons and references come from records, cards and captions, which anybody may have written. They are
text everywhere: each border escapes once, with the function below that is named after it. HTML is not here, for the
page templates escape by themselves.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import quote, urlsplit

_JOINER: Final = "\u2060"
"""WORD JOINER: has no width, and keeps what stands on its two sides from being read as one."""

# Direction overrides make a text read differently from how it is written; separators end a line in some programs.
_CONTROLS: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_PUNCTUATION: Final = re.compile(f"([{re.escape(string.punctuation)}])")
# Renderers turn these into links, icons or other signs, though each of their characters is escaped.
_REWRITTEN: Final = re.compile(r":(?=\S)|(?<=\w)(?=@)|www(?=\.)|[-<>~=](?=[->=])", re.IGNORECASE)
# What spreadsheets calculate: behind blanks, invisible signs and quotes at the start of a cell, and behind what ends a
# cell where numbers have a decimal comma. The last signs are those of full width.
_UNSEEN: Final = r'[\s"\xad\u200b-\u200f\u2060\ufeff]'
_FORMULA: Final = re.compile(rf"{_UNSEEN}*[=@+\-\uff1d\uff20\uff0b\uff0d]|[\t\r\n]")
_LATER_FORMULA: Final = re.compile(
    rf"(?<=[;\t\r\n])(?={_UNSEEN}{{0,20}}(?:[=@\uff1d\uff20]|[+\-\uff0b\uff0d](?![.\d]+(?:[;,\s]|$))))"
)
_LATEX: Final = str.maketrans(
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
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
        "\u00a0": "~",
    }
)


@dataclass(frozen=True, slots=True)
class Strong:
    """A piece of a sentence that is set in bold."""

    text: str


Prose: TypeAlias = Sequence[str | Strong]
"""A sentence in pieces, none of which is markup: each border escapes and joins them."""


def terminal(text: str) -> str:
    r"""Text for a terminal: control characters are shown (`\x1b`) instead of obeyed; line breaks and tabs stay."""
    return _CONTROLS.sub(_visible, text.replace("\r\n", "\n"))


def terminal_json(document: str) -> str:
    """A JSON document for a terminal: control characters in its texts, which JSON allows, become escapes of JSON."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found.group()):04x}", document)


def line(text: str) -> str:
    r"""Text on one line, control characters shown: so that what is copied into a shell stays one line."""
    return re.sub("[ \t\n]+", " ", terminal(text)).strip(" ")


def _visible(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def plain(prose: Prose) -> str:
    """A sentence without any markup, e.g. for a description that is read aloud."""
    return "".join(part.text if isinstance(part, Strong) else part for part in prose)


def markdown(text: object) -> str:
    """Text for Markdown: shown as it is, on one line, whatever it contains; never a link, a picture or an icon."""
    shown = _REWRITTEN.sub(lambda found: found.group() + _JOINER, line(str(text)))
    return _PUNCTUATION.sub(r"\\\1", shown)


def markdown_prose(prose: Prose) -> str:
    """A sentence for Markdown."""
    return "".join(_strong(part.text) if isinstance(part, Strong) else _spaced(part) for part in prose)


def _strong(text: str) -> str:
    return f"**{markdown(text)}**" if text.strip() else ""


def _spaced(text: str) -> str:
    """A piece of a sentence with the blanks at its ends, which `line` takes away."""
    start, end = " " * text[:1].isspace(), " " * text[-1:].isspace()
    return f"{start}{markdown(text)}{end}" if text.strip() else start


def markdown_code(text: object) -> str:
    """Text as a code span of Markdown; more backticks around it than are in it."""
    shown = line(str(text))
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    pad = " " if "`" in shown else ""
    return f"{fence}{pad}{shown}{pad}{fence}" if shown else ""


def markdown_link(text: object, address: str | None) -> str:
    """A link of Markdown; the text alone where the address is not one of the web."""
    target = web_address(address)
    return markdown(text) if target is None else f"[{markdown(text)}](<{target}>)"


def web_address(address: str | None) -> str | None:
    """The address if it is an absolute http or https one, with every special character encoded; None otherwise."""
    if not address or _CONTROLS.search(address) or any(character.isspace() for character in address):
        return None
    try:
        parts = urlsplit(address)
        allowed = parts.scheme.lower() in ("http", "https") and bool(parts.hostname)
    except ValueError:  # such as an IPv6 address without its bracket
        return None
    return quote(address, safe="/:?#[]@!$&*+,;=%~-._") if allowed else None


def csv_cell(text: str) -> str:
    """Text for a cell of a spreadsheet: what would be a formula begins with an apostrophe; numbers stay numbers."""
    try:
        float(text)
    except ValueError:
        start = _FORMULA.match(text)
        head = f"'{start.group()}" if start else ""
        return head + _LATER_FORMULA.sub("'", text[start.end() if start else 0 :])
    return text


def latex(text: object) -> str:
    """Text for LaTeX, on one line."""
    return line(str(text)).translate(_LATEX)


def bibtex_key(text: str) -> str:
    """A key of a BibTeX entry: letters, digits and hyphens."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-") or "entry"
