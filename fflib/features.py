r"""Feature mappings: coordinates v in [0, 1)^d to the inputs of a network.

All Fourier mappings are one pair (a, B): amplitudes and frequencies, in cycles per unit length,

    γ(v) = [a sin(2πBv), a cos(2πBv)],                                             (Eq. 5)

from Tancik et al. 2020. The 2π is always in the mapping, never in B.
"""

import dataclasses
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)  # arrays have no truth value to compare by
class Mapping:
    """The Fourier feature mapping γ(v) = [a sin(2πBv), a cos(2πBv)] (Eq. 5), a JAX pytree.

    Call it with coordinates ``v`` (..., d), floats, to get features (..., 2m). ``a`` (m,) are
    amplitudes, ``B`` (m, d) frequencies in cycles per unit of v. Raises: ValueError for coordinates
    of another dimension, or where v, a or B has values that are not finite. Chapter: Fourier
    features and stationary kernels.
    """

    a: jax.Array
    B: jax.Array

    def __call__(self, v) -> jax.Array:
        v = checks.coordinates("v", v, self.d)
        a, phase = checks.finite("a", self.a), self.phase(v)
        _warn_of_units(v, self.B)
        return jnp.concatenate([a * jnp.sin(phase), a * jnp.cos(phase)], axis=-1)

    def phase(self, v) -> jax.Array:
        """2πBv in radians, (..., d) to (..., m); accelerators would round the factors if let."""
        return jnp.matmul(2 * jnp.pi * v, checks.finite("B", self.B).T, precision="highest")

    @property
    def m(self) -> int:
        """Number of frequencies."""
        return self.B.shape[-2]

    @property
    def d(self) -> int:
        """Dimension of the coordinates."""
        return self.B.shape[-1]

    @property
    def num_features(self) -> int:
        """Length of γ(v), 2m."""
        return 2 * self.m

    def normalized(self) -> Self:
        """The same mapping with ‖a‖ = 1, so that ‖γ(v)‖ = 1 for every v; a ValueError if a = 0."""
        some = checks.traced(self.a) or np.asarray(self.a).any()
        checks.must(some, "a", f"not be 0 for all of the {self.m} frequencies", "only zeros")
        return type(self)(self.a / jnp.linalg.norm(self.a), self.B)

    def kernel(self, delta) -> jax.Array:
        """γ(v)ᵀγ(v+Δ) = Σ_j a_j² cos(2π b_jᵀΔ), a function of the offset Δ (..., d) alone."""
        phase = self.phase(checks.coordinates("delta", delta, self.d))
        return jnp.matmul(jnp.cos(phase), checks.finite("a", self.a) ** 2, precision="highest")


def _warn_of_units(v, B) -> None:
    """Coordinates over many units, with more waves than there are points to tell them apart."""
    if checks.traced(v) or checks.traced(B) or not v.is_fully_addressable:
        return
    v, B = np.asarray(v).reshape(-1, B.shape[1]), np.asarray(B, np.float64)
    span, cycles = np.ptp(v, axis=0), np.sqrt(np.mean(B**2, axis=0))
    k = np.argmax(span * cycles)
    if span[k] > 10 and span[k] * cycles[k] > max(100, len(v) ** (1 / len(span))):
        warnings.warn(
            f"v goes over {span[k]:.3g} units on axis {k} and B has {cycles[k]:.2g} cycles a unit: "
            f"{span[k] * cycles[k]:.3g} waves, more than {len(v)} points can tell apart. Scale "
            f"coordinates to [0, 1] (fflib.worlds.places) or take a smaller scale of frequencies",
            stacklevel=3,
        )


@partial(jax.tree_util.register_dataclass, data_fields=[], meta_fields=["d", "shift", "scale"])
@dataclasses.dataclass(frozen=True)
class Identity:
    """No mapping: v ↦ scale · (v − shift), (..., d) to (..., d); goes wherever a ``Mapping`` goes.

    The sources feed v − ½ in 1-D (shift=0.5), v in images, CT and MRI, 2v − 1 in 3-D shape
    (shift=0.5, scale=2). Chapter: Conventions.
    """

    d: int
    shift: float = 0.0
    scale: float = 1.0

    def __call__(self, v) -> jax.Array:
        return self.scale * (checks.coordinates("v", v, self.d) - self.shift)

    @property
    def num_features(self) -> int:
        """Length of the output, d."""
        return self.d


def none(d: int, shift: float = 0.0, scale: float = 1.0) -> Identity:
    """The :class:`Identity`; a ValueError when d < 1 or scale ≤ 0. Chapter: Why is it blurry?"""
    return Identity(checks.count("d", d), float(shift), float(checks.positive("scale", scale)))


def fourier(a, B, periodic: Sequence[int] = ()) -> Mapping:
    """The mapping of any amplitudes ``a`` (m,) and frequencies ``B`` (m, d), in cycles per unit.

    On the axes named by ``periodic`` 0 and 1 are one place: their columns of B are rounded to whole
    cycles, so that γ and all its derivatives agree there. ``fourier(g.a, g.B, periodic=[0])`` does
    it to any mapping g. Rounded normal frequencies have nearly the wrapped Gaussian as kernel.
    Raises: ValueError when the shapes disagree, a value is not finite, an axis is not there, or all
    of its cycles would round to 0. Chapter: Fourier features and stationary kernels.
    """
    B = checks.real_array("B", B, ("m", "d"), integers=True)
    return Mapping(checks.real_array("a", a, B.shape[:1], integers=True), _whole(B, periodic))


def _whole(B, periodic: Sequence[int]):
    """B with whole cycles on these axes."""
    for axis in periodic:
        axes = f"name axes from 0 to {B.shape[1] - 1}"
        checks.must(axis in range(B.shape[1]), "periodic", axes, repr(axis))
        most, larger = abs(B[:, axis]).max(), f"be larger (a larger scale) on periodic axis {axis}"
        told = f"{most} cycles at most in {len(B)}, which all round to 0"
        checks.must(checks.traced(most) or np.rint(most) > 0, "B", larger, told)
        B = B.at[:, axis].set(jnp.round(B[:, axis]))
    return B


def waves(B: jax.Array, **given: float) -> Mapping:
    """Frequencies B (m, d) with amplitude 1; ``given`` is the number by its name they came from.

    Raises: ValueError that names it where it makes one overflow. Chapter: Conventions.
    """
    right = checks.traced(B) or np.isfinite(np.asarray(B)).all()
    for name, value in given.items():
        checks.must(right, name, f"leave every frequency finite in {B.dtype}", value)
    return Mapping(jnp.ones(len(B)), B)


def basic(d: int) -> Mapping:
    """Basic mapping: one frequency of one cycle on each axis, γ(v) = [sin 2πv, cos 2πv].

    Chapter: Fourier features and stationary kernels.
    """
    return waves(jnp.eye(checks.count("d", d)))


def positional(m: int, d: int, scale: float) -> Mapping:
    """Positional encoding of the released code: 2^linspace(0, scale, m/d) − 1 on each axis.

    Of ``m`` frequencies on all axes together the lowest are 0, constant features. Raises:
    ValueError when d does not divide m, or scale is negative or too large. Chapter: Conventions.
    """
    m, d = checks.count("m", m), checks.count("d", d)
    checks.must(m % d == 0, "m", "be a multiple of d, to share out", f"m={m}, d={d}")
    scale = checks.positive("scale", scale, zero=True)
    ladder = 2.0 ** jnp.linspace(0.0, scale, m // d) - 1.0
    return waves(jnp.kron(jnp.eye(d), ladder[:, None]), scale=scale)


def gaussian(key: jax.Array, m: int, d: int, scale: float, periodic: Sequence[int] = ()) -> Mapping:
    """Random Fourier features: B_jk ~ N(0, scale²), ``scale`` in cycles per unit, a = 1.

    ``periodic`` names the axes on which 0 and 1 are one place, see :func:`fourier`. Raises:
    ValueError when scale is negative, or too small for a periodic axis. Chapter: Why is it blurry?
    """
    shape = checks.count("m", m), checks.count("d", d)
    scale = checks.positive("scale", scale, zero=True)
    B = scale * jax.random.normal(checks.key("key", key), shape)
    return waves(_whole(B, periodic), scale=scale)


def power_law(m: int, p: float) -> Mapping:
    """Dense 1-D mapping: b_j = j, a_j = 1/j^p, j = 1 … m; p = ∞ keeps b = 1 alone.

    With n training points on [0, 1) the paper takes m = n/2, every frequency the grid can tell
    apart (Fig. 3). Raises: ValueError when p is negative or NaN. Chapter: How strong each
    frequency?
    """
    m = checks.count("m", m)
    if checks.traced(p) or p != float("inf"):
        checks.positive("p", p, zero=True)
    j = jnp.arange(1.0, m + 1)
    return Mapping(j**-p, j[:, None])
