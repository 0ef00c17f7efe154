"""Checks of arguments: every error names the argument, what was given and what was wanted.

Shapes and dtypes are looked at always, values only when there are any: not while jax traces.

Whole numbers are themselves where they count, turn or mix (angles, frequencies, matrices), and are
refused where they could stand for fractions: coordinates, signals, pictures, whatever is compared.
Only the loaders of :mod:`fflib.worlds.pictures` say which fraction a byte is.
"""

import functools
import importlib
import math
import os
import warnings
from numbers import Integral, Real
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import jaxlib.version
import numpy as np

# Releases that keep what they packed of a matrix by its address alone; the switch that forbids it.
FORGETFUL, SWITCH = ("0.7.2", "0.8.0", "0.8.1"), "--xla_cpu_use_xnnpack=false"


def scale() -> str:
    """ "quick" or "full", the scale of the experiments: the environment variable FFLIB_SCALE."""
    return one_of("FFLIB_SCALE", os.environ.get("FFLIB_SCALE") or "quick", ("quick", "full"))


def describe(value: Any) -> str:
    """One short phrase for an error message: shape and dtype of an array, else type and value."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of shape {tuple(value.shape)} and dtype {value.dtype}"
    return f"{type(value).__name__} {value!r}"


def traced(value: Any) -> bool:
    """Whether jax is tracing, so that there are no numbers to look at."""
    return isinstance(value, jax.core.Tracer)


def positive(name: str, value: Any, *, zero: bool = False) -> Any:
    """A finite real number > 0 (or >= 0 with ``zero=True``); traced values pass unchecked."""
    if traced(value):
        return value
    bound = ">= 0" if zero else "> 0"
    if isinstance(value, (jax.Array, np.ndarray)) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number {bound}, but got {describe(value)}")
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        raise ValueError(f"{name} must be finite and {bound}, but got {value}")
    return value


def count(name: str, value: Any, *, least: int = 1) -> int:
    """A whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, but got {describe(value)}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, but got {value}")
    return int(value)


def one_of(name: str, value: Any, allowed) -> Any:
    """One of a few names."""
    if value not in allowed:
        names = ", ".join(map(repr, allowed))
        raise ValueError(f"{name} must be one of {names}, but got {value!r}")
    return value


def is_a(name: str, value: Any, kind: type) -> Any:
    """A value of one of our classes."""
    if not isinstance(value, kind):
        where = f"{kind.__module__}.{kind.__name__}".removeprefix("builtins.")
        raise TypeError(f"{name} must be a {where}, but got {describe(value)}")
    return value


def as_array(name: str, value: Any) -> Any:
    """A numpy array, or what is one for jax already; refused is what would lose a mask or a
    palette.
    """
    if np.ma.is_masked(value):
        masked = np.ma.count_masked(value)
        raise ValueError(f"{name} has {masked} masked values: fill them, {name}.filled(0)")
    if type(value).__module__.startswith("PIL."):
        what = f"{type(value).__name__} of Pillow"
        raise TypeError(f"{name} must be an array, but got an {what}: see pictures.load_image")
    if isinstance(value, (jax.Array, Real)):
        return value
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise TypeError(f"{name} must be an array, but got lists of unequal lengths") from error
    if array.dtype.kind in "OSUMm":
        raise TypeError(f"{name} must be an array of real numbers, but got {describe(value)}")
    return array


def key(name: str, value: Any) -> Any:
    """A random key of jax, or several."""
    kind = getattr(value, "dtype", None)
    if kind != np.uint32 and not (kind and jnp.issubdtype(kind, jax.dtypes.prng_key)):
        wanted = f"{name} must be a jax random key, such as jax.random.key(0)"
        raise TypeError(f"{wanted}, but got {describe(value)}")
    return value


def floats(
    name: str, value: Any, *shapes: tuple, integers: bool = False, advice: str = "", hint: str = ""
) -> jax.Array:
    """A non-empty array of real floating-point numbers, of one of the shapes if any are given.

    In a shape a number is a size, equal letters are equal sizes, and ... in front is any axes.
    ``integers`` converts whole numbers; else they are refused with ``advice`` on what to do about
    them. ``hint`` ends the error about another shape.
    """
    array = jnp.asarray(as_array(name, value))
    if array.size == 0:
        raise ValueError(f"{name} is empty: got {describe(array)}, expected at least one value")
    if integers and (jnp.issubdtype(array.dtype, jnp.integer) or array.dtype == bool):
        array = array.astype(float)
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        advice = advice or "divide by the number that stands for 1 (of 16-bit sound 32768)"
        raise TypeError(
            f"{name} must hold floating-point numbers, but got {describe(array)}: {advice}, or "
            f"convert with {name}.astype(float)"
        )
    if jnp.iscomplexobj(array):
        raise TypeError(f"{name} must hold real numbers, but got {describe(array)}")
    return shaped(name, array, *shapes, hint=hint)


def shaped(name: str, array: Any, *shapes: tuple, hint: str = "") -> Any:
    """The array, if it has one of the shapes; see :func:`floats`."""
    if shapes and not any(_fits(np.shape(array), shape) for shape in shapes):
        wanted = " or ".join(
            str(shape).replace("'", "").replace("Ellipsis", "...") for shape in shapes
        )
        raise ValueError(f"{name} must have shape {wanted}, but got shape {np.shape(array)}{hint}")
    return array


def _fits(shape: tuple, wanted: tuple) -> bool:
    tail = wanted[1:] if wanted[:1] == (...,) else wanted
    front, sizes = len(shape) - len(tail), {}
    if front < 0 or (front and tail is wanted):
        return False
    return all(
        sizes.setdefault(w, n) == n if isinstance(w, str) else w == n
        for w, n in zip(tail, shape[front:], strict=True)
    )


def finite(name: str, array: Any) -> Any:
    """No NaN and no infinity, looked at where the array lies (skipped while jax traces)."""
    if not traced(array):
        # on a CPU numpy sees the same memory and has nothing to compile
        library: Any = np if jax.default_backend() == "cpu" else jnp
        with jax.ensure_compile_time_eval():  # of a constant also where a program is traced
            bad = np.size(array) - int(library.isfinite(array).sum())
        if bad:
            raise ValueError(
                f"{name} has {bad} entries that are NaN or infinite, out of {np.size(array)}"
            )
    return array


def real_array(name: str, value: Any, *shapes: tuple, **how: Any) -> jax.Array:
    """What :func:`floats` takes, and :func:`finite`."""
    return finite(name, floats(name, value, *shapes, **how))


def coordinates(name: str, value: Any, d: int | None, lead: Any = ...) -> jax.Array:
    """Points of d (None: any number of) coordinates along the last axis, (..., d)."""
    axis, value = ":" if lead == "n" else "...", as_array(name, value)
    line = np.ndim(value) == 1 and d in (1, None)
    return real_array(
        name, value, (lead, d or "d"), advice="divide pixel indices by the size",
        hint=f"; for points on a line give {name}[{axis}, None]" if line else "",
    )  # fmt: skip


def points(name: str, value: Any, d: int | None = None) -> jax.Array:
    """Points as rows, (n, d)."""
    return coordinates(name, value, d, "n")


def pair(pred: Any, target: Any, *shapes: tuple) -> tuple[jax.Array, jax.Array]:
    """Two arrays to compare: real, of one shape, in float32 at least."""
    pred = floats("pred", pred, *shapes)
    target = floats("target", target, pred.shape)
    wide = jnp.promote_types(jnp.result_type(pred, target), jnp.float32)
    return pred.astype(wide), target.astype(wide)


def extra(module: str, group: str) -> Any:
    """A library that only a part of fflib needs, imported now; ImportError names what brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = f"fourier-features-hands-on[{group}]"
        raise ImportError(f"this needs {module}: pip install '{package}' brings it") from error


@functools.cache
def warn_of_wrong_products() -> None:
    """Warn, once, of a jaxlib that may multiply by an older matrix of the same address."""
    version, switched = jaxlib.version.__version__, SWITCH in os.environ.get("XLA_FLAGS", "")
    if version in FORGETFUL and jax.default_backend() == "cpu" and not switched:
        warnings.warn(
            f"jaxlib {version} may multiply by a wrong matrix on a CPU: set the environment "
            f"variable XLA_FLAGS={SWITCH} before jax starts, or take another version",
            stacklevel=3,
        )


def must(ok: Any, name: str, what: str, got: Any) -> None:
    """Raise the ValueError "name must what, but got got", unless it is ok."""
    if not ok:
        raise ValueError(f"{name} must {what}, but got {got}")
