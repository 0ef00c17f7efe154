"""One row of each record computed anew: `make check` calls this.

    python tools/remake.py [--minutes 20] [NAME ...]

The row is drawn at random among those whose training took at most so many minutes; the draw is
printed. A PSNR has to come out within 0.1 dB, an overlap or a similarity within 0.005.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT)]
MARGINS = {"psnr": 0.1}
OTHERS = 0.005


def main() -> int:
    parser = argparse.ArgumentParser(description="Compute one row of each record anew.")
    parser.add_argument("--minutes", type=float, default=20, help="of the longest training to draw")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    from experiments import experiments

    from fflib.experiments import records
    from fflib.experiments.protocol import remade, settings_of

    apart = 0
    for name, experiment in experiments().items():
        made = records.recorded(name)
        if made is None or (options.names and name not in options.names):
            continue
        rows = [row for row in made["rows"] if row["seconds"] <= 60 * options.minutes]
        if not rows:
            print(f"{name}: every training took more than {options.minutes:g} minutes", flush=True)
            continue
        row = random.choice(rows)
        records.matching(
            name, row["mapping"], settings_of(experiment, row["mapping"]), made["data_hash"]
        )
        difference = remade(experiment, row) - row["value"]
        margin = MARGINS.get(row["metric"].partition("_")[0], OTHERS)
        apart += abs(difference) > margin
        print(
            f"{name}: {row['item']}, {row['mapping']}: {row['metric']} {row['value']:.4f} recorded, "
            f"{difference:+.4f} now, margin {margin}",
            flush=True,
        )
    print(f"{apart} rows came out otherwise" if apart else "every row came out as recorded")
    return 1 if apart else 0


if __name__ == "__main__":
    sys.exit(main())
