"""Links that need the repository's address are left out where it has none yet.

`make address URL=…` gives it one, and brings the links to the repository and to Colab back, the
canonical address of every page, and a sitemap.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

NONE_YET = "OWNER/REPO"


def address_pages(app, config) -> None:
    options = config.html_theme_options
    url = options.get("repository_url", "")
    if url.endswith(NONE_YET):
        options.update(repository_url="", use_repository_button=False, launch_buttons={})
    else:
        about = tomllib.loads(Path(app.srcdir, "pyproject.toml").read_text(encoding="utf-8"))
        config.html_baseurl = config.ogp_site_url = about["project"]["urls"]["Book"]


def add_sitemap(app, exception) -> None:
    base = app.config.html_baseurl
    if exception is None and base and app.builder.format == "html":
        pages = (f"{base}{app.builder.get_target_uri(p)}" for p in sorted(app.env.found_docs))
        text = "".join(f"<url><loc>{page}</loc></url>\n" for page in pages)
        Path(app.outdir, "sitemap.xml").write_text(
            '<?xml version="1.0" encoding="utf-8"?>\n'
            f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{text}</urlset>\n',
            encoding="utf-8",
        )


def setup(app) -> dict:
    app.connect("config-inited", address_pages)
    app.connect("build-finished", add_sitemap)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
