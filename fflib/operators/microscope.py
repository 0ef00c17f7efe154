r"""The electron microscope: central slices, contrast, direct inversion, and how good it is.

An image is a projection of the turned molecule, p(x, y) = ∫ V(Rᵀ(x, y, z)) dz: in Fourier space a
central slice (Bracewell 1956; De Rosier and Klug 1968). The microscope multiplies each frequency by
a known number, and the detector adds noise:

    y_i(k) = C_i(‖k‖) V̂(Rᵢᵀ(k, 0)) + noise.

Frequencies are in cycles per pixel, in [−½, ½), where no unit is given. The Fourier transform is
the plain sum over pixels with exp(−2πi k·x); pixel j of n lies at x = j − n//2. Axes are x, y, z.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.spatial.transform import Rotation

from fflib import checks
from fflib.operators.cameras import rotations


def frequencies(n: int) -> np.ndarray:
    """The n frequencies of a centred transform: (j − n//2)/n. Chapter: A molecule in motion."""
    return (np.arange(checks.count("n", n)) - n // 2) / n


def centred_fft(array, d: int) -> jax.Array:
    """Σ a(x) exp(−2πi k·x) over the last d axes, k = 0 at n//2. Chapter: A molecule in motion."""
    axes = tuple(range(-d, 0))
    return jnp.fft.fftshift(jnp.fft.fftn(jnp.fft.ifftshift(array, axes), axes=axes), axes)


def centred_ifft(spectrum, d: int) -> jax.Array:
    """The real part of what has this :func:`centred_fft`. Chapter: A molecule in motion."""
    axes = tuple(range(-d, 0))
    return jnp.fft.fftshift(jnp.fft.ifftn(jnp.fft.ifftshift(spectrum, axes), axes=axes), axes).real


def radius(n: int) -> np.ndarray:
    """‖k‖ of every cell of a centred transform of an n × n image. Chapter: A molecule in motion."""
    k = frequencies(n)
    return np.hypot(k[:, None], k)


def filtered(images, gain) -> jax.Array:
    """Images (..., n, n), their transforms times an even gain. Chapter: A molecule in motion."""
    return centred_ifft(gain * centred_fft(images, 2), 2)


def half_disc(n: int) -> np.ndarray:
    """Frequencies ‖k‖ < ½ of a real n × n image, n ≥ 4, one of each ±k: cells (P, 2), 0 first.
    Chapter: A molecule in motion.
    """
    x, y = np.meshgrid(*2 * [np.arange(checks.count("n", n, least=4)) - n // 2], indexing="ij")
    keep = (np.hypot(x, y) < n / 2) & ((x > 0) | ((x == 0) & (y >= 0)))
    cells = np.argwhere(keep)
    return cells[np.argsort(np.hypot(x, y)[keep], kind="stable")]


def random_rotations(key: jax.Array, count: int) -> jax.Array:
    """Rotations (count, 3, 3), uniform over all. Chapter: A molecule in motion."""
    size = checks.count("count", count), 4
    quaternions = jax.random.normal(checks.key("key", key), size)  # the real part first
    return Rotation.from_quat(jnp.roll(quaternions, -1, axis=1)).as_matrix()


def slice_points(k, poses) -> jax.Array:
    """Where an image's frequencies lie in the molecule's frame: Rᵀ(k₁, k₂, 0) = k₁ R₁ + k₂ R₂.

    R₁ and R₂ are rows of R. From k (P, 2) and rotations (N, 3, 3) come (N, P, 3), in k's units.
    Raises: ValueError for other shapes and matrices. Chapter: A molecule in motion.
    """
    k, poses = checks.points("k", k, 2), rotations("poses", poses)
    checks.shaped("poses", poses, ("N", 3, 3))
    return jnp.matmul(k, poses[:, :2], precision="highest")


def fold(k) -> tuple[jax.Array, jax.Array]:
    """Of ±k (..., 3) the one with k_z > 0 (or k_z = 0 and k_y > 0, …), s k, and the sign s = ±1: of
    a real volume V̂(k) = Re V̂(s k) + i s Im V̂(s k). Chapter: A molecule in motion.
    """
    x, y, z = jnp.moveaxis(k, -1, 0)
    first = jnp.where(z != 0, z, jnp.where(y != 0, y, x))
    sign = jnp.where(first < 0, -1.0, 1.0).astype(k.dtype)
    return sign[..., None] * k, sign


def wavelength(kilovolts: float = 300.0) -> float:
    """Of an electron in Å, with relativity. Chapter: A molecule in motion."""
    volts = 1e3 * checks.positive("kilovolts", kilovolts)
    return 12.2643 / (volts + 0.978466e-6 * volts**2) ** 0.5


def contrast(
    k, defocus, *, kilovolts: float = 300.0, cs: float = 2.7, amplitude: float = 0.1,
    b_factor: float = 0.0,
):  # fmt: skip
    r"""The contrast transfer function without astigmatism (Eq. cryo-ctf), real, of the shape of k.

    χ = π λ Δz k² − ½ π C_s λ³ k⁴, C = −(√(1−A²) sin χ + A cos χ) exp(−B k²/4).

    k is ‖k‖ in cycles per Å, the defocus Δz in Å (1 µm = 10⁴ Å), > 0 underfocus, broadcast against
    it, the spherical aberration C_s ≥ 0 in mm, B ≥ 0 in Å², and the share of amplitude contrast A
    in [0, 1]: C(0) = −A, darker than the ice. Raises: ValueError for numbers out of these ranges.
    Chapter: A molecule in motion.
    """
    wave, cs = wavelength(kilovolts), 1e7 * checks.positive("cs", cs, zero=True)
    right = checks.positive("amplitude", amplitude, zero=True) <= 1
    checks.must(right, "amplitude", "lie in [0, 1]", amplitude)
    b_factor = checks.positive("b_factor", b_factor, zero=True)
    return _contrast(checks.real_array("k", k), defocus, wave, cs, amplitude, b_factor)


@jax.jit
def _contrast(k, defocus, wave, cs, amplitude, b_factor):
    k2 = k**2
    chi = jnp.pi * wave * k2 * (defocus - 0.5 * cs * wave**2 * k2)
    wave = (1 - amplitude**2) ** 0.5 * jnp.sin(chi) + amplitude * jnp.cos(chi)
    return -wave * jnp.exp(-b_factor * k2 / 4)


def invert(k, y, gain, poses, n: int, ridge: float = 1.0, pad: int = 2) -> jax.Array:
    r"""Direct Fourier inversion: put every measured slice back into the box, then transform.

    Each value is shared out among the eight nearest cells by trilinear weights t, and every cell
    takes the least-squares value Σ t C y / (Σ t C² + ridge) (Wiener). The cells are ``pad`` times
    finer than the box asks for, which keeps the interpolation's error outside the box; dividing by
    its transform, sinc² along each axis, undoes its fading inside. From k (P, 2) in cycles per
    pixel, complex y (N, P), gain C (N, P) and poses (N, 3, 3) to the volume (n, n, n). ``ridge`` >
    0 is noise over signal, where y has noise of variance 1. Raises: ValueError for shapes that
    disagree or poses that are no rotations. Chapter: A molecule in motion.
    """
    at = slice_points(k, poses)
    y, gain, ridge = jnp.asarray(y), jnp.asarray(gain), checks.positive("ridge", ridge)
    shapes, want = (y.shape, gain.shape), at.shape[:2]
    checks.must(set(shapes) == {want}, "y and gain", f"have shape {want}", shapes)
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


def shell_correlation(a, b) -> jax.Array:
    """Fourier shell correlation of two volumes (n, n, n), one number a shell 0, 1, … n/2 − 1.

    FSC(s) = Re Σ â conj(b̂) / √(Σ ‖â‖² Σ ‖b̂‖²), sums over round(n‖k‖) = s cycles per box; 0 where a
    volume has nothing. Raises: ValueError for other shapes. Chapter: A molecule in motion.
    """
    a = checks.real_array("a", a, ("n", "n", "n"))
    b = checks.real_array("b", b, a.shape)
    return _shell_correlation(a, b)


@jax.jit
def _shell_correlation(a, b):
    n = len(a)
    f, g = centred_fft(a, 3), centred_fft(b, 3)
    k = frequencies(n) * n
    shell = np.rint(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)).astype(int).ravel()

    def total(z):
        return jnp.zeros(n // 2, z.dtype).at[shell].add(z.ravel(), mode="drop")

    # a root of the product of squares would overflow
    size = jnp.sqrt(total(jnp.abs(f) ** 2)) * jnp.sqrt(total(jnp.abs(g) ** 2))
    return total((f * g.conj()).real) / jnp.where(size > 0, size, 1.0)


def resolution(curve, threshold: float, pixel: float) -> float:
    """Where a shell correlation first falls below a threshold: 1/frequency of the crossing, in Å.

    The curve (n/2,), as :func:`shell_correlation` gives it for a box of n voxels of side ``pixel``
    Å, n even, is taken to be straight between shells; one that never falls gives the last shell's.
    Usual are 0.5 against a known volume and 0.143 between volumes of two halves of the data
    (Rosenthal and Henderson 2003). Raises: ValueError for a threshold outside (0, 1), or a curve
    with another number of axes. Chapter: A molecule in motion.
    """
    curve = np.asarray(checks.real_array("curve", curve, ("n/2",)), np.float64)
    checks.must(len(curve) > 1, "curve", "have at least 2 shells", len(curve))
    checks.must(0 < threshold < 1, "threshold", "lie in (0, 1)", threshold)
    box = 2 * len(curve) * checks.positive("pixel", pixel)
    below = np.flatnonzero(curve[1:] < threshold) + 1  # shell 0 is the mass
    if not len(below):
        return box / (len(curve) - 1)
    s = below[0]
    if s == 1:
        return box
    return float(box / (s - 1 + (curve[s - 1] - threshold) / (curve[s - 1] - curve[s])))
