"""Which attacks depend on the seed: those whose code mentions one. The others need a single run, whatever is asked."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from idbench.plugins import locate
from idbench.runner.closure import Source
from idbench.runner.spec import MethodSpec

_CHANCE: Final = re.compile(rb"\b(?:rng|seed|seeds|random|secrets|shuffle|uuid4|urandom|randn|rand|manual_seed)\b")


def depends_on_seed(method: MethodSpec) -> bool:
    """Whether any file that the attack can run mentions chance; without its source: yes.

    Errs on the safe side: an attack that mentions chance and does not use it has a run for each seed.
    """
    return _mentions_chance(method.plugin.partition(":")[0], method.distribution.partition(" ")[0])


@cache
def _mentions_chance(module: str, brought_by: str) -> bool:
    found = locate(module)
    if found is None:
        return True
    source = Source.around(module, found.resolve(), brought_by)
    files = {path for path in source.closure(module) if path.suffix == ".py"}
    return not files or any(_CHANCE.search(path.read_bytes()) for path in files)
