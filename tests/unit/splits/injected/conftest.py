"""A folder of fictional faces, and the small split that is made of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tests.fictional_faces import draw_faces

from idbench.api import Silent
from idbench.splits import SourcedRecipe, Sources, Split
from idbench.splits.building import build_sourced
from idbench.splits.injected.faces import FacesSpec, build_faces
from idbench.splits.lfw import SPEC

SMALL: FacesSpec = replace(SPEC, name="drawn", n_candidates=60, n_public=8)
RECIPE = SourcedRecipe("drawn", 1, "Drawn people", ("faces",), SMALL.corpora, partial(build_faces, SMALL))


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn people; tests must not change the folder."""
    return draw_faces(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="session")
def built(faces: Path, cache: Path) -> Split:
    """The split made of them, in the session's cache."""
    return build_sourced(RECIPE, Sources(faces=faces), Silent()).split
