"""The brain that ships, and volumes out of NIfTI files of every type, against what was put in."""

import gzip
import struct
import sys

import numpy as np
import pytest
from refusal import assert_refused

from fflib.worlds import brains

nibabel = pytest.importorskip("nibabel")
RNG = np.random.default_rng(0)
KINDS = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "c8")


def test_built_in_brain():
    volume, half = np.asarray(brains.volume(48)), np.asarray(brains.volume(24))
    assert volume.shape == (48, 48, 48) and volume.min() == 0 and 0.8 < volume.max() <= 1
    np.testing.assert_allclose(half.mean(), volume.mean(), rtol=0.02)
    assert (volume[[0, -1]] == 0).all() and (volume[:, [0, -1]] == 0).all()
    for plane in np.asarray(brains.slices(4, 64).array):
        assert plane.shape == (64, 64) and plane.max() == 1 and 0.1 < (plane > 0.2).mean() < 0.5


def test_slices_of_a_full_volume(monkeypatch):
    source = np.zeros((20, 30, 10), np.uint8)
    source[:, 10:20, :3] = 100  # the bottom of every slice
    monkeypatch.setattr(brains, "full", lambda: source)
    found = brains.slices(5, 30)
    assert found.names[1] == "slice0.35" and found.array.shape == (5, 30, 30) and found.sha256
    for plane in found.array:  # bottom stays down
        assert plane.max() == 1 and plane[-1, 15] == 1 and plane[0].max() == 0
    assert brains.volume(8, source).shape == (8, 8, 8)


def test_bytes_and_16_bits_are_parts_of_their_largest_number():
    source = RNG.integers(0, 256, (4, 4, 4), np.uint8)
    for same in (source * np.uint16(257), (source * np.uint16(257)).astype(">u2"), source / 255):
        np.testing.assert_allclose(brains.volume(4, same), source / 255, atol=1e-6)


# --- NIfTI: written from the layout alone


def nifti(
    voxels, *, kind=None, order="<", offset=352.0, scale=(1.0, 0.0), mark=b"n+1\0", axes=None
):
    """A file of these voxels; ``kind`` is the format's number of their type."""
    kind = {"u1": 2, "i2": 4, "f4": 16}[voxels.dtype.str[1:]] if kind is None else kind
    shape = voxels.shape
    head = bytearray(352)
    struct.pack_into(f"{order}i", head, 0, 348)
    struct.pack_into(f"{order}8h", head, 40, axes or len(shape), *shape, *[1] * (7 - len(shape)))
    struct.pack_into(f"{order}2h", head, 70, kind, 8 * voxels.dtype.itemsize)
    struct.pack_into(f"{order}3f", head, 108, offset, *scale)
    head[344:348] = mark
    return bytes(head) + voxels.astype(voxels.dtype.newbyteorder(order)).tobytes(order="F")


BYTES = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("kind", ["u1", "i2", "f4"])
def test_the_layout(tmp_path, order, pack, kind):
    """Any byte order, packed or not, and a name that says nothing."""
    voxels = (BYTES - 30 * (kind != "u1")).astype(kind)
    (tmp_path / "v").write_bytes(pack(nifti(voxels, order=order)))
    read = brains.read_nifti(tmp_path / "v")
    np.testing.assert_array_equal(read, voxels)
    assert read.dtype == np.dtype(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("image", ["Nifti1Image", "Nifti2Image"])
def test_every_type(tmp_path, kind, image):
    """Random shapes and numbers over the whole range of each type, written by another program."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        shape = tuple(rng.integers(1, 6, 3))
        bits = rng.bytes(int(np.prod(shape)) * np.dtype(kind).itemsize)
        voxels = np.frombuffer(bits, kind).reshape(shape)
        if voxels.dtype.kind in "fc":
            voxels = rng.normal(size=shape).astype(kind)
        file = tmp_path / f"v{seed}.nii.gz"
        getattr(nibabel, image)(voxels, np.eye(4), dtype=voxels.dtype).to_filename(file)
        read = brains.read_nifti(file)
        np.testing.assert_array_equal(read, voxels)
        assert read.dtype == np.dtype(kind)


def test_scaled_numbers(tmp_path):
    """stored · slope + shift; a slope of 0 or NaN says that there is none."""
    for scale, want in {
        (0.5, -3.0): 0.5 * BYTES - 3,
        (0.0, 5.0): BYTES,
        (np.nan, np.nan): BYTES,
        (2.0, 0.0): 2.0 * BYTES,
    }.items():
        (tmp_path / "v.nii").write_bytes(nifti(BYTES, scale=scale))
        np.testing.assert_array_equal(brains.read_nifti(tmp_path / "v.nii"), want)


def test_one_volume_of_a_series_of_one(tmp_path, monkeypatch):
    (tmp_path / "v.nii").write_bytes(nifti(BYTES[..., None, None]))
    monkeypatch.setenv("HOME", str(tmp_path))
    np.testing.assert_array_equal(brains.read_nifti("~/v.nii"), BYTES)


RGB = np.zeros((2, 2, 2), [("R", "u1"), ("G", "u1"), ("B", "u1")])
BROKEN = {
    "another file": b"P6 512 512 255",
    "nothing": b"",
    "one of a pair": nifti(BYTES, mark=b"ni1\0", offset=0.0),
    "no mark": nifti(BYTES, mark=b"abc\0"),
    "a series": nifti(np.zeros((2, 2, 2, 7), np.uint8)),
    "a plane": nifti(np.zeros((2, 2), np.uint8)),
    "no voxels": nifti(np.zeros((2, 0, 2), np.uint8)),
    "colours": nifti(RGB, kind=128),
    "an unknown type": nifti(BYTES, kind=3),
    "scaled by half a number": nifti(BYTES, scale=(1.0, np.nan)),
    "cut off": nifti(BYTES)[:-40],
    "half a download": gzip.compress(nifti(BYTES))[:60],
    **{
        f"offset {offset}": nifti(BYTES, offset=offset)
        for offset in (0.0, 100.0, 351.0, -8.0, np.nan, np.inf, 1e30)
    },
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_said_of_the_file(tmp_path, case):
    (tmp_path / "head.nii").write_bytes(BROKEN[case])
    with pytest.raises(ValueError, match=r"^NIfTI file .*head\.nii"):
        brains.read_nifti(tmp_path / "head.nii")


def test_damage_is_read_as_it_is_or_refused_by_name(tmp_path):
    """Any byte that tells how to read changed: an array, or a ValueError that names the file."""
    whole, refused = bytearray(nifti(BYTES)), 0
    for at in (*range(4), *range(40, 56), *range(70, 74), *range(108, 120), *range(344, 348)):
        changed = whole.copy()
        changed[at] ^= int(RNG.integers(1, 256))
        (tmp_path / "head.nii").write_bytes(changed)
        try:
            assert brains.read_nifti(tmp_path / "head.nii").ndim == 3
        except ValueError as error:
            assert "head.nii" in str(error)
            refused += 1
    assert refused


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.nii"):
        brains.read_nifti(tmp_path / "nowhere.nii")


# --- without


def test_without_nibabel_there_is_the_small_brain(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(ImportError, match=r"needs nibabel: pip install '.*\[volumes\]'"):
        brains.read_nifti(tmp_path / "v.nii")
    monkeypatch.setattr(brains, "fetch", lambda name: tmp_path / name)
    with pytest.warns(UserWarning, match=r"nibabel.*small built-in brain"):
        assert brains.volumes(96).array.shape == (1, 48, 48, 48)


def test_without_the_full_brain_there_is_the_small_one(monkeypatch):
    def gone(_):
        raise brains.FetchError("no such host")

    monkeypatch.setattr(brains, "fetch", gone)
    with pytest.warns(UserWarning, match=r"no such host.*small built-in brain"):
        assert brains.volumes(96).array.shape == (1, 48, 48, 48)


CASES = {
    "too fine": (
        lambda: brains.volume(64),
        ValueError,
        ["n must be at most 48", "read_nifti", "64"],
    ),
    "NaN": (
        lambda: brains.volume(8, np.full((8, 8, 8), np.nan)),
        ValueError,
        ["source", "512", "NaN"],
    ),
    "a picture": (
        lambda: brains.volume(8, np.ones((8, 8))),
        ValueError,
        ["source", "(x, y, z)", "(8, 8)"],
    ),
    "not in [0, 1]": (
        lambda: brains.volume(4, np.full((4, 4, 4), 7.0)),
        ValueError,
        ["source", "[0, 1]", "7"],
    ),
    "integers of no scale": (
        lambda: brains.volume(4, np.ones((4, 4, 4), np.int16)),
        TypeError,
        ["source", "int16", "divide"],
    ),
    "masked": (
        lambda: brains.volume(4, np.ma.masked_less(np.eye(4)[..., None] * np.ones(4), 0.5)),
        ValueError,
        ["source", "48 masked", "filled"],
    ),
    "no slices": (lambda: brains.slices(0, 8), ValueError, ["count", "at least 1", "0"]),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case):
    assert_refused(*CASES[case])
