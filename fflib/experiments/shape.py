"""Learn solids: coordinates → mapping → MLP → the odds of being inside, compared with yes or no.

The measurement operator asks whether a point lies inside. The output becomes a probability, and the
squared error the cross-entropy; the rest stays as it was for pictures.
"""

from __future__ import annotations

import dataclasses
from functools import cache, partial
from operator import itemgetter
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial

from fflib import checks, features, metrics
from fflib.experiments import protocol
from fflib.experiments.protocol import OURS, Experiment, muon, with_fifth_row
from fflib.files import Trained
from fflib.network import mlp
from fflib.operators import meshes
from fflib.worlds import solids
from fflib.worlds.solids import prepare, random_points

LOOK = 1 << 13  # of the test points, so many on the way


@dataclasses.dataclass(frozen=True)
class SolidSetting:
    """The numbers of a run.

    Attributes:
        steps: of Adam, each with new points.
        width, depth: of the network; depth counts the output layer.
        m: frequencies of the Gaussian mapping; the positional has the next lower multiple of 3.
        batch: points a step.
        rate: learning rate at the start.
        decay: steps in which it falls to a tenth, continuously.
        scales: of the positional mapping (log₂ of its highest frequency + 1) and of the Gaussian
            and "ours" (cycles a unit; the solid fills most of one unit).
        rate_ours: of Muon, which trains "ours".
        near_ours: share of the points of "ours" that lie near the surface.

    Chapter: Solid shapes; Beating Table 1.
    """

    steps: int
    width: int
    depth: int
    m: int
    batch: int
    rate: float
    decay: int
    scales: dict[str, float]
    rate_ours: float = 0.04
    near_ours: float = 0.5


PAPER = SolidSetting(
    10_000, 256, 8, 256, 32_768, 5e-4, 5000, {"positional": 6.0, "gaussian": 12.0, "ours": 9.0}
)


def solid_mapping(mapping: str, key: jax.Array, setting: SolidSetting):
    """One of the paper's four mappings, of norm 1; "none" maps [0, 1]³ to [−1, 1]³.

    Raises: ValueError for another name. Chapter: Solid shapes.
    """
    if mapping == "none":
        return features.none(3, shift=0.5, scale=2.0)
    m = setting.m // 3 * 3 if mapping == "positional" else setting.m
    return protocol.encode(mapping, key, m, 3, setting.scales.get(mapping)).normalized()


def cross_entropy(logit, inside) -> jax.Array:
    """−⟨y log p + (1 − y) log(1 − p)⟩ with p = σ(logit), y = 1 inside and 0 outside: a scalar.

    Written as ⟨softplus(logit) − y·logit⟩, which no logit overflows. At p = ½ it is log 2. Chapter:
    Solid shapes.
    """
    return jnp.mean(jax.nn.softplus(logit) - inside * logit)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)  # arrays have no truth value to compare by
class Occupancy(Trained):
    """A trained network: ``field(v)`` is the logit at v, (…, 3) → (…), positive where it says
    inside. Chapter: Solid shapes.
    """

    def __call__(self, v) -> jax.Array:
        v = checks.coordinates("v", v, 3)
        return _logits(self, v.reshape(-1, 3)).reshape(v.shape[:-1])


@jax.jit
def _logits(field: Occupancy, v):
    def one(point):
        return field.model(field.params, field.gamma(point))[0]

    return jax.lax.map(one, v, batch_size=min(len(v), 1 << 14))


def _loss(params, seen):
    points, inside = seen["points"]
    return cross_entropy(seen["model"](params, seen["gamma"](points))[..., 0], inside)


class Points(NamedTuple):
    """A batch: random points of the box, a share near the surface. Chapter: Solid shapes."""

    size: int
    near: float

    def __call__(self, key, data):
        points = random_points(key, data, self.size, self.near)
        return {"gamma": data["gamma"], "model": data["model"], "points": points}


def _look(params, data):
    logit = data["model"](params, data["gamma"](data["near"][:LOOK]))[..., 0]
    return {"iou": metrics.iou(logit > 0, data["near_inside"][:LOOK])}


@cache
def _adam(rate: float, decay: int):
    return optax.adam(optax.exponential_decay(rate, decay, 0.1))


def sculpt(
    array: dict[str, jax.Array], keys: jax.Array, mapping: str, setting: SolidSetting, *,
    looks: int = 0, progress: bool = True,
) -> tuple[list[Occupancy], dict[str, np.ndarray]]:  # fmt: skip
    """Train one network a solid, all as one program, on random points of the box.

    Each solid gets its own draw of the frequencies and of the network. Arguments as those of
    :func:`fflib.experiments.image.paint`, with ``array`` as
    :func:`fflib.worlds.solids.prepare` makes it of E solids; ``looks`` records the overlap near the
    surface.

    Returns: E trained fields, and the history of :func:`fflib.training.fit`, with ``looks`` also
    ``history["iou"]`` of shape (T, E). Raises: ValueError for another mapping, or a number of keys
    other than E. Chapter: Solid shapes.
    """
    if len(keys) != len(array["box"]):
        raise ValueError(f"keys must be one a solid, {len(array['box'])}, but got {len(keys)}")
    draw, init, train = jnp.moveaxis(jax.vmap(partial(jax.random.split, num=3))(keys), 1, 0)
    gammas = [solid_mapping(mapping, key, setting) for key in draw]
    model = mlp(gammas[0].num_features, setting.width, setting.depth, biases=0.01)
    gamma = jax.tree.map(lambda *g: jnp.stack(g), *gammas)
    optimizer, near = _adam(setting.rate, setting.decay), 0.0
    if mapping == OURS:
        optimizer, near = muon(setting.rate_ours, setting.steps), setting.near_ours
    data = array | {"gamma": gamma, "model": Partial(model)}
    params, history = protocol.train(
        jax.vmap(model.init)(init), _loss, data, mapping, setting, optimizer, look=_look,
        looks=looks, key=train[0], batch=Points(setting.batch, near), progress=progress,
    )  # fmt: skip
    members = [jax.tree.map(itemgetter(e), (gamma, params)) for e in range(len(keys))]
    return [Occupancy(gamma, model, p) for gamma, p in members], history


def score(field, solid: dict[str, jax.Array]) -> dict[str, float]:
    """How well a function tells inside from outside, intersection over union on test points.

    ``field``: (T, 3) → (T,), positive inside; ``solid``: the arrays of one solid. Returns: "iou"
    near the surface, the harder test and the one of Table 1, and "iou_uniform". Chapter: Solid
    shapes.
    """
    return {
        name: float(metrics.iou(field(solid[points]) > 0, solid[f"{points}_inside"]))
        for name, points in (("iou", "near"), ("iou_uniform", "uniform"))
    }


def surface(field, n: int = 64, box=((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))) -> meshes.Mesh:
    """The learned surface, where the logit changes sign on a grid of n³ points of a box.

    Give the box that training points came from: what a network says beyond it is anybody's guess.

    Raises: ValueError when the field is positive nowhere. Chapter: Solid shapes.
    """
    low, high = jnp.asarray(box)
    axes = jnp.linspace(low, high, checks.count("n", n, least=2), axis=1)
    return meshes.contour(field(jnp.stack(jnp.meshgrid(*axes, indexing="ij"), -1)), low, high)


def _solve(array, keys, mapping, setting):
    fields, _ = sculpt(array, keys, mapping, setting)
    return [score(f, jax.tree.map(itemgetter(e), array)) for e, f in enumerate(fields)]


def _load(**numbers):
    return prepare(solids.scans(), jax.random.key(0), **numbers)


def _experiment(setting: SolidSetting, lines: int, tests: int, scale: str) -> Experiment:
    # test points near the surface on faces drawn regardless of area, as published
    numbers = {"lines": lines, "tests": tests, "by_face": True}
    settings, solve = dataclasses.asdict(setting) | numbers, partial(_solve, setting=setting)
    return Experiment(partial(_load, **numbers), solve, settings, scale=scale)


REDUCED = dataclasses.replace(PAPER, steps=1000, batch=16_384)
EXPERIMENTS = with_fifth_row({
    "shape_scans": _experiment(PAPER, 1 << 20, 1 << 18, "full"),
    "shape_scans_reduced": _experiment(REDUCED, 1 << 18, 1 << 17, "reduced"),
})  # fmt: skip
