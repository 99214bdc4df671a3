"""What the settings of a trainer make of themselves."""

from importlib.util import find_spec

import pytest
from pydantic import ValidationError

from common.compute.local import LocalCompute
from common.compute.ray_cluster import RayCompute
from common.errors import InvalidInput
from trainer.settings import TrainerSettings


def test_parts_are_done_on_this_machine_by_default():
    assert isinstance(TrainerSettings().open_compute(), LocalCompute)


def test_parts_are_done_on_ray_where_the_settings_say_so():
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed: there is no package of it for this machine")
    assert isinstance(TrainerSettings(compute="ray", ray_address="127.0.0.1:6379").open_compute(), RayCompute)


@pytest.mark.parametrize("url", ["data/store", "file://data/store"])
def test_a_folder_is_the_same_one_for_processes_that_work_elsewhere(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    assert TrainerSettings(store_url=url).store().store_url == str(tmp_path.resolve() / "data" / "store")
    assert TrainerSettings(store_url="s3://shop/tailorbird/").store().store_url == "s3://shop/tailorbird/"


def test_ray_without_an_address_is_refused():
    with pytest.raises(InvalidInput, match="`ray_address`: got nothing, want HOST:PORT"):
        TrainerSettings(compute="ray").open_compute()


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "127.0.0.1", "auto", ":6379"])
def test_an_address_of_another_form_is_refused(address):
    with pytest.raises(ValidationError, match="ray_address"):
        TrainerSettings(ray_address=address)
