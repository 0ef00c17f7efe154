"""Train networks at many scales and keep what each reached: what suggestions are judged by.

    python tools/scales.py                  # every setting that is not recorded yet, piece by piece
    python tools/scales.py --count          # what there is to do, and what it takes
    python tools/scales.py --minutes 25 --half calibration narrow short
    python tools/scales.py --judge COMMIT   # what suggestions, frozen there, lose on all that is

A setting is a network and its training; there are enough to cover widths, frequencies, depths,
batches, steps and rates. An item is a photograph, a page of text or a line, seen at every second
point along each axis and judged in between. Half of the items are for calibrating, the other half
for judging. All scales of an item are one program; then `fflib/results/scale/NAME.json` is
written anew, so that whoever is interrupted, or runs out of minutes, goes on from there. A number
is the mean PSNR over the last 100 steps, every tenth looked at.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.interpolate import CubicSpline

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fflib import data, features, metrics
from fflib.experiments import records
from fflib.network import MLP, mlp
from fflib.theory.scale import suggest_scale
from fflib.training import fit
from fflib.worlds import pictures
from fflib.worlds.pictures import photographs, text_image

FOLDER = records.FOLDER / "scale"
SEEDS = (0, 1)
LOOKS, EVERY = 11, 10
LINE = 512  # points of a line


@dataclasses.dataclass(frozen=True)
class Setting:
    """A network, its training, and the pixels along a side of the pictures."""

    width: int
    m: int
    depth: int
    steps: int
    rate: float
    batch: int | None = None
    size: int = 128

    def model(self, d_out: int) -> MLP:
        """The network; pictures end in a sigmoid, lines do not."""
        output = "sigmoid" if d_out == 3 else None
        return mlp(2 * self.m, self.width, self.depth, d_out, output=output, biases=0.01)

    def scales(self, d: int) -> np.ndarray:
        """Half octaves for pictures, octaves for lines, from one cycle on."""
        if d == 1:
            return 2.0 ** np.arange(9)
        return 2.0 ** (np.arange(9 + 2 * (self.size > 128)) / 2)

    def work(self, item: str) -> float:
        """Multiplications and additions for an item, in units of 10¹²."""
        line = item.startswith("line")
        seen = LINE // 2 if line else (self.size // 2) ** 2
        in_batch = min(seen, self.batch or seen)
        fans = self.model(1 if line else 3).fans
        looks = seen * self.steps / EVERY / 3
        passes = in_batch * self.steps + looks
        nets = len(SEEDS) * len(self.scales(1 if line else 2))
        return 6e-12 * passes * nets * sum(a * b for a, b in fans)


SETTINGS = {
    "short": Setting(64, 64, 4, 150, 2e-3),
    "narrow": Setting(64, 64, 3, 600, 1e-3),
    "batches": Setting(128, 64, 4, 150, 1e-3, 2048),
    "long": Setting(64, 64, 4, 2000, 1e-3, 2048),
    "many": Setting(64, 256, 3, 600, 2e-3, 2048),
    "deep": Setting(128, 64, 6, 600, 5e-4, 2048),
    "wide": Setting(256, 64, 4, 150, 1e-3),
    "slow": Setting(128, 256, 4, 600, 5e-4),
    "deepest": Setting(128, 256, 6, 150, 2e-3),
    "patient": Setting(128, 64, 3, 2000, 5e-4, 2048),
    "paper": Setting(256, 256, 4, 600, 1e-3, None, 256),
}
ITEMS = {
    "calibration": (
        *("astronaut", "coffee", "kodim01", "kodim08"),
        *("text0", "text1", "line0.5", "line1.5"),
    ),
    "judging": ("kodim09", "kodim11", "kodim13", "kodim14", "text2", "line1", "line2"),
}
# Two sweeps that were trained for the former method, with three seeds, each looked at once:
SWEEPS = {
    "pictures": Setting(128, 128, 4, 300, 1e-3, 2048, 256),
    "lines": Setting(128, 64, 4, 1000, 1e-3),
}
CHOSEN = {  # what was looked at when the method was made; all else is strange to it
    "short": tuple(ITEMS["calibration"]),
    "pictures": ("kodim01", "kodim04", "kodim05"),
    "lines": ("alpha1.5_0", "alpha2_1", "alpha1_1"),
}
HALF = {item: half for half, items in ITEMS.items() for item in items}
SLOWEST = ("astronaut", "kodim08", "kodim11", "kodim13")  # all that the paper's network is asked


@cache
def kodak(size: int):
    """Sixteen photographs by name."""
    found = photographs(16, size, "kodak")
    return dict(zip(found.names, found.array, strict=True))


def load(item: str, size: int) -> jax.Array:
    """A picture (size, size, 3) or a line (LINE, 1)."""
    if item.startswith("alpha"):  # the lines and pages of two former sweeps
        alpha, k = item.removeprefix("alpha").split("_")
        number = 2 * (0.5, 1.0, 1.5, 2.0).index(float(alpha)) + int(k)
        key = jax.random.fold_in(jax.random.key(6), number)
        return data.power_law_signal(key, LINE, float(alpha))[:, None]
    if item.startswith("text0") and item != "text0":
        return pictures.text_pages(jax.random.key(6), 4, size).array[int(item[-1])]
    if item.startswith("line"):
        alpha = float(item.removeprefix("line"))
        key = jax.random.fold_in(jax.random.key(17), int(10 * alpha))
        return data.power_law_signal(key, LINE, alpha)[:, None]
    if item.startswith("text"):
        key = jax.random.fold_in(jax.random.key(17), int(item.removeprefix("text")))
        return text_image(key, size)
    return pictures.image(item, size) if item in pictures.IMAGES else kodak(size)[item]


def split(y: jax.Array):
    """(v, y) of the observations of a picture or a line, and (v, y) of the unseen points."""
    if y.ndim == 3:
        return data.train_test_image(y)
    v = data.grid(len(y))
    return (v[::2], y[::2]), (v[1::2], y[1::2])


@cache  # the same functions for the same network, so that what was compiled for them is found again
def functions(model: MLP, setting: Setting, seen: int):
    """Loss, metrics, batch and optimizer of a training."""

    def loss(params, observed):
        return 0.5 * jnp.mean((model(params, observed["x"]) - observed["y"]) ** 2)

    def look(params, observed):
        return {"psnr": metrics.psnr(model(params, observed["x_test"]), observed["y_test"])}

    def batch(key, observed):
        chosen = jax.random.randint(key, (setting.batch,), 0, seen)
        return observed | {"x": observed["x"][chosen], "y": observed["y"][chosen]}

    few = setting.batch is not None and setting.batch < seen
    return loss, look, batch if few else None, optax.adam(setting.rate)


def train(y: jax.Array, scales, seed: int, setting: Setting) -> np.ndarray:
    """PSNR in dB at unseen points of a network at each scale, (S,), averaged over the last looks.

    Frequencies and first weights are the same draw at every scale: scales are compared, not draws.
    """
    (v, seen), (v_test, unseen) = split(y)
    draw, init = jax.random.split(jax.random.key(seed))
    base = features.gaussian(draw, setting.m, v.shape[-1], 1.0)
    at = [features.Mapping(base.a, s * base.B) for s in scales]
    model = setting.model(y.shape[-1])
    observed = {
        "x": jnp.stack([gamma(v).reshape(-1, model.sizes[0]) for gamma in at]),
        "y": jnp.stack([seen.reshape(-1, y.shape[-1])] * len(at)),
        "x_test": jnp.stack([gamma(v_test).reshape(-1, model.sizes[0]) for gamma in at]),
        "y_test": jnp.stack([unseen.reshape(-1, y.shape[-1])] * len(at)),
    }
    loss, look, batch, optimizer = functions(model, setting, observed["x"].shape[1])
    _, history = fit(
        jax.tree.map(lambda p: jnp.stack([p] * len(at)), model.init(init)),
        loss,
        observed,
        steps=setting.steps,
        optimizer=optimizer,
        key=jax.random.key(seed),
        batch=batch,
        metrics=look,
        every=EVERY,
        vmap=0,
        progress=False,
    )
    return history["psnr"][-LOOKS:].mean(0)


def todo(name: str, half: str | None = None) -> tuple[dict | None, list[str]]:
    """What is recorded of a setting, and the items that lack."""
    made = records.recorded(name, FOLDER)
    if made is not None and made["settings"] != dataclasses.asdict(SETTINGS[name]):
        raise SystemExit(f"{name}: recorded with other numbers; move that record away first")
    done = {row["item"] for row in made["rows"]} if made else set()
    items = SLOWEST if name == "paper" else HALF
    return made, [i for i in items if i not in done and half in (None, HALF[i])]


def record(name: str, item: str, made: dict | None) -> dict:
    """Train an item at all scales with all seeds, and write the setting's record anew."""
    setting, start = SETTINGS[name], time.perf_counter()
    y = load(item, setting.size)
    scales = setting.scales(y.ndim - 1)
    rows = [
        {
            "item": item,
            "mapping": f"{s:.4g}",
            "seed": seed,
            "metric": "psnr",
            "value": round(float(p), 4),
        }
        for seed in SEEDS
        for s, p in zip(scales, train(y, scales, seed, setting), strict=True)
    ]
    wall = time.perf_counter() - start + (made["wall_s"] if made else 0.0)
    rows = (made["rows"] if made else []) + rows
    about = dict(settings=dataclasses.asdict(setting), notes="Kodak, built-in, pages, lines")
    return records.record(name, rows, wall_s=wall, folder=FOLDER, **about)


def bilinear(seen) -> np.ndarray:
    """What lies in the middle of the cells of a grid, from their corners; edges are repeated."""
    for axis in range(seen.ndim - 1):
        last = np.take(seen, [-1], axis)
        seen = (seen + np.concatenate([np.delete(seen, 0, axis), last], axis)) / 2
    return seen


def judge(name: str, frozen: str) -> list[dict]:
    """What suggestions lose on each recorded item of a setting, and what they promised.

    The best scale is the top of a spline through all scales; its error is that of the seeds.
    """
    setting, made = (SETTINGS | SWEEPS)[name], records.recorded(name, FOLDER)
    rows = made["rows"] if made else []
    suggested = records.recorded("former", FOLDER)["rows"]  # by the method of commit b666540
    former = {(row["mapping"], row["item"]): row["value"] for row in suggested}
    told = []
    for item in dict.fromkeys(row["item"] for row in rows):
        y = load(item, setting.size)
        (v, seen), (_, unseen) = split(y)
        model = setting.model(y.shape[-1])
        values = {}
        for row in sorted(rows, key=lambda row: float(row["mapping"])):
            if row["item"] == item:
                values.setdefault(float(row["mapping"]), []).append(row["value"])
        scales = np.array(list(values))
        seeds = [CubicSpline(np.log(scales), p) for p in np.transpose(list(values.values()))]
        mean = CubicSpline(np.log(scales), np.mean(list(values.values()), 1))
        fine = np.linspace(*np.log(scales[[0, -1]]), 2001)
        top = fine[np.argmax(mean(fine))]
        found = suggest_scale(v, seen, model, scales=scales)
        at = np.log(found.scale)
        lost = [float(seed(top) - seed(at)) for seed in seeds]
        low, high = found.range
        numbers = {
            "best": float(np.exp(top)),
            "suggested": found.scale,
            "low": low,
            "high": high,
            "lost": float(mean(top) - mean(at)),
            "error": float(np.std(lost, ddof=1) / np.sqrt(len(lost))),
            "reached": float(mean(at)),
            "reached at best": float(mean(top)),
            "promised": float(np.interp(at, np.log(scales), -10 * np.log10(found.mse.mean(1)))),
            "bilinear": float(metrics.psnr(bilinear(np.asarray(seen)), unseen)),
        }
        if (name, item) in former:
            numbers["lost, former"] = float(mean(top) - mean(np.log(former[name, item])))
        print(name, item, *(f"{k} {x:.2f}" for k, x in numbers.items()), flush=True)
        common = {"item": item, "mapping": name, "seed": 0, "frozen": frozen}
        common["chosen"] = item in CHOSEN.get(name, ())
        told += [{**common, "metric": k, "value": round(x, 4)} for k, x in numbers.items()]
    return told


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train networks at many scales.")
    parser.add_argument("--half", choices=tuple(ITEMS), help="only these items (default: all)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing later")
    parser.add_argument("--count", action="store_true", help="only tell what there is to do")
    parser.add_argument("--judge", metavar="COMMIT", help="judge suggestions frozen in a commit")
    parser.add_argument("names", nargs="*", help=f"among {', '.join(SETTINGS)} (default: all)")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(SETTINGS | SWEEPS):
        parser.error(f"no setting is called {', '.join(sorted(unknown))}")
    FOLDER.mkdir(exist_ok=True)
    if options.judge:
        start = time.perf_counter()
        rows = [
            row for name in options.names or SETTINGS | SWEEPS for row in judge(name, options.judge)
        ]
        wall = time.perf_counter() - start
        records.record("judged", rows, wall_s=wall, folder=FOLDER)
        return 0
    stop = time.monotonic() + 60 * options.minutes
    for name in options.names or SETTINGS:
        if name in SWEEPS:
            continue
        made, items = todo(name, options.half)
        if options.count:
            work = sum(map(SETTINGS[name].work, items))
            print(f"{name}: {len(items)} items to do, {work:.1f}e12 multiplications and additions")
            continue
        for item in items:
            if time.monotonic() > stop:
                return 0
            began = time.perf_counter()
            made = record(name, item, made)
            print(f"{name}: {item}, {time.perf_counter() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
