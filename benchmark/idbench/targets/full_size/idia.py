"""The 18 public checkpoints of the authors of IDIA: what each is called, and how open_clip builds it. No torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from idbench.errors import TargetError, UnknownNameError
from idbench.storage import expanded
from idbench.targets.spec import LocalFile, TargetSpec

FILES = {"RN50": "rn50", "RN50x4": "rn50x4", "ViT-B-32": "vitb32"}
"""open_clip's name of each architecture, and how the authors' files begin."""

LEVELS = (75, 50, 25, 10, 5, 1)
"""Most pictures of a member that were added to CC3M."""

FOLDER_VARIABLE = "BENCH_IDIA_CHECKPOINTS"
SOURCE = "D0miH/does-clip-know-my-face"


def references() -> list[str]:
    """References of all of them: `idia:RN50/75` and so on."""
    return [f"idia:{architecture}/{level}" for architecture in FILES for level in LEVELS]


def references_for(corpora: Sequence[str]) -> str:
    """What means every checkpoint that was trained on one of some corpora: a word of `--target`; empty if none was."""
    known = [ref for ref in references() if f"cc3m+{ref.rpartition('/')[2]}" in corpora]
    return "idia:*" if len(known) == len(references()) else ",".join(known)


def checkpoint_file(architecture: str, level: int) -> str:
    """The authors' file name, e.g. `rn50_top05_epoch_50.pt`."""
    return f"{FILES[architecture]}_top{level:02d}_epoch_50.pt"


def missing_checkpoints(refs: Sequence[str]) -> list[str]:
    """Those of the references whose files are not in the folder that `BENCH_IDIA_CHECKPOINTS` names."""
    place = _folder()
    missing = []
    for ref in refs:
        architecture, _, level = ref.removeprefix("idia:").partition("/")
        if place is None or not (place / checkpoint_file(architecture, int(level))).is_file():
            missing.append(ref)
    return missing


def _folder() -> Path | None:
    named = os.environ.get(FOLDER_VARIABLE)
    return expanded(Path(named)).absolute() if named else None


def resolve_idia(path: str, folder: Path | None = None, sha256: str | None = None) -> TargetSpec:
    """One of the checkpoints as a target.

    Args:
        path: ARCHITECTURE/PICTURES, e.g. `RN50/75`.
        folder: where the files lie; None: what `BENCH_IDIA_CHECKPOINTS` says.
        sha256: of the file, if it is known.

    Raises:
        UnknownNameError: there is no such checkpoint.
        TargetError: the file is not there.
    """
    if f"idia:{path}" not in references():
        raise UnknownNameError("checkpoint of the authors of IDIA", f"idia:{path}", references())
    architecture, _, level = path.partition("/")
    file = checkpoint_file(architecture, int(level))
    place = folder.absolute() if folder is not None else _folder()
    if place is None or not (place / file).is_file():
        where = f"not in {place}" if place is not None else "not on this machine"
        raise TargetError(
            f"The checkpoint {file} of the authors of IDIA is {where}.",
            hint=f"Get it from the release page of {SOURCE}, unpack it if it is zipped, and set {FOLDER_VARIABLE} to "
            "its folder.",
        )
    return TargetSpec(
        name=f"idia-{architecture}-{level}",
        version="1",
        title=f"{architecture} on CC3M with up to {level} pictures of each member, by the authors of IDIA",
        corpus=f"cc3m+{level}",
        architecture=architecture,
        weights=LocalFile(path=str(place / file)),
        sha256=sha256,
        # Their notebooks open them under these names, not under the -quickgelu ones.
        quick_gelu=False,
    )
