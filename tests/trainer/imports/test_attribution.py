"""The report of a metric attribution that an import publishes: what it adds up, and one for each import."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from common.avro import AvroSchema
from common.errors import InvalidInput, Unavailable
from common.table_files import write_table_file
from protos.tailorbird.control.v1.metric_attribution_pb2 import MetricAttribute
from protos.tailorbird.internal.v1.jobs_pb2 import DatasetTable, TrackedAttribution
from tests.control_plane.world import avro, column
from tests.trainer.place import IDS
from trainer.imports.attribution import AttributedRows
from trainer.imports.reports import ImportReport

CAMPAIGN = "arn:aws:personalize:eu-west-1:000000000000:campaign/films"
OTHER_CAMPAIGN = "arn:aws:personalize:eu-west-1:000000000000:campaign/books"
BEGIN = 1_700_000_100
assert BEGIN % 900 == 0
INTERACTIONS = avro(
    "Interactions", column("USER_ID"), column("ITEM_ID"), column("TIMESTAMP", "long"), column("EVENT_TYPE"),
    column("EVENT_VALUE", ["null", "float"]), column("RECOMMENDATION_ID", ["null", "string"]),
    column("EVENT_ATTRIBUTION_SOURCE", ["null", "string"]),
)  # fmt: skip
HEADER = "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE,RECOMMENDATION_ID,EVENT_ATTRIBUTION_SOURCE"
ITEMS = avro("Items", column("ITEM_ID"), column("Margin", ["null", "double"]))
REPORT_HEADER = "METRIC_NAME,EVENT_TYPE,VALUE,MATH_FUNCTION,EVENT_ATTRIBUTION_SOURCE,TIMESTAMP"
REQUESTED_AT = datetime(2026, 1, 2, tzinfo=UTC)
NAME = f"AggregatedAttributionMetrics - DatasetImportJob weekly - {int(REQUESTED_AT.timestamp())}.csv"


def attribution(*metrics: tuple[str, str, str], path: str = "s3://films/reports/") -> TrackedAttribution:
    chosen = metrics or (("views", "watch", "SAMPLECOUNT()"),)
    return TrackedAttribution(
        metric_attribution_arn="arn:aws:personalize:eu-west-1:000000000000:metric-attribution/a",
        metrics=[MetricAttribute(metric_name=name, event_type=kind, expression=text) for name, kind, text in chosen],
        output_path=path,
        serving_arns=[OTHER_CAMPAIGN, CAMPAIGN],
        items=DatasetTable(dataset_type="ITEMS", location="datasets/group/ITEMS", schema=ITEMS),
    )


def bring(place, *lines: str, counted: TrackedAttribution | None = None, name: str = "a.csv", **arguments):
    place.write(name, *lines, header=HEADER)
    return place.bring(
        f"s3://films/{name}",
        schema=INTERACTIONS,
        attribution=attribution() if counted is None else counted,
        requested_at=REQUESTED_AT,
        **{"import_id": "one", **arguments},
    )


def reports(place) -> dict[str, list[str]]:
    return {path.name: path.read_text().splitlines() for path in (place.bucket / "reports").glob("*")}


def report(place) -> list[str]:
    """Return the lines of the only report, without the header."""
    ((name, lines),) = reports(place).items()
    assert (name, lines[0]) == (NAME, REPORT_HEADER)
    return lines[1:]


def kept(place) -> list[Path]:
    return list((place.root / "store").rglob("_attribution_reports/*"))


def test_events_of_a_type_count_by_windows_of_their_own_times(place):
    bring(
        place,
        f"u1,i1,{BEGIN},watch,,,",
        f"u2,i1,{BEGIN + 899},watch,,,",
        f"u1,i2,{BEGIN + 900},watch,,,",
        f"u1,i2,{BEGIN},Watch,,,",
        "u1,i2,-1,watch,,,",
    )
    assert report(place) == [
        "VIEWS,WATCH,1.0,samplecount,SOURCE_NAME_UNDEFINED,-900",
        f"VIEWS,WATCH,2.0,samplecount,SOURCE_NAME_UNDEFINED,{BEGIN}",
        f"VIEWS,WATCH,1.0,samplecount,SOURCE_NAME_UNDEFINED,{BEGIN + 900}",
    ]
    assert kept(place) == []


def test_a_named_source_holds_against_a_recommendation(place):
    answered, old = (IDS.make(CAMPAIGN, now=now) for now in (BEGIN, BEGIN - 3 * 86_400))
    bring(
        place,
        f"u1,i1,{BEGIN},watch,,{answered},",
        f"u2,i1,{BEGIN},watch,,{answered},banner",
        f"u3,i1,{BEGIN},watch,,{old},",
        f"u4,i1,{BEGIN},watch,,RID-none,",
    )
    assert report(place) == [
        f"VIEWS,WATCH,2.0,samplecount,SOURCE_NAME_UNDEFINED,{BEGIN}",
        f"VIEWS,WATCH,1.0,samplecount,{CAMPAIGN},{BEGIN}",
        f"VIEWS,WATCH,1.0,samplecount,banner,{BEGIN}",
    ]


def test_sums_are_of_the_events_columns_and_of_their_items(place):
    place.write("items.csv", "i1,2.5", "i2,", header="ITEM_ID,Margin")
    place.bring("s3://films/items.csv", kind="ITEMS", schema=ITEMS)
    counted = attribution(
        ("margin", "buy", "SUM(Items.margin)"), ("value", "buy", "SUM(Interactions.event_value)"),
        ("none", "like", "SUM(Interactions.EVENT_VALUE)"),
    )  # fmt: skip
    bring(
        place, f"u1,i1,{BEGIN},buy,3,,", f"u2,i1,{BEGIN},buy,,,", f"u2,i2,{BEGIN},buy,-4.5,,", f"u2,i3,{BEGIN},buy,,,",
        f"u2,i3,{BEGIN},like,,,", counted=counted,
    )  # fmt: skip
    assert report(place) == [
        f"MARGIN,BUY,5.0,sum,SOURCE_NAME_UNDEFINED,{BEGIN}",
        f"VALUE,BUY,-1.5,sum,SOURCE_NAME_UNDEFINED,{BEGIN}",
    ]


def test_without_items_and_without_metrics_the_report_has_a_header_alone(place):
    bring(place, f"u1,i1,{BEGIN},buy,,,", counted=attribution(("margin", "buy", "SUM(Items.margin)")))
    assert report(place) == []


def test_sources_beyond_the_hundredth_are_undefined(place):
    bring(place, *(f"u1,i1,{BEGIN},watch,,,s{number:03}" for number in range(102)))
    lines = report(place)
    assert len(lines) == 101
    assert f"VIEWS,WATCH,2.0,samplecount,SOURCE_NAME_UNDEFINED,{BEGIN}" in lines


def test_identical_rows_of_an_import_count_once(place):
    assert bring(place, f"u1,i1,{BEGIN},watch,,,", f"u1,i1,{BEGIN},watch,,,").imported_rows == 1
    assert report(place) == [f"VIEWS,WATCH,1.0,samplecount,SOURCE_NAME_UNDEFINED,{BEGIN}"]


def test_each_import_counts_its_rows_alone(place):
    bring(place, f"u1,i1,{BEGIN},watch,,,", import_id="first")
    first = (place.bucket / "reports" / NAME).read_text()
    (place.bucket / "reports" / NAME).unlink()
    bring(place, f"u2,i1,{BEGIN},watch,,,", import_id="second", replace=False, name="b.csv")
    assert (place.bucket / "reports" / NAME).read_text() == first


@pytest.mark.parametrize("step", ["publish", "_write"])
def test_an_attempt_after_a_kill_that_followed_the_commit_writes_the_one_report(place, monkeypatch, step):
    with monkeypatch.context() as killed:
        killed.setattr(ImportReport, step, _killed)
        with pytest.raises(OSError, match="killed here"):
            bring(place, f"u1,i1,{BEGIN},watch,,,")
    assert (place.table().version(), reports(place), len(kept(place))) == (0, {}, 1)

    bring(place, f"u1,i1,{BEGIN},watch,,,")

    assert place.table().version() == 0
    assert report(place) == [f"VIEWS,WATCH,1.0,samplecount,SOURCE_NAME_UNDEFINED,{BEGIN}"]
    assert kept(place) == []


def test_a_report_that_was_written_before_a_kill_is_not_doubled(place, monkeypatch):
    with monkeypatch.context() as killed:
        killed.setattr(type(place.store), "delete", _killed)
        with pytest.raises(OSError, match="killed here"):
            bring(place, f"u1,i1,{BEGIN},watch,,,")
    before = reports(place)
    assert len(before) == len(kept(place)) == 1

    bring(place, f"u1,i1,{BEGIN},watch,,,")
    bring(place, f"u1,i1,{BEGIN},watch,,,")

    assert (reports(place), kept(place)) == (before, [])


def _killed(*_, **__):
    raise OSError("killed here")


def test_an_import_that_fails_leaves_no_report(place, monkeypatch):
    def refused(*_, **__):
        raise Unavailable("the store is away")

    with monkeypatch.context() as away:
        away.setattr("trainer.imports.handler._committed_rows", refused_after(1, refused))
        with pytest.raises(Unavailable, match="is away"):
            bring(place, f"u1,i1,{BEGIN},watch,,,")
    assert (reports(place), kept(place)) == ({}, [])


def refused_after(calls: int, refused):
    """Answer as before the import for a number of calls, then refuse."""
    left = [None] * calls
    return lambda *arguments: left.pop() if left else refused(*arguments)


def test_a_report_that_cannot_be_written_is_told_before_anything_is_imported(place):
    with pytest.raises(InvalidInput, match=r"Failed to create a data import job .* Invalid S3 output path\."):
        bring(place, f"u1,i1,{BEGIN},watch,,,", counted=attribution(path="s3://none/reports/"))
    assert not place.table().exists()


def test_more_sums_than_memory_holds_come_to_the_same(tmp_path, place):
    rows = pl.DataFrame(
        {
            "ITEM_ID": ["i1"] * 4000,
            "TIMESTAMP": [BEGIN + 900 * (number % 1000) for number in range(4000)],
            "EVENT_TYPE": ["watch"] * 4000,
            "EVENT_VALUE": pl.Series([0.5] * 4000, dtype=pl.Float32),
            "RECOMMENDATION_ID": pl.Series([None] * 4000, dtype=pl.String),
            "EVENT_ATTRIBUTION_SOURCE": [f"s{number % 3}" for number in range(4000)],
        }
    )
    files = [
        write_table_file(part, tmp_path / f"{number}.parquet")
        for number, part in enumerate(rows.iter_slices(n_rows=700))
    ]
    counted = attribution(("views", "watch", "SAMPLECOUNT()"), ("value", "watch", "SUM(Interactions.EVENT_VALUE)"))
    lines = []
    for in_memory in (1_000_000, 500):
        folder = tmp_path / str(in_memory)
        folder.mkdir()
        adding = AttributedRows(
            counted, AvroSchema.parse(INTERACTIONS), store=place.store, ids=IDS, folder=folder, in_memory=in_memory
        )
        lines.append(adding.write_report(files).read_text().splitlines())
        assert [path.name for path in folder.iterdir()] == ["report.csv"]

    assert lines[0][0] == lines[1][0] == REPORT_HEADER
    assert sorted(lines[0]) == sorted(lines[1])
    assert sum(float(line.split(",")[2]) for line in lines[1][1:]) == 4000 + 2000
