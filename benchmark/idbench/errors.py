"""Everything idbench says when something is wrong: one sentence for what, one for what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class IdbenchError(Exception):
    """A problem that a person can act on.

    Args:
        message: one sentence that says what is wrong.
        hint: one sentence that says what to do next; may be empty.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        # The default would lose the keyword on its way between processes.
        return _rebuild, (type(self), self.message, self.hint)


def _rebuild(kind: type[IdbenchError], message: str, hint: str) -> IdbenchError:
    return kind(message, hint=hint)


class StorageError(IdbenchError):
    """A file or folder cannot be used: the disk is full, read-only, or the path does not exist."""


class DataError(IdbenchError):
    """A split, a photo or a table is missing, damaged or contradicts itself."""


class LabelsWithheld(DataError):
    """The labels that are asked for are not in this folder: somebody else holds them."""


class HubError(IdbenchError):
    """The Hugging Face Hub cannot be reached or refuses something."""


class NoSuchRepository(HubError):
    """The Hub has no repository of this name, or shows none to this account."""


class TargetError(IdbenchError):
    """A target cannot be found, loaded or verified."""


class PluginError(IdbenchError):
    """Something that an installed distribution registers cannot be used."""


class MethodError(IdbenchError):
    """A method is wrongly declared, was given parameters that do not fit, or failed while it ran."""


class AccessViolation(MethodError):
    """A method asked for something that its card does not declare."""


class InvalidScores(MethodError):
    """A method returned scores that cannot be used: wrong length, NaN, or not numbers."""


class TimeLimitExceeded(MethodError):
    """A method did not finish in the time it was given."""


class RecordError(IdbenchError):
    """A record is missing, damaged, of another schema, or does not fit what it is used with."""


class NoSuchRun(RecordError):
    """No record has the id or the path that was asked for."""


class UnknownNameError(IdbenchError):
    """A name that nothing is registered under.

    Args:
        kind: what was looked for, e.g. "attack".
        name: what was asked.
        known: the names that exist.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], *, hint: str = "") -> None:
        names = sorted(known)
        near = [one for one in names if one.casefold() == name.casefold()]
        near = near or difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        guess = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(names) or 'none'}."
        super().__init__(f"There is no {kind} called {name!r}.", hint=f"{guess} {hint}".strip())

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (IdbenchError, self.message, self.hint)
