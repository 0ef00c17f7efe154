"""The training loop: against a plain loop of optax steps, member by member, and through
interruptions.
"""

import dataclasses
from contextlib import nullcontext
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_net import ADAM, DATA, KEY, MANY, MODEL, PARAMS, QUIET, X, loss, metrics, three_points

from fflib import checks, features
from fflib import training as MODULE
from fflib.theory import dynamics
from fflib.training import advance, fit, init


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

    def norm(p, data):
        return 0.5 * sum((leaf**2).sum() for leaf in jax.tree.leaves(p))

    out, history = fit(params, norm, steps=5, optimizer=optax.sgd(0.1), progress=False)
    same(out, jax.tree.map(lambda leaf: 0.9**5 * leaf, params), rtol=1e-5)
    np.testing.assert_allclose(history["loss"], [6.5 + 0, 6.5 * 0.9**10], rtol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "exception", "says"),
    [
        (
            lambda params, data: params[0][0],
            TypeError,
            r"what metrics return must be a dict, but got an array",
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

    def watched(state, data, *args, **kwargs):
        return seen.append(data) or chunk(state, data, *args, **kwargs)

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
    chunk = MODULE._chunk
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

    def batch(i):
        return three_points(jax.random.fold_in(key, i), DATA)

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
        short, long = (
            fit(params, loss, DATA, steps=n, vmap=(0, None) if many else None, **how)[1]
            for n in (6, 9)
        )
        np.testing.assert_allclose(short["loss"][-1], long["loss"][2], rtol=1e-5)
        assert (
            np.ptp(long["loss"][1:3], axis=0).min() > 1e-3 * long["loss"].max()
        )  # another batch, another loss


def test_minibatches_are_reproducible_by_key():
    def run(seed):
        return fit(
            PARAMS, loss, DATA, steps=6, key=jax.random.key(seed), batch=three_points, **QUIET
        )[0]

    same(run(1), run(1))
    assert not np.array_equal(run(1)[0][0], run(2)[0][0])


# --- ensembles


def member(tree, e):
    return jax.tree.map(lambda leaf: leaf[e], tree)


def test_an_ensemble_is_its_members_trained_alone():
    params, history = fit(
        MANY, loss, DATA, steps=9, every=4, metrics=metrics, vmap=(0, None), **QUIET
    )
    assert history["loss"].shape == (4, 3) and history["f"].shape == (4, 3, 12)
    for e in range(3):
        alone, told = fit(member(MANY, e), loss, DATA, steps=9, every=4, metrics=metrics, **QUIET)
        same(member(params, e), alone, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(history["loss"][:, e], told["loss"], rtol=1e-3)
        np.testing.assert_allclose(history["f"][:, e], told["f"], rtol=1e-3, atol=1e-4)


def test_members_may_have_their_own_data():
    own = (np.stack([X] * 3), np.stack([k * DATA[1] for k in (1, 2, 3)]))
    params, history = fit(MANY, loss, own, steps=9, metrics=metrics, vmap=0, **QUIET)
    for e in range(3):
        alone, told = fit(member(MANY, e), loss, member(own, e), steps=9, metrics=metrics, **QUIET)
        same(member(params, e), alone, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(history["mse"][:, e], told["mse"], rtol=1e-3)


def test_members_draw_different_minibatches():
    """Three copies of one network: alike on all data, different with batches of their own."""
    copies = jax.tree.map(lambda leaf: jnp.stack([leaf] * 3), PARAMS)
    alike, _ = fit(copies, loss, DATA, steps=3, vmap=(0, None), **QUIET)
    same(member(alike, 0), member(alike, 2))
    apart, _ = fit(
        copies, loss, DATA, steps=3, vmap=(0, None), key=KEY, batch=three_points, **QUIET
    )
    assert all(not np.array_equal(apart[0][0][0], apart[0][0][e]) for e in (1, 2))


def test_one_lost_member_does_not_stop_the_others():
    params = {"w": jnp.array([1.0, np.nan])}
    out, history = fit(
        params,
        lambda p, _: p["w"] ** 2,
        steps=3,
        optimizer=optax.sgd(0.1),
        vmap=(0, None),
        progress=False,
    )
    np.testing.assert_allclose(out["w"], [0.8**3, np.nan], rtol=1e-5)
    assert np.isfinite(history["loss"][:, 0]).all()


# --------------------------------------------------------------------------------------------------
# Interruptions, callbacks, resuming


RUN = dict(steps=12, every=4, key=jax.random.key(3), batch=three_points, metrics=metrics, **QUIET)


def run(**changes):
    return fit(PARAMS, loss, DATA, **(RUN | changes))


def same_run(a, b):
    """Bit for bit: parameters and history."""
    same(a[0], b[0])
    assert list(a[1]) == list(b[1])
    same(a[1], b[1])


@pytest.mark.parametrize(("where", "n", "step"), [("_chunk", 3, 8), ("_look", 3, 4)])
def test_ctrl_c_returns_what_it_has(where, n, step, monkeypatch):
    original, calls = getattr(MODULE, where), []

    def watched(*args, **kwargs):
        calls.append(None)
        if len(calls) == n:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(MODULE, where, watched)
    with pytest.warns(UserWarning, match=rf"practice was interrupted at step {step} of 12"):
        partly = run(label="practice")
    monkeypatch.undo()
    same_run(partly, run(steps=step))


def test_a_callback_sees_every_recording_and_changes_nothing():
    seen = []
    watched = run(
        callback=lambda state, history: seen.append(
            (int(state.step), history["step"][-1], state.params, dict(history))
        )
    )
    same_run(watched, run())
    assert [(step, last) for step, last, *_ in seen] == [(0, 0), (4, 4), (8, 8), (12, 12)]
    same(seen[0][2], PARAMS)
    same(seen[-1][2], watched[0])


def test_a_callback_stops_training_early():
    """The first recording at which the loss is below a bound is the last."""
    _, history = fit(PARAMS, loss, DATA, steps=60, every=3, **QUIET)
    bound = history["loss"].mean()

    def low(state, history):
        return history["loss"][-1] < bound

    params, short = fit(PARAMS, loss, DATA, steps=60, every=3, callback=low, **QUIET)
    end = int(np.argmax(history["loss"] < bound))
    assert 0 < end < 20 and short["step"][-1] == 3 * end
    np.testing.assert_array_equal(short["loss"], history["loss"][: end + 1])
    same(params, fit(PARAMS, loss, DATA, steps=3 * end, every=3, **QUIET)[0])


@pytest.mark.parametrize("vmap", [None, (0, None)])
def test_a_state_is_gone_on_from(vmap):
    """Bit for bit, also from between two recordings."""
    start, states = PARAMS if vmap is None else MANY, []
    how = RUN | dict(vmap=vmap)
    fit(start, loss, DATA, **(how | dict(steps=6, callback=lambda s, _: states.append(s))))
    assert [int(np.max(state.step)) for state in states] == [0, 4, 6]
    whole = fit(start, loss, DATA, **how)
    params, history = fit(states[-1], loss, DATA, **how)
    same(params, whole[0])
    assert history["step"].tolist() == [6, 8, 12]
    same(history["loss"][1:], whole[1]["loss"][2:])
    with pytest.raises(
        ValueError, match="steps must be at least the 6 of the given state, but got 5"
    ):
        fit(states[-1], loss, DATA, **(how | dict(steps=5)))


# --------------------------------------------------------------------------------------------------
# The layer below: some steps as one function of arrays

STEPS = dict(loss=loss, optimizer=ADAM, steps=7)


def test_advance_is_a_plain_loop_and_works_under_jit():
    state, losses = jax.jit(lambda state, data: advance(state, data, **STEPS))(
        init(PARAMS, ADAM), DATA
    )
    seen, wanted = plain_loop(PARAMS, DATA, 7)
    same(state.params, seen[-1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(losses, wanted, rtol=1e-4)
    assert int(state.step) == 7


def test_advance_under_plain_vmap_is_fit_with_vmap():
    """Bit for bit, each network with minibatches of its own."""
    how = STEPS | dict(batch=three_points)
    states = jax.vmap(lambda params: init(params, ADAM))(MANY)
    keys = jax.random.split(KEY, 3)
    data = jax.tree.map(jnp.asarray, DATA)

    def one(state, key, most):
        return advance(state, data, key, most, **how)

    state, losses = jax.jit(jax.vmap(one, (0, 0, None)))(states, keys, 7)
    params, history = fit(
        MANY, loss, DATA, vmap=(0, None), key=KEY, batch=three_points, steps=7, **QUIET
    )
    same(state.params, params)
    np.testing.assert_allclose(losses[:, 0], history["loss"][0], rtol=1e-6)
    assert losses.shape == (3, 7)


def test_steps_that_are_not_taken():
    """At most so many, for a state and for several: the state is that after them, the rest is NaN."""
    state, losses = advance(init(PARAMS, ADAM), DATA, None, 5, **STEPS)
    wanted, all_losses = advance(init(PARAMS, ADAM), DATA, **(STEPS | dict(steps=5)))
    same(state, wanted, rtol=1e-6)
    np.testing.assert_allclose(losses, [*all_losses, np.nan, np.nan], rtol=1e-6)


def test_steps_can_be_differentiated():
    """d(loss after 3 steps)/d(factor on the targets), against differences in double precision."""
    sgd = optax.sgd(0.1, momentum=0.9)
    with jax.enable_x64(True):
        params, x = jax.tree.map(lambda p: jnp.asarray(p, float), PARAMS), jnp.asarray(X, float)

        def after(factor):
            data = (x, factor * jnp.sin(3 * x))
            how = dict(loss=loss, optimizer=sgd, steps=3)
            return loss(advance(init(params, sgd), data, **how)[0].params, data)

        h = 1e-5
        slope = (after(1 + h) - after(1 - h)) / (2 * h)
        np.testing.assert_allclose(jax.grad(after)(1.0), slope, rtol=1e-6)


def test_one_program_whatever_the_steps():
    """Also when ``every`` does not divide them."""
    before = MODULE._chunk._cache_size()

    def square(p, _):
        return (p["w"] ** 2).sum()

    for steps in (10, 9, 3):
        fit({"w": jnp.ones(3)}, square, steps=steps, every=4, **QUIET)
    assert MODULE._chunk._cache_size() == before + 1


@dataclasses.dataclass(frozen=True)
class Distance:
    """A loss that hashes by its value."""

    to: float

    def __call__(self, params, data):
        return ((params - self.to) ** 2).sum()


def test_a_loss_with_a_value_is_compiled_once():
    before = MODULE._chunk._cache_size()
    for _ in range(3):
        fit(jnp.ones(2), Distance(3.0), steps=2, **QUIET)
    assert MODULE._chunk._cache_size() == before + 1


# --------------------------------------------------------------------------------------------------
# Losses and optimizers of other kinds


@pytest.mark.parametrize("vmap", [None, (0, None)])
def test_a_loss_with_auxiliary_values(vmap):
    def both(params, data):
        off = MODEL.apply(params, data[0]) - data[1]
        return 0.5 * jnp.mean(off**2), {"bias": off.mean()}

    params = PARAMS if vmap is None else MANY
    how = dict(steps=6, every=2, vmap=vmap, **QUIET)
    found, history = fit(params, both, DATA, has_aux=True, **how)
    wanted, plain = fit(
        params, loss, DATA, metrics=lambda p, d: {"bias": both(p, d)[1]["bias"]}, **how
    )
    same(found, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(history["loss"], plain["loss"], rtol=1e-5)
    np.testing.assert_allclose(history["bias"], plain["bias"], rtol=1e-4, atol=1e-6)


def test_auxiliary_values_that_cannot_be_recorded():
    with pytest.raises(TypeError, match="auxiliary value must be a dict"):
        fit(PARAMS, lambda p, d: (loss(p, d), 1.0), DATA, steps=1, has_aux=True, **QUIET)
    with pytest.raises(ValueError, match=r"no name may come twice.*\['mse'\] taken"):
        fit(
            PARAMS, lambda p, d: (loss(p, d), {"mse": 1.0}), DATA,
            steps=1, has_aux=True, metrics=metrics, **QUIET,
        )  # fmt: skip


@pytest.mark.parametrize("has_aux", [False, True])
def test_lbfgs_solves_a_quadratic(has_aux):
    """It asks for value, gradient and the loss itself: ½‖Aw − y‖² is at its least in n or so steps."""
    A = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    y = np.arange(12, dtype=np.float32)

    def half(w, data):
        value = 0.5 * jnp.sum((data[0] @ w - data[1]) ** 2)
        return (value, {"norm": jnp.linalg.norm(w)}) if has_aux else value

    w, _history = fit(
        jnp.zeros(4),
        half,
        (A, y),
        steps=20,
        optimizer=optax.lbfgs(),
        has_aux=has_aux,
        progress=False,
    )
    best = np.linalg.lstsq(A, y, rcond=None)[0]
    np.testing.assert_allclose(w, best, rtol=1e-3, atol=1e-3)
    starts = jnp.stack([jnp.zeros(4), jnp.ones(4)])
    both, _ = fit(
        starts, half, (A, y), steps=20, optimizer=optax.lbfgs(), has_aux=has_aux, vmap=(0, None),
        progress=False,
    )  # fmt: skip
    np.testing.assert_allclose(both, [best, best], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("wrapped", [True, False])
def test_multisteps_is_the_larger_batch(wrapped):
    """Two steps on halves of the points are one step on all of them."""
    halves = jax.tree.map(lambda x: x.reshape(2, 6, *x.shape[1:]), DATA)

    def either(key, data):
        return jax.tree.map(lambda x: x[data["step"]], data["halves"])

    many = optax.MultiSteps(optax.sgd(0.1), 2)
    state = init(PARAMS, many if wrapped else many.gradient_transformation())
    for i in (0, 1, 0, 1):
        state, _ = advance(
            state, {"halves": halves, "step": i}, KEY,
            loss=loss, optimizer=many, steps=1, batch=either,
        )  # fmt: skip
    wanted, _ = fit(PARAMS, loss, DATA, steps=2, optimizer=optax.sgd(0.1), progress=False)
    same(state.params, wanted, rtol=1e-5, atol=1e-6)
    fitted, _ = fit(PARAMS, loss, DATA, steps=4, optimizer=many, progress=False)
    same(fitted, wanted, rtol=1e-5, atol=1e-6)


# --------------------------------------------------------------------------------------------------
# When training fails, and the bar


@pytest.mark.parametrize("every", [None, 5])
def test_a_diverging_loss_stops_with_the_step(every):
    """w → −99 w each step: the square of w passes float32's largest number at step 10."""

    def square(p, _):
        return 0.5 * (p["w"] ** 2).sum()

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


def test_a_mask_in_the_data_is_not_lost_in_silence():
    y = np.ma.masked_less(np.asarray(DATA[1], np.float32), np.median(DATA[1]))
    with pytest.raises(ValueError, match=r"data has \d+ masked values: fill them"):
        fit(PARAMS, loss, (X, y), steps=3, **QUIET)


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
    monkeypatch.setattr(checks.jaxlib.version, "__version__", version)
    monkeypatch.setenv("XLA_FLAGS", flags)
    checks.warn_of_wrong_products.cache_clear()
    with (
        pytest.warns(UserWarning, match=f"jaxlib {version} .* XLA_FLAGS=--xla")
        if warns
        else nullcontext()
    ):
        dynamics.eigenmodes(jnp.eye(2))
    checks.warn_of_wrong_products.cache_clear()


# --- values inside a loss


GAMMA = features.gaussian(jax.random.key(0), 16, 2, 2.0)
DEGREES = np.random.default_rng(0).uniform((-180, -90), (180, 90), (500, 2)).astype(np.float32)


def mapped_loss(params, seen):
    return jnp.mean((GAMMA(seen["v"]) @ params - seen["y"]) ** 2)


def rows(key, seen):
    return jax.tree.map(lambda x: x[jax.random.randint(key, (8,), 0, len(x))], seen)


HOW = {
    "plain": {},
    "minibatches": dict(batch=rows, key=jax.random.key(1)),
    "several networks": dict(vmap=(0, None)),
}


@pytest.mark.parametrize("how", HOW)
def test_units_are_looked_at_although_the_loss_is_compiled(how):
    """The mapping inside a loss sees no values; training shows them to it once."""
    params = jnp.zeros((2, 32) if "vmap" in HOW[how] else 32)
    seen = {"v": DEGREES, "y": jnp.zeros(500)}
    train = partial(fit, params, mapped_loss, steps=1, optimizer=optax.sgd(0.1), **HOW[how])
    with pytest.warns(UserWarning, match=r"v goes over 3\d\d units on axis 0"):
        train(seen)
    train(seen | {"v": DEGREES / 360})
