"""How close is it? Errors, PSNR, overlap, and the amplitude of each frequency."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from fflib import checks


def _pair(pred, target):
    pred, target = jnp.asarray(pred), jnp.asarray(target)
    if pred.shape != target.shape:
        raise ValueError(
            f"pred and target must have the same shape, but got {pred.shape} and {target.shape}"
        )
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
        raise TypeError(
            f"pred and target must be boolean, but got {pred.dtype} and {target.dtype}; "
            f"threshold first"
        )
    union = (pred | target).sum()
    return jnp.where(union > 0, (pred & target).sum() / jnp.maximum(union, 1), 1.0)


def rfft_amplitude(y, axis: int = -1) -> jax.Array:
    """Amplitude of every frequency 0 … n/2 of a real signal on n equidistant points.

    2|ŷ_k|/n, so that A·sin(2πkv + φ) on v = 0, 1/n, … gives A in bin k (bins 0 and n/2 have no
    partner of negative frequency: they are not doubled).

    Raises: ValueError when y is empty or has no axes.

    Chapter: Clocks: spectral bias.
    """
    y = checks.real_array("y", y)
    if y.ndim == 0:
        raise ValueError("y must have at least one axis, but got a single number")
    n = y.shape[axis]
    amplitude = jnp.moveaxis(jnp.abs(jnp.fft.rfft(y, axis=axis)) * 2 / n, axis, -1)
    amplitude = amplitude.at[..., 0].divide(2)
    amplitude = amplitude.at[..., -1].divide(2) if n % 2 == 0 else amplitude
    return jnp.moveaxis(amplitude, -1, axis)


def ssim(pred, target, peak: float = 1.0) -> jax.Array:
    """Structural similarity of two pictures (Wang et al. 2004), at most 1; 1 only if equal.

    With means μ, variances σ² and covariance σ_pt in a Gaussian window of 11 × 11 pixels (standard
    deviation 1.5), c₁ = (0.01 peak)² and c₂ = (0.03 peak)²,

        SSIM = (2 μ_p μ_t + c₁)(2 σ_pt + c₂) / ((μ_p² + μ_t² + c₁)(σ_p² + σ_t² + c₂)),

    averaged over every place where the window fits, and over channels.

    Args:
        pred, target: shape (H, W) or (H, W, C), H and W at least 11.
        peak: largest possible value.

    Raises: ValueError when shapes differ, have other axes or are too small; TypeError for complex
    numbers.

    Chapter: Photographs and text.
    """
    peak = checks.positive("peak", peak)
    pred, target = _pair(pred, target)
    if jnp.iscomplexobj(pred) or jnp.iscomplexobj(target):
        raise TypeError(f"pred and target must be real, but got {pred.dtype} and {target.dtype}")
    if pred.ndim not in (2, 3) or min(pred.shape[:2]) < 11:
        raise ValueError(
            f"pred and target must have shape (H, W) or (H, W, C), H and W at least 11, but got "
            f"{pred.shape}"
        )
    return _ssim(1.0 * pred, 1.0 * target, (0.01 * peak) ** 2, (0.03 * peak) ** 2)


@jax.jit
def _ssim(p, t, c1, c2):
    window = jnp.exp(-(jnp.arange(-5.0, 6.0) ** 2) / (2 * 1.5**2))
    window = window / window.sum()

    def mean(z):  # rows, then columns: a Gaussian is the product of both
        z = sum(w * z[k : k + z.shape[0] - 10] for k, w in enumerate(window))
        return sum(w * z[:, k : k + z.shape[1] - 10] for k, w in enumerate(window))

    mu_p, mu_t = mean(p), mean(t)
    var_p, var_t, cov = mean(p * p) - mu_p**2, mean(t * t) - mu_t**2, mean(p * t) - mu_p * mu_t
    same_light = (2 * mu_p * mu_t + c1) / (mu_p**2 + mu_t**2 + c1)
    return jnp.mean(same_light * (2 * cov + c2) / (var_p + var_t + c2))


def radial_power(picture) -> jax.Array:
    """Mean power of all waves of (about) 0, 1, 2, … cycles per picture, in every direction.

    ``|ŷ(k)|²``/(HW)² is averaged over the waves k with round(‖k‖) = f and over channels. First the
    mean is taken off and the borders are faded by a Hann window, for opposite borders do not match.

    Args:
        picture: shape (H, W) or (H, W, C), H and W at least 4.

    Returns: shape (min(H, W)//2,), power at f = 0, 1, 2, …

    Raises: ValueError for another shape.

    Chapter: Photographs and text.
    """
    picture = checks.real_array("picture", picture)
    if picture.ndim not in (2, 3) or min(picture.shape[:2]) < 4:
        raise ValueError(
            f"picture must have shape (H, W) or (H, W, C), at least 4 by 4, but got {picture.shape}"
        )
    y = picture.reshape(*picture.shape[:2], -1)
    H, W, _ = y.shape
    window = (jnp.hanning(H)[:, None] * jnp.hanning(W))[..., None]
    y = window * (y - (window * y).sum((0, 1)) / window.sum())
    power = (jnp.abs(jnp.fft.fft2(y, axes=(0, 1))) ** 2).mean(-1) / float(H * W) ** 2
    ring = jnp.round(jnp.hypot(jnp.fft.fftfreq(H, 1 / H)[:, None], jnp.fft.fftfreq(W, 1 / W)[None]))
    ring = ring.astype(int).ravel()
    rings = min(H, W) // 2
    total = jnp.zeros(rings).at[ring].add(power.ravel(), mode="drop")
    return total / jnp.zeros(rings).at[ring].add(1.0, mode="drop")
