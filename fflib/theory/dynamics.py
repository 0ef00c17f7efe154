r"""What training does to a network with a given kernel: gradient flow and its steps (Eqs. 3 and 4)."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks


def eigenmodes(K) -> tuple[jax.Array, jax.Array]:
    """Eigenvalues λ (n,), largest first, and eigenvectors as columns of Q (n, n): K = Q diag(λ) Qᵀ.

    Eigenvalues that rounding made slightly negative are set to 0.

    Raises: ValueError when K is not square, symmetric, finite and positive semidefinite.

    Chapter: Spectral bias.
    """
    checks.warn_of_wrong_products()
    K = checks.square("K", K)
    lam, Q = jnp.linalg.eigh(K)
    if not isinstance(lam, jax.core.Tracer):
        noise = 10 * len(K) * float(jnp.finfo(lam.dtype).eps) * float(jnp.abs(lam).max())
        if float(lam[0]) < -noise:
            raise ValueError(
                f"K is not positive semidefinite: its smallest eigenvalue is {float(lam[0]):.3g} "
                f"(largest {float(lam[-1]):.3g}), more than rounding explains"
            )
    return jnp.maximum(lam[::-1], 0.0), Q[:, ::-1]


def gradient_flow(K, y, t, f0=None, K_test=None, f0_test=None):
    """What a network with kernel K has learned after gradient flow of ½ Σ (f − y)² for time t.

    f_t = y + e^{−Kt}(f₀ − y) on the training points (Eq. 4), and elsewhere
    f*_t = f*₀ + K* K⁻¹ (I − e^{−Kt})(y − f₀) (Eq. 3, initial function kept). K is never inverted:
    (1 − e^{−λt})/λ is finite for every λ ≥ 0.

    Args:
        K: kernel of the training points, (n, n).
        y: training values, (n,) or (n, c).
        t: time, a number or (T,); steps × learning rate for ½·sum loss, that divided by n for
            ½·mean loss. ``inf`` gives the kernel regression that training ends in.
        f0: the network's initial outputs on the training points, y's shape (default 0).
        K_test: kernel between test and training points, (n_test, n).
        f0_test: initial outputs on the test points (default 0).

    Returns: predictions with a leading axis of times if t has one: at the training points, or, when
    K_test is given, at the test points.

    Raises: ValueError for shapes that disagree, negative times or a K that is not PSD.

    Chapter: The neural tangent kernel.
    """
    t = _times(t)

    def gains(lam):
        lt = jnp.where(lam > 0, lam, 0.0) * jnp.where(jnp.isinf(t), 0.0, t)[..., None]
        safe = jnp.where(lam > 0, lam, 1.0)
        gain = jnp.where(
            lam > 0, -jnp.expm1(-lt) / safe, jnp.where(jnp.isinf(t), 0.0, t)[..., None]
        )
        ended = jnp.where(lam > 0, 1 / safe, 0.0)
        return jnp.where(jnp.isinf(t)[..., None], ended, gain)

    return _evolve(K, y, gains, f0, K_test, f0_test)


def gradient_descent(K, y, steps, learning_rate: float, f0=None, K_test=None, f0_test=None):
    """The same for discrete gradient descent: e^{−λt} becomes (1 − ηλ)^steps.

    Args: as :func:`gradient_flow`, with ``steps`` a whole number or (T,) of them, and
    ``learning_rate`` η for ½·sum loss.

    Raises: as :func:`gradient_flow`. η λ_max > 2 diverges, as the network would.

    Chapter: The neural tangent kernel.
    """
    checks.positive("learning_rate", learning_rate)
    steps = _times(steps, "steps")
    if not isinstance(steps, jax.core.Tracer) and not (steps == jnp.floor(steps)).all():
        raise ValueError(f"steps must be whole numbers, but got {steps}")

    def gains(lam):
        safe = jnp.where(lam > 0, lam, 1.0)
        factor = 1 - learning_rate * safe
        # (1 − factor^k)/λ through log1p/expm1, so that small ηλ keeps its digits
        x = jnp.where(factor > 0, jnp.log1p(-jnp.minimum(learning_rate * safe, 0.999999)), 0.0)
        small = -jnp.expm1(steps[..., None] * x)
        large = 1 - factor ** steps[..., None]
        gain = jnp.where(learning_rate * safe < 0.5, small, large) / safe
        return jnp.where(lam > 0, gain, learning_rate * steps[..., None])

    return _evolve(K, y, gains, f0, K_test, f0_test)


def _times(t, name: str = "t") -> jax.Array:
    t = jnp.asarray(t, dtype=jnp.zeros(()).dtype)
    if not isinstance(t, jax.core.Tracer) and not (np.asarray(t) >= 0).all():
        raise ValueError(f"{name} must be >= 0 everywhere, but got {t}")
    if t.ndim > 1:
        raise ValueError(f"{name} must be a number or have shape (T,), but got shape {t.shape}")
    return t


def _evolve(K, y, gains, f0, K_test, f0_test):
    """f*₀ + K* Q diag(gain(λ)) Qᵀ (y − f₀), with K* = K on the training points."""
    lam, Q = eigenmodes(K)
    y = checks.targets("y", y, lam)
    f0 = jnp.zeros_like(y) if f0 is None else _same_shape("f0", f0, y)
    dot = partial(
        jnp.tensordot, precision="highest"
    )  # weights of opposite signs cancel: they need all their digits
    residual = dot(Q.T, y - f0, 1)
    gain = gains(lam)  # (..., n)
    if K_test is None:
        if f0_test is not None:
            raise ValueError("f0_test was given without K_test")
        start, A = f0, Q * lam
    else:
        K_test = checks.points("K_test", K_test, len(lam))
        shape = (K_test.shape[0], *y.shape[1:])
        start = (
            jnp.zeros(shape, y.dtype)
            if f0_test is None
            else _same_shape("f0_test", f0_test, jnp.zeros(shape))
        )
        A = dot(K_test, Q, 1)
    weights = gain.reshape(gain.shape + (1,) * (y.ndim - 1)) * residual
    moved = dot(A, weights, (1, gain.ndim - 1))  # (n_test, ..., c)
    return start + jnp.moveaxis(moved, 0, gain.ndim - 1)


def _same_shape(name: str, value, like) -> jax.Array:
    value = checks.real_array(name, value)
    if value.shape != like.shape:
        raise ValueError(f"{name} must have shape {like.shape}, but got {value.shape}")
    return value
