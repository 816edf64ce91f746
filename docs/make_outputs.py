"""Writes the output of commands into README.md and docs, as it really prints: `python docs/make_outputs.py [FILE ...]`.

A block of output stands under a comment that holds its command, e.g. `<!-- printed: bench run --method tuni -->`. Each
command runs in an empty folder, as a reader would type it first, with this installation's cache.
Without FILE, all pages with such a comment are written.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(<!-- printed: (bench [^\n]+) -->\n+```\n)(.*?)(```)", re.DOTALL)
WIDTH = 100
"""Columns of the terminal, so that a page of documentation shows it without a scroll bar."""


def pages() -> list[Path]:
    """All pages with a block of output."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    return sorted(page for page in found if BLOCK.search(page.read_text(encoding="utf-8")))


def printed(command: str) -> str:
    """What a command prints on standard output."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"COLUMNS": str(WIDTH)}
        words = [sys.executable, "-m", "idbench.cli.main", *shlex.split(command)[1:]]
        done = subprocess.run(  # noqa: S603  commands of our own pages
            words, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


def written(page: str) -> str:
    """A page with what its commands print today."""
    return BLOCK.sub(lambda block: block[1] + printed(block[2]) + block[4], page)


def main() -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="*", type=Path)
    for page in parser.parse_args().file or pages():
        page.write_text(written(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
