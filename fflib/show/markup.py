"""How an output reaches the reader: HTML in a notebook or the book, one line of text elsewhere."""

import hashlib
import itertools
import os
import re
import sys
from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path

from fflib.checks import is_a, must

PLACEHOLDER = "ff--"  # stands for the prefix of an output's ids until `unique` fixes it
# myst-nb takes outputs of this prefix out of the page and keeps them; notebooks show nothing.
KEPT = "application/papermill.record/"
ENTRY = "application/vnd.fflib.entry+json"
VIEW = "application/vnd.jupyter.widget-view+json"
MIN_ALT = 20
PLAIN = str.maketrans({"✓": "OK", "✗": "NO", "−": "-"})
_outputs, _entries, _files = itertools.count(1), itertools.count(1), itertools.count(1)


def shell():
    """The running IPython shell, or None; never imports IPython."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def static() -> bool:
    """Whether outputs are for a page without a kernel (FFLIB_STATIC=1, set by the book's build)."""
    return os.environ.get("FFLIB_STATIC", "0") not in ("", "0")


def live() -> bool:
    """Whether a kernel that can show ipywidgets is to answer, and not a script of the page."""
    kernel = getattr(shell(), "kernel", None)
    return not static() and kernel is not None and find_spec("ipywidgets") is not None


def bundle(body: str, text: str, widget=None) -> dict:
    """An output's forms: HTML, text, and an ipywidgets `widget` where it can be shown."""
    found: dict = {"text/plain": text}
    if widget is not None:
        found[VIEW] = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    if widget is None or "google.colab" not in sys.modules:  # there HTML could be preferred
        found["text/html"] = body
    return found


def say(text: str) -> None:
    """Print `text`; a stream that has no ✓ or no Greek gets what it can take."""
    try:
        print(text)
    except UnicodeEncodeError as error:
        print(text.translate(PLAIN).encode(error.encoding, "replace").decode(error.encoding))


def emit(body: str, text: str, widget=None) -> None:
    """Display an output, or a live `widget` in its place, in IPython; elsewhere `write` it."""
    if shell() is None:
        return write(body, text)
    from IPython.display import display

    display(bundle(body, text, widget), raw=True)


def leave(kind: str, **entry) -> None:
    """Leave an entry for the book's ledger (`_ext/ledger.py`) in the executed cell, unseen, where
    the book is built (FFLIB_STATIC=1, in a kernel).
    """
    if not static() or shell() is None:
        return
    from IPython.display import display

    name = {"name": f"fflib-{next(_entries)}", "mime_prefix": KEPT}
    display({KEPT + ENTRY: {"kind": kind, **entry}}, metadata={"scrapbook": name}, raw=True)


def write(body: str, text: str) -> None:
    """Print `text`; when FFLIB_OUT names a folder also write FFLIB_OUT/001.html, 002.html, …"""
    say(text)
    if folder := os.environ.get("FFLIB_OUT"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Output</title>'
        Path(folder, f"{next(_files):03d}.html").write_text(head + body, encoding="utf-8")


def unique(body: str) -> tuple[str, str]:
    """Replace the placeholder of `body`'s ids by a prefix of its own; returns (body, prefix). It
    counts outputs, for two runs to give the same page, and hashes `body`, for sessions to differ.
    """
    prefix = f"ff{next(_outputs)}-{hashlib.sha1(body.encode()).hexdigest()[:5]}-"
    return body.replace(PLACEHOLDER, prefix), prefix


@cache
def asset(name: str) -> str:
    """Text of fflib/show/assets/<name>."""
    return Path(__file__).with_name("assets").joinpath(name).read_text(encoding="utf-8").strip()


def styled(body: str, script: bool = False) -> str:
    """`body` with the style (and script) that it needs in a frame of its own; pages load both."""
    if static():
        return body
    tail = f"<script>{asset('show.js')}</script>" if script else ""
    return f"<style>{asset('show.css')}</style>{body}{tail}"


def words(argument: str, value: object, least: int = 1) -> str:
    """`value` as a stripped string of at least `least` characters, or a TypeError/ValueError."""
    value = " ".join(is_a(argument, value, str).split())
    size = "not be empty" if least == 1 else f"have at least {least} characters"
    must(len(value) >= least, argument, size, repr(value))
    return value


def number(value: object, decimals: int | None = None) -> str:
    """A short text for a value: 4 significant digits, or so many decimals; `str` of no number."""
    if isinstance(value, str | bool):
        return str(value)
    try:
        as_float = float(value) + 0.0  # no −0  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError):
        return str(value)
    if decimals is None and abs(as_float) < 1e6 and as_float.is_integer():
        decimals = 0
    text = f"{as_float:.4g}" if decimals is None else f"{as_float:.{decimals}f}"
    return re.sub("^-", "−", text).replace("inf", "∞")


def typeset(text: str) -> str:
    """`text` for HTML with its numbers as they are printed: −0.5, 3 × 10⁻⁵, 10 %, 1/f² (1/f^2).

    A line breaks neither between a number and its unit nor between a sign and its number.
    """

    def power(found: re.Match) -> str:
        return f"{found[1]} × 10<sup>{int(found[2])}</sup>" if int(found[2]) else found[1]

    page = re.sub(r"(?<![\w.])(\d+(?:\.\d+)?)e([+-]\d+)\b", power, escape(text))
    page = re.sub(r"(?<=\w)\^(-?\d+(?:\.\d+)?)\b", r"<sup>\1</sup>", page)
    page = re.sub(r"(?<![\w.)\]])-(?=\.?\d)|(?<=<sup>)-", "−", page)
    page = re.sub(r"(?<=\d)%", " %", page)
    return re.sub(r"(?<=[\d>]) (?=dB\b|Å|%|×)|(?<=[±×]) (?=\d)", "\u00a0", page)
