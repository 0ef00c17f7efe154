"""How close is it? Errors, PSNR, overlap, and the amplitude of each frequency."""

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


def iou(pred, target) -> jax.Array:
    """Intersection over union of two boolean arrays of one shape, in [0, 1]; 1 if both are empty.

    Raises: ValueError when shapes differ; TypeError when they are not boolean. Chapter:
    Conventions.
    """
    pred, target = jnp.asarray(pred), jnp.asarray(target)
    for name, array in (("pred", pred), ("target", target)):
        if array.dtype != bool:
            raise TypeError(f"{name} must be boolean, but got {array.dtype}; threshold first")
    checks.shaped("pred", pred, target.shape)
    union = (pred | target).sum()
    return jnp.where(union > 0, (pred & target).sum() / jnp.maximum(union, 1), 1.0)


def rfft_amplitude(y, axis: int = -1) -> jax.Array:
    """Amplitude of every frequency 0 … n/2 of a real signal on n equidistant points.

    2|ŷ_k|/n, so that A·sin(2πkv + φ) on v = 0, 1/n, … gives A in bin k (bins 0 and n/2 have no
    partner of negative frequency: they are not doubled). Raises: ValueError when y is empty or has
    no axes; TypeError for whole or complex numbers. Chapter: Clocks: spectral bias.
    """
    y = checks.real_array("y", y, (..., "n"))
    y, n = jnp.moveaxis(y, axis, -1), y.shape[axis]
    size = jnp.abs(jnp.fft.rfft(y.astype(jnp.promote_types(y.dtype, jnp.float32))))
    k = jnp.arange(n // 2 + 1)
    return jnp.moveaxis(jnp.where((k == 0) | (2 * k == n), 1, 2) / n * size, -1, axis)
