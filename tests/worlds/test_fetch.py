"""Downloads, tried against a server of our own that breaks off, refuses, lies or is not there."""

import errno
import hashlib
import http.server
import os
import pwd
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pooch
import pytest

from fflib.worlds import fetch as module
from fflib.worlds.fetch import SOURCES, FetchError

BODY = np.random.default_rng(0).bytes(700_000)
SHA = hashlib.sha256(BODY).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the server's ``body``, of which only ``break_after[k]`` bytes at the k-th request."""

    def do_GET(self):
        server = self.server
        server.asked += 1
        if server.status != 200:
            return self.send_error(server.status)
        self.send_response(200)
        self.send_header("Content-Length", str(len(server.body)))
        self.end_headers()
        self.wfile.write(server.body[: server.break_after.get(server.asked)])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.body, made.asked, made.status, made.break_after = BODY, 0, 200, {}
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FFLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FFLIB_DATA", raising=False)
    monkeypatch.setenv("FFLIB_STATIC", "1")  # no progress bars among the dots
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(pooch.core.time, "sleep", lambda _: None)
    return tmp_path / "cache"


def source(server):
    url = f"http://127.0.0.1:{server.server_address[1]}/file.bin"
    return SHA, url


def fetch(name, *source):
    """Fetched as if it were one of the files known."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SOURCES", dict(zip([name], source, strict=False)))
        return module.fetch(name)


def left(cache):
    return sorted(p.name for p in cache.iterdir())


# --- what works


def test_a_file_is_downloaded_once(server, cache):
    path = fetch("file.bin", source(server))
    assert path == cache / "file.bin" and path.read_bytes() == BODY
    assert fetch("file.bin", source(server)) == path
    assert server.asked == 1 and left(cache) == ["file.bin"]


def test_a_download_that_breaks_off_is_tried_again(server, cache):
    server.break_after = {1: 300_000, 2: 10}
    assert fetch("file.bin", source(server)).read_bytes() == BODY
    assert server.asked == 3 and left(cache) == ["file.bin"]


def test_a_progress_bar(server, monkeypatch, capsys):
    monkeypatch.delenv("FFLIB_STATIC")
    fetch("file.bin", source(server))
    assert "100%" in capsys.readouterr().err


@pytest.mark.parametrize("damage", [b"", BODY[:-1], b"x" + BODY[1:]])
def test_a_damaged_cache_is_replaced(server, cache, damage):
    cache.mkdir()
    (cache / "file.bin").write_bytes(damage)
    assert fetch("file.bin", source(server)).read_bytes() == BODY


def test_a_file_changed_after_it_was_checked_is_seen(server):
    path = fetch("file.bin", source(server))
    path.write_bytes(b"x" + BODY[1:])
    os.utime(path, ns=(1, 1))
    assert fetch("file.bin", source(server)).read_bytes() == BODY and server.asked == 2


def test_several_at_once_do_not_disturb_each_other(server, cache):
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: fetch("file.bin", source(server)), range(4)))
    assert {p.read_bytes() for p in paths} == {BODY} and left(cache) == ["file.bin"]


def test_nothing_is_locked(server, monkeypatch):
    """On a file system without locks (Lustre, some FUSE) every attempt to lock is an error."""
    fcntl = pytest.importorskip("fcntl")

    def refused(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refused)
    monkeypatch.setattr(fcntl, "lockf", refused)
    assert fetch("file.bin", source(server)).read_bytes() == BODY


# --- the reader's own folder


@pytest.mark.parametrize("name", ["file.bin", "deep/down/file.bin"])
def test_the_data_folder_comes_first(server, tmp_path, monkeypatch, name):
    mine = tmp_path / "mine" / name
    mine.parent.mkdir(parents=True)
    mine.write_bytes(BODY)
    (tmp_path / "mine/other.bin").write_bytes(b"o" * len(BODY))
    monkeypatch.setenv("FFLIB_DATA", str(tmp_path / "mine"))
    assert fetch("file.bin", source(server)) == mine and server.asked == 0


def test_home_may_be_a_tilde(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FFLIB_CACHE", "~/here")
    assert fetch("file.bin", source(server)) == tmp_path / "here/file.bin"
    monkeypatch.setenv("FFLIB_DATA", "~/here")
    monkeypatch.setenv("FFLIB_CACHE", "~/there")
    assert fetch("file.bin", source(server)) == tmp_path / "here/file.bin"
    assert server.asked == 1


def test_a_name_alone_is_not_enough(server, tmp_path, monkeypatch, cache):
    (tmp_path / "file.bin").write_bytes(b"o" * len(BODY))
    monkeypatch.setenv("FFLIB_DATA", str(tmp_path))
    assert fetch("file.bin", source(server)) == cache / "file.bin"


def test_a_file_that_cannot_be_read_is_passed_over(server, tmp_path, monkeypatch, cache):
    (tmp_path / "file.bin").write_bytes(BODY)
    monkeypatch.setenv("FFLIB_DATA", str(tmp_path))
    real = pooch.file_hash

    def hashed(path, *rest):
        if path == str(tmp_path / "file.bin"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path, *rest)

    monkeypatch.setattr(pooch, "file_hash", hashed)
    assert fetch("file.bin", source(server)) == cache / "file.bin"


def test_a_data_folder_that_is_none(server, tmp_path, monkeypatch):
    monkeypatch.setenv("FFLIB_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"FFLIB_DATA must name a folder.*nowhere"):
        fetch("file.bin", source(server))


# --- what does not work, and what it says


@pytest.mark.parametrize("body", [BODY[::-1], b"<html>please log in"])
def test_a_login_page_is_not_kept(server, cache, body):
    """Nor anything else of another checksum, and what lay there before stays as it was."""
    server.body = body
    with pytest.raises(FetchError, match=f"could not get file.bin from http.*{SHA}.*FFLIB_DATA"):
        fetch("file.bin", source(server))
    assert left(cache) == []


def test_a_server_that_refuses(server, cache):
    server.status = 404
    with pytest.raises(FetchError, match="404"):
        fetch("file.bin", source(server))
    assert left(cache) == []


def test_no_network():
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as gone:
        port = gone.server_address[1]
    with pytest.raises(FetchError, match=r"could not get x.bin from .*refused.*set FFLIB_DATA"):
        fetch("x.bin", (SHA, f"http://127.0.0.1:{port}/x.bin"))


def test_an_unknown_host():
    with pytest.raises(FetchError, match=r"could not get x.bin"):
        fetch("x.bin", (SHA, "http://nowhere.invalid/x.bin"))


def test_a_disk_that_fills_up(server, cache, monkeypatch):
    """The part that filled it is deleted, and the damaged file of before is not lost."""
    cache.mkdir()
    (cache / "file.bin").write_bytes(b"before")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", full)
    with pytest.raises(FetchError, match="No space left on device"):
        fetch("file.bin", source(server))
    assert left(cache) == ["file.bin"] and (cache / "file.bin").read_bytes() == b"before"


def test_a_cache_that_cannot_be_made(server, tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setenv("FFLIB_CACHE", str(tmp_path / "taken/cache"))
    with pytest.raises(FetchError, match=r"could not get file.bin.*taken"):
        fetch("file.bin", source(server))


def test_no_home_folder(server, tmp_path, monkeypatch):
    """Neither HOME nor an entry for this user: a FetchError, so that loaders fall back."""

    def unknown(_):
        raise KeyError("uid not found")

    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "FFLIB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for place in ("", "~/cache"):
        monkeypatch.setenv("FFLIB_CACHE", place)
        with pytest.raises(FetchError, match=r"no home folder.*set FFLIB_CACHE"):
            fetch("file.bin", source(server))
    assert list(tmp_path.iterdir()) == [] and server.asked == 0
    (tmp_path / "file.bin").write_bytes(BODY)
    monkeypatch.setenv("FFLIB_DATA", str(tmp_path))
    assert fetch("file.bin", source(server)) == tmp_path / "file.bin"


def test_a_file_without_an_address():
    with pytest.raises(FetchError, match=r"x.npz has no public address; put it into a folder"):
        fetch("x.npz", (SHA,))


def test_an_unknown_name():
    with pytest.raises(ValueError, match="name must be one of"):
        module.fetch("kodim99.png")


def test_where_the_cache_is(server, monkeypatch, tmp_path):
    monkeypatch.delenv("FFLIB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert fetch("file.bin", source(server)) == tmp_path / "fflib/file.bin"


def test_every_source_has_a_checksum():
    for name, (sha256, *url) in SOURCES.items():
        assert not url or url[0].startswith("https://"), name
        assert len(sha256) == 64 and int(sha256, 16) >= 0, name
    assert len({sha256 for sha256, *_ in SOURCES.values()}) == len(SOURCES) > 20
