"""Learn pictures: coordinates → mapping → MLP → colours, compared where they were seen.

The measurement operator is the identity. All other experiments put something between network and
comparison; the rest of what follows stays as it is.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from operator import itemgetter

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial

from fflib import checks, data, metrics
from fflib.experiments import protocol
from fflib.experiments.protocol import OURS, Experiment, with_fifth_row
from fflib.files import Trained, predict
from fflib.network import mlp
from fflib.operators.scanner import half_mean_square
from fflib.worlds import pictures


@dataclasses.dataclass(frozen=True)
class Setting:
    """The numbers of a run.

    Attributes:
        steps: full-batch steps of Adam.
        width: units of each of the three hidden layers.
        m: frequencies of the positional and the Gaussian mapping.
        rates: learning rate for each mapping, of Adam, for "ours" of Muon.
        scales: of the positional mapping (log₂ of its highest frequency + 1) and of the Gaussian
            and "ours" (cycles a picture).

    Chapter: Photographs and text.
    """

    steps: int
    width: int
    m: int
    rates: dict[str, float]
    scales: dict[str, float]


NATURAL = Setting(
    steps=2000, width=256, m=256,
    rates={"none": 1e-2, "basic": 1e-2, "positional": 1e-3, "gaussian": 1e-3, "ours": 0.04},
    scales={"positional": 6.0, "gaussian": 10.0, "ours": 6.5},
)  # fmt: skip
TEXT = dataclasses.replace(
    NATURAL,
    rates=dict.fromkeys(NATURAL.rates, 1e-3) | {"ours": 0.04},
    scales={"positional": 5.0, "gaussian": 14.0, "ours": 9.0},
)


def networks(keys: jax.Array, mapping: str, setting: Setting, d: int, d_out: int = 1):
    """What stands at the beginning of a training, drawn anew for each of E keys.

    Returns: E mappings of d coordinates, the network, parameters with leading axis E. Raises:
    ValueError for another mapping. Chapter: Photographs and text.
    """
    draw, init = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    scale = setting.scales.get(mapping)
    gammas = [protocol.encode(mapping, key, setting.m, d, scale) for key in draw]
    d_in = gammas[0].num_features
    model = mlp(d_in, setting.width, depth=4, d_out=d_out, output="sigmoid", biases=0.01)
    return gammas, model, jax.vmap(model.init)(init)


def _loss(params, seen):
    return half_mean_square(seen["model"](params, seen["x"]) - seen["y"])


def _look(params, seen):
    return {"picture": seen["model"](params, seen["everywhere"])}


def paint(
    pictures, keys: jax.Array, mapping: str, setting: Setting, *,
    optimizer: optax.GradientTransformation | None = None, looks: int = 0, progress: bool = True,
) -> tuple[jax.Array, dict[str, np.ndarray]]:  # fmt: skip
    """Train one network a picture, all as one program, on every second pixel of every second row.

    Each picture gets its own draw of the frequencies and of the network.

    Args:
        pictures: (E, H, W, 3) in [0, 1], H and W even.
        keys: E random keys, see :func:`fflib.experiments.protocol.item_keys`.
        mapping: "none", "basic", "positional", "gaussian" or "ours".
        setting: the numbers of the run.
        optimizer: instead of the mapping's own.
        looks: how often, besides the start, to record the whole pictures on the way.
        progress: show a progress bar.

    Returns: what the networks paint on all pixels, (E, H, W, 3), and the history of
    :func:`fflib.training.fit`, with ``looks`` also ``history["picture"]`` of shape (T, E, H, W, 3).
    Raises: ValueError for other shapes, values outside [0, 1], another mapping, or a number of keys
    other than E. Chapter: Photographs and text.
    """
    pictures = checks.real_array("pictures", pictures)
    if pictures.ndim != 4 or len(keys) != len(pictures):
        raise ValueError(
            f"pictures must have shape (E, H, W, 3) with one of the keys each, "
            f"but got {pictures.shape} and {len(keys)} keys"
        )
    if pictures.min() < -1e-6 or pictures.max() > 1 + 1e-6:  # averages of 1 come out as that
        raise ValueError(
            f"pictures must lie in [0, 1], but reach from {pictures.min():.3g} to "
            f"{pictures.max():.3g}: of bytes give pictures / 255"
        )
    (v, _), _ = data.train_test_image(pictures[0])
    everywhere = data.grid(pictures.shape[1:3])
    gammas, model, params = networks(keys, mapping, setting, 2, pictures.shape[-1])
    seen = {"x": jnp.stack([gamma(v) for gamma in gammas]), "y": pictures[:, ::2, ::2]}
    if looks:
        seen["everywhere"] = jnp.stack([gamma(everywhere) for gamma in gammas])
    if mapping == OURS:
        params = protocol.start_at(params, seen["y"].mean((1, 2)))
    params, history = protocol.train(
        params, _loss, seen | {"model": Partial(model)}, mapping, setting, optimizer, look=_look,
        looks=looks, progress=progress,
    )  # fmt: skip
    members = [jax.tree.map(itemgetter(e), params) for e in range(len(keys))]
    fields = [Trained(gamma, model, p) for gamma, p in zip(gammas, members, strict=True)]
    return jnp.stack([predict(field, everywhere) for field in fields]), history


def score(painted, picture) -> dict[str, float]:
    """How good one painted picture (H, W, 3) is.

    Returns: "psnr" in dB and "ssim" on the pixels that nobody showed, the (odd, odd) ones (as a
    picture of half the size), and "psnr_seen" in dB on those that trained. Chapter: Photographs and
    text.
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


def _experiment(load, setting: Setting, scale: str = "full") -> Experiment:
    size = 512
    if scale == "reduced":
        setting, size = dataclasses.replace(setting, steps=500), 256
    settings = dataclasses.asdict(setting) | {"size": size}
    return Experiment(partial(load, size), partial(_solve, setting=setting), settings, scale=scale)


def _photographs(size: int):
    return pictures.photographs(16, size, "kodak" if size < 512 else "div2k")


def _pages(size: int):
    return pictures.text_pages(jax.random.key(0), 16, size)


EXPERIMENTS = with_fifth_row({
    "image_natural": _experiment(_photographs, NATURAL),
    "image_text": _experiment(_pages, TEXT),
    "image_natural_reduced": _experiment(_photographs, NATURAL, "reduced"),
    "image_text_reduced": _experiment(_pages, TEXT, "reduced"),
})  # fmt: skip
