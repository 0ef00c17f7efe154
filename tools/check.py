"""The slow proofs: `make check`. Some minutes each; run before a release and weekly.

floors      the unit tests with the oldest versions that pyproject.toml allows
newest      the unit tests with another Python, where there is one, and the newest versions
alone       every notebook in an empty folder, with only the wheel of fflib and what it asks for
twice       two builds from nothing give the same numbers
killed      a training killed ten times at random moments ends where the undisturbed one ends
several     four devices, and two processes that share theirs, train what one device trains
smoke       every experiment of Table 1 starts at full scale; seconds a step and memory
twin        the recipe's PyTorch lines do what the library's do, where PyTorch is installed

    python tools/check.py [STEP ...]     (all without any)

Each step prints its name and how it went. A step that cannot be tried here says so in a line.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "_build" / "check"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Output that may differ from run to run: a time taken.
TIMES = re.compile(r"\d+(\.\d+)? ?(ms|s|seconds|min|minutes|it/s)\b")


class Skip(Exception):
    """The step cannot be tried on this machine."""


def run(*command, cwd: Path = ROOT, **env: str) -> str:
    """Run a command quietly; an error shows the end of what it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}")
    return done.stdout


def environment(name: str, *requirements: str, python: str = sys.executable) -> Path:
    """A fresh virtual environment with `requirements`; returns its Python."""
    folder = WORK / name
    run(python, "-m", "venv", "--clear", folder)
    interpreter = folder / "bin" / "python"
    run(interpreter, "-m", "pip", "install", "-qq", *requirements)
    return interpreter


def unit_tests(python: Path) -> str:
    """The unit tests that need nothing of the book; returns pytest's closing line."""
    tests = [
        path
        for path in sorted((ROOT / "tests").glob("test_*.py"))
        if path.name not in ("test_pages.py", "test_export.py", "test_project.py")
    ]
    return run(python, "-m", "pytest", "-q", *tests, PYTHONPATH=str(ROOT)).strip().splitlines()[-1]


def versions(python: Path) -> str:
    code = (
        "import platform, jax, numpy, optax;"
        "found = [f'{m.__name__} {m.__version__}' for m in (jax, numpy, optax)];"
        "print('Python', platform.python_version(), *found)"
    )
    return run(python, "-c", code).strip().splitlines()[-1]


def floors() -> str:
    oldest = [re.sub(r">=", "==", line) for line in PROJECT["dependencies"]]
    pytest = next(
        line for line in PROJECT["optional-dependencies"]["test"] if line.startswith("pytest>")
    )
    # What the oldest matplotlib and ipywidgets call, newer versions of these two warn about.
    companions = ["pyparsing<3.3", "ipykernel==6.17.1"]
    python = environment("floors", *oldest, *companions, pytest)
    return f"{versions(python)}: {unit_tests(python)}"


def newest() -> str:
    here = "{}.{}".format(*sys.version_info)
    found = None
    for name in ("3.14", "3.13", "3.12", "3.11"):
        path = shutil.which(f"python{name}")
        # a name on PATH may be a stand-in that does not run
        if (
            name != here
            and path
            and subprocess.run([path, "-V"], capture_output=True).returncode == 0
        ):
            found = path
            break
    if found is None:
        raise Skip(f"no other Python than {here} on PATH")
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = {re.match(r"[\w-]+", line)[0] for line in PROJECT["dependencies"]} | {"pytest"}
    wanted = [
        line.partition("#")[0].strip()
        for line in lines
        if (name := re.match(r"[\w-]+", line)) and name[0] in names
    ]
    python = environment("newest", *wanted, python=found)
    return f"{versions(python)}: {unit_tests(python)}"


def alone() -> str:
    wheels = WORK / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    run(sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--wheel-dir", wheels, ROOT)
    python = environment("alone", *wheels.glob("*.whl"))
    notebooks = sorted((ROOT / "book").rglob("*.ipynb"))
    for notebook in notebooks:
        with tempfile.TemporaryDirectory() as empty:
            shutil.copy(notebook, empty)
            shutil.copy(ROOT / "tools" / "run_notebook.py", empty)
            run(
                python,
                "run_notebook.py",
                notebook.name,
                cwd=Path(empty),
                PYTHONPATH="",
                FFLIB_SCALE="quick",
            )
            print(f"    {notebook.relative_to(ROOT)}", flush=True)
    return f"{len(notebooks)} notebooks ran with the wheel alone"


def numbers(build: Path) -> dict[str, list[str]]:
    """What every code cell of a build printed, as text, without the times."""
    found = {}
    for path in sorted((build / "_build" / "jupyter_execute").rglob("*.ipynb")):
        texts = []
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            # One print after another arrives in one piece or in several, and myst-nb, which joins
            # them for the page, leaves here the whole and then its parts again.
            printing = False
            for output in cell.get("outputs", []):
                bundle = output.get("data", {})
                text = output.get("text") or bundle.get("text/html") or bundle.get("text/plain") or ""
                text = TIMES.sub("<time>", "".join(text))
                if printing and "text" in output:
                    texts[-1] += "" if texts[-1].endswith(text) else text
                else:
                    texts.append(text)
                printing = "text" in output
        found[path.stem] = texts
    return found


def twice() -> str:
    builds = []
    for name in ("first", "second"):
        target = WORK / name
        shutil.rmtree(target, ignore_errors=True)
        run(
            sys.executable,
            "-c",
            "from jupyter_book.cli.main import main; main()",
            "build",
            ".",
            "-W",
            "-n",
            "--keep-going",
            "--path-output",
            target,
        )
        builds.append(numbers(target))
    first, second = builds
    differ = [
        f"{name}, output {i + 1}"
        for name in first
        for i, (a, b) in enumerate(itertools.zip_longest(first[name], second.get(name, [])))
        if a != b
    ]
    if not first or differ:
        raise RuntimeError(f"the two builds differ: {differ or 'there are no chapters'}")
    return f"{sum(map(len, first.values()))} outputs of {len(first)} pages are equal"


def killed() -> str:
    return run(sys.executable, ROOT / "tools" / "killed.py", "10", PYTHONPATH=str(ROOT)).strip().splitlines()[-1]


def several() -> str:
    tests = ROOT / "tests" / "test_parallel.py"
    found = run(sys.executable, "-m", "pytest", "-q", tests, PYTHONPATH=str(ROOT), FFLIB_THOROUGH="1")
    return found.strip().splitlines()[-1]


def smoke() -> str:
    return "\n" + run(sys.executable, ROOT / "tools" / "smoke.py", PYTHONPATH=str(ROOT))


def twin() -> str:
    for python in (sys.executable, shutil.which("python3")):
        if python and not subprocess.run([python, "-c", "import torch, jax, optax"], capture_output=True).returncode:
            return run(python, ROOT / "tools" / "twin.py", PYTHONPATH=str(ROOT)).strip().splitlines()[-1]
    raise Skip("no Python here has PyTorch and jax")


STEPS = {step.__name__: step for step in (floors, newest, alone, twice, killed, several, smoke, twin)}


def main() -> int:
    chosen = sys.argv[1:] or list(STEPS)
    if unknown := set(chosen) - set(STEPS):
        print(f"no step {sorted(unknown)}; there are: {', '.join(STEPS)}", file=sys.stderr)
        return 2
    failed = 0
    for name in chosen:
        start = time.perf_counter()
        print(f"{name} …", flush=True)
        try:
            result = STEPS[name]()
            print(f"{name}: passed in {time.perf_counter() - start:.0f} s: {result}")
        except Skip as reason:
            print(f"{name}: skipped: {reason}")
        except RuntimeError as error:
            failed += 1
            print(f"{name}: FAILED\n{error}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
