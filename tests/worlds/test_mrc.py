"""MRC files: written from the published layout alone and read back, and what is refused."""

import gzip
import struct
import sys

import numpy as np
import pytest

from fflib.worlds import mrc

mrcfile = pytest.importorskip("mrcfile")


@pytest.mark.parametrize("kind", [np.float32, np.int16])
def test_round_trip(tmp_path, kind):
    """Real numbers and whole ones, which are written as float32, too."""
    voxels = (100 * np.random.default_rng(0).normal(size=(4, 5, 6))).astype(kind)
    mrc.write_mrc(tmp_path / "a.mrc", voxels, 2.5)
    again, pixel = mrc.read_mrc(tmp_path / "a.mrc")
    np.testing.assert_array_equal(again, voxels)
    assert again.dtype == np.float32 and abs(pixel - 2.5) < 1e-6
    raw = (tmp_path / "a.mrc").read_bytes()
    assert len(raw) == 1024 + 4 * voxels.size
    mrc.write_mrc(tmp_path / "a.mrc", voxels, 2.5)
    assert (tmp_path / "a.mrc").read_bytes() == raw  # no time of day in it


def test_home_may_be_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    mrc.write_mrc("~/a.mrc", np.ones((2, 2, 2)), 1.0)
    assert (tmp_path / "a.mrc").exists() and mrc.read_mrc("~/a.mrc")[1] == 1.0


def test_header_word_by_word(tmp_path):
    """Against the published layout: sizes, mode, cell, axes, density, letters, byte order."""
    voxels = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    mrc.write_mrc(tmp_path / "a.mrc", voxels, 1.5)
    raw = (tmp_path / "a.mrc").read_bytes()
    words, floats = struct.unpack("<24i", raw[:96]), struct.unpack("<24f", raw[:96])
    assert words[:4] == (2, 3, 4, 2) and words[4:10] == (0, 0, 0, 2, 3, 4)
    assert floats[10:16] == (3.0, 4.5, 6.0, 90.0, 90.0, 90.0)
    assert words[16:19] == (1, 2, 3) and words[22:24] == (1, 0)
    assert floats[19:22] == (0.0, 23.0, 11.5)
    assert raw[208:214] == b"MAP DD" and struct.unpack("<2f", raw[1024:1032]) == (0.0, 12.0)
    assert mrcfile.validate(str(tmp_path / "a.mrc"))


# --- written from the layout alone


def hand_made(values, mode, order="<", *, axes=(1, 2, 3), extended=0, mark=b"MAP ", stamp=None,
              cell=None, angles=(90.0, 90.0, 90.0), group=1):  # fmt: skip
    """A file of sections, rows and columns as in ``values`` (z, y, x); voxels of 2 Å."""
    head, sizes = bytearray(1024), values.shape[::-1]
    struct.pack_into(f"{order}4i", head, 0, *sizes, mode)
    cell = [2.0 * n for n in sizes] if cell is None else cell
    struct.pack_into(f"{order}3i6f", head, 28, *sizes, *cell, *angles)
    struct.pack_into(f"{order}3i", head, 64, *axes)
    struct.pack_into(f"{order}2i", head, 88, group, extended)
    head[208:212] = mark
    head[212:214] = (b"\x11\x11" if order == ">" else b"DD") if stamp is None else stamp
    voxels = values.astype(values.dtype.newbyteorder(order)).tobytes()
    return bytes(head) + b"\0" * extended + voxels


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(("mode", "kind"), [(0, "i1"), (1, "i2"), (2, "f4"), (6, "u2"), (12, "f2")])
def test_types_and_byte_orders(tmp_path, order, pack, mode, kind):
    """Random shapes and numbers over the range of each type, packed or not."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=rng.integers(1, 6, 3)) * 100  # z, y, x
        values = np.abs(values).astype(kind) if kind == "u2" else values.astype(kind)
        raw = hand_made(values, mode, order, extended=160 * seed)
        (tmp_path / "b.map").write_bytes(pack(raw))
        voxels, pixel = mrc.read_mrc(tmp_path / "b.map")
        np.testing.assert_array_equal(voxels, values.T.astype(np.float32))
        assert pixel == 2.0 and voxels.dtype == np.float32


@pytest.mark.parametrize("axes", [(1, 2, 3), (3, 1, 2), (2, 1, 3), (2, 3, 1), (0, 0, 0)])
def test_other_orders_of_axes(tmp_path, axes):
    """Columns, rows and sections along any axis: read as x, y, z all the same."""
    stored = np.arange(24, dtype=np.float32).reshape(2, 3, 4)  # section, row, column
    (tmp_path / "c.mrc").write_bytes(hand_made(stored, 2, axes=axes, cell=(8.0, 6.0, 4.0)))
    voxels, _ = mrc.read_mrc(tmp_path / "c.mrc")
    along = axes if any(axes) else (1, 2, 3)
    for at in np.ndindex(2, 3, 4):
        place = dict(zip(along, at[::-1], strict=True))
        assert voxels[place[1], place[2], place[3]] == stored[at]


def test_a_single_section_and_a_cell_nobody_told(tmp_path):
    flat = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    (tmp_path / "d.mrc").write_bytes(
        hand_made(flat, 2, cell=(0.0,) * 3, angles=(0.0,) * 3, group=0)
    )
    voxels, pixel = mrc.read_mrc(tmp_path / "d.mrc")
    np.testing.assert_array_equal(voxels, flat.T)
    assert pixel == 0.0


GOOD = np.zeros((2, 2, 2), np.float32)
BAD = {
    "nothing": (b"", "bytes for MRC header"),
    "no mark": (hand_made(GOOD, 2, mark=b"PAM "), "Map ID"),
    "no byte order": (hand_made(GOOD, 2, ">", stamp=b"\0\0"), "machine stamp"),
    "complex": (hand_made(GOOD.astype("c8"), 4), "real numbers"),
    "an unknown mode": (hand_made(GOOD, 5), "mode '5'"),
    "cut off": (hand_made(GOOD, 2)[:-1], "31"),
    "half a download": (gzip.compress(hand_made(GOOD, 2))[:60], "end"),
    "one axis twice": (hand_made(GOOD, 2, axes=(1, 1, 3)), "have axes in an order"),
    "no sections": (hand_made(GOOD[:0], 2, cell=(4.0, 4.0, 4.0)), "one volume"),
    "many volumes": (hand_made(GOOD, 2, group=401), "one volume"),
    "a skewed cell": (hand_made(GOOD, 2, angles=(90.0, 90.0, 120.0)), "skewed"),
    "uneven voxels": (hand_made(GOOD, 2, cell=(4.0, 4.0, 6.0)), "2 × 2 × 3 Å"),
    "one side of a cell": (hand_made(GOOD, 2, cell=(4.0, 0.0, 0.0)), "2 × 0 × 0 Å"),
    "a negative size": (struct.pack("<i", -2) + hand_made(GOOD, 2)[4:], "cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files(tmp_path, case):
    raw, says = BAD[case]
    (tmp_path / "bad.mrc").write_bytes(raw)
    with pytest.raises(ValueError, match=r"^MRC file .*bad\.mrc") as error:
        mrc.read_mrc(tmp_path / "bad.mrc")
    assert says in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.mrc"):
        mrc.read_mrc(tmp_path / "nowhere.mrc")


def test_without_mrcfile(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mrcfile", None)
    for call in (mrc.read_mrc, lambda path: mrc.write_mrc(path, GOOD, 1.0)):
        with pytest.raises(ImportError, match=r"needs mrcfile: pip install '.*\[volumes\]'"):
            call(tmp_path / "a.mrc")


@pytest.mark.parametrize(
    ("voxels", "pixel", "says"),
    [
        (np.zeros((2, 2)), 1.0, ["voxels", "(2, 2)"]),
        (GOOD, 0.0, ["pixel", "> 0"]),
        (GOOD * np.nan, 1.0, ["voxels", "NaN"]),
    ],
)
def test_bad_input(tmp_path, voxels, pixel, says):
    with pytest.raises(ValueError) as error:
        mrc.write_mrc(tmp_path / "x.mrc", voxels, pixel)
    assert all(part in str(error.value) for part in says) and not list(tmp_path.iterdir())
