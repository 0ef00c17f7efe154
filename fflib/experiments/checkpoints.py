"""Checkpoints: one .npz, replaced at one stroke, so that a crash leaves the old one or the new one.

A checkpoint names the run it belongs to by digests of what the run starts from and of its compiled
program, so that it is not continued with another learning rate, loss or data.
"""

from __future__ import annotations

import glob
import hashlib
import warnings
import zipfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fflib.worlds.files import replacing

# what zipfile and numpy raise on files that are no checkpoint any more
DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    zipfile.BadZipFile,
)


def digest(tree) -> str:
    """SHA-256 of the arrays of a pytree, or of a text. Chapter: none; used by :mod:`fflib.training`."""
    found = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if isinstance(leaf, str):
            leaf = np.frombuffer(leaf.encode(), np.uint8)
        elif isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        array = np.ascontiguousarray(leaf)
        found.update(f"{path} {array.dtype} {array.shape}".encode() + array.tobytes())
    return found.hexdigest()


def save(path: Path, state, history: list[dict], run: dict[str, str]) -> None:
    """Write a checkpoint: the leaves of ``state``, the history, and the digests ``run`` of its run.

    When it cannot be written there is a warning, and the one before stays.

    Chapter: none; used by :mod:`fflib.training`.
    """
    arrays = {f"state_{i}": np.asarray(x) for i, x in enumerate(jax.tree.leaves(state))}
    for name in history[0] if history else ():
        arrays[f"history_{name}"] = np.stack([entry[name] for entry in history])
    arrays |= {f"run_{name}": np.array(digest) for name, digest in run.items()}
    try:
        for left in path.parent.glob(
            f"{glob.escape(path.name)}.*.tmp"
        ):  # of a run that was killed while writing
            left.unlink()
        with replacing(path) as file:
            np.savez(file, whole=np.array(digest(arrays)), **arrays)
    except OSError as error:
        warnings.warn(
            f"could not write checkpoint {str(path)!r} ({error}); training goes on", stacklevel=3
        )


def resume(path: Path, state, run: dict[str, str]) -> tuple[Any, list[dict]]:
    """The state and history to go on from: those of the file, or ``state`` when there is none.

    Raises: ValueError for a damaged file, or one of another run.

    Chapter: none; used by :mod:`fflib.training`.
    """
    if not path.exists():
        return state, []
    leaves, treedef = jax.tree.flatten(state)
    try:
        with path.open("rb") as raw:
            if not zipfile.is_zipfile(raw):
                raise ValueError("it is no whole .npz file")
            raw.seek(0)
            with np.load(raw) as file:
                arrays = dict(file)
        if str(arrays.pop("whole", "")) != digest(arrays):
            raise ValueError("its contents have been changed")
    except DAMAGE as error:
        raise ValueError(
            f"checkpoint {str(path)!r} cannot be read ({error}); delete it to start afresh"
        ) from error
    stored = [arrays.get(f"state_{i}") for i in range(len(leaves))]
    extra = f"state_{len(leaves)}" in arrays
    if extra or any(
        s is None or s.shape != np.shape(x) for s, x in zip(stored, leaves, strict=True)
    ):
        raise ValueError(
            f"checkpoint {str(path)!r} belongs to another run: its arrays do not have the shapes of "
            f"these params and this optimizer; delete it to start afresh"
        )
    changed = [name for name, digest in run.items() if str(arrays.get(f"run_{name}", "")) != digest]
    if changed:
        raise ValueError(
            f"checkpoint {str(path)!r} belongs to another run: it was made with another "
            f"{' and another '.join(changed)}; delete it to start afresh"
        )
    restored = jax.tree.unflatten(
        treedef, [jnp.asarray(s, x.dtype) for s, x in zip(stored, leaves, strict=True)]
    )
    names = [k.removeprefix("history_") for k in arrays if k.startswith("history_")]
    length = len(arrays["history_step"]) if names else 0
    return restored, [{k: arrays[f"history_{k}"][i] for k in names} for i in range(length)]
