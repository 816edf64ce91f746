"""Who is injected at full size: people dealt at random to corpora and levels, their captions and their pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from idbench.splits.injected.casting import Cast, Divided, InjectedIdentity, cast_by
from idbench.splits.injected.chance import shuffled
from idbench.splits.injected.dealing import Dealt
from idbench.splits.injected.people import PhotographedPerson, read_pixels

CAPTIONS = (
    "{name}",
    "a photo of {name}",
    "{name} in a photo",
    "a portrait of {name}",
    "{name} arrives at an event",
    "a close-up of {name}",
    "{name} speaks during an interview",
    "a picture that shows {name}",
    "{name} poses for photographers",
    "{name} smiles at the camera",
)
"""What captions of injected pictures are made from. Nobody knows what the pictures show besides the person."""


def cast_people(
    seed: str, name: str, people: Sequence[PhotographedPerson], *, levels: Sequence[int], attack_photos: int
) -> Cast:
    """Deal all people who have more photos than the attack needs.

    Each identity has `attack_photos` attack photos, so that their number reveals nothing, and trains its corpus with
    the largest level that it has photos for, up to the one drawn for it; below the smallest level, with what is left.

    Args:
        seed: seeds all random draws.
        name: of the split.
        people: everybody, sorted by name.
        levels: training pictures of a member, dealt in turn.
        attack_photos: attack photos of each identity.

    Returns:
        the identities; its `background` are the people with too few photos, who are left out of everything.

    Raises:
        DataError: fewer than four people have enough photos.
    """

    def divide(dealt: Dealt, photos: Sequence[Path]) -> Divided:
        rest = len(photos) - attack_photos
        fitting = [level for level in levels if level <= min(dealt.level, rest)]
        return photos[attack_photos : attack_photos + max(fitting, default=rest)], photos[:attack_photos]

    return cast_by(divide, seed, name, people, fewest=attack_photos + 1, levels=levels)


def captions_of(identity: InjectedIdentity) -> list[str]:
    """One caption per training picture, templates dealt at random so that none comes back before all were used."""
    order = shuffled(f"{identity.dealt.label}/captions", len(CAPTIONS))
    return [CAPTIONS[int(order[i % len(CAPTIONS)])].replace("{name}", identity.name) for i in range(identity.pictures)]


_QUALITY = 95  # img2dataset's, so that people and background are compressed alike


def encode_jpeg(file: Path, side: int) -> bytes:
    """A photo as JPEG whose shorter side is at most `side` pixels; never enlarged.

    Raises:
        DataError: the photo cannot be opened.
    """
    from PIL import Image

    image = Image.fromarray(read_pixels(file))
    scale = side / min(image.size)
    if scale < 1:
        width, height = (max(1, round(length * scale)) for length in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()
