"""The one training loop of the book: optax steps inside ``lax.scan``, metrics on the way.

The loop is compiled once for a loss, an optimizer and a chunk length, and runs ``every`` steps in
one call; between chunks it records metrics, moves the progress bar and writes the checkpoint.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm.auto import tqdm

from fflib import checks
from fflib.checkpoint import digest, resume, save

SAVE_SECONDS = 10.0  # the least time between two checkpoints


class State(NamedTuple):
    """All that training needs to go on: parameters, optimizer state, steps done.

    Chapter: Why is it blurry?
    """

    params: Any
    opt_state: Any
    step: jax.Array


@partial(jax.jit, static_argnames=("loss", "optimizer", "batch", "ensemble", "shared_data", "length"))
def _chunk(state, data, key, *, loss, optimizer, batch, ensemble, shared_data, length):
    """``length`` optimizer steps; returns the new state and the loss before each step."""

    def update(params, opt_state, data, key):
        observed = data if batch is None else batch(key, data)
        value, gradient = jax.value_and_grad(loss)(params, observed)
        step, opt_state = optimizer.update(gradient, opt_state, params)
        return optax.apply_updates(params, step), opt_state, value

    if ensemble:
        update = jax.vmap(update, in_axes=(0, 0, None if shared_data else 0, 0))

    def body(state, _):
        step_key = jax.random.fold_in(key, state.step)
        if ensemble:
            step_key = jax.random.split(step_key, jax.tree.leaves(state.params)[0].shape[0])
        params, opt_state, value = update(state.params, state.opt_state, data, step_key)
        return State(params, opt_state, state.step + 1), value

    return jax.lax.scan(body, state, length=length)


_lower = _chunk.lower  # the program's text, by which a checkpoint knows it


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
) -> tuple[Any, dict[str, np.ndarray]]:
    """Minimise ``loss`` and return the trained parameters with the history of training.

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
        metrics: ``metrics(params, data)`` → dict of arrays.
        every: record at step 0, every, 2·every, … and at the end (default: start and end).
        ensemble: train E members at once with ``jax.vmap``.
        shared_data: whether the members share ``data``; else its leaves have the leading axis E too.
        progress: show a progress bar (never while the book is built).
        label: name on the bar.
        checkpoint: file (``.npz``) written as training goes on, at most every ten seconds and when a
            multiple of ``every`` is reached, and resumed from if it exists. A resumed run ends in
            exactly the parameters of an undisturbed one.

    Returns: (params, history). ``history["step"]`` has shape (T,), ``history["loss"]`` (T,) or
    (T, E), and every metric its own shape with T in front.

    Raises: ValueError or TypeError for bad arguments; ValueError for a checkpoint that is damaged or
    was made with another loss, optimizer, key or data; FloatingPointError when the loss of every
    member is NaN or infinite. Interrupted from the keyboard it returns what it has, or, with a
    checkpoint, saves and passes the interrupt on.

    Chapter: Why is it blurry?
    """
    steps = checks.count("steps", steps)
    every = steps if every is None else checks.count("every", every)
    _check_members(params, data, ensemble, shared_data)
    if batch is not None and key is None:
        raise ValueError("key must be given with batch: random batches need a jax random key")
    if not isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(f"optimizer must be an optax transformation, but got {checks.describe(optimizer)}")
    key = jax.random.key(0) if key is None else key
    how = dict(ensemble=ensemble, shared_data=shared_data)

    params = jax.tree.map(jnp.asarray, params)
    init = jax.vmap(optimizer.init) if ensemble else optimizer.init
    state, history = State(params, init(params), jnp.zeros((), jnp.int32)), []
    run = {}
    if checkpoint is not None:
        program = _lower(state, data, key, loss=loss, optimizer=optimizer, batch=batch, length=1, **how)
        run = {
            "params": digest(state.params),
            "data": digest(data),
            "key": digest(key),
            "loss, batch or optimizer": digest(program.as_text()),
        }
        state, history = resume(Path(checkpoint), state, run)
        if int(state.step) > steps:
            raise ValueError(f"checkpoint {str(checkpoint)!r} is at step {int(state.step)}, past steps={steps}")
    done, saved = int(state.step), time.monotonic()

    def record(loss_now=np.nan):
        entry = {"step": done, "loss": loss_now}
        if metrics is not None:
            entry |= _evaluate(state.params, data, function=metrics, **how)
        if history and history[0].keys() != entry.keys():
            raise ValueError(
                f"checkpoint {str(checkpoint)!r} recorded {sorted(history[0])}, but metrics now gives "
                f"{sorted(entry)}; keep the metrics, or delete it to start afresh"
            )
        return jax.tree.map(np.asarray, entry)

    quiet = not progress or bool(os.environ.get("FFLIB_STATIC"))
    bar = tqdm(total=steps, initial=done, desc=label, unit="step", disable=quiet, leave=False)
    try:
        while done < steps:
            # a resumed run goes on at the next recording time of the uninterrupted one
            length = min(every - done % every, steps - done)
            if done % every == 0:
                before = record()
            after, losses = _chunk(
                state, data, key, loss=loss, optimizer=optimizer, batch=batch, length=length, **how
            )
            losses = np.asarray(losses)
            _check_finite(losses, done)
            if done % every == 0:
                history.append(before | {"loss": losses[0]})
            state, done = after, done + length
            bar.update(length)
            if checkpoint is not None and (time.monotonic() - saved > SAVE_SECONDS or done == steps):
                save(Path(checkpoint), state, history, run)
                saved = time.monotonic()
    except KeyboardInterrupt:
        if checkpoint is not None:
            save(Path(checkpoint), state, history, run)
            raise
        warnings.warn(f"{label} was interrupted at step {done} of {steps}; returning what it has", stacklevel=2)
    finally:
        bar.close()

    # the loss before the step that would come next, as for every other entry
    if batch is None:
        final = _evaluate(state.params, data, function=loss, **how)
    else:
        _, losses = _chunk(state, data, key, loss=loss, optimizer=optimizer, batch=batch, length=1, **how)
        final = losses[0]
    _check_finite(np.asarray(final)[None], done)
    history.append(record(final))
    return state.params, {k: np.stack([entry[k] for entry in history]) for k in history[0]}


def _check_finite(losses, step: int):
    """Stop when the last of these losses, the first of which is of ``step``, is lost for every member."""
    if not np.isfinite(losses[-1]).any():
        bad = int(np.argmax(~np.isfinite(losses).reshape(len(losses), -1).any(1)))
        raise FloatingPointError(
            f"the loss is {losses[bad]} at step {step + bad}: "
            + ("try a learning rate ten times smaller" if step + bad else "look for NaN in data and params")
        )


def _check_members(params, data, ensemble, shared_data):
    leaves = jax.tree.leaves(params)
    if not leaves:
        raise ValueError("params has no arrays: there is nothing to train")
    for leaf in leaves:
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            raise TypeError(f"params must hold floating-point arrays, but got {checks.describe(leaf)}")
    if not ensemble:
        return
    where = {"params": params} if shared_data else {"params": params, "data": data}
    sizes = {
        name: sorted({np.shape(leaf)[0] if np.ndim(leaf) else 0 for leaf in jax.tree.leaves(tree)})
        for name, tree in where.items()
    }
    if any(len(found) != 1 for found in sizes.values()) or len({s[0] for s in sizes.values()}) != 1:
        raise ValueError(
            "with ensemble=True every array needs the same leading axis of members, but got leading "
            + " and ".join(f"sizes {found} in {name}" for name, found in sizes.items())
        )
