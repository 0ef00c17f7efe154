"""The lego scene that radiance fields are usually tried on, split as in the paper."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
from PIL import Image

from fflib.operators import cameras
from fflib.worlds.fetch import FetchError, fetch

SIZES = (100, 200, 400)
SPLIT = (100, 107)  # pictures 0…99 train, 100…106 were for choosing the scales, 107…119 test
ARCHIVE = "nerf_synthetic.zip"


def lego(size: int = 400) -> tuple[cameras.Views, cameras.Views]:
    """100 pictures of the lego excavator to train on and 13 to test on, premultiplied on black.

    The scene is by Mildenhall et al. 2020 (model by Heinzelnisse, CC BY-NC). It is read from the
    compact file ``lego_<size>_rgba_premult.npz`` where FFLIB_DATA has it, else from the authors'
    archive (1.7 GB) at its public address, of whose 800 × 800 pictures blocks are averaged.

    Args: size, 100, 200 or 400 pixels.

    Raises: ValueError for another size; fflib.worlds.fetch.FetchError when neither file can be had.
    Chapter: Radiance fields.
    """
    if size not in SIZES:
        raise ValueError(f"size must be 100, 200 or 400, but got {size}")
    try:
        with np.load(fetch(f"lego_{size}_rgba_premult.npz")) as file:
            every = cameras.views(file["images"], file["poses"], float(file["focal"]))
        return every[: SPLIT[0]], every[SPLIT[1] :]
    except FetchError:
        with zipfile.ZipFile(fetch(ARCHIVE)) as archive:
            return _part(archive, "train", size, 1), _part(archive, "test", size, 16)


def _part(archive: zipfile.ZipFile, name: str, size: int, step: int) -> cameras.Views:
    """Every ``step``-th picture of a part of the archive; the paper tested on every 16th."""
    folder = next(n for n in archive.namelist() if n.endswith(f"lego/transforms_{name}.json"))
    told = json.loads(archive.read(folder))
    frames = told["frames"][::step]
    folder = folder.rpartition("/")[0]
    images = [
        _reduced(archive.read(f"{folder}/{frame['file_path'].removeprefix('./')}.png"), size)
        for frame in frames
    ]
    poses = np.array([frame["transform_matrix"] for frame in frames], np.float32)
    return cameras.views(np.stack(images), poses, size / 2 / np.tan(told["camera_angle_x"] / 2))


def _reduced(png: bytes, size: int) -> np.ndarray:
    """Colours times opacity, averaged over blocks: (size, size, 4) in [0, 1]."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"), np.float32) / 255
    pixels[..., :3] *= pixels[..., 3:]
    block = len(pixels) // size
    return pixels.reshape(size, block, size, block, 4).mean((1, 3))
