"""The project as a whole: every chapter has its form, every file agrees with the others."""

import ast
import importlib
import inspect
import json
import re
import subprocess
import tomllib
from pathlib import Path

import address
import export
import pytest
import yaml
from library import library_modules

ROOT = Path(__file__).resolve().parents[2]
BOOK = export.Book(ROOT)
NOTEBOOKS = {page.name: page for page in BOOK.notebooks()}
CHAPTERS = {name: page for name, page in NOTEBOOKS.items() if "/reference/" not in name}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# of show a reader meets the package itself; its modules are how that is done
MODULES = [
    name
    for name in library_modules()
    if name != "fflib.checks" and not name.startswith("fflib.show.")
]

each_notebook = pytest.mark.parametrize("name", NOTEBOOKS)
each_chapter = pytest.mark.parametrize("name", CHAPTERS)


def read(name):
    path = ROOT / name
    assert path.exists(), f"there is no {name}" + (
        ": run `make sync`" if name.endswith(".ipynb") else ""
    )
    return path.read_text(encoding="utf-8")


def tracked():
    """Every file of the project that git would have, with its text; pictures are left out."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    for name in listed.stdout.split("\n"):
        path = ROOT / name
        if path.is_file() and path.suffix not in {".webp", ".png", ".jpg", ".woff", ".npz"}:
            yield name, path.read_text(encoding="utf-8")


# ---------------------------------------------------------------- chapters


def test_every_page_of_the_contents_is_there():
    listed = export.walk_toc(yaml.safe_load(read("_toc.yml")))
    missing = [name for name in listed if name not in BOOK.pages]
    assert not missing, f"_toc.yml lists {missing}, which do not exist"


def test_every_reference_is_cited():
    """What the bibliography prints, some page uses."""
    keys = set(re.findall(r"^@\w+\{([^,]+),", read("references.bib"), re.MULTILINE))
    cited = {
        key.strip()
        for page in BOOK.pages.values()
        for keys_of in re.findall(r"\{cite:[tp]\}`([^`]+)`", page.source)
        for key in keys_of.split(",")
    }
    assert keys == cited, f"printed and not cited: {sorted(keys - cited)}"


@each_notebook
def test_header(name):
    assert NOTEBOOKS[name].source.startswith(export.HEADER)


@each_notebook
def test_exported_notebook_holds_no_results(name):
    cells = json.loads(read(f"{name}.ipynb"))["cells"]
    assert all(
        not cell["outputs"] and cell["execution_count"] is None
        for cell in cells
        if cell["cell_type"] == "code"
    )


def exercises(page):
    """For each exercise of a page: its block and the code cells up to the next one."""
    found = []
    for block in page.blocks:
        if block.kind == "exercise":
            found.append((block, []))
        elif block.kind == "code-cell" and found:
            found[-1][1].append(block)
    return found


@each_chapter
def test_at_least_three_exercises(name):
    assert len(exercises(CHAPTERS[name])) >= 3


@each_chapter
def test_no_claim_holds_whatever_is_measured(name):
    cells = [block.body for block in CHAPTERS[name].blocks if block.kind == "code-cell"]
    empty = [cell for cell in cells if re.search(r'show\.check\(\s*f?"[^"]*",\s*True\b', cell)]
    assert not empty, "a check that cannot fail"


@each_chapter
def test_each_exercise_has_a_check_a_stub_and_a_solution(name):
    for exercise, cells in exercises(CHAPTERS[name]):
        where = f"{name}.md:{exercise.line}: this exercise has no "
        checks = {f for cell in cells for f in re.findall(r"^def (check_\w+)", cell.body, re.M)}
        stubs = [cell for cell in cells if "raise NotImplementedError" in cell.body]
        solutions = [
            cell
            for cell in cells
            if "hide-cell" in cell.options.get("tags", "")
            and cell.body.lstrip().startswith("# solution")
        ]
        assert checks, where + "check function"
        assert stubs and all("attempt(" in cell.body for cell in stubs), (
            where + "stub handed to attempt"
        )
        assert solutions, where + "hidden solution"
        used = {f for cell in solutions for f in re.findall(r"\b(check_\w+)\(", cell.body)}
        assert checks <= used, where + f"solution that passes {sorted(checks - used)}"
        written = {f for cell in stubs for f in re.findall(r"^def (\w+)", cell.body, re.M)}
        solved = {f for cell in solutions for f in re.findall(r"^(?:def )?(\w+)", cell.body, re.M)}
        assert written <= solved, where + f"solution for {sorted(written - solved)}"


def called_at_once(source):
    """Calls that a cell makes for sure when it runs: function and arguments, as written."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield ast.unparse(node.value.func), [ast.unparse(a) for a in node.value.args]


@each_chapter
def test_a_blank_stub_is_tried_and_the_solution_is_checked(name):
    """The cells run in every build, in this order: the stub by `attempt`, which says how it went
    (`test_blank_exercises_fail_and_solutions_pass` looks at that), the solution by the check
    itself, which raises, and so fails the build, when it is wrong."""
    for exercise, cells in exercises(CHAPTERS[name]):
        tried, checked = [], []
        for cell in cells:
            calls = list(called_at_once(cell.body))
            if "raise NotImplementedError" in cell.body:
                tried += [arguments for function, arguments in calls if function == "show.attempt"]
            elif cell.body.lstrip().startswith("# solution"):
                checked += [[function, *arguments] for function, arguments in calls]
        assert tried, f"{name}.md:{exercise.line}: no stub is handed to show.attempt"
        missing = [pair for pair in tried if pair not in checked]
        assert not missing, f"{name}.md:{exercise.line}: no solution is handed to {missing}"


def bound(node):
    """Names to which a statement of a cell gives a meaning in the notebook."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.Name):
        if isinstance(node.ctx, ast.Store):
            yield node.id
    elif not isinstance(
        node, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    ):
        for child in ast.iter_child_nodes(node):
            yield from bound(child)


def read_by(function):
    """Names of the notebook that a function looks up whenever it is called."""
    own = {n.arg for n in ast.walk(function) if isinstance(n, ast.arg)}
    names = [n for n in ast.walk(function) if isinstance(n, ast.Name)]
    own |= {n.id for n in names if isinstance(n.ctx, ast.Store)}
    own |= {
        n.name for n in ast.walk(function) if isinstance(n, ast.FunctionDef) and n is not function
    }
    return {n.id for n in names} - own


def called_later(cells):
    """What the reader sets off when all cells have run: (what, statements after it, names it looks
    up).
    """
    statements = [s for cell in cells for s in ast.parse(cell.body).body]
    functions = {}
    for place, statement in enumerate(statements):
        if isinstance(statement, ast.FunctionDef):
            functions[statement.name] = statement
        for call in ast.walk(statement):
            if not isinstance(call, ast.Call) or (what := ast.unparse(call.func)) not in (
                "show.slider",
                "show.attempt",
            ):
                continue
            given = [call.args[0], *(k.value for k in call.keywords if k.arg == "alt")]
            waiting = {
                n for g in given for n in (read_by(g) if not isinstance(g, ast.Name) else {g.id})
            }
            looked_up = set()
            while waiting:
                looked_up.add(name := waiting.pop())
                if name in functions:
                    waiting |= read_by(functions[name]) - looked_up
            yield f"{what}({ast.unparse(call.args[0])}, …)", statements[place + 1 :], looked_up


@each_notebook
def test_no_later_cell_changes_what_a_slider_or_a_check_looks_up(name):
    """A page draws its frames at once, but in a notebook a reader comes back when all cells have
    run.
    """
    cells = [block for block in NOTEBOOKS[name].blocks if block.kind == "code-cell"]
    for what, rest, names in called_later(cells):
        changed = {n for statement in rest for n in bound(statement)} & names
        assert not changed, (
            f"{name}: a later cell gives another meaning to {sorted(changed)}, used by {what}"
        )


@each_chapter
def test_chapter_has_its_parts(name):
    text = CHAPTERS[name].source
    for part in ("## Summary", "## Exercises", "This chapter assumes"):
        assert part.lower() in text.lower().replace(
            "what this chapter assumes", "this chapter assumes"
        ), part
    assert "{cite:" in text, "a chapter names its sources"
    assert "show.check(" in text or re.search(r"^check\(", text, re.M), (
        "claims are checked in cells"
    )


@each_notebook
def test_code_fits_the_column(name):
    """The page shows 88 characters of code without scrolling (assets/book.css)."""
    for block in NOTEBOOKS[name].blocks:
        if block.kind == "code-cell":
            for line in block.body.splitlines():
                assert len(line) <= 88, f"cell at {name}.md:{block.line}: {line}"


@each_chapter
def test_readme_and_front_page_list_the_chapter(name):
    assert re.search(rf"\]\((https://[^)\s]*/)?{name}\.md\)", read("README.md"))
    front = BOOK.pages["book/index"].source
    assert name.removeprefix("book/") in re.findall(r"\{doc\}`(?:/book/)?([^`<>]+)`", front)


# ---------------------------------------------------------------- the glossary

GLOSSARY = BOOK.pages["book/reference/notation"]
LINK = re.compile(r"\{term\}`(?:[^`<]*<)?([^`<>]+)>?`")


def prose(page):
    """The running text of a chapter, with its links to terms."""
    kinds = ("text", "admonition", "note", "exercise")
    text = "\n\n".join(block.body for block in page.blocks if block.kind in kinds)
    role_or_code = re.compile(r"^#+ .*$|(\{[\w:]+\})?`[^`]*`", re.M)
    return role_or_code.sub(lambda match: match[0] if match[1] == "{term}" else "", text)


def introducing(term):
    """The chapter that the glossary names behind a term."""
    [block] = [block for block in GLOSSARY.blocks if block.kind == "glossary"]
    entry = re.search(rf"^{re.escape(term)}\n((?:  .*\n?)+)", block.body + "\n", re.M)
    found = re.search(r"→ \{doc\}`\.\./([^`]+)`\s*$", entry[1])
    assert found, f"{term}: no chapter is named as '→ {{doc}}`../chapter`'"
    return BOOK.pages[f"book/{found[1]}"]


@pytest.mark.parametrize("term", GLOSSARY.terms)
def test_a_term_is_linked_where_it_is_introduced_and_at_its_first_use(term):
    text = prose(introducing(term))
    text = LINK.sub(lambda match: match[0] if match[1] == term else "", text)
    links = [match for match in LINK.finditer(text) if match[1] == term]
    assert links, f"{introducing(term).file} does not link {{term}}`{term}`"
    words = re.search(rf"(?<![\w-]){re.escape(term)}s?(?![\w-])", text, re.I)
    where = "" if words is None else text[words.start() - 40 : words.end() + 20]
    assert words is None or words.end() > links[0].start(), (
        f"{term} is used before its link: …{where}…"
    )


def test_terms_are_linked_only_if_the_glossary_has_them():
    linked = {match[1] for page in BOOK.pages.values() for match in LINK.finditer(page.source)}
    assert linked <= set(GLOSSARY.terms), linked - set(GLOSSARY.terms)


# ---------------------------------------------------------------- the library


@pytest.mark.parametrize("module", MODULES)
def test_public_names_are_documented(module):
    module = importlib.import_module(module)
    for name, thing in vars(module).items():
        own = getattr(thing, "__module__", None) == module.__name__
        if (
            own
            and not name.startswith("_")
            and (inspect.isfunction(thing) or inspect.isclass(thing))
        ):
            assert thing.__doc__, f"{module.__name__}.{name} has no docstring"
            assert "Chapter:" in thing.__doc__, (
                f"{module.__name__}.{name} does not name its chapter"
            )
        for attribute in vars(thing).values() if own and inspect.isclass(thing) else ():
            if isinstance(attribute, property) and attribute.__doc__:
                # the API page would take what stands before a colon for a type
                assert ": " not in attribute.__doc__.split("\n")[0], attribute.__doc__


# ---------------------------------------------------------------- the files around them


def requirements():
    """name -> (specifiers, comment) of requirements.txt."""
    found = {}
    for line in read("requirements.txt").splitlines():
        if line and not line.startswith("#"):
            package, _, comment = line.partition("#")
            name, specifiers = re.fullmatch(r"([\w-]+)(\S*)\s*", package).groups()
            found[name] = (specifiers.split(","), comment.strip())
    return found


def test_requirements_say_the_floor_the_ceiling_and_why():
    for name, (specifiers, comment) in requirements().items():
        assert [s[0] for s in specifiers] == [">", "<"], f"{name} needs a floor and a ceiling"
        assert comment, f"{name}: why is it there?"


def test_pyproject_and_requirements_name_the_same_floors():
    declared = list(PYPROJECT["dependencies"])
    for extra in PYPROJECT["optional-dependencies"].values():
        declared += extra
    floors = {re.match(r"[\w-]+", d)[0]: re.search(r">=([\d.]+)", d)[0] for d in declared}
    assert floors == {name: specifiers[0] for name, (specifiers, _) in requirements().items()}


def test_the_library_alone_has_no_ceilings():
    assert not [d for d in PYPROJECT["dependencies"] if "<" in d or "==" in d]


def test_ci_runs_the_commands_of_the_readme():
    commands = [line for line in read(".ci/run").splitlines() if line.startswith("make ")]
    assert commands == ["make book", "make test"]
    assert "make book\n" in read("README.md") and "make test\n" in read("README.md")
    assert ".ci/run" in read(".github/workflows/book.yml")


def test_the_readmes_example_paints_the_picture(capsys):
    [code] = re.findall(r"^```python\n(.*?)^```$", read("README.md"), re.DOTALL | re.MULTILINE)
    exec(compile(code.replace("steps=300", "steps=100"), "README.md", "exec"), {})
    said = capsys.readouterr().out
    assert float(re.match(r"([\d.]+) dB between", said)[1]) > 25


def test_make_help_has_a_line_for_every_target():
    makefile = read("Makefile")
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.M)[1].split()
    assert targets == re.findall(r"^([a-z]+):.*## \S", makefile, re.M)


def test_one_address_everywhere():
    owner, repo = address.parse(export.repository(ROOT))
    places = {
        "_config.yml": r'url: "?https://github\.com/([\w.-]+)/([\w.-]+?)"?\n',
        "CITATION.cff": r'repository-code: "?https://github\.com/([\w.-]+)/([\w.-]+?)"?\n',
        "README.md": r"https://colab\.research\.google\.com/github/([\w.-]+)/([\w.-]+)/blob/",
        **{
            f"{name}.ipynb": r"git\+https://github\.com/([\w.-]+)/([\w.-]+?)\\?\""
            for name in NOTEBOOKS
        },
    }
    for name, place in places.items():
        found = set(re.findall(place, read(name)))
        assert found == {(owner, repo)}, f"{name} says {found}; run `make address URL=…`"
    assert set(re.findall(r"https://([\w-]+)\.github\.io/([\w.-]+)/", read("README.md"))) == {
        (owner, repo)
    }


@pytest.mark.parametrize(
    "before, after",
    [
        ("https://github.com/a/b", "https://github.com/me/book"),
        ("git+https://github.com/a/b.git", "git+https://github.com/me/book.git"),
        ("https://a.github.io/b/x.html", "https://me.github.io/book/x.html"),
        (
            "https://colab.research.google.com/github/a/b/blob/main/x.ipynb",
            "https://colab.research.google.com/github/me/book/blob/main/x.ipynb",
        ),
        ("https://github.com/a/bc", "https://github.com/a/bc"),
        ("https://github.com/a/b.c", "https://github.com/a/b.c"),
        ("the ratio a/b", "the ratio a/b"),
        ("See https://github.com/a/b.", "See https://github.com/me/book."),
    ],
)
def test_an_address_is_replaced_in_all_its_forms(before, after):
    assert address.replace(before, ("a", "b"), ("me", "book")) == after


def test_the_readme_shows_no_link_before_there_is_an_address_and_all_after():
    owner, repo = address.parse(export.repository(ROOT))
    text = read("README.md")
    hidden = text.count("<!--address")
    shown = address.uncover(address.replace(text, (owner, repo), ("me", "book")))
    assert "<!--" not in shown and "-->" not in shown and "OWNER" not in shown
    assert shown.count("google.com/github/me/book") + shown.count("me.github.io/book") > 20
    assert "](https://colab" in shown and "\n- **Online**: <https://me.github.io/book/>" in shown
    if (owner, repo) == ("OWNER", "REPO"):
        assert hidden and "OWNER" not in re.sub("<!--address.*?-->", "", text, flags=re.S)
    else:
        assert not hidden


def test_links_of_the_readme_lead_somewhere_from_anywhere_once_there_is_an_address():
    """Each names a file of the repository before, and after it the same file at the address."""
    links = r"\]\((?!https?:|#)([^)\s]+)\)"
    text = read("README.md")
    shown = address.absolute(address.uncover(text), ("me", "book"))
    assert not re.findall(links, shown)
    assert all((ROOT / file).exists() for file in re.findall(links, text))
    named = re.findall(r"https://github\.com/me/book/(?:blob|raw)/main/([^)\s]+)\)", shown)
    assert named == re.findall(links, address.uncover(text))
    assert "](https://github.com/me/book/raw/main/book/hero.webp)" in shown
    assert address.absolute(shown, ("me", "book")) == shown


@pytest.mark.parametrize(
    "url", ["", "github.com/me/book", "https://github.com/me", "https://github.com/me/a/b"]
)
def test_a_bad_address_is_refused(url):
    with pytest.raises(ValueError, match="URL must look like"):
        address.parse(url)


def test_no_paths_of_one_machine():
    elsewhere = re.compile(
        "|".join(["/ro" + "ot/", "/wo" + "rk/", "/ho" + r"me/\w+/", "/tm" + "p/v"])
    )
    found = [f"{name}: {m[0]}" for name, text in tracked() if (m := elsewhere.search(text))]
    assert not found


def test_no_package_index_is_named():
    index = re.compile("(extra-)?index" + "-url|find" + "-links|/sim" + "ple/")
    assert not [name for name, text in tracked() if index.search(text)]
