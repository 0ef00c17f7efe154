"""Computations too long for a page: what they gave, in a file beside the library."""

import ast
import hashlib
import inspect
import json
import os
import textwrap
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fflib import files
from fflib.experiments import records

FOLDER = records.FOLDER / "kept"


def kept(name: str, compute: Callable[..., dict[str, Any]], **settings) -> dict[str, np.ndarray]:
    """``compute(**settings)``, read from ``<name>.npz`` where that was made by the same call.

    The same are the name, the settings and the text of ``compute`` (of this one function, not of
    those it calls; its layout does not count). With other ones it is computed here and now, and
    nothing is written, so that a page can be changed and run. FFLIB_REMAKE names a folder: then all
    is computed anew and written there.

    Args:
        name: of the file, lower-case letters, digits and ``_``.
        compute: a function of the settings that returns arrays by name.
        settings: numbers, words and lists of them.

    Returns: the arrays by name. A line is printed that says when, where and in how many seconds
    they were computed.

    Raises: ValueError for a file that is damaged; OSError if it cannot be written. Chapter: How
    these pages were computed.
    """
    call = {"settings": json.loads(json.dumps(settings)), "source": _digest(compute)}
    path, remake = FOLDER / f"{name}.npz", os.environ.get("FFLIB_REMAKE")
    if not remake and path.is_file():
        about, arrays = files.read(path)
        if all(about.get(key) == value for key, value in call.items()):
            print(f"Kept from {about['date']}: {about['seconds']:.0f} s on {about['device']}")
            return arrays
    start = time.perf_counter()
    arrays = {key: np.asarray(value) for key, value in compute(**settings).items()}
    if remake:
        told = {k: v for k, v in records.circumstances().items() if k != "scale"}
        told |= {"seconds": time.perf_counter() - start, "date": f"{datetime.now(UTC).date()}"}
        files.write(Path(remake) / path.name, call | told, arrays)
    return arrays


def _digest(function: Callable) -> str:
    """Of what a function's text says, whatever its layout and comments."""
    text = ast.unparse(ast.parse(textwrap.dedent(inspect.getsource(function))))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
