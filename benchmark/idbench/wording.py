"""Words that go with a number; alone in its module because every layer's messages count something."""

from __future__ import annotations


def counted(number: int, one: str, several: str) -> str:
    """A number and what there is so many of, e.g. `1 person is left out` or `1,204 people are left out`.

    Args:
        number: how many, 0 or more.
        one: the words where there is one.
        several: the words where there are more, or none.
    """
    return f"{number:,} {one if number == 1 else several}"


def at_fpr(fpr: float) -> str:
    """E.g. `TPR at 10 % FPR`, `TPR at 0.1 % FPR`.

    Args:
        fpr: the false-positive rate, 0 to 1.
    """
    return f"TPR at {100 * fpr:g} % FPR"
