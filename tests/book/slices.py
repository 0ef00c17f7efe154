"""What an exercise needs of its chapter: the statements its checker hangs on, without figures."""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterator
from dataclasses import dataclass, field

import export


@dataclass
class Exercise:
    """An exercise as it stands in a chapter: label, checker, name of the answer, solution."""

    label: str
    checker: str
    stub: str
    solution: str
    before: list[str] = field(default_factory=list)  # the chapter's cells that come first

    @property
    def call(self) -> tuple[str, str]:
        """Names of the checker and of the function it checks."""
        found = re.search(r"show\.attempt\((\w+), (\w+)\)", self.stub)
        assert found, f"{self.label}: the stub does not call show.attempt"
        return found[1], found[2]


def exercises(page: export.Page) -> list[Exercise]:
    """The exercises of a chapter in order."""
    cells, found = [], []
    blocks = page.blocks
    for i, block in enumerate(blocks):
        if block.kind == "exercise":
            parts = [b.body for b in blocks[i + 1 :] if b.kind == "code-cell"][:3]
            found.append(Exercise(block.options["label"], *parts, list(cells)))
        if block.kind == "code-cell":
            cells.append(block.body)
    return found


def names_in(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def touched(part: ast.AST) -> set[str]:
    """Names of what one node changes in place: ``a[i] = …``, ``a.b = …``, ``figures.append(…)``."""
    if isinstance(part, ast.Subscript | ast.Attribute) and not isinstance(part.ctx, ast.Load):
        return names_in(part.value)
    match part:
        case ast.Expr(ast.Call(ast.Attribute(what, "append" | "extend" | "update"))):
            return names_in(what)
    return set()


def symbols(table: symtable.SymbolTable, top: bool = True) -> Iterator[tuple]:
    """(symbol, whether at the top) of a table and of all within it."""
    yield from ((symbol, top) for symbol in table.get_symbols())
    for child in table.get_children():
        yield from symbols(child, False)


def names(node: ast.AST) -> tuple[set[str], set[str], set[str]]:
    """(bound, changed, used) names of a statement; of what functions use, the globals."""
    found = list(symbols(symtable.symtable(ast.unparse(node), "cell", "exec")))
    bound = {s.get_name() for s, top in found if top and (s.is_assigned() or s.is_imported())}
    used = {s.get_name() for s, top in found if s.is_referenced() and (top or s.is_global())}
    changed = set()
    if not isinstance(node, ast.FunctionDef | ast.ClassDef):
        changed = set().union(*map(touched, ast.walk(node)))
    if isinstance(node, ast.If | ast.For | ast.With | ast.AugAssign):  # may leave the old value
        bound, changed = set(), changed | bound
    return bound, changed, used


def needed(cells: list[str], wanted: dict[int, str]) -> dict[int, str]:
    """The statements of ``cells`` on which code hangs that stands before cell n, for all n at once.

    Returns: for each n what is to be run between the one before and it.
    """
    pieces: dict[int, list[str]] = {n: [] for n in wanted}
    want, n = set(), max(wanted)
    for i in reversed(range(max(wanted) + 1)):
        if i in wanted:
            n = i
            for node in reversed(ast.parse(wanted[i]).body):
                bound, _, used = names(node)
                want = (want - bound) | used
        for node in reversed(ast.parse(cells[i - 1]).body if i else []):
            bound, changed, used = names(node)
            shown = isinstance(node, ast.Expr) and ast.unparse(node).startswith("show.")
            if (bound | changed) & want and not shown:
                want = (want - bound) | used
                pieces[n].append(ast.unparse(node))
    return {n: "\n".join(reversed(lines)) for n, lines in pieces.items()}
