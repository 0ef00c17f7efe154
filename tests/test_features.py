"""Feature mappings: the formula, the kernels they make, their frequencies and their statistics."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import in_float64
from refusal import assert_refused

from fflib import features
from fflib.encodings.learned import positional_nerf, positional_transformer
from fflib.theory.dynamics import rfft_amplitude
from fflib.theory.scale import sampled

KEY = jax.random.key(3)
MAPPINGS = {
    "basic": features.basic(2),
    "positional": features.positional(8, 2, 4.0),
    "geometric": features.waves(jnp.kron(jnp.eye(2), 20.0 ** (jnp.arange(4)[:, None] / 4))),
    "nerf": positional_nerf(4, 2),
    "gaussian": features.gaussian(KEY, 8, 2, 5.0),
    "any": features.fourier(
        np.arange(1, 9) / 4, [[1, 0], [2, -3], [0, 7], [5, 5], [-1, 2], [4, 0], [3, 3], [0, 1]]
    ),
}


@pytest.fixture(params=MAPPINGS, ids=str)
def mapping(request):
    return MAPPINGS[request.param]


def points(n, d=2, seed=0):
    return np.random.default_rng(seed).random((n, d)).astype(np.float32)


def test_the_formula_entry_by_entry(mapping):
    """[a sin(2πBv), a cos(2πBv)]: sines first, 2π in the mapping and not in B."""
    v = points(5)
    a, B = np.asarray(mapping.a, float), np.asarray(mapping.B, float)
    wanted = np.zeros((5, 2 * len(a)))
    for i in range(5):
        for j in range(len(a)):
            phase = 2 * math.pi * sum(B[j, k] * float(v[i, k]) for k in range(2))
            wanted[i, j], wanted[i, len(a) + j] = a[j] * math.sin(phase), a[j] * math.cos(phase)
    assert mapping.num_features == 2 * mapping.m == wanted.shape[1]
    np.testing.assert_allclose(mapping(v), wanted, atol=3e-5)


def test_one_cycle_per_unit():
    """At v = 1/4 the basic mapping is a quarter of a turn on, at v = 1 it is back."""
    g = features.basic(1)
    np.testing.assert_allclose(
        g(np.array([[0.0], [0.25], [0.5], [1.0]])), [[0, 1], [1, 0], [0, -1], [0, 1]], atol=1e-6
    )


def test_leading_axes(mapping):
    v = points(12).reshape(3, 4, 2)
    assert mapping(v).shape == (3, 4, mapping.num_features)
    np.testing.assert_allclose(mapping(v)[1, 2], mapping(v[1, 2]), atol=3e-5)


def test_length_of_the_features(mapping):
    """‖γ(v)‖ = ‖a‖ (√m when all a are 1) for every v; normalised it is 1."""
    norms = np.linalg.norm(mapping(points(20)), axis=-1)
    np.testing.assert_allclose(norms, np.linalg.norm(mapping.a), rtol=1e-5)
    if np.all(np.asarray(mapping.a) == 1):
        np.testing.assert_allclose(norms, math.sqrt(mapping.m), rtol=1e-5)
    unit = mapping.normalized()
    np.testing.assert_allclose(np.linalg.norm(unit(points(20)), axis=-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(unit.B, mapping.B)
    np.testing.assert_allclose(unit.a * np.linalg.norm(mapping.a), mapping.a, rtol=1e-6)


def test_inner_product_is_the_kernel_of_the_offset(mapping):
    v, w = points(6, seed=1), points(7, seed=2)
    gram = np.asarray(mapping(v) @ mapping(w).T)
    np.testing.assert_allclose(
        gram, mapping.kernel(v[:, None] - w[None]), rtol=1e-4, atol=1e-4 * gram.max()
    )


def test_kernel_is_shift_invariant_and_even(mapping):
    v, w, shift = points(6, seed=1), points(6, seed=2), np.float32([0.37, -1.21])
    here = (mapping(v) * mapping(w)).sum(-1)
    there = (mapping(v + shift) * mapping(w + shift)).sum(-1)
    np.testing.assert_allclose(here, there, atol=2e-4 * float(mapping.kernel(np.zeros(2))))
    np.testing.assert_allclose(mapping.kernel(v - w), mapping.kernel(w - v), rtol=1e-6)
    np.testing.assert_allclose(mapping.kernel(np.zeros(2)), (mapping.a**2).sum(), rtol=1e-6)


def test_integer_frequencies_are_periodic():
    g, v = MAPPINGS["nerf"], points(10)
    np.testing.assert_allclose(g(v + 1), g(v), atol=2e-4)
    wild = MAPPINGS["gaussian"]
    assert np.abs(wild(v + 1) - wild(v)).max() > 0.5


# --- axes that close


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 2), [1, 2, 0], ()])
def test_a_periodic_axis_has_equal_values_and_gradients_at_both_ends(seed, axes):
    """γ and ∂γ/∂v at 0 and at 1 of the named axes are equal, of the others they are not."""
    g = features.gaussian(jax.random.key(seed), 12, 3, 4.0, periodic=axes)
    wild = features.gaussian(jax.random.key(seed), 12, 3, 4.0)
    assert np.abs(g.B - wild.B).max() <= 0.5
    np.testing.assert_array_equal(
        g.B, features.fourier(wild.a, wild.B, periodic=axes).B, "one rule for both"
    )
    slopes = jax.vmap(jax.jacfwd(g))
    for axis in range(3):
        ends = points(20, 3, seed)
        ends[:, axis] = 0
        other = ends + np.eye(3, dtype=np.float32)[axis]
        off = max(
            np.abs(g(other) - g(ends)).max(),
            np.abs(slopes(other) - slopes(ends)).max() / (2 * np.pi * 12),
        )
        assert off < 1e-4 if axis in axes else off > 0.1


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        (lambda: features.gaussian(KEY, 4, 2, 1.0, periodic=[2]), ["periodic", "0 to 1", "2"]),
        (lambda: features.gaussian(KEY, 4, 2, 1.0, periodic=[-1]), ["periodic", "-1"]),
        (lambda: features.gaussian(KEY, 4, 2, 0.01, periodic=[1]), ["scale", "axis 1", "4", "0"]),
        (lambda: features.fourier([1.0], [[0.4]], periodic=[0]), ["scale", "axis 0", "0.4"]),
    ],
)
def test_no_periodic_axis(call, parts):
    assert_refused(call, ValueError, parts)


# --- units


def degrees(n):
    return np.random.default_rng(0).uniform((-180, -90), (180, 90), (n, 2)).astype(np.float32)


LOUD = {
    "degrees": (degrees(2000), 2.0),
    "pixel numbers": (np.stack(np.indices((64, 64)), -1).astype(np.float32), 10.0),
    "a few metres of a map": (4e6 + degrees(100), 1.0),
}
QUIET = {
    "the unit": (points(10), 300.0),
    "pixel numbers and cycles a pixel": (LOUD["pixel numbers"][0], 0.05),
    "a minute of sound, cycles a second": (np.arange(0, 60, 1 / 1000)[:, None], 300.0),
    "one point": (degrees(1), 2.0),
    "degrees, slow waves": (degrees(100), 0.02),
}


@pytest.mark.parametrize("kind", LOUD)
def test_coordinates_far_beyond_the_unit_are_told(kind):
    v, scale = LOUD[kind]
    with pytest.warns(UserWarning, match=r"v goes over .* units on axis . .*fflib\.worlds\.places"):
        features.gaussian(KEY, 64, v.shape[-1], scale)(v)


@pytest.mark.parametrize("kind", QUIET)
def test_coordinates_that_fit_their_scale_are_not(kind):
    v, scale = QUIET[kind]
    features.gaussian(KEY, 64, v.shape[-1], scale)(v)  # warnings are errors here


# --- numbers that a float cannot hold


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: features.positional(32, 1, 200.0), "scale"),
        (lambda: positional_nerf(200, 1), "levels"),
        (lambda: features.waves(1e39 ** jnp.arange(4.0)[:, None], sigma=1e39), "sigma"),
        (lambda: positional_transformer(4, 1, 1e300), "length"),
        (lambda: features.gaussian(KEY, 400, 1, 3e38), "scale"),
        (lambda: sampled(KEY, 400, "gaussian", 3e38), "scale"),
        (lambda: sampled(KEY, 400, "laplace", 3e38), "scale"),
        (lambda: sampled(KEY, 400, "uniform_log", 1e60), "scale"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_frequencies_that_overflow_are_refused_by_name(make, name):
    assert_refused(make, ValueError, [f"{name} must leave every frequency finite in float32"])
    one = lambda: features.fourier([1.0], [[1e39]])  # noqa: E731
    assert_refused(one, ValueError, ["B", "NaN or infinite"])


@pytest.mark.parametrize("spoilt", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["a", "B"])
def test_a_mapping_made_by_hand_is_looked_at_when_it_is_asked(name, spoilt):
    given = {"a": np.ones(3, np.float32), "B": np.ones((3, 2), np.float32)}
    given[name] = given[name].copy()
    given[name].flat[1] = spoilt
    wanted = [f"{name} has 1 entries that are NaN or infinite, out of {given[name].size}"]
    g, v = features.Mapping(**jax.tree.map(jnp.asarray, given)), points(4)
    for ask in (g, g.kernel, jax.jit(g), jax.vmap(g)):  # a constant also where a program is traced
        assert_refused(lambda ask=ask: ask(v), ValueError, wanted)
    assert not np.isfinite(jax.jit(lambda g, v: g(v))(g, v)).all()  # no values: nothing to refuse


def test_no_length_without_amplitudes():
    silent = features.fourier(np.zeros(2), np.ones((2, 1)))
    assert_refused(silent.normalized, ValueError, ["a must not be 0", "2 frequencies"])


# --- the ladders


def test_ladder_of_the_code():
    """2^linspace(0, s, m/d) − 1 on each axis: first axis first, zero frequency included."""
    g = features.positional(8, 2, 3.0)
    ladder = [0, 1, 3, 7]
    np.testing.assert_allclose(g.B, [[b, 0] for b in ladder] + [[0, b] for b in ladder], atol=1e-6)
    np.testing.assert_array_equal(g.a, np.ones(8))
    np.testing.assert_allclose(
        features.positional(3, 1, 5.0).B[:, 0], [0, 2**2.5 - 1, 31], rtol=1e-6
    )


def test_basic_is_one_cycle_on_each_axis():
    np.testing.assert_array_equal(features.basic(3).B, np.eye(3))
    np.testing.assert_array_equal(features.basic(3).a, np.ones(3))


@pytest.mark.parametrize("p", [0, 0.5, 1.0, 2, math.inf])
def test_power_law(p):
    g = features.power_law(5, p)
    np.testing.assert_array_equal(g.B[:, 0], [1, 2, 3, 4, 5])
    np.testing.assert_allclose(
        g.a, [1.0] + [0.0 if p == math.inf else j**-p for j in (2, 3, 4, 5)], rtol=1e-6
    )


def test_power_law_at_its_ends():
    """p = ∞ has the basic kernel; p = 0 with all frequencies of a grid tells its points fully
    apart.
    """
    delta = points(20, 1)
    np.testing.assert_allclose(
        features.power_law(9, math.inf).kernel(delta), features.basic(1).kernel(delta), rtol=1e-6
    )
    np.testing.assert_array_equal(
        jax.jit(lambda p: features.power_law(3, p).a)(math.inf), [1, 0, 0]
    )
    n = 16
    grid = np.arange(n)[:, None] / n
    np.testing.assert_allclose(
        features.power_law(n, 0).kernel(grid), n * (np.arange(n) == 0), atol=1e-3
    )


def test_spectrum_of_the_kernel_is_a_squared():
    g = features.power_law(6, 1.0)
    spectrum = rfft_amplitude(g.kernel(np.arange(64)[:, None] / 64))
    np.testing.assert_allclose(spectrum[:9], [0] + [j**-2 for j in range(1, 7)] + [0, 0], atol=1e-6)


# --- random frequencies


def test_gaussian_frequencies_are_normal():
    scale, m, d = 7.0, 4000, 3
    B = np.asarray(features.gaussian(KEY, m, d, scale).B) / scale
    n = B.size
    assert abs(B.mean()) < 4 / math.sqrt(n)
    assert abs(B.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs((B**4).mean() - 3) < 4 * math.sqrt(96 / n)
    correlation = np.corrcoef(B.T)
    assert np.abs(correlation - np.eye(d)).max() < 4 / math.sqrt(m)


def test_gaussian_features_approximate_the_gaussian_kernel():
    """E cos(2πb·Δ) = exp(−2π²σ²‖Δ‖²): Bochner's theorem, within Monte Carlo error."""
    m, sigma = 20_000, 2.0
    delta = np.stack([np.linspace(0, 0.3, 9), np.linspace(0, 0.1, 9)], -1).astype(np.float32)
    wanted = np.exp(-2 * np.pi**2 * sigma**2 * (delta**2).sum(-1))
    np.testing.assert_allclose(
        features.gaussian(KEY, m, 2, sigma).normalized().kernel(delta),
        wanted,
        atol=4 / math.sqrt(2 * m),
    )


def test_keys_decide():
    def draw(seed):
        return features.gaussian(jax.random.key(seed), 4, 2, 1.0).B

    np.testing.assert_array_equal(draw(1), draw(1))
    assert not np.array_equal(draw(1), draw(2))
    np.testing.assert_allclose(
        features.gaussian(KEY, 4, 2, 3.0).B, 3 * features.gaussian(KEY, 4, 2, 1.0).B, rtol=1e-6
    )


def test_zero_scale_is_a_constant():
    np.testing.assert_array_equal(
        features.gaussian(KEY, 3, 2, 0.0)(points(4)), np.tile([0, 0, 0, 1, 1, 1], (4, 1))
    )


# --- no mapping


def test_identity_conventions():
    v = points(5, 3)
    np.testing.assert_array_equal(features.none(3)(v), v)
    np.testing.assert_allclose(features.none(3, shift=0.5)(v), v - 0.5, rtol=1e-6)
    np.testing.assert_allclose(features.none(3, shift=0.5, scale=2.0)(v), 2 * v - 1, atol=1e-6)
    assert features.none(3).num_features == 3


# --- a mapping is a pytree


def test_pytree_round_trip(mapping):
    leaves, tree = jax.tree.flatten(mapping)
    back = jax.tree.unflatten(tree, leaves)
    assert len(leaves) == 2 and isinstance(back, features.Mapping)
    np.testing.assert_array_equal(back(points(3)), mapping(points(3)))


def test_jit_takes_a_mapping_as_argument(mapping):
    v = points(4)
    np.testing.assert_allclose(jax.jit(lambda g, v: g(v))(mapping, v), mapping(v), atol=1e-5)
    np.testing.assert_allclose(jax.jit(mapping)(v), mapping(v), atol=1e-5)  # and as a function


def test_vmap_over_mappings_and_over_points():
    scales = jnp.array([1.0, 2.0, 5.0])
    many = jax.vmap(lambda s: features.gaussian(KEY, 6, 2, s))(scales)
    v = points(4)
    out = jax.vmap(lambda g: g(v))(many)
    for s, row in zip(scales, out, strict=True):
        np.testing.assert_allclose(row, features.gaussian(KEY, 6, 2, float(s))(v), atol=1e-4)
    g = MAPPINGS["gaussian"]
    np.testing.assert_allclose(jax.vmap(g)(v), g(v), atol=1e-5)


def test_derivative_turns_sines_into_cosines(mapping):
    """∂γ/∂v = 2π [a cos, −a sin] bᵀ, and ∂h/∂a_j = 2 a_j cos(2πb_j·Δ)."""
    v = points(1)[0]
    s, c = np.split(np.asarray(mapping(v)), 2)
    J = 2 * np.pi * np.concatenate([c[:, None] * mapping.B, -s[:, None] * mapping.B])
    np.testing.assert_allclose(jax.jacfwd(mapping)(v), J, rtol=1e-4, atol=1e-4 * np.abs(J).max())
    slope = jax.grad(lambda g: g.kernel(v))(mapping).a
    np.testing.assert_allclose(slope, 2 * mapping.a * np.cos(2 * np.pi * mapping.B @ v), atol=2e-4)


def test_float32_error_is_that_of_the_phase(mapping):
    v = points(50)
    exact = in_float64(lambda g, v: g(v), mapping, v)
    phase = 2 * np.pi * np.abs(v) @ np.abs(np.asarray(mapping.B)).T
    bound = 4 * np.finfo(np.float32).eps * np.asarray(mapping.a) * (1 + phase)
    error = np.abs(exact - np.asarray(mapping(v), float))
    assert exact.dtype == np.float64 and mapping(v).dtype == np.float32
    assert (error <= np.concatenate([bound, bound], -1)).all()
