"""Learn what a scanner measured: coordinates → mapping → MLP → operator, compared with the measurement.

Computed tomography and magnetic resonance differ in one argument, the operator; against
:mod:`fflib.experiments.image` the loss has one more function call in it, and the score compares with a picture
that the network never saw.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

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
from fflib.network import MLP, mlp
from fflib.operators import scanner
from fflib.worlds import brains, phantoms

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
MEANS = {  # what a measurement says about the mean of what was measured
    scanner.project: jnp.mean,
    scanner.masked_fft: lambda y: y[0, 0, 0].real / y.size,
}


@cache  # the same functions for the same model, so that what was compiled for them is found again
def _functions(values: Callable, operator: Callable):
    def loss(params, seen):
        return scanner.half_mean_square(operator(values(params, seen), seen["how"]) - seen["y"])

    def look(params, seen):
        return {"f": values(params, seen)}

    return loss, look, jax.jit(jax.vmap(values))


@cache
def _network(model: MLP):
    return lambda params, seen: model(params, seen["x"])[..., 0]


def _grid(params, seen):
    return jax.nn.sigmoid(params)


def reconstruct(
    observed,
    how,
    keys: jax.Array,
    mapping: str,
    setting: Setting,
    *,
    operator: Callable,
    size: int,
    optimizer: optax.GradientTransformation | None = None,
    looks: int = 0,
    progress: bool = True,
) -> tuple[jax.Array, dict[str, np.ndarray]]:
    """Train one network a scan, all as one program, until operator(f, how) is near what was observed.

    Args:
        observed: (E, …), one measurement a scan, real or complex.
        how: second argument of the operator: angles of the views, or the mask of frequencies.
        keys: E random keys, see :func:`fflib.experiments.protocol.item_keys`.
        mapping: "none", "basic", "positional", "gaussian" or "ours".
        setting: the numbers of the run.
        operator: :func:`fflib.operators.scanner.project` or :func:`fflib.operators.scanner.masked_fft`.
        size: n, points of the reconstruction along a side.
        optimizer: instead of the mapping's own.
        looks: how often, besides the start, to record the reconstructions on the way.
        progress: show a progress bar.

    Returns: the reconstructions (E, n, n) or (E, n, n, n), as many axes as the operator takes, and the
    history of :func:`fflib.training.fit`, with ``looks`` also ``history["f"]``, shape (T, E, n, …).

    Raises: ValueError when observed and keys differ in number, for another mapping, NaN.

    Chapter: Computed tomography; Magnetic resonance.
    """
    d = _axes(operator)
    draw, init = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    gammas = [encode(mapping, key, setting.m, d, setting.scales.get(mapping)) for key in draw]
    model = mlp(gammas[0].num_features, setting.width, depth=4, output="sigmoid", biases=0.01)
    v = data.grid(size, d)
    features = {"x": jnp.stack([gamma(v) for gamma in gammas])}
    values, params = _network(model), jax.vmap(model.init)(init)
    if mapping == OURS:
        params = start_at(params, jax.vmap(MEANS[operator])(jnp.asarray(observed))[:, None])
    optimizer = optimizer or optimizer_of(mapping, setting.rates[mapping], setting.steps)
    run = dict(
        steps=setting.steps, optimizer=optimizer, looks=looks, progress=progress, label=mapping
    )
    return _train(values, params, features, observed, how, operator, **run)


def optimise_grid(
    observed, how, steps: int, *, operator: Callable, size: int, rate: float = GRID_RATE, looks: int = 0,
    progress: bool = True,
) -> tuple[jax.Array, dict[str, np.ndarray]]:  # fmt: skip
    """The same training without a network: every pixel is a parameter, behind a sigmoid, from ½.

    Arguments and results as in :func:`reconstruct`.

    Chapter: Computed tomography.
    """
    params = jnp.zeros((len(observed), *_axes(operator) * (size,)))
    run = dict(steps=steps, optimizer=adam(rate), looks=looks, progress=progress, label="grid")
    return _train(_grid, params, {}, observed, how, operator, **run)


def _train(
    values, params, seen, observed, how, operator, *, steps, optimizer, looks, progress, label
):
    observed = checks.finite("observed", jnp.asarray(observed))
    count = jax.tree.leaves(params)[0].shape[0]
    if len(observed) != count:
        raise ValueError(
            f"observed must have one measurement for each of the {count} keys, but got {observed.shape}"
        )
    how = jnp.asarray(how)
    seen |= {"y": observed, "how": jnp.broadcast_to(how, (count, *how.shape))}
    loss, look, all_values = _functions(values, operator)
    params, history = train(
        params,
        loss,
        seen,
        steps=steps,
        optimizer=optimizer,
        look=look,
        looks=looks,
        progress=progress,
        label=label,
    )
    made = history["f"][-1] if looks else all_values(params, seen)
    return jnp.asarray(made), history


def _axes(operator) -> int:
    try:
        return {scanner.project: 2, scanner.masked_fft: 3}[operator]
    except KeyError:
        raise ValueError(
            f"operator must be scanner.project or scanner.masked_fft, but got {operator!r}"
        ) from None


def score(f, truth) -> dict[str, float]:
    """PSNR in dB of one reconstruction, clipped to [0, 1] first.

    Args: f and truth, arrays of one shape.

    Chapter: Computed tomography.
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

METHODS = {
    scanner.project: (lambda n: scanner.angles(VIEWS), scanner.filtered_back_projection),
    scanner.masked_fft: (paper_mask, scanner.hermitian_filled),
}


def _solve(truth, keys, mapping, *, operator, setting):
    (make_how, direct), n = METHODS[operator], truth.shape[-1]
    how = make_how(n)
    observed = jnp.stack([operator(f, how) for f in truth])
    if mapping == "direct":
        made = [direct(y, how) for y in observed]
    elif mapping == "grid":
        made = optimise_grid(observed, how, setting.steps, operator=operator, size=n)[0]
    else:
        made = reconstruct(observed, how, keys, mapping, setting, operator=operator, size=n)[0]
    name = (
        "psnr" if mapping in (*MAPPINGS, OURS) else "psnr_baseline"
    )  # networks are compared among themselves
    return [{name: score(f, t)["psnr"]} for f, t in zip(made, truth, strict=True)]


def _experiment(
    load: Callable[[], phantoms.Scans], setting: Setting, size: int, operator: Callable
) -> Experiment:
    settings = dataclasses.asdict(setting) | {"operator": operator.__name__, "size": size}
    settings |= {"views": VIEWS, "grid_rate": GRID_RATE}
    solve = partial(_solve, operator=operator, setting=setting)
    return Experiment(load, solve, settings, mappings=(*MAPPINGS, "grid", "direct"))


def _reduced(
    load: Callable[[], phantoms.Scans], setting: Setting, size: int, operator: Callable
) -> Experiment:
    short = _experiment(load, dataclasses.replace(setting, steps=500), size, operator)
    return short._replace(mappings=MAPPINGS, scale="reduced")


def _heads_and_brain(n: int) -> phantoms.Scans:
    """One average brain and three phantoms, which are sharper."""
    brain, heads = brains.volumes(n), phantoms.heads(3, n, 3)
    array = jnp.concatenate([brain.array, heads.array])
    return phantoms.Scans(
        [*brain.names, *heads.names], array, brain.sha256, f"{brain.origin}; {heads.origin}"
    )


EXPERIMENTS = with_fifth_row({
    "ct_shepp": _experiment(partial(phantoms.heads, 8, CT_SIZE), CT_SHEPP, CT_SIZE, scanner.project),
    "ct_brain": _experiment(partial(brains.slices, 8, CT_SIZE), CT_BRAIN, CT_SIZE, scanner.project),
    "mri_brain": _experiment(partial(brains.volumes, MRI_SIZE), MRI_BRAIN, MRI_SIZE, scanner.masked_fft),
    "mri_shepp": _experiment(partial(phantoms.heads, 6, MRI_SIZE, 3), MRI_SHEPP, MRI_SIZE, scanner.masked_fft),
    "ct_shepp_reduced": _reduced(partial(phantoms.heads, 8, 128), CT_SHEPP, 128, scanner.project),
    "ct_brain_reduced": _reduced(partial(brains.slices, 8, 128), CT_BRAIN, 128, scanner.project),
    "mri_brain_reduced": _reduced(partial(_heads_and_brain, 48), MRI_BRAIN, 48, scanner.masked_fft),
})  # fmt: skip
