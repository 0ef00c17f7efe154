"""Meshes to learn: your own files, solids the book makes itself, and the paper's scans."""

from __future__ import annotations

import gzip
import io
import os
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fflib import checks
from fflib.operators.contour import contour
from fflib.operators.meshes import Mesh, mesh, normalise
from fflib.worlds.fetch import FetchError, fetch

SCANS = ("dragon", "armadillo", "buddha", "lucy")
BUILTIN = ("rope", "gyroid", "urchin", "chain")


# --------------------------------------------------------------------------------------------------
# Made here


def builtin(name: str) -> Mesh:
    """A closed mesh the book makes itself, in [0, 1]³.

    "rope": a trefoil knot of rope with strands; "gyroid": a ball with the passages of a gyroid cut
    out; "urchin": a ball with 80 bumps; "chain": a ring with ridges, on which scales are chosen.

    Raises: ValueError for another name.
    Chapter: Solid shapes.
    """
    checks.one_of("name", name, BUILTIN)
    made = {"rope": _rope, "gyroid": _gyroid, "urchin": _urchin, "chain": _chain}[name]()
    return normalise(made)[0]


def tube(curve, radius, around: int) -> Mesh:
    """A closed tube along a closed curve.

    Args:
        curve: (n, 3) points of the curve, evenly spaced in its parameter.
        radius: (n, around), distance of the surface from the curve at angles 0 … 2π.
        around: corners of a cross-section.

    Chapter: Solid shapes.
    """
    curve, n = np.asarray(curve, float), len(curve)
    along = np.roll(curve, -1, 0) - np.roll(curve, 1, 0)
    along /= np.linalg.norm(along, axis=-1, keepdims=True)
    across = curve - curve.mean(0)  # a frame that comes back to itself, since the curve does
    across = np.cross(along, np.cross(across, along))
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    third = np.cross(along, across)
    angle = 2 * np.pi * np.arange(around) / around
    ring = np.cos(angle)[:, None] * across[:, None] + np.sin(angle)[:, None] * third[:, None]
    vertices = curve[:, None] + np.asarray(radius)[..., None] * ring
    i, j = np.meshgrid(np.arange(n), np.arange(around), indexing="ij")
    a, b = i * around + j, (i + 1) % n * around + j
    c, d = (i + 1) % n * around + (j + 1) % around, i * around + (j + 1) % around
    faces = np.stack([a, b, c, a, c, d], -1).reshape(-1, 3)
    return mesh(vertices.reshape(-1, 3), faces)


def _strands(t, around: int, strands: int, twists: int, depth: float) -> np.ndarray:
    """Cross-section of a rope, (n, around), largest 1: strands side by side, turning along it."""
    angle = 2 * np.pi * np.arange(around) / around
    return 1 - depth * np.abs(np.sin((strands * angle + twists * t[:, None]) / 2)) ** 0.7


def _rope() -> Mesh:
    t = 2 * np.pi * np.arange(420) / 420
    knot = np.stack(
        [np.sin(t) + 2 * np.sin(2 * t), np.cos(t) - 2 * np.cos(2 * t), -1.2 * np.sin(3 * t)], -1
    )
    return tube(knot, 0.62 * _strands(t, 28, 4, 36, 0.3), 28)


def _chain() -> Mesh:
    t = 2 * np.pi * np.arange(360) / 360
    ring = np.stack([2 * np.cos(t), 2 * np.sin(t), 0.4 * np.sin(3 * t)], -1)
    return tube(ring, 0.7 * _strands(t, 30, 5, 30, 0.3), 30)


def _space(n: int) -> np.ndarray:
    x = np.linspace(-1, 1, n)
    return np.stack(np.meshgrid(x, x, x, indexing="ij"), -1)


def _gyroid() -> Mesh:
    x, y, z = np.moveaxis(_space(52), -1, 0)
    k = 2 * np.pi * 1.25
    wave = (
        np.sin(k * x) * np.cos(k * y)
        + np.sin(k * y) * np.cos(k * z)
        + np.sin(k * z) * np.cos(k * x)
    )
    return contour(np.minimum(0.95 - np.sqrt(x**2 + y**2 + z**2), 0.12 * wave), -1, 1)


def _urchin() -> Mesh:
    v = _space(52)
    r = np.linalg.norm(v, axis=-1)
    k = np.arange(80) + 0.5  # a spiral from pole to pole spreads points evenly over a sphere
    up, angle = 1 - k / 40, np.pi * (1 + 5**0.5) * k
    flat = np.sqrt(1 - up**2)
    bumps = np.stack([flat * np.cos(angle), flat * np.sin(angle), up], -1)
    cosine = v @ bumps.T / np.maximum(r, 1e-9)[..., None]
    return contour(0.68 + 0.27 * np.exp(60 * (cosine - 1)).sum(-1) - r, -1, 1)


# --------------------------------------------------------------------------------------------------
# From files


def load_mesh(path: str | os.PathLike, *, holes: bool = False) -> Mesh:
    """A closed mesh from a file, also gzipped, of any kind that trimesh reads: .obj, .ply, .stl,
    .off, .glb, .3mf and more.

    Faces of more than three corners are cut, the parts of a scene become one mesh; textures,
    normals and colours are not read. ``~`` is expanded; ``holes`` as in
    :func:`fflib.operators.meshes.mesh`.

    Raises: FileNotFoundError; ValueError for another kind of file, a damaged one, or a mesh that
    has no inside (see :func:`fflib.operators.meshes.mesh`). Chapter: Solid shapes.
    """
    trimesh, path = checks.extra("trimesh", "meshes"), Path(path).expanduser()
    packed = path.suffix.lower() == ".gz"
    kind = (Path(path.stem) if packed else path).suffix.lower().removeprefix(".")
    if kind not in (kinds := trimesh.available_formats()):
        raise ValueError(
            f"path must name a file of {', '.join(sorted(kinds))}, but got {str(path)!r}"
        )
    data = path.read_bytes()
    try:
        file = io.BytesIO(gzip.decompress(data) if packed else data)
        read = trimesh.load_mesh(file, file_type=kind, process=False, skip_materials=True)
        vertices, faces = read.vertices, read.faces
    except Exception as error:  # damage makes it raise almost anything
        raise ValueError(
            f"{str(path)!r} cannot be read as a mesh ({error}): is it whole?"
        ) from error
    return mesh(vertices, faces, path.name, holes=holes)


def ply(made: Mesh) -> bytes:
    """A mesh as a binary PLY file, about 12 V + 13 F bytes: what :func:`load_mesh` and 3-D viewers
    read.

    Vertices are rounded to float32.

    Chapter: Solid shapes.
    """
    return _trimesh(made).export(file_type="ply")


def save_stl(made: Mesh, path: str | os.PathLike) -> Path:
    """Write a mesh as binary STL, 84 + 50 F bytes, which 3-D viewers and printers read.

    Chapter: Solid shapes.
    """
    path = Path(path).expanduser()
    path.write_bytes(_trimesh(made).export(file_type="stl"))
    return path


def _trimesh(made: Mesh):
    return checks.extra("trimesh", "meshes").Trimesh(*made, process=False)


# --------------------------------------------------------------------------------------------------
# As items of an experiment


class Meshes(NamedTuple):
    """Several meshes in [0, 1]³.

    Attributes:
        names: one name a mesh.
        meshes: the meshes.
        origin: a sentence that says what they are.

    Chapter: Solid shapes.
    """

    names: tuple[str, ...]
    meshes: tuple[Mesh, ...]
    origin: str


def scans(names=("dragon", "armadillo", "buddha")) -> Meshes:
    """Scans of the Stanford repository, as the paper used; else the built-in solids, with a
    warning.

    The files known here are watertight reductions of the originals to 20 000–100 000 faces, coarser
    than the paper's, which have no address of their own: they are found in FFLIB_DATA by checksum.
    The originals at graphics.stanford.edu/data/3Dscanrep are other files, some with holes, for
    :func:`load_mesh` with ``holes=True``.

    Raises: ValueError for an unknown name.
    Chapter: Solid shapes.
    """
    for name in names:
        checks.one_of("names", name, SCANS)
    try:
        found = tuple(normalise(load_mesh(fetch(f"{name}.obj")))[0] for name in names)
    except FetchError as error:
        warnings.warn(f"{error}. Taking the built-in solids instead", stacklevel=2)
        return solids(BUILTIN[: len(names)])
    faces = ", ".join(f"{len(m.faces)}" for m in found)
    return Meshes(
        tuple(names),
        found,
        f"Stanford scans, watertight reductions of {faces} faces, coarser than the paper's",
    )


def solids(names=BUILTIN[:3]) -> Meshes:
    """Built-in solids by their names.

    Chapter: Solid shapes.
    """
    return Meshes(tuple(names), tuple(builtin(name) for name in names), "solids made by this book")
