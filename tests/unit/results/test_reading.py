"""What strangers wrote is read only if it is a regular file of bounded size, and JSON that can hurt nobody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.irregular import IRREGULAR_FILES

from idbench.errors import IdbenchError
from idbench.results.reading import DEEPEST, LONGEST, parse_json, read_regular, shortened


def test_a_regular_file_of_the_size_allowed_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_regular(tmp_path / "file", 5) == b"12345"
    with pytest.raises(IdbenchError, match="is larger than 4 bytes"):
        read_regular(tmp_path / "file", 4)


@pytest.mark.parametrize("make", IRREGULAR_FILES, ids=lambda make: make.__name__)
@pytest.mark.timeout(20)
def test_whatever_is_not_a_regular_file_is_refused_at_once(make: object, tmp_path: Path) -> None:
    make(tmp_path / "run.json")  # type: ignore[operator]
    with pytest.raises(IdbenchError) as caught:
        read_regular(tmp_path / "run.json", 1 << 20)
    assert "run.json" in caught.value.message


def test_a_file_that_states_no_size_is_read_whole() -> None:
    """The kernel's own files are regular and claim to be empty."""
    limits = Path("/proc/self/limits")
    if not limits.exists():
        pytest.skip("no such files on this system")
    assert limits.stat().st_size == 0
    assert b"Max open files" in read_regular(limits, 1 << 20)
    with pytest.raises(IdbenchError, match="is larger than 100 bytes"):
        read_regular(limits, 100)


def test_many_brackets_in_texts_are_no_depth() -> None:
    text = '[{"a": "' + "[{" * 50 + '\\\\"}, {"b\\"[[": [' + ", ".join(["[]"] * 50) + "]}]"
    assert parse_json(text.encode()) == json.loads(text)


def test_ordinary_values_come_back() -> None:
    value = {"a": [1, 2.5, None, True, "\u00e9\U0001f600"], "b": {"c": "brackets [[[{{{ in a text"}, "d": 2**63 - 1}
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        assert parse_json(text.encode()) == value


HOSTILE = {
    "empty": (b"", "is not JSON"),
    "cut off": (b'{"a": ', "is not JSON"),
    "not utf-8": (b'{"a": "\xff"}', "not UTF-8"),
    "a surrogate in utf-8": (b'"\xed\xa0\x80"', "not UTF-8"),
    "utf-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
    "nested lists": (b"[" * 20_000 + b"]" * 20_000, f"deeper than {DEEPEST}"),
    "nested objects": (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, f"deeper than {DEEPEST}"),
    "never closed": (b"[" * 900_000, f"deeper than {DEEPEST}"),
    "a text of quotes that never ends": (b'"' + b'\\"' * 400_000 + b"[" * 40, "is not JSON"),
    "a text that ends in a backslash": (b"[" * 40 + b'"\\', f"deeper than {DEEPEST}"),
    "brackets behind a text": (b'["]]' + b'", "[' * 40 + b'"' + b"[" * 40, f"deeper than {DEEPEST}"),
    "a key twice": (b'{"a": 1, "a": 2}', "the key 'a' twice"),
    "a key twice deep inside": (b'{"x": [{"a": 1, "a": 2}]}', "the key 'a' twice"),
    "NaN": (b'{"a": NaN}', "NaN"),
    "infinity": (b"[-Infinity]", "Infinity"),
    "too large": (b"[1e999]", "too large"),
    "65 bits": (b"[9223372036854775808]", "64 bits"),
    "5000 digits": (b"[" + b"9" * 5000 + b"]", "64 bits"),
    "below 64 bits": (b"[-9223372036854775809]", "64 bits"),
    "lone surrogate": (rb'{"title": "\ud800"}', "not Unicode"),
    "lone surrogate as a key": (rb'{"\udfff": 1}', "not Unicode"),
    "surrogates the wrong way round": (rb'["\udc00\ud800"]', "not Unicode"),
    "long text": (b'["' + b"x" * (LONGEST + 1) + b'"]', "characters"),
    "long key": (b'{"' + b"x" * (LONGEST + 1) + b'": 1}', "characters"),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.timeout(20)
def test_hostile_json_is_refused_with_one_bounded_sentence(kind: str) -> None:
    raw, words = HOSTILE[kind]
    with pytest.raises(ValueError, match=words) as caught:
        parse_json(raw)
    text = str(caught.value)
    assert len(text) < 300
    assert text.encode()


def test_what_is_quoted_is_short_and_can_be_encoded() -> None:
    assert shortened("x" * 1000).endswith("…")
    assert len(shortened("x" * 1000)) == 60
    assert shortened("\ud800").encode() == b"\\ud800"
