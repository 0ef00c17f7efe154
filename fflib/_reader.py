"""Guesses, checked claims and exercises; use them as `fflib.show.<name>`.

Chapter: all chapters.
"""

import operator
from collections.abc import Callable, Sequence

import numpy as np

from fflib import _html
from fflib._html import escape, words


class Guess:
    """A question put to the reader; see `guess`. `reveal` answers it."""

    def __init__(self, question: str, options: Sequence[str], prefix: str):
        self.question, self.options, self.prefix = question, list(options), prefix

    def reveal(self, answer: int | str, because: str = "") -> None:
        """Show the measured `answer` beside the reader's guess.

        `answer` is one of the options or its index; `because` says in a sentence why, or what was
        measured. Raises ValueError for another answer. Chapter: all chapters.
        """
        index = self.options.index(answer) if answer in self.options else answer
        if isinstance(index, str) or not 0 <= operator.index(index) < len(self.options):
            raise ValueError(f"answer must be one of {self.options} or its index, got {answer!r}")
        index = operator.index(index)
        reason = f" {words('because', because)}" if because else ""
        body = (
            f'<div class="ff ff-reveal"><p><strong>Measured:</strong> '
            f'{escape(self.options[index])}.{escape(reason)}</p><p role="status" '
            f'data-ff-reveal="{self.prefix}g" data-ff-answer="{index}"></p></div>'
        )
        _html.emit(_html.styled(body, script=True), f"Measured: {self.options[index]}.{reason}")

    def __repr__(self) -> str:
        return "\n".join([self.question, *(f"  ( ) {option}" for option in self.options)])


def guess(question: str, options: Sequence[str]) -> Guess:
    """Ask the reader to predict a result before seeing it: radio buttons, answered by `.reveal`.

    `options` are 2 to 6 different texts. Raises ValueError otherwise.

        g = show.guess("Which width is best?", ["narrow", "wide"])
        g.reveal(int(np.argmax(psnr)), f"{psnr.max():.1f} dB against {psnr.min():.1f} dB")

    Chapter: all chapters.
    """
    question = words("question", question)
    options = [words("an option", option) for option in options]
    if not 2 <= len(options) <= 6 or len(set(options)) < len(options):
        raise ValueError(f"options must be 2 to 6 different texts, got {options}")
    group = f"{_html.PLACEHOLDER}g"
    radios = "".join(
        f'<label><input type="radio" name="{group}" value="{k}" autocomplete="off">'
        f"<span>{escape(o)}</span></label>"
        for k, o in enumerate(options)
    )
    body = f"<fieldset><legend>Your guess: {escape(question)}</legend>{radios}</fieldset>"
    body, prefix = _html.unique(f'<div class="ff ff-guess">{body}</div>')
    asked = Guess(question, options, prefix)
    _html.emit(_html.styled(body, script=True), repr(asked))
    return asked


def check(claim: str, condition: object, detail: str = "") -> None:
    """Print "✓ claim (detail)" when `condition` holds.

    `condition` is a truth value or an array with one element. Raises AssertionError naming the
    claim when it does not hold, ValueError for larger arrays.

    Chapter: all chapters.
    """
    claim = words("claim", claim)
    if np.size(condition) != 1:
        raise ValueError(
            f"condition must be one truth value, got shape {np.shape(condition)}; "
            "use .all() or .any()"
        )
    tail = f" ({detail})" if detail else ""
    if not bool(np.asarray(condition).item()):
        raise AssertionError(f"this claim of the text does not hold: {claim}{tail}")
    print(f"✓ {claim}{tail}")


class Verdict(int):
    """True or False that a notebook does not echo below the message of `attempt`."""

    def _ipython_display_(self) -> None:
        pass


def attempt(check_fn: Callable, fn: Callable) -> Verdict:
    """Run an exercise's check on the reader's function and say how it went; never raises.

    Prints "not written yet" when `fn` still raises NotImplementedError, what is off when the check
    fails, "✓ right" when it passes. Returns a truth value: whether it passed.

    Chapter: all chapters.
    """
    name = getattr(fn, "__name__", "your function")
    try:
        check_fn(fn)
    except NotImplementedError:
        print(f"{name}: not written yet. Replace the `raise` line by your code and run the cell.")
    except AssertionError as error:
        print(f"{name}: not right yet: {error or 'a check failed (it gives no reason)'}")
    except Exception as error:  # the reader's code may fail in any way
        print(f"{name}: stopped with {type(error).__name__}: {error}")
    else:
        print(f"✓ {name}: right")
        return Verdict(True)
    return Verdict(False)
