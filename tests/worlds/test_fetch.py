"""Downloads, tried against a server of our own that breaks off, forgets, lies or is not there."""

import hashlib
import http.server
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from fflib.worlds import fetch as module
from fflib.worlds.fetch import FetchError, fetch
from fflib.worlds.sources import SOURCES, Source

BODY = np.random.default_rng(0).bytes(700_000)
SHA = hashlib.sha256(BODY).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves BODY; the server's ``break_after`` bytes a request, ``ranges`` and ``status`` are set by a test."""

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.ranges else 0
        if server.status != 200 or start >= len(server.body):
            return self.send_error(server.status if server.status != 200 else 416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header(
                "Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}"
            )
        self.send_header("Content-Length", str(len(server.body) - start))
        self.end_headers()
        self.wfile.write(server.body[start:][: server.break_after])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.body, made.asked, made.ranges, made.status, made.break_after = BODY, [], True, 200, None
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
    return tmp_path / "cache"


def source(server, **changed):
    url = f"http://127.0.0.1:{server.server_address[1]}/file.bin"
    return Source(**{"url": url, "sha256": SHA, "size": len(BODY)} | changed)


def left(cache):
    """Files in the cache that are more than notes of ours."""
    return sorted(p.name for p in cache.iterdir() if p.suffix not in {".lock", ".json"})


# --- what works


def test_a_file_is_downloaded_once(server, cache):
    path = fetch("file.bin", source(server))
    assert path == cache / "file.bin" and path.read_bytes() == BODY
    assert fetch("file.bin", source(server)) == path
    assert server.asked == [None] and left(cache) == ["file.bin"]


def test_a_download_that_breaks_off_goes_on(server, cache):
    server.break_after = 300_000
    assert fetch("file.bin", source(server)).read_bytes() == BODY
    assert server.asked == [None, "bytes=300000-", "bytes=600000-"] and left(cache) == ["file.bin"]


def test_a_download_goes_on_in_a_later_session(server, cache):
    server.break_after = 100_000
    with pytest.raises(
        FetchError, match="broke off after 400000 of 700000 bytes; the next try goes on"
    ):
        fetch("file.bin", source(server))
    assert left(cache) == ["file.bin.part"]
    server.break_after = None
    assert fetch("file.bin", source(server)).read_bytes() == BODY
    assert server.asked[-1] == "bytes=400000-" and left(cache) == ["file.bin"]


def test_a_server_without_ranges_starts_again(server, cache):
    cache.mkdir()
    (cache / "file.bin.part").write_bytes(b"x" * 1000)
    server.ranges = False
    assert fetch("file.bin", source(server)).read_bytes() == BODY
    assert server.asked == ["bytes=1000-"]


@pytest.mark.parametrize("length", [1000, len(BODY), len(BODY) + 5])
def test_remains_of_another_file_are_thrown_away(server, cache, length):
    cache.mkdir()
    (cache / "file.bin.part").write_bytes(b"x" * length)
    assert fetch("file.bin", source(server)).read_bytes() == BODY
    assert server.asked == [f"bytes={length}-", None]


def test_a_whole_part_is_not_asked_for_again(server, cache):
    cache.mkdir()
    (cache / "file.bin.part").write_bytes(BODY)
    assert fetch("file.bin", source(server)).read_bytes() == BODY
    assert server.asked == [f"bytes={len(BODY)}-"] and left(cache) == ["file.bin"]


@pytest.mark.parametrize("damage", [b"", BODY[:-1], b"x" + BODY[1:]])
def test_a_damaged_cache_is_replaced(server, cache, damage):
    cache.mkdir()
    (cache / "file.bin").write_bytes(damage)
    assert fetch("file.bin", source(server)).read_bytes() == BODY


def test_a_file_changed_after_it_was_checked_is_seen(server, cache):
    path = fetch("file.bin", source(server))
    path.write_bytes(b"x" + BODY[1:])
    os.utime(path, ns=(1, 1))
    assert fetch("file.bin", source(server)).read_bytes() == BODY and len(server.asked) == 2


def test_several_at_once_download_once(server):
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: fetch("file.bin", source(server)), range(4)))
    assert {p.read_bytes() for p in paths} == {BODY} and server.asked == [None]


def test_without_a_checksum_the_length_is_checked(server):
    assert fetch("file.bin", source(server, sha256="", size=0)).read_bytes() == BODY
    server.break_after = 10
    with pytest.raises(FetchError, match="broke off after 40 of 700000"):
        fetch("other.bin", source(server, sha256="", size=0))


# --- the reader's own folder


@pytest.mark.parametrize("name", ["file.bin", "deep/down/file.bin", "renamed.dat"])
def test_the_data_folder_comes_first(server, tmp_path, monkeypatch, name):
    mine = tmp_path / "mine" / name
    mine.parent.mkdir(parents=True)
    mine.write_bytes(BODY)
    (tmp_path / "mine/other.bin").write_bytes(b"o" * len(BODY))
    monkeypatch.setenv("FFLIB_DATA", str(tmp_path / "mine"))
    assert fetch("file.bin", source(server)) == mine
    assert fetch("file.bin", source(server, size=0)) == mine
    assert server.asked == []


def test_a_name_alone_is_not_enough(server, tmp_path, monkeypatch, cache):
    (tmp_path / "file.bin").write_bytes(b"o" * len(BODY))
    monkeypatch.setenv("FFLIB_DATA", str(tmp_path))
    assert fetch("file.bin", source(server)) == cache / "file.bin"


def test_a_data_folder_that_is_none(server, tmp_path, monkeypatch):
    monkeypatch.setenv("FFLIB_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="FFLIB_DATA must name a folder.*nowhere"):
        fetch("file.bin", source(server))


# --- what does not work, and what it says


def test_a_wrong_checksum(server, cache):
    server.body = BODY[::-1]
    with pytest.raises(
        FetchError, match=f"could not get file.bin from http.*SHA-256 is .*, not {SHA}.*FFLIB_DATA"
    ):
        fetch("file.bin", source(server))
    assert server.asked == [None] and left(cache) == []


def test_a_server_that_refuses(server):
    server.status = 404
    with pytest.raises(FetchError, match="the server answered 404"):
        fetch("file.bin", source(server))
    assert len(server.asked) == 1


def test_no_network():
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as gone:
        port = gone.server_address[1]
    with pytest.raises(FetchError, match="could not get x.bin from .*refused.*set FFLIB_DATA"):
        fetch("x.bin", Source(f"http://127.0.0.1:{port}/x.bin", SHA))


def test_an_unknown_host():
    with pytest.raises(FetchError, match="could not get x.bin"):
        fetch("x.bin", Source("http://nowhere.invalid/x.bin", SHA))


def test_a_full_disk_is_seen_beforehand(server, cache, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=200_000))
    with pytest.raises(FetchError, match="1 MB are more than the 0 MB left"):
        fetch("file.bin", source(server))
    assert server.asked == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full stands for the full disk")
def test_a_disk_that_fills_up(server, cache):
    cache.mkdir()
    (cache / "file.bin.part").symlink_to("/dev/full")
    with pytest.raises(FetchError, match="the disk of .* is full"):
        fetch("file.bin", source(server))
    assert left(cache) == []


def test_a_cache_that_cannot_be_made(server, tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setenv("FFLIB_CACHE", str(tmp_path / "taken/cache"))
    with pytest.raises(FetchError, match="cannot write to .*taken"):
        fetch("file.bin", source(server))


def test_a_file_without_an_address():
    with pytest.raises(FetchError, match="x.npz has no public address; put it into a folder"):
        fetch("x.npz", Source("", SHA))


def test_an_unknown_name():
    with pytest.raises(ValueError, match="name must be one of"):
        fetch("kodim99.png")


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.delenv("FFLIB_CACHE")
    monkeypatch.setattr(module.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert module.cache_folder() == tmp_path / "fflib"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert module.cache_folder().parts[-2:] == (".cache", "fflib")


def test_sources_are_well_formed():
    for name, known in SOURCES.items():
        assert known.url.startswith("https://") or (not known.url and known.sha256), name
        assert not known.sha256 or (len(known.sha256) == 64 and int(known.sha256, 16) >= 0), name
    checksums = [known.sha256 for known in SOURCES.values() if known.sha256]
    assert len(set(checksums)) == len(checksums)
