"""The book's figure style, and matplotlib figures as small inline SVG. Chapter: all chapters."""

import base64
import io
import itertools
import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from fflib import checks
from fflib.show.markup import PLACEHOLDER, escape, static, typeset, words

# Luminance between 0.15 and 0.29: at least 3:1 against white and against #1e1e1e (tested).
COLORS = ["#3168dd", "#b8520e", "#039355", "#cc199f", "#b38a0c", "#788388", "#8a63d2", "#e23b34"]
LINESTYLES = ["-", (0, (5, 1.6)), (0, (1.2, 1.4)), (0, (6, 1.5, 1.2, 1.5)), (0, (9, 2.5)), "-"]
LINESTYLES += [(0, (3, 1.2, 1.2, 1.2, 1.2, 1.2)), (0, (3, 3))]
MARKERS = ["o", "s", "^", "D", "v", "x", "P", "*"]
INK = "#010203"  # drawn in this colour, a line or a text takes the colour of the page's text

RC = Path(__file__).with_name("assets") / "book.mplstyle"
STYLE = matplotlib.rc_params_from_file(RC, use_default_template=False)
STYLE["axes.prop_cycle"] = cycler(color=COLORS) + cycler(linestyle=LINESTYLES)
WEBP = 16383  # pixels a side, at most
GAP = 16  # CSS pixels between pictures
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


class Sheet:
    """Turns figures into inline SVGs that share ids, and the outlines of letters and markers, which
    matplotlib repeats in each. Ids start with a placeholder that `markup.unique` replaces.
    """

    def __init__(self):
        self.shapes, self.numbers = {}, itertools.count()

    def inline(self, figure: Figure, alt: str | None) -> tuple[str, float]:
        """(svg text, natural width in CSS pixels); `alt=None` hides the svg from screen readers."""
        fit_texts(figure)
        figure.set_layout_engine("none")  # it is laid out; `savefig` would do so twice again
        figure.set_dpi(144)
        buffer, nothing = io.StringIO(), dict.fromkeys(["Creator", "Date", "Format", "Type"])
        with matplotlib.rc_context(STYLE.find_all("^svg")):
            FigureCanvasSVG(figure).print_svg(buffer, metadata=nothing)
        if pyplot := sys.modules.get("matplotlib.pyplot"):
            pyplot.close(figure)
        head, _, drawn = _tidy(buffer.getvalue()).partition(">")
        box = head.split('viewBox="')[1].split('"')[0]
        width, height = (float(side) * 96 / 72 for side in box.split()[2:])
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
        kept = {old: f' id="{new}"' for old, new in names.items()}
        svg = re.sub(r' id="([^"]+)"', lambda m: kept.get(m[1], ""), svg)
        svg = re.sub(r'(url\(#|href="#)([^")]+)', lambda m: m[1] + names[m[2]], svg)
        return svg.replace("<defs></defs>", "")


def content(drawn: object, what: str, alt: str, sheet: Sheet) -> str:
    """HTML of a dict of pictures, or of one or several figures in a row, which shrink by a tenth
    before it wraps.
    """
    if isinstance(drawn, Mapping):
        return pictures_html(drawn, alt)
    figs: list = list(drawn) if isinstance(drawn, tuple | list) else [drawn]
    checks.must(figs, what, "hold at least one figure", "none")
    for fig in figs:
        checks.is_a(f"each of {what}", fig, Figure)
    together = f' role="img" aria-label="{escape(alt)}"' if len(figs) > 1 else ""
    panels = []
    for fig in figs:
        svg, width = sheet.inline(fig, None if together else alt)
        style = f"flex-basis:{width * 0.9:.0f}px;max-width:{width:.0f}px"
        small = " ff-small" if width <= 240 else ""  # of three or more a phone shows two in a row
        panels.append(f'<div class="ff-panel{small}" style="{style}">{svg}</div>')
    return f'<div class="ff-row"{together}>{"".join(panels)}</div>'


def pictures_html(pictures: Mapping[str, object], alt: str, zoom: int | None = None) -> str:
    """HTML of pictures in a row; see `show.images`."""
    full = isinstance(pictures, Mapping) and pictures
    checks.must(full, "pictures", "be a non-empty dict caption -> array", type(pictures).__name__)
    drawn = {words("a caption", name): _picture(name, array) for name, array in pictures.items()}
    widest = max(picture.width for picture in drawn.values())
    zoom = max(1, math.ceil(160 / widest)) if zoom is None else checks.count("zoom", zoom)
    sharp = ' style="image-rendering:pixelated"' if zoom > 1 else ""
    items = []
    for caption, picture in drawn.items():
        width, height = (side * zoom for side in picture.size)
        items.append(
            f'<figure class="ff-picture" style="max-width:{width}px"><img alt="{escape(caption)}" '
            f'width="{width}" height="{height}"{sharp} src="{data_uri(picture)}">'
            f'<figcaption aria-hidden="true">{typeset(caption)}</figcaption></figure>'
        )
    # up to five side by side, to be compared; more in rows of as equal length as can be. On a phone
    # three stay in their row, more take two.
    columns = -(-len(items) // -(-len(items) // 5))
    narrow = columns if columns <= 3 else -(-columns // 2)
    width = columns * widest * zoom + GAP * (columns - 1)
    row = f'style="--columns:{columns};--narrow:{narrow};max-width:{width}px" role="group"'
    return f'<div class="ff-pictures" {row} aria-label="{escape(alt)}">{"".join(items)}</div>'


def _picture(caption: str, array: Any) -> Image.Image:
    """A picture of an array (H, W), (H, W, 1) or (H, W, 3), clipped to [0, 1]."""
    array, name = np.asarray(array), f"picture {caption!r}"
    right = array.size and not np.iscomplexobj(array)
    checks.must(right, name, "hold real numbers", checks.describe(array))
    checks.shaped(name, array, ("H", "W"), ("H", "W", 1), ("H", "W", 3))
    checks.must(max(array.shape) <= WEBP, name, f"have at most {WEBP} pixels a side", array.shape)
    array = np.clip(checks.finite(name, array.astype(np.float64)), 0.0, 1.0)
    array = array[..., 0] if array.shape[2:] == (1,) else array
    return Image.fromarray(np.round(array * 255).astype(np.uint8))


def fit_texts(figure: Figure) -> None:
    """Break labels that run out of the figure in two lines. One that still does not fit raises
    ValueError while the book is built (FFLIB_STATIC=1); a live notebook shows it as it is.
    """
    for text in (outside := overflowing(figure)):
        text.set_text(in_two(text.get_text()))
    if outside and static() and (cut := overflowing(figure)):
        text = repr(cut[0].get_text())
        raise ValueError(f"a figure cuts off its text {text}: shorten it or enlarge the figure")


def overflowing(figure: Figure) -> list[Text]:
    """The labels, titles, legends and annotations of a figure that run out of it; no labels of
    ticks, of which matplotlib keeps some that it does not draw.
    """
    figure.draw_without_rendering()
    axes = figure.findobj(Axis)
    ticks = {text for axis in axes for text in axis.findobj(Text) if text is not axis.label}

    def outside(text: Text) -> bool:
        box, frame = text.get_window_extent(), figure.bbox
        low, high = min(box.x0, box.y0), max(box.x1 - frame.width, box.y1 - frame.height)
        return low < -1 or high > 1  # pixels

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
    """Matplotlib's file from its <svg on, without what a page needs not (its style would reach the
    whole page): ink takes the page's colour, coordinates two decimals, rasters become WebP.
    """
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.S)
    svg = re.sub(r"\s+", " ", svg[svg.index("<svg") :]).replace("> <", "><")
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(rf'((?:fill|stroke)(?:: |="))(?:{INK}|#000000|black)\b', r"\1currentColor", svg)
    svg = svg.replace(": ", ":").replace("; ", ";")

    def rounded(found: re.Match) -> str:
        return re.sub(r"-?\d+\.\d{3,}", lambda value: _short(float(value[0])), found[0])

    svg = re.sub(r' (?:d|x|y)="[^"]*"', rounded, svg)

    def webp(found: re.Match) -> str:
        return data_uri(Image.open(io.BytesIO(base64.b64decode(found[1]))))

    return re.sub('data:image/png;base64,([^"]+)', webp, svg)


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
