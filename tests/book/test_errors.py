"""Bad input to the mathematics: each a clear error that says which argument, what was given and
what is wanted.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from refusal import assert_refused

import fflib as ff
from fflib import data, features, metrics
from fflib.encodings.learned import positional_nerf, positional_transformer
from fflib.experiments.shape import iou
from fflib.network import MLP, mlp
from fflib.theory import dynamics, kernels
from fflib.theory.scale import sampled
from fflib.worlds import pictures

KEY = jax.random.key(0)
NAN, INF = float("nan"), float("inf")
X = np.random.default_rng(0).random((5, 2)).astype(np.float32)  # five points of the unit square
Y = X[:, 0]
K = np.eye(5, dtype=np.float32)
NET = mlp(2, 8, 3)
PARAMS = NET.init(KEY)
WAVES = features.gaussian(KEY, 4, 2, 1.0)
MANY = np.zeros((2_000_000, 1), np.float32)  # more than any machine can hold pairs of
PICTURE = np.zeros((4, 6, 3), np.float32)


def hurt(array, value=NAN):
    """A copy with one entry spoilt."""
    array = np.array(array)
    array.flat[1] = value
    return array


def train(**changes):
    """fit on a tiny problem, spoilt by changes."""

    def loss(p, d):
        return ((NET.apply(p, d[0])[:, 0] - d[1]) ** 2).sum()

    given = (
        dict(
            params=PARAMS, loss=loss, data=(X, Y), steps=2, optimizer=optax.sgd(0.1), progress=False
        )
        | changes
    )
    return ff.fit(given.pop("params"), given.pop("loss"), given.pop("data"), **given)


# name of the case: (call, exception, parts of the message in order: argument, given, wanted or so)
CASES = {
    # --- features
    "coordinates: wrong dimension": (
        lambda: WAVES(X[:, :1]),
        ValueError,
        ["v", "(..., 2)", "(5, 1)"],
    ),
    "coordinates: points on a line without an axis": (
        lambda: ff.basic(1)(Y),
        ValueError,
        ["v", "(..., 1)", "(5,)", "v[..., None]"],
    ),
    "coordinates: a single number": (lambda: ff.basic(1)(0.5), ValueError, ["v", "(..., 1)", "()"]),
    "coordinates: integers": (
        lambda: WAVES(np.ones((5, 2), int)),
        TypeError,
        ["v", "floating-point", "shape (5, 2)", "int", "divide"],
    ),
    "coordinates: booleans": (lambda: WAVES(X > 0), TypeError, ["v", "floating-point", "bool"]),
    "coordinates: complex": (lambda: WAVES(X + 1j), TypeError, ["v", "real", "complex"]),
    "coordinates: NaN": (lambda: WAVES(hurt(X)), ValueError, ["v", "1", "NaN", "10"]),
    "coordinates: infinite": (lambda: WAVES(hurt(X, INF)), ValueError, ["v", "1", "infinite"]),
    "coordinates: none": (
        lambda: WAVES(X[:0]),
        ValueError,
        ["v", "empty", "(0, 2)", "at least one"],
    ),
    "coordinates: words": (
        lambda: WAVES("corner"),
        TypeError,
        ["v", "array of real numbers", "corner"],
    ),
    "coordinates: no mapping": (lambda: ff.none(3)(X), ValueError, ["v", "(..., 3)", "(5, 2)"]),
    "offset: wrong dimension": (
        lambda: WAVES.kernel(X[:, :1]),
        ValueError,
        ["delta", "(..., 2)", "(5, 1)"],
    ),
    "fourier: shapes disagree": (
        lambda: features.fourier(np.ones(3), np.ones((4, 2))),
        ValueError,
        ["a must", "(4,)", "(3,)"],
    ),
    "fourier: B without its axis": (
        lambda: features.fourier(np.ones(3), np.ones(3)),
        ValueError,
        ["B must", "(m, d)", "(3,)"],
    ),
    "fourier: NaN": (
        lambda: features.fourier(np.ones(2), hurt(np.ones((2, 1)))),
        ValueError,
        ["B", "NaN"],
    ),
    "none: no dimension": (lambda: ff.none(0), ValueError, ["d", "at least 1", "0"]),
    "none: negative scale": (lambda: ff.none(2, scale=-1.0), ValueError, ["scale", "> 0", "-1"]),
    "basic: half a dimension": (lambda: ff.basic(1.5), TypeError, ["d", "whole number", "1.5"]),
    "basic: True": (lambda: ff.basic(True), TypeError, ["d", "whole number", "True"]),
    "positional: m no multiple of d": (
        lambda: ff.positional(7, 2, 4.0),
        ValueError,
        ["m", "multiple of d", "m=7", "d=2"],
    ),
    "positional: negative scale": (
        lambda: ff.positional(8, 2, -1.0),
        ValueError,
        ["scale", ">= 0", "-1"],
    ),
    "positional: frequencies overflow": (
        lambda: ff.positional(32, 1, 200.0),
        ValueError,
        ["scale", "finite in float32", "200"],
    ),
    "positional_nerf: frequencies overflow": (
        lambda: positional_nerf(200, 1),
        ValueError,
        ["levels", "finite in float32", "200"],
    ),
    "gaussian: frequencies overflow": (
        lambda: ff.gaussian(KEY, 8, 2, 3e38),
        ValueError,
        ["scale", "finite in float32", "3e+38"],
    ),
    "waves: not finite": (
        lambda: features.waves(np.float32([[INF]]), scale=INF),
        ValueError,
        ["scale", "finite in float32", "inf"],
    ),
    "positional_transformer: m no multiple of d": (
        lambda: positional_transformer(7, 2, 10.0),
        ValueError,
        ["m", "multiple of d", "m=7", "d=2"],
    ),
    "positional_nerf: no levels": (
        lambda: positional_nerf(0, 2),
        ValueError,
        ["levels", "at least 1", "0"],
    ),
    "gaussian: negative scale": (
        lambda: ff.gaussian(KEY, 8, 2, -3.0),
        ValueError,
        ["scale", ">= 0", "-3"],
    ),
    "gaussian: scale NaN": (
        lambda: ff.gaussian(KEY, 8, 2, NAN),
        ValueError,
        ["scale", "finite", "nan"],
    ),
    "gaussian: scale infinite": (
        lambda: ff.gaussian(KEY, 8, 2, INF),
        ValueError,
        ["scale", "finite", "inf"],
    ),
    "gaussian: a word for a scale": (
        lambda: ff.gaussian(KEY, 8, 2, "ten"),
        TypeError,
        ["scale", "number", "'ten'"],
    ),
    "gaussian: several scales": (
        lambda: ff.gaussian(KEY, 8, 2, np.ones(2)),
        TypeError,
        ["scale", "number", "shape (2,)"],
    ),
    "gaussian: no frequencies": (
        lambda: ff.gaussian(KEY, 0, 2, 1.0),
        ValueError,
        ["m", "at least 1", "0"],
    ),
    "power_law: negative p": (lambda: ff.power_law(4, -1.0), ValueError, ["p", ">= 0", "-1"]),
    "power_law: p NaN": (lambda: ff.power_law(4, NAN), ValueError, ["p", "finite", "nan"]),
    "power_law: p = -inf": (lambda: ff.power_law(4, -INF), ValueError, ["p", "-inf"]),
    "sampled: unknown family": (
        lambda: sampled(KEY, 4, "cauchy", 1.0),
        ValueError,
        ["family", "'gaussian'", "'laplace'", "'cauchy'"],
    ),
    "sampled: scale 0": (
        lambda: sampled(KEY, 4, "uniform", 0.0),
        ValueError,
        ["scale", "> 0", "0"],
    ),
    # --- mlp
    "MLP: one size": (lambda: MLP((3,)), ValueError, ["sizes", "input and an output", "(3,)"]),
    "MLP: a number for sizes": (lambda: MLP(3), ValueError, ["sizes", "3"]),
    "MLP: width 0": (lambda: MLP((2, 0, 1)), ValueError, ["sizes[1]", "at least 1", "0"]),
    "MLP: fractional width": (
        lambda: MLP((2, 8.0, 1)),
        TypeError,
        ["sizes[1]", "whole number", "8.0"],
    ),
    "MLP: unknown activation": (
        lambda: mlp(2, 8, 2, activation="rely"),
        ValueError,
        ["activation", "'relu'", "'rely'"],
    ),
    "MLP: unknown output": (
        lambda: mlp(2, 8, 2, output="softmax"),
        ValueError,
        ["output", "'sigmoid'", "'softmax'"],
    ),
    "MLP: unknown rule": (
        lambda: mlp(2, 8, 2, weights="xavier"),
        ValueError,
        ["weights", "'glorot'", "'xavier'"],
    ),
    "MLP: rule for biases": (
        lambda: mlp(2, 8, 2, biases="he"),
        TypeError,
        ["biases", "number", "'he'"],
    ),
    "MLP: rule for biases, weights a number": (
        lambda: mlp(2, 8, 2, weights=1.0, biases="he"),
        TypeError,
        ["biases", "number", "'he'"],
    ),
    "MLP: negative deviation": (
        lambda: mlp(2, 8, 2, weights=-1.0),
        ValueError,
        ["weights", ">= 0", "-1"],
    ),
    "MLP: negative deviation of a layer": (
        lambda: mlp(2, 8, 2, biases=(0.1, -0.1)),
        ValueError,
        ["biases", ">= 0", "-0.1"],
    ),
    "MLP: too few deviations": (
        lambda: mlp(2, 8, 3, weights=(1.0, 1.0)),
        ValueError,
        ["weights", "3 layers", "2"],
    ),
    "MLP: unknown parameterization": (
        lambda: mlp(2, 8, 2, parameterization="mup"),
        ValueError,
        ["parameterization", "'ntk'", "'mup'"],
    ),
    "mlp: depth 0": (lambda: mlp(2, 8, 0), ValueError, ["depth", "at least 1", "0"]),
    "mlp: width 0": (lambda: mlp(2, 0, 3), ValueError, ["width", "at least 1", "0"]),
    "mlp: no input": (lambda: mlp(0, 8, 3), ValueError, ["d_in", "at least 1", "0"]),
    "apply: wrong input size": (
        lambda: NET.apply(PARAMS, X[:, :1]),
        ValueError,
        ["x", "(..., 2)", "(5, 1)"],
    ),
    "apply: a number": (lambda: NET.apply(PARAMS, 1.0), ValueError, ["x", "(..., 2)", "()"]),
    "apply: integers": (
        lambda: NET.apply(PARAMS, np.ones((5, 2), int)),
        TypeError,
        ["x", "floating-point", "int"],
    ),
    "apply: another network's parameters": (
        lambda: NET.apply(mlp(2, 9, 3).init(KEY), X),
        ValueError,
        ["params", "(2, 8)", "(2, 9)"],
    ),
    "apply: biases of one number": (
        lambda: NET.apply([(W, b[:1]) for W, b in PARAMS], X),
        ValueError,
        ["params", "biases", "(8,)", "(1,)"],
    ),
    # --- kernel regression
    "gaussian_kernel: width 0": (
        lambda: kernels.gaussian_kernel(X, X, 0.0),
        ValueError,
        ["width", "> 0", "0"],
    ),
    "gaussian_kernel: negative width": (
        lambda: kernels.gaussian_kernel(X, X, -0.1),
        ValueError,
        ["width", "> 0", "-0.1"],
    ),
    "gaussian_kernel: dimensions differ": (
        lambda: kernels.gaussian_kernel(X, X[:, :1], 1.0),
        ValueError,
        ["x2", "(n, 2)", "(5, 1)"],
    ),
    "gaussian_kernel: points without an axis": (
        lambda: kernels.gaussian_kernel(Y, Y, 1.0),
        ValueError,
        ["x1", "(n, d)", "(5,)", "x1[:, None]"],
    ),
    "gaussian_kernel: integers": (
        lambda: kernels.gaussian_kernel(np.ones((5, 2), int), X, 1.0),
        TypeError,
        ["x1", "floating-point", "int"],
    ),
    "gaussian_kernel: no points": (
        lambda: kernels.gaussian_kernel(X, X[:0], 1.0),
        ValueError,
        ["x2", "empty", "(0, 2)"],
    ),
    "gaussian_kernel: NaN": (
        lambda: kernels.gaussian_kernel(X, hurt(X), 1.0),
        ValueError,
        ["x2", "NaN"],
    ),
    "gaussian_kernel: too large": (
        lambda: kernels.gaussian_kernel(MANY, MANY, 1.0),
        MemoryError,
        ["(2000000, 2000000)", "16000.0 GB", "fewer points"],
    ),
    "predictive_variance: not square": (
        lambda: kernels.predictive_variance(K[:4], K, Y, 0.1),
        ValueError,
        ["K", "(n, n)", "(4, 5)"],
    ),
    "log_marginal_likelihood: not square": (
        lambda: kernels.log_marginal_likelihood(K[:4], Y, 0.1),
        ValueError,
        ["K", "(n, n)", "(4, 5)"],
    ),
    "fit_kernel: a negative start": (
        lambda: kernels.fit_kernel(
            kernels.gaussian_kernel, np.ones((5, 1)), Y, {"width": -1.0, "noise": 0.1}
        ),
        ValueError,
        ["start['width']", "> 0", "-1.0"],
    ),
    "relu_recursion: another activation": (
        lambda: kernels.relu_recursion(mlp(2, 8, 3, activation="tanh"), 1.0, 1.0, 0.5, 0.5),
        ValueError,
        ["relu", "tanh"],
    ),
    "kernel_regression: not square": (
        lambda: kernels.kernel_regression(K[:4], Y),
        ValueError,
        ["K", "(n, n)", "(4, 5)"],
    ),
    "kernel_regression: a stack": (
        lambda: kernels.kernel_regression(K[None], Y),
        ValueError,
        ["K", "(n, n)", "(1, 5, 5)"],
    ),
    "kernel_regression: not symmetric": (
        lambda: kernels.kernel_regression(np.triu(np.ones((5, 5), np.float32)), Y),
        ValueError,
        ["K", "symmetric", "1"],
    ),
    "kernel_regression: indefinite": (
        lambda: kernels.kernel_regression(K - 2 * np.eye(5, k=4) - 2 * np.eye(5, k=-4), Y),
        ValueError,
        [
            "K",
            "not positive definite",
            "float32",
            "eigenvalue of K is -1",
            "jitter is 0",
            "or more",
        ],
    ),
    "kernel_regression: singular": (
        lambda: kernels.kernel_regression(np.ones((5, 5), np.float32), Y),
        ValueError,
        ["not positive definite", "jitter", "1e-06 or more"],
    ),
    "kernel_regression: NaN in K": (
        lambda: kernels.kernel_regression(hurt(K), Y),
        ValueError,
        ["K", "NaN", "25"],
    ),
    "kernel_regression: NaN in y": (
        lambda: kernels.kernel_regression(K, hurt(Y)),
        ValueError,
        ["y", "NaN", "5"],
    ),
    "kernel_regression: too few targets": (
        lambda: kernels.kernel_regression(K, Y[:4]),
        ValueError,
        ["y", "(5,)", "(4,)"],
    ),
    "kernel_regression: targets with too many axes": (
        lambda: kernels.kernel_regression(K, np.ones((5, 2, 2), np.float32)),
        ValueError,
        ["y", "(5, c)", "(5, 2, 2)"],
    ),
    "kernel_regression: integer targets": (
        lambda: kernels.kernel_regression(K, np.arange(5)),
        TypeError,
        ["y", "floating-point", "int"],
    ),
    "kernel_regression: nothing": (
        lambda: kernels.kernel_regression(K[:0, :0], Y[:0]),
        ValueError,
        ["K", "empty", "(0, 0)"],
    ),
    "kernel_regression: negative jitter": (
        lambda: kernels.kernel_regression(K, Y, -1e-3),
        ValueError,
        ["jitter", ">= 0", "-0.001"],
    ),
    # --- NTK
    "ntk: not a spec": (lambda: kernels.ntk(NET.apply, X), TypeError, ["model", "MLP", "method"]),
    "ntk: not ReLU": (
        lambda: kernels.ntk(mlp(2, 8, 3, activation="tanh"), X),
        ValueError,
        ["activation 'relu'", "'tanh'", "empirical_ntk"],
    ),
    "ntk: wrong input size": (
        lambda: kernels.ntk(NET, X[:, :1]),
        ValueError,
        ["x1", "(n, 2)", "(5, 1)"],
    ),
    "ntk: wrong input size of x2": (
        lambda: kernels.ntk(NET, X, X[:, :1]),
        ValueError,
        ["x2", "(n, 2)", "(5, 1)"],
    ),
    "ntk: NaN": (lambda: kernels.ntk(NET, hurt(X)), ValueError, ["x1", "NaN"]),
    "ntk: no points": (lambda: kernels.ntk(NET, X[:0]), ValueError, ["x1", "empty"]),
    "ntk: integers": (
        lambda: kernels.ntk(NET, np.ones((5, 2), int)),
        TypeError,
        ["x1", "floating-point", "int"],
    ),
    "ntk: too large": (
        lambda: kernels.ntk(mlp(1, 8, 3), MANY),
        MemoryError,
        ["(2000000, 2000000)", "GB", "fewer points"],
    ),
    "ntk_stationary: no frequencies": (
        lambda: kernels.ntk_stationary(NET, ff.none(2), X),
        TypeError,
        ["mapping", "features.Mapping", "Identity"],
    ),
    "ntk_stationary: sizes disagree": (
        lambda: kernels.ntk_stationary(NET, WAVES, X),
        ValueError,
        ["mapping", "8 features", "2 inputs"],
    ),
    "ntk_stationary: wrong offsets": (
        lambda: kernels.ntk_stationary(mlp(8, 8, 3), WAVES, X[:, :1]),
        ValueError,
        ["delta", "(..., 2)", "(5, 1)"],
    ),
    "ntk_stationary: NaN": (
        lambda: kernels.ntk_stationary(mlp(8, 8, 3), WAVES, hurt(X)),
        ValueError,
        ["delta", "NaN"],
    ),
    "square: not symmetric": (
        lambda: kernels.square("A", np.triu(np.ones((5, 5)))),
        ValueError,
        ["A", "symmetric", "1"],
    ),
    "fits_in_memory: too much": (
        lambda: kernels.fits_in_memory("it", 10**9, 10**9),
        MemoryError,
        ["it", "(1000000000, 1000000000)", "GB"],
    ),
    "fitting: sizes disagree": (
        lambda: kernels.fitting(NET, WAVES),
        ValueError,
        ["mapping", "8 features", "2 inputs"],
    ),
    "fitting: no frequencies": (
        lambda: kernels.fitting(NET, ff.none(2)),
        TypeError,
        ["mapping", "features.Mapping", "Identity"],
    ),
    "ntk_stationary: not a spec": (
        lambda: kernels.ntk_stationary("net", WAVES, X),
        TypeError,
        ["model", "MLP", "'net'"],
    ),
    "empirical_ntk: points without an axis": (
        lambda: kernels.empirical_ntk(NET.apply, PARAMS, Y),
        ValueError,
        ["x1", "(n, d)", "(5,)"],
    ),
    "empirical_ntk: x2 of another dimension": (
        lambda: kernels.empirical_ntk(NET.apply, PARAMS, X, X[:, :1]),
        ValueError,
        ["x2", "(n, 2)", "(5, 1)"],
    ),
    "empirical_ntk: NaN": (
        lambda: kernels.empirical_ntk(NET.apply, PARAMS, hurt(X)),
        ValueError,
        ["x1", "NaN"],
    ),
    "empirical_ntk: apply with another result": (
        lambda: kernels.empirical_ntk(lambda p, x: NET.apply(p, x).sum(), PARAMS, X),
        ValueError,
        ["apply", "(n, o)", "(1, 2)", "()"],
    ),
    "empirical_ntk: batch 0": (
        lambda: kernels.empirical_ntk(NET.apply, PARAMS, X, batch=0),
        ValueError,
        ["batch", "at least 1", "0"],
    ),
    "empirical_ntk: too large": (
        lambda: kernels.empirical_ntk(mlp(1, 8, 3, 3).apply, mlp(1, 8, 3, 3).init(KEY), MANY),
        MemoryError,
        ["empirical NTK", "(2000000, 2000000, 3, 3)", "144000.0 GB"],
    ),
    # --- dynamics
    "eigenmodes: not PSD": (
        lambda: dynamics.eigenmodes(-K),
        ValueError,
        ["K", "positive semidefinite", "-1"],
    ),
    "eigenmodes: not square": (
        lambda: dynamics.eigenmodes(K[:2]),
        ValueError,
        ["K", "(n, n)", "(2, 5)"],
    ),
    "gradient_flow: not PSD": (
        lambda: dynamics.gradient_flow(np.diag([1, 1, 1, 1, -0.1]), Y, 1.0),
        ValueError,
        ["K", "positive semidefinite", "-0.1"],
    ),
    "gradient_flow: not symmetric": (
        lambda: dynamics.gradient_flow(np.triu(np.ones((5, 5))), Y, 1.0),
        ValueError,
        ["K", "symmetric"],
    ),
    "gradient_flow: negative time": (
        lambda: dynamics.gradient_flow(K, Y, [1.0, -2.0]),
        ValueError,
        ["t", ">= 0", "-2"],
    ),
    "gradient_flow: NaN time": (
        lambda: dynamics.gradient_flow(K, Y, NAN),
        ValueError,
        ["t", ">= 0", "nan"],
    ),
    "gradient_flow: a table of times": (
        lambda: dynamics.gradient_flow(K, Y, np.ones((2, 2))),
        ValueError,
        ["t", "(T,)", "(2, 2)"],
    ),
    "gradient_flow: too few targets": (
        lambda: dynamics.gradient_flow(K, Y[:3], 1.0),
        ValueError,
        ["y", "(5,)", "(3,)"],
    ),
    "gradient_flow: targets with too many axes": (
        lambda: dynamics.gradient_flow(K, np.ones((5, 5, 5), np.float32), 1.0),
        ValueError,
        ["y", "(5, c)", "(5, 5, 5)"],
    ),
    "gradient_flow: f0 of another shape": (
        lambda: dynamics.gradient_flow(K, Y, 1.0, f0=Y[:, None]),
        ValueError,
        ["f0", "(5,)", "(5, 1)"],
    ),
    "gradient_flow: f0 with NaN": (
        lambda: dynamics.gradient_flow(K, Y, 1.0, f0=hurt(Y)),
        ValueError,
        ["f0", "NaN"],
    ),
    "gradient_flow: K_test turned": (
        lambda: dynamics.gradient_flow(K, Y, 1.0, K_test=K[:, :3]),
        ValueError,
        ["K_test", "(n, 5)", "(5, 3)"],
    ),
    "gradient_flow: f0_test alone": (
        lambda: dynamics.gradient_flow(K, Y, 1.0, f0_test=Y),
        ValueError,
        ["f0_test", "without K_test"],
    ),
    "gradient_flow: f0_test of another shape": (
        lambda: dynamics.gradient_flow(K, Y, 1.0, K_test=K[:3], f0_test=Y),
        ValueError,
        ["f0_test", "(3,)", "(5,)"],
    ),
    "gradient_descent: learning rate 0": (
        lambda: dynamics.gradient_descent(K, Y, 3, 0.0),
        ValueError,
        ["learning_rate", "> 0", "0"],
    ),
    "gradient_descent: half a step": (
        lambda: dynamics.gradient_descent(K, Y, 2.5, 0.1),
        ValueError,
        ["steps", "whole", "2.5"],
    ),
    "gradient_descent: negative steps": (
        lambda: dynamics.gradient_descent(K, Y, -1, 0.1),
        ValueError,
        ["steps", ">= 0", "-1"],
    ),
    # --- fit
    "fit: no steps": (lambda: train(steps=0), ValueError, ["steps", "at least 1", "0"]),
    "fit: fractional steps": (
        lambda: train(steps=1e3),
        TypeError,
        ["steps", "whole number", "1000.0"],
    ),
    "fit: every 0": (lambda: train(every=0), ValueError, ["every", "at least 1", "0"]),
    "fit: not an optimizer": (
        lambda: train(optimizer=1e-3),
        TypeError,
        ["optimizer", "optax", "0.001"],
    ),
    "fit: batch without key": (
        lambda: train(batch=lambda key, data: data),
        ValueError,
        ["key", "batch", "random key"],
    ),
    "fit: nothing to train": (lambda: train(params=[]), ValueError, ["params", "no arrays"]),
    "fit: integer parameters": (
        lambda: train(params=[np.arange(3)]),
        TypeError,
        ["params", "floating-point", "int"],
    ),
    "fit: members of unequal number": (
        lambda: train(params=[np.ones((2, 3)), np.ones((3, 3))], vmap=(0, None)),
        ValueError,
        ["vmap", "leading axis", "[2, 3] in params"],
    ),
    "fit: a member without an axis": (
        lambda: train(params=[np.float32(1)], vmap=0),
        ValueError,
        ["leading axis", "params", "data"],
    ),
    "fit: the only member without an axis": (
        lambda: train(params=[np.float32(1)], vmap=(0, None)),
        ValueError,
        ["leading axis", "[0] in params"],
    ),
    "fit: data for another number of members": (
        lambda: train(params=[np.ones((2, 3))], vmap=0),
        ValueError,
        ["leading axis", "[2] in params", "[5] in data"],
    ),
    # --- metrics
    "mse: shapes differ": (
        lambda: metrics.mse(Y, Y[:, None]),
        ValueError,
        ["target must have shape (5,)", "(5, 1)"],
    ),
    "mse: empty": (lambda: metrics.mse(Y[:0], Y[:0]), ValueError, ["pred is empty", "(0,)"]),
    "mse: complex": (lambda: metrics.mse(Y + 1j, Y), TypeError, ["pred", "real", "complex64"]),
    "mse: bytes": (
        lambda: metrics.mse(Y, np.zeros(5, np.uint8)),
        TypeError,
        ["target", "floating-point", "uint8", "stands for 1", "target.astype(float)"],
    ),
    "mse: booleans": (lambda: metrics.mse(Y > 0.5, Y), TypeError, ["pred", "bool", "astype"]),
    "psnr: bytes": (
        lambda: ff.psnr(np.zeros(5, np.uint8), Y, 255),
        TypeError,
        ["pred", "floating-point", "uint8", "stands for 1"],
    ),
    "rfft_amplitude: 16-bit sound": (
        lambda: dynamics.rfft_amplitude(np.zeros(8, np.int16)),
        TypeError,
        ["y", "floating-point", "int16", "stands for 1", "y.astype(float)"],
    ),
    "ssim: bytes": (
        lambda: pictures.ssim(np.zeros((12, 12), np.uint8), np.zeros((12, 12), np.uint8), 255),
        TypeError,
        ["pred", "floating-point", "uint8", "stands for 1"],
    ),
    "radial_power: bytes": (
        lambda: pictures.radial_power(np.zeros((12, 12), np.uint8)),
        TypeError,
        ["picture", "floating-point", "uint8", "stands for 1"],
    ),
    "psnr: shapes differ": (
        lambda: ff.psnr(PICTURE, PICTURE[..., 0]),
        ValueError,
        ["target must have shape (4, 6, 3)", "(4, 6)"],
    ),
    "psnr: negative peak": (lambda: ff.psnr(Y, Y, peak=-1.0), ValueError, ["peak", "> 0", "-1"]),
    "iou: probabilities": (
        lambda: iou(Y, Y > 0.5),
        TypeError,
        ["pred must be boolean", "float32", "threshold"],
    ),
    "iou: shapes differ": (
        lambda: iou(Y > 0, X > 0),
        ValueError,
        ["pred must have shape (5, 2)", "(5,)"],
    ),
    "rfft_amplitude: a number": (
        lambda: dynamics.rfft_amplitude(1.0),
        ValueError,
        ["y", "(..., n)", "()"],
    ),
    "rfft_amplitude: empty": (lambda: dynamics.rfft_amplitude(Y[:0]), ValueError, ["y", "empty"]),
    "rfft_amplitude: complex": (
        lambda: dynamics.rfft_amplitude(Y + 1j),
        TypeError,
        ["y", "real", "complex"],
    ),
    "ssim: shapes differ": (
        lambda: pictures.ssim(PICTURE, PICTURE[..., 0]),
        ValueError,
        ["target must have shape (4, 6, 3)", "(4, 6)"],
    ),
    "ssim: too small": (
        lambda: pictures.ssim(PICTURE, PICTURE),
        ValueError,
        ["pred", "at least 11", "(4, 6, 3)"],
    ),
    "ssim: complex": (
        lambda: pictures.ssim(PICTURE + 1j, PICTURE),
        TypeError,
        ["pred", "real", "complex"],
    ),
    "ssim: negative peak": (
        lambda: pictures.ssim(PICTURE, PICTURE, peak=-1.0),
        ValueError,
        ["peak", "> 0", "-1"],
    ),
    "radial_power: a row": (
        lambda: pictures.radial_power(Y),
        ValueError,
        ["picture", "(H, W)", "(5,)"],
    ),
    "radial_power: too small": (
        lambda: pictures.radial_power(PICTURE[:3]),
        ValueError,
        ["picture", "at least 4", "(3, 6)"],
    ),
    # --- data
    "grid: no points": (lambda: data.grid(0), ValueError, ["n", "at least 1", "0"]),
    "grid: fractional": (lambda: data.grid(2.5), TypeError, ["n", "whole number", "2.5"]),
    "grid: sizes and d disagree": (
        lambda: data.grid((4, 4), 3),
        ValueError,
        ["n", "2 sizes", "d is 3"],
    ),
    "grid: no axes": (lambda: data.grid(()), ValueError, ["n", "at least one size", "empty tuple"]),
    "power_law_signal: too short": (
        lambda: data.power_law_signal(KEY, 3, 1.0),
        ValueError,
        ["n", "at least 4", "3"],
    ),
    "power_law_signal: too many bins": (
        lambda: data.power_law_signal(KEY, 8, 1.0, 5),
        ValueError,
        ["bins", "n/2 = 4", "5"],
    ),
    "power_law_signal: negative alpha": (
        lambda: data.power_law_signal(KEY, 8, -1.0),
        ValueError,
        ["alpha", ">= 0", "-1"],
    ),
    "train_test_1d: length no multiple": (
        lambda: data.train_test_1d(Y, 2),
        ValueError,
        ["y", "factor=2", "(5,)"],
    ),
    "train_test_1d: a table": (
        lambda: data.train_test_1d(X, 5),
        ValueError,
        ["y", "(n,)", "(5, 2)"],
    ),
    "train_test_1d: factor 1": (
        lambda: data.train_test_1d(Y, 1),
        ValueError,
        ["factor", "at least 2", "1"],
    ),
    "train_test_image: odd height": (
        lambda: data.train_test_image(PICTURE[:3]),
        ValueError,
        ["image", "even", "(3, 6, 3)"],
    ),
    "train_test_image: grey": (
        lambda: data.train_test_image(PICTURE[..., 0]),
        ValueError,
        ["image", "(H, W, C)", "(4, 6)"],
    ),
    "train_test_image: bytes": (
        lambda: data.train_test_image(np.zeros((4, 6, 3), np.uint8)),
        TypeError,
        ["image", "floating-point", "uint8"],
    ),
    "image: unknown": (
        lambda: pictures.image("lena"),
        ValueError,
        ["name", "'astronaut'", "'lena'"],
    ),
    "image: too large": (
        lambda: pictures.image("cat", 301),
        ValueError,
        ["size", "300", "'cat'", "301"],
    ),
    "image: size 0": (lambda: pictures.image("cat", 0), ValueError, ["size", "at least 1", "0"]),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case):
    assert_refused(*CASES[case])


@pytest.mark.parametrize("module", [features, kernels, data, metrics], ids=lambda m: m.__name__)
def test_every_public_function_is_in_the_table(module):
    """A function added without a case of bad input fails here."""
    own = {
        name
        for name, thing in vars(module).items()
        if callable(thing) and getattr(thing, "__module__", "") == module.__name__ and not name.startswith("_")
        and not isinstance(thing, type)
    }  # fmt: skip
    covered = {case.split(":")[0] for case in CASES}
    assert own <= covered, sorted(own - covered)


def test_traced_values_pass_unchecked():
    """Under jit there are no values to look at: shapes are checked, NaN goes through, nothing
    breaks.
    """
    assert np.isnan(jax.jit(WAVES)(hurt(X))).any()
    assert np.isnan(jax.jit(lambda x: kernels.ntk(NET, x))(hurt(X))).any()
    assert np.isnan(jax.jit(kernels.kernel_regression)(-K, Y)).all()
    with pytest.raises(ValueError, match=r"\(\.\.\., 2\)"):
        jax.jit(WAVES)(X[:, :1])
    np.testing.assert_array_equal(
        jax.jit(lambda s: ff.gaussian(KEY, 2, 1, s).B)(0.0), np.zeros((2, 1))
    )


def test_scalars_of_arrays_are_numbers():
    """A scale computed with numpy or jax is as good as a Python float."""
    for scale in (np.float32(2.0), np.array(2.0), jnp.array(2.0), 2):
        np.testing.assert_array_equal(
            ff.gaussian(KEY, 3, 1, scale).B, ff.gaussian(KEY, 3, 1, 2.0).B
        )
