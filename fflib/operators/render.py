r"""Volume rendering: from a field of density and colour to what a camera sees of it.

Light that starts at t on a ray o + t·d reaches the camera with the transmittance T(t), so the pixel
shows

    C = ∫ T(t) σ(t) c(t) dt,   T(t) = exp(−∫_near^t σ(s) ds),                  (Max 1995)

computed from samples t_1 < … < t_n with δ_i = t_{i+1} − t_i, t_{n+1} = far (Mildenhall et al.
2020):

    C = Σ w_i c_i,   w_i = T_i (1 − e^{−σ_i δ_i}),   T_i = exp(−Σ_{j<i} σ_j δ_j).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks
from fflib.operators.cameras import Views, pixel_centres, rays

ENDLESS = 1e10  # where the published last interval ends


class Rendered(NamedTuple):
    """What rays see of a field on black: colour (..., 3), Σ w_i c_i, depth (...), Σ w_i t_i + (1 −
    opacity)·far, opacity (...), Σ w_i ≤ 1, weights (..., n), w_i ≥ 0. Chapter: Radiance fields.
    """

    colour: jax.Array
    depth: jax.Array
    opacity: jax.Array
    weights: jax.Array


def samples(
    near: float, far: float, n: int, key: jax.Array | None = None, shape: tuple = ()
) -> jax.Array:
    """Distances t_1 < … < t_n along rays, ``shape`` + (n,), one in each of n parts of [near, far].

    With a ``key`` uniform within its part, else in its middle. Raises: ValueError unless 0 ≤ near
    < far and n ≥ 1. Chapter: Radiance fields.
    """
    right = 0 <= near < far < np.inf
    checks.must(right, "near and far", "satisfy 0 <= near < far", f"{near} and {far}")
    size = (*shape, checks.count("n", n))
    u = 0.5 if key is None else jax.random.uniform(checks.key("key", key), size)
    return near + (far - near) / n * (jnp.broadcast_to(jnp.arange(n), size) + u)


def composite(density, colour, t, far: float) -> Rendered:
    """Add up what the samples of a ray contribute (the equations above).

    Density σ_i ≥ 0 is per unit length, (..., n), colour c_i (..., n, 3); distances t (..., n) rise,
    and the last interval ends at ``far``, not before the last sample. Raises: ValueError when the
    shapes disagree, or distances fall. Chapter: Radiance fields.
    """
    checks.shaped("colour", colour, (*jnp.shape(density), 3))
    checks.shaped("t", t, (..., jnp.shape(density)[-1]))
    lengths = jnp.diff(t, append=far)
    if not checks.traced(lengths) and (least := np.min(lengths)) < -1e-6 * far:
        raise ValueError(f"t must rise and end before far = {far}, but falls by {-least:.3g}")
    if not checks.traced(density) and (least := np.min(density)) < 0:
        raise ValueError(f"density must be ≥ 0, but reaches {least:.3g}")
    thickness = density * lengths
    # the sum of those before; a difference of sums would cancel behind a wall
    before = jnp.cumsum(thickness, axis=-1)[..., :-1]
    before = jnp.concatenate([jnp.zeros_like(thickness[..., :1]), before], axis=-1)
    weights = jnp.exp(-before) * -jnp.expm1(-thickness)
    opacity = weights.sum(-1)
    return Rendered(
        colour=jnp.einsum("...n,...nc->...c", weights, colour),
        depth=(weights * t).sum(-1) + (1 - opacity) * far,
        opacity=opacity,
        weights=weights,
    )


def render(field: Callable, origins, directions, t, far: float) -> Rendered:
    """What rays (origins and directions (..., 3), distances (..., n)) see of a field, which maps
    points (..., 3) to density (...) and colour (..., 3). Chapter: Radiance fields.
    """
    points = origins[..., None, :] + t[..., None] * directions[..., None, :]
    density, colour = field(points)
    return composite(density, colour, t, far)


def radiance(raw) -> tuple[jax.Array, jax.Array]:
    """A network's outputs (..., 4) as density relu(raw₃) (...) and colour sigmoid(raw₀₁₂)
    (..., 3). Chapter: Radiance fields.
    """
    return jax.nn.relu(raw[..., 3]), jax.nn.sigmoid(raw[..., :3])


def random_rays(
    key: jax.Array, seen: Views, count: int, n: int, published: bool = False
) -> dict[str, jax.Array]:
    """``count`` random pixels of random pictures with n stratified samples each: a minibatch.

    With ``published`` as in the authors' notebook: through the pixels' upper left corners, t the
    depth along the camera's axis. Returns a dict of origins, directions, colour (count, 3) and t
    (count, n). Chapter: Radiance fields.
    """
    key_pixel, key_t = jax.random.split(checks.key("key", key))
    view, row, column = jax.random.randint(
        key_pixel, (3, count), 0, jnp.array([len(seen), *seen.size])[:, None]
    )
    pixels = jnp.stack([row, column], axis=-1) + (0.0 if published else 0.5)
    o, d = rays(seen.poses[view], pixels, seen.lens[view], seen.size, unit=not published)
    t = samples(seen.near, seen.far, n, key_t, (count,))
    return dict(origins=o, directions=d, colour=seen.images[view, row, column], t=t)


def picture(
    field: Callable, pose, lens, size: tuple[int, int], t, far: float, rows: int = 8,
    published: bool = False,
) -> Rendered:  # fmt: skip
    """A whole picture (H, W, …) of a field, of samples ``t`` (n,) on every ray, ``rows`` rows of
    pixels at a time; ``published`` as in :func:`random_rays`. Chapter: Radiance fields.
    """
    pixels = pixel_centres(*size) - (0.5 if published else 0.0)

    def one_row(ray):
        o, d = ray
        return render(field, o, d, jnp.broadcast_to(t, (*o.shape[:-1], len(t))), far)

    towards = rays(pose, pixels, lens, size, unit=not published)
    return jax.lax.map(one_row, towards, batch_size=rows)
