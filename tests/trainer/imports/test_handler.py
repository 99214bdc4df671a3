"""Imports into real tables: what replaces what, what a repeated or a bad import changes."""

from __future__ import annotations

import polars as pl
import pytest

from common import columns
from common.arrow_schema import interactions_frame_schema
from common.avro import AvroSchema
from common.errors import InvalidInput
from tests.trainer.place import HEADERS, SCHEMAS


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
