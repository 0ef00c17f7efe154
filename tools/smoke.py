"""Two steps of every experiment of Table 1 at full scale: does it start, how long is a step, what
memory?

    python tools/smoke.py [NAME ...]

Full data, network and minibatch, the Gaussian mapping (or the fifth row's), one item; only the
number of steps is small. Each experiment runs in a process of its own, so that its peak memory can
be told, and writes nothing that lasts. Public data come from FFLIB_DATA or are fetched; what cannot
be had is left out, and said. The scene of the radiance field is scored on every fourth pixel of
every fourth row.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT)]
STEPS = 2

from begin import apart, tell
from experiments import experiments


def trial(name: str) -> dict:
    """Run one experiment for two steps; seconds a step (compiled), and to compile."""
    import jax

    from fflib.experiments import nerf
    from fflib.experiments.protocol import run

    loop, told = sys.modules["fflib.training"], []
    chunk = loop._chunk

    def timed(*arrays, **how):
        start = time.perf_counter()
        compiled = chunk.lower(*arrays, **how).compile()
        ready = time.perf_counter()
        out = jax.block_until_ready(compiled(*arrays))
        told.append((ready - start, (time.perf_counter() - ready) / how["steps"]))
        return out

    loop._chunk = timed
    lego = nerf.lego
    nerf.lego = lambda size: (lego(size)[0], coarser(lego(size)[1]))
    with tempfile.TemporaryDirectory() as folder:
        whole = experiments()[name]
        how = whole.solve.keywords
        how |= {"setting": dataclasses.replace(how["setting"], steps=STEPS)}
        if "folder" in inspect.signature(whole.solve.func).parameters:
            how |= {"folder": folder}
        one = "gaussian" if "gaussian" in whole.mappings else whole.mappings[0]
        short = whole._replace(solve=partial(whole.solve.func, **how), mappings=(one,))
        said = []
        made = run({name: short}, limit=1, folder=folder, say=said.append).get(name)
        if made is None:
            return {"missing": said[0]}
    score = {row["metric"]: round(row["value"], 3) for row in made["rows"]}
    return {"compile": told[0][0], "step": told[0][1], "score": score}


def coarser(views, every: int = 4):
    """The same cameras with fewer, larger pixels: every so manieth, from the middle of the block."""
    images = views.images[:, every // 2 :: every, every // 2 :: every]
    return dataclasses.replace(views, images=images, lens=views.lens / every)


def main(names: list[str]) -> int:
    known = [k for k, v in experiments().items() if v.scale == "full" and not k.endswith("_plain")]
    if unknown := set(names) - set(known):
        print(
            f"there is no {', '.join(sorted(unknown))}; there are: {' '.join(known)}",
            file=sys.stderr,
        )
        return 2
    failed = 0
    for name in names or known:
        told = apart(__file__, name)
        if told is None:
            failed += 1
        elif "missing" in told:
            print(told["missing"], flush=True)
        else:
            print(
                f"{name}: {told['step']:.2f} s a step, {told['compile']:.1f} s to compile, "
                f"{told['gb']:.1f} GB at most, {told['seconds']:.0f} s in all; after {STEPS} steps "
                f"{told['score']}",
                flush=True,
            )
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--begin"]:
        tell(**trial(sys.argv[2]))
        sys.exit()
    sys.exit(main(sys.argv[1:]))
