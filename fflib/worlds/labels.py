"""Points of a solid with the answer: for training, new ones in every step, and for tests.

Both are asked of the mesh once, beforehand, so that a training step costs a few comparisons.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks
from fflib.operators import meshes
from fflib.worlds import solids

SIGMA = 0.01  # how far test points lie from the surface
NEAR = 0.03  # how far from it, along a vertical line, training points of "ours" lie


class Solids(NamedTuple):
    """Solids made ready for training and test.

    Attributes:
        names: one name a solid.
        array: dict of arrays with leading axis E, one a solid: ``box`` (E, 2, 3); for training
            ``xy`` (E, C, 2), vertical lines uniform in the box, and ``heights`` (E, C, K), where
            they enter and leave the solid; for tests ``uniform`` and ``near`` (E, T, 3), points of
            which ``uniform_inside`` and ``near_inside`` (E, T) tell the truth.
        sha256: of the meshes.
        origin: a sentence that says what they are.

    Chapter: Solid shapes.
    """

    names: tuple[str, ...]
    array: dict[str, jax.Array]
    sha256: str
    origin: str


def prepare(
    found: solids.Meshes, key: jax.Array, lines: int, tests: int, *, by_face: bool = False
) -> Solids:
    """Ask the meshes everything that training and tests will want to know, once.

    A training point lies on one of ``lines`` vertical lines at a height drawn anew in every step,
    so that its label is exact and costs a comparison with a few numbers. Test points are uniform in
    the box, and on the surface with N(0, 0.01²) added to every coordinate: uniform there, or, as
    published, with ``by_face`` on faces drawn regardless of their area.

    Raises: ValueError when a number is below 1.
    Chapter: Solid shapes.
    """
    lines, tests = checks.count("lines", lines), checks.count("tests", tests)
    keys = jax.random.split(key, len(found.meshes))
    made = [_prepare(m, k, lines, tests, by_face) for m, k in zip(found.meshes, keys, strict=True)]
    most = max(one["heights"].shape[1] for one in made)
    for one in made:
        one["heights"] = np.pad(
            one["heights"], ((0, 0), (0, most - one["heights"].shape[1])), constant_values=np.inf
        )
    digest = hashlib.sha256(
        b"".join(x.tobytes() for m in found.meshes for x in (m.vertices, m.faces))
    ).hexdigest()
    array = {k: jnp.asarray(np.stack([one[k] for one in made])) for k in made[0]}
    return Solids(found.names, array, digest, found.origin)


def _prepare(
    m: meshes.Mesh, key: jax.Array, lines: int, tests: int, by_face: bool
) -> dict[str, np.ndarray]:
    k_lines, k_uniform, k_surface, k_noise = jax.random.split(key, 4)
    low, high = box = meshes.box(m).astype(np.float32)
    xy = low[:2] + (high - low)[:2] * np.asarray(jax.random.uniform(k_lines, (lines, 2)))
    uniform = low + (high - low) * np.asarray(jax.random.uniform(k_uniform, (tests, 3)))
    noise = SIGMA * np.asarray(jax.random.normal(k_noise, (tests, 3)))
    surface = meshes.on_surface(m, k_surface, tests, by_face=by_face)
    near = (surface + noise).astype(np.float32)
    return {
        "box": box,
        "xy": xy,
        "heights": meshes.columns(m, xy).astype(np.float32),
        "uniform": uniform,
        "uniform_inside": meshes.inside(m, uniform),
        "near": near,
        "near_inside": meshes.inside(m, near),
    }


def random_points(
    key: jax.Array, solid: dict[str, jax.Array], n: int, near: float = 0.0
) -> tuple[jax.Array, jax.Array]:
    """n points, uniform in the box of one solid, and whether they lie inside: (n, 3) and (n,).

    The first ``near · n`` of them are moved along their lines to where one of the line's crossings
    of the surface is, plus N(0, 0.03²); those on lines that cross nothing stay where they are.

    Raises: ValueError when ``near`` is no share.
    Chapter: Solid shapes; ``near``: Beating Table 1.
    """
    if not 0 <= near <= 1:
        raise ValueError(f"near must be a share from 0 to 1, but got {near!r}")
    k_line, k_z = jax.random.split(key)
    line = jax.random.randint(k_line, (n,), 0, len(solid["xy"]))
    low, high = solid["box"][:, 2]
    z = jax.random.uniform(k_z, (n,), minval=low, maxval=high)
    if moved := round(near * n):
        k_which, k_off = jax.random.split(jax.random.fold_in(key, 2))
        heights = solid["heights"][line[:moved]]
        crossings = jnp.isfinite(heights).sum(-1)
        which = jnp.floor(jax.random.uniform(k_which, (moved,)) * crossings).astype(int)
        at = jnp.take_along_axis(heights, which[:, None], 1)[:, 0] + NEAR * jax.random.normal(
            k_off, (moved,)
        )
        z = z.at[:moved].set(jnp.where(crossings > 0, jnp.clip(at, low, high), z[:moved]))
    return jnp.concatenate([solid["xy"][line], z[:, None]], -1), meshes.below(
        solid["heights"][line], z
    )
