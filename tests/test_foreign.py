"""What other libraries would swallow or say in their own words: keys, masks, pictures, ragged lists.

Every function that takes such an argument refuses it by the argument's name.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image
from refusal import assert_refused

from fflib import data, features, metrics
from fflib.encodings import activations
from fflib.encodings.learned import HashGrid, Learned
from fflib.network import mlp
from fflib.operators import cameras, meshes, microscope, render, scanner
from fflib.theory import grid, kernels, krylov
from fflib.theory.scale import sampled
from fflib.training import fit
from fflib.worlds import phantoms, pictures, scenes, solids
from fflib.worlds.places import Frame

CORNERS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
SIDES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
LINES = {"xy": jnp.zeros((3, 2)), "heights": jnp.full((3, 2), jnp.inf), "box": jnp.eye(3)[:2]}
KEYED = {
    "gaussian": lambda key: features.gaussian(key, 2, 1, 1.0),
    "sampled": lambda key: sampled(key, 2, "laplace", 1.0),
    "mlp": lambda key: mlp(2, 4, 2).init(key),
    "sine network": lambda key: activations.siren(2, 4, 2).init(key),
    "signal": lambda key: data.power_law_signal(key, 8, 1.0),
    "k-space": lambda key: scanner.kspace_mask(key, (4, 4)),
    "rotations": lambda key: microscope.random_rotations(key, 2),
    "surface": lambda key: meshes.on_surface(meshes.Mesh(CORNERS, SIDES), key, 3),
    "heads": lambda key: phantoms.perturbed(key),
    "page": lambda key: pictures.text_image(key, 32),
    "hash grid": lambda key: HashGrid(2, 2, 2, 4, 8).init(key),
    "learned frequencies": lambda key: Learned(lambda k: features.gaussian(k, 2, 2, 1.0)).init(key),
    "samples of rays": lambda key: render.samples(1.0, 2.0, 4, key),
    "rays": lambda key: render.random_rays(key, scenes.views(4, cameras.hemisphere(2)), 3, 2),
    "points of solids": lambda key: solids.prepare(solids.solids(("rope",)), key, 4, 2),
    "training points": lambda key: solids.random_points(key, LINES, 2),
    "probes": lambda key: krylov.effective_dimension(
        grid.ntk(mlp(2, 4, 2), features.basic(1), data.grid(8)), 0.1, key
    ),
    "fit": lambda key: fit(
        jnp.ones(()), lambda p, d: p**2, steps=1, optimizer=optax.sgd(0.1), key=key
    ),
}


@pytest.mark.parametrize("name", KEYED)
@pytest.mark.parametrize("key", [0, "seed", 1.5, np.zeros(2), np.arange(2)], ids=str)
def test_what_is_no_key(name, key):
    assert_refused(lambda: KEYED[name](key), TypeError, ["key must be a jax random key", "but got"])


@pytest.mark.parametrize("name", [name for name in KEYED if name != "page"])
def test_old_keys_are_keys(name):
    KEYED[name](jax.random.PRNGKey(0))


ARRAYS = {
    "mapping: v": lambda a: features.basic(2)(a),
    "fourier: B": lambda a: features.fourier(np.ones(4), a),
    "frame: places": Frame.of,
    "frame: x": lambda a: Frame.of(CORNERS[:, :2]).into(a),
    "signal: y": lambda a: data.train_test_1d(a, 2),
    "split: image": data.train_test_image,
    "mse: pred": lambda a: metrics.mse(a, np.zeros((4, 2))),
    "mse: target": lambda a: metrics.mse(np.zeros((4, 2)), a),
    "regression: y": lambda a: kernels.kernel_regression(np.eye(4), a),
    "kernel: x1": lambda a: kernels.gaussian_kernel(a, np.zeros((4, 2)), 1.0),
    "project: image": lambda a: scanner.project(a, scanner.angles(2)),
    "project: angles": lambda a: scanner.project(np.eye(4), a),
    "views: images": lambda a: cameras.views(a, cameras.hemisphere(2), 5.0),
    "poses: poses": cameras.check_poses,
    "mesh: vertices": lambda a: meshes.mesh(a, SIDES),
    "mesh: faces": lambda a: meshes.mesh(CORNERS, a),
    "load: source": lambda a: pictures.load_image(a),
}


@pytest.mark.parametrize("where", ARRAYS)
@pytest.mark.parametrize("seed", range(2))
def test_masked_values_are_not_taken_for_values(where, seed):
    rng = np.random.default_rng(seed)
    spoilt = np.ma.masked_array(rng.random((4, 2)), rng.random((4, 2)) < 0.4)
    spoilt[seed] = np.ma.masked
    wanted = [where.split(": ")[1], f"{np.ma.count_masked(spoilt)} masked values", "filled"]
    assert_refused(lambda: ARRAYS[where](spoilt), ValueError, wanted)


@pytest.mark.parametrize("where", [w for w in ARRAYS if not w.startswith("load")])
@pytest.mark.parametrize("mode", ["P", "RGB"])
def test_pictures_of_pillow_are_not_taken_for_arrays(where, mode):
    wanted = [where.split(": ")[1], "array", "Image of Pillow", "load_image"]
    assert_refused(lambda: ARRAYS[where](Image.new(mode, (4, 4))), TypeError, wanted)


@pytest.mark.parametrize("where", ARRAYS)
def test_lists_of_unequal_lengths(where):
    wanted = [where.split(": ")[1], "must be an array", "unequal lengths"]
    assert_refused(lambda: ARRAYS[where]([[1.0, 2.0], [3.0]]), TypeError, wanted)


@pytest.mark.parametrize("where", ["frame: places", "mapping: v", "regression: y"])
def test_words(where):
    with pytest.raises(TypeError, match=f"^{where.split(': ')[1]} must"):
        ARRAYS[where]([["a", "b"]])


@pytest.mark.parametrize("least", [-1e-9, -1.0, -30.0])
def test_density_below_nothing(least):
    density = jnp.array([1.0, least, 2.0])
    with pytest.raises(ValueError, match="density must be ≥ 0, but reaches -"):
        render.composite(density, jnp.ones((3, 3)), jnp.array([1.0, 2.0, 3.0]), 4.0)


@pytest.mark.parametrize("step", [1.2e-7, -1e-7])
def test_pictures_beyond_the_ends_by_rounding(step):
    near = np.full((2, 4, 4, 3), max(0.0, np.sign(step)) + step)
    seen = cameras.views(near, cameras.hemisphere(2), 5.0).images
    assert 0 <= seen.min() and seen.max() <= 1
