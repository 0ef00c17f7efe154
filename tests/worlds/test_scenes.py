"""The built-in scene: exact intersections against marching through the solids, and what cameras
see.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from fflib.operators import cameras
from fflib.worlds import scenes

SOLIDS = scenes.bricks()


def inside(point):
    """Whether points (..., 3) lie in a solid: an independent, pointwise test."""
    q = (point[..., None, :] - np.asarray(SOLIDS.centre)) / np.asarray(SOLIDS.half)
    box = (np.abs(q) < 1).all(-1)
    round_ = (np.hypot(q[..., 0], q[..., 1]) < 1) & (np.abs(q[..., 2]) < 1)
    return np.where(np.asarray(SOLIDS.round), round_, box).any(-1)


@pytest.fixture(scope="module")
def rays():
    poses = cameras.hemisphere(4)
    o, d = cameras.rays(poses[:, None, None], cameras.pixel_centres(8, 8), 10.0, (8, 8))
    return np.asarray(o).reshape(-1, 3), np.asarray(d).reshape(-1, 3)


def test_the_first_hit_is_where_marching_first_meets_a_solid(rays):
    o, d = rays
    _, depth = scenes.trace(SOLIDS, jnp.asarray(o), jnp.asarray(d))
    t = np.linspace(2.5, 5.5, 1501)
    solid = inside(o[:, None] + t[:, None] * d[:, None])
    marched = np.where(solid.any(1), t[solid.argmax(1)], np.inf)
    agree = np.isclose(depth, marched, atol=3e-3) | (np.isinf(marched) & np.isinf(depth))
    assert agree.mean() > 0.98  # the march may step over a corner
    assert (np.asarray(depth) <= marched + 1e-4).all()
    assert 0.2 < np.isfinite(depth).mean() < 0.8


def test_one_box_by_hand():
    box = scenes.Blocks(
        *(jnp.asarray(a) for a in ([[0.0, 0, 0]], [[1.0, 2, 3]], [[1.0, 1, 1]])), jnp.array([False])
    )
    colour, depth = scenes.trace(
        box,
        jnp.array([[5.0, 0, 0], [0, 0, 5.0], [0, 5, 0]]),
        jnp.array([[-1.0, 0, 0], [0, 0, -1.0], [0, 1, 0]]),
    )
    np.testing.assert_allclose(depth, [4, 2, np.inf], rtol=1e-5)
    assert (colour[2] == 0).all()


def test_one_cylinder_by_hand():
    """Radius 1, from z = −2 to 2: met on its side, its lid, and not at all beside it."""
    can = scenes.Blocks(
        *(jnp.asarray(a) for a in ([[0.0, 0, 0]], [[1.0, 1, 2]], [[1.0, 1, 1]])), jnp.array([True])
    )
    o = jnp.array([[5.0, 0.6, 0], [0.5, 0.5, 9], [5, 0.9, 0], [5, 1.1, 0], [0.9, 0.9, 9]])
    d = jnp.array([[-1.0, 0, 0], [0, 0, -1], [-1, 0, 0], [-1, 0, 0], [0, 0, -1]])
    np.testing.assert_allclose(
        scenes.trace(can, o, d)[1], [4.2, 7, 5 - np.sqrt(0.19), np.inf, np.inf], rtol=1e-5
    )


def test_light_comes_from_the_lamp():
    """A lid in the open is brighter than a side that the lamp cannot see, which gets the 0.4 of all
    around.
    """
    box = scenes.Blocks(
        *(jnp.asarray(a) for a in ([[0.0, 0, 0]], [[0.07, 0.07, 0.05]], [[1.0, 1, 1]])),
        jnp.array([False]),
    )
    o, d = jnp.array([[0.03, 0.03, 4.0], [-4, 0.03, 0.02]]), jnp.array([[0, 0, -1.0], [1, 0, 0]])
    lid, side = np.asarray(scenes.trace(box, o, d)[0])[:, 0]
    tones = (1.0, 0.62)
    assert any(np.isclose(lid, tone * (0.4 + 0.6 * scenes.LAMP[2]), rtol=1e-4) for tone in tones)
    assert any(np.isclose(side, tone * 0.4, rtol=1e-4) for tone in tones)


def test_a_roof_casts_a_shadow():
    plate, roof = ([0.0, 0, 0], [2.0, 2, 0.02]), ([0.0, 0, 1.0], [0.5, 0.5, 0.02])
    centre, half = (jnp.asarray(a) for a in zip(plate, roof, strict=True))
    both = scenes.Blocks(centre, half, jnp.ones((2, 3)), jnp.array([False, False]))
    alone = scenes.Blocks(centre[:1], half[:1], jnp.ones((1, 3)), jnp.array([False]))
    shade = (
        -scenes.LAMP / scenes.LAMP[2]
    )  # where the roof's middle throws its shadow, as seen from below it
    o = jnp.asarray(np.array([[*shade[:2], 0.5], [1.5, 1.5, 0.5]]), jnp.float32)
    d = jnp.array([[0, 0, -1.0]] * 2)
    shadowed, open_ = (np.asarray(scenes.trace(blocks, o, d)[0])[:, 0] for blocks in (both, alone))
    dark, light = shadowed / open_
    assert dark == pytest.approx(0.4 / (0.4 + 0.6 * scenes.LAMP[2]), rel=1e-4) and light == 1


def test_the_scene_fits_between_near_and_far_and_in_the_picture():
    poses = cameras.hemisphere(40)
    corners = np.asarray(SOLIDS.centre)[:, None] + np.asarray(SOLIDS.half)[:, None] * (
        np.stack(np.meshgrid([-1, 1], [-1, 1], [-1, 1]), -1).reshape(-1, 3)
    )
    distance = np.linalg.norm(np.asarray(poses)[:, None, None, :3, 3] - corners, axis=-1)
    assert distance.min() > scenes.REACH[0] and distance.max() < scenes.REACH[1]
    images = np.asarray(scenes.views(30, poses, oversample=1).images)
    filled = images.max(-1) > 0
    edges = filled[:, [0, -1], :].any((1, 2)) | filled[:, :, [0, -1]].any((1, 2))
    assert 0.25 < filled.mean() < 0.65 and edges.mean() < 0.2  # in nearly all pictures it is whole


def test_pictures_of_the_scene():
    poses = cameras.hemisphere(2)
    fine, coarse = scenes.views(24, poses), scenes.views(24, poses, oversample=1)
    assert fine.images.shape == (2, 24, 24, 3) and float(fine.lens[0, 0]) == pytest.approx(
        24 * 1.25
    )
    assert np.abs(np.asarray(fine.images) - coarse.images).mean() < 0.05
    colour, depth = scenes.trace(
        SOLIDS, *cameras.rays(poses[0], cameras.pixel_centres(24, 24), coarse.lens[0], (24, 24))
    )
    np.testing.assert_allclose(coarse.images[0], colour, atol=2e-3)
    assert np.array_equal(np.isfinite(depth), np.asarray(coarse.images[0]).max(-1) > 0)


def test_every_surface_looks_the_same_from_everywhere():
    """No gloss: where two cameras see the same point they see the same colour."""
    point = np.array([[0.93, -0.93, scenes.GROUND]])
    eyes = np.asarray(cameras.hemisphere(20))[:, :3, 3]
    d = (point - eyes) / np.linalg.norm(point - eyes, axis=1, keepdims=True)
    colour, depth = scenes.trace(SOLIDS, jnp.asarray(eyes), jnp.asarray(d, jnp.float32))
    unhidden = np.abs(np.asarray(depth) - np.linalg.norm(point - eyes, axis=1)) < 1e-3
    assert unhidden.sum() > 5
    assert np.ptp(np.asarray(colour)[unhidden], axis=0).max() < 1e-4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scenes.views(0, cameras.hemisphere(1)), "size must be at least 1"),
        (lambda: scenes.views(8, 2 * cameras.hemisphere(1)), "is no rotation"),
        (
            lambda: scenes.views(8, cameras.hemisphere(1), oversample=0),
            "oversample must be at least 1",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
