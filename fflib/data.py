"""Where a network is asked and what it learns: coordinate grids, splits, random signals."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks


def grid(n: int | tuple[int, ...], d: int | None = None) -> jax.Array:
    """Coordinates in [0, 1)^d: linspace(0, 1, n, endpoint=False) on every axis.

    Args:
        n: points along each axis; one number for all, or a tuple with one an axis.
        d: number of axes (default 1, or the tuple's length).

    Returns: (n₁, …, n_d, d), first coordinate along the first array axis (rows of an image).
    Raises: ValueError for sizes below 1. Chapter: Conventions.
    """
    one = not isinstance(n, (tuple, list))
    sizes = (n,) * checks.count("d", 1 if d is None else d) if one else tuple(n)
    if not sizes:
        raise ValueError("n must have at least one size, but got an empty tuple")
    if d is not None and len(sizes) != d:
        raise ValueError(f"n has {len(sizes)} sizes, but d is {d}")
    axes = [jnp.arange(checks.count("n", k)) / k for k in sizes]
    return jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1)


class Frame(NamedTuple):
    """Places in any unit as coordinates of [0, 1]^d by one factor, v = (x − low) / size, and back.

    The same factor on every axis: a step in one direction stays as long as in another. A mapping of
    ``scale`` cycles per unit of v has scale / size cycles per unit of x. :func:`frame` makes it.

    Attributes:
        low: (d,), what becomes 0.
        size: the length that becomes 1.

    Chapter: With your own data.
    """

    low: np.ndarray
    size: float

    def into(self, x) -> jax.Array:
        """Places (..., d) as coordinates; subtracted in float64, where float32 would round."""
        return jnp.asarray((_places("x", x, len(self.low)) - self.low) / self.size, float)

    def back(self, v) -> np.ndarray:
        """Coordinates (..., d) as places, float64."""
        return self.low + self.size * _places("v", v, len(self.low))


def frame(places, size: float | None = None) -> Frame:
    """The :class:`Frame` of some places: their lowest number on each axis becomes 0.

    Args:
        places: (..., d), whole numbers too, such as the rows and columns of a picture's pixels.
        size: what becomes 1, e.g. 360 for degrees of longitude with ``periodic=`` of a mapping
            (default: the largest extent of all axes).

    Raises: ValueError when the places are all one, not finite, or without an axis of coordinates.
    Chapter: With your own data.
    """
    places = _places("places", places)
    flat = places.reshape(-1, places.shape[-1])
    extent = np.ptp(flat, axis=0).max()
    if size is None and not extent:
        raise ValueError(f"places must not all be one, but got {len(flat)} times {flat[0]}")
    return Frame(flat.min(0), float(checks.positive("size", extent if size is None else size)))


def _places(name: str, value, d: int | None = None) -> np.ndarray:
    array = np.asarray(checks.as_array(name, value))
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold real numbers, but got {checks.describe(array)}")
    array = checks.finite(name, array.astype(np.float64))
    if array.ndim < 2 or array.size == 0 or d not in (None, array.shape[-1]):
        hint = f"; for places on a line give {name}[:, None]" if array.ndim == 1 else ""
        raise ValueError(f"{name} must have shape (..., {d or 'd'}), but got {array.shape}{hint}")
    return array


def power_law_signal(key: jax.Array, n: int, alpha: float, bins: int | None = None) -> jax.Array:
    """A random real signal whose amplitudes fall as (1 + f)^−alpha, scaled to [−½, ½].

    Fourier coefficients of bins 0 … bins−1 are complex normal times that envelope; the rest are 0.

    Args:
        key: jax random key.
        n: number of points on [0, 1).
        alpha: exponent of the envelope, ≥ 0.
        bins: number of frequencies, at most n/2 (default n/2).

    Returns: (n,). Raises: ValueError when bins exceed n/2 or alpha is negative. Chapter: How strong
    each frequency?
    """
    n = checks.count("n", n, least=4)
    alpha = checks.positive("alpha", alpha, zero=True)
    bins = n // 2 if bins is None else checks.count("bins", bins, least=2)
    if bins > n // 2:
        raise ValueError(f"bins must be at most n/2 = {n // 2}, but got {bins}")
    real, imaginary = jax.random.normal(checks.key("key", key), (2, bins))
    coefficients = (real + 1j * imaginary) * (1.0 + jnp.arange(bins)) ** -alpha
    y = jnp.fft.irfft(jnp.zeros(n // 2 + 1, coefficients.dtype).at[:bins].set(coefficients), n)
    return (y - y.min()) / (y.max() - y.min()) - 0.5


def train_test_1d(y, factor: int) -> tuple[tuple, tuple]:
    """Split a signal (n,) on a grid of [0, 1): every ``factor``-th point trains, the others test.

    Returns: (v, y) of the training points and (v, y) of the test points, v of shape (·, 1). Raises:
    ValueError when n is no multiple of factor. Chapter: How strong each frequency?
    """
    y = checks.real_array("y", y, ("n",))
    if len(y) % checks.count("factor", factor, least=2):
        raise ValueError(f"y must have a multiple of factor={factor} values, but got {y.shape}")
    train, v = np.arange(len(y)) % factor == 0, grid(len(y))
    return (v[train], y[train]), (v[~train], y[~train])


def train_test_image(image) -> tuple[tuple, tuple]:
    """The paper's split of an image (H, W, C): pixels (even, even) train, pixels (odd, odd) test.

    Returns: (v, y) to train on and (v, y) to test on; v of shape (H/2, W/2, 2), y (H/2, W/2, C).
    Raises: ValueError for another shape, or an odd H or W. Chapter: Conventions.
    """
    image = checks.real_array("image", image, ("H", "W", "C"))
    if image.shape[0] % 2 or image.shape[1] % 2:
        raise ValueError(f"image must have even H and W, but got shape {image.shape}")
    v = grid(image.shape[:2])
    return (v[::2, ::2], image[::2, ::2]), (v[1::2, 1::2], image[1::2, 1::2])
