"""Mathematics as MathML, written at build time: no script and no other host.

TeX is converted by math-core; what it does not know becomes a warning of the build. The font is
STIX Two Math as shipped in the wheel of ziamath, cut down to the characters that the formulas use.
Equations are numbered within their chapter, (4.3) where the chapter has a number, so that they
never depend on the order in which chapters are read; else a reference from elsewhere adds the
page's title.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import fonts
from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.domains.math import MathDomain
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

log = logging.getLogger(__name__)

FONT = "math.woff"

# Unicode blocks, or parts of them, that formulas draw from.
RANGES = (
    (0x0020, 0x007E),  # letters and digits
    (0x00A0, 0x00FF),
    (0x0131, 0x0131),  # dotless i and j
    (0x0237, 0x0237),
    (0x02C6, 0x02DD),  # accents
    (0x0300, 0x0338),
    (0x0391, 0x03D6),  # Greek
    (0x03F1, 0x03F5),
    (0x2010, 0x2044),  # punctuation
    (0x2057, 0x2057),
    (0x2061, 0x2064),  # invisible operators
    (0x20D0, 0x20EF),  # accents on symbols
    (0x2100, 0x214F),  # letter-like symbols
    (0x2190, 0x21FF),  # arrows
    (0x2200, 0x22FF),  # operators
    (0x2308, 0x230B),  # floor and ceiling
    (0x2329, 0x232A),  # angle brackets
    (0x239B, 0x23B5),  # parts of tall brackets
    (0x23DC, 0x23E1),  # braces above and below
    (0x25A0, 0x25FF),  # shapes
    (0x27E6, 0x27EF),  # brackets
    (0x27F5, 0x27FF),  # long arrows
    (0x2A00, 0x2A11),  # large operators
    (0x2A7D, 0x2A7E),  # slanted inequalities
    (0x2AAF, 0x2AB0),
    (0xFE00, 0xFE01),  # the two styles of calligraphic letters
    (0x1D400, 0x1D7FF),  # mathematical alphabets
)
# A letter alone in <mi> is set in italics, which are characters of their own.
ITALIC = (*range(0x1D434, 0x1D468), 0x210E, *range(0x1D6A4, 0x1D6A6), *range(0x1D6E2, 0x1D71C))
FEATURES = ("ssty", "dtls", "flac", "ccmp", "mark", "mkmk", "kern")

_converter = LatexToMathML(annotation=True, fancy_error=False)
# Chrome gives a bracket that carries a script the size asked for only in a row of its own.
_scripted = re.compile(r"(<msu[bp](?:sup)?>)(<mo [^>]*minsize[^>]*>[^<]*</mo>)")
_environment = re.compile(r"\\begin\{(\w+\*?)\}(?:(?!\\begin\{).)*?\\end\{\1\}", re.DOTALL)


class UnknownTeX(ValueError):
    """TeX that would not be shown as it was meant."""


def has_loose_line_break(tex: str) -> bool:
    r"""Whether ``\\`` stands outside every environment, where it would be dropped silently."""
    while True:
        shorter = _environment.sub("", tex)
        if shorter == tex:
            return r"\\" in tex
        tex = shorter


def to_mathml(tex: str, display: bool) -> str:
    """MathML of a formula.

    Raises:
        UnknownTeX: if math-core cannot convert it, or would lose a line break.
    """
    if has_loose_line_break(tex):
        raise UnknownTeX(r"a line break \\ needs \begin{aligned} … \end{aligned} around the lines")
    try:
        found = _converter.convert_with_local_state(tex.strip(), displaystyle=display)
    except LatexError as error:
        raise UnknownTeX(str(error)) from None
    return _scripted.sub(r"\1<mrow>\2</mrow>", found)


def parts(tex: str) -> list[str]:
    r"""A display formula cut at its wide gaps (``\qquad``), where a narrow screen breaks the line."""
    found, depth = [""], 0
    for token in re.findall(r"\\[a-zA-Z]+|\\.|[{}]|[^\\{}]+", tex, re.DOTALL):
        depth += (token in ("{", r"\begin", r"\left")) - (token in ("}", r"\end", r"\right"))
        if token == r"\qquad" and not depth:
            found.append("")
        else:
            found[-1] += token
    return [part for part in found if part.strip()]


def _convert(node, tex: str, display: bool) -> str:
    try:
        return to_mathml(tex, display)
    except UnknownTeX as error:
        log.warning("cannot render %r: %s", tex, error, location=node, type="mathml")
        return f"<code>{html.escape(tex)}</code>"


def visit_inline(self, node) -> None:
    self.body.append(f'<span class="math">{_convert(node, node.astext(), display=False)}</span>')
    raise nodes.SkipNode


def numbered(env, docname: str, number: int | None) -> str:
    """An equation's number with its chapter's before it, where that has one: 4.3."""
    chapter = env.toc_secnumbers.get(docname, {}).get("", ())
    return ".".join(map(str, [*chapter, number])) if number else ""


def visit_block(self, node) -> None:
    """A display equation: its formula scrolls in a box of its own, its number stays in view."""
    number = numbered(self.builder.env, self.builder.current_docname, node.get("number"))
    name = f"Equation {number}" if number else "Equation"
    self.body.append(self.starttag(node, "div", CLASS="math"))
    self.body.append(f'<div class="math-scroll" data-label="{name}">')
    self.body += [_convert(node, part, display=True) for part in parts(node.astext())]
    self.body.append("</div>")
    if number:
        self.body.append(f'<span class="eqno">({number})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append("</div>\n")
    raise nodes.SkipNode


class Together(SphinxPostTransform):
    """A formula stays on one line with the comma or full stop behind it."""

    default_priority = 800

    def run(self, **kwargs) -> None:
        for formula in list(self.document.findall(nodes.math)):
            line, at = formula.parent, formula.parent.index(formula)
            after = line[at + 1] if at + 1 < len(line) else None
            tail = re.match(r"\S{1,4}(?!\S)", after) if isinstance(after, nodes.Text) else None
            if tail:
                kept = nodes.inline("", "", formula, nodes.Text(tail[0]), classes=["together"])
                line[at : at + 2] = [kept, nodes.Text(after[tail.end() :])]


class ChapterMathDomain(MathDomain):
    """Equations numbered 1, 2, … within each chapter."""

    def note_equation(self, docname: str, labelid: str, location=None) -> None:
        super().note_equation(docname, labelid, location)
        before = sum(
            other == docname and label != labelid for label, (other, _) in self.equations.items()
        )
        self.equations[labelid] = (docname, before + 1)

    def resolve_xref(self, env, fromdocname, builder, typ, target, node, contnode):
        reference = super().resolve_xref(env, fromdocname, builder, typ, target, node, contnode)
        docname, number = self.equations.get(target, (fromdocname, None))
        if reference is not None:
            shown = numbered(env, docname, number)
            reference[:] = [nodes.Text(f"({shown})")]
            if docname != fromdocname and shown == str(number):
                title = env.titles[docname].astext()
                reference += nodes.inline("", f" of “{title}”", classes=["eq-chapter"])
        return reference


def characters(pages: Iterable[Path]) -> set[int]:
    """What the formulas of `pages` are made of, as far as it lies in RANGES."""
    formulas = (
        formula
        for page in pages
        for formula in re.findall(r"<math\b.*?</math>", page.read_text(encoding="utf-8"), re.DOTALL)
    )
    used = {
        character
        for formula in formulas  # the sign of a root is not written out
        for character in html.unescape(formula.replace("<msqrt>", "√").replace("<mroot>", "√"))
    }
    italic = {chr(c) for c in ITALIC if unicodedata.normalize("NFKC", chr(c)) in used}
    return {c for first, last in RANGES for c in range(first, last + 1) if chr(c) in used | italic}


def write_font(target: Path, points: Iterable[int]) -> None:
    """STIX Two Math, cut to the characters `points`."""
    source = fonts.shipped("ziamath", "fonts", "STIXTwoMath-Regular.ttf")
    layout = dict(layout_features=list(FEATURES), glyph_names=False, hinting=False)
    fonts.cut(source, target, points, **layout)


def add_font(app, exception) -> None:
    if exception is not None or app.builder.format != "html":
        return
    target, points = Path(app.outdir, "_static", FONT), characters(Path(app.outdir).rglob("*.html"))
    if points and fonts.lacks(target, points):
        write_font(target, points)


def setup(app) -> dict:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    app.add_domain(ChapterMathDomain, override=True)
    app.add_post_transform(Together)
    app.connect("build-finished", add_font)
    return {"env_version": 2, "parallel_read_safe": True, "parallel_write_safe": True}
