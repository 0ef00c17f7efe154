"""The shape experiment: right labels, right loss, learning, and measures that know a perfect
answer.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fflib.experiments import protocol, records, shape
from fflib.experiments.protocol import MAPPINGS, item_keys
from fflib.operators import meshes
from fflib.worlds import solids
from fflib.worlds.items import Items

TINY = shape.SolidSetting(
    steps=40, width=16, depth=3, m=16, batch=512, decay=40, rates={"rest": 5e-3, "ours": 0.04},
    scales={"positional": 2.0, "gaussian": 2.0, "ours": 2.0},
)  # fmt: skip
FOUND = solids.solids(("rope", "gyroid"))
READY = solids.prepare(FOUND, jax.random.key(0), 4096, 4096)


def one(e):
    return jax.tree.map(lambda x: x[e], READY.array)


def test_the_truth_scores_one_and_ignorance_less():
    for e, made in enumerate(FOUND.array):

        def truth(v, made=made):
            return 2.0 * jnp.asarray(meshes.inside(made, v)) - 1

        assert shape.score(truth, one(e)) == {"iou": 1.0, "iou_uniform": 1.0}
        everything = shape.score(lambda v: jnp.ones(len(v)), one(e))
        assert everything["iou"] == pytest.approx(
            float(READY.array["near_inside"][e].mean()), abs=1e-6
        )


def test_cross_entropy():
    """Against the definition in float64, at ½, and at logits that overflow the definition."""
    logit, y = np.linspace(-20, 20, 41), np.arange(41) % 2 == 0
    p = 1 / (1 + np.exp(-logit))
    want = -np.mean(np.where(y, np.log(p), np.log1p(-p)))
    np.testing.assert_allclose(
        shape.cross_entropy(jnp.asarray(logit), jnp.asarray(y)), want, rtol=1e-5
    )
    np.testing.assert_allclose(
        shape.cross_entropy(jnp.zeros(3), jnp.array([True, False, True])), np.log(2), rtol=1e-6
    )
    assert shape.cross_entropy(jnp.array([1e4, -1e4]), jnp.array([True, False])) == 0
    slope = jax.grad(lambda z: shape.cross_entropy(z, jnp.array([True])))(jnp.array([0.3]))
    np.testing.assert_allclose(slope, 1 / (1 + np.exp(-0.3)) - 1, rtol=1e-5)  # p − y


def test_mappings_have_norm_one():
    v = jax.random.uniform(jax.random.key(0), (50, 3))
    for mapping in MAPPINGS[1:]:
        gamma = shape.solid_mapping(mapping, jax.random.key(1), shape.PAPER)
        np.testing.assert_allclose(jnp.linalg.norm(gamma(v), axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(
        shape.solid_mapping("none", jax.random.key(1), shape.PAPER)(v), 2 * v - 1, rtol=1e-6
    )


@pytest.mark.parametrize("mapping", (*MAPPINGS, "ours"))
def test_it_learns(mapping):
    fields, history = shape.sculpt(READY.array, item_keys(0, [0, 1]), mapping, TINY, looks=1)
    assert history["step"].tolist() == [0, 40] and history["iou"].shape == (2, 2)
    assert (history["loss"][-1] < history["loss"][0]).all()
    logit = fields[1](READY.array["near"][1])
    overlap = np.mean((logit > 0) & READY.array["near_inside"][1]) / np.mean(
        (logit > 0) | np.asarray(READY.array["near_inside"][1])
    )
    np.testing.assert_allclose(history["iou"][-1, 1], overlap, atol=1e-3)
    np.testing.assert_allclose(shape.score(fields[1], one(1))["iou"], overlap, rtol=1e-5)


def test_the_same_keys_give_the_same_networks():
    a, b = (
        shape.sculpt(READY.array, item_keys(3, [0, 1]), "gaussian", TINY)[0][0] for _ in range(2)
    )
    v = jnp.asarray(READY.array["uniform"][0][:100])
    np.testing.assert_array_equal(a(v), b(v))


def test_a_field_takes_points_of_any_shape():
    (field, _), _ = shape.sculpt(
        READY.array, item_keys(0, [0, 1]), "none", dataclasses.replace(TINY, steps=1)
    )
    v = jax.random.uniform(jax.random.key(2), (5, 7, 3))
    by_hand = field.model(field.params, 2 * v - 1)[..., 0]
    np.testing.assert_allclose(field(v), by_hand, atol=1e-6)
    slope = jax.grad(lambda p: field(p))(v[0, 0])
    assert slope.shape == (3,)


def test_the_surface_of_a_function():
    """A ball given as a function: the mesh has its volume, and scores near 1 against itself."""
    made = shape.surface(lambda v: 0.3 - jnp.linalg.norm(v - 0.5, axis=-1), 48)
    assert made.volume == pytest.approx(4 / 3 * np.pi * 0.3**3, rel=0.01) and made.euler == 2
    half = shape.surface(
        lambda v: 0.3 - jnp.linalg.norm(v - 0.5, axis=-1), 48, [[0, 0, 0], [1, 1, 0.5]]
    )
    assert half.volume == pytest.approx(made.volume / 2, rel=0.03)  # one layer of the border more
    ready = solids.prepare(Items(("ball",), (made,), "", "a ball"), jax.random.key(0), 16, 4096)
    ball = jax.tree.map(lambda x: x[0], ready.array)
    found = shape.score(lambda v: 0.3 - jnp.linalg.norm(v - 0.5, axis=-1), ball)
    assert found["iou"] > 0.97 and found["iou_uniform"] > 0.98


def test_near_the_surface_the_overlap_measures_the_offset():
    """A surface too far out by δ: IoU = Φ(0)/Φ(δ/σ) for a flat one, nearly so for a large ball."""
    made = shape.surface(lambda v: 0.4 - jnp.linalg.norm(v - 0.5, axis=-1), 80)
    ready = solids.prepare(Items(("ball",), (made,), "", "a ball"), jax.random.key(0), 16, 60_000)
    ball = jax.tree.map(lambda x: x[0], ready.array)
    for delta in (0.005, 0.02):
        found = shape.score(lambda v, d=delta: 0.4 + d - jnp.linalg.norm(v - 0.5, axis=-1), ball)[
            "iou"
        ]
        want = 0.5 / float(jax.scipy.stats.norm.cdf(delta / solids.SIGMA))
        assert found == pytest.approx(want, abs=0.02)


def test_the_papers_numbers():
    paper = shape.PAPER
    assert (paper.steps, paper.width, paper.depth, paper.batch) == (10_000, 256, 8, 32_768)
    scales = {k: v for k, v in paper.scales.items() if k in MAPPINGS}
    assert (paper.decay, scales) == (5000, {"positional": 6.0, "gaussian": 12.0})
    assert all(protocol.of_row(paper.rates, mapping) == 5e-4 for mapping in MAPPINGS)
    gaussian = shape.solid_mapping("gaussian", jax.random.key(0), paper)
    assert (gaussian.m, shape.solid_mapping("positional", jax.random.key(0), paper).m) == (256, 255)


def test_the_rate_falls_to_a_tenth():
    optimizer = protocol.adam(1e-2, decay=10)
    assert optimizer is protocol.adam(1e-2, decay=10)
    state, steps = optimizer.init(jnp.zeros(1)), []
    for _ in range(11):
        update, state = optimizer.update(jnp.ones(1), state)
        steps.append(-float(update[0]))
    np.testing.assert_allclose(steps, 1e-2 * 0.1 ** (np.arange(11) / 10), rtol=1e-3)


def test_a_full_run_in_small(tmp_path):
    """`make results NAME=shape` end to end, on built-in solids with small networks."""
    small = protocol.Experiment(
        lambda: READY, lambda *part: shape._solve(*part, TINY), dataclasses.asdict(TINY)
    )
    made = protocol.run({"shape_scans": small}, folder=tmp_path, say=lambda _: None)["shape_scans"]
    table = {s.mapping: s for s in records.standings(made["rows"], "iou")}
    assert tuple(table) == MAPPINGS and all(s.items == 2 for s in table.values())
    assert {r["metric"] for r in made["rows"]} == {"iou", "iou_uniform"}


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: shape.sculpt(READY.array, item_keys(0, [0]), "none", TINY),
            "keys must be one a solid, 2, but got 1",
        ),
        (
            lambda: shape.sculpt(READY.array, item_keys(0, [0, 1]), "fourier", TINY),
            "mapping must be one of",
        ),
        (
            lambda: shape.Occupancy(None, [], None)(jnp.ones((6, 2))),
            r"v must have shape \(..., 3\).* got shape \(6, 2\)",
        ),
        (lambda: shape.surface(lambda v: -jnp.ones(v.shape[:-1]), 8), "nothing inside"),
    ],
)
def test_bad_input(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_iou_counts():
    a, b = np.array([1, 1, 1, 0, 0, 0], bool), np.array([0, 1, 1, 1, 0, 0], bool)
    np.testing.assert_allclose(shape.iou(a, b), 2 / 4)
    assert shape.iou(a, a) == 1 and shape.iou(a, ~a) == 0
    assert shape.iou(np.zeros(3, bool), np.zeros(3, bool)) == 1
    assert shape.iou(np.zeros(3, bool), np.array([True, False, False])) == 0
