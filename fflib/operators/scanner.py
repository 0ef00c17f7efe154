r"""What an instrument measures: each operator a small linear function of an array.

A scanner does not see the picture f(v); it sees A f, and the loss compares there:

    v ↦ γ(v) ↦ f(γ(v); θ) ↦ A f ↦ ½ mean ‖A f − y‖².

These are the operators of the CT and MRI experiments of Tancik et al. 2020; any function of an
array that JAX can differentiate will do.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

from fflib import checks

INTERPOLATION = {"nearest": 0, "linear": 1}


def half_mean_square(residual) -> jax.Array:
    """½ mean ``|r|²`` of a real or complex array, a real scalar. Chapter: Magnetic resonance."""
    r = jnp.asarray(residual)
    return 0.5 * jnp.mean(r.real**2 + r.imag**2 if jnp.iscomplexobj(r) else r**2)


def adjoint(operator: Callable, shape: Sequence[int], dtype=None) -> Callable:
    """Aᴴ of a linear A on arrays of one shape and dtype (default: float): Re⟨Ax, y⟩ = Re⟨x, Aᴴy⟩.
    Chapter: Computed tomography.
    """
    like = jax.ShapeDtypeStruct(tuple(shape), dtype or jnp.zeros(()).dtype)
    transpose = jax.linear_transpose(operator, like)
    return lambda y: jnp.conj(transpose(jnp.conj(y))[0])


# --- Computed tomography


def angles(count: int) -> jax.Array:
    """``count`` ≥ 1 views in radians, from 0 to π, without π. Chapter: Computed tomography."""
    return jnp.arange(checks.count("count", count)) * (jnp.pi / count)


def project(image, angles, interpolation="nearest", detectors: int | None = None) -> jax.Array:
    r"""Parallel-beam projections, the Radon transform of a picture on [0, 1]² (Eq. ct-radon).

    p(θ, s) = ∫ f(½ + s cosθ − t sinθ, ½ + s sinθ + t cosθ) dt, arguments (column, row): the picture
    (n, n) is turned by θ about its middle and averaged over its rows; it is 0 outside the square,
    whose side is the unit of length. ``angles`` are (k,) radians in [−2π, 2π], in any order.
    Detector j of m (default n) sits at s = j/m − ½. A sinogram of scikit-image, ``theirs =
    radon(image, degrees)`` with ``circle=True``, is ours after ``theirs.T / n,
    -np.radians(degrees)``: it sums pixels and turns the other way.

    "nearest" takes the value of the nearest pixel, as the paper does, "linear" is closer to the
    integral and four times the work. Returns: (k, m). Raises: ValueError for another shape, no
    angles, degrees, NaN; TypeError for complex pictures. Chapter: Computed tomography.
    """
    hint = ": pad it with zeros to a square"
    image = checks.real_array("image", image, ("n", "n"), integers=True, hint=hint)
    angles = _directions(angles)
    order = INTERPOLATION[checks.one_of("interpolation", interpolation, tuple(INTERPOLATION))]
    n = len(image)
    t, s = jnp.meshgrid(jnp.arange(n) - n / 2, _detectors(n, detectors), indexing="ij")

    def view(theta):
        row = n / 2 + s * jnp.sin(theta) + t * jnp.cos(theta)
        column = n / 2 + s * jnp.cos(theta) - t * jnp.sin(theta)
        return map_coordinates(image, [row, column], order, mode="constant").mean(axis=0)

    return jax.vmap(view)(angles)


def _detectors(n: int, count: int | None):
    """Where detectors sit, in pixels from the middle."""
    m = n if count is None else checks.count("detectors", count)
    return (jnp.arange(m) - m / 2) * (n / m)


def filtered_back_projection(sinogram, angles, size: int | None = None) -> jax.Array:
    r"""The classical reconstruction: f(v) = ∫₀^π (p(θ, ·) * h)(s(v, θ)) dθ with the ramp filter h.

    h has the absolute frequency as its spectrum, up to the detectors' Nyquist frequency
    (Ramachandran and Lakshminarayanan 1971); s(v, θ) is the detector that sees v from θ,
    interpolated linearly. Each view counts for half of the turn to its neighbours (mod π). From a
    sinogram (k, m) and angles as in :func:`project` comes a picture (n, n), n = ``size`` or m.
    Raises: ValueError for shapes that disagree, NaN, no angles. Chapter: Computed tomography.
    """
    angles = _directions(angles)
    sinogram = checks.real_array("sinogram", sinogram, (len(angles), "m"), integers=True)
    m = sinogram.shape[1]
    n = m if size is None else checks.count("size", size)
    k = np.fft.fftfreq(2 * m, 1 / (2 * m))  # 0, 1, …, m−1, −m, …, −1; zeros to 2m: no wrap-around
    with np.errstate(divide="ignore"):
        ramp = np.where(k == 0, 1 / 4, np.where(k % 2 == 1, -1 / (np.pi * k) ** 2, 0.0))
    filtered = jnp.fft.irfft(jnp.fft.rfft(sinogram, 2 * m) * np.fft.rfft(ramp), 2 * m)[:, :m] * m
    row, column = jnp.meshgrid(*2 * [_detectors(m, n)], indexing="ij")

    def smear(q, theta):
        s = m / 2 + column * jnp.cos(theta) + row * jnp.sin(theta)
        return map_coordinates(q, [s], 1, mode="constant")

    views = jax.vmap(smear)(filtered.astype(sinogram.dtype), angles)
    return jnp.einsum("k,krc->rc", _shares(angles), views, precision="highest")


def _shares(angles):
    """Half of the way from the angle before to the angle after, on the circle of half a turn."""
    order = jnp.argsort(angles % jnp.pi)
    turn = (angles % jnp.pi)[order]
    after = jnp.append(turn[1:], turn[0] + jnp.pi) - turn
    return jnp.zeros_like(turn).at[order].set((after + jnp.roll(after, 1)) / 2)


# --- Magnetic resonance


def kspace_mask(
    key: jax.Array, shape: Sequence[int], draws: int = 200_000, std: float = 192**0.5
) -> jax.Array:
    """Which frequencies the scanner visits: cells hit by ``draws`` from N(centre, std²·I).

    The defaults are the paper's for 96³, where about one cell in eight is hit; ``std`` is in cells
    (cycles per side). Returns booleans of the volume's shape, frequency 0 at index 0, as in
    ``jnp.fft.fftn``. Raises: ValueError for sizes or draws < 1 and std ≤ 0. Chapter: Magnetic
    resonance.
    """
    size = jnp.array(shape := tuple(checks.count("shape", k) for k in shape))
    draws, std = checks.count("draws", draws), checks.positive("std", std)
    drawn = jax.random.normal(checks.key("key", key), (draws, len(shape)))
    cell = jnp.round(std * drawn).astype(int)
    inside = ((cell >= -(size // 2)) & (cell < (size + 1) // 2)).all(axis=1)
    cell = jnp.where(inside[:, None], cell % size, size)  # an index past the end is dropped
    return jnp.zeros(shape, bool).at[tuple(cell.T)].set(True, mode="drop")


def masked_fft(volume, mask) -> jax.Array:
    """What the scanner measures: M F f, as of ``jnp.fft.fftn`` where mask is True, 0 elsewhere.

    Raises: TypeError for a mask that is not boolean, ValueError for NaN, a mask of another shape,
    or one that lets nothing through. Chapter: Magnetic resonance.
    """
    volume = checks.real_array("volume", volume, integers=True)
    return jnp.where(_mask(mask, volume.shape), jnp.fft.fftn(volume), 0)


def zero_filled(observed) -> jax.Array:
    """Re F⁻¹ y, (MF)ᴴy over the number of voxels: the volume if all that y lacks were zero. Raises:
    ValueError when y is empty or not finite. Chapter: Magnetic resonance.
    """
    observed = checks.finite("observed", jnp.asarray(observed))
    checks.must(observed.size, "observed", "not be empty", f"shape {observed.shape}")
    return jnp.fft.ifftn(observed).real


def hermitian_filled(observed, mask) -> jax.Array:
    """The smallest real volume that agrees with the measurement: y(−k) = conj y(k) where missing.

    A real volume has F f(−k) = conj F f(k), so a measured cell tells its mirror image too. Raises:
    as :func:`masked_fft`. Chapter: Magnetic resonance.
    """
    observed = jnp.asarray(observed)
    mask = _mask(mask, observed.shape)
    both = mask.astype(observed.real.dtype) + mirrored(mask)
    return zero_filled(jnp.where(mask, observed * 2 / jnp.maximum(both, 1), 0))


def mirrored(spectrum) -> jax.Array:
    """The array at −k instead of k, frequency 0 at index 0. Chapter: Magnetic resonance."""
    axes = tuple(range(jnp.ndim(spectrum)))
    return jnp.roll(jnp.flip(jnp.asarray(spectrum), axes), 1, axes)


def _directions(angles) -> jax.Array:
    angles = checks.real_array("angles", angles, ("k",), integers=True)
    most = 0.0 if checks.traced(angles) else np.abs(angles).max()
    given = f"up to {most:.4g}: of degrees give jnp.radians(angles)"
    checks.must(most < 6.2832, "angles", "be radians in [−2π, 2π]", given)
    return angles


def _mask(mask, shape) -> jax.Array:
    mask = jnp.asarray(mask)
    if mask.dtype != bool:
        raise TypeError(f"mask must be boolean, but got {checks.describe(mask)}")
    checks.must(mask.shape == shape, "mask", f"have the shape {shape} of what it masks", mask.shape)
    right = checks.traced(mask) or np.asarray(mask).any()
    given = f"False everywhere ({mask.shape}): nothing would be measured"
    checks.must(right, "mask", "let something through", given)
    return mask
