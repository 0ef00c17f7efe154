"""Several devices, one program: who holds what in :func:`fflib.training.fit`.

Nothing here changes what is computed. JAX compiles a program as if for one large device and divides
the work by where the arrays lie; these functions only say where that is. With ``jax.distributed``
the devices may belong to several processes, each of which runs the same lines.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fflib import checks


def among(n: int) -> tuple[jax.Device, ...] | None:
    """As many devices as can share n members or points evenly; None when that is one.

    Several processes have to stay together: all their devices, whatever n is.

    Chapter: How these pages were computed.
    """
    devices = jax.devices()
    if jax.process_count() == 1:
        devices = devices[
            : max(k for k in range(1, len(devices) + 1) if checks.count("n", n) % k == 0)
        ]
    return tuple(devices) if len(devices) > 1 else None


@dataclasses.dataclass(frozen=True)
class Layout:
    """A training shared out among devices: the members of its ensemble, or else its points.

    What belongs to points (or members) has their number as its length along one axis. In a pytree
    this is the length that most of the numbers share; arrays of other lengths (a mapping, a mask) are
    copied to every device. Hashable, so that it can be a static argument of a compiled program.

    Attributes:
        devices: that share the work; none leaves every array where it is.
        members: whether the leading axis of an ensemble is split.

    Chapter: How these pages were computed.
    """

    devices: tuple[jax.Device, ...] = ()
    members: bool = False

    @classmethod
    def of(cls, devices: Sequence[jax.Device] | None, members: int | None) -> Layout:
        """The members (None without an ensemble) are split if that comes out even, else the points.

        Raises: TypeError or ValueError when ``devices`` is not a sequence of different devices.
        """
        if devices is None:
            return cls()
        if not isinstance(devices, (list, tuple)) or not all(
            isinstance(d, jax.Device) for d in devices
        ):
            raise TypeError(
                f"devices must be a list of jax devices, as jax.devices() gives, but got {devices!r}"
            )
        if not devices or len(set(devices)) < len(devices):
            raise ValueError(f"devices must be one or more, each once, but got {list(devices)}")
        return cls(tuple(devices), members is not None and members % len(devices) == 0)

    def _shardings(self, tree, axis: int | None):
        length = lambda leaf: (
            np.shape(leaf)[axis] if axis is not None and np.ndim(leaf) > axis else None
        )
        numbers = Counter()
        for leaf in jax.tree.leaves(tree):
            numbers[length(leaf)] += np.size(leaf)
        numbers.pop(None, None)
        n = max(numbers, key=numbers.get, default=0)
        if n % len(self.devices):
            raise ValueError(
                f"devices must share the points evenly, but {n} points do not divide among "
                f"{len(self.devices)} devices; use another number of points or fewer devices"
            )
        mesh = Mesh(np.array(self.devices), ("devices",))
        split = PartitionSpec(*[None] * (axis or 0), "devices")
        return jax.tree.map(
            lambda leaf: NamedSharding(mesh, split if length(leaf) == n else PartitionSpec()), tree
        )

    def put(self, tree, axis: int | None = None):
        """Lay arrays out on the devices, split along ``axis`` (None: all of them copied).

        Raises: ValueError when the split does not come out even.
        """
        return jax.tree.map(_put, tree, self._shardings(tree, axis)) if self.devices else tree

    def keep(self, tree, axis: int | None = None):
        """The same inside a compiled program."""
        return (
            jax.lax.with_sharding_constraint(tree, self._shardings(tree, axis))
            if self.devices
            else tree
        )

    def home(self, tree):
        """Bring arrays together again: all of each, on the default device of every process."""
        return jax.tree.map(jax.numpy.asarray, whole(tree)) if self.devices else tree

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes files and shows progress."""
        return not self.devices or jax.process_index() == self.devices[0].process_index


def _put(leaf, sharding: NamedSharding) -> jax.Array:
    """One array on all its devices; of those of other processes each process fills its own."""
    if sharding.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        numbers = _put(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(numbers, impl=jax.random.key_impl(leaf))
    leaf = np.asarray(leaf)
    return jax.make_array_from_callback(leaf.shape, sharding, leaf.__getitem__)


def whole(tree):
    """All of each array, as numpy arrays. Arrays split among processes need every process to ask.

    Chapter: How these pages were computed.
    """

    def gather(leaf):
        if isinstance(leaf, jax.Array) and not (
            leaf.is_fully_addressable or leaf.is_fully_replicated
        ):
            from jax.experimental import multihost_utils

            return multihost_utils.process_allgather(leaf, tiled=True)
        return np.asarray(leaf)

    return jax.tree.map(gather, tree)


def agreed(layout: Layout, answer: bool) -> bool:
    """What the leading process answers, for questions such as the time of which each has its own view.

    Chapter: How these pages were computed.
    """
    if len({device.process_index for device in layout.devices}) < 2:
        return answer
    from jax.experimental import multihost_utils

    return bool(multihost_utils.broadcast_one_to_all(np.array(answer), is_source=layout.leads))
