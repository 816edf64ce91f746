"""The code of its own distribution that a method can run: as one hash, and whether any of it draws at random."""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Final

from idbench.plugins import locate

if TYPE_CHECKING:
    from idbench.runner.spec import MethodSpec


_ENGINE: Final = frozenset({"idbench", "idbench_leaderboard"})
"""Covered by `ENGINE_VERSION` and so not hashed again: an edit of the command line would rename every run."""

_IGNORED: Final = frozenset({"__pycache__"})
_CHANCE: Final = re.compile(rb"\b(?:rng|seed|seeds|random|secrets|shuffle|uuid4|urandom|randn|rand|manual_seed)\b")


def code_hash(kind: type, brought_by: str) -> str:
    """SHA-256 over everything of the distribution that a method can run.

    That is every module that the method's own imports, directly or through others, at the top, inside functions or by
    `import_module("a.literal")`, with the packages around them; and every other file of the method's own package, since
    it may read them. Imports for type checkers alone do not count. Other distributions do not count either: the record
    lists versions of those that matter.

    Args:
        kind: the method's class.
        brought_by: name of the distribution that registers it.

    Returns:
        64 hexadecimal digits; they do not depend on where the distribution is installed.
    """
    return code_hash_of(kind.__module__, Path(inspect.getfile(kind)).resolve(), brought_by)


@cache
def code_hash_of(module: str, file: Path, brought_by: str) -> str:
    """The same for a method that is not imported.

    Args:
        module: name of the method's module.
        file: where it lies, resolved.
        brought_by: name of the distribution that registers it.
    """
    source = Source.around(module, file, brought_by)
    digest = hashlib.sha256()
    for path in sorted(source.closure(module) | set(source.own_files(module)), key=source.relative):
        digest.update(source.relative(path).encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Source:
    """The folder below which a distribution's modules lie, e.g. `methods/` or `site-packages`.

    Args:
        root: the folder.
        packages: top-level names below it that belong to the distribution.
    """

    root: Path
    packages: frozenset[str]

    @classmethod
    def around(cls, module: str, file: Path, brought_by: str) -> Source:
        """The source folder of a module that lies in `file`."""
        depth = module.count(".") + (file.name == "__init__.py")
        root, own = file.parents[depth], module.partition(".")[0]
        return cls(root, ((_installed_names(brought_by) or _names_in(root)) | {own}) - _ENGINE)

    def relative(self, path: Path) -> str:
        """A file's name within the distribution."""
        return path.relative_to(self.root).as_posix()

    def file_of(self, module: str) -> Path | None:
        """Where a module of the distribution lies; None for modules of others and for what is not a module."""
        if module.partition(".")[0] not in self.packages:
            return None
        base = self.root.joinpath(*module.split("."))
        candidates = (base / "__init__.py", base.with_name(base.name + ".py"))
        return next((path for path in candidates if path.is_file()), None)

    def own_files(self, module: str) -> Iterator[Path]:
        """Every file of a method's own package; none for a method in a single module."""
        file = self.file_of(module)
        if file is None or file.name != "__init__.py":
            return
        for path in file.parent.rglob("*"):
            hidden = any(part in _IGNORED or part.startswith(".") for part in path.relative_to(file.parent).parts)
            if path.is_file() and not hidden:
                yield path

    def closure(self, module: str) -> set[Path]:
        """Files of a module and of all modules of the distribution that importing it can lead to."""
        found: set[Path] = set()
        waiting = [module]
        while waiting:
            name = waiting.pop()
            for each in _with_parents(name):
                file = self.file_of(each)
                if file is not None and file not in found:
                    found.add(file)
                    waiting.extend(_imported(each, file))
        return found


def _installed_names(name: str) -> frozenset[str]:
    """Top-level names that an installed distribution put next to its metadata; none for an editable one."""
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        return frozenset()
    return frozenset(file.parts[0].removesuffix(".py") for file in files if file.suffix == ".py")


def _names_in(root: Path) -> frozenset[str]:
    """Top-level names in the source folder of an editable installation; none where other distributions lie too."""
    if root.name in ("site-packages", "dist-packages"):
        return frozenset()
    modules = (path for path in root.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file())
    return frozenset(path.stem for path in modules)


def _with_parents(module: str) -> list[str]:
    """`a`, `a.b`, `a.b.c` for `a.b.c`: Python runs the packages around a module first."""
    parts = module.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


def _imported(module: str, file: Path) -> Iterator[str]:
    """Names of everything that a module's source may import, submodules and attributes alike."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in _walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and (name := _named_import(node)):
            yield package + name if name.startswith(".") else name


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those below `if TYPE_CHECKING:`."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        children: Iterable[ast.AST] = ast.iter_child_nodes(node)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            children = node.orelse
        waiting.extend(children)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - node.level + 1])
    return f"{base}.{node.module}" if node.module else base


def _named_import(node: ast.Call) -> str:
    """The module in `import_module("a.literal")`; empty for every other call."""
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    first = node.args[0] if node.args else None
    literal = first.value if isinstance(first, ast.Constant) else None
    return literal if called in ("import_module", "__import__") and isinstance(literal, str) else ""


def depends_on_seed(method: MethodSpec) -> bool:
    """Whether any file that the attack can run mentions randomness; True where its source cannot be found.

    Errs on the safe side: an attack that mentions randomness without using it has a run for each seed.
    """
    return _mentions_chance(method.plugin.partition(":")[0], method.distribution.partition(" ")[0])


@cache
def _mentions_chance(module: str, brought_by: str) -> bool:
    found = locate(module)
    if found is None:
        return True
    source = Source.around(module, found.resolve(), brought_by)
    files = {path for path in source.closure(module) if path.suffix == ".py"}
    return not files or any(_CHANCE.search(path.read_bytes()) for path in files)
