"""Phantoms: geometry, anti-aliasing, bad input; and the trainer on small scans."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusal import assert_refused

from fflib.experiments import scans
from fflib.experiments.image import Setting
from fflib.experiments.protocol import MAPPINGS, item_keys
from fflib.operators import scanner
from fflib.worlds import brains, phantoms
from fflib.worlds.items import shipped

KEY = jax.random.key(0)


# --- ellipses


def test_one_ellipse_point_by_point():
    """Inside where (x', y') meets the ellipse's equation; x to the right, y up."""
    n, (a, b, x0, y0, phi) = 32, (0.7, 0.3, 0.1, -0.2, 0.6)
    picture = np.asarray(phantoms.shepp_logan(n, np.array([[0.5, a, b, x0, y0, phi]])))
    for i in range(n):
        for j in range(n):
            x, y = 2 * j / n - 1 - x0, 1 - 2 * i / n - y0
            u, w = x * np.cos(phi) + y * np.sin(phi), y * np.cos(phi) - x * np.sin(phi)
            value = (u / a) ** 2 + (w / b) ** 2
            if abs(value - 1) > 1e-6:
                assert picture[i, j] == (0.5 if value < 1 else 0.0)


def test_area_and_volume():
    """The mean is grey × area (π ab/4 of the square), in 3-D × volume (π abc/6 of the cube)."""
    ellipse, ellipsoid = (
        np.array([[0.6, 0.5, 0.3, 0.05, 0.1, 0.4]]),
        np.array([[0.6, 0.5, 0.3, 0.7, 0.05, 0.1, -0.1, 0.4]]),
    )
    np.testing.assert_allclose(
        phantoms.shepp_logan(64, ellipse, oversample=4).mean(), 0.6 * np.pi * 0.15 / 4, rtol=2e-3
    )
    np.testing.assert_allclose(
        phantoms.shepp_logan(32, ellipsoid, oversample=2).mean(), 0.6 * np.pi * 0.105 / 6, rtol=5e-3
    )


def test_the_head():
    head = np.asarray(phantoms.shepp_logan(200))
    assert head.shape == (200, 200) and head.dtype == np.float32
    assert head[100, 100] == pytest.approx(0.2) and head[10, 100] == 1.0 and head[0, 0] == 0.0
    assert head[100, 122] == pytest.approx(0.0) and head[65, 100] == pytest.approx(
        0.3
    )  # dark on the right, grey above
    grey = np.unique(head.round(4))
    np.testing.assert_allclose(grey, [0, 0.1, 0.2, 0.3, 0.4, 1.0], atol=1e-4)


def test_the_head_in_three_dimensions():
    head = np.asarray(phantoms.shepp_logan(40, phantoms.ELLIPSOIDS))
    assert head.shape == (40, 40, 40) and head.max() == 1.0 and head.min() == 0.0
    assert head[20, 20, 20] == pytest.approx(0.2) and (head[0] == 0).all()
    lower, upper = head[15], head[25]  # the large inner ellipsoids lie below the middle, z = −1/4
    assert (lower == 0).sum() > (upper == 0).sum()


def test_oversampling_is_the_mean_of_a_finer_grid():
    fine = np.asarray(
        phantoms.shepp_logan(96)
    )  # every third point of it is a point of the coarse grid
    coarse = np.asarray(phantoms.shepp_logan(32, oversample=3))
    blocks = np.roll(fine, (1, 1), (0, 1)).reshape(32, 3, 32, 3).mean((1, 3))
    np.testing.assert_allclose(coarse[1:, 1:], blocks[1:, 1:], atol=1e-5)
    edges = (coarse > 0.01) & (coarse < 0.99) & ~np.isin(coarse.round(3), [0.1, 0.2, 0.3, 0.4])
    assert edges.sum() > 50


def test_perturbation():
    one, other = phantoms.perturbed(KEY), phantoms.perturbed(jax.random.key(1))
    np.testing.assert_array_equal(one, phantoms.perturbed(KEY))
    assert not np.array_equal(one, other)
    drawn = np.stack([phantoms.perturbed(jax.random.key(k)) for k in range(40)])
    many = drawn - phantoms.ELLIPSES
    assert abs(many.std() * 20 - 1) < 4 / np.sqrt(2 * many.size) and abs(
        many.mean()
    ) < 4 / 20 / np.sqrt(many.size)


def test_sinogram_of_a_disc_is_its_chords():
    n, r = 64, 0.5
    chord = 2 * np.sqrt(
        np.maximum((r / 2) ** 2 - (np.arange(n) / n - 0.5) ** 2, 0)
    )  # the square's side is 1
    for row in phantoms.ellipse_sinogram(n, [0.0, 1.0, 2.0], np.array([[0.8, r, r, 0, 0, 0.3]])):
        np.testing.assert_allclose(row, 0.8 * chord, atol=1e-6)


def test_heads_are_those_of_the_old_generator():
    """The table that ships is what JAX drew before it changed its default, while it still can."""
    switch = getattr(jax, "threefry_partitionable", None)
    if switch is None:
        pytest.skip("this JAX has no older generator")
    with np.load(shipped("heads.npz")) as file:
        kept = dict(file)
    with switch(False):
        for name, table in (("ellipses", phantoms.ELLIPSES), ("ellipsoids", phantoms.ELLIPSOIDS)):
            keys, key = [], jax.random.key(10)
            for _ in range(16):
                key, draw = jax.random.split(key)
                keys.append(draw)
            drawn = np.stack([phantoms.perturbed(draw, table) for draw in keys[8:]])
            np.testing.assert_allclose(kept[name], drawn, atol=1e-6)


# --- training on scans

TINY = Setting(
    steps=40, width=12, m=12,
    rates=dict.fromkeys((*MAPPINGS, "ours"), 1e-2), scales={"positional": 2.0, "gaussian": 1.0, "ours": 1.0},
)  # fmt: skip
VIEWS = scanner.angles(5)
HEADS = jnp.stack(
    [
        phantoms.shepp_logan(16, phantoms.perturbed(jax.random.key(k)), oversample=4)
        for k in range(2)
    ]
)
SEEN = jnp.stack([scanner.project(f, VIEWS) for f in HEADS])


def ct(mapping="gaussian", observed=SEEN, keys=(0, 1), operator=scanner.project, **more):
    return scans.reconstruct(
        observed,
        VIEWS,
        item_keys(0, keys),
        mapping,
        TINY,
        operator=operator,
        shape=(16, 16),
        progress=False,
        **more,
    )


@pytest.mark.parametrize("mapping", ("none", "gaussian"))
def test_training_explains_the_measurement(mapping):
    found, history = ct(mapping)
    assert found.shape == (2, 16, 16)
    loss = [
        0.5 * float(np.mean((scanner.project(f, VIEWS) - y) ** 2))
        for f, y in zip(found, SEEN, strict=True)
    ]
    np.testing.assert_allclose(history["loss"][-1], loss, rtol=1e-3)
    assert (history["loss"][-1] < history["loss"][0] / 3).all()


def test_items_do_not_know_of_each_other():
    np.testing.assert_allclose(ct()[0][1], ct(observed=SEEN[1:], keys=(1,))[0][0], atol=2e-3)


def test_grid_without_a_network():
    how = dataclasses.replace(TINY, steps=150)
    found, history = scans.reconstruct(
        SEEN, VIEWS, item_keys(0, (0, 1)), "grid", how, operator=scanner.project, shape=(16, 16)
    )
    assert found.shape == (2, 16, 16) and (history["loss"][-1] < history["loss"][0] / 50).all()
    mask = scanner.kspace_mask(KEY, (8, 8, 8), 300, 2.0)
    volume = brains.volume(8)
    y = scanner.masked_fft(volume, mask)[None]
    keys, how = item_keys(0, (0,)), dataclasses.replace(TINY, steps=300)
    found, _ = scans.reconstruct(
        y, mask, keys, "grid", how, operator=scanner.masked_fft, shape=(8, 8, 8), progress=False
    )
    assert np.linalg.norm(scanner.masked_fft(found[0], mask) - y[0]) < 0.1 * np.linalg.norm(y)


def test_an_operator_of_ones_own():
    """Linear interpolation by partial, and sums over squares that nobody has a name for, without a
    ``how``.
    """
    linear = partial(scanner.project, interpolation="linear")
    seen = jnp.stack([linear(f, VIEWS) for f in HEADS])
    found, history = ct("ours", observed=seen, operator=linear)
    explained = [
        0.5 * float(np.mean((linear(f, VIEWS) - y) ** 2)) for f, y in zip(found, seen, strict=True)
    ]
    np.testing.assert_allclose(history["loss"][-1], explained, rtol=1e-3)

    def blocks(f, how):
        return f.reshape(4, 4, 8, 2).sum((1, 3))

    whole, _ = scans.reconstruct(
        jnp.stack([blocks(f, None) for f in HEADS]), None, item_keys(0, (0, 1)), "ours", TINY,
        operator=blocks, shape=(16, 16), progress=False,
    )  # fmt: skip
    assert whole.shape == (2, 16, 16)
    constant = scans._constant(blocks, None, (16, 16), 8 * 0.3 * np.ones((4, 8)))
    assert float(constant) == pytest.approx(0.3)


def test_heads_and_brains():
    some, more = phantoms.heads(2, 16), phantoms.heads(3, 16)
    assert some.names == ("head1", "head2") and some.array.shape == (2, 16, 16)
    np.testing.assert_array_equal(some.array, more.array[:2])
    assert phantoms.heads(1, 8, 3).array.shape == (1, 8, 8, 8)
    four = scans._heads_and_brain(8)
    assert four.names == ("mni152", "head1", "head2", "head3") and four.array.shape == (4, 8, 8, 8)
    np.testing.assert_array_equal(four.array[0], brains.volumes(8).array[0])
    np.testing.assert_array_equal(four.array[1:], phantoms.heads(3, 8, 3).array)
    assert brains.volumes(12).array.shape == (1, 12, 12, 12) and brains.slices(
        2, 20
    ).array.shape == (2, 20, 20)
    assert abs(float(scans.paper_mask(48).mean()) - float(scans.paper_mask(96).mean())) < 0.01


@pytest.mark.parametrize("name", scans.EXPERIMENTS)
def test_what_a_full_run_would_do(name):
    """One mapping of each experiment, at a small size and for a few steps."""
    settings = scans.EXPERIMENTS[name].settings
    solve = scans.EXPERIMENTS[name].solve
    small = {k: v for k, v in solve.keywords.items()} | {"setting": TINY}
    truth = HEADS if settings["operator"] == "project" else brains.volume(8)[None]
    keys = item_keys(0, range(len(truth)))
    fifth = name.endswith("_ours")
    assert scans.EXPERIMENTS[name].mappings == (("ours",) if fifth else MAPPINGS)
    mapping = "ours" if fifth else "positional" if "brain" in name else "gaussian"
    scores = solve.func(truth, keys, mapping, **small)
    assert len(scores) == len(truth) and all(np.isfinite(told["psnr"]) for told in scores)


# --- bad input

CASES = {
    "head: no size": (lambda: phantoms.shepp_logan(0), ValueError, ["n", "at least 1"]),
    "head: 7 columns": (
        lambda: phantoms.shepp_logan(8, np.ones((2, 7))),
        ValueError,
        ["parameters", "6", "8", "(2, 7)"],
    ),
    "head: NaN": (
        lambda: phantoms.shepp_logan(8, np.full((1, 6), np.nan)),
        ValueError,
        ["parameters", "NaN"],
    ),
    "training: NaN measured": (lambda: ct(observed=SEEN * np.nan), ValueError, ["observed", "NaN"]),
    "training: one scan, two keys": (
        lambda: ct(observed=SEEN[:1]),
        ValueError,
        ["observed", "2", "(1, 5, 16)"],
    ),
    "training: unknown mapping": (
        lambda: ct("wavelets"),
        ValueError,
        ["mapping", "'gaussian'", "'wavelets'"],
    ),
    "training: another operator's measurements": (
        lambda: ct(operator=lambda f, how: f[0]),
        ValueError,
        ["observed", "(16,)", "(16, 16)", "(2, 5, 16)"],
    ),
    "heads: too many": (lambda: phantoms.heads(9, 8), ValueError, ["count", "at most 8", "9"]),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case):
    assert_refused(*CASES[case])
