"""The campaign for a minute, with a fixed seed; `python -m tests.campaign --help` says how to go on for longer."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.campaign.campaign import KINDS, campaign


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_people_machines_and_strangers_do_breaks_the_program(
    kind: str, tmp_path: Path, plugins: Path
) -> None:
    report = campaign(tmp_path, 20260101, 7.0, [kind])
    assert report.tries[kind] > 0
    assert not report.failures, "\n".join(map(str, report.failures))
