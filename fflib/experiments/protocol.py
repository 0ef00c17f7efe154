"""What the experiments of Table 1 have in common: four mappings and a fifth row, many items, one
recorded run.

An experiment is a module (:mod:`fflib.experiments.image` is the shortest) with a :class:`Setting`,
a function that trains one mapping on several items at once, for chapter and full run, a ``score``
of one item's result, and ``EXPERIMENTS``, which is all that :func:`run` needs.
"""

import dataclasses
import math
import os
import time
from collections import namedtuple
from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
from jax.sharding import NamedSharding, PartitionSpec

from fflib import checks, features
from fflib.experiments import records
from fflib.experiments.records import MAPPINGS
from fflib.training import fit
from fflib.worlds.fetch import FetchError

OURS = "ours"  # a fifth row: a scale and a start of its own, trained with Muon


@dataclasses.dataclass(frozen=True)
class Setting:
    """The numbers of a run: ``steps`` of Adam, ``width`` of each hidden layer, of which there are
    three, ``m`` frequencies of the positional and the Gaussian mapping.

    ``rates`` are learning rates by mapping, see :func:`of_row`, of Muon for "ours", else of Adam;
    ``scales`` those of the positional mapping (log₂ of its highest frequency + 1) and of the
    Gaussian and "ours" (cycles a unit, such as a picture). Chapter: Photographs and text.
    """

    steps: int
    width: int
    m: int
    rates: dict[str, float]
    scales: dict[str, float]


class Experiment(NamedTuple):
    """What to run, and on what.

    ``load()`` gives :class:`fflib.worlds.items.Items`, and ``solve(array of some of them, one key
    an item, mapping)`` a dict metric → number for each. ``settings`` are the numbers of the run, as
    they will stand in the record, ``mappings`` the names that ``solve`` knows, ``scale`` is "full"
    for the paper's settings, "reduced" for what a few cores can do; ``shared`` says that one
    training serves all items, as a scene's serves all test pictures. Chapter: Photographs and text.
    """

    load: Callable[[], Any]
    solve: Callable[[Any, jax.Array, str], list[dict[str, float]]]
    settings: dict
    mappings: Sequence[str] = MAPPINGS
    scale: str = "full"
    shared: bool = False


class Batch(NamedTuple):
    """A batch for ``fit``, ``draw(key, data, *numbers)``, known by value. Chapter: Solid shapes."""

    draw: Callable
    numbers: tuple

    def __call__(self, key, data):
        return self.draw(key, data, *self.numbers)


def encode(mapping: str, key: jax.Array, m: int, d: int, scale: Any) -> Any:
    """The mapping of d coordinates that a row is named after, "ours" Gaussian, with m frequencies,
    of the positional the next lower multiple of d, and a scale, see :class:`Setting`. Raises:
    ValueError for another name. Chapter: Photographs and text.
    """
    checks.one_of("mapping", mapping, (*MAPPINGS, OURS))
    if mapping in ("none", "basic"):
        return getattr(features, mapping)(d)
    if mapping == "positional":
        return features.positional(m // d * d, d, scale)
    return features.gaussian(key, m, d, scale)


@cache  # the same optimizer for the same numbers, so that `fit` finds what it compiled
def adam(rate: float, warmup: int = 0, decay: int = 0) -> optax.GradientTransformation:
    """Adam whose rate rises in its first ``warmup`` steps, or else falls to a tenth in ``decay``,
    and so on. Chapter: Radiance fields; Solid shapes.
    """
    if warmup:
        return optax.adam(optax.linear_schedule(rate / warmup, rate, warmup))
    return optax.adam(optax.exponential_decay(rate, decay, 0.1) if decay else rate)


@cache
def muon(rate: float, steps: int, **how) -> optax.GradientTransformation:
    """Muon (Jordan et al. 2024) for matrices, Adam with Nesterov's look ahead for biases at a tenth
    of the rate, both slowing down to a stop.

    A step moves every singular value of a matrix by about the rate, whatever the width, and Glorot
    starts the largest at about 2: one rate does for all widths. McGinnis et al. (2025) found that
    this lets coordinate networks learn detail. ``how`` goes to optax's ``muon``. Raises: ValueError
    or TypeError for a rate that is not positive or fewer than one step. Chapter: Beating Table 1.
    """
    fade = optax.cosine_decay_schedule(checks.positive("rate", rate), checks.count("steps", steps))
    return optax.contrib.muon(fade, adam_learning_rate=lambda step: fade(step) / 10, **how)


def of_row(numbers: dict, mapping: str) -> Any:
    """Of numbers by mapping a mapping's own, else that of its name before a comma, else that of the
    "rest", else None. Chapter: Photographs and text.
    """
    return numbers.get(mapping, numbers.get(mapping.partition(",")[0], numbers.get("rest")))


def optimizer_of(mapping: str, setting: Setting, **how) -> optax.GradientTransformation:
    """Of a row: :func:`muon` for "ours", else :func:`adam`. Chapter: Beating Table 1."""
    rate = of_row(setting.rates, mapping)
    return muon(rate, setting.steps) if mapping == OURS else adam(rate, **how)


def start_at(params, mean):
    """Parameters of a network that ends in a sigmoid, its output bias (..., d_out) moved to where
    it paints ``mean``, in (0, 1). Chapter: Beating Table 1.
    """
    *hidden, (W, b) = params
    mean = jnp.clip(mean, 0.01, 0.99)
    return [*hidden, (W, b + jnp.log(mean / (1 - mean)))]


def with_fifth_row(experiments: dict[str, Experiment]) -> dict[str, Experiment]:
    """Experiments, and of each one NAME_ours that runs "ours" alone. Chapter: Beating Table 1."""
    fifth = {f"{name}_{OURS}": e._replace(mappings=(OURS,)) for name, e in experiments.items()}
    return experiments | fifth


def train(
    params, loss: Callable, data, mapping: str, setting, optimizer=None, *,
    look: Callable | None = None, looks: int = 0, **how,
) -> tuple:  # fmt: skip
    """Train E networks, one an item, :func:`fflib.training.fit` with data of their own: ``params``
    and ``data`` have a leading axis E, which several devices share if they can. The ``optimizer``
    is that of the mapping unless given. ``look`` (params, data) ↦ dict is what to record of one
    item, ``looks`` times besides the start. Chapter: Photographs and text.
    """
    if looks:
        how |= dict(metrics=look, every=-(-setting.steps // looks))
    how |= dict(optimizer=optimizer or optimizer_of(mapping, setting), label=mapping)
    params, data = spread((params, data))
    return fit(params, loss, data, steps=setting.steps, vmap=0, **how)


def each(tree) -> list:
    """What arrays with equal leading axes hold for each item. Chapter: Solid shapes."""
    return [jax.tree.map(itemgetter(e), tree) for e in range(len(jax.tree.leaves(tree)[0]))]


def spread(tree):
    """Arrays with equal leading axes, shared out among all devices if that comes out even, also in
    a compiled program. Chapter: How these pages were computed.
    """
    n = jax.device_count()
    if n == 1 or any(np.shape(leaf)[0] % n for leaf in jax.tree.leaves(tree)):
        return tree
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("devices",))
    return jax.lax.with_sharding_constraint(tree, NamedSharding(mesh, PartitionSpec("devices")))


def item_keys(seed: int, indices: Sequence[int]) -> jax.Array:
    """One random key an item, whatever its company. Chapter: Photographs and text."""
    return jax.vmap(lambda i: jax.random.fold_in(jax.random.key(seed), i))(jnp.asarray(indices))


def settings_of(experiment: Experiment, mapping: str) -> dict:
    """The settings of one row, whatever those of others. Chapter: Photographs and text."""
    return {
        key: of_row(value, mapping) if isinstance(value, dict) else value
        for key, value in experiment.settings.items()
        if mapping == OURS or not key.endswith(f"_{OURS}")
    }


def run(
    experiments: dict[str, Experiment], *, seeds: Sequence[int] = (0,), limit: int | None = None,
    minutes: float = math.inf, folder: str | os.PathLike | None = None, command: str = "",
    commit: str = "", say: Callable[[str], None] = print,
) -> dict[str, dict]:  # fmt: skip
    """Run every mapping on every item and record each score at once; go on where a run stopped.

    One item of every experiment comes before the next item of any, and all mappings of an item
    before the next item. What is recorded with the same settings and data is skipped, whatever
    machine and versions it was made with: each row tells its own.

    Args:
        experiments: by the names of their records.
        seeds: one full pass for each.
        limit: only the first so many items (for a trial).
        minutes: start nothing that would not end by then, judged by what earlier rows took.
        folder, command, commit: see :func:`fflib.experiments.records.add`.
        say: told what was done, and what is left, judged likewise.

    Returns: the records by name, of the experiments that have one. Raises: ValueError where a
    record has other settings or data; what ``solve`` raises. What was done before is kept. Chapter:
    Photographs and text.
    """
    start = time.perf_counter()
    items, made, todo = _planned(experiments, seeds, limit, folder, say)
    left = []
    for k, job in enumerate(todo):
        name, mapping, begin = job.name, job.mapping, time.perf_counter()
        if begin - start + (_expected(made, job) or 0) > 60 * minutes:
            left.append(job)
            continue
        experiment, found = experiments[name], items[name]
        names = [found.names[i] for i in job.chosen]
        try:
            scores = _solved(experiment, found.array, job)
        except FloatingPointError as error:
            say(f"{name}: {mapping} on {names[0]} was lost: {error}")
            left.append(job)
            continue
        made[name] = records.add(
            name, mapping, dict(zip(names, scores, strict=True)), seed=job.seed,
            seconds=time.perf_counter() - begin, settings=settings_of(experiment, mapping),
            scale=experiment.scale, items=len(found.names), data_hash=found.sha256,
            notes=found.origin, command=command, commit=commit, folder=folder,
        )  # fmt: skip
        row = made[name]["rows"][-sum(map(len, scores))]
        say(
            f"{name}: {names[0]}, {mapping}, seed {job.seed}: {row['metric']} {row['value']:.4g} "
            f"in {row['seconds']:.0f} s; {_told(made, left + todo[k + 1 :])}"
        )
    say(f"Stopped with {_told(made, left)}")
    return {name: record for name, record in made.items() if record is not None}


# One training of a run: which items it serves, and its place in the round.
_Job = namedtuple("_Job", "name chosen mapping seed turn")


def _planned(experiments, seeds, limit, folder, say) -> tuple[dict, dict, list]:
    """Items and records of all that can be loaded, and what is left, a shared training a turn."""
    items, made, todo = {}, {}, []
    for name, experiment in experiments.items():
        try:
            found = items[name] = experiment.load()
        except FetchError as error:
            say(f"{name}: left out, {error}")
            continue
        for mapping in experiment.mappings:
            about = settings_of(experiment, mapping), found.sha256
            made[name] = records.matching(name, mapping, *about, folder)
        done = {(r["item"], r["mapping"], r["seed"]) for r in (made[name] or {"rows": ()})["rows"]}
        count, shared = len(found.names[:limit]), experiment.shared
        groups = [range(count)] if shared else [(i,) for i in range(count)]
        every = product(enumerate(seeds), groups, enumerate(experiment.mappings))
        for (s, seed), chosen, (k, mapping) in every:
            if any((found.names[i], mapping, seed) not in done for i in chosen):
                turn = s * count + (k if shared else chosen[0])
                todo.append(_Job(name, chosen, mapping, seed, turn))
    return items, made, sorted(todo, key=lambda job: job.turn)


def remade(experiment: Experiment, row: dict) -> float:
    """The value of one row of a record, computed anew. Chapter: Photographs and text."""
    found = experiment.load()
    place = found.names.index(row["item"])
    chosen = range(len(found.names)) if experiment.shared else [place]
    job = _Job("", chosen, row["mapping"], row["seed"], 0)
    return float(_solved(experiment, found.array, job)[chosen.index(place)][row["metric"]])


def _solved(experiment: Experiment, array, job) -> list[dict]:
    part = jax.tree.map(itemgetter(jnp.asarray(job.chosen)), array)
    return experiment.solve(part, item_keys(job.seed, job.chosen), job.mapping)


def _expected(made: dict[str, dict | None], job) -> float | None:
    """Seconds that it will take: the last one of its mapping on such a device, else the longest."""
    record = made[job.name] or {"rows": (), "runs": ()}
    device = records.circumstances()["device"]
    here = [r for r in record["rows"] if record["runs"][r["run"]]["device"] == device]
    same = [r["seconds"] for r in here if r["mapping"] == job.mapping]
    return same[-1] if same else max((r["seconds"] for r in here), default=None)


def _told(made, left: Sequence) -> str:
    seconds = [_expected(made, job) for job in left]
    about, known = "more than" if None in seconds else "about", sum(filter(None, seconds)) / 3600
    return f"{len(left)} trainings left, {about} {known:.1f} hours"
