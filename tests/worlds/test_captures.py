"""Poses files of common tools: what each field means, told by rays; what is refused and warned of."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from fflib.operators import cameras
from fflib.worlds import captures

POSES = np.asarray(cameras.hemisphere(4), float)
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
TOLD = dict(fl_x=40.0, fl_y=36.0, cx=13.0, cy=9.5, w=24, h=20)


def folder(tmp_path, told, frames=None, size=(24, 20), poses=POSES, pixel=(255, 128, 0, 128)):
    frames = [{}] * len(poses) if frames is None else frames
    for i in range(len(poses)):
        Image.new("RGBA", size, pixel).save(tmp_path / f"{i}.png")
    listed = [
        {"file_path": f"./{i}", "transform_matrix": pose.tolist()} | frame
        for i, (pose, frame) in enumerate(zip(poses, frames, strict=True))
    ]
    (tmp_path / "transforms.json").write_text(json.dumps(told | {"frames": listed}))
    return tmp_path / "transforms.json"


def read(path, axes="opengl", **how):
    return captures.captured_views(path, axes=axes, near=2.0, far=6.0, **how)


def test_fields_mean_what_they_say(tmp_path):
    """The middle c looks along the axis; f pixels beside it, 45° away; straight alpha on black."""
    seen = read(folder(tmp_path, TOLD))
    np.testing.assert_allclose(seen.lens, [[40.0, 36.0, 13.0, 9.5]] * 4)
    np.testing.assert_allclose(seen.images[0, 0, 0], [128 / 255, (128 / 255) ** 2, 0], rtol=1e-5)
    pixels = jnp.array([[9.5, 13.0], [9.5, 53.0], [45.5, 13.0]])
    _, d = cameras.rays(seen.poses[1], pixels, seen.lens[1], seen.size, unit=False)
    right, up, back = POSES[1, :3, :3].T
    np.testing.assert_allclose(d, [-back, right - back, -up - back], atol=1e-5)


@pytest.mark.parametrize(
    ("told", "size", "lens"),
    [
        (TOLD, (12, 10), [20, 18, 6.5, 4.75]),  # pictures half as large as w × h
        ({"camera_angle_x": 2 * np.arctan(0.3)}, (24, 20), [40, 40, 12, 10]),
        ({"camera_angle_x": 2 * np.arctan(0.3), "camera_angle_y": 2 * np.arctan(0.2)}, (24, 20),
         [40, 50, 12, 10]),
        ({"fl_x": 30}, (24, 20), [30, 30, 12, 10]),
    ],
)  # fmt: skip
def test_lenses(tmp_path, told, size, lens):
    np.testing.assert_allclose(read(folder(tmp_path, told, size=size)).lens[0], lens, rtol=1e-6)


def test_frames_have_their_own(tmp_path):
    seen = read(folder(tmp_path, TOLD, [{}, {"fl_x": 50.0, "cy": 8.0}, {}, {}]))
    np.testing.assert_allclose(seen.lens[:2], [[40, 36, 13, 9.5], [50, 36, 13, 8]])
    assert len(read(folder(tmp_path, TOLD), every=3)) == 2


def test_axes_are_told_never_guessed(tmp_path):
    """OpenCV's cameras with rows left out; the file may say so itself; a wrong answer is warned of."""
    path = folder(tmp_path, TOLD, poses=(POSES @ FLIP)[:, :3])
    np.testing.assert_allclose(read(path, "opencv").poses, POSES, atol=1e-6)
    with pytest.warns(UserWarning, match=r"100% of the cameras look away .*OpenCV"):
        read(path, "opengl")
    with pytest.raises(ValueError, match="axes must be one of 'opengl', 'opencv', but got None"):
        read(path, None)
    path = folder(tmp_path, TOLD | {"axes": "opencv"}, poses=POSES @ FLIP)
    np.testing.assert_allclose(read(path, None).poses, POSES, atol=1e-6)


@pytest.mark.parametrize(
    ("told", "frame", "says"),
    [
        (
            TOLD | {"k1": 0.1},
            {},
            "'./0' must be undistorted first, but got a lens with {'k1': 0.1}",
        ),
        ({}, {}, "'./0' must have fl_x or camera_angle_x, but got"),
        (
            TOLD,
            {"transform_matrix": [[1.0]]},
            r"transform_matrix of './0' must have shape \(3, 4\)",
        ),
        (TOLD, {"transform_matrix": (2 * POSES[0]).tolist()}, r"poses\[0\] is no rotation"),
        (TOLD | {"fl_x": -3.0}, {}, "lens must have focal lengths > 0, but got -3"),
        (TOLD | {"fl_x": "long"}, {}, "'./0' must have numbers as fl_x, but has 'long'"),
        (TOLD, {"cy": "?"}, "'./0' must have numbers as cy, but has '\\?'"),
        (TOLD, {"transform_matrix": "x"}, "'./0' must have numbers as transform_matrix"),
        (TOLD, {"transform_matrix": [[1.0], [1.0, 2.0]]}, "must have numbers as transform_matrix"),
        (TOLD, {"file_path": "transforms.json"}, "picture .*transforms.json' cannot be read"),
    ],
)
def test_what_is_refused(tmp_path, told, frame, says):
    with pytest.raises(ValueError, match=says):
        read(folder(tmp_path, told, [frame, {}, {}, {}]))


@pytest.mark.parametrize("lost", ["file_path", "transform_matrix"])
def test_a_frame_that_lacks_something_is_named(tmp_path, lost):
    path = folder(tmp_path, TOLD)
    told = json.loads(path.read_text())
    del told["frames"][2][lost]
    path.write_text(json.dumps(told))
    with pytest.raises(ValueError, match=rf"frame 2 of 'transforms.json' must have {lost}"):
        read(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not json", "poses file .*t.json' cannot be read"),
        ("[]", "must have frames, but got \\[\\]"),
        ('{"frames": 3}', "must have frames, but got \\['frames'\\]"),
    ],
)
def test_files_that_are_no_poses(tmp_path, text, says):
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(ValueError, match=says):
        read(tmp_path / "t.json")
    with pytest.raises(ValueError, match="poses file .* cannot be read"):
        read(tmp_path)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="must have frames"):
        read(folder(tmp_path, TOLD, poses=POSES[:0]))
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nowhere.json")
