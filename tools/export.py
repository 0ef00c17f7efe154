"""Write every chapter's `.ipynb` beside its `.md` source: `make sync`.

The `.md` files (MyST Markdown notebooks) are the only source; this is a one-way street. The book's
own constructs become plain Markdown, so that the notebook reads well in Jupyter and on Colab:
equations carry the number they have in the book, cross-references and citations become links into
the published book, exercises and notes become quotations, and an install cell comes first.

    python tools/export.py            write every notebook
    python tools/export.py --check    write nothing, fail when one is out of date

A construct that is not known here is an error that names the file and the line.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import posixpath
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
HEADER = """---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
---
"""
CODE_TAGS = {"hide-input", "hide-cell", "remove-input", "hide-output"}
ROLES = {"eq", "cite:t", "cite:p", "doc", "ref", "term"}
SETUP = """# @title Set up (run this first)
import importlib.metadata
import importlib.util
import os
import sys
from subprocess import run

if importlib.util.find_spec("fflib") is None:  # installs only what is missing
    library = "fourier-features-hands-on[meshes,volumes]"
    library = f"{{library}} @ git+{repository}"
    run([sys.executable, "-m", "pip", "install", "-q", library], check=True)
    importlib.invalidate_caches()
# these versions may multiply by an old matrix on a CPU
if importlib.metadata.version("jaxlib") in ("0.7.2", "0.8.0", "0.8.1"):
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = flags + " --xla_cpu_use_xnnpack=false"

import jax

from fflib import show

print(f"jax {{jax.__version__}}, {{jax.devices()[0].device_kind}}, {{show.scale()}}")"""


class ExportError(Exception):
    """A construct the exporter does not know, with the file and line where it stands."""


# ---------------------------------------------------------------- the parts of a page


@dataclass
class Block:
    """A piece of a page: `kind` is "text", "fence", "math", "code-cell", "break" or a directive."""

    kind: str
    lines: list[str]
    line: int  # 1-based line of the source where the block starts
    argument: str = ""
    options: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> str:
        return "\n".join(self.lines)


FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<rest>.*)$")


def blocks(lines: list[str], first: int, where: str) -> Iterator[Block]:
    """Cut `lines`, the first of which is line number `first` of file `where`, into blocks."""
    text, start, i = [], first, 0

    def flush() -> Iterator[Block]:
        nonlocal text
        if any(line.strip() for line in text):
            yield Block("text", text, start)
        text = []

    while i < len(lines):
        line, number = lines[i], first + i
        if line.startswith(":::"):
            raise ExportError(f"{where}:{number}: write directives with backticks, not with ':::'")
        fence = FENCE.match(line)
        if fence or line.strip() == "$$":
            if not text:
                start = number
            closing = (
                f"^ *{fence['fence'][0]}{{{len(fence['fence'])},}} *$" if fence else r"^ *\$\$ *$"
            )
            end = next((j for j in range(i + 1, len(lines)) if re.match(closing, lines[j])), None)
            if end is None:
                raise ExportError(f"{where}:{number}: {line.strip()!r} is never closed")
            name = re.match(r"^\{([\w:-]+)\} *(.*)$", fence["rest"].strip()) if fence else None
            if name is None:  # a plain code block or $$ … $$: text that nobody looks into
                yield from flush()
                yield Block("fence", lines[i : end + 1], number)
            else:
                yield from flush()
                body, options, j = lines[i + 1 : end], {}, 0
                while j < len(body) and (option := re.match(r"^ *:([\w-]+): *(.*)$", body[j])):
                    options[option[1]] = option[2].strip()
                    j += 1
                while j < len(body) and not body[j].strip():
                    j += 1
                yield Block(name[1], body[j:], number, name[2].strip(), options)
            i, start = end + 1, first + end + 1
            continue
        if re.match(r"^\+\+\+( |$)", line):
            yield from flush()
            yield Block("break", [], number)
        elif not line.startswith("% "):
            if not text:
                start = number
            text.append(line)
        i += 1
    yield from flush()


@dataclass
class Page:
    """One `.md` file: its blocks and everything that other pages may refer to."""

    name: str  # path from the root without ".md", as in _toc.yml
    source: str
    title: str = ""
    is_notebook: bool = False
    blocks: list[Block] = field(default_factory=list)
    anchors: dict[str, str] = field(default_factory=dict)  # label -> text of the heading under it
    terms: dict[str, str] = field(default_factory=dict)  # glossary term -> its anchor
    numbered: list[tuple[str, str]] = field(default_factory=list)  # ("eq" or "exercise", label)

    @property
    def file(self) -> str:
        return f"{self.name}.md"

    @classmethod
    def read(cls, root: Path, name: str) -> Page:
        source = (root / f"{name}.md").read_text(encoding="utf-8")
        page = cls(name, source)
        lines, first = source.split("\n"), 1
        if lines[0] == "---":
            end = lines.index("---", 1)
            page.is_notebook = "kernelspec" in "\n".join(lines[:end])
            lines, first = lines[end + 1 :], end + 2
        page.blocks = list(blocks(lines, first, page.file))
        page._collect(page.blocks)
        return page

    def _collect(self, parts: list[Block]) -> None:
        for block in parts:
            if block.kind == "text":
                label = None
                for line in block.lines:
                    heading = re.match(r"^#{1,6} +(.*?) *#*$", line)
                    if mark := re.match(r"^\(([^)\s]+)\)= *$", line):
                        label = mark[1]
                    elif heading:
                        self.title = self.title or heading[1]
                        if label:
                            self.anchors[label] = heading[1]
                        label = None
            elif block.kind == "math" and "label" in block.options:
                self.numbered.append(("eq", block.options["label"]))
            elif block.kind == "exercise":
                if "label" not in block.options:
                    raise ExportError(f"{self.file}:{block.line}: an exercise needs a :label:")
                self.numbered.append(("exercise", block.options["label"]))
                self._collect(inside(block, self.file))
            elif block.kind in ("admonition", "note"):
                self._collect(inside(block, self.file))
            elif block.kind == "glossary":
                for term in re.findall(r"^(\S.*)\n(?::|[ \t]+\S)", block.body, re.M):
                    self.terms[term.strip()] = term_id(term.strip())


def inside(block: Block, where: str) -> list[Block]:
    """The blocks inside a directive."""
    return list(blocks(block.lines, block.line + 1 + len(block.options), where))


def make_id(label: str) -> str:
    """The HTML id that docutils makes of a label."""
    return re.sub(r"^[-0-9]+|-+$", "", re.sub(r"[^a-z0-9]+", "-", label.lower()))


def term_id(term: str) -> str:
    """The HTML id that Sphinx makes of a glossary term."""
    return "term-" + re.sub(r"[^a-zA-Z0-9._]+", "-", term).rstrip("-")


# ---------------------------------------------------------------- the whole book


class Book:
    """Every page in the order of `_toc.yml`, the equation numbers, the bibliography."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
        config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
        self.sphinx = (config.get("sphinx") or {}).get("config") or {}
        self.bib_files = config.get("bibtex_bibfiles") or []
        self.repository = repository(root)
        self.site = site(self.repository)
        names = [name for name in walk_toc(toc) if (root / f"{name}.md").exists()]
        self.pages = {name: Page.read(root, name) for name in names}
        numbered = [p for p in toc.get("parts") or [] if p.get("numbered")]
        names = [name for part in numbered for name in walk_toc(part)]
        self.chapters = {name: f"{k}." for k, name in enumerate(names, 1)}
        self.numbers = self._number()
        self.equations = {
            label: page
            for page in self.pages.values()
            for kind, label in page.numbered
            if kind == "eq"
        }
        self.bibliography_page = next(
            (p for p in self.pages.values() if any(b.kind == "bibliography" for b in p.blocks)),
            None,
        )

    def notebooks(self) -> list[Page]:
        return [page for page in self.pages.values() if page.is_notebook]

    def _number(self) -> dict[str, str]:
        """The numbers the built book shows: 4.1, 4.2, … in chapter 4; on pages without a number
        equations count from 1 on each, exercises run on. A test compares them with the built pages.
        """
        numbers: dict[str, str] = {}
        exercises: Counter[str] = Counter()
        for page in self.pages.values():
            chapter = self.chapters.get(page.name, "")
            equations = 0
            for kind, label in page.numbered:
                if label in numbers:
                    raise ExportError(f"{page.file}: the label {label!r} is used twice")
                equations += kind == "eq"
                exercises[chapter] += kind == "exercise"
                numbers[label] = chapter + str(equations if kind == "eq" else exercises[chapter])
        return numbers

    @functools.cached_property
    def references(self) -> dict[str, tuple[str, str]]:
        """Citation key -> (authors as in running text, year)."""
        from pybtex.database import parse_file
        from pybtex.richtext import Text

        found = {}
        for file in self.bib_files:
            for key, entry in parse_file(
                str(self.root / file), bib_format="bibtex"
            ).entries.items():
                persons = entry.persons.get("author") or entry.persons.get("editor") or []
                names = [
                    str(Text(" ").join(p.rich_prelast_names + p.rich_last_names)) for p in persons
                ]
                who = names[0] if names else key
                if len(names) == 2:
                    who = f"{names[0]} and {names[1]}"
                elif len(names) > 2:
                    who = f"{names[0]} et al."
                found[key] = (who, entry.fields.get("year", "n.d."))
        return found

    def url(self, page: Page, anchor: str = "") -> str:
        return f"{self.site}{page.name}.html" + (f"#{anchor}" if anchor else "")


def walk_toc(toc: dict) -> Iterator[str]:
    """The pages of a table of contents in reading order."""
    for key in ("root", "file"):
        if key in toc:
            yield toc[key].removesuffix(".md")
    for key in ("parts", "chapters", "sections"):
        for entry in toc.get(key) or []:
            yield from walk_toc(entry)


def repository(root: Path = ROOT) -> str:
    """The address of the repository: pyproject.toml is the one place it is read from."""
    with open(root / "pyproject.toml", "rb") as file:
        return tomllib.load(file)["project"]["urls"]["Repository"]


def site(repository: str) -> str:
    """The published book of https://github.com/OWNER/REPO: https://OWNER.github.io/REPO/"""
    owner, repo = repository.rstrip("/").split("/")[-2:]
    return f"https://{owner}.github.io/{repo}/"


# ---------------------------------------------------------------- MyST to plain Markdown


# A code span, inline mathematics, a role or a link: whatever comes first.
INLINE = re.compile(
    r"\{(?P<role>[a-zA-Z][\w:+-]*)\}`(?P<target>[^`]+)`"
    r"|(?P<code>(?P<tick>`+)(?!`).*?(?<!`)(?P=tick)(?!`))"
    r"|(?P<math>\$\$.*?\$\$|(?<!\\)\$(?!\s).*?(?<![\\\s])\$)"
    r"|(?P<bang>!?)\[(?P<text>(?:[^\[\]`]|`[^`]*`)*)\]\((?P<link>[^)\s]+)\)",
    re.S,
)


class Converter:
    """Turns the blocks of one page into the cells of its notebook."""

    def __init__(self, book: Book, page: Page) -> None:
        self.book, self.page = book, page

    def fail(self, line: int, message: str) -> ExportError:
        return ExportError(f"{self.page.file}:{line}: {message}")

    # -- inline

    def inline(self, text: str, line: int) -> str:
        def replace(match: re.Match) -> str:
            at = line + text.count("\n", 0, match.start())
            if match["role"]:
                return self.role(match["role"], match["target"], at)
            if match["link"] is not None:
                return self.link(match, at)
            return match[0]

        return INLINE.sub(replace, text)

    def link(self, match: re.Match, line: int) -> str:
        target, _, anchor = match["link"].partition("#")
        if re.match(r"^(https?:|mailto:|$)", target) and not match["bang"]:
            return f"[{self.inline(match['text'], line)}]({match['link']})"
        if match["bang"] or not target.endswith(".md"):
            raise self.fail(
                line,
                f"{match[0]!r}: link to the web or to a page's .md; pictures come from code cells",
            )
        page = self.find(target.removesuffix(".md"), line)
        return f"[{self.inline(match['text'], line)}]({self.book.url(page, anchor)})"

    def find(self, target: str, line: int) -> Page:
        """The page that `target` names from here (a leading / counts from the root)."""
        name = (
            target.lstrip("/")
            if target.startswith("/")
            else posixpath.normpath(posixpath.join(posixpath.dirname(self.page.name), target))
        )
        if name not in self.book.pages:
            raise self.fail(line, f"there is no page {name!r} in _toc.yml")
        return self.book.pages[name]

    def role(self, role: str, content: str, line: int) -> str:
        if role not in ROLES:
            raise self.fail(line, f"unknown role {{{role}}}; known: {', '.join(sorted(ROLES))}")
        content = " ".join(content.split())
        if role.startswith("cite:"):
            return self.cite(role, content, line)
        own = re.match(r"^(.*\S)\s*<([^<>]+)>$", content)
        text, target = (own[1], own[2]) if own else (None, content)
        if role == "doc":
            page = self.find(target, line)
            return f"[{text or page.title}]({self.book.url(page)})"
        if role == "eq":
            page = self.book.equations.get(target)
            if page is None:
                raise self.fail(line, f"no equation is labelled {target!r}")
            shown = f"({self.book.numbers[target]})"
            if page is self.page:
                return shown
            url = self.book.url(page, "equation-" + make_id(target))
            return f"[{shown}]({url}) of “{page.title}”"
        if role == "ref":
            for page in self.book.pages.values():
                if target in page.anchors:
                    return (
                        f"[{text or page.anchors[target]}]({self.book.url(page, make_id(target))})"
                    )
                if ("exercise", target) in page.numbered:
                    shown = text or f"Exercise {self.book.numbers[target]}"
                    return f"[{shown}]({self.book.url(page, make_id(target))})"
            raise self.fail(line, f"nothing is labelled {target!r}")
        for page in self.book.pages.values():  # term
            for term, anchor in page.terms.items():
                if term.lower() == target.lower():
                    return f"[{text or target}]({self.book.url(page, anchor)})"
        raise self.fail(line, f"no glossary has the term {target!r}")

    def cite(self, role: str, content: str, line: int) -> str:
        shown = []
        for key in (part.strip() for part in content.split(",")):
            if key not in self.book.references:
                raise self.fail(line, f"no bibliography has the key {key!r}")
            who, year = self.book.references[key]
            text = f"{who} ({year})" if role == "cite:t" else f"{who}, {year}"
            form = self.book.sphinx.get("bibtex_cite_id")
            anchor = make_id(form.format(key=key, bibliography_count=1)) if form else ""
            page = self.book.bibliography_page
            shown.append(f"[{text}]({self.book.url(page, anchor)})" if page else text)
        return ", ".join(shown) if role == "cite:t" else f"({'; '.join(shown)})"

    # -- blocks

    def markdown(self, block: Block, quoted: bool = False) -> str:
        """Plain Markdown for one block. In a quotation mathematics stays on one line: Jupyter
        would read the quotation marks of further lines as part of it."""
        if block.kind == "text":
            text = self.inline(block.body, block.line)
            return re.sub(r"^\([^)\s]+\)= *\n", "", text, flags=re.M).strip("\n")
        if block.kind == "fence":
            body = block.body
            return " ".join(body.split()) if quoted and body.lstrip().startswith("$$") else body
        if block.kind == "math":
            tex = block.body.strip()
            label = block.options.get("label")
            tag = rf"\tag{{{self.book.numbers[label]}}}" if label else ""
            parts = ["$$", tex, tag, "$$"]
            return (" " if quoted else "\n").join(
                " ".join(p.split()) if quoted else p for p in parts if p
            )
        if block.kind in ("admonition", "note"):
            return self.admonition(block)
        if block.kind == "exercise":
            number = self.book.numbers[block.options["label"]]
            title = f" ({self.inline(block.argument, block.line)})" if block.argument else ""
            return self.quotation(f"Exercise {number}{title}", block)
        if block.kind == "nb-exec-table":
            return f"*(A table in the [published page]({self.book.url(self.page)}).)*"
        raise self.fail(block.line, f"unknown directive {{{block.kind}}}")

    def admonition(self, block: Block) -> str:
        if block.kind == "note" and block.argument:
            raise self.fail(block.line, "{note} takes no title; use {admonition} Title")
        title = self.inline(block.argument, block.line) or "Note"
        if "dropdown" in block.options.get("class", "").split():
            body = self.join(inside(block, self.page.file))
            summary = re.sub(r"\*\*?(.+?)\*\*?", r"\1", title)
            return f"<details>\n<summary><b>{summary}</b></summary>\n\n{body}\n\n</details>"
        return self.quotation(title, block)

    def quotation(self, title: str, block: Block) -> str:
        body = self.join(inside(block, self.page.file), quoted=True)
        lines = f"**{title}**\n\n{body}".rstrip().split("\n")
        return "\n".join(f"> {line}".rstrip() for line in lines)

    def join(self, parts: list[Block], quoted: bool = False) -> str:
        return "\n\n".join(self.markdown(part, quoted) for part in parts)

    # -- cells

    def cells(self) -> list[dict]:
        cells, text = [setup_cell(self.book.repository)], []

        def flush() -> None:
            if text:
                source = self.join(text)
                if not cells[1:]:  # the page's first words: say where the book is
                    source += (
                        f"\n\n*This notebook is a page of a book:"
                        f" [read it online]({self.book.url(self.page)}).*"
                    )
                cells.append({"cell_type": "markdown", "metadata": {}, "source": source})
                text.clear()

        for block in self.page.blocks:
            if block.kind == "code-cell":
                flush()
                cells.append(self.code_cell(block))
            elif block.kind == "break":
                flush()
            else:
                text.append(block)
        flush()
        return cells

    def code_cell(self, block: Block) -> dict:
        if unknown := set(block.options) - {"tags"}:
            raise self.fail(block.line, f"unknown option {sorted(unknown)} of a code cell")
        tags = yaml.safe_load(block.options.get("tags", "[]"))
        if unknown := set(tags) - CODE_TAGS:
            raise self.fail(
                block.line, f"unknown tag {sorted(unknown)}; known: {sorted(CODE_TAGS)}"
            )
        source, metadata = block.body.strip("\n"), {}
        if tags:
            metadata["tags"] = tags
        if {"hide-input", "hide-cell", "remove-input"} & set(tags):
            metadata |= {"cellView": "form", "jupyter": {"source_hidden": True}}
            first, _, rest = source.partition("\n")
            if comment := re.match(r"^# *([^!%@ ].*)$", first):
                source = f"# @title {comment[1][0].upper()}{comment[1][1:]}\n{rest}"
            else:
                check = re.match(r"def check_", source)
                source = f"# @title {'The check' if check else 'Code'}\n{source}"
        return code(source, metadata)


def code(source: str, metadata: dict) -> dict:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": metadata,
        "outputs": [],
        "source": source,
    }


def setup_cell(repository: str) -> dict:
    return code(
        SETUP.format(repository=repository),
        {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["setup"]},
    )


def notebook(book: Book, page: Page) -> str:
    """The text of the `.ipynb` of `page`. Ids come from what a cell says, so that an unchanged cell
    keeps its id."""
    cells, seen = Converter(book, page).cells(), {}
    for cell in cells:
        key = hashlib.sha256((cell["cell_type"] + cell["source"]).encode()).hexdigest()[:12]
        seen[key] = seen.get(key, 0) + 1
        cell["id"] = key if seen[key] == 1 else f"{key}-{seen[key]}"
        cell["source"] = cell["source"].splitlines(keepends=True)
    content = {
        "cells": [dict(sorted(cell.items())) for cell in cells],
        "metadata": {
            "colab": {"provenance": [], "toc_visible": True},
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def export(root: Path = ROOT, check: bool = False) -> list[Path]:
    """Write the notebooks (or, with `check`, only look); returns those that changed or would."""
    book, changed, errors = Book(root), [], []
    for page in book.notebooks():
        target = root / f"{page.name}.ipynb"
        try:
            text = notebook(book, page)
        except ExportError as error:
            errors.append(str(error))
            continue
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            changed.append(target)
            if not check:
                target.write_text(text, encoding="utf-8", newline="\n")
    if errors:  # the other notebooks are written all the same
        raise ExportError("\n".join(errors))
    return changed


def main() -> int:
    parser = argparse.ArgumentParser(description="Write every chapter's .ipynb from its .md.")
    parser.add_argument("--check", action="store_true", help="only say what is out of date")
    options = parser.parse_args()
    try:
        changed = export(check=options.check)
    except ExportError as error:
        print(error, file=sys.stderr)
        return 1
    for path in changed:
        print(f"{'out of date' if options.check else 'wrote'}: {path.relative_to(ROOT)}")
    if options.check and changed:
        print("Run `make sync` and commit the notebooks.", file=sys.stderr)
        return 1
    if not changed:
        print("every notebook is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
