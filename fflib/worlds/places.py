"""Places in any unit, degrees, metres or pixels, as coordinates of the unit cube and back."""

from typing import NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks


class Frame(NamedTuple):
    """Places as coordinates of [0, 1]^d by one factor, v = (x − low) / size, and back.

    The same factor on every axis: a step in one direction stays as long as in another. A mapping of
    ``scale`` cycles per unit of v has scale / size cycles per unit of x. :meth:`of` makes it.

    Attributes:
        low: (d,), what becomes 0.
        size: the length that becomes 1.

    Chapter: With your own data.
    """

    low: np.ndarray
    size: float

    @classmethod
    def of(cls, places, size: float | None = None) -> Self:
        """The frame of places (..., d), whole numbers too: their lowest on each axis becomes 0.

        ``size`` is what becomes 1, e.g. 360 for degrees of longitude with ``periodic=`` of a
        mapping (default: the largest extent of all axes). Raises: ValueError when the places are
        all one, not finite, or without an axis of coordinates.
        """
        places = _places("places", places)
        flat = places.reshape(-1, places.shape[-1])
        extent = np.ptp(flat, axis=0).max()
        if size is None:
            checks.must(extent, "places", "not all be one", f"{len(flat)} times {flat[0]}")
        return cls(flat.min(0), float(checks.positive("size", extent if size is None else size)))

    def into(self, x) -> jax.Array:
        """Places (..., d) as coordinates; subtracted in float64, where float32 would round."""
        return jnp.asarray((_places("x", x, len(self.low)) - self.low) / self.size, float)

    def back(self, v) -> np.ndarray:
        """Coordinates (..., d) as places, float64."""
        return self.low + self.size * _places("v", v, len(self.low))


def _places(name: str, value, d: int | None = None) -> np.ndarray:
    array = np.asarray(checks.as_array(name, value))
    checks.must(array.dtype.kind in "fiu", name, "hold real numbers", array, TypeError)
    array = checks.finite(name, array.astype(np.float64))
    hint = f"; for places on a line give {name}[:, None]" if array.ndim == 1 else ""
    right = array.ndim > 1 and array.size and d in (None, array.shape[-1])
    checks.must(right, name, f"have shape (..., {d or 'd'})", f"{array.shape}{hint}")
    return array
