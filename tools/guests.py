"""Our mapping in other libraries' networks: the lines of own_data.md, for `make check`.

    python tools/guests.py

Runs the page's code for Flax NNX, Equinox and PyTorch, each where it is installed: the features are
the mapping's, and only what should train has a gradient. Prints one line, or fails; 2 if there is
none of them.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from fflib import features

PAGE = Path(__file__).resolve().parent.parent / "book" / "reference" / "own_data.md"
GAMMA = features.gaussian(jax.random.key(0), 8, 2, 3.0)
V = np.random.default_rng(0).random((5, 2), np.float32)


def net(package: str):
    """The page's Net for a library, and the library."""
    [code] = [
        block
        for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
        if re.search(rf"^(from|import) {package}\b", block, re.M)
    ]
    names: dict = {}
    exec(compile(code, str(PAGE), "exec"), names)
    return names["Net"], names


def flax() -> None:
    Net, names = net("flax")
    nnx = names["nnx"]
    made = Net(GAMMA, nnx.Rngs(0))
    wanted = GAMMA(V) @ made.out.kernel[...] + made.out.bias[...]
    np.testing.assert_allclose(made(V), wanted, atol=1e-5)
    slopes = nnx.grad(lambda made: (made(V) ** 2).mean())(made)
    assert len(jax.tree.leaves(slopes)) == 2, "kernel and bias train, B and a do not"


def equinox() -> None:
    Net, names = net("equinox")
    eqx = names["eqx"]
    made = Net(GAMMA, eqx.nn.Linear(GAMMA.num_features, 3, key=jax.random.key(1)))
    np.testing.assert_allclose(
        jax.vmap(made)(V), GAMMA(V) @ made.out.weight.T + made.out.bias, atol=1e-5
    )

    def slopes(call):
        return eqx.filter_grad(lambda made: (jax.vmap(lambda v: call(made, v))(V) ** 2).mean())(
            made
        )

    kept, free = slopes(Net.__call__), slopes(lambda made, v: made.out(made.gamma(v)))
    assert not kept.gamma.B.any() and kept.out.weight.any(), "B stays"
    assert jnp.abs(free.gamma.B).max() > 1e-3, "without stop_gradient it trains"


def torch() -> None:
    Net, names = net("torch")
    made, v = Net(GAMMA), names["torch"].tensor(V)
    assert [name for name, _ in made.named_parameters()] == ["out.weight", "out.bias"]
    assert "B" in made.state_dict(), "B is saved"
    weight, bias = (p.detach().numpy() for p in made.out.parameters())
    np.testing.assert_allclose(made(v).detach().numpy(), GAMMA(V) @ weight.T + bias, atol=1e-5)


def main() -> int:
    told = []
    for check in (flax, equinox, torch):
        try:
            library = importlib.import_module(check.__name__)
        except ImportError:
            told.append(f"no {check.__name__}")
            continue
        check()
        told.append(f"{check.__name__} {library.__version__}")
    print("; ".join(told))
    return 2 if all(line.startswith("no ") for line in told) else 0


if __name__ == "__main__":
    sys.exit(main())
