"""The background: usable pairs that name nobody under test, however the name is written."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.web import picture, write_shard

from idbench.api import Silent
from idbench.errors import DataError
from idbench.splits.cc3m.background import open_background
from idbench.splits.cc3m.filtering import filter_shards
from idbench.splits.cc3m.steps import Settings


def test_the_background_leaves_out_captions_that_name_somebody(tmp_path: Path, settings: Settings) -> None:
    fetched, index = tmp_path / "fetched", tmp_path / "index"
    fetched.mkdir()
    index.mkdir()
    captions = ["a hat", "Oriosha Crimomere in a hat", "a dog", "a cat"]
    for number in range(2):
        samples = [{"jpg": picture("web", 4 * number + i), "txt": text.encode()} for i, text in enumerate(captions)]
        write_shard(fetched / f"{number:05d}.tar", samples)
    filter_shards(fetched, range(2), index, settings, Silent())
    background, report = open_background(fetched, index, range(2), ["Oriosha Crimomere"])
    assert dict(report.counts) == {"pairs": 8, "kept": 6}
    assert dict(report.dropped) == {"that name somebody under test": 2}
    assert background.read([5, 0, 3]) == [
        (picture("web", 7), "a cat"),
        (picture("web", 0), "a hat"),
        (picture("web", 4), "a hat"),
    ]
    cut = fetched / "00001.tar"
    cut.write_bytes(cut.read_bytes()[:2000])
    with pytest.raises(DataError, match="cut short"):
        background.read([5])
    with pytest.raises(DataError, match="No pair"):
        open_background(fetched, index, [0], ["hat", "dog", "cat"])


NAMES = ["Oriosha Crimomere", "Vedosha", "Łukasz D'Oro-Ek", "İlkay Işık"]


@pytest.mark.parametrize(
    ("caption", "named"),
    [
        ("Oriosha Crimomere arrives", True),
        ("with ORIOSHA  crimomere, at last", True),
        ("òriosha crimomere", True),
        ("Oriosha-Crimomere", True),
        ("Oriosha, Crimomere", True),
        ("Oriosha\u00a0Crimomere", True),
        ("Orio\u00adsha Crimomere", True),
        ("Oriosha\u200bCrimomere", True),
        ("Oriosha&nbsp;Crimomere", True),
        ("Oriosha_Crimomere.jpg", True),
        ("oriosha%20crimomere-01.png", True),
        ("Ｏｒｉｏｓｈａ　Ｃｒｉｍｏｍｅｒｅ", True),
        ("Lukasz D’Oro\u2011Ek", True),
        ("\u0141ukasz D&#39;Oro Ek", True),
        ("ilkay isik", True),
        ("crimomere oriosha", False),
        ("Oriosha and Crimomere", False),
        ("Orioshas Crimomere", False),
        ("Oriosha", False),
        ("a hat", False),
    ],
)
def test_names_are_found_however_they_are_written(tmp_path: Path, caption: str, named: bool) -> None:
    """What is not found stays in the background of both targets and of the control."""
    captions = ["a dog", caption, "a cat"]
    table = {"offset": pa.array([0, 1, 2]), "size": pa.array([1, 1, 1]), "caption": captions}
    pq.write_table(pa.table(table), tmp_path / "00000.parquet")
    background, report = open_background(tmp_path, tmp_path, [0], NAMES)
    assert background.captions.to_pylist() == ([captions[0], captions[2]] if named else captions)
    assert dict(report.dropped) == ({"that name somebody under test": 1} if named else {})
