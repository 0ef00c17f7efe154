"""fflib: the library behind *Fourier Features, hands on*.

Every experiment of the book is one sentence, *coordinates → feature mapping → network → measurement
operator → compare*, and every word of it is a small function here::

    import fflib as ff

    v = ff.grid(64, d=2)                                             # coordinates
    gamma = ff.gaussian(key, m=256, d=2, scale=10.0)                 # → feature mapping
    model = ff.mlp(gamma.num_features, width=256, depth=4, d_out=3)  # → network
    loss = lambda params, y: ff.mse(model(params, gamma(v)), y)      # → compare
    params, history = ff.fit(model.init(key), loss, y, steps=1000, optimizer=optax.adam(1e-3))

The names below are the ones a reader meets first. Everything else has a room: ``theory`` (the same
sentence with the network replaced by its kernel), ``operators`` (what an instrument measures),
``encodings`` (other mappings), ``worlds`` (what is looked at), ``experiments`` and ``show``.
"""

from fflib.data import grid
from fflib.features import Mapping, basic, fourier, gaussian, none, positional, power_law
from fflib.files import Trained, load, predict, save
from fflib.metrics import mse, psnr
from fflib.network import MLP, mlp
from fflib.training import fit

__version__ = "0.2.0"

__all__ = [
    "MLP", "Mapping", "Trained", "basic", "fit", "fourier", "gaussian", "grid", "load", "mlp",
    "mse", "none", "positional", "power_law", "predict", "psnr", "save",
]  # fmt: skip
