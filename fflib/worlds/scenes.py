"""A scene the project made itself, with exact pictures: a model of building bricks.

All solids are boxes and upright cylinders along the axes. A ray meets each in an interval that a
few divisions and a square root give, so pictures, opacity and depth are exact up to rounding. Light
comes from one far lamp, with shadows; without gloss a point looks the same from everywhere.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks
from fflib.operators import cameras

PITCH, LEVEL = 0.3, 0.24  # width of a cell, height of a brick
STUD = (0.09, 0.05)  # radius and height
GROUND = -0.5
REACH = (2.5, 5.5)  # near and far for cameras at a distance of 4
# How many bricks lie on each cell of the plate, and of which colour they are, seen from above.
HEIGHTS = ("400003", "301003", "200000", "100212", "000020", "110024")
HUES = ("r....b", "r.y..b", "r.....", "r..ggg", "....g.", "yy..gw")
COLOURS = {
    "r": (0.86, 0.16, 0.13),
    "y": (0.96, 0.76, 0.12),
    "b": (0.14, 0.36, 0.84),
    "g": (0.20, 0.65, 0.28),
    "w": (0.93, 0.92, 0.88),
    ".": (0.55, 0.58, 0.60),
}
LAMP = np.array([0.45, -0.30, 0.84]) / np.linalg.norm([0.45, -0.30, 0.84])


class Blocks(NamedTuple):
    """k boxes and upright elliptic cylinders: centre, half size and colour (k, 3), round (k,).
    Chapter: Radiance fields.
    """

    centre: jax.Array
    half: jax.Array
    colour: jax.Array
    round: jax.Array


def bricks() -> Blocks:
    """The built-in scene: a plate, towers, a bridge, and studs on whatever is open above, inside
    −0.95 ≤ x, y ≤ 0.95, −0.6 ≤ z ≤ 0.51. Chapter: Radiance fields.
    """
    parts, cell = [((0.0, 0.0, GROUND - 0.05), (0.95, 0.95, 0.05), ".", False)], PITCH / 2
    for row, (heights, hues) in enumerate(zip(HEIGHTS, HUES, strict=True)):
        for column, (level, hue) in enumerate(zip(map(int, heights), hues, strict=True)):
            x, y = (column - 2.5) * PITCH, (2.5 - row) * PITCH
            if level:
                height = level * LEVEL
                parts.append(((x, y, GROUND + height / 2), (cell, cell, height / 2), hue, False))
            if row == 0 and column > 0:  # the bridge
                level, hue = 4, "w"
                z = GROUND + (level - 0.5) * LEVEL
                parts.append(((x, y, z), (cell, cell, LEVEL / 2), hue, False))
            z = GROUND + level * LEVEL + STUD[1] / 2
            parts.append(((x, y, z), (STUD[0], STUD[0], STUD[1] / 2), hue, True))
    centre, half, hue, is_round = zip(*parts, strict=True)
    centre, half = jnp.array(centre, jnp.float32), jnp.array(half, jnp.float32)
    colour = jnp.array([COLOURS[h] for h in hue], jnp.float32)
    return Blocks(centre, half, colour, jnp.array(is_round))


def trace(blocks: Blocks, origins, directions) -> tuple[jax.Array, jax.Array]:
    """The exact answer: what rays, origins and unit directions (..., 3), meet first, in what light:
    colour (..., 3) on black and depth (...), ``inf`` for a miss. Chapter: Radiance fields.
    """
    t, which = _first(blocks, origins, directions)
    hit = jnp.isfinite(t)
    point = origins + jnp.where(hit, t, 0.0)[..., None] * directions
    half, is_round = blocks.half[which], blocks.round[which]
    normal = _normal((point - blocks.centre[which]) / half, half, is_round)
    lamp = jnp.broadcast_to(jnp.asarray(LAMP, point.dtype), point.shape)
    lit = ~jnp.isfinite(_first(blocks, point + 1e-3 * normal, lamp)[0])
    light = 0.4 + 0.6 * lit * jnp.maximum((normal * lamp).sum(-1), 0.0)
    cell = jnp.floor((point - 1e-3 * normal) / jnp.array([PITCH, PITCH, LEVEL]) * 2).sum(-1)
    tone = jnp.where(is_round | (cell % 2 == 0), 1.0, 0.62)  # cubes half a cell wide, plain studs
    colour = blocks.colour[which] * (light * tone * hit)[..., None]
    return colour, jnp.where(hit, t, jnp.inf)


def _first(blocks: Blocks, origins, directions):
    """Distance to the first solid along each ray (inf: none) and its number."""
    o = (origins[..., None, :] - blocks.centre) / blocks.half  # every solid becomes a unit one
    d = directions[..., None, :] / blocks.half
    safe = jnp.where(jnp.abs(d) < 1e-12, 1e-12, d)
    low, high = (-jnp.sign(safe) - o) / safe, (jnp.sign(safe) - o) / safe  # three pairs of planes
    a, b, c = (d[..., :2] ** 2).sum(-1), (o * d)[..., :2].sum(-1), (o[..., :2] ** 2).sum(-1) - 1
    root = b**2 - a * c  # the round side: |o + t d|² = 1 in x and y
    upright = a < 1e-9  # such a ray is inside the round side for ever, or never
    a, meets = jnp.where(upright, 1.0, a), jnp.where(upright, c < 0, root > 0)
    reach = jnp.where(upright, jnp.inf, jnp.sqrt(jnp.maximum(root, 0.0)) / a)
    near, far = (jnp.where(meets, -b / a + s * reach, -s * jnp.inf) for s in (-1, 1))
    side_low = jnp.where(blocks.round, near, low[..., :2].max(-1))
    side_high = jnp.where(blocks.round, far, high[..., :2].min(-1))
    enter, leave = jnp.maximum(side_low, low[..., 2]), jnp.minimum(side_high, high[..., 2])
    t = jnp.where((enter < leave) & (enter > 0), enter, jnp.inf)
    which = t.argmin(-1)
    return jnp.take_along_axis(t, which[..., None], -1)[..., 0], which


def _normal(q, half, is_round):
    """Outward normal at the point q of the unit box or cylinder that was stretched by ``half``."""
    rho = jnp.linalg.norm(q[..., :2], axis=-1)
    flat, upright = q * jnp.array([1.0, 1.0, 0.0]) / half, jnp.sign(q) * jnp.array([0.0, 0.0, 1.0])
    curved = jnp.where((jnp.abs(q[..., 2]) > rho)[..., None], upright, flat)
    faced = jnp.sign(q) * (jnp.abs(q) == jnp.abs(q).max(-1, keepdims=True))
    normal = jnp.where(is_round[..., None], curved, faced)
    return normal / jnp.maximum(jnp.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)


def views(size: int, poses, *, oversample: int = 2) -> cameras.Views:
    """Photograph the scene from ``poses`` (n, 4, 4), with a focal length of 1.25 · size: n exact
    pictures on black of size² pixels, each the mean of oversample² rays. Raises: ValueError for
    sizes below 1 or poses that are no rotations. Chapter: Radiance fields.
    """
    size, oversample = checks.count("size", size), checks.count("oversample", oversample)
    poses, focal = cameras.check_poses(poses), 1.25 * size
    images = _photographs(bricks(), poses, focal, size, oversample)
    return cameras.views(np.clip(images, 0, 1), poses, focal, *REACH)


@partial(jax.jit, static_argnames=("focal", "size", "oversample"))
def _photographs(blocks, poses, focal, size, oversample):
    pixels = cameras.pixel_centres(size * oversample, size * oversample) / oversample

    def one(pose):
        colour, _ = trace(blocks, *cameras.rays(pose, pixels, focal, (size, size)))
        return colour.reshape(size, oversample, size, oversample, 3).mean((1, 3))

    return jax.lax.map(one, poses)
