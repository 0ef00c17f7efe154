"""Meshes to learn: your own files, solids the book makes itself, and the paper's scans."""

from __future__ import annotations

import gzip
import os
import warnings
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fflib import checks
from fflib.contour import contour
from fflib.fetch import FetchError, fetch
from fflib.shapes import Mesh, mesh, normalise

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
    return normalise({"rope": _rope, "gyroid": _gyroid, "urchin": _urchin, "chain": _chain}[name]())


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
    knot = np.stack([np.sin(t) + 2 * np.sin(2 * t), np.cos(t) - 2 * np.cos(2 * t), -1.2 * np.sin(3 * t)], -1)
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
    wave = np.sin(k * x) * np.cos(k * y) + np.sin(k * y) * np.cos(k * z) + np.sin(k * z) * np.cos(k * x)
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


def load_mesh(path: str | os.PathLike) -> Mesh:
    """A closed mesh from a file: Wavefront .obj, or .ply (text or binary), also gzipped.

    Faces of more than three corners are cut into a fan; textures, normals and colours are not read.

    Raises: FileNotFoundError; ValueError for another kind of file, a damaged one, or a mesh that has
    no inside (see :func:`fflib.shapes.mesh`).

    Chapter: Solid shapes.
    """
    path = Path(path)
    data = path.read_bytes()
    kind = path.suffix.lower()
    packed = kind == ".gz"
    if packed:
        kind = Path(path.stem).suffix.lower()
    if kind not in (".obj", ".ply"):
        raise ValueError(f"path must name an .obj or .ply file, but got {str(path)!r}")
    try:
        vertices, faces = (_read_obj if kind == ".obj" else _read_ply)(gzip.decompress(data) if packed else data)
    except (ValueError, IndexError, KeyError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{str(path)!r} cannot be read as a mesh ({error})") from error
    return mesh(vertices, faces, path.name)


def _read_obj(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    lines = [line.split() for line in data.decode("utf-8", "replace").splitlines()]
    vertices = [line[1:4] for line in lines if line[:1] == ["v"]]
    corners = [[int(word.split("/")[0]) for word in line[1:]] for line in lines if line[:1] == ["f"]]
    faces = _fans(corners)
    return np.array(vertices, float), np.where(faces < 0, len(vertices) + faces, faces - 1)


def _read_ply(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    head, end, body = data.partition(b"end_header")
    lines = [line.split() for line in head.decode("ascii", "replace").splitlines()]
    if not lines or lines[0] != ["ply"]:
        raise ValueError("it does not begin with 'ply'")
    if not end:
        raise ValueError("its header has no end")
    body = body[body.index(b"\n") + 1 :]
    form = next((line[1] for line in lines if line[:1] == ["format"]), "no format")
    elements: dict[str, tuple[int, list]] = {}
    properties: list = []
    for line in lines:
        if line[:1] == ["element"]:
            elements[line[1]] = (int(line[2]), properties := [])
        elif line[:1] == ["property"]:
            properties.append(line[1:])
    if list(elements)[:2] != ["vertex", "face"]:
        raise ValueError(f"expected vertices, then faces, but it holds {', '.join(elements)}")
    (n, of_vertex), (m, of_face) = elements["vertex"], elements["face"]
    names = [p[-1] for p in of_vertex]
    xyz = [names.index(axis) for axis in "xyz"]
    if form == "ascii":
        rows = body.decode("ascii").splitlines()
        vertices = np.array([[row.split()[k] for k in xyz] for row in rows[:n]], float)
        return vertices, _fans([[int(w) for w in row.split()[1 : 1 + int(row.split()[0])]] for row in rows[n : n + m]])
    order = {"binary_little_endian": "<", "binary_big_endian": ">"}[form]
    kinds = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"}
    kinds |= {"float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2"}
    kinds |= {"int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8"}
    table = np.frombuffer(body, [(p[-1], order + kinds[p[0]]) for p in of_vertex], n)
    at = table.nbytes
    if len(of_face) != 1:
        raise ValueError("faces with more than a list of corners are not read")
    size, corner = (np.dtype(order + kinds[k]) for k in of_face[0][1:3])
    triangle = np.frombuffer(body, [("n", size), ("corners", corner, 3)], m, at)
    if (triangle["n"] != 3).any():
        raise ValueError("binary faces must be triangles")
    return np.stack([table[axis] for axis in "xyz"], -1).astype(float), triangle["corners"].astype(np.int64)


def _fans(polygons: list[list[int]]) -> np.ndarray:
    """Polygons cut into triangles from their first corner, (F, 3)."""
    if any(len(p) < 3 for p in polygons):
        raise ValueError("a face has fewer than three corners")
    cut = [(p[0], p[k], p[k + 1]) for p in polygons for k in range(1, len(p) - 1)]
    return np.array(cut, np.int64).reshape(-1, 3)


def ply(made: Mesh) -> bytes:
    """A mesh as a binary PLY file, about 12 V + 13 F bytes: what :func:`load_mesh` and 3-D viewers read.

    Vertices are rounded to float32.

    Chapter: Solid shapes.
    """
    head = f"""ply
format binary_little_endian 1.0
element vertex {len(made.vertices)}
property float x
property float y
property float z
element face {len(made.faces)}
property list uchar int vertex_indices
end_header
"""
    faces = np.zeros(len(made.faces), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, made.faces
    return head.encode() + made.vertices.astype("<f4").tobytes() + faces.tobytes()


def save_stl(made: Mesh, path: str | os.PathLike) -> Path:
    """Write a mesh as binary STL, 84 + 50 F bytes, which 3-D viewers and printers read.

    Chapter: Solid shapes.
    """
    kind = [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("rest", "<u2")]
    facets = np.zeros(len(made.faces), kind)
    facets["corners"] = made.triangles
    facets["normal"] = made.normals / np.maximum(np.linalg.norm(made.normals, axis=-1, keepdims=True), 1e-30)
    Path(path).write_bytes(bytes(80) + np.uint32(len(facets)).astype("<u4").tobytes() + facets.tobytes())
    return Path(path)


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
    """Scans of the Stanford repository, as the paper used; else the built-in solids, with a warning.

    The files known here are watertight reductions of the originals to 20 000–100 000 faces, coarser
    than the paper's, which have no address of their own: they are found in FFLIB_DATA by checksum. The
    originals at graphics.stanford.edu/data/3Dscanrep are other files, some with holes; mend them, then
    use :func:`load_mesh`.

    Raises: ValueError for an unknown name.

    Chapter: Solid shapes.
    """
    for name in names:
        checks.one_of("names", name, SCANS)
    try:
        found = tuple(normalise(load_mesh(fetch(f"{name}.obj"))) for name in names)
    except FetchError as error:
        warnings.warn(f"{error}. Taking the built-in solids instead", stacklevel=2)
        return solids(BUILTIN[: len(names)])
    faces = ", ".join(f"{len(m.faces)}" for m in found)
    return Meshes(tuple(names), found, f"Stanford scans, watertight reductions of {faces} faces, coarser than the paper's")


def solids(names=BUILTIN[:3]) -> Meshes:
    """Built-in solids by their names.

    Chapter: Solid shapes.
    """
    return Meshes(tuple(names), tuple(builtin(name) for name in names), "solids made by this book")
