"""Run the paper's experiments at full scale and record the results: `make results`.

    python tools/experiments.py [--together N] [--limit N] [--seeds 0 1 …] [NAME …]

A NAME is an experiment (`image_natural`) or the beginning of several (`image`); without any, all
run. Each writes `fflib/results/NAME.json`, which the chapters show. An interrupted run goes on where
it stopped. `--together` trains so many items as one program (default: all; fewer need less memory).
`--limit` runs the first few items only, and writes to `_build/trial` instead.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = (
    "fflib.experiments.image",
    "fflib.experiments.shape",
    "fflib.experiments.scans",
    "fflib.experiments.nerf",
)  # each has EXPERIMENTS: name -> Experiment


def experiments() -> dict:
    """Every experiment by its name."""
    return {
        k: v for module in MODULES for k, v in importlib.import_module(module).EXPERIMENTS.items()
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Run the paper's experiments at full scale and record them."
    )
    parser.add_argument("--together", type=int, help="items trained as one program (default: all)")
    parser.add_argument("--limit", type=int, help="only the first so many items, into _build/trial")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args(arguments)
    os.environ.setdefault("FFLIB_SCALE", "full")
    sys.path.insert(0, str(ROOT))
    from fflib.experiments.protocol import run

    known = experiments()
    chosen = [
        k for k in known if not options.names or any(k.startswith(name) for name in options.names)
    ]
    if not chosen:
        parser.error(f"there is no {', '.join(options.names)}; there are: {' '.join(known)}")
    for name in chosen:
        made = run(
            name,
            known[name],
            seeds=options.seeds,
            together=options.together,
            limit=options.limit,
            folder=ROOT / "_build/trial" if options.limit else None,
            partial=ROOT / "_build/results",
        )
        print(
            f"{name}: recorded {len(made['rows'])} numbers in {made['wall_s']:.0f} s on {made['device']}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
