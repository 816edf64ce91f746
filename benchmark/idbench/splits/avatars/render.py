"""Draws the pictures of fictional people: numpy integers only, so that every machine draws the same bytes.

Shapes are implicit functions whose edge is a ramp one pixel wide; each is a few passes over a batch of small planes.
Nothing here uses floating point or a library's random numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idbench.splits.avatars.people import FaceTraits, Scenes, looks_of, scenes_of
from idbench.splits.injected.chance import IntArray, stream

SIZE = 32
"""Height and width of a picture in pixels; a power of two, at most 256."""

_SPAN = 2048  # units across a picture
_PITCH = _SPAN // SIZE
_EDGE = 256 // _PITCH  # coverage per unit of distance: 0..256 over one pixel
BATCH = 64  # planes of a batch stay in the processor's cache
AXIS = (np.arange(SIZE, dtype=np.int32) * _PITCH) + _PITCH // 2 - _SPAN // 2
_DARK = np.array([20, 16, 18], dtype=np.int32)
_WHITE = np.array([246, 244, 240], dtype=np.int32)

_EYES = slice(SIZE * 3 // 16, SIZE * 13 // 16)
_LOWER = slice(SIZE * 3 // 8, SIZE)
_UPPER = slice(0, SIZE * 3 // 4)


@dataclass(frozen=True, slots=True)
class Sitter:
    """One batch on the easel: colours (n, 3, SIZE, SIZE), each pixel's place in the face's frame (n, SIZE, SIZE)."""

    canvas: IntArray
    u: IntArray
    v: IntArray
    looks: FaceTraits
    scenes: Scenes


def render(people: Sequence[str], pictures: Sequence[str]) -> NDArray[np.uint8]:
    """Draw pictures; each depends on its two labels alone, whatever else is in the batch.

    Args:
        people: label of the person on each picture; equal labels look alike.
        pictures: label of each picture: pose, light, background and so on follow from it.

    Returns:
        uint8 (n, SIZE, SIZE, 3), RGB.
    """
    out = np.empty((len(people), SIZE, SIZE, 3), dtype=np.uint8)
    for start in range(0, len(people), BATCH):
        stop = start + BATCH
        out[start:stop] = _render_batch(people[start:stop], pictures[start:stop])
    return out


def _render_batch(people: Sequence[str], pictures: Sequence[str]) -> NDArray[np.uint8]:
    looks, scenes = looks_of(people), scenes_of(pictures)
    sitter = _pose(looks, scenes)
    _paint_backdrop(sitter)
    _paint_body(sitter)
    head = _paint_head(sitter)
    _paint_skin_marks(sitter)
    _paint_beard(sitter, head)
    _paint_mouth(sitter)
    _paint_nose(sitter)
    _paint_eyes(sitter)
    _paint_brows(sitter)
    _paint_hair(sitter)
    _paint_glasses(sitter)
    _paint_hat(sitter)
    _paint_cover(sitter)
    return _photograph(sitter, pictures)


# -- shapes -----------------------------------------------------------------------------------------------------------


def column(values: IntArray | int) -> IntArray:
    """One value per picture, ready to meet planes: (n,) -> (n, 1, 1)."""
    return np.asarray(values, dtype=np.int32).reshape(-1, 1, 1)


def _ellipse(u: IntArray, v: IntArray, half_width: IntArray | int, half_height: IntArray | int) -> IntArray:
    """Coverage in 0..256 of the ellipse around the origin; half axes of at least 16 units."""
    return _squircle(u, v, half_width, half_height, None)


def _squircle(
    u: IntArray, v: IntArray, half_width: IntArray | int, half_height: IntArray | int, square: IntArray | None
) -> IntArray:
    """Coverage in 0..256 of an ellipse whose corners fill as `square` goes from 0 to 256."""
    a, b = column(half_width), column(half_height)
    x = (u * ((1 << 20) // a)) >> 12
    y = (v * ((1 << 20) // b)) >> 12
    np.clip(x, -4096, 4096, out=x)
    np.clip(y, -4096, 4096, out=y)
    x *= x
    y *= y
    inside = x + y
    if square is not None:
        box = np.maximum(x, y)  # the formula alone would also fill corners outside the box
        x >>= 8
        y >>= 8
        np.minimum(x, 512, out=x)
        np.minimum(y, 512, out=y)
        x *= y
        x *= column(square)
        x >>= 8
        inside -= x
        np.maximum(inside, box, out=inside)
    np.subtract(1 << 16, inside, out=inside)
    inside >>= 6
    np.clip(inside, -(1 << 14), 1024, out=inside)  # far out, the smallest shape must still come to nothing
    inside *= np.minimum(a, b) * _EDGE
    inside >>= 11
    inside += 128
    return np.clip(inside, 0, 256, out=inside)


def _ramp(distance: IntArray) -> IntArray:
    """Coverage in 0..256 of the side where `distance` (units) is positive."""
    return (128 + distance.clip(-4096, 4096) * _EDGE).clip(0, 256)


def _wave(x: IntArray, period: int) -> IntArray:
    """A triangle wave in -256..256 of the given period (a power of two, in units, at least 4)."""
    half = period // 2
    distance: IntArray = np.abs((x & (period - 1)) - half)
    return (distance * 1024) // period - 256


def _paint(canvas: IntArray, coverage: IntArray, colour: IntArray, opacity: IntArray | int = 256) -> None:
    """Lay a colour, (n, 3) or (3,) or planes (n, 3, h, w), over the canvas (n, 3, h, w) in place."""
    if not isinstance(opacity, int):
        coverage = (coverage * column(opacity)) >> 8
    elif opacity != 256:
        coverage = (coverage * opacity) >> 8
    planes = colour if colour.ndim == 4 else np.broadcast_to(colour, (len(canvas), 3))[:, :, None, None]
    change = planes - canvas
    change *= coverage[:, None]
    change >>= 8
    canvas += change


def _tinted(colour: IntArray, factor: int) -> IntArray:
    """The colour, darker (factor under 256) or brighter (over), in 0..255."""
    return ((colour * factor) >> 8).clip(0, 255)


# -- the picture, from back to front ----------------------------------------------------------------------------------


def _pose(looks: FaceTraits, scenes: Scenes) -> Sitter:
    n = len(scenes.turn)
    # Rational points of the circle: cos = (1 - t²)/(1 + t²), sin = 2t/(1 + t²), with t = turn / 1024.
    t = scenes.turn.astype(np.int64)
    norm = (1 << 20) + t * t
    cos = column((((1 << 20) - t * t) * scenes.zoom // norm).astype(np.int32))
    sin = column((2048 * t * scenes.zoom // norm).astype(np.int32))
    x = AXIS[None, None, :] - column(scenes.shift_x)
    y = AXIS[None, :, None] - column(scenes.shift_y)
    u = (x * cos + y * sin) >> 12
    v = (y * cos - x * sin) >> 12
    return Sitter(np.empty((n, 3, SIZE, SIZE), dtype=np.int32), u, v, looks, scenes)


def _paint_backdrop(s: Sitter) -> None:
    x = np.broadcast_to(AXIS[None, None, :] + column(s.scenes.phase), s.u.shape)
    y = np.broadcast_to(AXIS[None, :, None] + column(s.scenes.phase >> 1), s.u.shape)
    pattern = column(s.scenes.pattern)
    shade = np.where(pattern == 1, np.clip((AXIS[None, :, None] - column(s.scenes.phase >> 2)) >> 1, -36, 36), 0)
    shade = np.where(pattern == 2, _wave(x + y, 512) >> 3, shade)
    shade = np.where(pattern == 3, (_wave(x, 1024) * _wave(y, 1024)) >> 10, shade)
    shade = np.where(pattern == 4, np.clip(_wave(x, 1024), -40, 40), shade)
    s.canvas[:] = np.clip(s.scenes.wall[:, :, None, None] + shade[:, None], 0, 255)


def _paint_body(s: Sitter) -> None:
    u, v, canvas = s.u, s.v, s.canvas
    long = np.flatnonzero(s.looks.hair_length)
    if long.size:
        volume, length = s.looks.hair_volume[long], s.looks.hair_length[long]
        plane = canvas[long]
        width = s.looks.face_width[long] + 70 + volume
        cover = _squircle(
            u[long], v[long] - column(length // 3), width, s.looks.face_height[long] + length // 2, length >> 2
        )
        _paint(plane, cover, _tinted(s.looks.hair[long], 200))
        canvas[long] = plane
    low = np.s_[:, _LOWER]
    bottom = canvas[:, :, _LOWER]
    chin = column(s.looks.face_height)
    _paint(bottom, _squircle(u[low], v[low] - chin - 420, 860, 430, np.full(len(u), 200)), s.scenes.cloth)
    _paint(bottom, _ellipse(u[low], v[low] - chin, (s.looks.face_width * 3) >> 3, 260), _tinted(s.looks.skin, 205))


def _paint_head(s: Sitter) -> IntArray:
    looks = s.looks
    ear = _ellipse(
        np.abs(s.u + column(s.scenes.yaw // 4)) - column(looks.face_width), s.v - 20, looks.ears, looks.ears + 60
    )
    _paint(s.canvas, ear, _tinted(looks.skin, 215))
    # The jaw narrows below the eyes: widths shrink with depth, which is the same as stretching u.
    below = np.clip(s.v, 0, 1024)
    u = s.u + ((((s.u * column(looks.jaw)) >> 8) * below) >> 10)
    head = _squircle(u, s.v, looks.face_width, looks.face_height, np.clip(looks.square, 0, 256))
    shade = (s.u * column(s.scenes.light_x) + s.v * column(s.scenes.light_y)) >> 10
    _paint(s.canvas, head, looks.skin[:, :, None, None] + shade[:, None])
    return head


def _paint_skin_marks(s: Sitter) -> None:
    looks = s.looks
    u, v = s.u[:, _EYES] - column(s.scenes.yaw), s.v[:, _EYES] - column(s.scenes.nod)
    canvas = s.canvas[:, :, _EYES]
    side = np.abs(u)
    _paint(canvas, _ellipse(side - 300, v - 200, 140, 100), np.array([220, 90, 90], dtype=np.int32), looks.blush)
    some = np.flatnonzero(looks.freckles)
    if some.size:
        dots = np.zeros_like(u[some])
        for x, y in ((120, 110), (230, 70), (320, 130), (210, 190), (40, 150)):
            np.maximum(dots, _ellipse(side[some] - x, v[some] - y, 40, 40), out=dots)
        plane = canvas[some]
        _paint(plane, dots, _tinted(looks.skin[some], 150), looks.freckles[some])
        canvas[some] = plane
    some = np.flatnonzero(looks.mole)
    if some.size:
        size = looks.mole[some]
        dot = _ellipse(u[some] - column(looks.mole_x[some]), v[some] - column(looks.mole_y[some]), size, size)
        plane = canvas[some]
        _paint(plane, dot, _tinted(looks.skin[some], 84), 230)
        canvas[some] = plane


def _paint_beard(s: Sitter, head: IntArray) -> None:
    looks = s.looks
    mouth = column(looks.mouth_height + s.scenes.nod)
    some = np.flatnonzero(looks.beard)
    if some.size:
        u, v = s.u[some][:, _LOWER] - column(s.scenes.yaw[some] >> 1), s.v[some][:, _LOWER]
        # Cheeks stay free: the upper edge rises towards the ears.
        area = np.minimum(head[some][:, _LOWER], _ramp(v - mouth[some] + 90 + (u * u >> 10)))
        plane = s.canvas[some][:, :, _LOWER]
        _paint(plane, area, _tinted(looks.hair[some], 225), looks.beard[some])
        s.canvas[some, :, _LOWER] = plane
    some = np.flatnonzero(looks.moustache)
    if some.size:
        u, v = s.u[some][:, _LOWER] - column(s.scenes.yaw[some]), s.v[some][:, _LOWER]
        lip = _ellipse(u, v - mouth[some] + 85 - (u * u >> 10), looks.mouth_width[some], looks.moustache[some])
        plane = s.canvas[some][:, :, _LOWER]
        _paint(plane, lip, _tinted(looks.hair[some], 225), 235)
        s.canvas[some, :, _LOWER] = plane


_BEND = np.array([0, 460, 620, -460, 0], dtype=np.int32)
_STRETCH = np.array([256, 310, 330, 240, 150], dtype=np.int32)
_GAPE = np.array([0, 0, 75, 0, 115], dtype=np.int32)


def _paint_mouth(s: Sitter) -> None:
    looks, mood = s.looks, s.scenes.expression
    canvas = s.canvas[:, :, _LOWER]
    u = s.u[:, _LOWER] - column(s.scenes.yaw)
    v = s.v[:, _LOWER] - column(looks.mouth_height + s.scenes.nod)
    v += ((u * u >> 10) * column(_BEND[mood])) >> 8
    v -= column(np.abs(_BEND[mood]) >> 4)
    width = (looks.mouth_width * _STRETCH[mood]) >> 8
    _paint(canvas, _ellipse(u, v, width, looks.lip_thick + _GAPE[mood]), looks.lips)
    line = _ellipse(u, v, (width * 3) >> 2, np.maximum(18, _GAPE[mood]))
    _paint(canvas, line, np.array([88, 26, 34], dtype=np.int32), 220)
    some = np.flatnonzero(mood == 2)
    if some.size:
        plane = canvas[some]
        _paint(plane, _ellipse(u[some], v[some] + 30, (width[some] * 5) >> 3, 32), _WHITE)
        canvas[some] = plane


def _paint_nose(s: Sitter) -> None:
    looks = s.looks
    canvas = s.canvas[:, :, _EYES]
    u = s.u[:, _EYES] - column((s.scenes.yaw * 5) >> 2)
    v = s.v[:, _EYES] - column(s.scenes.nod)
    tip = column(looks.nose_height)
    _paint(canvas, _ellipse(u, v - tip, looks.nose_width, 46), _tinted(looks.skin, 176), 220)
    _paint(canvas, _ellipse(u, v - tip // 2, 40, looks.nose_height // 2 + 40), _tinted(looks.skin, 286), 150)


def _paint_eyes(s: Sitter) -> None:
    looks, scenes = s.looks, s.scenes
    canvas = s.canvas[:, :, _EYES]
    u = s.u[:, _EYES] - column(scenes.yaw)
    side = np.abs(u) - column(looks.eye_gap)
    v = s.v[:, _EYES] - column(looks.eye_height + scenes.nod)
    v = v + ((side * column(looks.eye_tilt)) >> 8)
    open_ = np.where(scenes.blink == 1, 20, looks.eye_open + np.where(scenes.expression == 4, 30, 0))
    _paint(canvas, _ellipse(side, v + 24, looks.eye_width + 16, open_ + 22), _tinted(looks.skin, 96), 200)
    white = _ellipse(side, v, looks.eye_width, open_)
    _paint(canvas, white, _WHITE)
    inward = side - np.sign(u) * column(scenes.gaze)
    iris = np.minimum(white, _ellipse(inward, v, 68, 72))
    _paint(canvas, iris, looks.iris)
    _paint(canvas, np.minimum(white, _ellipse(inward, v, 34, 36)), _DARK)


def _paint_brows(s: Sitter) -> None:
    looks, scenes = s.looks, s.scenes
    canvas = s.canvas[:, :, _EYES]
    side = np.abs(s.u[:, _EYES] - column(scenes.yaw)) - column(looks.eye_gap)
    lift = np.array([0, 10, 20, 0, 50], dtype=np.int32)[scenes.expression]
    tilt = looks.brow_tilt + np.array([0, 0, 0, 70, 0], dtype=np.int32)[scenes.expression]
    v = s.v[:, _EYES] - column(looks.eye_height + scenes.nod - looks.brow_height - lift)
    v -= (side * column(tilt)) >> 8
    _paint(canvas, _ellipse(side, v, looks.brow_width, looks.brow_thick), _tinted(looks.hair, 200), 235)


def _paint_hair(s: Sitter) -> None:
    looks = s.looks
    some = np.flatnonzero(looks.bald == 0)
    if not some.size:
        return
    u, v, volume = s.u[some][:, _UPPER], s.v[some][:, _UPPER], looks.hair_volume[some]
    width, height = looks.face_width[some] + 46 + volume // 2, looks.face_height[some] + 40 + volume
    spikes = (_wave(u, 256) * column(looks.hair_wave[some])) >> 8
    crown = _squircle(u, v + 20 + spikes, width, height, np.full(len(some), 60))
    bend = ((u >> 2) * (u >> 2) >> 16) * column(looks.hair_curve[some])
    line = column(looks.hair_line[some] + s.scenes.tousle[some] + s.scenes.nod[some])
    line = line + ((u * column(looks.hair_slope[some])) >> 10) + (bend >> 2) + spikes
    hair = np.minimum(crown, _ramp(line - v))
    bun = looks.bun[some]
    hair = np.maximum(
        hair, np.where(column(bun) > 0, _ellipse(u, v + column(height), np.maximum(bun, 16), np.maximum(bun, 16)), 0)
    )
    shine = ((_wave(u + (v >> 1), 256) * column(looks.hair_strands[some])) >> 8) - ((v + 600) >> 5)
    plane = s.canvas[some][:, :, _UPPER]
    _paint(plane, hair, np.clip(looks.hair[some][:, :, None, None] + shine[:, None], 0, 255))
    s.canvas[some, :, _UPPER] = plane


def _paint_glasses(s: Sitter) -> None:
    looks, scenes = s.looks, s.scenes
    dark = scenes.cover == 1
    some = np.flatnonzero((looks.glasses > 0) | dark)
    if not some.size:
        return
    u = s.u[some][:, _EYES] - column(scenes.yaw[some])
    v = s.v[some][:, _EYES] - column(looks.eye_height[some] + scenes.nod[some]) - 10
    gap, square = looks.eye_gap[some], np.where(looks.glasses[some] == 2, 250, 0)
    side = np.abs(u) - column(gap)
    radius = np.minimum(gap - 10, 210)
    rim = _squircle(side, v, radius, np.minimum(radius, 180), square)
    lens = _squircle(side, v, radius - 62, np.minimum(radius, 180) - 62, square)
    plane = s.canvas[some][:, :, _EYES]
    bridge = np.minimum(_ellipse(np.abs(u), v + 30, gap, 34), 256 - rim)
    _paint(plane, np.maximum(rim - lens, bridge), looks.frames[some], 240)
    _paint(plane, lens, np.array([24, 26, 36], dtype=np.int32), np.where(dark[some], 250, 0).astype(np.int32))
    s.canvas[some, :, _EYES] = plane


def _paint_hat(s: Sitter) -> None:
    looks, scenes = s.looks, s.scenes
    some = np.flatnonzero(scenes.hat)
    if not some.size:
        return
    u, v = s.u[some][:, _UPPER], s.v[some][:, _UPPER]
    width, height = looks.face_width[some] + 90, looks.face_height[some]
    edge = column(height * 7 // 16)
    crown = np.minimum(_squircle(u, v + 60, width, height + 130, np.full(len(some), 170)), _ramp(-edge - v))
    brim_width = np.where(scenes.hat[some] == 1, width * 3 // 4, width + 260)
    aside = np.where(scenes.hat[some] == 1, np.sign(scenes.phase[some] - 1024) * 330, 0)
    brim = _ellipse(u - column(aside), v + edge, brim_width, 66)
    plane = s.canvas[some][:, :, _UPPER]
    _paint(plane, crown, scenes.hat_cloth[some])
    _paint(plane, brim, _tinted(scenes.hat_cloth[some], 190))
    s.canvas[some, :, _UPPER] = plane


def _paint_cover(s: Sitter) -> None:
    looks, scenes = s.looks, s.scenes
    some = np.flatnonzero(scenes.cover >= 2)
    if not some.size:
        return
    u, v = s.u[some][:, _LOWER], s.v[some][:, _LOWER]
    scarf = scenes.cover[some] == 2
    top = np.where(scarf, looks.mouth_height[some] + 110, looks.nose_height[some] - 20) + scenes.nod[some]
    width = looks.face_width[some] + np.where(scarf, 130, 10)
    cloth = _squircle(u, v - column(looks.face_height[some] * 3 // 4), width, 480, np.full(len(some), 200))
    area = np.minimum(cloth, _ramp(v - column(top) - (u * u >> 12)))
    fold = np.where(column(scarf), _wave(v + (u >> 2), 256) >> 4, 0)
    colour = np.where(scarf[:, None], scenes.cover_cloth[some], np.array([196, 220, 228], dtype=np.int32))
    plane = s.canvas[some][:, :, _LOWER]
    _paint(plane, area, np.clip(colour[:, :, None, None] + fold[:, None], 0, 255).astype(np.int32))
    s.canvas[some, :, _LOWER] = plane


# -- the camera -------------------------------------------------------------------------------------------------------

_WARMTH = np.array(
    [[256, 256, 256], [286, 256, 210], [220, 250, 292], [250, 250, 262], [256, 256, 256]], dtype=np.int32
)


def _photograph(s: Sitter, pictures: Sequence[str]) -> NDArray[np.uint8]:
    scenes = s.scenes
    colour = (_WARMTH[scenes.light] * scenes.gain[:, None]) >> 8
    picture = (s.canvas * colour[:, :, None, None]) >> 8
    picture += ((AXIS[None, None, :] * column(scenes.light_x)) >> 11)[:, None]
    for strength in (1, 2):
        some = np.flatnonzero(scenes.blur >= strength)
        if some.size:
            picture[some] = _blurred(picture[some])
    noise = np.frombuffer(b"".join(stream(f"{label}/noise", 3 * SIZE * SIZE) for label in pictures), dtype=np.uint8)
    grain = noise.reshape(picture.shape).astype(np.int32) - 128
    picture += (grain * scenes.noise[:, None, None, None]) >> 7
    np.clip(picture, 0, 255, out=picture)
    return picture.astype(np.uint8).transpose(0, 2, 3, 1)


def _blurred(picture: IntArray) -> IntArray:
    """The picture under a 1-2-1 kernel in both directions; edges repeat."""
    wide = np.pad(picture, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    rows = wide[:, :, :-2] + 2 * wide[:, :, 1:-1] + wide[:, :, 2:]
    columns: IntArray = rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]
    return (columns + 8) >> 4
