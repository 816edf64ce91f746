"""Text that others wrote, at every border that it crosses."""

from __future__ import annotations

import csv
import io
import json
import re
import string
from datetime import UTC, datetime
from pathlib import Path

import altair as alt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from idbench import escaping
from idbench.cli import console
from idbench.errors import IdbenchError
from idbench.escaping import Strong
from idbench.figures import draw
from idbench.people import PersonAudit, page
from idbench.people.auditing import PersonFinding
from idbench.targets import target_meant

HOSTILE = (
    "<!--<script>alert(1)</script>",
    "![x](https://example.org/x.png)",
    "[x](javascript:alert(1))",
    "\x1b]0;owned\x07\x1b[31mred",
    '=HYPERLINK("https://example.org";"x")',
    "a\u202eb\u2066c\x9b31m",
    "line\nbreak\r\n# heading\n\n    code",
    "$x$ :smile: :material/info: ``code`` | a | -- ->",
    "\\input{x} \\end{table} %&#^~_",
    "\ud800",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    shown = escaping.terminal(text)
    assert all(ord(c) >= 0x20 or c in "\n\t" for c in shown)
    assert not set(shown) & {*map(chr, range(0x7F, 0xA0)), "\u202e", "\u2066", "\ud800"}
    assert "\n" not in escaping.line(text)


@given(st.text())
def test_plain_words_pass_unchanged(text: str) -> None:
    kept = "".join(c for c in text if c.isalnum())
    assert escaping.terminal(kept) == escaping.line(kept) == escaping.markdown(kept).replace("\u2060", "") == kept


def test_json_stays_the_same_document() -> None:
    value = {"name": "a\x1bb\x9bc\u202ed", "n": [1, "ü"]}
    shown = escaping.terminal_json(json.dumps(value, ensure_ascii=False, indent=1))
    assert json.loads(shown) == value
    assert not re.search("[\x7f-\x9f\u202e]", shown)


@given(st.text(alphabet=string.printable + "äß\u202e", min_size=1))
def test_markdown_shows_the_text_and_nothing_else(text: str) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(f"before {escaping.markdown(text)} after")
    inline = [child for token in tokens for child in token.children or []]
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert {child.type for child in inline} <= {"text", "text_special"}
    shown = "".join(child.content for child in inline).replace("\u2060", "")
    assert " ".join(shown.split(" ")) == f"before {escaping.line(text)} after"


@pytest.mark.parametrize("text", HOSTILE)
def test_code_spans_hold_one_text(text: str) -> None:
    (token,) = [t for t in MarkdownIt().parse(escaping.markdown_code(text)) if t.type == "inline"]
    assert [child.type for child in token.children or []] == ["code_inline"]


def test_sentences_keep_their_blanks_and_bold() -> None:
    prose = ("The best, ", Strong("a*b"), " , is ", Strong(" "), "good.")
    assert escaping.plain(prose) == "The best, a*b , is  good."
    assert escaping.markdown_prose(prose) == r"The best\, **a\*b** \, is good\."


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "JAVASCRIPT:x",
        "//example.org",
        "/path",
        "https://",
        "http://a b",
        "https://x\n",
        "https://[::1",
        "\x01https://example.org",
        "mailto:a@example.org",
        None,
        "",
    ],
)
def test_only_addresses_of_the_web_are_links(address: str | None) -> None:
    assert escaping.web_address(address) is None
    assert "](" not in escaping.markdown_link("x", address)


def test_addresses_hold_nothing_that_ends_them() -> None:
    found = escaping.web_address("https://example.org/a\"b'c<d>(e)[f]{g}\\h?i=j&k#l")
    assert found is not None
    assert not set(found) & set("\"'<>{}\\ ()")
    assert escaping.web_address("https://arxiv.org/abs/2209.07341") == "https://arxiv.org/abs/2209.07341"


@pytest.mark.parametrize(
    "text", ["=1+1", "+1 x", "-x", "@sum", "\t=1", " =1", "\r=1", "\uff1d1", "\u200b=1", "\ufeff@x", '"=1', "\u2060+x"]
)
def test_formulas_are_text_in_a_spreadsheet(text: str) -> None:
    row = io.StringIO()
    csv.writer(row).writerow([escaping.csv_cell(text)])
    (cell,) = next(csv.reader(io.StringIO(row.getvalue(), newline="")))
    assert cell == f"'{text}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a;=1+1", "a;'=1+1"),
        ("a; @x", "a;' @x"),
        ("a\t=1", "a\t'=1"),
        ("a\n=1;=2", "a\n'=1;'=2"),
        ("=1;=2", "'=1;'=2"),
        ("photos 5; -0.5", "photos 5; -0.5"),
        ("a ;- b", "a ;'- b"),
    ],
)
def test_formulas_behind_what_some_spreadsheets_take_for_a_separator_are_text(text: str, shown: str) -> None:
    """Where numbers have a decimal comma, a cell ends at a semicolon."""
    assert escaping.csv_cell(text) == shown


@pytest.mark.parametrize("text", ["-0.5", "+1e-3", "1", "a-b", "0.5 [0.4, 0.6]", ""])
def test_numbers_and_words_are_left_alone(text: str) -> None:
    assert escaping.csv_cell(text) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_latex_has_no_command_of_others(text: str) -> None:
    own = r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar|textquotedbl)\{\}|\\[&%$#_{}]"
    rest = re.sub(own, "", escaping.latex(text))
    assert not set(rest) & set("\\{}$&#^_%\n")
    assert re.fullmatch(r"[A-Za-z0-9-]+", escaping.bibtex_key(text))


def test_charts_escape_every_text() -> None:
    """Pages take their SVG as it is."""
    text = "</text><script>alert(1)</script>&\"'"
    chart = alt.Chart(pd.DataFrame({"x": [1.0, 2.0], "who": [text, "b"]}), title=text).mark_text(text=text)
    drawn = chart.encode(x=alt.X("x", title=text), y="who", color="who")
    svg = draw(drawn.to_dict(), "svg").decode()
    assert "<script" not in svg
    assert svg.count("&lt;script&gt;") >= 5  # title, axis, labels, legend, marks


OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
EVERYTHING = (
    "Ada \u202e\u2066\x1b[2J\x9b31m\x00\udcff <script>hit()</script> ![i](https://evil.example/x) " + 3000 * "x"
)


@pytest.fixture
def audit() -> PersonAudit:
    """An audit in which every text of others is hostile: names that were typed, names of files, captions."""
    evidence = [{"caption": EVERYTHING, "place": EVERYTHING}]
    search = {"name": EVERYTHING, "verdict": "mentioned", "captions": 3, "evidence": evidence}
    one = PersonFinding(
        name=EVERYTHING,
        photos=(EVERYTHING,),
        unused=(EVERYTHING,),
        unusable=(EVERYTHING,),
        notes=(EVERYTHING,),
        refusal=EVERYTHING,
        attacks=(),
        n_references=9,
        n_members=0,
        search=search,
    )
    target = target_meant("avatars-a")
    left_out = {"keen": EVERYTHING}
    return PersonAudit(target, (one,), left_out, EVERYTHING, True, True, datetime(2026, 1, 2, tzinfo=UTC), 0, search)


def test_the_report_of_a_person_shows_text_of_others_as_text(audit: PersonAudit, tmp_path: Path) -> None:
    """A direction override in a caption or a file's name would turn the report's own words around."""
    page.write_html(audit, tmp_path / "report.html")
    written = (tmp_path / "report.html").read_bytes().decode("utf-8")
    assert not OBEYED.search(written)
    assert "<script>" not in written
    assert "\\u202e\\u2066\\x1b[2J\\x9b31m\\x00\\udcff &lt;script&gt;" in written


@pytest.mark.skipif(page.browser() is None, reason="no browser to print with")
def test_a_report_of_hostile_text_is_printed(audit: PersonAudit, tmp_path: Path) -> None:
    page.write_pdf(audit, tmp_path / "report.pdf")
    data = (tmp_path / "report.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert b"/URI" not in data, "an address in a caption is not a link of the report"


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_printed_to_be_copied_is_no_command_to_the_terminal(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    console.command(text)
    console.note(text)
    shown = capsys.readouterr()
    assert not OBEYED.search(shown.out + shown.err)


def test_charts_show_what_would_be_obeyed() -> None:
    """A control character makes an SVG that no browser opens, half of a pair one that cannot be drawn."""
    text = "a\u202eb\x1bc\ud800d"
    chart = alt.Chart(pd.DataFrame({"x": [1.0], "who": [text]}), title=text).mark_bar().encode(x="x", y="who")
    svg = draw(chart.to_dict(), "svg").decode()
    assert not OBEYED.search(svg)
    assert svg.count(r"a\u202eb\x1bc\ud800d") >= 2


def test_a_sentence_keeps_its_colons(capsys: pytest.CaptureFixture[str]) -> None:
    """`:smile:` is text, not a picture."""
    console.say("a:smile:b")
    console.note("a:smile:b")
    console.complain(IdbenchError("a:smile:b", hint="c:bug:d"))
    shown = capsys.readouterr()
    assert (shown.out + shown.err).count("a:smile:b") == 3
    assert "c:bug:d" in shown.err
