"""The lego loader, from stand-ins for both of its files."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from fflib.operators import cameras
from fflib.worlds import captures
from fflib.worlds.fetch import FetchError

POSES = np.asarray(cameras.hemisphere(120))


def only(monkeypatch, path):
    """``path`` is the one file that can be had."""

    def fetch(name):
        if name.endswith(path.suffix):
            return path
        raise FetchError(f"no {name}")

    monkeypatch.setattr(captures, "fetch", fetch)


def test_the_compact_file_is_split_as_in_the_paper(tmp_path, monkeypatch):
    images = np.zeros((120, 100, 100, 4), np.uint8)
    images[:, 0, 0, 0] = np.arange(120)
    images[:, 0, 0, 3] = 255
    np.savez(tmp_path / "lego.npz", images=images, poses=POSES, focal=np.float32(138.9))
    only(monkeypatch, tmp_path / "lego.npz")
    train, test = captures.lego(100)
    assert len(train) == 100 and len(test) == 13 and (train.near, train.far) == (2.0, 6.0)
    assert float(train.lens[0, 0]) == pytest.approx(138.9)
    np.testing.assert_allclose(
        255 * np.asarray(test.images)[:, 0, 0, 0], np.arange(107, 120), rtol=1e-5
    )
    np.testing.assert_array_equal(test.poses, POSES[107:])


def test_the_public_archive_is_read_the_same_way(tmp_path, monkeypatch):
    """Every picture to train, every 16th of 200 to test; colours times opacity, averaged."""
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for part, n in (("train", 100), ("test", 200)):
            frames = [
                {"file_path": f"./{part}/r_{i}", "transform_matrix": POSES[i % 120].tolist()}
                for i in range(n)
            ]
            told = {"camera_angle_x": 0.6911112070083618, "frames": frames}
            archive.writestr(f"nerf_synthetic/lego/transforms_{part}.json", json.dumps(told))
            for i in range(n):
                if part == "test" and i % 16:
                    continue
                pixels = np.zeros((800, 800, 4), np.uint8)
                pixels[::2, :, :] = (i, 100, 200, 255)
                file = io.BytesIO()
                Image.fromarray(pixels).save(file, "png")
                archive.writestr(f"nerf_synthetic/lego/{part}/r_{i}.png", file.getvalue())
    only(monkeypatch, tmp_path / "data.zip")
    train, test = captures.lego(100)
    assert len(train) == 100 and len(test) == 13 and train.size == (100, 100)
    assert float(train.lens[0, 0]) == pytest.approx(138.8889, rel=1e-5)
    np.testing.assert_allclose(
        510 * np.asarray(test.images)[:, 3, 5, 0], np.arange(13) * 16, atol=1e-3
    )
    np.testing.assert_allclose(train.images[7, 0, 0], [7 / 510, 100 / 510, 200 / 510], rtol=1e-4)
    np.testing.assert_allclose(test.poses, POSES[np.arange(0, 200, 16) % 120], rtol=1e-6)


def test_neither_file(monkeypatch):
    def fetch(name):
        raise FetchError(f"could not get {name}")

    monkeypatch.setattr(captures, "fetch", fetch)
    with pytest.raises(FetchError, match=r"nerf_synthetic\.zip"):
        captures.lego()
    with pytest.raises(ValueError, match="size must be one of 100, 200, 400, but got 50"):
        captures.lego(50)
