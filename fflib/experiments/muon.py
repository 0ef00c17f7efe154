r"""Steps of equal length in every direction of a weight matrix: the optimizer Muon.

A gradient of a coordinate network is nearly of low rank: a few directions, which carry the low
frequencies, outweigh all others, and a step along it moves little else. Muon (Jordan et al. 2024) steps
along the nearest orthogonal matrix instead: of G = U S Vᵀ it keeps U Vᵀ. McGinnis et al. (2025) found that
this alone lets coordinate networks learn detail they otherwise miss. `optax.contrib.muon` does the same
with other conventions (a step longer for wide matrices, a corrected mean of gradients), and a rate for the
biases only in versions of optax newer than Colab's; the tests compare the two.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from fflib import checks

ROUNDS = 5
QUINTIC = (
    3.4445,
    -4.7750,
    2.0315,
)  # Jordan et al.: steep at 0, and within 0.7 … 1.2 at what is near 1
MOMENTUM = 0.95
BIASES = 0.1  # rate of Adam for the biases, as a share of the rate for matrices


def orthogonalised(G) -> jax.Array:
    """About U Vᵀ of G = U S Vᵀ, without computing them: singular values are brought near 1.

    X ← aX + (bA + cA²)X with A = XXᵀ acts on each singular value alone, s ← as + bs³ + cs⁵, five times
    over. Those not far below the largest end between 0.7 and 1.2; zero stays zero, and numbers so small that
    their squares underflow count as zero.

    Args:
        G: (n, k), real.

    Returns: (n, k).

    Raises: ValueError for another shape; TypeError for complex numbers.

    Chapter: A fifth row.
    """
    G = checks.real_array("G", G)
    if G.ndim != 2:
        raise ValueError(f"G must be a matrix (n, k), but got shape {G.shape}")
    tall = G.shape[0] > G.shape[1]
    X = G.T if tall else G
    norm = jnp.linalg.norm(X)
    X = X / jnp.where(norm > 100 * jnp.finfo(X.dtype).tiny ** 0.5, norm, jnp.inf)
    a, b, c = QUINTIC
    for _ in range(ROUNDS):
        A = X @ X.T
        X = a * X + (b * A + c * A @ A) @ X
    return X.T if tall else X


class State(NamedTuple):
    """What Muon remembers: the running sums of gradients, Adam's state, steps done. Chapter: A fifth row."""

    momentum: Any
    adam: Any
    step: jax.Array


@cache  # the same optimizer for the same numbers, so that `fit` finds what it compiled
def muon(rate: float, steps: int) -> optax.GradientTransformation:
    """Muon for the matrices and Adam for the biases of a network, both slowing down to a stop.

    M ← μM + G,   W ← W − η_t · orthogonalised(G + μM),   η_t = η (1 + cos πt/T)/2.

    A step moves every singular value by about η_t, whatever the width; Glorot's start gives the largest of
    them a size of about 2, whatever the width, so that one η does for networks of all widths.

    Args:
        rate: η, for matrices; a tenth of it is Adam's rate for biases.
        steps: T.

    Raises: ValueError or TypeError for a rate that is not positive or fewer than one step.

    Chapter: A fifth row.
    """
    rate = checks.positive("rate", rate)
    fade = optax.cosine_decay_schedule(1.0, checks.count("steps", steps))
    adam = optax.scale_by_adam()

    def init(params):
        return State(
            jax.tree.map(jnp.zeros_like, params), adam.init(params), jnp.zeros((), jnp.int32)
        )

    def update(gradient, state, params=None):
        del params
        momentum = jax.tree.map(lambda M, G: MOMENTUM * M + G, state.momentum, gradient)
        others, adam_state = adam.update(gradient, state.adam)

        def step(G, M, u):
            if G.ndim != 2:
                return -BIASES * rate * fade(state.step) * u
            return -rate * fade(state.step) * orthogonalised(G + MOMENTUM * M)

        steps = jax.tree.map(step, gradient, momentum, others)
        return steps, State(momentum, adam_state, state.step + 1)

    return optax.GradientTransformation(init, update)
