"""Opens a target inside the worker: device, threads, view. The only module of the runner that needs torch."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from idbench.api import Access, Progress
from idbench.errors import TargetError
from idbench.runner.bundle import Folders
from idbench.targets import TargetSpec
from idbench.targets.load import load_target
from idbench.targets.view import View


class Opened(NamedTuple):
    """A target ready to be asked, and what answers.

    Args:
        device: as torch names it, e.g. `cpu`, `cuda`.
        model: what the accelerator calls itself; None on processors.
        threads: that torch computes with. Sums are rounded in another order with another number of them.
        view: of the target.
    """

    device: str
    model: str | None
    threads: int
    view: View


def open_view(spec: str, device: str, access: Access, folders: Folders, progress: Progress) -> Opened:
    """Load a target on a device and make the view that the access allows.

    Args:
        spec: a TargetSpec as JSON text.
        device: `auto` for the best there is, or a torch device.
        access: from the attack's card.
        folders: for embeddings and shadow models.
        progress: receives reports when many texts or photos are encoded.
    """
    name = choose_device(device)
    view = View(
        load_target(TargetSpec.model_validate_json(spec), name),
        access,
        progress=progress,
        cache=Path(folders.embeddings),
        kept=Path(folders.kept_embeddings),
        shadows=Path(folders.shadows),
        kept_shadows=Path(folders.kept_shadows),
    )
    model = torch.cuda.get_device_name(name) if torch.device(name).type == "cuda" else None
    return Opened(name, model, torch.get_num_threads(), view)


def choose_device(wanted: str) -> str:
    """A torch device that works here.

    Raises:
        TargetError: the wanted one does not.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise TargetError(
            f"The device {wanted!r} cannot be used: {reason}", hint="Use --device cpu or auto."
        ) from error
    return wanted
