"""Encodings with parameters of their own, frozen descriptions with ``init(key)`` and
``apply(params, v)``, the ladders of other papers, and a mapping seen through a pixel.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks
from fflib.encodings.activations import sine
from fflib.features import Mapping, waves

PRIMES = (1, 2_654_435_761, 805_459_861)  # of the spatial hash, one an axis


@dataclasses.dataclass(frozen=True)
class Network:
    """An encoding and the network behind it: v (..., d) ↦ model(encoding(v)), (..., n_out).

    Parameters are a dict: ``{"encoding": …, "model": …}``. Raises: ValueError for a model that has
    not as many inputs as there are features. Chapter: The encodings people use now.
    """

    encoding: Any
    model: Any

    def __post_init__(self):
        given, wanted = self.encoding.num_features, self.model.sizes[0]
        if given != wanted:
            raise ValueError(f"encoding gives {given} features, but the model expects {wanted}")

    @property
    def num_params(self) -> int:
        """Number of parameters of both."""
        return self.encoding.num_params + self.model.num_params

    def init(self, key: jax.Array) -> dict[str, Any]:
        """Draw the parameters of both, each with its own key."""
        k_encoding, k_model = jax.random.split(checks.key("key", key))
        return {"encoding": self.encoding.init(k_encoding), "model": self.model.init(k_model)}

    def apply(self, params, v) -> jax.Array:
        """The function: v of shape (..., d) to (..., n_out)."""
        return self.model.apply(params["model"], self.encoding.apply(params["encoding"], v))

    __call__ = apply


@dataclasses.dataclass(frozen=True)
class Learned:
    """Frequencies and amplitudes that are trained along with the network, a mapping (a, B).

    ``draw`` makes it from a key, e.g. ``lambda key: features.gaussian(key, 64, 2, 4.0)``. Chapter:
    The encodings people use now.
    """

    draw: Callable[[jax.Array], Mapping]

    @property
    def num_features(self) -> int:
        """Length of the encoding, 2m."""
        return self._shapes.num_features

    @property
    def num_params(self) -> int:
        """m (d + 1)."""
        return sum(leaf.size for leaf in jax.tree.leaves(self._shapes))

    @property
    def _shapes(self) -> Mapping:
        return jax.eval_shape(self.draw, jax.random.key(0))

    def init(self, key: jax.Array) -> Mapping:
        """Draw the mapping."""
        return self.draw(checks.key("key", key))

    def apply(self, mapping: Mapping, v) -> jax.Array:
        """γ(v): v of shape (..., d) to (..., 2m)."""
        phase = mapping.phase(checks.coordinates("v", v, mapping.d))
        waves = [mapping.a * sine(phase), mapping.a * sine(phase + jnp.pi / 2)]
        return jnp.concatenate(waves, axis=-1)


def positional_nerf(levels: int, d: int) -> Mapping:
    """The ladder of the first NeRF: 2^0, 2^1, …, 2^(levels−1) cycles per unit on each axis.

    NeRF itself computes sin(2^l π x) for x in [−1, 1]: with v = (x+1)/2 in [0, 1) that is this
    ladder, up to signs. Raises: ValueError for sizes below 1. Chapter: Conventions.
    """
    ladder = 2.0 ** jnp.arange(checks.count("levels", levels))
    return waves(jnp.kron(jnp.eye(checks.count("d", d)), ladder[:, None]), levels=levels)


def positional_transformer(m: int, d: int, length: float, base: float = 10_000.0) -> Mapping:
    """The Transformer's encoding, sin and cos of position / base^(j/k), for v = position / length.

    On each axis j = 0 … k−1 with k = m/d (Vaswani et al. 2017). ``length`` > 0 is how many
    positions the unit of v holds: tokens, or pixels on a side. Raises: ValueError when d does not
    divide m, or length or base is not positive. Chapter: The encodings people use now.
    """
    length, base = checks.positive("length", length), checks.positive("base", base)
    m, d = checks.count("m", m), checks.count("d", d)
    checks.must(m % d == 0, "m", "be a multiple of d, to share out", f"m={m}, d={d}")
    ladder = length / (2 * np.pi) * base ** (-jnp.arange(m // d) / (m // d))
    return waves(jnp.kron(jnp.eye(d), ladder[:, None]), length=length)


def integrated(mapping: Mapping, v, variance) -> jax.Array:
    """The mapping averaged over a Gaussian footprint, E γ(v + ε) with ε ~ N(0, diag(variance)).

    With s_j = Σ_k B_jk² variance_k every wave keeps its phase and loses amplitude,

        E γ(v + ε) = [a e^(−2π²s) sin(2πBv), a e^(−2π²s) cos(2πBv)],

    the integrated positional encoding of mip-NeRF (Barron et al. 2021) for any (a, B). The variance
    along each axis is in units of v squared, h²/12 for a box of width h, and broadcasts to the
    centres v (..., d). Returns: (..., 2m). Raises: ValueError for a wrong shape or a negative
    variance; TypeError for another mapping. Chapter: The encodings people use now.
    """
    checks.is_a("mapping", mapping, Mapping)
    v = checks.coordinates("v", v, mapping.d)
    variance = checks.real_array("variance", variance, integers=True)
    try:
        variance = jnp.broadcast_to(variance, v.shape)
    except ValueError:
        message = f"variance must broadcast to v's shape {v.shape}, but got {variance.shape}"
        raise ValueError(message) from None
    if not checks.traced(variance) and (np.asarray(variance) < 0).any():
        raise ValueError(f"variance must be >= 0, but got values down to {variance.min()}")
    fade = jnp.exp(jnp.matmul(-2 * jnp.pi**2 * variance, (mapping.B**2).T, precision="highest"))
    return mapping(v) * jnp.concatenate([fade, fade], -1)


@dataclasses.dataclass(frozen=True)
class HashGrid:
    """The multiresolution hash grid of instant-NGP (Müller et al. 2022).

    Level ℓ is a grid of N_ℓ = ⌊coarsest · b^ℓ⌋ cells an axis over [0, 1]^d, d ≤ 3, the last of
    ``finest``, with a vector of ``features`` numbers at each corner, interpolated linearly inside a
    cell; the encoding is all levels' vectors side by side. A level with more than ``table`` corners
    keeps ``table`` vectors and finds a corner's by

        h(x) = (x₁π₁ ⊕ x₂π₂ ⊕ …) mod table,      π = 1, 2654435761, 805459861,

    ⊕ being exclusive or: corners that collide share a vector. Outside [0, 1], the nearest face.
    Raises: ValueError when a size is below 1, d above 3 or finest below coarsest. Chapter: The
    encodings people use now.
    """

    d: int
    levels: int = 16
    coarsest: int = 16
    finest: int = 512
    table: int = 2**14
    features: int = 2

    def __post_init__(self):
        for name in ("d", "levels", "coarsest", "finest", "table", "features"):
            checks.count(name, getattr(self, name))
        if self.d > len(PRIMES):
            raise ValueError(f"d must be 1, 2 or 3, but got {self.d}")
        if not self.coarsest <= self.finest < 2**24:  # there float32 tells corners apart
            allowed = f"at least coarsest={self.coarsest} and below 2**24"
            raise ValueError(f"finest must be {allowed}, but got {self.finest}")

    @property
    def resolutions(self) -> tuple[int, ...]:
        """N_ℓ, with growth b = (finest/coarsest)^(1/(L−1))."""
        steps = np.arange(self.levels) / max(self.levels - 1, 1)
        N = self.coarsest * (self.finest / self.coarsest) ** steps
        return tuple(int(n) for n in np.floor(N * (1 + 1e-9)))

    @property
    def rows(self) -> tuple[int, ...]:
        """Vectors of every level, one a corner where they fit, else ``table``."""
        return tuple(min((N + 1) ** self.d, self.table) for N in self.resolutions)

    @property
    def num_features(self) -> int:
        """Length of the encoding, levels · features."""
        return self.levels * self.features

    @property
    def num_params(self) -> int:
        """Numbers in all tables."""
        return sum(self.rows) * self.features

    def init(self, key: jax.Array) -> jax.Array:
        """The tables of all levels in a column, (sum(rows), features), from U(−10⁻⁴, 10⁻⁴)."""
        size = sum(self.rows), self.features
        return jax.random.uniform(checks.key("key", key), size, minval=-1e-4, maxval=1e-4)

    def row(self, corners) -> jax.Array:
        """Where the vectors of corners, 0 … N_ℓ along each axis, stand: (..., L, d) to (..., L)."""
        return _row(self, jnp.asarray(corners))

    def apply(self, params, v) -> jax.Array:
        """The encoding: v of shape (..., d) to (..., levels · features), coarse levels first."""
        checks.shaped("params", params, (sum(self.rows), self.features))
        return _interpolate(self, params, checks.coordinates("v", v, self.d))


@partial(jax.jit, static_argnums=0)
def _row(grid: HashGrid, corners):
    x = corners.astype(jnp.uint32)
    side = np.array(grid.resolutions, np.uint32) + np.uint32(1)
    dense, hashed = x[..., 0], x[..., 0]
    for axis in range(1, grid.d):  # numbers wrap around at 2³², as in the paper
        dense = dense * side + x[..., axis]
        hashed = hashed ^ (x[..., axis] * np.uint32(PRIMES[axis]))
    fits = np.array([(N + 1) ** grid.d <= grid.table for N in grid.resolutions])
    start = np.cumsum(grid.rows) - grid.rows
    return jnp.where(fits, dense, hashed % np.uint32(grid.table)).astype(jnp.int32) + start


@partial(jax.jit, static_argnums=0)
def _interpolate(grid: HashGrid, params, v):
    N = np.array(grid.resolutions)[:, None]
    x = jnp.clip(v, 0, 1)[..., None, :] * N.astype(v.dtype)  # (..., L, d)
    low = jnp.clip(jnp.floor(jax.lax.stop_gradient(x)).astype(jnp.int32), 0, N - 1)
    t = (x - low)[..., None, :, :]
    step = np.array(list(np.ndindex((2,) * grid.d)))[:, None]  # to the cell's corners, (2^d, 1, d)
    weight = jnp.prod(jnp.where(step == 1, t, 1 - t), -1)  # (..., 2^d, L)
    found = params[_row(grid, low[..., None, :, :] + step)]
    return jnp.sum(weight[..., None] * found, -3).reshape(*v.shape[:-1], grid.num_features)
