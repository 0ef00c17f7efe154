"""Errors and PSNR: identities and cases whose answer is known."""

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
