"""Maps of the electron microscope on disk: volumes in the MRC format (Cheng et al. 2015).

mrcfile (extra ``volumes``) reads and writes them; the order of the axes and the shape of the cell,
which it leaves to the caller, are looked at here.
"""

import os

import numpy as np

from fflib import checks
from fflib.worlds.items import reading


def read_mrc(path: str | os.PathLike) -> tuple[np.ndarray, float]:
    """A volume from an MRC file, also one packed by gzip or bzip2: (voxels, pixel).

    Voxels are float32 (n_x, n_y, n_z), whatever axes, bytes and real type the file has. ``pixel``
    is the side of a voxel in Å; 0.0 where the file does not say. Raises: ValueError that says what
    is wrong; FileNotFoundError; ImportError without mrcfile. Chapter: A molecule in motion.
    """
    mrcfile = checks.extra("mrcfile", "volumes")
    with reading("MRC file", path) as where, mrcfile.open(where) as file:
        stored, head = np.array(file.data), file.header
        axes = [int(head[word]) for word in ("mapc", "mapr", "maps")]
        cell, angles = (np.array(head[word].tolist()) for word in ("cella", "cellb"))
        samples = np.array([int(head[word]) for word in ("mx", "my", "mz")])
    axes = [1, 2, 3] if axes == [0, 0, 0] else axes
    name, kind = f"MRC file {str(path)!r}", checks.describe(stored)
    right = stored.ndim in (2, 3) and stored.size and not np.iscomplexobj(stored)
    checks.must(right, name, "hold one volume of real numbers", kind)
    checks.must(sorted(axes) == [1, 2, 3], name, "have axes in an order of 1, 2, 3", axes)
    right = not (cell.any() and angles.any()) or np.allclose(angles, 90, atol=0.01)
    checks.must(right, name, "have a cell of 90°, not a skewed one", angles.tolist())
    pixel = np.divide(cell, samples, out=np.zeros(3), where=samples > 0)
    sides = f"{' × '.join(f'{side:g}' for side in pixel)} Å"
    checks.must(np.allclose(pixel, pixel[0], rtol=1e-3), name, "have cubes for voxels", sides)
    voxels = stored.reshape(-1, *stored.shape[-2:]).T.transpose(np.argsort(axes))
    return np.ascontiguousarray(voxels, np.float32), float(pixel[0])


def write_mrc(path: str | os.PathLike, voxels, pixel: float) -> None:
    """Write a real volume (n_x, n_y, n_z), voxels of side ``pixel`` > 0 Å, as float32, in place of
    what was there. Raises: ValueError; ImportError without mrcfile. Chapter: A molecule in motion.
    """
    mrcfile = checks.extra("mrcfile", "volumes")
    array = checks.real_array("voxels", voxels, ("n_x", "n_y", "n_z"), integers=True)
    pixel = checks.positive("pixel", pixel)
    with mrcfile.new(os.path.expanduser(path), overwrite=True) as file:
        file.set_data(np.ascontiguousarray(np.transpose(array), np.float32))
        file.voxel_size = pixel
        file.header.nlabl, file.header.label = 0, b""  # it would write the time of day
