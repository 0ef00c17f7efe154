r"""What training does to a network with a kernel on a grid, without the matrix.

The dynamics of :mod:`fflib.theory.kernels` for kernels on grids (:mod:`fflib.theory.grid`), seen directly or through a
measurement (:class:`fflib.theory.measured.Measured`).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks
from fflib.theory import grid
from fflib.theory.grid import Toeplitz
from fflib.theory.krylov import largest
from fflib.theory.measured import Measured, problem

BLOCK = 16  # Chebyshev polynomials that are held at a time


def gradient_flow(
    K: Toeplitz | Measured,
    y,
    t,
    f0=None,
    K_test: Toeplitz | None = None,
    f0_test=None,
    *,
    tol: float | None = None,
    max_steps: int = 20_000,
) -> jax.Array:
    """What a network with kernel K has learned after gradient flow of ½ Σ (f − y)² for time t (Eqs. 3, 4).

    As :func:`fflib.theory.dynamics.gradient_flow`, without the matrix:
    f_t = f₀ + K w_t with w_t = K⁻¹ (I − e^{−Kt}) (y − f₀), and f*_t = f*₀ + K* w_t elsewhere (K* Aᵀ w_t
    when K is the kernel of measurements). K⁻¹ (I − e^{−Kt}) is a smooth function of K, replaced by a
    polynomial that differs from it by less than the tolerance on the whole spectrum; about √(λ₁ t) products
    with K evaluate it, λ₁ its largest eigenvalue, for all times at once.

    Args:
        K: kernel of the observations.
        y: observed values, of K's shape, or that and (c,).
        t: time, a number or (T,), finite: steps × learning rate for ½·sum loss, divided by the number
            of values for ½·mean loss. (For t = ∞ use :func:`fflib.theory.krylov.solve`.)
        f0: initial function, observed like y (default 0).
        K_test: kernel between other points and K's grid.
        f0_test: initial function there (default 0).
        tol: bound for the error of f_t at the observations, relative to y − f₀ (default 1e-6 in float32,
            1e-12 in float64); rounding comes on top, about λ₁ t times the dtype's for the slowest components.
        max_steps: products it may take.

    Returns: the function at the observations, or, when K_test is given, at its rows; with a leading axis of
    times if t has one.

    Raises: ValueError for shapes that disagree or times that are negative or infinite; ArithmeticError
    when max_steps are too few. Not for use inside ``jax.jit``: how many products it takes is decided by K's numbers.

    Chapter: The closed form at image scale.
    """
    b = problem(K, y)
    f0 = jnp.zeros_like(b) if f0 is None else problem(K, f0, "f0")
    if f0.shape != b.shape:
        raise ValueError(f"f0 must have y's shape {jnp.shape(y)}, but got {f0.shape}")
    times = np.asarray(t, np.float64)
    if times.ndim > 1 or not (times >= 0).all() or not np.isfinite(times).all():
        raise ValueError(f"t must be a number >= 0 or an array (T,) of them, finite, but got {t}")
    times = np.atleast_1d(times)
    if K_test is None:
        if f0_test is not None:
            raise ValueError("f0_test was given without K_test")
        f, start = _function(K, b - f0, _learned, times, tol, max_steps), f0
    else:
        w = _function(K, b - f0, _gain, times, tol, max_steps)
        f, start = _products(K_test, _adjoints(K, w) if isinstance(K, Measured) else w), 0.0
        if f0_test is not None:
            start = grid.on_grid("f0_test", f0_test, K_test.rows)
            start = start if start.ndim > K_test.rows.d else start[..., None]
    f = start + f
    f = f if jnp.ndim(y) == b.ndim else f[..., 0]
    return f if np.ndim(t) else f[0]


@jax.jit
def _products(K, w):
    """K w for every time: (T, ..., c)."""
    return jax.lax.map(lambda w: K @ w, w)


@jax.jit
def _adjoints(K, w):
    return jax.lax.map(K.adjoint, w)


def _function(K, r, function, times, tol, max_steps):
    """function(K, t) r for times (T,): (T, ..., c)."""
    double = r.dtype in (jnp.float64, jnp.complex128)
    tol = checks.positive("tol", (1e-12 if double else 1e-6) if tol is None else tol)
    top = 1.05 * largest(K)
    c = _chebyshev(lambda lam: function(lam, times), top, checks.count("max_steps", max_steps))
    tail = (
        np.abs(c)[:, ::-1].cumsum(1)[:, ::-1].max(0)
    )  # error of the function when cut before degree j
    tail = tail * (top if function is _gain else 1.0)  # … and of f_t
    if tail[-1] > tol:
        raise ArithmeticError(
            f"training for time {times.max():.3g} needs more than max_steps = {max_steps} products with the kernel, "
            f"whose largest eigenvalue is {top:.3g}: raise max_steps, or take a shorter time"
        )
    degree = BLOCK * -(-max(int((tail > tol).sum()), 1) // BLOCK)
    c = np.pad(c, ((0, 0), (0, max(0, degree - c.shape[1]))))[:, :degree]
    return _polynomial(
        K, r, jnp.asarray(c.reshape(len(times), -1, BLOCK).swapaxes(0, 1), r.real.dtype), top
    )


def _gain(lam, times):
    """(1 − e^{−λt})/λ for λ ≥ 0 and every time: (T, k)."""
    x = np.outer(times, lam)
    return times[:, None] * np.where(x > 0, -np.expm1(-x) / np.where(x > 0, x, 1.0), 1.0)


def _learned(lam, times):
    """1 − e^{−λt}: (T, k)."""
    return -np.expm1(-np.outer(times, lam))


def _chebyshev(function, top: float, degree: int):
    """c (T, k) with function(λ) ≈ Σ_j c_j T_j(2λ/top − 1) on [0, top], of the degree it takes, or the given one."""
    n = 64
    while True:
        values = function(
            top * np.cos(np.pi * np.arange(n + 1) / (2 * n)) ** 2
        )  # λ = 0 is among the nodes
        c = np.fft.rfft(np.concatenate([values, values[:, -2:0:-1]], 1)).real / n
        c[:, [0, -1]] /= 2
        if np.abs(c[:, -n // 4 :]).max() * n < 1e-14 * np.abs(values).max() or n // 2 >= degree:
            return c[:, : min(n + 1, degree)]
        n *= 2


@jax.jit
def _polynomial(K, r, c, top):
    """Σ_j c_j T_j(2K/top − I) r for c (blocks, T, BLOCK): (T, ..., channels)."""

    def block(state, c):
        def step(state, _):
            before, now = state
            return (now, 2 * (2 / top * (K @ now) - now) - before), now

        state, V = jax.lax.scan(step, state, length=BLOCK)
        return state, jnp.tensordot(c, V, 1, precision="highest")

    def add(carry, c):
        state, total = carry
        state, part = block(state, c)
        return (state, total + part), None

    # T₋₁ = T₁, so that the recurrence starts by itself
    start = 2 / top * (K @ r) - r, r
    zero = jnp.zeros((c.shape[1], *r.shape), r.dtype)
    return jax.lax.scan(add, (start, zero), c)[0][1]
