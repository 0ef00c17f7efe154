"""What tests/test_parallel.py runs in processes of their own: trainings on one, several, and
foreign devices.

    python tests/devices.py FOLDER "NAME;NAME"               four devices in one process
    python tests/devices.py FOLDER "NAME;NAME" ADDRESS I     process I of two that share their
    devices

Each writes one .npz a training: the parameters, flat, and the history. Ten steps, in both
precisions.
"""

import os
import sys
from functools import partial
from pathlib import Path

if len(sys.argv) == 3:  # before jax looks for devices
    os.environ["XLA_FLAGS"] = (
        os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    )

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fflib import features
from fflib.experiments.checkpoints import fit_from
from fflib.experiments.protocol import spread
from fflib.network import mlp
from fflib.training import fit, host

MODEL = mlp(16, 16, 3, d_out=3, output="sigmoid", biases=0.01)
ADAM = optax.adam(1e-3)
ROWS = 64
seen_as = []  # how the points lay on the devices when the loss saw them


def loss(params, seen):
    jax.debug.inspect_array_sharding(seen["y"], callback=lambda sharding: seen_as.append(sharding))
    return 0.5 * jnp.mean((MODEL(params, seen["gamma"](seen["v"])) - seen["y"]) ** 2)


def draw(key, everything):
    at = jax.random.choice(key, ROWS, (32,))
    drawn = {"v": everything["v"][at], "y": everything["y"][at]}
    return everything | drawn


def draw_and_spread(key, everything):
    """The same minibatch, its points split among the devices."""
    drawn = draw(key, everything)
    return drawn | spread({"v": drawn["v"], "y": drawn["y"]})


def look(params, everything):
    return {"f": MODEL(params, everything["gamma"](everything["v"]))}


def training(name: str) -> dict:
    """The arguments of fit."""
    gamma = features.gaussian(jax.random.key(0), 8, 2, 3.0)
    v = (
        np.stack(np.meshgrid(*2 * [np.arange(8) / 8], indexing="ij"), -1)
        .reshape(ROWS, 2)
        .astype(gamma.B.dtype)
    )
    points = {
        "gamma": gamma,
        "v": v,
        "y": np.stack([v[:, 0], np.sin(6 * v[:, 1]) ** 2, v.prod(1)], 1),
    }
    if name == "all points":
        return dict(params=MODEL.init(jax.random.key(1)), data=points)
    if name == "minibatches":
        return dict(
            params=MODEL.init(jax.random.key(1)), data=points, batch=draw, key=jax.random.key(2)
        )
    members = {"four members": 4, "three members": 3}[name]
    params = jax.vmap(MODEL.init)(jax.random.split(jax.random.key(1), members))
    if members == 3:
        return dict(params=params, data=points, vmap=(0, None))
    own = jax.tree.map(lambda x: np.stack([x] * 4), points)
    return dict(params=params, data=own, vmap=0, batch=draw, key=jax.random.key(2))


def placed(how: dict, devices) -> dict:
    """Members, or else the points, split among the devices; all else copied to each."""
    mesh = Mesh(np.array(devices), ("devices",))
    split, copied = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("devices",), ()))
    members = how.get("vmap") == 0

    def put(name, x):
        return jax.device_put(x, split if members or name in ("v", "y") else copied)

    data = {name: jax.tree.map(lambda x, n=name: put(n, x), x) for name, x in how["data"].items()}
    if "batch" in how and not members:
        how = how | {"batch": draw_and_spread}
    return how | {"data": data, "params": put("params", how["params"])}


def train(folder: Path, name: str, how: dict, steps: int = 10, loop=fit) -> None:
    how = dict(how)
    found, history = loop(
        how.pop("params"), loss, how.pop("data"), steps=steps, every=5, optimizer=ADAM,
        metrics=look, progress=False, **how,
    )  # fmt: skip
    flat = np.concatenate([np.ravel(leaf) for leaf in host(jax.tree.leaves(found))])
    np.savez(folder / f"{name}.npz", flat=flat, **history)


def main(folder: Path, names: list[str], address: str = "", process: int = 0) -> None:
    if address:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(address, num_processes=2, process_id=process)
    devices, where = jax.devices(), f"process {process}" if address else "devices"
    assert len(devices) == (2 if address else 4)
    for bits in (32, 64):
        jax.config.update("jax_enable_x64", bits == 64)
        for name in names:
            how = training(name)
            if not address:
                train(folder, f"{name}, {bits}, one", how)
            seen_as.clear()
            train(folder, f"{name}, {bits}, {where}", placed(how, devices))
            assert seen_as[0].num_devices == len(devices) and not seen_as[0].is_fully_replicated, (
                seen_as[0]
            )
    # begun on these devices; continued on one of them, or on the same ones as soon as it is saved
    kept = partial(fit_from, folder / f"{where[:7]}.ckpt.npz")
    train(folder, "begun", placed(how, devices), 5, kept)
    train(folder, f"{name}, resumed, {where}", placed(how, devices) if address else how, 10, kept)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2].split(";"), *sys.argv[3:4], *map(int, sys.argv[4:]))
