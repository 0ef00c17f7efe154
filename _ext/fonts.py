"""Fonts cut down to the characters in use, from the wheels of installed packages.

The text is set in Source Serif, a face of the same build as the STIX of the formulas
(_ext/mathml.py); what it lacks, the reader's own serif has.
"""

from __future__ import annotations

import html
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

FACES = {"text.woff": "Regular", "text-italic.woff": "It", "text-bold.woff": "Semibold"}


def shipped(package: str, *parts: str) -> Path:
    """A file of an installed package, found without importing it."""
    found = importlib.util.find_spec(package)
    assert found is not None and found.origin is not None
    return Path(found.origin).parent.joinpath(*parts)


def cut(source: Path, target: Path, points: Iterable[int], **options) -> None:
    """Write the characters `points` of a font, and what they are set with, as WOFF."""
    how = subset.Options(flavor="woff", notdef_outline=True, recalc_timestamp=False, **options)
    target.parent.mkdir(parents=True, exist_ok=True)
    cutter = subset.Subsetter(how)
    cutter.populate(unicodes=points)
    with subset.load_font(str(source), how) as font:
        cutter.subset(font)
        subset.save_font(font, str(target), how)


def lacks(target: Path, points: set[int]) -> bool:
    """Whether a font that was cut before has not all of `points`, or is not there."""
    return not target.exists() or not points <= set(TTFont(target).getBestCmap() or ())


def add_text_faces(app, exception) -> None:
    if exception is not None or app.builder.format != "html":
        return
    pages = (page.read_text(encoding="utf-8") for page in Path(app.outdir).rglob("*.html"))
    used = {ord(c) for page in pages for c in html.unescape(re.sub(r"<[^>]*>", "", page))}
    for name, face in FACES.items():
        source = shipped("font_source_serif_pro", "files", f"SourceSerifPro-{face}.ttf")
        points = used & set(TTFont(source).getBestCmap() or ())
        if lacks(target := Path(app.outdir, "_static", name), points):
            cut(source, target, points, hinting=False, glyph_names=False)


def setup(app) -> dict:
    app.connect("build-finished", add_text_faces)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
