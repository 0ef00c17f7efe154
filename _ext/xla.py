"""Switches of XLA for chapters and tests, most of whose programs run once.

Most of the time goes into compiling them, and of that a quarter into making their machine code fast
(level 1 of 3 does not) and another into a newer way to emit it.
"""

from __future__ import annotations

import mmap
from pathlib import Path

import jaxlib

FLAGS = (
    "--xla_backend_optimization_level=1",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)
LIBRARY = Path(jaxlib.__file__).with_name("libjax_common.so")


def brief(library: Path = LIBRARY) -> list[str]:
    """Those of FLAGS that XLA's shared library knows; at any other XLA ends the process."""
    if not library.is_file():
        return []
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        return [flag for flag in FLAGS if text.find(flag[2:].partition("=")[0].encode()) >= 0]
