"""Recorded results: one small JSON file an experiment, written by a full run, shown by chapters.

A result is a list of rows, plain dicts with at least

    {"item": "kodim01", "mapping": "gaussian", "seed": 0, "metric": "psnr", "value": 30.1}

and a record is those rows with what is needed to tell where they came from.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import fflib
from fflib import checks
from fflib.files import replacing

FOLDER = Path(__file__).parent.parent / "results"
KEYS = ("item", "mapping", "seed", "metric", "value")
PACKAGES = ("jax", "jaxlib", "numpy", "optax")


class Published(NamedTuple):
    """A column of Table 1 of the paper.

    Attributes:
        title: what heads the column.
        metric: "psnr" in dB or "iou".
        items: how many pictures, solids, volumes or views were averaged.
        scores: mapping → (mean, spread over the items).

    Chapter: Reproducing Table 1.
    """

    title: str
    metric: str
    items: int
    scores: dict[str, tuple[float, float]]


def _column(title: str, metric: str, items: int, none, basic, positional, gaussian) -> Published:
    scores = dict(none=none, basic=basic, positional=positional, gaussian=gaussian)
    return Published(title, metric, items, scores)


# Tancik et al. (2020), Table 1, with the spreads of Tables 3 to 7, by the name of the experiment
# that repeats it
TABLE1 = {
    "image_natural": _column(
        "2-D natural", "psnr", 16, (19.32, 2.48), (21.71, 2.71), (24.95, 3.72), (25.57, 4.19)
    ),
    "image_text": _column(
        "2-D text", "psnr", 16, (18.40, 2.23), (20.48, 1.96), (27.57, 3.07), (30.47, 2.11)
    ),
    "shape_scans": _column(
        "3-D shape", "iou", 3, (0.864, 0.014), (0.892, 0.017), (0.960, 0.011), (0.973, 0.010)
    ),
    "ct_shepp": _column(
        "CT, Shepp", "psnr", 8, (16.75, 3.64), (23.31, 4.66), (26.89, 1.46), (28.33, 1.15)
    ),
    "ct_brain": _column(
        "CT, brain", "psnr", 8, (15.44, 1.28), (16.95, 0.72), (19.55, 1.09), (19.88, 1.23)
    ),
    "mri_brain": _column(
        "3-D MRI", "psnr", 6, (26.14, 1.45), (28.58, 2.45), (32.23, 3.08), (34.51, 2.72)
    ),
    "nerf_lego": _column(
        "3-D NeRF", "psnr", 13, (22.41, 0.92), (23.16, 0.90), (25.28, 0.83), (25.48, 0.89)
    ),
}


def published(experiment: str) -> Published | None:
    """What the paper reports of an experiment: its column of Table 1, None where it has none.

    Chapter: Reproducing Table 1.
    """
    return TABLE1.get(_name(experiment))


def record(
    experiment: str,
    rows: Sequence[dict],
    *,
    wall_s: float,
    data_hash: str = "",
    notes: str = "",
    settings: dict | None = None,
    folder: str | os.PathLike | None = None,
) -> dict:
    """Write the rows of an experiment, and where they come from, to ``<experiment>.json``.

    Device, versions, scale, date and seeds are added. The file is replaced at one stroke: a crash
    or a full disk leaves the previous one as it was.

    Args:
        experiment: name of the file, lower-case letters, digits and ``_``.
        rows: dicts with item, mapping, metric (strings), seed (whole number) and value (finite
            number); further keys (``psnr_train=…``) may hold whatever JSON can.
        wall_s: seconds the computation took.
        data_hash: SHA-256 of the data, if it was not made by the code itself.
        notes: a sentence for the reader, such as how the data differ from the paper's.
        settings: the numbers the run was made with; a run goes on only where they are the same.
        folder: where to write (default: beside the library, from where it ships).

    Returns: the record as written.

    Raises: ValueError or TypeError that names the row and the key; OSError if it cannot be written.

    Chapter: Photographs and text.
    """
    rows = [_checked(k, row) for k, row in enumerate(rows)]
    if not rows:
        raise ValueError("rows must hold at least one result, but got none")
    made = {
        "experiment": _name(experiment),
        **circumstances(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_s": round(float(checks.positive("wall_s", wall_s, zero=True)), 1),
        "seeds": sorted({row["seed"] for row in rows}),
        "data_hash": data_hash,
        "settings": settings or {},
        "notes": notes,
        "rows": rows,
    }
    return _write(made, folder)


def add(
    experiment: str,
    mapping: str,
    scores: dict[str, dict[str, float]],
    *,
    seed: int,
    seconds: float,
    settings: dict,
    scale: str,
    items: int,
    data_hash: str = "",
    notes: str = "",
    command: str = "",
    commit: str = "",
    folder: str | os.PathLike | None = None,
) -> dict:
    """Write what one training gave to the record of its experiment at once, beside what stands
    there.

    Each row tells its date, the ``seconds`` of its training and, as a number in the table ``runs``
    of the record, its command, commit, device and versions, which may change from row to row. The
    settings, one entry a mapping, and the data may not.

    Args:
        experiment: name of the record.
        mapping: which was trained.
        scores: item → metric → number, of all items that this training served.
        seed: of the training.
        seconds: that the training took.
        settings: the numbers it was made with.
        scale: "reduced" or "full".
        items: how many there will be when all is done.
        data_hash, notes, folder: see :func:`record`.
        command, commit: how to make this row again.

    Returns: the record as written, with the devices, versions and seconds of all its rows.

    Raises: ValueError where earlier rows of the mapping have other settings, or the record other
    data.

    Chapter: Photographs and text.
    """
    settings = json.loads(json.dumps(settings))
    made: dict[str, Any] = matching(experiment, mapping, settings, data_hash, folder) or dict(
        runs=[], settings={}, rows=[], wall_s=0
    )
    run = {"command": command, "commit": commit} | {
        k: v for k, v in circumstances().items() if k != "scale"
    }
    runs = made["runs"] if run in made["runs"] else [*made["runs"], run]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    rows = made["rows"] + [
        dict(item=item, mapping=mapping, seed=seed, metric=metric, value=value)
        | dict(seconds=round(seconds, 1), date=now, run=runs.index(run))
        for item, told in scores.items()
        for metric, value in told.items()
    ]  # fmt: skip
    rows = [_checked(k, row) for k, row in enumerate(rows)]
    return _write(
        {
            "experiment": _name(experiment),
            "scale": scale,
            "device": "; ".join(dict.fromkeys(run["device"] for run in runs)),
            "versions": _together([run["versions"] for run in runs]),
            "date": now,
            "wall_s": round(made["wall_s"] + seconds, 1),
            "seeds": sorted({row["seed"] for row in rows}),
            "items": items,
            "data_hash": data_hash,
            "settings": made["settings"] | {mapping: settings},
            "notes": notes,
            "runs": runs,
            "rows": rows,
        },
        folder,
    )


def _together(versions: Sequence[dict[str, str]]) -> dict[str, str]:
    """All versions of each package, in the order of the runs."""
    packages = dict.fromkeys(package for these in versions for package in these)
    found = {p: dict.fromkeys(these[p] for these in versions if p in these) for p in packages}
    return {package: ", ".join(each) for package, each in found.items()}


def matching(
    experiment: str, mapping: str, settings: dict, data_hash: str, folder=None
) -> dict | None:
    """The record to which rows of these settings and data may be added; None where there is none
    yet.

    Raises: ValueError where it has rows of other settings or data: a column never mixes them.

    Chapter: Photographs and text.
    """
    made = recorded(experiment, folder)
    if made is None:
        return None
    there = made["settings"].get(mapping, settings)
    if there != settings or made["data_hash"] != data_hash or "runs" not in made:
        differ = [
            f"{k} {there.get(k)!r} and not {v!r}" for k, v in settings.items() if there.get(k) != v
        ]
        raise ValueError(
            f"{experiment!r} is recorded with other settings or data "
            f"({mapping}: {', '.join(differ) or 'the data'}): "
            f"move {experiment}.json away to begin again, or choose another name"
        )
    return made


def _write(made: dict, folder) -> dict:
    text = json.dumps(made, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    folder = FOLDER if folder is None else Path(folder)
    with replacing(folder / f"{made['experiment']}.json") as file:
        file.write(text.encode())
        os.chmod(file.name, 0o644)
    return json.loads(text)


def circumstances() -> dict:
    """Scale, device (of a CPU the cores that this process may use) and versions of this session.

    Chapter: Photographs and text.
    """
    return {"scale": checks.scale(), "device": _device(), "versions": _versions()}


def recorded(experiment: str, folder: str | os.PathLike | None = None) -> dict | None:
    """The record of an experiment, as :func:`record` wrote it; None where there is none yet.

    Raises: ValueError for a file that is no such record.

    Chapter: Photographs and text.
    """
    path = (FOLDER if folder is None else Path(folder)) / f"{_name(experiment)}.json"
    if not path.is_file():
        return None
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
        made["rows"] = [_checked(k, row) for k, row in enumerate(made["rows"])]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{str(path)!r} is no record of results ({error}); run it again"
        ) from error
    return made


class Standing(NamedTuple):
    """How one mapping fared: numbers over the items, each the mean over its seeds.

    Attributes:
        mapping: its name.
        items: number of items n.
        mean: mean over the items.
        spread: their standard deviation (what the paper's ± is), 0 for one item.
        behind: mean over the items of (best mapping − this one); 0 for the best itself.
        error: standard error of ``behind``, from the paired differences; NaN for one item.
        gain: mean over the items of (this one − the mapping before it); NaN for the first.
        gain_error: standard error of ``gain``; NaN for one item.

    Chapter: Photographs and text.
    """

    mapping: str
    items: int
    mean: float
    spread: float
    behind: float
    error: float
    gain: float = math.nan
    gain_error: float = math.nan

    @property
    def tied(self) -> bool:
        """Whether the best mapping's lead is within two standard errors (not told by one item)."""
        return self.behind == 0 or self.behind <= 2 * self.error


def standings(rows: Sequence[dict], metric: str, *, partial: bool = False) -> list[Standing]:
    """Compare mappings item by item, in the order they first appear; larger is better.

    Items differ much more from each other than mappings do on the same item, so the difference is
    taken on each item first: d_i = best_i − this_i, behind = mean d, error = std(d)/√n with n − 1.

    Args:
        rows: of a record.
        metric: which to compare.
        partial: of a run that is not finished yet each mapping's mean is over the items it has, and
            a difference over those that both have; the best is the best where all have been.

    Raises: ValueError without rows of that metric, or, unless partial, when a mapping lacks an
    item.

    Chapter: Photographs and text.
    """
    rows = [row for row in rows if row["metric"] == metric]
    if not rows:
        raise ValueError(f"metric must be among those of the rows, but there is no {metric!r}")
    items, mappings = (list(dict.fromkeys(row[key] for row in rows)) for key in ("item", "mapping"))
    values = {(i, m): [] for i in items for m in mappings}
    for row in rows:
        values[row["item"], row["mapping"]].append(row["value"])
    lacking = [f"{m} on {i}" for (i, m), found in values.items() if not found]
    if lacking and not partial:
        raise ValueError(
            f"rows must hold every mapping for every item, but lack {', '.join(lacking)}"
        )
    score = np.array([[np.mean(values[i, m] or [np.nan]) for i in items] for m in mappings])
    everywhere = np.isfinite(score).all(0)
    best = score[np.nanmean(score[:, everywhere] if everywhere.any() else score, 1).argmax()]
    return [
        Standing(
            mapping,
            np.isfinite(own).sum().item(),
            float(np.nanmean(own)),
            float(np.nanstd(own, ddof=1)) if np.isfinite(own).sum() > 1 else 0.0,
            *_paired(best, own),
            *(_paired(own, score[k - 1]) if k else (math.nan, math.nan)),
        )
        for k, (mapping, own) in enumerate(zip(mappings, score, strict=True))
    ]


def _paired(these, those) -> tuple[float, float]:
    """Mean of the differences on the items that both have, and its standard error."""
    differences = (these - those)[np.isfinite(these - those)]
    n = len(differences)
    error = float(differences.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return float(differences.mean()) if n else math.nan, error


def _checked(k: int, row: dict) -> dict:
    if not isinstance(row, dict):
        raise TypeError(f"rows[{k}] must be a dict, but got {checks.describe(row)}")
    lacking = [key for key in KEYS if key not in row]
    if lacking:
        raise ValueError(f"rows[{k}] must have {', '.join(KEYS)}, but lacks {', '.join(lacking)}")
    row = {
        key: v.item() if isinstance(v, np.generic | jax.Array) and v.ndim == 0 else v
        for key, v in row.items()
    }
    for key in ("item", "mapping", "metric"):
        if not isinstance(row[key], str) or not row[key]:
            raise TypeError(
                f"rows[{k}][{key!r}] must be a name, but got {checks.describe(row[key])}"
            )
    checks.count(f"rows[{k}]['seed']", row["seed"], least=0)
    value = row["value"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(
            f"rows[{k}]['value'] must be a finite number, but got {checks.describe(value)}"
        )
    return row


def _name(experiment: str) -> str:
    if not isinstance(experiment, str) or not re.fullmatch(r"[a-z0-9_]+", experiment):
        raise ValueError(
            f"experiment must be lower-case letters, digits and _, but got {experiment!r}"
        )
    return experiment


def _device() -> str:
    kind, count = jax.devices()[0].device_kind, jax.device_count()
    if jax.default_backend() == "cpu":
        own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return f"CPU, {platform.machine()}, {own} core" + "s" * (own != 1)
    return kind if count == 1 else f"{count} × {kind}"


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "fflib": fflib.__version__}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # fflib run from a clone
            pass
    return found
