"""`bench method`: write a new plug-in, and check one."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from idbench.cli import console, options
from idbench.cli.text import typed
from idbench.errors import IdbenchError

app = typer.Typer(help="Write and check methods.", no_args_is_help=True)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and hyphens, e.g. my-attack.")],
    out: Annotated[Path | None, typer.Option(help="The folder to write; default: ./NAME.")] = None,
    defense: Annotated[bool, typer.Option("--defense", help="A defense of weights instead of an attack.")] = False,
    adaptation: Annotated[
        bool, typer.Option("--adaptation", help="An adaptation of an attack's questions instead of an attack.")
    ] = False,
) -> None:
    """Write a package with a working attack, defense or adaptation and a test, ready for `pip install -e`."""
    from idbench.api.card import METHOD_NAME
    from idbench.outputs import check_folder, resolved
    from idbench.storage import atomic_dir

    if not re.fullmatch(METHOD_NAME, name):
        raise IdbenchError(f"{name!r} is not a method name.", hint="Use lower-case letters, digits and single hyphens.")
    if defense and adaptation:
        raise IdbenchError("A method is a defense or an adaptation.", hint="Give one of --defense and --adaptation.")
    folder = out or Path(name)
    check_folder(folder, "method")
    _check_free(name)
    words = name.split("-")
    values = {"name": name, "package": "_".join(words), "cls": "".join(word.capitalize() for word in words)}
    kind = _DEFENSE if defense else _ADAPTATION if adaptation else _ATTACK
    values |= {key: Template(text).substitute(name=name) for key, text in kind.words.items()}
    with atomic_dir(resolved(folder)) as temporary:
        for source, target in (_FILES | {kind.source: "src/$package/__init__.py"}).items():
            path = temporary / Template(target).substitute(values)
            path.parent.mkdir(parents=True, exist_ok=True)
            text = files("idbench.cli").joinpath("skeleton", source).read_text(encoding="utf-8")
            path.write_text(Template(text).substitute(values), encoding="utf-8")
    console.say(f"wrote {folder}")
    console.next_steps(
        f"{typed('pip', 'install', '-e', folder)} && bench method check {name} && bench run {values['option']}"
    )


def _check_free(name: str) -> None:
    """Refuse a name that is a method already, or whose package Python could not import or would mistake for another."""
    from idbench.runner.registry import ADAPTATIONS, ATTACKS, DEFENSES

    package = name.replace("-", "_")
    if name in (*ATTACKS.names(), *DEFENSES.names(), *ADAPTATIONS.names()):
        raise IdbenchError(f"There is a method {name!r} already.", hint="Choose another name.")
    if keyword.iskeyword(package) or keyword.issoftkeyword(package):
        raise IdbenchError(f"{package!r} is a Python keyword.", hint="Choose another name.")
    if package in sys.stdlib_module_names or importlib.util.find_spec(package) is not None:
        raise IdbenchError(f"{package!r} is an installed Python package already.", hint="Choose another name.")


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="A registered attack, defense or adaptation.")],
    preset: Annotated[str | None, typer.Option(help="Named parameters from the method's card, e.g. paper.")] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE", help="A parameter; may be repeated.")
    ] = None,
    time_limit: Annotated[float, typer.Option(min=1.0, help="Seconds for each of three runs.")] = 120.0,
    json: options.Json = False,
) -> None:
    """Run a method on a few dozen fictional people and see whether it keeps the contract."""
    from idbench.cli.run import parse_parameters
    from idbench.runner.checking import check_method
    from idbench.runner.registry import group_of

    kind = {each.group: each for each in (_ATTACK, _DEFENSE, _ADAPTATION)}[group_of(name)]
    with console.bars() as progress:
        checks = list(check_method(name, time_limit, progress, preset, parse_parameters(param)))
    if json:
        console.write_json([asdict(found) for found in checks])
    else:
        console.table(name, ("check", "", "found"), [(c.what, c.state, c.found) for c in checks])
    if any(found.state == "failed" for found in checks):
        raise typer.Exit(1)
    if not json:
        console.next_steps(f"bench run {kind.option(name)}")


@dataclass(frozen=True, slots=True)
class _Kind:
    """What the packages of attacks, defenses and adaptations do not have in common.

    Args:
        source: file of the skeleton.
        words: for the other files.
    """

    source: str
    words: dict[str, str]

    @property
    def group(self) -> str:
        """The entry-point group."""
        return f"idbench.{self.words['group']}"

    def option(self, name: str) -> str:
        """What runs it, after `bench run`."""
        return Template(self.words["option"]).substitute(name=name)


_ATTACK = _Kind(
    "attack.py.txt",
    {"sentence": "An identity inference attack", "group": "attacks", "option": "--method $name"},
)
_DEFENSE = _Kind(
    "defense.py.txt",
    {
        "sentence": "A defense against identity inference",
        "group": "defenses",
        "option": "--method cosine --defense $name",
    },
)
_ADAPTATION = _Kind(
    "adaptation.py.txt",
    {
        "sentence": "An adaptation of identity inference attacks to defenses",
        "group": "adaptations",
        "option": "--method cosine --adapt $name",
    },
)
_FILES = {
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "README.md",
    "test.py.txt": "tests/test_$package.py",
}
