"""Molecules of Gaussians: density, shadow and transform against each other and against FFTs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import in_float64
from scipy.spatial.transform import Rotation

from fflib.operators import microscope
from fflib.worlds import molecules
from fflib.worlds.molecules import Molecule, claw, fourier_transform, projection, volume

N, PIXEL = 24, 6.0
SMALL = Molecule(  # well inside its box, well sampled: 1.2 pixels wide
    np.array([[10.0, -7.0, 3.0], [-18.0, 4.0, -9.0], [5.0, 16.0, 12.0]]),
    np.array([0.5, 0.2, 0.3]),
    7.2,
)
TURN = Rotation.from_rotvec([0.4, -0.8, 0.2]).as_matrix()


def cube(n):
    k = microscope.frequencies(n)
    return np.stack(np.meshgrid(k, k, k, indexing="ij"), -1)


def inside(k, radius):
    return np.linalg.norm(k, axis=-1) < radius


# --- closed forms


def test_transform_is_the_fft_of_the_density():
    """Poisson summation: sampled and summed, up to the aliases, which are small for wide blobs."""
    spectrum = in_float64(lambda m: microscope.centred_fft(volume(m, N, PIXEL), 3), SMALL)
    exact = in_float64(lambda m: fourier_transform(m, cube(N) / PIXEL), SMALL)
    where = inside(cube(N), 0.35)
    np.testing.assert_allclose(spectrum[where], exact[where], atol=1e-4)


def test_transform_of_a_shifted_blob_is_a_wave():
    """One blob of no width to speak of: |V̂| = mass, phase −2π k·c."""
    k = np.array([[0.01, 0.02, -0.03], [0.0, 0.0, 0.0]])
    one = Molecule(np.array([[3.0, -5.0, 8.0]]), np.array([2.0]), 1e-3)
    np.testing.assert_allclose(
        fourier_transform(one, k), 2 * np.exp(-2j * np.pi * k @ one.centres[0]), rtol=1e-5
    )


def test_transform_by_integration():
    """∫ V exp(−2πi k·x) dx by Monte Carlo over the molecule's own distribution."""
    rng = np.random.default_rng(0)
    which = rng.choice(3, 200_000, p=SMALL.weights)
    x = SMALL.centres[which] + SMALL.width * rng.normal(size=(len(which), 3))
    k = np.array([[0.01, 0.004, -0.006], [-0.003, 0.02, 0.0]])
    sampled = np.exp(-2j * np.pi * x @ k.T).mean(0)
    np.testing.assert_allclose(fourier_transform(SMALL, k), sampled, atol=4 / np.sqrt(len(x)))


def test_projection_is_the_sum_of_the_density_along_z():
    # the blobs end well before the box does
    np.testing.assert_allclose(
        volume(SMALL, N, PIXEL).sum(2), projection(SMALL, N, PIXEL), atol=1e-6
    )
    assert abs(float(projection(SMALL, N, PIXEL).sum()) - 1) < 1e-4


def test_hermitian_and_mass():
    k = np.random.default_rng(1).normal(size=(50, 3)) / 60
    np.testing.assert_allclose(
        fourier_transform(SMALL, -k), fourier_transform(SMALL, k).conj(), atol=1e-6
    )
    np.testing.assert_allclose(
        fourier_transform(SMALL, np.zeros(3)), SMALL.weights.sum(), rtol=1e-6
    )


def test_turning_the_molecule_turns_its_transform():
    """V_R(x) = V(Rᵀx) has the transform V̂(Rᵀk)."""
    k = np.random.default_rng(2).normal(size=(50, 3)) / 60
    np.testing.assert_allclose(
        fourier_transform(SMALL.turn(TURN), k), fourier_transform(SMALL, k @ TURN), atol=1e-6
    )


def test_axes_are_x_y_z():
    """One blob at +x shows up along the first axis, in volume and shadow."""
    at = Molecule(np.array([[24.0, 0.0, -12.0]]), np.ones(1), 3.0)
    assert np.unravel_index(volume(at, N, PIXEL).argmax(), 3 * (N,)) == (
        N // 2 + 4,
        N // 2,
        N // 2 - 2,
    )
    assert np.unravel_index(projection(at, N, PIXEL).argmax(), 2 * (N,)) == (N // 2 + 4, N // 2)


def test_float32_agrees_with_float64():
    mol = claw(20.0)
    k = jax.random.normal(jax.random.key(0), (200, 3)) / 40
    np.testing.assert_allclose(
        fourier_transform(mol, k), in_float64(fourier_transform, mol, k), atol=2e-5
    )
    np.testing.assert_allclose(
        volume(mol, 16, 9.0), in_float64(lambda m: volume(m, 16, 9.0), mol), atol=1e-6
    )


def test_gradient_of_the_transform():
    """∂V̂/∂c = −2πi k w exp(…): forces on blobs, by autodiff and by hand."""
    k = jnp.array([[0.01, -0.02, 0.005]])
    slope = jax.grad(lambda c: fourier_transform(SMALL._replace(centres=c), k)[0].imag)(
        jnp.asarray(SMALL.centres)
    )
    phase = np.exp(-2j * np.pi * SMALL.centres @ np.asarray(k[0]))
    fade = np.exp(-2 * np.pi**2 * SMALL.width**2 * float((k**2).sum()))
    by_hand = (-2j * np.pi * np.outer(SMALL.weights * phase, np.asarray(k[0])) * fade).imag
    np.testing.assert_allclose(slope, by_hand, rtol=1e-4, atol=1e-7)


# --- the claw


def test_only_the_arm_moves_and_it_is_rigid():
    shut, wide = np.asarray(claw(0.0).centres), np.asarray(claw(60.0).centres)
    np.testing.assert_allclose(shut[:200], wide[:200], atol=1e-4)
    assert np.linalg.norm(shut[200:] - wide[200:], axis=1).max() > 30
    apart = [np.linalg.norm(c[200:, None] - c[None, 200:], axis=-1) for c in (shut, wide)]
    np.testing.assert_allclose(*apart, atol=1e-3)


def test_the_claw_is_centred_and_grows():
    mol = claw(35.0)
    np.testing.assert_allclose(mol.weights @ mol.centres, 0, atol=1e-4)
    np.testing.assert_allclose(mol.weights.sum(), 1, rtol=1e-5)
    np.testing.assert_allclose(claw(35.0, scale=2.0).centres, 2 * mol.centres, rtol=1e-5)
    wide = claw(35.0, scale=2.0, width=8.0)
    np.testing.assert_allclose(wide.radius, 2 * mol.radius, rtol=1e-5)


def test_radius_is_the_spread_of_the_density():
    V, x = np.asarray(volume(SMALL, 32, PIXEL)), (np.arange(32) - 16) * PIXEL
    r2 = x[:, None, None] ** 2 + x[:, None] ** 2 + x**2
    np.testing.assert_allclose(SMALL.radius**2, (V * r2).sum() / 3, rtol=1e-3)


def test_many_at_once():
    many = jax.vmap(claw)(jnp.array([0.0, 35.0]))
    np.testing.assert_allclose(many.centres[1], claw(35.0).centres, atol=1e-5)


def test_from_volume_gives_the_map_back_blurred():
    """Voxels become blobs: the transform is the map's own times the blob's."""
    V = volume(SMALL, N, PIXEL)
    mol = molecules.from_volume(V, PIXEL, width=3.0, part=0.0)
    k = cube(N)[inside(cube(N), 0.3)] / PIXEL
    there, own = fourier_transform(mol, k), fourier_transform(SMALL, k)
    blur = np.exp(-2 * np.pi**2 * 9 * (k**2).sum(-1))
    np.testing.assert_allclose(
        np.abs(there), np.abs(own) * blur, atol=3e-4
    )  # phases differ: it was centred
    np.testing.assert_allclose(mol.weights @ mol.centres, 0, atol=1e-3)


# --- bad input


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda: claw(0.0, scale=-1.0), ValueError, ["scale", "-1"]),
        (
            lambda: fourier_transform(SMALL, np.zeros((5, 2))),
            ValueError,
            ["k", "(..., 3)", "(5, 2)"],
        ),
        (lambda: volume(SMALL, 0, 1.0), ValueError, ["n", "at least 1"]),
        (lambda: projection(SMALL, 8, -1.0), ValueError, ["pixel", "-1"]),
        (
            lambda: molecules.from_volume(np.zeros((2, 2, 2)), 1.0, 1.0),
            ValueError,
            ["voxels", "positive"],
        ),
        (
            lambda: molecules.from_volume(np.ones((2, 2, 2)), 1.0, 1.0, part=1.0),
            ValueError,
            ["part", "[0, 1)"],
        ),
        (lambda: molecules.from_volume(np.ones((2, 2, 2)), 1.0, 0.0), ValueError, ["width", "> 0"]),
    ],
)
def test_bad_input(call, kind, says):
    with pytest.raises(kind) as error:
        call()
    for part in says:
        assert part in str(error.value)
