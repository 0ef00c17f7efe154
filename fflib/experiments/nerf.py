"""Learn a scene from photographs: points → mapping → MLP → volume rendering → colours of pixels.

The trainer is that of the pictures. Between the network and the comparison stands the rendering of
:mod:`fflib.operators.render`, and a step sees random pixels instead of all. The mappings and the numbers of a run are in
:mod:`fflib.experiments.nerf_mappings`; the names are here as well.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fflib import metrics
from fflib.experiments.muon import muon
from fflib.experiments.nerf_mappings import MAPPINGS, PAPER, Setting, encode
from fflib.experiments.nerf_mappings import in_radians as in_radians
from fflib.experiments.nerf_mappings import paper_turn as paper_turn
from fflib.experiments.nerf_mappings import turned as turned
from fflib.experiments.protocol import OURS, Experiment, adam, start_at, with_fifth_row
from fflib.experiments.records import circumstances
from fflib.network import MLP, mlp
from fflib.operators import cameras, render
from fflib.parallel import among
from fflib.training import fit
from fflib.worlds.lego import SPLIT, lego


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)  # arrays have no truth value to compare by
class Field:
    """A network as a scene: ``field(points)`` gives density and colour (see :func:`fflib.operators.render.render`).

    Chapter: Radiance fields.
    """

    gamma: Any
    model: MLP = dataclasses.field(metadata=dict(static=True))
    params: Any

    def __call__(self, points) -> tuple[jax.Array, jax.Array]:
        return render.radiance(self.model(self.params, self.gamma(points)))


@cache  # the same functions for the same model, so that what was compiled for them is found again
def _functions(model: MLP, rays: int, samples: int, far: float):
    def loss(params, seen):
        field = Field(seen["gamma"], model, params)
        drawn = render.render(field, seen["origins"], seen["directions"], seen["t"], far)
        return jnp.mean((drawn.colour - seen["colour"]) ** 2)

    def batch(key, data):
        return render.random_rays(key, data["views"], rays, samples) | {"gamma": data["gamma"]}

    return loss, batch


def start_in_fog(params, views: cameras.Views):
    """Parameters whose output biases stand for an even fog: about half of the light gets through, and what is
    seen of it has the mean colour of the pictures.

    There relu has a slope at every point, so that a long first step does not switch the density off for good.

    Args:
        params: as ``MLP.init`` draws them, with any leading axes; four outputs.
        views: the pictures to learn from.

    Chapter: A fifth row.
    """
    *hidden, (W, b) = params
    [(_, colour)] = start_at([(W, b[..., :3])], 2 * views.images.mean((0, 1, 2)))
    density = b[..., 3:] + jnp.log(2.0) / (views.far - views.near)
    return [*hidden, (W, jnp.concatenate([colour, density], -1))]


def train(
    views: cameras.Views,
    keys: jax.Array,
    mapping: str,
    setting: Setting,
    *,
    gamma=None,
    optimizer: optax.GradientTransformation | None = None,
    every: int | None = None,
    checkpoint: str | os.PathLike | None = None,
    progress: bool = True,
) -> tuple[list[Field], dict[str, np.ndarray]]:
    """Train one network a key on the same pictures, all as one program.

    Members have their own initial networks and minibatches; the frequencies of a Gaussian mapping
    come from the first key. Where there are several devices they share the work.

    Args:
        views: the pictures to learn from.
        keys: E random keys.
        mapping: one of ``MAPPINGS``, or "ours".
        setting: the numbers of the run.
        gamma: instead of the mapping that ``mapping`` stands for.
        optimizer: instead of the mapping's own.
        every: record the loss, and offer to write the checkpoint, every so many steps.
        checkpoint: file to go on from, see :func:`fflib.training.fit`.
        progress: show a progress bar.

    Returns: E trained fields and the history of :func:`fflib.training.fit`.

    Raises: ValueError for another mapping, and what ``fit`` raises.

    Chapter: Radiance fields.
    """
    pairs = jax.vmap(jax.random.split)(keys)
    gamma = encode(mapping, pairs[0, 0], setting) if gamma is None else gamma
    model = mlp(gamma.num_features, setting.width, depth=4, d_out=4, biases=0.01)
    loss, batch = _functions(model, setting.rays, setting.samples, views.far)
    params = jax.vmap(model.init)(pairs[:, 1])
    if mapping == OURS:
        params = start_in_fog(params, views)
        optimizer = optimizer or muon(setting.rates[OURS], setting.steps)
    params, history = fit(
        params,
        loss,
        {"views": views, "gamma": gamma},
        steps=setting.steps,
        optimizer=optimizer
        or adam(setting.rates.get(mapping, setting.rates["rest"]), setting.warmup),
        key=pairs[0, 1],
        batch=batch,
        every=every,
        ensemble=True,
        checkpoint=checkpoint,
        devices=among(setting.rays),
        progress=progress,
        label=mapping,
    )
    return [
        Field(gamma, model, jax.tree.map(lambda p: p[e], params)) for e in range(len(keys))
    ], history


def look(field: Field, views: cameras.Views, samples: int) -> render.Rendered:
    """What a trained field looks like from the cameras of ``views``; arrays have leading axis n.

    Chapter: Radiance fields.
    """
    return _look(field, views, samples)


@partial(jax.jit, static_argnames="samples")
def _look(field, views, samples):
    t = render.samples(views.near, views.far, samples)
    one = lambda pose: render.picture(field, pose, views.focal, views.size, t, views.far)
    return jax.lax.map(one, views.poses)


def scores(field: Field, views: cameras.Views, samples: int) -> np.ndarray:
    """PSNR in dB of each of the views, (n,).

    Chapter: Radiance fields.
    """
    return np.asarray(_psnrs(look(field, views, samples).colour, views.images), float)


_psnrs = jax.jit(jax.vmap(metrics.psnr))


# --------------------------------------------------------------------------------------------------
# The paper's run


class Tests(NamedTuple):
    """The test pictures as items of an experiment. Chapter: Radiance fields."""

    names: tuple[str, ...]
    array: jax.Array
    sha256: str
    origin: str


def _load(size: int) -> Tests:
    _, test = lego(size)
    pixels = np.asarray(jnp.round(255 * test.images), np.uint8).tobytes()
    names = tuple(f"lego_{i}" for i in range(SPLIT[1], SPLIT[1] + len(test)))
    origin = f"lego, {size} × {size}, the paper's split of 100, 7 and 13 pictures; an item is a test picture"
    return Tests(names, jnp.arange(len(test)), hashlib.sha256(pixels).hexdigest(), origin)


def _solve(
    chosen, keys, mapping: str, setting: Setting, size: int, folder="_build/results"
) -> list[dict]:
    """Train once, with the first key, and score the chosen test pictures; with a folder, go on from a checkpoint."""
    seen, test = lego(size)
    checkpoint = None
    if folder is not None:
        about = (
            mapping,
            jax.random.key_data(keys[0]).tolist(),
            dataclasses.astuple(setting),
            size,
            circumstances(),
        )
        name = mapping.replace(", ", "_")
        checkpoint = (
            Path(folder)
            / f"nerf_{name}_{hashlib.sha256(repr(about).encode()).hexdigest()[:12]}.npz"
        )
    fields, _ = train(seen, keys[:1], mapping, setting, every=500, checkpoint=checkpoint)
    found = scores(fields[0], test[np.asarray(chosen)], setting.samples)
    return [{"psnr": value} for value in found]


def _experiment(setting: Setting, size: int, scale: str, **how) -> Experiment:
    solve = partial(_solve, setting=setting, size=size, **how)
    settings = dataclasses.asdict(setting) | {"size": size}
    return Experiment(partial(_load, size), solve, settings, MAPPINGS, scale, shared=True)


REDUCED = dataclasses.replace(PAPER, steps=1500, samples=64)
EXPERIMENTS = with_fifth_row(
    {
        "nerf_lego": _experiment(PAPER, 400, "full"),
        "nerf_lego_reduced": _experiment(REDUCED, 100, "reduced", folder=None)._replace(
            mappings=(
                "none",
                "basic",
                "positional",
                "gaussian",
                "positional, aligned",
                "ladder, aligned",
                "ladder",
            )
        ),
    }
)
