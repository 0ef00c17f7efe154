r"""The graph of embedded points, and the widths it asks for.

Vertices are the embedded coordinates Φ(x_i). An edge should be strong where the signal is level and weak
where it is steep: then a step in the embedding is as long as a step of the signal. The Laplacian of the
graph says so in one number, which Adam lowers by changing σ_x. No network takes part.
"""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import optax

from fflib import checks
from fflib.encodings.embeddings import Radial, unit, widths
from fflib.training import fit


def adjacency(z, epsilon: float, power: float = 0.0) -> jax.Array:
    """Weights of the graph of embedded points, (n, n): w_ij = (ρ_i ρ_j)^−power exp(−d_ij²/2ε²).

    d_ij is the distance of z_i and z_j, ρ_i = Σ_j exp(−d_ij²/2ε²) counts who is near z_i, itself
    included, so that ρ_i ≥ 1. No vertex has an edge to itself.

    Args: z, (n, D). epsilon, the distance that counts as near, > 0. power, λ′ ≥ 0.

    Raises: ValueError for other shapes or ranges; MemoryError when (n, n) is too large.

    Chapter: Learned embeddings.
    """
    z = checks.points("z", z)
    epsilon, power = checks.positive("epsilon", epsilon), checks.positive("power", power, zero=True)
    checks.fits_in_memory("the adjacency matrix", len(z), len(z))
    square = jnp.sum(z**2, -1)
    inner = jnp.matmul(z, z.T, precision="highest")
    distance2 = jnp.maximum(square[:, None] + square - 2 * inner, 0.0)
    near = jnp.exp(-distance2 / (2 * epsilon**2)) * (1 - jnp.eye(len(z)))
    rho = 1 + near.sum(-1)
    return near / (rho[:, None] * rho) ** power


def laplacian(A) -> jax.Array:
    """L = D − A with the degrees D_ii = Σ_j A_ij: symmetric, rows sum to zero, no negative eigenvalue.

    With the opposite sign minimising uᵀLu would roughen u instead of smoothing it.

    Raises: ValueError when A is not square and symmetric.

    Chapter: Learned embeddings.
    """
    A = checks.square("A", A)
    return jnp.diag(A.sum(-1)) - A


def roughness(A, u) -> jax.Array:
    """uᵀLu = ½ Σ_ij w_ij (u_i − u_j)², summed over the columns of u (n,) or (n, c).

    Raises: ValueError when the number of rows disagrees.

    Chapter: Learned embeddings.
    """
    u = checks.real_array("u", u)
    if u.shape[:1] != A.shape[:1]:
        raise ValueError(
            f"u must have one row for each of the {A.shape[0]} vertices, but got {u.shape}"
        )
    return jnp.sum(u * jnp.matmul(laplacian(A), u, precision="highest"))


def objective(z, u, epsilon: float, power: float, keep: float) -> jax.Array:
    """(uᵀLu − keep · ‖A‖_F) / n on the graph of the embedded points z (n, D).

    Without ``keep`` (λ ≥ 0) the best graph is one without edges: every point on its own.

    Raises: ValueError as :func:`adjacency` and :func:`roughness` do.

    Chapter: Learned embeddings.
    """
    A = adjacency(z, epsilon, power)
    alive = jnp.sqrt(jnp.sum(A**2) + 1e-12)
    return (roughness(A, u) - checks.positive("keep", keep, zero=True) * alive) / len(z)


_adam = cache(optax.adam)  # one object a rate, so that the compiled loop is found again


def _graph_loss(log_sigma, data):
    embedding, x, u, epsilon, power, keep = data
    return objective(unit(embedding(x, widths(log_sigma, x))), u, epsilon, power, keep)


def _graph_widths(log_sigma, data):
    return {"sigma": widths(log_sigma, data[1])}


def learn_widths(
    embedding: Radial,
    x,
    u,
    *,
    knots: int,
    start: float,
    epsilon: float,
    keep: float = 1.0,
    power: float = 0.5,
    steps: int = 80,
    rate: float = 0.03,
    every: int | None = None,
    ensemble: bool = False,
) -> tuple[jax.Array, dict]:
    """Log-widths that minimise the :func:`objective` of the graph of n points: Adam, without a network.

    Args:
        embedding: the bells; their rows are scaled to length one first.
        x: coordinates in [0, 1]^d, (n, d).
        u: values there, (n, c); mean and spread are taken out.
        knots: control points an axis, see :func:`fflib.encodings.embeddings.widths`.
        start: the width everywhere at the start, > 0.
        epsilon, power, keep: the graph's, see :func:`adjacency` and :func:`objective`.
        steps, rate, every: Adam's steps and learning rate; how often the history looks.
        ensemble: E graphs at once; x and u have a leading axis E, ``start`` and ``epsilon`` may.

    Returns: (log_sigma (knots, …, knots), history with "step", "loss" and, when ``every`` is given,
    "sigma" (T, n)); for an ensemble E comes first, in the history after T.

    Raises: ValueError for a constant u, sizes that disagree or numbers out of range.

    Chapter: Learned embeddings.
    """
    x, u = checks.real_array("x", x), checks.real_array("u", u)
    x, u = (x, u) if ensemble else (x[None], u[None])
    if x.ndim != 3 or u.ndim != 3 or u.shape[:2] != x.shape[:2]:
        raise ValueError(
            f"x must have shape (n, d) and u (n, c), with E in front in an ensemble, but got {x.shape} and {u.shape}"
        )
    for name, value in (("start", start), ("epsilon", epsilon), ("keep", keep), ("power", power)):
        checks.positive(name, float(jnp.min(jnp.asarray(value))), zero=name in ("keep", "power"))
    u = u - u.mean(1, keepdims=True)
    spread = jnp.sqrt(jnp.mean(u**2, (1, 2), keepdims=True))
    if not bool((spread > 0).all()):
        raise ValueError("u must not be constant: a flat signal asks nothing of the widths")
    members, _, d = x.shape
    each = lambda value: jnp.broadcast_to(jnp.asarray(value, x.dtype), members)
    bells = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (members, *leaf.shape)), embedding)
    shape = (members,) + (checks.count("knots", knots),) * d
    log_sigma, history = fit(
        jnp.broadcast_to(jnp.log(each(start)).reshape(-1, *(1,) * d), shape),
        _graph_loss,
        (bells, x, u / spread, each(epsilon), each(power), each(keep)),
        steps=steps,
        optimizer=_adam(rate),
        metrics=_graph_widths if every else None,
        every=every,
        vmap=0,
    )
    if ensemble:
        return log_sigma, history
    return log_sigma[0], {name: h if name == "step" else h[:, 0] for name, h in history.items()}
