"""Draws every page of the reference board: run where pip chose the newest libraries, which are not those of the tests.

python tests/app/every_page.py
"""

from __future__ import annotations

import sys
from pathlib import Path
from pkgutil import iter_modules

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.app.reading import opened, text

from idbench_leaderboard.app import views
from idbench_leaderboard.manifest import REFERENCE


def main() -> int:
    """Draw them; what raises ends this."""
    for page in sorted(found.name for found in iter_modules(views.__path__)):
        sys.stdout.write(f"{page}: {len(text(opened(page, REFERENCE))):,} characters\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
