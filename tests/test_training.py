"""The training loop: against a plain loop of optax steps, member by member, and through interruptions."""

import itertools
import sys
from contextlib import nullcontext

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fflib import checks
from fflib.network import mlp
from fflib.theory import dynamics
from fflib.training import fit

MODULE = sys.modules["fflib.training"]  # `fflib.training` is the function
KEY = jax.random.key(0)
MODEL = mlp(1, 8, 3, weights="he")
PARAMS = MODEL.init(KEY)
X = np.linspace(-1, 1, 12, dtype=np.float32)[:, None]
DATA = (X, np.sin(3 * X))
MANY = jax.vmap(MODEL.init)(jax.random.split(KEY, 3))
ADAM = optax.adam(1e-2)
QUIET = dict(optimizer=ADAM, progress=False)


def loss(params, data):
    return 0.5 * jnp.mean((MODEL.apply(params, data[0]) - data[1]) ** 2)


def metrics(params, data):
    return {"f": MODEL.apply(params, data[0])[:, 0], "mse": 2 * loss(params, data)}


def three_points(key, data):
    rows = jax.random.choice(key, 12, (3,), replace=False)
    return data[0][rows], data[1][rows]


def plain_loop(params, data, steps, optimizer=ADAM, batch=lambda i: DATA):
    """What fit stands for. Returns every step's parameters and losses."""
    state, seen, losses = optimizer.init(params), [params], []
    step = jax.jit(jax.value_and_grad(loss))
    for i in range(steps):
        value, gradient = step(params, batch(i) if data is None else data)
        update, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, update)
        seen.append(params)
        losses.append(float(value))
    return seen, losses


def same(a, b, **tolerance):
    for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(
            p, q, **tolerance
        ) if tolerance else np.testing.assert_array_equal(p, q)


# --------------------------------------------------------------------------------------------------
# What it computes


@pytest.mark.parametrize("name", ["adam", "sgd", "momentum and schedule"])
def test_fit_is_a_plain_loop_of_optimizer_steps(name):
    optimizer = {
        "adam": ADAM,
        "sgd": optax.sgd(0.3),
        "momentum and schedule": optax.sgd(optax.exponential_decay(0.2, 3, 0.5), momentum=0.9),
    }[name]
    params, history = fit(
        PARAMS, loss, DATA, steps=11, optimizer=optimizer, every=4, metrics=metrics, progress=False
    )
    seen, losses = plain_loop(PARAMS, DATA, 11, optimizer)
    same(params, seen[-1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        history["loss"], [losses[0], losses[4], losses[8], loss(seen[11], DATA)], rtol=1e-4
    )
    assert losses[0] > 1.05 * float(loss(seen[11], DATA))  # it trains at all


@pytest.mark.parametrize(
    ("steps", "every", "recorded"),
    [
        (10, 4, [0, 4, 8, 10]),
        (8, 4, [0, 4, 8]),
        (5, None, [0, 5]),
        (3, 7, [0, 3]),
        (3, 1, [0, 1, 2, 3]),
        (1, 1, [0, 1]),
    ],
)
def test_what_is_recorded_and_when(steps, every, recorded):
    """Metrics and loss of one and the same parameters: those before the step of that number."""
    _, history = fit(PARAMS, loss, DATA, steps=steps, every=every, metrics=metrics, **QUIET)
    assert set(history) == {"step", "loss", "f", "mse"}
    assert history["step"].tolist() == recorded
    assert history["loss"].shape == history["mse"].shape == (len(recorded),) and history[
        "f"
    ].shape == (len(recorded), 12)
    np.testing.assert_allclose(history["mse"], 2 * history["loss"], rtol=1e-5)
    seen, _ = plain_loop(PARAMS, DATA, steps)
    for step, f in zip(recorded, history["f"], strict=True):
        np.testing.assert_allclose(f, MODEL.apply(seen[step], X)[:, 0], rtol=1e-3, atol=1e-5)


def test_without_metrics_there_is_still_the_loss():
    _, history = fit(PARAMS, loss, DATA, steps=2, **QUIET)
    assert set(history) == {"step", "loss"}


def test_recording_does_not_change_training():
    a, _ = fit(PARAMS, loss, DATA, steps=10, **QUIET)
    b, _ = fit(PARAMS, loss, DATA, steps=10, every=3, metrics=metrics, **QUIET)
    same(a, b, rtol=1e-5, atol=1e-7)


def test_the_given_parameters_are_left_alone():
    before = jax.tree.map(np.array, PARAMS)
    fit(PARAMS, loss, DATA, steps=3, **QUIET)
    same(PARAMS, before)


def test_any_pytree_of_parameters_and_no_data():
    """½‖p‖² by gradient descent: p → (1 − η)^k p."""
    params = {"a": jnp.arange(3.0), "b": (np.float32(2.0), [jnp.ones((2, 2))])}
    norm = lambda p, data: 0.5 * sum((leaf**2).sum() for leaf in jax.tree.leaves(p))
    out, history = fit(params, norm, steps=5, optimizer=optax.sgd(0.1), progress=False)
    same(out, jax.tree.map(lambda leaf: 0.9**5 * leaf, params), rtol=1e-5)
    np.testing.assert_allclose(history["loss"], [6.5 + 0, 6.5 * 0.9**10], rtol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "exception", "says"),
    [
        (
            lambda params, data: params[0][0],
            TypeError,
            r"metrics must return a dict of arrays, but returned an array",
        ),
        (
            lambda params, data: {"loss": loss(params, data)},
            ValueError,
            r"leave 'step' and 'loss' to fit.*\['loss'\]",
        ),
        (
            lambda params, data: {"f": 0.0, "step": 1},
            ValueError,
            r"leave 'step' and 'loss' to fit.*\['f', 'step'\]",
        ),
    ],
)
def test_metrics_that_cannot_be_recorded(wrong, exception, says):
    with pytest.raises(exception, match=says):
        fit(PARAMS, loss, DATA, steps=2, metrics=wrong, **QUIET)


def test_data_go_to_the_device_once(monkeypatch):
    """However many chunks there are, none of them is handed a numpy array."""
    seen, chunk = [], MODULE._chunk
    watched = lambda state, data, *args, **kwargs: (
        seen.append(data) or chunk(state, data, *args, **kwargs)
    )
    monkeypatch.setattr(MODULE, "_chunk", watched)
    data = (np.array(X), np.array(DATA[1]))
    fit(PARAMS, loss, data, steps=6, every=2, **QUIET)
    assert len(seen) == 3 and all(isinstance(leaf, jax.Array) for data in seen for leaf in data)
    assert all(leaf is first for data in seen for leaf, first in zip(data, seen[0], strict=True))


# --- minibatches


def test_weakly_typed_parameters_are_compiled_for_once():
    params = {
        "w": jnp.asarray(2.0)
    }  # a Python number keeps a weak type, which the first step would lose
    assert params["w"].weak_type
    chunk = sys.modules["fflib.training"]._chunk
    before = chunk._cache_size()
    fit(
        params,
        lambda p, data: (p["w"] - 1) ** 2,
        steps=6,
        every=2,
        optimizer=optax.sgd(0.01),
        progress=False,
    )
    assert chunk._cache_size() == before + 1


def test_minibatches_are_those_of_the_keys():
    """Step i sees batch(fold_in(key, i), data), and history shows that batch's loss."""
    key = jax.random.key(7)
    batch = lambda i: three_points(jax.random.fold_in(key, i), DATA)
    params, history = fit(
        PARAMS, loss, DATA, steps=7, every=3, key=key, batch=three_points, **QUIET
    )
    seen, losses = plain_loop(PARAMS, None, 7, batch=batch)
    same(params, seen[-1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        history["loss"], [losses[0], losses[3], losses[6], loss(seen[7], batch(7))], rtol=1e-4
    )


def test_the_closing_loss_is_that_of_the_batch_to_come():
    """A run that stops at step 6 closes with what a longer one records there."""
    how = dict(every=3, key=jax.random.key(7), batch=three_points, **QUIET)
    for many, params in ((False, PARAMS), (True, MANY)):
        short, long = (fit(params, loss, DATA, steps=n, ensemble=many, **how)[1] for n in (6, 9))
        np.testing.assert_allclose(short["loss"][-1], long["loss"][2], rtol=1e-5)
        assert (
            np.ptp(long["loss"][1:3], axis=0).min() > 1e-3 * long["loss"].max()
        )  # another batch, another loss


def test_minibatches_are_reproducible_by_key():
    run = lambda seed: fit(
        PARAMS, loss, DATA, steps=6, key=jax.random.key(seed), batch=three_points, **QUIET
    )[0]
    same(run(1), run(1))
    assert not np.array_equal(run(1)[0][0], run(2)[0][0])


# --- ensembles


def member(tree, e):
    return jax.tree.map(lambda leaf: leaf[e], tree)


def test_an_ensemble_is_its_members_trained_alone():
    params, history = fit(
        MANY, loss, DATA, steps=9, every=4, metrics=metrics, ensemble=True, **QUIET
    )
    assert history["loss"].shape == (4, 3) and history["f"].shape == (4, 3, 12)
    for e in range(3):
        alone, told = fit(member(MANY, e), loss, DATA, steps=9, every=4, metrics=metrics, **QUIET)
        same(member(params, e), alone, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(history["loss"][:, e], told["loss"], rtol=1e-3)
        np.testing.assert_allclose(history["f"][:, e], told["f"], rtol=1e-3, atol=1e-4)


def test_members_may_have_their_own_data():
    own = (np.stack([X] * 3), np.stack([k * DATA[1] for k in (1, 2, 3)]))
    params, history = fit(
        MANY, loss, own, steps=9, metrics=metrics, ensemble=True, shared_data=False, **QUIET
    )
    for e in range(3):
        alone, told = fit(member(MANY, e), loss, member(own, e), steps=9, metrics=metrics, **QUIET)
        same(member(params, e), alone, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(history["mse"][:, e], told["mse"], rtol=1e-3)


def test_members_draw_different_minibatches():
    """Three copies of one network: alike on all data, different with batches of their own."""
    copies = jax.tree.map(lambda leaf: jnp.stack([leaf] * 3), PARAMS)
    alike, _ = fit(copies, loss, DATA, steps=3, ensemble=True, **QUIET)
    same(member(alike, 0), member(alike, 2))
    apart, _ = fit(copies, loss, DATA, steps=3, ensemble=True, key=KEY, batch=three_points, **QUIET)
    assert all(not np.array_equal(apart[0][0][0], apart[0][0][e]) for e in (1, 2))


def test_one_lost_member_does_not_stop_the_others():
    params = {"w": jnp.array([1.0, np.nan])}
    out, history = fit(
        params,
        lambda p, _: p["w"] ** 2,
        steps=3,
        optimizer=optax.sgd(0.1),
        ensemble=True,
        progress=False,
    )
    np.testing.assert_allclose(out["w"], [0.8**3, np.nan], rtol=1e-5)
    assert np.isfinite(history["loss"][:, 0]).all()


# --------------------------------------------------------------------------------------------------
# Interruptions and checkpoints


RUN = dict(steps=12, every=4, key=jax.random.key(3), batch=three_points, metrics=metrics, **QUIET)


class Killed(BaseException):
    """Stands for the end of the process: nothing that fit could catch."""


@pytest.fixture
def stop(monkeypatch):
    """stop("_chunk", n, error): the n-th chunk of steps (or recording, "_evaluate") raises error."""

    def arm(name, n, error):
        original, calls = getattr(MODULE, name), []

        def watched(*args, **kwargs):
            calls.append(None)
            if len(calls) == n:
                monkeypatch.setattr(MODULE, name, original)
                raise error
            return original(*args, **kwargs)

        monkeypatch.setattr(MODULE, name, watched)

    return arm


@pytest.fixture
def always_saving(monkeypatch):
    """A clock so fast that fit writes its checkpoint after every chunk."""
    monkeypatch.setattr(MODULE.time, "monotonic", itertools.count(0.0, 1000.0).__next__)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.npz"


def run(**changes):
    return fit(PARAMS, loss, DATA, **(RUN | changes))


def same_run(a, b):
    """Bit for bit: parameters and history."""
    same(a[0], b[0])
    assert list(a[1]) == list(b[1])
    same(a[1], b[1])


@pytest.mark.parametrize(
    ("where", "n"),
    [("_evaluate", 1), ("_evaluate", 3), ("_chunk", 1), ("_chunk", 2), ("_chunk", 3)],
)
def test_resumed_after_ctrl_c(where, n, path, stop):
    """The interrupt passes on, what was done is kept, and going on gives the uninterrupted run."""
    stop(where, n, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=path)
    assert path.exists()
    same_run(run(checkpoint=path), run())


def test_resumed_after_a_kill(path, stop, always_saving, monkeypatch):
    stop("_chunk", 3, Killed)
    with pytest.raises(Killed):
        run(checkpoint=path)
    with np.load(path) as file:
        assert file["history_step"].tolist() == [0, 4]  # both chunks before it were saved
    stop("_chunk", 2, Killed)  # left to do: steps 8 to 12
    resumed = run(checkpoint=path)
    monkeypatch.undo()
    same_run(resumed, run())


def test_a_finished_run_is_not_run_again(path, stop):
    first = run(checkpoint=path, batch=None)
    stop("_chunk", 1, Killed)
    same_run(run(checkpoint=path, batch=None), first)


@pytest.mark.parametrize("before", [8, 10])
def test_a_finished_run_can_be_extended(before, path):
    """Also when the first part did not end on a recording step."""
    run(steps=before, checkpoint=path)
    same_run(run(steps=20, checkpoint=path), run(steps=20))


def test_an_ensemble_is_resumed(path, stop):
    many = lambda **rest: fit(MANY, loss, DATA, **(RUN | dict(ensemble=True) | rest))
    stop("_chunk", 2, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        many(checkpoint=path)
    same_run(many(checkpoint=path), many())


def test_ctrl_c_without_checkpoint_returns_what_it_has(stop):
    stop("_chunk", 3, KeyboardInterrupt)
    with pytest.warns(UserWarning, match=r"practice was interrupted at step 8 of 12"):
        partly = run(label="practice")
    same_run(partly, run(steps=8))


def test_checkpointing_changes_nothing(path, always_saving):
    same_run(run(checkpoint=path.parent / "new" / "folder" / "run.npz"), run())
    assert [p.name for p in (path.parent / "new" / "folder").iterdir()] == ["run.npz"]
    same_run(run(checkpoint=str(path)), run())


# --- when the file is not what it should be


def test_disk_full_does_not_stop_training(path, monkeypatch, always_saving):
    """A warning that names the file and the reason; no half-written file; the result is the same."""
    wanted = run()

    def full(file, **arrays):
        file.write(b"some bytes")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.warns(
        UserWarning, match=r"could not write checkpoint .*run\.npz.*No space left.*training goes on"
    ):
        out = run(checkpoint=path)
    same_run(out, wanted)
    assert list(path.parent.iterdir()) == []


def test_a_failed_write_leaves_the_checkpoint_before(path, monkeypatch):
    run(steps=4, checkpoint=path)
    before = path.read_bytes()
    monkeypatch.setattr(np, "savez", lambda file, **arrays: (_ for _ in ()).throw(OSError("no")))
    with pytest.warns(UserWarning, match="could not write"):
        run(checkpoint=path)
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == ["run.npz"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="could not write checkpoint"):
        same_run(run(checkpoint=tmp_path / "file" / "run.npz"), run())


@pytest.mark.parametrize("damage", ["empty", "text", "cut short", "flipped"])
def test_a_damaged_checkpoint_is_named(damage, path):
    run(steps=4, checkpoint=path)
    good = path.read_bytes()
    middle = good.find(b"state_1.npy") + 150  # inside the numbers of an array
    path.write_bytes(
        {
            "empty": b"",
            "text": b"not a checkpoint",
            "cut short": good[: len(good) // 2],
            "flipped": good[:middle]
            + bytes(255 - c for c in good[middle : middle + 8])
            + good[middle + 8 :],
        }[damage]
    )
    with pytest.raises(
        ValueError, match=r"checkpoint '.*run\.npz' cannot be read.*delete it"
    ) as caught:
        run(checkpoint=path)
    assert "pickle" not in str(caught.value)


OTHERS = {
    "another network": lambda path: fit(
        mlp(1, 9, 3).init(KEY), lambda p, d: p[0][0].sum(), DATA, steps=4, checkpoint=path, **QUIET
    ),
    "another optimizer": lambda path: run(optimizer=optax.sgd(0.1), checkpoint=path),
    "an optimizer with more state": lambda path: run(
        optimizer=optax.chain(ADAM, optax.trace(0.9)), checkpoint=path
    ),
    "an ensemble": lambda path: fit(MANY, loss, DATA, ensemble=True, checkpoint=path, **RUN),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_checkpoint_of_another_run_is_refused(other, path):
    run(steps=4, checkpoint=path)
    with pytest.raises(ValueError, match=r"run\.npz' belongs to another run.*delete it"):
        OTHERS[other](path)


def shifted(key, data):
    return three_points(jax.random.fold_in(key, 1), data)


CHANGES = {
    "another learning rate": (dict(optimizer=optax.adam(2e-2)), "another loss, batch or optimizer"),
    "another batch": (dict(batch=shifted), "another loss, batch or optimizer"),
    "another key": (dict(key=jax.random.key(4)), "another key"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_checkpoint_of_another_configuration_is_refused(change, path):
    """Shapes that agree are not enough: the run must be the same run. The file stays as it was."""
    run(steps=4, checkpoint=path)
    before = path.read_bytes()
    changes, message = CHANGES[change]
    with pytest.raises(
        ValueError,
        match=rf"run\.npz' belongs to another run: it was made with {message}; delete it",
    ):
        run(checkpoint=path, **changes)
    assert path.read_bytes() == before


def test_a_checkpoint_of_other_data_or_params_is_refused(path):
    run(steps=4, checkpoint=path)
    again = lambda params, data: fit(params, loss, data, checkpoint=path, **RUN)
    with pytest.raises(ValueError, match="made with another data;"):
        again(PARAMS, (X, 2 * DATA[1]))
    with pytest.raises(ValueError, match="made with another params;"):
        again(MODEL.init(jax.random.key(9)), DATA)


def test_what_a_loss_closes_over_belongs_to_the_configuration(path):
    """The feature mapping, say: the same code with other numbers inside is another loss."""
    for factor in (1.0, 2.0):
        offset = jnp.arange(3.0) * factor
        attempt = lambda: fit(  # noqa: B023
            {"w": jnp.ones(3)},
            lambda p, _: ((p["w"] - offset) ** 2).sum(),
            steps=2,
            checkpoint=path,
            **QUIET,
        )
        if factor == 1.0:
            attempt()
        else:
            with pytest.raises(ValueError, match="made with another loss"):
                attempt()


def test_data_may_hold_random_keys(path):
    keyed = lambda seed: fit(
        {"w": jnp.ones(3)},
        lambda p, key: ((p["w"] - jax.random.normal(key, (3,))) ** 2).sum(),
        jax.random.key(seed),
        steps=2,
        optimizer=optax.sgd(0.1),
        progress=False,
        checkpoint=path,
    )
    keyed(0)
    with pytest.raises(ValueError, match="made with another data"):
        keyed(1)


def test_an_edited_checkpoint_is_named(path):
    """A well-formed file whose numbers somebody changed."""
    run(steps=4, checkpoint=path)
    with np.load(path) as file:
        arrays = dict(file)
    arrays["state_1"] = arrays["state_1"] + 1e-3
    np.savez(path, **arrays)
    with pytest.raises(
        ValueError, match=r"run\.npz' cannot be read \(its contents have been changed\); delete it"
    ):
        run(checkpoint=path)


def test_no_damaged_byte_goes_unnoticed(path):
    """Bytes changed at random places: an error that names the file, or the very same result."""
    run(steps=4, checkpoint=path)
    good, wanted = path.read_bytes(), run(steps=4)
    rng, named = np.random.default_rng(0), 0
    for place in rng.integers(0, len(good), 60):
        path.write_bytes(
            good[:place] + bytes([good[place] ^ int(rng.integers(1, 256))]) + good[place + 1 :]
        )
        try:
            same_run(run(steps=4, checkpoint=path), wanted)
        except ValueError as error:
            assert "run.npz" in str(error) and "delete it" in str(error)
            named += 1
    assert named > 20


def test_half_written_files_of_a_killed_run_are_cleared_away(path):
    left = path.parent / "run.npz.abc.tmp"
    left.write_bytes(b"half")
    other = path.parent / "other.npz.abc.tmp"
    other.write_bytes(b"of another run")
    run(checkpoint=path)
    assert sorted(p.name for p in path.parent.iterdir()) == ["other.npz.abc.tmp", "run.npz"]


def test_a_checkpoint_with_other_metrics_is_refused(path):
    run(steps=4, checkpoint=path)
    with pytest.raises(
        ValueError, match=r"run\.npz' recorded .*'mse'.*metrics now gives \['loss', 'step'\]"
    ):
        run(checkpoint=path, metrics=None)


def test_a_checkpoint_past_the_asked_steps_is_refused(path):
    run(checkpoint=path)
    with pytest.raises(ValueError, match=r"run\.npz' is at step 12, past steps=5"):
        run(steps=5, checkpoint=path)


# --------------------------------------------------------------------------------------------------
# When training fails, and the bar


@pytest.mark.parametrize("every", [None, 5])
def test_a_diverging_loss_stops_with_the_step(every):
    """w → −99 w each step: the square of w passes float32's largest number at step 10."""
    square = lambda p, _: 0.5 * (p["w"] ** 2).sum()
    with pytest.raises(
        FloatingPointError,
        match=r"the loss is inf at step 10: try a learning rate ten times smaller",
    ):
        fit(
            {"w": jnp.ones(1)},
            square,
            steps=30,
            every=every,
            optimizer=optax.sgd(100.0),
            progress=False,
        )


def test_a_loss_that_is_lost_in_the_last_step():
    with pytest.raises(FloatingPointError, match=r"the loss is (nan|inf) at step 1"):
        fit(
            {"w": jnp.ones(1)},
            lambda p, _: (p["w"] ** 2).sum(),
            steps=1,
            optimizer=optax.sgd(1e30),
            progress=False,
        )


def test_a_loss_that_is_lost_at_once_points_at_the_data():
    with pytest.raises(
        FloatingPointError, match=r"the loss is nan at step 0: look for NaN in data and params"
    ):
        fit(PARAMS, loss, (X, np.nan * X), steps=3, **QUIET)


def test_the_bar_shows_label_and_can_be_silenced(capsys, monkeypatch):
    monkeypatch.delenv("FFLIB_STATIC", raising=False)
    fit(PARAMS, loss, DATA, steps=3, optimizer=ADAM, label="my training")
    assert "my training" in capsys.readouterr().err
    fit(PARAMS, loss, DATA, steps=3, optimizer=ADAM, label="my training", progress=False)
    monkeypatch.setenv("FFLIB_STATIC", "1")
    fit(PARAMS, loss, DATA, steps=3, optimizer=ADAM, label="my training")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("version", "flags", "warns"),
    [("0.7.2", "", True), ("0.7.2", f"--a {checks.SWITCH}", False), ("0.10.2", "", False)],
)
def test_warns_of_a_release_that_multiplies_wrongly(monkeypatch, version, flags, warns):
    monkeypatch.setattr(checks.jaxlib, "__version__", version)
    monkeypatch.setenv("XLA_FLAGS", flags)
    checks.warn_of_wrong_products.cache_clear()
    with (
        pytest.warns(UserWarning, match=f"jaxlib {version} .* XLA_FLAGS=--xla")
        if warns
        else nullcontext()
    ):
        dynamics.eigenmodes(jnp.eye(2))
    checks.warn_of_wrong_products.cache_clear()
