"""Imports into real tables: what replaces what, what a repeated or a bad import changes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import polars as pl
import pytest

from common import columns
from common.arrow_schema import interactions_frame_schema
from common.avro import AvroSchema
from common.errors import InvalidInput
from tests.control_plane.world import avro, column
from tests.trainer.place import HEADERS, SCHEMAS
from trainer.worker import CancelReason, JobCancelled, NullJobContext


def stream(place, *users: str, offset: int = 1) -> None:
    """Append rows as the events service seals them."""
    rows = pl.DataFrame(
        {
            "USER_ID": users, "ITEM_ID": ["i9"] * len(users), "TIMESTAMP": [9] * len(users),
            "EVENT_TYPE": ["watch"] * len(users), "EVENT_VALUE": [None] * len(users),
            columns.SOURCE: [columns.SOURCE_PUT] * len(users), columns.EVENT_ID: [f"e-{user}" for user in users],
            columns.LOG_OFFSET: list(range(offset, offset + len(users))), columns.SESSION_ID: ["s"] * len(users),
        },
        schema=interactions_frame_schema(AvroSchema.parse(SCHEMAS["INTERACTIONS"])),
    )  # fmt: skip
    place.table().append(rows, app_id=columns.EVENTS_APP_ID, number=offset + len(users) - 1)


def users(place) -> list[str]:
    return sorted(place.rows()["USER_ID"].to_list())


def test_rows_are_written_with_their_source(place):
    place.write("a.csv", "u1,i1,5,watch,1", "u2,i2,6,watch,")

    result = place.bring("s3://films/a.csv")

    assert (result.imported_rows, result.files) == (2, 1)
    rows = place.rows()
    assert dict(rows.schema) == interactions_frame_schema(AvroSchema.parse(SCHEMAS["INTERACTIONS"]))
    assert rows[columns.SOURCE].to_list() == [columns.SOURCE_BULK] * 2
    assert rows[columns.LOG_OFFSET].null_count() == 2


def test_all_files_of_a_folder_are_one_commit(place):
    place.write("in/a.csv", "u1,i1,5,watch,1")
    place.write("in/b.csv", "u2,i2,6,watch,1")

    result = place.bring("s3://films/in/")

    assert (result.imported_rows, result.files, place.table().version()) == (2, 2, 0)


def test_full_replaces_bulk_rows_and_keeps_streamed_ones(place):
    place.write("a.csv", "u1,i1,5,watch,1")
    place.write("b.csv", "u3,i3,7,watch,1")
    place.bring("s3://films/a.csv")
    stream(place, "u2")

    place.bring("s3://films/b.csv")

    assert users(place) == ["u2", "u3"]
    assert place.table().transaction(columns.EVENTS_APP_ID) == 1


def test_full_after_events_alone_keeps_them(place):
    stream(place, "u2")
    place.write("a.csv", "u1,i1,5,watch,1")
    place.bring("s3://films/a.csv")
    assert users(place) == ["u1", "u2"]


def test_incremental_adds_interactions(place):
    place.write("a.csv", "u1,i1,5,watch,1")
    place.write("b.csv", "u2,i2,6,watch,1")
    place.bring("s3://films/a.csv")
    place.bring("s3://films/b.csv", replace=False)
    assert users(place) == ["u1", "u2"]


def test_incremental_replaces_items_of_the_same_id(place):
    place.write("a.csv", "i1,Old,,1990,", "i2,Other,,1991,", header=HEADERS["ITEMS"])
    place.write("b.csv", "i1,New,,1992,", "i3,Third,,1993,", header=HEADERS["ITEMS"])
    place.bring("s3://films/a.csv", kind="ITEMS")
    place.bring("s3://films/b.csv", kind="ITEMS", replace=False)
    assert place.rows("ITEMS").sort("ITEM_ID")["TITLE"].to_list() == ["New", "Other", "Third"]


@pytest.mark.parametrize("replace", [True, False])
def test_a_repeated_import_changes_nothing_and_answers_the_same(place, replace):
    path = place.write("a.csv", "u1,i1,5,watch,1", "u2,i2,6,watch,1")
    place.bring("s3://films/a.csv", import_id="first")
    place.bring("s3://films/a.csv", replace=replace, import_id="second")
    version = place.table().version()
    path.unlink()

    again = place.bring("s3://films/a.csv", replace=replace, import_id="second")

    assert (again.imported_rows, place.table().version()) == (2, version)


def test_a_bad_file_changes_nothing(place):
    place.write("in/a.csv", "u1,i1,5,watch,1")
    place.bring("s3://films/in/")
    place.write("in/b.csv", "u2,i2,soon,watch,1")

    with pytest.raises(InvalidInput, match=r"Failed to create a data import job for Interactions dataset\. 1 of 2"):
        place.bring("s3://films/in/")

    assert (users(place), place.table().version()) == (["u1"], 0)


def test_a_bad_location_is_reported_as_a_failed_import(place):
    with pytest.raises(InvalidInput) as caught:
        place.bring("s3://films/none.csv", kind="USERS")
    assert caught.value.message.startswith(
        "Failed to create a data import job for Users dataset. Invalid Data location. "
    )
    assert not place.table("USERS").exists()


def test_identical_interactions_count_once_and_others_stay(place):
    place.write("a.csv", "u1,i1,5,watch,1", "u1,i1,5,watch,1", "u1,i1,5,watch,2", "u1,i1,6,watch,1")
    assert place.bring("s3://films/a.csv").imported_rows == 3


def test_of_several_rows_of_one_user_the_last_wins(place):
    place.write("a.csv", "u1,30", "u2,40", "u1,31", header=HEADERS["USERS"])
    assert place.bring("s3://films/a.csv", kind="USERS").imported_rows == 2
    assert dict(place.rows("USERS").select("USER_ID", "AGE").rows()) == {"u1": 31, "u2": 40}


def test_nothing_is_left_in_the_work_folder(place):
    place.write("a.csv", "u1,i1,5,watch,1")
    place.bring("s3://films/a.csv")
    assert list((place.root / "work").iterdir()) == []


class Before(NullJobContext):
    """Lets something else happen right before each of the first commits, as many times as there is something."""

    def __init__(self, *events: Callable[[], object]) -> None:
        self._events = list(events)

    def confirm(self) -> None:
        if self._events:
            self._events.pop(0)()


def staged(place, kind: str = "INTERACTIONS") -> list[str]:
    """Return the files in a table's folder that no version of it ever had."""
    folder = place.root / "store" / "datasets" / "group" / kind
    log = "".join(path.read_text() for path in folder.glob("_delta_log/*.json"))
    names = [str(path.relative_to(folder)) for path in folder.rglob("*.parquet")]
    return [name for name in names if name not in log and not name.startswith("_delta_log/")]


def test_streamed_rows_that_share_a_file_with_bulk_rows_stay(place):
    place.write("a.csv", "u1,i1,5,watch,1")
    place.write("b.csv", "u3,i3,7,watch,1")
    place.bring("s3://films/a.csv")
    stream(place, "u2")
    place.compact()
    assert [file.sources for file in place.table().snapshot().files] == [{"bulk", "put"}]

    place.bring("s3://films/b.csv")

    assert users(place) == ["u2", "u3"]
    assert place.rows().filter(pl.col("USER_ID") == "u2")[columns.EVENT_ID].to_list() == ["e-u2"]
    assert place.table().transaction(columns.EVENTS_APP_ID) == 1


def test_files_of_streamed_rows_alone_are_not_written_again(place):
    stream(place, "u2")
    before = place.table().snapshot().files
    place.write("a.csv", "u1,i1,5,watch,1")
    place.bring("s3://films/a.csv")
    assert set(before) < set(place.table().snapshot().files)


@pytest.mark.parametrize("replace", [True, False])
def test_commits_in_between_are_kept(place, replace):
    place.write("a.csv", "u1,i1,5,watch,1")
    place.write("b.csv", "u3,i3,7,watch,1")
    place.bring("s3://films/a.csv")

    def compact() -> None:
        stream(place, "u4", offset=2)
        place.compact()

    place.bring("s3://films/b.csv", replace=replace, context=Before(lambda: stream(place, "u2"), compact))

    assert users(place) == (["u2", "u3", "u4"] if replace else ["u1", "u2", "u3", "u4"])
    assert staged(place) == []


def test_the_first_commit_of_a_table_may_be_that_of_others(place):
    place.write("a.csv", "u1,i1,5,watch,1")
    place.bring("s3://films/a.csv", context=Before(lambda: stream(place, "u2")))
    assert users(place) == ["u1", "u2"]


def test_items_are_merged_with_those_that_were_imported_in_between(place):
    place.write("a.csv", "i1,Old,,1990,", "i2,Other,,1991,", header=HEADERS["ITEMS"])
    place.write("b.csv", "i2,Between,,1991,", "i4,Fourth,,1991,", header=HEADERS["ITEMS"])
    place.write("c.csv", "i1,New,,1992,", "i3,Third,,1993,", header=HEADERS["ITEMS"])
    place.bring("s3://films/a.csv", kind="ITEMS")
    between = Before(lambda: place.bring("s3://films/b.csv", kind="ITEMS", replace=False, import_id="between"))

    result = place.bring("s3://films/c.csv", kind="ITEMS", replace=False, import_id="outer", context=between)

    assert result.imported_rows == 2
    assert place.rows("ITEMS").sort("ITEM_ID")["TITLE"].to_list() == ["New", "Between", "Third", "Fourth"]
    assert staged(place, "ITEMS") == []


def test_an_attempt_that_is_late_changes_nothing(place):
    place.write("a.csv", "u1,i1,5,watch,1")
    sooner = Before(lambda: place.bring("s3://films/a.csv", replace=False, import_id="one"))
    place.bring("s3://films/a.csv", replace=False, import_id="one", context=sooner)
    assert users(place) == ["u1"]
    assert place.table().version() == 0


def test_a_cancelled_import_leaves_nothing(place):
    def cancel() -> None:
        raise JobCancelled(CancelReason.LOST)

    place.write("a.csv", "u1,i1,5,watch,1")
    with pytest.raises(JobCancelled):
        place.bring("s3://films/a.csv", context=Before(cancel))
    assert not place.table().exists()
    assert list((place.root / "store").rglob("*.parquet")) == []


def test_an_import_that_is_killed_at_its_commit_changes_nothing_and_is_cleared_away(place):
    place.write("a.csv", "u1,i1,5,watch,1")
    place.write("b.csv", "u2,i2,6,watch,1")
    place.bring("s3://films/a.csv", import_id="first")
    command = [sys.executable, "-m", "tests.trainer.imports.killed_import", str(place.root), "s3://films/b.csv", "next"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert "ready\n" in iter(process.stdout.readline, "")
        process.kill()

    assert (users(place), place.table().version()) == (["u1"], 0)
    assert len(staged(place)) == 1
    assert len(list((place.root / "work").iterdir())) == 1
    place.workspace.sweep()
    place.bring("s3://films/b.csv", import_id="next")

    assert (users(place), place.table().version()) == (["u2"], 1)
    assert staged(place) == []
    assert list((place.root / "work").iterdir()) == []


def test_columns_that_a_new_schema_adds_are_added(place):
    schema = avro(
        "Items", *(column(name, ["null", "string"]) if name != "ITEM_ID" else column(name) for name in
                   ("ITEM_ID", "TITLE", "GENRES")),
        column("YEAR", ["null", "int"]), column("CHILDREN", ["null", "boolean"]), column("PRICE", ["null", "float"]),
    )  # fmt: skip
    place.write("a.csv", "i1,Old,,1990,", "i2,Other,,1991,", header=HEADERS["ITEMS"])
    place.write("b.csv", "i2,New,,1992,,4.5", header=f"{HEADERS['ITEMS']},PRICE")
    place.bring("s3://films/a.csv", kind="ITEMS")

    place.bring("s3://films/b.csv", kind="ITEMS", replace=False, schema=schema)

    rows = place.rows("ITEMS").sort("ITEM_ID")
    assert rows.select("TITLE", "PRICE").rows() == [("Old", None), ("New", 4.5)]


def test_rows_of_incremental_imports_count_as_newer_than_what_was_put_before(place):
    place.write("a.csv", "i1,Old,,1990,", "i2,Other,,1991,", header=HEADERS["ITEMS"])
    place.write("b.csv", "i1,New,,1992,", header=HEADERS["ITEMS"])
    place.bring("s3://films/a.csv", kind="ITEMS")
    put = place.rows("ITEMS").head(0).with_columns(pl.lit("x").alias("ITEM_ID"))
    place.table("ITEMS").append(put, app_id=columns.EVENTS_APP_ID, number=41)

    place.bring("s3://films/b.csv", kind="ITEMS", replace=False)
    assert dict(place.rows("ITEMS").select("ITEM_ID", columns.LOG_OFFSET).rows()) == {"i1": 41, "i2": None}

    place.bring("s3://films/a.csv", kind="ITEMS")
    assert place.rows("ITEMS")[columns.LOG_OFFSET].to_list() == [None, None]


def test_incremental_items_leave_put_rows_alone(place):
    place.write("a.csv", "i1,Old,,1990,", header=HEADERS["ITEMS"])
    place.bring("s3://films/a.csv", kind="ITEMS")
    rows = place.rows("ITEMS").with_columns(pl.lit("put").alias(columns.SOURCE), pl.lit("Put").alias("TITLE"))
    place.table("ITEMS").append(rows, app_id=columns.EVENTS_APP_ID, number=1)
    place.compact("ITEMS")

    place.write("b.csv", "i1,New,,1992,", header=HEADERS["ITEMS"])
    place.bring("s3://films/b.csv", kind="ITEMS", replace=False)

    assert sorted(place.rows("ITEMS").select(columns.SOURCE, "TITLE").rows()) == [("bulk", "New"), ("put", "Put")]


def test_a_bad_file_is_reported_as_a_whole_beside_the_table(place):
    place.write("in/a.csv", "u1,i1,5,watch,1")
    lines = [f"u{line},i2,{'soon' if line % 2 else 1_700_000_000_000},watch,1" for line in range(50)]
    place.write("in/b.csv", *lines, "u,i,1,watch")

    with pytest.raises(InvalidInput) as caught:
        place.bring("s3://films/in/", import_id="bad")

    location = "datasets/group/INTERACTIONS/_import_reports/bad.json"
    assert caught.value.message.endswith(f"; ... Whole report: {location} in the store.")
    assert len(caught.value.message) < 2000
    report = json.loads((place.root / "store" / location).read_text())
    assert (report["datasetType"], report["importId"], report["rows"], report["badRows"]) == (
        "INTERACTIONS", "bad", 52, 51,
    )  # fmt: skip
    assert {(item["column"], item["count"]) for item in report["problems"]} == {("TIMESTAMP", 25), ("", 1)}
    first = report["firstBadRows"]
    assert len(first) == 20
    assert (first[1]["file"], first[1]["line"], first[1]["column"], first[1]["value"]) == (
        "b.csv", 3, "TIMESTAMP", "soon",
    )  # fmt: skip
    assert "(not milliseconds)" in first[0]["problem"]
    assert not place.table().exists()


def test_a_file_that_cannot_be_read_is_reported_too(place):
    place.write("a.csv", "u1,5", header="USER_ID,TIMESTAMP")
    with pytest.raises(InvalidInput, match="Input CSV is missing the following columns"):
        place.bring("s3://films/a.csv", import_id="bad")
    report = place.root / "store/datasets/group/INTERACTIONS/_import_reports/bad.json"
    assert json.loads(report.read_text())["fault"].startswith("Input CSV is missing the following columns:[ITEM_ID")
