"""Errors, PSNR, overlap and amplitudes: identities and signals whose answer is known."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fflib import metrics


def test_mse_is_the_mean_of_squares():
    a, b = np.float32([[1, 2], [3, 4]]), np.float32([[1, 0], [0, 0]])
    np.testing.assert_allclose(metrics.mse(a, b), (0 + 4 + 9 + 16) / 4)
    assert metrics.mse(a, a) == 0 and metrics.mse(a, b) == metrics.mse(b, a)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_compared_in_single(dtype):
    """300² and a mean over 10⁵ are above what half of the digits hold."""
    a, b = jnp.full(100_000, 300, dtype), jnp.zeros(100_000, dtype)
    error = metrics.mse(a, b)
    assert error.dtype == jnp.float32
    np.testing.assert_allclose(error, 300.0**2, rtol=1e-6)
    np.testing.assert_allclose(metrics.psnr(a, b, 300.0), 0, atol=1e-5)
    wave = jnp.sin(2 * jnp.pi * jnp.arange(8) / 8).astype(dtype)
    np.testing.assert_allclose(metrics.rfft_amplitude(wave), [0, 1, 0, 0, 0], atol=5e-3)
    assert metrics.rfft_amplitude(wave).dtype == jnp.float32


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
