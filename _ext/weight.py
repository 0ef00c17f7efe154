"""What a page loads: nothing that it does not use.

Pictures are files beside the pages, so that the hidden frames of a slider are fetched when they are
wanted. The theme's script of all icons (1.5 MB) goes, since its font draws them too; of the font
stay the icons that are used, of the theme's style the rules that a page or a script has a use for.
The search's index is loaded by the search's page alone.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import a11y
import fonts

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


def icons(styles: str, used: set[str]) -> set[int]:
    """Code points of the icons whose class is `used`, and of those that the styles draw."""
    rule = re.compile(r'((?:\.fa-[\w-]+::?before,?)+)\{content:"\\([0-9a-f]+)"\}')
    points = {p for names, p in rule.findall(styles) if used & set(re.findall(r"fa-[\w-]+", names))}
    points |= set(re.findall(r'"\\(f[0-9a-f]{3})"', rule.sub("", styles)))
    return {int(point, 16) for point in points} | set(
        map(ord, re.findall("[\uf000-\uf8ff]", styles))
    )


def rules_in_use(style: str, used: set[str]) -> str:
    """A style sheet without the rules for classes that are not `used`; Bootstrap's own stay."""

    def kept(selector: str) -> bool:
        positive = re.sub(r":not\([^()]*\)", "", selector)
        names = re.findall(r"\.((?:[\w-]|\\.)+)", positive)
        return all(name.replace("\\", "") in used or name.startswith("bs-") for name in names)

    def rule(found: re.Match) -> str:
        selectors = [s for s in re.split(r",(?![^()]*\))", found[1]) if kept(s)]
        return f"{','.join(selectors)}{{{found[2]}}}" if selectors else ""

    return re.sub(r"([^{}@]+)\{([^{}]*)\}", rule, style)


def words_of(pages: list[str], static: Path) -> set[str]:
    """The classes that the pages name, and every word of the scripts, which may set them."""
    named = (
        name
        for page in pages
        for value in re.findall('class="([^"]*)"', page)
        for name in value.split()
    )
    scripts = "".join(path.read_text(encoding="utf-8") for path in static.rglob("*.js"))
    return {*named, *re.findall(r"[\w-]+", scripts)}


def lighten(app, exception) -> None:
    """Rewrite what the theme adds around the pages, once all are written."""
    if exception is not None or app.builder.format != "html":
        return
    static, pages = Path(app.outdir, "_static"), []
    for path in sorted(Path(app.outdir).rglob("*.html")):
        page = path.read_text(encoding="utf-8")
        pages.append(lighter(a11y.named(page), path.name == "search.html"))
        if pages[-1] != page:
            path.write_text(pages[-1], encoding="utf-8")
    (static / "scripts" / "fontawesome.js").unlink(missing_ok=True)
    used = words_of(pages, static)
    styles = {path: path.read_text(encoding="utf-8") for path in static.rglob("*.css")}
    points = icons("".join(styles.values()), used)
    folder = static / "vendor" / "fontawesome" / "webfonts"
    for name, target in ICONS.items():
        fonts.cut(folder / f"fa-{name}.ttf", static / target, points)
    for path, style in styles.items():
        if path.parent.name == "styles":
            path.write_text(rules_in_use(style, used), encoding="utf-8")


def setup(app) -> dict:
    app.connect("html-page-context", put_pictures_beside, priority=950)
    app.connect("build-finished", lighten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
