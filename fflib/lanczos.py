r"""What training does, from products with the kernel alone, by Lanczos' recurrence.

The training dynamics of :mod:`fflib.kernels` for kernels on grids (:mod:`fflib.grid`), seen directly or
through a measurement (:class:`fflib.krylov.Measured`). From a start r the recurrence makes an orthonormal
V with Vᵀ K V = T, tridiagonal and small, and then f(K) r = |r| V f(T) e₁ for any function f. Only every
32nd vector of V is kept (with the one before it); the others are computed again when they are needed.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from fflib import checks, grid
from fflib.grid import Toeplitz
from fflib.krylov import Measured, dot, or_one, problem

CHUNK = 32  # Lanczos steps computed in one go


class _Lanczos:
    """Lanczos' recurrence from r, extended chunk by chunk: β_j v_{j+1} = K v_j − α_j v_j − β_{j−1} v_{j−1}."""

    def __init__(self, K, r):
        self.K, self.length = K, jnp.sqrt(dot(r, r))
        v = r / or_one(self.length)
        self.starts = [(jnp.zeros_like(v), v, jnp.zeros_like(self.length))]
        self.diagonal, self.beside = np.zeros((2, 0, r.shape[-1]))

    def extend(self):
        state, alpha, beta, _ = _lanczos_chunk(self.K, self.starts[-1])
        self.starts.append(state)
        self.diagonal = np.concatenate([self.diagonal, np.asarray(alpha, np.float64)])
        self.beside = np.concatenate([self.beside, np.asarray(beta, np.float64)])

    def ritz(self, channel: int):
        """Eigenvalues (k,) of T, those that rounding made negative set to 0, and its eigenvectors (k, k)."""
        theta, Q = scipy.linalg.eigh_tridiagonal(self.diagonal[:, channel], self.beside[:-1, channel])
        return np.maximum(theta, 0.0), Q

    def combine(self, coefficients):
        """Σ_j c_j v_j for coefficients (T, k, channels): (T, ..., channels); V is computed again."""
        total = 0.0
        for i, start in enumerate(self.starts[:-1]):
            V = _lanczos_chunk(self.K, start)[-1]
            c = jnp.asarray(coefficients[:, i * CHUNK : (i + 1) * CHUNK], V.real.dtype)
            total += jnp.einsum("tkc,k...c->t...c", c, V)
        return total


@jax.jit
def _lanczos_chunk(K, state):
    def step(state, _):
        before, v, beta = state
        u = K @ v
        size = jnp.sqrt(dot(u, u))
        u = u - beta * before
        alpha = dot(v, u)
        u = u - alpha * v
        beta = jnp.sqrt(dot(u, u))
        beta = jnp.where(beta > 4 * jnp.finfo(beta.dtype).eps * size, beta, 0.0)  # 0: nothing is left
        return (v, jnp.where(beta > 0, u / or_one(beta), 0.0), beta), (alpha, beta, v)

    state, (alpha, beta, V) = jax.lax.scan(step, state, length=CHUNK)
    return state, alpha, beta, V


def gradient_flow(
    K: Toeplitz | Measured,
    y,
    t,
    f0=None,
    K_test: Toeplitz | None = None,
    f0_test=None,
    *,
    tol: float | None = None,
    max_steps: int = 2000,
) -> jax.Array:
    """What a network with kernel K has learned after gradient flow of ½ Σ (f − y)² for time t (Eqs. 3, 4).

    As :func:`fflib.kernels.gradient_flow`, without the matrix:
    f_t = f₀ + K w_t with w_t = K⁻¹ (I − e^{−Kt}) (y − f₀), and f*_t = f*₀ + K* w_t elsewhere (K* Aᵀ w_t
    when K is the kernel of measurements). All times come from one run of Lanczos' recurrence.

    Args:
        K: kernel of the observations.
        y: observed values, of K's shape, or that and (c,).
        t: time, a number or (T,), finite: steps × learning rate for ½·sum loss, divided by the number
            of values for ½·mean loss. (For t = ∞ use :func:`solve`.)
        f0: initial function, observed like y (default 0).
        K_test: kernel between other points and K's grid.
        f0_test: initial function there (default 0).
        tol: change of f_t, relative to y − f₀, below which the recurrence has run long enough (default
            1e-6 in float32, 1e-12 in float64). Float32 knows eigenvalues to 10⁻⁷ of the largest, λ₁:
            beyond λ₁ t of 10⁶ or so it cannot tell how far the slowest components are.
        max_steps: how many steps it may take; about √(λ₁ t) are needed.

    Returns: the function at the observations, or, when K_test is given, at its rows; with a leading axis of
    times if t has one.

    Raises: ValueError for shapes that disagree or times that are negative or infinite; ArithmeticError
    when max_steps were too few.

    Chapter: The closed form at image scale.
    """
    b = problem(K, y)
    f0 = jnp.zeros_like(b) if f0 is None else problem(K, f0, "f0")
    if f0.shape != b.shape:
        raise ValueError(f"f0 must have y's shape {jnp.shape(y)}, but got {f0.shape}")
    times = np.asarray(t, np.float64)
    if times.ndim > 1 or not (times >= 0).all() or not np.isfinite(times).all():
        raise ValueError(f"t must be a number >= 0 or an array (T,) of them, finite, but got {t}")
    w = _flow_weights(K, b - f0, np.atleast_1d(times), tol, max_steps)
    if K_test is None:
        if f0_test is not None:
            raise ValueError("f0_test was given without K_test")
        f, start = _products(K, w), f0
    else:
        f, start = _products(K_test, _adjoints(K, w) if isinstance(K, Measured) else w), 0.0
        if f0_test is not None:
            start = grid.on_grid("f0_test", f0_test, K_test.rows)
            start = start if start.ndim > K_test.rows.d else start[..., None]
    f = start + f
    f = f if jnp.ndim(y) == b.ndim else f[..., 0]
    return f if times.ndim else f[0]


@jax.jit
def _products(K, w):
    """K w for every time: (T, ..., c)."""
    return jax.lax.map(lambda w: K @ w, w)


@jax.jit
def _adjoints(K, w):
    return jax.lax.map(K.adjoint, w)


def _flow_weights(K, r, times, tol, max_steps):
    """w_t = (1 − e^{−Kt}) K⁻¹ r for times (T,): (T, ..., c)."""
    checks.count("max_steps", max_steps)
    double = r.dtype in (jnp.float64, jnp.complex128)
    tol = checks.positive("tol", (1e-12 if double else 1e-6) if tol is None else tol)
    run, before, channels = _Lanczos(K, r), None, range(r.shape[-1])
    checked = 0
    while True:
        run.extend()
        k = len(run.diagonal)
        if k < min(1.25 * checked, max_steps):
            continue
        checked = k
        modes = [run.ritz(c) for c in channels]
        learned = [Q * -np.expm1(-np.outer(times, theta))[:, None] @ Q[0] for theta, Q in modes]  # (T, k)
        if before is not None:
            change = max(
                np.linalg.norm(new - np.pad(old, ((0, 0), (0, k - old.shape[1]))), axis=1).max()
                for new, old in zip(learned, before, strict=True)
            )
            if change <= tol:
                break
            if k >= max_steps:
                raise ArithmeticError(
                    f"Lanczos' recurrence did not converge: f_t still changes by {change:.2g} of y − f0 after "
                    f"{k} steps, wanted {tol:.2g}. Raise tol or max_steps, or take a shorter time than {times.max():.3g}"
                )
        before = learned
    gains = [_gain(theta, times)[:, None] * Q @ Q[0] for theta, Q in modes]
    return run.combine(np.stack(gains, -1) * np.asarray(run.length))


def _gain(theta, times):
    """(1 − e^{−θt})/θ for every time and θ ≥ 0: (T, k)."""
    x = np.outer(times, theta)
    return times[:, None] * np.where(x > 0, -np.expm1(-x) / np.where(x > 0, x, 1.0), 1.0)


def trace(
    K: Toeplitz | Measured, function: Callable, key: jax.Array, *, probes: int = 8, steps: int = 128
) -> tuple[float, float]:
    """tr f(K) = Σ_i f(λ_i) and its standard error, from random vectors of signs (Ubaru et al. 2017).

    For a probe z, zᵀ f(K) z = |z|² e₁ᵀ f(T) e₁ with the T of Lanczos' recurrence from z, and its mean is
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
    shape = K.shape if isinstance(K, Measured) else grid.square("K", K).rows.shape
    like = jax.eval_shape(lambda K, z: K @ z, K, jax.ShapeDtypeStruct(shape, _spectrum(K).real.dtype))
    z = jax.random.rademacher(key, (*shape, probes)).astype(like.dtype)
    run = _Lanczos(K, z)
    while len(run.diagonal) < steps:
        run.extend()
    values = []
    for c in range(probes):
        theta, Q = run.ritz(c)
        values.append(float(run.length[c]) ** 2 * float(Q[0] ** 2 @ np.asarray(function(theta))))
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(probes))


def _spectrum(K):
    return K.K.spectrum if isinstance(K, Measured) else K.spectrum


def effective_dimension(K: Toeplitz | Measured, ridge: float, key: jax.Array, **how) -> tuple[float, float]:
    """tr K (K + ridge·I)⁻¹ and its standard error: how many independent numbers the regression fits.

    Between 0 and the number of observations. Further arguments as for :func:`trace`.

    Raises: ValueError when ridge is not positive, and as :func:`trace`.

    Chapter: The closed form at image scale.
    """
    ridge = checks.positive("ridge", ridge)
    return trace(K, lambda lam: lam / (lam + ridge), key, **how)
