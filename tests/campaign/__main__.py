"""Runs the campaign for as long as somebody likes."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.campaign.campaign import KINDS, campaign
from tests.campaign.plugins import hostile


def main() -> int:
    """Parse arguments, run, report."""
    parser = argparse.ArgumentParser(description=sys.modules["tests.campaign"].__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, action="append", help="default: all")
    given = parser.parse_args()
    kinds = given.kind or list(KINDS)
    if {"plug-ins", "limits"} & set(kinds) and not hostile():
        parser.error("the plug-ins to try are not installed: pip install --no-deps tests/plugin_package")
    with tempfile.TemporaryDirectory() as folder:
        report = campaign(Path(folder), given.seed, given.seconds, kinds)
    for failure in report.failures:
        print(failure)  # noqa: T201
    print(", ".join(f"{kind}: {n} tries" for kind, n in report.tries.items()), f"{len(report.failures)} failures")  # noqa: T201
    return bool(report.failures)


if __name__ == "__main__":
    sys.exit(main())
