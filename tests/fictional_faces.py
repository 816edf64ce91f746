"""A folder of faces as a user has it, `NAME/*.jpg`; the people are drawn and their names invented."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from idbench.splits.avatars.names import name_everybody
from idbench.splits.avatars.render import render

N_TESTED, N_OTHERS = 24, 40


def draw_faces(folder: Path, *, photos: int = 10, seed: str = "faces") -> Path:
    """Draw 24 people with 10 photos each and 40 with 2 to 6, 32 px, into `folder/First_Last/First_Last_0001.jpg`."""
    names = name_everybody(seed, n_background=N_OTHERS, n_identities=N_TESTED, n_nobody=0, n_first=20, n_last=20)
    people = [(name, photos) for name in names.identities]
    people += [(name, 2 + i % 5) for i, name in enumerate(names.background)]
    pairs = [(name, i) for name, count in people for i in range(count)]
    pixels = render([f"{seed}/{name}" for name, _ in pairs], [f"{seed}/{name}/{i}" for name, i in pairs])
    for (name, i), picture in zip(pairs, pixels, strict=True):
        place = folder / name.replace(" ", "_")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"{place.name}_{i + 1:04d}.jpg", quality=95)
    return folder
