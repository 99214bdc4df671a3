"""Files of a local store: whole and on the disk before anybody is told of them, and nothing left of killed writers."""

from __future__ import annotations

import pytest

from common.artifacts import MANIFEST, publish_artifact, read_manifest
from common.errors import InvalidInput, ResourceAlreadyExists, StorageFull
from common.settings import StoreSettings
from common.storage.objects import open_store
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest
from tests.disks import file_size_limit
from tests.traces import named, syncs, traced

PUBLISH = """
import pathlib, sys
from benchmarks.faults.crash_operations import OPERATIONS
folder = pathlib.Path(sys.argv[1])
OPERATIONS["publish"].prepare(folder)
OPERATIONS["publish"].run(folder, lambda _: None)
"""


@pytest.fixture
def store(tmp_path):
    return open_store(StoreSettings(store_url=str(tmp_path / "store")))


def test_artifact_is_on_the_disk_before_its_manifest_and_the_manifest_before_the_publication_ends(tmp_path, store):
    calls = traced(PUBLISH, tmp_path, output=tmp_path / "calls")

    manifest = read_manifest(store, "artifact")
    folder = tmp_path / "store" / "artifact"
    published = named(calls, folder / MANIFEST)
    files = folder / manifest.files_folder
    for file in manifest.files:
        written = named(calls, files / file.path)
        partial = [call for call in calls if call.name == "fsync" and f"<{files / file.path}#" in call.arguments]
        assert [call.ended < written.begun for call in partial] == [True]
        assert written.ended < published.begun
    for path in (files, files / "part", folder, tmp_path / "store"):
        assert any(call.ended < published.begun for call in syncs(calls, path))
    assert any(call.ended < published.begun for call in calls if f"<{folder / MANIFEST}#" in call.arguments)
    assert any(call.begun > published.ended for call in syncs(calls, folder))


def test_object_that_is_there_stays_as_it_is_when_it_is_put_only_if_absent(tmp_path, store):
    store.put("a/b", b"first", if_absent=True)

    with pytest.raises(ResourceAlreadyExists):
        store.put("a/b", b"second", if_absent=True)
    assert store.get("a/b") == b"first"

    store.put("a/b", b"third")
    assert store.get("a/b") == b"third"
    assert [path.name for path in (tmp_path / "store" / "a").iterdir()] == ["b"]


def test_file_is_copied_and_its_source_stays(tmp_path, store):
    (tmp_path / "source").write_bytes(b"content")

    store.put("deep/er/copy", tmp_path / "source")

    assert store.get("deep/er/copy") == (tmp_path / "source").read_bytes() == b"content"


@pytest.mark.parametrize("path", ["a//b", "a/./b", "a/b/", "a\nb", "a/b#1", "a#12/b", "/a", "../a", ""])
def test_path_that_no_store_can_have_is_refused(tmp_path, store, path):
    with pytest.raises(InvalidInput, match="`path`"):
        store.put(path, b"x")

    assert list((tmp_path / "store").iterdir()) == []


def test_full_disk_leaves_nothing_behind(tmp_path, store):
    with file_size_limit(1000), pytest.raises(StorageFull, match="store: writing a/b failed"):
        store.put("a/b", b"x" * 5000)

    assert list((tmp_path / "store" / "a").iterdir()) == []


def test_folder_in_which_a_killed_writer_left_something_is_deleted_whole(tmp_path, store):
    publish_files = tmp_path / "files"
    publish_files.mkdir()
    (publish_files / "model").write_bytes(b"model")
    manifest = publish_artifact(store, "artifact", files=publish_files, manifest=ArtifactManifest())
    for left in ("model#1", "model#12345"):
        (tmp_path / "store" / "artifact" / manifest.files_folder / left).write_bytes(b"half")

    assert {item.path.rsplit("/", 1)[-1] for item in store.list("artifact")} == {"model", MANIFEST}
    assert store.delete_folder("artifact") == 2
    assert not (tmp_path / "store" / "artifact").exists()
