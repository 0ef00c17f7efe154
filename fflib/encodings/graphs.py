r"""The graph of embedded points, and the widths it asks for.

Vertices are the embedded coordinates Φ(x_i). Edges should be strong where the signal is level and
weak where it is steep: one number of the graph's Laplacian, which Adam lowers by changing σ_x.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax

from fflib import checks
from fflib.encodings.embeddings import Radial, unit, widths


def adjacency(z, epsilon: float, power: float = 0.0) -> jax.Array:
    """Weights of the graph of embedded points, (n, n): w_ij = (ρ_i ρ_j)^−power exp(−d_ij²/2ε²).

    d_ij is the distance of rows z_i and z_j of z (n, D), and ρ_i = Σ_j exp(−d_ij²/2ε²). No vertex
    has an edge to itself. Raises: ValueError for other shapes, epsilon ≤ 0 or power < 0. Chapter:
    Learned embeddings.
    """
    z = checks.points("z", z)
    epsilon, power = checks.positive("epsilon", epsilon), checks.positive("power", power, zero=True)
    square = jnp.sum(z**2, -1)
    inner = jnp.matmul(z, z.T, precision="highest")
    distance2 = jnp.maximum(square[:, None] + square - 2 * inner, 0.0)
    near = jnp.exp(-distance2 / (2 * epsilon**2)) * (1 - jnp.eye(len(z)))
    rho = 1 + near.sum(-1)
    return near / (rho[:, None] * rho) ** power


def graph_laplacian(A) -> jax.Array:
    """L = D − A with D_ii = Σ_j A_ij, A (n, n). Chapter: Learned embeddings."""
    A = checks.real_array("A", A, ("n", "n"))
    return jnp.diag(A.sum(-1)) - A


def roughness(A, u) -> jax.Array:
    """uᵀLu = ½ Σ_ij w_ij (u_i − u_j)² for u (n,) or (n, c). Chapter: Learned embeddings."""
    u = checks.real_array("u", u, (len(A),), (len(A), "c"))
    return jnp.sum(u * jnp.matmul(graph_laplacian(A), u, precision="highest"))


def objective(z, u, epsilon: float, power: float, keep: float) -> jax.Array:
    """(uᵀLu − keep · ‖A‖_F) / n on the graph of the embedded points z (n, D).

    Without ``keep`` ≥ 0 the best graph has no edges. Raises: as :func:`adjacency` and
    :func:`roughness`. Chapter: Learned embeddings.
    """
    A = adjacency(z, epsilon, power)
    alive = jnp.sqrt(jnp.sum(A**2) + 1e-12)
    return (roughness(A, u) - checks.positive("keep", keep, zero=True) * alive) / len(z)


def learn_widths(
    embedding: Radial, x, u, *, knots: int, start: float, epsilon: float,
    keep: float = 1.0, power: float = 0.5, steps: int = 80, rate: float = 0.03,
) -> tuple[jax.Array, dict]:  # fmt: skip
    """Log-widths that minimise the :func:`objective` of the graph of n points: Adam, no network.

    From x (n, d) in [0, 1]^d and u (n, c), mean and spread taken out, with ``knots`` control points
    an axis (:func:`fflib.encodings.embeddings.widths`), the width ``start`` > 0 everywhere first,
    and Adam's steps and learning rate. Returns: (log_sigma (knots, …, knots), history with "loss"
    (steps + 1,) and "log_sigma" (steps + 1, knots, …, knots), the start first). Several graphs at
    once: ``jax.vmap`` over x, u, start and epsilon. Raises: ValueError for a constant u, sizes that
    disagree or numbers out of range. Chapter: Learned embeddings.
    """
    x = checks.points("x", x)
    u = checks.real_array("u", u, (len(x), "c"))
    for name, value in (("start", start), ("epsilon", epsilon), ("rate", rate)):
        checks.positive(name, value)
    for name, value in (("keep", keep), ("power", power)):
        checks.positive(name, value, zero=True)
    if not checks.traced(u) and not bool((u != u[0]).any()):
        raise ValueError("u must not be constant: a flat signal asks nothing of the widths")
    logs = jnp.full((checks.count("knots", knots),) * x.shape[1], jnp.log(start))
    losses, path = _descend(embedding, x, u, logs, epsilon, power, keep, rate, steps)
    return path[-1], {"loss": losses, "log_sigma": path}


@partial(jax.jit, static_argnames="steps")
def _descend(embedding, x, u, logs, epsilon, power, keep, rate, steps):
    u = u - u.mean(0)
    u = u / jnp.sqrt(jnp.mean(u**2))
    optimizer = optax.adam(rate)

    def loss(logs):
        return objective(unit(embedding(x, widths(logs, x))), u, epsilon, power, keep)

    def step(carry, _):
        logs, state = carry
        value, slope = jax.value_and_grad(loss)(logs)
        move, state = optimizer.update(slope, state)
        return (optax.apply_updates(logs, move), state), (value, logs)

    return jax.lax.scan(step, (logs, optimizer.init(logs)), length=steps + 1)[1]
