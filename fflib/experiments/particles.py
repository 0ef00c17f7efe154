"""Learn a molecule from its noisy projections: a coordinate network in Fourier space.

frequency k → γ(k) → MLP → V̂(k), times the microscope's contrast → compare with the image there. A
value of an image is one of the volume's transform, by the central-slice theorem, so a random
handful of such numbers is a batch. With a number z for each image beside γ(k), learned with the
weights, the network holds a whole movement (cryoDRGN, Zhong et al. 2021, reads z off the image).
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial

from fflib import checks
from fflib.experiments import protocol
from fflib.files import Trained
from fflib.network import mlp
from fflib.operators import microscope
from fflib.operators.cameras import rotations
from fflib.operators.scanner import half_mean_square
from fflib.worlds import molecules


class Particles(NamedTuple):
    """N images, each as P values of its Fourier transform: ``k`` (P, 2) in cycles per pixel, one of
    each pair ±k inside the disc, ``y`` (N, P) complex, the transforms over the noise, so that it
    has E|ε|² = 1, ``gain`` (N, P) what multiplies V̂, the contrast over the noise, and ``poses``
    (N, 3, 3). Chapter: A molecule in motion.
    """

    k: jax.Array
    y: jax.Array
    gain: jax.Array
    poses: jax.Array


def half_transforms(images, n: int) -> jax.Array:
    """What is kept of the transforms of images (N, n, n), (N, P). Chapter: A molecule in motion."""
    row, column = microscope.half_disc(n).T
    return microscope.centred_fft(images, 2)[..., row, column]


def observe(
    key: jax.Array, mol: molecules.Molecule, poses, contrast, n: int, pixel: float, snr: float
) -> tuple[Particles, jax.Array]:
    """Take a picture of each molecule, with contrast and noise, which ``key`` draws.

    ``mol`` is one molecule, or one for each of the ``poses`` (N, 3, 3), its arrays with leading
    axis N; ``contrast`` a function of frequencies (n, n) in cycles per Å → (N, n, n) or (n, n), or
    1.0; ``pixel`` the side of one in Å; ``snr`` the variance of the pixels of a clean image, the
    mean over images, over that of the noise.

    Returns: the particles, and the images (N, n, n) as the detector sees them. Raises: ValueError
    for poses that are no rotations, another number of molecules, an snr that is not positive.
    Chapter: A molecule in motion.
    """
    poses, snr = rotations("poses", poses), checks.positive("snr", snr)
    mol = mol._replace(width=jnp.asarray(mol.width))
    count = len(mol.centres) if mol.centres.ndim == 3 else len(poses)
    checks.must(count == len(poses), "mol", f"be one molecule or {len(poses)}, one a pose", count)
    each = molecules.Molecule._make(
        jnp.broadcast_to(leaf, (len(poses), *np.shape(leaf)[np.ndim(leaf) - axes :]))
        for leaf, axes in zip(mol, (2, 1, 0), strict=True)  # axes of one molecule's arrays
    )
    gain = contrast(microscope.radius(n) / pixel) if callable(contrast) else contrast
    gain = jnp.broadcast_to(jnp.asarray(gain, jnp.float32), (len(poses), n, n))
    shadows = _shadows(each, poses, checks.count("n", n), checks.positive("pixel", pixel))
    kept = jnp.asarray(microscope.frequencies(n)[microscope.half_disc(n)], shadows.dtype)
    seen, y, gain = _detected(checks.key("key", key), shadows, gain, snr)
    return Particles(kept, y, gain, poses), seen


@jax.jit
def _detected(key, shadows, gain, snr):
    """The images, and what is kept of their transforms and of the gain, both over the noise."""
    n = shadows.shape[-1]
    clean = microscope.filtered(shadows, gain)
    sigma = jnp.sqrt(jnp.var(clean, axis=(1, 2)).mean() / snr)
    seen = clean + sigma * jax.random.normal(key, clean.shape)
    row, column = microscope.half_disc(n).T
    return seen, half_transforms(seen, n) / (n * sigma), gain[:, row, column] / (n * sigma)


@partial(jax.jit, static_argnames=("n", "pixel"))
def _shadows(mols, poses, n, pixel):
    def shadow(pair):
        return molecules.projection(pair[0].turn(pair[1]), n, pixel)

    return jax.lax.map(shadow, (mols, poses), batch_size=256)


class MoleculeSetting(NamedTuple):
    """The numbers of a training: ``width`` and ``depth`` (the output counted) of the network, the
    ``rate`` of Adam, which falls to a tenth along a cosine, and ``batch`` values of images a step.
    With a latent, ``prior`` is the weight of mean z², which keeps it near 0, and z = ``pace`` ·
    (what Adam steps). Chapter: A molecule in motion.
    """

    steps: int
    width: int
    depth: int = 4
    rate: float = 2e-3
    batch: int = 4096
    prior: float = 1e-3
    pace: float = 10.0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)  # arrays have no truth value to compare by
class FourierVolume(Trained):
    """A trained network: V̂(k; z) in the units of the data. Chapter: A molecule in motion."""

    scale: Any
    pace: Any

    @property
    def z(self) -> jax.Array | None:
        """The latent of every image (N,), None without."""
        return self.pace * self.params["z"] if "z" in self.params else None

    def __call__(self, k, z=None) -> jax.Array:
        """V̂(k), complex; k (..., 3) in cycles per pixel, z a number where there is a latent."""
        k = checks.real_array("k", k)
        if (z is None) != (self.z is None):
            raise ValueError(f"z must be {'given' if z is None else 'left out'}: see its z")
        latent = None if z is None else jnp.full(k.shape[:-1], z, k.dtype)
        return self.scale * _values(self.model, self.params["net"], self.gamma, k, latent)

    def volume(self, n: int, z=None) -> jax.Array:
        """The volume (n, n, n) with these frequencies inside the ball ‖k‖ < ½, none outside."""
        axis = microscope.frequencies(n)
        k = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).astype(np.float32)
        inside = np.linalg.norm(k, axis=-1) < 0.5
        values = self(k[inside], z)
        return microscope.centred_ifft(jnp.zeros((n, n, n), values.dtype).at[inside].set(values), 3)


@partial(jax.jit, static_argnums=0)
def _values(model: Callable, net, gamma, k, z):
    """V̂/scale, complex: the network on the folded frequency, Hermitian by construction."""
    k, sign = microscope.fold(k)
    x = k if gamma is None else gamma(k)
    x = x if z is None else jnp.concatenate([x, z[..., None]], -1)
    real, imaginary = jnp.moveaxis(model(net, x), -1, 0)
    return jax.lax.complex(real, sign * imaginary)


def _handful(key, seen, size):
    """Some values at random, of image i and frequency p."""
    data = seen["particles"]
    i, p = jax.random.randint(key, (2, size), 0, jnp.array(data.y.shape)[:, None])
    k = jnp.einsum("bc,bcd->bd", data.k[p], data.poses[i, :2], precision="highest")
    return seen | dict(k=k, y=data.y[i, p], gain=data.gain[i, p] * seen["scale"], i=i)


def _loss(params, b):
    z = b["pace"] * params["z"][b["i"]] if "z" in params else None
    v = _values(b["model"].func, params["net"], b["gamma"], b["k"], z)
    misfit = 2 * half_mean_square(b["gain"] * v - b["y"])
    return misfit if z is None else misfit + b["prior"] * jnp.mean(z**2)


def learn_molecule(
    particles: Particles, gammas: Sequence, setting: MoleculeSetting, key: jax.Array, *,
    latent: bool = False, label: str = "Fourier space", **how,
) -> tuple[list[FourierVolume], dict[str, np.ndarray]]:  # fmt: skip
    """Fit one network for each mapping of R³ to the same images, all as one program; ``[None]`` is
    no mapping.

    The loss is mean ‖C V̂ − y‖² in units of the noise: no honest model falls below 1 by more than
    it overfits. ``key`` draws weights, batches and first latents; with ``latent`` every image has a
    number z, learned; ``how`` is for ``fit``.

    Returns: a :class:`FourierVolume` for each mapping, and the history of ``fit``. Raises:
    ValueError when the mappings differ in size or the poses are no rotations. Chapter: A molecule
    in motion.
    """
    microscope.slice_points(particles.k, particles.poses)
    sizes = {3 if gamma is None else gamma.num_features for gamma in gammas}
    checks.must(len(sizes) == 1, "gammas", "all have as many features", sorted(sizes))
    model = mlp(sizes.pop() + latent, setting.width, setting.depth, 2, weights="he")
    keys, members = jax.random.split(checks.key("key", key), 3), len(gammas)
    params = {"net": jax.jit(jax.vmap(model.init))(jax.random.split(keys[0], members))}
    if latent:
        params["z"] = 0.1 / setting.pace * jax.random.normal(keys[1], (members, len(particles.y)))
    power = jnp.mean(jnp.abs(particles.y) ** 2) - 1  # of the signal; the noise has 1
    scale = float(jnp.sqrt(jnp.maximum(power, 1e-3) / jnp.mean(particles.gain**2)))
    shared = dict(particles=particles, scale=scale, prior=setting.prior, pace=setting.pace)
    seen = jax.tree.map(lambda x: jnp.broadcast_to(x, (members, *jnp.shape(x))), shared)
    seen["gamma"] = jax.tree.map(lambda *leaves: jnp.stack(leaves), *gammas)
    optimizer, batch = (
        _adam(setting.rate, setting.steps),
        protocol.Batch(_handful, (setting.batch,)),
    )
    params, history = protocol.train(
        params, _loss, seen | {"model": Partial(model)}, label, setting, optimizer, key=keys[2],
        batch=batch, **how,
    )  # fmt: skip
    pairs = zip(gammas, protocol.each(params), strict=True)
    return [FourierVolume(g, model, p, scale, setting.pace) for g, p in pairs], history


@cache
def _adam(rate: float, steps: int):
    return optax.adam(optax.cosine_decay_schedule(rate, steps, alpha=0.1))
