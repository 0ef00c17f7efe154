"""Radial-basis embeddings: closed forms against autodiff, limits of dense bells, interpolation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import x64

from fflib.encodings import embeddings
from fflib.encodings.embeddings import Radial, radial, unit, volume_element, widths

KEY = jax.random.key(0)


def wavy(x):
    """A width that changes with the coordinate."""
    return 0.08 + 0.03 * jnp.sin(3 * x.sum(-1))


def made(kind):
    if kind == "line":
        return radial(20, 1), 1
    if kind == "axes":
        return radial(9, 2), 2
    if kind == "product":
        return radial(9, 2, product=True), 2
    if kind == "cube":
        return radial(8, 3, product=True), 3
    return Radial(jnp.linspace(-1, 2, 12), jax.random.normal(KEY, (5, 2))), 2


KINDS = ["line", "axes", "product", "cube", "directions"]


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_the_formula(kind):
    embedding, d = made(kind)
    x = jax.random.uniform(KEY, (4, d))
    z = np.asarray(embedding(x, wavy(x)))
    assert z.shape == (4, embedding.num_features)
    u = np.asarray(x) @ np.asarray(embedding.alpha).T
    for i in range(4):
        bells = [
            np.exp(-((a - np.asarray(embedding.t)) ** 2) / (2 * float(wavy(x)[i]) ** 2))
            for a in u[i]
        ]
        expected = bells[0]
        for bell in bells[1:]:
            expected = (
                np.outer(expected, bell).ravel() if embedding.product else np.append(expected, bell)
            )
        np.testing.assert_allclose(z[i], expected, rtol=2e-4, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_jacobian_and_volume_against_autodiff(kind):
    embedding, d = made(kind)
    x = jax.random.uniform(jax.random.key(1), (6, d))
    slope = jax.vmap(jax.grad(wavy))(x)
    J = embedding.jacobian(x, wavy(x), slope)
    expected = jax.jit(jax.vmap(jax.jacfwd(lambda p: embedding(p, wavy(p)))))(x)
    np.testing.assert_allclose(J, expected, rtol=1e-3, atol=2e-4)
    metric = jnp.einsum("nDa,nDb->nab", expected, expected)
    np.testing.assert_allclose(volume_element(J), jnp.sqrt(jnp.linalg.det(metric)), rtol=2e-3)
    constant = embedding.jacobian(x, 0.1)
    np.testing.assert_allclose(
        constant,
        jax.jit(jax.vmap(jax.jacfwd(lambda p: embedding(p, 0.1))))(x),
        rtol=1e-3,
        atol=2e-4,
    )


def test_volume_of_a_linear_map_is_its_determinant():
    J = jax.random.normal(KEY, (7, 3, 3))
    np.testing.assert_allclose(volume_element(J), np.abs(np.linalg.det(np.asarray(J))), rtol=1e-4)
    isometry = jnp.linalg.qr(jax.random.normal(KEY, (8, 3)))[0]
    np.testing.assert_allclose(volume_element(isometry @ J), volume_element(J), rtol=1e-4)


@pytest.mark.parametrize("slope", [0.0, 0.7])
def test_volume_of_dense_bells(slope):
    """‖dΦ/dx‖² → √π/(2hσ) (1 + 3/2 σ'²) raw, and (1 + σ'²)/(2σ²) for rows of length one."""
    embedding, sigma = radial(400, 1, margin=1.0), 0.1
    h = float(embedding.t[1] - embedding.t[0])
    x = jnp.array([[0.4]])
    raw = volume_element(embedding.jacobian(x, jnp.array([sigma]), slope))
    np.testing.assert_allclose(
        raw**2, np.sqrt(np.pi) / (2 * h * sigma) * (1 + 1.5 * slope**2), rtol=1e-4
    )
    scaled = jax.jit(jax.jacfwd(lambda p: unit(embedding(p, sigma + slope * (p[..., 0] - 0.4)))))(
        x[0]
    )
    np.testing.assert_allclose(
        volume_element(scaled) ** 2, (1 + slope**2) / (2 * sigma**2), rtol=1e-4
    )


@pytest.mark.parametrize(
    "arguments, parts",
    [
        (
            (jnp.ones((4, 1)), 0.1, jnp.ones(3), 0.1),
            r"x1 must have shape \(n,\), but got shape \(4, 1\)",
        ),
        (
            (jnp.ones(4), 0.1, jnp.ones(3), 0.0),
            "sigma2 must be > 0 everywhere, but its least is 0.0",
        ),
        (
            (jnp.ones(4), 0.1, jnp.ones(3), jnp.ones(4)),
            r"sigma2 must have shape \(\) or \(3,\), but got shape \(4,\)",
        ),
    ],
)
def test_gibbs_kernel_refuses(arguments, parts):
    with pytest.raises(ValueError, match=parts):
        embeddings.gibbs_kernel(*arguments)


def test_inner_products_are_gibbs_kernel():
    embedding = radial(300, 1, margin=1.0)
    x = jnp.linspace(0, 1, 11)
    s = 0.05 + 0.1 * x**2
    z = unit(embedding(x[:, None], s))
    K = embeddings.gibbs_kernel(x, s, x, s)
    np.testing.assert_allclose(z @ z.T, K, atol=1e-5)
    assert float(jnp.linalg.eigvalsh(K).min()) > -1e-5


@pytest.mark.parametrize(
    ("embedding", "atol"),
    [(radial(200, 1, margin=1.0), 1e-5), (radial(40, 2, product=True, margin=0.6), 2e-3)],
)
def test_one_width_is_shift_invariant(embedding, atol):
    """A function of x − x′: a Gaussian of width √2 σ, on the line and for products in the plane."""
    d = embedding.alpha.shape[1]
    x = jax.random.uniform(KEY, (6, d))
    apart = jnp.linalg.norm(x[:, None] - x, axis=-1)
    z, moved = unit(embedding(x, 0.1)), unit(embedding(x - 0.13, 0.1))
    np.testing.assert_allclose(z @ z.T, moved @ moved.T, atol=atol)
    np.testing.assert_allclose(z @ z.T, jnp.exp(-(apart**2) / (4 * 0.1**2)), atol=atol)
    changing = unit(embedding(x, 0.05 + 0.1 * x[:, 0]))
    assert float(jnp.abs(changing @ changing.T - z @ z.T).max()) > 0.05


def test_products_of_axes_multiply_kernels():
    x = jax.random.uniform(KEY, (5, 2))
    both = radial(30, 2, product=True)(x, 0.1)
    one = radial(30, 1)
    K = (lambda a, b: (a @ a.T) * (b @ b.T))(one(x[:, :1], 0.1), one(x[:, 1:], 0.1))
    np.testing.assert_allclose(both @ both.T, K, rtol=1e-4)
    listed = radial(30, 2)(x, 0.1)
    np.testing.assert_allclose(
        listed @ listed.T,
        sum(one(x[:, [a]], 0.1) @ one(x[:, [a]], 0.1).T for a in (0, 1)),
        rtol=1e-4,
    )


def test_float32_agrees_with_float64():
    x = np.random.default_rng(0).random((50, 2))
    embedding = radial(20, 2)
    near = unit(embedding(jnp.asarray(x, jnp.float32), wavy(jnp.asarray(x, jnp.float32))))
    with x64(True):
        far = radial(20, 2)
        exact = np.asarray(unit(far(jnp.asarray(x), wavy(jnp.asarray(x)))))
    assert near.dtype == jnp.float32 and exact.dtype == np.float64
    np.testing.assert_allclose(near, exact, atol=5e-6)


def test_widths_interpolate():
    """Linear between the control points in the logarithm, constant for one, exact at the points."""
    log_sigma = jnp.log(jnp.array([0.1, 0.2, 0.05]))
    x = jnp.array([[0.0], [0.25], [0.5], [0.9], [1.0]])
    expected = np.exp(np.interp(x[:, 0], [0, 0.5, 1], log_sigma))
    np.testing.assert_allclose(widths(log_sigma, x), expected, rtol=1e-5)
    np.testing.assert_allclose(widths(jnp.full(1, jnp.log(0.3)), x), 0.3, rtol=1e-6)
    plane = jax.random.normal(KEY, (4, 3))
    corners = jnp.stack(jnp.meshgrid(jnp.arange(4) / 3, jnp.arange(3) / 2, indexing="ij"), -1)
    np.testing.assert_allclose(widths(plane, corners), jnp.exp(plane), rtol=1e-5)
    gradient = jax.grad(lambda a: widths(a, x).sum())(log_sigma)
    step = jax.random.normal(KEY, (3,)) * 1e-3
    change = (widths(log_sigma + step, x).sum() - widths(log_sigma - step, x).sum()) / 2
    np.testing.assert_allclose(gradient @ step, change, rtol=1e-2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: radial(1, 1), "m must be at least 2"),
        (lambda: radial(4, 1, margin=-1.0), "margin must be"),
        (lambda: radial(4, 2)(jnp.ones((3, 1)), 0.1), r"x must have shape \(..., 2\)"),
        (
            lambda: radial(4, 1)(jnp.ones((3, 1)), jnp.ones(2)),
            r"sigma must have shape \(\) or \(3,\)",
        ),
        (lambda: radial(4, 1)(jnp.ones((3, 1)), 0.0), "sigma must be > 0"),
        (lambda: radial(4, 1)(jnp.ones((3, 1)), jnp.array([0.1, -0.1, 0.1])), "sigma must be > 0"),
        (lambda: radial(4, 1)(jnp.full((3, 1), jnp.nan), 0.1), "NaN"),
        (lambda: volume_element(jnp.ones((2, 3))), "D at least d"),
        (
            lambda: widths(jnp.zeros(3), jnp.ones((2, 2))),
            r"x must have shape \(..., 1\), but got shape \(2, 2\)",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
    with pytest.raises(TypeError, match="floating-point"):
        radial(4, 1)(jnp.ones((3, 1), int), 0.1)
