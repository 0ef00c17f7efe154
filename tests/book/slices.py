"""What of a chapter an exercise needs: the statements its checker hangs on, without figures and
trainings.
"""

from __future__ import annotations

import ast
import re
import symtable
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


def names(node: ast.AST) -> tuple[set[str], set[str], set[str]]:
    """(bound, changed, used) names of a statement; of what functions use, the globals."""
    bound, used = set(), set()

    def visit(table: symtable.SymbolTable, top: bool):
        for symbol in table.get_symbols():
            if top and (symbol.is_assigned() or symbol.is_imported()):
                bound.add(symbol.get_name())
            if symbol.is_referenced() and (top or symbol.is_global()):
                used.add(symbol.get_name())
        for child in table.get_children():
            visit(child, False)

    visit(symtable.symtable(ast.unparse(node), "cell", "exec"), True)
    changed = set()
    for part in ast.walk(node) if not isinstance(node, ast.FunctionDef | ast.ClassDef) else ():
        if isinstance(part, ast.Subscript | ast.Attribute) and not isinstance(part.ctx, ast.Load):
            changed |= {n.id for n in ast.walk(part.value) if isinstance(n, ast.Name)}
        if isinstance(part, ast.Expr) and isinstance(part.value, ast.Call):  # figures.append(…)
            target = part.value.func
            if isinstance(target, ast.Attribute) and target.attr in ("append", "extend", "update"):
                changed |= {n.id for n in ast.walk(target.value) if isinstance(n, ast.Name)}
    if isinstance(node, ast.If | ast.For | ast.With | ast.AugAssign):  # may leave the old value
        bound, changed = set(), changed | bound
    return bound, changed, used


def needed(cells: list[str], wanted: str) -> str:
    """The statements of ``cells`` on which the code ``wanted`` depends, in their order."""
    statements = [node for cell in cells for node in ast.parse(cell).body]
    want = set().union(*(names(node)[2] for node in ast.parse(wanted).body))
    kept = []
    for node in reversed(statements):
        bound, changed, used = names(node)
        shown = isinstance(node, ast.Expr) and ast.unparse(node).startswith("show.")
        if (bound | changed) & want and not shown:
            want = (want - bound) | used
            kept.append(ast.unparse(node))
    return "\n".join(reversed(kept))
