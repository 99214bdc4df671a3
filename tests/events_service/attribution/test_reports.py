"""Reports of metric attributions: as Personalize names and writes them, each count in one of them."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from events_service.attribution.state import AttributionState
from tests.events_service.samples import GROUP, NOW_MILLIS, entries, entry, event

WAIT = 5.0
START_SECONDS = 1_767_225_600  # of the tests' clock; a multiple of 900
HEADER = "METRIC_NAME,EVENT_TYPE,VALUE,MATH_FUNCTION,EVENT_ATTRIBUTION_SOURCE,TIMESTAMP"
WINDOW = NOW_MILLIS // 1000 // 900 * 900


def name(moment):
    return f"AggregatedAttributionMetrics - PutEvents - {moment}.csv"


def line(value, *, source="SOURCE_NAME_UNDEFINED"):
    return f"VIEWS,WATCH,{value},samplecount,{source},{WINDOW}"


def test_report_is_written_when_its_period_is_over(world, log, clock):
    log.append(entries(1, 2), seconds=WAIT)
    world.count()
    assert world.reports.run() == 0

    clock.advance(seconds=900)
    assert world.reports.run() == 1
    assert world.files() == {name(START_SECONDS + 900): [HEADER, line(2.0)]}
    clock.advance(seconds=900)
    assert world.reports.run() == 0


def test_later_events_of_a_window_are_in_the_next_report(world, log, clock):
    for number in (1, 2):
        log.append(entries(number), seconds=WAIT)
        world.count()
        clock.advance(seconds=900)
        world.reports.run()

    assert world.files() == {name(START_SECONDS + 900 * n): [HEADER, line(1.0)] for n in (1, 2)}


def test_a_report_that_was_not_known_to_be_written_is_written_again_as_it_was(world, log, clock, monkeypatch):
    log.append(entries(1), seconds=WAIT)
    world.count()
    clock.advance(seconds=900)
    with monkeypatch.context() as killed:
        killed.setattr(AttributionState, "written", _killed)
        with pytest.raises(OSError, match="killed here"):
            world.reports.run()
    first = world.files()

    world.start()
    log.append(entries(2), seconds=WAIT)
    world.count()
    world.reports.run()
    assert world.files() == first
    clock.advance(seconds=900)
    world.reports.run()
    assert world.files() == {**first, name(START_SECONDS + 1800): [HEADER, line(1.0)]}


def _killed(*_, **__):
    raise OSError("killed here")


def test_a_report_that_cannot_be_written_is_an_error_and_tried_again(world, log, clock, tmp_path):
    log.append(entries(1), seconds=WAIT)
    world.count()
    clock.advance(seconds=900)
    (tmp_path / "bucket").rmdir()
    with capture_logs() as logged:
        assert world.reports.run() == 0
        assert world.reports.run() == 0
    (tmp_path / "bucket").mkdir()
    clock.advance(seconds=10)

    assert world.reports.run() == 1
    errors = [item for item in logged if item["event"] == "attribution_report_failed"]
    assert [item["log_level"] for item in errors] == ["error"]
    assert "`metricsOutputConfig.s3DataDestination.path`: got s3://bucket/reports/" in errors[0]["message"]
    assert world.files() == {name(START_SECONDS + 900): [HEADER, line(1.0)]}


def test_nothing_is_kept_of_a_deleted_attribution(world, log, clock):
    log.append(entries(1), seconds=WAIT)
    world.count()
    world.attributions.clear()
    clock.advance(seconds=900)

    assert world.reports.run() == 0
    assert world.files() == {}
    assert world.totals() == {}
    assert world.state.keys() == set()


def test_an_attribution_of_the_same_name_begins_anew(world, log, clock):
    log.append(entries(1), seconds=WAIT)
    world.count()
    world.follow(created_millis=2)
    log.append(entries(2), seconds=WAIT)
    world.count()
    clock.advance(seconds=900)
    world.reports.run()

    assert world.files() == {name(START_SECONDS + 900): [HEADER, line(1.0)]}


def test_reports_of_two_attributions_in_one_folder_have_different_names(world, log, clock):
    log.append(entries(1), seconds=WAIT)
    world.count()
    first = world.attributions[GROUP]
    world.follow(created_millis=2)
    log.append(entries(2), seconds=WAIT)
    world.count()
    world.attributions["other-group"] = first
    clock.advance(seconds=900)

    assert world.reports.run() == 2
    assert set(world.files()) == {name(START_SECONDS + 900), name(START_SECONDS + 901)}


def test_without_a_path_nothing_is_written_and_nothing_piles_up(world, log, clock):
    world.follow(output_path="")
    log.append(entries(1), seconds=WAIT)
    world.count()
    clock.advance(seconds=900)
    world.reports.run()
    world.follow()
    clock.advance(seconds=900)

    assert world.reports.run() == 0
    assert world.files() == {}


def test_sources_are_quoted(world, log, clock):
    log.append([entry(event(1, attribution_source='mail, "new"'))], seconds=WAIT)
    world.count()
    clock.advance(seconds=900)
    world.reports.run()

    assert world.files()[name(START_SECONDS + 900)][1] == line(1.0, source='"mail, ""new"""')
