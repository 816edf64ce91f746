"""Is a person already in a corpus? Names in its captions, and faces among the neighbours of a person's photos."""

from idbench.search.counting import CaptionSearch, CountOptions, Damage, Quote, Tally, count_names, fitting_processes

__all__ = [
    "CaptionSearch",
    "CountOptions",
    "Damage",
    "Quote",
    "Tally",
    "count_names",
    "fitting_processes",
]
