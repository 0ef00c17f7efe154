"""Settings that hold for every test."""

import os
import sys
from pathlib import Path

# Tests run two at a time, and OpenBLAS's threads would keep each other's cores busy with waiting.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before anything imports numpy

import matplotlib
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [
    str(ROOT / "tools"),
    str(ROOT / "tests"),
    str(ROOT / "_ext"),
    str(ROOT),
]  # the tools, helpers, extensions, this checkout's fflib

import xla
from pages import NoBrowser, launch

matplotlib.use("agg")

# What the tests compute stays as it is; `make check` runs them compiled as readers have them.
if "--xla_backend_optimization_level" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *xla.brief()]).strip()


def pytest_collection_modifyitems(items):
    """Whatever looks at the built pages is left out by `make unit`."""
    for item in items:
        if item.path.name == "test_pages.py":
            item.add_marker(pytest.mark.built)


def switches() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("FFLIB_")}


@pytest.fixture(autouse=True)
def switches_stay():
    """A test that leaves a switch of the library turned would decide how the next ones come out."""
    before = switches()
    yield
    assert switches() == before


@pytest.fixture(scope="module")
def chromium():
    """A browser for one test file. Where there is none its tests are skipped, but never with CI
    set.

    Closed before the next file starts: playwright allows one at a time in a process, and while it
    runs nothing else in that process can start an event loop.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("no playwright, so pages were not opened: pip install playwright")
    with sync_playwright() as playwright:
        try:
            browser = launch(playwright)
        except NoBrowser as error:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
        yield browser
        browser.close()
