"""Turns what a page shows into HTML: templates that escape every value, and data cards that load and run nothing."""

from __future__ import annotations

from functools import cache
from importlib.metadata import metadata
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from idbench.escaping import terminal, web_address
from idbench_leaderboard import words


def render(template: str, **values: Any) -> bytes:
    """A page, UTF-8.

    Args:
        template: a file of `templates/`.
        values: what it shows; only `Markup` is taken for HTML.
    """
    page = _engine().get_template(template).render(words=words, code=code_address(), **values)
    return page.encode("utf-8", errors="replace")


@cache
def _engine() -> Environment:
    return Environment(
        loader=PackageLoader("idbench_leaderboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )


def _shown(value: Any) -> Any:
    """Control characters are shown: a direction override would reverse the text next to a name."""
    return terminal(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def code_address() -> str | None:
    """Where the source code of idbench is, if the installed package says so."""
    for entry in metadata("idbench").get_all("Project-URL") or ():
        label, _, address = entry.partition(", ")
        if label.casefold() in ("source", "repository", "code", "homepage"):
            return web_address(address)
    return None


def card_html(card: str) -> Markup:
    """A data card as HTML: no tag of its own, no picture, and no link but to the web.

    Args:
        card: Markdown, with or without a block of YAML before it.
    """
    text = card.split("---\n", 2)[2] if card.startswith("---\n") and card.count("---\n") > 1 else card
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(text)
    for token in tokens:
        if token.children:
            token.children = _harmless(token.children)
        if token.type in ("heading_open", "heading_close"):  # below the heading that the page has for the card
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
    return Markup(reader.renderer.render(tokens, reader.options, {}))  # noqa: S704  markdown-it escapes every text


def _harmless(tokens: list[Token]) -> list[Token]:
    kept, open_links = [], []
    for token in tokens:
        if token.type == "image":
            kept.append(Token("text", "", 0, content=token.content))
        elif token.type == "link_open":
            address = web_address(str(token.attrGet("href") or ""))
            open_links.append(address is not None)
            if address is not None:
                token.attrs = {"href": address}
                kept.append(token)
        elif token.type != "link_close" or open_links.pop():
            kept.append(token)
    return kept
