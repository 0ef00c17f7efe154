"""The runner of Table 1: every item and mapping once, recorded one by one, resumed where it
stopped.
"""

import dataclasses
import json
import subprocess
import tempfile
from functools import partial
from types import SimpleNamespace

import experiments as tool
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fflib import features
from fflib.experiments import image, protocol, records
from fflib.experiments.protocol import Experiment, item_keys, run
from fflib.network import mlp
from fflib.training import fit
from fflib.worlds import pictures
from fflib.worlds.fetch import FetchError

ITEMS = SimpleNamespace(
    names=("a", "b", "c"), array={"y": np.arange(3.0)}, sha256="ab", origin="Three numbers"
)


class Lab:
    """An experiment that notes what it was asked and can be made to fail."""

    def __init__(self):
        self.asked, self.fail_on, self.error = [], None, RuntimeError

    def solve(self, array, keys, mapping):
        names = "".join("abc"[int(y)] for y in array["y"])
        self.asked.append((mapping, names))
        if (mapping, names) == self.fail_on:
            raise self.error("lost")
        noise = jax.vmap(lambda key: jax.random.normal(key))(keys)
        return [{"psnr": y + e, "mse": 1.0} for y, e in zip(array["y"], noise, strict=True)]

    def experiment(self, settings=None, mappings=("none", "basic"), **more):
        settings = settings or {"steps": 3, "scales": {"basic": 1.0}}
        return Experiment(lambda: ITEMS, self.solve, settings, mappings, **more)

    def run(self, tmp_path, settings=None, mappings=("none", "basic"), **options):
        self.asked.clear()
        where = dict(folder=tmp_path, say=lambda _: None)
        return run({"x": self.experiment(settings, mappings)}, **(where | options))["x"]


def values(made):
    return {
        (r["item"], r["mapping"], r["seed"]): r["value"]
        for r in made["rows"]
        if r["metric"] == "psnr"
    }


def test_every_item_and_mapping_once(tmp_path):
    lab = Lab()
    made = lab.run(tmp_path, seeds=(0, 7), command="how", commit="c0")
    assert lab.asked == [(mapping, item) for item in "abc" for mapping in ("none", "basic")] * 2
    assert len(made["rows"]) == 3 * 2 * 2 * 2 and made["seeds"] == [0, 7]
    assert (made["data_hash"], made["notes"], made["items"]) == ("ab", "Three numbers", 3)
    assert made["settings"] == {
        "none": {"steps": 3, "scales": None},
        "basic": {"steps": 3, "scales": 1.0},
    }
    assert [(run["command"], run["commit"]) for run in made["runs"]] == [("how", "c0")]
    assert records.recorded("x", tmp_path) == made


def test_one_item_of_every_experiment_before_the_next(tmp_path):
    """Where one training serves all items, one row a round: it costs as much as an item elsewhere."""
    one, two, scene = Lab(), Lab(), Lab()
    two.asked = scene.asked = one.asked
    run(
        {
            "x": one.experiment(),
            "y": two.experiment(mappings=("gaussian",)),
            "z": scene.experiment(shared=True),
        },
        folder=tmp_path,
        say=lambda _: None,
    )
    first = [("none", "a"), ("basic", "a"), ("gaussian", "a"), ("none", "abc")]
    then = [("none", "b"), ("basic", "b"), ("gaussian", "b"), ("basic", "abc")]
    assert one.asked == [*first, *then, ("none", "c"), ("basic", "c"), ("gaussian", "c")]
    made = records.recorded("z", tmp_path)
    assert len(made["rows"]) == 12 and made["items"] == 3


def test_a_trial_runs_the_first_items(tmp_path):
    made = Lab().run(tmp_path, limit=2)
    assert {item for item, *_ in values(made)} == {"a", "b"} and made["items"] == 3


@pytest.mark.parametrize("on", ["the same", "another machine and versions"])
def test_an_interrupted_run_goes_on(tmp_path, monkeypatch, on):
    """Stopped anywhere, no finished row is lost and none is made twice."""
    undisturbed = values(Lab().run(tmp_path / "other"))
    lab = Lab()
    lab.fail_on = ("basic", "b")
    with pytest.raises(RuntimeError):
        lab.run(tmp_path)
    assert len(records.recorded("x", tmp_path)["rows"]) == 3 * 2
    lab.fail_on = None
    if on != "the same":
        monkeypatch.setattr(
            records, "circumstances", lambda: {"device": "abacus", "versions": {"python": "3.99"}}
        )
    made = lab.run(tmp_path)
    assert (
        lab.asked == [("basic", "b"), ("none", "c"), ("basic", "c")] and values(made) == undisturbed
    )
    assert len(made["runs"]) == (1 if on == "the same" else 2)
    lab.run(tmp_path)
    assert lab.asked == []


@pytest.mark.parametrize("change", ["settings", "data"])
def test_another_experiment_is_refused_before_anything_is_computed(tmp_path, monkeypatch, change):
    lab = Lab()
    before = lab.run(tmp_path, limit=1)
    if change == "data":
        monkeypatch.setattr(ITEMS, "sha256", "cd")
    with pytest.raises(ValueError, match="'x' is recorded with other settings or data"):
        lab.run(tmp_path, {"steps": 4, "scales": {"basic": 1.0}} if change == "settings" else None)
    assert lab.asked == [] and records.recorded("x", tmp_path) == before


def test_settings_of_one_row_do_not_concern_another(tmp_path):
    lab = Lab()
    lab.run(tmp_path, limit=1)
    lab.run(
        tmp_path,
        {"steps": 3, "scales": {"basic": 1.0, "gaussian": 5.0}},
        ("none", "basic", "gaussian"),
        limit=1,
    )
    assert lab.asked == [("gaussian", "a")]


def test_settings_of_a_row_are_its_own():
    settings = {
        "steps": 3,
        "rates": {"none": 1.0, "rest": 2.0},
        "scales": {"ladder": 8},
        "rate_ours": 0.1,
    }
    made = Lab().experiment(settings)
    assert protocol.settings_of(made, "none") == {"steps": 3, "rates": 1.0, "scales": None}
    assert protocol.settings_of(made, "ladder, aligned") == {"steps": 3, "rates": 2.0, "scales": 8}
    assert protocol.settings_of(made, "ours") == {
        "steps": 3,
        "rates": 2.0,
        "scales": None,
        "rate_ours": 0.1,
    }


def test_nothing_is_begun_that_does_not_fit(tmp_path):
    """Judged by what the last training of the same mapping on such a device took."""
    lab, said = Lab(), []
    made = lab.run(tmp_path, limit=1)
    for row in made["rows"]:
        row["seconds"] = {"none": 1.0, "basic": 4000.0}[row["mapping"]]
    (tmp_path / "x.json").write_text(json.dumps(made))
    lab.run(tmp_path, minutes=60, say=said.append)
    assert lab.asked == [("none", "b"), ("none", "c")]
    assert said[-1] == "Stopped with 2 trainings left, about 2.2 hours"
    lab.run(tmp_path, minutes=0)
    assert lab.asked == []


def test_a_lost_training_does_not_stop_the_others(tmp_path):
    lab, said = Lab(), []
    lab.fail_on, lab.error = ("none", "a"), FloatingPointError
    made = lab.run(tmp_path, limit=2, say=said.append)
    assert ("a", "none", 0) not in values(made) and len(values(made)) == 3
    assert "x: none on a was lost: lost" in said and said[-1].startswith(
        "Stopped with 1 trainings left"
    )


def test_an_experiment_without_its_data_is_left_out(tmp_path):
    def gone():
        raise FetchError("no such host")

    lab, said = Lab(), []
    asked = {"y": lab.experiment()._replace(load=gone), "x": lab.experiment()}
    assert run(asked, folder=tmp_path, say=said.append).keys() == {"x"}
    assert said[0] == "y: left out, no such host" and len(lab.asked) == 6


def test_a_row_is_remade():
    """At toy size, a real training: the same number again, and another one from another key."""
    tiny = image.Setting(steps=20, width=16, m=8, rates=image.TEXT.rates, scales=image.TEXT.scales)
    small = Experiment(
        lambda: pictures.text_pages(jax.random.key(0), 2, 32),
        partial(image._solve, setting=tiny),
        dataclasses.asdict(tiny),
    )
    with tempfile.TemporaryDirectory() as folder:
        rows = run(
            {"x": small._replace(mappings=("gaussian",))}, folder=folder, say=lambda _: None
        )["x"]["rows"]
    for row in rows[0], rows[3]:  # the PSNR of either page
        assert row["metric"] == "psnr" and abs(protocol.remade(small, row) - row["value"]) < 0.1
    assert protocol.remade(small, rows[0] | {"seed": 1}) != rows[0]["value"]
    scene = small._replace(shared=True)
    assert abs(protocol.remade(scene, rows[3]) - rows[3]["value"]) < 0.1


def test_item_keys_do_not_depend_on_the_company():
    alone, among = item_keys(3, [2]), item_keys(3, [0, 1, 2])
    assert (jax.random.key_data(alone[0]) == jax.random.key_data(among[2])).all()
    assert len({tuple(np.asarray(k)) for k in jax.random.key_data(among)}) == 3
    assert (jax.random.key_data(item_keys(4, [2])) != jax.random.key_data(alone)).any()


def test_encode_gives_the_four_mappings():
    key, v = jax.random.key(0), np.random.default_rng(0).random((5, 2)).astype(np.float32)
    same = {
        "none": features.none(2),
        "basic": features.basic(2),
        "positional": features.positional(8, 2, 3.0),
        "gaussian": features.gaussian(key, 8, 2, 3.0),
    }
    assert tuple(same) == protocol.MAPPINGS
    for name, mapping in same.items():
        np.testing.assert_array_equal(protocol.encode(name, key, 8, 2, 3.0)(v), mapping(v))
    with pytest.raises(ValueError, match="mapping must be one of"):
        protocol.encode("fourier", key, 8, 2, 3.0)


def test_the_fifth_row_is_an_experiment_of_its_own():
    known = tool.experiments()
    for name in ("image_natural", "image_text", "shape_scans", "ct_shepp", "ct_brain", "mri_brain"):
        four, ours = known[name], known[f"{name}_ours"]
        assert (four.mappings[:4], ours.mappings) == (protocol.MAPPINGS, ("ours",))
    for name in (*records.TABLE1, "mri_shepp"):
        four, ours = known[name], known[f"{name}_ours"]
        assert "ours" not in four.mappings and ours.mappings == ("ours",)
        assert (ours.load, ours.solve, ours.settings) == (four.load, four.solve, four.settings)
    gamma = protocol.encode("ours", jax.random.key(0), 8, 2, 3.0)
    np.testing.assert_array_equal(gamma.B, features.gaussian(jax.random.key(0), 8, 2, 3.0).B)
    setting = protocol.Setting(5, 8, 8, {"rest": 0.2, "ours": 0.1}, {})
    assert protocol.optimizer_of("ours", setting) is protocol.muon(0.1, 5)
    assert protocol.optimizer_of("gaussian", setting) is protocol.adam(0.2)
    assert protocol.optimizer_of("none", setting, decay=4) is protocol.adam(0.2, decay=4)


@pytest.mark.parametrize("shape", [(6, 6), (9, 5), (5, 9)])
def test_the_first_step_of_muon_moves_every_direction_alike(shape):
    """By about the rate, longer for wide matrices; the bias by a tenth of the rate; less and less."""
    G = np.random.default_rng(0).normal(size=shape) @ np.diag(np.geomspace(1, 0.05, shape[1]))
    G, g = jnp.float32(G), jnp.array([1.0, -2.0, 0.5])
    how = protocol.muon(0.1, 4)
    state, steps = how.init([(G, g)]), []
    for _ in range(5):
        [(step, _bias)], state = how.update([(G, g)], state, [(G, g)])
        steps.append(step)
    wide = max(1, shape[1] / shape[0]) ** 0.5
    U, _, Vt = np.linalg.svd(G, full_matrices=False)
    moved = np.diag(U.T @ np.asarray(steps[0]) @ Vt.T)
    assert ((0.6 < -moved / (0.1 * wide)) & (-moved / (0.1 * wide) < 1.25)).all(), moved
    np.testing.assert_allclose(steps[0], (U * moved) @ Vt, atol=1e-5)
    first, _ = how.update([(G, g)], how.init([(G, g)]), [(G, g)])
    # Adam's first step with Nesterov's look ahead: b₁(1 − b₁)/(1 − b₁²) + 1 times the rate
    ahead = 0.9 * 0.1 / (1 - 0.9**2) + 1
    np.testing.assert_allclose(first[0][1], -0.01 * ahead * np.sign(g), rtol=1e-3)
    sizes = [float(jnp.linalg.norm(step)) for step in steps]
    np.testing.assert_allclose(
        np.divide(sizes, sizes[0]), (1 + np.cos(np.pi * np.arange(5) / 4)) / 2, atol=0.02
    )


def test_muon_learns_weak_directions_that_gradient_descent_does_not():
    """Linear regression with inputs of very unequal strength: rate alone cannot help plain descent."""
    rng = np.random.default_rng(3)
    x = jnp.float32(rng.normal(size=(200, 6)) * np.geomspace(1.0, 0.01, 6))
    true = jnp.float32(rng.normal(size=(6, 4)))
    left = {}
    for name, how in {"muon": protocol.muon(0.2, 300), "sgd": optax.sgd(2.0)}.items():
        [(W, _)], _ = fit(
            [(jnp.zeros((6, 4)), jnp.zeros(4))],
            lambda p, x: 0.5 * jnp.mean((x @ p[0][0] - x @ true) ** 2),
            x, steps=300, optimizer=how, progress=False,
        )  # fmt: skip
        left[name] = np.abs(W - true)[-1].max()
    assert left["muon"] < 0.1 * left["sgd"], left


@pytest.mark.parametrize(
    ("numbers", "says"), [((0.0, 1), "rate must be"), ((1.0, 0), "steps must")]
)
def test_muon_of_bad_numbers(numbers, says):
    with pytest.raises(ValueError, match=says):
        protocol.muon(*numbers)


def test_start_at_paints_the_mean():
    model = mlp(4, 8, 3, d_out=3, output="sigmoid")
    mean = np.array([0.2, 0.5, 0.9], np.float32)
    params = protocol.start_at(model.init(jax.random.key(0)), mean)
    np.testing.assert_allclose(model(params, np.zeros((1, 4), np.float32))[0], mean, rtol=1e-5)
    black = protocol.start_at(model.init(jax.random.key(0)), np.zeros(3))
    assert np.isfinite(black[-1][1]).all()


def test_the_tool_knows_every_experiment():
    known = tool.experiments()
    assert {"image_natural", "image_text"} <= known.keys()
    for name, experiment in known.items():
        assert isinstance(experiment, Experiment) and experiment.settings, name
        assert json.loads(json.dumps(experiment.settings)) == experiment.settings, (
            name
        )  # as a record keeps it


def test_the_tool_refuses_unknown_names(capsys):
    with pytest.raises(SystemExit):
        tool.main(["--scale", "full", "nothing_like_it"])
    said = capsys.readouterr().err
    assert (
        "there is no nothing_like_it at full scale; there are: image_natural" in said
        and "_reduced" not in said
    )


def test_the_tool_chooses_by_scale_and_name():
    """Every column at both scales, with row zero; the fifth row only when asked for."""
    zero = {f"{name}_plain" for name in records.TABLE1 if name != "nerf_lego"}
    zero_reduced = {name.replace("_plain", "_reduced_plain") for name in zero}
    four = {f"{name}_reduced" for name in records.TABLE1}
    assert tool.chosen([], "reduced").keys() == four | zero_reduced
    assert tool.chosen([], "full").keys() == {*records.TABLE1, "mri_shepp"} | zero
    assert tool.chosen(["image_t"], "reduced").keys() == {
        "image_text_reduced",
        "image_text_reduced_plain",
    }
    assert all(name.endswith("_ours") for name in tool.chosen(["ours"], "full"))
    assert len(tool.chosen(["ours"], "reduced")) == 7


def test_the_reduced_settings():
    """The published ones but for size and length."""
    sizes = {"image_natural": 256, "image_text": 256, "ct_shepp": 128, "ct_brain": 128}
    sizes |= {"mri_brain": 48, "nerf_lego": 100}
    fewer = {
        "shape_scans": {"steps": 1000, "batch": 16_384, "lines": 1 << 18, "tests": 1 << 17},
        "nerf_lego": {"steps": 1500, "samples": 64},
    }
    known = tool.experiments()
    for name in records.TABLE1:
        full, reduced = known[name].settings, known[f"{name}_reduced"].settings
        size = {"size": sizes[name]} if name in sizes else {}
        assert reduced == full | fewer.get(name, {"steps": 500}) | size
        assert (known[name].scale, known[f"{name}_reduced"].scale) == ("full", "reduced")
        assert (
            known[name].mappings[:3]
            == known[f"{name}_reduced"].mappings[:3]
            == protocol.MAPPINGS[:3]
        )


def test_a_commit_is_told(tmp_path, monkeypatch):
    def git(*how):
        return subprocess.run(
            ["git", "-C", tmp_path, *how], check=True, capture_output=True, text=True
        ).stdout

    monkeypatch.setattr(tool, "ROOT", tmp_path)
    for path in ("fflib/results/x.json", "fflib/a.py", "tools/b.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    git("init", "-q")
    git("add", "-A")
    git(
        "-c",
        "user.name=n",
        "-c",
        "user.email=e@x",
        "-c",
        "commit.gpgsign=false",
        "commit",
        "-qm",
        "m",
    )
    assert tool.commit() == git("rev-parse", "HEAD")[:12]
    (tmp_path / "fflib/results/x.json").write_text("{}")
    assert "+" not in tool.commit()  # what the run itself writes
    (tmp_path / "fflib/a.py").write_text("1")
    assert tool.commit() == git("rev-parse", "HEAD")[:12] + "+"


def test_table_1_asks_for_records_that_the_runner_writes():
    assert len(records.TABLE1) == 7 and records.TABLE1.keys() <= tool.experiments().keys()
    assert len({column.title for column in records.TABLE1.values()}) == 7
