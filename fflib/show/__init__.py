"""Figures, pictures, sliders, guesses and checks as a reader meets them. Chapter: all chapters.

Each function works in the book's HTML, in JupyterLab, on Colab and in a plain Python script (where
it prints one line). Every picture needs `alt`, a description for readers who cannot see it. IPython
and ipywidgets are imported only when they are there to be used.
"""

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from fflib.checks import scale
from fflib.show import markup
from fflib.show.drawing import (
    COLORS,
    INK,
    LINESTYLES,
    MARKERS,
    Sheet,
    array_uri,
    row_html,
    use_style,
)
from fflib.show.guesses import Guess, NumberGuess, OrderGuess, guess, guess_number, guess_order
from fflib.show.layout import picture_row
from fflib.show.markup import escape, number, typeset, words
from fflib.show.reader import attempt, check, download
from fflib.show.slider_widget import MAX_FRAMES, Slider

__all__ = [
    "COLORS", "INK", "LINESTYLES", "MARKERS", "Guess", "NumberGuess", "OrderGuess", "attempt",
    "check", "download", "figure", "guess", "guess_number", "guess_order", "images", "panel", "pick", "scale",
    "slider", "table", "use_style",
]  # fmt: skip

MIN_ALT = 20

use_style()


def panel(title: str | None = None, width: float = 3.5, height: float = 2.6, **subplots_kw):
    """A small figure and its axes, `fig, ax`, made to be read on a phone as well as on a desk.

    `width` and `height` are in inches (3.5 is 336 CSS pixels); `subplots_kw` goes to
    `matplotlib.figure.Figure.subplots`, so `ncols=2` gives `ax` of shape (2,). Needs no pyplot, and
    nothing is displayed before `figure`. A legend that would cover the curves finds room below the
    axes with `fig.legend(loc="outside lower center", ncols=2)`.

    Chapter: all chapters.
    """
    fig = Figure(figsize=(width, height))
    ax = fig.subplots(**subplots_kw)
    if title is not None:
        fig.suptitle(title, fontsize=10.0) if isinstance(ax, np.ndarray) else ax.set_title(title)
    return fig, ax


def figure(*figs: Figure, alt: str, caption: str | None = None) -> None:
    """Display matplotlib figures side by side as inline SVG; on a phone they wrap to one per row.

    `alt` (at least 20 characters) describes all of them together; `caption` is visible text below.
    Text, axes and anything drawn in `show.INK` or black take the page's text colour. Rasters inside
    become WebP. pyplot figures are closed.

    Raises TypeError for something else than a figure, ValueError without figures or `alt`.

    Chapter: all chapters.
    """
    alt = words("alt", alt, MIN_ALT)
    _display(_content(figs, "figure's arguments", alt, Sheet()), alt, caption)


def images(pictures: Mapping[str, object], alt: str, zoom: int | None = None) -> None:
    """Display pictures, a dict caption -> array, side by side: up to five in a row, two on a phone.

    Arrays have shape (H, W), (H, W, 1) or (H, W, 3) and values in [0, 1]; values outside are
    clipped. Each pixel takes `zoom` CSS pixels (sharp-edged); None chooses the least whole zoom
    that makes the widest picture 160 pixels wide or more. Pictures shrink to share a row.

    Raises ValueError for other shapes, for values that are not finite and for a short `alt`.

    Chapter: all chapters.
    """
    alt = words("alt", alt, MIN_ALT)
    _display(_images(pictures, alt, zoom), alt, None)


def slider(
    draw: Callable,
    name: str,
    values: Sequence,
    alt: str | Callable[[object], str],
    label: str | None = None,
    unit: str = "",
    start: object = None,
    live: bool | None = None,
) -> Slider:
    """A picture that follows a slider; make it the last expression of a cell.

    `draw(value)` returns a figure, a tuple of figures or a dict of pictures (see `images`) and
    displays nothing itself. `values` are 2 to 16 numbers or strings; `start` is one of them
    (default: the first). `alt` is a string with {value} or a function value -> description. `label`
    (default `name`) and `unit` are what the reader sees.

    On a page (FFLIB_STATIC=1, or `live=False`) the frames are drawn now and travel with it, at
    most 1 MB. With a kernel that has ipywidgets (or `live=True`) each choice is computed when it is
    made, and any other number may be typed; a failing `draw` leaves the last picture and says what
    went wrong. A plain script draws the start frame only, unless it was asked for the frames
    (`live=False`) or FFLIB_STATIC or FFLIB_OUT is set.

    Raises ValueError for too many or too few values, repeated values, a `start` that is not among
    them, frames above 1 MB, a short `alt`; TypeError when `draw` returns something else.

    Chapter: all chapters.
    """
    values = [v.item() if isinstance(v, np.generic) else v for v in values]
    start = start.item() if isinstance(start, np.generic) else start
    start = values[0] if start is None and values else start
    if not 2 <= len(values) <= MAX_FRAMES:
        raise ValueError(f"values must hold 2 to {MAX_FRAMES} values, got {len(values)}")
    if len(set(values)) < len(values):
        raise ValueError(f"values must differ from each other, got {values}")
    if start not in values:
        raise ValueError(f"start must be one of the values {values}, got {start!r}")
    if not callable(alt) and "{value}" not in words("alt", alt, MIN_ALT):
        raise ValueError(f"alt must contain {{value}} or be a function of the value, got {alt!r}")

    def render(value: object, description: str, sheet: Sheet | None) -> str:
        return _content(draw(value), "draw's result", description, sheet or Sheet())

    asked = live is False or markup.static() or "FFLIB_OUT" in os.environ
    if live is None:
        live = markup.live()
    label = words("label", words("name", name) if label is None else label)
    made = Slider(render, values, alt, label, unit, start, live)
    if markup.shell() is None and not live:
        made.values = values if asked else [start]
        made.prepare(Sheet())
        markup.write(made._html, repr(made))
        return made
    return made.prepare(Sheet())


def table(rows: Sequence[Sequence], columns: Sequence[str], caption: str) -> None:
    """Display results as a table with headings `columns`; the first cell of a row names it.

    Floats are shown with 4 significant digits; give strings for another format. Minus signs, powers
    of ten (3e-5) and exponents (f^2) are typeset on a page, also in strings. Columns of numbers end at
    the right, columns of words begin at the left. Raises ValueError when a row has another length
    than `columns`.

    Chapter: all chapters.
    """
    caption = words("caption", caption)
    rows = [[cell if isinstance(cell, str) else number(cell) for cell in row] for row in rows]
    for k, row in enumerate(rows):
        if len(row) != len(columns):
            raise ValueError(
                f"row {k} has {len(row)} cells, expected {len(columns)} (one per column)"
            )
    cells = list(zip(*rows, strict=True)) or [()] * len(columns)
    kinds = ["", *(' class="ff-words"' if _wordy(column) else "" for column in cells[1:])]
    head = "".join(
        f'<th scope="col"{kind}>{typeset(str(c))}</th>'
        for c, kind in zip(columns, kinds, strict=True)
    )
    body = "".join(
        f'<tr><th scope="row">{typeset(first)}</th>'
        + "".join(f"<td{kind}>{typeset(c)}</td>" for c, kind in zip(rest, kinds[1:], strict=True))
        + "</tr>"
        for first, *rest in rows
    )
    page = (
        f'<div class="ff ff-table ff-scroll" role="region" tabindex="0" '
        f'aria-label="{escape(caption)}"><table><caption>{typeset(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
    widths = [max(len(str(cell)) for cell in column) for column in zip(columns, *rows, strict=True)]
    lines = [
        "  ".join(
            str(c).ljust(w) if k == 0 else str(c).rjust(w)
            for k, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in [columns, *rows]
    ]
    markup.emit(markup.styled(page), "\n".join([caption, *lines]))


def pick(*, quick: object, full: object) -> object:
    """The setting for the current `scale`. Chapter: all chapters."""
    return {"quick": quick, "full": full}[scale()]


def _wordy(cells: Sequence[str]) -> bool:
    """Whether most cells of a column begin with a word, not counting dashes and empty ones."""
    said = [cell for cell in cells if re.search(r"\w", cell)]
    return 2 * sum(bool(re.match(r"\W*[^\W\d_]{2}", cell)) for cell in said) > len(said)


def _content(drawn: object, what: str, alt: str, sheet: Sheet) -> str:
    """HTML of a figure, several figures or a dict of pictures."""
    if isinstance(drawn, Mapping):
        return _images(drawn, alt, None)
    figs = list(drawn) if isinstance(drawn, tuple | list) else [drawn]
    if not figs:
        raise ValueError(f"{what} must hold at least one figure")
    for fig in figs:
        if not isinstance(fig, Figure):
            raise TypeError(
                f"{what} must be figures (as in `fig, ax = show.panel()`), got {type(fig).__name__}"
            )
    return row_html(figs, alt, sheet)


def _images(pictures: Mapping[str, object], alt: str, zoom: int | None) -> str:
    if not isinstance(pictures, Mapping) or not pictures:
        raise ValueError(
            f"pictures must be a non-empty dict caption -> array, got {type(pictures).__name__}"
        )
    arrays = {
        words("a caption", caption): _pixels(caption, array) for caption, array in pictures.items()
    }
    if zoom is None:
        zoom = max(1, math.ceil(160 / max(array.shape[1] for array in arrays.values())))
    if zoom <= 0:
        raise ValueError(f"zoom must be positive, got {zoom}")
    items = []
    for caption, array in arrays.items():
        width = array.shape[1] * zoom
        sharp = ' style="image-rendering:pixelated"' if zoom > 1 else ""
        items.append(
            f'<figure class="ff-picture" style="max-width:{width}px">'
            f'<img alt="{escape(caption)}" width="{width}" height="{array.shape[0] * zoom}"{sharp} '
            f'src="{array_uri(array)}">'
            f'<figcaption aria-hidden="true">{typeset(caption)}</figcaption></figure>'
        )
    row = picture_row(len(items), max(array.shape[1] for array in arrays.values()) * zoom)
    label = f'role="group" aria-label="{escape(alt)}"'
    return f'<div class="ff-pictures" style="{row}" {label}>{"".join(items)}</div>'


def _pixels(caption: str, array: object) -> np.ndarray:
    """The array clipped to [0, 1], of shape (H, W) or (H, W, 3)."""
    array = np.asarray(array)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] != 3) or array.size == 0:
        raise ValueError(
            f"picture {caption!r} must have shape (H, W) or (H, W, 3), got {array.shape}"
        )
    if np.iscomplexobj(array):
        raise ValueError(f"picture {caption!r} must be real, got {array.dtype}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(
            f"picture {caption!r} has {(~np.isfinite(array)).sum()} values that are not finite"
        )
    return np.clip(array, 0.0, 1.0)


def _display(content: str, alt: str, caption: str | None) -> None:
    below = (
        f'<figcaption class="ff-caption">{typeset(words("caption", caption))}</figcaption>'
        if caption
        else ""
    )
    body = markup.unique(f'<figure class="ff">{content}{below}</figure>')[0]
    markup.emit(markup.styled(body), alt)
