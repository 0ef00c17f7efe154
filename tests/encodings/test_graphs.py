"""The graph of embedded points: identities of its Laplacian, and what minimising it does."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import x64

from fflib import data
from fflib.encodings import graphs
from fflib.encodings.embeddings import radial, unit, widths

KEY = jax.random.key(0)
Z = jax.random.normal(KEY, (30, 5))
A = graphs.adjacency(Z, 1.5, 0.5)


def test_weights_are_the_formula():
    z = np.asarray(Z, float)
    near = np.exp(-((z[:, None] - z) ** 2).sum(-1) / (2 * 1.5**2))
    rho = near.sum(1)
    expected = near / np.outer(rho, rho) ** 0.5
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(A, expected, atol=1e-6)
    np.testing.assert_allclose(graphs.adjacency(Z, 1.5), near - np.eye(30), atol=1e-6)


def test_identities_of_the_laplacian():
    L = graphs.graph_laplacian(A)
    np.testing.assert_allclose(L.sum(1), 0, atol=1e-5)
    np.testing.assert_allclose(L, L.T, atol=1e-7)
    assert float(jnp.linalg.eigvalsh(L).min()) > -1e-5
    for shape in ((30,), (30, 3)):
        u = jax.random.normal(jax.random.key(1), shape)
        columns = u.reshape(30, -1)
        halves = 0.5 * jnp.sum(A[..., None] * (columns[:, None] - columns) ** 2)
        np.testing.assert_allclose(graphs.roughness(A, u), halves, rtol=1e-4)
    np.testing.assert_allclose(graphs.roughness(A, jnp.ones(30)), 0, atol=1e-4)


def test_two_far_groups_are_two_components():
    """The null space of L has one dimension a component."""
    z = jnp.concatenate([Z[:10], Z[10:] + 100.0])
    L = graphs.graph_laplacian(graphs.adjacency(z, 3.0))
    assert int((jnp.linalg.eigvalsh(L) < 1e-4).sum()) == 2


def test_only_d_minus_a_smooths():
    """Down the gradient of uᵀLu neighbours approach each other; with the opposite sign they part."""
    x = data.grid(40)
    B = graphs.adjacency(unit(radial(60, 1)(x, 0.05)), 0.5)
    u = jax.random.normal(KEY, (40,))
    L = graphs.graph_laplacian(B)

    def flow(M):
        down = jax.jit(lambda w: w - 0.05 * jax.grad(lambda w: w @ M @ w)(w))
        after = u
        for _ in range(20):
            after = down(after)
        return after

    def rough(w):
        return float(jnp.sum((w[1:] - w[:-1]) ** 2))

    assert rough(flow(L)) < 0.5 * rough(u)
    assert rough(flow(-L)) > 2 * rough(u)
    np.testing.assert_allclose(flow(L).mean(), u.mean(), atol=1e-5)


def test_gradient_of_the_objective_against_differences():
    with x64(True):
        x = data.grid(12)
        u = jnp.sin(2 * jnp.pi * x[:, 0])
        embedding = radial(20, 1)

        def f(a):
            return graphs.objective(unit(embedding(x, widths(a, x))), u, 0.4, 0.5, 1.0)

        a = jnp.log(0.08) + 0.1 * jax.random.normal(KEY, (5,))
        gradient, f = jax.jit(jax.grad(f))(a), jax.jit(f)
        for i in range(5):
            e = jnp.zeros(5).at[i].set(1e-5)
            np.testing.assert_allclose(
                gradient[i], (f(a + e) - f(a - e)) / 2e-5, rtol=1e-5, atol=1e-9
            )


def test_objective_is_finite_where_bells_vanish():
    """Bells far narrower than their distance: rows of zeros, and still gradients without NaN."""
    x = data.grid(12)

    def f(a):
        return graphs.objective(unit(radial(5, 1)(x, jnp.exp(a))), x[:, 0], 0.3, 0.5, 1.0)

    value, gradient = jax.jit(jax.value_and_grad(f))(jnp.full(12, -8.0))
    assert bool(jnp.isfinite(value)) and bool(jnp.isfinite(gradient).all())


def test_objective_in_float32_and_float64():
    x = np.arange(24)[:, None] / 24
    u = np.sin(7 * x[:, 0])

    def value(dtype):
        p = jnp.asarray(x, dtype)
        return graphs.objective(unit(radial(30, 1)(p, 0.06)), jnp.asarray(u, dtype), 0.3, 0.5, 1.0)

    single = value(jnp.float32)
    with x64(True):
        double = value(jnp.float64)
    np.testing.assert_allclose(single, double, rtol=1e-4)


def signal(x):
    """Level on the left, steep on the right."""
    return 0.1 * x + jnp.where(x > 0.5, jnp.sin(10 * jnp.pi * x), 0.0)


def test_steep_stretches_get_narrow_bells():
    x = data.grid(40)
    log_sigma, history = graphs.learn_widths(
        radial(60, 1), x, signal(x), knots=6, start=0.05, epsilon=0.25, steps=80
    )
    sigma = widths(log_sigma, x)
    assert log_sigma.shape == (6,) and history["log_sigma"].shape == (81, 6)
    np.testing.assert_allclose(jnp.exp(history["log_sigma"][0]), 0.05, rtol=1e-5)
    np.testing.assert_array_equal(history["log_sigma"][-1], log_sigma)
    assert history["loss"][-1] < history["loss"][0]
    assert float(sigma[x[:, 0] < 0.4].min()) > 1.5 * float(sigma[x[:, 0] > 0.6].max())


def test_without_keep_the_graph_dies():
    """λ = 0: the edges of the graph fade away; λ > 0 keeps them."""
    x = data.grid(40)
    alive = {}
    for keep in (0.0, 1.0):
        log_sigma, _ = graphs.learn_widths(
            radial(60, 1), x, signal(x), knots=6, start=0.05, epsilon=0.25, keep=keep, steps=150
        )
        alive[keep] = float(
            graphs.adjacency(unit(radial(60, 1)(x, widths(log_sigma, x))), 0.25, 0.5).sum()
        )
    assert alive[0.0] < 0.2 * alive[1.0]


def test_scale_and_shift_of_the_signal_do_not_matter():
    x = data.grid(20)
    how = dict(knots=4, start=0.06, epsilon=0.3, steps=20)
    one, _ = graphs.learn_widths(radial(30, 1), x, signal(x), **how)
    other, _ = graphs.learn_widths(radial(30, 1), x, 7 * signal(x) + 3, **how)
    np.testing.assert_allclose(one, other, atol=2e-3)


def test_an_ensemble_is_its_members():
    x = jnp.stack([data.grid(20)] * 2)
    u = jnp.stack([signal(x[0]), x[0] ** 2])
    learn = partial(graphs.learn_widths, radial(30, 1), knots=4, epsilon=0.3, steps=10)
    both, history = jax.vmap(lambda x, u, start: learn(x, u, start=start))(
        x, u, jnp.array([0.05, 0.08])
    )
    alone, own = learn(x[1], u[1], start=0.08)
    assert both.shape == (2, 4) and history["log_sigma"].shape == (2, 11, 4)
    np.testing.assert_allclose(both[1], alone, atol=1e-4)
    np.testing.assert_allclose(history["loss"][1], own["loss"], atol=1e-4)


def test_the_path_is_adams():
    """Step by step with optax outside of the library's loop."""
    x, how = data.grid(12), dict(knots=3, start=0.1, epsilon=0.3)
    u = signal(x)
    path = graphs.learn_widths(radial(12, 1), x, u, steps=4, rate=0.05, **how)[1]["log_sigma"]
    u = (u - u.mean()) / u.std()
    a, adam = jnp.full(3, jnp.log(0.1)), optax.adam(0.05)
    state = adam.init(a)
    for seen in path:
        np.testing.assert_allclose(a, seen, atol=1e-5)
        slope = jax.grad(
            lambda a: graphs.objective(unit(radial(12, 1)(x, widths(a, x))), u, 0.3, 0.5, 1.0)
        )(a)
        move, state = adam.update(slope, state)
        a = a + move


def test_in_the_plane():
    v = data.grid(8, 2).reshape(-1, 2)
    u = jnp.stack([v[:, 0], jnp.where(v[:, 1] > 0.5, jnp.sin(20 * v[:, 0]), 0.0)], -1)
    log_sigma, history = graphs.learn_widths(
        radial(12, 2), v, u, knots=3, start=0.2, epsilon=0.3, steps=20
    )
    assert log_sigma.shape == (3, 3) and history["loss"][-1] < history["loss"][0]
    assert float(log_sigma[1, 2]) < float(log_sigma[1, 0])


X = data.grid(6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: graphs.adjacency(Z[0], 1.0), r"z must have shape \(n, d\)"),
        (lambda: graphs.adjacency(Z, 0.0), "epsilon must be"),
        (lambda: graphs.adjacency(Z, 1.0, -1.0), "power must be"),
        (lambda: graphs.graph_laplacian(jnp.ones((2, 3))), r"A must have shape \(n, n\)"),
        (lambda: graphs.roughness(A, jnp.ones(7)), r"u must have shape \(30,\) or \(30, c\)"),
        (lambda: graphs.objective(Z, Z[:, 0], 1.0, 0.5, -1.0), "keep must be"),
        (
            lambda: graphs.learn_widths(radial(8, 1), X, X[:3], knots=2, start=0.1, epsilon=1.0),
            r"u must have shape \(6, c\)",
        ),
        (
            lambda: graphs.learn_widths(
                radial(8, 1), X, jnp.ones((6, 1)), knots=2, start=0.1, epsilon=1.0
            ),
            "constant",
        ),
        (
            lambda: graphs.learn_widths(radial(8, 1), X, X, knots=0, start=0.1, epsilon=1.0),
            "knots must",
        ),
        (
            lambda: graphs.learn_widths(radial(8, 1), X, X, knots=2, start=0.0, epsilon=1.0),
            "start must",
        ),
        (
            lambda: graphs.learn_widths(
                radial(8, 1), X, X, knots=2, start=0.1, epsilon=1.0, keep=-1.0
            ),
            "keep must",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
