"""Predictions that a reader commits before seeing the result.

On a page a guess is HTML form controls and a script (`assets/show.js`). With a live kernel it is
ipywidgets, since some notebooks (Colab) put every output into a frame of its own, where a script
cannot find the question. Both say the same words, and work with the keyboard and with a finger. A
plain script prints the question. The classes have the names by which a chapter calls them.
"""

import itertools
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from fflib.show import markup
from fflib.show.markup import escape, typeset, words

MAX_OPTIONS = 6
AS_GUESSED = "that is what came out."
NO_WHY: Mapping[str, str] = MappingProxyType({})
EMPTY = ""  # a menu without a choice
WIDE = {"style": {"description_width": "initial"}, "layout": {"width": "auto"}}
_GROUP = f"{markup.PLACEHOLDER}g"


class Asked:
    """What the three kinds share: the question is shown, the answer told beside the guess."""

    unit = ""
    _whys: Mapping[str, str] = NO_WHY

    def _ask(self, question: str, fields, text: str) -> None:
        """Display the question with `fields` in HTML, as widgets, or as `text`."""
        self.question = words("question", question)
        legend = f"Your guess: {escape(self.question)}"
        fieldset = f"<fieldset><legend>{legend}</legend>{''.join(fields)}</fieldset>"
        body, self._prefix = markup.unique(f'<div class="ff ff-guess">{fieldset}</div>')
        self.inputs, self.box = [], None
        if markup.live():
            import ipywidgets

            self.inputs = rows = self._widgets(ipywidgets)
            if self.unit:
                row = [*rows, ipywidgets.Label(self.unit)]
                rows = [ipywidgets.HBox(row, layout={"flex_flow": "row wrap"})]
            head = ipywidgets.HTML(markup.styled(f'<p class="ff-legend">{legend}</p>'))
            self.box = ipywidgets.VBox([head, *rows]).add_class("ff-live")
        markup.emit(markup.styled(body, script=True), self.question + text, self.box)

    def _tell(self, answer: object, code: object, shown: str, because: str) -> None:
        """Display what was measured, `shown`, and what the reader's guess is worth.

        A page's script gets the answer as `code`, `_told` as it is. There the answer stays closed
        below its question until the reader has chosen, or asks for it.
        """
        reason = f" {_sentence(words('because', because))}" if because else ""
        head = f"<p><strong>Measured:</strong> {typeset(shown)}.{typeset(reason)}</p>"
        room = (
            f'<p role="status" data-ff-reveal="{self._prefix}g" data-ff-answer="{code}" '
            f'data-ff-unit="{escape(self.unit)}"></p>'
        )
        whys = "".join(
            f'<p data-ff-why="{k}">“{escape(option)}”: {typeset(why)}</p>'
            for k, (option, why) in enumerate(self._whys.items())
            if why
        )

        def write() -> str:
            told = f'<p role="status">{escape(self._told(answer))}</p>'
            return markup.styled(f'<div class="ff ff-reveal">{head}{told}</div>')

        closed = " ff-closed" if markup.static() else ""
        body = f'<div class="ff ff-reveal{closed}">{head}{room}{whys}</div>'
        widget, text = self.inputs and self._follow(write), f"Measured: {shown}.{reason}"
        markup.emit(markup.styled(body, script=True), text, widget or None)

    def _follow(self, write: Callable[[], str]):
        """A widget with the HTML `write()`, written anew whenever an answer changes."""
        import ipywidgets

        shown = ipywidgets.HTML(write())

        def again(change) -> None:
            shown.value = write()

        for field in self.inputs:
            field.observe(again, names="value")
        return shown

    @property
    def _values(self) -> list:
        """What the fields of a live kernel hold; none without one."""
        return [field.value for field in self.inputs]

    def _widgets(self, ipywidgets) -> list:
        """The fields of a live kernel."""
        raise NotImplementedError

    def _told(self, answer) -> str:
        """The words about the reader's guess; none before there is one. As in `show.js`."""
        raise NotImplementedError


class guess(Asked):
    """Ask the reader to predict a result before seeing it: radio buttons, answered by `reveal`.

    `options` are 2 to 6 different texts; `why` has for each a sentence on why it tempts, told with
    the answer. Without `options` they are those that `why` explains. Raises ValueError otherwise.

        g = show.guess("Which is best?", why={"narrow": "Less to learn.", "wide": "More room."})
        g.reveal(int(np.argmax(psnr)), f"{psnr.max():.1f} dB against {psnr.min():.1f} dB")

    Chapter: all chapters.
    """

    def __init__(
        self, question: str, options: Sequence[str] | None = None, why: Mapping[str, str] = NO_WHY
    ):
        self.options = _different("options", list(why) if options is None else options)
        if unknown := set(why) - set(self.options):
            raise ValueError(f"why must explain options, got {sorted(unknown)}")
        self._whys = {
            option: _sentence(why[option]) if option in why else "" for option in self.options
        }
        fields = (
            f'<label><input type="radio" name="{_GROUP}" value="{k}" autocomplete="off">'
            f"<span>{escape(option)}</span></label>"
            for k, option in enumerate(self.options)
        )
        text = (f"\n  ( ) {option}" for option in self.options)
        self._ask(question, fields, "".join(text))

    def _widgets(self, ipywidgets) -> list:
        numbered = [(option, k) for k, option in enumerate(self.options)]
        return [ipywidgets.RadioButtons(options=numbered, value=None, layout={"width": "auto"})]

    @property
    def value(self) -> int | None:
        """Index of the choice; None before there is one, and without a live kernel."""
        return next(iter(self._values), None)

    def reveal(self, answer: int | str, because: str = "") -> None:
        """Show the measured `answer`, an option or its index, beside the reader's guess.

        `because` says in a sentence why, or what was measured. Raises ValueError for another.
        """
        index = _index("answer", answer, self.options)
        self._tell(index, index, self.options[index], because)

    def _told(self, answer: int) -> str:
        if self.value is None:
            return ""
        chosen = self.options[self.value]
        said = AS_GUESSED if self.value == answer else "not what came out."
        return f"You guessed “{chosen}”: {said} {self._whys[chosen]}".rstrip()


class guess_number(Asked):
    """Ask the reader for a number, of the given `unit`, before seeing the measured one.

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
        self._ask(question, field, f"\n  ____ {self.unit}".rstrip())

    def _widgets(self, ipywidgets) -> list:
        return [ipywidgets.Text(description="A number:", **WIDE)]

    @property
    def value(self) -> float | None:
        """The number typed; None before there is one, and without a live kernel."""
        try:
            number = float(self._values[0].replace("−", "-"))
        except (IndexError, ValueError):
            return None
        return number if math.isfinite(number) else None

    def reveal(self, answer: float, because: str = "") -> None:
        """Show the measured `answer` beside the reader's number, which is close within a quarter.

        Raises ValueError for an answer that is no finite number.
        """
        if np.size(answer) != 1 or not math.isfinite(value := float(np.asarray(answer).item())):
            raise ValueError(f"answer must be one finite number, got {answer!r}")
        self._tell(value, value, f"{markup.number(value)} {self.unit}".strip(), because)

    def _told(self, answer: float) -> str:
        typed = self._values[0].strip()
        if self.value is None:
            return f"“{typed}” is not a number." if typed.strip("+-−.") else ""
        close = abs(self.value - answer) <= abs(answer) / 4
        said = "that is close." if close else "too low." if self.value < answer else "too high."
        return f"You guessed {f'{typed} {self.unit}'.strip()}: {said}"


class guess_order(Asked):
    """Ask the reader to rank `items` before seeing the measured order: a menu of places for each.

    `items` are 2 to 6 different texts, `ends` the names of the first and of the last place. Two
    items never share a place: the one that had it takes the place that became free. Raises
    ValueError for other items.

        g = show.guess_order("Which is learned first?", ["1 cycle", "9 cycles"], ("first", "last"))
        g.reveal(np.argsort(half_time))

    Chapter: all chapters.
    """

    def __init__(
        self, question: str, items: Sequence[str], ends: tuple[str, str] = ("best", "worst")
    ):
        self.items = _different("items", items)
        self.ends = first, last = words("ends[0]", ends[0]), words("ends[1]", ends[1])
        n = len(self.items)
        self.places = places = [f"1, {first}", *map(str, range(2, n)), f"{n}, {last}"]
        choices = "".join(f'<option value="{k}">{escape(p)}</option>' for k, p in enumerate(places))
        fields = (
            f'<label><select name="{_GROUP}" autocomplete="off"><option value="">–</option>'
            f"{choices}</select><span>{escape(item)}</span></label>"
            for item in self.items
        )
        text = "".join(f"\n  _ {item}" for item in self.items)
        text = f" (from {first} to {last}){text}"
        self._ask(question, fields, text)

    def _widgets(self, ipywidgets) -> list:
        """A menu of places for each item; places are exchanged, so that no two items share one."""
        numbered = [("–", EMPTY), *((place, k) for k, place in enumerate(self.places))]
        how = dict(options=numbered, value=EMPTY, **WIDE)
        menus = [ipywidgets.Dropdown(description=item, **how) for item in self.items]

        def exchange(change) -> None:
            for menu in menus:
                if menu is not change["owner"] and menu.value == change["new"] != EMPTY:
                    menu.value = change["old"]

        for menu in menus:
            menu.observe(exchange, names="value")
        return menus

    @property
    def value(self) -> list[int | None]:
        """The place of each item, from 0, or None; empty without a live kernel."""
        return [None if place == EMPTY else place for place in self._values]

    def reveal(self, order: Sequence[int | str], because: str = "") -> None:
        """Show the measured `order`, first to last, beside the reader's.

        It holds each item, or its index, once; else it is a ValueError.
        """
        found = [_index("each of order", item, self.items) for item in order]
        if sorted(found) != list(range(len(self.items))):
            raise ValueError(f"order must hold each of {self.items} once, got {list(order)}")
        shown = f"from {self.ends[0]} to {self.ends[1]}: {', '.join(self.items[k] for k in found)}"
        self._tell(found, ",".join(map(str, found)), shown, because)

    def _told(self, answer: list[int]) -> str:
        places = [place for place in self.value if place is not None]
        if len(places) < len(self.items):
            return "You have not given every item a place yet." if places else ""
        mine = [places.index(place) for place in sorted(places)]
        pairs = [answer.index(a) < answer.index(b) for a, b in itertools.combinations(mine, 2)]
        said = f"{sum(pairs)} of {len(pairs)} pairs are in the measured order."
        names = ", ".join(self.items[k] for k in mine)
        return f"You guessed {names}: {AS_GUESSED if all(pairs) else said}"


def _sentence(text: str) -> str:
    """`text` with the capital and the full stop of a sentence; symbols (p) keep their case."""
    text = text[0].upper() + text[1:] if re.match("[a-z]+[ ,]", text[1:]) else text
    return text if text[-1] in ".!?" else f"{text}."


def _different(argument: str, texts: Sequence[str]) -> list[str]:
    texts = [words(f"one of the {argument}", text) for text in texts]
    if not 2 <= len(texts) <= MAX_OPTIONS or len(set(texts)) < len(texts):
        raise ValueError(f"{argument} must be 2 to {MAX_OPTIONS} different texts, got {texts}")
    return texts


def _index(argument: str, answer: int | str, texts: list[str]) -> int:
    index = texts.index(answer) if answer in texts else answer
    if isinstance(index, str) or not 0 <= operator.index(index) < len(texts):
        raise ValueError(f"{argument} must be one of {texts} or its index, got {answer!r}")
    return operator.index(index)
