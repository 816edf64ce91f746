"""What an audit of a person says in plain words: what was found, what it shows, and what it can never show."""

from __future__ import annotations

import math

from idbench.people.auditing import ALPHA, AttackFinding, PersonAudit, PersonFinding


def verdict(person: PersonFinding, audit: PersonAudit) -> str:
    """The result in a few words; never `member`, and never `not a member`."""
    if person.refusal:
        return "not scored"
    if person.best is None:
        return "no attack gave a score"
    if not person.stands_out:
        return "does not stand out"
    if not audit.alike:
        return "stands out from drawn people, which photographs may do anyway"
    if person.unusual:
        return "stands out, but also without the model"
    return "stands out"


def summary(person: PersonFinding, audit: PersonAudit) -> list[str]:
    """The paragraph under the verdict, sentence by sentence."""
    if person.refusal:
        return [person.refusal, "Nothing was asked of the model."]
    best = person.best
    if best is None or best.standing is None:
        return ["Every attack abstained: nothing can be said of this person."]
    n = person.n_references
    asked = sum(not one.blind for one in person.attacks)
    return [
        *(_found(person, audit, best, n, asked) if person.stands_out else _not_found(person, best, n, asked)),
        f"With {n} reference people, no false-positive rate below {percent(best.standing.smallest)} can be claimed.",
        *_of_drawings(person, audit),
        *_unusual(person),
    ]


def _found(person: PersonFinding, audit: PersonAudit, best: AttackFinding, n: int, asked: int) -> list[str]:
    assert best.standing is not None
    assert best.adjusted_p is not None
    above = best.standing.fpr.hits
    how_many = "None" if not above else str(above)
    lines = [
        f"{audit.target.name} responds to {person.name} more strongly than to people who are not in its training data. "
        f"{how_many} of {n} reference people {'score' if above != 1 else 'scores'} as high with {best.method} "
        f"({_p_values(best.standing.p, best.adjusted_p, asked)})."
    ]
    if best.ratio is not None:
        lines.append(_ratio(best))
    if best.control_p is not None:
        lines.append(
            f"On a model of the same design that saw nobody, the same attack gives p = {p_value(best.control_p)}"
            + (
                ": the person stands out there, too, so this is not a sign of membership."
                if best.control_p <= ALPHA
                else ": there the person does not stand out."
            )
        )
    return lines


def _of_drawings(person: PersonFinding, audit: PersonAudit) -> list[str]:
    """What a comparison with drawn people is worth, which nobody can tell from the files alone."""
    if not audit.drawn:
        return []
    if audit.alike:
        return [
            f"The reference people are drawn. If the photos of {person.name} are photographs, they may stand out among "
            "drawings, or fail to, whoever is on them: nothing here is calibrated for photographs."
        ]
    return [
        "The reference people are drawn, though. A photograph can score higher or lower than a drawing whoever is on "
        "it, and so can a real name than an invented one: nothing here is calibrated for photographs. Give photos of "
        "people who are certainly not in (--reference)."
    ]


def _p_values(p: float, adjusted: float, asked: int) -> str:
    """E.g. `p = 0.48`; with several attacks the corrected one, too."""
    corrected = f"; corrected for the {asked} attacks tried, {p_value(adjusted)}" if asked > 1 else ""
    return f"p = {p_value(p)}{corrected}"


def _ratio(best: AttackFinding) -> str:
    assert best.ratio is not None
    low, high = best.ratio.interval.low, best.ratio.interval.high
    range_ = f"{times(low)} to {times(high)}" if math.isfinite(high) else f"at least {times(low)}"
    whom = "common among people who are in the training data as among people who are not"
    if best.ratio.value is None:
        return f"Scores in this range are {range_} times as {whom} (95 % interval)."
    return f"Scores in this range are {times(best.ratio.value)} times as {whom} (95 % interval: {range_})."


def _not_found(person: PersonFinding, best: AttackFinding, n: int, asked: int) -> list[str]:
    assert best.standing is not None
    lines = [
        f"{person.name} does not stand out among {n} people who are certainly not in the training data: "
        f"{_how_many(best.standing.fpr.hits)} as high with {best.method}, the attack by which {person.name} stands "
        f"out most ({_p_values(best.standing.p, best.adjusted_p or 1.0, asked)})."
    ]
    if best.detected is not None:
        share, interval = best.detected.value, best.detected.interval
        lines.append(
            f"This is not a sign of absence: of {best.detected.total} people who are in the training data, "
            f"{best.method} finds {percent(share)} ({percent(interval.low)} to {percent(interval.high)}) at a "
            f"false-positive rate of {percent(ALPHA)}, and misses the others."
        )
    else:
        lines.append(
            "This is not a sign of absence: nobody is known to be in this target's training data, so how often these "
            "attacks miss somebody who is in it is not known."
        )
    return lines


def _how_many(hits: int) -> str:
    return f"{hits or 'none'} of them {'scores' if hits == 1 else 'score'}"


def _unusual(person: PersonFinding) -> list[str]:
    if not person.unusual:
        return []
    names = " and ".join(person.unusual)
    return [
        f"Attention: {names}, which never asks the model, sets this person apart as well. The name or the photos "
        "differ from those of the reference people, and the other attacks may only repeat that."
    ]


LIMITS: tuple[tuple[str, str], ...] = (
    (
        "A look-alike",
        "Attacks compare faces and names. Somebody else in the training data who looks like this person can make the "
        "model respond as if to this person.",
    ),
    (
        "A namesake",
        "If others of the same name are in the training data, their pictures and captions have taught it the name.",
    ),
    (
        "A famous face",
        "Pictures of well-known people are everywhere. That the model knows one says nothing about which copy of which "
        "picture it was trained on, and nothing about pictures that are not public.",
    ),
    (
        "The photos that were given",
        "A high score may come from one photo that the model has seen, or from what the photos have in common besides "
        "the person: a place, a photographer, a filter.",
    ),
    (
        "Absence is never proved",
        "Attacks miss most people who appear in few training pictures. Not standing out does not show that somebody is "
        "not in the training data.",
    ),
    (
        "Many people, many chances",
        "At a false-positive rate of 5 %, five of a hundred people who are not in stand out by chance.",
    ),
)
"""What neither outcome shows: heading and sentence."""


def percent(share: float) -> str:
    """E.g. `0.5 %`, `12 %`: as many digits as a count can carry."""
    value = 100 * share
    if value == 0 or value >= 9.95:
        return f"{value:.0f} %"
    return f"{value:.2g} %"


def p_value(p: float) -> str:
    """E.g. `0.005`, `0.41`."""
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def times(ratio: float) -> str:
    """E.g. `0.16`, `2.7`, `26`: two digits."""
    if not math.isfinite(ratio):
        return "unbounded"
    return f"{ratio:.0f}" if ratio >= 9.95 else f"{ratio:.2g}"


def ratio_words(one: AttackFinding) -> str:
    """E.g. `26 [6.5, 198]`, `at least 4.1`, `-`."""
    if one.ratio is None:
        return "-"
    low, high = one.ratio.interval.low, one.ratio.interval.high
    if one.ratio.value is None or not math.isfinite(high):
        return f"at least {times(low)}"
    return f"{times(one.ratio.value)} [{times(low)}, {times(high)}]"


def fpr_words(one: AttackFinding) -> str:
    """E.g. `0.5 % [0.0, 2.8]`; an abstention has none."""
    if one.standing is None:
        return "abstained"
    fpr = one.standing.fpr
    return f"{fpr.value:.1%} [{100 * fpr.interval.low:.1f}, {100 * fpr.interval.high:.1f}]".replace("%", " %", 1)


def search_words(person: PersonFinding) -> list[str]:
    """What the search through captions says of the person, if there was one and it knew the person."""
    found = person.search
    if found is None:
        return []
    count = found.get("occurrences")
    lines = [f"Verdict of the search: {found['verdict']}."]
    if isinstance(count, int):
        lines.append(f"{count:,} caption{'s' * (count != 1)} of the corpus searched hold{'s' * (count == 1)} the name.")
    if found["verdict"] == "mentioned":
        lines.append("Mentioned means that the name is there. Whether a picture shows this person is not known.")
    if found["verdict"] == "non-member":
        lines.append("A name that is not found can still be there in another spelling, or without a caption.")
    return lines
