"""Run the code cells of notebooks without Jupyter: `make full`, and any machine that has only jax.

    python tools/run_notebook.py [--out FOLDER] [--record] [NOTEBOOK ...]

A NOTEBOOK is a path or the end of one (`theory/ntk`); without any, every chapter runs. Needs the
standard library and what the cells import. What a notebook prints and the figures it shows are
written to FOLDER/<notebook>: `log.txt`, `001.html`, …, all of them as `index.html`, and `run.json`
with its claims, the device, the versions, the date and the time it took. A failure names notebook
and cell. At full scale a claim that does not hold is marked ✗ and the run goes on, since what comes
after it may have taken hours; it counts as a failure all the same.

`--record` keeps the `run.json` of a notebook that ran to its end at full scale as
`book/full_scale/<notebook>.json`, which the ledger shows.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import functools
import importlib.util
import json
import linecache
import os
import subprocess
import sys
import time
import traceback
import types
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "book" / "full_scale"


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


@contextlib.contextmanager
def listening(claims: list[dict]):
    """List what `show.check` is told meanwhile; at full scale a claim that does not hold stops
    nothing.
    """
    from fflib import show

    check, go_on = show.check, show.scale() == "full"

    @functools.wraps(check)
    def noting(claim, condition, detail="", **numbers):
        held = True
        try:
            check(claim, condition, detail, **numbers)
        except AssertionError:
            if not go_on:
                raise
            held = False
            print(f"✗ {claim}" + (f" ({detail})" if detail else ""))
        claims.append({"claim": claim, "detail": detail, "held": held})

    show.check = noting
    try:
        yield
    finally:
        show.check = check


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


def commit() -> str:
    """The commit of this checkout, with a + where files were changed since; "" without git."""
    command = [
        "git",
        "-C",
        str(ROOT),
        "describe",
        "--always",
        "--abbrev=12",
        "--dirty=+",
        "--exclude=*",
    ]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def record(notebook: Path, seconds: float, passed: bool, claims: list[dict]) -> dict:
    """What is needed to tell where a result came from, and what came out."""
    from fflib.experiments.records import circumstances

    return {
        "notebook": notebook.stem,
        "passed": passed,
        **circumstances(),
        "seconds": round(seconds, 1),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "claims": claims,
    }


def run_into(notebook: Path, folder: Path, keep: bool = False) -> bool:
    """Run `notebook`, leaving log, figures and record in `folder`; with `keep` the record goes to
    RECORDS too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.html"):
        old.unlink()
    os.environ["FFLIB_OUT"] = str(folder.resolve())
    os.environ.setdefault("MPLBACKEND", "agg")
    if importlib.util.find_spec("fflib") is None:
        sys.path.insert(0, str(ROOT))
    start, claims = time.perf_counter(), []
    with open(folder / "log.txt", "w", encoding="utf-8") as log:
        streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = Tee(sys.stdout, log), Tee(sys.stderr, log)
        try:
            with listening(claims):
                whole = run(notebook)
        finally:
            sys.stdout, sys.stderr = streams
    seconds = time.perf_counter() - start
    passed = whole and all(claim["held"] for claim in claims)
    made = (
        json.dumps(record(notebook, seconds, passed, claims), indent=1, ensure_ascii=False) + "\n"
    )
    (folder / "run.json").write_text(made, encoding="utf-8")
    if keep and whole and os.environ.get("FFLIB_SCALE") == "full":
        from fflib.files import replacing

        with replacing(
            RECORDS / f"{notebook.stem}.json"
        ) as file:  # a full disk leaves the record before
            file.write(made.encode())
            os.chmod(file.name, 0o644)
    pages = sorted(folder.glob("[0-9]*.html"))
    (folder / "index.html").write_text(
        "\n".join(page.read_text(encoding="utf-8") for page in pages), encoding="utf-8"
    )
    print(f"{notebook.stem}: {'passed' if passed else 'FAILED'} in {seconds:.1f} s; see {folder}")
    return passed


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the code cells of notebooks without Jupyter.")
    parser.add_argument("--out", type=Path, default=Path("_build/run"))
    parser.add_argument(
        "--record", action="store_true", help="keep what ran to its end at full scale"
    )
    parser.add_argument("notebooks", nargs="*")
    options = parser.parse_args()
    notebooks = [find(name) for name in options.notebooks]
    notebooks = notebooks or sorted((ROOT / "book").rglob("*.ipynb"))
    if len(notebooks) == 1:
        return 0 if run_into(notebooks[0], options.out / notebooks[0].stem, options.record) else 1
    # each in a process of its own, so that none leans on another
    command = [
        sys.executable,
        __file__,
        "--out",
        str(options.out),
        *(["--record"] if options.record else []),
    ]
    failed = [n.stem for n in notebooks if subprocess.run([*command, str(n)]).returncode]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
