"""Maps of the electron microscope on disk: volumes in the MRC format (Cheng et al. 2015).

mrcfile (extra ``volumes``) reads and writes them; the order of the axes and the shape of the cell,
which it leaves to the caller, are looked at here.
"""

from __future__ import annotations

import os

import numpy as np

from fflib import checks
from fflib.worlds.items import reading


def read_mrc(path: str | os.PathLike) -> tuple[np.ndarray, float]:
    """A volume from an MRC file, also one packed by gzip or bzip2: (voxels, pixel).

    Voxels are float32 of shape (n_x, n_y, n_z), whatever order of axes and bytes and real type the
    file has. ``pixel`` is the side of a voxel in Å; 0.0 where the file does not say.

    Raises: ValueError that says what the file has instead, voxels that are no cubes among it;
    FileNotFoundError; ImportError without mrcfile. Chapter: A molecule in motion.
    """
    mrcfile = checks.extra("mrcfile", "volumes")
    with reading("MRC file", path) as where, mrcfile.open(where) as file:
        stored, head = np.array(file.data), file.header
        axes = [int(head[word]) for word in ("mapc", "mapr", "maps")]
        cell, angles = (np.array(head[word].tolist()) for word in ("cella", "cellb"))
        samples = np.array([int(head[word]) for word in ("mx", "my", "mz")])
    axes = [1, 2, 3] if axes == [0, 0, 0] else axes
    wrong = ""
    if stored.ndim not in (2, 3) or stored.size == 0 or np.iscomplexobj(stored):
        wrong = f"must hold one volume of real numbers, but has {checks.describe(stored)}"
    elif sorted(axes) != [1, 2, 3]:
        wrong = f"is damaged: its axes are {axes}, not an order of 1, 2, 3"
    elif cell.any() and angles.any() and not np.allclose(angles, 90, atol=0.01):
        wrong = f"has a skewed cell, of angles {angles.tolist()}°, not of 90°"
    pixel = np.divide(cell, samples, out=np.zeros(3), where=samples > 0)
    if not wrong and not np.allclose(pixel, pixel[0], rtol=1e-3):
        wrong = f"has uneven voxels, of {' × '.join(f'{side:g}' for side in pixel)} Å, not cubes"
    if wrong:
        raise ValueError(f"MRC file {str(path)!r} {wrong}")
    voxels = stored.reshape(-1, *stored.shape[-2:]).T.transpose(np.argsort(axes))
    return np.ascontiguousarray(voxels, np.float32), float(pixel[0])


def write_mrc(path: str | os.PathLike, voxels, pixel: float) -> None:
    """Write a real volume (n_x, n_y, n_z) as float32, or int16 where it has that type.

    Args:
        path: of the file, which is replaced.
        voxels: three axes, x, y, z.
        pixel: side of a voxel in Å.

    Raises: ValueError for another number of axes, NaN, or a pixel that is not positive; ImportError
    without mrcfile. Chapter: A molecule in motion.
    """
    mrcfile = checks.extra("mrcfile", "volumes")
    short = getattr(voxels, "dtype", None) == np.int16
    array = np.asarray(voxels if short else checks.real_array("voxels", voxels, integers=True))
    if array.ndim != 3 or array.size == 0:
        raise ValueError(f"voxels must have shape (n_x, n_y, n_z), but got {array.shape}")
    pixel = checks.positive("pixel", pixel)
    with mrcfile.new(os.path.expanduser(path), overwrite=True) as file:
        file.set_data(np.ascontiguousarray(array.T, np.int16 if short else np.float32))
        file.voxel_size = pixel
        file.header.nlabl, file.header.label = 0, b""  # it would write the time of day
