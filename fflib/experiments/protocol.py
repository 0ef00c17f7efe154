"""What the experiments of Table 1 have in common: four mappings and a fifth row, many items, one recorded run.

An experiment is a module (:mod:`fflib.experiments.image` is the shortest) with

- a ``Setting``, the numbers of the run: the paper's as a constant, smaller ones in the chapter;
- a function that trains one mapping on several items at once, ``paint(pictures, keys, mapping,
  setting)``; chapter and full run call this one function;
- a ``score`` of one item's result: metric → number;
- an entry in ``EXPERIMENTS``, which is all that :func:`run` needs to do every item and mapping.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
from jax.sharding import NamedSharding, PartitionSpec

from fflib import checks, features
from fflib.experiments import records
from fflib.training import fit

MAPPINGS = ("none", "basic", "positional", "gaussian")
OURS = "ours"  # a fifth row: a scale and a start of its own, trained with Muon


class Experiment(NamedTuple):
    """What to run, and on what.

    Attributes:
        load: () → items: an object with ``names`` (E strings), ``array`` (a pytree of arrays with
            leading axis E), ``sha256`` and ``origin`` (a sentence for the reader).
        solve: (array of some items, keys (one an item), mapping) → list of E dicts metric → number.
        settings: the numbers of the run, as they will stand in the record.
        mappings: names that ``solve`` knows.

    Chapter: Photographs and text.
    """

    load: Callable[[], Any]
    solve: Callable[[Any, jax.Array, str], list[dict[str, float]]]
    settings: dict
    mappings: Sequence[str] = MAPPINGS


def encode(mapping: str, key: jax.Array, m: int, d: int, scale: float | None):
    """The mapping of d coordinates that a row of the table is named after; "ours" takes Gaussian frequencies.

    Args:
        mapping: "none", "basic", "positional", "gaussian" or "ours".
        key: draws the Gaussian frequencies.
        m: number of frequencies of positional and Gaussian.
        scale: of positional (log₂ of the highest frequency + 1) or Gaussian (cycles a unit); else
            None.

    Raises: ValueError for another name.

    Chapter: Photographs and text.
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
    """Adam whose rate rises to its value in the first ``warmup`` steps.

    Chapter: Radiance fields.
    """
    return optax.adam(optax.linear_schedule(rate / warmup, rate, warmup) if warmup else rate)


@cache
def muon(rate: float, steps: int) -> optax.GradientTransformation:
    """Muon (Jordan et al. 2024) for matrices and Adam for biases, both slowing down to a stop.

    A step moves every singular value of a matrix by about the rate, whatever the width; Glorot's start
    gives the largest a size of about 2, so that one rate does for networks of all widths. Adam has a
    tenth of the rate. McGinnis et al. (2025) found that this lets coordinate networks learn detail.

    Raises: ValueError or TypeError for a rate that is not positive or fewer than one step.

    Chapter: A fifth row.
    """
    fade = optax.cosine_decay_schedule(checks.positive("rate", rate), checks.count("steps", steps))
    return optax.contrib.muon(fade, adam_learning_rate=lambda step: fade(step) / 10)


def optimizer_of(mapping: str, rate: float, steps: int) -> optax.GradientTransformation:
    """What trains a row of the table: Adam at one rate, as in the paper; Muon, slowing down, for "ours".

    Chapter: A fifth row.
    """
    return muon(rate, steps) if mapping == OURS else adam(rate)


def start_at(params, mean):
    """Parameters of a network that ends in a sigmoid, its output bias moved to where it paints ``mean``.

    Args:
        params: as ``MLP.init`` draws them, with any leading axes.
        mean: what the outputs should be about, in (0, 1), shape of the output bias.

    Chapter: A fifth row.
    """
    *hidden, (W, b) = params
    mean = jnp.clip(mean, 0.01, 0.99)
    return [*hidden, (W, b + jnp.log(mean / (1 - mean)))]


def with_fifth_row(experiments: dict[str, Experiment]) -> dict[str, Experiment]:
    """Experiments and, of each, a companion of the same items that runs "ours" alone, NAME_ours.

    The four rows of the paper and ours are recorded apart, so that one can change without the others.

    Chapter: A fifth row.
    """
    ours = {
        f"{name}_{OURS}": experiment._replace(mappings=(OURS,))
        for name, experiment in experiments.items()
    }
    return experiments | ours


def train(
    params, loss: Callable, data, *, steps: int, look: Callable, looks: int = 0, **how
) -> tuple:
    """Train one network an item, all as one program: :func:`fflib.training.fit` with data of their own.

    Several devices share the items if their number divides evenly.

    Args:
        params: leading axis E.
        loss: (params, data) → scalar of one item.
        data: leading axis E.
        steps: of the optimizer.
        look: (params, data) → dict of what to record of one item.
        looks: how often to, besides the start; 0 for not at all.
        how: further arguments of ``fit``: optimizer, batch, key, progress, label.

    Returns: parameters and history, as ``fit`` does.

    Chapter: Photographs and text.
    """
    watch = dict(metrics=look, every=-(-steps // looks)) if looks else {}
    params, data = spread((params, data))
    return fit(params, loss, data, steps=steps, vmap=0, **watch, **how)


def spread(tree):
    """Arrays with equal leading axes, shared out among all devices if that comes out even.

    In a compiled program too, where it asks the compiler for this.

    Chapter: How these pages were computed.
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


def run(
    name: str,
    experiment: Experiment,
    *,
    seeds: Sequence[int] = (0,),
    together: int | None = None,
    limit: int | None = None,
    folder: str | os.PathLike | None = None,
    partial: str | os.PathLike = "_build/results",
    say: Callable[[str], None] = print,
) -> dict:
    """Run every mapping on every item and record the scores; go on where an earlier run stopped.

    After every batch of items the rows so far are written to ``partial``. A run with the same
    settings, data and versions on the same kind of device skips what stands there.

    Args:
        name: of the record.
        experiment: what to run.
        seeds: one full pass for each.
        together: items trained as one batched program (default: all; fewer take less memory).
        limit: only the first so many items (for a trial).
        folder: of the record (default: beside the library).
        partial: folder of unfinished runs.
        say: told what is being done.

    Returns: the record, as :func:`fflib.experiments.records.record` gives it.

    Raises: what ``solve`` raises; what was done before is kept.

    Chapter: Photographs and text.
    """
    items = experiment.load()
    names = items.names[:limit]
    together = checks.count("together", len(names) if together is None else together)
    about = dict(data_hash=items.sha256, notes=items.origin, settings=experiment.settings)
    rows, before = _unfinished(name, partial, about)
    done, start = {(r["item"], r["mapping"], r["seed"]) for r in rows}, time.perf_counter()
    made = None
    for seed in seeds:
        for mapping in experiment.mappings:
            todo = [i for i, item in enumerate(names) if (item, mapping, seed) not in done]
            for chosen in (todo[k : k + together] for k in range(0, len(todo), together)):
                say(f"{name}: {mapping}, seed {seed}, {', '.join(names[i] for i in chosen)}")
                part = jax.tree.map(itemgetter(jnp.asarray(chosen)), items.array)
                scores = experiment.solve(part, item_keys(seed, chosen), mapping)
                rows += [
                    {
                        "item": names[i],
                        "mapping": mapping,
                        "seed": seed,
                        "metric": metric,
                        "value": float(value),
                    }
                    for i, score in zip(chosen, scores, strict=True)
                    for metric, value in score.items()
                ]
                wall = before + time.perf_counter() - start
                made = records.record(name, rows, wall_s=wall, folder=partial, **about)
    wall = before if made is None else made["wall_s"]
    made = records.record(name, rows, wall_s=wall, folder=folder, **about)
    (Path(partial) / f"{name}.json").unlink()
    return made


def _unfinished(name: str, partial, about: dict) -> tuple[list[dict], float]:
    """Rows and seconds of an earlier run of the very same experiment."""
    try:
        made = records.recorded(name, partial)
    except ValueError:  # cut off or edited: begin again
        made = None
    wanted = json.loads(json.dumps(about)) | records.circumstances()
    if made is None or any(made.get(key) != value for key, value in wanted.items()):
        return [], 0.0
    return made["rows"], made["wall_s"]
