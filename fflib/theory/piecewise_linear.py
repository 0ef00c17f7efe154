r"""ReLU networks of one variable as what they are: continuous piecewise-linear functions.

Such a function is a list of knots (x_j, y_j) with straight lines between them, here in float64
NumPy arrays: the position of a kink decides the phase of every frequency.
"""

import numpy as np
from scipy.special import spherical_jn

from fflib import checks
from fflib.network import MLP


def knots(
    model: MLP, params, start: float = 0.0, end: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """All places on [start, end] where a unit of the network switches, both ends included.

    Layer by layer: between two knots every unit's pre-activation is a straight line, so a change of
    its sign has one crossing, which joins the knots of the next layer. Returns: (x, y), each (K,),
    x increasing from start to end, y the network's values. Raises: ValueError for an empty interval
    or other than a ReLU network of one input, one output and no output function. Chapter: ReLU
    networks as pieces.
    """
    checks.is_a("model", model, MLP)
    ends = model.sizes[0], model.sizes[-1]
    right = ends == (1, 1) and model.activation == "relu" and model.output is None
    wanted = "be a ReLU network with one input, one output and no output function"
    checks.must(right, "model", wanted, model)
    checks.must(-np.inf < start < end < np.inf, "start and end", "rise", f"{start} and {end}")
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

    With ω = 2πk, a sum over the pieces, of length h, middle x̄, mean ȳ and rise Δy,

        f̃(k) = Σ h e^{−iωx̄} (ȳ j₀(ωh/2) − ½ i Δy j₁(ωh/2)),

    j₀ and j₁ the spherical Bessel functions: Eq. knots, but nothing cancels where ω is small. f is
    zero outside its knots; k, of any shape, is in cycles per unit of x. Returns: complex array of
    k's shape. Raises: as :func:`from_knots`. Chapter: ReLU networks as pieces.
    """
    x, y, slopes = _pieces(x, y)
    h, omega = np.diff(x), 2 * np.pi * np.asarray(k, float)[..., None]
    flat, tilted = (spherical_jn(n, omega * h / 2) for n in (0, 1))
    pieces = (y[1:] + y[:-1]) * flat - 1j * slopes * h * tilted
    return (h / 2 * np.exp(-1j * omega * (x[1:] + x[:-1]) / 2) * pieces).sum(-1)


def _pieces(x, y):
    """The knots as float64 and the slopes between them."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    right = x.ndim == 1 and x.shape == y.shape and len(x) >= 2
    wanted = "both have shape (K,) with K >= 2"
    checks.must(right, "x and y", wanted, f"{x.shape} and {y.shape}")
    checks.finite("x", x), checks.finite("y", y)
    checks.must((np.diff(x) > 0).all(), "x", "increase from each knot to the next", x)
    return x, y, np.diff(y) / np.diff(x)
