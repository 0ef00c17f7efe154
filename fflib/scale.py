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
from fflib.budget import Budget, budget_ridge
from fflib.midpoints import fit_spectrum, midpoint_ratio, transfer
from fflib.mlp import MLP

POINTS = 1500  # scattered points that are solved at a time
DRAWS = 4  # of the frequencies, over which predictions are averaged
LEEWAY = 0.01  # predictions are not better than that; and too large a scale is the worse mistake


@dataclasses.dataclass(frozen=True, eq=False)
class Suggestion:
    """A scale, and the predictions it is the best of.

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
    out observation is, the error is carried over to there by :mod:`fflib.midpoints`. Suggested is the smallest
    scale whose error is within a per cent of the least: beyond the best, errors rise steeply.

    Args:
        v: where observations were made: a :class:`fflib.grid.Grid` or its points (n₁, …, n_d, d), or
            scattered points (n, d), of which a dense group of at most 1500 is used.
        y: observed values, (n₁, …, n_d) or (n, ) and perhaps a last axis of c outputs.
        model: the network; ReLU, of an even number 2m of inputs and c outputs.
        budget: how it will be trained.
        family: "gaussian", "uniform", "uniform_log" or "laplace" frequencies, or a function of a scale
            that gives the mapping (of one draw, such as the network's own).
        noise: standard deviation of the noise in y, if known; predictions are for what lies under it.
        scales: to be tried, at least three (default: 13 from 1/64 of the highest frequency that the
            observations can tell apart to that frequency).
        key: for four draws of the frequencies, over which errors are averaged, and for the group of
            scattered points (default ``jax.random.key(0)``).

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
    errors = _on_grid if isinstance(place, grid.Grid) else _scattered
    drawn = [list(errors(place, y, model, budget, noise, map(draw, scales), key)) for draw in mappings]
    mse, ridge = (np.mean([[one[k] for one in draw] for draw in drawn], 0) for k in (0, 1))
    return Suggestion(_choose(scales, mse.mean(1)), scales, mse, ridge)


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
            step = min(place.step)
        else:
            step = _spacing(place)
        return 0.5 / step * 2.0 ** np.arange(-6.0, 0.25, 0.5)
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


def _cycles(gamma, step) -> float:
    """Root mean square frequency along an axis, in cycles a step."""
    return float(jnp.sqrt(jnp.mean((gamma.B * jnp.asarray(step)) ** 2)))


# --------------------------------------------------------------------------------------------------
# Errors


def _on_grid(place, y, model, budget, noise, mappings, key):
    """(mse (c,), ridge) for each mapping: left-one-out errors, carried over to the middle of the cells."""
    y = y - y.mean(range(place.d))
    power = np.asarray((jnp.abs(jnp.fft.fftn(y, axes=range(place.d))) ** 2).mean(-1), float) / place.size
    middle = dataclasses.replace(place, origin=tuple(o + h / 2 for o, h in zip(place.origin, place.step, strict=True)))
    spectrum = fit_spectrum(place, y, noise)
    for gamma in mappings:
        K = grid.ntk(model, gamma, place)
        k0 = float(kernels.ntk_stationary(model, gamma, jnp.zeros(place.d)))
        rates = np.asarray(grid.rates(K), float)
        ridge = budget_ridge(rates, power, k0, model, budget, _cycles(gamma, place.step))
        w = krylov.solve(K, y, ridge * k0, tol=1e-3).weights
        left_out = np.asarray((w**2).mean(range(place.d)), float) / np.mean(1 / (rates + ridge * k0)) ** 2
        ratio = midpoint_ratio(rates, transfer(grid.ntk(model, gamma, middle, place)), ridge * k0, *spectrum, noise)
        yield np.maximum(left_out - noise**2, 0.0) * ratio, ridge


def _scattered(x, y, model, budget, noise, mappings, key):
    """The same for scattered points: the unseen ones lie among them as they do among each other."""
    n, step = len(x), _spacing(x)
    if n > POINTS:
        centre = x[jax.random.randint(jax.random.fold_in(key, 1), (), 0, n)]
        near = jnp.argsort((((x - centre) / jnp.std(x, 0)) ** 2).sum(-1))[:POINTS]
        x, y = x[near], y[near]
    y = np.asarray(y, float) - np.asarray(y, float).mean(0)
    for gamma in mappings:
        K = np.asarray(kernels.ntk(model, gamma(x)), float)
        rates, Q = np.linalg.eigh(K)
        rates, power = np.maximum(rates, 0.0), ((Q.T @ y) ** 2).mean(1)
        ridge = budget_ridge(rates, power, K[0, 0] * len(x) / n, model, budget, _cycles(gamma, step))
        inverse = (Q / (rates + ridge * K[0, 0])) @ Q.T
        left_out = (inverse @ y) / np.diag(inverse)[:, None]
        yield np.maximum((left_out**2).mean(0) - noise**2, 0.0), ridge


def _choose(scales, mse) -> float:
    """The smallest scale whose error, interpolated smoothly over log(scale), is within LEEWAY of the least."""
    if mse.min() <= 0:
        return float(scales[np.argmin(mse)])
    from scipy.interpolate import CubicSpline  # which jax brings along

    fine = np.geomspace(scales[0], scales[-1], 2001)
    error = CubicSpline(np.log(scales), np.log(mse))(np.log(fine))
    return float(fine[np.argmax(error <= error.min() + np.log1p(LEEWAY))])
