"""What is put into the scanner: the MNI152 brain, an average of 152 heads.

It is smoother than any one head. A small version is built in (see fflib/worlds/assets/NOTICE.md),
the full one is fetched by its public address and read by nibabel (extra ``volumes``).
"""

import gzip
import hashlib
import os
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks
from fflib.worlds.fetch import FetchError, fetch
from fflib.worlds.items import Items, reading, shipped
from fflib.worlds.pictures import fractions

FULL = "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"


def volume(n: int, source=None) -> jax.Array:
    """The MNI152 brain at n³ voxels, each axis stretched to the same length, values in [0, 1].

    Axes: left to right, back to front, bottom to top. Up to 48³ is built in; finer volumes are made
    from ``source``, for example ``read_nifti(fetch(...))``. Raises: ValueError when n > 48 without
    it, or it is no volume of what ``pictures.fractions`` takes. Chapter: Magnetic resonance.
    """
    n = checks.count("n", n)
    asked = "be at most 48 without source=read_nifti(…) of the full volume"
    checks.must(n <= 48 or source is not None, "n", asked, n)
    return _resized(_built_in("volume") if source is None else source, n, n, n)


def read_nifti(path: str | os.PathLike) -> np.ndarray:
    """A volume from a NIfTI file, 1 or 2, also gzipped, whatever its name: (n₁, n₂, n₃) as stored.

    Numbers are of the file's type; where the file scales them they are scaled, in float64. Raises:
    ValueError naming the file when it is damaged, one of a pair, anything but one volume, or begins
    within its header; FileNotFoundError; ImportError without nibabel. Chapter: Magnetic resonance.
    """
    nibabel = checks.extra("nibabel", "volumes")
    with reading("NIfTI file", path) as where:
        raw = where.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        begins = {int.from_bytes(raw[:4], order) for order in ("little", "big")}
        if not begins & {348, 540}:
            raise ValueError("it does not begin with the size of a NIfTI header, 348 or 540")
        file = (nibabel.Nifti2Image if 540 in begins else nibabel.Nifti1Image).from_bytes(raw)
        if file.dataobj.offset < file.header.single_vox_offset:
            raise ValueError(f"its voxels begin at byte {file.dataobj.offset}, within the header")
        stored = np.asanyarray(file.dataobj)
    shape = (*stored.shape, 1, 1)
    right = stored.ndim > 2 and stored.size == np.prod(shape[:3]) > 0 and not stored.dtype.names
    asked = "hold one volume of 3 axes, one number a voxel"
    checks.must(right, f"NIfTI file {str(path)!r}", asked, checks.describe(stored))
    return stored.reshape(shape[:3]).astype(stored.dtype.newbyteorder("="))


def slices(count: int, n: int) -> Items:
    """``count`` slices across the MNI152 brain, (count, n, n); the paper has slices of one subject.

    From front to back, stretched to a square as in the paper, the largest value of each 1. Finer or
    more ones than four of 128², which are built in, need the full volume; where it cannot be had, a
    warning says so. Raises: ValueError for numbers below 1. Chapter: Computed tomography.
    """
    count, n = checks.count("count", count), checks.count("n", n)
    source = None if count <= 4 and n <= 128 else full()
    if source is None:
        n, places = min(n, 128), range(min(count, 4))
        cuts = _built_in("slices")[: len(places)]
    else:
        places = np.linspace(0.2, 0.8, count).round(3).tolist()
        # top of the head up
        cuts = [source[int(place * len(source))].T[::-1] for place in places]
    found = [np.asarray(_resized(cut, n, n)) for cut in cuts]
    array = jnp.stack([cut / cut.max() for cut in found])
    origin = "slices of the MNI152 average of 152 heads, in place of ATLAS"
    return Items(tuple(f"slice{k}" for k in places), array, _sha256(source), origin)


def volumes(n: int) -> Items:
    """The MNI152 brain, (1, n, n, n); the paper has six subjects. Above 48³ as in :func:`slices`.
    Chapter: Magnetic resonance.
    """
    source = None if n <= 48 else full()
    array = volume(n if source is not None else min(n, 48), source)[None]
    origin = "the MNI152 average of 152 heads, in place of ATLAS"
    return Items(("mni152",), array, _sha256(source), origin)


def full() -> np.ndarray | None:
    """The full volume, (197, 233, 189) bytes; None, with a warning, where it cannot be had.
    Chapter: Magnetic resonance.
    """
    try:
        return read_nifti(fetch(FULL))
    except (FetchError, ImportError) as error:
        warnings.warn(f"{error}. The small built-in brain is used instead", stacklevel=3)
        return None


def _sha256(source: np.ndarray | None) -> str:
    return "" if source is None else hashlib.sha256(source.tobytes()).hexdigest()


def _built_in(what: str) -> np.ndarray:
    with np.load(shipped("mni152.npz")) as file:
        return file[what]


def _resized(source, *shape: int) -> jax.Array:
    array = checks.shaped("source", fractions("source", source), ("x", "y", "z")[-len(shape) :])
    return jnp.clip(jax.image.resize(jnp.asarray(array), shape, "linear"), 0.0, 1.0)
