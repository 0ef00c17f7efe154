"""Derivatives as data: operators against known functions, kernels against differences, sampling and
jet.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import jet
from oracles import in_float64, x64
from refusal import assert_refused

from fflib import data, features
from fflib.network import mlp
from fflib.operators.derivatives import (
    along,
    covariances,
    divergence,
    gradient,
    laplacian,
    observed,
    sine_ntk,
    symbol,
    value,
)
from fflib.theory import kernels

KEY = jax.random.key(0)
V = jax.random.uniform(jax.random.key(1), (7, 3))
GAMMA = features.gaussian(jax.random.key(2), 8, 2, 1.5)
NTK = dict(activation="sin", biases=0.3, parameterization="ntk")
SINES = mlp(16, 1024, depth=3, weights=(0.4, 1024**-0.5, 1024**-0.5), **NTK)


def waves(v):
    """A smooth scalar function of (..., 3): a network of sines."""
    return NET(v)[..., 0]


def run(A, f, v=V):
    """A f at the points v, compiled: much faster than operation by operation."""
    return jax.jit(A(f))(v)


def all_of(*functions, v=V):
    """What each function says at the points v, by one compiled program: faster than one for each."""
    return jax.jit(lambda v: [f(v) for f in functions])(v)


def cubic(v):
    """x³ + 2 x y² − y z and its derivatives by hand."""
    x, y, z = jnp.moveaxis(v, -1, 0)
    return x**3 + 2 * x * y**2 - y * z


def cubic_gradient(v):
    x, y, z = np.moveaxis(np.asarray(v), -1, 0)
    return np.stack([3 * x**2 + 2 * y**2, 4 * x * y - z, -y], -1)


@cache
def network(activation, d=2, o=1):
    model = mlp(d, 16, depth=3, d_out=o, activation=activation, weights="lecun", biases=0.5)
    params = model.init(KEY)
    return lambda v: model(params, v)


NET = network("sin", d=3)

# --- operators


def test_a_polynomial_by_hand():
    x, close = (
        np.asarray(V)[:, 0],
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
    )
    slopes, curve, same, *each = all_of(
        *(A(cubic) for A in (gradient, laplacian, value, along(0), along(1), along(2)))
    )
    close(slopes, cubic_gradient(V))
    close(curve, 10 * x)
    close(same, cubic(V))
    close(np.stack(each, -1), cubic_gradient(V))


@pytest.mark.parametrize("activation", ["tanh", "sin", "softplus", "gelu"])
def test_a_network_against_reverse_mode_and_differences(activation):
    f, v = network(activation), V[:, :2]

    def one(x):
        return f(x[None])[0, 0]

    reverse = jax.vmap(jax.grad(one)), jax.vmap(lambda x: jnp.trace(jax.hessian(one)(x)))
    slopes, bends, *expected = all_of(gradient(f), laplacian(f), *reverse, v=v)
    np.testing.assert_allclose(slopes[:, 0], expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(bends[:, 0], expected[1], rtol=1e-4, atol=1e-5)
    step = 1e-4
    with x64(True):
        model = mlp(2, 16, depth=3, activation=activation, weights="lecun", biases=0.5)
        params = jax.tree.map(lambda a: jnp.asarray(np.asarray(a), "float64"), model.init(KEY))
        w, u = jnp.asarray(np.asarray(v), "float64"), lambda v: model(params, v)[..., 0]
        E = step * np.eye(2)
        shifted = np.stack([w] + [w + sign * e for e in E for sign in (1, -1)])
        exact_slopes, exact_bends, at = all_of(gradient(u), laplacian(u), lambda w: u(shifted), v=w)
        here, *pairs = np.asarray(at)
        slopes = np.stack(
            [(a - b) / (2 * step) for a, b in zip(pairs[::2], pairs[1::2], strict=True)], -1
        )
        bends = (sum(pairs) - 4 * here) / step**2
        np.testing.assert_allclose(exact_slopes, slopes, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(exact_bends, bends, rtol=1e-4, atol=1e-5)


def test_laplacian_against_taylor_mode():
    f, v = network("tanh", d=3), V

    def second(e):
        series = [jnp.broadcast_to(e, v.shape), jnp.zeros_like(v)]
        return jet.jet(f, (v,), (series,))[1][1]

    ours, taylor = all_of(laplacian(f), lambda v: sum(map(second, jnp.eye(3))))
    np.testing.assert_allclose(ours, taylor, rtol=1e-4, atol=1e-5)


def test_identities():
    f, g = waves, cubic

    def close(a, b):
        return np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)

    Df, Dg, Lf, Lg, at_f = all_of(gradient(f), gradient(g), laplacian(f), laplacian(g), f)
    through, *each = all_of(divergence(gradient(f)), *(along(j)(f) for j in range(3)))
    close(through, Lf)
    close(Df, jnp.stack(each, -1))
    one, other, product = all_of(
        along(0)(along(2)(f)), along(2)(along(0)(f)), laplacian(lambda v: f(v) * g(v))
    )
    close(one, other)
    close(product, at_f * Lg + 2 * (Df * Dg).sum(-1) + g(V) * Lf)


@pytest.mark.parametrize("A", [value, along(1), gradient, laplacian])
def test_linear(A):
    f, g = waves, cubic
    together, Af, Ag = all_of(A(lambda v: 2 * f(v) - 3 * g(v)), A(f), A(g))
    np.testing.assert_allclose(together, 2 * Af - 3 * Ag, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("A", [value, along(1), gradient, laplacian])
def test_shapes_grids_and_jit(A):
    """Points may lie in any array, outputs may have channels, and jit changes nothing."""
    v, f = (
        data.grid((3, 4)),
        lambda v: jnp.stack([v[..., 0] ** 2 * v[..., 1], v[..., 1] ** 3, v[..., 0]], -1),
    )
    y = A(f)(v)
    assert y.shape == (3, 4, 3) + ((2,) if A is gradient else ())
    compiled, listed = all_of(A(f), lambda v: A(f)(v.reshape(-1, 2)).reshape(y.shape), v=v)
    np.testing.assert_allclose(listed, y, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(compiled, y, rtol=1e-5, atol=1e-6)


def test_gradient_of_a_rotated_function():
    """∇(f∘R)(v) = Rᵀ ∇f(Rv), and Δ does not care for rotations."""
    R, _ = jnp.linalg.qr(jax.random.normal(KEY, (3, 3)))
    f, turned = waves, lambda v: waves(v @ R.T)

    def there(A):
        return lambda v: A(f)(v @ R.T)

    slopes, bends, slopes_there, bends_there = all_of(
        gradient(turned), laplacian(turned), there(gradient), there(laplacian)
    )
    np.testing.assert_allclose(slopes, slopes_there @ R, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(bends, bends_there, rtol=1e-4, atol=1e-4)


def test_a_relu_network_has_no_second_derivative():
    f = network("relu")
    bends, slopes = all_of(laplacian(f), gradient(f), v=V[:, :2])
    assert (bends == 0).all() and (slopes != 0).any()


def test_a_squared_relu_network_has_one():
    f = network("relu2")
    assert (jnp.abs(run(laplacian, f, V[:, :2])) > 1e-6).any()


def test_training_on_slopes_reaches_the_parameters():
    """∂/∂W of a loss on derivatives, against differences in float64."""
    model, v = mlp(2, 4, depth=2, activation="sin", weights="lecun"), np.asarray(V[:, :2])
    W = model.init(KEY)

    @jax.jit
    def loss(scale):
        params = [[scale * jnp.asarray(np.asarray(a), "float64") for a in layer] for layer in W]

        def u(v):
            return model(params, v)[..., 0]

        w = jnp.asarray(v, "float64")
        return (gradient(u)(w) ** 2).sum() + (laplacian(u)(w) ** 2).sum()

    with x64(True):
        slope = (loss(1 + 1e-5) - loss(1 - 1e-5)) / 2e-5
        np.testing.assert_allclose(jax.grad(loss)(1.0), slope, rtol=1e-6)


@pytest.mark.parametrize("A", [gradient, laplacian])
def test_float32_is_close_to_float64(A):
    model = mlp(16, 64, depth=3, activation="sin", weights="lecun")
    params = model.init(KEY)
    ask = jax.jit(lambda params, gamma, v: A(lambda v: model(params, gamma(v))[..., 0])(v))
    exact = in_float64(ask, params, GAMMA, V[:, :2])
    assert exact.dtype == np.float64
    np.testing.assert_allclose(ask(params, GAMMA, V[:, :2]), exact, atol=2e-5 * np.abs(exact).max())


# --- kernels


def bell(delta):
    return jnp.exp(-(delta**2).sum(-1) / 2)


def test_derivatives_of_a_gaussian_kernel_by_hand():
    """k = e^{−Δ²/2}: cov(f′, f) = −Δ k, cov(f′, f′) = (1 − Δ²) k, cov(f″, f″) = (Δ⁴ − 6Δ² + 3) k, …"""
    delta = jnp.linspace(-2, 2, 9)[:, None]
    x, k = delta[:, 0], bell(delta)

    def close(a, b):
        return np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)

    slope = along(0)
    pairs = [
        (value, value),
        (slope, value),
        (value, slope),
        (slope, slope),
        (laplacian, laplacian),
        (laplacian, value),
    ]
    expected = [k, -x * k, x * k, (1 - x**2) * k, (x**4 - 6 * x**2 + 3) * k, (x**2 - 1) * k]
    for found, by_hand in zip(
        all_of(*(observed(bell, *pair) for pair in pairs), v=delta), expected, strict=True
    ):
        close(found, by_hand)


def test_the_kernel_of_features_in_closed_form():
    """Slopes of Σ a² cos 2πb·Δ are the same mapping with amplitudes a |2πb_j|; Laplacians with a
    (2π|b|)².
    """
    delta = jax.random.uniform(KEY, (20, 2), minval=-1.0)
    for A, gain in (
        (along(1), 2 * jnp.pi * GAMMA.B[:, 1]),
        (laplacian, (2 * jnp.pi) ** 2 * (GAMMA.B**2).sum(1)),
    ):
        amplified = features.fourier(GAMMA.a * jnp.abs(gain), GAMMA.B).kernel
        ours, scale = jax.jit(observed(GAMMA.kernel, A))(delta), float(amplified(jnp.zeros(2)))
        np.testing.assert_allclose(ours, amplified(delta), atol=1e-4 * scale)


def test_the_relu_kernel_off_its_cusp_against_differences():
    """−k″ of kernels.ntk_stationary, away from Δ = 0, in float64."""
    model = mlp(16, 64, depth=4, weights="he", biases=0.1, parameterization="ntk")
    delta, h = np.linspace(0.05, 0.4, 6)[:, None] * np.array([1.0, 0.7]), 1e-4

    def both(a, B, delta):
        def k(d):
            return kernels.ntk_stationary(model, features.Mapping(a, B), d)

        e = jnp.array([0.0, h])
        differences = -(k(delta + e) - 2 * k(delta) + k(delta - e)) / h**2
        cross = (k(delta + e) - k(delta - e)) / (2 * h)
        return observed(k, along(1))(delta), differences, observed(k, along(1), value)(delta), cross

    exact, differences, mixed, slopes = in_float64(jax.jit(both), GAMMA.a, GAMMA.B, delta)
    np.testing.assert_allclose(exact, differences, rtol=1e-5, atol=1e-5 * np.abs(exact).max())
    np.testing.assert_allclose(mixed, slopes, rtol=1e-5, atol=1e-6 * np.abs(slopes).max())


def test_a_k_at_with_difference_matrices():
    """A K Aᵀ literally: rows of central differences as A, in float64."""
    h, x = 1e-4, np.linspace(0, 1, 5)

    def both(x):
        points = jnp.concatenate([x - h, x, x + h])[:, None]
        K = bell((points[:, None] - points[None]) / 0.3)
        eye, zero = jnp.eye(len(x)), jnp.zeros((len(x), len(x)))
        D = jnp.concatenate(
            [jnp.block([[-eye / (2 * h), zero, eye / (2 * h)]]), jnp.block([[zero, eye, zero]])]
        )
        ours = covariances(lambda d: bell(d / 0.3), [(along(0), x[:, None]), (value, x[:, None])])
        return ours, D @ K @ D.T

    ours, literal = in_float64(jax.jit(both), x)
    np.testing.assert_allclose(ours, literal, atol=1e-5 * np.abs(literal).max())


def test_covariances_are_those_of_random_functions():
    """Values, slopes and Laplacians of f = ⟨w, γ⟩ with w ~ N(0, 1), by sampling."""
    v, draws = V[:3, :2], 20_000
    W = jax.random.normal(KEY, (16, draws))

    def f(v):
        return GAMMA(v) @ W

    kinds = [value, along(0), laplacian]
    sample = jnp.concatenate([run(A, f, v) for A in kinds])
    scale = jnp.sqrt(jnp.mean(sample**2, 1))
    K = jax.jit(lambda v: covariances(GAMMA.kernel, [(A, v) for A in kinds]))(v)

    def normal(K):
        return np.asarray(K / scale[:, None] / scale)

    np.testing.assert_allclose(
        normal(K), normal(sample @ sample.T / draws), atol=5 / np.sqrt(draws)
    )
    np.testing.assert_allclose(normal(K), normal(K).T, atol=1e-5)
    assert np.linalg.eigvalsh(normal(K))[0] > -1e-5


def test_rows_and_columns():
    x, y = V[:2, :2], V[2:, :2]
    K = covariances(bell, [(along(0), x), (value, y)], [(value, x)])
    assert K.shape == (7, 2)
    np.testing.assert_allclose(K[2:], bell(y[:, None] - x[None]), rtol=1e-6)
    np.testing.assert_allclose(
        K[:2], covariances(bell, [(value, x)], [(along(0), x)]).T, rtol=1e-5, atol=1e-7
    )


# --- waves


def test_symbols():
    k = jnp.array([[1.0, -2.0], [0.0, 0.0], [0.5, 3.0]])

    def close(a, b):
        return np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)

    def symbols(A, k):
        return jax.jit(lambda k: symbol(A, k))(k)

    close(symbols(value, k), np.ones(3))
    close(symbols(along(1), k), 2j * np.pi * k[:, 1])
    close(symbols(laplacian, k), -((2 * np.pi) ** 2) * (k**2).sum(1))

    def helmholtz(f):
        return lambda v: laplacian(f)(v) + 100.0 * f(v)

    close(symbols(helmholtz, k), 100 - (2 * np.pi) ** 2 * (k**2).sum(1))


@pytest.mark.parametrize("A", [along(0), laplacian])
def test_eigenvalues_are_amplified_by_the_symbol(A):
    """On a ring, the Fourier series of the observed kernel is |symbol|² times that of the kernel."""
    gamma = features.fourier(
        jnp.exp(-(jnp.arange(1.0, 9) ** 2) / 20), jnp.arange(1.0, 9)[:, None]
    ).normalized()
    model = mlp(16, 32, depth=3, activation="sin", weights=0.2, parameterization="ntk")
    k, ring = (lambda d: sine_ntk(model, gamma, d)), data.grid(128)

    def series(k):
        return np.fft.rfft(np.asarray(jax.jit(k)(ring), float)).real[:12]

    gain = np.abs(symbol(A, jnp.arange(12.0)[:, None])) ** 2
    expected = gain * series(k)
    np.testing.assert_allclose(series(observed(k, A)), expected, atol=1e-4 * expected.max())
    assert (
        abs(series(observed(k, A))[0]) < 1e-5 * expected.max() < gain[1] * series(k)[0]
    )  # the constant is lost


# --- the sine network's kernel


@pytest.mark.parametrize("parameterization", ["standard", "ntk"])
def test_sine_ntk_is_the_mean_of_wide_networks(parameterization):
    width, draws = 128, 10
    weights = (0.4, width**-0.5, width**-0.5)
    model = mlp(16, width, depth=3, weights=weights, **NTK | {"parameterization": parameterization})
    v = V[:4, :2]

    def apply(p, v):
        return model(p, GAMMA(v))

    K = np.stack(
        [kernels.empirical_ntk(apply, model.init(k), v) for k in jax.random.split(KEY, draws)]
    )
    expected = sine_ntk(model, GAMMA, v[:, None] - v[None])
    error = 5 * K.std(0) / np.sqrt(draws) + 0.01 * float(expected.max())
    assert (np.abs(K.mean(0) - expected) < error).all()


@pytest.mark.parametrize("A", [along(0), laplacian])
def test_a_wide_network_seen_through_an_operator(A):
    """The empirical kernel of A u approaches A K Aᵀ."""
    v = V[:4, :2]
    params = SINES.init(KEY)

    def seen(p, v):
        return A(lambda v: SINES(p, GAMMA(v))[..., 0])(v)

    def k(delta):
        return sine_ntk(SINES, GAMMA, delta)

    expected = jax.jit(lambda v: covariances(k, [(A, v)]))(v)
    K = kernels.empirical_ntk(seen, params, v)
    np.testing.assert_allclose(K, expected, atol=0.15 * float(expected.max()))


def test_sine_ntk_of_a_linear_model_is_that_of_its_features():
    """Depth 1 has no sines: Θ = ⟨γ, γ'⟩ + 1 in standard parameterization."""
    model = mlp(16, 1, depth=1, activation="sin")
    delta = V[:, :2]
    np.testing.assert_allclose(sine_ntk(model, GAMMA, delta), GAMMA.kernel(delta) + 1, rtol=1e-5)


def test_sine_ntk_in_float32():
    delta = 0.01 * V[:, :2]
    ask = jax.jit(
        lambda a, B, delta: observed(
            lambda d: sine_ntk(SINES, features.Mapping(a, B), d), laplacian
        )(delta)
    )
    exact = in_float64(ask, GAMMA.a, GAMMA.B, delta)
    np.testing.assert_allclose(
        ask(GAMMA.a, GAMMA.B, delta), exact, rtol=1e-3, atol=1e-4 * np.abs(exact).max()
    )


# --- bad input


@pytest.mark.parametrize(
    "call, exception, parts",
    [
        (lambda: along(-1), ValueError, ["axis", "at least 0", "-1"]),
        (lambda: along(0.5), TypeError, ["axis", "whole number", "0.5"]),
        (lambda: along(3)(cubic)(V), ValueError, ["axis", "below 3", "3"]),
        (lambda: gradient(3.0), TypeError, ["f must be a function", "3.0"]),
        (lambda: gradient(cubic)(jnp.float32(1)), ValueError, ["v must have shape (..., d)", "got shape ()"]),
        (lambda: gradient(cubic)(jnp.arange(3)), TypeError, ["v must hold floating-point"]),
        (lambda: laplacian(lambda v: v.sum())(V), ValueError, ["f must act on each point", "(7, 3)", "()"]),
        (lambda: divergence(cubic)(V), ValueError, ["F must map (..., d) to (..., d)", "(7, 3)", "(7,)"]),
        (lambda: covariances(bell, []), ValueError, ["rows must be a list", "[]"]),
        (lambda: covariances(bell, [(3, V)]), TypeError, ["rows[0]", "operator", "3"]),
        (lambda: covariances(bell, [(value, V)], [(value, V[:, 1:])]), ValueError, ["columns[0]", "(n, 3)", "2)"]),
        (lambda: covariances(bell, [(value, V[0])]), ValueError, ["rows[0]", "(n, d)", "(3,)"]),
        (lambda: symbol(value, 3.0), ValueError, ["k must have shape (..., d)", "got shape ()"]),
        (lambda: sine_ntk(mlp(16, 8, 3), GAMMA, V[:, :2]), ValueError, ["model", "activation 'sin'", "relu"]),
        (lambda: sine_ntk(mlp(8, 8, 3, activation="sin"), GAMMA, V[:, :2]), ValueError, ["mapping", "16 features", "8 inputs"]),
        (lambda: sine_ntk(SINES, lambda v: v, V[:, :2]), TypeError, ["mapping", "features.Mapping", "function"]),
        (lambda: sine_ntk(SINES, GAMMA, V), ValueError, ["(..., 2)", "(7, 3)"]),
    ],
)  # fmt: skip
def test_refused(call, exception, parts):
    assert_refused(call, exception, parts)
