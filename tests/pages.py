"""The built book as the page tests and `screenshots.py` see it: its files, and a browser.

`BOOK_HTML=folder` names another folder than `_build/html`. The browser is a Chromium or Chrome
found on the system, else the one that `playwright install chromium` downloads.
"""

from __future__ import annotations

import os
import shutil
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BOOK = Path(os.environ.get("BOOK_HTML", ROOT / "_build" / "html")).resolve()
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
NO_BOOK = f"no pages in {BOOK}: run `make book` first"
NO_BROWSER = (
    "no browser, so pages were not opened: install Chromium (Debian, Ubuntu: apt-get install chromium) "
    "or run `playwright install chromium`"
)


def all_pages() -> list[str]:
    """Every page, relative to BOOK, without the redirect that stands at the root."""
    found = (path.relative_to(BOOK).as_posix() for path in BOOK.rglob("*.html"))
    return sorted(
        p for p in found if p != "index.html" and not p.startswith(("_static", "_sources"))
    )


class NoBrowser(RuntimeError):
    """No Chromium or Chrome is to be had."""


def launch(playwright):
    """A headless browser.

    Raises:
        NoBrowser: if there is none on this machine.
    """
    from playwright.sync_api import Error

    system = next(filter(None, map(shutil.which, NAMES)), None)
    try:
        return playwright.chromium.launch(executable_path=system, args=["--no-sandbox"])
    except Error as error:
        if system:
            raise
        raise NoBrowser(NO_BROWSER) from error


class Outline(HTMLParser):
    """What the static checks need of a page: ids, links, and what it loads."""

    LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
    HARMLESS = {"canonical", "prev", "next", "author", "license"}

    def __init__(self, text: str):
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        found = dict(attrs)
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag == "link" and set((found.get("rel") or "").split()) & self.HARMLESS:
            return
        if tag in self.LOADS and self.LOADS[tag] in found:
            self.loads.append(found[self.LOADS[tag]])


def outline(page: str) -> Outline:
    return Outline((BOOK / page).read_text(encoding="utf-8"))
