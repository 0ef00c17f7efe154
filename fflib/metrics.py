"""How close is it? Errors, PSNR, overlap, and the amplitude of each frequency."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from fflib import checks


def _pair(pred, target):
    pred, target = jnp.asarray(pred), jnp.asarray(target)
    if pred.shape != target.shape:
        raise ValueError(f"pred and target must have the same shape, but got {pred.shape} and {target.shape}")
    if pred.size == 0:
        raise ValueError(f"pred and target are empty: got shape {pred.shape}")
    return pred, target


def mse(pred, target) -> jax.Array:
    """Mean squared error of two arrays of one shape: a scalar.

    Raises: ValueError when the shapes differ (nothing is broadcast) or are empty; TypeError for
    complex numbers.

    Chapter: Why is it blurry?
    """
    pred, target = _pair(pred, target)
    if jnp.iscomplexobj(pred) or jnp.iscomplexobj(target):
        raise TypeError(f"pred and target must be real, but got {pred.dtype} and {target.dtype}")
    return jnp.mean((1.0 * pred - target) ** 2)  # 1.0: bytes would wrap around below 0


def psnr(pred, target, peak: float = 1.0) -> jax.Array:
    """Peak signal-to-noise ratio, 10 log₁₀(peak² / MSE), in decibels; higher is better.

    From the mean squared error, never from a loss with a ½ in it.

    Raises: ValueError when shapes differ or peak is not positive.

    Chapter: Why is it blurry?; Conventions.
    """
    return 10 * jnp.log10(checks.positive("peak", peak) ** 2 / mse(pred, target))


def iou(pred, target) -> jax.Array:
    """Intersection over union of two boolean arrays of one shape, in [0, 1]; 1 if both are empty.

    Raises: ValueError when shapes differ; TypeError when they are not boolean.

    Chapter: Conventions.
    """
    pred, target = _pair(pred, target)
    if pred.dtype != bool or target.dtype != bool:
        raise TypeError(f"pred and target must be boolean, but got {pred.dtype} and {target.dtype}; threshold first")
    union = (pred | target).sum()
    return jnp.where(union > 0, (pred & target).sum() / jnp.maximum(union, 1), 1.0)


def rfft_amplitude(y, axis: int = -1) -> jax.Array:
    """Amplitude of every frequency 0 … n/2 of a real signal on n equidistant points.

    2|ŷ_k|/n, so that A·sin(2πkv + φ) on v = 0, 1/n, … gives A in bin k (bins 0 and n/2 have no
    partner of negative frequency: they are not doubled).

    Raises: ValueError when y is empty or has no axes.

    Chapter: Spectral bias.
    """
    y = checks.real_array("y", y)
    if y.ndim == 0:
        raise ValueError("y must have at least one axis, but got a single number")
    n = y.shape[axis]
    amplitude = jnp.moveaxis(jnp.abs(jnp.fft.rfft(y, axis=axis)) * 2 / n, axis, -1)
    amplitude = amplitude.at[..., 0].divide(2)
    amplitude = amplitude.at[..., -1].divide(2) if n % 2 == 0 else amplitude
    return jnp.moveaxis(amplitude, -1, axis)
