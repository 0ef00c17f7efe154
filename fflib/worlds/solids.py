"""Solids to learn: your own files, those the book makes itself, the paper's scans; labelled points.

A mesh is asked once, beforehand, so that a training step with new points costs a few comparisons.
"""

import gzip
import hashlib
import io
import os
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks
from fflib.operators import meshes
from fflib.operators.meshes import Mesh, contour, mesh, normalise
from fflib.worlds.fetch import FetchError, fetch
from fflib.worlds.items import Items, reading

SCANS = ("dragon", "armadillo", "buddha", "lucy")
BUILTIN = ("rope", "gyroid", "urchin")
SIGMA = 0.01  # how far test points lie from the surface
NEAR = 0.03  # how far from it, along a vertical line, training points of "ours" lie


def builtin(name: str) -> Mesh:
    """A closed mesh the book makes itself, in [0, 1]³.

    "rope": a trefoil knot of rope with strands; "gyroid": a ball with the passages of a gyroid cut
    out; "urchin": a ball with 80 bumps. Raises: ValueError for another name. Chapter: Solid shapes.
    """
    made = {"rope": _rope, "gyroid": _gyroid, "urchin": _urchin}
    return normalise(made[checks.one_of("name", name, BUILTIN)]())[0]


def _tube(curve, radius) -> Mesh:
    """A closed tube about a closed curve (n, 3), its surface ``radius`` (n, around) from it."""
    n, around = radius.shape
    along = np.roll(curve, -1, 0) - np.roll(curve, 1, 0)
    along /= np.linalg.norm(along, axis=-1, keepdims=True)
    across = curve - curve.mean(0)  # a frame that comes back to itself, since the curve does
    across = np.cross(along, np.cross(across, along))
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    third = np.cross(along, across)
    angle = 2 * np.pi * np.arange(around) / around
    ring = np.cos(angle)[:, None] * across[:, None] + np.sin(angle)[:, None] * third[:, None]
    vertices = curve[:, None] + radius[..., None] * ring
    i, j = np.meshgrid(np.arange(n), np.arange(around), indexing="ij")
    a, b = i * around + j, (i + 1) % n * around + j
    c, d = (i + 1) % n * around + (j + 1) % around, i * around + (j + 1) % around
    faces = np.stack([a, b, c, a, c, d], -1).reshape(-1, 3)
    return mesh(vertices.reshape(-1, 3), faces)


def _rope() -> Mesh:
    t = 2 * np.pi * np.arange(420) / 420
    across = [np.sin(t) + 2 * np.sin(2 * t), np.cos(t) - 2 * np.cos(2 * t)]
    knot = np.stack([*across, -1.2 * np.sin(3 * t)], -1)
    angle = 2 * np.pi * np.arange(28) / 28  # four strands side by side, turning along the knot
    strands = 1 - 0.3 * np.abs(np.sin((4 * angle + 36 * t[:, None]) / 2)) ** 0.7
    return _tube(knot, 0.62 * strands)


def _gyroid() -> Mesh:
    v = np.mgrid[-1:1:52j, -1:1:52j, -1:1:52j]
    s, c = np.sin(2 * np.pi * 1.25 * v), np.cos(2 * np.pi * 1.25 * v)
    wave = s[0] * c[1] + s[1] * c[2] + s[2] * c[0]
    return contour(np.minimum(0.95 - np.linalg.norm(v, axis=0), 0.12 * wave), -1, 1)


def _urchin() -> Mesh:
    v = np.moveaxis(np.mgrid[-1:1:52j, -1:1:52j, -1:1:52j], 0, -1)
    r = np.linalg.norm(v, axis=-1)
    k = np.arange(80) + 0.5  # a spiral from pole to pole spreads points evenly over a sphere
    up, angle = 1 - k / 40, np.pi * (1 + 5**0.5) * k
    flat = np.sqrt(1 - up**2)
    bumps = np.stack([flat * np.cos(angle), flat * np.sin(angle), up], -1)
    cosine = v @ bumps.T / np.maximum(r, 1e-9)[..., None]
    return contour(0.68 + 0.27 * np.exp(60 * (cosine - 1)).sum(-1) - r, -1, 1)


def load_mesh(path: str | os.PathLike, *, holes: bool = False) -> Mesh:
    """A closed mesh from a file, also gzipped, that trimesh reads: .obj, .ply, .stl, .glb and more.

    Faces of more than three corners are cut, the parts of a scene become one mesh. ``holes`` as in
    :func:`fflib.operators.meshes.mesh`, whose errors it raises, too. Raises: FileNotFoundError;
    ValueError for another kind of file or a damaged one. Chapter: Solid shapes.
    """
    trimesh, named = checks.extra("trimesh", "meshes"), Path(path)
    packed = named.suffix.lower() == ".gz"
    kind = (Path(named.stem) if packed else named).suffix.lower().removeprefix(".")
    kinds = sorted(trimesh.available_formats())
    checks.must(kind in kinds, "path", f"name a file of {', '.join(kinds)}", repr(str(path)))
    with reading("mesh", path) as where:
        data = where.read_bytes()
        file = io.BytesIO(gzip.decompress(data) if packed else data)
        read = trimesh.load_mesh(file, file_type=kind, process=False, skip_materials=True)
        vertices, faces = read.vertices, read.faces
    return mesh(vertices, faces, named.name, holes=holes)


def scans(names=SCANS[:3]) -> Items:
    """Meshes of the Stanford repository, as the paper used; else the built-in ones, with a warning.

    The files known here are watertight reductions to 20 000–100 000 faces, coarser than the paper's
    and without an address of their own: they are found in FFLIB_DATA. The originals at
    graphics.stanford.edu/data/3Dscanrep, some with holes, are for :func:`load_mesh` with
    ``holes=True``. Raises: ValueError for an unknown name. Chapter: Solid shapes.
    """
    for name in names:
        checks.one_of("names", name, SCANS)
    try:
        found = tuple(normalise(load_mesh(fetch(f"{name}.obj")))[0] for name in names)
    except FetchError as error:
        warnings.warn(f"{error}. Taking the built-in solids instead", stacklevel=2)
        return solids(BUILTIN[: len(names)])
    faces = ", ".join(f"{len(m.faces)}" for m in found)
    origin = f"Stanford scans, watertight reductions of {faces} faces, coarser than the paper's"
    return Items(tuple(names), found, "", origin)


def solids(names=BUILTIN[:3]) -> Items:
    """Meshes of built-in solids by their names. Chapter: Solid shapes."""
    return Items(tuple(names), tuple(map(builtin, names)), "", "solids made by this book")


def prepare(
    found: Items, key: jax.Array, lines: int, tests: int, *, by_face: bool = False
) -> Items:
    """Ask E meshes everything that training and tests will want to know, once.

    A training point lies on one of ``lines`` vertical lines at a height drawn anew in every step,
    so that its label is exact and costs a comparison with a few numbers. Test points are uniform in
    the box, and on the surface with N(0, 0.01²) added to every coordinate: uniform there, or, as
    published, with ``by_face`` on faces drawn regardless of their area. Returns: items of ``box``
    (E, 2, 3); for training ``xy`` (E, C, 2), lines uniform in the box, and ``heights`` (E, C, K),
    where they enter and leave the solid; for tests ``uniform`` and ``near`` (E, T, 3), points of
    which ``uniform_inside`` and ``near_inside`` (E, T) tell the truth. Raises: ValueError when a
    number is below 1. Chapter: Solid shapes.
    """
    lines, tests = checks.count("lines", lines), checks.count("tests", tests)
    keys = jax.random.split(checks.key("key", key), len(found.array))
    made = [_prepare(m, k, lines, tests, by_face) for m, k in zip(found.array, keys, strict=True)]
    most = max(one["heights"].shape[1] for one in made)
    for one in made:
        more = ((0, 0), (0, most - one["heights"].shape[1]))
        one["heights"] = np.pad(one["heights"], more, constant_values=np.inf)
    data = b"".join(x.tobytes() for m in found.array for x in (m.vertices, m.faces))
    array = {k: jnp.asarray(np.stack([one[k] for one in made])) for k in made[0]}
    return Items(found.names, array, hashlib.sha256(data).hexdigest(), found.origin)


def _prepare(m: Mesh, key, lines: int, tests: int, by_face: bool) -> dict[str, np.ndarray]:
    k_lines, k_uniform, k_surface, k_noise = jax.random.split(key, 4)
    low, high = box = meshes.box(m).astype(np.float32)
    xy = low[:2] + (high - low)[:2] * np.asarray(jax.random.uniform(k_lines, (lines, 2)))
    uniform = low + (high - low) * np.asarray(jax.random.uniform(k_uniform, (tests, 3)))
    noise = SIGMA * np.asarray(jax.random.normal(k_noise, (tests, 3)))
    near = meshes.on_surface(m, k_surface, tests, by_face=by_face) + noise
    heights = meshes.columns(m, xy).astype(np.float32)
    asked = {"uniform": uniform, "near": near.astype(np.float32)}
    told = {f"{name}_inside": meshes.inside(m, points) for name, points in asked.items()}
    return {"box": box, "xy": xy, "heights": heights} | asked | told


def random_points(
    key: jax.Array, solid: dict[str, jax.Array], n: int, near: float = 0.0
) -> tuple[jax.Array, jax.Array]:
    """n points, uniform in the box of one solid, and whether they lie inside: (n, 3) and (n,).

    The first ``near · n`` of them are moved along their lines to where one of the line's crossings
    of the surface is, plus N(0, 0.03²); those on lines that cross nothing stay where they are.
    Raises: ValueError when ``near`` is no share. Chapter: Solid shapes; ``near``: Beating Table 1.
    """
    checks.must(0 <= near <= 1, "near", "be a share from 0 to 1", repr(near))
    k_line, k_z = jax.random.split(checks.key("key", key))
    line = jax.random.randint(k_line, (n,), 0, len(solid["xy"]))
    heights, (low, high) = solid["heights"][line], solid["box"][:, 2]
    z = jax.random.uniform(k_z, (n,), minval=low, maxval=high)
    if moved := round(near * n):
        k_which, k_off = jax.random.split(jax.random.fold_in(key, 2))
        crossings = jnp.isfinite(heights[:moved]).sum(-1)
        which = jnp.floor(jax.random.uniform(k_which, (moved,)) * crossings).astype(int)
        at = jnp.take_along_axis(heights[:moved], which[:, None], 1)[:, 0]
        at = jnp.clip(at + NEAR * jax.random.normal(k_off, (moved,)), low, high)
        z = z.at[:moved].set(jnp.where(crossings > 0, at, z[:moved]))
    points = jnp.concatenate([solid["xy"][line], z[:, None]], -1)
    return points, meshes.below(heights, z)
