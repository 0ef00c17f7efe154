"""Choosing the scale: what a budget amounts to, observations left out, and the suggestion."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fflib import data, features
from fflib.network import mlp
from fflib.theory import grid, krylov
from fflib.theory.budget import Budget, training_time
from fflib.theory.scale import Suggestion, left_out, suggest_scale

MODEL = mlp(32, 32, 3, biases=0.1)
BUDGET = Budget(300, 1e-3)


def field(key, n: int, d: int, beta: float):
    """A random periodic field of amplitude (1 + f)^−β on a grid of n points an axis."""
    f = np.sqrt(sum(x**2 for x in np.meshgrid(*[np.fft.fftfreq(n, 1 / n)] * d, indexing="ij")))
    z = np.fft.fftn(np.asarray(jax.random.normal(key, (n,) * d)))
    y = np.fft.ifftn(z * (1 + f) ** -beta).real
    return (y - y.mean()) / y.std()


def without_each(K, y, ridge):
    """Errors of predictions of each observation from regressions that never saw it."""
    errors = []
    for i in range(len(y)):
        keep = np.arange(len(y)) != i
        w = np.linalg.solve(K[np.ix_(keep, keep)] + ridge * np.eye(len(y) - 1), y[keep])
        errors.append(y[i] - K[i, keep] @ w)
    return np.array(errors)


# --------------------------------------------------------------------------------------------------
# Left out


def test_left_out_errors_are_those_of_regressions_without_the_point():
    rng = np.random.default_rng(0)
    A, y = rng.normal(size=(20, 30)), rng.normal(size=(20, 2))
    K = A @ A.T
    w, errors = left_out(K, y, 0.3)
    assert np.allclose((K + 0.3 * np.eye(20)) @ w, y)
    assert np.allclose(errors, without_each(K, y, 0.3))


def test_on_a_periodic_grid_the_diagonal_is_its_mean():
    """Whole frequencies: the kernel has the grid's period, and all points are alike."""
    B = jax.random.randint(jax.random.key(3), (16, 1), -6, 7).astype(float)
    K = grid.ntk(MODEL, features.Mapping(jnp.ones(16), B), data.grid(24))
    y = jnp.sin(9 * jnp.arange(24.0) ** 1.5)[:, None]
    dense = np.asarray(K.dense(), float)
    ridge = 0.05 * dense[0, 0]
    _, errors = left_out(K, y, ridge)
    wanted = without_each(dense, np.asarray(y), ridge)
    assert np.allclose(errors, wanted, rtol=1e-2, atol=1e-2 * np.abs(wanted).max())


# --------------------------------------------------------------------------------------------------
# Budget


def test_gradient_descent_goes_a_learning_rate_a_step():
    sgd = Budget(1000, 0.1, optimizer="sgd")
    assert np.isclose(training_time(np.ones(9), np.ones(9), 7.0, MODEL, sgd), 100)


@pytest.mark.parametrize("batch", [None, 5])
def test_time_of_adam_is_that_of_steps_with_one_common_size(batch):
    """A linear model, trained with all gradients divided by one running root mean square."""
    n, rate, steps, P = 20, 1e-3, 400, MODEL.num_params
    rng = np.random.default_rng(0)
    J = rng.normal(size=(n, P)) * np.geomspace(1, 0.05, n)[:, None]
    y = rng.normal(size=n)
    lam, Q = np.linalg.eigh(J @ J.T)
    k0 = np.trace(J @ J.T) / n
    residual, mean, time = y.copy(), 0.0, 0.0
    for step in range(1, steps + 1):
        g = J.T @ residual / n
        scatter = k0 * np.sum(residual**2) / n / batch if batch else 0.0
        mean = 0.999 * mean + 0.001 * (g @ g + scatter) / P
        h = rate / np.sqrt(mean / (1 - 0.999**step))
        residual = Q @ (np.exp(-lam * h / n) * (Q.T @ residual))
        time += h
    found = training_time(lam, (Q.T @ y) ** 2, k0, MODEL, Budget(steps, rate, batch))
    assert np.isclose(found, time, rtol=0.02)


def test_longer_and_faster_training_goes_farther_and_small_batches_less_far():
    lam, power = np.geomspace(1e4, 1e-1, 64), np.geomspace(10, 1e-4, 64)

    def time(*how):
        return training_time(lam, power, 90.0, MODEL, Budget(*how))

    assert time(20, 1e-3) < time(100, 1e-3) < time(400, 1e-3)
    assert time(100, 1e-4) < time(100, 1e-3)
    assert time(100, 1e-3, 8) < time(100, 1e-3)


# --------------------------------------------------------------------------------------------------
# Suggestion


@pytest.mark.parametrize(("beta", "d", "n"), [(1.0, 2, 32), (1.0, 1, 256)])
def test_it_is_near_the_best_scale_for_unseen_points(beta, d, n):
    """Against the closed form's error in the middle of the cells, which it cannot see."""
    model, lost = mlp(128, 64, 3, biases=0.01, output="sigmoid"), []
    for seed in (0, 1):
        y = jnp.asarray(0.5 + 0.1 * field(jax.random.key(seed), 2 * n, d, beta), jnp.float32)
        v, even, odd = data.grid(2 * n, d), (np.s_[::2],) * d, (np.s_[1::2],) * d
        y = jnp.clip(y, 0, 1)
        base = features.gaussian(jax.random.key(9), 64, d, 1.0)

        def drawn(s, base=base):
            return features.Mapping(base.a, s * base.B)

        found = suggest_scale(v[even], y[even], model, BUDGET, family=drawn)
        truth = []
        for scale, ridge in zip(found.scales, found.ridge, strict=True):
            K, K_test = (grid.ntk(model, drawn(scale), w, v[even]) for w in (v[even], v[odd]))
            w = krylov.solve(K, y[even] - y[even].mean(), ridge * K.at_zero, tol=1e-4).weights
            left = (K_test @ w + y[even].mean() - y[odd])[(np.s_[:-1],) * d]
            truth.append(np.log((left**2).mean()))
        gap = np.interp(np.log(found.scale), np.log(found.scales), truth) - np.min(truth)
        lost.append(10 / np.log(10) * gap)
    assert np.max(lost) < 0.35, lost  # decibels


def test_rough_fields_ask_for_larger_scales_and_what_lies_under_noise_is_predicted_better():
    v, model = data.grid(32, 2), mlp(128, 64, 3, biases=0.1)
    rough, smooth = (
        jnp.asarray(field(jax.random.key(1), 128, 2, b)[::4, ::4], jnp.float32) for b in (1.0, 2.0)
    )
    dirty = smooth + 0.3 * jax.random.normal(jax.random.key(2), smooth.shape)

    def of(y, **how):
        return suggest_scale(v, y, model, Budget(1000, 1e-3), **how)

    assert of(rough).scale > 1.2 * of(smooth).scale
    told, untold = of(dirty, noise=0.3), of(dirty)
    assert np.allclose(untold.mse - told.mse, 0.3**2, rtol=1e-3)


def test_it_does_not_depend_on_units():
    v, y = data.grid(20, 2), jnp.asarray(field(jax.random.key(0), 40, 2, 1.5)[::2, ::2])
    once = suggest_scale(v, y, MODEL, BUDGET)
    stretched = suggest_scale(5 * v + 3, y, MODEL, BUDGET)
    assert np.isclose(stretched.scale * 5, once.scale, rtol=2e-2)
    assert np.allclose(suggest_scale(v, y + 2, MODEL, BUDGET).mse, once.mse, rtol=2e-2)


def test_outputs_are_told_apart():
    y = jnp.stack([jnp.asarray(field(jax.random.key(k), 32, 2, 1.0 + k)) for k in (0, 1)], -1)
    model = dataclasses.replace(MODEL, sizes=(*MODEL.sizes[:-1], 2))
    found = suggest_scale(data.grid(32, 2), y, model, BUDGET)
    assert found.mse.shape == (9, 2)
    assert np.all(found.mse[:6, 0] > found.mse[:6, 1])  # the rougher one
    assert np.allclose(found.psnr, -10 * np.log10(found.mse))


@pytest.mark.parametrize("shape", [(40,), (9, 13), (5, 6, 7)])
def test_any_small_grid_will_do(shape):
    y = jax.random.uniform(jax.random.key(0), shape)
    model = mlp(32, 16, 3, output="sigmoid")
    found = quietly(data.grid(shape), y, model, Budget(100, 1e-3, 16))
    assert isinstance(found, Suggestion) and np.isfinite(found.mse).all() and (found.mse > 0).all()
    low, high = found.range
    assert found.scales[0] <= low <= found.scale <= high <= found.scales[-1]


def quietly(*arguments, **how):
    """Where the best may lie at an end, which is warned of."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the best scale")
        return suggest_scale(*arguments, **how)


def test_scattered_points_of_a_smooth_and_a_rough_function():
    x = jax.random.uniform(jax.random.key(0), (250, 2))

    def of(w):
        y = jnp.sin(w * x[:, 0]) * jnp.cos(w * x[:, 1])
        return quietly(x, y, MODEL, BUDGET, scales=[0.5, 2, 8]).scale

    assert of(2.0) < of(25.0)


def test_of_many_observations_each_draw_is_asked_some(monkeypatch):
    """Points, and pieces of a grid, that lie together: the errors are about those of all."""
    x = jnp.sort(jax.random.uniform(jax.random.key(0), (400, 1)), 0)
    of = {"points": x, "grid": data.grid(400)}
    for where, v in of.items():
        y = jnp.sin(40 * v[:, 0])
        every = quietly(v, y, MODEL, BUDGET, scales=[1, 4, 16])
        with monkeypatch.context() as patch:
            patch.setattr("fflib.theory.scale.POINTS", 200)
            patch.setattr("fflib.theory.scale.CROP", 200)
            some = quietly(v, y, MODEL, BUDGET, scales=[1, 4, 16])
        assert not np.array_equal(every.mse, some.mse), where
        assert np.all(np.abs(np.log(every.mse / some.mse)) < np.log(4)), where


def test_a_best_scale_at_an_end_is_warned_of():
    with pytest.warns(UserWarning, match="lies at an end"):
        found = suggest_scale(data.grid(12, 2), jnp.full((12, 12), 0.25), MODEL, BUDGET)
    assert found.scale == found.scales[0] and found.at_end


def test_a_family_is_a_name_or_a_function_of_the_scale():
    v, y = data.grid(40), jnp.asarray(field(jax.random.key(0), 40, 1, 1.5), jnp.float32)
    key, scales = jax.random.key(5), np.arange(1.0, 12.0)
    by_name = quietly(v, y, MODEL, BUDGET, family="laplace", scales=scales, key=key)
    first = jax.random.split(key, 3)[0]
    by_hand = quietly(
        v,
        y,
        MODEL,
        BUDGET,
        family=lambda s: features.sampled(first, 16, "laplace", s),
        scales=scales,
        key=key,
    )
    far = np.abs(np.log(scales / by_name.scale)) > np.log(3)  # where the first draw is alone
    assert far.any() and np.allclose(by_name.mse[far], by_hand.mse[far], rtol=1e-4)
    ladder = quietly(v, y, MODEL, BUDGET, family=lambda s: features.positional(16, 1, s))
    assert ladder.scales[0] <= ladder.scale <= ladder.scales[-1]


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
