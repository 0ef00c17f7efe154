"""The slow proofs: `make check`. Some minutes each; run before a release and weekly.

floors      the unit tests with the oldest versions that pyproject.toml allows
newest      the unit tests with another Python, where there is one, and the newest versions
alone       every notebook in an empty folder, with only the wheel of fflib and what it asks for
colab       the same with the versions that Colab has installed, where there is its Python
live        every notebook in a real JupyterLab, each slider moved by key and by pointer, guesses too
twice       two builds from nothing give the same numbers and the same ledger
killed      a training killed ten times at random moments ends where the undisturbed one ends
several     four devices, and two processes that share theirs, train what one device trains
remade      one random row of each record of Table 1, computed anew, agrees within 0.1 dB
kept        what chapters take from files, computed anew, is what they have, to 2 %
smoke       every experiment of Table 1 starts at full scale; seconds a step and memory
begun       every chapter's cells at full scale with a few steps a training; memory
twin        the recipe's PyTorch lines do what the library's do, where PyTorch is installed
guests      our mapping in networks of Flax, Equinox and PyTorch, those that are installed
jobs        the wheel with its base requirements alone does a picture, a recording and an equation

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
# Tests of the book and of the tools that make it, which need more than the library does.
BOOK_TESTS = (
    "test_pages.py",
    "test_export.py",
    "test_project.py",
    "test_typed.py",
    "test_paper.py",
)
AS_READERS = "--xla_backend_optimization_level=3"  # what XLA does unless told otherwise: see tests/conftest.py
# Output that may differ from run to run: a time taken.
TIMES = re.compile(r"\d+(\.\d+)? ?(ms|s|seconds|min|minutes|it/s)\b")
# The same number may be rounded to the next grey in a picture.
PICTURES = re.compile(r"base64,[A-Za-z0-9+/=]+")
# Tables of equal time differ from run to run; of these chapters only what the ledger holds is
# compared.
STOPWATCHED = ("encodings",)


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


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def environment(name: str, *requirements: str, python: str = sys.executable) -> Path:
    """A fresh virtual environment with `requirements`; returns its Python."""
    folder = WORK / name
    run(python, "-m", "venv", "--clear", folder)
    interpreter = folder / "bin" / "python"
    run(interpreter, "-m", "pip", "install", "-qq", *requirements)
    return interpreter


def unit_tests(python: Path, flags: str = "") -> str:
    """The unit tests that need nothing of the book; returns pytest's closing line.

    They are compiled as a reader's programs are, which `make test` leaves out to be done sooner."""
    tests = [
        path for path in sorted((ROOT / "tests").rglob("test_*.py")) if path.name not in BOOK_TESTS
    ]
    flags = f"{flags} {AS_READERS}".strip()
    return last_line(
        run(python, "-m", "pytest", "-q", *tests, PYTHONPATH=str(ROOT), XLA_FLAGS=flags)
    )


def versions(python: Path) -> str:
    code = (
        "import platform, jax, numpy, optax;"
        "found = [f'{m.__name__} {m.__version__}' for m in (jax, numpy, optax)];"
        "print('Python', platform.python_version(), *found)"
    )
    return last_line(run(python, "-c", code))


def library() -> list[str]:
    """What fflib needs, the extras for meshes and volumes among it."""
    extras = PROJECT["optional-dependencies"]
    return PROJECT["dependencies"] + extras["meshes"] + extras["volumes"]


def floors() -> str:
    from fflib import checks

    oldest = [re.sub(r">=", "==", line) for line in library()]
    pytest = next(
        line for line in PROJECT["optional-dependencies"]["test"] if line.startswith("pytest>")
    )
    # What the oldest matplotlib and ipywidgets call, newer versions of these two warn about.
    companions = ["pyparsing<3.3", "ipykernel==6.17.1"]
    python = environment("floors", *oldest, *companions, pytest)
    # The oldest jaxlib multiplies wrongly on a CPU without this. The notebooks set it, and fflib
    # warns
    # whoever does not, so these tests do what it says. A newer one may not know the word.
    forgetful = any(f"jax=={version}" in oldest for version in checks.FORGETFUL)
    return f"{versions(python)}: {unit_tests(python, checks.SWITCH if forgetful else '')}"


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
    names = {re.match(r"[\w-]+", line)[0] for line in library()} | {"pytest"}
    wanted = [
        line.partition("#")[0].strip()
        for line in lines
        if (name := re.match(r"[\w-]+", line)) and name[0] in names
    ]
    python = environment("newest", *wanted, python=found)
    return f"{versions(python)}: {unit_tests(python)}"


def wheel() -> Path:
    """The wheel of this checkout, freshly made."""
    wheels = WORK / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    run(sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--wheel-dir", wheels, ROOT)
    return next(wheels.glob("*.whl"))


def notebooks() -> list[Path]:
    return sorted((ROOT / "book").rglob("*.ipynb"))


def colab() -> str:
    python = shutil.which("python3.13")
    if not python or subprocess.run([python, "-V"], capture_output=True).returncode:
        raise Skip("Colab's Python, 3.13, is not on PATH")
    python = environment("colab", "-r", ROOT / "tools" / "colab.txt", python=python)
    return last_line(run(sys.executable, ROOT / "tools" / "colab.py", python, wheel()))


def live() -> str:
    python = environment("live", f"{wheel()}[meshes,volumes]", "jupyterlab>=4.2,<5")
    return last_line(
        run(sys.executable, ROOT / "tools" / "live.py", python.parent / "jupyter", *notebooks())
    )


def alone() -> str:
    python = environment("alone", f"{wheel()}[meshes,volumes]")
    for notebook in notebooks():
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
    return f"{len(notebooks())} notebooks ran with the wheel alone"


def numbers(build: Path) -> dict[str, list[str]]:
    """What every code cell of a build printed and showed, as text, without times, pictures and
    stopwatched chapters.

    Read where the build keeps what it executed; the notebooks in jupyter_execute hold no
    outputs."""
    from jupyter_cache import get_cache

    found = {}
    for folder in (build / "_build" / ".jupyter_cache").iterdir():
        cache = get_cache(folder)
        for record in sorted(cache.list_cache_records(), key=lambda record: record.pk):
            texts = []
            for cell in cache.get_cache_bundle(record.pk).nb.cells:
                printed, shown = "", []
                for output in cell.get("outputs", []):
                    bundle = output.get("data", {})
                    if (
                        "text" in output
                    ):  # one print after another arrives in one piece or in several
                        printed += output["text"]
                    else:
                        shown.append(bundle.get("text/html") or bundle.get("text/plain") or "")
                texts += [
                    TIMES.sub("<time>", PICTURES.sub("<picture>", text))
                    for text in (printed, *shown)
                    if text
                ]
            found[Path(record.uri).stem] = texts
    return {name: texts for name, texts in found.items() if name not in STOPWATCHED}


def silent(printed: dict[str, list[str]]) -> list[str]:
    """Chapters that printed and showed nothing, of which there should be none."""
    return [name for name, texts in printed.items() if not texts]


def ledger(build: Path) -> list[tuple[str, str]]:
    """What a build claims, line by line: (chapter, everything but the time it took and when)."""
    path = build / "_build" / "html" / "book" / "reference" / "ledger.json"
    book = json.loads(path.read_text(encoding="utf-8"))
    lines = []
    for chapter in book["chapters"]:
        about = {
            k: v for k, v in chapter.items() if k not in ("date", "seconds", "claims", "attempts")
        }
        lines += [(chapter["chapter"], about)]
        lines += [(chapter["chapter"], entry) for entry in chapter["claims"] + chapter["attempts"]]
    lines += [("recorded", record) for record in book["records"] + book["published"]]
    return [
        (where, TIMES.sub("<time>", json.dumps(line, ensure_ascii=False))) for where, line in lines
    ]


def differences(first: Path, second: Path) -> list[str]:
    """Where two builds differ, in what their cells printed or in what their ledgers say."""
    printed, again = numbers(first), numbers(second)
    differ = [
        f"{name}, output {i + 1}"
        for name in sorted(printed.keys() | again.keys())
        for i, (a, b) in enumerate(
            itertools.zip_longest(printed.get(name, []), again.get(name, []))
        )
        if a != b
    ]
    claimed = itertools.zip_longest(ledger(first), ledger(second))
    return differ + [f"ledger: {a} against {b}" for a, b in claimed if a != b]


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
        builds.append(target)
    if differ := differences(*builds):
        raise RuntimeError("the two builds differ:\n" + "\n".join(differ))
    printed, claimed = numbers(builds[0]), ledger(builds[0])
    if not claimed or not printed or silent(printed):
        raise RuntimeError(
            f"nothing to compare: {len(claimed)} claims, no outputs of {silent(printed)}"
        )
    return f"{sum(map(len, printed.values()))} outputs of {len(printed)} pages and {len(claimed)} lines of the ledger are equal"


def killed() -> str:
    return last_line(run(sys.executable, ROOT / "tools" / "killed.py", "10", PYTHONPATH=str(ROOT)))


def several() -> str:
    tests, how = (
        ROOT / "tests" / "test_parallel.py",
        {"FFLIB_THOROUGH": "1", "XLA_FLAGS": AS_READERS},
    )
    return last_line(run(sys.executable, "-m", "pytest", "-q", tests, PYTHONPATH=str(ROOT), **how))


def smoke() -> str:
    return "\n" + run(sys.executable, ROOT / "tools" / "smoke.py", PYTHONPATH=str(ROOT))


def remade() -> str:
    return "\n" + run(sys.executable, ROOT / "tools" / "remake.py", PYTHONPATH=str(ROOT))


def kept() -> str:
    """The chapters that read kept computations make them anew, and their claims hold."""
    using = [p for p in notebooks() if "kept import kept" in p.read_text(encoding="utf-8")]
    with tempfile.TemporaryDirectory() as folder:
        how = dict(PYTHONPATH=str(ROOT), FFLIB_STATIC="1", FFLIB_REMAKE=folder)
        for path in using:
            run(sys.executable, ROOT / "tools/run_notebook.py", "--out", folder, path, **how)
        import numpy as np

        made = sorted(Path(folder).glob("*.npz"))
        if not made:
            raise RuntimeError("no chapter made anything anew")
        for path in made:
            new, old = np.load(path), np.load(ROOT / "fflib/results/kept" / path.name)
            for key in set(old) - {"about", "seconds"}:
                # small eigenvalues, of the largest, are noise
                room = 0.02 * abs(old[key]).max() if key.endswith(" lam") else 0.0
                np.testing.assert_allclose(new[key], old[key], 0.02, room, err_msg=path.name)
    return f"made anew: {', '.join(p.stem for p in made)}"


def begun() -> str:
    return "\n" + run(sys.executable, ROOT / "tools" / "begin.py", PYTHONPATH=str(ROOT))


def twin() -> str:
    for python in (sys.executable, shutil.which("python3")):
        if (
            python
            and not subprocess.run(
                [python, "-c", "import torch, jax, optax"], capture_output=True
            ).returncode
        ):
            return last_line(run(python, ROOT / "tools" / "twin.py", PYTHONPATH=str(ROOT)))
    raise Skip("no Python here has PyTorch and jax")


def guests() -> str:
    command = [sys.executable, ROOT / "tools" / "guests.py"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode == 2:
        raise Skip(f"none of the libraries is installed: {last_line(done.stdout)}")
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    return last_line(done.stdout)


BASE_JOBS = ("A picture that is not square", "A recording", "An equation")


def jobs() -> str:
    """The cells of own_data before its first job and of three jobs, in an empty environment."""
    python = environment("jobs", wheel())
    page = json.loads((ROOT / "book/reference/own_data.ipynb").read_text(encoding="utf-8"))
    kept, wanted, done = [], True, []
    for cell in page["cells"]:
        text = "".join(cell["source"])
        if heads := re.findall(r"^## (.+)$", text, re.M):
            wanted = heads[-1] in BASE_JOBS
            done += heads[-1:] * wanted
        kept += [cell] * (wanted and cell["cell_type"] == "code")
    if tuple(done) != BASE_JOBS:
        raise RuntimeError(f"own_data has {done} of {BASE_JOBS}")
    with tempfile.TemporaryDirectory() as empty:
        Path(empty, "jobs.ipynb").write_text(json.dumps(page | {"cells": kept}), encoding="utf-8")
        shutil.copy(ROOT / "tools" / "run_notebook.py", empty)
        run(python, "run_notebook.py", "jobs.ipynb", cwd=Path(empty), PYTHONPATH="")
    return f"{versions(python)}: {', '.join(done)}"


STEPS = {
    step.__name__: step
    for step in (
        floors,
        newest,
        alone,
        colab,
        live,
        twice,
        killed,
        several,
        remade,
        kept,
        smoke,
        begun,
        twin,
        guests,
        jobs,
    )
}


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
