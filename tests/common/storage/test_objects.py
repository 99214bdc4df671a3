"""Large objects: read in parts, each of which may take as long as one answer may take."""

from __future__ import annotations

import dataclasses
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from common.errors import ResourceNotFound, Unavailable
from common.settings import StoreSettings
from common.storage.objects import open_store

CONTENT = bytes(range(256)) * 4096


@pytest.fixture
def store(tmp_path):
    return dataclasses.replace(open_store(StoreSettings(store_url=str(tmp_path / "store"))), part_bytes=100_000)


class SlowBucket(BaseHTTPRequestHandler):
    """Sends so much of an answer and then no more until the test ends; what was asked for as a range it sends whole."""

    sent_bytes = 300_000
    tag = '"one"'

    def do_GET(self):
        begin, end = 0, len(CONTENT)
        byte_range = self.headers.get("Range")
        if byte_range:
            first, last = byte_range.removeprefix("bytes=").split("-")
            begin, end = int(first), min(int(last) + 1, end)
        if self.headers.get("If-Match", self.tag) != self.tag:
            self.send_response(412)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if byte_range else 200)
        self.send_header("Content-Length", str(end - begin))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("ETag", self.tag)
        if byte_range:
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(CONTENT)}")
        self.end_headers()
        self.wfile.write(CONTENT[begin : min(end, begin + self.sent_bytes)])
        if end - begin > self.sent_bytes:
            self.server.over.wait(30)
        self.after()

    def after(self):
        """Whatever happens after an answer."""

    def log_message(self, *_):
        pass


class ReplacedObject(SlowBucket):
    """Holds another object after each answer."""

    def after(self):
        self.server.response_count += 1
        type(self).tag = f'"{self.server.response_count}"'


@pytest.fixture
def serve():
    running = []

    def serve(handler):
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.over, server.response_count = threading.Event(), 0
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        running.append((server, thread))
        settings = StoreSettings(
            store_url="s3://films",
            s3_endpoint=f"http://127.0.0.1:{server.server_port}",
            s3_access_key_id="key",
            s3_secret_access_key="secret",
            s3_timeout_seconds=1.0,
            s3_retry_seconds=1.0,
        )
        return dataclasses.replace(open_store(settings), part_bytes=100_000)

    yield serve
    for server, thread in running:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_object_that_takes_longer_than_one_answer_may_take_arrives(serve, tmp_path):
    serve(SlowBucket).download("films.csv", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == CONTENT


def test_parts_of_two_objects_are_never_mixed(serve, tmp_path):
    with pytest.raises(Unavailable, match=r"reading films\.csv failed"):
        serve(ReplacedObject).download("films.csv", tmp_path / "copy")


@pytest.mark.parametrize("size", [0, 1, 99_999, 100_000, 100_001, 250_000])
def test_every_size_is_copied_as_it_is(store, tmp_path, size):
    store.put("a", CONTENT[:size])
    store.download("a", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == CONTENT[:size]


def test_what_is_not_there_cannot_be_copied(store, tmp_path):
    with pytest.raises(ResourceNotFound, match="got a, want an object that exists"):
        store.download("a", tmp_path / "copy")


def test_single_objects_are_deleted(store):
    for name in ("a", "b", "c"):
        store.put(name, b"x")
    store.delete(["a", "c"])
    store.delete([])
    assert [item.path for item in store.files("")] == ["b"]
