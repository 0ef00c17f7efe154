"""The paper-to-book index: which chapter, function and test has which equation, figure and table.

    ```{paper-index} equations

makes a table of that part of `paper.yml`, which lies beside the page. Chapters, equations and
functions become links, so that the build warns of a name that is not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import yaml
from docutils import nodes
from docutils.parsers.rst import directives
from ledger import table
from sphinx.addnodes import pending_xref
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

PARTS = ("equations", "figures", "tables")
BOOK = "book"  # the folder of the chapters


def read(path: Path) -> dict[str, list[dict]]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def sentence(proof: str) -> nodes.Node:
    """A test's name as the sentence it is, with its file."""
    file, _, test = proof.partition("::")
    cell = nodes.inline(text=f"{test.replace('_', ' ')} (")
    cell.extend([nodes.literal(text=f"test_{file}.py"), nodes.Text(")")])
    return cell


class PaperPlace(nodes.General, nodes.Element):
    """Where a part of the index will stand, once the titles of all chapters are known."""


class Index(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        part = directives.choice(self.arguments[0], PARTS)
        path = Path(self.env.doc2path(self.env.docname)).with_name("paper.yml")
        self.env.note_dependency(str(path))
        return [PaperPlace(part=part, rows=read(path)[part])]


class Fill(SphinxPostTransform):
    default_priority = 8  # before references are resolved

    def run(self, **kwargs) -> None:
        for place in list(self.document.findall(PaperPlace)):
            columns = (place["part"].title()[:-1], "Chapter", "In the library", "Proved by")
            rows = [self.row(entry) for entry in place["rows"]]
            place.replace_self(table(f"{place['part'].title()} of the paper", columns, rows))

    def row(self, entry: dict) -> list:
        return [
            f"{entry['number']}: {entry['what']}",
            self.chapter(entry),
            listed(self.function(name) for name in entry["code"]),
            listed(map(sentence, entry["proof"])),
        ]

    def chapter(self, entry: dict) -> nodes.Node:
        """The chapter's title as a link; a chapter that is not there yet as plain text."""
        docname = f"{BOOK}/{entry['in']}"
        if docname not in self.env.found_docs:
            return nodes.emphasis(text="in preparation")
        title = self.env.titles[docname].astext()
        cell = nodes.inline("", "", self.link("std", "doc", f"/{docname}", title))
        if "eq" in entry:
            cell.extend([nodes.Text(", "), self.link("math", "eq", entry["eq"], entry["eq"])])
        return cell

    def function(self, name: str) -> nodes.Node:
        link = self.link("py", "obj", f"fflib.{name}", "")
        link.children = [nodes.literal(text=name, classes=["xref", "py"])]
        return link

    def link(self, domain: str, kind: str, target: str, text: str) -> pending_xref:
        return pending_xref(
            "", nodes.inline(text=text), refdoc=self.env.docname, refdomain=domain, reftype=kind,
            reftarget=target, refexplicit=kind == "doc", refwarn=True,
        )  # fmt: skip


def listed(parts: Iterable[nodes.Node]) -> nodes.Node:
    cell = nodes.inline()
    for part in parts:
        cell.extend([nodes.Text("; "), part] if cell.children else [part])
    return cell


def setup(app) -> dict:
    app.add_node(PaperPlace)
    app.add_directive("paper-index", Index)
    app.add_post_transform(Fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
