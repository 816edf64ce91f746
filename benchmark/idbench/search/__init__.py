"""Is the person already there? Names in a corpus's captions, and faces among the neighbours of a person's photos."""

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
