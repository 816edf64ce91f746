"""The process in which img2dataset runs: `python -m idbench.splits.cc3m.download ARGUMENTS.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    """Call img2dataset with the arguments in a JSON file.

    It has a process of its own because it takes over signals, prints, and starts processes that import the main module.
    """
    from img2dataset import download

    download(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
