"""How fast training is, as ratios measured side by side in one run: `make bench`.

Seconds depend on the machine and on what else it does; ratios of runs that alternate much less.

1. `fflib.training` (all steps in one compiled scan) against a loop in Python that calls a compiled
   step, and, with the error on everything recorded every 25 steps, against the loop of a plain
   notebook.
2. The arithmetic rate of a training step against the rate of its matrix products alone: 1 would
   mean that everything else (activations, the optimizer) costs nothing.
3. Kernel regression of all pixels of a picture on its grid: exponents of time and memory against
   the number of pixels, and the dense solution for as long as its matrix is small.
4. A suggested scale (`fflib.theory.scale`) against the sweep of trainings that it replaces.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import re
import resource
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fflib import data, features, metrics
from fflib.network import mlp
from fflib.theory import grid, kernels, krylov
from fflib.training import fit
from fflib.worlds import pictures

LOOK = 25  # steps between two looks at everything


def seconds(functions: dict[str, Callable], repeats: int) -> dict[str, np.ndarray]:
    """Times of each function, (repeats,) each, taken in turns after one run to compile."""
    for function in functions.values():
        jax.block_until_ready(function())
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            jax.block_until_ready(function())
            times[name].append(time.perf_counter() - start)
    return {name: np.array(values) for name, values in times.items()}


def ratio(over: np.ndarray, under: np.ndarray) -> str:
    """Median of the ratios taken turn by turn, with the middle half."""
    low, middle, high = np.percentile(over / under, [25, 50, 75])
    return f"{middle:.2f} (middle half {low:.2f} to {high:.2f})"


def products(sizes: tuple[int, ...], n: int) -> tuple[Callable, float, list]:
    """The matrix products of one training step on n points, their operations, and their operands:
    forward, gradient of the weights, and gradient of the inputs of all layers but the first."""
    keys = iter(jax.random.split(jax.random.key(1), 3 * len(sizes)))
    layers = [
        (
            jax.random.normal(next(keys), (n, i)),
            jax.random.normal(next(keys), (i, o)),
            jax.random.normal(next(keys), (n, o)),
        )
        for i, o in itertools.pairwise(sizes)
    ]
    operations = sum(
        2.0 * n * i * o * (3 if k else 2) for k, (i, o) in enumerate(itertools.pairwise(sizes))
    )

    def once(scale, layers):  # one number of every product is enough to keep the product
        total = jnp.zeros(())
        for k, (x, w, g) in enumerate(layers):
            w = w * scale
            outputs = [x @ w, x.T @ (g * scale)] + ([g @ w.T] if k else [])
            total += sum(jnp.max(y) for y in outputs)
        return scale + 1e-30 * total

    return once, operations, layers


def measure(
    name: str, mapping, width: int, places: dict, values: dict, steps: int, repeats: int
) -> None:
    """Print the ratios for a mapping and a depth-4 network fitted to values at places.

    Both have the keys "seen", for training, and "all", what a look on the way is taken at.
    """
    model = mlp(mapping.num_features, width=width, depth=4, d_out=values["seen"].shape[-1])
    params = model.init(jax.random.key(0))
    x, y = (
        {k: mapping(v) for k, v in places.items()},
        {k: jnp.asarray(v) for k, v in values.items()},
    )
    optimizer = optax.adam(1e-3)
    training = dict(steps=steps, optimizer=optimizer, progress=False)

    def loss(params, observed):
        x, y = observed
        return 0.5 * jnp.mean((model.apply(params, x) - y) ** 2)

    @jax.jit
    def step(params, state, observed):
        gradient = jax.grad(loss)(params, observed)
        update, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, update), state

    def scanned():
        return fit(params, loss, (x["seen"], y["seen"]), **training)[0]

    def looped():
        now, state = params, optimizer.init(params)
        for _ in range(steps):
            now, state = step(now, state, (x["seen"], y["seen"]))
        return now

    # the same with a look every LOOK steps: as fit does it, and as notebooks often do, step by
    # step,
    # features computed anew each time, and the optimizer called outside of what is compiled
    def watch(params, data):
        (x, y), (x_all, y_all) = data
        return {
            "seen": metrics.psnr(model.apply(params, x), y),
            "all": metrics.psnr(model.apply(params, x_all), y_all),
        }

    def look_loss(params, data):
        return loss(params, data[0])

    def scanned_looking():
        data = ((x["seen"], y["seen"]), (x["all"], y["all"]))
        return fit(params, look_loss, data, metrics=watch, every=LOOK, **training)[0]

    predict = jax.jit(lambda params, v: model.apply(params, mapping(v)))
    gradient = jax.jit(
        jax.grad(lambda params, v, y: 0.5 * jnp.mean((model.apply(params, mapping(v)) - y) ** 2))
    )

    def notebook():
        now, state, told = params, optimizer.init(params), []
        for i in range(steps + 1):
            if i % LOOK == 0 or i == steps:
                told += [float(metrics.psnr(predict(now, places[k]), y[k])) for k in y]
            if i < steps:
                update, state = optimizer.update(
                    gradient(now, places["seen"], y["seen"]), state, now
                )
                now = optax.apply_updates(now, update)
        return now

    once, operations, layers = products(tuple(model.sizes), len(x["seen"]))

    @jax.jit
    def multiply(layers):
        return jax.lax.fori_loop(0, steps, lambda _, scale: once(scale, layers), jnp.ones(()))

    functions = {"fit": scanned, "loop": looped, "products": lambda: multiply(layers)}
    functions |= {"fit with looks": scanned_looking, "notebook": notebook}
    times = seconds(functions, repeats)
    rates = [
        f"{k} {steps * operations / np.median(times[k]) / 1e9:.1f}"
        for k in ("fit", "loop", "products")
    ]
    print(f"{name}: {len(x['seen'])} points, {' → '.join(map(str, model.sizes))}, {steps} steps")
    print(f"  time of a Python loop of compiled steps / fit: {ratio(times['loop'], times['fit'])}")
    beside = ratio(times["notebook"], times["fit with looks"])
    print(f"  time of a notebook's loop, with looks / fit with looks: {beside}")
    print(f"  rate of fit / its matrix products alone: {ratio(times['products'], times['fit'])}")
    print(f"  (billion operations a second: {', '.join(rates)})", flush=True)


def peak() -> float:
    """The most memory that this process has held, in MB. On Linux `ru_maxrss` begins with what the
    parent had held.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def regression(size: int, dense: bool, answer) -> None:
    """Put seconds (compiled before) and memory in MB, beyond a fresh process, of a regression of
    size² pixels.
    """
    mapping = features.gaussian(jax.random.key(0), m=256, d=2, scale=10.0)
    model = mlp(mapping.num_features, width=256, depth=4, d_out=3, biases=0.01)
    points, key = data.grid(size, 2), jax.random.key(1)
    values = jax.random.uniform(key, (size, size, 3))  # noise: the hardest picture
    ridge = 0.1 * float(kernels.ntk_stationary(model, mapping, jnp.zeros(2)))
    before = peak()

    def solve():
        K = grid.ntk(model, mapping, points)
        if dense:  # the matrix is filled from its lags, which favours the dense solution
            at = np.subtract.outer(np.arange(size), np.arange(size)) + size - 1
            K = K.lags()[at[:, None, :, None], at[None, :, None, :]].reshape(size**2, size**2)
            return kernels.kernel_regression(K, values.reshape(-1, 3), ridge)
        return krylov.solve(K, values, ridge).weights

    jax.block_until_ready(solve())
    start = time.perf_counter()
    jax.block_until_ready(solve())
    took = time.perf_counter() - start
    answer.put((took, peak() - before))


def exponents() -> None:
    """Print time and memory of kernel regression against the number of pixels, each in a process of
    its own.
    """
    context = multiprocessing.get_context("spawn")
    print(
        "kernel regression of n pixels × 3 channels (seconds; MB beyond a process that has done nothing)"
    )
    for name, dense, sizes in (
        ("grid", False, (64, 128, 256, 512)),
        ("dense", True, (32, 45, 64, 90)),
    ):
        found = []
        for size in sizes:
            answer = context.Queue()
            process = context.Process(target=regression, args=(size, dense, answer))
            process.start()
            found.append(answer.get())
            process.join()
            print(
                f"  {name}: n = {size}² = {size * size}: {found[-1][0]:.2f} s, {found[-1][1]:.0f} MB",
                flush=True,
            )
        n = np.log(np.array(sizes[-3:], float) ** 2)
        slopes = [
            np.polyfit(n, np.log(np.maximum(part, 1e-9)), 1)[0] for part in np.array(found)[-3:].T
        ]
        print(
            f"  {name}: exponent of time {slopes[0]:.2f}, of memory {slopes[1]:.2f} (three largest)"
        )


def suggestion(repeats: int) -> None:
    """Print the time of a suggested scale against that of a sweep: 7 scales times 3 seeds
    trainings.
    """
    from fflib.theory.scale import suggest_scale

    (v, seen), _ = data.train_test_image(pictures.image("astronaut", 256))
    gamma = features.gaussian(jax.random.key(0), m=128, d=2, scale=6.0)
    model = mlp(gamma.num_features, width=128, depth=4, d_out=3, output="sigmoid", biases=0.01)
    optimizer, start = optax.adam(1e-3), model.init(jax.random.key(1))
    observed = gamma(v).reshape(-1, gamma.num_features), seen.reshape(-1, 3)

    def loss(params, observed):
        x, y = observed
        return 0.5 * jnp.mean((model.apply(params, x) - y) ** 2)

    def batch(key, observed):
        chosen = jax.random.randint(key, (2048,), 0, len(observed[1]))
        return jax.tree.map(lambda a: a[chosen], observed)

    def train():
        how = dict(
            steps=300, optimizer=optimizer, key=jax.random.key(2), batch=batch, progress=False
        )
        return fit(start, loss, observed, **how)[0]

    def suggest():
        return suggest_scale(v, seen, model).mse

    times = seconds({"train": train, "suggest": suggest}, repeats)
    train_s, suggest_s = (float(np.median(times[k])) for k in ("train", "suggest"))
    print("scale for 256² pixels, 128 frequencies, width 128, 300 steps of 2048 pixels")
    print(f"  one suggestion {suggest_s:.2f} s, one training {train_s:.2f} s")
    saved = ratio(21 * times["train"], times["suggest"])
    print(f"  21 trainings (7 scales, 3 seeds) / suggestion: {saved}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure training against its own arithmetic.")
    parser.add_argument("--repeats", type=int, default=5, help="turns, of which the median counts")
    repeats = parser.parse_args().repeats
    key = jax.random.key(0)
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, median of {repeats} turns")

    def wave(v):
        return jnp.sin(2 * jnp.pi * 3 * v)

    places = {"seen": data.grid(32, 1), "all": data.grid(256, 1)}
    values = {k: wave(v) for k, v in places.items()}
    measure("signal", features.power_law(16, 1.0), 128, places, values, 300, repeats)

    picture = pictures.image("astronaut", 128)
    (seen, colours), _ = data.train_test_image(picture)
    places = {"seen": seen.reshape(-1, 2), "all": data.grid(128, 2).reshape(-1, 2)}
    values = {"seen": colours.reshape(-1, 3), "all": picture.reshape(-1, 3)}
    measure(
        "picture", features.gaussian(key, m=256, d=2, scale=10.0), 256, places, values, 50, repeats
    )
    exponents()
    suggestion(repeats)


if __name__ == "__main__":
    main()
