"""A trained network on disk, and files that are there whole or not at all."""

import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks
from fflib.features import Identity, Mapping
from fflib.network import MLP


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)  # arrays have no truth value to compare by
class Trained:
    """A mapping, a network and its parameters as one function of coordinates, v ↦ network(γ(v)).

    A JAX pytree. Chapter: I have coordinates and values. What do I do?
    """

    gamma: Mapping | Identity
    model: MLP = dataclasses.field(metadata={"static": True})
    params: Any

    def __call__(self, v) -> jax.Array:
        return self.model(self.params, self.gamma(v))


def predict(f, v, chunk: int = 2**16) -> np.ndarray:
    """f at points v (..., d), ``chunk`` at a time, so that only so many are on the device at once.

    ``f`` takes (n, d) to (n, …): a :class:`Trained`, or any function. Returns: (..., …), in the
    memory of the host. Raises: ValueError when v has no axis of coordinates or chunk is below 1.
    Chapter: I have coordinates and values. What do I do?
    """
    v, chunk = np.asarray(v), checks.count("chunk", chunk)
    checks.must(v.ndim and v.size, "v", "have shape (..., d) and hold points", f"shape {v.shape}")
    points = v.reshape(-1, v.shape[-1])
    chunk = min(chunk, len(points))
    full = np.resize(points, (-(-len(points) // chunk), chunk, v.shape[-1]))  # one program for all
    ask = partial(_ask, f) if isinstance(f, Trained) else f
    found = np.concatenate([np.asarray(ask(part)) for part in full])[: len(points)]
    return found.reshape(*v.shape[:-1], *found.shape[1:])


_ask = jax.jit(lambda f, v: f(v))


def save(path: str | os.PathLike, f: Trained) -> None:
    """Write a trained network to an .npz file of arrays and a JSON text, no code, for :func:`load`.

    Raises: TypeError for anything but a :class:`Trained` of this module's mappings and network;
    OSError when the file cannot be written. Chapter: I have coordinates and values. What do I do?
    """
    known = isinstance(f, Trained) and isinstance(f.model, MLP)
    known = known and isinstance(f.gamma, (Mapping, Identity))
    checks.must(known, "f", "be a Trained of a Mapping or Identity and an MLP", f, TypeError)
    arrays = {f"W{i}": W for i, (W, _) in enumerate(f.params)}
    arrays |= {f"b{i}": b for i, (_, b) in enumerate(f.params)}
    about = {"format": 1, "model": dataclasses.asdict(f.model)}
    if isinstance(f.gamma, Mapping):
        arrays |= {"a": f.gamma.a, "B": f.gamma.B}
    else:
        about["identity"] = dataclasses.asdict(f.gamma)
    write(path, about, arrays)


def load(path: str | os.PathLike) -> Trained:
    """The trained network of a file that :func:`save` wrote.

    Raises: FileNotFoundError; ValueError for a damaged file or one of another kind. Chapter: I have
    coordinates and values. What do I do?
    """
    about, arrays = read(path)
    try:
        if about["format"] != 1:
            raise ValueError(f"{str(path)!r} is of format {about['format']}; this fflib knows 1")
        arrays, model = jax.tree.map(jnp.asarray, arrays), MLP(**about["model"])
        params = [(arrays[f"W{i}"], arrays[f"b{i}"]) for i in range(model.depth)]
        kept = about.get("identity")
        gamma = Identity(**kept) if kept else Mapping(arrays["a"], arrays["B"])
    except KeyError as error:
        raise ValueError(f"{str(path)!r} holds no trained network: there is no {error}") from error
    return Trained(gamma, model, params)


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """A binary file that takes the place of ``path`` when the block ends without an error.

    The bytes are on the disk before the name points to them, so a crash or a full disk leaves what
    was there before. ``~`` is the home folder; a missing folder is made. Chapter: none; used by
    records and checkpoints.
    """
    path = Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)  # closed first: Windows renames no open file
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write(path: str | os.PathLike, about: dict, arrays: dict[str, Any]) -> None:
    """An .npz of arrays and, as JSON, what they are; no pickle. Raises: OSError.

    Chapter: none; used by :func:`save` and checkpoints.
    """
    arrays = {name: np.asarray(x) for name, x in arrays.items()}
    # numpy keeps a bfloat16 as two bytes without a name
    narrow = {name: x.dtype.name for name, x in arrays.items() if x.dtype.kind == "V"}
    with replacing(path) as file:
        np.savez(file, about=np.array(json.dumps(about | {"narrow": narrow})), **arrays)


def read(path: str | os.PathLike) -> tuple[dict, dict[str, np.ndarray]]:
    """What :func:`write` wrote. Raises: ValueError that names a file which is none of its kind.

    Chapter: none; used by :func:`load` and checkpoints.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a folder; give the name of a file in it")
    with path.open("rb") as raw:
        try:
            arrays = dict(np.load(raw))
            about = json.loads(str(arrays.pop("about")))
            for name, dtype in about["narrow"].items():
                arrays[name] = arrays[name].view(jnp.dtype(dtype))
        except Exception as error:  # zipfile, numpy and json raise a dozen kinds
            wrong = "cannot be read: it is damaged or of another kind; delete it or name another"
            raise ValueError(f"{str(path)!r} {wrong}") from error
    return about, arrays
