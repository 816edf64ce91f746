"""Draws one chart: `python -m idbench_leaderboard.draw png < chart.json > chart.png`. Runs in a process of its own."""

from __future__ import annotations

import sys

import vl_convert


def main() -> None:
    """Read a Vega-Lite specification and write a PNG or SVG."""
    spec = sys.stdin.read()
    if sys.argv[1:] == ["png"]:
        sys.stdout.buffer.write(vl_convert.vegalite_to_png(spec, scale=2))
    elif sys.argv[1:] == ["svg"]:
        sys.stdout.buffer.write(vl_convert.vegalite_to_svg(spec).encode())
    else:
        sys.exit("give png or svg")


if __name__ == "__main__":
    main()
