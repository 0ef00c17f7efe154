"""Which scale? A suggestion from the closed form, from training observations and without training.

Kernel regression with the kernel of the network tells what a network of some scale would make of
data. A training budget is a ridge (:mod:`fflib.theory.budget`), every second observation is hidden
and predicted from the others, and the scale that does best is taken.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.interpolate import CubicSpline
from tqdm.auto import tqdm

from fflib import checks, features
from fflib.network import MLP
from fflib.theory import grid, kernels
from fflib.theory.budget import SLOPES, training_time
from fflib.theory.budget import Budget as Budget

DRAWS = 3  # of the frequencies, over which predictions are averaged …
NEAR = 2  # … at so many scales to either side of the first draw's best
POINTS = 1024  # points that lie together, the most that are solved for at a time
LEAST = 1e-4  # ridge, as a share of k(0), that single precision can still solve with
FLAT = 0.1  # dB below the best, within which scales count as good


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
    def range(self) -> tuple[float, float]:
        """The least and the largest scale predicted to be within 0.1 dB of the best."""
        fine, error = _curve(self.scales, self.mse.mean(1))
        good = fine[error <= error.min() * 10 ** (FLAT / 10)]
        return float(good[0]), float(good[-1])

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
    scales: Sequence[float] | np.ndarray | None = None,
    key: jax.Array | None = None,
) -> Suggestion:
    """The scale at which a network is expected to do best between its observations.

    At each scale frequencies are drawn as a training would draw them. Regression with the network's
    kernel, and the ridge that the budget amounts to, predicts hidden observations from the others:
    on a grid one colour of a chess board from the other, and the other way round, of scattered
    points a fifth, drawn at random. The first draw tries all scales, two more those near its best.
    A large grid is cut into pieces that have their kernel in common; of many scattered points each
    draw takes those nearest to one of them.

    Args:
        v: where observations were made: a :class:`fflib.theory.grid.Grid` or its points
            (n₁, …, n_d, d), or scattered points (n, d).
        y: observed values, (n₁, …, n_d) or (n,), and perhaps a last axis of c outputs.
        model: the network; ReLU, of an even number 2m of inputs and c outputs.
        budget: how it will be trained.
        family: "gaussian", "uniform", "uniform_log" or "laplace" frequencies, or a function of a
            scale that gives the mapping (of one draw, such as the network's own).
        noise: standard deviation of the noise in y, if known; errors are those of what is under it.
        scales: to be tried, at least three (default: half octaves from one cycle across the data to
            the highest frequency that the observations can tell apart).
        key: for the draws (default ``jax.random.key(0)``).

    Returns: a :class:`Suggestion`, with a warning where the best lies at an end of the scales.

    Raises: ValueError or TypeError for irregular grids, shapes that disagree, values farther
    outside [0, 1] than noise explains for a network that ends in a sigmoid, networks without closed
    form, fewer than 8 observations, negative noise, scales that are not positive.
    Chapter: Choosing the scale.
    """
    place, y = _observations(v, y)
    noise = checks.positive("noise", noise, zero=True)
    _check_model(model, y, budget, noise)
    key = jax.random.key(0) if key is None else key
    box = _box(place)
    mappings = _mappings(family, model, len(box), key)
    scales = _scales(scales, place, box)
    tries = len(scales) + (DRAWS - 1) * (2 * NEAR + 1)
    still = bool(os.environ.get("FFLIB_STATIC"))
    bar = tqdm(total=tries, desc="scales", delay=3, leave=False, disable=still)

    def tried(k, some):
        x, values, splits = _together(place, y, jax.random.fold_in(key, k))
        errors = []
        for s in some:
            K = np.asarray(kernels.ntk(model, mappings[k](s)(x)), float)
            each = [hidden_error(K, values, *two, model, budget, noise) for two in splits]
            errors.append([np.mean(part, 0) for part in zip(*each, strict=True)])
            bar.update()
        return tuple(map(np.array, zip(*errors, strict=True)))

    mse, ridge = tried(0, scales)
    best = int(np.argmin(mse.mean(1)))
    near = slice(max(best - NEAR, 0), best + NEAR + 1)
    more = [tried(k, scales[near]) for k in range(1, DRAWS)]
    bar.close()
    for mean, *others in zip((mse, ridge), *more, strict=True):
        mean[near] = np.mean([mean[near], *others], 0)
    fine, error = _curve(scales[near], mse[near].mean(1))
    found = Suggestion(float(fine[np.argmin(error)]), scales, mse, ridge)
    if found.at_end:
        warnings.warn(
            f"the best scale, {found.scale:.3g}, lies at an end of those tried: look beyond it",
            stacklevel=2,
        )
    return found


def hidden_error(K, y, shown, hidden, model: MLP, budget: Budget, noise: float = 0.0):
    r"""(mse (c,), ridge) that is predicted for hidden points, if a network is shown the others.

    Of regression with the ridge ρ = nc/(s²T), for n points shown and the time T of
    :func:`training_time`. Noise of power ν that was learned, ν Σ λ²/(λ + ρ)²/n at the points shown,
    a kernel smooths in between; a network of finite width is as rough there, and what is missing is
    added. What noise the hidden values have themselves is taken off.

    Args:
        K: the network's kernel between all N points, (N, N).
        y: values there, (N, T, c): c outputs of T pieces of the data that lie alike.
        shown, hidden: indices of points.
        model, budget, noise: as for :func:`suggest_scale`; ν = noise².

    Chapter: Choosing the scale.
    """
    n, c, k0 = len(shown), y.shape[-1], K[0, 0]
    y = y - y[shown].mean(0)
    rates, Q = np.linalg.eigh(K[np.ix_(shown, shown)])
    rates = np.maximum(rates, 0.0)
    part = Q.T @ y[shown].reshape(n, -1)
    time = training_time(rates, (part**2).mean(1), k0, model, budget)
    ridge = max(n * c / (SLOPES[model.output] ** 2 * time * k0), LEAST)
    across = K[np.ix_(hidden, shown)] @ Q / (rates + ridge * k0)
    missed = y[hidden] - (across @ part).reshape(y[hidden].shape)
    gain = rates / (rates + ridge * k0)
    rough = max((gain**2).mean() - (across**2).sum() / len(hidden), 0.0)
    return np.maximum((missed**2).mean((0, 1)) - noise**2, 0.0) + noise**2 * rough, ridge


# --------------------------------------------------------------------------------------------------
# Arguments


def _observations(v, y):
    """A grid or scattered points, and values with a last axis of outputs."""
    y = checks.real_array("y", y)
    try:
        place = grid.regular(v)
    except ValueError:
        if np.ndim(v) != 2:
            raise
        place = checks.points("v", v)
        if y.shape[:1] != (len(place),) or y.ndim > 2:
            raise ValueError(
                f"y must have one row for each of the {len(place)} points, but got shape {y.shape}"
            ) from None
        y = y.reshape(len(y), -1)
    else:
        y = grid.on_grid("y", y, place)
        y = y if y.ndim > place.d else y[..., None]
    if y.size // y.shape[-1] < 8:
        raise ValueError(f"y must hold at least 8 observations, but got shape {y.shape}")
    return place, y


def _check_model(model, y, budget, noise):
    for name, value, kind in (("model", model, MLP), ("budget", budget, Budget)):
        if not isinstance(value, kind):
            raise TypeError(f"{name} must be of {kind.__name__}, but is {checks.describe(value)}")
    if model.sizes[0] % 2 or model.sizes[-1] != y.shape[-1]:
        raise ValueError(
            f"model must take 2m features and give {y.shape[-1]} outputs, as y has, "
            f"but has sizes {model.sizes}"
        )
    low, high, reach = float(y.min()), float(y.max()), 5 * noise
    if model.output == "sigmoid" and (low < -reach or high > 1 + reach):
        raise ValueError(
            f"y must lie in [0, 1] for a network with a sigmoid output, but goes from {low:g} to "
            f"{high:g}, more than noise of {noise:g} explains"
        )


def _mappings(family, model, d, key):
    """Functions scale ↦ mapping, one a draw; a given one is checked to fit the network."""
    m = model.sizes[0] // 2
    if isinstance(family, str):
        checks.one_of("family", family, features.FAMILIES)
        keys = jax.random.split(key, DRAWS)
        return [partial(features.sampled, k, m, family, d=d) for k in keys]
    if not callable(family):
        raise TypeError(
            f"family must be a name or a function of the scale, but got {checks.describe(family)}"
        )

    def mapping(s):
        gamma = family(s)
        if not isinstance(gamma, features.Mapping) or gamma.B.shape != (m, d):
            raise ValueError(
                f"family({s:g}) must be a mapping of {m} frequencies in {d} dimensions, as the "
                f"network and v have, but is {getattr(getattr(gamma, 'B', None), 'shape', gamma)}"
            )
        return gamma

    return [mapping] * DRAWS


def _box(place) -> np.ndarray:
    """The extents of the data, (d,)."""
    if isinstance(place, grid.Grid):
        return np.multiply(place.shape, place.step)
    spans = np.ptp(np.asarray(place), axis=0)
    if not (spans > 0).all():
        raise ValueError(f"v must extend along every axis, but its extents are {spans}")
    return spans


def _scales(scales, place, box) -> np.ndarray:
    if scales is None:  # scattered points lie as far apart as a grid of as many has steps
        on_grid = isinstance(place, grid.Grid)
        step = min(place.step) if on_grid else float(np.prod(box) / len(place)) ** (1 / len(box))
        halves = max(int(np.ceil(2 * np.log2(0.5 * max(box) / step))), 6)
        return 0.5 / step * 2.0 ** (0.5 * np.arange(-halves, 1))
    scales = np.sort(np.asarray(checks.real_array("scales", scales, integers=True), float).ravel())
    if len(scales) < 3 or scales[0] <= 0 or (np.diff(scales) <= 0).any():
        raise ValueError(f"scales must be at least three different numbers > 0, but got {scales}")
    return scales


def _together(place, y, key):
    """Some points that lie together, (n, d), and values there, (n, T, c), of T pieces alike."""
    if not isinstance(place, grid.Grid):
        here, mix = jax.random.split(key)
        centre = place[jax.random.randint(here, (), 0, len(place))]
        near = jnp.argsort((((place - centre) / jnp.std(place, 0)) ** 2).sum(-1))[:POINTS]
        near = np.asarray(jax.random.permutation(mix, near))
        few, order = -(-len(near) // 5), np.arange(len(near))
        return place[near], np.asarray(y, float)[near][:, None], [(order[few:], order[:few])]
    d = place.d
    side = max(int(POINTS ** (1 / d) + 1e-9), 2)
    shape = tuple(min(n, side) for n in place.shape)
    many = [n // m for n, m in zip(place.shape, shape, strict=True)]
    y = np.asarray(y, float)[tuple(slice(q * m) for q, m in zip(many, shape, strict=True))]
    y = y.reshape(*np.stack([many, shape], 1).ravel(), -1)
    y = y.transpose(*range(1, 2 * d, 2), *range(0, 2 * d, 2), 2 * d)
    x = dataclasses.replace(place, shape=shape).points().reshape(-1, d)
    white, black = (np.flatnonzero(np.indices(shape).sum(0) % 2 == colour) for colour in (0, 1))
    return x, y.reshape(len(x), -1, y.shape[-1]), [(white, black), (black, white)]


def _curve(scales, mse) -> tuple[np.ndarray, np.ndarray]:
    """Scales close together and the error there, smooth in log(scale) unless it vanishes."""
    if mse.min() <= 0:
        return scales, mse
    fine = np.geomspace(scales[0], scales[-1], 1001)
    return fine, np.exp(CubicSpline(np.log(scales), np.log(mse))(np.log(fine)))
