r"""What training does to a network with a given kernel: gradient flow and its steps (Eqs. 3 and 4).

A matrix is taken apart into its eigenvectors; without one, on a grid or through a measurement, a
polynomial is taken: :func:`fflib.theory.krylov.function_of`.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks
from fflib.theory import kernels, krylov
from fflib.theory.grid import Toeplitz, on_grid


def centred(K):
    """(I − 11ᵀ/n) K (I − 11ᵀ/n): the kernel K (n, n) as targets without a mean see it. Raises:
    ValueError when K is not square. Chapter: The encodings people use now.
    """
    K = kernels.square("K", K)
    return K - K.mean(0) - K.mean(1, keepdims=True) + K.mean()


def eigenmodes(K) -> tuple[jax.Array, jax.Array]:
    """Eigenvalues λ (n,), largest first, and eigenvectors as columns of Q (n, n): K = Q diag(λ) Qᵀ.

    What rounding made slightly negative becomes 0. Raises: ValueError when K is not square,
    symmetric, finite and positive semidefinite. Chapter: Clocks: spectral bias.
    """
    checks.warn_of_wrong_products()
    K = kernels.square("K", K)
    lam, Q = jnp.linalg.eigh(K)
    if not checks.traced(lam):
        noise = 10 * len(K) * float(jnp.finfo(lam.dtype).eps) * float(jnp.abs(lam).max())
        if float(lam[0]) < -noise:
            raise ValueError(
                f"K is not positive semidefinite: its smallest eigenvalue is {float(lam[0]):.3g} "
                f"(largest {float(lam[-1]):.3g}), more than rounding explains"
            )
    return jnp.maximum(lam[::-1], 0.0), Q[:, ::-1]


def rfft_amplitude(y, axis: int = -1) -> jax.Array:
    """Amplitude of every frequency 0 … n/2 of a real signal on n equidistant points.

    2|ŷ_k|/n, so that A·sin(2πkv + φ) on v = 0, 1/n, … gives A in bin k (bins 0 and n/2 have no
    partner of negative frequency: they are not doubled). Raises: ValueError when y is empty or has
    no axes; TypeError for whole or complex numbers. Chapter: Clocks: spectral bias.
    """
    y = checks.real_array("y", y, (..., "n"))
    y, n = jnp.moveaxis(y, axis, -1), y.shape[axis]
    size = jnp.abs(jnp.fft.rfft(y.astype(jnp.promote_types(y.dtype, jnp.float32))))
    k = jnp.arange(n // 2 + 1)
    return jnp.moveaxis(jnp.where((k == 0) | (2 * k == n), 1, 2) / n * size, -1, axis)


def gradient_flow(K, y, t, f0=None, K_test=None, f0_test=None) -> jax.Array:
    """What a network with kernel K has learned after gradient flow of ½ Σ (f − y)² for time t.

    f_t = y + e^{−Kt}(f₀ − y) on the training points (Eq. 4), and elsewhere
    f*_t = f*₀ + K* K⁻¹ (I − e^{−Kt})(y − f₀) (Eq. 3, initial function kept). K is never inverted:
    (1 − e^{−λt})/λ is finite. What K does not see, λ below rounding, is never learned: a place
    that was seen with two values ends at their mean.

    Args:
        K: kernel of the training points, (n, n), or :class:`fflib.theory.grid.Toeplitz`, or
            :class:`fflib.theory.krylov.Measured`, whose shape, or that and (c,), values then have.
        y: training values, (n,) or (n, c).
        t: time, a number or (T,); steps × learning rate for ½·sum loss, that divided by n for
            ½·mean loss. With a matrix ``inf`` gives the kernel regression that training ends in.
        f0, f0_test: initial outputs on the training and the test points (default 0).
        K_test: kernel between test and training points, (n_test, n), or between two grids.

    Returns: predictions at the training points, or at the test points when K_test is given, with a
    leading axis of times if t has one. Only the matrix form goes under ``jax.jit``. Raises:
    ValueError for shapes that disagree, negative times or a K that is not PSD; ArithmeticError for
    too many products without a matrix. Chapter: The neural tangent kernel.
    """
    t = _times("t", t)

    def learned(lam, xp):
        return -xp.expm1(-lam * t[..., None])

    return _train(K, y, t, learned, f0, K_test, f0_test)


def gradient_descent(K, y, steps, learning_rate: float, f0=None, K_test=None, f0_test=None):
    """The same for discrete gradient descent: e^{−λt} becomes (1 − ηλ)^steps.

    ``steps`` is a whole number or (T,) of them, ``learning_rate`` η that for ½·sum loss; the rest
    and errors are as in :func:`gradient_flow`. η λ_max > 2 diverges, as the network would. Chapter:
    The neural tangent kernel.
    """
    checks.positive("learning_rate", learning_rate)
    k = _times("steps", steps)
    checks.must(checks.traced(k) or (k == np.floor(k)).all(), "steps", "be whole numbers", steps)

    def learned(lam, xp):
        # 1 − (1 − ηλ)^k through log1p and expm1, so that small ηλ keeps its digits
        x = learning_rate * lam
        small = -xp.expm1(k[..., None] * xp.log1p(-xp.minimum(x, 0.5)))
        return xp.where(x < 0.5, small, 1 - (1 - x) ** k[..., None])

    return _train(K, y, k, learned, f0, K_test, f0_test)


def _times(name: str, t):
    if checks.traced(t):
        return t
    t = np.asarray(t, float)
    right = t.ndim <= 1 and (t >= 0).all()
    checks.must(right, name, "be a number >= 0 or an array (T,) of them", f"{t}, {t.shape}")
    return t


def _train(K, y, t, learned, f0, K_test, f0_test):
    """f*₀ + K* g(K) (y − f₀) with g(λ) = learned(λ)/λ; at the training points K g = learned."""
    if f0_test is not None and K_test is None:
        raise ValueError("f0_test was given without K_test")
    train = _by_products if isinstance(K, Toeplitz | krylov.Measured) else _by_modes
    return train(K, y, t, learned, f0, K_test, f0_test)


def _by_modes(K, y, t, learned, f0, K_test, f0_test):
    lam, Q = eigenmodes(K)
    y = checks.real_array("y", y, (len(lam),), (len(lam), "c"))
    f0 = jnp.zeros_like(y) if f0 is None else checks.real_array("f0", f0, y.shape)
    # weights of opposite signs cancel: they need all their digits
    dot = partial(jnp.tensordot, precision="highest")
    seen = lam > 4 * jnp.finfo(lam.dtype).eps * lam[0]
    safe = jnp.where(seen, lam, 1.0)
    gain, start, Q_test = jnp.where(seen, learned(safe, jnp), 0.0), f0, Q
    if K_test is not None:
        K_test, gain = checks.points("K_test", K_test, len(lam)), gain / safe
        shape = (len(K_test), *y.shape[1:])
        start = 0.0 if f0_test is None else checks.real_array("f0_test", f0_test, shape)
        Q_test = dot(K_test, Q, 1)
    moved = gain.reshape(gain.shape + (1,) * (y.ndim - 1)) * dot(Q.T, y - f0, 1)
    moved = dot(Q_test, moved, (1, gain.ndim - 1))  # (n_test, ..., c)
    return start + jnp.moveaxis(moved, 0, gain.ndim - 1)


def _by_products(K, y, t, learned, f0, K_test, f0_test):
    b = krylov.problem(K, y)
    f0 = jnp.zeros_like(b) if f0 is None else krylov.problem(K, f0, "f0")
    checks.shaped("f0", f0, b.shape)
    if not np.isfinite(t).all():
        raise ValueError(f"t must be finite for a kernel without a matrix, but got {t}; use solve")
    if K_test is None:
        f, start = krylov.function_of(K, b - f0, lambda lam: learned(lam, np)), f0
    else:
        gain = krylov.function_of(K, b - f0, lambda lam: learned(lam, np) / lam, weighted=True)
        f, start = _predictions(K, K_test, gain), 0.0
        if f0_test is not None:
            start = on_grid("f0_test", f0_test, K_test.rows)
            start = start if start.ndim > K_test.rows.d else start[..., None]
    f = start + f
    f = f if jnp.ndim(y) == b.ndim else f[..., 0]
    return f if np.ndim(t) else f[0]


@jax.jit
def _predictions(K, K_test, w):
    back = K.adjoint if isinstance(K, krylov.Measured) else lambda w: w
    return jax.lax.map(lambda w: K_test @ back(w), w)
