"""Photographs of a scene with the poses that other tools found, in a ``transforms.json``; and the
lego scene that radiance fields are usually tried on.
"""

import json
import os
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from fflib import checks
from fflib.operators import cameras
from fflib.worlds.fetch import FetchError, fetch
from fflib.worlds.items import reading

AXES = {"opengl": np.ones(4), "opencv": np.array([1.0, -1.0, -1.0, 1.0])}  # signs of pose columns
LENS = ("w", "h", "fl_x", "fl_y", "cx", "cy", "camera_angle_x", "camera_angle_y")
BENT = ("k1", "k2", "k3", "k4", "p1", "p2")
SPLIT = (100, 107)  # pictures 0…99 train, 100…106 were for choosing the scales, 107…119 test


def captured_views(
    path: str | os.PathLike | zipfile.Path, *, near: float, far: float, axes: str | None = None,
    every: int = 1, shrink: int = 1,
) -> cameras.Views:  # fmt: skip
    """The views of a ``transforms.json``, as COLMAP's converters, nerfstudio and Blender write it.

    Focal lengths are ``fl_x`` and ``fl_y`` in pixels or ``camera_angle_x`` and ``_y`` in radians,
    the middle ``cx`` and ``cy`` (default: the picture's), each for all frames or for one; where a
    picture is smaller than ``w`` × ``h`` they shrink with it. ``transform_matrix`` is (3, 4) or (4,
    4), camera to world. Pictures lie beside the file; what is clear in them becomes black.

    The scene lies between the distances ``near`` and ``far``, in the units of the poses. ``axes``
    says which way cameras look, unless the file does: "opengl" (along −z, y up: instant-ngp,
    nerfstudio, Blender) or "opencv" (along +z, y down: COLMAP). Of ``every`` frames the first is
    taken, averaged over squares of ``shrink`` pixels a side. Raises: ValueError naming the frame
    and what it lacks: lens distortion, another size, no focal length; FileNotFoundError. Warns as
    :func:`fflib.operators.cameras.views`. Chapter: Radiance fields.
    """
    path = path if isinstance(path, zipfile.Path) else Path(path).expanduser()
    with reading("poses file", str(path)):
        told = json.loads(path.read_text(encoding="utf-8"))
    told = told if isinstance(told, dict) else {}
    frames: Any = told.get("frames")
    right = isinstance(frames, list) and frames
    checks.must(right, repr(str(path)), "have frames", sorted(told))
    frames = frames[:: checks.count("every", every)]
    for i, frame in enumerate(frames):
        for what in ("file_path", "transform_matrix"):
            right = isinstance(frame, dict) and what in frame
            checks.must(right, f"frame {i} of {path.name!r}", f"have {what}", list(frame))
    axes = checks.one_of("axes", axes or told.get("axes"), tuple(AXES))
    images = [_pixels(path.parent, frame, checks.count("shrink", shrink)) for frame in frames]
    sizes = sorted({image.shape[:2] for image in images})
    checks.must(len(sizes) == 1, "pictures", "have one size", sizes)
    height, width = sizes[0]
    lenses = [_lens(told | frame, height, width, shrink) for frame in frames]
    poses = np.stack([_pose(frame) for frame in frames]) * AXES[str(axes)]
    return cameras.views(np.stack(images), poses, np.array(lenses), near, far)


def _pixels(folder: Any, frame: dict, shrink: int) -> np.ndarray:
    """(H, W, 4) in [0, 1], premultiplied; a name without an ending is that of a PNG."""
    name = PurePosixPath(frame["file_path"])
    name = str(name if name.suffix else name.with_suffix(".png"))
    with reading("picture", name), (folder / name).open("rb") as file, Image.open(file) as picture:
        mode, pixels = picture.mode, np.asarray(picture.convert("RGBA"), np.float32) / 255
    right = mode in ("L", "LA", "P", "RGB", "RGBA")
    checks.must(right, repr(name), "have 8 bits a channel", repr(mode))
    height, width = (n // shrink for n in pixels.shape[:2])
    right = pixels.shape[:2] == (height * shrink, width * shrink)
    checks.must(right, repr(name), f"have sides that are multiples of {shrink}", pixels.shape[:2])
    pixels[..., :3] *= pixels[..., 3:]
    return pixels.reshape(height, shrink, width, shrink, 4).mean((1, 3))


def _lens(told: dict, height: int, width: int, shrink: int) -> tuple[float, float, float, float]:
    """f_x, f_y, c_x, c_y in pixels of a picture of this size."""
    name, found = repr(told["file_path"]), {}
    bent = {key: told[key] for key in BENT if told.get(key)}
    checks.must(not bent, name, "be undistorted first", f"a lens with {bent}")
    told = told | {key: float(_numbers(told, key)) for key in LENS if key in told}
    for k, n, whole in (("x", width, "w"), ("y", height, "h")):
        part = n / told.get(whole, shrink * n)
        if f"fl_{k}" in told:
            found[k] = part * told[f"fl_{k}"]
        elif f"camera_angle_{k}" in told:
            found[k] = n / 2 / np.tan(told[f"camera_angle_{k}"] / 2)
        found[f"c{k}"] = part * told.get(f"c{k}", n / part / 2)
    checks.must("x" in found, name, "have fl_x or camera_angle_x", sorted(told))
    return found["x"], found.get("y", found["x"]), found["cx"], found["cy"]


def _numbers(told: dict, key: str) -> np.ndarray:
    try:
        return np.asarray(told[key], float)
    except (TypeError, ValueError) as error:
        what = f"{told['file_path']!r} must have numbers as {key}"
        raise ValueError(f"{what}, but has {told[key]!r}") from error


def _pose(frame: dict) -> np.ndarray:
    pose, name = _numbers(frame, "transform_matrix"), f"transform_matrix of {frame['file_path']!r}"
    return np.vstack([checks.shaped(name, pose, (3, 4), (4, 4)), [0, 0, 0, 1]])[:4]


def lego(size: int = 400) -> tuple[cameras.Views, cameras.Views]:
    """100 pictures of the lego excavator to train on and 13 to test on, split as in the paper.

    The scene is by Mildenhall et al. 2020 (model by Heinzelnisse, CC BY-NC). It is read from the
    compact file ``lego_<size>_rgba_premult.npz`` where FFLIB_DATA has it, else from the authors'
    archive (1.7 GB) at its public address, of whose 800² pixels blocks are averaged. ``size`` is
    100, 200 or 400 pixels, else a ValueError. Raises: FetchError. Chapter: Radiance fields.
    """
    checks.one_of("size", size, (100, 200, 400))
    try:
        with np.load(fetch(f"lego_{size}_rgba_premult.npz")) as file:
            every = cameras.views(file["images"], file["poses"], float(file["focal"]))
        return every[: SPLIT[0]], every[SPLIT[1] :]
    except FetchError:
        how: Any = dict(near=2.0, far=6.0, axes="opengl", shrink=800 // size)
        with zipfile.ZipFile(fetch("nerf_synthetic.zip")) as archive:
            at = zipfile.Path(archive, "nerf_synthetic/lego/")
            train, test = at / "transforms_train.json", at / "transforms_test.json"
            return captured_views(train, **how), captured_views(test, every=16, **how)
