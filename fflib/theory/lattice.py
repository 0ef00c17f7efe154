"""Regular grids: where they lie, how points are recognised as one, and what steps two of them share."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks


@dataclasses.dataclass(frozen=True)
class Grid:
    """A regular grid: point i = (i₁, …, i_d) lies at origin + i · step.

    Attributes:
        shape: points along each axis, (n₁, …, n_d), d = 1, 2 or 3.
        step: spacing along each axis, in the unit of the coordinates.
        origin: the first point.

    Raises: ValueError for other dimensions, sizes below 1 or steps that are not positive.

    Chapter: The closed form at image scale.
    """

    shape: tuple[int, ...]
    step: tuple[float, ...]
    origin: tuple[float, ...]

    def __post_init__(self):
        lengths = len(self.shape), len(self.step), len(self.origin)
        if len(set(lengths)) != 1 or not 1 <= lengths[0] <= 3:
            raise ValueError(
                f"shape, step and origin must have one number for each of 1, 2 or 3 axes, but got "
                f"{self.shape}, {self.step} and {self.origin}"
            )
        for n, h in zip(self.shape, self.step, strict=True):
            checks.count("shape", n)
            checks.positive("step", h)

    @property
    def d(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of points."""
        return math.prod(self.shape)

    def points(self) -> jax.Array:
        """The coordinates, (n₁, …, n_d, d)."""
        axes = [
            o + h * np.arange(n) for n, h, o in zip(self.shape, self.step, self.origin, strict=True)
        ]
        return jnp.asarray(np.stack(np.meshgrid(*axes, indexing="ij"), -1), jnp.zeros(()).dtype)


def regular(v) -> Grid:
    """The grid that the points v, (n₁, …, n_d, d), form: axis j of the array moves coordinate j.

    That is what ``data.grid`` gives, and any part ``v[a::s, b::s]`` of it.

    Raises: ValueError when the points do not lie on a regular grid (to a thousandth of its step) or an
    axis has fewer than two points; TypeError inside ``jax.jit``, where points have no values.

    Chapter: The closed form at image scale.
    """
    if isinstance(v, Grid):
        return v
    if isinstance(v, jax.core.Tracer):
        raise TypeError("v must be concrete points, but is traced: make the grid outside jax.jit")
    v = np.asarray(checks.real_array("v", v), np.float64)
    d = v.shape[-1]
    if v.ndim != d + 1 or not 1 <= d <= 3 or min(v.shape[:-1]) < 2:
        raise ValueError(
            f"v must have shape (n₁, …, n_d, d), d ≤ 3, with at least two points along each axis, but "
            f"got shape {v.shape}; to put points (n, d) on a grid, reshape them"
        )
    first, last = v[(0,) * d], v[(-1,) * d]
    step = (last - first) / (np.array(v.shape[:-1]) - 1)
    if not (step > 0).all():
        raise ValueError(f"v must grow along axis j in coordinate j, but its mean steps are {step}")
    ideal = first + step * np.stack(np.meshgrid(*map(np.arange, v.shape[:-1]), indexing="ij"), -1)
    off = np.abs(v - ideal).max(axis=tuple(range(d))) / step
    if off.max() > 1e-3:
        raise ValueError(
            f"v is not a regular grid: a point is {off.max():.3g} steps away from its place on axis "
            f"{off.argmax()}. Irregular points need the dense formulas of fflib.theory.kernels"
        )
    return Grid(v.shape[:-1], tuple(map(float, step)), tuple(map(float, first)))


def common_steps(x: Grid, y: Grid) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Strides (p, q) with x.step = p·h, y.step = q·h on every axis, for the largest such step h.

    Raises: ValueError for grids of different dimension, or without a common step.

    Chapter: The closed form at image scale.
    """
    if x.d != y.d:
        raise ValueError(f"both grids must have the same dimension, but got {x.d} and {y.d}")
    strides = []
    for a, b, n, m in zip(x.step, y.step, x.shape, y.shape, strict=True):
        ratio = Fraction(a / b).limit_denominator(32)
        if ratio == 0 or abs(float(ratio) * b / a - 1) * max(n, m) > 1e-3:
            raise ValueError(
                f"the steps of both grids must be small multiples of one step, but got {a:g} and {b:g}"
            )
        strides.append((ratio.numerator, ratio.denominator))
    return tuple(zip(*strides, strict=True))


def on_grid(name: str, w, grid: Grid) -> jax.Array:
    """w as values on the grid: of its shape, or that and (c,) for c channels.

    Raises: ValueError or TypeError otherwise.

    Chapter: The closed form at image scale.
    """
    w = checks.real_array(name, w)
    if w.shape[: grid.d] != grid.shape or w.ndim > grid.d + 1:
        raise ValueError(
            f"{name} must have the grid's shape {grid.shape}, or {(*grid.shape, 'c')}, but got {w.shape}"
        )
    return w
