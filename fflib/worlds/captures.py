"""Photographs of a scene with the poses that other tools found: their ``transforms.json``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from PIL import Image

from fflib import checks
from fflib.operators import cameras
from fflib.worlds.items import reading

AXES = {"opengl": np.ones(4), "opencv": np.array([1.0, -1.0, -1.0, 1.0])}  # signs of pose columns
LENS = ("w", "h", "fl_x", "fl_y", "cx", "cy", "camera_angle_x", "camera_angle_y")
BENT = ("k1", "k2", "k3", "k4", "p1", "p2")


def captured_views(
    path: str | os.PathLike, *, near: float, far: float, axes: str | None = None, every: int = 1
) -> cameras.Views:
    """The views that a ``transforms.json`` describes, as COLMAP's converters, nerfstudio and
    Blender write it.

    Focal lengths are ``fl_x`` and ``fl_y`` in pixels or ``camera_angle_x`` and ``_y`` in radians,
    the middle ``cx`` and ``cy`` (default: the picture's), each for all frames or for one; where a
    picture is smaller than ``w`` × ``h`` they shrink with it. ``transform_matrix`` is (3, 4) or (4,
    4), camera to world. Pictures lie beside the file; what is clear in them becomes black.

    Args:
        path: of the file; ``~`` is expanded.
        near, far: distances between which the scene lies, in the units of the poses.
        axes: which way cameras look: "opengl" (along −z, y up: instant-ngp, nerfstudio, Blender) or
            "opencv" (along +z, y down: COLMAP). Not needed where the file has it as ``axes``.
        every: take every so manieth frame.

    Raises: ValueError naming the frame and what it lacks: axes nobody told, lens distortion,
    another size, no focal length; FileNotFoundError. Warns as
    :func:`fflib.operators.cameras.views`. Chapter: Radiance fields.
    """
    path = Path(path).expanduser()
    with reading("poses file", path):
        told = json.loads(path.read_text(encoding="utf-8"))
    frames = told.get("frames") if isinstance(told, dict) else None
    if not isinstance(frames, list) or not frames:
        raise ValueError(f"{str(path)!r} must have frames, but has {sorted(told)}")
    frames = frames[:: checks.count("every", every)]
    for i, frame in enumerate(frames):
        if lacking := {"file_path", "transform_matrix"} - set(frame):
            raise ValueError(f"frame {i} of {path.name!r} must have {' and '.join(lacking)}")
    axes = told.get("axes") if axes is None else axes
    if axes not in AXES:
        raise ValueError(
            f"axes must be 'opengl' or 'opencv', as {path.name!r} does not say, but got {axes!r}"
        )
    images = [_pixels(path.parent, frame) for frame in frames]
    if len({image.shape for image in images}) > 1:
        raise ValueError(
            f"pictures must have one size, but have {sorted({image.shape[:2] for image in images})}"
        )
    lenses = [_lens(told | frame, *images[0].shape[:2]) for frame in frames]
    poses = np.stack([_pose(frame) for frame in frames]) * AXES[axes]
    return cameras.views(np.stack(images), poses, np.array(lenses), near, far, alpha="straight")


def _pixels(folder: Path, frame: dict) -> np.ndarray:
    """(H, W, 4) in [0, 1]; a name without an ending is that of a PNG."""
    name = folder / frame["file_path"]
    name = name if name.suffix else name.with_suffix(".png")
    with reading("picture", name), Image.open(name) as picture:
        mode, pixels = picture.mode, np.asarray(picture.convert("RGBA"), np.float32) / 255
    if mode not in ("L", "LA", "P", "RGB", "RGBA"):
        raise ValueError(f"{name.name!r} must have 8 bits a channel, but is {mode!r}")
    return pixels


def _lens(told: dict, height: int, width: int) -> tuple[float, float, float, float]:
    """f_x, f_y, c_x, c_y in pixels of a picture of this size."""
    name = told["file_path"]
    bent = {key: told[key] for key in BENT if told.get(key)}
    if bent:
        raise ValueError(f"{name!r} must be undistorted first: its lens has {bent}")
    told = told | {key: float(_numbers(told, key)) for key in LENS if key in told}
    across, down = width / told.get("w", width), height / told.get("h", height)
    angle = {k: told[f"camera_angle_{k}"] for k in "xy" if f"camera_angle_{k}" in told}
    if "fl_x" in told:
        f_x = across * told["fl_x"]
    elif "x" in angle:
        f_x = width / 2 / np.tan(angle["x"] / 2)
    else:
        raise ValueError(f"{name!r} must have fl_x or camera_angle_x, but has {sorted(told)}")
    if "fl_y" in told:
        f_y = down * told["fl_y"]
    else:
        f_y = height / 2 / np.tan(angle["y"] / 2) if "y" in angle else f_x
    return (
        f_x,
        f_y,
        across * told.get("cx", width / across / 2),
        down * told.get("cy", height / down / 2),
    )


def _numbers(told: dict, key: str) -> np.ndarray:
    try:
        return np.asarray(told[key], float)
    except (TypeError, ValueError) as error:
        what = f"{told['file_path']!r} must have numbers as {key}"
        raise ValueError(f"{what}, but has {told[key]!r}") from error


def _pose(frame: dict) -> np.ndarray:
    pose = _numbers(frame, "transform_matrix")
    if pose.shape not in ((3, 4), (4, 4)):
        raise ValueError(
            f"{frame['file_path']!r} must have a transform_matrix (3, 4) or (4, 4), "
            f"but has {pose.shape}"
        )
    return pose if len(pose) == 4 else np.vstack([pose, [0, 0, 0, 1]])
