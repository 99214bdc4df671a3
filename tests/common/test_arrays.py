"""Arrays come back from their files as they were, or not at all."""

import gc
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact


@pytest.mark.parametrize(
    "array",
    [np.array(3, np.int32), np.zeros((0, 4), np.float32), np.arange(6, dtype=np.float32).reshape(2, 3).T],
    ids=["scalar", "empty", "transposed"],
)
def test_shape_type_and_values_are_kept(array, tmp_path):
    save_arrays(tmp_path, {"found": array})
    mapped = map_arrays(tmp_path, ["found"])["found"]
    assert (mapped.shape, mapped.dtype) == (array.shape, array.dtype)
    np.testing.assert_array_equal(mapped, array)


def test_mapped_arrays_cannot_be_changed(tmp_path):
    save_arrays(tmp_path, {"found": np.zeros(3)})
    with pytest.raises(ValueError, match="read-only"):
        map_arrays(tmp_path, ["found"])["found"][0] = 1.0


def test_a_missing_file_is_corrupt(tmp_path):
    with pytest.raises(CorruptArtifact, match=r"`lost\.npy`"):
        map_arrays(tmp_path, ["lost"])


def test_a_cut_file_is_corrupt(tmp_path):
    save_arrays(tmp_path, {"cut": np.arange(1000.0)})
    content = (tmp_path / "cut.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(content[:-8])
    with pytest.raises(CorruptArtifact, match=r"`cut\.npy`"):
        map_arrays(tmp_path, ["cut"])


def test_objects_are_neither_written_nor_read(tmp_path):
    with pytest.raises(ValueError, match="pickle"):
        save_arrays(tmp_path, {"objects": np.array([{}], object)})
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(CorruptArtifact, match=r"`objects\.npy`"):
        map_arrays(tmp_path, ["objects"])


@pytest.fixture
def yielding():
    """Let threads take turns in the middle of whatever makes objects."""

    def give_way(phase, info):
        time.sleep(1e-4)  # gives the interpreter to the other thread; waits for nothing

    thresholds = gc.get_threshold()
    gc.callbacks.append(give_way)
    gc.set_threshold(20)
    yield
    gc.set_threshold(*thresholds)
    gc.callbacks.remove(give_way)


@pytest.mark.usefixtures("yielding")
def test_arrays_are_mapped_by_many_threads_at_a_time(tmp_path):
    save_arrays(tmp_path, {"shared": np.zeros(3)})
    with ThreadPoolExecutor(2) as threads:
        mapped = list(threads.map(lambda _: map_arrays(tmp_path, ["shared"])["shared"].shape, range(300)))
    assert mapped == [(3,)] * 300
