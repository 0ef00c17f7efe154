"""Trainings that survive: :func:`fflib.training.fit` with a file to go on from.

The file knows its run by the tree of parameters, by data, key and names, and by its loss, which
from what was saved must come to what was written. So it outlives a new version of jax and a loss
that was rewritten. Within one version a resumed run ends bit for bit as the undisturbed one.
"""

import glob
import hashlib
import json
import operator
import os
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from fflib import files
from fflib.training import fit, host, init

SAVE_SECONDS = 10.0  # the least time between two checkpoints
OTHER = "go on with what it was made with, or name another file"
AGREE = 1e-4  # how far two versions of jax may lie apart, relatively


def fit_from(
    path: str | os.PathLike, params, loss: Callable, data=None, *, steps: int, optimizer,
    every: int | None = None, key=None, vmap=None, names: Any = (),
    callback: Callable | None = None, **how,
) -> tuple[Any, dict[str, np.ndarray]]:  # fmt: skip
    """:func:`fflib.training.fit`, which goes on from the .npz at ``path`` if there is one.

    It is replaced at one stroke, at recordings, at most every ten seconds, and at the end; ``~`` is
    the home folder. ``names`` are what else tells this run from others, such as the learning rate:
    numbers and texts, in lists or dicts. All else is as for ``fit``, and so is what it returns,
    with the history of all parts of the run. Interrupted from the keyboard it saves and passes the
    interrupt on. A file that cannot be written is a warning. Raises: what ``fit`` raises;
    ValueError for a checkpoint that is damaged or of another run. Chapter: How these pages were
    computed.
    """
    path = Path(path).expanduser()
    begin = partial(init, optimizer=optimizer)
    fresh = jax.eval_shape(begin if vmap is None else jax.vmap(begin), params)
    run = {"params or optimizer": _tree(fresh), "data": _print(data), "key": _print(key)}
    run["names"] = json.loads(json.dumps(names))
    _agreed(True)  # wait for a file that the first process is still writing
    state, earlier = params, {}
    if path.exists():
        state, earlier = _resume(path, fresh, params, run, steps)
    told, saved, stopped = (state, {}), time.monotonic(), False

    def keep(state, history):
        nonlocal told, saved, stopped
        first = history["step"][0]  # if it is no time of recording, it is left out
        skip = bool(earlier and first % (every or steps) and first < steps)
        if earlier and len(history["step"]) == 1:
            _compare(path, earlier, history)
        told = state, {k: earlier.get(k, [])[:-1] + v[skip:] for k, v in history.items()}
        if _agreed(time.monotonic() - saved > SAVE_SECONDS):
            _save(path, *told, run)
            saved = time.monotonic()
        stopped = callback is not None and bool(callback(*told))
        return stopped

    fit(
        state, loss, data, steps=steps, optimizer=optimizer, every=every, key=key, vmap=vmap,
        callback=keep, **how,
    )  # fmt: skip
    state, history = told
    _save(path, state, history, run)
    if history["step"][-1] < steps and not stopped:
        raise KeyboardInterrupt
    return state.params, {name: np.stack(values) for name, values in history.items()}


def _compare(path, earlier, history):
    """Refuse a checkpoint whose metrics or loss are not those of this training."""
    if earlier.keys() != history.keys():
        raise ValueError(
            f"checkpoint {str(path)!r} recorded {sorted(earlier)}, but this training records "
            f"{sorted(history)}; {OTHER}"
        )
    was, now, step = earlier["loss"][-1], history["loss"][0], history["step"][0]
    if not np.allclose(now, was, rtol=AGREE, atol=0, equal_nan=True):
        raise ValueError(
            f"checkpoint {str(path)!r} belongs to another run: its loss at step {step} was {was}, "
            f"but with this loss, batch and data its parameters have {now}; {OTHER}"
        )


def _save(path, state, history, run) -> None:
    """Write a checkpoint; a failure is a warning, and the one before stays."""
    leaves = [_plain(x) for x in jax.tree.leaves(state)]  # takes every process
    arrays = {f"state_{i}": x for i, x in enumerate(leaves)}
    arrays |= {f"history_{name}": np.stack(values) for name, values in history.items()}
    if jax.process_index():
        return
    try:
        for left in path.parent.glob(f"{glob.escape(path.name)}.*.tmp"):  # of a killed run
            left.unlink()
        files.write(path, run, arrays)
    except Exception as error:
        warnings.warn(
            f"could not write checkpoint {str(path)!r} ({error}); training goes on", stacklevel=3
        )


def _resume(path, fresh, params, run, steps) -> tuple[Any, dict[str, list]]:
    """State and history of the file."""
    about, arrays = files.read(path)
    same = {"data": _close, "key": _close}
    changed = [k for k, now in run.items() if not same.get(k, operator.eq)(now, about.get(k))]
    if changed:
        raise ValueError(
            f"checkpoint {str(path)!r} belongs to another run: it was made with another "
            f"{' and another '.join(changed)}; {OTHER}"
        )
    leaves, tree = jax.tree.flatten(fresh)
    state = tree.unflatten(_like(arrays[f"state_{i}"], x) for i, x in enumerate(leaves))
    state = state._replace(params=jax.tree.map(_placed, state.params, params))
    if (done := int(np.max(state.step))) > steps:
        raise ValueError(f"checkpoint {str(path)!r} is at step {done}, past steps={steps}")
    history = {name[8:]: list(x) for name, x in arrays.items() if name.startswith("history_")}
    return state, history


def _plain(x) -> np.ndarray:
    """Numbers of an array, those behind a random key too."""
    keyed = isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return host(jax.random.key_data(x) if keyed else x)


def _placed(x, like):
    """x where ``like`` was put on purpose."""
    return jax.device_put(x, like.sharding) if getattr(like, "committed", False) else x


def _like(stored, x):
    """A stored array of the kind that ``x`` describes."""
    if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jnp.asarray(stored)
    kind = jax.random.key_impl(jnp.empty(x.shape, x.dtype))
    return jax.random.wrap_key_data(stored, impl=kind)


def _tree(state) -> list:
    """Names of the parameters; shapes and types of these and of the rest."""
    named = jax.tree_util.tree_leaves_with_path(state.params)
    kinds = [[list(x.shape), str(x.dtype)] for x in jax.tree.leaves(state)]
    return [[jax.tree_util.keystr(path) for path, _ in named], kinds]


def _print(tree) -> dict[str, list[float]]:
    """name and shape → number and norm of each array: for floats a sum with signs, which rounding
    moves by less than AGREE norms, and another value by more; for all others a digest, and norm 0.
    """
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        x = _plain(leaf)
        if jnp.issubdtype(x.dtype, jnp.floating):
            flat = np.nan_to_num(x.ravel().astype(float))
            signs = 1 - 2.0 * ((np.arange(x.size) * 2654435761 >> 16) & 1)
            number, norm = float(signs @ flat), float(np.linalg.norm(flat))
        else:
            digest = hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest()
            number, norm = float(int(digest[:13], 16)), 0.0
        found[f"{jax.tree_util.keystr(path)} {x.shape}"] = [number, norm]
    return found


def _close(now: dict, was: dict | None) -> bool:
    """Whether two prints agree but for rounding."""
    if was is None or was.keys() != now.keys():
        return False
    return all(abs(now[k][0] - was[k][0]) <= AGREE * now[k][1] for k in now)


def _agreed(answer: bool) -> bool:
    """What the first process answers, for each has its own view of time."""
    return bool(multihost_utils.broadcast_one_to_all(np.array(answer)))
