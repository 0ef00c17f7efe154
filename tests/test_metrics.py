"""Errors, PSNR, overlap and amplitudes: identities and signals whose answer is known."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from fflib import metrics


def test_mse_is_the_mean_of_squares():
    a, b = np.float32([[1, 2], [3, 4]]), np.float32([[1, 0], [0, 0]])
    np.testing.assert_allclose(metrics.mse(a, b), (0 + 4 + 9 + 16) / 4)
    assert metrics.mse(a, a) == 0 and metrics.mse(a, b) == metrics.mse(b, a)


def test_mse_of_bytes_does_not_wrap_around():
    assert metrics.mse(np.uint8([3, 250]), np.uint8([5, 0])) == (4 + 250**2) / 2
    assert metrics.mse(np.array([True, False]), np.array([False, False])) == 0.5


@pytest.mark.parametrize("error", [1.0, 0.1, 0.01])
def test_psnr_of_a_known_error(error):
    """A constant error e is 20 log₁₀(peak/e) dB; no ½ of a loss in it."""
    target = np.random.default_rng(0).random((5, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(
        metrics.psnr(target + np.float32(error), target), -20 * math.log10(error), atol=1e-3
    )
    np.testing.assert_allclose(
        metrics.psnr(255 * (target + np.float32(error)), 255 * target, peak=255),
        -20 * math.log10(error),
        atol=1e-3,
    )


def test_psnr_halving_the_error_gains_six_decibels():
    a = np.zeros(8, np.float32)
    np.testing.assert_allclose(
        metrics.psnr(a + 0.25, a) - metrics.psnr(a + 0.5, a), 20 * math.log10(2), rtol=1e-5
    )
    assert metrics.psnr(a, a) == np.inf


def test_metrics_inside_jit_and_grad():
    a, b = jnp.array([0.5, 0.0]), jnp.array([0.0, 0.0])
    np.testing.assert_allclose(jax.jit(metrics.psnr)(a, b), metrics.psnr(a, b), rtol=1e-6)
    np.testing.assert_allclose(jax.grad(metrics.mse)(a, b), [0.5, 0.0])


def test_iou_counts():
    a, b = np.array([1, 1, 1, 0, 0, 0], bool), np.array([0, 1, 1, 1, 0, 0], bool)
    np.testing.assert_allclose(metrics.iou(a, b), 2 / 4)
    assert metrics.iou(a, a) == 1 and metrics.iou(a, ~a) == 0
    assert metrics.iou(np.zeros(3, bool), np.zeros(3, bool)) == 1
    assert metrics.iou(np.zeros(3, bool), np.array([True, False, False])) == 0


@pytest.mark.parametrize("n", [16, 17])
def test_amplitude_of_one_sine(n):
    """A·sin(2πkv + φ) gives A in bin k and nothing elsewhere, for every k below n/2."""
    v = np.arange(n) / n
    for k in range(1, (n - 1) // 2 + 1):
        amplitude = metrics.rfft_amplitude(
            (1.7 * np.sin(2 * np.pi * k * v + 0.4 * k)).astype(np.float32)
        )
        assert amplitude.shape == (n // 2 + 1,)
        np.testing.assert_allclose(amplitude, 1.7 * (np.arange(n // 2 + 1) == k), atol=1e-5)


def test_amplitude_of_a_constant_and_of_nyquist():
    """They have no partner of negative frequency: not doubled. With odd n there is no Nyquist bin."""
    np.testing.assert_allclose(
        metrics.rfft_amplitude(np.full(8, -2.5, np.float32)), [2.5, 0, 0, 0, 0], atol=1e-6
    )
    np.testing.assert_allclose(
        metrics.rfft_amplitude(np.float32([3, -3] * 4)), [0, 0, 0, 0, 3], atol=1e-6
    )
    np.testing.assert_allclose(
        metrics.rfft_amplitude(np.full(7, 2.5, np.float32)), [2.5, 0, 0, 0], atol=1e-6
    )
    np.testing.assert_allclose(metrics.rfft_amplitude(np.float32([4.0])), [4.0])


@pytest.mark.parametrize("n", [16, 17])
def test_amplitudes_hold_the_mean_square(n):
    """Parseval: mean y² = A₀² + ½ Σ A_k² (+ A² of Nyquist)."""
    y = np.random.default_rng(0).normal(size=n).astype(np.float32)
    A = np.asarray(metrics.rfft_amplitude(y))
    whole = [0] + ([-1] if n % 2 == 0 else [])
    np.testing.assert_allclose(
        (A**2).sum() / 2 + (A[whole] ** 2).sum() / 2, (y**2).mean(), rtol=1e-5
    )


def test_amplitude_along_any_axis():
    y = np.random.default_rng(0).normal(size=(3, 8, 2)).astype(np.float32)
    along = metrics.rfft_amplitude(y, axis=1)
    assert along.shape == (3, 5, 2)
    np.testing.assert_allclose(along[2, :, 1], metrics.rfft_amplitude(y[2, :, 1]), rtol=1e-5)
    np.testing.assert_allclose(
        metrics.rfft_amplitude(y), metrics.rfft_amplitude(y, axis=2), rtol=1e-6
    )


# --- pictures


def pictures(*shape, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.random(shape)
    return a.astype(np.float32), np.clip(a + 0.2 * rng.normal(size=shape), 0, 1).astype(np.float32)


@pytest.mark.parametrize("shape", [(11, 11), (20, 13)])
def test_ssim_is_what_the_windows_say(shape):
    a, b = pictures(*shape)
    np.testing.assert_allclose(metrics.ssim(a, b), oracles.ssim(a, b), atol=2e-6)
    np.testing.assert_allclose(
        metrics.ssim(255 * a, 255 * b, peak=255), oracles.ssim(a, b), atol=2e-6
    )


def test_ssim_agrees_with_scikit_image():
    skimage = pytest.importorskip("skimage.metrics")
    a, b = pictures(40, 33, 3)
    theirs = skimage.structural_similarity(
        a,
        b,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        channel_axis=-1,
    )
    np.testing.assert_allclose(metrics.ssim(a, b), theirs, atol=1e-5)


def test_ssim_of_colours_is_the_mean_of_channels():
    a, b = pictures(16, 18, 3)
    each = [metrics.ssim(a[..., c], b[..., c]) for c in range(3)]
    np.testing.assert_allclose(metrics.ssim(a, b), np.mean(each), rtol=1e-5)
    assert metrics.ssim(a, b) == metrics.ssim(b, a) and metrics.ssim(a, a) == 1


def test_ssim_of_flat_pictures_compares_their_means():
    """No variance: the second factor is 1 and the first one the similarity of two numbers."""
    a, b = np.full((12, 12), 0.3, np.float32), np.full((12, 12), 0.7, np.float32)
    np.testing.assert_allclose(
        metrics.ssim(a, b), (2 * 0.21 + 1e-4) / (0.09 + 0.49 + 1e-4), rtol=1e-3
    )


def test_ssim_of_opposites_is_negative():
    a, _ = pictures(16, 16)
    assert metrics.ssim(a, 1 - a) < 0 < metrics.ssim(a, 0.5 + 0.5 * a)


def test_ssim_of_bytes_does_not_wrap_around():
    a = (255 * pictures(16, 16)[0]).astype(np.uint8)
    np.testing.assert_allclose(
        metrics.ssim(a, a[::-1], 255),
        metrics.ssim(a.astype(np.float32), a[::-1] * 1.0, 255),
        atol=1e-5,
    )


@pytest.mark.parametrize("shape", [(10, 30), (30, 10, 3), (30,), (1, 30, 30, 3)])
def test_ssim_of_other_shapes(shape):
    with pytest.raises(ValueError, match="pred and target must have shape"):
        metrics.ssim(np.zeros(shape, np.float32), np.zeros(shape, np.float32))


@pytest.mark.parametrize("shape", [(8, 12), (9, 7), (8, 8, 3)])
def test_radial_power_is_the_mean_over_rings(shape):
    """Against the Fourier sum written out, ring by ring."""
    y = np.random.default_rng(1).random(shape)
    H, W = shape[:2]
    rows, columns = (
        np.exp(-2j * np.pi * np.outer(np.arange(H), np.arange(H)) / H),
        np.exp(-2j * np.pi * np.outer(np.arange(W), np.arange(W)) / W),
    )
    window = np.outer(np.hanning(H), np.hanning(W))
    power = 0
    for channel in np.moveaxis(y.reshape(H, W, -1), -1, 0):
        faded = window * (channel - np.average(channel, weights=window))
        power = power + np.abs(rows @ faded @ columns) ** 2 / (H * W) ** 2 / (y.size / (H * W))
    rings = {}
    for k in range(H):
        for l in range(W):
            radius = math.hypot(min(k, H - k), min(l, W - l))
            rings.setdefault(round(radius), []).append(power[k, l])
    expected = [np.mean(rings[f]) for f in range(min(H, W) // 2)]
    np.testing.assert_allclose(
        metrics.radial_power(y.astype(np.float32)), expected, rtol=1e-4, atol=1e-9
    )


@pytest.mark.parametrize("k", [(6, 0), (0, 6), (-3, 5)])
def test_radial_power_finds_a_wave_in_any_direction(k):
    v = np.stack(np.meshgrid(np.arange(32) / 32, np.arange(32) / 32, indexing="ij"), -1)
    found = np.asarray(
        metrics.radial_power(np.cos(2 * np.pi * v @ np.array(k, float)).astype(np.float32))
    )
    assert found.shape == (16,) and found.argmax() == 6
    away = np.abs(np.arange(16) - 6) > 2
    assert found[away].max() < 1e-4 * found[6]


def test_radial_power_of_a_large_picture():
    """(H W)² of 512 by 512 pixels is no 32-bit whole number."""
    wave = np.cos(2 * np.pi * 6 * np.arange(512) / 512).astype(np.float32)
    small, large = (
        np.asarray(metrics.radial_power(np.tile(w, (len(w), 1)))) for w in (wave[::4], wave)
    )
    assert large.argmax() == 6
    np.testing.assert_allclose(large[6], small[6], rtol=0.05)


def test_radial_power_grows_with_the_square_and_ignores_the_mean():
    y = np.random.default_rng(2).random((16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(
        metrics.radial_power(3 * y + 0.5), 9 * metrics.radial_power(y), rtol=1e-3, atol=1e-9
    )
    with pytest.raises(ValueError, match="picture must have shape"):
        metrics.radial_power(y[0, 0])
