"""fflib: the library behind *Fourier Features, hands on*.

Every experiment of the book is one sentence, *coordinates → feature mapping → MLP → measurement
operator → compare*, and every word of it is a small function here::

    import fflib as ff

    gamma = ff.gaussian(key, m=256, d=2, scale=10.0)          # coordinates -> features
    model = ff.mlp(gamma.num_features, width=256, depth=4, d_out=3, output="sigmoid")
    params, history = ff.fit(params, loss, data, steps=1000, optimizer=optax.adam(1e-3))

The names below are the ones a reader meets first; the rest live in their modules.
"""

from fflib.features import Mapping, basic, gaussian, none, positional, power_law
from fflib.metrics import psnr
from fflib.network import MLP, mlp
from fflib.theory.kernels import empirical_ntk, gradient_flow, kernel_regression, ntk
from fflib.training import fit

__version__ = "0.2.0"

__all__ = [
    "MLP",
    "Mapping",
    "basic",
    "empirical_ntk",
    "fit",
    "gaussian",
    "gradient_flow",
    "kernel_regression",
    "mlp",
    "none",
    "ntk",
    "positional",
    "power_law",
    "psnr",
]
