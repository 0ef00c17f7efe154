"""How the chapters are executed: with which kernel, cached where, and what a failure says.

Four things that myst-nb leaves open:

*The kernel.* Chapters run in a kernel of our own description, written into the build folder:
this interpreter, this checkout's ``fflib``, static figures, a fixed hash seed, no start-up files
of the person who builds, and none of ipykernel's notices. Compiling is much of their time, so XLA
does less of it than it does for readers (not at full scale), and what it made is kept in the build
folder, where the next run of the same chapter finds it: a folder a chapter, since jax writes there
without a lock. Two chapters run at once, so linear algebra keeps to one thread: OpenBLAS's threads
wait for each other awake, and where another process has the cores, that takes a hundred times as
long as the work.

*The cache.* myst-nb executes a chapter again when its code cells change. Its results also
depend on ``fflib``, the requirements, the versions installed and the scale, so a hash of those
names the folder of the cache: a change of any executes every chapter, no change executes none.

*The table of times.* It names chapters by their titles, and has whole seconds.

*Failure.* A failing cell stops the build with the chapter, the cell's number and line, its code
and the traceback.
"""

from __future__ import annotations

import contextvars
import functools
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import sys
from pathlib import Path

import xla
from docutils import nodes
from myst_nb.core.execute.cache import NotebookClientCache
from myst_nb.ext import execution_tables as tables
from nbclient import NotebookClient
from sphinx.errors import SphinxError
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

log = logging.getLogger(__name__)

PACKAGES = ("jax", "jaxlib", "numpy", "optax", "matplotlib", "libigl", "trimesh")
SOURCES = (
    "fflib/**/*.py",
    "fflib/results/**/*.*",
    "fflib/worlds/assets/*",
    "requirements.txt",
    "pyproject.toml",
)
PROGRAMS = ".programs"  # in the build folder: what XLA compiled
CHAPTER = contextvars.ContextVar("CHAPTER", default="other")
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class ChapterError(SphinxError):
    """A chapter whose code did not run to its end."""

    category = "A chapter failed"


# --- the cache -----------------------------------------------------------------------------------


def versions() -> dict[str, str]:
    """Versions whose change may change the chapters' numbers."""
    found = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def scale() -> str:
    """``quick`` or ``full``, as FFLIB_SCALE says."""
    return os.environ.get("FFLIB_SCALE") or "quick"


def fingerprint(root: Path) -> str:
    """Hash of all that the chapters' results depend on, other than the chapters themselves."""
    digest = hashlib.sha256(json.dumps([versions(), scale()], sort_keys=True).encode())
    paths = {path for pattern in SOURCES for path in root.glob(pattern) if path.is_file()}
    for path in sorted(paths, key=lambda p: p.relative_to(root).as_posix()):
        content = path.read_bytes()
        digest.update(f"\0{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def drop_stale(current: Path) -> list[Path]:
    """Delete the caches of the same scale that are older than ``current``; returns them."""
    if not current.is_dir():
        return []
    prefix, age = current.name.split("-")[0], current.stat().st_mtime
    stale = [
        folder
        for folder in current.parent.glob(f"{prefix}-*")
        if folder.is_dir() and folder != current and folder.stat().st_mtime < age
    ]
    for folder in stale:
        shutil.rmtree(folder)
    return stale


# --- the kernel ----------------------------------------------------------------------------------


def kernel_description(root: Path, folder: Path) -> dict:
    """The ``kernel.json`` of the kernel that executes the chapters."""
    path = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    brief = xla.brief() if scale() == "quick" else []
    return {
        "argv": [*argv, "--log-level=ERROR"],
        "display_name": "Python 3",
        "language": "python",
        "env": {
            "FFLIB_STATIC": "1",
            "IPYTHONDIR": str(folder / "ipython"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "OPENBLAS_NUM_THREADS": "1",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "PYTHONHASHSEED": "0",
            "PYTHONPATH": os.pathsep.join(path),
            "XLA_FLAGS": " ".join([os.environ.get("XLA_FLAGS", ""), *brief]).strip(),
        },
    }


def with_programs(start_kernel, folder: Path):
    """Wrap nbclient's start of a kernel: jax keeps compiled programs in the chapter's folder."""

    @functools.wraps(start_kernel)
    async def wrapper(self, **how):
        env = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(folder / CHAPTER.get())}
        await start_kernel(self, **{"env": env} | how)

    return wrapper


def install_kernel(root: Path, folder: Path) -> None:
    """Write the kernel's description and let Jupyter find it before any other ``python3``."""
    target = folder / "kernels" / "python3" / "kernel.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(kernel_description(root, folder), indent=1), encoding="utf-8")
    paths = os.environ.get("JUPYTER_PATH", "").split(os.pathsep)
    if str(folder) not in paths:
        os.environ["JUPYTER_PATH"] = os.pathsep.join([str(folder), *filter(None, paths)])


# --- failure -------------------------------------------------------------------------------------


def failing_cell(cells: list) -> int | None:
    """Index of the cell that raised, or else of the last one that was started."""
    code = [i for i, cell in enumerate(cells) if cell.cell_type == "code"]
    raised = [i for i in code if any(o.output_type == "error" for o in cells[i].outputs)]
    started = [i for i in code if cells[i].get("execution_count")]
    return (raised or started[-1:] or code[:1] or [None])[0]


def failure_text(chapter: str, cells: list, line, error: BaseException) -> str:
    """What to tell the author; ``line`` maps a cell's index to its line in the source."""
    index = failing_cell(cells)
    if index is None:
        return f"{chapter}: {error}"
    code = [i for i, cell in enumerate(cells) if cell.cell_type == "code"]
    outputs = [o for o in cells[index].outputs if o.output_type == "error"]
    if outputs:
        reason = f"{outputs[0].ename}: {outputs[0].evalue}"
        details = "\n".join(outputs[0].traceback)
    else:
        cause = error.__cause__ or error
        reason = f"{type(cause).__name__}: {cause}"
        details = ""
    where = f"{chapter}, code cell {code.index(index) + 1} of {len(code)} (line {line(index)})"
    source = "\n".join(f"    {text}" for text in cells[index].source.splitlines())
    return ANSI.sub("", f"{where}\n{reason}\n\nThe cell:\n{source}\n\n{details}".rstrip())


def named_failures(start_client):
    """Wrap myst-nb's execution of a notebook so that a failure names the chapter and the cell."""
    if getattr(start_client, "names_failures", False):
        return start_client

    @functools.wraps(start_client)
    def wrapper(self):
        CHAPTER.set(Path(self.path).stem if self.path else "other")
        try:
            return start_client(self)
        except Exception as error:
            chapter = os.path.relpath(self.path) if self.path else "a chapter"
            text = failure_text(chapter, self.notebook.cells, self.cell_line, error)
            raise ChapterError(text) from error

    wrapper.names_failures = True
    return wrapper


# --- times ---------------------------------------------------------------------------------------


def plainer_times() -> None:
    """Of myst-nb's table of times the columns that say something: when, and how long."""
    tables._key2header.clear()
    tables._key2header.update(mtime="Run on", runtime="Seconds")
    tables._key2transform["runtime"] = lambda seconds: f"{seconds or 0:.0f}"


class Titles(SphinxPostTransform):
    """In that table chapters have their titles; runs when its links are made."""

    default_priority = 188

    def run(self, **kwargs) -> None:
        for link in self.document.findall(nodes.reference):
            if title := self.env.titles.get(link.astext()):
                link[:] = [nodes.inline(text=title.astext())]


# --- Sphinx --------------------------------------------------------------------------------------


def configure(app, config) -> None:
    """Choose kernel and cache, before myst-nb reads its settings."""
    root, build = Path(app.confdir), Path(app.outdir).parent
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))  # the API page imports this checkout's fflib
    install_kernel(root, build / ".kernel")
    start = getattr(
        NotebookClient.async_start_new_kernel, "__wrapped__", NotebookClient.async_start_new_kernel
    )
    NotebookClient.async_start_new_kernel = with_programs(start, build / PROGRAMS)
    config.nb_execution_cache_path = str(
        build / ".jupyter_cache" / f"{scale()}-{fingerprint(root)}"
    )


def clean(app, exception) -> None:
    if exception is None:
        for folder in drop_stale(Path(app.config.nb_execution_cache_path)):
            log.info("removed the outdated results in %s", folder)


def setup(app) -> dict:
    NotebookClientCache.start_client = named_failures(NotebookClientCache.start_client)
    plainer_times()
    app.add_post_transform(Titles)
    app.connect("config-inited", configure)
    app.connect("build-finished", clean)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
