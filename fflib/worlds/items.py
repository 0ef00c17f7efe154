"""What worlds share: items of an experiment, the files that ship, errors about the reader's own."""

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image


class Items(NamedTuple):
    """E pictures, scans or solids, on which an experiment is done.

    ``array`` is one with a leading axis E, a dict of such, or a tuple of E meshes; ``sha256`` is of
    what they were made from, so that a result can say what it is about, or ""; ``origin`` says what
    they are. Chapter: Photographs and text.
    """

    names: tuple[str, ...]
    array: Any
    sha256: str
    origin: str


def shipped(name: str) -> io.BytesIO:
    """A file that comes with the library (fflib/worlds/assets/NOTICE.md says whose it is).
    Chapter: none; used by the modules beside it.
    """
    return io.BytesIO(resources.files("fflib.worlds").joinpath("assets", name).read_bytes())


@contextmanager
def reading(kind: str, path: str | os.PathLike) -> Iterator[Path]:
    """The path with ``~`` expanded, for a block that reads a file by a library. Raises:
    FileNotFoundError and ImportError as they come; ValueError naming the file for all else, since
    damage makes libraries raise almost anything, and for pictures of more pixels than Pillow takes.
    Chapter: none; used by the modules beside it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            yield Path(path).expanduser()
    except (FileNotFoundError, ImportError):
        raise
    except Exception as error:
        why = f"cannot be read ({str(error) or type(error).__name__}): is it whole?"
        if isinstance(error, Image.DecompressionBombError):
            why = "must have at most 179 megapixels: make it smaller first, or give an array"
        raise ValueError(f"{kind} {str(path)!r} {why}") from error
