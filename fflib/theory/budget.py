r"""What a training budget amounts to in the closed form: steps and learning rate as a ridge."""

from __future__ import annotations

import dataclasses

import numpy as np

from fflib import checks
from fflib.network import MLP

SLOPES = {None: 1.0, "tanh": 1.0, "sigmoid": 0.25}  # of the output function where training starts
MEMORY = 0.999  # of Adam's mean squares


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long, and how, the network will be trained.

    Attributes:
        steps: of the optimizer, for ½·mean loss over observations and channels.
        rate: its learning rate.
        batch: observations in one step (default: all).
        optimizer: "adam", or "sgd" for plain gradient descent.

    Raises: ValueError or TypeError that names the field. Chapter: Choosing the scale.
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


def training_time(rates, power, k0: float, model: MLP, budget: Budget) -> float:
    r"""The time T of gradient flow that the optimizer's steps amount to.

    Plain descent goes a learning rate a step. Adam divides each gradient by the root mean square v̂
    of those before it. Taken as one number for all P parameters,

        T = Σ_t η/√v̂_t,   P g_t² = s²/(n²c) Σ_f (λ_f + k(0) n/b) p_f e^{−2λ_f s² T_t/(nc)},

    with v̂ the running mean of g², T_t the time so far, s the slope of the output function and p_f
    the power of what is to be learned in direction f; k(0) n/b is the scatter of batches of b.

    Args:
        rates, power: λ_f and p_f, n numbers ≥ 0 each; Σ p_f is n times the mean square.
        k0: the kernel at offset zero.
        model, budget: as for :func:`fflib.theory.scale.suggest_scale`.

    Chapter: Choosing the scale.
    """
    if budget.optimizer == "sgd":
        return budget.steps * budget.rate
    lam, power = np.ravel(rates), np.ravel(power)
    n, c, slope2 = lam.size, model.sizes[-1], SLOPES[model.output] ** 2
    bins = np.searchsorted(lam.max() * np.geomspace(1e-7, 1, 300), lam)  # about one rate is one
    p = np.bincount(bins, power, 301)
    lam = np.bincount(bins, lam * power, 301) / np.maximum(p, 1e-30)
    batch = np.inf if budget.batch is None else budget.batch
    time = mean = 0.0
    for step in range(1, budget.steps + 1):
        left = p * np.exp(-2 * lam * slope2 * time / (n * c))
        g2 = slope2 * ((lam + k0 * n / batch) @ left) / (n**2 * c * model.num_params)
        mean = MEMORY * mean + (1 - MEMORY) * g2
        time += budget.rate / np.sqrt(max(mean / (1 - MEMORY**step), 1e-30))
    return float(time)
