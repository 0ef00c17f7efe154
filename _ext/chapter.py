"""Chapters have numbers, and so have their figures; a line under the title says what to expect.

The line tells the minutes that reading takes, the seconds that the cells ran on two cores, from
`book/seconds.json` where that is (made by `tools/seconds.py` after an idle build), and where
the chapter opens on Colab. Pages of the short path (the first part of `_toc.yml`) say there and at
their foot how far the reader has come, those of the part "Deeper" that they can be skipped. The
front page's link to the first chapter has its number and minutes, too.
"""

from __future__ import annotations

import json
import posixpath
from html import escape
from pathlib import Path

import yaml
from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

WORDS_A_MINUTE = 220
SHORT, DEEPER = "The short path", "Deeper"
CAPTION = '<figcaption class="ff-caption">'


def number(env, docname: str) -> str:
    """A chapter's number, "" for a page that has none."""
    found = env.toc_secnumbers.get(docname, {}).get("", ())
    return ".".join(map(str, found))


def minutes(document: nodes.document) -> int:
    """How long the text takes to read, exercises not counted."""
    sections = [s for s in document.findall(nodes.section) if s[0].astext() == "Exercises"]
    later = {id(text) for section in sections for text in section.findall(nodes.paragraph)}
    texts = [text for text in document.findall(nodes.paragraph) if id(text) not in later]
    return max(1, round(sum(len(text.astext().split()) for text in texts) / WORDS_A_MINUTE))


def parts(root: Path) -> dict[str, list[str]]:
    """The pages of each part of the contents."""
    contents = yaml.safe_load(Path(root, "_toc.yml").read_text(encoding="utf-8"))
    return {p["caption"]: [c["file"] for c in p["chapters"]] for p in contents.get("parts", [])}


def place(name: str, contents: dict[str, list[str]]) -> str:
    """Where a page stands: "short path 5 of 9", "deeper, can be skipped", or "" elsewhere."""
    path, deeper = contents.get(SHORT, []), contents.get(DEEPER, [])
    if name in path:
        return f"short path {path.index(name) + 1} of {len(path)}"
    return "deeper, can be skipped" if name in deeper else ""


def foot(name: str, contents: dict[str, list[str]]) -> tuple[str, str]:
    """The words at the foot of a page of the short path and the page that comes next, or ""."""
    path = contents.get(SHORT, [])
    if name not in path:
        return "", ""
    at = path.index(name) + 1
    words = f"Short path {at} of {len(path)} · "
    return (words + "next: ", path[at]) if at < len(path) else (words + "you are there.", "")


def line(read: int, ran: int | None, notebook: str, where: str = "") -> str:
    """The line under a title, as HTML."""
    told = [f"{read} min to read", *([f"{ran} s to run"] if ran else [])]
    told += [where] if where else []
    told += [f'<a class="reference external" href="{notebook}">Colab</a>'] if notebook else []
    return f'<p class="chapter-line">{" · ".join(told)}</p>'


class Chapter(SphinxPostTransform):
    """Runs before cells are taken apart (190), when the form of each output is chosen (4)."""

    default_priority = 189
    formats = ("html",)

    def run(self, **kwargs) -> None:
        name = self.env.docname
        chapter = number(self.env, name)
        if not chapter:
            return
        kept = Path(self.env.srcdir, "book", "seconds.json")
        seconds = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
        address = self.config.html_theme_options.get("repository_url", "")
        colab = address.replace("https://github.com/", "https://colab.research.google.com/github/")
        notebook = f"{colab}/blob/main/{name}.ipynb" if colab else ""
        contents = parts(self.env.srcdir)
        read, where = minutes(self.document), place(name, contents)
        html = line(read, seconds.get(name), notebook, where)
        title = next(iter(self.document.findall(nodes.title)))
        title.parent.insert(title.parent.index(title) + 1, nodes.raw("", html, format="html"))
        self.number_figures(chapter)

    def number_figures(self, chapter: str) -> None:
        count = 0
        for output in list(self.document.findall(nodes.raw)):
            text = output.astext()
            if text.startswith("<figure") and CAPTION in text:
                count += 1
                numbered = f"{CAPTION}<strong>Figure {chapter}.{count}.</strong> "
                output[:] = [nodes.Text(text.replace(CAPTION, numbered))]


class Start(SphinxPostTransform):
    """Chapters linked from a box of class "start" tell their numbers and the minutes they take."""

    default_priority = 189
    formats = ("html",)

    def run(self, **kwargs) -> None:
        for box in self.document.findall(nodes.container):
            if "start" not in box["classes"]:
                continue
            for link in box.findall(nodes.reference):
                here = posixpath.dirname(self.env.docname)
                name = posixpath.normpath(posixpath.join(here, link["refuri"]))
                name = name.removesuffix(".html")
                read = minutes(self.env.get_doctree(name))
                link.insert(0, nodes.Text(f"{number(self.env, name)} · "))
                link.append(nodes.Text(f" · {read} min"))


class Foot(SphinxPostTransform):
    """Runs when claims and answers are at the ends of their sections (190)."""

    default_priority = 195
    formats = ("html",)

    def run(self, **kwargs) -> None:
        name = self.env.docname
        words, following = foot(name, parts(self.env.srcdir))
        if not words:
            return
        link = ""
        if following:
            address = self.app.builder.get_relative_uri(name, following)
            shown = escape(self.env.titles[following].astext())
            link = f'<a class="reference internal" href="{address}">{shown}</a>'
        html = f'<p class="chapter-foot">{words}{link}</p>'
        sections = list(self.document.findall(nodes.section))
        last = [part for part in sections[0] if isinstance(part, nodes.section)][-1:] or sections
        last[0].append(nodes.raw("", html, format="html"))


def setup(app) -> dict:
    app.add_post_transform(Chapter)
    app.add_post_transform(Start)
    app.add_post_transform(Foot)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
