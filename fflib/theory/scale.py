r"""Which scale? A suggestion from the closed form, for training observations alone and without
training.

A Fourier mapping has one number that must be chosen: the scale of its frequencies. Kernel
regression with the kernel of the network (:mod:`fflib.theory.grid`) tells what a network of that
scale would make of data, once two things are known. When does training stop? Training for a while
is like a ridge, whose size :mod:`fflib.theory.budget` derives from steps and learning rate. And
what is it compared with? Each observation is left out in turn (:mod:`fflib.theory.left_out`), and
:mod:`fflib.theory.midpoints` carries the error over to where unseen points lie.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import jax
import numpy as np

from fflib import checks, features
from fflib.network import MLP
from fflib.theory import grid, left_out
from fflib.theory.budget import Budget as Budget

DRAWS = 3  # of the frequencies, over which predictions are averaged …
NEAR = 2  # … at so many scales to either side of the first draw's best


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
    """The scale at which a network is expected to do best between its observations, without
    training it.

    At each scale regression with the network's kernel, of frequencies drawn as it will draw them,
    and with the ridge that its budget amounts to, predicts every observation from all others. On
    a grid, where unseen points lie in the middle of the cells and closer to what is known than a
    left out observation is, the error is carried over to there by :mod:`fflib.theory.midpoints`.
    Added is what remains there of the function that the network is before training, and of noise
    that it has learned.

    Args:
        v: where observations were made: a :class:`fflib.theory.grid.Grid` or its points (n₁, …,
            n_d, d), or scattered points (n, d), of which a dense group of at most 1500 is used.
        y: observed values, (n₁, …, n_d) or (n, ) and perhaps a last axis of c outputs.
        model: the network; ReLU, of an even number 2m of inputs and c outputs.
        budget: how it will be trained.
        family: "gaussian", "uniform", "uniform_log" or "laplace" frequencies, or a function of a
            scale that gives the mapping (of one draw, such as the network's own).
        noise: standard deviation of the noise in y, if known; predictions are for what lies under
            it.
        scales: to be tried, at least three (default: half octaves from one cycle across the data to
            the highest frequency that the observations can tell apart).
        key: for three draws of the frequencies, over which errors near the best scale are averaged,
            and for the group of scattered points (default ``jax.random.key(0)``).

    Returns: a :class:`Suggestion`. Observations that are all equal are predicted at any scale: then
    it is the smallest.

    Raises: ValueError or TypeError for irregular grids, shapes that disagree, values farther
    outside [0, 1] than noise explains for a network that ends in a sigmoid, networks without closed
    form, fewer than 8 observations, negative noise, and scales that are not positive.

    Chapter: Choosing the scale.
    """
    place, y = _observations(v, y)
    d = place.d if isinstance(place, grid.Grid) else place.shape[1]
    key = jax.random.key(0) if key is None else key
    noise = checks.positive("noise", noise, zero=True)
    _check_model(model, y, budget, noise)
    mappings = _mappings(family, model, d, key)
    scales = _scales(scales, place)
    judge = left_out.on_grid if isinstance(place, grid.Grid) else left_out.scattered
    errors = judge(place, y, model, budget, noise, key)

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
            raise ValueError(
                f"y must have one row for each of the {len(place)} points, but got shape {y.shape}"
            )
    if y.size // y.shape[-1] < 8:
        raise ValueError(f"y must hold at least 8 observations, but got shape {y.shape}")
    return place, y


def _is_regular(v) -> bool:
    """Whether points (n, 1) on a line are a grid."""
    try:
        return grid.regular(v).d == 1
    except ValueError:
        return False


def _check_model(model, y, budget, noise):
    if not isinstance(model, MLP):
        raise TypeError(f"model must be an fflib.network.MLP, but got {checks.describe(model)}")
    if not isinstance(budget, Budget):
        raise TypeError(
            f"budget must be an fflib.theory.scale.Budget, but got {checks.describe(budget)}"
        )
    if model.sizes[0] % 2 or model.sizes[-1] != y.shape[-1]:
        raise ValueError(
            f"model must take 2m features and give {y.shape[-1]} outputs, as y has, "
            f"but has sizes {model.sizes}"
        )
    low, high, reach = float(y.min()), float(y.max()), 5 * noise
    if model.output == "sigmoid" and (low < -reach or high > 1 + reach):
        raise ValueError(
            f"y must lie in [0, 1] for a network with a sigmoid output, "
            f"but goes from {low:g} to {high:g}, "
            f"more than noise of {noise:g} explains"
        )


def _mappings(family, model, d, key):
    """Functions scale ↦ mapping: one a draw, or the given one with a check that it fits the
    network.
    """
    m = model.sizes[0] // 2
    if isinstance(family, str):
        checks.one_of("family", family, features.FAMILIES)
        return [partial(_sampled, k, m, family, d) for k in jax.random.split(key, DRAWS)]
    if not callable(family):
        raise TypeError(
            f"family must be a name or a function of the scale, but got {checks.describe(family)}"
        )

    def mapping(s):
        gamma = family(s)
        if not isinstance(gamma, features.Mapping) or gamma.B.shape != (m, d):
            found = gamma.B.shape if isinstance(gamma, features.Mapping) else checks.describe(gamma)
            raise ValueError(
                f"family({s:g}) must be a mapping of {m} frequencies in {d} dimensions, "
                f"as the network and v have, but is {found}"
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


def _choose(scales, mse, near) -> float:
    """The scale of the least error among those near, interpolated smoothly over log(scale)."""
    if mse.min() <= 0:
        return float(scales[np.argmin(mse)])
    from scipy.interpolate import CubicSpline  # which jax brings along

    fine = np.geomspace(*scales[near][[0, -1]], 1001)
    return float(fine[np.argmin(CubicSpline(np.log(scales), np.log(mse))(np.log(fine)))])
