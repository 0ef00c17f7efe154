"""Where a network is asked and what it learns: coordinate grids, random signals, splits."""

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks


def grid(n: int | tuple[int, ...], d: int | None = None) -> jax.Array:
    """Coordinates in [0, 1)^d, (n₁, …, n_d, d): linspace(0, 1, n, endpoint=False) on every axis.

    ``n`` points along each of ``d`` axes (default 1), or a tuple with a number for each. The first
    coordinate goes along the first array axis, the rows of an image. Raises: ValueError for sizes
    below 1. Chapter: Conventions.
    """
    one = not isinstance(n, (tuple, list))
    sizes = (n,) * checks.count("d", 1 if d is None else d) if one else tuple(n)
    checks.must(sizes, "n", "have at least one size", "an empty tuple")
    checks.must(d in (None, len(sizes)), "n", "agree with d", f"{len(sizes)} sizes, where d is {d}")
    axes = [jnp.arange(checks.count("n", k)) / k for k in sizes]
    return jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1)


def power_law_signal(key: jax.Array, n: int, alpha: float, bins: int | None = None) -> jax.Array:
    """A random real signal (n,) whose amplitudes fall as (1 + f)^−alpha, scaled to [−½, ½].

    Fourier coefficients of the frequencies 0 … bins−1 on [0, 1), by default n/2 of them, are
    complex normal times that envelope; the rest are 0. Raises: ValueError when bins exceed n/2 or
    alpha is negative. Chapter: How strong each frequency?
    """
    n = checks.count("n", n, least=4)
    alpha = checks.positive("alpha", alpha, zero=True)
    bins = n // 2 if bins is None else checks.count("bins", bins, least=2)
    checks.must(bins <= n // 2, "bins", f"be at most n/2 = {n // 2}", bins)
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
    whole = len(y) % checks.count("factor", factor, least=2) == 0
    checks.must(whole, "y", f"have a multiple of factor={factor} values", f"shape {y.shape}")
    train, v = np.arange(len(y)) % factor == 0, grid(len(y))
    return (v[train], y[train]), (v[~train], y[~train])


def train_test_image(image) -> tuple[tuple, tuple]:
    """The paper's split of an image (H, W, C): pixels (even, even) train, pixels (odd, odd) test.

    Returns: (v, y) to train on and (v, y) to test on; v of shape (H/2, W/2, 2), y (H/2, W/2, C).
    Raises: ValueError for another shape, or an odd H or W. Chapter: Conventions.
    """
    image = checks.real_array("image", image, ("H", "W", "C"))
    H, W, _ = image.shape
    checks.must(H % 2 == W % 2 == 0, "image", "have even H and W", f"shape {image.shape}")
    v = grid((H, W))
    return (v[::2, ::2], image[::2, ::2]), (v[1::2, 1::2], image[1::2, 1::2])
