r"""Kernel regression and the neural tangent kernel (Eqs. 1 and 2).

Written with arccos of a normalised covariance, as usual, the closed forms of a ReLU network lose
half of their digits near coincident points and have gradients 0/0. Here the angle θ between two
inputs is carried as h = sin²(θ/2) and g = cos²(θ/2), from differences and sums of the inputs.
"""

import math
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from fflib import checks
from fflib.features import Mapping
from fflib.network import MLP


def square(name: str, value) -> jax.Array:
    """A symmetric matrix (n, n), else ValueError. Chapter: Kernel regression."""
    array = checks.real_array(name, value, ("n", "n"), integers=True)
    if not checks.traced(array):
        K = np.asarray(array)
        asymmetry = np.abs(K - K.T).max()
        if asymmetry > 1e-3 * max(np.abs(K).max(), np.finfo(K.dtype).tiny):
            raise ValueError(f"{name} must be symmetric, but |K - Kᵀ| reaches {asymmetry:.3g}")
    return array


def fits_in_memory(name: str, *shape: int, arrays: int = 1) -> None:
    """MemoryError for arrays of floats that there is no room for. Chapter: Kernel regression."""
    size = arrays * math.prod(shape) * jnp.zeros(()).dtype.itemsize
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if limit is None and hasattr(os, "sysconf"):
        limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = limit or math.inf
    if size > limit:
        raise MemoryError(
            f"{name} of shape {shape} would take {size / 1e9:.1f} GB, more than the "
            f"{limit / 1e9:.0f} GB there are. Use fewer points, or a method that never forms it"
        )


# --- Kernel regression (Eq. 1)


def gaussian_kernel(x1, x2, width: float) -> jax.Array:
    """k(x, x') = exp(−‖x − x'‖² / (2 width²)) for rows of x1 (n1, d) and x2 (n2, d): (n1, n2).

    Raises: ValueError when dimensions differ or width ≤ 0. Chapter: Kernel regression.
    """
    checks.positive("width", width)
    x1 = checks.points("x1", x1)
    x2 = checks.points("x2", x2, x1.shape[1])
    fits_in_memory("the kernel matrix", len(x1), len(x2))
    return jnp.exp(-_squared_distances(x1, x2) / (2 * width**2))


@jax.jit
def _squared_distances(x1, x2):
    """‖x1_i − x2_j‖² by differences: exact zeros for equal points, no cancellation."""
    return _by_rows(lambda x: ((x - x2) ** 2).sum(-1), x1, x2.size)


def _by_rows(row, x1, size: int):
    """Stack row(x), which needs ``size`` numbers, over x1: no array (n1, n2, d) is ever formed."""
    return jax.lax.map(jax.checkpoint(row), x1, batch_size=max(1, 2**20 // size))


def kernel_regression(K, y, jitter: float = 0.0) -> jax.Array:
    """Solve (K + jitter·I) w = y by Cholesky; then f̂(x) = Σ_i w_i k(x_i, x) = k(x, X) @ w (Eq. 1).

    From the Gram matrix K (n, n) of the training points, values y (n,) or (n, c) and a jitter ≥ 0,
    the variance of the noise or a numerical aid, come weights w of y's shape; K_test (n_test, n)
    makes predictions of them, K_test @ w. Raises: ValueError when shapes disagree, a value is not
    finite, or K + jitter·I is not symmetric positive definite. Chapter: Kernel regression.
    """
    L = _cholesky(K, jitter)
    y = checks.real_array("y", y, (len(L),), (len(L), "c"))
    return jax.scipy.linalg.cho_solve((L, True), y)


def _cholesky(K, jitter):
    checks.warn_of_wrong_products()
    K = square("K", K)
    jitter = checks.positive("jitter", jitter, zero=True)
    L = jnp.linalg.cholesky(K + jitter * jnp.eye(len(K), dtype=K.dtype))
    if not checks.traced(L) and not np.isfinite(np.asarray(L)).all():
        lowest = float(np.linalg.eigvalsh(np.asarray(K, dtype=np.float64))[0])
        raise ValueError(
            f"K + jitter·I is not positive definite in {K.dtype}: the smallest eigenvalue of K is "
            f"{lowest:.3g} and jitter is {jitter:g}. Give a kernel that is positive semidefinite, "
            f"and a jitter of about {1e-6 * float(jnp.trace(K)) / len(K):.1g} or more"
        )
    return L


def predictive_variance(K, K_test, k_test, noise: float) -> jax.Array:
    """Variance at new points after values with noise: k** − K* (K + noise·I)⁻¹ K*ᵀ.

    The band of the Gaussian process whose mean is :func:`kernel_regression` (Rasmussen & Williams
    2006, Eq. 2.24): (n_test,), ≥ 0. A new observation varies by ``noise`` more, the variance of the
    noise, ≥ 0. K (n, n) and K_test (n_test, n) are the covariance of the function, its scale
    included (:func:`fit_kernel`), k_test (n_test,) is k(x, x) at the new points, or one number for
    a stationary kernel. Raises: as :func:`kernel_regression`. Chapter: Kernel regression.
    """
    L = _cholesky(K, noise)
    K_test = checks.points("K_test", K_test, len(L))
    k_test = checks.real_array("k_test", k_test, (), (len(K_test),))
    v = jax.scipy.linalg.solve_triangular(L, K_test.T, lower=True)
    return jnp.maximum(k_test - (v**2).sum(0), 0.0)


def log_marginal_likelihood(K, y, noise: float) -> jax.Array:
    """log p(y) for y ~ N(0, K + noise·I), summed over columns; differentiable in all three.

    −½ yᵀ(K + noise·I)⁻¹y − ½ log det(K + noise·I) − (n/2) log 2π (Rasmussen & Williams 2006, Eq.
    2.30). Args and errors: as :func:`kernel_regression`. Chapter: Kernel regression.
    """
    L = _cholesky(K, noise)
    y = checks.real_array("y", y, (len(L),), (len(L), "c")).reshape(len(L), -1)
    v = jax.scipy.linalg.solve_triangular(L, y, lower=True)
    constant = jnp.log(jnp.diagonal(L)).sum() + len(L) / 2 * jnp.log(2 * jnp.pi)
    return -(v**2).sum() / 2 - y.shape[1] * constant


def fit_kernel(kernel: Callable, x, y, start: dict[str, float]) -> tuple[dict, float]:
    """The kernel's numbers, and the noise, under which the values y are most probable.

    L-BFGS climbs :func:`log_marginal_likelihood` over the numbers' logarithms to the nearest top:
    start from more than one guess.

    Args:
        kernel: (x1, x2, numbers) ↦ covariance, e.g.
            ``lambda x1, x2, p: p["power"] * gaussian_kernel(x1, x2, p["width"])``.
        x, y: points (n, d) and values, (n,) or (n, c), whose mean the caller has taken out.
        start: a number > 0 for each name the kernel reads, and "noise", the variance of the noise.

    Returns: (numbers, log marginal likelihood). Raises: ValueError for numbers ≤ 0, or a kernel
    that is not positive definite with the noise. Chapter: Kernel regression.
    """
    for name, value in start.items():
        checks.positive(f"start[{name!r}]", value)
    x, y = checks.points("x", x), checks.real_array("y", y)
    log_marginal_likelihood(kernel(x, x, start), y, start["noise"])  # refuses a bad start

    def loss(logs):
        value, slope = _improbability(kernel, dict(zip(start, logs, strict=True)), x, y)
        slopes = np.array([float(slope[k]) for k in start])
        # where rounding makes K indefinite there is a wall
        return (float(value), slopes) if value < 1e30 else (1e30, 0 * logs)

    found = minimize(loss, np.log(list(start.values())), jac=True, method="L-BFGS-B")
    return dict(zip(start, np.exp(found.x).tolist(), strict=True)), -float(found.fun)


@partial(jax.jit, static_argnums=0)
@partial(jax.value_and_grad, argnums=1)
def _improbability(kernel, logs, x, y):
    numbers = jax.tree.map(jnp.exp, logs)
    return -log_marginal_likelihood(kernel(x, x, numbers), y, numbers["noise"])


# --- The closed-form kernel of a ReLU MLP (Eq. 2)


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


def relu_recursion(model: MLP, r1, r2, h, g, rho: Any = 0.0, edge: Any = 0.0):
    """The NTK of the network's output from the geometry of its inputs.

    r1, r2: norms of the inputs, broadcastable against h, g: sin² and cos² of half their angle. rho:
    r1 − r2, without cancellation. edge: ⟨x, x'⟩ where one of the inputs is zero, else 0: always 0,
    but there it alone has the derivative. Layer by layer, for weights of deviation s, biases of t,

        Σ = s²⟨a, a'⟩ + t²,     Θ = w⟨a, a'⟩ + β + s² n_in κ₀(θ) Θ_previous,

    with (w, β) = (1, 1) in standard and (s², t²) in NTK parameterization, ⟨a, a'⟩ of the layer's
    n_in inputs and the ReLU's mean slope product κ₀(θ) = (π − θ)/2π. Raises: ValueError for another
    activation. Chapter: The neural tangent kernel.
    """
    given = f"{model.activation!r}: use empirical_ntk"
    checks.must(model.activation == "relu", "model", "have activation 'relu'", given)
    theta = slope = 0.0
    for (n_in, n_out), s, t in zip(model.fans, model.weight_std, model.bias_std, strict=True):
        inner = r1 * r2 * (g - h) + edge
        w, beta = (1.0, 1.0) if model.parameterization == "standard" else (s**2, t**2)
        theta = w * inner + beta + s**2 * n_in * slope * theta
        # pre-activations: scale by s, then add the bias as one more coordinate of length t
        r1, r2, rho, edge = s * r1, s * r2, s * rho, s**2 * edge
        if t > 0:
            rr, p1, p2 = r1 * r2, jnp.sqrt(r1**2 + t**2), jnp.sqrt(r2**2 + t**2)
            P = p1 * p2
            gap = t**2 * rho**2 / (P + rr + t**2)  # P − r1 r2 − t², without cancellation
            h = (gap + 2 * h * rr - edge) / (2 * P)
            g = (gap + 2 * t**2 + 2 * g * rr + edge) / (2 * P)
            r1, r2, rho, edge = p1, p2, rho * (r1 + r2) / (p1 + p2), 0.0
        # hidden units: n_out of them, each with E[relu²] = r²/2
        slope = 0.5 - _angle(h, g) / (2 * jnp.pi)
        h = _next_h(h, g)
        g = 1 - h
        scale = math.sqrt(n_out / 2)
        r1, r2, rho, edge = scale * r1, scale * r2, scale * rho, n_out * slope * edge
    return theta


@jax.custom_jvp
def _norm(x):
    return jnp.linalg.norm(x, axis=-1)


@_norm.defjvp
def _norm_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    r = _norm(x)
    return r, (x * dx).sum(-1) / jnp.where(r > 0, r, 1.0)


@partial(jax.jit, static_argnums=0)
def _pairs(model, x1, x2):
    r2 = _norm(x2)
    u2 = x2 / _or_one(r2)[:, None]

    def row(x):
        r = _norm(x)
        u = x / _or_one(r)
        total = _or_one(r + r2)
        rho = ((x - x2) * (x + x2)).sum(-1) / total  # r − r2

        def half_angle(x2, u2):
            """‖u − u2‖²/4 from u − u2 = (x − x2 − (r − r2)(u + u2)/2) / ((r + r2)/2)."""
            apart = ((x - x2 - rho[:, None] * (u + u2) / 2) ** 2).sum(-1)
            rounding = (8 * jnp.finfo(x.dtype).eps) ** 2 * ((x - x2) ** 2).sum(-1)
            # 0 for inputs of one direction
            return jnp.where(apart > rounding, apart, 0.0) / total**2

        # a zero input has no angle: as the bias goes to 0 it becomes π/2 to others, 0 to itself
        one, both = (r > 0) != (r2 > 0), (r == 0) & (r2 == 0)
        h = jnp.where(one, 0.5, jnp.where(both, 0.0, half_angle(x2, u2)))
        g = jnp.where(one, 0.5, jnp.where(both, 1.0, half_angle(-x2, -u2)))
        return relu_recursion(model, r, r2, h, g, rho, jnp.where(one | both, x2 @ x, 0.0))

    return _by_rows(row, x1, x2.size)


def _or_one(r):
    return jnp.where(r > 0, r, 1.0)


def ntk(model: MLP, x1, x2=None) -> jax.Array:
    """The neural tangent kernel of a ReLU MLP in closed form (Eq. 2; Jacot et al. 2018).

    k(x, x') = E ⟨∂f(x)/∂θ, ∂f(x')/∂θ⟩ over the model's own initialisation, each hidden layer taken
    in the limit of many units; the kernel of one output, before the output function. Of network
    inputs (features, not coordinates) x1 (n1, d) and x2 (n2, d), x1 if absent: (n1, n2).

    Differentiable in the inputs; at the cusp of coincident points the derivative is the mean of
    both sides. A zero input of a first layer without bias is the limit of a small bias. Raises:
    ValueError or TypeError for bad points or another activation than "relu"; MemoryError when too
    large. Chapter: The neural tangent kernel.
    """
    checks.is_a("model", model, MLP)
    x1 = checks.points("x1", x1, model.sizes[0])
    x2 = x1 if x2 is None else checks.points("x2", x2, model.sizes[0])
    fits_in_memory("the kernel matrix, computed by four,", len(x1), len(x2), arrays=4)
    return _pairs(model, x1, x2)


def ntk_stationary(model: MLP, mapping: Mapping, delta) -> jax.Array:
    """The NTK of ``model`` on γ(v), as a function of the offset Δ (..., d) alone: (...).

    Exact at Δ = 0: the angle between features comes from sin²(θ/2) = Σ a_j² sin²(π b_jᵀΔ) / Σ a_j².
    Raises: TypeError for a mapping without frequencies; ValueError when sizes disagree. Chapter:
    Fourier features and stationary kernels.
    """
    fitting(model, mapping)
    return _stationary(model, mapping, checks.coordinates("delta", delta, mapping.d))


def fitting(model: MLP, mapping: Mapping) -> None:
    """TypeError for a mapping without frequencies, ValueError for what the model does not take.
    Chapter: Fourier features and stationary kernels.
    """
    checks.is_a("model", model, MLP)
    checks.is_a("mapping", mapping, Mapping)
    given, wanted = mapping.num_features, model.sizes[0]
    if given != wanted:
        raise ValueError(f"mapping gives {given} features, but the model expects {wanted} inputs")


@partial(jax.jit, static_argnums=0)
def _stationary(model, mapping, delta):
    power = mapping.a**2 / (mapping.a**2).sum()
    half_phase = mapping.phase(delta) / 2
    dot = partial(jnp.matmul, precision="highest")
    h, g = dot(jnp.sin(half_phase) ** 2, power), dot(jnp.cos(half_phase) ** 2, power)
    r = jnp.linalg.norm(mapping.a)
    return relu_recursion(model, r, r, h, g)


def empirical_ntk(apply: Callable, params, x1, x2=None, batch: int | None = None) -> jax.Array:
    """⟨∂f(x)/∂θ, ∂f(x')/∂θ⟩ at the given parameters, for any ``apply(params, x)``.

    ``apply`` maps a pytree of arrays and inputs (n, d) to outputs (n,), (n, 1) or (n, o). Of inputs
    x1 (n1, d) and x2 (n2, d), x1 if absent: (n1, n2) for one output, (n1, n2, o, o) for several.
    Jacobians are held of ``batch`` rows at a time (default: half a gigabyte). Raises: ValueError or
    TypeError for bad points; MemoryError for too large a result. Chapter: The neural tangent
    kernel.
    """
    x1 = checks.points("x1", x1)
    x2 = x1 if x2 is None else checks.points("x2", x2, x1.shape[1])
    out = jax.eval_shape(apply, params, x1[:1]).shape
    right = len(out) in (1, 2) and out[0] == 1
    given = f"(1, {x1.shape[1]}) that became {out}"
    checks.must(right, "apply", "map (n, d) to (n,) or (n, o)", given)
    o = out[1] if len(out) == 2 else 1
    fits_in_memory("the empirical NTK", len(x1), len(x2), o, o)
    if batch is None:
        row = o * sum(np.size(leaf) for leaf in jax.tree.leaves(params)) * 4
        batch = max(1, int(5e8 // row))
    checks.count("batch", batch)
    jacobians, rows = partial(_jacobians, apply, o, params), []
    pieces1 = [x1[i : i + batch] for i in range(0, len(x1), batch)]
    pieces2 = pieces1 if x2 is x1 else [x2[i : i + batch] for i in range(0, len(x2), batch)]
    for a in pieces1:
        J = jacobians(a)
        blocks = [_contract(J, J if b is a else jacobians(b)) for b in pieces2]
        rows.append(jnp.concatenate(blocks, axis=1))
    K = jnp.concatenate(rows)
    return K[:, :, 0, 0] if o == 1 else K


@partial(jax.jit, static_argnums=(0, 1))
def _jacobians(apply, o, params, x):
    """Leaves of shape (n, o, size of the leaf)."""

    def one(p, v):
        return jnp.reshape(apply(p, v[None]), o if o > 1 else ())

    slope = jax.jacrev(one) if o > 1 else jax.grad(one)  # a gradient compiles faster
    J = jax.vmap(slope, (None, 0))(params, x)
    return [j.reshape(len(x), o, -1) for j in jax.tree.leaves(J)]


@jax.jit
def _contract(J1, J2):
    inner = partial(jnp.einsum, "iap,jbp->ijab", precision="highest")
    return sum(inner(a, b) for a, b in zip(J1, J2, strict=True))
