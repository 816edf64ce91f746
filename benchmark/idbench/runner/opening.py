"""Opens a target inside the worker: device, threads, view. The only module of the runner that needs torch."""

from __future__ import annotations

import torch

from idbench.api import Access, Progress
from idbench.errors import TargetError
from idbench.targets import TargetSpec
from idbench.targets.load import load_target
from idbench.targets.view import View


def open_view(spec: str, device: str, access: Access, progress: Progress) -> tuple[str, View]:
    """Load a target on a device and make the view that the access allows.

    Args:
        spec: a TargetSpec as JSON text.
        device: `auto` for the best there is, or a torch device.
        access: from the attack's card.
        progress: told when many texts or photos are encoded.

    Returns:
        the device's name and the view.
    """
    name = choose_device(device)
    return name, View(load_target(TargetSpec.model_validate_json(spec), name), access, progress=progress)


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
