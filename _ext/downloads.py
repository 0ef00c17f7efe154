"""The download button offers the exported notebook that lies beside a chapter.

The theme would offer the chapter as myst-nb executed it, whose Markdown still has directives and
roles that plain Jupyter shows raw.
"""

from __future__ import annotations

import shutil
from pathlib import Path


def offer_export(app, pagename, templatename, context, doctree) -> None:
    exported = Path(app.srcdir) / f"{pagename}.ipynb"
    offered = Path(app.outdir) / "_sources" / f"{pagename}.ipynb"
    if context.get("ipynb_source") and exported.exists():
        shutil.copyfile(exported, offered)


def setup(app) -> dict:
    app.connect("html-page-context", offer_export, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
