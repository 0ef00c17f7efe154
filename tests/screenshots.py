"""Pictures of pages for people to look at: python tests/screenshots.py OUTDIR [page …]

Each page is taken whole at 1280 pixels (desktop) and at 390 (phone), in the light and in the dark.
Pages are named as in `_toc.yml` (book/why_blurry); without any, all are taken.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parent))
from pages import BOOK, NO_BOOK, NoBrowser, all_pages, launch

WIDTHS = {"desktop": 1280, "phone": 390}


def take(browser, page: str, folder: Path) -> None:
    for device, width in WIDTHS.items():
        for scheme in ("light", "dark"):
            tab = browser.new_page(
                viewport={"width": width, "height": 900},
                color_scheme=scheme,
                reduced_motion="reduce",
            )
            tab.goto(f"{BOOK.as_uri()}/{page}")
            tab.wait_for_timeout(300)
            name = page.removesuffix(".html").replace("/", "-")
            path = folder / f"{name}-{device}-{scheme}.png"
            height = tab.evaluate("document.documentElement.scrollHeight")
            tab.set_viewport_size({"width": width, "height": height})  # sidebars draw once in view
            tab.wait_for_timeout(300)
            tab.screenshot(path=str(path))
            tab.close()
            print(path)


def main(folder: str, *names: str) -> None:
    known = all_pages()
    pages = [name.removesuffix(".html") + ".html" for name in names] or known
    if not pages:
        sys.exit(NO_BOOK)
    if unknown := set(pages) - set(known):
        sys.exit(f"no such page: {', '.join(sorted(unknown))}")
    Path(folder).mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        try:
            browser = launch(playwright)
        except NoBrowser as error:
            sys.exit(str(error))
        for page in pages:
            take(browser, page, Path(folder))
        browser.close()


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
