"""The Sphinx extensions in `_ext/`: mathematics, execution, accessibility, downloads."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("myst_nb", reason="the tools that build the book are not installed")
pytest.importorskip("math_core", reason="the tools that build the book are not installed")

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "_ext"))

import a11y
import ahead
import cells
import downloads
import execution
import labels
import mathml
import nbformat.v4 as nb
import repository
import weight
import xla
from sphinx.errors import ConfigError

# --- Mathematics ----------------------------------------------------------------------------------

FORMULAS = (
    r"\gamma(\mathbf v) = \big[a_j \cos(2\pi\, \mathbf b_j^{\mathsf T} \mathbf v)\big]_{j=1}^m",
    r"\mathbf f_t = \mathbf y + e^{-\eta \mathbf K t}(\mathbf f_0 - \mathbf y)",
    r"\begin{aligned} a &= b \\ c &= \begin{cases} 1 & x \\ 0 & \text{no} \end{cases} \end{aligned}",
    r"\hat f(k) = \int_0^1 f(x)\, e^{-2\pi i k x}\, \mathrm d x",
    r"\mathbb E_\theta \left\lVert \nabla_{\!\theta} f \right\rVert_2^2 = \mathcal O(n \log n)",
    r"\operatorname*{arg\,min}_{\boldsymbol\theta} \tfrac12 \sum_i \bigl(f(x_i) - y_i\bigr)^2",
)


@pytest.mark.parametrize("tex", FORMULAS)
@pytest.mark.parametrize("display", [True, False])
def test_formulas_become_mathml_that_keeps_its_source(tex, display):
    result = mathml.to_mathml(tex, display)
    assert result.startswith("<math") and result.endswith("</math>")
    assert ('display="block"' in result) == display
    assert '<annotation encoding="application/x-tex">' in result


@pytest.mark.parametrize("tex", [r"\foo x", r"\frac{1}", r"\begin{aligned} a", r"{x", r"\tag{1} x"])
def test_unknown_tex_is_an_error(tex):
    with pytest.raises(mathml.UnknownTeX):
        mathml.to_mathml(tex, display=True)


@pytest.mark.parametrize("tex", [r"a \\ b", r"\begin{aligned} a \\ b \end{aligned} \\ c"])
def test_a_line_break_that_would_vanish_is_an_error(tex):
    with pytest.raises(mathml.UnknownTeX, match="aligned"):
        mathml.to_mathml(tex, display=True)


def test_a_wide_formula_may_break_at_its_gaps_but_not_within_brackets_or_environments():
    assert mathml.parts(r"a = \{b\}, \qquad c") == [r"a = \{b\}, ", " c"]
    whole = (r"{a \qquad b}", r"\left( a \qquad b \right)", r"\begin{cases} a \qquad b \end{cases}")
    assert all(mathml.parts(tex) == [tex] for tex in whole)


def test_a_bracket_with_a_script_is_as_large_as_its_partner():
    tex = r"\bigl( a \bigr)^2 + \bigl[ b \bigr]_1^2"
    rows = re.findall(
        r"<msu[bp]+(?:sup)?><mrow>(<mo [^>]*minsize[^>]*>.</mo>)</mrow>",
        mathml.to_mathml(tex, display=True),
    )
    assert [row[-6] for row in rows] == [")", "]"]


def test_a_comma_stays_with_the_formula_before_it():
    from docutils import nodes, utils

    document = utils.new_document("page")
    formulas = [nodes.math("", "x") for _ in range(3)]
    document += nodes.paragraph("", "", *formulas[:1], nodes.Text("), and "), *formulas[1:2])
    document[0] += [nodes.Text(" alone and "), formulas[2], nodes.Text("-dimensional")]
    mathml.Together(document).run()
    assert [node.astext() for node in document[0]] == [
        "x),",
        " and ",
        "x",
        " alone and ",
        "x",
        "-dimensional",
    ]


def test_the_font_has_the_characters_of_mathematics(tmp_path):
    from fontTools.ttLib import TTFont

    page, target = tmp_path / "page.html", tmp_path / mathml.FONT
    used = "xλΛγησθ∑∫∂∇≈≤∞‖⟨√𝐯𝐊𝔼𝒪𝑓𝖳"
    page.write_text(f"<p>Жж</p><math>{used}&lt;</math><p>Q</p>", encoding="utf-8")
    points = mathml.characters([page])
    assert {*map(ord, used), ord("<"), ord("𝑥"), ord("𝜆")} <= points  # <mi>x</mi> is italic
    assert not {*map(ord, "QЖ𝑄𝐱")} & points
    page.write_text(mathml.to_mathml(r"\sqrt x", display=False), encoding="utf-8")
    assert ord("√") in mathml.characters([page])  # a root is drawn with it, but has it not written
    page.write_text("<p>√</p><math><mi>x</mi></math>", encoding="utf-8")
    assert ord("√") not in mathml.characters([page])
    mathml.write_font(target, points)
    with TTFont(target) as font:
        assert points <= set(font.getBestCmap())
        assert "MATH" in font  # the table by which roots, brackets and scripts are set
    assert target.stat().st_size < 400_000


def test_a_label_of_the_bibliography_has_letters_and_no_tex():
    from pybtex.database import parse_string

    authors = (
        r"M{\"u}ller, T. and Evans, A. and Schied, C.",
        "De Rosier, D. J. and Klug, A.",
        "{A Lab}",
    )
    bib = "".join(f"@misc{{k{k}, author = {{{a}}}, year = 2022}}" for k, a in enumerate(authors))
    found = labels.AuthorYearLabels().format_labels(parse_string(bib, "bibtex").entries.values())
    assert list(found) == ["Müller et al., 2022", "De Rosier and Klug, 2022", "A Lab, 2022"]


# --- The cache ------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A small checkout, with all that the fingerprint covers."""
    monkeypatch.delenv("FFLIB_SCALE", raising=False)
    files = (
        "fflib/a.py",
        "fflib/sub/b.py",
        "fflib/worlds/assets/c.webp",
        "requirements.txt",
        "pyproject.toml",
    )
    for name in (*files, "README.md", "book/chapter.md", "fflib/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def test_nothing_changed_nothing_executed(checkout):
    assert execution.fingerprint(checkout) == execution.fingerprint(checkout)


@pytest.mark.parametrize(
    "name",
    [
        "fflib/a.py",
        "fflib/sub/b.py",
        "fflib/worlds/assets/c.webp",
        "requirements.txt",
        "pyproject.toml",
    ],
)
@pytest.mark.parametrize("change", ["edit", "remove", "add"])
def test_any_change_of_what_chapters_share_is_seen(checkout, name, change):
    before, path = execution.fingerprint(checkout), checkout / name
    if change == "edit":
        path.write_text("changed")
    elif change == "remove":
        path.unlink()
    else:
        path.unlink()
        changed = execution.fingerprint(checkout)
        path.write_text(name)
        assert changed != execution.fingerprint(checkout) == before
        return
    assert execution.fingerprint(checkout) != before


@pytest.mark.parametrize("name", ["README.md", "book/chapter.md", "fflib/notes.txt"])
def test_other_changes_are_not(checkout, name):
    before = execution.fingerprint(checkout)
    (checkout / name).write_text("changed")
    assert execution.fingerprint(checkout) == before


def test_versions_and_scale_are_seen(checkout, monkeypatch):
    before = execution.fingerprint(checkout)
    monkeypatch.setenv("FFLIB_SCALE", "full")
    assert execution.scale() == "full" and execution.fingerprint(checkout) != before
    monkeypatch.setenv("FFLIB_SCALE", "")
    assert execution.scale() == "quick" and execution.fingerprint(checkout) == before
    monkeypatch.setattr(execution, "versions", lambda: {"jax": "another"})
    assert execution.fingerprint(checkout) != before


def test_versions_name_what_is_installed_and_what_is_absent(monkeypatch):
    monkeypatch.setattr(execution, "PACKAGES", ("pytest", "no-such-package"))
    found = execution.versions()
    assert found["pytest"] == pytest.__version__ and found["no-such-package"] == "absent"


def test_only_older_caches_of_the_same_scale_are_dropped(tmp_path):
    ages = {"quick-old": 300, "quick-now": 200, "quick-newer": 100, "full-old": 400}
    for name, age in ages.items():
        (tmp_path / name / "inside").mkdir(parents=True)
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    assert execution.drop_stale(tmp_path / "quick-now") == [tmp_path / "quick-old"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full-old", "quick-newer", "quick-now"]
    assert execution.drop_stale(tmp_path / "quick-absent") == []


# --- The kernel -----------------------------------------------------------------------------------


def test_the_kernel_is_this_interpreter_with_this_checkout(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    monkeypatch.setenv("JUPYTER_PATH", "others")
    monkeypatch.setenv("XLA_FLAGS", "--given")
    execution.install_kernel(tmp_path, tmp_path / "kernel")
    execution.install_kernel(tmp_path, tmp_path / "kernel")
    assert os.environ["JUPYTER_PATH"] == os.pathsep.join([str(tmp_path / "kernel"), "others"])
    written = json.loads((tmp_path / "kernel/kernels/python3/kernel.json").read_text())
    assert written["argv"][0] == sys.executable
    assert written["env"]["FFLIB_STATIC"] == "1" and written["env"]["PYTHONHASHSEED"] == "0"
    assert written["env"]["XLA_FLAGS"] == " ".join(["--given", *xla.brief()])
    monkeypatch.setenv("FFLIB_SCALE", "full")
    full = execution.kernel_description(tmp_path, tmp_path)["env"]
    assert full["XLA_FLAGS"] == "--given"  # what takes hours is compiled as well as XLA can
    assert written["env"]["PYTHONPATH"] == os.pathsep.join([str(tmp_path), "elsewhere"])


def test_a_switch_that_xla_does_not_know_is_left_out(tmp_path):
    """XLA ends the process at one: no chapter would run."""
    library = tmp_path / "libjax_common.so"
    assert xla.brief(library) == []
    library.write_bytes(b"...xla_cpu_use_fusion_emitters...")
    assert xla.brief(library) == ["--xla_cpu_use_fusion_emitters=false"]


# --- Failure --------------------------------------------------------------------------------------


def executed(*cells: tuple[str, int | None, list]) -> list:
    return [
        nb.new_markdown_cell("text"),
        *(nb.new_code_cell(s, execution_count=n, outputs=o) for s, n, o in cells),
    ]


def test_a_failure_names_chapter_cell_line_and_reason():
    error = nb.new_output(
        "error",
        ename="AssertionError",
        evalue="the claim",
        traceback=["\x1b[31mTraceback\x1b[0m here"],
    )
    cells = executed(("x = 1", 1, []), ("check(x == 2)", 2, [error]), ("never", None, []))
    text = execution.failure_text(
        "book/ntk.md", cells, lambda index: 10 * index, RuntimeError("other")
    )
    assert "book/ntk.md, code cell 2 of 3 (line 20)" in text
    assert "AssertionError: the claim" in text
    assert "    check(x == 2)" in text and "Traceback here" in text
    assert "\x1b" not in text


def test_a_cell_that_never_ended_is_named_too():
    cells = executed(("x = 1", 1, []), ("while True: pass", 2, []), ("never", None, []))
    text = execution.failure_text("book/ntk.md", cells, lambda index: index, TimeoutError("600 s"))
    assert "code cell 2 of 3" in text and "TimeoutError: 600 s" in text


def test_a_chapter_without_code_still_says_what_happened():
    text = execution.failure_text(
        "book/ntk.md", executed(), lambda index: index, OSError("disk full")
    )
    assert text == "book/ntk.md: disk full"


def test_the_wrapper_is_put_on_once():
    wrapped = execution.named_failures(lambda self: "done")
    assert wrapped(SimpleNamespace(path=None)) == "done"
    assert execution.named_failures(wrapped) is wrapped


@pytest.fixture
def tiny_book(tmp_path):
    """A book of one chapter, built with Sphinx and the extensions of this project."""

    def build(*cells: str, extensions=(), **env: str) -> subprocess.CompletedProcess:
        used = ["myst_nb", "execution", "mathml", "a11y", "downloads", *extensions]
        (tmp_path / "conf.py").write_text(
            f"import sys\nsys.path.append({str(ROOT / '_ext')!r})\n"
            f"extensions = {used}\n"
            "myst_enable_extensions = ['dollarmath']\n"
            "html_math_renderer = 'mathml'\nmath_numfig = False\n"
            "exclude_patterns = ['_build']\n"
            "nb_execution_mode = 'cache'\nnb_execution_raise_on_error = True\n"
        )
        header = "---\njupytext:\n  text_representation: {extension: .md, format_name: myst}\n"
        header += "kernelspec: {display_name: Python 3, language: python, name: python3}\n---\n"
        math = "```{math}\n:label: eq-a\nx^2\n```\n\nSee {eq}`eq-a` and $y_1$.\n\n"
        names = ["index", *(f"chapter{i}" for i in range(1, len(cells)))]
        contents = "\n```{toctree}\n" + "\n".join(names[1:]) + "\n```\n" if names[1:] else ""
        for name, cell in zip(names, cells, strict=True):
            text = f"{header}# Title\n\n{math}```{{code-cell}} python\n{cell}\n```\n"
            (tmp_path / f"{name}.md").write_text(text + contents * (name == "index"))
            math = ""  # a label stands once
        command = [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-b", "html"]
        return subprocess.run(
            [*command, str(tmp_path), str(tmp_path / "_build" / "html")],
            capture_output=True, text=True, timeout=120, env={**os.environ, **env},
        )  # fmt: skip

    build.folder = tmp_path
    return build


def test_a_book_is_built_and_not_executed_again(tiny_book):
    first = tiny_book("import os\nprint('static', os.environ['FFLIB_STATIC'])")
    assert first.returncode == 0, first.stderr
    assert "Executed notebook" in first.stdout
    page = (tiny_book.folder / "_build/html/index.html").read_text()
    assert (
        "static 1" in page and "<math" in page and "mathjax" not in page.lower().split("</head>")[0]
    )
    assert '<span class="eqno">(1)' in page and 'href="#equation-eq-a">(1)</a>' in page
    assert (tiny_book.folder / "_build/html/_static/math.woff").exists()

    again = tiny_book("import os\nprint('static', os.environ['FFLIB_STATIC'])")
    assert again.returncode == 0 and "Execut" not in again.stdout

    (tiny_book.folder / "requirements.txt").write_text("jax\n")
    changed = tiny_book("import os\nprint('static', os.environ['FFLIB_STATIC'])")
    assert changed.returncode == 0 and "Executed notebook" in changed.stdout
    assert (
        len(list((tiny_book.folder / "_build/.jupyter_cache").iterdir())) == 1
    )  # the old one is gone


def test_a_failing_cell_fails_the_build_and_is_named(tiny_book):
    result = tiny_book("x = 1\nassert x == 2, 'one is not two'")
    assert result.returncode != 0
    assert "index.md, code cell 1 of 1" in result.stderr
    assert "AssertionError: one is not two" in result.stderr


MEET = """
import os, pathlib, time
pathlib.Path('{0}').touch()
limit = time.time() + 60
while not os.path.exists('{1}'):
    assert time.time() < limit, 'nobody came'
    time.sleep(0.05)
"""


def test_two_chapters_run_at_a_time(tiny_book):
    """Each waits for the other; one after the other, neither would end."""
    cells = MEET.format("a", "b"), MEET.format("b", "a"), "print('alone')"
    met = tiny_book(*cells, extensions=["ahead"], FFLIB_JOBS="2")
    assert met.returncode == 0, met.stderr
    assert met.stdout.count("Executed notebook") == 3
    again = tiny_book(*cells, extensions=["ahead"], FFLIB_JOBS="2")
    assert again.returncode == 0 and "Execut" not in again.stdout


def test_a_failure_stops_the_chapters_not_yet_begun(tiny_book):
    wait = "import time; time.sleep(3)"
    cells = wait, "assert False, 'the first'", wait, wait
    result = tiny_book(*cells, extensions=["ahead"], FFLIB_JOBS="2")
    assert result.returncode != 0
    failed = [
        name
        for name in ("index", "chapter1", "chapter2", "chapter3")
        if f"{name}.md, code" in result.stderr
    ]
    assert len(failed) == 1 and "AssertionError: the first" in result.stderr
    assert result.stdout.count("Executed notebook") < 3


def test_how_many_chapters_run_at_a_time(monkeypatch):
    monkeypatch.delenv("FFLIB_JOBS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    assert ahead.jobs() == 2
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert ahead.jobs() == 1
    monkeypatch.setenv("FFLIB_JOBS", "4")
    assert ahead.jobs() == 4
    monkeypatch.setenv("FFLIB_JOBS", "none")
    with pytest.raises(ConfigError, match="FFLIB_JOBS='none'"):
        ahead.jobs()
    monkeypatch.delenv("FFLIB_JOBS")
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setenv("FFLIB_SCALE", "full")
    assert ahead.jobs() == 1


def test_unknown_tex_fails_the_build(tiny_book):
    result = tiny_book("pass\n```\n\n$\\foo$\n\n```")
    assert result.returncode != 0 and "cannot render" in result.stderr


# --- Accessibility and downloads ------------------------------------------------------------------


def test_labels_and_roles_are_put_right():
    body = textwrap.dedent("""\
        <summary aria-label="Toggle hidden content">Show</summary>
        <div role="list" class="citation-list"><div role="doc-biblioentry"></div></div>
        <script type="application/vnd.jupyter.widget-state+json">{"state": {}}</script><p>kept</p>
        """)
    result = a11y.correct(body)
    assert "aria-label" not in result and "role=" not in result
    assert "widget" not in result and "<p>kept</p>" in result


def test_widget_state_is_recognised():
    script = SimpleNamespace(attributes={"type": "application/vnd.jupyter.widget-state+json"})
    assert a11y.is_widget_state(script)
    assert not a11y.is_widget_state(SimpleNamespace(attributes={"type": "module"}))
    assert not a11y.is_widget_state("a path")


def test_the_exported_notebook_is_the_one_to_download(tmp_path):
    app = SimpleNamespace(srcdir=tmp_path / "src", outdir=tmp_path / "out")
    (tmp_path / "out/_sources").mkdir(parents=True)
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.ipynb").write_text("exported")
    (tmp_path / "out/_sources/a.ipynb").write_text("as executed")
    downloads.offer_export(app, "a", "page.html", {"ipynb_source": "a.ipynb"}, None)
    assert (tmp_path / "out/_sources/a.ipynb").read_text() == "exported"
    downloads.offer_export(app, "b", "page.html", {"ipynb_source": "b.ipynb"}, None)
    downloads.offer_export(app, "a", "page.html", {}, None)
    assert not (tmp_path / "out/_sources/b.ipynb").exists()


# --- Cells as a page shows them -------------------------------------------------------------------

QUESTION = 'g = show.guess(\n    "Which?",\n    ["a", "b"],\n)'


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("# Set-up\nimport jax", "Set-up"),
        ("# The reference, by brute force.\nx = 1", "The reference, by brute force"),
        ("import jax  # for gradients", "Set-up"),
        ("# at full scale\nx = 1", "Set-up"),
        ("# solution: the squares add up\ndef norm(x): ...", "Solution"),
        ("import numpy\n\n\ndef check_norm(f): ...", "Checker"),
        ("def draw(): ...\n\n\nshow.slider(draw)", "How the figure is drawn"),
        ("show.table(rows, columns, 'x')\nshow.check('a', True)", "How the table is made"),
        ("show.check('a', True)", "How it is checked"),
        ("def train():\n    return fit(params, loss)", "How it is trained"),
        ("told = kept('networks', trained)", "How it is trained"),
    ],
)
def test_a_fold_says_what_it_holds(source, name):
    assert cells.fold_name(source) == name


@pytest.mark.parametrize(
    ("source", "called"),
    [
        (QUESTION, ["show.guess"]),
        ("show.check('a', 1)\ng.reveal(0)", ["show.check", "g.reveal"]),
        ("x = 2\nshow.check('a', x)", []),
        ("def f(): ...", []),
        ("!pip list", []),
    ],
)
def test_what_a_cell_calls_and_whether_it_does_nothing_else(source, called):
    assert cells.calls(source) == called


def test_a_page_has_one_line_of_claims_a_section_and_answers_at_its_end(tiny_book):
    made = tiny_book(
        f"from fflib import show\n{QUESTION}\nshow.check('first', True)\n```\n\n## Two\n\n"
        f"```{{code-cell}} python\n{QUESTION.replace('g =', 'h =')}\n```\n\n"
        "```{code-cell} python\ng.reveal(0)\nshow.check('second < third', True, '2e-5')\n"
        "h.reveal('b')\n```\n\n"
        "```{code-cell} python\nprint('✓ printed')\nshow.check('third', True)\n```\n\n"
        "After.\n\n### Deeper\n\n```{code-cell} python\nshow.check('fourth', True)",
        extensions=["cells"],
        PYTHONPATH=str(ROOT),
    )
    assert made.returncode == 0, made.stderr
    page = (tiny_book.folder / "_build/html/index.html").read_text(encoding="utf-8")
    before, after = page.split("<h2>Two")
    assert before.count("✓ 1 claim checked") == 1 and "<li>first</li>" in before
    assert after.count("✓ 3 claims checked") == 1 and "✓ printed" in after
    claims = ["second &lt; third (2\u00a0×\u00a010<sup>−5</sup>)", "third", "fourth"]
    assert "".join(f"<li>{claim}</li>" for claim in claims) in after
    assert after.index("After.") < after.index("ff-reveal") < after.index("ff-claims")
    assert page.count("ff-guess") == 2 and page.count("ff-reveal ff-closed") == 2
    assert before.count("Which?") == 2 and after.count("Which?") == 1  # the second without its code
    assert after.count("How it is checked") >= 1 and 'ff-claim"' not in page


def test_a_page_of_the_short_path_ends_in_its_foot(tiny_book):
    path = "parts:\n- caption: The short path\n  chapters: [{file: index}, {file: chapter1}]\n"
    (tiny_book.folder / "_toc.yml").write_text(path)
    made = tiny_book(
        "1\n```\n\n## Last\n\n```{code-cell} python\nfrom fflib import show\nshow.check('it', 1)",
        "2",
        extensions=["cells", "chapter"],
        PYTHONPATH=str(ROOT),
    )
    assert made.returncode == 0, made.stderr
    first, second = (
        (tiny_book.folder / f"_build/html/{name}.html").read_text(encoding="utf-8")
        for name in ("index", "chapter1")
    )
    link = '<a class="reference internal" href="chapter1.html">Title</a>'
    foot = f'<p class="chapter-foot">Short path 1 of 2 · next: {link}</p>'
    assert first.index("✓ 1 claim checked") < first.index(foot)
    assert '<p class="chapter-foot">Short path 2 of 2 · you are there.</p>' in second


# --- Weight and address ---------------------------------------------------------------------------


def test_pictures_lie_beside_the_page(tmp_path):
    body = '<img loading="lazy" src="data:image/webp;base64,UklG"><a href="data:x;base64,UklG">'
    made = weight.picture_files(body * 2, tmp_path / "_images", "../_images")
    [picture] = (tmp_path / "_images").iterdir()
    assert picture.read_bytes() == b"RIF"
    assert made.count(f'<img loading="lazy" src="../_images/{picture.name}">') == 2
    assert made.count("data:x;base64,UklG") == 2


def test_scripts_without_use_are_left_out():
    page = (
        '<script defer src="../_static/scripts/fontawesome.js?digest=1"></script>\n'
        '<script src="../_static/searchtools.js"></script><script src="../searchindex.js"></script>'
        '<script src="../_static/book.js"></script>'
    )
    assert weight.lighter(page, False) == '<script src="../_static/book.js"></script>'
    assert weight.lighter(page, True).count("<script") == 3


def test_rules_without_use_are_left_out():
    style = (
        "@media print{.a,.b{color:red}.b>.a{top:0}}@keyframes k{from{top:0}}p.a:hover{top:0}"
        ".bs-tooltip{top:0}@font-face{src:url(x)}.sm\\:a{top:1px}html .b.c{top:2px}*{left:0}"
    )
    assert weight.rules_in_use(style, {"a", "sm:a"}) == (
        "@media print{.a{color:red}}@keyframes k{from{top:0}}p.a:hover{top:0}"
        ".bs-tooltip{top:0}@font-face{src:url(x)}.sm\\:a{top:1px}*{left:0}"
    )


def test_arrows_of_the_sidebar_have_a_name():
    page = a11y.named('<summary><span class="toctree-toggle"></span></summary><summary>x</summary>')
    assert page.count("<summary>") == 1 and page.count('<summary aria-label="') == 1


@pytest.mark.parametrize("base", ["", "https://me.github.io/book/"])
def test_the_sitemap_lists_all_pages_of_an_address(tmp_path, base):
    app = SimpleNamespace(
        config=SimpleNamespace(html_baseurl=base),
        builder=SimpleNamespace(format="html", get_target_uri=lambda page: f"{page}.html"),
        env=SimpleNamespace(found_docs={"book/index", "book/theory/ntk"}),
        outdir=tmp_path,
    )
    repository.add_sitemap(app, None)
    listed = list(tmp_path.glob("sitemap.xml"))
    assert bool(listed) == bool(base)
    for path in listed:
        places = re.findall("<loc>(.*?)</loc>", path.read_text(encoding="utf-8"))
        assert places == [f"{base}book/index.html", f"{base}book/theory/ntk.html"]


def test_icons_in_use_are_known_by_name_or_by_character():
    style = (
        '.fa-a:before,.fa-b:before{content:"\\f001"}.fa-c:before{content:"\\f002"}'
        '.x:before{content:"\\f107"}:root{--icon:"\uf05a"}'
    )
    assert weight.icons(style, {"fa-b", "x"}) == {0xF001, 0xF107, 0xF05A}


@pytest.mark.parametrize("address", ["https://github.com/OWNER/REPO", "https://github.com/me/book"])
def test_links_wait_for_an_address(address):
    options = {
        "repository_url": address,
        "use_repository_button": True,
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    }
    before = dict(options)
    config = SimpleNamespace(html_theme_options=options, html_baseurl="", ogp_site_url="")
    repository.address_pages(SimpleNamespace(srcdir=ROOT), config)
    if address.endswith("me/book"):
        assert options == before and config.ogp_site_url.startswith("https://")
    else:
        assert not config.html_baseurl
        assert not any(options.values())
