"""`show.slider`: pre-rendered frames on a page, a recomputing widget with a live kernel."""

import numbers
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fflib.checks import must
from fflib.show import markup
from fflib.show.drawing import Sheet, content
from fflib.show.markup import MIN_ALT, escape, words

MAX_FRAMES = 16


class slider:
    """A picture that follows a slider; make it the last expression of a cell.

    `draw(value)` returns a figure, a tuple of figures or a dict of pictures (see `images`).
    `values` are 2 to 16 numbers or strings; `start` is one of them (default: the first). `alt` is a
    string with {value} or a function value -> description. `label` (default `name`) and `unit` are
    what the reader sees. On a page (FFLIB_STATIC=1, or `live=False`) the frames are drawn now and
    travel with it, at most 1 MB. With a kernel that has ipywidgets (or `live=True`) each choice is
    computed when it is made, and any other number may be typed; a failing `draw` leaves the last
    picture and says what went wrong. A plain script without FFLIB_OUT draws the start frame only.
    Raises ValueError for other numbers of values, repeated ones, another `start`, frames above 1
    MB, a short `alt`; TypeError when `draw` returns something else. Chapter: all chapters.
    """

    def __init__(
        self, draw: Callable, name: str, values: Sequence, alt: str | Callable[[object], str],
        label: str | None = None, unit: str = "", start: object = None, live: bool | None = None,
    ):  # fmt: skip
        plain = [v.item() if isinstance(v, np.generic) else v for v in (*values, start)]
        known, self.start = plain[:-1], plain[0] if start is None else plain[-1]
        must(2 <= len(known) <= MAX_FRAMES, "values", f"hold 2 to {MAX_FRAMES} values", len(known))
        must(len(set(known)) == len(known), "values", "differ from each other", known)
        must(self.start in known, "start", f"be one of the values {known}", repr(start))
        told = callable(alt) or "{value}" in words("alt", alt, MIN_ALT)
        must(told, "alt", "contain {value} or be a function of the value", repr(alt))
        self.label = words("label", words("name", name) if label is None else label)
        self.draw, self.alt, self.unit, self.values = draw, alt, unit, known
        self.live = markup.live() if live is None else live
        self.frames, self.sheet = {}, Sheet()
        script = markup.shell() is None and not self.live
        if script and live is None and not markup.static() and "FFLIB_OUT" not in os.environ:
            self.values = [self.start]
        # drawn now, so that a mistake in `draw` stops the cell and not only its display
        self.widget = LiveSlider(self) if self.live else None
        self._html = "" if self.live else self._figure(self.values, self.start)
        size = len(self._html.encode()) / 1e6
        asked = "take at most 1 MB: give fewer values, smaller pictures or curves with fewer points"
        must(size <= 1, f"the {len(known)} frames", asked, f"{size:.2f} MB")
        if script:
            markup.write(self._html, repr(self))

    def text(self, value: object) -> str:
        """The value as it is read out: "0.5 Hz"."""
        return f"{markup.number(value)} {self.unit}".strip()

    def describe(self, value: object) -> str:
        """The description of the picture for one value."""
        if callable(said := self.alt):
            return words("alt", said(value), MIN_ALT)
        return words("alt", said.replace("{value}", markup.number(value)), MIN_ALT)

    def frame(self, value: object) -> str:
        """HTML of the picture for `value`, drawn once per value; a widget shows one at a time."""
        if value not in self.frames:
            drawn, sheet = self.draw(value), Sheet() if self.live else self.sheet
            self.frames[value] = content(drawn, "draw's result", self.describe(value), sheet)
        return self.frames[value]

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

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        if self.widget is None:
            return markup.bundle(self._html, repr(self))
        shown = self.widget.value
        return markup.bundle(self._figure([shown], shown), repr(self), self.widget.box)

    def __repr__(self) -> str:
        return self.describe(self.start)


class LiveSlider:
    """Of ipywidgets: a slider over the values, a box for any other, the picture, a message."""

    def __init__(self, slider: slider):
        import ipywidgets

        self.slider, self.value, self._busy = slider, slider.start, False
        self.picture = ipywidgets.HTML(self._drawn(slider.start))
        self.message = ipywidgets.HTML("")
        style = {"description_width": "initial"}
        how: Any = dict(value=slider.start, continuous_update=False, style=style)
        self.control = ipywidgets.SelectionSlider(
            options=[(slider.text(v), v) for v in slider.values], description=slider.label,
            layout={"width": "min(100%, 26rem)"}, **how,
        )  # fmt: skip
        self.entry, fields = None, [self.control]
        if all(isinstance(v, numbers.Real) and not isinstance(v, bool) for v in slider.values):
            whole = all(isinstance(v, numbers.Integral) for v in slider.values)
            layout = {"width": "12rem", "margin": "2px 2px 2px 0.75rem"}
            kind = ipywidgets.IntText if whole else ipywidgets.FloatText
            self.entry = kind(description="any value", layout=layout, **how)
            fields += [self.entry, ipywidgets.Label(slider.unit)]
        for field in fields[:2]:
            field.observe(lambda change: self.choose(change["new"]), names="value")
        row = ipywidgets.HBox(fields, layout={"flex_flow": "row wrap", "align_items": "center"})
        self.box = ipywidgets.VBox([row, self.message, self.picture])

    def _drawn(self, value: object) -> str:
        return markup.styled(markup.unique(self.slider.frame(value))[0])

    def choose(self, value: Any) -> None:
        """Show `value` and its picture; when drawing fails keep the last one and say why."""
        if self._busy:  # it is this function that changes a field
            return
        self._busy, nearest = True, value  # on the slider
        try:
            if self.entry is not None:
                self.entry.value = value
                nearest = min(self.slider.values, key=lambda known: abs(known - value))
            self.control.value = nearest
        finally:
            self._busy = False
        said = f"{escape(self.slider.label)} = {escape(self.slider.text(value))}"
        self.message.value = f'<div role="status">Computing {said} …</div>'
        try:
            self.picture.value = self._drawn(value)
        except Exception as error:  # whatever a value provokes must not take the picture away
            kept = escape(self.slider.text(self.value))
            why = f"{type(error).__name__}: {escape(str(error))} (still showing {kept})"
            said = f"<strong>No picture for {said}.</strong> {why}"
            self.message.value = f'<div role="status">{said}</div>'
        else:
            self.value, self.message.value = value, ""
