"""`show.slider`: pre-rendered frames on a page, a recomputing widget with a live kernel."""

import numbers
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fflib.show import markup
from fflib.show.drawing import Sheet, content
from fflib.show.markup import MIN_ALT, escape, words

MAX_FRAMES = 16
MAX_BYTES = 1_000_000


class slider:
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
    them, frames above 1 MB, a short `alt`; TypeError when `draw` returns something else. Chapter:
    all chapters.
    """

    def __init__(
        self, draw: Callable, name: str, values: Sequence, alt: str | Callable[[object], str],
        label: str | None = None, unit: str = "", start: object = None, live: bool | None = None,
    ):  # fmt: skip
        plain = [v.item() if isinstance(v, np.generic) else v for v in (*values, start)]
        self.values, self.start = plain[:-1], plain[0] if start is None else plain[-1]
        _check(self.values, self.start, alt)
        self.label = words("label", words("name", name) if label is None else label)
        self.draw, self.alt, self.unit = draw, alt, unit
        self.live = markup.live() if live is None else live
        self.frames: dict = {}
        self.sheet, self._widget = Sheet(), None
        script = markup.shell() is None and not self.live
        asked = live is False or markup.static() or "FFLIB_OUT" in os.environ
        if script and not asked:
            self.values = [self.start]
        # drawn now, so that a mistake in `draw` stops the cell and not only its display
        self._html = self.frame(self.start) if self.live else self.static_html()
        if script:
            markup.write(self._html, repr(self))

    def text(self, value: object) -> str:
        """The value as it is read out: "0.5 Hz"."""
        return f"{markup.number(value)} {self.unit}".strip()

    def describe(self, value: object) -> str:
        """The description of the picture for one value."""
        if callable(self.alt):
            return words("alt", self.alt(value), MIN_ALT)
        return words("alt", self.alt.replace("{value}", markup.number(value)), MIN_ALT)

    def frame(self, value: object) -> str:
        """HTML of the picture for `value`, drawn once per value; a widget shows one at a time."""
        if value not in self.frames:
            drawn, sheet = self.draw(value), Sheet() if self.live else self.sheet
            self.frames[value] = content(drawn, "draw's result", self.describe(value), sheet)
        return self.frames[value]

    def static_html(self) -> str:
        """The figure with all frames, of which only the first shown is visible without a script."""
        html = self._figure(self.values, self.start)
        if (size := len(html.encode())) > MAX_BYTES:
            raise ValueError(
                f"the {len(self.values)} frames of this slider take {size / 1e6:.2f} MB, more than "
                f"{MAX_BYTES / 1e6:.0f} MB: give fewer values, smaller panels or pictures, or "
                "curves with fewer points"
            )
        return html

    def _figure(self, values: list, shown: object) -> str:
        """The figure with one frame per value; only `shown` is visible before a script runs."""
        frames = []
        for value in values:
            text, drawn, hidden = escape(self.text(value)), self.frame(value), ""
            if value != shown:  # its pictures are not decoded before they are wanted
                drawn, hidden = drawn.replace("<img ", '<img loading="lazy" '), " hidden"
            frames.append(f'<div class="ff-frame" data-text="{text}"{hidden}>{drawn}</div>')
        text, ident = escape(self.text(shown)), f"{markup.PLACEHOLDER}s"
        control = f"<strong>{escape(self.label)}</strong><span>{text}</span>"
        if len(values) > 1:
            control = (
                f'<label for="{ident}">{escape(self.label)}</label>'
                f'<input id="{ident}" type="range" min="0" max="{len(values) - 1}" step="1" '
                f'value="{values.index(shown)}" aria-valuetext="{text}" autocomplete="off">'
                f'<output for="{ident}" aria-live="off">{text}</output>'
            )
        head = f'<figure class="ff ff-slider"><div class="ff-control">{control}</div>'
        body = markup.unique(f"{head}{''.join(frames)}</figure>")[0]
        return markup.styled(body, script=len(values) > 1)

    def widget(self) -> "LiveSlider":
        """The live widget (made once)."""
        self._widget = self._widget or LiveSlider(self)
        return self._widget

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        if not self.live:
            return markup.bundle(self._html, repr(self))
        shown, box = self.widget().value, self.widget().box
        return markup.bundle(self._figure([shown], shown), repr(self), box)

    def __repr__(self) -> str:
        return self.describe(self.start)


def _check(values: list, start: object, alt: object) -> None:
    if not 2 <= len(values) <= MAX_FRAMES:
        raise ValueError(f"values must hold 2 to {MAX_FRAMES} values, got {len(values)}")
    if len(set(values)) < len(values):
        raise ValueError(f"values must differ from each other, got {values}")
    if start not in values:
        raise ValueError(f"start must be one of the values {values}, got {start!r}")
    if not callable(alt) and "{value}" not in words("alt", alt, MIN_ALT):
        raise ValueError(f"alt must contain {{value}} or be a function of the value, got {alt!r}")


class LiveSlider:
    """Of ipywidgets: a slider over the values, a box for any other, the picture, a message."""

    def __init__(self, slider: slider):
        import ipywidgets

        self.slider, self.value, self._busy = slider, slider.start, False
        self.picture = ipywidgets.HTML(self._drawn(slider.start))
        self.message = ipywidgets.HTML("")
        wide = {"continuous_update": False, "style": {"description_width": "initial"}}
        wide["value"] = slider.start
        options = [(slider.text(v), v) for v in slider.values]
        layout = {"width": "min(100%, 26rem)"}
        self.control = ipywidgets.SelectionSlider(
            options=options, description=slider.label, layout=layout, **wide
        )
        self.entry = None
        if all(isinstance(v, numbers.Real) and not isinstance(v, bool) for v in slider.values):
            whole = all(isinstance(v, numbers.Integral) for v in slider.values)
            layout = {"width": "12rem", "margin": "2px 2px 2px 0.75rem"}
            kind = ipywidgets.IntText if whole else ipywidgets.FloatText
            self.entry = kind(description="any value", layout=layout, **wide)
        inputs = [field for field in (self.control, self.entry) if field is not None]
        for field in inputs:
            field.observe(self._chosen, names="value")
        row = [*inputs, *([ipywidgets.Label(slider.unit)] if self.entry and slider.unit else [])]
        flow = {"flex_flow": "row wrap", "align_items": "center"}
        self.box = ipywidgets.VBox([ipywidgets.HBox(row, layout=flow), self.message, self.picture])

    def _drawn(self, value: object) -> str:
        return markup.styled(markup.unique(self.slider.frame(value))[0])

    def _chosen(self, change) -> None:
        if not self._busy:
            self.choose(change["new"])

    def choose(self, value: object) -> None:
        """Show the picture for `value`; when drawing fails keep the last one and say why."""
        self._sync(value)
        said = f"{escape(self.slider.label)} = {escape(self.slider.text(value))}"
        self._say(f"Computing {said} …")
        try:
            picture = self._drawn(value)
        except Exception as error:  # whatever a value provokes must not take the picture away
            kept = escape(self.slider.text(self.value))
            why = f"{type(error).__name__}: {escape(str(error))}"
            self._say(f"<strong>No picture for {said}.</strong> {why} (still showing {kept})")
            return
        self.value, self.picture.value = value, picture
        self._say("")

    def _say(self, text: str) -> None:
        self.message.value = f'<div role="status">{text}</div>' if text else ""

    def _sync(self, value: Any) -> None:
        """Box and slider show `value`, the slider the nearest of its own."""
        self._busy = True
        try:
            if self.entry is not None:
                self.entry.value = value
                value = min(self.slider.values, key=lambda known: abs(known - value))
            self.control.value = value
        finally:
            self._busy = False
