"""Choosing the scale: errors between observations, what a budget amounts to, and the suggestion
made of both.
"""

import dataclasses
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fflib import data, features
from fflib.network import mlp
from fflib.theory import grid, kernels, krylov, left_out, midpoints
from fflib.theory.budget import LEAST, PACE, SLOW, Budget, budget_ridge
from fflib.theory.grid import Grid
from fflib.theory.left_out import noise_carried, squared
from fflib.theory.scale import Suggestion, suggest_scale

MODEL = mlp(32, 32, 3, biases=0.1)
BUDGET = Budget(300, 1e-3)


def moved(place: Grid, part: float = 0.5) -> Grid:
    origin = tuple(o + part * h for o, h in zip(place.origin, place.step, strict=True))
    return dataclasses.replace(place, origin=origin)


def line(n: int) -> Grid:
    return grid.regular(data.grid(n))


def whole(m: int, d: int, highest: int) -> features.Mapping:
    """Whole frequencies: the kernel has the unit's period."""
    B = jax.random.randint(jax.random.key(3), (m, d), -highest, highest + 1).astype(float)
    return features.Mapping(jnp.ones(m), B)


def field(key, n: int, d: int, beta: float):
    """A random periodic field of amplitude (1 + f)^−β on a grid of n points an axis."""
    f = np.sqrt(sum(x**2 for x in np.meshgrid(*[np.fft.fftfreq(n, 1 / n)] * d, indexing="ij")))
    z = np.fft.fftn(np.asarray(jax.random.normal(key, (n,) * d)))
    y = np.fft.ifftn(z * (1 + f) ** -beta).real
    return (y - y.mean()) / y.std()


# --------------------------------------------------------------------------------------------------
# Between the points


@pytest.mark.parametrize("part", [0.0, 0.5])
@pytest.mark.parametrize("shape", [(24,), (12, 15), (8, 9, 8)])
def test_transfer_is_that_of_waves_that_fade_at_the_borders(shape, part):
    d, place = len(shape), grid.regular(data.grid(shape))
    K = grid.ntk(MODEL, features.gaussian(jax.random.key(0), 16, d, 1.5), moved(place, part), place)
    mu = midpoints.transfer(K)

    def wave(f, part):  # in the middle of its n cells at part = 0
        axes = [np.arange(n) + part for n in shape]
        h = [np.sin(np.pi * (x + 0.5) / n) ** 2 for x, n in zip(axes, shape, strict=True)]
        e = [np.exp(2j * np.pi * k * x / n) for k, x, n in zip(f, axes, shape, strict=True)]
        return reduce(np.multiply.outer, [a * b for a, b in zip(h, e, strict=True)]).ravel()

    dense = np.asarray(K.dense(), float)
    for f in np.ndindex(*(3,) * d):
        shown = wave(f, 0.0)
        expected = (wave(f, part).conj() @ dense @ shown).real / np.vdot(shown, shown).real
        assert np.isclose(mu[f], expected, atol=6e-3 * mu.max())


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_ratio_of_errors_is_that_of_random_fields(noise):
    n, beta = 16, 1.0
    v = data.grid(n)
    place, gamma = grid.regular(v), whole(16, 1, 6)
    K, K_mid = grid.ntk(MODEL, gamma, v), grid.ntk(MODEL, gamma, moved(place), v)
    ridge = 0.1 * float(K.lags()[n - 1])
    own, across = midpoints._folded(place, beta)
    # waves are kept by a periodic kernel, and half a step turns them by π f / n
    turned = np.exp(-1j * np.pi * np.fft.fftfreq(n)) * np.fft.fft(
        np.asarray(K_mid.dense(), float)[:, 0]
    )
    predicted = midpoints.midpoint_ratio(
        np.asarray(grid.rates(K)), turned.real, ridge, own, across, noise
    )
    # many fields with the waves that `_folded` counts, on a grid twice as fine, and every point
    # left out in turn
    fine = np.arange(2 * n) / (2 * n)
    f = (np.fft.fftfreq(n)[:, None] + np.arange(-1, 2)).ravel() * n
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2, 4000, len(f)))
    amplitude = (1 + np.abs(f)) ** -beta / np.sqrt(n) * (z[0] + 1j * z[1])
    y = (amplitude @ np.exp(2j * np.pi * np.outer(f, fine))).real
    y, truth = y[:, ::2], y[:, 1::2]
    seen = y + noise * rng.normal(size=y.shape)
    inverse = np.linalg.inv(np.asarray(K.dense(), float) + ridge * np.eye(n))
    weights = seen @ inverse
    left_out = np.mean((weights / np.diag(inverse)) ** 2) - noise**2
    there = np.mean((weights @ np.asarray(K_mid.dense(), float).T - truth) ** 2)
    assert np.isclose(there / left_out, predicted, rtol=0.08)


@pytest.mark.parametrize("scale", [1.0, 4.0, 12.0])
def test_what_is_left_of_the_initial_function(scale):
    """In the middle of the cells, against the mean over all Gaussian processes with its covariance."""
    n, model, gamma = (
        64,
        mlp(64, 64, 4, biases=0.1),
        features.gaussian(jax.random.key(2), 32, 1, scale),
    )
    place = grid.regular(data.grid(n))
    start, K = grid.start_and_ntk(model, gamma, place)
    start_mid, K_mid = grid.start_and_ntk(model, gamma, moved(place), place)
    ridge = 0.01 * float(K.lags()[n - 1])
    gain = midpoints.transfer(K_mid) / (np.maximum(midpoints.transfer(K), 0) + ridge)
    predicted = midpoints.missed(gain, midpoints.transfer(start), midpoints.transfer(start_mid))
    C, C_mid, K, K_mid = (np.asarray(k.dense(), float) for k in (start, start_mid, K, K_mid))
    A = K_mid @ np.linalg.inv(K + ridge * np.eye(n))
    error = C[0, 0] - 2 * np.sum(A * C_mid, 1) + np.sum((A @ C) * A, 1)
    assert np.isclose(predicted, error[4:-4].mean(), rtol=0.15)


def test_covariance_on_a_grid_is_that_of_the_untrained_network():
    v, gamma = data.grid((5, 6)), features.gaussian(jax.random.key(2), 16, 2, 2.0)
    start, K = grid.start_and_ntk(MODEL, gamma, v)
    x = gamma(v.reshape(-1, 2))
    assert np.allclose(start.dense(), kernels.nngp(MODEL, x), atol=1e-5)
    assert np.allclose(K.dense(), kernels.ntk(MODEL, x), rtol=1e-4)
    assert np.isclose(K.at_zero, kernels.ntk(MODEL, x)[0, 0], rtol=1e-5)


@pytest.mark.parametrize(("d", "n"), [(1, 1024), (2, 64)])
@pytest.mark.parametrize("beta", [0.5, 1.0, 1.5])
def test_the_spectrum_of_a_field_is_found(d, n, beta):
    y = field(jax.random.key(4), 4 * n, d, beta)[(slice(None, None, 4),) * d]
    place = grid.regular(data.grid(n, d))
    own, across = midpoints.fit_spectrum(place, y[..., None])
    found = min(
        np.arange(0.25, 3.01, 0.25),
        key=lambda b: np.abs(np.log(own / own.max()) - shape_of(place, b)).sum(),
    )
    assert abs(found - min(beta, (d + 1) / 2)) <= 0.26  # no smoother than edges are
    assert np.all(np.abs(across) <= own * (1 + 1e-9))
    power = np.mean(np.abs(np.fft.fftn(y)) ** 2) / y.size  # of the whole, which low waves carry
    high = np.abs(np.fft.fftfreq(n)) >= 0.25
    spectrum = np.abs(np.fft.fftn(y)) ** 2 / y.size
    index = np.ix_(*[high] * d)
    assert 0.8 < own[index].mean() / spectrum[index].mean() < 1.3 and power > own[index].mean()


def shape_of(place, beta):
    own, _ = midpoints._folded(place, beta)
    return np.log(own / own.max())


def test_known_noise_is_told_from_a_rough_field():
    y = field(jax.random.key(5), 512, 2, 2.0)[::4, ::4]
    noisy = y + 0.3 * np.asarray(jax.random.normal(jax.random.key(6), y.shape))
    place = grid.regular(data.grid(128, 2))
    clean, told, untold = (
        midpoints.fit_spectrum(place, z[..., None], s)[0]
        for z, s in ((y, 0.0), (noisy, 0.3), (noisy, 0.0))
    )
    top = np.s_[60:68, 60:68]  # the highest waves, where noise is all there is
    assert told[top].mean() < 0.2 * untold[top].mean()
    assert clean[top].mean() < 0.2 * untold[top].mean()


@pytest.mark.parametrize("scale", [1.0, 8.0])
def test_left_out_errors_on_a_line_are_those_of_regressions_without_the_point(scale):
    n, ridge = 24, 0.2
    K = grid.ntk(MODEL, features.gaussian(jax.random.key(0), 16, 1, scale), data.grid(n))
    y = np.stack([np.sin(9 * np.arange(n) / n), np.cos(40 * np.arange(n) / n)], 1)
    dense, errors = np.asarray(K.dense(), float), []
    for i in range(n):
        keep = np.arange(n) != i
        w = np.linalg.solve(dense[np.ix_(keep, keep)] + ridge * np.eye(n - 1), y[keep])
        errors.append(y[i] - dense[i, keep] @ w)
    found = squared(K, jnp.asarray(y, jnp.float32), ridge)
    assert np.allclose(found, np.square(errors), rtol=1e-2, atol=1e-3 * np.square(errors).mean())


def test_noise_that_is_carried_is_what_regression_has_at_the_observations():
    """mean g² and mean H² against many draws of noise, on whole frequencies, where both are exact;
    none for none.
    """
    n, noise, ridge = 32, 0.3, 20.0
    v, gamma = data.grid(n), whole(16, 1, 12)
    place = grid.regular(v)
    K, K_mid = grid.ntk(MODEL, gamma, v), grid.ntk(MODEL, gamma, moved(place), v)
    z = noise * np.random.default_rng(0).normal(size=(n, 4000))
    w = np.linalg.solve(np.asarray(K.dense(), float) + ridge * np.eye(n), z)
    at, between = (np.mean((np.asarray(k.dense(), float) @ w) ** 2) for k in (K, K_mid))
    assert at > 1.5 * between  # a kernel smooths
    found = noise_carried(np.asarray(grid.rates(K)), ridge, between / noise**2, noise)
    assert np.isclose(found, at - between, rtol=0.03)
    assert (
        noise_carried(np.ones(3), 1.0, 0.1, 0.0) == 0
        and noise_carried(np.ones(3), 1.0, 0.9, 1.0) == 0
    )


def test_noise_that_a_kernel_smooths_among_scattered_points(monkeypatch):
    """The variance of predictions of points left out, one by one, from unit noise at the others."""
    given = []
    monkeypatch.setattr(
        "fflib.theory.left_out.noise_carried", lambda *arguments: given.append(arguments) or 0.0
    )
    n, gamma = 14, features.gaussian(jax.random.key(1), 16, 2, 1.0)
    x = jax.random.uniform(jax.random.key(0), (n, 2))
    left_out.scattered(x, x[:, :1], MODEL, BUDGET, 0.3, jax.random.key(0))(gamma)
    ((rates, ridge, smoothed, noise),) = given
    K = np.asarray(kernels.ntk(MODEL, gamma(x)), float)
    assert noise == 0.3 and np.allclose(
        rates, np.maximum(np.linalg.eigvalsh(K), 0), rtol=1e-3, atol=1e-3 * K[0, 0]
    )
    expected = []
    for i in range(n):
        keep = np.arange(n) != i
        expected.append(
            (np.linalg.solve(K[np.ix_(keep, keep)] + ridge * np.eye(n - 1), K[keep, i]) ** 2).sum()
        )
    assert np.isclose(smoothed, np.mean(expected), rtol=1e-4)


# --------------------------------------------------------------------------------------------------
# Budget


def test_ridge_of_gradient_descent_is_one_over_its_time():
    model, n, k0 = mlp(32, 16, 3, d_out=2, output="sigmoid"), 50, 7.0
    ridge = budget_ridge(np.ones(n), np.ones(n), k0, model, Budget(1000, 0.1, optimizer="sgd"))
    assert np.isclose(ridge * k0, LEAST * k0 + n * 2 / (0.25**2 * 1000 * 0.1))


@pytest.mark.parametrize("batch", [None, 5])
def test_ridge_of_adam_is_that_of_steps_with_one_common_size(batch):
    """A linear model, trained with all gradients divided by one running root mean square."""
    n, c, rate, steps = 20, 1, 1e-3, 400
    model = mlp(32, 16, 3)
    P = model.num_params
    rng = np.random.default_rng(0)
    J = rng.normal(size=(n, P)) * np.geomspace(1, 0.05, n)[:, None]
    y = rng.normal(size=n)
    lam, Q = np.linalg.eigh(J @ J.T)
    k0 = np.trace(J @ J.T) / n
    residual, mean, time = y.copy(), 0.0, 0.0
    for step in range(1, steps + 1):
        g = J.T @ residual / (n * c)
        scatter = k0 * np.sum(residual**2) / n / (c * batch) / c if batch else 0.0
        mean = 0.999 * mean + 0.001 * (g @ g + scatter) / P
        h = rate / np.sqrt(mean / (1 - 0.999**step))
        residual = Q @ (np.exp(-lam * h / (n * c)) * (Q.T @ residual))
        time += h
    ridge = budget_ridge(lam, (Q.T @ y) ** 2, k0, model, Budget(steps, rate, batch))
    assert np.isclose(ridge - LEAST, n * c / (PACE * time * k0), rtol=0.02)


def test_longer_and_faster_training_leave_a_smaller_ridge():
    lam, power = np.geomspace(1e4, 1e-1, 64), np.geomspace(10, 1e-4, 64)

    def ridge(steps, rate, batch=None):
        return budget_ridge(lam, power, 90.0, MODEL, Budget(steps, rate, batch))

    assert ridge(20, 1e-3) > ridge(100, 1e-3) > ridge(400, 1e-3)
    assert ridge(100, 1e-4) > ridge(100, 1e-3)
    assert ridge(100, 1e-3, 8) > ridge(100, 1e-3)
    assert LEAST <= ridge(10**6, 1e-3) < 1.01 * LEAST
    slow = budget_ridge(lam, power, 90.0, MODEL, Budget(10**6, 1e-3), cycles=2.0)
    assert np.isclose(
        slow, LEAST * (1 + SLOW / 2), rtol=0.01
    )  # coarse features leave more unlearned
    assert np.isclose(ridge(2001, 1e-5), ridge(2000, 1e-5), rtol=0.02)  # two steps at a time


# --------------------------------------------------------------------------------------------------
# Suggestion


@pytest.mark.parametrize(("beta", "d", "n"), [(1.0, 2, 32), (2.0, 2, 32), (1.0, 1, 256)])
def test_it_is_near_the_best_scale_for_unseen_points(monkeypatch, beta, d, n):
    """Against the closed form's true error in the middle of the cells, which the suggestion cannot
    see.
    """
    monkeypatch.setattr("fflib.theory.left_out.START", 0.0)  # what the data decide
    model = mlp(128, 64, 3, biases=0.1)
    lost, off = [], []
    for seed in (0, 1):
        y = jnp.asarray(field(jax.random.key(seed), 2 * n, d, beta), jnp.float32)
        v, even, odd = data.grid(2 * n, d), (np.s_[::2],) * d, (np.s_[1::2],) * d

        def drawn(s):
            return features.gaussian(jax.random.key(9), 64, d, s)

        found = suggest_scale(v[even], y[even], model, BUDGET, family=drawn)

        def error(scale, ridge):
            gamma = drawn(scale)
            K, K_test = grid.ntk(model, gamma, v[even]), grid.ntk(model, gamma, v[odd], v[even])
            k0 = float(kernels.ntk_stationary(model, gamma, jnp.zeros(d)))
            w = krylov.solve(K, y[even] - y[even].mean(), ridge * k0, tol=1e-4).weights
            left = (K_test @ w + y[even].mean() - y[odd])[
                (np.s_[:-1],) * d
            ]  # the last lies outside the grid
            return float((left**2).mean())

        truth = np.log([error(s, r) for s, r in zip(found.scales, found.ridge, strict=True)])
        best = int(np.argmin(truth))
        lost.append(
            10
            / np.log(10)
            * (np.interp(np.log(found.scale), np.log(found.scales), truth) - truth[best])
        )
        off.append(10 / np.log(10) * (np.log(found.mse.mean(1)) - truth)[best])
    assert np.max(lost) < 0.2, lost  # decibels
    # predictions keep what they promise; fields smoother than edges are, on purpose, predicted too
    # badly
    assert -0.3 < np.min(off) and np.max(off) < (1.2 if beta <= (d + 1) / 2 else 3.0), off


def test_rough_fields_ask_for_larger_scales_and_noise_does_not():
    v, model = data.grid(32, 2), mlp(128, 64, 3, biases=0.1)
    rough, smooth = (
        jnp.asarray(field(jax.random.key(1), 128, 2, b)[::4, ::4], jnp.float32) for b in (1.0, 2.0)
    )
    noisy = rough + 0.5 * jax.random.normal(jax.random.key(2), rough.shape)

    def of(y, **how):
        return suggest_scale(v, y, model, Budget(1000, 1e-3), **how)

    clean, told, untold, calm = of(rough), of(noisy, noise=0.5), of(noisy), of(smooth)
    assert clean.scale > 1.2 * calm.scale
    # a network carries noise to where its kernel would smooth it: the less of it is learned the
    # better
    dirty = smooth + 0.3 * jax.random.normal(jax.random.key(2), smooth.shape)
    assert of(dirty, noise=0.3).scale < 0.7 * calm.scale
    assert told.scale < 1.1 * clean.scale
    # what lies under the noise is predicted better than the noisy values, if not at far too large
    # scales
    assert np.all(told.mse[:6] < untold.mse[:6])


def test_it_does_not_depend_on_units_nor_on_the_mean():
    v, y = (
        data.grid(20, 2),
        jnp.asarray(field(jax.random.key(0), 40, 2, 1.5)[::2, ::2], jnp.float32),
    )
    once = suggest_scale(v, y, MODEL, BUDGET)
    stretched = suggest_scale(5 * v + 3, y, MODEL, BUDGET)
    assert np.isclose(stretched.scale * 5, once.scale, rtol=1e-2)
    assert np.allclose(stretched.mse, once.mse, rtol=2e-2)
    assert np.isclose(suggest_scale(v, y + 2, MODEL, BUDGET).scale, once.scale, rtol=1e-2)


def test_outputs_are_told_apart():
    y = jnp.stack(
        [jnp.asarray(field(jax.random.key(k), 32, 2, 1.0 + k), jnp.float32) for k in (0, 1)], -1
    )
    model = dataclasses.replace(MODEL, sizes=(*MODEL.sizes[:-1], 2))
    found = suggest_scale(data.grid(32, 2), y, model, BUDGET)
    swapped = suggest_scale(data.grid(32, 2), y[..., ::-1], model, BUDGET)
    assert found.mse.shape == (9, 2) and np.allclose(found.mse, swapped.mse[:, ::-1], rtol=1e-3)
    assert np.all(found.mse[:6, 0] > found.mse[:6, 1])  # the rougher one
    assert np.allclose(found.psnr, -10 * np.log10(found.mse))


@pytest.mark.parametrize("shape", [(40,), (9, 13), (5, 6, 7)])
def test_any_small_grid_will_do(shape):
    y = jax.random.uniform(jax.random.key(0), shape)
    model = mlp(32, 16, 3, output="sigmoid")
    found = suggest_scale(data.grid(shape), y, model, Budget(100, 1e-3, 16))
    assert isinstance(found, Suggestion) and np.isfinite(found.mse).all() and (found.mse > 0).all()
    assert found.scales[0] <= found.scale <= found.scales[-1]


def test_scattered_points_of_a_smooth_and_a_rough_function():
    x = jax.random.uniform(jax.random.key(0), (250, 2))

    def f(w):
        return jnp.sin(w * x[:, 0]) * jnp.cos(w * x[:, 1])

    slow, fast = (
        suggest_scale(x, f(w), MODEL, BUDGET, scales=[0.5, 2, 8]).scale for w in (2.0, 25.0)
    )
    assert slow < fast


def test_many_scattered_points_are_judged_by_a_dense_group(monkeypatch):
    monkeypatch.setattr("fflib.theory.left_out.POINTS", 200)  # as fast as it is enough
    x = jax.random.uniform(jax.random.key(0), (800, 1))
    y = jnp.sin(40 * x[:, 0])
    found = suggest_scale(x, y, MODEL, BUDGET, scales=[1, 4, 16])
    assert np.isfinite(found.mse).all() and found.mse.shape == (3, 1)


def test_equal_observations_take_the_smallest_scale(monkeypatch):
    found = suggest_scale(data.grid(12, 2), jnp.full((12, 12), 0.25), MODEL, BUDGET)
    assert found.scale == found.scales[0] and found.at_end
    monkeypatch.setattr(
        "fflib.theory.left_out.START", 0.0
    )  # nothing to learn, and nothing to forget
    found = suggest_scale(data.grid(12, 2), jnp.full((12, 12), 0.25), MODEL, BUDGET)
    assert found.scale == found.scales[0] and np.all(found.mse < 1e-10)


def test_a_family_is_a_name_or_a_function_of_the_scale():
    v, y = data.grid(40), jnp.asarray(field(jax.random.key(0), 40, 1, 1.5), jnp.float32)
    key, scales = jax.random.key(5), [1, 2, 3, 4, 5]
    by_name = suggest_scale(v, y, MODEL, BUDGET, family="laplace", scales=scales, key=key)
    by_hand = [
        suggest_scale(
            v,
            y,
            MODEL,
            BUDGET,
            family=lambda s, k=k: features.sampled(k, 16, "laplace", s),
            scales=scales,
        )
        for k in jax.random.split(key, 3)
    ]
    first = int(np.argmin(by_hand[0].mse))
    near = slice(max(first - 2, 0), first + 3)  # where all draws are averaged
    mean = np.mean([one.mse for one in by_hand], 0)
    assert np.allclose(by_name.mse[near], mean[near])
    assert np.allclose(np.delete(by_name.mse, near, 0), np.delete(by_hand[0].mse, near, 0))
    ladder = suggest_scale(
        v, y, MODEL, BUDGET, family=lambda s: features.positional(16, 1, s), scales=scales
    )
    assert 1 <= ladder.scale <= 5


V, Y = data.grid(12, 2), jnp.zeros((12, 12))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: suggest_scale(V**2, Y, MODEL, BUDGET), ValueError, "regular grid"),
        (
            lambda: suggest_scale(V, Y[:-1], MODEL, BUDGET),
            ValueError,
            "y must have the grid's shape",
        ),
        (
            lambda: suggest_scale(V.reshape(-1, 2), Y.ravel()[1:], MODEL, BUDGET),
            ValueError,
            "one row for each",
        ),
        (
            lambda: suggest_scale(data.grid(4), jnp.zeros(4), MODEL, BUDGET),
            ValueError,
            "at least 8",
        ),
        (
            lambda: suggest_scale(V, Y.at[0, 0].set(jnp.nan), MODEL, BUDGET),
            ValueError,
            "y has 1 entries",
        ),
        (lambda: suggest_scale(V, jnp.stack([Y, Y], -1), MODEL, BUDGET), ValueError, "2 outputs"),
        (lambda: suggest_scale(V, Y, mlp(33, 16, 3), BUDGET), ValueError, "2m features"),
        (
            lambda: suggest_scale(V, Y - 1, mlp(32, 16, 3, output="sigmoid"), BUDGET),
            ValueError,
            r"lie in \[0, 1\]",
        ),
        (
            lambda: suggest_scale(V, Y - 1, mlp(32, 16, 3, output="sigmoid"), BUDGET, noise=0.1),
            ValueError,
            "noise of 0.1",
        ),
        (
            lambda: suggest_scale(V, Y, mlp(32, 16, 3, activation="tanh"), BUDGET),
            ValueError,
            "activation 'relu'",
        ),
        (lambda: suggest_scale(V, Y, "mlp", BUDGET), TypeError, "model must be"),
        (lambda: suggest_scale(V, Y, MODEL, 300), TypeError, "budget must be"),
        (lambda: suggest_scale(V, Y, MODEL, BUDGET, noise=-1.0), ValueError, "noise"),
        (
            lambda: suggest_scale(V, Y, MODEL, BUDGET, family="cauchy"),
            ValueError,
            "family must be one of",
        ),
        (lambda: suggest_scale(V, Y, MODEL, BUDGET, family=3), TypeError, "family must be a name"),
        (
            lambda: suggest_scale(V, Y, MODEL, BUDGET, family=lambda s: features.basic(2)),
            ValueError,
            "16 frequencies",
        ),
        (
            lambda: suggest_scale(V, Y, MODEL, BUDGET, scales=[1.0, 2.0]),
            ValueError,
            "at least three",
        ),
        (lambda: suggest_scale(V, Y, MODEL, BUDGET, scales=[-1.0, 2.0, 3.0]), ValueError, "> 0"),
        (
            lambda: suggest_scale(jnp.ones((20, 2)), jnp.ones(20), MODEL, BUDGET),
            ValueError,
            "extend along",
        ),
        (lambda: Budget(0, 1e-3), ValueError, "steps"),
        (lambda: Budget(10, -1.0), ValueError, "rate"),
        (lambda: Budget(10, 1e-3, 0), ValueError, "batch"),
        (lambda: Budget(10, 1e-3, optimizer="lion"), ValueError, "optimizer"),
    ],
)
def test_bad_arguments_are_named(call, error, says):
    with pytest.raises(error, match=says):
        call()
