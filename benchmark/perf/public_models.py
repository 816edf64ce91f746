"""What `open_clip:` and `file:` make of every public model of open_clip, against what open_clip's own tables say.

    python benchmark/perf/public_models.py [--markdown]

No weights are needed. For each architecture and tag: preprocessing and activation of the public model; what the target
`open_clip:ARCH/TAG` computes; what `file:PATH?arch=ARCH&tag=TAG` computes; and what `file:PATH?arch=ARCH` alone does:
the same, or it asks. The exit status is 1 if one of them computes anything else without a word.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import open_clip

from idbench.errors import TargetError
from idbench.targets import Preprocessing, TargetSpec, public_models, resolve_target
from idbench.targets.public_models import Computation, described, model_config, settle_target

ASKS = "asks"


@dataclass(frozen=True)
class Row:
    """One public model and what the three ways of writing it compute."""

    architecture: str
    tag: str
    public: Computation
    open_clip: Computation | str
    with_tag: Computation | str
    alone: Computation | str

    @property
    def right(self) -> bool:
        """Whether each way computes what the public model computes, or asks."""
        return all(found in (self.public, ASKS) for found in (self.open_clip, self.with_tag, self.alone))


def from_tables(architecture: str, tag: str) -> Computation:
    """The public model as open_clip's tables have it, read without idbench."""
    table = open_clip.get_pretrained_cfg(architecture, tag)
    preprocessing = Preprocessing(**{name: table[name] for name in ("mean", "std", "interpolation", "resize_mode")})
    quick = bool(table.get("quick_gelu", False)) or bool(open_clip.get_model_config(architecture).get("quick_gelu"))
    return Computation(preprocessing, quick)


def computes(reference: str) -> Computation | str:
    """What the target of a reference computes, or that it asks."""
    try:
        settled: TargetSpec = settle_target(resolve_target(reference))
    except TargetError as error:
        if "quick_gelu=" not in error.hint and "tag=" not in error.hint:
            raise
        return ASKS
    assert settled.preprocessing is not None
    return Computation(settled.preprocessing, bool(model_config(settled).get("quick_gelu", False)))


def rows() -> list[Row]:
    """All public models."""
    public_models.check_packages = lambda name, config: None  # text towers need packages, their numbers here do not
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pt"
        path.write_bytes(b"")
        return [
            Row(
                architecture,
                tag,
                from_tables(architecture, tag),
                computes(f"open_clip:{architecture}/{tag}"),
                computes(f"file:{path}?arch={architecture}&tag={tag}"),
                computes(f"file:{path}?arch={architecture}"),
            )
            for architecture, tag in open_clip.list_pretrained()
        ]


def main() -> int:
    """Print the table, then the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markdown", action="store_true", help="a table for docs/targets.md")
    wanted = parser.parse_args()
    found = rows()
    bar = " | " if wanted.markdown else "  "
    for row in found:
        ways = (row.open_clip, row.with_tag, row.alone)
        words = ["as public" if way == row.public else str(way) for way in ways]
        activation = "QuickGELU" if row.public.quick_gelu else "GELU"
        print(bar.join((row.architecture, row.tag, described(row.public.preprocessing), activation, *words)))
    other = sum(row.public.preprocessing != Preprocessing() for row in found)
    print(f"\n{len(found)} tags; {other} want other pixels than CLIP's own")
    for name in ("open_clip", "with_tag", "alone"):
        counts = Counter(ASKS if getattr(r, name) == ASKS else getattr(r, name) == r.public for r in found)
        print(f"{name}: {counts[True]} as public, {counts[ASKS]} asked, {counts[False]} wrong")
    return 0 if all(row.right for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
