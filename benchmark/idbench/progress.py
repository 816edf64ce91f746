"""How work reports its progress: the protocol, what a reporter has to define, and the silent reporter.

It needs nothing else, so that the command line starts without the interface for methods.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Shows a person how far the work is."""

    def track(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Pass items on while a bar with the time left moves.

        Args:
            items: whatever is worked on.
            description: a few words, e.g. "asking".
            total: how many items there are; None: counted first, which draws all of them.
        """
        ...

    def update(self, done: float, total: float, description: str) -> None:
        """Report that `done` of `total` units are finished, 0 <= done <= total, in any unit."""
        ...


class Reporter(ABC):
    """A progress reporter that only has to define how `update` is shown."""

    @abstractmethod
    def update(self, done: float, total: float, description: str) -> None:
        """Report that `done` of `total` units are finished, 0 <= done <= total, in any unit."""

    def track(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Pass items on and report how many are finished; see `Progress.track`."""
        if total is None:
            items = list(items)
            total = len(items)
        for done, item in enumerate(items):
            self.update(done, total, description)
            yield item
        self.update(total, total, description)


class Silent(Reporter):
    """A progress reporter that shows nothing."""

    def update(self, done: float, total: float, description: str) -> None:
        """Do nothing."""
