"""Places in any unit, scaled by one factor and given back."""

import numpy as np
import pytest
from refusal import assert_refused

from fflib.worlds.places import Frame

PLACES = {
    "degrees": lambda rng: rng.uniform((-180, -90), (180, 90), (50, 2)),
    "metres of a map": lambda rng: rng.uniform((5e5, 4.5e6, 0), (5.1e5, 4.503e6, 90), (40, 3)),
    "nanometres": lambda rng: 1e-9 * rng.random((30, 3)),
    "seconds": lambda rng: rng.uniform(0, 60, (99, 1)),
    "pixels, not square": lambda rng: np.stack(np.indices((24, 37)), -1),
    "an axis without extent": lambda rng: rng.random((20, 2)) * (1, 0),
}


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("seed", range(3))
def test_a_frame_scales_by_one_factor_and_gives_back(kind, seed):
    x = PLACES[kind](np.random.default_rng(seed))
    frame = Frame.of(x)
    v = frame.into(x)
    assert v.shape == x.shape and v.min() == 0 and np.abs(v.max() - 1) < 1e-6
    np.testing.assert_allclose(frame.back(v), x, rtol=0, atol=1e-6 * frame.size)
    d = x.shape[-1]
    between = [
        np.linalg.norm(np.diff(w.reshape(-1, d), axis=0), axis=1)
        for w in (np.asarray(x, float), np.asarray(v))
    ]
    np.testing.assert_allclose(between[0] / frame.size, between[1], atol=1e-6)
    np.testing.assert_array_equal(frame.into(x.reshape(1, -1, d)), v.reshape(1, -1, d))


def test_a_frame_of_a_given_size():
    """Longitude and latitude by one factor; a whole turn is one unit."""
    frame = Frame.of([[-180.0, -90.0], [179.0, 90.0]], size=360)
    np.testing.assert_allclose(frame.into([[0, 0], [180, 90]]), [[0.5, 0.25], [1, 0.5]])
    assert Frame.of([[7.0]], size=2.0).size == 2.0


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        (lambda: Frame.of(np.ones((4, 2))), ["places", "4 times [1. 1.]"]),
        (lambda: Frame.of(np.arange(5.0)), ["places", "(..., d)", "(5,)", "places[:, None]"]),
        (lambda: Frame.of(np.array([[0.0], [np.nan]])), ["places", "NaN"]),
        (lambda: Frame.of(np.eye(2), size=0.0), ["size", "> 0", "0"]),
        (lambda: Frame.of(np.eye(2)).into(np.ones((3, 1))), ["x", "(..., 2)", "(3, 1)"]),
        (lambda: Frame.of(np.eye(2)).back([0.5]), ["v", "(..., 2)", "(1,)"]),
    ],
)
def test_no_frame(call, parts):
    assert_refused(call, ValueError, parts)
