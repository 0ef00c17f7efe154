r"""Regression and functions of a kernel from products with it alone.

For kernels on grids (:mod:`fflib.theory.grid`), seen directly or through a linear measurement.
Conjugate gradients solve, Chebyshev's polynomials stand for training; both look for their answer in
the Krylov space of y, Ky, K²y, …
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from fflib import checks
from fflib.theory import grid
from fflib.theory.grid import Toeplitz

MAX_STEPS = 1000  # of conjugate gradients
MAX_DEGREE, BLOCK = 20_000, 16  # of Chebyshev polynomials, and how many are held at a time


@partial(jax.tree_util.register_dataclass, data_fields=["K"], meta_fields=["A"])
@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """The kernel A K Aᵀ that training sees through linear measurements of a function on a grid.

    K is the kernel of the grid with itself, else ValueError or TypeError, A a linear function of an
    array of its shape. ``measured @ z`` takes z of the measurements' shape, or that and a last axis
    c of channels, each measured alike. A complex number counts as two real ones: the inner product
    is Re Σ z̄₁ z₂, and Aᵀ, made by JAX, the adjoint in it. Chapter: The closed form at image scale.
    """

    K: Toeplitz
    A: Callable

    def adjoint(self, z) -> jax.Array:
        """Aᵀ z on the grid: ``K_test @ measured.adjoint(w)`` predicts from weights w."""
        transpose = jax.linear_transpose(self.A, _observed(self.K))
        return _each_channel(lambda z: transpose(z.conj())[0], z, len(_observed(self).shape))

    def __matmul__(self, z) -> jax.Array:
        return _each_channel(self.A, self.K @ self.adjoint(z), self.K.rows.d)


def _each_channel(function, x, d: int):
    return function(x) if jnp.ndim(x) == d else jax.vmap(function, -1, -1)(x)


def _observed(K: Toeplitz | Measured) -> jax.ShapeDtypeStruct:
    """Shape and dtype of what K multiplies, without channels."""
    if isinstance(K, Measured):
        return jax.eval_shape(K.A, _observed(K.K))
    return jax.ShapeDtypeStruct(grid.square("K", K).rows.shape, K.spectrum.real.dtype)


def problem(K: Toeplitz | Measured, y, name: str = "y") -> jax.Array:
    """The values y, checked, with an axis of channels. Chapter: The closed form at image scale."""
    like = _observed(K)
    if isinstance(K, Toeplitz):
        y = grid.on_grid(name, y, K.rows)
    else:
        y = jnp.asarray(y)
        if jnp.iscomplexobj(y) and not jnp.issubdtype(like.dtype, jnp.complexfloating):
            raise TypeError(f"{name} must be real, as what A measures, got {checks.describe(y)}")
        y = checks.finite(name, y.astype(like.dtype))
        checks.shaped(name, y, like.shape, (*like.shape, "c"))
    return y if y.ndim > len(like.shape) else y[..., None]


def _dot(a, b):
    """Re Σ ā b for each channel: (..., c), (..., c) -> (c,)."""
    return (a.conj() * b).real.sum(axis=tuple(range(a.ndim - 1)))


def _tolerance(dtype) -> float:
    return 1e-12 if dtype in (jnp.float64, jnp.complex128) else 1e-6


class Solution(NamedTuple):
    """Weights of a regression, of y's shape, steps of conjugate gradients, and the residual ‖y − (K
    + ridge·I) w‖ / ‖y‖, the worst channel's in the preconditioner's norm. Chapter: The closed form
    at image scale.
    """

    weights: jax.Array
    steps: jax.Array
    residual: jax.Array


def solve(
    K: Toeplitz | Measured, y, ridge: float = 0.0, *,
    tol: float | None = None, precondition: Callable | None = None,
) -> Solution:  # fmt: skip
    """Kernel regression: (K + ridge·I) w = y by preconditioned conjugate gradients (Eq. 1).

    Predictions are ``K_test @ w``, or ``K_test @ K.adjoint(w)`` through a measurement.
    Differentiable in K, y and ridge.

    Args:
        K: kernel of the observations.
        y: observed values, of K's shape, or that and (c,) for c channels.
        ridge: added to the diagonal: the variance of the noise, ≥ 0.
        tol: relative residual to reach (default 1e-6 in float32, 1e-12 in float64).
        precondition: function r ↦ M⁻¹ r of arrays like y with channels, M ≈ K + ridge·I positive
            definite (default: on a grid the circulant matrix of :func:`fflib.theory.grid.rates`).

    Raises: ValueError for shapes that disagree or a negative ridge; ArithmeticError for a residual
    above tol after 1000 steps, or which rounding keeps above 100 tol. Chapter: The closed form at
    image scale.
    """
    b = problem(K, y)
    added = jnp.asarray(checks.positive("ridge", ridge, zero=True), b.real.dtype)
    wanted = checks.positive("tol", _tolerance(b.dtype) if tol is None else tol)
    w, (steps, reached, residual) = _conjugate_gradients(K, b, added, wanted, precondition)
    if not checks.traced(residual) and not (reached <= wanted and residual <= 100 * wanted):
        raise ArithmeticError(
            f"conjugate gradients in {b.dtype} did not converge: the relative residual is "
            f"{float(residual):.2g} after {int(steps)} steps, wanted {wanted:.2g}. Raise ridge "
            f"(now {float(added):.3g}) or tol, or use float64"
        )
    return Solution(w.reshape(jnp.shape(y)), steps, residual)


def _circulant_inverse(K: Toeplitz, ridge):
    """r ↦ (C + ridge·I)⁻¹ r for the circulant matrix C nearest to K: a division of the spectrum."""
    rates, shape = jax.lax.stop_gradient(grid.rates(K)), K.rows.shape
    floor = 4 * jnp.finfo(rates.dtype).eps * rates.max()
    gain = 1 / (jnp.maximum(rates, floor) + jax.lax.stop_gradient(ridge))
    axes, half = range(K.rows.d), gain[..., : shape[-1] // 2 + 1, None]
    return lambda r: jnp.fft.irfftn(jnp.fft.rfftn(r, axes=axes) * half, shape, axes)


@partial(jax.jit, static_argnames="precondition")
def _conjugate_gradients(K, b, ridge, tol, precondition):
    """jax.scipy's takes all channels for one vector, and tells neither steps nor residual."""
    if precondition is None:
        precondition = _circulant_inverse(K, ridge) if isinstance(K, Toeplitz) else lambda r: r

    def system(x):
        return K @ x + ridge * x

    def iterate(matvec, b):
        z = precondition(b)
        start = jnp.maximum(_dot(b, z), jnp.finfo(z.real.dtype).tiny)

        def going_on(state):
            *_, rz, k = state
            return (k < MAX_STEPS) & ~(jnp.sqrt(rz / start).max() <= tol)

        def step(state):
            x, r, p, rz, k = state
            q = matvec(p)
            a = jnp.where(rz > 0, rz / _dot(p, q), 0.0)
            x, r = x + a * p, r - a * q
            z = precondition(r)
            new = _dot(r, z)
            return x, r, z + jnp.where(rz > 0, new / rz, 0.0) * p, new, k + 1

        begin = jnp.zeros_like(b), b, z, _dot(b, z), 0
        x, _, _, rz, k = jax.lax.while_loop(going_on, step, begin)
        rest = b - matvec(x)
        true = jnp.sqrt(jnp.maximum(_dot(rest, precondition(rest)), 0.0) / start).max()
        return x, (k, jnp.sqrt(rz / start).max(), true)

    return jax.lax.custom_linear_solve(system, b, iterate, symmetric=True, has_aux=True)


def effective_dimension(
    K: Toeplitz | Measured, ridge: float, key: jax.Array, *, probes: int = 8
) -> tuple[float, float]:
    """tr K (K + ridge·I)⁻¹ and its standard error: how many numbers about y the regression fits.

    The mean of zᵀ K (K + ridge·I)⁻¹ z over at least 2 random vectors z of signs (Hutchinson 1989),
    ±1 ± i for complex measurements; ridge > 0. Raises: as :func:`solve`. Chapter: The closed form
    at image scale.
    """
    ridge, probes = checks.positive("ridge", ridge), checks.count("probes", probes, least=2)
    like = _observed(K)
    shape, real = (2, *like.shape, probes), jnp.zeros((), like.dtype).real.dtype
    z = jax.random.rademacher(checks.key("key", key), shape, real)
    z = z[0] + 1j * z[1] if jnp.issubdtype(like.dtype, jnp.complexfloating) else z[0]
    values = np.asarray(_dot(z, z - ridge * solve(K, z, ridge, tol=1e-4).weights), float)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(probes))


def largest(K: Toeplitz | Measured) -> float:
    """The largest eigenvalue λ₁ of K, to a thousandth, by scipy's Lanczos iteration.

    Plain gradient descent on ½ Σ (f − y)² diverges at learning rates above 2/λ₁. Chapter: The
    closed form at image scale.
    """
    like = _observed(K)
    real = np.empty(0, like.dtype).real.dtype
    parts = like.dtype.itemsize // real.itemsize  # of a number: two when complex
    start = np.random.default_rng(0).normal(size=(*like.shape, parts)).ravel()

    def product(z):
        w = _multiply(K, z.astype(real).view(like.dtype).reshape(like.shape))
        return np.asarray(w).ravel().view(real)

    if len(start) == 1:
        return float(product(np.ones(1))[0])
    operator = LinearOperator((len(start),) * 2, product, dtype=real)  # pyright: ignore[reportCallIssue] — scipy's own way to call it
    top = eigsh(operator, 1, v0=start, tol=1e-3, return_eigenvectors=False)  # pyright: ignore[reportArgumentType] — tol is a float
    return float(top[0])


@jax.jit
def _multiply(K, z):
    return K @ z


def function_of(K: Toeplitz | Measured, r, function: Callable, *, weighted: bool = False):
    """function(K) r by a polynomial in K: (T, ..., c) for T functions at once.

    On the whole spectrum it differs from the smooth function, (k,) eigenvalues > 0 ↦ (k,) or (T, k)
    in float64, by less than 1e-6 (1e-12 in float64), with ``weighted`` after multiplication with
    λ₁. For e^{−λt} it takes about √(λ₁ t) products with K. r has K's shape and (c,). Raises:
    ArithmeticError for more than 20 000 products. Chapter: The closed form at image scale.
    """
    top = 1.05 * largest(K)
    c = _chebyshev(lambda lam: np.atleast_2d(function(np.maximum(lam, 1e-30 * top))), top)
    # error of the function when cut before degree j
    tail = np.abs(c)[:, ::-1].cumsum(1)[:, ::-1].max(0) * (top if weighted else 1.0)
    tol = _tolerance(r.dtype)
    if tail[-1] > tol:
        raise ArithmeticError(
            f"training for so long needs more than {MAX_DEGREE} products with the kernel, whose "
            f"largest eigenvalue is {top:.3g}: take a shorter time"
        )
    degree = BLOCK * -(-max(int((tail > tol).sum()), 1) // BLOCK)
    c = np.pad(c, ((0, 0), (0, max(0, degree - c.shape[1]))))[:, :degree]
    c = c.reshape(len(c), -1, BLOCK).swapaxes(0, 1)
    return _polynomial(K, r, jnp.asarray(c, r.real.dtype), top)


def _chebyshev(function, top: float):
    """c (T, k) with function(λ) ≈ Σ_j c_j T_j(2λ/top − 1) on [0, top], of the degree it takes."""
    n = 64
    while True:
        values = function(top * np.cos(np.pi * np.arange(n + 1) / (2 * n)) ** 2)  # the last is 0
        c = np.fft.rfft(np.concatenate([values, values[:, -2:0:-1]], 1)).real / n
        c[:, [0, -1]] /= 2
        small = np.abs(c[:, -n // 4 :]).max() * n < 1e-14 * np.abs(values).max()
        if small or n // 2 >= MAX_DEGREE:
            return c[:, : min(n + 1, MAX_DEGREE)]
        n *= 2


@jax.jit
def _polynomial(K, r, c, top):
    """Σ_j c_j T_j(2K/top − I) r for c (blocks, T, BLOCK): (T, ..., channels)."""

    def step(state, _):
        before, now = state
        return (now, 2 * (2 / top * (K @ now) - now) - before), now

    def add(carry, c):
        state, V = jax.lax.scan(step, carry[0], length=BLOCK)
        return (state, carry[1] + jnp.tensordot(c, V, 1, precision="highest")), None

    # T₋₁ = T₁, so that the recurrence starts by itself
    start = 2 / top * (K @ r) - r, r
    zero = jnp.zeros((c.shape[1], *r.shape), r.dtype)
    return jax.lax.scan(add, (start, zero), c)[0][1]
