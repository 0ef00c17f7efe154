"""What is put into the scanner: the MNI152 brain, an average of 152 heads.

It is smoother than any one head. A small version is built in (fflib/worlds/assets/NOTICE.md says whose it
is), the full one is fetched by its public address.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import struct
import warnings
import zlib
from importlib import resources
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks
from fflib.worlds.fetch import FetchError, fetch
from fflib.worlds.phantoms import Scans

BUILT_IN = "mni152.npz"
FULL = "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"


def volume(n: int, source=None) -> jax.Array:
    """The MNI152 brain at n³ voxels, each axis stretched to the same length, values in [0, 1].

    Axes: left to right, back to front, bottom to top. Up to 48³ is built in; finer volumes are made
    from ``source``, the full one (197, 233, 189), for example ``read_nifti(fetch(...))``.

    Raises: ValueError when n > 48 and there is no source, or source is no volume or has NaN.

    Chapter: Magnetic resonance.
    """
    n = checks.count("n", n)
    whole = _built_in("volume", n) if source is None else _unit("source", source)
    return _resize(whole, (n, n, n))


def plane(n: int, which: int | float = 0, source=None) -> jax.Array:
    """A slice of the MNI152 brain from front to back, (n, n), its largest value 1.

    As the paper does it, the slice is stretched to a square.

    Args:
        n: pixels along a side.
        which: one of the four built-in slices, 0 … 3; with a source its place across the head, in (0, 1).
        source: the full volume (default: built-in slices of 128²).

    Raises: ValueError when n > 128 and there is no source, or for a place outside the volume.

    Chapter: Computed tomography.
    """
    n = checks.count("n", n)
    if source is None:
        shown = _built_in("slices", n)
        if which not in range(len(shown)):
            raise ValueError(f"which must be one of 0 … {len(shown) - 1}, but got {which!r}")
        cut = shown[which]
    else:
        source = _unit("source", source)
        if not 0 < checks.positive("which", which) < 1:
            raise ValueError(
                f"which must lie in (0, 1), a place across the head, but got {which!r}"
            )
        cut = source[int(which * len(source))].T[::-1]  # top of the head up
    cut = _resize(cut, (n, n))
    if float(cut.max()) == 0:
        raise ValueError(f"the slice at {which!r} is empty: it does not meet the head")
    return cut / cut.max()


def read_nifti(path: str | os.PathLike) -> np.ndarray:
    """A volume of bytes from a NIfTI-1 file, ``.nii`` or ``.nii.gz``: uint8, axes as stored.

    Only what the book needs: one volume of three axes, 8 bits a voxel, no scaling.

    Raises: ValueError that says what the file has instead; FileNotFoundError.

    Chapter: Magnetic resonance.
    """
    raw, name = Path(path).read_bytes(), f"NIfTI file {str(path)!r}"
    try:
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{name} cannot be unpacked ({error}): is the download complete?"
        ) from error
    if len(raw) < 348 or raw[344:348] != b"n+1\0":
        raise ValueError(
            f"{name} is no single-file NIfTI-1: it has {len(raw)} bytes and no mark n+1 at byte 344"
        )
    order = "<" if struct.unpack("<i", raw[:4])[0] == 348 else ">"
    axes, *shape = struct.unpack(f"{order}8h", raw[40:56])
    kind, bits = struct.unpack(f"{order}2h", raw[70:74])
    offset, slope, shift = struct.unpack(f"{order}3f", raw[108:120])
    if (kind, bits) != (2, 8) or slope not in (0.0, 1.0) or shift != 0.0:
        raise ValueError(
            f"{name} must hold bytes (datatype 2) as they are, but has datatype {kind} of {bits} bits, "
            f"scaled by {slope:g} and shifted by {shift:g}"
        )
    shape, rest = tuple(shape[:3]), shape[3:axes]
    if axes < 3 or min(shape) < 1 or any(k > 1 for k in rest):
        raise ValueError(
            f"{name} must hold one volume of 3 axes, but has {axes} axes of sizes {(*shape, *rest)}"
        )
    found, wanted = len(raw) - int(offset), int(np.prod(shape))
    if found < wanted:
        raise ValueError(
            f"{name} ends early: {found} bytes of voxels, expected {wanted} for shape {shape}"
        )
    return np.frombuffer(raw, np.uint8, wanted, int(offset)).reshape(shape, order="F")


def slices(count: int, n: int) -> Scans:
    """``count`` slices across the MNI152 brain, (count, n, n); the paper has slices of one subject.

    Up to four of 128² are built in. Finer or more ones need the full volume, which is fetched;
    where it cannot be had, a warning says so and the built-in ones are used.

    Chapter: Computed tomography.
    """
    source = None if count <= 4 and n <= 128 else full()
    if source is None:
        n, places = min(n, 128), range(min(count, 4))
    else:
        places = np.linspace(0.2, 0.8, count).round(3).tolist()
    array = jnp.stack([plane(n, place, source) for place in places])
    names = [f"slice{place}" for place in places]
    return Scans(
        names,
        array,
        _sha256(source),
        "slices of the MNI152 average of 152 heads, in place of ATLAS",
    )


def volumes(n: int) -> Scans:
    """The MNI152 brain, (1, n, n, n); the paper has six subjects. Above 48³ as in :func:`slices`.

    Chapter: Magnetic resonance.
    """
    source = None if n <= 48 else full()
    array = volume(n if source is not None else min(n, 48), source)[None]
    return Scans(
        ["mni152"], array, _sha256(source), "the MNI152 average of 152 heads, in place of ATLAS"
    )


def full() -> np.ndarray | None:
    """The full volume, (197, 233, 189) bytes; None, with a warning, where it cannot be had.

    Chapter: Magnetic resonance.
    """
    try:
        return read_nifti(fetch(FULL))
    except FetchError as error:
        warnings.warn(f"{error}. The small built-in brain is used instead", stacklevel=3)
        return None


def _sha256(source: np.ndarray | None) -> str:
    return "" if source is None else hashlib.sha256(source.tobytes()).hexdigest()


def _built_in(what: str, n: int) -> jax.Array:
    with np.load(
        io.BytesIO(resources.files("fflib.worlds").joinpath(f"assets/{BUILT_IN}").read_bytes())
    ) as file:
        array = _unit(what, file[what])
    if n > array.shape[-1]:
        raise ValueError(
            f"n is {n}, but the built-in brain has {array.shape[-1]} points a side; give source=read_nifti(…) of "
            f"the full volume"
        )
    return array


def _unit(name: str, value) -> jax.Array:
    """Values in [0, 1]: bytes are divided by 255."""
    array = checks.real_array(name, value, integers=True)
    if array.ndim != 3:
        raise ValueError(f"{name} must have 3 axes, but got shape {array.shape}")
    array = array / 255 if np.issubdtype(np.asarray(value).dtype, np.integer) else array
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        raise ValueError(
            f"{name} must have values in [0, 1], but they run from {low:.3g} to {high:.3g}"
        )
    return array


def _resize(array: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jnp.clip(jax.image.resize(array, shape, "linear"), 0.0, 1.0)
