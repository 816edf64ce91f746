"""Which captions hold which names: words, overlaps, ways of writing, and agreement with a search too simple to err."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idbench.captions import EXACT, FOLDED, UPSTREAM, Folding, Matcher, Rules, Sought, gather, matching
from idbench.captions.folding import is_word, word_class
from idbench.captions.matching import patterns_of
from idbench.errors import DataError


def found(names: list[str], caption: str, rules: Rules | None = None) -> set[str]:
    """Names that stand in a caption."""
    sought = gather((name, name) for name in names)
    hits = Matcher(sought, rules or Rules(EXACT)).find(pa.array([caption]))
    return {sought[hit.person].name for hit in hits}


@pytest.mark.parametrize(
    ("name", "caption", "held"),
    [
        ("Ann Lee", "Ann Lee at a gala", True),
        ("Ann Lee", "portrait of Ann Lee", True),
        ("Ann Lee", "Ann Lee's garden", True),
        ("Ann Lee", "(Ann Lee)", True),
        ("Ann Lee", "Joann Lee", False),
        ("Ann Lee", "Ann Leeson", False),
        ("Ann Lee", "Ann_Lee", False),
        ("Ann Lee", "Ann Lee2", False),
        ("Ann Lee", "ann lee", False),
        ("Ann Lee", "Ann  Lee", False),
        ("Max B. Orrin", "Max B. Orrin, 1999", True),
        ("Max B. Orrin", "Max Bo Orrin", False),
        ("Max B. Orrin", "Max B_ Orrin", False),
        ("Tom O.", "Tom O., smiling", True),
        ("Ada Vonn-Tal", "Ada Vonn-Tal sings", True),
        ("Ada Vonn-Tal", "Ada Vonn Tal sings", False),
        ("Siv D'Oro", "Siv D'Oro's hat", True),
        ("Jörn Påske", "Jörn Påske singt", True),
        ("Jörn Påske", "Jorn Paske singt", False),
        ("Lee Ann", "Lee Anné", False),
        ("Ann (Nan) Lee", "Ann (Nan) Lee", True),
        ("A+B *C", "was A+B *C here", True),
    ],
)
def test_exact_with_word_boundaries(name: str, caption: str, held: bool) -> None:
    assert (found([name], caption) == {name}) is held
    assert (Matcher(gather([(name, name)]), Rules(EXACT)).people_in(caption) == {0}) is held


def test_composed_and_decomposed_are_one_name_unless_code_points_are_asked_for() -> None:
    composed, decomposed = (unicodedata.normalize(form, "Jörn Påske") for form in ("NFC", "NFD"))
    assert composed != decomposed
    for name, caption in ((composed, decomposed), (decomposed, composed)):
        assert found([name], f"x {caption} y") == {name}
        assert not found([name], f"x {caption} y", Rules(Folding(canonical=False)))
    # Here the accent belongs to the letter before it: another name.
    assert not found(["Ann Lee"], "Ann Lee\u0301", Rules(Folding(canonical=False)))


@pytest.mark.parametrize(
    ("name", "caption"),
    [("Jörn Påske", "JÖRN PÅSKE"), ("Ida Straße", "IDA STRASSE"), ("İlke Ömür", "i̇lke ömür"), ("Νίκος Α", "νίκοσ α")],
)
def test_case_folding_changes_lengths_and_still_sees_words(name: str, caption: str) -> None:
    rules = Rules(Folding(case=True))
    assert found([name], f"ﬁne ß {caption}, STRASSE", rules) == {name}
    assert not found([name], f"ß x{caption}", rules)
    assert not found([name], f"ß {caption}x", rules)


@pytest.mark.parametrize("caption", ["Jorn Paske", "Jörn Påske", unicodedata.normalize("NFD", "Jörn Påske")])
def test_accents_folded(caption: str) -> None:
    assert found(["Jörn Påske"], f"é {caption} é", Rules(Folding(accents=True))) == {"Jörn Påske"}
    assert found(["Åse Łøk"], "Ase Lok", Rules(Folding(accents=True))) == {"Åse Łøk"}
    assert not found(["Åse Łøk"], "ase lok", Rules(Folding(accents=True)))


def test_vowel_signs_of_other_scripts_are_no_accents() -> None:
    assert not found(["किरण"], "करण", Rules(Folding(accents=True)))
    assert found(["किरण"], "श्री किरण", Rules(Folding(accents=True))) == {"किरण"}
    assert not found(["किर"], "श्री किरण", Rules(EXACT))
    assert not found(["किरण"], "किरणों", Rules(EXACT)), "a vowel sign continues the word"


def test_names_within_longer_names() -> None:
    sought = gather((name, name) for name in ("Ann Lee", "Mary Ann Lee", "Ann"))
    captions = ["Mary Ann Lee", "Ann Lee and Mary Ann Lee", "Ann Lee", "Ann", "nobody"]
    hits = {
        (hit.place, sought[hit.person].name): hit.longer
        for hit in Matcher(sought, Rules(EXACT)).find(pa.array(captions))
    }
    assert hits == {
        (0, "Mary Ann Lee"): False,
        (0, "Ann Lee"): True,
        (0, "Ann"): True,
        (1, "Mary Ann Lee"): False,
        (1, "Ann Lee"): False,
        (1, "Ann"): True,
        (2, "Ann Lee"): False,
        (2, "Ann"): True,
        (3, "Ann"): False,
    }


def test_a_caption_counts_once_for_each_person() -> None:
    sought = gather([("p1", "Jörn Påske"), ("p1", "Joern Paaske"), ("p2", "Ann Lee")])
    captions = pa.array(["Joern Paaske, Jörn Påske, Jörn Påske", "Ann Lee Ann Lee"])
    assert [(hit.place, hit.person) for hit in Matcher(sought, Rules(EXACT)).find(captions)] == [(0, 0), (1, 1)]


def test_names_that_folding_makes_equal_are_counted_for_each_and_told() -> None:
    sought = gather((name, name) for name in ("Jörn", "Jorn", "Ann"))
    matcher = Matcher(sought, Rules(Folding(accents=True)))
    assert matcher.shared == [(0, 1)]
    assert {hit.person for hit in matcher.find(pa.array(["Jorn"]))} == {0, 1}
    assert Matcher(sought, Rules(EXACT)).shared == []


@pytest.mark.parametrize("name", ["...", "-", "\u0301"])
def test_a_name_without_letters_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="no letter"):
        Matcher([Sought("p1", name, (name,))], Rules(Folding(accents=True)))


LETTERS = st.text(st.sampled_from("abAB é.-'+(\\[*^$|?{ßü\u0301\u200b\xad\n_&;#4%20ıŁ王"), max_size=12)


@settings(max_examples=120, deadline=None)
@given(
    names=st.lists(LETTERS.filter(lambda text: any(char.isalnum() for char in text)), min_size=1, max_size=5),
    captions=st.lists(LETTERS, min_size=1, max_size=8),
    case=st.booleans(),
    accents=st.booleans(),
    writing=st.booleans(),
    boundaries=st.booleans(),
    fast=st.booleans(),
)
def test_agrees_with_one_name_after_the_other(
    names: list[str], captions: list[str], case: bool, accents: bool, writing: bool, boundaries: bool, fast: bool
) -> None:
    folding = Folding(case, accents, writing)
    sought = gather((name, name) for name in dict.fromkeys(names))
    with pytest.MonkeyPatch.context() as patch:
        if not fast:
            patch.setattr(matching, "DFA_LIMIT", 0)
        hits = Matcher(sought, Rules(folding, boundaries)).find(pa.array(captions))
    expected = {
        (place, person)
        for place, caption in enumerate(captions)
        for person, one in enumerate(sought)
        if any(
            _stands(name, folding(caption), boundaries, writing)
            for name in patterns_of(one.name, folding)
            if any(map(str.isalnum, name))
        )
    }
    assert {(hit.place, hit.person) for hit in hits} == expected


def _stands(name: str, caption: str, boundaries: bool, writing: bool) -> bool:
    kind = word_class if writing else is_word
    for start in range(len(caption) - len(name) + 1):
        if caption[start : start + len(name)] == name:
            before, after = caption[:start][-1:], caption[start + len(name) :][:1]
            cut = any(
                outer and kind(outer) and kind(outer) == kind(inner)
                for outer, inner in ((before, name[0]), (after, name[-1]))
            )
            if not (boundaries and cut):
                return True
    return False


def test_exact_counts_equal_a_regular_expression_name_by_name() -> None:
    """The counts of the field were made so: nothing of what is folded elsewhere may change them."""
    rng = np.random.default_rng(0)
    names = [f"{first} {last}" for first in ("Ann", "Jörn", "Siv D'", "王") for last in ("Lee", "Påske", "B.", "O-Ek")]
    between = np.array([" ", "  ", "\u00a0", "_", ", ", "&nbsp;", "\n", "\u00ad", "’"])
    words = np.array([*names, *(name.upper() for name in names), *" ".join(names).split(), "a", "cat", "Å", "x1"])
    captions = [
        "".join(f"{words[rng.integers(len(words))]}{between[rng.integers(len(between))]}" for _ in range(6))
        for _ in range(3000)
    ]
    sought = gather((name, name) for name in names)
    found = Counter(hit.person for hit in Matcher(sought, UPSTREAM).find(pa.array(captions)))
    assert found == {
        i: sum(bool(re.search(re.escape(name), text)) for text in captions) for i, name in enumerate(names)
    }
    assert found.total() > 3000


def test_captions_that_follow_each_other_in_memory_are_not_read_as_one() -> None:
    sought = gather([("Ann Lee", "Ann Lee")])
    captions = pa.array(["skipped Ann Lee", "with Ann", " Lee", "", "Ann Lee", "é Ann Lee é"]).slice(1)
    for rules, places in ((Rules(EXACT, boundaries=False), [3, 4]), (Rules(EXACT), [3, 4])):
        assert [hit.place for hit in Matcher(sought, rules).find(captions)] == places
    for kind in (pa.large_string(), pa.string_view()):  # their places in memory are kept in other ways
        assert [hit.place for hit in Matcher(sought, Rules(EXACT)).find(captions.cast(kind))] == [3, 4]
    assert not Matcher(sought, Rules(EXACT)).find(captions.slice(0, 0))
    assert not Matcher(sought, Rules(EXACT)).find(pa.array(["", ""]))


def test_a_caption_that_repeats_names_ten_thousand_times() -> None:
    """Each occurrence is held against its neighbours only: against all others, this takes minutes."""
    sought = gather((name, name) for name in ("Ann Lee", "Mary Ann Lee", "Ann", "Tom Ek"))
    captions = pa.array(["Mary Ann Lee Tom Ek " * 10_000, "Mary Ann Lee Tom Ek " * 10_000 + "Ann Lee"])
    hits = {(hit.place, hit.person): hit.longer for hit in Matcher(sought, Rules(EXACT)).find(captions)}
    assert hits == {
        **{(place, 1): False for place in (0, 1)},
        **{(place, 2): True for place in (0, 1)},
        **{(place, 3): False for place in (0, 1)},
        (0, 0): True,
        (1, 0): False,
    }


NBSP, SHY, ZWSP, NB_HYPHEN = "\u00a0", "\u00ad", "\u200b", "\u2011"


@pytest.mark.parametrize(
    ("name", "captions"),
    [
        (
            "Ann Lee",
            [
                f"with Ann{NBSP}Lee", "Ann  Lee", "Ann \t Lee", "Ann\nLee", "Ann\r\nLee", "Ann\u2028Lee", "Ann\x85Lee",
                "Ann\u3000Lee", "Ann\u2009Lee", "Ann\u202fLee", f"A{SHY}nn Le{SHY}e", f"An{ZWSP}n Lee", f"Ann{ZWSP}Lee",
                "Ann\u2060 Lee", "\ufeffAnn Lee", "\u202aAnn\u202c Lee", "Ann\ufe0f Lee", "A\u200dnn Lee",
                "Ann\U000e0020 Lee",
            ],
        ),
        (
            "Ann Lee",
            [
                "Ann&nbsp;Lee", "Ann&#160;Lee", "Ann&#xA0;Lee", "Ann&amp;nbsp;Lee", "Ann&nbspLee", "A&shy;nn Lee",
                "&#65;nn Lee", "Ann&#8203;Lee", "Ann<br/>Lee", "<b>Ann</b> <i>Lee</i>", "Ann\\u00a0Lee", "Ann\\nLee",
                "Ann%20Lee", "Ann%2520Lee", "Ann+Lee", "100% Ann Lee", "100%Ann Lee", "AT&Ann Lee",
            ],
        ),
        (
            "Ann Lee",
            [
                "Ann_Lee.jpg", "ann-lee-1.jpg", "photos/ann_lee_02.png", "C:\\fotos\\ann lee.jpg", "ann.lee@x",
                "Ann_Lee01.jpg", "007Ann Lee", "ANN LEE", "ann lee", "Ann Lee's", "Ann Lee’s", "(Ann) Lee", "Ann, Lee",
                "Ánn Léè", "A\u0301nn Lee", "Ａｎｎ Ｌｅｅ", "ＡＮＮ　ＬＥＥ", "𝐀𝐧𝐧 𝐋𝐞𝐞",
                "Ⓐⓝⓝ Ⓛⓔⓔ", "ᴀɴɴ ʟᴇᴇ", "Ann 🐈 Lee",
            ],
        ),
        (
            "Siv D'Oro-Ek",
            [
                "Siv D’Oro-Ek", "Siv D‘Oro-Ek", "Siv Dʼoro-Ek", "Siv D`Oro-Ek", "Siv D´Oro-Ek",
                "Siv D′Oro-Ek", "Siv D＇Oro-Ek",
                "Siv D&#39;Oro-Ek", "Siv D&rsquo;Oro-Ek", "Siv D&#x27;Oro&#8209;Ek",
                f"Siv D'Oro{NB_HYPHEN}Ek", "Siv D'Oro–Ek",
                "Siv D'Oro—Ek", "Siv D'Oro‐Ek", "Siv D'Oro−Ek", f"Siv D'Oro{SHY}Ek", "Siv D'Oro Ek", "siv_doroek.jpg",
            ],
        ),
        ("Łukasz Żółć", ["Lukasz Zolc", "ŁUKASZ ŻÓŁĆ", "Łukasz Żółć".encode().decode("latin-1"), "Lukasz&nbsp;Zolc"]),
        ("Lukasz Zolc", ["Łukasz Żółć", unicodedata.normalize("NFD", "Łukasz Żółć"), "&#321;ukasz Zolc"]),
        ("İlkay Işık", ["Ilkay Isik", "ilkay ışık", "İLKAY IŞIK", "i̇lkay isik", "ILKAY ISIK"]),
        ("Ilkay Isik", ["İlkay Işık", "ılkay ısık"]),
        ("Jörn Påske", ["Jorn Paske", "JÃ¶rn PÃ¥ske", "J%C3%B6rn%20P%C3%A5ske"]),
        ("Jörn Påske", ["J&ouml;rn P&aring;ske", "J\\u00f6rn P\\u00e5ske"]),
        ("Đặng Thị", ["Dang Thi", unicodedata.normalize("NFD", "Đặng Thị")]),
        ("Ægir Þórðrson", ["Aegir Thordrson", "ÆGIR ÞÓRÐRSON"]),
        ("Ida Straße", ["IDA STRASSE", "Ida Strasse"]),
        ("王小明", ["演员王小明出席", "王小明, 2019"]),
        ("김철수", ["배우 김철수는", unicodedata.normalize("NFD", "김철수")]),
        ("محمد علي", ["مُحَمَّد عَلِي", "محمـد علي"]),
        ("علی رضا", ["علی\u200cرضا"]),
        ("J.R.R. Quill", ["JRR Quill", "J. R. R. Quill", "J R R Quill"]),
        ("J. R. R. Quill", ["JRR Quill", "J.R.R. Quill", "J. R.R. Quill", "j-r-r-quill.jpg"]),
        ("Jörn Påske", ["J%F6rn_P%E5ske.jpg", "J&OUML;RN P&ARING;SKE", "JÖRN&NBSP;PÅSKE", "JörnÂ\u00a0Påske"]),
        ("Siv D'Oro", ["Siv Dâ€™Oro", "Siv Dâ\x80\x99Oro", "SivÂ\u00a0D&APOS;Oro", "Siv Dâ€™Oroâ€™s hat"]),
    ],
)  # fmt: skip
def test_ways_of_writing_a_name(name: str, captions: list[str]) -> None:
    assert [caption for caption in captions if not found([name], caption, Rules(FOLDED))] == []
    matcher = Matcher(gather([(name, name)]), Rules(FOLDED))
    around = pa.array([text for caption in captions for text in (caption, "nobody", f"à {caption} é", "\n")])
    assert [hit.place for hit in matcher.find(around)] == [i for i in range(len(around)) if i % 4 in (0, 2)]


@pytest.mark.parametrize(
    ("name", "caption"),
    [
        ("Ann Lee", "Joann Lee"),
        ("Ann Lee", "Ann Leeson"),
        ("Ann Lee", "Lee, Ann"),
        ("Ann Lee", "Ann and Lee"),
        ("Ann Lee", "AnnLee"),
        ("Ann Lee", "Ann\u00e9 Lee"),
        ("Jörn Påske", "Joern Paaske"),
        ("किरण", "करण"),
        ("Ann Lee 2", "Ann Lee 22"),
        ("Ann Lee", "\u0410nn Lee"),
    ],
)
def test_what_is_another_name_when_everything_is_folded(name: str, caption: str) -> None:
    assert not found([name], caption, Rules(FOLDED))


def test_rules_say_what_they_do_and_what_they_leave_out() -> None:
    assert str(Rules(FOLDED)) == "case, accents and writing folded, word boundaries"
    assert str(Rules(EXACT, boundaries=False)) == "exact, any substring"
    assert "another case" in Rules(EXACT).not_looked_for
    assert "another case" not in Rules(FOLDED).not_looked_for
    assert "nicknames and initials" in Rules(FOLDED).not_looked_for


@pytest.mark.parametrize(
    "caption", ["Siv D'Oro-Ek", "Siv DOro-Ek", "Siv D’OroEk", "SIV DOROEK", "siv_doro_ek.jpg", "Siv D Oro Ek"]
)
def test_each_sign_within_a_name_may_be_left_out_on_its_own(caption: str) -> None:
    matcher = Matcher([Sought("1", "Siv D'Oro-Ek", ("Siv D'Oro-Ek",))], Rules())
    assert matcher.people_in(caption) == {0}


def test_a_name_of_many_signs_has_few_patterns() -> None:
    assert len(patterns_of("-".join("abcdefghijklmnopqrst"), FOLDED)) == 2
