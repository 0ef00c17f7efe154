"""Learn what a scanner measured: coordinates → mapping → MLP → operator, compared with it.

Computed tomography and magnetic resonance differ in one argument, the operator: any function
operator(f, how) of a picture or volume. Against :mod:`fflib.experiments.image` the loss has one
more function call in it, and the score compares with a picture that the network never saw.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from fflib import checks, data, metrics
from fflib.experiments import protocol
from fflib.experiments.image import NATURAL, networks
from fflib.experiments.protocol import OURS, Experiment, Setting, with_fifth_row
from fflib.operators import scanner
from fflib.worlds import brains, phantoms
from fflib.worlds.items import Items

CT_SHEPP = dataclasses.replace(
    NATURAL, steps=1000, rates=NATURAL.rates | {"ours": 0.03},
    scales={"positional": 3.0, "gaussian": 4.0, "ours": 3.0},
)  # fmt: skip
CT_BRAIN = dataclasses.replace(CT_SHEPP, scales={"positional": 5.0, "gaussian": 5.0, "ours": 3.5})
MRI_BRAIN = dataclasses.replace(  # 255: positional encoding shares them out among three axes
    CT_SHEPP, m=255, rates=dict.fromkeys(CT_SHEPP.rates, 2e-3) | {"ours": 0.03},
    scales={"positional": 4.0, "gaussian": 5.0, "ours": 3.5},
)  # fmt: skip
MRI_SHEPP = dataclasses.replace(MRI_BRAIN, scales={"positional": 4.0, "gaussian": 2.0, "ours": 2.0})
VIEWS, CT_SIZE, MRI_SIZE, GRID_RATE = 20, 512, 96, 0.1


def _values(params, seen):
    """f on the grid, from its network or, without one, from its pixels."""
    if seen["model"] is None:
        return jax.nn.sigmoid(params)
    return seen["model"](params, seen["x"])[..., 0]


def _loss(params, seen):
    made = seen["operator"](_values(params, seen), seen["how"])
    return scanner.half_mean_square(made - seen["y"])


_every = jax.jit(jax.vmap(_values))


def reconstruct(
    observed, how, keys: jax.Array, mapping: str, setting: Setting, *, operator: Callable,
    shape: Sequence[int], mean: Callable | None = None, **more,
) -> tuple[jax.Array, dict[str, np.ndarray]]:  # fmt: skip
    """Train one network a scan, all as one program, until operator(f, how) is near ``observed``.

    Args:
        observed: (E, …), one measurement a scan, real or complex.
        how: second argument of the operator, a pytree of arrays: angles of the views, the mask of
            frequencies, or None.
        mapping: as for :func:`fflib.experiments.image.paint`, or "grid": no network, every pixel
            is a parameter, behind a sigmoid, from ½.
        operator: f, how ↦ A f, a function that JAX can differentiate, such as
            :func:`fflib.operators.scanner.project` or :func:`fflib.operators.scanner.masked_fft`.
        shape: of f, sizes along its axes.
        mean: y ↦ about the mean of f, at which "ours" starts (default: of a linear operator the
            constant picture nearest to y).
        keys, setting, more: as for :func:`fflib.experiments.image.paint`.

    Returns: the reconstructions ``(E, *shape)`` and the history of :func:`fflib.training.fit`.
    Raises: ValueError when observed and keys differ in number, for another mapping, NaN, and when
    the operator gives another shape than was observed. Chapter: Computed tomography; Magnetic
    resonance.
    """
    observed, shape = checks.finite("observed", jnp.asarray(observed)), tuple(shape)
    count, f = len(keys), jax.ShapeDtypeStruct(shape, jnp.zeros(()).dtype)
    wanted = f"have one measurement for each of the {count} keys"
    checks.must(len(observed) == count, "observed", wanted, observed.shape)
    gives = jax.eval_shape(operator, f, how).shape
    wanted = f"hold measurements of shape {gives}, as operator gives them of f {shape}"
    checks.must(gives == observed.shape[1:], "observed", wanted, observed.shape)
    each = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *jnp.shape(leaf))), how)
    seen = {"model": None, "y": observed, "how": each, "operator": Partial(operator)}
    if mapping == "grid":
        params = jnp.zeros((count, *shape))
        more.setdefault("optimizer", protocol.adam(GRID_RATE))
    else:
        gammas, model, params = networks(keys, mapping, setting, len(shape))
        v = data.grid(shape)
        seen |= {"model": Partial(model), "x": jnp.stack([gamma(v) for gamma in gammas])}
    if mapping == OURS:
        mean = mean or partial(_constant, operator, how, shape)
        params = protocol.start_at(params, jax.vmap(mean)(observed)[:, None])
    params, history = protocol.train(params, _loss, seen, mapping, setting, **more)
    return _every(params, seen), history


def _constant(operator, how, shape, y):
    """The number c for which A c is nearest to y."""
    ones = operator(jnp.ones(shape), how)
    return jnp.vdot(ones, y).real / jnp.vdot(ones, ones).real


def score(f, truth) -> dict[str, float]:
    """PSNR in dB of a reconstruction, clipped to [0, 1] first. Chapter: Computed tomography."""
    return {"psnr": float(metrics.psnr(jnp.clip(f, 0.0, 1.0), truth))}


def paper_mask(n: int) -> jax.Array:
    """The paper's mask of frequencies, n³: the same fraction of cells and shape at any size.
    Chapter: Magnetic resonance.
    """
    part = checks.count("n", n) / MRI_SIZE
    cells, width = round(200_000 * part**3), 192**0.5 * part
    return scanner.kspace_mask(jax.random.key(0), (n, n, n), cells, width)


class Instrument(NamedTuple):
    """A scanner: how it measures n points a side, what is done without a network, y ↦ mean f.
    Chapter: Computed tomography.
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
    operator, how = instrument.operator, instrument.how(truth.shape[-1])
    made, _ = reconstruct(
        jnp.stack([operator(f, how) for f in truth]), how, keys, mapping, setting,
        operator=operator, shape=truth.shape[1:], mean=instrument.mean,
    )  # fmt: skip
    return list(map(score, made, truth))


def _experiment(
    load: Callable[[int], Items], size: int, setting: Setting, instrument: Instrument, **reduced
) -> Experiment:
    setting, scale = dataclasses.replace(setting, **reduced), "reduced" if reduced else "full"
    settings = dataclasses.asdict(setting) | {"operator": instrument.operator.__name__}
    settings |= {"size": size, "views": VIEWS, "grid_rate": GRID_RATE}
    solve = partial(_solve, instrument=instrument, setting=setting)
    return Experiment(partial(load, size), solve, settings, scale=scale)


def _heads_and_brain(n: int) -> Items:
    """One average brain and three phantoms, which are sharper."""
    brain, heads = brains.volumes(n), phantoms.heads(3, n, 3)
    array, names = jnp.concatenate([brain.array, heads.array]), (*brain.names, *heads.names)
    return Items(names, array, brain.sha256, f"{brain.origin}; {heads.origin}")


_heads, _slices = partial(phantoms.heads, 8), partial(brains.slices, 8)
EXPERIMENTS = with_fifth_row({
    "ct_shepp": _experiment(_heads, CT_SIZE, CT_SHEPP, TOMOGRAPH),
    "ct_brain": _experiment(_slices, CT_SIZE, CT_BRAIN, TOMOGRAPH),
    "mri_brain": _experiment(brains.volumes, MRI_SIZE, MRI_BRAIN, RESONANCE),
    "mri_shepp": _experiment(partial(phantoms.heads, 6, d=3), MRI_SIZE, MRI_SHEPP, RESONANCE),
    "ct_shepp_reduced": _experiment(_heads, 128, CT_SHEPP, TOMOGRAPH, steps=500),
    "ct_brain_reduced": _experiment(_slices, 128, CT_BRAIN, TOMOGRAPH, steps=500),
    "mri_brain_reduced": _experiment(_heads_and_brain, 48, MRI_BRAIN, RESONANCE, steps=500),
})  # fmt: skip
