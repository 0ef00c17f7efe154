"""Predictions that a reader commits before seeing the result.

On a page a guess is HTML form controls and a script (`assets/show.js`). With a live kernel it is
ipywidgets, since some notebooks (Colab) put every output into a frame of its own, where a script
cannot find the question. Both say the same words. A plain script prints the question.
"""

import itertools
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from fflib.checks import must, one_of
from fflib.show import markup
from fflib.show.markup import escape, typeset, words

AS_GUESSED = "that is what came out."
WIDE = {"style": {"description_width": "initial"}, "layout": {"width": "auto"}}
_GROUP = f"{markup.PLACEHOLDER}g"


class Asked:
    """What the three kinds share: the question is shown, the answer told beside the guess."""

    unit = ""

    def _ask(self, question: str, html: Iterable[str], text: str, widgets: Callable) -> None:
        """Display the question with fields in HTML, as `widgets(ipywidgets)`, or as `text`."""
        self.question = words("question", question)
        legend = f"Your guess: {escape(self.question)}"
        fieldset = f"<fieldset><legend>{legend}</legend>{''.join(html)}</fieldset>"
        body, self._prefix = markup.unique(f'<div class="ff ff-guess">{fieldset}</div>')
        self.inputs, self.box = [], None
        if markup.live():
            import ipywidgets

            self.inputs = widgets(ipywidgets)
            head = ipywidgets.HTML(markup.styled(f'<p class="ff-legend">{legend}</p>'))
            self.box = ipywidgets.VBox([head, *self.inputs]).add_class("ff-live")
        markup.emit(markup.styled(body, script=True), self.question + text, self.box)

    def _tell(
        self, told: Callable[[], str], code: object, shown: str, because: str, whys: str = ""
    ) -> None:
        """Display what was measured, `shown`, and what the reader's guess is worth: `told()`, of
        the script from `code`. On a page it stays closed until the reader has chosen, or asks.
        """
        reason = f" {_sentence(words('because', because))}" if because else ""
        head = f"<p><strong>Measured:</strong> {typeset(shown)}.{typeset(reason)}</p>"
        room = (
            f'<p role="status" data-ff-reveal="{self._prefix}g" data-ff-answer="{code}" '
            f'data-ff-unit="{escape(self.unit)}"></p>'
        )

        def write() -> str:
            said = f'<p role="status">{escape(told())}</p>'
            return markup.styled(f'<div class="ff ff-reveal">{head}{said}</div>')

        closed = " ff-closed" if markup.static() else ""
        body = f'<div class="ff ff-reveal{closed}">{head}{room}{whys}</div>'
        widget = self._follow(write) if self.inputs else None
        markup.emit(markup.styled(body, script=True), f"Measured: {shown}.{reason}", widget)

    def _follow(self, write: Callable[[], str]):
        """A widget with the HTML `write()`, written anew whenever an answer changes."""
        import ipywidgets

        shown = ipywidgets.HTML(write())

        def again(change) -> None:
            shown.value = write()

        for field in self.inputs:
            field.observe(again, names="value")
        return shown


class guess(Asked):
    """Ask the reader to predict a result before seeing it: radio buttons, answered by `reveal`::

        g = show.guess("Which is best?", why={"narrow": "Less to learn.", "wide": "More room."})
        g.reveal(int(np.argmax(psnr)), f"{psnr.max():.1f} dB against {psnr.min():.1f} dB")

    `options` are 2 to 6 different texts, else a ValueError; `why` has for each a sentence on why it
    tempts, told with the answer, and may stand in their place. Chapter: all chapters.
    """

    def __init__(
        self, question: str, options: Sequence[str] | None = None, why: Mapping | None = None
    ):
        why = why or {}
        self.options = _different("options", list(why) if options is None else options)
        unknown = sorted(set(why) - set(self.options))
        must(not unknown, "why", "explain options", unknown)
        self._whys = [_sentence(why[name]) if name in why else "" for name in self.options]
        html = (
            f'<label><input type="radio" name="{_GROUP}" value="{k}" autocomplete="off">'
            f"<span>{escape(option)}</span></label>"
            for k, option in enumerate(self.options)
        )
        text = "".join(f"\n  ( ) {option}" for option in self.options)
        how = dict(options=[(option, k) for k, option in enumerate(self.options)], value=None)
        self._ask(
            question, html, text, lambda kit: [kit.RadioButtons(layout=WIDE["layout"], **how)]
        )

    @property
    def value(self) -> int | None:
        """Index of the choice; None before there is one, and without a live kernel."""
        return self.inputs[0].value if self.inputs else None

    def reveal(self, answer: int | str, because: str = "") -> None:
        """Show the measured `answer`, an option or its index, else a ValueError, beside the
        reader's guess. `because` says in a sentence why, or what was measured.
        """
        index = _index("answer", answer, self.options)
        whys = "".join(
            f'<p data-ff-why="{k}">“{escape(option)}”: {typeset(why)}</p>'
            for k, (option, why) in enumerate(zip(self.options, self._whys, strict=True))
            if why
        )

        def told() -> str:
            if (mine := self.value) is None:
                return ""
            said = AS_GUESSED if mine == index else "not what came out."
            return f"You guessed “{self.options[mine]}”: {said} {self._whys[mine]}".rstrip()

        self._tell(told, index, self.options[index], because, whys)


class guess_number(Asked):
    """Ask the reader for a number, of the given `unit`, before seeing the measured one::

        g = show.guess_number("How many decibels does the mapping gain?", "dB")
        g.reveal(psnr[1] - psnr[0])

    Chapter: all chapters.
    """

    def __init__(self, question: str, unit: str = ""):
        self.unit = unit.strip()
        after = f" <span>{escape(self.unit)}</span>" if self.unit else ""
        field = (
            f'<label><span>A number:</span> <input type="number" step="any" name="{_GROUP}" '
            f'autocomplete="off">{after}</label>'
        )
        asked = f"A number ({self.unit}):" if self.unit else "A number:"
        text = f"\n  ____ {self.unit}".rstrip()
        self._ask(question, [field], text, lambda kit: [kit.Text(description=asked, **WIDE)])

    @property
    def value(self) -> float | None:
        """The number typed; None before there is one, and without a live kernel."""
        try:
            number = float(self.inputs[0].value.replace("−", "-"))
        except (IndexError, ValueError):
            return None
        return number if math.isfinite(number) else None

    def reveal(self, answer: float, because: str = "") -> None:
        """Show the measured `answer`, a finite number, else a ValueError, beside the reader's,
        which is close within a quarter.
        """
        must(np.size(answer) == 1 and np.isfinite(answer), "answer", "be one finite number", answer)
        found = float(np.asarray(answer).item())

        def told() -> str:
            typed = self.inputs[0].value.strip()
            if (mine := self.value) is None:
                return f"“{typed}” is not a number." if typed.strip("+-−.") else ""
            close = abs(mine - found) <= abs(found) / 4
            said = "that is close." if close else "too low." if mine < found else "too high."
            return f"You guessed {f'{typed} {self.unit}'.strip()}: {said}"

        self._tell(told, found, f"{markup.number(found)} {self.unit}".strip(), because)


class guess_order(Asked):
    """Ask the reader to rank `items` before seeing the measured order: a menu of places for each::

        g = show.guess_order("Which is learned first?", ["1 cycle", "9 cycles"], ("first", "last"))
        g.reveal(np.argsort(half_time))

    `items` are 2 to 6 different texts, else a ValueError, `ends` the names of the first and of the
    last place. Two items never share a place. Chapter: all chapters.
    """

    def __init__(
        self, question: str, items: Sequence[str], ends: tuple[str, str] = ("best", "worst")
    ):
        self.items = _different("items", items)
        self.ends = first, last = words("ends[0]", ends[0]), words("ends[1]", ends[1])
        n = len(self.items)
        self.places = [f"1, {first}", *map(str, range(2, n)), f"{n}, {last}"]
        places = (f'<option value="{k}">{escape(p)}</option>' for k, p in enumerate(self.places))
        choices = f'<option value="">–</option>{"".join(places)}'
        html = (
            f'<label><select name="{_GROUP}" autocomplete="off">{choices}</select>'
            f"<span>{escape(item)}</span></label>"
            for item in self.items
        )
        text = "".join(f"\n  _ {item}" for item in self.items)
        self._ask(question, html, f" (from {first} to {last}){text}", self._widgets)

    def _widgets(self, ipywidgets) -> list:
        """A menu of places for each item; places are exchanged, so that no two items share one."""
        numbered = [("–", ""), *((place, k) for k, place in enumerate(self.places))]
        how = dict(options=numbered, value="", **WIDE)
        menus = [ipywidgets.Dropdown(description=item, **how) for item in self.items]

        def exchange(change) -> None:
            for menu in menus:
                if menu is not change["owner"] and menu.value == change["new"] != "":
                    menu.value = change["old"]

        for menu in menus:
            menu.observe(exchange, names="value")
        return menus

    @property
    def value(self) -> list[int | None]:
        """The place of each item, from 0, or None; empty without a live kernel."""
        return [None if menu.value == "" else menu.value for menu in self.inputs]

    def reveal(self, order: Sequence[int | str], because: str = "") -> None:
        """Show the measured `order`, first to last, of each item or its index once, else a
        ValueError, beside the reader's.
        """
        found = [_index("each of order", item, self.items) for item in order]
        once = sorted(found) == list(range(len(self.items)))
        must(once, "order", f"hold each of {self.items} once", list(order))

        def told() -> str:
            places = [place for place in self.value if place is not None]
            if len(places) < len(self.items):
                return "You have not given every item a place yet." if places else ""
            mine = [places.index(place) for place in sorted(places)]
            pairs = [found.index(a) < found.index(b) for a, b in itertools.combinations(mine, 2)]
            said = f"{sum(pairs)} of {len(pairs)} pairs are in the measured order."
            names = ", ".join(self.items[k] for k in mine)
            return f"You guessed {names}: {AS_GUESSED if all(pairs) else said}"

        shown = f"from {self.ends[0]} to {self.ends[1]}: {', '.join(self.items[k] for k in found)}"
        self._tell(told, ",".join(map(str, found)), shown, because)


def _sentence(text: str) -> str:
    """`text` with the capital and the full stop of a sentence; symbols (p) keep their case."""
    text = text[0].upper() + text[1:] if re.match("[a-z]+[ ,]", text[1:]) else text
    return text if text[-1] in ".!?" else f"{text}."


def _different(argument: str, texts: Sequence[str]) -> list[str]:
    texts = [words(f"one of the {argument}", text) for text in texts]
    must(2 <= len(set(texts)) == len(texts) <= 6, argument, "be 2 to 6 different texts", texts)
    return texts


def _index(argument: str, answer: int | str, texts: list[str]) -> int:
    if isinstance(answer, str):
        return texts.index(one_of(argument, answer, texts))
    right = 0 <= operator.index(answer) < len(texts)
    must(right, argument, f"be one of {texts} or its index", repr(answer))
    return operator.index(answer)
