"""Links that need the repository's address are left out where it has none yet.

`make address URL=…` gives it one, and brings the links to the repository and to Colab back.
"""

from __future__ import annotations

NONE_YET = "OWNER/REPO"


def hide_links(app, config) -> None:
    options = config.html_theme_options
    if options.get("repository_url", "").endswith(NONE_YET):
        options.update(repository_url="", use_repository_button=False, launch_buttons={})


def setup(app) -> dict:
    app.connect("config-inited", hide_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
