"""Pictures to learn: your own, photographs by public address, and generated pages of text."""

import hashlib
import itertools
import os
import string
import warnings
import zipfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from fflib import checks
from fflib.worlds.fetch import FetchError, fetch
from fflib.worlds.items import Items, reading, shipped

IMAGES = ("astronaut", "cat", "coffee")
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Italic", "DejaVuSansMono")


def collect(names, pictures, origin: str) -> Items:
    """:class:`Items` from arrays (H, W, 3) in [0, 1] of one size, else a ValueError. Their checksum
    is that of their pixels as bytes. Chapter: Photographs and text.
    """
    shapes = sorted({np.shape(p) for p in pictures})
    checks.must(len(shapes) == 1, "pictures", "be arrays of one shape", f"shapes {shapes}")
    array = jnp.stack(list(pictures))
    pixels = np.asarray(jnp.round(255 * array), np.uint8)
    return Items(tuple(names), array, hashlib.sha256(pixels.tobytes()).hexdigest(), origin)


def image(name: str, size: int | None = None) -> jax.Array:
    """A built-in photograph, (size, size, 3), float32 in [0, 1].

    "astronaut" (NASA, public domain, 512²), "cat" (Stéfan van der Walt, CC0, 300²), "coffee"
    (Rachel Michetti, CC0, 400²). Where each comes from: fflib/worlds/assets/NOTICE.md. A ``size``
    smaller than the original is averaged down. Raises: ValueError for an unknown name or a size
    larger than the original. Chapter: Why is it blurry?
    """
    picture = Image.open(shipped(f"{checks.one_of('name', name, IMAGES)}.webp")).convert("RGB")
    size = picture.width if size is None else checks.count("size", size)
    checks.must(size <= picture.width, "size", f"be at most {picture.width} for {name!r}", size)
    picture = picture.resize((size, size), Image.Resampling.BOX)
    return jnp.asarray(np.asarray(picture), jnp.float32) / 255


def fractions(name: str, value: Any) -> np.ndarray:
    """Brightness from 0 to 1, float32, by one rule for whole numbers.

    Of ``uint8`` and ``uint16`` the largest number is 1, booleans are 0 and 1; of other whole
    numbers nothing says which is 1. What lies outside [0, 1] by rounding alone (10⁻⁶) is moved
    back. Raises: ValueError for masked values, no values and values outside; TypeError for other
    integers, complex ones, ragged lists and Pillow's pictures. Chapter: Photographs and text.
    """
    array = np.asarray(checks.as_array(name, value))
    if array.dtype.kind == "u" and array.dtype.itemsize <= 2:
        array = array / np.float32(np.iinfo(array.dtype).max)
    elif array.dtype != bool and not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(
            f"{name} must hold bytes, 16-bit numbers, booleans or floats, but got "
            f"{checks.describe(array)}; divide other integers by the one that stands for 1"
        )
    checks.must(array.size, name, "not be empty", f"shape {array.shape}")
    array = checks.finite(name, array.astype(np.float32))
    low, high = array.min(), array.max()
    asked = "hold floats in [0, 1] (divide numbers up to 255 by 255)"
    checks.must(-1e-6 <= low and high <= 1 + 1e-6, name, asked, f"from {low:g} to {high:g}")
    return array.clip(0, 1)


def load_image(source, size: int | None = None) -> jax.Array:
    """Any picture as float32 numbers in [0, 1] of shape (H, W, 3), H and W even.

    Grey becomes three equal channels. What is transparent shows white behind it. Of an odd size the
    last row or column is left out, since the split into training and test pixels pairs them. 16-bit
    grey keeps its precision. Of an animation this is the first frame.

    ``source`` is a file that Pillow can read, its ``Image``, or an array (H, W), (H, W, 1), (H, W,
    3) or, with transparency last, (H, W, 4) of what :func:`fractions` takes. With an even ``size``
    the largest square in the middle is cut out and averaged down to (size, size). Raises:
    FileNotFoundError; ValueError for a file that is no picture or too large for Pillow, another
    shape or size; what :func:`fractions` raises. Chapter: Photographs and text.
    """
    name = "source"
    if isinstance(source, (str, os.PathLike)):
        name = str(source)
        with reading("picture", source) as path, Image.open(path) as file:
            source = ImageOps.exif_transpose(file)
    if isinstance(source, Image.Image):
        source = ImageOps.exif_transpose(source)
        if source.mode[0] not in "FI":  # grey floats, 16-bit and 32-bit integers stay
            source = source.convert("RGBA" if source.has_transparency_data else "RGB")
        source = np.asarray(source)
    y = fractions(name, source)
    y = y[..., None] if y.ndim == 2 else y
    right = y.ndim == 3 and y.shape[2] in (1, 3, 4) and min(y.shape[:2]) > 1
    asked = "have shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) with H and W at least 2"
    checks.must(right, name, asked, np.shape(source))
    if y.shape[2] == 4:
        y = y[..., :3] * y[..., 3:] + 1 - y[..., 3:]
    y = np.broadcast_to(y, (*y.shape[:2], 3))
    if size is not None:
        side = min(y.shape[:2])
        right = checks.count("size", size, least=2) <= side and size % 2 == 0
        checks.must(right, "size", f"be even and at most {side}, the shorter side of {name}", size)
        top, left = (y.shape[0] - side) // 2, (y.shape[1] - side) // 2
        channels = y[top : top + side, left : left + side].transpose(2, 0, 1)
        whole = [Image.fromarray(np.ascontiguousarray(channel)) for channel in channels]
        y = np.stack([np.asarray(c.resize((size, size), Image.Resampling.BOX)) for c in whole], -1)
    return jnp.asarray(y[: y.shape[0] // 2 * 2, : y.shape[1] // 2 * 2])


def text_image(key: jax.Array, size: int = 512) -> jax.Array:
    """A generated page: random strings in random sizes, fonts, colours and places on white.

    Letters are 18 to 90 pixels high whatever the size (at most a third of it), so that a smaller
    page is like a piece of a larger one. The fonts are those that come with matplotlib, so the same
    key gives the same page everywhere (up to the rounding of Pillow's font drawing). Returns:
    (size, size, 3), float32 in [0, 1]. Raises: ValueError for a size that is odd or below 32.
    Chapter: Photographs and text.
    """
    checks.must(checks.count("size", size, least=32) % 2 == 0, "size", "be even", size)
    rng = np.random.default_rng(np.asarray(jax.random.bits(checks.key("key", key), (4,))))
    fonts = Path(matplotlib.get_data_path()) / "fonts/ttf"
    page = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(page)
    low, high = np.log(min(18, size / 4)), np.log(min(90, size / 3))
    taken = np.zeros((size, size), bool)
    for _ in range(100):
        word = "".join(rng.choice(list(string.ascii_letters + string.digits), rng.integers(3, 10)))
        height = float(np.exp(rng.uniform(low, high)))
        font = ImageFont.truetype(fonts / f"{rng.choice(FONTS)}.ttf", height)
        colour = tuple(int(c) for c in rng.integers(0, 200, 3))
        left, top, right, bottom = map(int, draw.textbbox((0, 0), word, font=font))
        wide, tall = right - left, bottom - top
        x, y = (int(rng.integers(0, max(1, size - extent))) for extent in (wide, tall))
        if wide >= size or taken[y : y + tall, x : x + wide].any():
            continue
        taken[max(0, y - 1) : y + tall + 1, max(0, x - 1) : x + wide + 1] = True
        draw.text((x - left, y - top), word, fill=colour, font=font)
    return load_image(np.asarray(page))


def text_pages(key: jax.Array, count: int, size: int = 512) -> Items:
    """``count`` pages of :func:`text_image`, page i with ``fold_in(key, i)``. Raises: ValueError
    for count < 1 or a bad size. Chapter: Photographs and text.
    """
    which = range(checks.count("count", count))
    pages = [text_image(jax.random.fold_in(key, i), size) for i in which]
    return collect([f"text{i:02d}" for i in which], pages, "generated pages of random strings")


def photographs(count: int = 16, size: int = 512, source: str = "div2k") -> Items:
    """At most ``count`` photographs, cut to the square in their middle, ``size`` pixels a side.

    "div2k": the first pictures of the DIV2K validation set, 512² cut out of the middle of each and
    averaged down to ``size``; which crops the paper took is not known. "kodak": the Kodak test
    pictures 1–16, of 768 × 512. "builtin": the three shipped with fflib, which are small. What
    cannot be fetched is replaced by the next in this list, with a warning that says why. Raises:
    ValueError for another source, an odd size or one above 512. Chapter: Photographs and text.
    """
    loaders = {"div2k": _div2k, "kodak": _kodak, "builtin": _builtin}
    names, count = tuple(loaders), min(checks.count("count", count), 16)
    first = names.index(checks.one_of("source", source, names))
    for name, following in itertools.pairwise(names[first:]):
        try:
            return loaders[name](count, size)
        except FetchError as error:
            warnings.warn(f"{error}. Taking the {following} photographs instead", stacklevel=2)
    return _builtin(count, size)


def _div2k(count, size) -> Items:
    names, crops = [f"{801 + i:04d}" for i in range(count)], []
    with zipfile.ZipFile(fetch("DIV2K_valid_HR.zip")) as archive:
        for name in names:
            with archive.open(f"DIV2K_valid_HR/{name}.png") as file, Image.open(file) as picture:
                left, top = (picture.width - 512) // 2, (picture.height - 512) // 2
                crops.append(load_image(picture.crop((left, top, left + 512, top + 512)), size))
    return collect(names, crops, f"DIV2K validation pictures 801 to {names[-1][1:]}, middle 512²")


def _kodak(count, size) -> Items:
    names = [f"kodim{1 + i:02d}" for i in range(count)]
    crops = [load_image(fetch(f"{name}.png"), size) for name in names]
    return collect(names, crops, f"Kodak test pictures 1 to {count}, middle 512²")


def _builtin(count, size) -> Items:
    checks.must(size <= 512, "size", "be at most 512 for the built-in pictures", size)
    found = {name: image(name) for name in IMAGES}
    names = [name for name in IMAGES if len(found[name]) >= size][:count]
    crops = [load_image(found[name], size) for name in names]
    return collect(names, crops, "the built-in photographs")


def ssim(pred, target, peak: float = 1.0) -> jax.Array:
    """Structural similarity of two pictures (Wang et al. 2004), at most 1; 1 only if equal.

    With means μ, variances σ² and covariance σ_pt in a Gaussian window of 11 × 11 pixels (standard
    deviation 1.5), c₁ = (0.01 peak)² and c₂ = (0.03 peak)²,

        SSIM = (2 μ_p μ_t + c₁)(2 σ_pt + c₂) / ((μ_p² + μ_t² + c₁)(σ_p² + σ_t² + c₂)),

    averaged over every place where the window fits, and over channels. ``pred`` and ``target`` are
    (H, W) or (H, W, C), H and W at least 11; ``peak`` is the largest possible value. Raises:
    ValueError when shapes differ, have other axes or are too small; TypeError for whole or complex
    numbers. Chapter: Photographs and text.
    """
    peak = checks.positive("peak", peak)
    pred, target = checks.pair(pred, target, ("H", "W"), ("H", "W", "C"))
    large = min(pred.shape[:2]) >= 11
    checks.must(large, "pred", "be at least 11 pixels high and wide", pred.shape)
    return _ssim(pred, target, (0.01 * peak) ** 2, (0.03 * peak) ** 2)


@jax.jit
def _ssim(p, t, c1, c2):
    window = jnp.exp(-(jnp.arange(-5.0, 6.0) ** 2) / (2 * 1.5**2))
    window = window / window.sum()

    def mean(z):  # rows, then columns: a Gaussian is the product of both
        z = sum((w * z[k : k + z.shape[0] - 10] for k, w in enumerate(window)), jnp.zeros(()))
        return sum((w * z[:, k : k + z.shape[1] - 10] for k, w in enumerate(window)), jnp.zeros(()))

    mu_p, mu_t = mean(p), mean(t)
    var_p, var_t, cov = mean(p * p) - mu_p**2, mean(t * t) - mu_t**2, mean(p * t) - mu_p * mu_t
    same_light = (2 * mu_p * mu_t + c1) / (mu_p**2 + mu_t**2 + c1)
    return jnp.mean(same_light * (2 * cov + c2) / (var_p + var_t + c2))


def radial_power(picture) -> jax.Array:
    """Mean power of all waves of (about) 0, 1, 2, … cycles per picture, in every direction.

    ``|ŷ(k)|²``/(HW)² is averaged over the waves k with round(‖k‖) = f and over channels. First the
    mean is taken off and the borders are faded by a Hann window, for opposite borders do not match.
    ``picture`` is (H, W) or (H, W, C), H and W at least 4, else a ValueError; whole and complex
    numbers are a TypeError. Returns: (min(H, W)//2,), at f = 0, 1, … Chapter: Photographs and text.
    """
    picture = checks.real_array("picture", picture, ("H", "W"), ("H", "W", "C"))
    H, W = picture.shape[:2]
    checks.must(min(H, W) >= 4, "picture", "be at least 4 pixels high and wide", (H, W))
    y = picture.reshape(H, W, -1).astype(jnp.promote_types(picture.dtype, jnp.float32))
    window = (jnp.hanning(H)[:, None] * jnp.hanning(W))[..., None]
    y = window * (y - (window * y).sum((0, 1)) / window.sum())
    power = (jnp.abs(jnp.fft.fft2(y, axes=(0, 1))) ** 2).mean(-1) / float(H * W) ** 2
    ring = jnp.round(jnp.hypot(jnp.fft.fftfreq(H, 1 / H)[:, None], jnp.fft.fftfreq(W, 1 / W)[None]))
    ring = ring.astype(int).ravel()
    total = jnp.bincount(ring, power.ravel(), length=min(H, W) // 2)
    return total / jnp.bincount(ring, length=min(H, W) // 2)
