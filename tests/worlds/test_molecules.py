"""Molecules of Gaussians: density, shadow and transform against each other and against FFTs; MRC files."""

import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import in_float64

from fflib.operators import microscope
from fflib.worlds import molecules, mrc
from fflib.worlds.molecules import Molecule, claw, projection, rotation, transform, turned, volume

N, PIXEL = 24, 6.0
SMALL = Molecule(  # well inside its box, well sampled: 1.2 pixels wide
    np.array([[10.0, -7.0, 3.0], [-18.0, 4.0, -9.0], [5.0, 16.0, 12.0]]),
    np.array([0.5, 0.2, 0.3]),
    7.2,
)
TURN = np.asarray(rotation([1.0, -2.0, 0.5], 0.9))


def cube(n):
    k = microscope.frequencies(n)
    return np.stack(np.meshgrid(k, k, k, indexing="ij"), -1)


def inside(k, radius):
    return np.linalg.norm(k, axis=-1) < radius


# --- closed forms


def test_transform_is_the_fft_of_the_density():
    """Poisson summation: sampled and summed, up to the aliases, which are small for wide blobs."""
    spectrum = in_float64(lambda m: microscope.centred_fft(volume(m, N, PIXEL), 3), SMALL)
    exact = in_float64(lambda m: transform(m, cube(N) / PIXEL), SMALL)
    where = inside(cube(N), 0.35)
    np.testing.assert_allclose(spectrum[where], exact[where], atol=1e-4)


def test_transform_of_a_shifted_blob_is_a_wave():
    """One blob of no width to speak of: |V̂| = mass, phase −2π k·c."""
    k = np.array([[0.01, 0.02, -0.03], [0.0, 0.0, 0.0]])
    one = Molecule(np.array([[3.0, -5.0, 8.0]]), np.array([2.0]), 1e-3)
    np.testing.assert_allclose(
        transform(one, k), 2 * np.exp(-2j * np.pi * k @ one.centres[0]), rtol=1e-5
    )


def test_transform_by_integration():
    """∫ V exp(−2πi k·x) dx by Monte Carlo over the molecule's own distribution."""
    rng = np.random.default_rng(0)
    which = rng.choice(3, 200_000, p=SMALL.weights)
    x = SMALL.centres[which] + SMALL.width * rng.normal(size=(len(which), 3))
    k = np.array([[0.01, 0.004, -0.006], [-0.003, 0.02, 0.0]])
    sampled = np.exp(-2j * np.pi * x @ k.T).mean(0)
    np.testing.assert_allclose(transform(SMALL, k), sampled, atol=4 / np.sqrt(len(x)))


def test_projection_is_the_sum_of_the_density_along_z():
    # the blobs end well before the box does
    np.testing.assert_allclose(
        volume(SMALL, N, PIXEL).sum(2), projection(SMALL, N, PIXEL), atol=1e-6
    )
    assert abs(float(projection(SMALL, N, PIXEL).sum()) - 1) < 1e-4


def test_hermitian_and_mass():
    k = np.random.default_rng(1).normal(size=(50, 3)) / 60
    np.testing.assert_allclose(transform(SMALL, -k), transform(SMALL, k).conj(), atol=1e-6)
    np.testing.assert_allclose(transform(SMALL, np.zeros(3)), SMALL.weights.sum(), rtol=1e-6)


def test_turning_the_molecule_turns_its_transform():
    """V_R(x) = V(Rᵀx) has the transform V̂(Rᵀk)."""
    k = np.random.default_rng(2).normal(size=(50, 3)) / 60
    np.testing.assert_allclose(
        transform(turned(SMALL, TURN), k), transform(SMALL, k @ TURN), atol=1e-6
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
    np.testing.assert_allclose(transform(mol, k), in_float64(transform, mol, k), atol=2e-5)
    np.testing.assert_allclose(
        volume(mol, 16, 9.0), in_float64(lambda m: volume(m, 16, 9.0), mol), atol=1e-6
    )


def test_gradient_of_the_transform():
    """∂V̂/∂c = −2πi k w exp(…): forces on blobs, by autodiff and by hand."""
    k = jnp.array([[0.01, -0.02, 0.005]])
    slope = jax.grad(lambda c: transform(SMALL._replace(centres=c), k)[0].imag)(
        jnp.asarray(SMALL.centres)
    )
    phase = np.exp(-2j * np.pi * SMALL.centres @ np.asarray(k[0]))
    fade = np.exp(-2 * np.pi**2 * SMALL.width**2 * float((k**2).sum()))
    by_hand = (-2j * np.pi * np.outer(SMALL.weights * phase, np.asarray(k[0])) * fade).imag
    np.testing.assert_allclose(slope, by_hand, rtol=1e-4, atol=1e-7)


# --- turns


def test_rotation_properties():
    for axis, angle in (([0, 0, 1], 0.3), ([1.0, 2.0, -1.0], 2.5)):
        R = np.asarray(rotation(axis, angle))
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-6)
        assert np.linalg.det(R) > 0
        np.testing.assert_allclose(R @ np.array(axis), axis, atol=1e-6)  # the axis stays
        assert abs(np.trace(R) - 1 - 2 * np.cos(angle)) < 1e-6
    np.testing.assert_allclose(
        rotation([0, 0, 1], np.pi / 2) @ np.array([1.0, 0, 0]), [0, 1, 0], atol=1e-6
    )


# --- the claw


def test_only_the_arm_moves_and_it_is_rigid():
    shut, wide = np.asarray(claw(0.0).centres), np.asarray(claw(60.0).centres)
    np.testing.assert_allclose(shut[:200], wide[:200], atol=1e-4)
    assert np.linalg.norm(shut[200:] - wide[200:], axis=1).max() > 30
    pairs = lambda c: np.linalg.norm(c[200:, None] - c[None, 200:], axis=-1)
    np.testing.assert_allclose(pairs(shut), pairs(wide), atol=1e-3)


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
    there, own = transform(mol, k), transform(SMALL, k)
    blur = np.exp(-2 * np.pi**2 * 9 * (k**2).sum(-1))
    np.testing.assert_allclose(
        np.abs(there), np.abs(own) * blur, atol=3e-4
    )  # phases differ: it was centred
    np.testing.assert_allclose(mol.weights @ mol.centres, 0, atol=1e-3)


# --- MRC files


@pytest.mark.parametrize("kind", [np.float32, np.int16])
def test_round_trip(tmp_path, kind):
    voxels = (100 * np.random.default_rng(0).normal(size=(4, 5, 6))).astype(kind)
    mrc.write_mrc(tmp_path / "a.mrc", voxels, 2.5)
    again, pixel = mrc.read_mrc(tmp_path / "a.mrc")
    np.testing.assert_array_equal(again, voxels)
    assert again.dtype == np.float32 and abs(pixel - 2.5) < 1e-6
    assert (tmp_path / "a.mrc").stat().st_size == 1024 + voxels.nbytes


def test_header_word_by_word(tmp_path):
    """Against the published layout: sizes, mode, cell, axes, density, letters, byte order, version."""
    voxels = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    mrc.write_mrc(tmp_path / "a.mrc", voxels, 1.5)
    words = struct.unpack("<24i", (tmp_path / "a.mrc").read_bytes()[:96])
    floats = struct.unpack("<24f", (tmp_path / "a.mrc").read_bytes()[:96])
    assert words[:4] == (2, 3, 4, 2) and words[4:10] == (0, 0, 0, 2, 3, 4)
    assert floats[10:16] == (3.0, 4.5, 6.0, 90.0, 90.0, 90.0)
    assert (
        words[16:19] == (1, 2, 3) and floats[19:22] == (0.0, 23.0, 11.5) and words[22:24] == (1, 0)
    )
    raw = (tmp_path / "a.mrc").read_bytes()
    assert raw[208:214] == b"MAP DD" and struct.unpack("<i", raw[108:112]) == (20140,)
    assert struct.unpack("<2f", raw[1024:1032]) == (0.0, 12.0)  # x is fastest


def test_other_programs_agree(tmp_path):
    mrcfile = pytest.importorskip("mrcfile")
    voxels = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    mrc.write_mrc(tmp_path / "a.mrc", voxels, 2.5)
    assert mrcfile.validate(str(tmp_path / "a.mrc"))
    with mrcfile.open(tmp_path / "a.mrc") as file:
        np.testing.assert_array_equal(file.data, voxels.T)
        assert abs(float(file.voxel_size.x) - 2.5) < 1e-6


def hand_made(order, mode, values, axes=(1, 2, 3), extended=0, mark=b"MAP "):
    """A file written from the layout alone: sections, rows, columns as in ``values`` (z, y, x)."""
    head = bytearray(1024)
    struct.pack_into(f"{order}4i", head, 0, *values.shape[::-1], mode)
    struct.pack_into(
        f"{order}3i3f", head, 28, *values.shape[::-1], *(2.0 * n for n in values.shape[::-1])
    )
    struct.pack_into(f"{order}3i", head, 64, *axes)
    struct.pack_into(f"{order}i", head, 92, extended)
    head[208:212] = mark
    head[212:214] = b"\x11\x11" if order == ">" else b"DD"
    return (
        bytes(head) + b"\0" * extended + values.astype(values.dtype.newbyteorder(order)).tobytes()
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("mode", "kind"), [(0, "i1"), (1, "i2"), (2, "f4"), (6, "u2")])
def test_types_and_byte_orders(tmp_path, order, mode, kind):
    values = np.arange(24).reshape(2, 3, 4).astype(kind)  # z, y, x
    (tmp_path / "b.mrc").write_bytes(hand_made(order, mode, values, extended=160))
    voxels, pixel = mrc.read_mrc(tmp_path / "b.mrc")
    np.testing.assert_array_equal(voxels, values.T)
    assert pixel == 2.0


def test_other_orders_of_axes(tmp_path):
    """Columns along z, rows along x, sections along y: read as x, y, z all the same."""
    stored = np.arange(24, dtype=np.float32).reshape(2, 3, 4)  # (section y, row x, column z)
    (tmp_path / "c.mrc").write_bytes(hand_made("<", 2, stored, axes=(3, 1, 2)))
    np.testing.assert_array_equal(mrc.read_mrc(tmp_path / "c.mrc")[0], stored.transpose(1, 0, 2))


GOOD = np.zeros((2, 2, 2), np.float32)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "0 bytes"),
        (hand_made("<", 2, GOOD, mark=b"PAM "), "no mark MAP"),
        (hand_made("<", 4, GOOD), "mode 4"),
        (hand_made("<", 2, GOOD)[:-1], "ends early: 31 bytes of voxels, expected 32"),
        (hand_made("<", 2, GOOD, axes=(1, 1, 3)), "damaged"),
    ],
)
def test_bad_files(tmp_path, raw, says):
    (tmp_path / "bad.mrc").write_bytes(raw)
    with pytest.raises(ValueError, match="bad.mrc") as error:
        mrc.read_mrc(tmp_path / "bad.mrc")
    assert says in str(error.value)


# --- bad input


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (
            lambda: molecules.molecule(np.zeros((3, 2)), np.ones(3), 1.0),
            ValueError,
            ["centres", "3 columns"],
        ),
        (
            lambda: molecules.molecule(np.zeros((3, 3)), np.ones(2), 1.0),
            ValueError,
            ["weights", "(3,)", "(2,)"],
        ),
        (
            lambda: molecules.molecule(np.zeros((3, 3)), np.ones(3), 0.0),
            ValueError,
            ["width", "> 0"],
        ),
        (
            lambda: molecules.molecule(np.full((3, 3), np.nan), np.ones(3), 1.0),
            ValueError,
            ["centres", "NaN"],
        ),
        (lambda: claw(0.0, scale=-1.0), ValueError, ["scale", "-1"]),
        (lambda: rotation([0.0, 0.0, 0.0], 1.0), ValueError, ["axis", "length"]),
        (lambda: rotation([1.0, 0.0], 1.0), ValueError, ["axis", "(3,)"]),
        (lambda: transform(SMALL, np.zeros((5, 2))), ValueError, ["k", "(..., 3)", "(5, 2)"]),
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
        (lambda: mrc.write_mrc("x.mrc", np.zeros((2, 2)), 1.0), ValueError, ["voxels", "(2, 2)"]),
        (lambda: mrc.write_mrc("x.mrc", np.zeros((2, 2, 2)), 0.0), ValueError, ["pixel", "> 0"]),
        (
            lambda: mrc.write_mrc("x.mrc", np.full((2, 2, 2), np.nan), 1.0),
            ValueError,
            ["voxels", "NaN"],
        ),
    ],
)
def test_bad_input(call, kind, says):
    with pytest.raises(kind) as error:
        call()
    for part in says:
        assert part in str(error.value)
