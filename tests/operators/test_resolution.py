"""Shell correlation: of a volume with itself, with noise, with a filtered one; the crossing that is
resolution.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fflib.operators import microscope
from fflib.operators.microscope import resolution, shell_correlation


def test_shell_correlation_with_itself_and_with_noise():
    a, b = (jax.random.normal(jax.random.key(i), (32, 32, 32)) for i in (0, 1))
    np.testing.assert_allclose(shell_correlation(a, a), 1, atol=1e-5)
    np.testing.assert_allclose(shell_correlation(a, -2 * a), -1, atol=1e-5)
    apart = np.asarray(shell_correlation(a, b))
    k = microscope.frequencies(32) * 32
    count = np.bincount(
        np.rint(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)).astype(int).ravel()
    )[:16]
    assert (
        np.abs(apart[3:]) * np.sqrt(count[3:] / 2)
    ).max() < 4  # independent pairs ±k: deviation √(2/count)


@pytest.mark.parametrize("unit", [1e-14, 1e14])
def test_shell_correlation_is_blind_to_the_unit_of_density(unit):
    a, b = (jax.random.normal(jax.random.key(i), (16, 16, 16)) for i in (0, 1))
    np.testing.assert_allclose(
        shell_correlation(unit * a, unit * b), shell_correlation(a, b), atol=1e-5
    )


def test_shell_correlation_is_blind_to_filters():
    a, b = (jax.random.normal(jax.random.key(i), (16, 16, 16)) for i in (0, 1))
    k = microscope.frequencies(16)
    k = np.rint(16 * np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2))
    filtered = microscope.centred_ifft(np.exp(-0.3 * k) * microscope.centred_fft(a + b, 3), 3)
    np.testing.assert_allclose(
        shell_correlation(filtered, b), shell_correlation(a + b, b), atol=1e-4
    )


def test_shell_correlation_tells_the_signal_to_noise_ratio():
    """Truth against truth + noise: √(S/(1+S)); two noisy ones: S/(1+S); so 0.143 means 0.5 (S = 1/6
    and 1/3).
    """
    rng = np.random.default_rng(0)
    t, e, f = (jnp.asarray(rng.normal(size=(48, 48, 48)), jnp.float32) for _ in range(3))
    for S in (1 / 6, 1.0):
        a, b = t + e / S**0.5, t + f / S**0.5
        assert abs(float(shell_correlation(t, a)[12:].mean()) - (S / (1 + S)) ** 0.5) < 0.02
        halves = float(shell_correlation(a, b)[12:].mean())
        assert abs(halves - S / (1 + S)) < 0.02
        whole = float(shell_correlation(t, (a + b) / 2)[12:].mean())
        assert abs(whole - (2 * S / (1 + 2 * S)) ** 0.5) < 0.02
        assert abs(whole - (2 * halves / (1 + halves)) ** 0.5) < 0.03
    assert abs((2 * 0.143 / 1.143) ** 0.5 - 0.5) < 1e-3


def test_resolution_reads_the_crossing():
    curve = np.array([1, 1, 0.9, 0.7, 0.3, 0.1, 0.4, 0.0], np.float32)  # a box of 16
    assert abs(resolution(curve, 0.5, 2.0) - 32 / 3.5) < 1e-5
    assert (
        abs(resolution(curve, 0.143, 2.0) - 32 / (4 + 0.157 / 0.2)) < 1e-4
    )  # the first crossing counts
    assert resolution(np.ones(8), 0.5, 2.0) == 32 / 7
    assert resolution(np.zeros(8), 0.5, 2.0) == 32


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: shell_correlation(np.zeros((4, 4, 5)), np.zeros((4, 4, 5))),
            ["(n, n, n)", "(4, 4, 5)"],
        ),
        (
            lambda: shell_correlation(np.zeros((4, 4, 4)), np.zeros((5, 5, 5))),
            ["(4, 4, 4)", "(5, 5, 5)"],
        ),
        (lambda: resolution(np.ones(8), 1.5, 1.0), ["threshold", "(0, 1)", "1.5"]),
        (lambda: resolution(np.ones((2, 2)), 0.5, 1.0), ["curve", "(2, 2)"]),
        (lambda: resolution(np.ones(8), 0.5, 0.0), ["pixel", "> 0"]),
    ],
)
def test_bad_input(call, says):
    with pytest.raises(ValueError, match=".") as error:
        call()
    for part in says:
        assert part in str(error.value)
