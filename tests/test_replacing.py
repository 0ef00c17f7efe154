"""A file takes another's place whole, closed and at one stroke, or not at all."""

import os

import pytest

from fflib.files import replacing


def is_open(path):
    """Whether this process holds the file: Windows would refuse to rename or delete it."""
    held = (os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd"))
    return os.path.realpath(path) in held


@pytest.fixture
def like_windows(monkeypatch):
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("who holds a file is seen in /proc")
    real, unlink = os.replace, os.unlink

    def replace(a, b):
        if is_open(a):
            raise PermissionError(13, "the process cannot access the file", str(a))
        real(a, b)

    def remove(path, **how):
        if is_open(path):
            raise PermissionError(13, "the process cannot access the file", str(path))
        unlink(path, **how)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "unlink", remove)


def test_closed_before_it_is_renamed_or_deleted(tmp_path, like_windows):
    with replacing(tmp_path / "deep/a.bin") as file:
        file.write(b"new")
        [half] = (tmp_path / "deep").iterdir()
        assert is_open(half) and half.name != "a.bin"
    assert (tmp_path / "deep/a.bin").read_bytes() == b"new"
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "deep/a.bin") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert (tmp_path / "deep/a.bin").read_bytes() == b"new"
    assert os.listdir(tmp_path / "deep") == ["a.bin"]


def test_a_name_that_cannot_be_taken_leaves_nothing(tmp_path, like_windows):
    (tmp_path / "a.bin").mkdir()
    with pytest.raises(OSError), replacing(tmp_path / "a.bin") as file:
        file.write(b"new")
    assert os.listdir(tmp_path) == ["a.bin"]


def test_the_tilde_is_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with replacing("~/a.bin") as file:
        file.write(b"new")
    assert os.listdir(tmp_path) == ["a.bin"]
