"""Labelled points: where they lie, and that their labels are the mesh's answers."""

import jax
import numpy as np
import pytest

from fflib.operators import meshes
from fflib.worlds import solids

FOUND = solids.solids(("rope", "gyroid"))
READY = solids.prepare(FOUND, jax.random.key(0), 4096, 4096)


def one(e):
    return jax.tree.map(lambda x: x[e], READY.array)


@pytest.mark.parametrize("e", [0, 1])
def test_training_points_are_labelled_right(e):
    """Counting heights of prepared lines is what asking the mesh would give."""
    points, inside = solids.random_points(jax.random.key(1), one(e), 5000)
    np.testing.assert_array_equal(inside, meshes.inside(FOUND.array[e], points))
    low, high = READY.array["box"][e]
    assert (points >= low).all() and (points <= high).all()
    np.testing.assert_allclose((points.mean(0) - low) / (high - low), 0.5, atol=0.02)
    share = FOUND.array[e].volume / np.prod(high - low)
    assert abs(inside.mean() - share) < 0.03


def test_points_near_the_surface():
    """The share asked for lies around crossings of its lines, labelled right; the rest is as it
    was.
    """
    key, solid = jax.random.key(1), one(1)
    plain, _ = solids.random_points(key, solid, 4000)
    points, inside = solids.random_points(key, solid, 4000, near=0.5)
    np.testing.assert_array_equal(points[2000:], plain[2000:])
    np.testing.assert_array_equal(points[:, :2], plain[:, :2])
    np.testing.assert_array_equal(inside, meshes.inside(FOUND.array[1], points))
    heights = meshes.columns(FOUND.array[1], np.asarray(points[:2000, :2]))
    off = np.abs(heights - np.asarray(points[:2000, 2:])).min(1)
    crossing = np.isfinite(heights).any(1)
    assert (
        0.2 < crossing.mean() < 1 and np.quantile(off[crossing], 0.5) < 0.68 * solids.NEAR
    )  # at most: of the nearest
    np.testing.assert_array_equal(points[:2000][~crossing], plain[:2000][~crossing])
    assert 0.4 < inside[:2000][crossing].mean() < 0.6
    for share in (-0.1, 1.5):
        with pytest.raises(ValueError, match="near must be a share"):
            solids.random_points(key, solid, 10, near=share)


def test_test_points_lie_where_they_should():
    """Near ones: distance of N(0, σ²) from the surface, of which the offset along the normal is one
    part.
    """
    near = np.asarray(READY.array["near"][1])
    surface = meshes.on_surface(FOUND.array[1], jax.random.key(5), 60_000)
    nearest = np.min(
        [((near[:300, None] - part) ** 2).sum(-1).min(1) for part in np.split(surface, 20)], axis=0
    )
    assert (
        np.sqrt(nearest).max() < 4.5 * solids.SIGMA and np.sqrt(nearest).mean() > 0.3 * solids.SIGMA
    )
    assert 0.3 < READY.array["near_inside"].mean() < 0.7


def test_bad_counts():
    for lines, tests, says in (
        (0, 5, "lines must be at least 1"),
        (5, 0, "tests must be at least 1"),
    ):
        with pytest.raises(ValueError, match=says):
            solids.prepare(FOUND, jax.random.key(0), lines, tests)
