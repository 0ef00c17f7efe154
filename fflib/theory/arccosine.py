r"""The recursion from layer to layer behind the closed-form kernels of a ReLU network (Eq. 2).

Usually written with arccos of a normalised covariance. Near coincident points that loses half of the
digits and its gradient is 0/0. Here the angle θ between two inputs is carried as h = sin²(θ/2) and
g = cos²(θ/2), both computed from differences and sums of the inputs, so values and gradients keep float32
precision everywhere, coincident points included.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from fflib.network import MLP


@jax.custom_jvp
def _angle(h, g):
    """θ from h = sin²(θ/2) and g = cos²(θ/2)."""
    return 2 * jnp.arctan2(jnp.sqrt(h), jnp.sqrt(g))


@_angle.defjvp
def _angle_jvp(primals, tangents):
    h, g = primals
    inside = (h > 0) & (g > 0)
    ratio = jnp.sqrt(jnp.where(inside, h, 1.0) / jnp.where(inside, g, 1.0))
    slope = jnp.where(inside, tangents[0] / ratio - tangents[1] * ratio, 0.0)
    return _angle(h, g), slope  # at θ = 0 and π the kernel has a cusp: take its symmetric slope, 0


@jax.custom_jvp
def _next_h(h, g):
    """sin²(θ'/2) after a ReLU layer: cos θ' = (sin θ + (π − θ) cos θ)/π (Cho & Saul 2009)."""
    theta = _angle(h, g)
    series = theta**3 * (1 / 3 - theta**2 * (1 / 30 - theta**2 / 840))
    direct = 2 * jnp.sqrt(h * g) - theta * (g - h)
    return h - jnp.where(theta < 0.3, series, direct) / (2 * jnp.pi)


@_next_h.defjvp
def _next_h_jvp(primals, tangents):
    return _next_h(*primals), (1 - _angle(*primals) / jnp.pi) * tangents[0]


def relu_recursion(model: MLP, r1, r2, h, g, rho=0.0, edge=0.0):
    """Covariance and NTK of the network's output from the geometry of its inputs.

    r1, r2: norms of the inputs, broadcastable against h, g: sin² and cos² of half their angle.
    rho: r1 − r2, computed without cancellation. edge: ⟨x, x'⟩ where one of the inputs is zero, else 0;
    its value is always 0, but there it alone has the derivative (r1 r2 cos θ has none at r1 = 0).
    Layer by layer, with weight deviation s, bias deviation t and n_in inputs,

        Σ = s²⟨a, a'⟩ + t²,     Θ = w⟨a, a'⟩ + β + s² n_in κ₀(θ) Θ_previous,

    where (w, β) = (1, 1) in standard and (s², t²) in NTK parameterization, ⟨a, a'⟩ is the inner
    product of the layer's inputs, and κ₀(θ) = (π − θ)/2π is the ReLU's mean slope product.
    """
    if model.activation != "relu":
        raise ValueError(
            f"the closed form is for activation 'relu', but the model has {model.activation!r}; use empirical_ntk"
        )
    theta = 0.0
    slope = None
    for (n_in, n_out), s, t in zip(model.fans, model.weight_std, model.bias_std, strict=True):
        inner = r1 * r2 * (g - h) + edge
        w, beta = (1.0, 1.0) if model.parameterization == "standard" else (s**2, t**2)
        theta = w * inner + beta + (0.0 if slope is None else s**2 * n_in * slope * theta)
        # pre-activations: scale by s, then add the bias as one more coordinate of length t
        r1, r2, rho, edge = s * r1, s * r2, s * rho, s**2 * edge
        if t > 0:
            rr, p1, p2 = r1 * r2, jnp.sqrt(r1**2 + t**2), jnp.sqrt(r2**2 + t**2)
            P = p1 * p2
            gap = t**2 * rho**2 / (P + rr + t**2)  # P − r1 r2 − t², without cancellation
            h = (gap + 2 * h * rr - edge) / (2 * P)
            g = (gap + 2 * t**2 + 2 * g * rr + edge) / (2 * P)
            r1, r2, rho, edge = p1, p2, rho * (r1 + r2) / (p1 + p2), 0.0
        covariance = r1 * r2 * (g - h) + edge
        # hidden units: n_out of them, each with E[relu²] = r²/2
        slope = 0.5 - _angle(h, g) / (2 * jnp.pi)
        h = _next_h(h, g)
        g = 1 - h
        scale = math.sqrt(n_out / 2)
        r1, r2, rho, edge = scale * r1, scale * r2, scale * rho, n_out * slope * edge
    return covariance, theta
