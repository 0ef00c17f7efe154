"""Train networks over a sweep of scales and at the suggested one, and record what each reached.

    python tools/sweep.py [--seeds 0 1 2] [--suggestions] [pictures] [signals]

`pictures`: eight Kodak photographs and four generated pages of text, learned from every second
pixel of every second row. `signals`: lines of known spectrum (1 + f)^−α. Each is trained at every
scale of the sweep, and at the one that `fflib.theory.scale.suggest_scale` reads off its training
observations; one entry is saved for each item, scale and seed, and an interrupted sweep goes on
where it stopped. The records are `fflib/results/sigma_sweep.json` and `sigma_signals.json`. With
`--suggestions` the sweep itself is taken from there, and only the suggested scales are found and
trained anew.

As it stands it is made for one processor core: 256² pixels, 128 frequencies, width 128, 300 steps
on 4096 pixels each (about 40 minutes). With FFLIB_SCALE=full, for a GPU: 512², 256, 256, and 2000
steps on all pixels.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import optax

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fflib import data, features, metrics, show
from fflib.experiments import records
from fflib.experiments.protocol import Experiment, run
from fflib.network import MLP, mlp
from fflib.training import fit
from fflib.worlds.items import Items
from fflib.worlds.pictures import collect, photographs, text_pages

SCALES = (2.0, 2.8, 4.0, 5.6, 8.0, 11.0, 16.0, 32.0, 1.0, 64.0)
LINE_SCALES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
ALPHAS = (0.5, 1.0, 1.5, 2.0)
SUGGESTED = "suggested"


@dataclasses.dataclass(frozen=True)
class Setting:
    """The numbers of a sweep: those of every network in it, and of the data."""

    size: int
    width: int
    m: int
    steps: int
    rate: float
    batch: int | None
    scales: tuple[float, ...]


PICTURES = show.pick(
    quick=Setting(256, 128, 128, 300, 1e-3, 2048, SCALES),
    full=Setting(512, 256, 256, 2000, 1e-3, None, SCALES),
)
SIGNALS = Setting(512, 128, 64, 1000, 1e-3, None, LINE_SCALES)


def network(setting: Setting, channels: int) -> MLP:
    """The network of the sweep; pictures end in a sigmoid, signals do not."""
    output = "sigmoid" if channels == 3 else None
    return mlp(2 * setting.m, setting.width, depth=4, d_out=channels, output=output, biases=0.01)


@cache  # the same functions for the same network, so that what was compiled for them is found again
def functions(model: MLP, setting: Setting):
    """Loss, batch and optimizer of a training."""

    def loss(params, seen):
        x, y = seen
        return 0.5 * jnp.mean((model(params, x) - y) ** 2)

    def batch(key, seen):
        chosen = jax.random.randint(key, (setting.batch,), 0, len(seen[1]))
        return jax.tree.map(lambda a: a[chosen], seen)

    return loss, None if setting.batch is None else batch, optax.adam(setting.rate)


def split(y: jax.Array):
    """(v, y) of the observations of a picture (H, W, 3) or a signal (n, 1), and (v, y) of the rest."""
    if y.ndim == 3:
        return data.train_test_image(y)
    v = data.grid(len(y))
    return (v[::2], y[::2]), (v[1::2], y[1::2])


def train(y: jax.Array, key: jax.Array, scale: float, setting: Setting) -> float:
    """PSNR in dB at the points that were not shown to a network of this scale.

    Frequencies and first weights are the same draw at every scale, so that scales are compared and
    not draws.
    """
    (v, seen), (v_test, unseen) = split(y)
    draw, init = jax.random.split(key)
    gamma = features.gaussian(draw, setting.m, v.shape[-1], scale)
    model = network(setting, y.shape[-1])
    loss, batch, optimizer = functions(model, setting)
    shown = gamma(v).reshape(-1, model.sizes[0]), seen.reshape(-1, y.shape[-1])
    params, _ = fit(
        model.init(init),
        loss,
        shown,
        steps=setting.steps,
        optimizer=optimizer,
        key=key,
        batch=batch,
        progress=False,
    )
    return float(metrics.psnr(model(params, gamma(v_test)), unseen))


@cache
def suggestion(chosen: bytes, shape: tuple[int, ...], setting: Setting) -> float:
    """What is suggested for the observations of an item, once for all seeds."""
    from fflib.theory.scale import Budget, suggest_scale

    y = jnp.frombuffer(chosen, jnp.float32).reshape(shape)
    budget = Budget(setting.steps, setting.rate, setting.batch)
    (v, seen), _ = split(y)
    return suggest_scale(v, seen, network(setting, shape[-1]), budget).scale


def solve(items, keys, scale: str, setting: Setting) -> list[dict[str, float]]:
    """Scores of some items at one scale of the sweep, or each at its suggestion."""
    scores = []
    for y, key in zip(items, keys, strict=True):
        if scale == SUGGESTED:
            at = suggestion(bytes(jax.device_get(y)), y.shape, setting)
            scores.append({"scale": at, "psnr": train(y, key, at, setting)})
        else:
            scores.append({"psnr": train(y, key, float(scale), setting)})
    return scores


def load_pictures() -> Items:
    """Eight photographs and four pages of text."""
    photos = photographs(8, PICTURES.size, "kodak")
    pages = text_pages(jax.random.key(6), 4, PICTURES.size)
    origin = f"{photos.origin}; four {pages.origin}"
    return collect(photos.names + pages.names, [*photos.array, *pages.array], origin)


def load_signals() -> Items:
    """Two random lines of each α, (n, 1)."""
    names = [f"alpha{alpha:g}_{k}" for alpha in ALPHAS for k in (0, 1)]
    lines = [
        data.power_law_signal(
            jax.random.fold_in(jax.random.key(6), 2 * i + k), SIGNALS.size, alpha
        )[:, None]
        for i, alpha in enumerate(ALPHAS)
        for k in (0, 1)
    ]
    origin = "random signals of amplitude (1 + f)^−α; every second point was seen"
    return Items(tuple(names), jnp.stack(lines), "", origin)


def sweeps() -> dict[str, Experiment]:
    """Both sweeps by the names of their records."""
    return {
        name: Experiment(
            load,
            partial(solve, setting=setting),
            dataclasses.asdict(setting),
            (*(f"{s:g}" for s in setting.scales), SUGGESTED),
        )
        for name, load, setting in (
            ("sigma_sweep", load_pictures, PICTURES),
            ("sigma_signals", load_signals, SIGNALS),
        )
    }


def keep_sweep(name: str, sha256: str, folder: Path) -> None:
    """Put the recorded trainings, all but those at suggested scales, where an interrupted sweep
    would go on.
    """
    made = records.recorded(name)
    wanted = {"data_hash": sha256, **records.circumstances()}
    if made is None or any(made[key] != value for key, value in wanted.items()):
        raise SystemExit(
            f"{name}: no sweep of these data, versions and device is recorded; run it whole"
        )
    rows = [row for row in made["rows"] if row["mapping"] != SUGGESTED]
    about = {key: made[key] for key in ("wall_s", "data_hash", "notes", "settings")}
    records.record(name, rows, folder=folder, **about)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Sweep scales, and compare with the suggested one."
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--suggestions", action="store_true", help="keep the recorded sweep, redo suggestions"
    )
    parser.add_argument("names", nargs="*", choices=[[], "pictures", "signals"], default=[])
    options = parser.parse_args(arguments)
    known = sweeps()
    wanted = {"pictures": "sigma_sweep", "signals": "sigma_signals"}
    folder = ROOT / "_build/results"
    for name in [wanted[n] for n in options.names] or known:
        if options.suggestions and not (folder / f"{name}.json").is_file():
            keep_sweep(name, known[name].load().sha256, folder)
        made = run(name, known[name], seeds=options.seeds, together=1, partial=folder)
        print(
            f"{name}: recorded {len(made['rows'])} numbers in {made['wall_s']:.0f} s on {made['device']}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
