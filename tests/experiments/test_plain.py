"""Row zero: interpolation and the least total variation, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from fflib.experiments import plain, protocol, records
from fflib.operators import scanner
from fflib.worlds import phantoms, solids


def test_bilinear_is_the_mean_of_the_neighbours_and_bicubic_is_exact_on_cubics():
    picture = np.asarray(jax.random.uniform(jax.random.key(0), (16, 12, 3)))
    made = plain.interpolated(picture, 1)
    np.testing.assert_allclose(made[::2, ::2], picture[::2, ::2], atol=1e-6)
    shown = picture[::2, ::2]
    corners = (shown[:-1, :-1] + shown[1:, :-1] + shown[:-1, 1:] + shown[1:, 1:]) / 4
    np.testing.assert_allclose(made[1:-1:2, 1:-1:2], corners, atol=1e-6)
    y, x = np.indices((64, 64)) / 64  # (its spline's ends bend: look at the middle)
    cubic = np.stack([x**3, y**3 - y / 2 + 0.3, x * y**2], -1)
    np.testing.assert_allclose(
        plain.interpolated(cubic, 3)[20:40, 20:40], cubic[20:40, 20:40], atol=1e-5
    )


def test_the_least_variation_of_a_step_moves_both_sides_together():
    # ½‖f − y‖² + w|f₁ − f₀|: each side of n pixels moves by w/n
    n, weight = 8, 0.4
    y = jnp.repeat(jnp.array([0.2, 0.7]), n)
    f = plain.least_variation(
        y, None, weight, operator=Partial(lambda f, how: f), shape=(2 * n,), steps=3000
    )
    np.testing.assert_allclose(f, y + jnp.repeat(jnp.array([1.0, -1.0]), n) * weight / n, atol=1e-4)


def test_no_neighbour_of_the_solution_is_better():
    truth = phantoms.shepp_logan(16)
    how = scanner.angles(6)
    y, weight = scanner.project(truth, how), 1e-3

    def objective(f):
        slopes = [jnp.diff(f, axis=a, append=f[-1:] if a == 0 else f[:, -1:]) for a in (0, 1)]
        misfit = (scanner.project(f, how) - y) / norm
        return 0.5 * (misfit**2).sum() + weight * jnp.sqrt(slopes[0] ** 2 + slopes[1] ** 2).sum()

    matrix = jax.jacobian(lambda f: scanner.project(f, how))(truth).reshape(y.size, -1)
    norm = jnp.linalg.norm(matrix, 2)
    f = plain.least_variation(
        y, how, weight, operator=Partial(scanner.project), shape=truth.shape, steps=20_000
    )
    best = objective(f)
    for key in jax.random.split(jax.random.key(1), 20):
        for size in (1e-3, 1e-2):
            near = jnp.clip(f + size * jax.random.normal(key, f.shape), 0, 1)
            assert objective(near) > best
    how_else = dict(operator=Partial(scanner.project), shape=truth.shape)
    for factor, steps in ((0.5, 20_000), (1.5, 20_000), (1, 300)):
        worse = plain.least_variation(y, how, factor * weight, steps=steps, **how_else)
        assert objective(worse) > best + 1e-5
    for other in (truth, 0.99 * f, jnp.clip(1.01 * f, 0, 1), jnp.full_like(f, f.mean())):
        assert objective(other) > best - 1e-6


def test_complex_measurements_of_all_frequencies_give_the_volume_back():
    truth = phantoms.shepp_logan(12, phantoms.ELLIPSOIDS)
    mask = jnp.ones(truth.shape, bool)
    f = plain.least_variation(
        scanner.masked_fft(truth, mask),
        mask,
        1e-6,
        operator=Partial(scanner.masked_fft),
        shape=truth.shape,
    )
    np.testing.assert_allclose(f, truth, atol=2e-3)


def test_labels_on_a_grid_are_right_a_cell_away_from_the_surface():
    n, radius = 33, 0.4
    rng = np.random.default_rng(0)
    xy, v = rng.uniform(size=(1 << 16, 2)), rng.uniform(size=(20_000, 3))
    half = np.sqrt(np.maximum(radius**2 - ((xy - 0.5) ** 2).sum(1), 0))
    heights = np.where(half > 0, 0.5 + half * np.array([[-1], [1]]), np.inf).T
    field = plain.occupied(
        {"box": np.array([[0.0] * 3, [1.0] * 3]), "xy": xy, "heights": heights}, n
    )
    depth = radius - np.linalg.norm(v - 0.5, axis=1)
    sure = abs(depth) > 3**0.5 / (n - 1) + 0.01  # a cell's diagonal, and to the nearest line
    assert sure.mean() > 0.7
    np.testing.assert_array_equal(field(v)[sure] > 0, depth[sure] > 0)


COLUMNS = [f"{name}_reduced_plain" for name in records.TABLE1 if name != "nerf_lego"]


@pytest.mark.parametrize("name", COLUMNS)
def test_every_column_has_a_row_zero_with_finite_scores(name):
    experiment = plain.EXPERIMENTS[name]
    assert experiment.scale == "reduced"
    if name.startswith("image"):
        array = jax.random.uniform(jax.random.key(2), (1, 32, 32, 3))
    elif name.startswith("shape"):
        found = solids.prepare(solids.solids(("rope",)), jax.random.key(0), 1 << 12, 200)
        array = found.array
    else:
        array = phantoms.heads(1, 16, 2 if name.startswith("ct") else 3).array
    keys = protocol.item_keys(0, range(len(jax.tree.leaves(array)[0])))
    for mapping in experiment.mappings:
        scores = experiment.solve(array, keys, mapping)
        assert len(scores) == len(keys)
        assert all(np.isfinite(list(told.values())).all() for told in scores)
