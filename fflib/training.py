"""The one training loop of the book: optax steps inside ``lax.scan``, metrics on the way.

The loop is compiled once for a loss, an optimizer and a chunk length, and runs ``every`` steps in
one call; between chunks it records metrics, moves the progress bar and writes the checkpoint.
Where its arrays lie when there are several devices is the business of :mod:`fflib.parallel`.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm.auto import tqdm

from fflib import checks
from fflib.experiments.checkpoints import digest, resume, save
from fflib.haste import hasty
from fflib.parallel import Layout, agreed, whole

SAVE_SECONDS = 10.0  # the least time between two checkpoints


class State(NamedTuple):
    """All that training needs to go on: parameters, optimizer state, steps done.

    Chapter: Why is it blurry?
    """

    params: Any
    opt_state: Any
    step: jax.Array


@partial(
    jax.jit,
    static_argnames=("loss", "optimizer", "batch", "ensemble", "shared_data", "length", "layout"),
)
def _chunk(state, data, key, *, loss, optimizer, batch, ensemble, shared_data, length, layout):
    """``length`` optimizer steps; returns the new state and the loss before each step."""

    def update(params, opt_state, data, key):
        observed = _observed(data, key, batch, layout)
        value, gradient = jax.value_and_grad(loss)(params, observed)
        step, opt_state = optimizer.update(gradient, opt_state, params)
        return optax.apply_updates(params, step), opt_state, value

    if ensemble:
        update = jax.vmap(update, in_axes=(0, 0, None if shared_data else 0, 0))

    def body(state, _):
        params, opt_state, value = update(
            state.params, state.opt_state, data, _step_key(key, state, ensemble)
        )
        return layout.keep(
            State(params, opt_state, state.step + 1), 0 if layout.members else None
        ), value

    return jax.lax.scan(body, state, length=length)


@cache
def _starter():
    """The program for the optimizer's first state: one, where an optimizer asks for one for each of its arrays."""

    def start(params, optimizer, ensemble):
        return (jax.vmap(optimizer.init) if ensemble else optimizer.init)(params)

    return hasty(start, static_argnums=(1, 2))


_lower = _chunk.lower  # the program's text, by which a checkpoint knows it


@cache
def _loss_ahead():
    """The program for the loss before the step that would come next, a scalar or (E,); a training asks once."""

    def ahead(state, data, key, *, loss, batch, ensemble, shared_data, layout):
        def value(params, data, key):
            return loss(params, _observed(data, key, batch, layout))

        if ensemble:
            value = jax.vmap(value, in_axes=(0, None if shared_data else 0, 0))
        return value(state.params, data, _step_key(key, state, ensemble))

    return hasty(ahead, static_argnames=("loss", "batch", "ensemble", "shared_data", "layout"))


def _observed(data, key, batch, layout):
    """What the loss sees in one step: all of the data or a batch, its points shared among the devices."""
    observed = data if batch is None else batch(key, data)
    return observed if layout.members else layout.keep(observed, axis=0)


def _step_key(key, state, ensemble):
    """The key of the step that comes next; with an ensemble one for each member."""
    key = jax.random.fold_in(key, state.step)
    return jax.random.split(key, len(jax.tree.leaves(state.params)[0])) if ensemble else key


@partial(jax.jit, static_argnames=("function", "ensemble", "shared_data"))
def _evaluate(params, data, *, function, ensemble, shared_data):
    if ensemble:
        function = jax.vmap(function, in_axes=(0, None if shared_data else 0))
    return function(params, data)


def fit(
    params,
    loss: Callable,
    data=None,
    *,
    steps: int,
    optimizer: optax.GradientTransformation,
    key: jax.Array | None = None,
    batch: Callable | None = None,
    metrics: Callable | None = None,
    every: int | None = None,
    ensemble: bool = False,
    shared_data: bool = True,
    progress: bool = True,
    label: str = "training",
    checkpoint: str | os.PathLike | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> tuple[Any, dict[str, np.ndarray]]:
    """Minimise ``loss`` and return the trained parameters with the history of training.

    Programs are compiled once for the same ``loss``, ``batch``, ``metrics`` and ``optimizer`` and arrays of the
    same shapes: who trains in a loop makes these objects before it and hands over what changes as ``data``.

    Args:
        params: pytree of float arrays; with ``ensemble=True`` every leaf has a leading axis E of
            independently trained members.
        loss: ``loss(params, data)`` → scalar, or ``loss(params, batch(key, data))``.
        data: pytree of arrays handed to ``loss``, ``batch`` and ``metrics``.
        steps: number of optimizer steps.
        optimizer: an optax transformation, e.g. ``optax.adam(1e-3)``.
        key: jax random key, needed with ``batch``; step i uses ``fold_in(key, i)``, so a resumed
            run draws what the uninterrupted one would have drawn.
        batch: ``batch(key, data)`` → what the loss sees in one step (default: all of ``data``).
        metrics: ``metrics(params, data)`` → dict of arrays; "step" and "loss" are taken.
        every: record at step 0, every, 2·every, … and at the end (default: start and end).
        ensemble: train E members at once with ``jax.vmap``.
        shared_data: whether the members share ``data``; else its leaves have the leading axis E too.
        progress: show a progress bar (never while the book is built).
        label: name on the bar.
        checkpoint: file (``.npz``) written as training goes on, at most every ten seconds and when a
            multiple of ``every`` is reached, and resumed from if it exists. A resumed run ends in
            exactly the parameters of an undisturbed one.
        devices: share the work among these, ``jax.devices()`` for all there are: each takes its part
            of the members if that comes out even, else of the points that the loss sees in a step,
            and they add up their gradients. With ``jax.distributed`` every process calls ``fit``
            with the same arguments; the first one writes the checkpoint, which all must be able to
            read and any number of devices can resume. Results differ by rounding alone.

    Returns: (params, history). ``history["step"]`` has shape (T,), ``history["loss"]`` (T,) or
    (T, E), and every metric its own shape with T in front.

    Raises: ValueError or TypeError for bad arguments; ValueError for a checkpoint that is damaged or
    was made with another loss, optimizer, key or data; FloatingPointError when the loss of every
    member is NaN or infinite. Interrupted from the keyboard it returns what it has, or, with a
    checkpoint, saves and passes the interrupt on.

    Chapter: Why is it blurry?
    """
    checks.warn_of_wrong_products()
    steps = checks.count("steps", steps)
    every = steps if every is None else checks.count("every", every)
    _check_members(params, data, ensemble, shared_data)
    if batch is not None and key is None:
        raise ValueError("key must be given with batch: random batches need a jax random key")
    if not isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(
            f"optimizer must be an optax transformation, but got {checks.describe(optimizer)}"
        )
    key = jax.random.key(0) if key is None else key
    how = dict(ensemble=ensemble, shared_data=shared_data)
    what = dict(loss=loss, optimizer=optimizer, batch=batch, **how)

    params = jax.tree.map(
        lambda p: jnp.asarray(p, jnp.result_type(p)), params
    )  # steps give strong types
    layout = Layout.of(devices, len(jax.tree.leaves(params)[0]) if ensemble else None)
    state, history = (
        State(params, _starter()(params, optimizer, ensemble), jnp.zeros((), jnp.int32)),
        [],
    )
    run = {}
    if checkpoint is not None:
        agreed(layout, True)  # wait for a checkpoint that the first process is still writing
        program = _lower(state, data, key, length=1, layout=Layout(), **what)
        run = {
            "params": digest(state.params),
            "data": digest(data),
            "key": digest(key),
            "loss, batch or optimizer": digest(program.as_text()),
        }
        state, history = resume(Path(checkpoint), state, run)
        if int(state.step) > steps:
            raise ValueError(
                f"checkpoint {str(checkpoint)!r} is at step {int(state.step)}, past steps={steps}"
            )
    done, saved = int(state.step), time.monotonic()
    state, key = layout.put(state, 0 if layout.members else None), layout.put(key)
    own = ensemble and not shared_data
    if not layout.devices:
        data = jax.device_put(data)  # once: numpy arrays would be sent again for every chunk
    elif layout.members:
        data = layout.put(data, 0 if own else None)
    else:
        data = layout.put(data, (1 if own else 0) if batch is None else None)

    def record(loss_now=np.nan):
        entry = {"step": done, "loss": loss_now}
        if metrics is not None:
            entry |= _check_metrics(_evaluate(state.params, data, function=metrics, **how))
        if history and history[0].keys() != entry.keys():
            raise ValueError(
                f"checkpoint {str(checkpoint)!r} recorded {sorted(history[0])}, but metrics now gives "
                f"{sorted(entry)}; keep the metrics, or delete it to start afresh"
            )
        return whole(entry)

    def keep():
        now = whole(state)  # takes every process
        if layout.leads:
            save(Path(checkpoint), now, history, run)

    quiet = not progress or not layout.leads or bool(os.environ.get("FFLIB_STATIC"))
    bar = tqdm(total=steps, initial=done, desc=label, unit="step", disable=quiet, leave=False)
    try:
        while done < steps:
            # a resumed run goes on at the next recording time of the uninterrupted one
            length = min(every - done % every, steps - done)
            if done % every == 0:
                before = record()
            after, losses = _chunk(state, data, key, length=length, layout=layout, **what)
            losses = whole(losses)
            _check_finite(losses, done)
            if done % every == 0:
                history.append(before | {"loss": losses[0]})
            state, done = after, done + length
            bar.update(length)
            if checkpoint is not None and agreed(
                layout, time.monotonic() - saved > SAVE_SECONDS or done == steps
            ):
                keep()
                saved = time.monotonic()
    except KeyboardInterrupt:
        if checkpoint is not None:
            keep()
            raise
        warnings.warn(
            f"{label} was interrupted at step {done} of {steps}; returning what it has",
            stacklevel=2,
        )
    finally:
        bar.close()

    final = whole(_loss_ahead()(state, data, key, loss=loss, batch=batch, layout=layout, **how))
    _check_finite(final[None], done)
    history.append(record(final))
    return layout.home(state.params), {
        k: np.stack([entry[k] for entry in history]) for k in history[0]
    }


def _check_finite(losses, step: int):
    """Stop when the last of these losses, the first of which is of ``step``, is lost for every member."""
    if not np.isfinite(losses[-1]).any():
        bad = int(np.argmax(~np.isfinite(losses).reshape(len(losses), -1).any(1)))
        raise FloatingPointError(
            f"the loss is {losses[bad]} at step {step + bad}: "
            + (
                "try a learning rate ten times smaller"
                if step + bad
                else "look for NaN in data and params"
            )
        )


def _check_metrics(told) -> dict:
    if not isinstance(told, dict):
        raise TypeError(
            f"metrics must return a dict of arrays, but returned {checks.describe(told)}"
        )
    if told.keys() & {"step", "loss"}:
        raise ValueError(
            f"metrics must leave 'step' and 'loss' to fit, but returned a dict of {sorted(told)}"
        )
    return told


def _check_members(params, data, ensemble, shared_data):
    leaves = jax.tree.leaves(params)
    if not leaves:
        raise ValueError("params has no arrays: there is nothing to train")
    for leaf in leaves:
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            raise TypeError(
                f"params must hold floating-point arrays, but got {checks.describe(leaf)}"
            )
    if not ensemble:
        return
    where = {"params": params} if shared_data else {"params": params, "data": data}
    sizes = {
        name: sorted({np.shape(leaf)[0] if np.ndim(leaf) else 0 for leaf in jax.tree.leaves(tree)})
        for name, tree in where.items()
    }
    if (
        len({tuple(found) for found in sizes.values()}) != 1
        or len(sizes["params"]) != 1
        or sizes["params"] == [0]
    ):
        raise ValueError(
            "with ensemble=True every array needs the same leading axis of members, but got leading "
            + " and ".join(f"sizes {found} in {name}" for name, found in sizes.items())
        )
