"""Accessibility: corrections to what the theme, myst-nb and sphinx-exercise write.

Found with axe-core and a screen reader's eyes; `tests/book/test_pages.py` keeps them found. The
label of the search button is in the overridden template of `_templates/`.
"""

from __future__ import annotations

import re

from docutils import nodes

WIDGET_STATE = "application/vnd.jupyter.widget"

REPLACEMENTS = (
    # The summary already says "Show code cell source"; a label would hide those words.
    ('<summary aria-label="Toggle hidden content">', "<summary>"),
    # Roles that must have, or be, children of certain roles, and have not.
    ('<div role="list" class="citation-list">', '<div class="citation-list">'),
    (' role="doc-biblioentry"', ""),
)


def correct(body: str) -> str:
    """The body of a page with labels and roles put right."""
    for old, new in REPLACEMENTS:
        body = body.replace(old, new)
    return re.sub(rf'<script type="{WIDGET_STATE}[^"]*">.*?</script>', "", body, flags=re.DOTALL)


def named(page: str) -> str:
    """A whole page whose sidebar says what its arrows open."""
    arrow = '<summary><span class="toctree-toggle"'
    return page.replace(arrow, arrow.replace(">", ' aria-label="Pages of this part">', 1))


def correct_page(app, pagename, templatename, context, doctree) -> None:
    if "body" in context:
        context["body"] = correct(context["body"])
    # The state of widgets, for a library that these pages do not load.
    scripts = context.get("script_files", [])
    scripts[:] = [s for s in scripts if not is_widget_state(s)]


def is_widget_state(script) -> bool:
    attributes = getattr(script, "attributes", {})
    return str(attributes.get("type", "")).startswith(WIDGET_STATE)


def drop_repeated_ids(app, doctree, docname) -> None:
    """All exercises of a page have content with the same id."""
    for section in doctree.findall(nodes.section):
        if section.get("ids") == ["exercise-content"]:
            section["ids"] = []


def setup(app) -> dict:
    app.connect("doctree-resolved", drop_repeated_ids)
    app.connect("html-page-context", correct_page, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
