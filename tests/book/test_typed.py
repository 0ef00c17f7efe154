"""No result is typed: what was measured stands in the output of a cell, not in the Markdown.

A number in running text is a **typed result** if it has a unit of a result (dB, IoU, %, times as …,
digits or words) or is a decimal fraction, outside formulas and code. It may stay where it is

- published, and its paragraph (or its row of a table) says "(published)";
- a setting, named as one directly before it ("a rate of 0.01");
- what an exercise asks for;
- one of `EXEMPT`, each with a reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import export
import pytest

ROOT = Path(__file__).resolve().parents[2]
BOOK = export.Book(ROOT)
PAGES = {
    name: page for name, page in BOOK.pages.items() if not name.endswith(("/api", "/bibliography"))
}

WORDS = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|fifty|hundred|half a"
DIGITS = r"[−-]?\d[\d ,]*(?:\.\d+)?"
MATHS = r"\\?,?\\?;?\$?"  # a number may stand in $…$ with its unit behind
UNIT = re.compile(
    rf"(?<![\w.])(?P<number>{DIGITS}|(?i:{WORDS})(?=[ \n-])){MATHS}[\s-]*"
    r"(?P<unit>dB\b|decibels?\b|(?:of )?IoU\b|\\?%|per ?cent\b|×(?! ?\d)|percentage points?\b)"
)
TIMES = re.compile(
    rf"(?<![\w.])(?P<number>{DIGITS}){MATHS}\s+times\s+(?:as|more|less|better|worse|faster|slower|the)\b"
)
DECIMAL = re.compile(r"(?<![\w.^_{(/,])(?P<number>[−-]?\d+\.\d+)(?!\w|\.\d)")
SETTING = re.compile(
    r"\b(?:rates?|scale|width|depth|radius|step|jitter|weight|factor|density|Python|version|jax)"
    r"(?: of)?\s*$"
)
FORMULA = re.compile(r"\$\$.*?\$\$|\$[^$\n]+(?:\n[^$\n]+)?\$", re.DOTALL)
CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)|\{[\w:]+\}`[^`]*`|\]\([^)]*\)", re.DOTALL)

EXEMPT = {
    "Ten decibels": "what a decibel is",
    "6 dB\n  halve the error": "what a decibel is",
    "an overlap of 0.9": "the question of a section, not an answer",
    "to know the kernel to one per cent": "a demand",
    r"$10\log_{10} 2 \approx 3$ dB": "what a decibel is",
}


def prose(page: export.Page) -> Iterator[tuple[int, str]]:
    """The running text of a page with the line where each part starts."""
    for block in page.blocks:
        if block.kind not in ("code-cell", "math", "fence", "eval-rst", "exercise"):
            yield block.line, "\n".join(filter(None, [block.argument, block.body]))


def paragraphs(text: str) -> list[str]:
    text = re.sub(r"^```\{math\}.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    parts = re.split(r"\n\s*\n|\n(?=\|)|\n(?=[-*] )", text)
    return [part for part in parts if not part.startswith("    ")]


def typed_results(text: str) -> list[str]:
    """What in a text is a typed result, by the rule above."""
    found = []
    for paragraph in paragraphs(text):
        if "(published" in paragraph:
            continue
        bare = CODE.sub(" ", paragraph)
        for phrase in EXEMPT:
            bare = bare.replace(phrase, " ")
        found += [m[0] for rule in (UNIT, TIMES) for m in rule.finditer(bare)]
        for match in DECIMAL.finditer(words := FORMULA.sub(" ", bare)):
            if not SETTING.search(words[: match.start()]):
                found.append(match[0])
    return found


@pytest.mark.parametrize("name", PAGES)
def test_no_result_is_typed(name):
    found = [
        f"near {name}.md:{line}: {result!r}"
        for line, text in prose(PAGES[name])
        for result in typed_results(text)
    ]
    assert not found, "\n".join([*found, 'print it in a cell, or say "(published)" if it is'])


@pytest.mark.parametrize(
    "text",
    [
        "With Fourier features it scores 30.5 dB.",
        "The gain is $3.2$ dB.",
        r"The gain is $3.2\,$dB.",
        "It gains three decibels.",
        "It gains half a\ndecibel.",
        "an IoU better by 2 IoU",
        "nearly 90 % of them",
        "nearly $90\\%$ of them",
        "so 12 per cent remain",
        "which is 4 times as fast as before",
        "or 1.7 times slower",
        "a speed-up of 12×",
        "The error fell to 0.0031 in the end.",
        "An IoU of 0.973, then.",
        "fitted slope −1.98",
        "| Gaussian | 25.57 |",
        "- a point: 25.57",
        "It is 5 dB (recorded here).",
        "The paper says so (published).\n\nHere it is 25.57.",
    ],
)
def test_a_planted_result_is_found(text):
    assert typed_results(text), text


@pytest.mark.parametrize(
    "text",
    [
        "In the paper it is 25.57 dB (published).",
        "The rate is $10^{-4}$ and 2000 steps were taken.",
        "It was trained at a rate of 0.01 on 32 points.",
        "Values between 0 and 1, on a grid of 128 by 128.",
        "With `scale=2.5` and $p = 1.5$ it works.",
        "```{math}\n0.5 \\, x\n```",
        "    loss = 0.5 * mean",
        "Networks four times as wide take as long.",
        "| Table (published) | 25.57 |",
        "This is Figure 3 of {cite:t}`x2020.5`, with Python 3.11 or newer.",
        "See [here](page-1.5.md).",
    ],
)
def test_what_is_no_result_is_left_alone(text):
    assert not typed_results(text), typed_results(text)


def test_every_exemption_is_used():
    text = "\n".join(page.source for page in PAGES.values())
    assert not [phrase for phrase in EXEMPT if phrase not in text]
