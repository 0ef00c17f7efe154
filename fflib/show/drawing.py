"""The book's one figure style, and matplotlib figures as small inline SVG.

Private helpers of `fflib.show`. Chapter: all chapters.
"""

import base64
import io
import itertools
import re
import sys
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.figure import Figure
from PIL import Image

from fflib.show.layout import fit_texts
from fflib.show.markup import PLACEHOLDER, escape

# Luminance between 0.15 and 0.29: at least 3:1 against white and against #1e1e1e (tested).
COLORS = ["#3168dd", "#b8520e", "#039355", "#cc199f", "#b38a0c", "#788388"]
LINESTYLES = ["-", (0, (5, 1.6)), (0, (1.2, 1.4)), (0, (6, 1.5, 1.2, 1.5)), (0, (9, 2.5)), "-"]
MARKERS = ["o", "s", "^", "D", "v", "x"]
INK = "#010203"  # drawn in this colour, a line or a text takes the colour of the page's text

STYLE = {
    "axes.prop_cycle": cycler(color=COLORS) + cycler(linestyle=LINESTYLES),
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "savefig.edgecolor": "none",
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "hatch.color": INK,
    "boxplot.flierprops.color": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.15,
    "grid.linewidth": 0.6,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.labelsize": 9.5,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.title_fontsize": 8.5,
    "image.cmap": "viridis",
    "svg.fonttype": "path",
    "svg.hashsalt": "fflib",
    "svg.image_inline": True,
    "text.usetex": False,
}
PIXELS_PER_POINT = 96 / 72
PIXELS_PER_INCH_OF_RASTERS = 144
SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}href"
ET.register_namespace("", SVG.strip("{}"))


def use_style() -> None:
    """Make the book's figure style matplotlib's default; `fflib.show` calls it once on import."""
    matplotlib.rcParams.update(STYLE)


def webp(picture: Image.Image) -> bytes:
    """WebP bytes of a picture: lossless when that is small (24 kB) or smallest, else quality 90."""

    def encode(**options) -> bytes:
        buffer = io.BytesIO()
        picture.save(buffer, format="WEBP", method=5, **options)
        return buffer.getvalue()

    exact = encode(lossless=True, quality=80)
    if len(exact) <= 24_000:
        return exact
    return min(exact, encode(quality=90), key=len)


def data_uri(picture: Image.Image) -> str:
    """A picture as a `data:image/webp` address."""
    return "data:image/webp;base64," + base64.b64encode(webp(picture)).decode()


def array_uri(pixels: np.ndarray) -> str:
    """An (H, W) or (H, W, 3) array with values in [0, 1] as a `data:image/webp` address."""
    return data_uri(Image.fromarray(np.round(pixels * 255).astype(np.uint8)))


class Sheet:
    """Turns figures into inline SVGs that share one set of ids and of glyph shapes.

    Matplotlib repeats the outline of each letter in each file; here a shape that an earlier figure
    of the sheet defined is referred to instead. Ids start with a placeholder that `markup.unique`
    replaces.
    """

    def __init__(self):
        self.shapes: dict[str, str] = {}
        self.numbers = itertools.count()

    def inline(self, figure: Figure, alt: str | None) -> tuple[str, float]:
        """(svg text, natural width in CSS pixels); `alt=None` hides the svg from screen readers."""
        root = ET.fromstring(_save(figure))
        _strip(root)
        self._rename(root)
        _flatten(root)
        width, height = (float(side) for side in root.get("viewBox").split()[2:])
        root.attrib = {"viewBox": root.get("viewBox"), "fill": "currentColor"}
        root.set("style", "stroke-linejoin:round;stroke-linecap:butt")
        if alt is None:
            root.set("aria-hidden", "true")
        else:
            root.set("role", "img")
            root.set("aria-label", alt)
        root.set("width", number(width * PIXELS_PER_POINT))
        root.set("height", number(height * PIXELS_PER_POINT))
        for element in root.iter():
            _recolour(element)
            if XLINK in element.attrib:
                element.set("href", _reencode(element.attrib.pop(XLINK)))
        return ET.tostring(root, encoding="unicode"), width * PIXELS_PER_POINT

    def _rename(self, root: ET.Element) -> None:
        """Keep only the ids that are referred to, under short unique names; share equal shapes."""
        used = set(re.findall(r"url\(#([^)]+)\)", ET.tostring(root, encoding="unicode")))
        used |= {e.get(XLINK)[1:] for e in root.iter() if e.get(XLINK, "").startswith("#")}
        names = {}
        for parent in list(root.iter()):
            for child in list(parent):
                old = child.get("id")
                if old not in used:
                    child.attrib.pop("id", None)
                    continue
                del child.attrib["id"]
                shape = (
                    ET.tostring(child, encoding="unicode") if child.tag == SVG + "path" else None
                )
                if shape in self.shapes:
                    names[old] = self.shapes[shape]
                    parent.remove(child)
                    continue
                names[old] = f"{PLACEHOLDER}{next(self.numbers)}"
                child.set("id", names[old])
                if shape is not None:
                    self.shapes[shape] = names[old]
        for element in root.iter():
            for key, value in element.attrib.items():
                if key == XLINK and value.startswith("#"):
                    element.set(key, "#" + names[value[1:]])
                elif "url(#" in value:
                    element.set(
                        key, re.sub(r"url\(#([^)]+)\)", lambda m: f"url(#{names[m[1]]})", value)
                    )


def panel_html(svg: str, width: float) -> str:
    """One panel of a row: as wide as it wants to be, shrinking by a tenth before the row wraps."""
    style = f"flex-basis:{width * 0.9:.0f}px;max-width:{width:.0f}px"
    return f'<div class="ff-panel" style="{style}">{svg}</div>'


def row_html(figures: list[Figure], alt: str, sheet: Sheet) -> str:
    """Several figures in a wrapping row with one description."""
    if len(figures) == 1:
        return f'<div class="ff-row">{panel_html(*sheet.inline(figures[0], alt))}</div>'
    panels = "".join(panel_html(*sheet.inline(figure, None)) for figure in figures)
    return f'<div class="ff-row" role="img" aria-label="{escape(alt)}">{panels}</div>'


def number(value: float) -> str:
    """At most two decimals, without trailing zeros."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _save(figure: Figure) -> bytes:
    fit_texts(figure)
    svg = _write(figure)
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close(figure)
    return svg


def _write(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with matplotlib.rc_context({key: STYLE[key] for key in STYLE if key.startswith("svg.")}):
        figure.savefig(
            buffer,
            format="svg",
            dpi=PIXELS_PER_INCH_OF_RASTERS,
            metadata={"Date": None},
            bbox_inches=None,
        )
    return buffer.getvalue()


def _strip(root: ET.Element) -> None:
    """Drop metadata and matplotlib's style element (its `*` rule would reach the whole page)."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (SVG + "metadata", SVG + "style"):
                parent.remove(child)
        parent.tail = parent.text = None


def _flatten(parent: ET.Element) -> None:
    """Replace groups and definitions that carry nothing of their own by what they hold."""
    children = []
    for child in parent:
        _flatten(child)
        invisible = (
            child.tag == SVG + "path" and child.get("style") == "fill: none" and not child.get("id")
        )
        if child.tag == SVG + "g" and not child.attrib:
            children.extend(child)
        elif not invisible and (len(child) or child.tag != SVG + "defs"):
            children.append(child)
    parent[:] = children


def _recolour(element: ET.Element) -> None:
    """Ink and black become the colour of the page's text; coordinates keep two decimals."""
    for key in ("style", "fill", "stroke"):
        if key in element.attrib:
            element.set(key, re.sub(rf"{INK}|#000000|\bblack\b", "currentColor", element.get(key)))
    if "style" in element.attrib:
        element.set("style", element.get("style").replace(": ", ":").replace("; ", ";"))
    for key in ("d", "x", "y"):
        if key in element.attrib:
            rounded = re.sub(r"-?\d+\.\d{3,}", lambda m: number(float(m[0])), element.get(key))
            element.set(key, " ".join(rounded.split()))


def _reencode(address: str) -> str:
    """A PNG address as a WebP address; other addresses unchanged."""
    head, _, body = address.partition("base64,")
    if head != "data:image/png;":
        return address
    picture = Image.open(io.BytesIO(base64.b64decode(body)))
    return data_uri(picture if picture.mode in ("RGB", "RGBA") else picture.convert("RGBA"))
