"""Independent float64 answers that the tests compare the library with, written for clarity, not
speed.
"""

import jax
import numpy as np

if hasattr(jax, "enable_x64"):
    x64 = jax.enable_x64  # with x64(True): float64 inside, float32 outside
else:  # before jax 0.8
    from jax.experimental import enable_x64 as x64


def in_float64(function, *args):
    """function(*args) with every array in float64; the result as a numpy array."""
    with x64(True):
        wide = jax.tree.map(lambda a: jax.numpy.asarray(np.asarray(a), "float64"), args)
        return jax.tree.map(np.asarray, function(*wide))


def relu_moments(S12, S11, S22):
    """E[relu(u) relu(v)] and E[relu'(u) relu'(v)] for (u, v) ~ N(0, S), by arccos (Cho & Saul
    2009).
    """
    norm = np.sqrt(S11 * S22)
    theta = np.arccos(np.clip(S12 / norm, -1.0, 1.0))
    return norm * (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi), (
        np.pi - theta
    ) / (2 * np.pi)


def arccos_ntk(model, x1, x2, dtype=np.float64):
    """The NTK of a ReLU network by the textbook recursion on covariance matrices."""
    x1, x2 = np.asarray(x1, dtype), np.asarray(x2, dtype)
    A12, A11, A22 = (
        x1 @ x2.T,
        (x1**2).sum(1)[:, None],
        (x2**2).sum(1)[None, :],
    )  # inner products of a layer's inputs
    S12 = S11 = S22 = theta = None
    for n_in, s, t in zip(model.sizes[:-1], model.weight_std, model.bias_std, strict=True):
        if S12 is not None:
            moment, slope = relu_moments(S12, S11, S22)
            A12, A11, A22 = n_in * moment, n_in * S11 / 2, n_in * S22 / 2
        w, b = (1.0, 1.0) if model.parameterization == "standard" else (s**2, t**2)
        theta = w * A12 + b + (0.0 if theta is None else s**2 * n_in * slope * theta)
        S12, S11, S22 = s**2 * A12 + t**2, s**2 * A11 + t**2, s**2 * A22 + t**2
    return theta


def central_difference(function, x, step=1e-6):
    """Gradient of a scalar function of one array by symmetric differences in float64."""
    x = np.asarray(x, np.float64)
    gradient = np.zeros_like(x)
    with x64(True):
        for i in np.ndindex(x.shape):
            e = np.zeros_like(x)
            e[i] = step
            gradient[i] = (float(function(x + e)) - float(function(x - e))) / (2 * step)
    return gradient


def expm(A):
    """e^A by Taylor series with scaling and squaring, no eigenvectors."""
    A = np.asarray(A, np.float64)
    squarings = max(0, int(np.ceil(np.log2(max(np.abs(A).sum(1).max(), 1e-300)))) + 4)
    term = total = np.eye(len(A))
    for k in range(1, 20):
        term = term @ (A / 2**squarings) / k
        total = total + term
    for _ in range(squarings):
        total = total @ total
    return total


def ssim(pred, target, peak=1.0):
    """Structural similarity of two (H, W) pictures, window by window, as the paper writes it."""
    x = np.arange(-5, 6)
    window = np.exp(-(x[:, None] ** 2 + x[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    values = []
    for i in range(pred.shape[0] - 10):
        for j in range(pred.shape[1] - 10):
            p, t = (np.asarray(z[i : i + 11, j : j + 11], np.float64) for z in (pred, target))
            mp, mt = (window * p).sum(), (window * t).sum()
            vp, vt = (window * (p - mp) ** 2).sum(), (window * (t - mt) ** 2).sum()
            cov = (window * (p - mp) * (t - mt)).sum()
            values.append(
                (2 * mp * mt + c1) * (2 * cov + c2) / ((mp**2 + mt**2 + c1) * (vp + vt + c2))
            )
    return np.mean(values)
