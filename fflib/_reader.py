"""Checked claims and exercises; use them as `fflib.show.<name>`.

Chapter: all chapters.
"""

import math
from collections.abc import Callable

import numpy as np

from fflib._html import leave, words


def check(
    claim: str,
    condition: object,
    detail: str = "",
    *,
    value: float | None = None,
    published: float | None = None,
    tolerance: float | None = None,
) -> None:
    """Print "✓ claim (detail)" when `condition` holds.

    `condition` is a truth value or an array with one element. A claim about one number may also
    give it: the measured `value`, the `published` (or predicted) one and how far apart they may be,
    `tolerance`. They do not change what is printed; the book's ledger lists them.

    Raises AssertionError naming the claim when it does not hold, ValueError for larger arrays, for
    numbers that are not finite, and for a published one without the other two.

    Chapter: all chapters.
    """
    claim = words("claim", claim)
    if np.size(condition) != 1:
        raise ValueError(
            f"condition must be one truth value, got shape {np.shape(condition)}; "
            "use .all() or .any()"
        )
    given = dict(value=value, published=published, tolerance=tolerance)
    numbers = {name: float(number) for name, number in given.items() if number is not None}
    if bad := {name: number for name, number in numbers.items() if not math.isfinite(number)}:
        raise ValueError(f"value, published and tolerance must be finite numbers, got {bad}")
    if "published" in numbers and len(numbers) < 3:
        raise ValueError(f"published must come with value and tolerance, got {numbers}")
    tail = f" ({detail})" if detail else ""
    if not bool(np.asarray(condition).item()):
        raise AssertionError(f"this claim of the text does not hold: {claim}{tail}")
    print(f"✓ {claim}{tail}")
    leave("claim", claim=claim, detail=detail, **numbers)


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
    passed = False
    try:
        check_fn(fn)
    except NotImplementedError:
        said = f"{name}: not written yet. Replace the `raise` line by your code and run the cell."
    except AssertionError as error:
        said = f"{name}: not right yet: {error or 'a check failed (it gives no reason)'}"
    except Exception as error:  # the reader's code may fail in any way
        said = f"{name}: stopped with {type(error).__name__}: {error}"
    else:
        passed, said = True, f"✓ {name}: right"
    print(said)
    leave("attempt", name=name, check=getattr(check_fn, "__name__", ""), passed=passed)
    return Verdict(passed)
