r"""Closed triangle meshes: what makes one, what lies inside, points on it.

libigl answers what takes geometry: winding numbers say what lies inside, rays where a line enters and
leaves. Nothing asks it while a network trains: the heights at which vertical lines cross the surface are
found once, and inside or outside at (x, y, z) is then a matter of counting the heights below z.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np

from fflib import checks

MAGNIFIED = 1e3  # libigl's rays overlook faces whose area is below a millionth or so


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
        """Volume inside, by the divergence theorem Σ a·(b × c)/6 over the faces (a, b, c)."""
        a, b, c = np.moveaxis(self.triangles - self.vertices.mean(0), 1, 0)
        return float(np.einsum("fi,fi->", a, np.cross(b, c)) / 6)

    @property
    def euler(self) -> int:
        """Euler's V − E + F, 2 for a sphere, 0 for a torus, 2 − 2g with g handles."""
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
        raise ValueError(
            f"{name} must have vertices (V, 3) and faces (F, 3), but got {vertices.shape}, {faces.shape}"
        )
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
    if abs(made.volume) < 1e-12 * made.area**1.5:
        raise ValueError(f"{name} has no volume: nothing can be inside")
    return made if made.volume > 0 else Mesh(vertices, faces[:, ::-1])


def _check_edges(faces: np.ndarray, name: str) -> None:
    """Every edge once in each direction: then the surface has no border and one side is outside."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    _, which, count = np.unique(
        np.sort(edges, axis=1), axis=0, return_inverse=True, return_counts=True
    )
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


def inside(made: Mesh, points) -> np.ndarray:
    r"""Which of the points (N, 3) lie in the solid, as N booleans: winding number w > ½.

    w is the sum of the solid angles under which the faces are seen, over 4π: 1 inside and 0 outside, 2 where
    two parts of a solid overlap. libigl takes faces that are far away together (Barill et al. 2018). It
    computes in single precision, so that only a point that rounding moves across the surface can be wrong.

    Raises: ValueError for another shape or values that are not finite.

    Chapter: Solid shapes.
    """
    import igl

    return igl.fast_winding_number(*_arrays(made), _places("points", points, 3)) > 0.5


def columns(made: Mesh, xy) -> np.ndarray:
    """Heights at which the vertical lines through ``xy`` (N, 2) enter and leave the solid, rising.

    Going up, the winding number w grows by 1 at each face that looks down and falls by 1 at each that
    looks up; the solid is where w > 0, also where the surface runs through itself. A line through an edge,
    at which libigl may count one face, both or none, is moved by a ten-millionth.

    Returns: (N, K), K the largest number of heights (even), the rest ∞; right to single precision.

    Raises: ValueError for another shape, values that are not finite, or a mesh smaller than 0.01.

    Chapter: Solid shapes.
    """
    xy = _places("xy", xy, 2)
    line, z, change = _crossings(made, xy)
    total = np.cumsum(change)
    first = np.searchsorted(line, line)  # where this line begins
    w = total - (total - change)[first]
    flips = (w > 0) != (w - change > 0)
    line, z = line[flips], z[flips]
    place = np.arange(len(line)) - np.searchsorted(line, line)
    heights = np.full((len(xy), max(2, place.max(initial=0) + 1)), np.inf)
    heights[line, place] = z
    return heights


def _crossings(made: Mesh, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Line, height and change of the winding number at all faces that vertical lines cross, going up."""
    low = made.vertices[:, 2].min() - 0.01
    start, up = np.insert(xy, 2, low, axis=1), np.tile([0.0, 0.0, 1.0], (len(xy), 1))
    hits = _tree(made).intersect_ray(*_arrays(made, MAGNIFIED), MAGNIFIED * start, up)
    line = np.repeat(np.arange(len(xy)), [len(of_line) for of_line in hits])
    face, t = np.array([hit[:2] for of_line in hits for hit in of_line]).reshape(-1, 2).T
    z, change = low + t / MAGNIFIED, -np.sign(made.normals[face.astype(int), 2]).astype(int)
    torn = np.bincount(line, change, len(xy)) != 0  # it must come out as often as it went in
    if torn.any():
        return _crossings(made, np.where(torn[:, None], xy + 1e-7, xy))
    order = np.lexsort((-change, z, line))
    return line[order], z[order], change[order]


def below(heights, z):
    """Inside or outside at heights ``z`` (…) of lines with heights (…, K): is the count below z odd?

    For NumPy and for JAX, compiled or not.

    Chapter: Solid shapes.
    """
    return (heights <= z[..., None]).sum(-1) % 2 == 1


def first_seen(made: Mesh, start, direction) -> tuple[np.ndarray, np.ndarray]:
    """The faces that rays meet first: from ``start`` (N, 3), all along one ``direction`` (3,).

    Returns: (N,) face, −1 where there is none, and (N, 3) the place on it in barycentric coordinates,
    (1, 0, 0) where there is none.

    Raises: as :func:`columns`.

    Chapter: Solid shapes.
    """
    start = MAGNIFIED * _places("start", start, 3)
    along = np.tile(np.asarray(direction, float), (len(start), 1))
    face, _, at = _tree(made).intersect_ray_first(*_arrays(made, MAGNIFIED), start, along)
    at = np.where(face[:, None] < 0, 0.0, at)  # libigl leaves these unset
    return face, np.concatenate([1 - at.sum(-1, keepdims=True), at], -1)


def _tree(made: Mesh):
    import igl

    size = np.ptp(made.vertices, axis=0).max()
    if size < 0.01:
        raise ValueError(
            f"the mesh must not be much smaller than 1, or rays miss its faces, but measures {size:.3g}; see normalise"
        )
    tree = igl.AABB()
    tree.init(*_arrays(made, MAGNIFIED))
    return tree


def _arrays(made: Mesh, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces as libigl takes them."""
    return np.ascontiguousarray(scale * made.vertices, np.float64), np.ascontiguousarray(
        made.faces, np.int64
    )


def _places(name: str, given, d: int) -> np.ndarray:
    given = np.array(given, np.float64, order="C")
    if given.ndim != 2 or given.shape[1] != d:
        raise ValueError(f"{name} must have shape (N, {d}), but got {given.shape}")
    return checks.finite(name, given)


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
