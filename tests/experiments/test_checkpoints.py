"""Checkpoints: interrupted, killed and resumed trainings end bit for bit where the undisturbed one
ends.
"""

import itertools
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_net import ADAM, DATA, KEY, MANY, MODEL, PARAMS, QUIET, X, loss, metrics, three_points

from fflib import training
from fflib.experiments import checkpoints
from fflib.experiments.checkpoints import fit_from
from fflib.network import mlp
from fflib.training import fit

RUN = dict(steps=12, every=4, key=jax.random.key(3), batch=three_points, metrics=metrics, **QUIET)


class Killed(BaseException):
    """Stands for the end of the process: nothing that fit could catch."""


@pytest.fixture
def stop(monkeypatch):
    """stop("_chunk", n, error): the n-th chunk of steps (or recording, "_look") raises error."""

    def arm(name, n, error):
        original, calls = getattr(training, name), []

        def watched(*args, **kwargs):
            calls.append(None)
            if len(calls) == n:
                monkeypatch.setattr(training, name, original)
                raise error
            return original(*args, **kwargs)

        monkeypatch.setattr(training, name, watched)

    return arm


@pytest.fixture
def always_saving(monkeypatch):
    """A clock so fast that a checkpoint is written at every recording."""
    monkeypatch.setattr(checkpoints.time, "monotonic", itertools.count(0.0, 1000.0).__next__)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.npz"


def run(path=None, **changes):
    if path is None:
        return fit(PARAMS, loss, DATA, **(RUN | changes))
    return fit_from(path, PARAMS, loss, DATA, **(RUN | changes))


def same_run(a, b):
    """Bit for bit: parameters and history."""
    assert list(a[1]) == list(b[1])
    for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert jnp.result_type(p) == jnp.result_type(q)
        np.testing.assert_array_equal(np.asarray(p), np.asarray(q))


@pytest.mark.parametrize(
    ("where", "n"), [("_look", 2), ("_look", 3), ("_chunk", 1), ("_chunk", 2), ("_chunk", 3)]
)
def test_resumed_after_ctrl_c(where, n, path, stop):
    """The interrupt passes on, what was done is kept, and going on gives the uninterrupted run."""
    stop(where, n, KeyboardInterrupt)
    with pytest.warns(UserWarning, match="was interrupted"), pytest.raises(KeyboardInterrupt):
        run(path)
    assert path.exists()
    same_run(run(path), run())


def test_resumed_after_a_kill(path, stop, always_saving, monkeypatch):
    stop("_chunk", 3, Killed)
    with pytest.raises(Killed):
        run(path)
    with np.load(path) as file:
        assert file["history_step"].tolist() == [0, 4, 8]  # both chunks before it were saved
    stop("_chunk", 2, Killed)  # one is left to do: steps 8 to 12
    resumed = run(path)
    monkeypatch.undo()
    same_run(resumed, run())


def test_a_finished_run_is_not_run_again(path, stop):
    first = run(path, batch=None)
    stop("_chunk", 1, Killed)
    same_run(run(path, batch=None), first)


@pytest.mark.parametrize("before", [8, 10])
def test_a_finished_run_can_be_extended(before, path):
    """Also when the first part did not end on a recording step."""
    run(path, steps=before)
    same_run(run(path, steps=20), run(steps=20))


def test_networks_side_by_side_are_resumed(path, stop):
    how = RUN | dict(vmap=(0, None))
    stop("_chunk", 2, KeyboardInterrupt)
    with pytest.warns(UserWarning, match="was interrupted"), pytest.raises(KeyboardInterrupt):
        fit_from(path, MANY, loss, DATA, **how)
    same_run(fit_from(path, MANY, loss, DATA, **how), fit(MANY, loss, DATA, **how))


def test_stopping_early_is_passed_on(path):
    def early(state, history):
        return history["step"][-1] >= 8

    same_run(run(path, callback=early), run(steps=8))
    same_run(run(path), run())


def test_checkpointing_changes_nothing(path, always_saving):
    same_run(run(path.parent / "new" / "folder" / "run.npz"), run())
    assert [p.name for p in (path.parent / "new" / "folder").iterdir()] == ["run.npz"]
    same_run(run(str(path)), run())


KINDS = {
    "bfloat16": (jnp.bfloat16, ADAM),
    "a bfloat16 moment": (jnp.float32, optax.adam(0.1, mu_dtype=jnp.bfloat16)),
    "a random key": (
        jnp.float32,
        optax.chain(optax.add_noise(0.01, 0.5, jax.random.key(0)), optax.sgd(0.1)),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_number_is_resumed(kind, path):
    dtype, optimizer = KINDS[kind]

    def square(p, x):
        return 0.5 * jnp.mean((p["a"] * x - 3 * x) ** 2)

    params, x = {"a": jnp.ones((), dtype)}, jnp.linspace(0, 1, 8).astype(dtype)
    how = dict(every=1, optimizer=optimizer, progress=False)
    fit_from(path, params, square, x, steps=2, **how)
    same_run(
        fit_from(path, params, square, x, steps=4, **how), fit(params, square, x, steps=4, **how)
    )


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    run("~/run.npz", steps=4)
    assert [p.name for p in tmp_path.iterdir()] == ["run.npz"]


def test_the_file_is_closed_before_it_takes_its_place(path, monkeypatch):
    """Windows refuses to rename an open file."""
    real, fds = os.replace, "/proc/self/fd"
    if not os.path.isdir(fds):
        pytest.skip("no list of open files here")

    def replace(a, b):
        paths = [os.path.join(fds, fd) for fd in os.listdir(fds)]
        assert os.path.realpath(a) not in {os.path.realpath(fd) for fd in paths}
        real(a, b)

    monkeypatch.setattr(os, "replace", replace)
    run(path, steps=4)
    assert path.exists()


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
        out = run(path)
    same_run(out, wanted)
    assert list(path.parent.iterdir()) == []


def test_a_failed_write_leaves_the_checkpoint_before(path, monkeypatch):
    run(path, steps=4)
    before = path.read_bytes()
    monkeypatch.setattr(np, "savez", lambda file, **arrays: (_ for _ in ()).throw(OSError("no")))
    with pytest.warns(UserWarning, match="could not write"):
        same_run(run(path), run())
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == ["run.npz"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="could not write checkpoint"):
        same_run(run(tmp_path / "file" / "run.npz", steps=4), run(steps=4))


def test_a_folder_in_its_place_is_refused_before_training(tmp_path, stop):
    stop("_chunk", 1, Killed)
    with pytest.raises(ValueError, match="is a folder; give the name of a file in it"):
        run(tmp_path)


@pytest.mark.parametrize("damage", ["empty", "text", "cut short", "flipped"])
def test_a_damaged_checkpoint_is_named(damage, path):
    run(path, steps=4)
    good = path.read_bytes()
    middle = good.find(b"state_1.npy") + 150  # inside the numbers of an array
    flipped = bytes(255 - c for c in good[middle : middle + 8])
    path.write_bytes(
        {
            "empty": b"",
            "text": b"not a checkpoint",
            "cut short": good[: len(good) // 2],
            "flipped": good[:middle] + flipped + good[middle + 8 :],
        }[damage]
    )
    with pytest.raises(ValueError, match=r"run\.npz' cannot be read.*damaged.*delete it") as caught:
        run(path)
    assert "pickle" not in str(caught.value)


def shifted(key, data):
    return three_points(jax.random.fold_in(key, 1), data)


def other_network(path):
    small = mlp(1, 9, 3)
    return fit_from(
        path, small.init(KEY), lambda p, d: p[0][0].sum(), DATA, **(RUN | dict(batch=None))
    )


OTHERS = {
    "params or optimizer": other_network,
    "params or optimizer ": lambda path: run(path, optimizer=optax.chain(ADAM, optax.trace(0.9))),
    "params or optimizer  ": lambda path: fit_from(path, MANY, loss, DATA, vmap=(0, None), **RUN),
    "key": lambda path: run(path, key=jax.random.key(4)),
    "names": lambda path: run(path, names={"rate": 2e-2}),
    "data": lambda path: fit_from(
        path, PARAMS, loss, (X, jnp.asarray(DATA[1]).at[5].add(1e-2)), **RUN
    ),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_checkpoint_of_another_run_is_refused(other, path):
    """Named by what differs; the file stays as it was."""
    run(path, steps=4)
    before = path.read_bytes()
    with pytest.raises(
        ValueError,
        match=rf"run\.npz' belongs to another run: it was made with another {other.strip()}",
    ) as caught:
        OTHERS[other](path)
    assert "delete" not in str(caught.value) and path.read_bytes() == before


LOSSES = {
    "another batch": dict(batch=shifted),
    "another loss": dict(loss=lambda p, d: 1.001 * loss(p, d)),
}


@pytest.mark.parametrize("change", LOSSES)
def test_a_checkpoint_whose_loss_comes_to_another_number_is_refused(change, path, stop):
    run(path, steps=4)
    before, how = path.read_bytes(), RUN | LOSSES[change]
    stop("_chunk", 1, Killed)
    with pytest.raises(
        ValueError, match=r"another run: its loss at step 4 was 0\.\d+, but .* 0\.\d+;"
    ):
        fit_from(path, PARAMS, how.pop("loss", loss), DATA, **how)
    assert path.read_bytes() == before


def test_a_loss_that_was_rewritten_goes_on(path):
    """The same loss in other words, and data that rounding has moved, as by another version of jax."""

    def rewritten(params, data):
        off = data[1] - MODEL(params, data[0])
        return jnp.sum(jnp.square(off)) / (2 * off.size)

    run(path, steps=4)
    data = (X, DATA[1] * (1 + 1e-6))
    _params, history = fit_from(path, PARAMS, rewritten, data, **RUN)
    wanted = run()
    assert history["step"].tolist() == [0, 4, 8, 12]
    np.testing.assert_allclose(history["loss"], wanted[1]["loss"], rtol=1e-3)


def test_data_may_hold_random_keys(path):
    def keyed(seed):
        return fit_from(
            path, {"w": jnp.ones(3)},
            lambda p, key: ((p["w"] - jax.random.normal(key, (3,))) ** 2).sum(),
            jax.random.key(seed), steps=2, optimizer=optax.sgd(0.1), progress=False,
        )  # fmt: skip

    keyed(0)
    with pytest.raises(ValueError, match="made with another data"):
        keyed(1)


def test_an_edited_checkpoint_does_not_go_on(path):
    """A well-formed file whose parameters somebody changed has another loss."""
    run(path, steps=4)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | {"state_1": arrays["state_1"] + 0.1})
    with pytest.raises(ValueError, match="its loss at step 4"):
        run(path)


def test_no_damaged_byte_goes_unnoticed(path):
    """Bytes changed at random places: an error that names the file, or the very same result."""
    run(path, steps=4)
    good, wanted = path.read_bytes(), run(steps=4)
    rng, named = np.random.default_rng(0), 0
    for place in rng.integers(0, len(good), 60):
        other = bytes([good[place] ^ int(rng.integers(1, 256))])
        path.write_bytes(good[:place] + other + good[place + 1 :])
        try:
            same_run(run(path, steps=4), wanted)
        except ValueError as error:
            assert "run.npz" in str(error)
            named += 1
    assert named > 20


def test_half_written_files_of_a_killed_run_are_cleared_away(path):
    left = path.parent / "run.npz.abc.tmp"
    left.write_bytes(b"half")
    other = path.parent / "other.npz.abc.tmp"
    other.write_bytes(b"of another run")
    run(path)
    assert sorted(p.name for p in path.parent.iterdir()) == ["other.npz.abc.tmp", "run.npz"]


def test_a_checkpoint_with_other_metrics_is_refused(path):
    run(path, steps=4)
    with pytest.raises(
        ValueError, match=r"run\.npz' recorded .*'mse'.*this training records \['loss', 'step'\]"
    ):
        run(path, metrics=None)


def test_a_checkpoint_past_the_asked_steps_is_refused(path):
    run(path)
    with pytest.raises(ValueError, match=r"run\.npz' is at step 12, past steps=5"):
        run(path, steps=5)
