"""fflib.theory.piecewise_linear: knots of a network, a network from knots, the Fourier transform
from knots.
"""

import itertools

import jax
import numpy as np
import pytest

from fflib.network import mlp
from fflib.theory import piecewise_linear


@pytest.fixture(scope="module")
def network():
    model = mlp(1, 16, 4, weights="he", biases=0.5)
    return model, model.init(jax.random.key(3))


def float64(model, params, x):
    """The network in float64, written out."""
    *hidden, (W, b) = [
        (np.asarray(W, float), np.asarray(b, float)) for W, b in model.effective(params)
    ]
    a = np.asarray(x, float)[:, None]
    for V, c in hidden:
        a = np.maximum(a @ V + c, 0)
    return (a @ W + b)[:, 0]


def test_straight_lines_between_knots_are_the_network(network):
    model, params = network
    x, y = piecewise_linear.knots(model, params)
    assert (x[0], x[-1]) == (0, 1) and (np.diff(x) > 0).all() and len(x) > 10
    v = np.linspace(0, 1, 5001)
    assert np.abs(np.interp(v, x, y) - float64(model, params, v)).max() < 1e-12


def test_every_bend_is_a_knot(network):
    model, params = network
    x, _ = piecewise_linear.knots(model, params, -2.0, 3.0)
    v = np.linspace(-2, 3, 20001)
    bend = np.abs(np.diff(float64(model, params, v), 2)) > 1e-10
    nearest = np.abs(v[1:-1][bend][:, None] - x).min(1)
    assert bend.sum() > 10 and nearest.max() <= 5 / 20000 + 1e-12


def test_ntk_parameterization_is_the_same_function():
    scaled = mlp(1, 8, 3, weights="he", biases=0.7, parameterization="ntk")
    plain = mlp(1, 8, 3, weights="he", biases=0.7)
    params = scaled.init(jax.random.key(0))
    for a, b in zip(
        piecewise_linear.knots(scaled, params),
        piecewise_linear.knots(plain, scaled.effective(params)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_a_network_from_knots_has_those_knots():
    x, y = np.array([0.0, 0.2, 0.5, 0.6, 1.0]), np.array([1.0, -1.0, 0.5, 0.5, 2.0])
    model, params = piecewise_linear.from_knots(x, y)
    v = np.linspace(0, 1, 501)
    assert np.abs(float64(model, params, v) - np.interp(v, x, y)).max() < 1e-6
    x2, y2 = piecewise_linear.knots(model, params)
    np.testing.assert_allclose(np.interp(v, x2, y2), np.interp(v, x, y), atol=1e-6)


def test_transform_against_fine_quadrature(network):
    x, y = piecewise_linear.knots(*network)
    k = np.array([0, 1, 2.5, 17, 200])
    v = np.concatenate(
        [np.linspace(a, b, 4000, endpoint=False) for a, b in itertools.pairwise(x)] + [[1.0]]
    )
    f = np.interp(v, x, y)[None] * np.exp(-2j * np.pi * k[:, None] * v)
    np.testing.assert_allclose(
        piecewise_linear.fourier_transform(x, y, k), np.trapezoid(f, v, axis=1), rtol=0, atol=1e-7
    )


def test_transform_of_the_hat_is_sinc_squared():
    k = np.array([[0.0, 0.25], [1.5, 7.3]])
    np.testing.assert_allclose(
        piecewise_linear.fourier_transform([-1, 0, 1], [0, 1, 0], k), np.sinc(k) ** 2, atol=1e-15
    )


def test_transform_of_the_slowest_waves():
    """Against Gauss's rule on every piece, from frequencies at which 1/ω² would leave no digit
    upwards.
    """
    x, y = np.array([0.2, 0.5, 0.9, 3.2]), np.array([1.0, 2.0, 0.5, -1.0])
    k = np.concatenate([[0.0, 1e-12], np.logspace(-9, 0, 40)])
    node, weight = np.polynomial.legendre.leggauss(30)
    v = (x[:-1] + x[1:])[:, None] / 2 + np.diff(x)[:, None] / 2 * node
    f = np.interp(v, x, y) * weight * np.diff(x)[:, None] / 2
    expected = (f * np.exp(-2j * np.pi * k[:, None, None] * v)).sum((1, 2))
    np.testing.assert_allclose(
        piecewise_linear.fourier_transform(x, y, k), expected, rtol=0, atol=1e-8
    )
    np.testing.assert_allclose(
        piecewise_linear.fourier_transform(x, y, 1e-9), expected[2], rtol=1e-12
    )


@pytest.mark.parametrize(
    ("x", "y", "match"),
    [
        ([0, 1], [0, 1, 2], "shape"),
        ([0], [1], "shape"),
        ([0, 0, 1], [1, 2, 3], "increase"),
        ([0, 1], [0, np.nan], "finite"),
    ],
)
def test_bad_knots_are_refused(x, y, match):
    for function in (
        lambda: piecewise_linear.fourier_transform(x, y, 1.0),
        lambda: piecewise_linear.from_knots(x, y),
    ):
        with pytest.raises(ValueError, match=match):
            function()


def test_bad_networks_are_refused(network):
    model, params = network
    for other in (
        mlp(2, 4, 2),
        mlp(1, 4, 2, d_out=3),
        mlp(1, 4, 2, activation="tanh"),
        mlp(1, 4, 2, output="sigmoid"),
    ):
        with pytest.raises(ValueError, match="one input"):
            piecewise_linear.knots(other, other.init(jax.random.key(0)))
    with pytest.raises(ValueError, match="start"):
        piecewise_linear.knots(model, params, 1.0, 0.0)
    with pytest.raises(TypeError, match="MLP"):
        piecewise_linear.knots("network", params)
