"""Exports of real tables: which rows, what the files hold, and what is left when an attempt ends in the middle."""

from __future__ import annotations

import hashlib
import json

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common import columns
from common.errors import InvalidInput
from tests.control_plane.world import avro, column
from tests.tables import import_bulk
from tests.trainer.imports.test_handler import stream
from tests.trainer.place import HEADERS, SCHEMAS
from trainer.worker import CancelReason, JobCancelled, NullJobContext


def lines(place, *, folder: str = "exports/job") -> list[str]:
    """Return the rows of all files, in order, each of which has the header."""
    rows = []
    for path in sorted((place.bucket / folder).glob("part-*.csv")):
        header, *others = path.read_text().removesuffix("\n").split("\n")
        rows.append((header, others))
    (header,) = {header for header, _ in rows}
    return [header, *sorted(row for _, others in rows for row in others)]


def manifest(place, *, folder: str = "exports/job"):
    return json.loads((place.bucket / folder / "_manifest.json").read_text())


def put_items(place, *rows: tuple[str, str], offset: int) -> None:
    """Append versions of items as they are when they were put."""
    frame = pl.DataFrame(
        [
            {"ITEM_ID": item, "TITLE": title, columns.SOURCE: columns.SOURCE_PUT, columns.LOG_OFFSET: offset + place}
            for place, (item, title) in enumerate(rows)
        ]
    )
    place.table("ITEMS").append(frame)


@pytest.fixture
def interactions(place):
    place.write("a.csv", "u1,i1,5,watch,1.5", "u2,i2,6,watch,")
    place.bring("s3://films/a.csv")
    stream(place, "u3", "u4")
    return place


def test_all_rows_are_exported_under_the_header_of_the_schema(interactions):
    result = interactions.export()

    assert (result.exported_rows, result.files) == (4, 1)
    assert lines(interactions) == [
        HEADERS["INTERACTIONS"], "u1,i1,5,watch,1.5", "u2,i2,6,watch,", "u3,i9,9,watch,", "u4,i9,9,watch,",
    ]  # fmt: skip


@pytest.mark.parametrize(("mode", "users"), [("BULK", ["u1", "u2"]), ("PUT", ["u3", "u4"])])
def test_a_mode_says_where_rows_must_come_from(interactions, mode, users):
    interactions.export(mode=mode)
    assert [line.partition(",")[0] for line in lines(interactions)[1:]] == users


@pytest.mark.parametrize(("mode", "flushed"), [("ALL", 1), ("PUT", 1), ("BULK", 0)])
def test_the_latest_records_are_waited_for_where_they_count(interactions, mode, flushed):
    interactions.export(mode=mode)
    assert interactions.flusher.flushed_locations == ["datasets/group/INTERACTIONS"] * flushed


def test_identical_records_appear_once(interactions):
    stream(interactions, "u3", "u3", "u5", offset=10)
    assert interactions.export().exported_rows == 5


@pytest.fixture
def items(place):
    place.write("items.csv", "i1,imported,,,", "i2,imported,,,", header=HEADERS["ITEMS"])
    place.bring("s3://films/items.csv", kind="ITEMS")
    put_items(place, ("i1", "first"), ("i1", "second"), ("i3", "put"), ("i3", "put"), offset=7)
    return place


def test_all_has_the_newest_version_of_each_item(items):
    items.export(kind="ITEMS")
    assert lines(items) == [HEADERS["ITEMS"], "i1,second,,,", "i2,imported,,,", "i3,put,,,"]


def test_puts_alone_are_all_versions_of_the_items(items):
    items.export(kind="ITEMS", mode="PUT")
    assert lines(items) == [HEADERS["ITEMS"], "i1,first,,,", "i1,second,,,", "i3,put,,,"]


def test_imports_alone_are_what_was_imported(items):
    items.export(kind="ITEMS", mode="BULK")
    assert lines(items) == [HEADERS["ITEMS"], "i1,imported,,,", "i2,imported,,,"]


def test_a_column_that_the_schema_got_later_is_empty(items):
    schema = avro("Items", column("ITEM_ID"), column("TITLE", ["null", "string"]), column("LATER", ["null", "int"]))
    items.export(kind="ITEMS", mode="BULK", schema=schema)
    assert lines(items) == ["ITEM_ID,TITLE,LATER", "i1,imported,", "i2,imported,"]


@pytest.mark.parametrize("mode", ["ALL", "PUT"])
def test_a_dataset_without_such_rows_is_a_file_with_a_header(place, mode):
    if mode == "PUT":
        place.write("a.csv", "u1,i1,5,watch,1")
        place.bring("s3://films/a.csv")

    result = place.export(mode=mode)

    assert (result.exported_rows, result.files) == (0, 1)
    assert lines(place) == [HEADERS["INTERACTIONS"]]
    assert manifest(place)["rows"] == 0


def test_what_does_not_fit_into_memory_or_one_file_is_the_same_rows(place):
    rows = [f"u{number % 37:03},i{number % 101:03},{number % 500},watch,{number % 5}.0" for number in range(5000)]
    place.write("a.csv", *rows)
    place.bring("s3://films/a.csv")

    result = place.export(file_bytes=10_000, memory_bytes=20_000)

    assert lines(place) == [HEADERS["INTERACTIONS"], *sorted(set(rows))]
    assert result.exported_rows == len(set(rows))
    assert result.files > 5
    sizes = [path.stat().st_size for path in (place.bucket / "exports/job").glob("part-*.csv")]
    assert max(sizes) < 10_100


def test_the_manifest_tells_the_files_and_what_they_are(interactions):
    interactions.export(mode="BULK")

    content = (interactions.bucket / "exports/job/part-00001.csv").read_bytes()
    assert manifest(interactions) == {
        "datasetType": "INTERACTIONS",
        "ingestionMode": "BULK",
        "rows": 2,
        "files": [
            {
                "name": "part-00001.csv",
                "rows": 2,
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        ],
    }


class Stopped(NullJobContext):
    """Of a job that must end when it is about to publish for the n-th time."""

    def __init__(self, confirmations: int) -> None:
        self.left = confirmations

    def confirm(self) -> None:
        self.left -= 1
        if not self.left:
            raise JobCancelled(CancelReason.CLOSING)


@pytest.mark.parametrize("confirmations", [2, 3, 4])
def test_an_attempt_that_ends_in_the_middle_leaves_no_manifest_and_the_next_one_replaces_its_files(
    interactions, confirmations
):
    interactions.export(file_bytes=1)
    folder = interactions.bucket / "exports" / "job"
    (folder / "notes.txt").write_text("of the owner")
    with pytest.raises(JobCancelled):
        interactions.export(context=Stopped(confirmations), file_bytes=1)
    assert {path.name for path in folder.iterdir()} == {
        "notes.txt", *(f"part-{number:05}.csv" for number in range(1, confirmations - 1)),
    }  # fmt: skip

    interactions.export(mode="BULK")

    assert lines(interactions)[1:] == ["u1,i1,5,watch,1.5", "u2,i2,6,watch,"]
    assert {path.name for path in folder.iterdir()} == {"notes.txt", "part-00001.csv", "_manifest.json"}


def test_jobs_write_beside_each_other(interactions):
    interactions.export(job_name="one", mode="BULK")
    interactions.export(job_name="two", mode="PUT")
    assert len(lines(interactions, folder="exports/one")) == len(lines(interactions, folder="exports/two")) == 3


def test_an_export_can_be_imported(interactions):
    interactions.export()
    before = interactions.rows().select(pl.exclude(columns.INTERNAL))
    interactions.bring("s3://films/exports/job/", replace=True)
    again = interactions.rows().filter(pl.col(columns.SOURCE) == "bulk").select(pl.exclude(columns.INTERNAL))
    assert sorted(again.rows(), key=str) == sorted(before.rows(), key=str)


def test_where_nothing_may_be_written_is_told(interactions, tmp_path):
    with pytest.raises(InvalidInput, match=r"Invalid S3 output path\. .*outside of the folders that may be written to"):
        interactions.export(f"file://{tmp_path}/private/")


#: Ids and texts that an import takes: with a value, on one line.
texts = st.text(
    st.one_of(st.sampled_from("\",\\; \t\r'an"), st.characters(exclude_characters="\n", exclude_categories=["Cs"])),
    min_size=1,
    max_size=12,
)
records = st.fixed_dictionaries(
    {
        "ITEM_ID": texts,
        "TITLE": st.none() | texts,
        "GENRES": st.none() | texts,
        "YEAR": st.none() | st.integers(-(2**31), 2**31 - 1),
        "CHILDREN": st.none() | st.booleans(),
        "PRICE": st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False),
    }
)
PRICED = json.dumps(
    {
        **json.loads(SCHEMAS["ITEMS"]),
        "fields": [*json.loads(SCHEMAS["ITEMS"])["fields"], column("PRICE", ["null", "float"])],
    }
)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(records, min_size=1, max_size=40, unique_by=lambda record: record["ITEM_ID"]))
def test_what_is_exported_is_imported_as_the_same_rows(place, stored):
    types = {
        "ITEM_ID": pl.String, "TITLE": pl.String, "GENRES": pl.String, "YEAR": pl.Int32, "CHILDREN": pl.Boolean,
        "PRICE": pl.Float32,
    }  # fmt: skip
    frame = pl.DataFrame(stored, schema=types).with_columns(pl.lit(columns.SOURCE_BULK).alias(columns.SOURCE))
    import_bulk(place.table("ITEMS"), frame, import_id="stored", folder=place.root)

    place.export(kind="ITEMS", schema=PRICED)
    place.bring("s3://films/exports/job/", kind="ITEMS", schema=PRICED)

    names = list(types)
    assert sorted(place.rows("ITEMS").select(names).rows()) == sorted(frame.select(names).rows())
