"""Public data: found in the reader's own folder, or fetched once by pooch, checked, and kept.

``fetch`` looks in the folder named by the environment variable FFLIB_DATA, at any depth, then in
the cache (FFLIB_CACHE, else where the platform keeps caches), then downloads. Nothing is used whose
SHA-256 differs from the one in fflib/worlds/assets/sources.txt.
"""

import contextlib
import os
from pathlib import Path
from typing import Any

from fflib import checks
from fflib.worlds.items import shipped

# name -> checksum (SHA-256), and public address where there is one
SOURCES = {
    name: tuple(source)
    for name, *source in map(str.split, shipped("sources.txt").read().decode().splitlines())
    if name != "#"
}


class FetchError(OSError):
    """A file could not be had; why, and what to do. Chapter: Photographs and text."""


def fetch(name: str) -> Path:
    """The path of the file called ``name``, whole and with the right checksum. Raises: FetchError
    (an OSError) when it cannot be had, for whatever reason; ValueError for no name of ``SOURCES``
    or when FFLIB_DATA is no folder. Chapter: Photographs and text.
    """
    import pooch

    sha256, *url = SOURCES[checks.one_of("name", name, tuple(SOURCES))]
    for path in _in_data_folder(name):
        with contextlib.suppress(OSError):  # what cannot be read is passed over
            if pooch.file_hash(str(path)) == sha256:
                return path
    advice = "put it into a folder and set FFLIB_DATA to that folder"
    if not url:
        raise FetchError(f"{name} has no public address; {advice}")
    known, bar = {name: f"sha256:{sha256}"}, not os.environ.get("FFLIB_STATIC")
    how: Any = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 18, timeout=30)
    try:
        cache = Path(os.environ.get("FFLIB_CACHE") or pooch.os_cache("fflib")).expanduser()
        shelf = pooch.create(cache, "", registry=known, urls={name: url[0]}, retry_if_failed=2)
        return Path(shelf.fetch(name, downloader=how))
    except RuntimeError as error:
        raise FetchError("there is no home folder for the cache: set FFLIB_CACHE") from error
    except (OSError, ValueError) as error:  # of the network, the disk, the checksum
        what = f"could not get {name} from {url[0]}: {error}"
        raise FetchError(f"{what}. You can also {advice}") from error


def _in_data_folder(name: str) -> list[Path]:
    if not os.environ.get("FFLIB_DATA"):
        return []
    folder = Path(os.path.expanduser(os.environ["FFLIB_DATA"]))
    checks.must(folder.is_dir(), "FFLIB_DATA", "name a folder", repr(str(folder)))
    return sorted(folder.rglob(name))
