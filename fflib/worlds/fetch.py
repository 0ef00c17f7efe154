"""Public data: found in the reader's own folder, or fetched once by pooch, checked, and kept.

``fetch(name)`` returns a file on this machine. It looks in the folder named by the environment
variable FFLIB_DATA, then in the cache (FFLIB_CACHE, else where the platform keeps caches), then
downloads. Nothing is used whose SHA-256 differs from the one in fflib/worlds/assets/sources.txt.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any, NamedTuple

from fflib import checks
from fflib.worlds.items import shipped


class Source(NamedTuple):
    """Where a file comes from: checksum (SHA-256), length in bytes, public address if it has one.
    Chapter: Photographs and text.
    """

    sha256: str
    size: int
    url: str = ""


def _known() -> dict[str, Source]:
    lines = shipped("sources.txt").read().decode().splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    return {name: Source(sha256, int(size), *url) for name, sha256, size, *url in rows}


SOURCES = _known()


class FetchError(OSError):
    """A file could not be had; why, and what to do. Chapter: Photographs and text."""


def cache_folder() -> Path:
    """Where downloads are kept: FFLIB_CACHE, else the platform's place for caches; not created yet.

    Raises: FetchError where there is neither, on a machine without a home folder. Chapter:
    Photographs and text.
    """
    import pooch

    try:
        return Path(os.environ.get("FFLIB_CACHE") or pooch.os_cache("fflib")).expanduser()
    except RuntimeError as error:
        raise FetchError("there is no home folder for the cache: set FFLIB_CACHE") from error


def fetch(name: str, source: Source | None = None) -> Path:
    """The file called ``name``, from FFLIB_DATA, the cache or its public address.

    In the folder FFLIB_DATA the file may have any name and lie at any depth: it is known by its
    checksum. A download appears in the cache only when it is whole and its checksum is right.

    ``name`` is one of ``SOURCES`` unless ``source`` says where the file comes from. Returns: its
    path. Raises: FetchError (an OSError) when it cannot be had, for whatever reason; ValueError for
    an unknown name or when FFLIB_DATA is no folder. Chapter: Photographs and text.
    """
    if source is None:
        source = SOURCES[checks.one_of("name", name, tuple(SOURCES))]
    for path in _in_data_folder(name):
        if _is(path, source):
            return path
    advice = "put it into a folder and set FFLIB_DATA to that folder"
    if not source.url:
        raise FetchError(f"{name} has no public address; {advice}")
    try:
        path = cache_folder() / name
        return path if _is(path, source) else _download(path, source)
    except (OSError, ValueError) as error:  # of the network, the disk, the checksum
        raise FetchError(
            f"could not get {name} from {source.url}: {error}. You can also {advice}"
        ) from error


def _in_data_folder(name: str) -> list[Path]:
    """All files in FFLIB_DATA, those of the right name first."""
    if not os.environ.get("FFLIB_DATA"):
        return []
    folder = Path(os.path.expanduser(os.environ["FFLIB_DATA"]))
    checks.must(folder.is_dir(), "FFLIB_DATA", "name a folder", repr(str(folder)))
    return sorted(folder.rglob("*"), key=lambda path: (path.name != name, path))


def _is(path: Path, source: Source) -> bool:
    """Whether this file is the one meant; its length is compared first, which costs nothing."""
    try:
        stat = path.stat()
        right = path.is_file() and stat.st_size == source.size
        return right and _sha256(path, stat.st_size, stat.st_mtime_ns) == source.sha256
    except OSError:
        return False


@functools.lru_cache
def _sha256(path: Path, size: int, changed: int) -> str:
    """Checksum of a file, remembered as long as its length and time of change stay the same."""
    import pooch

    return pooch.file_hash(str(path))


def _download(path: Path, source: Source) -> Path:
    """Download to a temporary file, which takes its place once its checksum is right."""
    import pooch

    known, urls = {path.name: f"sha256:{source.sha256}"}, {path.name: source.url}
    shelf = pooch.create(path.parent, "", registry=known, urls=urls, retry_if_failed=2)
    bar = not os.environ.get("FFLIB_STATIC")
    how: Any = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 18, timeout=30)
    return Path(shelf.fetch(path.name, downloader=how))
