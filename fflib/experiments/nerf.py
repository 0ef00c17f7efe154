"""Learn a scene from photographs: points → mapping → MLP → volume rendering → colours of pixels.

Between the network and the comparison stands the rendering of :mod:`fflib.operators.render`, and a
step sees random pixels. Frequencies are in radians per unit of length, some along the axes, some
turned.
"""

import dataclasses
import hashlib
import os
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks, features, metrics
from fflib.encodings.learned import positional_nerf
from fflib.experiments import protocol
from fflib.experiments.checkpoints import fit_from
from fflib.experiments.protocol import OURS, Experiment, Setting, with_fifth_row
from fflib.files import Trained
from fflib.network import mlp
from fflib.operators import cameras, render
from fflib.training import fit
from fflib.worlds.captures import SPLIT, lego
from fflib.worlds.items import Items

MAPPINGS = (*protocol.MAPPINGS[:3], "positional, aligned", "ladder", "ladder, aligned", "gaussian")


@dataclasses.dataclass(frozen=True)
class SceneSetting(Setting):
    """A setting whose steps see ``rays`` random pixels, with so many ``samples`` on each ray.

    Scales are in radians per unit of length, no 2π here, and of "ladder" the number of frequencies
    an axis. In ``warmup`` steps the learning rate rises: a first step that is too large can make
    every density negative, and relu then has no gradient to bring it back. ``published`` rays are
    those of the authors' notebook: through the corners of pixels, samples at depths along the
    camera's axis, the last of them answering for all that lies behind it. Chapter: Radiance fields.
    """

    rays: int
    samples: int
    warmup: int = 0
    published: bool = False


PAPER = SceneSetting(
    steps=50_000, width=256, m=256, rays=1024, samples=128, published=True,
    rates={"none": 1e-2, "basic": 5e-3, "rest": 5e-4, "ours": 0.04},
    scales={"positional": 8.0, "ladder": 9, "gaussian": 26.0, "ours": 8.0},
)  # fmt: skip


def paper_turn() -> np.ndarray:
    """How the paper turns encodings: 45° about z, then about x. Chapter: Radiance fields."""
    c = np.sqrt(0.5)
    about_z, about_x = [[c, -c, 0], [c, c, 0], [0, 0, 1]], [[1, 0, 0], [0, c, -c], [0, c, c]]
    return np.array(about_x) @ about_z


def turned_mapping(mapping: features.Mapping, rotation) -> features.Mapping:
    """v ↦ γ(Rᵀv), what γ is to a scene, for that turned by R (3, 3). Chapter: Radiance fields."""
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
        gamma = positional_nerf(int(setting.scales[name]), 3)
    else:
        row = "positional" if name == OURS else name
        gamma = protocol.encode(row, key, setting.m, 3, setting.scales.get(name))
    turn = name in ("positional", "ladder") and not aligned
    return turned_mapping(in_radians(gamma), paper_turn()) if turn else in_radians(gamma)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)  # arrays have no truth value to compare by
class Scene(Trained):
    """A network as a scene, points ↦ (density, colour). Chapter: Radiance fields."""

    published: bool = dataclasses.field(default=False, metadata=dict(static=True))

    def __call__(self, points) -> Any:
        return render.radiance(super().__call__(points))

    def end(self, far: float) -> float:
        """Where the last interval of its rays ends."""
        return render.ENDLESS if self.published else far


def _loss(params, seen):
    scene = dataclasses.replace(seen["scene"], params=params)
    drawn = render.render(scene, seen["origins"], seen["directions"], seen["t"], seen["end"])
    return jnp.mean((drawn.colour - seen["colour"]) ** 2)


def _rays(key, data, *numbers):
    seen = protocol.spread(render.random_rays(key, data["views"], *numbers))
    return seen | {"scene": data["scene"], "end": data["end"]}


def start_in_fog(params, views: cameras.Views):
    """Parameters of four outputs whose biases stand for an even fog: half of the light gets
    through, in the mean colour of the pictures. There relu has a slope at every point, so that a
    long first step does not switch the density off for good. Chapter: Beating Table 1.
    """
    *hidden, (W, b) = params
    [(_, colour)] = protocol.start_at([(W, b[..., :3])], 2 * views.images.mean((0, 1, 2)))
    density = b[..., 3:] + jnp.log(2.0) / (views.far - views.near)
    return [*hidden, (W, jnp.concatenate([colour, density], -1))]


def train(
    views: cameras.Views, keys: jax.Array, mapping: str, setting: SceneSetting, *, optimizer=None,
    checkpoint: str | os.PathLike | None = None, **how,
) -> tuple[list[Scene], dict[str, np.ndarray]]:  # fmt: skip
    """Train one network a key, E of them, on the same pictures, all as one program.

    Members have their own initial networks and minibatches; the frequencies of a Gaussian mapping
    come from the first key. Where there are several devices they share the work. An ``optimizer``
    takes the place of the mapping's own; ``checkpoint`` is a file for
    :func:`fflib.experiments.checkpoints.fit_from`, all else for :func:`fflib.training.fit`.

    Returns: E trained scenes and the history of ``fit``. Raises: ValueError for a mapping that is
    none of ``MAPPINGS`` nor "ours", and what ``fit`` raises. Chapter: Radiance fields.
    """
    pairs = jax.vmap(jax.random.split)(keys)
    gamma = scene_mapping(mapping, pairs[0, 0], setting)
    model = mlp(gamma.num_features, setting.width, depth=4, d_out=4, biases=0.01)
    params = jax.vmap(model.init)(pairs[:, 1])
    if mapping == OURS:
        params = start_in_fog(params, views)
    blank, loop = Scene(gamma, model, None, setting.published), fit
    if checkpoint is not None:
        loop = partial(fit_from, checkpoint, names=[mapping, dataclasses.asdict(setting)])
    data = {"views": views, "scene": blank, "end": blank.end(views.far)}
    optimizer = optimizer or protocol.optimizer_of(mapping, setting, warmup=setting.warmup)
    batch = protocol.Batch(_rays, (setting.rays, setting.samples, setting.published))
    params, history = loop(
        params, _loss, data, steps=setting.steps, optimizer=optimizer, key=pairs[0, 1],
        batch=batch, vmap=(0, None), label=mapping, **how,
    )  # fmt: skip
    return [dataclasses.replace(blank, params=p) for p in protocol.each(params)], history


@partial(jax.jit, static_argnames="samples")
def look(scene: Scene, views: cameras.Views, samples: int) -> render.Rendered:
    """A trained scene from the n cameras of ``views``: arrays (n, …). Chapter: Radiance fields."""
    t = render.samples(views.near, views.far, samples)
    end, published = scene.end(views.far), scene.published

    def one(camera):
        pose, lens = camera
        return render.picture(scene, pose, lens, views.size, t, end, published=published)

    return jax.lax.map(one, (views.poses, views.lens))


def scores(scene: Scene, views: cameras.Views, samples: int) -> np.ndarray:
    """PSNR in dB of each of the views, (n,). Chapter: Radiance fields."""
    colour = look(scene, views, samples).colour
    return np.array([float(metrics.psnr(*p)) for p in zip(colour, views.images, strict=True)])


def _load(size: int) -> Items:
    _, test = lego(size)
    pixels = np.asarray(jnp.round(255 * test.images), np.uint8).tobytes()
    names = tuple(f"lego_{i}" for i in range(SPLIT[1], SPLIT[1] + len(test)))
    origin = f"lego, {size} × {size}, the paper's split of 100, 7 and 13; items are test pictures"
    return Items(names, jnp.arange(len(test)), hashlib.sha256(pixels).hexdigest(), origin)


def _solve(chosen, keys, mapping, setting: SceneSetting, size: int, folder="_build/results"):
    """Train once, with the first key; with a folder, go on from a checkpoint."""
    (seen, test), checkpoint = lego(size), None
    if folder is not None:
        about = mapping, jax.random.key_data(keys[0]).tolist(), setting, size
        digest = hashlib.sha256(repr(about).encode()).hexdigest()[:12]
        checkpoint = Path(folder) / f"nerf_{mapping.replace(', ', '_')}_{digest}.npz"
    scenes, _ = train(seen, keys[:1], mapping, setting, every=500, checkpoint=checkpoint)
    test = test[np.asarray(chosen)]
    return [{"psnr": value} for value in scores(scenes[0], test, setting.samples)]


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
