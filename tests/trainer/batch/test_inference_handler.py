"""Batch inference jobs: what is written for each line, what is refused, what an attempt leaves that does not end."""

from __future__ import annotations

import json
import tempfile

import polars as pl
import pytest

from benchmarks.drawn_model import drawn_model
from common.errors import InvalidInput, Unavailable
from common.tables import Table
from inference.pipelines import Pipeline
from protos.tailorbird.internal.v1 import jobs_pb2
from tests.control_plane.world import avro, column
from tests.runtime_service.world import N_ITEMS, item
from tests.trainer.batch.running import OtherMachine, StoppedWhile
from trainer.batch.feature_files import FeatureFiles
from trainer.batch.inputs import PART_LINES
from trainer.batch.lines import read_lines
from trainer.batch.randomness import LineRandom
from trainer.batch.scoring import LineScorer, Question, Setup, answer
from trainer.worker import CancelReason, JobCancelled, NullJobContext

POPULAR_AT, RELATED_AT = "artifacts/popular", "artifacts/related"
ITEMS = avro("Items", column("ITEM_ID"), column("KIND", ["null", "string"], categorical=True))


class Cancelled(NullJobContext):
    """A job that must end as soon as so many parts were answered."""

    def __init__(self, after: int) -> None:
        self.left = after

    def report(self, *, fraction, activity):
        self.left -= "answered" in activity

    def check(self):
        self.confirm()

    def confirm(self):
        if self.left <= 0:
            raise JobCancelled(CancelReason.LOST)


def items_table(place, **kinds):
    """Write items with their kinds, and return their table as payloads have it."""
    rows = {"ITEM_ID": list(kinds), "KIND": list(kinds.values())}
    location = "datasets/group/items"
    Table(place.store, location).append(
        pl.DataFrame(rows).with_columns(pl.lit("bulk").alias("_SOURCE"), pl.lit(None, pl.Int64).alias("_OFFSET"))
    )
    return jobs_pb2.DatasetTable(dataset_type="ITEMS", location=location, schema=ITEMS)


def test_each_file_of_a_folder_has_its_output_and_a_marker_says_that_all_is_there(place):
    place.ask({"userId": "user-1"}, {"userId": "nobody"}, name="in/a.json")
    place.ask({"userId": "user-2"}, name="in/b.json")
    (place.bucket / "in" / "_SUCCESS").write_text("")
    pl.DataFrame({"userId": ["user-3"]}).write_parquet(place.bucket / "in" / "c.parquet")

    result = place.run(POPULAR_AT, num_results=3)

    assert (result.answered_lines, result.failed_lines) == (4, 0)
    assert place.outputs() == ["_CHECK", "a.json.out", "b.json.out", "c.parquet.out"]
    first, second = place.output_lines("out/a.json.out")
    assert (first["input"], first["error"]) == ({"userId": "user-1"}, None)
    assert list(first["output"]) == ["recommendedItems"]
    assert len(first["output"]["recommendedItems"]) == 3
    assert second["output"] == first["output"]
    assert pl.read_parquet(place.bucket / "out" / "c.parquet.out").to_dicts() == [
        {"input": {"userId": "user-3"}, "output": first["output"], "error": None}
    ]
    marker = json.loads((place.bucket / "out" / "_CHECK").read_text())
    assert (marker["answered"], marker["failed"], marker["rows"]) == (4, 0, 4)
    assert [file["name"] for file in marker["files"]] == ["a.json.out", "b.json.out", "c.parquet.out"]

    (place.bucket / "in" / "b.json").unlink()
    place.run(POPULAR_AT, num_results=3)
    # What earlier jobs have written stays, as it would in Personalize; the marker names what is of this one.
    assert place.outputs() == ["_CHECK", "a.json.out", "b.json.out", "c.parquet.out"]
    marker = json.loads((place.bucket / "out" / "_CHECK").read_text())
    assert [file["name"] for file in marker["files"]] == ["a.json.out", "c.parquet.out"]


def test_what_is_wrong_with_a_line_stands_in_its_answer_and_the_others_are_answered(place):
    place.ask(
        {"itemId": item(1)}, {"itemId": "unheard-of"}, {"userId": "user-1"}, {"itemId": 5}, "{", "[]", "",
        {"itemId": "i" * 300}, {"itemId": item(2), "userId": 7}, {"itemId": item(2), "filterValues": {"A": "1"}},
        {"itemId": item(2), "context": {"DEVICE": "tv"}}, {"itemId": item(3), "mine": 1},
    )  # fmt: skip

    result = place.run(RELATED_AT)

    written = place.output_lines()
    assert (result.answered_lines, result.failed_lines) == (2, 9)
    assert [place for place, answer in enumerate(written) if answer["error"] is None] == [0, 10]
    assert written[10]["input"] == {"itemId": item(3), "mine": 1}
    assert item(1) not in written[0]["output"]["recommendedItems"]
    messages = [answer["error"] for answer in written[1:10]]
    for message, part in zip(
        messages,
        [
            "`itemId`: got 'unheard-of', want an item that the solution version knows",
            "`itemId`: got None, want the id of an item, as text",
            "`itemId`: got 5, want the id of an item, as text",
            "`line 5`: got no valid JSON",
            "`line 6`: got [], want one JSON object",
            "want at most 256 characters",
            "`userId`: got 7, want the id of a user, as text",
            "`filterValues`: got ['A'], want none: the job has no filterArn",
            "`context`: got {'DEVICE': 'tv'}, want none",
        ],
        strict=True,
    ):
        assert part in message
    assert all(answer["output"] is None for answer in written[1:10])


def test_filters_take_the_values_of_each_line(place):
    kinds = {item(number): "even" if number % 2 == 0 else "odd" for number in range(N_ITEMS)}
    table = items_table(place, **kinds)
    place.ask(
        {"userId": "a", "filterValues": {"KIND": '"even"'}},
        {"userId": "a", "filterValues": {"KIND": '"odd"'}},
        {"userId": "a"},
        {"userId": "a", "filterValues": {"KIND": "even"}},
        {"userId": "a", "filterValues": {"KIND": ["even"]}},
        {"userId": "a", "filterValues": "even"},
    )

    place.run(POPULAR_AT, tables=[table], filter_expression="INCLUDE ItemID WHERE Items.KIND IN ($KIND)")

    even, odd, *wrong = place.output_lines()
    assert {kinds[name] for name in even["output"]["recommendedItems"]} == {"even"}
    assert {kinds[name] for name in odd["output"]["recommendedItems"]} == {"odd"}
    assert all("`filterValues" in answer["error"] for answer in wrong)


@pytest.mark.parametrize(
    ("filter_expression", "read"),
    [
        ("", []),
        ('EXCLUDE ItemID WHERE Items.KIND IN ("even") IF CurrentUser.AGE > 3', ["items", "users"]),
        ('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*") IF CurrentUser.AGE > 3', ["users"]),
    ],
)
def test_features_are_gathered_where_a_filter_reads_them(place, filter_expression, read):
    tables = [items_table(place, **{item(0): "even"})]
    users = avro("Users", column("USER_ID"), column("AGE", ["null", "int"]))
    events = avro("Interactions", *(column(name) for name in ("USER_ID", "ITEM_ID", "EVENT_TYPE")))
    tables += [
        jobs_pb2.DatasetTable(dataset_type=kind, location=f"datasets/group/{kind.lower()}", schema=schema)
        for kind, schema in (("USERS", users), ("INTERACTIONS", events))
    ]
    place.ask({"userId": "user-1"})

    assert place.run(POPULAR_AT, tables=tables, filter_expression=filter_expression).answered_lines == 1

    flushed = [location.removeprefix("datasets/group/") for location in place.flusher.flushed_locations]
    assert flushed == [*read, "interactions"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"source": "s3://films/nothing/"}, "Invalid S3 input path. `jobInput.s3DataSource.path`: got s3://films/nothing/"),
        ({"source": "s3://films/in"}, "Invalid S3 input path."),
        ({"output": "s3://nowhere/out/"}, "Invalid S3 output path. `jobOutput.s3DataDestination.path`: got s3://nowhere/"),
        ({"output": "file:///etc/"}, "Invalid S3 output path."),
        ({"filter_expression": "INCLUDE ItemID WHERE Items.GONE = 1"}, "GONE"),
        (
            {"filter_expression": "INCLUDE ItemID WHERE Items.KIND IN CurrentItem.KIND"},
            "want a filter without CurrentItem",
        ),
        ({"filter_expression": "INCLUDE UserID WHERE Users.AGE = 1"}, "Users"),
    ],
)  # fmt: skip
def test_what_no_line_can_be_answered_with_fails_the_job(place, members, message):
    place.ask({"userId": "user-1"})
    table = items_table(place, **{item(0): "a"})
    place.run(POPULAR_AT, tables=[table])

    with pytest.raises(InvalidInput) as caught:
        place.run(POPULAR_AT, tables=[table], **members)

    assert message in caught.value.message
    # What another job has written before stays as it was.
    assert place.outputs() == ["_CHECK", "lines.json.out"]


def test_more_files_than_there_may_be_are_refused_before_any_is_read(place, monkeypatch):
    monkeypatch.setattr("tests.trainer.batch.running.MAX_FILES", 2)
    for name in "abc":
        place.ask("{", name=f"in/{name}.json")

    with pytest.raises(InvalidInput, match=r"Invalid S3 input path\..*which means 3 files, want at most 2"):
        place.run(POPULAR_AT)


def test_an_attempt_that_does_not_end_leaves_no_marker_and_the_next_one_has_each_line_once(place):
    names = [f"user-{number}" for number in range(3 * PART_LINES)]
    place.ask(*({"userId": name} for name in names))
    place.ask({"userId": "other"}, name="out/mine.json")
    place.run(POPULAR_AT, num_results=1)

    with pytest.raises(JobCancelled):
        place.run(POPULAR_AT, num_results=2, context=Cancelled(after=2))
    assert place.outputs() == ["mine.json"]

    place.run(POPULAR_AT, num_results=2)

    written = place.output_lines()
    assert [answer["input"]["userId"] for answer in written] == names
    assert {len(answer["output"]["recommendedItems"]) for answer in written} == {2}
    assert place.outputs() == ["_CHECK", "lines.json.out", "mine.json"]
    assert not list((place.root / "work").glob("job-*"))


def test_a_stop_is_noticed_while_features_are_gathered_before_anything_is_touched(place):
    place.ask({"userId": "user-1"})
    place.run(POPULAR_AT)

    with pytest.raises(JobCancelled):
        place.run(
            POPULAR_AT, tables=[items_table(place, **{item(0): "even"})],
            filter_expression='EXCLUDE ItemID WHERE Items.KIND IN ("even")',
            context=StoppedWhile("reading what came after the training"),
        )  # fmt: skip

    assert place.outputs() == ["_CHECK", "lines.json.out"]


def test_exploration_draws_by_artifact_and_user_alone(place):
    model, random = drawn_model(n_items=300, n_users=40, events=12), LineRandom("artifacts/drawn")
    pipeline = Pipeline.make(model, random=lambda: random.generator)
    scorer = LineScorer(Setup(place.settings, "artifacts/drawn", place.root, 20), model, pipeline, random)
    lines = list(read_lines(b"".join(b'{"userId":"user-%d"}\n' % number for number in range(400)), first=1))

    forth = scorer.outputs(lines, {})
    back = [scorer.outputs([line], {})[0] for line in reversed(lines)][::-1]

    assert forth == back
    explored = [output for output in forth if None in output["scores"]]
    assert 0 < len(explored) < 40


def test_another_machine_reads_what_was_put_lately_from_the_store(place, monkeypatch):
    machine = place.root / "machine"
    machine.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(machine))
    tables = [items_table(place, **{item(number): "odd" if number % 2 else "even" for number in range(N_ITEMS)})]
    place.ask({"userId": "user-1"}, {"userId": "user-2"})
    members = {"tables": tables, "filter_expression": 'INCLUDE ItemID WHERE Items.KIND IN ("even")'}
    place.run(POPULAR_AT, **members)
    expected = place.output_lines()
    place.compute = OtherMachine(place.root / "work")

    place.run(POPULAR_AT, **members)  # while no snapshot of the version of the table is published

    assert place.output_lines() == expected
    (copies,) = (path for path in machine.glob("tailorbird-batch-*/*") if path.is_dir())
    assert (copies / "features-items" / "manifest").is_file()


def test_features_that_are_gone_are_read_again(place):
    setup = Setup(
        place.settings, POPULAR_AT, place.root / "cache", 5,
        features={"ITEMS": FeatureFiles(place.root, b"", ITEMS)},
    )  # fmt: skip

    with pytest.raises(Unavailable, match="the job reads them again"):
        answer(Question(setup, 1, b'{"userId":"u"}\n'))
