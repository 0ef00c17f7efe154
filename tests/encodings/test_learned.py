"""Encodings with parameters: what a grid interpolates, what a hash shares, what a footprint takes
away.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import central_difference, in_float64, x64
from refusal import assert_refused

from fflib import features
from fflib.encodings.learned import (
    PRIMES,
    HashGrid,
    Learned,
    Network,
    integrated,
    positional_nerf,
    positional_transformer,
)
from fflib.network import mlp
from fflib.theory.kernels import empirical_ntk

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
GRIDS = {
    "1-D": HashGrid(1, levels=3, coarsest=4, finest=40, table=32),
    "2-D": HashGrid(2, levels=4, coarsest=3, finest=30, table=64, features=3),
    "3-D": HashGrid(3, levels=3, coarsest=2, finest=11, table=128),
    "one level": HashGrid(2, levels=1, coarsest=5, finest=5, table=100, features=1),
    "all dense": HashGrid(2, levels=3, coarsest=2, finest=8, table=1000),
}
WAVES = features.gaussian(jax.random.key(1), 6, 2, 2.0)


@pytest.fixture(params=["1-D", "2-D", "3-D"])
def grid(request):
    return GRIDS[request.param]


def table(grid, key=KEY):
    return jax.random.normal(key, (sum(grid.rows), grid.features))


def row_by_hand(grid, level, corner):
    """Row of a corner with Python's whole numbers, cut to 32 bits after each product."""
    N, d = grid.resolutions[level], grid.d
    start = sum(grid.rows[:level])
    if (N + 1) ** d <= grid.table:
        place = 0
        for x in corner:
            place = place * (N + 1) + int(x)
        return start + place
    code = 0
    for x, prime in zip(corner, PRIMES, strict=False):
        code ^= (int(x) * prime) & 0xFFFFFFFF
    return start + code % grid.table


def by_hand(grid, params, v):
    """The encoding of one point, corner by corner, in float64."""
    out = []
    for level, N in enumerate(grid.resolutions):
        x = np.clip(np.asarray(v, float), 0, 1) * N
        low = np.minimum(np.floor(x), N - 1)
        total = 0
        for step in np.ndindex((2,) * grid.d):
            weight = np.prod([t if s else 1 - t for s, t in zip(step, x - low, strict=True)])
            total = total + weight * np.asarray(params, float)[row_by_hand(grid, level, low + step)]
        out.extend(total)
    return np.array(out)


# --- the grid


def test_levels_grow_from_coarsest_to_finest():
    grid = HashGrid(3)  # the paper's: 16 levels from 16 to 512
    assert grid.resolutions[0] == 16 and grid.resolutions[-1] == 512
    growth = math.exp((math.log(512) - math.log(16)) / 15)
    assert grid.resolutions == tuple(math.floor(16 * growth**k + 1e-6) for k in range(16))
    assert HashGrid(2, levels=5, coarsest=4, finest=64).resolutions == (4, 8, 16, 32, 64)


def test_dense_where_the_corners_fit():
    grid = HashGrid(2, levels=3, coarsest=3, finest=12, table=49)
    assert grid.resolutions == (3, 6, 12) and grid.rows == (16, 49, 49)
    assert grid.num_params == 2 * 114 == grid.init(KEY).size and grid.num_features == 6


def test_rows_against_whole_numbers(grid):
    corners = np.stack([RNG.integers(0, N + 1, (200, grid.d)) for N in grid.resolutions], 1)
    want = [[row_by_hand(grid, level, c) for level, c in enumerate(cs)] for cs in corners]
    np.testing.assert_array_equal(grid.row(corners), want)


def test_the_hash_wraps_at_32_bits():
    grid = HashGrid(3, levels=1, coarsest=100_000, finest=100_000, table=1 << 19)
    corners = RNG.integers(0, 100_001, (50, 1, 3))
    assert (corners[:, 0, 1].astype(object) * PRIMES[1] > 1 << 32).any()
    want = [[row_by_hand(grid, 0, c[0])] for c in corners]
    np.testing.assert_array_equal(grid.row(corners), want)


def test_dense_levels_give_each_corner_its_own_row():
    grid = GRIDS["all dense"]
    for level, N in enumerate(grid.resolutions):
        every = np.stack(np.meshgrid(*2 * [np.arange(N + 1)], indexing="ij"), -1).reshape(-1, 1, 2)
        rows = np.asarray(grid.row(np.repeat(every, grid.levels, 1)))[:, level]
        assert sorted(rows - sum(grid.rows[:level])) == list(range((N + 1) ** 2))


def test_encoding_against_loops(grid):
    params, v = table(grid), RNG.random((20, grid.d)).astype(np.float32)
    want = [by_hand(grid, params, p) for p in v]
    np.testing.assert_allclose(grid.apply(params, v), want, atol=2e-5)


def test_exact_at_corners(grid):
    params = table(grid)
    for level, N in enumerate(grid.resolutions):
        corners = RNG.integers(0, N + 1, (40, grid.d))
        got = in_float64(grid.apply, params, corners / N)[
            :, level * grid.features : (level + 1) * grid.features
        ]
        want = np.asarray(params)[[row_by_hand(grid, level, c) for c in corners]]
        np.testing.assert_allclose(got, want, atol=1e-9)


def test_linear_between_corners(grid):
    """Along each axis second differences vanish inside a cell, and not across its wall."""
    params = table(grid)
    N = grid.resolutions[-1]
    for axis in range(grid.d):
        inside = (RNG.integers(0, N - 1, grid.d) + 0.5) / N
        step = np.zeros(grid.d)
        step[axis] = 0.2 / N

        def bend(v):
            return in_float64(grid.apply, params, np.stack([v - step, v, v + step]))[
                :, -grid.features :
            ]

        assert np.abs(np.diff(bend(inside), 2, axis=0)).max() < 1e-9
        wall = inside.copy()
        wall[axis] = np.ceil(inside[axis] * N) / N
        assert np.abs(np.diff(bend(wall), 2, axis=0)).max() > 1e-3


def test_partition_of_unity(grid):
    v = RNG.random((50, grid.d)).astype(np.float32)
    np.testing.assert_allclose(grid.apply(jnp.full_like(table(grid), 3.0), v), 3.0, rtol=1e-6)


def test_dense_grid_reproduces_multilinear_functions():
    grid = HashGrid(2, levels=1, coarsest=7, finest=7, table=64, features=1)

    def f(v):
        return 1 + 2 * v[..., 0] - v[..., 1] + 3 * v[..., 0] * v[..., 1]

    corners = np.stack(np.meshgrid(*2 * [np.arange(8) / 7], indexing="ij"), -1).reshape(-1, 2)
    v = RNG.random((30, 2))
    np.testing.assert_allclose(
        in_float64(grid.apply, f(corners)[:, None], v)[:, 0], f(v), atol=1e-12
    )


def test_outside_is_the_nearest_face(grid):
    params = table(grid)
    out, face = np.full((1, grid.d), 1.7, np.float32), np.ones((1, grid.d), np.float32)
    np.testing.assert_array_equal(grid.apply(params, out), grid.apply(params, face))
    np.testing.assert_array_equal(grid.apply(params, -out), grid.apply(params, 0 * face))


def test_leading_axes_and_vmap(grid):
    params, v = table(grid), RNG.random((2, 3, grid.d)).astype(np.float32)
    y = grid.apply(params, v)
    assert y.shape == (2, 3, grid.num_features)
    np.testing.assert_allclose(y[1, 2], grid.apply(params, v[1, 2]), atol=1e-6)
    np.testing.assert_allclose(jax.vmap(lambda p: grid.apply(params, p))(v[0]), y[0], atol=1e-6)


def test_float32_agrees_with_float64(grid):
    params, v = table(grid), RNG.random((100, grid.d)).astype(np.float32)
    np.testing.assert_allclose(grid.apply(params, v), in_float64(grid.apply, params, v), atol=1e-4)


def test_gradient_in_the_table_and_in_the_point(grid):
    """Against differences, away from the walls of cells."""
    params = np.asarray(table(grid))
    v = (np.full(grid.d, 0.37) + 0.11 * np.arange(grid.d))[None]
    u = RNG.normal(size=grid.num_features)

    def value(p, v):
        return (grid.apply(p, v) * u).sum()

    with x64(True):
        g_table, g_v = jax.grad(value, (0, 1))(
            jnp.asarray(params, "float64"), jnp.asarray(v, "float64")
        )
        g_table, g_v = np.asarray(g_table), np.asarray(g_v)
    np.testing.assert_allclose(
        central_difference(lambda x: value(params.astype(float), x), v), g_v, rtol=1e-4
    )
    touched = [*sorted(set(np.flatnonzero(np.abs(g_table).sum(1)))), 0]
    for r in touched[:6]:
        e = np.zeros_like(params, float)
        e[r, 0] = 1e-3
        with x64(True):
            slope = (float(value(params + e, v)) - float(value(params - e, v))) / 2e-3
        assert abs(slope - g_table[r, 0]) < 1e-7


def test_backward_is_the_transpose(grid):
    """The encoding is linear in the table: ⟨E p, u⟩ = ⟨p, Eᵀ u⟩, and Eᵀ1 counts each point once a
    level.
    """
    v = RNG.random((40, grid.d)).astype(np.float32)
    params = table(grid)
    y, back = jax.vjp(lambda p: grid.apply(p, v), params)
    u = RNG.normal(size=y.shape).astype(np.float32)
    assert abs(float((y * u).sum()) - float((params * back(jnp.asarray(u))[0]).sum())) < 1e-2
    assert abs(float(back(jnp.ones_like(y))[0].sum()) - y.size) < 1e-2


@pytest.mark.parametrize(("d", "N"), [(2, 90), (2, 200), (3, 20), (3, 40)])
def test_collisions_are_about_those_of_random_rows(d, N):
    """n corners thrown at random into T rows hit T(1 − (1 − 1/T)ⁿ) of them; the hash does no worse."""
    T = 4096
    grid = HashGrid(d, levels=1, coarsest=N, finest=N, table=T)
    corners = np.stack(np.meshgrid(*d * [np.arange(N + 1)], indexing="ij"), -1).reshape(-1, 1, d)
    rows = np.asarray(grid.row(corners))[:, 0]
    n = len(rows)
    assert n > T
    used = len(np.unique(rows)) / T
    assert used > (1 - (1 - 1 / T) ** n) - 0.03
    load = np.bincount(rows, minlength=T)
    assert load.max() < n / T + 8 * math.sqrt(n / T) and load.sum() == n
    # neighbours do not share a row: the eight (four) corners of a cell are told apart
    cells = RNG.integers(0, N, (500, d))
    steps = np.array(list(np.ndindex((2,) * d)))
    of_cell = np.asarray(grid.row((cells[:, None] + steps).reshape(-1, 1, d)))[:, 0].reshape(
        500, -1
    )
    assert np.mean([len(set(c)) == 2**d for c in of_cell]) > 0.97


def test_tables_start_small_and_uniform():
    params = np.asarray(HashGrid(2, levels=4, coarsest=8, finest=64, table=1024).init(KEY))
    assert np.abs(params).max() <= 1e-4 and abs(params.mean()) < 4e-4 / math.sqrt(3 * params.size)
    assert abs(params.std() / (1e-4 / math.sqrt(3)) - 1) < 0.05


# --- learned frequencies


def test_learned_mapping_is_the_mapping():
    encoding = Learned(lambda key: features.gaussian(key, 5, 2, 6.0))
    mapping, v = encoding.init(KEY), RNG.random((7, 2)).astype(np.float32)
    assert encoding.num_features == 10 and encoding.num_params == 15
    np.testing.assert_allclose(encoding.apply(mapping, v), mapping(v), atol=2e-5)
    ours, plain = (
        jax.grad(lambda g: (f(g) ** 3).sum())(mapping)
        for f in (lambda g: encoding.apply(g, v), lambda g: g(v))
    )
    np.testing.assert_allclose(ours.B, plain.B, atol=1e-3)
    np.testing.assert_allclose(ours.a, plain.a, atol=1e-3)
    assert np.abs(ours.B).max() > 1


# --- encoding and network together


def test_network_is_the_composition():
    encoding = GRIDS["2-D"]
    net = Network(encoding, mlp(12, 8, 3, d_out=2))
    params, v = net.init(KEY), RNG.random((6, 2)).astype(np.float32)
    np.testing.assert_array_equal(
        net(params, v), net.model(params["model"], encoding.apply(params["encoding"], v))
    )
    assert net.num_params == sum(leaf.size for leaf in jax.tree.leaves(params))
    assert hash(net) == hash(Network(encoding, mlp(12, 8, 3, d_out=2)))
    many = jax.eval_shape(jax.vmap(net.init), jax.random.split(KEY, 3))
    assert many["encoding"].shape == (3, sum(encoding.rows), 3)


def test_its_tangent_kernel_counts_the_table():
    """K is the kernel of the model's weights plus that of the table, Σ over shared corners."""
    grid = GRIDS["one level"]
    net = Network(grid, mlp(1, 4, 1))  # a linear readout w·feature + b
    params, v = net.init(KEY), RNG.random((5, 2)).astype(np.float32)
    E = np.stack(
        [np.asarray(grid.apply(e.reshape(-1, 1), v))[:, 0] for e in np.eye(36, dtype=np.float32)], 1
    )
    feature, w = np.asarray(grid.apply(params["encoding"], v)), np.asarray(params["model"][0][0])
    want = feature @ feature.T + 1 + float(w[0, 0]) ** 2 * E @ E.T
    np.testing.assert_allclose(empirical_ntk(net.apply, params, v), want, rtol=1e-4)


# --- footprints


def quadrature(mapping, v, variance, n=40):
    """E γ(v + ε) by Gauss–Hermite in each of two directions, float64."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    weights = weights / weights.sum()
    a, B = np.asarray(mapping.a, float), np.asarray(mapping.B, float)
    total = 0
    for i in range(n):
        for j in range(n):
            at = v + np.sqrt(variance) * np.array([nodes[i], nodes[j]])
            phase = 2 * np.pi * at @ B.T
            total = total + weights[i] * weights[j] * np.concatenate(
                [a * np.sin(phase), a * np.cos(phase)], -1
            )
    return total


def test_integrated_is_the_mean_over_the_footprint():
    v, variance = RNG.random((4, 2)), np.array([4e-4, 9e-3])
    want = quadrature(WAVES, v, variance)
    np.testing.assert_allclose(in_float64(integrated, WAVES, v, variance), want, atol=1e-10)
    draws = v[0] + np.sqrt(variance) * RNG.normal(size=(20_000, 2))
    sampled = np.asarray(WAVES(draws.astype(np.float32)))
    error = sampled.std(0) / math.sqrt(len(draws))
    assert (np.abs(sampled.mean(0) - want[0]) < 5 * error + 1e-4).all()


def test_integrated_limits():
    v = RNG.random((5, 2)).astype(np.float32)
    np.testing.assert_array_equal(integrated(WAVES, v, 0.0), WAVES(v))
    small = [np.abs(np.asarray(integrated(WAVES, v, s) - WAVES(v))).max() for s in (1e-4, 1e-5)]
    assert 5 < small[0] / small[1] < 15  # first order in the variance
    assert np.abs(np.asarray(integrated(features.basic(2), v, 4.0))).max() < 1e-6
    constant = features.fourier([1.0], [[0.0, 0.0]])
    np.testing.assert_allclose(integrated(constant, v, 4.0)[:, 1], 1.0)


def test_footprints_add():
    """Averaging twice is averaging once with the sum of the variances."""
    v, s, t = RNG.random((3, 2)).astype(np.float32), 2e-3, 5e-3
    fade = integrated(WAVES, v, t) / WAVES(v)
    np.testing.assert_allclose(
        integrated(WAVES, v, s) * fade, integrated(WAVES, v, s + t), atol=1e-5
    )


def test_each_point_may_have_its_own_footprint():
    v = RNG.random((3, 2)).astype(np.float32)
    variance = np.float32([[0, 0], [1e-3, 0], [0, 2e-3]])
    got = integrated(WAVES, v, variance)
    for k in range(3):
        np.testing.assert_allclose(got[k], integrated(WAVES, v[k], variance[k]), atol=1e-6)


# --- the Transformer's ladder


def test_transformer_ladder_is_the_papers_formula():
    m, length = 8, 100
    gamma = positional_transformer(m, 1, length)
    for position in (0, 1, 37, 99):
        angle = [position / 10_000 ** (2 * i / (2 * m)) for i in range(m)]
        want = np.concatenate([np.sin(angle), np.cos(angle)])
        np.testing.assert_allclose(gamma(np.float32([position / length])), want, atol=2e-4)
    assert positional_transformer(8, 2, length).B.shape == (8, 2)


def test_an_offset_is_a_rotation_whatever_the_place():
    gamma = positional_transformer(4, 1, 10.0, base=100.0)
    angle = 2 * np.pi * 0.3 * np.asarray(gamma.B)[:, 0]
    C, S = np.diag(np.cos(angle)), np.diag(np.sin(angle))
    R = np.block([[C, S], [-S, C]])
    v = RNG.random((6, 1)).astype(np.float32)
    np.testing.assert_allclose(gamma(v + np.float32(0.3)), np.asarray(gamma(v)) @ R.T, atol=1e-5)


def test_ladder_of_nerf():
    np.testing.assert_array_equal(
        positional_nerf(3, 2).B, [[1, 0], [2, 0], [4, 0], [0, 1], [0, 2], [0, 4]]
    )
    x = np.linspace(-1, 1, 17, dtype=np.float32)[:, None]
    levels = np.concatenate(
        [
            [np.sin(2**k * np.pi * x[:, 0]) for k in range(4)],
            [np.cos(2**k * np.pi * x[:, 0]) for k in range(4)],
        ]
    )
    ours = positional_nerf(4, 1)((x + 1) / 2)
    np.testing.assert_allclose(np.abs(ours), np.abs(levels.T), atol=1e-5)


# --- refusals

X = RNG.random((5, 2)).astype(np.float32)
G = GRIDS["2-D"]
CASES = {
    "grid: no dimension": (lambda: HashGrid(0), ValueError, ["d", "at least 1", "0"]),
    "grid: four dimensions": (lambda: HashGrid(4), ValueError, ["d", "1, 2 or 3", "4"]),
    "grid: half a level": (
        lambda: HashGrid(2, levels=1.5),
        TypeError,
        ["levels", "whole number", "1.5"],
    ),
    "grid: fine below coarse": (
        lambda: HashGrid(2, coarsest=8, finest=4),
        ValueError,
        ["finest", "coarsest=8", "4"],
    ),
    "grid: finer than float32": (
        lambda: HashGrid(1, finest=1 << 25),
        ValueError,
        ["finest", "2**24", str(1 << 25)],
    ),
    "grid: points of another dimension": (
        lambda: G.apply(table(G), X[:, :1]),
        ValueError,
        ["v", "(..., 2)", "(5, 1)"],
    ),
    "grid: NaN": (lambda: G.apply(table(G), X + np.float32("nan")), ValueError, ["v", "NaN"]),
    "grid: another grid's table": (
        lambda: G.apply(table(GRIDS["3-D"]), X),
        ValueError,
        ["params", "3)", "2)"],
    ),
    "network: sizes": (lambda: Network(G, mlp(5, 4, 2)), ValueError, ["encoding", "12", "5"]),
    "integrated: no waves": (
        lambda: integrated(features.none(2), X, 0.1),
        TypeError,
        ["mapping", "features.Mapping", "Identity"],
    ),
    "integrated: negative": (
        lambda: integrated(WAVES, X, -0.1),
        ValueError,
        ["variance", ">= 0", "-0.1"],
    ),
    "integrated: shape": (
        lambda: integrated(WAVES, X, np.ones(3)),
        ValueError,
        ["variance", "(5, 2)", "(3,)"],
    ),
    "integrated: points": (
        lambda: integrated(WAVES, X[:, :1], 0.1),
        ValueError,
        ["v", "(..., 2)", "(5, 1)"],
    ),
    "transformer: m": (
        lambda: positional_transformer(7, 2, 10.0),
        ValueError,
        ["m", "multiple of d", "m=7"],
    ),
    "transformer: length": (
        lambda: positional_transformer(8, 2, 0.0),
        ValueError,
        ["length", "> 0", "0"],
    ),
    "transformer: base": (
        lambda: positional_transformer(8, 2, 9.0, -1.0),
        ValueError,
        ["base", "> 0", "-1"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case):
    assert_refused(*CASES[case])
