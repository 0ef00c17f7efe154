"""Recorded results: what is written comes back, what is wrong is refused, differences are paired."""

import json
import math
import os
import re

import numpy as np
import pytest

from fflib.experiments import records


def row(item="a", mapping="none", value=1.0, **more):
    return {"item": item, "mapping": mapping, "seed": 0, "metric": "psnr", "value": value} | more


def test_what_is_recorded_comes_back(tmp_path, monkeypatch):
    monkeypatch.setenv("FFLIB_SCALE", "full")
    rows = [row(value=20.5), row(mapping="basic", seed=3, value=np.float32(21.5), note="ä")]
    made = records.record(
        "an_experiment",
        rows,
        wall_s=12.34,
        data_hash="ab12",
        notes="Nur so.",
        settings={"steps": 5},
        folder=tmp_path,
    )
    back = records.recorded("an_experiment", tmp_path)
    assert back == made and os.listdir(tmp_path) == ["an_experiment.json"]
    assert back["rows"] == [row(value=20.5), row(mapping="basic", seed=3, value=21.5, note="ä")]
    assert (back["scale"], back["seeds"], back["wall_s"]) == ("full", [0, 3], 12.3)
    assert (back["data_hash"], back["settings"], back["notes"]) == ("ab12", {"steps": 5}, "Nur so.")
    assert back["device"] and {"python", "jax", "numpy", "optax"} <= back["versions"].keys()
    assert back["date"].endswith("+00:00")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("kodim01", "Kodak 1"),
        ("kodim10", "Kodak 10"),
        ("head2", "head 2"),
        ("text00", "text 0"),
        ("slice0.286", "slice at 0.286"),
        ("line1.5", "1/f^1.5 line"),
        ("alpha0.5_0", "1/f^0.5 line, draw 0"),
        ("mni152", "MNI152"),
        ("astronaut", "astronaut"),
        ("gaussian", "Gaussian"),
        ("none", "no mapping"),
        ("positional, aligned", "positional encoding, aligned"),
        ("psnr_seen", "PSNR of pixels shown (dB)"),
        ("ct_shepp", "CT, Shepp"),
        ("ct_brain_reduced", "CT, brain, reduced"),
        ("mri_brain_reduced_plain", "3-D MRI, reduced, without a network"),
        ("an_experiment", "an_experiment"),
    ],
)
def test_names_become_words(name, said):
    assert records.spoken(name) == said


def test_every_item_and_measure_recorded_has_words():
    for path in records.FOLDER.glob("*.json"):
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        names = {row[key] for row in rows for key in ("item", "metric")} | {path.stem}
        assert not [name for name in names if re.search("_|[a-z][0-9]", records.spoken(name))]


def test_nothing_recorded_is_none(tmp_path):
    assert records.recorded("never_run", tmp_path) is None
    assert records.recorded("never_run") is None


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (row(value=math.nan), r"rows\[1\]\['value'\] must be a finite number.*nan"),
        (row(value="21"), r"rows\[1\]\['value'\]"),
        (row(value=True), r"rows\[1\]\['value'\]"),
        (row(seed=0.5), r"rows\[1\]\['seed'\] must be a whole number"),
        (row(item=3), r"rows\[1\]\['item'\] must be a name"),
        ({"item": "a", "value": 1.0}, r"rows\[1\] must have.*lacks mapping, seed, metric"),
        ("psnr 21", r"rows\[1\] must be a dict"),
    ],
)
def test_a_bad_row_is_named(tmp_path, bad, says):
    with pytest.raises((ValueError, TypeError), match=says):
        records.record("x", [row(), bad], wall_s=1.0, folder=tmp_path)
    assert not os.listdir(tmp_path)


def test_other_bad_input(tmp_path):
    with pytest.raises(ValueError, match="at least one"):
        records.record("x", [], wall_s=1.0, folder=tmp_path)
    with pytest.raises(ValueError, match="wall_s"):
        records.record("x", [row()], wall_s=-1.0, folder=tmp_path)
    for name in ("../x", "X", "a b", "", None):
        with pytest.raises(ValueError, match="experiment must be"):
            records.record(name, [row()], wall_s=1.0, folder=tmp_path)
        with pytest.raises(ValueError, match="experiment must be"):
            records.recorded(name, tmp_path)


def test_a_crash_leaves_the_previous_record(tmp_path, monkeypatch):
    before = records.record("x", [row(value=1.0)], wall_s=1.0, folder=tmp_path)

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    for step in ("fsync", "replace"):
        with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
            patch.setattr(records.os, step, full_disk)
            records.record("x", [row(value=2.0)], wall_s=1.0, folder=tmp_path)
        assert records.recorded("x", tmp_path) == before and os.listdir(tmp_path) == ["x.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"rows": [{"item": "a"}]}', "{}"])
def test_a_damaged_record_is_named(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match="x.json.*is no record of results"):
        records.recorded("x", tmp_path)


def test_shipped_records_are_sound():
    for path in records.FOLDER.glob("*.json"):
        made = records.recorded(path.stem)
        assert made["experiment"] == path.stem and made["device"]
        reduced = "reduced" if "_reduced" in path.stem else "full"
        assert made["scale"] == reduced
        if "runs" in made:
            cells = [
                tuple(r[key] for key in ("item", "mapping", "seed", "metric")) for r in made["rows"]
            ]
            assert (
                len(set(cells)) == len(cells)
                and len({r["item"] for r in made["rows"]}) <= made["items"]
            )
            assert {r["mapping"] for r in made["rows"]} == made["settings"].keys()
            assert {r["run"] for r in made["rows"]} == set(range(len(made["runs"])))
            assert all(run["command"] and run["commit"] for run in made["runs"])
        assert path.stat().st_size < 200_000
        assert (
            path.read_text(encoding="utf-8")
            == json.dumps(made, indent=1, ensure_ascii=False) + "\n"
        )


def test_standings_are_paired_over_items():
    """Items far apart, a constant lead: the error is that of the differences, not of the items."""
    base, jitter = np.array([10.0, 20.0, 30.0, 40.0]), np.array([0.1, -0.1, 0.3, -0.3])
    rows = [
        row("abcd"[k], m, v)
        for m, x in (("low", base), ("high", base + 2 + jitter))
        for k, v in enumerate(x)
    ]
    low, high = records.standings(rows, "psnr")
    assert (low.mapping, low.items, high.mapping, high.items) == ("low", 4, "high", 4)
    np.testing.assert_allclose([low.mean, low.spread], [25.0, math.sqrt(500 / 3)])
    np.testing.assert_allclose([low.behind, low.error], [2.0, math.sqrt((jitter**2).sum() / 3) / 2])
    assert (high.behind, high.error) == (0, 0) and high.tied and not low.tied


def test_standings_average_seeds_within_an_item():
    rows = [row("a", "m", v, seed=s) for s, v in enumerate([1.0, 3.0])] + [row("b", "m", 6.0)]
    (only,) = records.standings(rows, "psnr")
    assert (only.items, only.mean) == (2, 4.0)


def test_one_item_tells_no_tie():
    low, high = records.standings([row("a", "low", 1.0), row("a", "high", 1.1)], "psnr")
    assert low.spread == 0 and math.isnan(low.error) and not low.tied and high.tied


def test_a_tie_is_called_a_tie():
    rows = [
        row(i, m, v)
        for m, x in (("p", [1, 2, 3]), ("q", [1.5, 1.9, 3.2]))
        for i, v in zip("abc", x, strict=True)
    ]
    p, _ = records.standings(rows, "psnr")
    assert 0 < p.behind < 2 * p.error and p.tied


def test_each_row_tells_how_it_was_made(tmp_path, monkeypatch):
    """Two rows on one machine, one on another: two runs, and the record sums up all three."""
    about = dict(seed=0, scale="reduced", items=5, data_hash="ab", notes="n", folder=tmp_path)
    here = dict(command="python x.py", commit="c1")
    records.add(
        "x",
        "none",
        {"a": {"psnr": 1.0, "ssim": 0.5}},
        seconds=2.04,
        settings={"steps": 3},
        **about,
        **here,
    )
    records.add(
        "x",
        "basic",
        {"a": {"psnr": 2.0}},
        seconds=3.0,
        settings={"steps": 3, "s": 1},
        **about,
        **here,
    )
    other = records.circumstances() | {"device": "abacus", "versions": {"python": "3.99"}}
    monkeypatch.setattr(records, "circumstances", lambda: other)
    made = records.add(
        "x", "none", {"b": {"psnr": 4.0}}, seconds=1.0, settings={"steps": 3}, **about, **here
    )
    assert records.recorded("x", tmp_path) == made
    assert [
        (r["item"], r["mapping"], r["metric"], r["value"], r["seconds"], r["run"])
        for r in made["rows"]
    ] == [
        ("a", "none", "psnr", 1.0, 2.0, 0),
        ("a", "none", "ssim", 0.5, 2.0, 0),
        ("a", "basic", "psnr", 2.0, 3.0, 0),
        ("b", "none", "psnr", 4.0, 1.0, 1),
    ]
    assert made["runs"][1] == here | {"device": "abacus", "versions": {"python": "3.99"}}
    assert made["wall_s"] == 6.0 and made["device"] == f"{made['runs'][0]['device']}; abacus"
    assert made["versions"]["python"].endswith(", 3.99") and (made["scale"], made["items"]) == (
        "reduced",
        5,
    )
    assert made["settings"] == {"none": {"steps": 3}, "basic": {"steps": 3, "s": 1}}
    assert all(r["date"].endswith("+00:00") for r in made["rows"])


def test_a_cell_never_mixes_settings_or_data(tmp_path):
    about = dict(seed=0, scale="full", items=2, seconds=1.0, folder=tmp_path)
    records.add("x", "none", {"a": {"psnr": 1.0}}, settings={"steps": 3}, data_hash="ab", **about)
    before = (tmp_path / "x.json").read_bytes()
    with pytest.raises(
        ValueError, match="'x' is recorded with other.*none: steps 3 and not 4.*x.json"
    ):
        records.add(
            "x", "none", {"b": {"psnr": 1.0}}, settings={"steps": 4}, data_hash="ab", **about
        )
    with pytest.raises(ValueError, match="the data"):
        records.add(
            "x", "basic", {"b": {"psnr": 1.0}}, settings={"steps": 4}, data_hash="cd", **about
        )
    assert (tmp_path / "x.json").read_bytes() == before
    records.add("x", "basic", {"b": {"psnr": 1.0}}, settings={"steps": 4}, data_hash="ab", **about)
    records.record("y", [row()], wall_s=1.0, folder=tmp_path)
    with pytest.raises(ValueError, match="y.json"):  # a record of another kind is not added to
        records.add("y", "none", {"b": {"psnr": 1.0}}, settings={}, data_hash="", **about)


def test_standings_of_a_run_that_is_not_finished():
    """Means over what there is; differences over the items that both rows have, against a plain
    computation.
    """
    scores = {
        "low": [1.0, 2.0, 4.0, 30.0],
        "middle": [2.0, 5.0, 9.0],
        "high": [4.0, 8.0],
        "late": [1.0],
    }
    rows = [row("abcd"[k], m, v) for m, x in scores.items() for k, v in enumerate(x)]
    found = records.standings(rows, "psnr")
    assert [(s.mapping, s.items) for s in found] == [
        ("low", 4),
        ("middle", 3),
        ("high", 2),
        ("late", 1),
    ]
    np.testing.assert_allclose([s.mean for s in found], [37 / 4, 16 / 3, 6, 1])
    np.testing.assert_allclose(
        [s.gain for s in found], [math.nan, 3.0, 2.5, -3.0]
    )  # 1, 3, 5; 2, 3; −3
    np.testing.assert_allclose(
        [s.gain_error for s in found], [math.nan, math.sqrt(4 / 3), 0.5, math.nan]
    )
    np.testing.assert_allclose(
        [s.behind for s in found], [4.5, 2.5, 0.0, 3.0]
    )  # of "high", the best on item a
    np.testing.assert_allclose([s.error for s in found], [1.5, 0.5, 0.0, math.nan])


def test_standings_of_items_that_no_two_rows_share():
    """Each has its mean; a difference there is none."""
    p, q = records.standings([row("a", "p", 1.0), row("b", "q", 3.0)], "psnr")
    assert (p.mean, q.mean, q.behind) == (1.0, 3.0, 0.0)
    assert math.isnan(p.behind) and math.isnan(q.gain) and not p.tied


def test_standings_need_the_metric():
    with pytest.raises(ValueError, match="'iou'"):
        records.standings([row()], "iou")
