r"""Closed triangle meshes: what makes one, what lies inside, points on it.

libigl (of the extra ``meshes``) answers what takes geometry. Nothing asks it while a network
trains: the heights at which vertical lines cross the surface are found once, and inside or outside
at (x, y, z) is then a matter of counting the heights below z.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fflib import checks

MAGNIFIED = 1e3  # libigl's rays overlook faces whose area is below a millionth or so


class Mesh(NamedTuple):
    """A closed surface of triangles: vertices (V, 3), float64, and faces (F, 3), three vertices
    each, counter-clockwise from outside. Chapter: Solid shapes.
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
        """Volume inside, by the divergence theorem Σ a·(b × c)/6 over the faces (a, b, c); what
        lies in several bodies counts as often.
        """
        return float(_volumes(self).sum())

    @property
    def euler(self) -> int:
        """Euler's V − E + F, 2 for a sphere, 0 for a torus, 2 − 2g with g handles."""
        return len(np.unique(self.faces)) - len(self.faces) * 3 // 2 + len(self.faces)


def _volumes(made: Mesh) -> np.ndarray:
    """What every face adds to the volume."""
    a, b, c = np.moveaxis(made.triangles - made.vertices.mean(0), 1, 0)
    return np.einsum("fi,fi->f", a, np.cross(b, c)) / 6


def mesh(vertices, faces, name: str = "the mesh", *, holes: bool = False) -> Mesh:
    """A :class:`Mesh` from corners and faces, after checking that there is an inside.

    Vertices (V, 3) at the same place become one; faces (F, 3), whole numbers from 0 to V − 1, that
    thereby lose a corner go, and so do vertices of no face. A body inside out, of negative volume,
    is turned, unless it is a hollow in another. With ``holes`` edges of one face only are allowed:
    each hole is closed by a fan of faces about its middle, nearly where the winding number of the
    open surface passes ½. Errors call it ``name``. Raises: ValueError or TypeError when it is
    empty, a vertex is NaN, a face names a vertex that is not there, an edge has not exactly two
    faces (an open mesh, or sheets that meet in an edge), two neighbours face opposite ways, or
    there is no volume. Chapter: Solid shapes.
    """
    vertices, faces = _arrays_of(vertices, faces, name)
    vertices, same = np.unique(vertices.astype(np.float64), axis=0, return_inverse=True)
    faces = same.reshape(-1)[faces.astype(np.int64)]
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(1)]
    if holes:
        vertices, faces = _closed(vertices, faces)
    _check_edges(faces, name)
    used, faces = np.unique(faces, return_inverse=True)
    made = Mesh(vertices[used], faces.reshape(-1, 3))
    if abs(made.volume) < 1e-12 * made.area**1.5:
        raise ValueError(f"{name} has no volume: nothing can be inside")
    return _bodies_turned(made if made.volume > 0 else Mesh(made.vertices, made.faces[:, ::-1]))


def _arrays_of(vertices, faces, name):
    vertices = np.asarray(checks.as_array(f"vertices of {name}", vertices))
    faces = np.asarray(checks.as_array(f"faces of {name}", faces))
    if vertices.size == 0 or faces.size == 0:
        raise ValueError(f"{name} is empty: it has {len(vertices)} vertices and {len(faces)} faces")
    checks.shaped(f"vertices of {name}", vertices, ("V", 3))
    checks.shaped(f"faces of {name}", faces, ("F", 3))
    if not np.issubdtype(faces.dtype, np.integer):
        raise TypeError(f"faces of {name} must be whole numbers, but got {checks.describe(faces)}")
    low, high, last = faces.min(), faces.max(), len(vertices) - 1
    right = 0 <= low and high <= last
    checks.must(right, f"faces of {name}", f"name vertices 0 to {last}", f"{low} to {high}")
    return checks.finite(f"vertices of {name}", vertices), faces


def _edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each face's three edges in its direction, (3F, 2); which edge each is; faces of an edge."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    both = np.sort(edges, axis=1)
    _, which, count = np.unique(both, axis=0, return_inverse=True, return_counts=True)
    return edges, which.reshape(-1), count


def _check_edges(faces: np.ndarray, name: str) -> None:
    """Every edge once in each direction: then the surface has no border and one side is outside."""
    edges, which, count = _edges(faces)
    if (count != 2).any():
        raise ValueError(
            f"{name} is not closed: {(count == 1).sum()} of its {len(count)} edges belong to one "
            f"face only and {(count > 2).sum()} to more than two, so that it has no inside; "
            f"holes=True closes small holes"
        )
    balance = np.bincount(which, np.where(edges[:, 0] < edges[:, 1], 1, -1))
    if balance.any():
        raise ValueError(
            f"{name} is not oriented: across {np.count_nonzero(balance)} of its {len(count)} edges "
            f"two faces are turned opposite ways; let a mesh program recompute its normals"
        )


def _closed(vertices, faces):
    """A face from every edge that has one face only to the middle of its hole."""
    edges, which, count = _edges(faces)
    loops = _loops(edges[count[which] == 1].tolist())
    middle = [vertices[loop].mean(0) for loop in loops]
    fans = [
        np.column_stack([np.roll(loop, -1), loop, np.full(len(loop), len(vertices) + k)])
        for k, loop in enumerate(loops)
    ]
    vertices = np.concatenate([vertices, np.reshape(middle, (-1, 3))])
    return vertices, np.concatenate([faces, *fans])


def _loops(border: list) -> list[list[int]]:
    """Directed edges as closed ways that meet no vertex twice."""
    after, loops = {}, []
    for a, b in border:
        after.setdefault(a, []).append(b)
    for start in list(after):
        way = [start]
        while after[way[-1]]:
            b = after[way[-1]].pop()
            if b in way:
                loops.append(way[way.index(b) :])
                del way[way.index(b) + 1 :]
            elif b in after:
                way.append(b)
    return loops


def _bodies_turned(made: Mesh) -> Mesh:
    """Turn every body of negative volume that does not lie inside the others."""
    links, n, faces = _edges(made.faces)[0], len(made.vertices), made.faces.copy()
    graph = coo_array((np.ones(len(links)), links.T), (n, n))
    body = connected_components(graph, directed=False)[1][faces[:, 0]]
    for b in np.flatnonzero(np.bincount(body, _volumes(made)) < 0):
        others = Mesh(made.vertices, faces[body != b])
        if not inside(others, made.triangles[body == b][:1].mean(1))[0]:
            faces[body == b] = faces[body == b][:, ::-1]
    return Mesh(made.vertices, faces)


def normalise(made: Mesh) -> tuple[Mesh, Callable]:
    """Into [0, 1]³, proportions kept: the vertices' mean to the middle, the farthest to the border;
    and the way back, a function of points (..., 3) of the unit cube. Chapter: Solid shapes.
    """
    centre = made.vertices.mean(0)
    v = made.vertices - centre
    size = np.abs(v).max()
    unit = Mesh(0.5 + 0.5 * v / size, made.faces)
    return unit, lambda points: centre + size * (2 * np.asarray(points, float) - 1)


def inside(made: Mesh, points) -> np.ndarray:
    r"""Which of the points (N, 3) lie in the solid, as N booleans: winding number w > ½.

    w is the sum of the solid angles under which the faces are seen, over 4π, 2 where two parts
    overlap (Barill et al. 2018), in single precision about the solid's middle. Raises: ValueError
    for another shape or NaN. Chapter: Solid shapes.
    """
    arrays, there = _for_igl(made, 1.0)
    points, igl = there(_places("points", points, 3)), checks.extra("igl", "meshes")
    return igl.fast_winding_number(*arrays, points) > 0.5


def columns(made: Mesh, xy) -> np.ndarray:
    """Heights at which the vertical lines through ``xy`` (N, 2) enter and leave the solid, rising.

    Going up, the winding number w grows by 1 at each face that looks down and falls by 1 at each
    that looks up; the solid is where w > 0. A line through an edge, where libigl may count one
    face, both or none, is moved by a ten-millionth. Returns: (N, K), K the largest number (even),
    the rest ∞, in single precision. Raises: as :func:`inside`. Chapter: Solid shapes.
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
    """Line, height and change of the winding number at all faces that vertical lines cross, up."""
    tree, arrays, there, unit = _rays(made)
    low = made.vertices[:, 2].min() - 10 / unit
    start, up = np.insert(xy, 2, low, axis=1), np.tile([0.0, 0.0, 1.0], (len(xy), 1))
    hits = tree.intersect_ray(*arrays, there(start), up)
    line = np.repeat(np.arange(len(xy)), [len(of_line) for of_line in hits])
    face, t = np.array([hit[:2] for of_line in hits for hit in of_line]).reshape(-1, 2).T
    z, change = low + t / unit, -np.sign(made.normals[face.astype(int), 2]).astype(int)
    torn = np.bincount(line, change, len(xy)) != 0  # it must come out as often as it went in
    if torn.any():
        return _crossings(made, np.where(torn[:, None], xy + 1e-4 / unit, xy))
    order = np.lexsort((-change, z, line))
    return line[order], z[order], change[order]


def below(heights, z):
    """Inside at z (…) with heights (…, K): is an odd number below? Chapter: Solid shapes."""
    return (heights <= z[..., None]).sum(-1) % 2 == 1


def _first_seen(made: Mesh, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The faces that rays from far above meet, −1 for none, and the place on each, barycentric."""
    tree, arrays, there, _ = _rays(made)
    start, down = there(np.insert(xy, 2, 9.0, axis=1)), np.tile([0.0, 0.0, -1.0], (len(xy), 1))
    face, _, at = tree.intersect_ray_first(*arrays, start, down)
    at = np.where(face[:, None] < 0, 0.0, at)  # libigl leaves these unset
    return face, np.insert(at, 0, 1 - at.sum(-1), axis=1)


def _rays(made: Mesh):
    """A tree of faces, arrays and places as it takes them, and how much larger: 1000 across."""
    size = np.ptp(made.vertices, axis=0).max()
    unit = MAGNIFIED * 2.0 ** -np.rint(np.log2(size))  # exact for a solid of about size 1
    arrays, there = _for_igl(made, unit)
    tree = checks.extra("igl", "meshes").AABB()
    tree.init(*arrays)
    return tree, arrays, there, unit


def _for_igl(made: Mesh, scale: float):
    """Vertices and faces as libigl takes them, and places: moved by whole sizes to about 0."""
    low, high = made.vertices.min(0), made.vertices.max(0)
    size = (high - low).max()
    origin = size * np.trunc((low + high) / 2 / size)

    def there(places):
        return np.ascontiguousarray(scale * (places - origin), np.float64)

    return (there(made.vertices), np.ascontiguousarray(made.faces, np.int64)), there


def _places(name: str, given, d: int) -> np.ndarray:
    given = np.array(given, np.float64, order="C")
    checks.must(given.shape[1:] == (d,), name, f"have shape (N, {d})", given.shape)
    return checks.finite(name, given)


def box(made: Mesh, margin: float = 1e-3) -> np.ndarray:
    """Lowest and highest coordinates with a margin around, (2, 3). Chapter: Solid shapes."""
    return np.stack([made.vertices.min(0) - margin, made.vertices.max(0) + margin])


def on_surface(made: Mesh, key: jax.Array, n: int, *, by_face: bool = False) -> np.ndarray:
    """n random points on the surface, (n, 3) in float64: at (1−√u, √u(1−v), √u v) on a random face.

    A face is drawn by its area, so that the points are uniform, or with ``by_face``, as in the
    paper's code, each as often as any other. Chapter: Solid shapes.
    """
    size = 3, checks.count("n", n)
    f, u, v = np.asarray(jax.random.uniform(checks.key("key", key), size), np.float64)
    area = np.linalg.norm(made.normals, axis=-1)
    share = np.cumsum(np.ones_like(area) if by_face else area)
    face = np.minimum(np.searchsorted(share, f * share[-1], side="right"), len(share) - 1)
    u = np.sqrt(u)
    weights = np.stack([1 - u, u * (1 - v), u * v], -1)
    return np.einsum("nk,nki->ni", weights, made.triangles[face])


def contour(values, low=0.0, high=1.0) -> Mesh:
    """The surface where a function, known on a grid, changes sign: libigl's marching cubes.

    Values (n₁, n₂, n₃), positive inside, are at linspace(low, high, n) on each axis, low and high
    numbers or (3,). Outside the grid the function counts as negative, so that the surface is closed
    (Lorensen and Cline 1987). Raises: ValueError for another shape, values that are not finite, or
    nowhere positive. Chapter: Solid shapes.
    """
    values = np.asarray(values, np.float64)
    right = values.ndim == 3 and min(values.shape) > 1
    checks.must(right, "values", "have shape (n₁, n₂, n₃), each at least 2", values.shape)
    most = checks.finite("values", values).max()
    given = f"up to {most:g}: there is nothing inside"
    checks.must(most > 0, "values", "be positive somewhere", given)
    low, high = np.broadcast_to(low, 3).astype(float), np.broadcast_to(high, 3).astype(float)
    step = (high - low) / (np.array(values.shape) - 1)
    padded = np.pad(values, 1, constant_values=-np.abs(values).max())
    at = low + step * (np.indices(padded.shape).reshape(3, -1, order="F").T - 1.0)
    field = padded.ravel(order="F")  # the first axis runs fastest
    vertices, faces, _ = checks.extra("igl", "meshes").marching_cubes(field, at, *padded.shape)
    return Mesh(vertices, faces[:, ::-1])  # libigl turns them towards what is positive


def picture(made: Mesh, size: int = 160, turn: float = 0.0, tilt: float = 0.35) -> np.ndarray:
    """A mesh in [0, 1]³ seen from far away, coloured by where its surface faces: (size, size, 3).

    Red, green and blue are ½ + ½ of the outward normal's part to the right, upwards and towards the
    viewer, on white. The side spans 1.2 units. ``turn`` is about the upright y axis through the
    middle, ``tilt`` then towards the viewer on the z axis, in radians. Chapter: Solid shapes.
    """
    (c, s), (a, b) = ((np.cos(angle), np.sin(angle)) for angle in (turn, tilt))
    turned = np.array([[1, 0, 0], [0, a, -b], [0, b, a]]) @ [[c, 0, s], [0, 1, 0], [-s, 0, c]]
    made = Mesh((made.vertices - 0.5) @ turned.T + 0.5, made.faces)
    at = (np.arange(checks.count("size", size)) + 0.5) / size * 1.2 - 0.1
    xy = np.stack(np.meshgrid(at, at[::-1], indexing="xy"), -1).reshape(-1, 2)
    face, weights = _first_seen(made, xy)
    hit = face >= 0
    normals = np.zeros_like(made.vertices)
    for k in range(3):
        np.add.at(normals, made.faces[:, k], made.normals)
    normal = np.einsum("nk,nki->ni", weights[hit], normals[made.faces[face[hit]]])
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    seen = np.ones((size * size, 3))
    seen[hit] = 0.5 + 0.5 * normal
    return seen.reshape(size, size, 3)
