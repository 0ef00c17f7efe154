"""Chapters run two at a time, before Sphinx reads them one by one.

myst-nb executes a chapter when Sphinx comes to read it, so a second core waits. Here the chapters
that Sphinx is about to read go through the same client first, each in its own thread and kernel;
when Sphinx comes to them, their results are in the cache. At full scale, where one chapter fills
the machine, they run one by one. ``FFLIB_JOBS`` sets another number.

A chapter that fails stops those not yet begun; those that run are let finish, and stay cached.
"""

from __future__ import annotations

import logging
import os
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, cast

import execution
from jupyter_cache import get_cache
from myst_nb.core.execute import create_client
from myst_nb.core.read import create_nb_reader
from sphinx.errors import ConfigError
from sphinx.util import logging as sphinx_logging


def jobs() -> int:
    """How many chapters run at a time."""
    given = os.environ.get("FFLIB_JOBS", "")
    if given:
        if not given.isdecimal() or int(given) < 1:
            raise ConfigError(f"FFLIB_JOBS={given!r}: expected a whole number from 1 on")
        return int(given)
    return 1 if execution.scale() == "full" else min(2, os.cpu_count() or 1)


class Log(logging.LoggerAdapter):
    """What the client says, with the name of its chapter before it."""

    def process(self, msg, kwargs):
        path = (self.extra or {})["path"]
        return f"{path}: {msg}", {"extra": {"type": "mystnb"}}


def client(path: Path, env):
    """myst-nb's client for the notebook at ``path``; None if it is an ordinary page."""
    text = path.read_text(encoding="utf-8")
    reader = create_nb_reader(str(path), env.myst_config, env.mystnb_config, text)
    if reader is None:
        return None
    log = Log(sphinx_logging.getLogger(__name__), {"path": path})
    return create_client(
        reader.read(text), str(path), env.mystnb_config, cast(Any, log), reader.read_fmt
    )


def execute(app, env, docnames: list[str]) -> None:
    """Fill the cache with the results of the chapters that are about to be read."""
    if env.mystnb_config.execution_mode != "cache" or jobs() == 1:
        return
    # made once, before the threads want it
    get_cache(env.mystnb_config.execution_cache_path).db
    clients = [found for name in docnames if (found := client(Path(env.doc2path(name)), env))]
    with ThreadPoolExecutor(jobs()) as pool:
        running = [pool.submit(one.start_client) for one in clients]
        try:
            wait(running, return_when=FIRST_EXCEPTION)
        except KeyboardInterrupt:
            # at once, without waiting for the threads; a kernel ends when its parent does
            os._exit(130)
        pool.shutdown(cancel_futures=True)
    for one in running:
        if not one.cancelled():
            one.result()


def setup(app) -> dict:
    app.connect("env-before-read-docs", execute)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
