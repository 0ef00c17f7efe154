r"""The electron microscope: central slices, contrast, and direct inversion.

An image is a projection of the turned molecule, p(x, y) = ∫ V(Rᵀ(x, y, z)) dz. In Fourier space
projecting is cutting (Bracewell 1956; De Rosier and Klug 1968): p̂(k₁, k₂) = V̂(Rᵀ(k₁, k₂, 0)). The
microscope multiplies each frequency by a known number, and the detector adds noise:

    y_i(k) = C_i(‖k‖) V̂(Rᵢᵀ(k, 0)) + noise.

Frequencies are in cycles per pixel, in [−½, ½), where no unit is given. The Fourier transform is
the plain sum over pixels with exp(−2πi k·x); pixel j of n lies at x = j − n//2, so a centred
particle has a smooth transform. Images have axes x and y, volumes x, y and z.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.spatial.transform import Rotation

from fflib import checks
from fflib.operators.cameras import rotations


def frequencies(n: int) -> np.ndarray:
    """The n frequencies of a centred transform: (j − n//2)/n, in cycles per pixel, in [−½, ½).

    Chapter: A molecule in motion.
    """
    return (np.arange(checks.count("n", n)) - n // 2) / n


def centred_fft(array, d: int) -> jax.Array:
    """Σ a(x) exp(−2πi k·x) over the last ``d`` axes, frequency 0 at n//2.

    Chapter: A molecule in motion.
    """
    axes = tuple(range(-d, 0))
    return jnp.fft.fftshift(jnp.fft.fftn(jnp.fft.ifftshift(array, axes), axes=axes), axes)


def centred_ifft(spectrum, d: int) -> jax.Array:
    """The real array of this :func:`centred_fft` (its real part, where the spectrum has no
    partner). Chapter: A molecule in motion.
    """
    axes = tuple(range(-d, 0))
    return jnp.fft.fftshift(jnp.fft.ifftn(jnp.fft.ifftshift(spectrum, axes), axes=axes), axes).real


def radius(n: int) -> np.ndarray:
    """‖k‖ of every cell of a centred transform of an n × n image, in cycles per pixel.

    Chapter: A molecule in motion.
    """
    k = frequencies(n)
    return np.hypot(k[:, None], k)


def filtered(images, gain) -> jax.Array:
    """What a lens makes of images (..., n, n): their transforms times ``gain``, symmetric in ±k.

    Chapter: A molecule in motion.
    """
    return centred_ifft(gain * centred_fft(images, 2), 2)


def half_disc(n: int) -> np.ndarray:
    """Which frequencies of a real n × n image to keep: cells (P, 2) with ‖k‖ < ½, half of them.

    A real image has ŷ(−k) = conj ŷ(k), so one of each pair ±k tells all. Frequency 0 is its own
    partner and the first in the list. Chapter: A molecule in motion.
    """
    x, y = np.meshgrid(*2 * [np.arange(checks.count("n", n, least=4)) - n // 2], indexing="ij")
    keep = (np.hypot(x, y) < n / 2) & ((x > 0) | ((x == 0) & (y >= 0)))
    cells = np.argwhere(keep)
    return cells[np.argsort(np.hypot(x, y)[keep], kind="stable")]


def random_rotations(key: jax.Array, count: int) -> jax.Array:
    """``count`` rotations (count, 3, 3), uniform over all: from quaternions of four normal numbers.

    Chapter: A molecule in motion.
    """
    quaternions = jax.random.normal(
        checks.key("key", key), (checks.count("count", count), 4)
    )  # the real part first
    return Rotation.from_quat(jnp.roll(quaternions, -1, axis=1)).as_matrix()


def slice_points(k, poses) -> jax.Array:
    """Where an image's frequencies lie in the molecule's frame: Rᵀ(k₁, k₂, 0) = k₁ R₁ + k₂ R₂.

    R₁ and R₂ are rows of R. From k (P, 2) and rotations (N, 3, 3) come (N, P, 3), in the units of
    k. Raises: ValueError for other shapes, and when the poses are no rotations. Chapter: A molecule
    in motion.
    """
    k, poses = checks.points("k", k, 2), rotations("poses", poses)
    if poses.ndim != 3:
        raise ValueError(f"poses must have shape (N, 3, 3), but got {poses.shape}")
    return jnp.matmul(k, poses[:, :2], precision="highest")


def fold(k) -> tuple[jax.Array, jax.Array]:
    """Of ±k (..., 3) the one with k_z > 0 (or k_z = 0 and k_y > 0, …), s k, and the sign s = ±1.

    A real volume has V̂(−k) = conj V̂(k): whoever knows V̂(s k) knows V̂(k) = Re V̂(s k) + i s Im
    V̂(s k). So a network needs to learn half of the frequencies only. Returns (s k, s), shapes
    (..., 3) and (...). Chapter: A molecule in motion.
    """
    x, y, z = jnp.moveaxis(k, -1, 0)
    first = jnp.where(z != 0, z, jnp.where(y != 0, y, x))
    sign = jnp.where(first < 0, -1.0, 1.0).astype(k.dtype)
    return sign[..., None] * k, sign


# --------------------------------------------------------------------------------------------------
# The microscope


def wavelength(kilovolts: float = 300.0) -> float:
    """Of an electron, in Å: 12.2643/√(U + 0.978466·10⁻⁶ U²), U the voltage in volts (relativistic).

    Chapter: A molecule in motion.
    """
    volts = 1e3 * checks.positive("kilovolts", kilovolts)
    return 12.2643 / (volts + 0.978466e-6 * volts**2) ** 0.5


def contrast(
    k,
    defocus,
    *,
    kilovolts: float = 300.0,
    cs: float = 2.7,
    amplitude: float = 0.1,
    b_factor: float = 0.0,
):
    r"""The contrast transfer function without astigmatism (Eq. cryo-ctf), real, of the shape of k.

    χ = π λ Δz k² − ½ π C_s λ³ k⁴, C = −(√(1−A²) sin χ + A cos χ) exp(−B k²/4).

    Δz > 0 is underfocus. C(0) = −A < 0: the molecule is darker than the ice.

    Args:
        k: ‖k‖ in cycles per Å, any shape.
        defocus: Δz in Å (1 µm = 10⁴ Å); broadcast against k.
        kilovolts: of the electrons.
        cs: spherical aberration in mm.
        amplitude: A, the share of amplitude contrast, in [0, 1].
        b_factor: B in Å².

    Raises: ValueError for an amplitude outside [0, 1], a negative aberration or B. Chapter: A
    molecule in motion.
    """
    wave, cs = wavelength(kilovolts), 1e7 * checks.positive("cs", cs, zero=True)
    if checks.positive("amplitude", amplitude, zero=True) > 1:
        raise ValueError(f"amplitude must lie in [0, 1], but got {amplitude}")
    b_factor = checks.positive("b_factor", b_factor, zero=True)
    return _contrast(checks.real_array("k", k), defocus, wave, cs, amplitude, b_factor)


@jax.jit
def _contrast(k, defocus, wave, cs, amplitude, b_factor):
    k2 = k**2
    chi = jnp.pi * wave * k2 * (defocus - 0.5 * cs * wave**2 * k2)
    return -((1 - amplitude**2) ** 0.5 * jnp.sin(chi) + amplitude * jnp.cos(chi)) * jnp.exp(
        -b_factor * k2 / 4
    )


# --------------------------------------------------------------------------------------------------
# Without a network


def invert(k, y, gain, poses, n: int, ridge: float = 1.0, pad: int = 2) -> jax.Array:
    r"""Direct Fourier inversion: put every measured slice back into the box, then transform.

    Each value is shared out among the eight nearest cells by trilinear weights t, and every cell
    takes the least-squares value Σ t C y / (Σ t C² + ridge) (Wiener). The cells are ``pad`` times
    finer than the box asks for, which keeps the interpolation's error outside the box; dividing by
    its transform, sinc² along each axis, undoes its fading inside.

    From k (P, 2) in cycles per pixel, complex y (N, P), gain C (N, P) and poses (N, 3, 3) to the
    volume (n, n, n). ``ridge`` > 0 is noise over signal, where y has noise of variance 1. Raises:
    ValueError when shapes disagree, poses are no rotations or ridge is not positive. Chapter: A
    molecule in motion.
    """
    at = slice_points(k, poses)
    y, gain, ridge = jnp.asarray(y), jnp.asarray(gain), checks.positive("ridge", ridge)
    if y.shape != at.shape[:2] or gain.shape != y.shape:
        raise ValueError(
            f"y and gain must have shape {at.shape[:2]}, but got {y.shape} and {gain.shape}"
        )
    n, size = checks.count("n", n), checks.count("n", n) * checks.count("pad", pad)
    wide = _invert(at.reshape(-1, 3), (gain * y).ravel(), (gain**2).ravel(), ridge, size)
    edge = size // 2 - n // 2
    return wide[edge : edge + n, edge : edge + n, edge : edge + n]


@partial(jax.jit, static_argnames="n")
def _invert(at, signal, weight, ridge, n):
    at = jnp.concatenate([at, -at]) * n + n // 2  # both of every pair: the volume is real
    signal, weight = jnp.concatenate([signal, signal.conj()]), jnp.concatenate([weight, weight])
    low = jnp.floor(at)
    part = at - low
    top = jnp.zeros((n, n, n), signal.dtype)
    bottom = jnp.zeros((n, n, n), weight.dtype)
    for corner in np.ndindex(2, 2, 2):
        share = jnp.prod(jnp.where(np.array(corner) == 1, part, 1 - part), -1)
        cell = tuple((low.astype(int) + np.array(corner)).T)
        top = top.at[cell].add(share * signal, mode="drop")
        bottom = bottom.at[cell].add(share * weight, mode="drop")
    fade = jnp.sinc(frequencies(n)) ** 2
    return centred_ifft(top / (bottom + ridge), 3) / (fade[:, None, None] * fade[:, None] * fade)
