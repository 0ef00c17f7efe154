r"""Kernel regression from products with the kernel alone.

For kernels that can be multiplied with but not written down: matrices on grids (:mod:`fflib.theory.grid`), seen
directly or through a linear measurement (:mod:`fflib.theory.measured`). Conjugate gradients solve the system, Lanczos'
recurrence estimates traces; both look for their answer in the Krylov space of y, Ky, K²y, … What
training does with such a kernel is in :mod:`fflib.theory.flow`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks
from fflib.theory import grid
from fflib.theory.grid import Toeplitz
from fflib.theory.measured import Measured as Measured
from fflib.theory.measured import dot, problem

# --------------------------------------------------------------------------------------------------
# Regression


class Solution(NamedTuple):
    """Weights of a regression, of y's shape, and how well they solve it.

    steps: conjugate-gradient steps. residual: ‖y − (K + ridge·I) w‖ / ‖y‖, the worst channel's, in the
    norm that the preconditioner measures in (frequency by frequency relative to what K makes of it).

    Chapter: The closed form at image scale.
    """

    weights: jax.Array
    steps: jax.Array
    residual: jax.Array


def solve(
    K: Toeplitz | Measured,
    y,
    ridge: float = 0.0,
    *,
    tol: float | None = None,
    max_steps: int = 1000,
    precondition: Callable | None = None,
) -> Solution:
    """Kernel regression: (K + ridge·I) w = y by preconditioned conjugate gradients (Eq. 1).

    Predictions are ``K_test @ w``, or ``K_test @ K.adjoint(w)`` through a measurement. On a grid the
    preconditioner is the circulant matrix of :func:`fflib.theory.grid.rates`, so that some dozens of steps do.
    Differentiable in K, y and ridge.

    Args:
        K: kernel of the observations.
        y: observed values, of K's shape, or that and (c,) for c channels.
        ridge: added to the diagonal: the variance of the noise, ≥ 0.
        tol: relative residual to reach (default 1e-6 in float32, 1e-12 in float64).
        max_steps: how many steps it may take.
        precondition: function r ↦ M⁻¹ r of arrays like y with channels, M ≈ K + ridge·I symmetric
            positive definite (default: circulant on a grid, none for measurements).

    Raises: ValueError for shapes that disagree or a negative ridge; ArithmeticError when the residual is
    still above tol after max_steps, or when rounding keeps the true one above 100 tol.

    Chapter: The closed form at image scale.
    """
    b = problem(K, y)
    ridge = jnp.asarray(checks.positive("ridge", ridge, zero=True), b.real.dtype)
    checks.count("max_steps", max_steps)
    double = b.dtype in (jnp.float64, jnp.complex128)
    tol = checks.positive("tol", (1e-12 if double else 1e-6) if tol is None else tol)
    w, (steps, reached, residual) = _conjugate_gradients(K, b, ridge, tol, max_steps, precondition)
    if not isinstance(residual, jax.core.Tracer):
        if not reached <= tol:
            raise ArithmeticError(
                f"conjugate gradients did not converge: the relative residual is {float(reached):.2g} after "
                f"{int(steps)} steps, wanted {tol:.2g}. Raise ridge (now {float(ridge):.3g}), tol or max_steps"
            )
        if not residual <= 100 * tol:
            raise ArithmeticError(
                f"{b.dtype} cannot solve this: its rounding keeps the relative residual at {float(residual):.2g}, "
                f"wanted {tol:.2g}. Raise ridge (now {float(ridge):.3g}) or tol, or use float64"
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
def _conjugate_gradients(K, b, ridge, tol, max_steps, precondition):
    if precondition is None:
        precondition = _circulant_inverse(K, ridge) if isinstance(K, Toeplitz) else lambda r: r

    def system(x):
        return K @ x + ridge * x

    def iterate(matvec, b):
        z = precondition(b)
        start = jnp.maximum(dot(b, z), jnp.finfo(z.real.dtype).tiny)

        def going_on(state):
            *_, rz, k = state
            return (k < max_steps) & ~(jnp.sqrt(rz / start).max() <= tol)

        def step(state):
            x, r, p, rz, k = state
            q = matvec(p)
            a = jnp.where(rz > 0, rz / _or_one(dot(p, q)), 0.0)
            x, r = x + a * p, r - a * q
            z = precondition(r)
            new = dot(r, z)
            return x, r, z + jnp.where(rz > 0, new / _or_one(rz), 0.0) * p, new, k + 1

        x, r, _, rz, k = jax.lax.while_loop(going_on, step, (jnp.zeros_like(b), b, z, dot(b, z), 0))
        rest = b - matvec(x)
        true = jnp.sqrt(jnp.maximum(dot(rest, precondition(rest)), 0.0) / start).max()
        return x, (k, jnp.sqrt(rz / start).max(), true)

    return jax.lax.custom_linear_solve(system, b, iterate, symmetric=True, has_aux=True)


def _or_one(x):
    return jnp.where(x != 0, x, 1.0)


# --------------------------------------------------------------------------------------------------
# Traces


def trace(
    K: Toeplitz | Measured, function: Callable, key: jax.Array, *, probes: int = 8, steps: int = 128
) -> tuple[float, float]:
    """tr f(K) = Σ_i f(λ_i) and its standard error, from random vectors of signs (Ubaru et al. 2017).

    For a probe z, zᵀ f(K) z = ‖z‖² e₁ᵀ f(T) e₁ with the T of Lanczos' recurrence from z, and its mean is
    the trace. With f(λ) = λ/(λ + ridge) it is the effective dimension of the regression: how many
    numbers about y it can express; with 1 − e^{−λt} that of training for time t.

    Args:
        K: kernel of the observations.
        function: f of an array of eigenvalues ≥ 0.
        key: jax random key of the probes.
        probes: number of random vectors, at least 2.
        steps: of the recurrence.

    Raises: ValueError or TypeError for bad arguments.

    Chapter: The closed form at image scale.
    """
    probes, steps = checks.count("probes", probes, least=2), checks.count("steps", steps)
    length, alpha, beta = _lanczos(K, _signs(K, key, probes), steps)
    alpha, beta = np.asarray(alpha, np.float64), np.asarray(beta, np.float64)  # (steps, probes)
    values = []
    for c in range(probes):
        ritz, Q = np.linalg.eigh(_tridiagonal(alpha[:, c], beta[:-1, c]))
        values.append(
            float(length) ** 2 * float(Q[0] ** 2 @ np.asarray(function(np.maximum(ritz, 0.0))))
        )
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(probes))


def _signs(K, key, probes: int):
    """Random vectors of ±1, (..., probes); ±1 ± i for measurements that are complex."""
    real = (K.K if isinstance(K, Measured) else grid.square("K", K)).spectrum.real.dtype
    like = (
        jax.eval_shape(K.A, K.image)
        if isinstance(K, Measured)
        else jax.ShapeDtypeStruct(K.rows.shape, real)
    )
    rng = np.random.default_rng(
        np.asarray(jax.random.key_data(key))
    )  # numpy's: nothing to compile for each shape
    z = rng.choice([-1.0, 1.0], (2, *like.shape, probes)).astype(real)
    return jnp.asarray(
        z[0] + 1j * z[1] if jnp.issubdtype(like.dtype, jnp.complexfloating) else z[0]
    )


@partial(jax.jit, static_argnames="steps")
def _lanczos(K, z, steps):
    """|z| and T's diagonal and off-diagonal, (steps, probes): β_j v_{j+1} = K v_j − α_j v_j − β_{j−1} v_{j−1}."""
    length = jnp.sqrt(dot(z, z))

    def step(state, _):
        before, v, beta = state
        u = K @ v
        size = jnp.sqrt(dot(u, u))
        u = u - beta * before
        alpha = dot(v, u)
        u = u - alpha * v
        beta = jnp.sqrt(dot(u, u))
        beta = jnp.where(
            beta > 4 * jnp.finfo(beta.dtype).eps * size, beta, 0.0
        )  # 0: nothing is left
        return (v, jnp.where(beta > 0, u / _or_one(beta), 0.0), beta), (alpha, beta)

    start = jnp.zeros_like(z), z / length, jnp.zeros_like(length)
    return length[0], *jax.lax.scan(step, start, length=steps)[1]


def effective_dimension(
    K: Toeplitz | Measured, ridge: float, key: jax.Array, **how
) -> tuple[float, float]:
    """tr K (K + ridge·I)⁻¹ and its standard error: how many independent numbers the regression fits.

    Between 0 and the number of observations. Further arguments as for :func:`trace`.

    Raises: ValueError when ridge is not positive, and as :func:`trace`.

    Chapter: The closed form at image scale.
    """
    ridge = checks.positive("ridge", ridge)
    return trace(K, lambda lam: lam / (lam + ridge), key, **how)


def largest(K: Toeplitz | Measured) -> float:
    """The largest eigenvalue λ₁ of K, from below and to about a per cent.

    Training by plain gradient descent on ½ Σ (f − y)² diverges at learning rates above 2/λ₁.

    Chapter: The closed form at image scale.
    """
    _, alpha, beta = _lanczos(K, _signs(K, jax.random.key(0), 1), 40)
    return float(
        np.linalg.eigvalsh(_tridiagonal(np.asarray(alpha[:, 0]), np.asarray(beta[:-1, 0])))[-1]
    )


def _tridiagonal(diagonal, beside):
    return np.diag(diagonal.astype(float)) + np.diag(beside, 1) + np.diag(beside, -1)
