"""The PyTorch lines of the recipe against the library's: `make check`, where PyTorch is installed.

    python tools/twin.py

Takes the code from book/reference/recipe.md, gives both networks the same frequencies and weights,
and compares features and outputs; then both learn the same picture from their own initial weights,
and must get about as far. Prints one line, or fails.
"""

from __future__ import annotations

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fflib import data, features, metrics
from fflib.network import mlp
from fflib.training import fit
from fflib.worlds import pictures

PAGE = Path(__file__).resolve().parent.parent / "book" / "reference" / "recipe.md"


def twin() -> dict:
    """What the page's PyTorch code defines."""
    [code] = re.findall(
        r"^```python\n(import torch\n.*?)^```", PAGE.read_text("utf-8"), re.M | re.S
    )
    names: dict = {}
    exec(compile(code, str(PAGE), "exec"), names)
    return names


def main() -> None:
    names = twin()
    torch = names["torch"]
    torch.manual_seed(0)
    pixels = np.asarray(data.grid(32, 2), np.float32).reshape(-1, 2)
    colours = np.asarray(pictures.image("coffee", 32), np.float32).reshape(-1, 3)
    v, y = torch.tensor(pixels), torch.tensor(colours)

    theirs = names["learn"](v, y, 2.0)
    gamma = features.fourier(np.ones(128), theirs[0].B.numpy())
    model = mlp(256, 128, depth=4, d_out=3, output="sigmoid")
    linear = [layer for layer in theirs if isinstance(layer, names["nn"].Linear)]
    params = [(x.weight.detach().numpy().T, x.bias.detach().numpy()) for x in linear]
    with torch.no_grad():
        np.testing.assert_allclose(gamma(pixels), theirs[0](v).numpy(), atol=2e-5)
        output = theirs(v).numpy()
        np.testing.assert_allclose(model(params, gamma(pixels)), output, atol=1e-4)

    def loss(params, seen):
        return 0.5 * jnp.mean((model(params, seen["x"]) - seen["y"]) ** 2)

    start, seen = model.init(jax.random.key(1)), {"x": gamma(pixels), "y": jnp.asarray(colours)}
    params, _ = fit(start, loss, seen, steps=300, optimizer=optax.adam(1e-3), progress=False)
    ours = float(metrics.psnr(model(params, gamma(pixels)), colours))
    other = float(metrics.psnr(output, colours))
    assert abs(ours - other) < 4, f"after 300 steps {ours:.1f} dB here, {other:.1f} dB in PyTorch"
    print(f"PyTorch {torch.__version__}: same features and outputs; {ours:.1f} and {other:.1f} dB")


if __name__ == "__main__":
    main()
