r"""What is put into the scanner: heads made of ellipses, and an average brain.

The Shepp–Logan head is a sum of ellipses of constant grey (Shepp and Logan 1974; contrasts of Toft
1996, ellipsoids of Koay et al. 2007). Its line integrals are known in closed form, which makes it
the yardstick of every scanner. The brain is the MNI152 average of 152 heads (see
fflib/assets/NOTICE.md): smoother than any one of them.
"""

from __future__ import annotations

import gzip
import io
import os
import struct
import zlib
from importlib import resources
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks

# grey added, half-axis along x, along y, centre x, y, angle of the first half-axis to x
ELLIPSES = np.array(
    [
        [1.0, 0.69, 0.92, 0.0, 0.0, 0.0],
        [-0.8, 0.6624, 0.874, 0.0, -0.0184, 0.0],
        [-0.2, 0.11, 0.31, 0.22, 0.0, -0.1 * np.pi],
        [-0.2, 0.16, 0.41, -0.22, 0.0, 0.1 * np.pi],
        [0.1, 0.21, 0.25, 0.0, 0.35, 0.0],
        [0.1, 0.046, 0.046, 0.0, 0.1, 0.0],
        [0.1, 0.046, 0.046, 0.0, -0.1, 0.0],
        [0.1, 0.046, 0.023, -0.08, -0.605, 0.0],
        [0.1, 0.023, 0.023, 0.0, -0.605, 0.0],
        [0.1, 0.023, 0.046, 0.06, -0.605, 0.0],
    ]
)
# grey added, half-axes along x, y, z, centre x, y, z, angle about the z axis
ELLIPSOIDS = np.array(
    [
        [1.0, 0.69, 0.92, 0.9, 0.0, 0.0, 0.0, 0.0],
        [-0.8, 0.6624, 0.874, 0.88, 0.0, 0.0, 0.0, 0.0],
        [-0.2, 0.41, 0.16, 0.21, -0.22, 0.0, -0.25, 0.6 * np.pi],
        [-0.2, 0.31, 0.11, 0.22, 0.22, 0.0, -0.25, 0.4 * np.pi],
        [0.1, 0.21, 0.25, 0.5, 0.0, 0.35, -0.25, 0.0],
        [0.1, 0.046, 0.046, 0.046, 0.0, 0.1, -0.25, 0.0],
        [0.1, 0.046, 0.023, 0.02, -0.08, -0.65, -0.25, 0.0],
        [0.1, 0.046, 0.023, 0.02, 0.06, -0.65, -0.25, 0.5 * np.pi],
        [0.1, 0.056, 0.04, 0.1, 0.06, -0.105, 0.625, 0.5 * np.pi],
        [0.1, 0.056, 0.056, 0.1, 0.0, 0.1, 0.625, 0.0],
    ]
)
BUILT_IN = "mni152.npz"


def perturbed(key: jax.Array, parameters=ELLIPSES, scale: float = 1 / 20) -> jax.Array:
    """Another head: scale·N(0, 1) added to every parameter, angles in radians among them.

    The paper's phantoms, with its scale of 1/20.

    Chapter: Computed tomography.
    """
    parameters = checks.real_array("parameters", parameters)
    return parameters + checks.positive("scale", scale, zero=True) * jax.random.normal(key, parameters.shape)


def shepp_logan(n: int, parameters=ELLIPSES, oversample: int = 1) -> jax.Array:
    """The Shepp–Logan head at the points of ``data.grid(n, d)``, clipped to [0, 1].

    In the head's coordinates the square is [−1, 1]²: x runs along the last array axis, y up the one
    before it, and in 3-D z along the first. Edges are hard, as in the paper; ``oversample=k``
    averages kᵈ points around each point of the grid.

    Args:
        n: points along a side.
        parameters: (·, 6) ellipses, see ``ELLIPSES``, or (·, 8) ellipsoids, see ``ELLIPSOIDS``.
        oversample: points along each side of a pixel.

    Returns: (n, n) or (n, n, n), float32.

    Raises: ValueError for sizes below 1 or another number of parameters.

    Chapter: Computed tomography; in 3-D: Magnetic resonance.
    """
    n, k = checks.count("n", n), checks.count("oversample", oversample)
    parameters = np.asarray(checks.real_array("parameters", parameters), np.float64)
    if parameters.ndim != 2 or parameters.shape[1] not in (6, 8):
        raise ValueError(
            f"parameters must have 6 (ellipses) or 8 (ellipsoids) columns, but got shape {parameters.shape}"
        )
    d = parameters.shape[1] // 2 - 1
    points = (2 * np.arange(n * k) + 1 - k) / (n * k) - 1  # k = 1: −1, −1 + 2/n, …, 1 − 2/n
    x, y, z = points, -points[:, None], points[:, None, None]
    grey = np.zeros((n * k,) * d, np.float32)
    for row in parameters:
        axes, centre, c, s = row[1 : d + 1], row[d + 1 : -1], np.cos(row[-1]), np.sin(row[-1])
        along = ((x - centre[0]) * c + (y - centre[1]) * s) / axes[0]
        across = ((x - centre[0]) * s - (y - centre[1]) * c) / axes[1]
        distance = along**2 + across**2
        if d == 3:
            distance = distance + ((z - centre[2]) / axes[2]) ** 2
        grey += np.float32(row[0]) * (distance <= 1)
    grey = np.clip(grey, 0.0, 1.0)
    return jnp.asarray(grey.reshape((n, k) * d).mean(axis=tuple(range(1, 2 * d, 2))))


def ellipse_sinogram(n: int, angles, parameters=ELLIPSES) -> np.ndarray:
    """Exact line integrals of a sum of ellipses: what ``operators.project`` approximates.

    An ellipse of grey ρ with half-axes a, b, seen under θ at distance s from its centre, adds
    2ρab √(w² − s²)/w² with w² = a² cos²φ + b² sin²φ, φ the angle from its first axis to the
    detector's. The side of the square is the unit of length. Nothing is clipped to [0, 1].

    Args:
        n: detectors, at s = j/n − ½.
        angles: (k,) radians.
        parameters: (·, 6), see ``ELLIPSES``.

    Returns: (k, n), float64.

    Chapter: Computed tomography.
    """
    n = checks.count("n", n)
    theta = -np.asarray(checks.real_array("angles", angles, integers=True), float)[:, None]  # y is up
    s = 2 * np.arange(n) / n - 1
    total = np.zeros((len(theta), n))
    for grey, a, b, x, y, phi in np.asarray(parameters, float):
        w2 = (a * np.cos(theta - phi)) ** 2 + (b * np.sin(theta - phi)) ** 2
        distance = s - x * np.cos(theta) - y * np.sin(theta)
        total += grey * abs(a * b) * np.sqrt(np.maximum(w2 - distance**2, 0)) / w2
    return total  # 2ρab √…/w² in units of half a side


# --------------------------------------------------------------------------------------------------
# The brain


def brain_volume(n: int, source=None) -> jax.Array:
    """The MNI152 brain at n³ voxels, each axis stretched to the same length, values in [0, 1].

    Axes: left to right, back to front, bottom to top. Up to 48³ is built in; finer volumes are made
    from ``source``, the full one (197, 233, 189), for example ``read_nifti(fetch(...))``.

    Raises: ValueError when n > 48 and there is no source, or source is no volume or has NaN.

    Chapter: Magnetic resonance.
    """
    n = checks.count("n", n)
    volume = _unit("source", source, 3) if source is not None else _built_in("volume", n)
    return _resize(volume, (n, n, n))


def brain_slice(n: int, which: int | float = 0, source=None) -> jax.Array:
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
        slices = _built_in("slices", n)
        if which not in range(len(slices)):
            raise ValueError(f"which must be one of 0 … {len(slices) - 1}, but got {which!r}")
        plane = slices[which]
    else:
        source = _unit("source", source, 3)
        if not 0 < checks.positive("which", which) < 1:
            raise ValueError(f"which must lie in (0, 1), a place across the head, but got {which!r}")
        plane = source[int(which * len(source))].T[::-1]  # top of the head up
    plane = _resize(plane, (n, n))
    if float(plane.max()) == 0:
        raise ValueError(f"the slice at {which!r} is empty: it does not meet the head")
    return plane / plane.max()


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
        raise ValueError(f"{name} cannot be unpacked ({error}): is the download complete?") from error
    if len(raw) < 348 or raw[344:348] != b"n+1\0":
        raise ValueError(f"{name} is no single-file NIfTI-1: it has {len(raw)} bytes and no mark n+1 at byte 344")
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
        raise ValueError(f"{name} must hold one volume of 3 axes, but has {axes} axes of sizes {(*shape, *rest)}")
    found, wanted = len(raw) - int(offset), int(np.prod(shape))
    if found < wanted:
        raise ValueError(f"{name} ends early: {found} bytes of voxels, expected {wanted} for shape {shape}")
    return np.frombuffer(raw, np.uint8, wanted, int(offset)).reshape(shape, order="F")


def _built_in(what: str, n: int) -> jax.Array:
    with np.load(io.BytesIO(resources.files("fflib").joinpath(f"assets/{BUILT_IN}").read_bytes())) as file:
        array = _unit(what, file[what], 3)
    if n > array.shape[-1]:
        raise ValueError(
            f"n is {n}, but the built-in brain has {array.shape[-1]} points a side; give source=read_nifti(…) of "
            f"the full volume"
        )
    return array


def _unit(name: str, value, ndim: int) -> jax.Array:
    """Values in [0, 1]: bytes are divided by 255."""
    array = checks.real_array(name, value, integers=True)
    if array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axes, but got shape {array.shape}")
    array = array / 255 if np.issubdtype(np.asarray(value).dtype, np.integer) else array
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        raise ValueError(f"{name} must have values in [0, 1], but they run from {low:.3g} to {high:.3g}")
    return array


def _resize(array: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jnp.clip(jax.image.resize(array, shape, "linear"), 0.0, 1.0)
