"""The house keeps its rooms: who may import whom, what an import may do, and how large the root is."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fflib

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("theory", "operators", "encodings", "worlds", "experiments", "show")
# room -> the rooms it may import besides itself and the root, or single modules of them
MAY = {
    "": (),
    "theory": (),
    "operators": (),
    "encodings": (),
    "worlds": ("operators",),
    "experiments": ("theory", "operators", "encodings", "worlds"),
    "show": (),
}
EXCEPTIONS = {"fflib.operators.derivatives": ("fflib.theory.kernels",)}
HEAVY = ("igl", "trimesh", "nibabel", "mrcfile", "ipywidgets", "IPython", "scipy.ndimage")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(name: str) -> str:
    second = (*name.split("."), "")[1]
    return second if second in ROOMS else ""


def imported(path: Path) -> set[str]:
    """Every module of the library that a file imports anywhere, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relative to itself"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return {name for name in found if name.split(".")[0] == "fflib"}


FILES = {module_name(path): path for path in sorted((ROOT / "fflib").rglob("*.py"))}
MODULES = set(FILES)
IMPORTS = {name: imported(path) for name, path in FILES.items()}


@pytest.mark.parametrize("name", FILES)
def test_a_module_imports_only_what_its_room_may(name):
    here = room(name)
    allowed = ("", here, *MAY[here])
    strangers = {
        other
        for other in IMPORTS[name]
        if room(other) not in allowed and other not in EXCEPTIONS.get(name, ())
    }
    assert not strangers, f"{name} may not import {sorted(strangers)}"


def test_no_circles():
    done: list[str] = []

    def visit(name: str, path: tuple[str, ...]):
        assert name not in path, " → ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in sorted(IMPORTS.get(name, ())):
                visit(other, (*path, name))
            done.append(name)

    for name in FILES:
        visit(name, ())


def test_importing_all_but_show_loads_nothing_heavy_and_sets_nothing():
    """In a fresh process: no widgets, no meshes, no setting of numpy, jax or matplotlib changed."""
    names = [name for name in FILES if room(name) != "show"]
    code = (
        "import importlib, sys, jax, matplotlib, numpy\n"
        "settings = lambda: [dict(numpy.geterr()), dict(jax.config.values), {**matplotlib.rcParams}]\n"
        "before = settings()\n"
        f"for name in {names}: importlib.import_module(name)\n"
        f"print([name for name in {HEAVY} if name in sys.modules], before == settings())\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert told.stdout == "[] True\n", told.stdout + told.stderr


def test_the_root_can_be_read_in_one_sitting():
    lines = sum(
        len(FILES[name].read_text("utf-8").splitlines()) for name in FILES if not room(name)
    )
    assert lines <= 1068, f"the root has {lines} lines"  # wanted: 900


def test_the_root_hands_out_its_own_names_only():
    for name in fflib.__all__:
        home = getattr(fflib, name).__module__
        assert room(home) == "", f"fflib.{name} lives in {home}"
        assert f"fflib.{name.lower()}" not in MODULES, f"fflib.{name} hides a module"


def test_every_module_is_tested():
    tested = set().union(*map(imported, (ROOT / "tests").rglob("test_*.py")))
    through = {"fflib.show"}  # whose modules are tested through it
    missing = [n for n in MODULES - tested if not any(n.startswith(f"{t}.") for t in through)]
    rooms = {"fflib", *(f"fflib.{room}" for room in ROOMS)}
    assert not set(missing) - rooms, f"no test imports {sorted(set(missing) - rooms)}"
