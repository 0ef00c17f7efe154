r"""Radial-basis embeddings: bells at fixed places t_j whose width belongs to the coordinate,

φ_j(x) = exp(−(αᵀx − t_j)² / (2σ_x²)).              (Ramasinghe & Lucey 2022, exponent 1)
"""

import dataclasses

import jax
import jax.numpy as jnp

from fflib import checks


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)  # arrays have no truth value to compare by
class Radial:
    """The embedding Φ(x) of coordinates x (..., d) with widths σ_x (...): a function of both.

    ``z = embedding(x, sigma)``: the m bells, at places t (m,), of each of k directions alpha (k, d)
    side by side, (..., k·m), or with ``product`` each of one direction times each of the others,
    (..., m^k): round bells at the corners of a grid. A JAX pytree. Chapter: Learned embeddings.
    """

    t: jax.Array
    alpha: jax.Array
    product: bool = dataclasses.field(default=False, metadata={"static": True})

    @property
    def num_features(self) -> int:
        """Length of Φ(x)."""
        k, m = self.alpha.shape[0], self.t.shape[0]
        return m**k if self.product else m * k

    def __call__(self, x, sigma) -> jax.Array:
        x, sigma = self._arguments(x, sigma)
        return jnp.exp(self._combine(-(self._offsets(x) ** 2) / (2 * sigma[..., None, None] ** 2)))

    def jacobian(self, x, sigma, slope=0.0) -> jax.Array:
        """∂Φ/∂x in closed form, (..., num_features, d), for widths of gradient ∇σ_x = ``slope``,
        one number or of x's shape. With u = αᵀx − t_j: ∂ ln φ_j = −(u/σ²) α + (u²/σ³) ∇σ.
        """
        x, sigma = self._arguments(x, sigma)
        checks.shaped("slope", slope, (), x.shape)
        slope = jnp.broadcast_to(jnp.asarray(slope, x.dtype), x.shape)[..., None, None, :]
        u, s = self._offsets(x)[..., None], sigma[..., None, None, None]
        along = -u / s**2 * self.alpha[:, None, :] + u**2 / s**3 * slope  # (..., k, m, d)
        logs = jnp.moveaxis(self._combine(jnp.moveaxis(along, -1, 0)), 0, -1)
        return self(x, sigma)[..., None] * logs

    def _offsets(self, x):
        """u = αᵀx − t_j, (..., k, m)."""
        return jnp.matmul(x, self.alpha.T, precision="highest")[..., None] - self.t

    def _combine(self, logs):
        """(..., k, m) logarithms to (..., num_features): a list, or sums of one from each row."""
        if not self.product:
            return logs.reshape(*logs.shape[:-2], -1)
        total = logs[..., 0, :]
        for k in range(1, logs.shape[-2]):
            total = (total[..., :, None] + logs[..., k, None, :]).reshape(*logs.shape[:-2], -1)
        return total

    def _arguments(self, x, sigma):
        x = checks.coordinates("x", x, self.alpha.shape[1])
        return x, _widths_of("sigma", sigma, x.shape[:-1])


def _widths_of(name: str, sigma, shape) -> jax.Array:
    sigma = checks.real_array(name, sigma, (), shape)
    if not checks.traced(sigma) and not bool((sigma > 0).all()):
        raise ValueError(f"{name} must be > 0 everywhere, but its least is {float(sigma.min())}")
    return jnp.broadcast_to(sigma, shape)


def radial(m: int, d: int, *, product: bool = False, margin: float = 0.1) -> Radial:
    """Bells at m ≥ 2 equidistant places from −margin to 1 + margin, margin ≥ 0, on each of d axes.
    Chapter: Learned embeddings.
    """
    m, margin = checks.count("m", m, least=2), checks.positive("margin", margin, zero=True)
    return Radial(jnp.linspace(-margin, 1 + margin, m), jnp.eye(checks.count("d", d)), product)


def unit(z) -> jax.Array:
    """z / ‖z‖ along the last axis; zero rows stay zero. Chapter: Learned embeddings."""
    z = checks.real_array("z", z)
    return z / jnp.sqrt(jnp.sum(z**2, -1, keepdims=True) + 1e-12)


def gibbs_kernel(x1, sigma1, x2, sigma2) -> jax.Array:
    """unit(Φ(x))ᵀ unit(Φ(x′)) for dense bells on one axis (n,), (n′,) → (n, n′): Gibbs' kernel.

    √(2σσ′/(σ²+σ′²)) exp(−(x−x′)² / (2(σ²+σ′²))) (Rasmussen & Williams 2006, section 4.2.3, with
    length scales √2 σ). Raises: ValueError for points of another shape, or a width that is neither
    one number nor one a point. Chapter: Learned embeddings.
    """
    x1, x2 = checks.real_array("x1", x1, ("n",)), checks.real_array("x2", x2, ("n",))
    s1, s2 = _widths_of("sigma1", sigma1, x1.shape), _widths_of("sigma2", sigma2, x2.shape)
    both = s1[:, None] ** 2 + s2**2
    return jnp.sqrt(2 * s1[:, None] * s2 / both) * jnp.exp(-((x1[:, None] - x2) ** 2) / (2 * both))


def volume_element(J) -> jax.Array:
    """√det(JᵀJ), (...), of Jacobians (..., D, d), D ≥ d: what an embedding makes of a unit volume.
    Chapter: Learned embeddings.
    """
    J = checks.real_array("J", J, (..., "D", "d"))
    if J.shape[-2] < J.shape[-1]:
        raise ValueError(f"J must have shape (..., D, d) with D at least d, but got {J.shape}")
    if J.shape[-1] == 1:
        return jnp.linalg.norm(J[..., 0], axis=-1)
    return jnp.abs(jnp.prod(jnp.diagonal(jnp.linalg.qr(J, mode="r"), axis1=-2, axis2=-1), -1))


def widths(log_sigma, x) -> jax.Array:
    """σ at coordinates x (..., d), by linear interpolation of logarithms on a grid over [0, 1]^d,
    (k, …, k); k = 1 is one width for all. Chapter: Learned embeddings.
    """
    log_sigma = checks.real_array("log_sigma", log_sigma, (..., "k"))
    x = checks.coordinates("x", x, log_sigma.ndim)
    places = [x[..., a] * (k - 1) for a, k in enumerate(log_sigma.shape)]
    return jnp.exp(jax.scipy.ndimage.map_coordinates(log_sigma, places, order=1, mode="nearest"))
