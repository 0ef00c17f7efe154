r"""Kernels on regular grids without the matrix: n log n where the dense formulas take n³.

With a Fourier mapping the kernel depends on the offset of two points alone. On a regular grid equal
offsets recur all over: a product with the Gram matrix, (block-)Toeplitz, is a convolution, which
the FFT does. :mod:`fflib.theory.krylov` solves with it, :mod:`fflib.theory.dynamics` trains.
"""

import dataclasses
import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.fft import next_fast_len

from fflib import checks
from fflib.features import Mapping
from fflib.network import MLP
from fflib.theory import kernels


@dataclasses.dataclass(frozen=True)
class Grid:
    """A regular grid of shape (n₁, …, n_d), d = 1, 2 or 3: point (i₁, …, i_d) lies at origin + i ·
    step. Raises: ValueError for other dimensions, sizes < 1 or steps ≤ 0. Chapter: The closed form
    at image scale.
    """

    shape: tuple[int, ...]
    step: tuple[float, ...]
    origin: tuple[float, ...]

    def __post_init__(self):
        lengths = len(self.shape), len(self.step), len(self.origin)
        right = lengths in ((1,) * 3, (2,) * 3, (3,) * 3)
        given = f"{self.shape}, {self.step} and {self.origin}"
        wanted = "have one number for each of 1, 2 or 3 axes"
        checks.must(right, "shape, step and origin", wanted, given)
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
        return jnp.asarray(self._points(), float)

    def _points(self) -> np.ndarray:
        index = np.stack(np.meshgrid(*map(np.arange, self.shape), indexing="ij"), -1)
        return self.origin + np.array(self.step) * index


def regular(v) -> Grid:
    """The grid that the points v, (n₁, …, n_d, d), form: axis j of the array moves coordinate j.

    Such as ``data.grid`` and any part ``v[a::s, b::s]`` of it. Raises: ValueError when the points
    lie on no regular grid (to a thousandth of its step) or an axis has fewer than two; TypeError
    inside ``jax.jit``. Chapter: The closed form at image scale.
    """
    if isinstance(v, Grid):
        return v
    if checks.traced(v):
        raise TypeError("v must be concrete points, but is traced: make the grid outside jax.jit")
    v = np.asarray(checks.coordinates("v", v, None), np.float64)
    d = v.shape[-1]
    if v.ndim != d + 1 or not 1 <= d <= 3 or min(v.shape[:-1]) < 2:
        raise ValueError(
            "v must have shape (n₁, …, n_d, d), d ≤ 3, with at least two points along each axis, "
            f"but got shape {v.shape}; "
            + ("for points on a line give v[:, None]" if v.ndim == 1 else "reshape points (n, d)")
        )
    first, last = v[(0,) * d], v[(-1,) * d]
    step = (last - first) / (np.array(v.shape[:-1]) - 1)
    checks.must((step > 0).all(), "v", "grow along axis j in coordinate j", f"mean steps {step}")
    found = Grid(v.shape[:-1], tuple(map(float, step)), tuple(map(float, first)))
    off = np.abs(v - found._points()).max(axis=tuple(range(d))) / step
    if off.max() > 1e-3:
        raise ValueError(
            f"v is not a regular grid: a point is {off.max():.3g} steps away from its place on "
            f"axis {off.argmax()}. Irregular points need the dense formulas of fflib.theory.kernels"
        )
    return found


def _pair(x, y):
    """Both grids, and strides (p, q): x.step = p·h, y.step = q·h on every axis, h the largest."""
    x = regular(x)
    y = x if y is None else regular(y)
    checks.must(x.d == y.d, "both grids", "have the same dimension", f"{x.d} and {y.d}")
    strides = []
    for a, b, n, m in zip(x.step, y.step, x.shape, y.shape, strict=True):
        ratio = Fraction(a / b).limit_denominator(32)
        right = ratio != 0 and abs(float(ratio) * b / a - 1) * max(n, m) <= 1e-3
        steps = "the steps of both grids"
        checks.must(right, steps, "be small multiples of one step", f"{a:g} and {b:g}")
        strides.append((ratio.numerator, ratio.denominator))
    return x, y, tuple(zip(*strides, strict=True))


def on_grid(name: str, w, grid: Grid) -> jax.Array:
    """w on the grid, its shape or that and (c,). Chapter: The closed form at image scale."""
    return checks.real_array(name, w, grid.shape, (*grid.shape, "c"))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Toeplitz:
    """The matrix K_ij = k(x_i − y_j) between the points of two grids, rows and columns.

    ``K @ w`` takes w of shape (m₁, …, m_d) or (m₁, …, m_d, c), values on the columns' grid, to the
    same on the rows' grid. The lags are laid on a ring long enough that its ends do not meet
    (circulant embedding), whose real FFT is ``spectrum``. ``strides``: steps of both grids in units
    of their common step. Chapter: The closed form at image scale.
    """

    spectrum: jax.Array
    rows: Grid = dataclasses.field(metadata={"static": True})
    columns: Grid = dataclasses.field(metadata={"static": True})
    strides: tuple[tuple[int, ...], tuple[int, ...]] = dataclasses.field(metadata={"static": True})

    def __matmul__(self, w) -> jax.Array:
        return _multiply(self, on_grid("w", w, self.columns))

    def dense(self) -> jax.Array:
        """The matrix (n, m), points in the order of ``reshape(-1)``; MemoryError if too large."""
        n, m = self.rows.size, self.columns.size
        kernels.fits_in_memory("the dense kernel matrix", n, m)
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
        fine = [(m - 1) * s + 1 for m, s in zip(K.columns.shape, q, strict=True)]
        zeros = jnp.zeros((*fine, *w.shape[d:]), w.dtype)
        w = zeros.at[tuple(slice(None, None, s) for s in q)].set(w)
    spectrum = K.spectrum[(...,) + (None,) * (w.ndim - d)]
    f = jnp.fft.irfftn(jnp.fft.rfftn(w, ring, axes) * spectrum, ring, axes)
    keep = zip(K.rows.shape, p, strict=True)
    return f[tuple(slice(0, (n - 1) * s + 1, s) for n, s in keep)]


def square(name: str, K: Toeplitz) -> Toeplitz:
    """K, if of one grid with itself, else an error. Chapter: The closed form at image scale."""
    checks.is_a(name, K, Toeplitz)
    given = f"{K.rows} and {K.columns}"
    checks.must(K.rows == K.columns, name, "be the kernel of one grid with itself", given)
    return K


def _ring(x: Grid, y: Grid, strides) -> tuple[int, ...]:
    """Lengths for the ring: at least the number of different lags, even, small prime factors."""
    spans = zip(x.shape, y.shape, *strides, strict=True)
    lengths = [(n - 1) * p + (m - 1) * q + 1 for n, m, p, q in spans]
    return tuple(2 * int(next_fast_len(-(-length // 2)) or 0) for length in lengths)


def _lag_axes(x: Grid, y: Grid, strides) -> list[np.ndarray]:
    """The offset x_i − y_j along each axis, at its place on the ring (0, 1, …, −2, −1 steps)."""
    axes, sizes = [], _ring(x, y, strides)
    for j, (n, p, N) in enumerate(zip(x.shape, strides[0], sizes, strict=True)):
        index = np.arange(N)
        index = np.where(index <= (n - 1) * p, index, index - N)
        axes.append(x.origin[j] - y.origin[j] + index * (x.step[j] / p))
    return axes


def toeplitz(kernel: Callable, x, y=None) -> Toeplitz:
    """The matrix of any stationary kernel, offsets (..., d) ↦ (...), between two regular grids.

    kernel(−Δ) = kernel(Δ). ``x`` is a :class:`Grid` or its points (n₁, …, n_d, d), ``y`` the same
    for the columns (default x): may be shifted, longer, or finer by a whole factor. Raises:
    ValueError for points on no regular grid, and grids without a common step. Chapter: The closed
    form at image scale.
    """
    x, y, strides = _pair(x, y)
    lags = np.stack(np.meshgrid(*_lag_axes(x, y, strides), indexing="ij"), -1)
    rows = jnp.asarray(lags.reshape(-1, lags.shape[-2], x.d), jnp.zeros(()).dtype)
    return _from_lags(jax.lax.map(kernel, rows), x, y, strides)


def _from_lags(lags, x, y, strides):
    ring = _ring(x, y, strides)
    return Toeplitz(jnp.fft.rfftn(lags.reshape(ring)), x, y, strides)


def ntk(model: MLP, mapping: Mapping, x, y=None) -> Toeplitz:
    """The tangent kernel of ``model`` behind ``mapping`` between two grids.

    The numbers of :func:`fflib.theory.kernels.ntk_stationary`, sooner: since sin(φ₁ + φ₂) = sin φ₁
    cos φ₂ + cos φ₁ sin φ₂, the sum over frequencies is a product of two small matrices, one an
    axis. x, y and errors: as for :func:`toeplitz`. Chapter: The closed form at image scale.
    """
    x, y, strides = _pair(x, y)
    kernels.fitting(model, mapping)
    wanted = f"take points of {x.d} coordinates, as the grid has"
    checks.must(mapping.d == x.d, "mapping", wanted, f"one of {mapping.d}")
    axes = [jnp.asarray(a, mapping.B.dtype) for a in _lag_axes(x, y, strides)]
    return _from_lags(_ntk_of_lags(model, mapping, axes), x, y, strides)


@partial(jax.jit, static_argnums=0)
def _ntk_of_lags(model, mapping, axes):
    power = mapping.a**2 / (mapping.a**2).sum()
    half_phases = [jnp.pi * a[:, None] * b for a, b in zip(axes, mapping.B.T, strict=True)]
    *outer, last = [jnp.zeros((1, len(power))), *half_phases] if len(axes) == 1 else half_phases
    s2, c2 = jnp.sin(last), jnp.cos(last)
    squares, cross = jnp.concatenate([c2**2, s2**2], 1), 2 * s2 * c2
    dot = partial(jnp.dot, precision="highest")

    def row(index):
        phase = sum(phases[i] for phases, i in zip(outer, index, strict=True))
        s, c = jnp.sin(phase), jnp.cos(phase)
        a, b, mixed = power * s**2, power * c**2, dot(cross, power * s * c)
        by_h, by_g = jnp.concatenate([a, b]), jnp.concatenate([b, a])
        return dot(squares, by_h) + mixed, dot(squares, by_g) - mixed

    index = jnp.stack([i.reshape(-1) for i in jnp.indices([len(a) for a in outer])], -1)
    h, g = jax.lax.map(row, index, batch_size=min(max(1, 2**24 // cross.size), 64))
    r = jnp.linalg.norm(mapping.a)
    return kernels.relu_recursion(model, r, r, h, g)


def rates(K: Toeplitz) -> jax.Array:
    """How fast each frequency is learned: λ_f, (n₁, …, n_d), in the order of ``jnp.fft.fftn``.

    The eigenvalues of the circulant matrix nearest to K (T. Chan 1988), in which lags l and l − n
    share a place, weighted (1 − l/n) and l/n. Exact when the kernel has the grid's period; else the
    mean rate of a wave, λ_f = φ_fᴴ K φ_f. Frequency f takes a time 1/λ_f. Raises: ValueError when K
    is not of one grid with itself. Chapter: The closed form at image scale.
    """
    return _rates(square("K", K))


@jax.jit
def _rates(K: Toeplitz):
    k = _lags(K)
    for axis, n in enumerate(K.rows.shape):
        k = jnp.moveaxis(k, axis, 0)
        weight = (1 - jnp.arange(n) / n).astype(k.dtype).reshape(-1, *(1,) * (k.ndim - 1))
        here, before = k[n - 1 :] * weight, k[: n - 1] * (1 - weight[1:])  # lags ≥ 0 and < 0
        k = jnp.moveaxis(here.at[1:].add(before), 0, axis)
    return jnp.maximum(jnp.fft.fftn(k).real, 0.0)
