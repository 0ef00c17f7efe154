r"""Errors between the points of a grid, from errors on it.

Left-one-out errors come with a regression for nothing, but an observation that is left out lies a
whole step from its neighbours, and an unseen point in the middle of a cell lies closer to them. How
much that matters depends on how rough the data are. Here the ratio of both errors is derived for
random fields with a power-law spectrum, whose exponent the observations tell.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from fflib.theory import grid


def transfer(K: grid.Toeplitz) -> np.ndarray:
    """What K, from a grid to itself or to itself moved by a part of a step, makes of each wave,
    (n₁, …, n_d).

    As :func:`fflib.theory.grid.rates`, but for waves that fade out at the borders of the grid
    (sin², as in :func:`fit_spectrum`), so that what holds inside is not drowned by what leaks from
    the borders. The
    wave that K makes is compared with the same wave moved along: for a kernel that interpolates
    perfectly the quotient of the transfers to there and to the grid itself would be 1.

    Chapter: Choosing the scale.
    """
    d, shape = K.rows.d, K.rows.shape
    ring = grid._ring(K.rows, K.columns, K.strides)
    k = np.asarray(jnp.fft.irfftn(K.spectrum, ring, range(d)), float)
    moved = [
        (a - b) / h for a, b, h in zip(K.rows.origin, K.columns.origin, K.rows.step, strict=True)
    ]
    for axis, (n, delta) in enumerate(zip(shape, moved, strict=True)):
        k = np.moveaxis(k, axis, 0)
        lag = np.arange(-n, n)
        weight = _overlap(np.minimum(np.abs(lag + delta) / n, 1.0))
        lag[0] = 0  # −n is beyond the matrix, and its weight next to nothing
        folded = (k[lag] * weight.reshape(-1, *(1,) * (d - 1))).reshape(2, n, *k.shape[1:]).sum(0)
        phase = np.exp(-2j * np.pi * np.fft.fftfreq(n) * delta)
        k = np.moveaxis(np.fft.fft(folded, axis=0) * phase.reshape(-1, *(1,) * (d - 1)), 0, axis)
    return k.real


def _overlap(t):
    """∫ h(x) h(x + t) dx / ∫ h², for h = sin² πx on [0, 1] and a shift 0 ≤ t ≤ 1."""
    return (1 - t) * (2 + np.cos(2 * np.pi * t)) / 3 + np.sin(2 * np.pi * t) / (2 * np.pi)


def missed(gain, own, across, noise=0.0) -> float:
    r"""Mean squared error of regression in the middle of the cells, for random fields.

    Regression multiplies a wave by H there. A field of power P on the grid (waves the grid cannot
    tell apart added up) and cross power X between grid and middle (added up with their signs there)
    is missed by Σ P (1 + H²) − 2 H X, and noise of power ν adds Σ ν H².

    Args:
        gain: H, (n₁, …, n_d).
        own, across: P and X.
        noise: standard deviation of the noise, in units in which P is power per observation.

    Chapter: Choosing the scale.
    """
    return max(float((own * (1 + gain**2) - 2 * gain * across + noise**2 * gain**2).mean()), 0.0)


def midpoint_ratio(rates, middle, ridge, own, across, noise=0.0) -> float:
    r"""Mean squared error in the middle of the cells over that of observations left out, for random
    fields.

    With λ and μ the :func:`transfer` to the grid itself and to the middle and ρ the ridge, H = μ/(λ
    + ρ) in :func:`missed`. An observation that is left out is missed by

        Σ (P + ν) D² / (mean D)² − Σ ν,  D = 1/(λ + ρ).

    Args:
        rates, middle: λ and μ, (n₁, …, n_d).
        ridge: ρ.
        own, across, noise: as for :func:`missed`.

    Chapter: Choosing the scale.
    """
    D = 1 / (rates + ridge)
    left_out = ((own + noise**2) * D**2).mean() / D.mean() ** 2 - noise**2
    there = missed(middle * D, own, across, noise)
    return there / max(left_out, 1e-30) if there > 0 else 1.0


def fit_spectrum(place: grid.Grid, y, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """(P, X) of :func:`midpoint_ratio`, for the power law (1 + f)^−2β most likely to have given y.

    The likelihood is Whittle's, of the waves in the upper two octaves of the grid (y faded out at
    its borders), among β = ¼, ½, …, (d+1)/2. The last is that of sharp edges, which smooth
    surroundings can hide; for data smoother still, errors between the points are thus taken to be
    larger than they are. f counts cycles per extent of the grid.

    Chapter: Choosing the scale.
    """
    fade = np.ones(())
    for n in place.shape:
        fade = np.multiply.outer(fade, np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2)
    y = np.asarray(y, float).reshape(*place.shape, -1)
    axes, size = tuple(range(place.d)), (fade**2).sum()
    y = y - (y * fade[..., None]).sum(axes) / fade.sum()
    power = (np.abs(np.fft.fftn(y * fade[..., None], axes=axes)) ** 2).mean(-1) / size
    high = (
        np.max(np.meshgrid(*(np.abs(np.fft.fftfreq(n)) for n in place.shape), indexing="ij"), 0)
        >= 1 / 8
    )

    best = None
    for beta in np.arange(0.25, (place.d + 1) / 2 + 0.01, 0.25):
        own, across = _folded(place, beta)
        level = max((power[high] - noise**2).mean() / own[high].mean(), 1e-30)
        for _ in range(20):  # the most likely level, if there is noise
            total = level * own[high] + noise**2
            level *= np.clip(
                (own[high] * power[high] / total**2).sum() / (own[high] / total).sum(), 0.1, 10.0
            )
        total = level * own[high] + noise**2
        unlikely = (np.log(total) + power[high] / total).sum()
        if best is None or unlikely < best[0]:
            best = unlikely, level * own, level * across
    return best[1:]


def _folded(place, beta):
    """Power (1 + f)^−2β of all waves that the grid takes for one, and the same with their signs in
    the middle.
    """
    extent = max(n * h for n, h in zip(place.shape, place.step, strict=True))
    own = across = 0.0
    for alias in np.ndindex(*(3,) * place.d):
        f = [
            (np.fft.fftfreq(n) + a - 1) * extent / h
            for n, h, a in zip(place.shape, place.step, alias, strict=True)
        ]
        wave = (1 + np.sqrt(sum(x**2 for x in np.meshgrid(*f, indexing="ij")))) ** (-2 * beta)
        own, across = own + wave, across + wave * (-1) ** (sum(alias) - place.d)
    return own, across
