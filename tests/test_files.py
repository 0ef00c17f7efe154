"""Files that are there whole or not at all; a network saved, loaded elsewhere, asked in pieces."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fflib as ff
from fflib import features, files

KEY = jax.random.key(0)
V = np.random.default_rng(0).random((7, 5, 2)).astype(np.float32)


def trained(gamma, dtype=jnp.float32, **spec):
    model = ff.mlp(gamma.num_features, 6, 3, 2, **spec)
    params = jax.tree.map(lambda p: p.astype(dtype), model.init(KEY))
    return ff.Trained(gamma, model, params)


CASES = {
    "gaussian": lambda: trained(features.gaussian(KEY, 4, 2, 3.0), output="sigmoid", biases=0.1),
    "no mapping": lambda: trained(features.none(2, shift=0.5, scale=2.0), activation="tanh"),
    "ntk, a deviation a layer": lambda: trained(
        features.basic(2), weights=(1.0, 0.5, 2.0), biases=0.1, parameterization="ntk"
    ),
    "bfloat16": lambda: trained(features.basic(2), jnp.bfloat16),
}


@pytest.mark.parametrize("case", CASES)
def test_what_was_saved_is_loaded(case, tmp_path):
    f = CASES[case]()
    ff.save(tmp_path / "f.npz", f)
    g = ff.load(tmp_path / "f.npz")
    assert g.model == f.model and type(g.gamma) is type(f.gamma)
    for p, q in zip(jax.tree.leaves(f), jax.tree.leaves(g), strict=True):
        assert p.dtype == q.dtype
        np.testing.assert_array_equal(p, q)
    np.testing.assert_array_equal(f(V), g(V))


def test_another_process_sees_the_same_function(tmp_path):
    f = CASES["gaussian"]()
    ff.save(tmp_path / "f.npz", f)
    np.save(tmp_path / "v.npy", V)
    program = (
        "import fflib as ff, numpy as np\n"
        "np.save('y.npy', ff.predict(ff.load('f.npz'), np.load('v.npy'), chunk=4))"
    )
    path = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, env=path)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), f(V), rtol=1e-5, atol=1e-6)


def test_a_file_without_code(tmp_path):
    ff.save(tmp_path / "f.npz", CASES["gaussian"]())
    with np.load(tmp_path / "f.npz", allow_pickle=False) as file:
        assert sorted(file) == ["B", "W0", "W1", "W2", "a", "about", "b0", "b1", "b2"]


def test_a_trained_network_is_a_pytree():
    f = CASES["gaussian"]()
    np.testing.assert_allclose(jax.jit(lambda f, v: f(v))(f, V), f(V), rtol=1e-5, atol=1e-6)
    slope = jax.grad(lambda f: f(V).sum())(f)
    assert slope.gamma.B.shape == (4, 2) and slope.model == f.model


@pytest.mark.parametrize("chunk", [1, 4, 35, 1000])
def test_in_pieces_as_at_once(chunk):
    f = CASES["gaussian"]()
    np.testing.assert_allclose(ff.predict(f, V, chunk), f(V), rtol=1e-5, atol=1e-6)
    sizes = []

    def norms(v):
        sizes.append(v.shape)
        return jnp.linalg.norm(v, axis=-1)

    np.testing.assert_allclose(ff.predict(norms, V, chunk), np.linalg.norm(V, axis=-1), rtol=1e-6)
    assert set(sizes) == {(min(chunk, 35), 2)}  # one size, so one program


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda path: ff.save(path, "f"), TypeError, "f must be a Trained"),
        (lambda path: ff.load(path.parent), ValueError, "is a folder"),
        (lambda path: ff.load(path), FileNotFoundError, "f.npz"),
        (lambda path: (path.write_text("no"), ff.load(path)), ValueError, "f.npz' cannot be read"),
        (
            lambda path: (files.write(path, {"format": 1}, {"a": V}), ff.load(path)),
            ValueError,
            "holds no trained network",
        ),
        (
            lambda path: (files.write(path, {"format": 2}, {"a": V}), ff.load(path)),
            ValueError,
            "is of format 2; this fflib knows 1",
        ),
        (lambda path: ff.predict(CASES["gaussian"](), 0.5), ValueError, "v must have shape"),
        (
            lambda path: ff.predict(CASES["gaussian"](), V, 0),
            ValueError,
            "chunk must be at least 1",
        ),
    ],
)
def test_bad_input(call, error, says, tmp_path):
    with pytest.raises(error, match=says):
        call(tmp_path / "f.npz")


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "kept" / "f.txt"
    with files.replacing(path) as file:
        file.write(b"before")
    with pytest.raises(OSError, match="full"), files.replacing(path) as file:
        file.write(b"half")
        raise OSError("full")
    assert path.read_bytes() == b"before" and [p.name for p in path.parent.iterdir()] == ["f.txt"]
