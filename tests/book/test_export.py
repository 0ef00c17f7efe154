"""The exporter: MyST chapters become notebooks that read well without the book."""

import ast
import importlib.metadata
import json
import os
import re
from pathlib import Path

import export
import pytest
import run_notebook

from fflib import checks, show

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"

CHAPTER = (
    export.HEADER
    + r"""
(sec-here)=
# A chapter about $x$

Ask {eq}`eq-one` and {eq}`eq-other`, {ref}`sec-other`, {ref}`ex-one`,
{term}`so called <Gram matrix>`.
By {cite:t}`one,two`, or {cite:p}`three`; {doc}`other`, [its end](other.md#end).
Not `{eq}`, not $\{a}$.

```{math}
:label: eq-one
y = \begin{aligned} a &= b \\ c &= d \end{aligned}
```

```{code-cell} python
value = 6 * 7
value
```

+++

```{admonition} A tip
:class: tip dropdown
Inside.
```

````{exercise} The first
:label: ex-one
Show that

```{math}
:label: eq-two
a
= b
```

holds.
````

```{code-cell} python
:tags: [hide-cell]
# solution
assert value == 42
```
"""
)
OTHER = "# The other page\n\n(sec-other)=\n## A part\n\n```{math}\n:label: eq-other\nz = 1\n```\n"
NOTATION = "# Notation\n\n```{glossary}\nGram matrix\n  A matrix.\n```\n\n```{bibliography}\n```\n"
BIB = """
@article{one, author = {L{\\'e}a One}, title = {T}, journal = {J}, year = {2001}}
@article{two, author = {Two, A. and van Three, B.}, title = {T}, journal = {J}, year = {2002}}
@article{three, author = {A. Ay and B. Bee and C. Cee}, title = {T}, journal = {J}, year = {2003}}
"""
SITE = "https://me.github.io/book/"


@pytest.fixture
def project(tmp_path):
    """A book of three pages; call it with another text of the chapter to export that instead."""
    (tmp_path / "pyproject.toml").write_text(
        '[project.urls]\nRepository = "https://github.com/me/book"\n'
    )
    (tmp_path / "_toc.yml").write_text(
        "root: chapter\nchapters: [{file: other}, {file: notation}]\n"
    )
    (tmp_path / "_config.yml").write_text("bibtex_bibfiles: [references.bib]\n")
    for name, text in (("references.bib", BIB), ("other.md", OTHER), ("notation.md", NOTATION)):
        (tmp_path / name).write_text(text, encoding="utf-8")

    def cells(text=CHAPTER):
        (tmp_path / "chapter.md").write_text(text, encoding="utf-8")
        export.export(tmp_path)
        return json.loads((tmp_path / "chapter.ipynb").read_text(encoding="utf-8"))["cells"]

    return cells


def text_of(cells):
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def test_equations_carry_their_number(project):
    text = text_of(project())
    assert r"\end{aligned}" + "\n\\tag{1}\n$$" in text
    assert "Ask (1) and [(1)](" + SITE + "other.html#equation-eq-other) of “The other page”" in text


def test_mathematics_in_a_quotation_is_one_line(project):
    assert r"> $$ a = b \tag{2} $$" in text_of(project())


def test_references_become_links(project):
    text = text_of(project())
    assert f"[A part]({SITE}other.html#sec-other)" in text
    assert f"[Exercise 1]({SITE}chapter.html#ex-one)" in text
    assert f"[so called]({SITE}notation.html#term-Gram-matrix)" in text
    assert f"[The other page]({SITE}other.html), [its end]({SITE}other.html#end)" in text


def test_citations_name_authors_and_year(project):
    text, page = text_of(project()), f"({SITE}notation.html)"
    assert f"[One (2001)]{page}, [Two and van Three (2002)]{page}" in text
    assert f"([Ay et al., 2003]{page})" in text


def test_code_spans_and_inline_mathematics_are_left_alone(project):
    assert r"Not `{eq}`, not $\{a}$." in text_of(project())


def test_nothing_of_myst_is_left(project):
    text = text_of(project())
    assert "```" not in text and ")=" not in text and not re.search(r"\{[\w:]+\}`[^`]+`", text)


def test_dropdowns_and_exercises(project):
    text = text_of(project())
    assert "<details>\n<summary><b>A tip</b></summary>\n\nInside.\n\n</details>" in text
    assert "> **Exercise 1 (The first)**\n>\n> Show that" in text


def test_first_cell_installs_only_what_is_missing(project):
    first = project()[0]
    source = "".join(first["source"])
    ast.parse(source)
    assert first["cell_type"] == "code" and first["metadata"]["cellView"] == "form"
    assert 'find_spec("fflib") is None' in source and "git+https://github.com/me/book" in source


@pytest.mark.parametrize(
    ("version", "flags"), [("0.7.2", "--a --xla_cpu_use_xnnpack=false"), ("0.10.2", "--a")]
)
def test_first_cell_works_around_a_mistake_of_two_releases(project, monkeypatch, version, flags):
    """jaxlib 0.7.2, which Colab has, keeps what it packed of a matrix by its address alone."""
    monkeypatch.setenv("XLA_FLAGS", "--a")
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    setup = "".join(project()[0]["source"]).split("import jax\n")[0]
    exec(setup, {})  # up to where jax is imported
    assert os.environ["XLA_FLAGS"] == flags
    assert (
        str(checks.FORGETFUL).replace("'", '"') in setup and checks.SWITCH in setup
    )  # those of which the library warns


def test_solutions_are_hidden(project):
    last = project()[-1]
    assert last["metadata"]["jupyter"] == {"source_hidden": True}
    assert last["metadata"]["cellView"] == "form"
    assert "".join(last["source"]) == "# @title Solution\nassert value == 42"


def test_valid_and_the_same_every_time(project):
    nbformat = pytest.importorskip("nbformat")
    once = project()
    assert once == project()
    notebook = nbformat.from_dict(
        {"cells": once, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    )
    nbformat.validate(notebook)
    assert all(
        c["outputs"] == [] and c["execution_count"] is None
        for c in once
        if c["cell_type"] == "code"
    )


def test_an_unchanged_cell_keeps_its_id(project):
    before = {c["id"] for c in project()}
    after = {c["id"] for c in project(CHAPTER.replace("+++", "A new paragraph.\n\n+++"))}
    assert len(before - after) <= 1


@pytest.mark.parametrize(
    "text, line, says",
    [
        ("```{figure} x.png\n```", 8, "unknown directive {figure}"),
        ("Text,\nand {kbd}`x`.", 9, "unknown role {kbd}"),
        ("{eq}`eq-none`", 8, "no equation is labelled 'eq-none'"),
        ("{ref}`none`", 8, "nothing is labelled 'none'"),
        ("{cite:t}`none`", 8, "no bibliography has the key 'none'"),
        ("{doc}`none`", 8, "no page 'none'"),
        ("{term}`none`", 8, "no glossary has the term 'none'"),
        ("![picture](a.png)", 8, "pictures come from code cells"),
        ("```{note}\nNever closed.", 8, "never closed"),
        (":::{note}\nText.\n:::", 8, "with backticks"),
        ("```{note}\nSome\n{kbd}`x`\n```", 10, "unknown role {kbd}"),
        ("```{code-cell} python\n:tags: [hidden]\n1\n```", 8, "unknown tag ['hidden']"),
    ],
)
def test_the_unknown_is_an_error_with_file_and_line(project, text, line, says):
    with pytest.raises(export.ExportError) as error:
        project(f"{export.HEADER}\n# Title\n{text}\n")
    assert f"chapter.md:{line}: " in str(error.value) and says in str(error.value)


def test_the_notebook_runs_without_jupyter(project, tmp_path, monkeypatch, capsys):
    project()
    monkeypatch.setenv("FFLIB_OUT", "restored afterwards")
    monkeypatch.setitem(run_notebook.sys.modules, "__main__", run_notebook.sys.modules["__main__"])
    assert run_notebook.run_into(tmp_path / "chapter.ipynb", tmp_path / "out")
    assert "42" in (tmp_path / "out" / "log.txt").read_text()
    assert json.loads((tmp_path / "out" / "run.json").read_text())["passed"] is True


def test_a_failing_cell_is_named(project, tmp_path, monkeypatch, capsys):
    project(CHAPTER.replace("value = 6 * 7", "value = 1 / 0"))
    monkeypatch.setenv("FFLIB_OUT", "restored afterwards")
    monkeypatch.setitem(run_notebook.sys.modules, "__main__", run_notebook.sys.modules["__main__"])
    assert not run_notebook.run_into(tmp_path / "chapter.ipynb", tmp_path / "out")
    assert "chapter.ipynb, code cell 2 of 3: ZeroDivisionError" in capsys.readouterr().err


DOUBTFUL = """from fflib import show
show.check("two is more", 2 > 1, "by 1")
show.check("one is more", 1 > 2)
value = 6 * 7"""


@pytest.mark.parametrize("scale", ["quick", "full"])
def test_at_full_scale_a_claim_that_does_not_hold_stops_nothing(
    project, tmp_path, monkeypatch, capsys, scale
):
    project(CHAPTER.replace("value = 6 * 7", DOUBTFUL))
    monkeypatch.setenv("FFLIB_OUT", "restored afterwards")
    monkeypatch.setenv("FFLIB_SCALE", scale)
    monkeypatch.setattr(run_notebook, "RECORDS", tmp_path / "kept")
    monkeypatch.setitem(run_notebook.sys.modules, "__main__", run_notebook.sys.modules["__main__"])
    before = show.check
    assert not run_notebook.run_into(tmp_path / "chapter.ipynb", tmp_path / "out", keep=True)
    assert show.check is before
    told = json.loads((tmp_path / "out" / "run.json").read_text())
    said = (tmp_path / "out" / "log.txt").read_text()
    first, second = (
        dict(claim=c, detail=d, held=h)
        for c, d, h in (("two is more", "by 1", True), ("one is more", "", False))
    )
    assert told["claims"] == ([first, second] if scale == "full" else [first])
    assert ("✗ one is more\n" in said, "\n42\n" in said) == (scale == "full",) * 2
    assert (tmp_path / "kept" / "chapter.json").exists() == (scale == "full")


# ---------------------------------------------------------------- this book


def test_this_books_notebooks_are_up_to_date(tmp_path):
    out_of_date = [path.relative_to(ROOT).as_posix() for path in export.export(check=True)]
    assert not out_of_date, f"{out_of_date}: run `make sync`"


@pytest.mark.built
def test_numbers_and_anchors_are_those_of_the_built_book():
    if not (HTML / "index.html").exists():
        pytest.skip("the book is not built: make book")
    book = export.Book(ROOT)
    for page in book.pages.values():
        html = (HTML / f"{page.name}.html").read_text(encoding="utf-8")
        shown = re.findall(r'class="eqno">\(([\d.]+)\)', html)
        assert shown == [book.numbers[label] for kind, label in page.numbered if kind == "eq"], (
            page.name
        )
        titles = re.findall(r'caption-number">Exercise ([\d.]+) ', html)
        assert titles == [
            book.numbers[label] for kind, label in page.numbered if kind == "exercise"
        ], page.name
        anchors = [*page.terms.values(), *map(export.make_id, page.anchors)]
        anchors += [
            ("equation-" if kind == "eq" else "") + export.make_id(label)
            for kind, label in page.numbered
        ]
        missing = [anchor for anchor in anchors if f'id="{anchor}"' not in html]
        assert not missing, f"{page.name}: {missing}"


def test_setup_cell_leaves_an_installed_library_alone(monkeypatch):
    source = export.SETUP.format(repository="https://github.com/me/book")
    calls = []
    monkeypatch.setattr("subprocess.run", lambda *a, **k: calls.append(a))
    exec(compile(source, "setup", "exec"), {})
    assert calls == []
