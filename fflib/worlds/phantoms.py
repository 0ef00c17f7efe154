r"""What is put into the scanner: heads made of ellipses.

The Shepp–Logan head is a sum of ellipses of constant grey (Shepp and Logan 1974; contrasts of Toft
1996, ellipsoids of Koay et al. 2007). Its line integrals are known in closed form, which makes it
the yardstick of every scanner.
"""

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks
from fflib.worlds.items import Items, shipped

# grey added, half-axis along x, along y, centre x, y, angle of the first half-axis to x
ELLIPSES = [
    [1.0, 0.69, 0.92, 0.0, 0.0, 0.0],
    [-0.8, 0.6624, 0.874, 0.0, -0.0184, 0.0],
    [-0.2, 0.11, 0.31, 0.22, 0.0, -0.1 * np.pi],
    [-0.2, 0.16, 0.41, -0.22, 0.0, 0.1 * np.pi],
    [0.1, 0.21, 0.25, 0.0, 0.35, 0.0],
    [0.1, 0.046, 0.046, 0.0, 0.1, 0.0],
    [0.1, 0.046, 0.046, 0.0, -0.1, 0.0],
    [0.1, 0.046, 0.023, -0.08, -0.605, 0.0],
    [0.1, 0.023, 0.023, 0.0, -0.605, 0.0],
    [0.1, 0.023, 0.046, 0.06, -0.605, 0.0],
]
# grey added, half-axes along x, y, z, centre x, y, z, angle about the z axis
ELLIPSOIDS = [
    [1.0, 0.69, 0.92, 0.9, 0.0, 0.0, 0.0, 0.0],
    [-0.8, 0.6624, 0.874, 0.88, 0.0, 0.0, 0.0, 0.0],
    [-0.2, 0.41, 0.16, 0.21, -0.22, 0.0, -0.25, 0.6 * np.pi],
    [-0.2, 0.31, 0.11, 0.22, 0.22, 0.0, -0.25, 0.4 * np.pi],
    [0.1, 0.21, 0.25, 0.5, 0.0, 0.35, -0.25, 0.0],
    [0.1, 0.046, 0.046, 0.046, 0.0, 0.1, -0.25, 0.0],
    [0.1, 0.046, 0.023, 0.02, -0.08, -0.65, -0.25, 0.0],
    [0.1, 0.046, 0.023, 0.02, 0.06, -0.65, -0.25, 0.5 * np.pi],
    [0.1, 0.056, 0.04, 0.1, 0.06, -0.105, 0.625, 0.5 * np.pi],
    [0.1, 0.056, 0.056, 0.1, 0.0, 0.1, 0.625, 0.0],
]


def perturbed(key: jax.Array, parameters=ELLIPSES) -> jax.Array:
    """Another head, as the paper draws them: N(0, 1)/20 added to every parameter (angles: radians).
    Chapter: Computed tomography.
    """
    parameters = checks.real_array("parameters", parameters)
    return parameters + jax.random.normal(checks.key("key", key), parameters.shape) / 20


def shepp_logan(n: int, parameters=ELLIPSES, oversample: int = 1) -> jax.Array:
    """The Shepp–Logan head at the points of ``data.grid(n, d)``, clipped to [0, 1].

    In the head's coordinates the square is [−1, 1]²: x runs along the last array axis, y up the one
    before it, and in 3-D z along the first. Edges are hard, as in the paper; ``oversample=k``
    averages kᵈ points around each point of the grid. ``parameters`` are (·, 6) ellipses, see
    ``ELLIPSES``, or (·, 8) ellipsoids, see ``ELLIPSOIDS``. Returns: (n, n) or (n, n, n), float32.
    Raises: ValueError for sizes below 1 or another number of parameters. Chapter: Computed
    tomography; in 3-D: Magnetic resonance.
    """
    n, k = checks.count("n", n), checks.count("oversample", oversample)
    parameters = np.asarray(checks.real_array("parameters", parameters, ("m", 6), ("m", 8)), float)
    d = parameters.shape[1] // 2 - 1
    points = (2 * np.arange(n * k) + 1 - k) / (n * k) - 1  # k = 1: −1, −1 + 2/n, …, 1 − 2/n
    x, y, z = points, -points[:, None], points[:, None, None]
    grey = np.zeros((n * k,) * d, np.float32)
    for row in parameters:
        axes, centre, c, s = row[1 : d + 1], row[d + 1 : -1], np.cos(row[-1]), np.sin(row[-1])
        along = ((x - centre[0]) * c + (y - centre[1]) * s) / axes[0]
        across = ((x - centre[0]) * s - (y - centre[1]) * c) / axes[1]
        distance = along**2 + across**2
        if d == 3:
            distance = distance + ((z - centre[2]) / axes[2]) ** 2
        grey += np.float32(row[0]) * (distance <= 1)
    grey = np.clip(grey, 0.0, 1.0)
    return jnp.asarray(grey.reshape((n, k) * d).mean(axis=tuple(range(1, 2 * d, 2))))


def ellipse_sinogram(n: int, angles, parameters=ELLIPSES) -> np.ndarray:
    """Exact line integrals of a sum of ellipses: what ``operators.project`` approximates.

    An ellipse of grey ρ with half-axes a, b, seen under θ at distance s from its centre, adds
    2ρab √(w² − s²)/w² with w² = a² cos²φ + b² sin²φ, φ the angle from its first axis to the
    detector's. The side of the square is the unit of length. Nothing is clipped. Detectors are at
    s = j/n − ½; ``angles`` (k,) are in radians. Returns: (k, n). Chapter: Computed tomography.
    """
    n = checks.count("n", n)
    angles = np.asarray(checks.real_array("angles", angles, integers=True), float)
    theta = -angles[:, None]  # y is up
    s = 2 * np.arange(n) / n - 1
    total = np.zeros((len(theta), n))
    for grey, a, b, x, y, phi in np.asarray(parameters, float):
        w2 = (a * np.cos(theta - phi)) ** 2 + (b * np.sin(theta - phi)) ** 2
        distance = s - x * np.cos(theta) - y * np.sin(theta)
        total += grey * abs(a * b) * np.sqrt(np.maximum(w2 - distance**2, 0)) / w2
    return total  # 2ρab √…/w² in units of half a side


def heads(count: int, n: int, d: int = 2) -> Items:
    """``count`` perturbed Shepp–Logan heads; in 2-D the first eight are those of the paper's test.

    The released code draws 16 heads from the key 10, scales its frequencies on the first eight and
    reports the last eight. JAX has since replaced its generator, so their parameters ship as a
    table. ``count`` is 1 to 8, ``d`` 2 or 3, else a ValueError. Chapter: Computed tomography.
    """
    checks.must(checks.count("count", count) <= 8, "count", "be at most 8", count)
    with np.load(shipped("heads.npz")) as file:
        drawn = file["ellipses" if checks.one_of("d", d, (2, 3)) == 2 else "ellipsoids"][:count]
    names = tuple(f"head{k + 1}" for k in range(count))
    array = jnp.stack([shepp_logan(n, parameters) for parameters in drawn])
    return Items(names, array, "", "Shepp–Logan heads with perturbed parameters")
