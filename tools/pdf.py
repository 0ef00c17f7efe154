"""The built book as one PDF, printed by a browser: `make pdf`.

All pages in the order of `_toc.yml`, with contents, page numbers and an outline. Each page is
printed for itself, which keeps the browser's memory small. Folded code stays folded, and links to
other pages are text. Needs the built book and Chromium.
"""

from __future__ import annotations

import html
import io
import sys
from pathlib import Path

import yaml
from playwright.sync_api import sync_playwright
from pypdf import PdfReader, PdfWriter

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests"))
import export
from pages import BOOK, NO_BOOK, NoBrowser, launch

# The article alone; links to files beside it would lead nowhere.
ALONE = """() => {
  const article = document.querySelector("article.bd-article");
  for (const image of article.querySelectorAll("img")) image.loading = "eager";
  for (const a of article.querySelectorAll('a[href]:not([href^="#"])'))
    if (a.protocol === "file:") a.removeAttribute("href");
  document.body.replaceChildren(article);
  return article.querySelector("h1").innerText.replace("#", "").trim();
}"""
NUMBER = '<p style="font-size:8px;width:100%;text-align:center" class="pageNumber"></p>'
CONTENTS = "p{display:flex;justify-content:space-between;margin:4px 0;font:15px sans-serif}"
MARGIN = dict.fromkeys(("top", "right", "bottom", "left"), "18mm")


def printed(tab, **how) -> PdfReader:
    """What the browser shows, on paper."""
    return PdfReader(io.BytesIO(tab.pdf(format="A4", margin=MARGIN, **how)))


def contents(title: str, headings: list[str], starts: list[int]) -> str:
    """The first pages: what begins where."""
    rows = (
        f"<p><span>{html.escape(heading)}</span><span>{start}</span></p>"
        for heading, start in zip(headings, starts, strict=True)
    )
    return f"<style>{CONTENTS}</style><h1>{html.escape(title)}</h1>{''.join(rows)}"


def main() -> None:
    if not (BOOK / "index.html").exists():
        sys.exit(NO_BOOK)
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    title = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["title"]
    with sync_playwright() as playwright:
        try:
            browser = launch(playwright)
        except NoBrowser as error:
            sys.exit(str(error))
        tab, headings, parts = browser.new_page(), [], []
        for page in export.walk_toc(toc):
            tab.goto((BOOK / f"{page}.html").as_uri())
            headings.append(tab.evaluate(ALONE))
            tab.wait_for_load_state("networkidle")
            parts.append(printed(tab))
        tab.set_content(contents(title, headings, [0] * len(headings)))
        starts = [len(printed(tab).pages) + 1]
        for part in parts:
            starts.append(starts[-1] + len(part.pages))
        tab.set_content(contents(title, headings, starts[:-1]))
        parts.insert(0, printed(tab))
        tab.set_content('<p style="break-after:page">&nbsp;</p>' * (starts[-1] - 1))
        footer = dict(display_header_footer=True, header_template="<i></i>", footer_template=NUMBER)
        numbers = printed(tab, **footer)
        browser.close()
    writer = PdfWriter()
    for part in parts:
        writer.append(part)
    for page, number in zip(writer.pages, numbers.pages, strict=False):
        page.merge_page(number)
        page.compress_content_streams()
    for heading, start in zip(headings, starts, strict=False):
        writer.add_outline_item(title=heading, page_number=start - 1)
    writer.add_metadata({"/Title": title})
    writer.compress_identical_objects()
    writer.write(BOOK / "book.pdf")
    print(f"{len(writer.pages)} pages: {BOOK / 'book.pdf'}")


if __name__ == "__main__":
    main()
