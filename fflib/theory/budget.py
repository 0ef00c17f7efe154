r"""What a training budget amounts to in the closed form: steps and learning rate as a ridge."""

from __future__ import annotations

import dataclasses

import numpy as np

from fflib import checks
from fflib.network import MLP

SLOPES = {None: 1.0, "tanh": 1.0, "sigmoid": 0.25}  # of the output function where training starts
MEMORY = 0.999  # of Adam's mean squares
# Calibrated on pictures and random lines, see the chapter:
PACE = 1.4  # Adam's time as a share of the estimate below
LEAST = 0.005  # ridge, as a share of k(0), that no training falls below; it grows as …
SLOW = (
    6.0  # … features of this many cycles across the data and fewer bend too seldom for fine detail
)


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long, and how, the network will be trained.

    Attributes:
        steps: of the optimizer, for ½·mean loss over observations and channels.
        rate: its learning rate.
        batch: observations in one step (default: all).
        optimizer: "adam", or "sgd" for plain gradient descent.

    Raises: ValueError or TypeError that names the field.

    Chapter: Choosing the scale.
    """

    steps: int
    rate: float
    batch: int | None = None
    optimizer: str = "adam"

    def __post_init__(self):
        checks.count("steps", self.steps)
        checks.positive("rate", self.rate)
        if self.batch is not None:
            checks.count("batch", self.batch)
        checks.one_of("optimizer", self.optimizer, ("adam", "sgd"))


def budget_ridge(
    rates, power, k0: float, model: MLP, budget: Budget, cycles: float = np.inf
) -> float:
    r"""The ridge ρ, as a share of k(0), that leaves about as much unlearned as training with the
    budget.

    Gradient flow learns an eigendirection of rate λ to the share 1 − e^{−λt}, regression to λ/(λ +
    ρ): ρ = 1/t. With ½·mean loss over n observations of c outputs and slope s of the output
    function, t = s² T/(nc), where T is the sum of learning rates. Adam divides each gradient by the
    root mean square v̂ of those before it. Taken as one number for all P parameters,

        T = κ Σ_t η/√v̂_t,   P g_t² = s² Σ_f λ_f p_f e^{−2λ_f t}/(n²c) + s² k(0) Σ_f p_f e^{−2λ_f
        t}/(nc·b),

    with v̂ the running mean of g², p_f the power of what is to be learned in direction f
    (observations less the initial function), the second term the scatter of a batch of b, and κ =
    PACE.

    A network of finite width bends at a limited number of places, the fewer the lower its features,
    and learns fine detail later than its kernel, however long it trains: LEAST · (1 + SLOW/cycles)
    is added.

    Args:
        rates: λ_f, n numbers ≥ 0.
        power: p_f, n numbers, in units in which Σ p_f = n times the mean square of what is to be
            learned.
        k0: the kernel at offset zero.
        model, budget: as for :func:`fflib.theory.scale.suggest_scale`.
        cycles: root mean square frequency of the mapping, in cycles across the data.

    Chapter: Choosing the scale.
    """
    n, c = np.size(rates), model.sizes[-1]
    slope = SLOPES[model.output]
    if budget.optimizer == "sgd":
        total = budget.steps * budget.rate
    else:
        total = PACE * _adam_time(np.ravel(rates), np.ravel(power), k0, model, budget)
    least = LEAST * (1 + SLOW / max(cycles, 1e-3))
    return float(min(least + n * c / (slope**2 * max(total, 1e-30) * k0), 1e6))


def _adam_time(lam, power, k0, model, budget) -> float:
    n, c, slope = lam.size, model.sizes[-1], SLOPES[model.output]
    edges = lam.max() * np.geomspace(1e-7, 1.0, 300)  # directions of about one rate count as one
    bins = np.searchsorted(edges, lam)
    p = np.bincount(bins, power, 301)
    lam = np.bincount(bins, lam * power, 301) / np.maximum(p, 1e-30)
    batch = n if budget.batch is None else min(budget.batch, n)
    stride = -(-budget.steps // 2000)  # steps taken at a time
    time = mean = done = 0.0
    while done < budget.steps:
        here = min(stride, budget.steps - done)
        left = p * np.exp(-2 * lam * slope**2 * time / (n * c))
        g2 = (lam * left).sum() / (n**2 * c) + (
            k0 * left.sum() / (n * c * batch) if batch < n else 0.0
        )
        memory = MEMORY**here
        mean, done = memory * mean + (1 - memory) * g2 * slope**2 / model.num_params, done + here
        time += here * budget.rate / np.sqrt(max(mean / (1 - MEMORY**done), 1e-30))
    return time
