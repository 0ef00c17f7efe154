"""Kernels on grids: products, solutions and dynamics by FFT agree with the dense formulas."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import arccos_ntk, central_difference, x64
from refusal import assert_refused

from fflib import data, features
from fflib.network import mlp
from fflib.theory import dynamics, grid, kernels, krylov

RNG = np.random.default_rng(0)
SHAPES = [(13,), (6, 7), (3, 4, 5)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=["1-D", "2-D", "3-D"])
some = pytest.mark.parametrize(
    ("shape", "wide"),
    [(SHAPES[0], True), (SHAPES[1], False), (SHAPES[1], True), (SHAPES[2], False)],
    ids=["1-D float64", "2-D float32", "2-D float64", "3-D float32"],
)
both = pytest.mark.parametrize("wide", [False, True], ids=["float32", "float64"])
KEY = jax.random.key(0)


def net(m, **spec):
    return mlp(2 * m, 32, 4, 2, **({"biases": 0.1} | spec))


def drawn(d, m=24, scale=1.5):
    """A mapping with its own a and B; float64 values that float32 rounds."""
    rng = np.random.default_rng(d)
    return features.fourier(rng.uniform(0.5, 2.0, m), scale * rng.normal(size=(m, d)))


def pair(shape, test_shape=None):
    """A grid and one that is shifted against it."""
    step = tuple(1 / n for n in shape)
    origin = tuple(0.3 / n for n in shape)
    return grid.Grid(shape, step, (0.0,) * len(shape)), grid.Grid(test_shape or shape, step, origin)


def flat(v):
    return v.points().reshape(-1, v.d)


def waves(mapping, v):
    """The features in numpy, float64."""
    a, B, v = (np.asarray(z, np.float64) for z in (mapping.a, mapping.B, flat(v)))
    return np.concatenate([a * np.sin(2 * np.pi * v @ B.T), a * np.cos(2 * np.pi * v @ B.T)], 1)


def dense(model, mapping, x, y):
    return kernels.ntk(model, mapping(flat(x)), mapping(flat(y)))


def error(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.abs(a - b).max() / np.abs(b).max()


# --------------------------------------------------------------------------------------------------
# Products


@some
def test_products_are_those_of_the_dense_matrix(shape, wide):
    """A finer grid, a coarser one and a shifted one of another size, and turned round; textbook
    kernel in numpy.
    """
    d = len(shape)
    with x64(wide):
        mapping, model = drawn(d), net(24)
        x, shifted = pair(shape, tuple(n + 2 for n in shape))
        finer = grid.Grid(tuple(2 * n for n in shape), tuple(h / 2 for h in x.step), shifted.origin)
        coarser = grid.Grid((2,) * d, tuple(3 * h for h in x.step), (0.0,) * d)
        for rows, columns in [(finer, x), (coarser, shifted)]:
            K = grid.ntk(model, mapping, rows, columns)
            expected = arccos_ntk(model, waves(mapping, rows), waves(mapping, columns))
            turned = grid.ntk(model, mapping, columns, rows)
            for matrix, wanted in ((K, expected), (turned, expected.T)):
                w = RNG.normal(size=(*matrix.columns.shape, 3))
                product = wanted @ w.reshape(-1, 3)
                assert error((matrix @ jnp.asarray(w)).reshape(-1, 3), product) < (
                    1e-9 if wide else 1e-5
                )
        w = RNG.normal(size=coarser.shape)
        assert error((turned @ jnp.asarray(w)).ravel(), expected.T @ w.ravel()) < (
            1e-9 if wide else 1e-5
        )


@pytest.mark.parametrize("shape", SHAPES[1:], ids=["2-D", "3-D"])
def test_separable_sum_is_the_plain_one(shape):
    """ntk (products of one matrix an axis) and toeplitz of ntk_stationary are one kernel; NTK
    parameterization.
    """
    x, shifted = pair(shape)
    mapping, model = drawn(len(shape)), net(24, parameterization="ntk")
    plain = grid.toeplitz(lambda delta: kernels.ntk_stationary(model, mapping, delta), shifted, x)
    assert error(grid.ntk(model, mapping, shifted, x).spectrum.real, plain.spectrum.real) < 1e-5


def test_any_stationary_kernel():
    x, shifted = pair((5, 6))

    def bump(delta):
        return jnp.exp(-(delta**2).sum(-1) / 0.02)

    expected = kernels.gaussian_kernel(flat(shifted), flat(x), 0.1)
    assert error(grid.toeplitz(bump, shifted, x).dense(), expected) < 1e-5


def test_training_and_test_pixels_of_an_image():
    """The paper's split: every second pixel, and the ones between, whose kernel is that of a shift."""
    (v, _), (v_test, _) = data.train_test_image(jnp.zeros((12, 16, 3)))
    mapping, model = drawn(2), net(24)
    K = grid.ntk(model, mapping, v_test, v)
    assert K.strides == ((1, 1), (1, 1)) and np.allclose(K.rows.origin, [1 / 12, 1 / 16])
    expected = kernels.ntk(model, mapping(v_test.reshape(-1, 2)), mapping(v.reshape(-1, 2)))
    assert error(K.dense(), expected) < 1e-5
    everywhere = grid.ntk(model, mapping, data.grid((12, 16)), v) @ jnp.ones((6, 8))
    assert error(everywhere[1::2, 1::2], K @ jnp.ones((6, 8))) < 1e-5


@pytest.mark.parametrize("shape", SHAPES[1:2], ids=["2-D"])
def test_symmetric_and_positive_up_to_rounding(shape):
    model = net(24)
    x, _ = pair(shape)
    for wide, bound in ((False, 1e-5), (True, 1e-13)):
        with x64(wide):
            mapping = drawn(len(shape), scale=0.5)
            K = np.asarray(grid.ntk(model, mapping, x).dense(), np.float64)
            assert np.abs(K - K.T).max() < bound * K.max()
            assert np.linalg.eigvalsh((K + K.T) / 2)[0] > -bound * np.linalg.norm(K, 2)


def test_gradients_with_respect_to_amplitudes_and_frequencies():
    """Of a product and of a regression: automatic against symmetric differences in float64."""
    x, shifted = pair((3, 4))
    y, probe = RNG.normal(size=(2, 3, 4))
    model = net(5)

    def predict(a, B):
        mapping = features.Mapping(a, B)
        K, K_test = grid.ntk(model, mapping, x), grid.ntk(model, mapping, shifted, x)
        return (probe * (K_test @ krylov.solve(K, jnp.asarray(y), 30.0).weights)).sum()

    def multiply(a, B):
        return (
            probe * (grid.ntk(model, features.Mapping(a, B), shifted, x) @ jnp.asarray(y))
        ).sum()

    with x64(True):
        a, B = jnp.asarray(RNG.uniform(0.5, 1.5, 5)), jnp.asarray(RNG.normal(size=(5, 2)))
        for function in (multiply, predict):
            by_a, by_B = jax.jit(jax.grad(function, (0, 1)))(a, B)
            function = jax.jit(function)
            np.testing.assert_allclose(
                by_a, central_difference(lambda a: function(a, B), a), rtol=1e-4, atol=1e-5
            )
            np.testing.assert_allclose(
                by_B, central_difference(lambda B: function(a, B), B), rtol=1e-4, atol=1e-5
            )


def test_product_under_jit_and_vmap():
    x, _ = pair((4, 5))
    K = grid.ntk(net(24), drawn(2), x)
    w = jnp.asarray(RNG.normal(size=(3, 4, 5)), jnp.float32)
    many = jax.jit(jax.vmap(lambda K, w: K @ w, (None, 0)))(K, w)
    assert error(many[1], K @ w[1]) < 1e-6


# --------------------------------------------------------------------------------------------------
# Spectrum


def test_rates_of_a_periodic_kernel_are_its_eigenvalues():
    """Whole frequencies on a grid of the unit square: K is circulant, its eigenvectors are the
    waves.
    """
    with x64(True):
        x = grid.regular(data.grid((6, 8)))
        mapping = features.fourier(np.ones(12), np.round(RNG.normal(size=(12, 2)) * 2))
        K = grid.ntk(net(12), mapping, x)
        found = np.sort(np.asarray(grid.rates(K)).ravel())
        np.testing.assert_allclose(
            found, np.linalg.eigvalsh(np.asarray(K.dense())), rtol=1e-9, atol=1e-9 * found[-1]
        )
        wave = jnp.cos(2 * jnp.pi * (x.points() @ jnp.array([2.0, -1.0])))
        np.testing.assert_allclose(K @ wave, grid.rates(K)[2, -1] * wave, atol=1e-9 * found[-1])


@each_shape
def test_rates_are_the_mean_rates_of_waves(shape):
    """In general: λ_f = φ_fᴴ K φ_f, so that their sum is the trace."""
    with x64(True):
        x, _ = pair(shape)
        K = grid.ntk(net(24), drawn(len(shape)), x)
        n, rates = x.size, np.asarray(grid.rates(K))
        waves = np.fft.fftn(np.eye(n).reshape(n, *shape), axes=range(1, 1 + len(shape))).reshape(
            n, n
        ) / np.sqrt(n)
        expected = np.einsum("if,ij,jf->f", waves.conj(), np.asarray(K.dense()), waves).real
        np.testing.assert_allclose(rates.ravel(), expected, rtol=1e-9)


def test_traces_and_largest_eigenvalue():
    x, _ = pair((9, 10))
    K = grid.ntk(net(24), drawn(2, scale=3.0), x)
    lam = np.linalg.eigvalsh(np.asarray(K.dense(), np.float64))
    ridge = 0.1 * lam.mean()
    for r in (ridge, 100 * ridge):
        dimension, spread = krylov.effective_dimension(K, r, KEY, probes=64)
        assert abs(dimension - (lam / (lam + r)).sum()) < 4 * spread
        assert spread < 0.03 * dimension
    assert 0.98 * lam[-1] < krylov.largest(K) < 1.0001 * lam[-1]


# --------------------------------------------------------------------------------------------------
# Regression and dynamics


@functools.cache
def problem(shape):
    """Dense answers in float64, with values of two channels: regression and dynamics at all points."""
    rng = np.random.default_rng(1)
    y, f0, f0_test = rng.normal(size=(3, *shape, 2))
    x, shifted = pair(shape)
    with x64(True):
        model, mapping = net(24), drawn(len(shape))
        K, K_test = (np.asarray(dense(model, mapping, g, x)) for g in (x, shifted))
        lam, Q = np.linalg.eigh(K)
        ridge = 1e-2 * lam.mean()
        regression = K_test @ np.linalg.solve(K + ridge * np.eye(len(K)), y.reshape(-1, 2))
        t = np.array([0.0, 1.0, 30.0, 1000.0]) / lam[-1]
        r = Q.T @ (y - f0).reshape(-1, 2)
        w = [Q @ (((1 - np.exp(-lam * s)) / lam)[:, None] * r) for s in t]
        at = np.stack([f0.reshape(-1, 2) + K @ v for v in w])
        elsewhere = np.stack([f0_test.reshape(-1, 2) + K_test @ v for v in w])
    return y, f0, f0_test, ridge, t, regression, at, elsewhere


@some
def test_regression_and_dynamics_agree_with_dense_formulas(shape, wide):
    """1e-10 in float64, 1e-5 in float32, against dense formulas in float64; the initial function is
    kept.
    """
    *given, ridge, t, regression, at, elsewhere = problem(shape)
    bound = 1e-10 if wide else 1e-5
    with x64(wide):
        y, f0, f0_test = map(jnp.asarray, given)
        x, shifted = pair(shape)
        model, mapping = net(24), drawn(len(shape))
        K, K_test = grid.ntk(model, mapping, x), grid.ntk(model, mapping, shifted, x)
        solution = krylov.solve(K, y, ridge)
        assert solution.steps < 60 and solution.residual < bound
        assert error((K_test @ solution.weights).reshape(-1, 2), regression) < bound
        found = dynamics.gradient_flow(K, y, t, f0)
        assert found.shape == (4, *shape, 2)
        assert error(found.reshape(at.shape), at) < bound
        found = dynamics.gradient_flow(K, y, t, f0, K_test, f0_test)
        assert error(found.reshape(elsewhere.shape), elsewhere) < 2 * bound


def test_one_channel_and_one_time():
    """Values without an axis of channels, and a single time, give answers without those axes."""
    y, f0, f0_test, ridge, t, *_ = problem((6, 7))
    with x64(True):
        x, shifted = pair((6, 7))
        model, mapping = net(24), drawn(2)
        K, K_test = grid.ntk(model, mapping, x), grid.ntk(model, mapping, shifted, x)
        alone, both = (krylov.solve(K, jnp.asarray(z), ridge).weights for z in (y[..., 1], y))
        assert alone.shape == (6, 7) and error(alone, both[..., 1]) < 1e-10
        one = dynamics.gradient_flow(K, y[..., 0], t[2], f0[..., 0], K_test, f0_test[..., 0])
        many = dynamics.gradient_flow(K, y, t, f0, K_test, f0_test)
        assert one.shape == (6, 7) and error(one, many[2, ..., 0]) < 1e-10


@both
def test_steps_without_the_matrix_are_those_of_the_matrix(wide):
    """Gradient descent too, at the points and elsewhere, also where ηλ exceeds 1; three numbers of
    steps.
    """
    with x64(wide):
        x, shifted = pair((5, 6))
        model, mapping = net(24), drawn(2)
        K, K_test = grid.ntk(model, mapping, x), grid.ntk(model, mapping, shifted, x)
        y, f0, f0_test = jnp.asarray(RNG.normal(size=(3, 5, 6)))
        for rate in (0.3, 1.9):
            how = np.array([0, 3, 40]), rate / krylov.largest(K)
            for rest in ((), (K_test, f0_test)):
                found = dynamics.gradient_descent(K, y, *how, f0, *rest)
                dense = [rest[0].dense(), rest[1].ravel()] if rest else []
                wanted = dynamics.gradient_descent(K.dense(), y.ravel(), *how, f0.ravel(), *dense)
                assert error(found.reshape(3, 30), wanted) < (1e-9 if wide else 2e-5)


def test_long_training_ends_in_regression():
    """The limit t → ∞ is ridge → 0, and a short time is a gradient step."""
    with x64(True):
        x, shifted = pair((5, 6))
        model, mapping = net(24), drawn(2, scale=4.0)
        K, K_test = grid.ntk(model, mapping, x), grid.ntk(model, mapping, shifted, x)
        y, f0 = jnp.asarray(RNG.normal(size=(2, 5, 6)))
        t = 40 / np.linalg.eigvalsh(np.asarray(K.dense()))[0]
        end = dynamics.gradient_flow(K, y, t, K_test=K_test)
        np.testing.assert_allclose(end, K_test @ krylov.solve(K, y).weights, atol=1e-8)
        t = 1e-6 / krylov.largest(K)
        step = (dynamics.gradient_flow(K, y, t, f0) - f0) / t
        np.testing.assert_allclose(step, K @ (y - f0), rtol=1e-4, atol=1e-4)


def test_memory_grows_as_the_number_of_points():
    """What the compiled regression of 512² pixels × 3 channels asks for: four times what 256² do,
    and under 1 GB.
    """

    def needed(n):
        x = grid.Grid((n, n), (1 / n,) * 2, (0.0, 0.0))
        K = grid.Toeplitz(
            jax.ShapeDtypeStruct((2 * n, n + 1), jnp.complex64), x, x, ((1, 1), (1, 1))
        )
        y, number = (
            jax.ShapeDtypeStruct((n, n, 3), jnp.float32),
            jax.ShapeDtypeStruct((), jnp.float32),
        )
        memory = (
            krylov._conjugate_gradients.lower(K, y, number, number, None)
            .compile()
            .memory_analysis()
        )
        return memory.temp_size_in_bytes + memory.argument_size_in_bytes

    assert needed(512) < min(4.2 * needed(256), 1e9)


def test_uneven_refinement_predicts_between_the_points():
    """Prediction on a grid three times finer passes through prediction on the coarse one."""
    x, _ = pair((8, 9))
    fine = grid.Grid((24, 27), tuple(h / 3 for h in x.step), (0.0, 0.0))
    model, mapping = net(24), drawn(2)
    y = jnp.sin(6 * x.points().sum(-1))
    K = grid.ntk(model, mapping, x)
    w = krylov.solve(K, y, 1.0).weights
    assert error((grid.ntk(model, mapping, fine, x) @ w)[::3, ::3], K @ w) < 1e-5


# --------------------------------------------------------------------------------------------------
# Through a measurement


SUMS = jnp.asarray(np.random.default_rng(2).normal(size=(9, 5, 6)), jnp.float32)


def project(f):
    """Nine weighted sums of a picture: a small scanner."""
    return jnp.einsum("kij,ij->k", SUMS.astype(f.dtype), f)


@both
def test_measurement_agrees_with_dense_formulas(wide):
    with x64(wide):
        x, _ = pair((5, 6))
        model, mapping = net(24), drawn(2)
        K, A = np.asarray(dense(model, mapping, x, x)), np.asarray(SUMS, np.float64).reshape(9, 30)
        measured = krylov.Measured(grid.ntk(model, mapping, x), project)
        z, f0 = jnp.asarray(RNG.normal(size=(2, 9, 2)))
        bound = 1e-10 if wide else 2e-5
        assert error(measured.adjoint(z).reshape(30, 2), A.T @ z) < bound
        assert error(measured @ z, A @ K @ A.T @ z) < bound
        AKA = A @ K.astype(np.float64) @ A.T
        ridge = 0.1 * np.trace(AKA) / 9
        w = np.linalg.solve(AKA + ridge * np.eye(9), np.asarray(z, np.float64))
        assert error(krylov.solve(measured, z, ridge).weights, w) < bound
        t = np.array([1.0, 50.0]) / np.linalg.eigvalsh(AKA)[-1]
        found = dynamics.gradient_flow(measured, z, t, f0, measured.K)
        with x64(True):
            weights = [
                dynamics.gradient_flow(AKA, np.asarray(z, float), s, np.asarray(f0, float))
                for s in t
            ]
        np.testing.assert_allclose(
            dynamics.gradient_flow(measured, z, t, f0), weights, atol=20 * bound
        )
        lam, Q = np.linalg.eigh(AKA)
        for s, f in zip(t, found, strict=True):
            w = Q @ (((1 - np.exp(-lam * s)) / lam)[:, None] * (Q.T @ np.asarray(z - f0, float)))
            assert error(f.reshape(30, 2), K @ A.T @ w) < 10 * bound


def test_adjoint_is_the_adjoint_for_complex_measurements():
    """⟨A f, z⟩ = ⟨f, Aᵀ z⟩ with the real part of the inner product."""
    x, _ = pair((5, 6))

    def A(f):
        return jnp.fft.fft2(f)[:3] * (1 + 2j)

    measured = krylov.Measured(grid.ntk(net(24), drawn(2), x), A)
    f = jnp.asarray(RNG.normal(size=(5, 6)), jnp.float32)
    z = jnp.asarray(RNG.normal(size=(3, 6)) + 1j * RNG.normal(size=(3, 6)), jnp.complex64)
    left, right = (A(f).conj() * z).sum().real, (f * measured.adjoint(z)).sum()
    np.testing.assert_allclose(left, right, rtol=1e-4)


def test_complex_measurements_count_as_pairs_of_real_ones():
    """Trace, largest eigenvalue and dynamics of Fourier samples, against the real dense matrix of
    parts.
    """
    with x64(True):
        x, _ = pair((5, 6))
        K = grid.ntk(net(24), drawn(2), x)

        def split(z):
            return jnp.concatenate([z.real.ravel(), z.imag.ravel()])

        def A(f):
            return jnp.fft.fft2(f)[:3]

        measured = krylov.Measured(K, A)
        parts = jax.vmap(lambda f: split(A(f.reshape(5, 6))))(jnp.eye(30)).T
        AKA = np.asarray(parts @ K.dense() @ parts.T)
        lam, Q = np.linalg.eigh((AKA + AKA.T) / 2)
        lam = np.maximum(lam, 0.0)
        np.testing.assert_allclose(krylov.largest(measured), lam[-1], rtol=1e-3)
        ridge = 0.1 * lam.mean()
        found, spread = krylov.effective_dimension(measured, ridge, KEY, probes=64)
        assert abs(found - (lam / (lam + ridge)).sum()) < 4 * spread < 0.2 * found
        y = A(jnp.asarray(RNG.normal(size=(5, 6))))
        t = 20 / lam[-1]
        expected = Q @ ((1 - np.exp(-lam * t)) * (Q.T @ np.asarray(split(y))))
        np.testing.assert_allclose(
            split(dynamics.gradient_flow(measured, y, t)), expected, atol=1e-9
        )
        real = krylov.solve(
            measured, y.real, 1.0
        ).weights  # numbers without imaginary part are complex numbers too
        np.testing.assert_array_equal(real, krylov.solve(measured, y.real + 0j, 1.0).weights)


@pytest.mark.parametrize("shape", [(16,), (8, 12)], ids=str)
@pytest.mark.parametrize("symmetric", [True, False])
def test_fourier_samples_of_a_periodic_kernel_are_filtered_zero_filling(shape, symmetric):
    """Regression from masked Fourier samples divides and multiplies frequency by frequency: no
    unknown frequency is filled in. f̂ = s/(s + ridge/N) ŷ where known, 0 elsewhere, s the kernel's
    spectrum; a frequency known without its mirror image counts half."""
    d = len(shape)
    with x64(True):
        x = grid.regular(data.grid(shape))
        mapping = features.fourier(np.ones(20), np.round(RNG.normal(size=(20, d)) * 2))
        K = grid.ntk(net(20), mapping, x)
        known = RNG.random(shape) < 0.4
        mirrored = np.roll(np.flip(known), 1, range(d))
        known = known | mirrored if symmetric else known
        mirrored = mirrored | known if symmetric else mirrored
        where = np.nonzero(known)

        def A(f):
            return jnp.fft.fftn(f)[where]

        y = A(jnp.asarray(RNG.normal(size=shape)))
        ridge = 40.0
        w = krylov.solve(krylov.Measured(K, A), y, ridge).weights
        found = K @ krylov.Measured(K, A).adjoint(w)
        filled = np.zeros(shape, complex)
        filled[where] = y
        full = np.where(known, filled, np.roll(np.flip(filled), 1, range(d)).conj())
        power = np.asarray(grid.rates(K)) * x.size * np.where(known & mirrored, 1.0, 0.5)
        expected = np.fft.ifftn(
            np.where(known | mirrored, power / (power + ridge), 0.0) * full
        ).real
        np.testing.assert_allclose(found, expected, atol=1e-10)


# --------------------------------------------------------------------------------------------------
# Bad input


SQUARE = grid.ntk(net(24), drawn(2), pair((4, 5))[0])
OBLONG = grid.ntk(net(24), drawn(2), pair((4, 5))[1], pair((4, 5))[0])
GRID = data.grid((4, 5))
ONE = jnp.ones((4, 5))
GRID20 = jnp.asarray(RNG.normal(size=(20, 20)), jnp.float32)
SMOOTH = grid.ntk(net(24), drawn(2, scale=0.1), pair((20, 20))[0])


@pytest.mark.parametrize(
    ("call", "kind", "parts"),
    [
        (lambda: grid.regular(GRID.at[1, 2, 0].add(0.1)), ValueError, ["not a regular grid", "axis 0"]),
        (lambda: grid.regular(GRID**2), ValueError, ["not a regular grid"]),
        (lambda: grid.regular(GRID.reshape(-1, 2)), ValueError, ["v must have shape", "(20, 2)", "reshape"]),
        (lambda: grid.regular(np.linspace(0, 1, 9)), ValueError, ["v must have shape", "(9,)", "v[:, None]"]),
        (lambda: grid.regular(GRID[::-1]), ValueError, ["must grow"]),
        (lambda: grid.regular(jnp.swapaxes(GRID, 0, 1)), ValueError, ["not a regular grid"]),
        (lambda: jax.jit(lambda v: grid.regular(v).size)(GRID), TypeError, ["concrete", "outside jax.jit"]),
        (lambda: grid.Grid((4,), (0.0,), (0.0,)), ValueError, ["step", "> 0"]),
        (lambda: grid.Grid((4, 4), (1.0,), (0.0,)), ValueError, ["shape, step and origin"]),
        (lambda: grid.ntk(net(24), drawn(2), GRID, data.grid(4)), ValueError, ["same dimension", "2 and 1"]),
        (lambda: grid.ntk(net(24), drawn(2), GRID, np.sqrt(2) * GRID), ValueError, ["steps of both grids"]),
        (lambda: grid.ntk(net(24), drawn(1), GRID), ValueError, ["mapping", "2 coordinates", "one of 1"]),
        (lambda: grid.ntk(net(24), features.none(2), GRID), TypeError, ["mapping", "features.Mapping"]),
        (lambda: SQUARE @ jnp.ones((5, 4)), ValueError, ["w must have", "(4, 5)", "(5, 4)"]),
        (lambda: krylov.solve(SQUARE, jnp.ones(20), 1.0), ValueError, ["y must have", "(4, 5)", "(20,)"]),
        (lambda: krylov.solve(SQUARE, ONE, -1.0), ValueError, ["ridge", ">= 0", "-1"]),
        (lambda: krylov.solve(OBLONG, ONE, 1.0), ValueError, ["one grid with itself"]),
        (lambda: krylov.solve(np.eye(4), ONE, 1.0), TypeError, ["K must be", "fflib.theory.grid"]),
        (lambda: krylov.solve(SQUARE, ONE.at[0, 0].set(np.nan), 1.0), ValueError, ["y", "NaN"]),
        (lambda: krylov.solve(SMOOTH, GRID20, 1e-3, tol=1e-9), ArithmeticError, ["did not converge", "wanted 1e-09", "ridge"]),
        (lambda: krylov.solve(krylov.Measured(OBLONG, jnp.sum), 1.0), ValueError, ["one grid with itself"]),
        (lambda: krylov.solve(krylov.Measured(SQUARE, jnp.ravel), 1j * np.ones(20), 1.0), TypeError, ["y must be real", "complex"]),
        (lambda: krylov.solve(krylov.Measured(SQUARE, jnp.ravel), ONE, 1.0), ValueError, ["y must have shape (20,) or (20, c)", "(4, 5)"]),
        (lambda: krylov.effective_dimension(SQUARE, 0.0, KEY), ValueError, ["ridge", "> 0"]),
        (lambda: krylov.effective_dimension(SQUARE, 1.0, KEY, probes=1), ValueError, ["probes", "at least 2"]),
        (lambda: dynamics.gradient_flow(SQUARE, ONE, -1.0), ValueError, ["t must be", "-1"]),
        (lambda: dynamics.gradient_flow(SQUARE, ONE, np.inf), ValueError, ["t must be", "finite"]),
        (lambda: dynamics.gradient_flow(SQUARE, ONE, 1.0, ONE.T), ValueError, ["f0", "(4, 5)", "(5, 4)"]),
        (lambda: dynamics.gradient_flow(SQUARE, ONE, 1.0, f0_test=ONE), ValueError, ["f0_test", "without K_test"]),
        (lambda: dynamics.gradient_flow(SQUARE, ONE, 1e12), ArithmeticError, ["20000 products", "shorter time"]),
    ],
)  # fmt: skip
def test_bad_input(call, kind, parts):
    assert_refused(call, kind, parts)
