r"""ReLU networks of one variable as what they are: continuous piecewise-linear functions.

Such a function is a list of knots (x_j, y_j) with straight lines between them, here in float64
NumPy arrays: the position of a kink decides the phase of every frequency.
"""

from __future__ import annotations

import numpy as np

from fflib import checks
from fflib.network import MLP


def knots(
    model: MLP, params, start: float = 0.0, end: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """All places on [start, end] where a unit of the network switches, both ends included.

    Layer by layer: between two knots every unit's pre-activation is a straight line, so a change of
    its sign has one crossing, which joins the knots of the next layer. The model is a ReLU network
    with one input, one output and no output function. Returns: (x, y), each (K,), x increasing from
    start to end, y the network's values. Raises: ValueError for another kind of network or an empty
    interval. Chapter: ReLU networks as pieces.
    """
    checks.is_a("model", model, MLP)
    ends = model.sizes[0], model.sizes[-1]
    if ends != (1, 1) or model.activation != "relu" or model.output is not None:
        raise ValueError(
            "model must be a ReLU network with one input, one output and no output function, but "
            f"got sizes={model.sizes}, activation={model.activation!r}, output={model.output!r}"
        )
    if not (np.isfinite(start) and np.isfinite(end) and start < end):
        raise ValueError(f"start must be smaller than end, but got start={start}, end={end}")
    *hidden, (W, b) = [
        (np.asarray(W, float), np.asarray(b, float)) for W, b in model.effective(params)
    ]
    x = np.array([start, end], float)
    units = x[:, None]
    for V, c in hidden:
        z = units @ V + c
        left, right = z[:-1], z[1:]
        piece, unit = np.nonzero(left * right < 0)
        share = left[piece, unit] / (left[piece, unit] - right[piece, unit])
        crossings = x[piece] + share * (x[piece + 1] - x[piece])
        finer, place = np.unique(np.concatenate([x, crossings]), return_index=True)
        new = units[piece] + share[:, None] * (units[piece + 1] - units[piece])
        z = np.concatenate([units, new]) @ V + c
        z[len(x) + np.arange(len(piece)), unit] = 0.0  # the crossing itself, without rounding
        x, units = finer, np.maximum(z[place], 0.0)
    return x, (units @ W + b)[:, 0]


def from_knots(x, y) -> tuple[MLP, list]:
    """A network with one hidden layer that is the piecewise-linear function through (x_j, y_j).

    f(x) = y_0 + s_0 relu(x − x_0) + Σ_j (s_j − s_{j−1}) relu(x − x_j), with s_j the slope after
    knot j: one hidden unit a piece. Left of x_0 it is constant, right of the last knot it goes on
    straight. Returns: (model, params), float32. Raises: ValueError when x and y are not both (K,),
    K ≥ 2, or x does not increase. Chapter: ReLU networks as pieces.
    """
    x, y, slopes = _pieces(x, y)
    model = MLP((1, len(slopes), 1))
    jumps = np.diff(slopes, prepend=0.0)
    params = [(np.ones((1, len(slopes))), -x[:-1]), (jumps[:, None], y[:1])]
    return model, [(np.asarray(W, np.float32), np.asarray(b, np.float32)) for W, b in params]


def fourier_transform(x, y, k) -> np.ndarray:
    """f̃(k) = ∫ f(x) e^{−2πikx} dx of the piecewise-linear function through (x_j, y_j), exactly.

    Integrated by parts twice, with ω = 2πk, the ends x_0, x_K and the slopes s_j:

        f̃(k) = (i/ω) [f e^{−iωx}] at x_K minus x_0
               − (1/ω²) (s_0 e^{−iωx_0} + Σ_j (s_j − s_{j−1}) e^{−iωx_j} − s_{K−1} e^{−iωx_K}).

    f is zero outside [x_0, x_K]; k, of any shape, are real numbers, in cycles per unit of x.
    Returns: complex array of k's shape. Raises: as :func:`from_knots`. Chapter: ReLU networks as
    pieces.
    """
    x, y, slopes = _pieces(x, y)
    omega = 2 * np.pi * np.asarray(k, float)[..., None]
    # where the terms cancel, do not divide by ω
    slow = np.abs(omega[..., 0]) * (x[-1] - x[0]) < 1e-3
    fast = np.where(slow[..., None], 1.0, omega)
    waves = np.exp(-1j * fast * x)
    ends = y[-1] * waves[..., -1] - y[0] * waves[..., 0]
    kinks = waves @ np.diff(slopes, prepend=0.0, append=0.0)
    found = np.array(1j * ends / fast[..., 0] - kinks / fast[..., 0] ** 2)
    found[slow] = _simpson(x, y, omega[slow])
    return found


def _simpson(x, y, omega):
    """∫ f(x) e^{−iωx} dx by Simpson's rule on every piece, off by (ωh)⁴/2880, h its length."""
    ends, middles = np.exp(-1j * omega * x) * y, (y[:-1] + y[1:]) / 2
    middles = np.exp(-1j * omega * (x[:-1] + x[1:]) / 2) * middles
    return ((ends[..., :-1] + 4 * middles + ends[..., 1:]) * np.diff(x) / 6).sum(-1)


def _pieces(x, y):
    """The knots as float64 and the slopes between them."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    if x.ndim != 1 or x.shape != y.shape or len(x) < 2:
        raise ValueError(
            f"x and y must both have shape (K,) with K >= 2, but got {x.shape} and {y.shape}"
        )
    checks.finite("x", x), checks.finite("y", y)
    if not (np.diff(x) > 0).all():
        raise ValueError("x must increase from each knot to the next")
    return x, y, np.diff(y) / np.diff(x)
