"""The ledger: what `show.check` leaves behind, what is recorded, and the page made of both."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fflib import show
from fflib.experiments import records
from fflib.show import markup

pytest.importorskip("myst_nb", reason="the tools that build the book are not installed")

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "_ext"))

import check
import ledger
import run_notebook

# --- What a cell leaves
# ----------------------------------------------------------------------------


@pytest.fixture
def left(monkeypatch):
    """The entries left so far, in a kernel that builds the book."""
    ipython = pytest.importorskip("IPython.display")
    seen = []
    monkeypatch.setenv("FFLIB_STATIC", "1")
    monkeypatch.setattr(markup, "shell", lambda: object())

    def display(data, **how):
        if "metadata" in how:  # what is kept, not what is seen
            seen.append((data, how))

    monkeypatch.setattr(ipython, "display", display)
    return seen


def test_a_claim_is_left_in_a_form_that_no_notebook_shows(left):
    show.check("two is two", True, "2 = 2", value=2, published=2.1, tolerance=0.2)
    [(data, how)] = left
    [(kind, entry)] = data.items()
    assert kind.endswith("+json") and kind == markup.KEPT + ledger.ENTRY
    assert how["raw"] and how["metadata"]["scrapbook"]["mime_prefix"] == markup.KEPT
    wanted = {"kind": "claim", "claim": "two is two", "detail": "2 = 2"}
    assert wanted.items() <= json.loads(json.dumps(entry)).items()
    assert (entry["value"], entry["published"], entry["tolerance"]) == (2.0, 2.1, 0.2)


def test_every_entry_has_a_name_of_its_own(left):
    show.check("one", True)
    show.check("two", True)
    assert len({how["metadata"]["scrapbook"]["name"] for _, how in left}) == 2


def test_an_attempt_is_left_with_its_outcome(left):
    def check_double(f):
        assert f(2) == 4

    def double(x):
        raise NotImplementedError

    show.attempt(check_double, double)
    show.attempt(check_double, lambda x: 2 * x)
    kinds = [next(iter(data.values())) for data, _ in left]
    assert [(e["kind"], e["check"], e["passed"]) for e in kinds] == [
        ("attempt", "check_double", False),
        ("attempt", "check_double", True),
    ]


def test_a_readers_notebook_gets_nothing_of_it(left, monkeypatch):
    monkeypatch.delenv("FFLIB_STATIC")
    show.check("one is one", True)
    monkeypatch.setenv("FFLIB_STATIC", "1")
    monkeypatch.setattr(markup, "shell", lambda: None)  # a plain script
    show.check("one is one", True)
    assert left == []


def test_a_claim_that_does_not_hold_leaves_nothing(left):
    with pytest.raises(AssertionError):
        show.check("one is two", False)
    assert left == []


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        (dict(value=float("nan")), "must be finite numbers.*nan"),
        (dict(published=1.0, value=1.0), "published must come with value and tolerance"),
        (dict(published=1.0, tolerance=1.0), "published must come with value and tolerance"),
    ],
)
def test_bad_numbers_of_a_claim(numbers, says):
    with pytest.raises(ValueError, match=says):
        show.check("a claim", True, **numbers)


# --- Parts of the extension
# ------------------------------------------------------------------------


def test_seeds_are_those_of_the_code():
    source = (
        "key(9)\n```{code-cell} python\n:tags: [x]\njax.random.key(3)\nnp.random.default_rng(0)\n"
    )
    source += "monkey(7); key(s)\n```\nprose: jax.random.key(5)\n"
    assert ledger.seeds(source) == [0, 3]


@pytest.mark.parametrize(
    ("numbers", "short"),
    [([], ""), ([0], "0"), ([0, 1], "0, 1"), ([0, 1, 2, 5, 7, 8, 9], "0–2, 5, 7–9")],
)
def test_spans(numbers, short):
    assert ledger.spans(numbers) == short


def test_numbers_in_short():
    assert (ledger.short(-0.48151), ledger.short(25.576, 2)) == ("−0.4815", "26")


def test_what_one_process_read_the_other_gets_and_what_is_gone_is_dropped():
    mine = SimpleNamespace(ledger={"a": 1}, ledger_pages={})
    theirs = SimpleNamespace(ledger={"b": 2, "c": 3}, ledger_pages={"b": True})
    ledger.merge(None, mine, ["b"], theirs)
    assert mine.ledger == {"a": 1, "b": 2} and mine.ledger_pages == {"b": True}
    ledger.purge(None, mine, "b")
    assert mine.ledger == {"a": 1} and mine.ledger_pages == {}


def rows(experiment: str, shift: float) -> list[dict]:
    """As many items as published, each mapping's mean and spread as published but for a shift."""
    column = records.TABLE1[experiment]
    n = column.items - column.items % 2
    wide = ((n - 1) / n) ** 0.5  # makes ± spread have that standard deviation
    return [
        {
            "item": f"item {i}", "mapping": mapping, "seed": seed, "metric": column.metric,
            "value": mean + shift + (-1) ** i * wide * spread + (-1) ** seed,
        }
        for mapping, (mean, spread) in column.scores.items()
        for i in range(n)
        for seed in (0, 1)
    ]  # fmt: skip


def test_records_are_compared_with_the_published_table(tmp_path, monkeypatch):
    """Equal means are in; the tolerance is two standard errors of the difference of two means."""
    records.record(
        "ct_shepp", rows("ct_shepp", 0.0), wall_s=1.0, folder=tmp_path
    )  # quick: left out
    monkeypatch.setenv("FFLIB_SCALE", "full")
    for name, shift in (("image_natural", 0.0), ("image_text", 1.9)):
        records.record(name, rows(name, shift), wall_s=1.0, folder=tmp_path)
    found = ledger.beside_published(ledger.records(tmp_path))
    assert len(found) == 8
    for row in found:
        mean, spread = records.TABLE1[row["experiment"]].scores[row["mapping"]]
        assert row["spread"] == pytest.approx(spread)
        assert row["tolerance"] == pytest.approx(2 * spread * (2 / 16) ** 0.5)
        shift = 0.0 if row["experiment"] == "image_natural" else 1.9
        assert row["mean"] - mean == pytest.approx(shift)
        assert row["in"] == (shift <= row["tolerance"])
    assert {row["in"] for row in found if row["experiment"] == "image_text"} == {True, False}


def test_a_setting_that_varies_within_a_record_is_told_apart(tmp_path):
    made = [
        {
            "item": "a",
            "mapping": "gaussian",
            "seed": 0,
            "metric": "psnr",
            "value": v,
            "sigma": s,
            "note": v,
        }
        for s, v in ((1, 20.0), (2, 30.0))
    ]
    records.record("sweep", made, wall_s=1.0, settings={"sigma": [1, 2]}, folder=tmp_path)
    [summary] = ledger.records(tmp_path)
    assert [(s["mapping"], s["mean"]) for s in summary["scores"]] == [
        ("gaussian, sigma 1", 20.0),
        ("gaussian, sigma 2", 30.0),
    ]


def test_the_published_table_is_whole():
    assert len(records.TABLE1) == 7
    for name, column in records.TABLE1.items():
        assert column.metric == ("iou" if name == "shape_scans" else "psnr") and column.items > 2
        assert list(column.scores) == ["none", "basic", "positional", "gaussian"]
        means = [mean for mean, _ in column.scores.values()]
        assert means == sorted(means) and all(spread > 0 for _, spread in column.scores.values())


# --- The page
# --------------------------------------------------------------------------------------

CHAPTER = """---
jupytext:
  text_representation: {{extension: .md, format_name: myst}}
kernelspec: {{display_name: Python 3, language: python, name: python3}}
---

# {title}

```{{code-cell}} python
from fflib import show

KEY = "key(4)"
print("before")
show.check("{claim}", True, "{detail}", value=0.98, published=1, tolerance=0.1)
print("between")
show.check("plain", True)
show.attempt(lambda f: f(), lambda: None)
```
"""


@pytest.fixture
def book(tmp_path):
    """A book of two chapters and a ledger that comes before both."""
    (tmp_path / "conf.py").write_text(
        f"import sys\nsys.path.append({str(ROOT / '_ext')!r})\n"
        "extensions = ['myst_nb', 'execution', 'ledger']\nroot_doc = 'index'\n"
        "exclude_patterns = ['_build']\nnb_execution_mode = 'cache'\nnb_merge_streams = True\n"
    )
    parts = "\n".join(f"```{{ledger}} {part}\n```\n" for part in ledger.PARTS)
    contents = "```{toctree}\nsecond\nfirst\n```\n"
    (tmp_path / "index.md").write_text(f"# The ledger\n\n{contents}\n{parts}", encoding="utf-8")

    def write(name: str, claim: str, detail: str) -> None:
        text = CHAPTER.format(title=name.title(), claim=claim, detail=detail)
        (tmp_path / f"{name}.md").write_text(text, encoding="utf-8")

    def build() -> dict:
        target = tmp_path / "_build" / "html"
        done = subprocess.run(
            [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-b", "html", tmp_path, target],
            capture_output=True, text=True, timeout=120,
            env={**os.environ, "PYTHONPATH": str(ROOT), "FFLIB_SCALE": "quick"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found = json.loads((target / "index.json").read_text(encoding="utf-8"))
        found["page"] = (target / "index.html").read_text(encoding="utf-8")
        found["first"] = (target / "first.html").read_text(encoding="utf-8")
        found["ran"] = done.stdout.count("Executed notebook")
        return found

    return SimpleNamespace(write=write, build=build, folder=tmp_path)


def test_the_page_tells_what_the_chapters_claimed(book):
    book.write("first", "a < b & c", "1.5 times")
    book.write("second", "another", "2 dB")
    claims = [
        dict(claim="a < b & c", detail="1.25 times", held=True),
        dict(claim="plain", detail="", held=False),
    ]
    run = run_notebook.record(Path("first.ipynb"), 90.0, False, claims)
    (book.folder / "book" / "full_scale").mkdir(parents=True)
    (book.folder / "book" / "full_scale" / "first.json").write_text(json.dumps(run))
    made = book.build()
    assert made["full"] == {"first": json.loads(json.dumps(run))}
    for text in (
        "1 of 2",
        "1.25 times",
        "does not hold: nothing more told",
        ">1.5<",
        "Not run at full scale yet: ",
    ):
        assert text in made["page"], text
    assert [c["chapter"] for c in made["chapters"]] == ["second", "first"]  # the reading order
    first = made["chapters"][1]
    assert [c["claim"] for c in first["claims"]] == ["a < b & c", "plain"]
    assert first["claims"][0]["detail"] == "1.5 times" and first["seeds"] == [4]
    assert [(a["name"], a["passed"]) for a in first["attempts"]] == [("<lambda>", True)]
    assert first["scale"] == "quick" and first["versions"]["jax"] and first["device"]
    assert first["seconds"] > 0 and first["date"].startswith("20")

    for text in ("a &lt; b &amp; c", "1.5 times", "2\u00a0dB", 'href="first.html"', "0.98", ">in<"):
        assert text in made["page"], text
    assert made["page"].index("2\u00a0dB") < made["page"].index("1.5 times")
    for shown in ("a &lt; b &amp; c (1.5 times)", "plain"):
        assert f'<p class="ff-claim">{shown}</p>' in made["first"]
    assert "fflib.entry" not in made["first"]

    # The same build again says the same, another number does not.
    target = book.folder / "_build" / "html"
    page = {key: made[key] for key in ("chapters", "records", "published")}
    for name, detail, date in (
        ("one", "2 dB", "yesterday"),
        ("two", "2 dB", "today"),
        ("three", "2.1 dB", "today"),
    ):
        build = target.parent / name / "_build"
        page["chapters"][0]["date"] = date
        page["chapters"][0]["claims"][0]["detail"] = detail
        (build / "html" / "book" / "reference").mkdir(parents=True)
        (build / "html/book/reference/ledger.json").write_text(json.dumps(page))
        shutil.copytree(target.parent / ".jupyter_cache", build / ".jupyter_cache")
    one, two, three = (target.parent / name for name in ("one", "two", "three"))
    printed = check.numbers(one)
    assert '<p class="ff-claim">a &lt; b &amp; c (1.5 times)</p>' in printed["first"]
    assert any(text.startswith("before\n") for text in printed["first"]) and check.ledger(one)
    assert check.silent(printed) == [] and check.silent({"first": []}) == ["first"]
    assert check.differences(one, two) == []
    [differ] = check.differences(one, three)
    assert "second" in differ and "2.1 dB" in differ

    # One chapter changes: the other is not run again, and both are in the ledger.
    book.write("second", "another", "3 dB")
    again = book.build()
    assert again["ran"] == 1 and "3\u00a0dB" in again["page"] and "2\u00a0dB" not in again["page"]
    assert again["chapters"][1] == first and "1.5 times" in again["page"]
