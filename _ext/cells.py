"""The chapters' cells as a page shows them.

*Claims* (`show.check`) leave the place where they were checked: a section has one quiet line, "✓ 4
claims checked", that opens. *Answers* to a guess go to the end of the section that measured them;
the pages' script takes them to their question and keeps them closed (`show.js`). The *code* of a
question is left out, and what only shows, checks or answers is folded. *Folds* say what they hold:
the cell's first comment where that is a title (# Set-up), else what its code does.
"""

from __future__ import annotations

import ast
import re

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

CLAIM, ANSWER = '<p class="ff-claim">', '<div class="ff ff-reveal'
QUESTIONS = ("show.guess", "show.guess_number", "show.guess_order")
TITLE = re.compile(r"# ([A-Z][^\n]{2,40}?)\.?$", re.MULTILINE)
NAMES = (
    (r"# solution", "Solution"),
    (r"(?s:.*)^def check_", "Checker"),
    (r"(?s:.*)show\.(figure|images|slider)\(", "How the figure is drawn"),
    (r"(?s:.*)show\.table\(", "How the table is made"),
    (r"(?s:.*)(show\.check|\.reveal)\(", "How it is checked"),
    (r"(?s:.*)\b(fit|kept|train)\(", "How it is trained"),
)


def fold_name(source: str) -> str:
    """What a folded cell holds, in a few words."""
    if title := TITLE.match(source):
        return title[1]
    return next((name for like, name in NAMES if re.match(like, source, re.M)), "Set-up")


def calls(source: str) -> list[str]:
    """The functions that a cell's statements call, if it does nothing else; else an empty list."""
    try:
        body = ast.parse(source).body
    except SyntaxError:  # a line for the shell
        return []
    values = [getattr(statement, "value", None) for statement in body]
    called = [ast.unparse(value.func) for value in values if isinstance(value, ast.Call)]
    return called if len(called) == len(body) else []


def prepare(cell: nodes.container) -> None:
    """Leave out the code that only asks, fold what only shows or checks, and name the fold."""
    code = cell.children[0]
    if not isinstance(code, nodes.Element) or code.get("nb_element") != "cell_code_source":
        return
    called = calls(code.astext())
    if called and set(called) <= set(QUESTIONS):
        cell.remove(code)
        return
    if called and all(re.match(r"show\.(?!attempt)|\w+\.reveal$", name) for name in called):
        cell["hide_mode"] = cell.get("hide_mode") or "input"
    if cell.get("hide_mode"):
        cell["prompt_show"] = cell["prompt_hide"] = fold_name(code.astext())


def section_of(node: nodes.Node) -> nodes.Element:
    """The section right below the page's title in which a node stands, or the page's own."""
    sections = []
    while node.parent is not None:
        node = node.parent
        sections += [node] * isinstance(node, nodes.section)
    return sections[-2:][0]


def take_out(output: nodes.raw) -> None:
    """Remove an output, and what held it and nothing else."""
    node: nodes.Element = output
    while len(node.parent) == 1 and isinstance(node.parent, nodes.container):
        node = node.parent
    node.parent.remove(node)


def append(section: nodes.Element, html: str) -> None:
    """Put HTML at the end of a section, before the sections of a page."""
    below = [k for k, child in enumerate(section) if isinstance(child, nodes.section)]
    section.insert(
        below[0] if below and section.parent.parent is None else len(section),
        nodes.raw("", html, format="html"),
    )


def claims_html(claims: list[str]) -> str:
    """The claims of a section as one line that opens."""
    said = "1 claim" if len(claims) == 1 else f"{len(claims)} claims"
    items = "".join(
        f"<li>{claim.removeprefix(CLAIM).removesuffix('</p>')}</li>" for claim in claims
    )
    return (
        f'<details class="ff-claims"><summary>✓ {said} checked</summary><ul>{items}</ul></details>'
    )


class Cells(SphinxPostTransform):
    """Runs when the form of each output is chosen (4) and no fold is made yet (199)."""

    default_priority = 190
    formats = ("html",)

    def run(self, **kwargs) -> None:
        for cell in list(self.document.findall(nodes.container)):
            if cell.get("nb_element") == "cell_code" and cell.children:
                prepare(cell)
        claims: dict[nodes.Element, list[str]] = {}
        for output, text in [(raw, raw.astext()) for raw in self.document.findall(nodes.raw)]:
            if text.startswith(CLAIM):
                claims.setdefault(section_of(output), []).append(text)
                take_out(output)
            elif text.startswith(ANSWER):
                section = section_of(output)
                take_out(output)
                append(section, text)
        for section, found in claims.items():
            append(section, claims_html(found))


def setup(app) -> dict:
    app.add_post_transform(Cells)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
