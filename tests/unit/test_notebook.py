"""`import idbench` in a notebook: results that show themselves, names or classes, and the example of the docs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import idbench
from idbench.api import Access, Attack, Knowledge, MethodCard, MethodParams, Scores
from idbench.errors import IdbenchError
from idbench.notebook import Result, name_of
from idbench_methods.attacks.cosine import Cosine

ROOT = Path(__file__).parents[2]
TINY = {"split": "avatars-tiny", "target": "avatars-a", "corpus": "avatars-tiny-a"}


@pytest.fixture(scope="module")
def results(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebook") / "results"


@pytest.fixture(scope="module")
def cosine(results: Path) -> Result:
    return idbench.run(Cosine, **TINY, results=results)


def test_what_a_person_may_use_is_all_that_is_listed() -> None:
    assert dir(idbench) == sorted([*idbench.__all__, "api", "metrics"])
    for name in dir(idbench):
        assert getattr(idbench, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        idbench.runn  # noqa: B018


def test_a_result_shows_itself(cosine: Result) -> None:
    page = cosine._repr_html_()
    assert "cosine" in page
    assert "AUC [95 %]" in page
    (row,) = cosine.to_frame().to_dict("records")
    assert row["auc_low"] <= row["auc"] <= row["auc_high"]
    assert row["tpr_at_1_percent"] is None  # 24 non-members cannot resolve it
    scores = cosine.scores()
    assert len(scores) == 72
    assert set(scores["part"]) == {"test", "calibration"}
    assert int(scores[scores["part"] == "test"]["member"].sum()) == 24


def test_results_are_compared_and_listed(cosine: Result, results: Path) -> None:
    other = idbench.run("random", **TINY, results=results)
    found = idbench.compare("cosine", "random", **TINY, results=results)
    assert found.sentence in found._repr_html_()
    assert found.to_frame()["readings"].tolist() == [1]
    alone = idbench.compare(cosine, other, split="avatars-tiny", corpus="avatars-tiny-a", results=results)
    assert alone.pairing.found.auc == found.pairing.found.auc
    listed = idbench.load_results(results)
    assert {one.run.record.attack.name for one in listed} >= {"cosine", "random"}
    assert len(listed.to_frame()) == len(listed)
    assert listed._repr_html_().count("<tr") == len(listed) + 1
    with pytest.raises(IdbenchError, match="does not exist"):
        idbench.load_results(results / "nowhere")


def test_what_a_prompt_prints_is_short(cosine: Result, results: Path) -> None:
    auc = f"AUC {cosine.to_frame()['auc'].item():.3f} ["
    assert repr(cosine).startswith(f"cosine on avatars-a, seed 0, {auc}")
    idbench.run("random", **TINY, results=results)
    found = idbench.compare("cosine", "random", **TINY, results=results)
    assert repr(found) == str(found) == found.sentence
    listed = idbench.load_results(results)
    assert repr(listed).splitlines() == [repr(one) for one in listed]


@pytest.mark.parametrize("seed", ["x", -1, 1.5, True, None])
def test_what_is_not_a_seed_gets_a_sentence(seed: Any, results: Path) -> None:
    with pytest.raises(IdbenchError, match="is not a whole number"):
        idbench.run("cosine", **TINY, seed=seed, results=results)


def test_methods_are_a_table() -> None:
    assert {"name", "track", "title"} <= set(idbench.list_methods().columns)


def test_a_class_that_no_other_process_could_find_is_refused() -> None:
    class Mine(Attack[MethodParams]):
        card = MethodCard(name="mine", version="1", title="mine", access=Access.NONE, knowledge=Knowledge.NAME)

        def score(self, target: object, cases: object, context: object) -> Scores:  # type: ignore[override]
            raise NotImplementedError

    with pytest.raises(IdbenchError, match="bench method new mine"):
        idbench.run(Mine, **TINY)
    assert name_of(Cosine) == "cosine"
    with pytest.raises(IdbenchError, match="is not an attack"):
        name_of(Path)  # type: ignore[arg-type]


def test_the_example_runs(cache: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(ROOT / "docs" / "example.ipynb", as_version=4)
    NotebookClient(notebook, timeout=250, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [output for output in shown if output.output_type == "error"]
    tables = [output for output in shown if "text/html" in output.get("data", {})]
    assert len(tables) >= 6
    assert any("AUC [95 %]" in output["data"]["text/html"] for output in tables)
