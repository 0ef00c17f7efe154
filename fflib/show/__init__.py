"""Figures, pictures, sliders, guesses and checks as a reader meets them. Chapter: all chapters.

Each function works in the book's HTML, in JupyterLab, on Colab and in a plain Python script (where
it prints one line). Every picture needs `alt`, a description for readers who cannot see it.
"""

import math
import re
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from fflib.checks import must, scale
from fflib.show import drawing, markup
from fflib.show.drawing import COLORS, INK, LINESTYLES, MARKERS
from fflib.show.guesses import guess, guess_number, guess_order
from fflib.show.markup import MIN_ALT, escape, number, typeset, words
from fflib.show.reader import attempt, check, download
from fflib.show.slider_widget import slider

__all__ = [
    "COLORS", "INK", "LINESTYLES", "MARKERS", "attempt", "check", "download", "figure", "guess",
    "guess_number", "guess_order", "images", "panel", "pick", "scale", "slider", "table",
]  # fmt: skip

REAL = (float, np.floating)
matplotlib.rcParams.update(drawing.STYLE)  # the book's figure style


def panel(title: str | None = None, width: float = 3.5, height: float = 2.6, **subplots_kw):
    """A small figure and its axes, `fig, ax`, made to be read on a phone as well as on a desk.

    `width` and `height` are in inches (3.5 is 336 CSS pixels); with `ncols=2` of
    `matplotlib.figure.Figure.subplots` `ax` has shape (2,). A legend finds room below the axes with
    `fig.legend(loc="outside lower center", ncols=2)`. Chapter: all chapters.
    """
    fig = Figure(figsize=(width, height))
    ax = fig.subplots(**subplots_kw)
    if title is not None:
        fig.suptitle(title, fontsize=10.0) if isinstance(ax, np.ndarray) else ax.set_title(title)
    return fig, ax


def figure(*figs: Figure, alt: str, caption: str | None = None) -> None:
    """Display matplotlib figures side by side as inline SVG, on a phone one a row, or two small.

    `alt` (at least 20 characters) describes all of them together; `caption` is visible text below.
    What is drawn in `show.INK` or black takes the page's text colour. pyplot figures are closed.
    Raises TypeError for other things, ValueError without figures or `alt`. Chapter: all chapters.
    """
    alt = words("alt", alt, MIN_ALT)
    _display(drawing.content(figs, "figure's arguments", alt, drawing.Sheet()), alt, caption)


def images(
    pictures: Mapping[str, object], alt: str, zoom: int | None = None, caption: str | None = None
) -> None:
    """Display pictures, a dict caption -> array, side by side: up to five in a row, a phone three.

    Arrays have shape (H, W), (H, W, 1) or (H, W, 3) and values in [0, 1]; values outside are
    clipped. Each pixel takes `zoom` CSS pixels, the least that makes the widest picture 160 wide
    unless given; `caption` is visible text below them. Raises ValueError for other shapes, NaN and
    a short `alt`. Chapter: all chapters.
    """
    alt = words("alt", alt, MIN_ALT)
    _display(drawing.pictures_html(pictures, alt, zoom), alt, caption)


def table(rows: Sequence[Sequence], columns: Sequence[str], caption: str) -> None:
    """Display results as a table with headings `columns`; the first cell of a row names it.

    The floats of a column share their decimals, 4 digits for the largest, unless their sizes differ
    too much; give strings for another format. A page typesets minus signs, powers of ten (3e-5) and
    exponents (f^2). Raises ValueError for a row of another length. Chapter: all chapters.
    """
    caption = words("caption", caption)
    for k, row in enumerate(rows):
        must(len(row) == len(columns), f"row {k}", f"have {len(columns)} cells", len(row))
    heads = [str(column) for column in columns]
    cells = [_column(column) for column in zip(*rows, strict=True)] or [[]] * len(heads)
    kinds = ["", *(' class="ff-words"' * _wordy(column) for column in cells[1:])]
    lines = list(zip(*cells, strict=True))

    def row_html(row: Sequence[str]) -> str:
        first, *rest = map(typeset, row)
        tail = (f"<td{kind}>{cell}</td>" for cell, kind in zip(rest, kinds[1:], strict=True))
        return f'<tr><th scope="row">{first}</th>{"".join(tail)}</tr>'

    named = zip(heads, kinds, strict=True)
    head = "".join(f'<th scope="col"{kind}>{typeset(name)}</th>' for name, kind in named)
    page = (
        f'<div class="ff ff-table ff-scroll" role="region" tabindex="0" '
        f'aria-label="{escape(caption)}"><table><caption>{typeset(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(map(row_html, lines))}</tbody></table></div>"
    )
    widths = [max(map(len, [head, *column])) for head, column in zip(heads, cells, strict=True)]
    text = [caption]
    for first, *rest in [heads, *lines]:
        padded = [cell.rjust(w) for cell, w in zip(rest, widths[1:], strict=True)]
        text.append("  ".join([first.ljust(widths[0]), *padded]))
    markup.emit(markup.styled(page), "\n".join(text))


def pick(*, quick: object, full: object) -> object:
    """The setting for the current `scale`. Chapter: all chapters."""
    return {"quick": quick, "full": full}[scale()]


def _column(cells: Sequence) -> list[str]:
    """The texts of a column, its floats with the same decimals where that reads well."""
    sizes = [abs(float(c)) for c in cells if isinstance(c, REAL) and np.isfinite(c) and c != 0]
    decimals = None
    if any(size % 1 for size in sizes) and 1e-3 <= min(sizes) <= max(sizes) < 1e3 * min(sizes):
        decimals = max(0, 3 - math.floor(math.log10(max(sizes))))
    return [number(cell, decimals if isinstance(cell, REAL) else None) for cell in cells]


def _wordy(cells: Sequence[str]) -> bool:
    """Whether most cells of a column begin with a word, not counting dashes and empty ones."""
    said = [cell for cell in cells if re.search(r"\w", cell)]
    return 2 * sum(bool(re.match(r"\W*[^\W\d_]{2}", cell)) for cell in said) > len(said)


def _display(body: str, alt: str, caption: str | None = None) -> None:
    if caption:
        said = typeset(words("caption", caption))
        body += f'<figcaption class="ff-caption">{said}</figcaption>'
    markup.emit(markup.styled(markup.unique(f'<figure class="ff">{body}</figure>')[0]), alt)
