"""How modules and tests lie together: no cycles of imports, and tests that lean on public names and shared helpers."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

from idbench.plugins import locate

TESTS = Path(__file__).parents[1]
HOSTILE = {TESTS / "plugin_package", TESTS / "cheating_package"}  # plug-ins that reach for what is not theirs
OURS = ("idbench", "idbench_methods", "idbench_leaderboard")


def sources() -> Iterator[tuple[Path, str]]:
    for path in sorted(TESTS.rglob("*.py")):
        if HOSTILE.isdisjoint(path.parents):
            yield path, path.read_text(encoding="utf-8")


def test_no_module_imports_itself_through_others() -> None:
    graph = grimp.build_graph(*OURS, exclude_type_checking_imports=True, cache_dir=None)
    assert len(graph.modules) > 200
    TopologicalSorter({name: graph.find_modules_directly_imported_by(name) for name in graph.modules}).prepare()


def test_tests_share_helpers_and_not_each_others_files() -> None:
    for path, text in sources():
        borrowed = re.findall(r"^\s*from (tests(?:\.\w+)*\.test_\w+) import", text, re.MULTILINE)
        assert not borrowed, f"{path.relative_to(TESTS)} imports from {borrowed}"


def test_tests_use_no_private_name() -> None:
    for path, text in sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OURS:
                private = [alias.name for alias in node.names if re.match(r"_[a-z]", alias.name, re.IGNORECASE)]
                private = [name for name in private if not name.startswith("__")]
                assert not private, f"{path.relative_to(TESTS)}:{node.lineno} imports {private}"
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "setattr":
                assert not private_target(node), f"{path.relative_to(TESTS)}:{node.lineno} patches a private name"


def private_target(call: ast.Call) -> bool:
    """Whether `setattr("a.b._c", ...)` or `setattr(module, "_c", ...)` names something private."""
    names = [arg.value for arg in call.args[:2] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    last = [name.rpartition(".")[2] for name in names]
    return any(re.match(r"_[^_]", name) for name in last)


def modules() -> Iterator[Path]:
    for package in OURS:
        top = locate(package)
        assert top is not None
        yield from sorted(top.parent.rglob("*.py"))


def test_one_class_name_means_one_thing() -> None:
    """`GradientAscent` is TUNI's optimizer and a defense: the code of both is hashed into the ids of runs."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for name in (node.name for node in tree.body if isinstance(node, ast.ClassDef)):
            if not name.startswith("_"):
                places[name].append(str(path))
    assert len(places) > 300
    assert [name for name, found in places.items() if len(found) > 1] == ["GradientAscent"]


def test_what_must_raise_is_one_statement() -> None:
    """With several, those after the first that raises are never tried."""
    for path, text in sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.With) and any("pytest.raises" in ast.unparse(item) for item in node.items):
                simple = len(node.body) == 1 and not isinstance(node.body[0], (ast.For, ast.With, ast.If, ast.Try))
                assert simple, f"{path.relative_to(TESTS)}:{node.lineno} expects an error from several statements"
