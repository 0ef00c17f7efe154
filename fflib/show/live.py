"""The fields of a guess as ipywidgets, for a notebook with a live kernel.

Some notebooks put every output into a frame of its own (Colab), where the script of a page cannot
find the question; the kernel can.
"""

from collections.abc import Callable, Sequence

from fflib.show import markup
from fflib.show.markup import escape

EMPTY = ""  # a menu without a choice
WIDE = {"style": {"description_width": "initial"}, "layout": {"width": "auto"}}


class Question:
    """A question with its fields: `inputs` are the widgets that hold the answer."""

    def __init__(self, text: str, inputs: list, unit: str = ""):
        import ipywidgets

        self.inputs = inputs
        legend = markup.styled(f'<p class="ff-legend">Your guess: {escape(text)}</p>')
        row = [*inputs, ipywidgets.Label(unit)]
        rows = [ipywidgets.HBox(row, layout={"flex_flow": "row wrap"})] if unit else inputs
        self.box = ipywidgets.VBox([ipywidgets.HTML(legend), *rows]).add_class("ff-live")

    @property
    def values(self) -> list:
        return [field.value for field in self.inputs]

    def follow(self, write: Callable[[], str]):
        """A widget with the HTML `write()`, written anew whenever an answer changes."""
        import ipywidgets

        shown = ipywidgets.HTML(write())

        def again(change) -> None:
            shown.value = write()

        for field in self.inputs:
            field.observe(again, names="value")
        return shown


def choice(options: Sequence[str]) -> list:
    """Radio buttons of which none is chosen; the value is an index or None."""
    import ipywidgets

    numbered = [(option, k) for k, option in enumerate(options)]
    return [ipywidgets.RadioButtons(options=numbered, value=None, layout={"width": "auto"})]


def number() -> list:
    """A field for a number, empty at first; the value is what was typed."""
    import ipywidgets

    return [ipywidgets.Text(description="A number:", **WIDE)]


def ranking(items: Sequence[str], places: Sequence[str]) -> list:
    """A menu of places for each item; the values are indices of `places`, or EMPTY.

    Places are exchanged, so that no two items share one.
    """
    import ipywidgets

    numbered = [("–", EMPTY), *((place, k) for k, place in enumerate(places))]
    menus = [
        ipywidgets.Dropdown(options=numbered, value=EMPTY, description=item, **WIDE)
        for item in items
    ]

    def exchange(change) -> None:
        for menu in menus:
            if menu is not change["owner"] and menu.value == change["new"] != EMPTY:
                menu.value = change["old"]

    for menu in menus:
        menu.observe(exchange, names="value")
    return menus
