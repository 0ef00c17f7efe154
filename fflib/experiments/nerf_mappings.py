"""The mappings of the radiance field experiment: in radians, some along the axes and some turned."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks, features
from fflib.experiments.protocol import OURS

MAPPINGS = (
    "none",
    "basic",
    "positional",
    "positional, aligned",
    "ladder",
    "ladder, aligned",
    "gaussian",
)


@dataclasses.dataclass(frozen=True)
class Setting:
    """The numbers of a run.

    Attributes:
        steps: of Adam.
        width: units of each of the three hidden layers.
        m: frequencies of the positional (rounded down to a multiple of 3) and the Gaussian mapping.
        rays: random pixels a step.
        samples: points on each ray.
        rates: learning rate of "none" and "basic", of the "rest", and for "ours" of :func:`fflib.experiments.protocol.muon`.
        scales: of "positional" and "ours" (log₂ of the highest frequency + 1), "ladder" (number of
            frequencies an axis) and "gaussian", all in radians per unit of length: no 2π here.
        warmup: steps in which the learning rate rises to its value. (A step that is too large at
            the start can make every density negative; relu then has no gradient to bring it back.)

    Chapter: Radiance fields.
    """

    steps: int
    width: int
    m: int
    rays: int
    samples: int
    rates: dict[str, float]
    scales: dict[str, float]
    warmup: int = 0


PAPER = Setting(
    steps=50_000,
    width=256,
    m=256,
    rays=1024,
    samples=128,
    rates={"none": 1e-2, "basic": 5e-3, "rest": 5e-4, "ours": 0.04},
    scales={"positional": 8.0, "ladder": 8, "gaussian": 26.0, "ours": 8.0},
)


def paper_turn() -> np.ndarray:
    """The rotation (3, 3) that the paper gives its turned encodings: 45° about z, then 45° about x.

    Chapter: Radiance fields.
    """
    c = np.sqrt(0.5)
    about_z = np.array([[c, -c, 0], [c, c, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, c, -c], [0, c, c]])
    return about_x @ about_z


def turned(mapping: features.Mapping, rotation) -> features.Mapping:
    """The mapping v ↦ γ(Rᵀv): what γ is to a scene, this is to the scene turned by R (3, 3).

    Chapter: Radiance fields.
    """
    return features.fourier(mapping.a, mapping.B @ jnp.asarray(rotation, mapping.B.dtype).T)


def in_radians(mapping: features.Mapping) -> features.Mapping:
    """The same numbers read as radians per unit: sin(Bv) instead of sin(2πBv).

    Chapter: Radiance fields.
    """
    return features.fourier(mapping.a, mapping.B / (2 * jnp.pi))


def encode(mapping: str, key: jax.Array, setting: Setting):
    """One of the seven mappings by its name; ", aligned" means along the axes, else turned.

    "ours" is the positional one, aligned, at a scale of its own.

    Raises: ValueError for another name.

    Chapter: Radiance fields; "ours": A fifth row.
    """
    name, _, aligned = checks.one_of("mapping", mapping, (*MAPPINGS, OURS)).partition(", ")
    if name == "none":
        return features.none(3)
    scale = setting.scales.get(name)
    gamma = in_radians(
        {
            "basic": lambda: features.basic(3),
            "positional": lambda: features.positional(setting.m // 3 * 3, 3, scale),
            OURS: lambda: features.positional(setting.m // 3 * 3, 3, scale),
            "ladder": lambda: features.positional_nerf(int(scale), 3),
            "gaussian": lambda: features.gaussian(key, setting.m, 3, scale),
        }[name]()
    )
    return (
        turned(gamma, paper_turn()) if name in ("positional", "ladder") and not aligned else gamma
    )
