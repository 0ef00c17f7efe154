"""Run the code cells of notebooks without Jupyter: `make full`, and any machine that has only jax.

    python tools/run_notebook.py [--out FOLDER] [NOTEBOOK ...]

A NOTEBOOK is a path or the end of one (`theory/ntk`); without any, every chapter runs. Needs the
standard library and what the cells import. What a notebook prints and the figures it shows are
written to FOLDER/<notebook>: `log.txt`, `001.html`, …, all of them as `index.html`, and `run.json`
with the device, the versions, the date and the time it took. A failure names notebook and cell.
"""

from __future__ import annotations

import argparse
import ast
import importlib.metadata
import importlib.util
import json
import linecache
import os
import platform
import subprocess
import sys
import time
import traceback
import types
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def find(name: str) -> Path:
    """The notebook that `name` means: a path, or the end of one below book/."""
    path = Path(name)
    for candidate in (path, path.with_suffix(".ipynb")):
        if candidate.suffix == ".ipynb" and candidate.is_file():
            return candidate
    wanted = path.with_suffix(".ipynb").parts
    found = [
        p for p in sorted((ROOT / "book").rglob("*.ipynb")) if p.parts[-len(wanted) :] == wanted
    ]
    if len(found) != 1:
        have = " ".join(
            p.relative_to(ROOT / "book").with_suffix("").as_posix()
            for p in sorted((ROOT / "book").rglob("*.ipynb"))
        )
        raise SystemExit(f"{len(found) or 'no'} notebooks are called {name!r}; there are: {have}")
    return found[0]


def run_cell(source: str, name: str, namespace: dict) -> None:
    """Execute one cell; like Jupyter, show the value of an expression that ends it."""
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    tree = ast.parse(source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), namespace)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), name, "eval"), namespace)
        if hasattr(value, "_ipython_display_"):
            value._ipython_display_()
        elif value is not None and not source.rstrip().endswith(";"):
            print(value)


def run(notebook: Path) -> bool:
    """Execute every code cell in one namespace; False when a cell fails."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    for number, source in enumerate(sources, 1):
        name = f"<{notebook.name}, code cell {number}>"
        try:
            run_cell(source, name, module.__dict__)
        except Exception as error:
            sys.stdout.flush()
            frames = error.__traceback__.tb_next.tb_next if error.__traceback__.tb_next else None
            traceback.print_exception(error.with_traceback(frames))
            print(
                f"FAILED: {notebook}, code cell {number} of {len(sources)}: "
                f"{type(error).__name__}: {error}",
                file=sys.stderr,
            )
            return False
    return True


class Tee:
    """Writes to a stream and to a file."""

    def __init__(self, stream, file) -> None:
        self.stream, self.file = stream, file

    def write(self, text: str) -> int:
        self.file.write(text)
        return self.stream.write(text)

    def flush(self) -> None:
        self.file.flush()
        self.stream.flush()

    def __getattr__(self, name: str):
        return getattr(self.stream, name)


def record(notebook: Path, seconds: float, passed: bool) -> dict:
    """What is needed to tell where a result came from."""
    versions = {}
    for package in ("jax", "jaxlib", "numpy", "optax", "matplotlib"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    devices = []
    if "jax" in sys.modules:
        devices = [device.device_kind for device in sys.modules["jax"].devices()]
    return {
        "notebook": notebook.stem,
        "passed": passed,
        "scale": os.environ.get("FFLIB_SCALE") or "quick",
        "seconds": round(seconds, 1),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": versions,
        "devices": devices,
    }


def run_into(notebook: Path, folder: Path) -> bool:
    """Run `notebook`, leaving log, figures and record in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.html"):
        old.unlink()
    os.environ["FFLIB_OUT"] = str(folder.resolve())
    os.environ.setdefault("MPLBACKEND", "agg")
    if importlib.util.find_spec("fflib") is None:
        sys.path.insert(0, str(ROOT))
    start = time.perf_counter()
    with open(folder / "log.txt", "w", encoding="utf-8") as log:
        streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = Tee(sys.stdout, log), Tee(sys.stderr, log)
        try:
            passed = run(notebook)
        finally:
            sys.stdout, sys.stderr = streams
    seconds = time.perf_counter() - start
    (folder / "run.json").write_text(json.dumps(record(notebook, seconds, passed), indent=1) + "\n")
    pages = sorted(folder.glob("[0-9]*.html"))
    (folder / "index.html").write_text(
        "\n".join(page.read_text(encoding="utf-8") for page in pages), encoding="utf-8"
    )
    print(f"{notebook.stem}: {'passed' if passed else 'FAILED'} in {seconds:.1f} s; see {folder}")
    return passed


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the code cells of notebooks without Jupyter.")
    parser.add_argument("--out", type=Path, default=Path("_build/run"))
    parser.add_argument("notebooks", nargs="*")
    options = parser.parse_args()
    notebooks = [find(name) for name in options.notebooks]
    notebooks = notebooks or sorted((ROOT / "book").rglob("*.ipynb"))
    if len(notebooks) == 1:
        return 0 if run_into(notebooks[0], options.out / notebooks[0].stem) else 1
    # each in a process of its own, so that none leans on another
    command = [sys.executable, __file__, "--out", str(options.out)]
    failed = [n.stem for n in notebooks if subprocess.run([*command, str(n)]).returncode]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
