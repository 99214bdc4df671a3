"""Artifacts are published once and whole: what comes later or was cut off changes nothing."""

import pytest
from obstore.store import MemoryStore

from common.artifacts import MANIFEST, open_artifact, publish_artifact, remove_copies
from common.errors import CorruptArtifact, InvalidInput, ResourceAlreadyExists, ResourceNotFound, StorageFull
from common.settings import StoreSettings
from common.storage.objects import ObjectStore, open_store
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest
from tests.disks import file_size_limit


@pytest.fixture
def store(tmp_path):
    return open_store(StoreSettings(store_url=str(tmp_path / "store")))


@pytest.fixture
def publish(store, tmp_path):
    def with_content(content, recipe="first"):
        folder = tmp_path / recipe
        folder.mkdir()
        (folder / "vectors.npy").write_bytes(content)
        return publish_artifact(store, "artifacts/one", files=folder, manifest=ArtifactManifest(recipe=recipe))

    return with_content


def test_what_was_published_is_opened(store, publish, tmp_path):
    publish(b"abc")
    artifact = open_artifact(store, "artifacts/one", cache=tmp_path / "cache")
    assert (artifact.manifest.recipe, (artifact.folder / "vectors.npy").read_bytes()) == ("first", b"abc")


def test_a_second_attempt_is_refused_and_leaves_the_first_as_it_is(store, publish, tmp_path):
    publish(b"abc")
    before = sorted(item.path for item in store.list("artifacts/one"))
    with pytest.raises(ResourceAlreadyExists):
        publish(b"xyz", recipe="second")
    artifact = open_artifact(store, "artifacts/one", cache=tmp_path / "cache")
    assert (artifact.manifest.recipe, (artifact.folder / "vectors.npy").read_bytes()) == ("first", b"abc")
    assert sorted(item.path for item in store.list("artifacts/one")) == before


def test_what_is_stopped_between_two_files_publishes_none(store, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("a.npy", "b.npy"):
        (folder / name).write_bytes(b"abc")
    seen = []

    def check():
        seen.append([item.path.rpartition("/")[2] for item in store.list("artifacts/one")])
        if len(seen) == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        publish_artifact(store, "artifacts/one", files=folder, manifest=ArtifactManifest(), check=check)

    assert seen == [[], ["a.npy"]]
    assert list(store.list("artifacts/one")) == []


@pytest.mark.parametrize("size", [2000, 10], ids=["a file", "the manifest"])
def test_nothing_stays_of_what_a_full_store_has_no_space_for(store, tmp_path, size):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.npy").write_bytes(b"x")
    (folder / "b.npy").write_bytes(b"x" * size)
    with file_size_limit(50), pytest.raises(StorageFull):
        publish_artifact(store, "artifacts/one", files=folder, manifest=ArtifactManifest())
    assert list(store.list("artifacts/one")) == []


def test_nothing_is_found_before_the_manifest_is_there(store, publish, tmp_path):
    publish(b"abc")
    (store.local_folder("artifacts/one") / MANIFEST).unlink()
    with pytest.raises(ResourceNotFound, match="where nothing is published"):
        open_artifact(store, "artifacts/one", cache=tmp_path / "cache")


def test_a_changed_file_is_named(store, publish, tmp_path):
    publish(b"abc")
    artifact = open_artifact(store, "artifacts/one", cache=tmp_path / "cache")
    (artifact.folder / "vectors.npy").write_bytes(b"abd")
    with pytest.raises(CorruptArtifact, match=r"`vectors\.npy`: got sha256"):
        open_artifact(store, "artifacts/one", cache=tmp_path / "cache")


def test_a_manifest_that_points_outside_is_refused(store, publish, tmp_path):
    publish(b"abc")
    manifest = store.local_folder("artifacts/one") / MANIFEST
    manifest.write_text(manifest.read_text().replace("files-", "../files-"))
    with pytest.raises(CorruptArtifact, match="want one inside of the artifact"):
        open_artifact(store, "artifacts/one", cache=tmp_path / "cache")


def test_an_empty_folder_is_no_artifact(store, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="`files`"):
        publish_artifact(store, "artifacts/one", files=tmp_path / "empty", manifest=ArtifactManifest())


@pytest.fixture
def remote(tmp_path):
    """Give a store that is no folder, with one artifact in it, and the folder of its copies."""
    store = ObjectStore(MemoryStore())
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "vectors.npy").write_bytes(b"abc")
    publish_artifact(store, "artifacts/one", files=tmp_path / "files", manifest=ArtifactManifest(recipe="first"))
    return store, tmp_path / "cache"


def test_whole_copy_is_opened_without_the_store(remote):
    store, cache = remote
    open_artifact(store, "artifacts/one", cache=cache)
    store.delete_folder("artifacts/one")

    artifact = open_artifact(store, "artifacts/one", cache=cache)

    assert (artifact.manifest.recipe, (artifact.folder / "vectors.npy").read_bytes()) == ("first", b"abc")


@pytest.mark.parametrize("name", ["vectors.npy", MANIFEST])
@pytest.mark.parametrize("content", [b"abd", b"\xff\xfe", b""])
def test_what_is_damaged_of_a_copy_is_fetched_anew(remote, name, content):
    store, cache = remote
    open_artifact(store, "artifacts/one", cache=cache)
    (path,) = cache.rglob(name)
    path.write_bytes(content)

    artifact = open_artifact(store, "artifacts/one", cache=cache)

    assert (artifact.folder / "vectors.npy").read_bytes() == b"abc"
    assert path.read_bytes() != content


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{", b"[" * 9000])
def test_manifest_that_cannot_be_read_is_a_corrupt_artifact(store, publish, tmp_path, content):
    publish(b"abc")
    (store.local_folder("artifacts/one") / MANIFEST).write_bytes(content)

    with pytest.raises(CorruptArtifact, match="the manifest cannot be read"):
        open_artifact(store, "artifacts/one", cache=tmp_path / "cache")


def test_copies_of_other_artifacts_are_removed(remote, tmp_path):
    store, cache = remote
    publish_artifact(
        store, "artifacts/deeper/two", files=tmp_path / "files", manifest=ArtifactManifest(recipe="second")
    )
    for location in ("artifacts/one", "artifacts/deeper/two"):
        open_artifact(store, location, cache=cache)

    assert remove_copies(cache, keep={"artifacts/one", "artifacts/three"}) == ["artifacts/deeper/two"]

    assert {path.parent.name for path in cache.rglob(MANIFEST)} == {"one"}
    assert open_artifact(store, "artifacts/deeper/two", cache=cache).manifest.recipe == "second"


def test_no_cache_has_no_copies(tmp_path):
    assert remove_copies(tmp_path / "none", keep=()) == []
