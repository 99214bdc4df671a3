"""Batch segment jobs on real files: who is in a segment, what is said of lines that are wrong, what is never left."""

from __future__ import annotations

import gzip
import json

import polars as pl
import pytest

from common.errors import InvalidInput
from tests.trainer.batch.planted_segments import USERS, publish_segments, segment_job, users_of
from tests.trainer.batch.running import SameProcess, Sent, StoppedWhile, append_events
from tests.trainer.place import HEADERS, SCHEMAS, Place
from trainer.worker import CancelReason, JobCancelled, NullJobContext

COMEDY, DRAMA, WAR = range(3)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.fixture
def compute():
    return SameProcess()


def put_lines(place, name, *lines):
    path = place.bucket / "input" / name
    path.parent.mkdir(exist_ok=True)
    text = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)


def read_output(place, name):
    return [json.loads(line) for line in (place.bucket / "output" / f"{name}.out").read_text().splitlines()]


def test_segments_of_items_are_sorted_and_bad_lines_are_answered_by_what_is_wrong(place, compute):
    publish_segments(place)
    put_lines(place, "a.json", {"itemId": "i0"}, {"itemId": "gone"}, "no json\n", {"itemId": 5}, {"itemId": "i4"})
    put_lines(place, "b.json.gz", {"itemId": "i2", "note": "kept"})

    result = segment_job(place, compute, num_results=4)

    assert (result.answered_lines, result.failed_lines) == (3, 3)
    first, gone, broken, number, other = read_output(place, "a.json")
    assert first == {
        "input": {"itemId": "i0"},
        "output": {"usersList": users_of(COMEDY, limit=4), "recommendedUsers": users_of(COMEDY, limit=4)},
        "error": None,
    }
    assert other["output"]["usersList"] == users_of(DRAMA, limit=4)
    assert gone["output"] is None
    assert gone["error"] == "`itemId`: got 'gone', want an item that was known at the training"
    assert broken["input"] == "no json"
    assert "line 3" in broken["error"]
    assert "`itemId`: got 5, want the id of an item" in number["error"]
    assert read_output(place, "b.json.gz")[0]["input"] == {"itemId": "i2", "note": "kept"}
    marker = json.loads((place.bucket / "output" / "_CHECK").read_text())
    assert (marker["answered"], marker["failed"]) == (3, 3)


def test_segments_of_attributes_take_equality_and_and_alone(place, compute):
    publish_segments(place, "aws-item-attribute-affinity")
    rows = [
        'ITEMS.genres = "Comedy" AND ITEMS.genres = "New"',
        "items.YEAR = 1991",
        'ITEMS.genres = "Comedy" OR ITEMS.genres = "War"',
        'ITEMS.genres != "Comedy"',
        'ITEMS.TITLE = "Alien"',
        'ITEMS.genres = "Western"',
        'ITEMS.genres = "Comedy" AND ITEMS.YEAR = 1991',
    ]
    put_lines(place, "a.json", *({"itemAttributes": text} for text in rows))

    segment_job(place, compute, num_results=USERS)

    comedy, drama, *wrong = read_output(place, "a.json")
    assert comedy["output"]["usersList"][:10] == users_of(COMEDY)
    assert drama["output"]["usersList"][:10] == users_of(DRAMA)
    assert len(set(drama["output"]["recommendedUsers"])) == USERS
    assert [answer["output"] for answer in wrong] == [None] * 5
    either, unequal, textual, western, nothing = (answer["error"] for answer in wrong)
    assert 'want conditions as ITEMS.COLUMN = "value", joined by AND' in either
    assert 'want conditions as ITEMS.COLUMN = "value", joined by AND' in unequal
    assert "got 'TITLE', want a column of Items: one of GENRES, YEAR" in textual
    assert "want a value of that column" in western
    assert "want attributes that an item had at the training" in nothing


def test_filters_of_users_read_columns_and_events_by_the_values_of_each_line(place, compute):
    publish_segments(place)
    ages = [f"u{user:02},{user}" for user in range(20)]  # nothing is said of the other ten
    place.write("users.csv", *ages, header=HEADERS["USERS"])
    place.bring("s3://films/users.csv", kind="USERS")
    place.write("events.csv", "u03,i1,5,Buy,", "u06,i1,6,Buy,", "u00,i1,7,Look,")
    place.bring("s3://films/events.csv")
    by_age = {"itemId": "i0", "filterValues": {"AGE": "7"}}
    put_lines(
        place, "a.json", by_age, {"itemId": "i1", "filterValues": {"AGE": "15"}}, {"itemId": "i1"},
        {"itemId": "i1", "filterValues": {"AGE": "young"}}, {"itemId": "i1", "filterValues": ["7"]},
    )  # fmt: skip
    expression = 'INCLUDE UserID WHERE Users.AGE < $AGE | EXCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("buy")'

    result = segment_job(place, compute, filter_expression=expression)

    assert (result.answered_lines, result.failed_lines) == (2, 3)
    young, younger, missing, malformed, listed = read_output(place, "a.json")
    # Of whom nothing is said has no age; u03 and u06 have bought.
    assert [user for user in young["output"]["usersList"] if user in users_of(COMEDY)] == ["u00"]
    assert sorted(young["output"]["usersList"]) == ["u00", "u01", "u02", "u04", "u05"]
    assert len(younger["output"]["usersList"]) == 13
    assert "filterValues.AGE" in missing["error"]
    assert "filterValues.AGE" in malformed["error"]
    assert "`filterValues`: got ['7'], want an object" in listed["error"]


def test_events_without_a_type_and_those_before_a_user_was_known_count(place, compute):
    publish_segments(place)
    place.write("events.csv", "u03,i1,5,Buy,")
    place.bring("s3://films/events.csv")
    sent = [
        (1, "", "s1", "Look"), (2, "u06", "s1", "Buy"), (3, "u00", "s2", ""), (4, "", "guest", "Look"),
        (5, "u07", "s3", "Buy"), (6, "", "s3", "Look"), (7, "u09", "s3", "Buy"),
    ]  # fmt: skip
    events = [Sent(number, user, session, "i1", kind, 9, f"e{number}") for number, user, session, kind in sent]
    append_events(place.table(), SCHEMAS["INTERACTIONS"], events[:4])
    append_events(place.table(), SCHEMAS["INTERACTIONS"], events[4:])
    put_lines(place, "a.json", *({"itemId": "i0", "filterValues": {"TYPE": kind}} for kind in ('"look"', '"*"')))

    segment_job(
        place, compute, filter_expression="INCLUDE UserID WHERE Interactions.EVENT_TYPE IN ($TYPE)", num_results=USERS
    )

    looked, did_anything = (sorted(answer["output"]["usersList"]) for answer in read_output(place, "a.json"))
    assert looked == ["u06", "u09"]  # the last user of a session that several shared
    assert did_anything == ["u00", "u03", "u06", "u07", "u09"]


def test_an_exclusion_leaves_users_of_whom_nothing_is_said(place, compute):
    publish_segments(place)
    put_lines(place, "a.json", {"itemId": "i0"}, {"itemId": "i0", "filterValues": {"AGE": "3"}})

    segment_job(place, compute, filter_expression="EXCLUDE UserID WHERE Users.AGE = 3", num_results=USERS)

    everybody, unexpected = read_output(place, "a.json")
    assert len(everybody["output"]["usersList"]) == USERS
    assert "filterValues.AGE" in unexpected["error"]


def test_parquet_comes_back_as_parquet(place, compute):
    publish_segments(place)
    (place.bucket / "input").mkdir()
    pl.DataFrame({"itemId": ["i0", "gone"]}).write_parquet(place.bucket / "input" / "a.parquet")

    segment_job(place, compute, num_results=2)

    rows = pl.read_parquet(place.bucket / "output" / "a.parquet.out")
    assert rows["output"].struct.field("usersList").to_list() == [users_of(COMEDY, limit=2), None]
    assert rows["error"][1].startswith("`itemId`: got 'gone'")


def test_a_filter_that_does_not_fit_any_more_fails_the_job_before_anything_is_touched(place, compute):
    publish_segments(place)
    put_lines(place, "a.json", {"itemId": "i0"})
    segment_job(place, compute)

    with pytest.raises(InvalidInput, match="HEIGHT"):
        segment_job(place, compute, filter_expression="INCLUDE UserID WHERE Users.HEIGHT > 3")

    assert sorted(path.name for path in (place.bucket / "output").iterdir()) == ["_CHECK", "a.json.out"]


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("s3://films/input/", "file://{root}/s3/films/./input/"),
        ("file://{root}/s3/films//input/a.json", "s3://films/input/"),
        ("s3://films/input/", "file://{root}/s3/films/%69nput/"),
        ("s3://films/input/", "s3://films/link/"),
        ("s3://films/linked/", "s3://films/input/"),
    ],
)
def test_nothing_is_written_where_the_input_is_read_whatever_it_is_called(place, compute, source, output):
    publish_segments(place)
    put_lines(place, "a.json", {"itemId": "i0"})
    (place.bucket / "link").symlink_to(place.bucket / "input")
    (place.bucket / "linked").mkdir()
    (place.bucket / "linked" / "a.json").symlink_to(place.bucket / "input" / "a.json")
    source, output = source.format(root=place.root), output.format(root=place.root)

    with pytest.raises(InvalidInput) as caught:
        segment_job(place, compute, input_location=source, output_location=output)

    assert caught.value.message == (
        f"Invalid S3 output path. `jobOutput.s3DataDestination.path`: got {output}, "
        f"want another folder than that of {source}"
    )
    assert [path.name for path in (place.bucket / "input").iterdir()] == ["a.json"]


class CancelledContext(NullJobContext):
    """A job that is stopped once its output is about to be written."""

    def report(self, *, fraction, activity):
        self.stopped = activity == "writing the output"

    def confirm(self):
        if getattr(self, "stopped", False):
            raise JobCancelled(CancelReason.STOP)


def test_a_job_that_is_stopped_leaves_nothing(place, compute):
    publish_segments(place)
    put_lines(place, "a.json", {"itemId": "i0"})

    with pytest.raises(JobCancelled):
        segment_job(place, compute, context=CancelledContext())

    assert list((place.bucket / "output").iterdir()) == []


@pytest.mark.parametrize("field", ["Users.AGE > 3", 'Interactions.EVENT_TYPE IN ("*")'])
def test_a_stop_is_noticed_while_the_filter_is_read_before_anything_is_touched(place, compute, field):
    publish_segments(place)
    place.write("users.csv", "u01,4", header=HEADERS["USERS"])
    place.bring("s3://films/users.csv", kind="USERS")
    place.write("events.csv", "u03,i1,5,Buy,")
    place.bring("s3://films/events.csv")
    put_lines(place, "a.json", {"itemId": "i0"})
    segment_job(place, compute)

    with pytest.raises(JobCancelled):
        segment_job(
            place, compute, filter_expression=f"INCLUDE UserID WHERE {field}",
            context=StoppedWhile("reading what the filter needs"),
        )  # fmt: skip

    assert sorted(path.name for path in (place.bucket / "output").iterdir()) == ["_CHECK", "a.json.out"]


def test_a_version_that_ranks_nobody_is_refused(place, compute):
    publish_segments(place, "aws-sims")
    put_lines(place, "a.json", {"itemId": "i0"})

    with pytest.raises(InvalidInput, match="`solutionVersionArn`: got 'a version of aws-sims'"):
        segment_job(place, compute)
