r"""Closed triangle meshes: what makes one, what lies inside, points on it.

All rests on one question, answered exactly by :func:`crossings`: which faces does the vertical line
through (x, y) cross, and at which heights? Sorted, the heights say where the line enters the solid
and where it leaves, so that inside or outside at (x, y, z) is a matter of counting the heights below
z. Training draws fresh z on lines prepared once; pictures show the uppermost crossing.

Libraries answer inside or outside as well: libigl by sums of solid angles over a tree of faces, trimesh
by rays cast in single precision. libigl, asked about 2¹⁸ random points of each of the paper's four scans,
agrees in every one. What it cannot give are the heights, without which each training step would have to
ask it again; and it needs SciPy. So these few lines stand here instead.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np

from fflib import checks

CHUNK = 1 << 17  # lines treated at once


class Mesh(NamedTuple):
    """A closed surface of triangles, seen counter-clockwise from outside.

    Attributes:
        vertices: (V, 3), float64.
        faces: (F, 3) whole numbers, three vertices each.

    Chapter: Solid shapes.
    """

    vertices: np.ndarray
    faces: np.ndarray

    @property
    def triangles(self) -> np.ndarray:
        """Corners of every face, (F, 3, 3)."""
        return self.vertices[self.faces]

    @property
    def normals(self) -> np.ndarray:
        """Outward normals of the faces times twice their area, (F, 3)."""
        a, b, c = np.moveaxis(self.triangles, 1, 0)
        return np.cross(b - a, c - a)

    @property
    def area(self) -> float:
        """Area of the surface."""
        return float(np.linalg.norm(self.normals, axis=-1).sum() / 2)

    @property
    def volume(self) -> float:
        """Volume inside, by the divergence theorem: Σ a·(b × c)/6 over the faces (a, b, c)."""
        a, b, c = np.moveaxis(self.triangles - self.vertices.mean(0), 1, 0)
        return float(np.einsum("fi,fi->", a, np.cross(b, c)) / 6)

    @property
    def euler(self) -> int:
        """Euler's V − E + F: 2 for a sphere, 0 for a torus, 2 − 2g with g handles."""
        return len(np.unique(self.faces)) - len(self.faces) * 3 // 2 + len(self.faces)


def mesh(vertices, faces, name: str = "the mesh") -> Mesh:
    """A :class:`Mesh` from corners and faces, after checking that there is an inside.

    Vertices at the same place become one (files repeat them where textures have seams), and faces
    that thereby lose a corner go. A mesh that is inside out, seen from its negative volume, is turned.

    Args:
        vertices: (V, 3), finite.
        faces: (F, 3) whole numbers from 0 to V − 1.
        name: what error messages call it.

    Raises: ValueError or TypeError when it is empty, a vertex is NaN, a face names a vertex that is
    not there, an edge has not exactly two faces (an open mesh, or sheets that meet in an edge), two
    neighbours face opposite ways, or there is no volume.

    Chapter: Solid shapes.
    """
    vertices, faces = np.asarray(vertices), np.asarray(faces)
    if vertices.size == 0 or faces.size == 0:
        raise ValueError(f"{name} is empty: it has {len(vertices)} vertices and {len(faces)} faces")
    if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise ValueError(f"{name} must have vertices (V, 3) and faces (F, 3), but got {vertices.shape}, {faces.shape}")
    if not np.issubdtype(faces.dtype, np.integer):
        raise TypeError(f"faces of {name} must be whole numbers, but got {checks.describe(faces)}")
    checks.finite(f"vertices of {name}", vertices)
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError(
            f"faces of {name} must name vertices 0 to {len(vertices) - 1}, but go from {faces.min()} to {faces.max()}"
        )
    vertices, same = np.unique(vertices.astype(np.float64), axis=0, return_inverse=True)
    faces = same.reshape(-1)[faces.astype(np.int64)]
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(1)]
    _check_edges(faces, name)
    made = Mesh(vertices, faces)
    if abs(made.volume) < 1e-12 * made.area ** 1.5:
        raise ValueError(f"{name} has no volume: nothing can be inside")
    return made if made.volume > 0 else Mesh(vertices, faces[:, ::-1])


def _check_edges(faces: np.ndarray, name: str) -> None:
    """Every edge once in each direction: then the surface has no border and one side is outside."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    _, which, count = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True, return_counts=True)
    if (count != 2).any():
        raise ValueError(
            f"{name} is not closed: {(count == 1).sum()} of its {len(count)} edges belong to one face only and "
            f"{(count > 2).sum()} to more than two, so that it has no inside; mend its holes first"
        )
    balance = np.bincount(which.reshape(-1), np.where(edges[:, 0] < edges[:, 1], 1, -1))
    if balance.any():
        raise ValueError(
            f"{name} is not oriented: across {np.count_nonzero(balance)} of its {len(count)} edges two faces are "
            f"turned opposite ways; let a mesh program recompute its normals"
        )


def normalise(made: Mesh) -> Mesh:
    """Into [0, 1]³: centre the vertices, divide by the largest coordinate, map [−1, 1] to [0, 1].

    The centre is the mean of the vertices. Proportions stay.

    Chapter: Solid shapes.
    """
    v = made.vertices - made.vertices.mean(0)
    return Mesh(0.5 + 0.5 * v / np.abs(v).max(), made.faces)


def turned(made: Mesh, turn: float, tilt: float = 0.0) -> Mesh:
    """Turned about the upright y axis, then tilted towards the viewer on the z axis; in radians.

    The centre of [0, 1]³ stays where it is.

    Chapter: Solid shapes.
    """
    c, s = np.cos(turn), np.sin(turn)
    about_y = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    c, s = np.cos(tilt), np.sin(tilt)
    about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return Mesh((made.vertices - 0.5) @ (about_x @ about_y).T + 0.5, made.faces)


class Crossings(NamedTuple):
    """Where vertical lines cross faces, in no order.

    Attributes:
        line: (n,), which of the lines.
        face: (n,), which of the faces.
        weights: (n, 3), barycentric coordinates of the place on the face.
        z: (n,), its height.
        up: (n,), +1 where the face looks up (the line leaves the solid), −1 where it looks down.

    Chapter: Solid shapes.
    """

    line: np.ndarray
    face: np.ndarray
    weights: np.ndarray
    z: np.ndarray
    up: np.ndarray


def crossings(made: Mesh, xy) -> Crossings:
    """All places where the vertical lines through the points ``xy`` (N, 2) cross the mesh.

    A line through an edge or a corner is moved by (ε, ε²), ε → 0, in thought. Both faces at an edge
    compare the line with the same rounded numbers, so that it crosses exactly one of them.

    Raises: ValueError for another shape or values that are not finite.

    Chapter: Solid shapes.
    """
    xy = np.asarray(checks.points("xy", xy, 2) if isinstance(xy, jax.Array) else xy, np.float64)
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise ValueError(f"xy must have shape (N, 2), but got {xy.shape}")
    checks.finite("xy", xy)
    parts = [_crossings(made, xy[k : k + CHUNK]) for k in range(0, len(xy), CHUNK)]
    parts = [part._replace(line=part.line + k * CHUNK) for k, part in enumerate(parts)]
    return Crossings(*map(np.concatenate, zip(*parts, strict=True)))


def _crossings(made: Mesh, xy: np.ndarray) -> Crossings:
    line, face = _candidates(made, xy)
    corner = made.faces[face]  # (pairs, 3)
    side, edge = [], []
    for i, j in ((1, 2), (2, 0), (0, 1)):  # the edge opposite to corner 0, 1, 2
        low, high = np.minimum(corner[:, i], corner[:, j]), np.maximum(corner[:, i], corner[:, j])
        a, d = made.vertices[low, :2], made.vertices[high, :2] - made.vertices[low, :2]
        e = d[:, 0] * (xy[line, 1] - a[:, 1]) - d[:, 1] * (xy[line, 0] - a[:, 0])
        moved = (d[:, 1] < 0) | ((d[:, 1] == 0) & (d[:, 0] > 0))
        forward = corner[:, i] < corner[:, j]
        side.append(np.where(e == 0, moved, e > 0) == forward)  # left of the edge from i to j?
        edge.append(np.where(forward, e, -e))
    left = np.sum(side, axis=0)
    hit = (left == 3) | (left == 0)
    weights, face = np.stack(edge, -1)[hit], face[hit]
    total = weights.sum(-1, keepdims=True)
    weights = np.divide(weights, total, out=np.full_like(weights, 1 / 3), where=total != 0)
    z = np.einsum("nk,nk->n", weights, made.triangles[face, :, 2])
    return Crossings(line[hit], face, weights, z, np.where(left[hit] == 3, 1, -1))


def _candidates(made: Mesh, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (line, face) that share a cell of a grid laid over the plane."""
    n = int(np.clip(np.sqrt(len(made.faces)), 4, 512))
    low = made.vertices[:, :2].min(0)
    scale = n / np.maximum(np.ptp(made.vertices[:, :2], axis=0), np.finfo(float).tiny)
    cell = lambda p: np.clip(np.floor((p - low) * scale), 0, n - 1).astype(np.int64)
    corners = made.triangles[..., :2]
    first, last = cell(corners.min(1)), cell(corners.max(1))
    size = last - first + 1
    face, k = _repeat(size.prod(1))
    of_face = (first[face, 0] + k // size[face, 1]) * n + first[face, 1] + k % size[face, 1]
    of_line = cell(xy) @ np.array([n, 1])
    order = np.argsort(of_line, kind="stable")
    count = np.bincount(of_line, minlength=n * n)
    pair, k = _repeat(count[of_face])
    start = np.cumsum(count) - count
    return order[start[of_face[pair]] + k], face[pair]


def _repeat(count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index i repeated count[i] times, and 0 … count[i]−1 beside it."""
    which = np.repeat(np.arange(len(count)), count)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)


def columns(made: Mesh, xy) -> np.ndarray:
    """Heights at which the vertical lines through ``xy`` (N, 2) enter and leave the solid, rising.

    Going up, the winding number w grows by 1 at each face that looks down and falls by 1 at each that
    looks up; the solid is where w > 0, also where the surface runs through itself.

    Returns: (N, K), K the largest number of heights (even), the rest ∞.

    Chapter: Solid shapes.
    """
    found = crossings(made, xy)
    order = np.lexsort((-found.up, found.z, found.line)) if len(found.line) else np.zeros(0, int)
    line, z, change = found.line[order], found.z[order], -found.up[order]
    total = np.cumsum(change)
    first = np.searchsorted(line, line)  # where this line begins
    w = total - (total - change)[first]
    flips = (w > 0) != (w - change > 0)
    line, z = line[flips], z[flips]
    place = np.arange(len(line)) - np.searchsorted(line, line)
    heights = np.full((len(xy), max(2, place.max(initial=0) + 1)), np.inf)
    heights[line, place] = z
    return heights


def below(heights, z):
    """Inside or outside at heights ``z`` (…) of lines with heights (…, K): is the count below z odd?

    For NumPy and for JAX, compiled or not.

    Chapter: Solid shapes.
    """
    return (heights <= z[..., None]).sum(-1) % 2 == 1


def inside(made: Mesh, points) -> np.ndarray:
    """Which of the points (N, 3) lie in the solid, as N booleans; exact up to rounding of z.

    Raises: ValueError for another shape or values that are not finite.

    Chapter: Solid shapes.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"points must have shape (N, 3), but got {points.shape}")
    checks.finite("points", points)
    return below(columns(made, points[:, :2]), points[:, 2])


def box(made: Mesh, margin: float = 1e-3) -> np.ndarray:
    """Lowest and highest coordinates with a margin around, (2, 3).

    Chapter: Solid shapes.
    """
    return np.stack([made.vertices.min(0) - margin, made.vertices.max(0) + margin])


def on_surface(made: Mesh, key: jax.Array, n: int) -> np.ndarray:
    """n random points, uniform on the surface: a face by its area, a place (1−√u, √u(1−v), √u v) on it.

    Returns: (n, 3), float64.

    Chapter: Solid shapes.
    """
    f, u, v = np.asarray(jax.random.uniform(key, (3, checks.count("n", n))), np.float64)
    share = np.cumsum(np.linalg.norm(made.normals, axis=-1))
    face = np.minimum(np.searchsorted(share, f * share[-1], side="right"), len(share) - 1)
    u = np.sqrt(u)
    weights = np.stack([1 - u, u * (1 - v), u * v], -1)
    return np.einsum("nk,nki->ni", weights, made.triangles[face])
