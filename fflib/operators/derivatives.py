r"""Derivatives of a coordinate network as data, and what they do to its kernel.

Instruments that measure slopes and differential equations see A f instead of f, with A a derivative
in the coordinates. Here an operator takes a function and returns one, as in the equation:

    u = lambda v: model(params, gamma(v))[..., 0]
    residual = laplacian(u)(v) + g

Functions act on each point of an array (..., d) by itself. Then one forward pass carries a
derivative along with the values at all points (``jax.jvp``); no Jacobian matrix is ever formed.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp

from fflib import checks
from fflib.features import Mapping
from fflib.network import MLP
from fflib.theory import kernels


def value(f: Callable) -> Callable:
    """A f = f, the operator of plain regression. Raises, as do those that follow: TypeError when f
    is no function, ValueError when it does not act point by point. Chapter: Derivatives as data.
    """
    if not callable(f):
        raise TypeError(f"f must be a function of coordinates, but got {checks.describe(f)}")

    def checked(v):
        y = f(v)
        shapes = f"{v.shape} that became {jnp.shape(y)}"
        right = jnp.shape(y)[: v.ndim - 1] == v.shape[:-1]
        checks.must(right, "f", "act on each point of (..., d) by itself", shapes)
        return y

    return checked


def along(axis: int) -> Callable:
    """The operator A f = ∂f/∂v_axis: ``along(0)(f)`` maps v (..., d) to an array of f's shape.

    It takes twice the multiplications of f. Raises: TypeError or ValueError for an axis that is no
    whole number ≥ 0, or that the points lack. Chapter: Derivatives as data.
    """
    axis = checks.count("axis", axis, least=0)

    def operator(f):
        f = value(f)

        def derivative(v):
            axes = _axes(v := checks.coordinates("v", v, None))
            checks.must(axis < len(axes), "axis", f"be below {len(axes)}, of the points", axis)
            return _slope(f, v, axes[axis])

        return derivative

    return operator


def gradient(f: Callable) -> Callable:
    """∇f: v (..., d) to f's shape and a last axis d, forward along each: 1 + d times f's work.

    Reverse mode takes about three whatever d is, but not inside a loss, which is differentiated
    once more. Raises: TypeError for integer coordinates. Chapter: Derivatives as data.
    """
    f = value(f)

    def slopes(v):
        v = checks.coordinates("v", v, None)
        return jax.vmap(partial(_slope, f, v), out_axes=-1)(_axes(v))

    return slopes


def divergence(F: Callable) -> Callable:
    """∇·F = Σ_j ∂F_j/∂v_j of a field, (..., d) to (..., d). Chapter: Derivatives as data."""

    def sources(v):
        J = gradient(F)(v)
        right = J.shape == (*jnp.shape(v), jnp.shape(v)[-1])
        shapes = f"{jnp.shape(v)} that became {J.shape[:-1]}"
        checks.must(right, "F", "map (..., d) to (..., d)", shapes)
        return jnp.trace(J, axis1=-2, axis2=-1)

    return sources


def laplacian(f: Callable) -> Callable:
    """Δf = Σ_j ∂²f/∂v_j²: v (..., d) to f's shape, forward mode twice along each axis.

    It takes 1 + 2d times the multiplications of f. Of a ReLU network it is 0 wherever it exists: no
    error says so. Raises: as :func:`gradient`. Chapter: Derivatives as data.
    """
    f = value(f)

    def second(v):
        v = checks.coordinates("v", v, None)
        return jax.vmap(lambda e: _slope(lambda u: _slope(f, u, e), v, e))(_axes(v)).sum(0)

    return second


def _slope(f, v, e):
    """The derivative of f at v in the direction e."""
    return jax.jvp(f, (v,), (jnp.broadcast_to(e, v.shape),))[1]


def _axes(v):
    return jnp.eye(v.shape[-1], dtype=v.dtype)


def observed(kernel: Callable, A: Callable, B: Callable | None = None) -> Callable:
    """The covariance of A f at x with B f at x' as a function of Δ = x − x': A_x B_x' k(x − x').

    A and B (A if absent) have constant coefficients and give a scalar: :func:`value`,
    :func:`along`, :func:`laplacian`, or a function made of them. The stationary kernel k(Δ), (...,
    d) to (...), must be smooth at Δ = 0: a ReLU network's is not. Chapter: Derivatives as data.
    """
    B = A if B is None else B
    # x' ↦ k(x − x') is u ↦ k(−u) at u = x' − x = −Δ; constant coefficients move along
    return A(lambda delta: B(lambda u: kernel(-u))(-delta))


def covariances(kernel: Callable, rows: Sequence, columns: Sequence | None = None) -> jax.Array:
    """The matrix A K Bᵀ of several kinds of observation at once, in blocks: (Σ n_i, Σ m_j).

    ``rows`` is a list of (operator, points (n_i, d)), what is observed and where, ``columns`` the
    same (default: the rows); k(Δ) is stationary. Raises: ValueError for an empty list or points of
    different dimension; MemoryError when too large. Chapter: Derivatives as data.
    """
    rows = _observations("rows", rows)
    columns = rows if columns is None else _observations("columns", columns, rows[0][1].shape[1])
    sizes = [sum(len(x) for _, x in side) for side in (rows, columns)]
    kernels.fits_in_memory("the matrix of covariances", *sizes, arrays=4)
    return jnp.block([
        [jax.jit(observed(kernel, A, B))(x[:, None] - y[None]) for B, y in columns] for A, x in rows
    ])  # fmt: skip


def _observations(name, observations, d=None):
    right = isinstance(observations, (list, tuple)) and observations
    checks.must(right, name, "be a list of (operator, points)", repr(observations))
    checked = []
    for i, (A, x) in enumerate(observations):
        if not callable(A):
            raise TypeError(f"{name}[{i}] must begin with an operator, but got {A!r}")
        checked.append((A, checks.points(f"{name}[{i}]", x, d)))
        d = checked[0][1].shape[1]
    return checked


def symbol(A: Callable, k) -> jax.Array:
    """What A does to a wave: A e^{2πi k·v} = symbol · e^{2πi k·v}; complex, (...) for k (..., d).

    2πi k_j for ``along(j)``, −4π²‖k‖² for ``laplacian``; k in cycles per unit of v. Training on A f
    instead of f multiplies the kernel's eigenvalue of that wave by ‖symbol‖². A as in
    :func:`observed`. Raises: ValueError or TypeError for bad k. Chapter: Derivatives as data.
    """
    k = checks.real_array("k", k, (..., "d"), integers=True)
    at = jnp.zeros_like(k)  # the wave is 1 here
    return A(lambda v: jnp.exp(2j * jnp.pi * (v * k).sum(-1)))(at)


def sine_ntk(model: MLP, mapping: Mapping, delta) -> jax.Array:
    """The NTK of a network with activation "sin" behind γ(v), as a function of Δ = v − v'.

    It may be differentiated at Δ = 0, where the ReLU's has a cusp. With q the variance and c the
    covariance of two pre-activations,

        E[sin u sin u'] = e^{−q} sinh c,     E[cos u cos u'] = e^{−q} cosh c,

    and Θ = w⟨a, a'⟩ + β + s² n_in E[cos u cos u'] Θ_previous, layer by layer as in
    :func:`fflib.theory.kernels.relu_recursion`. Δ (..., d) gives (...). Raises: ValueError or
    TypeError for other activations, models, mappings and offsets. Chapter: Derivatives as data.
    """
    kernels.fitting(model, mapping)
    if model.activation != "sin":
        raise ValueError(f"model must have activation 'sin', but has {model.activation!r}")
    inner, norm, theta, slope = mapping.kernel(delta), (mapping.a**2).sum(), jnp.zeros(()), 0.0
    for (n_in, n_out), s, t in zip(model.fans, model.weight_std, model.bias_std, strict=True):
        w, beta = (1.0, 1.0) if model.parameterization == "standard" else (s**2, t**2)
        theta = w * inner + beta + s**2 * n_in * slope * theta
        c, q = s**2 * inner + t**2, s**2 * norm + t**2
        near, far = jnp.exp(c - q), jnp.exp(-c - q)
        slope = (near + far) / 2
        inner, norm = n_out * (near - far) / 2, n_out * (1 - jnp.exp(-2 * q)) / 2
    return theta
