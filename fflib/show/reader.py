"""Checked claims, exercises and files to take home. Chapter: all chapters."""

import base64
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from fflib.checks import is_a, must
from fflib.show.markup import emit, escape, leave, say, static, styled, typeset, words

MAX_DOWNLOAD = 1_500_000  # bytes; in a page they take a third more


def check(
    claim: str, condition: Any, detail: str = "", *, value: float | None = None,
    published: float | None = None, tolerance: float | None = None,
) -> None:  # fmt: skip
    """Print "✓ claim (detail)" when `condition` holds.

    `condition` is a truth value or an array with one element. A claim about one number may also
    give it: the measured `value`, the `published` (or predicted) one and how far apart they may be,
    `tolerance`. They do not change what is printed; the book's ledger lists them. Raises
    AssertionError naming the claim when it does not hold, ValueError for larger arrays, numbers
    that are not finite, and a published one without the other two. Chapter: all chapters.
    """
    claim, shape = words("claim", claim), np.shape(condition)
    must(np.size(condition) == 1, "condition", "be one truth value, as of .all()", f"shape {shape}")
    given = dict(value=value, published=published, tolerance=tolerance)
    numbers = {name: float(number) for name, number in given.items() if number is not None}
    right = all(map(math.isfinite, numbers.values()))
    must(right, "value, published and tolerance", "be finite numbers", numbers)
    right = "published" not in numbers or len(numbers) == 3
    must(right, "published", "come with value and tolerance", numbers)
    tail = f" ({detail})" if detail else ""
    if not bool(np.asarray(condition).item()):
        raise AssertionError(f"this claim of the text does not hold: {claim}{tail}")
    if static():  # the build gathers the claims of a section (`_ext/cells.py`)
        emit(f'<p class="ff-claim">{typeset(claim + tail)}</p>', f"✓ {claim}{tail}")
    else:
        say(f"✓ {claim}{tail}")
    leave("claim", claim=claim, detail=detail, **numbers)


def attempt(check_fn: Callable, fn: Callable) -> None:
    """Run an exercise's check on the reader's function and say how it went; never raises.

    Prints "not written yet" when `fn` still raises NotImplementedError, what is off when the check
    fails, "✓ right" when it passes. Chapter: all chapters.
    """
    name, passed = getattr(fn, "__name__", "your function"), False
    try:
        check_fn(fn)
    except NotImplementedError:
        where = "in the notebook" if static() else "and run the cell"
        said = f"{name}: not written yet. Replace the `raise` line with your code {where}."
    except AssertionError as error:
        said = f"{name}: not right yet: {error or 'a check failed (it gives no reason)'}"
    except Exception as error:  # the reader's code may fail in any way
        said = f"{name}: stopped with {type(error).__name__}: {error}"
    else:
        passed, said = True, f"✓ {name}: right"
    say(said)
    leave("attempt", name=name, check=getattr(check_fn, "__name__", ""), passed=passed)


def download(data: bytes, name: str, says: str) -> None:
    """Offer a file to take home: a link that holds the file, so that a page needs no server for it.

    `name` is what the reader's disk will call it; `says` tells kind and contents, such as "binary
    PLY, 812 vertices". Raises TypeError for something else than bytes, ValueError for none or more
    than 1.5 MB, no plain file name, or an empty `says`. Chapter: Solid shapes.
    """
    fits = 0 < len(is_a("data", data, bytes)) <= MAX_DOWNLOAD
    must(fits, "data", f"hold 1 to {MAX_DOWNLOAD} bytes, to fit into a page", len(data))
    right = re.fullmatch(r"\w[\w-]*\.\w+", name := words("name", name), re.ASCII)
    must(right, "name", "be a plain file name such as 'mesh.ply'", repr(name))
    size = f"{len(data) / 1e6:.1f} MB" if len(data) >= 1e5 else f"{len(data) / 1e3:.1f} kB"
    label = f"{name} ({words('says', says)}, {size})"
    address = "data:application/octet-stream;base64," + base64.b64encode(data).decode()
    link = f'<a download="{name}" href="{address}">Download {escape(label)}</a>'
    emit(styled(f'<p class="ff ff-download">{link}</p>'), f"A file to take home: {label}")
