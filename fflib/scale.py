r"""Which scale? A suggestion from the closed form, for training observations alone and without training.

A Fourier mapping has one number that must be chosen: the scale of its frequencies. Kernel regression with
the kernel of the network (:mod:`fflib.grid`) tells what a network of that scale would make of data, once
two things are known. When does training stop? Training for a while is like a ridge, whose size
:mod:`fflib.budget` derives from steps and learning rate. And what is it compared with? Each observation is
left out in turn, and :mod:`fflib.midpoints` carries the error over to where unseen points lie.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks, features, grid, kernels, krylov
from fflib.budget import SLOPES, Budget, budget_ridge
from fflib.midpoints import fit_spectrum, midpoint_ratio, missed, transfer
from fflib.mlp import MLP

POINTS = 1500  # scattered points that are solved at a time
DRAWS = 3  # of the frequencies, over which predictions are averaged …
NEAR = 2  # … at so many scales to either side of the first draw's best
START = 0.4  # what counts of the power of the initial function: calibrated as PACE in fflib.budget


@dataclasses.dataclass(frozen=True, eq=False)
class Suggestion:
    """A scale, and the predictions of which it is the best.

    Attributes:
        scale: the suggested one, in cycles per unit of the coordinates (or what ``family`` takes).
        scales: those that were tried, (S,), increasing.
        mse: predicted mean squared error between the observations at each, (S, c), for c outputs.
        ridge: what the budget amounts to at each scale, as a share of the kernel's k(0), (S,).

    Chapter: Choosing the scale.
    """

    scale: float
    scales: np.ndarray
    mse: np.ndarray
    ridge: np.ndarray

    @property
    def psnr(self) -> np.ndarray:
        """10 log₁₀(1/mse) in dB, of each output, (S, c), for values of a range of 1."""
        with np.errstate(divide="ignore"):
            return -10 * np.log10(self.mse)

    @property
    def at_end(self) -> bool:
        """Whether the best lies at an end of the scales, so that others might be better still."""
        return self.scale <= self.scales[0] * 1.001 or self.scale >= self.scales[-1] * 0.999


def suggest_scale(
    v,
    y,
    model: MLP,
    budget: Budget,
    *,
    family: str | Callable = "gaussian",
    noise: float = 0.0,
    scales: Sequence[float] | None = None,
    key: jax.Array | None = None,
) -> Suggestion:
    """The scale at which a network is expected to do best between its observations, without training it.

    At each scale regression with the network's kernel, of frequencies drawn as it will draw them, and
    with the ridge that its budget amounts to, predicts every observation from all others. On
    a grid, where unseen points lie in the middle of the cells and closer to what is known than a left
    out observation is, the error is carried over to there by :mod:`fflib.midpoints`. Added is what
    remains there of the function that the network is before training.

    Args:
        v: where observations were made: a :class:`fflib.grid.Grid` or its points (n₁, …, n_d, d), or
            scattered points (n, d), of which a dense group of at most 1500 is used.
        y: observed values, (n₁, …, n_d) or (n, ) and perhaps a last axis of c outputs.
        model: the network; ReLU, of an even number 2m of inputs and c outputs.
        budget: how it will be trained.
        family: "gaussian", "uniform", "uniform_log" or "laplace" frequencies, or a function of a scale
            that gives the mapping (of one draw, such as the network's own).
        noise: standard deviation of the noise in y, if known; predictions are for what lies under it.
        scales: to be tried, at least three (default: half octaves from one cycle across the data to the
            highest frequency that the observations can tell apart).
        key: for three draws of the frequencies, over which errors near the best scale are averaged, and
            for the group of scattered points (default ``jax.random.key(0)``).

    Returns: a :class:`Suggestion`. Observations that are all equal are predicted at any scale: then it
    is the smallest.

    Raises: ValueError or TypeError for irregular grids, shapes that disagree, values outside [0, 1] of a
    network that ends in a sigmoid, networks without closed form, fewer than 8 observations, negative
    noise, and scales that are not positive.

    Chapter: Choosing the scale.
    """
    place, y = _observations(v, y)
    d = place.d if isinstance(place, grid.Grid) else place.shape[1]
    key = jax.random.key(0) if key is None else key
    _check_model(model, y, budget)
    noise = checks.positive("noise", noise, zero=True)
    mappings = _mappings(family, model, d, key)
    scales = _scales(scales, place)
    errors = (_on_grid if isinstance(place, grid.Grid) else _scattered)(place, y, model, budget, noise, key)

    def tried(draw, some):
        return (np.array(part) for part in zip(*(errors(draw(s)) for s in some), strict=True))

    mse, ridge = tried(mappings[0], scales)
    best = int(np.argmin(mse.mean(1)))
    near = slice(max(best - NEAR, 0), best + NEAR + 1)
    more = [tried(draw, scales[near]) for draw in mappings[1:]]
    for mean, *others in zip((mse, ridge), *more, strict=True):
        mean[near] = np.mean([mean[near], *others], 0)
    return Suggestion(_choose(scales, mse.mean(1), near), scales, mse, ridge)


# --------------------------------------------------------------------------------------------------
# Arguments


def _observations(v, y):
    """A grid or scattered points, and values with a last axis of outputs."""
    y = checks.real_array("y", y)
    if isinstance(v, grid.Grid) or np.ndim(v) != 2 or _is_regular(v):
        place = grid.regular(v)
        y = grid.on_grid("y", y, place)
        y = y if y.ndim > place.d else y[..., None]
    else:
        place = checks.points("v", v)
        y = y[:, None] if y.ndim == 1 else y
        if y.ndim != 2 or len(y) != len(place):
            raise ValueError(f"y must have one row for each of the {len(place)} points, but got shape {y.shape}")
    if y.size // y.shape[-1] < 8:
        raise ValueError(f"y must hold at least 8 observations, but got shape {y.shape}")
    return place, y


def _is_regular(v) -> bool:
    """Whether points (n, 1) on a line are a grid."""
    try:
        return grid.regular(v).d == 1
    except ValueError:
        return False


def _check_model(model, y, budget):
    if not isinstance(model, MLP):
        raise TypeError(f"model must be an fflib.mlp.MLP, but got {checks.describe(model)}")
    if not isinstance(budget, Budget):
        raise TypeError(f"budget must be an fflib.scale.Budget, but got {checks.describe(budget)}")
    if model.sizes[0] % 2 or model.sizes[-1] != y.shape[-1]:
        raise ValueError(
            f"model must take 2m features and give {y.shape[-1]} outputs, as y has, but has sizes {model.sizes}"
        )
    low, high = float(y.min()), float(y.max())
    if model.output == "sigmoid" and (low < 0 or high > 1):
        raise ValueError(f"y must lie in [0, 1] for a network with a sigmoid output, but goes from {low:g} to {high:g}")


def _mappings(family, model, d, key):
    """Functions scale ↦ mapping: one a draw, or the given one with a check that it fits the network."""
    m = model.sizes[0] // 2
    if isinstance(family, str):
        checks.one_of("family", family, features.FAMILIES)
        return [partial(_sampled, k, m, family, d) for k in jax.random.split(key, DRAWS)]
    if not callable(family):
        raise TypeError(f"family must be a name or a function of the scale, but got {checks.describe(family)}")

    def mapping(s):
        gamma = family(s)
        if not isinstance(gamma, features.Mapping) or gamma.B.shape != (m, d):
            raise ValueError(
                f"family({s:g}) must be a mapping of {m} frequencies in {d} dimensions, as the network and v have, "
                f"but is {gamma.B.shape if isinstance(gamma, features.Mapping) else checks.describe(gamma)}"
            )
        return gamma

    return [mapping]


def _sampled(key, m, family, d, scale):
    return features.sampled(key, m, family, scale, d)


def _scales(scales, place) -> np.ndarray:
    if scales is None:
        if isinstance(place, grid.Grid):
            step, extent = min(place.step), max(np.multiply(place.shape, place.step))
        else:
            step, extent = _spacing(place), np.ptp(np.asarray(place), axis=0).max()
        halves = max(int(np.ceil(2 * np.log2(0.5 * extent / step))), 6)
        return 0.5 / step * 2.0 ** (0.5 * np.arange(-halves, 1))
    scales = np.sort(np.asarray(checks.real_array("scales", scales, integers=True), float).ravel())
    if len(scales) < 3 or scales[0] <= 0 or (np.diff(scales) <= 0).any():
        raise ValueError(f"scales must be at least three different numbers > 0, but got {scales}")
    return scales


def _spacing(x) -> float:
    """The step of a grid with as many points in the box of x."""
    spans = np.ptp(np.asarray(x), axis=0)
    if not (spans > 0).all():
        raise ValueError(f"v must extend along every axis, but its extents are {spans}")
    return float(np.prod(spans) / len(x)) ** (1 / len(spans))


def _cycles(gamma, extent) -> float:
    """Root mean square frequency along an axis, in cycles across the data."""
    return float(jnp.sqrt(jnp.mean((gamma.B * jnp.asarray(extent)) ** 2)))


# --------------------------------------------------------------------------------------------------
# Errors


def _on_grid(place, y, model, budget, noise, _):
    """mapping ↦ (mse (c,), ridge): left-one-out errors, carried over to the middle of the cells."""
    y = y - y.mean(range(place.d))
    power = np.asarray((jnp.abs(jnp.fft.fftn(y, axes=range(place.d))) ** 2).mean(-1), float) / place.size
    middle = dataclasses.replace(place, origin=tuple(o + h / 2 for o, h in zip(place.origin, place.step, strict=True)))
    spectrum = fit_spectrum(place, y, noise)
    extent, slope2 = np.multiply(place.shape, place.step), SLOPES[model.output] ** 2

    def error(gamma):
        start, K = grid.start_and_ntk(model, gamma, place)
        start_mid, K_mid = grid.start_and_ntk(model, gamma, middle, place)
        k0 = float(kernels.ntk_stationary(model, gamma, jnp.zeros(place.d)))
        rates, started = (np.asarray(grid.rates(k), float) for k in (K, start))
        cycles = _cycles(gamma, extent)
        ridge = budget_ridge(rates, power + slope2 * started, k0, model, budget, cycles)
        left_out = _left_out(K, y, ridge * k0)
        lam, mu = np.maximum(transfer(K), 0.0), transfer(K_mid)
        ratio = midpoint_ratio(lam, mu, ridge * k0, *spectrum, noise)
        begun = slope2 * missed(mu / (lam + ridge * k0), transfer(start), transfer(start_mid))
        return np.maximum(left_out - noise**2, 0.0) * ratio + START * begun, ridge

    return error


def _left_out(K, y, ridge) -> np.ndarray:
    """Mean squared error (c,) of observations left out in turn: w_i over the inverse's diagonal."""
    if K.rows.d > 1:  # but for edges, the diagonal is its mean
        w = krylov.solve(K, y, ridge, tol=5e-3).weights
        return np.asarray((w**2).mean(range(K.rows.d)), float) / np.mean(1 / (np.asarray(grid.rates(K)) + ridge)) ** 2
    first = jnp.zeros((len(y), 1)).at[0].set(1.0)
    w = np.asarray(krylov.solve(K, jnp.concatenate([y, first], 1), ridge, tol=1e-5).weights, float)
    w, x = w[:, :-1], w[:, -1]
    diagonal = np.cumsum(x**2 - np.append(0.0, x[:0:-1]) ** 2) / x[0]  # Gohberg & Semencul 1972
    return ((w / diagonal[:, None]) ** 2).mean(0)


def _scattered(x, y, model, budget, noise, key):
    """The same for scattered points: the unseen ones lie among them as they do among each other."""
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
        left_out = (inverse @ y) / np.diag(inverse)[:, None]
        begun = slope2 * np.mean(np.sum(inverse * (start @ inverse), 0) / np.diag(inverse) ** 2)
        return np.maximum((left_out**2).mean(0) - noise**2, 0.0) + START * begun, ridge

    return error


def _choose(scales, mse, near) -> float:
    """The scale of the least error among those near, interpolated smoothly over log(scale)."""
    if mse.min() <= 0:
        return float(scales[np.argmin(mse)])
    from scipy.interpolate import CubicSpline  # which jax brings along

    fine = np.geomspace(*scales[near][[0, -1]], 1001)
    return float(fine[np.argmin(CubicSpline(np.log(scales), np.log(mse))(np.log(fine)))])
