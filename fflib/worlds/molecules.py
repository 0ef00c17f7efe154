r"""What lies in the ice: molecules made of Gaussian blobs, of which everything is known exactly.

A molecule is a few hundred blobs of one width s: with masses w_j at the places c_j its density, its
shadow along an axis and its Fourier transform are

    V(x) = Σ_j w_j N(x; c_j, s²I₃),   p(x, y) = Σ_j w_j N((x, y); c_j, s²I₂),
    V̂(k) = ∫ V(x) exp(−2πi k·x) dx = exp(−2π²s²‖k‖²) Σ_j w_j exp(−2πi k·c_j).

Lengths are in ångström (1 Å = 10⁻¹⁰ m), frequencies in cycles per Å. The box is centred: voxel i of
n lies at (i − n//2) · pixel, on every axis.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks


class Molecule(NamedTuple):
    """Blobs at ``centres`` (m, 3) Å, of masses ``weights`` (m,) and standard deviation ``width`` Å;
    a pytree, so that ``jax.vmap`` takes many at once. Chapter: A molecule in motion.
    """

    centres: jax.Array
    weights: jax.Array
    width: jax.Array | float

    @property
    def radius(self) -> jax.Array:
        """Root mean square of a coordinate of the mass in Å, √(Σw‖c‖²/3Σw + s²)."""
        spread = jnp.average(jnp.sum(self.centres**2, -1), weights=self.weights)
        return jnp.sqrt(spread / 3 + self.width**2)

    def turn(self, pose) -> "Molecule":
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


def claw(opening, scale: float = 1.0, width: float = 4.0) -> Molecule:
    """A made-up molecule with one moving part: a coiled ring with a gap, and an arm that closes it.

    The ring lies in the plane z = 0 with its gap towards +x; a knob on its back, above the plane,
    tells left from right. The arm is hinged at the lower end of the ring and turns about z by
    ``opening`` degrees, from 0 (it spans the gap) to about 70. The 330 blobs weigh 1; the whole is
    centred where it is half open, at 35 degrees. ``scale`` is of all places, not of the ``width``
    of a blob in Å; both are positive, else a ValueError. Chapter: A molecule in motion.
    """
    scale, width = checks.positive("scale", scale), checks.positive("width", width)
    centres, weights = _claw(jnp.asarray(opening, jnp.zeros(()).dtype), scale)
    return Molecule(centres, weights, width)


@jax.jit
def _claw(opening, scale):
    """Centres and weights: a ring with a knob (200 blobs), and an arm (130)."""
    up, gap = np.array([0.0, 0.0, 1.0]), np.deg2rad(42.0)  # half of the opening of the ring
    turn = np.linspace(gap, 2 * np.pi - gap, 160)
    out = np.stack([np.cos(turn), np.sin(turn), 0 * turn], -1)
    ring = _coil(34.0 * out, out, up, 9.0, 11)
    body = np.concatenate([ring, _ball([-34.0, 6.0, 17.0], 8.0, 40)])
    hinge, other = (34.0 * np.array([np.cos(gap), sign * np.sin(gap), 0.0]) for sign in (-1, 1))
    along = (other - hinge) / np.linalg.norm(other - hinge)
    rod = hinge + along * np.linspace(4.0, 40.0, 80)[:, None]
    arm = _coil(rod, np.cross(along, up), up, 6.0, 7)
    arm = np.concatenate([arm, _ball(hinge + 46.0 * along, 9.0, 50)])

    def opened(angle):  # the arm is turned about z
        c, s = jnp.cos(angle), jnp.sin(angle)
        moved = hinge + (arm - hinge) @ jnp.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        return jnp.concatenate([jnp.asarray(body, moved.dtype), moved])

    centres = opened(jnp.deg2rad(opening))
    centres = scale * (centres - opened(np.deg2rad(35.0)).mean(0))
    return centres, jnp.full(len(centres), 1.0 / len(centres), centres.dtype)


def fourier_transform(mol: Molecule, k) -> jax.Array:
    """V̂(k) in closed form, complex (...); k (..., 3) in cycles per Å, else a ValueError. V̂(0) is
    the mass. Chapter: A molecule in motion.
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
    """The shadow along z, (n, n), axes x and y: density at the pixels × pixel², mass per pixel of
    a side of so many Å. Raises: ValueError unless both are positive. Chapter: A molecule in motion.
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
    for ice. Raises: ValueError for others, NaN or no positive voxel. Chapter: A molecule in motion.
    """
    voxels = checks.real_array("voxels", voxels, ("n₁", "n₂", "n₃"), integers=True)
    voxels = np.asarray(voxels)
    checks.must(voxels.max() > 0, "voxels", "have a positive value", checks.describe(voxels))
    checks.must(0 <= part < 1, "part", "lie in [0, 1)", part)
    pixel, width = checks.positive("pixel", pixel), checks.positive("width", width)
    where = np.argwhere(voxels > part * voxels.max())
    weights = voxels[tuple(where.T)].astype(np.float64)
    weights /= weights.sum()
    centres = pixel * (where - weights @ where)
    return Molecule(jnp.asarray(centres, "f4"), jnp.asarray(weights, "f4"), width)
