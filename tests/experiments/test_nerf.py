"""The radiance field experiment: mappings, training on pictures, and what a kill must not change."""

import dataclasses
import importlib.util
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fflib import features
from fflib.experiments import nerf, protocol
from fflib.operators import cameras, render
from fflib.worlds import scenes

KEYS = jax.random.split(jax.random.key(0), 2)
TINY = nerf.SceneSetting(
    steps=60,
    width=32,
    m=12,
    rays=128,
    samples=8,
    rates={"none": 3e-3, "basic": 3e-3, "rest": 3e-3, "ours": 0.03},
    scales={"positional": 3.0, "ladder": 2, "gaussian": 3.0, "ours": 2.5},
    warmup=20,
)
POINTS = jax.random.uniform(jax.random.key(1), (50, 3), minval=-1.0)


@pytest.fixture(scope="module")
def views():
    return scenes.views(12, cameras.hemisphere(6), oversample=1)


# --- mappings


def test_the_papers_numbers():
    """Radians, not cycles: the highest positional frequency is 2⁸ − 1, the Gaussian's deviation 26."""

    def freq(name):
        return 2 * np.pi * np.asarray(nerf.scene_mapping(name, KEYS[0], nerf.PAPER).B)

    assert np.abs(freq("positional, aligned")).max() == pytest.approx(255, rel=1e-5)
    assert sorted(set(np.round(np.abs(freq("ladder, aligned")).max(1)))) == [2**k for k in range(9)]
    assert freq("gaussian").std() == pytest.approx(26, rel=0.1) and freq("gaussian").shape == (
        256,
        3,
    )
    np.testing.assert_allclose(freq("basic"), np.eye(3), rtol=1e-6)
    assert freq("positional").shape == (255, 3)
    np.testing.assert_allclose(nerf.scene_mapping("none", KEYS[0], nerf.PAPER)(POINTS), POINTS)
    v = nerf.scene_mapping("basic", KEYS[0], nerf.PAPER)(POINTS)
    np.testing.assert_allclose(v, np.concatenate([np.sin(POINTS), np.cos(POINTS)], 1), atol=1e-6)


@pytest.mark.parametrize("name", ["positional", "ladder"])
def test_turned_is_to_the_turned_scene_what_aligned_is_to_the_scene(name):
    R = nerf.paper_turn()
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(R) == pytest.approx(1)
    aligned, turned = (nerf.scene_mapping(n, KEYS[0], TINY) for n in (f"{name}, aligned", name))
    np.testing.assert_allclose(turned(POINTS @ R.T.astype(np.float32)), aligned(POINTS), atol=1e-4)
    assert (np.count_nonzero(np.round(aligned.B, 6), axis=1) <= 1).all()
    assert (np.count_nonzero(np.round(turned.B, 6), axis=1) > 1).any()


def test_an_unknown_mapping_is_named():
    with pytest.raises(ValueError, match="mapping must be one of 'none', .*, but got 'fourier'"):
        nerf.scene_mapping("fourier", KEYS[0], TINY)


# --- training


@pytest.mark.parametrize(
    "mapping", ["none", "basic", "positional", "positional, aligned", "gaussian", "ours"]
)
def test_every_mapping_trains(mapping, views):
    fields, history = nerf.train(views, KEYS, mapping, TINY, every=1, progress=False)
    assert len(fields) == 2 and history["loss"].shape == (61, 2)
    assert (history["loss"][-10:].mean(0) < history["loss"][:10].mean(0)).all()
    density, colour = fields[1](POINTS)
    assert density.shape == (50,) and (density >= 0).all()
    assert colour.shape == (50, 3) and ((colour > 0) & (colour < 1)).all()


def test_members_differ_and_repeat(views):
    def run():
        return nerf.train(
            views, KEYS, "gaussian", dataclasses.replace(TINY, steps=5), every=1, progress=False
        )[0]

    a, b = run(), run()
    for p, q in zip(jax.tree.leaves(a[0].params), jax.tree.leaves(b[0].params), strict=True):
        np.testing.assert_array_equal(p, q)
    assert not np.array_equal(a[0].params[0][0], a[1].params[0][0])


def test_turning_everything_leaves_the_first_loss_as_it_was(views):
    """Scene, cameras and mapping turned together: the same numbers up to rounding."""
    short = dataclasses.replace(TINY, steps=3)

    def loss(seen, mapping):
        return nerf.train(seen, KEYS, mapping, short, every=1, progress=False)[1]["loss"]

    whole = jnp.eye(4).at[:3, :3].set(nerf.paper_turn())
    turned = dataclasses.replace(views, poses=whole @ views.poses)
    as_it_stands = loss(views, "positional, aligned")
    np.testing.assert_allclose(as_it_stands, loss(turned, "positional"), rtol=1e-3)
    assert np.abs(as_it_stands / loss(views, "positional") - 1).max() > 1e-3


def test_the_warm_up_raises_the_learning_rate():
    optimizer = protocol.adam(1e-2, 10)
    state, params = optimizer.init(jnp.zeros(1)), jnp.zeros(1)
    steps = []
    for _ in range(15):
        update, state = optimizer.update(jnp.ones(1), state, params)
        steps.append(-float(update[0]))
    np.testing.assert_allclose(steps, [1e-2 * min(0.1 + 0.09 * k, 1) for k in range(15)], rtol=1e-3)


def test_looking_and_scoring(views):
    field = nerf.train(
        views, KEYS, "positional", dataclasses.replace(TINY, steps=5), every=1, progress=False
    )[0][0]
    seen = nerf.look(field, views, 10)
    assert seen.colour.shape == views.images.shape and seen.depth.shape == (6, 12, 12)
    t = render.samples(views.near, views.far, 10)
    one = render.picture(field, views.poses[2], views.lens[2], views.size, t, views.far)
    np.testing.assert_allclose(seen.colour[2], one.colour, atol=1e-5)
    psnr = -10 * np.log10(((np.asarray(seen.colour) - views.images) ** 2).mean((1, 2, 3)))
    np.testing.assert_allclose(nerf.scores(field, views, 10), psnr, rtol=1e-4)


def test_as_published(views):
    """The published rays: corners of pixels, depth for t, and what the last sample sees has no end."""
    published = dataclasses.replace(TINY, published=True)
    assert nerf.PAPER.published and nerf.REDUCED.published
    scenes_, history = nerf.train(views, KEYS, "gaussian", published, every=1, progress=False)
    assert (history["loss"][-10:].mean(0) < history["loss"][:10].mean(0)).all()
    seen = nerf.look(scenes_[0], views, 10)
    corners = cameras.pixel_centres(12, 12) - 0.5
    o, d = cameras.rays(views.poses[2], corners, views.lens[2], (12, 12), unit=False)
    t = jnp.broadcast_to(render.samples(views.near, views.far, 10), (12, 12, 10))
    want = render.render(scenes_[0], o, d, t, 1e10)
    np.testing.assert_allclose(seen.colour[2], want.colour, atol=1e-5)
    last = np.asarray(seen.opacity)[np.asarray(seen.weights)[..., -1] > 1e-3]
    assert len(last) and (last > 0.99).all()  # whatever is left stops at the last sample


def test_ours_is_the_aligned_encoding_at_a_scale_of_its_own():
    aligned = dataclasses.replace(TINY, scales={"positional": TINY.scales["ours"]})
    np.testing.assert_array_equal(
        nerf.scene_mapping("ours", KEYS[0], TINY).B,
        nerf.scene_mapping("positional, aligned", KEYS[0], aligned).B,
    )


def test_the_fog_lets_half_of_the_light_through(views):
    """With no weights behind it: opacity ½ along the whole ray, and the mean colour of all
    pictures.
    """
    model = nerf.mlp(6, 8, depth=4, d_out=4)
    params = nerf.start_in_fog(jax.tree.map(jnp.zeros_like, model.init(KEYS[0])), views)

    def field(points):
        return render.radiance(model(params, jnp.zeros((*points.shape[:-1], 6))))

    t = jnp.linspace(views.near, views.far, 33)[:-1]
    seen = render.render(field, jnp.zeros((1, 3)), jnp.ones((1, 3)), t, views.far)
    np.testing.assert_allclose(seen.opacity, [0.5], rtol=1e-5)
    np.testing.assert_allclose(seen.colour[0], views.images.mean((0, 1, 2)), rtol=1e-5)


def test_ours_starts_in_the_fog_with_muon_or_the_given_optimizer(views):
    """Muon moves every direction of a matrix alike; Adam, from the same start, does not."""
    short = dataclasses.replace(TINY, steps=1)
    start = jax.vmap(nerf.mlp(2 * TINY.m, TINY.width, 4, 4, biases=0.01).init)(
        jax.vmap(jax.random.split)(KEYS)[:, 1]
    )
    start = nerf.start_in_fog(start, views)
    spread = {}
    for name, optimizer in (("muon", None), ("adam", protocol.adam(3e-3))):
        fields, _ = nerf.train(views, KEYS, "ours", short, optimizer=optimizer, progress=False)
        step = np.asarray(fields[0].params[1][0] - start[1][0][0])
        s = np.linalg.svd(step, compute_uv=False)
        spread[name] = s[len(s) // 4] / s[0]
    assert spread["muon"] > 0.5 > spread["adam"]


# --- lego and the full run


@pytest.fixture
def lego_folder(tmp_path, monkeypatch):
    """A stand-in for the lego file: 120 tiny pictures."""
    seen = scenes.views(6, cameras.hemisphere(120), oversample=1)
    images = np.concatenate([seen.images, np.ones((120, 6, 6, 1))], -1)
    np.savez(
        tmp_path / "lego.npz",
        images=np.uint8(255 * images),
        poses=seen.poses,
        focal=np.float32(8.3),
    )
    monkeypatch.setattr(
        sys.modules["fflib.worlds.captures"], "fetch", lambda name: tmp_path / "lego.npz"
    )
    return tmp_path


def test_the_full_run_scores_every_test_picture(lego_folder):
    solve = nerf.EXPERIMENTS["nerf_lego"].solve.func
    experiment = nerf.EXPERIMENTS["nerf_lego"]._replace(
        solve=lambda *a: solve(*a, setting=TINY, size=400, folder=str(lego_folder)),
        mappings=("positional, aligned",),
    )
    made = protocol.run({"trial": experiment}, folder=lego_folder, say=lambda _: None)["trial"]
    assert len(made["rows"]) == 13 and made["rows"][0]["item"] == "lego_107"
    assert all(5 < row["value"] < 40 for row in made["rows"]) and len(made["data_hash"]) == 64
    checkpoints = sorted(p.name for p in lego_folder.glob("nerf_*.npz"))
    assert len(checkpoints) == 1 and checkpoints[0].startswith("nerf_positional_aligned_")


def test_a_mapping_is_data_not_program(views):
    """Two Gaussian scales share one compiled program: what is static compares by value."""
    wider = dataclasses.replace(TINY, scales=TINY.scales | {"gaussian": 9.0})
    a, b = (
        nerf.Scene(nerf.scene_mapping("gaussian", KEYS[0], s), nerf.mlp(24, 32, 4, 4), None)
        for s in (TINY, wider)
    )
    assert jax.tree.structure(a) == jax.tree.structure(b) and isinstance(a.gamma, features.Mapping)
    one, same, other = (protocol.Batch(nerf._rays, (64, 8, p)) for p in (False, False, True))
    assert hash(one) == hash(same) and one == same != other


# --- killed


def test_a_killed_training_ends_as_if_nothing_had_happened():
    """SIGKILL at random moments; ten of them in `make check`."""
    path = Path(__file__).parents[2] / "tools" / "killed.py"
    spec = importlib.util.spec_from_file_location("killed", path)
    killed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(killed)
    assert "killed 1 times" in killed.compare(1, seed=3)
