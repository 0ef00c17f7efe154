"""Predictions that a reader commits before seeing the result; use them as `fflib.show.<name>`.

A guess is HTML form controls and nothing else: it works in the book and in a notebook, with the
keyboard and with a finger, and a plain script prints the question. Chapter: all chapters.
"""

import math
import operator
from collections.abc import Sequence

import numpy as np

from fflib import _html
from fflib._html import escape, words

MAX_OPTIONS = 6


class Guess:
    """A question with a choice of answers; see `guess`. `reveal` answers it.

    Chapter: all chapters.
    """

    def __init__(self, question: str, options: Sequence[str]):
        self.question = words("question", question)
        self.options = _different("options", options)
        fields = (
            f'<label><input type="radio" name="{_GROUP}" value="{k}" autocomplete="off">'
            f"<span>{escape(option)}</span></label>"
            for k, option in enumerate(self.options)
        )
        self.prefix = _ask(self.question, "".join(fields), repr(self))

    def reveal(self, answer: int | str, because: str = "") -> None:
        """Show the measured `answer` beside the reader's guess.

        `answer` is one of the options or its index; `because` says in a sentence why, or what was
        measured. Raises ValueError for another answer. Chapter: all chapters.
        """
        index = _index("answer", answer, self.options)
        _tell(self.prefix, index, self.options[index], because)

    def __repr__(self) -> str:
        return "\n".join([self.question, *(f"  ( ) {option}" for option in self.options)])


class NumberGuess:
    """A question whose answer is a number; see `guess_number`. `reveal` answers it.

    Chapter: all chapters.
    """

    def __init__(self, question: str, unit: str = ""):
        self.question, self.unit = words("question", question), unit.strip()
        unit = f" <span>{escape(self.unit)}</span>" if self.unit else ""
        field = (
            f'<label><span>A number:</span> <input type="number" step="any" name="{_GROUP}" '
            f'autocomplete="off">{unit}</label>'
        )
        self.prefix = _ask(self.question, field, repr(self))

    def reveal(self, answer: float, because: str = "") -> None:
        """Show the measured `answer` beside the reader's number, which is close within a quarter.

        Raises ValueError for an answer that is no finite number. Chapter: all chapters.
        """
        if np.size(answer) != 1 or not math.isfinite(value := float(np.asarray(answer).item())):
            raise ValueError(f"answer must be one finite number, got {answer!r}")
        shown = f"{_html.number(value)} {self.unit}".strip()
        _tell(self.prefix, value, shown, because, unit=self.unit)

    def __repr__(self) -> str:
        return f"{self.question}\n  ____ {self.unit}".rstrip()


class OrderGuess:
    """A question whose answer is a ranking; see `guess_order`. `reveal` answers it.

    Chapter: all chapters.
    """

    def __init__(self, question: str, items: Sequence[str], ends: tuple[str, str]):
        self.question, self.items = words("question", question), _different("items", items)
        self.ends = first, last = words("ends[0]", ends[0]), words("ends[1]", ends[1])
        n = len(self.items)
        places = [f"1, {first}", *map(str, range(2, n)), f"{n}, {last}"]
        choices = '<option value="">–</option>' + "".join(
            f'<option value="{k}">{escape(place)}</option>' for k, place in enumerate(places)
        )
        fields = (
            f'<label><select name="{_GROUP}" autocomplete="off">{choices}</select>'
            f"<span>{escape(item)}</span></label>"
            for item in self.items
        )
        self.prefix = _ask(self.question, "".join(fields), repr(self))

    def reveal(self, order: Sequence[int | str], because: str = "") -> None:
        """Show the measured `order`, first to last, beside the reader's.

        `order` holds each item, or its index, once. Raises ValueError otherwise.

        Chapter: all chapters.
        """
        found = [_index("each of order", item, self.items) for item in order]
        if sorted(found) != list(range(len(self.items))):
            raise ValueError(f"order must hold each of {self.items} once, got {list(order)}")
        shown = f"from {self.ends[0]} to {self.ends[1]}: {', '.join(self.items[k] for k in found)}"
        _tell(self.prefix, ",".join(map(str, found)), shown, because)

    def __repr__(self) -> str:
        ends = f"from {self.ends[0]} to {self.ends[1]}"
        return "\n".join([f"{self.question} ({ends})", *(f"  _ {item}" for item in self.items)])


def guess(question: str, options: Sequence[str]) -> Guess:
    """Ask the reader to predict a result before seeing it: radio buttons, answered by `.reveal`.

    `options` are 2 to 6 different texts. Raises ValueError otherwise.

        g = show.guess("Which width is best?", ["narrow", "wide"])
        g.reveal(int(np.argmax(psnr)), f"{psnr.max():.1f} dB against {psnr.min():.1f} dB")

    Chapter: all chapters.
    """
    return Guess(question, options)


def guess_number(question: str, unit: str = "") -> NumberGuess:
    """Ask the reader for a number, of the given `unit`, before seeing the measured one.

        g = show.guess_number("How many decibels does the mapping gain?", "dB")
        g.reveal(psnr[1] - psnr[0])

    Chapter: all chapters.
    """
    return NumberGuess(question, unit)


def guess_order(
    question: str, items: Sequence[str], ends: tuple[str, str] = ("best", "worst")
) -> OrderGuess:
    """Ask the reader to rank `items` before seeing the measured order: a menu of places for each.

    `items` are 2 to 6 different texts, `ends` the names of the first and of the last place. Two
    items never share a place: the one that had it takes the place that became free. Raises
    ValueError for other items.

        g = show.guess_order("Which is learned first?", ["1 cycle", "9 cycles"], ("first", "last"))
        g.reveal(np.argsort(half_time))

    Chapter: all chapters.
    """
    return OrderGuess(question, items, ends)


_GROUP = f"{_html.PLACEHOLDER}g"


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


def _ask(question: str, fields: str, text: str) -> str:
    """Display the question; returns the prefix of its ids."""
    body = f"<fieldset><legend>Your guess: {escape(question)}</legend>{fields}</fieldset>"
    body, prefix = _html.unique(f'<div class="ff ff-guess">{body}</div>')
    _html.emit(_html.styled(body, script=True), text)
    return prefix


def _tell(prefix: str, answer: object, shown: str, because: str, unit: str = "") -> None:
    """Display what was measured, and leave room for what the reader guessed."""
    reason = f" {words('because', because)}" if because else ""
    body = (
        f'<div class="ff ff-reveal"><p><strong>Measured:</strong> {escape(shown)}.{escape(reason)}'
        f'</p><p role="status" data-ff-reveal="{prefix}g" data-ff-answer="{answer}" '
        f'data-ff-unit="{escape(unit)}"></p></div>'
    )
    _html.emit(_html.styled(body, script=True), f"Measured: {shown}.{reason}")
