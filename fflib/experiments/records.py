"""Recorded results: one small JSON file an experiment, written by a full run, shown by chapters.

A record is a list of rows, {"item": "kodim01", "mapping": "gaussian", "seed": 0, "metric": "psnr",
"value": 30.1} and more, with what is needed to tell where they came from.
"""

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
MAPPINGS: tuple[str, ...] = ("none", "basic", "positional", "gaussian")
KEYS = ("item", "mapping", "seed", "metric", "value")  # of a row
EMPTY = {"data_hash": "", "settings": {}, "notes": ""}


class Published(NamedTuple):
    """A column of the paper's Table 1: its head, how many pictures, solids, volumes or views were
    averaged, mapping → (mean, spread), of "psnr" in dB or of "iou". Chapter: Reproducing Table 1.
    """

    title: str
    items: int
    scores: dict[str, tuple[float, float]]
    metric: str


def _column(title: str, items: int, numbers: str, metric: str = "psnr") -> Published:
    pairs = np.array(numbers.split(), float).reshape(-1, 2).tolist()
    return Published(title, items, dict(zip(MAPPINGS, map(tuple, pairs), strict=True)), metric)


# Tancik et al. (2020), Table 1, with the spreads of Tables 3 to 7, by the name of the experiment
# that repeats it: mean and spread of each mapping
TABLE1 = {
    "image_natural": _column("2-D natural", 16, "19.32 2.48  21.71 2.71  24.95 3.72  25.57 4.19"),
    "image_text": _column("2-D text", 16, "18.40 2.23  20.48 1.96  27.57 3.07  30.47 2.11"),
    "shape_scans": _column("3-D shape", 3, ".864 .014  .892 .017  .960 .011  .973 .010", "iou"),
    "ct_shepp": _column("CT, Shepp", 8, "16.75 3.64  23.31 4.66  26.89 1.46  28.33 1.15"),
    "ct_brain": _column("CT, brain", 8, "15.44 1.28  16.95 0.72  19.55 1.09  19.88 1.23"),
    "mri_brain": _column("3-D MRI", 6, "26.14 1.45  28.58 2.45  32.23 3.08  34.51 2.72"),
    "nerf_lego": _column("3-D NeRF", 13, "22.41 0.92  23.16 0.90  25.28 0.83  25.48 0.89"),
}

SPOKEN = (
    (r"kodim0*(\d+)", r"Kodak \1"),
    (r"(head|text)0?(\d+)", r"\1 \2"),
    (r"slice([\d.]+)", r"slice at \1"),
    (r"(?:line|alpha)([\d.]+)", r"1/f^\1 line"),
    (r"alpha([\d.]+)_(\d+)", r"1/f^\1 line, draw \2"),
    (r"mni(\d+)", r"MNI\1"),
    (r"none", r"no mapping"),
    (r"basic", r"basic mapping"),
    (r"positional(|, aligned)", r"positional encoding\1"),
    (r"gaussian", r"Gaussian"),
    (r"psnr", r"PSNR (dB)"),
    (r"psnr_seen", r"PSNR of pixels shown (dB)"),
    (r"ssim", r"SSIM"),
    (r"iou", r"IoU"),
    (r"iou_uniform", r"IoU on uniform points"),
)


def spoken(name: str) -> str:
    """What a reader is told for a name in a record: of an item ("kodim01" is Kodak 1), a mapping, a
    measure, or an experiment ("ct_brain_reduced" is CT, brain, reduced); others stay as they are.
    Chapter: Reproducing Table 1.
    """
    for experiment, column in TABLE1.items():
        if re.fullmatch(rf"{experiment}(_[a-z]+)*", name):
            rest = name.removeprefix(experiment).replace("_plain", "_without a network")
            return column.title + rest.replace("_", ", ")
    found = (re.sub(like, said, name) for like, said in SPOKEN if re.fullmatch(like, name))
    return next(found, name)


def record(
    experiment: str, rows: Sequence[dict], *, wall_s: float,
    folder: str | os.PathLike | None = None, **about,
) -> dict:  # fmt: skip
    """Write the rows of an experiment, and where they come from, to ``<experiment>.json``.

    Device, versions, scale, date and seeds are added. The file is replaced at one stroke: a crash
    or a full disk leaves the previous one as it was.

    Args:
        experiment: name of the file, lower-case letters, digits and ``_``.
        rows: dicts with item, mapping, metric (strings), seed (whole number) and value (finite
            number); further keys (``psnr_train=…``) may hold whatever JSON can.
        wall_s: seconds the computation took.
        folder: where to write (default: beside the library, from where it ships).
        about: ``settings``, ``data_hash`` (SHA-256 of data that the code did not make itself),
            ``notes`` (a sentence for the reader) and whatever else is to be known.

    Returns: the record as written. Raises: ValueError or TypeError that names the row and the key;
    OSError if it cannot be written. Chapter: Photographs and text.
    """
    seconds = float(checks.positive("wall_s", wall_s, zero=True))
    rows, path = _checked(rows), _path(experiment, folder)
    checks.must(rows, "rows", "hold at least one result", "none")
    made = {"experiment": experiment} | circumstances()
    made |= {"date": datetime.now(UTC).isoformat(timespec="seconds"), "wall_s": round(seconds, 1)}
    made |= {"seeds": sorted({row["seed"] for row in rows})} | EMPTY | about | {"rows": rows}
    text = json.dumps(made, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with replacing(path) as file:
        file.write(text.encode())
        os.chmod(file.name, 0o644)
    return json.loads(text)


def add(
    experiment: str, mapping: str, scores: dict[str, dict[str, float]], *, seed: int,
    seconds: float, settings: dict, data_hash: str = "", command: str = "", commit: str = "",
    folder: str | os.PathLike | None = None, **about,
) -> dict:  # fmt: skip
    """Write what one training gave to the record of its experiment at once, beside what is there:
    ``scores``, item → metric → number.

    Each row tells its date, the ``seconds`` of its training and, as a number in the table ``runs``
    of the record, its command, commit, device and versions, which may change from row to row. The
    settings, one entry a mapping, and the data may not. Else as :func:`record`; ``about`` tells the
    ``scale`` and how many ``items`` there will be when all is done.

    Returns: the record as written, with the devices, versions and seconds of all its rows. Raises:
    ValueError where earlier rows of the mapping have other settings, or the record other data.
    Chapter: Photographs and text.
    """
    settings = json.loads(json.dumps(settings))
    made: dict[str, Any] = dict(runs=[], settings={}, rows=[], wall_s=0)
    made = matching(experiment, mapping, settings, data_hash, folder) or made
    now, here = datetime.now(UTC).isoformat(timespec="seconds"), circumstances()
    run = dict(command=command, commit=commit, device=here["device"], versions=here["versions"])
    runs = made["runs"] if run in made["runs"] else [*made["runs"], run]
    common = dict(seconds=round(seconds, 1), date=now, run=runs.index(run))
    rows = [
        dict(item=item, mapping=mapping, seed=seed, metric=metric, value=value) | common
        for item, told in scores.items()
        for metric, value in told.items()
    ]
    packages = dict.fromkeys(package for run in runs for package in run["versions"])
    about |= dict(data_hash=data_hash, settings=made["settings"] | {mapping: settings})
    about["device"] = "; ".join(dict.fromkeys(run["device"] for run in runs))
    about["versions"] = {
        p: ", ".join(dict.fromkeys(r["versions"][p] for r in runs if p in r["versions"]))
        for p in packages
    }
    about |= dict(date=now, wall_s=made["wall_s"] + seconds, runs=runs)
    return record(experiment, made["rows"] + rows, folder=folder, **about)


def matching(
    experiment: str, mapping: str, settings: dict, data_hash: str, folder=None
) -> dict | None:
    """The record to which rows of these settings and data may be added, if there is one. Raises:
    ValueError where it has others: a column never mixes them. Chapter: Photographs and text.
    """
    made = recorded(experiment, folder)
    if made is None:
        return None
    there = made["settings"].get(mapping, settings)
    if there != settings or made["data_hash"] != data_hash or "runs" not in made:
        changed = [k for k in settings | there if there.get(k) != settings.get(k)]
        differ = ", ".join(f"{k} {there.get(k)!r} and not {settings.get(k)!r}" for k in changed)
        raise ValueError(
            f"{experiment!r} is recorded with other settings or data ({mapping}: "
            f"{differ or 'the data'}): move {experiment}.json away to begin again, or choose "
            f"another name"
        )
    return made


def recorded(experiment: str, folder: str | os.PathLike | None = None) -> dict | None:
    """The record of an experiment, None where there is none yet. Raises: ValueError for a file that
    is no such record. Chapter: Photographs and text.
    """
    path = _path(experiment, folder)
    if not path.is_file():
        return None
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
        return made | {"rows": _checked(made["rows"])}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{str(path)!r} is no record of results ({error}); run it again"
        ) from error


def circumstances() -> dict:
    """Scale, device (of a CPU its cores for us) and versions. Chapter: Photographs and text."""
    kind, count = jax.devices()[0].device_kind, jax.device_count()
    device = kind if count == 1 else f"{count} × {kind}"
    if jax.default_backend() == "cpu":
        own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        device = f"CPU, {platform.machine()}, {own} core" + "s" * (own != 1)
    versions = {"python": platform.python_version(), "fflib": fflib.__version__}
    versions |= {p: importlib.metadata.version(p) for p in ("jax", "jaxlib", "numpy", "optax")}
    return {"scale": checks.scale(), "device": device, "versions": versions}


class Standing(NamedTuple):
    """How one mapping fared: numbers over the items that it has, each the mean over its seeds.

    ``spread`` is the standard deviation over the items (what the paper's ± is), 0 for one item,
    ``behind`` the mean of (best mapping − this one), 0 for the best itself, ``gain`` that of (this
    one − the mapping before it), NaN for the first; ``error`` and ``gain_error`` are the standard
    errors of these two from the paired differences, NaN for one item. Chapter: Photographs and
    text.
    """

    mapping: str
    items: int
    mean: float
    spread: float
    behind: float
    error: float
    gain: float
    gain_error: float

    @property
    def tied(self) -> bool:
        """Whether the best mapping's lead is within two standard errors (not told by one item)."""
        return self.behind == 0 or self.behind <= 2 * self.error


def standings(rows: Sequence[dict], metric: str) -> list[Standing]:
    """Compare mappings item by item, in the order they first appear; larger is better.

    Items differ much more from each other than mappings do on the same item, so the difference is
    taken on each item first: d_i = best_i − this_i, behind = mean d, error = std(d)/√n with n − 1.
    Of an unfinished run each mapping's mean is over the items it has, a difference over those that
    both have, and the best is the best where all have been. Raises: ValueError without rows of that
    metric. Chapter: Photographs and text.
    """
    values: dict[tuple, list[float]] = {}
    for row in rows:
        if row["metric"] == metric:
            values.setdefault((row["mapping"], row["item"]), []).append(row["value"])
    if not values:
        raise ValueError(f"metric must be among those of the rows, but there is no {metric!r}")
    mappings, items = (list(dict.fromkeys(names)) for names in zip(*values, strict=True))
    score = np.array([[np.mean(values.get((m, i), np.nan)) for i in items] for m in mappings])
    everywhere = np.isfinite(score).all(0)
    best = score[np.nanmean(score[:, everywhere] if everywhere.any() else score, 1).argmax()]
    found = []
    for mapping, own, before in zip(mappings, score, [np.nan * best, *score], strict=False):
        n, mean, error = _mean(own)
        spread, behind, gain = error * math.sqrt(n) if n > 1 else 0.0, best - own, own - before
        found.append(Standing(mapping, n, mean, spread, *_mean(behind)[1:], *_mean(gain)[1:]))
    return found


def _mean(x: np.ndarray) -> tuple[int, float, float]:
    """How many finite numbers there are, their mean and its standard error."""
    x = x[np.isfinite(x)]
    n = len(x)
    error = float(x.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return n, float(x.mean()) if n else math.nan, error


def _checked(rows: Sequence[dict]) -> list[dict]:
    """The rows with numbers as JSON has them."""
    made = json.loads(json.dumps([*rows], default=lambda x: np.asarray(x).item()))
    for k, row in enumerate(made):
        checks.is_a(f"rows[{k}]", row, dict)
        if lacking := ", ".join(key for key in KEYS if key not in row):
            raise ValueError(f"rows[{k}] must have {', '.join(KEYS)}, but lacks {lacking}")
        for key in KEYS:
            x, kind = row[key], "a name"
            if key == "seed":
                good, kind = type(x) is int and x >= 0, "a whole number >= 0"
            elif key == "value":
                good, kind = type(x) in (int, float) and math.isfinite(x), "a finite number"
            else:
                good = isinstance(x, str) and x
            checks.must(good, f"rows[{k}][{key!r}]", f"be {kind}", checks.describe(x))
    return made


def _path(experiment: str, folder) -> Path:
    good = isinstance(experiment, str) and re.fullmatch(r"[a-z0-9_]+", experiment)
    checks.must(good, "experiment", "be lower-case letters, digits and _", repr(experiment))
    return (FOLDER if folder is None else Path(folder)) / f"{experiment}.json"
