r"""Errors of regression at observations left out in turn, and what they say of unseen points: one
scale at a time.

For each mapping the ridge that a budget amounts to, the error at unseen points, and what is added
by the function that the network is before training. :mod:`fflib.theory.scale` asks this of many
scales.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from fflib.network import MLP
from fflib.theory import grid, kernels, krylov
from fflib.theory.budget import SLOPES, Budget, budget_ridge
from fflib.theory.grid import Grid
from fflib.theory.midpoints import fit_spectrum, midpoint_ratio, missed, transfer

POINTS = 1500  # scattered points that are solved at a time
# what counts of the power of the initial function: calibrated as PACE in fflib.theory.budget
START = 0.4


def on_grid(place: Grid, y, model: MLP, budget: Budget, noise: float = 0.0, key=None) -> Callable:
    """A function mapping ↦ (mse (c,), ridge): left-one-out errors, carried over to the middle of
    the cells.

    Args:
        place: where the observations are.
        y: observed values, (n₁, …, n_d, c).
        model, budget, noise: as for :func:`fflib.theory.scale.suggest_scale`.
        key: not needed here.

    Chapter: Choosing the scale.
    """
    y = y - y.mean(range(place.d))
    power = (
        np.asarray((jnp.abs(jnp.fft.fftn(y, axes=range(place.d))) ** 2).mean(-1), float)
        / place.size
    )
    middle = dataclasses.replace(
        place, origin=tuple(o + h / 2 for o, h in zip(place.origin, place.step, strict=True))
    )
    spectrum = fit_spectrum(place, y, noise)
    extent, slope2 = np.multiply(place.shape, place.step), SLOPES[model.output] ** 2

    def error(gamma):
        start, K = grid.start_and_ntk(model, gamma, place)
        start_mid, K_mid = grid.start_and_ntk(model, gamma, middle, place)
        k0 = K.at_zero
        rates, started = (np.asarray(grid.rates(k), float) for k in (K, start))
        ridge = budget_ridge(
            rates, power + slope2 * started, k0, model, budget, _cycles(gamma, extent)
        )
        squares = squared(K, y, ridge * k0)
        lam, mu = np.maximum(transfer(K), 0.0), transfer(K_mid)
        ratio = midpoint_ratio(lam, mu, ridge * k0, *spectrum, noise)
        gain = mu / (lam + ridge * k0)
        begun = slope2 * missed(gain, transfer(start), transfer(start_mid))
        carried = noise_carried(rates, ridge * k0, np.mean(gain**2), noise)
        return np.maximum(squares.mean(0) - noise**2, 0.0) * ratio + START * begun + carried, ridge

    return error


def squared(K: grid.Toeplitz, y, ridge: float) -> np.ndarray:
    """Squared errors (n, c) of all observations, each left out in turn: w_i over the inverse's
    diagonal.

    Args:
        K: kernel of the grid with itself.
        y: observed values, (n₁, …, n_d, c).
        ridge: > 0.

    Chapter: Choosing the scale.
    """
    c = y.shape[-1]
    if K.rows.d > 1:  # but for edges, the diagonal is its mean
        w = np.asarray(krylov.solve(K, y, ridge, tol=5e-3).weights, float).reshape(-1, c)
        return (w / np.mean(1 / (np.asarray(grid.rates(K)) + ridge))) ** 2
    first = jnp.zeros((len(y), 1)).at[0].set(1.0)
    w = np.asarray(krylov.solve(K, jnp.concatenate([y, first], 1), ridge, tol=1e-5).weights, float)
    w, x = w[:, :-1], w[:, -1]
    diagonal = np.cumsum(x**2 - np.append(0.0, x[:0:-1]) ** 2) / x[0]  # Gohberg & Semencul 1972
    return (w / diagonal[:, None]) ** 2


def noise_carried(rates, ridge: float, smoothed: float, noise: float) -> float:
    """What noise adds to the error of a network, beyond what it adds to its kernel's.

    Regression learns the share g = λ/(λ + ρ) of the noise in a direction, so at the observations ν
    mean(g²) of its power ν is in the answer. Between them a kernel smooths it, and the more the
    narrower it is. The function that a network of finite width learns is as rough there as at the
    observations.

    Args:
        rates, ridge: λ and ρ.
        smoothed: what the kernel makes of noise of power 1 between the observations, counted
            already.
        noise: standard deviation, √ν.

    Chapter: Choosing the scale.
    """
    return noise**2 * max(np.mean((rates / (rates + ridge)) ** 2) - smoothed, 0.0)


def scattered(x, y, model: MLP, budget: Budget, noise: float, key: jax.Array) -> Callable:
    """The same for points x (n, d) with values y (n, c): the unseen ones lie among them as they do
    among each other.

    The key chooses which group of POINTS is asked where there are more.

    Chapter: Choosing the scale.
    """
    n, extent = len(x), np.ptp(np.asarray(x), axis=0)
    if n > POINTS:
        centre = x[jax.random.randint(jax.random.fold_in(key, 1), (), 0, n)]
        near = jnp.argsort((((x - centre) / jnp.std(x, 0)) ** 2).sum(-1))[:POINTS]
        x, y = x[near], y[near]
    y = np.asarray(y, float) - np.asarray(y, float).mean(0)
    slope2 = SLOPES[model.output] ** 2

    def error(gamma):
        K, start = (np.asarray(k(model, gamma(x)), float) for k in (kernels.ntk, kernels.nngp))
        rates, Q = np.linalg.eigh(K)
        rates, started = np.maximum(rates, 0.0), np.maximum(np.sum(Q * (start @ Q), 0), 0.0)
        power, k0 = ((Q.T @ y) ** 2).mean(1) + slope2 * started, K[0, 0]
        ridge = budget_ridge(rates, power, k0 * len(x) / n, model, budget, _cycles(gamma, extent))
        inverse = (Q / (rates + ridge * k0)) @ Q.T
        squares = ((inverse @ y) / np.diag(inverse)[:, None]) ** 2
        begun = slope2 * np.mean(np.sum(inverse * (start @ inverse), 0) / np.diag(inverse) ** 2)
        smoothed = np.mean((inverse**2).sum(0) / np.diag(inverse) ** 2) - 1
        carried = noise_carried(rates, ridge * k0, smoothed, noise)
        return np.maximum(squares.mean(0) - noise**2, 0.0) + START * begun + carried, ridge

    return error


def _cycles(gamma, extent) -> float:
    """Root mean square frequency along an axis, in cycles across the data."""
    return float(jnp.sqrt(jnp.mean((gamma.B * jnp.asarray(extent)) ** 2)))
