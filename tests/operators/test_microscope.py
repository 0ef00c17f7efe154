"""Cryo-EM: slices against shadows, the contrast's limits, noise, inversion, learning."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import in_float64, x64
from scipy.spatial.transform import Rotation

from fflib import features
from fflib.experiments import particles
from fflib.operators import cameras, microscope
from fflib.operators.microscope import shell_correlation
from fflib.worlds import molecules
from fflib.worlds.molecules import claw

N, PIXEL = 24, 7.0
MOL = claw(35.0, width=7.0)
POSES = microscope.random_rotations(jax.random.key(0), 6)
KEY = jax.random.key(1)
MANY = microscope.random_rotations(
    KEY, 200
)  # one number of pictures, so that observing them is compiled once


def kept(n=N):
    """Frequencies (P, 2) of the kept cells, in cycles per pixel."""
    return microscope.frequencies(n)[microscope.half_disc(n)].astype(np.float32)


# --- transforms and symmetry


@pytest.mark.parametrize("n", [7, 8])
def test_centred_transform_by_its_definition(n):
    a = np.random.default_rng(0).normal(size=(n, n))
    x, k = np.arange(n) - n // 2, microscope.frequencies(n)
    wave = np.exp(-2j * np.pi * np.outer(k, x))
    np.testing.assert_allclose(
        in_float64(lambda a: microscope.centred_fft(a, 2), a), wave @ a @ wave.T, atol=1e-10
    )
    np.testing.assert_allclose(
        in_float64(lambda a: microscope.centred_ifft(microscope.centred_fft(a, 2), 2), a),
        a,
        atol=1e-12,
    )


@pytest.mark.parametrize("n", [7, 8, 32])
def test_half_disc_has_one_of_each_pair(n):
    cells = microscope.half_disc(n) - n // 2
    both = {tuple(c) for c in cells} | {tuple(-c) for c in cells}
    assert len(both) == 2 * len(cells) - 1 and tuple(cells[0]) == (0, 0)
    x, y = np.meshgrid(*2 * [np.arange(n) - n // 2])
    assert len(both) == (np.hypot(x, y) < n / 2).sum()


def test_half_of_the_numbers_makes_the_whole_image():
    """A band-limited real image is rebuilt from the kept half and its conjugates."""
    image = np.random.default_rng(0).normal(size=(N, N))
    row, column = (cells := microscope.half_disc(N)).T
    half = np.asarray(particles.half_transforms(jnp.asarray(image, jnp.float32)[None], N)[0])
    spectrum = np.zeros((N, N), complex)
    spectrum[row, column] = half
    mirror = (-(cells - N // 2) + N // 2).T
    spectrum[tuple(mirror)] = half.conj()
    whole = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image)))
    k = microscope.frequencies(N)
    disc = np.hypot(k[:, None], k) < 0.5
    np.testing.assert_allclose(spectrum[disc], whole[disc], atol=1e-4)
    assert not spectrum[~disc].any()


def test_fold_keeps_one_of_each_pair():
    k = np.array([[1, 2, 3], [-1, 2, -3], [1, -2, 0], [-4, 0, 0], [0, 0, 0]], np.float32)
    folded, sign = microscope.fold(k)
    np.testing.assert_array_equal(folded, sign[:, None] * k)
    np.testing.assert_array_equal(sign, [1, -1, -1, -1, 1])
    np.testing.assert_array_equal(microscope.fold(-k)[0][:4], folded[:4])


# --- poses and slices


def test_random_rotations_are_rotations_and_uniform():
    R = np.asarray(microscope.random_rotations(KEY, 20_000), np.float64)
    np.testing.assert_allclose(
        R @ R.transpose(0, 2, 1), np.broadcast_to(np.eye(3), R.shape), atol=1e-5
    )
    np.testing.assert_allclose(np.linalg.det(R), 1, atol=1e-5)
    # Haar: every entry has mean 0 and variance 1/3; entry R₃₃ = cos θ is uniform; E (tr R)² = 1
    np.testing.assert_allclose(R.mean(0), 0, atol=0.02)
    np.testing.assert_allclose((R**2).mean(0), 1 / 3, atol=0.015)
    assert abs((R[:, 2, 2] ** 4).mean() - 1 / 5) < 0.01
    assert abs((np.trace(R, axis1=1, axis2=2) ** 2).mean() - 1) < 0.05


def test_central_slice_theorem():
    """The transform of a shadow is the cut through the molecule's transform: real space against
    closed form.
    """
    shadows = jnp.stack([molecules.projection(MOL.turn(R), N, PIXEL) for R in POSES])
    at = microscope.slice_points(kept(), POSES)
    cut = molecules.fourier_transform(MOL, at / PIXEL)
    low = np.linalg.norm(kept(), axis=1) < 0.4
    np.testing.assert_allclose(
        particles.half_transforms(shadows, N)[:, low], cut[:, low], atol=5e-4
    )


def test_central_slice_theorem_from_voxels():
    """With nothing closed: turn by a quarter, sum voxels, FFT; against the FFT of the volume on its
    grid.
    """
    V = np.asarray(molecules.volume(MOL, N, PIXEL))
    quarter = np.asarray(Rotation.from_rotvec([0.0, np.pi / 2, 0.0]).as_matrix())  # z' = −x, x' = z
    shadow = np.zeros((N, N))
    shadow[:] = V.sum(0).T  # axes (z, y): the view along x
    spectrum = np.asarray(microscope.centred_fft(jnp.asarray(V), 3))
    at = (
        np.rint(np.asarray(microscope.slice_points(kept(), quarter[None]))[0] * N).astype(int)
        + N // 2
    )
    cut = spectrum[tuple(at.T)]
    np.testing.assert_allclose(
        particles.half_transforms(jnp.asarray(shadow, jnp.float32)[None], N)[0], cut, atol=1e-5
    )


def test_turning_the_molecule_or_the_slice():
    """Molecule turned by Q and seen from R is the molecule seen from RQ."""
    Q = Rotation.from_rotvec([0.2, 0.4, 0.6]).as_matrix()
    turned_molecule = molecules.fourier_transform(
        MOL.turn(Q), microscope.slice_points(kept(), POSES) / PIXEL
    )
    turned_slices = molecules.fourier_transform(
        MOL, microscope.slice_points(kept(), POSES @ Q) / PIXEL
    )
    np.testing.assert_allclose(turned_molecule, turned_slices, atol=1e-5)


def test_all_slices_share_the_centre_and_pairs_share_a_line():
    at = np.asarray(microscope.slice_points(kept(), POSES))
    assert np.abs(at[:, 0]).max() == 0
    normals = np.asarray(POSES)[:, 2]
    np.testing.assert_allclose(np.einsum("npc,nc->np", at, normals), 0, atol=1e-6)


# --- the microscope


def test_wavelength():
    """Published values: 0.0197 Å at 300 kV, 0.0251 Å at 200 kV; and from the physics."""
    assert (
        abs(microscope.wavelength(300) - 0.0197) < 5e-5
        and abs(microscope.wavelength(200) - 0.0251) < 5e-5
    )
    h, m, e, c = 6.62607015e-34, 9.1093837e-31, 1.602176634e-19, 299792458.0
    for kilovolts in (100, 300):
        U = e * kilovolts * 1e3
        exact = 1e10 * h / np.sqrt(2 * m * U * (1 + U / (2 * m * c**2)))
        np.testing.assert_allclose(microscope.wavelength(kilovolts), exact, rtol=1e-4)


def test_contrast_limits():
    k = np.linspace(0.0, 0.2, 200).astype(np.float32)
    assert (
        abs(float(microscope.contrast(k, 15000.0, amplitude=0.1)[0]) + 0.1) < 1e-6
    )  # at k = 0: −A
    np.testing.assert_allclose(
        microscope.contrast(k, 0.0, cs=0.0, amplitude=0.3), -0.3, atol=1e-6
    )  # in focus
    np.testing.assert_allclose(microscope.contrast(k, 0.0, cs=0.0, amplitude=1.0), -1.0, atol=1e-6)
    small = 1e-3 * np.ones(1, np.float32)  # weak phase: C ≈ −πλΔz k² under focus, so dark on light
    expected = -np.pi * microscope.wavelength() * 15000 * 1e-6
    np.testing.assert_allclose(
        microscope.contrast(small, 15000.0, cs=0.0, amplitude=0.0), expected, rtol=1e-3
    )
    assert np.abs(microscope.contrast(k, 15000.0)).max() <= 1 + 1e-6
    damped = microscope.contrast(k, 15000.0, b_factor=100.0) / microscope.contrast(k, 15000.0)
    np.testing.assert_allclose(damped, np.exp(-25 * k**2), rtol=1e-4)


def test_first_zero_of_the_contrast():
    """Without amplitude contrast and aberration: sin(πλΔz k²) = 0 at k = 1/√(λΔz); opposite sign
    beyond.
    """
    zero = 1 / np.sqrt(microscope.wavelength() * 2e4)
    before, at, after = (
        float(microscope.contrast(jnp.array(q * zero), 2e4, cs=0.0, amplitude=0.0))
        for q in (0.9, 1.0, 1.1)
    )
    assert abs(at) < 1e-4 and before < -0.4 and after > 0.4


def test_aberration_in_float64():
    """χ = πλΔzk² − ½πC_sλ³k⁴ written out, where both parts matter."""
    k = np.linspace(0.05, 0.4, 50)
    wave = microscope.wavelength()
    chi = np.pi * wave * 1e4 * k**2 - np.pi / 2 * 2.7e7 * wave**3 * k**4
    expected = -(np.sqrt(1 - 0.01) * np.sin(chi) + 0.1 * np.cos(chi))
    np.testing.assert_allclose(
        in_float64(lambda k: microscope.contrast(k, 1e4), k), expected, atol=1e-9
    )


# --- images


def test_noise_has_the_variance_that_was_asked_for():
    data, images = particles.observe(KEY, MOL, MANY, 1.0, N, PIXEL, snr=0.5)
    _clean, calm = particles.observe(KEY, MOL, MANY, 1.0, N, PIXEL, snr=1e12)
    noise = np.asarray(images - calm)
    ratio = np.asarray(calm).var(axis=(1, 2)).mean() / noise.var()
    assert abs(ratio - 0.5) < 0.02
    exact = molecules.fourier_transform(MOL, microscope.slice_points(data.k, MANY) / PIXEL)
    whitened = np.asarray(data.y - data.gain * exact)
    assert abs((np.abs(whitened[:, 1:]) ** 2).mean() - 1) < 0.02  # P·N values: 5 standard errors
    assert (
        abs((whitened[:, 1:] ** 2).mean()) < 0.02
    )  # real and imaginary parts alike and independent


def test_each_image_its_own_molecule_and_contrast():
    many = jax.vmap(lambda t: claw(t, width=7.0))(jnp.array([0.0, 60.0]))._replace(width=7.0)

    def k_dependent(k):
        return microscope.contrast(k, jnp.array([1e4, 2e4])[:, None, None])

    data, _ = particles.observe(KEY, many, POSES[:2], k_dependent, N, PIXEL, snr=1e10)
    for i, angle in enumerate((0.0, 60.0)):
        exact = molecules.fourier_transform(
            claw(angle, width=7.0), microscope.slice_points(data.k, POSES[i : i + 1])[0] / PIXEL
        )
        error = np.abs(data.y[i] / data.gain[i] * 1.0 - exact)[
            np.abs(data.gain[i]) > 0.3 * np.abs(data.gain[i]).max()
        ]
        assert np.median(error) < 1e-3


# --- inversion and learning


def test_direct_inversion_without_noise():
    data, _ = particles.observe(KEY, MOL, MANY, 1.0, N, PIXEL, snr=1e8)
    made = microscope.invert(data.k, data.y * 1e-4, data.gain * 1e-4, MANY, N, ridge=1e-3)
    truth = molecules.volume(MOL, N, PIXEL)
    assert float(shell_correlation(made, truth)[1:8].min()) > 0.98
    assert abs(float(jnp.vdot(made, truth) / jnp.vdot(truth, truth)) - 1) < 0.05


def test_inversion_is_linear_and_least_squares_at_one_cell():
    """Values exactly on a cell: Σ C y/(Σ C² + ridge)."""
    k = np.array([[0.0, 0.0], [2 / 8, 1 / 8]], np.float32)
    y = jnp.array([[1.0 + 0j, 2.0 - 1j], [0.5 + 0j, 1.0 + 3j]], jnp.complex64)
    gain = jnp.array([[1.0, 2.0], [1.0, -0.5]])
    eye = jnp.stack(2 * [jnp.eye(3)])
    made = microscope.invert(k, y, gain, eye, 8, ridge=0.25, pad=1)
    fade = np.sinc(microscope.frequencies(8)) ** 2
    spectrum = np.asarray(
        microscope.centred_fft(made * (fade[:, None, None] * fade[:, None] * fade), 3)
    )
    expected = (2 * (2 - 1j) - 0.5 * (1 + 3j)) / (4 + 0.25 + 0.25)
    np.testing.assert_allclose(spectrum[6, 5, 4], expected, rtol=1e-5)
    np.testing.assert_allclose(spectrum[2, 3, 4], np.conj(expected), rtol=1e-5)
    np.testing.assert_allclose(
        spectrum[4, 4, 4], 2 * 1.5 / (2 * 2 + 0.25), rtol=1e-5
    )  # its own partner: twice


@pytest.fixture(scope="module")
def learned():
    data, _ = particles.observe(KEY, MOL, MANY, 1.0, N, PIXEL, snr=1.0)
    gammas = [features.gaussian(jax.random.key(s), 32, 3, 4.0) for s in (0, 1)]
    setting = particles.MoleculeSetting(100, 32, depth=3, rate=5e-3, batch=1024)
    return data, particles.learn_molecule(data, gammas, setting, KEY, progress=False)


def test_learning_finds_the_molecule(learned):
    _, (fields, history) = learned
    assert (history["loss"][-1] < 0.5 * history["loss"][0]).all()
    truth = molecules.volume(MOL, N, PIXEL)
    for field in fields:
        assert float(shell_correlation(field.volume(N), truth)[1:4].min()) > 0.8


def test_fields_are_hermitian_and_volumes_band_limited(learned):
    field = learned[1][0][0]
    axis = microscope.frequencies(N)
    k = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).astype(np.float32)
    inside = np.linalg.norm(k, axis=-1) < 0.5
    at, there = np.asarray(field(k[inside])), np.asarray(field(-k[inside]))
    away = (k[inside] != 0).any(-1)  # frequency 0 is its own partner: only its real part counts
    np.testing.assert_allclose(there[away], at[away].conj(), atol=1e-6)
    spectrum = np.asarray(microscope.centred_fft(field.volume(N), 3))
    np.testing.assert_allclose(spectrum[inside][away], at[away], atol=1e-4)
    assert np.abs(spectrum[~inside]).max() < 1e-4


def test_latents_are_one_a_particle_and_no_mapping_is_allowed(learned):
    data = learned[0]
    setting = particles.MoleculeSetting(1, 8, depth=2, batch=64)
    (field,), _ = particles.learn_molecule(data, [None], setting, KEY, latent=True, progress=False)
    assert field.z.shape == (200,)
    k = jnp.full((4, 3), 0.1)
    assert field(k, 0.3).shape == (4,) and not np.allclose(field(k, 0.3), field(k, -0.3))
    with pytest.raises(ValueError, match="z must be given"):
        field(k)
    with pytest.raises(ValueError, match="z must be left out"):
        learned[1][0][0](k, 0.1)


def test_a_learned_volume_goes_through_jit(learned):
    """It is a pytree of arrays with the network's description in its structure; so are its
    gradients.
    """
    field, k = learned[1][0][0], jnp.full((5, 3), 0.1)
    np.testing.assert_allclose(jax.jit(lambda f, k: f(k))(field, k), field(k), rtol=1e-5)
    np.testing.assert_allclose(
        jax.jit(lambda f: f.volume(N))(field), field.volume(N), rtol=1e-3, atol=1e-4
    )
    slope = jax.grad(lambda f: jnp.abs(f(k)).sum())(field)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(slope.params)) > 0


def test_in_float64_the_volume_is_float64():
    model = particles.mlp(3, 8, 2, 2)
    with x64(True):
        field = particles.FourierVolume(None, model, {"net": model.init(KEY)}, 1.0, 1.0)
        assert (
            field(jnp.full((4, 3), 0.1)).dtype == jnp.complex128
            and field.volume(6).dtype == jnp.float64
        )


# --- bad input

MIRROR = np.diag([1.0, 1.0, -1.0]).astype(np.float32)
K2, EYE = kept(), np.eye(3, dtype=np.float32)[None]
Y = np.zeros((1, len(K2)), np.complex64)
G = np.ones((1, len(K2)), np.float32)
FEW = particles.Particles(K2, Y, G, 2 * EYE)
ONE = FEW._replace(poses=EYE)
THREE = jax.vmap(claw)(jnp.arange(3.0))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: cameras.rotations("poses", 2 * EYE), ["poses[0]", "no rotation", "off the identity by 3"]),
        (lambda: cameras.rotations("poses", MIRROR), ["poses is no rotation", "determinant is −1", "mirrors"]),
        (lambda: cameras.rotations("poses", np.ones((2, 3))), ["poses", "(..., 3, 3)", "(2, 3)"]),
        (lambda: cameras.rotations("poses", np.full((3, 3), np.nan)), ["poses", "NaN"]),
        (lambda: microscope.slice_points(np.zeros((4, 3)), EYE), ["k", "(n, 2)"]),
        (lambda: microscope.slice_points(K2, EYE[0]), ["poses", "(N, 3, 3)"]),
        (lambda: microscope.half_disc(2), ["n", "at least 4"]),
        (lambda: microscope.random_rotations(KEY, 0), ["count", "at least 1"]),
        (lambda: microscope.wavelength(-1.0), ["kilovolts", "> 0"]),
        (lambda: microscope.contrast(np.zeros(3), 1e4, amplitude=1.5), ["amplitude", "[0, 1]", "1.5"]),
        (lambda: microscope.contrast(np.zeros(3), 1e4, cs=-1.0), ["cs", ">= 0"]),
        (lambda: microscope.contrast(np.zeros(3), 1e4, b_factor=-1.0), ["b_factor", ">= 0"]),
        (lambda: microscope.invert(K2, Y[:, 1:], G, EYE, N), ["y and gain", "shape"]),
        (lambda: microscope.invert(K2, Y, G, EYE, N, ridge=0.0), ["ridge", "> 0"]),
        (lambda: particles.observe(KEY, MOL, 2 * EYE, 1.0, N, PIXEL, 1.0), ["poses[0]", "no rotation"]),
        (lambda: particles.observe(KEY, MOL, EYE, 1.0, N, PIXEL, 0.0), ["snr", "> 0"]),
        (lambda: particles.observe(KEY, THREE, EYE, 1.0, N, PIXEL, 1.0), ["mol", "1, one a pose", "3"]),
        (lambda: particles.learn_molecule(FEW, [None], particles.MoleculeSetting(1, 8), KEY), ["poses[0]", "no rotation"]),
        (
            lambda: particles.learn_molecule(ONE, [None, features.basic(3)], particles.MoleculeSetting(1, 8), KEY),
            ["gammas", "[3, 6]"],
        ),
    ],
)  # fmt: skip
def test_bad_input(call, says):
    with pytest.raises(ValueError, match=".") as error:
        call()
    for part in says:
        assert part in str(error.value)
