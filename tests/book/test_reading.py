"""A book that is read to the end: its order and length, picture first, folds, guesses, names.

What of this a browser has to look at stands in `test_pages.py`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("myst_nb", reason="the tools that build the book are not installed")

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "_ext"))

import cells
import chapter
import export
from library import library_modules

BOOK = export.Book(ROOT)
CONTENTS = chapter.parts(ROOT)
PATH = CONTENTS[chapter.SHORT]
CHAPTERS = {p.name: p for p in BOOK.notebooks() if "/reference/" not in p.name}
PICTURE = re.compile(r"show\.(figure|images|slider)\(")
FOLD = re.compile("hide-(input|cell)")
SHOWS = re.compile(r"show\.(figure|images|slider|table|download|guess)|\b(print|kept|ask)\(")
SKIP = "*Deeper: this section can be skipped.*"
LONGEST_FOLD, WORDS_BEFORE, SHORT_PATH = 40, 90, 20_000

each_chapter = pytest.mark.parametrize("name", CHAPTERS)


def folded(block: export.Block) -> bool:
    """Whether a page folds a cell, or leaves it out: `_ext/cells.py` folds what only shows."""
    called = cells.calls(block.body)
    shows = [re.match(r"show\.(?!attempt)|\w+\.reveal$", name) for name in called]
    return bool(FOLD.search(block.options.get("tags", "")) or (called and all(shows)))


def in_short(page: export.Page) -> Iterator[tuple[export.Block, str]]:
    """What is to be read up to the exercises, sections that say they can be skipped left out."""
    skipped = 0  # level of the heading of such a section
    for block in page.blocks:
        if block.kind != "text":
            if block.kind == "exercise":
                return
            if not skipped:
                yield block, f"{block.argument} {block.body}"
            continue
        for part in re.split(r"^(?=#)", block.body, flags=re.M):
            level = len(re.match("#*", part)[0])
            if level and (not skipped or level <= skipped):
                skipped = level if SKIP in part else 0
            if part.startswith("## Exercises"):
                return
            if not skipped:
                yield block, part


def words_outside_folds(page: export.Page) -> int:
    """Prose, formulas and open cells; boxes that are closed are left out."""
    return sum(
        len(text.split())
        for block, text in in_short(page)
        if not (folded(block) if block.kind == "code-cell" else "dropdown" in str(block.options))
    )


def test_the_short_path_is_short():
    words = {name: words_outside_folds(BOOK.pages[name]) for name in PATH}
    assert len(PATH) == 9
    assert sum(words.values()) <= SHORT_PATH, words


@pytest.mark.parametrize("name", PATH)
def test_a_page_of_the_short_path_says_where_it_stands(name):
    words, following = chapter.foot(name, CONTENTS)
    at = PATH.index(name) + 1
    assert words.startswith(f"Short path {at} of 9 · ")
    assert following == (PATH[at] if at < 9 else "")
    assert chapter.place(name, CONTENTS) == f"short path {at} of 9"


def test_sections_that_can_be_skipped_are_marked():
    marked = [name for name in PATH if SKIP in BOOK.pages[name].source]
    assert len(marked) >= 4
    page = BOOK.pages[marked[0]]
    assert words_outside_folds(page) < len(page.source.split()) / 2


def test_what_is_deeper_says_that_it_can_be_skipped():
    for name in CONTENTS[chapter.DEEPER]:
        assert chapter.foot(name, CONTENTS) == ("", "")
        assert "can be skipped" in chapter.place(name, CONTENTS)
    assert chapter.place("book/experiments/ct", CONTENTS) == ""


@each_chapter
def test_the_picture_comes_first(name):
    """Question, figure: before it few words, and no open code."""
    words, cell = 0, None
    for block in CHAPTERS[name].blocks:
        if block.kind == "code-cell":
            cell = block
            if PICTURE.search(cell.body):
                break
            assert folded(cell), f"{name}.md:{cell.line}: open code before the first figure"
        else:
            words += len(re.sub(r"^# .*$", "", block.body, flags=re.M).split())
    assert cell is not None and PICTURE.search(cell.body)
    assert words <= WORDS_BEFORE, f"{words} words before the first figure"


@pytest.mark.parametrize("name", [p.name for p in BOOK.notebooks()])
def test_a_fold_is_short_and_its_title_is_not_the_one_above_it(name):
    """The one above it: of the next fold upwards, when nothing is to be seen between the two."""
    above = None
    for block in BOOK.pages[name].blocks:
        if block.kind != "code-cell" or not folded(block):
            above = None
            continue
        lines, title = len(block.body.strip().splitlines()), cells.fold_name(block.body)
        assert lines <= LONGEST_FOLD, f"{name}.md:{block.line}: a fold of {lines} lines"
        assert title != above, f"{name}.md:{block.line}: again “{title}”"
        above = None if SHOWS.search(block.body) else title


@pytest.mark.parametrize("name", [p.name for p in BOOK.notebooks()])
def test_a_figure_has_a_caption_that_is_a_sentence(name):
    for block in BOOK.pages[name].blocks:
        if block.kind != "code-cell" or "show.figure(" not in block.body:
            continue
        for call in ast.walk(ast.parse(block.body)):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "show.figure":
                caption = [ast.unparse(k.value) for k in call.keywords if k.arg == "caption"]
                where = f"{name}.md:{block.line}"
                assert caption and re.search(r"[.?!]['\"]$", caption[0]), f"{where}: {caption}"


def test_each_option_of_a_guess_says_why_it_tempts():
    for name, page in BOOK.pages.items():
        for block in page.blocks:
            if block.kind != "code-cell" or "show.guess(" not in block.body:
                continue
            for call in ast.walk(ast.parse(block.body)):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "show.guess":
                    where = f"{name}.md:{block.line}"
                    [why] = [k.value for k in call.keywords if k.arg == "why"] or [None]
                    assert isinstance(why, ast.Dict) and len(call.args) == 1, where
                    for option, reason in zip(why.keys, why.values, strict=True):
                        said = ast.literal_eval(reason)
                        assert len(said.split()) >= 4, f"{where}: {ast.unparse(option)}"


GREEK = re.compile(
    r"\\(alpha|beta|gamma|[dD]elta|(?:var)?epsilon|zeta|eta|(?:var)?theta|Theta|kappa|[lL]ambda|mu|"
    r"nu|xi|Xi|rho|[sS]igma|tau|upsilon|(?:var)?phi|Phi|chi|[pP]si|omega|Omega|ell)(?![A-Za-z])"
)
FORMULA = re.compile(r"\$\$.*?\$\$|\$[^$]+\$", re.DOTALL)
NEVER_ELSE = {"kappa", "rho", "varepsilon", "eta", "gamma"}


def letters(blocks) -> set[str]:
    """The Greek letters of all formulas, those of boxes and exercises too."""
    found = set()
    for block in blocks:
        if block.kind in ("admonition", "note", "exercise"):
            found |= letters(export.inside(block, ""))
        elif block.kind in ("math", "fence"):
            found |= set(GREEK.findall(block.body))
        elif block.kind == "text":
            found |= {g for formula in FORMULA.findall(block.body) for g in GREEK.findall(formula)}
    return found


def test_a_letter_has_one_meaning_or_the_notation_says_where_it_has_another():
    tables, own = BOOK.pages["book/reference/notation"].source.split("### Letters with")
    everywhere = {
        g for row in re.findall(r"^\| (.*?) \|", tables, re.M) for g in GREEK.findall(row)
    }
    rows = re.findall(r"^\| (.*?) \| \{doc\}`\.\./(.*?)` \|", own, re.M)
    elsewhere = {}
    for symbols, chapter_name in rows:
        elsewhere.setdefault(f"book/{chapter_name}", set()).update(GREEK.findall(symbols))
    assert NEVER_ELSE <= everywhere and not NEVER_ELSE & set().union(*elsewhere.values())
    for page in BOOK.notebooks():
        used, declared = letters(page.blocks), elsewhere.pop(page.name, set())
        assert declared <= used, f"{page.name} no longer uses {sorted(declared - used)}"
        assert used <= everywhere | declared, f"{page.name}: {sorted(used - everywhere - declared)}"
    assert not elsewhere


NAMED = re.compile(r"Chapter:\s+(.+)", re.DOTALL)
OTHERWISE = re.compile(r"all chapters|none; used by")


def test_chapters_named_by_the_library_are_there():
    titles = {page.title for page in BOOK.pages.values()}
    titles |= {title.rstrip("?") for title in titles}
    for module in library_modules():
        source = ROOT / f"{module.replace('.', '/')}.py"
        source = source if source.exists() else ROOT / module.replace(".", "/") / "__init__.py"
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                continue
            doc = ast.get_docstring(node) or ""
            if not (found := NAMED.search(doc)):
                continue
            said = " ".join(found[1].split()).rstrip(".")
            if OTHERWISE.match(said):
                continue
            for part in said.split("; "):
                assert part.rpartition(": ")[2] in titles or part in titles, f"{module}: {said}"
