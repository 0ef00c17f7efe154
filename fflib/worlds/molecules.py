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

    A pytree, so that ``jax.vmap`` takes many at once.

    Chapter: A molecule in motion.
    """

    centres: jax.Array
    weights: jax.Array
    width: jax.Array | float

    @property
    def radius(self) -> jax.Array:
        """Root mean square of a coordinate of the mass in Å, √(Σw‖c‖²/3Σw + s²)."""
        spread = self.weights @ jnp.sum(self.centres**2, -1) / jnp.sum(self.weights)
        return jnp.sqrt(spread / 3 + self.width**2)


def _coil(path, normal, binormal, radius: float, turns: float) -> np.ndarray:
    """Points on a helix of some radius about a path (m, 3) with two unit vectors across it."""
    phase = np.linspace(0, 2 * np.pi * turns, len(path))[:, None]
    return path + radius * (np.cos(phase) * normal + np.sin(phase) * binormal)


def _ball(centre, radius: float, count: int) -> np.ndarray:
    """Points of a Fibonacci spiral on a sphere."""
    height = 1 - (2 * np.arange(count) + 1) / count
    turn = np.pi * (3 - 5**0.5) * np.arange(count)
    across = np.sqrt(1 - height**2)
    return np.asarray(centre) + radius * np.stack(
        [across * np.cos(turn), across * np.sin(turn), height], -1
    )


RING, GAP = 34.0, np.deg2rad(42.0)  # Å; half of the opening of the ring
UP = np.array([0.0, 0.0, 1.0])


def claw(opening, scale: float = 1.0, width: float = 4.0) -> Molecule:
    """A made-up molecule with one moving part: a coiled ring with a gap, and an arm that closes it.

    The ring lies in the plane z = 0 with its gap towards +x; a knob on its back, above the plane,
    tells left from right. The arm is hinged at the lower end of the ring and turns about z. The 330
    blobs have a total mass of 1; the whole is centred where it is half open, at 35 degrees.

    Args:
        opening: in degrees, from 0 (the arm spans the gap) to about 70; may be traced.
        scale: of all places, not of the width.
        width: of a blob, in Å.

    Raises: ValueError for a scale or width that is not positive. Chapter: A molecule in motion.
    """
    scale, width = checks.positive("scale", scale), checks.positive("width", width)
    centres, weights = _claw(jnp.asarray(opening, jnp.zeros(()).dtype), scale)
    return Molecule(centres, weights, width)


@jax.jit
def _claw(opening, scale):
    """Centres and weights."""
    body, arm, hinge = _claw_parts()
    angle = jnp.deg2rad(opening)
    moved = hinge + (arm - hinge) @ rotation(UP, -angle).T
    half_open = hinge + (arm - hinge) @ rotation(UP, -np.deg2rad(35.0)).T
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


def rotation(axis, angle) -> jax.Array:
    """The right-handed turn by ``angle`` radians about ``axis`` (3,): a matrix (3, 3) (Rodrigues).

    R = I + sin θ [u]ₓ + (1 − cos θ) [u]ₓ², u = axis/‖axis‖. (On a GPU jax.scipy's is rounded.)

    Raises: ValueError for an axis of another shape or of no length. Chapter: A molecule in motion.
    """
    axis = checks.real_array("axis", axis, integers=True)
    if axis.shape != (3,) or (not checks.traced(axis) and float(jnp.linalg.norm(axis)) == 0):
        raise ValueError(f"axis must be a vector (3,) with a length, but got {axis}")
    cross = jnp.cross(jnp.eye(3, dtype=axis.dtype), axis / jnp.linalg.norm(axis))
    twice = jnp.matmul((1 - jnp.cos(angle)) * cross, cross, precision="highest")
    return jnp.eye(3, dtype=cross.dtype) + jnp.sin(angle) * cross + twice


def turned(mol: Molecule, pose) -> Molecule:
    """The molecule turned by a matrix ``pose`` (3, 3) about the origin: c ↦ R c.

    Chapter: A molecule in motion.
    """
    return mol._replace(centres=mol.centres @ jnp.asarray(pose).T)


def transform(mol: Molecule, k) -> jax.Array:
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

    Args:
        mol: the molecule, turned before if another view is wanted.
        n: pixels along a side.
        pixel: side of a pixel in Å.

    Raises: ValueError for n < 1 or a pixel that is not positive. Chapter: A molecule in motion.
    """
    x, y, _ = _bumps(mol, n, pixel)
    return jnp.einsum("m,mi,mj->ij", mol.weights, x, y, precision="highest")


def volume(mol: Molecule, n: int, pixel: float) -> jax.Array:
    """The density on the voxels' centres × pixel³, mass per voxel: (n, n, n), axes x, y, z.

    Arguments and errors as in :func:`projection`. Chapter: A molecule in motion.
    """
    x, y, z = _bumps(mol, n, pixel)
    return jnp.einsum("m,mi,mj,mk->ijk", mol.weights, x, y, z, precision="highest")


def from_volume(voxels, pixel: float, width: float, part: float = 0.1) -> Molecule:
    """A map as a molecule: one blob for each voxel above ``part`` of the largest, of mass 1 in all.

    Its density is the map, blurred by ``width``. The centre of mass comes to the origin.

    Args:
        voxels: (n₁, n₂, n₃), axes x, y, z.
        pixel: side of a voxel in Å.
        width: of the blobs, in Å.
        part: of the largest value, in [0, 1); voxels below it are taken for ice.

    Raises: ValueError for another shape, NaN, no positive voxel, or a part outside [0, 1).
    Chapter: A molecule in motion.
    """
    voxels = np.asarray(checks.real_array("voxels", voxels, integers=True))
    pixel = checks.positive("pixel", pixel)
    if voxels.ndim != 3 or voxels.max() <= 0:
        raise ValueError(
            f"voxels must be a volume with a positive value, but got {checks.describe(voxels)}"
        )
    if checks.positive("part", part, zero=True) >= 1:
        raise ValueError(f"part must lie in [0, 1), but got {part}")
    where = np.argwhere(voxels > part * voxels.max())
    weights = voxels[tuple(where.T)].astype(np.float64)
    weights /= weights.sum()
    centres = pixel * (where - weights @ where)
    width = checks.positive("width", width)
    return Molecule(jnp.asarray(centres, "f4"), jnp.asarray(weights, "f4"), width)
