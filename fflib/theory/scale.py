"""Which scale? A suggestion from training observations, by kernel regression and without training.

Every second observation is hidden and predicted from the others, which are believed to three
quarters each, with the kernel of the network; the scale that does best is taken.
"""

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

from fflib import checks
from fflib.features import Mapping, waves
from fflib.network import MLP
from fflib.theory import grid, kernels

RIDGE = 1 / 3  # as a share of k(0): a lone observation is believed to three quarters
DRAWS = 3  # of the frequencies, over which predictions are averaged …
NEAR = 2  # … at so many scales to either side of the first draw's best
POINTS = 1024  # of a piece of a grid, at most; of scattered points half as many
FLAT = 0.3  # dB below the best, by which networks depart from what is predicted
FAMILIES = {
    "gaussian": jax.random.normal,
    "uniform": jax.random.uniform,
    "uniform_log": jax.random.uniform,
    "laplace": jax.random.laplace,
}


def sampled(key: jax.Array, m: int, family: str, scale: float, d: int = 1) -> Mapping:
    """Random frequencies from one of four families (Fig. 4), entries of B independent.

    gaussian: scale·N(0,1); uniform: scale·U[0,1]; uniform_log: scale^U[0,1]; laplace:
    scale·Laplace(0,1). Raises: ValueError for an unknown family or a scale that is not positive.
    Chapter: Random features.
    """
    draw = FAMILIES[checks.one_of("family", family, tuple(FAMILIES))]
    shape = checks.count("m", m), checks.count("d", d)
    scale = checks.positive("scale", scale)
    drawn = draw(checks.key("key", key), shape)
    return waves(scale**drawn if family == "uniform_log" else scale * drawn, scale=scale)


@dataclasses.dataclass(frozen=True, eq=False)
class Suggestion:
    """A scale, in cycles per unit of the coordinates (or what ``family`` takes), those that were
    tried, (S,), increasing, and at each the predicted mean squared error between the observations,
    (S, c) for c outputs. Chapter: Choosing the scale.
    """

    scale: float
    scales: np.ndarray
    mse: np.ndarray

    @property
    def psnr(self) -> np.ndarray:
        """10 log₁₀(1/mse) in dB, of each output, (S, c), for values of a range of 1."""
        with np.errstate(divide="ignore"):
            return -10 * np.log10(self.mse)

    @property
    def range(self) -> tuple[float, float]:
        """The least and the largest scale predicted to be within 0.3 dB of the best."""
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
    *,
    family: str | Callable = "gaussian",
    noise: float = 0.0,
    scales: Sequence[float] | np.ndarray | None = None,
    key: jax.Array | None = None,
) -> Suggestion:
    """The scale at which a network is expected to do best between its observations.

    With frequencies as a training would draw them, regression with the network's kernel and a ridge
    of k(0)/3 predicts hidden observations from the others: on a grid one colour of a chess board
    from the other and the other way round, of scattered points a random fifth. The first draw tries
    all scales, two more those near its best. A large grid is cut into pieces that have their kernel
    in common; of many scattered points each draw takes those nearest to one of them.

    Args:
        v: where observations were made: a :class:`fflib.theory.grid.Grid` or its points
            (n₁, …, n_d, d), or scattered points (n, d).
        y: observed values, (n₁, …, n_d) or (n,), and perhaps a last axis of c outputs.
        model: the network; ReLU, of an even number 2m of inputs and c outputs.
        family: "gaussian", "uniform", "uniform_log" or "laplace" frequencies, or a function of a
            scale that gives the mapping (of one draw, such as the network's own).
        noise: standard deviation of the noise in y, if known; errors are those of what is under it.
        scales: to be tried, at least three (default: half octaves from one cycle across the data to
            the highest frequency that the observations can tell apart).
        key: for the draws (default ``jax.random.key(0)``).

    Warns where the best lies at an end of the scales. Raises: ValueError or TypeError for irregular
    grids, shapes that disagree, values farther outside [0, 1] than noise explains for a network
    that ends in a sigmoid, networks without closed form, fewer than 8 observations, negative noise,
    scales that are not positive. Chapter: Choosing the scale.
    """
    place, y = _observations(v, y)
    noise = checks.positive("noise", noise, zero=True)
    _check_model(model, y, noise)
    drawn: jax.Array = checks.key("key", jax.random.key(0) if key is None else key)
    box, step = _box(place)
    mappings = _mappings(family, model, len(box), drawn)
    scales = _scales(scales, box, step)
    tries = len(scales) + (len(mappings) - 1) * (2 * NEAR + 1)
    still = "FFLIB_STATIC" in os.environ
    bar = tqdm(total=tries, desc="scales", delay=3, leave=False, disable=still)

    def tried(k, some):
        kernel, values, splits = _together(place, y, model, jax.random.fold_in(drawn, k))
        errors = []
        for s in some:
            K = np.asarray(kernel(mappings[k](s)), float)
            errors.append(np.mean([hidden_error(K, values, *two, noise) for two in splits], 0))
            bar.update()
        return np.array(errors)

    mse = tried(0, scales)
    best = int(np.argmin(mse.mean(1)))
    near = slice(max(best - NEAR, 0), best + NEAR + 1)
    mse[near] = np.mean([mse[near], *(tried(k, scales[near]) for k in range(1, len(mappings)))], 0)
    bar.close()
    fine, error = _curve(scales[near], mse[near].mean(1))
    found = Suggestion(float(fine[np.argmin(error)]), scales, mse)
    if found.at_end:
        told = f"the best scale, {found.scale:.3g}, lies at an end of those tried: look beyond it"
        warnings.warn(told, stacklevel=2)
    return found


def hidden_error(K, y, shown, hidden, noise: float = 0.0) -> np.ndarray:
    r"""Mean squared error (c,) predicted for hidden points, if a network is shown the others.

    That of regression with the ridge ρ = k(0)/3. Noise of power ν that was learned, at the n shown
    points ν/n times the squared norm of K (K + ρI)⁻¹, a kernel smooths in between; a network of
    finite width is as rough there, and what is missing is added. The hidden values' own noise is
    taken off. K is the kernel (N, N) between all points, y (N, T, c) are c outputs of T pieces of
    the data that lie alike, shown and hidden indices of points, noise is √ν. Chapter: Choosing the
    scale.
    """
    y = y - y[shown].mean(0)
    own, across = K[np.ix_(shown, shown)], K[np.ix_(hidden, shown)]
    # not by Cholesky: scipy's takes 500 times as long where its threads find a busy machine
    ridged = own + RIDGE * K[0, 0] * np.eye(len(shown))
    w = np.linalg.solve(ridged, y[shown].reshape(len(shown), -1))
    missed = y[hidden] - (across @ w).reshape(y[hidden].shape)
    mse = (missed**2).mean((0, 1))
    if noise == 0:
        return mse
    smoothed = (np.linalg.solve(ridged, np.concatenate([own, across]).T) ** 2).sum(0)
    at, between = smoothed[: len(own)].mean(), smoothed[len(own) :].mean()
    return np.maximum(mse - noise**2, 0.0) + noise**2 * max(at - between, 0.0)


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
            want = f"one row for each of the {len(place)} points"
            raise ValueError(f"y must have {want}, but got shape {y.shape}") from None
        y = y.reshape(len(y), -1)
    else:
        y = grid.on_grid("y", y, place)
        y = y if y.ndim > place.d else y[..., None]
    right = y.size // y.shape[-1] >= 8
    checks.must(right, "y", "hold at least 8 observations", f"shape {y.shape}")
    return place, y


def _check_model(model, y, noise):
    checks.is_a("model", model, MLP)
    right = model.sizes[0] % 2 == 0 and model.sizes[-1] == y.shape[-1]
    want = f"take 2m features and give {y.shape[-1]} outputs, as y has"
    checks.must(right, "model", want, f"sizes {model.sizes}")
    low, high, reach = float(y.min()), float(y.max()), 5 * noise
    right = model.output != "sigmoid" or (low >= -reach and high <= 1 + reach)
    given = f"{low:g} to {high:g}, more than noise of {noise:g} explains"
    checks.must(right, "y", "lie in [0, 1], as a sigmoid does", given)


def _mappings(family, model, d, key):
    """Functions scale ↦ mapping, one a draw; a given one is checked to fit the network."""
    m = model.sizes[0] // 2
    if isinstance(family, str):
        checks.one_of("family", family, tuple(FAMILIES))
        return [partial(sampled, k, m, family, d=d) for k in jax.random.split(key, DRAWS)]
    checks.must(callable(family), "family", "be a name or a function", family, TypeError)

    def mapping(s):
        gamma = family(s)
        if not isinstance(gamma, Mapping) or gamma.B.shape != (m, d):
            found = getattr(getattr(gamma, "B", None), "shape", gamma)
            want = f"a mapping of {m} frequencies in {d} dimensions"
            raise ValueError(f"family({s:g}) must be {want}, but is {found}")
        return gamma

    return [mapping]


def _box(place) -> tuple[np.ndarray, float]:
    """Extents of the data, (d,), and spacing: that of a grid with as many points in the box."""
    if isinstance(place, grid.Grid):
        return np.multiply(place.shape, place.step), min(place.step)
    box = np.ptp(np.asarray(place), axis=0)
    checks.must((box > 0).all(), "v", "extend along every axis", f"extents {box}")
    return box, float(np.prod(box) / len(place)) ** (1 / len(box))


def _scales(scales, box, step) -> np.ndarray:
    if scales is None:
        halves = max(int(np.ceil(2 * np.log2(0.5 * max(box) / step))), 6)
        return 0.5 / step * 2.0 ** (0.5 * np.arange(-halves, 1))
    scales = np.sort(np.asarray(checks.real_array("scales", scales, integers=True), float).ravel())
    right = len(scales) >= 3 and scales[0] > 0 and (np.diff(scales) > 0).all()
    checks.must(right, "scales", "be at least three different numbers > 0", scales)
    return scales


def _together(place, y, model, key):
    """Of points that lie together the kernel (N, N) of a mapping, values, and (shown, hidden)."""
    if not isinstance(place, grid.Grid):
        here, mix = jax.random.split(key)
        centre = place[jax.random.randint(here, (), 0, len(place))]
        near = jnp.argsort((((place - centre) / jnp.std(place, 0)) ** 2).sum(-1))[: POINTS // 2]
        x, y = (a[jax.random.permutation(mix, near)] for a in (place, y))
        order, few = np.arange(len(x)), -(-len(x) // 5)
        split = order[few:], order[:few]
        return partial(_ntk, model, np.asarray(x, float)), np.asarray(y, float)[:, None], [split]
    d, side = place.d, max(int(POINTS ** (1 / place.d) + 1e-9), 2)
    many = [-(-n // side) for n in place.shape]
    shape = tuple(n // q for n, q in zip(place.shape, many, strict=True))
    y = np.asarray(y, float)[tuple(slice(q * m) for q, m in zip(many, shape, strict=True))]
    y = y.reshape(*np.stack([many, shape], 1).ravel(), -1)
    y = y.transpose(*range(1, 2 * d, 2), *range(0, 2 * d, 2), 2 * d)
    i = np.indices(shape).reshape(d, -1)
    lag = tuple(i[:, :, None] - i[:, None] + np.reshape(shape, (d, 1, 1)) - 1)
    piece = dataclasses.replace(place, shape=shape)
    white, black = (np.flatnonzero(i.sum(0) % 2 == colour) for colour in (0, 1))
    values = y.reshape(len(white) + len(black), -1, y.shape[-1])

    def kernel(gamma):
        return np.asarray(grid.ntk(model, gamma, piece).lags())[lag]

    return kernel, values, [(white, black), (black, white)]


def _ntk(model, v, gamma):
    """Between all points. In double precision angles may come from products, which are quick."""
    a, B = np.asarray(gamma.a, float), np.asarray(gamma.B, float)
    phase = 2 * np.pi * v @ B.T
    x = np.concatenate([a * np.sin(phase), a * np.cos(phase)], axis=-1)
    h = np.maximum(1 - x @ x.T / (a @ a), 0) / 2
    return _recursion(model, np.sqrt(a @ a), np.sqrt(a @ a), h, 1 - h)


_recursion = jax.jit(kernels.relu_recursion, static_argnums=0)


def _curve(scales, mse) -> tuple[np.ndarray, np.ndarray]:
    """Scales close together and the error there, smooth in log(scale) unless it vanishes."""
    if mse.min() <= 0:
        return scales, mse
    fine = np.geomspace(scales[0], scales[-1], 1001)
    return fine, np.exp(CubicSpline(np.log(scales), np.log(mse))(np.log(fine)))
