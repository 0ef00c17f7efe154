"""Learn a scene from photographs: points → mapping → MLP → volume rendering → colours of pixels.

The trainer is that of the pictures. Between the network and the comparison stands the rendering of
:mod:`fflib.render`, and a step sees random pixels instead of all.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fflib import cameras, checks, features, metrics, render
from fflib.experiments import OURS, Experiment, adam, start_at, with_fifth_row
from fflib.fit import fit
from fflib.lego import SPLIT, lego
from fflib.mlp import MLP, mlp
from fflib.muon import muon
from fflib.parallel import among

MAPPINGS = (
    "none",
    "basic",
    "positional",
    "positional, aligned",
    "ladder",
    "ladder, aligned",
    "gaussian",
)


@dataclasses.dataclass(frozen=True)
class Setting:
    """The numbers of a run.

    Attributes:
        steps: of Adam.
        width: units of each of the three hidden layers.
        m: frequencies of the positional (rounded down to a multiple of 3) and the Gaussian mapping.
        rays: random pixels a step.
        samples: points on each ray.
        rates: learning rate of "none" and "basic", of the "rest", and for "ours" of :func:`fflib.muon.muon`.
        scales: of "positional" and "ours" (log₂ of the highest frequency + 1), "ladder" (number of
            frequencies an axis) and "gaussian", all in radians per unit of length: no 2π here.
        warmup: steps in which the learning rate rises to its value. (A step that is too large at
            the start can make every density negative; relu then has no gradient to bring it back.)

    Chapter: Radiance fields.
    """

    steps: int
    width: int
    m: int
    rays: int
    samples: int
    rates: dict[str, float]
    scales: dict[str, float]
    warmup: int = 0


PAPER = Setting(
    steps=50_000,
    width=256,
    m=256,
    rays=1024,
    samples=128,
    rates={"none": 1e-2, "basic": 5e-3, "rest": 5e-4, "ours": 0.04},
    scales={"positional": 8.0, "ladder": 8, "gaussian": 26.0, "ours": 8.0},
)


def paper_turn() -> np.ndarray:
    """The rotation (3, 3) that the paper gives its turned encodings: 45° about z, then 45° about x.

    Chapter: Radiance fields.
    """
    c = np.sqrt(0.5)
    about_z = np.array([[c, -c, 0], [c, c, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, c, -c], [0, c, c]])
    return about_x @ about_z


def turned(mapping: features.Mapping, rotation) -> features.Mapping:
    """The mapping v ↦ γ(Rᵀv): what γ is to a scene, this is to the scene turned by R (3, 3).

    Chapter: Radiance fields.
    """
    return features.fourier(mapping.a, mapping.B @ jnp.asarray(rotation, mapping.B.dtype).T)


def in_radians(mapping: features.Mapping) -> features.Mapping:
    """The same numbers read as radians per unit: sin(Bv) instead of sin(2πBv).

    Chapter: Radiance fields.
    """
    return features.fourier(mapping.a, mapping.B / (2 * jnp.pi))


def encode(mapping: str, key: jax.Array, setting: Setting):
    """One of the seven mappings by its name; ", aligned" means along the axes, else turned.

    "ours" is the positional one, aligned, at a scale of its own.

    Raises: ValueError for another name.

    Chapter: Radiance fields; "ours": A fifth row.
    """
    name, _, aligned = checks.one_of("mapping", mapping, (*MAPPINGS, OURS)).partition(", ")
    if name == "none":
        return features.none(3)
    scale = setting.scales.get(name)
    gamma = in_radians(
        {
            "basic": lambda: features.basic(3),
            "positional": lambda: features.positional(setting.m // 3 * 3, 3, scale),
            OURS: lambda: features.positional(setting.m // 3 * 3, 3, scale),
            "ladder": lambda: features.positional_nerf(int(scale), 3),
            "gaussian": lambda: features.gaussian(key, setting.m, 3, scale),
        }[name]()
    )
    return turned(gamma, paper_turn()) if name in ("positional", "ladder") and not aligned else gamma


class Field(NamedTuple):
    """A trained scene: ``field(points)`` gives density and colour (see :func:`fflib.render.render`).

    Chapter: Radiance fields.
    """

    gamma: object
    model: MLP
    params: object

    def __call__(self, points) -> tuple[jax.Array, jax.Array]:
        return render.radiance(self.model(self.params, self.gamma(points)))


@cache  # the same functions for the same model, so that what was compiled for them is found again
def _functions(model: MLP, rays: int, samples: int, far: float):
    def loss(params, seen):
        field = lambda points: render.radiance(model(params, seen["gamma"](points)))
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
        checkpoint: file to go on from, see :func:`fflib.fit.fit`.
        progress: show a progress bar.

    Returns: E trained fields and the history of :func:`fflib.fit.fit`.

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
        optimizer=optimizer or adam(setting.rates.get(mapping, setting.rates["rest"]), setting.warmup),
        key=pairs[0, 1],
        batch=batch,
        every=every,
        ensemble=True,
        checkpoint=checkpoint,
        devices=among(setting.rays),
        progress=progress,
        label=mapping,
    )
    return [Field(gamma, model, jax.tree.map(lambda p: p[e], params)) for e in range(len(keys))], history


def look(field: Field, views: cameras.Views, samples: int) -> render.Rendered:
    """What a trained field looks like from the cameras of ``views``; arrays have leading axis n.

    Chapter: Radiance fields.
    """
    return _look(field.model, views.size, views.focal, views.near, views.far, samples)(
        (field.gamma, field.params), views.poses
    )


@cache
def _look(model, size, focal, near, far, samples):
    def one(trained, pose):
        gamma, params = trained
        field = lambda points: render.radiance(model(params, gamma(points)))
        return render.picture(field, pose, focal, size, render.samples(near, far, samples), far)

    return jax.jit(lambda trained, poses: jax.lax.map(partial(one, trained), poses))


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


def _load() -> Tests:
    _, test = lego()
    pixels = np.asarray(jnp.round(255 * test.images), np.uint8).tobytes()
    names = tuple(f"lego_{i}" for i in range(SPLIT[1], SPLIT[1] + len(test)))
    origin = "lego, 400 × 400, the paper's split of 100, 7 and 13 pictures; an item is a test picture"
    return Tests(names, jnp.arange(len(test)), hashlib.sha256(pixels).hexdigest(), origin)


def _solve(chosen, keys, mapping: str, setting: Setting, folder: str = "_build/results") -> list[dict]:
    """Train once, with the first key, and score the chosen test pictures."""
    seen, test = lego()
    name = f"nerf_{mapping}_{'_'.join(map(str, jax.random.key_data(keys[0])))}.npz".replace(", ", "_")
    fields, _ = train(seen, keys[:1], mapping, setting, every=500, checkpoint=Path(folder) / name)
    found = scores(fields[0], test[np.asarray(chosen)], setting.samples)
    return [{"psnr": value} for value in found]


EXPERIMENTS = with_fifth_row(
    {"nerf_lego": Experiment(_load, partial(_solve, setting=PAPER), dataclasses.asdict(PAPER), MAPPINGS)}
)

