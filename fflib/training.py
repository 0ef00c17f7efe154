"""Training: steps down the gradient of a loss, with any optimizer of optax.

:func:`init` and :func:`advance` are plain functions of arrays, for ``jax.vmap`` or ``jax.jit`` too;
:func:`fit` is the loop over them, with a history, a progress bar and a callback. Data placed by a
``NamedSharding`` is trained on where it lies.

Compiled programs are found again by ``loss``, ``optimizer``, ``batch`` and ``metrics``: a function
by its identity, so make it before a loop and hand over what changes as ``data``; a frozen dataclass
with ``__call__`` by its value.
"""

import contextlib
import os
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental.multihost_utils import process_allgather
from tqdm.auto import tqdm

from fflib import checks


class State(NamedTuple):
    """How far training is: all that it needs to go on. Chapter: Why is it blurry?"""

    params: Any
    opt_state: Any
    step: jax.Array


def init(params, optimizer) -> State:
    """The state before the first step, of a pytree of float arrays. Chapter: Why is it blurry?"""
    return State(params, optimizer.init(params), jnp.zeros((), jnp.int32))


def advance(
    state: State, data=None, key=None, most=None, *,
    loss: Callable, optimizer, steps: int, batch: Callable | None = None, has_aux: bool = False,
) -> tuple[State, jax.Array]:  # fmt: skip
    """``steps`` steps of the optimizer, only the first ``most`` of them if that is given (traced).

    Step i goes down the gradient of ``loss(params, data)``, or with a batch of ``loss(params,
    batch(fold_in(key, i), data))``. Optimizers that ask for them, such as L-BFGS, get the value and
    the loss itself. Returns: the new state and the loss before each step, (steps,); NaN for those
    not taken. Chapter: Why is it blurry?
    """
    update = optax.with_extra_args_support(optimizer).update

    def step(state):
        objective = _objective(loss, has_aux, data, key, batch, state.step)
        (value, _), gradient = jax.value_and_grad(objective, has_aux=True)(state.params)
        change, opt_state = update(
            gradient, state.opt_state, state.params,
            value=value, grad=gradient, value_fn=lambda params: objective(params)[0],
        )  # fmt: skip
        return State(optax.apply_updates(state.params, change), opt_state, state.step + 1), value

    def stay(state):
        objective = _objective(loss, has_aux, data, key, batch, state.step)
        return state, jnp.full_like(jax.eval_shape(objective, state.params)[0], jnp.nan)

    taken = jnp.arange(steps) < (steps if most is None else most)
    return jax.lax.scan(lambda state, go: jax.lax.cond(go, step, stay, state), state, taken)


def _objective(loss, has_aux, data, key, batch, step):
    """params ↦ (the loss of the step that comes next, auxiliary values)."""
    seen = data if batch is None else batch(jax.random.fold_in(key, step), data)
    return lambda params: loss(params, seen) if has_aux else (loss(params, seen), {})


@partial(jax.jit, static_argnames=("loss", "optimizer", "steps", "batch", "has_aux", "vmap"))
def _chunk(state, data, key, most, *, vmap, **how):
    run = partial(advance, **how)
    if vmap is not None:
        run = jax.vmap(run, in_axes=(*vmap, 0, None), out_axes=(0, 1))
    return run(state, data, key, most)


@partial(jax.jit, static_argnames=("loss", "batch", "metrics", "has_aux", "vmap"))
def _look(state, data, key, *, loss, batch, metrics, has_aux, vmap):
    """What history says of a state: the loss of the next step, auxiliary values, metrics."""

    def look(state, data, key):
        value, aux = _objective(loss, has_aux, data, key, batch, state.step)(state.params)
        found = {} if metrics is None else metrics(state.params, data)
        checks.is_a("the loss's auxiliary value", aux, dict)
        checks.is_a("what metrics return", found, dict)
        taken = {"step", "loss"} & (aux.keys() | found.keys()) | aux.keys() & found.keys()
        wanted = "leave 'step' and 'loss' to fit, and no name may come twice"
        told = f"{sorted(found)} beside {sorted(aux)}: {sorted(taken)} taken"
        checks.must(not taken, "metrics", wanted, told)
        return {"loss": value} | aux | found

    return (look if vmap is None else jax.vmap(look, in_axes=(*vmap, 0)))(state, data, key)


def fit(
    params, loss: Callable, data=None, *, steps: int, optimizer, key: jax.Array | None = None,
    batch: Callable | None = None, metrics: Callable | None = None, every: int | None = None,
    vmap: int | tuple[int, int | None] | None = None, has_aux: bool = False,
    callback: Callable | None = None, progress: bool = True, label: str = "training",
) -> tuple[Any, dict[str, np.ndarray]]:  # fmt: skip
    """Minimise ``loss`` and return the trained parameters with the history of training.

    Args:
        params: pytree of float arrays, or a :class:`State` to go on from.
        loss: ``loss(params, data)`` → scalar, or ``loss(params, batch(key, data))``.
        data: pytree of arrays handed to ``loss``, ``batch`` and ``metrics``.
        steps: number of optimizer steps, those of a given state included.
        optimizer: an optax transformation, e.g. ``optax.adam(1e-3)``.
        key: jax random key, needed with ``batch``; step i uses ``fold_in(key, i)``.
        batch: ``batch(key, data)`` → what the loss sees in one step (default: all of ``data``).
        metrics: ``metrics(params, data)`` → dict of arrays; "step" and "loss" are taken.
        every: record at step 0, every, 2·every, … and at the end (default: start and end).
        vmap: train E networks at once, whose parameters have a leading axis E: 0 when every leaf of
            ``data`` has that axis too, (0, None) when all see the same data. ``key`` is split.
        has_aux: the loss returns (scalar, dict of arrays), and history has these as well.
        callback: ``callback(state, history)`` after every recording, history a dict of lists;
            training stops when it returns True.
        progress: show a progress bar named ``label`` (never while the book is built).

    Returns: (params, history). ``history["step"]`` has shape (T,), ``history["loss"]`` (T,) or (T,
    E), and every metric its own shape with T in front. Interrupted from the keyboard, both are
    those of the last recording. Raises: ValueError or TypeError for bad arguments;
    FloatingPointError when the loss of every network is NaN or infinite. Chapter: Why is it blurry?
    """
    checks.warn_of_wrong_products()
    steps = checks.count("steps", steps)
    every = steps if every is None else checks.count("every", every)
    # once: numpy arrays would be sent again for every chunk
    data = jax.tree.map(lambda x: jnp.asarray(checks.as_array("data", x)), data)
    state, key, vmap = _started(params, data, optimizer, key, batch, vmap)
    done = int(np.max(host(state.step)))
    checks.must(done <= steps, "steps", f"be at least the {done} of the given state", steps)
    _look_at_values(loss, state.params, data, batch, vmap)
    what = dict(loss=loss, batch=batch, has_aux=has_aux, vmap=vmap)
    how = dict(optimizer=optimizer, steps=every)
    history: dict[str, list] = {}

    def record(state, done):
        found = host(_look(state, data, key, metrics=metrics, **what))
        _check_finite(found["loss"][None], done)
        for name, value in ({"step": np.asarray(done)} | found).items():
            history.setdefault(name, []).append(value)

    quiet = not progress or jax.process_index() > 0 or bool(os.environ.get("FFLIB_STATIC"))
    record(state, done)
    bar = tqdm(total=steps, initial=done, desc=label, unit="step", disable=quiet, leave=False)
    try:
        with bar:
            while not (callback is not None and callback(state, history)) and done < steps:
                most = min(every - done % every, steps - done)
                after, losses = _chunk(state, data, key, most, **what, **how)
                _check_finite(host(losses)[:most], done)
                record(after, done + most)
                state, done = after, done + most
                bar.update(most)
    except KeyboardInterrupt:
        text = f"{label} was interrupted at step {done} of {steps}; returning what it has"
        warnings.warn(text, stacklevel=2)
    return state.params, {name: np.stack(values) for name, values in history.items()}


def _started(params, data, optimizer, key, batch, vmap: Any):
    """Checked arguments: the state to begin with, a key a network, the axes of (state, data)."""
    known = callable(getattr(optimizer, "init", None)) and hasattr(optimizer, "update")
    checks.must(known, "optimizer", "be one of optax", optimizer, TypeError)
    given = batch is None or key is not None
    checks.must(given, "key", "be given with batch, a jax random key", key)
    if key is not None:
        checks.key("key", key)
    right = type(vmap) is not bool and vmap in (None, 0, (0, 0), (0, None))
    checks.must(right, "vmap", "be None, 0, (0, 0) or (0, None)", repr(vmap))
    begin = partial(init, optimizer=optimizer)
    leaves = jax.tree.leaves(params.params if isinstance(params, State) else params)
    checks.must(leaves, "params", "hold what to train", "no arrays")
    for leaf in leaves:
        real = jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
        checks.must(real, "params", "be floating-point", leaf, TypeError)
    if vmap is not None:
        vmap, begin = (0, 0) if vmap == 0 else vmap, jax.vmap(begin)
        members = _members({"params": leaves} | ({"data": data} if vmap[1] == 0 else {}))
        key = None if key is None else jax.random.split(key, members)
    if not isinstance(params, State):
        # weak types of Python numbers would be lost in the first step
        params = begin(jax.tree.map(lambda p: jnp.asarray(p, jnp.result_type(p)), params))
    return params, key, vmap


def _members(parts: dict) -> int:
    """How many networks there are: the leading size of all arrays."""
    sizes = {
        name: sorted({(*np.shape(x), 0)[0] for x in jax.tree.leaves(part)})
        for name, part in parts.items()
    }
    right = sizes["params"] != [0] and all(n == sizes["params"][:1] for n in sizes.values())
    told = " and ".join(f"{found} in {name}" for name, found in sizes.items())
    checks.must(right, "with vmap every array", "have the same leading axis of networks", told)
    return sizes["params"][0]


def _look_at_values(loss, params, data, batch, vmap):
    """Trace the loss on the data themselves, so that checks inside it see values once: a compiled
    program shows them none. Of minibatches only those that are built like the data.
    """
    if vmap in (None, (0, None)) and all(x.is_fully_addressable for x in jax.tree.leaves(data)):
        with contextlib.nullcontext() if batch is None else contextlib.suppress(Exception):
            ask = loss if vmap is None else jax.vmap(loss, in_axes=(0, None))
            jax.eval_shape(lambda params: ask(params, data), params)


def host(tree):
    """Whole arrays as numpy; every process asks. Chapter: How these pages were computed."""

    def bring(x):
        split = isinstance(x, jax.Array) and not (x.is_fully_addressable or x.is_fully_replicated)
        return process_allgather(x, tiled=True) if split else np.asarray(x)

    return jax.tree.map(bring, tree)


def _check_finite(losses, step: int):
    """Stop when the last of these losses, the first that of ``step``, is lost for every network."""
    if not np.isfinite(losses[-1]).any():
        bad = int(np.argmax(~np.isfinite(losses).reshape(len(losses), -1).any(1)))
        smaller, look = "try a learning rate ten times smaller", "look for NaN in data and params"
        advice = smaller if step + bad else look
        raise FloatingPointError(f"the loss is {losses[bad]} at step {step + bad}: {advice}")
