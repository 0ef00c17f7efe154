"""Several devices do what one does: in one process with four, and in two processes that share
theirs.

`make test` takes one training, `make check`, which sets FFLIB_THOROUGH, all of them.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fflib.experiments.protocol import spread
from fflib.training import fit

WORKER = Path(__file__).with_name("devices.py")
THOROUGH = bool(os.environ.get("FFLIB_THOROUGH"))
NAMES = (
    ("all points", "three members", "four members", "minibatches") if THOROUGH else ("minibatches",)
)
WHERE = ("devices", "process 0", "process 1")
TOLERANCE = {32: 1e-5, 64: 1e-12}


def start(folder: Path, *more: str) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(WORKER.parents[1]), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(WORKER), str(folder), ";".join(NAMES), *more]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def run_all(folder: Path) -> None:
    """All trainings, in as many processes as there are to be; their results are files in the
    folder.
    """
    with socket.create_server(("localhost", 0)) as free:
        address = f"localhost:{free.getsockname()[1]}"
    running = [start(folder), start(folder, address, "0"), start(folder, address, "1")]
    try:
        for process in running:
            said = process.communicate(timeout=900 if THOROUGH else 300)[0]
            assert process.returncode == 0, said[-3000:]
    finally:
        for process in running:
            process.kill()


def same(folder: Path, one: str, other: str, tolerance: float) -> float:
    """The largest difference of two trainings' parameters, relative to the largest parameter."""
    with np.load(folder / f"{one}.npz") as a, np.load(folder / f"{other}.npz") as b:
        off = np.abs(a["flat"] - b["flat"]).max() / np.abs(a["flat"]).max()
        assert off <= tolerance, (one, other, off)
        assert sorted(a) == sorted(b) and a["step"].tolist() == b["step"].tolist() == [0, 5, 10]
        np.testing.assert_allclose(a["loss"], b["loss"], rtol=10 * tolerance)
        np.testing.assert_allclose(a["f"], b["f"], rtol=0, atol=10 * tolerance)
        moved = np.abs(a["f"][-1] - a["f"][0]).max()
        assert moved > 1e-3, "nothing was trained"
    return off


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("devices")
    run_all(made)
    return made


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("bits", TOLERANCE)
@pytest.mark.parametrize("name", NAMES)
def test_many_devices_agree_with_one(folder, name, bits, where):
    """Ten steps of Adam on four devices, and on those of two processes: rounding alone may differ."""
    same(folder, f"{name}, {bits}, one", f"{name}, {bits}, {where}", TOLERANCE[bits])
    with np.load(folder / f"{name}, {bits}, one.npz") as one:
        assert one["flat"].dtype == f"float{bits}"


@pytest.mark.parametrize("where", WHERE)
def test_a_checkpoint_resumes_on_other_devices(folder, where):
    """Five steps on four devices, the others on one; and both parts in two processes."""
    same(folder, f"{NAMES[-1]}, 64, one", f"{NAMES[-1]}, resumed, {where}", TOLERANCE[64])


def test_data_stay_where_they_were_put():
    """On the one device of this process, too: fit neither moves nor copies them."""
    seen = []

    def watch(state, history):
        seen.append(state)

    mesh = Mesh(np.array(jax.devices()[:1]), ("devices",))
    x = jax.device_put(jnp.arange(4.0), NamedSharding(mesh, PartitionSpec("devices")))
    square = lambda p, x: ((p["w"] - x) ** 2).sum()  # noqa: E731
    how = dict(steps=4, every=2, optimizer=optax.adam(0.1), progress=False)
    params, _ = fit({"w": jnp.ones(4)}, square, x, callback=watch, **how)
    assert len(seen) == 3 and params["w"].sharding.mesh == mesh
    np.testing.assert_array_equal(
        params["w"], fit({"w": jnp.ones(4)}, square, np.arange(4.0), **how)[0]["w"]
    )


def test_one_device_has_nothing_to_share():
    if jax.device_count() == 1:
        tree = {"a": np.arange(3)}
        assert spread(tree) is tree
