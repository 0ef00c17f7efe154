"""`show.slider`: pre-rendered frames on a page, a recomputing widget with a live kernel.

Private helpers of `fflib.show`. Chapter: all chapters.
"""

import numbers
from collections.abc import Callable, Sequence

from fflib.show import markup
from fflib.show.markup import escape

MAX_FRAMES = 16
MAX_BYTES = 1_000_000


def describe(alt: str | Callable[[object], str], value: object) -> str:
    """The description of the picture for one value."""
    if callable(alt):
        return markup.words("alt", alt(value), 20)
    return markup.words("alt", alt.replace("{value}", markup.number(value)), 20)


class Slider:
    """What `show.slider` returns; as the last expression of a cell it shows itself."""

    def __init__(self, render, values, alt, label, unit, start, live):
        self.render, self.values, self.alt = render, list(values), alt
        self.label, self.unit, self.start, self.live = label, unit, start, live
        self.frames: dict = {}
        self._widget = self._html = None

    def text(self, value: object) -> str:
        """The value as it is read out: "0.5 Hz"."""
        return f"{markup.number(value)} {self.unit}".strip()

    def frame(self, value: object, sheet=None) -> str:
        """HTML of the picture for `value`, drawn once per value."""
        if value not in self.frames:
            self.frames[value] = self.render(value, describe(self.alt, value), sheet)
        return self.frames[value]

    def static_html(self, values: Sequence, shown: object, sheet=None) -> str:
        """The figure with one frame per value; only `shown` is visible before a script runs."""
        frames = []
        for value in values:
            text, drawn, hidden = escape(self.text(value)), self.frame(value, sheet), ""
            if value != shown:  # its pictures are not decoded before they are wanted
                drawn, hidden = drawn.replace("<img ", '<img loading="lazy" '), " hidden"
            frames.append(f'<div class="ff-frame" data-text="{text}"{hidden}>{drawn}</div>')
        text, ident = escape(self.text(shown)), f"{markup.PLACEHOLDER}s"
        control = f"<strong>{escape(self.label)}</strong><span>{text}</span>"
        if len(values) > 1:
            control = (
                f'<label for="{ident}">{escape(self.label)}</label>'
                f'<input id="{ident}" type="range" min="0" max="{len(values) - 1}" step="1" '
                f'value="{list(values).index(shown)}" aria-valuetext="{text}" autocomplete="off">'
                f'<output for="{ident}" aria-live="off">{text}</output>'
            )
        body = (
            f'<figure class="ff ff-slider"><div class="ff-control">{control}</div>'
            f"{''.join(frames)}</figure>"
        )
        return markup.styled(markup.unique(body)[0], script=len(values) > 1)

    def prepare(self, sheet) -> "Slider":
        """Draw now, so that a mistake in `draw` stops the cell and not only its display."""
        if self.live:
            self.frame(self.start)
            return self
        self._html = self.static_html(self.values, self.start, sheet)
        size = len(self._html.encode())
        if size > MAX_BYTES:
            raise ValueError(
                f"the {len(self.values)} frames of this slider take {size / 1e6:.2f} MB, more than "
                f"{MAX_BYTES / 1e6:.0f} MB: give fewer values, smaller panels or pictures, or "
                "curves with fewer points"
            )
        return self

    def widget(self):
        """The live widget (made once): see `LiveSlider`."""
        if self._widget is None:
            self._widget = LiveSlider(self)
        return self._widget

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        if not self.live:
            return {"text/plain": repr(self), "text/html": self._html}
        widget = self.widget()
        page = self.static_html([widget.value], widget.value)
        return markup.bundle(widget.box, repr(self), page)

    def __repr__(self) -> str:
        return describe(self.alt, self.start)


class LiveSlider:
    """ipywidgets control: a slider over the values, a box for any other, the picture, a message."""

    def __init__(self, slider: Slider):
        import ipywidgets

        self.slider, self.value, self._busy = slider, slider.start, False
        self.picture = ipywidgets.HTML(self._drawn(slider.start))
        self.message = ipywidgets.HTML("")
        wide = {"continuous_update": False, "style": {"description_width": "initial"}}
        self.control = ipywidgets.SelectionSlider(
            options=[(slider.text(v), v) for v in slider.values],
            value=slider.start,
            description=slider.label,
            layout={"width": "min(100%, 26rem)"},
            **wide,
        )
        self.entry = None
        if all(isinstance(v, numbers.Real) and not isinstance(v, bool) for v in slider.values):
            whole = all(isinstance(v, numbers.Integral) for v in slider.values)
            self.entry = (ipywidgets.IntText if whole else ipywidgets.FloatText)(
                value=slider.start,
                description="any value",
                layout={"width": "12rem", "margin": "2px 2px 2px 0.75rem"},
                **wide,
            )
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

    def _sync(self, value: object) -> None:
        """Box and slider show `value`, the slider the nearest of its own."""
        self._busy = True
        try:
            if self.entry is not None:
                self.entry.value = value
                value = min(self.slider.values, key=lambda known: abs(known - value))
            self.control.value = value
        finally:
            self._busy = False
