"""Weights of the total variation in row zero, tried on items that Table 1 does not judge.

    python tools/weights.py [COLUMN …]

Prints, for half-decades of the weight, the mean PSNR over two items of each column: heads of other
draws, slices elsewhere in the brain, volumes of other draws. The best stands in
`fflib.experiments.plain.WEIGHT`.
"""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import numpy as np

from fflib.experiments import plain, scans
from fflib.worlds import brains, phantoms

WEIGHTS = 10.0 ** np.arange(-4.5, -1.9, 0.5)


def heads(table, n: int):
    """Two perturbed heads from keys that no experiment uses."""
    drawn = [phantoms.perturbed(jax.random.key(k), table) for k in (100, 101)]
    return jnp.stack([phantoms.shepp_logan(n, parameters) for parameters in drawn])


COLUMNS = {
    "ct_shepp": (lambda: heads(phantoms.ELLIPSES, 128), scans.TOMOGRAPH),
    "ct_brain": (lambda: brains.slices(19, 128).array[4::10], scans.TOMOGRAPH),
    "mri_brain": (lambda: heads(phantoms.ELLIPSOIDS, 48), scans.RESONANCE),
}


def main(columns: list[str]) -> None:
    for name in columns or COLUMNS:
        load, instrument = COLUMNS[name]
        items, how = load(), dict(instrument=instrument)
        for weight in WEIGHTS:
            scores = plain.scanned(items, None, "total variation", weight=weight, **how)
            psnr = np.mean([told["psnr"] for told in scores])
            print(f"{name}: weight {weight:.1e}, {psnr:.2f} dB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
