"""The runner of Table 1: every item and mapping once, saved on the way, resumed where it stopped."""

import json
from types import SimpleNamespace

import experiments as tool
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fflib import features
from fflib.experiments import protocol, records
from fflib.experiments.protocol import Experiment, item_keys, run
from fflib.network import mlp
from fflib.training import fit

ITEMS = SimpleNamespace(
    names=("a", "b", "c"), array={"y": np.arange(3.0)}, sha256="ab", origin="Three numbers"
)


class Lab:
    """An experiment that notes what it was asked and can be made to fail."""

    def __init__(self):
        self.asked, self.fail_on = [], None

    def solve(self, array, keys, mapping):
        names = ["abc"[int(y)] for y in array["y"]]
        self.asked.append((mapping, "".join(names)))
        if (mapping, "".join(names)) == self.fail_on:
            raise FloatingPointError("lost")
        noise = jax.vmap(lambda key: jax.random.normal(key))(keys)
        return [{"psnr": y + e, "mse": 1.0} for y, e in zip(array["y"], noise, strict=True)]

    def run(self, tmp_path, settings=None, mappings=("none", "basic"), **options):
        self.asked.clear()
        made = Experiment(
            lambda: ITEMS, self.solve, settings or {"steps": 3, "scales": {"s": 1.0}}, mappings
        )
        where = dict(folder=tmp_path / "done", partial=tmp_path / "partial", say=lambda _: None)
        return run("x", made, **(where | options))


def values(made):
    return {
        (r["item"], r["mapping"], r["seed"]): r["value"]
        for r in made["rows"]
        if r["metric"] == "psnr"
    }


def test_every_item_and_mapping_once(tmp_path):
    lab = Lab()
    made = lab.run(tmp_path, seeds=(0, 7))
    assert lab.asked == [("none", "abc"), ("basic", "abc")] * 2
    assert len(made["rows"]) == 3 * 2 * 2 * 2 and made["seeds"] == [0, 7]
    assert (made["data_hash"], made["notes"]) == ("ab", "Three numbers")
    assert made["settings"] == {"steps": 3, "scales": {"s": 1.0}}
    assert records.recorded("x", tmp_path / "done") == made
    assert records.recorded("x", tmp_path / "partial") is None


@pytest.mark.parametrize("together", [1, 2])
def test_it_does_not_matter_which_items_train_together(tmp_path, together):
    assert values(Lab().run(tmp_path, together=together)) == values(Lab().run(tmp_path))


def test_a_trial_runs_the_first_items(tmp_path):
    lab = Lab()
    assert {item for item, *_ in values(lab.run(tmp_path, limit=2))} == {"a", "b"}


def test_an_interrupted_run_goes_on(tmp_path):
    undisturbed = values(Lab().run(tmp_path / "other", together=2))
    lab = Lab()
    lab.fail_on = ("basic", "c")
    with pytest.raises(FloatingPointError):
        lab.run(tmp_path, together=2)
    assert records.recorded("x", tmp_path / "done") is None
    lab.fail_on = None
    made = lab.run(tmp_path, together=2)
    assert lab.asked == [("basic", "c")] and values(made) == undisturbed


@pytest.mark.parametrize("change", ["settings", "data", "damage", "versions"])
def test_another_experiment_begins_again(tmp_path, monkeypatch, change):
    lab = Lab()
    lab.fail_on = ("basic", "abc")
    with pytest.raises(FloatingPointError):
        lab.run(tmp_path)
    lab.fail_on = None
    settings = None
    if change == "settings":
        settings = {"steps": 4}
    if change == "data":
        monkeypatch.setattr(ITEMS, "sha256", "cd")
    if change == "damage":
        (tmp_path / "partial/x.json").write_text("{")
    if change == "versions":
        monkeypatch.setattr(records, "PACKAGES", ("numpy",))
    lab.run(tmp_path, settings)
    assert lab.asked == [("none", "abc"), ("basic", "abc")]


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
    assert protocol.optimizer_of("ours", 0.1, 5) is protocol.muon(0.1, 5)
    assert protocol.optimizer_of("gaussian", 0.1, 5) is protocol.adam(0.1)


@pytest.mark.parametrize("shape", [(6, 6), (9, 5), (5, 9)])
def test_the_first_step_of_muon_moves_every_direction_alike(shape):
    """By about the rate, longer for wide matrices; the bias by a tenth of the rate; less and less."""
    G = np.random.default_rng(0).normal(size=shape) @ np.diag(np.geomspace(1, 0.05, shape[1]))
    G, g = jnp.float32(G), jnp.array([1.0, -2.0, 0.5])
    how = protocol.muon(0.1, 4)
    state, steps = how.init([(G, g)]), []
    for _ in range(5):
        [(step, bias)], state = how.update([(G, g)], state, [(G, g)])
        steps.append(step)
    wide = max(1, shape[1] / shape[0]) ** 0.5
    U, _, Vt = np.linalg.svd(G, full_matrices=False)
    moved = np.diag(U.T @ np.asarray(steps[0]) @ Vt.T)
    assert ((0.6 < -moved / (0.1 * wide)) & (-moved / (0.1 * wide) < 1.25)).all(), moved
    np.testing.assert_allclose(steps[0], (U * moved) @ Vt, atol=1e-5)
    first, _ = how.update([(G, g)], how.init([(G, g)]), [(G, g)])
    np.testing.assert_allclose(first[0][1], -0.01 * np.sign(g), rtol=1e-3)  # Adam's first step
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


def test_the_tool_refuses_unknown_names(capsys, monkeypatch):
    monkeypatch.setenv("FFLIB_SCALE", "full")  # as the tool does itself
    with pytest.raises(SystemExit):
        tool.main(["nothing_like_it"])
    assert "there is no nothing_like_it; there are: image_natural" in capsys.readouterr().err


def test_table_1_asks_for_records_that_the_runner_writes():
    assert len(records.TABLE1) == 7 and records.TABLE1.keys() <= tool.experiments().keys()
    assert len({column.title for column in records.TABLE1.values()}) == 7
