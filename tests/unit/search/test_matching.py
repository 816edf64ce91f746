"""Which captions hold which names: words, folding, overlaps, and agreement with a search that is too simple to err."""

from __future__ import annotations

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idbench.errors import DataError
from idbench.search import Folding, Matcher, Rules, Sought, gather, matching
from idbench.search.folding import is_word


def found(names: list[str], caption: str, rules: Rules | None = None) -> set[str]:
    """Names that stand in a caption."""
    sought = gather((name, name) for name in names)
    hits = Matcher(sought, rules or Rules()).find(pa.array([caption]))
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
    assert (Matcher(gather([(name, name)]), Rules()).people_in(caption) == {0}) is held


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
    assert not found(["किर"], "श्री किरण", Rules())
    assert not found(["किरण"], "किरणों", Rules()), "a vowel sign continues the word"


def test_names_within_longer_names() -> None:
    sought = gather((name, name) for name in ("Ann Lee", "Mary Ann Lee", "Ann"))
    captions = ["Mary Ann Lee", "Ann Lee and Mary Ann Lee", "Ann Lee", "Ann", "nobody"]
    hits = {
        (hit.place, sought[hit.person].name): hit.longer for hit in Matcher(sought, Rules()).find(pa.array(captions))
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
    assert [(hit.place, hit.person) for hit in Matcher(sought, Rules()).find(captions)] == [(0, 0), (1, 1)]


def test_names_that_folding_makes_equal_are_counted_for_each_and_told() -> None:
    sought = gather((name, name) for name in ("Jörn", "Jorn", "Ann"))
    matcher = Matcher(sought, Rules(Folding(accents=True)))
    assert matcher.shared == [(0, 1)]
    assert {hit.person for hit in matcher.find(pa.array(["Jorn"]))} == {0, 1}
    assert Matcher(sought, Rules()).shared == []


@pytest.mark.parametrize("name", ["...", "-", "\u0301"])
def test_a_name_without_letters_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="no letter"):
        Matcher([Sought("p1", name, (name,))], Rules(Folding(accents=True)))


LETTERS = st.text(st.sampled_from("abAB é.-'+(\\[*^$|?{ßü\u0301"), max_size=12)


@settings(max_examples=120, deadline=None)
@given(
    names=st.lists(LETTERS.filter(lambda text: any(char.isalnum() for char in text)), min_size=1, max_size=5),
    captions=st.lists(LETTERS, min_size=1, max_size=8),
    case=st.booleans(),
    accents=st.booleans(),
    boundaries=st.booleans(),
    fast=st.booleans(),
)
def test_agrees_with_one_name_after_the_other(
    names: list[str], captions: list[str], case: bool, accents: bool, boundaries: bool, fast: bool
) -> None:
    folding = Folding(case, accents)
    sought = gather((name, name) for name in dict.fromkeys(names))
    with pytest.MonkeyPatch.context() as patch:
        if not fast:
            patch.setattr(matching, "_DFA_LIMIT", 0)
        hits = Matcher(sought, Rules(folding, boundaries)).find(pa.array(captions))
    expected = {
        (place, person)
        for place, caption in enumerate(captions)
        for person, one in enumerate(sought)
        if _stands(folding(one.name), folding(caption), boundaries)
    }
    assert {(hit.place, hit.person) for hit in hits} == expected


def _stands(name: str, caption: str, boundaries: bool) -> bool:
    for start in range(len(caption) - len(name) + 1):
        if caption[start : start + len(name)] == name:
            before, after = caption[:start][-1:], caption[start + len(name) :][:1]
            cut = (before and is_word(before) and is_word(name[0])) or (after and is_word(after) and is_word(name[-1]))
            if not (boundaries and cut):
                return True
    return False


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30), st.booleans(), st.booleans())
def test_equivalent_texts_fold_to_the_same(text: str, case: bool, accents: bool) -> None:
    folding = Folding(case, accents)
    forms = {folding(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")} | {folding(text)}
    assert len(forms) == 1
    assert folding.column(pa.array([text, "Plain"])).to_pylist() == [folding(text), folding("Plain")]


@pytest.mark.parametrize("folding", [Folding(), Folding(case=True), Folding(case=True, accents=True)], ids=str)
def test_a_column_is_folded_as_its_texts_are(folding: Folding) -> None:
    # Every character behind a letter and before a mark: what may be skipped must not be what composing would change.
    characters = [chr(code) for code in range(0x20000) if not 0xD800 <= code < 0xE000]
    texts = [text for char in characters for text in (f"a{char}", "", f"{char}\u0323")]
    assert folding.column(pa.array(texts)).to_pylist() == [folding(text) for text in texts]
    # Nothing of this is looked at without folding.
    plain = [f"{char}{other}" for char in characters[:0x300] for other in ("e", "\u02ff")]
    assert folding.column(pa.array(plain)).to_pylist() == [folding(text) for text in plain]


def test_case_is_folded_as_unicode_says_for_every_character_with_case_or_marks() -> None:
    characters = [
        char for char in map(chr, range(0x110000)) if {char} != {char.casefold(), unicodedata.normalize("NFD", char)}
    ]
    for after in ("", "\u0345", "\u0301\u0323"):
        for char in characters:
            text = f"a{char}{after}"
            # Unicode Standard, 3.13, D145, with every step that may usually be left out.
            full = unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())
            assert Folding(case=True)(text) == unicodedata.normalize("NFC", full), ascii(text)


def test_captions_that_follow_each_other_in_memory_are_not_read_as_one() -> None:
    sought = gather([("Ann Lee", "Ann Lee")])
    captions = pa.array(["skipped Ann Lee", "with Ann", " Lee", "", "Ann Lee", "é Ann Lee é"]).slice(1)
    for rules, places in ((Rules(boundaries=False), [3, 4]), (Rules(), [3, 4])):
        assert [hit.place for hit in Matcher(sought, rules).find(captions)] == places
    for kind in (pa.large_string(), pa.string_view()):  # their places in memory are kept in other ways
        assert [hit.place for hit in Matcher(sought, Rules()).find(captions.cast(kind))] == [3, 4]
    assert not Matcher(sought, Rules()).find(captions.slice(0, 0))
    assert not Matcher(sought, Rules()).find(pa.array(["", ""]))


def test_a_caption_that_repeats_names_ten_thousand_times() -> None:
    """Each occurrence is held against its neighbours only: against all others, this takes minutes."""
    sought = gather((name, name) for name in ("Ann Lee", "Mary Ann Lee", "Ann", "Tom Ek"))
    captions = pa.array(["Mary Ann Lee Tom Ek " * 10_000, "Mary Ann Lee Tom Ek " * 10_000 + "Ann Lee"])
    hits = {(hit.place, hit.person): hit.longer for hit in Matcher(sought, Rules()).find(captions)}
    assert hits == {
        **{(place, 1): False for place in (0, 1)},
        **{(place, 2): True for place in (0, 1)},
        **{(place, 3): False for place in (0, 1)},
        (0, 0): True,
        (1, 0): False,
    }
