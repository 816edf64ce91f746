"""The glossary: the words of the benchmark, and every metric as its docstring explains it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from idbench import metrics

WORDS: Final[Mapping[str, str]] = {
    "Identity": "One person, real or fictional: an opaque id, a name, some photos.",
    "Corpus": "One training set. Membership is a fact about a person and a corpus.",
    "Split": "A versioned set of people with photos, names and membership labels. Versions are never mixed.",
    "Member": "A person whose pictures were in the corpus; a non-member's were not.",
    "Target": "The trained model under attack; it names the corpus that it was trained on.",
    "Control target": "A model trained on the background alone, without any of these people. Every attack should be at"
    " chance on it.",
    "Attack": "A method that gives each person a score; higher means more likely a member.",
    "Blind attack": "An attack that never queries the model: what it finds is in the data, not in the model.",
    "Defense": "A method that turns a target into one that should reveal less about who was in its training data.",
    "Adaptation": "What an attacker who knows the defense changes: the weights, or the questions that an attack asks.",
    "Track": "A class of attacks with the same access to the model and the same knowledge of the person.",
    "ROC": "The true-positive rate (share of members identified) at each false-positive rate (share of non-members"
    " called members).",
    "AUC": "Area under the ROC: the chance that a random member scores above a random non-member.",
    "TPR at 1 % FPR": "The share of members identified at a threshold that calls one non-member in a hundred a member.",
    "Not estimable": "With too few non-members a low false-positive rate cannot be measured; then no number is shown.",
    "95 % interval": "Of a hundred such intervals about 95 hold the true value.",
    "Rank interval": "The ranks that the data allow. Methods that do not differ significantly share a rank.",
    "Holm": "A correction that keeps the chance of a single false claim at 5 % however many comparisons are made.",
}
_SECTIONS: Final = re.compile(r"^(Args|Returns|Raises|Source|Example|Attributes):", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Term:
    """One metric: its name, what it is, and where it comes from."""

    name: str
    meaning: str
    source: str


def terms() -> list[Term]:
    """Every public function of `idbench.metrics`, in the order of the alphabet."""
    functions = (getattr(metrics, name) for name in sorted(metrics.__all__))
    return [_term(function) for function in functions if inspect.isfunction(function)]


def _term(function: object) -> Term:
    text = inspect.getdoc(function) or ""
    parts = _SECTIONS.split(text)
    named = dict(zip(parts[1::2], parts[2::2], strict=False))
    return Term(getattr(function, "__name__", ""), parts[0].strip(), " ".join(named.get("Source", "").split()))
