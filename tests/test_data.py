"""Coordinates, splits and random signals."""

import jax
import numpy as np
import pytest

from fflib import data

KEY = jax.random.key(0)


# --- grids and splits


def test_grid_in_one_dimension():
    np.testing.assert_array_equal(data.grid(4), [[0.0], [0.25], [0.5], [0.75]])
    np.testing.assert_allclose(
        data.grid(10)[:, 0], np.linspace(0, 1, 10, endpoint=False), rtol=1e-6
    )


def test_grid_first_coordinate_follows_the_rows():
    v = data.grid((2, 4))
    assert v.shape == (2, 4, 2)
    for i in range(2):
        for j in range(4):
            np.testing.assert_array_equal(v[i, j], [i / 2, j / 4])
    np.testing.assert_array_equal(data.grid(3, 2), data.grid((3, 3)))
    assert data.grid(2, 3).shape == (2, 2, 2, 3) and data.grid((5,)).shape == (5, 1)


@pytest.mark.parametrize("factor", [2, 8])
def test_split_of_a_signal(factor):
    """Disjoint, complete, every factor-th trains, and each value stays with its coordinate."""
    y = np.arange(32, dtype=np.float32)
    (v, f), (w, g) = data.train_test_1d(y, factor)
    assert v.shape == (32 // factor, 1) and w.shape == (32 - 32 // factor, 1)
    np.testing.assert_array_equal(f, np.arange(0, 32, factor))
    np.testing.assert_array_equal(v[:, 0] * 32, f)
    np.testing.assert_array_equal(w[:, 0] * 32, g)
    np.testing.assert_array_equal(np.sort(np.concatenate([f, g])), y)


def test_split_of_an_image():
    """(even, even) trains, (odd, odd) tests; values are the pixels at those coordinates."""
    rows, columns = np.meshgrid(np.arange(6), np.arange(4), indexing="ij")
    picture = np.stack([rows / 6, columns / 4, rows * 10 + columns], -1).astype(np.float32)
    (v, f), (w, g) = data.train_test_image(picture)
    assert v.shape == w.shape == (3, 2, 2) and f.shape == g.shape == (3, 2, 3)
    np.testing.assert_allclose(f[..., :2], v, rtol=1e-6)
    np.testing.assert_allclose(g[..., :2], w, rtol=1e-6)
    np.testing.assert_array_equal(f[..., 2], [[0, 2], [20, 22], [40, 42]])
    np.testing.assert_array_equal(g[..., 2], [[11, 13], [31, 33], [51, 53]])


# --- random signals


@pytest.mark.parametrize(
    ("n", "alpha", "bins"), [(64, 1.0, None), (65, 0.5, None), (256, 2.0, 64), (4, 0.0, 2)]
)
def test_signal_fills_its_range(n, alpha, bins):
    y = data.power_law_signal(KEY, n, alpha, bins)
    assert y.shape == (n,)
    np.testing.assert_allclose([y.min(), y.max()], [-0.5, 0.5], atol=1e-6)


def test_signal_has_only_the_asked_frequencies():
    spectrum = np.abs(np.fft.rfft(np.asarray(data.power_law_signal(KEY, 256, 1.0, 64), float)))
    assert spectrum[64:].max() < 1e-4 * spectrum[1:].max() and spectrum[63] > 0


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_mean_spectrum_falls_as_the_power_law(alpha):
    """Over many signals |ŷ_f| is proportional to (1 + f)^−α, bin by bin."""
    n, seeds = 256, 800
    y = jax.vmap(lambda key: data.power_law_signal(key, n, alpha))(jax.random.split(KEY, seeds))
    coefficients = np.abs(np.fft.rfft(np.asarray(y, float)))[:, 1:100]
    # each signal is scaled to its own range: compare shapes
    shape = (coefficients**2 / (coefficients**2).sum(1, keepdims=True)).mean(0) ** 0.5
    f = np.arange(1, 100)
    slope = np.polyfit(np.log(1 + f), np.log(shape), 1, w=np.sqrt(f))[0]
    assert abs(slope + alpha) < 0.04


def test_signals_follow_their_key():
    def draw(seed):
        return data.power_law_signal(jax.random.key(seed), 32, 1.0)

    np.testing.assert_array_equal(draw(1), draw(1))
    assert not np.array_equal(draw(1), draw(2))
