"""Paint the picture of the README and the slider of the front page, book/hero.webp and hero.html.

One photograph, and what two networks remember of it after the same training: one is given the
coordinates of the pixels, the other Gaussian Fourier features of them. Everything is fixed by the
seeds below; on two CPU cores it takes about two minutes, and small differences in rounding between
machines do not show.

    python tools/hero.py
"""

from __future__ import annotations

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from fflib import data, features, metrics, show
from fflib.network import mlp
from fflib.training import fit
from fflib.worlds import pictures

PHOTO, SIZE = "cat", 300
STEPS, BATCH, RATE = 700, 8192, 3e-3
LOOKS = (0, 50, 100, 200, 400, STEPS)  # frames of the slider
SMALL = 180  # pixels of its pictures
BOOK = Path(__file__).resolve().parent.parent / "book"
WIDTH, M, SIGMA = 256, 256, 7.0
PANEL, GAP, STRIP = 388, 18, 40  # pixels of the finished picture: 3 panels and 2 gaps are 1200 wide


def pixels(key: jax.Array, seen: dict) -> dict:
    """A random minibatch of pixels."""
    chosen = jax.random.randint(key, (BATCH,), 0, len(seen["v"]))
    return {name: array[chosen] for name, array in seen.items()}


def remember(gamma, photo: jax.Array) -> np.ndarray:
    """Train a network on every pixel of the photo (H, W, 3), through γ; what it paints at LOOKS."""
    model = mlp(gamma.num_features, WIDTH, depth=4, d_out=3, output="sigmoid", biases=0.01)
    v = data.grid(photo.shape[:2]).reshape(-1, 2)

    def loss(params, seen):
        return 0.5 * jnp.mean((model(params, gamma(seen["v"])) - seen["y"]) ** 2)

    _, history = fit(
        model.init(jax.random.key(0)), loss, {"v": v, "y": photo.reshape(-1, 3)}, steps=STEPS,
        optimizer=optax.adam(optax.cosine_decay_schedule(RATE, STEPS)), key=jax.random.key(1), batch=pixels,
        every=50, metrics=lambda params, seen: {"picture": model(params, gamma(v))},
    )  # fmt: skip
    looks = np.isin(history["step"], LOOKS)
    return history["picture"][looks].reshape(-1, *photo.shape)


def as_image(picture: np.ndarray, size: int) -> Image.Image:
    """A square picture with values in [0, 1], of so many pixels a side."""
    image = Image.fromarray(np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8))
    return image.resize((size, size), Image.Resampling.LANCZOS)


def panel(picture: np.ndarray, caption: str) -> Image.Image:
    """The picture with its caption on a dark strip below: readable on light and on dark pages."""
    framed = Image.new("RGB", (PANEL, PANEL + STRIP), "#24292f")
    framed.paste(as_image(picture, PANEL))
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


def slider(photo: np.ndarray, painted: dict[str, np.ndarray]) -> str:
    """The front page's figure: the photo and what both networks paint of it, as they learn."""
    os.environ["FFLIB_STATIC"] = "1"

    def at(step):
        shown = {"the photo": photo} | {k: each[LOOKS.index(step)] for k, each in painted.items()}
        return {name: np.asarray(as_image(f, SMALL)) / 255 for name, f in shown.items()}

    return show.slider(
        at, "step", LOOKS, label="training step", start=STEPS, live=False,
        alt="A photo of a cat's face and what two networks paint of it after {value} steps. The "
        "one that is given coordinates stays a brown and green smear; the one with Fourier "
        "features soon has eyes, fur and whiskers.",
    )._repr_mimebundle_()["text/html"]  # fmt: skip


def main() -> None:
    """Train both networks; write the picture, at most 100 kB, and the slider."""
    photo = pictures.image(PHOTO, SIZE)
    mappings = {
        "coordinates alone": features.none(2),
        "with Fourier features": features.gaussian(jax.random.key(2), M, 2, SIGMA),
    }
    painted = {caption: remember(gamma, photo) for caption, gamma in mappings.items()}
    for caption, each in painted.items():
        print(f"{caption}: {float(metrics.psnr(each[-1], photo)):.1f} dB")
    panels = [panel(np.asarray(photo), "the photo")]
    panels += [panel(each[-1], caption) for caption, each in painted.items()]
    target, quality = BOOK / "hero.webp", 92
    row(panels).save(target, quality=quality, method=6)
    while target.stat().st_size > 100_000:
        quality -= 2
        row(panels).save(target, quality=quality, method=6)
    page = BOOK / "hero.html"
    page.write_text(slider(np.asarray(photo), painted) + "\n", encoding="utf-8")
    for path in (target, page):
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
