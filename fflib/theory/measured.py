r"""Linear measurements of a function on a grid, and the kernel that training sees through them: K → A K Aᵀ."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from fflib import checks
from fflib.theory import grid
from fflib.theory.grid import Toeplitz


@partial(jax.tree_util.register_dataclass, data_fields=["K"], meta_fields=["A"])
@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """The kernel of linear measurements of a function on a grid: A K Aᵀ.

    ``measured @ z`` takes z of the measurements' shape (or that and a last axis c of channels, each
    measured alike), real or complex. A complex number counts as two real ones: the inner product is
    Re Σ z̄₁ z₂, and Aᵀ is the adjoint in it. Aᵀ is made by JAX from A.

    Attributes:
        K: kernel of the grid with itself.
        A: linear function of an array of the grid's shape.

    Raises: ValueError or TypeError when K is no square matrix of a grid.

    Chapter: The closed form at image scale.
    """

    K: Toeplitz
    A: Callable

    @property
    def image(self) -> jax.ShapeDtypeStruct:
        """Shape and dtype of what A measures."""
        return jax.ShapeDtypeStruct(self.K.rows.shape, self.K.spectrum.real.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the measurements of one channel."""
        return jax.eval_shape(self.A, self.image).shape

    def measure(self, f) -> jax.Array:
        """A f, for f on the grid, with or without a last axis of channels."""
        return _each_channel(self.A, f, len(self.image.shape))

    def adjoint(self, z) -> jax.Array:
        """Aᵀ z on the grid: ``K_test @ measured.adjoint(w)`` predicts from weights w."""
        transpose = jax.linear_transpose(self.A, self.image)
        return _each_channel(lambda z: transpose(z.conj())[0], z, len(self.shape))

    def __matmul__(self, z) -> jax.Array:
        return self.measure(grid.square("K", self.K) @ self.adjoint(z))


def _each_channel(function, x, d: int):
    return function(x) if jnp.ndim(x) == d else jax.vmap(function, -1, -1)(x)


def problem(K, y, name: str = "y"):
    """The values y with a last axis of channels.

    Raises: ValueError or TypeError when they do not fit the kernel K, or K is none.

    Chapter: The closed form at image scale.
    """
    if isinstance(K, Measured):
        grid.square("K", K.K)
        shape, y, dtype = K.shape, jnp.asarray(y), jax.eval_shape(K.A, K.image).dtype
        if jnp.iscomplexobj(y) and not jnp.issubdtype(dtype, jnp.complexfloating):
            raise TypeError(
                f"{name} must be real, as what A measures is, but got {checks.describe(y)}"
            )
        y = y.astype(dtype)
        if y.shape[: len(shape)] != shape or y.ndim > len(shape) + 1:
            raise ValueError(
                f"{name} must have the measurements' shape {shape}, or that and (c,), but got {y.shape}"
            )
        checks.finite(name, y)
    else:
        shape = grid.square("K", K).rows.shape
        y = grid.on_grid(name, y, K.rows)
    return y if y.ndim > len(shape) else y[..., None]


def dot(a, b):
    """Re Σ ā b for each channel: (..., c), (..., c) -> (c,).

    Chapter: The closed form at image scale.
    """
    return (a.conj() * b).real.sum(axis=tuple(range(a.ndim - 1)))
