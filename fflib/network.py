"""The coordinate network: a plain multilayer perceptron, described by a small frozen spec.

The spec holds all that fixes the network's distribution at initialisation, so that
:func:`fflib.theory.kernels.ntk` can write down the kernel of *this* network. The parameters are a
plain list of (W, b), outside the spec.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from fflib import checks

ACTIVATIONS = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "gelu": jax.nn.gelu,
    "softplus": jax.nn.softplus,
    "relu2": lambda z: jax.nn.relu(z) ** 2,
    "sin": jnp.sin,
}
OUTPUTS = {None: lambda z: z, "sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh}
WEIGHTS = {
    "glorot": lambda n_in, n_out: math.sqrt(2 / (n_in + n_out)),
    "lecun": lambda n_in, n_out: math.sqrt(1 / n_in),
    "he": lambda n_in, n_out: math.sqrt(2 / n_in),
}


@dataclasses.dataclass(frozen=True)
class Layers:
    """Layers z = a W + b of given sizes, input first: what :class:`MLP` and others share.

    Raises: ValueError or TypeError for bad sizes. Chapter: The neural tangent kernel.
    """

    sizes: tuple[int, ...]

    def __post_init__(self):
        right = isinstance(self.sizes, (tuple, list)) and len(self.sizes) > 1
        checks.must(right, "sizes", "list an input and an output size", self.sizes)
        # the spec is frozen; lists become tuples so that it stays hashable
        sizes = tuple(checks.count(f"sizes[{i}]", n) for i, n in enumerate(self.sizes))
        object.__setattr__(self, "sizes", sizes)

    @property
    def depth(self) -> int:
        """Number of layers, the output layer included."""
        return len(self.sizes) - 1

    @property
    def fans(self) -> tuple[tuple[int, int], ...]:
        """(inputs, outputs) of every layer."""
        return tuple(zip(self.sizes[:-1], self.sizes[1:], strict=True))

    @property
    def num_params(self) -> int:
        """Number of weights and biases."""
        return sum(n_in * n_out + n_out for n_in, n_out in self.fans)

    def _check(self, params, x):
        checks.real_array("x", x, (..., self.sizes[0]), nan=True)
        wanted = [(fan, fan[1:]) for fan in self.fans]
        shapes = [(jnp.shape(W), jnp.shape(b)) for W, b in params]
        asked = f"have weights and biases of shapes {wanted}"
        checks.must(shapes == wanted, "params", asked, shapes)


@dataclasses.dataclass(frozen=True)
class MLP(Layers):
    """A multilayer perceptron; ``sizes=(2, 256, 256, 256, 3)`` is "depth 4": 3 hidden + output.

    Layer l computes z = a W + b from its input a; hidden layers apply ``activation``.

    Attributes:
        sizes: units of every layer, input first, output last.
        activation: "relu", "tanh", "gelu", "softplus", "relu2" (its square) or "sin".
        output: None, "sigmoid" or "tanh", applied to the last layer.
        weights: standard deviation of the effective weights: "glorot" √(2/(in+out)),
            "lecun" √(1/in), "he" √(2/in), a number for all layers, or a tuple with one a layer.
        biases: standard deviation of the effective biases: a number or a tuple.
        parameterization: "standard" (W itself is drawn with that deviation and trained) or "ntk"
            (W, b ~ N(0, 1) are trained and multiplied by the deviation in the forward pass, so that
            the kernel has a limit as the width grows).

    Raises: ValueError or TypeError that names the field. Chapter: The neural tangent kernel;
    initialisations of the experiments: Conventions.
    """

    activation: str = "relu"
    output: str | None = None
    weights: str | float | tuple[float, ...] = "glorot"
    biases: float | tuple[float, ...] = 0.0
    parameterization: str = "standard"

    def __post_init__(self):
        super().__post_init__()
        for name in ("weights", "biases"):
            value = getattr(self, name)
            if name == "weights" and isinstance(value, str):
                checks.one_of(name, value, tuple(WEIGHTS))
                continue
            several = isinstance(value, (tuple, list))
            given = value if several else [value] * self.depth
            wanted = f"have one value for each of the {self.depth} layers"
            checks.must(len(given) == self.depth, name, wanted, len(given))
            each = tuple(float(checks.positive(name, s, zero=True)) for s in given)
            object.__setattr__(self, name, each if several else each[0])
        checks.one_of("activation", self.activation, tuple(ACTIVATIONS))
        checks.one_of("output", self.output, tuple(OUTPUTS))
        checks.one_of("parameterization", self.parameterization, ("standard", "ntk"))

    @property
    def weight_std(self) -> tuple[float, ...]:
        """Standard deviation of every layer's effective weights at initialisation."""
        if isinstance(self.weights, str):
            return tuple(WEIGHTS[self.weights](*fan) for fan in self.fans)
        return self.weights if isinstance(self.weights, tuple) else (self.weights,) * self.depth

    @property
    def bias_std(self) -> tuple[float, ...]:
        """Standard deviation of every layer's effective biases at initialisation."""
        return self.biases if isinstance(self.biases, tuple) else (self.biases,) * self.depth

    def init(self, key: jax.Array) -> list[tuple[jax.Array, jax.Array]]:
        """Draw parameters: a list of (W, b), W of shape (n_in, n_out), b of shape (n_out,)."""
        ntk, params = self.parameterization == "ntk", []
        keys = jax.random.split(checks.key("key", key), self.depth)
        for k, fan, s, t in zip(keys, self.fans, self.weight_std, self.bias_std, strict=True):
            k_w, k_b = jax.random.split(k)
            W = jax.random.normal(k_w, fan)
            # what is zero is not drawn: quicker to compile
            b = jax.random.normal(k_b, fan[1:]) if t or ntk else jnp.zeros(fan[1:])
            params.append((W, b) if ntk else (s * W, t * b))
        return params

    def effective(self, params) -> list[tuple[jax.Array, jax.Array]]:
        """The (W, b) that multiply: ``params``, scaled when the parameterization is "ntk"."""
        if self.parameterization == "standard":
            return params
        layers = zip(params, self.weight_std, self.bias_std, strict=True)
        return [(s * W, t * b) for (W, b), s, t in layers]

    def apply(self, params, x) -> jax.Array:
        """The network: x of shape (..., n_in) to (..., n_out)."""
        self._check(params, x)
        *hidden, (W, b) = self.effective(params)
        act = ACTIVATIONS[self.activation]
        for V, c in hidden:
            x = act(x @ V + c)
        return OUTPUTS[self.output](x @ W + b)

    __call__ = apply


def mlp(d_in: int, width: int, depth: int, d_out: int = 1, **spec) -> MLP:
    """An :class:`MLP` of ``depth`` layers: depth − 1 hidden ones of ``width`` units and the output.

    Further keywords (activation, output, weights, biases, parameterization) go to :class:`MLP`.
    Raises: ValueError when a size is smaller than 1. Chapter: Why is it blurry?
    """
    hidden = (checks.count("width", width),) * (checks.count("depth", depth) - 1)
    return MLP((checks.count("d_in", d_in), *hidden, checks.count("d_out", d_out)), **spec)
