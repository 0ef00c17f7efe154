"""What the experiments of Table 1 have in common: four mappings and a fifth row, many items, one
recorded run.

An experiment is a module (:mod:`fflib.experiments.image` is the shortest) with a frozen
``Setting``, the numbers of a run; a function that trains one mapping on several items at once,
which chapter and full run both call; a ``score`` of one item's result, metric → number; and an
entry in ``EXPERIMENTS``, which is all that :func:`run` needs.
"""

from __future__ import annotations

import math
import os
import time
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


class Experiment(NamedTuple):
    """What to run, and on what.

    Attributes:
        load: () → :class:`fflib.worlds.items.Items`, E of them.
        solve: (array of some items, keys (one an item), mapping) → list of E dicts metric → number.
        settings: the numbers of the run, as they will stand in the record.
        mappings: names that ``solve`` knows.
        scale: "full" for the paper's settings, "reduced" for what a few cores can do.
        shared: whether one training serves all items, as a scene's serves all its test pictures.

    Chapter: Photographs and text.
    """

    load: Callable[[], Any]
    solve: Callable[[Any, jax.Array, str], list[dict[str, float]]]
    settings: dict
    mappings: Sequence[str] = MAPPINGS
    scale: str = "full"
    shared: bool = False


def encode(mapping: str, key: jax.Array, m: int, d: int, scale: Any) -> Any:
    """The mapping of d coordinates that a row of the table is named after; "ours" is Gaussian.

    Positional and Gaussian have m frequencies and a scale: log₂ of the highest frequency + 1, or
    cycles a unit. Raises: ValueError for another name. Chapter: Photographs and text.
    """
    checks.one_of("mapping", mapping, (*MAPPINGS, OURS))
    if mapping == "none":
        return features.none(d)
    if mapping == "basic":
        return features.basic(d)
    if mapping == "positional":
        return features.positional(m, d, scale)
    return features.gaussian(key, m, d, scale)


@cache  # the same optimizer for the same numbers, so that `fit` finds what it compiled
def adam(rate: float, warmup: int = 0) -> optax.GradientTransformation:
    """Adam whose rate rises in its first ``warmup`` steps. Chapter: Radiance fields."""
    return optax.adam(optax.linear_schedule(rate / warmup, rate, warmup) if warmup else rate)


@cache
def muon(rate: float, steps: int) -> optax.GradientTransformation:
    """Muon (Jordan et al. 2024) for matrices, Adam with Nesterov's look ahead for biases at a tenth
    of the rate, both slowing down to a stop.

    A step moves every singular value of a matrix by about the rate, whatever the width; Glorot's
    start gives the largest a size of about 2, so that one rate does for networks of all widths.
    McGinnis et al. (2025) found that this lets coordinate networks learn detail.

    Raises: ValueError or TypeError for a rate that is not positive or fewer than one step. Chapter:
    Beating Table 1.
    """
    fade = optax.cosine_decay_schedule(checks.positive("rate", rate), checks.count("steps", steps))
    return optax.contrib.muon(fade, adam_learning_rate=lambda step: fade(step) / 10)


def optimizer_of(mapping: str, rate: float, steps: int) -> optax.GradientTransformation:
    """Of a row of the table: Adam, as in the paper; Muon for "ours". Chapter: Beating Table 1."""
    return muon(rate, steps) if mapping == OURS else adam(rate)


def start_at(params, mean):
    """Parameters, as ``MLP.init`` draws them, of a network that ends in a sigmoid, its output bias
    (..., d_out) moved to where it paints ``mean``, in (0, 1). Chapter: Beating Table 1.
    """
    *hidden, (W, b) = params
    mean = jnp.clip(mean, 0.01, 0.99)
    return [*hidden, (W, b + jnp.log(mean / (1 - mean)))]


def with_fifth_row(experiments: dict[str, Experiment]) -> dict[str, Experiment]:
    """Experiments and, of each, a companion NAME_ours of the same items that runs "ours" alone.

    They are recorded apart, so that one can change without the other. Chapter: Beating Table 1.
    """
    return experiments | {
        f"{name}_{OURS}": experiment._replace(mappings=(OURS,))
        for name, experiment in experiments.items()
    }


def train(
    params, loss: Callable, data, mapping: str, setting, optimizer=None, *,
    look: Callable | None = None, looks: int = 0, **how,
) -> tuple:  # fmt: skip
    """Train E networks, one an item: :func:`fflib.training.fit` with data of their own.

    ``params`` and ``data`` have a leading axis E, which several devices share if they can. Without
    an ``optimizer`` it is that of the mapping at its rate in the ``setting``. ``look`` (params,
    data) ↦ dict is what to record of one item, ``looks`` times besides the start. Further arguments
    and results are those of ``fit``. Chapter: Photographs and text.
    """
    steps = setting.steps
    optimizer = optimizer or optimizer_of(mapping, setting.rates[mapping], steps)
    if looks:
        how |= dict(metrics=look, every=-(-steps // looks))
    params, data = spread((params, data))
    return fit(params, loss, data, steps=steps, optimizer=optimizer, vmap=0, label=mapping, **how)


def spread(tree):
    """Arrays with equal leading axes, shared out among all devices if that comes out even.

    In a compiled program too, where it asks the compiler for this. Chapter: How these pages were
    computed.
    """
    n = jax.device_count()
    if n == 1 or any(np.shape(leaf)[0] % n for leaf in jax.tree.leaves(tree)):
        return tree
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("devices",))
    return jax.lax.with_sharding_constraint(tree, NamedSharding(mesh, PartitionSpec("devices")))


def item_keys(seed: int, indices: Sequence[int]) -> jax.Array:
    """One random key an item, the same whichever items are trained together.

    Chapter: Photographs and text.
    """
    return jax.vmap(lambda i: jax.random.fold_in(jax.random.key(seed), i))(jnp.asarray(indices))


def settings_of(experiment: Experiment, mapping: str) -> dict:
    """The settings that concern one mapping: of dicts with an entry a mapping its own alone.

    So a row keeps its settings when those of another row are chosen anew. Chapter: Photographs and
    text.
    """
    name = mapping.partition(",")[0]
    return {
        key: value.get(mapping, value.get(name, value.get("rest")))
        if isinstance(value, dict)
        else value
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
        folder: of the records (default: beside the library).
        command, commit: to be kept with the rows.
        say: told what was done, and what is left, judged likewise.

    Returns: the records by name, of the experiments that have one. Raises: ValueError where a
    record has other settings or data; what ``solve`` raises. What was done before is kept. Chapter:
    Photographs and text.
    """
    start = time.perf_counter()
    items, made, todo = _planned(experiments, seeds, limit, folder, say)
    left = []
    for k, job in enumerate(todo):
        spent = time.perf_counter() - start
        if spent + (_expected(made, job) or 0) > 60 * minutes:
            left.append(job)
            continue
        experiment, found = experiments[job.name], items[job.name]
        names, begin = [found.names[i] for i in job.chosen], time.perf_counter()
        try:
            scores = _solved(experiment, found.array, job)
        except FloatingPointError as error:
            say(f"{job.name}: {job.mapping} on {names[0]} was lost: {error}")
            left.append(job)
            continue
        seconds, settings = time.perf_counter() - begin, settings_of(experiment, job.mapping)
        made[job.name] = records.add(
            job.name, job.mapping, dict(zip(names, scores, strict=True)), seed=job.seed,
            seconds=seconds, settings=settings, scale=experiment.scale, items=len(found.names),
            data_hash=found.sha256, notes=found.origin, command=command, commit=commit,
            folder=folder,
        )  # fmt: skip
        row = made[job.name]["rows"][-sum(map(len, scores))]
        say(
            f"{job.name}: {names[0]}, {job.mapping}, seed {job.seed}: {row['metric']} "
            f"{row['value']:.4g} in {row['seconds']:.0f} s; {_told(made, left + todo[k + 1 :])}"
        )
    say(f"Stopped with {_told(made, left)}")
    return {name: record for name, record in made.items() if record is not None}


class _Job(NamedTuple):
    """One training of a run: which items it serves, and its place in the round."""

    name: str
    chosen: Sequence[int]
    mapping: str
    seed: int
    turn: int


def _planned(experiments, seeds, limit, folder, say) -> tuple[dict, dict, list[_Job]]:
    """The items and the record so far of every experiment that can be loaded, and what is left.

    Where one training serves all items, each mapping is a turn of its own.
    """
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


def _solved(experiment: Experiment, array, job: _Job) -> list[dict]:
    part = jax.tree.map(itemgetter(jnp.asarray(job.chosen)), array)
    return experiment.solve(part, item_keys(job.seed, job.chosen), job.mapping)


def _expected(made: dict[str, dict | None], job: _Job) -> float | None:
    """Seconds that a training will take: the last one of its mapping on such a device, else the
    longest of any; None where there was none.
    """
    record = made[job.name] or {"rows": (), "runs": ()}
    device = records.circumstances()["device"]
    here = [r for r in record["rows"] if record["runs"][r["run"]]["device"] == device]
    same = [r["seconds"] for r in here if r["mapping"] == job.mapping]
    return same[-1] if same else max((r["seconds"] for r in here), default=None)


def _told(made, left: Sequence[_Job]) -> str:
    seconds = [_expected(made, job) for job in left]
    known, unknown = sum(s for s in seconds if s is not None), seconds.count(None)
    more = f" and {unknown} not tried yet" if unknown else ""
    return f"{len(left)} trainings left, about {known / 3600:.1f} hours{more}"
