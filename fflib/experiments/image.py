"""Learn pictures: coordinates → mapping → MLP → colours, compared where they were seen.

The measurement operator is the identity. All other experiments put something between network and
comparison; the rest of what follows stays as it is.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from fflib import checks, data, metrics
from fflib.experiments import protocol
from fflib.experiments.protocol import OURS, Experiment, Setting, with_fifth_row
from fflib.files import Trained, predict
from fflib.network import mlp
from fflib.operators.scanner import half_mean_square
from fflib.worlds import pictures

NATURAL = Setting(
    steps=2000, width=256, m=256,
    rates={"none": 1e-2, "basic": 1e-2, "positional": 1e-3, "gaussian": 1e-3, "ours": 0.04},
    scales={"positional": 6.0, "gaussian": 10.0, "ours": 6.5},
)  # fmt: skip
TEXT = dataclasses.replace(
    NATURAL, rates=dict.fromkeys(NATURAL.rates, 1e-3) | {"ours": 0.04},
    scales={"positional": 5.0, "gaussian": 14.0, "ours": 9.0},
)  # fmt: skip


def networks(keys: jax.Array, mapping: str, setting: Setting, d: int, d_out: int = 1):
    """E mappings of d coordinates, a network, parameters with leading axis E, drawn for E keys.
    Raises: ValueError for another mapping. Chapter: Photographs and text.
    """
    draw, init = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    scale = setting.scales.get(mapping)
    gammas = [protocol.encode(mapping, key, setting.m, d, scale) for key in draw]
    sizes = gammas[0].num_features, setting.width, 4, d_out
    model = mlp(*sizes, output="sigmoid", biases=0.01)
    return gammas, model, jax.vmap(model.init)(init)


def _loss(params, seen):
    return half_mean_square(seen["model"](params, seen["x"]) - seen["y"])


def _look(params, seen):
    return {"picture": seen["model"](params, seen["everywhere"])}


def paint(
    pictures, keys: jax.Array, mapping: str, setting: Setting, *, looks: int = 0, **how
) -> tuple[jax.Array, dict[str, np.ndarray]]:
    """Train one network a picture, all as one program, on every second pixel of every second row,
    each with its own draw of the frequencies and of the network.

    Args:
        pictures: (E, H, W, 3) in [0, 1], H and W even.
        keys: E random keys, see :func:`fflib.experiments.protocol.item_keys`.
        mapping: "none", "basic", "positional", "gaussian" or "ours".
        looks: how often, besides the start, to record the whole pictures on the way.
        how: ``optimizer`` (instead of the mapping's own), ``progress``, … as ``protocol.train``.

    Returns: what the networks paint on all pixels, (E, H, W, 3), and the history of
    :func:`fflib.training.fit`, with ``looks`` also ``history["picture"]`` of shape (T, E, H, W, 3).
    Raises: ValueError for other shapes, values outside [0, 1], another mapping, or a number of keys
    other than E. Chapter: Photographs and text.
    """
    n = len(keys)
    pictures = checks.real_array("pictures", pictures, (n, "H", "W", "C"), hint=f" and {n} keys")
    low, high = float(pictures.min()), float(pictures.max())
    inside = -1e-6 <= low and high <= 1 + 1e-6  # averages of 1 come out as that
    wanted = "lie in [0, 1] (of bytes give pictures / 255)"
    checks.must(inside, "pictures", wanted, f"values from {low:.3g} to {high:.3g}")
    (v, _), _ = data.train_test_image(pictures[0])
    everywhere = data.grid(pictures.shape[1:3])
    gammas, model, params = networks(keys, mapping, setting, 2, pictures.shape[-1])
    seen = {"x": jnp.stack([gamma(v) for gamma in gammas]), "y": pictures[:, ::2, ::2]}
    if looks:
        seen["everywhere"] = jnp.stack([gamma(everywhere) for gamma in gammas])
    if mapping == OURS:
        params = protocol.start_at(params, seen["y"].mean((1, 2)))
    seen, how = seen | {"model": Partial(model)}, how | {"look": _look, "looks": looks}
    params, history = protocol.train(params, _loss, seen, mapping, setting, **how)
    fields = [Trained(g, model, p) for g, p in zip(gammas, protocol.each(params), strict=True)]
    return jnp.stack([predict(field, everywhere) for field in fields]), history


def score(painted, picture) -> dict[str, float]:
    """How good one painted picture (H, W, 3) is: "psnr" in dB and "ssim" on the pixels that nobody
    showed, the (odd, odd) ones, as a picture of half the size, and "psnr_seen" in dB on those that
    trained. Chapter: Photographs and text.
    """
    (_, seen), (_, unseen) = data.train_test_image(picture)
    (_, seen_painted), (_, unseen_painted) = data.train_test_image(painted)
    return {
        "psnr": float(metrics.psnr(unseen_painted, unseen)),
        "ssim": float(pictures.ssim(unseen_painted, unseen)),
        "psnr_seen": float(metrics.psnr(seen_painted, seen)),
    }


def _solve(pictures, keys, mapping, setting):
    return list(map(score, paint(pictures, keys, mapping, setting)[0], pictures))


def _photographs(size: int):
    return pictures.photographs(16, size, "kodak" if size < 512 else "div2k")


def _pages(size: int):
    return pictures.text_pages(jax.random.key(0), 16, size)


def _experiment(load, setting: Setting, size: int = 512, **reduced) -> Experiment:
    setting, scale = dataclasses.replace(setting, **reduced), "reduced" if reduced else "full"
    settings = dataclasses.asdict(setting) | {"size": size}
    return Experiment(partial(load, size), partial(_solve, setting=setting), settings, scale=scale)


EXPERIMENTS = with_fifth_row({
    "image_natural": _experiment(_photographs, NATURAL),
    "image_text": _experiment(_pages, TEXT),
    "image_natural_reduced": _experiment(_photographs, NATURAL, 256, steps=500),
    "image_text_reduced": _experiment(_pages, TEXT, 256, steps=500),
})  # fmt: skip
