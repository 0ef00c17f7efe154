"""Run the paper's experiments and record the results: `make results`.

    python tools/experiments.py [--scale reduced|full] [--minutes M] [--limit N] [--seeds 0 1 …]
    [NAME …]

A NAME is an experiment (`image_natural`) or the beginning of several (`image`); without any, the
four rows of all run and row zero, which has no network; with `ours` the fifth. `reduced` is what two cores can do in some hours
(NAME_reduced), `full` the paper's settings; on a CPU the first is meant, else the second. Each
finished training is written at once to `fflib/results/NAME.json`, which the chapters show; stopped
at any moment, the run goes on where it was. `--limit` runs the first few items only, and writes to
`_build/trial` instead.
"""

from __future__ import annotations

import argparse
import importlib
import math
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = (
    "fflib.experiments.image",
    "fflib.experiments.scans",
    "fflib.experiments.shape",
    "fflib.experiments.nerf",
    "fflib.experiments.plain",
)  # each has EXPERIMENTS: name -> Experiment


def experiments() -> dict:
    """Every experiment by its name."""
    return {
        k: v for module in MODULES for k, v in importlib.import_module(module).EXPERIMENTS.items()
    }


def commit() -> str:
    """The commit of this checkout, "+" where the library differs from it; "" where there is none."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    code = [":/fflib", ":/tools", ":!/fflib/results/*.json"]
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--", *code], capture_output=True, text=True
    )
    return head.stdout.strip() + "+" * bool(changed.stdout.strip())


def chosen(names: list[str], scale: str) -> dict:
    """The experiments of a scale whose names begin so; without names those of the paper's rows."""
    fifth = any("ours" in name for name in names)
    return {
        k: v
        for k, v in experiments().items()
        if v.scale == scale
        and k.endswith("_ours") == fifth
        and any(k.startswith(name) or name == "ours" for name in names or [""])
    }


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        description="Run the paper's experiments and record the results."
    )
    parser.add_argument(
        "--scale", choices=("reduced", "full"), help="default: reduced on a CPU, else full"
    )
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="start nothing that would take longer"
    )
    parser.add_argument("--limit", type=int, help="only the first so many items, into _build/trial")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(ROOT))
    import jax

    from fflib.experiments.protocol import run

    scale = options.scale or ("reduced" if jax.default_backend() == "cpu" else "full")
    found = chosen(options.names, scale)
    if not found:
        known = " ".join(k for k, v in experiments().items() if v.scale == scale)
        parser.error(f"there is no {', '.join(options.names)} at {scale} scale; there are: {known}")
    run(
        found,
        seeds=options.seeds,
        limit=options.limit,
        minutes=options.minutes,
        folder=ROOT / "_build/trial" if options.limit else None,
        command=" ".join(["python tools/experiments.py", *arguments]),
        commit=commit(),
        say=lambda line: print(line, flush=True),
    )
    return 0


if __name__ == "__main__":
    # Stopped at once, in the middle of a training too: what is finished is on the disk, and what is
    # not is not told.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_DFL)
    sys.exit(main())
