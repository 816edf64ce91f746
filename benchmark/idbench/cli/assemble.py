"""`bench data new`, `assemble` and `subset`: private splits of the user's own data, and subsets of other splits."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from idbench.cli import console
from idbench.cli.text import typed
from idbench.errors import IdbenchError
from idbench.storage import is_there
from idbench.wording import counted

if TYPE_CHECKING:
    from idbench.splits.given import Inputs
    from idbench.splits.split import Split

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")

Labels = Annotated[
    Path,
    typer.Option("--labels", help="A table (CSV, TSV, parquet): name or identity, member, what else is known."),
]
Candidates = Annotated[
    Path | None, typer.Option("--candidates", help="Names that an attacker considers possible, one per line.")
]
Corpus = Annotated[
    str | None, typer.Option("--corpus", help="The training set of labels that name none; default: the split's name.")
]
SecretSeed = Annotated[
    Path | None, typer.Option("--secret-seed", help="A file with a secret; the same secret gives the same ids.")
]


def new(
    name: Annotated[str, typer.Argument(help="Name of the split, e.g. my-split.")],
    faces: Annotated[Path, typer.Option(help="A folder with one folder per person, NAME/*.jpg.")],
    labels: Labels,
    candidates: Candidates = None,
    corpus: Corpus = None,
    secret_seed: SecretSeed = None,
    out: Annotated[Path | None, typer.Option(help="The folder to write; default: ./NAME.")] = None,
) -> None:
    """Make a private split from a folder of people and a table of labels."""
    from idbench.splits.given import Inputs

    folder = out or Path(name)
    _write(Inputs(name, labels, None, faces, candidates, corpus or name, _seed(secret_seed)), folder)


def assemble(
    identities: Annotated[Path, typer.Option(help="A table of people: name, and identity and part if you like.")],
    labels: Labels,
    out: Annotated[Path, typer.Option(help="The folder to write; must not exist yet, or be empty.")],
    photos: Annotated[
        Path | None, typer.Option(help="A folder NAME/*.jpg, or a table: name or identity, and path.")
    ] = None,
    candidates: Candidates = None,
    corpus: Corpus = None,
    name: Annotated[str | None, typer.Option(help="Name of the split; default: the folder's.")] = None,
    secret_seed: SecretSeed = None,
) -> None:
    """Make a private split from tables, e.g. with the labels that `bench data search --labels` wrote."""
    from idbench.splits.given import Inputs

    called = name or out.name
    _write(Inputs(called, labels, identities, photos, candidates, corpus or called, _seed(secret_seed)), out)


def subset(
    split: Annotated[str, typer.Argument(help="A registered split, or the folder of one.")],
    name: Annotated[str, typer.Argument(help="A subset that the split names, or `matched`.")],
    out: Annotated[Path, typer.Option(help="The folder to write; must not exist yet, or be empty.")],
) -> None:
    """Write a subset of a split: one that the split names, or members matched with non-members."""
    from idbench.outputs import check_folder, made_folder
    from idbench.splits import load_split
    from idbench.splits.subsets import MATCHED, matched_people, people_of_subset, write_subset

    with console.bars() as progress:
        whole = load_split(split, progress)
        check_folder(out, "split", [whole.folder])
        if name == MATCHED:
            pairs = matched_people(whole, progress)
            people = pairs.identities
        else:
            pairs, people = None, people_of_subset(whole, name)
        with made_folder(out, "split", [whole.folder]) as folder:
            write_subset(whole, people, name, folder, progress)
        made = load_split(out, progress)
    if pairs is not None:
        lonely = counted(pairs.left_out, "person has", "people have")
        console.say(f"matched on {', '.join(pairs.covariates)}; {lonely} no partner")
    _say_what_is_there(made, out)


def _seed(secret_seed: Path | None) -> str:
    """The secret, newly drawn if none is given: ids that anybody could compute from names would not be opaque."""
    from idbench.splits.withholding import read_secret

    return secrets.token_hex(32) if secret_seed is None else read_secret(secret_seed)


def _write(inputs: Inputs, out: Path) -> None:
    from idbench.outputs import check_folder, made_folder
    from idbench.splits import load_split, split_names
    from idbench.splits.given import assemble as write

    if not _NAME.fullmatch(inputs.name):
        raise IdbenchError(
            f"{inputs.name!r} is not the name of a split.",
            hint="Use lower-case letters, digits, dots, hyphens and underscores.",
        )
    if inputs.name in split_names():
        raise IdbenchError(f"There is a split {inputs.name!r} already.", hint="Choose another name.")
    given = [path for path in (inputs.labels, inputs.identities, inputs.photos, inputs.candidates) if path is not None]
    check_folder(out, "split", given)
    _check_unused(out)
    with console.bars() as progress:
        with made_folder(out, "split", given) as folder:
            _, notes = write(inputs, folder, progress)
        made = load_split(out, progress)
    for note in notes:
        console.say(note)
    _say_what_is_there(made, out)
    console.say("It holds names and photos of people: keep it to yourself.")


def _say_what_is_there(split: Split, out: Path) -> None:
    sizes = ", ".join(
        f"{counted(size, 'identity', 'identities')} for {part}" for part, size in split.manifest.parts.items() if size
    )
    console.say(f"{split.manifest.name} version {split.manifest.version} in {out}: {sizes}; digest {split.digest}")
    console.next_steps(
        typed("bench", "data", "audit", out),
        typed("bench", "run", "--split", out, "--target", "REF", "--corpus", split.corpora[0]),
    )


def _check_unused(out: Path) -> None:
    """Refuse a folder that holds a split: its people would get other ids, which no record or retraction knows."""
    from idbench.outputs import resolved
    from idbench.splits.manifest import MANIFEST_FILE

    if is_there(resolved(out) / MANIFEST_FILE):
        raise IdbenchError(
            f"{out} holds a split already, whose records and retractions belong to its people's ids; "
            "a new one would have other ids.",
            hint="Write to another folder with --out, or remove that one first.",
        )
