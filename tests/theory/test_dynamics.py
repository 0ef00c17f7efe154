"""Training dynamics (Eqs. 3 and 4): against integrated equations, iterated steps, and training
itself.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import expm, in_float64

import fflib as ff
from fflib.network import MLP, mlp
from fflib.theory import dynamics, kernels

KEY = jax.random.key(0)
N, M = 7, 4  # training and test points


def problem(columns=(), rank=None, seed=0):
    """A Gram matrix of any rank with its test rows, targets and initial functions, float64."""
    rng = np.random.default_rng(seed)
    G = rng.normal(size=(N + M, rank or N + 3)) / 2
    y, f0, f0_test = (
        rng.normal(size=(N, *columns)),
        rng.normal(size=(N, *columns)),
        rng.normal(size=(M, *columns)),
    )
    return G[:N] @ G[:N].T, y, f0, G[N:] @ G[:N].T, f0_test


def flow(K, y, t, **rest):
    return in_float64(lambda K, y, rest: dynamics.gradient_flow(K, y, t, **rest), K, y, rest)


def descent(K, y, steps, rate, **rest):
    return in_float64(
        lambda K, y, rest: dynamics.gradient_descent(K, y, steps, rate, **rest), K, y, rest
    )


def iterate(K, y, f, K_test, f_test, rate, steps):
    """Gradient steps on ½ Σ (f − y)² in function space: f ← f − η K(f − y), on both sets of points."""
    for _ in range(steps):
        f, f_test = f - rate * K @ (f - y), f_test - rate * K_test @ (f - y)
    return f, f_test


def runge_kutta(K, y, f, K_test, f_test, t, steps=2000):
    """Integrates ḟ = −K(f − y), ḟ* = −K*(f − y) by the classical fourth-order rule."""
    rows, state, h = np.concatenate([K, K_test]), np.concatenate([f, f_test]), t / steps

    def slope(s):
        return -rows @ (s[: len(y)] - y)

    for _ in range(steps):
        k1 = slope(state)
        k2 = slope(state + h / 2 * k1)
        k3 = slope(state + h / 2 * k2)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(state + h * k3))
    return state[: len(y)], state[len(y) :]


# --------------------------------------------------------------------------------------------------
# Eigenmodes


def test_eigenmodes_put_k_together_again():
    x = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    K = kernels.ntk(mlp(3, 16, 3, biases=0.3), x)
    lam, Q = dynamics.eigenmodes(K)
    assert (np.diff(lam) <= 0).all()
    np.testing.assert_allclose((Q * np.asarray(lam)[None]) @ Q.T, K, atol=1e-4 * float(K.max()))
    np.testing.assert_allclose(Q.T @ Q, np.eye(9), atol=1e-5)


def test_eigenmodes_of_a_singular_kernel_are_not_negative():
    G = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    lam, _ = dynamics.eigenmodes(G @ G.T)
    assert (np.asarray(lam) >= 0).all() and (np.asarray(lam[3:]) < 1e-5).all()
    np.testing.assert_allclose(lam[:3], np.linalg.eigvalsh(G.T @ G)[::-1], rtol=1e-4)


def test_centred_kernel_sees_no_constant():
    """What centred targets see is unchanged, the constant is in the null space, twice is once."""
    K, y, *_ = problem()
    y = y - y.mean()
    found = in_float64(dynamics.centred, K)
    P = np.eye(N) - 1 / N
    np.testing.assert_allclose(found, P @ K @ P, atol=1e-12)
    np.testing.assert_allclose(found @ np.ones(N), 0, atol=1e-12)
    np.testing.assert_allclose(y @ found @ y, y @ K @ y, rtol=1e-12)
    np.testing.assert_allclose(in_float64(dynamics.centred, found), found, atol=1e-12)


# --------------------------------------------------------------------------------------------------
# One place seen with two values


@pytest.mark.parametrize("seed", range(8))
def test_a_place_seen_twice_ends_at_the_mean_of_its_values(seed):
    """Drawn places, repetitions, scales and networks, float32: the flow for ever gives every place
    the mean of what was seen there (least squares knows no better), at the place and as a test
    point; what the residual is beyond that, never moves. Regression without jitter refuses the same
    kernel."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(8, 24)), int(rng.integers(6, 12))
    gamma = ff.features.gaussian(jax.random.key(seed), m, 1, rng.uniform(1.0, 3.0))
    places = rng.permutation(np.concatenate([np.arange(n), rng.integers(0, n, 1 + n // 3)]))
    x = gamma((places / n).astype(np.float32)[:, None])
    K = kernels.ntk(mlp(2 * m, 64, int(rng.integers(2, 5))), x)
    y = rng.normal(size=(len(places), 2)).astype(np.float32)
    mean = np.stack([y[places == p].mean(0) for p in places])
    for t in (np.inf, 1e9):
        found = dynamics.gradient_flow(K, y, t)
        np.testing.assert_allclose(found, mean, atol=1e-3)
        np.testing.assert_allclose(dynamics.gradient_flow(K, y, t, K_test=K), mean, atol=2e-2)
    with pytest.raises(ValueError, match="not positive definite"):
        kernels.kernel_regression(K - 1e-6 * np.trace(K) / len(K) * np.eye(len(K)), y)


# --------------------------------------------------------------------------------------------------
# Gradient flow


@pytest.mark.parametrize("columns", [(), (3,)], ids=["one", "several"])
def test_flow_starts_at_the_initial_function(columns):
    K, y, f0, K_test, f0_test = problem(columns)
    np.testing.assert_allclose(flow(K, y, 0.0, f0=f0), f0, atol=1e-12)
    np.testing.assert_allclose(
        flow(K, y, 0.0, f0=f0, K_test=K_test, f0_test=f0_test), f0_test, atol=1e-12
    )
    np.testing.assert_allclose(flow(K, y, 0.0), 0, atol=1e-12)


@pytest.mark.parametrize("columns", [(), (3,)], ids=["one", "several"])
def test_flow_ends_in_kernel_regression(columns):
    """t = ∞ from f₀ = 0 is Eq. 1; from f₀ it is f₀ plus the regression of what is left."""
    K, y, f0, K_test, f0_test = problem(columns)
    np.testing.assert_allclose(flow(K, y, np.inf), y, atol=1e-9)
    regression = K_test @ in_float64(kernels.kernel_regression, K, y)
    np.testing.assert_allclose(flow(K, y, np.inf, K_test=K_test), regression, rtol=1e-7)
    left = f0_test + K_test @ np.linalg.solve(K, y - f0)
    np.testing.assert_allclose(
        flow(K, y, np.inf, f0=f0, K_test=K_test, f0_test=f0_test), left, rtol=1e-7
    )
    np.testing.assert_allclose(
        flow(K, y, 1e9, f0=f0, K_test=K_test, f0_test=f0_test), left, rtol=1e-6
    )


@pytest.mark.parametrize("t", [0.03, 0.7, 20.0])
def test_flow_is_the_matrix_exponential(t):
    """Eq. 4 on the training points and Eq. 3 elsewhere, as printed."""
    K, y, f0, K_test, f0_test = problem()
    decay = expm(-K * t)
    np.testing.assert_allclose(flow(K, y, t, f0=f0), y + decay @ (f0 - y), rtol=1e-8, atol=1e-10)
    wanted = f0_test + K_test @ np.linalg.inv(K) @ (np.eye(N) - decay) @ (y - f0)
    np.testing.assert_allclose(
        flow(K, y, t, f0=f0, K_test=K_test, f0_test=f0_test), wanted, rtol=1e-8, atol=1e-10
    )


@pytest.mark.parametrize("rank", [None, 3], ids=["regular", "singular"])
def test_flow_solves_its_differential_equation(rank):
    """A singular K too, where K⁻¹ does not exist but the flow does."""
    K, y, f0, K_test, f0_test = problem(rank=rank)
    f, f_test = runge_kutta(K, y, f0, K_test, f0_test, 1.3)
    np.testing.assert_allclose(flow(K, y, 1.3, f0=f0), f, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(
        flow(K, y, 1.3, f0=f0, K_test=K_test, f0_test=f0_test), f_test, rtol=1e-8, atol=1e-9
    )


def test_zero_kernel_never_learns():
    _, y, f0, _, f0_test = problem()
    zero = np.zeros((N, N))
    for t in (0.0, 5.0, np.inf):
        np.testing.assert_array_equal(flow(zero, y, t, f0=f0), f0)
        np.testing.assert_array_equal(
            flow(zero, y, t, f0=f0, K_test=np.zeros((M, N)), f0_test=f0_test), f0_test
        )


def test_flow_for_t1_and_then_t2_is_flow_for_both():
    K, y, f0, K_test, f0_test = problem()
    f1, g1 = flow(K, y, 0.4, f0=f0), flow(K, y, 0.4, f0=f0, K_test=K_test, f0_test=f0_test)
    np.testing.assert_allclose(flow(K, y, 0.9, f0=f1), flow(K, y, 1.3, f0=f0), rtol=1e-9)
    np.testing.assert_allclose(
        flow(K, y, 0.9, f0=f1, K_test=K_test, f0_test=g1),
        flow(K, y, 1.3, f0=f0, K_test=K_test, f0_test=f0_test),
        rtol=1e-9,
    )


def test_only_kernel_times_time_counts():
    K, y, f0, K_test, f0_test = problem()
    rest = dict(f0=f0, f0_test=f0_test)
    np.testing.assert_allclose(
        flow(5 * K, y, 0.2, K_test=5 * K_test, **rest),
        flow(K, y, 1.0, K_test=K_test, **rest),
        rtol=1e-9,
    )
    np.testing.assert_allclose(
        descent(5 * K, y, 9, 0.01, K_test=5 * K_test, **rest),
        descent(K, y, 9, 0.05, K_test=K_test, **rest),
        rtol=1e-9,
    )


def test_modes_decay_each_at_its_own_rate():
    """Component i of the training error is e^{−λ_i t} times its start: spectral bias in one line."""
    K, y, f0, *_ = problem()
    lam, Q = in_float64(dynamics.eigenmodes, K)
    t = np.array([0.1, 1.0])
    error = (flow(K, y, t, f0=f0) - y) @ Q
    np.testing.assert_allclose(
        error, np.exp(-np.outer(t, lam)) * (Q.T @ (f0 - y)), rtol=1e-7, atol=1e-11
    )


def test_training_points_as_test_points():
    K, y, f0, *_ = problem((2,))
    t = np.array([0.0, 0.3, np.inf])
    np.testing.assert_allclose(
        flow(K, y, t, f0=f0, K_test=K, f0_test=f0), flow(K, y, t, f0=f0), rtol=1e-9
    )


@pytest.mark.parametrize("columns", [(), (1,), (3,)], ids=str)
@pytest.mark.parametrize("which", ["flow", "descent"])
def test_times_and_columns_are_axes(which, columns):
    """(T,) times give a leading axis of times, (n, c) targets a last axis; each slice is its own
    problem.
    """
    K, y, f0, K_test, f0_test = problem(columns)
    times = np.array([0, 3, 11])
    run = (
        (lambda t, **rest: flow(K, y, t / 10, **rest))
        if which == "flow"
        else (lambda t, **rest: descent(K, y, t, 0.1, **rest))
    )
    for rest, n in ((dict(f0=f0), N), (dict(f0=f0, K_test=K_test, f0_test=f0_test), M)):
        many = run(times, **rest)
        assert many.shape == (3, n, *columns)
        for t, row in zip(times, many, strict=True):
            np.testing.assert_allclose(run(t, **rest), row, rtol=1e-9, atol=1e-12)
    if columns:
        single = flow(K, y[:, -1], 0.3, f0=f0[:, -1])
        np.testing.assert_allclose(flow(K, y, 0.3, f0=f0)[:, -1], single, rtol=1e-9)


def test_order_of_the_points_does_not_matter():
    K, y, f0, _K_test, _f0_test = problem()
    p = np.random.default_rng(1).permutation(N)
    np.testing.assert_allclose(
        flow(K[p][:, p], y[p], 0.5, f0=f0[p]), flow(K, y, 0.5, f0=f0)[p], rtol=1e-9
    )


def test_flow_under_jit_and_its_derivative():
    """∂f/∂t = −K(f − y), by automatic differentiation in float32."""
    K, y, f0, *_ = (z.astype(np.float32) for z in problem())
    run = jax.jit(lambda t: dynamics.gradient_flow(K, y, t, f0))
    np.testing.assert_allclose(run(0.4), flow(K, y, 0.4, f0=f0), atol=1e-5)
    np.testing.assert_allclose(jax.jacfwd(run)(0.4), -K @ (run(0.4) - y), atol=1e-4)


# --------------------------------------------------------------------------------------------------
# Discrete steps


@pytest.mark.parametrize("rank", [None, 3], ids=["regular", "singular"])
@pytest.mark.parametrize("largest", [1e-4, 0.3, 0.9, 1.0, 1.5, 1.95, 2.2])
def test_descent_is_the_iterated_step(largest, rank):
    """For every size of ηλ: overdamped, critical, oscillating (1 < ηλ < 2), diverging."""
    K, y, f0, K_test, f0_test = problem((2,), rank)
    rate = largest / np.linalg.eigvalsh(K)[-1]
    for steps in (0, 1, 2, 17):
        f, f_test = iterate(K, y, f0, K_test, f0_test, rate, steps)
        np.testing.assert_allclose(descent(K, y, steps, rate, f0=f0), f, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(
            descent(K, y, steps, rate, f0=f0, K_test=K_test, f0_test=f0_test),
            f_test,
            rtol=1e-9,
            atol=1e-9,
        )


def test_descent_tends_to_flow_as_steps_shrink():
    """At fixed ηk = t the difference is proportional to η."""
    K, y, f0, K_test, f0_test = problem()
    rest, t = dict(f0=f0, K_test=K_test, f0_test=f0_test), 1.0
    error = [
        np.abs(descent(K, y, k, t / k, **rest) - flow(K, y, t, **rest)).max()
        for k in (1000, 10_000)
    ]
    np.testing.assert_allclose(error[0] / error[1], 10, rtol=0.02)
    assert error[1] < 1e-3


def test_descent_converges_to_regression_and_diverges_beyond_two():
    K, y, _, K_test, _ = problem()
    top = np.linalg.eigvalsh(K)[-1]
    np.testing.assert_allclose(
        descent(K, y, 10**9, 1.9 / top, K_test=K_test), flow(K, y, np.inf, K_test=K_test), rtol=1e-6
    )
    assert np.abs(descent(K, y, 2000, 2.1 / top)).max() > 1e6


def test_float32_keeps_many_small_steps():
    """50 000 steps with ηλ down to 1e-7: (1 − ηλ)^k by log1p, not by rounding 1 − ηλ to 1."""
    K, y, f0, *_ = problem()
    Q = np.linalg.qr(K)[0]
    lam = np.logspace(-7, -1, N)
    K = (Q * lam) @ Q.T
    ours = np.asarray(
        dynamics.gradient_descent(
            np.diag(lam).astype(np.float32),
            y.astype(np.float32),
            50_000,
            1.0,
            f0.astype(np.float32),
        )
    )
    np.testing.assert_allclose(ours, y + (1 - lam) ** 50_000 * (f0 - y), atol=2e-5)
    exact = in_float64(lambda K: dynamics.gradient_flow(K, y, 50_000.0), K)
    np.testing.assert_allclose(exact, Q @ ((1 - np.exp(-lam * 50_000)) * (Q.T @ y)), atol=1e-6)


# --------------------------------------------------------------------------------------------------
# Theory = training


def half_sum(model):
    """½ Σ (f(x) − y)², the loss whose time is learning rate × steps."""
    return lambda params, data: 0.5 * ((model.apply(params, data[0])[:, 0] - data[1]) ** 2).sum()


def everywhere(model, x):
    """A metric: the outputs on x at every recorded step."""
    return lambda params, data: {"f": model.apply(params, x)[:, 0]}


@pytest.mark.parametrize("parameterization", ["standard", "ntk"])
def test_linear_model_trains_as_predicted(parameterization):
    """Its kernel never changes, so prediction and training agree to rounding: train and test
    points, initial function kept, every recorded step."""
    rng = np.random.default_rng(0)
    x, y, x_test = (rng.normal(size=s).astype(np.float32) for s in ((10, 3), (10,), (6, 3)))
    model = MLP((3, 1), weights=0.6, biases=0.4, parameterization=parameterization)
    params = model.init(KEY)
    K, K_test = kernels.ntk(model, x), kernels.ntk(model, x_test, x)
    rate = 0.8 / float(np.linalg.eigvalsh(K)[-1])
    _, history = ff.fit(
        params, half_sum(model), (x, y), steps=60, every=20, optimizer=optax.sgd(rate),
        metrics=everywhere(model, np.concatenate([x, x_test])), progress=False,
    )  # fmt: skip
    f0 = history["f"][0]
    predicted = [
        dynamics.gradient_descent(K, y, history["step"], rate, f0[:10]),
        dynamics.gradient_descent(K, y, history["step"], rate, f0[:10], K_test, f0[10:]),
    ]
    np.testing.assert_allclose(history["f"], np.concatenate(predicted, axis=1), atol=1e-5)
    assert np.abs(history["f"][-1] - f0).max() > 0.5  # it did learn
    np.testing.assert_allclose(
        history["loss"], 0.5 * ((predicted[0] - y[None]) ** 2).sum(1), rtol=1e-4
    )


@functools.cache
def wide(width, parameterization):
    """Relative error of the prediction over 6 networks of one width, trained by plain gradient
    descent.
    """
    x = np.linspace(-1, 1, 16, dtype=np.float32)[:, None]
    x = np.concatenate([x, np.sqrt(1.5 - x**2)], 1)
    train = np.arange(16) % 2 == 0
    y = np.sin(4 * x[train, 0])
    model = mlp(2, width, 3, weights="he", biases=0.3, parameterization=parameterization)
    K = np.asarray(kernels.ntk(model, x))
    lam = np.linalg.eigvalsh(K[train][:, train])
    rate, steps = float(1.0 / lam[-1]), 200
    params = jax.vmap(model.init)(jax.random.split(KEY, 6))
    _, history = ff.fit(
        params, half_sum(model), (x[train], y), steps=steps, every=50, optimizer=optax.sgd(rate),
        metrics=everywhere(model, x), vmap=(0, None), progress=False,
    )  # fmt: skip
    f = np.moveaxis(history["f"], 1, 0)  # (6, T, 16)
    predicted = np.stack(
        [
            dynamics.gradient_descent(
                K[train][:, train], y, history["step"], rate, g[0][train], K[:, train], g[0]
            )
            for g in f
        ]
    )
    moved = np.linalg.norm(predicted[:, 1:] - predicted[:, :1])
    return np.linalg.norm((f - predicted)[:, 1:]) / moved


@pytest.mark.parametrize("parameterization", ["standard", "ntk"])
def test_wide_networks_train_as_predicted(parameterization):
    """From each network's own f₀, on training and test points, the error of the prediction shrinks
    as
    the width grows: about width^−1/2, and below 10 % at width 512."""
    errors = [wide(width, parameterization) for width in (32, 128, 512)]
    assert errors[2] < 0.7 * errors[1] < 0.49 * errors[0]
    assert errors[2] < 0.1


def test_the_initial_function_matters():
    """The prediction that forgets f₀ is several times worse: why it is kept."""
    K, y, f0, K_test, f0_test = problem()
    kept, forgotten = (
        flow(K, y, 1.0, K_test=K_test, **rest) for rest in (dict(f0=f0, f0_test=f0_test), {})
    )
    f_test = runge_kutta(K, y, f0, K_test, f0_test, 1.0)[1]
    assert np.abs(kept - f_test).max() < 1e-9 < 0.1 < np.abs(forgotten - f_test).max()


def test_mean_loss_divides_time_by_n():
    """½·mean: the same dynamics at rate η/n, as a network of one layer shows."""
    x, y = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)
    x, model = x[:, None], MLP((1, 1))
    params = model.init(KEY)

    def mean(params, data):
        return 0.5 * jnp.mean((model.apply(params, data[0])[:, 0] - data[1]) ** 2)

    trained, _ = ff.fit(params, mean, (x, y), steps=30, optimizer=optax.sgd(0.3), progress=False)
    f0 = model.apply(params, x)[:, 0]
    predicted = dynamics.gradient_descent(kernels.ntk(model, x), y, 30, 0.3 / 8, f0)
    np.testing.assert_allclose(model.apply(trained, x)[:, 0], predicted, atol=1e-5)


# --- amplitudes


@pytest.mark.parametrize("n", [16, 17])
def test_amplitude_of_one_sine(n):
    """A·sin(2πkv + φ) gives A in bin k and nothing elsewhere, for every k below n/2."""
    v = np.arange(n) / n
    for k in range(1, (n - 1) // 2 + 1):
        amplitude = dynamics.rfft_amplitude(
            (1.7 * np.sin(2 * np.pi * k * v + 0.4 * k)).astype(np.float32)
        )
        assert amplitude.shape == (n // 2 + 1,)
        np.testing.assert_allclose(amplitude, 1.7 * (np.arange(n // 2 + 1) == k), atol=1e-5)


def test_amplitude_of_a_constant_and_of_nyquist():
    """They have no partner of negative frequency: not doubled. With odd n there is no Nyquist bin."""
    np.testing.assert_allclose(
        dynamics.rfft_amplitude(np.full(8, -2.5, np.float32)), [2.5, 0, 0, 0, 0], atol=1e-6
    )
    np.testing.assert_allclose(
        dynamics.rfft_amplitude(np.float32([3, -3] * 4)), [0, 0, 0, 0, 3], atol=1e-6
    )
    np.testing.assert_allclose(
        dynamics.rfft_amplitude(np.full(7, 2.5, np.float32)), [2.5, 0, 0, 0], atol=1e-6
    )
    np.testing.assert_allclose(dynamics.rfft_amplitude(np.float32([4.0])), [4.0])


@pytest.mark.parametrize("n", [16, 17])
def test_amplitudes_hold_the_mean_square(n):
    """Parseval: mean y² = A₀² + ½ Σ A_k² (+ A² of Nyquist)."""
    y = np.random.default_rng(0).normal(size=n).astype(np.float32)
    A = np.asarray(dynamics.rfft_amplitude(y))
    whole = [0] + ([-1] if n % 2 == 0 else [])
    np.testing.assert_allclose(
        (A**2).sum() / 2 + (A[whole] ** 2).sum() / 2, (y**2).mean(), rtol=1e-5
    )


def test_amplitude_along_any_axis():
    y = np.random.default_rng(0).normal(size=(3, 8, 2)).astype(np.float32)
    along = dynamics.rfft_amplitude(y, axis=1)
    assert along.shape == (3, 5, 2)
    np.testing.assert_allclose(along[2, :, 1], dynamics.rfft_amplitude(y[2, :, 1]), rtol=1e-5)
    np.testing.assert_allclose(
        dynamics.rfft_amplitude(y), dynamics.rfft_amplitude(y, axis=2), rtol=1e-6
    )


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_amplitudes_of_half_precision_are_single(dtype):
    wave = jnp.sin(2 * jnp.pi * jnp.arange(8) / 8).astype(dtype)
    np.testing.assert_allclose(dynamics.rfft_amplitude(wave), [0, 1, 0, 0, 0], atol=5e-3)
    assert dynamics.rfft_amplitude(wave).dtype == jnp.float32
