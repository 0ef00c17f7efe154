"""From a function on a grid to a closed mesh, and from a mesh to a picture of it."""

from __future__ import annotations

import itertools

import numpy as np

from fflib import checks
from fflib.shapes import Mesh, crossings, turned

# A cube falls into six tetrahedra, one for each order in which to go along x, y and z from its
# lowest corner to its highest. Neighbouring cubes cut their common side along the same diagonal.
_TETRAHEDRA = []
for order in itertools.permutations(range(3)):
    path = np.cumsum([[0, 0, 0], *np.eye(3, dtype=int)[list(order)]], axis=0)
    if np.linalg.det(path[1:] - path[0]) < 0:
        path = path[[1, 0, 2, 3]]
    _TETRAHEDRA.append(path)
TETRAHEDRA = np.array(_TETRAHEDRA)  # (6, 4, 3), all right-handed


def _faces_of(mask: int) -> list[list[tuple[int, int]]]:
    """Triangles, as edges of the tetrahedron, that part the corners in ``mask`` from the others.

    Seen from the corners outside, each runs counter-clockwise.
    """
    inner = [k for k in range(4) if mask >> k & 1]
    outer = [k for k in range(4) if not mask >> k & 1]
    a, b, c, d = inner + outer
    odd = np.linalg.det(np.eye(4)[[a, b, c, d]]) < 0
    if len(inner) == 1:
        made = [[(a, b), (a, c), (a, d)]]
    elif len(inner) == 3:
        made = [[(d, a), (d, b), (d, c)]]
    elif len(inner) == 2:
        made = [[(a, c), (a, d), (b, d)], [(a, c), (b, d), (b, c)]]
    else:
        made = []
    return [face[::-1] for face in made] if odd else made


FACES = [_faces_of(mask) for mask in range(16)]


def contour(values, low=0.0, high=1.0) -> Mesh:
    """The surface where a function, known on a grid, changes sign: marching tetrahedra.

    Each cube of the grid is cut into six tetrahedra, in which the function is taken to be linear; the
    places where it is zero on their edges are the vertices. Outside the grid the function counts as
    negative, so that the surface is closed whatever it does at the border.

    Args:
        values: (n₁, n₂, n₃), positive inside; linspace(low, high, n) on each axis.
        low, high: coordinates of the first and the last values, numbers or (3,).

    Returns: a closed mesh, outward where the function is negative.

    Raises: ValueError for another shape, values that are not finite or nowhere positive.

    Chapter: Solid shapes.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 3 or min(values.shape) < 2:
        raise ValueError(f"values must have shape (n₁, n₂, n₃), each at least 2, but got {values.shape}")
    checks.finite("values", values)
    if not (values > 0).any():
        raise ValueError("values must be positive somewhere: there is nothing inside")
    low, high = np.broadcast_to(low, 3).astype(float), np.broadcast_to(high, 3).astype(float)
    step = (high - low) / (np.array(values.shape) - 1)
    padded = np.pad(values, 1, constant_values=-np.abs(values).max())
    inner = padded > 0
    corners = np.stack(
        [inner[i : i - 1 or None, j : j - 1 or None, k : k - 1 or None] for i, j, k in np.ndindex(2, 2, 2)]
    )
    cubes = np.argwhere(corners.any(0) & ~corners.all(0))
    points = (cubes[:, None, None] + TETRAHEDRA).reshape(-1, 4, 3)  # (tetrahedra, 4 corners, 3)
    ident = np.ravel_multi_index(np.moveaxis(points, -1, 0), padded.shape)
    masks = inner.reshape(-1)[ident] @ (1 << np.arange(4))
    edges = np.concatenate(
        [ident[masks == mask][:, face] for mask, faces in enumerate(FACES) for face in faces]
    )  # (faces, 3 corners, 2 ends)
    ends, faces = np.unique(np.sort(edges, axis=-1).reshape(-1, 2), axis=0, return_inverse=True)
    a, b = padded.reshape(-1)[ends].T
    t = (a / (a - b))[:, None]
    p, q = (np.stack(np.unravel_index(e, padded.shape), -1) - 1.0 for e in ends.T)
    return Mesh(low + step * (p + t * (q - p)), faces.reshape(-1, 3))


def picture(made: Mesh, size: int = 160, turn: float = 0.0, tilt: float = 0.35) -> np.ndarray:
    """The mesh as seen from far away, coloured by where its surface faces: (size, size, 3).

    Red, green and blue are ½ + ½ of the outward normal's part to the right, upwards and towards the
    viewer; normals are blended over each face from those of its corners. White is background.

    Args:
        made: a mesh in [0, 1]³.
        size: pixels along a side, which spans 1.2 units.
        turn, tilt: about the upright axis and towards the viewer, in radians.

    Chapter: Solid shapes.
    """
    made = turned(made, turn, tilt)
    at = (np.arange(checks.count("size", size)) + 0.5) / size * 1.2 - 0.1
    xy = np.stack(np.meshgrid(at, at[::-1], indexing="xy"), -1).reshape(-1, 2)
    found = crossings(made, xy)
    order = np.lexsort((found.z, found.line))
    line = found.line[order]
    top = order[np.append(line[1:] != line[:-1], True)] if len(line) else order
    normals = np.zeros_like(made.vertices)
    for k in range(3):
        np.add.at(normals, made.faces[:, k], made.normals)
    normal = np.einsum("nk,nki->ni", found.weights[top], normals[made.faces[found.face[top]]])
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    seen = np.ones((size * size, 3))
    seen[found.line[top]] = 0.5 + 0.5 * normal
    return seen.reshape(size, size, 3)
