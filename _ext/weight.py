"""What a page loads: nothing that it does not use.

Pictures are files beside the pages, so that the hidden frames of a slider are fetched when they are
wanted. The theme's script of all icons (1.5 MB) goes, since its font draws them too; of the font
stay the icons that are used. The search's index is loaded by the search's page alone.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from fontTools import subset

ICONS = {"solid-900": "icons.woff", "brands-400": "brands.woff"}
PICTURE = re.compile(r'(<img [^>]*src=")data:image/(webp|png);base64,([^"]+)"')
UNUSED = r'\s*<script[^>]* src="[^"]*/?_?(?:%s)\.js[^"]*"[^>]*></script>'
EVERYWHERE = re.compile(UNUSED % "fontawesome")
SEARCH = re.compile(UNUSED % "searchtools|language_data|searchindex")


def picture_files(body: str, folder: Path, address: str) -> str:
    """`body` with its pictures as files of `folder`, which pages reach at `address`."""

    def written(found: re.Match) -> str:
        data = base64.b64decode(found[3])
        name = f"{hashlib.sha256(data).hexdigest()[:16]}.{found[2]}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        return f'{found[1]}{address}/{name}"'

    return PICTURE.sub(written, body)


def put_pictures_beside(app, pagename, templatename, context, doctree) -> None:
    if "body" in context and app.builder.format == "html":
        address = context["pathto"]("_images", 1)
        context["body"] = picture_files(context["body"], Path(app.outdir, "_images"), address)


def lighter(page: str, is_search: bool) -> str:
    """A page without the scripts that it does not need."""
    page = EVERYWHERE.sub("", page)
    return page if is_search else SEARCH.sub("", page)


def icons(styles: str, pages: str) -> set[int]:
    """Code points of the icons that the pages name, and of those that the styles themselves draw."""
    named = re.compile(r'((?:\.fa-[\w-]+(?:::?before)?,?)+)\{(?:content|--fa):"\\([0-9a-f]+)"')
    used = set(re.findall(r"\bfa-[\w-]+", pages))
    points = {
        p for names, p in named.findall(styles) if used & set(re.findall(r"fa-[\w-]+", names))
    }
    points |= set(re.findall(r'"\\(f[0-9a-f]{3})"', named.sub("", styles)))
    return {int(point, 16) for point in points} | {
        ord(c) for c in styles if "\uf000" <= c <= "\uf8ff"
    }


def write_font(source: Path, target: Path, points: set[int]) -> None:
    """The characters `points` of a font, as WOFF."""
    options = subset.Options(flavor="woff", notdef_outline=True, recalc_timestamp=False)
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=points)
    with subset.load_font(str(source), options) as font:
        cutter.subset(font)
        subset.save_font(font, str(target), options)


def lighten(app, exception) -> None:
    """Rewrite what the theme adds around the pages, once all are written."""
    if exception is not None or app.builder.format != "html":
        return
    static, seen = Path(app.outdir, "_static"), []
    for path in sorted(Path(app.outdir).rglob("*.html")):
        page = path.read_text(encoding="utf-8")
        if (changed := lighter(page, path.name == "search.html")) != page:
            path.write_text(changed, encoding="utf-8")
        seen += re.findall(r'class="[^"]*\bfa-[^"]*"', changed)
    scripts = "".join(path.read_text(encoding="utf-8") for path in static.glob("scripts/*theme.js"))
    styles = "".join(path.read_text(encoding="utf-8") for path in static.rglob("*.css"))
    points = icons(styles, " ".join(seen) + scripts)
    fonts = static / "vendor" / "fontawesome" / "webfonts"
    for name, target in ICONS.items():
        write_font(fonts / f"fa-{name}.ttf", static / target, points)


def setup(app) -> dict:
    app.connect("html-page-context", put_pictures_beside, priority=950)
    app.connect("build-finished", lighten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
