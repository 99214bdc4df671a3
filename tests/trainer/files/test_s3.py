"""Files of jobs on a real S3 server: what is read and written, and how each kind of trouble is told."""

from __future__ import annotations

import dataclasses
import os
import re
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import polars as pl
import pytest

from common.errors import InvalidInput, Unavailable
from common.files.outputs import Outputs
from common.settings import forget_settings
from common.storage.objects import open_store
from common.tables import Table
from protos.tailorbird.control.v1.metric_attribution_pb2 import MetricAttribute
from protos.tailorbird.internal.v1.jobs_pb2 import TrackedAttribution
from tests.s3 import CutConnection, s3_server
from tests.trainer.place import HEADERS, Place
from trainer.files.sources import Sources

LARGE = bytes(range(256)) * 4096
PRIVILEGES = "Insufficient privileges for accessing data in Amazon S3."


@pytest.fixture(scope="module")
def server():
    with s3_server() as running:
        objects = {
            "in/a.csv": "u1,i1,5,watch,1.5\n",
            "in/b.csv": "u2,i2,6,watch,\n",
            "in/deep/c.csv": "u3,i3,7,watch,\n",
            "in/deep/d.txt": "u4,i4,8,watch,\n",
            "inner/e.csv": "u5,i5,9,watch,\n",
        }
        for key, rows in objects.items():
            running.client().put_object(Bucket="films", Key=key, Body=f"{HEADERS['INTERACTIONS']}\n{rows}".encode())
        running.client().put_object(Bucket="films", Key="large.csv", Body=LARGE)
        for marker in ("in/", "in/deep/", "in/_SUCCESS"):
            running.client().put_object(Bucket="films", Key=marker, Body=b"")
        yield running


def sources(server, **changes):
    return Sources(server.settings(**changes), buckets=None, roots=())


def outputs(server, **changes):
    return Outputs(server.settings(**changes), buckets=None, roots=())


def written(server, location="s3://results/exports/", **changes):
    """Write a file where a job would, and complete the folder."""
    return lambda file: _write(outputs(server, **changes).open(location, "job"), file)


def _write(folder, file):
    folder.begin(lambda name: name.endswith(".csv"))
    folder.put("part-00001.csv", file, rows=1)
    folder.finish({})


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file.csv"
    path.write_text("A\n1\n")
    return path


def test_a_file_is_copied(server, tmp_path):
    (file,) = sources(server).fetch("s3://films/in/a.csv", folder=tmp_path)
    assert (file.name, file.path.read_text()) == ("a.csv", f"{HEADERS['INTERACTIONS']}\nu1,i1,5,watch,1.5\n")


def test_imports_read_the_first_level_of_a_folder(server, tmp_path):
    assert [file.name for file in sources(server).fetch("s3://films/in/", folder=tmp_path)] == ["a.csv", "b.csv"]


def test_deletions_read_csv_files_of_sub_folders_too(server, tmp_path):
    files = sources(server).fetch("s3://films/in/", folder=tmp_path, sub_folders=True)
    assert [file.name for file in files] == ["a.csv", "b.csv", "deep/c.csv"]


def test_deletions_read_sub_folders_where_buckets_are_folders(place):
    for name in ("in/a.csv", "in/deep/c.csv", "in/deep/d.txt", "in/deep/_e.csv"):
        place.write(name)
    files = place.sources().fetch("s3://films/in/", folder=place.root, sub_folders=True)
    assert [file.name for file in files] == ["a.csv", "deep/c.csv"]


def test_what_was_written_replaces_what_an_attempt_before_left(server, file):
    for key in ("part-00001.csv", "part-00002.csv", "_manifest.json", "notes.txt"):
        server.client().put_object(Bucket="results", Key=f"again/job/{key}", Body=b"x")

    written(server, "s3://results/again")(file)

    assert [key for key in server.keys("results") if key.startswith("again/")] == [
        "again/job/_manifest.json", "again/job/notes.txt", "again/job/part-00001.csv",
    ]  # fmt: skip
    body = server.client().get_object(Bucket="results", Key="again/job/part-00001.csv")["Body"].read()
    assert body == file.read_bytes()


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        ("s3://films/none.csv", "Invalid Data location. `dataLocation`: got s3://films/none.csv, where nothing is"),
        ("s3://films/none/", "Invalid Data location. `dataLocation`: got s3://films/none/, where nothing is"),
        ("s3://missing/a.csv", "Invalid Data location. `dataLocation`: got s3://missing/a.csv, where nothing is"),
        ("s3://missing/in/", "Invalid Data location. `dataLocation`: got s3://missing/in/, where nothing is"),
        ("s3://private/a.csv", f"{PRIVILEGES} `dataLocation`: got s3://private/a.csv"),
        ("s3://private/in/", f"{PRIVILEGES} `dataLocation`: got s3://private/in/"),
    ],
)
def test_what_cannot_be_read_is_told_in_personalizes_words(server, tmp_path, location, problem):
    with pytest.raises(InvalidInput, match=re.escape(problem)):
        sources(server).fetch(location, folder=tmp_path)


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        ("s3://missing/exports/", "Invalid S3 output path. `jobOutput.s3DataDestination.path`: got s3://missing/exp"),
        ("s3://private/exports/", f"{PRIVILEGES} `jobOutput.s3DataDestination.path`: got s3://private/exports/"),
    ],
)
def test_what_cannot_be_written_is_told_in_personalizes_words(server, file, location, problem):
    with pytest.raises(InvalidInput, match=re.escape(problem)):
        written(server, location)(file)


WRONG = [{"s3_access_key_id": "AKIANOBODY"}, {"s3_secret_access_key": "wrong"}]


@pytest.mark.parametrize("credentials", WRONG)
@pytest.mark.parametrize("location", ["s3://films/in/a.csv", "s3://films/in/"])
def test_wrong_credentials_may_read_nothing(server, tmp_path, credentials, location):
    with pytest.raises(InvalidInput, match=PRIVILEGES):
        sources(server, **credentials).fetch(location, folder=tmp_path)


@pytest.mark.parametrize("credentials", WRONG)
def test_wrong_credentials_may_write_nothing(server, file, credentials):
    with pytest.raises(InvalidInput, match=PRIVILEGES):
        written(server, **credentials)(file)


@pytest.mark.parametrize(("location", "answer_bytes"), [("in/a.csv", 0), ("in/a.csv", 60), ("large.csv", 700)])
def test_a_connection_that_is_cut_whenever_it_reads_is_trouble_that_passes(server, tmp_path, location, answer_bytes):
    with CutConnection(server.endpoint, answer_bytes=answer_bytes).running() as cut:
        with pytest.raises(Unavailable, match=r"`dataLocation`: got .*, which cannot be read now"):
            sources(server, s3_endpoint=cut.endpoint).fetch(f"s3://films/{location}", folder=tmp_path)
        assert cut.connections > 1


def test_a_connection_that_is_cut_whenever_it_writes_is_trouble_that_passes(server, file):
    with CutConnection(server.endpoint, answer_bytes=60).running() as cut:
        with pytest.raises(Unavailable, match="which cannot be written to now"):
            written(server, s3_endpoint=cut.endpoint)(file)
        assert cut.connections > 1


def test_a_large_object_arrives_over_connections_that_are_cut(server, tmp_path):
    with CutConnection(server.endpoint, answer_bytes=300_000).running() as cut:
        settings = server.settings(s3_endpoint=cut.endpoint, store_url="s3://films", s3_retry_seconds=20.0)
        store = dataclasses.replace(open_store(settings), part_bytes=100_000)
        store.download("large.csv", tmp_path / "copy")
        assert cut.connections > 3
    assert (tmp_path / "copy").read_bytes() == LARGE


def test_variables_of_aws_do_not_outweigh_settings_once_they_are_forgotten(server):
    variables = {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1", "AWS_SESSION_TOKEN": "of another key"}
    with patch.dict(os.environ, variables):
        forget_settings(os.environ)
        store = open_store(server.settings(store_url="s3://films"))
        assert store.get("in/a.csv")
        assert not Table(store, "datasets/none").exists()


def test_a_table_that_cannot_be_reached_is_trouble_that_passes(server):
    with CutConnection(server.endpoint, answer_bytes=0).running() as cut:
        table = Table(open_store(server.settings(store_url="s3://films", s3_endpoint=cut.endpoint)), "datasets/none")
        uses = (table.exists, table.version, table.read, lambda: table.append(pl.DataFrame({"ITEM_ID": ["i1"]})))
        # Side by side, as each is tried for some seconds.
        with ThreadPoolExecutor(len(uses)) as threads:
            for ended in [threads.submit(use) for use in uses]:
                with pytest.raises(Unavailable, match="datasets/none"):
                    ended.result()


def test_an_import_and_an_export_through_the_server(server, tmp_path):
    place = Place(tmp_path, s3=server.settings())
    assert place.bring("s3://films/in/").imported_rows == 2

    result = place.export("s3://results/whole/", job_name="nightly")

    assert (result.exported_rows, result.files) == (2, 1)
    assert [key for key in server.keys("results") if key.startswith("whole/")] == [
        "whole/nightly/_manifest.json", "whole/nightly/part-00001.csv",
    ]  # fmt: skip
    assert place.bring("s3://results/whole/nightly/", kind="INTERACTIONS").imported_rows == 2


def test_the_report_of_an_import_goes_through_the_server(server, tmp_path):
    place = Place(tmp_path, s3=server.settings())
    views = MetricAttribute(metric_name="views", event_type="watch", expression="SAMPLECOUNT()")

    def bring(path: str, import_id: str):
        counted = TrackedAttribution(metrics=[views], output_path=path)
        return place.bring("s3://films/in/", import_id=import_id, attribution=counted)

    bring("s3://results/reports/", "one")

    (key,) = [key for key in server.keys("results") if key.startswith("reports/")]
    assert key == "reports/AggregatedAttributionMetrics - DatasetImportJob weekly - 0.csv"
    lines = server.client().get_object(Bucket="results", Key=key)["Body"].read().decode().splitlines()
    assert lines[1:] == ["VIEWS,WATCH,2.0,samplecount,SOURCE_NAME_UNDEFINED,0"]
    for path, problem in (("s3://missing/reports/", "where nothing is"), ("s3://private/reports/", PRIVILEGES)):
        with pytest.raises(InvalidInput, match=problem):
            bring(path, "two")
    assert place.table().version() == 0
