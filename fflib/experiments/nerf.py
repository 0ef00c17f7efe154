"""Learn a scene from photographs: points → mapping → MLP → volume rendering → colours of pixels.

Between the network and the comparison stands the rendering of :mod:`fflib.operators.render`, and a
step sees random pixels instead of all. Frequencies are in radians per unit of length here, some
along the axes and some turned.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fflib import checks, features, metrics
from fflib.experiments import protocol
from fflib.experiments.checkpoints import fit_from
from fflib.experiments.protocol import OURS, Experiment, with_fifth_row
from fflib.experiments.records import circumstances
from fflib.network import MLP, mlp
from fflib.operators import cameras, render
from fflib.training import fit
from fflib.worlds.captures import SPLIT, lego
from fflib.worlds.items import Items

MAPPINGS = (
    *("none", "basic", "positional", "positional, aligned", "ladder", "ladder, aligned"),
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
        warmup: steps in which the learning rate rises: a first step that is too large can make
            every density negative, and relu then has no gradient to bring it back.
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
    steps=50_000, width=256, m=256, rays=1024, samples=128, published=True,
    rates={"none": 1e-2, "basic": 5e-3, "rest": 5e-4, "ours": 0.04},
    scales={"positional": 8.0, "ladder": 9, "gaussian": 26.0, "ours": 8.0},
)  # fmt: skip


def paper_turn() -> np.ndarray:
    """The rotation (3, 3) of the paper's turned encodings: 45° about z, then about x. Chapter:
    Radiance fields.
    """
    c = np.sqrt(0.5)
    about_z = np.array([[c, -c, 0], [c, c, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, c, -c], [0, c, c]])
    return about_x @ about_z


def turned_mapping(mapping: features.Mapping, rotation) -> features.Mapping:
    """v ↦ γ(Rᵀv): what γ is to a scene, this is to the scene turned by R (3, 3). Chapter: Radiance
    fields.
    """
    return features.fourier(mapping.a, mapping.B @ jnp.asarray(rotation, mapping.B.dtype).T)


def in_radians(mapping: features.Mapping) -> features.Mapping:
    """B read as radians per unit: sin(Bv) instead of sin(2πBv). Chapter: Radiance fields."""
    return features.fourier(mapping.a, mapping.B / (2 * jnp.pi))


def scene_mapping(mapping: str, key: jax.Array, setting: SceneSetting):
    """One of the seven mappings by its name; ", aligned" means along the axes, else turned.

    "ours" is the positional one, aligned, at a scale of its own. Raises: ValueError for another
    name. Chapter: Radiance fields; "ours": Beating Table 1.
    """
    name, _, aligned = checks.one_of("mapping", mapping, (*MAPPINGS, OURS)).partition(", ")
    if name == "none":
        return features.none(3)
    if name == "ladder":
        gamma = features.positional_nerf(int(setting.scales[name]), 3)
    else:
        row = "positional" if name == OURS else name
        m = setting.m // 3 * 3 if row == "positional" else setting.m
        gamma = protocol.encode(row, key, m, 3, setting.scales.get(name))
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


class Minibatch(NamedTuple):
    """A batch: random rays of the data's ``views``. Chapter: Radiance fields."""

    rays: int
    samples: int
    published: bool

    def __call__(self, key, data):
        seen = protocol.spread(render.random_rays(key, data["views"], *self))
        return seen | {"scene": data["scene"], "end": data["end"]}


def start_in_fog(params, views: cameras.Views):
    """Parameters (as ``MLP.init`` draws them, four outputs) whose output biases stand for an even
    fog: about half of the light gets through, and has the mean colour of the pictures.

    There relu has a slope at every point, so that a long first step does not switch the density off
    for good. Chapter: Beating Table 1.
    """
    *hidden, (W, b) = params
    [(_, colour)] = protocol.start_at([(W, b[..., :3])], 2 * views.images.mean((0, 1, 2)))
    density = b[..., 3:] + jnp.log(2.0) / (views.far - views.near)
    return [*hidden, (W, jnp.concatenate([colour, density], -1))]


def train(
    views: cameras.Views, keys: jax.Array, mapping: str, setting: SceneSetting, *, gamma=None,
    optimizer: optax.GradientTransformation | None = None, every: int | None = None,
    checkpoint: str | os.PathLike | None = None, progress: bool = True,
) -> tuple[list[Scene], dict[str, np.ndarray]]:  # fmt: skip
    """Train one network a key on the same pictures, all as one program.

    Members have their own initial networks and minibatches; the frequencies of a Gaussian mapping
    come from the first key. Where there are several devices they share the work.

    Args:
        views: the pictures to learn from.
        keys: E random keys.
        mapping: one of ``MAPPINGS``, or "ours".
        gamma, optimizer: instead of the mapping that ``mapping`` stands for, and of its optimizer.
        every, progress: as :func:`fflib.training.fit` takes them.
        checkpoint: file to go on from, see :func:`fflib.experiments.checkpoints.fit_from`.

    Returns: E trained scenes and the history of ``fit``. Raises: ValueError for another mapping,
    and what ``fit`` raises. Chapter: Radiance fields.
    """
    pairs = jax.vmap(jax.random.split)(keys)
    gamma = scene_mapping(mapping, pairs[0, 0], setting) if gamma is None else gamma
    model = mlp(gamma.num_features, setting.width, depth=4, d_out=4, biases=0.01)
    params = jax.vmap(model.init)(pairs[:, 1])
    if mapping == OURS:
        params = start_in_fog(params, views)
        own = protocol.muon(setting.rates[OURS], setting.steps)
    else:
        own = protocol.adam(setting.rates.get(mapping, setting.rates["rest"]), setting.warmup)
    blank = Scene(gamma, model, None, setting.published)
    loop: Callable = fit
    if checkpoint is not None:
        loop = partial(fit_from, checkpoint, names=[mapping, dataclasses.asdict(setting)])
    data = {"views": views, "scene": blank, "end": blank.end(views.far)}
    batch = Minibatch(setting.rays, setting.samples, setting.published)
    params, history = loop(
        params, _loss, data, steps=setting.steps, optimizer=optimizer or own, key=pairs[0, 1],
        batch=batch, every=every, vmap=(0, None), progress=progress, label=mapping,
    )  # fmt: skip
    members = [jax.tree.map(itemgetter(e), params) for e in range(len(keys))]
    return [dataclasses.replace(blank, params=p) for p in members], history


@partial(jax.jit, static_argnames="samples")
def look(scene: Scene, views: cameras.Views, samples: int) -> render.Rendered:
    """A trained scene from the cameras of ``views``; arrays have leading axis n. Chapter: Radiance
    fields.
    """
    t = render.samples(views.near, views.far, samples)
    end, published = scene.end(views.far), scene.published

    def one(camera):
        pose, lens = camera
        return render.picture(scene, pose, lens, views.size, t, end, published=published)

    return jax.lax.map(one, (views.poses, views.lens))


def scores(scene: Scene, views: cameras.Views, samples: int) -> np.ndarray:
    """PSNR in dB of each of the views, (n,). Chapter: Radiance fields."""
    return np.asarray(_psnrs(look(scene, views, samples).colour, views.images), float)


_psnrs = jax.jit(jax.vmap(metrics.psnr))


def _load(size: int) -> Items:
    _, test = lego(size)
    pixels = np.asarray(jnp.round(255 * test.images), np.uint8).tobytes()
    names = tuple(f"lego_{i}" for i in range(SPLIT[1], SPLIT[1] + len(test)))
    split = "the paper's split of 100, 7 and 13 pictures; an item is a test picture"
    origin = f"lego, {size} × {size}, {split}"
    return Items(names, jnp.arange(len(test)), hashlib.sha256(pixels).hexdigest(), origin)


def _solve(
    chosen, keys, mapping: str, setting: SceneSetting, size: int, folder="_build/results"
) -> list[dict]:
    """Train once, with the first key, and score the chosen test pictures; with a folder, go on from
    a checkpoint.
    """
    seen, test = lego(size)
    checkpoint = None
    if folder is not None:
        key = jax.random.key_data(keys[0]).tolist()
        about = mapping, key, dataclasses.astuple(setting), size, circumstances()
        digest = hashlib.sha256(repr(about).encode()).hexdigest()[:12]
        checkpoint = Path(folder) / f"nerf_{mapping.replace(', ', '_')}_{digest}.npz"
    scenes, _ = train(seen, keys[:1], mapping, setting, every=500, checkpoint=checkpoint)
    found = scores(scenes[0], test[np.asarray(chosen)], setting.samples)
    return [{"psnr": value} for value in found]


def _experiment(setting: SceneSetting, size: int, mappings, scale: str, **how) -> Experiment:
    solve = partial(_solve, setting=setting, size=size, **how)
    settings = dataclasses.asdict(setting) | {"size": size}
    return Experiment(partial(_load, size), solve, settings, mappings, scale, shared=True)


REDUCED = dataclasses.replace(PAPER, steps=1500, samples=64)
# the rows of the table before the others
ROWS = (*protocol.MAPPINGS, "positional, aligned", "ladder, aligned", "ladder")
EXPERIMENTS = with_fifth_row({
    "nerf_lego": _experiment(PAPER, 400, MAPPINGS, "full"),
    "nerf_lego_reduced": _experiment(REDUCED, 100, ROWS, "reduced", folder=None),
})  # fmt: skip
