"""The book's figure style, and matplotlib figures as small inline SVG. Chapter: all chapters."""

import base64
import io
import itertools
import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from fflib.show.markup import PLACEHOLDER, escape, static, typeset, words

# Luminance between 0.15 and 0.29: at least 3:1 against white and against #1e1e1e (tested).
COLORS = ["#3168dd", "#b8520e", "#039355", "#cc199f", "#b38a0c", "#788388"]
LINESTYLES = ["-", (0, (5, 1.6)), (0, (1.2, 1.4)), (0, (6, 1.5, 1.2, 1.5)), (0, (9, 2.5)), "-"]
MARKERS = ["o", "s", "^", "D", "v", "x"]
INK = "#010203"  # drawn in this colour, a line or a text takes the colour of the page's text

STYLE = matplotlib.rc_params_from_file(
    Path(__file__).parent / "assets" / "book.mplstyle", use_default_template=False
)
STYLE["axes.prop_cycle"] = cycler(color=COLORS) + cycler(linestyle=LINESTYLES)
PIXELS_PER_POINT = 96 / 72
DPI = 144  # of rasters
SLACK = 1.0  # pixels
WEBP = 16383  # pixels a side, at most
PAGE, GAP = 654, 16  # CSS pixels: the width of a slider's box on a page, and between pictures
SHAPE = r'<path id="([^"]+)"[^>]*/>'


def data_uri(picture: Image.Image) -> str:
    """A picture as a `data:image/webp` address, lossless where that is small or smallest."""

    def encode(**options) -> bytes:
        buffer = io.BytesIO()
        picture.save(buffer, format="WEBP", method=5, **options)
        return buffer.getvalue()

    found = encode(lossless=True, quality=80)
    if len(found) > 24_000:
        found = min(found, encode(quality=90), key=len)
    return "data:image/webp;base64," + base64.b64encode(found).decode()


def array_uri(pixels: np.ndarray) -> str:
    """An (H, W) or (H, W, 3) array with values in [0, 1] as a `data:image/webp` address."""
    return data_uri(Image.fromarray(np.round(pixels * 255).astype(np.uint8)))


class Sheet:
    """Turns figures into inline SVGs that share one set of ids and of glyph shapes.

    Matplotlib repeats the outline of each letter and marker in each file, under an id that says
    what it is; here a shape that an earlier figure of the sheet defined is referred to instead. Ids
    start with a placeholder that `markup.unique` replaces.
    """

    def __init__(self):
        self.shapes: dict[str, str] = {}
        self.numbers = itertools.count()

    def inline(self, figure: Figure, alt: str | None) -> tuple[str, float]:
        """(svg text, natural width in CSS pixels); `alt=None` hides the svg from screen readers."""
        head, _, drawn = _tidy(_save(figure)).partition(">")
        box = head.split('viewBox="')[1].split('"')[0]
        width, height = (float(side) * PIXELS_PER_POINT for side in box.split()[2:])
        said = 'aria-hidden="true"' if alt is None else f'role="img" aria-label="{escape(alt)}"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" fill="currentColor" {said} '
            f'style="stroke-linejoin:round;stroke-linecap:butt" width="{_short(width)}" '
            f'height="{_short(height)}">{self._renamed(drawn)}',
            width,
        )

    def _renamed(self, svg: str) -> str:
        """Keep only the ids that are referred to, under short unique names; share equal shapes."""
        used = dict.fromkeys(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
        names = {old: self.shapes.get(old) or f"{PLACEHOLDER}{next(self.numbers)}" for old in used}
        svg = re.sub(SHAPE, lambda found: "" if found[1] in self.shapes else found[0], svg)
        self.shapes |= {old: names[old] for old in re.findall(SHAPE, svg) if old in names}
        svg = re.sub(
            r' id="([^"]+)"', lambda m: f' id="{names[m[1]]}"' if m[1] in names else "", svg
        )
        svg = re.sub(r'(url\(#|href="#)([^")]+)', lambda m: m[1] + names[m[2]], svg)
        return svg.replace("<defs></defs>", "")


def content(drawn: object, what: str, alt: str, sheet: Sheet) -> str:
    """HTML of a dict of pictures, or of one or several figures in a row that may wrap.

    A panel is as wide as it wants to be, and shrinks by a tenth before the row wraps.
    """
    if isinstance(drawn, Mapping):
        return pictures_html(drawn, alt)
    figs: list = list(drawn) if isinstance(drawn, tuple | list) else [drawn]
    if not figs:
        raise ValueError(f"{what} must hold at least one figure")
    if wrong := [type(fig).__name__ for fig in figs if not isinstance(fig, Figure)]:
        raise TypeError(f"{what} must be figures (as from `show.panel()`), got {', '.join(wrong)}")
    together = f' role="img" aria-label="{escape(alt)}"' if len(figs) > 1 else ""
    panels = []
    for fig in figs:
        svg, width = sheet.inline(fig, None if together else alt)
        style = f"flex-basis:{width * 0.9:.0f}px;max-width:{width:.0f}px"
        panels.append(f'<div class="ff-panel" style="{style}">{svg}</div>')
    return f'<div class="ff-row"{together}>{"".join(panels)}</div>'


def pictures_html(pictures: Mapping[str, object], alt: str, zoom: int | None = None) -> str:
    """HTML of pictures in a row; see `show.images`."""
    if not isinstance(pictures, Mapping) or not pictures:
        kind = type(pictures).__name__
        raise ValueError(f"pictures must be a non-empty dict caption -> array, got {kind}")
    arrays = {words("a caption", name): _pixels(name, array) for name, array in pictures.items()}
    widest = max(array.shape[1] for array in arrays.values())
    zoom = max(1, math.ceil(160 / widest)) if zoom is None else zoom
    if zoom <= 0:
        raise ValueError(f"zoom must be positive, got {zoom}")
    sharp = ' style="image-rendering:pixelated"' if zoom > 1 else ""
    items = []
    for caption, array in arrays.items():
        height, width = (side * zoom for side in array.shape[:2])
        items.append(
            f'<figure class="ff-picture" style="max-width:{width}px"><img alt="{escape(caption)}" '
            f'width="{width}" height="{height}"{sharp} src="{array_uri(array)}">'
            f'<figcaption aria-hidden="true">{typeset(caption)}</figcaption></figure>'
        )
    row = f'style="{picture_row(len(items), widest * zoom)}" role="group"'
    return f'<div class="ff-pictures" {row} aria-label="{escape(alt)}">{"".join(items)}</div>'


def picture_row(count: int, width: int) -> str:
    """The style of a row of `count` pictures of at most `width` pixels: columns of equal width.

    Up to five stand side by side, so that the eye can compare them; more take several rows of as
    equal length as can be. A phone has two in a row.
    """
    rows = -(-count // 5)
    columns = -(-count // rows)
    least = min(width, (PAGE - GAP * (columns - 1)) // columns)
    return f"--least:{least}px;max-width:{columns * width + (columns - 1) * GAP}px"


def _pixels(caption: str, array: object) -> np.ndarray:
    """The array clipped to [0, 1], of shape (H, W) or (H, W, 3)."""
    array = np.asarray(array)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.size == 0 or array.shape[2:] not in ((), (3,)) or array.ndim < 2:
        wanted = "must have shape (H, W) or (H, W, 3)"
        raise ValueError(f"picture {caption!r} {wanted}, got {array.shape}")
    if max(array.shape) > WEBP:
        raise ValueError(
            f"picture {caption!r} must have at most {WEBP} pixels a side, got {array.shape}"
        )
    if np.iscomplexobj(array):
        raise ValueError(f"picture {caption!r} must be real, got {array.dtype}")
    array = array.astype(np.float64)
    if bad := (~np.isfinite(array)).sum():
        raise ValueError(f"picture {caption!r} has {bad} values that are not finite")
    return np.clip(array, 0.0, 1.0)


def _save(figure: Figure) -> str:
    fit_texts(figure)
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE.find_all("^svg")):
        nothing = dict.fromkeys(["Creator", "Date", "Format", "Type"])
        figure.savefig(buffer, format="svg", dpi=DPI, metadata=nothing, bbox_inches=None)
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close(figure)
    return buffer.getvalue()


def fit_texts(figure: Figure) -> None:
    """Break labels that run out of the figure in two lines.

    One that still does not fit raises ValueError while the book is built (FFLIB_STATIC=1), so that
    no page shows a label cut off; a live notebook shows it as it is.
    """
    if outside := overflowing(figure):
        for text in outside:
            text.set_text(in_two(text.get_text()))
        if static() and (outside := overflowing(figure)):
            text = outside[0].get_text()
            raise ValueError(
                f"a figure cuts off its text {text!r}: shorten it or enlarge the figure"
            )


def overflowing(figure: Figure) -> list[Text]:
    """The texts of a figure that run out of it: labels, titles, legends, annotations.

    Tick labels are left out: matplotlib keeps some that it does not draw.
    """
    figure.draw_without_rendering()
    ticks = {
        text
        for axis in figure.findobj(Axis)
        for text in axis.findobj(Text)
        if text is not axis.label
    }

    def outside(text: Text) -> bool:
        box, frame = text.get_window_extent(), figure.bbox
        low, high = min(box.x0, box.y0), max(box.x1 - frame.width, box.y1 - frame.height)
        return low < -SLACK or high > SLACK

    texts = [text for text in figure.findobj(Text) if text not in ticks]
    return [text for text in texts if text.get_visible() and text.get_text() and outside(text)]


def in_two(text: str) -> str:
    """A text of one line broken at the space nearest to its middle; others as they are."""
    spaces = [i for i, letter in enumerate(text) if letter == " "]
    if not spaces or "\n" in text or "$" in text:
        return text
    middle = min(spaces, key=lambda i: abs(2 * i - len(text)))
    return text[:middle] + "\n" + text[middle + 1 :]


def _tidy(svg: str) -> str:
    """Matplotlib's file from its <svg on, without what a page needs not.

    Its style element would reach the whole page. Ink and black become the colour of the page's
    text, coordinates keep two decimals, rasters become WebP.
    """
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.S)
    svg = re.sub(r"\s+", " ", svg[svg.index("<svg") :]).replace("> <", "><")
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(rf'((?:fill|stroke)(?:: |="))(?:{INK}|#000000|black)\b', r"\1currentColor", svg)
    svg = svg.replace(": ", ":").replace("; ", ";")

    def rounded(found: re.Match) -> str:
        return re.sub(r"-?\d+\.\d{3,}", lambda value: _short(float(value[0])), found[0])

    svg = re.sub(r' (?:d|x|y)="[^"]*"', rounded, svg)
    return re.sub('data:image/png;base64,([^"]+)', _as_webp, svg)


def _as_webp(found: re.Match) -> str:
    picture = Image.open(io.BytesIO(base64.b64decode(found[1])))
    return data_uri(picture if picture.mode in ("RGB", "RGBA") else picture.convert("RGBA"))


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
