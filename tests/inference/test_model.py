"""Loading artifacts: what is damaged or does not belong together is refused with a sentence."""

from __future__ import annotations

from types import NoneType

import pytest
from structlog.testing import capture_logs

from common.artifacts import MANIFEST
from common.errors import CorruptArtifact, OperationUnavailable, ResourceNotFound
from inference.model import ModelLoader, open_index
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import IndexCalibration
from recipes.retrieval.annoy import AnnoyIndex
from recipes.retrieval.lists import ListIndex
from recipes.retrieval.scan import ScanIndex
from tests.inference.vectors import vectors
from tests.runtime_service.world import N_ITEMS, publish


def loader(store, folder):
    return ModelLoader(store, cache=folder / "cache", index="auto")


def test_artifact_without_manifest_is_not_found(store, tmp_path, popular):
    publish(store, "artifacts/cut-off", popular)
    (store.local_folder("artifacts/cut-off") / MANIFEST).unlink()

    with pytest.raises(ResourceNotFound, match="where nothing is published"):
        loader(store, tmp_path).load("artifacts/cut-off")


def test_missing_file_is_a_corrupt_artifact(store, tmp_path, popular):
    publish(store, "artifacts/one", popular)
    (vectors,) = store.local_folder("artifacts/one").rglob("user_vectors.npy")
    vectors.unlink()

    with pytest.raises(CorruptArtifact, match=r"`user_vectors\.npy` is missing"):
        loader(store, tmp_path).load("artifacts/one")


@pytest.mark.parametrize(
    ("changed", "file"),
    [
        ({"n_items": 41}, r"`items\.\*\.npy`"),
        ({"n_users": 59}, r"`users\.\*\.npy`"),
        ({"dimensions": 3}, "`item_vectors"),
    ],
)
def test_files_that_do_not_belong_together_are_a_corrupt_artifact(store, tmp_path, popular, changed, file):
    publish(store, "artifacts/one", popular, **changed)

    with pytest.raises(CorruptArtifact, match=file):
        loader(store, tmp_path).load("artifacts/one")


def test_artifact_from_before_there_was_a_past_is_served_and_told(store, tmp_path, personal):
    publish(store, "artifacts/before", personal, without="past_*")

    with capture_logs() as lines:
        model = loader(store, tmp_path).load("artifacts/before")

    assert (model.past, len(model.items)) == (None, N_ITEMS)
    assert [(line["log_level"], line["table"]) for line in lines if line["event"] == "past_not_in_artifact"] == [
        ("warning", "past")
    ]


def test_past_that_is_not_whole_is_a_corrupt_artifact(store, tmp_path, personal):
    publish(store, "artifacts/part", personal, without="past_later.npy")

    with pytest.raises(CorruptArtifact, match="past_later"):
        loader(store, tmp_path).load("artifacts/part")


@pytest.mark.parametrize("name", ["history_items", "history_actions", "history_times"])
def test_histories_of_another_length_are_a_corrupt_artifact(store, tmp_path, popular, name):
    publish(store, "artifacts/one", popular, shortened=name)

    with pytest.raises(CorruptArtifact, match=rf"`{name}\.npy`: got 479, want 480"):
        loader(store, tmp_path).load("artifacts/one")


def test_event_types_that_the_manifest_does_not_name_are_a_corrupt_artifact(store, tmp_path, popular):
    publish(store, "artifacts/one", popular, event_types=["watch"])

    with pytest.raises(CorruptArtifact, match=r"`history_actions\.npy`: got types out of range, want 0 to 1"):
        loader(store, tmp_path).load("artifacts/one")


def test_unknown_recipe_is_refused(store, tmp_path, popular):
    publish(store, "artifacts/one", popular, recipe="aws-miracle")

    with pytest.raises(ResourceNotFound, match="`recipe`: got 'aws-miracle'"):
        loader(store, tmp_path).load("artifacts/one")


def test_recipe_that_only_batch_jobs_answer_is_refused(store, tmp_path, popular):
    publish(store, "artifacts/one", popular, recipe="aws-item-affinity")

    with pytest.raises(OperationUnavailable, match="got aws-item-affinity of type USER_SEGMENTATION, want one of type"):
        loader(store, tmp_path).load("artifacts/one")


def calibration(chosen):
    made = IndexCalibration(chosen=chosen, has_scan=True)
    made.setting.index, made.setting.search_k, made.setting.probes = chosen, 2000, 2
    return made


@pytest.mark.parametrize(
    ("mode", "chosen", "kind"),
    [
        ("auto", "exact", None),
        ("auto", "scan", ScanIndex),
        ("auto", "lists", ListIndex),
        ("auto", "annoy", AnnoyIndex),
        ("exact", "lists", None),
        ("scan", "annoy", ScanIndex),
        ("annoy", "lists", ListIndex),
    ],
)
def test_index_is_the_calibrations_choice_unless_the_artifact_has_the_one_that_is_wanted(
    index_folder, mode, chosen, kind
):
    index, scan = open_index(index_folder, calibration(chosen), item_vectors=vectors(), mode=mode)

    assert index is None if kind is None else isinstance(index, kind)
    assert (scan is None) == (mode == "exact")


def test_artifact_from_before_there_were_several_indexes_is_scored_whole(tmp_path):
    before = IndexCalibration(chosen="annoy")
    before.measurements.add(index="annoy", search_k=2000)

    assert open_index(tmp_path, before, item_vectors=vectors(), mode="auto") == (None, None)


def test_scan_of_another_version_is_not_read(index_folder, tmp_path):
    for path in index_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "scan_tails.npy").rename(tmp_path / "scan_block_lengths.npy")

    for mode, chosen, kind in (
        ("auto", "lists", ListIndex),
        ("auto", "scan", NoneType),
        ("lists", "scan", NoneType),
        ("annoy", "lists", ListIndex),
        ("scan", "lists", NoneType),  # who wants a scan wants exact answers
        ("scan", "scan", NoneType),
    ):
        index, scan = open_index(tmp_path, calibration(chosen), item_vectors=vectors(), mode=mode)
        assert (type(index), scan) == (kind, None)


def test_unknown_choice_is_a_corrupt_artifact(index_folder):
    with pytest.raises(CorruptArtifact, match=r"`index\.chosen`: got 'ivf', want exact, scan, lists or annoy"):
        open_index(index_folder, calibration("ivf"), item_vectors=vectors(), mode="auto")


@pytest.mark.parametrize("chosen", ["scan", "lists", "annoy"])
def test_index_of_another_catalogue_is_a_corrupt_artifact(index_folder, chosen):
    with pytest.raises(CorruptArtifact, match="want"):
        open_index(index_folder, calibration(chosen), item_vectors=vectors()[:-200], mode="auto")


@pytest.mark.parametrize("chosen", ["scan", "lists", "annoy"])
def test_index_without_its_files_is_a_corrupt_artifact(tmp_path, chosen):
    with pytest.raises(CorruptArtifact, match=r"array `"):
        open_index(tmp_path, calibration(chosen), item_vectors=vectors(), mode="auto")
