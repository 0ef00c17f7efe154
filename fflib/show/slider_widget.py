"""`show.slider`: pre-rendered frames on a page, a recomputing widget with a live kernel.

Private helpers of `fflib.show`. Chapter: all chapters.
"""

import itertools
import math
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

    def __init__(self, render, values, alt, name, label, unit, start, live):
        self.render, self.values, self.alt = render, list(values), alt
        self.name, self.label, self.unit, self.start, self.live = name, label, unit, start, live
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
        control, text, ident = "", escape(self.text(shown)), f"{markup.PLACEHOLDER}s"
        if len(values) > 1:
            control = (
                f'<input id="{ident}" type="range" min="0" max="{len(values) - 1}" step="1" '
                f'value="{list(values).index(shown)}" aria-valuetext="{text}" autocomplete="off">'
            )
            head = f'<label for="{ident}">{escape(self.label)}</label>'
        else:
            head = f"<strong>{escape(self.label)}</strong>"
        output = (
            f'<output for="{ident}" aria-live="off">{text}</output>'
            if control
            else f"<span>{text}</span>"
        )
        body = (
            f'<figure class="ff ff-slider"><div class="ff-control">{head}{control}{output}</div>'
            f"{''.join(frames)}</figure>"
        )
        return markup.styled(markup.unique(body)[0], script=bool(control))

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
        self.integer = all(isinstance(v, numbers.Integral) for v in slider.values)
        self.picture = ipywidgets.HTML(markup.styled(markup.unique(slider.frame(slider.start))[0]))
        self.message = ipywidgets.HTML("")
        self.control = _control(ipywidgets, slider)
        self.control.observe(self._moved, names="value")
        row = [self.control]
        self.entry = None
        if _numeric(slider.values):
            kind = ipywidgets.IntText if self.integer else ipywidgets.FloatText
            self.entry = kind(
                value=slider.start,
                description="any value",
                continuous_update=False,
                layout=ipywidgets.Layout(width="12rem", margin="2px 2px 2px 0.75rem"),
                style={"description_width": "initial"},
            )
            self.entry.observe(self._typed, names="value")
            row.append(self.entry)
        if slider.unit:
            row.append(ipywidgets.Label(slider.unit))
        flow = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        self.box = ipywidgets.VBox([ipywidgets.HBox(row, layout=flow), self.message, self.picture])

    def _moved(self, change) -> None:
        if not self._busy:
            numeric = self.entry is not None
            self.choose(
                _snap(change["new"], self.slider.values, self.integer) if numeric else change["new"]
            )

    def _typed(self, change) -> None:
        if not self._busy:
            self.choose(change["new"])

    def choose(self, value: object) -> None:
        """Show the picture for `value`; when drawing fails keep the last one and say why."""
        self._sync(value)
        said = f"{escape(self.slider.label)} = {escape(self.slider.text(value))}"
        self._say(f"Computing {said} …")
        try:
            picture = markup.styled(markup.unique(self.slider.frame(value))[0])
        except (
            Exception
        ) as error:  # whatever a reader's value provokes must not take the picture away
            kept = escape(self.slider.text(self.value))
            why = f"{type(error).__name__}: {escape(str(error))}"
            self._say(f"<strong>No picture for {said}.</strong> {why} (still showing {kept})")
            return
        self.value, self.picture.value = value, picture
        self._say("")

    def _say(self, text: str) -> None:
        self.message.value = f'<div role="status">{text}</div>' if text else ""

    def _sync(self, value: object) -> None:
        """Both controls show `value`; the slider stops at its ends."""
        self._busy = True
        try:
            if self.entry is None:
                self.control.value = value
                return
            self.entry.value = value
            if hasattr(self.control, "options"):
                nearest = min(self.slider.values, key=lambda v: abs(v - value))
                self.control.value = nearest
            else:
                low, high = min(self.slider.values), max(self.slider.values)
                self.control.value = min(max(value, low), high)
        finally:
            self._busy = False


def _numeric(values: Sequence) -> bool:
    return all(isinstance(v, numbers.Real) and not isinstance(v, bool) for v in values)


def _snap(value: float, values: Sequence, integer: bool) -> float:
    """A slider's position: the one of `values` almost equal to it, else 4 digits or an integer."""
    for known in values:
        if math.isclose(value, known, rel_tol=1e-6, abs_tol=1e-12):
            return known
    return int(round(value)) if integer else float(f"{value:.4g}")


def _control(ipywidgets, slider: Slider):
    """The slider that suits the values: even integers, even or geometric floats, or a list."""
    values, start = slider.values, slider.start
    common = dict(
        description=slider.label,
        continuous_update=False,
        style={"description_width": "initial"},
        layout=ipywidgets.Layout(width="min(100%, 26rem)"),
    )
    rising = _numeric(values) and all(a < b for a, b in itertools.pairwise(values))
    steps = [b - a for a, b in itertools.pairwise(values)] if rising else [0]
    ends = dict(min=values[0], max=values[-1])
    if rising and all(math.isclose(s, steps[0], rel_tol=1e-6) for s in steps):
        if all(isinstance(v, numbers.Integral) for v in values):
            return ipywidgets.IntSlider(value=start, step=1, **ends, **common)
        return ipywidgets.FloatSlider(
            value=start, step=steps[0] / 4, readout_format=".4g", **ends, **common
        )
    ratios = [0]
    if rising and values[0] > 0:
        ratios = [math.log10(b / a) for a, b in itertools.pairwise(values)]
    if ratios[0] and all(math.isclose(r, ratios[0], rel_tol=1e-2) for r in ratios):
        low, high = math.log10(values[0]), math.log10(values[-1])
        return ipywidgets.FloatLogSlider(
            value=start,
            base=10,
            min=low,
            max=high,
            step=ratios[0] / 4,
            readout_format=".4g",
            **common,
        )
    options = [(slider.text(v), v) for v in values]
    return ipywidgets.SelectionSlider(options=options, value=start, **common)
