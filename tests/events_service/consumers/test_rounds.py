"""Rounds of a consumer: each table by itself, with a pause after failures, and an alarm for what is stuck or missed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from common.errors import Unavailable
from events_service.consumers.rounds import ConsumerRounds
from tests.events_service.samples import SINK, entries, event_ids, table

FILMS, BOOKS = table("datasets/films"), table("datasets/books")


class Collector:
    """A consumer that keeps what it gets, and fails for the tables that it is told to."""

    name = "collector"

    def __init__(self, log) -> None:
        self.log = log
        self.failing: set[str] = set()
        self.not_due: set[str] = set()
        self.got: list[str] = []
        self.attempts = 0

    def is_due(self, lag):
        return lag.table.location not in self.not_due

    def consume(self, lag, *, stopping):
        self.attempts += 1
        location = lag.table.location
        if location in self.failing:
            raise Unavailable("this table is away")
        records = self.log.table_records(location, after=lag.committed_offset, max_records=100)
        self.got += event_ids(records)
        self.log.mark_consumed(self.name, location, records[-1].offset)
        return len(records)


@pytest.fixture
def seconds():
    return [0.0]


@pytest.fixture
def collector(log):
    return Collector(log)


@pytest.fixture
def rounds(log, collector, seconds):
    return ConsumerRounds(log, collector, alarm_seconds=600, monotonic=lambda: seconds[0])


def test_every_table_that_is_due_is_consumed_once(log, collector, rounds):
    log.append(entries(1, 2, to=FILMS), seconds=20)
    log.append(entries(3, to=BOOKS), seconds=20)
    collector.not_due = {BOOKS.location}

    assert (rounds.run(), rounds.run()) == (2, 0)
    collector.not_due.clear()
    assert rounds.run() == 1

    assert collector.got == ["e1", "e2", "e3"]


def test_table_that_fails_delays_no_other_and_is_tried_again_after_a_pause(log, collector, rounds, seconds):
    log.append(entries(1, to=FILMS), seconds=20)
    log.append(entries(2, to=BOOKS), seconds=20)
    collector.failing = {FILMS.location}

    with capture_logs() as logs:
        rounds.run()
        attempts = collector.attempts
        rounds.run()
        assert (collector.got, collector.attempts) == (["e2"], attempts)
        collector.failing.clear()
        seconds[0] = 1.0
        rounds.run()

    assert collector.got == ["e2", "e1"]
    assert [(line["event"], line["consumer"]) for line in logs] == [
        ("consumer_failed", "collector"),
        ("consumer_resumed", "collector"),
    ]


def test_consumer_that_is_stuck_delays_no_other_consumer_and_no_removal(log, clock, collector, rounds):
    log.append(entries(1, to=FILMS), seconds=20)
    collector.failing = {FILMS.location}
    rounds.run()
    log.mark_consumed(SINK, FILMS.location, 1)
    clock.advance(seconds=100)

    assert log.remove_old(timedelta(0), kept_for=[SINK]) == 1


def test_what_was_removed_before_it_was_consumed_is_an_alarm(log, clock, collector, rounds):
    log.append(entries(1, to=FILMS), seconds=20)
    log.mark_consumed(SINK, FILMS.location, 1)
    clock.advance(seconds=100)
    log.remove_old(timedelta(0), kept_for=[SINK])
    log.append(entries(2, to=FILMS), seconds=20)

    with capture_logs() as logs:
        rounds.run()
        rounds.run()

    assert collector.got == ["e2"]
    assert [(line["event"], line["after_offset"], line["up_to_offset"]) for line in logs] == [("records_missed", 0, 1)]


def test_what_is_missed_is_told_once_until_it_is_more(log, clock, collector, rounds):
    collector.not_due = {FILMS.location}
    with capture_logs() as logs:
        for number in (1, 2):
            log.append(entries(number, to=FILMS), seconds=20)
            log.mark_consumed(SINK, FILMS.location, number)
            clock.advance(seconds=100)
            log.remove_old(timedelta(0), kept_for=[SINK])
            log.append(entries(number + 10, to=FILMS), seconds=20)
            rounds.run()
            rounds.run()

    assert [line["up_to_offset"] for line in logs if line["event"] == "records_missed"] == [1, 2]


def test_round_that_is_stopped_leaves_the_rest(log, collector, rounds):
    log.append(entries(1, to=FILMS), seconds=20)

    assert rounds.run(stopping=lambda: True) == 0
    assert collector.got == []
