"""Where files come from, and where they must not come from."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

from common.data_files import is_data_file
from common.errors import InvalidInput, PermissionDenied, Unavailable
from common.files.locations import DATA_LOCATION, BucketLocation
from common.settings import StoreSettings
from common.storage.objects import open_store
from trainer.files.sources import Sources
from trainer.settings import TrainerSettings
from trainer.worker import CancelReason, JobCancelled


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
    (file,) = place.sources().fetch("s3://films/2026/interactions.csv", folder=place.root)
    assert (file.name, file.path) == ("interactions.csv", path)


def test_of_a_folder_the_first_level_is_read(place):
    for name in ("in/b.csv", "in/a", "in/deeper/c.csv", "in/_SUCCESS", "in/.a.crc"):
        place.write(name)
    assert fetch(place, "s3://films/in/") == ["a", "b.csv"]
    assert fetch(place, f"file://{place.bucket}/in/") == ["a", "b.csv"]


def test_a_folder_must_be_named_as_one(place):
    place.write("in/a.csv")
    assert "which is a folder; want its name to end in `/`" in refused(place, "s3://films/in")


@pytest.mark.parametrize(
    ("location", "looked_into"),
    [
        ("s3://films/none.csv", "films/none.csv"), ("s3://films/none/", "films/none"),
        ("s3://nobucket/a.csv", "nobucket/a.csv"), ("s3://films/", "films"),
    ],
)  # fmt: skip
def test_nothing_there_is_an_invalid_location_and_tells_where_was_looked(place, location, looked_into):
    message = refused(place, location)
    assert message.startswith("Invalid Data location. ")
    assert message.endswith(f"looked into {place.root / 's3' / looked_into}")


def test_the_root_of_a_bucket_is_a_folder(place):
    place.write("a.csv")
    assert fetch(place, "s3://films/") == ["a.csv"]


@pytest.mark.parametrize("key", ["a//b.csv", "/a.csv", "a//", "a/./b.csv"])
def test_a_key_that_no_client_can_name_is_refused_at_once(place, key):
    assert "want a key without `//`" in refused(place, f"s3://films/{key}")


def test_a_loop_of_links_is_refused_at_once(place):
    (place.bucket / "loop").symlink_to(place.bucket / "loop")
    place.write("in/a.csv")
    (place.bucket / "in" / "loop.csv").symlink_to(place.bucket / "in" / "loop.csv")
    for location in ("s3://films/loop", "s3://films/loop/", "s3://films/in/", f"file://{place.bucket}/loop"):
        assert "it is a loop of links" in refused(place, location)


def test_a_loop_outside_of_the_roots_is_not_reported(place, outside):
    loop = outside.with_name("loop.csv")
    loop.symlink_to(loop)
    assert "outside of the folders that may be read" in refused(place, f"file://{loop}")


def test_a_name_that_is_too_long_is_refused_at_once(place):
    assert "which cannot be read (File name too long)" in refused(place, "s3://films/" + "a" * 256)


def test_a_file_outside_of_the_roots_is_not_read(place, outside):
    assert "outside of the folders that may be read" in refused(place, f"file://{outside}")
    # Whether something is there is not revealed either.
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
    """Just enough of S3: reading an object, listing the first level of a folder, and refusing both."""

    objects: ClassVar[dict[str, bytes]] = {
        "/films/in/a.csv": b"A\n1\n",
        "/films/in/b.csv": b"A\n2\n",
        "/films/in/deep/c.csv": b"x",
        "/films/root.csv": b"A\n3\n",
    }
    requested_paths: ClassVar[list[str]] = []

    def do_GET(self):
        url = urlsplit(self.path)
        path, query = unquote(url.path), parse_qs(url.query)
        bucket = path.split("/")[1]
        self.requested_paths.append(path)
        if "Credential=key/" not in self.headers.get("Authorization", ""):
            self.refuse(403, "InvalidAccessKeyId")
        elif bucket == "private":
            self.refuse(403, "AccessDenied")
        elif bucket == "expired":
            self.refuse(401, "ExpiredToken")
        elif bucket == "slow":
            self.server.patience.wait(20)
        elif bucket == "cut":
            self.head(200, 1000)
            self.wfile.write(b"A\n")
        elif bucket == "broken":
            self.refuse(503, "SlowDown")
        elif bucket != "films":
            self.refuse(404, "NoSuchBucket")
        elif "list-type" in query:
            self.answer(200, self.listing(bucket, query.get("prefix", [""])[0]))
        elif path in self.objects:
            self.answer(200, self.objects[path])
        else:
            self.refuse(404, "NoSuchKey")

    def listing(self, bucket, prefix):
        keys = [key.removeprefix(f"/{bucket}/") for key in self.objects if key.startswith(f"/{bucket}/")]
        level = [key for key in keys if key.startswith(prefix) and "/" not in key.removeprefix(prefix)]
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>4</Size><ETag>x</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in level
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode()

    def refuse(self, status, code):
        self.answer(status, f"<Error><Code>{code}</Code></Error>".encode())

    def answer(self, status, body):
        self.head(status, len(body))
        self.wfile.write(body)

    def head(self, status, length):
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("ETag", '"x"')
        self.end_headers()

    def log_message(self, *_):
        pass


class Service(ThreadingHTTPServer):
    """An S3 service on a free port."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Bucket)
        self.patience = threading.Event()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def service():
    server = Service()
    Bucket.requested_paths.clear()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.patience.set()
    server.shutdown()
    thread.join()
    server.server_close()


def sources_of(place, endpoint, *, key="key", patience_seconds=20.0) -> Sources:
    settings = StoreSettings(
        store_url=str(place.root / "store"),
        s3_endpoint=endpoint,
        s3_access_key_id=key,
        s3_secret_access_key="secret",
        s3_timeout_seconds=patience_seconds,
        s3_retry_seconds=patience_seconds,
    )
    return Sources(settings, buckets=place.root / "s3", roots=())


@pytest.fixture
def remote(place, service):
    return sources_of(place, service.endpoint)


def test_files_of_a_service_are_copied(place, remote):
    (file,) = remote.fetch("s3://films/in/a.csv", folder=place.root)
    assert (file.name, file.path.read_text()) == ("a.csv", "A\n1\n")


def test_folders_of_a_service_are_read_on_their_first_level(place, remote):
    files = remote.fetch("s3://films/in/", folder=place.root)
    assert [(file.name, file.path.read_text()) for file in files] == [("a.csv", "A\n1\n"), ("b.csv", "A\n2\n")]


def test_a_job_that_must_end_copies_no_more_files(place, remote):
    checks = iter([None, JobCancelled(CancelReason.STOP)])

    def check():
        if (error := next(checks)) is not None:
            raise error

    with pytest.raises(JobCancelled):
        remote.fetch("s3://films/in/", folder=place.root, check=check)

    assert [path.name for path in place.root.glob("source-*")] == ["source-0"]


def test_the_root_of_a_bucket_of_a_service_is_a_folder(place, remote):
    assert [file.name for file in remote.fetch("s3://films/", folder=place.root)] == ["root.csv"]


FORBIDDEN = "Insufficient privileges for accessing data in Amazon S3."


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        ("s3://films/none.csv", "where nothing is, want a CSV file in the bucket films of http://127.0.0.1:"),
        ("s3://films/none/", "where nothing is, want a CSV file or more in the bucket films of http://127.0.0.1:"),
        ("s3://nobucket/sales-2024-0403.csv", "where nothing is, want a CSV file in the bucket nobucket of http"),
        ("s3://nobucket/0403/", "where nothing is, want a CSV file or more in the bucket nobucket of http"),
        ("s3://private/a.csv", FORBIDDEN),
        ("s3://private/in/", FORBIDDEN),
        ("s3://expired/a.csv", FORBIDDEN),
    ],
)
def test_what_a_service_does_not_give_is_an_invalid_location(place, remote, location, problem):
    with pytest.raises(InvalidInput, match=problem):
        remote.fetch(location, folder=place.root)


@pytest.mark.parametrize("location", ["s3://films/in/a.csv", "s3://films/in/"])
def test_wrong_credentials_are_an_invalid_location(place, service, location):
    with pytest.raises(InvalidInput, match=FORBIDDEN):
        sources_of(place, service.endpoint, key="stranger").fetch(location, folder=place.root)


@pytest.mark.parametrize("bucket", ["slow", "cut", "broken"])
@pytest.mark.parametrize("key", ["sales-2024-0403.csv", "AccessDenied/Forbidden.csv", "404/"])
def test_trouble_that_passes_is_reported_as_such_whatever_the_key_says(place, service, bucket, key):
    sources = sources_of(place, service.endpoint, patience_seconds=0.5)
    with pytest.raises(Unavailable, match="which cannot be read now"):
        sources.fetch(f"s3://{bucket}/{key}", folder=place.root)


def test_a_service_that_is_not_there_is_trouble_that_passes(place):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(Unavailable, match="which cannot be read now"):
        sources_of(place, f"http://127.0.0.1:{port}", patience_seconds=0.5).fetch("s3://films/a.csv", folder=place.root)


def test_the_service_is_not_called_for_a_key_that_it_cannot_have(place, remote):
    with pytest.raises(InvalidInput, match="want a key without `//`"):
        remote.fetch("s3://films/in//a.csv", folder=place.root)
    assert Bucket.requested_paths == []


@pytest.mark.parametrize("bucket", ["private", "expired"])
def test_the_shared_store_tells_a_refusal_from_an_outage(service, bucket):
    store = open_store(
        StoreSettings(
            store_url=f"s3://{bucket}/0403",
            s3_endpoint=service.endpoint,
            s3_access_key_id="key",
            s3_secret_access_key="secret",
        )
    )
    with pytest.raises(PermissionDenied, match=r"reading a\.csv was refused"):
        store.get("a.csv")
    with pytest.raises(PermissionDenied, match="listing datasets was refused"):
        list(store.list("datasets"))


def test_a_path_that_no_store_can_have_is_the_callers_mistake(place):
    with pytest.raises(InvalidInput, match="`path`: got 'a//b', want one that a store can have"):
        place.store.get("a//b")


@pytest.mark.parametrize(
    ("location", "folder"), [("s3://bucket/a/b.csv", False), ("s3://bucket/a/", True), ("s3://bucket/", True)]
)
def test_a_key_that_ends_in_a_slash_is_a_folder(location, folder):
    assert DATA_LOCATION.parse(location).is_folder is folder


def test_keys_are_taken_as_they_are_and_paths_are_urls():
    assert DATA_LOCATION.parse("s3://bucket/a%20b.csv") == BucketLocation("bucket", "a%20b.csv")
    assert str(DATA_LOCATION.parse("file:///data/a%20b%23%3f.csv").path) == "/data/a b#?.csv"
    assert str(DATA_LOCATION.parse("file:///data/a\tb\n.csv").path) == "/data/a\tb\n.csv"


@pytest.mark.parametrize(
    "location",
    [
        "s3://bucket/../secret.csv", "s3://../secret.csv", "s3://./secret.csv", "s3:///secret.csv",
        "s3://bucket//etc/passwd", "file:///data/../etc/passwd", "file:///data/%2e%2e/etc/passwd", "file://host/x",
        "http://bucket/x.csv", "/etc/passwd", "s3://bucket/a%00.csv\0", "file:///data/a%00b",
    ],
)  # fmt: skip
def test_locations_that_climb_or_are_of_another_kind_are_refused(location):
    with pytest.raises(InvalidInput, match=r"Invalid Data location\. "):
        DATA_LOCATION.parse(location)


@pytest.mark.parametrize("location", ["file:///data/a#1.csv", "file:///data/?/a.csv"])
def test_paths_are_not_cut_where_urls_have_more_than_a_path(location):
    with pytest.raises(InvalidInput, match=r"`dataLocation`: got .*, want a path where `\?` is written as %3F"):
        DATA_LOCATION.parse(location)


@pytest.mark.parametrize(("name", "counts"), [("part-0", True), (".crc", False), ("_SUCCESS", False), ("", False)])
def test_markers_of_folders_hold_no_rows(name, counts):
    assert is_data_file(name) is counts


@pytest.mark.parametrize("location", ["file://{store}/", "file://{store}/datasets/a.csv", "s3://films/link/"])
def test_files_of_the_store_are_no_files_of_jobs(place, location):
    folder = place.root / "store" / "datasets"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.csv").write_text("USER_ID\nsomebody\n")
    (place.bucket / "link").symlink_to(folder)
    for prefix in ("", "file://"):
        settings = place.settings.model_copy(update={"store_url": f"{prefix}{place.root / 'store'}"})
        sources = Sources(settings, buckets=place.root / "s3", roots=(place.root,))
        with pytest.raises(InvalidInput, match=r"outside of the folders|in the store of this"):
            sources.fetch(location.format(store=place.root / "store"), folder=place.root)


@pytest.mark.parametrize(
    ("store_url", "location"),
    [
        ("s3://shop", "s3://shop/anything.csv"),
        ("s3://shop/tailorbird", "s3://shop/tailorbird/datasets/"),
        ("s3://shop/tailorbird/", "s3://shop/tailorbird/"),
    ],
)
def test_the_store_on_s3_is_no_place_for_files_of_jobs(place, store_url, location):
    settings = StoreSettings(store_url=store_url, s3_endpoint="http://127.0.0.1:1")
    with pytest.raises(InvalidInput, match="in the store of this installation"):
        Sources(settings, buckets=place.root, roots=()).fetch(location, folder=place.root)


@pytest.mark.parametrize(
    ("location", "place_"),
    [
        ("s3://shop/tailorbird-exports/", BucketLocation("shop", "tailorbird-exports/")),
        ("s3://other/tailorbird/", BucketLocation("other", "tailorbird/")),
        ("s3://shop/", BucketLocation("shop", "")),
    ],
)
def test_places_beside_the_store_are_taken(location, place_):
    DATA_LOCATION.require_apart(location, place_, store_url="s3://shop/tailorbird")
