"""GPUs and TPUs round the factors of a product of matrices to 11 or 8 bits, unless the program asks
them not to.

A network trained that way does not mind. A phase of a thousand radians does, and so does a sum in
which large numbers of opposite sign cancel. A CPU never rounds: the programs themselves are looked
at.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fflib import features
from fflib.encodings import embeddings, graphs, learned
from fflib.network import mlp
from fflib.operators import cameras, microscope
from fflib.theory import dynamics, grid, kernels
from fflib.worlds import molecules

KEY = jax.random.key(0)
GAMMA = features.gaussian(KEY, 8, 2, 300.0)
V = jax.random.uniform(KEY, (5, 2))
MODEL = mlp(16, 4, 3)
LEARNED = learned.Learned(lambda key: features.gaussian(key, 8, 2, 300.0))
K = jnp.eye(5)
POSES = microscope.random_rotations(KEY, 3)
CASES = {
    "Mapping": (GAMMA, V),
    "Mapping.kernel": (GAMMA.kernel, V),
    "Learned": (LEARNED.apply, GAMMA, V),
    "integrated": (learned.integrated, GAMMA, V, 0.1 * V),
    "Radial": (embeddings.radial(4, 2), V, jnp.float32(0.1)),
    "ntk_stationary": (lambda delta: kernels.ntk_stationary(MODEL, GAMMA, delta), V),
    "empirical_ntk": (kernels._contract, [K[None]], [K[None]]),
    "grid.ntk": (lambda B: grid.ntk(MODEL, features.Mapping(GAMMA.a, B), grid.Grid((3, 3), (0.1, 0.1), (0.0, 0.0))), GAMMA.B),
    "gradient_flow": (lambda K, y: dynamics.gradient_flow(K, y, 1.0, K_test=K[:2]), K, V[:, 0]),
    "gradient_descent": (lambda K, y: dynamics.gradient_descent(K, y, 9, 0.1), K, V),
    "roughness": (lambda z, u: graphs.roughness(graphs.adjacency(z, 0.1), u), V, V),
    "rays": (lambda poses, at: cameras.rays(poses, at, 9.0, (4, 4)), cameras.hemisphere(5), 4 * V),
    "slice_points": (microscope.slice_points, V, POSES),
    "fourier_transform": (molecules.fourier_transform, molecules.claw(20.0), jnp.ones((4, 3))),
    "molecules.volume": (lambda molecule: molecules.volume(molecule, 4, 9.0), molecules.claw(20.0)),
}  # fmt: skip


def products(jaxpr):
    """The precision asked for of every product of matrices in a program, also in the programs it
    calls.
    """
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation.params["precision"]
        for called in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda p: hasattr(p, "eqns")
        ):
            if hasattr(called, "eqns") or hasattr(called, "jaxpr"):
                yield from products(getattr(called, "jaxpr", called))


@pytest.mark.parametrize("case", CASES)
def test_all_digits_are_asked_for(case):
    function, *args = CASES[case]
    asked = list(products(jax.make_jaxpr(function)(*args).jaxpr))
    assert asked and set(asked) == {(jax.lax.Precision.HIGHEST,) * 2}, asked


def test_a_network_is_left_as_fast_as_the_device_can():
    asked = list(products(jax.make_jaxpr(MODEL.apply)(MODEL.init(KEY), GAMMA(V)).jaxpr))
    assert asked == [None] * 3


def test_what_rounding_would_do_to_a_phase():
    """γ(v) with factors of 11 bits, as a GPU takes them, is off by a third; in full precision by
    10⁻³ of that.
    """
    v = jax.random.uniform(KEY, (1000, 2))
    gamma = features.gaussian(KEY, 64, 2, 26.0)

    def short(x):
        return ((np.asarray(x, np.float32).view(np.uint32) + 0x1000) & 0xFFFFE000).view(np.float32)

    exact = 2 * np.pi * np.asarray(v, float) @ np.asarray(gamma.B, float).T
    rounded = short(2 * np.pi * v) @ short(gamma.B).T
    assert np.abs(np.sin(rounded) - np.sin(exact)).max() > 0.1
    assert np.abs(gamma(v)[:, :64] - np.sin(exact)).max() < 3e-4
