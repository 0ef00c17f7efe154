"""Muon: what is kept of a gradient is its directions, and what a step does to a network follows from it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from fflib.experiments.muon import MOMENTUM, QUINTIC, ROUNDS, muon, orthogonalised


def matrix(shape, singular, seed=0):
    """U diag(singular) Vᵀ with random U and V, and U Vᵀ."""
    rng = np.random.default_rng(seed)
    k = min(shape)
    U, V = (np.linalg.qr(rng.normal(size=(n, k)))[0] for n in shape)
    return (U * singular) @ V.T, U @ V.T


def quintic(s):
    a, b, c = QUINTIC
    for _ in range(ROUNDS):
        s = a * s + b * s**3 + c * s**5
    return s


@pytest.mark.parametrize("shape", [(6, 6), (9, 5), (5, 9)])
def test_singular_values_move_alone(shape):
    """Directions stay, singular values go through the polynomial: an independent way to the result."""
    s = np.geomspace(1.0, 0.05, min(shape))
    G, _ = matrix(shape, s)
    U, _, Vt = np.linalg.svd(G, full_matrices=False)
    expected = (U * quintic(s / np.linalg.norm(s))) @ Vt
    np.testing.assert_allclose(orthogonalised(jnp.float32(G)), expected, atol=2e-5)


def test_near_the_polar_factor():
    G, polar = matrix((12, 8), np.geomspace(1.0, 0.02, 8))
    X = np.asarray(orthogonalised(jnp.float32(G)))
    s = np.linalg.svd(X, compute_uv=False)
    assert 0.6 < s.min() and s.max() < 1.25
    assert np.linalg.norm(X - polar, 2) < 0.4 < np.linalg.norm(G / np.linalg.norm(G, 2) - polar, 2)


def test_every_direction_counts_alike():
    """Turning inputs and outputs turns the step; scaling the gradient changes nothing; zero stays zero."""
    rng = np.random.default_rng(1)
    G = rng.normal(size=(7, 4)).astype(np.float32)
    Q, R = (np.linalg.qr(rng.normal(size=(n, n)))[0].astype(np.float32) for n in G.shape)
    np.testing.assert_allclose(orthogonalised(Q @ G @ R), Q @ orthogonalised(G) @ R, atol=2e-5)
    np.testing.assert_allclose(orthogonalised(1e-6 * G), orthogonalised(G), atol=2e-5)
    np.testing.assert_array_equal(orthogonalised(jnp.zeros((3, 2))), np.zeros((3, 2)))
    for tiny in np.float32(
        [1e-16, 1e-18, 1e-20, 1e-25, 1e-38]
    ):  # the squares underflow: turned alike, or not at all
        X = np.asarray(orthogonalised(tiny * G))
        assert not X.any() or np.abs(X - orthogonalised(G)).max() < 2e-5, tiny


def test_two_steps_by_hand():
    rng = np.random.default_rng(2)
    W, G1, G2 = (rng.normal(size=(5, 3)).astype(np.float32) for _ in range(3))
    b, g = np.ones(3, np.float32), np.array([1.0, -2.0, 0.5], np.float32)
    how, steps = muon(0.1, 4), []
    state = how.init([(W, b)])
    for G in (G1, G2):
        update, state = how.update([(G, g)], state)
        steps.append(update[0])
    second = G2 + MOMENTUM * (MOMENTUM * G1 + G2)
    np.testing.assert_allclose(steps[0][0], -0.1 * orthogonalised(G1), atol=1e-6)
    np.testing.assert_allclose(
        steps[1][0], -0.1 * (1 + 0.5**0.5) / 2 * orthogonalised(second), atol=1e-6
    )
    np.testing.assert_allclose(steps[0][1], -0.01 * np.sign(g), rtol=1e-4)  # Adam's first step


@pytest.mark.parametrize("shape", [(5, 3), (4, 4), (3, 5)])
def test_a_first_step_is_that_of_optax(shape):
    """From the second on the conventions differ; a wide matrix is moved by √(k/n) more there."""
    optax_muon = getattr(optax.contrib, "muon", None)
    if optax_muon is None:
        pytest.skip("this optax has no muon")
    G = jnp.float32(np.random.default_rng(4).normal(size=shape))
    steps = [how.update([G], how.init([G]), [G])[0][0] for how in (muon(0.1, 10), optax_muon(0.1))]
    np.testing.assert_allclose(max(1, shape[1] / shape[0]) ** 0.5 * steps[0], steps[1], atol=1e-6)


def test_it_learns_weak_directions_that_gradient_descent_does_not():
    """Linear regression with inputs of very unequal strength: rate alone cannot help plain descent."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, 6)) * np.geomspace(1.0, 0.01, 6)
    true = rng.normal(size=(6, 4))
    loss = lambda p: 0.5 * jnp.mean((x @ p[0][0] - x @ true) ** 2)
    left = {}
    for name, how in {"muon": muon(0.2, 300), "sgd": optax.sgd(2.0)}.items():
        params = [(jnp.zeros((6, 4)), jnp.zeros(4))]
        state = how.init(params)

        @jax.jit
        def step(params, state, how=how):
            update, state = how.update(jax.grad(loss)(params), state, params)
            return optax.apply_updates(params, update), state

        for _ in range(300):
            params, state = step(params, state)
        left[name] = np.abs(params[0][0] - true)[-1].max()
    assert left["muon"] < 0.1 * left["sgd"], left


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: orthogonalised(jnp.ones(3)), ValueError, "G must be a matrix"),
        (lambda: orthogonalised(jnp.ones((2, 2), complex)), TypeError, "G must"),
        (lambda: muon(0.0, 1), ValueError, "rate must be"),
        (lambda: muon(1.0, 0), ValueError, "steps must be"),
    ],
)
def test_bad_input(make, error, says):
    with pytest.raises(error, match=says):
        make()
