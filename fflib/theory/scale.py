"""Which scale? A suggestion from the closed form, from training observations and without training.

Kernel regression with the kernel of the network tells what a network of some scale would make of
data. There are three steps: a training budget is a ridge (:mod:`fflib.theory.budget`); each
observation is left out in turn and predicted from the others; and between the observations a
network keeps what it began as, and what its kernel smooths.
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
from fflib.theory import grid, kernels, krylov
from fflib.theory.budget import SLOPES, training_time
from fflib.theory.budget import Budget as Budget

DRAWS = 3  # of the frequencies, over which predictions are averaged …
NEAR = 2  # … at so many scales to either side of the first draw's best
POINTS = 600  # scattered points, near each other, that a draw is asked
CROP = 128**2  # points of a grid, side by side, that a draw is asked
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
    scales: Sequence[float] | None = None,
    key: jax.Array | None = None,
) -> Suggestion:
    """The scale at which a network is expected to do best between its observations.

    At each scale frequencies and first weights are drawn as a training would draw them. Regression
    with the network's kernel, and the ridge that the budget amounts to, predicts every observation
    from all others. Added is what remains between them of the function that the network is before
    training and, for networks of few parameters, the power that the kernel loses there. The first
    draw tries all scales, two more those near its best; of many observations each is asked some.

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
    n, tries = y.size // y.shape[-1], len(scales) + (DRAWS - 1) * (2 * NEAR + 1)
    still = bool(os.environ.get("FFLIB_STATIC"))
    bar = tqdm(total=tries, desc="scales", delay=3, leave=False, disable=still)

    def tried(k, some):
        own = jax.random.fold_in(key, k)
        there, values = _part(place, y, own)
        errors = []
        for s in some:
            gamma = mappings[k](s)
            errors.append(_error(there, values, n, gamma, model, budget, noise, own))
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


def left_out(K, y, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights w = (K + ρI)⁻¹ y of regression, and its errors at observations left out in turn.

    The errors are w_i over the i-th diagonal entry of the inverse, on a grid over their mean.

    Args:
        K: matrix (n, n), or a :class:`fflib.theory.grid.Toeplitz` of a grid with itself.
        y: values, (n, c) or (n₁, …, n_d, c).
        ridge: ρ > 0.

    Chapter: Choosing the scale.
    """
    if isinstance(K, grid.Toeplitz):
        w = np.asarray(krylov.solve(K, y, ridge, tol=1e-3).weights, float)
        return w, w / np.mean(1 / (np.asarray(grid.rates(K), float) + ridge))
    inverse = np.linalg.inv(K + ridge * np.eye(len(K)))
    w = inverse @ y
    return w, w / np.diag(inverse)[:, None]


def _error(place, y, n, gamma, model, budget, noise, key):
    """(mse (c,), ridge) of one draw, for values y of some of all n observations."""
    on_grid, c, axes = isinstance(place, grid.Grid), y.shape[-1], tuple(range(y.ndim - 1))
    params = model.init(key)

    def begin(x):
        return np.asarray(model(params, gamma(x)), float)

    start = begin(place.points() if on_grid else place)
    y = np.asarray(y, float) - np.mean(y, axes)
    new = y - (start - start.mean(axes))
    if on_grid:
        K = grid.ntk(model, gamma, place)
        rates, k0 = np.asarray(grid.rates(K), float), K.at_zero
        power = np.abs(np.fft.fftn(new, axes=axes)) ** 2 / place.size
    else:
        K = np.asarray(kernels.ntk(model, gamma(place)), float)
        (rates, Q), k0 = np.linalg.eigh(K), K[0, 0]
        rates, power = np.maximum(rates, 0.0), (Q.T @ new) ** 2
    time = training_time(rates, power.mean(-1), k0, model, budget)
    ridge = max(n * c / (SLOPES[model.output] ** 2 * time * k0), LEAST)

    both = np.concatenate([y, start], -1)
    w, errors = left_out(K, both, ridge * k0)
    at, between = both - ridge * k0 * w, both - errors
    inner = ()
    if on_grid:
        half = tuple(o + h / 2 for o, h in zip(place.origin, place.step, strict=True))
        middle = dataclasses.replace(place, origin=half)
        between = np.asarray(grid.ntk(model, gamma, middle, place) @ w)
        errors = np.concatenate([errors[..., :c], begin(middle.points()) - between[..., c:]], -1)
        inner = tuple(slice(m // 8, m - m // 8) for m in place.shape)
    missed, at, between = ((a[inner] ** 2).mean(axes) for a in (errors, at, between))
    share = n * c / (n * c + model.num_params)
    lively = share * np.maximum(at - between, 0.0)[:c]
    return np.maximum(missed[:c] - noise**2, 0.0) + missed[c:] + lively, ridge


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


def _part(place, y, key):
    """Of many observations some that lie together: a piece of a grid, or points around one."""
    if isinstance(place, grid.Grid):
        side = max(int(CROP ** (1 / place.d) + 1e-9), 2)
        shape = tuple(min(n, side) for n in place.shape)
        spare = np.subtract(place.shape, shape) + 1
        start = np.asarray(jax.random.randint(key, (place.d,), 0, jnp.asarray(spare)))
        origin = tuple(np.add(place.origin, start * place.step).tolist())
        part = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
        return grid.Grid(shape, place.step, origin), y[part]
    centre = place[jax.random.randint(key, (), 0, len(place))]
    near = jnp.argsort((((place - centre) / jnp.std(place, 0)) ** 2).sum(-1))[:POINTS]
    return place[near], y[near]


def _curve(scales, mse) -> tuple[np.ndarray, np.ndarray]:
    """Scales close together and the error there, smooth in log(scale) unless it vanishes."""
    if mse.min() <= 0:
        return scales, mse
    fine = np.geomspace(scales[0], scales[-1], 1001)
    return fine, np.exp(CubicSpline(np.log(scales), np.log(mse))(np.log(fine)))
