"""Where results may be written, in folders that stand for buckets and below the roots of `file://`."""

from __future__ import annotations

import json

import pytest

from common.errors import InvalidInput
from common.files.outputs import Outputs
from common.settings import StoreSettings
from trainer.settings import TrainerSettings


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file.csv"
    path.write_text("A\n1\n2\n")
    return path


def refused(place, location, name="job") -> str:
    with pytest.raises(InvalidInput) as caught:
        place.outputs().open(location, name)
    return caught.value.message


@pytest.mark.parametrize(
    "location", ["s3://films/out/", "s3://films/out", "file://{bucket}/out/", "file://{bucket}/out"]
)
def test_a_folder_is_complete_with_its_manifest(place, file, location):
    folder = place.outputs().open(location.format(bucket=place.bucket), "job")
    folder.begin(lambda name: True)
    folder.put("a.csv", file, rows=2)
    assert not (place.bucket / "out/job/_manifest.json").exists()

    folder.finish({"datasetType": "ITEMS"})

    assert (place.bucket / "out/job/a.csv").read_text() == "A\n1\n2\n"
    manifest = json.loads((place.bucket / "out/job/_manifest.json").read_text())
    assert (manifest["datasetType"], manifest["rows"], manifest["files"][0]["name"]) == ("ITEMS", 2, "a.csv")


def test_results_can_go_into_the_folder_itself(place, file):
    place.outputs().open("s3://films/", "").put("users.json.out", file, rows=2)
    assert (place.bucket / "users.json.out").exists()


def test_a_bucket_is_not_made(place):
    message = refused(place, "s3://nobucket/out/")
    assert message.startswith("Invalid S3 output path. `jobOutput.s3DataDestination.path`: got s3://nobucket/out/")
    assert message.endswith(f"want a bucket: the folder {place.root / 's3' / 'nobucket'}")


def test_links_do_not_lead_out(place, tmp_path):
    (tmp_path / "private").mkdir()
    (place.bucket / "link").symlink_to(tmp_path / "private")
    (place.root / "s3" / "linked").symlink_to(tmp_path / "private")
    for location in ("s3://films/link/", "s3://linked/", f"file://{place.bucket}/link/", f"file://{tmp_path}/private/"):
        assert "outside of the folders that may be written to (TAILORBIRD_FILE_OUTPUT_ROOTS)" in refused(
            place, location
        )
    assert list((tmp_path / "private").iterdir()) == []


def test_a_loop_of_links_and_a_file_in_the_way_are_refused_at_once(place):
    (place.bucket / "loop").symlink_to(place.bucket / "loop")
    place.write("taken")
    assert "which cannot be written to (" in refused(place, "s3://films/loop/")
    assert "which cannot be written to (Not a directory)" in refused(place, "s3://films/taken/")
    assert "which cannot be written to (File exists)" in refused(place, "s3://films/", "taken")


@pytest.mark.parametrize("location", ["s3://films/../x/", "file:///data/../x/", "/data/", "http://films/x/"])
def test_locations_that_climb_or_are_of_another_kind_are_refused(place, location):
    assert refused(place, location).startswith("Invalid S3 output path. ")


def test_what_may_be_read_may_not_be_written_by_that(place, tmp_path):
    settings = TrainerSettings(data_dir=place.root, file_roots=str(tmp_path / "read"))
    outputs = Outputs(place.settings, buckets=settings.buckets(), roots=settings.output_roots())
    with pytest.raises(InvalidInput, match="outside of the folders that may be written to"):
        outputs.open(f"file://{tmp_path}/read/", "job")
    assert TrainerSettings(file_output_roots="/a:/b c").output_roots() != settings.output_roots()


def test_results_are_not_written_into_the_store(place):
    settings = StoreSettings(store_url="s3://shop/tailorbird", s3_endpoint="http://127.0.0.1:1")
    with pytest.raises(InvalidInput, match="in the store of this installation"):
        Outputs(settings, buckets=place.root, roots=()).open("s3://shop/", "tailorbird")
    outputs = Outputs(place.settings, buckets=place.root / "s3", roots=(place.root,))
    with pytest.raises(InvalidInput, match="in the store of this installation"):
        outputs.open(f"file://{place.root}/", "store")
