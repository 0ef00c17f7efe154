"""Programs compiled in haste: the same numbers, less work for the compiler, on any version of XLA."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fflib import haste
from fflib.haste import hasty
from fflib.network import mlp
from fflib.theory import kernels

NET = mlp(2, 24, 4, 1, biases=0.01)


@pytest.fixture
def afresh(monkeypatch):
    """The options are looked for anew, now and afterwards."""
    haste._options.cache_clear()
    yield monkeypatch
    haste._options.cache_clear()


def test_drawn_parameters_are_those_of_jit_to_rounding():
    for a, b in zip(
        *(jax.tree.leaves(f(NET.init)(jax.random.key(3))) for f in (hasty, jax.jit)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_a_tangent_kernel_is_that_of_jit_to_rounding():
    x, params = jax.random.uniform(jax.random.key(1), (9, 2)), NET.init(jax.random.key(0))
    fast, best = (
        np.asarray(f(lambda p: kernels.empirical_ntk(NET, p, x))(params)) for f in (hasty, jax.jit)
    )
    np.testing.assert_allclose(fast, best, rtol=1e-5)


def test_further_keywords_are_those_of_jit():
    power = hasty(lambda x, n: x**n, static_argnums=1)
    assert power(jnp.float32(3), 2) == 9
    with pytest.raises(TypeError, match="nonsense"):
        hasty(lambda x: x, nonsense=1)


def test_an_option_that_xla_does_not_know_is_left_out(afresh):
    known = {"xla_backend_optimization_level": 0}
    afresh.setattr(haste, "OMITTED", known | {"xla_no_such_option": True})
    assert haste._options() == (known if jax.default_backend() == "cpu" else {})
    assert hasty(lambda x: x + 1)(1) == 2


def test_elsewhere_than_on_a_cpu_nothing_is_omitted(afresh):
    afresh.setattr(jax, "default_backend", lambda: "gpu")
    assert haste._options() == {}


@pytest.mark.skipif(
    jax.default_backend() != "cpu", reason="options are those of XLA's CPU compiler"
)
def test_on_a_cpu_the_compiler_is_asked_to_leave_much_out(afresh):
    assert haste._options()["xla_backend_optimization_level"] == 0
