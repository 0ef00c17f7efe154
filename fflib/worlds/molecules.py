r"""What lies in the ice: molecules made of Gaussian blobs, of which everything is known exactly.

A molecule is a few hundred blobs of one width s: with masses w_j at the places c_j its density, its
shadow along an axis and its Fourier transform are

    V(x) = Σ_j w_j N(x; c_j, s²I₃),   p(x, y) = Σ_j w_j N((x, y); c_j, s²I₂),
    V̂(k) = ∫ V(x) exp(−2πi k·x) dx = exp(−2π²s²‖k‖²) Σ_j w_j exp(−2πi k·c_j).

Lengths are in ångström (1 Å = 10⁻¹⁰ m), frequencies in cycles per Å. The box is centred: voxel i of
n lies at (i − n//2) · pixel, on every axis.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from fflib import checks


class Molecule(NamedTuple):
    """Blobs at ``centres`` (m, 3) Å, of masses ``weights`` (m,) and standard deviation ``width`` Å.

    A pytree, so that ``jax.vmap`` takes many at once. Chapter: A molecule in motion.
    """

    centres: jax.Array
    weights: jax.Array
    width: jax.Array | float

    @property
    def radius(self) -> jax.Array:
        """Root mean square of a coordinate of the mass in Å, √(Σw‖c‖²/3Σw + s²)."""
        spread = self.weights @ jnp.sum(self.centres**2, -1) / jnp.sum(self.weights)
        return jnp.sqrt(spread / 3 + self.width**2)

    def turn(self, pose) -> Molecule:
        """The molecule turned by a matrix ``pose`` (3, 3) about the origin: c ↦ R c."""
        return self._replace(centres=self.centres @ jnp.asarray(pose).T)


def _coil(path, normal, binormal, radius: float, turns: float) -> np.ndarray:
    """Points on a helix of some radius about a path (m, 3) with two unit vectors across it."""
    phase = np.linspace(0, 2 * np.pi * turns, len(path))[:, None]
    return path + radius * (np.cos(phase) * normal + np.sin(phase) * binormal)


def _ball(centre, radius: float, count: int) -> np.ndarray:
    """Points of a Fibonacci spiral on a sphere."""
    height = 1 - (2 * np.arange(count) + 1) / count
    turn = np.pi * (3 - 5**0.5) * np.arange(count)
    across = np.sqrt(1 - height**2)
    around = np.stack([across * np.cos(turn), across * np.sin(turn), height], -1)
    return np.asarray(centre) + radius * around


RING, GAP = 34.0, np.deg2rad(42.0)  # Å; half of the opening of the ring
UP = np.array([0.0, 0.0, 1.0])


def claw(opening, scale: float = 1.0, width: float = 4.0) -> Molecule:
    """A made-up molecule with one moving part: a coiled ring with a gap, and an arm that closes it.

    The ring lies in the plane z = 0 with its gap towards +x; a knob on its back, above the plane,
    tells left from right. The arm is hinged at the lower end of the ring and turns about z. The 330
    blobs have a total mass of 1; the whole is centred where it is half open, at 35 degrees.

    ``opening`` is in degrees, from 0 (the arm spans the gap) to about 70, and may be traced;
    ``scale`` is of all places, not of the ``width`` of a blob in Å. Raises: ValueError for a scale
    or width that is not positive. Chapter: A molecule in motion.
    """
    scale, width = checks.positive("scale", scale), checks.positive("width", width)
    centres, weights = _claw(jnp.asarray(opening, jnp.zeros(()).dtype), scale)
    return Molecule(centres, weights, width)


@jax.jit
def _claw(opening, scale):
    """Centres and weights."""
    body, arm, hinge = _claw_parts()
    angle = jnp.deg2rad(opening)
    moved = hinge + (arm - hinge) @ _about_z(-angle).T
    half_open = hinge + (arm - hinge) @ _about_z(-np.deg2rad(35.0)).T
    weights = np.full(len(body) + len(arm), 1.0 / (len(body) + len(arm)))
    middle = jnp.concatenate([body, half_open]).mean(0)
    centres = scale * (jnp.concatenate([jnp.asarray(body, moved.dtype), moved]) - middle)
    return centres, jnp.asarray(weights, centres.dtype)


def _claw_parts():
    """Ring with knob (200 blobs), arm at opening 0 (130 blobs), and the hinge."""
    turn = np.linspace(GAP, 2 * np.pi - GAP, 160)
    out = np.stack([np.cos(turn), np.sin(turn), 0 * turn], -1)
    ring = _coil(RING * out, out, UP, 9.0, 11)
    knob = _ball([-RING, 6.0, 17.0], 8.0, 40)
    hinge, other = (RING * np.array([np.cos(GAP), sign * np.sin(GAP), 0.0]) for sign in (-1, 1))
    along = (other - hinge) / np.linalg.norm(other - hinge)
    rod = hinge + along * np.linspace(4.0, 40.0, 80)[:, None]
    arm = np.concatenate(
        [_coil(rod, np.cross(along, UP), UP, 6.0, 7), _ball(hinge + 46.0 * along, 9.0, 50)]
    )
    return np.concatenate([ring, knob]), arm, hinge


def _about_z(angle):
    c, s = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack(
        [jnp.stack([c, -s, 0 * c]), jnp.stack([s, c, 0 * c]), jnp.asarray(UP, c.dtype)]
    )


def fourier_transform(mol: Molecule, k) -> jax.Array:
    """V̂(k) in closed form; k (..., 3) in cycles per Å; complex, of shape (...). V̂(0) is the mass.

    Raises: ValueError when the last axis of k is not 3. Chapter: A molecule in motion.
    """
    k = checks.coordinates("k", k, 3)
    dot = partial(jnp.matmul, precision="highest")
    phase = dot(-2 * jnp.pi * k, mol.centres.T)
    waves = jax.lax.complex(dot(jnp.cos(phase), mol.weights), dot(jnp.sin(phase), mol.weights))
    return jnp.exp(-2 * jnp.pi**2 * mol.width**2 * jnp.sum(k**2, -1)) * waves


def _bumps(mol: Molecule, n: int, pixel: float):
    """1-D Gaussians of every blob on each axis, (3, m, n); their products are the blobs."""
    n, pixel = checks.count("n", n), checks.positive("pixel", pixel)
    at = (jnp.arange(n) - n // 2) * pixel
    z = (at - mol.centres[..., None]) / mol.width
    return jnp.moveaxis(jax.scipy.stats.norm.pdf(z) * (pixel / mol.width), 1, 0)


def projection(mol: Molecule, n: int, pixel: float) -> jax.Array:
    """The shadow along z, (n, n), axes x and y: density at the pixels × pixel², mass per pixel.

    ``pixel`` is the side of one in Å. Raises: ValueError for n < 1 or a pixel that is not positive.
    Chapter: A molecule in motion.
    """
    x, y, _ = _bumps(mol, n, pixel)
    return jnp.einsum("m,mi,mj->ij", mol.weights, x, y, precision="highest")


def volume(mol: Molecule, n: int, pixel: float) -> jax.Array:
    """The density on the voxels' centres × pixel³, mass per voxel: (n, n, n), axes x, y, z; else as
    :func:`projection`. Chapter: A molecule in motion.
    """
    x, y, z = _bumps(mol, n, pixel)
    return jnp.einsum("m,mi,mj,mk->ijk", mol.weights, x, y, z, precision="highest")


def from_volume(voxels, pixel: float, width: float, part: float = 0.1) -> Molecule:
    """A map as a molecule: one blob for each voxel above ``part`` of the largest, of mass 1 in all.

    Its density is the map, voxels (n₁, n₂, n₃) of side ``pixel`` Å, axes x, y, z, blurred by
    ``width`` Å. The centre of mass comes to the origin. Voxels below ``part``, in [0, 1), are taken
    for ice. Raises: ValueError for another shape, NaN, no positive voxel, or a part outside [0, 1).
    Chapter: A molecule in motion.
    """
    voxels = np.asarray(checks.real_array("voxels", voxels, integers=True))
    right = voxels.ndim == 3 and voxels.max() > 0
    checks.must(right, "voxels", "be a volume with a positive value", checks.describe(voxels))
    checks.must(0 <= part < 1, "part", "lie in [0, 1)", part)
    pixel, width = checks.positive("pixel", pixel), checks.positive("width", width)
    where = np.argwhere(voxels > part * voxels.max())
    weights = voxels[tuple(where.T)].astype(np.float64)
    weights /= weights.sum()
    centres = pixel * (where - weights @ where)
    return Molecule(jnp.asarray(centres, "f4"), jnp.asarray(weights, "f4"), width)
