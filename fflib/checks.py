"""Checks of arguments: every error names the argument, what was given and what was wanted.

Shapes and dtypes are looked at always, values only when there are any: not while jax traces.

Whole numbers are themselves where they count, turn or mix (angles, frequencies, matrices), and are
refused where they could stand for fractions: coordinates, signals, pictures, whatever is compared.
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


def must(ok: Any, name: str, what: str, got: Any, error: type[Exception] = ValueError) -> None:
    """Unless ok, raise "name must what, but got got"; a TypeError says of what kind ``got`` is."""
    if not ok:
        raise error(f"{name} must {what}, but got {describe(got) if error is TypeError else got}")


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
    if isinstance(value, (jax.Array, np.ndarray)) and value.ndim == 0:
        value = value.item()
    bound, number = ">= 0" if zero else "> 0", isinstance(value, Real)
    must(number and not isinstance(value, bool), name, f"be a number {bound}", value, TypeError)
    right = math.isfinite(value) and (value >= 0 if zero else value > 0)
    must(right, name, f"be finite and {bound}", value)
    return value


def count(name: str, value: Any, *, least: int = 1) -> int:
    """A whole number of at least ``least``."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    must(whole, name, "be a whole number", value, TypeError)
    must(int(value) >= least, name, f"be at least {least}", value)
    return int(value)


def one_of(name: str, value: Any, allowed) -> Any:
    """One of a few names."""
    must(value in allowed, name, f"be one of {', '.join(map(repr, allowed))}", repr(value))
    return value


def is_a(name: str, value: Any, kind: type) -> Any:
    """A value of one of our classes."""
    where = f"{kind.__module__}.{kind.__name__}".removeprefix("builtins.")
    must(isinstance(value, kind), name, f"be a {where}", value, TypeError)
    return value


def key(name: str, value: Any) -> Any:
    """A random key of jax, or several."""
    kind = getattr(value, "dtype", None)
    known = kind == np.uint32 or (kind and jnp.issubdtype(kind, jax.dtypes.prng_key))
    must(known, name, "be a jax random key, such as jax.random.key(0)", value, TypeError)
    return value


def as_array(name: str, value: Any) -> Any:
    """A numpy array, or what is one for jax; refused is what would lose a mask or a palette."""
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
    must(array.dtype.kind not in "OSUMm", name, "be an array of real numbers", value, TypeError)
    return array


def real_array(
    name: str, value: Any, *shapes: tuple, integers: bool = False, nan: bool = False, hint: str = ""
) -> jax.Array:
    """A non-empty array of real floating-point numbers, of one of the shapes if any are given.

    In a shape a number is a size, equal letters are equal sizes, and ... in front is any axes.
    Whole numbers are refused, or with ``integers`` converted; so are NaN and infinity, unless
    ``nan``. ``hint`` ends the error about another shape.
    """
    array = jnp.asarray(as_array(name, value))
    if array.size == 0:
        raise ValueError(f"{name} is empty: got {describe(array)}, expected at least one value")
    if integers and (jnp.issubdtype(array.dtype, jnp.integer) or array.dtype == bool):
        array = array.astype(float)
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        raise TypeError(
            f"{name} must hold floating-point numbers, but got {describe(array)}: divide by what "
            f"stands for 1 (pixel indices by the size), or convert with {name}.astype(float)"
        )
    must(not jnp.iscomplexobj(array), name, "hold real numbers", array, TypeError)
    shaped(name, array, *shapes, hint=hint)
    return array if nan else finite(name, array)


def shaped(name: str, array: Any, *shapes: tuple, hint: str = "") -> Any:
    """The array, if it has one of the shapes; see :func:`real_array`."""
    shape, wanted = np.shape(array), " or ".join(map(str, shapes)).replace("'", "")
    right = not shapes or any(_fits(shape, each) for each in shapes)
    must(right, name, f"have shape {wanted.replace('Ellipsis', '...')}", f"shape {shape}{hint}")
    return array


def _fits(shape: tuple, wanted: tuple) -> bool:
    if wanted[:1] == (...,):
        shape, wanted = shape[max(len(shape) - len(wanted) + 1, 0) :], wanted[1:]
    sizes: dict[str, int] = {}
    return len(shape) == len(wanted) and all(
        (sizes.setdefault(w, n) if isinstance(w, str) else w) == n
        for w, n in zip(wanted, shape, strict=True)
    )


def finite(name: str, array: Any) -> Any:
    """No NaN and no infinity, looked at where the array lies (skipped while jax traces)."""
    if not traced(array):
        # on a CPU numpy sees the same memory and has nothing to compile
        library: Any = np if jax.default_backend() == "cpu" else jnp
        with jax.ensure_compile_time_eval():  # of a constant also where a program is traced
            n, bad = np.size(array), np.size(array) - int(library.isfinite(array).sum())
        if bad:
            raise ValueError(f"{name} has {bad} entries that are NaN or infinite, out of {n}")
    return array


def coordinates(name: str, value: Any, d: int | None, lead: Any = ...) -> jax.Array:
    """Points of d (None: any number of) coordinates along the last axis, (..., d)."""
    axis, value = ":" if lead == "n" else "...", as_array(name, value)
    line = np.ndim(value) == 1 and d in (1, None)
    hint = f"; for points on a line give {name}[{axis}, None]" if line else ""
    return real_array(name, value, (lead, d or "d"), hint=hint)


def points(name: str, value: Any, d: int | None = None) -> jax.Array:
    """Points as rows, (n, d)."""
    return coordinates(name, value, d, "n")


def pair(pred: Any, target: Any, *shapes: tuple) -> tuple[jax.Array, jax.Array]:
    """Two arrays to compare: real, of one shape, in float32 at least."""
    pred = real_array("pred", pred, *shapes, nan=True)
    target = real_array("target", target, pred.shape, nan=True)
    wide = jnp.promote_types(jnp.result_type(pred, target), jnp.float32)
    return pred.astype(wide), target.astype(wide)


def scale() -> str:
    """ "quick" or "full", the scale of the experiments: the environment variable FFLIB_SCALE."""
    return one_of("FFLIB_SCALE", os.environ.get("FFLIB_SCALE") or "quick", ("quick", "full"))


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
