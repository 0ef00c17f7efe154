"""Kernel regression, the closed-form kernels of ReLU networks and the kernel of one network.

The closed forms are compared with three things that know nothing of them: the textbook recursion in
float64 (oracles.py), automatic differentiation of drawn networks, and their outputs.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import arccos_ntk, central_difference, in_float64, x64
from refusal import assert_refused
from scipy.stats import multivariate_normal

from fflib import features
from fflib.network import MLP, mlp
from fflib.theory import kernels

KEY = jax.random.key(0)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


MODELS = {
    "one layer": MLP((3, 1), weights=0.7, biases=0.4),
    "shallow he": mlp(3, 32, 2, weights="he"),
    "shallow, ntk": mlp(3, 32, 2, weights="lecun", biases=0.3, parameterization="ntk"),
    "deep glorot": mlp(3, 64, 5, weights="glorot", biases=0.01),
    "deep he, ntk": mlp(3, 64, 6, weights="he", parameterization="ntk"),
    "unequal": MLP((3, 8, 32, 16, 2), weights=(1.1, 0.3, 0.2, 0.5), biases=(0.2, 0.0, 0.5, 1.0)),
    "unequal, ntk": MLP(
        (3, 8, 32, 16, 2),
        weights=(1.1, 0.3, 0.2, 0.5),
        biases=(0.0, 0.7, 0.5, 0.1),
        parameterization="ntk",
    ),
}


@pytest.fixture(params=MODELS, ids=str)
def model(request):
    return MODELS[request.param]


# --------------------------------------------------------------------------------------------------
# Kernel regression


def test_gaussian_kernel_entry_by_entry():
    x1, x2, width = normal(4, 3), normal(5, 3, seed=1), 0.8
    wanted = [
        [
            math.exp(
                -sum((float(p) - float(q)) ** 2 for p, q in zip(a, b, strict=True)) / (2 * width**2)
            )
            for b in x2
        ]
        for a in x1
    ]
    np.testing.assert_allclose(kernels.gaussian_kernel(x1, x2, width), wanted, rtol=1e-5)
    np.testing.assert_array_equal(np.diag(kernels.gaussian_kernel(x1, x1, width)), 1.0)


def test_rows_are_the_same_in_small_and_large_pieces():
    """More points than one piece holds, and a remainder."""
    x1, x2 = normal(37, 400), normal(300, 400, seed=1)
    whole = kernels.gaussian_kernel(x1, x2, 20.0)
    assert 2**20 // x2.size < 37 and 37 % (2**20 // x2.size)
    np.testing.assert_allclose(
        whole, np.exp(-((x1[:, None].astype(float) - x2) ** 2).sum(-1) / 800), rtol=1e-4
    )


@pytest.mark.parametrize("columns", [(), (3,)], ids=["one", "several"])
def test_kernel_regression_solves_the_system(columns):
    x, y = normal(12, 2), normal(12, *columns, seed=1)
    K = in_float64(lambda x: kernels.gaussian_kernel(x, x, 0.5), x)
    weights = in_float64(lambda K, y: kernels.kernel_regression(K, y, 1e-3), K, y)
    assert weights.dtype == np.float64
    np.testing.assert_allclose(weights, np.linalg.solve(K + 1e-3 * np.eye(12), y), rtol=1e-9)
    np.testing.assert_allclose(
        kernels.kernel_regression(K.astype(np.float32), y, 1e-3),
        weights,
        atol=1e-3 * np.abs(weights).max(),
    )


def test_without_jitter_it_interpolates():
    x, y = normal(12, 2), normal(12, 2, seed=1)
    K = kernels.gaussian_kernel(x, x, 0.5)
    np.testing.assert_allclose(K @ kernels.kernel_regression(K, y), y, atol=1e-4)


def test_jitter_is_ridge_regression_in_feature_space():
    """γ(v*)ᵀ(ΓᵀΓ + λI)⁻¹Γᵀy = K*(K + λI)⁻¹y with K = ΓΓᵀ: weight decay is the jitter."""
    mapping, ridge = features.power_law(4, 0.5), 0.3
    v, v_test, y = (
        np.random.default_rng(0).random((20, 1)),
        np.linspace(0, 1, 7)[:, None],
        normal(20, seed=1),
    )
    G, G_test = in_float64(lambda g, *vs: tuple(g(v) for v in vs), mapping, v, v_test)
    by_features = G_test @ np.linalg.solve(G.T @ G + ridge * np.eye(8), G.T @ y)
    weights = in_float64(lambda K, y: kernels.kernel_regression(K, y, ridge), G @ G.T, y)
    np.testing.assert_allclose(G_test @ G.T @ weights, by_features, rtol=1e-9)


def test_kernel_regression_under_jit_and_grad():
    x, y = normal(6, 2), normal(6, seed=1)
    K = kernels.gaussian_kernel(x, x, 1.0)
    direct = kernels.kernel_regression(K, y, 0.1)
    np.testing.assert_allclose(
        jax.jit(lambda K, y: kernels.kernel_regression(K, y, 0.1))(K, y), direct, rtol=1e-4
    )
    slope = jax.grad(lambda jitter: kernels.kernel_regression(K, y, jitter).sum())(0.1)
    A = np.linalg.inv(np.asarray(K, float) + 0.1 * np.eye(6))
    np.testing.assert_allclose(slope, -(A @ A @ y).sum(), rtol=1e-3)


# --------------------------------------------------------------------------------------------------
# Uncertainty


def process(n=30, m=8, columns=(), seed=0):
    """Covariances of a Gaussian process among n points and m new ones, values, and the noise;
    float64.
    """
    rng = np.random.default_rng(seed)
    x = np.sort(rng.random((n + m, 1)), 0)[rng.permutation(n + m)]
    K = 1.7 * np.exp(-((x - x.T) ** 2) / (2 * 0.15**2))
    return x, K, rng.normal(size=(n, *columns)), 0.2


def test_predictive_variance_is_that_of_the_conditional_gaussian():
    """Against the block of the joint precision matrix: (Λ**)⁻¹ is the covariance given the rest."""
    _, K, _y, noise = process()
    joint = K + np.diag(np.r_[np.full(30, noise), np.full(8, 1e-9)])
    conditional = np.linalg.inv(np.linalg.inv(joint)[30:, 30:])
    found = in_float64(
        lambda K: kernels.predictive_variance(K[:30, :30], K[30:, :30], jnp.diag(K)[30:], noise), K
    )
    np.testing.assert_allclose(found, np.diag(conditional), rtol=1e-6, atol=1e-8)
    one = in_float64(
        lambda K: kernels.predictive_variance(K[:30, :30], K[30:, :30], jnp.asarray(1.7), noise), K
    )
    np.testing.assert_allclose(one, found, rtol=1e-12)


def test_variance_falls_with_every_observation_and_returns_to_the_prior_far_away():
    _, K, *_ = process()
    before = np.full(8, 1.7)
    for n in (1, 5, 20, 30):
        now = in_float64(
            lambda K: kernels.predictive_variance(K[:n, :n], K[30:, :n], jnp.asarray(1.7), 0.2), K
        )
        assert (now <= before + 1e-12).all()
        before = now
    far = kernels.predictive_variance(np.eye(3), np.zeros((2, 3)), np.ones(2), 0.1)
    np.testing.assert_array_equal(far, 1.0)


@pytest.mark.parametrize("columns", [(), (3,)], ids=str)
def test_log_marginal_likelihood_is_the_density_of_scipy(columns):
    _, K, y, noise = process(columns=columns)
    K = K[:30, :30]
    normal = multivariate_normal(np.zeros(30), K + noise * np.eye(30))
    found = in_float64(lambda K, y: kernels.log_marginal_likelihood(K, y, noise), K, y)
    np.testing.assert_allclose(found, normal.logpdf(y.T).sum(), rtol=1e-9)


def scaled(x1, x2, p):
    return p["power"] * kernels.gaussian_kernel(x1, x2, p["width"])


def test_fitted_numbers_have_no_slope_and_agree_with_sklearn():
    """∂ log p(y)/∂ log of every number vanishes; scikit-learn, with gradients of its own, finds
    them too.
    """
    gp = pytest.importorskip("sklearn.gaussian_process")
    rng = np.random.default_rng(1)
    x = np.sort(rng.random((40, 1)), 0)
    y = np.sin(9 * x[:, 0]) + 0.3 * rng.normal(size=40)
    start = {"width": 0.3, "power": 1.0, "noise": 0.5}
    with x64(True):
        p, value = kernels.fit_kernel(scaled, jnp.asarray(x), jnp.asarray(y), start)
        slope = jax.grad(
            lambda p: kernels.log_marginal_likelihood(
                scaled(jnp.asarray(x), jnp.asarray(x), p), y, p["noise"]
            )
        )(p)
    assert max(abs(float(slope[name] * p[name])) for name in p) < 1e-4
    k = gp.kernels
    theirs = gp.GaussianProcessRegressor(
        k.ConstantKernel(1.0) * k.RBF(0.3) + k.WhiteKernel(0.5)
    ).fit(x, y)
    np.testing.assert_allclose(value, theirs.log_marginal_likelihood_value_, atol=1e-4)
    ours = [p["power"], p["width"], p["noise"]]
    np.testing.assert_allclose(ours, np.exp(theirs.kernel_.theta), rtol=1e-2)


def test_fitted_numbers_in_float32_and_without_sklearn():
    """The likelihood found is above that of the truth the values were drawn from, in float32 too."""
    x, K, *_ = process(60, 1, seed=3)
    truth = {"width": 0.15, "power": 1.7, "noise": 0.2}
    joint = np.linalg.cholesky(K + 0.2 * np.eye(61))
    y = joint @ np.random.default_rng(4).normal(size=61)
    x, y = x.astype(np.float32), y.astype(np.float32)
    p, value = kernels.fit_kernel(scaled, x, y, {"width": 0.3, "power": 1.0, "noise": 0.5})
    assert value >= kernels.log_marginal_likelihood(scaled(x, x, truth), y, truth["noise"]) - 0.01
    assert 0.5 < p["width"] / truth["width"] < 2 and 0.5 < p["noise"] / truth["noise"] < 2


def test_bands_cover_what_they_say():
    """95 % bands of fitted kernels hold 95 % of new observations: 40 draws of a process, 20 new
    points each, within 4 standard errors of a mean over draws; half as wide bands do not."""
    off = []
    for seed in range(40):
        x, K, *_ = process(50, 20, seed=seed)
        y = np.linalg.cholesky(K + 0.2 * np.eye(70)) @ np.random.default_rng(seed).normal(size=70)
        x, y = x.astype(np.float32), y.astype(np.float32)
        p, _ = kernels.fit_kernel(
            scaled, x[:50], y[:50], {"width": 0.3, "power": 1.0, "noise": 0.5}
        )
        K, K_test = scaled(x[:50], x[:50], p), scaled(x[50:], x[:50], p)
        mean = K_test @ kernels.kernel_regression(K, y[:50], p["noise"])
        variance = kernels.predictive_variance(K, K_test, jnp.asarray(p["power"]), p["noise"])
        off.append(np.abs(y[50:] - mean) / np.sqrt(variance + p["noise"]))
    off = np.array(off)
    inside, narrow = (off < 1.96).mean(1), (off < 0.98).mean(1)
    error = inside.std(ddof=1) / np.sqrt(40)
    assert abs(inside.mean() - 0.95) < 4 * error < 0.08
    assert narrow.mean() < 0.95 - 8 * error


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        (lambda: kernels.predictive_variance(np.eye(3), np.ones((2, 4)), 1.0, 0.1), ["K_test", "(n, 3)"]),
        (lambda: kernels.predictive_variance(np.eye(3), np.ones((2, 3)), np.ones(3), 0.1), ["k_test", "(2,)", "(3,)"]),
        (lambda: kernels.predictive_variance(np.eye(3), np.ones((2, 3)), 1.0, -0.1), ["jitter", ">= 0"]),
        (lambda: kernels.log_marginal_likelihood(np.ones((3, 3)), np.ones(3), 0.0), ["positive definite"]),
        (lambda: kernels.fit_kernel(scaled, np.ones((3, 1)), np.ones(3), {"width": 0.0, "power": 1.0, "noise": 1.0}), ["start['width']", "> 0"]),
    ],
)  # fmt: skip
def test_uncertainty_refuses(call, parts):
    assert_refused(call, ValueError, parts)


# --------------------------------------------------------------------------------------------------
# The closed forms: values


def test_closed_forms_against_the_textbook(model):
    """float64: to 1e-8 of the textbook recursion; float32: to 1e-5 of it, K's own scale."""
    x1, x2 = normal(6, 3), normal(6, 3, seed=1)
    wanted = arccos_ntk(model, x1, x2)
    exact = in_float64(lambda a, b: kernels.ntk(model, a, b), x1, x2)
    np.testing.assert_allclose(exact, wanted, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(
        kernels.ntk(model, x1, x2), wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max()
    )


@pytest.mark.parametrize("parameterization", ["standard", "ntk"])
@pytest.mark.parametrize("depth", [2, 3, 8])
@pytest.mark.parametrize("width", [1, 1024])
def test_every_depth_and_width(depth, width, parameterization):
    model = mlp(2, width, depth, weights="glorot", biases=0.1, parameterization=parameterization)
    x = normal(7, 2)
    wanted = arccos_ntk(model, x, x)
    np.testing.assert_allclose(kernels.ntk(model, x), wanted, rtol=1e-5, atol=2e-5 * wanted.max())


def test_depth_one_is_linear_regression():
    x = normal(5, 3)
    np.testing.assert_allclose(kernels.ntk(MLP((3, 1)), x), x @ x.T + 1, rtol=1e-5, atol=1e-6)


def test_one_hidden_layer_written_out():
    """At θ = 0, π/2 and π, where arccos needs no table: n units, He weights, no biases, unit
    inputs.
    """
    n = 10
    K = kernels.ntk(
        mlp(2, n, 2, weights="he"), np.float32([[1, 0]]), np.float32([[1, 0], [0, 1], [-1, 0]])
    )[0]
    E, slope = (
        np.array([0.5, 1 / (2 * math.pi), 0.0]),
        np.array([0.5, 0.25, 0.0]),
    )  # for a ~ N(0, 1)
    np.testing.assert_allclose(K, n * E + 1 + 2 * slope * (np.array([1, 0, -1]) + 1), rtol=1e-6)


def draw(model, seeds, function):
    """function(params) over many initialisations, one at a time inside one compiled loop."""
    return np.asarray(
        jax.jit(lambda keys: jax.lax.map(lambda k: function(model.init(k)), keys, batch_size=32))(
            seeds
        )
    )


def one_ntk(model, params, x):
    """⟨∂f/∂θ, ∂f/∂θ⟩ of the first output, written out."""
    J = jax.jacrev(lambda p: model.apply(p, x)[:, 0])(params)
    return sum(j.reshape(len(x), -1) @ j.reshape(len(x), -1).T for j in jax.tree.leaves(J))


@pytest.mark.parametrize("parameterization", ["standard", "ntk"])
def test_monte_carlo_of_one_hidden_layer(parameterization):
    """With one hidden layer the closed form is exact at any width: the mean over seeds must agree
    within its own standard error, every entry, with unequal deviations."""
    model = MLP(
        (3, 16, 2), weights=(0.9, 0.4), biases=(0.5, 0.3), parameterization=parameterization
    )
    x, seeds = normal(5, 3), jax.random.split(KEY, 4000)
    samples = draw(model, seeds, lambda p: one_ntk(model, p, x))
    mean, error = samples.mean(0), samples.std(0) / math.sqrt(len(samples))
    wanted = kernels.ntk(model, x)
    assert (error / np.abs(wanted).max() < 0.03).all()  # the test is sharp
    assert (np.abs(mean - wanted) < 4.5 * error).all()


@pytest.mark.parametrize("parameterization", ["standard", "ntk"])
def test_monte_carlo_of_a_deep_network(parameterization):
    """Three hidden layers: within standard error plus the 1/width correction that the limit drops."""
    width = 128
    model = mlp(3, width, 4, weights="he", biases=0.2, parameterization=parameterization)
    x = normal(4, 3)
    samples = draw(model, jax.random.split(KEY, 64), lambda p: one_ntk(model, p, x))
    K = np.asarray(kernels.ntk(model, x))
    error = samples.std(0) / math.sqrt(len(samples))
    assert (error < 0.08 * K.max()).all()
    assert (np.abs(samples.mean(0) - K) < 4 * error + 4 / width * K.max()).all()


def test_empirical_kernel_approaches_the_closed_form():
    """The kernel of one network is a mean over its units: ‖K_empirical − K‖/‖K‖ falls as
    width^−1/2.
    """
    x, widths, errors = normal(5, 2), np.array([16, 256]), []
    for width in widths:
        model = mlp(2, int(width), 2, weights="he", biases=0.1, parameterization="ntk")
        K = np.asarray(kernels.ntk(model, x))
        found = draw(model, jax.random.split(KEY, 320), lambda p, m=model: one_ntk(m, p, x))
        errors.append(math.sqrt(((found - K) ** 2).sum((1, 2)).mean() / (K**2).sum()))
    assert abs(np.polyfit(np.log(widths), np.log(errors), 1)[0] + 0.5) < 0.05
    assert errors[-1] < 0.15


# --------------------------------------------------------------------------------------------------
# The closed forms: identities


def test_symmetric_and_positive_semidefinite(model):
    x = normal(6, 3)
    x[5] = x[3]  # a repeated point
    K = np.asarray(kernels.ntk(model, x), float)
    np.testing.assert_allclose(K, K.T, rtol=1e-6, atol=1e-6 * K.max())
    assert np.linalg.eigvalsh(K)[0] > -1e-5 * K.max()
    np.testing.assert_array_equal(K[5], K[3])


def test_one_argument_means_both(model):
    x = normal(6, 3)
    np.testing.assert_array_equal(kernels.ntk(model, x), kernels.ntk(model, x, x))
    order = [4, 0, 3, 3, 5, 1]
    np.testing.assert_allclose(
        kernels.ntk(model, x, x[order]), kernels.ntk(model, x)[:, order], rtol=1e-5, atol=1e-6
    )


def test_rotating_the_inputs_changes_nothing(model):
    R = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0].astype(np.float32)
    x = normal(6, 3)
    K = kernels.ntk(model, x)
    np.testing.assert_allclose(kernels.ntk(model, x @ R), K, rtol=1e-4, atol=1e-5 * float(K.max()))


def test_without_biases_the_kernel_is_homogeneous():
    """NTK parameterization without bias: K(cx, c'x') = c c' K(x, x')."""
    model, x = MODELS["deep he, ntk"], normal(6, 3)
    c = np.float32([0.1, 1, 2, 5, 0.3, 30])[:, None]
    np.testing.assert_allclose(
        kernels.ntk(model, c * x), c * c.T * kernels.ntk(model, x), rtol=1e-5
    )


def test_standard_parameterization_grows_with_width():
    """He weights: K is affine in the width, so η ∝ 1/width keeps the dynamics; the NTK one has a
    limit.
    """
    x, widths = normal(5, 3), (64, 128, 256)
    K = {
        p: [
            np.asarray(kernels.ntk(mlp(3, w, 4, weights="he", biases=0.1, parameterization=p), x))
            for w in widths
        ]
        for p in ("standard", "ntk")
    }
    small, middle, large = K["standard"]
    np.testing.assert_allclose(large - middle, 2 * (middle - small), rtol=1e-3)
    assert (np.diag(large) > 1.8 * np.diag(middle)).all()
    for other in K["ntk"][1:]:
        np.testing.assert_allclose(other, K["ntk"][0], rtol=1e-5)


def test_outputs_count_only_through_the_glorot_deviation():
    x = normal(4, 3)
    one, three = (kernels.ntk(mlp(3, 32, 3, o, weights="he"), x) for o in (1, 3))
    np.testing.assert_array_equal(one, three)
    assert not np.allclose(
        kernels.ntk(mlp(3, 32, 3, 1), x), kernels.ntk(mlp(3, 32, 3, 300), x), rtol=1e-3
    )


def test_last_bias_adds_a_constant():
    x = normal(4, 3)
    K = [
        kernels.ntk(MLP((3, 16, 1), weights="he", biases=(0.3, t), parameterization="ntk"), x)
        for t in (0.0, 2.0)
    ]
    np.testing.assert_allclose(K[1] - K[0], 4.0, rtol=1e-5)


@pytest.mark.parametrize("parameterization", ["standard", "ntk"])
def test_zero_input_is_the_limit_of_a_small_bias(parameterization):
    x = np.concatenate([normal(3, 3), np.zeros((2, 3), np.float32)])
    spec = dict(weights="he", parameterization=parameterization)
    K = np.asarray(kernels.ntk(mlp(3, 16, 4, biases=0.0, **spec), x))
    near = in_float64(lambda x: kernels.ntk(mlp(3, 16, 4, biases=(1e-7, 0, 0, 0), **spec), x), x)
    np.testing.assert_allclose(K, near, rtol=1e-5, atol=1e-5)


def test_dead_network_has_the_kernel_of_its_last_bias():
    """All weights 0, biases 0: only ∂f/∂b of the output is left."""
    K = kernels.ntk(mlp(3, 16, 3, weights=0.0), normal(4, 3))
    np.testing.assert_allclose(K, 1.0)
    assert np.isfinite(
        jax.grad(lambda x: kernels.ntk(mlp(3, 16, 3, weights=0.0), x).sum())(normal(4, 3))
    ).all()


# --------------------------------------------------------------------------------------------------
# The closed form on Fourier features


@pytest.mark.parametrize(
    "mapping",
    [
        features.gaussian(KEY, 12, 2, 2.0),
        features.positional(8, 2, 3.0),
        features.gaussian(KEY, 12, 2, 1.0).normalized(),
    ],
    ids=["gaussian", "positional", "normalised"],
)
@pytest.mark.parametrize("parameterization", ["standard", "ntk"])
def test_stationary_kernel_is_the_kernel_of_the_features(mapping, parameterization):
    model = mlp(
        mapping.num_features, 64, 4, weights="lecun", biases=0.2, parameterization=parameterization
    )
    v = np.random.default_rng(0).random((8, 2)).astype(np.float32)
    delta = v[:, None] - v
    K = kernels.ntk_stationary(model, mapping, delta)
    assert K.shape == (8, 8)
    np.testing.assert_allclose(K, kernels.ntk(model, mapping(v)), rtol=2e-5)
    exact = in_float64(lambda g, d: kernels.ntk_stationary(model, g, d), mapping, delta)
    np.testing.assert_allclose(K, exact, rtol=2e-5)
    textbook = arccos_ntk(
        model,
        in_float64(lambda g, v: g(v), mapping, v),
        in_float64(lambda g, v: g(v), mapping, v + 0.31),
    )
    shifted = in_float64(lambda g, d: kernels.ntk_stationary(model, g, d), mapping, delta - 0.31)
    np.testing.assert_allclose(shifted, textbook, rtol=1e-6)


def test_stationary_kernel_is_even_and_largest_at_zero():
    mapping = features.gaussian(KEY, 12, 2, 2.0)
    model = mlp(24, 64, 3, weights="he")
    delta = normal(50, 2)
    K = kernels.ntk_stationary(model, mapping, delta)
    np.testing.assert_allclose(kernels.ntk_stationary(model, mapping, -delta), K, rtol=1e-6)
    assert (K < kernels.ntk_stationary(model, mapping, np.zeros(2, np.float32))).all()
    assert kernels.ntk_stationary(model, mapping, delta[0]).shape == ()


# --------------------------------------------------------------------------------------------------
# Close points and cusps: float32 values and gradients keep their digits

DISTANCES = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
SEEDS = 4
X, Z = normal(2, 4)
NEAR_X = np.float32(X + 1e-3 * normal(4, seed=6))
PAIRS = {
    "far": (X, Z),
    "near": (X, NEAR_X),
    "coincident": (X, X),
    "same direction": (X, 2 * X),
    "antipodal": (X, -X),
    "opposite direction": (X, -3 * X),
    "nearly antipodal": (X, -NEAR_X),
    "orthogonal": (np.float32([1, 0, 0, 0]), np.float32([0, 2, 0, 0])),
    "zero": (np.zeros(4, np.float32), Z),
    "zero and small": (np.zeros(4, np.float32), np.float32(1e-3 * Z)),
}
CLOSE = {
    "no bias": mlp(4, 64, 3, weights="he"),
    "bias": mlp(4, 64, 3, weights="he", biases=0.3),
    "bias, ntk": mlp(4, 64, 3, weights="he", biases=0.3, parameterization="ntk"),
}


def apart(distance, seed):
    """A point and one at about this distance, both exact in float32."""
    rng = np.random.default_rng(seed)
    x, u = rng.normal(size=(2, 4))
    return np.float32(x), np.float32(x + distance * u / np.linalg.norm(u))


ALL = {
    (distance, seed): apart(distance, seed) for distance in DISTANCES for seed in range(SEEDS)
} | PAIRS
ROW = {name: i for i, name in enumerate(ALL)}


@functools.cache
def measured(spec):
    """Of all pairs: values and gradients in float32 and float64, and float64 central differences."""
    model, d, step = CLOSE[spec], 4, 1e-7
    x, y = (np.stack([pair[i] for pair in ALL.values()]) for i in (0, 1))

    def pair(z):
        return kernels.ntk(model, z[None, :d], z[None, d:])[0]

    slope_and_value = jax.jit(jax.vmap(jax.jacrev(lambda z: (pair(z),) * 2, has_aux=True)))
    z = np.concatenate([x, y], 1)
    slope, value = map(np.asarray, slope_and_value(z))
    exact_slope, exact_value = in_float64(slope_and_value, z)
    moved = z[:, None, None] + step * np.stack(
        [np.eye(2 * d), -np.eye(2 * d)], 1
    )  # (pairs, coordinates, 2, 2d)
    there = in_float64(jax.jit(jax.vmap(pair)), moved.reshape(-1, 2 * d)).reshape(
        len(z), 2 * d, 2, 1
    )
    difference = np.moveaxis(there[:, :, 0] - there[:, :, 1], 1, 2) / (2 * step)
    return {
        "value": value,
        "slope": slope,
        "exact value": exact_value,
        "exact slope": exact_slope,
        "difference": difference,
    }


def relative(ours, wanted):
    """Relative errors of vectors along the last axis."""
    return np.linalg.norm(ours - wanted, axis=-1) / np.linalg.norm(wanted, axis=-1)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("spec", CLOSE)
def test_values_and_gradients_of_close_points(spec, distance):
    """Relative 1e-5 in value, 1e-4 in gradient, against float64 at the same two points."""
    found = measured(spec)
    for seed in range(SEEDS):
        i = ROW[distance, seed]
        x, y = ALL[distance, seed]
        textbook = np.ravel(arccos_ntk(CLOSE[spec], x[None], y[None]))
        np.testing.assert_allclose(found["exact value"][i], textbook, rtol=1e-6)
        np.testing.assert_allclose(found["value"][i], textbook, rtol=1e-5)
        assert (relative(found["slope"][i], found["exact slope"][i]) < 1e-4).all()


def test_the_usual_arccos_form_does_lose_them():
    """Why the library does not use it: its float32 value is off by 3e-5 and more, its slope not
    finite.
    """
    model, worst = mlp(4, 64, 4, weights="he"), 0.0
    for seed in range(8):
        x, y = apart(1e-4, seed)
        usual = arccos_ntk(model, x[None], y[None], np.float32)[0, 0]
        worst = max(worst, abs(usual / arccos_ntk(model, x[None], y[None])[0, 0] - 1))
    assert worst > 3e-5
    assert not np.isfinite(jax.grad(lambda c: jnp.arccos(jnp.clip(c, -1, 1)))(1.0))


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("spec", CLOSE)
def test_gradients_are_central_differences(spec, name):
    """float32 gradients in both inputs against float64 differences, to 1e-3. At
    coincident and antipodal points the kernel has a cusp: both give the mean of its two sides."""
    found, i = measured(spec), ROW[name]
    ours, wanted = found["slope"][i], found["difference"][i]
    assert np.isfinite(ours).all()
    if "zero" in name and spec == "no bias":
        # not differentiable in the zero vector, but in the other input
        ours, wanted = ours[:, 4:], wanted[:, 4:]
        np.testing.assert_allclose(ours, wanted, atol=1e-5)
        return
    for side in (slice(0, 4), slice(4, 8)):
        scale = np.linalg.norm(wanted, axis=-1, keepdims=True)
        error = np.abs(ours[:, side] - wanted[:, side])
        assert (error <= 1e-3 * scale).all(), (ours, wanted)


@pytest.mark.parametrize("spec", CLOSE)
def test_gradient_of_the_diagonal(spec):
    """K(x, x) is smooth: both arguments move together and no cusp is crossed."""

    def k(a):
        return kernels.ntk(CLOSE[spec], a[None])[0, 0]

    assert relative(jax.jit(jax.grad(k))(X), central_difference(jax.jit(k), X)) < 1e-3


# --- in the mapping, through the stationary kernel

OFFSETS = [0.0, 1e-6, 1e-4, 0.013, 0.25, 0.5]  # 0 is a cusp; with odd frequencies ½ is antipodal


@functools.cache
def stationary(parameterization):
    model = mlp(6, 64, 3, weights="he", biases=0.2, parameterization=parameterization)

    def f(a, B, d):
        return kernels.ntk_stationary(model, features.Mapping(a, B), d)

    return jax.jit(f), jax.jit(jax.value_and_grad(f, (0, 1, 2)))


@pytest.mark.parametrize("parameterization", ["standard", "ntk"])
@pytest.mark.parametrize("offset", OFFSETS)
def test_gradients_in_the_mapping(offset, parameterization):
    """In a, B and Δ: float32 gradients against float64 central differences."""
    f, value_and_grad = stationary(parameterization)
    given = np.float32([1.0, 0.7, 0.4]), np.float32([[1.0], [3.0], [5.0]]), np.float32([offset])
    wide = [z.astype(float) for z in given]
    value, ours = value_and_grad(*given)
    np.testing.assert_allclose(value, in_float64(f, *given), rtol=1e-5)
    step = 1e-6 if offset in (0.0, 0.5) or offset > 1e-3 else offset / 100
    for i in range(3):
        wanted = central_difference(
            lambda z, i=i: f(*[jnp.asarray(z if j == i else w) for j, w in enumerate(wide)]),
            wide[i],
            step,
        )
        assert np.isfinite(ours[i]).all()
        if (
            i > 0 and offset == 0.0
        ):  # nothing moves with B, and the symmetric slope of the cusp is 0
            np.testing.assert_allclose(wanted, 0.0, atol=1e-6)
            np.testing.assert_allclose(ours[i], 0.0, atol=1e-6)
        elif i > 0 and offset == 0.5:  # rounding leaves a side of the antipodal cusp: finite is all
            assert np.linalg.norm(wanted) < 1e-2
        else:
            # differences of a step this small are themselves good to about 1e-10 / step
            assert np.linalg.norm(ours[i] - wanted) <= 1e-3 * np.linalg.norm(wanted) + 1e-11 / step


def test_gradient_through_the_features():
    """∂K/∂v and ∂K/∂B through γ and the dense kernel; with a repeated point no NaN."""
    model = mlp(16, 32, 3, weights="he", biases=0.1)
    B, weights = np.asarray(features.gaussian(KEY, 8, 2, 1.0).B), normal(5, 5)
    v = np.random.default_rng(0).random((5, 2)).astype(np.float32)
    f = jax.jit(
        lambda B, v: (
            kernels.ntk(model, features.Mapping(jnp.ones(8, B.dtype), B)(v)) * weights
        ).sum()
    )
    slope = jax.jit(jax.grad(f, (0, 1)))
    in_B, in_v = slope(B, v)
    wanted = central_difference(lambda z: f(jnp.asarray(z), jnp.asarray(v, "float64")), B)
    assert np.linalg.norm(in_B - wanted) < 1e-3 * np.linalg.norm(wanted)
    wanted = central_difference(lambda z: f(jnp.asarray(B, "float64"), jnp.asarray(z)), v)
    assert np.linalg.norm(in_v - wanted) < 1e-3 * np.linalg.norm(wanted)
    v[3] = v[1]
    assert all(np.isfinite(g).all() for g in slope(B, v))


# --------------------------------------------------------------------------------------------------
# The kernel of one network


def test_empirical_ntk_point_by_point():
    """A double loop over points, one gradient each, summed in float64."""
    model = mlp(2, 6, 3, activation="tanh", biases=0.5)
    params, x1, x2 = model.init(KEY), normal(3, 2), normal(4, 2, seed=1)

    def gradient(x):
        g = jax.grad(lambda p: model.apply(p, x)[0])(params)
        return np.concatenate([np.asarray(leaf, float).ravel() for leaf in jax.tree.leaves(g)])

    wanted = [[gradient(a) @ gradient(b) for b in x2] for a in x1]
    np.testing.assert_allclose(
        kernels.empirical_ntk(model.apply, params, x1, x2), wanted, rtol=1e-4
    )
    # x2 = x1 if absent, and shape (n,) as good as (n, 1)
    K = kernels.empirical_ntk(lambda p, x: model.apply(p, x)[:, 0], params, x1)
    np.testing.assert_allclose(K, [[gradient(a) @ gradient(b) for b in x1] for a in x1], rtol=1e-4)


def test_empirical_ntk_of_several_outputs():
    model = mlp(2, 6, 3, 3, output="sigmoid")
    params, x1, x2 = model.init(KEY), normal(3, 2), normal(4, 2, seed=1)
    K = kernels.empirical_ntk(model.apply, params, x1, x2)
    assert K.shape == (3, 4, 3, 3)
    for a in range(3):
        for b in range(3):

            def one(i, x):
                return jax.grad(lambda p: model.apply(p, x)[i])(params)

            wanted = sum(
                (g * h).sum()
                for g, h in zip(
                    jax.tree.leaves(one(a, x1[1])), jax.tree.leaves(one(b, x2[2])), strict=True
                )
            )
            np.testing.assert_allclose(K[1, 2, a, b], wanted, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(
        kernels.empirical_ntk(model.apply, params, x2, x1),
        np.transpose(K, (1, 0, 3, 2)),
        rtol=1e-4,
        atol=1e-7,
    )


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_pieces_do_not_change_the_empirical_ntk(batch):
    model = mlp(2, 6, 3, 2)
    params, x1, x2 = model.init(KEY), normal(7, 2), normal(5, 2, seed=1)
    np.testing.assert_allclose(
        kernels.empirical_ntk(model.apply, params, x1, x2, batch=batch),
        kernels.empirical_ntk(model.apply, params, x1, x2),
        rtol=1e-5,
        atol=1e-6,
    )
    np.testing.assert_allclose(
        kernels.empirical_ntk(model.apply, params, x1, batch=batch),
        kernels.empirical_ntk(model.apply, params, x1),
        rtol=1e-5,
        atol=1e-6,
    )


def test_empirical_ntk_takes_any_function_and_any_pytree():
    """f(x) = c·exp(−x²w): ∂f/∂c and ∂f/∂w by hand."""
    params = {"c": jnp.float32(2.0), "w": jnp.float32(0.5)}
    x = np.float32([[0.3], [1.0], [-2.0]])
    K = kernels.empirical_ntk(lambda p, x: p["c"] * jnp.exp(-(x[:, 0] ** 2) * p["w"]), params, x)
    e = np.exp(-(x[:, 0] ** 2) * 0.5)
    J = np.stack([e, -2 * x[:, 0] ** 2 * e])
    np.testing.assert_allclose(K, J.T @ J, rtol=1e-5)
