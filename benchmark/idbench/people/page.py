"""The report of an audit: one HTML file that opens from disk and prints, and the same as PDF."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from idbench import figures
from idbench.errors import IdbenchError, StorageError
from idbench.escaping import terminal
from idbench.people import words
from idbench.people.auditing import AttackFinding, PersonAudit, PersonFinding
from idbench.storage import is_there, read_bounded, write_bytes, write_text
from idbench.version import __version__
from idbench.workplace import workplace

GENERATOR: Final = b'<meta name="generator" content="idbench person audit">'
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
_HEAD: Final = 1 << 20
_PRINTING: Final = 120.0  # seconds
_SANDBOX: Final = ("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()
"""Chromium refuses to start as root with its sandbox; everybody else keeps it."""
_SHOWN_ATTACKS: Final = 6
_CELLS: Final = 90  # of a strip; a mark for each person would make files of megabytes


def html(audit: PersonAudit) -> str:
    """The report, complete in itself: styles and charts are in it, and nothing is fetched."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_visible)
    template = environment.from_string(files("idbench.people").joinpath("page.html").read_text(encoding="utf-8"))
    return template.render(
        audit=audit,
        people=[_person(one, audit) for one in audit.people],
        limits=words.LIMITS,
        version=__version__,
        member=figures.MEMBER,
        nonmember=figures.NONMEMBER,
    )


def _visible(value: Any) -> Any:
    """Names, file names and captions, with control characters shown: none may reverse the report's text."""
    return terminal(value) if type(value) is str else value


def write_html(audit: PersonAudit, path: Path) -> None:
    """Write the report.

    Raises:
        StorageError: it cannot be written.
    """
    write_text(path, html(audit))


def is_report(path: Path) -> bool:
    """Whether a file is a report that idbench wrote, as HTML."""
    return GENERATOR in read_bounded(path, _HEAD << 5)[:_HEAD]


def browser() -> str | None:
    """A browser of the Chromium family, which prints; None where there is none."""
    return next((found for name in BROWSERS if (found := shutil.which(name)) is not None), None)


def check_printing() -> str:
    """The browser that prints.

    Raises:
        IdbenchError: there is none.
    """
    found = browser()
    if found is None:
        raise IdbenchError(
            "There is no Chromium or Chrome here to print the PDF with.",
            hint="Install one, or open the HTML file in any browser and print it: it is laid out for paper.",
        )
    return found


def write_pdf(audit: PersonAudit, path: Path) -> None:
    """Print the report with Chromium, without network.

    Raises:
        IdbenchError: there is no Chromium, or it fails.
        StorageError: the file cannot be written.
    """
    program = check_printing()
    with workplace() as place:
        page, printed = place / "report.html", place / "report.pdf"
        write_html(audit, page)
        command = [
            *(program, "--headless", "--disable-gpu", "--no-pdf-header-footer", *_SANDBOX),
            *("--host-resolver-rules=MAP * ~NOTFOUND", "--disable-background-networking"),
            *(f"--user-data-dir={place / 'profile'}", f"--print-to-pdf={printed}", page.as_uri()),
        ]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_PRINTING, check=False)  # noqa: S603  Chromium on our own page
        except (OSError, subprocess.TimeoutExpired) as error:
            raise IdbenchError(f"{program} did not print: {error}.", hint="Print the HTML file yourself.") from error
        if not is_there(printed) or not printed.stat().st_size:
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["it wrote no file"]
            raise IdbenchError(f"{program} did not print: {last[0]}.", hint="Print the HTML file yourself.")
        try:
            data = printed.read_bytes()
        except OSError as error:
            raise StorageError(f"{printed} cannot be read: {error.strerror}.") from error
    write_bytes(path, data)


def _person(found: PersonFinding, audit: PersonAudit) -> dict[str, Any]:
    """What the template shows of one person."""
    return {
        "found": found,
        "verdict": words.verdict(found, audit),
        "summary": words.summary(found, audit),
        "rows": [_row(one) for one in found.attacks],
        "controlled": any(one.control_p is not None for one in found.attacks),
        "chart": _chart(found),
        "search": words.search_words(found),
        "quotes": [] if found.search is None else _quotes(found.search),
    }


def _row(one: AttackFinding) -> dict[str, Any]:
    detected = "-" if one.detected is None else words.percent(one.detected.value)
    adjusted = "-" if one.blind or one.adjusted_p is None else words.p_value(one.adjusted_p)
    return {
        "method": one.method,
        "blind": one.blind,
        "p": "-" if one.standing is None else words.p_value(one.standing.p),
        "adjusted": adjusted,
        "fpr": words.fpr_words(one),
        "detected": detected,
        "ratio": words.ratio_words(one),
        "control": "-" if one.control_p is None else words.p_value(one.control_p),
    }


def _quotes(search: Mapping[str, Any]) -> list[dict[str, str]]:
    """Captions that the search quotes, as texts."""
    evidence = search.get("evidence")
    rows = evidence if isinstance(evidence, Sequence) else ()
    quotes = [one for one in rows if isinstance(one, Mapping)]
    return [{"caption": str(one.get("caption", "")), "place": str(one.get("place", ""))} for one in quotes[:5]]


def _chart(found: PersonFinding) -> Any:
    """Strips of scores, one row for each of the strongest attacks, as SVG; nothing where nothing was scored."""
    import altair as alt
    from markupsafe import Markup

    shown = [one for one in found.attacks if not one.blind and one.standing is not None][:_SHOWN_ATTACKS]
    if not shown:
        return None
    rows = alt.vconcat(*(_strip(alt, one) for one in shown), spacing=12)
    spec = rows.configure_view(stroke=None).configure(background="#ffffff", padding=8).to_dict()
    svg = figures.draw(spec, "svg").decode()
    return Markup(svg)  # noqa: S704  drawn by Vega, which escapes every text


def _strip(alt: Any, one: AttackFinding) -> Any:
    groups = {"reference": (one.references, figures.NONMEMBER)}
    if one.members.size:
        groups["members"] = (one.members, figures.MEMBER)
    every = np.concatenate([*(scores for scores, _ in groups.values()), [one.score]])
    low, high = float(every.min()), float(every.max())
    margin = 0.03 * (high - low) or 1.0
    x = alt.X(
        "score:Q",
        title=None,
        scale=alt.Scale(domain=[low - margin, high + margin], nice=False),
        axis=alt.Axis(tickCount=5, grid=False, domainColor="#999999"),
    )
    y = alt.Y("who:N", title=None, sort=list(groups), axis=alt.Axis(domain=False, ticks=False, labelLimit=160))
    color = alt.Color("who:N", scale=alt.Scale(domain=list(groups), range=[c for _, c in groups.values()]), legend=None)
    edges = np.linspace(low, high, _CELLS + 1)
    frame = pd.concat(
        [
            pd.DataFrame({"score": edges[:-1], "end": edges[1:], "share": np.histogram(scores, edges)[0] / scores.size})
            .loc[lambda cells: cells["share"] > 0]
            .assign(who=who)
            for who, (scores, _) in groups.items()
        ],
        ignore_index=True,
    )
    depth = alt.Opacity("share:Q", scale=alt.Scale(type="sqrt", domain=[0, 0.15], range=[0.12, 1]), legend=None)
    ticks = alt.Chart(frame).mark_bar(size=15).encode(x=x, x2="end:Q", y=y, color=color, opacity=depth)
    own = alt.Chart(pd.DataFrame({"score": [one.score]})).mark_rule(color="#1c2530", strokeWidth=2.2).encode(x=x)
    title = alt.TitleParams(f"{one.method}: {_place(one)}", anchor="start", fontSize=12, fontWeight="normal")
    return alt.layer(ticks, own).properties(width=600, height=24 * len(groups), title=title)


def _place(one: AttackFinding) -> str:
    assert one.standing is not None
    fpr = one.standing.fpr
    score = f"{one.score:.3g}" if math.isfinite(one.score) else "-"
    return f"score {score}; {fpr.hits} of {fpr.total} reference people score as high"
