"""How good is a volume? Fourier shell correlation, and the resolution that is read off it.

Two volumes are compared shell by shell of their Fourier transforms, which asks whether they agree
and not how either was filtered. Shells are counted in cycles per box.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks
from fflib.operators.microscope import centred_fft, frequencies


def shell_correlation(a, b) -> jax.Array:
    """Fourier shell correlation of two volumes (n, n, n): one number for each shell 0, 1, … n/2 −
    1.

    FSC(s) = Re Σ â conj(b̂) / √(Σ ‖â‖² Σ ‖b̂‖²), sums over round(n‖k‖) = s. It is blind to how
    strong a shell is, and to the sign of both volumes together; 0 where a volume has nothing.

    Raises: ValueError for volumes that are no cubes of one size. Chapter: A molecule in motion.
    """
    a, b = checks.real_array("a", a), checks.real_array("b", b)
    if a.ndim != 3 or len(set(a.shape)) != 1 or a.shape != b.shape:
        raise ValueError(f"a and b must be cubes of one size, but got {a.shape} and {b.shape}")
    return _shell_correlation(a, b)


@jax.jit
def _shell_correlation(a, b):
    n = len(a)
    f, g = centred_fft(a, 3), centred_fft(b, 3)
    k = frequencies(n) * n
    shell = np.rint(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)).astype(int).ravel()

    def total(z):
        return jnp.zeros(n // 2, z.dtype).at[shell].add(z.ravel(), mode="drop")

    size = jnp.sqrt(total(jnp.abs(f) ** 2)) * jnp.sqrt(
        total(jnp.abs(g) ** 2)
    )  # the product of squares overflows
    return total((f * g.conj()).real) / jnp.where(size > 0, size, 1.0)


def resolution(curve, threshold: float, pixel: float) -> float:
    """Where a shell correlation first falls below a threshold, in Å: one over the frequency of the
    crossing.

    The curve is taken to be straight between shells; one that never falls gives the last shell's
    1/frequency. 0.5 is usual against a known volume, 0.143 between volumes of two halves of the
    data (Rosenthal and Henderson 2003), for which a volume of all data correlates with the truth by
    √(2·0.143/(1 + 0.143)) = 0.5.

    Args:
        curve: (n/2,), as :func:`shell_correlation` gives it for a box of n voxels, n even.
        threshold: in (0, 1).
        pixel: side of a voxel in Å.

    Raises: ValueError for a threshold outside (0, 1), a curve with another number of axes. Chapter:
    A molecule in motion.
    """
    curve = np.asarray(checks.real_array("curve", curve), np.float64)
    if curve.ndim != 1 or len(curve) < 2:
        raise ValueError(f"curve must have shape (n/2,), but got {curve.shape}")
    if not 0 < checks.positive("threshold", threshold) < 1:
        raise ValueError(f"threshold must lie in (0, 1), but got {threshold}")
    box = 2 * len(curve) * checks.positive("pixel", pixel)
    below = np.flatnonzero(curve[1:] < threshold) + 1  # shell 0 is the mass
    if not len(below):
        return box / (len(curve) - 1)
    s = below[0]
    if s == 1:
        return box
    return float(box / (s - 1 + (curve[s - 1] - threshold) / (curve[s - 1] - curve[s])))
