"""Where files come from, and where they must not come from."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import pytest

from common.errors import InvalidInput
from common.settings import StoreSettings
from trainer.imports.sources import Sources
from trainer.settings import TrainerSettings


@pytest.fixture
def outside(tmp_path):
    secret = tmp_path / "private" / "secret.csv"
    secret.parent.mkdir()
    secret.write_text("A\n1\n")
    return secret


def fetch(place, location):
    return [file.name for file in place.sources().fetch(location, folder=place.root)]


def refused(place, location) -> str:
    with pytest.raises(InvalidInput) as caught:
        fetch(place, location)
    return caught.value.message


def test_a_bucket_is_a_folder_where_no_endpoint_is_set(place):
    path = place.write("2026/interactions.csv")
    (found,) = place.sources().fetch("s3://films/2026/interactions.csv", folder=place.root)
    assert (found.name, found.path) == ("interactions.csv", path)


def test_of_a_folder_the_first_level_is_read(place):
    for name in ("in/b.csv", "in/a", "in/deeper/c.csv", "in/_SUCCESS", "in/.a.crc"):
        place.write(name)
    assert fetch(place, "s3://films/in/") == ["a", "b.csv"]
    assert fetch(place, f"file://{place.bucket}/in/") == ["a", "b.csv"]


def test_a_folder_must_be_asked_for_as_one(place):
    place.write("in/a.csv")
    assert "which is a folder; want its name to end in `/`" in refused(place, "s3://films/in")


@pytest.mark.parametrize("location", ["s3://films/none.csv", "s3://films/none/", "s3://nobucket/a.csv", "s3://films/"])
def test_nothing_there_is_an_invalid_location(place, location):
    assert refused(place, location).startswith("Invalid Data location. ")


def test_a_file_outside_of_the_roots_is_not_read(place, outside):
    assert "outside of the folders that the trainer may read" in refused(place, f"file://{outside}")
    # Whether something is there is not told either.
    assert refused(place, f"file://{outside}").replace("secret", "nosuch") == refused(
        place, f"file://{outside.with_name('nosuch.csv')}"
    )


def test_links_do_not_lead_out(place, outside):
    (place.bucket / "link.csv").symlink_to(outside)
    (place.bucket / "folder").symlink_to(outside.parent)
    (place.root / "s3" / "linked").symlink_to(outside.parent)
    place.write("in/good.csv")
    (place.bucket / "in" / "link.csv").symlink_to(outside)

    for location in (
        "s3://films/link.csv", "s3://films/folder/secret.csv", "s3://films/folder/", "s3://linked/secret.csv",
        "s3://films/in/", f"file://{place.bucket}/link.csv",
    ):  # fmt: skip
        assert "outside of the folders" in refused(place, location)


def test_the_folder_of_buckets_may_itself_be_a_link(place, tmp_path):
    place.write("a.csv")
    (tmp_path / "elsewhere").symlink_to(place.root / "s3")
    sources = Sources(place.settings, buckets=tmp_path / "elsewhere", roots=())
    assert [file.name for file in sources.fetch("s3://films/a.csv", folder=tmp_path)] == ["a.csv"]


def test_by_default_only_buckets_may_be_read(tmp_path):
    assert TrainerSettings(data_dir=tmp_path).roots() == (tmp_path / "s3",)
    assert [str(root) for root in TrainerSettings(file_roots="/a:/b c").roots()] == ["/a", "/b c"]


class Bucket(BaseHTTPRequestHandler):
    """Just enough of S3: reading an object, listing the first level of a folder."""

    objects: ClassVar[dict[str, bytes]] = {
        "/films/in/a.csv": b"A\n1\n",
        "/films/in/b.csv": b"A\n2\n",
        "/films/in/deep/c.csv": b"x",
    }

    def do_GET(self):
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        if "list-type" in query:
            self.answer(200, self.listing(path.strip("/"), query.get("prefix", [""])[0]))
        elif path.startswith("/private/"):
            self.answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        elif path in self.objects:
            self.answer(200, self.objects[path])
        else:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def listing(self, bucket, prefix):
        keys = [key.removeprefix(f"/{bucket}/") for key in self.objects]
        level = [key for key in keys if key.startswith(prefix) and "/" not in key.removeprefix(prefix)]
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>4</Size><ETag>x</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in level
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode()

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("ETag", '"x"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def remote(place):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    settings = StoreSettings(
        store_url=str(place.root / "store"),
        s3_endpoint=f"http://127.0.0.1:{server.server_port}",
        s3_access_key_id="key",
        s3_secret_access_key="secret",
    )
    yield Sources(settings, buckets=place.root / "s3", roots=())
    server.shutdown()
    thread.join()
    server.server_close()


def test_files_of_a_service_are_copied(place, remote):
    (found,) = remote.fetch("s3://films/in/a.csv", folder=place.root)
    assert (found.name, found.path.read_text()) == ("a.csv", "A\n1\n")


def test_folders_of_a_service_are_read_on_their_first_level(place, remote):
    found = remote.fetch("s3://films/in/", folder=place.root)
    assert [(file.name, file.path.read_text()) for file in found] == [("a.csv", "A\n1\n"), ("b.csv", "A\n2\n")]


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("s3://films/none.csv", "where nothing is"),
        ("s3://films/none/", "where nothing is"),
        ("s3://private/a.csv", "Insufficient privileges for accessing data in Amazon S3."),
    ],
)
def test_what_a_service_does_not_give_is_an_invalid_location(place, remote, location, told):
    with pytest.raises(InvalidInput, match=told):
        remote.fetch(location, folder=place.root)
