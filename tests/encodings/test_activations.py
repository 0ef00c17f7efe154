"""Networks of sines and Gaussians: what they compute, and what their initialisation keeps."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import in_float64
from refusal import assert_refused

from fflib.encodings.activations import ScaledMLP, gaussian_network, sine, siren

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("largest", [3, 100, 5000])
def test_sine_and_its_derivative(largest):
    z = RNG.uniform(-largest, largest, 100_000).astype(np.float32)
    exact = z.astype(float)
    value, slope = jax.jvp(sine, (jnp.asarray(z),), (jnp.ones_like(z),))
    assert np.abs(value - np.sin(exact)).max() < 5e-7
    assert np.abs(slope - np.cos(exact)).max() < 1e-6
    bend = jax.grad(lambda x: jax.grad(lambda y: sine(y).sum())(x).sum())(jnp.asarray(z))
    assert np.abs(bend + np.sin(exact)).max() < 1e-4


def test_sine_at_multiples_of_a_quarter_turn():
    k = np.arange(-20, 21)
    z = (k * np.pi / 2).astype(np.float32)
    np.testing.assert_allclose(sine(z), np.sin(z.astype(float)), atol=5e-7)


def by_hand(model, params, x):
    act = {"sine": np.sin, "gaussian": lambda z: np.exp(-(z**2) / 2)}[model.activation]
    *hidden, (W, b) = [(np.asarray(W, float), np.asarray(b, float)) for W, b in params]
    for V, c in hidden:
        x = act(model.scale * (x @ V + c))
    return x @ W + b


@pytest.mark.parametrize("build", [siren, gaussian_network])
def test_forward_pass(build):
    model = build(2, 16, 4, 3)
    params, x = model.init(KEY), RNG.uniform(-1, 1, (9, 2)).astype(np.float32)
    want = by_hand(model, params, x)
    np.testing.assert_allclose(model(params, x), want, atol=2e-4)
    np.testing.assert_allclose(in_float64(model.apply, params, x), want, atol=1e-7)
    assert model.num_params == sum(leaf.size for leaf in jax.tree.leaves(params))
    assert (
        [W.shape for W, _ in params] == list(model.fans) == [(2, 16), (16, 16), (16, 16), (16, 3)]
    )


def test_output_function_and_width_of_the_gaussian():
    model = gaussian_network(1, 8, 2, a=0.25, output="sigmoid")
    assert model.scale == 4 and hash(model) == hash(
        ScaledMLP([1, 8, 1], "gaussian", 4.0, "sigmoid")
    )
    [(W, b), (V, c)] = params = model.init(KEY)
    x = np.float32([[0.3]])
    z = np.exp(-((0.3 * np.asarray(W)[0] + np.asarray(b)) ** 2) / (2 * 0.25**2)) @ np.asarray(
        V
    ) + np.asarray(c)
    np.testing.assert_allclose(model(params, x)[0], 1 / (1 + np.exp(-z)), rtol=1e-5)


def test_bounds_of_the_draw():
    model = siren(3, 200, 3, omega=30.0)
    weights = [1 / 3, math.sqrt(6 / 200) / 30, math.sqrt(6 / 200) / 30]
    for (W, b), w, n in zip(model.init(KEY), weights, (3, 200, 200), strict=True):
        W, b = np.asarray(W), np.asarray(b)
        assert np.abs(W).max() <= w and abs(W.std() / (w / math.sqrt(3)) - 1) < 0.12
        assert np.abs(b).max() <= 1 / math.sqrt(n)


def layers(model, params, x):
    """Pre-activations of every hidden layer."""
    out = []
    for V, c in params[:-1]:
        out.append(model.scale * (x @ np.asarray(V) + np.asarray(c)))
        x = np.sin(out[-1])
    return out


def test_siren_keeps_the_spread_through_depth():
    """z ~ N(0, q) gives E sin² z = (1 − e^(−2q))/2, and the next q is twice that, plus the bias'
    ω²/3n.
    """
    n, omega = 512, 30.0
    model = siren(2, n, 9, omega=omega)
    x = RNG.uniform(-1, 1, (100, 2))
    z = np.array([layers(model, model.init(jax.random.key(seed)), x) for seed in range(8)])
    spread, heights = (z**2).mean((0, 2, 3)), (np.sin(z) ** 2).mean((0, 2, 3))
    bias = omega**2 / (3 * n)
    np.testing.assert_allclose(heights[1:], (1 - np.exp(-2 * spread[1:])) / 2, rtol=0.03)
    np.testing.assert_allclose(spread[1:], 2 * heights[:-1] + bias, rtol=0.08)
    q = 1.0
    for _ in range(100):
        q = 1 - math.exp(-2 * q) + bias
    assert abs(spread[-3:].mean() / q - 1) < 0.06  # where the recursion settles
    for layer in np.moveaxis(z, 1, 0)[1:]:  # kurtosis: the bias' share is uniform, the rest normal
        share = bias / (layer**2).mean()
        assert abs((layer**4).mean() / (layer**2).mean() ** 2 - (3 - 1.2 * share**2)) < 0.15


def test_activations_of_siren_are_nearly_arcsine():
    """sin of a wide normal variable has the distribution of sin of a uniform angle."""
    model = siren(2, 512, 3, omega=60.0)
    a = np.sort(np.sin(layers(model, model.init(KEY), RNG.uniform(-1, 1, (200, 2)))[0]).ravel())
    arcsine = 0.5 + np.arcsin(a) / np.pi
    assert np.abs(arcsine - np.arange(len(a)) / len(a)).max() < 0.03


def test_other_scales_die_or_saturate():
    """The rule is what does it: with weights half as large the sine becomes linear and the signal
    dies.
    """
    model = siren(2, 512, 9, omega=5.0)
    params = [(W * (0.5 if k else 1), b * 0) for k, (W, b) in enumerate(model.init(KEY))]
    z = layers(model, params, RNG.uniform(-1, 1, (200, 2)))
    assert z[-1].std() < 0.15 * z[1].std()


CASES = {
    "no scale": (lambda: siren(2, 8, 3, omega=0.0), ValueError, ["omega", "> 0", "0"]),
    "no width": (lambda: gaussian_network(2, 8, 3, a=-1.0), ValueError, ["a", "> 0", "-1"]),
    "no units": (lambda: siren(2, 0, 3), ValueError, ["width", "at least 1", "0"]),
    "no hidden layer": (lambda: siren(2, 8, 1), ValueError, ["depth", "at least 2", "1"]),
    "one size": (
        lambda: ScaledMLP((2,), "sine", 1.0),
        ValueError,
        ["sizes", "input and an output", "(2,)"],
    ),
    "another network's parameters": (
        lambda: siren(2, 8, 3)(siren(2, 9, 3).init(KEY), np.ones((4, 2), np.float32)),
        ValueError,
        ["params", "(2, 8)", "(2, 9)"],
    ),
    "unknown activation": (
        lambda: ScaledMLP((2, 8, 1), "cosine", 1.0),
        ValueError,
        ["activation", "'sine'", "'cosine'"],
    ),
    "unknown output": (
        lambda: siren(2, 8, 3, output="relu"),
        ValueError,
        ["output", "None", "'relu'"],
    ),
    "points": (
        lambda: siren(2, 8, 3)(siren(2, 8, 3).init(KEY), np.ones((4, 3), np.float32)),
        ValueError,
        ["x", "2", "(4, 3)"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case):
    assert_refused(*CASES[case])
