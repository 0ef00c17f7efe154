"""What worlds share; and that importing them brings no library that only some readers have."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from fflib import worlds
from fflib.worlds import items


def test_importing_worlds_loads_no_optional_library():
    names = sorted(path.stem for path in Path(worlds.__file__).parent.glob("[a-z]*.py"))
    code = "".join(f"import fflib.worlds.{name}\n" for name in names) + (
        "import sys\nprint(sorted({'igl', 'trimesh', 'nibabel', 'mrcfile', 'pooch', 'requests'} "
        "& set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]" and "items" in names


def test_shipped_files_are_those_the_book_was_written_with():
    kept = {
        "mni152.npz": "1258a86d4102852ed803419a53df1cb7d80bd3543a1bfca2befb14d22121f0a9",
        "heads.npz": "4e0b316b223a7270cd8e4205f9a54a78cba438d727b5eb260b97677a28110a3a",
    }
    for name, sha256 in kept.items():
        assert hashlib.sha256(items.shipped(name).read()).hexdigest() == sha256, name


def test_errors_of_reading_name_the_file():
    with pytest.raises(ValueError, match=r"^map '~/a.b' cannot be read \(KeyError\): is it whole"):
        with items.reading("map", "~/a.b") as path:
            assert "~" not in str(path)
            raise KeyError
    for error in (FileNotFoundError, ImportError):
        with pytest.raises(error), items.reading("map", "a.b"):
            raise error
