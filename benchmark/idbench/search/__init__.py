"""Is the person already there? Names in a corpus's captions, and faces among the neighbours of a person's photos."""

from idbench.search.captions import DamagedShard, Found, ReadOptions, find_shards
from idbench.search.counting import CaptionSearch, CountOptions, Damage, Quote, Tally, count_names, fitting_processes
from idbench.search.folding import Folding
from idbench.search.matching import Matcher, Rules
from idbench.search.names import Sought, gather, read_names

__all__ = [
    "CaptionSearch",
    "CountOptions",
    "Damage",
    "DamagedShard",
    "Folding",
    "Found",
    "Matcher",
    "Quote",
    "ReadOptions",
    "Rules",
    "Sought",
    "Tally",
    "count_names",
    "find_shards",
    "fitting_processes",
    "gather",
    "read_names",
]
