"""Measurement operators: adjoints, closed forms, the slice theorem, an independent Radon transform,
bad input.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import central_difference, in_float64, x64
from refusal import assert_refused
from scipy import ndimage

from fflib.operators import scanner
from fflib.operators.scanner import angles, half_mean_square, kspace_mask, masked_fft, project
from fflib.worlds import phantoms

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
DISC = np.array([[0.7, 0.5, 0.5, 0.1, -0.2, 0.0]])
TILTED = np.array([[0.8, 0.6, 0.2, -0.1, 0.15, 0.7], [0.2, 0.15, 0.3, 0.3, 0.2, -0.4]])


def smooth(n, row=0.1, column=-0.15, width=0.08):
    """A Gaussian bump off the middle, as a function on data.grid(n, 2): well sampled."""
    v = np.arange(n) / n - 0.5
    return np.exp(-((v[:, None] - row) ** 2 + (v - column) ** 2) / (2 * width**2))


# --- the projection


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_projection_approaches_the_closed_form(interpolation):
    """Line integrals of ellipses: the error falls at least as fast as the pixels shrink."""
    theta = np.array([0.0, 0.3, 1.1, np.pi / 2, 2.5])
    errors = []
    for n in (64, 256):
        picture = phantoms.shepp_logan(n, TILTED, oversample=8)
        measured = project(picture, theta, interpolation)
        exact = phantoms.ellipse_sinogram(n, theta, TILTED)
        assert measured.shape == exact.shape == (5, n)
        errors.append(np.sqrt(np.mean((measured - exact) ** 2)))
    assert errors[1] < errors[0] / 3 and errors[1] < 0.01 * exact.max()


def test_linear_is_closer_than_nearest():
    n, theta = 64, angles(7)
    exact = smooth_sinogram(theta, n)
    near, linear = (
        np.abs(project(smooth(n), theta, how) - exact).max() for how in ("nearest", "linear")
    )
    assert linear < near / 3


def smooth_sinogram(theta, n, row=0.1, column=-0.15, width=0.08):
    """Line integrals of the bump: a 1-D Gaussian about its centre's detector."""
    theta, s = np.asarray(theta)[:, None], np.arange(n) / n - 0.5
    centre = column * np.cos(theta) + row * np.sin(theta)
    return np.sqrt(2 * np.pi) * width * np.exp(-((s - centre) ** 2) / (2 * width**2))


def test_which_way_it_turns():
    """At θ = 0 detectors are columns, at π/2 rows: the bump lies left of the middle and below it."""
    n = 64
    across, down = np.asarray(project(smooth(n), np.array([0.0, np.pi / 2]))).argmax(1) / n - 0.5
    assert abs(across + 0.15) < 2 / n and abs(down - 0.1) < 2 / n
    np.testing.assert_allclose(project(smooth(n), [0.0])[0], smooth(n).mean(0), rtol=1e-5)


def test_half_a_turn_more_is_the_mirror_image():
    """p(θ + π, s) = p(θ, −s); detector 0 has no partner."""
    n = 64
    here, there = project(smooth(n), [0.4, 0.4 + np.pi], "linear")
    np.testing.assert_allclose(there[1:], here[1:][::-1], atol=1e-5)


def test_mass_is_the_same_from_everywhere():
    n = 96
    mass = np.asarray(project(smooth(n), angles(9), "linear")).mean(1)
    np.testing.assert_allclose(mass, smooth(n).mean(), rtol=1e-3)


def test_projection_slice_theorem():
    """The 1-D Fourier transform of a projection is the picture's 2-D transform along a line through
    0.
    """
    n, v = 64, np.arange(64) / 64 - 0.5
    picture, theta = smooth(n), 0.7
    p = np.asarray(project(picture, [theta], "linear"), float)[0]
    for k in range(4):
        along = np.exp(-2j * np.pi * k * v) @ p / n
        wave = np.exp(-2j * np.pi * k * (v[None] * np.cos(theta) + v[:, None] * np.sin(theta)))
        assert (
            abs(along - (picture * wave).mean()) < 4e-3 * picture.mean()
        )  # interpolation blurs a little
    axis = (
        np.fft.fft(np.fft.ifftshift(picture))[..., : n // 2].sum(0) / n**2
    )  # θ = 0 against the FFT itself
    zero = (
        np.fft.fft(np.fft.ifftshift(np.asarray(project(picture, [0.0], "linear"), float)[0]))[
            : n // 2
        ]
        / n
    )
    np.testing.assert_allclose(np.abs(zero), np.abs(axis), atol=1e-6)


def test_against_an_independent_radon_transform():
    transform = pytest.importorskip("skimage.transform")
    n, theta = 64, np.asarray(angles(9))
    picture = np.asarray(phantoms.shepp_logan(n, oversample=4), float)
    theirs = transform.radon(picture, theta=-np.degrees(theta), circle=True).T / n
    np.testing.assert_allclose(
        project(picture, theta, "linear")[1:], theirs[1:], atol=1e-5
    )  # it turns the other way
    back = transform.iradon(theirs.T * n, theta=-np.degrees(theta), filter_name="ramp", circle=True)
    inner = np.hypot(*np.meshgrid(*2 * [np.arange(n) - n / 2])) < n / 2 - 2
    np.testing.assert_allclose(
        scanner.filtered_back_projection(theirs, theta)[inner], back[inner], atol=1e-4
    )


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_adjoint_of_the_projection(interpolation):
    n, theta = 16, angles(5)

    def operator(x):
        return project(x, theta, interpolation)

    x, y = RNG.normal(size=(n, n)).astype(np.float32), RNG.normal(size=(5, n)).astype(np.float32)
    back = scanner.adjoint(operator, (n, n))(y)
    np.testing.assert_allclose(np.vdot(operator(x), y), np.vdot(x, back), rtol=1e-4)
    np.testing.assert_allclose(
        jax.vjp(operator, jnp.asarray(x))[1](jnp.asarray(y))[0], back, atol=1e-6
    )
    matrix = np.asarray(jax.jacobian(operator)(jnp.zeros((n, n)))).reshape(5 * n, n * n)
    np.testing.assert_allclose(matrix.T @ y.ravel(), np.ravel(back), atol=1e-5)
    np.testing.assert_allclose(matrix @ x.ravel(), np.ravel(operator(x)), atol=1e-5)  # linear


def test_projection_compiles_and_batches():
    pictures, theta = jnp.asarray(RNG.random((3, 16, 16)), jnp.float32), angles(4)
    one_by_one = jnp.stack([project(f, theta) for f in pictures])
    np.testing.assert_allclose(
        jax.jit(jax.vmap(project, (0, None)))(pictures, theta), one_by_one, atol=1e-6
    )
    wide = in_float64(lambda f: project(f, np.arange(4) * np.pi / 4), pictures[0])
    assert wide.dtype == np.float64
    np.testing.assert_allclose(
        wide, one_by_one[0], atol=0.03
    )  # a pixel on a boundary may fall to either side


def test_back_projection_finds_the_disc():
    """From many exact views it returns the picture, in the right units."""
    n, theta = 128, angles(180)
    found = scanner.filtered_back_projection(phantoms.ellipse_sinogram(n, theta, DISC), theta)
    truth = phantoms.shepp_logan(n, DISC, oversample=4)
    v = 2 * np.arange(n) / n - 1
    distance = np.hypot(v - 0.1, -v[:, None] + 0.2)
    np.testing.assert_allclose(found[distance < 0.4], 0.7, atol=0.02)
    assert (
        np.abs(found[(distance > 0.6) & (np.hypot(v, v[:, None]) < 0.95)]).max() < 0.08
    )  # faint streaks
    assert np.abs(found - truth)[np.hypot(v, v[:, None]) < 0.95].mean() < 0.01


def test_back_projection_is_linear():
    theta, a, b = angles(6), RNG.random((6, 16)), RNG.random((6, 16))
    together = scanner.filtered_back_projection(2 * a - b, theta)
    np.testing.assert_allclose(
        together,
        2 * scanner.filtered_back_projection(a, theta) - scanner.filtered_back_projection(b, theta),
        atol=1e-4,
    )


def test_views_as_they_come():
    """Uneven, negative, unordered angles: each counts for its share of the half turn, whatever the
    order.
    """
    n, rng = 128, np.random.default_rng(3)
    theta = np.sort(np.pi * (np.arange(240) / 240) ** 1.3)  # three times denser at one end
    theta = rng.permutation(theta - np.pi * (rng.random(240) < 0.5)).astype(np.float32)
    np.testing.assert_allclose(scanner._shares(jnp.asarray(theta)).sum(), np.pi, rtol=1e-5)
    found = scanner.filtered_back_projection(phantoms.ellipse_sinogram(n, theta, DISC), theta)
    v = 2 * np.arange(n) / n - 1
    distance = np.hypot(v - 0.1, -v[:, None] + 0.2)
    np.testing.assert_allclose(found[distance < 0.4], 0.7, atol=0.03)
    even = angles(7)
    np.testing.assert_allclose(scanner._shares(even), np.pi / 7, rtol=1e-5)


def test_detectors_need_not_be_pixels():
    """More or fewer detectors see the same line integrals at other places; back comes the same
    picture.
    """
    n, theta = 64, angles(60)
    for m in (48, 96):
        seen = project(smooth(n), theta, "linear", detectors=m)
        np.testing.assert_allclose(seen, smooth_sinogram(theta, m), atol=2e-3)
        back = scanner.filtered_back_projection(seen, theta, size=n)
        inner = np.hypot(*np.meshgrid(*2 * [np.arange(n) - n / 2])) < n / 2 - 2
        np.testing.assert_allclose(back[inner], smooth(n)[inner], atol=0.03)
    np.testing.assert_allclose(
        project(smooth(n), theta, detectors=32), project(smooth(n), theta)[:, ::2], atol=1e-6
    )


def test_a_sinogram_of_scikit_image():
    """Its convention, written out with scipy: turn the picture about n//2 by +θ degrees, sum
    columns.
    """
    n, degrees = 64, np.array([0.0, 20.0, 75.0, 130.0])
    picture = np.asarray(smooth(n))
    theirs = []
    for angle in np.radians(degrees):
        # row and column of the picture at row and column of the turned one, about its middle
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = np.full(2, n // 2)
        turned = ndimage.affine_transform(picture, turn, middle - turn @ middle, order=1)
        theirs.append(turned.sum(0))
    theirs = np.stack(theirs, 1)  # (detectors, angles)
    y, theta = theirs.T / n, -np.radians(degrees)
    np.testing.assert_allclose(project(picture, theta, "linear"), y, atol=2e-3)
    assert np.abs(project(picture, -theta, "linear") - y).max() > 0.05  # the other way round


# --- magnetic resonance

VOLUME = RNG.random((6, 7, 8)).astype(np.float32)
MASK = RNG.random((6, 7, 8)) < 0.4


def test_masked_fft_is_the_sum_it_says():
    y = np.asarray(masked_fft(VOLUME, MASK))
    n = [np.arange(k) for k in VOLUME.shape]
    for k in np.argwhere(MASK)[:6]:
        phase = sum(np.multiply.outer(np.ones(1), x * f / len(x)).reshape([-1 if i == j else 1 for j in range(3)])
                    for i, (x, f) in enumerate(zip(n, k, strict=True)))  # fmt: skip
        np.testing.assert_allclose(
            y[tuple(k)], (VOLUME * np.exp(-2j * np.pi * phase)).sum(), atol=1e-3
        )
    assert (y[~MASK] == 0).all()


def test_parseval():
    y = masked_fft(VOLUME, np.ones(VOLUME.shape, bool))
    np.testing.assert_allclose((np.abs(y) ** 2).sum() / VOLUME.size, (VOLUME**2).sum(), rtol=1e-5)
    np.testing.assert_allclose(scanner.zero_filled(y), VOLUME, atol=1e-6)


def test_adjoint_of_the_masked_fft():
    """Re⟨Ax, y⟩ = ⟨x, Aᴴy⟩, and zero filling is Aᴴ over the number of voxels."""
    y = (RNG.normal(size=VOLUME.shape) + 1j * RNG.normal(size=VOLUME.shape)).astype(np.complex64)
    back = scanner.adjoint(lambda f: masked_fft(f, MASK), VOLUME.shape)(y)
    assert not np.iscomplexobj(back)
    np.testing.assert_allclose(
        np.vdot(masked_fft(VOLUME, MASK), y).real, np.vdot(VOLUME, back), rtol=1e-4
    )
    np.testing.assert_allclose(
        scanner.zero_filled(np.where(MASK, y, 0)), back / VOLUME.size, atol=1e-5
    )


def test_mirrored_is_the_transform_of_the_reversed_volume():
    spectrum = np.fft.fftn(VOLUME)
    np.testing.assert_allclose(scanner.mirrored(spectrum), spectrum.conj(), atol=1e-3)
    np.testing.assert_array_equal(scanner.mirrored(scanner.mirrored(MASK)), MASK)


def test_hermitian_filling_is_the_smallest_volume_that_agrees():
    y = masked_fft(VOLUME, MASK)
    small = scanner.hermitian_filled(y, MASK)
    np.testing.assert_allclose(masked_fft(small, MASK), y, atol=1e-3)
    rows = np.stack(
        [
            np.asarray(masked_fft(e.reshape(VOLUME.shape), MASK))[MASK]
            for e in np.eye(VOLUME.size, dtype=np.float32)
        ],
        -1,
    )
    least = np.linalg.lstsq(
        np.concatenate([rows.real, rows.imag]),
        np.concatenate([y[MASK].real, y[MASK].imag]),
        rcond=1e-4,
    )[0]
    np.testing.assert_allclose(small, least.reshape(VOLUME.shape), atol=1e-3)
    assert (
        np.abs(masked_fft(scanner.zero_filled(y), MASK) - y).max() > 1
    )  # zero filling does not agree


def test_mask_has_its_density():
    """The expected fraction of cells hit: mean over cells of 1 − (1 − p)^draws."""
    n, draws, std = 24, 3000, 3.5
    k = np.fft.fftfreq(n, 1 / n)

    def below(x):
        return 0.5 * math.erf(x / std / math.sqrt(2))

    p1 = np.array([below(q + 0.5) - below(q - 0.5) for q in k])
    p = p1[:, None, None] * p1[:, None] * p1
    wanted = (1 - (1 - p) ** draws).mean()
    found = np.mean(
        [kspace_mask(jax.random.key(i), (n, n, n), draws, std).mean() for i in range(4)]
    )
    assert abs(found / wanted - 1) < 0.03
    mask = np.asarray(kspace_mask(KEY, (n, n, n), draws, std))
    assert mask[0, 0, 0] and mask.dtype == bool
    where = np.argwhere(mask)
    assert abs(np.where(where >= n // 2, where - n, where).mean()) < 0.5  # about frequency 0


def test_mask_of_the_paper():
    mask = kspace_mask(KEY, (96, 96, 96))
    assert 0.12 < float(mask.mean()) < 0.132


def test_draws_outside_the_grid_are_lost():
    mask = np.asarray(kspace_mask(KEY, (4, 5), draws=100_000, std=50.0))
    assert 0.9 < mask.mean() <= 1
    few = np.asarray(kspace_mask(KEY, (40,), draws=50, std=1000.0))
    assert few.sum() < 10


# --- the loss


def test_half_mean_square():
    r = RNG.normal(size=(3, 4)) + 1j * RNG.normal(size=(3, 4))
    np.testing.assert_allclose(half_mean_square(r), 0.5 * np.mean(np.abs(r) ** 2), rtol=1e-5)
    np.testing.assert_allclose(half_mean_square(r.real), 0.5 * np.mean(r.real**2), rtol=1e-5)
    assert half_mean_square(r).dtype == np.float32


def test_complex_loss_has_the_right_gradient():
    """Against differences in float64, also where the residual is exactly 0."""
    truth = np.asarray(VOLUME[:3, :2, :4], float)
    mask = RNG.random(truth.shape) < 0.5
    with x64(True):
        y = np.asarray(jnp.where(mask, jnp.fft.fftn(truth), 0))

        def loss(f):
            return half_mean_square(masked_fft(f, mask) - y)

        f = truth + RNG.normal(size=truth.shape)
        gradient = np.asarray(jax.grad(loss)(jnp.asarray(f)))
        at_truth = np.asarray(jax.grad(loss)(jnp.asarray(truth)))
    np.testing.assert_allclose(gradient, central_difference(loss, f, 1e-5), atol=1e-7)
    np.testing.assert_allclose(at_truth, 0, atol=1e-12)


# --- bad input

SINOGRAM = np.zeros((3, 8), np.float32)
CASES = {
    "picture: oblong": (
        lambda: project(np.zeros((4, 6)), angles(3)),
        ValueError,
        ["image", "(n, n)", "(4, 6)", "square"],
    ),
    "picture: a volume": (
        lambda: project(np.zeros((4, 4, 4)), angles(3)),
        ValueError,
        ["image", "(n, n)", "(4, 4, 4)"],
    ),
    "picture: NaN": (
        lambda: project(np.full((4, 4), np.nan), angles(3)),
        ValueError,
        ["image", "16", "NaN"],
    ),
    "picture: complex": (
        lambda: project(np.zeros((4, 4), complex), angles(3)),
        TypeError,
        ["image", "real", "complex"],
    ),
    "angles: none": (
        lambda: project(np.zeros((4, 4)), np.zeros(0)),
        ValueError,
        ["angles", "empty"],
    ),
    "angles: one number": (
        lambda: project(np.zeros((4, 4)), 0.3),
        ValueError,
        ["angles", "(k,)", "()"],
    ),
    "angles: no views": (lambda: angles(0), ValueError, ["count", "at least 1", "0"]),
    "angles: degrees": (
        lambda: project(np.zeros((4, 4)), np.linspace(-90, 90, 5)),
        ValueError,
        ["angles", "radians", "90", "jnp.radians"],
    ),
    "detectors: none": (
        lambda: project(np.zeros((4, 4)), [0.0], detectors=0),
        ValueError,
        ["detectors", "at least 1"],
    ),
    "angles: half a view": (lambda: angles(2.5), TypeError, ["count", "whole number"]),
    "projection: unknown interpolation": (
        lambda: project(np.zeros((4, 4)), [0.0], "cubic"),
        ValueError,
        ["interpolation", "'nearest'", "'cubic'"],
    ),
    "sinogram: wrong number of views": (
        lambda: scanner.filtered_back_projection(SINOGRAM, angles(4)),
        ValueError,
        ["sinogram", "4", "(3, 8)"],
    ),
    "sinogram: NaN": (
        lambda: scanner.filtered_back_projection(SINOGRAM * np.nan, angles(3)),
        ValueError,
        ["sinogram", "NaN"],
    ),
    "mask: zeros": (
        lambda: masked_fft(VOLUME, np.zeros(VOLUME.shape, bool)),
        ValueError,
        ["mask", "False everywhere", "nothing"],
    ),
    "mask: wrong shape": (
        lambda: masked_fft(VOLUME, MASK[1:]),
        ValueError,
        ["mask", "(6, 7, 8)", "(5, 7, 8)"],
    ),
    "mask: numbers": (
        lambda: masked_fft(VOLUME, MASK.astype(float)),
        TypeError,
        ["mask", "boolean", "float"],
    ),
    "mask: Hermitian, zeros": (
        lambda: scanner.hermitian_filled(VOLUME + 0j, MASK & False),
        ValueError,
        ["mask", "False everywhere"],
    ),
    "volume: NaN": (
        lambda: masked_fft(np.where(MASK, np.nan, VOLUME), MASK),
        ValueError,
        ["volume", "NaN"],
    ),
    "observed: NaN": (
        lambda: scanner.zero_filled(np.full((2, 2), np.nan + 0j)),
        ValueError,
        ["observed", "NaN"],
    ),
    "observed: empty": (
        lambda: scanner.zero_filled(np.zeros((0, 2), complex)),
        ValueError,
        ["observed", "empty"],
    ),
    "new mask: no draws": (
        lambda: kspace_mask(KEY, (4, 4), draws=0),
        ValueError,
        ["draws", "at least 1"],
    ),
    "new mask: no width": (lambda: kspace_mask(KEY, (4, 4), std=0.0), ValueError, ["std", "> 0"]),
    "new mask: no size": (lambda: kspace_mask(KEY, (4, 0)), ValueError, ["shape", "at least 1"]),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case):
    assert_refused(*CASES[case])
