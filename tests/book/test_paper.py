"""The paper-to-book index: nothing is missing, and every chapter, function and test it names is
there.
"""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
from pathlib import Path

import export
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
INDEX = yaml.safe_load((ROOT / "book" / "reference" / "paper.yml").read_text(encoding="utf-8"))
BOOK = export.Book(ROOT)
# Tancik et al. (2020), main text and supplement, as numbered on arXiv
COUNTS = {"equations": 22, "figures": 19, "tables": 7}

ENTRIES = [
    pytest.param(entry, id=f"{part[:-1]} {entry['number']}")
    for part in INDEX
    for entry in INDEX[part]
]
each_entry = pytest.mark.parametrize("entry", ENTRIES)


def known_tests(file: str) -> set[str]:
    (path,) = (ROOT / "tests").rglob(f"test_{file}.py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("part", COUNTS)
def test_nothing_of_the_paper_is_missing(part):
    assert [entry["number"] for entry in INDEX[part]] == list(range(1, COUNTS[part] + 1))
    assert list(INDEX) == list(COUNTS)


@each_entry
def test_an_entry_is_whole(entry):
    assert set(entry) - {"eq"} == {"number", "what", "in", "code", "proof"}
    assert entry["what"] and entry["code"] and entry["proof"]


@each_entry
def test_its_chapter_is_there(entry):
    page = BOOK.pages.get(f"book/{entry['in']}")
    assert page is not None, f"there is no chapter {entry['in']}"
    if "eq" in entry:
        assert ("eq", entry["eq"]) in page.numbered, f"{entry['in']} has no equation {entry['eq']}"


@each_entry
def test_its_functions_are_there_and_documented(entry):
    for name in entry["code"]:
        thing = pkgutil.resolve_name(f"fflib.{name}")
        assert thing.__doc__, name
        module = inspect.getmodule(thing).__name__
        pages = [p.source for n, p in BOOK.pages.items() if n.startswith("book/reference/api/")]
        assert any(f"{module}\n" in page for page in pages), f"{module} is not in the reference"


@each_entry
def test_its_tests_are_there(entry):
    for proof in entry["proof"]:
        file, test = proof.split("::")
        assert f"test_{test}" in known_tests(file), proof


@each_entry
def test_its_chapter_uses_its_functions(entry):
    """The chapter named is the one that shows it: a function of the entry occurs in it."""
    page = BOOK.pages.get(f"book/{entry['in']}")
    if page is None:
        pytest.skip(f"{entry['in']} is still to be written")
    used = {name.split(".")[-1].lower() for name in entry["code"]}
    assert any(re.search(rf"\b{name}\b", page.source.lower()) for name in used), entry["code"]
