"""`bench audit`: what a model reveals about individual people, as a report for readers who are not statisticians."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from idbench.cli import console, options
from idbench.errors import DataError, IdbenchError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from idbench.people import Audited, PersonAudit, Wish

app = typer.Typer(help="Audit individual people.", no_args_is_help=True)

_PDF_BYTES = 1 << 26
_PRINTED = re.compile(rb"%PDF-[^<]{1,40}<</Title (?:\(Audit: |<FEFF00410075006400690074003A0020)")
"""The beginning of a PDF whose title is `Audit: ...`, as text or in hexadecimal UTF-16."""


@app.callback()
def _audit() -> None:
    pass


@app.command()
def person(
    target: Annotated[str, typer.Option(help="One target, by name or reference.")],
    name: Annotated[
        list[str] | None, typer.Option(help="The person's full name; may be repeated, each with its own --photos.")
    ] = None,
    photos: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Folder with photos of the person named before it.")
    ] = None,
    people: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A table with the columns name and photos, instead of --name.")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", "-m", help="An attack; may be repeated; default: every one that can run."),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Photos of people who are certainly not in, a folder each; they get invented names."
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of the people to compare with; default: the one that fits the target.")
    ] = None,
    search: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Output of `bench data search --json`, as further evidence.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The report, one HTML file.")] = Path("audit.html"),
    pdf: Annotated[Path | None, typer.Option(help="The report as PDF, too; Chromium prints it.")] = None,
    most: Annotated[int, typer.Option(min=1, max=100_000, help="Reference people at most.")] = 500,
    seed: Annotated[int, typer.Option(min=0, max=options.MAX_SEED, help="Random seed.")] = 0,
    device: options.Device = "auto",
    time_limit: options.TimeLimit = options.TIME_LIMIT,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the files even if idbench did not write them.")
    ] = False,
    json: options.Json = False,
    dry_run: options.DryRun = False,
) -> None:
    """Say what a model reveals about a person, measured against people who are certainly not in its training data."""
    from idbench.outputs import check_file
    from idbench.people import Wish, audit_people
    from idbench.people.inputs import check_people
    from idbench.people.page import check_printing, is_report, write_html, write_pdf

    asked = _asked(name or [], photos or [], people)
    check_people(asked)
    wish = Wish(target, tuple(method or ()), reference, split, search, most, seed, device, time_limit)
    inputs = [path for path in (people, search) if path is not None]
    check_file(out, "report", is_report, inputs, force=force, note=console.note)
    if pdf is not None:
        check_file(pdf, "report", _is_printed_report, [*inputs, out], force=force, note=console.note)
        check_printing()
    if dry_run:
        _announce(asked, wish, json)
        return
    with console.bars() as progress:
        audit = audit_people(asked, wish, progress)
    write_html(audit, out)
    if pdf is not None:
        write_pdf(audit, pdf)
    _show(audit, out, pdf, json)
    _fail_without_scores(audit)


def _fail_without_scores(audit: PersonAudit) -> None:
    """Scripts must not take a report without a score for an answer.

    Raises:
        DataError: nobody was scored.
    """
    from idbench.people import words

    if any(one.best is not None for one in audit.people):
        return
    if len(audit.people) > 1:
        raise DataError(f"None of the {len(audit.people)} people could be scored.", hint="The report says why.")
    (one,) = audit.people
    raise DataError(f"{one.name} could not be scored. {words.summary(one, audit)[0]}")


def _is_printed_report(file: Path) -> bool:
    """Whether a PDF is a printed report, by the title that Chromium takes over from the page."""
    from idbench.storage import read_bounded

    return _PRINTED.match(read_bounded(file, _PDF_BYTES)) is not None


def _asked(names: list[str], photos: list[Path], people: Path | None) -> list[Audited]:
    """Everybody named on the command line or in the table."""
    from idbench.people import Audited, people_of_table

    if people is not None:
        if names or photos:
            raise IdbenchError("--people and --name exclude each other.", hint="Give one of them.")
        return people_of_table(people)
    if photos and len(photos) != len(names):
        raise IdbenchError(
            f"{len(names)} --name and {len(photos)} --photos: it is not clear whose photos are whose.",
            hint="Give one --photos for each --name, in the same order, or a table with --people.",
        )
    return [Audited(one, photos[i] if photos else None) for i, one in enumerate(names)]


def _announce(asked: list[Audited], wish: Wish, json: bool) -> None:
    from idbench.cli.durations import Durations, in_all
    from idbench.people.auditing import foresee

    found = foresee(asked, wish)
    durations = Durations(options.RESULTS)
    expected = [durations.of(name, found.target) for name in found.attacks] * found.groups
    if json:
        console.write_json(
            {
                "people": [one.name for one in asked],
                "attacks": found.attacks,
                "left_out": found.left_out,
                "reference": found.reference,
                "seconds": sum(one.total or 0.0 for one in expected),
                "seconds_unknown": sum(one.total is None for one in expected),
            }
        )
        return
    people = "person" if len(asked) == 1 else "people"
    attacks = f"{len(found.attacks)} attack{'s' * (len(found.attacks) != 1)}"
    console.say(f"{len(asked)} {people}, {attacks}: {', '.join(found.attacks)}")
    _say_left_out(found.left_out)
    console.say(f"Compared with {found.reference}.")
    console.say(in_all(expected) or "How long it takes is not known.")
    if not durations.know(found.target):
        console.say("Measured on the small models that come with idbench: a larger one may take many times as long.")


def _say_left_out(left_out: Mapping[str, str]) -> None:
    """One line for each reason, with all attacks that it holds for."""
    for reason in dict.fromkeys(left_out.values()):
        names = [name for name, why in left_out.items() if why == reason]
        console.say(f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} left out: {reason}.")


def _show(audit: PersonAudit, out: Path, pdf: Path | None, json: bool) -> None:
    from idbench.people import words
    from idbench.people.auditing import every_score

    written = [path.as_posix() for path in (out, pdf) if path is not None]
    if json:
        people = [
            {
                "name": one.name,
                "verdict": words.verdict(one, audit),
                "summary": " ".join(words.summary(one, audit)),
                "notes": list(one.notes),
                "photos": list(one.photos),
                "unusable": list(one.unusable),
                "references": one.n_references,
                "members": one.n_members,
                "search": None if one.search is None else one.search["verdict"],
            }
            for one in audit.people
        ]
        console.write_json(
            {
                "target": audit.target.name,
                "people": people,
                "attacks": list(every_score(audit)),
                "left_out": dict(audit.left_out),
                "written": written,
            }
        )
        return
    for one in audit.people:
        console.say(f"{one.name}: {words.verdict(one, audit)}")
        console.say(" ".join(words.summary(one, audit)))
        for line in (*one.notes, *one.unusable):
            console.say(f"  {line}")
        for line in words.search_words(one):
            console.say(f"  {line}")
        console.say("")
    _say_left_out(audit.left_out)
    console.say(f"report in {' and '.join(written)}; it says what this does not show")
