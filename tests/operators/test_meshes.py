"""Meshes: inside against analytic solids and solid angles, contours, files, and what is refused."""

import gzip
import subprocess
import sys

import jax
import numpy as np
import pytest
from library import library_modules

from fflib.operators import meshes
from fflib.operators.meshes import Mesh
from fflib.worlds import solids

CUBE_V = np.array(list(np.ndindex(2, 2, 2)), float)
CUBE_F = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4],
     [1, 5, 7], [1, 7, 3]]
)  # fmt: skip
RNG = np.random.default_rng(0)


def space(n):
    x = np.linspace(0, 1, n)
    return np.stack(np.meshgrid(x, x, x, indexing="ij"), -1)


def ball(v):
    return 0.35 - np.linalg.norm(v - 0.5, axis=-1)


def torus(v):
    x, y, z = np.moveaxis(v - 0.5, -1, 0)
    return 0.12 - np.hypot(np.hypot(x, y) - 0.3, z)


def rotation(seed=1):
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


def solid_angles(mesh, points):
    """Winding number by Van Oosterom and Strackee: tan(Ω/2) = det(a, b, c) / (…), Σ Ω / 4π."""
    a, b, c = np.moveaxis(mesh.triangles[None] - points[:, None, None], 2, 0)
    la, lb, lc = (np.linalg.norm(x, axis=-1) for x in (a, b, c))

    def dot(x, y):
        return (x * y).sum(-1)

    det = dot(a, np.cross(b, c))
    rest = la * lb * lc + dot(a, b) * lc + dot(b, c) * la + dot(c, a) * lb
    return np.arctan2(det, rest).sum(-1) / (2 * np.pi)


# ---------------------------------------------------------------- inside


def test_a_cube_on_a_grid_that_meets_its_edges_and_diagonals():
    cube = meshes.mesh(CUBE_V, CUBE_F)
    at = np.linspace(-0.5, 1.5, 17)
    points = np.stack(np.meshgrid(at, at, at), -1).reshape(-1, 3)
    off = np.abs(points - np.clip(points, 0, 1)).max(1) + np.minimum(points, 1 - points).min(
        1
    ).clip(0)
    clear = off > 0  # not on the surface, where either answer is right
    np.testing.assert_array_equal(
        meshes.inside(cube, points)[clear], ((points > 0) & (points < 1)).all(1)[clear]
    )
    assert 0.5 < clear.mean() < 1


@pytest.mark.parametrize("name", ["ball", "torus"])
def test_inside_agrees_with_the_formula(name):
    f = {"ball": ball, "torus": torus}[name]
    made = meshes.contour(f(space(40)))
    points = RNG.random((20000, 3))
    sure = np.abs(f(points)) > 4 / 39**2  # where the polyhedron and the solid differ by less
    np.testing.assert_array_equal(meshes.inside(made, points)[sure], (f(points) > 0)[sure])
    assert sure.mean() > 0.99


@pytest.mark.parametrize("name", ["rope", "gyroid"])
def test_inside_agrees_with_solid_angles(name):
    """An independent formula: what fraction of the sphere of directions the surface covers."""
    made = solids.builtin(name)
    points = np.concatenate([RNG.random((40, 3)), meshes.on_surface(made, jax.random.key(0), 60)])
    points[40:] += 0.01 * RNG.normal(size=(60, 3))
    winding = np.concatenate([solid_angles(made, p) for p in np.split(points, 20)])
    np.testing.assert_allclose(winding, np.round(winding), atol=1e-9)
    np.testing.assert_array_equal(meshes.inside(made, points), winding > 0.5)
    assert 0.1 < (winding > 0.5).mean() < 0.9


def test_inside_does_not_depend_on_the_direction_of_the_lines():
    made, points, Q = solids.builtin("rope"), RNG.random((20000, 3)), rotation()
    there = Mesh(made.vertices @ Q.T, made.faces)
    np.testing.assert_array_equal(meshes.inside(made, points), meshes.inside(there, points @ Q.T))


def test_overlapping_parts_are_one_solid():
    """Two cubes that overlap: the middle has winding number 2, which is inside and not outside."""
    made = Mesh(np.concatenate([CUBE_V, CUBE_V + 0.5]), np.concatenate([CUBE_F, CUBE_F + 8]))
    points = RNG.uniform(-0.2, 1.7, (5000, 3))
    each = [((points > k) & (points < 1 + k)).all(1) for k in (0, 0.5)]
    np.testing.assert_array_equal(meshes.inside(made, points), each[0] | each[1])


def test_the_share_of_points_inside_is_the_volume():
    made = solids.builtin("urchin")
    n = 200_000
    share = meshes.inside(made, np.random.default_rng(3).random((n, 3))).mean()
    assert abs(share - made.volume) < 4 * np.sqrt(made.volume * (1 - made.volume) / n)


@pytest.mark.parametrize("name", ["gyroid", "rope"])
def test_inside_is_exact_to_the_rounding_of_coordinates(name):
    """A millionth above and below the middle of every face of a size, along its normal."""
    made = solids.builtin(name)
    area = np.linalg.norm(made.normals, axis=-1)
    broad = area > np.median(area)
    middle, normal = made.triangles[broad].mean(1), made.normals[broad] / area[broad, None]
    assert meshes.inside(made, middle - 1e-6 * normal).all()
    assert not meshes.inside(made, middle + 1e-6 * normal).any()


def test_counting_heights_is_asking_the_mesh():
    """Lines and winding numbers are different geometry; on many faces and on twelve."""
    for made in (solids.builtin("gyroid"), meshes.normalise(meshes.mesh(CUBE_V, CUBE_F))[0]):
        points = np.random.default_rng(5).uniform(-0.1, 1.1, (30_000, 3))
        heights = meshes.columns(made, points[:, :2])
        np.testing.assert_array_equal(
            meshes.below(heights, points[:, 2]), meshes.inside(made, points)
        )
        assert (np.isfinite(heights).sum(1) % 2 == 0).all()


def test_lines_through_edges_and_diagonals():
    """Each crosses the cube just once or not, wherever it was moved to."""
    at = np.linspace(-0.5, 1.5, 17)
    xy = np.stack(np.meshgrid(at, at), -1).reshape(-1, 2)
    heights = meshes.columns(meshes.mesh(CUBE_V, CUBE_F), xy)
    assert heights.shape[1] == 2
    strictly, apart = ((xy > 0) & (xy < 1)).all(1), ((xy < 0) | (xy > 1)).any(1)
    np.testing.assert_allclose(heights[strictly], [[0, 1]] * strictly.sum(), atol=1e-6)
    assert np.isinf(heights[apart]).all()


def test_below_counts():
    heights = np.array([[0.2, 0.4, 0.6, np.inf], [np.inf] * 4])
    z = np.array([0.1, 0.3, 0.5, 0.9])
    assert meshes.below(heights[0], z).tolist() == [False, True, False, True]
    assert not meshes.below(jax.numpy.asarray(heights[1]), jax.numpy.asarray(z)).any()


def test_rays_meet_the_first_face():
    """Down through a ball: where it is hit, the height is the upper half's; beside it, nothing."""
    made = meshes.contour(ball(space(40)))
    xy = RNG.random((4000, 2))
    face, weights = meshes._first_seen(made, xy)
    r = np.linalg.norm(xy - 0.5, axis=1)
    assert (face[r < 0.34] >= 0).all() and (face[r > 0.35] == -1).all()
    hit = r < 0.3
    at = np.einsum("nk,nki->ni", weights[hit], made.triangles[face[hit]])
    np.testing.assert_allclose(at[:, :2], xy[hit], atol=1e-6)
    np.testing.assert_allclose(at[:, 2], 0.5 + np.sqrt(0.35**2 - r[hit] ** 2), atol=2e-3)


# ---------------------------------------------------------------- measures


def test_a_cube_measured():
    cube = meshes.mesh(CUBE_V, CUBE_F)
    assert (cube.volume, cube.area, cube.euler) == (pytest.approx(1), pytest.approx(6), 2)
    at = meshes.on_surface(cube, jax.random.key(0), 60_000)
    on_side = np.isclose(at, 0) | np.isclose(at, 1)
    assert on_side.any(1).all()
    np.testing.assert_allclose(np.isclose(at, 0).mean(0), 1 / 6, atol=0.01)
    np.testing.assert_allclose(at.mean(0), 0.5, atol=0.01)
    np.testing.assert_allclose(at.var(0), (2 / 3) / 12 + (1 / 3) / 4, atol=0.01)


def test_volume_and_area_do_not_turn_or_move():
    made, Q = solids.builtin("rope"), rotation(4)
    there = Mesh(made.vertices @ Q.T + [3, -2, 7], made.faces)
    np.testing.assert_allclose([there.volume, there.area], [made.volume, made.area], rtol=1e-9)


def test_normalise_fits_the_unit_cube_and_keeps_proportions():
    cuboid = meshes.mesh(CUBE_V * [4, 2, 1] + 5, CUBE_F)
    made, back = meshes.normalise(cuboid)
    np.testing.assert_allclose(back(made.vertices), cuboid.vertices, rtol=1e-12)
    assert back(np.full((2, 3, 3), 0.5)).shape == (2, 3, 3)
    np.testing.assert_allclose(meshes.box(made, 0), [[0, 0.25, 0.375], [1, 0.75, 0.625]])
    np.testing.assert_allclose(meshes.box(made), [[-1e-3, 0.249, 0.374], [1.001, 0.751, 0.626]])


def test_drawn_by_face_small_faces_get_more():
    """One side of the cube cut into nine: by area it keeps a sixth of the points, by face 18 of 28."""
    at = np.linspace(0, 1, 4)
    grid = np.array([[x, y, 1.0] for x in at for y in at])
    quads = [
        (4 * i + j, 4 * i + 4 + j, 4 * i + 5 + j, 4 * i + 1 + j) for i in range(3) for j in range(3)
    ]
    small = np.array([f for a, b, c, d in quads for f in ((a, b, c), (a, c, d))])
    top = np.isclose(CUBE_V[CUBE_F], 1).all(1)[:, 2]
    made = Mesh(np.concatenate([CUBE_V, grid]), np.concatenate([CUBE_F[~top], small + 8]))
    for by_face, share in ((False, 1 / 6), (True, 18 / 28)):
        at = meshes.on_surface(made, jax.random.key(0), 40_000, by_face=by_face)
        assert abs(np.isclose(at[:, 2], 1).mean() - share) < 0.01


# ---------------------------------------------------------------- contours and pictures


@pytest.mark.parametrize(
    ("f", "volume", "area", "euler"),
    [
        (ball, 4 / 3 * np.pi * 0.35**3, 4 * np.pi * 0.35**2, 2),
        (torus, 2 * np.pi**2 * 0.3 * 0.12**2, 4 * np.pi**2 * 0.3 * 0.12, 0),
    ],
)
def test_contours_converge_with_the_square_of_the_step(f, volume, area, euler):
    errors = []
    for n in (24, 47):
        made = meshes.contour(f(space(n)))
        meshes.mesh(*made)  # closed and oriented
        assert made.euler == euler
        errors.append([made.volume / volume - 1, made.area / area - 1])
    coarse, fine = np.abs(errors)
    assert (fine < 0.35 * coarse).all() and (fine < 0.01).all()


def test_a_contour_is_closed_whatever_the_values():
    """Noise, which also reaches the border of the grid."""
    made = meshes.contour(RNG.normal(size=(7, 8, 9)), [0, 0, 0], [6, 7, 8])
    meshes._check_edges(made.faces, "noise")
    assert made.volume > 0
    values = np.where(RNG.random((6, 6, 6)) > 0.5, 1.0, 0.0)  # zeros count as outside
    meshes._check_edges(meshes.contour(values).faces, "zeros")


def test_a_contour_of_a_plane_is_where_the_plane_is():
    made = meshes.contour(0.33 - space(9)[..., 2])
    top = made.vertices[made.vertices[:, 2] > 0.2]
    np.testing.assert_allclose(top[:, 2].max(), 0.33)
    inner = ((made.vertices > 0.01) & (made.vertices < 0.99)).all(1)
    np.testing.assert_allclose(made.vertices[inner][:, 2], 0.33)


def test_pictures_show_the_normals():
    made = meshes.contour(ball(space(48)))
    seen = meshes.picture(made, 60, tilt=0.0)
    at = (np.arange(60) + 0.5) / 60 * 1.2 - 0.6
    x, y = np.meshgrid(at, -at)
    inner, outer = np.hypot(x, y) < 0.3, np.hypot(x, y) > 0.36
    np.testing.assert_array_equal(seen[outer], 1)
    normal = np.stack([x, y, np.sqrt(np.maximum(0.35**2 - x**2 - y**2, 0))], -1) / 0.35
    np.testing.assert_allclose(seen[inner], 0.5 + 0.5 * normal[inner], atol=0.05)


def test_turning_shows_another_side():
    """A quarter turn about the upright axis brings what was on the left to the front."""
    flat = Mesh((CUBE_V - 0.5) * [0.1, 0.4, 0.8] + 0.5, CUBE_F)
    front, side = (meshes.picture(flat, 60, turn, 0.0) for turn in (0, np.pi / 2))

    def width(p):
        return (p.min(-1) < 0.99).any(0).sum()

    assert (width(front), width(side)) == (pytest.approx(5, abs=1), pytest.approx(40, abs=1))


# ---------------------------------------------------------------- checks and files


def test_an_open_mesh_is_refused():
    with pytest.raises(ValueError, match="not closed: 3 of its 18 edges belong to one face only"):
        meshes.mesh(CUBE_V, CUBE_F[:-1])


def test_an_inside_out_mesh_is_turned():
    made = meshes.mesh(CUBE_V, CUBE_F[:, ::-1])
    assert made.volume == pytest.approx(1)
    assert meshes.inside(made, np.full((1, 3), 0.3)).all()


def together(*parts):
    """One mesh of several (vertices, faces)."""
    first = np.cumsum([0, *(len(v) for v, _ in parts)])
    faces = [f + k for (_, f), k in zip(parts, first, strict=False)]
    return np.concatenate([v for v, _ in parts]), np.concatenate(faces)


@pytest.mark.parametrize("small", [1, -1])
@pytest.mark.parametrize("large", [1, -1])
def test_each_body_is_turned_outwards(large, small):
    """Two cubes beside each other, either of them or both inside out: one volume, one answer."""
    made = meshes.mesh(
        *together((CUBE_V, CUBE_F[:, ::large]), (0.8 * CUBE_V + [2, 0, 0], CUBE_F[:, ::small]))
    )
    assert made.volume == pytest.approx(1.512)
    assert meshes.inside(made, [[0.5, 0.5, 0.5], [2.4, 0.4, 0.4], [1.5, 0.5, 0.5]]).tolist() == [
        True, True, False,
    ]  # fmt: skip
    np.testing.assert_allclose(meshes.columns(made, [[2.41, 0.43]]), [[0, 0.8]], atol=1e-6)


@pytest.mark.parametrize("way", [1, -1])
def test_a_hollow_stays_hollow(way):
    """The inner cube faces the other way: nothing is wrong with it, nor with all of it turned."""
    hollow = together((CUBE_V, CUBE_F), (0.5 * CUBE_V + 0.25, CUBE_F[:, ::-1]))
    made = meshes.mesh(hollow[0], hollow[1][:, ::way])
    assert made.volume == pytest.approx(1 - 1 / 8)
    assert meshes.inside(made, [[0.1, 0.1, 0.1], [0.5, 0.5, 0.5]]).tolist() == [True, False]


def test_vertices_of_no_face_do_not_count():
    made = meshes.mesh(np.vstack([CUBE_V, [[1000.0, 0, 0]]]), CUBE_F)
    assert len(made.vertices) == 8
    np.testing.assert_allclose(meshes.box(meshes.normalise(made)[0], 0), [[0] * 3, [1] * 3])


@pytest.mark.parametrize("size", [1.0, 1e-4, 300.0])
def test_far_away_and_of_any_size(size):
    """Coordinates of a map: the solid is moved to the middle before anything is rounded."""
    origin = np.array([5e5, 4.5e6, 100.0])
    made = meshes.mesh(size * CUBE_V + origin, CUBE_F)
    points = np.random.default_rng(0).uniform(-0.3, 1.3, (5000, 3))
    wanted = ((points > 0) & (points < 1)).all(1)
    there = size * points + origin
    clear = np.abs(points[:, :, None] - [0, 1]).min((1, 2)) > 1e-4  # float64 itself rounds 4.5e6
    np.testing.assert_array_equal(meshes.inside(made, there)[clear], wanted[clear])
    heights = meshes.columns(made, there[:, :2])
    np.testing.assert_array_equal(meshes.below(heights, there[:, 2])[clear], wanted[clear])


def test_small_holes_are_closed_on_request():
    """A ball with 1 % of its faces gone: inside as before, and as the open surface's winding
    number.
    """
    whole = meshes.contour(ball(space(40)))
    rng = np.random.default_rng(2)
    gone = rng.random(len(whole.faces)) < 0.01
    with pytest.raises(ValueError, match=r"not closed: .* holes=True"):
        meshes.mesh(whole.vertices, whole.faces[~gone])
    made = meshes.mesh(whole.vertices, whole.faces[~gone], holes=True)
    points = rng.random((5000, 3))
    there = meshes.inside(made, points)
    assert (there == meshes.inside(whole, points)).mean() > 0.997
    winding = np.concatenate(
        [
            solid_angles(Mesh(whole.vertices, whole.faces[~gone]), p)
            for p in np.split(points[:500], 10)
        ]
    )
    assert (there[:500] == (winding > 0.5)).mean() > 0.99
    assert made.volume == pytest.approx(whole.volume, rel=1e-3)
    np.testing.assert_array_equal(
        meshes.below(meshes.columns(made, points[:, :2]), points[:, 2]), there
    )


def test_without_libigl_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "igl", None)
    with pytest.raises(ImportError, match=r"needs igl: pip install '.*\[meshes\]'"):
        meshes.inside(Mesh(CUBE_V, CUBE_F), np.zeros((1, 3)))


@pytest.mark.parametrize(
    ("vertices", "faces", "error", "says"),
    [
        (np.zeros((0, 3)), CUBE_F, ValueError, "empty: it has 0 vertices"),
        (CUBE_V, CUBE_F[:0], ValueError, "and 0 faces"),
        (np.where(CUBE_V == 1, np.nan, 0), CUBE_F, ValueError, "12 entries that are NaN"),
        (CUBE_V, CUBE_F + 1, ValueError, "vertices 0 to 7, but got 1 to 8"),
        (CUBE_V, CUBE_F - 1, ValueError, "but got -1 to 6"),
        (CUBE_V, CUBE_F * 1.0, TypeError, "whole numbers"),
        (CUBE_V[:, :2], CUBE_F, ValueError, r"\(V, 3\)"),
        (
            CUBE_V,
            np.concatenate([CUBE_F[:1, ::-1], CUBE_F[1:]]),
            ValueError,
            "not oriented: across 3 of",
        ),
        (CUBE_V, np.concatenate([CUBE_F, CUBE_F]), ValueError, "to more than two"),
        (CUBE_V * [1, 1, 0], np.array([[0, 2, 4], [0, 4, 2]]), ValueError, "no volume"),
    ],
)
def test_bad_meshes(vertices, faces, error, says):
    with pytest.raises(error, match=says):
        meshes.mesh(vertices, faces, "thing")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m: meshes.inside(m, np.zeros((4, 2))), r"points must have shape \(N, 3\)"),
        (lambda m: meshes.inside(m, np.full((4, 3), np.nan)), "points has 12 entries"),
        (lambda m: meshes.columns(m, np.zeros(3)), r"xy must have shape \(N, 2\)"),
        (lambda m: meshes.contour(np.zeros((3, 3))), "n₁, n₂, n₃"),
        (lambda m: meshes.contour(-np.ones((3, 3, 3))), "nothing inside"),
        (lambda m: meshes.contour(np.full((3, 3, 3), np.inf)), "values has 27"),
        (lambda m: solids.builtin("cow"), "'gyroid'"),
        (lambda m: solids.scans(("cow",)), "names must be one of"),
        (lambda m: solids.load_mesh("cow.fbx"), "a file of .*obj, .*ply"),
    ],
)
def test_bad_arguments(call, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=says):
        call(Mesh(CUBE_V, CUBE_F))


def cube_obj():
    """Corners counted from 1 and from the end, with textures, and sides as squares."""
    squares = [[1, 2, 4, 3], [5, 7, 8, 6], [1, 5, 6, 2], [3, 4, 8, 7], [1, 3, 7, 5], [2, 6, 8, 4]]
    rows = ["# a cube", *("v {} {} {}".format(*v) for v in CUBE_V), "vt 0 0"]
    rows += ["f " + " ".join(f"{k}/1" for k in s) for s in squares[:3]]
    rows += ["f " + " ".join(str(k - 9) for k in s) for s in squares[3:]]
    return "\n".join(rows).encode()


def cube_ply(form):
    head = (
        f"ply\nformat {form} 1.0\ncomment made here\nelement vertex 8\nproperty float x\nproperty float y\n"
        "property float z\nproperty uchar red\nelement face 12\nproperty list uchar int vertex_indices\nend_header\n"
    ).encode()
    if form == "ascii":
        rows = [f"{x} {y} {z} 0" for x, y, z in CUBE_V] + [
            "3 " + " ".join(map(str, f)) for f in CUBE_F
        ]
        return head + "\n".join(rows).encode()
    order = ">" if "big" in form else "<"
    v = np.zeros(8, [("p", order + "f4", 3), ("c", "u1")])
    f = np.zeros(12, [("n", "u1"), ("k", order + "i4", 3)])
    v["p"], f["n"], f["k"] = CUBE_V, 3, CUBE_F
    return head + v.tobytes() + f.tobytes()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("cube.obj", cube_obj()),
        (
            "cube.off",
            b"OFF\n8 12 0\n"
            + b"\n".join(b"%g %g %g" % tuple(v) for v in CUBE_V)
            + b"".join(b"\n3 %d %d %d" % tuple(f) for f in CUBE_F),
        ),
        ("cube.ply", cube_ply("ascii")),
        ("cube.ply", cube_ply("binary_little_endian")),
        ("cube.ply.gz", gzip.compress(cube_ply("binary_big_endian"))),
    ],
)
def test_files(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    made = solids.load_mesh(tmp_path / name)
    assert len(made.vertices) == 8 and len(made.faces) == 12
    assert (made.volume, made.area, made.euler) == (pytest.approx(1), pytest.approx(6), 2)


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("cube.ply", b"ply\n", "cannot be read"),
        ("cube.ply", cube_ply("ascii").replace(b"format ascii 1.0\n", b""), "unexpected length"),
        ("cube.ply", b"OFF", "[Nn]ot a ply"),
        ("cube.ply", cube_ply("binary_little_endian")[:-30], "unexpected length"),
        ("cube.ply", cube_ply("ascii")[:-20], "not closed"),
        ("cube.ply", b"\xff" * 90, "[Nn]ot a ply"),
        ("cube.obj", b"", "empty|cannot be read"),
        ("cube.obj", cube_obj().replace(b"f 1/1", b"f one/1"), "cannot be read"),
        ("cube.obj", cube_obj().replace(b"f 1/1", b"f 90/1"), "cannot be read"),
        ("cube.stl", b"solid", "cannot be read|empty"),
        ("cube.ply.gz", cube_ply("ascii"), "gzip"),
        ("cube.ply.gz", gzip.compress(cube_ply("ascii"))[:-30], "end"),
    ],
)
def test_damaged_files(tmp_path, name, data, why):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=f"{name}.*({why})"):
        solids.load_mesh(tmp_path / name)


def test_other_kinds_of_files(tmp_path):
    """A scene of two parts as GLB, in which single precision is enough for eighths."""
    trimesh = pytest.importorskip("trimesh")
    scene = trimesh.Scene([trimesh.Trimesh(CUBE_V + k, CUBE_F, process=False) for k in (0, 2)])
    (tmp_path / "two.glb").write_bytes(scene.export(file_type="glb"))
    made = solids.load_mesh(tmp_path / "two.glb")
    assert made.volume == pytest.approx(2) and len(made.faces) == 24


@pytest.mark.parametrize("kind", ["ply", "stl"])
def test_a_mesh_comes_back(tmp_path, kind):
    """Written by trimesh in single precision; an STL names every corner anew."""
    trimesh, made = pytest.importorskip("trimesh"), solids.builtin("urchin")
    trimesh.Trimesh(*made, process=False).export(tmp_path / f"urchin.{kind}")
    again = solids.load_mesh(tmp_path / f"urchin.{kind}")
    assert again.euler == made.euler
    np.testing.assert_allclose([again.volume, again.area], [made.volume, made.area], rtol=1e-5)


@pytest.mark.parametrize(("name", "euler"), [("rope", 0), ("urchin", 2)])
def test_built_in_solids(name, euler):
    made = solids.builtin(name)
    low, high = meshes.box(made, 0)
    assert (
        made.euler == euler and (low >= 0).all() and (high <= 1).all() and (high - low).max() > 0.8
    )
    again = solids.builtin(name)
    np.testing.assert_array_equal(made.vertices, again.vertices)


def test_the_gyroid_has_many_handles():
    assert solids.builtin("gyroid").euler < -20


def test_without_the_scans_there_are_the_built_in_solids(tmp_path, monkeypatch):
    monkeypatch.setenv("FFLIB_CACHE", str(tmp_path))
    monkeypatch.delenv("FFLIB_DATA", raising=False)
    with pytest.warns(
        UserWarning, match="dragon.obj has no public address.*Taking the built-in solids"
    ):
        found = solids.scans(("dragon",))
    assert found.names == ("rope",)


def test_importing_the_library_loads_no_mesh_library():
    """They are an extra: whoever has no meshes needs neither."""
    names = [name for name in library_modules() if not name.startswith("fflib.show")]
    script = f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\n"
    script += "print(sorted({'igl', 'trimesh'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
