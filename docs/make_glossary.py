"""Writes docs/glossary.md from the docstrings of `idbench.metrics`: the code is the only place where they are kept.

python docs/make_glossary.py            write the page
python docs/make_glossary.py --check    say whether the page is up to date, and exit with 1 if it is not
"""

import argparse
import inspect
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from idbench import metrics

PAGE = Path(__file__).with_name("glossary.md")
SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Source", "Example")
INTRODUCTION = """\
# Glossary of the metrics

What every number of idbench means, from the docstrings of `idbench.metrics` (written by `docs/make_glossary.py`;
edit the docstrings, not this page). All of it needs numpy and scipy only: `from idbench import metrics`.

Scores are higher for likelier members. Inputs are checked: wrong ones raise `MetricError` with one sentence. What the
data cannot resolve is `NotEstimable`, never 0 or NaN. How far the intervals and tests can be trusted is measured in
[coverage.md](coverage.md).
"""


def page() -> str:
    """The whole page."""
    groups: dict[str, list[str]] = {}
    for name in metrics.__all__:
        found = getattr(metrics, name)
        if callable(found):
            groups.setdefault(found.__module__, []).append(name)
    parts = [INTRODUCTION, contents(groups)]
    for module_name in sorted(groups):
        module = sys.modules[module_name]
        parts.append(f"## {heading(module)}\n")
        parts += [entry(name, getattr(metrics, name)) for name in sorted(groups[module_name], key=str.lower)]
    return "\n".join(parts).rstrip() + "\n"


def heading(module: ModuleType) -> str:
    """A module's first line, without the full stop."""
    return (module.__doc__ or module.__name__).split("\n", 1)[0].rstrip(".")


def contents(groups: dict[str, list[str]]) -> str:
    """All entries by name, with one line each."""
    rows = ["| | |", "| --- | --- |"]
    for name in sorted((name for names in groups.values() for name in names), key=str.lower):
        summary = inspect.cleandoc(getattr(metrics, name).__doc__ or "").split("\n\n", 1)[0].replace("\n", " ")
        anchor = title_of(name).lower().replace(" ", "-").replace("(", "").replace(")", "")
        rows.append(f"| [{name}](#{anchor}) | {escaped(summary)} |")
    return "\n".join(rows) + "\n"


def title_of(name: str) -> str:
    """The heading of an entry; classes say so, as `Bootstrap` and `bootstrap` would share an anchor."""
    return f"{name} (class)" if isinstance(getattr(metrics, name), type) else name


def entry(name: str, found: object) -> str:
    """One function or class."""
    text, sections = split(inspect.cleandoc(found.__doc__ or ""))
    lines = [f"### {title_of(name)}", "", f"`{signature(name, found)}`", "", escaped(text), ""]
    for title in SECTIONS:
        body = sections.get(title)
        if not body:
            continue
        if title in ("Args", "Attributes"):
            lines += [f"- `{key}`: {escaped(value)}" for key, value in fields(body)] + [""]
        elif title == "Example":
            lines += ["```python", inspect.cleandoc(body), "```", ""]
        else:
            lines += [f"*{title}:* {escaped(joined(body))}", ""]
    return "\n".join(lines)


def split(text: str) -> tuple[str, dict[str, str]]:
    """The text before the first section, and the sections by title."""
    pieces = re.split(rf"^({'|'.join(SECTIONS)}):[ \t]*", text, flags=re.MULTILINE)
    return pieces[0].strip(), {title: body.strip("\n") for title, body in zip(pieces[1::2], pieces[2::2], strict=True)}


def fields(body: str) -> list[tuple[str, str]]:
    """`name: text` entries of a section, continuation lines joined."""
    pieces = re.split(r"^(\w+): ", inspect.cleandoc(body), flags=re.MULTILINE)
    return [(key, joined(value)) for key, value in zip(pieces[1::2], pieces[2::2], strict=True)]


def joined(text: str) -> str:
    """Lines of one paragraph as one line."""
    return " ".join(text.split())


def escaped(text: str) -> str:
    """Text with the marks that Markdown would read as markup; code in backquotes is left alone."""
    pieces = text.split("`")
    pieces[::2] = [re.sub(r"([*_|<>])", r"\\\1", piece) for piece in pieces[::2]]
    return "`".join(pieces)


def signature(name: str, found: object) -> str:
    """Names and defaults of the parameters; a class shows its fields below instead."""
    if isinstance(found, type) or not callable(found):
        return f"class {name}"
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in inspect.signature(found).parameters.values()]
    return f"{name}{inspect.Signature(plain)}"


def main(arguments: Sequence[str]) -> int:
    """Write or check the page; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    if not parser.parse_args(arguments).check:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    sys.stderr.write(f"{PAGE.name} is not up to date; run: python docs/make_glossary.py\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
