"""A training that is killed again and again must end where the undisturbed one ends: `make check`.

    python tools/killed.py [KILLS]

A small radiance field is trained in a process of its own, once in peace and once killed with
SIGKILL at KILLS random moments (default ten), each time started again from its checkpoint. The
parameters and the history of both must be equal bit for bit.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
STEPS, EVERY = 3000, 20


def train(checkpoint: str, result: str) -> None:
    """The training; writes its parameters and history when it is done."""
    import jax

    from fflib.experiments import checkpoints, nerf
    from fflib.operators import cameras
    from fflib.worlds import scenes

    checkpoints.SAVE_SECONDS = 0.0  # a checkpoint at every chance: many to be torn in two
    setting = nerf.SceneSetting(
        STEPS, 16, 12, {"rest": 2e-3}, {"gaussian": 4.0}, rays=32, samples=8, warmup=50
    )
    views = scenes.views(16, cameras.hemisphere(8), oversample=1)
    keys = jax.random.split(jax.random.key(0), 2)
    fields, history = nerf.train(
        views, keys, "gaussian", setting, every=EVERY, checkpoint=checkpoint, progress=False
    )
    arrays = {f"param_{i}": x for i, x in enumerate(jax.tree.leaves([f.params for f in fields]))}
    np.savez(result, **arrays, **history)


def start(folder: Path) -> subprocess.Popen:
    command = [sys.executable, __file__, "--train", folder / "run.npz", folder / "result.npz"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [str(part) for part in command], stderr=subprocess.PIPE, text=True, env=environment
    )


def finish(process: subprocess.Popen) -> None:
    error = process.communicate()[1]
    if process.returncode:
        raise RuntimeError(f"the training failed: {error[-2000:]}")


def first_checkpoint(folder: Path, process: subprocess.Popen, last: int) -> None:
    """Wait until this process has written a checkpoint of its own, or is done."""
    while process.poll() is None and _modified(folder) == last:
        time.sleep(0.002)


def wait(folder: Path, seconds: float, far: int) -> None:
    """Wait, but not past step ``far``: on a machine that has become faster the training would be
    over.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end and _step(folder) < far:
        time.sleep(0.002)


def _modified(folder: Path) -> int:
    path = folder / "run.npz"
    return path.stat().st_mtime_ns if path.exists() else 0


def compare(kills: int, seed: int = 0) -> str:
    """Train in peace and with kills; a sentence, or an error when they differ."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        calm, hunted = Path(folder) / "calm", Path(folder) / "hunted"
        calm.mkdir(), hunted.mkdir()
        begin = time.monotonic()
        process = start(calm)
        first_checkpoint(calm, process, 0)
        training = time.monotonic()
        finish(process)
        lasts = time.monotonic() - training
        reached = []
        while len(reached) < kills:
            last, far = _modified(hunted), STEPS * (len(reached) + 1) // (kills + 1)
            process = start(hunted)
            if rng.random() < 0.8:  # else the kill may come while it imports or compiles
                first_checkpoint(hunted, process, last)
                wait(hunted, rng.uniform(0, lasts / kills), far)
            else:
                wait(hunted, rng.uniform(0, training - begin), far)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            if process.returncode != -signal.SIGKILL:
                raise RuntimeError(
                    f"done after {len(reached)} of {kills} kills: give it more steps"
                )
            reached.append(_step(hunted))
        finish(start(hunted))
        with np.load(calm / "result.npz") as a, np.load(hunted / "result.npz") as b:
            differ = [name for name in a if not np.array_equal(a[name], b[name], equal_nan=True)]
            if differ or list(a) != list(b):
                raise RuntimeError(f"after {kills} kills these differ: {differ}")
            arrays = len(a.files)
        left = [path.name for path in hunted.iterdir() if path.suffix == ".tmp"]
    if left:
        raise RuntimeError(f"half-written files were left behind: {left}")
    return f"killed {kills} times, the last checkpoints at steps {reached} of {STEPS}; all {arrays} arrays are equal bit for bit"


def _step(folder: Path) -> int:
    if not (folder / "run.npz").exists():
        return 0
    with np.load(folder / "run.npz") as file:
        return int(file["history_step"][-1])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--train"]:
        train(*sys.argv[2:])
    else:
        print(compare(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
