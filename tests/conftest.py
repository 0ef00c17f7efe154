"""Settings that hold for every test."""

import sys
from pathlib import Path

import matplotlib
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT)]  # tests of the tools, and of this checkout's fflib

matplotlib.use("agg")


def pytest_collection_modifyitems(items):
    """Whatever looks at the built pages is left out by `make unit`."""
    for item in items:
        if item.path.name == "test_pages.py":
            item.add_marker(pytest.mark.built)
