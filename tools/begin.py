"""Every chapter's code at full scale with trainings of a few steps: does the full branch run, in
what memory?

    python tools/begin.py [NOTEBOOK ...]

Points, pictures, networks and minibatches are those of the full scale, only the steps are few: as
many as the training has times of recording, at most 12; where it has more, the last is repeated.
Claims are not judged, since nothing is learned, and nothing is written. A NOTEBOOK is a path or the
end of one (`theory/ntk`); without any, every chapter is begun. Each runs in a process of its own,
so that its peak memory can be told.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import pkgutil
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT)]
LEAST, MOST = 2, 12  # steps of a training that records nothing on its way, and of one that does


def shortened(fit, told: list):
    """The training loop with fewer steps, each of which is recorded if any was; counts trainings in
    ``told``.
    """

    @functools.wraps(fit)
    def begun(*args, steps, every=None, **how):
        looks = 1 if every is None else -(-steps // every)
        told.append(steps)
        few = min(steps, MOST, looks if every else LEAST)
        params, history = fit(*args, steps=few, every=every and 1, **how)
        absent = looks + 1 - len(history["step"])
        return params, {
            k: np.concatenate([v, np.repeat(v[-1:], absent, 0)]) for k, v in history.items()
        }

    return begun


def begin(notebook: Path) -> int:
    """Run a notebook's cells in this process; how many trainings it began."""
    import run_notebook

    import fflib
    from fflib import show

    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(fflib.__path__, "fflib.")
    ]
    real, told = importlib.import_module("fflib.training").fit, []
    for module in (fflib, *modules):
        if getattr(module, "fit", None) is real:
            module.fit = shortened(real, told)
    show.check = lambda claim, condition, detail="", **published: None
    if not run_notebook.run(notebook):
        raise SystemExit(1)
    return len(told)


def apart(script: str, name: str) -> dict | None:
    """What ``script --begin NAME`` prints last, from a process of its own at full scale; None, and
    told, where it fails.
    """
    start = time.perf_counter()
    full = {**os.environ, "FFLIB_SCALE": "full", "FFLIB_STATIC": "1", "MPLBACKEND": "agg"}
    command = [sys.executable, script, "--begin", name]
    done = subprocess.run(command, capture_output=True, text=True, env=full)
    seconds = time.perf_counter() - start
    if done.returncode:
        said = done.stderr[-2000:]
        print(f"{Path(name).stem}: FAILED after {seconds:.0f} s\n{said}", flush=True)
        return None
    return json.loads(done.stdout.splitlines()[-1]) | {"seconds": seconds}


def tell(**numbers) -> None:
    """For :func:`apart`: numbers, and the peak memory of this process in GB."""
    print(json.dumps({"gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20} | numbers))


def main(names: list[str]) -> int:
    import run_notebook

    everything = sorted((ROOT / "book").rglob("*.ipynb"))
    failed = 0
    for notebook in [run_notebook.find(name) for name in names] or everything:
        told = apart(__file__, str(notebook))
        if told is None:
            failed += 1
            continue
        about = f"{told['fits']} trainings begun, {told['gb']:.1f} GB, {told['seconds']:.0f} s"
        print(f"{notebook.stem}: {about}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--begin"]:
        tell(fits=begin(Path(sys.argv[2])))
        sys.exit()
    sys.exit(main(sys.argv[1:]))
