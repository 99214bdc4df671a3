"""Processes of one host verify an artifact once, and again what was changed since."""

import sys
import threading

import pytest
from obstore.store import MemoryStore

from common.artifacts import publish_artifact
from common.errors import CorruptArtifact
from common.host_copies import HostCopies
from common.settings import StoreSettings
from common.storage.objects import ObjectStore, open_store
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest

LOCATION = "artifacts/one"
FILES = ["items.bin", "vectors.bin"]
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)


@pytest.fixture(params=["local", "remote"])
def store(request, tmp_path):
    local = request.param == "local"
    return open_store(StoreSettings(store_url=str(tmp_path / "store"))) if local else ObjectStore(MemoryStore())


@pytest.fixture
def cache(store, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_text(name)
    publish_artifact(store, LOCATION, files=folder, manifest=ArtifactManifest(recipe="first"))
    return tmp_path / "cache"


def open_it(store, cache):
    """Open the artifact as another process would; return it, and the names of its files that were read."""
    opened.clear()
    artifact = HostCopies(store, cache).open(LOCATION, ArtifactManifest)
    names = {str(artifact.folder / name): name for name in FILES}
    return artifact, sorted({names[path] for path in opened if path in names})


def test_the_first_process_reads_every_file_and_the_others_none(store, cache):
    assert open_it(store, cache)[1] == FILES
    assert open_it(store, cache)[1] == []


def test_a_file_that_was_changed_is_read_again(store, cache):
    artifact, _ = open_it(store, cache)
    path = artifact.folder / "items.bin"
    path.write_text(path.read_text())

    assert open_it(store, cache)[1] == ["items.bin"]
    assert open_it(store, cache)[1] == []


def test_a_file_of_the_store_that_was_damaged_afterwards_is_refused(store, cache):
    artifact, _ = open_it(store, cache)
    path = artifact.folder / "items.bin"
    path.write_text("items.BIN")

    if store.local_folder(LOCATION) is not None:
        with pytest.raises(CorruptArtifact, match=r"`items\.bin`: got sha256"):
            open_it(store, cache)
    else:  # a copy is fetched anew
        assert (open_it(store, cache)[0].folder / "items.bin").read_text() == "items.bin"


@pytest.mark.parametrize("content", ["", "[1]", '{"a": 1}', '{"a": [1, 2]}', "\udcff"])
def test_notes_that_cannot_be_read_count_as_none(store, cache, content):
    open_it(store, cache)
    (note,) = (cache / ".verified").glob("*.json")
    note.write_text(content, errors="surrogateescape")

    assert open_it(store, cache)[1] == FILES
    assert open_it(store, cache)[1] == []


def test_one_process_verifies_while_another_waits(store, cache):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(HostCopies(store, cache).open(LOCATION, ArtifactManifest)))
        for _ in range(4)
    ]
    opened.clear()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    read = [path for path in opened if path == str(results[0].folder / "items.bin")]
    # A copy from a store that is not local is written, then read.
    assert len(results) == 4
    assert len(read) == 1


def test_nothing_is_kept_of_what_is_no_longer_wanted(store, cache):
    open_it(store, cache)
    copies = HostCopies(store, cache)

    copies.forget_others([LOCATION])
    assert open_it(store, cache)[1] == []
    copies.forget_others([])
    assert list((cache / ".verified").glob("*.json")) == []
