"""Learn what a scanner measured: coordinates → mapping → MLP → operator, compared with the
measurement.

Computed tomography and magnetic resonance differ in one argument, the operator: any function
operator(f, how) of a picture or volume. Against :mod:`fflib.experiments.image` the loss has one
more function call in it, and the score compares with a picture that the network never saw.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial

from fflib import checks, data, metrics
from fflib.experiments.image import NATURAL, Setting
from fflib.experiments.protocol import (
    MAPPINGS,
    OURS,
    Experiment,
    adam,
    encode,
    optimizer_of,
    start_at,
    train,
    with_fifth_row,
)
from fflib.network import mlp
from fflib.operators import scanner
from fflib.worlds import brains, phantoms
from fflib.worlds.items import Items

CT_SHEPP = dataclasses.replace(
    NATURAL,
    steps=1000,
    rates=NATURAL.rates | {"ours": 0.03},
    scales={"positional": 3.0, "gaussian": 4.0, "ours": 3.0},
)
CT_BRAIN = dataclasses.replace(CT_SHEPP, scales={"positional": 5.0, "gaussian": 5.0, "ours": 3.5})
MRI_BRAIN = dataclasses.replace(
    CT_SHEPP,
    m=255,
    rates=dict.fromkeys(CT_SHEPP.rates, 2e-3) | {"ours": 0.03},
    scales={"positional": 4.0, "gaussian": 5.0, "ours": 3.5},
)  # 255: positional encoding shares its frequencies out among three axes
MRI_SHEPP = dataclasses.replace(MRI_BRAIN, scales={"positional": 4.0, "gaussian": 2.0, "ours": 2.0})
VIEWS, CT_SIZE, MRI_SIZE = 20, 512, 96
GRID_RATE = 0.1


def _values(params, seen):
    """f on the grid, from its network or, without one, from its pixels."""
    if seen["model"] is None:
        return jax.nn.sigmoid(params)
    return seen["model"](params, seen["x"])[..., 0]


def _loss(params, seen):
    return scanner.half_mean_square(
        seen["operator"](_values(params, seen), seen["how"]) - seen["y"]
    )


def _look(params, seen):
    return {"f": _values(params, seen)}


_every = jax.jit(jax.vmap(_values))


def reconstruct(
    observed,
    how,
    keys: jax.Array,
    mapping: str,
    setting: Setting,
    *,
    operator: Callable,
    shape: Sequence[int],
    mean: Callable | None = None,
    optimizer: optax.GradientTransformation | None = None,
    looks: int = 0,
    progress: bool = True,
) -> tuple[jax.Array, dict[str, np.ndarray]]:
    """Train one network a scan, all as one program, until operator(f, how) is near what was
    observed.

    ``keys``, ``mapping``, ``setting``, ``optimizer``, ``looks`` and ``progress`` are those of
    :func:`fflib.experiments.image.paint`.

    Args:
        observed: (E, …), one measurement a scan, real or complex.
        how: second argument of the operator, a pytree of arrays: angles of the views, the mask of
            frequencies, or None.
        operator: f, how ↦ A f, a function that JAX can differentiate, such as
            :func:`fflib.operators.scanner.project` or :func:`fflib.operators.scanner.masked_fft`.
        shape: of f, sizes along its axes.
        mean: y ↦ about the mean of f, at which "ours" starts (default: of a linear operator the
            constant picture nearest to y).

    Returns: the reconstructions ``(E, *shape)`` and the history of :func:`fflib.training.fit`, with
    ``looks`` also ``history["f"]``, shape ``(T, E, *shape)``. Raises: ValueError when observed and
    keys differ in number, for another mapping, NaN, and when the operator gives another shape than
    was observed. Chapter: Computed tomography; Magnetic resonance.
    """
    draw, init = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    scale = setting.scales.get(mapping)
    gammas = [encode(mapping, key, setting.m, len(shape), scale) for key in draw]
    model = mlp(gammas[0].num_features, setting.width, depth=4, output="sigmoid", biases=0.01)
    v, params = data.grid(tuple(shape)), jax.vmap(model.init)(init)
    seen = {"model": Partial(model), "x": jnp.stack([gamma(v) for gamma in gammas])}
    if mapping == OURS:
        mean = partial(_constant, operator, how, tuple(shape)) if mean is None else mean
        params = start_at(params, jax.vmap(mean)(jnp.asarray(observed))[:, None])
    return _train(
        params,
        seen,
        observed,
        how,
        operator,
        tuple(shape),
        steps=setting.steps,
        optimizer=optimizer or optimizer_of(mapping, setting.rates[mapping], setting.steps),
        looks=looks,
        progress=progress,
        label=mapping,
    )


def _constant(operator, how, shape, y):
    """The number c for which A c is nearest to y."""
    ones = operator(jnp.ones(shape), how)
    return jnp.vdot(ones, y).real / jnp.vdot(ones, ones).real


def optimise_grid(
    observed,
    how,
    steps: int,
    *,
    operator: Callable,
    shape: Sequence[int],
    rate: float = GRID_RATE,
    **more,
) -> tuple[jax.Array, dict[str, np.ndarray]]:
    """The same training without a network: every pixel is a parameter, behind a sigmoid, from ½.

    Arguments (``looks`` and ``progress``, too) and results as in :func:`reconstruct`. Chapter:
    Computed tomography.
    """
    params, seen = jnp.zeros((len(observed), *shape)), {"model": None}
    more = dict(steps=steps, optimizer=adam(rate), label="grid") | more
    return _train(params, seen, observed, how, operator, tuple(shape), **more)


def _train(params, seen, observed, how, operator, shape, *, looks=0, **how_to):
    observed = checks.finite("observed", jnp.asarray(observed))
    count = len(jax.tree.leaves(params)[0])
    if len(observed) != count:
        raise ValueError(
            f"observed must have one measurement for each of the {count} keys, "
            f"but got {observed.shape}"
        )
    gives = jax.eval_shape(operator, jax.ShapeDtypeStruct(shape, jnp.zeros(()).dtype), how).shape
    if gives != observed.shape[1:]:
        raise ValueError(
            f"observed must hold measurements of shape {gives}, as operator gives them of f "
            f"{shape}, but got {observed.shape}"
        )

    def each(leaf):
        return jnp.broadcast_to(leaf, (count, *jnp.shape(leaf)))

    seen |= {"y": observed, "how": jax.tree.map(each, how), "operator": Partial(operator)}
    params, history = train(params, _loss, seen, look=_look, looks=looks, **how_to)
    return jnp.asarray(history["f"][-1] if looks else _every(params, seen)), history


def score(f, truth) -> dict[str, float]:
    """PSNR in dB of one reconstruction, clipped to [0, 1] first; f and truth are arrays of one
    shape. Chapter: Computed tomography.
    """
    return {"psnr": float(metrics.psnr(jnp.clip(f, 0.0, 1.0), truth))}


def paper_mask(n: int) -> jax.Array:
    """The paper's mask of frequencies, n³: the same fraction of cells and shape at any size.

    Chapter: Magnetic resonance.
    """
    part = checks.count("n", n) / MRI_SIZE
    return scanner.kspace_mask(
        jax.random.key(0), (n, n, n), round(200_000 * part**3), 192**0.5 * part
    )


# --------------------------------------------------------------------------------------------------
# The full runs


class Instrument(NamedTuple):
    """A scanner of the table: how it measures n points a side, what is done without a network, y ↦
    mean f. Chapter: Computed tomography.
    """

    operator: Callable
    how: Callable[[int], Any]
    direct: Callable
    mean: Callable


TOMOGRAPH = Instrument(
    scanner.project, lambda n: scanner.angles(VIEWS), scanner.filtered_back_projection, jnp.mean
)
RESONANCE = Instrument(
    scanner.masked_fft, paper_mask, scanner.hermitian_filled, lambda y: y[0, 0, 0].real / y.size
)


def _solve(truth, keys, mapping, *, instrument: Instrument, setting):
    operator, how, shape = instrument.operator, instrument.how(truth.shape[-1]), truth.shape[1:]
    observed, run = jnp.stack([operator(f, how) for f in truth]), dict(shape=shape)
    if mapping == "direct":
        made = [instrument.direct(y, how) for y in observed]
    elif mapping == "grid":
        made, _ = optimise_grid(observed, how, setting.steps, operator=operator, **run)
    else:
        run |= dict(operator=operator, mean=instrument.mean)
        made, _ = reconstruct(observed, how, keys, mapping, setting, **run)
    # networks are compared among themselves
    name = "psnr" if mapping in (*MAPPINGS, OURS) else "psnr_baseline"
    return [{name: score(f, t)["psnr"]} for f, t in zip(made, truth, strict=True)]


def _experiment(
    load: Callable[[], Items], setting: Setting, size: int, instrument: Instrument
) -> Experiment:
    settings = dataclasses.asdict(setting) | {"operator": instrument.operator.__name__}
    settings |= {"size": size, "views": VIEWS, "grid_rate": GRID_RATE}
    solve = partial(_solve, instrument=instrument, setting=setting)
    return Experiment(load, solve, settings, mappings=(*MAPPINGS, "grid", "direct"))


def _reduced(
    load: Callable[[], Items], setting: Setting, size: int, instrument: Instrument
) -> Experiment:
    short = _experiment(load, dataclasses.replace(setting, steps=500), size, instrument)
    return short._replace(mappings=MAPPINGS, scale="reduced")


def _heads_and_brain(n: int) -> Items:
    """One average brain and three phantoms, which are sharper."""
    brain, heads = brains.volumes(n), phantoms.heads(3, n, 3)
    array = jnp.concatenate([brain.array, heads.array])
    return Items(
        (*brain.names, *heads.names), array, brain.sha256, f"{brain.origin}; {heads.origin}"
    )


EXPERIMENTS = with_fifth_row({
    "ct_shepp": _experiment(partial(phantoms.heads, 8, CT_SIZE), CT_SHEPP, CT_SIZE, TOMOGRAPH),
    "ct_brain": _experiment(partial(brains.slices, 8, CT_SIZE), CT_BRAIN, CT_SIZE, TOMOGRAPH),
    "mri_brain": _experiment(partial(brains.volumes, MRI_SIZE), MRI_BRAIN, MRI_SIZE, RESONANCE),
    "mri_shepp": _experiment(
        partial(phantoms.heads, 6, MRI_SIZE, 3), MRI_SHEPP, MRI_SIZE, RESONANCE
    ),
    "ct_shepp_reduced": _reduced(partial(phantoms.heads, 8, 128), CT_SHEPP, 128, TOMOGRAPH),
    "ct_brain_reduced": _reduced(partial(brains.slices, 8, 128), CT_BRAIN, 128, TOMOGRAPH),
    "mri_brain_reduced": _reduced(partial(_heads_and_brain, 48), MRI_BRAIN, 48, RESONANCE),
})  # fmt: skip
