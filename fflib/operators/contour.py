"""From a function on a grid to a closed mesh, and from a mesh to a picture of it."""

from __future__ import annotations

import numpy as np

from fflib import checks
from fflib.operators.meshes import Mesh, first_seen


def contour(values, low=0.0, high=1.0) -> Mesh:
    """The surface where a function, known on a grid, changes sign: libigl's marching cubes.

    Outside the grid the function counts as negative, so that the surface is closed whatever it does
    at the border (Lorensen and Cline 1987).

    Args:
        values: (n₁, n₂, n₃), positive inside; linspace(low, high, n) on each axis.
        low, high: coordinates of the first and the last values, numbers or (3,).

    Returns: a closed mesh, outward where the function is negative. Raises: ValueError for another
    shape, values that are not finite, or nowhere positive. Chapter: Solid shapes.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 3 or min(values.shape) < 2:
        raise ValueError(
            f"values must have shape (n₁, n₂, n₃), each at least 2, but got {values.shape}"
        )
    checks.finite("values", values)
    if not (values > 0).any():
        raise ValueError("values must be positive somewhere: there is nothing inside")
    low, high = np.broadcast_to(low, 3).astype(float), np.broadcast_to(high, 3).astype(float)
    step = (high - low) / (np.array(values.shape) - 1)
    padded = np.pad(values, 1, constant_values=-np.abs(values).max())
    at = low + step * (np.indices(padded.shape).reshape(3, -1, order="F").T - 1.0)
    field = padded.ravel(order="F")  # the first axis runs fastest
    vertices, faces, _ = checks.extra("igl", "meshes").marching_cubes(field, at, *padded.shape)
    return Mesh(vertices, faces[:, ::-1])  # libigl turns them towards what is positive


def picture(made: Mesh, size: int = 160, turn: float = 0.0, tilt: float = 0.35) -> np.ndarray:
    """The mesh as seen from far away, coloured by where its surface faces: (size, size, 3).

    Red, green and blue are ½ + ½ of the outward normal's part to the right, upwards and towards the
    viewer; normals are blended over each face from those of its corners. White is background.

    Args:
        made: a mesh in [0, 1]³.
        size: pixels along a side, which spans 1.2 units.
        turn, tilt: about the upright y axis through the middle, then towards the viewer on the z
            axis, in radians.

    Chapter: Solid shapes.
    """
    (c, s), (a, b) = ((np.cos(angle), np.sin(angle)) for angle in (turn, tilt))
    turned = np.array([[1, 0, 0], [0, a, -b], [0, b, a]]) @ [[c, 0, s], [0, 1, 0], [-s, 0, c]]
    made = Mesh((made.vertices - 0.5) @ turned.T + 0.5, made.faces)
    at = (np.arange(checks.count("size", size)) + 0.5) / size * 1.2 - 0.1
    xy = np.stack(np.meshgrid(at, at[::-1], indexing="xy"), -1).reshape(-1, 2)
    face, weights = first_seen(made, np.insert(xy, 2, 9.0, axis=1), (0, 0, -1))
    hit = face >= 0
    normals = np.zeros_like(made.vertices)
    for k in range(3):
        np.add.at(normals, made.faces[:, k], made.normals)
    normal = np.einsum("nk,nki->ni", weights[hit], normals[made.faces[face[hit]]])
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    seen = np.ones((size * size, 3))
    seen[hit] = 0.5 + 0.5 * normal
    return seen.reshape(size, size, 3)
