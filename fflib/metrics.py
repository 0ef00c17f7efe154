"""How close is it? Mean squared error and PSNR."""

import jax
import jax.numpy as jnp

from fflib import checks


def mse(pred, target) -> jax.Array:
    """Mean squared error of two arrays of one shape: a scalar, in float32 at least.

    Raises: ValueError when the shapes differ (nothing is broadcast) or are empty; TypeError for
    whole or complex numbers. Chapter: Why is it blurry?
    """
    pred, target = checks.pair(pred, target)
    return jnp.mean((pred - target) ** 2)


def psnr(pred, target, peak: float = 1.0) -> jax.Array:
    """Peak signal-to-noise ratio, 10 log₁₀(peak² / MSE), in decibels; higher is better.

    From the mean squared error, never from a loss with a ½ in it. Raises: as :func:`mse`, and
    ValueError for a peak that is not positive. Chapter: Why is it blurry?
    """
    return 10 * jnp.log10(checks.positive("peak", peak) ** 2 / mse(pred, target))
