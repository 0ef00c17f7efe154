"""Programs that run once, on little: what takes long is their compilation."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import jax

# what XLA can leave out on a CPU; names of its options come and go with its versions
OMITTED = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}


def hasty(f: Callable, **how) -> Callable:
    """``jax.jit(f, **how)`` compiled in a fraction of the time, to a program that may run several times longer.

    For what runs a few times on small arrays, such as drawing parameters. Results are those of ``jax.jit`` to
    rounding. On anything but a CPU it is ``jax.jit``.

    Args:
        f: a function of arrays.
        how: further keywords of ``jax.jit``, e.g. ``static_argnums``.

    Returns: the compiled function, which takes what f takes and also has ``lower``.

    Raises: TypeError where ``jax.jit`` does.

    Chapter: The encodings people use now.
    """
    return jax.jit(f, compiler_options=_options(), **how)


@cache
def _options() -> dict:
    """Those of OMITTED that this version of XLA knows."""
    return {
        name: value
        for name, value in OMITTED.items()
        if jax.default_backend() == "cpu" and _known(name, value)
    }


def _known(name: str, value) -> bool:
    try:
        jax.jit(lambda: 0, compiler_options={name: value})()
    except jax.errors.JaxRuntimeError:
        return False
    return True
