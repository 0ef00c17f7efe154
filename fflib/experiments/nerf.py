"""Learn a scene from photographs: points → mapping → MLP → volume rendering → colours of pixels.

The trainer is that of the pictures. Between the network and the comparison stands the rendering of
:mod:`fflib.operators.render`, and a step sees random pixels instead of all. Frequencies are in
radians per unit of length here, some along the axes and some turned.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fflib import checks, features, metrics
from fflib.experiments.checkpoints import fit_from
from fflib.experiments.protocol import (
    OURS,
    Experiment,
    adam,
    muon,
    spread,
    start_at,
    with_fifth_row,
)
from fflib.experiments.records import circumstances
from fflib.network import MLP, mlp
from fflib.operators import cameras, render
from fflib.training import fit
from fflib.worlds.captures import SPLIT, lego

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
class SceneSetting:
    """The numbers of a run.

    Attributes:
        steps: of Adam.
        width: units of each of the three hidden layers.
        m: frequencies of the positional (rounded down to a multiple of 3) and the Gaussian mapping.
        rays: random pixels a step.
        samples: points on each ray.
        rates: learning rate of "none" and "basic", of the "rest", and for "ours" of Muon.
        scales: of "positional" and "ours" (log₂ of the highest frequency + 1), "ladder" (number of
            frequencies an axis) and "gaussian", all in radians per unit of length: no 2π here.
        warmup: steps in which the learning rate rises to its value. (A step that is too large at
            the start can make every density negative; relu then has no gradient to bring it back.)
        published: rays as in the authors' notebook: through the corners of pixels, samples at
            depths along the camera's axis, the last of them answering for all that lies behind it.

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
    published: bool = False


PAPER = SceneSetting(
    steps=50_000,
    width=256,
    m=256,
    rays=1024,
    samples=128,
    rates={"none": 1e-2, "basic": 5e-3, "rest": 5e-4, "ours": 0.04},
    scales={"positional": 8.0, "ladder": 9, "gaussian": 26.0, "ours": 8.0},
    published=True,
)
# of the smaller runs on record: the same rays as in the chapter, one rung less
PLAIN = dataclasses.replace(PAPER, scales=PAPER.scales | {"ladder": 8}, published=False)


def paper_turn() -> np.ndarray:
    """The rotation (3, 3) that the paper gives its turned encodings: 45° about z, then about x.

    Chapter: Radiance fields.
    """
    c = np.sqrt(0.5)
    about_z = np.array([[c, -c, 0], [c, c, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, c, -c], [0, c, c]])
    return about_x @ about_z


def turned_mapping(mapping: features.Mapping, rotation) -> features.Mapping:
    """The mapping v ↦ γ(Rᵀv): what γ is to a scene, this is to the scene turned by R (3, 3).

    Chapter: Radiance fields.
    """
    return features.fourier(mapping.a, mapping.B @ jnp.asarray(rotation, mapping.B.dtype).T)


def in_radians(mapping: features.Mapping) -> features.Mapping:
    """The same numbers read as radians per unit: sin(Bv) instead of sin(2πBv).

    Chapter: Radiance fields.
    """
    return features.fourier(mapping.a, mapping.B / (2 * jnp.pi))


def scene_mapping(mapping: str, key: jax.Array, setting: SceneSetting):
    """One of the seven mappings by its name; ", aligned" means along the axes, else turned.

    "ours" is the positional one, aligned, at a scale of its own. Raises: ValueError for another
    name. Chapter: Radiance fields; "ours": A fifth row.
    """
    name, _, aligned = checks.one_of("mapping", mapping, (*MAPPINGS, OURS)).partition(", ")
    if name == "none":
        return features.none(3)
    scale = setting.scales.get(name, 1.0)
    if name == "basic":
        gamma = features.basic(3)
    elif name == "gaussian":
        gamma = features.gaussian(key, setting.m, 3, scale)
    elif name == "ladder":
        gamma = features.positional_nerf(int(scale), 3)
    else:
        gamma = features.positional(setting.m // 3 * 3, 3, scale)
    turn = name in ("positional", "ladder") and not aligned
    return turned_mapping(in_radians(gamma), paper_turn()) if turn else in_radians(gamma)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)  # arrays have no truth value to compare by
class Scene:
    """A network as a scene: ``scene(points)`` gives density and colour, as ``render`` asks for
    them. Chapter: Radiance fields.
    """

    gamma: Any
    model: MLP = dataclasses.field(metadata=dict(static=True))
    params: Any
    published: bool = dataclasses.field(default=False, metadata=dict(static=True))

    def __call__(self, points) -> tuple[jax.Array, jax.Array]:
        return render.radiance(self.model(self.params, self.gamma(points)))

    def end(self, far: float) -> float:
        """Where the last interval of its rays ends."""
        return render.ENDLESS if self.published else far


def _loss(params, seen):
    scene = dataclasses.replace(seen["scene"], params=params)
    drawn = render.render(scene, seen["origins"], seen["directions"], seen["t"], seen["end"])
    return jnp.mean((drawn.colour - seen["colour"]) ** 2)


@dataclasses.dataclass(frozen=True)
class Minibatch:
    """Random rays of the data's ``views``. Chapter: Radiance fields."""

    rays: int
    samples: int
    published: bool

    def __call__(self, key, data):
        """What the loss sees of the data in one step."""
        seen = render.random_rays(key, data["views"], self.rays, self.samples, self.published)
        return spread(seen) | {"scene": data["scene"], "end": data["end"]}


def start_in_fog(params, views: cameras.Views):
    """Parameters whose output biases stand for an even fog: about half of the light gets through,
    and what is seen of it has the mean colour of the pictures.

    There relu has a slope at every point, so that a long first step does not switch the density off
    for good. ``params`` are as ``MLP.init`` draws them, with any leading axes; four outputs.
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
    setting: SceneSetting,
    *,
    gamma=None,
    optimizer: optax.GradientTransformation | None = None,
    every: int | None = None,
    checkpoint: str | os.PathLike | None = None,
    progress: bool = True,
) -> tuple[list[Scene], dict[str, np.ndarray]]:
    """Train one network a key on the same pictures, all as one program.

    Members have their own initial networks and minibatches; the frequencies of a Gaussian mapping
    come from the first key. Where there are several devices they share the work.

    Args:
        views: the pictures to learn from.
        keys: E random keys.
        mapping: one of ``MAPPINGS``, or "ours".
        setting: the numbers of the run.
        gamma, optimizer: instead of the mapping that ``mapping`` stands for, and of its optimizer.
        every, progress: as :func:`fflib.training.fit` takes them.
        checkpoint: file to go on from, see :func:`fflib.experiments.checkpoints.fit_from`.

    Returns: E trained scenes and the history of :func:`fflib.training.fit`. Raises: ValueError for
    another mapping, and what ``fit`` raises. Chapter: Radiance fields.
    """
    pairs = jax.vmap(jax.random.split)(keys)
    gamma = scene_mapping(mapping, pairs[0, 0], setting) if gamma is None else gamma
    model = mlp(gamma.num_features, setting.width, depth=4, d_out=4, biases=0.01)
    params = jax.vmap(model.init)(pairs[:, 1])
    if mapping == OURS:
        params = start_in_fog(params, views)
        optimizer = optimizer or muon(setting.rates[OURS], setting.steps)
    rate = setting.rates.get(mapping, setting.rates["rest"])
    blank = Scene(gamma, model, None, setting.published)
    how: dict[str, Any] = dict(
        steps=setting.steps,
        optimizer=optimizer or adam(rate, setting.warmup),
        key=pairs[0, 1],
        batch=Minibatch(setting.rays, setting.samples, setting.published),
        every=every,
        vmap=(0, None),
        progress=progress,
        label=mapping,
    )
    loop = fit
    if checkpoint is not None:
        loop = partial(fit_from, checkpoint, names=[mapping, dataclasses.asdict(setting)])
    data = {"views": views, "scene": blank, "end": blank.end(views.far)}
    params, history = loop(params, _loss, data, **how)
    members = [jax.tree.map(itemgetter(e), params) for e in range(len(keys))]
    return [dataclasses.replace(blank, params=p) for p in members], history


@partial(jax.jit, static_argnames="samples")
def look(scene: Scene, views: cameras.Views, samples: int) -> render.Rendered:
    """What a trained scene looks like from the cameras of ``views``; arrays have leading axis n.

    Chapter: Radiance fields.
    """
    t = render.samples(views.near, views.far, samples)
    how: dict[str, Any] = dict(far=scene.end(views.far), published=scene.published)

    def one(camera):
        pose, lens = camera
        return render.picture(scene, pose, lens, views.size, t, **how)

    return jax.lax.map(one, (views.poses, views.lens))


def scores(scene: Scene, views: cameras.Views, samples: int) -> np.ndarray:
    """PSNR in dB of each of the views, (n,). Chapter: Radiance fields."""
    return np.asarray(_psnrs(look(scene, views, samples).colour, views.images), float)


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
    split = "the paper's split of 100, 7 and 13 pictures; an item is a test picture"
    origin = f"lego, {size} × {size}, {split}"
    return Tests(names, jnp.arange(len(test)), hashlib.sha256(pixels).hexdigest(), origin)


def _solve(
    chosen, keys, mapping: str, setting: SceneSetting, size: int, folder="_build/results"
) -> list[dict]:
    """Train once, with the first key, and score the chosen test pictures; with a folder, go on from
    a checkpoint.
    """
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
    scenes, _ = train(seen, keys[:1], mapping, setting, every=500, checkpoint=checkpoint)
    found = scores(scenes[0], test[np.asarray(chosen)], setting.samples)
    return [{"psnr": value} for value in found]


def _experiment(setting: SceneSetting, size: int, scale: str, **how) -> Experiment:
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
