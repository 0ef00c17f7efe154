r"""Kernels on regular grids without the matrix: n log n where the dense formulas take n³.

With a Fourier mapping the kernel depends on the offset of two points alone. On a regular grid equal
offsets recur all over, so the Gram matrix is (block-)Toeplitz: a few numbers a point describe it, and
a product with it is a convolution, which the fast Fourier transform does. Here are the matrix as that
convolution, and its spectrum. The grids themselves are in :mod:`fflib.theory.lattice`; :mod:`fflib.theory.krylov` solves
with the matrix, :mod:`fflib.theory.flow` trains.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks
from fflib.features import Mapping
from fflib.network import MLP
from fflib.theory import kernels
from fflib.theory.arccosine import relu_recursion
from fflib.theory.lattice import Grid as Grid
from fflib.theory.lattice import common_steps
from fflib.theory.lattice import on_grid as on_grid
from fflib.theory.lattice import regular as regular


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["spectrum"],
    meta_fields=["rows", "columns", "strides"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Toeplitz:
    """The matrix K_ij = k(x_i − y_j) between the points of two grids, held as one period of k's spectrum.

    ``K @ w`` takes w of shape (m₁, …, m_d) or (m₁, …, m_d, c), values on the columns' grid, to the same
    on the rows' grid. The lags k(x_i − y_j) are laid on a ring long enough that its ends do not meet
    (circulant embedding); there a product is a product of Fourier transforms.

    Attributes:
        spectrum: real FFT of the ring of lags.
        rows, columns: the grids of x and y.
        strides: steps of both grids in units of their common step, a tuple for each.

    Chapter: The closed form at image scale.
    """

    spectrum: jax.Array
    rows: Grid
    columns: Grid
    strides: tuple[tuple[int, ...], tuple[int, ...]]

    def __matmul__(self, w) -> jax.Array:
        w = on_grid("w", w, self.columns)
        return _multiply(self, w)

    @property
    def T(self) -> Toeplitz:
        """The transpose."""
        return Toeplitz(self.spectrum.conj(), self.columns, self.rows, self.strides[::-1])

    def dense(self) -> jax.Array:
        """The matrix itself, (n, m), points in the order of ``reshape(-1)``: to look at, when small.

        Raises: MemoryError when too large.
        """
        n, m = self.rows.size, self.columns.size
        checks.fits_in_memory("the dense kernel matrix", n, m)
        eye = jnp.eye(m, dtype=self.spectrum.real.dtype).reshape(*self.columns.shape, m)
        return (self @ eye).reshape(n, m)

    @property
    def at_zero(self) -> float:
        """k(0), all along the diagonal of a square matrix."""
        return float(self.lags()[tuple(n - 1 for n in self.rows.shape)])

    def lags(self) -> jax.Array:
        """k at the offsets −(n−1) … n−1 steps of a square matrix, (2n₁−1, …, 2n_d−1)."""
        return _lags(square("K", self))


@jax.jit
def _lags(K: Toeplitz):
    ring = _ring(K.rows, K.columns, K.strides)
    k = jnp.fft.irfftn(K.spectrum, ring, range(len(ring)))
    shift = tuple(n - 1 for n in K.rows.shape)
    return jnp.roll(k, shift, range(len(ring)))[tuple(slice(2 * n - 1) for n in K.rows.shape)]


@jax.jit
def _multiply(K: Toeplitz, w):
    d, ring = K.rows.d, _ring(K.rows, K.columns, K.strides)
    axes, (p, q) = range(d), K.strides
    if max(q) > 1:  # put zeros between the values
        fine = tuple((m - 1) * s + 1 for m, s in zip(K.columns.shape, q, strict=True))
        w = (
            jnp.zeros((*fine, *w.shape[d:]), w.dtype)
            .at[tuple(slice(None, None, s) for s in q)]
            .set(w)
        )
    spectrum = K.spectrum[(...,) + (None,) * (w.ndim - d)]
    f = jnp.fft.irfftn(jnp.fft.rfftn(w, ring, axes) * spectrum, ring, axes)
    keep = zip(K.rows.shape, p, strict=True)
    return f[tuple(slice(0, (n - 1) * s + 1, s) for n, s in keep)]


def square(name: str, K: Toeplitz) -> Toeplitz:
    """K, when it is the matrix of one grid with itself.

    Raises: ValueError or TypeError otherwise.

    Chapter: The closed form at image scale.
    """
    if not isinstance(K, Toeplitz):
        raise TypeError(
            f"{name} must be a Toeplitz matrix of fflib.theory.grid, but got {checks.describe(K)}"
        )
    if K.rows != K.columns:
        raise ValueError(
            f"{name} must be the kernel of one grid with itself, but got {K.rows} and {K.columns}"
        )
    return K


def _ring(x: Grid, y: Grid, strides) -> tuple[int, ...]:
    """Lengths for the ring: at least the number of different lags, with small prime factors."""
    spans = zip(x.shape, y.shape, *strides, strict=True)
    return tuple(_fast_length((n - 1) * p + (m - 1) * q + 1) for n, m, p, q in spans)


@cache
def _fast_length(n: int) -> int:
    """The smallest even number ≥ n without prime factors above 5."""
    powers = [2**i * 3**j * 5**k for i in range(1, 24) for j in range(4) for k in range(3)]
    return min(p for p in powers if p >= n)


def _lag_axes(x: Grid, y: Grid, strides) -> list[np.ndarray]:
    """The offset x_i − y_j along each axis, at its place on the ring (0, 1, …, −2, −1 common steps)."""
    axes = []
    for n, p, q, o_x, o_y, h_x, N in zip(
        x.shape, *strides, x.origin, y.origin, x.step, _ring(x, y, strides), strict=True
    ):
        index = np.arange(N)
        index = np.where(index <= (n - 1) * p, index, index - N)
        axes.append(o_x - o_y + index * (h_x / p))
    return axes


def toeplitz(kernel: Callable, x, y=None) -> Toeplitz:
    """The matrix of any stationary kernel between two regular grids.

    Args:
        kernel: function of offsets (..., d) that gives (...), with kernel(−Δ) = kernel(Δ).
        x: a :class:`fflib.theory.lattice.Grid`, or its points (n₁, …, n_d, d), see :func:`fflib.theory.lattice.regular`.
        y: the same for the columns (default x): may be shifted, longer, or finer by a whole factor.

    Raises: ValueError for points on no regular grid, and grids without a common step.

    Chapter: The closed form at image scale.
    """
    x, y, strides = _pair(x, y)
    dtype = jnp.zeros(()).dtype
    *outer, last = (jnp.asarray(a, dtype) for a in _lag_axes(x, y, strides))
    outer = (
        jnp.stack([a.reshape(-1) for a in jnp.meshgrid(*outer, indexing="ij")], -1)
        if outer
        else jnp.zeros((1, 0))
    )

    def row(start):
        return kernel(
            jnp.concatenate([jnp.broadcast_to(start, (len(last), x.d - 1)), last[:, None]], -1)
        )

    return _from_lags(jax.lax.map(row, outer), x, y, strides)


def _pair(x, y):
    x = regular(x)
    y = x if y is None else regular(y)
    return x, y, common_steps(x, y)


def _from_lags(lags, x, y, strides):
    ring = _ring(x, y, strides)
    return Toeplitz(jnp.fft.rfftn(lags.reshape(ring)), x, y, strides)


def ntk(model: MLP, mapping: Mapping, x, y=None) -> Toeplitz:
    """The tangent kernel of ``model`` behind ``mapping`` between two grids: what it will train with.

    The same numbers as :func:`fflib.theory.kernels.ntk_stationary`, sooner: since
    sin(φ₁ + φ₂) = sin φ₁ cos φ₂ + cos φ₁ sin φ₂, the sum over frequencies is a product of two small
    matrices, one an axis.

    Args:
        model, mapping: as for :func:`fflib.theory.kernels.ntk_stationary`.
        x, y: two grids, as for :func:`toeplitz`.

    Raises: as those two.

    Chapter: The closed form at image scale.
    """
    return start_and_ntk(model, mapping, x, y)[1]


def start_and_ntk(model: MLP, mapping: Mapping, x, y=None) -> tuple[Toeplitz, Toeplitz]:
    """Covariance of the untrained network's output (:func:`fflib.theory.kernels.nngp`), and :func:`ntk`.

    Arguments and errors are those of :func:`ntk`; most of the work is common to both.

    Chapter: Choosing the scale.
    """
    x, y, strides = _pair(x, y)
    kernels.fitting(model, mapping)
    if mapping.d != x.d:
        raise ValueError(
            f"mapping must take points of {x.d} coordinates, as the grid has, but takes {mapping.d}"
        )
    axes = [jnp.asarray(a, mapping.B.dtype) for a in _lag_axes(x, y, strides)]
    return tuple(_from_lags(k, x, y, strides) for k in _lags_of_both(model, mapping, axes))


@partial(jax.jit, static_argnums=0)
def _lags_of_both(model, mapping, axes):
    power = mapping.a**2 / (mapping.a**2).sum()
    *outer, last = [
        jnp.pi * a[:, None] * b for a, b in zip(axes, mapping.B.T, strict=True)
    ]  # half phases
    s2, c2 = jnp.sin(last), jnp.cos(last)
    squares, cross = jnp.concatenate([c2**2, s2**2], 1), 2 * s2 * c2

    def row(phases):
        phase = sum(phases) if outer else jnp.zeros_like(power)
        s, c = jnp.sin(phase), jnp.cos(phase)
        a, b, sc = power * s**2, power * c**2, power * s * c
        dot = partial(jnp.dot, precision="highest")
        mixed = dot(cross, sc)
        return dot(squares, jnp.concatenate([a, b])) + mixed, dot(
            squares, jnp.concatenate([b, a])
        ) - mixed

    sizes = [len(a) for a in outer]
    index = (
        jnp.stack([i.reshape(-1) for i in jnp.indices(sizes)], -1)
        if outer
        else jnp.zeros((1, 0), int)
    )
    take = lambda i: row([phase[i[k]] for k, phase in enumerate(outer)])
    batch = max(1, 2**24 // cross.size) if outer else 1
    h, g = jax.lax.map(take, index, batch_size=min(batch, 64))
    r = jnp.linalg.norm(mapping.a)
    return relu_recursion(model, r, r, h, g)


# --------------------------------------------------------------------------------------------------
# Its spectrum


def rates(K: Toeplitz) -> jax.Array:
    """How fast each frequency is learned: λ_f, (n₁, …, n_d), frequencies in the order of ``jnp.fft.fftn``.

    The eigenvalues of the circulant matrix nearest to K (T. Chan 1988), whose eigenvectors are the
    waves of the grid: lag l and lag l − n share a place, weighted (1 − l/n) and l/n. Exact when the
    kernel has the grid's period; else the waves leak at the edges and this is the mean rate of a wave,
    λ_f = φ_fᴴ K φ_f. Frequency f takes a time 1/λ_f (see :func:`fflib.theory.flow.gradient_flow`).

    Raises: ValueError when K is not of one grid with itself.

    Chapter: The closed form at image scale.
    """
    return _rates(square("K", K))


@jax.jit
def _rates(K: Toeplitz):
    k = _lags(K)
    for axis, n in enumerate(K.rows.shape):
        k = jnp.moveaxis(k, axis, 0)
        weight = (1 - jnp.arange(n) / n).astype(k.dtype).reshape(-1, *(1,) * (k.ndim - 1))
        here, before = (
            k[n - 1 :] * weight,
            k[: n - 1] * (1 - weight[1:]),
        )  # lags 0 … n−1 and 1−n … −1
        k = jnp.moveaxis(here.at[1:].add(before), 0, axis)
    return jnp.maximum(jnp.fft.fftn(k).real, 0.0)
