"""Row zero of Table 1: what the same measurements give without a network.

Interpolation of the pixels and the labels that were shown, filtered back-projection and zero
filling, and, for the scanners, the picture of least total variation. Its weight was chosen on
other items, by ``tools/weights.py``.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from scipy.spatial import KDTree

from fflib.experiments import image, scans, shape
from fflib.experiments.protocol import Experiment, each
from fflib.operators import meshes, scanner

ORDERS = {"bilinear": 1, "bicubic": 3}
STEPS = 2000  # of the search for the least total variation
CELLS = 77  # nodes a side of the grid of labels: as many numbers as the network has
WEIGHT = 10**-3.5  # of the total variation: of half-decades the best in all columns, reduced size


def interpolated(picture, order: int) -> np.ndarray:
    """A picture (H, W, 3), H and W even, from every second pixel of every second row, by splines
    (scipy's) of order 1, bilinear, or 3, bicubic, in [0, 1]. What lies beyond the last pixel shown
    takes its mirror image. Chapter: Photographs and text.
    """
    from scipy.ndimage import map_coordinates  # slow to import

    seen = np.asarray(picture)[::2, ::2]
    at = np.indices(picture.shape[:2]) / 2
    made = [map_coordinates(c, at, order=order, mode="mirror") for c in np.moveaxis(seen, -1, 0)]
    return np.clip(np.stack(made, -1), 0, 1)


@partial(jax.jit, static_argnames=("shape", "steps"))
def least_variation(
    observed, how, weight, *, operator: Callable, shape: tuple[int, ...], steps: int = STEPS
) -> jax.Array:
    """The f in [0, 1] with the least ½‖(A f − y)/‖A‖‖² + weight·Σ|∇f|, ∇ of forward differences.

    The first-order primal-dual algorithm of Chambolle and Pock (2011), with steps τ = σ = 1/‖K‖ for
    K = (A/‖A‖, ∇), whose norm is at most √(1 + 4d).

    ``observed`` y, real or complex; ``operator`` a ``Partial`` of f, how ↦ A f, linear in f;
    ``weight`` positive; ``shape`` of f, d sizes. Returns: f, of this shape. Chapter: Computed
    tomography; Magnetic resonance.
    """

    def slopes(f):
        ends = [(f, jax.lax.slice_in_dim(f, -1, None, axis=a)) for a in range(f.ndim)]
        return jnp.stack([jnp.diff(g, axis=a, append=end) for a, (g, end) in enumerate(ends)])

    def measured(f):
        return operator(f, how)

    back, gather = scanner.adjoint(measured, shape), scanner.adjoint(slopes, shape)

    def grow(_, f):
        f = back(measured(f)).real
        return f / jnp.linalg.norm(f)

    start = jax.lax.fori_loop(0, 30, grow, jnp.ones(shape) / np.prod(shape) ** 0.5)
    norm = jnp.linalg.norm(measured(start))
    step = (1 + 4 * len(shape)) ** -0.5

    def advance(_, state):
        f, ahead, p, q = state
        p = (p + step * (measured(ahead) - observed) / norm) / (1 + step)
        q = q + step * slopes(ahead)
        q = q / jnp.maximum(1, jnp.sqrt((q**2).sum(0)) / weight)
        new = jnp.clip(f - step * (back(p).real / norm + gather(q)), 0, 1)
        return new, 2 * new - f, p, q

    f = jnp.zeros(shape)
    return jax.lax.fori_loop(0, steps, advance, (f, f, 0 * observed, slopes(f)))[0]


def occupied(solid: dict[str, jax.Array], n: int = CELLS) -> Callable:
    """A ``solid`` of :func:`fflib.worlds.solids.prepare` from the labels at n³ nodes of its box,
    trilinear between them, (T, 3) → (T,) in [−½, ½], positive inside. A node takes its label from
    the nearest of the training lines, which lie much closer than nodes do. Chapter: Solid shapes.
    """
    from scipy.ndimage import map_coordinates

    low, high = np.asarray(solid["box"])
    axes = np.linspace(low, high, n, axis=1)
    columns = np.stack(np.meshgrid(*axes[:2], indexing="ij"), -1).reshape(-1, 2)
    heights = np.asarray(solid["heights"])[KDTree(solid["xy"]).query(columns)[1]]
    inside = meshes.below(heights[:, None], axes[2]).reshape(n, n, n)

    def field(v):
        at = (np.asarray(v) - low) / (high - low) * (n - 1)
        return map_coordinates(np.asarray(inside, np.float32), at.T, order=1, mode="nearest") - 0.5

    return field


def _pictures(pictures, keys, mapping):
    scores = [image.score(interpolated(p, ORDERS[mapping]), p) for p in pictures]
    return [{name: told[name] for name in ("psnr", "ssim")} for told in scores]  # seen are right


def _solids(array, keys, mapping):
    return [shape.score(occupied(solid), solid) for solid in each(array)]


def scanned(
    truth, keys, mapping: str, *, instrument: scans.Instrument, weight: float = WEIGHT
) -> list[dict[str, float]]:
    """Scores of what a scanner's measurements of each item give by ``mapping``, "direct" or "total
    variation", of this ``weight``; ``keys`` are not used. Chapter: Reproducing Table 1.
    """
    size, operator = truth.shape[1:], Partial(instrument.operator)
    how = instrument.how(size[-1])

    def made(f):
        y = operator(f, how)
        if mapping == "direct":
            return instrument.direct(y, how)
        return least_variation(y, how, weight, operator=operator, shape=size)

    return [scans.score(made(f), f) for f in truth]


def _experiments():
    for name, known in (image.EXPERIMENTS | shape.EXPERIMENTS | scans.EXPERIMENTS).items():
        if name.endswith("_ours") or name == "mri_shepp":
            continue
        kind, numbers = name.partition("_")[0], known.settings
        settings = {k: numbers[k] for k in ("size", "lines") if k in numbers}
        if kind == "image":
            solve, mappings = _pictures, tuple(ORDERS)
        elif kind == "shape":
            solve, mappings = _solids, ("grid of labels",)
            settings |= {"cells": CELLS}
        else:
            instrument = scans.RESONANCE if kind == "mri" else scans.TOMOGRAPH
            solve, mappings = partial(scanned, instrument=instrument), ("direct", "total variation")
            settings |= {"weight": WEIGHT, "steps": STEPS}
        made = known._replace(solve=solve, settings=settings, mappings=mappings)
        yield f"{name}_plain", made


EXPERIMENTS: dict[str, Experiment] = dict(_experiments())
