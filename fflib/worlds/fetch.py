"""Public data, fetched by public address once, checked, and kept.

``fetch(name)`` returns a file on this machine. It looks in the folder named by the environment
variable FFLIB_DATA, then in the cache (FFLIB_CACHE, else where the platform keeps caches), then
downloads. Nothing is used whose SHA-256 differs from the one in :mod:`fflib.worlds.sources`. A download
that broke off goes on where it stopped, also in a later session.

The standard library does it. pooch, the usual choice, neither resumes nor searches a folder, which
leaves the comparison of a hash.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tqdm.auto import tqdm

from fflib import checks
from fflib.worlds.sources import SOURCES, Source

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


ATTEMPTS = 4
TIMEOUT = 30.0  # seconds without a byte


class FetchError(OSError):
    """A file could not be had; the message says why and what to do.

    Chapter: Photographs and text.
    """


def cache_folder() -> Path:
    """Where downloads are kept: FFLIB_CACHE, else the platform's place for caches (not created yet).

    Chapter: Photographs and text.
    """
    if os.environ.get("FFLIB_CACHE"):
        return Path(os.environ["FFLIB_CACHE"])
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "fflib/Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/fflib"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fflib"


def fetch(name: str, source: Source | None = None) -> Path:
    """The file called ``name``, from FFLIB_DATA, the cache or its public address.

    In the folder FFLIB_DATA the file may have any name and lie at any depth: it is known by its
    checksum. Downloads show a progress bar, go on where they broke off, and appear in the cache
    only when they are whole and their checksum is right.

    Args:
        name: the file's name, one of ``SOURCES`` unless ``source`` is given.
        source: where it comes from.

    Returns: its path.

    Raises: FetchError (an OSError) when it cannot be had; ValueError for an unknown name or when
    FFLIB_DATA is no folder.

    Chapter: Photographs and text.
    """
    if source is None:
        source = SOURCES[checks.one_of("name", name, tuple(SOURCES))]
    found = _in_data_folder(name, source)
    if found is not None:
        return found
    path = cache_folder() / name
    if path.is_file() and _is(path, source):
        return path
    advice = "put it into a folder and set FFLIB_DATA to that folder"
    if not source.url:
        raise FetchError(f"{name} has no public address; {advice}")
    try:
        return _download(path, source)
    except FetchError as error:
        raise FetchError(
            f"could not get {name} from {source.url}: {error}. You can also {advice}"
        ) from error


# --------------------------------------------------------------------------------------------------
# Files that are here already


def _in_data_folder(name: str, source: Source) -> Path | None:
    """The file in FFLIB_DATA: by name first, then, if its checksum is known, whatever it is called."""
    if not os.environ.get("FFLIB_DATA"):
        return None
    folder = Path(os.environ["FFLIB_DATA"]).expanduser()
    if not folder.is_dir():
        raise ValueError(f"FFLIB_DATA must name a folder, but got {str(folder)!r}")
    files = sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: (p.name != name, p))
    for path in files:
        if (path.name == name or source.sha256) and _is(path, source):
            return path
    return None


def _is(path: Path, source: Source) -> bool:
    """Whether this file is the one meant; its length is compared first, which costs nothing."""
    if source.size and path.stat().st_size != source.size:
        return False
    return not source.sha256 or _sha256(path) == source.sha256


def _sha256(path: Path) -> str:
    """Checksum of a file, remembered as long as its length and time of change stay the same."""
    stat, index = path.stat(), cache_folder() / "sha256.json"
    key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
    try:
        known = dict(json.loads(index.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        known = {}
    if key not in known:
        known[key] = _digest(path)
        try:  # a convenience: where the cache cannot be written, it is computed again
            index.parent.mkdir(parents=True, exist_ok=True)
            part = index.with_name(f"sha256.{os.getpid()}.tmp")
            part.write_text(json.dumps(known), encoding="utf-8")
            os.replace(part, index)
        except OSError:
            pass
    return known[key]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --------------------------------------------------------------------------------------------------
# Downloads


def _download(path: Path, source: Source) -> Path:
    """Download to ``path``.part, then move it into place once it is what it should be."""
    part = path.with_name(path.name + ".part")
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
    with _alone(path):
        if path.is_file() and _is(path, source):  # another process has just brought it
            return path
        for _ in range(ATTEMPTS):
            have = part.stat().st_size if part.exists() else 0
            if source.size - have > free:
                needed = f"{source.size / 1e6:.0f} MB are more than the {free / 1e6:.0f} MB left"
                raise FetchError(f"{needed} in {path.parent}")
            total = _transfer(part, have, source)
            if total is not None and part.stat().st_size < total:
                have = part.stat().st_size
                why = f"the connection broke off after {have} of {total} bytes; the next try goes on from there"
                continue
            with _writing(path):
                found = _digest(part)
                if found == (source.sha256 or found):
                    os.replace(part, path)
                    return path
                part.unlink()
            why = f"its SHA-256 is {found}, not {source.sha256}"
            if (
                not have
            ):  # else what lay here may have been of another file: once more from the start
                break
    raise FetchError(why)


def _transfer(part: Path, have: int, source: Source) -> int | None:
    """Append to ``part`` what lies behind its ``have`` bytes; the whole length, if the server says it."""
    asked = {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(source.url, headers={"User-Agent": "fflib", **asked})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:  # nothing lies behind them: the checksum will tell
            return have
        raise FetchError(f"the server answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        raise FetchError(str(getattr(error, "reason", error)) or type(error).__name__) from error
    with response:
        if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            have = 0  # a server that sends all of it again
        left = response.headers.get("Content-Length")
        total = have + int(left) if left else source.size or None
        quiet = bool(os.environ.get("FFLIB_STATIC"))
        bar = tqdm(
            total=total,
            initial=have,
            unit="B",
            unit_scale=True,
            desc=part.stem,
            disable=quiet,
            leave=False,
        )
        with bar, _writing(part), part.open("ab" if have else "wb") as file:
            for block in _blocks(response):
                file.write(block)
                bar.update(len(block))
    return total


def _blocks(response) -> Iterator[bytes]:
    """The answer in pieces; a connection that breaks off ends it, what has come stays."""
    while True:
        try:
            block = response.read(1 << 18)
        except (http.client.HTTPException, OSError):
            return
        if not block:
            return
        yield block


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Errors of the disk as a FetchError; a full disk does not keep the part that filled it."""
    try:
        yield
    except FetchError:
        raise
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise FetchError(f"cannot write to {path.parent} ({error})") from error
        if path.suffix == ".part":
            path.unlink(missing_ok=True)
        raise FetchError(f"the disk of {path.parent} is full") from error


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Several processes that want one file: the first downloads, the others wait for it."""
    with _writing(path):
        file = path.with_name(path.name + ".lock").open("w")
    with file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
