"""A network of 8 units that learns one wave from 12 points: what tests of training train."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fflib.network import mlp

KEY = jax.random.key(0)
MODEL = mlp(1, 8, 3, weights="he")
PARAMS = MODEL.init(KEY)
X = np.linspace(-1, 1, 12, dtype=np.float32)[:, None]
DATA = (X, np.sin(3 * X))
MANY = jax.vmap(MODEL.init)(jax.random.split(KEY, 3))
ADAM = optax.adam(1e-2)
QUIET = dict(optimizer=ADAM, progress=False)


def loss(params, data):
    return 0.5 * jnp.mean((MODEL.apply(params, data[0]) - data[1]) ** 2)


def metrics(params, data):
    return {"f": MODEL.apply(params, data[0])[:, 0], "mse": 2 * loss(params, data)}


def three_points(key, data):
    rows = jax.random.choice(key, 12, (3,), replace=False)
    return data[0][rows], data[1][rows]
