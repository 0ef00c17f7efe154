"""Cameras and volume rendering against closed forms, differences, symmetries, and an independent
way to compute it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import in_float64, x64

from fflib.operators import cameras, render

KEY = jax.random.key(0)
NEAR, FAR = 2.0, 6.0


def rotation(seed=0):
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def some_rays(n=5, samples=7):
    k = jax.random.split(KEY, 3)
    density = 2 * jax.random.uniform(k[0], (n, samples))
    colour = jax.random.uniform(k[1], (n, samples, 3))
    return density, colour, render.samples(NEAR, FAR, samples, k[2], (n,))


# --------------------------------------------------------------------------------------------------
# Adding up along a ray


@pytest.mark.parametrize("sigma", [1e-4, 0.3, 2.0, 40.0])
def test_constant_density_has_its_closed_form(sigma):
    """Opacity 1 − e^{−σL}, for any samples, L from the first of them; depth near + (1 − e^{−σL})/σ
    as n grows.
    """
    for n, key in ((1, KEY), (9, KEY), (4000, None)):
        t = render.samples(NEAR, FAR, n, key, (3,))
        seen = render.composite(jnp.full(t.shape, sigma), jnp.ones((*t.shape, 3)), t, FAR)
        np.testing.assert_allclose(seen.opacity, -np.expm1(-sigma * (FAR - t[:, 0])), rtol=2e-4)
    np.testing.assert_allclose(
        seen.depth, NEAR - np.expm1(-sigma * (FAR - NEAR)) / sigma, rtol=1e-3
    )
    np.testing.assert_allclose(seen.colour, seen.opacity[:, None] * np.ones(3), rtol=1e-5)


def test_two_slabs():
    """What is behind a slab of optical thickness τ₁ is seen with e^{−τ₁}."""
    t = jnp.linspace(NEAR, FAR, 400, endpoint=False)
    first, second = (t >= 3) & (t < 3.5), (t >= 4) & (t < 5)
    red, blue = jnp.array([1.0, 0, 0]), jnp.array([0, 0, 1.0])
    seen = render.composite(
        1.5 * first + 0.7 * second, first[:, None] * red + second[:, None] * blue, t, FAR
    )
    through = np.exp(-0.75), np.exp(-0.75 - 0.7)
    np.testing.assert_allclose(seen.colour, [1 - through[0], 0, through[0] - through[1]], rtol=1e-4)
    np.testing.assert_allclose(seen.opacity, 1 - through[1], rtol=1e-4)
    np.testing.assert_allclose(seen.weights[first].sum(), 1 - through[0], rtol=1e-4)


def test_an_opaque_wall_hides_all_behind_it():
    density, colour, t = some_rays()
    density = density.at[:, 3].set(1e6)
    seen = render.composite(density, colour, t, FAR)
    other = render.composite(density.at[:, 4:].mul(7.0), colour.at[:, 4:].set(0.1), t, FAR)
    np.testing.assert_allclose(seen.colour, other.colour, rtol=1e-6)
    np.testing.assert_allclose(seen.opacity, 1, rtol=1e-6)
    assert (seen.weights[:, 4:] == 0).all()


def test_nothing_there_is_black_clear_and_far():
    t = render.samples(NEAR, FAR, 5)
    seen = render.composite(jnp.zeros(5), jnp.ones((5, 3)), t, FAR)
    assert seen.opacity == 0 and (seen.colour == 0).all() and seen.depth == FAR


def test_against_the_textbook_loop():
    """α_i and running products, ray by ray, in float64."""
    density, colour, t = (np.asarray(a, np.float64) for a in some_rays())
    seen = render.composite(*some_rays(), FAR)
    for i in range(len(t)):
        light, total = 1.0, np.zeros(3)
        for j, end in enumerate([*t[i, 1:], FAR]):
            alpha = 1 - np.exp(-density[i, j] * (end - t[i, j]))
            np.testing.assert_allclose(seen.weights[i, j], light * alpha, rtol=1e-4, atol=1e-7)
            total += light * alpha * colour[i, j]
            light *= 1 - alpha
        np.testing.assert_allclose(seen.colour[i], total, rtol=1e-5)
        np.testing.assert_allclose(seen.opacity[i], 1 - light, rtol=1e-5)


def test_no_more_light_than_there_is():
    """Weights are not negative and sum to 1 at most, also where densities are extreme."""
    density, colour, t = some_rays(200)
    density = density * 10.0 ** jax.random.uniform(KEY, density.shape, minval=-8, maxval=12)
    seen = render.composite(density, colour, t, FAR)
    assert (
        (seen.weights >= 0).all()
        and (seen.opacity <= 1 + 1e-6).all()
        and (seen.colour <= 1 + 1e-6).all()
    )
    assert ((seen.depth >= NEAR - 1e-5) & (seen.depth <= FAR + 1e-5)).all()


@pytest.mark.parametrize("output", ["colour", "depth", "opacity"])
def test_gradients_against_differences(output):
    with x64(True):
        density, colour, t = (jnp.asarray(np.asarray(a), "float64") for a in some_rays(2, 4))

        def total(density, colour):
            return (jnp.cos(getattr(render.composite(density, colour, t, FAR), output))).sum()

        gradients = jax.grad(total, argnums=(0, 1))(density, colour)
        for argument, gradient in enumerate(gradients):
            given = [density, colour]
            step = np.zeros(gradient.shape)
            for index in np.ndindex(gradient.shape):
                step[index] = 1e-6
                up, down = (
                    total(*given[:argument], given[argument] + s * step, *given[argument + 1 :])
                    for s in (1, -1)
                )
                np.testing.assert_allclose(
                    gradient[index], (up - down) / 2e-6, rtol=1e-6, atol=1e-8
                )
                step[index] = 0.0


def test_gradients_stay_finite_where_densities_are_extreme():
    density, colour, t = some_rays()
    for factor in (0.0, 1e30):
        gradient = jax.grad(lambda d: render.composite(d, colour, t, FAR).colour.sum())(
            factor * density
        )
        assert np.isfinite(gradient).all()


def test_float32_is_close_to_float64():
    args = some_rays(50, 64)
    wide = in_float64(lambda *a: render.composite(*a, FAR), *args)
    for a, b in zip(render.composite(*args, FAR), wide, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


# --------------------------------------------------------------------------------------------------
# Samples


def test_one_sample_in_each_part():
    t = np.asarray(render.samples(NEAR, FAR, 16, KEY, (1000,)))
    edges = np.linspace(NEAR, FAR, 17)
    assert (t >= edges[:-1] - 1e-5).all() and (t <= edges[1:] + 1e-5).all()
    np.testing.assert_allclose(
        render.samples(NEAR, FAR, 16), (edges[1:] + edges[:-1]) / 2, rtol=1e-6
    )


def test_stratified_sampling_is_unbiased_and_steadier():
    """(far − near)·mean f(t) estimates ∫f without bias, with less variance than independent
    samples.
    """

    def f(t):
        return np.exp(-((np.asarray(t, np.float64) - 3.3) ** 2) / 0.02)

    truth = np.sqrt(0.02 * np.pi)
    estimate = (FAR - NEAR) * f(render.samples(NEAR, FAR, 8, KEY, (40000,))).mean(-1)
    error = estimate.std() / np.sqrt(len(estimate))
    assert abs(estimate.mean() - truth) < 4 * error and error < truth / 200
    independent = (FAR - NEAR) * f(
        jax.random.uniform(KEY, (40000, 8), minval=NEAR, maxval=FAR)
    ).mean(-1)
    assert estimate.std() < 0.8 * independent.std()


# --------------------------------------------------------------------------------------------------
# Cameras


def test_a_camera_at_the_origin_looks_along_minus_z():
    o, d = cameras.rays(jnp.eye(4), cameras.pixel_centres(3, 5), 2.0, (3, 5))
    assert o.shape == d.shape == (3, 5, 3) and (o == 0).all()
    np.testing.assert_allclose(d[1, 2], [0, 0, -1], atol=1e-7)
    assert (d[0, :, 1] > 0).all() and (d[:, 4, 0] > 0).all()  # up, right
    np.testing.assert_allclose(jnp.linalg.norm(d, axis=-1), 1, rtol=1e-6)
    np.testing.assert_allclose(d[1, 4] / -d[1, 4, 2], [2 / 2.0, 0, -1], atol=1e-6)


def test_a_point_is_seen_where_perspective_puts_it():
    """Through the pixel (row, column) = (H/2 − f y/z, W/2 + f x/z), in the camera's frame."""
    pose, focal, size = cameras.look_at([3.0, -1.5, 2.0]), 40.0, (30, 20)
    point = np.array([0.3, 0.4, -0.2])
    x, y, z = np.asarray(pose, np.float64)[:3, :3].T @ (point - [3.0, -1.5, 2.0])
    pixel = jnp.array([size[0] / 2 + focal * y / z, size[1] / 2 - focal * x / z])
    o, d = cameras.rays(pose, pixel, focal, size)
    np.testing.assert_allclose(np.cross(point - o, d), 0, atol=1e-5)


def test_look_at_looks_there_and_keeps_up_upwards():
    pose = np.asarray(cameras.check_poses(cameras.look_at([1.0, 2, 3], target=[0.5, 0, 0])))
    back = np.array([0.5, 2, 3])
    np.testing.assert_allclose(pose[:3, 2], back / np.linalg.norm(back), rtol=1e-6)
    assert pose[2, 1] > 0 and abs(pose[2, 0]) < 1e-7


def test_poses_around_a_scene():
    for poses in (cameras.hemisphere(64, 4.0), cameras.hemisphere(12, 4.0, skip=5)):
        positions = np.asarray(poses)[:, :3, 3]
        np.testing.assert_allclose(np.linalg.norm(positions, axis=1), 4, rtol=1e-5)
        np.testing.assert_allclose(poses[:, :3, 2] * 4, positions, atol=1e-5)
        assert (positions[:, 2] > 0).all()
    np.testing.assert_array_equal(cameras.hemisphere(5, skip=3), cameras.hemisphere(8)[3:])


@pytest.mark.parametrize("skip", [0, 100])
def test_any_stretch_of_the_hemisphere_is_spread_evenly(skip):
    """Each of 4 × 2 patches of equal area gets its share of 64 cameras, give or take three."""
    x, y, z = np.asarray(cameras.hemisphere(64, 1.0, skip=skip))[:, :3, 3].T
    patch = (np.floor((np.arctan2(y, x) / (2 * np.pi) % 1) * 4) * 2 + (z > 0.5)).astype(int)
    assert np.abs(np.bincount(patch, minlength=8) - 8).max() <= 3


def test_turning_scene_and_cameras_together_changes_nothing():
    R = rotation()

    def blob(x):
        return (3 * jnp.exp(-((x - jnp.array([0.3, -0.2, 0.4])) ** 2).sum(-1)), jax.nn.sigmoid(x))

    def turned(x):
        return blob(x @ R)  # a point of the turned world, turned back

    pose, t = cameras.look_at([2.0, -3, 1.5]), render.samples(NEAR, FAR, 24)
    a = render.picture(blob, pose, 10.0, (6, 7), t, FAR)
    whole = np.eye(4)
    whole[:3, :3] = R
    b = render.picture(turned, whole @ pose, 10.0, (6, 7), t, FAR)
    for p, q in zip(a, b, strict=True):
        np.testing.assert_allclose(p, q, atol=2e-5)
    assert np.abs(a.colour - render.picture(turned, pose, 10.0, (6, 7), t, FAR).colour).max() > 0.05


def test_a_picture_is_its_rays():
    def blob(x):
        return (jnp.exp(-(x**2).sum(-1)), jnp.cos(x) ** 2)

    pose, t = cameras.look_at([4.0, 0, 1]), render.samples(NEAR, FAR, 9)
    whole = render.picture(blob, pose, 5.0, (5, 4), t, FAR, rows=2)
    o, d = cameras.rays(pose, jnp.array([3.5, 1.5]), 5.0, (5, 4))
    for p, q in zip(whole, render.render(blob, o, d, t, FAR), strict=True):
        np.testing.assert_allclose(p[3, 1], q, rtol=1e-4, atol=1e-6)


# --------------------------------------------------------------------------------------------------
# Pictures as data


def numbered(n=3, height=4, width=5):
    """Pictures whose colour tells their number, row and column."""
    i = np.stack(np.meshgrid(*map(np.arange, (n, height, width)), indexing="ij"), -1) / 10
    return cameras.views(i.astype(np.float32), cameras.hemisphere(n), 6.0)


def test_random_rays_belong_to_their_colours():
    seen = numbered()
    batch = render.random_rays(KEY, seen, 200, 6)
    number, row, column = np.round(np.asarray(batch["colour"]) * 10).astype(int).T
    o, d = cameras.rays(seen.poses[number], np.stack([row, column], -1) + 0.5, 6.0, (4, 5))
    np.testing.assert_allclose(batch["origins"], o, rtol=1e-6)
    np.testing.assert_allclose(batch["directions"], d, rtol=1e-5, atol=1e-6)
    assert len(set(zip(number, row, column, strict=True))) > 50 and batch["t"].shape == (200, 6)
    assert set(number) == {0, 1, 2} and set(row) == set(range(4)) and set(column) == set(range(5))


def test_views_are_sliced_and_read_from_bytes():
    seen = numbered()
    assert len(seen[:2]) == 2 and seen[:2].size == (4, 5)
    bytes_ = np.zeros((3, 4, 5, 4), np.uint8)
    bytes_[..., 0], bytes_[..., 3] = 51, 255
    read = cameras.views(bytes_, seen.poses, np.array(6.0)).images
    np.testing.assert_allclose(read, np.broadcast_to([0.2, 0, 0], (3, 4, 5, 3)), rtol=1e-6)


def test_one_view_is_a_view():
    one = numbered()[1]
    assert len(one) == 1 and one.size == (4, 5) and one.lens.shape == (1, 4)
    np.testing.assert_array_equal(one.images, numbered()[1:2].images)
    with pytest.raises(IndexError):
        numbered()[3]


def test_straight_alpha_ends_on_black():
    """White under opacity 0, as editors leave it, and half clear red."""
    rgba = np.ones((2, 2, 2, 4), np.float32) * [1, 1, 1, 0]
    rgba[:, 0, 0] = [1, 0, 0, 0.5]
    read = cameras.views(rgba, POSES, 5.0, alpha="straight").images
    np.testing.assert_allclose(read[0, 0, 0], [0.5, 0, 0])
    assert read[:, 1].max() == 0


def test_cameras_that_look_away_are_told():
    """Poses of the other convention look outwards; a room seen from its middle, or a wall, is
    right.
    """
    poses, flip = np.asarray(cameras.hemisphere(30)), np.diag([1.0, -1, -1, 1])
    images = np.zeros((30, 2, 2, 3), np.float32)
    cameras.views(images, poses, 5.0)
    with pytest.warns(UserWarning, match="look away from what the others see"):
        cameras.views(images, poses @ flip, 5.0)
    room = np.stack([bad(p, set={(i, 3): 0.0 for i in range(3)}) for p in poses])
    full = np.concatenate([room[:15], room[:15] @ np.diag([-1.0, 1, -1, 1])])
    cameras.views(images, full, 5.0)
    wall = np.stack([bad(np.eye(4), set={(0, 3): 0.1 * k}) for k in range(30)])
    cameras.views(images, wall, 5.0)


def test_depth_along_the_axis_is_the_distance_over_the_length():
    """With directions that are not of length 1 the same points have t = depth, all in one plane."""
    pose, lens = cameras.look_at([1.0, 2, 3]), jnp.array([9.0, 8.0, 2.0, 3.0])
    pixels = cameras.pixel_centres(4, 5)
    o, d = cameras.rays(pose, pixels, lens, (4, 5), unit=False)
    _, u = cameras.rays(pose, pixels, lens, (4, 5))
    np.testing.assert_allclose(d / jnp.linalg.norm(d, axis=-1, keepdims=True), u, atol=1e-6)
    depth = ((o + 2.5 * d - pose[:3, 3]) * -pose[:3, 2]).sum(-1)
    np.testing.assert_allclose(depth, 2.5, rtol=1e-5)
    corner = render.random_rays(KEY, numbered(), 50, 4, published=True)
    number, row, column = np.round(np.asarray(corner["colour"]) * 10).astype(int).T
    _, want = cameras.rays(
        numbered().poses[number], np.stack([row, column], -1), 6.0, (4, 5), unit=False
    )
    np.testing.assert_allclose(corner["directions"], want, rtol=1e-5, atol=1e-6)


def bad(pose, **changes):
    pose = np.array(pose)
    for (i, j), value in changes.get("set", {}).items():
        pose[i, j] = value
    return pose


POSES = np.asarray(cameras.hemisphere(2))
WRONG_POSES = {
    "scaled": (
        np.stack([POSES[0], POSES[1] * [2, 2, 2, 1]]),
        r"poses\[1\] is no rotation: R Rᵀ is off .* by 3",
    ),
    "mirrored": (POSES * [-1, 1, 1, 1], r"poses\[0\] .* determinant is −1, it mirrors"),
    "last row": (
        np.stack([bad(POSES[0], set={(3, 3): 2.0})]),
        r"poses\[0\] must end with the row 0 0 0 1",
    ),
    "nan": (np.stack([bad(POSES[0], set={(0, 3): np.nan})]), r"poses has 1 entries that are NaN"),
    "3 x 4": (POSES[:, :3], r"poses must have shape \(..., 4, 4\), but got shape \(2, 3, 4\)"),
}


@pytest.mark.parametrize("wrong", WRONG_POSES)
def test_poses_that_are_no_rotations(wrong):
    poses, message = WRONG_POSES[wrong]
    for use in (
        cameras.check_poses,
        lambda p: cameras.rays(p, jnp.ones((len(p), 2)), 1.0, (2, 2)),
        lambda p: cameras.views(np.zeros((len(p), 2, 2, 3)), p, 1.0),
    ):
        with pytest.raises(ValueError, match=message):
            use(poses)


IMAGES = np.zeros((2, 4, 4, 3), np.float32)
WRONG = {
    "shape": (
        lambda: cameras.views(IMAGES[0], POSES, 1.0),
        r"images must have shape .*got \(4, 4, 3\)",
    ),
    "grey": (
        lambda: cameras.views(IMAGES[..., :1], POSES, 1.0),
        r"images must have shape .*got \(2, 4, 4, 1\)",
    ),
    "range": (
        lambda: cameras.views(IMAGES + 2, POSES, 1.0),
        r"images must lie in \[0, 1\], but got 2 to 2",
    ),
    "nan": (
        lambda: cameras.views(IMAGES * np.nan, POSES, 1.0),
        "images has 96 entries that are NaN",
    ),
    "too few poses": (
        lambda: cameras.views(IMAGES, POSES[:1], 1.0),
        r"poses must have shape \(2, 4, 4\)",
    ),
    "focal": (lambda: cameras.views(IMAGES, POSES, 0.0), "lens must have focal lengths > 0"),
    "near": (
        lambda: render.samples(3.0, 2.0, 4),
        "near and far must satisfy 0 <= near < far, but got 3.0 and 2.0",
    ),
    "n": (lambda: render.samples(2.0, 3.0, 0), "n must be at least 1"),
    "composite": (
        lambda: render.composite(jnp.ones(4), jnp.ones((5, 3)), jnp.ones(4), 6.0),
        r"colour must have shape \(4, 3\), but got shape \(5, 3\)",
    ),
    "up": (lambda: cameras.look_at([0, 0, 4]), r"up .* must not be parallel"),
    "position": (
        lambda: cameras.look_at([1, 2]),
        r"position must have shape \(3,\), but got shape \(2,\)",
    ),
    "alpha": (
        lambda: cameras.views(np.ones((2, 4, 4, 4)) * [1, 1, 1, 0], POSES, 1.0),
        "images must be premultiplied, but got colours above their opacity by 1: .*straight",
    ),
    "no such alpha": (
        lambda: cameras.views(IMAGES, POSES, 1.0, alpha="none"),
        "alpha must be one of 'premultiplied', 'straight'",
    ),
    "lens": (
        lambda: cameras.views(IMAGES, POSES, np.ones(3)),
        r"lens must have shape \(\) or \(4,\) or \(2, 4\), but got shape \(3,\)",
    ),
    "far inside": (
        lambda: render.composite(jnp.ones(4), jnp.ones((4, 3)), jnp.arange(1.0, 5.0), 3.5),
        "t must rise and end before far = 3.5, but falls by 0.5",
    ),
    "unsorted": (
        lambda: render.composite(jnp.ones(3), jnp.ones((3, 3)), jnp.array([1.0, 3.0, 2.0]), 6.0),
        "t must rise .* but falls by 1",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_bad_input_is_named(wrong):
    function, message = WRONG[wrong]
    with pytest.raises(ValueError, match=message):
        function()
