"""Maps of the electron microscope on disk: the MRC format, as far as plain volumes go.

A header of 1024 bytes, then the voxels, x fastest (Cheng et al. 2015). Of its 56 words of four bytes
these matter here: 1–3 sizes, 4 mode (the type of a voxel), 8–10 samples along the cell, 11–13 the
cell's lengths in Å, 17–19 which axis is fastest, 24 length of an extended header, 53 the letters
"MAP ", 54 the byte order.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import jax
import numpy as np

from fflib import checks

HEADER = 1024
MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2"}


def read_mrc(path: str | os.PathLike) -> tuple[np.ndarray, float]:
    """A volume from an MRC file: (voxels, pixel).

    Voxels are float32 of shape (n_x, n_y, n_z), whatever order of axes and bytes the file has; modes 0
    (signed bytes), 1 (int16), 2 (float32) and 6 (unsigned 16 bits) are known. ``pixel`` is the side of a
    voxel in Å; 0.0 where the file does not say.

    Raises: ValueError that says what the file has instead; FileNotFoundError.

    Chapter: A molecule in motion.
    """
    raw, name = Path(path).read_bytes(), f"MRC file {str(path)!r}"
    if len(raw) < HEADER or raw[208:211] != b"MAP":
        raise ValueError(f"{name} is none: it has {len(raw)} bytes and no mark MAP at byte 208")
    order = ">" if raw[212:213] == b"\x11" else "<"
    *sizes, mode = struct.unpack(f"{order}4i", raw[:16])
    samples, cell = struct.unpack(f"{order}3i", raw[28:40]), struct.unpack(f"{order}3f", raw[40:52])
    axes, extended = (
        struct.unpack(f"{order}3i", raw[64:76]),
        struct.unpack(f"{order}i", raw[92:96])[0],
    )
    if mode not in MODES:
        raise ValueError(f"{name} must have mode 0, 1, 2 or 6, but has mode {mode}")
    axes = (1, 2, 3) if axes == (0, 0, 0) else axes
    if min(sizes) < 1 or sorted(axes) != [1, 2, 3] or extended < 0:
        raise ValueError(
            f"{name} is damaged: sizes {sizes}, axes {list(axes)}, extended header of {extended} bytes"
        )
    kind = np.dtype(order + MODES[mode])
    wanted, found = int(np.prod(sizes, dtype=object)) * kind.itemsize, len(raw) - HEADER - extended
    if found < wanted:
        raise ValueError(
            f"{name} ends early: {found} bytes of voxels, expected {wanted} for sizes {sizes}"
        )
    stored = np.frombuffer(raw, kind, wanted // kind.itemsize, HEADER + extended).reshape(
        sizes, order="F"
    )
    voxels = np.ascontiguousarray(stored.transpose(np.argsort(axes)), np.float32)
    pixel = cell[0] / samples[0] if samples[0] > 0 and cell[0] > 0 else 0.0
    return voxels, float(pixel)


def write_mrc(path: str | os.PathLike, voxels, pixel: float) -> None:
    """Write a real volume (n_x, n_y, n_z) as float32, or int16 where it has that type.

    Args:
        path: of the file, which is replaced.
        voxels: three axes, x, y, z.
        pixel: side of a voxel in Å.

    Raises: ValueError for another number of axes, NaN, or a pixel that is not positive.

    Chapter: A molecule in motion.
    """
    short = isinstance(voxels, (np.ndarray, jax.Array)) and voxels.dtype == np.int16
    voxels = (
        np.asarray(voxels)
        if short
        else np.asarray(checks.real_array("voxels", voxels, integers=True))
    )
    if voxels.ndim != 3 or voxels.size == 0:
        raise ValueError(f"voxels must have shape (n_x, n_y, n_z), but got {voxels.shape}")
    pixel = checks.positive("pixel", pixel)
    data = voxels.astype("<i2" if short else "<f4")
    head = bytearray(HEADER)
    cell = [pixel * n for n in data.shape]
    mean, std = float(data.mean(dtype=np.float64)), float(data.std(dtype=np.float64))
    struct.pack_into("<4i", head, 0, *data.shape, 1 if short else 2)
    struct.pack_into("<3i6f3i", head, 28, *data.shape, *cell, 90.0, 90.0, 90.0, 1, 2, 3)
    struct.pack_into("<3f2i", head, 76, float(data.min()), float(data.max()), mean, 1, 0)
    struct.pack_into("<i", head, 108, 20140)  # the version of the format, that of 2014
    head[208:216] = b"MAP DD\0\0"
    struct.pack_into("<f", head, 216, std)
    Path(path).write_bytes(bytes(head) + data.tobytes(order="F"))
