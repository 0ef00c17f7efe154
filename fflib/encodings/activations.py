"""Networks whose activation does what an encoding does: SIREN and Gaussian activations."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from fflib import checks
from fflib.network import OUTPUTS, Layers, mlp


def sine(z) -> jax.Array:
    """sin z, to 2·10⁻⁶ for ``|z|`` up to 1000, in a twentieth of ``jnp.sin``'s time on a CPU.

    With z = kπ + r, (−1)^k sin r by Taylor to r¹³. Chapter: The encodings people use now.
    """
    k = jnp.round(jax.lax.stop_gradient(z) / jnp.pi)
    r = z - k * 3.140625 - k * 9.67653589793e-4  # π in two parts, the first with few digits
    term = total = r
    for n in range(3, 15, 2):
        term = term * r * r / -(n * (n - 1))
        total = total + term
    return total * (1 - 2 * (k - 2 * jnp.floor(k / 2)))


ACTIVATIONS = {"sine": sine, "gaussian": lambda z: jnp.exp(-(z**2) / 2)}


@dataclasses.dataclass(frozen=True)
class ScaledMLP(Layers):
    """A network whose hidden layers compute φ(s (aW + b)) from their input a; the last is linear.

    The activation φ is "sine", sin z, or "gaussian", exp(−z²/2), the scale s the ω₀ of SIREN, or
    one over the width of the Gaussian; sizes and output are those of :class:`fflib.network.MLP`. W
    and b are uniform within ±1/√n_in, but SIREN's W within ±1/n_in in the first layer and
    ±√(6/n_in)/s in all others, so that every hidden layer sees numbers of the same spread. Raises:
    ValueError or TypeError that names the field. Chapter: The encodings people use now.
    """

    activation: str
    scale: float
    output: str | None = None

    def __post_init__(self):
        super().__post_init__()
        checks.one_of("activation", self.activation, tuple(ACTIVATIONS))
        checks.one_of("output", self.output, tuple(OUTPUTS))
        checks.positive("scale", self.scale)

    def bounds(self) -> list[tuple[float, float]]:
        """Largest weight and largest bias of every layer at initialisation."""
        biases = weights = [1 / math.sqrt(n) for n, _ in self.fans]
        if self.activation == "sine":
            rest = [math.sqrt(6 / n) / self.scale for n, _ in self.fans[1:]]
            weights = [1 / self.sizes[0], *rest]
        return list(zip(weights, biases, strict=True))

    def init(self, key: jax.Array) -> list[tuple[jax.Array, jax.Array]]:
        """Draw parameters: a list of (W, b), W of shape (n_in, n_out), b of shape (n_out,)."""
        params, keys = [], jax.random.split(checks.key("key", key), self.depth)
        for k, fan, (w, t) in zip(keys, self.fans, self.bounds(), strict=True):
            k_w, k_b = jax.random.split(k)
            W = jax.random.uniform(k_w, fan, minval=-w, maxval=w)
            params.append((W, jax.random.uniform(k_b, fan[1:], minval=-t, maxval=t)))
        return params

    def apply(self, params, x) -> jax.Array:
        """The network: x of shape (..., n_in) to (..., n_out)."""
        self._check(params, x)
        *hidden, (W, b) = params
        for V, c in hidden:
            x = ACTIVATIONS[self.activation](self.scale * (x @ V + c))
        return OUTPUTS[self.output](x @ W + b)

    __call__ = apply


def siren(
    d_in: int, width: int, depth: int, d_out: int = 1, omega: float = 30.0,
    output: str | None = None,
) -> ScaledMLP:  # fmt: skip
    """SIREN (Sitzmann et al. 2020): sin(ω₀ (aW + b)), ``depth`` layers with the linear output.

    Made for coordinates in [−1, 1]: ``features.none(d, shift=0.5, scale=2.0)`` gives them. Raises:
    ValueError for a size that is too small or omega ≤ 0. Chapter: The encodings people use now.
    """
    sizes = mlp(d_in, width, checks.count("depth", depth, least=2), d_out).sizes
    return ScaledMLP(sizes, "sine", checks.positive("omega", omega), output)


def gaussian_network(
    d_in: int, width: int, depth: int, d_out: int = 1, a: float = 0.1, output: str | None = None
) -> ScaledMLP:
    """Gaussian activations exp(−z²/2a²) (Ramasinghe & Lucey 2022), otherwise as :func:`siren`.
    Chapter: The encodings people use now.
    """
    sizes = mlp(d_in, width, checks.count("depth", depth, least=2), d_out).sizes
    return ScaledMLP(sizes, "gaussian", 1 / checks.positive("a", a), output)
