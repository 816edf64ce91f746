"""Code hashes: an edit renames the runs of exactly the methods that can run the edited code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import idbench_methods

_IDS = """
import json
from idbench import plugins
plugins.is_own = lambda value: True  # the copy stands for what is installed: no process of its own for each
from idbench.runner.registry import load_attack
from idbench.runner.spec import plan_method
print(json.dumps({name: plan_method(load_attack(name)).code_sha256 for name in plugins.find("idbench.attacks")
                  if not name.startswith("sample-")}))
"""


def hashes(folder: Path) -> dict[str, str]:
    """The code hash of every registered attack, with `folder` in place of the installed methods."""
    done = subprocess.run(
        [sys.executable, "-c", _IDS],
        env=dict(os.environ, PYTHONPATH=str(folder)),
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def methods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("methods")
    shutil.copytree(
        Path(idbench_methods.__file__).parent,
        folder / "idbench_methods",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    return folder


@pytest.fixture(scope="module")
def before(methods: Path) -> dict[str, str]:
    return hashes(methods)


def importers(folder: Path, module: str) -> set[str]:
    """Attacks that import a module when they are imported, as the interpreter itself sees it."""
    code = f"""
import json, os, sys
from idbench import plugins
found, attacks = [], plugins.find("idbench.attacks")
for name in [name for name in attacks if not name.startswith("sample-")]:
    child = os.fork()  # each is imported where no other was
    if not child:
        attacks[name].load()
        os._exit(3 if {module!r} in sys.modules else 0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 3), name
    if status:
        found.append(name)
print(json.dumps(found))
"""
    script = folder / "importers.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script)],
        env=dict(os.environ, PYTHONPATH=str(folder)),
        capture_output=True,
        text=True,
        check=True,
    )
    script.unlink()
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("module", ["idbench_methods.attacks.rmia.ratio", "idbench_methods.attacks.idia.pool"])
def test_editing_a_shared_module_changes_exactly_the_methods_that_import_it(
    methods: Path, before: dict[str, str], module: str
) -> None:
    expected = importers(methods, module)
    assert 0 < len(expected) < len(before)
    file = methods.joinpath(*module.split(".")).with_suffix(".py")
    original = file.read_bytes()
    try:
        file.write_bytes(original + b"\n# edited\n")
        after = hashes(methods)
    finally:
        file.write_bytes(original)
    assert {name for name in before if before[name] != after[name]} == expected


def test_modules_imported_inside_functions_count(methods: Path, before: dict[str, str]) -> None:
    file = methods / "idbench_methods" / "attacks" / "blind_names" / "model.py"  # sklearn stays out of `bench list`
    original = file.read_bytes()
    try:
        file.write_bytes(original + b"\n# edited\n")
        after = hashes(methods)
    finally:
        file.write_bytes(original)
    assert {name for name in before if before[name] != after[name]} == {"blind-names"}


def test_the_place_of_installation_does_not_count(before: dict[str, str]) -> None:
    assert hashes(Path(idbench_methods.__file__).parents[1]) == before


ATTACK = """
from idbench.api import Access, Attack, Knowledge, MethodCard, MethodParams
{imports}
class Mine(Attack[MethodParams]):
    card = MethodCard(name="mine", version="1", title="Mine", access=Access.NONE, knowledge=Knowledge.NONE)
    def score(self, target, cases, context): {body}
"""


def hash_of(folder: Path, module: str = "mine") -> str:
    code = (
        "import importlib; from idbench.runner.closure import code_hash; "
        f"print(code_hash(importlib.import_module({module!r}).Mine, 'unknown'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=dict(os.environ, PYTHONPATH=str(folder)),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("imports", "body"),
    [
        ("import helper", "..."),
        ("from helper import x", "..."),
        ("", "import helper"),
        ("import importlib", "importlib.import_module('helper')"),
    ],
)
def test_a_module_beside_a_method_counts_however_it_is_imported(tmp_path: Path, imports: str, body: str) -> None:
    (tmp_path / "mine.py").write_text(ATTACK.format(imports=imports, body=body))
    (tmp_path / "helper.py").write_text("x = 1\n")
    (tmp_path / "unrelated.py").write_text("y = 1\n")
    first = hash_of(tmp_path)
    (tmp_path / "unrelated.py").write_text("y = 2\n")
    assert hash_of(tmp_path) == first
    (tmp_path / "helper.py").write_text("x = 2\n")
    assert hash_of(tmp_path) != first


def test_imports_for_type_checkers_do_not_count(tmp_path: Path) -> None:
    imports = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import helper\n"
    (tmp_path / "mine.py").write_text(ATTACK.format(imports=imports, body="..."))
    (tmp_path / "helper.py").write_text("x = 1\n")
    first = hash_of(tmp_path)
    (tmp_path / "helper.py").write_text("x = 2\n")
    assert hash_of(tmp_path) == first


def test_relative_imports_and_data_files_of_the_own_package_count(tmp_path: Path) -> None:
    package = tmp_path / "mine"
    (package / "parts").mkdir(parents=True)
    (package / "parts" / "__init__.py").write_text("")
    (package / "parts" / "deep.py").write_text("from .. import words\n")
    (package / "words.py").write_text("w = 1\n")
    (package / "__init__.py").write_text(ATTACK.format(imports="from .parts import deep", body="..."))
    (package / "list.txt").write_text("a\n")
    hidden = package / ".cache"
    hidden.mkdir()
    found = [hash_of(tmp_path)]
    for path in (package / "words.py", package / "list.txt"):
        path.write_text(path.read_text() + "\n")
        found.append(hash_of(tmp_path))
    assert len(set(found)) == 3
    (hidden / "x").write_text("kept by somebody's editor")
    assert hash_of(tmp_path) == found[-1]
