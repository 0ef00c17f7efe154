"""Checks of arguments: every error names the argument, what was given and what was wanted.

The checks look at shapes and dtypes always, and at values only when the array is concrete: inside
``jax.jit`` or ``jax.grad`` there are no values to look at, so those calls cost nothing there.

Whole numbers mean one thing wherever brightness is meant (pictures, volumes):
``uint8`` and ``uint16`` count up to their type's largest number, which is 1, booleans are 0 and 1,
and other integers are refused, since nothing says which of them is 1: :func:`brightness` is that
rule. Elsewhere a whole number is itself (angles, matrices) or refused (coordinates, signals).
"""

from __future__ import annotations

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
import jaxlib
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


def count(name: str, value: int, *, least: int = 1) -> int:
    """A whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, but got {describe(value)}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, but got {value}")
    return int(value)


def one_of(name: str, value: Any, allowed) -> Any:
    """One of a few names."""
    if value not in allowed:
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, allowed))}, but got {value!r}"
        )
    return value


def real_array(name: str, value: Any, *, integers: bool = False) -> jax.Array:
    """A non-empty, finite, real floating-point array (integers only where they make sense)."""
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} must be an array of real numbers, but got {describe(value)}"
        ) from error
    if array.size == 0:
        raise ValueError(f"{name} is empty: got {describe(array)}, expected at least one value")
    if jnp.issubdtype(array.dtype, jnp.integer) or array.dtype == bool:
        if not integers:
            raise TypeError(
                f"{name} must hold floating-point numbers, but got {describe(array)}: "
                f"divide whole numbers by the one that stands for 1 (of pixel indices the size, "
                f"of 16-bit sound 32768), or convert with {name}.astype(float)"
            )
        array = array.astype(jnp.zeros(()).dtype)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"{name} must hold real numbers, but got {describe(array)}")
    finite(name, array)
    return array


def finite(name: str, array: Any) -> Any:
    """No NaN and no infinity, looked at where the array lies (skipped while jax traces)."""
    if not traced(array):
        # on a CPU numpy sees the same memory and has nothing to compile
        library = np if jax.default_backend() == "cpu" else jnp
        with jax.ensure_compile_time_eval():  # of a constant also where a program is traced
            bad = np.size(array) - int(library.isfinite(array).sum())
        if bad:
            raise ValueError(
                f"{name} has {bad} entries that are NaN or infinite, out of {np.size(array)}"
            )
    return array


def brightness(name: str, value: Any) -> Any:
    """Numbers as floats of at least 32 bits, by the rule for whole numbers at the head of this
    module.

    Raises: ValueError for masked values; TypeError for other integers, complex numbers, ragged
    lists and PIL's pictures, whose palette would be lost.
    """
    if np.ma.is_masked(value):
        raise ValueError(
            f"{name} has {np.ma.count_masked(value)} masked values: fill them, {name}.filled(0)"
        )
    if type(value).__module__.startswith("PIL."):
        raise TypeError(f"{name} must be an array: give {describe(value)} to pictures.load_image")
    try:
        array = value if isinstance(value, jax.Array) else np.asarray(value)
    except ValueError as error:
        raise TypeError(f"{name} must be an array, but got lists of unequal lengths") from error
    if array.dtype.kind == "u" and array.dtype.itemsize <= 2:
        return array.astype(np.float32) / np.float32(np.iinfo(array.dtype).max)
    if array.dtype != bool and not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(
            f"{name} must hold bytes, 16-bit numbers, booleans or floats, "
            f"but got {describe(array)}; "
            f"divide other integers by the one that stands for 1"
        )
    return array.astype(np.promote_types(array.dtype, np.float32))


def fractions(name: str, value: Any) -> np.ndarray:
    """Brightness from 0 to 1, float32; what lies outside by rounding alone (10⁻⁶) is moved back."""
    array = np.asarray(brightness(name, value), np.float32)
    if array.size == 0:
        raise ValueError(f"{name} is empty: got shape {array.shape}")
    finite(name, array)
    low, high = array.min(), array.max()
    if low < -1e-6 or high > 1 + 1e-6:
        raise ValueError(
            f"{name} must hold floats in [0, 1], but they go from {low:g} to {high:g}; for values "
            f"up to 255 divide by 255"
        )
    return array.clip(0, 1)


def extra(module: str, group: str) -> Any:
    """A library that only a part of fflib needs, imported now.

    Raises: ImportError that names the extra to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = f"fourier-features-hands-on[{group}]"
        raise ImportError(f"this needs {module}: pip install '{package}' brings it") from error


def points(name: str, value: Any, d: int | None = None) -> jax.Array:
    """Points as rows: shape (n, d)."""
    array = real_array(name, value)
    if array.ndim != 2:
        hint = f"; for n points on a line use {name}[:, None]" if array.ndim == 1 else ""
        raise ValueError(
            f"{name} must have shape (n, d), one point a row, but got shape {array.shape}{hint}"
        )
    if d is not None and array.shape[1] != d:
        raise ValueError(f"{name} must have {d} columns, but got shape {array.shape}")
    return array


def rotations(name: str, value: Any) -> jax.Array:
    """Rotations of space, (..., 3, 3): R Rᵀ = I and det R = 1, looked at in float64."""
    array = real_array(name, value, integers=True)
    if array.ndim < 2 or array.shape[-2:] != (3, 3):
        raise ValueError(f"{name} must have shape (..., 3, 3), but got {array.shape}")
    if not traced(array):
        R = np.asarray(array, np.float64).reshape(-1, 3, 3)
        off = np.abs(R @ R.swapaxes(1, 2) - np.eye(3)).max((1, 2))
        wrong = (off > 1e-3) | (np.linalg.det(R) < 0)
        if wrong.any():
            i = np.argmax(wrong)
            why = (
                f"R Rᵀ is off the identity by {off[i]:.3g}"
                if off[i] > 1e-3
                else "its determinant is −1, it mirrors"
            )
            raise ValueError(f"{name}{f'[{i}]' if array.ndim > 2 else ''} is no rotation: {why}")
    return array


def square(name: str, value: Any) -> jax.Array:
    """A symmetric matrix of shape (n, n)."""
    array = real_array(name, value, integers=True)
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise ValueError(f"{name} must be a square matrix (n, n), but got shape {array.shape}")
    if not traced(array):
        K = np.asarray(array)
        asymmetry = np.abs(K - K.T).max()
        if asymmetry > 1e-3 * max(np.abs(K).max(), np.finfo(K.dtype).tiny):
            raise ValueError(f"{name} must be symmetric, but |K - Kᵀ| reaches {asymmetry:.3g}")
    return array


def targets(name: str, value: Any, K) -> jax.Array:
    """Values at the points of a kernel matrix (or of its eigenvalues), (n,) or (n, c)."""
    y, n = real_array(name, value), K.shape[0]
    if y.ndim not in (1, 2) or y.shape[0] != n:
        raise ValueError(
            f"{name} must have shape ({n},) or ({n}, c), one row a point, but got shape {y.shape}"
        )
    return y


def fits_in_memory(name: str, *shape: int, arrays: int = 1) -> None:
    """Refuse what would not fit before it is asked for: so many arrays of the default float type.

    The limit is what the device has, or, on a CPU, the machine.
    """
    size = arrays * math.prod(shape) * jnp.zeros(()).dtype.itemsize
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if limit is None and hasattr(os, "sysconf"):
        limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = limit or math.inf
    if size > limit:
        raise MemoryError(
            f"{name} of shape {shape} would take {size / 1e9:.1f} GB, more than the "
            f"{limit / 1e9:.0f} GB there are. Use fewer points, or a method that never forms it"
        )


@functools.cache
def warn_of_wrong_products() -> None:
    """Warn, once, of a jaxlib that may multiply by an older matrix of the same address."""
    switched = SWITCH in os.environ.get("XLA_FLAGS", "")
    if jaxlib.__version__ in FORGETFUL and jax.default_backend() == "cpu" and not switched:
        warnings.warn(
            f"jaxlib {jaxlib.__version__} may multiply by a wrong matrix on a CPU: set the "
            f"environment variable XLA_FLAGS={SWITCH} before jax starts, or take another version",
            stacklevel=3,
        )


def must(ok: Any, name: str, what: str, got: Any) -> None:
    """Raise the ValueError "name must what, but got got", unless it is ok."""
    if not ok:
        raise ValueError(f"{name} must {what}, but got {got}")
