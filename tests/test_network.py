"""The coordinate network: what its initialisation draws, and what it computes."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import in_float64

from fflib.network import ACTIVATIONS, MLP, OUTPUTS, mlp

KEY = jax.random.key(0)

NUMPY = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "gelu": lambda z: z / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))),
    "softplus": lambda z: np.log1p(np.exp(z)),
    "relu2": lambda z: np.maximum(z, 0) ** 2,
    "sin": np.sin,
    None: lambda z: z,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
}


def by_hand(model, params, x):
    """The network neuron by neuron, from its effective weights, in float64."""
    x = np.asarray(x, float)
    for layer, (W, b) in enumerate(params):
        W, b = np.asarray(W, float), np.asarray(b, float)
        if model.parameterization == "ntk":
            W, b = model.weight_std[layer] * W, model.bias_std[layer] * b
        z = np.array([b[j] + sum(x[i] * W[i, j] for i in range(len(x))) for j in range(len(b))])
        x = NUMPY[model.activation if layer < len(params) - 1 else model.output](z)
    return x


# --- the forward pass


def test_the_list_of_functions_is_covered():
    assert set(NUMPY) == set(ACTIVATIONS) | (set(OUTPUTS) - {"tanh"})


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward_pass_neuron_by_neuron(activation, output):
    model = MLP((3, 5, 4, 2), activation, output, biases=0.5, parameterization="ntk")
    params, x = model.init(KEY), np.float32([0.3, -1.2, 0.7])
    np.testing.assert_allclose(
        model.apply(params, x), by_hand(model, params, x), rtol=1e-4, atol=1e-6
    )


def test_depth_one_is_an_affine_map():
    model = MLP((3, 2), biases=1.0)
    [(W, b)] = params = model.init(KEY)
    x = np.random.default_rng(0).random((5, 3), np.float32)
    np.testing.assert_allclose(model.apply(params, x), x @ W + np.asarray(b)[None], rtol=1e-5)


def test_the_output_function_comes_last():
    model = mlp(2, 8, 3, output="sigmoid")
    params, x = model.init(KEY), np.float32([[0.1, 0.9], [3.0, -4.0]])
    z = dataclasses.replace(model, output=None).apply(params, x)
    np.testing.assert_allclose(model.apply(params, x), 1 / (1 + np.exp(-z)), rtol=1e-5)


def test_a_model_can_be_called():
    model = mlp(2, 8, 3)
    params, x = model.init(KEY), np.ones((4, 2), np.float32)
    np.testing.assert_array_equal(model(params, x), model.apply(params, x))


def test_leading_axes_of_the_input():
    model = mlp(2, 8, 3, d_out=3)
    params = model.init(KEY)
    x = np.random.default_rng(0).normal(size=(4, 5, 2)).astype(np.float32)
    y = model.apply(params, x)
    assert y.shape == (4, 5, 3)
    np.testing.assert_allclose(y[2, 3], model.apply(params, x[2, 3]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        jax.vmap(lambda v: model.apply(params, v))(x[0]), y[0], rtol=1e-5, atol=1e-6
    )


def test_relu_network_without_biases_is_positively_homogeneous():
    model = mlp(3, 16, 4, d_out=2)
    params, x = model.init(KEY), np.float32([[0.2, -0.4, 1.0]])
    np.testing.assert_allclose(model.apply(params, 7 * x), 7 * model.apply(params, x), rtol=1e-4)
    assert np.abs(model.apply(params, -x) + model.apply(params, x)).max() > 1e-3  # but not odd


def test_relu_network_is_piecewise_linear():
    """Second differences on a fine grid vanish, except next to the few kinks."""
    model = mlp(1, 6, 3, biases=1.0, weights="he")
    x = np.linspace(-2, 2, 4001)[:, None]
    y = in_float64(model.apply, model.init(KEY), x)[:, 0]
    bent = np.abs(np.diff(y, 2)) > 1e-12
    assert 2 <= bent.sum() <= 2 * (6 + 6 * 7)


def test_float32_agrees_with_float64():
    model = mlp(4, 64, 4, d_out=3, weights="he", biases=0.1)
    params, x = model.init(KEY), np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    exact = in_float64(model.apply, params, x)
    assert exact.dtype == np.float64
    np.testing.assert_allclose(model.apply(params, x), exact, atol=1e-5 * np.abs(exact).max())


# --- the initialisation


RULES = {
    "glorot": (math.sqrt(2 / 500), math.sqrt(2 / 500), math.sqrt(2 / 303)),
    "lecun": (math.sqrt(1 / 200), math.sqrt(1 / 300), math.sqrt(1 / 300)),
    "he": (math.sqrt(2 / 200), math.sqrt(2 / 300), math.sqrt(2 / 300)),
    0.3: (0.3, 0.3, 0.3),
    (0.1, 0.2, 0.4): (0.1, 0.2, 0.4),
}
SIZES = {"glorot": (200, 300, 200, 103)}


@pytest.mark.parametrize("weights", RULES, ids=str)
def test_deviation_of_every_layer(weights):
    """The stated deviation, and what is drawn: mean, deviation and normal tails of every layer."""
    model = MLP(SIZES.get(weights, (200, 300, 300, 50)), weights=weights, biases=(0.0, 0.01, 2.0))
    np.testing.assert_allclose(model.weight_std, RULES[weights], rtol=1e-12)
    assert model.bias_std == (0.0, 0.01, 2.0)
    for (W, b), s, t in zip(model.init(KEY), model.weight_std, model.bias_std, strict=True):
        W, b = np.asarray(W, float), np.asarray(b, float)
        assert abs(W.mean()) < 4 * s / math.sqrt(W.size)
        assert abs(W.std() / s - 1) < 4 / math.sqrt(2 * W.size)
        assert abs((W**4).mean() / s**4 - 3) < 4 * math.sqrt(96 / W.size)
        assert (b == 0).all() if t == 0 else abs(b.std() / t - 1) < 4 / math.sqrt(2 * b.size)


def test_he_keeps_the_size_of_the_signal():
    """E[relu(z)²] = E[z²]/2, so √(2/in) keeps ‖a‖²/n from layer to layer; √(1/in) halves it."""
    x = np.random.default_rng(0).normal(size=(1, 1000)).astype(np.float32)
    for rule, factor in (("he", 1.0), ("lecun", 0.5)):
        a = [x]
        for W, _ in mlp(1000, 1000, 4, 1000, weights=rule).init(KEY)[:-1]:
            a.append(np.maximum(a[-1] @ np.asarray(W), 0))
        ratios = [float((q**2).mean() / (p**2).mean()) for p, q in itertools.pairwise(a)]
        np.testing.assert_allclose(ratios, factor, rtol=0.25)


def test_ntk_parameterization_draws_unit_normals():
    model = MLP((200, 300, 50), weights=0.01, biases=0.0, parameterization="ntk")
    for W, b in model.init(KEY):
        assert abs(np.std(W) - 1) < 4 / math.sqrt(2 * W.size)
        assert abs(np.std(b) - 1) < 4 / math.sqrt(2 * b.size)


@pytest.mark.parametrize("weights", ["glorot", (1.0, 0.5, 2.0)], ids=str)
def test_both_parameterizations_are_the_same_functions(weights):
    """From one key, and from parameters matched by hand; only what training does to them differs."""
    ntk = MLP((3, 7, 6, 2), weights=weights, biases=(0.3, 0.0, 1.0), parameterization="ntk")
    standard = dataclasses.replace(ntk, parameterization="standard")
    x = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    np.testing.assert_allclose(
        ntk.apply(ntk.init(KEY), x), standard.apply(standard.init(KEY), x), rtol=1e-4, atol=1e-6
    )
    params = [(W + 1, b - 1) for W, b in ntk.init(jax.random.key(5))]
    matched = [
        (s * W, t * b) for (W, b), s, t in zip(params, ntk.weight_std, ntk.bias_std, strict=True)
    ]
    np.testing.assert_allclose(
        ntk.apply(params, x), standard.apply(matched, x), rtol=1e-4, atol=1e-5
    )

    # the gradient in W carries one factor s, and the gradient in b one factor t
    def gradient(model, p):
        return jax.grad(lambda q: model.apply(q, x).sum())(p)

    for (gW, gb), (hW, hb), s, t in zip(
        gradient(ntk, params),
        gradient(standard, matched),
        ntk.weight_std,
        ntk.bias_std,
        strict=True,
    ):
        np.testing.assert_allclose(gW, s * hW, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(gb, t * hb, rtol=1e-3, atol=1e-4)


def test_keys_decide_and_layers_are_independent():
    model = MLP((20, 20, 20), biases=1.0)
    (W1, b1), (W2, b2) = model.init(KEY)
    for again, first in zip(jax.tree.leaves(model.init(KEY)), (W1, b1, W2, b2), strict=True):
        np.testing.assert_array_equal(again, first)
    assert abs(np.corrcoef(W1.ravel(), W2.ravel())[0, 1]) < 0.2
    assert abs(np.corrcoef(b1, b2)[0, 1]) < 0.9 and abs(np.corrcoef(W1[0], b1)[0, 1]) < 0.9
    assert not np.array_equal(model.init(jax.random.key(1))[0][0], W1)


def test_an_ensemble_is_a_vmap_over_keys():
    model, keys = mlp(2, 5, 3), jax.random.split(KEY, 4)
    many = jax.vmap(model.init)(keys)
    np.testing.assert_allclose(many[1][0][2], model.init(keys[2])[1][0], rtol=1e-6)


# --- the spec


def test_depth_counts_the_output_layer():
    model = mlp(2, 256, 4, 3)
    assert model.sizes == (2, 256, 256, 256, 3)
    assert model.depth == 4 and model.fans == ((2, 256), (256, 256), (256, 256), (256, 3))
    assert mlp(5, 9, 1).sizes == (5, 1)


def test_num_params_counts_what_init_draws():
    model = mlp(2, 256, 4, 3)
    assert model.num_params == sum(leaf.size for leaf in jax.tree.leaves(model.init(KEY)))
    assert model.num_params == 2 * 256 + 256 + 2 * (256 * 256 + 256) + 256 * 3 + 3
    assert [W.shape for W, _ in model.init(KEY)] == list(model.fans)
    assert [b.shape for _, b in model.init(KEY)] == [(256,), (256,), (256,), (3,)]


def test_specs_are_frozen_hashable_values():
    a, b = MLP([2, 8, 1], weights=[1, 2], biases=1), MLP((2, 8, 1), weights=(1.0, 2.0), biases=1.0)
    assert a == b and hash(a) == hash(b) and a != mlp(2, 9, 2)
    assert a.weight_std == (1.0, 2.0) and a.bias_std == (1.0, 1.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        a.sizes = (1, 1)


def test_mlp_passes_the_rest_of_the_spec_on():
    model = mlp(
        2, 8, 2, output="tanh", activation="sin", weights="he", biases=0.1, parameterization="ntk"
    )
    assert model == MLP((2, 8, 1), "sin", "tanh", "he", 0.1, "ntk")


def test_gradients_through_jit():
    model = mlp(2, 8, 3)
    params, x = model.init(KEY), jnp.ones((3, 2))

    def loss(p):
        return (model.apply(p, x) ** 2).sum()

    for ours, jitted in zip(
        jax.tree.leaves(jax.grad(loss)(params)),
        jax.tree.leaves(jax.jit(jax.grad(loss))(params)),
        strict=True,
    ):
        np.testing.assert_allclose(ours, jitted, rtol=1e-4, atol=1e-6)
