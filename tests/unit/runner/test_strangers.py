"""Strangers' plug-ins of every group: read and carried out elsewhere, none of their code runs here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.small_runs import FORKS

from idbench.api import Access, AnswerAdaptation, AnswerDefense, Silent, TargetDefense, WeightAdaptation
from idbench.errors import IdbenchError, MethodError, PluginError
from idbench.plugins import INSTRUMENTS, find, is_own
from idbench.results import Run
from idbench.runner.bundle import DEFENSE
from idbench.runner.confinement import can_confine
from idbench.runner.defense_work import answered_of
from idbench.runner.execute import Options, execute
from idbench.runner.grid import make_grid, specs
from idbench.runner.registry import ADAPTATIONS, DEFENSES, blind_attacks, find_attack, load_defense
from idbench.runner.spec import Resolver, plan_adaptation, plan_defense
from idbench.splits import SPLITS, SourcedRecipe, Sources, SplitRecipe, load_corpus, load_split
from idbench.splits.building import build_sourced
from idbench.studies.catalogue import STUDIES
from idbench.targets import TARGETS, resolve_target

METHODS = """
import sys
from pydantic import Field
from idbench.api import Access, AdaptationCard, AnswerAdaptation, AnswerCard, AnswerDefense, AskingCard, DefenseCard
from idbench.api import Knowledge, MethodParams, TargetDefense, TargetFront, WeightAdaptation

class OddParams(MethodParams):
    strength: float = Field(default=0.5, ge=0, le=1, description="how much")

class Odd(TargetDefense[OddParams]):
    card = DefenseCard(name="odd", version="1", title="Odd", knowledge=Knowledge.NAME,
                       presets={"full": {"strength": 1}})

    def defend(self, target, protected, context):
        return target.model.state_dict()

class Faces:
    def __get__(self, instance, owner):
        running = getattr(sys.modules["__main__"].__spec__, "name", "") == "idbench.runner.worker"
        return AnswerCard(name="odd-answers", version="1", title="Odd", knowledge=Knowledge.NAME,
                          answers=Access.SIMILARITY | Access.GRADIENT if running else Access.SIMILARITY)

class Front(TargetFront):
    def labels(self, photos, texts):
        return self._target.labels(photos, texts)

    def similarities(self, photos, texts):
        return self._target.similarities(photos, texts)

class OddAnswers(AnswerDefense[MethodParams]):
    card = Faces()

    def defend(self, target, protected, context):
        return Front(target, "odd-answers")

class OddQuestions(AnswerAdaptation[OddParams]):
    card = AskingCard(name="odd-questions", version="1", title="Odd", knowledge=Knowledge.NAME,
                      answers=Access.SIMILARITY, presets={"full": {"strength": 1}})

    def adapt(self, target, people, calibration, context):
        return None if self.params.strength == 0 else Halved(target, self.params.strength)

class Halved(TargetFront):
    def __init__(self, target, strength):
        super().__init__(target, "odd-questions")
        self._strength = strength

    def labels(self, photos, texts):
        return self._target.labels(photos, texts)

    def similarities(self, photos, texts):
        return self._target.similarities(photos, texts) * self._strength

class OddWeights(WeightAdaptation[MethodParams]):
    card = AdaptationCard(name="odd-weights", version="1", title="Odd", knowledge=Knowledge.NONE)

    def adapt(self, target, context):
        weights = target.model.state_dict()
        weights["text_projection"] = -weights["text_projection"]
        return weights
"""

EARLY = """
import sys
from pathlib import Path
import numpy as np
from idbench.api import Access, Attack, Knowledge, MethodCard, MethodParams, Scores

def seen():
    places = [Path(word) / "defense" for word in sys.argv[1:2]]
    return [str(file) for place in places if place.is_dir() for file in place.rglob("*")]

SEEN = seen()  # when this module is imported: before anybody could ask the target

class Early(Attack[MethodParams]):
    card = MethodCard(name="early", version="1", title="Early", access=Access.SIMILARITY,
                      knowledge=Knowledge.NAME | Knowledge.PHOTOS)

    def score(self, target, cases, context):
        if SEEN or seen():
            raise RuntimeError(f"seen: {SEEN} {seen()}")
        return Scores(np.array([target.similarities(case.photos[:1], [case.name]).mean() for case in cases]))
"""

DATA = """
from pathlib import Path
from idbench.api.studies import BudgetAxis, BudgetStudy
from idbench.splits.avatars import TINY
from idbench.splits.recipe import CorpusRecipe, SourcedRecipe, SplitRecipe
from idbench.targets.avatars import A

def escape(where):
    try:
        (Path(where) / "escaped").write_text("x")
    except OSError:
        pass

def build(folder, progress):
    escape(CACHE)
    progress.update(1, 2, "half of it")
    TINY.build(folder, progress)
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"avatars-tiny"', '"odd-split"'))

def corpus(folder, progress):
    escape(CACHE)
    TINY.corpora["avatars-tiny-a"].build(folder, progress)

def sourced(sources, split, corpora, progress):
    assert sources.seed == "a secret of sixteen letters"
    build(split, progress)
    return [f"read {len(list(sources.faces.iterdir()))} folders"]

SPLIT = SplitRecipe(name="odd-split", version=1, title="Odd", build=build,
                    corpora={"odd-corpus": CorpusRecipe("odd-corpus", "Odd", corpus)})
GIVEN = SourcedRecipe(name="odd-given", version=1, title="Odd", needs=("faces",), corpora=(), build=sourced,
                      plan=lambda sources: [f"would read {sources.faces.name}"], fetch=lambda progress: Path("/tmp"))
TARGET = A.model_copy(update={"name": "odd-target", "title": "Odd"})
STUDY = BudgetStudy(name="odd-study", title="Odd", source="nowhere", attack="random", people=10,
                    axes=(BudgetAxis(parameter="seed", values=(1, 2), usual=1, title="seeds"),))

"""

POINTS = """
[idbench.attacks]
early = odd.early:Early

[idbench.defenses]
odd = odd.methods:Odd
odd-answers = odd.methods:OddAnswers

[idbench.adaptations]
odd-questions = odd.methods:OddQuestions
odd-weights = odd.methods:OddWeights

[idbench.splits]
odd-split = odd.data:SPLIT
odd-given = odd.data:GIVEN

[idbench.targets]
odd-target = odd.data:TARGET

[idbench.studies]
odd-study = odd.data:STUDY
"""


def install(place: Path, points: str, files: dict[str, str], name: str = "odd-things") -> None:
    """An installed distribution, as pip leaves one."""
    about = place / "odd_things-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (about / "entry_points.txt").write_text(points)
    for path, text in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(text)


@pytest.fixture
def odd(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A stranger's distribution is installed; at the end, none of its code has run in this process."""
    place = tmp_path / "installed"
    files = {
        "odd/__init__.py": "",
        "odd/methods.py": METHODS,
        "odd/early.py": EARLY,
        "odd/data.py": f"CACHE = {str(cache)!r}\n{DATA}",
    }
    install(place, POINTS, files)
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setenv("PYTHONPATH", str(place))
    yield place
    assert not [name for name in sys.modules if name.partition(".")[0] == "odd"]


def names(registry: Any) -> list[str]:
    return [entry.name for entry in registry.entries() if entry.value is not None and entry.name.startswith("odd")]


@pytest.mark.usefixtures("odd")
def test_all_groups_are_listed_and_loaded_without_importing_anything() -> None:
    assert names(DEFENSES) == ["odd", "odd-answers"]
    assert names(SPLITS) == ["odd-given", "odd-split"]
    assert names(TARGETS) == ["odd-target"]
    assert names(STUDIES) == ["odd-study"]
    assert STUDIES.load("odd-study").axes[0].values == (1, 2)
    target, shipped = resolve_target("odd-target"), resolve_target("avatars-a")
    assert target == shipped.model_copy(update={"name": "odd-target", "title": "Odd"})
    kind = load_defense("odd").kind
    assert issubclass(kind, TargetDefense)
    assert issubclass(load_defense("odd-answers").kind, AnswerDefense)
    assert plan_defense("odd", "full").parameters == {"strength": 1.0}
    with pytest.raises(MethodError, match="strength of odd: Input should be less than or equal to 1"):
        plan_defense("odd", None, {"strength": 2})
    with pytest.raises(MethodError, match="runs only in a worker"):
        kind().defend(None, [], None)  # type: ignore[arg-type]


def carried_out(results: Path, **planned: Any) -> Run:
    grid = make_grid(load_split("avatars-tiny"), ["early"], "avatars-a", corpus="avatars-tiny-a", **planned)
    (spec,) = specs(grid)
    return execute(Resolver(Silent()).resolve(spec), Options(results, forks=FORKS), Silent()).run


@pytest.mark.usefixtures("odd")
def test_what_a_defense_was_given_is_gone_before_an_attack_is_imported(tmp_path: Path) -> None:
    """`early` looks when it is imported; and the card of `odd-answers` answers more there than where it was read."""
    planned = plan_defense("odd-answers")
    assert carried_out(tmp_path / "results", defenses=[planned]).record.n_abstained == 0
    split = load_split("avatars-tiny")
    folder = tmp_path / "bundle" / DEFENSE
    folder.mkdir(parents=True)
    planned.applying(split, (0, 1), 0, "0" * 64).write_request(folder, "cpu", None, Silent())
    assert answered_of(folder) == (Access.SIMILARITY, "odd-answers")


@pytest.mark.usefixtures("odd")
def test_a_strangers_adaptation_is_carried_out_in_workers_alone(tmp_path: Path) -> None:
    assert names(ADAPTATIONS) == ["odd-questions", "odd-weights"]
    assert issubclass(ADAPTATIONS.load("odd-questions"), AnswerAdaptation)
    assert issubclass(ADAPTATIONS.load("odd-weights"), WeightAdaptation)
    with pytest.raises(MethodError, match="strength of odd-questions: Input should be less than or equal to 1"):
        plan_adaptation("odd-questions", None, {"strength": 2})
    plain, halved, turned = (
        carried_out(tmp_path, adaptations=[each])
        for each in (None, plan_adaptation("odd-questions"), plan_adaptation("odd-weights"))
    )
    scores = {run.record.run_id: run.scores() for run in (plain, halved, turned)}
    order = np.argsort(scores[plain.record.run_id].identities)
    alone = scores[plain.record.run_id].scores[order]
    for run, factor in ((halved, 0.5), (turned, -1.0)):
        table, adaptation = scores[run.record.run_id], run.record.adaptation
        np.testing.assert_allclose(table.scores[np.argsort(table.identities)], factor * alone, atol=1e-5)
        assert adaptation is not None
        assert adaptation.distribution == "odd-things 1"
        assert adaptation.code_sha256
    with pytest.raises(MethodError, match="odd-questions returned NoneType, which is not a target"):
        carried_out(tmp_path, adaptations=[plan_adaptation("odd-questions", None, {"strength": 0})])


class Heard(Silent):
    """Remembers what was reported."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def update(self, done: float, total: float, description: str) -> None:
        self.words.append(description)


@pytest.mark.usefixtures("odd")
def test_a_strangers_split_is_built_elsewhere_and_read_as_data(cache: Path, tmp_path: Path) -> None:
    recipe, given = SPLITS.load("odd-split"), SPLITS.load("odd-given")
    assert isinstance(recipe, SplitRecipe)
    assert isinstance(given, SourcedRecipe)
    (tmp_path / "split").mkdir()
    heard = Heard()
    recipe.build(tmp_path / "split", heard)
    assert "half of it" in heard.words
    assert len(load_split(tmp_path / "split").identities) == len(load_split("avatars-tiny").identities)
    corpus = load_corpus("odd-corpus", Silent())
    assert corpus.digest == load_corpus("avatars-tiny-a").digest
    if can_confine():
        assert not (cache / "escaped").exists()
    assert given.plan is not None
    assert given.fetch is not None
    (tmp_path / "faces" / "Ada_Quill").mkdir(parents=True)
    sources = Sources(faces=tmp_path / "faces", seed="a secret of sixteen letters")
    assert given.plan(sources) == ("would read faces",)
    assert given.fetch(Silent()) == Path("/tmp").resolve()
    assert build_sourced(given, sources, Silent()).notes == ("read 1 folders",)
    with pytest.raises(PluginError, match="AssertionError"):
        given.build(Sources(faces=tmp_path / "faces"), tmp_path / "a", tmp_path / "b", Silent())


HONEST = "idbench_methods.attacks.random:Random"


def test_only_idbenchs_own_entries_at_their_own_places_are_trusted(
    odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A distribution may call itself idbench, claim one of its packages, or bring a package of the same name."""
    assert is_own(HONEST)
    claims = tmp_path / "claims"
    install(claims, "[idbench.attacks]\nzzz = idbench_methods.zzz:Zzz\n[idbench.instruments]\nzz = odd.early:Early\n",
            {"idbench_methods/zzz.py": EARLY}, name="idbench")  # fmt: skip
    monkeypatch.syspath_prepend(str(claims))
    plugin = find("idbench.attacks")["zzz"]
    assert plugin.distribution.startswith("idbench ")
    assert not is_own(plugin.value)
    assert "zzz" not in blind_attacks()
    for name, value in (("zz", "odd.early:Early"), ("zzz", "idbench_methods.zzz:Zzz")):
        with pytest.raises(IdbenchError):
            find_attack(name, value)
    shadow = tmp_path / "shadow"
    install(shadow, "", {"idbench_methods/__init__.py": "", "idbench_methods/attacks/__init__.py": "",
                         "idbench_methods/attacks/random.py": EARLY})  # fmt: skip
    code = f"from idbench.plugins import is_own; print(is_own({HONEST!r}))"
    for path, trusted in (("", "True"), (str(shadow), "False")):
        done = subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == trusted


def test_instruments_of_studies_are_found_by_their_registered_names_alone() -> None:
    (name, plugin), *_ = find(INSTRUMENTS).items()
    assert find_attack(name, plugin.value).plugin == plugin
    assert is_own(plugin.value)
    with pytest.raises(IdbenchError):
        find_attack(name, "idbench_methods.attacks.idia:Idia")
