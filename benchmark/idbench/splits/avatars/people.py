"""What a fictional person looks like for good, and what changes from picture to picture: integers only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from idbench.splits.injected.chance import BatchDraws, IntArray

BACKDROPS = ("red", "copper", "yellow", "green", "teal", "blue", "purple", "pink", "grey", "white")
CLOTHES = ("black", "white", "red", "blue", "green", "yellow", "brown", "purple")
LIGHTS = ("", "warm", "cold", "dim", "bright")
EXPRESSIONS = ("", "smiling", "laughing", "sad", "surprised")
HATS = ("", "cap", "hat")
COVERS = ("", "sunglasses", "a scarf", "a mask")

_SKIN = (
    (255, 224, 196),
    (244, 206, 170),
    (232, 186, 146),
    (214, 164, 120),
    (188, 134, 92),
    (156, 106, 70),
    (122, 80, 54),
    (88, 58, 42),
)
_HAIR = (
    (34, 28, 28),
    (64, 42, 30),
    (104, 68, 40),
    (150, 82, 40),
    (190, 96, 44),
    (222, 176, 96),
    (244, 222, 150),
    (170, 168, 168),
    (232, 230, 226),
    (112, 50, 46),
)
_IRIS = (
    (74, 46, 26),
    (112, 76, 36),
    (72, 110, 62),
    (70, 120, 176),
    (104, 150, 190),
    (112, 118, 124),
)
_FRAMES = ((30, 30, 34), (150, 40, 40), (96, 62, 34), (40, 70, 140), (196, 160, 70), (236, 236, 236))
_WALLS = (
    (196, 62, 58),
    (228, 138, 54),
    (234, 204, 82),
    (84, 158, 82),
    (62, 154, 152),
    (70, 112, 196),
    (132, 84, 170),
    (232, 146, 176),
    (140, 142, 146),
    (238, 238, 234),
)
_CLOTH = (
    (40, 40, 46),
    (232, 232, 230),
    (186, 48, 48),
    (52, 84, 170),
    (62, 132, 72),
    (224, 190, 64),
    (120, 82, 54),
    (112, 62, 150),
)


@dataclass(frozen=True, slots=True)
class FaceTraits:
    """Stable traits of n people; lengths in units of which 2048 span the picture, colours int32 (n, 3) in 0..255."""

    skin: IntArray
    hair: IntArray
    iris: IntArray
    lips: IntArray
    frames: IntArray
    face_width: IntArray
    face_height: IntArray
    jaw: IntArray
    square: IntArray
    ears: IntArray
    eye_gap: IntArray
    eye_height: IntArray
    eye_width: IntArray
    eye_open: IntArray
    eye_tilt: IntArray
    brow_height: IntArray
    brow_width: IntArray
    brow_thick: IntArray
    brow_tilt: IntArray
    nose_width: IntArray
    nose_height: IntArray
    mouth_height: IntArray
    mouth_width: IntArray
    lip_thick: IntArray
    hair_line: IntArray
    hair_slope: IntArray
    hair_curve: IntArray
    hair_wave: IntArray
    hair_volume: IntArray
    hair_strands: IntArray
    hair_length: IntArray
    bald: IntArray
    bun: IntArray
    beard: IntArray
    moustache: IntArray
    glasses: IntArray
    freckles: IntArray
    mole: IntArray
    mole_x: IntArray
    mole_y: IntArray
    blush: IntArray


@dataclass(frozen=True, slots=True)
class Scenes:
    """What changes between pictures: pose, light, background, expression, clothes, what covers the face, the camera."""

    shift_x: IntArray
    shift_y: IntArray
    turn: IntArray
    zoom: IntArray
    yaw: IntArray
    gaze: IntArray
    nod: IntArray
    backdrop: IntArray
    wall: IntArray
    pattern: IntArray
    phase: IntArray
    light: IntArray
    light_x: IntArray
    light_y: IntArray
    gain: IntArray
    expression: IntArray
    blink: IntArray
    shirt: IntArray
    cloth: IntArray
    hat: IntArray
    hat_cloth: IntArray
    cover: IntArray
    cover_cloth: IntArray
    tousle: IntArray
    blur: IntArray
    noise: IntArray
    wording: IntArray


def _coloured(draws: BatchDraws, palette: Sequence[tuple[int, int, int]], index: IntArray, spread: int) -> IntArray:
    """A palette's colours, each a little off its neighbours, (n, 3)."""
    brighter = draws.bell(-spread, spread)
    tint = draws.bell(-spread // 2, spread // 2)
    colours = np.asarray(palette, dtype=np.int32)[index]
    shifted: IntArray = colours + brighter[:, None] + tint[:, None] * np.array([1, 0, -1], dtype=np.int32)
    return shifted.clip(0, 255)


def looks_of(labels: Sequence[str]) -> FaceTraits:
    """The looks that belong to people's labels, (n,) each."""
    d = BatchDraws(labels, 160)
    skin_index = d.pick((3, 4, 4, 3, 3, 2, 2, 2))
    skin = _coloured(d, _SKIN, skin_index, 14)
    hair = _coloured(d, _HAIR, d.pick((4, 4, 4, 2, 2, 3, 2, 2, 1, 1)), 16)
    lips = np.clip((skin * 3 + np.array([190, 60, 70], dtype=np.int32) * 2) // 5 + d.bell(-24, 24)[:, None], 0, 255)
    style = d.pick((2, 5, 4, 4))  # bald, short, medium, long
    return FaceTraits(
        skin=skin,
        hair=hair,
        iris=_coloured(d, _IRIS, d.pick((4, 3, 2, 2, 2, 1)), 10),
        lips=lips,
        frames=_coloured(d, _FRAMES, d.pick((4, 1, 2, 1, 1, 1)), 10),
        face_width=d.bell(470, 640),
        face_height=d.bell(600, 760),
        jaw=d.bell(-10, 120),
        square=d.bell(-40, 230),
        ears=d.bell(40, 130),
        eye_gap=d.bell(190, 310),
        eye_height=d.bell(-130, 30),
        eye_width=d.bell(90, 160),
        eye_open=d.bell(50, 115),
        eye_tilt=d.bell(-70, 70),
        brow_height=d.bell(110, 210),
        brow_width=d.bell(100, 190),
        brow_thick=d.bell(22, 64),
        brow_tilt=d.bell(-90, 90),
        nose_width=d.bell(50, 140),
        nose_height=d.bell(100, 240),
        mouth_height=d.bell(300, 430),
        mouth_width=d.bell(120, 270),
        lip_thick=d.bell(34, 84),
        hair_line=d.bell(-480, -230),
        hair_slope=d.pick((2, 1, 2)) * 220 - 220 + d.bell(-90, 90),
        hair_curve=d.bell(-500, 800),
        hair_wave=d.pick((3, 1, 1)) * 45,
        hair_volume=np.where(style == 0, 0, d.pick((5, 3, 1)) * 70 + d.bell(20, 90)).astype(np.int32),
        hair_length=np.choose(style, [d.between(0, 0), d.between(0, 0), d.bell(200, 420), d.bell(520, 900)]),
        hair_strands=d.between(0, 17),
        bald=(style == 0).astype(np.int32),
        bun=((style != 0) & (d.between(0, 9) == 0)).astype(np.int32) * d.between(110, 210),
        beard=d.pick((12, 2, 2, 2)) * 75,
        moustache=(d.between(0, 5) == 0).astype(np.int32) * d.between(40, 72),
        glasses=d.pick((10, 2, 2)),
        freckles=(d.between(0, 5) == 0).astype(np.int32) * d.between(60, 150),
        mole=(d.between(0, 4) == 0).astype(np.int32) * d.between(26, 46),
        mole_x=d.between(-340, 340),
        mole_y=d.between(90, 480),
        blush=d.between(0, 110),
    )


def scenes_of(labels: Sequence[str]) -> Scenes:
    """The scenes that belong to pictures' labels, (n,) each."""
    d = BatchDraws(labels, 96)
    backdrop = d.between(0, len(BACKDROPS) - 1)
    shirt = d.between(0, len(CLOTHES) - 1)
    cloth = np.asarray(_CLOTH, dtype=np.int32)
    return Scenes(
        shift_x=d.bell(-170, 170),
        shift_y=d.bell(-130, 110),
        turn=d.bell(-130, 130),
        zoom=d.bell(3600, 4900),
        yaw=d.bell(-170, 170),
        gaze=d.bell(-40, 40),
        nod=d.bell(-60, 60),
        backdrop=backdrop,
        wall=_coloured(d, _WALLS, backdrop, 16),
        pattern=d.pick((4, 2, 2, 2, 2)),
        phase=d.between(0, 2047),
        light=(light := d.pick((5, 2, 2, 2, 2))),
        light_x=d.bell(-60, 60),
        light_y=d.bell(-40, 30),
        gain=np.choose(
            light, [d.bell(220, 270), d.bell(225, 270), d.bell(220, 265), d.bell(150, 190), d.bell(285, 325)]
        ),
        expression=d.pick((6, 4, 2, 2, 2)),
        blink=(d.between(0, 15) == 0).astype(np.int32),
        shirt=shirt,
        cloth=_coloured(d, _CLOTH, shirt, 14),
        hat=d.pick((14, 1, 1)),
        hat_cloth=cloth[d.between(0, len(CLOTHES) - 1)],
        cover=d.pick((22, 1, 1, 1)),
        cover_cloth=cloth[d.between(0, len(CLOTHES) - 1)],
        tousle=d.bell(-45, 45),
        blur=d.pick((5, 2, 1)),
        noise=d.between(2, 18),
        wording=d.between(0, 32766),
    )
