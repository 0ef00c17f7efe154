"""Paint the picture of the README and the front page: `python tools/hero.py` writes book/hero.webp.

One photograph, and what two networks remember of it after the same training: one is given the
coordinates of the pixels, the other Gaussian Fourier features of them. Everything is fixed by the
seeds below; on two CPU cores it takes about two minutes, and small differences in rounding between
machines do not show.

    python tools/hero.py [file.webp]
"""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from fflib import data, features, metrics
from fflib.network import mlp
from fflib.training import fit
from fflib.worlds import pictures

PHOTO, SIZE = "cat", 300
STEPS, BATCH, RATE = 700, 8192, 3e-3
WIDTH, M, SIGMA = 256, 256, 7.0
PANEL, GAP, STRIP = 388, 18, 40  # pixels of the finished picture: 3 panels and 2 gaps are 1200 wide


def pixels(key: jax.Array, seen: dict) -> dict:
    """A random minibatch of pixels."""
    chosen = jax.random.randint(key, (BATCH,), 0, len(seen["v"]))
    return {name: array[chosen] for name, array in seen.items()}


def remember(gamma, photo: jax.Array) -> np.ndarray:
    """Train a network on every pixel of the photo (H, W, 3), through γ; the picture it then paints."""
    model = mlp(gamma.num_features, WIDTH, depth=4, d_out=3, output="sigmoid", biases=0.01)
    v = data.grid(photo.shape[:2]).reshape(-1, 2)

    def loss(params, seen):
        return 0.5 * jnp.mean((model(params, gamma(seen["v"])) - seen["y"]) ** 2)

    params, _ = fit(
        model.init(jax.random.key(0)), loss, {"v": v, "y": photo.reshape(-1, 3)}, steps=STEPS,
        optimizer=optax.adam(optax.cosine_decay_schedule(RATE, STEPS)), key=jax.random.key(1), batch=pixels,
    )  # fmt: skip
    return np.asarray(model(params, gamma(v))).reshape(photo.shape)


def panel(picture: np.ndarray, caption: str) -> Image.Image:
    """The picture with its caption on a dark strip below: readable on light and on dark pages."""
    image = Image.fromarray(np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8))
    framed = Image.new("RGB", (PANEL, PANEL + STRIP), "#24292f")
    framed.paste(image.resize((PANEL, PANEL), Image.Resampling.LANCZOS))
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 19)
    ImageDraw.Draw(framed).text(
        (PANEL / 2, PANEL + STRIP / 2), caption, "#f0f3f6", font, anchor="mm"
    )
    return framed


def row(panels: list[Image.Image]) -> Image.Image:
    """Panels side by side, transparent between them."""
    whole = Image.new("RGBA", (len(panels) * (PANEL + GAP) - GAP, PANEL + STRIP), (0, 0, 0, 0))
    for k, image in enumerate(panels):
        whole.paste(image, (k * (PANEL + GAP), 0))
    return whole


def main(target: Path) -> None:
    """Train both networks and write the picture, at most 100 kB."""
    photo = pictures.image(PHOTO, SIZE)
    panels = [panel(np.asarray(photo), "the photo")]
    mappings = {
        "a network of coordinates": features.none(2),
        "the same, with Fourier features": features.gaussian(jax.random.key(2), M, 2, SIGMA),
    }
    for caption, gamma in mappings.items():
        picture = remember(gamma, photo)
        print(f"{caption}: {float(metrics.psnr(picture, photo)):.1f} dB")
        panels.append(panel(picture, caption))
    quality = 92
    row(panels).save(target, quality=quality, method=6)
    while target.stat().st_size > 100_000:
        quality -= 2
        row(panels).save(target, quality=quality, method=6)
    print(f"{target}: {target.stat().st_size / 1000:.0f} kB at quality {quality}")


if __name__ == "__main__":
    default = Path(__file__).resolve().parent.parent / "book" / "hero.webp"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
